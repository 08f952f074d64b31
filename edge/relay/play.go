package relay

import (
	"fmt"
	"time"

	"github.com/tandemgw/tandem/base/fault"
)

// Source is something of ours for a side to hear.
type Source struct {
	Sound   Sound
	Country string // of the tones, ISO 3166 alpha-2, lower case; "" = the commonest in the world
	File    string // of Music: a WAV or raw G.711 file, played in a loop; "" = comfort noise
}

// Sound names what is heard.
type Sound uint8

// The sounds.
const (
	Ringback     Sound = iota // the called telephone rings
	Busy                      // the called telephone is in use
	Congestion                // the network has no way
	Unobtainable              // there is no such number
	Music                     // while on hold: a file
	Silence                   // comfort noise
)

// String names the sound.
func (s Sound) String() string {
	return [...]string{"ringback", "busy tone", "congestion tone", "number unobtainable tone", "music", "comfort noise"}[min(s, Silence)]
}

// Play lets a side hear a source instead of the other side, until Stop, or
// until another source is played; what the side says goes on to the other one.
// It may begin as soon as the side was Set, the other one need not be there.
// The error, a fault.Unavailable, tells why it cannot be played: no codec of the
// side's that we can speak, no such file.
func (m *Media) Play(s Side, what Source) error {
	if err := m.voices[s].play(what); err != nil {
		return &fault.Error{Kind: fault.Unavailable, Err: fmt.Errorf("play %s to the %s: %w", what.Sound, s, err)}
	}
	return nil
}

// Stop lets a side hear the other one again. Without a Play it does nothing.
func (m *Media) Stop(s Side) { m.voices[s].stop() }

// SendDigit lets a side get a DTMF digit (0-9, *, #, A-D) in the form that was
// negotiated with it: as telephone-event (RFC 4733), else as tones. Several are
// sent one after the other. The duration is bounded to what telephones make of
// it, 40 ms to 6 s.
func (m *Media) SendDigit(s Side, digit byte, d time.Duration) error {
	if err := m.voices[s].press(digit, d); err != nil {
		return &fault.Error{Kind: fault.Unavailable, Err: fmt.Errorf("send a digit to the %s: %w", s, err)}
	}
	return nil
}

// Watch has f told of what happens in the media from now on. f runs on a loop
// of the media: it must not block, and must not call the Media.
func (m *Media) Watch(f func(Notice)) { m.watch.f.Store(&f) }

// Notice is something that happened in the media: a Digit, or a side that is
// Muted.
type Notice interface{ notice() }

// Digit is a DTMF digit that a side has sent, told when it ended.
type Digit struct {
	Side     Side
	Digit    byte // 0-9, *, #, A-D
	Duration time.Duration
}

func (Digit) notice() {}

// Muted tells that a side has sent no RTP for long, though it was to since the
// call was answered.
type Muted struct {
	Side Side
	For  time.Duration
}

func (Muted) notice() {}
