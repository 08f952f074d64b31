package call

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// wants changes what the core's peer group wants.
func wants(change func(i *snapshot.Interworking)) func(w *world) {
	return func(w *world) {
		i := &w.snap.Groups[0].Interworking
		yes := true
		i.Reliable, i.Update = "supported", &yes
		change(i)
	}
}

var wantsReliable = wants(func(*snapshot.Interworking) {})

const can100rel = "Supported: timer, 100rel"

// rseq is the number of a response that must be reliable.
func (f *far) rseq(m *sip.Message) uint32 {
	f.w.t.Helper()
	n, ok := ua.RSeqOf(m)
	if !ok {
		f.w.t.Fatalf("%s was to be told reliably, and gets\n%s", f.name, m)
	}
	return n
}

// prack acknowledges a reliable response of the gateway.
func (d *dialog) prack(resp *sip.Message, body string) *sip.Message {
	d.f.w.t.Helper()
	cseq, _ := resp.CSeq()
	return d.send("PRACK", body, "RAck: "+ua.RAck{RSeq: d.f.rseq(resp), CSeq: cseq}.String())
}

// send sends a request with headers of its own.
func (d *dialog) send(method, body string, headers ...string) *sip.Message {
	d.f.w.t.Helper()
	m := d.NewRequest(method)
	m.Add("Via", "SIP/2.0/UDP "+d.f.at.String()+";branch="+sip.NewBranch())
	m.Set("Contact", "<sip:"+d.f.at.String()+">")
	if body != "" {
		m.SetBody("application/sdp", []byte(body))
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		m.Set(name, value)
	}
	if method == "INVITE" {
		d.invite = m
	}
	d.f.send(m)
	return m
}

// ringReliably begins a call from a core that takes 100rel, and rings for it.
func (w *world) ringReliably(body string, headers ...string) (core *dialog, ringing, out *sip.Message) {
	w.t.Helper()
	if len(headers) == 0 {
		headers = []string{can100rel}
	}
	in := w.core.invite("+442079460123", body, headers...)
	w.core.expect("100")
	out = w.teams.expect("INVITE")
	w.teams.reply(out, 180, "t1", "")
	ringing = w.core.expect("180")
	return w.core.took(in, ringing), ringing, out
}

// RFC 3262 section 3: numbered, acknowledged, one after the other; section 5
// and RFC 3261 13.2.1: what was described and acknowledged is not described
// again.
func TestACallerIsToldReliably(t *testing.T) {
	inWorldOf(t, wantsReliable, func(w *world) {
		core, ringing, out := w.ringReliably(coreSDP)
		if out.HasToken("Supported", "100rel") || out.HasToken("Allow", "PRACK") || out.HasToken("Allow", "UPDATE") {
			t.Errorf("the cloud is promised what it is not to use:\n%s", out)
		}
		if !ringing.HasToken("Supported", "100rel") || !ringing.HasToken("Allow", "PRACK") || !ringing.HasToken("Allow", "UPDATE") {
			t.Errorf("the core is not told what we can do:\n%s", ringing)
		}
		first := w.core.rseq(ringing)
		core.prack(ringing, "")
		w.core.expect("200")
		w.teams.reply(out, 183, "t2", teamsSDP)
		media := w.core.expect("183")
		if n := w.core.rseq(media); n != first+1 || len(media.Body) == 0 || media.Get("To") != ringing.Get("To") {
			t.Errorf("RSeq %d follows %d:\n%s", n, first, media)
		}
		core.prack(media, "")
		w.core.expect("200")
		w.teams.reply(out, 200, "t1", strings.ReplaceAll(teamsSDP, "49168", "49200"))
		w.teams.expect("ACK")
		ok := w.core.expect("200")
		if len(ok.Body) > 0 || ok.Has("RSeq") {
			t.Errorf("what was agreed is said again:\n%s", ok)
		}
		core.ack("")
		synctest.Wait()
		core.bye()
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
		w.golden("reliable")
	})
}

