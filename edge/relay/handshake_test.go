package relay

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sdp"
)

// RFC 5764 5.1.1: RTP and RTCP each have a handshake where they are not
// multiplexed, and each its keys; nothing passes before, and the one who watches
// is told once.
func TestKeysOfHandshakes(t *testing.T) {
	for _, mux := range []bool{true, false} {
		world(t, func(m *Media, far *rtp.Engine) {
			var told []Notice
			m.Watch(func(n Notice) { told = append(told, n) })
			caller, callee := newParty(t, far, m, Caller, false), newParty(t, far, m, Callee, false)
			set(t, m, Caller, caller.agreed(sdp.SendRecv))
			n := callee.agreed(sdp.SendRecv)
			n.Mux, n.DTLS, n.Reports = mux, &rtp.DTLS{Remote: []rtp.Fingerprint{far.Fingerprint()}}, Own
			if !mux {
				n.RTCP = callee.port.RTCPAddr()
			}
			set(t, m, Callee, n)
			hears(t, caller, callee, false)
			if d := m.Stats(Caller).Drops[rtp.Unkeyed]; d != 1 {
				t.Errorf("mux %v: %d packets were dropped for want of keys", mux, d)
			}

			reports := 0
			callee.port.Secure(&rtp.DTLS{Client: true, Remote: []rtp.Fingerprint{m.relay.engine.Fingerprint()}}, mux, func(error) {
				k := callee.port.Secured()
				callee.out = k.Out
				_ = callee.port.Receive(&rtp.Plan{PT: rtp.PassPT(), In: k.In, InRTCP: k.InRTCP, Sink: func(pkt []byte, rtcp bool) {
					if rtcp {
						reports++
					} else {
						callee.heard = append(callee.heard, pkt)
					}
				}})
			})
			if mux {
				callee.port.Remote(m.Local(Callee), m.Local(Callee))
			} else {
				callee.port.Remote(m.Local(Callee), m.LocalRTCP(Callee))
			}
			time.Sleep(3 * time.Second)
			synctest.Wait()
			hears(t, caller, callee, true)
			hears(t, callee, caller, true)
			for range 15 { // seconds, in which reports are due
				time.Sleep(time.Second)
				m.look(time.Now())
				callee.says(t)
			}
			synctest.Wait()
			if reports == 0 {
				t.Errorf("mux %v: no report was understood; %v", mux, callee.port.Stats().Drops)
			}
			set(t, m, Callee, n) // as a re-INVITE that changes nothing
			hears(t, caller, callee, true)
			if len(told) != 1 {
				t.Fatalf("mux %v: told %v", mux, told)
			}
			if k, ok := told[0].(Keyed); !ok || k.Side != Callee || k.Suite != "AEAD_AES_128_GCM" {
				t.Errorf("told %+v", told[0])
			}
		})
	}
}
