package relay

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tandemgw/tandem/wire/codec"
	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sdp"
)

// inbox takes packets from the loop that serves a port, which must never wait
// for a decoder.
type inbox struct {
	mu      sync.Mutex
	mail    []arrival // mu
	free    [][]byte  // mu
	dropped uint64    // mu
}

type arrival struct {
	pkt []byte
	at  time.Time
}

// inboxSize is 640 ms of 20 ms packets: more waits only while the workers do
// not run at all.
const inboxSize = 32

// put copies a packet in, or drops it.
func (b *inbox) put(pkt []byte) {
	at := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mail) == inboxSize {
		b.dropped++
		return
	}
	var buf []byte
	if n := len(b.free); n > 0 {
		buf, b.free = b.free[n-1], b.free[:n-1]
	}
	b.mail = append(b.mail, arrival{append(buf[:0], pkt...), at})
}

// take empties it into mail, and takes the buffers of mail back.
func (b *inbox) take(mail []arrival) []arrival {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range mail {
		b.free = append(b.free, a.pkt)
	}
	mail = append(mail[:0], b.mail...)
	b.mail = b.mail[:0]
	return mail
}

// ear decodes what a side sends. It belongs to the voice that says it to the
// other side, and is guarded by its lock.
type ear struct {
	recodes bool // what it hears is said; else it only listens for digits
	wish    *codec.Wish
	inputs  []*input
	now     *input // whose packets come
	playing *input // whose packet was played last
	ssrc    uint32
	mail    []arrival
	jitter  jitter

	raw   []int16               // as decoded
	last  int                   // samples of the last packet
	spoke bool                  // the last packet was to be heard
	quiet *codec.NoiseGenerator // in the far side's pauses
	noisy bool                  // it has told how they sound

	rate      int // of the frames that are wanted
	from      int // rate that resampler brings to rate
	resampler *codec.Resampler
	pcm       []int16
	framer    *codec.Framer

	detector *codec.Detector // nil: digits do not come as tones
	told     func(codec.Heard)
	wide     int // rate that narrow brings to detectorRate
	narrow   *codec.Resampler
	thin     []int16
}

// input is one payload number a side may send, and what reads it.
type input struct {
	agreed  sdp.Agreed
	format  codec.Format
	decoder codec.Decoder // nil until its first packet comes
}

// newEar listens to the codecs that a side may send.
func newEar(codecs []sdp.Agreed) *ear {
	e := &ear{quiet: codec.NewNoiseGenerator()}
	for _, c := range codecs {
		f, ok := codec.Lookup(c.Name, c.Rate, c.Fmtp)
		if ok || isNoise(c) {
			e.inputs = append(e.inputs, &input{agreed: c, format: f})
		}
	}
	return e
}

func isNoise(c sdp.Agreed) bool { return strings.EqualFold(c.Name, "CN") }

func isEvents(c sdp.Agreed) bool { return strings.EqualFold(c.Name, "telephone-event") }

// giving sets the frames that are wanted.
func (e *ear) giving(f codec.Format, ptime time.Duration) {
	e.rate, e.framer, e.resampler = f.Rate, codec.NewFramer(f.Samples(ptime)), nil
	// A frame longer than a packet takes several, the last of which comes later.
	e.jitter.delay = startDelay + (ptime-1)/codec.Packet*codec.Packet
}

// of finds what reads a payload number. Who renumbers in an answer should send
// with our numbers; some send with their own.
func (e *ear) of(pt uint8) *input {
	for _, number := range []func(sdp.Agreed) uint8{
		func(a sdp.Agreed) uint8 { return a.In },
		func(a sdp.Agreed) uint8 { return a.Out },
	} {
		if i := slices.IndexFunc(e.inputs, func(in *input) bool { return number(in.agreed) == pt }); i >= 0 {
			return e.inputs[i]
		}
	}
	return nil
}

// listen takes the packets that have come.
func (e *ear) listen(b *inbox) {
	e.mail = b.take(e.mail)
	for _, a := range e.mail {
		if p, ok := rtp.Read(a.pkt); ok {
			e.packet(p, a.at)
		}
	}
}

