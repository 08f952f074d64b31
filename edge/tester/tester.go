// Package tester places calls of the gateway itself, to learn whether the way
// to a far side is there.
//
// A test call comes to the node as a far side's calls do, by SIP over TCP on a
// listener of its own that only this process knows, and with RTP from an
// address of the node's media. From there on nothing knows it from another
// call: it is routed, interworked, recorded and relayed. What tells it apart is
// the group that it comes from (Extend), by which its record is marked. The
// package is the far end of that leg: a telephone that calls, sends a tone,
// listens to what comes back, and hangs up (call.go).
//
// One call is under way at a time, and none is placed to an emergency service.
// Start reading at Tester.Ask.
package tester

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/link"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

// Config is what a Tester stands on.
type Config struct {
	Node, Region string
	Snapshot     func() *snapshot.Snapshot
	Listener     func(name string) netip.AddrPort        // where the node listens for a side's test calls: its name is Name(side)
	Media        func(snapshot.Side) (netip.Addr, bool)  // address of the node's media on a side
	Record       func(callID string) (record.Call, bool) // the finished record of the call whose caller's leg has that Call-ID
	Trace        func(id string) (record.Trace, bool)    // of a call
	Log          *slog.Logger                            // nil: discarded
}

// Tester places test calls.
type Tester struct {
	cfg  Config             // RO
	life context.Context    // RO; ends with Close
	die  context.CancelFunc // RO
	runs sync.WaitGroup     // the call under way

	secret atomic.Pointer[string] // Call-ID of the call under way, which nobody else knows

	mu   sync.Mutex
	last record.TestCall // mu: the newest, under way or not
}

// New makes a Tester.
func New(cfg Config) *Tester {
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	t := &Tester{cfg: cfg}
	t.life, t.die = context.WithCancel(context.Background())
	return t
}

// Close ends the call under way, and takes no more.
func (t *Tester) Close() {
	t.mu.Lock() // a call that begins has begun, and no other begins
	t.die()
	t.mu.Unlock()
	t.runs.Wait()
}

// Name is that of the peer, the group and the listener by which test calls of a
// side come in. No far side can have it: the names of theirs have no dot.
func Name(s snapshot.Side) string { return "tester." + string(s) }

// Listeners are where a node's stack lets test calls in.
func Listeners() (all []sip.Listener) {
	for _, side := range []snapshot.Side{snapshot.Operator, snapshot.Cloud} {
		all = append(all, sip.Listener{Name: Name(side), Side: string(side), Transport: sip.TCP, Bind: netip.AddrPortFrom(loopback, 0)})
	}
	return all
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// Extend adds the groups that test calls come from to what is published. They
// speak as a plain core does, on both sides: it is the other leg that is to be
// tested.
func Extend(s *snapshot.Snapshot) *snapshot.Snapshot {
	if s.Gateway == "" {
		return s
	}
	next := *s
	next.Groups = slices.Clone(s.Groups)
	for _, side := range []snapshot.Side{snapshot.Operator, snapshot.Cloud} {
		g := snapshot.Group{
			Name: Name(side), Side: side, Profile: "core", Codecs: []string{"PCMA", "PCMU"}, Tester: true,
			Peers: []snapshot.Peer{{Name: Name(side), Transport: "TCP", Host: loopback.String()}},
		}
		for i := range s.Groups {
			if x := &s.Groups[i]; x.Side == side {
				g.Services = append(g.Services, x.Services...)
			}
		}
		next.Groups = append(next.Groups, g)
	}
	// A number that no list has goes where the operator's own calls to it would.
	next.Policy.GroupService = maps.Clone(s.Policy.GroupService)
	for i := range s.Groups {
		if service, ok := s.Policy.GroupService[s.Groups[i].Name]; ok {
			next.Policy.GroupService[Name(snapshot.Operator)] = service
			break
		}
	}
	return &next
}

// Bounds of a test call.
const (
	patience    = 25 * time.Second // until it is answered
	shortest    = time.Second      // of the conversation
	longest     = 20 * time.Second
	usualLength = 4 * time.Second
)

// Longest is how long a test call may take, all in all.
const Longest = patience + longest + 10*time.Second

// Ask begins a call, or tells how the one of that ID stands. Another one's call
// is fault.Conflict while it is under way.
func (t *Tester) Ask(q link.TestQuestion) (record.TestCall, error) {
	snap := t.cfg.Snapshot()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case q.ID == "":
		return record.TestCall{}, fault.New(fault.Invalid, "a test call needs an ID")
	case t.last.ID == q.ID:
		return t.last, nil
	case t.life.Err() != nil || snap.Gateway == "":
		return record.TestCall{}, fault.New(fault.Unavailable, "node "+t.cfg.Node+" serves no gateway now")
	case t.last.ID != "" && t.last.Ended.IsZero():
		return record.TestCall{}, fault.New(fault.Conflict, "node "+t.cfg.Node+" has another test call under way: try again in a minute")
	case snap.IsEmergency(q.To) || snap.IsEmergency(q.From):
		return record.TestCall{}, fault.New(fault.Denied, "no test call is placed to or from an emergency service")
	case q.Towards != record.Side(snapshot.Operator) && q.Towards != record.Side(snapshot.Cloud):
		return record.TestCall{}, fault.New(fault.Invalid, fmt.Sprintf("a test call goes towards %s or %s", snapshot.Operator, snapshot.Cloud))
	case !plain(q.From) || !plain(q.To):
		return record.TestCall{}, fault.New(fault.Invalid, "a test call is from one telephone number to another, both in E.164")
	}
	q.Talk = min(max(cmp.Or(q.Talk, usualLength), shortest), longest)
	t.last = record.TestCall{
		ID: q.ID, Node: t.cfg.Node, Region: t.cfg.Region, Towards: q.Towards, From: q.From, To: q.To, Began: time.Now().UTC(),
	}
	begun := t.last
	t.runs.Go(func() { t.run(q.Talk, begun) })
	return begun, nil
}

