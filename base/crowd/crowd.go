// Package crowd bounds how many connections a listener keeps at once. One that
// says nothing costs memory and a file descriptor until it is timed out, and
// the same process needs those for calls.
//
// It looks at addresses alone, before TLS and before any protocol. Start reading
// at Bound.
package crowd

import (
	"net"
	"net/netip"
	"sync"
)

// Limits are how many connections there may be.
type Limits struct {
	OfSource int // from one address; of IPv6, from one network of 64 bits
	OfAll    int
}

// Bound closes connections above the limits at once, as they are accepted. No
// one source fills the place of the others.
func Bound(l net.Listener, limits Limits) net.Listener {
	return &listener{Listener: l, limits: limits, sources: map[string]int{}}
}

type listener struct {
	net.Listener
	limits Limits // RO

	mu      sync.Mutex
	sources map[string]int // mu
	all     int            // mu
}

// Accept waits for the next connection that may be there.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := sourceOf(conn.RemoteAddr())
		if l.enter(from) {
			return &visitor{Conn: conn, leave: sync.OnceFunc(func() { l.leave(from) })}, nil
		}
		_ = conn.Close() // it is one too many
	}
}

func (l *listener) enter(from string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= l.limits.OfAll || l.sources[from] >= l.limits.OfSource {
		return false
	}
	l.all++
	l.sources[from]++
	return true
}

func (l *listener) leave(from string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.sources[from]--; l.sources[from] == 0 {
		delete(l.sources, from)
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

// Close makes room for another.
func (v *visitor) Close() error {
	v.leave()
	return v.Conn.Close()
}
