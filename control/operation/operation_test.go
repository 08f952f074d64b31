package operation_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

func TestMain(m *testing.M) {
	if url := os.Getenv("TANDEM_OPERATION_CHILD"); url != "" {
		os.Exit(child(url))
	}
	goleak.VerifyTestMain(m)
}

// start makes a Set with one kind, "k", and runs it until the test ends.
func start(t testing.TB, s *store.Store, steps ...operation.Step) *operation.Set {
	t.Helper()
	set, err := operation.New(operation.Config{Store: s, Lease: time.Second, Retry: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	set.Register("k", steps...)
	if err := set.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	return set
}

func begin(t testing.TB, s *store.Store, set *operation.Set, resource string, args any) (op operation.Operation) {
	t.Helper()
	err := s.Write(t.Context(), func(tx *store.Tx) (err error) {
		op, err = set.Begin(t.Context(), tx, operation.Order{Kind: "k", Resource: resource, Actor: "me", Args: args})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return op
}

// until waits for a state of the operation.
func until(t testing.TB, set *operation.Set, id string, ok func(operation.Operation) bool) operation.Operation {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		ch := set.Watch(id)
		op, err := set.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if ok(op) {
			return op
		}
		select {
		case <-ch:
		case <-deadline:
			t.Fatalf("it did not come to that: %+v", op)
		}
	}
}

func ended(op operation.Operation) bool { return op.Status.Ended() }

func step(name string, f func(context.Context, *operation.Job) error) operation.Step {
	return operation.Step{Name: name, Run: f}
}

func fine(context.Context, *operation.Job) error { return nil }

// blocked runs until it is asked to stop.
func blocked(ctx context.Context, _ *operation.Job) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestStepsRunInOrderAndTheOrderIsTheirs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var trail []string
		note := func(_ context.Context, job *operation.Job) error {
			var args struct{ Word string }
			if err := job.Decode(&args); err != nil {
				return err
			}
			trail = append(trail, args.Word+job.Resource+job.Actor)
			return nil
		}
		set := start(t, s, step("one", note), step("two", note))
		op := begin(t, s, set, "/r", map[string]string{"word": "w"})
		if op.Status != operation.Accepted || len(op.Steps) != 2 {
			t.Errorf("begun as %+v", op)
		}
		op = until(t, set, op.ID, ended)
		if op.Status != operation.Succeeded || op.Error != nil || strings.Join(trail, " ") != "w/rme w/rme" {
			t.Errorf("ended as %+v, trail %q", op, trail)
		}
		for _, p := range op.Steps {
			if p.Status != operation.Succeeded || p.Attempts != 1 || p.Started.IsZero() || p.Ended.Before(p.Started) {
				t.Errorf("step %+v", p)
			}
		}
		latest, err := set.Latest(t.Context(), "/r")
		if err != nil || latest.ID != op.ID {
			t.Errorf("latest = %v, %v", latest.ID, err)
		}
	})
}

func TestAnOrderThatIsRolledBackNeverRuns(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var ran atomic.Bool
		set := start(t, s, step("one", func(context.Context, *operation.Job) error { ran.Store(true); return nil }))
		var op operation.Operation
		undo := errors.New("undo")
		err := s.Write(t.Context(), func(tx *store.Tx) (err error) {
			op, err = set.Begin(t.Context(), tx, operation.Order{Kind: "k", Resource: "/r"})
			return errors.Join(err, undo)
		})
		if !errors.Is(err, undo) {
			t.Fatal(err)
		}
		next := begin(t, s, set, "/other", nil)
		until(t, set, next.ID, ended)
		if _, err := set.Get(t.Context(), op.ID); fault.Of(err) != fault.NotFound {
			t.Errorf("error = %v", err)
		}
		if _, err := set.Latest(t.Context(), "/r"); fault.Of(err) != fault.NotFound {
			t.Errorf("error = %v", err)
		}
	})
}

func TestAnErrorIsTriedAgainAndWaitingIsNoAttempt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		runs := 0
		set := start(t, s, step("one", func(_ context.Context, job *operation.Job) error {
			runs++
			switch runs {
			case 1, 2:
				return fmt.Errorf("run %d", runs)
			case 3, 4, 5:
				return operation.Wait(time.Millisecond, "waiting for r1-a")
			}
			if got := job.Steps[0].Detail; got != "waiting for r1-a" {
				t.Errorf("detail = %q", got)
			}
			return nil
		}))
		op := until(t, set, begin(t, s, set, "/r", nil).ID, ended)
		if op.Status != operation.Succeeded || runs != 6 || op.Steps[0].Attempts != 3 || op.Steps[0].Detail != "" {
			t.Errorf("%+v after %d runs", op, runs)
		}
	})
}

