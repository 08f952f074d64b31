package sip

import (
	"bytes"
	"errors"
	"io"
)

// ErrFraming is what Read returns once the place where the next message
// begins is lost: close the connection.
var ErrFraming = errors.New("sip: stream framing lost")

// Reader cuts a stream into messages (RFC 3261 18.3). It is used by one
// goroutine.
type Reader struct {
	// Ping is called for each double CRLF between messages (RFC 5626 3.5.1);
	// the answer is one CRLF. nil ignores them.
	Ping func()
	// Pong is asked about a CRLF that may be that answer: true when one was
	// awaited, and then it is not half of a ping. nil awaits none.
	Pong func() bool

	src  io.Reader
	lim  Limits
	buf  []byte // what was read and not yet consumed
	used int    // bytes at its front that the last Read was about
	lost bool
}

// NewReader reads messages from r.
func NewReader(r io.Reader, lim Limits) *Reader {
	return &Reader{src: r, lim: lim.withDefaults()}
}

// Read gives the next message, or the error of the stream: io.EOF at a clean
// end, io.ErrUnexpectedEOF within a message. A message that is refused gives a
// *ParseError, with the message when an answer can be made of it, as Parse
// does; the next Read goes on behind it, or returns ErrFraming.
func (r *Reader) Read() (*Message, error) {
	r.consume(r.used)
	if r.used = 0; r.lost {
		return nil, ErrFraming
	}
	if err := r.skipBreaks(); err != nil {
		return nil, err
	}
	end, err := r.awaitHead()
	if err != nil {
		return nil, err
	}
	r.used = end
	p := parser{lim: r.lim}
	m := p.head(string(r.buf[:end]))
	if m == nil {
		r.lost = true
		return nil, p.err
	}
	if p.length < 0 && !p.broken {
		p.refuse("Content-Length", end, "missing on a stream")
		p.broken = true
	}
	if size := end + max(p.length, 0); size > r.lim.Message || p.length > r.lim.Body {
		p.refuseWith(413, "", end, "body too large")
		p.broken = true
	}
	if p.broken {
		r.lost = true
		return p.result(m)
	}
	r.used = 0 // until it is whole, its bytes are those of a message under way
	if err := r.fill(end + p.length); err != nil {
		return nil, err
	}
	r.used = end + p.length
	p.body(m, bytes.Clone(r.buf[end:r.used]))
	return p.result(m)
}

// Raw is the bytes of what Read gave last, as they came: the whole message,
// or the head of one whose body is not to be had. They are good until the
// next Read.
func (r *Reader) Raw() []byte { return r.buf[:r.used] }

// Begun says whether bytes of the next message are here already.
func (r *Reader) Begun() bool { return len(r.buf) > r.used }

// skipBreaks consumes the line breaks before a message and reports pings.
func (r *Reader) skipBreaks() error {
	breaks := 0
	for {
		n := leadingBreaks(r.buf)
		for _, c := range r.buf[:n] {
			switch {
			case c != '\n':
				continue
			case breaks%2 == 0 && r.Pong != nil && r.Pong():
				continue
			}
			if breaks++; breaks%2 == 0 && r.Ping != nil {
				r.Ping()
			}
		}
		r.consume(n)
		if len(r.buf) > 0 {
			return nil
		}
		if err := r.more(); err != nil {
			return err
		}
	}
}

// awaitHead reads until the empty line behind the headers and tells where the
// body begins.
func (r *Reader) awaitHead() (int, error) {
	for seen := 0; ; {
		if end := headEnd(r.buf, seen); end >= 0 {
			return end, nil
		}
		seen = len(r.buf)
		if seen >= r.lim.Message {
			r.lost = true
			return 0, &ParseError{Offset: seen, Msg: "headers without end"}
		}
		if err := r.fill(len(r.buf) + 1); err != nil {
			return 0, err
		}
	}
}

// headEnd is where the body begins, -1 when the empty line is not there yet.
// The first from bytes are known to hold none.
func headEnd(b []byte, from int) int {
	from = max(from-3, 0)
	if i := bytes.Index(b[from:], []byte("\r\n\r\n")); i >= 0 {
		return from + i + 4
	}
	return -1
}

// fill reads until the buffer holds n bytes of the message it has begun.
func (r *Reader) fill(n int) error {
	for len(r.buf) < n {
		switch err := r.more(); {
		case err == io.EOF:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
	return nil
}

// more reads once. The buffer doubles from 4 KiB and cannot outgrow twice the
// limit of a message, since no caller asks for more.
func (r *Reader) more() error {
	if len(r.buf) == cap(r.buf) {
		grown := make([]byte, len(r.buf), max(4096, 2*len(r.buf)))
		copy(grown, r.buf)
		r.buf = grown
	}
	n, err := r.src.Read(r.buf[len(r.buf):cap(r.buf)])
	r.buf = r.buf[:len(r.buf)+n]
	if n > 0 {
		return nil // the error, if any, comes again
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// consume drops the first n bytes; what remains moves to the front.
func (r *Reader) consume(n int) {
	r.buf = r.buf[:copy(r.buf, r.buf[n:])]
}
