package codec

import "math"

// G.722 at 64 kbit/s, the only mode RTP carries (RFC 3551 4.5.2): two bands
// split by a quadrature mirror filter, each an ADPCM with a predictor of two
// poles and six zeros. Names of blocks in capitals are those of ITU-T G.722
// clause 6.2, whose arithmetic on 16-bit words this follows to the bit.

// qmf is the filter of both directions (ITU-T G.722 table 11), the half that
// is symmetric to the other, times 2^13.
var qmf = [12]int32{3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11}

// Tables 14 to 21: decision levels, inverse quantisers, scale factors.
var (
	q6 = [31]int32{
		0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858,
		940, 1023, 1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919, math.MaxInt32,
	}
	qm6 = [64]int32{
		-136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360, -8576, -7856,
		-7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360, -1040, -728,
		24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
		4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
	}
	qm4 = [16]int32{
		0, -20456, -12896, -8968, -6288, -4240, -2584, -1200,
		20456, 12896, 8968, 6288, 4240, 2584, 1200, 0,
	}
	wl  = [16]int32{-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60}
	qm2 = [4]int32{-7408, -1616, 7408, 1616}
	wh  = [4]int32{798, -214, 798, -214}
	ilb = [32]int32{
		2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
		2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
	}
)

const q2 = 564 // the one decision level of the higher band

func sat(v int32) int32 { return max(math.MinInt16, min(math.MaxInt16, v)) }

// band is one ADPCM: what coder and decoder keep alike.
type band struct {
	s, sz  int32    // predicted signal, and the part of it from the zeros
	det    int32    // step size
	nb     int32    // its logarithm
	a1, a2 int32    // poles
	b      [6]int32 // zeros
	d      [6]int32 // quantised differences, the newest first
	r1, r2 int32    // reconstructed signals
	p1, p2 int32    // and those without the poles
}

// scale follows the step size: LOGSCL and SCALEL, LOGSCH and SCALEH. high is 0
// for the lower band and 2 for the higher.
func (b *band) scale(w, limit int32, high int32) {
	b.nb = max(0, min(limit, b.nb*127>>7+w))
	step, shift := ilb[b.nb>>6&31], 8+high-b.nb>>11
	if shift < 0 {
		b.det = step << -shift << 2
	} else {
		b.det = step >> shift << 2
	}
}

// predict adapts to the difference dx and predicts the next sample: BLOCK4L,
// BLOCK4H.
func (b *band) predict(dx int32) {
	r := sat(b.s + dx)  // RECONS
	p := sat(b.sz + dx) // PARREC

	// UPPOL2
	w := sat(b.a1 << 2)
	if p>>15 == b.p1>>15 {
		w = -w
	}
	a2 := min(w, math.MaxInt16)>>7 + b.a2*32512>>15
	if p>>15 == b.p2>>15 {
		a2 += 128
	} else {
		a2 -= 128
	}
	a2 = max(-12288, min(12288, a2))

	// UPPOL1
	a1 := b.a1 * 32640 >> 15
	if p>>15 == b.p1>>15 {
		a1 += 192
	} else {
		a1 -= 192
	}
	limit := sat(15360 - a2)
	a1 = max(-limit, min(limit, sat(a1)))

	// UPZERO, DELAYL and FILTEZ in one go: each zero adapts to its own
	// difference and then filters the one that moves into its place.
	gain := int32(128)
	if dx == 0 {
		gain = 0
	}
	var sz int32
	moving := dx
	for i := range b.b {
		g := gain
		if b.d[i]>>15 != dx>>15 {
			g = -g
		}
		b.b[i] = sat(b.b[i]*32640>>15 + g)
		moving, b.d[i] = b.d[i], moving
		sz += b.b[i] * sat(2*b.d[i]) >> 15
	}

	b.a1, b.a2 = a1, a2
	b.r1, b.r2 = r, b.r1
	b.p1, b.p2 = p, b.p1
	b.sz = sat(sz)
	sp := sat(a1*sat(2*b.r1)>>15 + a2*sat(2*b.r2)>>15) // FILTEP
	b.s = sat(sp + b.sz)                               // PREDIC
}

