package audio

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// throughG711 is what a clean call does to a signal.
func throughG711(l *Law, pcm []int16) []int16 { return l.Decode(nil, l.Encode(nil, pcm)) }

func delayed(pcm []int16, d time.Duration) []int16 {
	return append(make([]int16, int(d*Rate/time.Second)), pcm...)
}

func repeated(pcm []int16, d time.Duration) []int16 {
	out := make([]int16, 0, int(d*Rate/time.Second))
	for len(out) < cap(out) {
		out = append(out, pcm[:min(len(pcm), cap(out)-len(out))]...)
	}
	return out
}

// withLoss blanks a share of the frames.
func withLoss(pcm []int16, share float64, seed uint64) []int16 {
	r := rand.New(rand.NewPCG(seed, 1))
	out := slices.Clone(pcm)
	for f := 0; f+Frame <= len(out); f += Frame {
		if r.Float64() < share {
			clear(out[f : f+Frame])
		}
	}
	return out
}

// noise is what random bytes sound like.
func noise(l *Law, d time.Duration) []int16 {
	r := rand.New(rand.NewPCG(7, 7))
	b := make([]byte, int(d*Rate/time.Second))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return l.Decode(nil, b)
}

func TestListen(t *testing.T) {
	speech, tones := repeated(Speech(3), 7*time.Second), Tones(11, 7*time.Second)
	sum := func(a, b []int16) []int16 {
		out := slices.Clone(a)
		for i := range out {
			out[i] += b[i]
		}
		return out
	}
	for _, c := range []struct {
		name        string
		sent, heard []int16
		same        bool
		reason      string
		delay       time.Duration
		loss        [2]float64
	}{
		{"a clean A-law call is the same", speech, throughG711(ALaw, speech), true, "", 0, [2]float64{0, 0}},
		{"a clean µ-law melody is the same", tones, throughG711(MuLaw, tones), true, "", 0, [2]float64{0, 0}},
		{"an offset of 200 ms is measured", speech, delayed(throughG711(ALaw, speech), 200*time.Millisecond), true, "", 200 * time.Millisecond, [2]float64{0, 0}},
		{"so is one of a melody", tones, delayed(throughG711(ALaw, tones), 137*time.Millisecond), true, "", 137 * time.Millisecond, [2]float64{0, 0}},
		{"an ear that opened late hears earlier", speech, throughG711(ALaw, speech)[Rate/2:], true, "", -500 * time.Millisecond, [2]float64{0.02, 0.1}},
		{"5 % loss is 5 %", speech, withLoss(throughG711(ALaw, speech), 0.05, 1), true, "", 0, [2]float64{0.02, 0.08}},
		{"5 % loss of a melody, delayed", tones, delayed(withLoss(throughG711(MuLaw, tones), 0.05, 2), 80*time.Millisecond), true, "", 80 * time.Millisecond, [2]float64{0.02, 0.08}},
		{"media that dies half way is half lost", tones, throughG711(ALaw, tones)[:4*Rate], true, "", 0, [2]float64{0.35, 0.45}},
		{"silence is heard as silence", speech, make([]int16, len(speech)), false, "silence", 0, [2]float64{1, 1}},
		{"nothing is heard as silence", speech, nil, false, "silence", 0, [2]float64{1, 1}},
		{"A-law silence code words are silence", speech, ALaw.Decode(nil, slices.Repeat([]byte{0xd5}, len(speech))), false, "silence", 0, [2]float64{1, 1}},
		{"swapped directions: one's own voice comes back", speech, throughG711(ALaw, tones), false, "something else was heard", -1, [2]float64{0.5, 1}},
		{"swapped directions, the melody's end", tones, throughG711(ALaw, speech), false, "something else was heard", -1, [2]float64{0.5, 1}},
		{"wrong keys make noise", speech, noise(ALaw, 7*time.Second), false, "noise, as wrong keys make it", -1, [2]float64{0.5, 1}},
		{"wrong keys make noise of a melody too", tones, noise(MuLaw, 7*time.Second), false, "noise, as wrong keys make it", -1, [2]float64{0.5, 1}},
		{"another call's melody", tones, throughG711(ALaw, Tones(12, 7*time.Second)), false, "something else was heard", -1, [2]float64{0.5, 1}},
		{"another call's voice", speech, throughG711(ALaw, repeated(Speech(4), 7*time.Second)), false, "something else was heard", -1, [2]float64{0.5, 1}},
		{"a wrong companding law", speech, MuLaw.Decode(nil, ALaw.Encode(nil, speech)), false, "something else", -1, [2]float64{0, 1}},
		{"a third voice mixed in", tones, throughG711(ALaw, sum(tones, Tones(99, 7*time.Second))), false, "something else is mixed in", -1, [2]float64{0, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Listen(c.sent, c.heard)
			t.Logf("%+v", r)
			if r.Same != c.same {
				t.Fatalf("same = %t, want %t", r.Same, c.same)
			}
			if !c.same && c.reason != "something else" && r.Reason != c.reason {
				t.Errorf("reason %q, want %q", r.Reason, c.reason)
			}
			if c.delay >= 0 || c.same {
				if d := (r.Delay - c.delay).Abs(); d > time.Millisecond {
					t.Errorf("delay %v, want %v", r.Delay, c.delay)
				}
			}
			if r.Loss < c.loss[0] || r.Loss > c.loss[1] {
				t.Errorf("loss %.3f, want within %v", r.Loss, c.loss)
			}
			if c.same && (r.Correlation < 0.99 || r.SNR < 25) {
				t.Errorf("correlation %.3f, SNR %.1f of a call that only went through G.711", r.Correlation, r.SNR)
			}
		})
	}
}

