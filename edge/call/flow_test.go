package call

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/wire/sip"
)

func TestACallFromTheCoreIsAnsweredAndReleased(t *testing.T) {
	inWorld(t, func(w *world) {
		core, _ := w.talk()
		time.Sleep(65 * time.Second)
		core.bye()
		bye := w.teams.expect("BYE")
		w.teams.reply(bye, 200, "", "")
		w.golden("answered")
		r := w.records.last(t)
		if r.Answered == nil || r.Ended == nil || r.Ended.Sub(*r.Answered) != 65*time.Second {
			t.Errorf("answered %v, ended %v", r.Answered, r.Ended)
		}
		if r.Cause.By != "caller" || r.Cause.Q850 != 16 || r.Caller.Codec != "PCMA" || r.Callee.SRTP == "" || r.Caller.SRTP != "" {
			t.Errorf("%+v", r)
		}
		if got := strings.Join(w.records.log, " "); got != "begin answer end" {
			t.Errorf("record was written: %s", got)
		}
	})
}

func TestACallFromTheCloudWithEarlyMedia(t *testing.T) {
	inWorld(t, func(w *world) {
		in := w.teams.invite("+442079460123", teamsOffer, "From: <sip:+14255550123@10.2.0.1;user=phone>;tag=ft")
		w.teams.expect("100")
		out := w.core.expect("INVITE")
		w.core.reply(out, 183, "c1", coreAnswer)
		early := w.teams.expect("183")
		w.core.reply(out, 180, "c1", "")
		w.teams.expect("180")
		w.core.reply(out, 200, "c1", coreAnswer)
		w.core.expect("ACK")
		ok := w.teams.expect("200")
		if string(early.Body) != string(ok.Body) {
			t.Errorf("the description changed between 183 and 200:\n%s\n%s", early.Body, ok.Body)
		}
		w.teams.took(in, ok).ack("")
		core := w.core.gave(out, "c1")
		synctest.Wait()
		core.bye()
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
		w.golden("cloud_early_media")
		if r := w.records.last(t); r.Cause.By != "callee" || r.Caller.Peer != "teams-1" || r.Callee.Peer != "core-1" {
			t.Errorf("%+v", r)
		}
	})
}

func TestForksAreOneEarlyDialogForTheCaller(t *testing.T) {
	inWorld(t, func(w *world) {
		w.core.invite("+442079460123", coreSDP)
		w.core.expect("100")
		out := w.teams.expect("INVITE")
		w.teams.reply(out, 180, "A", "")
		a := w.core.expect("180")
		w.teams.reply(out, 180, "C", "")
		w.core.expect("180")
		w.teams.reply(out, 183, "B", teamsSDP)
		b := w.core.expect("183")
		other := strings.ReplaceAll(teamsSDP, "49168", "49200")
		w.teams.reply(out, 200, "C", other)
		w.teams.expect("ACK")
		c := w.core.expect("200")
		if a.Get("To") != b.Get("To") || b.Get("To") != c.Get("To") {
			t.Errorf("the caller sees several tags: %s, %s, %s", a.Get("To"), b.Get("To"), c.Get("To"))
		}
		if len(b.Body) == 0 || string(b.Body) != string(c.Body) {
			t.Errorf("the description changed:\n%s\n%s", b.Body, c.Body)
		}
		// Fork A answers too, late.
		w.teams.reply(out, 200, "A", teamsSDP)
		w.teams.expect("ACK")
		bye := w.teams.expect("BYE")
		if to, _ := bye.To(); to.Tag() != "A" {
			t.Errorf("BYE went to fork %s", to.Tag())
		}
		w.teams.reply(bye, 200, "", "")
		w.golden("forks")
		hangUp(w)
	})
}

