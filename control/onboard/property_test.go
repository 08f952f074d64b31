package onboard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

var made atomic.Int64

// someone is a subject that no other test has.
func someone() Subject {
	return Subject{gateway.ID{Subscription: "00000000-0000-4000-8000-000000000001", Group: "voice", Name: fmt.Sprintf("one%d", made.Add(1))}, "OperatorConnect"}
}

// newSet makes procedures of made-up steps.
func newSet(t rapid.TB, st *store.Store, steps []Step, facts ...Fact) *Set {
	t.Helper()
	ops, err := operation.New(operation.Config{Store: st, Lease: 300 * time.Millisecond, Retry: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Store: st, Operations: ops, Steps: steps, Facts: append([]Fact{}, facts...), Patience: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// kind is what a made-up step is.
type kind int

const (
	byTandem kind = iota
	byPerson
	skipped
	notOffered
	slow // waits after its action
	kinds
)

// land is a made-up world: what is really done, and what goes wrong.
type land struct {
	kinds []kind
	needs [][]int
	done  []bool // truly
	asked []bool // slow ones: the action was taken
	acts  []int  // on each
	wrong []string
	fault func(point string) error // what goes wrong next; nil: nothing
}

func name(i int) string { return fmt.Sprintf("S%d", i) }

func (l *land) settled(i int) bool { return l.done[i] || l.kinds[i] == skipped }

func (l *land) steps() (steps []Step) {
	for i := range l.kinds {
		st := Step{ID: name(i), Title: "step", Check: func(context.Context, *World) (Finding, error) {
			if err := l.fault("check"); err != nil {
				return Finding{}, err
			}
			switch {
			case l.kinds[i] == skipped:
				return Skip("it does not apply"), nil
			case l.kinds[i] == notOffered:
				return Later("later"), nil
			case l.done[i]:
				return Found("it is there", Is("it", "there")), nil
			case l.asked[i]:
				return Await("it takes its time"), nil
			}
			return Missing("it is not there"), nil
		}}
		for _, j := range l.needs[i] {
			st.Needs = append(st.Needs, name(j))
		}
		if l.kinds[i] == byTandem || l.kinds[i] == slow {
			st.Act = func(context.Context, *World) error { return l.act(i) }
		}
		steps = append(steps, st)
	}
	return steps
}

func (l *land) act(i int) error {
	l.acts[i]++
	if l.done[i] || l.asked[i] {
		l.wrong = append(l.wrong, fmt.Sprintf("%s was done and is acted on", name(i)))
	}
	for _, j := range l.needs[i] {
		if !l.settled(j) {
			l.wrong = append(l.wrong, fmt.Sprintf("%s is acted on before %s is settled", name(i), name(j)))
		}
	}
	if err := l.fault("before"); err != nil {
		return err
	}
	if l.kinds[i] == slow {
		l.asked[i] = true
	} else {
		l.done[i] = true
	}
	return l.fault("after")
}

var errDead = errors.New("the process was killed")

// run is one apply of a process that may die: after that, no write comes
// through.
func (l *land) run(t *rapid.T, s *Set, sub Subject, dead *bool) error {
	w, err := s.world(context.Background(), sub, Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.commit = func(ctx context.Context, f func(*store.Tx) error) error {
		if err := l.fault("commit"); err != nil || *dead {
			return errDead
		}
		return s.cfg.Store.Write(ctx, f)
	}
	p := &pass{Set: s, w: w, order: order{Subject: sub, By: "anna"}, show: func(string) {}, before: map[string]Status{}}
	_, err = p.run(context.Background())
	return err
}

func TestRandomGraphsWithFailuresAndDeathAtAnyPoint(t *testing.T) {
	st := storetest.New(t)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 10).Draw(t, "steps")
		l := &land{done: make([]bool, n), asked: make([]bool, n), acts: make([]int, n)}
		for i := range n {
			l.kinds = append(l.kinds, kind(rapid.IntRange(0, int(kinds)-1).Draw(t, "kind")))
			var needs []int
			if i > 0 {
				needs = rapid.SliceOfNDistinct(rapid.IntRange(0, i-1), 0, min(i, 3), rapid.ID).Draw(t, "needs")
			}
			l.needs = append(l.needs, needs)
		}
		l.fault = func(string) error { return nil }
		steps := l.steps()
		if rapid.Bool().Draw(t, "backwards") { // the document's order is not that of the needs
			slices.Reverse(steps)
		}
		sub := someone()
		s := newSet(t, st, steps)
		for range rapid.IntRange(1, 6).Draw(t, "runs") {
			dead := false
			l.fault = func(point string) error {
				if dead {
					return errDead
				}
				switch rapid.IntRange(0, 14).Draw(t, point) {
				case 0:
					dead = true
					return errDead
				case 1:
					return errors.New("it went wrong")
				}
				return nil
			}
			_ = l.run(t, s, sub, &dead)
			l.compare(t, s, sub)
			for range rapid.IntRange(0, 2).Draw(t, "changes") { // of the world, by others
				i := rapid.IntRange(0, n-1).Draw(t, "which")
				switch {
				case l.kinds[i] == byPerson || l.kinds[i] == slow:
					l.done[i] = !l.done[i]
				case l.done[i]:
					l.done[i] = false // drift
				}
			}
		}
		l.fault = func(string) error { return nil }
		alive := false
		announced := l.compare(t, s, sub).Acts()
		began := slices.Clone(l.acts)
		if err := l.run(t, s, sub, &alive); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if l.acts[i] > began[i] && !slices.Contains(announced, name(i)) {
				t.Fatalf("%s is acted on, and the plan did not say so: %v", name(i), announced)
			}
		}
		l.compare(t, s, sub)
		before, acts := l.rows(t, s, sub), slices.Clone(l.acts)
		if err := l.run(t, s, sub, &alive); err != nil {
			t.Fatal(err)
		}
		if after := l.rows(t, s, sub); before != after {
			t.Fatalf("running twice changed rows:\n%s\n\n%s", before, after)
		}
		if !slices.Equal(acts, l.acts) {
			t.Fatalf("running twice acted: %v, then %v", acts, l.acts)
		}
		for i := range n {
			ready := l.kinds[i] == byTandem && !l.done[i]
			for _, j := range l.needs[i] {
				ready = ready && l.settled(j)
			}
			if ready {
				t.Fatalf("%s could be done, and is not", name(i))
			}
		}
	})
}

