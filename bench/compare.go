package bench

import (
	"context"
	"fmt"
	"time"
)

// between is left between two systems, for the machine to come to rest.
const between = 5 * time.Second

// Comparison is both systems' rounds, measured in turn, and the medians'
// ratios.
type Comparison struct {
	Ours     []*Report `json:"ours"`
	Theirs   []*Report `json:"theirs"`
	Ratios   []Ratio   `json:"ratios"`
	Problems []string  `json:"problems,omitempty"`
}

// Ratio is one figure of both.
type Ratio struct {
	What   string  `json:"what"`
	Unit   string  `json:"unit"`
	Ours   float64 `json:"ours"`   // median of the rounds
	Theirs float64 `json:"theirs"` // median of the rounds
	Target float64 `json:"target,omitempty"`
	Most   bool    `json:"most,omitempty"` // more is better
	bar    bool    // worse than theirs is a bad verdict
}

// Compare measures Tandem and Kamailio with rtpengine in turn, round by
// round, on the same machine at the same time of day. The error is ErrVerdict
// when a call or a packet costs us more than them, or when we collapse.
func Compare(ctx context.Context, opt Options) error {
	if err := opt.Check(); err != nil {
		return err
	}
	if _, err := findRival(); err != nil {
		return err
	}
	show, c := &show{out: opt.Out, quiet: opt.JSON}, &Comparison{}
	for round := range opt.Rounds {
		for i, start := range []starter{
			func(ctx context.Context, plain bool) (*system, error) { return startSelf(ctx, opt.Program, plain) }, startRival,
		} {
			show.line("\nround %d of %d, %s", round+1, opt.Rounds, []string{"Tandem", "Kamailio + rtpengine"}[i])
			r, err := run(ctx, opt, show, start)
			if err != nil {
				return err
			}
			if i == 0 {
				c.Ours = append(c.Ours, r)
			} else {
				c.Theirs = append(c.Theirs, r)
			}
			show.report(r)
			rest(ctx, between)
		}
	}
	c.judge()
	if opt.JSON {
		if err := printJSON(opt.Out, c); err != nil {
			return err
		}
	} else {
		show.comparison(c)
	}
	if len(c.Problems) > 0 {
		return ErrVerdict
	}
	return nil
}

// judge takes the medians and holds them against each other.
func (c *Comparison) judge() {
	c.Ratios = c.ratios()
	for _, r := range c.Ratios {
		if r.bar && r.worse() {
			c.Problems = append(c.Problems, fmt.Sprintf("%s: %.2f %s, and theirs is %.2f", r.What, r.Ours, r.Unit, r.Theirs))
		}
	}
	for i, r := range c.Ours {
		for _, p := range r.Problems {
			c.Problems = append(c.Problems, fmt.Sprintf("round %d: %s", i+1, p))
		}
	}
}

func (r Ratio) worse() bool {
	if r.Most {
		return r.Ours < r.Theirs
	}
	return r.Ours > r.Theirs
}

// reached reports whether the target, if there is one, is met.
func (r Ratio) reached() bool {
	if r.Most {
		return r.Ours >= r.Target
	}
	return r.Target == 0 || r.Ours <= r.Target
}

