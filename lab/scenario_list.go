package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tandemgw/tandem/base/fault"
)

// scenario is one thing that the lab can show.
type scenario struct {
	name, what string
	alone      bool // takes something away that others need
	play       func(context.Context, *stage) error
}

// scenarios are all of them, in the order in which they are shown.
var scenarios = []scenario{
	{name: "hold", what: "each side puts the other on hold and takes it back", play: playHold},
	{name: "blind-transfer", what: "a user refers a subscriber to a colleague", play: playBlindTransfer},
	{name: "attended-transfer", what: "a user consults a subscriber's friend and joins them", play: playAttendedTransfer},
	{name: "forward", what: "a user's calls are forwarded to a subscriber, who is told for whom it was", play: playForward},
	{name: "early-media", what: "the caller hears the called side before it answers", play: playEarlyMedia},
	{name: "forking", what: "several telephones ring, one answers, another a moment later", play: playForking},
	{name: "transcoding", what: "the two sides have no codec in common", play: playTranscoding},
	{name: "dtmf", what: "keys are pressed at both ends, both ways", play: playDTMF},
	{name: "media-bypass", what: "users' clients send media themselves and check the way, three at once; one moves", play: playMediaBypass},
	{name: "long-call", what: "a call outlives its session time by refreshes (1½ minutes)", play: playLongCall},
	{name: "test-lines", what: "the gateway calls its test lines itself, both ways in both regions", play: playTestLines},
	{name: "change", what: "the gateway is changed by its API in the middle of a call", alone: true, play: playChange},
	{name: "onboarding", what: "steps of onboarding are undone; calls fail until they are done again", alone: true, play: playOnboarding},
	{name: "restore", what: "a control node loses its machine and is brought back from a backup; calls go on", alone: true, play: playRestore},
	{name: "failover", what: "a proxy, a site and then a region fail; calls find a way", alone: true, play: playFailover},
}

// ListScenarios writes the scenarios and what each shows.
func ListScenarios(out io.Writer, asJSON bool) error {
	if asJSON {
		type line struct {
			Name string `json:"name"`
			What string `json:"what"`
		}
		var lines []line
		for _, sc := range scenarios {
			lines = append(lines, line{sc.name, sc.what})
		}
		return json.NewEncoder(out).Encode(lines)
	}
	for _, sc := range scenarios {
		if _, err := fmt.Fprintf(out, "%-18s %s\n", sc.name, sc.what); err != nil {
			return fmt.Errorf("list scenarios: %w", err)
		}
	}
	return nil
}

// ScenarioNames are the names of all scenarios.
func ScenarioNames() []string {
	var names []string
	for _, sc := range scenarios {
		names = append(names, sc.name)
	}
	return names
}

// choose finds scenarios by name; "all" stands for all.
func choose(names []string) ([]scenario, error) {
	var chosen []scenario
	for _, sc := range scenarios {
		if slices.Contains(names, sc.name) || slices.Contains(names, "all") {
			chosen = append(chosen, sc)
		}
	}
	for _, n := range names {
		if known := ScenarioNames(); n != "all" && !slices.Contains(known, n) {
			return nil, &fault.Error{Kind: fault.Invalid, Public: fmt.Sprintf("there is no scenario %q; there are %s, and all", n, strings.Join(known, ", "))}
		}
	}
	return chosen, nil
}

// Showing is what scenarios found.
type Showing struct {
	OK         bool             `json:"ok"`
	Scenarios  []ScenarioReport `json:"scenarios"`
	Violations []string         `json:"violations"` // rules of the far sides that the gateway broke
	Problems   []string         `json:"problems"`   // everything that is not as it should be, in words
	TookMS     float64          `json:"tookMs"`
}

// perform plays scenarios, those that disturb nobody at the same time, and
// shows each as it ends.
func (w *world) perform(ctx context.Context, chosen []scenario, s *show) *Showing {
	sh := &Showing{Scenarios: make([]ScenarioReport, len(chosen)), Violations: []string{}, Problems: []string{}}
	var together sync.WaitGroup
	ended := make([]chan struct{}, len(chosen))
	for i, sc := range chosen {
		ended[i] = make(chan struct{})
		if !sc.alone {
			together.Go(func() {
				defer close(ended[i])
				sh.Scenarios[i] = w.play(ctx, sc)
			})
		}
	}
	s.line("  who ← whom was heard: the worst correlation, the largest share lost")
	for i, sc := range chosen {
		s.begin(sc.name)
		if sc.alone {
			together.Wait()
			sh.Scenarios[i] = w.play(ctx, sc)
		} else {
			<-ended[i]
		}
		sh.Scenarios[i].show(s)
	}
	together.Wait()
	for _, x := range append(w.teams.Violations(), w.core.Violations()...) {
		sh.Violations = append(sh.Violations, x.Rule+": "+x.Message)
	}
	sh.settle()
	return sh
}

