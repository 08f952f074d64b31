package call

import (
	"fmt"
	"time"

	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
)

// roundMax is how long a re-INVITE may go without a final response when it has
// had provisional ones: longer than the transaction waits when it has had none
// (timer B, 32 s), and well under the minute in which a user gives up.
const roundMax = 40 * time.Second

// round is a re-INVITE under way: the offer of one leg, put to the other one.
// The old session stands until both have agreed.
type round struct {
	id    int          // of our re-INVITE
	to    relay.Side   // who is asked
	offer *sdp.Session // what we offered there

	refresh bool // of its session (RFC 4028), which changes nothing
	longer  bool // asked again with a longer session interval

	// Who asked us. tx is 0 when nobody did, and the change is one we owe the
	// leg, or when the asker has its answer already.
	tx  txn
	msg *sip.Message
}

// reinvite is a re-INVITE from a leg.
//
// One that changes nothing for the other leg is answered here: a session
// refresh, a new address, a new key. The others, hold and resume and a change
// of codecs, are put to the other leg, and answered as it answers.
func (s *state) reinvite(side relay.Side, tx txn, msg *sip.Message) {
	l := &s.legs[side]
	other := &s.legs[side.Other()]
	switch {
	case s.phase > talking:
		s.refuse(side, tx, msg, &refusal{status: 481})
		return
	case s.round != nil && s.round.tx != 0 && s.round.to != side:
		// RFC 3261 14.2: a second INVITE before the first has its answer.
		s.refuse(side, tx, msg, &refusal{status: 500, headers: [][2]string{{"Retry-After", fmt.Sprint(s.pick(10))}}})
		return
	case s.phase < talking || s.round != nil || l.accepted != nil || other.accepted != nil || other.gone:
		s.refuse(side, tx, msg, &refusal{status: 491})
		return
	}
	offer, no := describe(msg)
	if no == nil {
		no = checkSession(msg)
	}
	if no != nil {
		s.refuse(side, tx, msg, no)
		return
	}
	if offer == nil {
		s.offerAnew(side, tx, msg)
		return
	}
	s.propose(side, tx, msg, offer)
}

// propose answers an offer here, or puts it to the other leg when that has to
// hear of it.
func (s *state) propose(side relay.Side, tx txn, msg *sip.Message, offer *sdp.Session) {
	if s.wantsFax(side, tx, msg, offer) {
		return
	}
	other := &s.legs[side.Other()]
	far, err := sdp.Offer(heldFor(other, offer), other.end)
	switch {
	case err != nil:
		s.refuse(side, tx, msg, &refusal{status: 488, text: err.Error()})
	case far.Origin.Version == other.end.Sent.Origin.Version:
		s.answerHere(side, tx, msg, offer)
	default:
		if msg.Method == "INVITE" {
			s.do(respond{tx, sip.NewResponse(msg, 100, "")})
		}
		s.startRound(&round{to: side.Other(), offer: far, tx: tx, msg: msg})
	}
}

// answerHere answers a re-INVITE that the other leg need not know of.
func (s *state) answerHere(side relay.Side, tx txn, msg *sip.Message, offer *sdp.Session) {
	l := &s.legs[side]
	if err := s.answerTo(l, offer, s.legs[side.Other()].end.Received); err != nil {
		s.refuse(side, tx, msg, &refusal{status: 488, text: err.Error()})
		return
	}
	if err := s.bridge(); err != nil {
		s.finish(gatewayCause(0, 88, err.Error()))
		return
	}
	s.acceptRound(side, tx, msg, nil)
}

// acceptRound answers a leg's re-INVITE with 200 and what was last said there,
// or with offer.
func (s *state) acceptRound(side relay.Side, tx txn, msg *sip.Message, offer *sdp.Session) {
	l := &s.legs[side]
	if msg.Method == "UPDATE" {
		s.acceptUpdate(side, tx, msg, l.end.Sent)
		return
	}
	l.dialog.Refresh(msg)
	s.locate(side, 0)
	body := l.end.Sent
	if offer != nil {
		body = offer
	}
	resp := respondOn(l, msg, 200)
	resp.SetBody("application/sdp", body.Bytes())
	s.grant(side, msg, resp)
	s.sendAccepted(side, &accepted{tx: tx, msg: resp, offer: offer})
}

// offerAnew answers a re-INVITE without an offer with an offer of ours: what
// the other leg has accepted, open in both directions unless that leg holds
// the call. Some cores resume a held call in this way, and must not be offered
// the hold they themselves began. The other leg learns of it after the ACK.
func (s *state) offerAnew(side relay.Side, tx txn, msg *sip.Message) {
	l, other := &s.legs[side], &s.legs[side.Other()]
	offer, err := sdp.Offer(heldFor(l, turned(other.end.Received, other.holds)), l.end)
	if err != nil {
		s.refuse(side, tx, msg, &refusal{status: 488, text: err.Error()})
		return
	}
	s.acceptRound(side, tx, msg, offer)
}

