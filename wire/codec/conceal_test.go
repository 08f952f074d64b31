package codec

import (
	"math"
	"math/rand/v2"
	"testing"
)

// lose plays pcm in packets of 20 ms of which those that gone names are lost,
// hidden or replaced by silence.
func lose(pcm []int16, rate int, gone func(i int) bool, hide bool) []int16 {
	c := newConcealer(rate)
	n := rate / 50
	var out []int16
	for i := 0; (i+1)*n <= len(pcm); i++ {
		frame := append([]int16(nil), pcm[i*n:(i+1)*n]...)
		switch {
		case !gone(i):
			if hide {
				c.heard(frame)
			}
			out = append(out, frame...)
		case hide:
			out = c.conceal(out)
		default:
			out = append(out, make([]int16, n)...)
		}
	}
	return out
}

// spectralDistance is the mean difference in dB between the spectra of two
// signals in bands of the ear, frame by frame where want is loud.
func spectralDistance(want, got []int16, rate int) float64 {
	bands := []float64{200, 300, 400, 510, 630, 770, 920, 1080, 1270, 1480, 1720, 2000, 2320, 2700, 3150}
	n := rate / 50
	var sum float64
	count := 0
	for at := 0; at+n <= min(len(want), len(got)); at += n {
		if DBov(want[at:at+n]) < -40 {
			continue
		}
		for _, hz := range bands {
			a, b := ToneLevel(want[at:at+n], hz, rate), ToneLevel(got[at:at+n], hz, rate)
			sum += math.Min(30, math.Abs(math.Max(a, -60)-math.Max(b, -60)))
			count++
		}
	}
	return sum / float64(count)
}

func TestLostSpeechIsBetterMadeUpThanLeftOut(t *testing.T) {
	for _, rate := range []int{8000, 16000} {
		pcm := speech(t, rate)
		r := rand.New(rand.NewPCG(1, 2))
		lost := make([]bool, len(pcm))
		for i := range lost {
			lost[i] = r.IntN(20) == 0
		}
		gone := func(i int) bool { return lost[i] }
		hidden, cut := lose(pcm, rate, gone, true), lose(pcm, rate, gone, false)
		a, b := spectralDistance(pcm, hidden, rate), spectralDistance(pcm, cut, rate)
		t.Logf("at %d, 5%% lost: spectra differ by %.2f dB hidden, %.2f dB cut out", rate, a, b)
		if a > 0.8*b {
			t.Errorf("at %d: hiding leaves %.2f dB of %.2f", rate, a, b)
		}
	}
}

// A vowel's period goes on in step: what is made up is near the truth, and
// there is no click at either seam.
func TestAPeriodicSoundGoesOnInStep(t *testing.T) {
	const rate = 8000
	pcm := make([]int16, rate)
	for i, hz := range []float64{125, 250, 375, 500, 1000} {
		NewSine(hz, float64(-16-3*i), rate).Add(pcm)
	}
	got := lose(pcm, rate, func(i int) bool { return i == 20 }, true)
	var noise, signal, jump, usual float64
	for i := 19 * 160; i < 23*160; i++ {
		d := float64(got[i]) - float64(pcm[i])
		if i < 20*160+80 { // before the fading begins
			noise, signal = noise+d*d, signal+float64(pcm[i])*float64(pcm[i])
		}
		jump = math.Max(jump, math.Abs(float64(got[i])-float64(got[i-1])))
		usual = math.Max(usual, math.Abs(float64(pcm[i])-float64(pcm[i-1])))
	}
	if snr := 10 * math.Log10(signal/(noise+1)); snr < 20 {
		t.Errorf("the first 10 ms made up are %.1f dB from the truth", snr)
	}
	if jump > 1.2*usual {
		t.Errorf("a step of %.0f where the sound's own largest is %.0f", jump, usual)
	}
}

func TestALongLossFadesToSilence(t *testing.T) {
	got := lose(speech(t, 8000), 8000, func(i int) bool { return i > 50 }, true)
	for i := 51*160 + 480; i < len(got); i++ {
		if got[i] != 0 {
			t.Fatalf("%d ms into the loss: %d", i/8-51*20, got[i])
		}
	}
}
