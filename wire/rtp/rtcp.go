package rtp

import (
	"encoding/binary"
	"time"
)

// The RTCP packet types we read or write (RFC 3550 §12.1, RFC 3611 §2).
const (
	typeSR   = 200
	typeRR   = 201
	typeSDES = 202
	typeBYE  = 203
	typeXR   = 207
)

const (
	blockSize  = 24 // of a report block
	senderSize = 20 // of a sender's information
	maxCNAME   = 255
)

// Heard is what a far side tells of the stream that it gets from us, in the
// report blocks of its RTCP (RFC 3550 §6.4.1).
type Heard struct {
	At       time.Time     // when it told us; zero = never
	Fraction float64       // of the packets since its report before, those lost
	Lost     int64         // in all; negative when packets came twice
	Highest  uint32        // sequence number that it has heard, with its cycles above 16 bits
	Jitter   time.Duration // of the packets' arrival there
}

// VoIP is the far side's own judgement of what it hears, from the VoIP metrics
// block of an extended report (RFC 3611 §4.7). What it does not know is
// negative.
type VoIP struct {
	At                time.Time // when it told us; zero = never
	Loss, Discard     float64   // shares of the packets, 0 to 1: lost on the way, come too late or early
	BurstDensity      float64   // share of packets lost or discarded within bursts
	GapDensity        float64   // and outside of them
	Burst, Gap        time.Duration
	RoundTrip         time.Duration // by RTCP
	EndSystem         time.Duration // from its ear to its mouth
	Signal, Noise     int           // dBm
	Echo              int           // residual echo return loss, dB
	R                 int           // ITU-T G.107, 0 to 100
	MOSLQ, MOSCQ      float64       // listening and conversational quality, 1 to 5
	JitterBuffer      time.Duration // its delay now
	LargestJitterTime time.Duration // the most it has been
}

// report is one report block as it stands on the wire.
type report struct {
	ssrc     uint32
	fraction uint8
	lost     int32 // 24 bits
	highest  uint32
	jitter   uint32
	lsr      uint32 // middle of the NTP time of the last SR; 0 = none
	dlsr     uint32 // since it came, in 1/65536 s
}

// compound is what one RTCP datagram says, as far as we care.
type compound struct {
	sender  uint32
	stamped bool   // there is a sender report
	ntp     uint64 // its time
	blocks  []report
	bye     bool
	voip    VoIP // At is not set
	metrics bool // voip was there
	about   uint32
}

// read takes a packet apart that checkCompound has found whole. Parts that are
// too short for what they announce are skipped, as are types we do not know.
func (c *compound) read(b []byte) {
	*c = compound{blocks: c.blocks[:0]}
	for len(b) >= 4 {
		size := min(4+4*int(binary.BigEndian.Uint16(b[2:])), len(b))
		c.part(b[0]&0x1f, b[1], b[4:size])
		b = b[size:]
	}
}

func (c *compound) part(count, kind uint8, body []byte) {
	if len(body) < 4 {
		return
	}
	switch kind {
	case typeSR:
		if len(body) < 4+senderSize {
			return
		}
		c.sender, c.stamped, c.ntp = binary.BigEndian.Uint32(body), true, binary.BigEndian.Uint64(body[4:])
		c.reports(int(count), body[4+senderSize:])
	case typeRR:
		c.sender = binary.BigEndian.Uint32(body)
		c.reports(int(count), body[4:])
	case typeBYE:
		c.bye = true
	case typeXR:
		c.extended(body[4:])
	}
}

func (c *compound) reports(n int, b []byte) {
	for ; n > 0 && len(b) >= blockSize; n-- {
		c.blocks = append(c.blocks, report{
			ssrc: binary.BigEndian.Uint32(b), fraction: b[4],
			lost:    int32(binary.BigEndian.Uint32(b[4:])<<8) >> 8,
			highest: binary.BigEndian.Uint32(b[8:]), jitter: binary.BigEndian.Uint32(b[12:]),
			lsr: binary.BigEndian.Uint32(b[16:]), dlsr: binary.BigEndian.Uint32(b[20:]),
		})
		b = b[blockSize:]
	}
}

// block types of an extended report (RFC 3611 §4).
const (
	blockStatistics = 6
	blockVoIP       = 7
)

// extended reads the blocks of an extended report (RFC 3611 §3). The
// statistics summary is only read where no VoIP metrics are told.
func (c *compound) extended(b []byte) {
	for len(b) >= 4 {
		size := min(4+4*int(binary.BigEndian.Uint16(b[2:])), len(b))
		switch body := b[4:size]; {
		case b[0] == blockVoIP && len(body) >= 32:
			c.readVoIP(body)
		case b[0] == blockStatistics && len(body) >= 36 && !c.metrics:
			c.readStatistics(b[1], body)
		}
		b = b[size:]
	}
}

