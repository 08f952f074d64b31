package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

// connections are those each TLS side opens, as a service of several
// machines does.
const connections = 8

// pendingBytes is what may wait for a connection that the system does not
// read; what comes beyond is lost, as is what overflows a UDP socket.
const pendingBytes = 8 << 20

// side is one far side's signalling: its sockets, and the legs by Call-ID. It
// talks to one place, the system, and answers on the way a request came.
type side struct {
	name      string        // RO
	transport sip.Transport // RO
	addr      netip.AddrPort
	host      string         // RO: what we call ourselves, host:port
	peer      netip.AddrPort // RO: the system
	peerHost  string         // RO: host:port in Request-URI and To
	calls     *calls         // RO: where its requests are answered
	ways      []way          // RO: to send new calls by
	next      atomic.Uint32
	lost      atomic.Uint64 // messages that found no room
	closers   []func() error
	done      sync.WaitGroup

	mu       sync.Mutex
	legs     map[string]leg       // mu
	accepted map[*connection]bool // mu: what the system opened
	closed   bool                 // mu
}

// way is how to reach the system: its UDP address, or one connection.
type way interface {
	send(m *sip.Message)
}

// leg is one end of a call, found by its Call-ID.
type leg interface {
	receive(m *sip.Message, by way)
}

// secrets are what a TLS side presents and trusts.
type secrets struct {
	certificate *tls.Certificate
	roots       *x509.CertPool
	name        string // of the system, in its certificate
}

// listen opens the sockets that the system sends to.
func (s *side) listen(own secrets) error {
	s.legs, s.accepted = map[string]leg{}, map[*connection]bool{}
	if s.transport == sip.UDP {
		return s.listenUDP()
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{*own.certificate}, MinVersion: tls.VersionTLS12}
	l, err := tls.Listen("tcp", s.addr.String(), cfg)
	if err != nil {
		return fmt.Errorf("listen as the %s side: %w", s.name, err)
	}
	s.closers = append(s.closers, l.Close)
	s.done.Go(func() { s.accept(l) })
	return nil
}

func (s *side) listenUDP() error {
	sock, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(s.addr))
	if err != nil {
		return fmt.Errorf("listen as the %s side: %w", s.name, err)
	}
	_ = sock.SetReadBuffer(4 << 20) // the kernel gives what it may
	s.closers = append(s.closers, sock.Close)
	s.ways = []way{&datagrams{sock, s.peer}}
	s.done.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := sock.ReadFromUDPAddrPort(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue // an ICMP error of an earlier packet
			}
			if m, err := sip.Parse(buf[:n:n], sip.Limits{}); err == nil {
				s.receive(m, &datagrams{sock, from})
			}
		}
	})
	return nil
}

// connect opens the connections of a TLS side to the system.
func (s *side) connect(ctx context.Context, own secrets) error {
	if s.transport == sip.UDP || len(s.ways) > 0 {
		return nil
	}
	dialer := tls.Dialer{
		NetDialer: &net.Dialer{Timeout: 3 * time.Second, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(s.addr.Addr(), 0))},
		Config: &tls.Config{
			Certificates: []tls.Certificate{*own.certificate}, RootCAs: own.roots, ServerName: own.name, MinVersion: tls.VersionTLS12,
		},
	}
	var ways []way
	for range connections {
		conn, err := dialer.DialContext(ctx, "tcp", s.peer.String())
		if err != nil {
			for _, w := range ways {
				w.(*connection).close()
			}
			return fmt.Errorf("connect to the system at %v: %w", s.peer, err)
		}
		c := newConnection(s, conn)
		s.closers = append(s.closers, c.close)
		ways = append(ways, c)
	}
	s.ways = ways
	return nil
}

func (s *side) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		s.mu.Lock()
		if s.closed {
			_ = conn.Close()
		} else {
			s.accepted[newConnection(s, conn)] = true
		}
		s.mu.Unlock()
	}
}

