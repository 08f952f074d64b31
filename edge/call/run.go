package call

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/tandemgw/tandem/base/obs"
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
	servers map[txn]*sip.ServerTx // run
	clients map[int]*sip.ClientTx // run; INVITEs, for their CANCEL
	sentTo  []sent                // run; where attempts went
	lastTx  txn                   // run
	ways    [2]way                // run
	media   *relay.Media          // run
	due     [timers]time.Time     // run; zero = not armed
	timer   *time.Timer           // run
	held    [2]func()             // run; give back the peers' counts
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
	return origin{ua.IDOf(req).RemoteTag, cseq.Seq}
}

// way is where the requests of a leg's dialog go.
type way struct {
	fallback sip.Target // where its INVITE came from or went to
	hop      sip.URI
	target   sip.Target
	known    bool     // target stands for hop
	asked    bool     // hop is being looked up
	waiting  []effect // until it is known
}

// begin makes a call of an INVITE and lets it run.
func (s *Set) begin(stack *sip.Stack, tx *sip.ServerTx, req *sip.Message, known peer.Known) {
	var seed [32]byte
	_, _ = cryptorand.Read(seed[:]) // never fails
	random := rand.NewChaCha8(seed)
	now := time.Now()
	c := &call{
		set: s, id: newID(now, random), origin: originOf(req), source: tx.Source(),
		wake:    make(chan struct{}, 1),
		servers: map[txn]*sip.ServerTx{}, clients: map[int]*sip.ClientTx{},
		st: state{
			limits: s.cfg.Limits, region: s.cfg.Region, random: random,
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
	s.traceFirst(c, req, now)
	c.post(invited{
		tx: c.take(tx, req.Method), msg: req, addr: c.source.Addr, remote: c.source.Remote,
		transport: c.source.Listener.Transport, peer: known, dress: s.cfg.Peers.Leg(known),
		snapshot: s.cfg.Snapshot(), suspended: s.cfg.Peers.Suspended, full: s.full(),
	}, true)
	go c.run()
}

// enter puts a call into the tables; false when the node drains.
func (s *Set) enter(c *call, req *sip.Message) bool {
	callID, _ := req.CallID()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.running.Add(1)
	s.calls[c.id] = c
	if _, taken := s.threads[callID]; !taken {
		s.threads[callID] = end{c, relay.Caller}
		c.threads = append(c.threads, callID)
	}
	return true
}

func (s *Set) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls) > s.cfg.Limits.Calls
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
	switch v := ev.(type) {
	case question:
		v.answer <- c.view()
		return
	case located:
		c.located(v)
		return
	case responded:
		if v.msg.Status >= 200 {
			delete(c.clients, v.id) // there is nothing to cancel any more
		}
	case failed:
		delete(c.clients, v.id)
	case incoming:
		ev = requested{v.leg, c.take(v.tx, v.msg.Method), v.msg}
	}
	c.guarded(ev)
	for len(c.todo) > 0 {
		ev, c.todo = c.todo[0], c.todo[1:]
		c.guarded(ev)
	}
	c.todo = nil
}

// guarded runs one event. A panic ends this call and nothing else.
func (c *call) guarded(ev event) {
	defer func() {
		if p := recover(); p != nil {
			c.panicked(p)
		}
	}()
	for _, e := range c.st.step(time.Now(), ev) {
		c.do(e)
	}
}

