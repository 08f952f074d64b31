package design

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tandemgw/tandem/control/gateway"
)

var update = flag.Bool("update", false, "write the golden files")

// good is a production design that meets every requirement.
func good() (Design, gateway.Gateway) {
	location := func(name, calls string, ranges ...string) gateway.ServiceLocation {
		return gateway.ServiceLocation{
			Name: name,
			PrimaryRegionProperties: gateway.PrimaryRegionProperties{
				OperatorAddresses:                     []string{calls},
				AllowedSignalingSourceAddressPrefixes: []string{"192.0.2.0/28", "198.51.100.0/28"},
				AllowedMediaSourceAddressPrefixes:     []string{"192.0.2.16/28", "198.51.100.16/28"},
			},
			ACGAddressRanges: &gateway.ACGAddressRanges{SignalingForOperator: ranges[:1], MediaForOperator: ranges[1:]},
		}
	}
	g := gateway.Gateway{Name: "voice", SKU: &gateway.SKU{Name: "standard"}, Properties: gateway.Properties{
		Platforms:        []string{"OperatorConnect"},
		ServiceLocations: []gateway.ServiceLocation{location("westeurope", "192.0.2.1", "203.0.113.1/32", "203.0.113.2/32"), location("northeurope", "198.51.100.1", "203.0.113.17/32", "203.0.113.18/32")},
	}}
	allows := []string{"203.0.113.0/28", "203.0.113.16/28"}
	fine := func() *BFD { return &BFD{Interval: 150, Multiplier: 3, BGP: true} }
	return Design{
		Sites: []Site{
			{Name: "a", Region: "westeurope", Signalling: []string{"192.0.2.0/28"}, Media: []string{"192.0.2.16/28"}, Allows: allows, CrossConnect: []string{"b"}},
			{Name: "b", Region: "northeurope", Signalling: []string{"198.51.100.0/28"}, Media: []string{"198.51.100.16/28"}, Allows: allows},
		},
		Connections: []Connection{
			{Name: "a-west", Site: "a", Region: "westeurope", Type: Peering, BFD: fine()},
			{Name: "a-north", Site: "a", Region: "northeurope", Type: Peering, BFD: fine()},
			{Name: "b-north", Site: "b", Region: "northeurope", Type: Peering, BFD: fine()},
			{Name: "b-west", Site: "b", Region: "westeurope", Type: Peering, BFD: fine()},
		},
	}, g
}

