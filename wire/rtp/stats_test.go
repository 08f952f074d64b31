package rtp

import (
	"encoding/binary"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func play(s *source, seqs ...uint16) {
	for _, seq := range seqs {
		s.update(header{ssrc: 1, seq: seq, time: uint32(seq) * 160}, time.Duration(seq)*20*time.Millisecond, defaultClock)
	}
}

func TestLossAndOrder(t *testing.T) {
	for _, c := range []struct {
		name       string
		seqs       []uint16
		lost       int64
		outOfOrder uint64
	}{
		{"all there", []uint16{1, 2, 3, 4}, 0, 0},
		{"two missing", []uint16{1, 4, 5}, 2, 0},
		{"one late", []uint16{1, 3, 2, 4}, 0, 1},
		{"one twice", []uint16{1, 2, 2, 3}, -1, 1},
		{"over the wrap", []uint16{65534, 65535, 0, 1}, 0, 0},
		{"loss over the wrap", []uint16{65534, 1, 2}, 2, 0},
		{"late over the wrap", []uint16{65534, 0, 65535, 1}, 0, 1},
		{"one packet from far off is ignored", []uint16{1, 2, 40000, 3, 4}, 0, 0},
		{"a new beginning", []uint16{1, 2, 4, 40000, 40001, 40002}, 1, 0},
	} {
		var s source
		play(&s, c.seqs...)
		if s.lost() != c.lost || s.outOfOrder != c.outOfOrder {
			t.Errorf("%s: lost %d, out of order %d, want %d, %d", c.name, s.lost(), s.outOfOrder, c.lost, c.outOfOrder)
		}
	}
}

func TestLossIsKeptWhenTheSourceChanges(t *testing.T) {
	var s source
	play(&s, 1, 4)
	s.update(header{ssrc: 2, seq: 999}, 0, defaultClock)
	if s.lost() != 2 || s.ssrc != 2 {
		t.Errorf("lost %d of source %d", s.lost(), s.ssrc)
	}
}

func TestJitter(t *testing.T) {
	var s source
	for i := range 2000 { // every other packet 10 ms late: |D| = 10 ms, to which J converges
		arrival := time.Duration(i) * 20 * time.Millisecond
		if i%2 == 1 {
			arrival += 10 * time.Millisecond
		}
		s.update(header{ssrc: 1, seq: uint16(i), time: uint32(i) * 160}, arrival, defaultClock)
	}
	if j := s.jitterTime(); j < 9*time.Millisecond || j > 10*time.Millisecond {
		t.Errorf("jitter %v, want 10ms", j)
	}
}

func TestTelephoneEventsAreNoJitter(t *testing.T) {
	var s source
	stamp := uint32(0)
	for i := range 100 {
		if i < 20 || i > 60 { // the packets of a digit share a time stamp
			stamp = uint32(i) * 160
		}
		s.update(header{ssrc: 1, seq: uint16(i), time: stamp}, time.Duration(i)*20*time.Millisecond, defaultClock)
	}
	if j := s.jitterTime(); j != 0 {
		t.Errorf("jitter %v", j)
	}
}

// TestLossAddsUp: whatever is lost or doubled between the first packet and the
// last, the books are right.
func TestLossAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Uint16().Draw(t, "first")
		n := rapid.IntRange(2, 500).Draw(t, "packets")
		var s source
		want := int64(0)
		play(&s, first)
		for i := 1; i < n-1; i++ {
			switch rapid.IntRange(0, 9).Draw(t, "fate") {
			case 0:
				want++
				continue
			case 1:
				want--
				play(&s, first+uint16(i))
			}
			play(&s, first+uint16(i))
		}
		play(&s, first+uint16(n-1))
		if s.lost() != want {
			t.Fatalf("lost %d, want %d", s.lost(), want)
		}
	})
}

// RFC 3550 A.8: jitter is counted in the clock of the packets' own codec.
func TestJitterGoesByTheClockOfThePayload(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.plan(w.a, &Plan{PT: PassPT(), To: w.b, Clock: 16000, Clocks: map[uint8]uint32{8: 8000}})
		stamp := uint32(0)
		for seq := range uint16(100) {
			b := packet(7, seq)
			step := uint32(160)
			if seq >= 50 { // the far side changes to the codec it likes best
				b[1], step = 96, 320
			}
			stamp += step
			binary.BigEndian.PutUint32(b[4:], stamp)
			w.send(w.alice, b)
			time.Sleep(20 * time.Millisecond)
			if s := w.a.Stats(); s.Jitter > time.Millisecond {
				t.Fatalf("packet %d: jitter %v by a clock of %d", seq, s.Jitter, s.Clock)
			}
		}
		if s := w.a.Stats(); s.Clock != 16000 {
			t.Errorf("clock %d", s.Clock)
		}
	})
}