func TestWaitingHoldsNoWorkerAndWakeEndsIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		set, err := operation.New(operation.Config{Store: s, Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		var open atomic.Bool
		set.Register("k", step("one", func(_ context.Context, job *operation.Job) error {
			if job.Resource == "/patient" && !open.Load() {
				return operation.Wait(time.Hour, "the door is shut")
			}
			return nil
		}))
		if err := set.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer set.Close()
		patient := begin(t, s, set, "/patient", nil)
		until(t, set, patient.ID, func(op operation.Operation) bool { return op.Steps[0].Detail == "the door is shut" })
		until(t, set, begin(t, s, set, "/quick", nil).ID, ended)
		open.Store(true)
		if err := set.Wake(t.Context(), "/patient"); err != nil {
			t.Fatal(err)
		}
		if op := until(t, set, patient.ID, ended); op.Status != operation.Succeeded {
			t.Errorf("%+v", op)
		}
	})
}

func TestFailEndsItWithTheStepAndTheSentence(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		set := start(t, s, step("one", fine),
			step("two", func(context.Context, *operation.Job) error {
				return fmt.Errorf("look: %w", operation.Fail("NoEdge", "no edge is free; add one"))
			}),
			step("three", fine))
		op := until(t, set, begin(t, s, set, "/r", nil).ID, ended)
		want := operation.Problem{Code: "NoEdge", Message: "no edge is free; add one", Step: "two"}
		if op.Status != operation.Failed || op.Error == nil || *op.Error != want {
			t.Errorf("%+v, error %+v", op, op.Error)
		}
		var got []string
		for _, p := range op.Steps {
			got = append(got, string(p.Status))
		}
		if strings.Join(got, " ") != "Succeeded Failed Canceled" {
			t.Errorf("steps %v", got)
		}
	})
}

func TestTheDeadlineOfAStepCountsWaitingAndNamesTheLastDetail(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		set := start(t, s, operation.Step{Name: "one", Deadline: 50 * time.Millisecond, Run: func(context.Context, *operation.Job) error {
			return operation.Wait(time.Hour, "r1-a does not answer")
		}})
		op := until(t, set, begin(t, s, set, "/r", nil).ID, ended)
		if op.Status != operation.Failed || op.Error.Code != operation.CodeDeadline || !strings.Contains(op.Error.Message, "r1-a does not answer") {
			t.Errorf("%+v, error %+v", op, op.Error)
		}
	})
}

func TestARunThatTakesTooLongIsCutAndTriedAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		runs := 0
		set := start(t, s, operation.Step{Name: "one", Timeout: 20 * time.Millisecond, Run: func(ctx context.Context, job *operation.Job) error {
			if runs++; runs == 1 {
				return blocked(ctx, job)
			}
			return nil
		}})
		op := until(t, set, begin(t, s, set, "/r", nil).ID, ended)
		if op.Status != operation.Succeeded || runs != 2 {
			t.Errorf("%+v after %d runs", op, runs)
		}
	})
}

func TestAPanicEndsThatOperationOnly(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		set := start(t, s, step("one", func(_ context.Context, job *operation.Job) error {
			if job.Resource == "/bad" {
				panic("secret of the defect")
			}
			return nil
		}))
		bad := begin(t, s, set, "/bad", nil)
		good := begin(t, s, set, "/good", nil)
		if op := until(t, set, good.ID, ended); op.Status != operation.Succeeded {
			t.Errorf("%+v", op)
		}
		op := until(t, set, bad.ID, ended)
		if op.Status != operation.Failed || op.Error.Code != operation.CodeInternal || strings.Contains(op.Error.Message, "secret") {
			t.Errorf("%+v, error %+v", op, op.Error)
		}
		if op := until(t, set, begin(t, s, set, "/good", nil).ID, ended); op.Status != operation.Succeeded {
			t.Errorf("afterwards: %+v", op)
		}
		set.Close()
		if got, want := set.Counters(), (operation.Counters{Succeeded: 2, Failed: 1, Panics: 1}); got != want {
			t.Errorf("counters %+v, want %+v", got, want)
		}
	})
}

func TestCancelStopsWhatRunsAndWhatWaits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		set := start(t, s, step("one", func(ctx context.Context, job *operation.Job) error {
			if job.Resource == "/waits" {
				return operation.Wait(time.Hour, "for ever")
			}
			job.Detail("running")
			return blocked(ctx, job)
		}), step("two", func(context.Context, *operation.Job) error { t.Error("step two ran"); return nil }))
		runs, waits := begin(t, s, set, "/runs", nil), begin(t, s, set, "/waits", nil)
		until(t, set, runs.ID, func(op operation.Operation) bool { return op.Steps[0].Detail == "running" })
		until(t, set, waits.ID, func(op operation.Operation) bool { return op.Steps[0].Detail == "for ever" })
		for _, id := range []string{runs.ID, waits.ID} {
			if err := set.Cancel(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			op := until(t, set, id, ended)
			if op.Status != operation.Canceled || op.Error.Code != operation.CodeCanceled || op.Steps[1].Status != operation.Canceled {
				t.Errorf("%+v, error %+v", op, op.Error)
			}
			if err := set.Cancel(t.Context(), id); fault.Of(err) != fault.Conflict {
				t.Errorf("canceled twice: %v", err)
			}
		}
		if err := set.Cancel(t.Context(), "nobody"); fault.Of(err) != fault.NotFound {
			t.Errorf("error = %v", err)
		}
	})
}