// RFC 3262 section 3: the second waits for the first to be acknowledged.
func TestOneReliableResponseAtATime(t *testing.T) {
	inWorldOf(t, wantsReliable, func(w *world) {
		core, ringing, out := w.ringReliably(coreSDP)
		w.teams.reply(out, 183, "t1", teamsSDP)
		w.teams.reply(out, 180, "t1", "")
		time.Sleep(100 * time.Millisecond)
		w.core.quiet()
		core.prack(ringing, "")
		w.core.expect("200")
		next := w.core.expect("180")
		if len(next.Body) == 0 {
			t.Errorf("the description that came meanwhile is lost:\n%s", next)
		}
		core.prack(next, "")
		w.core.expect("200")
		hangUp(w)
	})
}

// RFC 3262 section 3: after T1, twice as long each time, and after 64*T1 the
// call has failed.
func TestAReliableResponseIsRepeated(t *testing.T) {
	inWorldOf(t, wantsReliable, func(w *world) {
		_, ringing, _ := w.ringReliably(coreSDP)
		began, want := time.Now(), 500*time.Millisecond
		for range 6 {
			again := w.core.expect("180")
			if got := time.Since(began); got != want || again.String() != ringing.String() {
				t.Errorf("repeated after %v, want %v:\n%s", got, want, again)
			}
			want = 2*want + 500*time.Millisecond
		}
		w.core.expect("504")
		if got := time.Since(began); got != 32*time.Second {
			t.Errorf("given up after %v", got)
		}
		w.teams.reply(w.teams.expect("CANCEL"), 200, "t1", "")
		if r := w.records.last(t); r.Cause.Q850 != 102 || !strings.Contains(r.Cause.Text, "PRACK") {
			t.Errorf("%+v", r.Cause)
		}
		w.golden("reliable_never_acknowledged")
	})
}

// RFC 3262 section 3: a PRACK that matches nothing gets 481.
func TestAPrackThatMatchesNothing(t *testing.T) {
	inWorldOf(t, wantsReliable, func(w *world) {
		core, ringing, out := w.ringReliably(coreSDP)
		n := w.core.rseq(ringing)
		for _, rack := range []string{strconv.Itoa(int(n)+1) + " 1 INVITE", fmt.Sprint(n) + " 2 INVITE", fmt.Sprint(n) + " 1 UPDATE"} {
			core.send("PRACK", "", "RAck: "+rack)
			w.core.expect("481")
		}
		core.send("PRACK", "", "RAck: nonsense")
		w.core.expect("400")
		core.prack(ringing, "")
		w.core.expect("200")
		core.prack(ringing, "") // a new request for what is acknowledged already
		w.core.expect("481")
		w.teams.reply(out, 486, "t1", "")
		w.teams.expect("ACK")
		w.core.ackFailure(core.invite, w.core.expect("486"))
	})
}

