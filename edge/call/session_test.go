package call

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

// inLongWorld runs f in a world where hours may go by without an OPTIONS.
func inLongWorld(t *testing.T, f func(w *world)) {
	t.Helper()
	inWorldOf(t, func(w *world) {
		for i := range w.snap.Groups {
			for k := range w.snap.Groups[i].Peers {
				w.snap.Groups[i].Peers[k].Options = 1000 * time.Hour
			}
		}
	}, f)
}

// timed makes an answered call: asks is in the core's INVITE, grants in the
// cloud's 200. What we told each is returned with the dialogs.
func (w *world) timed(asks, grants []string) (core, teams *dialog, ok, out *sip.Message) {
	w.t.Helper()
	in := w.core.invite("+442079460123", coreSDP, asks...)
	w.core.expect("100")
	out = w.teams.expect("INVITE")
	w.teams.reply(out, 200, "t1", teamsSDP, grants...)
	w.teams.expect("ACK")
	ok = w.core.expect("200")
	core, teams = w.core.took(in, ok), w.teams.gave(out, "t1")
	core.ack("")
	synctest.Wait()
	return core, teams, ok, out
}

// ended checks that our two BYEs come, and why.
func (w *world) ended(why string) {
	w.t.Helper()
	for _, f := range []*far{w.core, w.teams} {
		bye := f.expect("BYE")
		if !strings.Contains(bye.Get("Reason"), "Q.850") {
			w.t.Errorf("Reason %q", bye.Get("Reason"))
		}
		f.reply(bye, 200, "", "")
	}
	synctest.Wait()
	if r := w.records.last(w.t); r.Cause.By != byGateway || !strings.Contains(r.Cause.Text, why) {
		w.t.Errorf("the record says %+v, not %q", r.Cause, why)
	}
}

// wait lets time pass without a word, and then a moment for what is due.
func (w *world) wait(d time.Duration) {
	w.t.Helper()
	time.Sleep(d - time.Millisecond)
	w.core.quiet()
	w.teams.quiet()
	time.Sleep(2 * time.Millisecond)
}

// refreshed answers our refresh, the next message a far side gets.
func (f *far) refreshed(tag, body string, headers ...string) *sip.Message {
	f.w.t.Helper()
	re := f.expect("INVITE")
	f.reply(re, 200, tag, body, headers...)
	f.expect("ACK")
	return re
}

var (
	timerUAC = []string{"Supported: timer", "Session-Expires: 1800;refresher=uac"}
	timerUAS = []string{"Supported: timer", "Session-Expires: 1800;refresher=uas"}
	patient  = []string{"Supported: timer", "Session-Expires: 86400"} // a caller that leaves us in peace for a day
)

func TestASessionTimerIsAgreedUpon(t *testing.T) {
	for _, tc := range []struct {
		name string
		asks []string
		want string // Session-Expires and Require of our 200
	}{
		{"who asks refreshes", []string{"Supported: timer", "Session-Expires: 3600", "Min-SE: 300"}, "3600;refresher=uac timer"},
		{"who asks and wants to refresh", []string{"Supported: timer", "Session-Expires: 600;refresher=uac"}, "600;refresher=uac timer"},
		{"who wants us to refresh", []string{"Supported: timer", "Session-Expires: 600;refresher=uas"}, "600;refresher=uas "},
		{"who can and does not ask", []string{"Supported: timer"}, "1800;refresher=uac timer"},
		{"who allows long ones alone", []string{"Supported: timer", "Min-SE: 7200"}, "7200;refresher=uac timer"},
		{"who insists", []string{"Require: timer", "Supported: timer", "Session-Expires: 90"}, "90;refresher=uac timer"},
		{"who does not know, but its proxy does", []string{"Session-Expires: 1200"}, "1200;refresher=uas "},
		{"a proxy in a hurry", []string{"Session-Expires: 30"}, "90;refresher=uas "},
		{"who does not know", nil, " "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inLongWorld(t, func(w *world) {
				_, _, ok, out := w.timed(tc.asks, timerUAC)
				if got := ok.Get("Session-Expires") + " " + ok.Get("Require"); got != tc.want {
					t.Errorf("the caller is answered %q, not %q", got, tc.want)
				}
				if out.Get("Session-Expires") != "1800" || !out.HasToken("Supported", "timer") || out.Has("Min-SE") || out.Has("Require") {
					t.Errorf("the callee is asked\n%s", out)
				}
				w.over()
			})
		})
	}
}

