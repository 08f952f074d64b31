package app

import (
	"net"
	"net/netip"
	"sync"
)

// How many connections the API keeps at once. One that says nothing costs
// memory and a file descriptor of the node until it is timed out, and calls of
// the same node need those.
const (
	maxOfSource = 256
	maxOfAll    = 4096
)

// crowd closes connections above the limits at once. No one source fills the
// place of the others.
type crowd struct {
	net.Listener

	mu      sync.Mutex
	sources map[string]int // mu
	all     int            // mu
}

func newCrowd(l net.Listener) *crowd { return &crowd{Listener: l, sources: map[string]int{}} }

func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := sourceOf(conn.RemoteAddr())
		if c.enter(from) {
			return &visitor{Conn: conn, leave: sync.OnceFunc(func() { c.leave(from) })}, nil
		}
		_ = conn.Close()
	}
}

func (c *crowd) enter(from string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= maxOfAll || c.sources[from] >= maxOfSource {
		return false
	}
	c.all++
	c.sources[from]++
	return true
}

func (c *crowd) leave(from string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.sources[from]--; c.sources[from] == 0 {
		delete(c.sources, from)
	}
}

// sourceOf is whom a connection counts for: of IPv6 the network, since one
// machine has as many addresses there as it likes.
func sourceOf(a net.Addr) string {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return a.String()
	}
	ip := at.Addr().Unmap().WithZone("")
	if ip.Is6() {
		p, _ := ip.Prefix(64)
		return p.String()
	}
	return ip.String()
}

type visitor struct {
	net.Conn
	leave func()
}

func (v *visitor) Close() error {
	v.leave()
	return v.Conn.Close()
}
