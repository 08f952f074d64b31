package sip

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheHostsFileIsReadAndReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	write := func(text string, at time.Time) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(path)
		if got := h.find("sbc"); got != nil {
			t.Errorf("without a file: %v", got)
		}
		write("# comment\n192.0.2.1  sbc.example SBC # the first\n2001:db8::1 sbc\nnonsense x\n192.0.2.2\n", time.Unix(1, 0))
		<-time.After(hostsCheck)
		want := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
		if got := h.find("sbc."); !slices.Equal(got, want) {
			t.Errorf("sbc = %v", got)
		}
		write("192.0.2.9 sbc", time.Unix(2, 0))
		if got := h.find("sbc"); !slices.Equal(got, want) {
			t.Errorf("sbc at once = %v", got)
		}
		<-time.After(hostsCheck)
		if got := h.find("sbc"); len(got) != 1 || got[0].String() != "192.0.2.9" {
			t.Errorf("sbc afterwards = %v", got)
		}
	})
}

func FuzzHosts(f *testing.F) {
	f.Add([]byte("127.0.0.1 localhost localhost.localdomain\n::1 localhost # v6\n"))
	f.Add([]byte("# nothing\n\x00\xff 1 2 3\nfe80::1%lo0 router."))
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, addrs := range parseHosts(b) {
			if len(addrs) == 0 || name != strings.ToLower(name) {
				t.Errorf("%q = %v", name, addrs)
			}
		}
	})
}

func TestNamesOfCertificates(t *testing.T) {
	for _, c := range []struct {
		found, wanted string
		want          bool
	}{
		{"sip.pstnhub.example", "sip.pstnhub.example", true},
		{"SIP.pstnhub.example.", "sip.pstnhub.EXAMPLE", true},
		{"*.pstnhub.example", "sip2.pstnhub.example", true},
		{"*.pstnhub.example", "pstnhub.example", false},
		{"*.pstnhub.example", "a.b.pstnhub.example", false},
		{"s*.pstnhub.example", "sip.pstnhub.example", false},
		{"*", "example", false},
		{"*.example", "sip.example", false}, // a whole top-level domain
		{"", "", false},
		{"192.0.2.1", "192.0.2.1", true},
	} {
		if got := matches(c.found, c.wanted); got != c.want {
			t.Errorf("a certificate for %q is taken for %q: %v", c.found, c.wanted, got)
		}
	}
}
