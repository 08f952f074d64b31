package sdp

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Why a round cannot succeed. Each becomes a 488 for an offer; for an answer
// it ends the call.
var (
	ErrNoAudio   = errors.New("sdp: no audio stream that can be carried")
	ErrNoCodec   = errors.New("sdp: no codec in common")
	ErrNoKeys    = errors.New("sdp: SRTP keys missing or of no known suite")
	ErrCleartext = errors.New("sdp: SRTP where only RTP is configured")
	ErrMismatch  = errors.New("sdp: answer does not fit the offer")
	ErrNoAddress = errors.New("sdp: no literal unicast address")
)

// End is our end of one leg: everything of ours that a description sent there
// contains.
type End struct {
	ID     uint64         // o= session id, constant for the leg
	RTP    netip.AddrPort // where the side shall send RTP
	RTCP   netip.AddrPort // and RTCP
	Fax    netip.AddrPort // and UDPTL; not valid: T.38 is refused
	Secret []byte         // SecretSize random bytes, constant for the leg; nil = plain RTP
	Suites []string       // SRTP suites that may be used, the best liked first; none: Suite alone
	Keying Keying         // where the keys of SRTP may come from
	Print  Fingerprint    // of our certificate, for handshakes
	Mux    bool           // offer to take RTCP on the RTP port (RFC 5761)
	Codecs []string       // allow-list by gateway names: PCMA, PCMU, G722, G722_2, SILK_8, SILK_16, AMR, G729, OPUS
	// Transcode is the names of what the side may have although the other side
	// has not: those that package codec can do are offered behind what both have,
	// and accepted when both have nothing. None: what one side has not is refused.
	Transcode []string
	// Sparing offers them only when both have neither G.711 nor G.722: for a side
	// that surely speaks those, and might like what is added better.
	Sparing bool
	// Noise: comfort noise, payload number 13, is offered and accepted whatever
	// the other side has.
	Noise bool
	// Bandwidth: the section says what it takes, b=AS and b=TIAS (RFC 8866 5.8,
	// RFC 3890), which IMS networks want (3GPP TS 26.114 6.2.5).
	Bandwidth bool
	// Ptime is the packet time that is described there whatever the other side
	// has; 0: the other side's.
	Ptime time.Duration
	// NoEvents: digits come and go otherwise there, so telephone-event is neither
	// offered nor accepted: what is pressed would come twice.
	NoEvents bool
	// InactiveOnly turns every direction but sendrecv into inactive, for a side
	// that understands no other form of hold.
	InactiveOnly bool
	// Lite: we answer connectivity checks there (ICE, RFC 8445), for a side whose
	// media come from anywhere; SRTP only. A side that does no ICE gets none.
	Lite     bool
	Lines    []Line   // attributes of the section that is carried, beside the negotiated ones: preconditions
	Sent     *Session // what we sent on this leg last; nil at first
	Received *Session // what the side sent last; nil at first
}

// Offer builds our offer to one side out of the other side's description
// (its offer, or its answer when the offer was delayed).
//
// The m-lines keep their number and order (RFC 3264 section 8). The first live
// audio section is carried, in its order of codecs less those that are not
// allowed, and behind them what to.Transcode adds, and the first one of T.38,
// where it may be; every other section is
// refused with port 0. When the result has the
// Version of to.Sent, the side has nothing new to hear.
func Offer(from *Session, to End) (*Session, error) {
	i, fax := from.audio(), to.fax(from)
	if i < 0 && fax < 0 {
		return nil, ErrNoAudio
	}
	s := to.session(from.Media)
	if fax >= 0 {
		s.Media[fax] = to.image(&from.Media[fax])
	}
	if i >= 0 {
		m, err := to.offer(&from.Media[i])
		if err != nil {
			return nil, err
		}
		s.Media[i] = m
		if to.lite(nil) {
			light(s)
		}
	}
	if to.Sent != nil {
		for j := len(s.Media); j < len(to.Sent.Media); j++ { // never fewer than before
			s.Media = append(s.Media, refused(&to.Sent.Media[j]))
		}
	}
	return to.version(s), nil
}