func TestASessionThatIsTooShortOrUnreadable(t *testing.T) {
	inLongWorld(t, func(w *world) {
		in := w.core.invite("+442079460123", coreSDP, "Supported: timer", "Session-Expires: 60")
		w.core.expect("100")
		no := w.core.expect("422")
		if no.Get("Min-SE") != "90" {
			t.Errorf("%s", no)
		}
		w.core.ackFailure(in, no)
		in = w.core.invite("+442079460123", coreSDP, "Supported: timer", "Session-Expires: soon")
		w.core.expect("100")
		w.core.ackFailure(in, w.core.expect("400"))
		w.teams.quiet()

		core, _, _, _ := w.timed(timerUAC, nil)
		re := core.NewRequest("INVITE")
		re.Add("Via", "SIP/2.0/UDP "+coreAt+";branch="+sip.NewBranch())
		re.Set("Supported", "timer")
		re.Set("Session-Expires", "89")
		re.SetBody("application/sdp", []byte(coreSDP))
		w.core.send(re)
		no = w.core.expect("422")
		w.core.ackFailure(re, no)
		w.over()
	})
}

func TestWeRefreshASession(t *testing.T) {
	t.Run("of the cloud", func(t *testing.T) {
		inLongWorld(t, func(w *world) {
			_, _, _, out := w.timed(patient, timerUAC)
			for range 2 {
				w.wait(15 * time.Minute)
				re := w.teams.refreshed("t1", teamsSDP, timerUAC...)
				if re.Get("Session-Expires") != "1800;refresher=uac" || string(re.Body) != string(out.Body) {
					t.Errorf("the refresh changes the session:\n%s\n%s", out.Body, re)
				}
			}
			w.golden("session_refresh")
			w.over()
		})
	})
	t.Run("of the caller", func(t *testing.T) {
		inLongWorld(t, func(w *world) {
			_, _, ok, _ := w.timed([]string{"Supported: timer", "Session-Expires: 600;refresher=uas"}, nil)
			w.wait(5 * time.Minute)
			re := w.core.refreshed("", coreSDP, "Session-Expires: 600;refresher=uac")
			if re.Get("Session-Expires") != "600;refresher=uac" || string(re.Body) != string(ok.Body) {
				t.Errorf("\n%s\n%s", ok.Body, re)
			}
			w.wait(5 * time.Minute)
			// Who takes it over is left to it.
			w.core.refreshed("", coreSDP, "Session-Expires: 600;refresher=uas")
			w.wait(10*time.Minute - 32*time.Second)
			w.ended("caller was not refreshed in 10m0s")
		})
	})
	t.Run("of a core that knows no timers, which never ends by one", func(t *testing.T) {
		inLongWorld(t, func(w *world) {
			w.timed(nil, nil)
			for _, status := range []int{200, 500, 488, 200} {
				w.wait(15 * time.Minute)
				re := w.core.expect("INVITE")
				w.core.reply(re, status, "", coreSDP)
				w.core.expect("ACK")
			}
			w.over()
		})
	})
	t.Run("not of a cloud that wants none", func(t *testing.T) {
		inLongWorld(t, func(w *world) {
			w.timed(patient, nil)
			w.wait(20 * time.Hour)
			w.over()
		})
	})
	t.Run("and not more often than the RFC has it", func(t *testing.T) {
		inLongWorld(t, func(w *world) {
			w.timed(patient, []string{"Session-Expires: 1;refresher=uac"})
			w.wait(45 * time.Second)
			w.teams.refreshed("t1", teamsSDP)
			w.over()
		})
	})
}

