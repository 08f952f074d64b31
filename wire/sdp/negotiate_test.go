package sdp

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var allCodecs = []string{"PCMA", "PCMU", "G722", "G722_2", "SILK_8", "SILK_16"}

// coreOffer: a softswitch with a private address, a video section, vendor
// attributes and an event number of its own.
const coreOffer = `
v=0
o=CanarySwitch 1234 5678 IN IP4 10.99.99.99
s=Canary Call
c=IN IP4 10.99.99.99
t=0 0
m=audio 20000 RTP/AVP 8 0 18 96
a=rtpmap:96 telephone-event/8000
a=fmtp:96 0-15
a=ptime:20
a=candidate:1 1 UDP 1 10.99.99.99 20000 typ host
a=x-canary:secret
m=video 20002 RTP/AVP 34
a=rtpmap:34 H263/90000
`

const holdOffer = `
v=0
o=- 1 2 IN IP4 10.0.0.1
s=-
c=IN IP4 0.0.0.0
t=0 0
m=audio 20000 RTP/AVP 8
`

// teamsAnswer renumbers nothing, has two crypto lines and no a=rtcp.
const teamsAnswer = `
v=0
o=- 41187 0 IN IP4 127.0.0.1
s=session
c=IN IP4 198.51.100.77
t=0 0
m=audio 49168 UDP/TLS/RTP/SAVP 8 96
a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:d1GM2VbCF+nm7MD8Xl0wuE972Px+bKmkyy6VpCN+|2^31|1:1
a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:uuVnz7gEZyPlju6hO8VqCIRDzOlC4VoSgE9WFI+C|2^31
a=rtpmap:96 telephone-event/8000
a=fmtp:96 0-16
m=video 0 RTP/AVP 34
`

func cloud() End {
	return End{
		ID: 7001, Codecs: allCodecs, Secret: bytes.Repeat([]byte{0xaa}, SecretSize), InactiveOnly: true,
		RTP: netip.MustParseAddrPort("203.0.113.10:30000"), RTCP: netip.MustParseAddrPort("203.0.113.10:30001"),
	}
}

func core() End {
	return End{
		ID: 7002, Codecs: allCodecs,
		RTP: netip.MustParseAddrPort("192.0.2.20:40000"), RTCP: netip.MustParseAddrPort("192.0.2.20:40001"),
	}
}

func text(s *Session) string { return strings.ReplaceAll(string(s.Bytes()), "\r\n", "\n") }

