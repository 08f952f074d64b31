package memnet

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// window is how many bytes one direction of a stream holds before its writer
// blocks, as the two socket buffers of a TCP connection do.
const window = 64 << 10

// conn is one end of a stream.
type conn struct {
	net           *Network       // RO
	local, remote netip.AddrPort // RO
	in, out       *flow          // RO
}

func newPipe(n *Network, a, b netip.AddrPort) (near, far *conn) {
	ab, ba := newFlow(n, a, b), newFlow(n, b, a)
	return &conn{n, a, b, ba, ab}, &conn{n, b, a, ab, ba}
}

func (c *conn) Read(b []byte) (int, error)         { return c.in.read(b) }
func (c *conn) Write(b []byte) (int, error)        { return c.out.write(b) }
func (c *conn) LocalAddr() net.Addr                { return net.TCPAddrFromAddrPort(c.local) }
func (c *conn) RemoteAddr() net.Addr               { return net.TCPAddrFromAddrPort(c.remote) }
func (c *conn) SetReadDeadline(t time.Time) error  { return c.in.setDeadline(&c.in.rdead, t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.out.setDeadline(&c.out.wdead, t) }

func (c *conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *conn) Close() error {
	c.net.mu.Lock()
	delete(c.net.streams, c)
	c.net.mu.Unlock()
	c.in.closeRead()
	c.out.closeWrite()
	return nil
}

// flow is one direction of a stream.
type flow struct {
	net      *Network   // RO
	from, to netip.Addr // RO
	local    netip.AddrPort

	mu           sync.Mutex
	cond         sync.Cond
	chunks       []chunk     // mu
	size         int         // mu
	eof          time.Time   // mu; when the writer's close arrives
	err          error       // mu; for both ends
	hole         bool        // mu; nothing gets through now
	readerGone   bool        // mu
	writerGone   bool        // mu
	rdead, wdead deadline    // mu
	arrival      *time.Timer // mu
}

type chunk struct {
	at time.Time
	b  []byte
}

func newFlow(n *Network, from, to netip.AddrPort) *flow {
	f := &flow{net: n, from: from.Addr(), to: to.Addr(), local: from}
	f.cond.L = &f.mu
	return f
}

func (f *flow) wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cond.Broadcast()
}

func (f *flow) setHole(hole bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hole = hole
	f.cond.Broadcast()
}

func (f *flow) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	f.cond.Broadcast()
}

func (f *flow) setDeadline(d *deadline, t time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	d.set(t, &f.mu, &f.cond)
	return nil
}

func (f *flow) closeRead() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readerGone, f.chunks, f.size = true, nil, 0
	f.rdead.stop()
	if f.arrival != nil {
		f.arrival.Stop()
	}
	f.cond.Broadcast()
}

func (f *flow) closeWrite() {
	latency := f.net.between(f.from, f.to).Latency
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.writerGone {
		f.writerGone, f.eof = true, time.Now().Add(latency)
	}
	f.wdead.stop()
	f.cond.Broadcast()
}

func (f *flow) read(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.readerGone:
			return 0, opError("read", "tcp", f.local, net.ErrClosed)
		case f.err != nil:
			return 0, opError("read", "tcp", f.local, f.err)
		case f.rdead.passed():
			return 0, opError("read", "tcp", f.local, os.ErrDeadlineExceeded)
		}
		if !f.hole {
			if n, err, ok := f.take(b); ok {
				return n, err
			}
		}
		f.cond.Wait()
	}
}

// take reads what has arrived; ok is false when the reader has to wait.
func (f *flow) take(b []byte) (n int, err error, ok bool) {
	now := time.Now()
	if len(f.chunks) == 0 {
		if f.writerGone && !now.Before(f.eof) {
			return 0, io.EOF, true
		}
		if f.writerGone {
			f.wakeAt(f.eof)
		}
		return 0, nil, false
	}
	c := &f.chunks[0]
	if now.Before(c.at) {
		f.wakeAt(c.at)
		return 0, nil, false
	}
	n = copy(b, c.b)
	if c.b = c.b[n:]; len(c.b) == 0 {
		f.chunks = f.chunks[1:]
	}
	f.size -= n
	f.cond.Broadcast()
	return n, nil, true
}

func (f *flow) wakeAt(t time.Time) {
	if f.arrival != nil {
		f.arrival.Stop()
	}
	f.arrival = time.AfterFunc(time.Until(t), f.wake)
}

func (f *flow) write(b []byte) (int, error) {
	latency := f.net.between(f.from, f.to).Latency
	f.mu.Lock()
	defer f.mu.Unlock()
	var written int
	for len(b) > 0 {
		switch {
		case f.writerGone:
			return written, opError("write", "tcp", f.local, net.ErrClosed)
		case f.err != nil:
			return written, opError("write", "tcp", f.local, f.err)
		case f.readerGone:
			return written, opError("write", "tcp", f.local, io.ErrClosedPipe)
		case f.wdead.passed():
			return written, opError("write", "tcp", f.local, os.ErrDeadlineExceeded)
		}
		n := min(len(b), window-f.size)
		if n == 0 {
			f.cond.Wait()
			continue
		}
		f.chunks = append(f.chunks, chunk{time.Now().Add(latency), append([]byte(nil), b[:n]...)})
		f.size += n
		b, written = b[n:], written+n
		f.cond.Broadcast()
	}
	return written, nil
}