func (e *ear) packet(p rtp.Packet, at time.Time) {
	in := e.of(p.PT)
	switch {
	case in == nil || len(p.Payload) == 0:
		return
	case isNoise(in.agreed):
		if n, err := codec.ParseNoise(p.Payload); err == nil {
			e.quiet.Set(n)
			e.noisy = true
		}
		return
	case e.now == nil || in.format.Clock != e.now.format.Clock || e.ssrc != p.SSRC:
		e.jitter.reset(uint32(in.format.Clock))
	}
	e.ssrc, e.now = p.SSRC, in
	e.jitter.put(held{seq: p.Seq, stamp: p.Stamp, pt: p.PT, payload: p.Payload, at: at})
}

// next is one beat: it fills frame with what the far side says, and reports
// whether it says anything. Nobody may want the frame (nil): then one packet
// is listened to.
func (e *ear) next(frame []int16, now time.Time) bool {
	if e.now == nil {
		return false
	}
	if frame == nil || !e.recodes {
		e.decode(now)
		return false
	}
	spoke := false
	const packets = 16 // the longest frame is 60 ms, the shortest packet 5
	for range packets {
		if next := e.framer.Next(); next != nil {
			copy(frame, next)
			return spoke || e.spoke
		}
		e.spoke = e.decode(now)
		spoke = spoke || e.spoke
		e.write(e.raw)
	}
	clear(frame)
	return spoke
}

// decode brings what is due into raw, and reports whether it is to be heard.
func (e *ear) decode(now time.Time) bool {
	h, what := e.jitter.beat(now)
	if what == speech {
		e.playing = e.of(h.pt)
	}
	in := e.playing
	if in == nil { // nothing was played yet
		in = e.now
	}
	e.raw = e.raw[:0]
	if what == speech {
		e.read(in, h.payload)
	} else if in.decoder != nil {
		e.raw = in.decoder.Idle(e.raw)
	}
	rests := what != speech && len(e.raw) > 0
	if what == missing && !rests {
		e.hide(in)
	}
	audible := what != pause || e.noisy || rests
	if len(e.raw) == 0 {
		e.fill(in)
	}
	e.jitter.played(what, in.format.Ticks(len(e.raw)))
	if e.jitter.over(now) {
		const softly = -50 // dBov
		e.jitter.spare(now, what != speech || codec.DBov(e.raw) < softly)
	}
	if e.detector != nil {
		e.detect(in)
	}
	return audible
}

// read decodes a payload; one that cannot be read is as good as lost.
func (e *ear) read(in *input, payload []byte) {
	if in.decoder == nil {
		d, err := in.format.NewDecoder()
		if err != nil {
			return
		}
		e.wish.Heard(d)
		in.decoder = d
	}
	pcm, err := in.decoder.Decode(e.raw, payload)
	if err != nil {
		pcm = in.decoder.Conceal(e.raw[:0])
	}
	e.raw, e.last = pcm, len(pcm)
}

func (e *ear) hide(in *input) {
	if in.decoder != nil {
		e.raw = in.decoder.Conceal(e.raw)
	}
}

// fill is a packet's time of the far side's background noise.
func (e *ear) fill(in *input) {
	n := e.last
	if n == 0 {
		n = in.format.Samples(codec.Packet)
	}
	e.raw = slices.Grow(e.raw, n)[:n]
	clear(e.raw)
	if e.noisy {
		e.quiet.Fill(e.raw)
	}
}

// write brings samples to the rate that is wanted.
func (e *ear) write(pcm []int16) {
	from := e.now.format.Rate
	if e.playing != nil {
		from = e.playing.format.Rate
	}
	if from == e.rate {
		e.framer.Write(pcm)
		return
	}
	if e.resampler == nil || e.from != from {
		e.resampler, e.from = codec.NewResampler(from, e.rate), from
	}
	e.pcm = e.resampler.Resample(e.pcm[:0], pcm)
	e.framer.Write(e.pcm)
}

// detectorRate is what digits are listened for at.
const detectorRate = 8000

func (e *ear) detect(in *input) {
	if in.format.Rate == detectorRate {
		e.detector.Write(e.raw, e.told)
		return
	}
	if e.narrow == nil || e.wide != in.format.Rate {
		e.narrow, e.wide = codec.NewResampler(in.format.Rate, detectorRate), in.format.Rate
	}
	e.thin = e.narrow.Resample(e.thin[:0], e.raw)
	e.detector.Write(e.thin, e.told)
}

// close frees the decoders.
func (e *ear) close() {
	if e == nil {
		return
	}
	for _, in := range e.inputs {
		if in.decoder != nil {
			in.decoder.Close()
			in.decoder = nil
		}
	}
}
