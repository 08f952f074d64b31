package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/link/record"
)

// baresip's own DTLS is OpenSSL's: it offers, answers and begins as it does by
// itself, towards a Teams with SDES.
func TestBaresipMakesHandshakes(t *testing.T) {
	t.Parallel()
	needBaresip(t)
	for _, x := range []struct {
		keying, enc string
		fromTeams   bool
	}{
		{"dtls", "dtls_srtp", false},
		{"dtls", "dtls_srtp", true},
		{"either", "dtls_srtp", false},
		{"either", "srtp-mand", true},
		{"either", "dtls_srtp", true},
	} {
		name := "core calls Teams"
		if x.fromTeams {
			name = "Teams calls core"
		}
		t.Run(name+", "+x.keying+", "+x.enc, func(t *testing.T) {
			t.Parallel()
			w := build(t, setup{transport: "tls", realCloud: true, operator: "interworking: {keying: " + x.keying + "}"})
			core := w.coreLine("PCMA/8000/1")
			core.account = strings.Replace(core.account, "mediaenc=srtp-mand", "mediaenc="+x.enc, 1)
			p := w.phonesOf(w.teamsLine("PCMA/8000/1"), core)
			p.call(x.fromTeams)
			p.talk(4 * time.Second)
			p.teams.do("/hangup")
			r := p.records(1)[0]
			p.overheard()
			leg := r.Caller
			if x.fromTeams {
				leg = r.Callee
			}
			wants := "DTLS"
			if x.enc == "srtp-mand" {
				wants = ""
			}
			if leg.Keying != wants || leg.SRTP == "" {
				t.Errorf("the core's leg: %q by %q", leg.SRTP, leg.Keying)
			}
		})
	}
}

// A handshake goes on over hold and resume, which are re-INVITEs.
func TestBaresipHoldsWithAHandshake(t *testing.T) {
	t.Parallel()
	needBaresip(t)
	w := build(t, setup{transport: "tls", realCloud: true, operator: "interworking: {keying: dtls}"})
	core := w.coreLine("PCMA/8000/1")
	core.account = strings.Replace(core.account, "mediaenc=srtp-mand", "mediaenc=dtls_srtp", 1)
	p := w.phonesOf(w.teamsLine("PCMA/8000/1"), core)
	p.call(true)
	p.talk(time.Second)
	p.core.do("/hold")
	p.state(record.Held)
	p.core.saidTimes("stream: update 'audio'", 2, 10*time.Second)
	p.core.do("/resume")
	p.state(record.Talking)
	p.talk(3 * time.Second)
	p.core.do("/hangup")
	r := p.records(1)[0]
	sent, _ := p.teams.packets()
	_, received := p.core.packets()
	if received < sent*9/10 && !stalls.lately() || received < 100 {
		t.Errorf("of %d packets from Teams %d arrived", sent, received)
	}
	if r.Cause.By != record.ByCallee {
		t.Errorf("%+v", r.Cause)
	}
}
