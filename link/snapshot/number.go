package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
)

// Number is what is known of one provisioned telephone number.
type Number struct {
	E164    string // with leading "+"
	Service Service
	Account string
}

// Numbers is the index of provisioned numbers: immutable, safe to share and
// to copy. The zero value is empty.
//
// It holds blocks, runs of consecutive numbers of one service and account,
// sorted. Numbers come in blocks almost everywhere; at worst a block is one
// number and costs 8+4+4 bytes and an eighth of one.
type Numbers struct {
	first    []uint64 // first number of each block << serviceBits | service
	count    []uint32 // numbers in the block
	account  []uint32 // index into accounts
	fence    []uint64 // every fenceStep-th of first, so that most of a search stays in the cache
	services []Service
	accounts []string
	size     int
}

const (
	// maxDigits is the longest E.164 number (ITU-T E.164 §6.1). 10^15 needs
	// 50 bits, which leaves room for the service in the same word.
	maxDigits   = 15
	serviceBits = 4
	serviceMask = 1<<serviceBits - 1
	// fenceStep: 64 blocks are 8 cache lines, and ten million blocks have
	// 156 250 fences, 1.25 MB, about a second level cache.
	fenceStep = 64
)

// NewNumbers builds the index. A number that is not E.164 or that stands
// twice is an error.
func NewNumbers(list ...Number) (Numbers, error) {
	b := builder{services: map[Service]uint64{}, accounts: map[string]uint32{}}
	b.entries = make([]entry, 0, len(list))
	for _, x := range list {
		n, ok := parseE164(x.E164)
		if !ok {
			return Numbers{}, fmt.Errorf("number %q is not E.164: write + and 1 to %d digits", x.E164, maxDigits)
		}
		if err := b.add(n, 1, x.Service, x.Account); err != nil {
			return Numbers{}, err
		}
	}
	return b.build()
}

// Len is how many numbers there are.
func (n Numbers) Len() int { return n.size }

// Find looks up an E.164 number with its leading "+".
func (n Numbers) Find(e164 string) (Number, bool) {
	v, ok := parseE164(e164)
	if !ok || len(n.first) == 0 {
		return Number{}, false
	}
	i, ok := n.block(v)
	if !ok || v-n.first[i]>>serviceBits >= uint64(n.count[i]) {
		return Number{}, false
	}
	return Number{e164, n.services[n.first[i]&serviceMask], n.accounts[n.account[i]]}, true
}

// block finds the last block that begins at v or before.
func (n Numbers) block(v uint64) (int, bool) {
	key := v<<serviceBits | serviceMask // not less than v's with any service
	lo := (upperBound(n.fence, key) - 1) * fenceStep
	if lo < 0 {
		return 0, false
	}
	hi := min(lo+fenceStep, len(n.first))
	return lo + upperBound(n.first[lo:hi], key) - 1, true
}

