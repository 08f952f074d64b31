package record_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/control/record"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	link "github.com/tandemgw/tandem/link/record"
)

func TestAManagementRegionKeepsItsCallsApart(t *testing.T) {
	own, west := storetest.New(t), storetest.New(t)
	away := errors.New("the store is away")
	var fails bool
	s := record.Split(own, map[string]*store.Store{"westeurope": west}, func(_ context.Context, gateway string) (string, error) {
		if fails {
			return "", away
		}
		return strings.TrimPrefix(gateway, "in-"), nil
	})
	var entries []link.Entry
	for i, gateway := range []string{"in-westeurope", "in-northeurope", "in-", "", "in-westeurope"} {
		e := entry("n1", i, link.Finished)
		e.Call.Gateway = gateway
		entries = append(entries, e)
	}
	fails = true
	if err := s.Keep(t.Context(), entries); !errors.Is(err, away) {
		t.Fatalf("kept without knowing where: %v", err)
	}
	fails = false
	if err := s.Keep(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	if here, there := list(t, record.New(own), link.Filter{}), list(t, record.New(west), link.Filter{}); len(here) != 3 || len(there) != 2 {
		t.Errorf("%d calls in the deployment's own store and %d in the region's, want 3 and 2", len(here), len(there))
	}
	all, err := s.List(t.Context(), link.Filter{Limit: 4})
	if err != nil || len(all) != 4 {
		t.Fatalf("%d calls (%v), want 4", len(all), err)
	}
	for i := range all[1:] {
		if all[i].Began.Before(all[i+1].Began) {
			t.Error("the newest is not the first")
		}
	}
	if n, err := s.Trim(t.Context(), begin.Add(time.Hour)); err != nil || n != 5 {
		t.Errorf("%d calls were deleted (%v), want 5", n, err)
	}
}
