package phone

import (
	"errors"
	"strconv"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// incoming is what a received call has besides.
type incoming struct {
	tx     *sip.ServerTx
	invite *sip.Message
	forks  []*fork
	answer []byte // our description, the same in 183 and 200

	due  bool   // it is to be answered once the last PRACK is there
	ring func() // what is to follow once resources are reserved; nil: nothing waits
}

// fork is one device that rings.
type fork struct {
	tag    string
	dialog *ua.Dialog
	acked  bool
	byed   bool

	rseq    uint32        // of the last 18x that was sent reliably
	waiting []provisional // 18x that want their PRACK; the first one was sent
	settled bool          // descriptions were exchanged before the 200
}

// lateOK is when the second device answers too.
const lateOK = 100 * time.Millisecond

func (c *Call) incoming(tx *sip.ServerTx, b Behaviour) {
	req := tx.Request()
	if req == nil {
		c.finish("them", 0, "")
		return
	}
	c.does = b
	c.in = &incoming{tx: tx, invite: described(req)}
	c.describeCaller(tx.Source(), req)
	tx.OnCancel(func(cancel *sip.Message) { c.post(func() { c.cancelled(cancel) }) })
	if b.Came != nil {
		b.Came(c)
	}
	if r := c.unwilling(); r != nil {
		c.refuse(*r)
		return
	}
	c.acceptTimer(req)
	for range max(1, b.Forks) {
		if !c.addFork() {
			return
		}
	}
	c.reply(c.in.forks[0], 100, nil)
	if err := c.openIncoming(); err != nil {
		if !errors.Is(err, ErrNoCodec) { // which may be the number's own wish
			c.violate("invite-sdp", "%v", err)
		}
		c.refuse(Refusal{Status: 488, Reason: c.x.cfg.Manner.Reason(488, err)})
		return
	}
	if b.Forward != "" {
		c.goOn(b.Forward, true)
		return
	}
	if !c.session.qos.met() {
		c.progressOf(c.winner(), 183, c.in.answer)
		c.in.ring = c.ring
		return
	}
	c.ring()
}

// ring is what the number does when it is called.
func (c *Call) ring() {
	b := c.does
	c.provisional()
	if b.AlsoRing != "" {
		c.goOn(b.AlsoRing, false)
	}
	switch {
	case b.Status != 0:
		reason := b.Reason
		if reason == "" {
			reason = c.x.cfg.Manner.Reason(b.Status, nil)
		}
		c.after(b.Ring, func() {
			c.refuse(Refusal{Status: b.Status, Reason: reason, RetryAfter: b.RetryAfter, Contact: b.Redirect})
		})
	case !b.NoAnswer:
		c.after(b.Ring, c.answer)
	}
}

// unwilling is why the INVITE is not taken as it is.
func (c *Call) unwilling() *Refusal {
	req := c.in.invite
	if c.does.Reliable == "require" && !c.reliably() {
		return &Refusal{Status: 421, Headers: []Header{{"Require", "100rel"}}}
	}
	if t, err := ua.SessionTimerOf(req); err == nil && t.Interval > 0 && t.Interval < c.x.least() {
		return &Refusal{Status: 422, Headers: []Header{{"Min-SE", strconv.Itoa(int(c.x.least() / time.Second))}}}
	}
	return nil
}

func (c *Call) describeCaller(src sip.Source, req *sip.Message) {
	from, _ := req.From()
	to, _ := sip.ParseURI(req.RequestURI)
	id, _ := req.CallID()
	peer := src.Addr.String()
	if contact, err := req.Contact(); err == nil {
		peer = contact.URI.Host
	}
	c.note(func(f *Facts) {
		f.ID, f.From, f.To, f.Peer = id, from.URI.User, to.User, peer
		f.Invite = string(req.Append(nil))
	})
}

// addFork makes one more early dialog; false when that cannot be.
func (c *Call) addFork() bool {
	tag := c.tag
	if len(c.in.forks) > 0 {
		tag = sip.NewTag()
	}
	d, err := ua.ServerDialog(c.in.invite, tag)
	if err != nil {
		c.violate("dialog", "INVITE cannot form a dialog: %v", err)
		c.refuse(Refusal{Status: 400})
		return false
	}
	c.in.forks = append(c.in.forks, &fork{tag: tag, dialog: d})
	c.x.register(c, c.id(), tag)
	return true
}

// openIncoming opens the media end and works out our description.
func (c *Call) openIncoming() (err error) {
	if err = c.openVoice(c.does.Send, c.does.Codec, c.does.Ptime); err != nil {
		return err
	}
	c.session.twice = c.does.TwoCrypto
	if c.does.Preconditions {
		c.session.qos = &qos{ours: true}
	}
	if len(c.in.invite.Body) == 0 {
		c.in.answer, err = c.session.offer()
		return err
	}
	c.in.answer, err = c.session.reply(c.in.invite.Body)
	return err
}

// winner is the device that will answer, early the one that speaks before.
func (c *Call) winner() *fork { return c.device(c.does.Winner) }
func (c *Call) early() *fork  { return c.device(c.does.Early) }

func (c *Call) device(n int) *fork {
	return c.in.forks[min(max(n, 0), len(c.in.forks)-1)]
}

// provisional rings all devices, and one of them speaks already.
func (c *Call) provisional() {
	if !c.does.NoRinging {
		for _, f := range c.in.forks {
			if f != c.early() || !c.does.EarlyMedia {
				c.progressOf(f, 180, nil)
			}
		}
		c.note(func(f *Facts) { f.Ringing = time.Now() })
	}
	if c.does.Bypass && len(c.in.forks) > 1 {
		if err := c.compete(); err != nil {
			c.note(func(f *Facts) { f.Error = err.Error() })
		}
		return
	}
	if c.does.EarlyMedia && (len(c.in.invite.Body) > 0 || c.reliably()) {
		c.speakEarly()
	}
}

// speakEarly sends a description in 183. When another device will answer, this
// one has keys and an origin of its own.
func (c *Call) speakEarly() {
	final, body := c.session, c.in.answer
	if c.early() != c.winner() {
		c.session = c.newSession(c.does.Codec, c.does.Ptime)
		body, _ = c.session.reply(c.in.invite.Body) // understood once already
	}
	c.progressOf(c.early(), 183, body)
	c.talk = true
	c.media()
	c.session = final
	c.note(func(f *Facts) { f.EarlyAt = time.Now() })
}

// reply answers the INVITE for one device.
func (c *Call) reply(f *fork, status int, body []byte) *sip.Message {
	resp := c.response(f, status, body)
	if status/100 == 2 {
		c.clock.propose(resp)
	}
	return c.deliver(resp)
}

func (c *Call) response(f *fork, status int, body []byte) *sip.Message {
	resp := sip.NewResponse(c.in.invite, status, "")
	if status > 100 {
		resp.TagTo(f.tag)
		for r := range c.in.invite.Values("Record-Route") {
			resp.Add("Record-Route", r) // RFC 3261 section 12.1.1
		}
		for _, h := range c.does.Headers {
			resp.Add(h.Name, h.Value)
		}
	}
	if body != nil {
		resp.SetBody("application/sdp", body)
	}
	return resp
}

// deliver sends a response to the INVITE.
func (c *Call) deliver(resp *sip.Message) *sip.Message {
	resp = c.x.cfg.Manner.Finish(c, c.gate, resp.Clone())
	if err := c.in.tx.Respond(resp.Clone()); err != nil {
		c.note(func(f *Facts) { f.Error = err.Error() })
	}
	return resp
}

func (c *Call) answer() {
	if c.phase != setup {
		return
	}
	f := c.winner()
	if len(f.waiting) > 0 { // RFC 3262 section 3
		c.in.due = true
		return
	}
	c.dialog = f.dialog
	body := c.in.answer
	if f.settled {
		body = nil
	}
	resp := c.reply(f, 200, body)
	c.await(c.in.tx, resp, len(c.in.invite.Body) == 0 && !f.settled)
	c.begin(c.does.Digits, c.does.DTMF)
	c.prolong(resp, false)
	c.soon(c.does.HangUp, c.hangUp)
	c.soon(c.does.Hold, c.holdForAWhile)
	c.soon(c.does.Refresh, c.refresh)
	if c.does.LateOK && len(c.in.forks) > 1 {
		c.after(lateOK, c.answerTwice)
	}
}

func (c *Call) holdForAWhile() {
	c.hold(nil, func(err error) {
		if err != nil {
			c.violate("hold", "our hold failed: %v", err)
			return
		}
		if c.does.Resume > 0 {
			c.after(c.does.Resume, func() {
				c.resume(func(err error) {
					if err != nil && c.phase == talking {
						c.violate("resume", "our resume failed: %v", err)
					}
				})
			})
		}
	})
}

// answerTwice lets another device answer as well: the caller has to
// acknowledge that and hang up on it (RFC 3261 section 13.2.2.4).
func (c *Call) answerTwice() {
	second := c.in.forks[0]
	if second == c.winner() {
		second = c.in.forks[1]
	}
	other := c.newSession(c.does.Codec, c.does.Ptime)
	body, err := other.reply(c.in.invite.Body)
	if err != nil {
		return // the first one's description was understood
	}
	c.await(c.in.tx, c.reply(second, 200, body), false)
	c.after(linger-lateOK, func() {
		if !second.acked || !second.byed {
			c.violate("late-2xx", "a second device's 200 was acknowledged: %t, and hung up on: %t", second.acked, second.byed)
		}
	})
}

// refuse ends a call that was not answered.
func (c *Call) refuse(r Refusal) {
	if c.phase != setup {
		return
	}
	resp := r.response(c.in.invite)
	if len(c.in.forks) > 0 {
		resp.TagTo(c.winner().tag)
	}
	resp.TagTo(c.tag)
	_ = c.in.tx.Respond(c.x.cfg.Manner.Finish(c, c.gate, resp)) // who is gone needs no answer
	c.finish("us", r.Status, r.Reason)
}

func (c *Call) cancelled(cancel *sip.Message) {
	if c.phase != setup {
		return
	}
	c.refuse(Refusal{Status: 487})
	c.note(func(f *Facts) { f.HungUpBy, f.Reason = "them", cancel.Get("Reason") })
}

// forkOf is the device a message is for.
func (c *Call) forkOf(m *sip.Message) *fork {
	if c.in == nil {
		return nil
	}
	to, err := m.To()
	if err != nil {
		return nil
	}
	for _, f := range c.in.forks {
		if f.tag == to.Tag() {
			return f
		}
	}
	return nil
}
