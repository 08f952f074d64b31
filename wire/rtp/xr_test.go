package rtp

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// appendixA2 is the algorithm of RFC 3611 A.2, packet by packet, with the state
// that the RFC leaves to the beginning and the end settled as we do.
type appendixA2 struct {
	pkt, lost                    uint32
	c11, c13, c14, c22, c23, c33 uint32
}

func (a *appendixA2) packet(lost bool) {
	switch {
	case !lost:
		a.pkt++
		return
	case a.pkt >= gmin || a.lost == 0:
		if a.lost == 1 {
			a.c14++
		} else if a.lost > 1 {
			a.c13++
		}
		a.lost = 1
		a.c11 += a.pkt
	default:
		a.lost++
		if a.pkt == 0 {
			a.c33++
		} else {
			a.c23++
			a.c22 += a.pkt - 1
		}
	}
	a.pkt = 0
}

func TestBurstsAreCountedAsByTheRFC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want appendixA2
		var s source
		seq := uint16(rapid.IntRange(0, 65535).Draw(t, "seq"))
		for _, run := range rapid.SliceOfN(rapid.IntRange(-6, 40), 1, 60).Draw(t, "runs") {
			for ; run > 0; run-- { // arrive
				seq++
				want.packet(false)
				if !s.started {
					s.begin(header{seq: seq})
				} else {
					s.follow(header{seq: seq})
				}
				s.received++
			}
			for ; run < 0 && s.started; run++ { // are lost
				seq++
				want.packet(true)
			}
		}
		if want.pkt == 0 {
			return // the last losses are not known yet
		}
		got := bursts{}
		if s.bursts != nil {
			got = *s.bursts
		}
		if got.c11 != want.c11 || got.c13 != want.c13 || got.c14 != want.c14 || got.c22 != want.c22 || got.c23 != want.c23 || got.c33 != want.c33 || s.received-got.at != want.pkt {
			t.Fatalf("%+v\nwant %+v", got, want)
		}
		if l := s.bursts.sum(s.received); l.burstDensity < 0 || l.burstDensity > 1 || l.gapDensity < 0 || l.gapDensity > 1 {
			t.Fatalf("%+v", l)
		}
	})
}

// One loss alone is part of a gap; several near each other are a burst.
func TestBurstsAndGaps(t *testing.T) {
	alone := bursts{}
	alone.gap(100, 1)
	if l := alone.sum(200); l.burstDensity != 0 || l.burst != 0 || l.gap != 201 || math.Abs(l.gapDensity-1.0/201) > 1e-9 {
		t.Errorf("%+v", l)
	}
	together := bursts{}
	together.gap(100, 5)
	together.gap(104, 5)
	if l := together.sum(200); l.burstDensity < 0.5 || l.burst < 10 || l.gapDensity != 0 {
		t.Errorf("%+v", l)
	}
	if l := (*bursts)(nil).sum(50); l != (losses{gap: 50}) {
		t.Errorf("%+v", l)
	}
}

// RFC 3611 4.7: what we tell is what our own reader of it understands.
func TestVoIPMetricsAreTold(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		seq := uint16(65500)
		for i := range 400 {
			if seq++; i < 100 || i > 104 { // five of them are lost
				w.send(w.alice, packet(7, seq))
			}
			time.Sleep(20 * time.Millisecond)
		}
		w.toAlice = nil
		if err := w.a.Explain(nil, "name", Judgement{R: 91.6, MOSLQ: 4.36, MOSCQ: 4.31}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		told := w.alice.Stats().VoIP
		if told.At.IsZero() || math.Abs(told.Loss-5.0/400) > 0.005 || told.BurstDensity != 1-1/256.0 && told.BurstDensity < 0.9 || told.Burst != 100*time.Millisecond {
			t.Errorf("%+v", told)
		}
		if told.R != 92 || told.MOSLQ != 4.4 || told.MOSCQ != 4.3 || told.Signal != -1 || told.Noise != -1 || told.Echo != -1 || told.Discard != 0 {
			t.Errorf("%+v", told)
		}
		for _, p := range w.toAlice {
			if checkCompound(p) != passed {
				t.Errorf("% x", p)
			}
		}
	})
}

// What is not known is told as that, and of a side that sends nothing nothing.
func TestVoIPMetricsOfNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		if err := w.a.Explain(nil, "name", Judgement{R: 90}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if !w.alice.Stats().VoIP.At.IsZero() || w.alice.Stats().ReceivedRTCP.Packets != 1 {
			t.Errorf("%+v", w.alice.Stats().VoIP)
		}
		w.send(w.alice, packet(7, 1))
		_ = w.a.Explain(nil, "name", Judgement{})
		time.Sleep(time.Second)
		if v := w.alice.Stats().VoIP; v.At.IsZero() || v.R != -1 || v.MOSLQ != -1 || v.MOSCQ != -1 {
			t.Errorf("%+v", v)
		}
	})
}