// hangUp ends the only call by command and lets both sides agree, unless one
// is not there any more.
func hangUp(w *world) {
	w.t.Helper()
	live := w.set.Live()
	if len(live) != 1 {
		w.t.Fatalf("%d calls live", len(live))
	}
	if err := w.set.Hangup(live[0].ID); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

func TestFailover(t *testing.T) {
	t.Run("503 goes to the next target, whose answer counts", func(t *testing.T) {
		inWorld(t, func(w *world) {
			w.core.invite("+442079460123", coreSDP)
			w.core.expect("100")
			out := w.teams.expect("INVITE")
			w.teams.reply(out, 503, "x", "", "Retry-After: 1")
			w.teams.expect("ACK")
			out2 := w.teams2.expect("INVITE")
			if out.Get("Call-ID") == out2.Get("Call-ID") {
				t.Error("both attempts bear one Call-ID")
			}
			w.teams2.reply(out2, 486, "y", "", `Reason: Q.850;cause=34;text="0d7c;Call was declined"`)
			w.teams2.expect("ACK")
			busy := w.core.expect("486")
			if got := busy.Get("Reason"); !strings.Contains(got, "cause=17") {
				t.Errorf("Reason: %s", got)
			}
			w.golden("failover_503")
			r := w.records.last(t)
			if len(r.Attempts) != 2 || r.Attempts[0].Status != 503 || r.Attempts[1].Status != 486 || r.Cause.Status != 486 || r.Cause.Q850 != 17 || r.Cause.By != "callee" {
				t.Errorf("%+v", r)
			}
			if !strings.Contains(r.Cause.Text, "Call was declined") {
				t.Errorf("cause: %s", r.Cause.Text)
			}
		})
	})
	t.Run("silence goes to the next target, and a late answer is released", func(t *testing.T) {
		inWorld(t, func(w *world) {
			w.core.invite("+442079460123", coreSDP)
			w.core.expect("100")
			out := w.teams.expect("INVITE")
			began := time.Now()
			out2 := w.teams2.expect("INVITE")
			if d := time.Since(began); d != 4*time.Second {
				t.Errorf("the next target was tried after %v", d)
			}
			w.teams2.reply(out2, 180, "t2", "")
			w.core.expect("180")
			w.teams.drop() // repetitions of the INVITE
			w.teams.reply(out, 200, "t1", teamsSDP)
			w.teams.expect("ACK")
			w.teams.reply(w.teams.expect("BYE"), 200, "", "")
			w.teams2.reply(out2, 200, "t2", teamsSDP)
			w.teams2.expect("ACK")
			w.core.expect("200")
			w.golden("failover_silence")
			hangUp(w)
		})
	})
	t.Run("nothing answers at all: 504, and the record says who did not", func(t *testing.T) {
		inWorld(t, func(w *world) {
			in := w.core.invite("+442079460123", coreSDP)
			w.core.expect("100")
			w.core.ackFailure(in, w.core.expect("504"))
			r := w.records.last(t)
			if len(r.Attempts) != 2 || r.Attempts[0].Error == "" || r.Attempts[1].Error == "" || r.Cause.Q850 != 102 {
				t.Errorf("%+v", r)
			}
		})
	})
	for status, want := range map[int]string{486: "486", 603: "603", 404: "404", 302: "480", 407: "403", 500: "500"} {
		t.Run(sip.StatusText(status)+" is never tried again", func(t *testing.T) {
			inWorld(t, func(w *world) {
				in := w.core.invite("+442079460123", coreSDP)
				w.core.expect("100")
				w.teams.reply(w.teams.expect("INVITE"), status, "x", "", "Contact: <sip:elsewhere@10.9.9.9>")
				w.teams.expect("ACK")
				no := w.core.expect(want)
				w.core.ackFailure(in, no)
				if no.Has("Contact") {
					t.Errorf("Contact: %s", no.Get("Contact"))
				}
				w.teams2.quiet()
			})
		})
	}
	t.Run("a peer that failed too often is tried last", func(t *testing.T) {
		inWorld(t, func(w *world) {
			for range 3 {
				in := w.core.invite("+442079460123", coreSDP)
				w.core.expect("100")
				w.teams.reply(w.teams.expect("INVITE"), 503, "x", "")
				w.teams.expect("ACK")
				w.teams2.reply(w.teams2.expect("INVITE"), 486, "y", "")
				w.teams2.expect("ACK")
				w.core.ackFailure(in, w.core.expect("486"))
			}
			w.core.invite("+442079460123", coreSDP)
			w.core.expect("100")
			w.teams2.reply(w.teams2.expect("INVITE"), 486, "y", "")
			w.teams.quiet()
			if h := w.peers.Health()[2]; h.State != "suspended" {
				t.Errorf("%+v", h)
			}
		})
	})
}

func TestCancel(t *testing.T) {
	t.Run("after ringing", func(t *testing.T) {
		inWorld(t, func(w *world) {
			in, out := w.place()
			w.teams.reply(out, 180, "t1", "")
			w.core.expect("180")
			w.core.cancel(in)
			w.core.expect("200")
			w.core.ackFailure(in, w.core.expect("487"))
			cancel := w.teams.expect("CANCEL")
			w.teams.reply(cancel, 200, "t1", "")
			w.teams.reply(out, 487, "t1", "")
			w.teams.expect("ACK")
			w.golden("cancel_ringing")
			if r := w.records.last(t); r.Cause.Status != 487 || r.Cause.By != "caller" || r.Answered != nil {
				t.Errorf("%+v", r.Cause)
			}
		})
	})
	t.Run("before any provisional the CANCEL waits for one", func(t *testing.T) {
		inWorld(t, func(w *world) {
			in, out := w.place()
			w.core.cancel(in)
			w.core.expect("200")
			w.core.ackFailure(in, w.core.expect("487"))
			w.teams.quiet()
			w.teams.reply(out, 180, "t1", "")
			w.teams.reply(w.teams.expect("CANCEL"), 200, "t1", "")
			w.teams.reply(out, 487, "t1", "")
			w.teams.expect("ACK")
		})
	})
	t.Run("crossing the 200: acknowledged, then released", func(t *testing.T) {
		inWorld(t, func(w *world) {
			in, out := w.place()
			w.teams.reply(out, 180, "t1", "")
			w.core.expect("180")
			w.core.cancel(in)
			w.core.expect("200")
			w.core.ackFailure(in, w.core.expect("487"))
			w.teams.expect("CANCEL")
			w.teams.reply(out, 200, "t1", teamsSDP)
			w.teams.expect("ACK")
			w.teams.reply(w.teams.expect("BYE"), 200, "", "")
			w.golden("cancel_crosses_200")
			if r := w.records.last(t); r.Answered != nil {
				t.Error("the call counts as answered")
			}
		})
	})
	t.Run("a 200 whose ACK was lost is acknowledged again, and one BYE is enough", func(t *testing.T) {
		inWorld(t, func(w *world) {
			in, out := w.place()
			w.teams.reply(out, 180, "t1", "")
			w.core.expect("180")
			w.core.cancel(in)
			w.core.expect("200")
			w.core.ackFailure(in, w.core.expect("487"))
			w.teams.expect("CANCEL")
			w.teams.reply(out, 200, "t1", teamsSDP)
			w.teams.reply(out, 200, "t1", teamsSDP)
			w.teams.expect("ACK")
			bye := w.teams.expect("BYE")
			w.teams.expect("ACK")
			w.teams.reply(bye, 200, "", "")
			w.teams.quiet()
		})
	})
	t.Run("while the record is being written", func(t *testing.T) {
		inWorldOf(t, func(w *world) { w.records.delay = time.Second }, func(w *world) {
			in := w.core.invite("+442079460123", coreSDP)
			w.core.expect("100")
			w.core.cancel(in)
			w.core.expect("200")
			w.core.ackFailure(in, w.core.expect("487"))
			time.Sleep(5 * time.Second)
			w.teams.quiet()
		})
	})
	t.Run("a BYE in the early dialog does the same", func(t *testing.T) {
		inWorld(t, func(w *world) {
			in, out := w.place()
			w.teams.reply(out, 180, "t1", "")
			d := w.core.took(in, w.core.expect("180"))
			d.bye()
			w.core.ackFailure(in, w.core.expect("487"))
			w.teams.reply(w.teams.expect("CANCEL"), 200, "t1", "")
			w.teams.reply(out, 487, "t1", "")
			w.teams.expect("ACK")
		})
	})
}

func TestTheCallerNeverAcknowledges(t *testing.T) {
	inWorld(t, func(w *world) {
		w.core.invite("+442079460123", coreSDP)
		w.core.expect("100")
		out := w.teams.expect("INVITE")
		w.teams.reply(out, 200, "t1", teamsSDP)
		w.teams.expect("ACK")
		began := time.Now()
		var gaps []time.Duration
		for {
			m := <-w.core.in
			if m.Method == "BYE" {
				w.core.reply(m, 200, "", "")
				break
			}
			gaps = append(gaps, time.Since(began))
		}
		if d := time.Since(began); d != 32*time.Second {
			t.Errorf("BYE after %v, want 64*T1", d)
		}
		// 0.5, 1, 2, 4, 4 …: RFC 3261 13.3.1.4.
		want := []time.Duration{0, 500 * time.Millisecond, 1500 * time.Millisecond, 3500 * time.Millisecond, 7500 * time.Millisecond, 11500 * time.Millisecond}
		for i := range want {
			if gaps[i] != want[i] {
				t.Errorf("200 number %d came after %v, want %v", i+1, gaps[i], want[i])
			}
		}
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
		if r := w.records.last(t); r.Cause.Q850 != 102 || !strings.Contains(r.Cause.Text, "ACK") {
			t.Errorf("%+v", r.Cause)
		}
	})
}

func TestTheCalleeHangsUpBeforeTheCallerAcknowledged(t *testing.T) {
	inWorld(t, func(w *world) {
		in, out := w.place()
		w.teams.reply(out, 200, "t1", teamsSDP)
		w.teams.expect("ACK")
		ok := w.core.expect("200")
		w.teams.gave(out, "t1").request("BYE", "")
		w.teams.expect("200")
		w.core.quiet() // RFC 3261 15: not before the ACK
		w.core.took(in, ok).ack("")
		w.core.reply(w.core.expect("BYE"), 200, "", "")
	})
}

// Answers and BYEs of Teams go by different proxies, and on UDP they may change
// places.
func TestTheCalleeHangsUpBeforeItsAnswerArrives(t *testing.T) {
	for _, rings := range []bool{true, false} {
		inWorld(t, func(w *world) {
			in, out := w.place()
			if rings {
				w.teams.reply(out, 180, "t1", "")
				w.core.expect("180")
			}
			w.teams.gave(out, "t1").request("BYE", "")
			w.teams.expect("200")
			w.core.quiet() // another fork may have answered before
			w.teams.reply(out, 200, "t1", teamsSDP)
			w.teams.expect("ACK")
			no := w.core.expect("480")
			w.core.ackFailure(in, no)
			w.teams.quiet()
			if r := w.records.last(t); r.Cause.By != record.ByCallee {
				t.Errorf("the record has %+v", r.Cause)
			}
		})
	}
}

func TestTheAckToACalleeIsRepeatedWithItsAnswer(t *testing.T) {
	inWorld(t, func(w *world) {
		w.core.invite("+442079460123", coreSDP)
		w.core.expect("100")
		out := w.teams.expect("INVITE")
		w.teams.reply(out, 200, "t1", teamsSDP)
		w.teams.expect("ACK")
		w.teams.reply(out, 200, "t1", teamsSDP)
		w.teams.expect("ACK")
		w.teams.quiet()
		hangUp(w)
	})
}

func TestByesCross(t *testing.T) {
	inWorld(t, func(w *world) {
		core, teams := w.talk()
		core.request("BYE", "")
		teams.request("BYE", "")
		synctest.Wait()
		for _, f := range []*far{w.core, w.teams} {
			answered := 0
			for len(f.in) > 0 {
				switch m := <-f.in; {
				case m.Method == "BYE":
					f.reply(m, 481, "", "")
				case m.Status == 200:
					answered++
				default:
					t.Errorf("%s got %s", f.name, m)
				}
			}
			if answered != 1 {
				t.Errorf("%s: BYE was answered %d times", f.name, answered)
			}
		}
		synctest.Wait()
		if n := w.set.Counters().Live; n != 0 {
			t.Errorf("%d calls live", n)
		}
	})
}

func TestALostByeEndsAllTheSame(t *testing.T) {
	inWorld(t, func(w *world) {
		core, _ := w.talk()
		core.bye()
		w.teams.expect("BYE")
		time.Sleep(time.Minute)
		if n := w.set.Counters().Live; n != 0 {
			t.Errorf("%d calls live a minute after the BYE", n)
		}
	})
}

func TestTheRecordComesFirst(t *testing.T) {
	t.Run("nothing leaves before it is on the disk", func(t *testing.T) {
		inWorldOf(t, func(w *world) { w.records.delay = time.Second }, func(w *world) {
			w.core.invite("+442079460123", coreSDP)
			w.core.expect("100")
			w.teams.quiet()
			time.Sleep(time.Second)
			w.teams.expect("INVITE")
			hangUp(w)
		})
	})
	t.Run("no record, no call", func(t *testing.T) {
		inWorldOf(t, func(w *world) { w.records.refuse = errors.New("disk full") }, func(w *world) {
			in := w.core.invite("+442079460123", coreSDP)
			w.core.expect("100")
			w.core.ackFailure(in, w.core.expect("503"))
			w.teams.quiet()
			if len(w.records.log) != 0 {
				t.Errorf("records: %v", w.records.log)
			}
		})
	})
}

func TestAnOfferThatComesLate(t *testing.T) {
	inWorld(t, func(w *world) {
		in := w.core.invite("+442079460123", "")
		w.core.expect("100")
		out := w.teams.expect("INVITE")
		if len(out.Body) == 0 {
			t.Fatal("the cloud got an INVITE without an offer")
		}
		w.teams.reply(out, 183, "t1", teamsSDP)
		if m := w.core.expect("183"); len(m.Body) > 0 {
			t.Errorf("an unreliable response bears an offer:\n%s", m)
		}
		w.teams.reply(out, 200, "t1", teamsSDP)
		w.teams.expect("ACK")
		ok := w.core.expect("200")
		if len(ok.Body) == 0 {
			t.Fatal("the 200 has no offer")
		}
		w.core.took(in, ok).ack(coreAnswer)
		w.golden("late_offer")
		if live := w.set.Live(); len(live) != 1 || live[0].State != record.Talking || live[0].Caller.Codec != "PCMA" {
			t.Errorf("%+v", live)
		}
		w.teams.quiet()
		hangUp(w)
	})
}

func TestAnOfferThatComesLateAndNeverIsAnswered(t *testing.T) {
	inWorld(t, func(w *world) {
		in := w.core.invite("+442079460123", "")
		w.core.expect("100")
		out := w.teams.expect("INVITE")
		w.teams.reply(out, 200, "t1", teamsSDP)
		w.teams.expect("ACK")
		w.core.took(in, w.core.expect("200")).ack("")
		w.core.reply(w.core.expect("BYE"), 200, "", "")
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
	})
}

func TestWhatIsRefusedBeforeAnyTargetIsAsked(t *testing.T) {
	for _, tc := range []struct {
		name, status, to, body string
		headers                []string
	}{
		{"it goes round in circles", "483", "+442079460123", coreSDP, []string{"Max-Forwards: 0"}},
		{"it requires what we do not have", "420", "+442079460123", coreSDP, []string{"Require: gruu"}},
		{"its body is something else", "415", "+442079460123", coreSDP, []string{"Content-Type: text/plain"}},
		{"its body is packed", "415", "+442079460123", coreSDP, []string{"Content-Encoding: gzip"}},
		{"its description is broken", "400", "+442079460123", "v=0\r\nnonsense\r\n", nil},
		{"it has no audio", "488", "+442079460123", strings.ReplaceAll(coreSDP, "m=audio", "m=video"), nil},
		{"it has no codec of ours", "488", "+442079460123", strings.ReplaceAll(coreSDP, "8 0 101", "18 101"), nil},
		{"it wants SRTP where there is none", "488", "+442079460123", strings.ReplaceAll(coreSDP, "RTP/AVP", "RTP/SAVP"), nil},
		{"nobody has the number", "404", "112", coreSDP, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				in := w.core.invite(tc.to, tc.body, tc.headers...)
				w.core.expect("100")
				w.core.ackFailure(in, w.core.expect(tc.status))
				w.teams.quiet()
			})
		})
	}
}

