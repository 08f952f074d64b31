package sip

import (
	"errors"
	"math/rand/v2"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watch has the kernel give a connection up whose far side acknowledges
// nothing any more (TCP_USER_TIMEOUT, tcp(7)): by default it would go on for a
// quarter of an hour. Every message and every keep-alive is thus a test.
func (s *Stack) watch(conn net.Conn) {
	limit := s.cfg.Conns.Unacked
	tcp, ok := conn.(syscall.Conn)
	if !ok || limit < 0 {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return // closed already
	}
	_ = raw.Control(func(fd uintptr) { // without it the transactions' own clocks still run
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
	})
}

// A lost connection is opened again before somebody needs it, so that no call
// pays for the handshake: after one to two seconds first, and with each in
// vain twice as late (RFC 5626 section 4.5, with shorter times, since there is
// one flow and not a spare one beside it). The spread keeps all the nodes that
// lost the same peer from coming back at one moment.
const (
	redialFirst = 2 * time.Second
	redialMost  = time.Minute
)

// redial is a connection to come, with what it takes over from the lost one.
type redial struct {
	timer *time.Timer
	vain  int   // it is the vain-th try, from 1
	used  int64 // Stack.now
}

func redialAfter(vain int) time.Duration {
	d := min(redialFirst<<min(vain-1, 10), redialMost)
	return d - rand.N(d/2+1)
}

// redialLater plans a connection in place of c, unless c ended by our own will
// or nobody has used it for as long as an idle one is kept.
func (s *Stack) redialLater(c *stream, why error) {
	for _, ours := range []error{ErrClosed, errIdle, errRetired, errSlowReader, errSlowSender, ErrFraming} {
		if errors.Is(why, ours) {
			return
		}
	}
	r := &redial{vain: c.vain + 1, used: c.used.Load()}
	switch {
	case c.hasRun() && r.used > c.born:
		r.vain = 1
	case !c.hasRun() && c.vain == 0:
		return // whoever asked for it has been told
	}
	if s.now()-time.Duration(r.used) >= s.cfg.Conns.Idle {
		return
	}
	t := &s.conns
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, planned := t.redials[c.key]; planned || t.closed || t.pool[c.key] != nil {
		return
	}
	r.timer = time.AfterFunc(redialAfter(r.vain), func() {
		s.dial(c.key)
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.redials[c.key] == r { // there was a connection already
			delete(t.redials, c.key)
		}
	})
	t.redials[c.key] = r
}

// hasRun tells whether messages could be exchanged on the stream.
func (c *stream) hasRun() bool {
	select {
	case <-c.up:
		return true
	default:
		return false
	}
}

// resume gives a new connection what was planned for it. The caller holds mu.
func (t *connTable) resume(c *stream) {
	r, ok := t.redials[c.key]
	if !ok {
		return
	}
	r.timer.Stop()
	delete(t.redials, c.key)
	c.vain = r.vain
	c.used.Store(r.used)
}
