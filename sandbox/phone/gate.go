package phone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

// Faults are the ways in which one site or proxy misbehaves. The zero Faults
// behave.
type Faults struct {
	Status     int           `json:"status,omitempty"`     // answer every new INVITE with this status
	RetryAfter time.Duration `json:"retryAfter,omitempty"` // Retry-After header of that answer
	Silent     bool          `json:"silent,omitempty"`     // answer nothing at all, OPTIONS neither
	Slow       time.Duration `json:"slow,omitempty"`       // wait this long before handling any request
	Refuse     bool          `json:"refuse,omitempty"`     // close new connections before TLS
	NoOptions  bool          `json:"noOptions,omitempty"`  // neither send nor answer OPTIONS
}

// Gate is one signalling socket of an exchange: a Teams proxy, a site of a
// core. It has a stack of its own, so that faults are its own.
type Gate struct {
	Name      string        // RO
	Transport sip.Transport // RO

	x      *Exchange     // RO
	stack  *sip.Stack    // RO
	remote *sip.Remote   // RO; the gateway
	net    *switchboard  // RO
	ready  chan struct{} // RO; closed when the exchange is open
	faults atomic.Pointer[Faults]
}

// Faults are those in force.
func (g *Gate) Faults() Faults {
	if f := g.faults.Load(); f != nil {
		return *f
	}
	return Faults{}
}

// Addr is the socket.
func (g *Gate) Addr() netip.AddrPort { return g.stack.Addr(g.Name) }

// Host is host:port of Via and Contact.
func (g *Gate) Host() string { return g.stack.ContactHost(g.Name) }

// Request sends req to a place; see sip.Stack.Request.
func (g *Gate) Request(req *sip.Message, to sip.Endpoint, h func(sip.Event)) (*sip.ClientTx, error) {
	return g.stack.Request(req, g.target(to), h)
}

func (g *Gate) send(m *sip.Message, to sip.Endpoint) error { return g.stack.Send(m, g.target(to)) }

func (g *Gate) target(to sip.Endpoint) sip.Target {
	return sip.Target{Listener: g.Name, Transport: g.Transport, Addr: to.Addr, Host: to.Host, Remote: g.remote}
}

func openGate(x *Exchange, l sip.Listener, remote *sip.Remote, log *slog.Logger) (*Gate, error) {
	g := &Gate{Name: l.Name, Transport: l.Transport, x: x, remote: remote, net: &switchboard{conns: map[net.Conn]struct{}{}}, ready: make(chan struct{})}
	var err error
	g.stack, err = sip.NewStack(sip.StackConfig{
		Listeners: []sip.Listener{l},
		Network:   g.net,
		Admit:     func(*sip.Listener, netip.Addr) []*sip.Remote { return []*sip.Remote{remote} },
		Handle:    g.handle,
		HandleAck: func(m *sip.Message, src sip.Source) { x.ack(g, m, src) },
		Log:       log,
	})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", l.Name, err)
	}
	return g, nil
}

// isReady waits for the exchange to be open; false when it closed instead.
func (g *Gate) isReady() bool {
	select {
	case <-g.ready:
		return true
	case <-g.x.closing.Done():
		return false
	}
}

// handle delays what faults say.
func (g *Gate) handle(tx *sip.ServerTx) {
	if !g.isReady() {
		return
	}
	if slow := g.Faults().Slow; slow > 0 {
		time.AfterFunc(slow, func() { g.x.handle(g, tx) })
		return
	}
	g.x.handle(g, tx)
}

// Reply answers with m as it stands, where tx.Respond would repair it.
func (g *Gate) Reply(tx *sip.ServerTx, m *sip.Message) error {
	req, src := tx.Request(), tx.Source()
	err := g.stack.Send(m, sip.Target{Listener: g.Name, Transport: g.Transport, Addr: src.Addr, Remote: src.Remote, Via: src})
	// Ends a transaction other than INVITE without a word (RFC 4320).
	return errors.Join(err, tx.Respond(sip.NewResponse(req, 408, "")))
}

// misbehave sets the faults. Whoever was silent has lost parts of its
// connections, so they end with the silence.
func (g *Gate) misbehave(f Faults) {
	g.faults.Store(&f)
	g.net.refuse.Store(f.Refuse)
	if g.net.silent.Swap(f.Silent) && !f.Silent {
		g.net.drop()
	}
}

// switchboard is the operating system's network with a plug that can be
// pulled.
type switchboard struct {
	refuse atomic.Bool // connections are closed as soon as they are accepted
	silent atomic.Bool // nothing is read or written, and nobody told

	mu    sync.Mutex
	conns map[net.Conn]struct{} // mu
}

func (s *switchboard) ListenPacket(addr netip.AddrPort) (sip.PacketConn, error) {
	c, err := sip.OS.ListenPacket(addr)
	if err != nil {
		return nil, err
	}
	return &mute{c, s}, nil
}

func (s *switchboard) Listen(addr netip.AddrPort) (net.Listener, error) {
	l, err := sip.OS.Listen(addr)
	if err != nil {
		return nil, err
	}
	return &plugged{l, s}, nil
}

func (s *switchboard) Dial(ctx context.Context, network string, local netip.Addr, remote netip.AddrPort) (net.Conn, error) {
	c, err := sip.OS.Dial(ctx, network, local, remote)
	if err != nil {
		return nil, err
	}
	return s.plug(c), nil
}

func (s *switchboard) plug(c net.Conn) net.Conn {
	p := &cord{c, s}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[p] = struct{}{}
	return p
}

// drop closes every connection.
func (s *switchboard) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.(*cord).Conn.Close() // its reader finds out, and unplugs it
	}
}

type plugged struct {
	net.Listener
	s *switchboard
}

func (l *plugged) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		switch {
		case err != nil:
			return nil, err
		case l.s.refuse.Load():
			_ = c.Close()
		default:
			return l.s.plug(c), nil
		}
	}
}

// Read swallows what comes while the gate is silent.
func (c *cord) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.s.silent.Load() {
			return n, err
		}
	}
}

func (c *cord) Write(b []byte) (int, error) {
	if c.s.silent.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// mute is a datagram socket that can be silent.
type mute struct {
	sip.PacketConn
	s *switchboard
}

func (m *mute) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		n, from, err := m.PacketConn.ReadFromUDPAddrPort(b)
		if err != nil || !m.s.silent.Load() {
			return n, from, err
		}
	}
}

func (m *mute) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if m.s.silent.Load() {
		return len(b), nil
	}
	return m.PacketConn.WriteToUDPAddrPort(b, to)
}

type cord struct {
	net.Conn
	s *switchboard
}

func (c *cord) Close() error {
	c.s.mu.Lock()
	delete(c.s.conns, c)
	c.s.mu.Unlock()
	return c.Conn.Close()
}
