package codec

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
)

const allDigits = "0123456789*#ABCD"

// signal describes how digits are sounded.
type signal struct {
	on, off   time.Duration
	low, high float64 // dBm0
	detune    float64 // of both frequencies
	noise     float64 // dBm0; 0 = none
	rate      int
}

var ordinary = signal{on: 60 * time.Millisecond, off: 60 * time.Millisecond, low: -10, high: -8, rate: 8000}

func (s signal) play(digits string, r *rand.Rand) []int16 {
	pcm := make([]int16, s.rate/10)
	for i := range len(digits) {
		for row, keys := range dtmfKeys {
			column := strings.IndexByte(keys, digits[i])
			if column < 0 {
				continue
			}
			tone := make([]int16, int(s.on*time.Duration(s.rate)/time.Second))
			NewSine(dtmfLow[row]*(1+s.detune), s.low, s.rate).Add(tone)
			NewSine(dtmfHigh[column]*(1+s.detune), s.high, s.rate).Add(tone)
			pcm = append(pcm, tone...)
		}
		// Not in step with the detector.
		gap := int(s.off*time.Duration(s.rate)/time.Second) + r.IntN(s.rate/200)
		pcm = append(pcm, make([]int16, gap)...)
	}
	pcm = append(pcm, make([]int16, s.rate/10)...)
	if s.noise != 0 {
		rms := fullScale * math.Pow(10, (s.noise-overload-sineCrest)/20)
		for i := range pcm {
			pcm[i] = int16(max(-32768, min(32767, float64(pcm[i])+r.NormFloat64()*rms)))
		}
	}
	return pcm
}

func hear(d *Detector, pcm []int16, packet int) (digits string, heard []Heard) {
	for ; len(pcm) > 0; pcm = pcm[min(packet, len(pcm)):] {
		d.Write(pcm[:min(packet, len(pcm))], func(h Heard) {
			heard = append(heard, h)
			if !h.End {
				digits += string(h.Digit)
			}
		})
	}
	return digits, heard
}

func randomDigits(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = allDigits[r.IntN(len(allDigits))]
	}
	return string(b)
}

// ITU-T Q.24 table A-1.
func TestDigitsAreHeard(t *testing.T) {
	vary := func(change func(*signal)) signal {
		s := ordinary
		change(&s)
		return s
	}
	for name, s := range map[string]signal{
		"ordinary":                  ordinary,
		"at 16 kHz":                 vary(func(s *signal) { s.rate = 16000 }),
		"as short as may be":        vary(func(s *signal) { s.on, s.off = 40*time.Millisecond, 40*time.Millisecond }),
		"long":                      vary(func(s *signal) { s.on = 500 * time.Millisecond }),
		"weak":                      vary(func(s *signal) { s.low, s.high = -29, -27 }),
		"loud":                      vary(func(s *signal) { s.low, s.high = -3, -3 }),
		"1.5% high":                 vary(func(s *signal) { s.detune = 0.015 }),
		"1.5% low":                  vary(func(s *signal) { s.detune = -0.015 }),
		"high tone 4 dB louder":     vary(func(s *signal) { s.low, s.high = -14, -10 }),
		"high tone 8 dB weaker":     vary(func(s *signal) { s.low, s.high = -10, -18 }),
		"noise 15 dB below":         vary(func(s *signal) { s.noise = -21 }),
		"weak, short, detuned, too": {on: 45 * time.Millisecond, off: 40 * time.Millisecond, low: -25, high: -23, detune: 0.012, rate: 8000},
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, 7))
			digits := allDigits + randomDigits(r, 100)
			got, heard := hear(NewDetector(s.rate), s.play(digits, r), s.rate/50)
			if got != digits {
				t.Fatalf("heard  %s\nplayed %s", got, digits)
			}
			for _, h := range heard {
				if h.End && (h.Duration < s.on-12*time.Millisecond || h.Duration > s.on+12*time.Millisecond) {
					t.Errorf("%c of %v measured as %v", h.Digit, s.on, h.Duration)
				}
			}
			if len(heard) != 2*len(digits) {
				t.Errorf("%d reports of %d digits", len(heard), len(digits))
			}
		})
	}
}