// play plays one scenario.
func (w *world) play(ctx context.Context, sc scenario) ScenarioReport {
	r := ScenarioReport{Name: sc.name, What: sc.what, Heard: []Hearing{}, Notes: []string{}}
	began, stalled := time.Now(), stalls()
	err := sc.play(ctx, &stage{w, &r})
	r.TookMS, r.StalledMS = ms(time.Since(began)), ms(stalled())
	if err != nil {
		r.Problem = err.Error()
	}
	for _, h := range r.Heard {
		if h.Problem != "" && r.Problem == "" {
			r.Problem = fmt.Sprintf("%s, the %s, who should hear the %s, %s", h.When, h.Who, h.Whom, h.Problem)
		}
	}
	if r.OK = r.Problem == ""; !r.OK && r.StalledMS >= ms(cushion) {
		r.Problem += "; " + blame(r.StalledMS)
	}
	return r
}

// blame says that it may have been the machine.
func blame(stalledMS float64) string {
	return fmt.Sprintf("this machine stood still for %.0f ms meanwhile, try again when it is less busy", stalledMS)
}

// cushion is the least that whoever hears a call has in store: three packets. A
// telephone has about five, and Teams ten where it joins two calls.
const cushion = 60 * time.Millisecond

// stalls watches whether this machine lets its processes run in time; what it
// returns ends that and tells the longest that it did not.
func stalls() func() time.Duration {
	stop, worst := make(chan struct{}), make(chan time.Duration)
	go func() {
		const often = cushion / 3
		tick := time.NewTicker(often)
		defer tick.Stop()
		var longest time.Duration
		for last := time.Now(); ; last = time.Now() {
			select {
			case <-stop:
				worst <- longest
				return
			case <-tick.C:
				longest = max(longest, time.Since(last)-often)
			}
		}
	}()
	return func() time.Duration { close(stop); return <-worst }
}

// show writes the line of a scenario, and one of what was heard.
func (r ScenarioReport) show(s *show) {
	s.took(time.Duration(r.TookMS * float64(time.Millisecond)))
	s.end(r.OK, "%s", strings.Join(r.Notes, ", "))
	for pair := range slices.Chunk(r.worst(), 2) {
		s.line("      %s", strings.TrimSpace(fmt.Sprintf("%-36s %s", pair[0], strings.Join(pair[1:], ""))))
	}
	if !r.OK {
		s.line("      %s", wrap(r.Problem, 74, "      "))
	}
}

// worst is, for each that heard somebody, the worst of it in a few words.
func (r ScenarioReport) worst() []string {
	var pairs []Hearing
	for _, h := range r.Heard {
		i := slices.IndexFunc(pairs, func(p Hearing) bool { return p.Who == h.Who && p.Whom == h.Whom })
		if i < 0 {
			pairs = append(pairs, h)
			continue
		}
		pairs[i].Correlation = min(pairs[i].Correlation, h.Correlation)
		pairs[i].Loss = max(pairs[i].Loss, h.Loss)
	}
	var said []string
	for _, p := range pairs {
		said = append(said, fmt.Sprintf("%s ← %s %.3f %.1f%%", p.Who, p.Whom, p.Correlation, 100*p.Loss))
	}
	return said
}

// settle collects what is not as it should be.
func (sh *Showing) settle() {
	for _, r := range sh.Scenarios {
		if !r.OK {
			sh.Problems = append(sh.Problems, r.Name+": "+r.Problem)
		}
	}
	for _, broken := range sh.Violations {
		sh.Problems = append(sh.Problems, "a far side's rule was broken: "+broken)
	}
	sh.OK = len(sh.Problems) == 0
}

func (sh *Showing) good() bool           { return sh.OK }
func (sh *Showing) took(d time.Duration) { sh.TookMS = ms(d) }
func (sh *Showing) print(s *show) {
	s.line("")
	if sh.OK {
		s.line("  %s all is well (%.0f s)", s.mark(true), sh.TookMS/1000)
		return
	}
	for _, p := range sh.Problems {
		s.line("  %s %s", s.mark(false), wrap(p, 74, "    "))
	}
}
