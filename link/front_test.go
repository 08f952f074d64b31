package link

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestSilentConnectionsTakeNoNodesPlace: somebody who opens connections and says
// nothing gets no further than a source's share.
func TestSilentConnectionsTakeNoNodesPlace(t *testing.T) {
	ca := newAuthority(t)
	s, err := Serve(ServerConfig{Node: "control-1", Dir: t.TempDir(), Listen: netip.MustParseAddrPort("127.0.0.1:0"), TLS: ca.node(t, "control-1"), Log: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	silent := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 66)}}
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for range nodesCrowd.OfSource + 5 {
		c, err := silent.DialContext(t.Context(), "tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	for _, c := range held[nodesCrowd.OfSource:] {
		_ = c.SetReadDeadline(time.Now().Add(3 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("a connection above the share of its source: %v", err)
		}
	}
	conn, err := Dial(DialConfig{Node: "r1-a", URLs: []string{"tls://" + s.Addr().String()}, TLS: ca.node(t, "r1-a"), Log: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := conn.Await(ctx); err != nil {
		t.Errorf("a node finds no place: %v", err)
	}
}

func TestTheServerLearnsFromWhereANodeComes(t *testing.T) {
	for want, ends := range map[string][2]string{
		"PROXY TCP4 192.0.2.7 10.0.0.1 4711 4222\r\n":      {"192.0.2.7:4711", "10.0.0.1:4222"},
		"PROXY TCP4 192.0.2.7 10.0.0.1 4712 4222\r\n":      {"[::ffff:192.0.2.7]:4712", "[::ffff:10.0.0.1]:4222"},
		"PROXY TCP6 2001:db8::7 2001:db8::1 4711 4222\r\n": {"[2001:db8::7]:4711", "[2001:db8::1]:4222"},
		"PROXY UNKNOWN\r\n":                                {"pipe", "pipe"},
	} {
		if got := proxyLine(place(ends[0]), place(ends[1])); got != want {
			t.Errorf("%v: %q", ends, got)
		}
	}
}

type place string

func (place) Network() string  { return "tcp" }
func (p place) String() string { return string(p) }
