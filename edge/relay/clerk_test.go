package relay

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/wire/codec"
	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sdp"
)

// Microsoft Teams docs, "Direct Routing - Media protocols": a call without RTP for
// long is ended by the far side; so one that hears nothing is given noise, in
// the stream that it heard, until the other side speaks again.
func TestSilenceIsFilledWithComfortNoise(t *testing.T) {
	conversation(t, voiceAndEvents, voiceAndEvents, func(m *Media, caller, callee *talker) {
		set(t, m, Caller, caller.agreed())
		set(t, m, Callee, callee.agreed(func(n *Negotiated) { n.Fill = 2 * time.Second }))
		caller.talk(audio.Speech(1)[:8000])
		said := len(callee.got)
		pass(1900 * time.Millisecond)
		if len(callee.got) > said {
			t.Error("noise too early")
		}
		pass(5 * time.Second)
		noise := callee.pcm(codec.ALaw)[8000:]
		if n := time.Duration(len(callee.got)-said) * 20 * time.Millisecond; n < 3*time.Second || n > 5*time.Second {
			t.Errorf("%v of noise", n)
		}
		if l := codec.DBov(noise); l < -75 || l > -55 {
			t.Errorf("noise of %.1f dBov", l)
		}
		if len(caller.got) > 0 {
			t.Error("the other side has no wish for noise")
		}
		caller.stamp += 7 * 8000 // its clock went on
		speech := audio.Speech(2)[:16000]
		before := len(callee.got)
		caller.talk(speech)
		if got := len(callee.got) - before; got < 100 || got > 101 {
			t.Errorf("%d packets while 100 were said", got)
		}
		callee.continuous()
		if n := callee.ssrcs(); n != 1 {
			t.Errorf("%d streams", n)
		}
	})
}

func TestWhoIsOnHoldHearsNoNoise(t *testing.T) {
	conversation(t, voiceAndEvents, voiceAndEvents, func(m *Media, caller, callee *talker) {
		for _, d := range []sdp.Direction{sdp.Inactive, sdp.RecvOnly} {
			set(t, m, Caller, caller.agreed(func(n *Negotiated) { n.Direction = d }))
			set(t, m, Callee, callee.agreed(func(n *Negotiated) { n.Fill = time.Second }))
			pass(5 * time.Second)
			if len(callee.got) > 0 {
				t.Fatalf("%v: %d packets", d, len(callee.got))
			}
		}
	})
}

// RFC 3550 6.2, 6.3: a report every five seconds in the mean, at random from
// 2.05 to 6.16 s, compound, with one SSRC and one name; an SR only while RTP
// leaves.
func TestReportsOfOursComeInTime(t *testing.T) {
	conversation(t, voiceAndEvents, voiceAndEvents, func(m *Media, caller, callee *talker) {
		set(t, m, Caller, caller.agreed())
		set(t, m, Callee, callee.agreed(func(n *Negotiated) { n.Reports = Own }))
		const span = 10 * time.Minute
		for range span / (20 * time.Second) {
			caller.talk(make([]int16, 8000))
			pass(19 * time.Second)
		}
		synctest.Wait()
		n := len(callee.rtcp)
		if mean := span / time.Duration(max(n, 1)); mean < 3500*time.Millisecond || mean > 5500*time.Millisecond {
			t.Errorf("one report in %v", mean)
		}
		senders := 0
		for _, b := range callee.rtcp {
			if b[1] == 200 {
				senders++
			}
			if b[1] != 200 && b[1] != 201 || len(b) < 16 {
				t.Fatalf("% x", b)
			}
		}
		if senders < 20 || senders > n/2 {
			t.Errorf("%d of %d are of a sender", senders, n)
		}
		if s := callee.port.Stats(); s.Dropped() > 0 {
			t.Errorf("%v", s.Drops)
		}
	})
}

