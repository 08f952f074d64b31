// Package route turns the facts of a call and a snapshot into the ordered
// list of peers to try, with the reason for each in words.
//
// It is pure: no clock, no I/O, no state; chance comes in as a seed. It knows
// nothing of SIP messages (edge/call reads the facts out of the INVITE, with
// numbers already made E.164 by edge/interop) nor of sockets (edge/peer turns
// a target into an address). Start reading at Route.
package route

import (
	"slices"
	"strconv"

	"github.com/tandemgw/tandem/link/snapshot"
)

// Facts are what routing wants to know of a call.
type Facts struct {
	From    snapshot.Side // network the call came from
	Group   string        // peer group it came from
	Peer    string        // peer it came from
	Dialled string        // user part of the Request-URI as received: dial strings are looked for here
	Called  string        // called number, E.164 where interop could make it so
	Calling string        // calling number, E.164 where known
	Region  string        // service region of this node
	FMC     bool          // the INVITE bears X-MS-FMC: it has been through Teams already
	Seed    uint64        // spreads calls over peers of equal priority
}

// Health tells whether a peer's circuit breaker is open. A nil Health takes
// every peer for well.
type Health func(peer string) (suspended bool)

// Target is one peer to try.
type Target struct {
	Group *snapshot.Group // RO, the snapshot's
	Peer  *snapshot.Peer  // RO, the snapshot's
	Why   string          // "local region, priority 0"
}

// Refusal is the answer to a call that has nowhere to go.
type Refusal struct {
	Status int    // SIP
	Q850   int    // RFC 6432 cause
	Text   string // one sentence with what to do
}

// Decision is where a call goes.
type Decision struct {
	Service   snapshot.Service // service that the call is for or from
	Account   string           // account of the number that decided, if one did
	Emergency bool             // never refused for load
	Targets   []Target         // in the order to try; each peer at most once
	Rules     []string         // what decided, in words, in order
	Refuse    *Refusal         // set when, and only when, there are no targets
}

// Route decides where a call goes.
func Route(f Facts, s *snapshot.Snapshot, health Health) Decision {
	r := router{Facts: f, snap: s, health: health}
	if s.IsEmergency(f.Dialled) || s.IsEmergency(f.Called) {
		r.out.Emergency = true
		r.rule(show(f.Dialled) + " is an emergency dial string")
	}
	if f.From == snapshot.Operator {
		r.toCloud()
	} else {
		r.toOperator()
	}
	if r.out.Refuse == nil {
		r.order()
	}
	return r.out
}

// router is one decision in the making.
type router struct {
	Facts
	snap   *snapshot.Snapshot
	health Health
	groups []*snapshot.Group // to try, in this order
	out    Decision
}

func (r *router) rule(text string) { r.out.Rules = append(r.out.Rules, text) }

func (r *router) refuse(status int, text string) {
	r.out.Refuse = &Refusal{status, causes[status], text}
}

// causes are the Q.850 causes of our own refusals (RFC 3398 §8.2.6.1).
var causes = map[int]int{
	404: 1,  // unallocated number
	482: 25, // exchange routing error
	503: 41, // temporary failure
}

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
	case r.FMC && g.Profile == "teams":
		// Microsoft Teams docs, Teams Phone Mobile: a call that bears X-MS-FMC
		// is anchored in Teams already and would come round again for ever.
		r.refuse(482, "the INVITE bears X-MS-FMC, so it has been through Teams: the core must deliver it, not send it back")
	default:
		r.groups = append(r.groups, g)
	}
}

// calledService finds the service a call from the operator is for.
func (r *router) calledService() bool {
	if n, ok := r.snap.Numbers.Find(r.Called); ok {
		r.out.Service, r.out.Account = n.Service, n.Account
		r.rule(show(r.Called) + " is provisioned for " + string(n.Service))
		return true
	}
	if s, ok := r.snap.Policy.GroupService[r.Group]; ok {
		r.out.Service = s
		r.rule(show(r.Called) + " is not provisioned: peer group " + r.Group + " defaults to " + string(s))
		return true
	}
	r.refuse(404, show(r.Called)+" is not provisioned and peer group "+r.Group+
		" has no default service: provision the number, or map the group in callPolicy.defaultMappings.peerGroupToService")
	return false
}

func (r *router) cloudGroup(s snapshot.Service) *snapshot.Group {
	for i := range r.snap.Groups {
		if g := &r.snap.Groups[i]; g.Side == snapshot.Cloud && slices.Contains(g.Services, s) {
			return g
		}
	}
	return nil
}

// toOperator: the calling number decides the service, the service the group.
func (r *router) toOperator() {
	r.callingService()
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
}

// callingService finds the service a call from the cloud is of.
func (r *router) callingService() {
	var offered []snapshot.Service
	if g := r.snap.Group(r.Group); g != nil {
		offered = g.Services
	}
	n, ok := r.snap.Numbers.Find(r.Calling)
	switch {
	case ok && slices.Contains(offered, n.Service):
		r.out.Service, r.out.Account = n.Service, n.Account
		r.rule(show(r.Calling) + " is provisioned for " + string(n.Service))
	case len(offered) == 0:
		r.rule("peer group " + r.Group + " serves no service")
	case r.FMC && slices.Contains(offered, snapshot.TeamsPhoneMobile):
		r.out.Service = snapshot.TeamsPhoneMobile
		r.rule("X-MS-FMC marks a call of " + string(r.out.Service))
	default:
		r.out.Service = offered[0]
		r.rule(show(r.Calling) + " is not provisioned for peer group " + r.Group + ": taken for " + string(r.out.Service))
	}
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
		if g := &r.snap.Groups[i]; g.Side == snapshot.Operator && g.Name != r.snap.Policy.EmergencyGroup {
			r.rule("calls of " + string(r.out.Service) + " go to " + g.Name + ", the first peer group")
			return g
		}
	}
	return nil
}

// show puts a number of the far side into a sentence; what no number would
// hold is escaped, since sentences end in logs and on terminals.
func show(number string) string {
	const longest = 64
	plain := len(number) > 0 && len(number) <= longest
	for i := 0; plain && i < len(number); i++ {
		c := number[i]
		plain = c == '+' || c == '*' || c == '#' || c == '-' || c == '.' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
	}
	if plain {
		return number
	}
	return strconv.QuoteToASCII(number[:min(len(number), longest)])
}
