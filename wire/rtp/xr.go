package rtp

import (
	"encoding/binary"
	"math"
	"time"
)

// Judgement is how what a far side sends sounds, as its extended report tells
// it (RFC 3611 §4.7.5), and how long its packets are. Zero: not known.
type Judgement struct {
	R            float64 // ITU-T G.107, 0 to 100
	MOSLQ, MOSCQ float64 // listening and conversational quality
	Packet       time.Duration
}

// Explain is Report with the VoIP metrics of what is heard behind it (RFC 3611
// §4.7), for a far side that has asked for them.
func (p *Port) Explain(keys *Keys, name string, j Judgement) error {
	var metrics [36]byte
	return p.report(keys, name, p.metrics(metrics[:0], j))
}

// gmin is how many packets must arrive between two losses for these to belong
// to no burst (RFC 3611 §4.7.2, with the value it recommends).
const gmin = 16

// bursts counts losses by what was before them, as RFC 3611 A.2 does: between
// the states gap (1), a loss within a gap (4), burst (3) and what arrives in a
// burst (2). It is made at the first loss.
type bursts struct {
	at                           uint32 // packets received when the last one was lost
	lost                         uint32 // in this burst
	c11, c13, c14, c22, c23, c33 uint32
}

// gap takes n packets that were lost after received others into the books.
func (b *bursts) gap(received, n uint32) {
	since := received - b.at
	switch {
	case since >= gmin || b.lost == 0:
		b.settle()
		b.c11 += since
		b.lost = 1
	case since == 0:
		b.c33++
		b.lost++
	default:
		b.c23++
		b.c22 += since - 1
		b.lost++
	}
	b.c33 += n - 1 // the others follow at once
	b.lost += n - 1
	b.at = received
}

// losses are the figures of a block.
type losses struct {
	burstDensity, gapDensity float64 // shares of the packets
	burst, gap               uint32  // packets, in the mean
}

// settle tells what the last losses were: one alone is none of a burst.
func (b *bursts) settle() {
	switch b.lost {
	case 0:
	case 1:
		b.c14++
	default:
		b.c13++
	}
}

// sum is RFC 3611 A.2, with what has arrived since the last loss.
func (b *bursts) sum(received uint32) (l losses) {
	if b == nil {
		return losses{gap: received}
	}
	last := *b
	b = &last
	b.settle()
	c11 := b.c11 + received - b.at
	c31, c32 := b.c13, b.c23
	total := c11 + b.c14 + b.c13 + b.c22 + b.c23 + c31 + c32 + b.c33
	if n := c11 + b.c14; n > 0 {
		l.gapDensity = float64(b.c14) / float64(n)
	}
	if b.c13 == 0 {
		l.gap = total
		return l
	}
	p32 := float64(c32) / float64(c31+c32+b.c33)
	p23 := 1.0
	if n := b.c22 + b.c23; n > 0 {
		p23 = 1 - float64(b.c22)/float64(n)
	}
	l.burstDensity = p23 / (p23 + p32)
	l.gap = (c11 + b.c14 + b.c13) / b.c13
	l.burst = max(total/b.c13, l.gap) - l.gap
	return l
}

// metrics appends the block to an extended report without its header; nothing
// when nothing was heard. What a relay cannot know is told as unavailable: the
// levels, and the jitter buffer, which is elsewhere.
func (p *Port) metrics(dst []byte, j Judgement) []byte {
	p.rx.Lock()
	defer p.rx.Unlock()
	s := &p.source
	expected := s.cycles + uint32(s.max) - uint32(s.base) + 1
	if !s.started || expected == 0 {
		return nil
	}
	l := s.bursts.sum(s.received)
	share := func(v float64) byte { return byte(max(0, min(255, v*256))) }
	if j.Packet <= 0 {
		j.Packet = 20 * time.Millisecond
	}
	lasts := func(packets uint32) uint16 {
		return uint16(min(math.MaxUint16, uint64(packets)*uint64(j.Packet/time.Millisecond)))
	}
	dst = append(dst, blockVoIP, 0, 0, 8)
	dst = binary.BigEndian.AppendUint32(dst, s.ssrc)
	dst = append(dst, share(float64(int32(expected-s.received))/float64(expected)), 0, share(l.burstDensity), share(l.gapDensity))
	dst = binary.BigEndian.AppendUint16(dst, lasts(l.burst))
	dst = binary.BigEndian.AppendUint16(dst, lasts(l.gap))
	dst = binary.BigEndian.AppendUint16(dst, uint16(min(math.MaxUint16, p.reports.roundTrip/time.Millisecond)))
	dst = binary.BigEndian.AppendUint16(dst, 0) // end system delay: ours is none
	dst = append(dst, unavailable, unavailable, unavailable, gmin, unavailable, unavailable, unavailable, unavailable)
	n := len(dst)
	if j.R > 0 {
		dst[n-4] = byte(math.Round(min(100, j.R)))
	}
	for i, mos := range [...]float64{j.MOSLQ, j.MOSCQ} {
		if mos > 0 {
			dst[n-2+i] = byte(math.Round(min(5, mos) * 10))
		}
	}
	return append(dst, 0, 0, 0, 0, 0, 0, 0, 0) // receiver configuration and jitter buffer: not specified
}

const unavailable = 127
