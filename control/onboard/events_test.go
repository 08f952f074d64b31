package onboard

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// TestEventsAreBounded: a gateway that drifts and is repaired for years keeps
// the newest, how it began, and of each step the last of its kind.
func TestEventsAreBounded(t *testing.T) {
	kept, sweep := keptEvents, sweepEvents
	keptEvents, sweepEvents = 50, 10
	t.Cleanup(func() { keptEvents, sweepEvents = kept, sweep })
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		b := newBench(t, st, []Step{{ID: "S0", Title: "Zero", Check: func(context.Context, *World) (Finding, error) { return Found(""), nil }}})
		other := b.sub
		other.Service = "TeamsPhoneMobile"
		err := b.cfg.Store.Write(t.Context(), func(tx *store.Tx) error {
			for _, e := range []Event{{What: Began, Who: "anna"}, {What: Began, Who: "berta"}, {Step: "S0", What: DidIt, Detail: "first"}, {Step: "S0", What: DidIt, Detail: "last"}} {
				for _, sub := range []Subject{b.sub, other} {
					if err := tell(t.Context(), tx, sub, e); err != nil {
						return err
					}
				}
			}
			for i := range 1000 {
				what := []Happening{SeenDrift, Repaired}[i%2]
				if err := tell(t.Context(), tx, b.sub, Event{Step: "S0", What: what, Detail: fmt.Sprint("time ", i)}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		events, _, err := b.Follow(t.Context(), b.sub, 0)
		if n := len(events); err != nil || n < 50 || n > 50+10+4 {
			t.Fatalf("%d events are left, %v", n, err)
		}
		if e := events[0]; e.Seq != 1 || e.Who != "anna" {
			t.Errorf("how it began is %+v", e)
		}
		if e := events[len(events)-1]; e.Seq != 1004 || e.Detail != "time 999" {
			t.Errorf("the newest is %+v", e)
		}
		var done []string
		for _, e := range events {
			if e.What == DidIt {
				done = append(done, e.Detail)
			}
		}
		if strings.Join(done, " ") != "last" {
			t.Errorf("done: %v", done)
		}
		if events, _, err = b.Follow(t.Context(), other, 0); err != nil || len(events) != 4 {
			t.Errorf("another procedure has lost events: %v %v", events, err)
		}
		for _, format := range []string{Markdown, HTML} {
			text, err := b.Report(t.Context(), b.sub, Options{}, format)
			if err != nil || !strings.Contains(text, "older events are no longer kept") || !strings.Contains(text, "last") {
				t.Errorf("%s: %v", text, err)
			}
		}
		if text, err := b.Report(t.Context(), other, Options{}, Markdown); err != nil || strings.Contains(text, "older events") {
			t.Errorf("%s: %v", text, err)
		}
	})
}
