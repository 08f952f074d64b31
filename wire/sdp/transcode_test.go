package sdp

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/wire/codec"
)

// audioOf is a description with one section of audio.
func audioOf(t testing.TB, formats string, attributes ...string) *Session {
	t.Helper()
	proto := "RTP/AVP"
	for _, a := range attributes {
		if strings.HasPrefix(a, "crypto:") {
			proto = "RTP/SAVP"
		}
	}
	s := "v=0\no=- 1 1 IN IP4 10.0.0.1\ns=-\nc=IN IP4 10.0.0.1\nt=0 0\nm=audio 6000 " + proto + " " + formats + "\n"
	for _, a := range attributes {
		s += "a=" + a + "\n"
	}
	return parse(t, s)
}

const aKey = "crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d1GM2VbCF+nm7MD8Xl0wuE972Px+bKmkyy6VpCN+"

// formats is the codecs of the carried section in short.
func formats(s *Session) string {
	var out []string
	for _, c := range s.Carried().Codecs {
		f := strconv.Itoa(int(c.PT)) + "=" + c.Name + "/" + strconv.Itoa(c.Rate)
		if octetAlign(c) {
			f += "/oa"
		}
		out = append(out, f)
	}
	return strings.Join(out, " ")
}

// needs skips where the machine lacks a codec's library.
func needs(t *testing.T, name string, clock int) {
	t.Helper()
	if _, ok := codec.Lookup(name, clock, ""); !ok {
		t.Skip(name, codec.Missing())
	}
}

// What one side has not is offered behind what both have, when it can be
// transcoded; events in the clock of each (RFC 4733 2.1).
func TestWhatCanBeTranscodedIsOfferedBehindWhatBothHave(t *testing.T) {
	needs(t, "AMR-WB", 16000)
	needs(t, "opus", 48000)
	for name, tc := range map[string]struct {
		near, want string
		transcode  []string
		sparing    bool
	}{
		"one more":           {"8 101", "8=PCMA/8000 9=G722/8000 101=telephone-event/8000", []string{"PCMA", "G722"}, false},
		"in their order":     {"8 101", "8=PCMA/8000 9=G722/8000 0=PCMU/8000 101=telephone-event/8000", []string{"G722", "PCMU"}, false},
		"only if need be":    {"8 101", "8=PCMA/8000 101=telephone-event/8000", []string{"G722", "PCMU"}, true},
		"nothing in common":  {"18 101", "8=PCMA/8000 0=PCMU/8000 101=telephone-event/8000", []string{"PCMA", "PCMU"}, true},
		"AMR alone":          {"102 101", "102=AMR-WB/16000 9=G722/8000 101=telephone-event/8000", []string{"G722"}, true},
		"a name unknown":     {"8", "8=PCMA/8000 101=telephone-event/8000", []string{"PCMB", ""}, false},
		"SILK is not ours":   {"8 101", "8=PCMA/8000 101=telephone-event/8000", []string{"SILK_16"}, false},
		"AMR in both forms":  {"8 101", "8=PCMA/8000 96=AMR-WB/16000 98=AMR-WB/16000/oa 101=telephone-event/8000 97=telephone-event/16000", []string{"G722_2"}, false},
		"Opus is of 48000/2": {"8 101", "8=PCMA/8000 111=opus/48000 101=telephone-event/8000 96=telephone-event/48000", []string{"OPUS"}, false},
		"their number taken": {"8 96", "8=PCMA/8000 97=AMR-WB/16000 98=AMR-WB/16000/oa 96=telephone-event/8000 101=telephone-event/16000", []string{"G722_2"}, false},
	} {
		if strings.HasPrefix(tc.near, "18") {
			needs(t, "G729", 8000)
		}
		e := core()
		e.Codecs = []string{"PCMA", "SILK_8", "G722_2"}
		e.Transcode, e.Sparing = tc.transcode, tc.sparing
		event := tc.near[strings.LastIndexByte(tc.near, ' ')+1:]
		near := audioOf(t, tc.near, "rtpmap:102 AMR-WB/16000", "rtpmap:"+event+" telephone-event/8000")
		if event == "8" {
			near = audioOf(t, tc.near)
		}
		offer, err := Offer(near, e)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := formats(offer); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, tc.want)
		}
	}
}

