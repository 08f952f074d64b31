package sip

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// writeTime is how long one write may take before the peer counts as
	// stuck: the kernel holds far more than one batch of ours.
	writeTime = 10 * time.Second
	// flushTime is what a closing stack grants its connections for what they
	// still hold: the BYEs of a drain.
	flushTime = time.Second
)

var (
	errSlowReader  = errors.New("peer does not read: more is waiting for it than the queue holds")
	errSlowSender  = errors.New("peer did not finish a message in time")
	errIdle        = errors.New("connection was idle")
	errSilent      = errors.New("connection is dead: nothing came on it for as long as a request waited")
	errRetired     = errors.New("connection is replaced by a new one")
	errPeerClosed  = errors.New("peer closed the connection")
	errPerSource   = errors.New("too many connections from this address")
	errHandshakes  = errors.New("too many TLS handshakes under way")
	errNotAdmitted = errors.New("address is not on the allow-list")
)

// stream is a TCP or TLS connection. Its reader goroutine owns it: it dials
// or accepts, shakes hands, reads, and when that ends for whatever reason it
// takes the stream out of the tables and tells the transactions that wait on
// it.
type stream struct {
	s    *Stack         // RO
	l    *listener      // RO
	addr netip.AddrPort // RO
	key  connKey        // RO; of the pool, zero when the peer opened it
	born int64          // RO; Stack.now
	vain int            // RO; it stands in for a lost one, for the vain-th time

	remote *Remote // RO once open: on an inbound TLS connection the certificate decides

	aliases []aliasKey // connTable.mu; its names there
	retired bool       // connTable.mu; it takes nothing new

	mu      sync.Mutex
	raw     net.Conn      // mu; the TCP connection, nil while dialling
	conn    net.Conn      // mu; what is read and written: raw, or TLS on it
	writing bool          // mu; the writer runs, and closes conn
	queue   []byte        // mu; waits for the writer
	closed  bool          // mu; nothing is taken any more
	err     error         // mu; why
	dropped bool          // mu; the writer need not flush
	kick    chan struct{} // wakes the writer
	up      chan struct{} // closed when messages can be read
	done    chan struct{} // closed with closed

	used, heard atomic.Int64 // Stack.now of the last message either way, and of the last read
}

// silent is the time of the last read of a connection without any.
const silent = -1

type connKey struct {
	l      *listener
	addr   netip.AddrPort
	host   string
	remote *Remote
}

// connTable holds the streams: the pool of our own by target, and all.
type connTable struct {
	mu        sync.Mutex
	pool      map[connKey]*stream  // mu
	all       map[*stream]struct{} // mu
	aliases   map[aliasKey]*stream // mu; inbound, RFC 5923
	perSource map[netip.Addr]int   // mu; inbound
	redials   map[connKey]*redial  // mu; connections to come
	closed    bool                 // mu
}

func (t *connTable) init() {
	t.pool = map[connKey]*stream{}
	t.all = map[*stream]struct{}{}
	t.aliases = map[aliasKey]*stream{}
	t.perSource = map[netip.Addr]int{}
	t.redials = map[connKey]*redial{}
}

func (t *connTable) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all)
}

func (t *connTable) shut() {
	t.mu.Lock()
	t.closed = true
	for _, r := range t.redials {
		r.timer.Stop()
	}
	all := make([]*stream, 0, len(t.all))
	for c := range t.all {
		all = append(all, c)
	}
	t.mu.Unlock()
	for _, c := range all {
		c.close(ErrClosed, false)
	}
}

// add takes an inbound stream in, unless its source has too many.
func (t *connTable) add(c *stream, limit int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch src := c.addr.Addr(); {
	case t.closed:
		return ErrClosed
	case t.perSource[src] >= limit:
		return errPerSource
	default:
		t.perSource[src]++
	}
	t.all[c] = struct{}{}
	return nil
}

func (t *connTable) remove(c *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, c)
	t.unalias(c)
	if c.key.l != nil {
		if t.pool[c.key] == c {
			delete(t.pool, c.key)
		}
		return
	}
	src := c.addr.Addr()
	if t.perSource[src]--; t.perSource[src] <= 0 {
		delete(t.perSource, src)
	}
}

func (s *Stack) newStream(l *listener, addr netip.AddrPort) *stream {
	c := &stream{s: s, l: l, addr: addr, kick: make(chan struct{}, 1), up: make(chan struct{}), done: make(chan struct{})}
	c.born = int64(s.now())
	c.used.Store(c.born)
	c.heard.Store(silent)
	return c
}

