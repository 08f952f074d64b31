package phone

import (
	"slices"
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
)

// What comes late leaves a hole, and does not move what follows it.
func TestAPipeKeepsTheTime(t *testing.T) {
	sound := func(n int) []int16 {
		pcm := make([]int16, audio.Frame)
		for i := range pcm {
			pcm[i] = int16(n + 1)
		}
		return pcm
	}
	var p pipe
	var got []int16
	for n := range 40 {
		switch {
		case n >= 12 && n < 26: // nothing comes for 280 ms,
		case n == 26: // and then all of it
			for k := 12; k <= 26; k++ {
				p.write(sound(k))
			}
		default:
			p.write(sound(n))
		}
		got = append(got, p.read(nil, audio.Frame)...)
	}
	for n := range 40 {
		want := int16(0)
		if k := n - 9; k >= 0 && (k < 12 || k >= 17) {
			want = int16(k + 1)
		}
		if frame := got[n*audio.Frame : (n+1)*audio.Frame]; slices.Max(frame) != want || slices.Min(frame) != want {
			t.Errorf("frame %d has %d, want %d", n, frame[0], want)
		}
	}
	for range 60 {
		p.read(nil, audio.Frame)
	}
	if p.flow || p.owed != 0 {
		t.Error("a second of silence is not a new beginning")
	}
}

// What a joined call could not say in a pause of the process is not said later:
// what follows would be late for ever.
func TestAPauseDoesNotDelayAJoinedCall(t *testing.T) {
	p := &pipe{}
	v := newVoice(nil, []int16{7})
	v.stream, v.mouth, v.live, v.began = stream{codec: audio.PCMA, pt: 8, settled: true, sending: true}, audio.ALaw, p, time.Now()
	p.write(make([]int16, cushion))
	const units = 20
	for late := range 2 { // what the far side says meanwhile comes before the pause is noticed, or after
		before := len(p.pcm) - p.owed
		if late == 0 {
			p.write(make([]int16, units*unit))
		}
		v.skip(units)
		if late == 1 {
			p.write(make([]int16, units*unit))
		}
		if after := len(p.pcm) - p.owed; after != before {
			t.Errorf("%d samples wait after the pause, %d before", after, before)
		}
	}
}