// offer is our section of audio out of the other side's.
func (to End) offer(src *Media) (Media, error) {
	codecs := to.widen(to.allow(src.Codecs), src.Codecs)
	if !hasVoice(codecs) {
		return Media{}, ErrNoCodec
	}
	m := to.media(src, to.proto())
	m.Codecs = to.number(to.keypad(to.beside(codecs)))
	m.Direction = to.direction(src.Wants())
	m.Mux = to.Mux || to.muxed() || to.Lite || to.Secret != nil && to.Keying == ByDTLS // one handshake, not two
	to.offerKeys(&m)
	if to.lite(nil) {
		to.checks(&m, to.credentials(nil))
	}
	if to.Bandwidth {
		m.Lines = append(bandwidth(&m), m.Lines...)
	}
	return m, nil
}

// Propose builds an offer of our own, for a side that demands one when the
// other side has made none: all codecs of the allow-list in its order.
func Propose(to End) (*Session, error) {
	own := Media{Kind: "audio", Port: to.RTP.Port(), Proto: "RTP/AVP", Ptime: 20 * time.Millisecond}
	for _, name := range to.Codecs {
		own.Codecs = append(own.Codecs, gatewayCodecs[name]...)
	}
	own.Codecs = eventsOf(own.Codecs, append(own.Codecs, noise, events))
	return Offer(&Session{Media: []Media{own}}, to)
}

// Answer builds our answer to a side's offer from what the other side
// accepted: the codecs both have or, when there is none, one that can be
// transcoded, under the offer's own numbers (RFC 3264 6.1). accepted is the
// other side's answer.
func Answer(offer, accepted *Session, to End) (*Session, error) {
	i, j := offer.audio(), accepted.audio()
	fax, taken := to.fax(offer), accepted.fax()
	voice, image := i >= 0 && j >= 0, fax >= 0 && taken >= 0
	if !voice && !image {
		return nil, ErrNoAudio
	}
	s := to.session(offer.Media)
	if image {
		s.Media[fax] = to.image(&accepted.Media[taken])
	}
	if voice {
		m, err := to.answer(&offer.Media[i], &accepted.Media[j], offer)
		if err != nil {
			return nil, err
		}
		s.Media[i] = m
		if to.lite(offer) {
			light(s)
		}
	}
	return to.version(s), nil
}

// answer is our section of audio to o, the offer's, out of what the other side
// has accepted.
func (to End) answer(o, a *Media, offer *Session) (Media, error) {
	m := to.media(a, o.Proto)
	m.Codecs = to.keypad(to.settle(o.Codecs, a.Codecs))
	if !hasVoice(m.Codecs) {
		return Media{}, ErrNoCodec
	}
	m.Direction = to.direction(meet(a.Wants(), o.Wants().Reverse()))
	m.Mux = o.Mux && !slices.ContainsFunc(m.Codecs, func(c Codec) bool { return rtcpClash(c.PT) })
	if err := to.answerKeys(&m, o, offer); err != nil {
		return Media{}, err
	}
	if to.Bandwidth {
		m.Lines = append(bandwidth(&m), m.Lines...)
	}
	if to.lite(offer) {
		to.checks(&m, to.credentials(offer))
	}
	return m, nil
}

// Side is one leg after a completed round.
type Side struct {
	RTP       netip.AddrPort // where it wants RTP; invalid while it has no address
	RTCP      netip.AddrPort // invalid when it cannot be told
	Fax       netip.AddrPort // where it wants UDPTL; invalid when T.38 is not agreed
	In, Out   *Keys          // its key for what it sends, ours for what we send; nil = clear, or DTLS
	DTLS      *DTLS          // the handshake that the keys come from; nil = none
	Direction Direction      // agreed by both, as that side sees it
	Mux       bool           // RTCP on the RTP port, agreed by both
	Ptime     time.Duration  // what it wants to receive; 0 = not said
	Metrics   bool           // it wants extended reports with VoIP metrics (a=rtcp-xr, RFC 3611 5.1)
	Unbroken  bool           // it wants packets in pauses too (a=silenceSupp:off, RFC 3108 5.6.2.4)
	Codecs    []Agreed
	First     *Codec  // of Codecs, the voice that it names first, and so will send most likely
	Checks    *Checks // of how it reaches us; nil: there are none
}