// panicked ends the call in the ordinary way, and should that panic as well,
// with its bare hands.
func (c *call) panicked(p any) {
	c.set.count.panics.Add(1)
	c.set.cfg.Log.Error("panic in a call, which ends", obs.KeyCall, c.id, obs.KeyError, fmt.Sprint(p), "stack", string(debug.Stack()))
	defer func() {
		if recover() != nil {
			c.st.phase = over
		}
	}()
	for _, e := range c.st.step(time.Now(), hangup{gatewayCause(500, 41, "a defect of the gateway ended the call")}) {
		c.do(e)
	}
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
	for _, release := range c.held {
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
	for _, k := range c.keys {
		delete(s.dialogs, k)
	}
	for _, id := range c.threads {
		delete(s.threads, id)
	}
}

// know makes a leg of the call findable.
func (c *call) know(key dialogKey, leg relay.Side) {
	s := c.set
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dialogs[key] = end{c, leg}
	c.keys = append(c.keys, key)
	if _, taken := s.threads[key.callID]; !taken {
		s.threads[key.callID] = end{c, leg}
		c.threads = append(c.threads, key.callID)
	}
}

// view is how the call stands.
func (c *call) view() record.LiveCall {
	v := record.LiveCall{Call: c.st.record, State: c.st.word()}
	v.Attempts = append([]record.Attempt(nil), v.Attempts...) // the call goes on changing its own
	c.measure(&v.Call)
	return v
}

// measure writes what the relay has counted into a record.
func (c *call) measure(r *record.Call) {
	if c.media == nil {
		return
	}
	for side, leg := range [2]*record.Leg{&r.Caller, &r.Callee} {
		st := c.media.Stats(relay.Side(side))
		leg.Media = record.Media{
			Packets: st.Received.Packets, Octets: st.Received.Octets,
			Lost: uint64(max(st.Lost, 0)), Jitter: st.Jitter, Received: st.Received.Packets > 0,
		}
		for _, n := range st.Drops {
			leg.Media.Dropped += n
		}
		if !st.Last.IsZero() {
			leg.Media.Silent = time.Since(st.Last).Round(time.Millisecond)
		}
		if st.Remote.IsValid() {
			leg.Media.Remote = st.Remote.String()
		}
	}
}

// do carries out one effect.
func (c *call) do(e effect) {
	switch e := e.(type) {
	case respond:
		c.respond(e)
	case settled:
		delete(c.servers, e.tx)
	case open:
		c.open(e)
	case begin:
		c.set.count.begun.Add(1)
		c.set.cfg.Records.Begin(e.record, func(err error) { c.post(begun{err}, true) })
	case answered:
		c.set.count.answered.Add(1)
		c.set.cfg.Records.Answer(e.record, nil)
	case ended:
		c.ended(e.record)
	case resolve:
		c.resolve(e.peer)
	case invite:
		c.invite(e)
	case cancel:
		if tx := c.clients[e.id]; tx != nil {
			tx.Cancel(e.reason)
		}
	case locate:
		c.locate(e)
	case send, ack:
		c.inDialog(e)
	case sendDirect:
		c.direct(e)
	case plug:
		if err := c.media.Set(e.leg, e.what); err != nil {
			c.todo = append(c.todo, unplugged{err})
		}
	case listen:
		if c.media != nil {
			side, silent := c.media.Silent(time.Now())
			c.todo = append(c.todo, heard{side, silent})
		}
	case unplug:
		if c.media != nil {
			c.media.Close()
			c.media = nil
		}
	case arm:
		c.due[e.timer] = time.Time{}
		if e.after > 0 {
			c.due[e.timer] = time.Now().Add(e.after)
		}
	case report:
		c.set.cfg.Peers.Report(e.peer, e.outcome)
	case note:
		if c.set.cfg.Traces != nil {
			c.set.cfg.Traces.Note(c.id, e.text)
		}
	}
}

// respond answers a request. A transaction is kept until its final response,
// and an accepted INVITE until the 2xx is acknowledged.
func (c *call) respond(e respond) {
	tx := c.servers[e.tx]
	if tx == nil {
		return
	}
	// The stack reports what matters (OnEnd); the rest is repeated or was too
	// late.
	if err := tx.Respond(e.msg); err != nil {
		c.set.cfg.Log.Debug("respond", obs.KeyCall, c.id, obs.KeyStatus, e.msg.Status, obs.KeyError, err)
	}
	cseq, _ := e.msg.CSeq()
	if e.msg.Status >= 300 || e.msg.Status >= 200 && cseq.Method != "INVITE" {
		delete(c.servers, e.tx)
	}
}

// open takes the ports, and makes the caller's leg known under its tag.
func (c *call) open(e open) {
	s := c.set
	callee := s.cfg.Interfaces[e.callee]
	media, err := s.cfg.Relay.Open(s.cfg.Interfaces[e.caller], callee)
	ev := opened{err: err}
	if err == nil {
		c.media = media
		for i := range ev.rtp {
			ev.rtp[i], ev.rtcp[i] = media.Local(relay.Side(i)), media.LocalRTCP(relay.Side(i))
		}
	}
	c.held[relay.Caller] = s.cfg.Peers.Hold(c.source.Remote.Name)
	c.ways[relay.Caller].fallback = targetOf(c.source)
	c.know(dialogKey{c.st.record.Caller.CallID, c.st.caller().tag}, relay.Caller)
	c.todo = append(c.todo, ev)
}

// targetOf is the way back to where a message came from.
func targetOf(src sip.Source) sip.Target {
	return sip.Target{
		Listener: src.Listener.Name, Transport: src.Listener.Transport,
		Addr: src.Addr, Remote: src.Remote, Via: src,
	}
}

// ended closes the record and says so in the log, once per call.
func (c *call) ended(r record.Call) {
	c.measure(&r)
	c.set.cfg.Records.End(r, nil)
	if r.Answered == nil {
		c.set.count.failed.Add(1)
	}
	var talked time.Duration
	if r.Answered != nil {
		talked = r.Ended.Sub(*r.Answered).Round(time.Millisecond)
	}
	c.set.cfg.Log.Info("call ended",
		obs.KeyCall, c.id, "from", r.From, "to", r.To, "service", r.Service,
		"caller", r.Caller.Peer, "callee", r.Callee.Peer,
		"codecs", r.Caller.Codec+"/"+r.Callee.Codec,
		"packets", fmt.Sprintf("%d/%d", r.Caller.Media.Packets, r.Callee.Media.Packets),
		obs.KeyDuration, talked, obs.KeyStatus, r.Cause.Status, "q850", r.Cause.Q850,
		"by", r.Cause.By, obs.KeyCause, r.Cause.Text)
}

// resolve looks up a target's addresses.
func (c *call) resolve(name string) {
	peers := c.set.cfg.Peers
	c.lookups.Go(func() {
		ctx, cancel := context.WithTimeout(c.context, lookUp)
		defer cancel()
		known, _ := peers.Find(name)
		hops, err := peers.Resolve(ctx, name)
		if err == nil && len(hops) == 0 {
			err = errors.New("it has no address")
		}
		c.post(resolved{known, peers.Leg(known), hops, err}, true)
	})
}

// invite sends the INVITE of an attempt.
func (c *call) invite(e invite) {
	s := c.set
	c.know(e.key, relay.Callee)
	if release := c.held[relay.Callee]; release != nil {
		s.count.retried.Add(1)
		release()
	}
	c.held[relay.Callee] = s.cfg.Peers.Hold(e.to.Remote.Name)
	c.sentTo = append(c.sentTo, sent{e.id, e.to})
	c.request(e.id, e.msg, e.to)
}

// request starts a client transaction; what it brings comes as events.
func (c *call) request(id int, msg *sip.Message, to sip.Target) {
	stack := c.set.stack.Load()
	invite := msg.Method == "INVITE"
	tx, err := stack.Request(msg, to, func(ev sip.Event) {
		switch {
		case ev.Err != nil:
			c.post(failed{id, ev.Err}, true)
		case !c.post(responded{id, ev.Msg}, ev.Msg.Status >= 200) && invite:
			releaseLate(stack, ev.Msg, to)
		}
	})
	switch {
	case err != nil:
		c.todo = append(c.todo, failed{id, err})
	case invite:
		c.clients[id] = tx
	}
}

// releaseLate acknowledges and releases a 2xx that came when its call was over
// already.
func releaseLate(stack *sip.Stack, resp *sip.Message, to sip.Target) {
	if resp.Status < 200 || resp.Status > 299 {
		return
	}
	from := sip.NewRequest("INVITE", "sip:late")
	for _, name := range []string{"From", "To", "Call-ID", "CSeq"} {
		from.Set(name, resp.Get(name))
	}
	d, err := ua.ClientDialog(from, resp)
	if err != nil {
		return
	}
	_ = stack.Send(d.NewAck(from), to) // who lost the call before is not helped by a log line
	bye := d.NewRequest("BYE")
	_, _ = stack.Request(bye, to, func(sip.Event) {})
}

// locate sets where a leg's requests go from now on.
func (c *call) locate(e locate) {
	w := &c.ways[e.leg]
	if e.id != 0 {
		w.fallback = c.wentTo(e.id)
	}
	if w.known && w.hop == e.hop {
		return
	}
	w.hop, w.known, w.asked = e.hop, false, false
	if !w.fallback.Addr.IsValid() || e.hop.Host == "" {
		w.target, w.known = w.fallback, true
	}
}

// located has the addresses of a leg's next hop.
type located struct {
	leg  relay.Side
	hop  sip.URI
	hops []sip.Target
}

func (located) event() {}

// inDialog sends a request by a leg's way, which is looked up when it is used
// first.
func (c *call) inDialog(e effect) {
	leg := legOf(e)
	w := &c.ways[leg]
	if w.known {
		c.sendBy(w.target, e)
		return
	}
	w.waiting = append(w.waiting, e)
	if w.asked {
		return
	}
	w.asked = true
	peers, name, hop := c.set.cfg.Peers, w.fallback.Remote.Name, w.hop
	find := func() located {
		ctx, cancel := context.WithTimeout(c.context, lookUp)
		defer cancel()
		hops, err := peers.ResolveHop(ctx, name, hop)
		if err != nil {
			c.set.cfg.Log.Debug("look up next hop", obs.KeyCall, c.id, obs.KeyPeer, name, obs.KeyError, err)
		}
		return located{leg, hop, hops}
	}
	if _, err := netip.ParseAddr(hop.Host); err == nil {
		c.located(find())
		return
	}
	c.lookups.Go(func() { c.post(find(), true) })
}

func legOf(e effect) relay.Side {
	switch e := e.(type) {
	case send:
		return e.leg
	case ack:
		return e.leg
	}
	panic("call: not a request inside a dialog")
}

// located chooses the address of a next hop: that of the INVITE when it is
// among them, else the first. When there is none that the peer may have, the
// requests go back the way the dialog came: a route set must not make us speak
// to a third party.
func (c *call) located(ev located) {
	w := &c.ways[ev.leg]
	if w.hop != ev.hop {
		return
	}
	w.target, w.known = w.fallback, true
	for i, t := range ev.hops {
		if t.Addr.Addr().Unmap() == w.fallback.Addr.Addr().Unmap() {
			t.Via = w.fallback.Via // RFC 5923: the connection it came on, while it stands
			w.target = t
			break
		}
		if i == 0 {
			w.target = t
		}
	}
	waiting := w.waiting
	w.waiting = nil
	for _, e := range waiting {
		c.sendBy(w.target, e)
	}
}

func (c *call) sendBy(to sip.Target, e effect) {
	switch e := e.(type) {
	case send:
		c.request(e.id, e.msg, to)
	case ack:
		c.sendAck(e.msg, to)
	}
}

func (c *call) direct(e sendDirect) {
	to := c.wentTo(e.attempt)
	if e.id == 0 {
		c.sendAck(e.msg, to)
		return
	}
	c.request(e.id, e.msg, to)
}

// sent is where an attempt went.
type sent struct {
	id int
	to sip.Target
}

func (c *call) wentTo(id int) sip.Target {
	for _, s := range c.sentTo {
		if s.id == id {
			return s.to
		}
	}
	return c.ways[relay.Callee].fallback
}

func (c *call) sendAck(msg *sip.Message, to sip.Target) {
	if err := c.set.stack.Load().Send(msg, to); err != nil {
		c.set.cfg.Log.Debug("send ACK", obs.KeyCall, c.id, obs.KeyError, err)
	}
}
