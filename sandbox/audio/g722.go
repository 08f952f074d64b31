package audio

// G722Coder is G.722 at 64 kbit/s for a voice of 8 kHz: the lower of the codec's
// two bands is just that, so the filters that split and join 16 kHz are left
// out, and the upper band is coded as silence. What a far side says above 4
// kHz is not heard here.
type G722Coder struct{ low, high g722Band }

// NewG722 makes the coder of one stream and direction.
func NewG722() *G722Coder {
	return &G722Coder{low: g722Band{step: 32}, high: g722Band{step: 8}}
}

// Encode appends an octet per sample of pcm.
func (g *G722Coder) Encode(dst []byte, pcm []int16) []byte {
	for _, v := range pcm {
		low := g.low.quantise6(int(v) >> 1) // the band has 15 bits
		g.low.adapt4(low >> 2)
		high := g.high.quantise2(0)
		g.high.adapt2(high)
		dst = append(dst, byte(high<<6|low))
	}
	return dst
}

// Decode appends a sample per octet of payload.
func (g *G722Coder) Decode(dst []int16, payload []byte) []int16 {
	for _, b := range payload {
		low, high := int(b&0x3f), int(b>>6)
		v := limit(g.low.predicted+g.low.step*level6[low]>>15, -16384, 16383)
		g.low.adapt4(low >> 2)
		g.high.adapt2(high) // unheard, but there
		dst = append(dst, int16(v*2))
	}
	return dst
}

// Tables of ITU-T G.722, section 6.2. Levels are in units of 2^-15 of the step.
var (
	decision6 = [31]int{
		0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714,
		786, 858, 940, 1023, 1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919, 0,
	}
	negative6 = [31]int{0, 63, 62, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4}
	positive6 = [31]int{0, 61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43, 42, 41, 40, 39, 38, 37, 36, 35, 34, 33, 32}
	level6    = [64]int{
		-136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360, -8576, -7856,
		-7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360, -1040, -728,
		24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
		4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
	}
	level4  = [16]int{0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0}
	grow4   = [16]int{-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60}
	level2  = [4]int{-7408, -1616, 7408, 1616}
	grow2   = [4]int{798, -214, 798, -214}
	inverse = [32]int{
		2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
		2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
	}
)

// g722Band is the adaptive predictor and quantiser of one band.
type g722Band struct {
	step      int // DET
	log       int // NB, its logarithm
	predicted int // S
	zeros     int // SZ, the part of the six-zero section
	a         [2]int
	b         [6]int
	rebuilt   [2]int // R
	partial   [2]int // P
	steps     [6]int // D
}

// quantise6 gives the six bits of a difference from the prediction.
func (g *g722Band) quantise6(v int) int {
	e := saturate(v - g.predicted)
	magnitude := e
	if e < 0 {
		magnitude = -(e + 1)
	}
	i := 1
	for i < 30 && magnitude >= decision6[i]*g.step>>12 {
		i++
	}
	if e < 0 {
		return negative6[i]
	}
	return positive6[i]
}

// quantise2 gives the two bits.
func (g *g722Band) quantise2(v int) int {
	e := saturate(v - g.predicted)
	magnitude, sign := e, 2
	if e < 0 {
		magnitude, sign = -(e + 1), 0
	}
	if magnitude >= 564*g.step>>12 {
		return sign
	}
	return sign + 1
}

// adapt4 moves the lower band on by the upper four of its six bits.
func (g *g722Band) adapt4(code int) {
	difference := g.step * level4[code] >> 15
	g.log = limit(g.log*127>>7+grow4[code], 0, 18432)
	g.step = scale(g.log, 8)
	g.predict(difference)
}

// adapt2 moves the upper band on.
func (g *g722Band) adapt2(code int) {
	difference := g.step * level2[code] >> 15
	g.log = limit(g.log*127>>7+grow2[code], 0, 22528)
	g.step = scale(g.log, 10)
	g.predict(difference)
}

// scale makes a step of its logarithm.
func scale(log, shift int) int {
	v := inverse[log>>6&31]
	if by := shift - log>>11; by < 0 {
		v <<= -by
	} else {
		v >>= by
	}
	return v << 2
}

// predict is block 4 of the recommendation: the predictor adapts to the newest
// difference and makes the next prediction.
func (g *g722Band) predict(d int) {
	r, p := saturate(g.predicted+d), saturate(g.zeros+d)
	a := g.poles(p)
	gain := 128
	if d == 0 {
		gain = 0
	}
	for i, old := range g.steps {
		grow := gain
		if (old < 0) != (d < 0) {
			grow = -gain
		}
		g.b[i] = saturate(grow + g.b[i]*32640>>15)
	}
	copy(g.steps[1:], g.steps[:5])
	g.steps[0] = d
	g.rebuilt = [2]int{r, g.rebuilt[0]}
	g.partial = [2]int{p, g.partial[0]}
	g.a = a
	g.zeros = 0
	for i := range g.b {
		g.zeros += g.b[i] * saturate(2*g.steps[i]) >> 15
	}
	g.zeros = saturate(g.zeros)
	poles := saturate(g.a[0]*saturate(2*g.rebuilt[0])>>15 + g.a[1]*saturate(2*g.rebuilt[1])>>15)
	g.predicted = saturate(poles + g.zeros)
}

// poles are the next coefficients of the two-pole section.
func (g *g722Band) poles(p int) (a [2]int) {
	lean := saturate(4 * g.a[0])
	if (p < 0) == (g.partial[0] < 0) {
		lean = -lean
	}
	second := -128
	if (p < 0) == (g.partial[1] < 0) {
		second = 128
	}
	a[1] = limit(second+min(lean, 32767)>>7+g.a[1]*32512>>15, -12288, 12288)
	first := -192
	if (p < 0) == (g.partial[0] < 0) {
		first = 192
	}
	most := saturate(15360 - a[1])
	a[0] = limit(saturate(first+g.a[0]*32640>>15), -most, most)
	return a
}

func saturate(v int) int { return limit(v, -32768, 32767) }

func limit(v, least, most int) int { return min(max(v, least), most) }