func TestWhatIsNoDigitIsNotHeard(t *testing.T) {
	vary := func(change func(*signal)) signal {
		s := ordinary
		change(&s)
		return s
	}
	for name, s := range map[string]signal{
		"20 ms":                  vary(func(s *signal) { s.on = 20 * time.Millisecond }),
		"3.5% high":              vary(func(s *signal) { s.detune = 0.035 }),
		"3.5% low":               vary(func(s *signal) { s.detune = -0.035 }),
		"too weak":               vary(func(s *signal) { s.low, s.high = -45, -45 }),
		"high tone 10 dB louder": vary(func(s *signal) { s.low, s.high = -20, -10 }),
		"high tone 14 dB weaker": vary(func(s *signal) { s.low, s.high = -6, -20 }),
		"low tone alone":         vary(func(s *signal) { s.high = -90 }),
		"high tone alone":        vary(func(s *signal) { s.low = -90 }),
		"drowned in noise":       vary(func(s *signal) { s.noise = -2 }),
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, 7))
			if got, _ := hear(NewDetector(8000), s.play(allDigits, r), 160); got != "" {
				t.Errorf("heard %s", got)
			}
		})
	}
}

// ITU-T Q.24: a gap of 10 ms is within one digit.
func TestAShortGapDoesNotSplitADigit(t *testing.T) {
	pcm := make([]int16, 4000)
	NewDTMF('5', 8000, 300*time.Millisecond).Read(pcm)
	for at := 480; at < 2400; at += 560 {
		clear(pcm[at : at+80])
	}
	if got, _ := hear(NewDetector(8000), pcm, 160); got != "5" {
		t.Errorf("heard %q", got)
	}
}

func TestDigitsInNoise(t *testing.T) {
	for _, c := range []struct {
		snr   float64
		least float64 // of 1000
	}{{30, 1000}, {20, 1000}, {15, 1000}, {12, 995}, {9, 0}, {6, 0}} {
		r := rand.New(rand.NewPCG(3, 4))
		s := ordinary
		s.noise = -5.9 - c.snr // both tones together are -5.9
		digits := randomDigits(r, 1000)
		got, _ := hear(NewDetector(8000), s.play(digits, r), 160)
		right := float64(common(got, digits))
		t.Logf("SNR %2.0f dB: %.1f%% heard, %d reports", c.snr, right/10, len(got))
		if right < c.least || len(got) > len(digits) {
			t.Errorf("SNR %v dB: %v right of 1000, %d reports", c.snr, right, len(got))
		}
	}
}

// common is the length of the longest common subsequence.
func common(a, b string) int {
	row := make([]int, len(b)+1)
	for i := range len(a) {
		diagonal := 0
		for j := range len(b) {
			up := row[j+1]
			if a[i] == b[j] {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(up, row[j])
			}
			diagonal = up
		}
	}
	return row[len(b)]
}

func TestDigitsSurviveCodecs(t *testing.T) {
	for _, f := range Available() {
		s := ordinary
		s.on, s.rate = 80*time.Millisecond, f.Rate
		r := rand.New(rand.NewPCG(5, 6))
		digits := randomDigits(r, 100)
		pcm := s.play(digits, r)
		pcm = append(pcm, make([]int16, f.Rate/10)...)
		got, _ := through(t, f, pcm)
		heard, _ := hear(NewDetector(f.Rate), got, f.Rate/50)
		right := common(heard, digits)
		t.Logf("%s: %d of 100, %d reports", f.Name, right, len(heard))
		// RFC 4733 1: codecs of low rate do not carry tones faithfully, so only those
		// that do are held to it.
		if slices.Contains([]string{"PCMA", "PCMU", "G722"}, f.Name) && heard != digits {
			t.Errorf("%s: heard %s\nplayed %s", f.Name, heard, digits)
		}
	}
}

// TestSpeechIsNoDigit: sixty-one voices, five minutes and a half of speech.
func TestSpeechIsNoDigit(t *testing.T) {
	d := NewDetector(8000)
	seconds, hits := 0, ""
	for v := range uint64(audio.Voices) {
		pcm := audio.Speech(v)
		got, _ := hear(d, pcm, 160)
		hits += got
		seconds += len(pcm) / 8000
	}
	t.Logf("%d digits in %d s of speech", len(hits), seconds)
	if hits != "" {
		t.Errorf("heard %s", hits)
	}
}

