package snapshot

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// NewNumbers builds the index. A number that is not E.164 or that stands
// twice is an error.
func NewNumbers(list ...Number) (Numbers, error) {
	var b NumbersBuilder
	for _, n := range list {
		if err := b.Add(n); err != nil {
			return Numbers{}, err
		}
	}
	return b.Build()
}

// NumbersBuilder collects numbers for an index, one by one, so that nobody has
// to hold them all as text. Until Build it keeps 24 bytes for a number, and some
// 200 for each kind with a header value that no other one has. The zero value is
// ready.
type NumbersBuilder struct {
	entries  []entry
	kinds    []kind
	kindOf   map[kindKey]uint32
	services []Service
	accounts []string
	whose    map[string]uint32
	elins    []elin
	text     []byte
	wordOf   map[string]word
	size     uint64
}

// entry is numbers on their way into a block.
type entry struct {
	first uint64
	count uint32
	kind  uint32
	order uint32 // of Add
}

type kindKey struct {
	kind
	elin word
}

// Twice is a number that was added twice.
type Twice struct {
	E164          string
	Before, After int // which calls of Add brought it, from 0
}

// Error names the number.
func (t Twice) Error() string { return "number " + t.E164 + " stands twice" }

// Twices are numbers that were added twice, ascending, a hundred at most.
type Twices []Twice

// Error is that of the first.
func (ts Twices) Error() string { return ts[0].Error() }

const (
	maxTwices = 100
	// maxNumbers bounds what a damaged file can ask for: a billion numbers, in
	// the fewest blocks, are half a megabyte.
	maxNumbers = 1_000_000_000
)

var errTooMany = errors.New("there are more numbers, or more different words about them, than an index holds")

// Add takes a number in. The error tells what is wrong with it; it is not taken
// in then.
func (b *NumbersBuilder) Add(x Number) error {
	first, ok := parseE164(x.E164)
	if !ok {
		return notE164("number", x.E164)
	}
	if _, ok := parseE164(x.ELIN); !ok && x.ELIN != "" {
		return notE164("ELIN", x.ELIN)
	}
	return b.add(first, 1, x)
}

func notE164(what, s string) error {
	return fmt.Errorf("%s %q is not E.164: write + and 1 to %d digits, country code first", what, s, maxDigits)
}

// add takes a run of numbers in, which are alike in all else.
func (b *NumbersBuilder) add(first uint64, count uint32, x Number) error {
	k, err := b.kind(x)
	if err != nil {
		return err
	}
	if b.size += uint64(count); b.size > maxNumbers {
		return errTooMany
	}
	b.entries = append(b.entries, entry{first, count, k, uint32(len(b.entries))})
	return nil
}

// kind finds the kind of a number, or makes it.
func (b *NumbersBuilder) kind(x Number) (uint32, error) {
	if b.kindOf == nil {
		b.kindOf, b.whose, b.wordOf = map[kindKey]uint32{}, map[string]uint32{}, map[string]word{}
	}
	service, err := b.service(x.Service)
	if err != nil {
		return 0, err
	}
	account, ok := b.whose[x.Account]
	if !ok {
		if account = uint32(len(b.accounts)); account == maxAccounts {
			return 0, errTooMany
		}
		b.whose[x.Account] = account
		b.accounts = append(b.accounts, x.Account)
	}
	header, err1 := b.word(x.Header)
	location, err2 := b.word(x.ELIN)
	if err := cmp.Or(err1, err2); err != nil {
		return 0, err
	}
	key := kindKey{kind{account<<serviceBits | service, header}, location}
	k, ok := b.kindOf[key]
	if !ok {
		k = uint32(len(b.kinds))
		b.kindOf[key] = k
		b.kinds = append(b.kinds, key.kind)
		if key.elin != 0 {
			b.elins = append(b.elins, elin{k, key.elin})
		}
	}
	return k, nil
}

func (b *NumbersBuilder) service(s Service) (uint32, error) {
	i := slices.Index(b.services, s)
	if i < 0 {
		if i = len(b.services); i == maxServices {
			return 0, fmt.Errorf("more than %d services among the numbers", maxServices)
		}
		b.services = append(b.services, s)
	}
	return uint32(i), nil
}

// word finds a word, or takes it in.
func (b *NumbersBuilder) word(s string) (word, error) {
	w, ok := b.wordOf[s]
	switch {
	case ok || s == "":
		return w, nil
	case len(s) > maxWord:
		return 0, fmt.Errorf("%q… is longer than %d bytes", s[:20], maxWord)
	case len(b.text)+1+len(s) > math.MaxUint32:
		return 0, errTooMany
	}
	b.text = append(b.text, byte(len(s)))
	w = word(len(b.text))
	b.text = append(b.text, s...)
	b.wordOf[s] = w
	return w, nil
}

// Build makes the index of what was added. The error is Twices when numbers
// were added twice. The builder is empty afterwards.
func (b *NumbersBuilder) Build() (Numbers, error) {
	n := Numbers{
		kinds: slices.Clip(b.kinds), elins: b.elins, words: string(b.text), accounts: b.accounts, services: b.services,
		size: int(b.size),
	}
	entries := b.entries
	*b = NumbersBuilder{}
	slices.SortFunc(entries, func(x, y entry) int {
		return cmp.Or(cmp.Compare(x.first, y.first), cmp.Compare(x.order, y.order))
	})
	if twice := meetings(entries); twice != nil {
		return Numbers{}, twice
	}
	count := 0
	lay(entries, func(block, uint32) { count++ })
	n.shelves = make([]shelf, (count+perShelf-1)/perShelf)
	n.fence = make([]block, len(n.shelves))
	i := 0
	lay(entries, func(x block, kind uint32) {
		n.shelves[i/perShelf].blocks[i%perShelf] = x
		n.shelves[i/perShelf].kinds[i%perShelf] = kind
		i++
	})
	for ; i%perShelf > 0; i++ {
		n.shelves[i/perShelf].blocks[i%perShelf] = noBlock
	}
	for i := range n.fence {
		n.fence[i] = n.shelves[i].blocks[0]
	}
	return n, nil
}

// meetings finds the numbers that two entries have.
func meetings(sorted []entry) error {
	var twice Twices
	var end uint64 // of what was before
	var last entry // that reaches it
	for _, x := range sorted {
		if x.first < end && len(twice) < maxTwices {
			twice = append(twice, Twice{formatE164(x.first), int(min(last.order, x.order)), int(max(last.order, x.order))})
		}
		if e := x.first + uint64(x.count); e > end {
			end, last = e, x
		}
	}
	if twice == nil {
		return nil
	}
	return twice
}

// lay cuts sorted entries into blocks: what continues is one, as long as a
// block can be, wherever it was cut before.
func lay(sorted []entry, put func(x block, kind uint32)) {
	for i := 0; i < len(sorted); {
		first, kind := sorted[i].first, sorted[i].kind
		end := first
		for i < len(sorted) && sorted[i].kind == kind && sorted[i].first == end {
			end += uint64(sorted[i].count)
			i++
		}
		for first < end {
			n := min(end-first, maxCount)
			put(makeBlock(first, int(n)), kind)
			first += n
		}
	}
}
