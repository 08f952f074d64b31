package call

import (
	"slices"
	"testing"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

// slow has every record take d to become durable from now on.
func (w *world) slow(d time.Duration) {
	w.records.mu.Lock()
	defer w.records.mu.Unlock()
	w.records.delay = d
}

// busy places a call that the core refuses as soon as it comes.
func (w *world) busy(to string) {
	w.t.Helper()
	in := w.teams.invite(to, teamsOffer)
	w.teams.expect("100")
	w.refuse(w.core.expect("INVITE"))
	w.teams.ackFailure(in, w.teams.expect("486"))
}

// refuse has the core answer a call.
func (w *world) refuse(out *sip.Message) {
	resp := sip.NewResponse(out, 486, "")
	resp.TagTo("busy")
	w.core.send(resp)
	w.core.expect("ACK")
}

func TestNewCallsAreRefusedWhileThoseThatWereTakenWaitTooLong(t *testing.T) {
	const number = "+442079460123"
	inWorld(t, func(w *world) {
		w.slow(tardy + time.Millisecond)
		for range calls {
			w.busy(number) // a few slow turns prove nothing
		}
		w.busy(number) // now the load is heavy, and this one tries whether it still is

		w.slow(time.Second)
		next := w.teams.invite(number, teamsOffer)
		w.teams.expect("100") // so does this one
		no := w.teams.invite(number, teamsOffer)
		resp := w.teams.expect("503")
		if resp.Get("Retry-After") == "" {
			t.Error("the caller is not told when to come again")
		}
		w.teams.ackFailure(no, resp)
		emergency := w.teams.invite("112", teamsOffer)
		w.teams.expect("100") // it comes in

		w.slow(0)
		first, second := w.core.expect("INVITE"), w.core.expect("INVITE")
		w.refuse(first)
		w.teams.ackFailure(next, w.teams.expect("486"))
		w.refuse(second)
		w.teams.ackFailure(emergency, w.teams.expect("486"))
		w.busy(number) // it comes through at once,
		for range 3 {
			w.busy(number) // and so do all others
		}
	})
}

func TestALoadIsJudgedByTheLeastWait(t *testing.T) {
	const long, short = 2 * tardy, tardy / 2
	for name, c := range map[string]struct {
		every time.Duration // between two calls
		waits []time.Duration
		heavy bool
	}{
		"for long enough, of enough calls": {spell, slices.Repeat([]time.Duration{long}, calls), true},
		"too few":                          {spell, slices.Repeat([]time.Duration{long}, calls-1), false},
		"too soon":                         {spell / (4 * calls), slices.Repeat([]time.Duration{long}, 2*calls), false},
		"one was short":                    {spell, slices.Concat(slices.Repeat([]time.Duration{long}, calls-1), []time.Duration{short, long}), false},
		"one is short at last":             {spell, slices.Concat(slices.Repeat([]time.Duration{long}, 2*calls), []time.Duration{short}), false},
	} {
		var l load
		at, heavy := time.Now(), false
		for _, wait := range c.waits {
			heavy, _ = l.waited(at, wait)
			at = at.Add(c.every)
		}
		if heavy != c.heavy || l.full(at) && !c.heavy {
			t.Errorf("%s: heavy is %v", name, heavy)
		}
	}
}

func TestAHeavyLoadIsTriedAgainAndAgain(t *testing.T) {
	at := time.Now()
	l := load{heavy: true, last: at}
	if l.full(at) {
		t.Error("nothing is tried")
	}
	if !l.full(at.Add(time.Millisecond)) || !l.full(at.Add(probe-1)) {
		t.Error("more than one is let in")
	}
	if l.full(at.Add(probe)) {
		t.Error("a call that does not come through is waited for for ever")
	}
	l.waited(at.Add(probe+time.Millisecond), time.Hour)
	if l.full(at.Add(probe + 2*time.Millisecond)) {
		t.Error("the next one is not tried when one got through")
	}
}

// A flood that is over must not cost the next callers their calls.
func TestALoadOfThePastRefusesNobody(t *testing.T) {
	at := time.Now()
	var l load
	for range 10 {
		at = at.Add(2 * spell)
		l.waited(at, time.Second)
	}
	// A heavy load lets every other caller in.
	first, second := l.full(at), l.full(at)
	if !first && !second {
		t.Fatal("it is not heavy")
	}
	l.waited(at.Add(spell/2), time.Second) // the one that was let in
	later := at.Add(2 * time.Second)
	for i := range 5 {
		if l.full(later) {
			t.Errorf("call %d two seconds later is refused", i)
		}
	}
	l = load{heavy: true, last: at, tried: at.Add(time.Second)}
	if !l.full(at.Add(time.Second + probe/2)) {
		t.Error("while one is still waited for, all were let in")
	}
}
