package graph

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxBuckets bounds the memory for principals; only those with a good token
// get one.
const maxBuckets = 10_000

// limits are the buckets of each principal, so that nobody uses up what is
// another's.
type limits struct {
	rate Rate // RO

	mu      sync.Mutex
	buckets map[string]*rate.Limiter // mu
}

func newLimits(r Rate) *limits { return &limits{rate: r, buckets: map[string]*rate.Limiter{}} }

// take counts a request: how long to wait, 0 when it may go on.
func (l *limits) take(principal string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[principal]
	if b == nil {
		if len(l.buckets) >= maxBuckets {
			clear(l.buckets)
		}
		b = rate.NewLimiter(rate.Limit(l.rate.PerSecond), l.rate.Burst)
		l.buckets[principal] = b
	}
	if b.AllowN(now, 1) {
		return 0
	}
	missing := 1 - b.TokensAt(now)
	return max(time.Nanosecond, time.Duration(missing/float64(b.Limit())*float64(time.Second)))
}
