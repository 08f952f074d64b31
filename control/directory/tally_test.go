package directory_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/control/subscription"
)

// TestAFloodIsAFewLines: whoever tries from wherever, what is written is bounded,
// and each attempt is in one of the lines.
func TestAFloodIsAFewLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := storetest.New(t)
		defer s.Close()
		trail := subscription.New(subscription.Config{Store: s, Tenant: subscription.Tenant{ID: tenant}, Log: slog.New(slog.DiscardHandler)})
		writes := 0
		var away atomic.Bool
		away.Store(true)
		d, err := directory.Open(t.Context(), directory.Config{
			Store: s, Tenant: directory.Tenant{ID: tenant, Name: "lab.telecom.example"}, Log: slog.New(slog.DiscardHandler),
			Many: func(ctx context.Context, tx *store.Tx, l directory.Tally) error {
				if away.Load() {
					return errors.New("the disk is full")
				}
				writes++
				return trail.AuditMany(ctx, tx, l.Key, subscription.Entry{At: l.First, Latest: l.Last, Times: l.Times, Action: l.Action, Resource: l.Target, Outcome: l.Outcome, Request: subscription.Request{Source: l.Source}})
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { d.Run(ctx); close(ended) }()
		time.Sleep(time.Hour - time.Duration(time.Now().UnixNano())%time.Hour) // a window begins
		begun := time.Now()
		by := directory.Caller{Tenant: strings.ToLower(tenant)}
		const flood = 50_000
		for i := range flood {
			d.Count(directory.Attempt{Action: directory.PersonSignsIn, By: by, Source: fmt.Sprintf("2001:db8:%x::/64", i), Refused: "no such user"})
			if i%1000 == 0 {
				time.Sleep(10 * time.Second)
				away.Store(i < 10_000) // nothing is lost meanwhile
			}
		}
		ann := by
		ann.Object, ann.Name = newGUID(), "ann"
		d.Count(directory.Attempt{Action: directory.PersonSignsIn, By: ann, Source: "192.0.2.1", Refused: "wrong password"})
		stop()
		<-ended
		if err := d.Flush(t.Context()); err != nil { // what is left
			t.Fatal(err)
		}
		list, err := trail.Trail(t.Context(), subscription.Span{Scope: "/tenants/" + tenant, Since: begun, Limit: 10_000})
		if err != nil {
			t.Fatal(err)
		}
		total, several, hers := int64(0), int64(0), 0
		for _, e := range list {
			switch {
			case strings.HasSuffix(e.Resource, ann.Object):
				hers++
				continue
			case e.Request.Source == directory.Several:
				several = e.Times
				if e.Latest.Sub(e.At) < time.Minute {
					t.Errorf("the flood lasted from %v to %v", e.At, e.Latest)
				}
			}
			total += e.Times
		}
		if total != flood || len(list) > 1002 || hers != 1 || several < flood-1001 {
			t.Errorf("%d lines of %d attempts, %d of them of several, %d hers", len(list), total, several, hers)
		}
		if writes > 2000 {
			t.Errorf("%d rows were written", writes)
		}
	})
}

// TestLinesBecomeOneOnAnyNode, and another in the next hour.
func TestLinesBecomeOneOnAnyNode(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		trail := subscription.New(subscription.Config{Store: s, Tenant: subscription.Tenant{ID: tenant}, Log: slog.New(slog.DiscardHandler)})
		var nodes []*directory.Set
		for range 2 {
			d, err := directory.Open(t.Context(), directory.Config{
				Store: s, Tenant: directory.Tenant{ID: tenant, Name: "lab.telecom.example"}, Log: slog.New(slog.DiscardHandler),
				Many: func(ctx context.Context, tx *store.Tx, l directory.Tally) error {
					return trail.AuditMany(ctx, tx, l.Key, subscription.Entry{At: l.First, Latest: l.Last, Times: l.Times, Action: l.Action, Resource: l.Target, Outcome: l.Outcome, Request: subscription.Request{Source: l.Source, Principal: subscription.Principal{Object: l.By.Object, Name: l.By.Name}}})
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			nodes = append(nodes, d)
		}
		ann := directory.Caller{Tenant: strings.ToLower(tenant), Object: newGUID(), Name: "Ann@telecom.example"}
		for i := range 6 {
			d := nodes[i%2]
			d.Count(directory.Attempt{Action: directory.PersonSignsIn, By: ann, Source: "192.0.2.1", Refused: "wrong password"})
			if err := d.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		nodes[0].Count(directory.Attempt{Action: directory.ProgramSignsIn, By: directory.Caller{Tenant: ann.Tenant, Object: "an-app", App: "app"}, Source: "192.0.2.2"})
		if err := nodes[0].Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		count := func(change func(*subscription.Span)) (lines int, times int64) {
			span := subscription.Span{Scope: "/tenants/" + tenant, Since: time.Now().Add(-time.Minute), Limit: 100}
			change(&span)
			list, err := trail.Trail(t.Context(), span)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range list {
				times += e.Times
			}
			return len(list), times
		}
		for name, tt := range map[string]struct {
			change func(*subscription.Span)
			times  int64
		}{
			"all":                 {func(*subscription.Span) {}, 7},
			"hers, by name":       {func(p *subscription.Span) { p.Who = "ann@TELECOM.example" }, 6},
			"by ID":               {func(p *subscription.Span) { p.Who = ann.Object }, 6},
			"refused":             {func(p *subscription.Span) { p.Refused = true }, 6},
			"by address":          {func(p *subscription.Span) { p.Source = "192.0.2.2" }, 1},
			"by action":           {func(p *subscription.Span) { p.Action = "serviceprincipals/SIGNIN" }, 1},
			"no pattern of SQL's": {func(p *subscription.Span) { p.Action = "%" }, 0},
		} {
			// The hour may turn while this runs.
			if lines, times := count(tt.change); times != tt.times || int64(lines) > tt.times || lines > 4 {
				t.Errorf("%s: %d lines, %d times", name, lines, times)
			}
		}
	})
}

// What a database does not take as text keeps no other line from being written.
func TestNoLineKeepsAnotherFromBeingWritten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		trail := subscription.New(subscription.Config{Store: s, Tenant: subscription.Tenant{ID: tenant}, Log: slog.New(slog.DiscardHandler)})
		d, err := directory.Open(t.Context(), directory.Config{
			Store: s, Tenant: directory.Tenant{ID: tenant, Name: "lab.telecom.example"}, Log: slog.New(slog.DiscardHandler),
			Many: func(ctx context.Context, tx *store.Tx, l directory.Tally) error {
				return trail.AuditMany(ctx, tx, l.Key, subscription.Entry{
					At: l.First, Latest: l.Last, Times: l.Times, Action: l.Action, Resource: l.Target, Outcome: l.Outcome,
					Request: subscription.Request{Source: l.Source, Principal: subscription.Principal{Object: l.By.Object, Name: l.By.Name}},
				})
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now().Add(-time.Minute)
		for _, text := range []string{"first", "a\x00b", "\xff\xfe", "last"} {
			d.Count(directory.Attempt{Action: directory.ProgramSignsIn, By: directory.Caller{Tenant: tenant, App: text, Name: text}, Source: text, Refused: text})
		}
		if err := d.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		list, err := trail.Trail(t.Context(), subscription.Span{Scope: "/tenants/" + tenant, Since: begun, Limit: 10})
		if err != nil || len(list) != 4 {
			t.Errorf("%d lines, %v", len(list), err)
		}
	})
}
