// Package audio makes what the sandbox's telephones say and judges what they
// hear: speech one way, tones the other, both different in every call, so that
// silence, noise, the wrong call's voice and one's own echo are told from the
// real thing.
//
// All signals are 16-bit mono at Rate. The G.711 tables are this package's own
// and not those of the gateway, so that a mistake in either shows. It judges
// waveforms, so it is blind to codecs that keep the sound but not the wave
// (AMR, SILK). Start reading at Listen.
package audio

import (
	_ "embed"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

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
func (t Track) Duration() time.Duration { return samples(len(t.PCM)) }

func samples(n int) time.Duration { return time.Duration(n) * time.Second / Rate }

// speech.g711a was made with espeak-ng at an active level of -26 dBov:
// "Tandem joins trunks to trunks. Every word of this must arrive, or somebody
// will ring us up."
//
//go:embed speech.g711a
var speechFile []byte

var spoken = sync.OnceValue(func() []int16 { return ALaw.Decode(nil, speechFile) })

// Voices is how many voices Speech has. Half a per cent of pace apart, two of
// them drift 28 ms over the sentence, while speech resembles itself for about
// 5 ms.
const Voices = 61

// Speech is between five and seven seconds of a spoken sentence. Each voice (a
// number, counted modulo Voices) has a pitch and pace of its own, far enough
// from the others that Listen takes two voices for different signals.
func Speech(voice uint64) []int16 {
	pace := 1 + 0.005*(float64(voice%Voices)-Voices/2)
	src := spoken()
	out := make([]int16, int(float64(len(src)-1)/pace))
	for i := range out {
		at := float64(i) * pace
		k, part := int(at), at-math.Floor(at)
		out[i] = int16(math.Round(float64(src[k])*(1-part) + float64(src[k+1])*part))
	}
	return out
}

// Tones is a melody of duration d drawn from seed: steps of 60 to 200 ms
// without pauses, at about -16 dBov.
func Tones(seed uint64, d time.Duration) []int16 {
	const (
		lowest, steps = 320.0, 36    // 36 twelfths of an octave: 320 to 2560 Hz, inside the telephone band
		edge          = Rate / 200   // 5 ms fades keep steps from clicking
		amplitude     = 0.22 * 32767 // -16 dBov as a sine
	)
	r := rand.New(rand.NewPCG(seed, 0x74616e64656d))
	out := make([]int16, int(d*Rate/time.Second))
	for from := 0; from < len(out); {
		n := Rate*60/1000 + r.IntN(Rate*140/1000)
		// A twelfth plus a random detuning: equal notes of two melodies still
		// drift apart.
		freq := lowest * math.Exp2((float64(r.IntN(steps))+r.Float64())/12)
		phase := r.Float64() * 2 * math.Pi
		for i := range min(n, len(out)-from) {
			fade := min(1, float64(min(i, n-1-i))/edge)
			out[from+i] = int16(amplitude * fade * math.Sin(phase+2*math.Pi*freq*float64(i)/Rate))
		}
		from += n
	}
	return out
}
