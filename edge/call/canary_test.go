package call

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// painted is what a far side must never see of the other one: names,
// addresses, products, keys. Every header and line that could carry one does.
var painted = []string{
	"Record-Route: <sip:rr.canary.example;lr>",
	"User-Agent: CanarySwitch/9", "Server: CanarySwitch/9", "Organization: canary", "Subject: canary",
	"P-Asserted-Identity: \"canary@canary.example\" <sip:+13035550177@canary.example>", "P-Charging-Vector: icid-value=canary",
	"Diversion: <sip:+1@canary.example>", "History-Info: <sip:+1@canary.example>;index=1",
	"Referred-By: <sip:canary@canary.example>", "Call-Info: <http://canary.example/x>", "Alert-Info: <http://canary.example/x>",
	"Warning: 399 canary.example \"canary\"", "Reason: Q.850;cause=16;text=\"canary.example\"", "X-Canary: canary",
	"X-MS-SBC: Canary/1", "X-MS-TenantID: canary.example", "Geolocation: <cid:canary@canary.example>", "Identity: canary",
	"Session-Expires: 1800;refresher=uac", "Allow-Events: canary", "Retry-After: 1800 (canary)", "Via-Canary: canary",
}

func paintSDP(desc, net string) string {
	desc = strings.ReplaceAll(desc, "s=-", "s=canary")
	desc = strings.ReplaceAll(desc, "s=session", "s=canary")
	return strings.Replace(desc, "t=0 0\r\n", "t=0 0\r\na=tool:canary\r\n", 1) +
		"a=candidate:1 1 UDP 99 " + net + ".99 19999 typ host\r\na=ice-ufrag:canary\r\na=ssrc:99 cname:canary@canary.example\r\na=x-canary:1\r\n"
}

// mustNotSing looks at every byte a far side was sent.
func mustNotSing(t *testing.T, w *world, f *far, forbidden ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, m := range w.sent[f.at.String()] {
		n++
		low := strings.ToLower(m)
		for _, c := range append(forbidden, "canary") {
			if strings.Contains(low, strings.ToLower(c)) {
				t.Errorf("%s is shown %q:\n%s", f.name, c, m)
			}
		}
	}
	if n < 3 {
		t.Errorf("only %d messages were looked at", n)
	}
}

