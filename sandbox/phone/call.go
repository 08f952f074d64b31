package phone

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// Call is a call of this side. Its goroutine owns all that is not said
// otherwise.
type Call struct {
	x        *Exchange     // RO
	tag      string        // RO; ours
	mail     chan func()   // what to run next
	answered chan struct{} // closed at the answer, or at the end without one
	done     chan struct{} // closed at the end
	gone     chan struct{} // closed when the goroutine ends
	keys     []dialogKey   // Exchange.mu

	mu     sync.Mutex
	facts  Facts     // mu; written by run
	voice  *voice    // mu; set once by run
	client *client   // mu; likewise; nil without media bypass
	rivals []*client // run; devices that have not answered

	phase    phase
	gate     *Gate      // where it came in, or was placed
	spec     CallSpec   // run; of a call we placed
	does     Behaviour  // run; of the number that was called
	session  *session   // of the dialog that counts
	dialog   *ua.Dialog // the confirmed one
	talk     bool       // we may speak
	awaiting []*awaited // 2xx of ours that want their ACK
	busy     bool       // a re-INVITE or UPDATE of ours is under way
	clock    clock      // of the session
	before   []int16    // what was said before music on hold
	transfer *Transfer  // the newest REFER of ours; nil
	beyond   *Call      // a call placed for this one; nil

	out *outgoing // of a call we placed
	in  *incoming // of a call we received
}

type phase uint8

const (
	setup phase = iota
	talking
	over
)

const (
	mailbox = 256             // more than any call of a sane peer has waiting
	linger  = 2 * time.Second // stragglers after the end: crossing answers, ACKs
	t1, t2  = 500 * time.Millisecond, 4 * time.Second
)

func (x *Exchange) newCall(g *Gate) *Call {
	c := &Call{
		x: x, gate: g, tag: sip.NewTag(),
		mail: make(chan func(), mailbox), answered: make(chan struct{}),
		done: make(chan struct{}), gone: make(chan struct{}),
	}
	c.facts.Began, c.facts.Gate = time.Now(), g.Name
	x.keepCall(c)
	return c
}

// start runs the call until it has been over for a while.
func (c *Call) start() {
	c.x.Go(func(ctx context.Context) {
		defer close(c.gone)
		defer c.finish("", 0, "exchange closed")
		var late <-chan time.Time
		for {
			select {
			case f := <-c.mail:
				f()
			case <-late:
				return
			case <-ctx.Done():
				return
			}
			if c.phase == over && late == nil {
				late = time.After(linger)
			}
		}
	})
}

// post runs f on the call's goroutine, unless that is gone.
func (c *Call) post(f func()) {
	select {
	case c.mail <- f:
	case <-c.gone:
	case <-c.x.closing.Done():
	}
}

// after posts f in a while.
func (c *Call) after(d time.Duration, f func()) {
	time.AfterFunc(d, func() { c.post(f) })
}

func (c *Call) note(f func(*Facts)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.facts)
}

func (c *Call) violate(rule, format string, a ...any) {
	c.x.Violate(rule, c.id(), format, a...)
}

func (c *Call) id() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.facts.ID
}

// Facts are the call's facts so far.
func (c *Call) Facts() Facts {
	f := c.Brief()
	c.mu.Lock()
	v := c.voice
	c.mu.Unlock()
	if v != nil {
		f.Sent, f.Heard = v.tracks()
		f.Tones = audio.Pressed(f.Heard.PCM)
	}
	return f
}

// Payloads are those heard of a codec that cannot be listened to.
func (c *Call) Payloads() [][]byte {
	if v := c.mouth(); v != nil {
		return v.payloads()
	}
	return nil
}

// Brief is Facts without the audio, up to a megabyte less to copy.
func (c *Call) Brief() Facts {
	c.mu.Lock()
	f, v, k := c.facts, c.voice, c.client
	c.mu.Unlock()
	if k != nil {
		state := k.agent.State()
		f.ICE = &state
	}
	if v != nil {
		f.Packets, f.Digits = v.counts()
	}
	return f
}

