package phone

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
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
	codec   *audio.Codec // nil: none yet
	pt      uint8
	fmtp    string    // of the codec
	also    []format  // what the far side may change to without a word
	dtmf    uint8     // payload number of telephone events; 0 when there are none
	ptime   int       // units in a packet of ours; 0 means two
	in, out *rtp.Keys // nil: in the clear
	sending bool
	hearing bool
	settled bool // a remote address is known
}

// format is a codec under its number.
type format struct {
	codec *audio.Codec
	pt    uint8
}

// unit is the samples in 10 ms, of which packets are made.
const unit = audio.Rate / 100

// units in a packet.
func (s *stream) units() int {
	if s.ptime == 0 {
		return 2
	}
	return s.ptime
}

// clock is the step of timestamps for some samples.
func (s *stream) clock(samples int) uint32 {
	if s.codec == nil {
		return uint32(samples)
	}
	return uint32(samples * s.codec.Clock / audio.Rate)
}

// voice is a media end: it says its source frame by frame and writes down what
// it hears. The pacer calls say, the engine calls hear.
type voice struct {
	port *rtp.Port      // RO
	lose *atomic.Uint64 // RO; the exchange's share of packets to lose, as bits of a float64; nil: none

	mu      sync.Mutex
	stream  stream                // mu
	source  []int16               // mu; said over and over
	live    *pipe                 // mu; said instead of the source
	sink    *pipe                 // mu; gets what is heard
	mute    Quiet                 // mu
	last    time.Time             // mu; when RTP was heard last
	tones   []int16               // mu; keys pressed in-band, said before anything else
	spoken  []int16               // mu; what was said since live or another source came; nil before
	began   time.Time             // mu; when the first frame was said
	frame   int                   // mu; units since began, said or not
	tick    int                   // mu; ticks of the pacer until the next packet
	said    []span                // mu; units that were said
	ssrc    uint32                // mu
	seq     uint16                // mu
	ts      uint32                // mu
	mouth   audio.Coder           // mu; codes what is said
	ears    map[uint8]audio.Coder // mu; by number; of the stream heard now
	coded   [][]byte              // mu; payloads of an opaque codec that are said over and over
	echo    [][]byte              // mu; payloads heard that are to be sent back
	kept    [][]byte              // mu; payloads heard of an opaque codec
	packets Packets               // mu
	next    int                   // mu; unit of the next RTCP report
	pressed keypad                // mu
	heard   recorder              // mu
	digits  string                // mu
	lastKey uint32                // mu; timestamp of the last digit heard
	rtcp    []byte                // mu; scratch
	scratch []byte                // mu
	sound   []int16               // mu; scratch
}

// span is a half-open range of units.
type span struct{ from, to int }

func newVoice(port *rtp.Port, source []int16) *voice {
	return &voice{port: port, source: source, ts: rand.Uint32(), next: firstReport}
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
	if s.codec != nil && (s.codec != v.stream.codec || s.fmtp != v.stream.fmtp) {
		v.mouth, v.coded, v.echo = s.codec.NewCoder(), s.codec.Precoded(s.fmtp), nil
		if v.coded != nil {
			v.source, s.ptime = audio.PrecodedSpeech(), 0
		}
	}
	v.stream, v.ears = s, map[uint8]audio.Coder{}
	clock := v.stream.clock(audio.Rate)
	v.mu.Unlock()
	plan := &rtp.Plan{PT: rtp.PassPT(), In: s.in, Clock: clock, Sink: v.hear}
	return v.port.Receive(plan)
}

// press queues telephone events.
func (v *voice) press(digits string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.pressed.queue += digits
}

const (
	rtpHead     = 12
	marker      = 0x80
	rtcpEvery   = 500 // units: 5 s, RFC 3550 section 6.2
	firstReport = 10
)

// say sends one packet when it is due; now is the pacer's, which calls each 10
// ms.
func (v *voice) say(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.stream.settled || v.began.IsZero() && !v.stream.sending {
		return
	}
	if v.began.IsZero() {
		// What a pause of the process kept is said in a burst; a track that
		// began within one would stand later than what is said afterwards.
		if time.Since(now) > 2*frameTime {
			return
		}
		v.began = now
	}
	if v.tick--; v.tick > 0 {
		return
	}
	v.tick = v.stream.units()
	at, samples := v.frame, v.tick*unit
	v.frame += v.tick
	step := v.stream.clock(samples)
	v.ts += step
	if !v.stream.sending || v.mute == Silent {
		return
	}
	if at >= v.next {
		v.next = at + rtcpEvery
		v.report(now)
	}
	v.scratch = append(v.scratch[:0], 0x80, v.stream.pt)
	v.scratch = binary.BigEndian.AppendUint16(v.scratch, v.seq+1)
	if event, ts, first := v.pressed.next(v.ts, v.stream.dtmf, step); event != nil {
		v.scratch[1] = v.stream.dtmf
		if first {
			v.scratch[1] |= marker
		}
		v.scratch = binary.BigEndian.AppendUint32(v.scratch, ts)
		v.scratch = binary.BigEndian.AppendUint32(v.scratch, v.ssrc)
		v.scratch = append(v.scratch, event...)
	} else {
		v.scratch = binary.BigEndian.AppendUint32(v.scratch, v.ts)
		v.scratch = binary.BigEndian.AppendUint32(v.scratch, v.ssrc)
		if v.mute == Comfort {
			if at/noiseEvery == (at+v.tick)/noiseEvery {
				return
			}
			v.scratch[1] = comfortNoise
			v.scratch = append(v.scratch, noiseLevel)
		} else if !v.speak(at, samples) {
			return
		}
	}
	v.seq++
	if v.unlucky() {
		v.packets.Sent++
		return
	}
	if v.port.Send(v.scratch, v.stream.out) == nil {
		v.packets.Sent++
	}
}

