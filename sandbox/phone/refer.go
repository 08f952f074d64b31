package phone

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// Referral is a REFER to send.
type Referral struct {
	To, By   string        // values of Refer-To and Referred-By; empty By for none
	Patience time.Duration // for each step of what follows; 10 s when zero
	// Strict drops the call when a step is wrong or missing, as Microsoft does.
	Strict bool
}

// Transfer is what became of a REFER.
type Transfer struct {
	Referral // RO

	call  *Call         // RO; the one that was referred
	seq   uint32        // run; CSeq of the REFER
	heard int           // run; NOTIFYs since patience was last looked at
	ended chan struct{} // closed at the end

	mu       sync.Mutex
	accepted int   // mu; status of the REFER
	notified []int // mu; statuses in the bodies of NOTIFY
	err      error // mu
	over     bool  // mu
	call2    *Call // mu
}

// Accepted is the status of the REFER, 0 while there is none.
func (t *Transfer) Accepted() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.accepted
}

// Notified are the statuses that NOTIFY told so far.
func (t *Transfer) Notified() []int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.notified)
}

// Call is the call that came in by the REFER; nil until then, and where it does
// not come to this side.
func (t *Transfer) Call() *Call {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.call2
}

// Came notes the call that came in by the REFER.
func (t *Transfer) Came(c *Call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.call2 = c
}

// Old is the call whose far side was referred.
func (t *Transfer) Old() *Call { return t.call }

// Done is closed when the transfer has succeeded or failed.
func (t *Transfer) Done() <-chan struct{} { return t.ended }