// Wait waits until the call has been answered or has failed.
func (c *Call) Wait(ctx context.Context) error {
	select {
	case <-c.answered:
	case <-ctx.Done():
		return ctx.Err()
	}
	f := c.Brief()
	if f.Answered.IsZero() {
		return fmt.Errorf("call from %s to %s: not answered: status %d %s %s", f.From, f.To, f.Status, f.Error, f.Reason)
	}
	return nil
}

// Tag is our tag in the call's first dialog; it names the call on this side.
func (c *Call) Tag() string { return c.tag }

// Number is our number in the call, as the INVITE has it.
func (c *Call) Number() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.facts.Outbound {
		return c.facts.From
	}
	return c.facts.To
}

// Established reports whether the call was answered.
func (c *Call) Established() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.facts.Answered.IsZero()
}

// Does is how the number behaves that was called; to be asked on the call's own
// goroutine.
func (c *Call) Does() Behaviour { return c.does }

// Done is closed when the call has ended.
func (c *Call) Done() <-chan struct{} { return c.done }

func (c *Call) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// HangUp ends the call: CANCEL, BYE or a refusal, whichever is due.
func (c *Call) HangUp() { c.post(c.hangUp) }

func (c *Call) hangUp() {
	switch {
	case c.phase == talking:
		c.bye(c.dialog)
		c.finish("us", 0, "")
	case c.phase == setup && c.out != nil:
		c.giveUp("given up by the caller")
	case c.phase == setup && c.in != nil:
		c.refuse(Refusal{Status: 480})
	}
}

// bye ends one dialog; nobody waits for the answer, but a missing one is
// noted.
func (c *Call) bye(d *ua.Dialog) {
	c.send(d, "BYE", nil, func(ev sip.Event) {
		if ev.Err != nil {
			c.note(func(f *Facts) { f.Error = "our BYE: " + ev.Err.Error() })
		}
	})
}

// send sends a request in a dialog, with a description or without; h is posted
// each event. An INVITE comes back for its ACK.
func (c *Call) send(d *ua.Dialog, method string, body []byte, h func(sip.Event)) *sip.Message {
	return c.sendAs(d, method, "application/sdp", body, h)
}

func (c *Call) sendAs(d *ua.Dialog, method, kind string, body []byte, h func(sip.Event)) *sip.Message {
	return c.sendWith(d, method, func(m *sip.Message) {
		if body != nil {
			m.SetBody(kind, body)
		}
	}, h)
}

func (c *Call) sendWith(d *ua.Dialog, method string, write func(*sip.Message), h func(sip.Event)) (req *sip.Message) {
	g := c.x.cfg.Manner.Leave(c.gate)
	req = d.NewRequest(method)
	write(req)
	c.clock.propose(req)
	req = c.x.cfg.Manner.Finish(c, g, req)
	to, err := c.hop(d, g)
	if err == nil {
		_, err = g.Request(req.Clone(), to, func(ev sip.Event) {
			c.post(func() {
				if ev.Msg != nil {
					ev.Msg = c.x.cfg.Manner.Response(c, ev.Msg)
				}
				h(ev)
			})
		})
	}
	if err != nil {
		h(sip.Event{Err: err})
	}
	return req
}

// hop is where requests of the dialog go.
func (c *Call) hop(d *ua.Dialog, g *Gate) (sip.Endpoint, error) {
	uri, err := d.NextHop()
	if err != nil {
		return sip.Endpoint{}, err
	}
	places, err := c.x.Resolve(c.x.closing, sip.Hop{Host: uri.Host, Port: uri.Port, Transport: g.Transport})
	if err != nil {
		return sip.Endpoint{}, err
	}
	return places[0], nil
}