// RFC 3262 section 3: a 2xx waits while a description is not acknowledged; any
// other final response does not, nor one behind a response without.
func TestTheAnswerWaitsForThePrack(t *testing.T) {
	ring := func(w *world) (core *dialog, media, out *sip.Message) {
		in := w.core.invite("+442079460123", coreSDP, can100rel)
		w.core.expect("100")
		out = w.teams.expect("INVITE")
		w.teams.reply(out, 183, "t1", teamsSDP)
		media = w.core.expect("183")
		return w.core.took(in, media), media, out
	}
	answer := func(w *world, out *sip.Message) {
		w.teams.reply(out, 200, "t1", teamsSDP)
		w.teams.expect("ACK")
		synctest.Wait()
		w.core.quiet()
	}
	t.Run("and goes out with it", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			core, media, out := ring(w)
			answer(w, out)
			core.prack(media, "")
			w.core.expect("200")
			ok := w.core.expect("200")
			if cseq, _ := ok.CSeq(); cseq.Method != "INVITE" || len(ok.Body) > 0 {
				t.Errorf("the answer is\n%s", ok)
			}
			w.core.expect("200") // not acknowledged yet
			core.ack("")
			w.golden("reliable_answer_waits")
			w.over()
		})
	})
	t.Run("which never comes", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			core, _, out := ring(w)
			answer(w, out)
			bye := w.teams.expect("BYE")
			w.teams.reply(bye, 200, "", "")
			for m := range w.core.in {
				if m.Status != 183 {
					if m.Status != 504 {
						t.Errorf("the caller is told\n%s", m)
					}
					w.core.ackFailure(core.invite, m)
					break
				}
			}
		})
	})
	t.Run("the caller gives up meanwhile", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			core, _, out := ring(w)
			answer(w, out)
			w.core.cancel(core.invite)
			w.core.expect("200")
			w.core.ackFailure(core.invite, w.core.expect("487"))
			w.teams.reply(w.teams.expect("BYE"), 200, "", "")
		})
	})
	t.Run("the callee hangs up meanwhile", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			core, _, out := ring(w)
			answer(w, out)
			w.teams.gave(out, "t1").request("BYE", "")
			w.teams.expect("200")
			w.core.ackFailure(core.invite, w.core.expect("480"))
		})
	})
	t.Run("not behind a response without a description", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			core, ringing, out := w.ringReliably(coreSDP)
			w.teams.reply(out, 200, "t1", teamsSDP)
			w.teams.expect("ACK")
			if ok := w.core.expect("200"); len(ok.Body) == 0 {
				t.Errorf("the answer is\n%s", ok)
			}
			core.prack(ringing, "") // RFC 3262 section 3: still to be taken
			w.core.expect("200")
			core.ack("")
			w.over()
		})
	})
	t.Run("nor does a refusal", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			core, _, out := ring(w)
			w.teams.reply(out, 486, "t1", "")
			w.teams.expect("ACK")
			w.core.ackFailure(core.invite, w.core.expect("486"))
			time.Sleep(time.Minute)
			w.core.quiet() // nothing is repeated any more
		})
	})
}

// RFC 3262 section 5: a PRACK may bring an offer, and its 2xx the answer.
func TestAPrackWithAnOffer(t *testing.T) {
	inWorldOf(t, wantsReliable, func(w *world) {
		in := w.core.invite("+442079460123", coreSDP, can100rel)
		w.core.expect("100")
		out := w.teams.expect("INVITE")
		w.teams.reply(out, 183, "t1", strings.Replace(teamsSDP, "SAVP 8 101", "SAVP 8 0 101", 1))
		media := w.core.expect("183")
		core := w.core.took(in, media)
		narrow := strings.Replace(turn(coreSDP, "sendrecv", 2), "AVP 8 0 101", "AVP 0 101", 1)
		core.prack(media, strings.Replace(narrow, "AVP 0", "AVP 18", 1))
		w.core.expect("488") // and the response is still to be acknowledged
		core.prack(media, narrow)
		ok := w.core.expect("200")
		if got := describeShort(ok); got != "{AVP 0,101 sendrecv}" || !strings.Contains(string(ok.Body), " 2 IN IP4") {
			t.Errorf("answered %s:\n%s", got, ok.Body)
		}
		w.teams.reply(out, 200, "t1", strings.Replace(teamsSDP, "SAVP 8 101", "SAVP 8 0 101", 1))
		w.teams.expect("ACK")
		w.core.expect("200")
		core.ack("")
		// The callee may still send what the caller has dropped: it is told.
		re := w.teams.expect("INVITE")
		if got := describeShort(re); got != "{SAVP 0,101,13 sendrecv}" {
			t.Errorf("the callee is offered %s", got)
		}
		w.teams.reply(re, 200, "t1", strings.Replace(turn(teamsSDP, "sendrecv", 2), "SAVP 8 101", "SAVP 0 101", 1))
		w.teams.expect("ACK")
		w.over()
	})
}

