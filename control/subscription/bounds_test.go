package subscription

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// A subscription's groups and assignments are bounded, as Azure Resource Manager
// bounds them.
func TestGroupsAndAssignmentsAreBounded(t *testing.T) {
	groups, roles := maxGroups, maxAssignments
	defer func() { maxGroups, maxAssignments = groups, roles }()
	maxGroups, maxAssignments = 2, 3
	s := bounded(t)
	put := func(name string) error {
		_, _, err := s.PutGroup(t.Context(), Group{Subscription: boundedSub, Name: name, Location: "westeurope"})
		return err
	}
	for _, name := range []string{"a", "b", "A"} { // the last is there already
		if err := put(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := put("c"); fault.Of(err) != fault.Conflict || !strings.Contains(err.Error(), "2 resource groups") {
		t.Errorf("one more group: %v", err)
	}
	assign := func(i int, scope string) error {
		id := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		_, _, err := s.Assign(t.Context(), Principal{}, Assignment{ID: id, Scope: scope, Principal: id, Role: Reader})
		return err
	}
	for i, scope := range []string{Path(boundedSub), GroupPath(boundedSub, "a"), GroupPath(boundedSub, "b")} {
		if err := assign(i, scope); err != nil {
			t.Fatal(err)
		}
	}
	if err := assign(9, GroupPath(boundedSub, "a")); fault.Of(err) != fault.Conflict || !strings.Contains(err.Error(), "has 3") {
		t.Errorf("one more assignment: %v", err)
	}
	if err := assign(9, Path(boundedOther)); err != nil {
		t.Errorf("in another subscription: %v", err)
	}
}

func TestTheTrailIsTrimmed(t *testing.T) {
	s, now := bounded(t), time.Now()
	for i := range 10 {
		if err := s.Record(t.Context(), Entry{At: now.Add(-time.Duration(i) * time.Hour), Action: "x/write", Resource: Path(boundedSub), Outcome: "Succeeded"}); err != nil {
			t.Fatal(err)
		}
	}
	n, err := s.TrimTrail(t.Context(), now.Add(-4*time.Hour-time.Minute))
	if err != nil || n != 5 {
		t.Fatalf("%d lines were deleted (%v), want 5", n, err)
	}
}

const (
	boundedSub   = "00000000-0000-4000-8000-0000000000b1"
	boundedOther = "00000000-0000-4000-8000-0000000000b2"
)

func bounded(t *testing.T) *Set {
	t.Helper()
	return New(Config{
		Store: storetest.New(t), Subscriptions: []Subscription{{ID: boundedSub}, {ID: boundedOther}},
		Locations: []Location{{Name: "westeurope", Management: true}},
	})
}
