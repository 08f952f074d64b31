package sdp

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// crlf makes wire text of a readable literal.
func crlf(s string) []byte {
	return []byte(strings.ReplaceAll(strings.TrimLeft(s, "\n"), "\n", "\r\n"))
}

func parse(t testing.TB, s string) *Session {
	t.Helper()
	d, err := Parse(crlf(s))
	if err != nil {
		t.Fatalf("Parse: %v\n%s", err, s)
	}
	return d
}

// teamsOffer is an offer as the phone system sends it: suites _32 with tag 0
// and _80, SILK first, a loopback origin.
const teamsOffer = `
v=0
o=- 90311 0 IN IP4 127.0.0.1
s=session
c=IN IP4 198.51.100.77
t=0 0
m=audio 49210 RTP/SAVP 104 9 103 0 8 18 97 13 118 101
c=IN IP4 198.51.100.77
a=rtcp:49211
a=label:main-audio
a=mid:1
a=crypto:0 AES_CM_128_HMAC_SHA1_32 inline:uuVnz7gEZyPlju6hO8VqCIRDzOlC4VoSgE9WFI+C|2^31
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:w126Rsorb10OxNF10Da7m6eha9K/fTRmAgAuKtqK|2^31
a=sendrecv
a=rtpmap:104 SILK/16000
a=rtpmap:9 G722/8000
a=rtpmap:103 SILK/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:18 G729/8000
a=fmtp:18 annexb=no
a=rtpmap:97 RED/8000
a=rtpmap:13 CN/8000
a=rtpmap:118 CN/16000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=x-ssrc-range:1-1
a=ptime:20
`

func TestParseReadsAnOfferOfThePhoneSystem(t *testing.T) {
	s := parse(t, teamsOffer)
	if len(s.Media) != 1 {
		t.Fatalf("%d media sections", len(s.Media))
	}
	want := Origin{"-", "90311", "0", Conn{"IP4", "127.0.0.1"}}
	if s.Origin != want || s.Name != "session" || s.Timing != "0 0" {
		t.Errorf("session level: %+v %q %q", s.Origin, s.Name, s.Timing)
	}
	m := &s.Media[0]
	if m.Kind != "audio" || m.Port != 49210 || m.Proto != "RTP/SAVP" || m.RTCP.Port != 49211 ||
		m.Mid != "1" || m.Label != "main-audio" || m.Ptime != 20*time.Millisecond || m.Direction != SendRecv {
		t.Errorf("media: %+v", m)
	}
	if got := m.Conn.IP(); got != netip.MustParseAddr("198.51.100.77") {
		t.Errorf("connection %v", got)
	}
	if d := cmp.Diff([]Codec{
		{104, "SILK", 16000, 0, ""},
		{9, "G722", 8000, 0, ""},
		{103, "SILK", 8000, 0, ""},
		{0, "PCMU", 8000, 0, ""},
		{8, "PCMA", 8000, 0, ""},
		{18, "G729", 8000, 0, "annexb=no"},
		{97, "RED", 8000, 0, ""},
		{13, "CN", 8000, 0, ""},
		{118, "CN", 16000, 0, ""},
		{101, "telephone-event", 8000, 0, "0-16"},
	}, m.Codecs); d != "" {
		t.Error(d)
	}
	if len(m.Crypto) != 2 || m.Crypto[0].Tag != "0" || m.Crypto[1].Lifetime != "2^31" {
		t.Errorf("crypto %+v", m.Crypto)
	}
	if key, err := m.Crypto[1].Master(); err != nil || len(key) != 30 {
		t.Errorf("key of %d bytes, %v", len(key), err)
	}
}

func TestUnknownLinesStayInPlace(t *testing.T) {
	const text = `
v=0
o=- 1 2 IN IP4 192.0.2.1
s=-
i=about nothing
c=IN IP4 192.0.2.1
b=AS:64
t=0 0
a=group:BUNDLE 1
a=ice-lite
m=audio 4000 RTP/AVP 8 101
b=TIAS:64000
a=candidate:1 1 UDP 2130706431 192.0.2.1 4000 typ host
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=x-vendor
a=ptime:20
a=sendrecv
a=crypto:broken
a=rtcp-fb:* nack
m=image 0 udptl t38
a=T38FaxVersion:0
`
	if d := cmp.Diff(string(crlf(text)), string(parse(t, text).Bytes())); d != "" {
		t.Error(d)
	}
}

