package onboard

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// Two control nodes: a procedure waits while one on the other node acts, goes on
// by itself where its own node has died, and takes a turn that has run out.
func TestProceduresTakeTurnsOnWhateverNode(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		node := func() *Set {
			ops, err := operation.New(operation.Config{Store: st})
			if err != nil {
				t.Fatal(err)
			}
			s, err := New(Config{Store: st, Operations: ops, Steps: []Step{{ID: "B1", Title: "one", Check: func(context.Context, *World) (Finding, error) { return Found(""), nil }}}})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		named := func(name string) Subject {
			return Subject{Gateway: gateway.ID{Subscription: "00000000-0000-4000-8000-000000000001", Group: "voice", Name: name}, Service: "OperatorConnect"}
		}
		here, there, one, two := node(), node(), named("one"), named("two")
		release, err := here.take(t.Context(), one, func() { t.Error("it waits for nobody") })
		if err != nil {
			t.Fatal(err)
		}
		soon, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		told := 0
		if _, err := there.take(soon, two, func() { told++ }); told != 1 || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("both act: %v, told %d times", err, told)
		}
		if got, err := there.took(t.Context(), one); !got || err != nil {
			t.Errorf("after its node has died: %v, %v", got, err)
		}
		if got, err := there.took(t.Context(), two); got || err != nil {
			t.Errorf("what was not given back is taken: %v", err)
		}
		release()
		if got, err := there.took(t.Context(), two); !got || err != nil {
			t.Errorf("after it was given back: %v, %v", got, err)
		}
		if err := st.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), "UPDATE onboard_turn SET ends = ?", store.Micros(time.Now().Add(-time.Second)))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if got, err := here.took(t.Context(), one); !got || err != nil {
			t.Errorf("one that has run out: %v, %v", got, err)
		}
	})
}
