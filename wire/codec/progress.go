package codec

import "time"

// ToneKind is what a call progress tone says.
type ToneKind uint8

// The kinds.
const (
	Ringback     ToneKind = iota // the far telephone rings
	Busy                         // it is in use
	Congestion                   // the network cannot
	Unobtainable                 // no such number; special information tone where a country has one of its own
)

// Tone is one call progress signal: its steps play one after another, then
// from Loop on again.
type Tone struct {
	Steps []Step
	Loop  int // index of the first step that is repeated; len(Steps) = it ends
}

// Step is one on or off time of a cadence.
type Step struct {
	Hz  []float64     // sounded together; none: silence
	For time.Duration // 0: for ever
}

// ToneOf is a country's tone, by ISO 3166-1 alpha-2 code in either case; false
// when the country is not in the table.
func ToneOf(country string, kind ToneKind) (Tone, bool) { return Tone{}, false }

// Countries is the codes that ToneOf knows, sorted.
func Countries() []string { return nil }

// Generator plays a Tone. Not for several goroutines.
type Generator struct{}

// NewGenerator plays t at rate samples a second, -13 dBm0 in all.
func NewGenerator(t Tone, rate int) *Generator { return &Generator{} }

// Read fills pcm with what comes next; false when the tone has ended and pcm
// is silence.
func (g *Generator) Read(pcm []int16) bool { clear(pcm); return false }
