package sip

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

// seedMessages adds the torture corpus and an INVITE of Teams.
func seedMessages(f *testing.F) {
	files, err := filepath.Glob("testdata/rfc*/*.dat")
	if err != nil || len(files) == 0 {
		f.Fatal("no corpus", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(teamsInvite)
	f.Add([]byte(crlf(odd)))
}

// seedValues adds the values of one header throughout the corpus.
func seedValues(f *testing.F, names ...string) {
	for _, c := range torture {
		m, _ := Parse(tortureMessage(f, c.name), Limits{})
		if m == nil {
			continue
		}
		for _, name := range names {
			for v := range m.List(name) {
				f.Add(v)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	seedMessages(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b, Limits{})
		if err != nil {
			answerOrDrop(t, m, err)
			return
		}
		out := m.Append(nil)
		again, err := Parse(out, Limits{Message: 1 << 20})
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%q", err, out)
		}
		if next := again.Append(nil); !bytes.Equal(next, out) {
			t.Fatalf("no fix point:\n%q\n%q", out, next)
		}
		for i := range m.headers {
			if raw := m.headers[i].raw; m.headers[i].id != hdrContentLength && !bytes.Contains(b, []byte(raw)) {
				t.Fatalf("a header is not as it came: %q", raw)
			}
		}
		readEverything(t, m)
		edited := m.Clone()
		edited.Set("X-Set", string(b))
		edited.Prepend("Via", string(b))
		edited.SetFirst("Route", m.Get("Via"))
		edited.DelFirst("Via")
		edited.Reason, edited.RequestURI = string(b), string(b)
		if _, err := Parse(edited.Append(nil), Limits{Message: 1 << 24, Line: 1 << 24, Headers: 1000}); err != nil {
			t.Fatalf("broken by editing: %v\n%q", err, edited)
		}
	})
}

// answerOrDrop: a refusal is of one type, in range, and its answer is sound.
func answerOrDrop(t *testing.T, m *Message, err error) {
	t.Helper()
	e, ok := err.(*ParseError)
	if !ok || e.Offset < 0 {
		t.Fatalf("%v", err)
	}
	if e.Status == 0 {
		return
	}
	resp := NewResponse(m, e.Status, e.Reason()).Append(nil)
	if _, err := Parse(resp, Limits{Message: 1 << 20}); err != nil {
		t.Fatalf("the answer cannot be read: %v\n%q", err, resp)
	}
}

func readEverything(t *testing.T, m *Message) {
	t.Helper()
	if err := m.Check(); err != nil {
		if e := err.(*ParseError); e.Offset < 0 {
			t.Fatalf("offset %d", e.Offset)
		}
	}
	m.Contact()
	m.Reasons()
	m.Oversize()
	for name, value := range m.Headers() {
		if strings.ContainsAny(value, "\r\n") {
			t.Fatalf("%s is not on one line: %q", name, value)
		}
		if !m.Has(name) {
			t.Fatalf("%s cannot be found", name)
		}
		if all, err := m.Addresses(name); err == nil {
			for _, a := range all {
				if hasControl(strings.ReplaceAll(a.Display, "\t", "")) {
					t.Fatalf("display name with control characters: %q", a.Display)
				}
			}
		}
	}
}

func FuzzReader(f *testing.F) {
	seedMessages(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		lim := Limits{Message: 4096}
		whole := readAll(NewReader(bytes.NewReader(b), lim))
		drops := readAll(NewReader(iotest.OneByteReader(bytes.NewReader(b)), lim))
		if strings.Join(whole, "|") != strings.Join(drops, "|") {
			t.Fatalf("cut differently:\n%q\n%q", whole, drops)
		}
		if len(whole) > len(b)/10+2 {
			t.Fatalf("%d reads of %d bytes", len(whole), len(b))
		}
	})
}

func FuzzURI(f *testing.F) {
	seedValues(f, "From", "To", "Contact")
	f.Add("sip:a:b@[::1]:5060;p=[x]/y;lr?H=v&I=w")
	f.Add("tel:+1-2;phone-context=+44")
	f.Add("urn:service:sos")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURI(s)
		if err != nil {
			return
		}
		again, err := ParseURI(u.String())
		if err != nil || again != u {
			t.Fatalf("%q is %#v, written %q, read %#v, %v", s, u, u, again, err)
		}
		u.Header("Replaces")
		for name := range u.Params.All() {
			if _, ok := u.Params.Get(name); !ok {
				t.Fatalf("%q lost of %q", name, u.Params)
			}
		}
	})
}

func FuzzAddress(f *testing.F) {
	seedValues(f, "From", "To", "Contact", "Route", "Record-Route")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			if off := err.(*ParseError).Offset; off < 0 || off > len(s) {
				t.Fatalf("offset %d of %d", off, len(s))
			}
			return
		}
		again, err := ParseAddress(a.String())
		if again.Raw = a.Raw; err != nil || again != a {
			t.Fatalf("%q is %#v, written %q, read %#v, %v", s, a, a, again, err)
		}
		if p := a.Params.With("tag", "x"); !hasTag(p, "x") || hasTag(p.Without("tag"), "x") {
			t.Fatalf("%q with a tag: %q", a.Params, p)
		}
	})
}

func hasTag(p Params, tag string) bool {
	got, ok := p.Get("tag")
	return ok && got == tag
}

func FuzzVia(f *testing.F) {
	seedValues(f, "Via")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseVia(s)
		if err != nil {
			if off := err.(*ParseError).Offset; off < 0 || off > len(s) {
				t.Fatalf("offset %d of %d", off, len(s))
			}
			return
		}
		if again, err := ParseVia(v.String()); err != nil || again != v {
			t.Fatalf("%q is %#v, written %q, read %#v, %v", s, v, v, again, err)
		}
	})
}

func FuzzCSeq(f *testing.F) {
	seedValues(f, "CSeq")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCSeq(s)
		if err != nil {
			return
		}
		if again, err := ParseCSeq(c.String()); err != nil || again != c || c.Seq > 1<<31-1 {
			t.Fatalf("%q is %v, read %v, %v", s, c, again, err)
		}
	})
}

func FuzzReason(f *testing.F) {
	f.Add(`Q.850;cause=34;text="0d7c1a52;Call was declined"`)
	f.Add("SIP ;cause=200")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseReason(s)
		if err != nil {
			return
		}
		if again, err := ParseReason(r.String()); err != nil || again != r {
			t.Fatalf("%q is %#v, written %q, read %#v, %v", s, r, r, again, err)
		}
	})
}
