package rtp

import (
	"bytes"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// RFC 3550 6.4 and 6.5, by hand.
func TestReportsAreWrittenAsTheStandardDrawsThem(t *testing.T) {
	info := &senderInfo{ntp: 0x0102030405060708, stamp: 0x11121314, packets: 21, octets: 3360}
	block := &report{ssrc: 0xaabbccdd, fraction: 0x40, lost: -2, highest: 0x00010005, jitter: 33, lsr: 0x03040506, dlsr: 0x00008000}
	got := appendSource(appendReport(nil, 0xdeadbeef, info, block), 0xdeadbeef, "abcdef")
	want := []byte{
		0x81, 200, 0, 12, 0xde, 0xad, 0xbe, 0xef,
		1, 2, 3, 4, 5, 6, 7, 8, 0x11, 0x12, 0x13, 0x14, 0, 0, 0, 21, 0, 0, 0x0d, 0x20,
		0xaa, 0xbb, 0xcc, 0xdd, 0x40, 0xff, 0xff, 0xfe, 0, 1, 0, 5, 0, 0, 0, 33, 3, 4, 5, 6, 0, 0, 0x80, 0,
		0x81, 202, 0, 4, 0xde, 0xad, 0xbe, 0xef, 1, 6, 'a', 'b', 'c', 'd', 'e', 'f', 0, 0, 0, 0,
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	var c compound
	c.read(got)
	if !c.stamped || c.ntp != info.ntp || c.sender != 0xdeadbeef || len(c.blocks) != 1 || c.blocks[0] != *block {
		t.Errorf("read back %+v", c)
	}
	for n := range 12 { // whole words, with one zero at least (RFC 3550 6.5)
		b := appendSource(nil, 1, "abcdefghijkl"[:n])
		if checkCompound(b) != passed || b[len(b)-1] != 0 {
			t.Errorf("a name of %d octets: % x", n, b)
		}
	}
}

// RFC 3611 4.7 and 4.6.
func TestExtendedReportsAreRead(t *testing.T) {
	voip := []byte{
		7, 0, 0, 8, 0, 0, 0, 9, 64, 32, 128, 16, // loss 1/4, discard 1/8, burst density 1/2, gap density 1/16
		0, 100, 1, 0, 0, 40, 0, 60, // burst 100 ms, gap 256 ms, round trip 40 ms, end system 60 ms
		0xe7, 0xc4, 127, 16, // signal -25 dBm, noise -60 dBm, echo unknown, Gmin
		88, 127, 41, 127, // R, external R, MOS-LQ 4.1, MOS-CQ unknown
		0, 0, 0, 30, 0, 50, 0, 90,
	}
	statistics := []byte{6, 0x80, 0, 9, 0, 0, 0, 9, 0, 10, 0, 110, 0, 0, 0, 25}
	statistics = append(statistics, make([]byte, 40-len(statistics))...)
	for name, c := range map[string]struct {
		blocks [][]byte
		want   VoIP
	}{
		"VoIP metrics": {[][]byte{voip}, VoIP{
			Loss: 0.25, Discard: 0.125, BurstDensity: 0.5, GapDensity: 0.0625,
			Burst: 100 * time.Millisecond, Gap: 256 * time.Millisecond, RoundTrip: 40 * time.Millisecond, EndSystem: 60 * time.Millisecond,
			Signal: -25, Noise: -60, Echo: -1, R: 88, MOSLQ: 4.1, MOSCQ: -1,
			JitterBuffer: 30 * time.Millisecond, LargestJitterTime: 50 * time.Millisecond,
		}},
		"statistics": {[][]byte{statistics}, VoIP{
			Loss: 0.25, Discard: -1, BurstDensity: -1, GapDensity: -1, Signal: -1, Noise: -1, Echo: -1, R: -1, MOSLQ: -1, MOSCQ: -1,
		}},
	} {
		body := bytes.Join(c.blocks, nil)
		b := appendReport(nil, 5, nil, nil)
		b = append(b, 0x80, typeXR)
		b = binary.BigEndian.AppendUint16(b, uint16(1+len(body)/4))
		b = append(append(b, 0, 0, 0, 5), body...)
		if checkCompound(b) != passed {
			t.Fatalf("%s: not whole", name)
		}
		var got compound
		got.read(b)
		if d := gocmp.Diff(c.want, got.voip, cmpopts.EquateApprox(0, 0.001)); d != "" || !got.metrics || got.about != 9 {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// RFC 3550 6.4.1 and A.8: the round trip is the time from our SR to the answer
// to it, less the time it was kept.
func TestRoundTripAndLossAreLearntFromReports(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for seq := range uint16(10) {
			w.send(w.alice, packet(7, seq))
			time.Sleep(20 * time.Millisecond)
		}
		if err := w.b.Report(nil, "name"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(w.rtcpToBob) != 1 {
			t.Fatalf("%d reports", len(w.rtcpToBob))
		}
		var c compound
		c.read(w.rtcpToBob[0])
		sr := w.rtcpToBob[0]
		if !c.stamped || c.sender != 7 || binary.BigEndian.Uint32(sr[20:]) != 10 || binary.BigEndian.Uint32(sr[24:]) != 1600 {
			t.Errorf("the SR says % x", sr)
		}
		if stamp := binary.BigEndian.Uint32(sr[16:]); stamp != 10*160 { // 200 ms after the first
			t.Errorf("its time stamp is %d", stamp)
		}
		time.Sleep(500 * time.Millisecond)
		lost := uint32(1)
		b := appendReport(nil, 99, nil, &report{ssrc: 7, fraction: 64, lost: int32(lost), highest: 9, jitter: 80, lsr: middle(c.ntp), dlsr: 3 << 16 / 10})
		if err := w.bob.Send(b, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s := w.b.Stats()
		if d := s.RoundTrip - 200*time.Millisecond; d < -time.Millisecond || d > time.Millisecond {
			t.Errorf("round trip %v", s.RoundTrip)
		}
		if h := s.Heard; h.Fraction != 0.25 || h.Lost != 1 || h.Highest != 9 || h.Jitter != 10*time.Millisecond || h.At.IsZero() {
			t.Errorf("%+v", h)
		}
		// One that answers no SR of ours tells no round trip, and one about
		// another stream no loss.
		b = appendReport(nil, 99, nil, &report{ssrc: 8, fraction: 255, lsr: 12345, dlsr: 1})
		if err := w.bob.Send(b, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if again := w.b.Stats(); again.RoundTrip != s.RoundTrip || again.Heard != s.Heard {
			t.Errorf("%+v", again)
		}
	})
}

// An SR of the other far side that is relayed tells the round trip as well.
func TestRoundTripFromRelayedReports(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		ntp := ntpOf(time.Now())
		w.send(w.alice, appendReport(nil, 7, &senderInfo{ntp: ntp}, nil))
		time.Sleep(80 * time.Millisecond)
		if err := w.bob.Send(appendReport(nil, 99, nil, &report{ssrc: 7, lsr: middle(ntp), dlsr: 0}), nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if d := w.b.Stats().RoundTrip; d.Round(time.Millisecond) != 80*time.Millisecond {
			t.Errorf("round trip %v", d)
		}
	})
}

// RFC 3550 6.4.2 and A.3: what has come since the last report, the first after
// the far side's SR with its time, and an RR while we send nothing.
func TestReportsTellWhatWeHear(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		heard := func() compound {
			t.Helper()
			var last []byte
			w.plan(w.alice, &Plan{PT: PassPT(), Sink: func(p []byte, _ bool) { last = bytes.Clone(p) }})
			if err := w.a.Report(nil, "name"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if len(last) == 0 || checkCompound(last) != passed {
				t.Fatalf("% x", last)
			}
			var c compound
			c.read(last)
			return c
		}
		if c := heard(); c.stamped || len(c.blocks) != 0 {
			t.Errorf("before anything has come: %+v", c)
		}
		ntp := ntpOf(time.Now())
		for seq := uint16(65530); seq != 10; seq++ {
			if seq%4 != 0 { // a quarter is lost
				w.send(w.alice, packet(7, seq))
			}
			time.Sleep(20 * time.Millisecond)
		}
		w.send(w.alice, appendReport(nil, 7, &senderInfo{ntp: ntp}, nil))
		time.Sleep(250 * time.Millisecond)
		c := heard()
		if len(c.blocks) != 1 {
			t.Fatalf("%+v", c)
		}
		b := c.blocks[0]
		// 65532, 0, 4 and 8 of 65530 to 9: 4 of 16.
		if b.ssrc != 7 || b.highest != 1<<16+9 || b.lost != 4 || b.fraction != 64 || b.lsr != middle(ntp) || b.dlsr != 1<<14 {
			t.Errorf("%+v", b)
		}
		if s := w.a.Stats(); s.Gaps != 4 || s.GapLost != 4 {
			t.Errorf("%d gaps of %d", s.Gaps, s.GapLost)
		}
		for seq := uint16(10); seq < 14; seq++ {
			w.send(w.alice, packet(7, seq))
		}
		if b := heard().blocks; len(b) != 1 || b[0].fraction != 0 || b[0].lost != 4 {
			t.Errorf("without loss since: %+v", b)
		}
		if b := heard().blocks; len(b) != 0 {
			t.Errorf("nothing has come since: %+v", b)
		}
	})
}

// RFC 3711 3.4: reports of ours are authentic and secret like those that pass.
func TestReportsOfOursAreProtected(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k := w.keys(sdes)
		var got [][]byte
		w.plan(w.bob, &Plan{PT: PassPT(), In: k, Sink: func(p []byte, _ bool) { got = append(got, bytes.Clone(p)) }})
		for range 2 {
			if err := w.b.Report(k, "name"); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if len(got) != 2 || got[0][1] != typeRR {
			t.Errorf("bob heard %d reports", len(got))
		}
		if s := w.bob.Stats(); s.Dropped() != 0 {
			t.Errorf("%+v", s.Drops)
		}
	})
}

func TestByeIsNoted(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.send(w.alice, []byte{0x80, typeRR, 0, 1, 0, 0, 0, 7, 0x81, typeBYE, 0, 1, 0, 0, 0, 7})
		if w.a.Stats().Bye.IsZero() {
			t.Error("not noted")
		}
	})
}

// FuzzCompound: whatever is whole by its lengths is read without harm.
func FuzzCompound(f *testing.F) {
	f.Add(appendSource(appendReport(nil, 1, &senderInfo{}, &report{}), 1, "name"))
	f.Add([]byte{0x9f, typeSR, 0, 1, 0, 0, 0, 0})
	f.Add([]byte{0x80, typeXR, 0, 3, 0, 0, 0, 5, 7, 0, 0, 8, 0, 0, 0, 9})
	f.Add([]byte{0x80, typeXR, 0, 2, 0, 0, 0, 5, 6, 0x80, 0xff, 0xff})
	f.Add([]byte{0x80, typeXR, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var c compound
		c.read(b)
		if len(c.blocks) > len(b)/blockSize {
			t.Errorf("%d blocks in %d octets", len(c.blocks), len(b))
		}
		if v := c.voip; c.metrics && (v.Loss < 0 || v.Loss > 1) {
			t.Errorf("%+v", v)
		}
	})
}
