package codec

import "math/bits"

// Law is one of the two G.711 encodings.
type Law uint8

// The laws, with their static RTP payload numbers (RFC 3551 table 4).
const (
	MuLaw Law = 0 // PCMU
	ALaw  Law = 8 // PCMA
)

// Encode appends one octet per sample to dst.
func (l Law) Encode(dst []byte, pcm []int16) []byte {
	for _, s := range pcm {
		if l == ALaw {
			dst = append(dst, encodeA(s))
		} else {
			dst = append(dst, encodeMu(s))
		}
	}
	return dst
}

// Decode appends one sample per octet to dst.
func (l Law) Decode(dst []int16, b []byte) []int16 {
	table := &muTable
	if l == ALaw {
		table = &aTable
	}
	for _, c := range b {
		dst = append(dst, table[c])
	}
	return dst
}

// Silence is the code of the quietest sample.
func (l Law) Silence() byte {
	if l == ALaw {
		return 0xd5
	}
	return 0xff
}

// encodeA compresses to A-law: ITU-T G.711 table 1, in the arithmetic of the
// ITU-T G.191 reference. Every other bit is inverted on the line.
func encodeA(s int16) byte {
	sign := byte(0x80)
	if s < 0 {
		s, sign = ^s, 0
	}
	v := uint16(s) >> 4 // 11 bits of magnitude
	if v > 15 {         // a segment: the exponent, and 4 bits after the leading one
		exp := bits.Len16(v) - 4
		v = uint16(exp)<<4 | v>>(exp-1)&0x0f
	}
	return (sign | byte(v)) ^ 0x55
}

// encodeMu compresses to µ-law: ITU-T G.711 table 2, likewise. All bits are
// inverted on the line.
func encodeMu(s int16) byte {
	sign := byte(0x80)
	if s < 0 {
		s, sign = ^s, 0
	}
	const bias, clip = 33, 0x1fff
	v := min(uint16(s)>>2+bias, clip) // 13 bits of magnitude
	exp := bits.Len16(v) - 6
	return sign | ^(byte(exp)<<4|byte(v>>(exp+1)&0x0f))&0x7f
}

var aTable, muTable = tables()

func tables() (a, mu [256]int16) {
	for c := range 256 {
		a[c], mu[c] = decodeA(byte(c)), decodeMu(byte(c))
	}
	return a, mu
}

// decodeA gives the middle of the code's interval.
func decodeA(c byte) int16 {
	c ^= 0x55
	exp, v := c>>4&7, int16(c&0x0f)<<4+8
	if exp > 0 {
		v = (v + 0x100) << (exp - 1)
	}
	if c&0x80 == 0 {
		return -v
	}
	return v
}

// decodeMu gives the middle of the code's interval.
func decodeMu(c byte) int16 {
	const bias = 33 << 2
	c = ^c
	v := (int16(c&0x0f)<<3+bias)<<(c>>4&7) - bias
	if c&0x80 != 0 {
		return -v
	}
	return v
}

func (l Law) decoder(f Format) (Decoder, error) {
	return &lawDecoder{law: l, loss: newConcealer(f.Rate)}, nil
}

func (l Law) encoder(Format) (Encoder, error) { return lawEncoder{l}, nil }

type lawDecoder struct {
	law  Law
	loss concealer
}

func (d *lawDecoder) Decode(dst []int16, payload []byte) ([]int16, error) {
	n := len(dst)
	dst = d.law.Decode(dst, payload)
	d.loss.heard(dst[n:])
	return dst, nil
}

func (d *lawDecoder) Conceal(dst []int16) []int16 { return d.loss.conceal(dst) }

// Idle: pauses are described beside the codec (RFC 3389).
func (d *lawDecoder) Idle(dst []int16) []int16 { return dst }

func (d *lawDecoder) Close() {}

type lawEncoder struct{ law Law }

func (e lawEncoder) Encode(dst []byte, pcm []int16) ([]byte, error) {
	return e.law.Encode(dst, pcm), nil
}

func (lawEncoder) Close() {}
