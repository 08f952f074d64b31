package call

import (
	"time"

	"github.com/tandemgw/tandem/wire/sdp"
)

// Preconditions (RFC 3312) end on the caller's leg. A caller of an IMS makes its
// bearer only when it knows what for: it is answered before anybody is asked,
// out of what the first target may be offered, and nobody's phone rings until
// it says that its resources are there. Ours always are.

// reservation is how long a caller may take to make its bearer: as long as its
// own transactions live.
const reservation = 32 * time.Second

// mustReserve tells whether the caller wants to be answered before anybody is
// alerted. An emergency call waits for nothing.
func (s *state) mustReserve() bool {
	return s.offer != nil && !s.record.Emergency && s.conditional() && s.reliable() && !s.offer.Carried().Preconditions().Met()
}

// conditional tells whether preconditions are spoken of with the caller.
func (s *state) conditional() bool {
	return s.caller().dress.Profile.Preconditions && s.offer.Carried() != nil &&
		(s.invite.HasToken("Supported", "precondition") || s.invite.HasToken("Require", "precondition"))
}

// reserve answers the caller's offer and waits for its resources; false when
// it cannot be answered yet.
func (s *state) reserve() bool {
	l := s.caller()
	assumed, err := sdp.Offer(s.offer, sdp.End{Codecs: s.targets[0].Group.Codecs, RTP: l.end.RTP, RTCP: l.end.RTCP})
	if err == nil {
		s.assumed = turned(assumed, sdp.SendRecv)
		err = s.answerTo(l, s.offer, s.assumed)
	}
	if err != nil {
		s.notef("the caller's preconditions are not waited for: %v", err)
		return false
	}
	s.reserving = true
	s.notef("the caller has resources to reserve: nobody is asked before they are there")
	s.do(arm{reservedTooLate, reservation})
	s.tell(s.early[0], telling{status: 183, media: true})
	s.told = 0 // nobody has rung yet
	return true
}

// reserved goes on with the call when the caller has said that its resources
// are there.
func (s *state) reserved() {
	if !s.reserving || s.caller().end.Received == nil || !s.caller().end.Received.Carried().Preconditions().Met() {
		return
	}
	s.reserving = false
	s.do(arm{reservedTooLate, 0})
	s.hunt()
}

// reservedTooLate ends a call whose caller has no resources for it (RFC 3312
// section 8).
func (s *state) reservedTooLate() {
	if s.reserving {
		s.finish(gatewayCause(580, 47, "the caller's resources were not reserved in "+reservation.String()))
	}
}

// confirm puts into our answer to an offer of a leg how its preconditions
// stand.
func (l *leg) confirm(offer *sdp.Session) {
	l.end.Lines = nil
	if m := offer.Carried(); m != nil && l.dress.Profile.Preconditions {
		l.end.Lines = m.Preconditions().Answer()
	}
}