// RFC 3261 13.2.1: to an INVITE without an offer, the first reliable response
// brings ours, and RFC 3262 section 5: its PRACK the answer.
func TestALateOfferIsMadeInAReliableResponse(t *testing.T) {
	t.Run("when there is something to offer", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			in := w.core.invite("+442079460123", "", can100rel)
			w.core.expect("100")
			out := w.teams.expect("INVITE")
			w.teams.reply(out, 180, "t1", "")
			if m := w.core.expect("180"); m.Has("RSeq") {
				t.Errorf("the first reliable response has no offer:\n%s", m)
			}
			w.teams.reply(out, 183, "t1", teamsSDP)
			media := w.core.expect("183")
			if got := describeShort(media); got != "{AVP 8,101 sendrecv}" {
				t.Errorf("offered %s", got)
			}
			core := w.core.took(in, media)
			core.prack(media, coreAnswer)
			w.core.expect("200")
			w.teams.reply(out, 200, "t1", teamsSDP)
			w.teams.expect("ACK")
			if ok := w.core.expect("200"); len(ok.Body) > 0 {
				t.Errorf("offered once more:\n%s", ok)
			}
			core.ack("")
			w.golden("reliable_late_offer")
			w.over()
			if r := w.records.last(t); r.Caller.Codec != "PCMA" {
				t.Errorf("%+v", r.Caller)
			}
		})
	})
	t.Run("whoever insists on reliable ones hears nothing before", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			in := w.core.invite("+442079460123", "", "Require: 100rel")
			w.core.expect("100")
			out := w.teams.expect("INVITE")
			w.teams.reply(out, 180, "t1", "")
			synctest.Wait()
			w.core.quiet()
			w.teams.reply(out, 200, "t1", teamsSDP)
			w.teams.expect("ACK")
			ok := w.core.expect("200")
			if len(ok.Body) == 0 {
				t.Errorf("no offer:\n%s", ok)
			}
			w.core.took(in, ok).ack(coreAnswer)
			w.over()
		})
	})
	t.Run("a PRACK without the answer ends the call", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			in := w.core.invite("+442079460123", "", can100rel)
			w.core.expect("100")
			out := w.teams.expect("INVITE")
			w.teams.reply(out, 183, "t1", teamsSDP)
			media := w.core.expect("183")
			w.core.took(in, media).prack(media, "")
			w.core.expect("488")
			w.core.ackFailure(in, w.core.expect("488"))
			w.teams.reply(w.teams.expect("CANCEL"), 200, "t1", "")
		})
	})
	t.Run("the answer to it comes when the call is answered already", func(t *testing.T) {
		inWorldOf(t, wantsReliable, func(w *world) {
			in := w.core.invite("+442079460123", "", can100rel)
			w.core.expect("100")
			out := w.teams.expect("INVITE")
			w.teams.reply(out, 183, "t1", teamsSDP)
			media := w.core.expect("183")
			w.teams.reply(out, 200, "t1", teamsSDP)
			w.teams.expect("ACK")
			core := w.core.took(in, media)
			core.prack(media, coreAnswer)
			w.core.expect("200")
			if ok := w.core.expect("200"); len(ok.Body) > 0 {
				t.Errorf("offered once more:\n%s", ok)
			}
			core.ack("")
			w.over()
		})
	})
}

// RFC 3261 8.2.2.3, RFC 3262 section 3: who does not do it says so, and names
// it.
func TestReliableResponsesAreDemandedInVain(t *testing.T) {
	inWorldOf(t, wantsReliable, func(w *world) {
		in := w.teams.invite("+442079460123", teamsOffer, "Require: 100rel")
		w.teams.expect("100")
		no := w.teams.expect("420")
		if no.Get("Unsupported") != "100rel" {
			t.Errorf("refused with\n%s", no)
		}
		w.teams.ackFailure(in, no)
	})
	inWorldOf(t, wants(func(i *snapshot.Interworking) { i.Reliable = "off" }), func(w *world) {
		w.core.invite("+442079460123", coreSDP, "Require: 100rel")
		w.core.expect("100")
		if no := w.core.expect("420"); no.Get("Unsupported") != "100rel" {
			t.Errorf("refused with\n%s", no)
		}
	})
	inWorldOf(t, wants(func(i *snapshot.Interworking) { i.Reliable = "off" }), func(w *world) {
		_, ringing, _ := w.ringReliably(coreSDP)
		if ringing.Has("RSeq") || ringing.HasToken("Supported", "100rel") || ringing.HasToken("Allow", "PRACK") {
			t.Errorf("told reliably all the same:\n%s", ringing)
		}
		hangUp(w)
	})
}

