package audio

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// What SpanDSP 0.0.6 makes of Speech(3), its lower band fed with 8 kHz as ours is.
const spandspG722 = "c012549de1aa69bc31186dfce6b515c30b2d0c4d5fd43bd8238041973377908b"

func TestG722IsTheOneOfTheOthers(t *testing.T) {
	code := NewG722().Encode(nil, Speech(3))
	if got := fmt.Sprintf("%x", sha256.Sum256(code)); got != spandspG722 {
		t.Errorf("another code than the reference's: %s", got)
	}
	heard := NewG722().Decode(nil, code)
	if r := Listen(Speech(3), heard); !r.Same || r.SNR < 20 {
		t.Errorf("%+v", r)
	}
}

func TestG722SurvivesAnything(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 1<<16)
	for i := range noise {
		noise[i] = byte(r.UintN(256))
	}
	d := NewG722()
	d.Decode(nil, noise)
	// It finds back when good code follows.
	code := NewG722().Encode(nil, Tones(1, 4*time.Second))
	heard := d.Decode(nil, code)
	if r := Listen(Tones(1, 4*time.Second)[Rate:], heard[Rate:]); !r.Same {
		t.Errorf("%+v", r)
	}
}

func TestKeysAreHeardAndSpeechIsNot(t *testing.T) {
	if got := Pressed(ALaw.Decode(nil, ALaw.Encode(nil, KeyTones(Keys)))); got != Keys {
		t.Errorf("heard %q", got)
	}
	mixed := append(Speech(1), append(KeyTones("42"), Tones(3, 5*time.Second)...)...)
	if got := Pressed(mixed); got != "42" {
		t.Errorf("heard %q in speech and music", got)
	}
}

func TestAlikeKnowsTheVoice(t *testing.T) {
	said := Speech(PrecodedVoice)
	for _, c := range []struct {
		name  string
		heard []int16
		same  bool
	}{
		{"itself", said, true},
		{"300 ms later", append(make([]int16, 3*Rate/10), said...), true},
		{"with every sample's sign turned, another wave of the same sound", inverted(said), true},
		{"at half the level", halved(said), true},
		{"another voice", Speech(7), false},
		{"a melody", Tones(5, 5*time.Second), false},
		{"silence", make([]int16, len(said)), false},
		{"backwards", backwards(said), false},
		{"with half of it missing", append(make([]int16, len(said)*6/10), said[len(said)*6/10:]...), false},
	} {
		if r := Alike(said, c.heard); r.Same != c.same {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}

func inverted(pcm []int16) (out []int16) {
	for _, v := range pcm {
		out = append(out, -max(v, -32767))
	}
	return out
}

func halved(pcm []int16) (out []int16) {
	for _, v := range pcm {
		out = append(out, v/2)
	}
	return out
}

func backwards(pcm []int16) (out []int16) {
	for i := range pcm {
		out = append(out, pcm[len(pcm)-1-i])
	}
	return out
}

func TestAMRWBFramesArePackedInBothForms(t *testing.T) {
	aligned, efficient := AMRWB.Precoded("octet-align=1"), AMRWB.Precoded("")
	if len(aligned) != len(efficient) || len(aligned) != len(PrecodedSpeech())/Frame {
		t.Fatalf("%d and %d frames", len(aligned), len(efficient))
	}
	a, e := aligned[100], efficient[100]
	if len(a) != 62 || a[0] != 0xf0 || a[1] != 8<<3|4 {
		t.Errorf("octet-aligned: %d octets, % x", len(a), a[:2])
	}
	// RFC 4867 section 4.3.4: 1111 0 1000 1, and then the speech.
	if len(e) != 61 || e[0] != 0b1111_0100 || e[1]>>6 != 0b01 || e[1]&0x3f != a[2]>>2 || e[2] != a[2]<<6|a[3]>>2 {
		t.Errorf("bandwidth-efficient: %d octets, %b %b", len(e), e[0], e[1])
	}
}
