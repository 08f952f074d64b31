package call

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/wire/sip"
)

// state is the word for the only live call.
func (w *world) state() string {
	w.t.Helper()
	synctest.Wait()
	live := w.set.Live()
	if len(live) != 1 {
		w.t.Fatalf("%d calls live", len(live))
	}
	return live[0].State
}

// sure ends the call and answers both BYEs.
func (w *world) over() {
	w.t.Helper()
	hangUp(w)
	w.core.reply(w.core.expect("BYE"), 200, "", "")
	w.teams.reply(w.teams.expect("BYE"), 200, "", "")
}

func TestHoldAndResume(t *testing.T) {
	for _, hold := range []struct{ name, offer, back string }{
		{"sendonly", turn(coreSDP, "sendonly", 2), "a=recvonly"},
		{"inactive", turn(coreSDP, "inactive", 2), "a=inactive"},
		{"recvonly", turn(coreSDP, "recvonly", 2), "a=sendonly"},
		{"0.0.0.0", strings.ReplaceAll(turn(coreSDP, "sendrecv", 2), "c=IN IP4 10.1.0.1", "c=IN IP4 0.0.0.0"), "a=recvonly"},
	} {
		t.Run("by the core with "+hold.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				core, _ := w.talk()
				core.request("INVITE", hold.offer)
				w.core.expect("100")
				re := w.teams.expect("INVITE")
				if !strings.Contains(string(re.Body), "a=inactive") || strings.Contains(string(re.Body), "0.0.0.0") {
					t.Errorf("the cloud understands inactive alone, and gets\n%s", re.Body)
				}
				w.teams.reply(re, 200, "t1", turn(teamsSDP, "inactive", 1))
				w.teams.expect("ACK")
				ok := w.core.expect("200")
				if !strings.Contains(string(ok.Body), hold.back) && !strings.Contains(string(ok.Body), "a=inactive") {
					t.Errorf("the core is answered\n%s", ok.Body)
				}
				core.ack("")
				if got := w.state(); got != record.Held {
					t.Errorf("state %s", got)
				}
				core.request("INVITE", turn(coreSDP, "sendrecv", 3))
				w.core.expect("100")
				re = w.teams.expect("INVITE")
				if strings.Contains(string(re.Body), "a=inactive") {
					t.Errorf("resume is not passed on:\n%s", re.Body)
				}
				w.teams.reply(re, 200, "t1", turn(teamsSDP, "sendrecv", 2))
				w.teams.expect("ACK")
				w.core.expect("200")
				core.ack("")
				if got := w.state(); got != record.Talking {
					t.Errorf("state %s", got)
				}
				if hold.name == "sendonly" {
					w.golden("hold_resume")
				}
				w.over()
			})
		})
	}
	t.Run("by the cloud", func(t *testing.T) {
		inWorld(t, func(w *world) {
			_, teams := w.talk()
			teams.request("INVITE", turn(teamsSDP, "inactive", 1))
			w.teams.expect("100")
			re := w.core.expect("INVITE")
			if !strings.Contains(string(re.Body), "a=sendonly") {
				t.Errorf("RFC 3264 8.4: %s", re.Body)
			}
			w.core.reply(re, 200, "", turn(coreSDP, "recvonly", 2))
			w.core.expect("ACK")
			w.teams.expect("200")
			teams.ack("")
			if got := w.state(); got != record.Held {
				t.Errorf("state %s", got)
			}
			w.over()
		})
	})
}

func TestWhatTheOtherSideNeedNotKnow(t *testing.T) {
	for _, tc := range []struct{ name, body string }{
		{"a refresh", teamsSDP},
		{"a new address", turn(strings.ReplaceAll(teamsSDP, "10.2.0.77", "10.2.0.78"), "sendrecv", 1)},
		{"a new key", turn(strings.ReplaceAll(teamsSDP, "d1GM2VbCF", "e1GM2VbCF"), "sendrecv", 1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				_, teams := w.talk()
				teams.request("INVITE", tc.body)
				w.teams.expect("200")
				teams.ack("")
				w.core.quiet()
				w.over()
			})
		})
	}
}

func TestAReinviteWithoutAnOffer(t *testing.T) {
	inWorld(t, func(w *world) {
		core, _ := w.talk()
		core.request("INVITE", turn(coreSDP, "inactive", 2))
		w.core.expect("100")
		w.teams.reply(w.teams.expect("INVITE"), 200, "t1", turn(teamsSDP, "inactive", 1))
		w.teams.expect("ACK")
		w.core.expect("200")
		core.ack("")
		// The core resumes in the manner of some: no offer, please make one.
		core.request("INVITE", "")
		ok := w.core.expect("200")
		if strings.Contains(string(ok.Body), "a=inactive") {
			t.Errorf("the core cannot resume by this offer:\n%s", ok.Body)
		}
		core.ack(turn(coreSDP, "sendrecv", 3))
		re := w.teams.expect("INVITE")
		if strings.Contains(string(re.Body), "a=inactive") {
			t.Errorf("the cloud is not told:\n%s", re.Body)
		}
		w.teams.reply(re, 200, "t1", turn(teamsSDP, "sendrecv", 2))
		w.teams.expect("ACK")
		if got := w.state(); got != record.Talking {
			t.Errorf("state %s", got)
		}
		w.golden("resume_without_offer")
		w.over()
	})
}

