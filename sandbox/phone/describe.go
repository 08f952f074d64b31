package phone

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sdp"
)

// Dialect is how a side writes its session descriptions. Texts are written
// here and not by wire/sdp: they are to be what that package has not thought
// of.
type Dialect struct {
	Origin     string        // address in o=; empty means the media address
	Name       string        // s=
	Formats    []Format      // of an offer, in order
	Crypto     []CryptoOffer // of an offer; none means RTP in the clear
	Attributes []string      // further media attributes of an offer, without "a="
	HoldAs     sdp.Direction // how this side puts the other on hold
	HoldNull   bool          // and with 0.0.0.0 for an address, as of old (RFC 3264 section 8.4)
}

// Format is one payload format.
type Format struct {
	PT   uint8
	Map  string // "PCMA/8000"
	Fmtp string
}

// CryptoOffer is one a=crypto line of an offer.
type CryptoOffer struct{ Tag, Suite string }

// Why a description is refused, 488 in each case.
var (
	ErrNoCodec  = errors.New("no codec in common")
	ErrNoCrypto = errors.New("SRTP is required")
	ErrCrypto   = errors.New("SRTP is not understood here")
	ErrAddress  = errors.New("black hole address")
	ErrSyntax   = errors.New("description cannot be read")
)

// session is what one dialog's descriptions agreed on so far.
type session struct {
	dialect *Dialect // RO
	codec   string   // RO; the only G.711 law to use, "" for either
	twice   bool     // RO; two crypto lines in an answer
	addr    netip.AddrPort
	rtcp    uint16
	id      uint64
	version uint64

	offered map[string]*rtp.Keys // by tag, ours
	answer  *rtp.Keys            // ours in answers; kept so that hold does not change it
	sent    []byte               // our offer, while it is the newest of our descriptions
	holding bool                 // we hold them
	remote  *sdp.Session         // what they sent last
	raw     string               // and its text
	now     stream
	suite   string
	peer    netip.AddrPort
	peerCtl netip.AddrPort
}

// direction is what we want now.
func (s *session) direction() sdp.Direction {
	if s.holding {
		return s.dialect.HoldAs
	}
	return sdp.SendRecv
}

func (s *session) secure() bool { return len(s.dialect.Crypto) > 0 }

// offer writes an offer.
func (s *session) offer() ([]byte, error) {
	var lines []string
	for _, c := range s.dialect.Crypto {
		if s.offered[c.Tag] == nil {
			k, err := rtp.NewKeys(c.Suite)
			if err != nil {
				return nil, err
			}
			s.offered[c.Tag] = k
		}
		lines = append(lines, cryptoLine(c.Tag, s.offered[c.Tag], ""))
	}
	formats := slices.DeleteFunc(slices.Clone(s.dialect.Formats), func(f Format) bool {
		name, _, _ := strings.Cut(f.Map, "/")
		return s.codec != "" && name != s.codec && (name == audio.ALaw.String() || name == audio.MuLaw.String())
	})
	proto := "RTP/AVP"
	if s.secure() {
		proto = "RTP/SAVP"
	}
	s.sent = s.write(proto, formats, slices.Concat(s.dialect.Attributes, lines), s.direction())
	return s.sent, nil
}

func cryptoLine(tag string, k *rtp.Keys, more string) string {
	return "crypto:" + tag + " " + k.Suite + " inline:" + base64.StdEncoding.EncodeToString(k.Master) + "|2^31" + more
}

// write puts a description together, with the next version number.
func (s *session) write(proto string, formats []Format, attributes []string, d sdp.Direction) []byte {
	var b strings.Builder
	line := func(format string, a ...any) { fmt.Fprintf(&b, format+"\r\n", a...) }
	family := "IP4"
	if s.addr.Addr().Is6() {
		family = "IP6"
	}
	origin := family + " " + s.addr.Addr().String()
	if s.dialect.Origin != "" {
		origin = "IP4 " + s.dialect.Origin
	}
	line("v=0\r\no=- %d %d IN %s\r\ns=%s", s.id, s.version, origin, s.dialect.Name)
	address := s.addr.Addr().String()
	if s.holding && s.dialect.HoldNull {
		family, address = "IP4", "0.0.0.0"
	}
	line("c=IN %s %s\r\nt=0 0", family, address)
	s.version++
	pts := ""
	for _, f := range formats {
		pts += " " + strconv.Itoa(int(f.PT))
	}
	line("m=audio %d %s%s", s.addr.Port(), proto, pts)
	line("a=rtcp:%d", s.rtcp)
	for _, a := range attributes {
		line("a=%s", a)
	}
	line("a=%v", d)
	for _, f := range formats {
		line("a=rtpmap:%d %s", f.PT, f.Map)
		if f.Fmtp != "" {
			line("a=fmtp:%d %s", f.PT, f.Fmtp)
		}
	}
	line("a=ptime:20")
	return []byte(b.String())
}