// Wait waits for the end; nil when the far side reports success.
func (t *Transfer) Wait(ctx context.Context) error {
	select {
	case <-t.ended:
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end is the first end; false afterwards.
func (t *Transfer) end(err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return false
	}
	t.over, t.err = true, err
	close(t.ended)
	return true
}

// Fail notes a broken rule and ends the transfer. A strict one drops the calls
// that are part of it.
func (t *Transfer) Fail(rule, format string, a ...any) {
	err := fmt.Errorf("%s: %s", rule, fmt.Sprintf(format, a...))
	t.call.violate(rule, format, a...)
	if t.end(err) && t.Strict {
		t.call.HangUp()
		if c := t.Call(); c != nil {
			c.HangUp()
		}
	}
}

// Refer asks the far side to call somebody else (RFC 3515). It returns when the
// REFER is on its way.
func (c *Call) Refer(ctx context.Context, r Referral) (*Transfer, error) {
	if r.Patience == 0 {
		r.Patience = 10 * time.Second
	}
	t := &Transfer{Referral: r, call: c, ended: make(chan struct{})}
	return t, c.await1(ctx, func(done func(error)) { done(c.refer(t)) })
}

func (c *Call) refer(t *Transfer) error {
	if c.phase != talking {
		return errEnded
	}
	if old := c.transfer; old != nil && !closed(old.ended) {
		return errBusy
	}
	c.transfer = t
	req := c.sendWith(c.dialog, "REFER", func(m *sip.Message) {
		m.Set("Refer-To", t.To)
		if t.By != "" {
			m.Set("Referred-By", t.By)
		}
	}, func(ev sip.Event) { c.referred(t, ev) })
	seq, _ := req.CSeq()
	t.seq = seq.Seq
	return nil
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// referred takes the answer to our REFER.
func (c *Call) referred(t *Transfer, ev sip.Event) {
	switch {
	case ev.Err != nil:
		t.Fail("refer-answer", "our REFER: %v", ev.Err)
		return
	case ev.Msg.Status < 200:
		return
	}
	t.mu.Lock()
	t.accepted = ev.Msg.Status
	t.mu.Unlock()
	switch {
	case ev.Msg.Status >= 300:
		t.end(fmt.Errorf("REFER refused: %d %s", ev.Msg.Status, ev.Msg.Reason))
		return
	case ev.Msg.Status != 202 && t.Strict: // RFC 6665 section 8.3.1 lets others answer 200
		t.Fail("refer-answer", "REFER answered with %d instead of 202 (RFC 3515 section 2.4.2)", ev.Msg.Status)
		return
	}
	c.mind(t)
}

// mind watches that NOTIFY goes on coming.
func (c *Call) mind(t *Transfer) {
	c.after(t.Patience, func() {
		switch {
		case closed(t.ended):
		case t.heard == 0 && len(t.Notified()) == 0:
			t.Fail("refer-notify", "no NOTIFY within %v of the REFER (RFC 3515 section 2.4.4)", t.Patience)
		case t.heard == 0 && !t.ringing():
			t.Fail("refer-notify", "no NOTIFY with a final response within %v of the last one", t.Patience)
		default:
			t.heard = 0
			c.mind(t)
		}
	})
}

// ringing: the new call is there and not answered, so nothing is due.
func (t *Transfer) ringing() bool {
	c := t.Call()
	return c != nil && !c.Established() && !c.ended()
}

var errReturned = errors.New("the call came back")

// notified takes a NOTIFY.
func (c *Call) notified(req *sip.Message, respond func(int, []byte) *sip.Message) {
	t := c.transfer
	event, params, _ := strings.Cut(req.Get("Event"), ";")
	switch {
	case t == nil:
		c.violate("notify", "a NOTIFY without a subscription")
		respond(481, nil)
		return
	case !strings.EqualFold(strings.TrimSpace(event), "refer"):
		respond(489, nil)
		t.Fail("notify", "event %q instead of refer", event)
		return
	}
	respond(200, nil)
	if id, ok := sip.Params(";" + params).Get("id"); ok && id != strconv.FormatUint(uint64(t.seq), 10) {
		t.Fail("notify", "id %s, the REFER had CSeq %d (RFC 3515 section 2.4.6)", id, t.seq)
		return
	}
	kind, _, _ := strings.Cut(req.Get("Content-Type"), ";")
	status, err := fragment(req.Body)
	if !strings.EqualFold(strings.TrimSpace(kind), "message/sipfrag") || err != nil {
		t.Fail("notify", "a body %q of %q (RFC 3515 section 2.4.5)", req.Body, kind)
		return
	}
	state, _, _ := strings.Cut(req.Get("Subscription-State"), ";")
	if final := strings.EqualFold(strings.TrimSpace(state), "terminated"); final != (status >= 200) {
		t.Fail("notify", "subscription state %q with a response %d", state, status)
		return
	}
	t.heard++
	t.mu.Lock()
	t.notified = append(t.notified, status)
	t.mu.Unlock()
	switch {
	case status < 200:
	case status < 300:
		if t.end(nil) {
			c.hangUp()
		}
	default:
		t.end(fmt.Errorf("%w: %d", errReturned, status))
	}
}

// fragment is the status in a body of message/sipfrag (RFC 3420).
func fragment(body []byte) (int, error) {
	line, _, _ := strings.Cut(string(body), "\n")
	rest, ok := strings.CutPrefix(line, "SIP/2.0 ")
	if !ok || len(rest) < 3 {
		return 0, errors.New("no status line")
	}
	status, err := strconv.Atoi(rest[:3])
	if err != nil || status < 100 || status > 699 {
		return 0, errors.New("no status")
	}
	return status, nil
}

// obey does what a REFER asks for, and tells how it goes (RFC 3515 section 2.4).
func (c *Call) obey(d *ua.Dialog, req *sip.Message, respond func(int, []byte) *sip.Message) {
	if _, err := req.Address("Refer-To"); err != nil {
		respond(400, nil)
		return
	}
	tell := func(status int) { c.post(func() { c.notify(d, status) }) }
	_, err := c.x.cfg.Manner.Referred(c, req, func(next *Call, p Progress) {
		switch f := next.Brief(); {
		case p == Rings:
			tell(180)
		case p == Answers:
			tell(200)
		case p == Finishes && f.Answered.IsZero():
			tell(cmp.Or(f.Status, 480))
		}
	})
	if err != nil {
		respond(603, nil)
		return
	}
	respond(202, nil)
	c.notify(d, 100)
}

func (c *Call) notify(d *ua.Dialog, status int) {
	if c.phase != talking {
		return
	}
	c.sendWith(d, "NOTIFY", func(m *sip.Message) {
		m.Set("Event", "refer")
		m.Set("Subscription-State", "active;expires=60")
		if status >= 200 {
			m.Set("Subscription-State", "terminated;reason=noresource")
		}
		m.SetBody("message/sipfrag;version=2.0", fmt.Appendf(nil, "SIP/2.0 %d %s\r\n", status, sip.StatusText(status)))
	}, func(sip.Event) {}) // who hung up meanwhile needs no news
}

// leftEarly: the far side hung up on us while it was to call somebody else.
func (c *Call) leftEarly() {
	if t := c.transfer; t != nil && !closed(t.ended) {
		t.Fail("refer-early-bye", "BYE before the NOTIFY with the final response; the side that referred hangs up")
	}
}

// Peers are the tags of a call as its far side has them, for Replaces (RFC 3891):
// of the dialog that counts, or of the first early one.
func (c *Call) Peers(ctx context.Context) (callID, theirs, ours string, err error) {
	err = c.await1(ctx, func(done func(error)) {
		d := c.dialog
		if d == nil && c.in != nil && len(c.in.forks) > 0 {
			d = c.in.forks[0].dialog
		}
		if d == nil || c.phase == over {
			done(errEnded)
			return
		}
		id := d.ID()
		callID, theirs, ours = id.CallID, id.RemoteTag, id.LocalTag
		done(nil)
	})
	return callID, theirs, ours, err
}
