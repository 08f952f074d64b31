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
	"net/netip"
	"time"
)

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

// Origin is the o= line. ID and Version are digits by RFC 8866 5.2, kept as
// text because equipment that writes otherwise exists and nothing of ours
// depends on another's numbers.
type Origin struct {
	User    string
	ID      string
	Version string
	Conn    Conn
}

// Conn is a network address as c=, o= and a=rtcp carry it.
type Conn struct {
	Type string // IP4 or IP6
	Host string // literal address or name, without TTL
}

// IP is the literal address; the zero Addr when Host is a name.
func (c Conn) IP() netip.Addr {
	a, err := netip.ParseAddr(c.Host)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}
	}
	return a.Unmap()
}

// Null reports the old form of hold, 0.0.0.0 or :: (RFC 3264 8.4).
func (c Conn) Null() bool { return c.IP().IsUnspecified() }

// ConnOf is the connection data of an IP address.
func ConnOf(a netip.Addr) Conn {
	if a = a.Unmap(); a.Is6() {
		return Conn{Type: "IP6", Host: a.String()}
	}
	return Conn{Type: "IP4", Host: a.String()}
}

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
	Ptime     time.Duration // whole milliseconds; 0 = not said
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
	Channels int    // 0 = not said, which means one
	Fmtp     string
}

// RTCP is an a=rtcp line (RFC 3605); Port 0 means the line is absent.
type RTCP struct {
	Port uint16
	Conn Conn // zero = that of the section
}

// Direction is seen from the side that wrote the description.
type Direction uint8

// The directions; the zero value is the default of RFC 8866 6.7.
const (
	SendRecv Direction = iota
	SendOnly
	RecvOnly
	Inactive
)

var directionNames = [...]string{"sendrecv", "sendonly", "recvonly", "inactive"}

// String is the attribute name.
func (d Direction) String() string { return directionNames[d&3] }

// Sends reports whether that side sends media.
func (d Direction) Sends() bool { return d == SendRecv || d == SendOnly }

// Receives reports whether that side receives media.
func (d Direction) Receives() bool { return d == SendRecv || d == RecvOnly }

// Reverse is the same stream seen from the other side.
func (d Direction) Reverse() Direction { return direction(d.Receives(), d.Sends()) }

// direction puts the two halves together.
func direction(sends, receives bool) Direction {
	switch {
	case sends && receives:
		return SendRecv
	case sends:
		return SendOnly
	case receives:
		return RecvOnly
	}
	return Inactive
}

// Line is a line that no field stands for.
type Line struct {
	Type  byte  // 'a', 'b', …
	field field // if set, the place where this known field stood; Value is empty
	Value string
}

// field names what a placeholder among the Lines stands for.
type field uint8

const (
	unknown field = iota
	fieldConn
	fieldTiming
	fieldCodecs
	fieldCrypto
	fieldRTCP
	fieldMux
	fieldPtime
	fieldMaxPtime
	fieldMid
	fieldLabel
	fieldDirection
	fieldEnd
)

// Carried is the section a gateway carries: the first live one of audio over
// RTP; nil when there is none.
func (s *Session) Carried() *Media {
	if i := s.audio(); i >= 0 {
		return &s.Media[i]
	}
	return nil
}

// Wants is the direction with the old form of hold folded in: who names
// 0.0.0.0 cannot receive (RFC 3264 8.4).
func (m *Media) Wants() Direction {
	if m.Conn.Null() {
		return direction(m.Direction.Sends(), false)
	}
	return m.Direction
}

// RTP reports whether the section carries RTP in any of its profiles.
func (m *Media) RTP() bool { return isRTP(m.Proto) }

// Secure reports whether the profile demands SRTP.
func (m *Media) Secure() bool {
	switch m.Proto {
	case "RTP/AVP", "RTP/AVPF":
		return false
	}
	return m.RTP()
}
