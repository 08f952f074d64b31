package rtp

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// way is how the packets of one attempt at a handshake come and go, as a
// net.PacketConn: in from the association's mail, out by the port's socket.
type way struct {
	a    *association   // RO
	peer netip.AddrPort // RO; who began; not valid where we did, and where checks say where it is

	closed chan struct{} // by Close
	once   sync.Once
	ended  chan struct{} // by the reader, with end

	mu      sync.Mutex
	first   *letter        // mu; that it began with
	source  netip.AddrPort // mu; of the last packet
	expired chan struct{}  // mu; closed while a read has no time left
	silent  bool           // mu; nothing leaves
	end     error          // mu; why there is no more to read
	better  letter         // the reader's; with errBetter
	taken   int            // the reader's; packets
}

func newWay(a *association, first letter) *way {
	w := &way{a: a, closed: make(chan struct{}), ended: make(chan struct{}), expired: make(chan struct{})}
	if first.pkt != nil {
		w.first = &first
		if !first.direct {
			w.peer = first.src
		}
	}
	return w
}

// ReadFrom gives the next packet of the far side.
func (w *way) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		at, err := w.next()
		if err == nil {
			err = w.judge(at)
		}
		switch {
		case errors.Is(err, errElse):
			continue
		case err != nil:
			return 0, nil, err
		}
		return copy(b, at.pkt), net.UDPAddrFromAddrPort(at.src), nil
	}
}

var errElse = errors.New("rtp: somebody else's packet")

func (w *way) next() (letter, error) {
	w.mu.Lock()
	expired, first := w.expired, w.first
	w.first = nil
	w.mu.Unlock()
	if first != nil {
		return *first, nil
	}
	select {
	case <-w.closed:
		return letter{}, net.ErrClosed
	case <-expired:
		return letter{}, os.ErrDeadlineExceeded
	case at := <-w.a.mail:
		return at, nil
	}
}

// judge: whoever begins has the attempt, until the far side begins from where it
// is signalled to be.
func (w *way) judge(at letter) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.peer.IsValid() && at.src != w.peer && !at.direct {
		if !at.ours || !begins(at.pkt) {
			return errElse
		}
		w.better = at
		return w.over(errBetter)
	}
	if w.taken++; w.taken > maxFlight {
		return w.over(errTooMuch)
	}
	w.source = at.src
	return nil
}

// over ends reading for good. The caller holds mu.
func (w *way) over(err error) error {
	if w.end == nil {
		w.end = err
		close(w.ended)
	}
	return err
}

// failed is why reading has ended; nil when it has not by itself.
func (w *way) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.end
}

// from is where the last packet came from.
func (w *way) from() netip.AddrPort {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.source
}

// WriteTo sends to whoever began, else to where the far side is.
func (w *way) WriteTo(b []byte, _ net.Addr) (int, error) {
	w.mu.Lock()
	silent, to := w.silent, w.peer
	w.mu.Unlock()
	p := w.a.port
	p.tx.Lock()
	defer p.tx.Unlock()
	if silent || p.tx.closed {
		return len(b), nil
	}
	if !to.IsValid() {
		to = p.tx.to[w.a.kind]
	}
	if to.IsValid() {
		// What the network refuses is sent again, like what it loses.
		_ = p.engine.tier.send(p.sockets[w.a.kind], b, to)
	}
	return len(b), nil
}

// mute: nothing leaves any more.
func (w *way) mute() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silent = true
}

// Close ends reading.
func (w *way) Close() error {
	w.once.Do(func() { close(w.closed) })
	return nil
}

// SetReadDeadline ends a read at once, or lets it wait for ever: nothing else is
// asked of it, a context being turned into one or the other.
func (w *way) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.expired:
		if t.IsZero() {
			w.expired = make(chan struct{})
		}
	default:
		if !t.IsZero() {
			close(w.expired)
		}
	}
	return nil
}

// SetWriteDeadline does nothing: writing does not wait.
func (w *way) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline is SetReadDeadline.
func (w *way) SetDeadline(t time.Time) error { return w.SetReadDeadline(t) }

// LocalAddr is the socket's.
func (w *way) LocalAddr() net.Addr {
	return net.UDPAddrFromAddrPort(w.a.port.sockets[w.a.kind].addr)
}
