package arm

import (
	"math"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxBuckets bounds the memory for principals; only those with a good token
// get one.
const maxBuckets = 10_000

// limits are the buckets of each principal in each subscription.
type limits struct {
	rates map[class]Rate // RO

	mu      sync.Mutex
	buckets map[bucketKey]*rate.Limiter // mu
}

// class is what a request counts as.
type class string

const (
	reads   class = "reads"
	writes  class = "writes"
	deletes class = "deletes"
)

type bucketKey struct {
	class                   class
	principal, subscription string
}

func newLimits(l Limits) *limits {
	return &limits{rates: map[class]Rate{reads: l.Reads, writes: l.Writes, deletes: l.Deletes}, buckets: map[bucketKey]*rate.Limiter{}}
}

// classOf is what a method counts as.
func classOf(method string) class {
	switch method {
	case http.MethodGet, http.MethodHead:
		return reads
	case http.MethodDelete:
		return deletes
	}
	return writes
}

// take counts one request: how many are left, or how long to wait.
func (l *limits) take(k bucketKey, now time.Time) (left int, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[k]
	if b == nil {
		if len(l.buckets) >= maxBuckets {
			l.forget(now)
		}
		b = rate.NewLimiter(rate.Limit(l.rates[k.class].PerSecond), l.rates[k.class].Burst)
		l.buckets[k] = b
	}
	if b.AllowN(now, 1) {
		return int(math.Floor(b.TokensAt(now))), 0
	}
	missing := 1 - b.TokensAt(now)
	return 0, time.Duration(missing / float64(b.Limit()) * float64(time.Second))
}

// forget drops the buckets that are full: nobody has used them for a while. If
// all are in use, all begin anew.
func (l *limits) forget(now time.Time) {
	for k, b := range l.buckets {
		if b.TokensAt(now) >= float64(b.Burst()) {
			delete(l.buckets, k)
		}
	}
	if len(l.buckets) >= maxBuckets {
		clear(l.buckets)
	}
}
