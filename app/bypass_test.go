package app

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/sandbox/teams"
)

// bypassed is a world whose trunk has media bypass: users' clients are outside
// of every range that the node has been told of, and check the way. More is what
// else is said of interworking.
func bypassed(t *testing.T, more string) *world {
	t.Helper()
	return buildOf(t, func(cfg *teams.Config) { cfg.Clients = netip.MustParseAddr("127.78.66.6") }, func(w *world) {
		w.write("sources: [127.78.2.0/24]", "sources: [127.78.2.0/24]\n    interworking: {bypass: true"+more+"}")
	})
}

// checkedBy waits until a call's client has nominated the gateway's candidate.
func (w *world) checkedBy(c *phone.Call) {
	w.t.Helper()
	w.until(func() string {
		if s := c.Brief().ICE; s == nil || !s.Nominated {
			return "the client has not nominated a pair"
		}
		return ""
	})
}

// unbroken fails the test when the gateway has broken a rule of Teams'.
func (w *world) unbroken() {
	w.t.Helper()
	for _, f := range w.teams.Faults() {
		w.t.Errorf("%s: %s (%s)", f.Rule, f.Message, f.Source)
	}
}

// Microsoft Teams docs, "Plan for media bypass": a client calls and is called,
// is on hold, moves, and its media come only by the way that it has checked.
func TestMediaBypass(t *testing.T) {
	w := bypassed(t, "")
	const number = "+14255550110"
	w.teams.Answer(number, phone.Behaviour{Bypass: true})
	w.core.Answer("+442079460110", phone.Behaviour{EarlyMedia: true, Ring: time.Second})
	for _, x := range []struct {
		name  string
		teams bool
	}{{"a client calls", true}, {"a client is called", false}} {
		t.Run(x.name, func(t *testing.T) {
			w.t = t
			var client, core *phone.Call
			var err error
			if x.teams {
				client, err = w.teams.Dial(t.Context(), phone.CallSpec{From: "+14255550101", To: "+442079460110", Region: "1r1.lab.example", Bypass: true})
				w.must(err)
				w.must(client.Wait(t.Context()))
				core = w.lastCall(w.core.Calls(), "+442079460110")
			} else {
				core, err = w.core.Dial(t.Context(), phone.CallSpec{From: "+442079460001", To: number, Site: "a"})
				w.must(err)
				w.must(core.Wait(t.Context()))
				client = w.lastCall(w.teams.Calls(), number)
			}
			w.checkedBy(client)
			w.hear(client, core)
			if at := w.node.calls.Live()[0]; !slices.ContainsFunc([]string{at.Caller.Media.Remote, at.Callee.Media.Remote}, func(s string) bool { return strings.HasPrefix(s, "127.78.66.6:") }) {
				t.Errorf("media do not come from the client: %s and %s", at.Caller.Media.Remote, at.Callee.Media.Remote)
			}

			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			w.must(core.Hold(ctx))
			w.must(core.Resume(ctx))
			w.hear(client, core)

			before := *client.Brief().ICE
			w.must(client.RestartICE(ctx))
			w.until(func() string {
				if s := client.Brief().ICE; !s.Nominated || s.Answers <= before.Answers || s.Restarts != 1 {
					return "the restart is not over"
				}
				return ""
			})
			w.hear(client, core)
			w.must(client.Refresh(ctx))
			w.part(core, client)
			w.unbroken()
		})
	}
}

// Three clients ring and check the way at once; the one that answers is heard.
// Beside the keys that Teams demands the offer has DTLS, which it leaves alone.
func TestMediaBypassWithForks(t *testing.T) {
	w := bypassed(t, ", keying: either")
	const number = "+14255550111"
	w.teams.Answer(number, phone.Behaviour{Bypass: true, Forks: 3, Winner: 1, Ring: 1500 * time.Millisecond})
	core, err := w.core.Dial(t.Context(), phone.CallSpec{From: "+442079460001", To: number, Site: "a"})
	w.must(err)
	w.must(core.Wait(t.Context()))
	client := w.lastCall(w.teams.Calls(), number)
	w.checkedBy(client)
	w.hear(client, core)
	if offer := client.Facts().Invite; !strings.Contains(offer, "a=fingerprint:") || !strings.Contains(offer, "a=crypto:") {
		t.Errorf("the offer has not both:\n%s", offer)
	}
	rivals := client.Brief().Rivals
	if len(rivals) != 2 {
		t.Fatalf("%d rivals", len(rivals))
	}
	for i, s := range rivals {
		if !s.Valid || s.Nominated {
			t.Errorf("rival %d: %+v", i, s)
		}
	}
	w.part(core, client)
	w.unbroken()
}

// A client with ICE at a gateway that has none: Teams refuses, and says why.
func TestMediaBypassThatIsNotConfigured(t *testing.T) {
	w := buildOf(t, func(cfg *teams.Config) { cfg.Clients = netip.MustParseAddr("127.78.66.6") })
	const number = "+14255550112"
	w.teams.Answer(number, phone.Behaviour{Bypass: true})
	core, err := w.core.Dial(t.Context(), phone.CallSpec{From: "+442079460001", To: number, Site: "a"})
	w.must(err)
	_ = core.Wait(t.Context())
	if f := core.Facts(); !f.Answered.IsZero() {
		t.Fatal("it was answered")
	}
	if !slices.ContainsFunc(w.teams.Calls(), func(c *phone.Call) bool {
		f := c.Brief()
		return f.Status == 488 && strings.Contains(f.Reason, "531027")
	}) {
		t.Error("Teams has not said 531027")
	}
}