// acknowledge sends the ACK to a 2xx.
func (c *Call) acknowledge(d *ua.Dialog, invite *sip.Message, body []byte) {
	g := c.x.cfg.Manner.Leave(c.gate)
	ack := d.NewAck(invite)
	if body != nil {
		ack.SetBody("application/sdp", body)
	}
	ack = c.x.cfg.Manner.Finish(c, g, ack)
	to, err := c.hop(d, g)
	if err == nil {
		err = g.send(ack, to)
	}
	if err != nil {
		c.note(func(f *Facts) { f.Error = "our ACK: " + err.Error() })
	}
}

// media puts what was negotiated to work.
func (c *Call) media() {
	s := c.session
	st := s.now
	st.sending = st.sending && c.talk && (!s.holding || s.holdAs().Music != nil)
	for _, f := range s.faults {
		c.violate(f.Rule, "%s", f.Message)
	}
	s.faults = nil
	if s.client != nil && s.far.Candidate.IsValid() {
		s.client.agent.Meet(s.far)
		st.settled = st.settled && s.client.agent.State().Valid
	}
	if s.peer.Addr().IsValid() && !s.peer.Addr().IsUnspecified() {
		c.voice.port.Remote(s.peer, s.peerCtl)
	}
	if err := c.voice.set(st); err != nil {
		c.violate("srtp-key", "%v", err)
	}
	c.note(func(f *Facts) {
		if st.codec != nil {
			f.Codec = st.codec.Name
		}
		f.Suite = s.suite
		f.Held = !s.now.sending && !s.holding
	})
}

// openVoice opens the media end and the descriptions around it.
func (c *Call) openVoice(source []int16, codec string, ptime int) error {
	at := mediaName
	if c.bypasses() {
		at = clientName
	}
	port, err := c.x.engine.Open(at)
	if err != nil {
		return err
	}
	if len(source) == 0 {
		source = audio.Tones(c.x.seed(), 10*time.Second)
	}
	v := newVoice(port, source)
	v.lose = &c.x.lose
	var k *client
	if c.bypasses() {
		k = c.newClient(port)
	}
	c.mu.Lock()
	c.voice, c.client = v, k
	c.mu.Unlock()
	c.session = c.newSession(codec, ptime)
	c.x.pacer.add(v)
	return nil
}

func (c *Call) newSession(codec string, ptime int) *session {
	if c.client != nil {
		return c.newSessionAt(c.client, codec, ptime)
	}
	return c.sessionAt(c.voice.port.Addr(), c.voice.port.RTCPAddr().Port(), codec, ptime)
}

// newSessionAt is that of a device with media bypass.
func (c *Call) newSessionAt(k *client, codec string, ptime int) *session {
	s := c.sessionAt(k.relay, k.relay.Port(), codec, ptime)
	s.client = k
	return s
}

func (c *Call) sessionAt(at netip.AddrPort, rtcp uint16, codec string, ptime int) *session {
	return &session{
		dialect: &c.x.cfg.Manner.Dialect, codec: codec, ptime: ptime, addr: at, rtcp: rtcp,
		id: uint64(rand.Uint32()), offered: map[string]*rtp.Keys{},
	}
}

// begin marks the answer.
func (c *Call) begin(digits, how string) {
	c.phase, c.talk = talking, true
	c.note(func(f *Facts) { f.Answered, f.Status = time.Now(), 200 })
	c.concede()
	if c.client != nil {
		c.client.agent.Nominate()
	}
	c.media()
	close(c.answered)
	c.leave()
	if c.does.Taken != nil {
		c.does.Taken(c)
	}
	c.tell(Answers)
	if c.x.cfg.Manner.Gap > 0 {
		c.listen()
	}
	if digits != "" {
		c.after(time.Second, func() { c.press(digits, how) })
	}
}

// listen notes the first time for which nothing comes.
func (c *Call) listen() {
	most := c.x.cfg.Manner.Gap
	c.after(most/4, func() {
		switch gap := c.voice.gap(time.Now()); {
		case c.phase != talking:
		case gap > most:
			c.violate("silence", "nothing has come for %v", gap.Round(10*time.Millisecond))
		default:
			c.listen()
		}
	})
}

