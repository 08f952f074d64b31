package sip

import (
	"strings"
	"testing"
)

func TestARequestIsMade(t *testing.T) {
	m := NewRequest("OPTIONS", "sip:h")
	m.Prepend("Via", "SIP/2.0/UDP a;branch=z9hG4bK1")
	m.SetBody("text/plain", []byte("hi"))
	const want = "OPTIONS sip:h SIP/2.0\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\nMax-Forwards: 70\nContent-Type: text/plain\nContent-Length: 2\n\nhi"
	if got := m.String(); got != crlf(want) {
		t.Errorf("%q", got)
	}
	m.SetBody("", nil)
	if m.Has("Content-Type") || !strings.HasSuffix(m.String(), "Content-Length: 0\r\n\r\n") {
		t.Errorf("a body remains: %q", m)
	}
}

func TestAResponseCopiesWhatItMust(t *testing.T) {
	req := mustParse(t, "INVITE sip:b SIP/2.0\nv: SIP/2.0/UDP a\nX: 1\nt: <sip:b>\nVia: SIP/2.0/TCP b\nf: A<sip:a>;tag=1\nTimestamp: 5\ni: c\nCSeq:  1   INVITE\nl: 3\n\nsdp")
	for _, c := range []struct {
		sentence string
		resp     *Message
		want     string
	}{
		{"standard phrase", NewResponse(req, 486, ""), "SIP/2.0 486 Busy Here\nv: SIP/2.0/UDP a\nt: <sip:b>\nVia: SIP/2.0/TCP b\nf: A<sip:a>;tag=1\ni: c\nCSeq:  1   INVITE\nContent-Length: 0\n\n"},
		{"own phrase", NewResponse(req, 200, "Keepalive"), "SIP/2.0 200 Keepalive\nv: SIP/2.0/UDP a\nt: <sip:b>\nVia: SIP/2.0/TCP b\nf: A<sip:a>;tag=1\ni: c\nCSeq:  1   INVITE\nContent-Length: 0\n\n"},
		{"Trying", NewResponse(req, 100, ""), "SIP/2.0 100 Trying\nv: SIP/2.0/UDP a\nt: <sip:b>\nVia: SIP/2.0/TCP b\nf: A<sip:a>;tag=1\nTimestamp: 5\ni: c\nCSeq:  1   INVITE\nContent-Length: 0\n\n"},
	} {
		if got := c.resp.String(); got != crlf(c.want) {
			t.Errorf("%s: %q", c.sentence, got)
		}
	}
	resp := NewResponse(req, 180, "")
	resp.TagTo("x")
	resp.TagTo("y")
	if got := resp.Get("To"); got != "<sip:b>;tag=x" {
		t.Errorf("To: %s", got)
	}
}

func TestAClonesChangesAreItsOwn(t *testing.T) {
	m := mustParse(t, options+"\nbody")
	want := m.String()
	c := m.Clone()
	if c.String() != want {
		t.Fatalf("another message: %q", c)
	}
	c.Set("To", "x")
	c.Del("Call-ID")
	c.Add("X", "1")
	c.Body[0] = 'B'
	c.Method = "BYE"
	if got := m.String(); got != want {
		t.Errorf("the original changed: %q", got)
	}
}

func TestALengthIsAlwaysRight(t *testing.T) {
	m := mustParse(t, options+"l : 004\nContent-Length: 4\n\nbody")
	if got := m.String(); !strings.Contains(got, "l : 004\r\nContent-Length: 4\r\n") {
		t.Errorf("touched though right: %q", got)
	}
	m.Body = []byte("longer body")
	if got := m.String(); !strings.Contains(got, "l: 11\r\nContent-Length: 11\r\n") {
		t.Errorf("%q", got)
	}
}

