package call

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/wire/sip"
)

// ringingMedia begins a call from the core whose early media it has
// acknowledged.
func (w *world) ringingMedia() (core *dialog, out *sip.Message) {
	w.t.Helper()
	in := w.core.invite("+442079460123", coreSDP, can100rel)
	w.core.expect("100")
	out = w.teams.expect("INVITE")
	w.teams.reply(out, 183, "t1", teamsSDP)
	media := w.core.expect("183")
	core = w.core.took(in, media)
	core.prack(media, "")
	w.core.expect("200")
	return core, out
}

// RFC 3311 section 5.2, before the answer: answered here out of what is agreed,
// and the cloud, which knows no UPDATE, hears of it by a re-INVITE after the
// answer, if it must.
func TestAnUpdateBeforeTheAnswer(t *testing.T) {
	t.Run("changes what the callee need not know", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			core, out := w.ringingMedia()
			core.request("UPDATE", strings.Replace(turn(coreSDP, "sendrecv", 2), "audio 4000", "audio 4400", 1))
			ok := w.core.expect("200")
			if got := describeShort(ok); got != "{AVP 8,101 sendrecv}" || !ok.Has("Contact") || !ok.HasToken("Allow", "UPDATE") {
				t.Errorf("answered %s\n%s", got, ok)
			}
			w.teams.reply(out, 200, "t1", teamsSDP)
			w.teams.expect("ACK")
			w.core.expect("200")
			core.ack("")
			synctest.Wait()
			w.teams.quiet()
			w.golden("update_early")
			w.over()
		})
	})
	t.Run("holds", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			core, out := w.ringingMedia()
			core.request("UPDATE", turn(coreSDP, "sendonly", 2))
			if got := describeShort(w.core.expect("200")); got != "{AVP 8,101 recvonly}" {
				t.Errorf("answered %s", got)
			}
			w.teams.reply(out, 200, "t1", teamsSDP)
			w.teams.expect("ACK")
			w.core.expect("200")
			core.ack("")
			re := w.teams.expect("INVITE")
			if got := describeShort(re); got != "{SAVP 8,0,101,13 inactive}" {
				t.Errorf("the callee is offered %s", got)
			}
			w.teams.reply(re, 200, "t1", turn(teamsSDP, "inactive", 2))
			w.teams.expect("ACK")
			w.golden("update_early_hold")
			w.over()
		})
	})
	t.Run("without an offer", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			core, _ := w.ringingMedia()
			core.request("UPDATE", "")
			if ok := w.core.expect("200"); len(ok.Body) > 0 || ok.Has("Session-Expires") {
				t.Errorf("answered\n%s", ok)
			}
			hangUp(w)
		})
	})
	t.Run("with nothing in common", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			core, out := w.ringingMedia()
			core.request("UPDATE", strings.Replace(turn(coreSDP, "sendrecv", 2), "AVP 8 0 101", "AVP 18 101", 1))
			w.core.expect("488")
			w.teams.reply(out, 200, "t1", teamsSDP) // what was agreed stands
			w.teams.expect("ACK")
			w.core.expect("200")
			core.ack("")
			w.over()
		})
	})
	t.Run("while the offer before is not answered", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			core, ringing, _ := w.ringReliably(coreSDP)
			core.prack(ringing, "")
			w.core.expect("200")
			core.request("UPDATE", turn(coreSDP, "sendrecv", 2))
			if no := w.core.expect("500"); no.Get("Retry-After") == "" {
				t.Errorf("no Retry-After:\n%s", no)
			}
			hangUp(w)
		})
	})
	t.Run("while our own offer is not answered", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			in := w.core.invite("+442079460123", "", can100rel)
			w.core.expect("100")
			w.teams.reply(w.teams.expect("INVITE"), 183, "t1", teamsSDP)
			core := w.core.took(in, w.core.expect("183"))
			core.request("UPDATE", coreSDP)
			w.core.expect("491")
			hangUp(w)
		})
	})
}

