package sip

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The verdicts. A message that is accepted, or whose verdict a layer above
// gives, must pass Parse and Check and come out as it went in.
const (
	accepted = "accepted"
	dropped  = "dropped"  // no answer can be made
	above    = "above: "  // well-formed; somebody further up decides, and how
	refused  = "refused " // with this status
)

// torture is the verdict on each message of RFC 4475 and RFC 5118. Where it
// is not the one the RFC asks for first, why says what we prefer and why.
var torture = []struct {
	section, name, verdict, why string
}{
	// RFC 4475 3.1.1: valid
	{"3.1.1.1", "wsinv", accepted, ""},
	{"3.1.1.2", "intmeth", accepted, ""},
	{"3.1.1.3", "esc01", accepted, ""},
	{"3.1.1.4", "escnull", accepted, ""},
	{"3.1.1.5", "esc02", accepted, ""},
	{"3.1.1.6", "lwsdisp", accepted, ""},
	{"3.1.1.7", "longreq", accepted, ""},
	{"3.1.1.8", "dblreq", accepted, ""},
	{"3.1.1.9", "semiuri", accepted, ""},
	{"3.1.1.10", "transports", accepted, ""},
	{"3.1.1.11", "mpart01", accepted, ""},
	{"3.1.1.12", "unreason", accepted, ""},
	{"3.1.1.13", "noreason", accepted, ""},

	// RFC 4475 3.1.2: invalid
	{"3.1.2.1", "badinv01", refused + "400", ""},
	{"3.1.2.2", "clerr", refused + "400", ""},
	{"3.1.2.3", "ncl", refused + "400", ""},
	{"3.1.2.4", "scalar02", refused + "400", ""},
	{"3.1.2.5", "scalarlg", dropped, ""},
	{"3.1.2.6", "quotbal", refused + "400", ""},
	{"3.1.2.7", "ltgtruri", refused + "400", ""},
	{"3.1.2.8", "lwsruri", refused + "400", ""},
	{"3.1.2.9", "lwsstart", refused + "400", ""},
	{"3.1.2.10", "trws", refused + "400", ""},
	{"3.1.2.11", "escruri", refused + "400", ""},
	{"3.1.2.12", "baddate", accepted, "nothing here reads Date; the RFC advises against refusing for it then"},
	{"3.1.2.13", "regbadct", above + "400 by whoever reads Contact", "the message is sound for a transaction; Message.Contact refuses the value"},
	{"3.1.2.14", "badaspec", refused + "400", ""},
	{"3.1.2.15", "baddn", refused + "400", ""},
	{"3.1.2.16", "badvers", refused + "505", ""},
	{"3.1.2.17", "mismatch01", refused + "400", ""},
	{"3.1.2.18", "mismatch02", refused + "501", ""},
	{"3.1.2.19", "bigcode", dropped, ""},

	// RFC 4475 3.2: transaction layer
	{"3.2.1", "badbranch", above + "transaction matched as of RFC 2543", ""},

	// RFC 4475 3.3: application layer
	{"3.3.1", "insuf", refused + "400", ""},
	{"3.3.2", "unkscm", refused + "416", ""},
	{"3.3.3", "novelsc", refused + "416", ""},
	{"3.3.4", "unksm2", above + "405, no registrar here", "a registrar would answer 400"},
	{"3.3.5", "bext01", above + "420 by the user agent", ""},
	{"3.3.6", "invut", above + "415 by the call", ""},
	{"3.3.7", "regaut01", above + "405, no registrar here", ""},
	{"3.3.8", "multi01", refused + "400", ""},
	{"3.3.9", "mcl01", refused + "400", ""},
	{"3.3.10", "bcast", above + "dropped by the stack, it matches no transaction", ""},
	{"3.3.11", "zeromf", above + "answered, the request ends here", ""},
	{"3.3.12", "cparam01", above + "405, no registrar here", ""},
	{"3.3.13", "cparam02", above + "405, no registrar here", ""},
	{"3.3.14", "regescrt", above + "405, no registrar here", ""},
	{"3.3.15", "sdp01", above + "406 by the call", ""},

	// RFC 4475 3.4: RFC 2543 peers
	{"3.4.1", "inv2543", accepted, ""},

	// RFC 5118
	{"4.1", "ipv6-good", accepted, ""},
	{"4.2", "ipv6-bad", refused + "400", ""},
	{"4.3", "port-ambiguous", accepted, ""},
	{"4.4", "port-unambiguous", accepted, ""},
	{"4.5", "via-received-param-with-delim", accepted, ""},
	{"4.5", "via-received-param-no-delim", accepted, ""},
	{"4.6", "ipv6-in-sdp", accepted, ""},
	{"4.7", "mult-ip-in-header", accepted, ""},
	{"4.8", "mult-ip-in-sdp", accepted, ""},
	{"4.9", "ipv4-mapped-ipv6", accepted, ""},
	{"4.10", "ipv6-bug-abnf-3-colons", accepted, ""},
	{"4.10", "ipv6-correct-abnf-2-colons", accepted, ""},
}

