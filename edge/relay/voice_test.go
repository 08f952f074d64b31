package relay

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/wire/codec"
	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sdp"
)

// Codecs as they are agreed on.
var (
	pcma   = sdp.Agreed{Codec: sdp.Codec{PT: 8, Name: "PCMA", Rate: 8000}, In: 8, Out: 8}
	pcmu   = sdp.Agreed{Codec: sdp.Codec{PT: 0, Name: "PCMU", Rate: 8000}, In: 0, Out: 0}
	g722   = sdp.Agreed{Codec: sdp.Codec{PT: 9, Name: "G722", Rate: 8000}, In: 9, Out: 9}
	events = sdp.Agreed{Codec: sdp.Codec{PT: 101, Name: "telephone-event", Rate: 8000, Fmtp: "0-16"}, In: 101, Out: 101}
)

// talker is a party that speaks a codec and keeps what it hears with its
// times.
type talker struct {
	*party
	t      *testing.T
	codecs []sdp.Agreed
	stamp  uint32
	ssrc   uint32
	got    []packet
	rtcp   [][]byte
}

type packet struct {
	rtp.Packet
	at time.Time
}

func newTalker(t *testing.T, e *rtp.Engine, m *Media, s Side, secure bool, codecs ...sdp.Agreed) *talker {
	x := &talker{party: newParty(t, e, m, s, secure), t: t, codecs: codecs, ssrc: uint32(s) + 0x1000}
	x.seq, x.stamp = 65500, math.MaxUint32-16000 // both wrap soon
	err := x.port.Receive(&rtp.Plan{PT: rtp.PassPT(), In: x.in, Sink: func(pkt []byte, rtcp bool) {
		stage.Lock()
		defer stage.Unlock()
		if rtcp {
			x.rtcp = append(x.rtcp, bytes.Clone(pkt))
			return
		}
		p, _ := rtp.Read(bytes.Clone(pkt))
		x.got = append(x.got, packet{p, time.Now()})
	}})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func (x *talker) agreed(change ...func(*Negotiated)) Negotiated {
	n := x.party.agreed(sdp.SendRecv)
	n.Codecs = x.codecs
	for _, f := range change {
		f(&n)
	}
	return n
}

// send sends one packet and moves the time stamp on.
func (x *talker) send(pt uint8, marker bool, payload []byte, ticks uint32) {
	x.t.Helper()
	x.raw(pt, marker, x.stamp, payload)
	x.stamp += ticks
}

func (x *talker) raw(pt uint8, marker bool, stamp uint32, payload []byte) {
	x.t.Helper()
	if err := x.port.Send(x.packet(pt, marker, stamp, payload), x.out); err != nil {
		x.t.Fatal(err)
	}
}

func (x *talker) packet(pt uint8, marker bool, stamp uint32, payload []byte) []byte {
	x.seq++
	if marker {
		pt |= 0x80
	}
	b := []byte{0x80, pt, byte(x.seq >> 8), byte(x.seq)}
	b = binary.BigEndian.AppendUint32(b, stamp)
	b = binary.BigEndian.AppendUint32(b, x.ssrc)
	return append(b, payload...)
}

// talk sends speech in packets of 20 ms.
func (x *talker) talk(pcm []int16) {
	law := codec.Law(x.codecs[0].Out)
	for len(pcm) >= 160 {
		x.send(x.codecs[0].Out, false, law.Encode(nil, pcm[:160]), 160)
		pcm = pcm[160:]
		pass(20 * time.Millisecond)
	}
	synctest.Wait()
}

// quiet sends a second of nothing.
func (x *talker) quiet(d time.Duration) { x.talk(make([]int16, d/time.Millisecond*8)) }

// pcm is what was heard of one of the laws.
func (x *talker) pcm(law codec.Law) (out []int16) {
	for _, p := range x.got {
		if p.PT == uint8(law) {
			out = law.Decode(out, p.Payload)
		}
	}
	return out
}

// continuous checks that what was heard is one stream: numbers without a gap.
func (x *talker) continuous() {
	x.t.Helper()
	for i, p := range x.got {
		if i > 0 && p.SSRC == x.got[i-1].SSRC && p.Seq != x.got[i-1].Seq+1 {
			x.t.Errorf("packet %d: number %d after %d", i, p.Seq, x.got[i-1].Seq)
		}
	}
}

// inTime checks that time stamps go with the clock, to within a packet.
func (x *talker) inTime(slack time.Duration) {
	x.t.Helper()
	for i, p := range x.got {
		first := x.got[0]
		if p.PT == events.Out || p.SSRC != first.SSRC {
			continue
		}
		off := p.at.Sub(first.at) - time.Duration(int32(p.Stamp-first.Stamp))*time.Second/8000
		if off < -slack || off > slack {
			x.t.Fatalf("packet %d: its time stamp is %v off", i, off)
		}
	}
}

func (x *talker) ssrcs() int {
	n := 0
	for i, p := range x.got {
		if i == 0 || p.SSRC != x.got[i-1].SSRC {
			n++
		}
	}
	return n
}

// conversation is a media between two talkers.
func conversation(t *testing.T, caller, callee []sdp.Agreed, test func(m *Media, caller, callee *talker)) {
	world(t, func(m *Media, far *rtp.Engine) {
		test(m, newTalker(t, far, m, Caller, false, caller...), newTalker(t, far, m, Callee, true, callee...))
	})
}

var voiceAndEvents = []sdp.Agreed{pcma, events}

func join(t *testing.T, m *Media, caller, callee *talker) {
	t.Helper()
	set(t, m, Caller, caller.agreed())
	set(t, m, Callee, callee.agreed())
}

func play(t *testing.T, m *Media, s Side, what Source) {
	t.Helper()
	if err := m.Play(s, what); err != nil {
		t.Fatal(err)
	}
}

func TestRingbackUntilTheCalleeSpeaks(t *testing.T) {
	conversation(t, voiceAndEvents, voiceAndEvents, func(m *Media, caller, callee *talker) {
		set(t, m, Caller, caller.agreed())
		play(t, m, Caller, Source{Sound: Ringback, Country: "de"})
		pass(2 * time.Second)
		rung := caller.pcm(codec.ALaw)
		if n := len(rung); n < 8000*19/10 || n > 8000*21/10 {
			t.Fatalf("%d samples in two seconds", n)
		}
		if l := codec.ToneLevel(rung[800:7200], 425, 8000); l < -16 || l > -6 {
			t.Errorf("425 Hz at %.1f dBm0", l)
		}
		if l := codec.DBm0(rung[9000:15000]); l > -50 {
			t.Errorf("%.1f dBm0 in the pause", l)
		}
		set(t, m, Callee, callee.agreed())
		m.Stop(Caller)
		speech := audio.Speech(1)[:16000]
		caller.got = nil
		callee.talk(speech)
		pass(100 * time.Millisecond)
		if r := audio.Listen(speech, caller.pcm(codec.ALaw)); !r.Same || r.Loss > 0.1 {
			t.Errorf("after the ringback: %+v", r)
		}
		caller.continuous()
	})
}

// Each tone that tells why has its own sound, in a country whose tones we know
// (BT SIN 350) and in one where we do not: ETSI TR 101 041, and ITU-T E.180
// clause 7 for the special information tone.
func TestTonesThatTellWhy(t *testing.T) {
	for _, tc := range []struct {
		what Source
		at   int // ms
		hz   float64
	}{
		{Source{Sound: Busy, Country: "gb"}, 100, 400},
		{Source{Sound: Busy}, 200, 425},
		{Source{Sound: Congestion}, 50, 425},
		{Source{Sound: Unobtainable, Country: "gb"}, 1500, 400},
		{Source{Sound: Unobtainable}, 100, 950},
		{Source{Sound: Unobtainable}, 430, 1400},
		{Source{Sound: Unobtainable, Country: "de"}, 760, 1800},
	} {
		conversation(t, voiceAndEvents, voiceAndEvents, func(m *Media, caller, callee *talker) {
			set(t, m, Caller, caller.agreed())
			play(t, m, Caller, tc.what)
			pass(2 * time.Second)
			heard := caller.pcm(codec.ALaw)
			if l := codec.ToneLevel(heard[tc.at*8:tc.at*8+1000], tc.hz, 8000); l < -11 || l > -9 {
				t.Errorf("%s of %q: %v Hz at %.1f dBm0", tc.what.Sound, tc.what.Country, tc.hz, l)
			}
		})
	}
}

// What is played while on hold is one stream with what was said before and is
// said after: RFC 3550 5.1 wants the numbers of one SSRC in order, and its
// time stamps in step with the clock.
func TestMusicIsOneStreamWithTheSpeech(t *testing.T) {
	music := audio.Tones(7, 3*time.Second)
	file := filepath.Join(t.TempDir(), "music.wav")
	if err := os.WriteFile(file, wav(1, 1, 16, 8000, pcmBytes(music)), 0o600); err != nil {
		t.Fatal(err)
	}
	conversation(t, voiceAndEvents, voiceAndEvents, func(m *Media, caller, callee *talker) {
		join(t, m, caller, callee)
		caller.talk(audio.Speech(2)[:8000])
		play(t, m, Callee, Source{Sound: Music, File: file})
		before := len(callee.got)
		caller.talk(make([]int16, 4*8000)) // what the caller says meanwhile is not heard
		m.Stop(Callee)
		after := len(callee.got)
		speech := audio.Speech(3)[:16000]
		caller.talk(speech)
		all := callee.got
		callee.got = all[before:after]
		if r := audio.Listen(music, callee.pcm(codec.ALaw)); !r.Same || r.Loss > 0.02 {
			t.Errorf("music: %+v", r)
		}
		callee.got = all[after:]
		if r := audio.Listen(speech, callee.pcm(codec.ALaw)); !r.Same || r.Loss > 0.05 {
			t.Errorf("afterwards: %+v", r)
		}
		callee.got = all
		callee.continuous()
		callee.inTime(45 * time.Millisecond)
		if n := callee.ssrcs(); n != 1 {
			t.Errorf("%d streams", n)
		}
	})
}

func pcmBytes(pcm []int16) (b []byte) {
	for _, s := range pcm {
		b = binary.LittleEndian.AppendUint16(b, uint16(s))
	}
	return b
}

// wav writes a RIFF WAVE file.
func wav(format, channels, bits, rate int, data []byte) []byte {
	b := append([]byte("RIFF"), 0, 0, 0, 0)
	b = append(b, "WAVEfmt "...)
	b = binary.LittleEndian.AppendUint32(b, 16)
	b = binary.LittleEndian.AppendUint16(b, uint16(format))
	b = binary.LittleEndian.AppendUint16(b, uint16(channels))
	b = binary.LittleEndian.AppendUint32(b, uint32(rate))
	b = binary.LittleEndian.AppendUint32(b, uint32(rate*channels*bits/8))
	b = binary.LittleEndian.AppendUint16(b, uint16(channels*bits/8))
	b = binary.LittleEndian.AppendUint16(b, uint16(bits))
	b = append(b, "data"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	b = append(b, data...)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8))
	return b
}

