package call

import (
	"fmt"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/link/record"
)

// measure writes what the relay has counted into a record.
func (c *call) measure(r *record.Call) {
	if c.media == nil {
		return
	}
	for side, leg := range [2]*record.Leg{&r.Caller, &r.Callee} {
		st := c.media.Stats(relay.Side(side))
		leg.Media = record.Media{
			Packets: st.Received.Packets, Octets: st.Received.Octets,
			Lost: uint64(max(st.Lost, 0)), Jitter: st.Jitter, Received: st.Received.Packets > 0,
		}
		for _, n := range st.Drops {
			leg.Media.Dropped += n
		}
		if !st.Last.IsZero() {
			leg.Media.Silent = time.Since(st.Last).Round(time.Millisecond)
		}
		if st.Remote.IsValid() {
			leg.Media.Remote = st.Remote.String()
		}
		leg.Media.Fax, _ = c.media.Fax(relay.Side(side))
		c.assess(relay.Side(side), &leg.Media)
	}
}

// scoreEvery is how often an answered call's scores are recorded, so that a
// node that dies leaves those until the minute before.
const scoreEvery = time.Minute

// score records how the call has sounded, unless nothing was said.
func (c *call) score(r record.Call) {
	c.measure(&r)
	if heard := r.Caller.Media.Packets + r.Callee.Media.Packets; heard != c.scored {
		c.scored = heard
		c.set.cfg.Records.Progress(r)
	}
}

// assess writes how a leg sounded.
func (c *call) assess(side relay.Side, m *record.Media) {
	if mute := c.media.Mute(side); mute >= relay.Noticed {
		m.Mute = mute.Round(time.Second)
	}
	whole, whiles := c.media.Quality(side)
	if q := qualityOf(whole); q.From != nil || q.To != nil {
		m.Quality = &q
	}
	for _, w := range whiles {
		m.Whiles = append(m.Whiles, qualityOf(w))
	}
}

func qualityOf(q relay.Quality) record.Quality {
	return record.Quality{
		Since: q.Since.UTC(), For: q.For.Round(time.Second), From: scoreOf(q.From), To: scoreOf(q.To),
		RoundTrip: q.RoundTrip.Round(100 * time.Microsecond),
	}
}

// scoreOf keeps as many figures as mean anything.
func scoreOf(s relay.Score) *record.Score {
	if s.MOS == 0 {
		return nil
	}
	return &record.Score{
		MOS: rounded(s.MOS, 100), R: rounded(s.R, 10), Loss: rounded(s.Loss, 1e5), Burst: rounded(s.Burst, 10),
		Jitter: s.Jitter.Round(10 * time.Microsecond), WideMOS: rounded(s.WideMOS(), 100), WideR: rounded(s.WideR, 10),
	}
}

func rounded(v, parts float64) float64 { return math.Round(v*parts) / parts }

// mos is the scores of a call for its line in the log: of what the caller and
// the callee sent, as they came here.
func mos(r record.Call) string {
	text := [2]string{"-", "-"}
	for i, l := range [2]record.Leg{r.Caller, r.Callee} {
		if q := l.Media.Quality; q != nil && q.From != nil {
			text[i] = fmt.Sprintf("%.1f", q.From.MOS)
		}
	}
	return text[0] + "/" + text[1]
}

// mute names the sides that were to be heard and were not, for the log.
func mute(r record.Call) (sides []string) {
	for i, l := range [2]record.Leg{r.Caller, r.Callee} {
		if l.Media.Mute > 0 {
			sides = append(sides, fmt.Sprintf("%s %v", relay.Side(i), l.Media.Mute))
		}
	}
	return sides
}

// Sound is how the answered calls of a side have sounded, as what came from it
// arrived here.
type Sound struct {
	Buckets [len(Scores)]uint64 // legs up to each of Scores, as Prometheus counts
	Legs    uint64
	Sum     float64 // of all scores
	Mute    uint64  // legs that were to speak and did not for long
}

// Scores are the bounds that legs are counted by.
var Scores = [...]float64{2, 2.5, 3, 3.5, 4, 4.2, 4.3}

// sound adds up the scores of legs. The zero value is ready.
type sound struct {
	mu    sync.Mutex
	sides map[record.Side]Sound // mu
}

func (s *sound) add(l *record.Leg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.sides[l.Side]
	if l.Media.Mute > 0 {
		v.Mute++
	}
	if q := l.Media.Quality; q != nil && q.From != nil {
		v.Legs++
		v.Sum += q.From.MOS
		for i, bound := range Scores {
			if q.From.MOS <= bound {
				v.Buckets[i]++
			}
		}
	}
	if s.sides == nil {
		s.sides = map[record.Side]Sound{}
	}
	s.sides[l.Side] = v
}

func (s *sound) bySide() map[record.Side]Sound {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.sides)
}

// counted takes an answered call that has ended into the figures.
func (s *Set) counted(r *record.Call) {
	s.count.sound.add(&r.Caller)
	s.count.sound.add(&r.Callee)
	if r.Transcoding != "" {
		s.count.recoded.Add(1)
	}
}
