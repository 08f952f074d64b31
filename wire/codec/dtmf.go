package codec

import (
	"math"
	"math/cmplx"
	"time"
)

// Frequencies of ITU-T Q.23, and the digits where they meet.
var (
	dtmfLow  = [4]float64{697, 770, 852, 941}
	dtmfHigh = [4]float64{1209, 1336, 1477, 1633}
	dtmfKeys = [4]string{"123A", "456B", "789C", "*0#D"}
)

// Levels of what we sound, in dBm0: the higher one is 2 dB louder, since lines
// take more of it (ITU-T Q.23, ETSI ES 201 235-2 clause 4.2).
const (
	dtmfLowLevel  = -10.0
	dtmfHighLevel = -8.0
)

// DTMF is one digit being sounded in band. Not for several goroutines.
type DTMF struct {
	low, high *Sine
	left      int // samples
}

// NewDTMF sounds a digit (0-9 * # A-D) at rate samples a second for d, then
// goes silent; anything else is silent from the start.
func NewDTMF(digit byte, rate int, d time.Duration) *DTMF {
	for row, keys := range dtmfKeys {
		for column := range keys {
			if code, ok := EventOf(digit); ok && eventDigits[code] == keys[column] {
				return &DTMF{
					low:  NewSine(dtmfLow[row], dtmfLowLevel, rate),
					high: NewSine(dtmfHigh[column], dtmfHighLevel, rate),
					left: int(d * time.Duration(rate) / time.Second),
				}
			}
		}
	}
	return &DTMF{}
}

// Read fills pcm with what comes next; false when the digit has ended and pcm
// is silence.
func (d *DTMF) Read(pcm []int16) bool {
	clear(pcm)
	if d.left == 0 {
		return false
	}
	n := min(len(pcm), d.left)
	d.low.Add(pcm[:n])
	d.high.Add(pcm[:n])
	d.left -= n
	return true
}

// What is a digit (ITU-T Q.24 table A-1, the strictest of its columns where
// they differ). Every 5 ms the last 20 ms are judged.
const (
	dtmfRate    = 8000
	dtmfHop     = dtmfRate / 200
	dtmfHops    = 4
	dtmfQuiet   = -36.0 // dBm0 of a tone that is too weak
	dtmfTwist   = 6.5   // dB the higher tone may be louder
	dtmfReverse = 10.0  // dB it may be weaker
	dtmfAlone   = 6.0   // dB below it, the next tone of the same group
	dtmfOff     = 0.025 // by which a frequency may be off: 1.5% must be heard, 3.5% must not
	dtmfShare   = 0.60  // of all power is in the two tones, lest speech be a digit
	dtmfSteady  = 7.0   // dB a digit's level may fall before it has ended
	dtmfBegin   = 6     // hops in a row make a digit, which it reaches with 30 ms
	dtmfEnd     = 4     // hops without it end it: a gap of 10 ms is felt in three
)

// Detector hears DTMF digits in speech (ITU-T Q.23, Q.24). Not for several
// goroutines.
type Detector struct {
	rate  *Resampler
	pcm   []int16
	frame *Framer

	hop  [dtmfHops]dtmfHeard // the last ones, as a ring
	at   int
	turn int           // hops so far, modulo len(dtmfPhase)
	last [8]complex128 // the 20 ms before, for the frequency

	digit  byte    // that goes on, or may have begun; 0 = none
	told   bool    // that it has begun
	peak   float64 // dB, loudest of its hops
	levels [dtmfBegin]float64
	hits   int
	misses int
}

// dtmfHeard is 5 ms: the share of each frequency, and the power.
type dtmfHeard struct {
	tone  [8]complex128
	power float64
}

// dtmfWave is 5 ms of each frequency's oscillator; dtmfPhase is where it then
// stands, since whole Hz come round after 200 times 5 ms.
var dtmfWave, dtmfPhase = waves()

func waves() (wave [8][dtmfHop][2]float32, phase [dtmfRate / dtmfHop]complex128) {
	for k := range wave {
		for i := range wave[k] {
			s, c := math.Sincos(2 * math.Pi * dtmfHz(k) / dtmfRate * float64(i))
			wave[k][i] = [2]float32{float32(c), float32(-s)}
		}
	}
	for i := range phase {
		phase[i] = cmplx.Rect(1, -2*math.Pi*float64(i)/float64(len(phase)))
	}
	return wave, phase
}

func dtmfHz(k int) float64 {
	if k < 4 {
		return dtmfLow[k]
	}
	return dtmfHigh[k-4]
}

// NewDetector listens at rate samples a second, 8000 or a multiple of it.
func NewDetector(rate int) *Detector {
	d := &Detector{rate: NewResampler(rate, dtmfRate), frame: NewFramer(dtmfHop)}
	d.Reset()
	return d
}

// Reset forgets what was heard, for a new stream.
func (d *Detector) Reset() {
	*d = Detector{rate: d.rate, frame: d.frame, pcm: d.pcm}
	d.frame.Reset()
}

// Heard is a digit of which the detector is sure.
type Heard struct {
	Digit    byte
	Duration time.Duration // so far; of the whole when End
	End      bool
}

