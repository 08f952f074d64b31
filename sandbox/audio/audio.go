// Package audio makes what the sandbox's telephones say and judges what they
// hear: speech one way, tones the other, both different in every call, so that
// silence, noise, the wrong call's voice and one's own echo are told from the
// real thing.
//
// All signals are 16-bit mono at Rate. The G.711 tables are this package's own
// and not those of the gateway, so that a mistake in either shows. Start
// reading at Listen.
package audio

import "time"

// Rate is samples per second.
const Rate = 8000

// Frame is samples per packet of 20 ms.
const Frame = Rate / 50

// Track is audio with the moment of its first sample.
type Track struct {
	At  time.Time
	PCM []int16
}

// Duration is how long the track plays.
func (t Track) Duration() time.Duration {
	return time.Duration(len(t.PCM)) * time.Second / Rate
}

// Speech is about four seconds of a spoken sentence. Each voice (a number of
// the caller's choice) speaks at its own pitch and pace, far enough from the
// others that Listen takes two voices for different signals.
func Speech(voice uint64) []int16 { panic("todo") }

// Tones is a melody of duration d drawn from seed; two seeds never make the
// same one.
func Tones(seed uint64, d time.Duration) []int16 { panic("todo") }

// Report is what Listen found.
type Report struct {
	Level       float64       // of what was heard, dBov (0 is full scale); -Inf for nothing at all
	Delay       time.Duration // from sent to heard; meaningful when Same
	Correlation float64       // 0..1, normalised, of the frames that arrived
	Loss        float64       // share of the sent frames that were not heard, 0..1
	SNR         float64       // dB, of the frames that arrived
	Same        bool          // what was heard is what was sent
	Reason      string        // why not, one phrase; empty when Same
}

// Listen says whether heard is sent, and how well it came through. Both begin
// at the same moment; the delay looked for lies within MaxDelay either way.
func Listen(sent, heard []int16) Report { panic("todo") }

// MaxDelay is the largest shift Listen looks for.
const MaxDelay = 2 * time.Second

// Compare is Listen for tracks that began at different moments: Delay is
// counted from mouth to ear.
func Compare(sent, heard Track) Report { panic("todo") }
