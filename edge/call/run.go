package call

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// mailbox is how many events of the dispensable kind may wait for a call:
// provisional responses, requests, ACKs, all of which are repeated or answered
// with 503 when they do not fit. More than this waits only while the call does
// not run at all.
const mailbox = 64

// lookUp is how long a name may take to resolve.
const lookUp = 3 * time.Second

// call is one call: its state, and the things of the world it holds.
type call struct {
	set    *Set       // RO
	id     string     // RO
	origin origin     // RO
	source sip.Source // RO; where the caller's INVITE came from

	wake   chan struct{} // holds one token while mail is not empty
	mu     sync.Mutex
	mail   []event // mu
	closed bool    // mu; nothing is taken in any more

	st      state                 // run
	todo    []event               // run; results of effects
	rest    []effect              // run; those behind the one being carried out
	told    bool                  // run; the record is closed
	servers map[txn]*sip.ServerTx // run
	clients map[int]*sip.ClientTx // run; INVITEs, for their CANCEL
	askers  map[txn]asker         // run; requests of other calls of ours
	sentTo  []sent                // run; where attempts went
	shown   map[int]*shown        // run; requests to sides that may ask who we are
	lastTx  txn                   // run
	ways    [2]*way               // run
	asides  [2]*way               // run; of legs that left their side to another
	media   *relay.Media          // run
	due     [timers]time.Time     // run; zero = not armed
	scored  uint64                // run; packets heard when the scores were last recorded
	timer   *time.Timer           // run
	held    [2]func()             // run; give back the peers' counts
	heldBy  [2]func()             // run; likewise, of legs aside
	coming  func()                // run; likewise, of the leg that a transfer looks for
	keys    []dialogKey           // run; in set.dialogs
	threads []string              // run; in set.threads
	context context.Context       // run; ends with the call
	stop    context.CancelFunc    // run
	lookups sync.WaitGroup        // run
}

// origin is what makes two INVITEs the same request (RFC 3261 8.2.2.2).
type origin struct {
	fromTag string
	seq     uint32
}

func originOf(req *sip.Message) origin {
	cseq, _ := req.CSeq() // the stack has checked it
	o := origin{ua.IDOf(req).RemoteTag, cseq.Seq}
	sip.Own(&o.fromTag)
	return o
}

// begin makes a call of an INVITE and lets it run.
func (s *Set) begin(stack *sip.Stack, tx *sip.ServerTx, req *sip.Message, known *peer.Known) {
	var seed [32]byte
	_, _ = cryptorand.Read(seed[:]) // never fails
	random := rand.NewChaCha8(seed)
	now := time.Now()
	c := &call{
		set: s, id: newID(now, random), origin: originOf(req), source: tx.Source(),
		wake:    make(chan struct{}, 1),
		servers: map[txn]*sip.ServerTx{}, clients: map[int]*sip.ClientTx{}, ways: [2]*way{{}, {}},
		st: state{
			legs:   [2]leg{{peer: peer.Nobody}, {peer: peer.Nobody}},
			limits: &s.cfg.Limits, vouching: &s.cfg.Vouching, region: s.cfg.Region, random: random,
			record: record.Call{ID: "", Node: s.cfg.Node, Region: s.cfg.Region, Began: now.UTC()},
		},
	}
	c.st.record.ID = c.id
	c.context, c.stop = context.WithCancel(context.Background())
	if !s.enter(c, req) {
		c.stop()
		s.refuse(tx, req, 503, map[string]string{"Retry-After": "30"})
		return
	}
	s.traceFirst(end{call: c, leg: relay.Caller}, req, c.source, now)
	var limit *peer.Full
	c.held[relay.Caller], limit = s.cfg.Peers.Enter(known.Name)
	c.post(invited{
		tx: c.take(tx, req.Method), msg: req, addr: c.source.Addr, remote: c.source.Remote,
		transport: c.source.Listener.Transport, peer: known, dress: s.cfg.Peers.Leg(known),
		snapshot: s.cfg.Snapshot(), suspended: s.cfg.Peers.Suspended, recall: func(elin string) string { return s.recalls.of(elin, now) }, full: s.full(known.Name), limit: limit,
	}, true)
	go c.run()
}

