package door

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rate is a bucket: Burst at once, PerSecond after that.
type Rate struct {
	Burst     int
	PerSecond float64
}

// maxBuckets bounds the memory for principals; only those with a good token
// get one.
const maxBuckets = 10_000

// Limits count requests, those of each key by themselves, so that nobody uses
// up what is another's. The zero Limits are empty.
type Limits[K comparable] struct {
	mu      sync.Mutex
	buckets map[K]*rate.Limiter // mu
}

// Take counts one request: how many are left. The error, when there is none,
// tells how long to wait.
func (l *Limits[K]) Take(key K, r Rate, now time.Time) (left int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[key]
	if b == nil {
		if len(l.buckets) >= maxBuckets || l.buckets == nil {
			l.forget(now)
		}
		b = rate.NewLimiter(rate.Limit(r.PerSecond), r.Burst)
		l.buckets[key] = b
	}
	if b.AllowN(now, 1) {
		return int(math.Floor(b.TokensAt(now))), nil
	}
	missing := 1 - b.TokensAt(now)
	wait := time.Duration(missing / float64(b.Limit()) * float64(time.Second))
	return 0, &slip{error: ErrThrottle, about: Seconds(wait), wait: max(time.Nanosecond, wait)}
}

// forget drops the buckets that are full: nobody has used them for a while. If
// all are in use, all begin anew.
func (l *Limits[K]) forget(now time.Time) {
	for key, b := range l.buckets {
		if b.TokensAt(now) >= float64(b.Burst()) {
			delete(l.buckets, key)
		}
	}
	if len(l.buckets) >= maxBuckets || l.buckets == nil {
		l.buckets = map[K]*rate.Limiter{}
	}
}