func TestANewerOperationOfTheResourceStopsTheOlderAndRunsAfterIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var mu sync.Mutex
		busy := false
		set := start(t, s, step("one", func(ctx context.Context, job *operation.Job) error {
			mu.Lock()
			if busy {
				t.Error("two operations of one resource at once")
			}
			busy = true
			mu.Unlock()
			defer func() { mu.Lock(); busy = false; mu.Unlock() }()
			var args struct{ Block bool }
			job.Decode(&args)
			if args.Block {
				job.Detail("running")
				<-ctx.Done()
				return errors.Join(ctx.Err(), job.Write(context.WithoutCancel(ctx), func(*store.Tx) error {
					t.Error("a superseded operation wrote")
					return nil
				}))
			}
			return nil
		}))
		first := begin(t, s, set, "/r", map[string]bool{"block": true})
		until(t, set, first.ID, func(op operation.Operation) bool { return op.Steps[0].Detail == "running" })
		second := begin(t, s, set, "/r", nil)
		op := until(t, set, first.ID, ended)
		if op.Status != operation.Canceled || op.Error.Code != operation.CodeSuperseded || op.Error.Message != "superseded by "+second.ID {
			t.Errorf("%+v, error %+v", op, op.Error)
		}
		if op := until(t, set, second.ID, ended); op.Status != operation.Succeeded {
			t.Errorf("%+v", op)
		}
		all, err := set.List(t.Context(), "/r")
		if err != nil || len(all) != 2 || all[0].ID != second.ID {
			t.Errorf("list %+v, %v", all, err)
		}
	})
}

func TestClosingGivesBackWhatRunsAndAnotherSetGoesOn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var first atomic.Int32
		set := start(t, s,
			step("one", func(context.Context, *operation.Job) error { first.Add(1); return nil }),
			step("two", func(ctx context.Context, job *operation.Job) error { job.Detail("running"); return blocked(ctx, job) }))
		op := begin(t, s, set, "/r", nil)
		until(t, set, op.ID, func(op operation.Operation) bool { return op.Steps[1].Detail == "running" })
		set.Close()
		set = start(t, s, step("one", func(context.Context, *operation.Job) error { first.Add(1); return nil }), step("two", fine))
		op = until(t, set, op.ID, ended)
		if op.Status != operation.Succeeded || first.Load() != 1 {
			t.Errorf("%+v; step one ran %d times", op, first.Load())
		}
	})
}

// A release may add, rename or drop a step while operations of the one before
// it wait.
func TestStepsOfAnotherReleaseAreMatchedByName(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		old := start(t, s, step("one", fine), step("two", func(context.Context, *operation.Job) error {
			return operation.Wait(time.Millisecond, "stays")
		}), step("gone", fine))
		op := begin(t, s, old, "/r", nil)
		until(t, old, op.ID, func(op operation.Operation) bool { return op.Steps[1].Detail == "stays" })
		old.Close()
		var trail []string
		note := func(name string) operation.Step {
			return step(name, func(context.Context, *operation.Job) error { trail = append(trail, name); return nil })
		}
		set := start(t, s, note("zero"), note("one"), note("two"))
		op = until(t, set, op.ID, ended)
		if op.Status != operation.Succeeded || strings.Join(trail, " ") != "zero two" {
			t.Errorf("%+v, trail %v", op, trail)
		}
	})
}

func TestAKindOfAnotherReleaseIsLeftAlone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		newer, err := operation.New(operation.Config{Store: s})
		if err != nil {
			t.Fatal(err)
		}
		newer.Register("k", step("one", fine))
		op := begin(t, s, newer, "/r", nil)
		older, err := operation.New(operation.Config{Store: s})
		if err != nil {
			t.Fatal(err)
		}
		older.Register("other", step("one", fine))
		if err := older.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer older.Close()
		var sign operation.Operation
		err = s.Write(t.Context(), func(tx *store.Tx) (err error) {
			sign, err = older.Begin(t.Context(), tx, operation.Order{Kind: "other", Resource: "/other"})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		until(t, older, sign.ID, ended)
		if op, err = older.Get(t.Context(), op.ID); err != nil || op.Status != operation.Accepted {
			t.Errorf("%+v, %v", op, err)
		}
	})
}