func TestCheckTellsWhatATransactionMisses(t *testing.T) {
	with := func(old, new string) string { return strings.Replace(options+"\n", old, new, 1) }
	for _, c := range []struct {
		sentence, in string
		status       int // -1: passes
		header       string
	}{
		{"sound", options + "\n", -1, ""},
		{"no From", with("From: <sip:a@a.example>;tag=1\n", ""), 400, "From"},
		{"no To", with("To: <sip:b.example>\n", ""), 400, "To"},
		{"no Call-ID", with("Call-ID: c1\n", ""), 400, "Call-ID"},
		{"no CSeq", with("CSeq: 7 OPTIONS\n", ""), 400, "CSeq"},
		{"no Via: nobody to answer", with("Via: SIP/2.0/UDP a.example;branch=z9hG4bK1\n", ""), 0, "Via"},
		{"a bad Via", with("a.example;", "a.example;;"), 400, "Via"},
		{"a bad second Via is not ours to judge", with("branch=z9hG4bK1", "branch=z9hG4bK1, nonsense"), -1, ""},
		{"two From under two names", options + "f: <sip:c>;tag=2\n\n", 400, "From"},
		{"two Call-ID that are equal", options + "i: c1\n\n", 400, "Call-ID"},
		{"two Max-Forwards", options + "Max-Forwards: 1\nMAX-FORWARDS: 2\n\n", 400, "Max-Forwards"},
		{"Max-Forwards 255", options + "Max-Forwards: 255\n\n", -1, ""},
		{"Max-Forwards 256", options + "Max-Forwards: 256\n\n", 400, "Max-Forwards"},
		{"Max-Forwards with a tail", options + "Max-Forwards: 7x\n\n", 400, "Max-Forwards"},
		{"a Call-ID of two words", with("c1", "c 1"), 400, "Call-ID"},
		{"an empty Call-ID", with("c1", ""), 400, "Call-ID"},
		{"another method in CSeq", with("7 OPTIONS", "7 BYE"), 400, "CSeq"},
		{"the method in another case", with("7 OPTIONS", "7 options"), 400, "CSeq"},
		{"an unknown method and another in CSeq", with("OPTIONS sip", "FOO sip"), 501, "CSeq"},
		{"a scheme not served", with("sip:b.example SIP", "mailto:b@b.example SIP"), 416, "Request-URI"},
		{"a telephone number", with("sip:b.example SIP", "tel:+1 SIP"), -1, ""},
		{"an emergency service", with("sip:b.example SIP", "urn:service:sos SIP"), -1, ""},
		{"headers in the Request-URI", with("sip:b.example SIP", "sip:b.example?Route=x SIP"), 400, "Request-URI"},
		{"no tag in From, as of RFC 2543", with(";tag=1", ""), -1, ""},
		{"an ACK is not answered", strings.ReplaceAll(with("Call-ID: c1\n", ""), "OPTIONS", "ACK"), 0, "Call-ID"},
		{"a 200 to OPTIONS without To tag, as of Teams", with("OPTIONS sip:b.example SIP/2.0", "SIP/2.0 200 OK"), -1, ""},
		{"a bad response is dropped", strings.Replace(with("OPTIONS sip:b.example SIP/2.0", "SIP/2.0 200 OK"), "c1", "", 1), 0, "Call-ID"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			err := mustParse(t, c.in).Check()
			if c.status < 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if e, ok := err.(*ParseError); !ok || e.Status != c.status || e.Header != c.header {
				t.Errorf("%v, want status %d for %q", err, c.status, c.header)
			}
		})
	}
}

func TestViewsOfATeamsInvite(t *testing.T) {
	m, err := Parse(teamsInvite, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	if string(teamsInvite) != m.String() {
		t.Error("written differently")
	}
	ids, err := m.Addresses("P-Asserted-Identity")
	if err != nil || len(ids) != 2 || ids[0].URI.Scheme != "tel" || ids[1].URI.User != "john.doe" {
		t.Errorf("identities %v, %v", ids, err)
	}
	if n, err := m.Addresses("History-Info"); err != nil || len(n) != 4 {
		t.Errorf("history %v, %v", n, err)
	}
	if a, err := m.Address("Referred-By"); err != nil || a.URI.User != "+442079460779" {
		t.Errorf("Referred-By %v, %v", a, err)
	}
	if a, err := m.Address("b"); err != nil || a.URI.User != "+442079460779" {
		t.Errorf("Referred-By by its compact name %v, %v", a, err)
	}
	if none, err := m.Addresses("Route"); none != nil || err != nil {
		t.Errorf("Route %v, %v", none, err)
	}
	if _, err := m.Address("Diversion"); err == nil || err.(*ParseError).Header != "Diversion" {
		t.Errorf("a missing header: %v", err)
	}
	for _, list := range []string{"<sip:a>,,<sip:b>", "<sip:a>,", ",<sip:a>", ""} {
		m.Set("Route", list)
		if _, err := m.Addresses("Route"); err == nil {
			t.Errorf("an empty item of a list went through: %q", list)
		}
	}
}

func TestOversizeNamesWhatIsTooLarge(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		what string
		edit func(*Message)
	}{
		{"", func(*Message) {}},
		{"message above 10 KB", func(m *Message) { m.Body = make([]byte, 10<<10) }},
		{"Request-URI above 256 bytes", func(m *Message) { m.RequestURI = "sip:" + long }},
		{"header name above 32 bytes", func(m *Message) { m.Set(long[:33], "") }},
		{"Supported above 256 bytes", func(m *Message) { m.Set("k", long) }},
		{"option tag above 32 bytes", func(m *Message) { m.Set("Require", "a, "+long[:33]) }},
		{"Contact URI above 256 bytes", func(m *Message) { m.Set("Contact", "<sip:"+long+">") }},
		{"user part of From above 256 bytes", func(m *Message) { m.Set("From", "<sip:"+long+"@h>") }},
		{"domain of From above 255 bytes", func(m *Message) { m.Set("From", "<sip:"+long+">") }},
	} {
		m := mustParse(t, options+"\n")
		c.edit(m)
		if got := m.Oversize(); got != c.what {
			t.Errorf("%q, want %q", got, c.what)
		}
	}
}

func TestAnOrdinaryMessageIsMeasuredWithoutAllocating(t *testing.T) {
	m, err := Parse(teamsInvite, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if allocs := testing.AllocsPerRun(100, func() { m.Oversize() }); allocs != 0 || m.Oversize() != "" {
		t.Errorf("%v allocations, %q", allocs, m.Oversize())
	}
}

// The figures of the benchmarks that hold on any machine.
func TestReadingAndWritingAllocateLittle(t *testing.T) {
	if allocs := testing.AllocsPerRun(100, func() { readForCall(t, teamsInvite, Limits{}) }); allocs > 6 {
		t.Errorf("reading: %v allocations, want 4, or at most 6 under the race detector", allocs)
	}
	m, err := Parse(teamsInvite, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, 4096)
	if allocs := testing.AllocsPerRun(100, func() { buf = m.Append(buf[:0]) }); allocs != 0 {
		t.Errorf("writing: %v allocations, want none", allocs)
	}
}