func TestNothingCanBePlayedInACodecWeDoNotSpeak(t *testing.T) {
	silk := sdp.Agreed{Codec: sdp.Codec{PT: 103, Name: "SILK", Rate: 16000}, In: 103, Out: 103}
	conversation(t, []sdp.Agreed{silk}, []sdp.Agreed{silk}, func(m *Media, caller, callee *talker) {
		join(t, m, caller, callee)
		if err := m.Play(Caller, Source{Sound: Busy}); err == nil {
			t.Error("played")
		}
		if err := m.SendDigit(Caller, '1', time.Second); err == nil {
			t.Error("sent")
		}
	})
}

// RFC 4733 2.5.1: one time stamp, the marker in the first packet alone, a
// duration that grows with the clock, the end three times.
func TestDigitsAreSentAsEvents(t *testing.T) {
	conversation(t, voiceAndEvents, voiceAndEvents, func(m *Media, caller, callee *talker) {
		join(t, m, caller, callee)
		caller.quiet(500 * time.Millisecond)
		for _, d := range "5#" {
			if err := m.SendDigit(Callee, byte(d), 100*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		caller.quiet(time.Second)
		callee.continuous()
		callee.inTime(45 * time.Millisecond)
		if n := callee.ssrcs(); n != 1 {
			t.Errorf("%d streams", n)
		}
		var digits []byte
		var stamp uint32
		var last codec.Event
		ends, apart := 0, 0
		for _, p := range callee.got {
			if p.PT != events.Out {
				apart++
				continue
			}
			e, err := codec.ParseEvent(p.Payload)
			if err != nil {
				t.Fatal(err)
			}
			if p.Marker != (len(digits) == 0 || p.Stamp != stamp) {
				t.Errorf("marker %v at %+v", p.Marker, e)
			}
			switch {
			case p.Marker:
				digits = append(digits, e.Digit())
				if len(digits) > 1 && ends != 3 {
					t.Errorf("%d ends", ends)
				}
				if e.Duration != 160 || e.End {
					t.Errorf("first packet %+v", e)
				}
				ends = 0
			case !e.End && e.Duration != last.Duration+160, e.End && e.Duration < last.Duration:
				t.Errorf("%+v after %+v", e, last)
			}
			if e.End {
				ends++
				if e.Duration != 800 {
					t.Errorf("it lasted %d units", e.Duration)
				}
			}
			stamp, last = p.Stamp, e
		}
		if string(digits) != "5#" || ends != 3 {
			t.Errorf("digits %q, %d ends of the last", digits, ends)
		}
		if apart < 40 {
			t.Errorf("only %d packets of speech around them", apart)
		}
	})
}

// RFC 4733 2.5.1.3: what lasts longer than a duration can tell goes on as
// another event, without a marker and without an end of the first.
func TestLongEventsAreCutInSegments(t *testing.T) {
	v8 := sdp.Agreed{Codec: sdp.Codec{PT: 102, Name: "telephone-event", Rate: 48000}, In: 102, Out: 102}
	conversation(t, []sdp.Agreed{pcma, v8}, []sdp.Agreed{pcma, v8}, func(m *Media, caller, callee *talker) {
		join(t, m, caller, callee)
		var told []Digit
		m.Watch(func(n Notice) { told = append(told, n.(Digit)) })
		if err := m.SendDigit(Callee, '7', 3*time.Second); err != nil { // 144000 units
			t.Fatal(err)
		}
		pass(4 * time.Second)
		segments, ends, total := 0, 0, 0
		var stamp uint32
		var last codec.Event
		for i, p := range callee.got {
			e, _ := codec.ParseEvent(p.Payload)
			if p.PT != 102 {
				t.Fatalf("packet %d of type %d", i, p.PT)
			}
			if i == 0 || p.Stamp != stamp {
				if i > 0 && (last.Duration != segment || last.End || p.Marker) {
					t.Errorf("a new segment after %+v, marker %v", last, p.Marker)
				}
				total += int(last.Duration)
				segments++
			}
			if e.End {
				ends++
			}
			stamp, last = p.Stamp, e
		}
		if total += int(last.Duration); segments != 3 || ends != 3 || total < 143000 || total > 145000 {
			t.Errorf("%d segments, %d ends, %d units", segments, ends, total)
		}
		// And a keypad puts them together again.
		pad := &keypad{clock: 48000, down: func(byte) {}, up: func(d byte, lasted time.Duration) { told = append(told, Digit{Callee, d, lasted}) }}
		for _, p := range callee.got {
			pad.hear(p.Packet, p.at)
		}
		if len(told) != 1 || told[0].Digit != '7' || told[0].Duration.Round(20*time.Millisecond) != 3*time.Second {
			t.Errorf("told %+v", told)
		}
	})
}

// key sends a digit as telephones do, leaving out the packets that skip names.
func (x *talker) key(digit byte, packets int, skip func(i int) bool) {
	code, _ := codec.EventOf(digit)
	stamp := x.stamp
	for i := range packets + 2 {
		e := codec.Event{Code: code, Volume: 10, Duration: uint16(160 * min(i+1, packets)), End: i >= packets-1}
		if skip == nil || !skip(i) {
			x.raw(events.In, i == 0, stamp, e.Append(nil))
		}
		pass(20 * time.Millisecond)
		x.stamp += 160
	}
	synctest.Wait()
}

func TestDigitsInAStreamThatPassesAreTold(t *testing.T) {
	conversation(t, voiceAndEvents, voiceAndEvents, func(m *Media, caller, callee *talker) {
		join(t, m, caller, callee)
		var told []Digit
		m.Watch(func(n Notice) { told = append(told, n.(Digit)) })
		caller.quiet(100 * time.Millisecond)
		caller.key('1', 5, nil)
		caller.key('*', 10, func(i int) bool { return i < 3 })  // the first are lost
		caller.key('9', 10, func(i int) bool { return i >= 9 }) // all ends are lost
		caller.quiet(2 * time.Second)
		want := []Digit{{Caller, '1', 100 * time.Millisecond}, {Caller, '*', 200 * time.Millisecond}, {Caller, '9', 180 * time.Millisecond}}
		if len(told) != 3 || told[0] != want[0] || told[1] != want[1] || told[2] != want[2] {
			t.Errorf("told %+v, want %+v", told, want)
		}
		seen := 0
		for _, p := range callee.got {
			if p.PT == events.In {
				seen++
			}
		}
		if seen != 7+9+9 {
			t.Errorf("%d event packets passed", seen)
		}
	})
}

func TestEventsBecomeTonesForWhoTakesNoEvents(t *testing.T) {
	conversation(t, voiceAndEvents, []sdp.Agreed{pcma}, func(m *Media, caller, callee *talker) {
		set(t, m, Caller, caller.agreed(func(n *Negotiated) { n.PT = rtp.MapPT(map[uint8]uint8{8: 8}) }))
		set(t, m, Callee, callee.agreed())
		caller.quiet(200 * time.Millisecond)
		caller.key('5', 10, nil)
		caller.quiet(200 * time.Millisecond)
		pcm := callee.pcm(codec.ALaw)
		best := math.Inf(-1)
		for at := 0; at+800 < len(pcm); at += 160 {
			best = max(best, min(codec.ToneLevel(pcm[at:at+800], 770, 8000), codec.ToneLevel(pcm[at:at+800], 1336, 8000)))
		}
		if best < -20 {
			t.Errorf("the tones of 5 are heard at %.1f dBm0", best)
		}
		callee.continuous()
		for _, p := range callee.got {
			if p.PT != 8 {
				t.Errorf("a packet of type %d", p.PT)
			}
		}
	})
}

func TestTonesBecomeEvents(t *testing.T) {
	conversation(t, []sdp.Agreed{pcma}, voiceAndEvents, func(m *Media, caller, callee *talker) {
		set(t, m, Caller, caller.agreed(func(n *Negotiated) { n.Digits = Tones }))
		set(t, m, Callee, callee.agreed())
		var told []Digit
		m.Watch(func(n Notice) { told = append(told, n.(Digit)) })
		caller.quiet(300 * time.Millisecond)
		for _, d := range "159D" {
			tone := make([]int16, 800)
			codec.NewDTMF(byte(d), 8000, time.Second).Read(tone)
			caller.talk(tone)
			caller.quiet(100 * time.Millisecond)
		}
		caller.quiet(300 * time.Millisecond)
		var digits, heard []byte
		var stamp uint32
		for _, p := range callee.got {
			if p.PT == events.Out && p.Stamp != stamp {
				e, _ := codec.ParseEvent(p.Payload)
				digits, stamp = append(digits, e.Digit()), p.Stamp
			}
		}
		for _, d := range told {
			heard = append(heard, d.Digit)
		}
		if string(digits) != "159D" || string(heard) != "159D" {
			t.Errorf("events %q, told %q", digits, heard)
		}
		callee.continuous()
	})
}

func TestSpeechIsRecoded(t *testing.T) {
	for _, ptime := range []time.Duration{20 * time.Millisecond, 30 * time.Millisecond, 10 * time.Millisecond} {
		conversation(t, voiceAndEvents, []sdp.Agreed{pcmu, events}, func(m *Media, caller, callee *talker) {
			recode := func(n *Negotiated) { n.Recode = true }
			set(t, m, Caller, caller.agreed(recode))
			set(t, m, Callee, callee.agreed(recode, func(n *Negotiated) { n.Ptime = ptime }))
			speech := audio.Speech(4)
			caller.talk(speech[:24000])
			caller.quiet(100 * time.Millisecond)
			caller.key('3', 10, nil)
			caller.talk(speech[24000:])
			pass(100 * time.Millisecond)
			synctest.Wait()
			heard := audio.Track{At: callee.got[0].at}
			for _, p := range callee.got {
				if p.PT != pcmu.Out && p.PT != events.Out {
					t.Fatalf("a packet of type %d", p.PT)
				}
				if n := len(p.Payload); p.PT == pcmu.Out && n != int(8*ptime/time.Millisecond) {
					t.Fatalf("a packet of %d octets", n)
				}
			}
			heard.PCM = callee.pcm(codec.MuLaw)
			if r := audio.Listen(speech[:24000], heard.PCM); !r.Same || r.Loss > 0.01 || r.SNR < 34 || r.Delay > 60*time.Millisecond {
				t.Errorf("%v: %+v", ptime, r)
			}
			callee.continuous()
			callee.inTime(25*time.Millisecond + ptime)
			ends := 0
			for _, p := range callee.got {
				if e, err := codec.ParseEvent(p.Payload); p.PT == events.Out && err == nil && e.End {
					ends++
				}
			}
			if ends != 3 {
				t.Errorf("%d ends of the digit", ends)
			}
		})
	}
}

// stage orders what the far sides hear and what the test looks at.
var stage sync.Mutex

// pass lets time pass, and all that happens in it happen.
func pass(d time.Duration) {
	stage.Lock() // what was looked at before comes before what is heard then
	until := time.Now().Add(d)
	stage.Unlock()
	time.Sleep(time.Until(until))
	synctest.Wait()
}
