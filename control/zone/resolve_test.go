package zone

import (
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tandemgw/tandem/wire/sip"
)

// RFC 3263: a core that knows a name and TLS finds the edges.
func TestAResolverOfSIPFindsTheEdges(t *testing.T) {
	s, _ := running(t)
	r, err := sip.NewResolver(sip.ResolverConfig{Servers: []string{s.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string][]string{
		"r1." + base:     {"192.0.2.1:5061", "192.0.2.2:5061"},
		"r2." + base:     {"[2001:db8::21]:5061"},
		"mcp.r2." + base: {"[2001:db8::21]:5061", "192.0.2.1:5061", "192.0.2.2:5061"}, // its own region first
	} {
		found, err := r.Resolve(t.Context(), sip.Hop{Host: host, Transport: sip.TLS})
		if err != nil {
			t.Errorf("%s: %v", host, err)
		}
		var got []string
		for _, e := range found {
			got = append(got, e.Addr.String())
		}
		if strings.HasPrefix(host, "mcp") && len(got) == 3 {
			slices.Sort(got[1:]) // of equal weight, in any order
		} else {
			slices.Sort(got)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", host, diff)
		}
	}
	found, err := r.Resolve(t.Context(), sip.Hop{Host: "contoso.1r1." + base, Port: 5063, Transport: sip.TLS})
	if err != nil || len(found) != 2 || found[0].Addr.Port() != 5063 {
		t.Errorf("a customer's name: %v, %v", found, err)
	}
}

// dig copies a zone as BIND's secondaries do.
func TestDigCopiesTheZone(t *testing.T) {
	if _, err := exec.LookPath("dig"); err != nil {
		if os.Getenv("TANDEM_PEERS") == "required" {
			t.Fatal(err)
		}
		t.Skip("dig is not installed (Debian: bind9-dnsutils)")
	}
	s, _ := running(t, func(c *Config) { c.Secondaries = []Secondary{{Addr: netip.MustParseAddrPort("127.0.0.1:9")}} })
	out, err := exec.CommandContext(t.Context(), "dig", "@127.0.0.1", "-p", strconv.Itoa(int(s.Addr().Port())), suffix, "AXFR", "+noall", "+answer", "+onesoa").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got, want := strings.Count(string(out), "\n"), len(s.served.Load().zones[suffix+"."].records); got < want {
		t.Errorf("%d lines, want %d\n%s", got, want, out)
	}
}