// RFC 7587 7: the rtpmap says 48000/2 whatever is sent.
func TestOpusIsWrittenWithTwoChannels(t *testing.T) {
	needs(t, "opus", 48000)
	e := core()
	e.Transcode = []string{"OPUS"}
	if out := text(must(Offer(audioOf(t, "8"), e))); !strings.Contains(out, "a=rtpmap:111 opus/48000/2\n") {
		t.Error(out)
	}
}

func TestACodecThatCannotBeTranscodedAddsNone(t *testing.T) {
	e := core()
	e.Transcode = allCodecs
	silk := audioOf(t, "103", "rtpmap:103 SILK/8000")
	if got := formats(must(Offer(silk, e))); got != "103=SILK/8000 101=telephone-event/8000" {
		t.Error(got)
	}
	e.Codecs = []string{"PCMA"}
	if s, err := Offer(silk, e); err != ErrNoCodec {
		t.Errorf("%v\n%s", err, text(s))
	}
}

// The callee's answer shares nothing with the caller's offer; both can be
// transcoded.
func TestTwoAnswersForceTranscoding(t *testing.T) {
	needs(t, "AMR-WB", 16000)
	caller, callee := cloud(), core()
	caller.Transcode, callee.Transcode = caller.Codecs, callee.Codecs
	near := audioOf(t, "104 9 8 101", "rtpmap:104 SILK/16000", "rtpmap:101 telephone-event/8000", "fmtp:101 0-16", aKey)
	sent := must(Offer(near, callee))
	answer := audioOf(t, "98 97", "rtpmap:98 AMR-WB/16000", "fmtp:98 octet-align=1; mode-set=0,1,2", "rtpmap:97 telephone-event/16000")
	back := must(Answer(near, answer, caller))
	if got := formats(back); got != "9=G722/8000 101=telephone-event/8000" {
		t.Errorf("the caller is answered %s", got)
	}
	n := must(Bridge(must(Agree(back, near)), must(Agree(sent, answer))))
	if n.Transcode == nil || n.Transcode.Why != "caller speaks G722, callee AMR-WB" {
		t.Fatalf("%+v", n.Transcode)
	}
	if n.NearToFar[9] != 0xff || n.FarToNear[98] != 0xff {
		t.Error("G.722 passes to somebody who speaks AMR-WB")
	}
	if got := n.Far.Codecs[0].Receives; got != "octet-align=1; mode-set=0,1,2" {
		t.Errorf("it receives %q", got)
	}
	// Without leave to transcode it stays an error.
	caller.Transcode = nil
	if s, err := Answer(near, answer, caller); err != ErrNoCodec {
		t.Errorf("%v\n%s", err, text(s))
	}
}

// RFC 3264 7: who accepted several codecs may send any of them, and most send
// what they name first; only that direction is transcoded.
func TestWhoNamesAnotherCodecFirstIsHeard(t *testing.T) {
	caller, callee := cloud(), core()
	caller.Transcode, callee.Transcode = caller.Codecs, callee.Codecs
	near := audioOf(t, "8", aKey)
	sent := must(Offer(near, callee))
	for _, tc := range []struct {
		answered string
		back     bool
		why      string
	}{
		{"9 8", true, "callee speaks G722, which caller does not"},
		{"8 9", false, ""},
	} {
		answer := audioOf(t, tc.answered)
		n := must(Bridge(must(Agree(must(Answer(near, answer, caller)), near)), must(Agree(sent, answer))))
		var got Transcode
		if n.Transcode != nil {
			got = *n.Transcode
		}
		if got.NearToFar || got.FarToNear != tc.back || got.Why != tc.why || n.NearToFar[8] != 8 {
			t.Errorf("answered %s: %+v", tc.answered, got)
		}
	}
}

