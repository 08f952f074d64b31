package snapshot

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

func TestNumbersFind(t *testing.T) {
	n, err := NewNumbers(
		Number{"+441134960001", OperatorConnect, "contoso", "", ""},
		Number{"+441134960000", OperatorConnect, "contoso", "", ""},
		Number{"+441134960002", TeamsPhoneMobile, "contoso", "", ""},
		Number{"+441134960003", TeamsPhoneMobile, "fabrikam", "", ""},
		Number{"+441134960004", TeamsPhoneMobile, "fabrikam", "gold", ""},
		Number{"+441134960005", TeamsPhoneMobile, "fabrikam", "gold", "+441134960099"},
		Number{"+1", Zoom, "", "", ""},
		Number{"+999999999999999", Zoom, "last", "", ""},
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		e164 string
		want Number
	}{
		{"+441134960000", Number{"+441134960000", OperatorConnect, "contoso", "", ""}},
		{"+441134960001", Number{"+441134960001", OperatorConnect, "contoso", "", ""}},
		{"+441134960002", Number{"+441134960002", TeamsPhoneMobile, "contoso", "", ""}},
		{"+441134960003", Number{"+441134960003", TeamsPhoneMobile, "fabrikam", "", ""}},
		{"+441134960004", Number{"+441134960004", TeamsPhoneMobile, "fabrikam", "gold", ""}},
		{"+441134960005", Number{"+441134960005", TeamsPhoneMobile, "fabrikam", "gold", "+441134960099"}},
		{"+1", Number{"+1", Zoom, "", "", ""}},
		{"+999999999999999", Number{"+999999999999999", Zoom, "last", "", ""}},
		{"+441134960006", Number{}},
		{"+441134959999", Number{}},
		{"+10", Number{}}, // not the "+1" with a digit more
		{"441134960000", Number{}},
		{"+", Number{}},
		{"", Number{}},
		{"+0441134960000", Number{}},
		{"+44113496000x", Number{}},
		{"+9999999999999990", Number{}},
	} {
		got, ok := n.Find(x.e164)
		if got != x.want || ok != (x.want != Number{}) {
			t.Errorf("%q: got %+v, %v", x.e164, got, ok)
		}
	}
	if n.Len() != 8 {
		t.Errorf("%d numbers", n.Len())
	}
	if _, ok := (Numbers{}).Find("+44"); ok {
		t.Error("found in nothing")
	}
}

func TestNewNumbersRefuses(t *testing.T) {
	for _, x := range []struct {
		list []Number
		want string
	}{
		{[]Number{{E164: "441134960000"}}, `number "441134960000" is not E.164: write + and 1 to 15 digits, country code first`},
		{[]Number{{E164: "+44"}, {E164: "+45"}, {E164: "+44", Account: "other"}}, "number +44 stands twice"},
		{[]Number{{E164: "+44"}, {E164: "+45"}, {E164: "+45"}}, "number +45 stands twice"},
		{[]Number{{E164: "+44", ELIN: "911"}}, `ELIN "911" is not E.164: write + and 1 to 15 digits, country code first`},
	} {
		if _, err := NewNumbers(x.list...); err == nil || err.Error() != x.want {
			t.Errorf("got %v, want %s", err, x.want)
		}
	}
	var many []Number
	for i := range 17 {
		many = append(many, Number{E164: fmt.Sprintf("+%d", i+1), Service: Service(fmt.Sprint(i))})
	}
	if _, err := NewNumbers(many...); err == nil {
		t.Error("17 services do not fit")
	}
	if _, err := NewNumbers(Number{E164: "+44", Header: strings.Repeat("x", 256)}); err == nil {
		t.Error("a header value of 256 bytes does not fit")
	}
	if n, err := NewNumbers(many[:16]...); err != nil || n.Len() != 16 {
		t.Error("16 services do", err)
	}
}

