package audio

import (
	"slices"
	"sync"
)

// Law is one of the two companding laws of G.711.
type Law struct {
	name    string
	expand  [256]int16
	nearest func() *[1 << 16]byte // code word of each sample, plus 1<<15
}

type level struct {
	value int16
	code  byte
}

// The two laws.
var (
	ALaw  = newLaw("PCMA", expandA)
	MuLaw = newLaw("PCMU", expandMu)
)

func newLaw(name string, expand func(byte) int16) *Law {
	l := &Law{name: name}
	for c := range 256 {
		l.expand[c] = expand(byte(c))
	}
	l.nearest = sync.OnceValue(l.search)
	return l
}

// search finds the nearest code word of every sample, where others compute it,
// so as not to repeat anybody's arithmetic.
func (l *Law) search() *[1 << 16]byte {
	levels := make([]level, 256)
	for c := range levels {
		levels[c] = level{l.expand[c], byte(c)}
	}
	slices.SortFunc(levels, func(a, b level) int { return int(a.value) - int(b.value) })
	var table [1 << 16]byte
	i := 0
	for s := range table {
		v := s - 1<<15
		for i+1 < len(levels) && int(levels[i+1].value)-v < v-int(levels[i].value) {
			i++
		}
		table[s] = levels[i].code
	}
	return &table
}

// expandA follows G.711 table 1: even bits inverted, sign, three bits of
// segment, four of interval.
func expandA(c byte) int16 {
	c ^= 0x55
	v := int16(c&0x0f)<<4 + 8
	if seg := c >> 4 & 7; seg > 0 {
		v = (v + 0x100) << (seg - 1)
	}
	if c&0x80 == 0 {
		return -v
	}
	return v
}

// expandMu follows G.711 table 2: all bits inverted, a bias of 33 in 14 bits.
func expandMu(c byte) int16 {
	c = ^c
	v := (int16(c&0x0f)<<3+0x84)<<(c>>4&7) - 0x84
	if c&0x80 != 0 {
		return -v
	}
	return v
}

// String is the encoding name in SDP.
func (l *Law) String() string { return l.name }

// Decode appends the samples of code to dst.
func (l *Law) Decode(dst []int16, code []byte) []int16 {
	for _, c := range code {
		dst = append(dst, l.expand[c])
	}
	return dst
}

// Encode appends the code words nearest to pcm to dst.
func (l *Law) Encode(dst []byte, pcm []int16) []byte {
	nearest := l.nearest()
	for _, v := range pcm {
		dst = append(dst, nearest[int(v)+1<<15])
	}
	return dst
}
