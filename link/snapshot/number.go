package snapshot

import (
	"iter"
	"strconv"
)

// Number is what is known of one provisioned telephone number.
type Number struct {
	E164    string // with leading "+"
	Service Service
	Account string // name of the account whose it is
	Header  string // its value of the gateway's custom header; empty: its calls bear none
	ELIN    string // number that its emergency calls come from where their location names none, E.164; empty: none
}

// Numbers is the index of provisioned numbers: immutable, safe to share and
// to copy. The zero value is empty.
//
// It holds blocks, runs of consecutive numbers that are of one kind: alike in
// all but the number. Numbers come in blocks almost everywhere. At worst a
// block is one number, and costs 12 bytes and an eighth of one; every kind
// costs 8 bytes more, and every value of the custom header its length and one.
// So ten million scattered numbers are 12.1 bytes each in a thousand accounts,
// and 21.1 and the length of the value each when no two have the same value
// (BenchmarkNumbersFind): beyond 18 characters such a value costs more than
// the 40 bytes that a number is allowed. A look-up among them takes 0.6 µs, and
// 0.8 µs where no two values are the same: it waits for memory four to six times.
type Numbers struct {
	shelves  []shelf
	fence    []block // the first of each shelf, so that most of a search stays in the cache
	kinds    []kind
	elins    []elin // by kind, ascending; few kinds have one
	words    string
	accounts []string
	services []Service
	size     int
}

// shelf is some blocks, ascending, and the index of the kind of each. Both are
// near each other, since a look-up is as slow as the memory that it waits for.
// What the last shelf has left holds no numbers.
type shelf struct {
	blocks [perShelf]block
	kinds  [perShelf]uint32
}

// block is the first number of a run << countBits | how many follow it.
type block uint64

const noBlock = ^block(0) // after every other

// kind is what the numbers of a block have in common.
type kind struct {
	whose  uint32 // index of the account << serviceBits | index of the service
	header word
}

type elin struct {
	kind uint32
	word word
}

const (
	// maxDigits is the longest E.164 number (ITU-T E.164 §6.1). 10^15 needs
	// 50 bits, which leaves 14 for the length of the block.
	maxDigits   = 15
	countBits   = 14
	maxCount    = 1 << countBits
	serviceBits = 4
	maxServices = 1 << serviceBits
	maxAccounts = 1 << (32 - serviceBits)
	// perShelf: 64 blocks are 8 cache lines, and ten million blocks have
	// 156 250 fences, 1.25 MB, about a second level cache.
	perShelf = 64
)

func makeBlock(first uint64, count int) block { return block(first<<countBits | uint64(count-1)) }

func (b block) first() uint64 { return uint64(b >> countBits) }
func (b block) count() int    { return int(b&(maxCount-1)) + 1 }
func (b block) end() uint64   { return b.first() + uint64(b.count()) }

// Len is how many numbers there are.
func (n Numbers) Len() int { return n.size }

// Find looks up an E.164 number with its leading "+". It allocates nothing.
func (n Numbers) Find(e164 string) (Number, bool) {
	v, ok := parseE164(e164)
	if !ok {
		return Number{}, false
	}
	last := makeBlock(v, maxCount) // not before any block that begins at v
	before := func(b block) bool { return b <= last }
	i := upperBound(n.fence, before) - 1
	if i < 0 {
		return Number{}, false
	}
	s := &n.shelves[i]
	k := upperBound(s.blocks[:], before) - 1 // at least 0, as the fence says
	if v >= s.blocks[k].end() {
		return Number{}, false
	}
	return n.number(e164, s.kinds[k]), true
}

// number puts the parts of a number together.
func (n Numbers) number(e164 string, of uint32) Number {
	k := n.kinds[of]
	x := Number{
		E164: e164, Service: n.services[k.whose%maxServices],
		Account: n.accounts[k.whose>>serviceBits], Header: k.header.in(n.words),
	}
	if len(n.elins) > 0 {
		if i := upperBound(n.elins, func(e elin) bool { return e.kind <= of }) - 1; i >= 0 && n.elins[i].kind == of {
			x.ELIN = n.elins[i].word.in(n.words)
		}
	}
	return x
}

// upperBound is the index of the first element that is not before.
func upperBound[T any](a []T, before func(T) bool) int {
	lo, hi := 0, len(a)
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); before(a[mid]) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// each gives every block, ascending, with the index of its kind.
func (n Numbers) each() iter.Seq2[block, uint32] {
	return func(yield func(block, uint32) bool) {
		for i := range n.shelves {
			for k, b := range n.shelves[i].blocks {
				if b == noBlock || !yield(b, n.shelves[i].kinds[k]) {
					return
				}
			}
		}
	}
}

// All gives every number, ascending.
func (n Numbers) All() iter.Seq[Number] {
	return func(yield func(Number) bool) {
		for b, kind := range n.each() {
			for k := range b.count() {
				if !yield(n.number(formatE164(b.first()+uint64(k)), kind)) {
					return
				}
			}
		}
	}
}

// IsZero tells whether there are none.
func (n Numbers) IsZero() bool { return n.size == 0 }

// Equal tells whether both hold the same numbers.
func (n Numbers) Equal(m Numbers) bool {
	if n.size != m.size || len(n.shelves) != len(m.shelves) {
		return false
	}
	for i := range n.shelves {
		x, y := &n.shelves[i], &m.shelves[i]
		if x.blocks != y.blocks {
			return false
		}
		for k, b := range x.blocks {
			if b != noBlock && n.number("", x.kinds[k]) != m.number("", y.kinds[k]) {
				return false
			}
		}
	}
	return true
}

// word is where a string begins in the text that holds them all, each once and
// behind its length. 0 is the empty one.
type word uint32

const maxWord = 255

func (w word) in(text string) string {
	if w == 0 {
		return ""
	}
	return text[w : int(w)+int(text[w-1])]
}

// IsE164 tells whether s is a number with its leading "+", as the index takes
// it.
func IsE164(s string) bool {
	_, ok := parseE164(s)
	return ok
}

// parseE164 reads "+" and digits; a country code never begins with 0.
func parseE164(s string) (uint64, bool) {
	if len(s) < 2 || len(s) > 1+maxDigits || s[0] != '+' || s[1] == '0' {
		return 0, false
	}
	var n uint64
	for i := 1; i < len(s); i++ {
		d := s[i] - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + uint64(d)
	}
	return n, true
}

func formatE164(n uint64) string {
	var buf [1 + 20]byte
	buf[0] = '+'
	return string(strconv.AppendUint(buf[:1], n, 10))
}
