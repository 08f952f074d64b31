package call

import (
	"strconv"
	"time"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// Reliable provisional responses (RFC 3262) end on their leg: what the caller
// has to acknowledge is ours, what the callee wants acknowledged is
// acknowledged by us, and neither learns of the other one's.

// reliable is a provisional response of ours that is repeated until its PRACK
// comes.
type reliable struct {
	msg         *sip.Message
	rack        ua.RAck      // by which the PRACK names it
	offer       *sdp.Session // it made one: the PRACK has to bring the answer
	pause       time.Duration
	next, until time.Time
}

// reliable tells whether the caller's provisional responses are.
func (s *state) reliable() bool {
	return s.caller().dress.Profile.Reliable != interop.ReliableOff &&
		(s.invite.HasToken("Supported", "100rel") || s.invite.HasToken("Require", "100rel"))
}

// owesOffer tells whether the caller waits for an offer of ours.
func (s *state) owesOffer() bool { return s.offer == nil && s.caller().end.Sent == nil }

// lateOffer is that offer: what the callee has accepted. nil while it has not.
func (s *state) lateOffer() *sdp.Session {
	accepted := s.callee().end.Received
	if accepted == nil {
		return nil
	}
	offer, err := sdp.Offer(accepted, s.caller().end)
	if err != nil {
		s.notef("there is nothing to offer to the caller yet: %v", err)
	}
	return offer
}

// tellReliably sends a provisional response until it is acknowledged: after
// T1, twice as long each time, for 64*T1, whatever the transport (RFC 3262 3).
// There is never more than one on its way in a dialog.
func (s *state) tellReliably(e *early, t telling, offer *sdp.Session) {
	l := s.caller()
	desc := l.end.Sent
	switch {
	case offer != nil:
		desc = offer
	case e.described:
		desc = nil
	}
	if e.seq++; e.seq == 1 {
		e.seq = uint32(s.pick(ua.FirstRSeq)) + 1
	}
	msg := s.provisionalFor(e, t, desc)
	msg.Set("Require", "100rel")
	msg.Set("RSeq", strconv.FormatUint(uint64(e.seq), 10))
	cseq, _ := s.invite.CSeq() // the stack has checked it
	t1 := orDefault(l.timers.T1, 500*time.Millisecond)
	e.sent = &reliable{
		msg: msg, rack: ua.RAck{RSeq: e.seq, CSeq: cseq}, offer: offer,
		pause: t1, next: s.now.Add(t1), until: s.now.Add(64 * t1),
	}
	s.do(respond{s.inviteTx, msg})
	s.armRepetition()
}

// armRepetition waits for the first repetition that is due.
func (s *state) armRepetition() {
	var wait time.Duration
	for _, e := range s.early {
		if e.sent == nil {
			continue
		}
		if d := max(e.sent.next.Sub(s.now), time.Millisecond); wait == 0 || d < wait {
			wait = d
		}
	}
	s.do(arm{repeatRinging, wait})
}

// repeatRinging sends what is not acknowledged again, or gives the call up: our
// responses do not reach the caller.
func (s *state) repeatRinging() {
	if s.inviteTx == 0 {
		return
	}
	for _, e := range s.early {
		r := e.sent
		switch {
		case r == nil || s.now.Before(r.next):
		case !s.now.Before(r.until):
			s.finish(gatewayCause(504, 102, "the caller never acknowledged a reliable "+strconv.Itoa(r.msg.Status)+": our responses do not reach it, or its PRACK does not reach us"))
			return
		default:
			s.do(respond{s.inviteTx, r.msg})
			r.pause *= 2
			r.next = s.now.Add(min(r.pause, r.until.Sub(s.now)))
		}
	}
	s.armRepetition()
}

// prack is a PRACK of the caller.
func (s *state) prack(ev requested) {
	l := &s.legs[ev.leg]
	if l.dress.Profile.Reliable == interop.ReliableOff {
		s.notAllowed(ev)
		return
	}
	rack, err := ua.RAckOf(ev.msg)
	if err != nil {
		s.refuse(ev.leg, ev.tx, ev.msg, refusalOf(err))
		return
	}
	e := s.earlyDialog(ua.IDOf(ev.msg))
	if ev.leg != relay.Caller || e == nil || e.sent == nil || e.sent.rack != rack {
		s.refuse(ev.leg, ev.tx, ev.msg, &refusal{status: 481}) // RFC 3262 3
		return
	}
	desc, no := describe(ev.msg)
	var answer *sdp.Session
	switch {
	case no != nil:
	case s.phase > talking: // RFC 3262 3: it is still to be taken, though there is nothing to agree on
		if desc != nil {
			no = &refusal{status: 481}
		}
	case e.sent.offer != nil:
		no = s.answeredInPrack(e.sent.offer, desc)
		if no != nil {
			s.refuse(ev.leg, ev.tx, ev.msg, no)
			s.decline(no)
			return
		}
	case desc != nil: // RFC 3262 5: the 2xx brings the answer
		answer, no = s.answerEarly(desc)
	}
	if no != nil {
		s.refuse(ev.leg, ev.tx, ev.msg, no) // and the PRACK comes again without it
		return
	}
	resp := respondOn(l, ev.msg, 200)
	if answer != nil {
		resp.SetBody("application/sdp", answer.Bytes())
	}
	s.do(respond{ev.tx, resp})
	s.acknowledged(e)
}

// acknowledged goes on after a PRACK.
func (s *state) acknowledged(e *early) {
	e.described = e.described || len(e.sent.msg.Body) > 0
	e.sent = nil
	if s.inviteTx == 0 {
		return
	}
	s.armRepetition()
	next, acc := e.next, s.caller().accepted
	e.next = telling{}
	switch {
	case acc != nil && acc.withheld:
		acc.withheld = false
		s.inviteTx, s.invite, s.view = 0, nil, nil
		s.do(arm{repeatRinging, 0})
		s.sendAccepted(relay.Caller, acc)
	case next.status != 0 && s.phase == hunting:
		s.tell(e, next)
	}
	s.reserved()
}

// answeredInPrack takes the caller's answer to the offer of a provisional
// response.
func (s *state) answeredInPrack(offer, answer *sdp.Session) *refusal {
	if answer == nil { // RFC 3262 5 demands one
		return &refusal{status: 488, q850: 88, text: "the caller's PRACK has no answer to our offer"}
	}
	l := s.caller()
	media, err := sdp.Agree(offer, answer)
	if err == nil {
		l.end.Sent, l.end.Received, l.media = offer, answer, media
		learnHold(l, offer, answer)
		err = s.bridge()
	}
	if err != nil {
		return &refusal{status: 488, q850: 88, text: "the answer of the caller in its PRACK cannot be used: " + err.Error()}
	}
	return nil
}

// mustWait tells whether our 2xx has to wait: the caller has not acknowledged
// yet how the media are described (RFC 3262 3).
func (s *state) mustWait() bool {
	r := s.answering().sent
	return r != nil && len(r.msg.Body) > 0
}

// answering is the caller's dialog that is answered.
func (s *state) answering() *early {
	if s.chosen != nil {
		return s.chosen
	}
	return s.early[0]
}

// withdraw drops a 2xx that has not left. The INVITE is refused instead.
func (s *state) withdraw() {
	if l := s.caller(); l.accepted != nil && l.accepted.withheld {
		l.accepted, l.confirmed = nil, false
	}
}

// wantReliable says in an INVITE of ours whether provisional responses must be
// reliable. That they may be, Supported says.
func (l *leg) wantReliable(msg *sip.Message) {
	if l.dress.Profile.Reliable == interop.ReliableRequired {
		msg.Set("Require", "100rel")
	}
}

// inOrder tells whether a provisional response of the far side is to be
// heeded, and acknowledges a reliable one (RFC 3262 4).
func (s *state) inOrder(r *request, msg *sip.Message) bool {
	a := r.attempt
	if a.dress.Profile.Reliable == interop.ReliableOff || msg.Status == 100 || !msg.HasToken("Require", "100rel") {
		return true
	}
	f := s.fork(r, msg)
	if f == nil || s.unanswered(acknowledging) >= maxPRACK {
		return false // and it comes again
	}
	rack, ok := f.order.Take(msg)
	if !ok || !s.opens(r, f, msg) {
		return false
	}
	prack := f.dialog.NewRequest("PRACK")
	prack.Set("RAck", rack.String())
	s.sendEarly(r, f, acknowledging, prack)
	return true
}

// maxPRACK is how many PRACKs may wait for their answers. One of each fork is
// what there should be.
const maxPRACK = 2 * maxForks

// unanswered counts the requests of a kind that wait.
func (s *state) unanswered(kind requestKind) (n int) {
	for _, r := range s.requests {
		if r.kind == kind {
			n++
		}
	}
	return n
}

// opens makes the early dialog of a fork.
func (s *state) opens(r *request, f *fork, msg *sip.Message) bool {
	if f.dialog != nil {
		return true
	}
	d, err := ua.ClientDialog(r.stub, msg)
	if err != nil {
		s.notef("%s rings without a usable Contact: %v", r.attempt.peer, err)
		return false
	}
	f.dialog = d
	return true
}

// sendEarly sends a request in the early dialog of a fork.
func (s *state) sendEarly(r *request, f *fork, kind requestKind, msg *sip.Message) {
	interop.InDialog(msg, nil, r.attempt.dress)
	own := s.newRequest(kind, r.leg)
	own.dialog = f.dialog
	if hop, err := f.dialog.NextHop(); err == nil && s.phase == hunting {
		s.do(locate{r.leg, hop, r.attempt.id})
		s.do(send{own.id, r.leg, msg})
		return
	}
	s.do(sendDirect{own.id, r.attempt.id, msg})
}
