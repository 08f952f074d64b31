package call

import (
	"cmp"
	"fmt"
	"time"

	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// Session timers (RFC 4028) tell a far side that broke down from one that has
// nothing to say. Each leg has its own: its interval and who refreshes it are
// settled by every INVITE of the leg, and a refresh never reaches the other
// one. We refresh by UPDATE where the far side takes it, else by INVITE.

// session is the session timer of a leg.
type session struct {
	interval time.Duration // 0: the session does not end by itself
	ours     bool          // we refresh it
	ends     time.Time     // when interval is over
	least    time.Duration // Min-SE the far side has demanded
}

func refreshTimer(s relay.Side) timer { return refreshCaller + timer(s) }
func lapseTimer(s relay.Side) timer   { return lapseCaller + timer(s) }

// checkSession refuses an INVITE whose session would end too soon. Only who
// knows session timers can make use of 422 (RFC 4028 section 9).
func checkSession(msg *sip.Message) *refusal {
	t, err := ua.SessionTimerOf(msg)
	switch {
	case err != nil:
		return refusalOf(err)
	case t.Interval == 0 || t.Interval >= ua.LeastSession || !msg.HasToken("Supported", "timer"):
		return nil
	}
	return &refusal{
		status: 422, q850: 127, text: "a session interval of " + t.Interval.String() + " is too short",
		headers: [][2]string{{"Min-SE", seconds(ua.LeastSession)}},
	}
}

func seconds(d time.Duration) string { return fmt.Sprint(int64(d / time.Second)) }

// grant settles the session timer of a leg in resp, our 2xx to its INVITE, by
// RFC 4028 section 9. Who wants a timer refreshes it, unless it says otherwise
// or we do so already; for who knows none, and a proxy asked, we do (table 2).
func (s *state) grant(side relay.Side, req, resp *sip.Message) {
	l := &s.legs[side]
	l.learn(req)
	t, _ := ua.SessionTimerOf(req) // checkSession has read it
	knows := req.HasToken("Supported", "timer")
	if t.Interval == 0 && knows && l.dress.Profile.Session > 0 {
		t.Interval = max(l.dress.Profile.Session, ua.LeastSessionOf(req))
	}
	if t.Interval == 0 {
		s.setSession(side, 0, false)
		return
	}
	t.Interval = max(t.Interval, ua.LeastSession)
	switch {
	case !knows, t.Refresher == "" && l.session.interval > 0 && l.session.ours:
		t.Refresher = "uas"
	case t.Refresher == "":
		t.Refresher = "uac"
	}
	resp.Set("Session-Expires", t.String())
	if t.Refresher == "uac" {
		resp.Set("Require", "timer")
	}
	s.setSession(side, t.Interval, t.Refresher == "uas")
}

// wants is the interval that an INVITE of ours asks for; 0 for none.
func (l *leg) wants() time.Duration {
	interval := cmp.Or(l.session.interval, l.dress.Profile.Session)
	if interval == 0 {
		return 0
	}
	return max(interval, l.session.least)
}

// wantSession asks for a session timer in an INVITE of ours. Who refreshes is
// left to the far side at first, and kept later (RFC 4028 7.2, 7.4).
func (l *leg) wantSession(req *sip.Message) {
	t := ua.SessionTimer{Interval: l.wants()}
	if t.Interval == 0 {
		return
	}
	switch {
	case l.session.interval == 0:
	case l.session.ours:
		t.Refresher = "uac"
	default:
		t.Refresher = "uas"
	}
	req.Set("Session-Expires", t.String())
	if l.session.least > 0 {
		req.Set("Min-SE", seconds(l.session.least))
	}
}

// granted takes the session timer out of a 2xx to an INVITE of ours. An
// interval that the RFC does not allow is taken for the shortest one that it
// does, so that nobody makes us refresh all the time.
func (s *state) granted(side relay.Side, resp *sip.Message) {
	s.legs[side].learn(resp)
	t, err := ua.SessionTimerOf(resp)
	if err != nil {
		s.notef("the %s's session timer is ignored: %v", side, err)
	}
	if t.Interval > 0 {
		t.Interval = max(t.Interval, ua.LeastSession)
	}
	s.setSession(side, t.Interval, t.Refresher != "uas")
}

// setSession starts the session timer of a leg anew. A refresh is due at half
// time, and the end comes a little before the interval is over, while the far
// side still knows what a BYE is about (RFC 4028 section 10). A far side that
// knows no timers is refreshed all the same where its profile says so, and
// never ended by one.
func (s *state) setSession(side relay.Side, interval time.Duration, ours bool) {
	if s.phase >= ending {
		return
	}
	l := &s.legs[side]
	l.session.interval, l.session.ours, l.session.ends = interval, ours, s.now.Add(interval)
	var refresh, lapse time.Duration
	switch {
	case interval > 0:
		lapse = interval - min(32*time.Second, interval/3)
		if ours {
			refresh = interval / 2
		}
	case l.dress.Profile.Alone:
		refresh = l.dress.Profile.Session / 2
	}
	s.do(arm{refreshTimer(side), refresh})
	s.do(arm{lapseTimer(side), lapse})
}

// lengthen takes the Min-SE of a 422; false when there is no sense in asking
// again (RFC 4028 7.4).
func (s *state) lengthen(l *leg, side relay.Side, resp *sip.Message) bool {
	least := ua.LeastSessionOf(resp)
	if wanted := l.wants(); wanted == 0 || least <= wanted {
		return false
	}
	l.session.least = least
	s.notef("the %s wants sessions of %v at least", side, least)
	return true
}

// aMoment is how long a refresh waits when another change is under way, and
// the least between two that were refused.
const aMoment = 2 * time.Second

// refresh puts to a leg what it has already.
func (s *state) refresh(side relay.Side) {
	switch {
	case s.phase != talking || s.legs[side].gone:
	case s.isChanging(side):
		s.do(arm{refreshTimer(side), aMoment})
	case s.legs[side].updates():
		s.refreshByUpdate(side)
	default:
		s.startRound(&round{to: side, offer: s.legs[side].end.Sent, refresh: true})
	}
}

// isChanging tells whether an INVITE of either leg is under way, or one to this
// side that we gave up.
func (s *state) isChanging(side relay.Side) bool {
	if s.round != nil || s.caller().accepted != nil || s.callee().accepted != nil {
		return true
	}
	for _, r := range s.requests {
		if (r.kind == reinviting || r.kind == updating) && r.leg == side && !r.accepted {
			return true
		}
	}
	return false
}

// refreshLater tries again what a far side did not take. There is time until
// the session ends.
func (s *state) refreshLater(side relay.Side) {
	l := &s.legs[side]
	wait := l.dress.Profile.Session / 2
	if l.session.interval > 0 {
		wait = l.session.ends.Sub(s.now) / 2
	}
	s.do(arm{refreshTimer(side), max(wait, aMoment)})
}

// lapse ends the call: its session was not refreshed.
func (s *state) lapse(side relay.Side) {
	l := &s.legs[side]
	if interval := l.session.interval; s.phase == talking && interval > 0 && !l.gone {
		s.finish(gatewayCause(0, 102, "the session with the "+side.String()+" was not refreshed in "+interval.String()))
	}
}