// enter puts a call into the tables; false when the node drains.
func (s *Set) enter(c *call, req *sip.Message) bool {
	callID, _ := req.CallID()
	sip.Own(&callID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.running.Add(1)
	s.calls[c.id] = c
	s.callers[c.source.Remote.Name]++
	if _, taken := s.threads[callID]; !taken {
		s.threads[callID] = end{call: c, leg: relay.Caller}
		c.threads = append(c.threads, callID)
	}
	return true
}

// full tells whether a call that has just been entered is one too many: of
// all, or of its caller, who may have seven of eight that there are ports for.
// A peer gone wild would else take the ports of all the others.
func (s *Set) full(caller string) bool {
	most := s.cfg.Limits.Calls
	if s.cfg.Relay != nil {
		most = min(most, s.cfg.Relay.Capacity())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls) > s.cfg.Limits.Calls || s.callers[caller] > most-most/8
}

// take gives a server transaction a name and listens to it. Called by run, and
// by begin before run is.
func (c *call) take(tx *sip.ServerTx, method string) txn {
	c.lastTx++
	name := c.lastTx
	c.servers[name] = tx
	if method == "INVITE" {
		tx.OnCancel(func(m *sip.Message) { c.post(cancelled{name, m}, true) })
		tx.OnEnd(func(err error) {
			if te, ok := errors.AsType[*sip.TransportError](err); ok {
				c.post(unreachable{name, te}, true)
			}
		})
	}
	return name
}

// post puts an event into the mailbox; it never blocks. vital events are
// always taken, there are few of them: one per transaction, timer or effect.
// False when the call is over, or too far behind.
func (c *call) post(ev event, vital bool) bool {
	c.mu.Lock()
	ok := !c.closed && (vital || len(c.mail) < mailbox)
	if ok {
		c.mail = append(c.mail, ev)
	}
	c.mu.Unlock()
	if ok {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	return ok
}

// over tells whether the call takes in nothing any more.
func (c *call) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// incoming is a request whose transaction has no name yet; question asks how
// the call stands. The goroutine handles both before step sees anything.
type (
	incoming struct {
		tx  *sip.ServerTx
		msg *sip.Message
		leg relay.Side
	}
	question struct{ answer chan<- record.LiveCall }
)

func (incoming) event() {}
func (question) event() {}

// serve gives a request inside a dialog to the call; false when it cannot
// take it.
func (c *call) serve(tx *sip.ServerTx, req *sip.Message, leg relay.Side) bool {
	return c.post(incoming{tx, req, leg}, req.Method == "BYE")
}

// ask tells how the call stands; false when it is over.
func (c *call) ask() (record.LiveCall, bool) {
	answer := make(chan record.LiveCall, 1)
	if !c.post(question{answer}, true) {
		return record.LiveCall{}, false
	}
	v, ok := <-answer
	return v, ok
}

// run is the call's goroutine.
func (c *call) run() {
	defer c.set.running.Done()
	c.timer = time.NewTimer(time.Hour)
	defer c.timer.Stop()
	for c.st.phase != over {
		select {
		case <-c.wake:
			for _, ev := range c.collect() {
				c.handle(ev)
			}
		case <-c.timer.C:
			c.expire()
		}
		c.setTimer()
	}
	c.leave()
}

// collect takes what is in the mailbox.
func (c *call) collect() []event {
	c.mu.Lock()
	defer c.mu.Unlock()
	mail := c.mail
	c.mail = nil
	return mail
}

// handle runs one event and what comes of it.
func (c *call) handle(ev event) {
	c.guarded(ev)
	for len(c.todo) > 0 {
		ev, c.todo = c.todo[0], c.todo[1:]
		c.guarded(ev)
	}
	c.todo = nil
}

// prepare does what an event asks of the goroutine, and gives what step is to
// see of it: nil for nothing.
func (c *call) prepare(ev event) event {
	switch v := ev.(type) {
	case question:
		defer close(v.answer)
		v.answer <- c.view()
		return nil
	case located:
		c.located(v)
		return nil
	case astray:
		c.reach(v.id, v.msg, v.others[0], v.others[1:])
		return nil
	case responded:
		if v.msg.Status >= 200 {
			delete(c.clients, v.id) // there is nothing to cancel any more
		}
		return c.judge(v)
	case failed:
		delete(c.clients, v.id)
	case incoming:
		return requested{v.leg, c.take(v.tx, v.msg.Method), v.msg, c.owns(v.msg, v.leg)}
	case summons:
		return c.summoned(v)
	case approach:
		return c.approached(v)
	}
	return ev
}

// expire runs the timers that are due.
func (c *call) expire() {
	now := time.Now()
	for t, at := range c.due {
		if !at.IsZero() && !now.Before(at) {
			c.due[t] = time.Time{}
			c.handle(expired{timer(t)})
		}
	}
}

// setTimer waits for the timer that is due first.
func (c *call) setTimer() {
	var first time.Time
	for _, at := range c.due {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if first.IsZero() {
		c.timer.Stop()
		return
	}
	c.timer.Reset(time.Until(first))
}

// leave gives back all the call took.
func (c *call) leave() {
	c.stop()
	c.lookups.Wait()
	if c.media != nil {
		c.media.Close() // only after a panic: unplug has done it
	}
	for _, release := range [...]func(){c.held[0], c.held[1], c.heldBy[0], c.heldBy[1], c.coming} {
		if release != nil {
			release()
		}
	}
	c.set.forget(c)
	c.mu.Lock()
	rest := c.mail
	c.mail, c.closed = nil, true
	c.mu.Unlock()
	for _, ev := range rest {
		switch v := ev.(type) {
		case question:
			close(v.answer)
		case incoming:
			c.set.refuse(v.tx, v.msg, 481, nil)
		case summons:
			c.set.refuse(v.tx, v.msg, 481, nil)
		case approach:
			v.refuse()
		}
	}
	for _, tx := range c.servers {
		if req := tx.Request(); req != nil { // only after a panic
			c.set.refuse(tx, req, 500, nil)
		}
	}
	if c.set.cfg.Traces != nil {
		c.set.cfg.Traces.End(c.id)
	}
}

// forget takes a call out of the tables.
func (s *Set) forget(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.calls, c.id)
	if name := c.source.Remote.Name; s.callers[name] > 1 {
		s.callers[name]--
	} else {
		delete(s.callers, name)
	}
	for _, k := range c.keys {
		delete(s.dialogs, k)
	}
	for _, id := range c.threads {
		delete(s.threads, id)
	}
}

// know makes a leg of the call findable for the peers of its group.
func (c *call) know(key dialogKey, leg relay.Side, group string) {
	s := c.set
	s.mu.Lock()
	defer s.mu.Unlock()
	at := end{c, leg, group}
	s.dialogs[key] = at
	c.keys = append(c.keys, key)
	if _, taken := s.threads[key.callID]; !taken {
		s.threads[key.callID] = at
		c.threads = append(c.threads, key.callID)
	}
}

// view is how the call stands.
func (c *call) view() record.LiveCall {
	v := record.LiveCall{Call: c.st.record, State: c.st.word()}
	v.Attempts = slices.Clone(v.Attempts) // the call goes on changing its own
	v.Transfers = slices.Clone(v.Transfers)
	c.measure(&v.Call)
	return v
}
