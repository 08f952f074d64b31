package ua

import "time"

// Exchange guards a dialog's INVITE transactions that carry offers: one at a
// time, whoever made it (RFC 3261 section 14, RFC 3264 section 4). The zero
// value is a dialog at rest.
type Exchange struct {
	open party
}

type party uint8

const (
	nobody party = iota
	us
	them
)

// Offer opens an exchange of ours; false when one is open.
func (e *Exchange) Offer() bool {
	if e.open != nobody {
		return false
	}
	e.open = us
	return true
}

// Receive opens an exchange of the other side's. The status is 0, or what must
// be answered: 491 when ours is open, 500 (with a Retry-After of up to 10 s)
// when theirs is (RFC 3261 14.2).
func (e *Exchange) Receive() int {
	switch e.open {
	case us:
		return 491
	case them:
		return 500
	}
	e.open = them
	return 0
}

// Close ends the exchange, whatever came of it.
func (e *Exchange) Close() { e.open = nobody }

// Open reports whether an exchange is under way.
func (e *Exchange) Open() bool { return e.open != nobody }

// Glare is how long to wait after a 491 before the re-INVITE is tried again
// (RFC 3261 14.1): 2.1 to 4 s for the owner of the Call-ID, 0 to 2 s for the
// other, in steps of 10 ms. random gives a number in [0, n).
func (d *Dialog) Glare(random func(n int) int) time.Duration {
	const step = 10 * time.Millisecond
	if d.Client {
		return 2100*time.Millisecond + step*time.Duration(random(191))
	}
	return step * time.Duration(random(201))
}