func TestCompareCountsDelayFromMouthToEar(t *testing.T) {
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tones := Tones(5, 8*time.Second)
	for name, c := range map[string]struct {
		heard Track
		want  time.Duration
	}{
		"the first packet is the first sound": {Track{began.Add(30 * time.Millisecond), tones}, 30 * time.Millisecond},
		"the ear was open before":             {Track{began.Add(-time.Second), delayed(tones, 1040*time.Millisecond)}, 40 * time.Millisecond},
		"heard a little in advance":           {Track{began.Add(-time.Second), delayed(tones, 960*time.Millisecond)}, -40 * time.Millisecond},
		"the ear opened in the middle":        {Track{began.Add(3 * time.Second), tones[3*Rate-Rate/20:]}, 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			r := Compare(Track{began, tones}, c.heard)
			if !r.Same || (r.Delay-c.want).Abs() > time.Millisecond || !c.heard.At.After(began) && r.Loss > 0 {
				t.Errorf("%+v, want a delay of %v", r, c.want)
			}
		})
	}
}

func TestShortCallsAreAlignedToo(t *testing.T) {
	for n := Rate / 5; n < 3*Rate; n += Rate / 2 {
		sent := Tones(uint64(n), 4*time.Second)[:n]
		if r := Listen(sent, delayed(sent, 91*time.Millisecond)); !r.Same || r.Delay != 91*time.Millisecond {
			t.Errorf("%d samples: %+v", n, r)
		}
	}
}

func TestVoicesAndMelodiesDiffer(t *testing.T) {
	for i := range uint64(5) {
		if r := Listen(Tones(i, 6*time.Second), Tones(i+1, 6*time.Second)); r.Same || r.Correlation > 0.35 {
			t.Errorf("melodies %d and %d: %+v", i, i+1, r)
		}
		v := i * 5
		if r := Listen(Speech(v), Speech(v+1)); r.Same || r.Correlation > 0.45 {
			t.Errorf("voices %d and %d: %+v", v, v+1, r)
		}
	}
}

func TestG711(t *testing.T) {
	for l, want := range map[*Law]int{ALaw: 100139008, MuLaw: 98107392} { // as SoX 14.4 expands them
		sum := 0
		for c := range 256 {
			v := l.Decode(nil, []byte{byte(c)})
			sum += int(v[0]) * (c + 1)
			if got := l.Decode(nil, l.Encode(nil, v)); got[0] != v[0] {
				t.Errorf("%v: code %#x is %d, and comes back as %d", l, c, v[0], got[0])
			}
		}
		if sum != want {
			t.Errorf("%v: the weighted sum of the table is %d, want %d", l, sum, want)
		}
		l.Encode(nil, []int16{math.MinInt16, math.MaxInt16, 0, -1, 1})
	}
	// G.711: the largest values, the smallest ones, and a 1 kHz digital
	// milliwatt's first sample (table 5 and 6).
	for _, c := range []struct {
		law  *Law
		code byte
		want int16
	}{
		{ALaw, 0xaa, 32256},
		{ALaw, 0x2a, -32256},
		{ALaw, 0xd5, 8},
		{ALaw, 0x55, -8},
		{ALaw, 0x34, -8960},
		{MuLaw, 0x80, 32124},
		{MuLaw, 0x00, -32124},
		{MuLaw, 0xff, 0},
		{MuLaw, 0x1e, -8828},
	} {
		if got := c.law.Decode(nil, []byte{c.code})[0]; got != c.want {
			t.Errorf("%v %#x is %d, want %d", c.law, c.code, got, c.want)
		}
	}
}

func FuzzListen(f *testing.F) {
	f.Add([]byte{}, []byte{1})
	f.Add([]byte{0x2a, 0xaa}, []byte{0xd5})
	f.Fuzz(func(t *testing.T, sent, heard []byte) {
		r := Listen(ALaw.Decode(nil, sent), ALaw.Decode(nil, heard))
		if r.Loss < 0 || r.Loss > 1 || math.IsNaN(r.Correlation) || math.IsNaN(r.SNR) {
			t.Errorf("%+v", r)
		}
	})
}

func BenchmarkListen(b *testing.B) {
	sent := repeated(Speech(0), 7*time.Second)
	heard := delayed(sent, 40*time.Millisecond)
	for b.Loop() {
		Listen(sent, heard)
	}
}