// The next target is offered what the caller said last.
func TestAnUpdateCountsForTheNextTarget(t *testing.T) {
	inWorldOf(t, wantsReliable, func(w *world) {
		core, out := w.ringingMedia()
		core.request("UPDATE", strings.Replace(turn(coreSDP, "sendrecv", 2), "AVP 8 0 101", "AVP 8 101", 1))
		w.core.expect("200")
		w.teams.reply(out, 503, "t1", "")
		w.teams.expect("ACK")
		if got := describeShort(w.teams2.expect("INVITE")); got != "{SAVP 8,101,13 sendrecv}" {
			t.Errorf("offered %s", got)
		}
		hangUp(w)
	})
}

// RFC 3311 in an answered call: the cloud gets a re-INVITE, the core its answer
// in the 2xx.
func TestAnUpdateInACall(t *testing.T) {
	t.Run("hold and resume", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			core, _ := w.talk()
			core.request("UPDATE", turn(coreSDP, "sendonly", 2))
			re := w.teams.expect("INVITE")
			if got := describeShort(re); got != "{SAVP 8,0,101,13 inactive}" {
				t.Errorf("the callee is offered %s", got)
			}
			w.core.quiet()
			w.teams.reply(re, 200, "t1", turn(teamsSDP, "inactive", 2))
			w.teams.expect("ACK")
			ok := w.core.expect("200")
			if cseq, _ := ok.CSeq(); cseq.Method != "UPDATE" || directionOfBody(ok) == "sendrecv" {
				t.Errorf("answered\n%s", ok)
			}
			if got := w.state(); got != record.Held {
				t.Errorf("state %s", got)
			}
			core.request("UPDATE", turn(coreSDP, "sendrecv", 3))
			w.teams.reply(w.teams.expect("INVITE"), 200, "t1", turn(teamsSDP, "sendrecv", 3))
			w.teams.expect("ACK")
			w.core.expect("200")
			if got := w.state(); got != record.Talking {
				t.Errorf("state %s", got)
			}
			w.golden("update_hold")
			w.over()
		})
	})
	t.Run("a new address is the core's own affair, and the target of what follows", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			core, _ := w.talk()
			core.send("UPDATE", strings.Replace(turn(coreSDP, "sendrecv", 2), "audio 4000", "audio 4400", 1), "Contact: <sip:moved@"+coreAt+">")
			w.core.expect("200")
			w.teams.quiet()
			hangUp(w)
			bye := w.core.expect("BYE")
			if bye.RequestURI != "sip:moved@"+coreAt {
				t.Errorf("BYE goes to %s", bye.RequestURI)
			}
			w.core.reply(bye, 200, "", "")
			w.teams.reply(w.teams.expect("BYE"), 200, "", "")
		})
	})
	t.Run("refused by the cloud", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			core, _ := w.talk()
			core.request("UPDATE", turn(coreSDP, "sendonly", 2))
			w.teams.reply(w.teams.expect("INVITE"), 488, "t1", "")
			w.teams.expect("ACK")
			w.core.expect("488")
			w.over()
		})
	})
	t.Run("the cloud takes too long", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			core, _ := w.talk()
			began := time.Now()
			core.request("UPDATE", turn(coreSDP, "sendonly", 2))
			re := w.teams.expect("INVITE")
			w.teams.reply(re, 100, "", "")
			w.core.expect("100")
			w.core.expect("504") // RFC 3311 5.2
			if got := time.Since(began); got != updateMax {
				t.Errorf("refused after %v", got)
			}
			w.teams.drop()
			w.over2(re)
		})
	})
	t.Run("glare", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			core, teams := w.talk()
			core.request("UPDATE", turn(coreSDP, "sendonly", 2))
			re := w.teams.expect("INVITE")
			core.request("UPDATE", turn(coreSDP, "inactive", 3)) // before the first has its answer
			if no := w.core.expect("500"); no.Get("Retry-After") == "" {
				t.Errorf("no Retry-After:\n%s", no)
			}
			w.teams.reply(re, 200, "t1", turn(teamsSDP, "inactive", 2))
			w.teams.expect("ACK")
			w.core.expect("200")
			teams.request("INVITE", turn(teamsSDP, "sendrecv", 3)) // our offer to the core is on its way
			w.teams.expect("100")
			re = w.core.expect("INVITE")
			core.request("UPDATE", turn(coreSDP, "sendrecv", 4))
			w.core.expect("491")
			w.core.reply(re, 200, "", turn(coreSDP, "sendrecv", 5))
			w.core.expect("ACK")
			w.teams.expect("200")
			teams.ack("")
			w.over()
		})
	})
	t.Run("from the cloud, which was never told of it", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			_, teams := w.talk()
			teams.request("UPDATE", "")
			if no := w.teams.expect("405"); no.HasToken("Allow", "UPDATE") {
				t.Errorf("refused with\n%s", no)
			}
			w.over()
		})
	})
}

