package call

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// ims makes the core an IMS.
func ims(w *world) { w.snap.Groups[0].Interworking.Profile = "ims" }

// reserving is a description with preconditions of a mobile, and how its own
// resources stand.
func reserving(version int, own string) string {
	return turn(coreSDP, "sendrecv", version) + "a=curr:qos local " + own + "\r\na=curr:qos remote none\r\n" +
		"a=des:qos mandatory local sendrecv\r\na=des:qos mandatory remote sendrecv\r\n"
}

var wantsPreconditions = []string{"Supported: 100rel, precondition", "Allow: INVITE, ACK, BYE, CANCEL, PRACK, UPDATE"}

// RFC 3312: a caller of an IMS is answered, makes its bearer, says so, and only
// then does somebody's phone ring. The cloud learns nothing of it.
func TestACallerReservesItsResources(t *testing.T) {
	inWorldOf(t, ims, func(w *world) {
		in := w.core.invite("+442079460123", reserving(1, "none"), wantsPreconditions...)
		w.core.expect("100")
		answer := w.core.expect("183")
		for _, line := range []string{
			"a=curr:qos local sendrecv", "a=curr:qos remote none", "a=des:qos mandatory local sendrecv", "a=des:qos mandatory remote sendrecv",
			"a=conf:qos remote sendrecv",
		} {
			if !strings.Contains(string(answer.Body), line+"\r\n") {
				t.Errorf("the answer lacks %s:\n%s", line, answer.Body)
			}
		}
		core := w.core.took(in, answer)
		core.prack(answer, "")
		w.core.expect("200")
		time.Sleep(5 * time.Second)
		w.teams.quiet()
		core.request("UPDATE", reserving(2, "sendrecv"))
		ok := w.core.expect("200")
		if !strings.Contains(string(ok.Body), "a=curr:qos remote sendrecv\r\n") || strings.Contains(string(ok.Body), "a=conf") {
			t.Errorf("answered\n%s", ok.Body)
		}
		out := w.teams.expect("INVITE")
		if s := out.String(); strings.Contains(s, "qos") || strings.Contains(s, "precondition") || strings.Contains(s, "100rel") {
			t.Errorf("the cloud is told of it:\n%s", s)
		}
		w.teams.reply(out, 180, "t1", "")
		ringing := w.core.expect("180")
		core.prack(ringing, "")
		w.core.expect("200")
		w.teams.reply(out, 200, "t1", teamsSDP)
		w.teams.expect("ACK")
		w.core.expect("200")
		core.ack("")
		synctest.Wait()
		w.golden("preconditions")
		w.over()
	})
}

func TestResourcesThatNeedNoWaiting(t *testing.T) {
	for _, tc := range []struct {
		name    string
		body    string
		headers []string
		lines   bool
	}{
		{"they are there", reserving(1, "sendrecv"), wantsPreconditions, true},
		{"they are wished for, no more", strings.ReplaceAll(reserving(1, "none"), "mandatory", "optional"), wantsPreconditions, true},
		{"it cannot be told reliably (RFC 3312 section 4)", reserving(1, "none"), []string{"Supported: precondition"}, true},
		{"none are spoken of", coreSDP, wantsPreconditions, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorldOf(t, ims, func(w *world) {
				w.core.invite("+442079460123", tc.body, tc.headers...)
				w.core.expect("100")
				w.teams.reply(w.teams.expect("INVITE"), 183, "t1", teamsSDP)
				if m := w.core.expect("183"); strings.Contains(string(m.Body), "a=curr:qos local sendrecv") != tc.lines {
					t.Errorf("answered\n%s", m.Body)
				}
				hangUp(w)
			})
		})
	}
	t.Run("it is an emergency", func(t *testing.T) {
		inWorldOf(t, func(w *world) {
			ims(w)
			w.snap.Groups[1].Interworking.Profile = "ims"
			w.snap.Emergency = []string{"112"}
		}, func(w *world) {
			in := w.teams.invite("112", strings.Replace(reserving(1, "none"), "RTP/AVP", "RTP/SAVP", 1)+teamsSDP[strings.Index(teamsSDP, "a=crypto"):strings.Index(teamsSDP, "a=rtpmap:8")], wantsPreconditions...)
			w.teams.expect("100")
			w.core.reply(w.core.expect("INVITE"), 486, "c1", "")
			w.core.expect("ACK")
			w.teams.ackFailure(in, w.teams.expect("486"))
		})
	})
}

// RFC 3312 section 8: without resources there is no call, and 580 says so.
func TestResourcesThatNeverCome(t *testing.T) {
	inWorldOf(t, ims, func(w *world) {
		in := w.core.invite("+442079460123", reserving(1, "none"), wantsPreconditions...)
		w.core.expect("100")
		answer := w.core.expect("183")
		core := w.core.took(in, answer)
		core.prack(answer, "")
		w.core.expect("200")
		core.request("UPDATE", reserving(2, "send")) // half of them
		w.core.expect("200")
		began := time.Now()
		w.core.ackFailure(in, w.core.expect("580"))
		if d := time.Since(began); d != reservation {
			t.Errorf("refused after %v", d)
		}
		w.teams.quiet()
	})
	t.Run("and who gives up meanwhile is let go", func(t *testing.T) {
		inWorldOf(t, ims, func(w *world) {
			in := w.core.invite("+442079460123", reserving(1, "none"), wantsPreconditions...)
			w.core.expect("100")
			w.core.expect("183")
			w.core.cancel(in)
			w.core.expect("200")
			w.core.ackFailure(in, w.core.expect("487"))
			w.teams.quiet()
		})
	})
}

// RFC 3312 section 11, RFC 3261 8.2.2.3: where preconditions are unknown, who
// insists on them is refused, and who only offers them gets an answer without.
func TestPreconditionsWhereTheyAreUnknown(t *testing.T) {
	inWorldOf(t, wantsReliable, func(w *world) {
		in := w.core.invite("+442079460123", reserving(1, "none"), "Supported: 100rel", "Require: precondition")
		w.core.expect("100")
		no := w.core.expect("420")
		if no.Get("Unsupported") != "precondition" {
			t.Errorf("refused with\n%s", no)
		}
		w.core.ackFailure(in, no)
		w.core.invite("+442079460123", reserving(1, "none"), wantsPreconditions...)
		w.core.expect("100")
		w.teams.reply(w.teams.expect("INVITE"), 183, "t1", teamsSDP)
		if m := w.core.expect("183"); strings.Contains(string(m.Body), "qos") {
			t.Errorf("answered\n%s", m.Body)
		}
		hangUp(w)
	})
}

// A precondition that is answered by a policy that shows no early media is
// answered all the same: it is no ringing.
func TestAReservationIsNoRinging(t *testing.T) {
	inWorldOf(t, func(w *world) {
		ims(w)
		w.snap.Groups[0].Interworking.Early = "first"
	}, func(w *world) {
		in := w.core.invite("+442079460123", reserving(1, "none"), wantsPreconditions...)
		w.core.expect("100")
		answer := w.core.expect("183")
		core := w.core.took(in, answer)
		core.prack(answer, reserving(2, "sendrecv")) // RFC 3262 section 5: an offer in the PRACK
		w.core.expect("200")
		w.teams.reply(w.teams.expect("INVITE"), 180, "t1", "")
		w.core.expect("180")
		hangUp(w)
	})
}