func TestWhatBothHavePasses(t *testing.T) {
	caller, callee := cloud(), core()
	caller.Transcode, callee.Transcode = caller.Codecs, callee.Codecs
	near := audioOf(t, "104 9 8", "rtpmap:104 SILK/16000", aKey)
	sent := must(Offer(near, callee))
	for _, answered := range []string{"8", "9 8", "104"} {
		answer := audioOf(t, answered, "rtpmap:104 SILK/16000")
		n := must(Bridge(must(Agree(must(Answer(near, answer, caller)), near)), must(Agree(sent, answer))))
		if n.Transcode != nil {
			t.Errorf("answered %s: %s", answered, n.Transcode.Why)
		}
	}
}

// RFC 8866 6.4 only recommends a packet time; converting is for those who
// named two.
func TestPacketTimesAreConvertedWhenBothNameTheirOwn(t *testing.T) {
	for _, tc := range []struct{ near, far, why string }{
		{"ptime:20", "ptime:30", "caller wants packets of 20 ms, callee of 30 ms"},
		{"ptime:20", "ptime:20", ""},
		{"ptime:20", "x-none", ""},
	} {
		near, answer := audioOf(t, "8", tc.near), audioOf(t, "8", tc.far)
		n := must(Bridge(must(Agree(must(Answer(near, answer, core())), near)), must(Agree(must(Offer(near, core())), answer))))
		why := ""
		if n.Transcode != nil {
			why = n.Transcode.Why
		}
		if why != tc.why {
			t.Errorf("%s and %s: %q", tc.near, tc.far, why)
		}
	}
	silk := func(ptime string) *Session { return audioOf(t, "103", "rtpmap:103 SILK/8000", ptime) }
	near, answer := silk("ptime:20"), silk("ptime:40")
	n := must(Bridge(must(Agree(must(Answer(near, answer, core())), near)), must(Agree(must(Offer(near, core())), answer))))
	if n.Transcode != nil {
		t.Error("SILK is to be transcoded")
	}
}

// The answer keeps AMR's configuration (RFC 4867 8.3.1), and what declares the
// offerer's own wishes is not said of us.
func TestWhatATranscodedAnswerSays(t *testing.T) {
	needs(t, "AMR-WB", 16000)
	needs(t, "opus", 48000)
	e := core()
	e.Codecs = []string{"G722_2", "OPUS"}
	e.Transcode = e.Codecs
	accepted := audioOf(t, "8")
	for _, tc := range []struct{ offer, fmtp, want string }{
		{"rtpmap:98 AMR-WB/16000", "fmtp:98 octet-align=1; mode-set=0,1,2; mode-change-period=2", "octet-align=1; mode-set=0,1,2; mode-change-period=2"},
		{"rtpmap:98 opus/48000/2", "fmtp:98 stereo=1; usedtx=1", ""},
	} {
		got := must(Answer(audioOf(t, "98", tc.offer, tc.fmtp), accepted, e)).Carried().Codecs
		if len(got) != 1 || got[0].Fmtp != tc.want || got[0].PT != 98 {
			t.Errorf("%s: %+v", tc.offer, got)
		}
	}
	// RFC 4733 2.1 wants events of 16000; who offers others gets those.
	got := must(Answer(audioOf(t, "98 101", "rtpmap:98 AMR-WB/16000", "rtpmap:101 telephone-event/8000"), accepted, e))
	if formats(got) != "98=AMR-WB/16000 101=telephone-event/8000" {
		t.Error(formats(got))
	}
	// What cannot be read is not accepted.
	for _, fmtp := range []string{"fmtp:98 interleaving=20", "fmtp:98 crc=1"} {
		if s, err := Answer(audioOf(t, "98", "rtpmap:98 AMR-WB/16000", fmtp), accepted, e); err != ErrNoCodec {
			t.Errorf("%s: %v\n%s", fmtp, err, text(s))
		}
	}
}