// tell tells whoever placed this call for another one.
func (c *Call) tell(p Progress) {
	if c.out != nil && c.out.Watch != nil {
		c.out.Watch(c, p)
	}
}

// soon is after, unless d is zero.
func (c *Call) soon(d time.Duration, f func()) {
	if d > 0 {
		c.after(d, f)
	}
}

// finish ends the call.
func (c *Call) finish(by string, status int, reason string) {
	if c.phase == over {
		return
	}
	unanswered := c.phase == setup
	c.phase = over
	c.note(func(f *Facts) {
		f.Ended, f.HungUpBy = time.Now(), by
		if status != 0 {
			f.Status = status
		}
		if reason != "" {
			f.Reason = reason
		}
	})
	if unanswered {
		close(c.answered)
	}
	close(c.done)
	c.leave()
	if t := c.transfer; t != nil {
		t.end(errEnded)
	}
	c.tell(Finishes)
	c.concede()
	c.client.close()
	if c.voice != nil {
		c.x.pacer.remove(c.voice)
		c.voice.port.Close()
	}
	c.after(linger, func() { c.x.forget(c) })
}

// request handles a request inside of a dialog.
func (c *Call) request(g *Gate, tx *sip.ServerTx) {
	req := tx.Request()
	if req == nil {
		return
	}
	respond := func(status int, body []byte) *sip.Message {
		resp := sip.NewResponse(req, status, "")
		if body != nil {
			resp.SetBody("application/sdp", body)
		}
		switch {
		case status == 405:
			resp.Set("Allow", c.x.cfg.Manner.Allow)
		case status/100 == 2:
			c.clock.propose(resp)
		}
		resp = c.x.cfg.Manner.Finish(c, g, resp)
		_ = tx.Respond(resp) // the transaction tells what became of it
		return resp
	}
	d := c.dialogOf(req)
	if d == nil {
		respond(481, nil)
		return
	}
	c.mirrored(d, req)
	var refused *sip.ParseError
	if err := d.Accept(req); errors.As(err, &refused) {
		c.violate("cseq", "%s: %v", req.Method, err)
		respond(max(refused.Status, 400), nil)
		return
	}
	switch req.Method {
	case "BYE":
		if !c.does.IgnoreBye {
			respond(200, nil)
		}
		if f := c.forkOf(req); f != nil && d != c.dialog {
			f.byed = true
			return
		}
		c.leftEarly()
		c.finish("them", 0, req.Get("Reason"))
	case "INVITE":
		c.reinvited(d, tx, respond)
	case "OPTIONS":
		respond(200, nil)
	default:
		if !c.special(d, req, respond) {
			c.violate("method", "%s in a dialog, while our Allow is %s", req.Method, c.x.cfg.Manner.Allow)
			respond(405, nil)
		}
	}
}

// mirrored notes a party that is called otherwise than when the dialog began
// (RFC 3261 section 12.2.1.1).
func (c *Call) mirrored(d *ua.Dialog, req *sip.Message) {
	for _, p := range []struct{ name, was string }{{"From", d.Remote}, {"To", d.Local}} {
		was, err := sip.ParseAddress(p.was)
		now, err2 := req.Address(p.name)
		if err == nil && err2 == nil && was.URI != now.URI {
			c.violate("mirror", "%s: the URI in %s became %s", req.Method, p.name, now.URI)
		}
	}
}

// special handles the methods that only some sides have; false when this one
// has not.
func (c *Call) special(d *ua.Dialog, req *sip.Message, respond func(int, []byte) *sip.Message) bool {
	if !c.x.allows(req.Method) || c.phase == over {
		return false
	}
	switch {
	case req.Method == "NOTIFY":
		c.notified(req, respond)
	case req.Method == "REFER" && c.x.cfg.Manner.Referred != nil:
		c.obey(d, req, respond)
	case req.Method == "INFO" && c.voice != nil:
		c.informed(req, respond)
	case req.Method == "UPDATE" && c.session != nil:
		c.takeTimer(req)
		c.updated(d, req, respond)
	case req.Method == "PRACK" && c.in != nil:
		c.acknowledgedEarly(req, respond)
	default:
		return false
	}
	return true
}