func (c *Comparison) ratios() (all []Ratio) {
	add := func(r Ratio, figure func(*Report) float64) {
		r.Ours, r.Theirs = medianOf(c.Ours, figure), medianOf(c.Theirs, figure)
		if r.Ours != 0 || r.Theirs != 0 {
			all = append(all, r)
		}
	}
	add(Ratio{What: "CPU per call", Unit: "ms", Target: 0.5, bar: true}, (*Report).callCPU)
	add(Ratio{What: "CPU per call, UDP both ways", Unit: "ms", Target: 0.5, bar: true}, func(r *Report) float64 { return meanCPU(r.UDP) })
	add(Ratio{What: "CPU per call at saturation", Unit: "ms", Target: 0.5}, func(r *Report) float64 { return r.overloaded(0).CPU })
	for i, m := range c.Ours[0].Media {
		bar := i == len(c.Ours[0].Media)-1
		r := Ratio{What: fmt.Sprintf("CPU per packet, %d calls", m.Calls), Unit: "µs", bar: bar}
		if bar {
			r.Target = 7
		}
		add(r, func(r *Report) float64 { return r.media(i).CPU })
	}
	last := len(c.Ours[0].Media) - 1
	add(Ratio{What: "growth of it, fewest to most", Unit: "×"}, (*Report).growth)
	add(Ratio{What: "memory per concurrent call", Unit: "KB", Target: 30}, func(r *Report) float64 { return r.media(last).PerCall })
	add(Ratio{What: "delay p50, most calls", Unit: "ms"}, func(r *Report) float64 { return worst(r.media(last).DelayP50) })
	add(Ratio{What: "delay p99, most calls", Unit: "ms"}, func(r *Report) float64 { return worst(r.media(last).DelayP99) })
	add(Ratio{What: "loss, most calls", Unit: "%"}, func(r *Report) float64 {
		return 100 * per(float64(r.media(last).Lost), float64(r.media(last).Sent))
	})
	add(Ratio{What: "set-up p50", Unit: "ms"}, func(r *Report) float64 { return r.setup(func(c CallCost) float64 { return c.SetupP50 }) })
	add(Ratio{What: "set-up p99", Unit: "ms"}, func(r *Report) float64 { return r.setup(func(c CallCost) float64 { return c.SetupP99 }) })
	add(Ratio{What: "saturation", Unit: "calls/s", Most: true}, func(r *Report) float64 { return r.Saturation })
	for i, l := range c.Ours[0].Overload {
		add(Ratio{What: fmt.Sprintf("goodput at %.1f× of its own", l.Factor), Unit: "calls/s", Most: true},
			func(r *Report) float64 { return r.overloaded(i).Goodput })
	}
	add(Ratio{What: "of its peak kept at the most", Unit: "%", Most: true, Target: 100 * collapseKept}, func(r *Report) float64 { return 100 * r.kept() })
	return all
}

func medianOf(rounds []*Report, figure func(*Report) float64) float64 {
	var all []float64
	for _, r := range rounds {
		all = append(all, figure(r))
	}
	return median(all)
}

// media is the i-th measurement, empty when there is none.
func (r *Report) media(i int) MediaCost {
	if i < 0 || i >= len(r.Media) {
		return MediaCost{}
	}
	return r.Media[i]
}

func (r *Report) overloaded(i int) LoadResult {
	if i >= len(r.Overload) {
		return LoadResult{}
	}
	return r.Overload[i]
}

// setup is the worse of both ways.
func (r *Report) setup(figure func(CallCost) float64) (most float64) {
	for _, c := range r.Calls {
		most = max(most, figure(c))
	}
	return most
}

func worst(v [2]float64) float64 { return max(v[0], v[1]) }

// comparison prints the table of ratios, within 80 columns.
func (s *show) comparison(c *Comparison) {
	s.line("\n  medians of %d rounds              Tandem  Kamailio +  Tandem/  target", len(c.Ours))
	s.line("                                              rtpengine   theirs")
	for _, r := range c.Ratios {
		ratio, target := "     –", ""
		if r.Theirs != 0 {
			ratio = fmt.Sprintf("%6.2f", r.Ours/r.Theirs)
		}
		if r.Target != 0 {
			target = fmt.Sprintf("%s %g", mark(r.reached()), r.Target)
		}
		s.line("  %-28s %9s  %9s   %s   %-6s %s", r.What, figure(r.Ours), figure(r.Theirs), ratio, target, r.Unit)
	}
	for _, p := range c.Problems {
		s.line("\n  ✗ %s", p)
	}
}

func mark(ok bool) string {
	if ok {
		return "✓"
	}
	return "✗"
}

// figure writes a number with three digits that matter.
func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
