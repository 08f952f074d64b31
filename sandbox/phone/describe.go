package phone

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/ice"
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
	Closing    []string      // the same, behind all others
	HoldAs     sdp.Direction // how this side puts the other on hold
	HoldNull   bool          // and with 0.0.0.0 for an address, as of old (RFC 3264 section 8.4)
}

// HoldForm is a way to put a far side on hold (RFC 3264 section 8.4).
type HoldForm struct {
	Direction sdp.Direction
	Null      bool    // the address 0.0.0.0, as of old
	Music     []int16 // said meanwhile; nil for nothing
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
	dialect *Dialect  // RO
	codec   string    // RO; the only codec to use, "" for any we have
	ptime   int       // RO; in milliseconds; 0 means 20
	twice   bool      // RO; two crypto lines in an answer
	form    *HoldForm // how we hold; nil as the dialect says
	qos     *qos      // preconditions; nil when there are none
	client  *client   // RO; nil without media bypass
	addr    netip.AddrPort
	rtcp    uint16
	id      uint64
	version uint64

	far        ice.Remote // what they say of ICE
	restarting bool       // our offer restarts it
	faults     []ice.Fault

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
		return s.holdAs().Direction
	}
	return sdp.SendRecv
}

func (s *session) holdAs() HoldForm {
	if s.form != nil {
		return *s.form
	}
	return HoldForm{Direction: s.dialect.HoldAs, Null: s.dialect.HoldNull}
}

// speaks is the codec by which this side would say a format; nil when it has
// none, or is not to use it.
func (s *session) speaks(name string, clock int) *audio.Codec {
	k := slices.IndexFunc(audio.Codecs, func(c *audio.Codec) bool { return strings.EqualFold(c.Name, name) && c.Clock == clock })
	if k < 0 || s.codec != "" && !strings.EqualFold(s.codec, name) {
		return nil
	}
	if !slices.ContainsFunc(s.dialect.Formats, func(f Format) bool { return f.is(name, clock) }) {
		return nil
	}
	return audio.Codecs[k]
}

func (f Format) is(name string, clock int) bool {
	mine, rest, _ := strings.Cut(f.Map, "/")
	rate, _, _ := strings.Cut(rest, "/")
	return strings.EqualFold(mine, name) && rate == strconv.Itoa(clock)
}

// spoken reports whether the sandbox has a codec of that name at all.
func spoken(name string) bool {
	return slices.ContainsFunc(audio.Codecs, func(c *audio.Codec) bool { return strings.EqualFold(c.Name, name) })
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
		return s.codec != "" && spoken(name) && !strings.EqualFold(name, s.codec)
	})
	proto := "RTP/AVP"
	if s.secure() {
		proto = "RTP/SAVP"
	}
	s.sent = s.write(proto, formats, slices.Concat(s.dialect.Attributes, s.candidates(true), lines, s.qos.lines()), s.direction())
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
	if s.holding && s.holdAs().Null {
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
	line("a=ptime:%d", cmp.Or(s.ptime, 20))
	for _, a := range s.dialect.Closing {
		line("a=%s", a)
	}
	return []byte(b.String())
}

// read takes a description of the far side in: the audio section, the first
// codec of it that we have, and the number of events.
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
		codec := s.speaks(c.Name, c.Rate)
		switch {
		case strings.EqualFold(c.Name, "telephone-event") && c.Rate == audio.Rate:
			st.dtmf = c.PT
		case codec == nil:
		case st.codec == nil:
			st.codec, st.pt, st.fmtp = codec, c.PT, c.Fmtp
		default:
			st.also = append(st.also, format{codec, c.PT})
		}
	}
	if st.codec == nil {
		return nil, st, ErrNoCodec
	}
	st.ptime = s.ptime / 10
	s.peer = netip.AddrPortFrom(m.Conn.IP(), m.Port)
	s.peerCtl = netip.AddrPort{}
	switch {
	case m.Mux && s.client != nil: // others never say that they multiplex
		s.peerCtl = s.peer
	case m.RTCP.Port != 0:
		s.peerCtl = netip.AddrPortFrom(s.peer.Addr(), m.RTCP.Port)
	}
	st.settled = s.peer.Addr().IsValid()
	st.sending = m.Direction.Receives() && !m.Conn.Null() && (!s.holding || s.holdAs().Music != nil)
	st.hearing = m.Direction.Sends() && !s.holding
	s.qos.read(m)
	return m, st, nil
}

// reply answers an offer.
func (s *session) reply(body []byte) ([]byte, error) {
	m, st, err := s.read(body)
	if err == nil {
		err = s.judgeICE(false)
	}
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
	st.also = nil // we answer with one, so one is to come
	formats := []Format{s.answered(m, st)}
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
		d = s.holdAs().Direction
	}
	lines = slices.Concat(s.candidates(false), lines, s.qos.lines())
	s.now, s.sent = st, nil // an older version must not be said again
	return s.write(m.Proto, formats, lines, d), nil
}

// answered is the format of an answer: the codec as it was offered.
func (s *session) answered(m *sdp.Media, st stream) Format {
	f := Format{PT: st.pt, Map: st.codec.Name + "/" + strconv.Itoa(st.codec.Clock), Fmtp: st.fmtp}
	if k := slices.IndexFunc(m.Codecs, func(c sdp.Codec) bool { return c.PT == st.pt }); m.Codecs[k].Channels > 1 {
		f.Map += "/" + strconv.Itoa(m.Codecs[k].Channels)
	}
	return f
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
	if err == nil {
		err = s.judgeICE(true)
	}
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