// lower takes the difference of the code's upper four bits in: they alone
// drive both predictors, so that the two lowest may carry data.
func (b *band) lower(code int32) {
	code >>= 2
	dx := b.det * qm4[code] >> 15
	b.scale(wl[code], 18432, 0)
	b.predict(dx)
}

func (b *band) higher(code int32) int32 {
	dx := b.det * qm2[code] >> 15
	b.scale(wh[code], 22528, 2)
	s := b.s
	b.predict(dx)
	return s + dx
}

// g722 is a coder's or a decoder's state.
type g722 struct {
	low, high band
	x         [24]int32 // samples in the mirror filter, the newest last
}

func newG722() g722 { return g722{low: band{det: 32}, high: band{det: 8}} }

// filter moves two values in and gives both sums.
func (g *g722) filter(a, b int32) (even, odd int32) {
	copy(g.x[:22], g.x[2:])
	g.x[22], g.x[23] = a, b
	for i, c := range qmf {
		odd += g.x[2*i] * c
		even += g.x[2*i+1] * qmf[11-i]
	}
	return even, odd
}

func (g *g722) encode(a, b int16) byte {
	even, odd := g.filter(int32(a), int32(b))
	low, high := (even+odd)>>14, (even-odd)>>14
	cl := g.low.quantise6(sat(low - g.low.s))
	ch := g.high.quantise2(sat(high - g.high.s))
	g.low.lower(cl)
	g.high.higher(ch)
	return byte(ch<<6 | cl)
}

// quantise6 is QUANTL.
func (b *band) quantise6(e int32) int32 {
	mag := e
	if e < 0 {
		mag = ^e
	}
	i := int32(1)
	for i < 30 && mag >= q6[i]*b.det>>12 {
		i++
	}
	switch {
	case e >= 0:
		return 62 - i // table 17: 61 down to 32
	case i <= 2:
		return 64 - i // 63, 62
	}
	return 34 - i // 31 down to 4
}

// quantise2 is QUANTH.
func (b *band) quantise2(e int32) int32 {
	mag, code := e, int32(3)
	if e < 0 {
		mag, code = ^e, 1
	}
	if mag >= q2*b.det>>12 {
		code--
	}
	return code
}

func (g *g722) decode(c byte) (a, b int16) {
	cl, ch := int32(c&0x3f), int32(c>>6)
	low := max(-16384, min(16383, g.low.s+g.low.det*qm6[cl]>>15))
	g.low.lower(cl)
	high := max(-16384, min(16383, g.high.higher(ch)))
	even, odd := g.filter(low+high, low-high)
	return int16(sat(even >> 11)), int16(sat(odd >> 11))
}

type g722Decoder struct {
	g722
	loss concealer
}

func newG722Decoder(f Format) (Decoder, error) {
	return &g722Decoder{newG722(), newConcealer(f.Rate)}, nil
}

func (d *g722Decoder) Decode(dst []int16, payload []byte) ([]int16, error) {
	n := len(dst)
	for _, c := range payload {
		a, b := d.decode(c)
		dst = append(dst, a, b)
	}
	d.loss.heard(dst[n:])
	return dst, nil
}

func (d *g722Decoder) Conceal(dst []int16) []int16 { return d.loss.conceal(dst) }

// Idle: pauses are described beside the codec (RFC 3389).
func (d *g722Decoder) Idle(dst []int16) []int16 { return dst }

func (d *g722Decoder) Close() {}

type g722Encoder struct{ g722 }

func newG722Encoder(Format) (Encoder, error) { return &g722Encoder{newG722()}, nil }

func (e *g722Encoder) Encode(dst []byte, pcm []int16) ([]byte, error) {
	if len(pcm)%2 != 0 {
		return dst, errFrames
	}
	for ; len(pcm) > 0; pcm = pcm[2:] {
		dst = append(dst, e.encode(pcm[0], pcm[1]))
	}
	return dst, nil
}

func (e *g722Encoder) Close() {}
