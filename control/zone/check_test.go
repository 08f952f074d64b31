package zone

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/sandbox/dns"
)

// resolving is a resolver that follows delegations once it is told of them.
func resolving(t *testing.T) *dns.Server {
	t.Helper()
	r, err := dns.Start(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func standing(t *testing.T, s *Set) Standing {
	t.Helper()
	c, err := s.Look(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLookSeesWhatFarSidesSee(t *testing.T) {
	r := resolving(t)
	s, w := running(t, func(c *Config) { c.Resolvers = []netip.AddrPort{r.Addr()} })

	c := standing(t, s)
	if !c.Published || c.Delegated || !c.Resolves || len(c.Problems) != 0 || len(c.Parents) != 2 {
		t.Errorf("before the delegation: %+v", c)
	}
	lacking := strings.Join(c.Add, "\n")
	for _, want := range []string{
		suffix + ". 172800 IN NS ns1." + suffix + ".",
		suffix + ". 172800 IN NS ns2.telecom.example.",
		"ns1." + suffix + ". 172800 IN A 192.0.2.53", // glue
		"voice.telecom.example. 172800 IN NS ns2." + suffix + ".",
	} {
		if !strings.Contains(lacking, want) {
			t.Errorf("%q is not in\n%s", want, lacking)
		}
	}
	absent, advice, err := s.Check(t.Context(), base)
	if err != nil || absent != "" || !strings.Contains(advice, "not delegated to this gateway yet") {
		t.Errorf("%q, %q, %v", absent, advice, err)
	}

	r.Forward(suffix, s.Addr())
	r.Forward("voice.telecom.example", s.Addr())
	if c = standing(t, s); !c.Published || !c.Delegated || !c.Resolves || len(c.Problems)+len(c.Add) != 0 {
		t.Errorf("after the delegation: %+v", c)
	}

	// A region whose edges have no address of their own.
	g := twoRegions()
	g.Base, g.Delegated = "other."+suffix, []string{"voice.telecom.example"}
	g.Regions[1].Edges = []Edge{edge("r2-a", "0.0.0.0:5061", "0.0.0.0:5063")}
	w.set([]Gateway{twoRegions(), g}, nil)
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err = s.Look(t.Context(), g.Base)
	if err != nil || c.Published || len(c.Problems) != 3 {
		t.Errorf("%+v, %v", c, err)
	}
	if said := strings.Join(c.Problems, "\n"); !strings.Contains(said, "1r2.other."+suffix+" has no address: no edge of region northeurope") || !strings.Contains(said, "served for another gateway") {
		t.Error(said)
	}
	if _, err := s.Look(t.Context(), "nobody."+suffix); err == nil {
		t.Error("a gateway that is not there has a standing")
	}
}

func TestLookSeesAResolverThatRemembers(t *testing.T) {
	r := resolving(t)
	s, _ := running(t, func(c *Config) { c.Resolvers = []netip.AddrPort{r.Addr()} })
	// Everything is delegated to another server, which has an older copy.
	w := &world{facts: []Gateway{twoRegions()}}
	w.facts[0].Regions[0].Edges = w.facts[0].Regions[0].Edges[:1]
	old := open(t, storetest.New(t), w)
	if err := old.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Forward(suffix, old.Addr())
	r.Forward("voice.telecom.example", old.Addr())
	c := standing(t, s)
	if c.Resolves || !c.Delegated || !strings.Contains(strings.Join(c.Problems, "\n"), "A r1."+base+" still resolves to what it was") {
		t.Errorf("%+v", c)
	}
}

func TestLookWithoutAResolver(t *testing.T) {
	s, _ := running(t, func(c *Config) { c.Resolvers = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")} })
	c := standing(t, s)
	if c.Delegated || !c.Resolves || !strings.Contains(c.Parents[0], "resolver 127.0.0.1:1 does not answer") {
		t.Errorf("%+v", c)
	}
}
