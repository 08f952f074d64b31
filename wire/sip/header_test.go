package sip

import (
	"slices"
	"strings"
	"testing"
)

// crlf writes a message of test tables, which has LF for readability.
func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func mustParse(tb testing.TB, s string) *Message {
	tb.Helper()
	m, err := Parse([]byte(crlf(s)), Limits{})
	if err != nil {
		tb.Fatalf("%v\n%s", err, s)
	}
	return m
}

const odd = `INVITE sip:bob@b.example SIP/2.0
v:SIP/2.0/TCP a.example;branch=z9hG4bK1 , SIP / 2.0 / UDP b.example
FROM :  "A, \"B\" <x>" <sip:a@a.example>;tag=1
t: sip:bob@b.example
i:	abc@a.example
CSeq: 1
  INVITE
X-Odd:
x-odd:  two   blanks  
X-ODD: a,b;c="d,e", <sip:x,y@z>
k: timer,
 100rel
l: 4

body`

func TestAMessageGoesThroughByteForByte(t *testing.T) {
	m := mustParse(t, odd)
	if got := m.String(); got != crlf(odd) {
		t.Errorf("%q\nwant\n%q", got, crlf(odd))
	}
}

func TestAHeaderIsFoundByAnyOfItsNames(t *testing.T) {
	m := mustParse(t, odd)
	for name, want := range map[string]string{
		"Call-ID": "abc@a.example", "CALL-id": "abc@a.example", "i": "abc@a.example", "I": "abc@a.example",
		"CSeq": "1 INVITE", "x-oDD": "", "Supported": "timer, 100rel", "absent": "", "": "",
		"from": `"A, \"B\" <x>" <sip:a@a.example>;tag=1`,
	} {
		if got := m.Get(name); got != want {
			t.Errorf("Get(%q) = %q, want %q", name, got, want)
		}
	}
	if !m.Has("X-Odd") || m.Has("X-Even") {
		t.Error("Has mistakes an empty header for an absent one, or an absent one for any")
	}
}

func TestValuesAreLinesAndListsAreItems(t *testing.T) {
	m := mustParse(t, odd)
	for _, c := range []struct {
		what string
		got  []string
		want []string
	}{
		{"lines", slices.Collect(m.Values("X-Odd")), []string{"", "two   blanks", `a,b;c="d,e", <sip:x,y@z>`}},
		{"items", slices.Collect(m.List("X-Odd")), []string{"", "two   blanks", "a", `b;c="d,e"`, "<sip:x,y@z>"}},
		{"a folded list", slices.Collect(m.List("Supported")), []string{"timer", "100rel"}},
		{"a list in one line", slices.Collect(m.List("Via")), []string{"SIP/2.0/TCP a.example;branch=z9hG4bK1", "SIP / 2.0 / UDP b.example"}},
		{"no header", slices.Collect(m.List("Route")), nil},
		{"commas in quotes", slices.Collect(List(`"a,\",b" <sip:x>, c`)), []string{`"a,\",b" <sip:x>`, "c"}},
		{"empty items", slices.Collect(List(",a,")), []string{"", "a", ""}},
		{"quotes not closed", slices.Collect(List(`"a, b`)), []string{`"a, b`}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %q, want %q", c.what, c.got, c.want)
		}
	}
	if !m.HasToken("k", "TIMER") || m.HasToken("k", "time") {
		t.Error("HasToken compares more or less than whole tokens, case aside")
	}
	for range m.List("X-Odd") {
		break // an iterator that is left early must not go on
	}
}