// What a side gets of the other one's RTCP, and of ours.
func TestReportsAreRelayedOrEnded(t *testing.T) {
	for _, c := range []struct {
		name     string
		kind     Reports
		recode   bool
		theirs   int // of the three that the caller sends
		ours     bool
		silently bool // the caller sends none
	}{
		{name: "relayed while there are some", kind: Relayed, theirs: 3},
		{name: "ours while there are none", kind: Relayed, ours: true, silently: true},
		{name: "ours alone", kind: Own, ours: true},
		{name: "none", kind: None},
		{name: "reports about a stream that is recoded say nothing", kind: Relayed, recode: true, ours: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			conversation(t, voiceAndEvents, voiceAndEvents, func(m *Media, caller, callee *talker) {
				set(t, m, Caller, caller.agreed(func(n *Negotiated) { n.Recode = c.recode }))
				set(t, m, Callee, callee.agreed(func(n *Negotiated) { n.Reports, n.Recode = c.kind, c.recode }))
				for range 3 {
					if !c.silently {
						if err := caller.port.Send([]byte{0x80, 201, 0, 1, 0, 0, 0, 7}, nil); err != nil {
							t.Fatal(err)
						}
					}
					pass(7 * time.Second)
				}
				theirs := 0
				for _, b := range callee.rtcp {
					if len(b) == 8 {
						theirs++
					}
				}
				if ours := len(callee.rtcp) > theirs; theirs != c.theirs || ours != c.ours {
					t.Errorf("%d of theirs, %d in all", theirs, len(callee.rtcp))
				}
			})
		})
	}
}

func TestQualityIsRatedBothWays(t *testing.T) {
	conversation(t, voiceAndEvents, voiceAndEvents, func(m *Media, caller, callee *talker) {
		join(t, m, caller, callee)
		if q, _ := m.Quality(Caller); q.From.MOS != 0 {
			t.Errorf("before the answer: %+v", q)
		}
		m.Answered()
		second := make([]int16, 8000)
		for i := range 90 {
			callee.talk(second[:160])
			caller.talk(second[160:])
			if i%10 == 0 {
				caller.seq += 5 // lost in a row
			}
			// The callee has lost one of ten of the caller's.
			block := []byte{0x81, 201, 0, 7, 0, 0, 0x10, 1, 0, 0, 0x10, 0, 26, 0, byte((5 * i) >> 8), byte(5 * i)}
			block = append(block, 0, 0, byte((50*i)>>8), byte(50*i), 0, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0)
			if i%5 == 0 {
				if err := callee.port.Send(block, callee.out); err != nil {
					t.Fatal(err)
				}
			}
		}
		synctest.Wait()
		q, whiles := m.Quality(Caller)
		if f := q.From; math.Abs(f.Loss-0.01) > 0.005 || math.Abs(f.Burst-5) > 0.5 || f.MOS < 4.2 || f.MOS > 4.3 {
			t.Errorf("the caller: %+v", f)
		}
		if len(whiles) != 2 && len(whiles) != 3 {
			t.Errorf("%d whiles in 90 s", len(whiles))
		}
		q, _ = m.Quality(Callee)
		if q.From.MOS < 4.2 || q.From.Loss != 0 {
			t.Errorf("the callee: %+v", q.From)
		}
		if q.To.MOS == 0 || q.To.MOS > 3.9 {
			t.Errorf("what the callee hears: %+v", q.To)
		}
	})
}

func TestLongCallsKeepFewWhiles(t *testing.T) {
	var q quality
	for i := range 1000 {
		q.samples = append(q.samples, Quality{Since: time.Unix(int64(i), 0), For: time.Second, From: Score{MOS: 4, Loss: 0.5}})
		if len(q.samples) == maxSamples {
			q.halve()
		}
	}
	if len(q.samples) >= maxSamples || q.samples[0].Since != time.Unix(0, 0) || q.samples[0].From.MOS != 4 || q.samples[0].From.Loss != 0.5 {
		t.Errorf("%d whiles, the first %+v", len(q.samples), q.samples[0])
	}
}

