package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tandemgw/tandem/link/record"
)

// The scores that a reader should look at twice, and those that users complain
// about (ITU-T G.107 Annex B: 3.6 is where many are dissatisfied, 3.1 nearly
// all).
const (
	doubtful = 3.6
	poor     = 3.1
)

// score is one direction of a leg in a few words.
func score(s *record.Score) string {
	if s == nil {
		return ""
	}
	text := fmt.Sprintf("MOS %.1f", s.MOS)
	if s.Loss > 0 {
		text += fmt.Sprintf(", %.1f %% lost", 100*s.Loss)
	}
	if s.Burst >= 1.5 {
		text += fmt.Sprintf(" by %.0f", s.Burst)
	}
	return text
}

func heardFrom(g record.Leg) string {
	if q := g.Media.Quality; q != nil {
		return score(q.From)
	}
	return ""
}

// heardThere is what the far side tells of what it was sent.
func heardThere(g record.Leg) string {
	if q := g.Media.Quality; q != nil {
		return score(q.To)
	}
	return ""
}

// wideband is the score of what came on the scale of G.107.1.
func wideband(g record.Leg) string {
	if q := g.Media.Quality; q != nil && q.From != nil && q.From.WideMOS > 0 {
		return fmt.Sprintf("MOS %.1f, R %.0f of 129", q.From.WideMOS, q.From.WideR)
	}
	return ""
}

func roundTrip(g record.Leg) string {
	if q := g.Media.Quality; q != nil && q.RoundTrip > 0 {
		return q.RoundTrip.Round(100 * time.Microsecond).String()
	}
	return ""
}

// whiles is the scores of what came, one while after the other.
func whiles(g record.Leg) string {
	if len(g.Media.Whiles) < 2 {
		return ""
	}
	var text []string
	for _, q := range g.Media.Whiles {
		if q.From == nil {
			text = append(text, "–")
		} else {
			text = append(text, fmt.Sprintf("%.1f", q.From.MOS))
		}
	}
	return strings.Join(text, " ")
}

// unheard warns of a side that was silent though it was to speak, and of bad
// sound.
func (l look) unheard(w io.Writer, g record.Leg) {
	name := plain(g.Peer)
	switch q := g.Media.Quality; {
	case !g.Media.Received:
		fmt.Fprintln(w, l.paint(bad, clip("Nothing was heard from "+name+": see its SDP's media address, and firewalls for UDP", 80)))
	case g.Media.Mute > 0:
		fmt.Fprintln(w, l.paint(notice, clip(fmt.Sprintf("%s sent no media for %s though it was to", name, lasting(g.Media.Mute)), 80)))
	case q != nil && q.From != nil && q.From.MOS < doubtful:
		fmt.Fprintln(w, l.paint(painted(q.From), clip("What came from "+name+" sounded bad: "+score(q.From), 80)))
	case q != nil && q.To != nil && q.To.MOS < doubtful:
		fmt.Fprintln(w, l.paint(painted(q.To), clip("What "+name+" heard sounded bad: "+score(q.To), 80)))
	}
}

func painted(s *record.Score) string {
	if s.MOS < poor {
		return bad
	}
	return notice
}