// The index against a map, with numbers close to each other so that blocks
// form, touch and differ.
func TestNumbersLikeAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]Number{}
		var list []Number
		base := rapid.Uint64Range(1, 1e13).Draw(t, "base")
		for range rapid.IntRange(0, 300).Draw(t, "numbers") {
			x := Number{
				E164:    fmt.Sprintf("+%d", base+rapid.Uint64Range(0, 400).Draw(t, "n")),
				Service: rapid.SampledFrom([]Service{OperatorConnect, Zoom}).Draw(t, "service"),
				Account: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "account"),
				Header:  rapid.SampledFrom([]string{"", "a", "h"}).Draw(t, "header"),
				ELIN:    rapid.SampledFrom([]string{"", "", "+441134960099"}).Draw(t, "elin"),
			}
			if _, twice := want[x.E164]; !twice {
				want[x.E164] = x
				list = append(list, x)
			}
		}
		n, err := NewNumbers(list...)
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		var read Numbers
		if err := json.Unmarshal(data, &read); err != nil {
			t.Fatal(err)
		}
		if !n.Equal(read) || !read.Equal(n) {
			t.Fatal("JSON changed the numbers")
		}
		for _, n := range []Numbers{n, read} {
			for i := range uint64(402) {
				e164 := fmt.Sprintf("+%d", base-1+i)
				if got, ok := n.Find(e164); got != want[e164] || ok != (want[e164] != Number{}) {
					t.Fatalf("%s: got %+v, %v", e164, got, ok)
				}
			}
			all := slices.Collect(n.All())
			if len(all) != len(want) || n.Len() != len(want) {
				t.Fatalf("%d of %d numbers", len(all), len(want))
			}
			for i, x := range all {
				if want[x.E164] != x {
					t.Fatalf("got %+v", x)
				}
				if i > 0 && (len(all[i-1].E164) > len(x.E164) || len(all[i-1].E164) == len(x.E164) && all[i-1].E164 >= x.E164) {
					t.Fatalf("%s before %s", all[i-1].E164, x.E164)
				}
			}
		}
	})
}

func TestNumbersEqualTellsApart(t *testing.T) {
	base := []Number{{"+441", OperatorConnect, "a", "", ""}, {"+443", OperatorConnect, "a", "", ""}}
	a, _ := NewNumbers(base...)
	for _, list := range [][]Number{
		nil,
		base[:1],
		{{"+441", OperatorConnect, "a", "", ""}, {"+442", OperatorConnect, "a", "", ""}},
		{{"+441", OperatorConnect, "a", "", ""}, {"+443", Zoom, "a", "", ""}},
		{{"+441", OperatorConnect, "a", "", ""}, {"+443", OperatorConnect, "b", "", ""}},
		{{"+441", OperatorConnect, "a", "", ""}, {"+443", OperatorConnect, "a", "h", ""}},
		{{"+441", OperatorConnect, "a", "", ""}, {"+443", OperatorConnect, "a", "", "+45"}},
	} {
		if b, _ := NewNumbers(list...); a.Equal(b) {
			t.Errorf("equal to %v", list)
		}
	}
	// The order in which services and accounts came does not matter.
	b, _ := NewNumbers(Number{"+441", OperatorConnect, "a", "", ""}, Number{"+45", Zoom, "z", "", ""})
	c, _ := NewNumbers(Number{"+45", Zoom, "z", "", ""}, Number{"+441", OperatorConnect, "a", "", ""})
	if !b.Equal(c) {
		t.Error("the same numbers are not equal")
	}
}

