package relay

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/wire/codec"
	"github.com/tandemgw/tandem/wire/sdp"
)

var (
	cn    = sdp.Agreed{Codec: sdp.Codec{PT: 13, Name: "CN", Rate: 8000}, In: 13, Out: 13}
	amr   = sdp.Agreed{Codec: sdp.Codec{PT: 97, Name: "AMR", Rate: 8000}, In: 97, Out: 97}
	opus  = sdp.Agreed{Codec: sdp.Codec{PT: 111, Name: "opus", Rate: 48000, Channels: 2, Fmtp: "usedtx=1"}, In: 111, Out: 111, Receives: "usedtx=1"}
	g729b = sdp.Agreed{Codec: sdp.Codec{PT: 18, Name: "G729", Rate: 8000}, In: 18, Out: 18}
)

// phrases is speech with pauses of the noise of a room: 2 s, speech, 2 s.
func phrases(rate int) (pcm []int16, begin, end int) {
	words := audio.Speech(3)[:24000]
	if rate != 8000 {
		words = codec.NewResampler(8000, rate).Resample(nil, words)
	}
	begin, end = 2*rate, 2*rate+len(words)
	pcm = make([]int16, end+2*rate)
	noise := codec.NewNoiseGenerator()
	noise.Set(codec.Noise{Level: 60})
	noise.Fill(pcm)
	for i, v := range words {
		pcm[begin+i] += v
	}
	return pcm, begin, end
}

// speak sends samples in a codec, silent in pauses if the codec can be.
func (x *talker) speak(a sdp.Agreed, pcm []int16) {
	x.t.Helper()
	f, ok := codec.Lookup(a.Name, a.Rate, a.Fmtp)
	if !ok {
		x.t.Skipf("%s cannot be spoken here", a.Name)
	}
	f.DTX = true
	enc, err := f.NewEncoder()
	if err != nil {
		x.t.Fatal(err)
	}
	defer enc.Close()
	n, silent := f.Samples(codec.Packet), true
	for ; len(pcm) >= n; pcm = pcm[n:] {
		b, err := enc.Encode(nil, pcm[:n])
		if err != nil {
			x.t.Fatal(err)
		}
		if len(b) == 0 {
			x.stamp += f.Ticks(n)
		} else {
			lead := f.Ticks(codec.Lead(enc))
			x.stamp += lead
			x.send(a.Out, silent, b, f.Ticks(n)-lead)
		}
		silent = len(b) == 0
		pass(20 * time.Millisecond)
	}
	synctest.Wait()
}

func recoded(n *Negotiated) { n.Recode = true }

// RFC 3389 4, RFC 3551 4.1: in a pause of speech that is recoded, the side that
// has agreed to comfort noise is told how it sounds, about once a second. What
// begins after it has the marker, and its time stamp goes with the clock.
func TestPausesOfRecodedSpeechAreDescribed(t *testing.T) {
	conversation(t, []sdp.Agreed{g722}, []sdp.Agreed{pcma, cn}, func(m *Media, caller, callee *talker) {
		set(t, m, Caller, caller.agreed(recoded))
		set(t, m, Callee, callee.agreed())
		pcm, begin, end := phrases(16000)
		caller.speak(g722, pcm)
		callee.continuous()
		callee.inTime(25 * time.Millisecond)
		var words []int16
		first, described, between := callee.got[0].at, 0, false
		var sent time.Duration
		for i, p := range callee.got {
			if p.PT == cn.Out {
				described++
				n, _ := codec.ParseNoise(p.Payload)
				if p.Marker || len(p.Payload) < 5 || p.at.Sub(first) > time.Second && math.Abs(float64(n.Level)-60) > 5 {
					t.Errorf("packet %d: marker %v, % x", i, p.Marker, p.Payload)
				}
				between = true
				continue
			}
			if between != p.Marker && i > 0 {
				t.Errorf("packet %d at %v: marker %v", i, p.at.Sub(first), p.Marker)
			}
			between = false
			sent += 20 * time.Millisecond
			at := int(p.Stamp - callee.got[0].Stamp)
			words = append(words, make([]int16, max(0, at-len(words)))...)
			words = codec.ALaw.Decode(words[:at], p.Payload)
		}
		spoken := time.Duration(end-begin) * time.Second / 16000
		t.Logf("%v of speech in %v are %v of packets, and %d descriptions", spoken, time.Duration(len(pcm))*time.Second/16000, sent, described)
		if sent > spoken+time.Second || described < 3 || described > 12 {
			t.Error("see above")
		}
		narrow := codec.NewResampler(16000, 8000).Resample(nil, pcm[begin:end])
		if r := audio.Listen(narrow, words[begin/2-800:]); !r.Same || r.Loss > 0.02 {
			t.Errorf("%+v", r)
		}
	})
}

