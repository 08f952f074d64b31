package call

import (
	"strings"
	"testing"

	"github.com/tandemgw/tandem/link/snapshot"
)

// withRules gives the core's group and the cloud's some rules.
func withRules(core, teams []snapshot.Rule) func(*world) {
	return func(w *world) { w.snap.Groups[0].Rules, w.snap.Groups[1].Rules = core, teams }
}

func TestRulesChangeWhoCallsWhom(t *testing.T) {
	inWorldOf(t, withRules([]snapshot.Rule{
		{Name: "outside-line", Direction: "in", When: `request.user.startsWith("9")`, Do: []snapshot.Action{{Do: "replace", Target: "request.user", Match: "^9", Value: "+"}}},
		{Name: "reached", Direction: "out", On: []string{"18x", "2xx", "BYE"}, Do: []snapshot.Action{{Do: "set", Target: "header.X-Way", Value: "tandem"}}},
	}, []snapshot.Rule{
		{Name: "hide", Direction: "out", When: `service == "OperatorConnect" && peer == "teams-1"`, Do: []snapshot.Action{
			{Do: "set", Target: "from.user", Value: "+442079460000"},
			{Do: "add", Target: "header.X-Shown", Value: "switchboard"},
			{Do: "set", Target: "sdp.X-note", Value: "1"},
		}},
		{Name: "not-again", Direction: "out", On: []string{"INVITE", "BYE"}, Do: []snapshot.Action{{Do: "set", Target: "header.X-All", Value: "1"}}},
	}), func(w *world) {
		in := w.core.invite("9442079460123", coreSDP)
		w.core.expect("100")
		out := w.teams.expect("INVITE")
		if !strings.HasPrefix(out.RequestURI, "sip:+442079460123@") || !strings.Contains(out.Get("From"), "+442079460000@") ||
			out.Get("X-Shown") != "switchboard" || out.Get("X-All") != "1" || !strings.Contains(string(out.Body), "a=X-note:1\r\n") {
			t.Errorf("the INVITE is not as the rules want it:\n%s", out)
		}
		w.teams.reply(out, 180, "t1", "")
		if ringing := w.core.expect("180"); ringing.Get("X-Way") != "tandem" {
			t.Errorf("no rule changed the 180:\n%s", ringing)
		}
		w.teams.reply(out, 200, "t1", teamsSDP)
		ack := w.teams.expect("ACK")
		if ack.Get("From") != out.Get("From") || ack.Get("X-All") != "" {
			t.Errorf("the ACK is not of the dialog:\n%s", ack)
		}
		ok := w.core.expect("200")
		if !strings.Contains(ok.Get("To"), "9442079460123@") {
			t.Errorf("the caller is answered by another name than it called:\n%s", ok)
		}
		core := w.core.took(in, ok)
		core.ack("")
		core.request("BYE", "")
		if r := w.core.expect("200"); r.Get("X-Way") != "tandem" { // 2xx, whatever to
			t.Errorf("no rule changed the 200 to BYE:\n%s", r)
		}
		bye := w.teams.expect("BYE")
		if bye.Get("From") != out.Get("From") || bye.Get("X-All") != "1" {
			t.Errorf("the BYE:\n%s", bye)
		}
		w.teams.reply(bye, 200, "", "")
		r := w.records.last(t)
		if r.To != "+442079460123" {
			t.Errorf("the record says it went to %s", r.To)
		}
		told, _ := w.traces.Get(r.ID)
		var notes strings.Builder
		for _, n := range told.Notes {
			notes.WriteString(n.Text + "\n")
		}
		for _, want := range []string{"rule outside-line changed the INVITE\n", "rule hide changed the INVITE to teams-1\n"} {
			if !strings.Contains(notes.String(), want) {
				t.Errorf("the trace does not tell %q:\n%s", want, notes.String())
			}
		}
	})
}

func TestARuleRefusesACall(t *testing.T) {
	inWorldOf(t, withRules(nil, []snapshot.Rule{
		{Name: "no-premium", Direction: "in", When: `request.user.matches("^[+]449")`, Do: []snapshot.Action{{Do: "reject", Status: 403, Value: "premium numbers are barred"}}},
	}), func(w *world) {
		in := w.teams.invite("+449012345678", teamsOffer, "From: <sip:+14255550123@10.2.0.1;user=phone>;tag=ft")
		w.teams.expect("100")
		w.teams.ackFailure(in, w.teams.expect("403"))
		w.core.quiet()
	})
}