// takeTimer takes the session timer that a refresh of the far side proposes.
func (c *Call) takeTimer(req *sip.Message) {
	t, err := ua.SessionTimerOf(req)
	if err == nil {
		c.clock.interval, c.clock.ours = t.Interval, t.Refresher == "uas"
	}
}

// dialogOf is the dialog of a request from the far side.
func (c *Call) dialogOf(req *sip.Message) *ua.Dialog {
	if f := c.forkOf(req); f != nil {
		return f.dialog
	}
	id := ua.IDOf(req)
	switch {
	case c.in != nil:
		return nil
	case c.dialog != nil && id == c.dialog.ID():
		return c.dialog
	case c.dialog == nil && c.out != nil && c.out.try != nil:
		if d := c.out.try.forming[id.RemoteTag]; d != nil && d.ID() == id {
			return d
		}
	}
	return nil
}

// reinvited answers a re-INVITE.
func (c *Call) reinvited(d *ua.Dialog, tx *sip.ServerTx, respond func(int, []byte) *sip.Message) {
	req := tx.Request()
	switch {
	case c.busy:
		respond(491, nil) // RFC 3261 section 14.2
		return
	case len(c.awaiting) > 0:
		// Its own 200 still wants the ACK; section 14.2 again.
		respond(500, nil)
		return
	}
	c.note(func(f *Facts) { f.Reinvites++ })
	var body []byte
	var err error
	if len(req.Body) == 0 {
		body, err = c.session.offer()
	} else {
		c.judgeChange(req.Body)
		body, err = c.session.reply(req.Body)
	}
	if err != nil {
		c.violate("reinvite-sdp", "%v", err)
		r := Refusal{Status: 488, Reason: c.x.cfg.Manner.Reason(488, err)}
		resp := sip.NewResponse(req, r.Status, "")
		if r.Reason != "" {
			resp.Set("Reason", r.Reason)
		}
		_ = tx.Respond(c.x.cfg.Manner.Finish(c, c.gate, resp))
		return
	}
	d.Refresh(req)
	c.takeTimer(req)
	resp := respond(200, body)
	c.prolong(resp, false)
	c.await(tx, resp, len(req.Body) == 0)
	c.media()
}

// judgeChange notes what RFC 3264 section 8 forbids in a new description.
func (c *Call) judgeChange(body []byte) {
	before, raw := c.session.remote, c.session.raw
	now, err := sdp.Parse(body)
	if before == nil || err != nil { // what cannot be read is noted where it is used
		return
	}
	switch {
	case now.Origin.ID != before.Origin.ID || now.Origin.User != before.Origin.User:
		c.violate("sdp-origin", "o= session %s became %s within a dialog (RFC 3264 section 8)", before.Origin.ID, now.Origin.ID)
	case string(body) == raw:
		return
	case !follows(before.Origin.Version, now.Origin.Version):
		c.violate("sdp-version", "o= version went from %s to %s with a changed description (RFC 3264 section 8)", before.Origin.Version, now.Origin.Version)
	}
	if len(now.Media) < len(before.Media) {
		c.violate("sdp-media", "%d m-lines became %d (RFC 3264 section 8)", len(before.Media), len(now.Media))
	}
}

// follows reports whether b is one more than a.
func follows(a, b string) bool {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	return errX == nil && errY == nil && y == x+1
}

// awaited is a 2xx of ours that wants its ACK.
type awaited struct {
	seq   uint32
	tag   string
	late  bool // the offer was in our 2xx
	acked bool
}

