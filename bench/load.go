package bench

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Patience of a caller for the answer, and how long a short call stands.
const (
	patience  = 4 * time.Second
	shortCall = 100 * time.Millisecond
)

// maxLive bounds the calls of a load that are neither completed nor failed;
// what would be more is not offered.
const maxLive = 20_000

// try places one call and waits for its end.
func (c *calls) try(ctx context.Context, from int) *tally {
	t := newTally()
	c.place(t, from, shortCall, time.Second)
	c.drain(ctx, t, 3*time.Second)
	return t
}

// load is calls at a constant rate, whatever becomes of them: people do not
// wait for each other.
type load struct {
	from int // side that calls; both in turn when -1
	rate float64
	span time.Duration
}

// offer places the calls of a load; they may still be under way when it
// returns.
func (c *calls) offer(ctx context.Context, l load, t *tally) {
	began := time.Now()
	for n := 0; ; n++ {
		due := time.Duration(float64(n) / l.rate * float64(time.Second))
		if due >= l.span {
			return
		}
		if wait := due - time.Since(began); wait > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
		}
		if ctx.Err() != nil || time.Since(began) > l.span+time.Second {
			return
		}
		if t.live.Load() < maxLive {
			c.place(t, l.side(n), shortCall, patience)
		}
	}
}

func (l load) side(n int) int {
	if l.from < 0 {
		return n % 2
	}
	return l.from
}

// stand sets up n calls that stand until the function it returns is called.
func (c *calls) stand(ctx context.Context, n int, rate float64, t *tally) (release func()) {
	standing := make([]*caller, 0, n)
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	for i := 0; i < n && ctx.Err() == nil; i++ {
		standing = append(standing, c.place(t, i%2, 0, patience))
		<-tick.C
	}
	return func() {
		tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
		defer tick.Stop()
		for _, l := range standing {
			l.hangUp()
			<-tick.C
		}
		c.drain(ctx, t, leaving+time.Second)
	}
}

// drain waits until no call of a tally is under way.
func (c *calls) drain(ctx context.Context, t *tally, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for t.live.Load() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// causes lists why calls failed, the most frequent first.
func (t *tally) causes() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := slices.SortedFunc(maps.Keys(t.failures), func(a, b string) int {
		return cmp.Or(t.failures[b]-t.failures[a], strings.Compare(a, b))
	})
	var all []string
	for _, k := range keys {
		all = append(all, fmt.Sprintf("%d× %s", t.failures[k], k))
	}
	return strings.Join(all, ", ")
}
