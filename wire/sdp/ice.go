package sdp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
)

// ICE is one side's credentials (RFC 8839 5.4); the zero value is none.
type ICE struct {
	Ufrag, Pwd string
}

// Checks is what of ICE both sides of a leg have agreed on: the far side checks
// how it reaches us, and we answer (RFC 8445, lite implementation).
type Checks struct {
	Own, Remote ICE
}

// priority of our only candidate: a host's, of the first component (RFC 8445
// 5.1.2.1, with the whole local preference): 126<<24 | 65535<<8 | 255.
const candidatePriority = 2130706431

// ice reads the credentials of the section that is carried, and whether that
// side is lite. Both may stand at session level.
func (s *Session) ice() (of ICE, lite bool) {
	read := func(lines []Line) {
		for _, l := range lines {
			if l.Type != 'a' {
				continue
			}
			switch name, v, _ := strings.Cut(l.Value, ":"); name {
			case "ice-ufrag":
				of.Ufrag = v
			case "ice-pwd":
				of.Pwd = v
			case "ice-lite":
				lite = true
			}
		}
	}
	read(s.Lines)
	if m := s.Carried(); m != nil {
		read(m.Lines)
	}
	// RFC 8839 5.4: 4 to 256 characters, and 22 to 256.
	if n, k := len(of.Ufrag), len(of.Pwd); n < 4 || n > 256 || k < 22 || k > 256 {
		return ICE{}, lite
	}
	return of, lite
}

// credentials are ours for a description that answers offer, nil for an offer
// of our own. They stay while the far side's do: between an early answer and
// the final one, and in every round that is not an ICE restart. In a restart
// they become new ones (RFC 8839 4.4.1.1).
func (e End) credentials(offer *Session) ICE {
	theirs := ICE{}
	if offer != nil {
		theirs, _ = offer.ice()
	}
	if e.Sent != nil {
		ours, _ := e.Sent.ice()
		before := ICE{}
		if e.Received != nil {
			before, _ = e.Received.ice()
		}
		if ours != (ICE{}) && (offer == nil || theirs == before || before == (ICE{})) {
			return ours
		}
	}
	mac := hmac.New(sha256.New, e.Secret)
	mac.Write([]byte("ice:" + theirs.Ufrag + ":" + theirs.Pwd))
	text := base64.RawStdEncoding.EncodeToString(mac.Sum(nil)) // its letters are ice-char
	return ICE{Ufrag: text[:8], Pwd: text[8:34]}
}

// checks puts our half of ICE on a section: credentials and the one candidate
// that an address of ours is (Microsoft Teams docs, "Plan for media bypass").
func (e End) checks(m *Media, ice ICE) {
	m.Lines = append(m.Lines[:len(m.Lines):len(m.Lines)],
		Line{Type: 'a', Value: "ice-ufrag:" + ice.Ufrag},
		Line{Type: 'a', Value: "ice-pwd:" + ice.Pwd},
		Line{Type: 'a', Value: "candidate:1 1 UDP " + strconv.Itoa(candidatePriority) + " " + e.RTP.Addr().String() + " " + strconv.Itoa(int(e.RTP.Port())) + " typ host"})
}

// light says at session level that we answer checks and make none.
func light(s *Session) {
	s.Lines = []Line{{field: fieldConn}, {field: fieldTiming}, {Type: 'a', Value: "ice-lite"}}
}

// lite reports whether a leg has ICE: we do, and the far side, where it has
// spoken already, does too.
func (e End) lite(offer *Session) bool {
	if !e.Lite || e.Secret == nil {
		return false
	}
	if offer == nil {
		return true
	}
	theirs, _ := offer.ice()
	return theirs != ICE{}
}

// agreedChecks is what came of ICE in a round; nil when one side has none, or
// both are lite: then nobody checks, and the signalled addresses count
// (RFC 8445 6.1.1).
func agreedChecks(sent, received *Session) *Checks {
	ours, _ := sent.ice()
	theirs, lite := received.ice()
	if ours == (ICE{}) || theirs == (ICE{}) || lite {
		return nil
	}
	return &Checks{Own: ours, Remote: theirs}
}
