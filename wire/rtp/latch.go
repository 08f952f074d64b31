package rtp

import (
	"net/netip"
	"time"
)

// relatch is how long the far side must have been silent before a clear
// packet from another allowed address may take its place. Silence suppression
// with no comfort noise pauses this long and longer, but then only the true
// far side's packets are there to be heard.
const relatch = 5 * time.Second

// latch decides whose packets are heard and where the far side is answered.
// Signalling names an address; behind a NAT it is wrong, and the first packets
// tell the right one. Without care whoever sends first, or later, is given the
// call's audio ("RTP bleed"), so:
//
//   - the current and the signalled address are heard, nobody else unless allowed;
//   - an authenticated packet moves the latch at once: SRTP says whose it is;
//   - the signalled address moves it at once too, and so ends any theft;
//   - a clear packet from elsewhere moves it only while nobody was heard yet or
//     for a while, and only when its successor follows (RFC 3550 A.1).
//
// Pure: the loop that serves the port owns it.
type latch struct {
	signalled, current netip.AddrPort
	heard              time.Time // last valid packet from current; zero = none since it was signalled
	suspect            suspect
}

// suspect is a stranger's packet that waits for its successor.
type suspect struct {
	addr netip.AddrPort
	ssrc uint32
	seq  uint16 // of the successor
}

// signal starts again at a signalled address.
func (l *latch) signal(a netip.AddrPort) {
	*l = latch{signalled: a, current: a}
}

// moved says that packets showed another address than was signalled.
func (l *latch) moved() bool { return l.current != l.signalled }

// own reports whether src is the far side already.
func (l *latch) own(src netip.AddrPort) bool { return src == l.current }

// claim judges a valid packet from an allowed address that is not the current
// one: whether it is heard. The latch moves if so, unless the packet is an
// authentic but late one, from before a move the other way.
func (l *latch) claim(src netip.AddrPort, h header, proof proof, now time.Time) bool {
	switch {
	case proof == authentic, proof == unproven && src == l.signalled:
		l.move(src)
		return true
	case proof == authenticLate:
		return true
	case l.settled(now):
		return false
	case l.suspect == suspect{src, h.ssrc, h.seq}:
		l.move(src)
		return true
	}
	l.suspect = suspect{src, h.ssrc, h.seq + 1}
	return false
}

// claimRTCP is claim for RTCP. Clear RTCP has no sequence to watch, so it
// follows RTP: only the host that RTP comes from may move it; multiplexed with
// RTP (l and media are one), it moves nothing.
func (l *latch) claimRTCP(src netip.AddrPort, proof proof, media *latch, now time.Time) bool {
	follows := l != media && src.Addr() == media.current.Addr() && !media.heard.IsZero()
	if proof == unproven && src != l.signalled && (!follows || l.settled(now)) {
		return false
	}
	if proof != authenticLate {
		l.move(src)
	}
	return true
}

// hear notes a valid packet from the current address; who waited for its
// silence starts again.
func (l *latch) hear(now time.Time) {
	l.heard, l.suspect = now, suspect{}
}

func (l *latch) move(src netip.AddrPort) {
	l.current = src
}

func (l *latch) settled(now time.Time) bool {
	return !l.heard.IsZero() && now.Sub(l.heard) < relatch
}

// proof is what SRTP says about the sender of a packet.
type proof uint8

const (
	unproven      proof = iota // clear
	authentic                  // newest of its SSRC
	authenticLate              // overtaken by another packet, or by another key
)
