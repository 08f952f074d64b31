package sip

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

const options = "OPTIONS sip:b.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bK1\nFrom: <sip:a@a.example>;tag=1\nTo: <sip:b.example>\nCall-ID: c1\nCSeq: 7 OPTIONS\n"

func TestWhatADatagramMustBe(t *testing.T) {
	for _, c := range []struct {
		sentence, in string
		status       int // -1: accepted
		header, body string
	}{
		{"no Content-Length means all of the rest", options + "\nrest", -1, "", "rest"},
		{"a surplus is ignored", options + "Content-Length: 2\n\nrest", -1, "", "re"},
		{"a shorter body is refused", options + "Content-Length: 5\n\nrest", 400, "Content-Length", ""},
		{"two lengths that agree pass", options + "l: 4\nContent-Length: 04\n\nrest", -1, "", "rest"},
		{"two that differ do not", options + "l: 4\nContent-Length: 3\n\nrest", 400, "Content-Length", ""},
		{"nor when the first is 0", options + "l: 0\nContent-Length: 4\n\nrest", 400, "Content-Length", ""},
		{"a body of one byte", options + "Content-Length: 1\n\nr", -1, "", "r"},
		{"a list of lengths is none", options + "Content-Length: 4, 4\n\nrest", 400, "Content-Length", ""},
		{"a sign is not a digit", options + "Content-Length: +4\n\nrest", 400, "Content-Length", ""},
		{"an empty length is none", options + "Content-Length:\n\nrest", 400, "Content-Length", ""},
		{"a length beyond all integers", options + "Content-Length: 36893488147419103236\n\nrest", 400, "Content-Length", ""},
		{"line breaks before the start line are skipped", "\n\n" + options + "\n", -1, "", ""},
		{"no empty line", options, 400, "", ""},
		{"a header cut off", options + "X: 1", 400, "", ""},
		{"a header without colon", options + "nonsense\n\n", 400, "", ""},
		{"a header without name", options + ": nothing\n\n", 400, "", ""},
		{"a header of blanks", strings.Replace(options, "\nVia", "\n \nVia", 1) + "\n", 400, "", ""},
		{"a name of 256 bytes", options + strings.Repeat("n", 256) + ": 1\n\n", 400, "", ""},
		{"a control character", options + "X: a\x01b\n\n", 400, "", ""},
		{"NUL", options + "X: a\x00b\n\n", 400, "", ""},
		{"DEL", options + "X: a\x7fb\n\n", 400, "", ""},
		{"escaped outside quotes", options + "X: a\\\x01b\n\n", 400, "", ""},
		{"escaped in quotes", options + "X: \"a\\\x01b\"\n\n", -1, "", ""},
		{"not escaped in quotes", options + "X: \"ab\x01c\"\n\n", 400, "", ""},
		{"behind an escaped backslash", options + "X: \"a\\\\\x01b\"\n\n", 400, "", ""},
		{"a tab", options + "X:\ta\tb\n\n", -1, "", ""},
		{"bytes beyond ASCII", options + "X: caf\xe9\n\n", -1, "", ""},
		{"CR alone", options + "X: a\rY: b\n\n", 400, "", ""},
		{"another version", strings.Replace(options, "SIP/2.0", "SIP/3.0", 1) + "\n", 505, "", ""},
		{"the version in lower case", strings.Replace(options, "SIP/2.0", "sip/2.0", 1) + "\n", -1, "", ""},
		{"a tab in the request line", strings.Replace(options, "sip:b", "sip:\tb", 1) + "\n", 400, "Request-URI", ""},
		{"no SIP at all", "GET / HTTP/1.1\nHost: x\n\n", 0, "", ""},
		{"nothing", "", 0, "", ""},
		{"one word", "OPTIONS\n\n", 0, "", ""},
		{"two words", "OPTIONS SIP/2.0\n\n", 0, "", ""},
		{"a keep-alive", "\n\n", 0, "", ""},
		{"no Via, nobody to answer", "OPTIONS sip:b SIP/2.0\nnonsense\n\n", 0, "", ""},
		{"an ACK is never answered", strings.ReplaceAll(options, "OPTIONS", "ACK") + "nonsense\n\n", 0, "", ""},
		{"nor is a response", strings.Replace(options, "OPTIONS sip:b.example SIP/2.0", "SIP/2.0 200 OK", 1) + "nonsense\n\n", 0, "", ""},
		{"a response without reason or blank", strings.Replace(options, "OPTIONS sip:b.example SIP/2.0", "SIP/2.0 200", 1) + "\n", -1, "", ""},
		{"a response of two digits", strings.Replace(options, "OPTIONS sip:b.example SIP/2.0", "SIP/2.0 20 OK", 1) + "\n", 0, "", ""},
		{"a response with a letter behind the digits", strings.Replace(options, "OPTIONS sip:b.example SIP/2.0", "SIP/2.0 200x OK", 1) + "\n", 0, "", ""},
		{"a response below 100", strings.Replace(options, "OPTIONS sip:b.example SIP/2.0", "SIP/2.0 099 OK", 1) + "\n", 0, "", ""},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			m, err := Parse([]byte(crlf(c.in)), Limits{})
			if c.status < 0 {
				if err != nil || string(m.Body) != c.body {
					t.Fatalf("body %q, error %v; want body %q", m.Body, err, c.body)
				}
				return
			}
			e, ok := err.(*ParseError)
			if !ok || e.Status != c.status || e.Header != c.header {
				t.Fatalf("%v, want status %d for header %q", err, c.status, c.header)
			}
			if (m != nil) != (c.status != 0) {
				t.Errorf("message %v with status %d", m, c.status)
			}
		})
	}
}

