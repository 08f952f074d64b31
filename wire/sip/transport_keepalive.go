package sip

import (
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"time"
)

// A ping and its answer (RFC 5626 section 3.5.1).
var (
	ping = []byte("\r\n\r\n")
	pong = []byte("\r\n")
)

var errNoPong = errors.New("connection is dead: the peer answers our keep-alives no more")

// pacer reads for a Reader under two clocks: between messages the connection
// may be quiet, within one it must go on. In quiet times it sends keep-alives
// on the connections we opened, as RFC 5626 section 4.4.1 leaves it to their
// opener.
//
// A peer need not answer them (RFC 3261 section 7.5 has it ignore line ends),
// so an answer is only demanded of one that has given one before. For the
// others the kernel watches that the bytes are acknowledged: ConnLimits.Unacked.
//
// It belongs to the reader's goroutine. Times are those of Stack.now.
type pacer struct {
	c       *stream
	r       *Reader
	until   time.Duration // deadline of the message under way; 0 between two
	quiet   time.Duration // when the quiet began: the last read, or our last ping
	patient time.Duration // how long it may last before we ping; 0: for ever
	pinged  time.Duration // when the ping left that waits for its answer; 0: none
	answers bool          // the peer has answered one
}

// paced makes the reader of a stream.
func (c *stream) paced() (*Reader, *pacer) {
	p := &pacer{c: c}
	p.r = NewReader(p, c.s.cfg.Limits)
	p.r.Ping = func() { _ = c.send(pong) }
	p.r.Pong = p.pong
	p.rest(c.s.now())
	return p.r, p
}

// boundary says that no message is under way.
func (p *pacer) boundary() { p.until = 0 }

// rest begins a time of quiet. Its length varies, so that a thousand
// connections that were opened together are not all kept alive together.
func (p *pacer) rest(now time.Duration) {
	p.quiet = now
	if every := p.c.s.cfg.Conns.KeepAlive; every > 0 && p.c.key.l != nil {
		p.patient = every - rand.N(every/5+1)
	}
}

// pong takes a line end as the answer to our ping, when one is awaited.
func (p *pacer) pong() bool {
	if p.pinged == 0 {
		return false
	}
	p.pinged, p.answers = 0, true
	return true
}

// Read reads from the connection, and tends it while nothing comes.
func (p *pacer) Read(b []byte) (int, error) {
	s := p.c.s
	for {
		if p.until == 0 && p.r.Begun() {
			p.until = s.now() + s.cfg.Conns.Message
		}
		if !p.c.setReadDeadline(s.start.Add(p.next())) {
			return 0, net.ErrClosed
		}
		n, err := p.c.conn.Read(b)
		now := s.now()
		if n > 0 {
			p.c.heard.Store(int64(now))
			p.rest(now)
		}
		switch {
		case n > 0 || !errors.Is(err, os.ErrDeadlineExceeded):
			return n, err
		case p.until != 0:
			return 0, errSlowSender
		}
		if err := p.tend(now); err != nil {
			return 0, err
		}
	}
}

// next is when something is to be done if nothing comes.
func (p *pacer) next() time.Duration {
	if p.until != 0 {
		return p.until
	}
	next := p.idle()
	if p.patient > 0 {
		next = min(next, p.quiet+p.patient)
	}
	if p.pinged != 0 {
		next = min(next, p.pinged+p.c.s.cfg.Conns.Pong)
	}
	return next
}

// idle is when the connection has been without use for too long. What peers do
// to keep theirs alive is use; what we do for ours is not, or we would keep
// those for ever that nobody needs.
func (p *pacer) idle() time.Duration {
	used := p.c.used.Load()
	if p.c.key.l == nil {
		used = max(used, p.c.heard.Load())
	}
	return time.Duration(used) + p.c.s.cfg.Conns.Idle
}

// tend does what is due on a quiet connection.
func (p *pacer) tend(now time.Duration) error {
	conns := &p.c.s.cfg.Conns
	if now >= p.idle() {
		return errIdle
	}
	if p.pinged != 0 && now >= p.pinged+conns.Pong {
		if p.answers && time.Duration(p.c.heard.Load()) < p.pinged {
			return errNoPong
		}
		p.pinged = 0
	}
	if p.patient > 0 && now >= p.quiet+p.patient {
		p.rest(now)
		p.pinged = now
		_ = p.c.send(ping) // a stream that takes nothing any more ends by itself
	}
	return nil
}
