// Package peer knows the far sides: who may talk to us, where they are, how
// they stand.
//
// A Set is made from the peers of a snapshot. It is the allow-list of the SIP
// stack (Admit), turns a peer's name into targets in the order they are to be
// tried (Resolve), sends OPTIONS to each peer and answers theirs, and keeps a
// circuit breaker per peer fed by those OPTIONS and by the outcome of calls.
//
// Start reading at Set, then at breaker (pure) and probe. The package refuses
// to choose among peers, which is route's work, and to carry calls.
package peer

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/netip"
	"time"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

// Config is what a Set is made of.
type Config struct {
	Region    string         // the service region of this node: peers without a priority for it are not used
	Listeners []sip.Listener // as given to the stack: a peer is reached from the one of its side and transport
	Resolver  *sip.Resolver
	Roots     *x509.CertPool // trust anchors of TLS peers; nil: the system's
	Interval  time.Duration  // between OPTIONS to a peer that names none; default 60 s
	Product   string         // X-MS-SBC and User-Agent, "Tandem/Gateway/1.0"
	Log       *slog.Logger   // nil: discarded
}

// Set is the peers of the newest snapshot.
type Set struct{}

// NewSet makes an empty set, in which everybody is a stranger.
func NewSet(cfg Config) *Set { panic("todo") }

// Apply replaces the peers by those of a snapshot. A peer that did not change
// keeps its state, its Remote and its connections.
func (s *Set) Apply(snap *snapshot.Snapshot) { panic("todo") }

// Start begins to send OPTIONS through stack, to the peers there are and to
// those that Apply brings later.
func (s *Set) Start(stack *sip.Stack) { panic("todo") }

// Close stops the OPTIONS and waits for what runs.
func (s *Set) Close() { panic("todo") }

// Drain makes Answer say 503 from now on, so that peers move away.
func (s *Set) Drain() { panic("todo") }

// Admit is the allow-list, in the shape the stack wants it.
func (s *Set) Admit(l *sip.Listener, src netip.Addr) []*sip.Remote { panic("todo") }

// Answer answers an OPTIONS that is in no dialog.
func (s *Set) Answer(tx *sip.ServerTx) { panic("todo") }

// Known is a peer with its group, as the snapshot has them.
type Known struct {
	snapshot.Peer
	Group snapshot.Group
}

// Of tells which peer a message came from.
func (s *Set) Of(src sip.Source) (Known, bool) { panic("todo") }

// Find gives a peer by name.
func (s *Set) Find(name string) (Known, bool) { panic("todo") }

// Resolve gives the targets of a peer in the order they are to be tried
// (RFC 3263). The error is one sentence that tells what to do.
func (s *Set) Resolve(ctx context.Context, name string) ([]sip.Target, error) { panic("todo") }

// ResolveHop gives the targets of a next hop inside a dialog with a peer. Only
// addresses that the peer may send from are given, so that a route set cannot
// make us speak to a third party.
func (s *Set) ResolveHop(ctx context.Context, name string, hop sip.URI) ([]sip.Target, error) {
	panic("todo")
}

// Usable tells whether calls may be sent to a peer: it is up or not yet known,
// and its circuit is closed or due for a trial.
func (s *Set) Usable(name string) bool { panic("todo") }

// Outcome is how a request of a call to a peer ended.
type Outcome struct {
	Status     int           // final status, 0 when none came
	Err        error         // transport failure or time-out
	RetryAfter time.Duration // as the peer asked with its 503
}

// Report feeds a peer's circuit breaker.
func (s *Set) Report(name string, o Outcome) { panic("todo") }

// Hold counts a live call through a peer until the function it returns is
// called.
func (s *Set) Hold(name string) func() { panic("todo") }

// Health is how each peer stands, in the order of the snapshot.
func (s *Set) Health() []record.PeerHealth { panic("todo") }

// Strangers counts the messages and connections Admit turned away.
func (s *Set) Strangers() uint64 { panic("todo") }
