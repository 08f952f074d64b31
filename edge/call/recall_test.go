package call

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

// elinBody is a description and a location with an ELIN (RFC 4119).
const elinBody = "--b\r\nContent-Type: application/sdp\r\n\r\n%--b\r\nContent-Type: application/pidf+xml\r\n\r\n" +
	"<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"><tuple id=\"t0\"><status><geopriv xmlns=\"urn:ietf:params:xml:ns:pidf:geopriv10\">" +
	"<location-info><civicAddress xmlns=\"urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr\"><ELIN>+442079460911</ELIN></civicAddress></location-info>" +
	"</geopriv></status></tuple></presence>\r\n--b--\r\n"

// Azure Communications Gateway docs, "Emergency calling for Microsoft Teams
// Direct Routing": the calling number is replaced by the ELIN in the body. A
// call back to it reaches who called, for an hour.
func TestAnEmergencyCallerIsShownByHisELINAndCalledBack(t *testing.T) {
	inWorldOf(t, func(w *world) {
		directRouting(w)
		w.snap.Emergency = []string{"999"}
		w.snap.Groups[0].Interworking.ELIN = true
	}, func(w *world) {
		in := sip.NewRequest("INVITE", "sip:999@c042.1r1.gw.example:5063")
		for _, h := range [][2]string{
			{"Via", "SIP/2.0/UDP " + w.teams.at.String() + ";branch=z9hG4bKelin"},
			{"From", "<sip:+442079460123@sip.pstnhub.example>;tag=ft"},
			{"To", "<sip:999@c042.1r1.gw.example>"},
			{"Call-ID", "elin-1"},
			{"CSeq", "1 INVITE"},
			{"P-Asserted-Identity", "<tel:+442079460123>"},
			{"Privacy", "id"},
			{"Contact", "<sip:" + w.teams.at.String() + ">"},
		} {
			in.Add(h[0], h[1])
		}
		in.SetBody("multipart/mixed;boundary=b", []byte(strings.Replace(elinBody, "%", teamsSDP, 1)))
		w.teams.send(in)
		w.teams.expect("100")
		out := w.core.expect("INVITE")
		if !strings.HasPrefix(out.Get("From"), "<sip:+442079460911@") || !strings.HasPrefix(out.Get("P-Asserted-Identity"), "<sip:+442079460911@") || out.Has("Privacy") {
			t.Errorf("the caller is not shown by the ELIN:\n%s", out)
		}
		w.core.reply(out, 486, "c1", "")
		w.core.expect("ACK")
		w.teams.ackFailure(in, w.teams.expect("486"))

		back := w.core.invite("+442079460911", coreSDP)
		w.core.expect("100")
		if out = w.teams.expect("INVITE"); !strings.HasPrefix(out.RequestURI, "sip:+442079460123@") || out.Get("Contact") != "<sip:c042.1r1.gw.example:5063>" {
			t.Errorf("the call back is not for the caller:\n%s", out)
		}
		w.teams.reply(out, 486, "t1", "")
		w.teams.expect("ACK")
		w.core.ackFailure(back, w.core.expect("486"))

		time.Sleep(recallFor)
		synctest.Wait()
		if who := w.set.recalls.of("+442079460911", time.Now()); who != "" || len(w.set.recalls.by) > 0 {
			t.Errorf("%q is remembered for ever", who)
		}
	})
}

func TestRecallsAreBounded(t *testing.T) {
	var r recalls
	begin := time.Unix(1e9, 0)
	for i := range maxRecalls + 100 {
		r.put("+44"+strconv.Itoa(i), "+1", begin.Add(time.Duration(i)*time.Millisecond))
	}
	last := begin.Add(time.Duration(maxRecalls+100) * time.Millisecond)
	if len(r.by) != maxRecalls || r.of("+4499", last) != "" || r.of("+44100", last) != "+1" || r.of("+44"+strconv.Itoa(maxRecalls+99), last) != "+1" {
		t.Errorf("%d are kept", len(r.by))
	}
	r.put("+44100", "+2", last) // again, which takes nobody's place
	if len(r.by) != maxRecalls || r.of("+44100", last) != "+2" || r.of("+44101", last) != "+1" {
		t.Errorf("%d are kept", len(r.by))
	}
}