func check(t *testing.T, want string, got *Session) {
	t.Helper()
	if d := cmp.Diff(strings.TrimLeft(want, "\n"), text(got)); d != "" {
		t.Error(d)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestACallFromTheCore(t *testing.T) {
	near := parse(t, coreOffer)
	sent := must(Offer(near, cloud()))
	check(t, `
v=0
o=- 7001 1 IN IP4 203.0.113.10
s=-
c=IN IP4 203.0.113.10
t=0 0
m=audio 30000 RTP/SAVP 8 0 96
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:96 telephone-event/8000
a=fmtp:96 0-15
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq|2^31
a=rtcp:30001
a=ptime:20
a=sendrecv
m=video 0 RTP/AVP 34
`, sent)

	answer := parse(t, teamsAnswer)
	far := must(Agree(sent, answer))
	back := must(Answer(near, answer, core()))
	check(t, `
v=0
o=- 7002 1 IN IP4 192.0.2.20
s=-
c=IN IP4 192.0.2.20
t=0 0
m=audio 40000 RTP/AVP 8 96
a=rtpmap:8 PCMA/8000
a=rtpmap:96 telephone-event/8000
a=fmtp:96 0-16
a=rtcp:40001
a=sendrecv
m=video 0 RTP/AVP 34
`, back)

	n := must(Bridge(must(Agree(back, near)), far))
	if n.Far.RTP.String() != "198.51.100.77:49168" || n.Far.RTCP.String() != "198.51.100.77:49169" {
		t.Errorf("far addresses %v %v", n.Far.RTP, n.Far.RTCP)
	}
	// The line without an MKI, since packets would carry one otherwise.
	if key, _ := answer.Media[0].Crypto[1].Master(); !bytes.Equal(n.Far.In.Master, key) {
		t.Error("took the wrong one of two crypto lines")
	}
	if !bytes.Equal(n.Far.Out.Master, cloud().Secret[:30]) || n.Near.In != nil || n.Near.Out != nil {
		t.Error("wrong keys out")
	}
	if n.NearToFar[8] != 8 || n.NearToFar[96] != 96 || n.NearToFar[0] != 0xff || n.FarToNear[96] != 96 {
		t.Errorf("payload maps %v %v", n.NearToFar, n.FarToNear)
	}
}

func TestACallFromThePhoneSystem(t *testing.T) {
	near := parse(t, teamsOffer)
	e := core()
	e.Codecs = []string{"PCMA", "PCMU", "G722"}
	check(t, `
v=0
o=- 7002 1 IN IP4 192.0.2.20
s=-
c=IN IP4 192.0.2.20
t=0 0
m=audio 40000 RTP/AVP 9 0 8 13 101
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:13 CN/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=rtcp:40001
a=ptime:20
a=sendrecv
`, must(Offer(near, e)))

	// The core answers with an event number of its own.
	answer := parse(t, strings.ReplaceAll(coreOffer, "m=video 20002", "m=video 0"))
	back := must(Answer(near, answer, cloud()))
	check(t, `
v=0
o=- 7001 1 IN IP4 203.0.113.10
s=-
c=IN IP4 203.0.113.10
t=0 0
m=audio 30000 RTP/SAVP 8 0 101
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq|2^31
a=rtcp:30001
a=ptime:20
a=sendrecv
`, back)

	n := must(Bridge(must(Agree(back, near)), must(Agree(must(Offer(near, e)), answer))))
	if n.NearToFar[101] != 96 {
		t.Errorf("events to the core carry %d, want its 96", n.NearToFar[101])
	}
	if n.FarToNear[101] != 101 || n.FarToNear[96] != 101 {
		t.Errorf("events from the core become %d (our number) and %d (its own)", n.FarToNear[101], n.FarToNear[96])
	}
	if key, _ := near.Media[0].Crypto[1].Master(); !bytes.Equal(n.Near.In.Master, key) {
		t.Error("took the key of the wrong suite")
	}
}

func TestHoldInEveryForm(t *testing.T) {
	for _, tc := range []struct {
		name, conn, attr string
		toCore, toCloud  Direction
	}{
		{"none", "10.0.0.1", "sendrecv", SendRecv, SendRecv},
		{"sendonly", "10.0.0.1", "sendonly", SendOnly, Inactive},
		{"recvonly", "10.0.0.1", "recvonly", RecvOnly, Inactive},
		{"inactive", "10.0.0.1", "inactive", Inactive, Inactive},
		{"null address", "0.0.0.0", "sendrecv", SendOnly, Inactive},
		{"null address and recvonly", "0.0.0.0", "recvonly", Inactive, Inactive},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := parse(t, "v=0\no=- 1 2 IN IP4 10.0.0.1\ns=-\nc=IN IP4 "+tc.conn+"\nt=0 0\nm=audio 20000 RTP/AVP 8\na="+tc.attr+"\n")
			if got := must(Offer(s, core())).Media[0].Direction; got != tc.toCore {
				t.Errorf("offered to a core: %v, want %v", got, tc.toCore)
			}
			out := must(Offer(s, cloud()))
			if got := out.Media[0].Direction; got != tc.toCloud {
				t.Errorf("offered to the cloud: %v, want %v", got, tc.toCloud)
			}
			if strings.Contains(text(out), "0.0.0.0") {
				t.Error("the null address reached the cloud")
			}
		})
	}
}

func TestTheAnswerToAHoldFitsTheOffer(t *testing.T) {
	// RFC 3264 6.1: sendonly is answered with recvonly or inactive, and so on.
	for _, offered := range []Direction{SendRecv, SendOnly, RecvOnly, Inactive} {
		for _, far := range []Direction{SendRecv, SendOnly, RecvOnly, Inactive} {
			near, acc := parse(t, coreOffer), parse(t, coreOffer)
			near.Media[0].Direction, acc.Media[0].Direction = offered, far
			got := must(Answer(near, acc, core())).Media[0].Direction
			if got.Sends() && !(far.Sends() && offered.Receives()) || got.Receives() && !(far.Receives() && offered.Sends()) {
				t.Errorf("offered %v, far %v: answered %v", offered, far, got)
			}
			if offered == SendRecv && got != far {
				t.Errorf("far %v told as %v", far, got)
			}
		}
	}
}

