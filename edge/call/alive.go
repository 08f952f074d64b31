package call

import (
	"fmt"
	"slices"
	"time"

	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/link/record"
)

// askHeld is how often the sides of a held call are asked whether they are
// still there: nobody has to send anything then.
const askHeld = 10 * time.Minute

// heard looks for a far side that is gone without a BYE. Silence is no proof,
// a muted phone may send nothing at all: so it is asked, by an OPTIONS inside
// the dialog (RFC 3261 11.2).
func (s *state) heard(ev heard) {
	if s.phase == talking && s.limits.Mute > 0 && ev.silent >= s.limits.Mute && !s.record.Emergency {
		s.finish(gatewayCause(0, 41, fmt.Sprintf("neither media nor RTCP came from the %s for %v", ev.leg, ev.silent.Round(time.Second))))
		return
	}
	if s.phase != talking || s.now.Sub(s.asked) < s.limits.Silence {
		return
	}
	switch {
	case ev.silent >= s.limits.Silence:
		s.ask(ev.leg)
	case s.word() == record.Held && s.now.Sub(s.asked) >= askHeld:
		s.ask(relay.Caller)
		s.ask(relay.Callee)
	}
}

// listenEvery is how often the relay is asked who sends: so that a silence is
// found out at most half too late.
func (s *state) listenEvery() time.Duration {
	every := s.limits.Silence
	if s.limits.Mute > 0 {
		every = min(every, s.limits.Mute)
	}
	return every / 2
}

// ask sends a side an OPTIONS.
func (s *state) ask(side relay.Side) {
	l := &s.legs[side]
	if l.gone || l.accepted != nil || s.isAsked(side) {
		return
	}
	s.asked = s.now
	req := l.dialog.NewRequest("OPTIONS")
	s.finishRequest(req, nil, l)
	// Teams knows an OPTIONS by its Contact, and wants to see what we allow
	// (Microsoft Teams docs, "Direct Routing - SIP protocol").
	req.Set("Contact", l.dress.Contact())
	req.Set("Allow", l.dress.Profile.Allow)
	r := s.newRequest(asking, side)
	r.dialog = l.dialog
	s.do(send{r.id, side, req})
}

func (s *state) isAsked(side relay.Side) bool {
	return slices.ContainsFunc(s.requests, func(r *request) bool { return r.kind == asking && r.leg == side })
}

// present takes the answer: anything shows that the side knows the call, but
// for the two codes by which a dialog ends (RFC 3261 12.2.1.2).
func (s *state) present(side relay.Side, status int) {
	if status == 408 || status == 481 {
		s.absent(side, fmt.Sprintf("it answered %d", status))
	}
}

// absent ends the call of a side that is gone. One that has said so, and is
// only awaited by a transfer, has nothing to answer any more.
func (s *state) absent(side relay.Side, why string) {
	if s.legs[side].gone {
		return
	}
	s.finish(gatewayCause(0, 41, "the "+side.String()+" is gone, its BYE was lost or it broke down: asked after a silence, "+why))
}
