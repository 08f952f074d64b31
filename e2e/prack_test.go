package e2e

import (
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/phone"
)

// A core with reliable provisional responses (RFC 3262) and UPDATE (RFC 3311)
// talks to Teams, which knows neither.

func TestSIPpAcknowledgesWhatRings(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		w := build(t, setup{transport: transport})
		w.teams.Answer(user, phone.Behaviour{EarlyMedia: true, Ring: 3 * time.Second})
		w.teamsReady()
		s := w.sipp("uac_prack", w.site(0), "-m", "1", "-d", "1500", "-rtp_echo")
		call := w.received()
		w.heldAndBack(call)
		s.succeeded(30 * time.Second)
		heardLast(t, w.ended(call))
		if r := w.records(1)[0]; r.Answered == nil || r.Failed() {
			t.Errorf("the record has %+v", r.Cause)
		}
		w.behaved()
	})
}

func TestSIPpRingsReliably(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		w := build(t, setup{transport: transport})
		core := w.core("uas_prack", 0, "-d", "500", "-rtp_echo")
		w.teamsReady()
		f := w.dial(phone.CallSpec{From: user, To: subscriber, Send: audio.Speech(41), Duration: 3 * time.Second})
		core.finish()
		if n := core.saw("PRACK"); n != 2 || f.EarlyAt.IsZero() {
			t.Errorf("SIPp saw %d PRACKs; Teams' user heard of early media at %v", n, f.EarlyAt)
		}
		heard(t, "what Teams' user said and SIPp returned", audio.Compare(f.Sent, f.Heard))
		w.behaved()
	})
}