func TestRequestsOutsideOfACall(t *testing.T) {
	for method, status := range map[string]string{
		"BYE": "481", "INFO": "481", "REGISTER": "405", "SUBSCRIBE": "405", "MESSAGE": "405", "FROBNICATE": "501",
	} {
		t.Run(method, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := sip.NewRequest(method, "sip:x@"+gwOperator)
				m.Add("Via", "SIP/2.0/UDP "+coreAt+";branch=z9hG4bKx")
				m.Add("From", "<sip:a@h>;tag=f")
				m.Add("To", "<sip:x@h>")
				m.Add("Call-ID", "stray")
				m.Add("CSeq", "1 "+method)
				w.core.send(m)
				got := w.core.expect(status)
				if status != "481" && got.Get("Allow") == "" {
					t.Error("no Allow")
				}
			})
		})
	}
	t.Run("a dialog nobody knows", func(t *testing.T) {
		inWorld(t, func(w *world) {
			m := sip.NewRequest("BYE", "sip:x@"+gwOperator)
			m.Add("Via", "SIP/2.0/UDP "+coreAt+";branch=z9hG4bKx")
			m.Add("From", "<sip:a@h>;tag=f")
			m.Add("To", "<sip:x@h>;tag=unknown")
			m.Add("Call-ID", "stray")
			m.Add("CSeq", "1 BYE")
			w.core.send(m)
			w.core.expect("481")
		})
	})
}

