package call

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
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

// A rule that adds a header adds it once, however often the request goes.
func TestRulesRunOnceOverARequestThatGoesAgain(t *testing.T) {
	change := carrier(t, proofCanary)
	once := func(m *sip.Message) {
		t.Helper()
		if n := len(slices.Collect(m.Values("X-Way"))); n != 1 {
			t.Errorf("X-Way is there %d times:\n%s", n, m)
		}
	}
	inWorldOf(t, func(w *world) {
		change(w)
		way := []snapshot.Rule{{Name: "way", Direction: "out", On: []string{"INVITE", "BYE"}, Do: []snapshot.Action{{Do: "add", Target: "header.X-Way", Value: "tandem"}}}}
		withRules(way, way)(w)
	}, func(w *world) {
		for _, status := range []int{401, 407} { // which are proven first, then asked for another nonce
			in := w.teams.invite("+442079460123", teamsOffer)
			w.teams.expect("100")
			out := w.core.expect("INVITE")
			once(out)
			w.core.challenge(out, status, fmt.Sprint("n", status))
			out = w.core.expect("INVITE")
			once(out)
			w.core.reply(out, 200, "c1", coreAnswer)
			w.core.expect("ACK")
			teams := w.teams.took(in, w.teams.expect("200"))
			teams.ack("")
			teams.bye()
			bye := w.core.expect("BYE")
			once(bye)
			w.core.challenge(bye, status, fmt.Sprint("m", status))
			bye = w.core.expect("BYE")
			once(bye)
			w.core.reply(bye, 200, "", "")
			synctest.Wait()
		}
	})
}

// Nor does it matter whether the next hop of a dialog has one address or more.
func TestRulesRunWhereAPeerHasSeveralAddresses(t *testing.T) {
	out := []snapshot.Rule{{Name: "way", Direction: "out", On: []string{"BYE", "OPTIONS"}, Do: []snapshot.Action{{Do: "add", Target: "header.X-Way", Value: "tandem"}}}}
	inWorldOf(t, withRules(nil, out), func(w *world) {
		core, _ := w.talk()
		way := w.set.all()[0].ways[relay.Callee]
		other := way.fallback
		other.Addr, other.Via = w.teams2.at, sip.Source{}
		// As if a name in the route set had been looked up.
		way.target, way.others, way.known = way.fallback, []sip.Target{other}, true
		core.bye()
		for _, f := range []*far{w.teams, w.teams2} { // the first says nothing
			bye := f.expect("BYE")
			if n := len(slices.Collect(bye.Values("X-Way"))); n != 1 {
				t.Errorf("X-Way is there %d times:\n%s", n, bye)
			}
			time.Sleep(w.cfg.Limits.withDefaults().FirstResponse)
			if f == w.teams2 {
				f.reply(bye, 200, "", "")
			}
		}
		w.teams.drop()
	})
}