func TestAnEditIsWrittenWhereTheLineStood(t *testing.T) {
	s := parse(t, "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 RTP/AVP 8\na=sendrecv\na=x-after\n")
	s.Media[0].Direction = Inactive
	s.Media[0].Conn = Conn{"IP4", "192.0.2.9"}
	want := "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 RTP/AVP 8\na=inactive\na=x-after\nc=IN IP4 192.0.2.9\na=rtpmap:8 PCMA/8000\n"
	if d := cmp.Diff(string(crlf(want)), string(s.Bytes())); d != "" {
		t.Error(d)
	}
}

func TestParseTolerates(t *testing.T) {
	const head = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n"
	for name, tc := range map[string]struct {
		text string
		ok   func(*Session) bool
	}{
		"line feeds alone":                             {"", func(s *Session) bool { return s.Conn.Host == "192.0.2.1" }},
		"static numbers without rtpmap":                {"m=audio 1 RTP/AVP 0 3 4 8 9 13 18\n", func(s *Session) bool { return s.Media[0].Codecs[6] == Codec{18, "G729", 8000, 0, ""} }},
		"a number nobody names":                        {"m=audio 1 RTP/AVP 77\n", func(s *Session) bool { return s.Media[0].Codecs[0].Name == "" }},
		"an rtpmap for an unlisted one":                {"m=audio 1 RTP/AVP 8\na=rtpmap:99 X/8000\n", func(s *Session) bool { return len(s.Media[0].Codecs) == 1 }},
		"channels":                                     {"m=audio 1 RTP/AVP 99\na=rtpmap:99 opus/48000/2\n", func(s *Session) bool { return s.Media[0].Codecs[0].Channels == 2 }},
		"payload type twice":                           {"m=audio 1 RTP/AVP 3 3\na=rtpmap:3 0/1\na=rtpmap:3 GSM/8000\n", func(s *Session) bool { return len(s.Media[0].Codecs) == 1 }},
		"crypto tag 0 twice":                           {"m=audio 1 RTP/SAVP 8\na=crypto:0 S inline:k\na=crypto:0 S inline:k\n", func(s *Session) bool { return len(s.Media[0].Crypto) == 2 }},
		"lifetime and MKI":                             {"m=audio 1 RTP/SAVP 8\na=crypto:2 S inline:k|2^31|1:1\n", func(s *Session) bool { c := s.Media[0].Crypto[0]; return c.Lifetime == "2^31" && c.MKI == "1:1" }},
		"MKI alone":                                    {"m=audio 1 RTP/SAVP 8\na=crypto:2 S inline:k|1:1\n", func(s *Session) bool { c := s.Media[0].Crypto[0]; return c.Lifetime == "" && c.MKI == "1:1" }},
		"session parameters of a crypto":               {"m=audio 1 RTP/SAVP 8\na=crypto:2 S inline:k WSH=64\n", func(s *Session) bool { return s.Media[0].Crypto[0].Params == " WSH=64" }},
		"a=rtcp with an address":                       {"m=audio 1 RTP/AVP 8\na=rtcp:9 IN IP4 192.0.2.7\n", func(s *Session) bool { return s.Media[0].RTCP.Conn.Host == "192.0.2.7" }},
		"direction of the session":                     {"a=inactive\nm=audio 1 RTP/AVP 8\n", func(s *Session) bool { return s.Media[0].Direction == Inactive }},
		"null address of the session":                  {"m=audio 1 RTP/AVP 8\nc=IN IP4 0.0.0.0\n", func(s *Session) bool { return s.Media[0].Conn.Null() && !s.Conn.Null() }},
		"several addresses, of which the first counts": {"m=audio 1 RTP/AVP 8\nc=IN IP4 192.0.2.3\nc=IN IP4 192.0.2.4\n", func(s *Session) bool { return s.Media[0].Conn.Host == "192.0.2.3" }},
		"null IPv6 address":                            {"m=audio 1 RTP/AVP 8\nc=IN IP6 ::\n", func(s *Session) bool { return s.Media[0].Conn.Null() }},
		"a count of ports":                             {"m=audio 4000/2 RTP/AVP 8\n", func(s *Session) bool { return s.Media[0].Port == 4000 }},
		"a time to live":                               {"m=audio 1 RTP/AVP 8\nc=IN IP4 192.0.2.3/127\n", func(s *Session) bool { return s.Media[0].Conn.Host == "192.0.2.3" }},
		"blanks between formats":                       {"m=audio 1 RTP/AVP  8  0 \n", func(s *Session) bool { return len(s.Media[0].Codecs) == 2 }},
		"blank lines at the end":                       {"m=audio 1 RTP/AVP 8\n\n\n", func(s *Session) bool { return len(s.Media) == 1 }},
		"no line end at the end":                       {"m=audio 1 RTP/AVP 8\na=recvonly", func(s *Session) bool { return s.Media[0].Direction == RecvOnly }},
		"a ptime that is no number":                    {"m=audio 1 RTP/AVP 8\na=ptime:x\n", func(s *Session) bool { return s.Media[0].Ptime == 0 }},
		"a name for an address":                        {"m=audio 1 RTP/AVP 8\nc=IN IP4 media.example\n", func(s *Session) bool { return !s.Media[0].Conn.IP().IsValid() }},
		"SDES under the DTLS profile":                  {"m=audio 1 UDP/TLS/RTP/SAVP 8\n", func(s *Session) bool { return s.Media[0].Secure() && len(s.Media[0].Codecs) == 1 }},
		"a second a=fmtp of one number":                {"m=audio 1 RTP/AVP 8\na=fmtp:8 a\na=fmtp:8 b\n", func(s *Session) bool { return s.Media[0].Codecs[0].Fmtp == "a" }},
		"formats of what is not RTP":                   {"m=message 1 TCP/MSRP *\n", func(s *Session) bool { return s.Media[0].Formats[0] == "*" && s.Media[0].Codecs == nil }},
		"a zone in an address is no way":               {"m=audio 1 RTP/AVP 8\nc=IN IP6 fe80::1%eth0\n", func(s *Session) bool { return !s.Media[0].Conn.IP().IsValid() }},
		"a second t= of a repeated event":              {"t=1 2\nm=audio 1 RTP/AVP 8\n", func(s *Session) bool { return s.Timing == "0 0" }},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Parse([]byte(head + tc.text))
			if err != nil {
				t.Fatal(err)
			}
			if !tc.ok(s) {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestParseRefusesAndSaysWhere(t *testing.T) {
	const head = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n"
	for name, tc := range map[string]struct {
		text         string
		line, offset int
	}{
		"nothing":                   {"", 0, 0},
		"no version first":          {"o=- 1 1 IN IP4 192.0.2.1\r\n", 1, 0},
		"another version":           {"v=1\r\n", 1, 0},
		"version twice":             {head + "v=0\r\n", 3, 31},
		"no origin":                 {"v=0\r\ns=-\r\n", 2, 5},
		"half an origin":            {"v=0\r\no=- 1 1 IN IP4\r\n", 2, 5},
		"two origins":               {head + "o=- 1 1 IN IP4 192.0.2.1\r\n", 3, 31},
		"not a line":                {head + "garbage\r\n", 3, 31},
		"an upper case type":        {head + "A=x\r\n", 3, 31},
		"a carriage return inside":  {head + "s=a\rb\r\n", 3, 31},
		"a zero byte":               {head + "s=a\x00\r\n", 3, 31},
		"another network":           {head + "c=ATM NSAP 1\r\n", 3, 31},
		"a media line cut short":    {head + "m=audio 1 RTP/AVP\r\n", 3, 31},
		"a port out of range":       {head + "m=audio 65536 RTP/AVP 8\r\n", 3, 31},
		"a payload number too big":  {head + "m=audio 1 RTP/AVP 128\r\n", 3, 31},
		"a payload that is a word":  {head + "m=audio 1 RTP/AVP PCMA\r\n", 3, 31},
		"an origin after the media": {head + "m=audio 1 RTP/AVP 8\r\ns=x\r\n", 4, 52},
		"too many formats":          {head + "m=audio 1 RTP/AVP" + strings.Repeat(" 8", MaxCodecs+1) + "\r\n", 3, 31},
		"too many sections":         {head + strings.Repeat("m=audio 1 RTP/AVP 8\r\n", MaxMedia+1), 0, 0},
		"too many lines":            {head + strings.Repeat("a=x\r\n", MaxLines), MaxLines, 0},
		"a line too long":           {head + "a=" + strings.Repeat("x", MaxLine) + "\r\n", 3, 31},
		"a body too long":           {head + strings.Repeat("x", MaxBytes), 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(tc.text))
			e, ok := errors.AsType[*ParseError](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if e.Line != tc.line || e.Offset != tc.offset {
				t.Errorf("line %d, byte %d, want %d and %d: %v", e.Line, e.Offset, tc.line, tc.offset, err)
			}
		})
	}
}

func TestMasterChecksTheLength(t *testing.T) {
	for _, c := range []Crypto{
		{Suite: Suite, Inline: "c2hvcnQ="},
		{Suite: Suite, Inline: "!"},
		{Suite: "F8_128_HMAC_SHA1_80", Inline: "uuVnz7gEZyPlju6hO8VqCIRDzOlC4VoSgE9WFI+C"},
	} {
		if _, err := c.Master(); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
	padded := Crypto{Suite: "AEAD_AES_128_GCM", Inline: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="}
	for _, inline := range []string{padded.Inline, strings.TrimRight(padded.Inline, "=")} {
		padded.Inline = inline
		if key, err := padded.Master(); err != nil || len(key) != 28 {
			t.Errorf("%q: %d bytes, %v", inline, len(key), err)
		}
	}
}

func FuzzSDP(f *testing.F) {
	for _, s := range []string{
		teamsOffer, coreOffer, holdOffer, teamsAnswer,
		"v=0\no=- 1 1 IN IP6 ::1\ns=-\nt=0 0\na=inactive\nm=audio 1/3 RTP/AVPF 0 0 77\nc=IN IP4 0.0.0.0\na=rtpmap:77 a/1/2\n\n",
		"v=0\no=a b c IN X y\nm=image 0 udptl t38\nm=text 5 RTP/AVP 98\na=crypto:1 S inline:k|2^31|1:1 UNENCRYPTED_SRTP\na=mid:\n",
		"v=0\no=- 1 1 IN IP4 ::1\ns=-\nt=0 0\nc=IN IP6 ::1\nm=audio 9 RTP/SAVP 8\na=rtcp-mux\na=crypto:1 " + Suite + " inline:" + key30 + "|2^31|300:4;inline:" + key30 + "|2:4 WSH=9\n",
	} {
		f.Add(crlf(s))
	}
	f.Add([]byte("v=0\r\no=0 0 0 IN 0 0\r\ns=-\r\nt=0 0\r\nm=0 0 RTP/AVP 3 3\r\na=rtpmap:3 0/1\r\na=rtpmap:3 GSM/8000\r\n"))
	f.Add([]byte(keyed("UDP/TLS/RTP/SAVPF", farDTLS+"a=setup:actpass\r\na=tls-id:x\r\na=fingerprint:sha-512 1:2\r\n")))
	f.Add([]byte(keyed("RTP/SAVP", farCrypto+farDTLS+"a=setup:passive\r\n")))
	end := End{ID: 7, RTP: netip.MustParseAddrPort("203.0.113.10:30000"), RTCP: netip.MustParseAddrPort("203.0.113.10:30001"), Codecs: allCodecs}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse(b)
		if err != nil {
			return
		}
		once := s.Bytes()
		again, err := Parse(once)
		if err != nil {
			t.Fatalf("own text refused: %v\n%q", err, once)
		}
		if twice := again.Bytes(); !bytes.Equal(once, twice) {
			t.Fatalf("no fixed point:\n%q\n%q", once, twice)
		}
		checkNegotiation(t, s, end)
		secure := end
		secure.Secret, secure.Suites = make([]byte, SecretSize), Suites()
		secure.Lite = len(b)%2 == 0
		secure.Keying, secure.Print = Keying(len(b)%3), Fingerprint{"sha-256", ownPrint}
		checkNegotiation(t, s, secure)
	})
}

// checkNegotiation states what must hold of any description that is offered:
// our own text parses, agrees with an echo of itself, and keeps the m-lines.
func checkNegotiation(t *testing.T, s *Session, end End) {
	out, err := Offer(s, end)
	if err != nil {
		return
	}
	echo, err := Parse(out.Bytes())
	if err != nil {
		t.Fatalf("own offer refused: %v\n%s", err, out.Bytes())
	}
	if len(echo.Media) != len(s.Media) {
		t.Fatalf("%d sections became %d", len(s.Media), len(echo.Media))
	}
	seen := map[uint8]bool{}
	for _, c := range out.Media[out.audio()].Codecs {
		if seen[c.PT] {
			t.Fatalf("payload number %d twice\n%s", c.PT, out.Bytes())
		}
		seen[c.PT] = true
	}
	if _, err := Agree(out, echo); err != nil {
		t.Fatalf("echo of our offer: %v\n%s", err, out.Bytes())
	}
	if ans, err := Answer(s, echo, end); err == nil {
		if _, err := Parse(ans.Bytes()); err != nil || len(ans.Media) != len(s.Media) {
			t.Fatalf("answer: %v\n%s", err, ans.Bytes())
		}
	}
}

func BenchmarkParse(b *testing.B) {
	text := crlf(teamsOffer)
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	s := parse(b, teamsOffer)
	buf := make([]byte, 0, 2048)
	b.ReportAllocs()
	for b.Loop() {
		buf = s.Append(buf[:0])
	}
}
