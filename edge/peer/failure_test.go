package peer

import (
	"errors"
	"testing"
	"time"
)

// A proxy whose back end is dead: it answers OPTIONS, and no call comes
// through.
func TestAPeerThatAnswersOptionsAndLosesCallsIsSuspended(t *testing.T) {
	inWorld(t, func(w *world) {
		w.far("10.1.0.1:5060")
		w.far("10.2.0.1:5060")
		w.set.Apply(snap(peerAt("core-1", "10.1.0.1:5060")))
		w.set.Start(w.stack)
		after(0)
		// Calls so rare that OPTIONS are answered between any two of them.
		lost := 0
		for range 60 {
			after(2*time.Minute + time.Second)
			if w.set.Suspended("core-1") {
				continue
			}
			release := w.set.Hold("core-1")
			w.set.Report("core-1", Outcome{Err: errors.New("no response at all")})
			release()
			lost++
		}
		// Three open the circuit; then one call tries it after each pause, the
		// longest of which are five minutes: two hours have some thirty.
		if lost < trip || lost > 33 {
			t.Errorf("%d of 60 calls were lost", lost)
		}
		if h := w.health("core-1"); h.Answered < 100 {
			t.Errorf("%d OPTIONS were answered", h.Answered)
		}
	})
}

func TestAPeerThatWasAwayForLongIsTriedAsSoonAsItIsBack(t *testing.T) {
	inWorld(t, func(w *world) {
		f := w.far("10.1.0.1:5060")
		w.far("10.2.0.1:5060")
		w.set.Apply(snap(peerAt("core-1", "10.1.0.1:5060")))
		w.set.Start(w.stack)
		after(0)
		f.set(0)
		for range 60 {
			after(30 * time.Second)
			w.set.Hold("core-1")()
			w.set.Report("core-1", Outcome{Err: errors.New("no response at all")})
		}
		f.set(200)
		for w.health("core-1").State == down {
			after(time.Second)
		}
		if w.set.Suspended("core-1") {
			t.Fatal("it answers again, and no call may try it")
		}
		defer w.set.Hold("core-1")()
		if !w.set.Suspended("core-1") {
			t.Error("all calls go along with the trial")
		}
		w.set.Report("core-1", Outcome{Status: 200})
		if w.set.Suspended("core-1") {
			t.Error("a good trial does not close the circuit")
		}
	})
}

func TestAPeerThatAlwaysAsksForASecondIsGivenMore(t *testing.T) {
	inWorld(t, func(w *world) {
		w.far("10.1.0.1:5060")
		w.far("10.2.0.1:5060")
		w.set.Apply(snap(peerAt("core-1", "10.1.0.1:5060")))
		w.set.Start(w.stack)
		after(0)
		lost := 0
		for range 100 {
			after(1300 * time.Millisecond)
			if w.set.Suspended("core-1") {
				continue
			}
			w.set.Hold("core-1")()
			w.set.Report("core-1", Outcome{Status: 503, RetryAfter: time.Second})
			lost++
		}
		// In 130 s: two, and then one after each pause of 10, 20, 40 s.
		if lost > 5 {
			t.Errorf("%d of 100 calls went there in vain", lost)
		}
	})
}