func TestRequestsInsideACall(t *testing.T) {
	inWorld(t, func(w *world) {
		core, teams := w.talk()
		core.request("OPTIONS", "")
		if w.core.expect("200").Get("Allow") == "" {
			t.Error("no Allow in the answer to OPTIONS")
		}
		for _, method := range []string{"INFO", "UPDATE", "PRACK", "SUBSCRIBE"} {
			teams.request(method, "")
			if m := w.teams.expect("405"); m.Get("Allow") == "" {
				t.Errorf("no Allow in the answer to %s", method)
			}
		}
		teams.request("NOTIFY", "")
		w.teams.expect("481") // RFC 6665 4.1.3: we have subscribed to nothing
		teams.request("FROBNICATE", "")
		w.teams.expect("501")
		hangUp(w)
	})
}

func TestDrain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.talk()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		gone := make(chan struct{})
		go func() { w.set.Drain(ctx); close(gone) }()
		synctest.Wait()
		in := w.core.invite("+442079460124", coreSDP)
		no := w.core.expect("503")
		if no.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		w.core.ackFailure(in, no)
		began := time.Now()
		bye := w.core.expect("BYE")
		if d := time.Since(began); d != 30*time.Second {
			t.Errorf("the call was ended after %v", d)
		}
		if !strings.Contains(bye.Get("Reason"), "cause=41") {
			t.Errorf("Reason: %s", bye.Get("Reason"))
		}
		w.core.reply(bye, 200, "", "")
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
		<-gone
	})
}

