package audio

import (
	"math"
	"math/bits"
	"time"
)

// Report is what Listen found.
type Report struct {
	Level       float64       // of what was heard, dBov (0 is full scale); -Inf for nothing at all
	Delay       time.Duration // from sent to heard; meaningful when Same
	Correlation float64       // 0..1, normalised, of the frames that arrived
	Loss        float64       // share of the sent frames that were not heard, 0..1
	SNR         float64       // dB, of the frames that arrived
	Same        bool          // what was heard is what was sent
	Reason      string        // why not, one phrase; empty when Same
}

// MaxDelay is the largest shift Listen looks for.
const MaxDelay = 2 * time.Second

const (
	maxLag = int(MaxDelay * Rate / time.Second)
	// Long calls are aligned by a stretch of their beginning; 16 s and two
	// times MaxDelay fill a transform of 2^18.
	stretch = 16 * Rate
	// tail is how much of the sent end may be missing: what was under way
	// when the far side hung up.
	tail = Rate * 3 / 10

	quiet   = -60.0 // dBov: below, nothing was said
	active  = -50.0 // dBov: a frame that must be heard
	matched = 0.5   // correlation of a frame that arrived
	enough  = 0.5   // share of frames, and overall correlation, that make it the same signal
	mixed   = 6.0   // dB: below this SNR something else is in it
	white   = 0.2   // resemblance to itself one sample later: speech and tones have 0.3 and more
)

// Listen says whether heard is sent, and how well it came through. Both begin
// at the same moment; the delay looked for lies within MaxDelay either way.
// Missing frames count as loss wherever they lie, but for the last 300 ms of
// sent.
func Listen(sent, heard []int16) Report {
	r := Report{Level: dBov(heard)}
	switch {
	case dBov(sent) < quiet:
		r.Reason = "nothing was sent"
		return r
	case r.Level < quiet:
		r.Loss, r.Reason = 1, "silence"
		return r
	}
	lag := align(sent[:min(len(sent), stretch)], heard[:min(len(heard), stretch+maxLag)])
	r.Delay = samples(lag)
	all, arrived := compareFrames(sent, heard, lag)
	if all.frames > 0 {
		r.Loss = 1 - float64(arrived.frames)/float64(all.frames)
	}
	if 1-r.Loss < enough || all.correlation() < enough {
		r.Correlation, r.SNR = max(0, all.correlation()), all.snr()
		r.Reason = "something else was heard"
		if resemblance(heard) < white {
			r.Reason = "noise, as wrong keys make it"
		}
		return r
	}
	r.Correlation, r.SNR = arrived.correlation(), arrived.snr()
	if r.SNR < mixed {
		r.Reason = "something else is mixed in"
		return r
	}
	r.Same = true
	return r
}

// Compare is Listen for tracks that began at different moments: Delay is
// counted from mouth to ear. Clocks that differ a little can make it negative;
// what was heard before sent began is looked at too, as far as that may be.
func Compare(sent, heard Track) Report {
	if early := min(sent.At.Sub(heard.At), MaxDelay); early > 0 && len(sent.PCM) > 0 {
		n := int(early * Rate / time.Second)
		sent = Track{At: sent.At.Add(-samples(n)), PCM: append(make([]int16, n), sent.PCM...)}
	}
	return Listen(together(sent, heard))
}

// together makes two tracks begin at the same moment.
func together(sent, heard Track) (a, b []int16) {
	if len(heard.PCM) == 0 || len(sent.PCM) == 0 {
		return sent.PCM, heard.PCM
	}
	shift := int(heard.At.Sub(sent.At) * Rate / time.Second)
	if shift > 0 {
		shift = min(shift, len(sent.PCM)) // heard after the end is not heard
		return sent.PCM, append(make([]int16, shift), heard.PCM...)
	}
	return sent.PCM, heard.PCM[min(-shift, len(heard.PCM)):]
}

// sums are what correlation and noise are made of.
type sums struct {
	frames     int
	xx, xy, yy float64
}

func (s *sums) add(o sums) {
	s.frames += o.frames
	s.xx, s.xy, s.yy = s.xx+o.xx, s.xy+o.xy, s.yy+o.yy
}

