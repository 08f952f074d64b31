package sdp

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tandemgw/tandem/wire/rtp"
)

// secret has no two octets alike within a key.
func secret() []byte {
	b := make([]byte, SecretSize)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func secureCore(suites ...string) End {
	e := core()
	e.Secret, e.Suites = secret(), suites
	return e
}

const (
	key30 = "d1GM2VbCF+nm7MD8Xl0wuE972Px+bKmkyy6VpCN+"
	key46 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLQ=="
	key28 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw=="
	key44 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKis="
)

// secured is an offer or answer of a core with these crypto lines.
func secured(t *testing.T, lines ...string) *Session {
	t.Helper()
	text := "v=0\no=- 1 1 IN IP4 10.0.0.1\ns=-\nc=IN IP4 10.0.0.1\nt=0 0\nm=audio 20000 RTP/SAVP 8\n"
	for _, l := range lines {
		text += "a=crypto:" + l + "\n"
	}
	return parse(t, text)
}

// zoomLines are the suites of an offer of Zoom, which likes the strongest best.
var zoomLines = []string{
	"1 AEAD_AES_256_GCM inline:" + key44 + "|2^31",
	"2 AES_256_CM_HMAC_SHA1_80 inline:" + key46 + "|2^31",
	"3 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + "|2^31",
	"4 AES_CM_128_HMAC_SHA1_32 inline:" + key30 + "|2^31",
}

func TestEverySuiteIsTheRelaysToo(t *testing.T) {
	total := 0
	for _, suite := range Suites() {
		k, err := rtp.NewKeys(suite)
		if err != nil {
			t.Fatal(err)
		}
		c, ok := secureCore().crypto("1", suite)
		master, err := c.Master()
		if !ok || err != nil || len(master) != len(k.Master) {
			t.Errorf("%s: key and salt of %d octets, the relay wants %d (%v)", suite, len(master), len(k.Master), err)
		}
		if !bytes.Equal(master, secret()[total:total+len(master)]) {
			t.Errorf("%s: its key is not its own", suite)
		}
		total += len(master)
	}
	if total != SecretSize {
		t.Errorf("the keys are %d octets, SecretSize is %d", total, SecretSize)
	}
}

func TestSuitesAreOfferedInTheirOrder(t *testing.T) {
	near := parse(t, coreOffer)
	m := must(Offer(near, secureCore(Suite, "unheard of", "AEAD_AES_256_GCM", "AES_256_CM_HMAC_SHA1_80"))).Carried()
	got := ""
	for _, c := range m.Crypto {
		got += c.Tag + " " + c.Suite + "\n"
	}
	if d := cmp.Diff("1 AES_CM_128_HMAC_SHA1_80\n2 AEAD_AES_256_GCM\n3 AES_256_CM_HMAC_SHA1_80\n", got); d != "" {
		t.Error(d)
	}
	if m := must(Offer(near, secureCore())).Carried(); len(m.Crypto) != 1 || m.Crypto[0].Suite != Suite {
		t.Errorf("without a list: %+v", m.Crypto)
	}
}

func TestTheAnswererPicksAndBothKnowWhat(t *testing.T) {
	near := parse(t, coreOffer)
	all := secureCore(Suites()...)
	sent := must(Offer(near, all))
	for i, suite := range Suites() {
		key, _ := all.crypto("", suite)
		theirs := map[int]string{30: key30, 46: key46, 28: key28, 44: key44}[len(must(key.Master()))]
		answer := secured(t, fmt.Sprintf("%d %s inline:%s|2^31", i+1, suite, theirs))
		side := must(Agree(sent, answer))
		if side.In.Suite != suite || side.Out.Suite != suite || !bytes.Equal(side.Out.Master, must(key.Master())) {
			t.Errorf("%s: in %s, out %s", suite, side.In.Suite, side.Out.Suite)
		}
		if want := must(answer.Media[0].Crypto[0].Master()); !bytes.Equal(side.In.Master, want) {
			t.Errorf("%s: not its key", suite)
		}
	}
	two := secured(t, "7 "+Suite+" inline:AAAA"+key30[4:], "1 "+Suite+" inline:"+key30)
	if side := must(Agree(must(Offer(near, secureCore(Suite))), two)); !bytes.Equal(side.In.Master, must(two.Media[0].Crypto[1].Master())) {
		t.Error("of two lines the one with a tag that was never offered")
	}
	if _, err := Agree(must(Offer(near, secureCore(Suite))), secured(t, zoomLines[0])); !errors.Is(err, ErrNoKeys) {
		t.Errorf("a suite that was never offered: %v", err)
	}
}

func TestOfTheSuitesOfferedTheFirstThatMayBeUsedIs(t *testing.T) {
	mki := func(line string) string { return line + "|1:4" }
	for _, tc := range []struct {
		name    string
		may     []string
		offered []string
		want    string // tag and suite
	}{
		{"the offer's first choice", Suites(), zoomLines, "1 AEAD_AES_256_GCM"},
		{"the one we have", nil, zoomLines, "3 AES_CM_128_HMAC_SHA1_80"},
		{"our own order does not matter", []string{Suite, "AES_256_CM_HMAC_SHA1_80"}, zoomLines, "2 AES_256_CM_HMAC_SHA1_80"},
		{"none", []string{"AEAD_AES_128_GCM"}, zoomLines, ""},
		{"not with an MKI if it can be without", Suites(), []string{mki(zoomLines[0]), mki(zoomLines[1]), zoomLines[2]}, "3 AES_CM_128_HMAC_SHA1_80"},
		{"with an MKI if need be", Suites(), []string{mki(zoomLines[1]), mki(zoomLines[2])}, "2 AES_256_CM_HMAC_SHA1_80"},
		{"not with a broken MKI", Suites(), []string{zoomLines[0] + "|x:4", mki(zoomLines[2])}, "3 AES_CM_128_HMAC_SHA1_80"},
		{"not when it is no encryption", Suites(), []string{zoomLines[0] + " UNENCRYPTED_SRTP", zoomLines[3]}, "4 AES_CM_128_HMAC_SHA1_32"},
		{"a hint is no matter", Suites(), []string{zoomLines[3] + " WSH=1024 KDR=0 -NEW"}, "4 AES_CM_128_HMAC_SHA1_32"},
		{"nor are further keys", Suites(), []string{mki(zoomLines[3]) + ";inline:" + key30 + "|2^20|2:4"}, "4 AES_CM_128_HMAC_SHA1_32"},
	} {
		offer := secured(t, tc.offered...)
		end := secureCore(tc.may...)
		answer, err := Answer(offer, parse(t, coreOffer), end)
		if tc.want == "" {
			if !errors.Is(err, ErrNoKeys) {
				t.Errorf("%s: %v", tc.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		lines := answer.Carried().Crypto
		if len(lines) != 1 || lines[0].Tag+" "+lines[0].Suite != tc.want || lines[0].MKI != "" {
			t.Errorf("%s: answered %+v", tc.name, lines)
		}
		side := must(Agree(answer, offer))
		for _, c := range offer.Carried().Crypto {
			if c.Tag == lines[0].Tag {
				if !bytes.Equal(side.In.Master, must(c.Master())) || (side.In.MKI != nil) != (c.MKI != "") {
					t.Errorf("%s: keys %+v of %+v", tc.name, side.In, c)
				}
			}
		}
	}
}

func TestMKIs(t *testing.T) {
	for text, want := range map[string][]byte{
		"":                       nil,
		"1:1":                    {1},
		"1:4":                    {0, 0, 0, 1},
		"258:2":                  {1, 2},
		"0:1":                    {0},
		"65535:2":                {255, 255},
		"18446744073709551617:9": {1, 0, 0, 0, 0, 0, 0, 0, 1},
	} {
		if got, ok := (Crypto{MKI: text}).identifier(); !ok || !bytes.Equal(got, want) {
			t.Errorf("%q: %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"256:1", "65536:2", "1:0", "1:129", ":1", "1:", "x:1", "1:x", "-1:1", ":"} {
		if got, ok := (Crypto{MKI: text}).identifier(); ok {
			t.Errorf("%q became %v", text, got)
		}
	}
	if id, ok := (Crypto{MKI: strings.Repeat("9", 300) + ":128"}).identifier(); !ok || len(id) != 128 {
		t.Errorf("the longest one: %v, %v", id, ok)
	}
}

func TestARefreshSaysTheSameKeysAgain(t *testing.T) {
	near := parse(t, coreOffer)
	for name, first := range map[string]func(End) *Session{
		"after our offer":  func(e End) *Session { return must(Offer(near, e)) },
		"after our answer": func(e End) *Session { return must(Answer(secured(t, zoomLines...), near, e)) },
	} {
		e := secureCore(Suites()...)
		e.Sent = first(e)
		e.Received = secured(t, zoomLines[0])
		again := must(Offer(parse(t, "v=0\no=- 1 1 IN IP4 10.0.0.1\ns=-\nc=IN IP4 10.0.0.1\nt=0 0\nm=audio 20000 RTP/AVP 8\na=sendonly\n"), e))
		if d := cmp.Diff(e.Sent.Carried().Crypto, again.Carried().Crypto); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestMultiplexedControl(t *testing.T) {
	withMux := func(s string) *Session {
		return parse(t, strings.Replace(s, "a=ptime:20", "a=ptime:20\na=rtcp-mux", 1))
	}
	plain := parse(t, coreOffer)

	if must(Offer(plain, core())).Carried().Mux {
		t.Error("offered to who is not to be offered it")
	}
	asked := core()
	asked.Mux = true
	if m := must(Offer(plain, asked)).Carried(); !m.Mux || m.RTCP.Port != 40001 {
		t.Errorf("offered as %+v: without a port of RTCP's own nobody can decline", m)
	}
	if must(Offer(withMux(coreOffer), core())).Carried().Mux {
		t.Error("what one side offers crossed to the other")
	}
	if must(Answer(plain, plain, core())).Carried().Mux {
		t.Error("accepted what was not offered")
	}
	e, near := core(), withMux(coreOffer)
	e.Sent = must(Answer(near, plain, e))
	if side := must(Agree(e.Sent, near)); !side.Mux || side.RTCP != side.RTP {
		t.Errorf("not accepted: %+v", side)
	}
	e.Received = near
	if again := must(Offer(plain, e)); !again.Carried().Mux {
		t.Error("a re-INVITE of ours takes it back")
	}
	e.Received = plain
	if again := must(Offer(plain, e)); again.Carried().Mux {
		t.Error("a re-INVITE of ours offers it after it was taken back")
	}
	// RFC 5761 4: with these numbers the two could not be told apart.
	clash := parse(t, "v=0\no=- 1 1 IN IP4 10.0.0.1\ns=-\nc=IN IP4 10.0.0.1\nt=0 0\nm=audio 20000 RTP/AVP 8 77\na=rtpmap:77 telephone-event/8000\na=rtcp-mux\n")
	far := parse(t, "v=0\no=- 1 1 IN IP4 10.0.0.1\ns=-\nc=IN IP4 10.0.0.1\nt=0 0\nm=audio 20000 RTP/AVP 8 101\na=rtpmap:101 telephone-event/8000\n")
	if m := must(Answer(clash, far, core())).Carried(); m.Mux || len(m.Codecs) != 2 {
		t.Errorf("accepted with numbers that look like RTCP: %+v", m)
	}
}
