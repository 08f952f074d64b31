package call

import (
	"strings"
	"testing"

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
