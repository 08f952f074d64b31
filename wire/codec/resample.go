package codec

import "math"

// Resampler changes the sample rate of one stream, without a jump between
// calls. Not for several goroutines.
//
// It is a low pass of linear phase, of which each output sample computes only
// the taps that meet an input sample.
type Resampler struct {
	up, down int
	taps     [][]float32 // by phase, to be multiplied with the latest inputs, oldest first
	history  []float32   // what the next output still needs
	phase    int
}

const (
	// Telephone speech ends at 3400 Hz of 4000: that part of the lower band is
	// passed, and what would fold back onto it is stopped.
	passed      = 0.85
	attenuation = 60.0 // dB
)

// NewResampler converts between rates of which one divides the other.
func NewResampler(from, to int) *Resampler {
	if from == to {
		return &Resampler{up: 1, down: 1}
	}
	r := &Resampler{up: max(1, to/from), down: max(1, from/to)}
	fast := float64(max(from, to))
	edge := float64(min(from, to)) / 2
	r.design(edge*(1+passed)/2/fast, edge*(1-passed)/fast)
	r.history = make([]float32, len(r.taps[0])-1, len(r.taps[0])+960)
	return r
}

// design makes the low pass: a sinc under Kaiser's window. cutoff is the
// middle of the transition and width its width, relative to the faster rate.
func (r *Resampler) design(cutoff, width float64) {
	beta := 0.1102 * (attenuation - 8.7)
	n := int(math.Ceil((attenuation-7.95)/(14.36*width))) | 1
	each := (n + r.up - 1) / r.up
	h := make([]float64, each*r.up)
	for i := range n {
		x := float64(i) - float64(n-1)/2
		window := bessel(beta*math.Sqrt(1-math.Pow(2*x/float64(n-1), 2))) / bessel(beta)
		h[i] = float64(r.up) * 2 * cutoff * sinc(2*cutoff*x) * window
	}
	r.taps = make([][]float32, r.up)
	for p := range r.taps {
		r.taps[p] = make([]float32, each)
		for k := range each {
			r.taps[p][each-1-k] = float32(h[k*r.up+p])
		}
	}
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// bessel is the modified Bessel function of the first kind, order zero.
func bessel(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > sum*1e-12; k++ {
		term *= (x / 2 / k) * (x / 2 / k)
		sum += term
	}
	return sum
}

// Resample appends src at the new rate to dst. Over time len(src)*to/from
// samples come out; a call that gives a fraction too few is made up for by the
// next.
func (r *Resampler) Resample(dst, src []int16) []int16 {
	if r.taps == nil {
		return append(dst, src...)
	}
	for _, s := range src {
		r.history = append(r.history, float32(s))
	}
	n, at := len(r.taps[0]), 0
	for at+n <= len(r.history) {
		dst = append(dst, dot(r.taps[r.phase], r.history[at:at+n]))
		r.phase += r.down
		at += r.phase / r.up
		r.phase %= r.up
	}
	r.history = r.history[:copy(r.history, r.history[at:])]
	return dst
}

// dot has four sums, so that no addition waits for the one before.
func dot(taps, x []float32) int16 {
	var a, b, c, d float32
	for len(taps) >= 4 && len(x) >= 4 {
		a += taps[0] * x[0]
		b += taps[1] * x[1]
		c += taps[2] * x[2]
		d += taps[3] * x[3]
		taps, x = taps[4:], x[4:]
	}
	for i := range min(len(taps), len(x)) {
		a += taps[i] * x[i]
	}
	v := a + b + (c + d)
	switch {
	case v >= math.MaxInt16:
		return math.MaxInt16
	case v <= math.MinInt16:
		return math.MinInt16
	case v < 0:
		return int16(v - 0.5)
	}
	return int16(v + 0.5)
}
