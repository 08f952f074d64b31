package app

import (
	"strings"
	"testing"

	"github.com/tandemgw/tandem/control/gateway"
)

// A Mobile Control Point that asks nobody is warned of.
func TestAMobileControlPointThatAsksNobodyIsWarnedOf(t *testing.T) {
	n, _ := controlNode(t)
	var g gateway.Gateway
	if got := n.plane.Load().unserved(g); len(got) > 0 {
		t.Errorf("without one: %v", got)
	}
	g.Properties.IntegratedMCPEnabled = true
	if got := n.plane.Load().unserved(g); len(got) != 1 || !strings.Contains(got[0], "services.mobile.consultation") {
		t.Errorf("with one: %v", got)
	}
}

// Each property that is kept and does nothing is told of.
func TestWhatIsKeptAndDoesNothingIsWarnedOf(t *testing.T) {
	n, _ := controlNode(t)
	for want, change := range map[string]func(*gateway.Properties){
		"apiBridge":                 func(p *gateway.Properties) { p.APIBridge = &gateway.APIBridge{ConfigureAPIBridge: "enabled"} },
		"teamsVoicemailPilotNumber": func(p *gateway.Properties) { p.TeamsVoicemailPilotNumber = "+441134960000" },
	} {
		var g gateway.Gateway
		change(&g.Properties)
		if got := n.plane.Load().unserved(g); len(got) != 1 || !strings.HasPrefix(got[0], want+": ") {
			t.Errorf("%s: %q", want, got)
		}
	}
	var g gateway.Gateway
	g.Properties.APIBridge = &gateway.APIBridge{ConfigureAPIBridge: "disabled"}
	if got := n.plane.Load().unserved(g); len(got) > 0 {
		t.Errorf("nothing is asked for: %q", got)
	}
}