// Microsoft Teams docs, "Plan for media" of Direct Routing, and Azure
// Communications Gateway docs, interoperability: calls have comfort noise
// (payload number 13) and telephone-event whatever the core has.
func TestTheCloudIsAlwaysOfferedComfortNoiseAndEvents(t *testing.T) {
	e := cloud()
	e.Noise, e.Transcode, e.Sparing = true, e.Codecs, true
	if got := formats(must(Offer(audioOf(t, "8"), e))); got != "8=PCMA/8000 101=telephone-event/8000 13=CN/8000" {
		t.Error(got)
	}
	if got := formats(must(Offer(audioOf(t, "8 13 96", "rtpmap:96 telephone-event/8000"), e))); got != "8=PCMA/8000 13=CN/8000 96=telephone-event/8000" {
		t.Error(got)
	}
	// And accepted from it, though the core has none.
	offer := audioOf(t, "8 13 101 118", "rtpmap:101 telephone-event/8000", "rtpmap:118 CN/16000", aKey)
	if got := formats(must(Answer(offer, audioOf(t, "8"), e))); got != "8=PCMA/8000 13=CN/8000 101=telephone-event/8000" {
		t.Error(got)
	}
}

func TestBandwidth(t *testing.T) {
	for _, tc := range []struct {
		formats string
		lines   []string
		want    string
	}{
		{"8", nil, "b=AS:80 b=TIAS:64000"},
		{"8", []string{"ptime:30"}, "b=AS:75 b=TIAS:64000"},
		// 3GPP TS 26.114 annex K.
		{"97", []string{"rtpmap:97 AMR/8000"}, "b=AS:29 b=TIAS:12800"},
		{"97", []string{"rtpmap:97 AMR/8000", "fmtp:97 octet-align=1"}, "b=AS:30 b=TIAS:13200"},
		{"97", []string{"rtpmap:97 AMR-WB/16000"}, "b=AS:41 b=TIAS:24400"},
		{"97", []string{"rtpmap:97 AMR-WB/16000", "fmtp:97 mode-set=0,1,2"}, "b=AS:30 b=TIAS:13200"},
		{"103 8", []string{"rtpmap:103 SILK/8000"}, ""},
	} {
		e := core()
		e.Bandwidth, e.Codecs = true, append(slices.Clone(allCodecs), "AMR")
		for _, s := range []*Session{
			must(Offer(audioOf(t, tc.formats, tc.lines...), e)),
			must(Answer(audioOf(t, tc.formats, tc.lines...), audioOf(t, tc.formats, tc.lines...), e)),
		} {
			var got []string
			lines := strings.Split(text(s), "\n")
			for i, l := range lines {
				if strings.HasPrefix(l, "b=") {
					got = append(got, l)
					if strings.HasPrefix(lines[i-1], "a=") {
						t.Errorf("b= after a= (RFC 8866 5)\n%s", text(s))
					}
				}
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("%s %v: %v, want %s", tc.formats, tc.lines, got, tc.want)
			}
		}
	}
	e := core()
	e.Bandwidth = true
	e.RTP = netip.MustParseAddrPort("[2001:db8::1]:40000")
	if out := text(must(Offer(audioOf(t, "8"), e))); !strings.Contains(out, "b=AS:88\n") {
		t.Error(out)
	}
}

