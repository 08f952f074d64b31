package memnet

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// packetQueue is how many datagrams wait for a reader before the next is
// lost, as in a socket buffer.
const packetQueue = 4096

type datagram struct {
	from netip.AddrPort
	b    []byte
}

// packetConn is a datagram socket, connected when remote is valid.
type packetConn struct {
	net    *Network       // RO
	local  netip.AddrPort // RO
	remote netip.AddrPort // RO

	mu       sync.Mutex
	cond     sync.Cond
	queue    []datagram // mu
	closed   bool       // mu
	deadline deadline   // mu
}

func (p *packetConn) deliver(d datagram) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.queue) >= packetQueue || p.remote.IsValid() && p.remote != d.from {
		return
	}
	p.queue = append(p.queue, d)
	p.cond.Signal()
}

func (p *packetConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.closed:
			return 0, netip.AddrPort{}, opError("read", "udp", p.local, net.ErrClosed)
		case len(p.queue) > 0:
			d := p.queue[0]
			p.queue = p.queue[1:]
			return copy(b, d.b), d.from, nil
		case p.deadline.passed():
			return 0, netip.AddrPort{}, opError("read", "udp", p.local, os.ErrDeadlineExceeded)
		}
		p.cond.Wait()
	}
}

func (p *packetConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return 0, opError("write", "udp", p.local, net.ErrClosed)
	}
	w := p.net.between(p.local.Addr(), to.Addr())
	if p.net.lost(w, b) {
		return len(b), nil
	}
	d := datagram{p.local, append([]byte(nil), b...)}
	arrive := func() {
		p.net.mu.Lock()
		q := p.net.packets[to]
		p.net.mu.Unlock()
		if q != nil {
			q.deliver(d)
		}
	}
	if w.Latency == 0 {
		arrive()
	} else {
		time.AfterFunc(w.Latency, arrive)
	}
	return len(b), nil
}

func (p *packetConn) Read(b []byte) (int, error) {
	n, _, err := p.ReadFromUDPAddrPort(b)
	return n, err
}

func (p *packetConn) Write(b []byte) (int, error) { return p.WriteToUDPAddrPort(b, p.remote) }

func (p *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := p.ReadFromUDPAddrPort(b)
	return n, net.UDPAddrFromAddrPort(from), err
}

func (p *packetConn) WriteTo(b []byte, to net.Addr) (int, error) {
	return p.WriteToUDPAddrPort(b, to.(*net.UDPAddr).AddrPort())
}

func (p *packetConn) Close() error {
	p.net.mu.Lock()
	delete(p.net.packets, p.local)
	p.net.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.deadline.stop()
	p.cond.Broadcast()
	return nil
}

func (p *packetConn) LocalAddr() net.Addr  { return net.UDPAddrFromAddrPort(p.local) }
func (p *packetConn) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(p.remote) }

func (p *packetConn) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline.set(t, &p.mu, &p.cond)
	return nil
}

func (p *packetConn) SetWriteDeadline(time.Time) error { return nil } // never blocks
func (p *packetConn) SetDeadline(t time.Time) error    { return p.SetReadDeadline(t) }

// deadline wakes those who wait on a condition when a time has come.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

// set is called with mu held.
func (d *deadline) set(t time.Time, mu *sync.Mutex, cond *sync.Cond) {
	d.stop()
	d.at = t
	cond.Broadcast()
	if t.IsZero() {
		return
	}
	d.timer = time.AfterFunc(time.Until(t), func() {
		mu.Lock()
		defer mu.Unlock()
		cond.Broadcast()
	})
}
