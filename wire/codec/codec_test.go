package codec

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

// speech is a spoken sentence at 8000 or 16000 samples a second.
func speech(t testing.TB, rate int) []int16 {
	t.Helper()
	b, err := os.ReadFile("../../sandbox/audio/speech.g711a")
	if err != nil {
		t.Fatal(err)
	}
	pcm := ALaw.Decode(nil, b)
	if rate == 8000 {
		return pcm
	}
	return NewResampler(8000, rate).Resample(nil, pcm)
}

func lookup(t testing.TB, name string, clock int, fmtp string) Format {
	t.Helper()
	f, ok := Lookup(name, clock, fmtp)
	if !ok {
		for _, err := range Missing() {
			if strings.Contains(err.Error(), name) {
				t.Skip(err)
			}
		}
		t.Fatalf("%s/%d %q cannot be looked up", name, clock, fmtp)
	}
	return f
}

func open(t testing.TB, f Format) (Decoder, Encoder) {
	t.Helper()
	d, err := f.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	e, err := f.NewEncoder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close(); e.Close() })
	return d, e
}

// through sends pcm through a codec in packets of 20 ms.
func through(t testing.TB, f Format, pcm []int16) (out []int16, octets int) {
	t.Helper()
	d, e := open(t, f)
	n := f.Samples(Packet)
	for ; len(pcm) >= n; pcm = pcm[n:] {
		b, err := e.Encode(nil, pcm[:n])
		if err != nil {
			t.Fatal(err)
		}
		octets += len(b)
		if out, err = d.Decode(out, b); err != nil {
			t.Fatal(err)
		}
	}
	return out, octets
}

// likeness finds the delay at which got resembles want most: correlation
// between 0 and 1, and samples.
func likeness(want, got []int16, most int) (best float64, delay int) {
	for d := 0; d <= most; d++ {
		var xy, xx, yy float64
		for i := 0; i < min(len(want), len(got)-d); i++ {
			x, y := float64(want[i]), float64(got[i+d])
			xy, xx, yy = xy+x*y, xx+x*x, yy+y*y
		}
		if c := xy / math.Sqrt(xx*yy+1); c > best {
			best, delay = c, d
		}
	}
	return best, delay
}

var allFormats = []struct {
	name  string
	clock int
	fmtp  string
	like  float64 // of a waveform that went through, at least
}{
	{"PCMA", 8000, "", 0.999},
	{"PCMU", 8000, "", 0.999},
	{"G722", 8000, "", 0.99},
	{"AMR", 8000, "", 0.80},
	{"AMR", 8000, "octet-align=1;mode-set=0,2,4,7", 0.80},
	{"AMR-WB", 16000, "", 0.85},
	{"AMR-WB", 16000, "octet-align=1; mode-set=0,1,2", 0.85},
	{"opus", 48000, "useinbandfec=1", 0.80},
	{"G729", 8000, "", 0.75},
}

func TestSpeechComesThroughEveryCodec(t *testing.T) {
	for _, c := range allFormats {
		t.Run(c.name+" "+c.fmtp, func(t *testing.T) {
			f := lookup(t, c.name, c.clock, c.fmtp)
			pcm := speech(t, f.Rate)[:3*f.Rate]
			got, octets := through(t, f, pcm)
			if len(got) != len(pcm)/f.Samples(Packet)*f.Samples(Packet) {
				t.Errorf("%d samples became %d", len(pcm), len(got))
			}
			like, delay := likeness(pcm, got, f.Rate/40)
			t.Logf("likeness %.4f, delay %v, %.1f kbit/s", like, time.Duration(delay)*time.Second/time.Duration(f.Rate), float64(octets)*8/3000)
			if like < c.like {
				t.Errorf("likeness %.3f, want %.3f", like, c.like)
			}
			if level := DBov(got) - DBov(pcm); math.Abs(level) > 1 {
				t.Errorf("the level changed by %.1f dB", level)
			}
		})
	}
}