func TestAReinviteIsRefused(t *testing.T) {
	for status, ends := range map[int]bool{488: false, 491: false, 500: false, 403: false, 481: true, 408: true} {
		t.Run(sip.StatusText(status), func(t *testing.T) {
			inWorld(t, func(w *world) {
				core, _ := w.talk()
				re := core.request("INVITE", turn(coreSDP, "sendonly", 2))
				w.core.expect("100")
				w.teams.reply(w.teams.expect("INVITE"), status, "t1", "")
				w.teams.expect("ACK")
				m := <-w.core.in
				w.core.ackFailure(re, m)
				if !ends {
					if m.Status != status {
						t.Errorf("the core got %d", m.Status)
					}
					if got := w.state(); got != record.Talking {
						t.Errorf("state %s", got)
					}
					w.over()
					return
				}
				w.core.reply(w.core.expect("BYE"), 200, "", "")
				w.teams.reply(w.teams.expect("BYE"), 481, "", "")
			})
		})
	}
	t.Run("nobody answers", func(t *testing.T) {
		inWorld(t, func(w *world) {
			core, _ := w.talk()
			re := core.request("INVITE", turn(coreSDP, "sendonly", 2))
			w.core.expect("100")
			w.core.ackFailure(re, <-w.core.in)
			w.core.reply(w.core.expect("BYE"), 200, "", "")
		})
	})
	t.Run("only a provisional comes", func(t *testing.T) {
		inWorld(t, func(w *world) {
			core, _ := w.talk()
			re := core.request("INVITE", turn(coreSDP, "sendonly", 2))
			w.core.expect("100")
			out := w.teams.expect("INVITE")
			w.teams.reply(out, 100, "", "")
			w.core.ackFailure(re, w.core.expect("500"))
			w.teams.reply(w.teams.expect("CANCEL"), 200, "t1", "")
			w.teams.reply(out, 487, "t1", "")
			w.teams.expect("ACK")
			if got := w.state(); got != record.Talking {
				t.Errorf("state %s", got)
			}
			w.over()
		})
	})
}

func TestGlare(t *testing.T) {
	t.Run("the other side asks while it is being asked", func(t *testing.T) {
		inWorld(t, func(w *world) {
			core, teams := w.talk()
			core.request("INVITE", turn(coreSDP, "sendonly", 2))
			w.core.expect("100")
			re := w.teams.expect("INVITE")
			mine := teams.request("INVITE", turn(teamsSDP, "inactive", 1))
			w.teams.ackFailure(mine, w.teams.expect("491"))
			w.teams.reply(re, 491, "t1", "")
			w.teams.expect("ACK")
			w.core.ackFailure(core.invite, w.core.expect("491"))
			// Each waits by its role and asks again; here the core does.
			time.Sleep(3 * time.Second)
			core.request("INVITE", turn(coreSDP, "sendonly", 3))
			w.core.expect("100")
			w.teams.reply(w.teams.expect("INVITE"), 200, "t1", turn(teamsSDP, "inactive", 1))
			w.teams.expect("ACK")
			w.core.expect("200")
			core.ack("")
			w.golden("glare")
			w.over()
		})
	})
	t.Run("the same side asks twice", func(t *testing.T) {
		inWorld(t, func(w *world) {
			core, _ := w.talk()
			first := core.request("INVITE", turn(coreSDP, "sendonly", 2))
			w.core.expect("100")
			re := w.teams.expect("INVITE")
			second := core.request("INVITE", turn(coreSDP, "inactive", 3))
			no := w.core.expect("500")
			if no.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			w.core.ackFailure(second, no)
			w.teams.reply(re, 488, "t1", "")
			w.teams.expect("ACK")
			w.core.ackFailure(first, w.core.expect("488"))
			w.over()
		})
	})
	t.Run("our own offer meets one, waits and is repeated", func(t *testing.T) {
		inWorld(t, func(w *world) {
			core, _ := w.talk()
			core.request("INVITE", turn(coreSDP, "inactive", 2))
			w.core.expect("100")
			w.teams.reply(w.teams.expect("INVITE"), 200, "t1", turn(teamsSDP, "inactive", 1))
			w.teams.expect("ACK")
			w.core.expect("200")
			core.ack("")
			core.request("INVITE", "")
			w.core.expect("200")
			core.ack(turn(coreSDP, "sendrecv", 3))
			w.teams.reply(w.teams.expect("INVITE"), 491, "t1", "")
			w.teams.expect("ACK")
			began := time.Now()
			w.teams.reply(w.teams.expect("INVITE"), 200, "t1", turn(teamsSDP, "sendrecv", 2))
			// We own the Call-ID there: RFC 3261 14.1.
			if d := time.Since(began); d < 2100*time.Millisecond || d > 4*time.Second {
				t.Errorf("asked again after %v", d)
			}
			w.teams.expect("ACK")
			w.over()
		})
	})
}

