package call

import (
	"errors"
	"time"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/edge/route"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// maxHops is how many addresses of one peer are tried for a call: with more,
// the caller's patience would end before the next peer's turn.
const maxHops = 3

// attempt is an INVITE of ours to one address.
type attempt struct {
	id       int // of its request
	peer     string
	to       sip.Target
	side     relay.Side
	dress    interop.Leg
	longer   bool // tried again with a longer session interval
	row      int  // in record.Attempts
	heard    bool
	offer    *sdp.Session
	forks    []*fork
	won      *ua.Dialog     // of the fork that has answered the call
	released map[ua.ID]bool // those that answered without being wanted
	// overtaken are forks whose BYE came before their 200.
	overtaken map[ua.ID]cause
}

// hunt tries the next address, or the next target, or ends the call with what
// the last one said.
func (s *state) hunt() {
	s.attempt = nil
	switch {
	case len(s.hops) > 0:
		to := s.hops[0]
		s.hops = s.hops[1:]
		s.try(to)
	case len(s.targets) > 0:
		s.target = s.targets[0]
		s.targets = s.targets[1:]
		s.do(resolve{s.target.Peer.Name, s.emergency(), s.transfer != nil})
	default:
		s.inVain(s.failure.cause())
	}
}

// urge takes in that the emergency service is called now, whoever was called
// first: a redirection or a transfer has led to it.
func (s *state) urge(d route.Decision) {
	switch t := s.transfer; {
	case !d.Emergency:
	case t != nil:
		t.emergency, t.elin = true, d.ELIN
	default:
		s.record.Emergency, s.elin = true, d.ELIN
	}
}

// emergency tells whether who is looked for is the emergency service: no limit
// keeps anybody from it.
func (s *state) emergency() bool {
	return s.record.Emergency || s.transfer != nil && s.transfer.emergency
}

// seeking tells whether a leg is looked for: the callee, or, when the call is
// answered, the target of a transfer.
func (s *state) seeking() bool {
	return s.phase == hunting || s.phase == talking && s.transfer != nil
}

// sought is that leg.
func (s *state) sought() *leg {
	if s.transfer != nil {
		return &s.transfer.leg
	}
	return s.callee()
}

// soughtSide is the side it belongs to.
func (s *state) soughtSide() relay.Side {
	if s.transfer != nil {
		return s.transfer.by
	}
	return relay.Callee
}

// inVain ends a hunt that found nobody: the call, unless it is a transfer that
// failed.
func (s *state) inVain(c cause) {
	if s.transfer != nil {
		s.transferFailed(c)
		return
	}
	s.finish(c)
}

// resolved has the addresses of a target.
func (s *state) resolved(ev resolved) {
	if !s.seeking() || s.attempt != nil {
		return
	}
	if ev.full != nil {
		s.passOver(ev.full)
		return
	}
	if ev.err != nil {
		s.record.Attempts = append(s.record.Attempts, record.Attempt{
			Peer: s.target.Peer.Name, Region: s.region, Why: s.target.Why, At: s.now, Error: ev.err.Error(),
		})
		s.failed(peer.Outcome{Err: ev.err})
		return
	}
	l := s.sought()
	l.peer, l.dress, l.session, s.down = ev.peer, ev.dress, session{}, ev.down
	s.clothe(l)
	s.hops = ev.hops[:min(len(ev.hops), maxHops)]
	s.hunt()
}

// passOver leaves a target that has as many calls as it may. That is no
// failure of its.
func (s *state) passOver(full *peer.Full) {
	name := s.target.Peer.Name
	s.record.Attempts = append(s.record.Attempts, record.Attempt{
		Peer: name, Region: s.region, Why: s.target.Why, At: s.now, Error: "passed over: " + full.Why,
	})
	s.do(limited{name, full})
	s.notef("%s is passed over: %v", name, full)
	s.failure = failure{peer: name, err: full}
	s.hunt()
}

// try sends the INVITE to one address. It is a new dialog each time: one
// Call-ID on two ways would look like a merged request where they meet.
func (s *state) try(to sip.Target) {
	l, side := s.sought(), s.soughtSide()
	l.timers, l.tag = to.Remote.Timers, s.token(8)
	s.equip(l)
	callID := s.token(16)
	msg, err := s.writeInvite(l, interop.Names{CallID: callID, Tag: l.tag})
	if err != nil {
		s.inVain(gatewayCause(488, 88, err.Error()))
		return
	}
	l.wantSession(msg)
	l.wantReliable(msg)
	msg = s.rulesOut(l, msg)

	r := s.newRequest(inviting, side)
	r.stub = stub(msg)
	s.attempt = &attempt{id: r.id, offer: l.end.Sent, peer: l.peer.Name, to: to, side: side, dress: l.dress, row: len(s.record.Attempts)}
	r.attempt = s.attempt
	s.record.Attempts = append(s.record.Attempts, record.Attempt{
		Peer: l.peer.Name, Region: s.region, Why: s.target.Why, At: s.now,
		Target: placeOf(to),
	})
	said := record.Leg{
		Side: record.Side(l.peer.Group.Side), Peer: l.peer.Name,
		Transport: to.Transport.String(), Address: to.Addr.String(), CallID: callID,
	}
	if isInner(to) {
		said.Transport, said.Address = "", placeOf(to)
	}
	if s.transfer != nil {
		s.transfer.said = said
	} else {
		s.record.Callee = said
	}
	s.notef("trying %s at %s: %s", l.peer.Name, placeOf(to), s.target.Why)
	s.do(invite{r.id, side, msg, dialogKey{callID, l.tag}, to, s.vouchFor(l, msg)})
	s.do(arm{silence, s.grace()})
	s.do(arm{ringingTooLong, s.limits.Ringing})
}

// writeInvite is the INVITE to the leg that is sought, with its offer.
func (s *state) writeInvite(l *leg, n interop.Names) (*sip.Message, error) {
	if s.transfer != nil {
		return s.writeTransfer(n)
	}
	offer, err := s.firstOffer()
	if err != nil {
		return nil, err
	}
	l.end.Sent = offer
	msg := interop.Invite(s.view, s.shown(l), l.dress, n)
	interop.SetOffer(msg, s.view, offer.Bytes(), l.dress)
	return msg, nil
}

// grace is how long a target may say nothing at all. Whoever works says 100 in
// 200 ms (RFC 3261 17.2.1). One that does not answer OPTIONS either gets half
// the time, three datagrams over UDP; the last one that does gets more, but not
// the 32 s of timer B: the caller may have another region to turn to, and
// Progress keeps it from doing so.
func (s *state) grace() time.Duration {
	switch {
	case s.down:
		return s.limits.FirstResponse / 2
	case s.more():
		return s.limits.FirstResponse
	}
	return 3 * s.limits.FirstResponse
}

// more tells whether there is anything left to try.
func (s *state) more() bool { return len(s.hops) > 0 || len(s.targets) > 0 }

// stub is what a dialog needs of an INVITE, without its body.
func stub(m *sip.Message) *sip.Message {
	return m.Part("From", "To", "Call-ID", "CSeq")
}

// firstOffer is the offer of the INVITE: the caller's, or, when it made none,
// one of our own, since the cloud takes no INVITE without one (Microsoft Teams
// docs, Direct Routing SIP protocol).
func (s *state) firstOffer() (*sdp.Session, error) {
	callee := s.callee()
	if s.offer == nil {
		callee.end.Codecs = common(callee.end.Codecs, s.caller().end.Codecs)
		return sdp.Propose(callee.end)
	}
	offer, err := sdp.Offer(s.offer, callee.end)
	if err != nil {
		return nil, err
	}
	// Were all of it accepted, could the caller be answered? If not, no answer
	// will do, and nobody's phone needs to ring first.
	_, err = sdp.Answer(s.offer, offer, s.caller().end)
	return offer, err
}

// inviteResponse is a response to the INVITE of an attempt.
func (s *state) inviteResponse(r *request, msg *sip.Message) {
	mine := s.attempt == r.attempt
	if mine {
		s.listenTo(msg)
	}
	switch {
	case msg.Status < 200 && mine && s.seeking() && !s.inOrder(r, msg):
	case msg.Status < 200 && mine && s.transfer != nil:
		s.transferRings(r, msg)
	case msg.Status < 200:
		if mine && s.phase == hunting {
			s.provisional(r, msg)
		}
	case msg.Status < 300:
		s.accept(r, msg, mine)
	default:
		s.forget(r)
		if mine && s.seeking() {
			s.refused(msg)
		}
	}
}

// listenTo sets how long the attempt may go on as it does: one that has said no
// more than 100 may be stuck, and another target may not.
func (s *state) listenTo(msg *sip.Message) {
	switch {
	case msg.Status > 100 || !s.more():
		s.do(arm{silence, 0})
	case !s.attempt.heard:
		s.do(arm{silence, s.limits.Alerting})
	}
	s.attempt.heard = true
}

// refused is a final answer that is not a 2xx.
func (s *state) refused(msg *sip.Message) {
	s.row().Status = msg.Status
	s.failure = failure{peer: s.attempt.peer, msg: msg, from: s.attempt.dress}
	s.explain(msg, s.attempt.dress)
	s.do(report{s.attempt.peer, peer.Outcome{Status: msg.Status, RetryAfter: retryAfter(msg)}})
	if msg.Status == 422 && !s.attempt.longer && s.lengthen(s.sought(), s.attempt.side, msg) {
		s.try(s.attempt.to)
		s.attempt.longer = true
		return
	}
	if s.redirected(msg) {
		return
	}
	if !route.Retry(route.Outcome{Status: msg.Status}) {
		s.inVain(s.failure.cause())
		return
	}
	s.notef("%s answered %d", s.attempt.peer, msg.Status)
	s.hunt()
}

// attemptFailed: the transport failed, or no final response came in time.
func (s *state) attemptFailed(r *request, err error) {
	if s.attempt != r.attempt || !s.seeking() {
		return
	}
	s.row().Error = err.Error()
	s.failed(peer.Outcome{Err: err})
}

// failed goes on after an attempt that had no answer.
func (s *state) failed(o peer.Outcome) {
	name := s.target.Peer.Name
	s.failure = failure{peer: name, err: o.Err}
	s.do(report{name, o})
	s.notef("%s failed: %v", name, o.Err)
	if errors.Is(o.Err, sip.ErrClosed) {
		s.inVain(s.failure.cause())
		return
	}
	s.hunt()
}

// errSilent is the error of an attempt that was left for want of an answer.
type errSilent string

func (e errSilent) Error() string { return string(e) }

// silent leaves an attempt without any response, or with 100 alone, for the
// next target. Its INVITE is cancelled as soon as that is allowed, and should
// it still be answered, released.
func (s *state) silent() {
	if !s.seeking() || s.attempt == nil {
		return
	}
	err := errSilent("no response at all in " + s.grace().String())
	if s.attempt.heard {
		err = errSilent("nothing but 100 in " + s.limits.Alerting.String())
	}
	s.row().Error = err.Error()
	s.do(cancel{s.attempt.id, ""})
	s.failed(peer.Outcome{Err: err})
}

// rangTooLong ends a call that nobody answers (RFC 3261 16.6, timer C).
func (s *state) rangTooLong() {
	if !s.seeking() || s.attempt == nil {
		return
	}
	s.row().Error = "no final response in " + s.limits.Ringing.String()
	s.inVain(gatewayCause(480, 19, "nobody answered in "+s.limits.Ringing.String()))
}

// row is the record of the attempt under way.
func (s *state) row() *record.Attempt { return &s.record.Attempts[s.attempt.row] }
