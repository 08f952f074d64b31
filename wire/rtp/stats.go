package rtp

import (
	"net/netip"
	"time"
)

// Cause says why a packet was dropped.
type Cause uint8

// The causes.
const (
	Stranger      Cause = iota // not from the far side, nor allowed to become it
	TooShort                   // no room for a header, or for what the header announces
	TooLong                    // longer than any packet we carry
	BadVersion                 // not RTP version 2
	UnknownType                // payload number not in the plan, or not RTCP on an RTCP port
	AuthFailed                 // SRTP authentication failed
	Replayed                   // packet seen before, or too old to tell; of clear RTP only where it would be encrypted
	ManySources                // more SSRCs than a stream has any use for
	Flood                      // more packets a second than a stream has any use for
	NoDestination              // no plan, a held plan, or one without To and Sink
	NoRemote                   // the other far side's address is not known yet
	SendFailed                 // the kernel or the SRTP library refused to send
	Late                       // arrived after Close
	BadCheck                   // a connectivity check that is malformed, or does not know our password
	Unkeyed                    // the handshake that the keys come from is not over
	Defect                     // met a panic of ours
	Causes                     // number of causes

	passed = Causes // not dropped
)

var causeNames = [Causes]string{
	"stranger", "too short", "too long", "bad version", "unknown type", "auth failed", "replayed",
	"many sources", "flood", "no destination", "no remote", "send failed", "late", "bad check", "no keys yet", "defect",
}

// String is the cause as a metric label.
func (c Cause) String() string {
	if c < Causes {
		return causeNames[c]
	}
	return "passed"
}

// Stats is what a port knows of its far side.
type Stats struct {
	Received, Sent         Traffic // RTP that was heard, and that left
	ReceivedRTCP, SentRTCP Traffic
	SSRC                   uint32        // of the last packet
	PayloadType            uint8         // of the last packet, as received
	Lost                   int64         // RFC 3550 A.3, over all SSRCs; negative when packets came twice
	OutOfOrder             uint64        // packets older than one seen before
	Gaps                   uint64        // runs of numbers that were missing when the next packet came
	GapLost                uint64        // numbers missing in them, also such as came later
	Jitter                 time.Duration // RFC 3550 A.8, of the current SSRC
	Clock                  uint32        // that Jitter was measured with
	Last, LastRTCP         time.Time     // when the last valid packet came; zero = never
	Remote, RemoteRTCP     netip.AddrPort
	Latched                bool           // Remote is what packets showed, not what was signalled
	Drops                  [Causes]uint64 // of packets that arrived here

	// By the RTCP of the far side.
	Heard     Heard
	VoIP      VoIP
	RoundTrip time.Duration // between it and us; 0 = not known
	Bye       time.Time     // when it said that it leaves (RFC 3550 §6.6); zero = never
}

// Dropped is the number of packets dropped for any cause.
func (s *Stats) Dropped() (n uint64) {
	for _, d := range s.Drops {
		n += d
	}
	return n
}

// Traffic counts packets and their octets (UDP payload, in the clear).
type Traffic struct{ Packets, Octets uint64 }

func (t *Traffic) count(octets int) {
	t.Packets++
	t.Octets += uint64(octets)
}

func (t *Traffic) add(o Traffic) {
	t.Packets += o.Packets
	t.Octets += o.Octets
}

func (c *Counters) add(s *Stats) {
	c.Received.add(s.Received)
	c.Sent.add(s.Sent)
	c.ReceivedRTCP.add(s.ReceivedRTCP)
	c.SentRTCP.add(s.SentRTCP)
	for i, n := range s.Drops {
		c.Drops[i] += n
	}
}

// source follows the packets of one SSRC after the other (RFC 3550 A.1, A.3,
// A.8). The times are since the engine's start.
type source struct {
	started    bool
	ssrc       uint32
	base, max  uint16
	bad        uint32 // successor of a packet far off; 1<<16 = none
	cycles     uint32
	received   uint32
	outOfOrder uint64
	gaps       uint64
	gapLost    uint64
	lostBefore int64 // by earlier SSRCs
	stamp      uint32
	transit    uint32
	jitter     uint32 // in clock units, times 16
	clock      uint32
	bursts     *bursts // nil: nothing was lost yet
}

const (
	defaultClock = 8000

	maxDropout  = 3000 // RFC 3550 A.1
	maxMisorder = 100
	noBad       = 1 << 16
)

// newer reports whether a packet is not overtaken by one of its SSRC.
func (s *source) newer(h header) bool {
	return !s.started || s.ssrc != h.ssrc || int16(h.seq-s.max) > 0
}

// update takes a packet into the books.
func (s *source) update(h header, arrival time.Duration, clock uint32) {
	if !s.started || s.ssrc != h.ssrc {
		s.begin(h)
	} else if !s.follow(h) {
		return
	}
	s.received++
	s.measure(h, arrival, clock)
}

func (s *source) begin(h header) {
	*s = source{
		started: true, ssrc: h.ssrc, base: h.seq, max: h.seq, bad: noBad,
		lostBefore: s.lost(), outOfOrder: s.outOfOrder, gaps: s.gaps, gapLost: s.gapLost,
	}
}

// follow is update_seq of RFC 3550 A.1 without its probation: whose packets
// these are has been settled before. It reports whether the packet counts.
func (s *source) follow(h header) bool {
	ahead := h.seq - s.max
	switch {
	case ahead == 0 || ahead > 1<<16-maxMisorder:
		s.outOfOrder++
	case ahead < maxDropout:
		if h.seq < s.max {
			s.cycles += 1 << 16
		}
		if ahead > 1 {
			s.gaps++
			s.gapLost += uint64(ahead - 1)
			if s.bursts == nil {
				s.bursts = new(bursts)
			}
			s.bursts.gap(s.received, uint32(ahead-1))
		}
		s.max = h.seq
	case uint32(h.seq) == s.bad: // two in a row far off: the far side started again
		s.begin(h)
	default:
		s.bad = uint32(h.seq + 1)
		return false
	}
	return true
}

// measure is the jitter of RFC 3550 A.8. The packets of one telephone-event
// share a time stamp on purpose (RFC 4733 §2.2.1) and say nothing of the
// network.
func (s *source) measure(h header, arrival time.Duration, clock uint32) {
	first := s.received == 1 || s.clock != clock
	if !first && h.time == s.stamp {
		return
	}
	transit := uint32(arrival.Microseconds()*int64(clock)/1e6) - h.time
	if !first {
		d := int32(transit - s.transit)
		if d < 0 {
			d = -d
		}
		s.jitter += uint32(d) - (s.jitter+8)>>4
	}
	s.stamp, s.transit, s.clock = h.time, transit, clock
}

// lost is what was expected less what came (RFC 3550 A.3).
func (s *source) lost() int64 {
	if !s.started {
		return s.lostBefore
	}
	expected := int64(s.cycles) + int64(s.max) - int64(s.base) + 1
	return s.lostBefore + expected - int64(s.received)
}

func (s *source) jitterTime() time.Duration {
	if s.clock == 0 {
		return 0
	}
	return time.Duration(s.jitter>>4) * time.Second / time.Duration(s.clock)
}