// over2 ends a call with a re-INVITE under way at the cloud.
func (w *world) over2(re *sip.Message) {
	w.t.Helper()
	hangUp(w)
	w.core.reply(w.core.expect("BYE"), 200, "", "")
	for m := range w.teams.in {
		if m.Method == "BYE" {
			w.teams.reply(m, 200, "", "")
			break
		}
	}
	w.teams.reply(re, 487, "t1", "")
}

func directionOfBody(m *sip.Message) string {
	s := strings.TrimSuffix(describeShort(m), "}")
	return s[strings.LastIndexByte(s, ' ')+1:]
}

// RFC 3311 section 5.2, from a callee that rings: it has answered our offer, and
// makes one of its own.
func TestAnUpdateOfACalleeThatRings(t *testing.T) {
	inWorldOf(t, wantsReliable, func(w *world) {
		in := w.teams.invite("+442079460123", teamsOffer)
		w.teams.expect("100")
		out := w.core.expect("INVITE")
		w.core.reply(out, 180, "c1", "", "Require: 100rel", "RSeq: 1")
		w.core.reply(w.core.expect("PRACK"), 200, "", "")
		w.teams.expect("180")
		core := w.core.gave(out, "c1")
		core.request("UPDATE", coreAnswer)
		w.core.expect("491") // our offer has no answer yet
		w.core.reply(out, 183, "c1", coreAnswer, "Require: 100rel", "RSeq: 2")
		w.core.reply(w.core.expect("PRACK"), 200, "", "")
		early := w.teams.expect("183")
		core.request("UPDATE", strings.Replace(turn(coreAnswer, "sendrecv", 2), "audio 4002", "audio 4402", 1))
		ok := w.core.expect("200")
		if got := describeShort(ok); got != "{AVP 8,101 sendrecv}" {
			t.Errorf("answered %s", got)
		}
		core.request("UPDATE", strings.Replace(turn(coreAnswer, "sendrecv", 3), "AVP 8 101", "AVP 18 101", 1))
		w.core.expect("488")
		core.request("REFER", "") // not before it has answered
		w.core.expect("481")
		w.core.reply(out, 200, "c1", "")
		w.core.expect("ACK")
		final := w.teams.expect("200")
		if string(early.Body) != string(final.Body) {
			t.Errorf("the description changed:\n%s\n%s", early.Body, final.Body)
		}
		w.teams.took(in, final).ack("")
		synctest.Wait()
		if r := w.set.Live()[0]; r.Callee.Codec != "PCMA" {
			t.Errorf("%+v", r.Callee)
		}
		w.golden("update_callee_rings")
		w.over()
	})
}

