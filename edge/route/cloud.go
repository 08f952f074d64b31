package route

import (
	"slices"
	"strings"

	"github.com/tandemgw/tandem/link/snapshot"
)

// toCloud: the called number decides, then the group the call came from.
func (r *router) toCloud() {
	if r.out.Emergency {
		// The core has the way to the emergency service, the cloud has none.
		// Refusing at once lets it go that way; waiting for Teams would not.
		r.refuse(404, "emergency calls from the operator's network end there: route "+show(r.Dialled)+" to the emergency service in the core")
		return
	}
	if !r.calledService() {
		return
	}
	g := r.cloudGroup(r.out.Service)
	switch {
	case g == nil:
		r.refuse(404, "the gateway has no peers for "+string(r.out.Service)+": add it to properties.platforms")
	case r.FMC && r.out.Service != snapshot.Zoom && !r.snap.MCP.Routes(r.Called):
		// Azure Communications Gateway docs, Teams Phone Mobile: a call that
		// bears X-MS-FMC is anchored in Teams already and would come round
		// again for ever.
		r.refuse(482, "the INVITE bears X-MS-FMC, so it has been through Teams: the core must deliver it, not send it back")
	default:
		r.groups = append(r.groups, g)
	}
}

// calledService finds the service a call from the operator is for.
func (r *router) calledService() bool {
	if r.Recall != "" {
		r.rule(show(r.Called) + " is the ELIN by which " + show(r.Recall) + " has called the emergency service: the call is for him")
		r.Called, r.out.Called = r.Recall, r.Recall
	}
	if r.FMC && r.snap.MCP.Routes(r.Called) {
		r.out.Service = snapshot.TeamsPhoneMobile
		r.rule(show(r.Called) + " is a routing number: the Mobile Control Point sends a subscriber's call to Teams")
		return true
	}
	if s, ok := r.snap.Policy.TestLines[r.Called]; ok {
		r.out.Service = s
		r.rule(show(r.Called) + " is a test line of " + string(s))
		return true
	}
	if n, ok := r.snap.Numbers.Find(r.Called); ok {
		r.out.Service, r.out.Account = n.Service, n.Account
		r.rule(show(r.Called) + " is provisioned for " + string(n.Service))
		r.customer(n.Account)
		r.header(n)
		return true
	}
	s, ok := r.snap.Policy.GroupService[r.Group]
	switch {
	case !ok:
		r.refuse(404, show(r.Called)+" is not provisioned and peer group "+r.Group+
			" has no default service: provision the number, or map the group in callPolicy.defaultMappings.peerGroupToService")
	case !free(s):
		r.refuse(404, show(r.Called)+" is not provisioned, and "+string(s)+", the default of peer group "+r.Group+
			", takes provisioned numbers only: provision the number")
	default:
		r.out.Service = s
		r.rule(show(r.Called) + " is not provisioned: peer group " + r.Group + " defaults to " + string(s))
	}
	return r.out.Refuse == nil
}

// free tells whether a service takes numbers that are not provisioned. Direct
// Routing cannot, since the tenant is found by the number, and Zoom does not
// (Azure Communications Gateway docs, "Overview of interoperability").
func free(s snapshot.Service) bool {
	return s == snapshot.OperatorConnect || s == snapshot.TeamsPhoneMobile
}

func (r *router) cloudGroup(s snapshot.Service) *snapshot.Group {
	for i := range r.snap.Groups {
		if g := &r.snap.Groups[i]; g.Side == snapshot.Cloud && !g.Tester && slices.Contains(g.Services, s) {
			return g
		}
	}
	return nil
}

// customer names us as the account's customer knows us: Direct Routing finds
// the tenant by the host in Contact (Microsoft Teams docs, "Configure a Session
// Border Controller for multiple tenants").
func (r *router) customer(account string) {
	if r.out.Service != snapshot.TeamsDirectRouting {
		return
	}
	a, ok := r.snap.Accounts.Find(account)
	if !ok || a.Subdomain == "" {
		r.rule("Direct Routing: account " + show(account) + " has no subdomain, so it is the carrier's own tenant")
		return
	}
	r.out.Label = strings.ToLower(a.Subdomain)
	if region := r.snap.Region(r.Region); region != nil && len(region.Delegated) > 0 {
		r.out.Domain = region.Delegated[0]
	}
	r.rule("Direct Routing: account " + a.Name + " has the subdomain " + r.out.Label)
}

// header finds the value of the custom header that messages into the
// operator's network bear: that of the number in the cloud, on whichever end
// of the call it is. Teams Phone Mobile has none (Azure Communications Gateway
// docs, "Overview of interoperability").
func (r *router) header(n snapshot.Number) {
	if n.Header == "" || r.snap.Header == "" || n.Service == snapshot.TeamsPhoneMobile {
		return
	}
	r.out.Header = n.Header
	r.rule(r.snap.Header + " is " + show(n.Header) + ", as for all calls of " + show(n.E164))
}
