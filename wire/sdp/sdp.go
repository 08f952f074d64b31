// Package sdp reads, writes and negotiates session descriptions (RFC 8866,
// RFC 3264, RFC 4568) as pure functions: no I/O, no clock, no randomness.
//
// Start reading at Session and Parse. Offer, Answer, Agree and Bridge are the
// four steps of a gateway that anchors media between two legs: it takes one
// side's description, speaks to the other side under its own address, keys
// and origin, and joins the two results into what the media relay needs.
//
// A description is never forwarded. What leaves is built anew from the few
// facts that must cross (codecs, direction, packet time, the shape of the
// m-lines), so addresses, keys, ICE lines and vendor attributes of one side
// cannot reach the other.
//
// The package refuses to resolve names, to keep state between rounds (the
// caller hands in what was sent and received before) and to choose keys.
package sdp

import (
	"fmt"
	"net/netip"
	"time"
)

// Limits of one description. They are far above anything a telephone sends
// and low enough that a hostile body costs nothing.
const (
	MaxBytes  = 128 << 10 // whole body
	MaxLines  = 1024      // lines of the whole body
	MaxMedia  = 32        // media sections
	MaxCodecs = 64        // formats of one media section
	MaxLine   = 8 << 10   // bytes of one line
)

// ParseError says where a description is wrong.
type ParseError struct {
	Line   int // counted from 1
	Offset int // byte in the body, counted from 0
	Msg    string
}

// Error names line, byte and reason.
func (e *ParseError) Error() string {
	return fmt.Sprintf("sdp: line %d, byte %d: %s", e.Line, e.Offset, e.Msg)
}

// Session is one description. Known lines are fields; every other line is
// kept in Lines and written again at its place.
type Session struct {
	Origin Origin
	Name   string
	Conn   Conn   // c= at session level; zero when absent
	Timing string // t= value; "0 0" for a call
	Media  []Media
	Lines  []Line
}

// Origin is the o= line.
type Origin struct {
	User    string
	ID      uint64
	Version uint64
	Conn    Conn
}

// Conn is a network address as c=, o= and a=rtcp carry it.
type Conn struct {
	Type string // IP4 or IP6
	Host string // literal address or name, without TTL
}

// IP is the literal address; the zero Addr when Host is a name.
func (c Conn) IP() netip.Addr { panic("todo") }

// Null reports the old form of hold, 0.0.0.0 or :: (RFC 3264 8.4).
func (c Conn) Null() bool { panic("todo") }

// ConnOf is the connection data of an IP address.
func ConnOf(a netip.Addr) Conn { panic("todo") }

// Media is one m= section.
type Media struct {
	Kind      string    // audio, video, image, …
	Port      uint16    // 0 = refused or switched off
	Proto     string    // RTP/AVP, RTP/SAVP, RTP/SAVPF, UDP/TLS/RTP/SAVP, udptl, …
	Formats   []string  // formats of a section that is not RTP; nil when it is
	Codecs    []Codec   // formats of an RTP section, in order of preference
	Conn      Conn      // c= of the section, else the session's
	Direction Direction // of the section, else the session's, else sendrecv
	Crypto    []Crypto
	RTCP      RTCP
	Mux       bool          // a=rtcp-mux
	Ptime     time.Duration // 0 = not said
	MaxPtime  time.Duration
	Mid       string
	Label     string
	Lines     []Line
}

// Codec is one RTP payload format.
type Codec struct {
	PT       uint8
	Name     string // as written; empty when neither rtpmap nor RFC 3551 names it
	Rate     int    // clock rate in Hz
	Channels int    // 0 or 1 = one
	Fmtp     string
}

// Crypto is one a=crypto line (RFC 4568).
type Crypto struct {
	Tag      string // kept as text: "0" and duplicates are seen in the field
	Suite    string
	Inline   string // base64 of key||salt
	Lifetime string // "2^31", empty when absent
	MKI      string // "1:1", empty when absent
	Params   string // session parameters and further keys, as written
}

// Master decodes key||salt and checks its length against the suite.
func (c Crypto) Master() ([]byte, error) { panic("todo") }

// RTCP is an a=rtcp line (RFC 3605); Port 0 means the line is absent.
type RTCP struct {
	Port uint16
	Conn Conn // zero = that of the section
}

// Direction is seen from the side that wrote the description.
type Direction uint8

// The directions; the zero value is the default of RFC 8866.
const (
	SendRecv Direction = iota
	SendOnly
	RecvOnly
	Inactive
)

// String is the attribute name.
func (d Direction) String() string { panic("todo") }

// Sends reports whether that side sends media.
func (d Direction) Sends() bool { return d == SendRecv || d == SendOnly }

// Receives reports whether that side receives media.
func (d Direction) Receives() bool { return d == SendRecv || d == RecvOnly }

// Reverse is the same stream seen from the other side.
func (d Direction) Reverse() Direction { panic("todo") }

// Line is a line no field stands for, as "x=value" split in two.
type Line struct {
	Type  byte
	Value string
	field field // not zero: the place where this known field stood
}

type field uint8

// Parse reads a description. The result holds no reference to b.
func Parse(b []byte) (*Session, error) { panic("todo") }

// Append writes the description, CRLF after each line.
func (s *Session) Append(dst []byte) []byte { panic("todo") }

// Bytes is the written description.
func (s *Session) Bytes() []byte { return s.Append(nil) }
