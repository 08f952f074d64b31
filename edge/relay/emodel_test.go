package relay

import (
	"math"
	"testing"
	"time"
)

// ITU-T G.107 (06/2015): R with all default values (7.6, 93.2), the ranges of
// Annex B and G.109; impairments of G.113 Appendix I.
func TestRatingOfTheEModel(t *testing.T) {
	for _, c := range []struct {
		name        string
		delay       time.Duration
		codec       string
		loss, burst float64
		r, mos      float64
	}{
		{"all defaults", 0, "PCMA", 0, 1, 93.2, 4.41},
		{"a codec's own impairment", 0, "G729", 0, 1, 82.2, 4.11},
		{"1 % lost, hidden", 0, "PCMU", 0.01, 1, 93.2 - 95*1/26.1, 4.31},
		{"5 % lost", 0, "PCMA", 0.05, 1, 93.2 - 95*5/30.1, 3.94},
		{"5 % lost in bursts of twice the length", 0, "PCMA", 0.05, 2, 93.2 - 95*5/27.6, 3.89},
		{"all lost", 0, "PCMA", 1, 1, 93.2 - 95*100/125.1, 1.16},
		{"400 ms, where the delay is heard", 400 * time.Millisecond, "PCMA", 0, 1, 63, 3.3},
	} {
		r := rating(c.delay, c.codec, c.loss, c.burst)
		slack := 0.1
		if c.delay > 0 {
			slack = 4 // read off G.107 figure B
		}
		if math.Abs(r-c.r) > slack || math.Abs(opinion(r)-c.mos) > max(slack/20, 0.05) {
			t.Errorf("%s: R %.2f, MOS %.2f; want %.2f, %.2f", c.name, r, opinion(r), c.r, c.mos)
		}
	}
}

// More loss, more delay and longer bursts never sound better.
func TestRatingOnlyFalls(t *testing.T) {
	for _, codec := range []string{"PCMA", "G729", "AMR", "unheard of"} {
		last := math.Inf(1)
		for loss := 0.0; loss <= 1; loss += 0.01 {
			if r := rating(0, codec, loss, 1); r > last {
				t.Errorf("%s: R %.2f at %.0f %% loss, above %.2f", codec, r, 100*loss, last)
			} else {
				last = r
			}
			if a, b := rating(0, codec, loss, 1), rating(0, codec, loss, 3); b > a {
				t.Errorf("%s: bursts are better at %.2f", codec, loss)
			}
		}
		last = math.Inf(1)
		for d := time.Duration(0); d < time.Second; d += 5 * time.Millisecond {
			r := rating(d, codec, 0, 1)
			if r > last+0.01 || opinion(r) < 1 || opinion(r) > 4.5 {
				t.Errorf("%s: R %.2f at %v, above %.2f", codec, r, d, last)
			}
			last = r
		}
	}
}
