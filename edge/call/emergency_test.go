package call

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

// TestTheLocationOfAnEmergencyCallerCrosses: whoever answers finds it beside
// the description (RFC 6442).
func TestTheLocationOfAnEmergencyCallerCrosses(t *testing.T) {
	inWorld(t, func(w *world) {
		const location = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:x'/>"
		parts := strings.Join([]string{
			"--b", "Content-Type: application/sdp", "", teamsOffer,
			"--b", "Content-Type: application/pidf+xml", "Content-ID: <x@teams>", "", location, "--b--", "",
		}, "\r\n")
		in := w.teams.invite("112", parts, "Content-Type: multipart/mixed;boundary=b", "Geolocation: <cid:x@teams>")
		w.teams.expect("100")
		out := w.core.expect("INVITE")
		if !strings.HasPrefix(out.Get("Content-Type"), "multipart/mixed") || !strings.Contains(string(out.Body), location) {
			t.Errorf("the core was sent %s:\n%s", out.Get("Content-Type"), out.Body)
		}
		resp := sip.NewResponse(out, 486, "")
		resp.TagTo("c1")
		w.core.send(resp)
		w.core.expect("ACK")
		w.teams.ackFailure(in, w.teams.expect("486"))
	})
}

// emergencyWorld has a peer group that is the emergency service, at core-2,
// which may have one call and has it.
func emergencyWorld(t *testing.T, f func(w *world)) {
	t.Helper()
	inWorldOf(t, func(w *world) {
		core := &w.snap.Groups[0]
		service := *core
		service.Name, service.Peers = "urgent", core.Peers[1:]
		service.Peers[0].Limits = snapshot.Limits{Calls: 1}
		core.Peers = core.Peers[:1]
		w.snap.Groups = append(w.snap.Groups, service)
		w.snap.Policy.GroupService["urgent"] = snapshot.OperatorConnect
		w.snap.Policy.EmergencyGroup = "urgent"
		w.cfg.Limits.Duration = 5 * time.Minute
	}, func(w *world) {
		w.core2.invite("+442079460199", coreSDP)
		w.core2.expect("100")
		w.teams.reply(w.teams.expect("INVITE"), 180, "t0", "")
		w.core2.expect("180")
		f(w)
		w.hangUpAll()
	})
}

// A number of the emergency service is one wherever it stands: limits and long
// talks do not matter, and the service's own peers are asked.
func TestARedirectionToTheEmergencyServiceIsAnEmergencyCall(t *testing.T) {
	emergencyWorld(t, func(w *world) {
		in := w.teams.invite("+442079460123", teamsOffer)
		w.teams.expect("100")
		first := w.core.expect("INVITE")
		w.core.reply(first, 302, "c1", "", "Contact: <sip:112@10.1.0.1>")
		w.core.expect("ACK")
		out := w.core2.expect("INVITE")
		if !strings.HasPrefix(out.RequestURI, "sip:112@") {
			t.Errorf("%s", out)
		}
		w.core2.reply(out, 200, "c2", coreAnswer)
		w.core2.expect("ACK")
		teams := w.teams.took(in, w.teams.expect("200"))
		teams.ack("")
		time.Sleep(10 * time.Minute)
		w.core2.drop() // of the call that was there before
		w.teams.drop()
		teams.bye()
		w.core2.reply(w.core2.expect("BYE"), 200, "", "")
		synctest.Wait()
		if r := w.records.last(t); !r.Emergency || !strings.Contains(r.Attempts[len(r.Attempts)-1].Why, "the emergency service itself") {
			t.Errorf("%+v", r)
		}
	})
}

func TestATransferToTheEmergencyServiceIsAnEmergencyCall(t *testing.T) {
	emergencyWorld(t, func(w *world) {
		core, teams := w.talk()
		core.requestWith("REFER", "Refer-To: <sip:112@10.0.1.1;user=phone>", "Refer-Sub: false")
		w.core.expect("202")
		out := w.core2.expect("INVITE")
		if !strings.HasPrefix(out.RequestURI, "sip:112@") {
			t.Errorf("%s", out)
		}
		w.core2.reply(out, 200, "c2", coreAnswer)
		w.core2.expect("ACK")
		core.bye()
		time.Sleep(10 * time.Minute)
		w.core2.drop() // of the call that was there before
		w.teams.drop()
		teams.bye()
		w.core2.reply(w.core2.expect("BYE"), 200, "", "")
		synctest.Wait()
		if r := w.records.last(t); !r.Emergency || len(r.Transfers) != 1 || r.Transfers[0].Status != 200 {
			t.Errorf("%+v", r)
		}
	})
}

// Nor is it one any more when the transfer comes to nothing.
func TestATransferToTheEmergencyServiceThatFailed(t *testing.T) {
	emergencyWorld(t, func(w *world) {
		core, _ := w.talk()
		core.requestWith("REFER", "Refer-To: <sip:112@10.0.1.1;user=phone>", "Refer-Sub: false")
		w.core.expect("202")
		w.core2.reply(w.core2.expect("INVITE"), 486, "c2", "")
		w.core2.expect("ACK")
		synctest.Wait()
		core.bye()
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
		synctest.Wait()
		if r := w.records.last(t); r.Emergency || len(r.Transfers) != 1 || r.Transfers[0].Status != 486 {
			t.Errorf("%+v", r)
		}
	})
}

// A user of Direct Routing who is transferred there is shown by the number of
// his location, as when he calls.
func TestWhoIsTransferredToTheEmergencyServiceIsShownByHisELIN(t *testing.T) {
	inWorldOf(t, func(w *world) {
		directRouting(w)
		var err error
		w.snap.Numbers, err = snapshot.NewNumbers(snapshot.Number{E164: "+442079460123", Service: snapshot.TeamsDirectRouting, Account: "contoso", ELIN: "+442079460911"})
		if err != nil {
			t.Fatal(err)
		}
		w.snap.Groups[0].Interworking.ELIN = true
	}, func(w *world) {
		core, teams := w.talk()
		core.requestWith("REFER", "Refer-To: <sip:112@10.0.1.1;user=phone>", "Refer-Sub: false")
		w.core.expect("202")
		out := w.core.expect("INVITE")
		if from, _ := out.From(); from.URI.User != "+442079460911" {
			t.Errorf("he is shown as\n%s", out)
		}
		if who := w.set.recalls.of("+442079460911", time.Now()); who != "+442079460123" {
			t.Errorf("%q is called back", who)
		}
		w.core.reply(out, 486, "c2", "")
		w.core.expect("ACK")
		teams.bye()
		w.core.reply(w.core.expect("BYE"), 200, "", "")
	})
}
