package app

import "github.com/tandemgw/tandem/control/gateway"

// unserved is what a gateway wants and this deployment's configuration does not
// give it.
func (p *plane) unserved(g gateway.Gateway) (list []string) {
	if b := g.Properties.APIBridge; b != nil && b.ConfigureAPIBridge == "enabled" {
		list = append(list, "apiBridge: the Provisioning API is not served yet; provapi leads to this node, which answers nothing of it")
	}
	if g.Properties.TeamsVoicemailPilotNumber != "" {
		list = append(list, "teamsVoicemailPilotNumber: it goes into the onboarding form, and calls to it are routed like others")
	}
	if g.Properties.IntegratedMCPEnabled && p.n.running.Load().cfg.Services.Mobile.Consultation == "" {
		list = append(list, "integratedMcpEnabled: nobody is asked whose calls are a subscriber's, so the Mobile Control Point lets all go on as they are; name Microsoft's consultation in services.mobile.consultation of the control node")
	}
	return list
}
