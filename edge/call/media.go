package call

import (
	"net/netip"
	"slices"

	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/wire/sdp"
)

// join puts the callee's answer in force: on its own leg at once, and on the
// caller's unless that one was answered already. When the caller has made no
// offer, it gets one from us later (accept).
func (s *state) join(f *fork, answer *sdp.Session) error {
	caller, callee := s.caller(), s.callee()
	sent := s.attempt.said(f)
	side, err := sdp.Agree(sent, answer)
	if err != nil {
		return err
	}
	callee.end.Sent, callee.end.Received, callee.media = sent, answer, side
	if s.owesOffer() {
		return nil
	}
	if caller.end.Sent == nil {
		if err := s.answerTo(caller, s.offer, answer); err != nil {
			return err
		}
	}
	return s.bridge()
}

// answerTo answers a leg's offer out of what the other leg has accepted.
func (s *state) answerTo(l *leg, offer, accepted *sdp.Session) error {
	l.confirm(offer)
	answer, err := sdp.Answer(offer, accepted, l.end)
	if err != nil {
		return err
	}
	side, err := sdp.Agree(answer, offer)
	if err != nil {
		return err
	}
	l.end.Sent, l.end.Received, l.media = answer, offer, side
	l.holds = directionOf(offer)
	return nil
}

// bridge lets media flow between the legs as they are now.
func (s *state) bridge() error {
	if err := s.bridgeLegs(s.caller(), s.callee()); err != nil {
		return err
	}
	s.describeMedia()
	s.entertain()
	return nil
}

// bridgeWith lets media flow as bridge does, with another leg at a side.
func (s *state) bridgeWith(side relay.Side, l *leg) error {
	legs := [2]*leg{s.caller(), s.callee()}
	legs[side] = l
	return s.bridgeLegs(legs[relay.Caller], legs[relay.Callee])
}

func (s *state) bridgeLegs(caller, callee *leg) error {
	n, err := sdp.Bridge(caller.media, callee.media)
	if err != nil {
		return err
	}
	near := s.terms(caller, n.Near, n.NearToFar)
	far := s.terms(callee, n.Far, n.FarToNear)
	s.record.Transcoding = ""
	if n.Transcode != nil {
		near.Recode, far.Recode = n.Transcode.NearToFar, n.Transcode.FarToNear
		s.record.Transcoding = n.Transcode.Why
		s.notef("transcoding: %s", n.Transcode.Why)
	}
	s.do(plug{relay.Caller, near})
	s.do(plug{relay.Callee, far})
	return nil
}

// within blanks the addresses of a description that are not in the ranges its
// peer's media come from: a description must not make us send a stream to a
// third party. Once packets come from within them, the relay answers there.
func (s *state) within(l *leg, side sdp.Side) sdp.Side {
	if l.inner {
		return side
	}
	for _, at := range []*netip.AddrPort{&side.RTP, &side.RTCP, &side.Fax} {
		if at.IsValid() && !l.peer.MediaFrom(at.Addr()) {
			if side.Checks == nil { // else whoever has checked the way is sent to
				s.notef("%s wants media at %s, outside its media ranges: nothing is sent there", l.peer.Name, at.Addr())
			}
			*at = netip.AddrPort{}
		}
	}
	return side
}

// describeMedia writes codecs and suites into the record.
func (s *state) describeMedia() {
	r := [2]*string{&s.record.Caller.Codec, &s.record.Callee.Codec}
	k := [2]*string{&s.record.Caller.SRTP, &s.record.Callee.SRTP}
	by := [2]*string{&s.record.Caller.Keying, &s.record.Callee.Keying}
	for i := range s.legs {
		m := s.legs[i].media
		*r[i], *k[i], *by[i] = "", "", ""
		switch {
		case len(m.Codecs) > 0:
			*r[i] = m.Codecs[0].Name
		case m.Fax.IsValid():
			*r[i] = "T38"
		}
		switch {
		case m.DTLS != nil:
			*k[i], *by[i] = s.shaken[i], byHandshake
		case m.Out != nil:
			*k[i] = m.Out.Suite
		}
	}
}

// learnHold notes what a leg wants from its answer to an offer of ours. Only
// to an offer of sendrecv it was free to say anything; else its answer echoes
// ours.
func learnHold(l *leg, ours, answer *sdp.Session) {
	if directionOf(ours) == sdp.SendRecv {
		l.holds = directionOf(answer)
	}
}

// directionOf is the direction of the section that is carried, as its writer
// sees it.
func directionOf(d *sdp.Session) sdp.Direction {
	if m := d.Carried(); m != nil {
		return m.Wants()
	}
	if d.Fax() != nil { // which nobody holds
		return sdp.SendRecv
	}
	return sdp.Inactive
}

// loopback stands for an address that is not 0.0.0.0.
var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// turned is d with another direction.
func turned(d *sdp.Session, to sdp.Direction) *sdp.Session {
	out := *d
	out.Media = slices.Clone(d.Media)
	if m := out.Carried(); m != nil {
		m.Direction = to
		if m.Conn.Null() { // only our own address is written
			m.Conn = sdp.ConnOf(loopback)
		}
	}
	return &out
}
