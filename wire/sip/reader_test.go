package sip

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// readAll shows what comes out of a stream, an entry for each Read.
func readAll(r *Reader) (out []string) {
	for {
		m, err := r.Read()
		var e *ParseError
		switch {
		case errors.As(err, &e):
			out = append(out, fmt.Sprintf("%d %t", e.Status, m != nil))
		case err != nil:
			return append(out, err.Error())
		default:
			out = append(out, fmt.Sprintf("%s%d %q", m.Method, m.Status, m.Body))
		}
	}
}

const (
	first  = options + "Content-Length: 4\n\nbody"
	second = "SIP/2.0 200 OK\nVia: SIP/2.0/TCP a\nl:0\n\n"
)

func TestAStreamIsCutIntoMessages(t *testing.T) {
	for _, c := range []struct {
		sentence, in string
		want         string
	}{
		{"one behind the other", first + second + first, `OPTIONS0 "body"|200 ""|OPTIONS0 "body"|EOF`},
		{"line breaks between them", "\n\n" + first + "\n\n\n\n" + second + "\n", `OPTIONS0 "body"|200 ""|EOF`},
		{"nothing", "", "EOF"},
		{"the end within the headers", first[:40], "unexpected EOF"},
		{"the end within the body", first[:len(first)-1], "unexpected EOF"},
		{"no Content-Length", options + "\n" + second, "400 true|" + ErrFraming.Error()},
		{"no number", options + "l: four\n\nbody" + second, "400 true|" + ErrFraming.Error()},
		{"a negative one", options + "l: -1\n\nbody" + second, "400 true|" + ErrFraming.Error()},
		{"two that differ", options + "l: 4\nl: 0\n\nbody" + second, "400 true|" + ErrFraming.Error()},
		{"two that agree", options + "l: 4\nl: 4\n\nbody" + second, `OPTIONS0 "body"|200 ""|EOF`},
		{"a body too large", options + "l: 2000000000\n\nbody", "413 true|" + ErrFraming.Error()},
		{"no SIP", "GET / HTTP/1.1\n\n", "0 false|" + ErrFraming.Error()},
		{"a bad header keeps the framing", options + "nonsense\nl: 4\n\nbody" + second, `400 true|200 ""|EOF`},
		{"a bad response is dropped, the next is read", strings.Replace(second, "l:0", "nonsense\nl:0", 1) + first, `0 false|OPTIONS0 "body"|EOF`},
		{"a version to come", strings.Replace(first, "SIP/2.0", "SIP/9.0", 1) + second, `505 true|200 ""|EOF`},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			in := crlf(c.in)
			for name, r := range map[string]io.Reader{
				"at once":      strings.NewReader(in),
				"byte by byte": iotest.OneByteReader(strings.NewReader(in)),
				"by halves":    iotest.HalfReader(strings.NewReader(in)),
				"with the end": iotest.DataErrReader(strings.NewReader(in)),
			} {
				if got := strings.Join(readAll(NewReader(r, Limits{})), "|"); got != c.want {
					t.Errorf("%s: %s, want %s", name, got, c.want)
				}
			}
		})
	}
}

func TestABodyWithinItsLimitCountsForTheMessage(t *testing.T) {
	in := crlf(options + "l: 600\n\n" + strings.Repeat("x", 600))
	if got := strings.Join(readAll(NewReader(strings.NewReader(in), Limits{Message: 500, Body: 1000})), "|"); got != "413 true|"+ErrFraming.Error() {
		t.Error(got)
	}
}

func TestPingsAreReported(t *testing.T) {
	r := NewReader(strings.NewReader(crlf("\n\n"+first+"\n\n\n\n\n")), Limits{})
	pings := 0
	r.Ping = func() { pings++ }
	if got := readAll(r); len(got) != 2 || pings != 3 {
		t.Errorf("%d pings and %v, want 3 and one message", pings, got)
	}
}

func TestAHeadWithoutEndIsBounded(t *testing.T) {
	n := 0
	endless := readerFunc(func(b []byte) (int, error) {
		for i := range b {
			b[i] = 'x'
		}
		n += len(b)
		return len(b), nil
	})
	if got := strings.Join(readAll(NewReader(endless, Limits{Message: 1000})), "|"); got != "0 false|"+ErrFraming.Error() {
		t.Error(got)
	}
	if n > 4096 {
		t.Errorf("%d bytes read, want at most 4096", n)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func TestAReaderThatReadsNothingEnds(t *testing.T) {
	r := NewReader(readerFunc(func([]byte) (int, error) { return 0, nil }), Limits{})
	if _, err := r.Read(); err != io.ErrNoProgress {
		t.Errorf("%v, want %v", err, io.ErrNoProgress)
	}
}

func TestMessagesDoNotShareTheBuffer(t *testing.T) {
	r := NewReader(bytes.NewReader([]byte(crlf(first+strings.ReplaceAll(first, "body", "BODY")))), Limits{})
	m, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(); err != nil {
		t.Fatal(err)
	}
	if got := m.String(); got != crlf(first) {
		t.Errorf("the first message changed with the second:\n%q", got)
	}
}
