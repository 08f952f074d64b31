package e2e

import (
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/phone"
)

// A call may have either kind of address on each side.
func TestIPv6(t *testing.T) {
	t.Parallel()
	needSIPp(t)
	// One after the other: there is only one ::1, and so the ports are the same.
	for _, s := range []struct {
		name string
		setup
	}{
		{"core on IPv6, Teams on IPv4", setup{operatorV6: true}},
		{"core on IPv4, Teams on IPv6", setup{cloudV6: true}},
		{"both on IPv6", setup{operatorV6: true, cloudV6: true}},
	} {
		t.Run(s.name, func(t *testing.T) {
			w := build(t, s.setup)
			w.teams.Answer(user, phone.Behaviour{})
			w.teamsReady()
			w.sipp("uac", w.site(0), "-m", "1", "-d", "2000", "-rtp_echo").succeeded(20 * time.Second)
			f := w.ended(w.received())
			heard(t, "what the called Teams' user said and SIPp returned", audio.Compare(f.Sent, f.Heard))

			core := w.core("uas", 0, "-rtp_echo")
			f = w.dial(phone.CallSpec{From: user, To: subscriber, Duration: 2 * time.Second})
			core.finish()
			heard(t, "what the calling Teams' user said and SIPp returned", audio.Compare(f.Sent, f.Heard))
			w.records(2)
			w.behaved()
		})
	}
}
