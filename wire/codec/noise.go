package codec

import (
	"math"
	"math/rand/v2"
)

// Noise is comfort noise as RFC 3389 carries it.
type Noise struct {
	Level      uint8   // -dBov, 0 to 127
	Reflection []uint8 // quantised reflection coefficients; none: white
}

// maxOrder is how many coefficients are used.
const maxOrder = 12

// ParseNoise reads a CN payload. Coefficients beyond what we use are left out,
// as RFC 3389 section 3.2 allows. The result refers to b.
func ParseNoise(b []byte) (Noise, error) {
	if len(b) == 0 {
		return Noise{}, ErrPayload
	}
	return Noise{Level: b[0] & 0x7f, Reflection: b[1:min(len(b), 1+maxOrder)]}, nil
}

// Append writes the payload.
func (n Noise) Append(dst []byte) []byte {
	return append(append(dst, n.Level&0x7f), n.Reflection...)
}

// reflection is the coefficient that v stands for (RFC 3389 section 3.2), kept
// off ±1, where the filter would ring for ever.
func reflection(v uint8) float32 {
	return max(-0.98, min(0.98, float32(int(min(v, 254))-127)*258/32768))
}

func quantised(k float64) uint8 {
	return uint8(max(0, min(254, math.Round(k*32768/258)+127)))
}

// NoiseGenerator plays comfort noise. Not for several goroutines.
type NoiseGenerator struct {
	random rand.PCG
	k      [maxOrder]float32 // reflection coefficients
	delay  [maxOrder + 1]float32
	gain   float32 // of the white noise that drives the filter
	target float32
}

// NewNoiseGenerator is silent until Set. It plays at any rate.
func NewNoiseGenerator() *NoiseGenerator {
	return &NoiseGenerator{random: *rand.NewPCG(1, 2)}
}

// Set changes the noise; the level glides there within some 50 ms.
func (g *NoiseGenerator) Set(n Noise) {
	g.k = [maxOrder]float32{}
	power := 1.0 // that the filter leaves of a given output
	for i, v := range n.Reflection[:min(len(n.Reflection), maxOrder)] {
		g.k[i] = reflection(v)
		power *= 1 - float64(g.k[i])*float64(g.k[i])
	}
	// RFC 3389 section 4: white noise of the level, less the filter's gain. The
	// square wave at 0 dBov has an effective value of full scale.
	rms := fullScale * math.Pow(10, -float64(n.Level&0x7f)/20)
	const uniform = 1.7320508 // peak over effective value
	g.target = float32(rms * math.Sqrt(power) * uniform)
}

// Fill writes noise over pcm.
func (g *NoiseGenerator) Fill(pcm []int16) {
	const glide = 1.0 / 200
	for i := range pcm {
		g.gain += (g.target - g.gain) * glide
		white := float32(int32(g.random.Uint64()>>32)) / (1 << 31)
		v := max(math.MinInt16, min(math.MaxInt16, g.lattice(white*g.gain)))
		pcm[i] = int16(math.Round(float64(v)))
	}
}

// lattice is the all-pole filter of the reflection coefficients.
func (g *NoiseGenerator) lattice(f float32) float32 {
	for i := maxOrder - 1; i >= 0; i-- {
		f -= g.k[i] * g.delay[i]
		g.delay[i+1] = g.delay[i] + g.k[i]*f
	}
	g.delay[0] = f
	return f
}

// Silence tells silence from speech and knows the noise in the pauses. Not for
// several goroutines.
type Silence struct {
	rate  int
	floor float64 // dBov of the pauses
	loud  int     // samples since something was heard, at most the hangover
	heard bool
	auto  [noiseOrder + 1]float64 // autocorrelation of the pauses, smoothed
}

const (
	noiseOrder = 6     // coefficients that are sent
	quietest   = -78.0 // dBov: below it there is no noise to speak of
	busiest    = -38.0 // dBov: no pause is louder
	above      = 6.0   // dB over the pauses is speech
	rise       = 5.0   // dB/s that the pauses may get louder, so that speech does not pass for noise
	hangover   = 200   // ms
	instant    = 5     // ms of a word's beginning, late in a packet
)

// NewSilence listens at rate samples a second.
func NewSilence(rate int) *Silence { return &Silence{rate: rate, floor: -60} }

// Write listens to a packet and reports whether it is silent. Speech is not
// silent for 200 ms after its last loud packet, so that ends of words stay.
func (s *Silence) Write(pcm []int16) bool {
	if len(pcm) == 0 {
		return s.heard && s.loud >= s.rate*hangover/1000
	}
	level := max(quietest, DBov(pcm))
	switch {
	case level < s.floor:
		s.floor += (level - s.floor) * 0.5
	default:
		s.floor = min(level, s.floor+rise*float64(len(pcm))/float64(s.rate))
	}
	s.floor = min(s.floor, busiest)
	s.heard = true
	if level > s.floor+above || loudest(pcm, s.rate*instant/1000) > s.floor+above {
		s.loud = 0
		return false
	}
	s.learn(pcm)
	s.loud = min(s.loud+len(pcm), s.rate*hangover/1000)
	return s.loud >= s.rate*hangover/1000
}

// loudest is the level of the loudest part of n samples.
func loudest(pcm []int16, n int) float64 {
	level := quietest
	for ; len(pcm) >= n; pcm = pcm[n:] {
		level = max(level, DBov(pcm[:n]))
	}
	return level
}

// learn takes a quiet packet into the spectrum of the pauses.
func (s *Silence) learn(pcm []int16) {
	share := 0.2
	if s.auto[0] == 0 {
		share = 1
	}
	for lag := range s.auto {
		var sum float64
		for i := lag; i < len(pcm); i++ {
			sum += float64(pcm[i]) * float64(pcm[i-lag])
		}
		s.auto[lag] += (sum/float64(len(pcm)) - s.auto[lag]) * share
	}
}

// Noise describes the noise of the pauses, for a CN payload. coefficients is
// where those go, so that nothing is allocated; nil leaves them out.
func (s *Silence) Noise(coefficients []uint8) Noise {
	n := Noise{Level: 127}
	if s.auto[0] > 0 {
		n.Level = uint8(max(0, min(127, math.Round(-10*math.Log10(s.auto[0]/(fullScale*fullScale))))))
	}
	if coefficients == nil || s.auto[0] == 0 {
		return n
	}
	n.Reflection = coefficients[:0]
	// Levinson and Durbin; a little white noise keeps it stable.
	var a, next [noiseOrder + 1]float64
	e := s.auto[0] * 1.0001
	for m := 1; m <= noiseOrder; m++ {
		k := s.auto[m]
		for i := 1; i < m; i++ {
			k += a[i] * s.auto[m-i]
		}
		k /= -e
		next = a
		next[m] = k
		for i := 1; i < m; i++ {
			next[i] = a[i] + k*a[m-i]
		}
		a = next
		e *= 1 - k*k
		n.Reflection = append(n.Reflection, quantised(k))
	}
	return n
}
