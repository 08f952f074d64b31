package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Each hostile message gets the answer the standard has for it, or none.
func TestHostileMessagesGetTheirAnswer(t *testing.T) {
	s := besiege(t)
	s.inProcess()
	m := s.mouth(hostWild, 5060)
	sound := offer(netip.AddrPortFrom(s.v4(hostWild), 9000))
	long := func(n int) string { return strings.Repeat("x", n) }
	via := "Via: SIP/2.0/UDP %h;rport;branch=z9hG4bK%n"
	for _, c := range []struct {
		name string
		l    letter
		want int // 0: silence
	}{
		{"REGISTER", letter{method: "REGISTER"}, 405},
		{"SUBSCRIBE", letter{method: "SUBSCRIBE"}, 405},
		{"a method nobody knows", letter{method: "EXPLODE"}, 501},
		{"OPTIONS", letter{method: "OPTIONS"}, 200},
		{"a BYE out of nowhere", letter{method: "BYE", headers: []string{"To: <sip:a@b>;tag=guess"}}, 481},
		{"a BYE without a tag", letter{method: "BYE"}, 481},
		{"a PRACK out of nowhere", letter{method: "PRACK", headers: []string{"To: <sip:a@b>;tag=guess"}}, 481},
		{"an INVITE in a dialog that is none", letter{method: "INVITE", headers: []string{"To: <sip:a@b>;tag=guess"}, body: sound}, 481},
		{"a REFER in a dialog that is none", letter{method: "REFER", headers: []string{"To: <sip:a@b>;tag=guess", "Refer-To: <sip:evil@b>"}}, 481},
		{"a CANCEL for nothing", letter{method: "CANCEL"}, 481},
		{"an ACK for nothing", letter{method: "ACK", headers: []string{"To: <sip:a@b>;tag=guess"}}, 0},
		{"no hops left", letter{method: "INVITE", headers: []string{"Max-Forwards: 0"}, body: sound}, 483},
		{"hops that are no number", letter{method: "INVITE", headers: []string{"Max-Forwards: many"}, body: sound}, 400},
		{"too many hops", letter{method: "INVITE", headers: []string{"Max-Forwards: 99999"}, body: sound}, 400},
		{"a number nobody has", letter{method: "INVITE", uri: "sip:+999999999999999@%d", body: sound}, 404},
		{"a user that is no number", letter{method: "INVITE", uri: "sip:admin@%d", body: sound}, 404},
		{"a call to itself", letter{method: "INVITE", uri: "sip:%d", body: sound}, 484},
		{"another scheme", letter{method: "INVITE", uri: "http://internal/", body: sound}, 416},
		{"an extension nobody has", letter{method: "INVITE", headers: []string{"Require: bomb"}, body: sound}, 420},
		{"a body of another kind", letter{method: "INVITE", headers: []string{"Content-Type: text/html"}, body: "<script>"}, 415},
		{"a body that is not what it says", letter{method: "INVITE", body: "this is no session"}, 400},
		{"a body in an encoding", letter{method: "INVITE", headers: []string{"Content-Encoding: gzip"}, body: sound}, 415},
		{"a thousand media", letter{method: "INVITE", body: sound + strings.Repeat("m=audio 9 RTP/AVP 8\r\n", 1000)}, 400},
		{"five thousand attributes", letter{method: "INVITE", body: sound + strings.Repeat("a=x:y\r\n", 5000)}, 400},
		{"an attribute of 60 KB", letter{method: "INVITE", body: sound + "a=x:" + long(60_000) + "\r\n"}, 400},
		{"a format list of 30 KB", letter{method: "INVITE", body: strings.Replace(sound, " 8 0\r\n", strings.Repeat(" 8", 15_000)+"\r\n", 1)}, 400},
		{"ports beyond the last", letter{method: "INVITE", body: strings.Replace(sound, "9000", "99999", 1)}, 400},
		{"a multipart in a multipart, a hundred deep", letter{
			method: "INVITE", headers: []string{"Content-Type: multipart/mixed;boundary=b"}, body: deep(100),
		}, 200},
		{"a multipart without end", letter{
			method: "INVITE", headers: []string{"Content-Type: multipart/mixed;boundary=b"},
			body: strings.Repeat("--b\r\nContent-Type: text/plain\r\n\r\nx\r\n", 1500),
		}, 200},
		{"500 headers", letter{method: "OPTIONS", headers: numbered(500)}, 513},
		{"a header of 20 KB", letter{method: "OPTIONS", headers: []string{"X-Bomb: " + long(20_000)}}, 513},
		{"a header folded 10 000 times", letter{method: "OPTIONS", headers: []string{"X-Bomb: x" + strings.Repeat("\r\n x", 10_000)}}, 513},
		{"a name of 10 KB", letter{method: "OPTIONS", headers: []string{long(10_000) + ": x"}}, 400},
		{"a Request-URI of 20 KB", letter{method: "OPTIONS", uri: "sip:" + long(20_000) + "@%d"}, 414},
		{"a thousand Via in a line", letter{method: "OPTIONS", headers: []string{via + strings.Repeat(", SIP/2.0/UDP a", 1000)}}, 200},
		{"a From without address", letter{method: "INVITE", headers: []string{"From: ;tag=1"}, body: sound}, 400},
		{"two Call-IDs", letter{method: "INVITE", headers: []string{"Call-ID: a", "Call-ID : b"}, body: sound}, 400},
		{"a CSeq of another method", letter{method: "INVITE", headers: []string{"CSeq: 1 BYE"}, body: sound}, 400},
		{"a CSeq too large", letter{method: "INVITE", headers: []string{"CSeq: 4294967296 INVITE"}, body: sound}, 400},
		{"a length beyond the datagram", letter{method: "OPTIONS", headers: []string{"Content-Length : 5000"}}, 400},
		{"a negative length", letter{method: "OPTIONS", headers: []string{"Content-Length : -1"}}, 400},
		{"a top Via without sense", letter{method: "OPTIONS", headers: []string{"Via: ;;;,"}}, 400},
		{"no Via", letter{method: "OPTIONS", headers: []string{"-Via"}}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.t = t
			m.say(c.l)
			within := soon
			if c.want == 0 {
				within = 800 * time.Millisecond // nothing is to come, and later would be no better
			}
			got := m.final(within)
			switch {
			case got == nil && c.want != 0:
				t.Errorf("silence, want %d", c.want)
			case got != nil && got.Status != c.want:
				t.Errorf("%d %s, want %d", got.Status, got.Reason, c.want)
			}
			m.leave(c.l, got)
		})
	}
	s.t = t
	s.settled()
}

func numbered(n int) (headers []string) {
	for i := range n {
		headers = append(headers, fmt.Sprintf("X-%d: x", i))
	}
	return headers
}

// deep is a multipart in a multipart.
func deep(n int) string {
	b := "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n"
	for range n {
		b = "--b\r\nContent-Type: multipart/mixed;boundary=b\r\n\r\n" + b + "--b--\r\n"
	}
	return b
}

// torture is RFC 4475's and 5118's messages, with those of the fuzzers.
func torture(t *testing.T) (all [][]byte) {
	t.Helper()
	files, _ := filepath.Glob("../wire/sip/testdata/rfc*/*.dat")
	if len(files) < 60 {
		t.Fatalf("%d messages of torture", len(files))
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}
