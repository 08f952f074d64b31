package phone

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/wire/rtp"
)

// keep is how much of what a call hears is kept, and of what it said is
// told: half a megabyte a call.
const keep = 30 * audio.Rate

// stream is what a negotiation settled for a voice.
type stream struct {
	law     *audio.Law
	pt      uint8
	dtmf    uint8     // payload number of telephone events; 0 when there are none
	in, out *rtp.Keys // nil: in the clear
	sending bool
	hearing bool
	settled bool // a remote address is known
}

// voice is a media end: it says its source frame by frame and writes down what
// it hears. The pacer calls say, the engine calls hear.
type voice struct {
	port *rtp.Port      // RO
	lose *atomic.Uint64 // RO; the exchange's share of packets to lose, as bits of a float64; nil: none

	mu      sync.Mutex
	stream  stream    // mu
	source  []int16   // mu; said over and over
	began   time.Time // mu; when the first frame was said
	frame   int       // mu; frames since began, said or not
	said    []span    // mu; frames that were said
	ssrc    uint32    // mu
	seq     uint16    // mu
	ts      uint32    // mu
	packets Packets   // mu
	pressed keypad    // mu
	heard   recorder  // mu
	digits  string    // mu
	lastKey uint32    // mu; timestamp of the last digit heard
	rtcp    []byte    // mu; scratch
	scratch []byte    // mu
}

// span is a half-open range of frames.
type span struct{ from, to int }

func newVoice(port *rtp.Port, source []int16) *voice {
	return &voice{port: port, source: source, ts: rand.Uint32()}
}

// wrapIn is how many packets before the sequence number wraps a stream begins,
// two to four seconds: every call is to show that the roll-over counter of
// SRTP is kept (RFC 3711 section 3.3.1).
const wrapIn = 100

// renew begins a new stream, as media servers do whenever they are asked to
// send again.
func (v *voice) renew() {
	v.ssrc = rand.Uint32()
	v.seq = uint16(1<<16 - wrapIn - rand.IntN(wrapIn))
}

// set puts the outcome of a negotiation to work.
func (v *voice) set(s stream) error {
	v.mu.Lock()
	if s.sending && !v.stream.sending {
		v.renew()
	}
	v.stream = s
	v.mu.Unlock()
	plan := &rtp.Plan{PT: rtp.PassPT(), In: s.in, Clock: audio.Rate, Sink: v.hear}
	return v.port.Receive(plan)
}

// press queues telephone events.
func (v *voice) press(digits string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.pressed.queue += digits
}

const (
	rtpHead   = 12
	marker    = 0x80
	rtcpEvery = 5 * 50 // frames: 5 s, RFC 3550 section 6.2
)

// say sends one frame; now is the pacer's.
func (v *voice) say(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.stream.settled || v.began.IsZero() && !v.stream.sending {
		return
	}
	if v.began.IsZero() {
		v.began = time.Now() // now is when it was due
	}
	n := v.frame
	v.frame++
	v.ts += audio.Frame
	if !v.stream.sending {
		return
	}
	if n%rtcpEvery == rtcpEvery/50 {
		v.report(now)
	}
	v.seq++
	v.scratch = append(v.scratch[:0], 0x80, v.stream.pt)
	v.scratch = binary.BigEndian.AppendUint16(v.scratch, v.seq)
	if event, at, first := v.pressed.next(v.ts, v.stream.dtmf); event != nil {
		v.scratch[1] = v.stream.dtmf
		if first {
			v.scratch[1] |= marker
		}
		v.scratch = binary.BigEndian.AppendUint32(v.scratch, at)
		v.scratch = binary.BigEndian.AppendUint32(v.scratch, v.ssrc)
		v.scratch = append(v.scratch, event...)
	} else {
		if k := len(v.said) - 1; k >= 0 && v.said[k].to == n {
			v.said[k].to++
		} else {
			v.said = append(v.said, span{n, n + 1})
			v.scratch[1] |= marker // RFC 3551 section 4.1: first packet of a talkspurt
		}
		v.scratch = binary.BigEndian.AppendUint32(v.scratch, v.ts)
		v.scratch = binary.BigEndian.AppendUint32(v.scratch, v.ssrc)
		at := n * audio.Frame % len(v.source)
		whole := min(audio.Frame, len(v.source)-at)
		v.scratch = v.stream.law.Encode(v.scratch, v.source[at:at+whole])
		v.scratch = v.stream.law.Encode(v.scratch, v.source[:audio.Frame-whole])
	}
	if v.unlucky() {
		v.packets.Sent++
		return
	}
	if v.port.Send(v.scratch, v.stream.out) == nil {
		v.packets.Sent++
	}
}

