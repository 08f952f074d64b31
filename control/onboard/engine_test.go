package onboard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// bench is a set whose operations run.
type bench struct {
	testing.TB
	*Set
	sub Subject
}

func newBench(t testing.TB, st *store.Store, steps []Step, facts ...Fact) *bench {
	t.Helper()
	b := &bench{t, newSet(t, st, steps, facts...), someone()}
	if err := b.cfg.Operations.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.cfg.Operations.Close)
	return b
}

// do applies, and gives the plan after it.
func (b *bench) do(opts Options) Plan {
	b.Helper()
	op, err := b.Apply(b.Context(), b.sub, opts, "anna")
	for err == nil && !op.Status.Ended() {
		var now *operation.Operation
		if _, now, err = b.Follow(b.Context(), b.sub, 1<<40); err == nil {
			op = *now
		}
	}
	if err != nil || op.Status != operation.Succeeded {
		b.Fatal(err, op)
	}
	return b.see(opts)
}

func (b *bench) see(opts Options) Plan {
	b.Helper()
	p, err := b.Plan(b.Context(), b.sub, opts)
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// told are the events of a step, but those of hand-overs and facts.
func (b *bench) told(step string) (list []string) {
	b.Helper()
	events, _, err := b.Follow(b.Context(), b.sub, 0)
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range events {
		if e.Step == step {
			list = append(list, string(e.What))
		}
	}
	return list
}

// one is a step whose world is a variable.
func one(done *bool, act error) Step {
	return Step{
		ID: "S0", Title: "make it so",
		Check: func(context.Context, *World) (Finding, error) {
			if *done {
				return Found("it is there", Is("it", "there")), nil
			}
			return Missing("it is not there"), nil
		},
		Act: func(context.Context, *World) error {
			*done = act == nil
			return act
		},
	}
}

func TestDriftIsToldOnceAndRepaired(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		done := false
		b := newBench(t, st, []Step{one(&done, nil)})
		first := b.do(Options{}).Steps[0]
		if first.State != Done || first.DoneBy != "Tandem for anna" || first.Done.IsZero() {
			t.Fatalf("%+v", first)
		}
		done = false
		for range 2 {
			if p, err := b.Look(t.Context(), b.sub, "Tandem"); err != nil || p.Steps[0].State != Drifted {
				t.Fatal(err, p.Steps)
			}
		}
		if n, err := b.Tally(t.Context()); err != nil || n[Drifted] != 1 {
			t.Error(err, n)
		}
		now := b.see(Options{}).Steps[0]
		if now.State != Drifted || now.Drifted.IsZero() || now.Done != first.Done || now.Will == "" {
			t.Errorf("%+v", now)
		}
		if now = b.do(Options{}).Steps[0]; now.State != Done || !now.Drifted.IsZero() || !now.Done.After(first.Done) {
			t.Errorf("%+v", now)
		}
		if got := b.told("S0"); !slices.Equal(got, []string{"acting", "done", "drifted", "acting", "repaired"}) {
			t.Error(got)
		}
		s, err := b.Status(t.Context(), b.sub)
		if err != nil || s.Steps[0].State != Done || s.At.IsZero() || s.Apply == nil || !s.Apply.Status.Ended() {
			t.Error(err, s)
		}
	})
}

func TestWhatPeopleDidIsFoundAndNotClaimed(t *testing.T) {
	done := true
	b := newBench(t, storetest.New(t), []Step{one(&done, errors.New("not to be called"))})
	if st := b.do(Options{}).Steps[0]; st.State != Done || st.DoneBy != "found by anna" || st.Evidence[0] != Is("it", "there") {
		t.Errorf("%+v", st)
	}
	if got := b.told("S0"); !slices.Equal(got, []string{"found"}) {
		t.Error(got)
	}
}