func TestNumbersRefuseDamagedJSON(t *testing.T) {
	for _, x := range []struct{ kinds, blocks string }{
		{`[[0,0,0,0]]`, `[[0,1,0]]`},
		{`[[0,0,0,0]]`, `[[44,0,0]]`},
		{`[[0,0,0,0]]`, `[[44,1,1]]`},
		{`[[1,0,0,0]]`, `[]`},
		{`[[0,1,0,0]]`, `[]`},
		{`[[0,0,2,0]]`, `[]`},
		{`[[0,0,0,2]]`, `[]`},
		{`[[0,0,0,1]]`, `[]`}, // an ELIN that is none
		{`[[0,0,0]]`, `[]`},
		{`[[0,0,0,0]]`, `[[44,2,0],[45,1,0]]`},
		{`[[0,0,0,0]]`, `[[999999999999999,2,0]]`},
		{`[[0,0,0,0]]`, `[[1000000000000000,1,0]]`},
		{`[[0,0,0,0]]`, `[[18446744073709551660,1,0]]`}, // 44 and 2^64
		{`[[0,0,0,0]]`, `[[44,4294967296,0]]`},
		{`[[0,0,0,0]]`, `[[44,4000000000,0]]`}, // more than anybody has
		{`[[0,0,0,0]]`, `[[44]]`},
		{`[[0,0,0,0]]`, `[[44,1,0,0]]`},
		{`[[0,0,0,0]]`, `[44,1,0]`},
		{`[[0,0,0,0]]`, `[[[44,1,0]]]`},
		{`[[0,0,0,0]]`, `[[-44,1,0]]`},
		{`[[0,0,0,0]]`, `[[44.0,1,0]]`},
		{`[[0,0,0,0]]`, `[["44",1,0]]`},
		{`[[0,0,0,0]]`, `{"44":1}`},
		{`{}`, `[]`},
	} {
		text := `{"services":["Zoom"],"accounts":[""],"words":["a"],"kinds":` + x.kinds + `,"blocks":` + x.blocks + `}`
		var n Numbers
		if err := json.Unmarshal([]byte(text), &n); err == nil || !strings.HasPrefix(err.Error(), "read numbers: ") {
			t.Errorf("%s: %v", text, err)
		}
	}
	var n Numbers
	if err := json.Unmarshal([]byte(`[]`), &n); err == nil {
		t.Error("a list is read as numbers")
	}
}

