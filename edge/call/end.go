package call

import (
	"time"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// giveUpAfter is how long an ended call waits for what is still under way: a
// little more than the longest transaction (64*T1 = 32 s).
const giveUpAfter = 40 * time.Second

// requested is a request inside a leg's dialog.
func (s *state) requested(ev requested) {
	l := &s.legs[ev.leg]
	if aside := s.asideOf(ev); aside != nil {
		s.asideRequested(aside, ev)
		return
	}
	if s.overtook(ev) {
		return
	}
	if f := s.ringing(ev); f != nil {
		s.updateEarly(f, ev)
		return
	}
	d := s.dialogOf(ev)
	if d == nil {
		s.refuse(ev.leg, ev.tx, ev.msg, &refusal{status: 481})
		return
	}
	if err := d.Accept(ev.msg); err != nil {
		s.refuse(ev.leg, ev.tx, ev.msg, refusalOf(err))
		return
	}
	if no := checkRequire(ev.msg, l.dress.Profile); no != nil {
		s.refuse(ev.leg, ev.tx, ev.msg, no)
		return
	}
	switch ev.msg.Method {
	case "BYE":
		s.bye(ev)
	case "INVITE":
		s.reinvite(ev.leg, ev.tx, ev.msg)
	case "REFER":
		if !l.dress.Profile.Refer {
			s.notAllowed(ev)
			return
		}
		s.referred(ev)
	case "NOTIFY": // RFC 6665 4.1.3: we subscribe to nothing
		s.refuse(ev.leg, ev.tx, ev.msg, &refusal{status: 481})
	case "PRACK":
		s.prack(ev)
	case "UPDATE":
		s.update(ev)
	case "INFO":
		s.info(ev)
	case "OPTIONS":
		resp := respondOn(l, ev.msg, 200)
		resp.Set("Allow", l.dress.Profile.Allow)
		resp.Set("Accept", "application/sdp")
		s.do(respond{ev.tx, resp})
	default:
		s.notAllowed(ev)
	}
}

// dialogOf is the dialog of a leg that a request names, nil when it names none.
// A caller may have several before its INVITE is answered.
func (s *state) dialogOf(ev requested) *ua.Dialog {
	id, l := ua.IDOf(ev.msg), &s.legs[ev.leg]
	if l.dialog != nil && l.dialog.ID() == id {
		return l.dialog
	}
	if e := s.earlyDialog(id); ev.leg == relay.Caller && s.phase == hunting && e != nil {
		return e.dialog
	}
	return nil
}

// notAllowed answers a method we do not serve: 405 when we know it, else 501
// (RFC 3261 8.2.1).
func (s *state) notAllowed(ev requested) {
	status := 501
	switch ev.msg.Method {
	case "UPDATE", "INFO", "REFER", "PRACK", "SUBSCRIBE", "MESSAGE", "PUBLISH", "REGISTER":
		status = 405
	}
	allow := s.legs[ev.leg].dress.Profile.Allow
	s.refuse(ev.leg, ev.tx, ev.msg, &refusal{status: status, headers: [][2]string{{"Allow", allow}}})
}

// refuse answers a request of a leg with a final response of ours.
func (s *state) refuse(side relay.Side, tx txn, msg *sip.Message, no *refusal) {
	resp := respondOn(&s.legs[side], msg, no.status)
	for _, h := range no.headers {
		resp.Set(h[0], h[1])
	}
	if no.text != "" {
		s.notef("%s of the %s refused with %d: %s", msg.Method, side, no.status, no.text)
	}
	s.do(respond{tx, resp})
}

// refuseAs answers a leg's re-INVITE as the other leg did. What only means
// something between us and that leg becomes 488: no session came of it.
func (s *state) refuseAs(side relay.Side, tx txn, msg, far *sip.Message) {
	status := far.Status
	if status < 400 || status == 401 || status == 407 {
		status = 488
	}
	s.do(respond{tx, respondOn(&s.legs[side], msg, status)})
}

// finishRequest completes a request that a dialog has made.
func (s *state) finishRequest(req, far *sip.Message, l *leg) {
	interop.InDialog(req, far, l.dress)
}

// bye is a BYE: it ends the call whatever else is under way. Before the answer
// a caller may use it instead of CANCEL (RFC 3261 15).
func (s *state) bye(ev requested) {
	l := &s.legs[ev.leg]
	s.do(respond{ev.tx, respondOn(l, ev.msg, 200)})
	l.gone = true
	if l.accepted != nil && !l.accepted.withheld { // the far side has our 2xx; one that has not left becomes a refusal (withdraw)
		s.settleAccepted(ev.leg)
	}
	if t := s.transfer; t != nil && t.by == ev.leg && s.phase == talking {
		// RFC 5589 section 5: who has asked for a transfer may leave at once.
		s.do(arm{refreshTimer(ev.leg), 0})
		s.do(arm{lapseTimer(ev.leg), 0})
		s.dropRound()
		return
	}
	if v := s.verdict; v != nil {
		if v.to == ev.leg {
			s.pronounced()
		}
		return
	}
	c := byeCause(ev.leg, ev.msg)
	switch {
	case s.inviteTx != 0 && ev.leg == relay.Caller:
		c = cancelCause(ev.msg)
	case s.inviteTx != 0: // our 2xx has not left
		c.Status = 480
	}
	c.diagnose(ev.msg, l.dress)
	s.finish(c)
}

// cancelled: the sender of an INVITE has given it up; its CANCEL is answered.
func (s *state) cancelled(ev cancelled) {
	switch {
	case ev.tx == s.inviteTx && s.inviteTx != 0:
		s.finish(cancelCause(ev.msg))
	case s.round != nil && s.round.tx == ev.tx && ev.tx != 0:
		s.roundCancelled()
	}
}

// unreachable: our responses do not reach the caller; there is nobody to ring
// for.
func (s *state) unreachable(ev unreachable) {
	if ev.tx == s.inviteTx && s.inviteTx != 0 {
		c := gatewayCause(500, 41, "the caller cannot be reached any more: "+ev.err.Error())
		s.finish(c)
	}
}

// finish ends the call, from whatever state: the caller gets its final
// response, the legs that stand get a BYE, what is under way is cancelled, the
// ports go back and the record is closed.
func (s *state) finish(c cause) {
	if s.phase >= ending {
		return
	}
	s.phase, s.verdict = ending, nil
	at := s.now
	s.asMicrosoftShows(&c)
	s.record.Ended, s.record.Cause = &at, c.Cause
	if s.record.Answered != nil {
		s.record.Cause.Status = 0 // the caller got its 200
	}
	for _, t := range []timer{silence, patience, ringingTooLong, roundTooLong, again, listening, talkedEnough, scoring, refreshCaller, refreshCallee, lapseCaller, lapseCallee, repeatRinging, reservedTooLate, lookingOut, toneOver} {
		s.do(arm{t, 0})
	}
	s.abandonRound()
	s.abandonTransfer()
	s.releaseAside(relay.Caller)
	s.releaseAside(relay.Callee)
	s.cancelAttempts(c)
	s.declineCaller(c)
	s.withdraw()
	s.releaseLeg(relay.Caller, &c)
	s.releaseLeg(relay.Callee, &c)
	if !s.recorded && !c.unrecorded {
		s.do(begin{s.record})
	}
	if !c.unrecorded {
		s.do(ended{s.record})
	}
	s.do(unplug{})
	s.do(arm{giveUp, giveUpAfter})
}

// declineCaller gives the caller's INVITE its final response.
func (s *state) declineCaller(c cause) {
	if s.inviteTx == 0 {
		return
	}
	resp := respondOn(s.caller(), s.invite, c.Status)
	for _, h := range c.headers {
		resp.Set(h[0], h[1])
	}
	for _, r := range c.reasons {
		resp.Add("Reason", r.String())
	}
	s.do(respond{s.inviteTx, resp})
	s.inviteTx, s.invite, s.view = 0, nil, nil
}

// abandonRound ends a re-INVITE under way: RFC 3261 15.1.2 wants 487 for who
// asked.
func (s *state) abandonRound() {
	if s.round == nil {
		return
	}
	r := s.closeRound()
	if r.tx != 0 {
		s.refuse(r.to.Other(), r.tx, r.msg, &refusal{status: 487})
	}
	s.do(cancel{r.id, ""})
}

// cancelAttempts cancels the INVITEs that ring.
func (s *state) cancelAttempts(c cause) {
	for _, r := range s.requests {
		if r.kind == inviting && !r.accepted {
			s.do(cancel{r.id, c.cancelReason()})
			if row := &s.record.Attempts[r.attempt.row]; row.Error == "" {
				row.Error = "given up: " + c.Text
			}
		}
	}
}

// releaseLeg sends BYE to a leg that stands, unless it is gone, or has yet to
// acknowledge our 2xx: then the BYE follows the ACK (RFC 3261 15).
func (s *state) releaseLeg(side relay.Side, c *cause) {
	l := &s.legs[side]
	if !l.confirmed || l.gone || l.accepted != nil {
		return
	}
	l.gone = true
	req := l.dialog.NewRequest("BYE")
	var far *sip.Message
	if c != nil {
		far = c.far
	}
	s.finishRequest(req, far, l)
	if far == nil {
		for _, r := range byeReasons(s.record.Cause) {
			req.Add("Reason", r.String())
		}
	}
	r := s.newRequest(releasing, side)
	r.dialog = l.dialog
	s.do(send{r.id, side, req})
}

func byeReasons(c record.Cause) []sip.Reason {
	if c.Q850 == 0 {
		return nil
	}
	return []sip.Reason{{Protocol: "Q.850", Cause: c.Q850, Text: publicText[c.Q850]}}
}

// publicText is what a far side may read of our causes: our own sentences may
// name the other side.
var publicText = map[int]string{
	16: "Normal call clearing", 31: "Normal, unspecified", 41: "Temporary failure",
	88: "Incompatible destination", 102: "Recovery on timer expiry",
}

// word is the state in the words of record.LiveCall.
func (s *state) word() string {
	switch {
	case s.phase >= ending:
		return record.Ending
	case s.phase == talking && (s.caller().media.Direction != sdp.SendRecv || s.callee().media.Direction != sdp.SendRecv):
		return record.Held
	case s.phase == talking:
		return record.Talking
	case s.told != 0:
		return record.Ringing
	}
	return record.Routing
}