// startRound puts an offer to a leg.
func (s *state) startRound(r *round) {
	l := &s.legs[r.to]
	req := l.dialog.NewRequest("INVITE")
	s.finishRequest(req, r.msg, l)
	l.wantSession(req)
	req.SetBody("application/sdp", r.offer.Bytes())
	own := s.newRequest(reinviting, r.to)
	own.stub, own.offer, own.dialog, r.id = stub(req), r.offer, l.dialog, own.id
	s.round = r
	s.do(send{r.id, r.to, req})
	s.do(arm{roundTooLong, r.patience()})
}

// patience is how long a round may take.
func (r *round) patience() time.Duration {
	if r.tx != 0 && r.msg.Method == "UPDATE" {
		return updateMax
	}
	return roundMax
}

// late is the answer to who asked when the other leg has given none: RFC 3311
// 5.2 has one of its own.
func (r *round) late() int {
	if r.msg.Method == "UPDATE" {
		return 504
	}
	return 500
}

// reinviteResponse is a response to a re-INVITE of ours.
func (s *state) reinviteResponse(r *request, msg *sip.Message) {
	mine := s.round != nil && s.round.id == r.id
	switch {
	case msg.Status < 200:
	case msg.Status < 300 && r.dialog != s.legs[r.leg].dialog: // that leg has left its place since
		r.accepted = true
		s.do(sendAside{0, r.leg, ackOf(r.dialog, r.stub, s.legs[r.leg].dress)})
	case msg.Status < 300 && r.accepted: // again: the ACK was lost
		s.do(ack{r.leg, ackOf(s.legs[r.leg].dialog, r.stub, s.legs[r.leg].dress)})
	case msg.Status < 300:
		s.acknowledge(r, msg)
		if mine {
			s.agreed(msg)
		} else {
			s.agreedLate(r, msg)
		}
	default:
		s.forget(r)
		if mine {
			s.disagreed(msg)
		}
	}
}

// acknowledge sends the ACK of a re-INVITE.
func (s *state) acknowledge(r *request, msg *sip.Message) {
	l := &s.legs[r.leg]
	s.requests = keepLast(s.requests, r)
	l.dialog.Refresh(msg)
	s.locate(r.leg, 0)
	r.accepted = true
	s.do(ack{r.leg, ackOf(l.dialog, r.stub, l.dress)})
	s.granted(r.leg, msg)
}

// keepLast drops the re-INVITEs of a dialog that went before r and were
// answered: their 2xx are not repeated any more once the far side takes
// another INVITE.
func keepLast(all []*request, r *request) []*request {
	kept := all[:0]
	for _, x := range all {
		if x.id >= r.id || x.kind != reinviting || x.dialog != r.dialog || !x.accepted {
			kept = append(kept, x)
		}
	}
	clear(all[len(kept):])
	return kept
}

// agreed has the other leg's answer. The round stays open until its asker has
// been answered, so that whatever ends the call meanwhile answers it too.
func (s *state) agreed(msg *sip.Message) {
	r := s.round
	l := &s.legs[r.to]
	desc, no := describe(msg)
	if no != nil || desc == nil {
		s.finish(gatewayCause(0, 88, "the "+r.to.String()+" answered a re-INVITE without a usable description"))
		return
	}
	media, err := sdp.Agree(r.offer, desc)
	if s.noFax(r, desc, err) {
		return
	}
	if err != nil {
		s.finish(gatewayCause(0, 88, "the "+r.to.String()+" answered a re-INVITE with media that cannot be used: "+err.Error()))
		return
	}
	l.end.Sent, l.end.Received, l.media = r.offer, desc, media
	learnHold(l, r.offer, desc)
	s.passOn(r, desc)
}

// agreedLate is a 2xx that crossed our CANCEL: the leg has changed alone, and
// is brought back to what the other one last agreed to.
func (s *state) agreedLate(r *request, msg *sip.Message) {
	l := &s.legs[r.leg]
	desc, no := describe(msg)
	if s.phase != talking || no != nil || desc == nil {
		return
	}
	l.end.Sent, l.end.Received = r.offer, desc
	s.stale[r.leg] = true
	s.renewStale()
}

