package phone

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// Target is one place to try.
type Target struct {
	Name string // for Facts
	Gate *Gate
	Host string // host[:port] of the Request-URI
	// Place is where to send it, or, when that is not known yet, Hop and
	// which of its addresses to take.
	Place sip.Endpoint
	Hop   sip.Hop
	Nth   int
	// Again is only tried after a failure of the network or of TLS, for the
	// same trunk from another place.
	Again bool
}

// Outgoing is how to place a call.
type Outgoing struct {
	Spec    CallSpec
	Targets []Target
	// Invite writes the INVITE, without body.
	Invite func(c *Call, t Target) *sip.Message
	// Response is how long to wait for a response before the next target is
	// tried, and Trying says whether a 100 is one.
	Response time.Duration
	Trying   bool
	// Watch, when there is one, is told how the call goes, on its goroutine.
	Watch func(*Call, Progress)
}

// outgoing is what a placed call has besides.
type outgoing struct {
	Outgoing
	next  int
	try   *attempt // the current one
	given bool     // we gave up
	tags  map[string]bool
}

// attempt is one INVITE.
type attempt struct {
	target  Target
	invite  *sip.Message
	tx      *sip.ClientTx
	dialogs map[string]*ua.Dialog // of 2xx, by To tag
	heard   bool                  // a response that ends the patience came
	network bool                  // it failed in the network or in TLS
	done    bool                  // it has ended, or was given up for the next target
	early   map[string]string     // descriptions in 18x by To tag, by which the 200 is measured
	forming map[string]*ua.Dialog // early ones, by To tag
	rseq    map[string]uint32     // the last one that was acknowledged, by To tag
	agreed  bool                  // our PRACK answered the offer in an 18x
}

// Place places a call and returns at once.
func (x *Exchange) Place(o Outgoing) (*Call, error) {
	if len(o.Targets) == 0 {
		return nil, errors.New("there is nowhere to send the call")
	}
	c := x.newCall(o.Targets[0].Gate)
	c.spec = o.Spec
	c.out = &outgoing{Outgoing: o}
	c.note(func(f *Facts) { f.From, f.To, f.Outbound = o.Spec.From, o.Spec.To, true })
	c.post(func() {
		if err := c.openVoice(o.Spec.Send, o.Spec.Codec, o.Spec.Ptime); err != nil {
			c.fail(0, err)
			return
		}
		patience := o.Spec.Patience
		if patience == 0 {
			patience = time.Minute
		}
		c.after(patience, func() {
			if c.phase == setup {
				c.giveUp("no answer")
			}
		})
		c.tryNext()
	})
	c.start()
	return c, nil
}

// Spec is what the call was placed with.
func (c *Call) Spec() CallSpec { return c.spec }

// tryNext sends the INVITE to the next target that may be tried.
func (c *Call) tryNext() {
	o := c.out
	last := o.try
	for o.next < len(o.Targets) && o.Targets[o.next].Again && last != nil && !last.network {
		o.next++
	}
	if o.next == len(o.Targets) {
		f := c.Brief()
		c.finish("them", f.Status, f.Reason)
		return
	}
	t := o.Targets[o.next]
	o.next++
	a := &attempt{
		target: t, dialogs: map[string]*ua.Dialog{}, early: map[string]string{},
		forming: map[string]*ua.Dialog{}, rseq: map[string]uint32{},
	}
	o.try, o.tags = a, map[string]bool{}
	c.gate = t.Gate
	c.session = c.newSession(o.Spec.Codec, o.Spec.Ptime)
	if o.Spec.Preconditions {
		c.session.qos = &qos{}
	}
	c.note(func(f *Facts) {
		f.Gate, f.Peer, f.Error = t.Gate.Name, t.Name, ""
		f.Attempts = append(f.Attempts[:len(f.Attempts):len(f.Attempts)], Attempt{Target: t.Name, Gate: t.Gate.Name})
	})
	if err := c.invite(a); err != nil {
		a.network = true
		c.attemptFailed(a, 0, err)
	}
}

func (c *Call) invite(a *attempt) error {
	to, err := c.x.place(a.target)
	if err != nil {
		return err
	}
	req := c.out.Invite(c, a.target)
	if !c.out.Spec.LateSDP {
		body, err := c.session.offer()
		if err != nil {
			return err
		}
		req.SetBody("application/sdp", body)
	}
	c.adorn(req)
	a.invite = c.x.cfg.Manner.Finish(c, a.target.Gate, req)
	id, err := a.invite.CallID()
	if err != nil {
		return err
	}
	c.x.register(c, id, c.tag)
	c.note(func(f *Facts) { f.ID, f.Invite = id, string(a.invite.Append(nil)) })
	a.tx, err = a.target.Gate.Request(a.invite.Clone(), to, func(ev sip.Event) {
		c.post(func() { c.responded(a, ev) })
	})
	if err != nil {
		return err
	}
	if c.out.Response > 0 {
		c.after(c.out.Response, func() {
			if !a.heard && !a.done {
				a.tx.Cancel("")
				c.attemptFailed(a, 408, errors.New("no response in time"))
			}
		})
	}
	return nil
}