func tortureMessage(tb testing.TB, name string) []byte {
	tb.Helper()
	if b, err := os.ReadFile(filepath.Join("testdata", "rfc4475", name+".dat")); err == nil {
		return b
	}
	b, err := os.ReadFile(filepath.Join("testdata", "rfc5118", name+".dat"))
	if err != nil {
		tb.Fatal(err)
	}
	return asMeant(b)
}

// asMeant repairs what the archive of RFC 5118 got wrong beside the point of
// each message: line ends, the empty line, Content-Length.
func asMeant(b []byte) []byte {
	head, body, _ := strings.Cut(string(b), "\n\n")
	body = strings.ReplaceAll(body, "\n", "\r\n")
	head = strings.ReplaceAll(strings.TrimSuffix(head, "\n"), "\n", "\r\n")
	head = regexp.MustCompile(`(Content-Length: )\d+`).ReplaceAllString(head, fmt.Sprint("${1}", len(body)))
	return []byte(head + "\r\n\r\n" + body)
}

// judge gives the verdict that Parse and Check come to together.
func judge(b []byte) (m *Message, verdict string, err error) {
	m, err = Parse(b, Limits{})
	if err == nil {
		err = m.Check()
	}
	var e *ParseError
	switch {
	case err == nil:
		return m, accepted, nil
	case !errors.As(err, &e):
		return m, "an error of another type", err
	case e.Status == 0:
		return m, dropped, err
	}
	return m, fmt.Sprint(refused, e.Status), err
}

func TestEveryTortureMessageGetsItsVerdict(t *testing.T) {
	for _, c := range torture {
		t.Run(c.section+" "+c.name, func(t *testing.T) {
			raw := tortureMessage(t, c.name)
			m, verdict, err := judge(raw)
			want := c.verdict
			if strings.HasPrefix(want, above) {
				want = accepted
			}
			if verdict != want {
				t.Fatalf("%s, want %s (%v)", verdict, want, err)
			}
			switch {
			case verdict == accepted:
				again := m.Append(nil)
				if !m.Has("Content-Length") { // we add what UDP may leave out
					again = bytes.Replace(again, fmt.Appendf(nil, "Content-Length: %d\r\n", len(m.Body)), nil, 1)
				}
				if !bytes.HasPrefix(raw, again) {
					t.Errorf("written differently:\n%q\nwant\n%q", again, raw)
				}
			case strings.HasPrefix(verdict, refused):
				answerAnswers(t, m, err)
			}
		})
	}
}

// answerAnswers: of a refused request an answer can be made that its sender
// can match, and that is itself readable.
func answerAnswers(t *testing.T, m *Message, err error) {
	t.Helper()
	if m == nil {
		t.Fatal("no message to answer")
	}
	e := err.(*ParseError)
	resp := NewResponse(m, e.Status, e.Reason())
	if got, want := resp.Get("Via"), m.Get("Via"); got != want || got == "" {
		t.Errorf("the answer has Via %q, want %q", got, want)
	}
	if _, err := Parse(resp.Append(nil), Limits{}); err != nil {
		t.Errorf("the answer cannot be read: %v\n%s", err, resp)
	}
	t.Log(resp.Status, resp.Reason, "at", e.Offset)
}

func TestTheTortureCorpusIsComplete(t *testing.T) {
	files, err := filepath.Glob("testdata/rfc*/*.dat")
	if err != nil || len(files) != 49+12 || len(torture) != 49+12 {
		t.Fatalf("%d files and %d verdicts, want 61 (%v)", len(files), len(torture), err)
	}
	for _, c := range torture {
		tortureMessage(t, c.name)
	}
}

// The archive's baddn lacks the empty line; its point is another one.
func TestADisplayNameThatNeedsQuotesIsRefused(t *testing.T) {
	b := append(tortureMessage(t, "baddn"), "\r\n"...)
	m, err := Parse(b, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := m.Check().(*ParseError); !ok || e.Status != 400 || e.Header != "From" {
		t.Errorf("%v, want a 400 for From", e)
	}
}

func TestWhatHasBareLineFeedsIsDropped(t *testing.T) {
	files, _ := filepath.Glob("testdata/rfc5118/*.dat")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if _, verdict, err := judge(b); verdict != dropped {
			t.Errorf("%s: %s, want dropped (%v)", f, verdict, err)
		}
	}
}

