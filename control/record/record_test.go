package record_test

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tandemgw/tandem/control/record"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	link "github.com/tandemgw/tandem/link/record"
)

var begin = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// entry is a call of a node at a stage.
func entry(node string, i int, stage link.Stage) link.Entry {
	c := link.Call{
		ID: fmt.Sprintf("%s-%06d", node, i), Node: node, Region: "westeurope", Gateway: "lab", Service: "OperatorConnect",
		From: fmt.Sprintf("+4420%07d", i), To: "+14255550101", Began: begin.Add(time.Duration(i) * time.Second),
		Caller: link.Leg{Peer: "core-1"},
	}
	if stage >= link.Answered {
		at := c.Began.Add(time.Second)
		c.Answered, c.Callee.Peer = &at, "teams-1"
	}
	if stage == link.Finished {
		at := c.Began.Add(time.Minute)
		c.Ended, c.Cause = &at, link.Cause{By: link.ByCaller}
		if i%10 == 0 {
			c.Cause.By = link.ByGateway
		}
	}
	text, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return link.Entry{Stage: stage, Call: c, JSON: text}
}

func list(t interface {
	Helper()
	Fatal(...any)
}, s *record.Set, f link.Filter,
) []link.Call {
	t.Helper()
	calls, err := s.List(context.Background(), f)
	if err != nil {
		t.Fatal(err)
	}
	return calls
}

func TestCallsOfAllNodesAreOnRecordAndFound(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := record.New(st)
		var entries []link.Entry
		for i := range 500 { // some statements
			entries = append(entries, entry("r1-a", i, link.Finished), entry("r2-a", i, link.Begun))
		}
		if err := s.Keep(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name   string
			filter link.Filter
			want   int
		}{
			{"all", link.Filter{Limit: 10000}, 1000},
			{"a hundred", link.Filter{}, 100},
			{"of a number", link.Filter{Number: "+44200000007"}, 2},
			{"through a peer", link.Filter{Peer: "teams-1", Limit: 10000}, 500},
			{"that failed", link.Filter{Failed: true}, 50},
			{"of a minute", link.Filter{Since: begin, Until: begin.Add(time.Minute), Limit: 10000}, 120},
			{"by the beginning of the ID", link.Filter{ID: "r1-a-00001", Limit: 100}, 10},
		} {
			if got := len(list(t, s, tt.filter)); got != tt.want {
				t.Errorf("%s: %d instead of %d", tt.name, got, tt.want)
			}
		}
		if got := list(t, s, link.Filter{Limit: 1})[0]; got.ID != "r2-a-000499" || got.Ended != nil {
			t.Errorf("the newest is %s", got.ID)
		}
	})
}

func TestEntriesMayComeTwiceAndInAnyOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s, round := record.New(st), 0
		rapid.Check(t, func(rt *rapid.T) {
			round++
			node := fmt.Sprintf("n%d", round)
			var all []link.Entry
			for i := range 4 {
				for stage := link.Begun; stage <= link.Finished; stage++ {
					for range rapid.IntRange(1, 2).Draw(rt, "copies") {
						all = append(all, entry(node, i, stage))
					}
				}
			}
			all = rapid.Permutation(all).Draw(rt, "order")
			for len(all) > 0 {
				n := rapid.IntRange(1, len(all)).Draw(rt, "batch")
				if err := s.Keep(context.Background(), all[:n]); err != nil {
					rt.Fatal(err)
				}
				all = all[n:]
			}
			calls := list(rt, s, link.Filter{ID: node + "-"})
			if len(calls) != 4 || slices.ContainsFunc(calls, func(c link.Call) bool { return c.Ended == nil }) {
				rt.Fatalf("on record is %+v", calls)
			}
		})
	})
}

func TestNoNodeChangesTheCallsOfAnother(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := record.New(st)
		own, forged := entry("r1-a", 1, link.Answered), entry("r1-a", 1, link.Finished)
		forged.Call.Node = "r2-a"
		if err := s.Keep(t.Context(), []link.Entry{own, forged}); err != nil {
			t.Fatal(err)
		}
		if err := s.Keep(t.Context(), []link.Entry{forged}); err != nil {
			t.Fatal(err)
		}
		if got := list(t, s, link.Filter{}); len(got) != 1 || got[0].Ended != nil {
			t.Errorf("on record is %+v", got)
		}
	})
}

func BenchmarkKeep(b *testing.B) {
	s := record.New(storetest.New(b))
	for i := 0; b.Loop(); i += 4096 {
		var entries []link.Entry
		for k := range 4096 {
			entries = append(entries, entry("r1-a", i+k, link.Finished))
		}
		if err := s.Keep(b.Context(), entries); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*4096/b.Elapsed().Seconds(), "records/s")
}

func TestOldCallsAreTrimmed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := record.New(st)
		var entries []link.Entry
		for i := range 12_000 { // some transactions
			entries = append(entries, entry("r1-a", i, link.Finished))
		}
		if err := s.Keep(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
		n, err := s.Trim(t.Context(), begin.Add(11_990*time.Second))
		if err != nil || n != 11_990 {
			t.Fatalf("%d calls were deleted (%v), want 11990", n, err)
		}
		left := list(t, s, link.Filter{Limit: 100})
		if len(left) != 10 || !left[9].Began.Equal(begin.Add(11_990*time.Second)) {
			t.Errorf("%d calls are left, the oldest of %v", len(left), left[len(left)-1].Began)
		}
	})
}

// The beginning of an ID is looked for by an index, however many calls there are.
func TestTheBeginningOfAnIDIsLookedForByIndex(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := record.New(st)
		var entries []link.Entry
		for i := range 3000 {
			e := entry("r1-a", i, link.Finished)
			e.Call.ID = idAt(e.Call.Began, i)
			e.JSON, _ = json.Marshal(e.Call)
			entries = append(entries, e)
		}
		if err := s.Keep(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
		whole := entries[1234].Call.ID
		for n := 1; n <= len(whole); n++ {
			want := 0
			for _, e := range entries {
				if e.Call.ID[:n] == whole[:n] {
					want++
				}
			}
			if got := len(list(t, s, link.Filter{ID: whole[:n], Limit: 10_000})); got != want {
				t.Errorf("%s: %d calls, not %d", whole[:n], got, want)
			}
		}
		if st.Dialect() != store.SQLite {
			return
		}
		for _, prefix := range []string{whole, whole[:8]} {
			plan := record.Plan(t, st, link.Filter{ID: prefix})
			if !strings.Contains(plan, "USING INDEX") || strings.Contains(plan, "SCAN call_record") {
				t.Errorf("%s: %s", prefix, plan)
			}
		}
	})
}

// idAt is an ID as an edge makes it.
func idAt(at time.Time, i int) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(at.UnixMilli())<<16)
	binary.BigEndian.PutUint64(b[8:], uint64(i)*0x9e3779b97f4a7c15)
	return base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding).EncodeToString(b[:])
}