// dial gives the pooled connection to a target, else the one that the peer
// opened and calls its own way in, and begins one when there is neither:
// callers who come meanwhile share it and wait in its queue.
func (s *Stack) dial(key connKey) *stream {
	t := &s.conns
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.pool[key]; c != nil && c.alive() {
		return c
	}
	if c := t.aliased(key); c != nil {
		return c
	}
	c := s.newStream(key.l, key.addr)
	c.key, c.remote = key, key.remote
	t.resume(c)
	if t.closed {
		c.closed = true
		c.err = ErrClosed
		return c
	}
	t.pool[key] = c
	t.all[c] = struct{}{}
	s.wg.Go(c.runOut)
	return c
}

// accept takes connections in.
func (l *listener) accept() {
	for {
		conn, err := l.accepts.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			if !l.s.pause(err, l) { // out of file descriptors, or the peer was faster
				return
			}
		default:
			l.s.admit(l, conn)
		}
	}
}

// admit decides about a fresh connection before a byte of it is read.
func (s *Stack) admit(l *listener, conn net.Conn) {
	c := s.newStream(l, addrPort(conn.RemoteAddr()))
	c.raw, c.conn = conn, conn
	s.watch(conn)
	remotes := s.cfg.Admit(l.Listener, c.addr.Addr())
	err := errNotAdmitted
	if len(remotes) > 0 {
		err = s.conns.add(c, s.cfg.Conns.PerSource)
	}
	if err != nil {
		s.count.refuse(err)
		s.gripe(err.Error(), c.addr.Addr(), "connection refused", "listener", l.Name, "err", err)
		conn.Close()
		return
	}
	s.wg.Go(func() { c.runIn(remotes) })
}

func (c *stream) runIn(remotes []*Remote) {
	defer c.end()
	c.remote = remotes[0]
	if c.l.Transport == TLS {
		select {
		case c.s.slots <- struct{}{}:
		default:
			c.s.count.refuse(errHandshakes)
			c.close(errHandshakes, true)
			return
		}
		err := c.shake(func(raw net.Conn) *tls.Conn { return tls.Server(raw, c.serverTLS(remotes)) })
		<-c.s.slots
		if err != nil {
			c.s.count.refuse(err)
			c.s.gripe("handshake", c.addr.Addr(), "TLS handshake failed", "listener", c.l.Name, "peer", names(remotes), "err", err)
			c.close(err, true)
			return
		}
	}
	c.run()
}

func names(remotes []*Remote) string {
	var all []string
	for _, r := range remotes {
		all = append(all, r.Name)
	}
	return strings.Join(all, " or ")
}

func (c *stream) runOut() {
	defer c.end()
	ctx, cancel := context.WithTimeoutCause(c.s.closing, c.s.cfg.Conns.Dial, errors.New("no answer to the connection request"))
	raw, err := c.s.cfg.Network.Dial(ctx, "tcp", c.l.local.Addr(), c.addr)
	cancel()
	if err != nil {
		c.close(&TransportError{"dial", c.addr, c.remote.Name, err}, true)
		return
	}
	if !c.opened(raw) {
		return
	}
	if c.l.Transport == TLS {
		if err := c.shake(func(raw net.Conn) *tls.Conn { return tls.Client(raw, c.clientTLS()) }); err != nil {
			c.close(&TransportError{"handshake", c.addr, c.remote.Name, err}, true)
			return
		}
	}
	c.run()
}

// opened notes the connection, so that close can reach it; false when the
// stream was closed meanwhile.
func (c *stream) opened(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		conn.Close()
		return false
	}
	c.raw, c.conn = conn, conn
	c.s.watch(conn)
	return true
}

// run reads until the connection ends; the writer starts with it.
func (c *stream) run() {
	c.mu.Lock()
	c.writing = true
	c.mu.Unlock()
	close(c.up)
	c.s.wg.Go(c.writeLoop)
	r, p := c.paced()
	src := Source{Listener: c.l.Listener, Addr: c.addr, Remote: c.remote, conn: c}
	for {
		p.boundary()
		m, err := r.Read()
		if _, refused := errors.AsType[*ParseError](err); err != nil && !refused {
			c.close(c.explain(err), false)
			return
		}
		if !c.admitted() {
			c.s.count.drop(dropStranger)
			c.close(errNotAdmitted, false)
			return
		}
		c.slow(c.remote.early())
		c.used.Store(int64(c.s.now()))
		c.s.received(m, c.s.tapped(r.Raw()), err, src)
	}
}

// slow lets a peer wait that sends more than it may.
func (c *stream) slow(d time.Duration) {
	if d <= 0 {
		return
	}
	c.s.gripe("throttled", c.addr.Addr(), "peer sends more than it may; its connections are read slowly", "peer", c.remote.Name)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.done:
	}
}