func TestNothingFlowsOnHold(t *testing.T) {
	near := parse(t, strings.Replace(coreOffer, "a=ptime:20", "a=ptime:20\na=sendonly", 1))
	sent := must(Offer(near, cloud()))
	answer := parse(t, strings.Replace(teamsAnswer, "a=fmtp:96", "a=inactive\na=fmtp:96", 1))
	n := must(Bridge(must(Agree(must(Answer(near, answer, core())), near)), must(Agree(sent, answer))))
	for pt := range n.NearToFar {
		if n.NearToFar[pt] != 0xff || n.FarToNear[pt] != 0xff {
			t.Fatalf("number %d flows", pt)
		}
	}
	if n.Near.Direction != Inactive || !n.Near.RTP.IsValid() {
		t.Errorf("near: %+v", n.Near)
	}
}

func TestTheVersionCountsChangesOnly(t *testing.T) {
	near, e := parse(t, coreOffer), cloud()
	e.Sent = must(Offer(near, e))
	if again := must(Offer(near, e)); text(again) != text(e.Sent) {
		t.Errorf("same input, other text:\n%s", text(again))
	}
	near.Media[0].Direction = SendOnly
	held := must(Offer(near, e))
	if held.Origin.Version != "2" || held.Origin.ID != "7001" {
		t.Errorf("origin %+v", held.Origin)
	}
	e.Sent = held
	near.Media[0].Direction = SendRecv
	if back := must(Offer(near, e)); back.Origin.Version != "3" {
		t.Errorf("origin %+v", back.Origin)
	}
}