func TestOneWayAudioIsFoundOut(t *testing.T) {
	conversation(t, voiceAndEvents, voiceAndEvents, func(m *Media, caller, callee *talker) {
		join(t, m, caller, callee)
		var told []Notice
		m.Watch(func(n Notice) { told = append(told, n) })
		pass(time.Minute) // it rings
		m.Answered()
		for range 30 {
			caller.quiet(time.Second)
		}
		if a, b := m.Mute(Caller), m.Mute(Callee); a > time.Second || b < 29*time.Second || b > 31*time.Second {
			t.Errorf("mute for %v and %v", a, b)
		}
		set(t, m, Callee, callee.agreed(func(n *Negotiated) { n.Direction = sdp.Inactive }))
		pass(time.Hour)
		if b := m.Mute(Callee); b > 32*time.Second {
			t.Errorf("%v with the hold", b)
		}
		if len(told) != 1 || told[0].(Muted).Side != Callee || told[0].(Muted).For > Noticed+time.Second {
			t.Errorf("told %+v", told)
		}
	})
}

// Everything of ours is protected by the leg's keys, and comes to nothing when
// it must: there is no address, the call is over.
func TestVoicesEnd(t *testing.T) {
	world(t, func(m *Media, far *rtp.Engine) {
		caller := newTalker(t, far, m, Caller, true, voiceAndEvents...)
		set(t, m, Caller, caller.agreed())
		play(t, m, Caller, Source{Sound: Busy})
		pass(time.Second)
		if n := len(caller.got); n < 45 || n > 52 {
			t.Errorf("%d packets in a second", n)
		}
		if s := caller.port.Stats(); s.Dropped() > 0 {
			t.Errorf("%v", s.Drops)
		}
		m.Stop(Caller)
		pass(100 * time.Millisecond)
		n := len(caller.got)
		pass(time.Second)
		if len(caller.got) != n {
			t.Error("it goes on")
		}
		play(t, m, Caller, Source{Sound: Congestion})
		m.Close()
		if err := m.Play(Caller, Source{Sound: Busy}); err == nil {
			t.Error("played after the end")
		}
		m.Stop(Caller)
	})
}

// RFC 3389 4: noise that a side describes is made for the other one, if that
// cannot read it, until the first word.
func TestNoiseThatIsDescribedIsMadeForWhoCannotReadIt(t *testing.T) {
	described := sdp.Agreed{Codec: sdp.Codec{PT: 13, Name: "CN", Rate: 8000}, In: 13, Out: 13}
	conversation(t, []sdp.Agreed{pcma, described}, []sdp.Agreed{pcma}, func(m *Media, caller, callee *talker) {
		set(t, m, Caller, caller.agreed(func(n *Negotiated) { n.PT = rtp.MapPT(map[uint8]uint8{8: 8}) }))
		set(t, m, Callee, callee.agreed())
		caller.talk(audio.Speech(1)[:8000])
		caller.send(13, false, []byte{50}, 160)
		said := len(callee.got)
		pass(3 * time.Second)
		noise := len(callee.got) - said
		if noise < 140 || noise > 155 {
			t.Errorf("%d packets of noise in three seconds", noise)
		}
		if l := codec.DBov(callee.pcm(codec.ALaw)[8000:]); l < -55 || l > -45 {
			t.Errorf("noise of %.1f dBov", l)
		}
		caller.stamp += 3 * 8000
		caller.talk(audio.Speech(2)[:8000])
		if got := len(callee.got) - said - noise; got < 50 || got > 51 {
			t.Errorf("%d packets while 50 were said", got)
		}
		pass(time.Second)
		if got := len(callee.got) - said - noise; got > 51 {
			t.Errorf("noise after the speech: %d packets", got)
		}
		callee.continuous()
	})
}
