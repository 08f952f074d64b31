package peer

import (
	"testing"
	"time"
)

func TestABucketLetsSoManyThroughInASecond(t *testing.T) {
	var b bucket
	now := time.Unix(1e9, 0)
	take := func(want int) {
		t.Helper()
		got := 0
		for range 20 {
			if b.take(now, 5) {
				got++
			}
		}
		if got != want {
			t.Errorf("%d got through, not %d", got, want)
		}
	}
	take(5)
	now = now.Add(400 * time.Millisecond)
	take(2)
	now = now.Add(time.Hour)
	take(5)
	now = now.Add(-time.Minute) // a clock that is set back
	take(0)
	now = now.Add(time.Second)
	take(5)
	for range 100 {
		if !b.take(now, 0) {
			t.Fatal("no limit limits")
		}
	}
}

func TestEnter(t *testing.T) {
	inWorld(t, func(w *world) {
		const name = "core-1"
		p := peerAt(name, "10.1.0.1:5060")
		p.Limits.Calls = 2
		w.set.Apply(snap(p))
		first, full := w.set.Enter(name)
		if full != nil {
			t.Fatal(full)
		}
		second := w.set.Hold(name)
		if _, full := w.set.Enter(name); full == nil || full.RetryAfter <= 0 {
			t.Errorf("a third one is let in: %v", full)
		} else {
			w.set.Limited(name, full)
		}
		third := w.set.Hold(name) // an emergency
		first()
		if _, full := w.set.Enter(name); full == nil {
			t.Error("two are there still")
		}
		second()
		again, full := w.set.Enter(name)
		if full != nil {
			t.Error(full)
		}
		for _, h := range w.set.Health() {
			if want := map[string]int{name: 2}[h.Peer]; h.Calls != want || h.Peer == name && h.Limited != 1 {
				t.Errorf("%s has %d calls, %d limited", h.Peer, h.Calls, h.Limited)
			}
		}
		third()
		again()
		if release, full := w.set.Enter("nobody"); full != nil {
			t.Error(full)
		} else {
			release()
		}
	})
}
