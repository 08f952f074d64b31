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
