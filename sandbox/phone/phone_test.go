package phone

import (
	"bytes"
	"encoding/binary"
	"math"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testSession(crypto ...CryptoOffer) *session {
	return &session{
		dialect: &Dialect{
			Name: "-", HoldAs: sdp.SendOnly, Crypto: crypto,
			Formats: []Format{{PT: 8, Map: "PCMA/8000"}, {PT: 0, Map: "PCMU/8000"}, {PT: 101, Map: "telephone-event/8000", Fmtp: "0-16"}},
		},
		addr: netip.MustParseAddrPort("192.0.2.1:4000"), rtcp: 4001, id: 7, offered: map[string]*rtp.Keys{},
	}
}

func TestAnOfferInFull(t *testing.T) {
	s := testSession()
	body, err := s.offer()
	if err != nil {
		t.Fatal(err)
	}
	const want = "v=0\r\no=- 7 0 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 0 101\r\na=rtcp:4001\r\na=sendrecv\r\n" +
		"a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\n"
	if string(body) != want {
		t.Errorf("%s", body)
	}
	s.holding, s.codec = true, "PCMU"
	s.dialect.HoldNull = true
	if body, _ = s.offer(); !strings.Contains(string(body), "o=- 7 1 ") || !strings.Contains(string(body), "c=IN IP4 0.0.0.0") ||
		!strings.Contains(string(body), "a=sendonly") || strings.Contains(string(body), "PCMA") {
		t.Errorf("hold:\n%s", body)
	}
}

const key = "d1GM2VbCF+nm7MD8Xl0wuE972Px+bKmkyy6VpCN+"

func TestAnswers(t *testing.T) {
	const clear = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 5000 RTP/AVP 9 0 8 13 96\r\na=rtpmap:96 telephone-event/8000\r\n"
	secured := strings.Replace(clear, "RTP/AVP", "UDP/TLS/RTP/SAVP", 1) +
		"a=crypto:5 AEAD_AES_256_GCM inline:AAAA\r\na=crypto:6 AES_CM_128_HMAC_SHA1_80 inline:" + key + "|2^31|1:1\r\n"
	best := CryptoOffer{"1", "AES_CM_128_HMAC_SHA1_80"}
	for _, c := range []struct {
		name, offer string
		session     *session
		want        []string
		err         error
		law         *audio.Codec
		sending     bool
	}{
		{"the first law offered", clear, testSession(), []string{"RTP/AVP 0 13 96\r\n", "a=sendrecv", "a=rtpmap:96 telephone-event"}, nil, audio.PCMU, true},
		{"the key of the suite we have, under its tag, in the profile offered", secured, testSession(best), []string{"UDP/TLS/RTP/SAVP 0", "a=crypto:6 AES_CM"}, nil, audio.PCMU, true},
		{"they hold", clear + "a=sendonly\r\n", testSession(), []string{"a=recvonly"}, nil, audio.PCMU, false},
		{"they hold, inactive", clear + "a=inactive\r\n", testSession(), []string{"a=inactive"}, nil, audio.PCMU, false},
		{"no key", clear, testSession(best), nil, ErrNoCrypto, nil, false},
		{"a key not wanted", secured, testSession(), nil, ErrCrypto, nil, false},
		{"no law", strings.Replace(clear, "9 0 8", "9", 1), testSession(), nil, ErrNoCodec, nil, false},
		{"no audio", strings.Replace(clear, "m=audio", "m=video", 1), testSession(), nil, ErrNoCodec, nil, false},
		{"garbage", "v=1", testSession(), nil, ErrSyntax, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			body, err := c.session.reply([]byte(c.offer))
			if (err == nil) != (c.err == nil) || err != nil && !strings.Contains(err.Error(), c.err.Error()) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			for _, w := range c.want {
				if !strings.Contains(string(body), w) {
					t.Errorf("no %q in\n%s", w, body)
				}
			}
			if err == nil && (c.session.now.codec != c.law || c.session.now.sending != c.sending) {
				t.Errorf("%+v", c.session.now)
			}
		})
	}
}

func TestHoldKeepsTheKeys(t *testing.T) {
	a, b := testSession(CryptoOffer{"1", "AES_CM_128_HMAC_SHA1_80"}), testSession(CryptoOffer{"1", "AES_CM_128_HMAC_SHA1_80"})
	round := func() (*rtp.Keys, *rtp.Keys) {
		offer, err := a.offer()
		if err != nil {
			t.Fatal(err)
		}
		answer, err := b.reply(offer)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.accept(answer); err != nil {
			t.Fatal(err)
		}
		if string(a.now.in.Master) != string(b.now.out.Master) || string(a.now.out.Master) != string(b.now.in.Master) {
			t.Fatal("the keys do not meet")
		}
		return a.now.out, b.now.out
	}
	a1, b1 := round()
	a.holding = true
	if a2, b2 := round(); a1 != a2 || b1 != b2 || b.now.sending {
		t.Error("hold changed the keys, or did not hold")
	}
}

