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

// ITU-T G.107.1 (06/2019), with impairments of G.113 Appendix IV: R to 129, and
// MOS by Annex A.
func TestRatingOfWidebandCodecs(t *testing.T) {
	for _, c := range []struct {
		codec  string
		loss   float64
		r, mos float64
	}{
		{"AMR-WB", 0, 116, 4.337},
		{"G722", 0, 116, 4.337},
		{"opus", 0, 121, 4.421},
		{"AMR-WB", 0.02, 129 - 13 - 82*2/6.3, 3.60},
		{"AMR-WB", 1, 129 - 13 - 82*100/104.3, 1.57},
	} {
		r, ok := widebandRating(0, c.codec, c.loss)
		if mos := (Score{WideR: r}).WideMOS(); !ok || math.Abs(r-c.r) > 0.1 || math.Abs(mos-c.mos) > 0.02 {
			t.Errorf("%s, %.0f %% lost: R %.2f, MOS %.3f; want %.2f, %.3f", c.codec, 100*c.loss, r, mos, c.r, c.mos)
		}
		if later, _ := widebandRating(300*time.Millisecond, c.codec, c.loss); later >= r {
			t.Errorf("%s: delay does not matter", c.codec)
		}
	}
	// Narrowband telephony at its best, R 93, is 3.7 there: the scales differ.
	if mos := opinion(93 / widebandShare); math.Abs(mos-3.7) > 0.05 {
		t.Errorf("%.2f", mos)
	}
	if r, ok := widebandRating(0, "PCMA", 0); ok || r != 0 || (Score{}).WideMOS() != 0 {
		t.Error("a narrowband codec has a rating of the wideband scale")
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
