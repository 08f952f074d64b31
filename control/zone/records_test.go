package zone

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

const suffix = "gateways.lab.example"

// base is that of the gateway in most tests.
const base = "a1b2c3d4e5f6g7h8." + suffix

func edge(node string, operator, cloud string) Edge {
	return Edge{Node: node, Listeners: []Listener{
		{Side: "operator", Transport: "tls", Addr: netip.MustParseAddrPort(operator)},
		{Side: "cloud", Transport: "tls", Addr: netip.MustParseAddrPort(cloud)},
	}}
}

func twoRegions() Gateway {
	return Gateway{
		Base: base,
		Regions: []Region{
			{Name: "westeurope", Edges: []Edge{edge("r1-a", "192.0.2.1:5061", "198.51.100.1:5063"), edge("r1-b", "192.0.2.2:5061", "198.51.100.2:5063")}},
			{Name: "northeurope", Edges: []Edge{edge("r2-a", "[2001:db8::21]:5061", "203.0.113.1:5063")}},
		},
		API:       []netip.Addr{netip.MustParseAddr("192.0.2.100")},
		MCP:       true,
		Delegated: []string{"voice.telecom.example"},
		Customers: []string{"contoso"},
	}
}

func twoServers() []NameServer {
	return []NameServer{
		{Name: "ns1." + suffix, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.53")}},
		{Name: "ns2.telecom.example"},
	}
}

// print writes zones as a zone file, sorted.
func print(zones []Zone) string {
	var b strings.Builder
	for _, z := range zones {
		fmt.Fprintf(&b, "; %s\n", z.Apex)
		lines := make([]string, len(z.Records))
		for i, rr := range z.Records {
			lines[i] = strings.ReplaceAll(rr.String(), "\t", " ")
		}
		slices.Sort(lines)
		b.WriteString(strings.Join(lines, "\n") + "\n")
	}
	return b.String()
}

func TestRecords(t *testing.T) {
	got := print(Records(Input{
		Suffix: suffix, Contact: "dns.admin@telecom.example", NameServers: twoServers(), Gateways: []Gateway{twoRegions()},
		Texts: []Text{
			{Name: "fabrikam.1r1." + base, Value: "MS=ms12345678"},
			{Name: "_acme-challenge.r1." + base, Value: `quote " and \`},
			{Name: "contoso.1r1.voice.telecom.example", Value: "MS=ms87654321"},
			{Name: "token.nobody." + suffix, Value: "left out"},
		},
	}))
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile("testdata/records.zone", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/records.zone")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestARegionsSRVRecordsLeadToAllItsEdgesAndNoOther(t *testing.T) {
	zones := Records(Input{Suffix: suffix, NameServers: twoServers(), Gateways: []Gateway{twoRegions()}})
	c := newContent(zones[0], 1)
	for name, want := range map[string]map[string]uint16{
		"_sip._tls.r1." + base + ".":      {"sbc1.r1." + base + ".": 10, "sbc2.r1." + base + ".": 10},
		"_sips._tcp.r1." + base + ".":     {"sbc1.r1." + base + ".": 10, "sbc2.r1." + base + ".": 10},
		"_sip._tls.mcp.r1." + base + ".":  {"sbc1.r1." + base + ".": 10, "sbc2.r1." + base + ".": 10, "sbc1.r2." + base + ".": 20},
		"_sip._tls.mcp.r2." + base + ".":  {"sbc1.r1." + base + ".": 20, "sbc2.r1." + base + ".": 20, "sbc1.r2." + base + ".": 10},
		"_sip._tcp.r1." + base + ".":      {},
		"_sip._tls.1r1." + base + ".":     {},
		"_sip._tls.mcp.1r1." + base + ".": {},
	} {
		got := map[string]uint16{}
		for _, rr := range c.nodes[name][dns.TypeSRV] {
			srv := rr.(*dns.SRV)
			if srv.Port != 5061 || srv.Weight != 100 {
				t.Errorf("%s: %v", name, srv)
			}
			if len(c.nodes[srv.Target][dns.TypeA])+len(c.nodes[srv.Target][dns.TypeAAAA]) == 0 {
				t.Errorf("%s leads to %s, which has no address", name, srv.Target)
			}
			got[srv.Target] = srv.Priority
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestTimesToLive(t *testing.T) {
	c := newContent(Records(Input{Suffix: suffix, NameServers: twoServers(), Gateways: []Gateway{twoRegions()}})[0], 1)
	for name, want := range map[string]uint32{
		"provapi." + base + ".": 60,     // Microsoft Learn, "Reliability in Azure Communications Gateway"
		suffix + ".":            172800, // Microsoft Learn, "Deploy Azure Communications Gateway": two days for NS
	} {
		for kind, set := range c.nodes[name] {
			if kind == dns.TypeSOA {
				continue
			}
			if got := set[0].Header().Ttl; got != want {
				t.Errorf("%s %s: TTL %d, want %d", name, dns.TypeToString[kind], got, want)
			}
		}
	}
}

func TestPeerGroupsHaveNamesOfTheirOwn(t *testing.T) {
	g := twoRegions()
	g.PeerGroups = []PeerGroup{{Name: "Fixed", Transport: "tls"}, {Name: "legacy", Transport: "udp"}}
	g.Regions[0].Edges[0].Listeners = append(g.Regions[0].Edges[0].Listeners, Listener{Side: "operator", Transport: "udp", Addr: netip.MustParseAddrPort("192.0.2.9:5060")})
	c := newContent(Records(Input{Suffix: suffix, NameServers: twoServers(), Gateways: []Gateway{g}})[0], 1)
	if got := len(c.nodes[canonical(PeerGroupSRV(g.PeerGroups[0], base, 1))][dns.TypeSRV]); got != 2 {
		t.Errorf("group Fixed has %d targets, want 2", got)
	}
	if set := c.nodes[canonical(PeerGroupSRV(g.PeerGroups[1], base, 1))][dns.TypeSRV]; len(set) != 1 || set[0].(*dns.SRV).Port != 5060 {
		t.Errorf("group legacy: %v", set)
	}
}

func TestDelegatedDomainsHaveFourNameServers(t *testing.T) {
	for name, list := range map[string][]NameServer{
		"one inside":             {{Name: "ns1." + suffix, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.53")}}},
		"one inside, one not":    twoServers(),
		"a name of ours outside": {{Name: "dns.telecom.example", Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.53")}}},
	} {
		zones := Records(Input{Suffix: suffix, NameServers: list, Gateways: []Gateway{twoRegions()}})
		if len(zones) != 2 {
			t.Fatalf("%s: %d zones", name, len(zones))
		}
		main, own := newContent(zones[0], 1), newContent(zones[1], 1)
		if got := len(own.nodes[own.apex][dns.TypeNS]); got != 4 {
			t.Errorf("%s: %d name servers, want 4", name, got)
		}
		for _, rr := range own.nodes[own.apex][dns.TypeNS] {
			if ns := rr.(*dns.NS).Ns; inside(ns, main.apex) && len(main.nodes[ns][dns.TypeA]) == 0 {
				t.Errorf("%s: %s has no address", name, ns)
			}
		}
	}
}

func TestADomainClaimedTwiceBelongsToTheFirst(t *testing.T) {
	one, other := twoRegions(), twoRegions()
	other.Base = "z9." + suffix
	other.Regions = other.Regions[:1]
	within := twoRegions()
	within.Base, within.Delegated = "y9."+suffix, []string{"a." + suffix, "below.voice.telecom.example"}
	zones := Records(Input{Suffix: suffix, NameServers: twoServers(), Gateways: []Gateway{one, other, within}})
	if len(zones) != 2 || len(newContent(zones[1], 1).nodes["1r2.voice.telecom.example."]) == 0 {
		t.Errorf("%s", print(zones))
	}
}

// Whatever the facts, the zone can be written and read again, has one SOA, and
// no record stands twice.
func TestRecordsOfAnyGatewayAreAZone(t *testing.T) {
	addr := rapid.Custom(func(t *rapid.T) netip.AddrPort {
		return netip.AddrPortFrom(rapid.SampledFrom([]netip.Addr{
			{}, netip.IPv4Unspecified(), netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("::ffff:192.0.2.8"), netip.MustParseAddr("2001:db8::1"),
		}).Draw(t, "addr"), rapid.Uint16().Draw(t, "port"))
	})
	listener := rapid.Custom(func(t *rapid.T) Listener {
		return Listener{
			Side: rapid.SampledFrom([]string{"operator", "cloud"}).Draw(t, "side"), Transport: rapid.SampledFrom([]string{"tls", "tcp", "udp"}).Draw(t, "transport"),
			Addr: addr.Draw(t, "at"),
		}
	})
	edges := rapid.Custom(func(t *rapid.T) Edge { return Edge{Listeners: rapid.SliceOfN(listener, 0, 4).Draw(t, "listeners")} })
	regions := rapid.Custom(func(t *rapid.T) Region { return Region{Name: "x", Edges: rapid.SliceOfN(edges, 0, 3).Draw(t, "edges")} })
	rapid.Check(t, func(t *rapid.T) {
		g := Gateway{
			Base: base, MCP: rapid.Bool().Draw(t, "mcp"), Regions: rapid.SliceOfN(regions, 0, 2).Draw(t, "regions"),
			Customers: rapid.SliceOfN(rapid.StringMatching(`[a-z0-9]{1,10}`), 0, 3).Draw(t, "customers"),
			Delegated: rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,5}\.[a-z]{2,4}`), 0, 2).Draw(t, "delegated"),
		}
		texts := []Text{{Name: rapid.StringMatching(`[a-z_]{1,4}\.[a-z0-9]{1,3}\.1r1\.`).Draw(t, "text") + base, Value: rapid.String().Draw(t, "value")}}
		for _, z := range Records(Input{Suffix: suffix, NameServers: twoServers(), Gateways: []Gateway{g}, Texts: texts}) {
			seen, soas := map[string]bool{}, 0
			for _, rr := range z.Records {
				if rr.Header().Rrtype == dns.TypeSOA {
					soas++
				}
				if text := rr.String(); seen[text] {
					t.Fatalf("twice: %s", text)
				} else {
					seen[text] = true
				}
				wire := make([]byte, 4096)
				n, err := dns.PackRR(rr, wire, 0, nil, false)
				if err != nil {
					t.Fatalf("%s: %v", rr, err)
				}
				if back, _, err := dns.UnpackRR(wire[:n], 0); err != nil || !dns.IsDuplicate(back, rr) {
					t.Fatalf("%s is read as %s: %v", rr, back, err)
				}
			}
			if soas != 1 || z.Records[0].Header().Rrtype != dns.TypeSOA {
				t.Fatalf("%d SOA records", soas)
			}
		}
	})
}

func TestMailbox(t *testing.T) {
	if got := mailbox("dns.admin@Telecom.example"); got != `dns\.admin.telecom.example.` { // RFC 1035 §8
		t.Error(got)
	}
}

// The Mobile Control Point is found by the protocol that the gateway says for
// it (signalingProtocolForMcp).
func TestTheMobileControlPointIsFoundByItsProtocol(t *testing.T) {
	for _, protocol := range []string{"tls", "tcp"} {
		g := twoRegions()
		for r := range g.Regions {
			for e := range g.Regions[r].Edges {
				at := &g.Regions[r].Edges[e]
				at.Listeners = append(at.Listeners, Listener{Side: "operator", Transport: "tcp", Addr: netip.MustParseAddrPort("192.0.2.99:5060")})
			}
		}
		g.MCPTransport = protocol
		z := newContent(Records(Input{Suffix: suffix, NameServers: twoServers(), Gateways: []Gateway{g}})[0], 1)
		for _, t2 := range []string{"tls", "tcp"} {
			if found := len(z.nodes["_sip._"+t2+".mcp.r1."+base+"."]) > 0; found != (t2 == protocol) {
				t.Errorf("%s is set; SRV of %s: %v", protocol, t2, found)
			}
		}
	}
}