// TestNothingOfOneSideReachesTheOther lets painted calls pass, in both
// directions and with all that a call can do, and looks at every byte each
// side was sent.
func TestNothingOfOneSideReachesTheOther(t *testing.T) {
	t.Run("core to cloud", func(t *testing.T) {
		inWorld(t, func(w *world) {
			in := w.core.invite("+442079460123", paintSDP(coreSDP, "10.1.0"), painted[1:]...)
			w.core.expect("100")
			out := w.teams.expect("INVITE")
			w.teams.reply(out, 183, "t1", paintSDP(teamsSDP, "10.2.0"), painted[1:]...)
			w.core.expect("183")
			w.teams.reply(out, 200, "t1", paintSDP(teamsSDP, "10.2.0"), painted[1:]...)
			w.teams.expect("ACK")
			core := w.core.took(in, w.core.expect("200"))
			core.ack("")
			teams := w.teams.gave(out, "t1")
			synctest.Wait()
			paintedRequest(core, "INVITE", turn(paintSDP(coreSDP, "10.1.0"), "sendonly", 2))
			w.core.expect("100")
			w.teams.reply(w.teams.expect("INVITE"), 488, "t1", "", painted...)
			w.teams.expect("ACK")
			w.core.ackFailure(core.invite, w.core.expect("488"))
			paintedRequest(teams, "BYE", "")
			w.teams.expect("200")
			w.core.reply(w.core.expect("BYE"), 200, "", "", painted...)
			synctest.Wait()
			mustNotSing(t, w, w.teams, "10.1.0.", "10.0.1.1", "core", "call-core", "fcore")
			mustNotSing(t, w, w.core, "10.2.0.", "10.0.1.2", "teams", "pstnhub", "1r1.gw", "d1GM2VbCF")
		})
	})
	t.Run("cloud to core, refused", func(t *testing.T) {
		inWorld(t, func(w *world) {
			in := w.teams.invite("+442079460123", paintSDP(teamsOffer, "10.2.0"), painted[1:]...)
			w.teams.expect("100")
			out := w.core.expect("INVITE")
			w.core.reply(out, 180, "c1", "", painted[1:]...)
			w.teams.expect("180")
			w.core.reply(out, 302, "c1", "", append(painted, "Contact: <sip:canary@canary.example>")...)
			w.core.expect("ACK")
			w.core.reply(w.core.expect("INVITE"), 404, "c2", "", painted...) // it is followed
			w.core.expect("ACK")
			w.teams.ackFailure(in, w.teams.expect("404"))
			time.Sleep(time.Second)
			mustNotSing(t, w, w.teams, "10.1.0.", "10.0.1.1")
		})
	})
	t.Run("core to cloud, reliably, with UPDATE and INFO", func(t *testing.T) {
		inWorldOf(t, wants(func(i *snapshot.Interworking) { i.DTMF = "info" }), func(w *world) {
			in := w.core.invite("+442079460123", paintSDP(coreSDP, "10.1.0"), append([]string{can100rel}, painted[1:]...)...)
			w.core.expect("100")
			out := w.teams.expect("INVITE")
			w.teams.reply(out, 183, "t1", paintSDP(teamsSDP, "10.2.0"), append(painted[1:], "RSeq: 1", "P-Early-Media: sendrecv")...)
			media := w.core.expect("183")
			core := w.core.took(in, media)
			cseq, _ := media.CSeq()
			core.send("PRACK", paintSDP(turn(coreSDP, "sendrecv", 2), "10.1.0"), append([]string{"RAck: " + ua.RAck{RSeq: w.core.rseq(media), CSeq: cseq}.String()}, painted[1:]...)...)
			w.core.expect("200")
			core.send("UPDATE", paintSDP(turn(coreSDP, "sendrecv", 3), "10.1.0"), painted[1:]...)
			w.core.expect("200")
			w.teams.reply(out, 200, "t1", paintSDP(teamsSDP, "10.2.0"), painted[1:]...)
			w.teams.expect("ACK")
			w.core.expect("200")
			core.ack("")
			synctest.Wait()
			core.send("UPDATE", paintSDP(turn(coreSDP, "sendonly", 4), "10.1.0"), painted[1:]...)
			w.teams.reply(w.teams.expect("INVITE"), 200, "t1", paintSDP(turn(teamsSDP, "inactive", 2), "10.2.0"), painted[1:]...)
			w.teams.expect("ACK")
			w.core.expect("200")
			core.send("INFO", "", painted[1:]...)
			w.core.expect("200")
			w.over()
			mustNotSing(t, w, w.teams, "10.1.0.", "10.0.1.1", "core", "call-core", "fcore")
			mustNotSing(t, w, w.core, "10.2.0.", "10.0.1.2", "teams", "pstnhub", "1r1.gw", "d1GM2VbCF")
		})
	})
}

// paintedRequest sends a request inside a dialog in full paint.
func paintedRequest(d *dialog, method, body string) {
	m := d.NewRequest(method)
	m.Add("Via", "SIP/2.0/UDP "+d.f.at.String()+";branch="+sip.NewBranch())
	m.Set("Contact", "<sip:"+d.f.at.String()+">")
	for _, h := range painted[1:] {
		name, value, _ := strings.Cut(h, ": ")
		m.Set(name, value)
	}
	if body != "" {
		m.SetBody("application/sdp", []byte(body))
	}
	if method == "INVITE" {
		d.invite = m
	}
	d.f.send(m)
}
