package phone

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// provisional is an 18x of a device that is sent reliably (RFC 3262).
type provisional struct {
	status int
	body   []byte
}

// reliably reports whether our 18x are to be acknowledged.
func (c *Call) reliably() bool {
	if c.does.Reliable == "" {
		return false
	}
	invite := c.in.invite
	return invite.HasToken("Supported", "100rel") || invite.HasToken("Require", "100rel")
}

// progressOf sends an 18x for a device, behind those that wait for their PRACK.
func (c *Call) progressOf(f *fork, status int, body []byte) {
	if !c.reliably() {
		c.reply(f, status, body)
		return
	}
	f.waiting = append(f.waiting, provisional{status, body})
	if len(f.waiting) == 1 {
		c.insist(f)
	}
}

// insist sends the first 18x that waits until it is acknowledged (RFC 3262
// section 3).
func (c *Call) insist(f *fork) {
	p := f.waiting[0]
	f.rseq++
	seq := f.rseq
	resp := c.response(f, p.status, p.body)
	resp.Add("Require", "100rel")
	resp.Set("RSeq", strconv.FormatUint(uint64(seq), 10))
	c.deliver(resp)
	wait, waited := t1, t1
	var again func()
	again = func() {
		switch {
		case f.rseq != seq || len(f.waiting) == 0 || c.phase != setup:
			return
		case waited >= 64*t1:
			c.violate("prack", "no PRACK for our %d with RSeq %d for %v", p.status, seq, waited)
			c.refuse(Refusal{Status: 504})
			return
		}
		c.deliver(resp)
		wait *= 2
		waited += wait
		c.after(wait, again)
	}
	c.after(wait, again)
}

// acknowledgedEarly takes a PRACK.
func (c *Call) acknowledgedEarly(req *sip.Message, respond func(int, []byte) *sip.Message) {
	f := c.forkOf(req)
	invite, _ := c.in.inviteSeq()
	if f == nil || len(f.waiting) == 0 || strings.Join(strings.Fields(req.Get("RAck")), " ") != fmt.Sprintf("%d %d INVITE", f.rseq, invite) {
		c.violate("rack", "a PRACK with RAck %q, which no 18x of ours waits for", req.Get("RAck"))
		respond(481, nil)
		return
	}
	c.note(func(f *Facts) { f.Pracks++ })
	p := f.waiting[0]
	f.waiting = f.waiting[1:]
	body, err := c.bodyOfPrack(f, p, req)
	if err != nil {
		c.violate("prack", "its description: %v", err)
		respond(488, nil)
		return
	}
	respond(200, body)
	switch {
	case len(f.waiting) > 0:
		c.insist(f)
	case c.in.due:
		c.answer()
	}
}

// bodyOfPrack takes the description in a PRACK: the answer to an offer of ours
// in the 18x, or an offer of its own.
func (c *Call) bodyOfPrack(f *fork, p provisional, req *sip.Message) ([]byte, error) {
	late := len(c.in.invite.Body) == 0
	switch {
	case p.body != nil && late && len(req.Body) == 0:
		return nil, errors.New("no answer to our offer")
	case p.body != nil && late:
		f.settled = true
		if err := c.session.accept(req.Body); err != nil {
			return nil, err
		}
		c.media()
		return nil, nil
	case len(req.Body) > 0:
		body, err := c.session.reply(req.Body)
		if err == nil {
			c.media()
		}
		return body, err
	}
	if p.body != nil {
		f.settled = true // section 13.2.1 of RFC 3261: nothing more in the 2xx
	}
	return nil, nil
}

func (in *incoming) inviteSeq() (uint32, error) {
	cseq, err := in.invite.CSeq()
	return cseq.Seq, err
}

// dialogOf is the early dialog of a response; made when it is new.
func (a *attempt) dialogOf(m *sip.Message, tag string) *ua.Dialog {
	if d := a.forming[tag]; d != nil {
		return d
	}
	d, err := ua.ClientDialog(a.invite, m)
	if err != nil {
		return nil
	}
	a.forming[tag] = d
	return d
}

