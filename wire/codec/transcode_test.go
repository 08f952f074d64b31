package codec

import (
	"fmt"
	"math"
	"testing"
	"time"
)

func TestAnyCodecBecomesAnyOther(t *testing.T) {
	for _, from := range Available() {
		for _, to := range Available() {
			tr, err := newTranscoder(from, to, 0)
			if err != nil {
				t.Fatal(err)
			}
			back, err := to.NewDecoder()
			if err != nil {
				t.Fatal(err)
			}
			enc, err := from.NewEncoder()
			if err != nil {
				t.Fatal(err)
			}
			pcm, n := speech(t, from.Rate)[from.Rate:2*from.Rate], from.Samples(Packet)
			var got []int16
			var ticks uint32
			for in := pcm; len(in) >= n; in = in[n:] {
				b, err := enc.Encode(nil, in[:n])
				if err != nil {
					t.Fatal(err)
				}
				if err := tr.Write(b, func(b []byte, n uint32) {
					ticks += n
					if got, err = back.Decode(got, b); err != nil {
						t.Fatal(err)
					}
				}); err != nil {
					t.Fatal(err)
				}
			}
			if want := uint32(to.Clock); ticks != want {
				t.Errorf("%s to %s: the timestamp moved by %d, want %d", from.Name, to.Name, ticks, want)
			}
			want := NewResampler(from.Rate, 8000).Resample(nil, pcm)
			got = NewResampler(to.Rate, 8000).Resample(nil, got)
			like, _ := likeness(want, got, 8000/15)
			if like < 0.5 {
				t.Errorf("%s to %s: likeness %.2f", from.Name, to.Name, like)
			}
			if d := DBov(got) - DBov(want); math.Abs(d) > 3 {
				t.Errorf("%s to %s: the level changed by %.1f dB", from.Name, to.Name, d)
			}
			tr.Close()
			back.Close()
			enc.Close()
		}
	}
}

func TestPacketTimeIsConverted(t *testing.T) {
	a, b := lookup(t, "PCMA", 8000, ""), lookup(t, "PCMU", 8000, "")
	for _, c := range []struct {
		in, out time.Duration
		want    []int // packets after each of four
	}{
		{20, 20, []int{1, 2, 3, 4}},
		{30, 20, []int{1, 3, 4, 6}},
		{20, 30, []int{0, 1, 2, 2}},
		{10, 20, []int{0, 1, 1, 2}},
		{60, 20, []int{3, 6, 9, 12}},
	} {
		tr, err := newTranscoder(a, b, c.out*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for i, want := range c.want {
			in := make([]byte, a.Samples(c.in*time.Millisecond))
			err := tr.Write(in, func(p []byte, ticks uint32) {
				n++
				if len(p) != 8*int(c.out) || ticks != uint32(len(p)) {
					t.Errorf("%d to %d ms: %d octets, %d ticks", c.in, c.out, len(p), ticks)
				}
			})
			if err != nil || n != want {
				t.Errorf("%d to %d ms: %d packets after %d, want %d (%v)", c.in, c.out, n, i+1, want, err)
			}
		}
	}
}

func TestALostPacketLeavesNoGap(t *testing.T) {
	tr, err := newTranscoder(lookup(t, "PCMA", 8000, ""), lookup(t, "G722", 8000, ""), 0)
	if err != nil {
		t.Fatal(err)
	}
	var ticks uint32
	count := func(_ []byte, n uint32) { ticks += n }
	in := make([]byte, 240)
	for i := range 10 {
		if i%3 == 2 {
			err = tr.Lose(count)
		} else {
			err = tr.Write(in, count)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if ticks != 10*240 {
		t.Errorf("%d ticks of 2400", ticks)
	}
}

func TestWholePacketTimes(t *testing.T) {
	for name, times := range map[string][][2]time.Duration{
		"PCMA": {{0, 20}, {30, 30}, {200, 60}, {5, 5}},
		"AMR":  {{0, 20}, {30, 20}, {40, 40}, {10, 20}},
		"opus": {{10, 20}, {60, 60}, {120, 60}, {50, 40}},
	} {
		for _, f := range Available() {
			for _, c := range times {
				if got := f.Whole(c[0] * time.Millisecond); f.Name == name && got != c[1]*time.Millisecond {
					t.Errorf("%s of %d ms: %v", name, c[0], got)
				}
			}
		}
	}
}

func TestNothingIsAllocatedPerFrame(t *testing.T) {
	for _, from := range Available() {
		for _, to := range Available() {
			tr, err := newTranscoder(from, to, 0)
			if err != nil {
				t.Fatal(err)
			}
			enc, _ := from.NewEncoder()
			b, _ := enc.Encode(nil, speech(t, from.Rate)[from.Rate:][:from.Samples(Packet)])
			emit := func([]byte, uint32) {}
			work := func() {
				if tr.Write(b, emit) != nil || tr.Lose(emit) != nil {
					t.Fatal("refused")
				}
			}
			for range 10 {
				work()
			}
			if n := testing.AllocsPerRun(10, work); n > 0 {
				t.Errorf("%s to %s: %.0f allocations a frame", from.Name, to.Name, n)
			}
			tr.Close()
			enc.Close()
		}
	}
}

// transcoder is decoder, resampler, framer and encoder behind each other, as
// whoever recodes a stream puts them.
type transcoder struct {
	to      Format
	dec     Decoder
	enc     Encoder
	rate    *Resampler
	frames  *Framer
	pcm     []int16
	resized []int16
	payload []byte
}

// newTranscoder makes packets of ptime, as far as the format can.
func newTranscoder(from, to Format, ptime time.Duration) (*transcoder, error) {
	dec, err := from.NewDecoder()
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", from.Name, err)
	}
	enc, err := to.NewEncoder()
	if err != nil {
		dec.Close()
		return nil, fmt.Errorf("encode %s: %w", to.Name, err)
	}
	return &transcoder{
		to: to, dec: dec, enc: enc,
		rate:   NewResampler(from.Rate, to.Rate),
		frames: NewFramer(to.Samples(to.Whole(ptime))),
	}, nil
}

// Write takes one payload in and calls emit for each packet that is whole.
// The payload is valid until emit returns; ticks is how far the RTP timestamp
// moves over it. A payload of no length need not be sent.
func (t *transcoder) Write(payload []byte, emit func(payload []byte, ticks uint32)) error {
	var err error
	if t.pcm, err = t.dec.Decode(t.pcm[:0], payload); err != nil {
		return err
	}
	return t.forward(emit)
}

// Lose stands for a packet that did not come.
func (t *transcoder) Lose(emit func(payload []byte, ticks uint32)) error {
	t.pcm = t.dec.Conceal(t.pcm[:0])
	return t.forward(emit)
}

func (t *transcoder) forward(emit func([]byte, uint32)) error {
	t.resized = t.rate.Resample(t.resized[:0], t.pcm)
	t.frames.Write(t.resized)
	for {
		frame := t.frames.Next()
		if frame == nil {
			return nil
		}
		var err error
		if t.payload, err = t.enc.Encode(t.payload[:0], frame); err != nil {
			return err
		}
		emit(t.payload, t.to.Ticks(len(frame)))
	}
}

// Close frees both codecs.
func (t *transcoder) Close() {
	t.dec.Close()
	t.enc.Close()
}
