// Package bench is an honest load on a SIP gateway with media: calls from
// SIP over TLS with SDES-SRTP to SIP over UDP with RTP and the reverse, played
// from both far sides. It measures Tandem, and by the same load any other
// software that does the same work.
//
// What it measures is the processor time and the memory of the system's own
// processes, as the kernel accounts them, so that what the load itself costs
// does not count; it tells its own cost beside. A packet's octets tell when it
// was sent, so delay and loss are those of each packet. Calls come at a given
// rate whatever becomes of them, as people's do.
//
// Run measures one system, Compare two in turn. system.go joins one, self.go
// starts a node, rival.go Kamailio with rtpengine. side.go, leg.go and media.go are
// the generator: sockets, calls, packets. measure.go is what is done with it.
//
// The package refuses to share anything with the gateway but its message and
// packet formats.
package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Measures are what can be measured, in the order in which it is done.
var Measures = []string{"media", "calls", "overload", "udp"}

// Options are what Run and Compare are told.
type Options struct {
	Out      io.Writer
	JSON     bool
	Program  []string      // runs a node of Tandem when "serve -c FILE" follows
	Target   *Target       // what to load; nil: a node of its own
	Measures []string      // of Measures; none: all
	Standing []int         // concurrent calls with media, in the order to measure
	Rate     float64       // calls a second, for the cost of a call
	Span     time.Duration // of each measurement
	Most     float64       // calls a second at which the ramp ends
	Share    float64       // of one processor that the system has in the ramp and beyond it; 0: all there is
	Rounds   int           // of Compare
}

// Defaults are the options that the published figures were measured with.
func Defaults() Options {
	return Options{Standing: []int{10, 100, 500}, Rate: 100, Span: 5 * time.Second, Most: 3000, Rounds: 2}
}

// Check refuses options that make no sense, or no end.
func (o Options) Check() error {
	for _, m := range o.Measures {
		if !slices.Contains(Measures, m) {
			return fmt.Errorf("there is no measure %q: take some of %v", m, Measures)
		}
	}
	for _, n := range o.Standing {
		if n < 1 || n > 5000 {
			return fmt.Errorf("%d concurrent calls: take 1 to 5000", n)
		}
	}
	switch {
	case o.Rate < 1 || o.Rate > 5000:
		return fmt.Errorf("%v calls a second: take 1 to 5000", o.Rate)
	case o.Most < 1 || o.Most > 20_000:
		return fmt.Errorf("a ramp up to %v calls a second: take 1 to 20000", o.Most)
	case o.Share < 0 || o.Share > 64:
		return fmt.Errorf("a share of %v processors: take 0 to 64", o.Share)
	case o.Span < 500*time.Millisecond || o.Span > time.Minute:
		return fmt.Errorf("measurements of %v: take 500ms to 1m", o.Span)
	case o.Rounds < 1 || o.Rounds > 10:
		return fmt.Errorf("%d rounds: take 1 to 10", o.Rounds)
	}
	return nil
}

func (o Options) wants(measure string) bool {
	return len(o.Measures) == 0 || slices.Contains(o.Measures, measure)
}

// ErrVerdict is returned when all was measured and the result is bad.
var ErrVerdict = errors.New("the verdict of the measurement is bad")

// Run measures one system and prints what it found. The error is ErrVerdict
// when calls or packets were lost without overload, or when the system
// collapsed under it.
func Run(ctx context.Context, opt Options) error {
	if err := opt.Check(); err != nil {
		return err
	}
	show := &show{out: opt.Out, quiet: opt.JSON}
	start := func(ctx context.Context, plain bool) (*system, error) { return startSelf(ctx, opt.Program, plain) }
	if opt.Target != nil {
		start = func(ctx context.Context, _ bool) (*system, error) { return startTarget(ctx, *opt.Target) }
	}
	r, err := run(ctx, opt, show, start)
	if err != nil {
		return err
	}
	if opt.JSON {
		if err := printJSON(opt.Out, r); err != nil {
			return err
		}
	} else {
		show.report(r)
	}
	if len(r.Problems) > 0 {
		return ErrVerdict
	}
	return nil
}

func startTarget(ctx context.Context, t Target) (*system, error) {
	own, err := t.load()
	if err != nil {
		return nil, err
	}
	s, err := join(t, own)
	if err != nil {
		return nil, err
	}
	if err := s.ready(ctx, 10*time.Second); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// starter starts a system and joins it; a plain one speaks UDP both ways.
type starter func(ctx context.Context, plain bool) (*system, error)

// run measures what start starts, and ends it; then what it starts for UDP
// both ways, if that is wanted and ours to start.
func run(ctx context.Context, opt Options, show *show, start starter) (*Report, error) {
	only := opt.Target == nil && len(opt.Measures) == 1 && opt.wants("udp")
	r, err := session(ctx, opt, show, start, only)
	if err != nil {
		return nil, err
	}
	if opt.wants("udp") && opt.Target == nil && !only {
		plain, err := session(ctx, opt, show, start, true)
		if err != nil {
			return nil, err
		}
		r.UDP = plain.UDP
	}
	r.judge()
	return r, nil
}

// session is one life of a system, and the work on it.
func session(ctx context.Context, opt Options, show *show, start starter, plain bool) (*Report, error) {
	done := show.step("start, and a call each way")
	s, err := start(ctx, plain)
	if err != nil {
		done("failed")
		return nil, err
	}
	defer s.close()
	done(s.Name)
	m := &measurement{Options: opt, system: s, show: show, report: newReport(s.Name)}
	if !plain {
		return m.report, m.all(ctx)
	}
	err = m.both(ctx)
	m.report.Calls, m.report.UDP = nil, m.report.Calls
	return m.report, err
}

func printJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
