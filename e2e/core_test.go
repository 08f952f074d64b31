package e2e

import (
	"testing"
	"time"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/phone"
)

// transports are those on which the tests of the operator's side run.
var transports = []string{"udp", "tcp"}

// each runs a test once for each transport of the operator's side.
func each(t *testing.T, f func(t *testing.T, transport string)) {
	t.Helper()
	t.Parallel()
	needSIPp(t)
	for _, tr := range transports {
		t.Run(tr, func(t *testing.T) {
			t.Parallel()
			f(t, tr)
		})
	}
}

func TestSIPpCallsTeams(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		w := build(t, setup{transport: transport})
		speech := audio.Speech(11)
		w.teams.Answer(user, phone.Behaviour{Ring: 100 * time.Millisecond, Send: speech})
		w.teamsReady()
		w.sipp("uac", w.site(0), "-m", "1", "-d", "6000", "-rtp_echo").succeeded(20 * time.Second)

		f := w.received().Facts()
		heard(t, "what Teams' user said and SIPp returned", audio.Compare(f.Sent, f.Heard))
		r := w.records(1)[0]
		if r.Callee.SRTP != f.Suite || r.Caller.SRTP != "" || r.Caller.Codec != "PCMA" || r.Callee.Codec != f.Codec {
			t.Errorf("the record has %q %q and %q %q; the call was PCMA in the clear and %s by %s",
				r.Caller.Codec, r.Caller.SRTP, r.Callee.Codec, r.Callee.SRTP, f.Codec, f.Suite)
		}
		w.behaved()
	})
}

// heard fails the test unless somebody heard what was sent.
func heard(t *testing.T, what string, r audio.Report) {
	t.Helper()
	if !r.Same || r.Loss > 0.02 {
		t.Errorf("%s was not heard: %+v", what, r)
		return
	}
	t.Logf("%s was heard: %+v", what, r)
}

var _ = record.Call{}