// await retransmits a 2xx until its ACK comes (RFC 3261 section 13.3.1.4).
func (c *Call) await(tx *sip.ServerTx, resp *sip.Message, late bool) *awaited {
	cseq, _ := resp.CSeq()
	to, _ := resp.To()
	a := &awaited{seq: cseq.Seq, tag: to.Tag(), late: late}
	c.awaiting = append(c.awaiting, a)
	var again func()
	wait, waited := t1, time.Duration(0)
	again = func() {
		waited += wait
		switch {
		case a.acked || c.phase == over:
			return
		case waited >= 64*t1:
			c.violate("no-ack", "no ACK to our %d with CSeq %d for %v", resp.Status, a.seq, waited)
			c.hangUp()
			return
		}
		_ = tx.Respond(resp.Clone())
		wait = min(2*wait, t2)
		c.after(wait, again)
	}
	c.after(wait, again)
	return a
}

// acknowledged takes an ACK.
func (c *Call) acknowledged(ack *sip.Message, tag string) {
	cseq, err := ack.CSeq()
	if err != nil {
		return
	}
	for i, a := range c.awaiting {
		if a.seq != cseq.Seq || a.tag != tag {
			continue
		}
		a.acked = true
		c.awaiting = append(c.awaiting[:i], c.awaiting[i+1:]...)
		if f := c.forkOf(ack); f != nil {
			f.acked = true
		}
		if a.late && c.phase != over {
			c.answerInAck(ack)
		}
		return
	}
}

func (c *Call) answerInAck(ack *sip.Message) {
	if err := c.session.accept(ack.Body); err != nil {
		c.violate("late-offer", "answer in ACK: %v", err)
		c.hangUp()
		return
	}
	c.media()
}

// refresh sends a re-INVITE that changes nothing (RFC 4028 section 7.4).
func (c *Call) refresh() {
	c.change(c.session.holding, true, 3, func(err error) {
		if err != nil && c.phase == talking {
			c.violate("refresh", "our refreshing re-INVITE failed: %v", err)
		}
	})
}

// change sends a re-INVITE, with the last offer again or a new one; done is
// called once. A call placed without an offer makes none here either, as cores
// do that resume so.
func (c *Call) change(holding, again bool, tries int, done func(error)) {
	switch {
	case c.phase != talking:
		done(errEnded)
		return
	case c.busy:
		done(errBusy)
		return
	}
	before := c.session.holding
	c.session.holding = holding
	body := c.session.sent
	if !again || body == nil {
		var err error
		if body, err = c.session.offer(); err != nil {
			done(err)
			return
		}
	}
	if c.spec.LateSDP {
		body = nil
	}
	c.busy = true
	var invite *sip.Message
	var answer []byte // to the offer in a 2xx, when ours had none
	var settled bool
	invite = c.send(c.dialog, "INVITE", body, func(ev sip.Event) {
		switch {
		case ev.Msg != nil && ev.Msg.Status < 200:
		case ev.Msg != nil && ev.Msg.Status < 300:
			if settled { // a retransmitted 2xx
				c.acknowledge(c.dialog, invite, answer)
				return
			}
			settled, c.busy = true, false
			c.dialog.Refresh(ev.Msg)
			c.judgeChange(ev.Msg.Body)
			var err error
			if c.spec.LateSDP {
				answer, err = c.session.reply(ev.Msg.Body)
			} else {
				err = c.session.accept(ev.Msg.Body)
			}
			c.acknowledge(c.dialog, invite, answer)
			if err != nil {
				c.violate("reinvite-answer", "%v", err)
			}
			c.media()
			c.prolong(ev.Msg, true)
			done(err)
		case settled:
		case ev.Msg != nil && ev.Msg.Status == 491 && tries > 1:
			settled, c.busy, c.session.holding = true, false, before
			c.after(c.dialog.Glare(rand.IntN), func() { c.change(holding, again, tries-1, done) })
		default:
			settled, c.busy, c.session.holding = true, false, before
			done(failure(ev))
		}
	})
}

func failure(ev sip.Event) error {
	if ev.Err != nil {
		return ev.Err
	}
	return fmt.Errorf("re-INVITE refused: %d %s %s", ev.Msg.Status, ev.Msg.Reason, ev.Msg.Get("Reason"))
}