// compare holds what is shown against what is true.
func (l *land) compare(t *rapid.T, s *Set, sub Subject) Plan {
	if len(l.wrong) > 0 {
		t.Fatal(l.wrong)
	}
	was := l.fault
	defer func() { l.fault = was }()
	l.fault = func(string) error { return nil }
	p, err := s.Plan(context.Background(), sub, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range p.Steps {
		var i int
		fmt.Sscanf(st.ID, "S%d", &i)
		if (st.State == Done) != (l.done[i] && l.kinds[i] != skipped && l.kinds[i] != notOffered) {
			t.Fatalf("%s is shown as %s; truly done: %v", st.ID, st.State, l.done[i])
		}
		if !st.Done.IsZero() && !l.done[i] && st.State != Drifted {
			t.Fatalf("%s was done, and is shown as %s", st.ID, st.State)
		}
		if st.Will != "" && (len(st.BlockedBy) > 0 && !st.Follows || st.State.Settled()) {
			t.Fatalf("%s would be acted on: %+v", st.ID, st)
		}
		if st.State == Blocked && !slices.ContainsFunc(l.needs[i], func(j int) bool { return !l.settled(j) }) {
			t.Fatalf("%s is shown as blocked by %v, and is not", st.ID, st.BlockedBy)
		}
	}
	return p
}

// rows is all that is kept of a subject but the times of looks.
func (l *land) rows(t *rapid.T, s *Set, sub Subject) (text string) {
	err := s.cfg.Store.Read(context.Background(), func(tx *store.Tx) error {
		m, err := loadMemory(context.Background(), tx, sub)
		if err != nil {
			return err
		}
		events, err := loadEvents(context.Background(), tx, sub, 0, 10000)
		text = fmt.Sprint(m, events)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}
