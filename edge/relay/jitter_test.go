package relay

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/wire/codec"
	"github.com/tandemgw/tandem/wire/sdp"
)

// course runs a buffer against a sender: packet i of 20 ms comes delay(i)
// after it was due, or not at all when that is negative. Every 20 ms of the
// receiver's clock, which is faster by drift, a packet is played. It returns
// what was played: the packet's index, -1 for a hidden one, -2 for a pause.
func course(n int, drift float64, delay func(i int) time.Duration) (played []int, j *jitter) {
	j = &jitter{delay: startDelay}
	j.reset(8000)
	start := time.Unix(1e9, 0)
	type arrival struct {
		at time.Time
		i  int
	}
	var coming []arrival
	for i := range n {
		if d := delay(i); d >= 0 {
			coming = append(coming, arrival{start.Add(time.Duration(i)*20*time.Millisecond + d), i})
		}
	}
	slices.SortStableFunc(coming, func(a, b arrival) int { return a.at.Compare(b.at) })
	step := time.Duration(float64(20*time.Millisecond) * (1 - drift))
	for now := start.Add(3 * time.Millisecond); now.Before(start.Add(time.Duration(n) * 20 * time.Millisecond)); now = now.Add(step) {
		for len(coming) > 0 && !coming[0].at.After(now) {
			a := coming[0]
			coming = coming[1:]
			b := binary.BigEndian.AppendUint32(nil, uint32(a.i))
			j.put(held{seq: uint16(65500 + a.i), stamp: uint32(160*a.i) - 5000, payload: b, at: a.at})
		}
		h, what := j.beat(now)
		switch what {
		case speech:
			played = append(played, int(binary.BigEndian.Uint32(h.payload)))
		case missing:
			played = append(played, -1)
		case pause:
			played = append(played, -2)
		}
		j.played(what, 160)
		if j.over(now) {
			j.spare(now, true)
		}
	}
	return played, j
}

// tally counts packets, hidden ones and pauses, and those that came out of
// order.
func tally(played []int) (packets, hidden, pauses, wrong int) {
	last := -1
	for _, p := range played {
		switch {
		case p == -1:
			hidden++
		case p == -2:
			pauses++
		default:
			if p <= last {
				wrong++
			}
			packets, last = packets+1, p
		}
	}
	return packets, hidden, pauses, wrong
}

func TestJitterBuffer(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	even := func(most int) func(int) time.Duration {
		return func(int) time.Duration { return time.Duration(r.IntN(most+1)) * time.Millisecond }
	}
	for _, c := range []struct {
		name           string
		n              int
		drift          float64
		delay          func(int) time.Duration
		packets        [2]int // bounds
		hidden, pauses int    // at most
		late           time.Duration
	}{
		{"a steady stream is delayed by a beat", 1000, 0, func(int) time.Duration { return 0 }, [2]int{997, 1000}, 0, 2, 30 * time.Millisecond},
		{"5 ms of jitter cost nothing", 1000, 0, even(5), [2]int{996, 1000}, 1, 3, 40 * time.Millisecond},
		{"60 ms of jitter: it learns", 2000, 0, even(60), [2]int{1975, 2000}, 15, 15, 120 * time.Millisecond},
		{"one in twenty is lost: hidden, and nothing else", 1000, 0, func(i int) time.Duration {
			if i%20 == 7 {
				return -1
			}
			return 0
		}, [2]int{947, 950}, 50, 2, 30 * time.Millisecond},
		{"pairs change places", 1000, 0, func(i int) time.Duration {
			if i%10 == 3 {
				return 25 * time.Millisecond
			}
			return 0
		}, [2]int{990, 1000}, 5, 5, 60 * time.Millisecond},
		{"the delay jumps by 100 ms and stays", 1000, 0, func(i int) time.Duration {
			if i > 500 {
				return 100 * time.Millisecond
			}
			return 0
		}, [2]int{985, 1000}, 6, 8, 140 * time.Millisecond},
		{"the delay was long at first", 4000, 0, func(i int) time.Duration {
			if i < 50 {
				return 100 * time.Millisecond
			}
			return 0
		}, [2]int{3980, 4000}, 6, 8, 60 * time.Millisecond},
		{"our clock is faster by 200 ppm", 20000, 2e-4, even(2), [2]int{19980, 20000}, 12, 8, 40 * time.Millisecond},
		{"our clock is slower by 200 ppm", 20000, -2e-4, even(2), [2]int{19980, 20000}, 4, 4, 60 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			played, j := course(c.n, c.drift, c.delay)
			packets, hidden, pauses, wrong := tally(played)
			if packets < c.packets[0] || packets > c.packets[1] || hidden > c.hidden || pauses > c.pauses || wrong > 0 {
				t.Errorf("%d packets, %d hidden, %d pauses, %d out of order; late %d, lost %d, left out %d", packets, hidden, pauses, wrong, j.late, j.lost, j.left)
			}
			// How far behind the newest packet sent it plays at the end.
			behind := time.Duration(c.n-1-played[len(played)-1]) * 20 * time.Millisecond
			if played[len(played)-1] < 0 || behind > c.late+20*time.Millisecond {
				t.Errorf("at the end it plays packet %d of %d", played[len(played)-1], c.n)
			}
		})
	}
}

