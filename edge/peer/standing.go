package peer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/wire/sip"
)

// States of a peer, in the words of record.PeerHealth.
const (
	unknown   = "unknown"
	up        = "up"
	down      = "down"
	suspended = "suspended"
)

// standing is what is known of one far side; it outlives snapshots.
type standing struct {
	remote *sip.Remote // RO

	mu       sync.Mutex
	stop     context.CancelFunc // mu; ends its watch, nil while there is none
	breaker  breaker            // mu
	state    string             // mu; unknown, up or down
	since    time.Time          // mu; of state
	why      string             // mu; last failure in one sentence
	rtt      time.Duration      // mu
	misses   int                // mu; OPTIONS unanswered in a row
	sent     uint64             // mu; OPTIONS
	answered uint64             // mu
	received uint64             // mu
	lastSeen time.Time          // mu; last OPTIONS from it
	calls    int                // mu; live calls through it
	quiet    time.Time          // mu; when the last of them ended
	bucket   bucket             // mu; of calls per second
	limited  uint64             // mu; calls that its limits refused or passed over
	policy   *sip.TLSPolicy     // mu; what remote is held to, nil before the first snapshot
}

func newStanding(m *member) *standing {
	return &standing{
		remote: &sip.Remote{Name: m.Name},
		state:  unknown,
		since:  time.Now(),
	}
}

// end stops the watch of a peer that is gone.
func (st *standing) end() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.stop != nil {
		st.stop()
	}
}

func (st *standing) suspended(now time.Time) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.state == down || st.breaker.open(now)
}

// Down tells whether a peer leaves OPTIONS unanswered.
func (s *Set) Down(name string) bool {
	m := s.table.Load().byName[name]
	return m != nil && m.isDown()
}

func (st *standing) isDown() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.state == down
}

func (st *standing) hold(now time.Time) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.calls++
	st.breaker.take(now)
}

func (st *standing) release(now time.Time) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.calls--
	st.quiet = now
}

// aftermath is how long after a call its last messages may come: 64*T1
// (RFC 3261 17.1).
const aftermath = 32 * time.Second

// engaged tells whether calls go through the peer, or did a moment ago.
func (st *standing) engaged(now time.Time) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.calls > 0 || now.Sub(st.quiet) < aftermath
}

// Outcome is how a request of a call to a peer ended.
type Outcome struct {
	Status     int           // final status, 0 when none came
	Err        error         // transport failure or time-out
	RetryAfter time.Duration // as the peer asked with its 503
}

// failed tells whether the outcome speaks against the peer. 408 does not: it
// is also what a peer says when its user did not answer in time.
func (o Outcome) failed() bool {
	return o.Err != nil && !errors.Is(o.Err, sip.ErrClosed) || o.Status == 503 || o.Status == 504
}

func (st *standing) report(now time.Time, o Outcome) {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case o.failed():
		st.breaker.failure(now, o.RetryAfter)
		st.why = "a call failed there: " + explainOutcome(o)
	case o.Status >= 200 && o.Status != 408:
		st.breaker.success(now)
	}
}

// alive notes an answered OPTIONS; it tells whether the peer came up. warning
// is what was wrong with the answer all the same, "" when nothing.
func (st *standing) alive(now time.Time, rtt time.Duration, warning string) (changed bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.answered++
	st.misses = 0
	st.rtt = rtt
	changed = st.state != up
	if changed {
		st.state, st.since = up, now
		st.breaker.revive(now)
	}
	if warning != "" || !st.breaker.open(now) {
		st.why = warning
	}
	return changed
}

// missed notes an OPTIONS without a good answer; it tells whether the peer
// went down.
func (st *standing) missed(now time.Time, why string) (changed bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.misses++
	st.why = why
	changed = st.state != down
	if changed {
		st.state, st.since = down, now
	}
	return changed
}

func (st *standing) asked() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.sent++
}

// seen notes an OPTIONS from the peer.
func (st *standing) seen(now time.Time) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.received++
	st.lastSeen = now
}

// health is everything but what the snapshot says.
func (st *standing) health(now time.Time) record.PeerHealth {
	st.mu.Lock()
	defer st.mu.Unlock()
	h := record.PeerHealth{
		State: st.state, Since: st.since, Why: st.why,
		Sent: st.sent, Answered: st.answered, Received: st.received,
		Calls: st.calls, Limited: st.limited,
	}
	if st.state != down && st.breaker.open(now) {
		h.State = suspended
	}
	if st.answered > 0 {
		h.RTT = st.rtt.Round(10 * time.Microsecond).String()
	}
	if !st.lastSeen.IsZero() {
		h.LastSeen = &st.lastSeen
	}
	return h
}