// readVoIP is RFC 3611 §4.7.
func (c *compound) readVoIP(b []byte) {
	share := func(v byte) float64 { return float64(v) / 256 }
	ms := func(at int) time.Duration {
		return time.Duration(binary.BigEndian.Uint16(b[at:])) * time.Millisecond
	}
	c.about, c.metrics = binary.BigEndian.Uint32(b), true
	c.voip = VoIP{
		Loss: share(b[4]), Discard: share(b[5]), BurstDensity: share(b[6]), GapDensity: share(b[7]),
		Burst: ms(8), Gap: ms(10), RoundTrip: ms(12), EndSystem: ms(14),
		Signal: known(b[16], int(int8(b[16]))), Noise: known(b[17], int(int8(b[17]))), Echo: known(b[18], int(b[18])),
		R: known(b[20], int(b[20])), MOSLQ: mos(b[22]), MOSCQ: mos(b[23]),
		JitterBuffer: ms(26), LargestJitterTime: ms(28),
	}
}

// known gives -1 for 127, by which a value is told to be unavailable.
func known(raw byte, v int) int {
	if raw == 127 {
		return -1
	}
	return v
}

func mos(raw byte) float64 {
	if raw == 127 {
		return -1
	}
	return float64(raw) / 10
}

// readStatistics is RFC 3611 §4.6: the loss alone, over the packets the
// block is about.
func (c *compound) readStatistics(flags byte, b []byte) {
	const lossFlag = 0x80
	begin, end := binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])
	n := end - begin
	if flags&lossFlag == 0 || n == 0 {
		return
	}
	c.about, c.metrics = binary.BigEndian.Uint32(b), true
	c.voip = VoIP{
		Loss:    min(1, float64(binary.BigEndian.Uint32(b[8:]))/float64(n)),
		Discard: -1, BurstDensity: -1, GapDensity: -1, Signal: -1, Noise: -1, Echo: -1, R: -1, MOSLQ: -1, MOSCQ: -1,
	}
}

// sender is what an SR tells of its sender.
type senderInfo struct {
	ntp             uint64
	stamp           uint32
	packets, octets uint32
}

// appendReport writes an SR, or an RR when there is no sender information,
// with at most one report block.
func appendReport(dst []byte, ssrc uint32, info *senderInfo, block *report) []byte {
	words, kind, count := uint16(1), byte(typeRR), byte(0)
	if info != nil {
		words, kind = words+senderSize/4, typeSR
	}
	if block != nil {
		words, count = words+blockSize/4, 1
	}
	dst = append(dst, 0x80|count, kind)
	dst = binary.BigEndian.AppendUint16(dst, words)
	dst = binary.BigEndian.AppendUint32(dst, ssrc)
	if info != nil {
		dst = binary.BigEndian.AppendUint64(dst, info.ntp)
		dst = binary.BigEndian.AppendUint32(dst, info.stamp)
		dst = binary.BigEndian.AppendUint32(dst, info.packets)
		dst = binary.BigEndian.AppendUint32(dst, info.octets)
	}
	if block != nil {
		dst = binary.BigEndian.AppendUint32(dst, block.ssrc)
		dst = binary.BigEndian.AppendUint32(dst, uint32(block.fraction)<<24|uint32(block.lost)&0xffffff)
		dst = binary.BigEndian.AppendUint32(dst, block.highest)
		dst = binary.BigEndian.AppendUint32(dst, block.jitter)
		dst = binary.BigEndian.AppendUint32(dst, block.lsr)
		dst = binary.BigEndian.AppendUint32(dst, block.dlsr)
	}
	return dst
}

// appendSource writes the description of a source, which each compound packet
// must have (RFC 3550 §6.1): the canonical name alone, padded with zeros to
// whole words, one at least.
func appendSource(dst []byte, ssrc uint32, name string) []byte {
	name = name[:min(len(name), maxCNAME)]
	words := (2+len(name))/4 + 1 // the item, then one zero at least
	dst = append(dst, 0x81, typeSDES)
	dst = binary.BigEndian.AppendUint16(dst, uint16(1+words))
	dst = binary.BigEndian.AppendUint32(dst, ssrc)
	end := len(dst) + 4*words
	const cname = 1
	dst = append(dst, cname, byte(len(name)))
	dst = append(dst, name...)
	for len(dst) < end {
		dst = append(dst, 0)
	}
	return dst
}

// ntpOf is a time as SR has it: seconds since 1900 and their fraction.
func ntpOf(t time.Time) uint64 {
	const since1900 = 2208988800
	return (uint64(t.Unix())+since1900)<<32 | uint64(t.Nanosecond())<<32/1e9
}

// middle is the 32 bits of an NTP time that LSR has.
func middle(ntp uint64) uint32 { return uint32(ntp >> 16) }
