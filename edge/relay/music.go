package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/tandemgw/tandem/wire/codec"
)

// library is the files that are played, each read once and kept at every rate
// that was asked for.
type library struct {
	mu     sync.Mutex
	tracks map[string]*track // mu; by path
}

type track struct {
	rate  int
	pcm   []int16
	other map[int][]int16 // at other rates
}

// maxFile is an hour of 8 kHz samples of 16 bits: more is a mistake.
const maxFile = 8000 * 2 * 3600

// player plays a source at a rate.
func (l *library) player(what Source, rate int) (player, error) {
	switch {
	case what.Sound == Silence || what.Sound == Music && what.File == "":
		return newHush(), nil
	case what.Sound == Music:
		pcm, err := l.get(what.File, rate)
		if err != nil {
			return nil, err
		}
		return &loop{pcm: pcm}, nil
	}
	kind, ok := kinds[what.Sound]
	if !ok {
		return nil, fmt.Errorf("no such sound: %d", what.Sound)
	}
	tone, ok := codec.ToneOf(what.Country, kind)
	if !ok {
		tone = customary[kind]
	}
	return codec.NewGenerator(tone, rate), nil
}

var kinds = map[Sound]codec.ToneKind{
	Ringback: codec.Ringback, Busy: codec.Busy, Congestion: codec.Congestion, Unobtainable: codec.Unobtainable,
}

// customary is the tones that most countries of Europe have (ETSI TR 101 041),
// for those whose own we do not know.
var customary = map[codec.ToneKind]codec.Tone{
	codec.Ringback:     cadence(425, time.Second, 4*time.Second),
	codec.Busy:         cadence(425, 500*time.Millisecond, 500*time.Millisecond),
	codec.Congestion:   cadence(425, 250*time.Millisecond, 250*time.Millisecond),
	codec.Unobtainable: codec.Special(),
}

func cadence(hz float64, on, off time.Duration) codec.Tone {
	return codec.Tone{{Hz: []float64{hz}, For: on}, {For: off}}
}

// get reads a file, or finds it at a rate.
func (l *library) get(path string, rate int) ([]int16, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tracks[path]
	if t == nil {
		made, err := readTrack(path)
		if err != nil {
			return nil, err
		}
		if l.tracks == nil {
			l.tracks = map[string]*track{}
		}
		l.tracks[path], t = made, made
	}
	return t.at(rate), nil
}

func (t *track) at(rate int) []int16 {
	if rate == t.rate {
		return t.pcm
	}
	pcm, ok := t.other[rate]
	if !ok {
		pcm = t.pcm
		for _, to := range between8k(t.rate, rate) {
			pcm = codec.NewResampler(to[0], to[1]).Resample(nil, pcm)
		}
		t.other[rate] = pcm
	}
	return pcm
}

// between8k is the steps from one rate to another: a Resampler only does whole
// ratios.
func between8k(from, to int) [][2]int {
	if from%to == 0 || to%from == 0 {
		return [][2]int{{from, to}}
	}
	return [][2]int{{from, 8000}, {8000, to}}
}

// CheckMusic reports why a file cannot be played.
func CheckMusic(path string) error {
	_, err := readTrack(path)
	return err
}

func readTrack(path string) (*track, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s: %d octets are more than an hour of telephone speech", path, info.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t, err := parseTrack(strings.ToLower(filepath.Ext(path)), b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(t.pcm) == 0 {
		return nil, fmt.Errorf("%s: there is nothing to be heard in it", path)
	}
	t.other = map[int][]int16{}
	return t, nil
}

// parseTrack reads a WAV file, or raw G.711 by the file's name.
func parseTrack(ext string, b []byte) (*track, error) {
	switch ext {
	case ".al", ".alaw", ".g711a", ".pcma":
		return &track{rate: 8000, pcm: codec.ALaw.Decode(nil, b)}, nil
	case ".ul", ".ulaw", ".g711u", ".pcmu":
		return &track{rate: 8000, pcm: codec.MuLaw.Decode(nil, b)}, nil
	}
	return parseWAV(b)
}

// errWAV tells a file that is not what we read.
var errWAV = errors.New("not a WAV file of PCM 16 bit, A-law or µ-law at 8, 16 or 48 kHz, nor raw G.711 (.alaw, .ulaw)")

// parseWAV reads RIFF WAVE: 16-bit PCM, A-law or µ-law, of which several
// channels are mixed.
func parseWAV(b []byte) (*track, error) {
	if len(b) < 12 || string(b[:4]) != "RIFF" || string(b[8:12]) != "WAVE" {
		return nil, errWAV
	}
	var format, channels, bits, rate int
	for b = b[12:]; len(b) >= 8; {
		id, size := string(b[:4]), int(binary.LittleEndian.Uint32(b[4:]))
		size = min(size, len(b)-8)
		chunk := b[8 : 8+size]
		b = b[min(len(b), 8+size+size&1):]
		switch {
		case id == "fmt " && len(chunk) >= 16:
			format, channels = int(binary.LittleEndian.Uint16(chunk)), int(binary.LittleEndian.Uint16(chunk[2:]))
			rate, bits = int(binary.LittleEndian.Uint32(chunk[4:])), int(binary.LittleEndian.Uint16(chunk[14:]))
			const extensible = 0xfffe
			if format == extensible && len(chunk) >= 26 {
				format = int(binary.LittleEndian.Uint16(chunk[24:]))
			}
		case id == "data":
			return decodeWAV(format, channels, bits, rate, chunk)
		}
	}
	return nil, errWAV
}

func decodeWAV(format, channels, bits, rate int, data []byte) (*track, error) {
	const linear, alaw, mulaw = 1, 6, 7
	var pcm []int16
	switch {
	case rate != 8000 && rate != 16000 && rate != 48000 || channels < 1 || channels > 8:
		return nil, errWAV
	case format == linear && bits == 16:
		pcm = make([]int16, 0, len(data)/2)
		for ; len(data) >= 2; data = data[2:] {
			pcm = append(pcm, int16(binary.LittleEndian.Uint16(data)))
		}
	case format == alaw && bits == 8:
		pcm = codec.ALaw.Decode(nil, data)
	case format == mulaw && bits == 8:
		pcm = codec.MuLaw.Decode(nil, data)
	default:
		return nil, errWAV
	}
	return &track{rate: rate, pcm: mix(pcm, channels)}, nil
}

func mix(pcm []int16, channels int) []int16 {
	if channels == 1 {
		return pcm
	}
	out := pcm[:0]
	for len(pcm) >= channels {
		sum := 0
		for _, s := range pcm[:channels] {
			sum += int(s)
		}
		out, pcm = append(out, int16(sum/channels)), pcm[channels:]
	}
	return out
}

// loop plays samples again and again.
type loop struct {
	pcm []int16
	at  int
}

func (l *loop) Read(pcm []int16) {
	for len(pcm) > 0 {
		n := copy(pcm, l.pcm[l.at:])
		pcm, l.at = pcm[n:], (l.at+n)%len(l.pcm)
	}
}

// hush plays comfort noise.
type hush struct{ *codec.NoiseGenerator }

// background is the level of the noise that stands for a silent line, in
// -dBov.
const background = 68

func newHush() hush {
	g := codec.NewNoiseGenerator()
	g.Set(codec.Noise{Level: background})
	return hush{g}
}

func (h hush) Read(pcm []int16) { h.Fill(pcm) }
