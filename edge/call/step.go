package call

import (
	"slices"
	"time"

	"github.com/tandemgw/tandem/edge/relay"
)

// step is all call logic: what has happened, at what time, to what is to be
// done. Events that come too early, too late or for nobody change nothing.
func (s *state) step(at time.Time, ev event) []effect {
	s.now, s.out = at, nil
	switch ev := ev.(type) {
	case invited:
		s.arrive(ev)
	case opened:
		s.opened(ev)
	case faxOpened:
		s.faxOpened(ev)
	case begun:
		s.begun(ev)
	case examined:
		s.examined(ev)
	case resolved:
		s.resolved(ev)
	case responded:
		s.responded(ev)
	case challenged:
		s.challenged(ev)
	case failed:
		s.requestFailed(ev)
	case requested:
		s.requested(ev)
	case replacing:
		s.replacing(ev)
	case acked:
		s.acked(ev)
	case cancelled:
		s.cancelled(ev)
	case unreachable:
		s.unreachable(ev)
	case heard:
		s.heard(ev)
	case digit:
		s.digit(ev)
	case counted:
		s.counted(ev)
	case muted:
		s.muted(ev)
	case keyed:
		s.keyed(ev)
	case unkeyed:
		s.unkeyed(ev)
	case unplayed:
		s.notef("nothing is played to the %s: %v", ev.leg, ev.err)
		s.pronounced()
	case unplugged:
		s.finish(gatewayCause(500, 47, "the media relay refused: "+ev.err.Error()))
	case expired:
		s.expired(ev.timer)
	case hangup:
		s.finish(ev.cause)
	}
	s.settle()
	return s.out
}

// responded gives a response to what sent the request.
func (s *state) responded(ev responded) {
	r := s.find(ev.id)
	if r == nil {
		return
	}
	final := ev.msg.Status >= 200
	switch r.kind {
	case inviting:
		s.inviteResponse(r, ev.msg)
	case reinviting:
		s.reinviteResponse(r, ev.msg)
	case asking:
		if final {
			s.forget(r)
			if r.dialog == s.legs[r.leg].dialog {
				s.present(r.leg, ev.msg.Status)
			}
		}
	case notifying:
		if final {
			s.forget(r)
			s.notified(r, ev.msg.Status)
		}
	case updating:
		if final {
			s.forget(r)
			if r.dialog == s.legs[r.leg].dialog {
				s.updated(r.leg, ev.msg)
			}
		}
	case informing:
		if final {
			s.forget(r)
			s.informed(r.leg, ev.msg)
		}
	case releasing, acknowledging:
		if final {
			s.forget(r)
		}
	}
}

// requestFailed tells what sent a request that there is no answer.
func (s *state) requestFailed(ev failed) {
	r := s.find(ev.id)
	if r == nil {
		return
	}
	s.forget(r)
	switch r.kind {
	case inviting:
		s.attemptFailed(r, ev.err)
	case reinviting:
		s.roundFailed(r, ev.err)
	case asking:
		if r.dialog == s.legs[r.leg].dialog {
			s.absent(r.leg, ev.err.Error())
		}
	case updating:
		if r.dialog == s.legs[r.leg].dialog {
			s.absent(r.leg, ev.err.Error())
		}
	case releasing, notifying, acknowledging, informing: // the far side will notice by itself
	}
}

func (s *state) find(id int) *request {
	i := slices.IndexFunc(s.requests, func(r *request) bool { return r.id == id })
	if i < 0 {
		return nil
	}
	return s.requests[i]
}

func (s *state) forget(r *request) {
	s.requests = slices.DeleteFunc(s.requests, func(x *request) bool { return x == r })
}

func (s *state) expired(t timer) {
	switch t {
	case silence:
		s.silent()
	case patience:
		s.reassure()
	case ringingTooLong:
		s.rangTooLong()
	case repeatCaller:
		s.repeat(relay.Caller)
	case repeatCallee:
		s.repeat(relay.Callee)
	case roundTooLong:
		s.roundTooLong()
	case again:
		s.renewStale()
	case listening:
		if s.phase == talking {
			s.do(listen{})
			s.do(arm{listening, s.listenEvery()})
		}
	case scoring:
		s.do(scored{s.record})
		s.do(arm{scoring, scoreEvery})
	case talkedEnough:
		s.finish(gatewayCause(0, 31, "it reached the longest duration a call may have"))
	case refreshCaller:
		s.refresh(relay.Caller)
	case refreshCallee:
		s.refresh(relay.Callee)
	case lapseCaller:
		s.lapse(relay.Caller)
	case lapseCallee:
		s.lapse(relay.Callee)
	case ringingSoon:
		s.ring()
	case partedCaller:
		s.releaseAside(relay.Caller)
	case partedCallee:
		s.releaseAside(relay.Callee)
	case repeatRinging:
		s.repeatRinging()
	case reservedTooLate:
		s.reservedTooLate()
	case lookingOut:
		if s.tone.plays {
			s.do(count{relay.Callee})
		}
	case toneOver:
		s.pronounced()
	case giveUp:
		if s.phase == ending {
			s.phase = over
		}
	}
}

// settle ends an ended call when nothing is under way any more.
func (s *state) settle() {
	if s.phase != ending || s.inviteTx != 0 {
		return
	}
	if slices.ContainsFunc(s.requests, func(r *request) bool { return !r.accepted }) {
		return
	}
	if s.caller().accepted == nil && s.callee().accepted == nil {
		s.phase = over
	}
}
