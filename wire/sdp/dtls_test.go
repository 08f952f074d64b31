package sdp

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	ownPrint  = "4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:3E:4B:65:2E:7D:46:3F:54:42:CD:54:F1"
	farPrint  = "12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:3E:4B"
	nextPrint = "22:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:3E:4B"

	farCrypto = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:w126Rsorb10OxNF10Da7m6eha9K/fTRmAgAuKtqK|2^31\r\n"
	farDTLS   = "a=fingerprint:SHA-256 " + farPrint + "\r\n"
)

func keyedEnd(k Keying) End {
	return End{
		ID: 7, RTP: netip.MustParseAddrPort("203.0.113.10:30020"), RTCP: netip.MustParseAddrPort("203.0.113.10:30021"),
		Codecs: []string{"PCMA"}, Secret: make([]byte, SecretSize), Keying: k, Print: Fingerprint{"sha-256", ownPrint},
	}
}

func keyed(proto, lines string) string {
	return "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 " + proto + " 8\r\n" + lines
}

// keyLines are what of a section says where its keys come from: the transport,
// and the first words of attributes.
func keyLines(s *Session) (lines []string) {
	for l := range strings.SplitSeq(string(s.Bytes()), "\r\n") {
		words := strings.Fields(l)
		switch {
		case strings.HasPrefix(l, "m=audio"):
			lines = append(lines, words[0]+" "+words[2])
		case strings.HasPrefix(l, "a=crypto"), strings.HasPrefix(l, "a=setup"), strings.HasPrefix(l, "a=fingerprint"):
			lines = append(lines, words[0])
		}
	}
	return lines
}

// RFC 5763 5, RFC 5764 8; Microsoft Teams docs, "Plan for media bypass": SDES,
// and DTLS beside it.
func TestWhatIsOfferedForKeys(t *testing.T) {
	core := parseText(t, keyed("RTP/AVP", ""))
	for _, x := range []struct {
		name string
		k    Keying
		want []string
	}{
		{"SDES alone is usual", BySDES, []string{"m=audio RTP/SAVP", "a=crypto:1"}},
		{"a handshake alone", ByDTLS, []string{"m=audio UDP/TLS/RTP/SAVP", "a=setup:actpass", "a=fingerprint:sha-256"}},
		{"both", ByEither, []string{"m=audio RTP/SAVP", "a=setup:actpass", "a=fingerprint:sha-256", "a=crypto:1"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			e := keyedEnd(x.k)
			out, err := Offer(core, e)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(x.want, keyLines(out)); diff != "" {
				t.Errorf("%s\n%s", diff, out.Bytes())
			}
			if out.Media[0].Mux != (x.k == ByDTLS) {
				t.Errorf("mux is %v", out.Media[0].Mux)
			}
			e.Sent = out
			again, err := Offer(core, e)
			if err != nil || string(again.Bytes()) != string(out.Bytes()) {
				t.Errorf("a refresh changes the offer: %v\n%s", err, again.Bytes())
			}
		})
	}
	clear := keyedEnd(ByDTLS)
	clear.Secret = nil
	out, err := Offer(core, clear)
	if err != nil || cmp.Diff([]string{"m=audio RTP/AVP"}, keyLines(out)) != "" {
		t.Errorf("in the clear: %v\n%s", err, out.Bytes())
	}
}

