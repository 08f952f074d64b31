package relay

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tandemgw/tandem/wire/codec"
	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sdp"
)

// voice is what we say to one side ourselves: the other side's speech in
// another codec, tones and music, digits, comfort noise. While it has nothing to say
// the other side's packets pass without it; its own go in between, in the same
// stream (rtp.Port.Insert).
//
// A worker calls work; the media's owner changes it; the loop that serves the
// other side's port only puts packets into the inbox.
type voice struct {
	worker  *worker   // RO
	library *library  // RO
	port    *rtp.Port // RO; of the side that hears
	inbox   inbox
	wish    *codec.Wish // RO; of the side that hears, for how it is spoken to

	mu      sync.Mutex
	working bool // mu; a worker looks after it
	closed  bool // mu

	// What was agreed with the side that hears; see adapt.
	keys    *rtp.Keys     // mu
	format  codec.Format  // mu; Name "" = none that we can speak
	encoder codec.Encoder // mu; nil = none was needed yet
	pt      uint8         // mu
	ptime   time.Duration // mu
	events  *sdp.Agreed   // mu; nil = digits are sent as tones
	rests   rests         // mu
	deaf    bool          // mu; it is on hold, and to be sent nothing

	// What it says, first what is here first.
	digits  []*press // mu; to be sent, the first one now
	source  *Source  // mu; what player plays; nil = nothing
	player  player   // mu
	ear     *ear     // mu; nil = the other side's speech does not come here
	filling bool     // mu; comfort noise, since the other side sends nothing
	told    bool     // mu; or since it has told how its silence sounds (RFC 3389)
	noise   hush     // mu

	// The stream that we send.
	due    time.Time // mu; of the next packet
	began  bool      // mu; the stream's numbers are known
	mark   bool      // mu; the next packet begins a talk spurt
	ssrc   uint32    // mu
	stamp  uint32    // mu
	frame  []int16   // mu
	packet []byte    // mu
	failed error     // mu; the last refusal to send
}

// player gives samples at the rate of the voice's format, for ever.
type player interface{ Read(pcm []int16) }

// margin is how many packets' time after one of ours those of the other side
// are kept back: until the next one is surely due.
const margin = 3

// wake has a worker look after the voice. The caller holds mu.
func (v *voice) wake() {
	if v.closed || v.working {
		return
	}
	v.working, v.due, v.began = true, time.Now(), false
	v.worker.add(v)
}

// work does what is due.
func (v *voice) work(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ear != nil {
		v.ear.listen(&v.inbox)
	}
	if v.idle() {
		v.rest()
		return
	}
	const hurry = 100 * time.Millisecond
	if now.Sub(v.due) > hurry { // the processors were busy; what was due then is of no use now
		v.due, v.began = now, false
	}
	for !v.due.After(now) {
		v.say(now)
		v.due = v.due.Add(v.ptime)
	}
}

// rest lets the worker go. The caller holds mu.
func (v *voice) rest() {
	if v.working {
		v.working = false
		v.worker.remove(v)
	}
}

// idle: nothing to say and nothing to listen to.
func (v *voice) idle() bool {
	return v.ear == nil && len(v.digits) == 0 && v.player == nil && !v.filling
}

// say makes the packet that is due, if any.
func (v *voice) say(now time.Time) {
	if v.format.Name == "" {
		v.keepUp(now)
		return
	}
	n := v.format.Samples(v.ptime)
	v.frame = slices.Grow(v.frame[:0], n)[:n]
	heard := v.ear != nil && v.ear.next(v.frame, now)
	digit := v.pressing()
	switch {
	case v.deaf: // later these would mean something else
		v.digits, v.filling, v.told = nil, false, false
		v.skip(n)
	case digit != nil && v.events != nil:
		v.sayEvent(digit)
	case digit != nil:
		v.sayTone(digit)
	case v.player != nil:
		v.player.Read(v.frame)
		v.sayFrame(v.frame)
	case heard && v.rests.take(v.frame, v.ear):
		v.sayRest(now)
		v.skip(n)
	case heard:
		v.sayFrame(v.frame)
	case v.filling:
		v.sayNoise()
	default:
		v.skip(n)
	}
}

