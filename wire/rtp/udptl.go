package rtp

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// A fax is carried on a port of its own, in datagrams of UDPTL (ITU-T T.38
// 9.1): a sequence number of 16 bits, a packet, and packets before it. They
// pass as they come, whole or not at all, under the same rules as clear RTP: who
// may be heard, who latches, how many a second. Nothing else can tell them from
// RTP, STUN or DTLS, so that a port has either.

// leastUDPTL is a number, a length, and one octet each of the packet and of
// what is repeated.
const leastUDPTL = 5

// OpenUDPTL is Open for a fax. The port's plans have To and Sink alone.
func (e *Engine) OpenUDPTL(iface string) (*Port, error) { return e.open(iface, true) }

// pass is the life of a datagram.
func (p *Port) pass(kind int, pkt []byte, src netip.AddrPort, now time.Time) Cause {
	switch {
	case kind != media:
		return UnknownType
	case len(pkt) < leastUDPTL:
		return TooShort
	}
	h := header{seq: binary.BigEndian.Uint16(pkt), size: 2}
	r, cause := p.hear(h, pkt, src, now)
	if cause != passed {
		return cause
	}
	if r.Sink != nil {
		r.Sink(pkt, false)
	}
	if r.To == nil {
		return passed
	}
	r.To.tx.Lock()
	defer r.To.tx.Unlock()
	return r.To.throw(pkt)
}

// hear judges a datagram and takes it into the books.
func (p *Port) hear(h header, pkt []byte, src netip.AddrPort, now time.Time) (*route, Cause) {
	p.rx.Lock()
	defer p.rx.Unlock()
	switch {
	case p.closed:
		return nil, Late
	case !p.mayHear(src, media):
		return nil, Stranger
	}
	if cause := p.admit(src, media, h, unproven, now); cause != passed {
		return nil, cause
	}
	if p.flooded(now) {
		return nil, Flood
	}
	p.source.update(h, now.Sub(p.engine.started), defaultClock)
	p.received[media].count(len(pkt))
	p.last[media] = now
	if p.route == nil || p.route.Hold {
		return nil, NoDestination
	}
	return p.route, passed
}

// throw sends a datagram as it is. The caller holds tx.
func (p *Port) throw(pkt []byte) Cause {
	to := p.tx.to[media]
	if p.tx.closed || !to.IsValid() {
		return NoRemote
	}
	if err := p.engine.tier.send(p.sockets[media], pkt, to); err != nil {
		return SendFailed
	}
	p.tx.sent[media].count(len(pkt))
	return passed
}

// sendUDPTL is Send on a port of a fax.
func (p *Port) sendUDPTL(pkt []byte) error {
	if len(pkt) < leastUDPTL || len(pkt) > maxPacket {
		return ErrPacket
	}
	p.tx.Lock()
	defer p.tx.Unlock()
	switch p.throw(pkt) {
	case passed:
		return nil
	case NoRemote:
		return ErrNoRemote
	}
	return ErrSend
}