// Far sides that say nothing any more do not keep the process.
func TestDrainSilentFarSides(t *testing.T) {
	inWorld(t, func(w *world) {
		w.talk()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		began := time.Now()
		w.set.Drain(ctx)
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("it took %v after a patience of 1s", d)
		}
		if r := w.records.last(t); r.Ended == nil {
			t.Errorf("the record is open: %+v", r)
		}
	})
}

func TestLimits(t *testing.T) {
	t.Run("duration", func(t *testing.T) {
		inWorldOf(t, func(w *world) { w.cfg.Limits.Duration = 10 * time.Minute }, func(w *world) {
			w.talk()
			began := time.Now()
			time.Sleep(9 * time.Minute)
			w.core.quiet()
			w.core.reply(w.core.expect("BYE"), 200, "", "")
			w.teams.reply(w.teams.expect("BYE"), 200, "", "")
			if d := time.Since(began); d != 10*time.Minute {
				t.Errorf("ended after %v", d)
			}
		})
	})
	t.Run("ringing", func(t *testing.T) {
		inWorldOf(t, func(w *world) { w.cfg.Limits.Ringing = 50 * time.Second }, func(w *world) {
			in, out := w.place()
			w.teams.reply(out, 180, "t1", "")
			w.core.expect("180")
			w.core.ackFailure(in, w.core.expect("480"))
			w.teams.reply(w.teams.expect("CANCEL"), 200, "t1", "")
			w.teams.reply(out, 487, "t1", "")
			w.teams.expect("ACK")
		})
	})
	t.Run("calls at once, emergencies aside", func(t *testing.T) {
		inWorldOf(t, func(w *world) { w.cfg.Limits.Calls = 1 }, func(w *world) {
			w.talk()
			in := w.core.invite("+442079460124", coreSDP)
			w.core.expect("100")
			no := w.core.expect("503")
			if no.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			w.core.ackFailure(in, no)
			w.teams.invite("112", teamsOffer)
			w.teams.expect("100")
			w.core.expect("INVITE")
			for _, c := range w.set.Live() {
				_ = w.set.Hangup(c.ID)
			}
		})
	})
}

