package publish

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandemgw/tandem/link/snapshot"
)

// The Mobile Control Point is in the snapshot when, and only when, the gateway
// wants its own.
func TestTheMobileControlPoint(t *testing.T) {
	in := func() Input {
		in := Input{Revision: 1, Gateway: resource(t, "gateway-static"), Domains: map[string]string{}}
		in.Gateway.Properties.IntegratedMCPEnabled = true
		in.Gateway.Properties.Platforms = []string{"OperatorConnect", "TeamsPhoneMobile"}
		for i, l := range in.Gateway.Properties.ServiceLocations {
			in.Domains[l.Name] = []string{"1r1", "1r2"}[i] + ".label.gw.example"
		}
		in.Services.Mobile = Mobile{
			Consultation: "https://consultation.example/ask", Timeout: 2 * time.Second,
			RoutingNumbers: []string{"+44808157"}, Names: []string{"mcp.core.example"}, TLS: TLS{Min: "1.3"},
		}
		return in
	}
	compile := func(in Input) *snapshot.MCP {
		t.Helper()
		s, err := Compile(in)
		if err != nil {
			t.Fatal(err)
		}
		return s.MCP
	}
	want := &snapshot.MCP{
		Names: []string{"mcp.core.example", "mcp.r1.label.gw.example", "mcp.r2.label.gw.example"},
		URL:   "https://consultation.example/ask", TLS: snapshot.TLS{Min: "1.3"}, Timeout: 2 * time.Second, Routing: []string{"+44808157"},
	}
	if diff := cmp.Diff(want, compile(in())); diff != "" {
		t.Error(diff)
	}
	off := in()
	off.Gateway.Properties.IntegratedMCPEnabled = false
	if m := compile(off); m != nil {
		t.Errorf("turned off: %+v", m)
	}
	own := in()
	for name := range own.Domains {
		own.Domains[name] = "voice.operator.example" // a node that stands alone has any
	}
	if m := compile(own); strings.Join(m.Names, " ") != "mcp.core.example" {
		t.Errorf("names %q", m.Names)
	}
}