// upperBound is the index of the first element greater than key.
func upperBound(a []uint64, key uint64) int {
	lo, hi := 0, len(a)
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); a[mid] <= key {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// All gives every number, ascending.
func (n Numbers) All() iter.Seq[Number] {
	return func(yield func(Number) bool) {
		for i, first := range n.first {
			for k := range uint64(n.count[i]) {
				x := Number{formatE164(first>>serviceBits + k), n.services[first&serviceMask], n.accounts[n.account[i]]}
				if !yield(x) {
					return
				}
			}
		}
	}
}

// Equal tells whether both hold the same numbers.
func (n Numbers) Equal(m Numbers) bool {
	if n.size != m.size || len(n.first) != len(m.first) {
		return false
	}
	for i := range n.first {
		if n.first[i]>>serviceBits != m.first[i]>>serviceBits || n.count[i] != m.count[i] ||
			n.services[n.first[i]&serviceMask] != m.services[m.first[i]&serviceMask] ||
			n.accounts[n.account[i]] != m.accounts[m.account[i]] {
			return false
		}
	}
	return true
}

// numbersJSON is the form in JSON: a block is its first number, how many
// there are, and the indexes of service and account.
type numbersJSON struct {
	Services []Service   `json:"services"`
	Accounts []string    `json:"accounts"`
	Blocks   [][4]uint64 `json:"blocks"`
}

// MarshalJSON writes the blocks.
func (n Numbers) MarshalJSON() ([]byte, error) {
	j := numbersJSON{n.services, n.accounts, make([][4]uint64, len(n.first))}
	for i, first := range n.first {
		j.Blocks[i] = [4]uint64{first >> serviceBits, uint64(n.count[i]), first & serviceMask, uint64(n.account[i])}
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads the blocks and builds the index anew, so that a
// damaged file cannot make look-ups lie.
func (n *Numbers) UnmarshalJSON(data []byte) error {
	var j numbersJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return fmt.Errorf("read numbers: %w", err)
	}
	b := builder{services: map[Service]uint64{}, accounts: map[string]uint32{}}
	b.entries = make([]entry, 0, len(j.Blocks))
	for _, x := range j.Blocks {
		if x[0] == 0 || x[0] >= pow10(maxDigits) || x[1] == 0 || x[1] > pow10(maxDigits)-x[0] || x[1] > 1<<32-1 ||
			x[2] >= uint64(len(j.Services)) || x[3] >= uint64(len(j.Accounts)) {
			return fmt.Errorf("read numbers: block %v is impossible", x)
		}
		if err := b.add(x[0], uint32(x[1]), j.Services[x[2]], j.Accounts[x[3]]); err != nil {
			return fmt.Errorf("read numbers: %w", err)
		}
	}
	read, err := b.build()
	if err != nil {
		return fmt.Errorf("read numbers: %w", err)
	}
	*n = read
	return nil
}

// builder collects blocks and joins those that touch.
type builder struct {
	entries  []entry
	services map[Service]uint64
	accounts map[string]uint32
	names    []string // of accounts, by index
	kinds    []Service
}

type entry struct {
	first   uint64
	count   uint32
	account uint32
}

func (b *builder) add(n uint64, count uint32, s Service, account string) error {
	service, ok := b.services[s]
	if !ok {
		if len(b.kinds) > serviceMask {
			return errors.New("more than 16 services among the numbers")
		}
		service = uint64(len(b.kinds))
		b.services[s] = service
		b.kinds = append(b.kinds, s)
	}
	ref, ok := b.accounts[account]
	if !ok {
		ref = uint32(len(b.names))
		b.accounts[account] = ref
		b.names = append(b.names, account)
	}
	b.entries = append(b.entries, entry{n<<serviceBits | service, count, ref})
	return nil
}

func (b *builder) build() (Numbers, error) {
	slices.SortFunc(b.entries, func(x, y entry) int {
		switch {
		case x.first < y.first:
			return -1
		case x.first > y.first:
			return 1
		}
		return 0
	})
	blocks, size, err := join(b.entries)
	if err != nil {
		return Numbers{}, err
	}
	n := Numbers{
		first:    make([]uint64, len(blocks)),
		count:    make([]uint32, len(blocks)),
		account:  make([]uint32, len(blocks)),
		fence:    make([]uint64, 0, (len(blocks)+fenceStep-1)/fenceStep),
		services: b.kinds,
		accounts: b.names,
		size:     size,
	}
	for i, x := range blocks {
		n.first[i], n.count[i], n.account[i] = x.first, x.count, x.account
		if i%fenceStep == 0 {
			n.fence = append(n.fence, x.first)
		}
	}
	return n, nil
}

// join merges, in place, sorted entries that continue each other.
func join(entries []entry) (blocks []entry, size int, err error) {
	blocks = entries[:0]
	for _, x := range entries {
		size += int(x.count)
		if len(blocks) == 0 {
			blocks = append(blocks, x)
			continue
		}
		last := &blocks[len(blocks)-1]
		end := last.first>>serviceBits + uint64(last.count)
		switch n := x.first >> serviceBits; {
		case n < end:
			return nil, 0, fmt.Errorf("number %s stands twice", formatE164(n))
		case n == end && x.account == last.account && x.first&serviceMask == last.first&serviceMask && uint64(last.count)+uint64(x.count) <= 1<<32-1:
			last.count += x.count
		default:
			blocks = append(blocks, x)
		}
	}
	return blocks, size, nil
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

func pow10(n int) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}
