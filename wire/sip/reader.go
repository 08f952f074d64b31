package sip

import (
	"errors"
	"io"
)

// ErrFraming is what Read returns once the place where the next message
// begins is lost: close the connection.
var ErrFraming = errors.New("sip: stream framing lost")

// Reader cuts a stream into messages (RFC 3261 18.3).
type Reader struct {
	// Ping is called for each double CRLF between messages (RFC 5626 3.5.1);
	// the answer is one CRLF. nil ignores them.
	Ping func()
}

// NewReader reads messages from r.
func NewReader(r io.Reader, lim Limits) *Reader { panic("todo") }

// Read gives the next message, or the error of the stream (io.EOF at a clean
// end). A message that is refused gives a *ParseError, with the message when an answer can be
// made of it, as Parse does; the next Read goes on behind it, or returns ErrFraming.
func (r *Reader) Read() (*Message, error) { panic("todo") }