func TestHangupOfACallThatIsNotThere(t *testing.T) {
	inWorld(t, func(w *world) {
		if err := w.set.Hangup("nobody"); fault.Of(err) != fault.NotFound {
			t.Errorf("%v", err)
		}
	})
}

func TestAPanicEndsOneCall(t *testing.T) {
	inWorld(t, func(w *world) {
		w.talk()
		w.set.mu.Lock()
		var c *call
		for _, c = range w.set.calls {
		}
		w.set.mu.Unlock()
		c.post(unplugged{nil}, true) // its error is read, and is not there
		w.core.reply(w.core.expect("BYE"), 200, "", "")
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
		if w.set.Counters().Panics != 1 {
			t.Errorf("%+v", w.set.Counters())
		}
		r := w.records.last(t)
		if r.Ended == nil || r.Cause.By != "gateway" {
			t.Errorf("%+v", r.Cause)
		}
		w.talkAgain()
	})
}

// talkAgain shows that the node still carries calls.
func (w *world) talkAgain() {
	core, _ := w.talk()
	core.bye()
	w.teams.reply(w.teams.expect("BYE"), 200, "", "")
}

func TestARouteSetCannotSendUsElsewhere(t *testing.T) {
	inWorld(t, func(w *world) {
		in := w.core.invite("+442079460123", coreSDP, "Record-Route: <sip:10.66.0.1:5060;lr>")
		w.core.expect("100")
		out := w.teams.expect("INVITE")
		w.teams.reply(out, 200, "t1", teamsSDP, "Record-Route: <sip:10.2.0.1:5061;lr>", "Contact: <sip:api.nowhere.example:443;x-i=1>")
		ack := w.teams.expect("ACK")
		if ack.RequestURI != "sip:api.nowhere.example:443;x-i=1" || !strings.Contains(ack.Get("Route"), "10.2.0.1") {
			t.Errorf("%s", ack)
		}
		w.core.took(in, w.core.expect("200")).ack("")
		victim := w.newFar("victim", "10.66.0.1:5060")
		defer victim.close()
		synctest.Wait()
		hangUp(w)
		w.core.reply(w.core.expect("BYE"), 200, "", "")
		bye := w.teams.expect("BYE")
		if bye.RequestURI != "sip:api.nowhere.example:443;x-i=1" || bye.Get("Route") == "" {
			t.Errorf("%s", bye)
		}
		w.teams.reply(bye, 200, "", "")
		victim.quiet()
	})
}

