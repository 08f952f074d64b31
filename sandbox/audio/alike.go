package audio

import (
	"math"
	"time"
)

const (
	window = 256         // samples, 32 ms
	hop    = Rate / 100  // 10 ms
	bands  = 14          // between 200 and 3400 Hz
	near   = 0.75        // correlation that makes two sounds the same; two voices of Speech have less than 0.5
	floor  = 1e4 * 256.0 // energy that counts as silence
)

// Alike is Listen for codecs that keep the sound but not the wave: it compares
// how loud each band is over time. SNR has no meaning here; Loss is the share
// of the loud moments that are silent in what was heard.
func Alike(sent, heard []int16) Report {
	r := Report{Level: dBov(heard)}
	switch {
	case dBov(sent) < quiet:
		r.Reason = "nothing was sent"
		return r
	case r.Level < quiet:
		r.Loss, r.Reason = 1, "silence"
		return r
	}
	a, b := spectrum(sent), spectrum(heard)
	best := -1.0
	most := int(MaxDelay / (10 * time.Millisecond))
	for lag := -most; lag <= most; lag++ {
		if c := meet(a, b, lag); c > best {
			best, r.Delay = c, time.Duration(lag)*10*time.Millisecond
		}
	}
	r.Correlation = max(0, best)
	r.Loss = missing(a, b, int(r.Delay/(10*time.Millisecond)))
	if r.Same = best >= near && r.Loss < enough; !r.Same {
		r.Reason = "something else was heard"
	}
	return r
}

// CompareAlike is Alike for tracks that began at different moments, as Compare
// is Listen.
func CompareAlike(sent, heard Track) Report {
	sent.PCM, heard.PCM = together(sent, heard)
	return Alike(sent.PCM, heard.PCM)
}

// spectrum is the loudness of each band each 10 ms, in nepers.
func spectrum(pcm []int16) (s [][bands]float64) {
	z := make([]complex128, window)
	for at := 0; at+window <= len(pcm); at += hop {
		for i, v := range pcm[at : at+window] {
			z[i] = complex(float64(v)*(0.5-0.5*math.Cos(2*math.Pi*float64(i)/window)), 0)
		}
		transform(z)
		var frame [bands]float64
		for k := range frame {
			// Bands of equal width: 3200 Hz in parts, bins of 31.25 Hz.
			from, to := 6+k*102/bands, 6+(k+1)*102/bands
			energy := floor
			for _, c := range z[from:to] {
				energy += real(c)*real(c) + imag(c)*imag(c)
			}
			frame[k] = math.Log(energy)
		}
		s = append(s, frame)
	}
	return s
}

// meet correlates two spectra with b later by lag frames, each band about its
// mean; -1 when less than half of the shorter one meets.
func meet(a, b [][bands]float64, lag int) float64 {
	from, to := max(0, -lag), min(len(a), len(b)-lag)
	if to-from < max(10, min(len(a), len(b))/2) {
		return -1
	}
	var all sums
	n := float64(to - from)
	for k := range bands {
		var x, y, xx, xy, yy float64
		for i := from; i < to; i++ {
			u, v := a[i][k], b[i+lag][k]
			x, y, xx, xy, yy = x+u, y+v, xx+u*u, xy+u*v, yy+v*v
		}
		all.add(sums{xx: xx - x*x/n, xy: xy - x*y/n, yy: yy - y*y/n})
	}
	return all.correlation()
}

// missing is the share of the loud frames of a that are silent in b.
func missing(a, b [][bands]float64, lag int) float64 {
	loud, lost := 0, 0
	for i, frame := range a {
		if peak(frame) < math.Log(floor)+5 || i+lag >= len(b) && i >= len(a)-tail/hop {
			continue
		}
		loud++
		if k := i + lag; k < 0 || k >= len(b) || peak(b[k]) < math.Log(floor)+1 {
			lost++
		}
	}
	if loud == 0 {
		return 0
	}
	return float64(lost) / float64(loud)
}

func peak(frame [bands]float64) float64 {
	m := frame[0]
	for _, v := range frame[1:] {
		m = max(m, v)
	}
	return m
}