// Nothing is left out for a side that has not agreed, for one that says
// silenceSupp:off, and of what comes as G.711, which may be a fax.
func TestPausesThatMustBeSent(t *testing.T) {
	unbroken := func(n *Negotiated) { n.Unbroken = true }
	for name, c := range map[string]struct {
		from   sdp.Agreed
		to     []sdp.Agreed
		change []func(*Negotiated)
	}{
		"not agreed":      {from: g722, to: []sdp.Agreed{pcma}},
		"not wanted":      {from: g722, to: []sdp.Agreed{pcma, cn}, change: []func(*Negotiated){unbroken}},
		"from G.711":      {from: pcmu, to: []sdp.Agreed{pcma, cn}},
		"AMR, not wanted": {from: g722, to: []sdp.Agreed{amr}, change: []func(*Negotiated){unbroken}},
	} {
		t.Run(name, func(t *testing.T) {
			conversation(t, []sdp.Agreed{c.from}, c.to, func(m *Media, caller, callee *talker) {
				set(t, m, Caller, caller.agreed(recoded))
				set(t, m, Callee, callee.agreed(c.change...))
				f, _ := codec.Lookup(c.from.Name, c.from.Rate, "")
				pcm, _, _ := phrases(f.Rate)
				caller.speak(c.from, pcm)
				for i, p := range callee.got {
					if i > 0 && p.Stamp-callee.got[i-1].Stamp != 160 {
						t.Fatalf("packet %d: %d units after the one before", i, p.Stamp-callee.got[i-1].Stamp)
					}
				}
				if n := len(callee.got); n < len(pcm)/f.Samples(codec.Packet)-5 {
					t.Errorf("%d packets", n)
				}
			})
		})
	}
}

// A codec's own descriptions of noise are heard as noise, until speech comes:
// by a side that gets every packet, and by one that gets descriptions.
func TestNoiseThatACodecDescribesIsHeard(t *testing.T) {
	for _, from := range []sdp.Agreed{amr, opus, g729b} {
		t.Run(from.Name, func(t *testing.T) {
			conversation(t, []sdp.Agreed{from}, []sdp.Agreed{pcma}, func(m *Media, caller, callee *talker) {
				set(t, m, Caller, caller.agreed(recoded))
				set(t, m, Callee, callee.agreed())
				f, _ := codec.Lookup(from.Name, from.Rate, from.Fmtp)
				if f.Name == "" {
					t.Skip("its library is not here")
				}
				pcm, begin, _ := phrases(f.Rate)
				caller.speak(from, pcm)
				callee.continuous()
				callee.inTime(25 * time.Millisecond)
				heard := callee.pcm(codec.ALaw)
				at := begin * 8000 / f.Rate
				if len(heard) < at || len(callee.got) < len(pcm)/f.Samples(codec.Packet)-8 {
					t.Fatalf("%d packets", len(callee.got))
				}
				level := codec.DBov(heard[at-6400 : at-1600])
				t.Logf("noise of -60 dBov is heard with %.1f", level)
				if math.Abs(level+60) > 10 {
					t.Error("see above")
				}
				for i := range (at - 8000) / 160 { // nowhere a hole
					if l := codec.DBov(heard[4800+160*i:][:160]); l < -75 {
						t.Fatalf("packet %d has %.1f dBov", 30+i, l)
					}
				}
			})
		})
	}
}

// Towards AMR, G.729 and Opus the codec describes the pauses.
func TestPausesTowardsACodecThatDescribesThem(t *testing.T) {
	for _, to := range []sdp.Agreed{amr, opus, g729b} {
		t.Run(to.Name, func(t *testing.T) {
			conversation(t, []sdp.Agreed{g722}, []sdp.Agreed{to}, func(m *Media, caller, callee *talker) {
				if _, ok := codec.Lookup(to.Name, to.Rate, to.Receives); !ok {
					t.Skip("its library is not here")
				}
				set(t, m, Caller, caller.agreed(recoded))
				set(t, m, Callee, callee.agreed())
				pcm, _, _ := phrases(16000)
				caller.speak(g722, pcm)
				callee.continuous()
				for i, p := range callee.got {
					if i == 0 {
						continue
					}
					// 20 ms, or a pause before it, in which a packet of G.729 may begin later.
					gap := time.Duration(p.Stamp-callee.got[i-1].Stamp) * time.Second / time.Duration(to.Rate)
					if pausing := gap > 30*time.Millisecond; pausing != p.Marker || gap <= 0 {
						t.Errorf("packet %d comes after %v, marker %v", i, gap, p.Marker)
					}
					if off := p.at.Sub(callee.got[i-1].at) - gap; off.Abs() > 25*time.Millisecond {
						t.Errorf("packet %d: its time stamp is off by %v", i, off)
					}
				}
				all := len(pcm) / 320
				t.Logf("%d packets of %d", len(callee.got), all)
				if n := len(callee.got); n > all*4/5 || n < all/3 {
					t.Error("see above")
				}
			})
		})
	}
}
