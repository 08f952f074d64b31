package call

import (
	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/wire/sdp"
)

// Hold has many forms on the wire (RFC 3264 8.4, and the 0.0.0.0 of RFC 2543),
// and some far sides know one of them only. A leg is told of the other one's
// hold in the form its profile names; what it answers goes back in the form the
// other one asked in.

// heldFor is what a leg has said, as the other one, to, is told of it.
func heldFor(to *leg, desc *sdp.Session) *sdp.Session {
	switch directionOf(desc) {
	case sdp.SendOnly, sdp.Inactive:
	default: // it hears, so nobody is put on hold
		return desc
	}
	switch to.dress.Profile.Hold {
	case interop.HoldInactive:
		return turned(desc, sdp.Inactive)
	case interop.HoldMusic:
		return turned(desc, sdp.SendRecv)
	}
	return turned(desc, sdp.SendOnly)
}

// says is what a leg is to be told now.
func (s *state) says(to relay.Side) *sdp.Session {
	desc := s.legs[to.Other()].end.Received
	if s.listener() == to {
		return turned(desc, sdp.SendRecv)
	}
	return heldFor(&s.legs[to], desc)
}

// entertain plays music to a side that the other one holds in silence, where
// the side can hear it. Who was promised music and there is none gets comfort
// noise: there are networks that drop a call in which nothing is sent.
func (s *state) entertain() {
	for _, side := range []relay.Side{relay.Caller, relay.Callee} {
		wanted := s.mayHearMusic(side)
		switch {
		case wanted && !s.music[side]:
			s.music[side] = true
			s.do(play{side, relay.Source{Sound: relay.Music, File: s.limits.Music}})
		case !wanted:
			s.soothe(side)
		}
	}
}

func (s *state) mayHearMusic(side relay.Side) bool {
	l, other := &s.legs[side], &s.legs[side.Other()]
	return (s.limits.Music != "" || l.dress.Profile.Hold == interop.HoldMusic) &&
		s.phase == talking && s.listener() != side &&
		!other.media.Direction.Sends() && l.media.Direction.Receives()
}

// listener is the side that hears the target of a transfer, that it rings, or
// why there is none; noSide when there is no such thing to be heard.
func (s *state) listener() relay.Side {
	switch t := s.transfer; {
	case t != nil && t.heard:
		return t.stays()
	case s.verdict != nil:
		return s.verdict.to
	}
	return noSide
}

const noSide relay.Side = 0xff

// soothe ends the music of a side.
func (s *state) soothe(side relay.Side) {
	if s.music[side] {
		s.music[side] = false
		s.do(stop{side})
	}
}