// Write listens to pcm and calls f when a digit begins, once, and when it has
// ended, once. A digit is known 30 to 40 ms after it began.
func (d *Detector) Write(pcm []int16, f func(Heard)) {
	d.pcm = d.rate.Resample(d.pcm[:0], pcm)
	d.frame.Write(d.pcm)
	for {
		hop := d.frame.Next()
		if hop == nil {
			return
		}
		d.take(hop)
		d.judge(f)
	}
}

// take correlates 5 ms with the eight oscillators, which run on, so that the
// phase of a steady tone of the right frequency stands still.
func (d *Detector) take(pcm []int16) {
	d.at = (d.at + 1) % dtmfHops
	h := &d.hop[d.at]
	var power float32
	for _, s := range pcm {
		power += float32(s) * float32(s)
	}
	h.power = float64(power)
	for k := range h.tone {
		var re, im float32
		for i, w := range &dtmfWave[k] {
			s := float32(pcm[i])
			re, im = re+s*w[0], im+s*w[1]
		}
		h.tone[k] = complex(float64(re), float64(im)) * dtmfPhase[d.turn*int(dtmfHz(k))%len(dtmfPhase)]
	}
	d.turn = (d.turn + 1) % len(dtmfPhase)
}

// judge moves the digit on.
func (d *Detector) judge(f func(Heard)) {
	digit, level := d.listen()
	if d.told {
		d.goOn(digit, level, f)
		return
	}
	if digit == 0 || digit != d.digit {
		d.digit, d.hits, d.peak = digit, 0, math.Inf(-1)
	}
	if digit == 0 {
		return
	}
	d.levels[d.hits%dtmfBegin] = level
	d.hits++
	d.peak = math.Max(d.peak, level)
	if d.hits < dtmfBegin {
		return
	}
	// While it comes into the 20 ms it is weaker: those do not count.
	for _, l := range d.levels {
		if l < d.peak-dtmfSteady {
			return
		}
	}
	d.told, d.hits, d.misses = true, dtmfBegin, 0
	f(Heard{Digit: d.digit, Duration: d.duration()})
}

// goOn continues a digit that was reported.
func (d *Detector) goOn(digit byte, level float64, f func(Heard)) {
	if digit == d.digit && level >= d.peak-dtmfSteady {
		d.hits += 1 + d.misses
		d.misses = 0
		d.peak = math.Max(d.peak, level)
		return
	}
	if d.misses++; d.misses < dtmfEnd {
		return
	}
	f(Heard{Digit: d.digit, Duration: d.duration(), End: true})
	d.told, d.digit, d.hits = false, 0, 0
}

// duration: the 20 ms count from when half of them are the digit.
func (d *Detector) duration() time.Duration {
	return time.Duration(d.hits) * time.Second * dtmfHop / dtmfRate
}

// listen is the digit of the last 20 ms and its level; 0 for none.
func (d *Detector) listen() (digit byte, level float64) {
	var sum [8]complex128
	var power float64
	for i := range d.hop {
		power += d.hop[i].power
		for k := range sum {
			sum[k] += d.hop[i].tone[k]
		}
	}
	before := d.last
	d.last = sum
	const n = dtmfHop * dtmfHops
	row, low, ok1 := strongest(sum[:4])
	column, high, ok2 := strongest(sum[4:])
	if !ok1 || !ok2 {
		return 0, 0
	}
	off1, ok1 := stands(before[row], sum[row], dtmfLow[row])
	off2, ok2 := stands(before[column+4], sum[column+4], dtmfHigh[column])
	if !ok1 || !ok2 {
		return 0, 0
	}
	// Off its frequency a tone is heard weaker than it is.
	low /= math.Pow(sinc(off1*n/dtmfRate), 2)
	high /= math.Pow(sinc(off2*n/dtmfRate), 2)
	const fullSine = fullScale * fullScale / 2
	a, b := decibel(2*low/(n*n)/fullSine)+overload, decibel(2*high/(n*n)/fullSine)+overload
	switch {
	case min(a, b) < dtmfQuiet, b-a > dtmfTwist, a-b > dtmfReverse:
		return 0, 0
	case 2*(low+high)/n < dtmfShare*power:
		return 0, 0
	}
	return dtmfKeys[row][column], max(a, b)
}

// strongest is the one of a group that is alone in it.
func strongest(group []complex128) (best int, power float64, ok bool) {
	var next float64
	for k, c := range group {
		p := real(c)*real(c) + imag(c)*imag(c)
		switch {
		case p > power:
			best, power, next = k, p, power
		case p > next:
			next = p
		}
	}
	return best, power, power > 0 && decibel(next/power) < -dtmfAlone
}

// stands reports by how many Hz a tone is off hz, seen from how its phase
// moved in 5 ms, and whether that is still the tone.
func stands(before, now complex128, hz float64) (off float64, ok bool) {
	if before == 0 {
		return 0, false
	}
	off = cmplx.Phase(now*cmplx.Conj(before)) / (2 * math.Pi) * dtmfRate / dtmfHop
	return off, math.Abs(off) <= dtmfOff*hz
}

func decibel(ratio float64) float64 { return 10 * math.Log10(ratio) }
