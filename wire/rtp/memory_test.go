package rtp

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// packet is an RTP packet of 20 ms PCMA.
func packet(ssrc uint32, seq uint16) []byte {
	b := make([]byte, rtpHeader+160)
	b[0], b[1] = 0x80, 8
	b[2], b[3] = byte(seq>>8), byte(seq)
	ts := uint32(seq) * 160
	b[4], b[5], b[6], b[7] = byte(ts>>24), byte(ts>>16), byte(ts>>8), byte(ts)
	b[8], b[9], b[10], b[11] = byte(ssrc>>24), byte(ssrc>>16), byte(ssrc>>8), byte(ssrc)
	return b
}

func memoryEngine(t *testing.T, n *Network, ip string, allow ...netip.Prefix) *Engine {
	t.Helper()
	e, err := New(Config{Threads: 1, Quarantine: time.Second, Network: n, Interfaces: []Interface{
		{Name: "test", Bind: netip.MustParseAddr(ip), PortMin: 2000, PortMax: 2099, Allow: allow},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func open(t testing.TB, e *Engine) *Port {
	t.Helper()
	p, err := e.Open("test")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRelayInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		gw, ua := memoryEngine(t, n, "192.0.2.1"), memoryEngine(t, n, "192.0.2.2")
		a, b := open(t, gw), open(t, gw)
		alice, bob := open(t, ua), open(t, ua)
		a.Remote(alice.Addr(), alice.RTCPAddr())
		b.Remote(bob.Addr(), bob.RTCPAddr())
		alice.Remote(a.Addr(), a.RTCPAddr())
		bob.Remote(b.Addr(), b.RTCPAddr())
		in, _ := NewKeys("AES_CM_128_HMAC_SHA1_80")
		out, _ := NewKeys("AEAD_AES_256_GCM")
		if err := a.Receive(&Plan{PT: MapPT(map[uint8]uint8{8: 96}), In: in, Out: out, To: b}); err != nil {
			t.Fatal(err)
		}
		var got []byte
		if err := bob.Receive(&Plan{PT: PassPT(), In: out, Sink: func(p []byte, _ bool) { got = append([]byte(nil), p...) }}); err != nil {
			t.Fatal(err)
		}
		if err := alice.Send(packet(1, 1), in); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(got) != 172 || got[1] != 96 {
			t.Fatalf("got % x; gateway %+v, bob %+v", got, a.Stats(), bob.Stats())
		}
	})
}