// RFC 4145 4.1, RFC 5763 5, RFC 8842 5.3.
func TestHowAnOfferOfKeysIsAnswered(t *testing.T) {
	const tls, savp = "UDP/TLS/RTP/SAVP", "RTP/SAVP"
	for _, x := range []struct {
		name, proto, lines string
		k                  Keying
		want               []string
		err                error
		client             bool
	}{
		{"actpass: we begin", tls, farDTLS + "a=setup:actpass\r\n", ByDTLS, []string{"m=audio " + tls, "a=setup:active", "a=fingerprint:sha-256"}, nil, true},
		{"active: we wait", tls, farDTLS + "a=setup:active\r\n", ByEither, []string{"m=audio " + tls, "a=setup:passive", "a=fingerprint:sha-256"}, nil, false},
		{"passive: we begin", tls, farDTLS + "a=setup:passive\r\n", ByDTLS, []string{"m=audio " + tls, "a=setup:active", "a=fingerprint:sha-256"}, nil, true},
		{"no setup means active", tls, farDTLS, ByDTLS, []string{"m=audio " + tls, "a=setup:passive", "a=fingerprint:sha-256"}, nil, false},
		{"the other token", tls + "F", farDTLS + "a=setup:actpass\r\n", ByDTLS, []string{"m=audio " + tls + "F", "a=setup:active", "a=fingerprint:sha-256"}, nil, true},
		{"holdconn asks for nothing", tls, farDTLS + "a=setup:holdconn\r\n", ByDTLS, nil, ErrNoKeys, false},
		{"a handshake where only SDES may be", tls, farDTLS + "a=setup:actpass\r\n", BySDES, nil, ErrNoKeys, false},
		{"SDES where only a handshake may be", savp, farCrypto, ByDTLS, nil, ErrNoKeys, false},
		{"both, and only SDES may be", savp, farCrypto + farDTLS + "a=setup:actpass\r\n", BySDES, []string{"m=audio " + savp, "a=crypto:1"}, nil, false},
		{"both, and only a handshake may be", savp, farCrypto + farDTLS + "a=setup:actpass\r\n", ByDTLS, []string{"m=audio " + savp, "a=setup:active", "a=fingerprint:sha-256"}, nil, true},
		{"both, by the token of SDES", savp, farCrypto + farDTLS + "a=setup:actpass\r\n", ByEither, []string{"m=audio " + savp, "a=crypto:1"}, nil, false},
		{"both, by the token of a handshake", tls, farCrypto + farDTLS + "a=setup:actpass\r\n", ByEither, []string{"m=audio " + tls, "a=setup:active", "a=fingerprint:sha-256"}, nil, true},
		{"encrypt if you can (RFC 8643)", "RTP/AVP", farDTLS + "a=setup:actpass\r\n", ByDTLS, []string{"m=audio RTP/AVP", "a=setup:active", "a=fingerprint:sha-256"}, nil, true},
		{"a hash that nobody may believe", tls, "a=fingerprint:md5 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B\r\na=setup:actpass\r\n", ByEither, nil, ErrNoKeys, false},
		{"a fingerprint that is too short", tls, "a=fingerprint:sha-256 4A:AD\r\na=setup:actpass\r\n", ByDTLS, nil, ErrNoKeys, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			offer, accepted := parseText(t, keyed(x.proto, x.lines)), parseText(t, keyed("RTP/AVP", ""))
			e := keyedEnd(x.k)
			out, err := Answer(offer, accepted, e)
			if !errors.Is(err, x.err) || err != nil {
				if x.err == nil || !errors.Is(err, x.err) {
					t.Fatalf("got %v, want %v", err, x.err)
				}
				return
			}
			if diff := cmp.Diff(x.want, keyLines(out)); diff != "" {
				t.Errorf("%s\n%s", diff, out.Bytes())
			}
			side, err := Agree(out, offer)
			if err != nil {
				t.Fatal(err)
			}
			if shaken := len(x.want) == 3; shaken != (side.DTLS != nil) || shaken == (side.Out != nil) {
				t.Fatalf("agreed on %+v", side)
			}
			if side.DTLS != nil {
				want := DTLS{Client: x.client, Own: Fingerprint{"sha-256", ownPrint}, Remote: []Fingerprint{{"sha-256", farPrint}}}
				if diff := cmp.Diff(want, *side.DTLS); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestWhoAnswersChoosesTheKeys(t *testing.T) {
	core := parseText(t, keyed("RTP/AVP", ""))
	for _, x := range []struct {
		name, proto, lines string
		k                  Keying
		client             bool
		err                error
		sdes               bool
	}{
		{"active", "UDP/TLS/RTP/SAVP", farDTLS + "a=setup:active\r\n", ByDTLS, false, nil, false},
		{"passive", "UDP/TLS/RTP/SAVP", farDTLS + "a=setup:passive\r\n", ByDTLS, true, nil, false},
		{"actpass, which it must not say", "UDP/TLS/RTP/SAVP", farDTLS + "a=setup:actpass\r\n", ByDTLS, false, nil, false},
		{"SDES of both", "RTP/SAVP", farCrypto, ByEither, false, nil, true},
		{"a handshake of both", "RTP/SAVP", farDTLS + "a=setup:active\r\n", ByEither, false, nil, false},
		{"both of both", "RTP/SAVP", farCrypto + farDTLS + "a=setup:passive\r\n", ByEither, false, nil, true},
		{"nothing", "UDP/TLS/RTP/SAVP", "", ByDTLS, false, ErrNoKeys, false},
		{"RTP in the clear", "RTP/AVP", "", ByDTLS, false, ErrNoKeys, false},
		{"SDES where a handshake was offered", "RTP/SAVP", farCrypto, ByDTLS, false, ErrNoKeys, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			sent, err := Offer(core, keyedEnd(x.k))
			if err != nil {
				t.Fatal(err)
			}
			side, err := Agree(sent, parseText(t, keyed(x.proto, x.lines)))
			if !errors.Is(err, x.err) {
				t.Fatalf("got %v, want %v", err, x.err)
			}
			if err != nil {
				return
			}
			if x.sdes != (side.Out != nil) || x.sdes == (side.DTLS != nil) {
				t.Fatalf("agreed on %+v", side)
			}
			if !x.sdes && side.DTLS.Client != x.client {
				t.Errorf("client: %v", side.DTLS.Client)
			}
		})
	}
}

// RFC 8842 5.3, 5.4: a round that changes nothing keeps the roles, whoever
// offers; the description that we repeat stays the same.
func TestTheRoleInAHandshakeStays(t *testing.T) {
	accepted := parseText(t, keyed("RTP/AVP", ""))
	for _, setup := range []string{"active", "passive"} {
		e := keyedEnd(ByDTLS)
		first := parseText(t, keyed("UDP/TLS/RTP/SAVP", farDTLS+"a=setup:"+setup+"\r\n"))
		answer, err := Answer(first, accepted, e)
		if err != nil {
			t.Fatal(err)
		}
		e.Sent, e.Received = answer, first
		again, err := Answer(parseText(t, keyed("UDP/TLS/RTP/SAVP", farDTLS+"a=setup:actpass\r\n")), accepted, e)
		if err != nil || string(again.Bytes()) != string(answer.Bytes()) {
			t.Errorf("%s, then actpass: %v\n%s", setup, err, again.Bytes())
		}
		ours, err := Offer(accepted, e)
		if err != nil || cmp.Diff(keyLines(answer), keyLines(ours)) != "" {
			t.Errorf("%s, then our offer: %v\n%s", setup, err, ours.Bytes())
		}
	}
}

func TestFingerprintsOfTheSessionAndOfTheSection(t *testing.T) {
	text := keyed("UDP/TLS/RTP/SAVP", "a=setup:passive\r\na=tls-id:abc3de65cddef001be82\r\n")
	text = strings.Replace(text, "t=0 0\r\n", "t=0 0\r\na=fingerprint:sha-256 "+strings.ToLower(farPrint)+"\r\na=fingerprint:sha-512 "+nextPrint+":"+farPrint+"\r\na=setup:active\r\n", 1)
	h := parseText(t, text).handshake()
	want := []Fingerprint{{"sha-256", farPrint}, {"sha-512", nextPrint + ":" + farPrint}}
	if diff := cmp.Diff(want, h.prints); diff != "" || h.setup != "passive" || h.id != "abc3de65cddef001be82" {
		t.Errorf("%s %+v", diff, h)
	}
	own := parseText(t, text+"a=fingerprint:sha-256 "+nextPrint+"\r\n").handshake()
	if diff := cmp.Diff([]Fingerprint{{"sha-256", nextPrint}}, own.prints); diff != "" {
		t.Errorf("the section's own: %s", diff)
	}
	many := parseText(t, keyed("UDP/TLS/RTP/SAVP", func() (all string) {
		for i := range 20 {
			all += "a=fingerprint:sha-256 " + strings.Replace(farPrint, "12", string("0123456789ABCDEF"[i%16])+string("0123456789ABCDEF"[i/16]), 1) + "\r\n"
		}
		return all
	}())).handshake()
	if len(many.prints) != maxFingerprints {
		t.Errorf("%d fingerprints", len(many.prints))
	}
}