// Agreed is a codec both ends of a leg accepted. The numbers differ when an
// answer renumbers (RFC 3264 6.1).
type Agreed struct {
	Codec           // as we wrote it; its Fmtp is for what the side sends
	In       uint8  // payload number in what the side sends
	Out      uint8  // payload number in what it receives
	Receives string // Fmtp as the side wrote it, for what it receives
}

// Agree reads a completed round of one leg, whoever made the offer.
//
// It is liberal with answers: crypto lines are chosen by suite, with the tag
// only breaking ties (tag 0, two lines in one answer and wrong tags are seen
// in the field), any SRTP profile answers any other, a=rtcp may be missing.
func Agree(sent, received *Session) (Side, error) {
	i := sent.audio()
	fax, err := agreeFax(sent, received)
	if err != nil {
		return Side{}, err
	}
	image := Side{Direction: Inactive, Fax: fax}
	if i < 0 && fax.IsValid() {
		return image, nil
	}
	if i < 0 {
		return Side{}, ErrNoAudio
	}
	if i >= len(received.Media) || received.Media[i].Kind != "audio" || !received.Media[i].RTP() {
		return Side{}, ErrMismatch
	}
	ours, theirs := &sent.Media[i], &received.Media[i]
	switch {
	case theirs.Port == 0 && fax.IsValid():
		return image, nil
	case theirs.Port == 0:
		return Side{}, ErrNoAudio
	}
	s := Side{
		Direction: meet(theirs.Wants(), ours.Wants().Reverse()),
		Mux:       ours.Mux && theirs.Mux,
		Ptime:     theirs.Ptime,
		Unbroken:  theirs.unbroken(),
		Metrics:   theirs.metrics() || (&Media{Lines: received.Lines}).metrics(),
		Fax:       fax,
		Checks:    agreedChecks(sent, received),
	}
	if err := s.agreedKeys(sent, received); err != nil {
		return Side{}, err
	}
	if err := s.addresses(theirs); err != nil {
		return Side{}, err
	}
	for _, o := range ours.Codecs {
		if t, ok := find(theirs.Codecs, o); ok {
			s.Codecs = append(s.Codecs, Agreed{Codec: o, In: o.PT, Out: t.PT, Receives: t.Fmtp})
		}
	}
	for _, t := range theirs.Codecs {
		if o, ok := findAgreed(s.Codecs, t); ok && o.voice() {
			s.First = &o.Codec
			return s, nil
		}
	}
	return Side{}, ErrNoCodec
}

func (s *Side) addresses(theirs *Media) error {
	if theirs.Conn.Null() {
		return nil // held the old way: there is nowhere to send to
	}
	ip := theirs.Conn.IP()
	if !ip.IsValid() || ip.IsMulticast() {
		return ErrNoAddress
	}
	s.RTP = netip.AddrPortFrom(ip, theirs.Port)
	switch {
	case s.Mux:
		s.RTCP = s.RTP
	case theirs.RTCP.Port != 0:
		if other := theirs.RTCP.Conn.IP(); other.IsValid() {
			ip = other
		}
		s.RTCP = netip.AddrPortFrom(ip, theirs.RTCP.Port)
	case theirs.Port < 65535: // RFC 3550 section 11: the next port
		s.RTCP = netip.AddrPortFrom(ip, theirs.Port+1)
	}
	return nil
}

// Negotiation is both legs joined: what the relay runs on.
type Negotiation struct {
	Near, Far Side
	// NearToFar and FarToNear map payload numbers. 0xff drops: a codec the
	// receiver has not accepted, or all of them while the directions forbid the
	// flow.
	NearToFar, FarToNear [128]uint8
	// Transcode is set when the two cannot hear each other without: then voice
	// does not cross by the maps.
	Transcode *Transcode
}

