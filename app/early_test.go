package app

import (
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/phone"
)

// TestAnIMSRings: reliable provisional responses, preconditions, an offer that
// comes late and digits by INFO on the core's side; Teams, which knows none of
// them, and the core, which insists on all, find nothing to complain about
// (RFC 3262, 3311, 3312, 6086).
func TestAnIMSRings(t *testing.T) {
	w := build(t, func(w *world) {
		w.write("operator:\n  names:", "operator:\n  interworking: {profile: ims, dtmf: info}\n  names:")
	})
	const early, many = "+14255550103", "+14255550104"
	w.teams.Answer(early, phone.Behaviour{EarlyMedia: true, Ring: time.Second})
	w.teams.Answer(many, phone.Behaviour{EarlyMedia: true, Ring: time.Second, Forks: 3, Early: 1, Winner: 2})
	for i, tc := range []struct {
		name string
		spec phone.CallSpec
	}{
		{"reliably", phone.CallSpec{Reliable: "supported"}},
		{"reliably, and it insists", phone.CallSpec{Reliable: "require"}},
		{"with resources to reserve", phone.CallSpec{Reliable: "supported", Preconditions: true}},
		{"with resources to reserve, and it insists", phone.CallSpec{Reliable: "require", Preconditions: true}},
		{"with a late offer", phone.CallSpec{Reliable: "supported", LateSDP: true}},
		{"with a late offer, and it insists", phone.CallSpec{Reliable: "require", LateSDP: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.t = t
			to := [...]string{early, many}[i%2]
			tc.spec.From, tc.spec.To, tc.spec.Site = "+442079460001", to, "a"
			call, err := w.core.Dial(t.Context(), tc.spec)
			w.must(err)
			w.must(call.Wait(t.Context()))
			if f := call.Facts(); f.Answered.IsZero() {
				t.Fatalf("not answered: %d %s %s", f.Status, f.Reason, f.Error)
			}
			far := w.lastCall(w.teams.Calls(), to)
			w.hear(call, far)
			w.part(call, far)
		})
	}
	t.Run("Teams calls a telephone that rings reliably or not at all", func(t *testing.T) {
		w.t = t
		const number = "+442079460555"
		w.core.Answer(number, phone.Behaviour{Reliable: "require", EarlyMedia: true, Ring: time.Second, Preconditions: true})
		call, err := w.teams.Dial(t.Context(), phone.CallSpec{From: "+14255550101", To: number, Region: "1r1.lab.example"})
		w.must(err)
		w.must(call.Wait(t.Context()))
		far := w.lastCall(w.core.Calls(), number)
		w.hear(call, far)
		w.part(call, far)
	})
	t.Run("digits, by INFO there and as events here", func(t *testing.T) {
		w.t = t
		call, err := w.core.Dial(t.Context(), phone.CallSpec{From: "+442079460001", To: "+14255550101", Site: "a", Digits: "15#", DTMF: "info"})
		w.must(err)
		w.must(call.Wait(t.Context()))
		far := w.lastCall(w.teams.Calls(), "+14255550101")
		w.until(func() string {
			if got := far.Facts().Digits; got != "15#" {
				return "Teams' user has heard the digits " + got
			}
			return ""
		})
		w.part(call, far)
		back, err := w.teams.Dial(t.Context(), phone.CallSpec{From: "+14255550101", To: "+442079460001", Region: "1r1.lab.example", Digits: "*09"})
		w.must(err)
		w.must(back.Wait(t.Context()))
		far = w.lastCall(w.core.Calls(), "+442079460001")
		w.until(func() string {
			if got := far.Facts().Digits; got != "*09" {
				return "the subscriber has heard the digits " + got
			}
			return ""
		})
		w.part(back, far)
	})
	w.t = t
	for _, v := range w.teams.Violations() {
		t.Errorf("Teams complains: %+v", v)
	}
	for _, v := range w.core.Violations() {
		t.Errorf("the core complains: %+v", v)
	}
}
