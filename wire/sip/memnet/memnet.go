// Package memnet is a network in memory, for tests: datagrams and streams
// between any addresses, with the weather the test asks for. It uses nothing
// but timers, mutexes and condition variables, so it runs in a
// testing/synctest bubble under a fake clock.
//
// One Network is one world: whoever binds an address in it can be reached by
// everybody else. It must be made inside the bubble that uses it.
package memnet

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

// Weather is what happens between two addresses, in both directions.
type Weather struct {
	Latency time.Duration       // one way
	Loss    float64             // share of datagrams that vanish, 0 to 1
	Drop    func(b []byte) bool // datagrams for which it says true vanish; called one at a time
	Hole    bool                // datagrams vanish, dials hang, streams stand still
	Refuse  bool                // dials are refused, datagrams vanish
}

// Network is one world.
type Network struct {
	mu        sync.Mutex
	packets   map[netip.AddrPort]*packetConn
	listeners map[netip.AddrPort]*listener
	streams   map[*conn]struct{}
	weather   map[pair]Weather
	nextPort  uint16
	rand      *rand.Rand
}

type pair struct{ a, b netip.Addr }

// New makes an empty world. Its losses fall the same way every time.
func New() *Network {
	return &Network{
		packets:   map[netip.AddrPort]*packetConn{},
		listeners: map[netip.AddrPort]*listener{},
		streams:   map[*conn]struct{}{},
		weather:   map[pair]Weather{},
		nextPort:  40000,
		rand:      rand.New(rand.NewPCG(1, 2)),
	}
}

var _ sip.Network = (*Network)(nil)

// Set sets the weather between a and b. The zero Addr stands for everybody;
// what is said about a pair goes before what is said about one of it.
func (n *Network) Set(a, b netip.Addr, w Weather) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.weather[pair{a, b}], n.weather[pair{b, a}] = w, w
	for c := range n.streams {
		c.in.setHole(n.lookup(c.remote.Addr(), c.local.Addr()).Hole)
	}
}

// Cut resets every stream connection between a and b; the zero Addr stands
// for everybody. It gives how many there were.
func (n *Network) Cut(a, b netip.Addr) int {
	n.mu.Lock()
	var hit []*conn
	for c := range n.streams {
		if is(a, c.local.Addr()) && is(b, c.remote.Addr()) || is(b, c.local.Addr()) && is(a, c.remote.Addr()) {
			hit = append(hit, c)
		}
	}
	n.mu.Unlock()
	for _, c := range hit {
		c.in.fail(syscall.ECONNRESET)
		c.out.fail(syscall.ECONNRESET)
	}
	return (len(hit) + 1) / 2 // both ends were counted
}

// Streams is how many stream connections stand.
func (n *Network) Streams() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return (len(n.streams) + 1) / 2
}

func is(want, a netip.Addr) bool { return !want.IsValid() || want == a }

func (n *Network) between(a, b netip.Addr) Weather {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lookup(a, b)
}

// lookup is called with mu held.
func (n *Network) lookup(a, b netip.Addr) Weather {
	for _, p := range [...]pair{{a, b}, {a, netip.Addr{}}, {netip.Addr{}, b}, {}} {
		if w, ok := n.weather[p]; ok {
			return w
		}
	}
	return Weather{}
}

func (n *Network) lost(w Weather, b []byte) bool {
	switch {
	case w.Hole || w.Refuse:
		return true
	case w.Drop == nil && w.Loss == 0:
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return w.Drop != nil && w.Drop(b) || n.rand.Float64() < w.Loss
}

// freePort gives an address with a port nobody has; the caller holds mu.
func (n *Network) freePort(a netip.Addr) netip.AddrPort {
	for {
		n.nextPort++
		ap := netip.AddrPortFrom(a, max(n.nextPort, 1024))
		if n.packets[ap] == nil && n.listeners[ap] == nil {
			return ap
		}
	}
}

// ListenPacket opens a datagram socket.
func (n *Network) ListenPacket(addr netip.AddrPort) (sip.PacketConn, error) {
	return n.listenPacket(addr)
}

func (n *Network) listenPacket(addr netip.AddrPort) (*packetConn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if addr.Port() == 0 {
		addr = n.freePort(addr.Addr())
	}
	if n.packets[addr] != nil {
		return nil, opError("listen", "udp", addr, syscall.EADDRINUSE)
	}
	p := &packetConn{net: n, local: addr}
	p.cond.L = &p.mu
	n.packets[addr] = p
	return p, nil
}

// Listen accepts stream connections.
func (n *Network) Listen(addr netip.AddrPort) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if addr.Port() == 0 {
		addr = n.freePort(addr.Addr())
	}
	if n.listeners[addr] != nil {
		return nil, opError("listen", "tcp", addr, syscall.EADDRINUSE)
	}
	l := &listener{net: n, local: addr, queue: make(chan *conn, 128), closed: make(chan struct{})}
	n.listeners[addr] = l
	return l, nil
}

// Dial opens a connection.
func (n *Network) Dial(ctx context.Context, network string, local netip.Addr, remote netip.AddrPort) (net.Conn, error) {
	if !local.IsValid() || local.IsUnspecified() {
		local = remote.Addr() // as the loopback does
	}
	if network == "udp" {
		p, err := n.listenPacket(netip.AddrPortFrom(local, 0))
		if err != nil {
			return nil, err
		}
		p.remote = remote
		return p, nil
	}
	w := n.between(local, remote.Addr())
	if w.Hole {
		<-ctx.Done()
		return nil, opError("dial", "tcp", remote, context.Cause(ctx))
	}
	if err := wait(ctx, 2*w.Latency); err != nil { // SYN and its answer
		return nil, opError("dial", "tcp", remote, err)
	}
	n.mu.Lock()
	l := n.listeners[remote]
	if l == nil || w.Refuse {
		n.mu.Unlock()
		return nil, opError("dial", "tcp", remote, syscall.ECONNREFUSED)
	}
	near, far := newPipe(n, n.freePort(local), remote)
	n.streams[near], n.streams[far] = struct{}{}, struct{}{}
	n.mu.Unlock()
	select {
	case l.queue <- far:
		return near, nil
	case <-l.closed:
	case <-ctx.Done():
	}
	near.Close()
	far.Close()
	return nil, opError("dial", "tcp", remote, syscall.ECONNREFUSED)
}

func wait(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func opError(op, network string, addr netip.AddrPort, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		err = os.ErrDeadlineExceeded
	}
	return &net.OpError{Op: op, Net: network, Addr: net.TCPAddrFromAddrPort(addr), Err: err}
}

type listener struct {
	net    *Network       // RO
	local  netip.AddrPort // RO
	queue  chan *conn
	once   sync.Once
	closed chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, opError("accept", "tcp", l.local, net.ErrClosed)
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.net.mu.Lock()
		delete(l.net.listeners, l.local)
		l.net.mu.Unlock()
		for {
			select {
			case c := <-l.queue:
				c.Close()
			default:
				return
			}
		}
	})
	return nil
}

func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.local) }