// admitted asks again whether the peer may talk to us on the connection it
// opened: the allow-list may have changed since.
func (c *stream) admitted() bool {
	return c.key.l != nil || slices.Contains(c.s.cfg.Admit(c.l.Listener, c.addr.Addr()), c.remote)
}

// explain makes of a read error what those who wait should know.
func (c *stream) explain(err error) error {
	switch {
	case errors.Is(err, ErrFraming):
		c.s.count.drop(dropFraming)
		c.s.gripe("framing", c.addr.Addr(), "connection closed: the peer's messages cannot be told apart", "peer", c.remote.Name)
	case errors.Is(err, errSlowSender):
		c.s.count.drop(dropSlowSender)
		c.s.gripe("slow sender", c.addr.Addr(), "connection closed: the peer does not finish its message", "peer", c.remote.Name)
	case errors.Is(err, io.EOF):
		err = errPeerClosed
	case c.l.Transport == TLS:
		err = explainAlert(err, c.remote)
	}
	return &TransportError{"read", c.addr, c.remote.Name, err}
}

// end takes the stream out of everything.
func (c *stream) end() {
	c.s.conns.remove(c)
	c.mu.Lock()
	err := c.err
	if c.raw != nil && !c.writing {
		c.raw.Close()
	}
	c.mu.Unlock()
	if _, ok := errors.AsType[*TransportError](err); !ok && err != ErrClosed {
		err = &TransportError{"read", c.addr, c.remote.Name, err}
	}
	c.s.clients.each(func(tx *ClientTx) { tx.flowLost(c, err) })
	if c.key.l != nil {
		c.s.servers.each(func(tx *ServerTx) { tx.flowLost(c, err) })
		c.s.redialLater(c, err)
	}
}

// suspect closes a connection on which a request has had no answer, if
// nothing at all came since it was sent: a firewall that lost its state keeps
// both ends waiting, and the next request shall not join them.
func (c *stream) suspect(since time.Duration) {
	if time.Duration(c.heard.Load()) < since {
		c.close(&TransportError{"read", c.addr, c.remote.Name, errSilent}, true)
	}
}

func (c *stream) alive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.closed
}

// send queues b for the writer. A peer that lets the queue run over is cut
// off: it would otherwise hold the memory of everybody else.
func (c *stream) send(b []byte) error {
	c.mu.Lock()
	switch {
	case c.closed:
		defer c.mu.Unlock()
		return c.err
	case len(c.queue)+len(b) > c.s.cfg.Conns.Queue:
		c.mu.Unlock()
		c.s.count.drop(dropSlowReader)
		err := &TransportError{"write", c.addr, c.remote.Name, errSlowReader}
		c.close(err, true)
		return err
	}
	c.queue = append(c.queue, b...)
	c.mu.Unlock()
	select {
	case c.kick <- struct{}{}:
	default:
	}
	return nil
}

// writeLoop is the one writer. It takes all that waits in one write, and
// hands its buffer back and forth with the queue.
func (c *stream) writeLoop() {
	var spare []byte
	for {
		var last bool
		select {
		case <-c.kick:
		case <-c.done:
			last = true
		}
		c.mu.Lock()
		batch, conn, dropped := c.queue, c.conn, c.dropped
		if c.queue = spare[:0]; last {
			c.queue = nil // a transaction that lingers still holds the stream
		}
		c.mu.Unlock()
		limit := writeTime
		if last {
			limit = flushTime
		}
		if len(batch) > 0 && !dropped {
			_ = conn.SetWriteDeadline(time.Now().Add(limit))
			if _, err := conn.Write(batch); err != nil {
				c.close(&TransportError{"write", c.addr, c.remote.Name, err}, true)
			}
		}
		if last {
			conn.Close()
			return
		}
		if cap(batch) <= keepBuffer {
			spare = batch
		} else {
			spare = nil
		}
	}
}

// keepBuffer is the write buffer a quiet connection may keep: some messages.
const keepBuffer = 16 << 10

// close ends the stream; the first reason stays. Its reader then fails, and
// ends it for everybody. Unless dropped, the writer still writes what waits.
func (c *stream) close(err error, dropped bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed, c.err, c.dropped = true, err, dropped
	close(c.done)
	switch {
	case c.raw == nil: // runOut will see it
	case dropped:
		c.raw.Close() // not TLS's Close, which would wait to say goodbye
	default:
		// The reader leaves at once, the writer when it has flushed.
		_ = c.raw.SetReadDeadline(time.Now())
	}
}

// setReadDeadline does so unless the stream is closed, whose own deadline
// must stand.
func (c *stream) setReadDeadline(t time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	_ = c.conn.SetReadDeadline(t)
	return true
}
