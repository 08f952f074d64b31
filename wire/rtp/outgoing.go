package rtp

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"time"
)

// ErrStream tells that another stream leaves the port than the packet is of:
// ask Stamp again.
var ErrStream = errors.New("rtp: another stream is leaving")

// outgoing is the one RTP stream that leaves a port, whoever makes its packets:
// those of the other far side, or ours put in between. Its receiver sees one
// SSRC and numbers without a gap. The port's tx lock guards it.
type outgoing struct {
	started bool
	ssrc    uint32
	seq     uint16 // of the newest packet, as it left
	stamp   uint32 // newest time stamp
	at      time.Time
	clock   uint32

	// Forwarded packets are renumbered by shift, for those of ours that went in
	// between. mixed is set while none has followed ours.
	incoming uint16 // number of the newest forwarded packet as it came, also if it was kept back
	shift    uint16
	mixed    bool
	border   uint16    // with moved: what came up to here had another shift
	moved    bool      // a moment ago
	hush     time.Time // until then only ours leave

	packets, octets uint32 // of this SSRC, for SR
	reported        uint32 // packets at the last SR
	sent            [4]sentReport
	next            int // of sent
}

// sentReport remembers an SR that left, whoever made it, so that the answer to
// it tells the round trip.
type sentReport struct {
	middle uint32
	at     time.Time
}

// admit gives a forwarded packet its number; false when it is not to leave:
// ours are sent instead, or it has been overtaken by them.
func (o *outgoing) admit(pkt []byte, h *header, now time.Time) bool {
	hushed := now.Before(o.hush)
	if !o.started || o.ssrc != h.ssrc {
		return !hushed
	}
	newer := int16(h.seq-o.incoming) > 0
	if hushed {
		if newer {
			o.incoming = h.seq
		}
		return false
	}
	if o.mixed && newer {
		o.shift, o.border, o.moved, o.mixed = o.seq-o.incoming, o.incoming, true, false
	}
	if o.moved {
		ahead := int16(h.seq - o.border)
		if ahead <= 0 && ahead > -maxMisorder {
			return false
		}
		o.moved = ahead < maxMisorder
	}
	if newer {
		o.incoming = h.seq
	}
	if o.shift != 0 {
		h.seq += o.shift
		binary.BigEndian.PutUint16(pkt[2:], h.seq)
	}
	return true
}

// withhold takes note of a packet of the other far side that ends here: to the
// receiver its number is not missing.
func (p *Port) withhold(h header) {
	p.tx.Lock()
	defer p.tx.Unlock()
	o := &p.tx.out
	if !o.started || o.ssrc != h.ssrc || int16(h.seq-o.incoming) <= 0 {
		return
	}
	if !o.mixed { // else admit finds the shift when the next one comes
		o.shift--
		o.border, o.moved = h.seq, true
	}
	o.incoming = h.seq
}

// forwarded takes a packet of the other far side that has left into the books.
func (o *outgoing) forwarded(h header, clock uint32, now time.Time) {
	if !o.started || o.ssrc != h.ssrc {
		o.begin(h.ssrc, h.seq, h.time, clock, now)
		o.incoming = h.seq
		return
	}
	// An announcement machine may begin its numbers again further back.
	if ahead := int16(h.seq - o.seq); ahead > 0 || ahead < -maxMisorder {
		o.seq, o.incoming = h.seq, h.seq-o.shift
		o.pace(h.time, clock, now)
	}
}

// pace notes at what time which time stamp was current. The packets of one
// event share theirs (RFC 4733 §2.2.1).
func (o *outgoing) pace(stamp, clock uint32, now time.Time) {
	o.clock = clock
	if stamp != o.stamp {
		o.stamp, o.at = stamp, now
	}
}

func (o *outgoing) begin(ssrc uint32, seq uint16, stamp, clock uint32, now time.Time) {
	sent, next, hush := o.sent, o.next, o.hush
	*o = outgoing{started: true, ssrc: ssrc, seq: seq, stamp: stamp, at: now, clock: clock, sent: sent, next: next, hush: hush}
}

