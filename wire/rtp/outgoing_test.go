package rtp

import (
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// own is a packet of ours for the stream that leaves a port now.
func own(p *Port, clock uint32) []byte {
	ssrc, stamp := p.Stamp(clock)
	b := packet(ssrc, 0)
	binary.BigEndian.PutUint32(b[4:], stamp)
	return b
}

func (w *world) insert(hush time.Duration) {
	w.t.Helper()
	if err := w.b.Insert(own(w.b, 8000), w.bKeys, hush); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

// numbers is what bob heard.
func (w *world) numbers() (seqs []uint16) {
	for _, b := range w.toBob {
		seqs = append(seqs, binary.BigEndian.Uint16(b[2:]))
	}
	return seqs
}

// RFC 3550 5.1: the numbers of one SSRC count its packets. Those of ours are
// counted, those that were kept back are not.
func TestPacketsOfOursAreNumberedInTheStreamThatPasses(t *testing.T) {
	for _, secure := range []bool{false, true} {
		bubble(t, func(t *testing.T, w *world) {
			if secure {
				w.bKeys = w.keys(sdes)
				w.replan()
				w.plan(w.bob, &Plan{PT: PassPT(), In: w.bKeys, Sink: func(p []byte, _ bool) { w.toBob = append(w.toBob, append([]byte(nil), p...)) }})
			}
			seq := uint16(65530)
			say := func(n int) {
				for range n {
					w.send(w.alice, packet(7, seq))
					seq++
					time.Sleep(20 * time.Millisecond)
				}
			}
			say(4)
			w.insert(0)
			w.insert(0)
			say(3)
			w.insert(30 * time.Millisecond) // two of the next three are kept back
			say(3)
			w.insert(0)
			say(2)
			for i, got := range w.numbers() {
				if want := uint16(65530 + i); got != want {
					t.Errorf("packet %d: number %d, want %d", i, got, want)
				}
			}
			if n := len(w.toBob); n != 4+2+3+1+1+1+2 {
				t.Errorf("bob heard %d packets", n)
			}
			for i, b := range w.toBob {
				if ssrc := binary.BigEndian.Uint32(b[8:]); ssrc != 7 {
					t.Errorf("packet %d: SSRC %d", i, ssrc)
				}
			}
		})
	}
}

// Whatever comes and goes, no number is used twice: SRTP must not encrypt two
// packets with one key stream (RFC 3711 9.1), and a receiver in the clear would
// take the second for a copy.
func TestNoNumberLeavesTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var o outgoing
		now := time.Unix(1e9, 0)
		seq := uint16(rapid.IntRange(0, 65535).Draw(rt, "first"))
		used := map[uint16]bool{}
		leaves := func(n uint16) {
			if used[n] {
				rt.Fatalf("number %d leaves twice", n)
			}
			used[n] = true
		}
		var held []uint16
		forward := func(n uint16) {
			b := packet(7, n)
			h, _ := parseRTP(b)
			if o.admit(b, &h, now) {
				o.forwarded(h, 8000, now)
				leaves(h.seq)
			}
		}
		for range rapid.IntRange(1, 300).Draw(rt, "steps") {
			now = now.Add(20 * time.Millisecond)
			switch rapid.IntRange(0, 7).Draw(rt, "step") {
			case 0: // lost
				seq++
			case 1: // overtaken by the next ones
				held = append(held, seq)
				seq++
			case 2: // ours
				if o.started {
					h := header{ssrc: o.ssrc, time: o.nowStamp(now)}
					o.put(packet(7, 0), &h, now)
					leaves(h.seq)
				}
			case 4: // ends here
				h, _ := parseRTP(packet(7, seq))
				p := &Port{}
				p.tx.out = o
				p.withhold(h)
				o = p.tx.out
				seq++
			case 3: // and theirs kept back
				o.hush = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(rt, "hush")) * time.Millisecond)
			default:
				forward(seq)
				seq++
				for _, n := range held {
					forward(n)
				}
				held = nil
			}
		}
	})
}

func TestOurStreamHasNumbersOfItsOwn(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for range 3 {
			w.insert(time.Second)
			time.Sleep(20 * time.Millisecond)
		}
		first := w.numbers()
		if len(first) != 3 || first[1] != first[0]+1 || first[2] != first[0]+2 {
			t.Fatalf("numbers %v", first)
		}
		ours := binary.BigEndian.Uint32(w.toBob[0][8:])
		stamps := [2]uint32{binary.BigEndian.Uint32(w.toBob[0][4:]), binary.BigEndian.Uint32(w.toBob[2][4:])}
		if d := stamps[1] - stamps[0]; d != 320 {
			t.Errorf("the time stamp has moved by %d in 40 ms", d)
		}
		w.send(w.alice, packet(9, 100)) // kept back
		if len(w.toBob) != 3 {
			t.Error("alice is heard while ours is sent")
		}
		time.Sleep(time.Second)
		w.send(w.alice, packet(9, 101))
		if n := w.numbers(); len(n) != 4 || n[3] != 101 {
			t.Errorf("numbers %v", n)
		}
		old := packet(ours, 0)
		if err := w.b.Insert(old, nil, 0); !errors.Is(err, ErrStream) {
			t.Errorf("inserted into a stream that does not leave any more: %v", err)
		}
		if ssrc, _ := w.b.Stamp(48000); ssrc == 9 || ssrc == ours {
			t.Error("another clock needs another SSRC (RFC 7160 4)")
		}
	})
}

func TestInsertRefuses(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		if err := w.b.Insert([]byte{0x80, 8}, nil, 0); !errors.Is(err, ErrPacket) {
			t.Error(err)
		}
		if err := w.b.Insert(packet(1, 1), nil, 0); !errors.Is(err, ErrStream) {
			t.Error(err)
		}
		if err := w.b.Insert(own(w.b, 8000), &Keys{Suite: "NULL"}, 0); err == nil {
			t.Error("with keys of no suite")
		}
		p := open(t, w.gateway)
		if err := p.Insert(own(p, 8000), nil, 0); !errors.Is(err, ErrNoRemote) {
			t.Error(err)
		}
		pkt := own(w.b, 8000)
		w.b.Close()
		if err := w.b.Insert(pkt, nil, 0); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

func TestKeptPacketsGoToTheSinkAlone(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		var seen []byte
		pt := PassPT()
		pt[101] = Keep
		w.plan(w.a, &Plan{PT: pt, To: w.b, Ends: true, Sink: func(p []byte, _ bool) { seen = append(seen, p[1]&0x7f) }})
		b := packet(7, 1)
		b[1] = 101
		w.send(w.alice, packet(7, 0))
		w.send(w.alice, b)
		w.send(w.alice, packet(7, 2))
		w.send(w.alice, appendReport(nil, 7, nil, nil))
		if n := w.numbers(); len(n) != 2 || n[1] != n[0]+1 {
			t.Errorf("numbers %v: what ends here is not lost", n)
		}
		if len(seen) != 4 || seen[1] != 101 || len(w.toBob) != 2 || len(w.rtcpToBob) != 0 {
			t.Errorf("seen %v, %d and %d passed", seen, len(w.toBob), len(w.rtcpToBob))
		}
		if s := w.a.Stats(); s.Dropped() != 0 || s.ReceivedRTCP.Packets != 1 {
			t.Errorf("%+v", s)
		}
	})
}
