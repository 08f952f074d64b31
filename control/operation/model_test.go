package operation

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// A random sequence of begin, cancel, wake and crash over a few resources. At
// the end everything has ended, the effects of what succeeded are there once,
// nothing wrote after it was canceled, and no two operations of a resource
// ever ran at once.
func TestAnySequenceOfBeginCancelAndCrashEndsWell(t *testing.T) { storetest.Each(t, anySequence) }

func anySequence(t *testing.T, s *store.Store) {
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), "CREATE TABLE effect (op TEXT NOT NULL, step TEXT NOT NULL, n BIGINT NOT NULL, PRIMARY KEY (op, step))")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	worlds := 0
	rapid.Check(t, func(rt *rapid.T) {
		worlds++
		m := &model{store: s, world: fmt.Sprint("/", worlds), busy: map[string]bool{}}
		m.start(rt)
		defer func() { m.set.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"begin": func(rt *rapid.T) {
				m.begin(rt, m.world+rapid.SampledFrom([]string{"/a", "/b", "/c"}).Draw(rt, "resource"), rapid.SampledFrom([]string{"quick", "waits", "fails", "panics", "errs", "slow"}).Draw(rt, "manner"))
			},
			"cancel": func(rt *rapid.T) {
				if len(m.begun) > 0 {
					m.cancel(rt, rapid.IntRange(0, len(m.begun)-1).Draw(rt, "which"))
				}
			},
			"wake":  func(rt *rapid.T) { m.check(rt, m.set.Wake(context.Background(), m.world+"/a")) },
			"pause": func(rt *rapid.T) { time.Sleep(time.Millisecond) },
			"crash": func(rt *rapid.T) { m.crash(); m.start(rt) },
		})
		m.settle(rt)
	})
}

type model struct {
	store *store.Store
	world string // before the names of its resources
	set   *Set
	begun []*begun

	mu   sync.Mutex
	busy map[string]bool // mu: resources with a step that runs
	bad  string          // mu: what must not have happened
}

type begun struct {
	id, resource, manner string
	canceled             bool
}

func (m *model) check(rt *rapid.T, err error) {
	if err != nil {
		rt.Fatal(err)
	}
}

func (m *model) start(rt *rapid.T) {
	var err error
	m.set, err = New(Config{Store: m.store, Retry: time.Microsecond, Lease: 50 * time.Millisecond})
	m.check(rt, err)
	m.set.Register("k", Step{Name: "one", Run: m.step}, Step{Name: "two", Run: m.step}, Step{Name: "three", Run: m.step})
	m.check(rt, m.set.Start(context.Background()))
}

// crash ends the set without a word in the database, as kill -9 does.
func (m *model) crash() {
	m.set.stop(errLost)
	m.set.wg.Wait()
}

func (m *model) step(ctx context.Context, job *Job) error {
	m.mu.Lock()
	if m.busy[job.Resource] {
		m.bad = "two operations of " + job.Resource + " at once"
	}
	m.busy[job.Resource] = true
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.busy[job.Resource] = false
		m.mu.Unlock()
	}()
	var manner string
	if err := job.Decode(&manner); err != nil {
		return err
	}
	name := job.Steps[job.step].Name
	switch {
	case manner == "slow":
		select {
		case <-ctx.Done():
			<-time.After(2 * time.Millisecond) // it takes its time to stop
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	case manner == "waits" && job.Steps[job.step].Detail == "":
		return Wait(time.Millisecond, "once")
	case manner == "fails" && name == "two":
		return Fail("Code", "message")
	case manner == "panics" && name == "three":
		panic("defect")
	case manner == "errs" && job.Steps[job.step].Attempts < 3:
		return errors.New("again")
	}
	return job.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO effect (op, step, n) VALUES (?, ?, 1) ON CONFLICT (op, step) DO NOTHING", job.ID, name)
		return err
	})
}

func (m *model) begin(rt *rapid.T, resource, manner string) {
	m.check(rt, m.store.Write(context.Background(), func(tx *store.Tx) error {
		op, err := m.set.Begin(context.Background(), tx, Order{Kind: "k", Resource: resource, Args: manner})
		if err != nil {
			return err
		}
		tx.After(func() { m.begun = append(m.begun, &begun{id: op.ID, resource: resource, manner: manner}) })
		return nil
	}))
}

func (m *model) cancel(rt *rapid.T, i int) {
	err := m.set.Cancel(context.Background(), m.begun[i].id)
	if err != nil && fault.Of(err) != fault.Conflict {
		rt.Fatal(err)
	}
	m.begun[i].canceled = m.begun[i].canceled || err == nil
}

// settle waits for the end of all and looks at what is there.
func (m *model) settle(rt *rapid.T) {
	last := map[string]string{}
	for _, b := range m.begun {
		last[b.resource] = b.id
	}
	for _, b := range m.begun {
		op := m.await(rt, b.id)
		effects := m.effects(rt, b.id)
		superseded := last[b.resource] != b.id
		if why := verdict(b, op, effects, superseded); why != "" {
			rt.Fatalf("%s: %+v (superseded %v), operation %+v, error %+v, %d effects", why, *b, superseded, op, op.Error, effects)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bad != "" {
		rt.Fatal(m.bad)
	}
}

func verdict(b *begun, op Operation, effects int, superseded bool) string {
	switch {
	case op.Status == Canceled && !b.canceled && !superseded:
		return "canceled by nobody"
	case op.Status == Canceled:
		if done := succeeded(op); effects != done && effects != done+1 { // the step in which it was stopped may have written
			return "effects without steps"
		}
	case b.manner == "fails" || b.manner == "panics":
		want := map[string]int{"fails": 1, "panics": 2}[b.manner]
		if op.Status != Failed || effects != want {
			return "it should have failed"
		}
	case op.Status != Succeeded || effects != 3:
		return "it should have succeeded"
	}
	return ""
}

func succeeded(op Operation) (n int) {
	for _, p := range op.Steps {
		if p.Status == Succeeded {
			n++
		}
	}
	return n
}

func (m *model) await(rt *rapid.T, id string) Operation {
	deadline := time.Now().Add(10 * time.Second)
	for {
		ch := m.set.Watch(id)
		op, err := m.set.Get(context.Background(), id)
		m.check(rt, err)
		if op.Status.Ended() {
			return op
		}
		if time.Now().After(deadline) {
			rt.Fatal(fmt.Sprintf("it does not end: %+v", op))
		}
		<-ch
	}
}

func (m *model) effects(rt *rapid.T, id string) (n int) {
	m.check(rt, m.store.Read(context.Background(), func(tx *store.Tx) error {
		return tx.Row(context.Background(), "SELECT COUNT(*) FROM effect WHERE op = ?", id).Scan(&n)
	}))
	return n
}