// What the RFC says a valid message contains, as our views show it.
func TestTheTortureMessagesAreUnderstood(t *testing.T) {
	show := func(v fmt.Stringer, err error) string {
		if err != nil {
			return err.Error()
		}
		return v.String()
	}
	from := func(m *Message) string { return show(m.From()) }
	to := func(m *Message) string { return show(m.To()) }
	contact := func(m *Message) string { return show(m.Contact()) }
	via := func(m *Message) string { return show(m.Via()) }
	uri := func(m *Message) string {
		u, err := ParseURI(m.RequestURI)
		return fmt.Sprintf("%s|%s|%s|%s|%d|%s %v", u.Scheme, u.User, u.Password, u.Host, u.Port, u.Params, err)
	}
	for _, c := range []struct {
		sentence, name string
		read           func(*Message) string
		want           string
	}{
		{"folds and blanks within To", "wsinv", to, "<sip:vivekg@chair-dnrc.example.com>;   tag    = 1918181833n"},
		{"the tag among them", "wsinv", func(m *Message) string { a, _ := m.To(); return a.Tag() }, "1918181833n"},
		{"escapes in a display name", "wsinv", func(m *Message) string { a, _ := m.From(); return a.Display }, `J Rosenberg \"`},
		{"blanks around every separator of Via", "wsinv", via, "SIP/2.0/UDP 192.0.2.2;branch=390skdjuw"},
		{"leading zeros", "wsinv", func(m *Message) string { n, err := m.MaxForwards(); return fmt.Sprint(n, err) }, "68 <nil>"},
		{"a folded CSeq", "wsinv", func(m *Message) string { return show(m.CSeq()) }, "9 INVITE"},
		{"an empty header under its compact name", "wsinv", func(m *Message) string { return fmt.Sprintf("%t %q", m.Has("Subject"), m.Get("Subject")) }, `true ""`},
		{"a folded value on one line", "wsinv", func(m *Message) string { return m.Get("newfangledheader") }, "newfangled value continued newfangled value"},
		{"three Via in two lines", "wsinv", func(m *Message) string {
			n := 0
			for v := range m.List("Via") {
				if _, err := ParseVia(v); err == nil {
					n++
				}
			}
			return fmt.Sprint(n)
		}, "3"},
		{"a URI of all legal characters", "intmeth", uri, "sip|1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*|&it+has=1,weird!*pas$wo~d_too.(doesn't-it)|example.com|0| <nil>"},
		{"control characters in quoted pairs are not shown", "intmeth", func(m *Message) string { a, _ := m.To(); return a.Display }, "BEL: NUL: DEL:"},
		{"several tokens as a display name", "intmeth", func(m *Message) string { a, _ := m.From(); return a.Display }, "token1~` token2'+_ token3*%!.-"},
		{"a tag of all legal characters", "intmeth", func(m *Message) string { a, _ := m.From(); return a.Tag() }, "_token~1'+`*%!-."},
		{"a URI within the user part", "esc01", uri, "sip|sips%3Auser%40example.com||example.net|0| <nil>"},
		{"escapes stay unresolved", "escnull", to, "<sip:null-%00-null@example.com>"},
		{"a method with percent signs is itself", "esc02", func(m *Message) string { return m.Method }, "RE%47IST%45R"},
		{"no blank before the bracket", "lwsdisp", from, `"caller" <sip:caller@example.com>;tag=323`},
		{"semicolons in the user part", "semiuri", uri, "sip|user;par=u%40example.net||example.com|0| <nil>"},
		{"a message behind the message", "dblreq", func(m *Message) string { return fmt.Sprint(m.Method, len(m.Body)) }, "REGISTER0"},
		{"a reason phrase in UTF-8", "unreason", func(m *Message) string { return m.Reason }, "= 2**3 * 5**2 но сто девяносто девять - простое"},
		{"no reason phrase", "noreason", func(m *Message) string { return fmt.Sprintf("%d %q", m.Status, m.Reason) }, `100 ""`},
		{"a binary body", "mpart01", func(m *Message) string { return fmt.Sprint(len(m.Body)) }, "553"},
		{"a URI with headers and no brackets", "regbadct", contact, "sip: Contact: URI needs angle brackets at byte 265 (400)"},
		{"schemes we do not know", "unksm2", from, "<http://www.example.com>;tag=3234233"},
		{"an address without brackets keeps its parameters", "inv2543", to, "<sip:+16505552222@ss1.example.net>;user=phone"},
		{"an IPv6 host", "ipv6-good", uri, "sip|||2001:db8::10|0| <nil>"},
		{"a port within the brackets", "port-ambiguous", uri, "sip|||2001:db8::10:5070|0| <nil>"},
		{"a port behind the brackets", "port-unambiguous", uri, "sip|||2001:db8::10|5070| <nil>"},
		{"received in brackets", "via-received-param-with-delim", via, "SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3-111"},
		{"received without", "via-received-param-no-delim", via, "SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3"},
		{"an IPv4-mapped address", "ipv4-mapped-ipv6", contact, `"T. desk phone" <sip:ted@[::ffff:192.0.2.2]>`},
		{"a third colon is taken out", "ipv6-bug-abnf-3-colons", to, "<sip:user@[2001:db8::192.0.2.1]>"},
	} {
		t.Run(c.name+" "+c.sentence, func(t *testing.T) {
			m, err := Parse(tortureMessage(t, c.name), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if got := c.read(m); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
