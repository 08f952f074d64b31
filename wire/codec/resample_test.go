package codec

import (
	"math"
	"testing"
)

var ratePairs = [][2]int{{8000, 16000}, {16000, 8000}, {8000, 48000}, {48000, 8000}, {16000, 48000}, {48000, 16000}, {8000, 8000}}

// resampled is one second of a sine of 0 dBm0 after resampling, without the
// beginning.
func resampled(hz float64, from, to int) []int16 {
	pcm := make([]int16, from+from/10)
	NewSine(hz, 0, from).Fill(pcm)
	got := NewResampler(from, to).Resample(nil, pcm)
	return got[len(got)-to:]
}

func TestWhatBothRatesCanCarryIsPassed(t *testing.T) {
	for _, c := range ratePairs {
		worst := 0.0
		for hz := 50.0; hz <= 0.85*float64(min(c[0], c[1]))/2; hz += 170 {
			level := ToneLevel(resampled(hz, c[0], c[1]), hz, c[1])
			worst = math.Max(worst, math.Abs(level))
		}
		t.Logf("%d to %d: ripple %.3f dB up to %.0f Hz", c[0], c[1], worst, 0.85*float64(min(c[0], c[1]))/2)
		if worst > 0.1 {
			t.Errorf("%d to %d: %.2f dB", c[0], c[1], worst)
		}
	}
}

// What one rate cannot carry neither folds into the other nor leaves an image.
func TestWhatARateCannotCarryIsStopped(t *testing.T) {
	for _, c := range ratePairs {
		if c[0] == c[1] {
			continue
		}
		slow := float64(min(c[0], c[1]))
		worst := math.Inf(-1)
		for hz := 50.0; hz < float64(c[0])/2; hz += 170 {
			got := resampled(hz, c[0], c[1])
			if c[1] > c[0] && hz < 0.85*slow/2 {
				for k := 1.0; k*slow-hz < float64(c[1])/2; k++ {
					worst = math.Max(worst, ToneLevel(got, k*slow-hz, c[1]))
				}
			}
			if c[1] < c[0] && hz > 1.15*slow/2 { // where the transition has ended
				worst = math.Max(worst, DBm0(got))
			}
		}
		t.Logf("%d to %d: at most %.1f dBm0 of alias or image", c[0], c[1], worst)
		if worst > -57 {
			t.Errorf("%d to %d: %.1f dBm0", c[0], c[1], worst)
		}
	}
}

func TestResamplingInPiecesIsTheSame(t *testing.T) {
	for _, c := range ratePairs {
		pcm := make([]int16, c[0]/2)
		NewSine(440, -3, c[0]).Fill(pcm)
		whole := NewResampler(c[0], c[1]).Resample(nil, pcm)
		if want := c[1] / 2; len(whole) != want {
			t.Errorf("%d to %d: %d samples, want %d", c[0], c[1], len(whole), want)
		}
		var parts []int16
		r := NewResampler(c[0], c[1])
		for n := 1; len(pcm) > 0; n = n%97 + 1 {
			n := min(n, len(pcm))
			parts = r.Resample(parts, pcm[:n])
			pcm = pcm[n:]
		}
		if len(parts) != len(whole) {
			t.Fatalf("%d to %d: %d samples in pieces, %d at once", c[0], c[1], len(parts), len(whole))
		}
		for i := range whole {
			if parts[i] != whole[i] {
				t.Fatalf("%d to %d: sample %d is %d in pieces, %d at once", c[0], c[1], i, parts[i], whole[i])
			}
		}
	}
}

func TestResamplingSaturates(t *testing.T) {
	pcm := make([]int16, 800)
	for i := range pcm {
		pcm[i] = math.MaxInt16
		if i/40%2 == 0 {
			pcm[i] = math.MinInt16
		}
	}
	// Overshoot of a square wave's edge must not come back with the other sign.
	got := NewResampler(8000, 48000).Resample(nil, pcm)
	for i := 1; i < len(got); i++ {
		if math.Abs(float64(got[i])-float64(got[i-1])) > 40000 {
			t.Fatalf("sample %d jumps from %d to %d", i, got[i-1], got[i])
		}
	}
}