// unlucky says that the packet gets lost on the way.
func (v *voice) unlucky() bool {
	return v.lose != nil && rand.Float64() < math.Float64frombits(v.lose.Load())
}

// report sends an RTCP sender report with our name (RFC 3550 sections 6.4.1
// and 6.5), without report blocks: the far side wants to see that we live.
func (v *voice) report(now time.Time) {
	const ntpEpoch = 2208988800 // seconds from 1900 to 1970
	b := append(v.rtcp[:0], 0x80, 200, 0, 6)
	b = binary.BigEndian.AppendUint32(b, v.ssrc)
	b = binary.BigEndian.AppendUint32(b, uint32(now.Unix()+ntpEpoch))
	b = binary.BigEndian.AppendUint32(b, uint32(uint64(now.Nanosecond())<<32/1e9))
	b = binary.BigEndian.AppendUint32(b, v.ts)
	b = binary.BigEndian.AppendUint32(b, uint32(v.packets.Sent))
	b = binary.BigEndian.AppendUint32(b, uint32(v.packets.Sent)*audio.Frame)
	b = append(b, 0x81, 202, 0, 3)
	b = binary.BigEndian.AppendUint32(b, v.ssrc)
	b = append(b, 1, 4, 'v', 'o', 'i', 'c', 0, 0) // CNAME, end of chunk
	v.rtcp = b
	_ = v.port.Send(b, v.stream.out) // the next one comes in 5 s
}

// hear takes what the engine received.
func (v *voice) hear(pkt []byte, rtcp bool) {
	now := time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	if rtcp {
		v.packets.RTCP++
		return
	}
	payload := rtpPayload(pkt)
	if payload == nil || v.stream.law == nil {
		v.packets.Noise++
		return
	}
	v.packets.Received++
	ts, ssrc := binary.BigEndian.Uint32(pkt[4:]), binary.BigEndian.Uint32(pkt[8:])
	switch pt := pkt[1] &^ marker; {
	case pt == v.stream.pt:
		v.heard.write(now, ssrc, ts, v.stream.law, payload)
	case pt == v.stream.dtmf && pt != 0 && len(payload) >= 4:
		if payload[1]&0x80 != 0 && (v.digits == "" || ts != v.lastKey) && int(payload[0]) < len(keys) {
			v.lastKey = ts
			v.digits += keys[payload[0] : payload[0]+1]
		}
	case pt == comfortNoise:
		v.packets.Comfort++
	default:
		v.packets.Noise++
	}
}

const comfortNoise = 13

// rtpPayload is what follows the header, extensions and before the padding;
// nil when the packet is not long enough for what it announces.
func rtpPayload(pkt []byte) []byte {
	if len(pkt) < rtpHead {
		return nil
	}
	from := rtpHead + 4*int(pkt[0]&0x0f)
	if pkt[0]&0x10 != 0 {
		if len(pkt) < from+4 {
			return nil
		}
		from += 4 + 4*int(binary.BigEndian.Uint16(pkt[from+2:]))
	}
	to := len(pkt)
	if pkt[0]&0x20 != 0 {
		to -= int(pkt[to-1])
	}
	if from >= to {
		return nil
	}
	return pkt[from:to]
}

// recorder lays what is heard out on the time line of the RTP timestamps, so
// that a lost packet leaves a hole of its length.
type recorder struct {
	began  time.Time
	pcm    []int16
	ssrc   uint32
	anchor uint32 // timestamp that belongs to sample base
	base   int
}

// adrift is how far the time line of a stream may be from the clock before it
// counts as a new one: after hold, or when the far side starts over.
const adrift = audio.Rate

