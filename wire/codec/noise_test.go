package codec

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/tandemgw/tandem/sandbox/audio"
)

func TestNoiseHasTheLevelItIsGiven(t *testing.T) {
	pcm := make([]int16, 16000)
	for _, shape := range [][]uint8{nil, {60}, {20, 180}, {200, 90, 140, 120, 130, 127}} {
		for _, level := range []uint8{20, 40, 60} {
			g := NewNoiseGenerator()
			g.Set(Noise{Level: level, Reflection: shape})
			g.Fill(pcm) // glide
			g.Fill(pcm)
			if got := -DBov(pcm); math.Abs(got-float64(level)) > 1 {
				t.Errorf("noise of -%d dBov, %v: -%.1f", level, shape, got)
			}
		}
	}
}

// What is analysed, sent and played again sounds as it was: level and colour.
func TestNoiseComesBackAsItWas(t *testing.T) {
	for _, rate := range []int{8000, 16000} {
		brown := make([]int16, rate*3)
		source := NewNoiseGenerator()
		source.Set(Noise{Level: 50, Reflection: []uint8{30, 150}}) // most of it low
		source.Fill(brown)
		s := NewSilence(rate)
		for at := 0; at < len(brown); at += rate / 50 {
			s.Write(brown[at : at+rate/50])
		}
		var room [12]uint8
		b := s.Noise(room[:]).Append(nil)
		n, err := ParseNoise(b)
		if err != nil {
			t.Fatal(err)
		}
		g, back := NewNoiseGenerator(), make([]int16, rate*3)
		g.Set(n)
		g.Fill(back)
		brown, back = brown[rate:], back[rate:]
		if d := DBov(back) - DBov(brown); math.Abs(d) > 1.5 {
			t.Errorf("at %d: %.1f dB apart", rate, d)
		}
		colour := func(pcm []int16) float64 { // power of differences: how bright it is
			d := make([]int16, len(pcm)-1)
			for i := range d {
				d[i] = pcm[i+1] - pcm[i]
			}
			return DBov(d) - DBov(pcm)
		}
		if d := colour(back) - colour(brown); math.Abs(d) > 1.5 {
			t.Errorf("at %d: %.1f dB brighter", rate, d)
		}
	}
}

func TestNoisePayload(t *testing.T) {
	if _, err := ParseNoise(nil); !errors.Is(err, ErrPayload) {
		t.Error(err)
	}
	in := []byte{70, 127, 1, 254}
	n, err := ParseNoise(in)
	if err != nil || n.Level != 70 || !bytes.Equal(n.Append(nil), in) {
		t.Error(n, err)
	}
	if n, _ := ParseNoise(bytes.Repeat([]byte{0xff}, 40)); n.Level != 127 || len(n.Reflection) != maxOrder {
		t.Error(n)
	}
	if k := reflection(127); k != 0 {
		t.Errorf("127 is %v (RFC 3389 section 3.2)", k)
	}
	for v := range 255 {
		if got := quantised(float64(int(v)-127) * 258 / 32768); int(got) != v {
			t.Errorf("%d comes back as %d", v, got)
		}
	}
}

func TestPausesAreSilentAndWordsAreNot(t *testing.T) {
	const rate = 8000
	noise := NewNoiseGenerator()
	noise.Set(Noise{Level: 55})
	words := speech(t, rate)
	s := NewSilence(rate)
	frame := make([]int16, rate/50)
	quiet, cut, spoken := 0, 0, 0
	play := func(pcm []int16) {
		noise.Fill(frame)
		for i := range pcm {
			frame[i] += pcm[i]
		}
		silent := s.Write(frame)
		if pcm == nil && silent {
			quiet++
		}
		if pcm != nil && DBov(pcm) > -38 {
			spoken++
			if silent {
				cut++
			}
		}
	}
	for range 150 {
		play(nil)
	}
	if quiet < 120 {
		t.Errorf("of 3 s of noise %d ms are silent", quiet*20)
	}
	for at := 0; at+160 <= len(words); at += 160 {
		play(words[at : at+160])
	}
	t.Logf("of %d loud packets %d are taken for silence", spoken, cut)
	if cut > spoken/100 {
		t.Errorf("%d of %d loud packets are taken for silence", cut, spoken)
	}
	quiet = 0
	for range 100 {
		play(nil)
	}
	if quiet < 80 {
		t.Errorf("after speech, of 2 s of noise %d ms are silent", quiet*20)
	}
	if got := s.Noise(nil); got.Level < 53 || got.Level > 57 {
		t.Errorf("noise of -55 dBov is described as -%d", got.Level)
	}
}

// Sixty-one voices before the noise of five rooms: what of their words is
// taken for silence is far below what anybody hears.
func TestBeginningsOfWordsAreNotCut(t *testing.T) {
	const rate, n = 8000, 160
	for _, room := range []uint8{90, 65, 55, 48, 42} {
		var power, lost float64
		starts, cut, silent := 0, 0, 0
		for v := range uint64(audio.Voices) {
			pcm := append(make([]int16, rate), audio.Speech(v)...)
			noise := NewNoiseGenerator()
			noise.Set(Noise{Level: room})
			s, frame, quiet := NewSilence(rate), make([]int16, n), 0
			for ; len(pcm) >= n; pcm = pcm[n:] {
				noise.Fill(frame)
				e := 0.0
				for i, x := range pcm[:n] {
					frame[i] += x
					e += float64(x) * float64(x)
				}
				power += e
				taken := s.Write(frame)
				if taken {
					silent++
					lost += e
				}
				if DBov(pcm[:n]) < -50 {
					quiet++
					continue
				}
				if quiet > 10 {
					starts++
					if taken {
						cut++
					}
				}
				quiet = 0
			}
		}
		t.Logf("noise of -%d dBov: %d packets not sent, with %.4f %% of the words' power; %d of %d beginnings late", room, silent, 100*lost/power, cut, starts)
		if lost > power*2e-5 || cut > 0 || silent < 900 {
			t.Error("see above")
		}
	}
}

func TestAMutedLineIsSilent(t *testing.T) {
	s := NewSilence(8000)
	silent := false
	for range 50 {
		silent = s.Write(make([]int16, 160))
	}
	if n := s.Noise(make([]uint8, 12)); !silent || n.Level != 127 || n.Reflection != nil {
		t.Error(silent, n)
	}
}

func FuzzNoise(f *testing.F) {
	f.Add([]byte{70, 127, 1, 254})
	f.Add(bytes.Repeat([]byte{0xff}, 20))
	f.Add(bytes.Repeat([]byte{0}, 20))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := ParseNoise(b)
		if err != nil {
			return
		}
		g, pcm := NewNoiseGenerator(), make([]int16, 800)
		g.Set(n)
		for range 3 {
			g.Fill(pcm)
		}
		for _, d := range g.delay {
			if math.IsNaN(float64(d)) || math.IsInf(float64(d), 0) {
				t.Fatalf("% x: the filter runs away", b)
			}
		}
	})
}
