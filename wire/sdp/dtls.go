package sdp

import (
	"slices"
	"strings"
)

// Keying is how the keys of SRTP may come about on a leg.
type Keying uint8

// The ways. Whoever is offered both chooses: what its transport token says
// (UDP/TLS/RTP/SAVP is the handshake), else the description's.
const (
	BySDES   Keying = iota // in the description (RFC 4568)
	ByDTLS                 // by a handshake on the way of the media (RFC 5763, 5764)
	ByEither               // both are offered, each is accepted
)

// Fingerprint is that of a certificate (RFC 8122 5).
type Fingerprint struct {
	Hash  string // "sha-256"
	Value string // "4A:AD:B9:…", upper case
}

// DTLS is what both sides of a leg have agreed on about a handshake.
type DTLS struct {
	Client bool          // we begin it (RFC 4145 4: active)
	Own    Fingerprint   // of the certificate that we have described
	Remote []Fingerprint // the far side's; of the hashes that we know
	ID     string        // tls-id of the far side (RFC 8842 4); "" = none
}

// hashes are those that a fingerprint may have, with their octets. MD5 and MD2
// must not be believed (RFC 8122 5).
var hashes = map[string]int{"sha-1": 20, "sha-224": 28, "sha-256": 32, "sha-384": 48, "sha-512": 64}

// maxFingerprints bounds those of one section: one for each hash, and some for
// a second certificate.
const maxFingerprints = 8

// handshake is what a description says of DTLS; no fingerprints: nothing.
type handshake struct {
	setup  string // "actpass", "active", "passive", "holdconn", "" = not said
	prints []Fingerprint
	id     string
}

// handshake reads what holds for the section that is carried: its own lines, or
// else the session's.
func (s *Session) handshake() handshake {
	read := func(lines []Line) (h handshake) {
		for _, l := range lines {
			if l.Type != 'a' {
				continue
			}
			switch name, v, _ := strings.Cut(l.Value, ":"); name {
			case "setup":
				h.setup = strings.ToLower(strings.TrimSpace(v))
			case "tls-id":
				h.id = v
			case "fingerprint":
				if f, ok := parseFingerprint(v); ok && len(h.prints) < maxFingerprints && !slices.Contains(h.prints, f) {
					h.prints = append(h.prints, f)
				}
			}
		}
		return h
	}
	h := read(s.Lines)
	m := s.Carried()
	if m == nil {
		return h
	}
	own := read(m.Lines)
	if own.setup != "" {
		h.setup = own.setup
	}
	if own.prints != nil {
		h.prints = own.prints
	}
	if own.id != "" {
		h.id = own.id
	}
	return h
}

// parseFingerprint reads "hash octets", of a hash that we know. RFC 8122 5 wants
// the octets in upper case; not all write them so.
func parseFingerprint(v string) (Fingerprint, bool) {
	hash, value, _ := cut(strings.TrimSpace(v), ' ')
	f := Fingerprint{strings.ToLower(hash), strings.ToUpper(strings.TrimSpace(value))}
	n := hashes[f.Hash]
	if n == 0 || len(f.Value) != 3*n-1 {
		return Fingerprint{}, false
	}
	for i := range len(f.Value) {
		c := f.Value[i]
		if i%3 == 2 {
			if c != ':' {
				return Fingerprint{}, false
			}
		} else if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'F') {
			return Fingerprint{}, false
		}
	}
	return f, true
}

// Handshakes reports whether the section's transport is that of DTLS-SRTP
// (RFC 5764 8).
func (m *Media) Handshakes() bool {
	return m.Proto == "UDP/TLS/RTP/SAVP" || m.Proto == "UDP/TLS/RTP/SAVPF"
}

// usable: a handshake can come of it. holdconn asks for none (RFC 4145 4).
func (h handshake) usable() bool { return len(h.prints) > 0 && h.setup != "holdconn" }

