package trace

import (
	"strings"
	"testing"
)

func TestProofsAreBlanked(t *testing.T) {
	const message = "INVITE sip:a SIP/2.0\r\n" +
		`Proxy-Authorization: Digest username="trunk",nonce="abc",uri="sip:a",Response="0123456789abcdef",qop=auth` + "\r\n" +
		`Authorization: Digest response="fedcba` + "\r\nX: inline:key|x\r\n\r\n"
	got := string(blank([]byte(message)))
	want := strings.NewReplacer("0123456789abcdef", "****************", "fedcba", "******", "inline:key", "inline:***").Replace(message)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
