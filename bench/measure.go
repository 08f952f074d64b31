package bench

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"time"
)

// settle is left between a load and what is read of it, so that what is under
// way arrives.
const settle = 500 * time.Millisecond

// measurement is the work on one system.
type measurement struct {
	Options
	system *system
	show   *show
	report *Report
}

// all measures what is wanted. Memory comes first, while the system is fresh:
// what an overload leaves behind would hide what a call takes.
func (m *measurement) all(ctx context.Context) error {
	if m.wants("media") || m.wants("calls") || m.wants("overload") {
		m.warm(ctx)
	}
	if m.wants("media") {
		if err := m.standing(ctx); err != nil {
			return err
		}
	}
	if m.wants("calls") {
		if err := m.ways(ctx); err != nil {
			return err
		}
	}
	if m.wants("overload") {
		if err := m.overload(ctx); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// both measures calls alone, from each side.
func (m *measurement) both(ctx context.Context) error {
	m.warm(ctx)
	return m.ways(ctx)
}

func (m *measurement) ways(ctx context.Context) error {
	for from := range m.system.calls.sides {
		if err := m.callCost(ctx, from); err != nil {
			return err
		}
	}
	return nil
}

func (m *measurement) warm(ctx context.Context) {
	t := newTally()
	m.system.calls.offer(ctx, load{from: -1, rate: 20, span: time.Second}, t)
	m.system.calls.drain(ctx, t, patience)
	rest(ctx, m.pause())
}

// pause is what is left between two loads.
func (m *measurement) pause() time.Duration { return min(2*time.Second, m.Span/2) }

// spent is the usage of the system and of the generator.
type spent struct{ system, own usage }

func (m *measurement) usage() (spent, error) {
	s, err := measure(m.system.PIDs)
	if err != nil {
		return spent{}, fmt.Errorf("%s has ended, or hides: %w", m.system.Name, err)
	}
	own, err := usageOf(os.Getpid())
	return spent{s, own}, err
}

// callCost offers short calls without media from one side.
func (m *measurement) callCost(ctx context.Context, from int) error {
	name := m.wayName(from)
	done := m.show.step(fmt.Sprintf("calls %s, %.0f/s", name, m.Rate))
	before, err := m.usage()
	if err != nil {
		return err
	}
	t := newTally()
	m.system.calls.offer(ctx, load{from: from, rate: m.Rate, span: m.Span}, t)
	m.system.calls.drain(ctx, t, patience+leaving)
	rest(ctx, settle)
	after, err := m.usage()
	if err != nil {
		return err
	}
	completed := float64(t.completed.Load())
	c := CallCost{
		Way: name, Rate: m.Rate, Offered: t.offered.Load(), Completed: t.completed.Load(), Failures: t.causes(),
		CPU:      per(milliseconds(after.system.cpu-before.system.cpu), completed),
		OwnCPU:   per(milliseconds(after.own.cpu-before.own.cpu), completed),
		SetupP50: milliseconds(t.setup.quantile(0.5)), SetupP99: milliseconds(t.setup.quantile(0.99)),
	}
	m.report.Calls = append(m.report.Calls, c)
	done("%.2f ms CPU a call", c.CPU)
	rest(ctx, m.pause())
	return nil
}

// directCalls is enough streams for the delay that is none of the system's.
const directCalls = 50

// direct measures the delay without a system: the generator's own and the
// kernel's.
func (m *measurement) direct(ctx context.Context) error {
	done := m.show.step("media without a gateway")
	player := m.system.calls.player
	var ends []*stream
	defer func() {
		for _, s := range ends {
			s.end()
		}
	}()
	for range directCalls {
		pair, err := player.pair([2]string{m.system.calls.sides[0].name, m.system.calls.sides[1].name})
		if err != nil {
			return err
		}
		ends = append(ends, pair[:]...)
	}
	rest(ctx, settle)
	w := player.watch()
	rest(ctx, m.Span/2)
	player.shut(w)
	rest(ctx, settle)
	d := &DirectDelay{}
	for i := range w.way {
		d.P50 = max(d.P50, milliseconds(w.way[i].delay.quantile(0.5)))
		d.P99 = max(d.P99, milliseconds(w.way[i].delay.quantile(0.99)))
	}
	m.report.Direct = d
	done("delay %.2f ms p50, %.2f ms p99", d.P50, d.P99)
	return nil
}

// standing measures media and memory at each number of concurrent calls.
func (m *measurement) standing(ctx context.Context) error {
	m.system.calls.media.Store(true)
	defer m.system.calls.media.Store(false)
	empty, err := m.usage()
	if err != nil {
		return err
	}
	if err := m.direct(ctx); err != nil {
		return err
	}
	for _, n := range m.Standing {
		if err := m.mediaCost(ctx, n, empty.system); err != nil {
			return err
		}
		rest(ctx, m.pause())
	}
	return nil
}

func (m *measurement) mediaCost(ctx context.Context, n int, empty usage) error {
	done := m.show.step(fmt.Sprintf("media of %d calls", n))
	t, player := newTally(), m.system.calls.player
	release := m.system.calls.stand(ctx, n, m.Rate, t)
	for wait := patience; t.answered.Load() < int64(n) && wait > 0 && ctx.Err() == nil; wait -= settle {
		rest(ctx, settle)
	}
	rest(ctx, settle)
	before, err := m.usage()
	if err != nil {
		return err
	}
	w := player.watch()
	rest(ctx, m.Span)
	player.shut(w)
	after, err := m.usage()
	if err != nil {
		return err
	}
	rest(ctx, settle)
	release()
	c := MediaCost{Calls: n, Answered: t.answered.Load(), Skipped: w.skipped.Load(), Failures: t.causes()}
	for i := range w.way {
		way := &w.way[i]
		c.Sent += way.sent.Load()
		c.Heard += way.heard.Load()
		c.DelayP50[i], c.DelayP99[i] = milliseconds(way.delay.quantile(0.5)), milliseconds(way.delay.quantile(0.99))
	}
	c.Lost = c.Sent - c.Heard
	c.CPU = per(milliseconds(after.system.cpu-before.system.cpu)*1000, float64(c.Heard))
	c.OwnCPU = per(milliseconds(after.own.cpu-before.own.cpu)*1000, float64(c.Heard))
	c.Memory = after.system.pss
	c.PerCall = per(float64(after.system.pss-empty.pss)/1000, float64(t.answered.Load()))
	m.report.Media = append(m.report.Media, c)
	done("%.1f µs CPU a packet, %.0f KB a call", c.CPU, c.PerCall)
	return nil
}

// A ramp goes up by halves until the system no longer keeps up: less than
// nineteen of twenty calls are completed in time.
const (
	rampStart = 100.0
	rampStep  = 1.5
	keepsUp   = 0.95
)

// overload finds the saturation and offers more than that.
func (m *measurement) overload(ctx context.Context) error {
	if m.Share > 0 {
		undo, err := limit(m.system.PIDs, m.Share)
		if err != nil {
			return fmt.Errorf("keep %s within a share of the processors (--share 0 does without): %w", m.system.Name, err)
		}
		defer undo()
	}
	m.report.Share = m.Share
	peak, err := m.ramp(ctx)
	if err != nil {
		return err
	}
	m.report.Saturation = math.Round(peak)
	for _, factor := range []float64{1, 1.5, 2} {
		if peak == 0 || ctx.Err() != nil {
			break
		}
		l, err := m.offered(ctx, factor*peak, m.Span)
		if err != nil {
			return err
		}
		l.Factor = factor
		m.report.Overload = append(m.report.Overload, l)
	}
	return nil
}

// ramp goes up until the system has failed twice to keep up, and gives the
// most it has kept up with.
func (m *measurement) ramp(ctx context.Context) (peak float64, err error) {
	failed := 0
	for rate := min(rampStart, m.Most); ctx.Err() == nil; {
		l, err := m.offered(ctx, rate, m.Span/2)
		if err != nil {
			return 0, err
		}
		m.report.Ramp = append(m.report.Ramp, l)
		if l.Goodput < keepsUp*l.Rate {
			if failed++; failed == 2 {
				return cmp.Or(peak, l.Goodput), nil
			}
			continue
		}
		failed, peak = 0, l.Rate
		if rate >= m.Most {
			return peak, nil
		}
		rate = min(rate*rampStep, m.Most)
	}
	return peak, ctx.Err()
}

// offered is one load from both sides. Goodput is what was completed between
// the first second, or the first quarter of a shorter span, and its end:
// neither the start nor what is worked off afterwards counts.
func (m *measurement) offered(ctx context.Context, rate float64, span time.Duration) (LoadResult, error) {
	done := m.show.step(fmt.Sprintf("%.0f calls/s", rate))
	before, err := m.usage()
	if err != nil {
		return LoadResult{}, err
	}
	t, began := newTally(), time.Now()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.system.calls.offer(ctx, load{from: -1, rate: rate, span: span}, t)
	}()
	rest(ctx, min(time.Second, span/4))
	first, from := t.completed.Load(), time.Now()
	rest(ctx, time.Until(began.Add(span)))
	last, to := t.completed.Load(), time.Now()
	offered := float64(t.offered.Load()) / to.Sub(began).Seconds()
	<-ended
	m.system.calls.drain(ctx, t, patience+leaving)
	after, err := m.usage()
	if err != nil {
		return LoadResult{}, err
	}
	l := LoadResult{
		Asked: rate, Rate: offered, Goodput: float64(last-first) / to.Sub(from).Seconds(),
		Completed: per(float64(t.completed.Load()), float64(t.offered.Load())),
		SetupP50:  milliseconds(t.setup.quantile(0.5)), SetupP99: milliseconds(t.setup.quantile(0.99)),
		CPU:      per(milliseconds(after.system.cpu-before.system.cpu), float64(t.completed.Load())),
		OwnCPU:   per(milliseconds(after.own.cpu-before.own.cpu), float64(t.completed.Load())),
		Failures: t.causes(),
	}
	done("%.0f/s completed, set up in %.0f ms p99", l.Goodput, l.SetupP99)
	rest(ctx, m.pause())
	return l, nil
}

func (m *measurement) wayName(from int) string {
	return m.system.calls.sides[from].name + " → " + m.system.calls.sides[1-from].name
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