func TestALostPacketIsHiddenByEveryCodec(t *testing.T) {
	for _, c := range allFormats {
		t.Run(c.name+" "+c.fmtp, func(t *testing.T) {
			f := lookup(t, c.name, c.clock, c.fmtp)
			d, e := open(t, f)
			n := f.Samples(Packet)
			if got := d.Conceal(nil); len(got) != n {
				t.Fatalf("before the first packet: %d samples, want %d", len(got), n)
			}
			pcm := speech(t, f.Rate)
			for ; len(pcm) >= n; pcm = pcm[n:] {
				b, _ := e.Encode(nil, pcm[:n])
				if _, err := d.Decode(nil, b); err != nil {
					t.Fatal(err)
				}
				if len(pcm) < 2*f.Rate {
					break
				}
			}
			var last []int16
			for i := range 50 {
				last = d.Conceal(last[:0])
				if len(last) != n {
					t.Fatalf("lost packet %d: %d samples, want %d", i, len(last), n)
				}
			}
			if level := DBov(last); level > -40 {
				t.Errorf("after a second of loss there is still %.1f dBov", level)
			}
		})
	}
}

func TestAMalformedPayloadIsAnErrorAndTheStreamGoesOn(t *testing.T) {
	for _, c := range []struct {
		name  string
		clock int
		bad   []byte
	}{
		{"AMR", 8000, nil},
		{"AMR", 8000, []byte{0xf3}},                             // no frame in a table of contents that has one
		{"AMR", 8000, []byte{0xf4, 0xc0, 0, 0, 0, 0, 0}},        // type 9 (RFC 4867 4.3.2)
		{"AMR-WB", 16000, []byte{0xf6, 0x40, 0, 0, 0, 0, 0}},    // type 12
		{"AMR-WB", 16000, []byte(strings.Repeat("\xff", 40))},   // more frames than any packet holds
		{"opus", 48000, nil},                                    //
		{"opus", 48000, []byte{0xff, 0xff, 0xff, 0xff}},         // 63 frames of 20 ms
		{"G729", 8000, []byte{1, 2, 3}},                         //
		{"G729", 8000, []byte(strings.Repeat("x", 10*25))},      // 250 ms
		{"G729", 8000, []byte(strings.Repeat("x", 10*24+2+10))}, //
	} {
		f, ok := Lookup(c.name, c.clock, "")
		if !ok {
			continue
		}
		d, e := open(t, f)
		if _, err := d.Decode(nil, c.bad); !errors.Is(err, ErrPayload) {
			t.Errorf("%s: % x: %v", c.name, c.bad, err)
		}
		b, err := e.Encode(nil, make([]int16, f.Samples(Packet)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Decode(nil, b); err != nil {
			t.Errorf("%s: after a malformed payload: %v", c.name, err)
		}
	}
}

func TestPartOfAFrameCannotBeEncoded(t *testing.T) {
	for _, f := range Available() {
		_, e := open(t, f)
		if f.Frame == time.Millisecond && f.Name != "G722" {
			continue // any number of samples will do
		}
		for _, n := range []int{f.Samples(f.Frame) - 1, f.Samples(f.Frame) + 1} {
			if b, err := e.Encode(nil, make([]int16, n)); err == nil {
				t.Errorf("%s: %d samples become % x", f.Name, n, b)
			}
		}
	}
}

func TestLookup(t *testing.T) {
	for _, c := range []struct {
		name  string
		clock int
		fmtp  string
		want  bool
	}{
		{"pcma", 8000, "", true},
		{"G722", 8000, "", true},
		{"G722", 16000, "", false}, // its clock is 8000 whatever it samples (RFC 3551 4.5.2)
		{"SILK", 16000, "", false},
		{"telephone-event", 8000, "0-16", false},
		{"AMR", 8000, "octet-align=1; crc=1", false},
		{"AMR-WB", 16000, "interleaving=30", false},
	} {
		if _, ok := Lookup(c.name, c.clock, c.fmtp); ok != c.want {
			t.Errorf("%s/%d %q: %v", c.name, c.clock, c.fmtp, ok)
		}
	}
	if len(Available())+len(Missing()) != len(registry) {
		t.Errorf("%d available and %d missing of %d", len(Available()), len(Missing()), len(registry))
	}
	for _, err := range Missing() {
		t.Log(err)
	}
}

func TestAMissingLibraryIsSaid(t *testing.T) {
	l := &library{codec: "X", file: "libnosuchcodec.so.9", names: []string{"f"}}
	if err := l.missing(); err == nil || !strings.Contains(err.Error(), "X needs libnosuchcodec.so.9") {
		t.Error(err)
	}
	l = &library{codec: "X", file: "libc.so.6", names: []string{"strlen", "no_such_function"}}
	if err := l.missing(); err == nil {
		t.Error("a library without our functions was taken")
	}
}

func TestATimestampMovesByTheClock(t *testing.T) {
	for name, want := range map[string]uint32{"PCMA": 160, "G722": 160, "AMR": 160, "AMR-WB": 320, "opus": 960, "G729": 160} {
		for _, f := range Available() {
			if f.Name == name && f.Ticks(f.Samples(Packet)) != want {
				t.Errorf("%s moves by %d in 20 ms, want %d", name, f.Ticks(f.Samples(Packet)), want)
			}
		}
	}
}

// FuzzDecode feeds every decoder what a hostile peer may send.
func FuzzDecode(f *testing.F) {
	for i, c := range allFormats {
		format, ok := Lookup(c.name, c.clock, c.fmtp)
		if !ok {
			continue
		}
		e, err := format.NewEncoder()
		if err != nil {
			f.Fatal(err)
		}
		b, _ := e.Encode(nil, speech(f, format.Rate)[16000:][:format.Samples(Packet)])
		e.Close()
		f.Add(uint8(i), b, b)
		f.Add(uint8(i), b, []byte{0xff, 0xff})
		format.DTX = true
		if e, err = format.NewEncoder(); err != nil {
			f.Fatal(err)
		}
		for range 40 { // until the pause is described
			if b, _ := e.Encode(nil, make([]int16, format.Samples(Packet))); len(b) > 0 && len(b) < 10 {
				f.Add(uint8(i), b, b)
			}
		}
		e.Close()
	}
	f.Fuzz(func(t *testing.T, which uint8, first, second []byte) {
		c := allFormats[int(which)%len(allFormats)]
		format, ok := Lookup(c.name, c.clock, c.fmtp)
		if !ok {
			return
		}
		d, err := format.NewDecoder()
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		var pcm []int16
		for _, b := range [][]byte{first, second, first} {
			if pcm, err = d.Decode(pcm[:0], b); err != nil && len(pcm) > 0 {
				t.Fatalf("%d samples and %v", len(pcm), err)
			}
			if limit := max(format.Samples(240*time.Millisecond), 2*len(b)); len(pcm) > limit {
				t.Fatalf("%d samples from %d octets", len(pcm), len(b))
			}
			d.Conceal(nil)
			for range 3 {
				if n := len(d.Idle(nil)); n > format.Samples(240*time.Millisecond) {
					t.Fatalf("%d samples of a pause", n)
				}
			}
		}
	})
}

// RFC 4867 3.3.1: what the far side asks for is granted within mode-set,
// mode-change-period and mode-change-neighbor (section 8).
func TestAMRFollowsModeRequests(t *testing.T) {
	for _, c := range []struct {
		fmtp string
		want []int // modes of four frames, after a request for mode 0
	}{
		{"octet-align=1", []int{0, 0, 0, 0}},
		{"octet-align=1;mode-set=2,4,7", []int{2, 2, 2, 2}},
		{"octet-align=1;mode-set=0,2,4,7;mode-change-neighbor=1", []int{4, 2, 0, 0}},
		{"octet-align=1;mode-set=0,2,4,7;mode-change-neighbor=1;mode-change-period=2", []int{7, 4, 4, 2}},
	} {
		f := lookup(t, "AMR", 8000, c.fmtp)
		dec, enc := open(t, f)
		var wish Wish
		wish.Heard(dec)
		wish.Grant(enc)
		mode := func() int {
			b, err := enc.Encode(nil, make([]int16, 160))
			if err != nil {
				t.Fatal(err)
			}
			if b[0] != 0xf0 {
				t.Errorf("we ask for mode %d", b[0]>>4)
			}
			return int(b[1] >> 3)
		}
		if m := mode(); m != 7 {
			t.Errorf("%s begins with mode %d", c.fmtp, m)
		}
		if _, err := dec.Decode(nil, []byte{0x00, 0x7c}); err != nil { // mode 0, please; no data
			t.Fatal(err)
		}
		for i, want := range c.want {
			if m := mode(); m != want {
				t.Errorf("%s: frame %d in mode %d, want %d", c.fmtp, i, m, want)
			}
		}
	}
}

// Several frames in one payload, comfort noise and no-data among them, in
// both forms of the payload.
func TestAMRPayloadsOfManyFrames(t *testing.T) {
	for _, c := range []struct {
		name  string
		clock int
	}{{"AMR", 8000}, {"AMR-WB", 16000}} {
		for _, fmtp := range []string{"", "octet-align=1"} {
			f := lookup(t, c.name, c.clock, fmtp)
			dec, enc := open(t, f)
			n := f.Samples(Packet)
			b, err := enc.Encode(nil, speech(t, f.Rate)[f.Rate:][:3*n])
			if err != nil {
				t.Fatal(err)
			}
			pcm, err := dec.Decode(nil, b)
			if err != nil || len(pcm) != 3*n {
				t.Errorf("%s %q: %d samples of %d (%v)", c.name, fmtp, len(pcm), 3*n, err)
			}
			if short := b[:len(b)-1]; len(b) > 0 {
				if _, err := dec.Decode(nil, short); err == nil {
					t.Errorf("%s %q: a payload cut short is accepted", c.name, fmtp)
				}
			}
			if got := dec.Conceal(nil); len(got) != 3*n {
				t.Errorf("%s %q: lost packet of %d samples, want %d", c.name, fmtp, len(got), 3*n)
			}
		}
		f := lookup(t, c.name, c.clock, "octet-align=1")
		dec, _ := open(t, f)
		sid := byte(8)
		if c.name == "AMR-WB" {
			sid = 9
		}
		// No data, comfort noise, a damaged comfort noise.
		mixed := []byte{0xf0, 0x80 | 15<<3 | 4, 0x80 | sid<<3 | 4, sid << 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
		if pcm, err := dec.Decode(nil, mixed); err != nil || len(pcm) != 3*f.Samples(Packet) {
			t.Errorf("%s: %d samples (%v)", c.name, len(pcm), err)
		}
	}
}

func FuzzEvent(f *testing.F) {
	f.Add([]byte{1, 0x8a, 3, 0x20})
	f.Add([]byte{16, 0x4a, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEvent(b)
		if err != nil {
			return
		}
		again, err := ParseEvent(e.Append(nil))
		if err != nil || again != e {
			t.Fatalf("%+v becomes %+v (%v)", e, again, err)
		}
	})
}

// RFC 4733 2.3 and 3.2.
func TestEvents(t *testing.T) {
	for i, digit := range []byte("0123456789*#ABCD") {
		code, ok := EventOf(digit)
		if !ok || int(code) != i || (Event{Code: code}).Digit() != digit {
			t.Errorf("%c is event %d (%v)", digit, code, ok)
		}
	}
	if code, ok := EventOf('b'); !ok || code != 13 {
		t.Errorf("b is event %d (%v)", code, ok)
	}
	for _, digit := range []byte("x;Jj\x00") {
		if code, ok := EventOf(digit); ok {
			t.Errorf("%q is event %d", digit, code)
		}
	}
	e := Event{Code: 11, End: true, Volume: 10, Duration: 1600}
	if b := e.Append(nil); string(b) != "\x0b\x8a\x06\x40" {
		t.Errorf("% x", b)
	}
	if (Event{Code: 16}).Digit() != 0 {
		t.Error("hook flash is a digit")
	}
}

// What libraries allocate is given back: a thousand streams of each codec,
// opened and closed, leave nothing behind.
func TestCloseFreesMemory(t *testing.T) {
	resident := func() int {
		debug.FreeOSMemory()
		b, err := os.ReadFile("/proc/self/statm")
		if err != nil {
			t.Skip(err)
		}
		var size, pages int
		if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
			t.Fatal(err)
		}
		return pages * os.Getpagesize()
	}
	churn := func(f Format, n int) {
		pcm := make([]int16, f.Samples(Packet))
		for range n {
			d, err1 := f.NewDecoder()
			e, err2 := f.NewEncoder()
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			b, _ := e.Encode(nil, pcm)
			_, _ = d.Decode(nil, b)
			d.Close()
			e.Close()
		}
	}
	for _, f := range Available() {
		if f.Frame == time.Millisecond {
			continue // ours
		}
		churn(f, 100)
		before := resident()
		churn(f, 1000)
		if grown := resident() - before; grown > 3<<20 {
			t.Errorf("%s: %d KB more after 1000 streams", f.Name, grown>>10)
		}
	}
}
