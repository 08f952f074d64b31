package operation

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

func TestOperationsAreFoundByTheBeginningOfTheirID(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s, err := New(Config{Store: st})
		if err != nil {
			t.Fatal(err)
		}
		s.Register("work", Step{Name: "do"})
		var all []Operation
		err = st.Write(t.Context(), func(tx *store.Tx) error {
			for i := range 40 { // two of them begin alike
				op, err := s.Begin(t.Context(), tx, Order{Kind: "work", Resource: fmt.Sprint("r", i%39)})
				if err != nil {
					return err
				}
				all = append(all, op)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range all[:3] {
			for _, id := range []string{op.ID, op.ID[:13], strings.ToUpper(op.ID[:13])} {
				if got, err := s.Find(t.Context(), id); err != nil || got.ID != op.ID {
					t.Errorf("%s is %s, %v", id, got.ID, err)
				}
			}
		}
		seen := map[string]int{}
		for _, op := range all {
			seen[op.ID[:1]]++
		}
		for digit, n := range seen {
			if _, err := s.Find(t.Context(), digit); n > 1 && fault.Of(err) != fault.Conflict {
				t.Errorf("%d begin with %s: %v", n, digit, err)
			}
		}
		for _, id := range []string{"", "%", "_", "x", "zz", strings.Repeat("0", 40), "ffffffff-ffff-ffff-ffff-ffffffffffff"} {
			if _, err := s.Find(t.Context(), id); fault.Of(err) != fault.NotFound {
				t.Errorf("%q: %v", id, err)
			}
		}
		newest, err := s.Newest(t.Context(), 40)
		if err != nil || len(newest) != 40 || newest[39].ID != all[0].ID || newest[0].ID != all[39].ID {
			t.Errorf("%d, first %+v, last %+v, %v: what is superseded has ended, and comes last", len(newest), newest[0], newest[len(newest)-1], err)
		}
	})
}
