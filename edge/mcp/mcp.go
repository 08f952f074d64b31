// Package mcp is the Mobile Control Point: an IMS application server on the
// ISC interface (3GPP TS 23.218, 24.229 section 5.7) that brings the calls of
// Teams Phone Mobile subscribers to Microsoft's phone system.
//
// It is a stateful proxy without media and without memory of a call: a request
// that the S-CSCF hands over is read (decide.go: whose call, in which
// direction, is anything to be asked at all), Microsoft is asked whether its
// subscriber is concerned (consult.go), and the request goes back to where its
// Route says, as it came or with another target (proxy.go). Whatever fails on
// Microsoft's side leaves the call as it was: the subscriber has then no Teams,
// but a call. Start reading at Set.Handle.
package mcp

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

// peers are those of the node.
type peers interface {
	Of(sip.Source) (*peer.Known, bool)
	ResolveHop(ctx context.Context, name string, hop sip.URI) ([]sip.Target, error)
}

// Config is what a Set is made of.
type Config struct {
	Region   string // service region of this node
	Peers    peers
	Snapshot func() *snapshot.Snapshot
	// Client asks Microsoft as a part of the snapshot says how.
	Client func(snapshot.TLS) (*http.Client, error)
	Log    *slog.Logger // nil: discarded
}

// Set is the control point of a node.
type Set struct {
	Config // RO
	stack  *sip.Stack

	life   context.Context // RO; ends when the set is closed
	die    context.CancelFunc
	asking sync.WaitGroup
	slots  chan struct{} // requests that are read, asked about or looked up
	asks   chan struct{} // questions under way
	client clientCache

	count counters
}

const (
	// atOnce bounds the requests that have not gone on yet, each with a goroutine;
	// more are answered 503.
	atOnce = 4096
	// asksAtOnce bounds the questions. Beyond it calls go on as they are: a
	// Microsoft that answers late must not make the mobile network late.
	asksAtOnce = 512
	// hopTime bounds the look-up of the next hop.
	hopTime = 3 * time.Second
)

// New makes a set that answers once Start has been called.
func New(c Config) *Set {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Set{Config: c, slots: make(chan struct{}, atOnce), asks: make(chan struct{}, asksAtOnce)}
	s.life, s.die = context.WithCancel(context.Background())
	return s
}

// Start tells by which stack requests go on.
func (s *Set) Start(stack *sip.Stack) { s.stack = stack }

// Close ends what is being asked and waits for it.
func (s *Set) Close() {
	s.die()
	s.asking.Wait()
	s.Forget()
}

// Forget has the next question make its client anew: the node trusts others now,
// or shows another certificate.
func (s *Set) Forget() {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	s.client.drop()
}

// counters are those of Counters.
type counters struct {
	requests, asked, subscribers, strangers, failed, refused atomic.Uint64
}

// Counters are the figures of a set since its start.
type Counters struct {
	Requests    uint64 // that came by the ISC
	Asked       uint64 // INVITEs that Microsoft was asked about
	Subscribers uint64 // of those, that go to Microsoft
	Strangers   uint64 // of those, that do not
	Failed      uint64 // of those, that Microsoft did not answer as it should: they went on as they were
	Refused     uint64 // requests that were answered by us with an error
}

// Counters reads the figures.
func (s *Set) Counters() Counters {
	return Counters{
		s.count.requests.Load(), s.count.asked.Load(), s.count.subscribers.Load(),
		s.count.strangers.Load(), s.count.failed.Load(), s.count.refused.Load(),
	}
}

// For tells whether a request is the control point's.
func (s *Set) For(tx *sip.ServerTx) bool {
	req := tx.Request()
	return req != nil && s.Passing(req, tx.Source())
}

// Passing tells whether a request is the control point's: one that the core has
// sent to it by its Route. Everything else is a call; OPTIONS are answered as
// those for calls are, since both are one listener's.
func (s *Set) Passing(req *sip.Message, src sip.Source) bool {
	if req.Method == "OPTIONS" || !req.Has("Route") || !leadsHere(req, s.Snapshot().MCP) {
		return false
	}
	k, ok := s.Peers.Of(src)
	return ok && k.Group.Side == snapshot.Operator
}

// leadsHere tells whether the topmost Route leads to the control point: by the
// mark that iFC give to it, which counts while it is off too, or by its name.
func leadsHere(req *sip.Message, m *snapshot.MCP) bool {
	routes, err := req.Addresses("Route")
	if err != nil || len(routes) == 0 {
		return false
	}
	top := routes[0].URI
	if value, _ := top.Params.Get("service"); strings.EqualFold(value, "mcp") {
		return true
	}
	return m != nil && slices.ContainsFunc(m.Names, func(name string) bool { return strings.EqualFold(top.Host, name) })
}

// Handle takes a request that is the control point's. Like all that the stack
// calls it does not block.
func (s *Set) Handle(tx *sip.ServerTx) {
	req := tx.Request()
	if req == nil {
		return
	}
	s.count.requests.Add(1)
	f := &forward{set: s, tx: tx, req: req, snap: s.Snapshot()}
	f.known, _ = s.Peers.Of(tx.Source())
	if no := f.check(); no != nil {
		f.refuse(no)
		return
	}
	if req.Method == "INVITE" {
		tx.OnCancel(f.cancel)
	}
	tx.OnEnd(f.over)
	select {
	case s.slots <- struct{}{}:
	default:
		f.refuse(&refusal{status: 503, text: "too many requests are being looked up"})
		return
	}
	s.asking.Go(func() {
		defer func() { <-s.slots }()
		f.run(s.life)
	})
}

func (s *Set) log(f *forward, text string, args ...any) {
	s.Log.Info(text, append([]any{obs.KeyCall, f.req.Get("Call-ID"), obs.KeyPeer, f.known.Name}, args...)...)
}
