package zone

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

func signed(t testing.TB) *Set {
	s, _ := running(t, func(c *Config) { c.DNSSEC = true; c.Rate = 10_000 })
	return s
}

// verified checks every signature of a section against the zone's key.
func verified(t *testing.T, key *dns.DNSKEY, section []dns.RR) (sets int) {
	t.Helper()
	for _, rr := range section {
		sig, ok := rr.(*dns.RRSIG)
		if !ok {
			continue
		}
		sets++
		var set []dns.RR
		for _, rr := range section {
			if rr.Header().Rrtype == sig.TypeCovered && rr.Header().Name == sig.Hdr.Name {
				set = append(set, rr)
			}
		}
		if err := sig.Verify(key, set); err != nil || !sig.ValidityPeriod(time.Now()) {
			t.Errorf("%v does not hold for %v: %v", sig, set, err)
		}
		if !sig.ValidityPeriod(time.Now().Add(5*24*time.Hour)) || sig.OrigTtl != set[0].Header().Ttl {
			t.Errorf("%v ends too early", sig)
		}
	}
	return sets
}

// RFC 4035 §3.1, RFC 9824.
func TestSignedAnswers(t *testing.T) {
	s := signed(t)
	key := ask(t, s, "tcp", suffix, dns.TypeDNSKEY, edns(1232, true)).Answer[0].(*dns.DNSKEY)
	for _, c := range []struct {
		what       string
		name       string
		kind       uint16
		answer, ns int      // signatures
		types      []uint16 // of NSEC
	}{
		{"the key", suffix, dns.TypeDNSKEY, 1, 0, nil},
		{"the SOA", suffix, dns.TypeSOA, 1, 0, nil},
		{"an address", "R1." + base, dns.TypeA, 1, 0, nil},
		{"by a wildcard", "fabrikam.1r1." + base, dns.TypeA, 1, 0, nil},
		{"ANY", "r1." + base, dns.TypeANY, 1, 0, nil},
		{"no such name", "nobody." + base, dns.TypeA, 0, 2, []uint16{dns.TypeRRSIG, dns.TypeNSEC, typeNXNAME}},
		{"no such type", "r1." + base, dns.TypeTXT, 0, 2, []uint16{dns.TypeA, dns.TypeRRSIG, dns.TypeNSEC}},
		{"an empty non-terminal", base, dns.TypeA, 0, 2, []uint16{dns.TypeRRSIG, dns.TypeNSEC}},
		{"the SOA, whose TTL is another in a denial", suffix, dns.TypeSOA, 1, 0, nil},
		{"no such type by a wildcard", "fabrikam.1r1." + base, dns.TypeTXT, 0, 2, []uint16{dns.TypeA, dns.TypeRRSIG, dns.TypeNSEC}},
	} {
		t.Run(c.what, func(t *testing.T) {
			for range 2 { // the second is out of the cache
				m := ask(t, s, "tcp", c.name, c.kind, edns(1232, true))
				if got := verified(t, key, m.Answer); got != c.answer || m.Rcode != dns.RcodeSuccess {
					t.Errorf("%d signatures in the answer, want %d:\n%v", got, c.answer, m)
				}
				if got := verified(t, key, m.Ns); got != c.ns {
					t.Errorf("%d signatures of the denial, want %d:\n%v", got, c.ns, m)
				}
				for _, rr := range m.Ns {
					if nsec, ok := rr.(*dns.NSEC); ok && !slices.Equal(nsec.TypeBitMap, c.types) {
						t.Errorf("%v, want %v", nsec, c.types)
					}
				}
			}
		})
	}
	if m := ask(t, s, "udp", "nobody."+base, dns.TypeA); m.Rcode != dns.RcodeNameError || len(m.Ns) != 1 {
		t.Errorf("who does not ask for signatures gets none:\n%v", m)
	}
	if m := ask(t, s, "tcp", strings.Repeat("a.", 120)+"r1."+base, dns.TypeA, edns(1232, true)); m.Rcode == dns.RcodeServerFailure {
		t.Errorf("a name that leaves no room for another:\n%v", m)
	}
}

func TestTheKeyIsKept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.Store) {
		w := &world{facts: []Gateway{twoRegions()}}
		one, other := open(t, db, w, func(c *Config) { c.DNSSEC = true }), open(t, db, w, func(c *Config) { c.DNSSEC = true })
		if got, want := other.DS(), one.DS(); len(got) != 1 || !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
}

// delv is BIND's own checker: a stranger to all of this.
func TestDelvBelieves(t *testing.T) {
	if _, err := exec.LookPath("delv"); err != nil {
		if os.Getenv("TANDEM_PEERS") == "required" {
			t.Fatal(err)
		}
		t.Skip("delv is not installed (Debian: bind9-dnsutils)")
	}
	s := signed(t)
	key := ask(t, s, "tcp", suffix, dns.TypeDNSKEY, edns(1232, true)).Answer[0].(*dns.DNSKEY)
	anchor := filepath.Join(t.TempDir(), "anchor")
	if err := os.WriteFile(anchor, fmt.Appendf(nil, "trust-anchors { %s static-key %d %d %d %q; };\n", suffix, key.Flags, key.Protocol, key.Algorithm, key.PublicKey), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, kind, want string }{
		{"r1." + base, "A", "; fully validated"},
		{"_sip._tls.r1." + base, "SRV", "; fully validated"},
		{"fabrikam.1r1." + base, "A", "; fully validated"},
		{suffix, "SOA", "; fully validated"},
		{suffix, "NS", "; fully validated"},
		{"r1." + base, "AAAA", "; negative response, fully validated"},
		{"nobody." + base, "A", "; negative response, fully validated"},
		{base, "A", "; negative response, fully validated"},
		{"fabrikam.1r1." + base, "TXT", "; negative response, fully validated"},
	} {
		t.Run(c.kind+" "+c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			out, err := exec.CommandContext(ctx, "delv", "@127.0.0.1", "-p", fmt.Sprint(s.Addr().Port()), "-a", anchor, "+root="+suffix, c.name, c.kind).CombinedOutput()
			if err != nil || !strings.Contains(string(out), c.want) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func BenchmarkSignedDenial(b *testing.B) {
	v := signed(b).served.Load()
	q := new(dns.Msg)
	q.SetQuestion("nobody."+base+".", dns.TypeA)
	q.SetEdns0(1232, true)
	for b.Loop() {
		if m := v.answer(q); len(m.Ns) != 4 {
			b.Fatal(m)
		}
	}
}
