package call

import (
	"errors"
	"time"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// accept is a 2xx to an INVITE of ours. The first one to the attempt under way
// answers the call. One that comes again lost its ACK. Every other one, of a
// fork that was slower, of an attempt that was left, or one that crossed our
// CANCEL, is acknowledged and released (RFC 3261 13.2.2.4, 15).
func (s *state) accept(r *request, msg *sip.Message, mine bool) {
	switch {
	case mine && s.seeking() && s.transfer != nil:
		s.transferAnswered(r, msg)
	case mine && s.phase == hunting:
		s.answer(r, msg)
	case r.attempt.won != nil && r.attempt.won.ID() == ua.IDOf(msg):
		s.do(sendDirect{0, r.id, ackOf(r.attempt.won, r.stub, r.attempt.dress)})
	default:
		s.reject(r, msg)
	}
}

// reject acknowledges and releases a dialog that nobody wants.
func (s *state) reject(r *request, msg *sip.Message) {
	a := r.attempt
	r.accepted = true
	d, err := a.confirmed(r.stub, msg)
	if err != nil {
		return // it gives up by itself after 64*T1
	}
	s.do(sendDirect{0, r.id, ackOf(d, r.stub, a.dress)})
	if a.released == nil {
		a.released = map[ua.ID]bool{}
	}
	if a.released[d.ID()] || len(a.released) == maxForks {
		return // the 2xx came again: the ACK was lost, the BYE repeats itself
	}
	a.released[d.ID()] = true
	bye := d.NewRequest("BYE")
	interop.InDialog(bye, nil, a.dress)
	b := s.newRequest(releasing, a.side)
	b.dialog = d
	s.do(sendDirect{b.id, r.id, bye})
}

// answer joins caller and callee.
func (s *state) answer(r *request, msg *sip.Message) {
	a, callee := s.attempt, s.callee()
	s.row().Status = msg.Status
	s.do(report{a.peer, peer.Outcome{Status: msg.Status}})
	s.do(arm{silence, 0})
	s.do(arm{ringingTooLong, 0})
	r.accepted = true
	d, err := a.confirmed(r.stub, msg)
	if err != nil {
		s.finish(gatewayCause(502, 127, a.peer+" answered without a usable Contact: "+err.Error()))
		return
	}
	a.won = d
	callee.dialog, callee.confirmed = d, true
	s.locate(relay.Callee, a.id)
	s.do(sendDirect{0, r.id, ackOf(d, r.stub, callee.dress)})
	if c, ok := a.overtaken[d.ID()]; ok {
		callee.gone = true
		s.finish(c)
		return
	}
	if err := s.joinFinal(r, msg); err != nil {
		s.finish(gatewayCause(488, 88, a.peer+" answered with media that cannot be used: "+err.Error()))
		return
	}
	if err := s.answerCaller(msg); err != nil {
		s.finish(gatewayCause(488, 88, err.Error()))
		return
	}
	s.talk()
	s.granted(relay.Callee, msg)
}

// talk begins what follows the hunt for the callee.
func (s *state) talk() {
	at := s.now
	s.phase, s.record.Answered = talking, &at
	s.remember()
	s.unring()
	s.attempt.leave()
	s.targets, s.hops, s.offer, s.assumed = nil, nil, nil, nil
	s.failure = failure{}
	s.do(answered{s.record})
	s.asked = s.now
	s.do(arm{patience, 0})
	s.do(arm{listening, s.listenEvery()})
	s.do(arm{talkedEnough, s.longest()})
	s.do(arm{scoring, scoreEvery})
}

// longest is how long the call may last, 0 for ever: nobody ends an emergency
// call.
func (s *state) longest() time.Duration {
	if s.record.Emergency {
		return 0
	}
	longest := s.limits.Duration
	for _, l := range s.legs {
		if d := l.peer.Limits.Duration; d > 0 && (longest == 0 || d < longest) {
			longest = d
		}
	}
	return longest
}

// joinFinal takes the description of the 200, or, when it has none, the one
// its fork sent earlier.
func (s *state) joinFinal(r *request, msg *sip.Message) error {
	desc, no := describe(msg)
	if no != nil {
		return errors.New(no.text)
	}
	f := s.fork(r, msg)
	s.chosen = s.dialogShown(f)
	var sent *sdp.Session
	if f != nil && (desc == nil || f.sent != nil) { // what was said since by UPDATE counts
		desc, sent = f.received, f.sent
	}
	if desc == nil {
		return errors.New("the 200 has no description")
	}
	if sent == nil {
		learnHold(s.callee(), s.attempt.offer, desc)
	}
	err := s.join(f, desc)
	if s.caller().end.Sent != nil && (errors.Is(err, sdp.ErrNoCodec) || err == nil && s.couldPass(desc)) {
		// The fork that answered speaks another codec than the one whose early
		// media the caller was answered with: the caller is told by a re-INVITE.
		// Until then voice is transcoded if it can be.
		s.stale[relay.Caller] = true
		return nil
	}
	return err
}

// couldPass: voice is transcoded, but the caller has offered a codec that the
// callee's answer has too.
func (s *state) couldPass(answer *sdp.Session) bool {
	n, err := sdp.Bridge(s.caller().media, s.callee().media)
	if err != nil || n.Transcode == nil || !n.Transcode.Foreign || s.offer == nil {
		return false
	}
	plain := s.caller().end
	plain.Transcode = nil
	_, err = sdp.Answer(s.offer, answer, plain)
	return err == nil
}

// answerCaller sends the 200 that came of far, nil when it is our own, with the
// answer to the caller's offer or, when it made none, with an offer out of the
// callee's answer.
func (s *state) answerCaller(far *sip.Message) error {
	caller, e := s.caller(), s.answering()
	caller.tag, caller.dialog = e.tag, e.dialog
	status := 200
	if far != nil {
		status = far.Status
	}
	resp := respondOn(caller, s.invite, status)
	interop.Relay(resp, far, s.callee().dress, caller.dress)
	acc := &accepted{tx: s.inviteTx, msg: resp}
	body := caller.end.Sent
	switch {
	case e.described || s.mustWait():
		body = nil // RFC 3261 13.2.1: what is agreed is not said again
	case s.owesOffer():
		offer, err := sdp.Offer(s.callee().end.Received, caller.end)
		if err != nil {
			return err
		}
		body, acc.offer = offer, offer
	}
	if body != nil {
		resp.SetBody("application/sdp", body.Bytes())
	}
	s.grant(relay.Caller, s.invite, resp)
	caller.confirmed = true
	s.locate(relay.Caller, 0)
	if acc.withheld = s.mustWait(); acc.withheld {
		caller.accepted = acc
		return nil
	}
	s.do(arm{repeatRinging, 0})
	s.inviteTx, s.invite, s.view = 0, nil, nil
	s.sendAccepted(relay.Caller, acc)
	return nil
}

// sendAccepted sends a 2xx to INVITE until it is acknowledged: after T1, twice
// as long each time, T2 at most, for 64*T1 (RFC 3261 13.3.1.4), whatever the
// transport.
func (s *state) sendAccepted(side relay.Side, acc *accepted) {
	l := s.legs[side]
	t1 := orDefault(l.timers.T1, 500*time.Millisecond)
	acc.pause, acc.until = t1, s.now.Add(64*t1)
	s.legs[side].accepted = acc
	s.do(respond{acc.tx, acc.msg})
	s.do(arm{repeatTimer(side), acc.pause})
}

func orDefault(d, def time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return def
}

// repeat sends a 2xx again, or gives up: without an ACK the session is not
// there, and is released on both sides.
func (s *state) repeat(side relay.Side) {
	l := &s.legs[side]
	acc := l.accepted
	if acc == nil {
		return
	}
	if !s.now.Before(acc.until) {
		s.settleAccepted(side)
		s.finish(gatewayCause(0, 102, "the "+side.String()+" never acknowledged our 200: our answers do not reach it, or its ACK does not reach us"))
		s.releaseLeg(side, nil)
		return
	}
	s.do(respond{acc.tx, acc.msg})
	acc.pause = min(2*acc.pause, orDefault(l.timers.T2, 4*time.Second))
	s.do(arm{repeatTimer(side), min(acc.pause, acc.until.Sub(s.now))})
}

// settleAccepted ends the repetition.
func (s *state) settleAccepted(side relay.Side) {
	l := &s.legs[side]
	s.do(settled{l.accepted.tx})
	s.do(arm{repeatTimer(side), 0})
	l.accepted = nil
}

// acked is the ACK to a 2xx of ours.
func (s *state) acked(ev acked) {
	l := &s.legs[ev.leg]
	if l.accepted == nil || l.accepted.withheld || l.dialog == nil || l.dialog.ID() != ua.IDOf(ev.msg) || l.dialog.Accept(ev.msg) != nil {
		return
	}
	offer := l.accepted.offer
	s.settleAccepted(ev.leg)
	if s.phase == ending {
		// RFC 3261 15: who was called may not hang up before the ACK.
		s.releaseLeg(ev.leg, nil)
		return
	}
	if offer != nil {
		s.answeredInAck(ev.leg, offer, ev.msg)
	}
	s.renewStale()
}

// answeredInAck takes the answer to an offer that we made in a 2xx.
func (s *state) answeredInAck(side relay.Side, offer *sdp.Session, msg *sip.Message) {
	l := &s.legs[side]
	desc, no := describe(msg)
	switch {
	case no != nil:
		s.finish(gatewayCause(0, 88, "the answer of the "+side.String()+" in its ACK cannot be read: "+no.text))
		return
	case desc == nil:
		// RFC 3261 13.2.2.4 demands an answer here.
		s.finish(gatewayCause(0, 88, "the "+side.String()+" sent an ACK without the answer to our offer"))
		return
	}
	media, err := sdp.Agree(offer, desc)
	if err != nil {
		s.finish(gatewayCause(0, 88, "the answer of the "+side.String()+" cannot be used: "+err.Error()))
		return
	}
	l.end.Sent, l.end.Received, l.media = offer, desc, media
	learnHold(l, offer, desc)
	if err := s.bridge(); err != nil || s.mustHear(side.Other()) {
		s.stale[side.Other()] = true
	}
}

// respondOn writes a response to a request of a leg.
func respondOn(l *leg, req *sip.Message, status int) *sip.Message {
	resp := interop.Response(req, status, l.dress)
	resp.TagTo(l.tag)
	return resp
}

// locate sets where a leg's requests go.
func (s *state) locate(side relay.Side, attempt int) {
	hop, err := s.legs[side].dialog.NextHop()
	if err != nil {
		s.notef("the %s's route cannot be read (%v): its requests go where the dialog came from", side, err)
	}
	s.do(locate{side, hop, attempt})
}