// passOn answers who asked for the round.
func (s *state) passOn(r *round, accepted *sdp.Session) {
	asker := r.to.Other()
	if r.tx != 0 {
		offer, _ := describe(r.msg) // it was read before
		if err := s.answerTo(&s.legs[asker], offer, accepted); err != nil {
			s.closeRound()
			s.refuse(asker, r.tx, r.msg, &refusal{status: 488, text: err.Error()})
			s.stale[r.to] = true // it has changed alone
			s.renewStale()
			return
		}
	}
	if err := s.bridge(); err != nil {
		s.finish(gatewayCause(0, 88, err.Error()))
		return
	}
	s.closeRound()
	if r.tx != 0 {
		s.acceptRound(asker, r.tx, r.msg, nil)
	}
	s.renewStale()
}

// disagreed is a final response other than 2xx: the old session stands
// (RFC 3261 14.1), unless the far side says that there is none.
func (s *state) disagreed(msg *sip.Message) {
	switch msg.Status {
	case 408, 481: // RFC 3261 12.2.1.2
		s.lost(msg, nil)
		return
	}
	r := s.closeRound()
	switch {
	case msg.Status == 422 && !r.longer && s.lengthen(&s.legs[r.to], r.to, msg):
		r.longer = true
		s.startRound(r)
		return
	case r.refresh && msg.Status == 491:
		s.do(arm{refreshTimer(r.to), s.legs[r.to].dialog.Glare(s.pick)})
	case r.refresh:
		s.notef("the %s refused a refresh of its session with %d", r.to, msg.Status)
		s.refreshLater(r.to)
	case r.tx != 0:
		// 491 goes back as well: the two far sides are the ones that met, and
		// each waits by its own role (RFC 3261 14.1).
		s.refuseAs(r.to.Other(), r.tx, r.msg, msg)
	case msg.Status == 491:
		s.stale[r.to] = true
		s.do(arm{again, s.legs[r.to].dialog.Glare(s.pick)})
		return
	default:
		s.notef("the %s refused a change with %d: its old session stands", r.to, msg.Status)
		s.stale[r.to] = false
	}
	s.renewStale()
}

// roundFailed: there is no answer, not even to a CANCEL, so there is no far
// side.
func (s *state) roundFailed(r *request, err error) {
	if s.round != nil && s.round.id == r.id {
		s.lost(nil, err)
		return
	}
	if l := &s.legs[r.leg]; r.dialog != l.dialog || l.gone {
		return
	}
	s.finish(gatewayCause(0, 41, "the "+r.leg.String()+" does not answer a re-INVITE: "+err.Error()))
}

// lost ends a call whose far side does not know the dialog any more, or is
// not there.
func (s *state) lost(msg *sip.Message, err error) {
	r := s.closeRound()
	text := "the " + r.to.String() + " does not answer a re-INVITE"
	switch {
	case msg != nil:
		text = fmt.Sprintf("the %s answered a re-INVITE with %d: it has lost the call", r.to, msg.Status)
	case err != nil:
		text += ": " + err.Error()
	}
	if r.tx != 0 {
		s.refuse(r.to.Other(), r.tx, r.msg, &refusal{status: 481, text: text})
	}
	s.finish(gatewayCause(0, 41, text))
}

// roundTooLong gives up a re-INVITE that has had only provisional responses.
// Its sender is told.
func (s *state) roundTooLong() {
	if s.round == nil {
		return
	}
	r := s.closeRound()
	s.do(cancel{r.id, ""})
	if r.refresh {
		s.refreshLater(r.to)
	}
	if r.tx != 0 {
		s.refuse(r.to.Other(), r.tx, r.msg, &refusal{status: r.late(), text: "the other side did not answer in time"})
	}
}

// closeRound forgets the round.
func (s *state) closeRound() *round {
	r := s.round
	s.round = nil
	s.do(arm{roundTooLong, 0})
	return r
}

// roundCancelled: who asked gave it up.
func (s *state) roundCancelled() {
	r := s.closeRound()
	s.refuse(r.to.Other(), r.tx, r.msg, &refusal{status: 487})
	s.do(cancel{r.id, ""})
}

// renewStale tells a leg of a change it has missed, when nothing is under way.
func (s *state) renewStale() {
	if s.phase != talking || s.round != nil || s.caller().accepted != nil || s.callee().accepted != nil {
		return
	}
	for _, side := range []relay.Side{relay.Caller, relay.Callee} {
		if !s.stale[side] {
			continue
		}
		s.stale[side] = false
		if s.legs[side].gone {
			continue
		}
		offer, err := sdp.Offer(s.says(side), s.legs[side].end)
		if err != nil {
			s.finish(gatewayCause(0, 88, err.Error()))
			return
		}
		s.startRound(&round{to: side, offer: offer})
		return
	}
}

// mustHear tells whether a leg would be offered another direction now than
// what it was told last.
func (s *state) mustHear(side relay.Side) bool {
	offer, err := sdp.Offer(s.says(side), s.legs[side].end)
	return err != nil || directionOf(offer) != directionOf(s.legs[side].end.Sent)
}
