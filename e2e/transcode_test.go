package e2e

import (
	"cmp"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/wire/codec"
)

// Telephones that share no codec talk all the same, and the record says that
// they were translated.
func TestBaresipsThatShareNoCodec(t *testing.T) {
	t.Parallel()
	needBaresip(t)
	for _, x := range []struct {
		teams, core string // codecs
		name        string // of the core's, in SDP
		clock       int
		fromTeams   bool
	}{
		{"PCMA/8000/1", "G722/16000/1", "G722", 8000, true},
		{"PCMU/8000/1", "AMR-WB/16000/1", "AMR-WB", 16000, true},
		{"PCMA/8000/1", "AMR-WB/16000/1", "AMR-WB", 16000, false},
		{"G722/16000/1", "AMR/8000/1", "AMR", 8000, true},
		{"PCMA/8000/1", "opus/48000/2", "opus", 48000, true},
		{"PCMA/8000/1", "PCMU/8000/1", "PCMU", 8000, true},
	} {
		t.Run(x.teams+" and "+x.core, func(t *testing.T) {
			t.Parallel()
			if _, ok := codec.Lookup(x.name, x.clock, ""); !ok {
				t.Skip(codec.Missing())
			}
			w := build(t, setup{codecs: "PCMA, PCMU, G722", coreCodecs: "G722_2, AMR, OPUS, G722, PCMU", realCloud: true})
			core := w.coreLine(x.core)
			core.voice = audio.Speech(9) // AMR is not made for melodies
			for len(core.voice) < 25*audio.Rate {
				core.voice = append(core.voice, audio.Speech(9)...)
			}
			p := w.phonesOf(w.teamsLine(x.teams), core)
			p.call(x.fromTeams)
			p.talk(5 * time.Second)
			for _, way := range [][2]*baresip{{p.teams, p.core}, {p.core, p.teams}} {
				way[0].press('7')
				way[1].said("received event: '7' (end=1)", 10*time.Second)
			}
			p.teams.do("/hangup")
			r := p.records(1)[0]
			cloud, operator := r.Callee, r.Caller
			if x.fromTeams {
				cloud, operator = r.Caller, r.Callee
			}
			if cloud.Codec != x.teams[:4] || operator.Codec != x.name || r.Transcoding == "" {
				t.Errorf("the record has %q towards Teams, %q towards the core, and %q", cloud.Codec, operator.Codec, r.Transcoding)
			}
			for _, way := range []struct {
				name        string
				said, heard []int16
			}{{"Teams'", p.teams.sent(), p.core.heard()}, {"the core's", p.core.sent(), p.teams.heard()}} {
				like, delay := alike(way.said, way.heard)
				t.Logf("what %s telephone said was heard with a likeness of %.2f, %v late", way.name, like, delay)
				if like < 0.7 {
					t.Errorf("what %s telephone said was heard with a likeness of %.2f", way.name, like)
				}
			}
		})
	}
}

// alike is how much what was said resembles what was heard, by the correlation
// of waveforms, which AMR keeps to 0.8 at least: the median over pieces of 0.4 s,
// since a busy machine makes telephones stutter; and how late it was heard.
func alike(said, heard []int16) (likeness float64, delay time.Duration) {
	const n = audio.Rate * 4 / 10
	type found struct {
		like float64
		late int
	}
	var pieces []found
	for from := audio.Rate; from+n <= min(len(said), 5*audio.Rate); from += n {
		want, best := said[from:from+n], found{}
		for at := max(0, from-audio.Rate/2); at+n <= min(len(heard), from+audio.Rate); at++ {
			var xy, xx, yy float64
			for i := 0; i < n; i += 2 {
				x, y := float64(want[i]), float64(heard[at+i])
				xy, xx, yy = xy+x*y, xx+x*x, yy+y*y
			}
			if c := xy / math.Sqrt(xx*yy+1); c > best.like {
				best = found{c, at - from}
			}
		}
		pieces = append(pieces, best)
	}
	if len(pieces) == 0 {
		return 0, 0
	}
	slices.SortFunc(pieces, func(a, b found) int { return cmp.Compare(a.like, b.like) })
	middle := pieces[len(pieces)/2]
	return middle.like, time.Duration(middle.late) * time.Second / audio.Rate
}
