package peer

import (
	"math/bits"
	"time"
)

// OPTIONS neither open nor close a circuit: a proxy may answer them and lose
// every call behind it, and their answers between the failures of a few calls
// an hour would hide those for ever.
//
// A circuit opens after trip failures in a row, or when half of the last
// window outcomes failed: the first finds a dead peer within a few calls, the
// second one of which only a part is dead. It stays open for pauseMin, twice
// as long each time in a row, pauseMax at most.
const (
	trip     = 3
	window   = 20
	pauseMin = 10 * time.Second
	pauseMax = 5 * time.Minute
	// trialMax is how long a trial call keeps others away when nothing more is
	// heard of it.
	trialMax = 10 * time.Second
)

// breaker is a peer's circuit. Plain data: the times come in.
type breaker struct {
	history uint32        // newest outcome in bit 0; 1 = failed
	until   time.Time     // open until then; zero = closed
	pause   time.Duration // how long it was opened last
	trial   time.Time     // a call tries it, others wait until then
}

// open tells whether calls should go elsewhere.
func (b *breaker) open(now time.Time) bool {
	return now.Before(b.until) || now.Before(b.trial)
}

// half tells whether the pause is over and the peer has to prove itself.
func (b *breaker) half(now time.Time) bool {
	return !b.until.IsZero() && !now.Before(b.until)
}

// take notes that a call goes to the peer: on a half-open circuit it is the
// trial, and others wait for its outcome.
func (b *breaker) take(now time.Time) {
	if b.half(now) && !now.Before(b.trial) {
		b.trial = now.Add(trialMax)
	}
}

// success closes the circuit once the pause is over. Before that it is the
// answer to a call sent earlier, and proves nothing.
func (b *breaker) success(now time.Time) {
	if now.Before(b.until) {
		return
	}
	if b.half(now) {
		*b = breaker{}
	}
	b.history <<= 1
}

// failure counts against the peer; retryAfter is the pause it asked for, zero
// when it did not.
func (b *breaker) failure(now time.Time, retryAfter time.Duration) {
	again, opened := b.half(now), now.Before(b.until)
	b.history = b.history<<1 | 1
	b.trial = time.Time{}
	if retryAfter > 0 { // RFC 3261 21.5.4: nothing may go there until then
		b.until = later(b.until, now.Add(min(retryAfter, pauseMax)))
	}
	if opened { // sent before it opened
		return
	}
	// Microsoft's proxies say Retry-After: 1 for as long as they are ill.
	if again || b.tripped() {
		b.pause = min(max(2*b.pause, pauseMin), pauseMax)
		b.until = later(b.until, now.Add(b.pause))
	}
}

// revive makes the next call the trial: the peer was away, and is back.
func (b *breaker) revive(now time.Time) {
	if b.open(now) {
		b.until, b.pause = now, 0
	}
}

func (b *breaker) tripped() bool {
	return bits.TrailingZeros32(^b.history) >= trip ||
		bits.OnesCount32(b.history&(1<<window-1)) >= window/2
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