// RFC 3262 section 4, as who is told: each reliable response is acknowledged
// in the dialog of its fork, in order; what comes again and what comes behind a
// gap is not heeded.
func TestACalleesReliableResponsesAreAcknowledged(t *testing.T) {
	reliably := func(n int) []string {
		return []string{"Require: 100rel", "RSeq: " + strconv.Itoa(n)}
	}
	inWorldOf(t, wantsReliable, func(w *world) {
		in := w.teams.invite("+442079460123", teamsOffer)
		w.teams.expect("100")
		out := w.core.expect("INVITE")
		if !out.HasToken("Supported", "100rel") || out.Has("Require") {
			t.Errorf("the core is asked\n%s", out)
		}
		expect := func(tag, rack string) {
			t.Helper()
			prack := w.core.expect("PRACK")
			to, _ := prack.To()
			if prack.Get("RAck") != rack || to.Tag() != tag {
				t.Errorf("acknowledged %s in %s, want %s in %s", prack.Get("RAck"), to.Tag(), rack, tag)
			}
			w.core.reply(prack, 200, "", "")
		}
		w.core.reply(out, 183, "c1", coreAnswer, reliably(41)...)
		expect("c1", "41 1 INVITE")
		if m := w.teams.expect("183"); m.Has("RSeq") || m.Has("Require") {
			t.Errorf("the cloud is asked for a PRACK:\n%s", m)
		}
		w.core.reply(out, 183, "c1", coreAnswer, reliably(41)...)
		w.core.reply(out, 180, "c1", "", reliably(43)...)
		w.core.reply(out, 180, "c2", "", reliably(7)...) // another fork counts for itself
		expect("c2", "7 1 INVITE")
		w.teams.expect("180")
		w.teams.quiet()
		w.core.quiet()
		w.core.reply(out, 180, "c1", "", reliably(42)...)
		expect("c1", "42 1 INVITE")
		w.teams.expect("180")
		w.core.reply(out, 200, "c1", "")
		if ack := w.core.expect("ACK"); ack.Get("CSeq") != "1 ACK" {
			t.Errorf("CSeq %s", ack.Get("CSeq"))
		}
		ok := w.teams.expect("200")
		w.teams.took(in, ok).ack("")
		// The other fork answers too: its BYE counts on from its PRACK.
		w.core.reply(out, 200, "c2", coreAnswer)
		w.core.expect("ACK")
		bye := w.core.expect("BYE")
		if bye.Get("CSeq") != "3 BYE" {
			t.Errorf("CSeq %s", bye.Get("CSeq"))
		}
		w.core.reply(bye, 200, "", "")
		w.golden("reliable_callee")
		hangUp(w)
		if bye := w.core.expect("BYE"); bye.Get("CSeq") != "4 BYE" {
			t.Errorf("CSeq %s", bye.Get("CSeq"))
		} else {
			w.core.reply(bye, 200, "", "")
		}
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
	})
}

// A PRACK goes where the dialog goes, not where the INVITE went (RFC 3261
// 12.2.1.1).
func TestAPrackFollowsTheRoute(t *testing.T) {
	site := func(w *world) {
		wantsReliable(w)
		w.snap.Groups[0].Peers[0].Sources = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}
	}
	inWorldOf(t, site, func(w *world) {
		w.teams.invite("+442079460123", teamsOffer)
		w.teams.expect("100")
		out := w.core.expect("INVITE")
		w.core.reply(out, 183, "c1", coreAnswer, "Require: 100rel", "RSeq: 1", "Record-Route: <sip:"+core2At+";lr>")
		prack := w.core2.expect("PRACK")
		if prack.Get("Route") != "<sip:"+core2At+";lr>" {
			t.Errorf("sent as\n%s", prack)
		}
		w.core2.reply(prack, 200, "", "")
		w.teams.expect("183")
		hangUp(w)
	})
}