// keepUp is a beat of a voice that cannot speak, but may have to listen.
func (v *voice) keepUp(now time.Time) {
	v.digits, v.player, v.source, v.filling = nil, nil, nil, false
	if v.ear != nil {
		v.ear.next(nil, now)
	}
}

// skip lets time pass without a packet: the next one begins a talk spurt
// (RFC 3551 4.1).
func (v *voice) skip(samples int) {
	if v.began && v.ear != nil && v.ear.recodes {
		v.stamp += v.format.Ticks(samples)
		v.mark = true
		return
	}
	v.began = false // others may speak meanwhile
}

// begin learns the numbers of the stream that leaves now.
func (v *voice) begin() {
	if !v.began {
		v.ssrc, v.stamp = v.port.Stamp(uint32(v.format.Clock))
		v.began, v.mark = true, true
	}
}

// sayFrame sends samples.
func (v *voice) sayFrame(pcm []int16) {
	v.begin()
	if v.encode(pcm) {
		v.send()
	}
}

// encode makes the packet of samples; false when there is none to be sent.
func (v *voice) encode(pcm []int16) bool {
	at := v.stamp
	v.stamp += v.format.Ticks(len(pcm))
	if v.failed = v.prepare(); v.failed != nil {
		return false
	}
	payload, err := v.encoder.Encode(v.header(v.pt, at), pcm)
	if err != nil {
		v.failed = err
		return false
	}
	if lead := codec.Lead(v.encoder); lead > 0 {
		binary.BigEndian.PutUint32(payload[4:], at+v.format.Ticks(lead))
	}
	v.packet = payload
	if len(payload) == headerSize { // the encoder is silent (DTX)
		v.mark = true
		return false
	}
	return true
}

// sayNoise fills the silence of the other side, which is heard as soon as it
// speaks.
func (v *voice) sayNoise() {
	first := !v.began
	v.begin()
	v.noise.Read(v.frame)
	if !v.encode(v.frame) {
		return
	}
	hush := rtp.Yield
	if first {
		hush = 0
	}
	v.mark = false
	v.failed = v.port.Insert(v.packet, v.keys, hush)
	if errors.Is(v.failed, rtp.ErrStream) {
		v.filling, v.told = false, false
	}
}

const headerSize = 12

// header begins a packet.
func (v *voice) header(pt uint8, stamp uint32) []byte {
	if v.mark {
		pt |= 0x80
	}
	b := append(v.packet[:0], 0x80, pt, 0, 0)
	b = binary.BigEndian.AppendUint32(b, stamp)
	return binary.BigEndian.AppendUint32(b, v.ssrc)
}

// send lets the packet go. When the stream has become another one, the voice
// joins that with its next packet.
func (v *voice) send() {
	v.mark = false
	v.failed = v.port.Insert(v.packet, v.keys, margin*v.ptime)
	if errors.Is(v.failed, rtp.ErrStream) {
		v.began = false
	}
}

// terms is what was agreed with the side that hears.
type terms struct {
	keys   *rtp.Keys
	codecs []sdp.Agreed
	ptime  time.Duration
	tones  bool // digits are sent as tones, whatever was agreed
	deaf   bool
	likely uint8 // number of the codec that the other side's packets reach it in, if it can be told
	// unbroken: it wants packets in pauses too.
	unbroken bool
}

// adapt takes new terms. What is being said goes on, in the new codec if need
// be.
func (v *voice) adapt(t terms, e *ear) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		e.close()
		return
	}
	v.keys, v.deaf = t.keys, t.deaf
	v.ear.close()
	v.ear = e
	v.speak(choose(t))
	v.ptime = codec.Packet
	if v.format.Name != "" {
		v.ptime = v.format.Whole(t.ptime)
	}
	v.events = nil
	if !t.tones {
		v.events = eventsOf(t.codecs, v.format.Clock)
	}
	v.rests.adapt(t, v.format)
	if e != nil {
		e.giving(v.format, v.ptime)
		v.wake()
	}
}

