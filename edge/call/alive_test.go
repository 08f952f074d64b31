package call

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/link/record"
)

func TestACallerWhoHearsNothingIsReassured(t *testing.T) {
	inWorldOf(t, func(w *world) { w.cfg.Limits.Progress, w.cfg.Limits.Alerting = 8*time.Second, time.Hour }, func(w *world) {
		w.teams.invite("+442079460123", teamsOffer)
		w.teams.expect("100")
		out := w.core.expect("INVITE")
		w.core.reply(out, 100, "", "")
		began := time.Now()
		if m := w.teams.expect("183"); len(m.Body) != 0 {
			t.Errorf("%s", m)
		}
		if d := time.Since(began); d != 8*time.Second {
			t.Errorf("after %v", d)
		}
		w.teams.expect("183")
		if d := time.Since(began); d != 68*time.Second {
			t.Errorf("again after %v", d)
		}
		w.core.reply(out, 180, "c1", "")
		w.teams.expect("180")
		w.teams.expect("180")
		if d := time.Since(began); d != 128*time.Second {
			t.Errorf("ringing again after %v", d)
		}
		hangUp(w)
	})
}

func TestASideThatIsGone(t *testing.T) {
	quiet := func(w *world) { w.cfg.Limits.Silence = time.Minute }
	t.Run("answers 481: the call ends", func(t *testing.T) {
		inWorldOf(t, quiet, func(w *world) {
			w.talk()
			w.core.reply(w.core.expect("OPTIONS"), 481, "", "")
			w.core.reply(w.core.expect("BYE"), 481, "", "")
			w.teams.reply(w.teams.expect("BYE"), 200, "", "")
			r := w.records.last(t)
			if r.Cause.By != "gateway" || !strings.Contains(r.Cause.Text, "caller is gone") || r.Cause.Status != 0 {
				t.Errorf("%+v", r.Cause)
			}
		})
	})
	t.Run("answers nothing: the call ends", func(t *testing.T) {
		inWorldOf(t, quiet, func(w *world) {
			w.talk()
			began := time.Now()
			w.core.expect("OPTIONS")
			w.teams.reply(w.teams.expect("BYE"), 200, "", "")
			if d := time.Since(began); d > 2*time.Minute {
				t.Errorf("after %v", d)
			}
		})
	})
	t.Run("is only mute: the call goes on", func(t *testing.T) {
		inWorldOf(t, quiet, func(w *world) {
			core, _ := w.talk()
			began := time.Now()
			for range 10 {
				w.core.reply(w.core.expect("OPTIONS"), 405, "", "")
			}
			if d := time.Since(began); d < 9*time.Minute || d > 11*time.Minute {
				t.Errorf("asked ten times in %v", d)
			}
			if got := w.state(); got != record.Talking {
				t.Errorf("state %s", got)
			}
			core.bye()
			w.teams.reply(w.teams.expect("BYE"), 200, "", "")
		})
	})
	t.Run("on hold both are asked, but seldom", func(t *testing.T) {
		inWorldOf(t, quiet, func(w *world) {
			core, _ := w.talk()
			core.request("INVITE", turn(coreSDP, "inactive", 2))
			w.core.expect("100")
			w.teams.reply(w.teams.expect("INVITE"), 200, "t1", turn(teamsSDP, "inactive", 1))
			w.teams.expect("ACK")
			w.core.expect("200")
			core.ack("")
			synctest.Wait()
			time.Sleep(9 * time.Minute)
			w.core.quiet()
			w.core.reply(w.core.expect("OPTIONS"), 200, "", "")
			ask := w.teams.expect("OPTIONS")
			if got := ask.Get("Contact"); !strings.Contains(got, "r1.gw.example") || !ask.Has("Allow") {
				t.Errorf("Teams is asked with the Contact %q and allowed %q", got, ask.Get("Allow"))
			}
			w.teams.reply(ask, 200, "", "")
			w.over()
		})
	})
}
