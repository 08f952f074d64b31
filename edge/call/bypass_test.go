package call

import (
	"strings"
	"testing"
)

const bypassICE = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\na=candidate:1 1 UDP 2130706431 172.16.0.9 50000 typ host\r\na=rtcp-mux\r\n"

func iceLines(body []byte) (lines []string) {
	for l := range strings.SplitSeq(string(body), "\r\n") {
		if strings.HasPrefix(l, "a=ice") || strings.HasPrefix(l, "a=candidate") {
			lines = append(lines, l)
		}
	}
	return lines
}

func withBypass(w *world) { w.snap.Groups[1].Interworking.Bypass = true }

// Microsoft Teams docs, "Plan for media bypass": one candidate, ICE lite, SDES
// keys, and nothing that changes between an early answer and the final one.
func TestATeamsClientChecksTheWay(t *testing.T) {
	inWorldOf(t, withBypass, func(w *world) {
		in := w.teams.invite("+442079460123", teamsOffer+bypassICE, teamsFrom)
		w.teams.expect("100")
		out := w.core.expect("INVITE")
		if got := iceLines(out.Body); got != nil {
			t.Errorf("the core is told of ICE: %q", got)
		}
		w.core.reply(out, 183, "c1", coreAnswer)
		early := w.teams.expect("183")
		got := iceLines(early.Body)
		if len(got) != 4 || !strings.Contains(strings.Join(got, " "), "typ host") || !strings.Contains(string(early.Body), "a=crypto:") {
			t.Fatalf("ICE in the early answer: %q\n%s", got, early.Body)
		}
		w.core.reply(out, 200, "c1", coreAnswer)
		w.core.expect("ACK")
		ok := w.teams.expect("200")
		if string(ok.Body) != string(early.Body) {
			t.Errorf("the description changed between 183 and 200:\n%s\n%s", early.Body, ok.Body)
		}
		w.teams.took(in, ok).ack("")
		core := w.core.gave(out, "c1")
		core.bye()
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
	})
}

func TestATeamsClientIsCalledWithACandidate(t *testing.T) {
	inWorldOf(t, withBypass, func(w *world) {
		in := w.core.invite("+14255550123", coreSDP)
		w.core.expect("100")
		out := w.teams.expect("INVITE")
		if got := iceLines(out.Body); len(got) != 4 {
			t.Errorf("ICE in the offer: %q\n%s", got, out.Body)
		}
		// A media processor answers without: then the signalled address counts.
		w.teams.reply(out, 200, "t1", teamsSDP)
		w.teams.expect("ACK")
		ok := w.core.expect("200")
		if got := iceLines(ok.Body); got != nil {
			t.Errorf("the core is told of ICE: %q", got)
		}
		core := w.core.took(in, ok)
		core.ack("")
		core.bye()
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
	})
}
