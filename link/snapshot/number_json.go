package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// numbersJSON is the form in JSON. A kind is the indexes of its service and
// account, and those of its header and its ELIN among the words, from 1, with 0
// for none; a block is its first number, how many numbers it has, and the index
// of its kind.
type numbersJSON struct {
	Services []Service       `json:"services"`
	Accounts []string        `json:"accounts"`
	Words    []string        `json:"words"`
	Kinds    json.RawMessage `json:"kinds"`
	Blocks   json.RawMessage `json:"blocks"`
}

// MarshalJSON writes the blocks.
func (n Numbers) MarshalJSON() ([]byte, error) {
	j := numbersJSON{Services: n.services, Accounts: n.accounts, Words: []string{}}
	begins := []word{0} // of each word, ascending
	for w := word(1); int(w) <= len(n.words); w += word(n.words[w-1]) + 1 {
		j.Words = append(j.Words, w.in(n.words))
		begins = append(begins, w)
	}
	index := func(w word) uint64 {
		i, _ := slices.BinarySearch(begins, w)
		return uint64(i)
	}
	var rows rows
	elins := n.elins
	for i, k := range n.kinds {
		var location word
		if len(elins) > 0 && elins[0].kind == uint32(i) {
			location, elins = elins[0].word, elins[1:]
		}
		rows.put(uint64(k.whose%maxServices), uint64(k.whose>>serviceBits), index(k.header), index(location))
	}
	j.Kinds = rows.end()
	rows = make([]byte, 0, 24*perShelf*len(n.shelves))
	for b, kind := range n.each() {
		rows.put(b.first(), uint64(b.count()), uint64(kind))
	}
	j.Blocks = rows.end()
	return json.Marshal(j)
}

// UnmarshalJSON reads the blocks and builds the index anew, so that a
// damaged file cannot make look-ups lie.
func (n *Numbers) UnmarshalJSON(data []byte) error {
	read, err := readNumbers(data)
	if err != nil {
		return fmt.Errorf("read numbers: %w", err)
	}
	*n = read
	return nil
}

func readNumbers(data []byte) (Numbers, error) {
	var j numbersJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return Numbers{}, err
	}
	word := func(i uint64) string {
		if i == 0 {
			return ""
		}
		return j.Words[i-1]
	}
	var kinds []Number
	err := eachRow(j.Kinds, 4, func(x []uint64) error {
		words := uint64(len(j.Words))
		if x[0] >= uint64(len(j.Services)) || x[1] >= uint64(len(j.Accounts)) || x[2] > words || x[3] > words {
			return fmt.Errorf("kind %v is impossible", x)
		}
		k := Number{Service: j.Services[x[0]], Account: j.Accounts[x[1]], Header: word(x[2]), ELIN: word(x[3])}
		if _, ok := parseE164(k.ELIN); !ok && k.ELIN != "" {
			return notE164("ELIN", k.ELIN)
		}
		kinds = append(kinds, k)
		return nil
	})
	if err != nil {
		return Numbers{}, err
	}
	var b NumbersBuilder
	err = eachRow(j.Blocks, 3, func(x []uint64) error {
		if x[0] == 0 || x[0] >= pow10(maxDigits) || x[1] == 0 || x[1] > pow10(maxDigits)-x[0] || x[1] > math.MaxUint32 || x[2] >= uint64(len(kinds)) {
			return fmt.Errorf("block %v is impossible", x)
		}
		return b.add(x[0], uint32(x[1]), kinds[x[2]])
	})
	if err != nil {
		return Numbers{}, err
	}
	return b.Build()
}

// rows is a list of lists of numbers in JSON, being written. encoding/json
// would take minutes for ten million.
type rows []byte

func (r *rows) put(row ...uint64) {
	for i, x := range row {
		switch {
		case i > 0:
			*r = append(*r, ',')
		case len(*r) == 0:
			*r = append(*r, '[', '[')
		default:
			*r = append(*r, ',', '[')
		}
		*r = strconv.AppendUint(*r, x, 10)
	}
	*r = append(*r, ']')
}

func (r rows) end() json.RawMessage {
	if len(r) == 0 {
		return json.RawMessage("[]")
	}
	return json.RawMessage(append(r, ']'))
}

var errRows = errors.New("not a list of lists of numbers")

// eachRow reads a list of lists of as many numbers as a row has; data is known
// to be JSON.
func eachRow(data []byte, wide int, f func(row []uint64) error) error {
	row := make([]uint64, wide)
	depth, column, digits := 0, 0, 0
	for _, c := range data {
		switch {
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
		case c == '[' && depth < 2:
			depth, column, digits = depth+1, 0, 0
			clear(row)
		case c >= '0' && c <= '9' && depth == 2 && column < wide && digits < 19:
			row[column] = row[column]*10 + uint64(c-'0')
			digits++
		case c == ',' && depth == 2:
			column, digits = column+1, 0
		case c == ']' && depth == 2:
			if column != wide-1 {
				return errRows
			}
			if err := f(row); err != nil {
				return err
			}
			depth--
		case c == ']' && depth == 1:
			depth--
		case c == ',' && depth == 1:
		default:
			return errRows
		}
	}
	return nil
}

func pow10(n int) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}
