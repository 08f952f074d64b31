// Package call is the heart of the gateway: one call as a back-to-back user
// agent that anchors media.
//
// A Set takes new requests from the SIP stack and makes or finds the call.
// Each call is one goroutine, run in run.go, which owns all of it; everybody
// else posts an event into its mailbox. What a call does is decided by step
// (step.go), a method of a plain struct without I/O, clock, goroutine or global
// randomness: it takes an event and gives effects, which run carries out.
//
// The two legs are the same code: caller is the one that came first, callee
// the other one, whichever side of the gateway they are on. Every message that
// leaves is built new, so nothing of one side can reach the other unless
// interop put it there.
//
// Start reading at state (state.go), then step, then invite.go.
package call

import (
	"context"
	"log/slog"
	"time"

	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

// Config is what a Set is made of.
type Config struct {
	Node, Region string
	Peers        *peer.Set
	Relay        *relay.Relay
	// Interfaces names the media interface of each side.
	Interfaces map[record.Side]string
	Snapshot   func() *snapshot.Snapshot
	Records    Records
	Limits     Limits
	Log        *slog.Logger // nil: discarded
}

// Records is where the records of calls go.
type Records interface {
	// Begin returns once the record is durable.
	Begin(ctx context.Context, c record.Call) error
	Answer(c record.Call)
	End(c record.Call)
}

// Limits bound calls; zero fields mean the defaults beside them.
type Limits struct {
	Calls         int           // at once, emergency calls aside: 20000
	FirstResponse time.Duration // to any response while there is another target: 4 s
	Ringing       time.Duration // from the INVITE to the final response: 3 min (RFC 3261 timer C)
	Duration      time.Duration // of an answered call: 0, unlimited
}

// Set is the calls of a node.
type Set struct{}

// NewSet makes a Set. It answers 503 until Start.
func NewSet(cfg Config) *Set { panic("todo") }

// Start gives the Set the stack that its Handle functions were given to.
func (s *Set) Start(stack *sip.Stack) { panic("todo") }

// Handle takes a new request from the stack. It never blocks.
func (s *Set) Handle(tx *sip.ServerTx) { panic("todo") }

// HandleAck takes an ACK to a 2xx from the stack.
func (s *Set) HandleAck(m *sip.Message, src sip.Source) { panic("todo") }

// HandleStray takes a response that matches no transaction from the stack.
func (s *Set) HandleStray(m *sip.Message, src sip.Source) { panic("todo") }

// Live is the calls there are now, oldest first.
func (s *Set) Live() []record.LiveCall { panic("todo") }

// Hangup ends a call by command; false when there is no such call.
func (s *Set) Hangup(id string) bool { panic("todo") }

// Drain refuses new calls with 503 and Retry-After, lets the others go on
// until ctx is done, ends what is left then and returns when none is left.
func (s *Set) Drain(ctx context.Context) { panic("todo") }

// Counters are figures over all calls since the start.
type Counters struct {
	Live      int
	Begun     uint64
	Answered  uint64
	Refused   uint64 // before a record was begun
	Failed    uint64 // begun, never answered
	Retried   uint64 // attempts after the first
	Panics    uint64
	Unmatched uint64 // in-dialog requests answered 481
}

// Counters reads the figures.
func (s *Set) Counters() Counters { panic("todo") }
