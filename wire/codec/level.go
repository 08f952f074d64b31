package codec

import "math"

const (
	fullScale = 32768
	// overload is the level of a sine that just fills the code, in dBm0
	// (ITU-T G.711 §2: A-law; µ-law differs by 0.03).
	overload = 3.14
	// sineCrest is how far a sine's power is below that of the square wave of
	// the same peak, in dB.
	sineCrest = 3.01
)

// Sine is a tone that goes on where the last Fill or Add ended. Not for
// several goroutines.
type Sine struct {
	amplitude, step, phase float64
}

// NewSine makes a tone of hz and level dBm0 for samples at rate.
func NewSine(hz, dBm0 float64, rate int) *Sine {
	return &Sine{
		amplitude: fullScale * math.Pow(10, (dBm0-overload)/20),
		step:      2 * math.Pi * hz / float64(rate),
	}
}

// Fill writes the next samples over pcm.
func (t *Sine) Fill(pcm []int16) {
	clear(pcm)
	t.Add(pcm)
}

// Add mixes the next samples into pcm, saturating: two tones make a DTMF
// digit.
func (t *Sine) Add(pcm []int16) {
	for i, s := range pcm {
		v := math.Round(float64(s) + t.amplitude*math.Sin(t.phase))
		pcm[i] = int16(max(math.MinInt16, min(math.MaxInt16, v)))
		t.phase = math.Mod(t.phase+t.step, 2*math.Pi)
	}
}

// DBov is the level relative to overload, a full-scale square wave being 0
// (RFC 6464 §3, ITU-T G.100.1); -Inf for digital silence.
func DBov(pcm []int16) float64 {
	var sum float64
	for _, s := range pcm {
		sum += float64(s) * float64(s)
	}
	if sum == 0 {
		return math.Inf(-1)
	}
	return 10 * math.Log10(sum/float64(len(pcm))/(fullScale*fullScale))
}

// DBm0 is the level of the samples; -Inf for digital silence. A sine of full
// scale is +3.14 dBm0.
func DBm0(pcm []int16) float64 { return DBov(pcm) + sineCrest + overload }

// ToneLevel is the level in dBm0 of one frequency alone (Goertzel's filter, as
// wide as rate over the number of samples), to tell a test tone from noise.
func ToneLevel(pcm []int16, hz float64, rate int) float64 {
	w := 2 * math.Pi * hz / float64(rate)
	var s1, s2 float64
	for _, s := range pcm {
		s1, s2 = float64(s)+2*math.Cos(w)*s1-s2, s1
	}
	power := s1*s1 + s2*s2 - 2*math.Cos(w)*s1*s2
	if len(pcm) == 0 || power <= 0 {
		return math.Inf(-1)
	}
	peak := 2 * math.Sqrt(power) / float64(len(pcm))
	return 20*math.Log10(peak/fullScale) + overload
}
