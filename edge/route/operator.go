package route

import (
	"slices"
	"strings"

	"github.com/tandemgw/tandem/link/snapshot"
)

// toOperator: the calling number decides the service, the service the group.
func (r *router) toOperator() {
	n, _ := r.snap.Numbers.Find(r.Calling)
	r.callingService(n)
	if r.out.Refuse != nil {
		return
	}
	if n.Account != r.out.Account {
		n = snapshot.Number{} // somebody else's
	}
	r.header(n)
	if r.out.Emergency && r.snap.Policy.EmergencyGroup != "" {
		if g := r.snap.Group(r.snap.Policy.EmergencyGroup); g != nil {
			r.rule("emergency: directly to peer group " + g.Name + ", then as other calls")
			r.groups = append(r.groups, g)
		}
	}
	g := r.operatorGroup()
	switch {
	case g != nil && !slices.Contains(r.groups, g):
		r.groups = append(r.groups, g)
	case len(r.groups) == 0:
		r.refuse(503, "the gateway has no peers of the operator: give serviceLocations their operatorAddresses, or peerGroups")
	}
	r.elin(n)
}

// elin finds the number by which an emergency caller is shown to groups that
// want the location so: that in the location which came with the call, else
// that of his number (Azure Communications Gateway docs, "Emergency calling for
// Microsoft Teams Direct Routing").
func (r *router) elin(n snapshot.Number) {
	wanted := slices.ContainsFunc(r.groups, func(g *snapshot.Group) bool { return g.Interworking.ELIN })
	switch {
	case !r.out.Emergency || !wanted || r.out.Service != snapshot.TeamsDirectRouting:
	case r.ELIN != "":
		r.out.ELIN = r.ELIN
		r.rule("the caller is shown by the ELIN of the location that came with the call, " + show(r.ELIN))
	case n.ELIN != "":
		r.out.ELIN = n.ELIN
		r.rule("the caller is shown by the ELIN of " + show(n.E164) + ", " + show(n.ELIN) + ": the call came without another")
	default:
		r.rule("the caller is shown by his own number: the call came without an ELIN")
	}
}

// callingService finds the service a call from the cloud is of; n is what is
// provisioned of the caller, if anything.
func (r *router) callingService(n snapshot.Number) {
	var offered []snapshot.Service
	if g := r.snap.Group(r.Group); g != nil {
		offered = g.Services
	}
	if slices.Contains(offered, snapshot.TeamsDirectRouting) && r.directRouting(n) {
		return
	}
	line, isLine := r.snap.Policy.TestLines[r.Calling]
	switch {
	case len(offered) == 0:
		r.rule("peer group " + r.Group + " serves no service")
	case isLine && slices.Contains(offered, line):
		r.out.Service = line
		r.rule(show(r.Calling) + " is a test line of " + string(line))
	case slices.Contains(offered, n.Service):
		r.out.Service, r.out.Account = n.Service, n.Account
		r.rule(show(r.Calling) + " is provisioned for " + string(n.Service))
		r.customer(n.Account)
	case r.FMC && slices.Contains(offered, snapshot.TeamsPhoneMobile):
		r.out.Service = snapshot.TeamsPhoneMobile
		r.rule("X-MS-FMC marks a call of " + string(r.out.Service))
	default:
		r.unknownCaller(offered)
	}
}

// unknownCaller is one whose number is not provisioned for any service of the
// peers that the call came from.
func (r *router) unknownCaller(offered []snapshot.Service) {
	i := slices.IndexFunc(offered, free)
	r.out.Service = offered[max(i, 0)]
	switch {
	case i >= 0 || r.out.Emergency:
		r.rule(show(r.Calling) + " is not provisioned for peer group " + r.Group + ": taken for " + string(r.out.Service))
	default:
		r.refuse(403, show(r.Calling)+" is not provisioned for "+string(r.out.Service)+", which takes provisioned numbers only: provision the number")
	}
}

// directRouting recognises a call of a customer of Direct Routing by the name
// that Teams calls: the number may be anybody's, for the customer's own
// administrators give it out.
func (r *router) directRouting(n snapshot.Number) bool {
	region := r.snap.Region(r.Region)
	if region == nil {
		return false
	}
	label, domain, ok := customerOf(r.Host, region)
	if !ok {
		return false
	}
	r.out.Service, r.out.Label, r.out.Domain = snapshot.TeamsDirectRouting, label, domain
	a, ok := r.snap.Accounts.At(label)
	switch {
	case ok:
		r.out.Account = a.Name
		r.rule(show(r.Host) + " is the subdomain of account " + a.Name + ": a call of " + string(r.out.Service))
		r.screen(a, n)
	case r.out.Emergency:
		r.rule(show(r.Host) + " is no account's subdomain, and an emergency call goes all the same")
	default:
		r.refuse(403, show(r.Host)+" is no account's subdomain: provision the account with the subdomain "+show(label))
	}
	return true
}

// screen lets only callers through whose number is one of the account's (Azure
// Communications Gateway docs, "Overview of interoperability ... Direct
// Routing"). The number is the asserted one, which the operator bills and
// believes; that in From may be another's, as in a forwarded call.
func (r *router) screen(a snapshot.Account, n snapshot.Number) {
	switch {
	case n.E164 != "" && n.Account == a.Name:
		r.rule(show(r.Calling) + " is a number of account " + a.Name)
	case a.AnyCaller:
		r.rule("callers of account " + a.Name + " are not screened")
	case r.out.Emergency:
		r.rule(show(r.Calling) + " is not a number of account " + a.Name + ", and an emergency call goes all the same")
	default:
		r.refuse(403, show(r.Calling)+" is not a number of account "+a.Name+": provision it there, or switch the screening of the account off")
	}
}

// customerOf is the label that host has before a name of the region, and that
// name where it is not the region's own.
func customerOf(host string, region *snapshot.Region) (label, domain string, ok bool) {
	if label, ok = labelOf(host, region.Domain); ok {
		return label, "", true
	}
	for _, domain := range region.Delegated {
		if label, ok = labelOf(host, domain); ok {
			return label, domain, true
		}
	}
	return "", "", false
}

// labelOf is the one label that host has before domain.
func labelOf(host, domain string) (label string, ok bool) {
	host = strings.TrimSuffix(host, ".")
	n := len(host) - len(domain) - 1
	if domain == "" || n < 1 || host[n] != '.' || !strings.EqualFold(host[n+1:], domain) || strings.Contains(host[:n], ".") {
		return "", false
	}
	return strings.ToLower(host[:n]), true
}

// operatorGroup finds the group that takes a service's calls.
func (r *router) operatorGroup() *snapshot.Group {
	if name, ok := r.snap.Policy.ServiceGroup[r.out.Service]; ok {
		if g := r.snap.Group(name); g != nil {
			r.rule("calls of " + string(r.out.Service) + " go to peer group " + name)
			return g
		}
	}
	for i := range r.snap.Groups {
		if g := &r.snap.Groups[i]; g.Side == snapshot.Operator && !g.Tester && g.Name != r.snap.Policy.EmergencyGroup {
			r.rule("calls of " + string(r.out.Service) + " go to " + g.Name + ", the first peer group")
			return g
		}
	}
	return nil
}