func (r *recorder) write(now time.Time, ssrc, ts uint32, law *audio.Law, payload []byte) {
	if r.began.IsZero() {
		r.began, r.ssrc, r.anchor, r.base = now, ssrc, ts, 0
	}
	clock := int(now.Sub(r.began) * audio.Rate / time.Second)
	at := r.base + int(int32(ts-r.anchor))
	if ssrc != r.ssrc || at-clock > adrift || clock-at > adrift {
		r.ssrc, r.anchor, r.base = ssrc, ts, clock
		at = clock
	}
	if at < 0 || at+len(payload) > keep {
		return
	}
	if missing := at + len(payload) - len(r.pcm); missing > 0 {
		r.pcm = append(r.pcm, make([]int16, missing)...)
	}
	law.Decode(r.pcm[at:at], payload)
}

// tracks are what was said and what was heard.
func (v *voice) tracks() (said, heard audio.Track) {
	v.mu.Lock()
	defer v.mu.Unlock()
	said.At = v.began
	if k := len(v.said); k > 0 {
		said.PCM = make([]int16, min(v.said[k-1].to*audio.Frame, keep))
	}
	for _, s := range v.said {
		for i := s.from * audio.Frame; i < min(s.to*audio.Frame, keep); i++ {
			said.PCM[i] = v.source[i%len(v.source)]
		}
	}
	return said, audio.Track{At: v.heard.began, PCM: append([]int16(nil), v.heard.pcm...)}
}

// counts are the packets so far, and the digits heard.
func (v *voice) counts() (Packets, string) {
	s := v.port.Stats()
	v.mu.Lock()
	defer v.mu.Unlock()
	p := v.packets
	p.Lost, p.Late = max(0, s.Lost), s.OutOfOrder
	p.Stranger, p.BadKey = s.Drops[rtp.Stranger], s.Drops[rtp.AuthFailed]
	return p, v.digits
}

// keypad makes the packets of telephone events (RFC 4733).
type keypad struct {
	queue string
	event uint8
	at    uint32 // timestamp the event began
	step  int
	buf   [4]byte
}

const (
	keys      = "0123456789*#ABCD"
	keyFrames = 5 // 100 ms of event
	keyEnds   = 3 // the last packet three times, section 2.5.1.4
	keyPause  = 4 // 80 ms until the next
)

// next is the payload of this frame's event packet with its timestamp; nil
// when voice is due. now is the timestamp of the frame, dtmf the payload number.
func (k *keypad) next(now uint32, dtmf uint8) (payload []byte, at uint32, first bool) {
	if k.queue == "" || dtmf == 0 {
		return nil, 0, false
	}
	if k.step == 0 {
		k.at, k.event = now, 0
		for i := range keys {
			if keys[i] == k.queue[0] {
				k.event = uint8(i)
			}
		}
	}
	k.step++
	switch {
	case k.step > keyFrames+keyEnds+keyPause:
		k.queue, k.step = k.queue[1:], 0
		return nil, 0, false
	case k.step > keyFrames+keyEnds:
		return nil, 0, false
	}
	const volume, end = 10, 0x80
	k.buf[0], k.buf[1] = k.event, volume
	if k.step > keyFrames {
		k.buf[1] |= end
	}
	binary.BigEndian.PutUint16(k.buf[2:], uint16(min(k.step, keyFrames)*audio.Frame))
	return k.buf[:], k.at, k.step == 1
}

// pacer calls every voice each 20 ms: one goroutine for all.
type pacer struct {
	mu     sync.Mutex
	voices map[*voice]struct{} // mu
	behind atomic.Uint64       // frames said late, by more than a frame
}

func (p *pacer) add(v *voice) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.voices[v] = struct{}{}
}

func (p *pacer) remove(v *voice) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.voices, v)
}

const frameTime = 20 * time.Millisecond

// burst is how many frames are made up for after a pause of the process; what
// is beyond is given up.
const burst = 5

func (p *pacer) run(done <-chan struct{}) {
	tick := time.NewTicker(frameTime)
	defer tick.Stop()
	next := time.Now()
	var all []*voice
	for {
		select {
		case <-done:
			return
		case now := <-tick.C:
			all = all[:0]
			p.mu.Lock()
			for v := range p.voices {
				all = append(all, v)
			}
			p.mu.Unlock()
			if now.Sub(next) > burst*frameTime {
				p.behind.Add(1)
				next = now
			}
			for ; !next.After(now); next = next.Add(frameTime) {
				for _, v := range all {
					v.say(next)
				}
			}
		}
	}
}
