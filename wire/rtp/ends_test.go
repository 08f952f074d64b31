package rtp

import (
	"net/netip"
	"testing"
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
