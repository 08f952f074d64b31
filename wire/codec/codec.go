// Package codec turns audio between linear samples and what RTP carries, makes
// tones and measures levels. Everything here is pure; start at Law.
//
// Samples are 16-bit linear, 8000 a second unless said otherwise. A G.711
// decoder of this package fills the 16 bits, so that full scale is the
// overload point of the code.
package codec

// Law is one of the two G.711 encodings.
type Law uint8

// The laws, with their static RTP payload numbers (RFC 3551 table 4).
const (
	MuLaw Law = 0 // PCMU
	ALaw  Law = 8 // PCMA
)

// Encode appends one byte per sample to dst.
func (l Law) Encode(dst []byte, pcm []int16) []byte { panic("todo") }

// Decode appends one sample per byte to dst.
func (l Law) Decode(dst []int16, b []byte) []int16 { panic("todo") }

// Silence is the code of the quietest sample.
func (l Law) Silence() byte { panic("todo") }

// Tone is a sine that goes on where the last Fill ended.
type Tone struct{}

// NewTone makes a tone of hz and level dBm0 for samples at rate.
func NewTone(hz, dBm0 float64, rate int) *Tone { panic("todo") }

// Fill writes the next samples over pcm.
func (t *Tone) Fill(pcm []int16) { panic("todo") }

// Add mixes the next samples into pcm, saturating: two tones make a DTMF digit.
func (t *Tone) Add(pcm []int16) { panic("todo") }

// DBm0 is the level of the samples; -Inf for digital silence. A full-scale
// sine is +3.14 dBm0 (ITU-T G.711, A-law).
func DBm0(pcm []int16) float64 { panic("todo") }

// DBov is the level relative to overload, a full-scale square wave being 0
// (ITU-T G.100.1); -Inf for digital silence.
func DBov(pcm []int16) float64 { panic("todo") }

// ToneLevel is the level in dBm0 of one frequency alone (Goertzel), to tell a
// test tone from noise.
func ToneLevel(pcm []int16, hz float64, rate int) float64 { panic("todo") }
