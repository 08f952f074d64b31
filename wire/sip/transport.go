package sip

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// listener is a Listener at work.
type listener struct {
	*Listener                // RO; what Source shows
	s         *Stack         // RO
	local     netip.AddrPort // RO
	sentBy    string         // RO; host:port in Via and Contact
	host      string         // RO; its parts
	port      uint16         // RO
	packets   PacketConn     // RO; UDP
	accepts   net.Listener   // RO; TCP, TLS
	lag, read atomic.Int64   // of the last datagram: how long it waited, and when it was read
}

// open binds a listener; receiving starts later, when all are bound.
func (s *Stack) open(cfg Listener) error {
	l := &listener{Listener: &cfg, s: s}
	if s.listeners[cfg.Name] != nil {
		return fmt.Errorf("listener %q: there are two of that name", cfg.Name)
	}
	if cfg.Bind.Addr().IsUnspecified() && cfg.Advertise == "" {
		return fmt.Errorf("listener %q is bound to all addresses, so it must say which one it advertises", cfg.Name)
	}
	if cfg.Transport == TLS && cfg.Certificate == nil {
		return fmt.Errorf("listener %q speaks TLS and has no certificate", cfg.Name)
	}
	var bound net.Addr
	var err error
	switch cfg.Transport {
	case UDP:
		if l.packets, err = s.cfg.Network.ListenPacket(cfg.Bind); err == nil {
			bound = l.packets.LocalAddr()
		}
	case TCP, TLS:
		if l.accepts, err = s.cfg.Network.Listen(cfg.Bind); err == nil {
			bound = l.accepts.Addr()
		}
	default:
		err = errors.New("unknown transport")
	}
	if err != nil {
		return fmt.Errorf("listener %q: %w", cfg.Name, err)
	}
	l.local = addrPort(bound)
	l.sentBy = l.advertised()
	if l.host, l.port, err = splitHostPort(l.sentBy); err != nil {
		return errors.Join(fmt.Errorf("listener %q advertises %q: %w", cfg.Name, cfg.Advertise, err), l.close())
	}
	s.listeners[cfg.Name] = l
	return nil
}

// advertised is Advertise with the bound port when it names none.
func (l *listener) advertised() string {
	if l.Advertise == "" {
		return l.local.String()
	}
	if _, _, err := net.SplitHostPort(l.Advertise); err == nil {
		return l.Advertise
	}
	return net.JoinHostPort(strings.Trim(l.Advertise, "[]"), strconv.Itoa(int(l.local.Port())))
}

func splitHostPort(s string) (string, uint16, error) {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, err
	}
	port, err := strconv.ParseUint(p, 10, 16)
	return host, uint16(port), err
}

func (l *listener) receive() {
	if l.Transport == UDP {
		l.readPackets()
		return
	}
	l.accept()
}

func (l *listener) close() error {
	if l.packets != nil {
		return l.packets.Close()
	}
	return l.accepts.Close()
}

// via is the top Via of a request that leaves from here.
func (l *listener) via(branch string) string {
	v := "SIP/2.0/" + l.Transport.String() + " " + l.sentBy + ";branch=" + branch
	if l.Transport == UDP {
		return v + ";rport" // RFC 3581
	}
	return v + ";alias" // RFC 5923: requests to us may come on this connection
}

// flow is a way to a peer: a connection, or a socket and an address. When the
// connection is gone, send opens another to the address.
type flow struct {
	l      *listener
	conn   *stream // nil for UDP
	addr   netip.AddrPort
	host   string // TLS name of another connection
	remote *Remote

	passing bool // what is sent is somebody else's, passed on
}

func (f *flow) key() connKey { return connKey{f.l, f.addr, f.host, f.remote} }

// flowTo finds the way to a target; a connection that does not stand yet is
// begun, and what is sent meanwhile waits in it.
func (s *Stack) flowTo(l *listener, to Target) flow {
	f := flow{l: l, addr: unmapped(to.Addr), host: to.Host, remote: to.Remote}
	if l.Transport == UDP {
		return f
	}
	if c := to.Via.conn; c != nil && c.l == l && c.remote == to.Remote && c.alive() {
		f.conn = c
		return f
	}
	f.conn = s.dial(f.key())
	return f
}

// wayBack is where the responses to one request go (RFC 3261 section 18.2.2,
// RFC 3581). For UDP it is addr: where the request came from if rport was
// asked for, else the port in Via. For streams it is the connection of the
// request while it stands, then a new one to addr, the port in Via.
type wayBack struct {
	l    *listener
	src  Source
	addr netip.AddrPort
	host string // name in Via, for TLS
}

func (s *Stack) wayBack(src Source, via Via) wayBack {
	b := wayBack{l: s.listeners[src.Listener.Name], src: src}
	b.addr = netip.AddrPortFrom(src.Addr.Addr(), defaultPort(b.l.Transport, via.Port))
	if _, ok := via.Params.Get("rport"); ok && b.l.Transport == UDP {
		b.addr = src.Addr
	}
	if b.l.Transport == TLS {
		b.host = dnsName(strings.Clone(via.Host))
	}
	return b
}

// send also tells the connection that was taken, nil for UDP.
func (b wayBack) send(m *Message, raw []byte) (*stream, error) {
	f := flow{l: b.l, conn: b.src.conn, addr: b.addr, host: b.host, remote: b.src.Remote}
	err := f.send(m, raw)
	return f.conn, err
}

func defaultPort(t Transport, port uint16) uint16 {
	switch {
	case port != 0:
		return port
	case t == TLS:
		return 5061
	}
	return 5060
}

// dnsName is host, or "" when it is an address.
func dnsName(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	return host
}

// wire is m's wire form, in no more memory than it needs: transactions and
// traces keep it for long.
func wire(m *Message) []byte {
	b := writing.Get().(*[]byte)
	defer writing.Put(b)
	*b = m.Append((*b)[:0])
	return bytes.Clone(*b)
}

var writing = sync.Pool{New: func() any { return new([]byte) }}

// send brings raw, the wire form of m, on its way. m may be nil when it is
// sent again; it is only shown to the tap.
func (f *flow) send(m *Message, raw []byte) error {
	s, addr, at := f.l.s, f.addr, time.Now()
	var err error
	if f.conn != nil {
		if !f.conn.alive() {
			f.conn = s.dial(f.key())
		}
		addr = f.conn.addr
		f.conn.used.Store(int64(s.now()))
		err = f.conn.send(raw)
	} else {
		_, err = f.l.packets.WriteToUDPAddrPort(raw, addr)
	}
	if err != nil {
		if _, ok := errors.AsType[*TransportError](err); !ok && err != ErrClosed {
			err = &TransportError{Op: "write", Addr: addr, Peer: f.remote.Name, Err: err}
		}
		s.gripe("write", addr.Addr(), "message could not be sent", "peer", f.remote.Name, "err", err)
		s.count.drop(dropUnsent)
		return err
	}
	s.count.sent(raw)
	s.tap(seen{f.l, addr, f.remote, false, at}, m, raw)
	return nil
}

// addrPort reads the address of a socket; IPv4 in IPv6 clothes is undressed.
func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		ap = a.AddrPort()
	case *net.UDPAddr:
		ap = a.AddrPort()
	}
	return unmapped(ap)
}

func unmapped(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
