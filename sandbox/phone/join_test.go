package phone

import (
	"slices"
	"testing"

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
		case n >= 10 && n < 20: // nothing comes for 200 ms,
		case n == 20: // and then all of it
			for k := 10; k <= 20; k++ {
				p.write(sound(k))
			}
		default:
			p.write(sound(n))
		}
		got = append(got, p.read(nil, audio.Frame)...)
	}
	for n := range 40 {
		want := int16(0)
		if k := n - 4; k >= 0 && (k < 10 || k >= 16) {
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
