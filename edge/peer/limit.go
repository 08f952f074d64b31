package peer

import (
	"fmt"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/link/snapshot"
)

// Full is why a peer gets no more calls for now.
type Full struct {
	Why        string
	RetryAfter time.Duration // when there may be room again
}

func (f *Full) Error() string { return f.Why }

// Enter is Hold for a call that the peer's limits may refuse: it is counted,
// or Full tells why not.
func (s *Set) Enter(name string) (release func(), full *Full) {
	m := s.table.Load().byName[name]
	if m == nil {
		return func() {}, nil
	}
	if full := m.enter(time.Now(), m.Limits); full != nil {
		return nil, full
	}
	return func() { m.release(time.Now()) }, nil
}

// Limited counts a call that came to nothing at a peer by its limits, and says
// so in the log, once a minute.
func (s *Set) Limited(name string, full *Full) {
	m := s.table.Load().byName[name]
	if m == nil {
		return
	}
	m.limit()
	if ok, more := s.overruns.Allow(name); ok {
		s.cfg.Log.Warn("calls are refused by the limits of a peer", obs.KeyPeer, name, obs.KeyCause, full.Why, "suppressed", more)
	}
}

func (st *standing) enter(now time.Time, l snapshot.Limits) *Full {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case l.Calls > 0 && st.calls >= l.Calls:
		return &Full{fmt.Sprintf("it has %d calls, its limit", st.calls), 10 * time.Second}
	case !st.bucket.take(now, l.CallsPerSecond):
		return &Full{fmt.Sprintf("it has had more than %d calls in a second, its limit", l.CallsPerSecond), time.Second}
	}
	st.calls++
	st.breaker.take(now)
	return nil
}

func (st *standing) limit() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.limited++
}

// bucket lets rate calls in each second, and no more than that at once.
type bucket struct {
	used float64   // at the time of last
	last time.Time // when one was taken
}

// take tells whether one more may begin; rate 0: any number may.
func (b *bucket) take(now time.Time, rate int) bool {
	if rate <= 0 {
		return true
	}
	b.used = max(0, b.used-max(0, now.Sub(b.last).Seconds())*float64(rate))
	b.last = now
	if b.used+1 > float64(rate) {
		return false
	}
	b.used++
	return true
}