// RFC 4028 section 7.4: a session is refreshed by UPDATE where the far side
// takes it, without touching the media.
func TestASessionIsRefreshedByUpdate(t *testing.T) {
	longCall := func(t *testing.T, f func(w *world, core *dialog)) {
		inWorldOf(t, wantsReliable, func(w *world) {
			in := w.core.invite("+442079460123", coreSDP, "Allow: INVITE, ACK, BYE, CANCEL, UPDATE", "Supported: timer", "Session-Expires: 600;refresher=uas")
			w.core.expect("100")
			out := w.teams.expect("INVITE")
			w.teams.reply(out, 200, "t1", teamsSDP)
			w.teams.expect("ACK")
			core := w.core.took(in, w.core.expect("200"))
			core.ack("")
			time.Sleep(299 * time.Second)
			w.core.quiet()
			f(w, core)
		})
	}
	t.Run("and again", func(t *testing.T) {
		longCall(t, func(w *world, _ *dialog) {
			for range 2 {
				time.Sleep(time.Second)
				up := w.core.expect("UPDATE")
				if len(up.Body) > 0 || up.Get("Session-Expires") != "600;refresher=uac" || !up.Has("Contact") {
					t.Errorf("refreshed by\n%s", up)
				}
				w.core.reply(up, 200, "", "", "Session-Expires: 600;refresher=uac", "Contact: <sip:"+coreAt+">")
				time.Sleep(299 * time.Second)
			}
			w.teams.quiet()
			w.golden("session_refresh_update")
			w.over()
		})
	})
	t.Run("by INVITE where it is refused", func(t *testing.T) {
		longCall(t, func(w *world, _ *dialog) {
			w.core.reply(w.core.expect("UPDATE"), 405, "", "", "Allow: INVITE, ACK, BYE, CANCEL")
			w.core.reply(w.core.expect("INVITE"), 200, "", coreSDP, "Session-Expires: 600;refresher=uac", "Contact: <sip:"+coreAt+">", "Allow: INVITE, ACK, BYE, CANCEL")
			w.core.expect("ACK")
			time.Sleep(299 * time.Second)
			w.core.reply(w.core.expect("INVITE"), 200, "", coreSDP, "Session-Expires: 600;refresher=uac", "Contact: <sip:"+coreAt+">")
			w.core.expect("ACK")
			w.over()
		})
	})
	t.Run("whoever has lost the call ends it", func(t *testing.T) {
		longCall(t, func(w *world, _ *dialog) {
			w.core.reply(w.core.expect("UPDATE"), 481, "", "")
			w.core.reply(w.core.expect("BYE"), 481, "", "")
			w.teams.reply(w.teams.expect("BYE"), 200, "", "")
			if r := w.records.last(t); r.Cause.Q850 != 41 {
				t.Errorf("%+v", r.Cause)
			}
		})
	})
	t.Run("too short for it", func(t *testing.T) {
		longCall(t, func(w *world, _ *dialog) {
			w.core.reply(w.core.expect("UPDATE"), 422, "", "", "Min-SE: 900")
			up := w.core.expect("UPDATE")
			if up.Get("Session-Expires") != "900;refresher=uac" || up.Get("Min-SE") != "900" {
				t.Errorf("asked again\n%s", up)
			}
			w.core.reply(up, 200, "", "", "Session-Expires: 900;refresher=uac")
			w.over()
		})
	})
	t.Run("one that is refreshed by UPDATE lives on", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			in := w.core.invite("+442079460123", coreSDP, "Supported: timer", "Session-Expires: 600;refresher=uac")
			w.core.expect("100")
			w.teams.reply(w.teams.expect("INVITE"), 200, "t1", teamsSDP)
			w.teams.expect("ACK")
			core := w.core.took(in, w.core.expect("200"))
			core.ack("")
			for range 3 {
				time.Sleep(500 * time.Second)
				core.send("UPDATE", "", "Supported: timer", "Session-Expires: 600;refresher=uac")
				ok := w.core.expect("200")
				if ok.Get("Session-Expires") != "600;refresher=uac" || !ok.HasToken("Require", "timer") {
					t.Errorf("answered\n%s", ok)
				}
			}
			core.send("UPDATE", "", "Supported: timer", "Session-Expires: 60")
			if no := w.core.expect("422"); no.Get("Min-SE") != "90" {
				t.Errorf("refused with\n%s", no)
			}
			w.over()
		})
	})
}