// The requirements are of Microsoft Learn, "Connectivity for Azure
// Communications Gateway", "Reliability in Azure Communications Gateway" and
// "Prepare to deploy Azure Communications Gateway".
func TestCheck(t *testing.T) {
	for _, x := range []struct {
		name    string
		change  func(*Design, *gateway.Gateway)
		verdict Verdict
		says    string
		about   string
	}{
		{"a good design passes", func(*Design, *gateway.Gateway) {}, Pass, "", ""},
		{"a third region", func(d *Design, g *gateway.Gateway) {
			g.Properties.ServiceLocations = append(g.Properties.ServiceLocations, g.Properties.ServiceLocations[0])
		}, Fail, "the gateway has 3", ""},
		{"one site only", func(d *Design, g *gateway.Gateway) {
			d.Sites, d.Connections, d.Sites[0].CrossConnect = d.Sites[:1], d.Connections[:2], nil
		}, Fail, "the design has 1", ""},
		{"no cross-connect", func(d *Design, g *gateway.Gateway) { d.Sites[0].CrossConnect = nil }, Fail, "a and b have none", "cross-connect a b"},
		{"a site that reaches one region", func(d *Design, g *gateway.Gateway) { d.Connections = d.Connections[:3] }, Fail, "nothing joins b and westeurope", "site b"},
		{"both sites try the same region", func(d *Design, g *gateway.Gateway) { d.Sites[1].Region = "westeurope" }, Warning, "no site tries northeurope first", "region northeurope"},
		{"a region keeps a site out", func(d *Design, g *gateway.Gateway) {
			g.Properties.ServiceLocations[1].PrimaryRegionProperties.AllowedSignalingSourceAddressPrefixes = []string{"198.51.100.0/28"}
		}, Fail, "northeurope does not let in the signalling of site a: add 192.0.2.0/28", "region northeurope"},
		{"media kept out by half", func(d *Design, g *gateway.Gateway) { d.Sites[0].Media = []string{"192.0.2.0/27"} }, Fail, "media of site a: add 192.0.2.0/27", "site a"},
		{"a range that nobody uses", func(d *Design, g *gateway.Gateway) {
			g.Properties.ServiceLocations[0].PrimaryRegionProperties.AllowedMediaSourceAddressPrefixes = []string{"192.0.2.16/28", "198.51.100.16/28", "10.0.0.0/8"}
		}, Warning, "no site is in 10.0.0.0/8 in westeurope", ""},
		{"a site keeps the gateway out", func(d *Design, g *gateway.Gateway) { d.Sites[1].Allows = []string{"203.0.113.16/28"} }, Fail, "site b keeps westeurope out: let in 203.0.113.1/32, 203.0.113.2/32", "site b"},
		{"no edge has told its addresses", func(d *Design, g *gateway.Gateway) {
			for i := range g.Properties.ServiceLocations {
				g.Properties.ServiceLocations[i].ACGAddressRanges = nil
			}
		}, Unknown, "try again when the gateway is Complete", ""},
		{"a region calls nowhere", func(d *Design, g *gateway.Gateway) {
			g.Properties.ServiceLocations[0].PrimaryRegionProperties.OperatorAddresses = []string{"192.0.2.200"}
		}, Warning, "westeurope calls 192.0.2.200, which is in no site", "region westeurope"},
		{"a region calls the other's site", func(d *Design, g *gateway.Gateway) {
			g.Properties.ServiceLocations[0].PrimaryRegionProperties.OperatorAddresses = []string{"198.51.100.1"}
		}, Warning, "in site b, which itself tries northeurope first", "site b"},
		{"over the internet", func(d *Design, g *gateway.Gateway) { d.Connections[0].Type = Internet }, Warning, "a-west is internet", "connection a-west"},
		{"a VPN for Operator Connect", func(d *Design, g *gateway.Gateway) { d.Connections[0].Type = VPN }, Warning, "a-west is vpn", "connection a-west"},
		{"a VPN for Direct Routing", func(d *Design, g *gateway.Gateway) {
			d.Connections[0].Type, g.Properties.Platforms = VPN, []string{"TeamsDirectRouting"}
		}, Pass, "", ""},
		{"a single private circuit", func(d *Design, g *gateway.Gateway) { d.Connections[0].Type = Private }, Fail, "a-west is a single link", "connection a-west"},
		{"no BFD", func(d *Design, g *gateway.Gateway) { d.Connections[1].BFD = nil }, Fail, "a-north has none", "connection a-north"},
		{"slow BFD", func(d *Design, g *gateway.Gateway) { d.Connections[1].BFD.Interval = 1000 }, Fail, "a-north has 1000 ms × 3: set 150 ms × 3", "connection a-north"},
		{"BFD as slow as may be", func(d *Design, g *gateway.Gateway) { d.Connections[1].BFD.Interval = 300 }, Warning, "150 ms is better", "connection a-north"},
		{"BGP without BFD", func(d *Design, g *gateway.Gateway) { d.Connections[1].BFD.BGP = false }, Fail, "let BGP hang on it", "connection a-north"},
		{"a lab with one site over the internet", func(d *Design, g *gateway.Gateway) {
			g.SKU.Name, g.Properties.ServiceLocations = "lab", g.Properties.ServiceLocations[:1]
			d.Sites[0].CrossConnect = nil
			d.Sites, d.Connections = d.Sites[:1], []Connection{{Name: "i", Site: "a", Region: "westeurope", Type: Internet}}
			g.Properties.ServiceLocations[0].PrimaryRegionProperties.AllowedSignalingSourceAddressPrefixes = []string{"192.0.2.0/28"}
			g.Properties.ServiceLocations[0].PrimaryRegionProperties.AllowedMediaSourceAddressPrefixes = []string{"192.0.2.16/28"}
		}, Pass, "", ""},
	} {
		d, g := good()
		x.change(&d, &g)
		if problems := d.Problems(g); problems != nil && x.name != "a third region" {
			t.Errorf("%s: the document has problems: %q", x.name, problems)
		}
		found := Check(d, g)
		if worst := Worst(found); worst != x.verdict {
			t.Errorf("%s: %s, want %s: %+v", x.name, worst, x.verdict, found)
		}
		if x.says == "" {
			continue
		}
		if !slices.ContainsFunc(found, func(f Finding) bool {
			return f.Verdict == x.verdict && strings.Contains(f.Detail, x.says) && (x.about == "" || slices.Contains(f.About, x.about))
		}) {
			t.Errorf("%s: nothing says %q about %q: %+v", x.name, x.says, x.about, found)
		}
	}
}

func TestProblemsOfTheDocument(t *testing.T) {
	d, g := good()
	d.Sites[1].Name, d.Sites[1].Region, d.Sites[0].Allows[0] = "a", "mars", "many"
	d.Sites[0].CrossConnect = []string{"z"}
	d.Connections[0].Type, d.Connections[1].Site, d.Connections[2].Region, d.Connections[3].Name = "wire", "q", "mars", "a-west"
	got := strings.Join(d.Problems(g), "\n")
	for _, want := range []string{
		`sites[1].name "a"`, `sites[1].region "mars": write one of the gateway's service regions, westeurope or northeurope`, `sites[0].allows[0] "many"`,
		`crossConnect[0] "z"`, `connections[0].type "wire"`, `connections[1].site "q"`, `connections[2].region "mars"`, `connections[3].name "a-west"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no problem says %s:\n%s", want, got)
		}
	}
}

func TestPicture(t *testing.T) {
	d, g := good()
	d.Connections[1].BFD, d.Connections[3].Type, d.Sites[0].CrossConnect = nil, Internet, nil
	g.Name = `<script>"voice"`
	got := Draw(d, g, Check(d, g))
	if strings.Contains(got, "<script>") {
		t.Error("a name gets into the picture as it is")
	}
	const file = "testdata/design.svg"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Error(d)
	}
}
