package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestABucketHoldsItsOwnMiddle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(68*time.Second)).Draw(t, "d"))
		i := bucketOf(d)
		m := middleOf(i)
		if bucketOf(m) != i {
			t.Fatalf("%d is in bucket %d, whose middle %d is in %d", d, i, m, bucketOf(m))
		}
		if off := math.Abs(float64(m-d)) / math.Max(float64(d), 1); off > 1.0/32 {
			t.Fatalf("%v is told as %v, %.1f %% off", d, m, 100*off)
		}
	})
}

func TestBucketsGoUp(t *testing.T) {
	last := -1
	for d := time.Duration(0); d < time.Minute; d += 1 + d/100 {
		i := bucketOf(d)
		if i < last {
			t.Fatalf("%v is in bucket %d, below %d", d, i, last)
		}
		last = i
	}
	if i := bucketOf(math.MaxInt64); i != lastBucket {
		t.Errorf("the longest duration is in bucket %d of %d", i, lastBucket)
	}
	if i := bucketOf(-1); i != 0 {
		t.Errorf("a negative duration is in bucket %d", i)
	}
}

func TestQuantilesAreThoseOfTheSortedValues(t *testing.T) {
	var h histogram
	var all []time.Duration
	for range 10_000 {
		d := time.Duration(math.Exp(rand.NormFloat64()*1.5) * float64(time.Millisecond))
		h.add(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[min(int(q*float64(len(all))), len(all)-1)]
		got := h.quantile(q)
		if off := math.Abs(float64(got-want)) / float64(want); off > 0.04 {
			t.Errorf("quantile %v is told as %v, it is %v", q, got, want)
		}
	}
}

func TestNothingHasNoQuantile(t *testing.T) {
	var h histogram
	if q := h.quantile(0.5); q != 0 {
		t.Errorf("%v", q)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0},
		{[]float64{7}, 7},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v is %v, not %v", c.values, got, c.want)
		}
	}
}

func TestNothingIsDividedByNothing(t *testing.T) {
	if got := per(3, 0); got != 0 {
		t.Errorf("%v", got)
	}
	if got := per(3, 2); got != 1.5 {
		t.Errorf("%v", got)
	}
}
