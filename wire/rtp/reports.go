package rtp

import (
	"encoding/binary"
	"time"
)

// reports is what the RTCP of a far side has told, and what ours has told it.
// The port's rx lock guards it.
type reports struct {
	heard     Heard
	voip      *VoIP         // nil: it has told none
	roundTrip time.Duration // 0 = not known
	bye       time.Time

	// The far side's last SR, for our answer to it.
	from   uint32
	middle uint32
	at     time.Time

	// What the last report of ours has told.
	ssrc               uint32
	expected, received uint32
}

// judgement is the far side's own, if it has told one.
func (r *reports) judgement() VoIP {
	if r.voip == nil {
		return VoIP{}
	}
	return *r.voip
}

// note reads RTCP of the far side. The caller holds rx.
func (p *Port) note(pkt []byte, now time.Time) {
	r := &p.reports
	var c compound
	c.read(pkt)
	if c.stamped {
		r.from, r.middle, r.at = c.sender, middle(c.ntp), now
	}
	if c.bye {
		r.bye = now
	}
	p.tx.Lock()
	defer p.tx.Unlock()
	o := &p.tx.out
	for _, b := range c.blocks {
		if rtt := o.roundTrip(b, now); rtt > 0 {
			r.roundTrip = rtt
		}
		if b.ssrc == o.ssrc && o.started {
			r.heard = Heard{now, float64(b.fraction) / 256, int64(b.lost), b.highest, ticks(b.jitter, o.clock)}
		}
	}
	if c.metrics && (c.about == o.ssrc || !o.started) {
		told := c.voip
		told.At = now
		r.voip = &told
	}
}

func ticks(n, clock uint32) time.Duration {
	if clock == 0 {
		return 0
	}
	return time.Duration(n) * time.Second / time.Duration(clock)
}

// Report sends the far side a compound RTCP packet of our own (RFC 3550 §6.4):
// an SR when RTP has left since the last one, else an RR, with what we hear
// from it, and the canonical name.
func (p *Port) Report(keys *Keys, name string) error { return p.report(keys, name, nil) }

// report is Report with blocks of an extended report, if there are any.
func (p *Port) report(keys *Keys, name string, extended []byte) error {
	now := time.Now()
	block := p.block(now)
	p.tx.Lock()
	defer p.tx.Unlock()
	c, err := p.ready(keys)
	if err != nil {
		return err
	}
	if !p.tx.to[control].IsValid() {
		return ErrNoRemote
	}
	o := &p.tx.out
	if !o.started {
		o.beginOwn(defaultClock, now)
	}
	var info *senderInfo
	if o.packets != o.reported {
		info = &senderInfo{ntpOf(now), o.nowStamp(now), o.packets, o.octets}
		o.reported = o.packets
	}
	var buf [160]byte
	pkt := appendSource(appendReport(buf[:0], o.ssrc, info, block), o.ssrc, name)
	if extended != nil {
		pkt = append(pkt, 0x80, typeXR)
		pkt = binary.BigEndian.AppendUint16(pkt, uint16(1+len(extended)/4))
		pkt = binary.BigEndian.AppendUint32(pkt, o.ssrc)
		pkt = append(pkt, extended...)
	}
	p.tx.keep(pkt)
	h := header{rtcp: true, ssrc: o.ssrc}
	if p.transmit(p.tx.scratch, h, c) != passed {
		return ErrSend
	}
	return nil
}

// block is what we hear from the far side; nil when nothing has come since the
// last report (RFC 3550 §6.4).
func (p *Port) block(now time.Time) *report {
	p.rx.Lock()
	defer p.rx.Unlock()
	s, r := &p.source, &p.reports
	if !s.started {
		return nil
	}
	if r.ssrc != s.ssrc {
		r.ssrc, r.expected, r.received = s.ssrc, 0, 0
	}
	expected := s.cycles + uint32(s.max) - uint32(s.base) + 1
	if s.received == r.received {
		return nil
	}
	b := &report{
		ssrc: s.ssrc, highest: s.cycles + uint32(s.max), jitter: s.jitter >> 4,
		fraction: fraction(expected-r.expected, s.received-r.received),
		lost:     int32(max(-1<<23, min(1<<23-1, int64(expected)-int64(s.received)))),
	}
	r.expected, r.received = expected, s.received
	if r.from == s.ssrc && !r.at.IsZero() {
		b.lsr, b.dlsr = r.middle, uint32(now.Sub(r.at)<<16/time.Second)
	}
	return b
}

// fraction is RFC 3550 A.3: duplicates make no negative loss.
func fraction(expected, received uint32) uint8 {
	lost := int32(expected - received)
	if expected == 0 || lost <= 0 {
		return 0
	}
	return uint8(min(255, uint64(lost)<<8/uint64(expected)))
}

// passing notes an SR that leaves; the caller holds tx.
func (o *outgoing) passing(pkt []byte) {
	if len(pkt) >= 8+senderSize && pkt[1] == typeSR {
		o.remember(binary.BigEndian.Uint64(pkt[8:]), time.Now())
	}
}
