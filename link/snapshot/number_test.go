package snapshot

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNumbersFind(t *testing.T) {
	n, err := NewNumbers(
		Number{"+441134960001", OperatorConnect, "contoso"},
		Number{"+441134960000", OperatorConnect, "contoso"},
		Number{"+441134960002", TeamsPhoneMobile, "contoso"},
		Number{"+441134960003", TeamsPhoneMobile, "fabrikam"},
		Number{"+1", Zoom, ""},
		Number{"+999999999999999", Zoom, "last"},
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		e164 string
		want Number
	}{
		{"+441134960000", Number{"+441134960000", OperatorConnect, "contoso"}},
		{"+441134960001", Number{"+441134960001", OperatorConnect, "contoso"}},
		{"+441134960002", Number{"+441134960002", TeamsPhoneMobile, "contoso"}},
		{"+441134960003", Number{"+441134960003", TeamsPhoneMobile, "fabrikam"}},
		{"+1", Number{"+1", Zoom, ""}},
		{"+999999999999999", Number{"+999999999999999", Zoom, "last"}},
		{"+441134960004", Number{}},
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
	if n.Len() != 6 {
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
		{[]Number{{E164: "441134960000"}}, `number "441134960000" is not E.164: write + and 1 to 15 digits`},
		{[]Number{{E164: "+44"}, {E164: "+45"}, {E164: "+44", Account: "other"}}, "number +44 stands twice"},
		{[]Number{{E164: "+44"}, {E164: "+45"}, {E164: "+45"}}, "number +45 stands twice"},
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
	base := []Number{{"+441", OperatorConnect, "a"}, {"+443", OperatorConnect, "a"}}
	a, _ := NewNumbers(base...)
	for _, list := range [][]Number{
		nil,
		base[:1],
		{{"+441", OperatorConnect, "a"}, {"+442", OperatorConnect, "a"}},
		{{"+441", OperatorConnect, "a"}, {"+443", Zoom, "a"}},
		{{"+441", OperatorConnect, "a"}, {"+443", OperatorConnect, "b"}},
	} {
		if b, _ := NewNumbers(list...); a.Equal(b) {
			t.Errorf("equal to %v", list)
		}
	}
	// The order in which services and accounts came does not matter.
	b, _ := NewNumbers(Number{"+441", OperatorConnect, "a"}, Number{"+45", Zoom, "z"})
	c, _ := NewNumbers(Number{"+45", Zoom, "z"}, Number{"+441", OperatorConnect, "a"})
	if !b.Equal(c) {
		t.Error("the same numbers are not equal")
	}
}

func TestNumbersRefuseDamagedJSON(t *testing.T) {
	for _, text := range []string{
		`{"services":["Zoom"],"accounts":[""],"blocks":[[0,1,0,0]]}`,
		`{"services":["Zoom"],"accounts":[""],"blocks":[[44,0,0,0]]}`,
		`{"services":["Zoom"],"accounts":[""],"blocks":[[44,1,1,0]]}`,
		`{"services":["Zoom"],"accounts":[""],"blocks":[[44,1,0,1]]}`,
		`{"services":["Zoom"],"accounts":[""],"blocks":[[44,2,0,0],[45,1,0,0]]}`,
		`{"services":["Zoom"],"accounts":[""],"blocks":[[999999999999999,2,0,0]]}`,
		`{"services":["Zoom"],"accounts":[""],"blocks":[[1000000000000000,1,0,0]]}`,
		`{"services":["Zoom"],"accounts":[""],"blocks":[[44,4294967296,0,0]]}`,
		`{"services":["Zoom"],"accounts":[""],"blocks":[[44]]}`,
		`[]`,
	} {
		var n Numbers
		if err := json.Unmarshal([]byte(text), &n); err == nil || !strings.HasPrefix(err.Error(), "read numbers: ") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzNumbers(f *testing.F) {
	f.Add(`{"services":["Zoom"],"accounts":["a"],"blocks":[[44,3,0,0],[48,1,0,0]]}`, "+45")
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

// scattered are numbers of which none continues another: the worst case.
func scattered(n int) []Number {
	list := make([]Number, n)
	for i := range list {
		list[i] = Number{E164: formatE164(441000000000 + 7*uint64(i)), Service: OperatorConnect, Account: "contoso"}
	}
	return list
}

func BenchmarkNumbersFind(b *testing.B) {
	list := scattered(int(*millions * 1e6))
	n, err := NewNumbers(list...)
	if err != nil {
		b.Fatal(err)
	}
	asked := make([]string, 1<<16)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range asked {
		asked[i] = list[random.IntN(len(list))].E164
	}
	list = nil
	runtime.GC()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, ok := n.Find(asked[i&(1<<16-1)]); !ok {
			b.Fatal("lost")
		}
		i++
	}
	bytes := 8*cap(n.first) + 4*cap(n.count) + 4*cap(n.account) + 8*cap(n.fence)
	b.ReportMetric(float64(bytes)/float64(n.Len()), "B/number")
}

func BenchmarkNumbersJSON(b *testing.B) {
	n, err := NewNumbers(scattered(10_000)...)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		data, err := json.Marshal(n)
		if err != nil {
			b.Fatal(err)
		}
		var read Numbers
		if err := json.Unmarshal(data, &read); err != nil {
			b.Fatal(err)
		}
	}
}
