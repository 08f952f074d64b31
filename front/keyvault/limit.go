package keyvault

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxBuckets bounds the memory for principals; only those with a good token
// get one.
const maxBuckets = 10_000

// bucketKey is whose requests count together: one principal in one place, so
// that nobody uses up what is another's.
type bucketKey struct{ principal, place string }

type limits struct {
	rate Rate // RO

	mu      sync.Mutex
	buckets map[bucketKey]*rate.Limiter // mu
}

func newLimits(r Rate) *limits { return &limits{rate: r, buckets: map[bucketKey]*rate.Limiter{}} }

// take counts one request: how long to wait, 0 when it may go on.
func (l *limits) take(k bucketKey, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[k]
	if b == nil {
		if len(l.buckets) >= maxBuckets {
			clear(l.buckets)
		}
		b = rate.NewLimiter(rate.Limit(l.rate.PerSecond), l.rate.Burst)
		l.buckets[k] = b
	}
	if b.AllowN(now, 1) {
		return 0
	}
	missing := 1 - b.TokensAt(now)
	return max(time.Nanosecond, time.Duration(missing/float64(b.Limit())*float64(time.Second)))
}