// A core that is asked to be reliable: RFC 3262 section 4.
func TestReliableResponsesAreDemanded(t *testing.T) {
	inWorldOf(t, wants(func(i *snapshot.Interworking) { i.Reliable = "require" }), func(w *world) {
		w.teams.invite("+442079460123", teamsOffer)
		w.teams.expect("100")
		if out := w.core.expect("INVITE"); !out.HasToken("Require", "100rel") {
			t.Errorf("the core is asked\n%s", out)
		}
		hangUp(w)
	})
}

// The target of a transfer may ring reliably too; its PRACK goes by its own
// way, which is not that of the leg whose place it is to take.
func TestTheTargetOfATransferRingsReliably(t *testing.T) {
	inWorldOf(t, wantsReliable, func(w *world) {
		core, teams := w.talk()
		core.refer("sip:+442079460777@gw.example;user=phone")
		w.core.expect("202")
		w.core.reply(w.core.expect("NOTIFY"), 200, "", "")
		out := w.core.expect("INVITE")
		w.core.reply(out, 180, "n1", "", "Require: 100rel", "RSeq: 9")
		prack := w.core.expect("PRACK")
		to, _ := prack.To()
		if prack.Get("RAck") != "9 1 INVITE" || to.Tag() != "n1" || prack.Get("Call-ID") != out.Get("Call-ID") {
			t.Errorf("acknowledged by\n%s", prack)
		}
		w.core.reply(w.core.expect("NOTIFY"), 200, "", "")
		w.core.reply(prack, 200, "", "")
		w.core.reply(out, 180, "n1", "", "Require: 100rel", "RSeq: 9") // again
		synctest.Wait()
		w.core.quiet()
		w.core.reply(out, 200, "n1", coreAnswer)
		if ack := w.core.expect("ACK"); ack.Get("CSeq") != "1 ACK" {
			t.Errorf("acknowledged by\n%s", ack)
		}
		w.core.reply(w.core.expect("NOTIFY"), 200, "", "")
		core.bye()
		teams.bye()
		bye := w.core.expect("BYE")
		if bye.Get("CSeq") != "3 BYE" { // behind the PRACK
			t.Errorf("released by\n%s", bye)
		}
		w.core.reply(bye, 200, "", "")
	})
}

// A callee may send as many reliable responses as it likes, and take no PRACK:
// those that wait are bounded.
func TestPRACKsThatWaitAreBounded(t *testing.T) {
	inWorldOf(t, wantsReliable, func(w *world) {
		in := w.teams.invite("+442079460123", teamsOffer)
		w.teams.expect("100")
		out := w.core.expect("INVITE")
		for i := range 5 * maxPRACK {
			w.core.reply(out, 183, "c1", coreAnswer, "Require: 100rel", "RSeq: "+strconv.Itoa(41+i))
			synctest.Wait()
		}
		pracks := map[string]bool{}
		for len(w.core.in) > 0 {
			if m := <-w.core.in; m.Method == "PRACK" {
				pracks[m.Get("CSeq")] = true
			}
		}
		if len(pracks) != maxPRACK {
			t.Errorf("%d PRACKs", len(pracks))
		}
		w.teams.drop()
		w.teams.cancel(in)
		time.Sleep(time.Minute)
		w.teams.drop()
		w.core.drop()
	})
}

// A caller that has not acknowledged a reliable response gets no 200, and hangs
// up: its INVITE has its answer all the same, or would be kept for ever.
func TestByeWhileThe200WaitsForAPRACK(t *testing.T) {
	inWorldOf(t, wantsReliable, func(w *world) {
		in := w.core.invite("+442079460123", coreSDP, can100rel)
		w.core.expect("100")
		out := w.teams.expect("INVITE")
		w.teams.reply(out, 183, "t1", teamsSDP)
		core := w.core.took(in, w.core.expect("183"))
		w.teams.reply(out, 200, "t1", teamsSDP)
		w.teams.expect("ACK")
		w.core.quiet()
		core.request("BYE", "")
		w.core.answers("200", "487")
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
	})
}
