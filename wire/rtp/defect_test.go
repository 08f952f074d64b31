package rtp

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
)

// A packet that meets a defect of ours is lost; neither the process is, nor its
// port, nor what waits for a lock of that.
func TestAPanicOverAPacketLosesThatPacket(t *testing.T) {
	for name, spoil := range map[string]func(*Port){
		"where it is given to somebody": func(p *Port) {
			p.route.Sink = func([]byte, bool) { panic("a bomb went off") }
		},
		"where it is decrypted, under a lock": func(p *Port) { p.route.in = &context{} },
		"where it is sent, under another": func(p *Port) {
			p.route.To = &Port{tx: sender{to: [2]netip.AddrPort{netip.MustParseAddrPort("192.0.2.9:9")}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var lines strings.Builder
				n := NewNetwork()
				gateway, far := memoryEngine(t, n, "192.0.2.1"), memoryEngine(t, n, "192.0.2.2")
				gateway.log = slog.New(slog.NewTextHandler(&lines, nil))
				a, alice := open(t, gateway), open(t, far)
				a.Remote(alice.Addr(), netip.AddrPort{})
				alice.Remote(a.Addr(), netip.AddrPort{})
				heard := 0
				plan := &Plan{PT: PassPT(), Sink: func([]byte, bool) { heard++ }}
				if err := a.Receive(plan); err != nil {
					t.Fatal(err)
				}
				spoil(a)
				say := func(seq byte) {
					pkt := append([]byte{0x80, 8, 0, seq, 0, 0, 0, seq, 0, 0, 0, 7}, make([]byte, 160)...)
					if err := alice.Send(pkt, nil); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
				}
				say(1)
				say(2)
				if s := a.Stats(); s.Drops[Defect] != 2 {
					t.Errorf("%v", s.Drops)
				}
				if n := strings.Count(lines.String(), "\n"); n != 1 {
					t.Errorf("%d lines of log:\n%s", n, &lines)
				}
				if err := a.Receive(plan); err != nil {
					t.Fatal(err)
				}
				heard = 0
				say(3)
				if heard != 1 {
					t.Error("the port is deaf afterwards")
				}
			})
		})
	}
}