func TestAFarSideRefreshesItsSession(t *testing.T) {
	for _, who := range []string{"caller", "callee"} {
		t.Run("the "+who, func(t *testing.T) {
			inLongWorld(t, func(w *world) {
				asks, grants := patient, timerUAS
				if who == "caller" {
					asks, grants = timerUAC, nil
				}
				d, teams, _, _ := w.timed(asks, grants)
				f, body := w.core, coreSDP
				if who == "callee" {
					d, f, body = teams, w.teams, teamsSDP
				}
				for range 3 {
					w.wait(20 * time.Minute)
					re := d.timed(body, timerUAC...)
					ok := f.expect("200")
					if ok.Get("Session-Expires") != "1800;refresher=uac" || ok.Get("Require") != "timer" {
						t.Errorf("%s is answered\n%s", re.Get("Session-Expires"), ok)
					}
					d.ack("")
				}
				// It is heard of no more.
				w.wait(1768 * time.Second)
				w.ended(who + " was not refreshed in 30m0s")
			})
		})
	}
	t.Run("and gives the timer up", func(t *testing.T) {
		inLongWorld(t, func(w *world) {
			_, teams, _, _ := w.timed(patient, timerUAS)
			teams.request("INVITE", teamsSDP)
			if ok := w.teams.expect("200"); ok.Has("Session-Expires") {
				t.Errorf("%s", ok)
			}
			teams.ack("")
			w.wait(20 * time.Hour)
			w.over()
		})
	})
}

// timed sends a re-INVITE with a session timer.
func (d *dialog) timed(body string, headers ...string) *sip.Message {
	d.f.w.t.Helper()
	m := d.NewRequest("INVITE")
	m.Add("Via", "SIP/2.0/UDP "+d.f.at.String()+";branch="+sip.NewBranch())
	m.Set("Contact", "<sip:"+d.f.at.String()+">")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		m.Set(name, value)
	}
	m.SetBody("application/sdp", []byte(body))
	d.invite = m
	d.f.send(m)
	return m
}

func TestARefreshIsRefused(t *testing.T) {
	t.Run("408 and 481 end the call", func(t *testing.T) {
		for _, status := range []int{408, 481} {
			inLongWorld(t, func(w *world) {
				w.timed(patient, timerUAC)
				w.wait(15 * time.Minute)
				w.teams.reply(w.teams.expect("INVITE"), status, "t1", "")
				w.teams.expect("ACK")
				w.ended("it has lost the call")
			})
		}
	})
	t.Run("no answer ends the call", func(t *testing.T) {
		inLongWorld(t, func(w *world) {
			w.timed(patient, timerUAC)
			w.wait(15 * time.Minute)
			w.core.reply(w.core.expect("BYE"), 200, "", "")
			w.teams.drop()
		})
	})
	t.Run("others are tried again until the session ends", func(t *testing.T) {
		inLongWorld(t, func(w *world) {
			w.timed(patient, timerUAC)
			began, tries := time.Now(), 0
			time.Sleep(15 * time.Minute)
			for m := range w.teams.in {
				synctest.Wait()
				if m.Method == "BYE" {
					w.teams.reply(m, 200, "", "")
					break
				}
				if m.Method == "INVITE" {
					tries++
					w.teams.reply(m, 500, "t1", "")
				}
			}
			if d := time.Since(began); d != 1768*time.Second || tries < 3 || tries > 10 {
				t.Errorf("ended after %v and %d refreshes", d, tries)
			}
			w.core.reply(w.core.expect("BYE"), 200, "", "")
		})
	})
	t.Run("422 once", func(t *testing.T) {
		inLongWorld(t, func(w *world) {
			w.timed(patient, timerUAC)
			w.wait(15 * time.Minute)
			w.teams.reply(w.teams.expect("INVITE"), 422, "t1", "", "Min-SE: 3600")
			re := w.teams.again()
			if re.Get("Session-Expires") != "3600;refresher=uac" || re.Get("Min-SE") != "3600" {
				t.Errorf("%s", re)
			}
			w.teams.reply(re, 422, "t1", "", "Min-SE: 7200")
			w.teams.expect("ACK")
			w.teams.quiet()
			time.Sleep(7*time.Minute + 30*time.Second) // half of what is left
			w.teams.refreshed("t1", teamsSDP, "Session-Expires: 7200;refresher=uas")
			w.over()
		})
	})
}

