// Package call is the heart of the gateway: one call as a back-to-back user
// agent that anchors media.
//
// A Set takes new requests from the SIP stack and makes or finds the call.
// Each call is one goroutine (run.go) that owns all of it; everybody else posts
// an event into its mailbox. What a call does is decided by state.step
// (step.go): a method of a plain struct, without I/O, clock, goroutine or
// global randomness. It takes an event and leaves effects, which the goroutine
// carries out; their results come back as events.
//
// The two legs are the same code: caller is the one that came first, callee
// the other one, whichever side of the gateway they are on. Every message that
// leaves is written anew by interop, every description by sdp, so nothing of
// one side reaches the other unless a rule put it there.
//
// Start reading at state (state.go) and step, then by topic: invite.go (a call
// arrives), hunt.go (a target is found), early.go (it rings, and what of
// it the caller is told: reliable.go, reserve.go), answer.go (it is
// answered), media.go (descriptions), reinvite.go (it changes), transfer.go,
// refer.go and replaces.go (a leg gives way to another), end.go (it ends).
package call

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/edge/trace"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// Config is what a Set is made of.
type Config struct {
	Node, Region string
	Peers        *peer.Set
	Relay        *relay.Relay
	Interfaces   map[record.Side]string // media interface of each side
	Snapshot     func() *snapshot.Snapshot
	Records      Records
	Traces       *trace.Ring // nil: nothing is remembered
	Product      string      // what Server, User-Agent and X-MS-SBC say of us
	Limits       Limits
	Vouching     Vouching
	Log          *slog.Logger // nil: discarded
}

// Records is where the records of calls go. done is called once, on a
// goroutine of the recorder's, when the entry is durable or refused.
type Records interface {
	Begin(c record.Call, done func(error))
	Answer(c record.Call, done func(error))
	// Progress tells how an answered call has sounded until now. It may be lost.
	Progress(c record.Call)
	End(c record.Call, done func(error))
}

// Limits bound calls; zero fields mean the defaults beside them.
type Limits struct {
	Calls         int           // at once, emergency calls aside: 20000
	FirstResponse time.Duration // from a target, while there is another one to try: 4 s; see state.grace
	Alerting      time.Duration // from a target that has said 100, while there is another one to try: 20 s
	Progress      time.Duration // until a caller who has heard nothing is told that we go on: 8 s
	Ringing       time.Duration // from the INVITE to its final response: 3 min 10 s (RFC 3261 timer C)
	Silence       time.Duration // without media until a side is asked whether it is still there: 1 min
	Mute          time.Duration // without media nor RTCP of a side that is not on hold until the call ends: 0, never
	Duration      time.Duration // of an answered call: 0, unlimited
	Ringback      time.Duration // from the target's ringing until a party that is transferred to it hears that: 1 s
	Music         string        // file that a side on hold hears, when the other one plays nothing: WAV or G.711; "" for none
}

func (l Limits) withDefaults() Limits {
	if l.Calls <= 0 {
		l.Calls = 20_000
	}
	l.FirstResponse = orDefault(l.FirstResponse, 4*time.Second)
	// Twice what the cloud itself waits: a core may page a mobile phone in it.
	l.Alerting = orDefault(l.Alerting, 20*time.Second)
	// The cloud tries the next way, or gives up, after 10 s without one
	// (Microsoft Teams docs, FailoverTimeSeconds).
	l.Progress = orDefault(l.Progress, 8*time.Second)
	l.Ringing = orDefault(l.Ringing, 3*time.Minute+10*time.Second)
	l.Silence = orDefault(l.Silence, time.Minute)
	// A machine answers sooner.
	l.Ringback = orDefault(l.Ringback, time.Second)
	return l
}

// Set is the calls of a node.
type Set struct {
	cfg     Config // RO
	stack   atomic.Pointer[sip.Stack]
	count   counts
	load    load
	running sync.WaitGroup // one per call
	lines   quota
	recalls recalls

	mu       sync.Mutex
	draining bool              // mu
	calls    map[string]*call  // mu; by ID
	callers  map[string]int    // mu; how many of them each peer has begun
	dialogs  map[dialogKey]end // mu; every leg that has a name
	threads  map[string]end    // mu; by Call-ID, for traces and merged requests
}

// dialogKey finds a leg by what the far side must know to speak to it. The
// remote tag is left to the call: forks differ in it.
type dialogKey struct{ callID, localTag string }

// end is one leg of a call.
type end struct {
	call  *call
	leg   relay.Side
	group string // of the peer at the far side; no other one's requests are heard
}

type counts struct {
	sound                                                                 sound
	begun, answered, refused, failed, retried, panics, unmatched, recoded atomic.Uint64
}

