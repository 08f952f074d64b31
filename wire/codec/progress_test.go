package codec

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestEveryCountryHasItsTones(t *testing.T) {
	if n := len(Countries()); n < 40 {
		t.Errorf("%d countries", n)
	}
	for _, c := range Countries() {
		if len(c) != 2 || c != strings.ToLower(c) {
			t.Errorf("country %q", c)
		}
		for kind := Ringback; kind <= Unobtainable; kind++ {
			tone, ok := ToneOf(strings.ToUpper(c), kind)
			if !ok || len(tone) == 0 || len(tone[0].Hz) == 0 {
				t.Errorf("%s has no tone %d", c, kind)
			}
			for i, s := range tone {
				if len(tone) > 1 && (s.For < 75*time.Millisecond || s.For > 6*time.Second) {
					t.Errorf("%s, tone %d: step %d of %v", c, kind, i, s.For)
				}
				for _, hz := range s.Hz {
					if hz < 350 || hz > 1800 { // ITU-T E.180 clause 4: none is elsewhere
						t.Errorf("%s, tone %d: %v Hz", c, kind, hz)
					}
				}
			}
			if len(tone)%2 != 0 && len(tone) > 1 {
				t.Errorf("%s, tone %d does not end with a pause", c, kind)
			}
		}
	}
	if _, ok := ToneOf("xx", Busy); ok {
		t.Error("xx has tones")
	}
}

// Some tones a reader can check by heart.
func TestKnownTones(t *testing.T) {
	for _, c := range []struct {
		country string
		kind    ToneKind
		hz      []float64
		cadence []int // ms
	}{
		{"us", Ringback, []float64{440, 480}, []int{2000, 4000}},
		{"gb", Ringback, []float64{400, 450}, []int{400, 200, 400, 2000}},
		{"gb", Congestion, []float64{400}, []int{400, 350, 225, 525}},
		{"gb", Unobtainable, []float64{400}, []int{0}},
		{"de", Busy, []float64{425}, []int{480, 480}},
		{"fr", Ringback, []float64{440}, []int{1500, 3500}},
		{"de", Unobtainable, []float64{950}, []int{330, 330, 330, 1000}},
	} {
		tone, _ := ToneOf(c.country, c.kind)
		if len(tone) != len(c.cadence) || len(tone[0].Hz) != len(c.hz) || tone[0].Hz[0] != c.hz[0] {
			t.Errorf("%s, tone %d: %v", c.country, c.kind, tone)
			continue
		}
		for i, ms := range c.cadence {
			if tone[i].For != time.Duration(ms)*time.Millisecond {
				t.Errorf("%s, tone %d: step %d of %v", c.country, c.kind, i, tone[i].For)
			}
		}
	}
}

func TestATonePlaysItsCadence(t *testing.T) {
	for _, rate := range []int{8000, 16000} {
		tone, _ := ToneOf("gb", Ringback)
		g := NewGenerator(tone, rate)
		pcm := make([]int16, rate*6) // two rounds
		for at := 0; at < len(pcm); at += rate / 50 {
			g.Read(pcm[at : at+rate/50])
		}
		for _, c := range []struct {
			from, to int // ms
			on       bool
		}{{0, 400, true}, {400, 600, false}, {600, 1000, true}, {1000, 3000, false}, {3000, 3400, true}, {3400, 3600, false}, {4000, 6000, false}} {
			part := pcm[c.from*rate/1000 : c.to*rate/1000]
			if level := DBm0(part); c.on && math.Abs(level+10) > 0.3 || !c.on && level > -70 {
				t.Errorf("at %d: from %d to %d ms %.1f dBm0", rate, c.from, c.to, level)
			}
		}
		on := pcm[:rate*4/10]
		for _, hz := range []float64{400, 450} {
			if level := ToneLevel(on, hz, rate); math.Abs(level+13) > 0.2 {
				t.Errorf("at %d: %.1f dBm0 at %v Hz", rate, level, hz)
			}
		}
	}
}

func TestAModulatedToneHasItsSidebands(t *testing.T) {
	tone, _ := ToneOf("in", Ringback)
	pcm := make([]int16, 3200)
	NewGenerator(tone, 8000).Read(pcm)
	for _, hz := range []float64{375, 425} {
		if d := ToneLevel(pcm, 400, 8000) - ToneLevel(pcm, hz, 8000); math.Abs(d-6) > 0.3 {
			t.Errorf("%v Hz is %.1f dB below the carrier, want 6", hz, d)
		}
	}
}

func TestAToneWithoutStepsIsSilent(t *testing.T) {
	pcm := []int16{1, 2, 3}
	NewGenerator(nil, 8000).Read(pcm)
	if pcm[0] != 0 || pcm[2] != 0 {
		t.Error(pcm)
	}
}