// Transcode is what the relay has to do to voice.
type Transcode struct {
	Near, Far            Codec // as each side speaks
	NearToFar, FarToNear bool  // the direction
	Foreign              bool  // they share no codec
	Why                  string
}

// Bridge joins two legs, of which near is the caller's. Voice passes as it is
// whenever both share a codec and want packets of one length; ErrNoCodec when
// they share none and it cannot be transcoded either.
func Bridge(near, far Side) (Negotiation, error) {
	n := Negotiation{Near: near, Far: far}
	n.NearToFar, n.FarToNear = payloads(near, far), payloads(far, near)
	common := slices.ContainsFunc(near.Codecs, func(a Agreed) bool {
		_, ok := findAgreed(far.Codecs, a.Codec)
		return ok && a.voice()
	})
	mine, theirs := near.recodable(), far.recodable()
	if mine == nil || theirs == nil {
		if !common && !onlyFax(near, far) {
			return Negotiation{}, ErrNoCodec
		}
		return n, nil
	}
	t := &Transcode{Near: *mine, Far: *theirs}
	switch {
	case !common:
		t.NearToFar, t.FarToNear, t.Foreign = true, true, true
		t.Why = "caller speaks " + mine.Name + ", callee " + theirs.Name
	case near.Ptime != far.Ptime && near.Ptime > 0 && far.Ptime > 0:
		// RFC 8866 6.4: a recommendation, but there is equipment that plays no other.
		t.NearToFar, t.FarToNear = true, true
		t.Why = fmt.Sprintf("caller wants packets of %d ms, callee of %d ms", near.Ptime.Milliseconds(), far.Ptime.Milliseconds())
	default:
		// Who accepted several codecs may send any; most send what they name first.
		t.NearToFar, t.FarToNear = near.strange(far), far.strange(near)
		switch {
		case t.NearToFar:
			t.Why = "caller speaks " + near.First.Name + ", which callee does not"
		case t.FarToNear:
			t.Why = "callee speaks " + far.First.Name + ", which caller does not"
		default:
			return n, nil
		}
	}
	n.Transcode = t
	return n, nil
}

// metrics: the section asks for VoIP metrics.
func (m *Media) metrics() bool {
	return slices.ContainsFunc(m.Lines, func(l Line) bool {
		list, ok := strings.CutPrefix(l.Value, "rtcp-xr:")
		return ok && l.Type == 'a' && slices.Contains(strings.Fields(list), "voip-metrics")
	})
}

// unbroken: the section says that silence is not to be suppressed.
func (m *Media) unbroken() bool {
	return slices.ContainsFunc(m.Lines, func(l Line) bool {
		rest, ok := strings.CutPrefix(l.Value, "silenceSupp:")
		return ok && l.Type == 'a' && strings.HasPrefix(strings.TrimLeft(rest, " "), "off")
	})
}

// onlyFax: both have agreed to T.38, and to nothing else.
func onlyFax(near, far Side) bool {
	return near.Fax.IsValid() && far.Fax.IsValid() && len(near.Codecs)+len(far.Codecs) == 0
}

// strange: the other side does not know what s will send most likely.
func (s Side) strange(other Side) bool {
	if s.First == nil || !recodable(*s.First) {
		return false
	}
	_, ok := findAgreed(other.Codecs, *s.First)
	return !ok
}

// recodable is the first voice codec of a side that we can transcode.
func (s Side) recodable() *Codec {
	i := slices.IndexFunc(s.Codecs, func(a Agreed) bool { return a.voice() && recodable(a.Codec) })
	if i < 0 {
		return nil
	}
	return &s.Codecs[i].Codec
}