func TestAnAnswerThatChoosesWhatWasNotOffered(t *testing.T) {
	s := testSession(CryptoOffer{"1", "AES_CM_128_HMAC_SHA1_80"})
	if _, err := s.offer(); err != nil {
		t.Fatal(err)
	}
	const answer = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 5000 RTP/SAVP 8\r\na=crypto:%s inline:" + key + "\r\n"
	for _, c := range []string{"2 AES_CM_128_HMAC_SHA1_80", "1 AES_CM_128_HMAC_SHA1_32"} {
		if s.accept([]byte(strings.Replace(answer, "%s", c, 1))) == nil {
			t.Errorf("%s was accepted", c)
		}
	}
	if err := s.accept([]byte(strings.Replace(answer, "%s", "1 AES_CM_128_HMAC_SHA1_80", 1))); err != nil {
		t.Error(err)
	}
}

// packet makes an RTP packet of 20 ms.
func packet(pt uint8, seq uint16, ts, ssrc uint32, payload []byte) []byte {
	b := []byte{0x80, pt}
	b = binary.BigEndian.AppendUint16(b, seq)
	b = binary.BigEndian.AppendUint32(b, ts)
	b = binary.BigEndian.AppendUint32(b, ssrc)
	return append(b, payload...)
}

func TestALostPacketLeavesAHoleOfItsLength(t *testing.T) {
	var r recorder
	now := time.Now()
	frame := audio.Tones(1, 20*time.Millisecond)
	for _, n := range []uint32{0, 1, 3, 2, 5} { // 4 is lost, 2 is late
		r.write(now.Add(time.Duration(n)*2*frameTime), 9, 1<<32-2*audio.Frame+n*audio.Frame, frame)
	}
	if len(r.pcm) != 6*audio.Frame {
		t.Fatalf("%d samples", len(r.pcm))
	}
	for n := range 6 {
		silent := true
		for _, v := range r.pcm[n*audio.Frame : (n+1)*audio.Frame] {
			silent = silent && v == 0
		}
		if silent != (n == 4) {
			t.Errorf("frame %d is silent: %t", n, silent)
		}
	}
	// Another source, or one that starts over, goes on at the clock's place.
	r.write(now.Add(time.Second), 10, 77, frame)
	if len(r.pcm) != audio.Rate+audio.Frame {
		t.Errorf("%d samples with the new source", len(r.pcm))
	}
	r.write(now.Add(time.Hour), 10, 77, frame)
	if len(r.pcm) > keep {
		t.Error("the recording has no end")
	}
}

func TestKeysArePressedAndHeard(t *testing.T) {
	k := keypad{queue: "5#"}
	v := &voice{stream: stream{codec: audio.PCMA, pt: 8, dtmf: 101}}
	var events int
	for n := range uint32(60) {
		payload, at, first := k.next(n*audio.Frame, 101, audio.Frame)
		if payload == nil {
			continue
		}
		events++
		if first != (at == n*audio.Frame) {
			t.Errorf("frame %d: first %t, timestamp %d", n, first, at)
		}
		v.hear(packet(101, uint16(n), at, 9, payload), false)
	}
	if v.digits != "5#" || events != 2*(keyFrames+keyEnds) {
		t.Errorf("heard %q in %d packets", v.digits, events)
	}
	if p, _, _ := (&keypad{queue: "1"}).next(0, 0, audio.Frame); p != nil {
		t.Error("an event was sent though none were agreed")
	}
}

// A voice that begins within the burst after a pause would date its track
// later than what it says: whoever hears it would seem to hear it in advance.
func TestATrackBeginsWhenItIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all atomic.Uint64
		all.Store(math.Float64bits(1)) // nothing is sent
		v := newVoice(nil, []int16{7})
		v.stream, v.mouth, v.lose = stream{codec: audio.PCMA, pt: 8, settled: true, sending: true}, audio.ALaw, &all
		now := time.Now()
		for late := 5; late > 0; late-- {
			v.say(now.Add(-time.Duration(late) * 2 * burst * frameTime / 5))
		}
		if said, _ := v.tracks(); !said.At.IsZero() || len(said.PCM) > 0 {
			t.Fatalf("%d samples were said within the burst", len(said.PCM))
		}
		v.say(now)
		if said, _ := v.tracks(); !said.At.Equal(now) || len(said.PCM) != audio.Frame {
			t.Errorf("%d samples since %v, want %d since %v", len(said.PCM), said.At, audio.Frame, now)
		}
	})
}

