package call

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/link/snapshot"
)

// limitedWorld is a world in which the peers of a group have limits.
func limitedWorld(t *testing.T, group int, l snapshot.Limits, f func(w *world)) {
	t.Helper()
	inWorldOf(t, func(w *world) {
		for k := range w.snap.Groups[group].Peers {
			w.snap.Groups[group].Peers[k].Limits = l
		}
	}, f)
}

// refused places a call from f that is refused by a limit.
func (f *far) refused(offer, retryAfter string) {
	f.w.t.Helper()
	in := f.invite("+442079460199", offer)
	f.expect("100")
	no := f.expect("503")
	if no.Get("Retry-After") != retryAfter || !strings.Contains(no.Get("Reason"), "cause=42") {
		f.w.t.Errorf("%s", no)
	}
	f.ackFailure(in, no)
}

func (w *world) hangUpAll() {
	w.t.Helper()
	synctest.Wait()
	for _, c := range w.set.Live() {
		_ = w.set.Hangup(c.ID)
	}
	synctest.Wait()
	for _, f := range []*far{w.core, w.core2, w.teams, w.teams2} {
		f.drop()
	}
}

func (w *world) limited(peer string) (n uint64) {
	w.t.Helper()
	for _, h := range w.peers.Health() {
		if h.Peer == peer {
			n = h.Limited
		}
	}
	return n
}

func TestAPeerCallsMoreThanItMay(t *testing.T) {
	t.Run("at once", func(t *testing.T) {
		limitedWorld(t, 0, snapshot.Limits{Calls: 1}, func(w *world) {
			core, _ := w.talk()
			records := len(w.records.order)
			w.core.refused(coreSDP, "10")
			w.core.refused(coreSDP, "10")
			if n := w.limited("core-1"); n != 2 || len(w.records.order) != records {
				t.Errorf("%d counted, %d recorded", n, len(w.records.order)-records)
			}
			// Each peer has its own limit, and room comes with the end of a call.
			w.core2.invite("+442079460123", coreSDP)
			w.core2.expect("100")
			w.teams.expect("INVITE")
			core.bye()
			w.teams.reply(w.teams.expect("BYE"), 200, "", "")
			synctest.Wait()
			w.talk()
			w.hangUpAll()
		})
	})
	t.Run("in a second", func(t *testing.T) {
		limitedWorld(t, 1, snapshot.Limits{CallsPerSecond: 2}, func(w *world) {
			for range 2 {
				w.teams.invite("+442079460123", teamsOffer)
				w.teams.expect("100")
				w.core.expect("INVITE")
			}
			w.teams.refused(teamsOffer, "1")
			time.Sleep(500 * time.Millisecond)
			w.core.drop()
			w.teams.invite("+442079460123", teamsOffer)
			w.teams.expect("100")
			w.core.expect("INVITE")
			w.hangUpAll()
		})
	})
	t.Run("but an emergency call goes on", func(t *testing.T) {
		limitedWorld(t, 1, snapshot.Limits{Calls: 1, CallsPerSecond: 1}, func(w *world) {
			w.teams.invite("+442079460123", teamsOffer)
			w.teams.expect("100")
			w.core.expect("INVITE")
			w.teams.invite("112", teamsOffer)
			w.teams.expect("100")
			w.core.expect("INVITE")
			if n := w.limited("teams-1"); n != 0 {
				t.Errorf("%d counted", n)
			}
			w.hangUpAll()
		})
	})
}

func TestATargetThatIsFullIsPassedOver(t *testing.T) {
	t.Run("for the next", func(t *testing.T) {
		limitedWorld(t, 1, snapshot.Limits{Calls: 1}, func(w *world) {
			w.talk()
			in := w.core.invite("+442079460124", coreSDP)
			w.core.expect("100")
			w.teams2.expect("INVITE")
			w.teams.quiet()
			r := w.records.last(t)
			if len(r.Attempts) != 0 { // it is written when the call ends
				t.Errorf("%+v", r.Attempts)
			}
			w.core.cancel(in)
			w.hangUpAll()
			r = w.records.last(t)
			if len(r.Attempts) != 2 || !strings.Contains(r.Attempts[0].Error, "passed over: it has 1 calls") {
				t.Errorf("%+v", r.Attempts)
			}
			if n := w.limited("teams-1"); n != 1 {
				t.Errorf("%d counted", n)
			}
			for _, h := range w.peers.Health() {
				if h.State != "up" {
					t.Errorf("%s is %s", h.Peer, h.State)
				}
			}
		})
	})
	t.Run("and the caller is told when all are", func(t *testing.T) {
		limitedWorld(t, 1, snapshot.Limits{Calls: 1}, func(w *world) {
			w.talk()
			w.core.invite("+442079460124", coreSDP)
			w.core.expect("100")
			w.teams2.expect("INVITE")
			in := w.core.invite("+442079460125", coreSDP)
			w.core.expect("100")
			no := w.core.expect("503")
			// Of ours it has no Retry-After: it may call others by us.
			if no.Has("Retry-After") || !strings.Contains(no.Get("Reason"), "cause=42") {
				t.Errorf("%s", no)
			}
			w.core.ackFailure(in, no)
			if r := w.records.last(t); !strings.Contains(r.Cause.Text, "its limit") {
				t.Errorf("%+v", r.Cause)
			}
			w.hangUpAll()
		})
	})
	t.Run("but not by an emergency call", func(t *testing.T) {
		limitedWorld(t, 0, snapshot.Limits{Calls: 1, CallsPerSecond: 1, Duration: time.Minute}, func(w *world) {
			for range 3 {
				in := w.teams.invite("112", teamsOffer)
				w.teams.expect("100")
				out := w.core.expect("INVITE")
				w.core.reply(out, 200, "c1", coreAnswer)
				w.core.expect("ACK")
				teams := w.teams.took(in, w.teams.expect("200"))
				teams.ack("")
			}
			time.Sleep(10 * time.Minute)
			if live := len(w.set.Live()); live != 3 {
				t.Errorf("%d are left", live)
			}
			w.hangUpAll()
		})
	})
}

func TestAPeerBoundsHowLongACallLasts(t *testing.T) {
	for group := range 2 {
		limitedWorld(t, group, snapshot.Limits{Duration: 5 * time.Minute}, func(w *world) {
			w.talk()
			w.wait(5 * time.Minute)
			w.ended("longest duration")
		})
	}
}