// NewSet makes a Set. It answers 503 until Start.
func NewSet(cfg Config) *Set {
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Set{cfg: cfg, calls: map[string]*call{}, callers: map[string]int{}, dialogs: map[dialogKey]end{}, threads: map[string]end{}}
}

// Start gives the Set the stack that its Handle functions were given to.
func (s *Set) Start(stack *sip.Stack) { s.stack.Store(stack) }

// Handle takes a new request from the stack. It never blocks.
func (s *Set) Handle(tx *sip.ServerTx) {
	req := tx.Request()
	if !s.cfg.Peers.Proven(tx) {
		return
	}
	if id := ua.IDOf(req); id.LocalTag != "" {
		s.inDialog(tx, req, id)
		return
	}
	switch req.Method {
	case "INVITE":
		s.invite(tx, req)
	case "OPTIONS":
		s.cfg.Peers.Answer(tx)
	default:
		s.outside(tx, req)
	}
}

// inDialog gives a request to the call whose leg it names, if it comes from
// that leg's far side: a dialog's names are no secret to whoever sees a trace.
func (s *Set) inDialog(tx *sip.ServerTx, req *sip.Message, id ua.ID) {
	at, ok := s.leg(id)
	ok = ok && s.cfg.Peers.Speaks(at.group, tx.Source())
	switch {
	case ok && at.call.serve(tx, s.ruledIn(tx.Source().Remote.Name, req), at.leg):
	case ok && !at.call.over():
		// 481 would end the dialog; this one is only behind with its work.
		s.refuse(tx, req, 500, map[string]string{"Retry-After": "2"})
	default:
		s.count.unmatched.Add(1)
		s.refuse(tx, req, 481, nil)
	}
}

// outside answers what is neither a call nor part of one: a method that needs
// a dialog gets 481, one that we know and do not serve 405, the rest 501
// (RFC 3261 8.2.1, 12.2.2).
func (s *Set) outside(tx *sip.ServerTx, req *sip.Message) {
	switch req.Method {
	case "BYE", "PRACK", "UPDATE", "INFO":
		s.count.unmatched.Add(1)
		s.refuse(tx, req, 481, nil)
	case "REGISTER", "REFER", "NOTIFY", "SUBSCRIBE", "PUBLISH", "MESSAGE":
		s.refuse(tx, req, 405, s.allow(tx))
	default:
		s.refuse(tx, req, 501, s.allow(tx))
	}
}

func (s *Set) allow(tx *sip.ServerTx) map[string]string {
	known, _ := s.cfg.Peers.Of(tx.Source())
	return map[string]string{"Allow": s.cfg.Peers.Leg(known).Profile.Allow}
}

// refuse answers a request that makes no call.
func (s *Set) refuse(tx *sip.ServerTx, req *sip.Message, status int, headers map[string]string) {
	known, _ := s.cfg.Peers.Of(tx.Source())
	resp := interop.Response(req, status, s.cfg.Peers.Leg(known))
	resp.TagTo(sip.NewTag())
	for name, value := range headers {
		resp.Set(name, value)
	}
	s.count.refused.Add(1)
	_ = tx.Respond(resp) // nobody waits for it; the sender repeats its request
}

// invite begins a call.
func (s *Set) invite(tx *sip.ServerTx, req *sip.Message) {
	stack := s.stack.Load()
	known, ok := s.cfg.Peers.Of(tx.Source())
	switch {
	case !ok:
		return // the peer was removed a moment ago: a stranger gets nothing
	case stack == nil:
		s.refuse(tx, req, 503, map[string]string{"Retry-After": "30"})
	case s.merged(req):
		// RFC 3261 8.2.2.2: the same request came on another way, since a
		// proxy forked it to us twice.
		s.refuse(tx, req, 482, nil)
	case req.Has("Replaces") && s.cfg.Peers.Leg(known).Profile.Replaces:
		s.replace(tx, req, known)
	default:
		s.begin(stack, tx, req, known)
	}
}

// merged tells whether req is an INVITE we have already under another branch.
func (s *Set) merged(req *sip.Message) bool {
	callID, _ := req.CallID()
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.threads[callID]
	return ok && at.leg == relay.Caller && at.call.origin == originOf(req)
}

// HandleAck takes an ACK to a 2xx from the stack.
func (s *Set) HandleAck(m *sip.Message, src sip.Source) {
	if at, ok := s.leg(ua.IDOf(m)); ok && s.cfg.Peers.Speaks(at.group, src) {
		at.call.post(acked{at.leg, m}, false)
	}
}