// Towards the cloud a fax goes as audio. T.38 alone is refused (488), beside audio with port
// 0, so that the call goes on (RFC 3264 6).
func TestT38IsRefused(t *testing.T) {
	image := "m=image 7000 udptl t38\na=T38FaxVersion:0\n"
	alone := parse(t, "v=0\no=- 1 1 IN IP4 10.0.0.1\ns=-\nc=IN IP4 10.0.0.1\nt=0 0\n"+image)
	if s, err := Offer(alone, cloud()); err != ErrNoAudio {
		t.Errorf("%v\n%s", err, text(s))
	}
	both := parse(t, "v=0\no=- 1 1 IN IP4 10.0.0.1\ns=-\nc=IN IP4 10.0.0.1\nt=0 0\nm=audio 6000 RTP/AVP 8\n"+image)
	out := text(must(Offer(both, cloud())))
	if !strings.Contains(out, "m=image 0 udptl t38\n") || strings.Contains(out, "T38FaxVersion") {
		t.Error(out)
	}
}

// FuzzTranscode puts any two descriptions before and behind us: what we write
// is legal, and no number is given twice.
func FuzzTranscode(f *testing.F) {
	f.Add(crlf(teamsOffer), crlf(coreOffer), uint16(0xffff), byte(3))
	f.Add(crlf(coreOffer), crlf(teamsAnswer), uint16(0x0102), byte(0))
	f.Add(crlf("v=0\no=- 1 1 IN IP4 10.0.0.1\ns=-\nc=IN IP4 10.0.0.1\nt=0 0\nm=audio 6000 RTP/AVP 97 98 111\na=rtpmap:97 AMR-WB/16000\na=fmtp:97 mode-set=9,-1\na=rtpmap:98 AMR/8000/2\na=rtpmap:111 opus/48000/2\na=ptime:30\n"), crlf(coreOffer), uint16(0x1ff), byte(15))
	all := []string{"PCMA", "PCMU", "G722", "G722_2", "SILK_8", "SILK_16", "AMR", "OPUS", "G729"}
	f.Fuzz(func(t *testing.T, a, b []byte, policy uint16, switches byte) {
		near, err := Parse(a)
		if err != nil {
			return
		}
		answer, err := Parse(b)
		if err != nil {
			return
		}
		var list []string
		for i, name := range all {
			if policy>>i&1 != 0 {
				list = append(list, name)
			}
		}
		nearEnd, farEnd := cloud(), core()
		nearEnd.Codecs, nearEnd.Transcode = list, list
		farEnd.Codecs, farEnd.Transcode = list, all
		nearEnd.Noise, farEnd.Bandwidth = switches&1 != 0, switches&2 != 0
		farEnd.Sparing = switches&4 != 0
		if switches&8 != 0 {
			nearEnd.Secret = nil
		}
		sent, err := Offer(near, farEnd)
		if err != nil {
			return
		}
		legal(t, sent)
		far, err := Agree(sent, answer)
		if err != nil {
			return
		}
		back, err := Answer(near, answer, nearEnd)
		if err != nil {
			return
		}
		legal(t, back)
		side, err := Agree(back, near)
		if err != nil {
			return
		}
		n, err := Bridge(side, far)
		if err != nil {
			return
		}
		if n.Transcode == nil {
			return
		}
		for _, c := range []Codec{n.Transcode.Near, n.Transcode.Far} {
			if _, ok := codec.Lookup(c.Name, c.Rate, c.Fmtp); !ok {
				t.Fatalf("%+v is to be transcoded", c)
			}
		}
	})
}

func legal(t *testing.T, s *Session) {
	t.Helper()
	again, err := Parse(s.Bytes())
	if err != nil {
		t.Fatalf("%v\n%s", err, text(s))
	}
	seen := map[uint8]bool{}
	for _, c := range s.Carried().Codecs {
		if seen[c.PT] || rtcpClash(c.PT) && s.Carried().Mux {
			t.Fatalf("number %d\n%s", c.PT, text(s))
		}
		seen[c.PT] = true
	}
	if len(again.Carried().Codecs) != len(seen) {
		t.Fatalf("%d codecs of %d\n%s", len(again.Carried().Codecs), len(seen), text(s))
	}
}