// speak changes the codec.
func (v *voice) speak(a sdp.Agreed, f codec.Format) {
	v.pt = a.Out
	if v.encoder != nil && f.Name == v.format.Name && f.Clock == v.format.Clock && f.Fmtp == v.format.Fmtp && f.DTX == v.format.DTX {
		return
	}
	if v.encoder != nil {
		v.encoder.Close()
		v.encoder = nil
	}
	v.began = v.began && f.Clock == v.format.Clock
	v.format = f
	if v.source != nil {
		v.player = nil // at the old rate; what cannot be played any more falls silent
		_ = v.load(*v.source)
	}
}

// choose finds the codec that we speak: the one in which the side is hearing
// the other one now, if we can, else the first that we can.
func choose(t terms) (sdp.Agreed, codec.Format) {
	var first sdp.Agreed
	var format codec.Format
	for _, a := range t.codecs {
		f, ok := codec.Lookup(a.Name, a.Rate, a.Receives)
		if !ok {
			continue
		}
		f.DTX = !t.unbroken && !strings.Contains(a.Fmtp, "annexb=no") // which counts though the far side says nothing (RFC 7261 3.1)
		if a.Out == t.likely {
			return a, f
		}
		if format.Name == "" {
			first, format = a, f
		}
	}
	return first, format
}

// eventsOf is the events that go with a clock (RFC 4733 2.1), or else any.
func eventsOf(codecs []sdp.Agreed, clock int) *sdp.Agreed {
	var found *sdp.Agreed
	for i, a := range codecs {
		if isEvents(a) && (found == nil || a.Rate == clock) {
			found = &codecs[i]
		}
	}
	return found
}

// prepare makes the encoder.
func (v *voice) prepare() error {
	switch {
	case v.format.Name == "":
		return errSpeechless
	case v.encoder != nil:
		return nil
	}
	e, err := v.format.NewEncoder()
	if err != nil {
		return err
	}
	v.wish.Grant(e)
	v.encoder = e
	return nil
}

var errSpeechless = errors.New("none of the codecs agreed on can be spoken here")

// play begins a source.
func (v *voice) play(what Source) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.prepare(); err != nil {
		return err
	}
	if v.source != nil && *v.source == what && v.player != nil {
		return nil
	}
	if err := v.load(what); err != nil {
		return err
	}
	v.source = &what
	v.wake()
	return nil
}

// load makes the player of a source.
func (v *voice) load(what Source) error {
	p, err := v.library.player(what, v.format.Rate)
	if err == nil {
		v.player = p
	}
	return err
}

func (v *voice) stop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.player, v.source = nil, nil
}

// fill begins or ends comfort noise.
func (v *voice) fill(on bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if on == v.filling || !on && v.told || on && v.prepare() != nil {
		return
	}
	v.filling = on
	if on {
		v.noise = newHush()
		v.wake()
	}
}

// background has the side hear the noise that the other one has described, for
// a side that does not read such descriptions (RFC 3389), until that speaks.
func (v *voice) background(payload []byte) {
	n, err := codec.ParseNoise(payload)
	if err != nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.prepare() != nil {
		return
	}
	if !v.filling {
		v.filling, v.noise = true, newHush()
	}
	v.noise.Set(n)
	v.told = true
	v.wake()
}

// abandon ends a voice that has panicked. Nobody knows what state its codecs
// are in, so they are let go of as they are.
func (v *voice) abandon() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	v.ear, v.encoder, v.format = nil, nil, codec.Format{}
	v.player, v.source, v.digits, v.filling = nil, nil, nil, false
	v.rest()
}

// close ends it.
func (v *voice) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	if v.encoder != nil {
		v.encoder.Close()
		v.encoder, v.format = nil, codec.Format{}
	}
	v.ear.close()
	v.ear, v.player, v.digits, v.filling = nil, nil, nil, false
	v.rest()
}
