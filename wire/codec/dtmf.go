package codec

import "time"

// DTMF is one digit being sounded in band. Not for several goroutines.
type DTMF struct{}

// NewDTMF sounds a digit (0-9 * # A-D) at rate samples a second for d, then
// goes silent.
func NewDTMF(digit byte, rate int, d time.Duration) *DTMF { return &DTMF{} }

// Read fills pcm with what comes next; false when the digit has ended and pcm
// is silence.
func (d *DTMF) Read(pcm []int16) bool { clear(pcm); return false }

// Detector hears DTMF digits in speech (ITU-T Q.23, Q.24). Not for several
// goroutines.
type Detector struct{}

// NewDetector listens to samples at 8000 or 16000 a second.
func NewDetector(rate int) *Detector { return &Detector{} }

// Heard is a digit of which the detector is sure.
type Heard struct {
	Digit    byte
	Duration time.Duration // so far; of the whole when End
	End      bool
}

// Write listens to pcm and calls f when a digit begins, once, and when it has
// ended, once.
func (d *Detector) Write(pcm []int16, f func(Heard)) {}

// Reset forgets what was heard, for a new stream.
func (d *Detector) Reset() {}
