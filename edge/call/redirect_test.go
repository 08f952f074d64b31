package call

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tandemgw/tandem/link/snapshot"
)

func TestARedirectionIsFollowed(t *testing.T) {
	inWorldOf(t, func(w *world) {
		w.snap.Groups[0].Interworking.History = "diversion"
	}, func(w *world) {
		in := w.teams.invite("+442079460123", teamsOffer)
		w.teams.expect("100")
		first := w.core.expect("INVITE")
		w.core.reply(first, 302, "c1", "", "Contact: <sip:+442079460555@elsewhere.example;q=1>;q=0.3, <sip:+442079460999@10.1.0.2;cause=486>;q=0.7")
		w.core.expect("ACK")
		out := w.core2.expect("INVITE") // the best liked Contact, at the peer that it names
		if to, _ := out.To(); !strings.Contains(out.RequestURI, "+442079460999@") || to.URI.User != "+442079460999" {
			t.Errorf("%s", out)
		}
		if d := out.Get("Diversion"); !strings.Contains(d, "+442079460123") || !strings.Contains(d, "reason=user-busy") {
			t.Errorf("Diversion %q\n%s", d, out)
		}
		if out.Get("Max-Forwards") >= first.Get("Max-Forwards") || out.Get("Call-ID") == first.Get("Call-ID") {
			t.Errorf("%s", out)
		}
		w.core2.reply(out, 200, "c2", coreAnswer)
		w.core2.expect("ACK")
		teams := w.teams.took(in, w.teams.expect("200"))
		teams.ack("")
		w.golden("redirected")
		teams.bye()
		w.core2.reply(w.core2.expect("BYE"), 200, "", "")
		synctest.Wait()
		if r := w.records.last(t); len(r.Attempts) != 2 || r.Attempts[0].Status != 302 || !strings.Contains(r.Attempts[1].Why, "redirected to +442079460999") {
			t.Errorf("%+v", r.Attempts)
		}
	})
}

// A redirection that leads nowhere is told as what it is to the caller's side,
// which is never sent elsewhere.
func TestARedirectionThatLeadsNowhere(t *testing.T) {
	no := false
	for _, tc := range []struct {
		name    string
		contact string
		status  int
		change  func(*snapshot.Snapshot)
	}{
		{"to nobody", "<sip:10.1.0.2>", 302, nil},
		{"to a page", "<https://example.org/>", 302, nil},
		{"to no Contact at all", "", 302, nil},
		{"to another service", "<sip:+442079460999@10.1.0.2>", 380, nil},
		{"to a proxy of its own", "<sip:+442079460999@10.1.0.2>", 305, nil},
		{"of a peer that may not", "<sip:+442079460999@10.1.0.2>", 302, func(s *snapshot.Snapshot) { s.Groups[0].Interworking.Redirect = &no }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorldOf(t, func(w *world) {
				if tc.change != nil {
					tc.change(w.snap)
				}
			}, func(w *world) {
				in := w.teams.invite("+442079460123", teamsOffer)
				w.teams.expect("100")
				resp := []string{"Contact: " + tc.contact}
				if tc.contact == "" {
					resp = nil
				}
				w.core.reply(w.core.expect("INVITE"), tc.status, "", "", resp...)
				w.core.expect("ACK")
				no := w.teams.expect("480")
				w.teams.ackFailure(in, no)
				if no.Has("Contact") {
					t.Errorf("%s", no)
				}
				w.core2.quiet()
			})
		})
	}
}

func TestRedirectionsInALoop(t *testing.T) {
	t.Run("to ever new numbers", func(t *testing.T) {
		inWorld(t, func(w *world) {
			in := w.teams.invite("+442079460123", teamsOffer)
			w.teams.expect("100")
			for i := range maxRedirects + 1 {
				w.core.reply(w.core.expect("INVITE"), 302, "c1", "", fmt.Sprintf("Contact: <sip:+44207946100%d@x.example>", i))
				w.core.expect("ACK")
			}
			w.teams.ackFailure(in, w.teams.expect("480"))
		})
	})
	t.Run("to and fro", func(t *testing.T) {
		inWorld(t, func(w *world) {
			in := w.teams.invite("+442079460123", teamsOffer)
			w.teams.expect("100")
			for _, n := range []string{"1", "2", "1"} {
				w.core.reply(w.core.expect("INVITE"), 302, "c1", "", "Contact: <sip:+44207946000"+n+"@x.example>")
				w.core.expect("ACK")
			}
			w.teams.ackFailure(in, w.teams.expect("480"))
		})
	})
}

// Teams does not redirect, and were it to, the core's call would not follow.
func TestTheCloudDoesNotRedirect(t *testing.T) {
	inWorld(t, func(w *world) {
		in := w.core.invite("+442079460123", coreSDP)
		w.core.expect("100")
		w.teams.reply(w.teams.expect("INVITE"), 302, "t1", "", "Contact: <sip:+442079460999@10.2.0.2>")
		w.teams.expect("ACK")
		w.core.ackFailure(in, w.core.expect("480"))
	})
}

// The target of a transfer may forward it: the one that stays has no INVITE any
// more by then.
func TestTheTargetOfATransferIsRedirected(t *testing.T) {
	inWorld(t, func(w *world) {
		core, teams := w.talk()
		core.requestWith("REFER", "Refer-To: <sip:+442079460999@10.0.1.1>", "Refer-Sub: false")
		w.core.expect("202")
		out := w.core.expect("INVITE")
		w.core.reply(out, 302, "c2", "", "Contact: <sip:+442079460777@10.1.0.2>")
		w.core.expect("ACK")
		out = w.core2.expect("INVITE")
		if from, _ := out.From(); from.URI.User != "+442079460123" || !strings.Contains(out.RequestURI, "+442079460777@") {
			t.Errorf("%s", out)
		}
		w.core2.reply(out, 200, "c3", coreAnswer)
		w.core2.expect("ACK")
		core.bye()
		teams.bye()
		w.core2.reply(w.core2.expect("BYE"), 200, "", "")
	})
}
