package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/phone"
)

// e2eSecret stands in the scenarios as well; the node finds it in its
// environment, so these tests are not parallel.
const e2eSecret = "e2e-secret"

// trunk is what the node proves to a core.
const trunk = `auth: {username: trunk, secretEnv: TANDEM_E2E_SECRET}`

// SIPp computes the digest of each request by itself, and answers 403 when
// ours is another.
func TestSIPpAsksWhoCalls(t *testing.T) {
	needSIPp(t)
	t.Setenv("TANDEM_E2E_SECRET", e2eSecret)
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			w := build(t, setup{transport: transport, operator: trunk})
			core := w.core("uas_auth", 0, "-rtp_echo")
			w.teamsReady()
			f := w.dial(phone.CallSpec{From: user, To: subscriber, Send: audio.Speech(12), Duration: time.Second})
			core.finish()
			heard(t, "what Teams' user said and SIPp returned", audio.Compare(f.Sent, f.Heard))
			if r := w.records(1)[0]; r.Cause.By != record.ByCaller || len(r.Attempts) != 1 {
				t.Errorf("%+v", r)
			}
			if n := core.saw("INVITE"); n != 2 {
				t.Errorf("SIPp saw %d INVITEs", n)
			}
			w.behaved()
		})
	}
}

// SIPp answers our challenge; with the wrong secret it calls nobody.
func TestSIPpMustSayWhoItIs(t *testing.T) {
	needSIPp(t)
	t.Setenv("TANDEM_E2E_SECRET", e2eSecret)
	w := build(t, setup{operator: `demand: {username: sipp, realm: gateway.e2e.example, secretEnv: TANDEM_E2E_SECRET, algorithms: [MD5, SHA-256]}`})
	w.teams.Answer(user, phone.Behaviour{Send: audio.Speech(11)})
	w.teamsReady()
	w.sipp("uac_auth", w.site(0), "-m", "1", "-d", "1000", "-au", "sipp", "-ap", e2eSecret, "-auth_uri", user+"@"+w.gatewayCore().String()).succeeded(20 * time.Second)
	w.received()
	wrong := w.sipp("uac_auth", w.site(0), "-m", "1", "-d", "1000", "-au", "sipp", "-ap", "wrong", "-auth_uri", user+"@"+w.gatewayCore().String())
	if code := wrong.wait(20 * time.Second); code != 1 {
		t.Errorf("with the wrong secret SIPp ended with code %d", code)
	}
	w.records(1)
	if !strings.Contains(w.log.String(), "a peer's proof is wrong") {
		t.Error("the log says nothing of the wrong secret")
	}
	noSecret(w)
}

// Kamailio is the registrar and the proxy of a carrier, with SHA-256.
func TestKamailioRegistersUs(t *testing.T) {
	t.Setenv("TANDEM_E2E_SECRET", e2eSecret)
	// Kamailio wants two minutes at least, and says so with a 423.
	w := build(t, setup{operator: trunk + `, register: {aor: "sip:trunk@carrier.e2e.example", expires: 1m}`})
	kamailio := w.kamailio("kamailio.cfg", "LISTEN=udp:"+w.site(0).String())
	w.until(20*time.Second, func() string {
		r := w.peer("site-0").Registration
		if r == nil || r.Until == nil {
			return fmt.Sprintf("the node is not registered: %+v", r)
		}
		if left := time.Until(*r.Until); left < 100*time.Second || left > 121*time.Second {
			return fmt.Sprintf("registered for %v", left)
		}
		return ""
	})
	if want := "e2e: trunk registers <sip:trunk@" + w.gatewayCore().String() + ">"; !strings.Contains(kamailio.out.String(), want) {
		t.Errorf("Kamailio does not say %q", want)
	}
	if w.metric(`tandem_peer_registered{peer="site-0",side="operator"}`) != 1 {
		t.Error("the metrics do not show the registration")
	}
	w.peerUp("site-0")
	w.teamsReady()
	call, err := w.teams.Dial(w.ctx, phone.CallSpec{From: user, To: subscriber})
	if err == nil {
		<-call.Done()
	}
	r := w.records(1)[0]
	if r.Cause.Status != 486 || !strings.Contains(kamailio.out.String(), "e2e: trunk calls "+subscriber) {
		t.Errorf("%+v", r)
	}
	noSecret(w)
}

// noSecret looks for the secret in what the node says and shows.
func noSecret(w *world) {
	w.t.Helper()
	shown := w.log.String() + fmt.Sprintf("%+v", w.records(1))
	trace, err := w.node.Trace(w.ctx, w.records(1)[0].ID)
	if err != nil {
		w.t.Fatal(err)
	}
	if shown += fmt.Sprintf("%+v", trace); strings.Contains(shown, e2eSecret) {
		w.t.Error("the secret is shown")
	}
}
