// Package route turns the facts of a call and a snapshot into the ordered
// list of peers to try, with the reason for each in words.
//
// It is pure: no clock, no I/O, no state; chance comes in as a seed. It knows
// nothing of SIP messages (edge/call reads the facts out of the INVITE, with
// numbers already made E.164 by edge/interop) nor of sockets (edge/peer turns
// a target into an address). Start reading at Route.
package route

import "github.com/tandemgw/tandem/link/snapshot"

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
func Route(f Facts, s *snapshot.Snapshot, health Health) Decision { panic("todo") }

// Outcome is how an attempt at a target ended without an answer.
type Outcome struct {
	Status  int  // final SIP status, 0 when none came
	Timeout bool // no final response in time
	Failed  bool // the transport failed: refused, reset, TLS
}

// Retry tells whether the next target may be tried.
func Retry(o Outcome) bool { panic("todo") }