// beginOwn begins a stream of ours, with all three numbers random
// (RFC 3550 §5.1).
func (o *outgoing) beginOwn(clock uint32, now time.Time) {
	o.begin(rand.Uint32(), uint16(rand.Uint32()), rand.Uint32(), clock, now)
}

func (o *outgoing) count(h header, size int) {
	o.packets++
	o.octets += uint32(size - h.size)
}

// nowStamp is the time stamp that a packet would have that is sampled now.
func (o *outgoing) nowStamp(now time.Time) uint32 {
	return o.stamp + uint32(now.Sub(o.at).Nanoseconds()*int64(o.clock)/1e9)
}

// put gives a packet of ours the next number.
func (o *outgoing) put(pkt []byte, h *header, now time.Time) {
	o.seq++
	o.mixed = true
	h.seq = o.seq
	binary.BigEndian.PutUint16(pkt[2:], h.seq)
	o.pace(h.time, o.clock, now)
}

func (o *outgoing) remember(ntp uint64, now time.Time) {
	o.sent[o.next] = sentReport{middle(ntp), now}
	o.next = (o.next + 1) % len(o.sent)
}

// roundTrip is the time from the SR named in a report block until now, less
// the time that the far side has kept it (RFC 3550 §6.4.1); 0 when it names
// none that we know.
func (o *outgoing) roundTrip(b report, now time.Time) time.Duration {
	for _, s := range o.sent {
		if b.lsr != 0 && s.middle == b.lsr && !s.at.IsZero() {
			kept := time.Duration(b.dlsr) * time.Second >> 16
			// A far side that answers at once may have rounded up.
			return max(now.Sub(s.at)-kept, time.Microsecond)
		}
	}
	return 0
}

// Stamp tells the SSRC and the time stamp that a packet of our own has to bear
// to be the next one of the stream that leaves here now. Where none does, or
// one of another clock, a new one is begun.
func (p *Port) Stamp(clock uint32) (ssrc, stamp uint32) {
	now := time.Now()
	p.tx.Lock()
	defer p.tx.Unlock()
	o := &p.tx.out
	if !o.started || o.clock != clock {
		o.beginOwn(clock, now)
	}
	return o.ssrc, o.nowStamp(now)
}

// Yield as Insert's hush lets the other far side go first.
const Yield time.Duration = -1

// Insert sends an RTP packet of our own in the stream that leaves here: it gets
// the number after the newest one's, and packets that are forwarded later are
// renumbered. For as long as hush those are not forwarded at all; with Yield
// the packet is sent only when none of them has left since the last one of
// ours. The SSRC must be what Stamp tells. Else nothing is sent and the error is
// ErrStream. The packet is not kept or changed.
func (p *Port) Insert(pkt []byte, keys *Keys, hush time.Duration) error {
	h, cause := parseRTP(pkt)
	if cause != passed || len(pkt) > maxPacket {
		return ErrPacket
	}
	now := time.Now()
	p.tx.Lock()
	defer p.tx.Unlock()
	c, err := p.ready(keys)
	switch o := &p.tx.out; {
	case err != nil:
		return err
	case !o.started || h.ssrc != o.ssrc, hush == Yield && !o.mixed:
		return ErrStream
	case !p.tx.to[media].IsValid():
		return ErrNoRemote
	default:
		p.tx.keep(pkt)
		o.put(p.tx.scratch, &h, now)
		if until := now.Add(hush); hush > 0 && until.After(o.hush) {
			o.hush = until
		}
	}
	if p.transmit(p.tx.scratch, h, c) != passed {
		return ErrSend
	}
	return nil
}

// ready finds the context of keys. The caller holds tx.
func (p *Port) ready(keys *Keys) (*context, error) {
	if p.tx.closed {
		return nil, ErrClosed
	}
	return p.tx.contexts.get(keys)
}

// keep copies a packet to where it can be protected.
func (t *sender) keep(pkt []byte) {
	t.scratch = append(slices.Grow(t.scratch[:0], len(pkt)+overhead), pkt...)
}
