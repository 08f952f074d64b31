package codec

import "math"

// concealer hides lost packets of a codec that has no way of its own: speech
// goes on with its last pitch periods, fading (ITU-T G.711 Appendix I, but
// without that algorithm's delay of 3.75 ms: the seam is bridged by a fading
// offset instead of by an overlap).
type concealer struct {
	rate int
	last int     // samples of the last good packet
	past []int16 // what was played, newest last

	gone   int // samples made up since the last good one
	cycle  []int16
	period int     // of pitch
	pos    int     // in cycle
	offset float32 // of the seam, fading
	made   []int16
}

func newConcealer(rate int) concealer {
	longest := rate * 15 / 1000 // pitch of 66 Hz
	return concealer{
		rate: rate, last: rate / 50,
		past:  make([]int16, 3*longest+longest/4+1),
		cycle: make([]int16, 0, 3*longest),
		made:  make([]int16, 0, rate/50),
	}
}

// heard keeps what was decoded, after fading over to it from what was made
// up: 4 ms for each 10 ms lost, at most 10.
func (c *concealer) heard(pcm []int16) {
	if len(pcm) == 0 {
		return
	}
	c.last = len(pcm)
	if c.gone > 0 {
		n := min(len(pcm), c.rate/100, c.rate/250*(1+c.gone*100/c.rate))
		c.made = c.make(c.made[:0], n)
		for i, m := range c.made {
			w := float32(i+1) / float32(n+1)
			pcm[i] = int16(float32(m)*(1-w) + float32(pcm[i])*w)
		}
		c.gone = 0
	}
	c.keep(pcm)
}

func (c *concealer) keep(pcm []int16) {
	pcm = pcm[max(0, len(pcm)-len(c.past)):]
	copy(c.past, c.past[len(pcm):])
	copy(c.past[len(c.past)-len(pcm):], pcm)
}

// conceal appends a packet's worth.
func (c *concealer) conceal(dst []int16) []int16 {
	if c.gone == 0 {
		c.begin()
	}
	return c.make(dst, c.last)
}

func (c *concealer) begin() {
	c.period = c.pitch()
	n := len(c.past)
	c.offset = float32(c.past[n-1]) - float32(c.past[n-1-c.period])
	c.repeat(1)
	c.pos = 0
}

// repeat makes the cycle of the last periods; its end fades over to what came
// before its beginning, so that it closes.
func (c *concealer) repeat(periods int) {
	n, size, fade := len(c.past), periods*c.period, c.period/4
	c.cycle = append(c.cycle[:0], c.past[n-size:]...)
	for i := range fade {
		w := float32(i+1) / float32(fade+1)
		at := size - fade + i
		c.cycle[at] = int16(float32(c.cycle[at])*(1-w) + float32(c.past[n-size-fade+i])*w)
	}
}

// make appends n samples and moves on.
func (c *concealer) make(dst []int16, n int) []int16 {
	step := c.rate / 100 // 10 ms
	for range n {
		// From 10 ms on two, from 20 ms on three periods: one alone begins to buzz.
		// All begin alike, so that the change is not heard.
		if c.gone == step || c.gone == 2*step {
			c.repeat(1 + c.gone/step)
		}
		// The first 10 ms have their full level, the rest loses a fifth every 10 ms.
		gain := 1 - 0.2*float32(max(0, c.gone-step))/float32(step)
		c.gone++
		if gain <= 0 {
			dst = append(dst, 0)
			continue
		}
		v := (float32(c.cycle[c.pos]) + c.offset) * gain
		c.offset *= 1 - 500/float32(c.rate) // 2 ms
		c.pos = (c.pos + 1) % len(c.cycle)
		dst = append(dst, int16(max(math.MinInt16, min(math.MaxInt16, v))))
	}
	return dst
}

// pitch is the lag, between 5 and 15 ms, at which the last 20 ms resemble what
// was before most: first at 4000 samples a second, then exactly.
func (c *concealer) pitch() int {
	coarse := c.rate / 4000
	lag := c.best(c.rate*5/1000, c.rate*15/1000, coarse, coarse)
	return c.best(max(c.rate*5/1000, lag-coarse+1), min(c.rate*15/1000, lag+coarse-1), 1, 1)
}

func (c *concealer) best(from, to, step, thin int) (lag int) {
	window := c.past[len(c.past)-c.rate*20/1000:]
	top := float32(math.Inf(-1))
	for l := from; l <= to; l += step {
		before := c.past[len(c.past)-len(window)-l:]
		var xy, yy float32 = 0, 1
		for i := 0; i < len(window); i += thin {
			x, y := float32(window[i]), float32(before[i])
			xy, yy = xy+x*y, yy+y*y
		}
		if r := xy / float32(math.Sqrt(float64(yy))); r > top {
			top, lag = r, l
		}
	}
	return lag
}
