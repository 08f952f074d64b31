package call

import (
	"time"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/relay"
)

// A description in a 183 silences the telephone of many a caller, though
// nothing is sent yet that could be heard. Where the profile says so, the
// caller hears a ringing tone of ours until it is.

// lookOut is how often we look whether the callee has begun to send.
const lookOut = 200 * time.Millisecond

// ringback is the tone of ours that the caller hears.
type ringback struct {
	plays bool
	from  *uint64 // packets the callee had sent when it began; nil until we know
}

// ringFor plays it to a caller that was told of media.
func (s *state) ringFor(t telling) {
	l := s.caller()
	if l.dress.Profile.Early != interop.EarlyRingback || !t.media || l.end.Sent == nil || s.tone.plays {
		return
	}
	s.tone = ringback{plays: true}
	s.do(play{relay.Caller, relay.Source{Sound: relay.Ringback, Country: l.dress.Profile.Ringback}})
	s.do(count{relay.Callee})
}

// counted ends it when the callee has begun to send.
func (s *state) counted(ev counted) {
	if !s.tone.plays || s.phase != hunting {
		return
	}
	if s.tone.from == nil {
		s.tone.from = &ev.packets
	}
	if ev.packets > *s.tone.from {
		s.unring()
		return
	}
	s.do(arm{lookingOut, lookOut})
}

// unring ends it.
func (s *state) unring() {
	if s.tone.plays {
		s.tone = ringback{}
		s.do(stop{relay.Caller})
		s.do(arm{lookingOut, 0})
	}
}
