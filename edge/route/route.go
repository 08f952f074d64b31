// Package route turns the facts of a call and a snapshot into the ordered
// list of peers to try, with the reason for each in words.
//
// It is pure: no clock, no I/O, no state; chance comes in as a seed. It knows
// nothing of SIP messages (edge/call reads the facts out of the INVITE, with
// numbers already made E.164 by edge/interop) nor of sockets (edge/peer turns
// a target into an address). Start reading at Route.
package route

import (
	"strconv"

	"github.com/tandemgw/tandem/link/snapshot"
)

// Facts are what routing wants to know of a call.
type Facts struct {
	From    snapshot.Side // network the call came from
	Group   string        // peer group it came from
	Peer    string        // peer it came from
	Dialled string        // user part of the Request-URI, Contact or Refer-To as received: dial strings are looked for here
	Called  string        // called number, E.164 where interop could make it so
	Calling string        // calling number, E.164 where known: the asserted one, else that of From
	Host    string        // host of the Request-URI as received: Direct Routing calls its customers by their subdomains
	Region  string        // service region of this node
	ELIN    string        // number that the location in the INVITE has, as it stands there
	Recall  string        // who has called the emergency service from Called as the number of his location, not long ago
	FMC     bool          // the INVITE bears X-MS-FMC: it has been through the Mobile Control Point or through Teams
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
	Account   string           // account of the number, or of the subdomain, that decided, if one did
	Label     string           // before our name on the cloud's leg, the customer's subdomain; empty: the bare name
	Domain    string           // that Label stands before, where it is not the region's own
	Header    string           // value of the custom header into the operator's network; empty: none
	ELIN      string           // number of his location by which an emergency caller is shown; empty: his own
	Called    string           // whom the call is for, when that is not Facts.Called
	Emergency bool             // never refused for load
	Targets   []Target         // in the order to try; each peer at most once
	Rules     []string         // what decided, in words, in order
	Refuse    *Refusal         // set when, and only when, there are no targets
}

// Route decides where a call goes.
func Route(f Facts, s *snapshot.Snapshot, health Health) Decision {
	r := router{Facts: f, snap: s, health: health}
	r.emergency()
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

// emergency looks for dial strings, whatever way the number came: dialled, in
// a redirection, as the target of a transfer.
func (r *router) emergency() {
	if r.snap.IsEmergency(r.Dialled) || r.snap.IsEmergency(r.Called) {
		r.out.Emergency = true
		r.rule(show(r.Dialled) + " is an emergency dial string")
	}
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
	403: 21, // call rejected
	404: 1,  // unallocated number
	482: 25, // exchange routing error
	503: 41, // temporary failure
}

// show puts a number of the far side into a sentence; what no number would
// hold is escaped, since sentences end in logs and on terminals.
func show(number string) string {
	const longest = 64
	plain := len(number) > 0 && len(number) <= longest
	for i := 0; plain && i < len(number); i++ {
		c := number[i]
		plain = c == '+' || c == '*' || c == '#' || c == '-' || c == '.' || c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
	}
	if plain {
		return number
	}
	return strconv.QuoteToASCII(number[:min(len(number), longest)])
}