// skip lets a time pass in which nothing could be said, so that what is said
// afterwards stands at its place in the track.
func (v *voice) skip(units int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.began.IsZero() {
		return
	}
	units -= units % v.stream.units()
	v.frame += units
	v.ts += v.stream.clock(units * unit)
	if v.live != nil && v.stream.sending && v.mute == Speaking {
		v.sound = v.live.read(v.sound[:0], units*unit) // nor is it said later, and all that follows with it
	}
}

// speak appends the payload of the packet that begins at a unit; false when
// there is nothing to say.
func (v *voice) speak(at, samples int) bool {
	if v.mouth == nil { // opaque
		switch {
		case v.coded != nil:
			v.scratch = append(v.scratch, v.coded[at*unit/audio.Frame%len(v.coded)]...)
		case len(v.echo) > 0:
			v.scratch = append(v.scratch, v.echo[0]...)
			v.echo = v.echo[1:]
			return true
		default:
			return false
		}
	}
	n := at + samples/unit
	if k := len(v.said) - 1; k >= 0 && v.said[k].to == at {
		v.said[k].to = n
	} else {
		v.said = append(v.said, span{at, n})
		v.scratch[1] |= marker // RFC 3551 section 4.1: first packet of a talkspurt
	}
	if v.mouth != nil {
		v.sound = v.words(v.sound[:0], at, samples)
		v.scratch = v.mouth.Encode(v.scratch, v.sound)
	}
	return true
}

// Quiet is a way to say nothing.
type Quiet uint8

// The ways.
const (
	Speaking Quiet = iota // none of them
	Silent                // no RTP at all, as phones that suppress silence
	Comfort               // comfort noise now and then (RFC 3389)
)

const (
	noiseEvery = 20 // units
	noiseLevel = 70 // -dBov
)

// quiet says nothing from now on, or something again, which begins a talkspurt.
func (v *voice) quiet(how Quiet) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mute = how
}

// gap is how long nothing has come though it should; 0 when nothing is to come.
func (v *voice) gap(now time.Time) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.stream.hearing || v.last.IsZero() {
		v.last = now
	}
	return now.Sub(v.last)
}

// words appends the sound of the packet that begins at a unit.
func (v *voice) words(dst []int16, at, samples int) []int16 {
	from := len(dst)
	if n := min(len(v.tones), samples); n > 0 {
		dst = append(dst, v.tones[:n]...)
		v.tones = v.tones[n:]
	}
	rest := samples - (len(dst) - from)
	switch {
	case v.live != nil:
		dst = v.live.read(dst, rest)
	default:
		for i := at*unit + samples - rest; rest > 0; {
			k := i % len(v.source)
			n := min(rest, len(v.source)-k)
			dst = append(dst, v.source[k:k+n]...)
			i, rest = i+n, rest-n
		}
	}
	if v.spoken != nil && at*unit+samples <= keep {
		if missing := at*unit - len(v.spoken); missing > 0 {
			v.spoken = append(v.spoken, make([]int16, missing)...)
		}
		v.spoken = append(v.spoken[:at*unit], dst[from:]...)
	}
	return dst
}

// change lets another source be said, or a live one, from now on. It gives the
// source there was.
func (v *voice) change(source []int16, live *pipe) (before []int16) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.unravel()
	before = v.source
	if source != nil {
		v.source = source
	}
	v.live = live
	return before
}

// pressedBy notes a key that came by another way than RTP.
func (v *voice) pressedBy(key string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.digits += key
}

// unravel writes down what was said so far, since it will not be told from the
// source any more.
func (v *voice) unravel() {
	if v.spoken == nil {
		v.spoken = append(make([]int16, 0, audio.Rate), v.saidSoFar()...)
	}
}

// tell lets all that is heard be given to p.
func (v *voice) tell(p *pipe) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sink = p
}

