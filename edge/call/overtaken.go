package call

import (
	"github.com/tandemgw/tandem/wire/ua"
)

// overtook takes a BYE of a callee, or of the target of a transfer, whose 200
// we have not seen. None may hang up before it has answered (RFC 3261 15), so
// this one has: its 200 is under way, by another connection or, over UDP, simply
// behind. Refused with 481, which ends it all for the callee, the BYE would
// leave a call here with nobody in it.
func (s *state) overtook(ev requested) bool {
	a := s.attempt
	if ev.msg.Method != "BYE" || !s.seeking() || ev.leg != s.soughtSide() || a == nil || len(a.overtaken) == maxForks {
		return false
	}
	if s.transfer != nil && s.dialogOf(ev) != nil { // of the leg whose place it is to take
		return false
	}
	if a.overtaken == nil {
		a.overtaken = map[ua.ID]cause{}
	}
	c := byeCause(ev.leg, ev.msg)
	c.Status = 480 // our 2xx has not left
	c.diagnose(ev.msg, a.dress)
	a.overtaken[ua.IDOf(ev.msg)] = c
	s.do(respond{ev.tx, respondOn(&s.legs[ev.leg], ev.msg, 200)})
	return true
}
