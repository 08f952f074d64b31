package bench

import (
	"math/bits"
	"slices"
	"sync/atomic"
	"time"
)

// A histogram has 32 buckets for each doubling, so a quantile is at most 3 %
// off, and holds up to 68 s.
const (
	perDoubling = 32
	lastBucket  = 31*perDoubling + 2*perDoubling - 1 // of 2^36 ns
)

// histogram counts durations. Any goroutine may add, nobody allocates.
type histogram struct {
	buckets [lastBucket + 1]atomic.Uint64
}

func (h *histogram) add(d time.Duration) { h.buckets[bucketOf(d)].Add(1) }

// quantile is the duration below which a share q of those added are; 0
// without any.
func (h *histogram) quantile(q float64) time.Duration {
	var total uint64
	for i := range h.buckets {
		total += h.buckets[i].Load()
	}
	rank := uint64(q * float64(total))
	var seen uint64
	for i := range h.buckets {
		if seen += h.buckets[i].Load(); seen > rank {
			return middleOf(i)
		}
	}
	if total == 0 {
		return 0
	}
	return h.largest()
}

// largest is the highest bucket in use, which q = 1 means.
func (h *histogram) largest() time.Duration {
	for i := lastBucket; i >= 0; i-- {
		if h.buckets[i].Load() > 0 {
			return middleOf(i)
		}
	}
	return 0
}

func bucketOf(d time.Duration) int {
	v := uint64(max(d, 0))
	shift := max(0, bits.Len64(v)-6) // what is left has six bits: 32 to 63
	return min(shift*perDoubling+int(v>>shift), lastBucket)
}

// middleOf is the middle of what a bucket holds.
func middleOf(i int) time.Duration {
	if i < 2*perDoubling {
		return time.Duration(i)
	}
	shift := i/perDoubling - 1
	low := uint64(i%perDoubling+perDoubling) << shift
	return time.Duration(low + 1<<shift/2)
}

// median is the middle one, the mean of the middle two of an even number.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}

// per divides, and is 0 where there is nothing to divide by.
func per(sum, n float64) float64 {
	if n == 0 {
		return 0
	}
	return sum / n
}