func (s *side) close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.accepted {
		_ = c.close()
	}
	s.mu.Unlock()
	for _, f := range s.closers {
		_ = f()
	}
	s.done.Wait()
}

// way takes the connections in turn.
func (s *side) way() way { return s.ways[int(s.next.Add(1))%len(s.ways)] }

func (s *side) put(callID string, l leg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.legs[callID] = l
}

func (s *side) forget(callID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.legs, callID)
}

func (s *side) find(callID string) leg {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.legs[callID]
}

// receive brings a message to its leg. Requests of no leg are answered
// without state: a BYE that was lost and came again has ended its call.
func (s *side) receive(m *sip.Message, by way) {
	l := s.find(m.Get("Call-ID"))
	switch {
	case l != nil:
		l.receive(m, by)
	case m.Method == "INVITE":
		s.calls.answer(s, m, by)
	case m.Method == "OPTIONS":
		s.calls.heard.Add(1)
		by.send(s.response(m, 200))
	case m.Method == "BYE", m.Method == "CANCEL":
		by.send(s.response(m, 200))
	}
}

// response is what every answer of this side has: the route of the proxies on
// the way, a tag, and our Contact.
func (s *side) response(req *sip.Message, status int) *sip.Message {
	m := sip.NewResponse(req, status, "")
	if req.Method == "INVITE" {
		for v := range req.Values("Record-Route") {
			m.Add("Record-Route", v)
		}
	}
	if req.Method != "OPTIONS" {
		m.TagTo("b" + s.name)
	}
	if req.Method == "INVITE" || req.Method == "OPTIONS" {
		m.Set("Contact", s.contact())
		m.Set("Allow", "INVITE,ACK,OPTIONS,CANCEL,BYE")
	}
	return m
}

func (s *side) contact() string { return "<sip:bench@" + s.host + s.param() + ">" }

// param is the URI parameter of the transport.
func (s *side) param() string {
	if s.transport == sip.TLS {
		return ";transport=tls"
	}
	return ""
}

// via is the top Via of a request.
func (s *side) via() string {
	return "SIP/2.0/" + s.transport.String() + " " + s.host + ";branch=" + sip.NewBranch() + ";rport"
}

// datagrams is a UDP address as a way.
type datagrams struct {
	sock *net.UDPConn
	to   netip.AddrPort
}

func (d *datagrams) send(m *sip.Message) {
	buf := scratch.Get().(*[]byte)
	*buf = m.Append((*buf)[:0])
	_, _ = d.sock.WriteToUDPAddrPort(*buf, d.to) // lost like any datagram
	scratch.Put(buf)
}

var scratch = sync.Pool{New: func() any { return new([]byte) }}

// connection is a TLS connection with a writer of its own, so that a system
// that does not read holds up nobody here.
type connection struct {
	side *side
	conn net.Conn

	mu      sync.Mutex
	waiting []byte // mu: to be written
	closed  bool   // mu
	wake    chan struct{}
}

func newConnection(s *side, conn net.Conn) *connection {
	c := &connection{side: s, conn: conn, wake: make(chan struct{}, 1)}
	s.done.Go(c.read)
	s.done.Go(c.write)
	return c
}

func (c *connection) send(m *sip.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.waiting) > pendingBytes {
		c.side.lost.Add(1)
		return
	}
	c.waiting = m.Append(c.waiting)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *connection) write() {
	var out []byte
	for range c.wake {
		c.mu.Lock()
		out, c.waiting = c.waiting, out[:0]
		closed := c.closed
		c.mu.Unlock()
		if closed {
			return
		}
		if _, err := c.conn.Write(out); err != nil {
			_ = c.close()
			return
		}
	}
}

func (c *connection) read() {
	defer func() { _ = c.close() }()
	r := sip.NewReader(c.conn, sip.Limits{})
	for {
		m, err := r.Read()
		var refused *sip.ParseError
		switch {
		case errors.As(err, &refused):
		case err != nil:
			return
		default:
			c.side.receive(m, c)
		}
	}
}

func (c *connection) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	close(c.wake)
	return c.conn.Close()
}