func TestAnActionThatFailsOrShowsNothingIsNotDone(t *testing.T) {
	st := storetest.New(t)
	for _, tt := range []struct {
		name string
		act  func(context.Context, *World) error
		says string
	}{
		{"it is refused", func(context.Context, *World) error { return fault.New(fault.Denied, "you may not") }, "you may not"},
		{"it claims success", func(context.Context, *World) error { return nil }, "it was done, but does not show: it is not there"},
		{"it panics", func(context.Context, *World) error { panic("help") }, "action of step S0 panicked: help"},
		{"it records what nobody knows", func(ctx context.Context, w *World) error { return w.Record(ctx, "mood", "good") }, "only facts that are known"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			done := false
			step, after := one(&done, nil), one(&done, nil)
			step.Act, after.ID, after.Needs = tt.act, "S1", []string{"S0"}
			b := newBench(t, st, []Step{step, after})
			p := b.do(Options{})
			if now := p.Steps[0]; now.State != Failed || !strings.Contains(now.Detail, tt.says) || now.Will == "" {
				t.Errorf("%+v", now)
			}
			if now := p.Steps[1]; now.State != Blocked || done {
				t.Errorf("%+v", now)
			}
			done = true // by a person
			if p = b.do(Options{}); !p.Finished() || p.Steps[0].Detail != "it is there" {
				t.Errorf("%+v", p.Steps)
			}
		})
	}
}

func TestAPlanChangesNothingNotEvenRows(t *testing.T) {
	done := false
	step := one(&done, nil)
	step.Check = func(ctx context.Context, w *World) (Finding, error) {
		if err := w.Record(ctx, "seen", "yes"); err == nil {
			t.Error("a check has written")
		}
		return Missing("it is not there"), nil
	}
	b := newBench(t, storetest.New(t), []Step{step}, Fact{Name: "seen"})
	b.see(Options{Track: Track2022, Facts: map[string]string{"seen": "yes"}})
	if list, err := b.Subjects(t.Context()); err != nil || len(list) > 0 || done {
		t.Error(err, list, done)
	}
}

func TestWhatIsElsewhereIsChangedOnlyWhenSomebodySaysSo(t *testing.T) {
	done := false
	step := one(&done, nil)
	step.Touches = []Part{OfDirectory}
	b := newBench(t, storetest.New(t), []Step{step})
	b.cfg.Parts.Directory, b.cfg.Parts.Outside = &entra.Client{}, map[Part]bool{OfDirectory: true}
	if now := b.do(Options{}).Steps[0]; done || now.State != Ready || !now.Outside || now.Will != "" {
		t.Fatalf("%+v", now)
	}
	if now := b.do(Options{Outside: true}).Steps[0]; !done || now.State != Done {
		t.Errorf("%+v", now)
	}
}

func TestAHandOverGoesThroughItsStates(t *testing.T) {
	text := "hello"
	step := Step{
		ID: "S0", Title: "ask", Who: OnboardingTeam,
		Check: func(_ context.Context, w *World) (Finding, error) {
			switch h, _ := w.HandOver("S0/team"); h.State {
			case Answered:
				return Said(h.Answer + " " + w.Fact("contact")), nil
			case Sent, Awaiting:
				return Await("they have it"), nil
			}
			return Missing("they have not been asked"), nil
		},
		Draft: func(context.Context, *World) ([]Draft, error) {
			return []Draft{{Key: "team", To: OnboardingTeam, Subject: "a question", Message: text, Asks: []string{"contact"}}}, nil
		},
	}
	b := newBench(t, storetest.New(t), []Step{step}, Fact{Name: "contact", Title: "who?"})
	b.sub = someone()
	hand := func(want HandState) HandOver {
		t.Helper()
		hands := b.see(Options{}).HandOvers
		if len(hands) != 1 || hands[0].ID != "S0/team" || hands[0].State != want {
			t.Fatalf("want %s: %+v", want, hands)
		}
		return hands[0]
	}
	hand(Drafted)
	b.do(Options{})
	if h := hand(Drafted); h.Drafted.IsZero() {
		t.Errorf("%+v", h)
	}
	for _, facts := range []map[string]string{nil, {"contact": "bob", "mood": "good"}} {
		if _, err := b.Answer(t.Context(), b.sub, Reply{ID: "S0/team", By: "anna", Facts: facts}); err == nil {
			t.Error("taken with", facts)
		}
	}
	hand(Drafted) // what is refused leaves nothing behind
	left := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	if _, err := b.Send(t.Context(), b.sub, Sending{ID: "s0/TEAM", At: left, By: "anna"}); err != nil { // however it is spelled
		t.Fatal(err)
	}
	if h := hand(Sent); h.Sent != left || h.SentBy != "anna" || h.Changed || h.Drafted.IsZero() {
		t.Errorf("%+v", h)
	}
	text = "hello again"
	b.do(Options{})
	if h := hand(Awaiting); h.Waiting.IsZero() || !h.Changed || h.Message != "hello" {
		t.Errorf("what was sent stays as it was: %+v", h)
	}
	if _, err := b.Answer(t.Context(), b.sub, Reply{ID: "S0/team", By: "anna"}); fault.Of(err) != fault.Invalid {
		t.Errorf("an answer without what was asked for: %v", err)
	}
	if _, err := b.Answer(t.Context(), b.sub, Reply{ID: "s0/Team", By: "anna", Text: "fine", Facts: map[string]string{"contact": "bob"}}); err != nil {
		t.Fatal(err)
	}
	hand(Answered)
	if now := b.do(Options{}).Steps[0]; now.State != Declared || now.Detail != "fine bob" {
		t.Errorf("%+v", now)
	}
	if got := b.told("S0"); !slices.Equal(got, []string{"drafted", "sent", "waiting", "answered"}) {
		t.Error(got)
	}
}

