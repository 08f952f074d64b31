package app

import "github.com/tandemgw/tandem/control/gateway"

// unserved is what a gateway wants and this deployment's configuration does not
// give it.
func (p *plane) unserved(g gateway.Gateway) (list []string) {
	if g.Properties.IntegratedMCPEnabled && p.n.running.Load().cfg.Services.Mobile.Consultation == "" {
		list = append(list, "integratedMcpEnabled: nobody is asked whose calls are a subscriber's, so the Mobile Control Point lets all go on as they are; name Microsoft's consultation in services.mobile.consultation of the control node")
	}
	return list
}
