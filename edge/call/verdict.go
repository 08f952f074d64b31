package call

import (
	"slices"
	"time"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/relay"
)

// Who calls and does not get through hears from its own telephone why, by the
// final response. A party that is transferred has an answered call: should
// nobody be left to whom it could return, a tone in its media tells it before
// its BYE does.

// toneFor is how long it hears the tone; it may hang up before.
const toneFor = 5 * time.Second

// verdict is why an answered call ends, while the party that is left hears it.
type verdict struct {
	to    relay.Side
	cause cause
}

// pronounce lets the party that is left hear why, and ends the call then. A
// party of an emergency call is free at once, to call or to be called again.
func (s *state) pronounce(v verdict, emergency bool) {
	tone, ok := toneOf(v.cause)
	if !ok || emergency {
		s.finish(v.cause)
		return
	}
	s.verdict = &v
	s.soothe(v.to)
	s.do(play{v.to, relay.Source{Sound: tone, Country: s.legs[v.to].dress.Profile.Ringback}})
	s.do(arm{toneOver, toneFor})
	if s.mustHear(v.to) {
		s.stale[v.to] = true
	}
	s.renewStale()
}

// pronounced ends the call when the tone was heard, or cannot be.
func (s *state) pronounced() {
	if s.verdict != nil {
		s.finish(s.verdict.cause)
	}
}

// toneOf is the tone that tells a cause, by ITU-T E.180 (Q.35): busy, congestion
// for what may work later, and the special information tone, or the national one
// for a number that is unobtainable, where another attempt is in vain. Who was
// answered hears none. What the status leaves open, the cause of a telephone
// network may tell (RFC 6432).
func toneOf(c cause) (relay.Sound, bool) {
	if c.Status < 300 {
		return 0, false
	}
	if c.Status == 603 { // to whoever calls, a telephone that declines is busy
		return relay.Busy, true
	}
	for _, q850 := range []int{interop.Q850(c.Status), c.Q850} {
		switch {
		case q850 == 17: // user busy
			return relay.Busy, true
		case slices.Contains(noNumber, q850):
			return relay.Unobtainable, true
		}
	}
	return relay.Congestion, true
}

// noNumber is the causes of ITU-T Q.850 by which a number leads to nobody:
// unallocated, changed, and of a format that is no number's.
var noNumber = []int{1, 22, 28}