func TestEditingHeaders(t *testing.T) {
	const base = "OPTIONS sip:b SIP/2.0\nVia: SIP/2.0/UDP a, SIP/2.0/UDP b\nRoute: <sip:p1;lr>,\n <sip:p2;lr>\nX: 1\nx: 2\nY: 3\nContent-Length: 0\n\n"
	for _, c := range []struct {
		sentence string
		edit     func(*Message)
		want     string // the headers without Content-Length
	}{
		{"Set takes the place of the first and removes the others", func(m *Message) { m.Set("X", "9") }, "Via: SIP/2.0/UDP a, SIP/2.0/UDP b|Route: <sip:p1;lr>,\r\n <sip:p2;lr>|X: 9|Y: 3"},
		{"Set adds what is absent", func(m *Message) { m.Set("Z", "9") }, "Via: SIP/2.0/UDP a, SIP/2.0/UDP b|Route: <sip:p1;lr>,\r\n <sip:p2;lr>|X: 1|x: 2|Y: 3|Z: 9"},
		{"Add goes below its like", func(m *Message) { m.Add("X", "9") }, "Via: SIP/2.0/UDP a, SIP/2.0/UDP b|Route: <sip:p1;lr>,\r\n <sip:p2;lr>|X: 1|x: 2|X: 9|Y: 3"},
		{"Prepend goes above its like", func(m *Message) { m.Prepend("v", "SIP/2.0/UDP c") }, "v: SIP/2.0/UDP c|Via: SIP/2.0/UDP a, SIP/2.0/UDP b|Route: <sip:p1;lr>,\r\n <sip:p2;lr>|X: 1|x: 2|Y: 3"},
		{"Prepend goes on top without its like", func(m *Message) { m.Prepend("Z", "9") }, "Z: 9|Via: SIP/2.0/UDP a, SIP/2.0/UDP b|Route: <sip:p1;lr>,\r\n <sip:p2;lr>|X: 1|x: 2|Y: 3"},
		{"Del removes all of that name", func(m *Message) { m.Del("X") }, "Via: SIP/2.0/UDP a, SIP/2.0/UDP b|Route: <sip:p1;lr>,\r\n <sip:p2;lr>|Y: 3"},
		{"SetFirst leaves the items after it", func(m *Message) { m.SetFirst("Via", "SIP/2.0/UDP a;received=192.0.2.1") }, "Via: SIP/2.0/UDP a;received=192.0.2.1, SIP/2.0/UDP b|Route: <sip:p1;lr>,\r\n <sip:p2;lr>|X: 1|x: 2|Y: 3"},
		{"SetFirst adds what is absent", func(m *Message) { m.SetFirst("Z", "9") }, "Z: 9|Via: SIP/2.0/UDP a, SIP/2.0/UDP b|Route: <sip:p1;lr>,\r\n <sip:p2;lr>|X: 1|x: 2|Y: 3"},
		{"DelFirst takes one item", func(m *Message) { m.DelFirst("Route") }, "Via: SIP/2.0/UDP a, SIP/2.0/UDP b|Route: <sip:p2;lr>|X: 1|x: 2|Y: 3"},
		{"DelFirst on the first line", func(m *Message) { m.DelFirst("Via") }, "Via: SIP/2.0/UDP b|Route: <sip:p1;lr>,\r\n <sip:p2;lr>|X: 1|x: 2|Y: 3"},
		{"DelFirst takes the line with its last item", func(m *Message) { m.DelFirst("X"); m.DelFirst("none") }, "Via: SIP/2.0/UDP a, SIP/2.0/UDP b|Route: <sip:p1;lr>,\r\n <sip:p2;lr>|x: 2|Y: 3"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			m := mustParse(t, base)
			c.edit(m)
			_, head, _ := strings.Cut(m.String(), "\r\n")
			head = strings.TrimSuffix(strings.Replace(head, "Content-Length: 0\r\n", "", 1), "\r\n\r\n")
			if c.want = strings.ReplaceAll(c.want, "|", "\r\n"); head != c.want {
				t.Errorf("%q\nwant\n%q", head, c.want)
			}
		})
	}
}

func TestNoValueSmugglesALineIn(t *testing.T) {
	const evil = "1\r\nX-Evil: yes\r\n\r\nINVITE\x00\x1b[31m"
	for sentence, edit := range map[string]func(*Message){
		"by Set":          func(m *Message) { m.Set("X", evil) },
		"by Add":          func(m *Message) { m.Add("X", evil) },
		"by Prepend":      func(m *Message) { m.Prepend("X", evil) },
		"by SetFirst":     func(m *Message) { m.SetFirst("Via", evil) },
		"by name":         func(m *Message) { m.Set("X: 1\r\nX-Evil", "2") },
		"by no name":      func(m *Message) { m.Set("", "2") },
		"by a long name":  func(m *Message) { m.Set(strings.Repeat("n", 70000), "2") },
		"by method":       func(m *Message) { m.Method = "OPTIONS\r\nX-Evil" },
		"by Request-URI":  func(m *Message) { m.RequestURI = "sip:x SIP/2.0\r\nX-Evil: yes\r\nX: \x7f" },
		"by content type": func(m *Message) { m.SetBody(evil, nil) },
		"by tag":          func(m *Message) { m.TagTo(evil) },
	} {
		t.Run(sentence, func(t *testing.T) {
			m := mustParse(t, odd)
			edit(m)
			again, err := Parse(m.Append(nil), Limits{Message: 1 << 20, Line: 1 << 20})
			if err != nil {
				t.Fatalf("%v\n%q", err, m)
			}
			if again.Has("X-Evil") || again.Method == "INVITE\x00" {
				t.Errorf("smuggled:\n%q", m)
			}
		})
	}
	m := NewResponse(mustParse(t, odd), 200, "OK\r\nX-Evil: yes")
	if again, err := Parse(m.Append(nil), Limits{}); err != nil || again.Has("X-Evil") {
		t.Errorf("smuggled by reason: %v\n%q", err, m)
	}
}

func TestEveryCompactNameMeansItsHeader(t *testing.T) {
	for c, id := range compactIDs {
		if id == hdrOther {
			continue
		}
		name := headerNames[id]
		if got := headerIDOf(string(rune('A' + c))); got != id || headerIDOf(strings.ToUpper(name)) != id {
			t.Errorf("%c and %s are not the same header", 'a'+c, name)
		}
	}
	for _, name := range []string{"Vix", "Viaa", "Fro\u212a", "P-Asserted-Identitx", "@", "[", "\xff"} {
		if id := headerIDOf(name); id != hdrOther {
			t.Errorf("%q is taken for %s", name, headerNames[id])
		}
	}
}

func TestIteratingAllocatesNothing(t *testing.T) {
	m := mustParse(t, "OPTIONS sip:b SIP/2.0\nVia: SIP/2.0/UDP a, SIP/2.0/UDP b\nAllow: INVITE, ACK,BYE\nContent-Length: 0\n\n")
	n := 0
	allocs := testing.AllocsPerRun(100, func() {
		for range m.Values("Via") {
			n++
		}
		for range m.List("Allow") {
			n++
		}
		for range m.Headers() {
			n++
		}
		for range Params(";a=b;c").All() {
			n++
		}
		m.HasToken("Allow", "BYE")
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