// A long run is cut where a block ends, wherever the pieces it came in did.
func TestBlocksAreCutInOneWay(t *testing.T) {
	read := func(blocks string) (n Numbers) {
		t.Helper()
		if err := json.Unmarshal([]byte(`{"services":["Zoom"],"accounts":["a"],"words":[],"kinds":[[0,0,0,0]],"blocks":`+blocks+`}`), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	whole, pieces := read(`[[1000000,40000,0]]`), read(`[[1030000,10000,0],[1000000,30000,0]]`)
	if !whole.Equal(pieces) || whole.Len() != 40000 || len(maps.Collect(whole.each())) != 3 {
		t.Errorf("blocks %v and %v", maps.Collect(whole.each()), maps.Collect(pieces.each()))
	}
	for _, e164 := range []string{"+1000000", "+1016383", "+1016384", "+1032767", "+1032768", "+1039999"} {
		if x, ok := whole.Find(e164); !ok || x.Account != "a" {
			t.Errorf("%s is not found", e164)
		}
	}
	for _, e164 := range []string{"+999999", "+1040000"} {
		if _, ok := whole.Find(e164); ok {
			t.Errorf("%s is found", e164)
		}
	}
}

func TestEachNumberThatStandsTwiceIsNamed(t *testing.T) {
	var b NumbersBuilder
	for _, n := range []string{"+45", "+44", "+46", "+44", "+45", "+44"} {
		if err := b.Add(Number{E164: n, Service: Zoom}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := b.Build()
	want := Twices{{"+44", 1, 3}, {"+44", 1, 5}, {"+45", 0, 4}}
	if got, ok := errors.AsType[Twices](err); !ok || !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func FuzzNumbers(f *testing.F) {
	f.Add(`{"services":["Zoom"],"accounts":["","a"],"words":["a","+46"],"kinds":[[0,1,1,0],[0,1,1,2]],"blocks":[[44,3,0],[48,1,1]]}`, "+45")
	f.Add(`null`, "+999999999999999")
	f.Fuzz(func(t *testing.T, text, e164 string) {
		var n Numbers
		if json.Unmarshal([]byte(text), &n) != nil {
			return
		}
		if x, ok := n.Find(e164); ok && x.E164 != e164 {
			t.Errorf("asked for %q, got %+v", e164, x)
		}
		data, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		var again Numbers
		if err := json.Unmarshal(data, &again); err != nil || !n.Equal(again) {
			t.Errorf("%s became %s: %v", text, data, err)
		}
	})
}

// million raises the benchmark: -args -millions 10
var millions = flag.Float64("millions", 0.2, "numbers in the benchmark of look-ups, in millions")

// worlds are ways in which numbers may be spread over kinds. None continues
// another one: that would make blocks, which cost less.
var worlds = []struct {
	name string
	at   func(i int) Number
}{
	{"one account", func(int) Number { return Number{Account: "contoso"} }},
	{"a thousand accounts", func(i int) Number { return Number{Account: account(i), Header: "plan-" + strconv.Itoa(i%7)} }},
	{"a header value of each number", func(i int) Number { return Number{Account: account(i), Header: fmt.Sprintf("site-%010d", i)} }},
}

func account(i int) string { return "account-" + strconv.Itoa(i%1000) }

func spread(t testing.TB, n int, at func(i int) Number) Numbers {
	t.Helper()
	var b NumbersBuilder
	for i := range n {
		x := at(i)
		x.E164, x.Service = formatE164(441000000000+7*uint64(i)), TeamsDirectRouting
		if err := b.Add(x); err != nil {
			t.Fatal(err)
		}
	}
	index, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// bytes is what the index keeps.
func (n Numbers) bytes() int {
	return int(unsafe.Sizeof(shelf{}))*cap(n.shelves) + 8*cap(n.fence) + 8*cap(n.kinds) + 8*cap(n.elins) + len(n.words)
}

func TestANumberCostsAtMost40Bytes(t *testing.T) {
	for _, w := range worlds {
		n := spread(t, 100_000, w.at)
		if cost := float64(n.bytes()) / float64(n.Len()); cost > 40 {
			t.Errorf("%s: %.1f bytes", w.name, cost)
		}
	}
}

// BenchmarkNumbersFind looks up 4096 numbers in an operation. The best of them
// is what a look-up costs where nobody else wants the processor.
func BenchmarkNumbersFind(b *testing.B) {
	for _, w := range worlds {
		b.Run(w.name, func(b *testing.B) {
			n := spread(b, int(*millions*1e6), w.at)
			asked := make([]string, 1<<18)
			random := rand.New(rand.NewPCG(1, 2))
			for i := range asked {
				asked[i] = formatE164(441000000000 + 7*random.Uint64N(uint64(n.Len())))
			}
			runtime.GC()
			const batch = 4096
			best := time.Hour
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				begin := time.Now()
				for range batch {
					if _, ok := n.Find(asked[i&(1<<18-1)]); !ok {
						b.Fatal("lost")
					}
					i++
				}
				best = min(best, time.Since(begin))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/number")
			b.ReportMetric(float64(best.Nanoseconds())/batch, "best-ns/number")
			b.ReportMetric(float64(n.bytes())/float64(n.Len()), "B/number")
		})
	}
}

// BenchmarkNumbersBuild shows what is taken while an index is made.
func BenchmarkNumbersBuild(b *testing.B) {
	for _, w := range worlds {
		b.Run(w.name, func(b *testing.B) {
			b.ReportAllocs()
			n := int(*millions * 1e6)
			for b.Loop() {
				spread(b, n, w.at)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n)/float64(b.N), "ns/number")
		})
	}
}

func BenchmarkNumbersJSON(b *testing.B) {
	n := spread(b, int(*millions*1e6), worlds[1].at)
	for b.Loop() {
		data, err := json.Marshal(n)
		if err != nil {
			b.Fatal(err)
		}
		var read Numbers
		if err := json.Unmarshal(data, &read); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(data))/float64(n.Len()), "B/number")
	}
}
