package relay

import (
	"errors"
	"slices"
	"time"

	"github.com/tandemgw/tandem/wire/codec"
)

// press is a digit that is being sent.
type press struct {
	digit byte
	left  time.Duration // to be sounded still
	open  bool          // the other side holds the key; left does not count
	fresh time.Time     // when that was heard last
	pause time.Duration // still to be kept after it

	tone *codec.DTMF // nil until it begins as a tone

	// As an event.
	code  uint8
	begun bool
	stamp uint32        // of the event, or of this segment of a long one
	since time.Duration // sounded in this segment
	ends  int           // end packets sent
}

const (
	// A digit lasts 40 ms at least to be recognised, and so does the pause after
	// it (ITU-T Q.24 table A-1); both longer for those who are slow to hear.
	shortest = 60 * time.Millisecond
	longest  = 6 * time.Second
	between  = 60 * time.Millisecond
	// loudness of an event is -10 dBm0, as telephones send it.
	loudness = 10
	lastEnds = 3      // end packets of an event (RFC 4733 2.5.1.4)
	segment  = 0xffff // longest duration of one event (RFC 4733 2.5.1.3)
	maxPress = 32     // digits that wait
)

var errDigit = errors.New("no such digit, or too many of them wait")

// press sends a digit of a given duration.
func (v *voice) press(digit byte, d time.Duration) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.prepare(); err != nil {
		return err
	}
	if !v.dial(digit, d) {
		return errDigit
	}
	return nil
}

// dial has a digit sent after those that are. False when too many wait. The
// caller holds mu.
func (v *voice) dial(digit byte, d time.Duration) bool {
	code, ok := codec.EventOf(digit)
	if !ok || len(v.digits) >= maxPress {
		return false
	}
	v.digits = append(v.digits, &press{digit: digit, code: code, left: max(shortest, min(d, longest)), pause: between})
	v.wake()
	return true
}

// keyDown sends a digit for as long as the other side holds the key.
func (v *voice) keyDown(digit byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.hold(digit)
}

// hold is keyDown; the caller holds mu.
func (v *voice) hold(digit byte) {
	if v.dial(digit, longest) {
		p := v.digits[len(v.digits)-1]
		p.open, p.fresh = true, time.Now()
	}
}

// keyUp ends the digit after the time the key was held in all.
func (v *voice) keyUp(lasted time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.release(lasted)
}

// release is keyUp; the caller holds mu.
func (v *voice) release(lasted time.Duration) {
	if n := len(v.digits); n > 0 && v.digits[n-1].open {
		p := v.digits[n-1]
		p.open, p.left = false, max(lasted, shortest)-(longest-p.left)
	}
}

// pressing gives the digit that is to be heard in this packet, and lets go of
// those that are over.
func (v *voice) pressing() *press {
	for len(v.digits) > 0 {
		p := v.digits[0]
		if p.pause > 0 {
			return p
		}
		v.digits = slices.Delete(v.digits, 0, 1)
	}
	return nil
}

// elapse moves a digit on by d, and reports how much of that it sounds.
func (p *press) elapse(d time.Duration) time.Duration {
	if p.open && p.left <= d { // whose end nobody has told
		p.open = false
	}
	if !p.open {
		d = max(0, min(d, p.left))
	}
	p.left -= d
	return d
}

// over reports whether it has sounded for as long as it should.
func (p *press) over() bool { return !p.open && p.left <= 0 }

// sayTone is a packet of a digit as tone.
func (v *voice) sayTone(p *press) {
	if p.tone == nil {
		p.tone = codec.NewDTMF(p.digit, v.format.Rate, 2*longest)
	}
	clear(v.frame)
	if p.over() {
		p.pause -= v.ptime
	} else {
		p.tone.Read(v.frame[:v.format.Samples(p.elapse(v.ptime))])
	}
	v.sayFrame(v.frame)
}

// sayEvent sends the next packet of an event: the same time stamp in all, a
// duration that grows, the end three times (RFC 4733 2.5.1). One that is longer
// than a duration can tell goes on as another event, without a marker
// (2.5.1.3).
func (v *voice) sayEvent(p *press) {
	v.begin()
	if !p.begun {
		p.begun, p.stamp, v.mark = true, v.stamp, true
	}
	v.stamp += v.format.Ticks(v.format.Samples(v.ptime))
	if p.ends >= lastEnds {
		p.pause -= v.ptime
		v.mark = true // what is said next begins a talk spurt
		return
	}
	clock := time.Duration(v.events.Rate)
	p.since += p.elapse(v.ptime)
	if units := p.since * clock / time.Second; units > segment {
		v.sendEvent(p, codec.Event{Code: p.code, Volume: loudness, Duration: segment})
		p.stamp += uint32(segment * int64(v.format.Clock) / int64(clock))
		p.since -= segment * time.Second / clock
	}
	e := codec.Event{Code: p.code, Volume: loudness, Duration: uint16(p.since * clock / time.Second)}
	if p.over() {
		e.End = true
		p.ends++
	}
	v.sendEvent(p, e)
}

func (v *voice) sendEvent(p *press, e codec.Event) {
	v.packet = e.Append(v.header(v.events.Out, p.stamp))
	v.send()
}