func TestFactsHoldWhereTheyWereSaid(t *testing.T) {
	noStep := Step{ID: "S0", Check: func(context.Context, *World) (Finding, error) { return Skip("no"), nil }}
	b := newBench(t, storetest.New(t), []Step{noStep},
		Fact{Name: "everywhere", Scope: Everywhere, Default: "no"}, Fact{Name: "gateway", Scope: OfAGateway}, Fact{Name: "service", Scope: OfService}, Fact{Name: "each.*", Scope: OfService},
		Fact{Name: "choice", Choices: []string{"yes", "no"}}, Fact{Name: "day", Check: func(s string) error { _, err := time.Parse(time.DateOnly, s); return err }})
	mobile, other := b.sub, someone()
	mobile.Service = "TeamsPhoneMobile"
	facts := map[string]string{"everywhere": "yes", "gateway": "g", "service": "s", "each.one": "1"}
	if err := b.Declare(t.Context(), b.sub, facts, "anna"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		sub  Subject
		want string
	}{{b.sub, "yes g s 1"}, {mobile, "yes g  "}, {other, "yes   "}} {
		w, err := b.world(t.Context(), tt.sub, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join([]string{w.Fact("everywhere"), w.Fact("gateway"), w.Fact("service"), w.Fact("each.one")}, " "); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.sub, got, tt.want)
		}
	}
	last, _ := b.Last(t.Context(), b.sub)
	if err := b.Declare(t.Context(), b.sub, facts, "bob"); err != nil {
		t.Fatal(err)
	}
	if now, _ := b.Last(t.Context(), b.sub); now != last {
		t.Error("saying it twice is told twice")
	}
	if err := b.Declare(t.Context(), b.sub, map[string]string{"everywhere": ""}, "anna"); err != nil {
		t.Fatal(err)
	}
	if w, _ := b.world(t.Context(), other, Options{}); w.Fact("everywhere") != "no" || w.Has("everywhere") {
		t.Error("it was not taken back")
	}
	for name, value := range map[string]string{"choice": "maybe", "day": "tomorrow", "service": "a\nb", "gateway": strings.Repeat("x", 1001)} {
		if err := b.Declare(t.Context(), b.sub, map[string]string{name: value, "service": value}, "anna"); fault.Of(err) != fault.Invalid {
			t.Errorf("%s=%.20q: %v", name, value, err)
		}
	}
	for _, name := range []string{"mood", "each.", "each"} {
		if err := b.Declare(t.Context(), b.sub, map[string]string{name: "x"}, "anna"); fault.Of(err) != fault.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTrackAndEnvironmentAreKeptByApplyAndNotByPlan(t *testing.T) {
	steps := []Step{
		{ID: "A", Track: Track2022, Check: func(context.Context, *World) (Finding, error) { return Found(""), nil }},
		{ID: "B", Track: TrackCurrent, Needs: []string{"A"}, Check: func(context.Context, *World) (Finding, error) { return Found(""), nil }},
	}
	b := newBench(t, storetest.New(t), steps)
	if p := b.see(Options{Track: Track2022, Environment: Lab}); p.Steps[0].ID != "A" || p.Environment != Lab {
		t.Error(p)
	}
	if p := b.see(Options{}); p.Track != TrackCurrent || p.Environment != Production || len(p.Steps) != 1 || p.Steps[0].State != Done {
		t.Error(p)
	}
	b.do(Options{Track: Track2022, Environment: Lab})
	if p := b.see(Options{}); p.Track != Track2022 || p.Environment != Lab {
		t.Error(p)
	}
	for _, o := range []Options{{Track: "1984"}, {Environment: "moon"}, {Facts: map[string]string{"mood": "good"}}} {
		if _, err := b.Plan(t.Context(), b.sub, o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

func TestStepsThatCannotBeAreRefused(t *testing.T) {
	check := func(context.Context, *World) (Finding, error) { return Found(""), nil }
	for says, steps := range map[string][]Step{
		"needs itself":       {{ID: "A", Needs: []string{"B"}, Check: check}, {ID: "B", Needs: []string{"A"}, Check: check}},
		"which nobody knows": {{ID: "A", Needs: []string{"Z"}, Check: check}},
		"an ID of its own":   {{ID: "A", Check: check}, {ID: "A", Check: check}},
		"own and a check":    {{ID: "A"}},
	} {
		if _, err := New(Config{Steps: steps, Facts: []Fact{}}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want %q: %v", says, err)
		}
	}
}

// TestEveryStepAndFactOfTheDocuments holds the two documents' own steps to what
// the engine and the people need of them.
func TestEveryStepAndFactOfTheDocuments(t *testing.T) {
	b := newBench(t, storetest.New(t), nil)
	seen := map[string]int{}
	for _, st := range Steps() {
		seen[string(st.Track)]++
		if st.Title == "" || st.Section == "" || len([]rune(st.Title)) > 120 {
			t.Errorf("%s: %q below %q", st.ID, st.Title, st.Section)
		}
	}
	asked := map[string]bool{}
	for _, f := range Facts() {
		if f.Title == "" || asked[f.Name] || !f.Learned && len(f.Choices) == 0 && f.Form == "" {
			t.Errorf("fact %s says not what to write", f.Name)
		}
		asked[f.Name] = true
		if f.Step != "" && !slices.ContainsFunc(Steps(), func(st Step) bool { return st.ID == f.Step }) {
			t.Errorf("fact %s is asked for by %s, which is none", f.Name, f.Step)
		}
		if f.Default != "" {
			if err := f.judge(f.Name, f.Default); err != nil {
				t.Error(err)
			}
		}
	}
	fmt.Fprintln(t.Output(), "steps of each track:", seen, "facts:", len(asked))
	// Nothing is there, nobody has said anything: no step is done, none fails.
	for _, track := range []Track{Track2022, TrackCurrent} {
		for _, st := range b.see(Options{Track: track}).Steps {
			if st.State == Done || st.State == Declared {
				t.Errorf("%s is %s in an empty world: %s", st.ID, st.State, st.Detail)
			}
			if strings.Contains(st.Detail, "panicked") {
				t.Errorf("%s: %s", st.ID, st.Detail)
			}
		}
	}
}

func TestALookLeavesARunningApplyAlone(t *testing.T) {
	going, goOn := make(chan struct{}), make(chan struct{})
	done := false
	step := one(&done, nil)
	step.Act = func(context.Context, *World) error {
		close(going)
		<-goOn
		done = true
		return nil
	}
	b := newBench(t, storetest.New(t), []Step{step})
	if _, err := b.Apply(t.Context(), b.sub, Options{}, "anna"); err != nil {
		t.Fatal(err)
	}
	<-going
	before, _ := b.Last(t.Context(), b.sub)
	if _, err := b.Look(t.Context(), b.sub, "Tandem"); err != nil {
		t.Fatal(err)
	}
	if after, _ := b.Last(t.Context(), b.sub); after != before {
		t.Error("it has kept something")
	}
	close(goOn)
	if st := b.do(Options{}).Steps[0]; st.State != Done || st.DoneBy != "Tandem for anna" {
		t.Errorf("%+v", st)
	}
}

func TestWhatWasSentMeanwhileStaysSent(t *testing.T) {
	done := false
	step := one(&done, nil)
	step.Act, step.Draft = nil, func(context.Context, *World) ([]Draft, error) { return []Draft{{Subject: "a question"}}, nil }
	b := newBench(t, storetest.New(t), []Step{step})
	stale := b.see(Options{}).HandOvers
	if _, err := b.Send(t.Context(), b.sub, Sending{ID: "S0", By: "anna"}); err != nil {
		t.Fatal(err)
	}
	err := b.cfg.Store.Write(t.Context(), func(tx *store.Tx) error { return wait(t.Context(), tx, b.sub, stale) })
	if h := b.see(Options{}).HandOvers[0]; err != nil || h.State != Awaiting || h.SentBy != "anna" {
		t.Errorf("%v %+v", err, h)
	}
}

func TestDriftIsSeenByItself(t *testing.T) {
	done := false
	b := newBench(t, storetest.New(t), []Step{one(&done, nil)})
	b.do(Options{})
	done = false
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.Watch(ctx, time.Millisecond)
	}()
	for until := time.Now().Add(10 * time.Second); !slices.Contains(b.told("S0"), "drifted"); {
		if time.Now().After(until) {
			t.Fatal("nobody has told of it")
		}
	}
	cancel()
	<-ended
	if done {
		t.Error("it was repaired, and nobody asked for that")
	}
}

func TestAReportHasTheNewestEventsInOrder(t *testing.T) {
	b := newBench(t, storetest.New(t), []Step{{ID: "S0", Check: func(context.Context, *World) (Finding, error) { return Found(""), nil }}})
	var list []Event
	err := b.cfg.Store.Write(t.Context(), func(tx *store.Tx) (err error) {
		for i := range 4 {
			if err := tell(t.Context(), tx, b.sub, Event{Step: "S0", What: SeenDone, Detail: fmt.Sprint(i)}); err != nil {
				return err
			}
		}
		list, err = newestEvents(t.Context(), tx, b.sub, 2)
		return err
	})
	if err != nil || len(list) != 2 || list[0].Detail != "2" || list[1].Detail != "3" {
		t.Error(err, list)
	}
}

func TestTextOfOthersStaysTextInAReport(t *testing.T) {
	for text, want := range map[string]string{
		"[sign in](https://evil.example)":  `\[sign in](https://evil.example)`,
		"![](https://evil.example)":        `!\[](https://evil.example)`,
		`\[sign in](https://evil.example)`: `\\\[sign in](https://evil.example)`,
		"a | b\n# c <script> `d`":          `a \| b # c &lt;script> 'd'`,
	} {
		if got := inline(text); got != want {
			t.Errorf("%q is written as %s, want %s", text, got, want)
		}
	}
}

func TestWhatIsAwayHidesNothingElse(t *testing.T) {
	was := lookTime
	lookTime = 50 * time.Millisecond
	t.Cleanup(func() { lookTime = was })
	var steps []Step
	for i := range 3 * atOnce {
		steps = append(steps, Step{ID: name(i), Check: func(ctx context.Context, _ *World) (Finding, error) {
			<-ctx.Done()
			return Finding{}, fmt.Errorf("ask: %w", ctx.Err())
		}})
	}
	steps = append(steps, Step{ID: "here", Check: func(context.Context, *World) (Finding, error) { return Found("here"), nil }})
	b := newBench(t, storetest.New(t), steps)
	p := b.see(Options{})
	if st := p.Steps[0]; st.State != Failed || !strings.Contains(st.Detail, "did not answer in time") {
		t.Errorf("%+v", st)
	}
	if st := p.Steps[len(steps)-1]; st.State != Done {
		t.Errorf("%+v", st)
	}
}