func TestLimitsAnswerWithTheirStatus(t *testing.T) {
	lim := Limits{Message: 400, Headers: 8, Line: 100, Body: 20}
	for _, c := range []struct {
		sentence, in string
		status       int
	}{
		{"within all", options + "X: 1\n\n12345678901234567890", 0},
		{"body", options + "X: 1\n\n123456789012345678901", 413},
		{"request line", strings.Replace(options, "sip:b", "sip:"+strings.Repeat("b", 80), 1) + "\n", 414},
		{"header line", options + "X: " + strings.Repeat("x", 100) + "\n\n", 513},
		{"folded header line", options + "X: " + strings.Repeat("x", 60) + "\n " + strings.Repeat("x", 60) + "\n\n", 513},
		{"header count", options + strings.Repeat("X: 1\n", 4) + "\n", 513},
		{"message", options + strings.Repeat("X: "+strings.Repeat("x", 90)+"\n", 3) + "\n", 513},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			m, err := Parse([]byte(crlf(c.in)), lim)
			e, _ := err.(*ParseError)
			switch {
			case c.status == 0 && err != nil:
				t.Error(err)
			case c.status != 0 && (e == nil || e.Status != c.status):
				t.Errorf("%v, want %d", err, c.status)
			case c.status != 0 && NewResponse(m, e.Status, e.Reason()).Get("Call-ID") != "c1":
				t.Error("no answer can be made")
			}
		})
	}
}

func TestAnAnswerCarriesNothingUnsoundBack(t *testing.T) {
	for _, bad := range []string{"Via: SIP/2.0/UDP b\x01\n", "Via: SIP/2.0/UDP b\rX: 1\n", "Via: " + strings.Repeat("b", 200) + "\n", "Via SIP/2.0/UDP b\n"} {
		m, err := Parse([]byte(crlf(options+bad+"\n")), Limits{Line: 150})
		if err == nil || m == nil {
			t.Errorf("%q: %v, %v", bad, m, err)
			continue
		}
		if got := slices.Collect(NewResponse(m, 400, "").Values("Via")); len(got) != 1 {
			t.Errorf("%q: answered with %q", bad, got)
		}
	}
}

func TestAMessageDoesNotHoldTheCallersBuffer(t *testing.T) {
	b := []byte(crlf(options + "Content-Length: 4\n\nbody"))
	m, err := Parse(b, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := m.String()
	clear(b)
	if got := m.String(); got != want {
		t.Errorf("changed with the buffer:\n%q", got)
	}
	m.Body = append(m.Body, "more"...)
	copy(m.Body, "BODY")
	if got := m.Get("CSeq"); got != "7 OPTIONS" {
		t.Errorf("CSeq %q after the body was written to", got)
	}
}

func TestErrorsTellWhere(t *testing.T) {
	for _, c := range []struct{ sentence, in, at string }{
		{"a header that is none", "\n\n" + options + "nonsense\n\n", "\r\n\r\n"},
		{"a control character", options + "X: 1\nY: \x02\n\n", "\x02"},
		{"a length", options + "Content-Length: five\n\n", "five"},
		{"an unfolded Via", strings.Replace(options, "a.example;", "a.example;;", 1) + "\n", ";;branch"},
		{"a folded Via", strings.Replace(options, "SIP/2.0/UDP a.example;", "SIP/2.0/UDP\n   \t a.example  \n  ;ok\n\t;;", 1) + "\n", ";;branch"},
		{"a sequence number", strings.Replace(options, "7 OPTIONS", "7OPTIONS", 1) + "\n", "OPTIONS\r\n"},
		{"an address", strings.Replace(options, "<sip:a@a.example>", "<sip:a@[::g]>", 1) + "\n", "[::g]"},
		{"a Request-URI", strings.Replace(options, "sip:b.example SIP", "sip:b.example:x SIP", 1) + "\n", "x SIP"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			b := []byte(crlf(c.in))
			m, err := Parse(b, Limits{})
			if err == nil {
				err = m.Check()
			}
			e, ok := err.(*ParseError)
			want := bytes.Index(b, []byte(c.at))
			if c.sentence == "a header that is none" {
				want = bytes.Index(b, []byte("nonsense")) + len("nonsense")
			}
			if !ok || e.Offset != want {
				t.Errorf("%v, want byte %d", err, want)
			}
		})
	}
}