// A refresh of one side has nothing new for the other (RFC 3264 8): what could
// be transcoded is not added to a session that has begun without.
func TestARefreshAddsNoCodec(t *testing.T) {
	caller, callee := core(), cloud()
	for _, e := range []*End{&caller, &callee} {
		e.Transcode, e.Noise = e.Codecs, true
	}
	near := audioOf(t, "8 0 101", "rtpmap:101 telephone-event/8000")
	sent := must(Offer(near, callee))
	answer := audioOf(t, "8 101", "rtpmap:101 telephone-event/8000", aKey)
	back := must(Answer(near, answer, caller))
	caller.Sent, caller.Received, callee.Sent, callee.Received = back, near, sent, answer
	if again := must(Offer(answer, caller)); again.Origin.Version != back.Origin.Version {
		t.Errorf("the caller is told\n%s\nafter\n%s", text(again), text(back))
	}
	if again := must(Offer(near, callee)); again.Origin.Version != sent.Origin.Version {
		t.Errorf("the callee is told\n%s\nafter\n%s", text(again), text(sent))
	}
	// Somebody else answers, with a codec the caller has not: then it counts.
	caller.Codecs = []string{"PCMA"}
	other := audioOf(t, "9", aKey)
	if got := formats(must(Offer(other, caller))); !strings.Contains(got, "PCMA") {
		t.Error(got)
	}
}

// RFC 3108 5.6.2.4: a side may want its pauses sent; RFC 4856 2.1.9: annex B of
// G.729 is for both directions, and an answer of ours does not turn it on or off.
func TestWhatASideSaysOfPauses(t *testing.T) {
	for line, want := range map[string]bool{
		"":                             false,
		"a=silenceSupp:off - - - -\n":  true,
		"a=silenceSupp: off - - - -\n": true,
		"a=silenceSupp:on - - - -\n":   false,
	} {
		side := must(Agree(must(Offer(audioOf(t, "8"), core())), parse(t, strings.Replace(coreOffer, "a=ptime", line+"a=ptime", 1)+line)))
		if side.Unbroken != want {
			t.Errorf("%q: %v", line, side.Unbroken)
		}
	}
	// RFC 3611 5.1: for the section, or for all.
	for line, want := range map[string]bool{
		"":                                      false,
		"a=rtcp-xr:pkt-loss-rle voip-metrics\n": true,
		"a=rtcp-xr:stat-summary=loss,dup\n":     false,
		"a=rtcp-xr\n":                           false,
	} {
		for _, before := range []string{"t=0 0\n", "m=audio 6000 RTP/AVP 8\n"} {
			answer := strings.Replace("v=0\no=- 1 1 IN IP4 10.0.0.1\ns=-\nc=IN IP4 10.0.0.1\nt=0 0\nm=audio 6000 RTP/AVP 8\n", before, before+line, 1)
			if side := must(Agree(must(Offer(audioOf(t, "8"), core())), parse(t, answer))); side.Metrics != want {
				t.Errorf("%q: %v", line, side.Metrics)
			}
		}
	}
	e := core()
	e.Transcode = []string{"G729"}
	for _, fmtp := range []string{"", "annexb=no", "annexb=yes"} {
		offer := "v=0\no=- 1 1 IN IP4 10.0.0.1\ns=-\nc=IN IP4 10.0.0.1\nt=0 0\nm=audio 6000 RTP/AVP 18\n"
		if fmtp != "" {
			offer += "a=fmtp:18 " + fmtp + "\n"
		}
		if _, ok := codec.Lookup("G729", 8000, ""); !ok {
			t.Skip("its library is not here")
		}
		if m := must(Answer(parse(t, offer), audioOf(t, "8"), e)).Carried(); m.Codecs[0].Name != "G729" || m.Codecs[0].Fmtp != fmtp {
			t.Errorf("%q is answered with %+v", fmtp, m.Codecs)
		}
	}
}
