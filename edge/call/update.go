package call

import (
	"fmt"
	"time"

	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// UPDATE (RFC 3311) ends on its leg. Before the answer it is answered here, out
// of what was agreed, and what the other leg has missed it learns by a
// re-INVITE after the answer; in an answered call it is a re-INVITE that needs
// no ACK. We send it to refresh sessions alone.

// updateMax is how long an UPDATE may wait for the other leg: its sender gives
// up after 64*T1, 32 s, and is to be told before (RFC 3311 5.2).
const updateMax = 16 * time.Second

// update is an UPDATE inside a leg's dialog.
func (s *state) update(ev requested) {
	l := &s.legs[ev.leg]
	if !l.dress.Profile.Update {
		s.notAllowed(ev)
		return
	}
	offer, no := describe(ev.msg)
	if no == nil {
		no = checkSession(ev.msg)
	}
	if no == nil && offer != nil {
		no = s.glares(ev.leg)
	}
	switch {
	case no != nil:
		s.refuse(ev.leg, ev.tx, ev.msg, no)
	case offer == nil:
		s.acceptUpdate(ev.leg, ev.tx, ev.msg, nil)
	case s.phase == talking:
		s.propose(ev.leg, ev.tx, ev.msg, offer)
	default:
		answer, no := s.answerEarly(offer)
		if no != nil {
			s.refuse(ev.leg, ev.tx, ev.msg, no)
			return
		}
		s.acceptUpdate(ev.leg, ev.tx, ev.msg, answer)
		s.reserved()
	}
}

// glares refuses an offer that meets another one of the same dialog (RFC 3311
// 5.2): 500 when the other one is theirs, 491 when it is ours, or when the
// other leg is being asked something.
func (s *state) glares(side relay.Side) *refusal {
	l, other := &s.legs[side], &s.legs[side.Other()]
	asked := func(e *early) bool { return e.sent != nil && e.sent.offer != nil }
	switch {
	case s.phase > talking:
		return &refusal{status: 481}
	case s.round != nil && s.round.tx != 0 && s.round.to != side:
		return s.refuseForNow()
	case s.phase < talking && side == relay.Caller:
		for _, e := range s.early {
			if asked(e) {
				return &refusal{status: 491}
			}
		}
	case s.phase < talking, s.round != nil, l.accepted != nil, other.accepted != nil, other.gone:
		return &refusal{status: 491}
	}
	return nil
}

// refuseForNow refuses what may come again in a moment.
func (s *state) refuseForNow() *refusal {
	return &refusal{status: 500, headers: [][2]string{{"Retry-After", fmt.Sprint(s.pick(10))}}}
}

// acceptUpdate answers an UPDATE with 200, and with a description to one that
// had an offer.
func (s *state) acceptUpdate(side relay.Side, tx txn, msg *sip.Message, answer *sdp.Session) {
	l := &s.legs[side]
	d := l.dialog
	if e := s.earlyDialog(ua.IDOf(msg)); side == relay.Caller && e != nil {
		d = e.dialog
	}
	d.Refresh(msg)
	if d == l.dialog {
		s.locate(side, 0)
	}
	resp := respondOn(l, msg, 200)
	if answer != nil {
		resp.SetBody("application/sdp", answer.Bytes())
	}
	if l.confirmed {
		s.grant(side, msg, resp)
	}
	s.do(respond{tx, resp})
}

// answerEarly answers an offer that the caller makes before its INVITE has its
// final response. The next target is offered it too.
func (s *state) answerEarly(offer *sdp.Session) (*sdp.Session, *refusal) {
	caller, callee := s.caller(), s.callee()
	accepted := callee.end.Received
	if accepted == nil {
		accepted = s.assumed
	}
	if caller.end.Sent == nil || accepted == nil {
		return nil, s.refuseForNow() // RFC 3311 5.2: the offer before is not answered yet
	}
	before := *caller
	err := s.answerTo(caller, offer, accepted)
	if err == nil && callee.end.Received != nil {
		err = s.bridge()
	}
	if err != nil {
		*caller = before
		return nil, &refusal{status: 488, text: err.Error()}
	}
	if s.offer != nil && s.phase < talking {
		s.offer = offer
	}
	if callee.end.Received != nil && s.hasNews(relay.Callee) {
		s.stale[relay.Callee] = true
	}
	return caller.end.Sent, nil
}

// hasNews tells whether a leg would be offered something else now than what it
// was sent last.
func (s *state) hasNews(side relay.Side) bool {
	l := &s.legs[side]
	offer, err := sdp.Offer(s.says(side), l.end)
	return err != nil || offer.Origin.Version != l.end.Sent.Origin.Version
}

// ringing finds the early dialog of the attempt under way that a request of
// the callee names.
func (s *state) ringing(ev requested) *fork {
	if ev.leg != relay.Callee || s.phase != hunting || s.attempt == nil {
		return nil
	}
	for _, f := range s.attempt.forks {
		if f.dialog != nil && f.dialog.ID() == ua.IDOf(ev.msg) {
			return f
		}
	}
	return nil
}

// updateEarly is a request of a callee that has not answered yet.
func (s *state) updateEarly(f *fork, ev requested) {
	if err := f.dialog.Accept(ev.msg); err != nil {
		s.refuse(ev.leg, ev.tx, ev.msg, refusalOf(err))
		return
	}
	profile := s.callee().dress.Profile
	offer, no := describe(ev.msg)
	switch {
	case ev.msg.Method != "UPDATE": // RFC 3261 15: nor may it hang up before it has answered
		no = &refusal{status: 481}
	case !profile.Update:
		s.notAllowed(ev)
		return
	case no == nil:
		no = checkRequire(ev.msg, profile)
	}
	var answer *sdp.Session
	if no == nil && offer != nil {
		answer, no = s.answerFork(f, offer)
	}
	if no != nil {
		s.refuse(ev.leg, ev.tx, ev.msg, no)
		return
	}
	f.dialog.Refresh(ev.msg)
	resp := respondOn(s.callee(), ev.msg, 200)
	if answer != nil {
		resp.SetBody("application/sdp", answer.Bytes())
	}
	s.do(respond{ev.tx, resp})
	f.allow(ev.msg)
}

// answerFork answers an offer that a fork makes in its early dialog, out of
// what the caller has. The caller learns of it after the answer, if it must.
func (s *state) answerFork(f *fork, offer *sdp.Session) (*sdp.Session, *refusal) {
	if f.received == nil { // RFC 3311 5.2: it has not answered ours yet
		return nil, &refusal{status: 491}
	}
	caller, callee := s.caller(), s.callee()
	accepted := caller.end.Received
	if accepted == nil {
		accepted = s.offer
	}
	if accepted == nil { // the caller waits for an offer, and takes what is offered to it
		accepted = turned(offer, sdp.SendRecv)
	}
	end := callee.end
	end.Sent, end.Received = s.attempt.said(f), f.received
	answer, err := sdp.Answer(offer, accepted, end)
	if err != nil {
		return nil, &refusal{status: 488, text: err.Error()}
	}
	media, err := sdp.Agree(answer, offer)
	if err == nil && caller.end.Sent != nil {
		_, err = sdp.Bridge(caller.media, media)
	}
	if err != nil {
		return nil, &refusal{status: 488, text: err.Error()}
	}
	heard := callee.end.Received == f.received
	f.sent, f.received = answer, offer
	if heard && !f.closed {
		callee.end.Sent, callee.end.Received, callee.media = answer, offer, media
		if caller.end.Sent != nil {
			_ = s.bridge() // it was tried a moment ago
			s.stale[relay.Caller] = s.stale[relay.Caller] || s.mustHear(relay.Caller)
		}
	}
	return answer, nil
}

// said is what a fork was told of our media last.
func (a *attempt) said(f *fork) *sdp.Session {
	if f != nil && f.sent != nil {
		return f.sent
	}
	return a.offer
}

// refreshByUpdate refreshes the session of a leg without touching it
// (RFC 4028 section 7.4).
func (s *state) refreshByUpdate(side relay.Side) {
	l := &s.legs[side]
	req := l.dialog.NewRequest("UPDATE")
	s.finishRequest(req, nil, l)
	l.wantSession(req)
	r := s.newRequest(updating, side)
	r.dialog = l.dialog
	s.do(send{r.id, side, req})
}

// learn notes what a far side says that it takes.
func (l *leg) learn(msg *sip.Message) {
	if msg.Has("Allow") {
		l.takesUpdate = msg.HasToken("Allow", "UPDATE")
	}
}

// updates tells whether a leg's session can be refreshed by UPDATE.
func (l *leg) updates() bool { return l.dress.Profile.Update && l.takesUpdate }

// updated is the final response to an UPDATE of ours.
func (s *state) updated(side relay.Side, msg *sip.Message) {
	l := &s.legs[side]
	switch {
	case s.phase != talking || l.gone:
	case msg.Status < 300:
		l.dialog.Refresh(msg)
		s.locate(side, 0)
		s.granted(side, msg)
	case msg.Status == 408 || msg.Status == 481: // RFC 3261 12.2.1.2
		s.finish(gatewayCause(0, 41, fmt.Sprintf("the %s answered an UPDATE with %d: it has lost the call", side, msg.Status)))
	case msg.Status == 422 && s.lengthen(l, side, msg):
		s.refresh(side)
	case msg.Status == 491:
		s.do(arm{refreshTimer(side), max(l.dialog.Glare(s.pick), aMoment)})
	case msg.Status >= 500 && msg.Status != 501:
		s.refreshLater(side)
	default:
		s.notef("the %s refused an UPDATE with %d, and gets a re-INVITE", side, msg.Status)
		l.takesUpdate = false
		s.refresh(side)
	}
}
