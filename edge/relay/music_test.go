package relay

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/wire/codec"
	"github.com/tandemgw/tandem/wire/rtp"
)

func TestFilesOfEveryKindAreRead(t *testing.T) {
	melody := audio.Tones(3, 2e9)
	wide := codec.NewResampler(8000, 16000).Resample(nil, melody)
	var stereo []int16
	for _, s := range melody {
		stereo = append(stereo, s, s)
	}
	dir := t.TempDir()
	for name, b := range map[string][]byte{
		"linear.wav": wav(1, 1, 16, 8000, pcmBytes(melody)),
		"stereo.wav": wav(1, 2, 16, 8000, pcmBytes(stereo)),
		"wide.wav":   wav(1, 1, 16, 16000, pcmBytes(wide)),
		"alaw.WAV":   wav(6, 1, 8, 8000, codec.ALaw.Encode(nil, melody)),
		"mulaw.wav":  wav(7, 1, 8, 8000, codec.MuLaw.Encode(nil, melody)),
		"raw.alaw":   codec.ALaw.Encode(nil, melody),
		"raw.ul":     codec.MuLaw.Encode(nil, melody),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var l library
		for _, rate := range []int{8000, 16000, 48000} {
			pcm, err := l.get(path, rate)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if rate > 8000 {
				pcm = codec.NewResampler(rate, 8000).Resample(nil, pcm)
			}
			if r := audio.Listen(melody, pcm); !r.Same || r.SNR < 7 { // by parts of a sample late
				t.Errorf("%s at %d: %+v", name, rate, r)
			}
		}
		if again, err := l.get(path, 8000); err != nil || len(again) == 0 || len(l.tracks) != 1 {
			t.Errorf("%s is read again: %v", name, err)
		}
	}
}

func TestFilesThatCannotBePlayed(t *testing.T) {
	dir := t.TempDir()
	for name, b := range map[string][]byte{
		"empty.alaw":  nil,
		"text.wav":    []byte("this is no music, and no WAV file"),
		"cut.wav":     wav(1, 1, 16, 8000, nil)[:30],
		"float.wav":   wav(3, 1, 32, 8000, make([]byte, 64)),
		"44100.wav":   wav(1, 1, 16, 44100, make([]byte, 64)),
		"nothing.wav": wav(1, 1, 16, 8000, nil),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := CheckMusic(path); err == nil {
			t.Errorf("%s is played", name)
		}
	}
	if CheckMusic(filepath.Join(dir, "absent.wav")) == nil || CheckMusic(dir) == nil {
		t.Error("what is no file is played")
	}
}

func FuzzWAV(f *testing.F) {
	f.Add(wav(1, 1, 16, 8000, make([]byte, 32)))
	f.Add(wav(1, 2, 16, 48000, make([]byte, 33)))
	f.Add(wav(6, 1, 8, 8000, make([]byte, 32))[:40])
	f.Add([]byte("RIFF\xff\xff\xff\xffWAVEdata\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if tr, err := parseWAV(b); err == nil && len(tr.pcm) > len(b) {
			t.Errorf("%d samples of %d octets", len(tr.pcm), len(b))
		}
	})
}

// FuzzKeypad: whatever events come, keys go up as often as down, one at a
// time, and none stays down.
func FuzzKeypad(f *testing.F) {
	f.Add([]byte{1, 0, 160, 0, 1, 0, 64, 128, 2, 0, 160, 0})
	f.Add([]byte{5, 255, 255, 0, 5, 255, 255, 1, 5, 0, 1, 128})
	f.Fuzz(func(t *testing.T, b []byte) {
		down, presses, releases := byte(0), 0, 0
		pad := &keypad{clock: 8000}
		pad.down = func(d byte) {
			if down != 0 {
				t.Fatalf("%c is pressed while %c is", d, down)
			}
			down = d
			presses++
		}
		pad.up = func(d byte, lasted time.Duration) {
			if d != down || lasted < 0 {
				t.Fatalf("%c is released after %v, %c is pressed", d, lasted, down)
			}
			down = 0
			releases++
		}
		now := time.Unix(1e9, 0)
		stamp := uint32(0)
		for len(b) >= 4 {
			e := codec.Event{Code: b[0] % 18, Duration: uint16(b[1])<<8 | uint16(b[2]), End: b[3]&0x80 != 0}
			stamp += uint32(b[3]&0x7f) * 160
			now = now.Add(time.Duration(b[3]&0x0f) * 10e6)
			pad.hear(rtp.Packet{Stamp: stamp, Payload: e.Append(nil)}, now)
			b = b[4:]
		}
		pad.expire(now.Add(unheard + 1))
		if down != 0 || presses != releases {
			t.Errorf("%d pressed, %d released", presses, releases)
		}
	})
}