func TestSeveralNodesShareTheWorkAndNothingRunsTwice(t *testing.T) {
	url := storetest.Server(t)
	var mu sync.Mutex
	ran := map[string]int{}
	var sets []*operation.Set
	var stores []*store.Store
	const nodes = 3
	var all sync.WaitGroup // every node has had one
	all.Add(nodes)
	for range nodes {
		s := storetest.Open(t, url)
		set, err := operation.New(operation.Config{Store: s, Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		first := sync.OnceFunc(all.Done)
		set.Register("k", step("one", func(_ context.Context, job *operation.Job) error {
			mu.Lock()
			ran[job.ID]++
			mu.Unlock()
			first()
			all.Wait()
			return nil
		}), step("two", fine))
		if err := set.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(set.Close)
		sets, stores = append(sets, set), append(stores, s)
	}
	var ops []operation.Operation
	for i := range 60 {
		ops = append(ops, begin(t, stores[0], sets[0], fmt.Sprint("/r", i), nil))
	}
	for i, op := range ops {
		if op := until(t, sets[i%nodes], op.ID, ended); op.Status != operation.Succeeded {
			t.Errorf("%+v", op)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for id, n := range ran {
		if n != 1 {
			t.Errorf("operation %s ran %d times", id, n)
		}
	}
}

func TestAnotherNodesOperationIsCanceledThere(t *testing.T) {
	url := storetest.Server(t)
	here, there := storetest.Open(t, url), storetest.Open(t, url)
	set := start(t, there, step("one", func(ctx context.Context, job *operation.Job) error {
		job.Detail("running")
		return blocked(ctx, job)
	}))
	other, err := operation.New(operation.Config{Store: here})
	if err != nil {
		t.Fatal(err)
	}
	op := begin(t, there, set, "/r", nil)
	until(t, set, op.ID, func(op operation.Operation) bool { return op.Steps[0].Detail == "running" })
	if err := other.Cancel(t.Context(), op.ID); err != nil {
		t.Fatal(err)
	}
	if op := until(t, set, op.ID, ended); op.Status != operation.Canceled {
		t.Errorf("%+v", op)
	}
}

// A node that stood still so long that another buried it wakes up: its step may
// not write any more, and the operation is done by whoever has it now.
func TestANodeTakenForDeadCannotWrite(t *testing.T) {
	url := storetest.Server(t)
	s := storetest.Open(t, url)
	taken, tried := make(chan struct{}), make(chan struct{})
	var runs atomic.Int32
	set := start(t, s, step("one", func(ctx context.Context, job *operation.Job) error {
		if runs.Add(1) > 1 {
			return nil
		}
		job.Detail("running")
		<-taken
		defer close(tried)
		return job.Write(context.WithoutCancel(ctx), func(*store.Tx) error {
			t.Error("the dead wrote")
			return nil
		})
	}))
	op := begin(t, s, set, "/r", nil)
	until(t, set, op.ID, func(op operation.Operation) bool { return op.Steps[0].Detail == "running" })
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		if _, err := tx.Exec(t.Context(), "DELETE FROM operation_worker"); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), "UPDATE operation SET lease = ''")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	close(taken)
	<-tried
	if op := until(t, set, op.ID, ended); op.Status != operation.Succeeded || runs.Load() < 2 {
		t.Errorf("%+v after %d runs", op, runs.Load())
	}
}

// The database is away for longer than the lease, in the middle of steps: what
// the steps did is written when it is back, or they are done again; nothing is
// lost, and nothing stays with a worker that has given up.
func TestOperationsOutliveTheDatabasesAbsence(t *testing.T) {
	url := storetest.Server(t)
	name := url[strings.LastIndex(url, "/")+1:]
	s, admin := storetest.Open(t, url), storetest.Open(t, storetest.Server(t))
	away := make(chan struct{})
	set := start(t, s, step("one", func(ctx context.Context, job *operation.Job) error {
		select {
		case <-away:
		case <-ctx.Done():
		}
		return nil
	}), step("two", fine))
	var ops []operation.Operation
	for i := range 10 {
		ops = append(ops, begin(t, s, set, fmt.Sprint("/r", i), nil))
	}
	until(t, set, ops[9].ID, func(op operation.Operation) bool { return op.Steps[0].Status == operation.InProgress })
	for _, q := range []string{
		"ALTER DATABASE " + name + " ALLOW_CONNECTIONS false",
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + name + "'",
	} {
		run(t, admin, q)
	}
	close(away)
	<-time.After(1500 * time.Millisecond) // the lease is a second
	run(t, admin, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS true")
	for _, op := range ops {
		if op := until(t, set, op.ID, ended); op.Status != operation.Succeeded {
			t.Errorf("%+v", op)
		}
	}
}

func run(t *testing.T, s *store.Store, q string) {
	t.Helper()
	if err := s.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), q)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
