package app

import (
	"context"
	"net"
	"net/netip"
	"testing"
)

// TestEachResolverIsAsked: after one that is silent comes the next.
func TestEachResolverIsAsked(t *testing.T) {
	var servers []netip.AddrPort
	for range 2 {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		servers = append(servers, netip.MustParseAddrPort(c.LocalAddr().String()))
	}
	r, seen := lookUp(servers), map[string]bool{}
	for range servers {
		conn, err := r.Dial(context.Background(), "udp", "")
		if err != nil {
			t.Fatal(err)
		}
		seen[conn.RemoteAddr().String()] = true
		_ = conn.Close()
	}
	if len(seen) != len(servers) {
		t.Errorf("asked: %v", seen)
	}
}
