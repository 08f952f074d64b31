package crowd

import (
	"net"
	"testing"
	"time"
)

func TestNoSourceTakesThePlaceOfOthers(t *testing.T) {
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Bound(raw, Limits{OfSource: 2, OfAll: 3})
	defer l.Close()
	in := make(chan net.Conn, 16)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(in)
				return
			}
			in <- c
		}
	}()
	// dial tells whether a connection from an address is kept.
	dial := func(from string) (kept net.Conn) {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.DialContext(t.Context(), "tcp", raw.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		closed := make(chan struct{})
		go func() { _, _ = c.Read(make([]byte, 1)); close(closed) }()
		select {
		case kept = <-in:
		case <-closed:
		}
		return kept
	}
	first := dial("127.0.0.2")
	if first == nil || dial("127.0.0.2") == nil {
		t.Fatal("a source does not get its share")
	}
	if dial("127.0.0.2") != nil {
		t.Error("a source gets more than its share")
	}
	if dial("127.0.0.3") == nil {
		t.Error("another gets nothing")
	}
	if dial("127.0.0.4") != nil {
		t.Error("there are more than may be in all")
	}
	first.Close()
	first.Close() // twice counts once
	if dial("127.0.0.4") == nil {
		t.Error("one that left made no room")
	}
	if dial("127.0.0.5") != nil {
		t.Error("one that left made room twice")
	}
}

func TestSourcesOfIPv6AreNetworks(t *testing.T) {
	for a, want := range map[string]string{
		"192.0.2.1:1": "192.0.2.1", "[::ffff:192.0.2.1]:1": "192.0.2.1", "[2001:db8::1]:1": "2001:db8::/64", "[2001:db8::2%eth0]:9": "2001:db8::/64",
	} {
		if got := sourceOf(addr(a)); got != want {
			t.Errorf("%s counts for %s, not %s", a, got, want)
		}
	}
}

type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) }
