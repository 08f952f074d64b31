package codec

import (
	"math"
	"testing"
)

// The digital milliwatt, 1 kHz at 0 dBm0 (ITU-T G.711 tables 5 and 6).
var milliwatt = map[Law][]byte{
	ALaw:  {0x34, 0x21, 0x21, 0x34, 0xb4, 0xa1, 0xa1, 0xb4},
	MuLaw: {0x1e, 0x0b, 0x0b, 0x1e, 0x9e, 0x8b, 0x8b, 0x9e},
}

func TestTheDigitalMilliwattMeasuresZero(t *testing.T) {
	for law, period := range milliwatt {
		var pcm []int16
		for range 20 {
			pcm = law.Decode(pcm, period)
		}
		if got := DBm0(pcm); math.Abs(got) > 0.1 {
			t.Errorf("law %d: %.3f dBm0", law, got)
		}
		if got := ToneLevel(pcm, 1000, 8000); math.Abs(got) > 0.1 {
			t.Errorf("law %d: %.3f dBm0 at 1 kHz", law, got)
		}
		if got := ToneLevel(pcm, 2000, 8000); got > -40 {
			t.Errorf("law %d: %.3f dBm0 at 2 kHz", law, got)
		}
		if back := law.Encode(nil, pcm[:8]); string(back) != string(period) {
			t.Errorf("law %d: encoded again % x", law, back)
		}
	}
}

// Corners of ITU-T G.711 tables 1 and 2, scaled to 16 bits.
func TestKnownCodes(t *testing.T) {
	for _, c := range []struct {
		law  Law
		pcm  int16
		code byte
		back int16
	}{
		{ALaw, 0, 0xd5, 8},
		{ALaw, -1, 0x55, -8},
		{ALaw, 32767, 0xaa, 32256},
		{ALaw, -32768, 0x2a, -32256},
		{MuLaw, 0, 0xff, 0},
		{MuLaw, -4, 0x7f, 0}, // negative zero, in one's complement as G.191
		{MuLaw, 32767, 0x80, 32124},
		{MuLaw, -32768, 0x00, -32124},
	} {
		code := c.law.Encode(nil, []int16{c.pcm})
		if code[0] != c.code {
			t.Errorf("law %d: %d encodes to %#x, want %#x", c.law, c.pcm, code[0], c.code)
		}
		if back := c.law.Decode(nil, code); back[0] != c.back {
			t.Errorf("law %d: %#x decodes to %d, want %d", c.law, code[0], back[0], c.back)
		}
	}
}

func TestEveryCodeSurvivesDecodingAndEncoding(t *testing.T) {
	for _, law := range []Law{ALaw, MuLaw} {
		for c := range 256 {
			got := law.Encode(nil, law.Decode(nil, []byte{byte(c)}))[0]
			if got != byte(c) && !(law == MuLaw && c == 0x7f && got == 0xff) { // -0 and +0
				t.Errorf("law %d: %#x becomes %#x", law, c, got)
			}
		}
	}
}

func TestEverySampleComesBackNearAndInOrder(t *testing.T) {
	for _, law := range []Law{ALaw, MuLaw} {
		last := math.MinInt16
		for s := math.MinInt16; s <= math.MaxInt16; s++ {
			got := int(law.Decode(nil, law.Encode(nil, []int16{int16(s)}))[0])
			if got < last {
				t.Fatalf("law %d: %d decodes to %d, below its neighbour %d", law, s, got, last)
			}
			last = got
			// Half an interval: 1/32 of the magnitude, 16 near zero, more at overload.
			if err := abs(got - s); err > abs(s)/31+16 {
				t.Fatalf("law %d: %d comes back as %d", law, s, got)
			}
		}
	}
}

func abs(n int) int { return max(n, -n) }

func TestSilenceIsTheQuietestCode(t *testing.T) {
	for _, law := range []Law{ALaw, MuLaw} {
		if s := law.Decode(nil, []byte{law.Silence()}); s[0] < 0 || s[0] > 8 {
			t.Errorf("law %d: silence is %d", law, s[0])
		}
	}
}

func TestTonesHaveTheirLevel(t *testing.T) {
	pcm := make([]int16, 800)
	for _, level := range []float64{3, 0, -10, -40} {
		NewSine(1000, level, 8000).Fill(pcm)
		if got := DBm0(pcm); math.Abs(got-level) > 0.1 {
			t.Errorf("tone of %v dBm0 measures %.3f", level, got)
		}
		for _, law := range []Law{ALaw, MuLaw} {
			heard := law.Decode(nil, law.Encode(nil, pcm))
			if got := ToneLevel(heard, 1000, 8000); math.Abs(got-level) > 0.5 {
				t.Errorf("tone of %v dBm0 through law %d measures %.3f", level, law, got)
			}
		}
	}
}

func TestToneGoesOnWhereItStopped(t *testing.T) {
	whole, parts := make([]int16, 480), make([]int16, 480)
	NewSine(440, -10, 8000).Fill(whole)
	tone := NewSine(440, -10, 8000)
	for i := 0; i < len(parts); i += 160 {
		tone.Fill(parts[i : i+160])
	}
	for i := range whole {
		if whole[i] != parts[i] {
			t.Fatalf("sample %d: %d in one piece, %d in three", i, whole[i], parts[i])
		}
	}
}

func TestMixingSaturates(t *testing.T) {
	pcm := make([]int16, 160)
	for range 3 {
		NewSine(1000, 3.14, 8000).Add(pcm)
	}
	if got := DBov(pcm); got > 0 || got < -2 {
		t.Errorf("three tones of full scale measure %.2f dBov", got)
	}
}

func TestDigitalSilenceHasNoLevel(t *testing.T) {
	pcm := make([]int16, 160)
	for _, got := range []float64{DBov(pcm), DBm0(pcm), ToneLevel(pcm, 1000, 8000), DBov(nil), ToneLevel(nil, 1000, 8000)} {
		if !math.IsInf(got, -1) {
			t.Errorf("silence measures %v", got)
		}
	}
}