// A far side that suppresses silence stops its packets; its time stamps go on
// (RFC 3551 4.1), and so does the delay.
func TestJitterBufferKeepsTimeOverPauses(t *testing.T) {
	played, _ := course(1000, 0, func(i int) time.Duration {
		if i/50%2 == 1 { // a second of speech, one of silence
			return -1
		}
		return 0
	})
	for i, p := range played {
		if p >= 0 && i-p > 3 {
			t.Fatalf("beat %d plays packet %d", i, p)
		}
	}
	if packets, _, _, _ := tally(played); packets < 490 {
		t.Errorf("%d of 500 played", packets)
	}
}

// FuzzJitter: whatever comes in whatever order, memory stays bounded, what is
// played goes forward, and it goes on.
func FuzzJitter(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 1, 3, 3, 3})
	f.Add([]byte{0, 1, 200, 1, 0, 100, 250, 3, 1, 255, 255, 3, 3})
	f.Add([]byte{2, 128, 0, 3, 2, 127, 255, 3, 2, 0, 0, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		j := &jitter{delay: startDelay}
		j.reset(8000)
		now := time.Unix(1e9, 0)
		seq, stamp := uint16(0), uint32(0)
		for len(b) >= 3 {
			switch op, x := b[0]%4, binary.BigEndian.Uint16(b[1:]); op {
			case 0: // in order
				seq, stamp = seq+1, stamp+160
				j.put(held{seq: seq, stamp: stamp, at: now, payload: b[:1]})
			case 1: // near it
				j.put(held{seq: seq + x%16 - 8, stamp: stamp + uint32(x%16)*160 - 1280, at: now})
			case 2: // anything
				j.put(held{seq: x, stamp: uint32(x) << 16, at: now})
			case 3:
				now = now.Add(time.Duration(x%40) * time.Millisecond)
				_, what := j.beat(now)
				j.played(what, 160)
				if j.over(now) {
					j.spare(now, x%2 == 0)
				}
			}
			if len(j.waiting) > crowd || len(j.free) > 2*crowd {
				t.Fatalf("%d wait, %d buffers", len(j.waiting), len(j.free))
			}
			b = b[3:]
		}
		// A stream that is steady is heard again soon, whatever was before.
		heard := 0
		for i := range 100 {
			j.put(held{seq: seq + 1000 + uint16(i), stamp: stamp + 1e6 + uint32(160*i), at: now})
			if _, what := j.beat(now); what == speech {
				heard++
			}
			j.played(speech, 160)
			now = now.Add(20 * time.Millisecond)
		}
		if heard < 50 {
			t.Fatalf("%d of 100 packets heard", heard)
		}
	})
}

// What a far side says is heard in another codec, with its packets late, out
// of order and lost, under SRTP on both legs.
func TestSpeechIsRecodedThroughABadNetwork(t *testing.T) {
	for _, far := range []sdp.Agreed{pcmu, g722} {
		t.Run(far.Name, func(t *testing.T) {
			conversation(t, voiceAndEvents, []sdp.Agreed{far, events}, func(m *Media, caller, callee *talker) {
				recode := func(n *Negotiated) { n.Recode = true }
				set(t, m, Caller, caller.agreed(recode))
				set(t, m, Callee, callee.agreed(recode))
				r := rand.New(rand.NewPCG(3, 4))
				speech := audio.Speech(4)
				sent := 0
				for at := 0; at+160 <= len(speech); at += 160 {
					pkt := caller.packet(8, false, caller.stamp, codec.ALaw.Encode(nil, speech[at:at+160]))
					caller.stamp += 160
					if sent++; sent%33 != 0 { // 3 % are lost
						time.AfterFunc(time.Duration(r.IntN(40))*time.Millisecond, func() { _ = caller.port.Send(pkt, caller.out) })
					}
					pass(20 * time.Millisecond)
				}
				pass(200 * time.Millisecond)
				synctest.Wait()
				var heard []int16
				if far.Name == "PCMU" {
					heard = callee.pcm(codec.MuLaw)
				} else {
					f, _ := codec.Lookup("G722", 8000, "")
					d, err := f.NewDecoder()
					if err != nil {
						t.Fatal(err)
					}
					defer d.Close()
					var wide []int16
					for _, p := range callee.got {
						if wide, err = d.Decode(wide, p.Payload); err != nil {
							t.Fatal(err)
						}
					}
					heard = codec.NewResampler(16000, 8000).Resample(nil, wide)
				}
				rep := audio.Listen(speech, heard)
				if !rep.Same || rep.Loss > 0.12 || rep.Delay > 150*time.Millisecond {
					t.Errorf("%+v", rep)
				}
				callee.continuous()
			})
		})
	}
}