// orderly judges an 18x by RFC 3262; false when it is to be ignored.
func (c *Call) orderly(a *attempt, m *sip.Message, tag string) bool {
	if !m.HasToken("Require", "100rel") {
		if c.spec.Reliable == "require" {
			c.violate("100rel", "%d without 100rel, which our INVITE requires", m.Status)
		}
		return true
	}
	if c.spec.Reliable == "" {
		c.violate("100rel", "%d demands 100rel, which our INVITE did not offer", m.Status)
		return true
	}
	seq, err := strconv.ParseUint(strings.TrimSpace(m.Get("RSeq")), 10, 31)
	if err != nil || seq == 0 {
		c.violate("rseq", "RSeq %q (RFC 3262 section 7.1)", m.Get("RSeq"))
		return false
	}
	switch last := a.rseq[tag]; {
	case last != 0 && uint32(seq) <= last: // again
		return false
	case last != 0 && uint32(seq) != last+1:
		c.violate("rseq", "RSeq %d after %d (RFC 3262 section 4)", seq, last)
		return false
	}
	a.rseq[tag] = uint32(seq)
	return true
}

// prack acknowledges an 18x; body is the answer to an offer in it.
func (c *Call) prack(a *attempt, m *sip.Message, tag string, body []byte) {
	seq, ok := a.rseq[tag]
	d := a.forming[tag]
	if !ok || d == nil || !m.HasToken("Require", "100rel") {
		return
	}
	invite, _ := a.invite.CSeq()
	c.sendWith(d, "PRACK", func(p *sip.Message) {
		p.Set("RAck", fmt.Sprintf("%d %d INVITE", seq, invite.Seq))
		if body != nil {
			p.SetBody("application/sdp", body)
		}
	}, func(ev sip.Event) {
		switch {
		case ev.Err != nil:
			c.violate("prack", "our PRACK: %v", ev.Err)
		case ev.Msg.Status >= 300:
			c.violate("prack", "our PRACK was refused: %d %s", ev.Msg.Status, ev.Msg.Reason)
		case ev.Msg.Status >= 200:
			c.reserve(d)
		}
	})
}

// reserve tells the far side that our resources are reserved, once (RFC 3312
// section 5.1).
func (c *Call) reserve(d *ua.Dialog) {
	q := c.session.qos
	if q == nil || !q.known || q.ours || c.phase != setup {
		return
	}
	q.ours = true
	c.update(d, true, func(err error) {
		if err != nil {
			c.violate("precondition", "our UPDATE: %v", err)
		}
	})
}

// Update sends an UPDATE that offers anew, or one without an offer, in the
// confirmed dialog or in an early one (RFC 3311).
func (c *Call) Update(ctx context.Context, offer bool) error {
	return c.await1(ctx, func(done func(error)) {
		d := c.dialog
		if d == nil && c.out != nil && c.out.try != nil {
			for _, early := range c.out.try.forming {
				d = early
			}
		}
		if d == nil && c.in != nil && len(c.in.forks) > 0 {
			d = c.winner().dialog
		}
		if d == nil || c.phase == over {
			done(errEnded)
			return
		}
		c.update(d, offer, done)
	})
}

func (c *Call) update(d *ua.Dialog, offer bool, done func(error)) {
	if c.busy {
		done(errBusy)
		return
	}
	var body []byte
	if offer {
		var err error
		if body, err = c.session.offer(); err != nil {
			done(err)
			return
		}
	}
	c.busy = true
	settled := false
	c.send(d, "UPDATE", body, func(ev sip.Event) {
		if settled || ev.Msg != nil && ev.Msg.Status < 200 {
			return
		}
		settled, c.busy = true, false
		switch {
		case ev.Err != nil || ev.Msg.Status >= 300:
			done(failure(ev))
			return
		case offer:
			c.judgeChange(ev.Msg.Body)
			if err := c.session.accept(ev.Msg.Body); err != nil {
				c.violate("update-answer", "%v", err)
				done(err)
				return
			}
			c.media()
		}
		d.Refresh(ev.Msg)
		c.prolong(ev.Msg, true)
		done(nil)
	})
}

// updated answers an UPDATE.
func (c *Call) updated(d *ua.Dialog, req *sip.Message, respond func(int, []byte) *sip.Message) {
	c.note(func(f *Facts) { f.Updates++ })
	switch {
	case c.busy:
		respond(491, nil) // RFC 3311 section 5.2
		return
	case len(req.Body) == 0:
		d.Refresh(req)
		c.prolong(respond(200, nil), false)
		return
	}
	c.judgeChange(req.Body)
	body, err := c.session.reply(req.Body)
	if err != nil {
		c.violate("update-sdp", "%v", err)
		respond(488, nil)
		return
	}
	d.Refresh(req)
	c.prolong(respond(200, body), false)
	c.media()
	if c.in != nil && c.in.ring != nil && c.session.qos.met() {
		ring := c.in.ring
		c.in.ring = nil
		ring()
	}
}