// HandleStray takes a response that matches no transaction from the stack. A
// 2xx to INVITE comes here when its transaction is forgotten, 64*T1 after the
// first one: whoever still sends it has lost both ACK and BYE, and gives up by
// itself (RFC 3261 13.3.1.4).
func (s *Set) HandleStray(*sip.Message, sip.Source) {}

// leg finds a leg by the dialog a message names.
func (s *Set) leg(id ua.ID) (end, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.dialogs[dialogKey{id.CallID, id.LocalTag}]
	return at, ok
}

// all is the calls there are, oldest first: their IDs sort by time.
func (s *Set) all() []*call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.calls), func(a, b *call) int { return cmp.Compare(a.id, b.id) })
}

// Tap remembers a message in the trace of its call.
func (s *Set) Tap(t sip.Tap) {
	if s.cfg.Traces == nil || t.Msg == nil {
		return
	}
	callID, err := t.Msg.CallID()
	if err != nil {
		return
	}
	s.mu.Lock()
	at, ok := s.threads[callID]
	s.mu.Unlock()
	if ok {
		s.trace(at, t)
	}
}

func (s *Set) trace(at end, t sip.Tap) {
	s.cfg.Traces.Add(at.call.id, trace.Packet{
		At: t.Time, Out: !t.In, Peer: t.Peer.Name, Side: record.Side(t.Listener.Side), Leg: at.leg.String(),
		Transport: t.Listener.Transport.String(), Local: t.Local, Remote: t.Remote, Raw: t.Raw,
	})
}

// traceFirst remembers the INVITE that made a call, or takes one over: when the
// tap saw it, nobody knew whose it was.
func (s *Set) traceFirst(of end, req *sip.Message, from sip.Source, at time.Time) {
	if s.cfg.Traces == nil {
		return
	}
	s.cfg.Traces.Add(of.call.id, trace.Packet{
		At: at, Peer: from.Remote.Name, Side: record.Side(from.Listener.Side), Leg: of.leg.String(),
		Transport: from.Listener.Transport.String(), Local: from.Listener.Bind, Remote: from.Addr,
		Raw: req.Append(nil),
	})
}

// Live is the calls there are now, oldest first.
func (s *Set) Live() []record.LiveCall {
	var live []record.LiveCall
	for _, c := range s.all() {
		if v, ok := c.ask(); ok {
			live = append(live, v)
		}
	}
	return live
}

// Hangup ends a call by command. The error is a fault.NotFound when there is
// no such call.
func (s *Set) Hangup(id string) error {
	s.mu.Lock()
	c := s.calls[id]
	s.mu.Unlock()
	if c == nil || !c.post(hangup{commandCause}, true) {
		return fault.New(fault.NotFound, "there is no live call "+id)
	}
	return nil
}

// Drain refuses new calls with 503 and Retry-After, lets the others go on
// until ctx is done, ends what is left then and returns when none is left.
func (s *Set) Drain(ctx context.Context) {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		s.running.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return
	case <-ctx.Done():
	}
	for _, c := range s.all() {
		c.post(hangup{drainCause}, true)
	}
	select {
	case <-idle:
		return
	case <-time.After(lastWords):
	}
	for _, c := range s.all() {
		c.post(expired{giveUp}, true)
	}
	<-idle
}

// lastWords is how long Drain waits for what comes after the end of a call,
// such as the answer to our BYE. A far side that has gone silent would keep the
// process for 64*T1 more, and an operator who ends a node has had the patience
// that he configured.
const lastWords = 2 * time.Second

// Counters are figures over all calls since the start.
type Counters struct {
	Live      int
	Dialogs   int // legs that can be found, two for each live call once a target is tried
	Begun     uint64
	Answered  uint64
	Refused   uint64 // requests refused before a call was made of them
	Failed    uint64 // begun, never answered
	Retried   uint64 // attempts after the first
	Panics    uint64
	Unmatched uint64 // requests for a dialog we do not know
	Recoded   uint64 // answered ones whose voice was transcoded at the end
	Sound     map[record.Side]Sound
}

// Counters reads the figures.
func (s *Set) Counters() Counters {
	s.mu.Lock()
	live, dialogs := len(s.calls), len(s.dialogs)
	s.mu.Unlock()
	return Counters{
		Live: live, Dialogs: dialogs,
		Begun: s.count.begun.Load(), Answered: s.count.answered.Load(), Refused: s.count.refused.Load(),
		Failed: s.count.failed.Load(), Retried: s.count.retried.Load(), Panics: s.count.panics.Load(),
		Unmatched: s.count.unmatched.Load(), Recoded: s.count.recoded.Load(), Sound: s.count.sound.bySide(),
	}
}