// adorn writes what the specification says of the INVITE.
func (c *Call) adorn(req *sip.Message) {
	spec := c.out.Spec
	req.RequestURI += spec.Params
	switch spec.Reliable {
	case "supported":
		req.Add("Supported", "100rel")
	case "require":
		req.Add("Require", "100rel")
	}
	if spec.Preconditions {
		req.Add("Supported", "precondition")
	}
	if spec.Session > 0 {
		req.Set("Session-Expires", strconv.Itoa(int(spec.Session/time.Second)))
		if !req.HasToken("Supported", "timer") {
			req.Add("Supported", "timer")
		}
	}
	for _, h := range spec.Headers {
		req.Set(h.Name, h.Value)
	}
	if len(spec.Parts) > 0 {
		const boundary = "bnd42"
		body := "--" + boundary + "\r\nContent-Type: application/sdp\r\n\r\n" + string(req.Body)
		for _, p := range spec.Parts {
			body += "\r\n--" + boundary + "\r\nContent-Type: " + p.Type + "\r\nContent-ID: <" + p.ID + ">\r\n\r\n" + p.Text
		}
		req.SetBody("multipart/mixed;boundary="+boundary, []byte(body+"\r\n--"+boundary+"--\r\n"))
	}
}

// place finds where a target is.
func (x *Exchange) place(t Target) (sip.Endpoint, error) {
	if t.Place.Addr.IsValid() {
		return t.Place, nil
	}
	places, err := x.Resolve(x.closing, t.Hop)
	if err != nil {
		return sip.Endpoint{}, err
	}
	return places[t.Nth%len(places)], nil
}

// attemptFailed notes it and goes on to the next target when the rule allows.
func (c *Call) attemptFailed(a *attempt, status int, err error) {
	if a.done || c.phase != setup {
		return
	}
	a.done = true
	c.note(func(f *Facts) {
		last := &f.Attempts[len(f.Attempts)-1]
		last.Status, f.Status = status, status
		if err != nil {
			last.Error, f.Error = err.Error(), err.Error()
		}
	})
	// Microsoft's FailoverResponseCodes, and the redial rule of operators'
	// cores: the same three, or no answer at all.
	switch status {
	case 0, 408, 503, 504:
		if !c.out.given {
			c.tryNext()
			return
		}
	}
	c.finish("them", status, "")
}

// fail ends a call that could not even be placed.
func (c *Call) fail(status int, err error) {
	c.note(func(f *Facts) { f.Error = err.Error() })
	c.finish("us", status, "")
}

// giveUp cancels a call that was not answered.
func (c *Call) giveUp(why string) {
	o := c.out
	if o.given {
		return
	}
	o.given = true
	c.note(func(f *Facts) { f.Error = why })
	if o.try == nil || o.try.tx == nil || o.try.done {
		c.finish("us", 0, "")
		return
	}
	o.try.tx.Cancel(`SIP;cause=487;text="` + why + `"`)
	c.after(5*time.Second, func() {
		if c.phase == setup {
			c.note(func(f *Facts) { f.Error = "no final response within 5 s of our CANCEL" })
			c.finish("us", 0, "")
		}
	})
}

// responded takes what came of an INVITE.
func (c *Call) responded(a *attempt, ev sip.Event) {
	if ev.Msg != nil {
		c.note(func(f *Facts) { f.Responses = append(f.Responses[:len(f.Responses):len(f.Responses)], ev.Msg.String()) })
	}
	switch m := ev.Msg; {
	case m == nil:
		var network *sip.TransportError
		a.network = errors.As(ev.Err, &network)
		c.attemptFailed(a, 0, ev.Err)
	case m.Status == 100:
		a.heard = a.heard || c.out.Trying
	case m.Status < 200:
		c.progress(a, c.x.cfg.Manner.Response(c, m))
	case m.Status < 300:
		c.success(a, c.x.cfg.Manner.Response(c, m))
	default:
		m = c.x.cfg.Manner.Response(c, m)
		c.note(func(f *Facts) { f.Reason = m.Get("Reason") })
		if c.out.given && c.phase == setup {
			a.done = true
			c.finish("us", m.Status, "")
			return
		}
		c.attemptFailed(a, m.Status, nil)
	}
}