func (s sums) correlation() float64 {
	if s.xx == 0 || s.yy == 0 {
		return 0
	}
	return s.xy / math.Sqrt(s.xx*s.yy)
}

// snr takes what is left of heard after the best-fitting gain for noise.
func (s sums) snr() float64 {
	c := s.correlation()
	return 10 * math.Log10(c*c/max(1-c*c, 1e-9))
}

// compareFrames sums over the active frames of sent, and over those of them
// that are found in heard lag samples later.
func compareFrames(sent, heard []int16, lag int) (all, arrived sums) {
	for from := 0; from+Frame <= len(sent); from += Frame {
		x := sent[from : from+Frame]
		if dBov(x) < active {
			continue
		}
		f := sums{frames: 1}
		at := from + lag
		if at+Frame > len(heard) && from >= len(sent)-tail {
			break
		}
		for i, xv := range x {
			f.xx += float64(xv) * float64(xv)
			if k := at + i; k >= 0 && k < len(heard) {
				f.xy += float64(xv) * float64(heard[k])
				f.yy += float64(heard[k]) * float64(heard[k])
			}
		}
		all.add(f)
		if f.correlation() >= matched {
			arrived.add(f)
		}
	}
	return all, arrived
}

func dBov(pcm []int16) float64 {
	sum := 0.0
	for _, v := range pcm {
		sum += float64(v) * float64(v)
	}
	if sum == 0 {
		return math.Inf(-1)
	}
	return 10 * math.Log10(sum/float64(len(pcm))/(32768*32768))
}

// resemblance is how much a signal looks like itself one sample later: near 0
// for noise.
func resemblance(pcm []int16) float64 {
	var s sums
	for i := 1; i < len(pcm); i++ {
		a, b := float64(pcm[i-1]), float64(pcm[i])
		s.xx, s.xy, s.yy = s.xx+a*a, s.xy+a*b, s.yy+b*b
	}
	return math.Abs(s.correlation())
}

// align finds the lag at which heard resembles sent most, by
// cross-correlation through the frequency domain.
func align(sent, heard []int16) int {
	n := 1 << bits.Len(uint(len(sent)+len(heard)))
	// One transform serves both real signals: sent in the real part, heard in
	// the imaginary one, told apart by symmetry afterwards.
	z := make([]complex128, n)
	for i, v := range sent {
		z[i] = complex(float64(v), 0)
	}
	for i, v := range heard {
		z[i] += complex(0, float64(v))
	}
	transform(z)
	product := make([]complex128, n)
	for k := range z {
		a, b := z[k], z[(n-k)%n]
		b = complex(real(b), -imag(b))
		x, y := (a+b)/2, (a-b)/complex(0, 2)
		// conj(X)*Y, conjugated for an inverse by a forward transform.
		product[k] = x * complex(real(y), -imag(y))
	}
	transform(product)
	best, lag := 0.0, 0
	// Beyond these lags the signals do not meet, and the circle wraps around.
	for l := max(-maxLag, 1-len(sent)); l <= min(maxLag, len(heard)-1); l++ {
		if v := real(product[(l+n)%n]); v > best {
			best, lag = v, l
		}
	}
	return lag
}

// transform is the discrete Fourier transform in place; len(a) is a power of
// two.
func transform(a []complex128) {
	n := len(a)
	for i, j := 1, 0; i < n; i++ {
		bit := n >> 1
		for ; j&bit != 0; bit >>= 1 {
			j ^= bit
		}
		j ^= bit
		if i < j {
			a[i], a[j] = a[j], a[i]
		}
	}
	root := make([]complex128, n/2)
	for k := range root {
		sin, cos := math.Sincos(-2 * math.Pi * float64(k) / float64(n))
		root[k] = complex(cos, sin)
	}
	for size := 2; size <= n; size <<= 1 {
		half, stride := size/2, n/size
		for from := 0; from < n; from += size {
			for k := range half {
				u, v := a[from+k], a[from+k+half]*root[k*stride]
				a[from+k], a[from+k+half] = u+v, u-v
			}
		}
	}
}