// offerKeys puts on our section what its keys may come from: what we have said
// on this leg before, else all that may be. The same lines mean the same keys,
// which go on where they are (RFC 4568 7.1.4), and the same role in a handshake
// that was made, which stands (RFC 8842 5.4); and a refresh is none but a refresh.
func (e End) offerKeys(m *Media) {
	if e.Secret == nil {
		return
	}
	before, setup := e.said()
	if before == nil {
		if e.Keying != ByDTLS {
			m.Crypto = e.offers()
		}
		if e.Keying != BySDES {
			e.bind(m, "actpass")
		}
		return
	}
	if len(before.Crypto) > 0 {
		m.Crypto = before.Crypto
	}
	if setup != "" {
		e.bind(m, setup)
	}
	if before.Handshakes() {
		m.Proto = before.Proto
	}
}

// said is the section that we described on this leg last, with its setup; nil
// when there were no keys in it.
func (e End) said() (m *Media, setup string) {
	if e.Sent == nil {
		return nil, ""
	}
	m = e.Sent.Carried()
	if m == nil {
		return nil, ""
	}
	setup = e.Sent.handshake().setup
	if len(m.Crypto) == 0 && setup == "" {
		return nil, ""
	}
	return m, setup
}

// answerKeys puts on our section, in answer to o, what its keys come from.
func (e End) answerKeys(m, o *Media, offer *Session) error {
	if e.Secret == nil {
		if o.Secure() {
			return ErrCleartext
		}
		return nil
	}
	// A core may offer RTP/AVP with a=crypto or a=fingerprint, meaning "SRTP if you
	// can" (RFC 8643): it is answered with the token it used.
	c, written := e.answers(o.Crypto)
	written = written && e.Keying != ByDTLS
	theirs := offer.handshake()
	switch shaken := theirs.usable() && e.Keying != BySDES; {
	case shaken && (o.Handshakes() || !written):
		e.bind(m, e.role(theirs))
	case written:
		m.Crypto = []Crypto{c}
	default:
		return ErrNoKeys
	}
	return nil
}

// role is our setup in answer to an offer (RFC 5763 5, RFC 8842 5.3). Free to
// choose, we keep the role that we have, and else begin, so that the handshake
// needs not wait for the answer to arrive. An offer that does not say means
// active (RFC 4145 4.1).
func (e End) role(theirs handshake) string {
	switch theirs.setup {
	case "passive":
		return "active"
	case "actpass":
		if e.Sent != nil && e.Received != nil {
			ours, before := e.Sent.handshake(), e.Received.handshake()
			if ours.usable() && before.usable() && !client(ours, before) {
				return "passive"
			}
		}
		return "active"
	}
	return "passive"
}

// bind describes our certificate (RFC 8122).
func (e End) bind(m *Media, setup string) {
	m.Lines = append(m.Lines[:len(m.Lines):len(m.Lines)],
		Line{Type: 'a', Value: "setup:" + setup},
		Line{Type: 'a', Value: "fingerprint:" + e.Print.Hash + " " + e.Print.Value})
}

// client reports whether we are the client of a round: the active side. An
// answer that says actpass, which it must not, or nothing, means active
// (RFC 4145 4.1).
func client(ours, theirs handshake) bool {
	switch ours.setup {
	case "active":
		return true
	case "passive":
		return false
	}
	return theirs.setup == "passive"
}

// agreedKeys says where the keys of a round come from. Described ones count
// before a handshake unless one side's transport is that of a handshake.
func (s *Side) agreedKeys(sent, received *Session) error {
	ours, theirs := sent.Carried(), &received.Media[sent.audio()]
	us, them := sent.handshake(), received.handshake()
	shaken := us.usable() && them.usable()
	out, in, written := match(ours.Crypto, theirs.Crypto)
	switch {
	case shaken && (!written || ours.Handshakes() || theirs.Handshakes()):
		s.DTLS = &DTLS{Client: client(us, them), Own: us.prints[0], Remote: them.prints, ID: them.id}
	case written:
		s.Out, s.In = &out, &in
	case len(ours.Crypto) > 0 || us.usable():
		return ErrNoKeys
	case theirs.Secure():
		return ErrCleartext
	}
	return nil
}