func (c *Call) progress(a *attempt, m *sip.Message) {
	if a.done || c.phase != setup {
		return
	}
	a.heard = true
	to, err := m.To()
	if err != nil {
		return
	}
	tag := to.Tag()
	c.seen(tag)
	c.note(func(f *Facts) {
		if m.Status == 180 && f.Ringing.IsZero() {
			f.Ringing = time.Now()
		}
	})
	if tag != "" {
		a.dialogOf(m, tag)
		if !c.orderly(a, m, tag) {
			return
		}
	}
	if m.Status == 180 {
		if !c.session.qos.met() {
			c.violate("precondition", "180 before resources were reserved on both sides (RFC 3312 section 5.1)")
		}
		c.tell(Rings)
	}
	answer := c.earlyOffer(a, m)
	defer c.prack(a, m, tag, answer)
	if len(m.Body) == 0 || c.out.Spec.LateSDP {
		return
	}
	switch a.early[tag] {
	case "":
		a.early[tag] = string(m.Body)
	case string(m.Body):
		return
	default:
		c.violate("sdp-changed", "a second description in %d differs from the first one", m.Status)
		if c.x.cfg.Manner.Strict {
			c.giveUp("the description changed")
			return
		}
	}
	if err := c.session.accept(m.Body); err != nil {
		c.violate("answer", "%d: %v", m.Status, err)
		return
	}
	c.note(func(f *Facts) {
		if f.EarlyAt.IsZero() {
			f.EarlyAt = time.Now()
		}
	})
	if c.client != nil { // before the answer, as Teams may
		c.client.agent.Nominate()
	}
	c.media()
	c.tell(Speaks)
}

// earlyOffer answers the offer in a reliable 18x to an INVITE that had none; the
// answer goes into the PRACK.
func (c *Call) earlyOffer(a *attempt, m *sip.Message) []byte {
	if !c.out.Spec.LateSDP || a.agreed || len(m.Body) == 0 || !m.HasToken("Require", "100rel") {
		return nil
	}
	body, err := c.session.reply(m.Body)
	if err != nil {
		c.violate("late-offer", "%d: %v", m.Status, err)
		return nil
	}
	a.agreed = true
	c.media()
	return body
}

// seen notes a To tag; more than one means that the far side shows its forks.
func (c *Call) seen(tag string) {
	o := c.out
	if tag == "" || o.tags[tag] {
		return
	}
	o.tags[tag] = true
	if c.x.cfg.Manner.OneDialog && len(o.tags) == 2 {
		c.violate("forks-shown", "a second To tag in the responses to one INVITE")
	}
}

func (c *Call) success(a *attempt, m *sip.Message) {
	to, err := m.To()
	if err != nil {
		return
	}
	tag := to.Tag()
	d := a.forming[tag]
	if d == nil {
		if d, err = ua.ClientDialog(a.invite, m); err != nil {
			c.violate("dialog", "200 cannot form a dialog: %v", err)
			return
		}
	}
	if known := a.dialogs[tag]; known != nil { // retransmitted
		if known == c.dialog || c.phase == over {
			c.acknowledge(known, a.invite, nil)
		}
		return
	}
	d.Refresh(m)
	a.dialogs[tag] = d
	if c.phase != setup || a.done || c.out.given {
		// It crossed our CANCEL, or another device won.
		c.acknowledge(d, a.invite, c.lateAnswer(m))
		c.bye(d)
		if c.phase == setup && c.out.given {
			c.finish("us", 0, "")
		}
		return
	}
	a.done = true
	c.seen(tag)
	c.dialog = d
	c.note(func(f *Facts) { f.Attempts[len(f.Attempts)-1].Status = m.Status })
	body, changed := []byte(nil), false
	if c.out.Spec.LateSDP {
		if !a.agreed {
			body, err = c.session.reply(m.Body)
		}
	} else if early := a.early[tag]; early == "" || len(m.Body) > 0 {
		if changed = early != "" && early != string(m.Body); changed {
			c.violate("sdp-changed", "the description in 200 differs from that in 18x of the same INVITE")
		}
		err = c.session.accept(m.Body)
	}
	c.acknowledge(d, a.invite, body)
	c.phase = talking
	if changed && c.x.cfg.Manner.Strict {
		err = errChanged
	} else if err != nil {
		c.violate("answer", "200: %v", err)
	}
	if err != nil {
		c.note(func(f *Facts) { f.Error = err.Error() })
		close(c.answered)
		c.hangUp()
		return
	}
	c.begin(c.out.Spec.Digits, c.out.Spec.DTMF)
	c.prolong(m, true)
	c.soon(c.out.Spec.Duration, c.hangUp)
	c.soon(c.out.Spec.Refresh, c.refresh)
}

var errChanged = errors.New("the description changed between 18x and 200")

// lateAnswer is what the ACK to an unwanted 2xx carries when our INVITE had no
// offer: the same 2xx has one, and wants an answer.
func (c *Call) lateAnswer(m *sip.Message) []byte {
	if !c.out.Spec.LateSDP {
		return nil
	}
	body, err := c.newSession("", 0).reply(m.Body)
	if err != nil {
		return nil
	}
	return body
}

// Run waits for the end of a call; the context hangs it up.
func (c *Call) Run(ctx context.Context) error {
	select {
	case <-c.done:
	case <-ctx.Done():
		c.HangUp()
		select {
		case <-c.done:
		case <-c.gone:
		}
		return ctx.Err()
	}
	if f := c.Brief(); f.Answered.IsZero() {
		return c.Wait(ctx)
	}
	return nil
}
