package codec

import (
	_ "embed"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ToneKind is what a call progress tone says.
type ToneKind uint8

// The kinds.
const (
	Ringback     ToneKind = iota // the far telephone rings
	Busy                         // it is in use
	Congestion                   // the network cannot
	Unobtainable                 // no such number
)

// Tone is one call progress signal: its steps play one after another, over and
// over.
type Tone []Step

// Step is one on or off time of a cadence.
type Step struct {
	Hz  []float64     // sounded together; none: silence
	AM  float64       // Hz at which the whole is modulated, fully; 0: not
	For time.Duration // 0: for ever
}

// Special is the special information tone (ITU-T E.180 clause 7, ITU-T Q.35).
func Special() Tone {
	return Tone{
		{Hz: []float64{950}, For: 330 * time.Millisecond},
		{Hz: []float64{1400}, For: 330 * time.Millisecond},
		{Hz: []float64{1800}, For: 330 * time.Millisecond},
		{For: time.Second},
	}
}

//go:embed tones.txt
var toneTable string

var tones = sync.OnceValue(func() map[string][]Tone {
	all := map[string][]Tone{}
	for line := range strings.Lines(toneTable) {
		words := strings.Fields(line)
		if len(words) < 4 || words[0] == "#" {
			continue
		}
		for _, w := range words[1:] {
			all[words[0]] = append(all[words[0]], parseTone(w))
		}
		if len(words) == 4 {
			all[words[0]] = append(all[words[0]], Special())
		}
	}
	return all
})

// parseTone reads a cell of the table; a test reads them all.
func parseTone(text string) (t Tone) {
	sound, cadence, _ := strings.Cut(text, ":")
	sound, am, _ := strings.Cut(sound, "*")
	on := Step{}
	on.AM, _ = strconv.ParseFloat(am, 64)
	for hz := range strings.SplitSeq(sound, "+") {
		v, _ := strconv.ParseFloat(hz, 64)
		on.Hz = append(on.Hz, v)
	}
	if cadence == "" {
		return Tone{on}
	}
	for i, ms := range strings.Split(cadence, ",") {
		n, _ := strconv.Atoi(ms)
		step := Step{For: time.Duration(n) * time.Millisecond}
		if i%2 == 0 {
			step.Hz, step.AM = on.Hz, on.AM
		}
		t = append(t, step)
	}
	return t
}

// ToneOf is a country's tone, by ISO 3166-1 alpha-2 code in either case; false
// when the country is not in the table.
func ToneOf(country string, kind ToneKind) (Tone, bool) {
	t, ok := tones()[strings.ToLower(country)]
	if !ok || int(kind) >= len(t) {
		return nil, false
	}
	return t[kind], true
}

// Countries is the codes that ToneOf knows, sorted.
func Countries() []string { return slices.Sorted(maps.Keys(tones())) }

// toneLevel is that of all frequencies of a tone together, in dBm0: in the
// middle of what ITU-T E.180 clause 8 recommends.
const toneLevel = -10.0

// Generator plays a Tone. Not for several goroutines.
type Generator struct {
	rate  int
	tone  Tone
	step  int
	left  int // samples of the step; -1 = for ever
	sines []*Sine
	am    float64 // phase
}

// NewGenerator plays t at rate samples a second, -10 dBm0 in all.
func NewGenerator(t Tone, rate int) *Generator {
	g := &Generator{rate: rate, tone: t, step: len(t) - 1}
	if len(t) > 0 {
		g.next()
	}
	return g
}

// next begins the step after the current one.
func (g *Generator) next() {
	g.step = (g.step + 1) % len(g.tone)
	s := g.tone[g.step]
	if g.left = int(s.For * time.Duration(g.rate) / time.Second); g.left <= 0 {
		g.left = -1
	}
	g.sines = g.sines[:0]
	for _, hz := range s.Hz {
		g.sines = append(g.sines, NewSine(hz, toneLevel-10*math.Log10(float64(len(s.Hz))), g.rate))
	}
}

// Read fills pcm with what comes next; nothing but silence of an empty Tone.
func (g *Generator) Read(pcm []int16) {
	clear(pcm)
	for len(pcm) > 0 && len(g.tone) > 0 {
		if g.left == 0 {
			g.next()
		}
		n := len(pcm)
		if g.left > 0 {
			n = min(n, g.left)
			g.left -= n
		}
		for _, s := range g.sines {
			s.Add(pcm[:n])
		}
		if hz := g.tone[g.step].AM; hz > 0 {
			g.modulate(pcm[:n], hz)
		}
		pcm = pcm[n:]
	}
}

func (g *Generator) modulate(pcm []int16, hz float64) {
	for i := range pcm {
		pcm[i] = int16(float64(pcm[i]) * (1 + math.Cos(g.am)) / 2)
		g.am = math.Mod(g.am+2*math.Pi*hz/float64(g.rate), 2*math.Pi)
	}
}