// After a pause of the process the track still tells when what was said.
func TestAPauseLeavesAHoleInTheTrack(t *testing.T) {
	v := newVoice(nil, []int16{7})
	v.stream, v.mouth, v.began = stream{codec: audio.PCMA, pt: 8, settled: true}, audio.ALaw, time.Now()
	say := func(n int) {
		v.scratch = make([]byte, rtpHead)
		if v.frame += 2; !v.speak(n, audio.Frame) {
			t.Fatal("nothing was said")
		}
	}
	say(0)
	say(2)
	ts := v.ts
	v.skip(51)
	if v.frame != 54 || v.ts-ts != 50*unit {
		t.Fatalf("unit %d, timestamp on by %d", v.frame, v.ts-ts)
	}
	say(54)
	said, _ := v.tracks()
	for i, s := range said.PCM {
		if want := i < 4*unit || i >= 54*unit; (s == 7) != want {
			t.Fatalf("sample %d is %d", i, s)
		}
	}
	if len(said.PCM) != 56*unit {
		t.Errorf("%d samples", len(said.PCM))
	}
}

// A codec that cannot be listened to comes back as it went.
func TestAnOpaqueCodecIsEchoed(t *testing.T) {
	v := &voice{stream: stream{codec: audio.Opus, pt: 102}}
	for n := range uint32(40) {
		v.hear(packet(102, uint16(n), n*960, 9, []byte{byte(n), 1, 2}), false)
	}
	for n := range echoes {
		v.scratch = nil
		if !v.speak(2*n, audio.Frame) || !bytes.Equal(v.scratch, []byte{byte(n), 1, 2}) {
			t.Fatalf("payload %d: % x", n, v.scratch)
		}
	}
	if v.speak(99, audio.Frame) {
		t.Error("something came back that was never said")
	}
	if got := v.payloads(); len(got) != 40 || v.packets.Received != 40 || len(v.heard.pcm) > 0 {
		t.Errorf("%d payloads kept, %+v", len(got), v.packets)
	}
	if step := v.stream.clock(audio.Frame); step != 960 {
		t.Errorf("the clock steps by %d", step)
	}
}

func TestEveryStreamWrapsSoon(t *testing.T) {
	v := newVoice(nil, nil)
	for range 50 {
		before := v.ssrc
		if v.renew(); v.ssrc == before || int(v.seq) < 1<<16-2*wrapIn || int(v.seq) > 1<<16-wrapIn {
			t.Fatalf("ssrc %d then %d, sequence number %d", before, v.ssrc, v.seq)
		}
	}
}

func FuzzHear(f *testing.F) {
	f.Add(packet(8, 1, 160, 9, []byte{1, 2, 3}), false)
	f.Add(packet(101, 1, 160, 9, []byte{5, 0x80, 0, 160}), false)
	f.Add([]byte{0xb0, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xbe, 0xde, 0xff, 0xff}, false)
	f.Add([]byte{0xa0, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 200}, true)
	f.Fuzz(func(_ *testing.T, pkt []byte, rtcp bool) {
		v := &voice{stream: stream{codec: audio.PCMA, pt: 8, dtmf: 101}}
		v.hear(pkt, rtcp)
		v.hear(pkt, false)
	})
}

func FuzzReply(f *testing.F) {
	s := testSession()
	offer, _ := s.offer()
	f.Add(offer)
	f.Add([]byte("v=0\r\no=- 1 1 IN IP4 1.1.1.1\r\ns=-\r\nt=0 0\r\nm=audio 1 RTP/SAVP 0\r\na=crypto:1 X inline:\r\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, s := range []*session{testSession(), testSession(CryptoOffer{"1", "AES_CM_128_HMAC_SHA1_80"})} {
			answer, err := s.reply(body)
			if err != nil {
				continue
			}
			if _, err := sdp.Parse(answer); err != nil {
				t.Errorf("our own answer cannot be read: %v\n%s", err, answer)
			}
		}
	})
}

func FuzzFragment(f *testing.F) {
	f.Add([]byte("SIP/2.0 200 OK\r\n"))
	f.Add([]byte("SIP/2.0 099 x"))
	f.Add([]byte("SIP/2.0 20"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if status, err := fragment(body); err == nil && (status < 100 || status > 699) {
			t.Errorf("status %d of %q", status, body)
		}
	})
}

func FuzzKeyInInfo(f *testing.F) {
	f.Add("application/dtmf-relay", []byte("Signal=5\r\nDuration=160\r\n"))
	f.Add("application/dtmf-relay", []byte("signal = #"))
	f.Add("application/dtmf", []byte("a"))
	f.Add("text/plain", []byte("5"))
	f.Add("application/dtmf-relay;x=y", []byte("Signal="))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		if key := keyIn(kind, body); len(key) > 1 || key != "" && !strings.Contains(audio.Keys, key) {
			t.Errorf("key %q of %q %q", key, kind, body)
		}
	})
}

func FuzzDescribed(f *testing.F) {
	f.Add("multipart/mixed;boundary=b", []byte("--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--\r\n"))
	f.Add("multipart/mixed", []byte("--\r\n"))
	f.Add("multipart/mixed;boundary=\"", []byte("--b"))
	f.Add("application/sdp", []byte("v=0"))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		m := sip.NewRequest("INVITE", "sip:x@y")
		m.SetBody(kind, body)
		if d := described(m); d != m && d.Get("Content-Type") != "application/sdp" {
			t.Errorf("%s", d)
		}
	})
}