// beep presses keys in-band.
func (v *voice) beep(keys string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.unravel()
	v.tones = append(v.tones, audio.KeyTones(keys)...)
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
	if payload == nil || v.stream.codec == nil {
		v.packets.Noise++
		return
	}
	v.packets.Received++
	v.last = now
	ts, ssrc := binary.BigEndian.Uint32(pkt[4:]), binary.BigEndian.Uint32(pkt[8:])
	switch pt := pkt[1] &^ marker; {
	case pt == v.stream.pt:
		v.listen(now, format{v.stream.codec, pt}, ssrc, ts, payload)
	case slices.ContainsFunc(v.stream.also, func(f format) bool { return f.pt == pt }):
		v.listen(now, v.stream.also[slices.IndexFunc(v.stream.also, func(f format) bool { return f.pt == pt })], ssrc, ts, payload)
	case pt == v.stream.dtmf && pt != 0 && len(payload) >= 4:
		if payload[1]&0x80 != 0 && (v.digits == "" || ts != v.lastKey) && int(payload[0]) < len(audio.Keys) {
			v.lastKey = ts
			v.digits += audio.Keys[payload[0] : payload[0]+1]
		}
	case pt == comfortNoise:
		v.packets.Comfort++
	default:
		v.packets.Noise++
	}
}

const comfortNoise = 13

const (
	echoes     = 25   // payloads that wait to be sent back: half a second
	keptFrames = 1500 // 30 s
)

// listen takes a packet of sound.
func (v *voice) listen(now time.Time, f format, ssrc, ts uint32, payload []byte) {
	if f.codec.Opaque() {
		if v.coded == nil && len(v.echo) < echoes {
			v.echo = append(v.echo, slices.Clone(payload))
		}
		if len(v.kept) < keptFrames {
			v.kept = append(v.kept, slices.Clone(payload))
		}
		return
	}
	if ssrc != v.heard.ssrc {
		clear(v.ears) // a new stream begins with a new memory
	}
	ear := v.ears[f.pt]
	if ear == nil {
		if v.ears == nil {
			v.ears = map[uint8]audio.Coder{}
		}
		ear = f.codec.NewCoder()
		v.ears[f.pt] = ear
	}
	v.sound = ear.Decode(v.sound[:0], payload)
	v.heard.write(now, ssrc, ts, v.sound)
	if v.sink != nil {
		v.sink.write(v.sound)
	}
}

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

func (r *recorder) write(now time.Time, ssrc, ts uint32, pcm []int16) {
	if r.began.IsZero() {
		r.began, r.ssrc, r.anchor, r.base = now, ssrc, ts, 0
	}
	clock := int(now.Sub(r.began) * audio.Rate / time.Second)
	at := r.base + int(int32(ts-r.anchor))
	if ssrc != r.ssrc || at-clock > adrift || clock-at > adrift {
		r.ssrc, r.anchor, r.base = ssrc, ts, clock
		at = clock
	}
	if at < 0 || at+len(pcm) > keep {
		return
	}
	if missing := at + len(pcm) - len(r.pcm); missing > 0 {
		r.pcm = append(r.pcm, make([]int16, missing)...)
	}
	copy(r.pcm[at:], pcm)
}

// tracks are what was said and what was heard.
func (v *voice) tracks() (said, heard audio.Track) {
	v.mu.Lock()
	defer v.mu.Unlock()
	said.At = v.began
	if v.spoken != nil {
		said.PCM = slices.Clone(v.spoken)
	} else if len(v.echo) == 0 {
		said.PCM = v.saidSoFar()
	}
	return said, audio.Track{At: v.heard.began, PCM: append([]int16(nil), v.heard.pcm...)}
}

// saidSoFar lays the parts of the source that were said on the time line.
func (v *voice) saidSoFar() (pcm []int16) {
	if k := len(v.said); k > 0 {
		pcm = make([]int16, min(v.said[k-1].to*unit, keep))
	}
	for _, s := range v.said {
		for i := s.from * unit; i < min(s.to*unit, keep); i++ {
			pcm[i] = v.source[i%len(v.source)]
		}
	}
	return pcm
}

// payloads are those heard of an opaque codec.
func (v *voice) payloads() [][]byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.kept)
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
	keyFrames = 5 // packets, 100 ms of event
	keyEnds   = 3 // the last packet three times, section 2.5.1.4
	keyPause  = 4 // 80 ms until the next
)

// next is the payload of this frame's event packet with its timestamp; nil
// when voice is due. now is the timestamp of the frame, dtmf the payload number,
// frame the timestamp's step.
func (k *keypad) next(now uint32, dtmf uint8, frame uint32) (payload []byte, at uint32, first bool) {
	if k.queue == "" || dtmf == 0 {
		return nil, 0, false
	}
	if k.step == 0 {
		k.at, k.event = now, 0
		k.event = uint8(max(0, strings.IndexByte(audio.Keys, k.queue[0])))
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
	binary.BigEndian.PutUint16(k.buf[2:], uint16(uint32(min(k.step, keyFrames))*frame))
	return k.buf[:], k.at, k.step == 1
}

// pacer calls every voice each 10 ms: one goroutine for all.
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

const frameTime = 10 * time.Millisecond

// burst is how many frames are made up for after a pause of the process; what
// is beyond is given up.
const burst = 10

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
				lost := int(now.Sub(next) / frameTime)
				for _, v := range all {
					v.skip(lost)
				}
				next = next.Add(time.Duration(lost) * frameTime)
			}
			for ; !next.After(now); next = next.Add(frameTime) {
				for _, v := range all {
					v.say(next)
				}
			}
		}
	}
}