func TestARefreshMeetsAHold(t *testing.T) {
	inLongWorld(t, func(w *world) {
		_, teams, _, _ := w.timed(patient, timerUAC)
		w.wait(15 * time.Minute)
		ours := w.teams.expect("INVITE")
		theirs := teams.timed(turn(teamsSDP, "inactive", 1), timerUAS...)
		w.teams.ackFailure(theirs, w.teams.expect("491"))
		w.teams.reply(ours, 491, "t1", "")
		w.teams.expect("ACK")
		w.core.quiet()
		// We own the Call-ID and wait for longer than 2.1 s; the cloud is first.
		time.Sleep(time.Second)
		teams.timed(turn(teamsSDP, "inactive", 2), timerUAS...)
		w.teams.expect("100")
		w.core.reply(w.core.expect("INVITE"), 200, "", turn(coreSDP, "inactive", 2), "Session-Expires: 86400;refresher=uas")
		w.core.expect("ACK")
		if ok := w.teams.expect("200"); ok.Get("Session-Expires") != "1800;refresher=uas" {
			t.Errorf("%s", ok)
		}
		teams.ack("")
		// The hold was a refresh: the next one comes at half time, and holds.
		w.wait(15 * time.Minute)
		if re := w.teams.refreshed("t1", turn(teamsSDP, "inactive", 3), timerUAC...); !strings.Contains(string(re.Body), "a=inactive") {
			t.Errorf("a refresh ends the hold:\n%s", re.Body)
		}
		w.core.quiet()
		w.golden("session_refresh_glare")
		w.over()
	})
	t.Run("and waits for one that is under way", func(t *testing.T) {
		inLongWorld(t, func(w *world) {
			core, _, _, _ := w.timed(patient, timerUAC)
			time.Sleep(15*time.Minute - time.Second)
			core.timed(turn(coreSDP, "sendonly", 2), patient...)
			w.core.expect("100")
			hold := w.teams.expect("INVITE")
			w.teams.reply(hold, 100, "", "")
			time.Sleep(5 * time.Second)
			w.teams.quiet()
			w.teams.reply(hold, 488, "t1", "")
			w.teams.expect("ACK")
			w.core.ackFailure(core.invite, w.core.expect("488"))
			w.teams.refreshed("t1", teamsSDP, timerUAC...)
			w.over()
		})
	})
}

// again gives the INVITE that follows one that was refused, whose ACK comes
// before it or after.
func (f *far) again() (invite *sip.Message) {
	f.w.t.Helper()
	for range 2 {
		select {
		case m := <-f.in:
			if m.Method == "INVITE" {
				invite = m
			}
		case <-time.After(time.Second):
		}
	}
	if invite == nil {
		f.w.t.Fatalf("%s is not invited again", f.name)
	}
	return invite
}

func TestAnInviteWithASessionThatIsTooShort(t *testing.T) {
	ask := func(w *world) (in, again *sip.Message) {
		in = w.core.invite("+442079460123", coreSDP, patient...)
		w.core.expect("100")
		out := w.teams.expect("INVITE")
		w.teams.reply(out, 422, "t0", "", "Min-SE: 3600")
		again = w.teams.again()
		if again.Get("Session-Expires") != "3600" || again.Get("Min-SE") != "3600" {
			w.t.Errorf("%s", again)
		}
		return in, again
	}
	t.Run("is sent again with a longer one", func(t *testing.T) {
		inLongWorld(t, func(w *world) {
			in, again := ask(w)
			w.teams.reply(again, 200, "t1", teamsSDP, "Session-Expires: 3600;refresher=uac")
			w.teams.expect("ACK")
			core := w.core.took(in, w.core.expect("200"))
			core.ack("")
			w.wait(30 * time.Minute)
			w.teams.refreshed("t1", teamsSDP, "Session-Expires: 3600;refresher=uac")
			w.over()
		})
	})
	t.Run("but once", func(t *testing.T) {
		inLongWorld(t, func(w *world) {
			in, again := ask(w)
			w.teams.reply(again, 422, "t1", "", "Min-SE: 7200")
			w.teams.expect("ACK")
			w.core.ackFailure(in, w.core.expect("500"))
			w.teams.quiet()
		})
	})
	t.Run("and not when we asked for that much", func(t *testing.T) {
		inLongWorld(t, func(w *world) {
			in := w.core.invite("+442079460123", coreSDP, patient...)
			w.core.expect("100")
			w.teams.reply(w.teams.expect("INVITE"), 422, "t0", "", "Min-SE: 90")
			w.teams.expect("ACK")
			w.core.ackFailure(in, w.core.expect("500"))
			w.teams.quiet()
		})
	})
}