// payloads maps the numbers from's packets carry to the ones to wants.
func payloads(from, to Side) (m [128]uint8) {
	for i := range m {
		m[i] = 0xff
	}
	if !from.Direction.Sends() || !to.Direction.Receives() {
		return m
	}
	for _, f := range from.Codecs {
		if t, ok := findAgreed(to.Codecs, f.Codec); ok {
			m[f.In] = t.Out
		}
	}
	// A side that renumbered in its answer should still send with our numbers;
	// some send with their own.
	for _, f := range from.Codecs {
		if t, ok := findAgreed(to.Codecs, f.Codec); ok && m[f.Out] == 0xff {
			m[f.Out] = t.Out
		}
	}
	return m
}

func findAgreed(list []Agreed, c Codec) (Agreed, bool) {
	i := slices.IndexFunc(list, func(a Agreed) bool { return same(a.Codec, c) })
	if i < 0 {
		return Agreed{}, false
	}
	return list[i], true
}

// audio is the index of the section that is carried, -1 when there is none.
func (s *Session) audio() int {
	return slices.IndexFunc(s.Media, func(m Media) bool {
		return m.Kind == "audio" && m.Port != 0 && m.RTP()
	})
}

// meet is what remains of a when only b is allowed, both seen from one writer.
func meet(a, b Direction) Direction {
	return direction(a.Sends() && b.Sends(), a.Receives() && b.Receives())
}

func (e End) direction(d Direction) Direction {
	if e.InactiveOnly && d != SendRecv {
		return Inactive
	}
	return d
}

func (e End) proto() string {
	switch {
	case e.Secret == nil:
		return "RTP/AVP"
	case e.Keying == ByDTLS:
		return "UDP/TLS/RTP/SAVP"
	}
	return "RTP/SAVP"
}

// media is our section with what crosses from src.
func (e End) media(src *Media, proto string) Media {
	m := Media{
		Kind: "audio", Port: e.RTP.Port(), Proto: proto, Conn: ConnOf(e.RTP.Addr()),
		RTCP: RTCP{Port: e.RTCP.Port()}, Ptime: src.Ptime, MaxPtime: src.MaxPtime, Lines: e.Lines,
	}
	if e.Ptime > 0 {
		m.Ptime, m.MaxPtime = e.Ptime, 0
	}
	return m
}

// muxed reports whether RTCP is on the RTP port of the leg now, where it stays
// unless the far side wants otherwise.
func (e End) muxed() bool {
	if e.Sent == nil || e.Received == nil {
		return false
	}
	ours, theirs := e.Sent.Carried(), e.Received.Carried()
	return ours != nil && theirs != nil && ours.Mux && theirs.Mux
}

// session is a description of that shape, with all sections refused.
func (e End) session(shape []Media) *Session {
	conn := ConnOf(e.RTP.Addr())
	s := &Session{
		Origin: Origin{User: "-", ID: strconv.FormatUint(e.ID, 10), Conn: conn},
		Name:   "-", Conn: conn, Timing: "0 0",
		Media: make([]Media, len(shape)),
	}
	for i := range shape {
		s.Media[i] = refused(&shape[i])
	}
	return s
}

// refused is a section we do not carry: kind and protocol as they were, and
// one format, since the grammar wants one (RFC 3264 section 6).
func refused(m *Media) Media {
	r := Media{Kind: m.Kind, Proto: m.Proto}
	if m.RTP() {
		for _, c := range m.Codecs[:min(1, len(m.Codecs))] {
			r.Codecs = []Codec{{PT: c.PT}}
		}
		return r
	}
	r.Formats = m.Formats[:min(1, len(m.Formats))]
	return r
}

// version counts up when the text changes and only then (RFC 3264 section 8).
func (e End) version(s *Session) *Session {
	if e.Sent == nil {
		s.Origin.Version = "1"
		return s
	}
	s.Origin.Version = e.Sent.Origin.Version
	if !bytes.Equal(s.Bytes(), e.Sent.Bytes()) {
		n, _ := strconv.ParseUint(e.Sent.Origin.Version, 10, 64) // our own text
		s.Origin.Version = strconv.FormatUint(n+1, 10)
	}
	return s
}