func TestAByeDuringAReinvite(t *testing.T) {
	for _, by := range []string{"who asked", "who was asked"} {
		t.Run("from "+by, func(t *testing.T) {
			inWorld(t, func(w *world) {
				core, teams := w.talk()
				re := core.request("INVITE", turn(coreSDP, "sendonly", 2))
				w.core.expect("100")
				out := w.teams.expect("INVITE")
				w.teams.reply(out, 100, "", "")
				if by == "who asked" {
					core.bye()
				} else {
					teams.bye()
				}
				w.core.ackFailure(re, w.core.expect("487"))
				if by == "who asked" {
					// CANCEL and BYE may leave in any order.
					first, second := <-w.teams.in, <-w.teams.in
					if first.Method+second.Method != "CANCELBYE" && first.Method+second.Method != "BYECANCEL" {
						t.Errorf("the callee gets %s, then %s", first.Method, second.Method)
					}
					w.teams.reply(first, 200, "", "")
					w.teams.reply(second, 200, "", "")
				} else {
					w.teams.reply(w.teams.expect("CANCEL"), 200, "t1", "")
					w.core.reply(w.core.expect("BYE"), 200, "", "")
				}
				w.teams.reply(out, 487, "t1", "")
				w.teams.expect("ACK")
			})
		})
	}
}

func TestACancelledReinvite(t *testing.T) {
	for _, crossed := range []bool{false, true} {
		name := "in time"
		if crossed {
			name = "too late: the leg is brought back"
		}
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				core, _ := w.talk()
				re := core.request("INVITE", turn(coreSDP, "sendonly", 2))
				w.core.expect("100")
				out := w.teams.expect("INVITE")
				w.teams.reply(out, 100, "", "")
				cancel := sip.NewRequest("CANCEL", re.RequestURI)
				for _, h := range []string{"Via", "From", "To", "Call-ID"} {
					cancel.Add(h, re.Get(h))
				}
				cancel.Add("CSeq", "2 CANCEL")
				w.core.send(cancel)
				w.core.expect("200")
				w.core.ackFailure(re, w.core.expect("487"))
				w.teams.reply(w.teams.expect("CANCEL"), 200, "t1", "")
				if crossed {
					w.teams.reply(out, 200, "t1", turn(teamsSDP, "inactive", 1))
					w.teams.expect("ACK")
					back := w.teams.expect("INVITE")
					if strings.Contains(string(back.Body), "a=inactive") {
						t.Errorf("%s", back.Body)
					}
					w.teams.reply(back, 200, "t1", turn(teamsSDP, "sendrecv", 2))
				} else {
					w.teams.reply(out, 487, "t1", "")
				}
				w.teams.expect("ACK")
				w.over()
			})
		})
	}
}

func TestAReinviteBeforeTheCallerAcknowledged(t *testing.T) {
	inWorld(t, func(w *world) {
		in, out := w.place()
		w.teams.reply(out, 200, "t1", teamsSDP)
		w.teams.expect("ACK")
		ok := w.core.expect("200")
		teams := w.teams.gave(out, "t1")
		re := teams.request("INVITE", turn(teamsSDP, "inactive", 1))
		w.teams.ackFailure(re, w.teams.expect("491"))
		w.core.took(in, ok).ack("")
		w.over()
	})
}

func TestAnotherForkWithAnotherCodecAnswers(t *testing.T) {
	inWorld(t, func(w *world) {
		in, out := w.place()
		w.teams.reply(out, 183, "A", teamsSDP)
		w.core.expect("183")
		w.teams.reply(out, 200, "B", strings.NewReplacer("RTP/SAVP 8 ", "RTP/SAVP 0 ", "a=rtpmap:8 PCMA/8000\r\n", "").Replace(teamsSDP))
		w.teams.expect("ACK")
		core := w.core.took(in, w.core.expect("200"))
		core.ack("")
		re := w.core.expect("INVITE")
		if !strings.Contains(string(re.Body), "RTP/AVP 0") {
			t.Errorf("%s", re.Body)
		}
		w.core.reply(re, 200, "", strings.ReplaceAll(turn(coreSDP, "sendrecv", 2), "8 0 101", "0 101"))
		w.core.expect("ACK")
		if live := w.set.Live(); live[0].Caller.Codec != "PCMU" || live[0].Callee.Codec != "PCMU" {
			t.Errorf("%+v", live[0])
		}
		w.over()
	})
}