func TestNumbersKeepTheirMeaningOnALeg(t *testing.T) {
	e := cloud()
	e.Sent = must(Offer(parse(t, coreOffer), e)) // 96 is telephone-event there
	re := parse(t, `
v=0
o=- 1 3 IN IP4 10.0.0.1
s=-
c=IN IP4 10.0.0.1
t=0 0
m=audio 20000 RTP/AVP 96 8 97
a=rtpmap:96 AMR-WB/16000
a=rtpmap:97 telephone-event/8000
m=video 0 RTP/AVP 34
`)
	got := must(Offer(re, e)).Media[0].Codecs
	want := []Codec{{97, "AMR-WB", 16000, 0, ""}, {8, "PCMA", 8000, 0, ""}, {96, "telephone-event", 8000, 0, ""}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestNumbersThatLookLikeRTCPAreReplaced(t *testing.T) {
	s := parse(t, "v=0\no=- 1 2 IN IP4 10.0.0.1\ns=-\nc=IN IP4 10.0.0.1\nt=0 0\nm=audio 20000 RTP/AVP 77 8 8\na=rtpmap:77 SILK/8000\n")
	got := must(Offer(s, core())).Media[0].Codecs
	if len(got) != 2 || got[0].PT != 96 || got[1].PT != 8 {
		t.Errorf("%+v", got)
	}
}

func TestSectionsNeverBecomeFewer(t *testing.T) {
	e := cloud()
	e.Sent = must(Offer(parse(t, coreOffer), e))
	out := must(Offer(parse(t, holdOffer), e))
	if len(out.Media) != 2 || out.Media[1].Port != 0 || out.Media[1].Kind != "video" {
		t.Errorf("\n%s", text(out))
	}
}

func TestRefusals(t *testing.T) {
	plain := core()
	onlyG722 := core()
	onlyG722.Codecs = []string{"G722"}
	silent := core()
	silent.Codecs = nil
	fax := parse(t, "v=0\no=- 1 1 IN IP4 10.0.0.1\ns=-\nc=IN IP4 10.0.0.1\nt=0 0\nm=image 4000 udptl t38\n")
	eventsOnly := parse(t, strings.Replace(coreOffer, "8 0 18 96", "96", 1))
	named := parse(t, strings.ReplaceAll(coreOffer, "c=IN IP4 10.99.99.99", "c=IN IP4 core.example"))
	crowd := parse(t, strings.ReplaceAll(coreOffer, "c=IN IP4 10.99.99.99", "c=IN IP4 224.2.1.1"))
	noKeys := parse(t, strings.ReplaceAll(teamsAnswer, "a=crypto", "a=x"))
	near, sent := parse(t, coreOffer), must(Offer(parse(t, coreOffer), cloud()))
	answered := must(Answer(near, near, plain))
	for name, tc := range map[string]struct {
		err  error
		want error
	}{
		"no audio at all":               {second(Offer(fax, plain)), ErrNoAudio},
		"no codec allowed":              {second(Offer(near, onlyG722)), ErrNoCodec},
		"events alone are no call":      {second(Offer(eventsOnly, plain)), ErrNoCodec},
		"SRTP offered to a plain end":   {second(Answer(parse(t, teamsOffer), near, plain)), ErrCleartext},
		"RTP offered to a secure end":   {second(Answer(near, near, cloud())), ErrNoKeys},
		"an answer without keys":        {second(Agree(sent, noKeys)), ErrNoKeys},
		"an answer with SRTP to RTP":    {second(Agree(answered, parse(t, teamsAnswer))), ErrCleartext},
		"an answer that refuses audio":  {second(Agree(sent, parse(t, strings.Replace(teamsAnswer, "m=audio 49168", "m=audio 0", 1)))), ErrNoAudio},
		"an answer of another kind":     {second(Agree(sent, fax)), ErrMismatch},
		"an answer with other codecs":   {second(Agree(answered, parse(t, strings.Replace(coreOffer, "8 0 18 96", "9 96", 1)))), ErrNoCodec},
		"a name for an address":         {second(Agree(answered, named)), ErrNoAddress},
		"a multicast address":           {second(Agree(answered, crowd)), ErrNoAddress},
		"an allow-list with odd names":  {second(Offer(near, End{Codecs: []string{"g729", ""}})), ErrNoCodec},
		"an allow-list of nothing":      {second(Offer(near, End{})), ErrNoCodec},
		"our own offer without a codec": {second(Propose(silent)), ErrNoCodec},
	} {
		if !errors.Is(tc.err, tc.want) {
			t.Errorf("%s: %v, want %v", name, tc.err, tc.want)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestAnOfferOfOurOwn(t *testing.T) {
	e := cloud()
	e.Codecs = []string{"PCMA", "G722_2"}
	check(t, `
v=0
o=- 7001 1 IN IP4 203.0.113.10
s=-
c=IN IP4 203.0.113.10
t=0 0
m=audio 30000 RTP/SAVP 8 96 98 13 101 97
a=rtpmap:8 PCMA/8000
a=rtpmap:96 AMR-WB/16000
a=fmtp:96 mode-change-capability=2; max-red=0
a=rtpmap:98 AMR-WB/16000
a=fmtp:98 octet-align=1; mode-change-capability=2; max-red=0
a=rtpmap:13 CN/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=rtpmap:97 telephone-event/16000
a=fmtp:97 0-16
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq|2^31
a=rtcp:30001
a=ptime:20
a=sendrecv
`, must(Propose(e)))
}

func TestADelayedOffer(t *testing.T) {
	// The core sent no offer: we propose one to the cloud, and offer the core
	// what the cloud accepted.
	proposed := must(Propose(cloud()))
	accepted := parse(t, "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 198.51.100.7\nt=0 0\nm=audio 5000 RTP/SAVP 0 101\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d1GM2VbCF+nm7MD8Xl0wuE972Px+bKmkyy6VpCN+\na=rtpmap:101 telephone-event/8000\n")
	offered := must(Offer(accepted, core()))
	ack := parse(t, "v=0\no=- 1 1 IN IP4 10.0.0.1\ns=-\nc=IN IP4 10.0.0.1\nt=0 0\nm=audio 6000 RTP/AVP 0 97\na=rtpmap:97 telephone-event/8000\n")
	n := must(Bridge(must(Agree(offered, ack)), must(Agree(proposed, accepted))))
	if n.NearToFar[0] != 0 || n.NearToFar[101] != 101 || n.FarToNear[101] != 97 {
		t.Errorf("%v\n%v", n.NearToFar, n.FarToNear)
	}
}

func TestSRTPIfYouCan(t *testing.T) {
	// RTP/AVP with a=crypto is an invitation; it is answered as it was asked.
	near := parse(t, strings.Replace(coreOffer, "a=ptime:20", "a=ptime:20\na=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:d1GM2VbCF+nm7MD8Xl0wuE972Px+bKmkyy6VpCN+", 1))
	secure := must(Answer(near, near, cloud()))
	if m := secure.Media[0]; m.Proto != "RTP/AVP" || len(m.Crypto) != 1 || m.Crypto[0].Tag != "4" {
		t.Errorf("\n%s", text(secure))
	}
	plain := must(Answer(near, near, core()))
	if len(plain.Media[0].Crypto) != 0 {
		t.Errorf("\n%s", text(plain))
	}
	if side := must(Agree(plain, near)); side.In != nil || side.Out != nil {
		t.Error("keys where none were agreed")
	}
}

func TestIPv6(t *testing.T) {
	e := core()
	e.RTP, e.RTCP = netip.MustParseAddrPort("[2001:db8::1]:40000"), netip.MustParseAddrPort("[2001:db8::1]:40001")
	out := text(must(Offer(parse(t, coreOffer), e)))
	if !strings.Contains(out, "o=- 7002 1 IN IP6 2001:db8::1\n") || !strings.Contains(out, "\nc=IN IP6 2001:db8::1\n") {
		t.Errorf("\n%s", out)
	}
	in := parse(t, strings.ReplaceAll(coreOffer, "IP4 10.99.99.99", "IP6 2001:db8::9"))
	if side := must(Agree(must(Answer(in, in, e)), in)); side.RTP.String() != "[2001:db8::9]:20000" {
		t.Errorf("%v", side.RTP)
	}
}

func TestTheOctetAlignedFormIsAnotherCodec(t *testing.T) {
	near := parse(t, "v=0\no=- 1 1 IN IP4 10.0.0.1\ns=-\nc=IN IP4 10.0.0.1\nt=0 0\nm=audio 6000 RTP/AVP 97 98\na=rtpmap:97 AMR-WB/16000\na=rtpmap:98 AMR-WB/16000\na=fmtp:98 mode-set=0,1,2; octet-align=1\n")
	far := parse(t, "v=0\no=- 1 1 IN IP4 10.0.0.2\ns=-\nc=IN IP4 10.0.0.2\nt=0 0\nm=audio 7000 RTP/AVP 98\na=rtpmap:98 AMR-WB/16000\na=fmtp:98 octet-align=1\n")
	got := must(Answer(near, far, core())).Media[0].Codecs
	if d := cmp.Diff([]Codec{{98, "AMR-WB", 16000, 0, "octet-align=1"}}, got); d != "" {
		t.Error(d)
	}
}

func TestMuxNeedsBoth(t *testing.T) {
	sent, received := parse(t, coreOffer), parse(t, coreOffer)
	received.Media[0].Mux = true
	if side := must(Agree(sent, received)); side.Mux || side.RTCP.Port() != 20001 {
		t.Errorf("%+v", side)
	}
	sent.Media[0].Mux = true
	if side := must(Agree(sent, received)); !side.Mux || side.RTCP != side.RTP {
		t.Errorf("%+v", side)
	}
}

func BenchmarkOffer(b *testing.B) {
	near, e := parse(b, teamsOffer), core()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Offer(near, e); err != nil {
			b.Fatal(err)
		}
	}
}

func TestWhereRTCPGoes(t *testing.T) {
	for attr, want := range map[string]string{
		"a=x":                            "10.99.99.99:20001",
		"a=rtcp:20007":                   "10.99.99.99:20007",
		"a=rtcp:20007 IN IP4 10.1.1.1":   "10.1.1.1:20007",
		"a=rtcp:20007 IN IP4 rtcp.x":     "10.99.99.99:20007",
		"a=rtcp:0":                       "10.99.99.99:20001",
		"a=rtcp:20007 IN IP4":            "10.99.99.99:20001",
		"a=rtcp:20007\na=rtcp:20009":     "10.99.99.99:20007",
		"a=rtcp:20007 IN IP6 2001:db8::": "[2001:db8::]:20007",
	} {
		in := parse(t, strings.Replace(coreOffer, "a=ptime:20", attr, 1))
		if side := must(Agree(must(Answer(in, in, core())), in)); side.RTCP.String() != want {
			t.Errorf("%s: %v, want %s", attr, side.RTCP, want)
		}
	}
	last := parse(t, strings.Replace(coreOffer, "m=audio 20000", "m=audio 65535", 1))
	if side := must(Agree(must(Answer(last, last, core())), last)); side.RTCP.IsValid() {
		t.Errorf("after the last port comes %v", side.RTCP)
	}
}