func TestStrangersAndDuplicates(t *testing.T) {
	t.Run("the same request on two ways", func(t *testing.T) {
		inWorld(t, func(w *world) {
			in := w.core.invite("+442079460123", coreSDP)
			w.core.expect("100")
			w.teams.expect("INVITE")
			again := in.Clone()
			again.Set("Via", "SIP/2.0/UDP "+coreAt+";branch=z9hG4bKother")
			w.core.send(again)
			w.core.ackFailure(again, w.core.expect("482"))
			hangUp(w)
		})
	})
	t.Run("a wrong tag is another dialog", func(t *testing.T) {
		inWorld(t, func(w *world) {
			core, _ := w.talk()
			m := core.NewRequest("BYE")
			m.Add("Via", "SIP/2.0/UDP "+coreAt+";branch=z9hG4bKw")
			m.Set("From", "<sip:+441632960001@10.1.0.1>;tag=forged")
			w.core.send(m)
			w.core.expect("481")
			if len(w.set.Live()) != 1 {
				t.Error("a forged BYE ended the call")
			}
			hangUp(w)
		})
	})
}

func TestTheTraceHoldsTheCall(t *testing.T) {
	inWorld(t, func(w *world) {
		core, _ := w.talk()
		id := w.set.Live()[0].ID
		core.bye()
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
		synctest.Wait()
		tr, ok := w.traces.Get(id)
		if !ok || len(tr.Packets) != 14 || len(tr.Notes) == 0 {
			t.Fatalf("%v, %d packets, %d notes", ok, len(tr.Packets), len(tr.Notes))
		}
		if p := tr.Packets[0]; p.Leg != relay.Caller.String() || p.Out || !strings.HasPrefix(p.Raw, "INVITE") {
			t.Errorf("%+v", p)
		}
	})
}

func TestANextHopThatCannotBeFound(t *testing.T) {
	inWorld(t, func(w *world) {
		in, out := w.place()
		w.teams.reply(out, 200, "t1", teamsSDP, "Record-Route: <sip:nowhere.invalid:5061;lr>")
		w.teams.expect("ACK")
		core := w.core.took(in, w.core.expect("200"))
		core.ack("")
		synctest.Wait()
		core.bye()
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
	})
}