func TestMusicAndTonesAreNoDigits(t *testing.T) {
	for seed := range uint64(20) {
		if got, _ := hear(NewDetector(8000), audio.Tones(seed, 10*time.Second), 160); got != "" {
			t.Errorf("melody %d: heard %s", seed, got)
		}
	}
	for _, country := range Countries() {
		for kind := Ringback; kind <= Unobtainable; kind++ {
			tone, _ := ToneOf(country, kind)
			pcm := make([]int16, 8000*6)
			NewGenerator(tone, 8000).Read(pcm)
			if got, _ := hear(NewDetector(8000), pcm, 160); got != "" {
				t.Errorf("tone %d of %s: heard %s", kind, country, got)
			}
		}
	}
}

func TestWhatWeSoundWeHear(t *testing.T) {
	for _, rate := range []int{8000, 16000} {
		for _, digit := range []byte(allDigits + "abcd") {
			pcm := make([]int16, rate/4)
			if !NewDTMF(digit, rate, 100*time.Millisecond).Read(pcm) {
				t.Errorf("%c makes no sound", digit)
			}
			got, heard := hear(NewDetector(rate), pcm, rate/50)
			if got != strings.ToUpper(string(digit)) || len(heard) != 2 {
				t.Errorf("%c at %d is heard as %q %v", digit, rate, got, heard)
			}
		}
	}
	if NewDTMF('x', 8000, time.Second).Read(make([]int16, 160)) {
		t.Error("x sounds")
	}
}

func FuzzDetector(f *testing.F) {
	f.Add(uint64(1), uint8(5))
	f.Fuzz(func(t *testing.T, seed uint64, packet uint8) {
		r := rand.New(rand.NewPCG(seed, 1))
		d, going := NewDetector(8000), byte(0)
		for range 20 {
			pcm := ordinary.play(randomDigits(r, 1+r.IntN(3)), r)
			pcm = pcm[r.IntN(len(pcm)):]
			_, heard := hear(d, pcm, 1+int(packet))
			for _, h := range heard {
				if h.End == (going == 0) || h.End && h.Digit != going {
					t.Fatal(fmt.Sprint("begin and end do not alternate: ", heard))
				}
				going = h.Digit
				if h.End {
					going = 0
				}
			}
		}
	})
}

func BenchmarkDetector(b *testing.B) {
	pcm := speech(b, 8000)
	d := NewDetector(8000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at := i * 160 % (len(pcm) - 160)
		d.Write(pcm[at:at+160], func(Heard) {})
	}
}

// TestTalkOff listens for digits in recorded speech: in all WAV files (8000
// samples a second, 16 bit, mono) below the directory that TANDEM_SPEECH names,
// which docs/figures.md tells where to find. Each voice is heard as it was
// recorded, and 10 dB louder and softer.
func TestTalkOff(t *testing.T) {
	dir := os.Getenv("TANDEM_SPEECH")
	if dir == "" {
		t.Skip("TANDEM_SPEECH names no directory with speech")
	}
	files, seconds, hits := 0, 0.0, 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".wav" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil || len(b) < 44 || binary.LittleEndian.Uint32(b[24:]) != 8000 || binary.LittleEndian.Uint16(b[22:]) != 1 || binary.LittleEndian.Uint16(b[34:]) != 16 {
			return err
		}
		files++
		for _, gain := range []float64{1, 3.16, 0.316} {
			d := NewDetector(8000)
			pcm := make([]int16, 0, len(b)/2)
			for i := 44; i+1 < len(b); i += 2 {
				v := gain * float64(int16(binary.LittleEndian.Uint16(b[i:])))
				pcm = append(pcm, int16(max(-32768, min(32767, v))))
			}
			got, _ := hear(d, pcm, 160)
			seconds += float64(len(pcm)) / 8000
			if hits += len(got); got != "" {
				t.Logf("%s, times %v: %q", filepath.Base(path), gain, got)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d digits in %.1f hours, %d files", hits, seconds/3600, files)
	if float64(hits) > 2*seconds/3600 {
		t.Error("more than two an hour")
	}
}
