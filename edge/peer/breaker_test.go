package peer

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestBreaker(t *testing.T) {
	start := time.Unix(1e9, 0)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }

	t.Run("a few failures between successes do not open it", func(t *testing.T) {
		var b breaker
		for i := range 40 {
			if i%3 == 0 {
				b.failure(at(i), 0)
			} else {
				b.success(at(i))
			}
		}
		if b.open(at(40)) {
			t.Error("open")
		}
	})
	t.Run("every other one failing does", func(t *testing.T) {
		var b breaker
		for i := range 20 {
			if i%2 == 0 {
				b.failure(at(0), 0)
			} else {
				b.success(at(0))
			}
		}
		if !b.open(at(1)) {
			t.Error("closed")
		}
	})
	t.Run("each suspension in a row is twice as long, up to the longest", func(t *testing.T) {
		var b breaker
		now := start
		for range trip {
			b.failure(now, 0)
		}
		for want := pauseMin; want < 4*pauseMax; want *= 2 {
			if got := b.until.Sub(now); got != min(want, pauseMax) {
				t.Errorf("suspended for %v, want %v", got, min(want, pauseMax))
			}
			now = b.until
			b.take(now)
			b.failure(now, 0)
		}
	})
	t.Run("answers to calls sent before prove nothing", func(t *testing.T) {
		var b breaker
		for range trip {
			b.failure(at(0), 0)
		}
		b.success(at(1))
		if !b.open(at(2)) {
			t.Error("closed")
		}
	})
	t.Run("a trial of which nothing is heard does not block for ever", func(t *testing.T) {
		var b breaker
		for range trip {
			b.failure(at(0), 0)
		}
		b.take(at(10))
		if !b.open(at(11)) || b.open(at(20)) {
			t.Errorf("%+v", b)
		}
	})
	t.Run("Retry-After has a bound", func(t *testing.T) {
		var b breaker
		b.failure(at(0), 30*24*time.Hour)
		if b.open(start.Add(pauseMax)) {
			t.Error("a peer can shut itself out for a month")
		}
	})
}

// FuzzBreaker: whatever comes, a circuit is never open for longer than the
// longest pause, and closes when all is well.
func FuzzBreaker(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		var b breaker
		now := time.Unix(1e9, 0)
		for range 500 {
			now = now.Add(time.Duration(r.IntN(20_000)) * time.Millisecond)
			switch r.IntN(4) {
			case 0:
				b.success(now)
			case 1:
				b.failure(now, 0)
			case 2:
				b.failure(now, time.Duration(r.IntN(1000))*time.Second)
			case 3:
				b.take(now)
			}
			if b.open(now.Add(pauseMax + trialMax)) {
				t.Fatalf("%+v is open too long", b)
			}
		}
		now = now.Add(pauseMax + trialMax)
		for range window {
			b.success(now)
		}
		if b.open(now) || b.tripped() {
			t.Fatalf("%+v does not recover", b)
		}
	})
}
