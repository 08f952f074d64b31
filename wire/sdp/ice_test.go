package sdp

import (
	"net/netip"
	"strings"
	"testing"
)

const bypassOffer = "v=0\r\no=- 1 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n" +
	"m=audio 50000 RTP/SAVP 9 8 0 13 101\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n" +
	"a=candidate:1 1 UDP 2130706431 10.0.0.5 50000 typ host\r\na=candidate:2 1 UDP 1694498815 198.51.100.7 50000 typ srflx raddr 10.0.0.5 rport 50000\r\n" +
	"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:w126Rsorb10OxNF10Da7m6eha9K/fTRmAgAuKtqK|2^31\r\na=rtcp-mux\r\na=rtpmap:101 telephone-event/8000\r\n"

func bypassEnd() End {
	return End{
		ID: 7, RTP: netip.MustParseAddrPort("203.0.113.10:30020"), RTCP: netip.MustParseAddrPort("203.0.113.10:30021"),
		Codecs: []string{"PCMA", "PCMU", "G722"}, Secret: make([]byte, SecretSize), Suites: []string{Suite}, Mux: true, Lite: true,
	}
}

func parseText(t *testing.T, text string) *Session {
	t.Helper()
	s, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOurHalfOfICEIsDescribed(t *testing.T) {
	core := parseText(t, "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n")
	out, err := Offer(core, bypassEnd())
	if err != nil {
		t.Fatal(err)
	}
	text := string(out.Bytes())
	for _, want := range []string{
		"c=IN IP4 203.0.113.10\r\nt=0 0\r\na=ice-lite\r\nm=audio 30020 ", "a=ice-ufrag:", "a=ice-pwd:",
		"a=candidate:1 1 UDP 2130706431 203.0.113.10 30020 typ host\r\n", "a=rtcp-mux\r\n", "a=crypto:",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the offer lacks %q:\n%s", want, text)
		}
	}
	if again := parseText(t, text); string(again.Bytes()) != text {
		t.Errorf("it reads as\n%s", again.Bytes())
	}
}

// Microsoft Teams docs, "Plan for media bypass": nothing of ours changes
// between an early answer and the final one; an ICE restart brings new
// credentials (RFC 8839 4.4.1.1).
func TestCredentialsStayWithoutARestart(t *testing.T) {
	accepted := parseText(t, "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n")
	e := bypassEnd()
	answer := func(text string) ICE {
		t.Helper()
		offer := parseText(t, text)
		s, err := Answer(offer, accepted, e)
		if err != nil {
			t.Fatal(err)
		}
		e.Sent, e.Received = s, offer
		of, lite := s.ice()
		if of == (ICE{}) || !lite {
			t.Fatalf("no ICE in\n%s", s.Bytes())
		}
		return of
	}
	first := answer(bypassOffer)
	if again := answer(bypassOffer); again != first {
		t.Errorf("credentials changed without a restart: %v, %v", first, again)
	}
	offer, err := Offer(accepted, e)
	if err != nil {
		t.Fatal(err)
	}
	if of, _ := offer.ice(); of != first {
		t.Errorf("an offer of ours changed them: %v, %v", first, of)
	}
	restart := strings.NewReplacer("abcd\r", "wxyz\r", "abcdefghijklmnopqrstuv", "vutsrqponmlkjihgfedcba").Replace(bypassOffer)
	second := answer(restart)
	if second == first || second.Ufrag == first.Ufrag || second.Pwd == first.Pwd {
		t.Errorf("a restart did not change them: %v, %v", first, second)
	}
	if again := answer(restart); again != second {
		t.Errorf("they changed after the restart: %v, %v", second, again)
	}
}

func TestWhoHasNoICEGetsNone(t *testing.T) {
	accepted := parseText(t, "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n")
	for name, text := range map[string]string{
		"a media processor": strings.NewReplacer("a=ice-ufrag:abcd\r\n", "", "a=ice-pwd:abcdefghijklmnopqrstuv\r\n", "").Replace(bypassOffer),
		"too short a word":  strings.Replace(bypassOffer, "ice-pwd:abcdefghijklmnopqrstuv", "ice-pwd:short", 1),
	} {
		s, err := Answer(parseText(t, text), accepted, bypassEnd())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(s.Bytes()), "ice") || strings.Contains(string(s.Bytes()), "candidate") {
			t.Errorf("%s is answered\n%s", name, s.Bytes())
		}
	}
	off := bypassEnd()
	off.Lite = false
	if s, err := Answer(parseText(t, bypassOffer), accepted, off); err != nil || strings.Contains(string(s.Bytes()), "ice") {
		t.Errorf("ICE where it is off: %v", err)
	}
}

func TestChecksAreAgreed(t *testing.T) {
	core := parseText(t, "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n")
	sent, err := Offer(core, bypassEnd())
	if err != nil {
		t.Fatal(err)
	}
	ours, _ := sent.ice()
	side, err := Agree(sent, parseText(t, bypassOffer))
	if err != nil || side.Checks == nil || *side.Checks != (Checks{Own: ours, Remote: ICE{"abcd", "abcdefghijklmnopqrstuv"}}) || !side.Mux {
		t.Errorf("%+v, %v", side, err)
	}
	// RFC 8445 6.1.1: between two that are lite nobody checks.
	lite := strings.Replace(bypassOffer, "t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n", 1)
	if side, err := Agree(sent, parseText(t, lite)); err != nil || side.Checks != nil || side.RTP.String() != "198.51.100.7:50000" {
		t.Errorf("%+v, %v", side, err)
	}
}