// plain tells whether a number is + and digits.
func plain(number string) bool {
	if len(number) < 8 || len(number) > 16 || number[0] != '+' {
		return false
	}
	for _, c := range number[1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// Waits tells whether a test call may come in now by a listener.
func (t *Tester) Waits() bool { return t.secret.Load() != nil }

// Owns tells whether a message is of the call under way. Others on this machine
// can reach the listener, and do not know its Call-ID.
func (t *Tester) Owns(m *sip.Message) bool {
	secret := t.secret.Load()
	id, err := m.CallID()
	return secret != nil && err == nil && id == *secret
}

// run places the call and keeps what became of it.
func (t *Tester) run(talk time.Duration, r record.TestCall) {
	defer func() {
		if p := recover(); p != nil {
			t.cfg.Log.Error("a test call failed in itself", "panic", p)
			r.Problem = "the test failed in itself: the log of node " + t.cfg.Node + " says why"
		}
		t.secret.Store(nil)
		r.Ended = time.Now().UTC()
		t.mu.Lock()
		defer t.mu.Unlock()
		t.last = r
	}()
	ctx, cancel := context.WithTimeout(t.life, Longest)
	defer cancel()
	callID := sip.NewCallID()
	t.secret.Store(&callID)
	c := &phone{cfg: &t.cfg, callID: callID, talk: talk, r: &r}
	err := c.call(ctx)
	t.conclude(ctx, &r, callID, err)
}

// conclude adds what the node's own record says, and judges.
func (t *Tester) conclude(ctx context.Context, r *record.TestCall, callID string, err error) {
	if rec, ok := t.recorded(ctx, callID); ok {
		r.Call, r.Peer, r.Cause = rec.ID, rec.Callee.Peer, rec.Cause
		if n := len(rec.Attempts); r.Peer == "" && n > 0 {
			r.Peer = rec.Attempts[n-1].Peer
		}
		if q := rec.Callee.Media.Quality; q != nil && q.From != nil {
			r.MOS = q.From.MOS
		}
		if q := rec.Callee.Media.Quality; q != nil && q.To != nil && q.To.Loss > 0.9 {
			r.OneWay = "the far side says that it hears nothing of us"
		}
	}
	if r.Call != "" {
		if trace, ok := t.cfg.Trace(r.Call); ok {
			for _, n := range trace.Notes {
				r.Notes = append(r.Notes, n.Text)
			}
		}
	}
	r.Problem = problem(r, err)
}

// recorded waits a moment for the call's record to be closed.
func (t *Tester) recorded(ctx context.Context, callID string) (record.Call, bool) {
	for range 20 {
		if rec, ok := t.cfg.Record(callID); ok {
			return rec, true
		}
		select {
		case <-ctx.Done():
			return record.Call{}, false
		case <-time.After(100 * time.Millisecond):
		}
	}
	return record.Call{}, false
}

// bad is the MOS below which a call sounds bad (ITU-T G.107 Annex B: nearly all
// users are dissatisfied below 2.6, many below 3.1).
const bad = 3.1

// problem says in one sentence why a way is not good.
func problem(r *record.TestCall, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case r.Answer == 0 && r.Cause.Text != "":
		return fmt.Sprintf("not answered: status %d, %s", r.Status, r.Cause.Text)
	case r.Answer == 0 && r.Status != 0:
		return fmt.Sprintf("not answered: status %d %s", r.Status, sip.StatusText(r.Status))
	case r.Answer == 0:
		return fmt.Sprintf("not answered in %v", patience)
	case r.Received == 0:
		return "answered, but nothing was heard: no media came from the far side; look at its media addresses and the allow-lists of ours"
	case r.OneWay != "":
		return "answered, but " + r.OneWay
	case r.MOS > 0 && r.MOS < bad:
		return fmt.Sprintf("answered, but sounds bad: MOS %.1f; look at the network between node %s and %s", r.MOS, r.Node, r.Peer)
	}
	return ""
}
