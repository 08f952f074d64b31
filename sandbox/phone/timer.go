package phone

import (
	"time"

	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// clock is the session timer of a call (RFC 4028).
type clock struct {
	interval time.Duration // 0: none
	ours     bool          // we refresh
	turn     int           // counts the agreements: what was set for an older one does nothing
}

// propose writes the timer into a request that refreshes, or into the answer to
// one; the role is named as that message sees it.
func (k *clock) propose(m *sip.Message) {
	cseq, err := m.CSeq()
	if err != nil || k.interval == 0 || cseq.Method != "INVITE" && cseq.Method != "UPDATE" {
		return
	}
	role := map[bool]string{true: "uas", false: "uac"}
	m.Set("Session-Expires", ua.SessionTimer{Interval: k.interval, Refresher: role[k.ours != m.IsRequest()]}.String())
	if !m.HasToken("Supported", "timer") {
		m.Add("Supported", "timer")
	}
}

// accept is what we make of the proposal in an INVITE that we answer.
func (c *Call) acceptTimer(invite *sip.Message) {
	t, err := ua.SessionTimerOf(invite)
	if err != nil || t.Interval == 0 {
		return
	}
	if c.does.Session > 0 {
		t.Interval = min(t.Interval, max(c.does.Session, c.x.least()))
	}
	// RFC 4028 section 9: as the caller says; else it is the caller when he
	// knows how.
	c.clock.interval = t.Interval
	c.clock.ours = t.Refresher == "uas" || t.Refresher == "" && !invite.HasToken("Supported", "timer")
}

// least is the shortest session this side accepts.
func (x *Exchange) least() time.Duration {
	if x.cfg.Manner.LeastSession > 0 {
		return x.cfg.Manner.LeastSession
	}
	return ua.LeastSession
}

// prolong takes the timer of a 2xx to an INVITE or UPDATE; mine says that the
// request was ours. Without a timer in it there is none.
func (c *Call) prolong(resp *sip.Message, mine bool) {
	t, err := ua.SessionTimerOf(resp)
	switch {
	case err != nil:
		c.violate("session-expires", "%v", err)
		return
	case mine && t.Interval > 0 && t.Refresher == "":
		c.violate("session-expires", "a 2xx without the refresher (RFC 4028 section 9)")
	}
	k := &c.clock
	if k.turn > 0 && k.interval > 0 {
		c.note(func(f *Facts) { f.Refreshes++ })
	}
	k.turn++
	k.interval = t.Interval
	if k.interval == 0 {
		return
	}
	k.ours = (t.Refresher != "uas") == mine
	c.watch(k.turn)
}

// watch refreshes at half of the interval, or waits for the other side to; a
// session that nobody refreshed ends a little before its time (section 10).
func (c *Call) watch(turn int) {
	k := &c.clock
	current := func() bool { return c.clock.turn == turn && c.phase == talking }
	if k.ours {
		c.after(k.interval/2, func() {
			if current() {
				c.refresh()
			}
		})
		return
	}
	late := k.interval - min(32*time.Second, k.interval/3)
	c.after(late, func() {
		if current() {
			c.violate("session-expired", "no refresh for %v of a session of %v, which the far side was to refresh", late, k.interval)
			c.hangUp()
		}
	})
}
