package zone

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// limiter bounds what one network is sent over UDP, where the sender's address
// may be forged and the answer a weapon against whoever has it. It is a fixed
// table: strangers can neither make it grow nor make it slow. Two networks may
// share a bucket by chance; both then have half, and TCP.
type limiter struct {
	rate float64 // RO; answers a second
	seed maphash.Seed

	mu      sync.Mutex
	buckets []bucket // mu
}

type bucket struct {
	left float64
	last time.Time
	slip bool
}

// verdict is what becomes of an answer.
type verdict uint8

const (
	whole verdict = iota
	short         // truncated and empty: a real client comes back by TCP
	none
)

const (
	defaultRate = 200
	buckets     = 1 << 14
)

func newLimiter(rate int) *limiter {
	if rate == 0 {
		rate = defaultRate
	}
	return &limiter{rate: float64(rate), seed: maphash.MakeSeed(), buckets: make([]bucket, buckets)}
}

// take takes one answer from the network of an address. Above the rate, every
// second one is short, the others are dropped: no more is sent than received.
func (l *limiter) take(from netip.Addr, now time.Time) verdict {
	bits := 24
	if from = from.Unmap(); from.Is6() {
		bits = 56
	}
	network, err := from.WithZone("").Prefix(bits)
	if err != nil || !network.IsValid() {
		return none
	}
	at := maphash.Comparable(l.seed, network) % buckets
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &l.buckets[at]
	if b.last.IsZero() {
		b.left = l.rate
	} else {
		b.left = min(b.left+l.rate*now.Sub(b.last).Seconds(), l.rate)
	}
	b.last = now
	if b.left >= 1 {
		b.left--
		return whole
	}
	if b.slip = !b.slip; b.slip {
		return short
	}
	return none
}