// read takes a description of the far side in: the audio section and its
// G.711 and event numbers.
func (s *session) read(body []byte) (m *sdp.Media, st stream, err error) {
	d, err := sdp.Parse(body)
	if err != nil {
		return nil, st, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	k := slices.IndexFunc(d.Media, func(m sdp.Media) bool { return m.Kind == "audio" && m.RTP() && m.Port != 0 })
	if k < 0 {
		return nil, st, ErrNoCodec
	}
	m = &d.Media[k]
	s.remote, s.raw = d, string(body)
	for _, c := range m.Codecs {
		switch name := strings.ToUpper(c.Name); {
		case name == "TELEPHONE-EVENT" && c.Rate == audio.Rate:
			st.dtmf = c.PT
		case st.law != nil || c.Rate != audio.Rate || s.codec != "" && name != s.codec:
		case name == audio.ALaw.String():
			st.law, st.pt = audio.ALaw, c.PT
		case name == audio.MuLaw.String():
			st.law, st.pt = audio.MuLaw, c.PT
		}
	}
	if st.law == nil {
		return nil, st, ErrNoCodec
	}
	s.peer = netip.AddrPortFrom(m.Conn.IP(), m.Port)
	s.peerCtl = netip.AddrPort{}
	switch {
	case m.Mux:
		s.peerCtl = s.peer
	case m.RTCP.Port != 0:
		s.peerCtl = netip.AddrPortFrom(s.peer.Addr(), m.RTCP.Port)
	}
	st.settled = s.peer.Addr().IsValid()
	st.sending = m.Direction.Receives() && !m.Conn.Null() && !s.holding
	st.hearing = m.Direction.Sends() && !s.holding
	return m, st, nil
}

// reply answers an offer.
func (s *session) reply(body []byte) ([]byte, error) {
	m, st, err := s.read(body)
	if err != nil {
		return nil, err
	}
	var lines []string
	s.suite = ""
	switch {
	case s.secure() && !m.Secure():
		return nil, ErrNoCrypto
	case !s.secure() && m.Secure():
		return nil, ErrCrypto
	case s.secure():
		if lines, err = s.agreeKeys(m, &st); err != nil {
			return nil, err
		}
	}
	formats := []Format{{st.pt, st.law.String() + "/8000", ""}}
	for _, c := range m.Codecs {
		switch strings.ToUpper(c.Name) {
		case "CN":
			if c.Rate == audio.Rate {
				formats = append(formats, Format{c.PT, "CN/8000", ""})
			}
		case "TELEPHONE-EVENT":
			if c.PT == st.dtmf {
				formats = append(formats, Format{c.PT, "telephone-event/8000", "0-16"})
			}
		}
	}
	d := m.Direction.Reverse()
	if s.holding && d != sdp.Inactive {
		d = s.dialect.HoldAs
	}
	s.now, s.sent = st, nil // an older version must not be said again
	return s.write(m.Proto, formats, lines, d), nil
}

// agreeKeys takes the best line offered and answers with a key of ours.
func (s *session) agreeKeys(m *sdp.Media, st *stream) ([]string, error) {
	suites := make([]string, 0, len(s.dialect.Crypto))
	for _, c := range s.dialect.Crypto {
		suites = append(suites, c.Suite)
	}
	for _, c := range m.Crypto {
		master, err := c.Master()
		if err != nil || !slices.Contains(suites, c.Suite) {
			continue
		}
		if s.answer == nil || s.answer.Suite != c.Suite {
			if s.answer, err = rtp.NewKeys(c.Suite); err != nil {
				return nil, err
			}
		}
		st.in, st.out = &rtp.Keys{Suite: c.Suite, Master: master}, s.answer
		s.suite = c.Suite
		if s.twice {
			// As in Microsoft's published answers: tags that were never
			// offered, one line with an MKI, one key for both.
			return []string{cryptoLine("2", s.answer, "|1:1"), cryptoLine("3", s.answer, "")}, nil
		}
		return []string{cryptoLine(c.Tag, s.answer, "")}, nil
	}
	return nil, ErrNoCrypto
}

// accept takes the answer to our offer in.
func (s *session) accept(body []byte) error {
	m, st, err := s.read(body)
	if err != nil {
		return err
	}
	s.suite = ""
	if s.secure() {
		if !m.Secure() || len(m.Crypto) == 0 {
			return ErrNoCrypto
		}
		c := m.Crypto[0]
		st.out = s.offered[c.Tag]
		master, err := c.Master()
		if err != nil || st.out == nil || st.out.Suite != c.Suite {
			return fmt.Errorf("%w: tag %s with %s was not offered", ErrNoCrypto, c.Tag, c.Suite)
		}
		st.in, s.suite = &rtp.Keys{Suite: c.Suite, Master: master}, c.Suite
	} else if m.Secure() {
		return ErrCrypto
	}
	s.now = st
	return nil
}
