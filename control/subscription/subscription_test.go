package subscription_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/control/subscription"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tenant = "00000000-0000-4000-8000-00000000000a"
	sub    = "00000000-0000-4000-8000-0000000000C1" // written with a capital
	ann    = "00000000-0000-4000-8000-0000000000b1"
	bob    = "00000000-0000-4000-8000-0000000000b2"
)

func who(object string) subscription.Principal {
	return subscription.Principal{Tenant: strings.ToUpper(tenant), Object: object}
}

func open(t testing.TB, s *store.Store, fixed ...subscription.Assignment) *subscription.Set {
	return subscription.New(subscription.Config{
		Store: s, Tenant: subscription.Tenant{ID: tenant, Name: "Lab"}, Subscriptions: []subscription.Subscription{{ID: sub, Name: "lab"}}, Assignments: fixed,
		Locations: []subscription.Location{{Name: "West Europe", Management: true}, {Name: "northeurope", DisplayName: "North Europe"}}, Log: slog.New(slog.DiscardHandler),
	})
}

func TestALocationIsKnownInAnySpelling(t *testing.T) {
	s := open(t, nil)
	for _, name := range []string{"westeurope", "West Europe", "WESTEUROPE", "west europe"} {
		if l, err := s.Location(name); err != nil || l.Name != "westeurope" || l.DisplayName != "West Europe" {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
	}
	if _, err := s.Location("mars"); fault.Of(err) != fault.Invalid || !strings.Contains(err.Error(), "westeurope, northeurope") {
		t.Errorf("%v", err)
	}
	if x, err := s.Subscription(strings.ToUpper(sub)); err != nil || x.ID != strings.ToLower(sub) {
		t.Errorf("%+v, %v", x, err)
	}
}

func TestTagsHaveLimits(t *testing.T) {
	many := map[string]string{}
	for i := range 51 {
		many[fmt.Sprint(i)] = ""
	}
	for name, tags := range map[string]map[string]string{
		"fifty-one": many, "no name": {"": "x"}, "a long name": {strings.Repeat("x", 513): ""}, "a long value": {"x": strings.Repeat("y", 257)},
		"a character": {"a<b": ""}, "twice": {"Team": "a", "team": "b"},
	} {
		if err := subscription.CheckTags(tags); fault.Of(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	delete(many, "0")
	many[strings.Repeat("ü", 512)] = strings.Repeat("ü", 256)
	delete(many, "1")
	if err := subscription.CheckTags(many); err != nil {
		t.Error(err)
	}
}

// TestARoleHoldsAtItsScopeAndBelow and nowhere else, not even where names begin
// alike.
func TestARoleHoldsAtItsScopeAndBelow(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.Store) {
		group := subscription.GroupPath(strings.ToLower(sub), "Voice")
		s := open(t, db, subscription.Assignment{Scope: strings.ToUpper(group) + "/", Principal: strings.ToUpper(ann), Role: subscription.Contributor})
		if _, created, err := s.Assign(t.Context(), who(ann), subscription.Assignment{ID: "00000000-0000-4000-8000-0000000000d1", Scope: subscription.Path(sub), Principal: bob, Role: subscription.Reader}); err != nil || !created {
			t.Fatal(created, err)
		}
		const write, read, assign = "Microsoft.VoiceServices/communicationsGateways/write", "Microsoft.VoiceServices/communicationsGateways/READ", "microsoft.authorization/roleAssignments/Write"
		for _, tt := range []struct {
			who    string
			scope  string
			action subscription.Action
			may    bool
		}{
			{ann, group, write, true},
			{ann, strings.ToLower(group) + "/providers/x/y/z", write, true},
			{ann, group + "2", read, false},
			{ann, subscription.Path(sub), read, false},
			{ann, group, assign, false},
			{ann, group, "Microsoft.Authorization/roleAssignments/read", true},
			{bob, group, read, true},
			{bob, group, write, false},
			{bob, "/subscriptions/other", read, false},
			{tenant, group, read, false},
			{"", group, read, false},
		} {
			err := s.Authorize(t.Context(), who(tt.who), tt.scope, tt.action)
			if (err == nil) != tt.may || err != nil && fault.Of(err) != fault.Denied {
				t.Errorf("%s at %s: %s: %v", tt.who, tt.scope, tt.action, err)
			}
		}
		stranger := who(ann)
		stranger.Tenant = bob
		if s.Authorize(t.Context(), stranger, group, read) == nil {
			t.Error("somebody of another tenant is let in")
		}
		// By the application that acts for itself, too.
		if err := s.Authorize(t.Context(), subscription.Principal{Tenant: tenant, Object: "x", App: ann}, group, write); err != nil {
			t.Error(err)
		}
	})
}

func TestAnAssignmentIsMadeOnceAndNeverChanged(t *testing.T) {
	s := open(t, storetest.New(t), subscription.Assignment{Scope: subscription.Path(sub), Principal: ann, Role: subscription.Owner})
	const id, second = "00000000-0000-4000-8000-0000000000d1", "00000000-0000-4000-8000-0000000000d2"
	a := subscription.Assignment{ID: id, Scope: subscription.Path(sub), Principal: bob, Role: subscription.Reader}
	assign := func(a subscription.Assignment) (bool, fault.Kind, error) {
		_, created, err := s.Assign(t.Context(), who(ann), a)
		return created, fault.Of(err), err
	}
	if created, _, err := assign(a); !created || err != nil {
		t.Fatal(created, err)
	}
	if created, _, err := assign(a); created || err != nil {
		t.Errorf("the same again: %v %v", created, err)
	}
	for name, change := range map[string]func(*subscription.Assignment){
		"another role":           func(a *subscription.Assignment) { a.Role = subscription.Owner },
		"the same by another ID": func(a *subscription.Assignment) { a.ID = second },
	} {
		b := a
		change(&b)
		if _, kind, err := assign(b); kind != fault.Conflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*subscription.Assignment){
		"no GUID":      func(a *subscription.Assignment) { a.ID = "x" },
		"nobody":       func(a *subscription.Assignment) { a.Principal = "" },
		"no such role": func(a *subscription.Assignment) { a.Role = "God" },
	} {
		b := a
		change(&b)
		if _, kind, err := assign(b); kind != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	all, err := s.Assignments(t.Context(), subscription.GroupPath(sub, "x"), false)
	if err != nil || len(all) != 2 || !all[0].Fixed {
		t.Fatalf("%+v, %v", all, err)
	}
	if _, err := s.Unassign(t.Context(), all[0].Scope, all[0].ID); fault.Of(err) != fault.Conflict {
		t.Errorf("of the configuration: %v", err)
	}
	if gone, err := s.Unassign(t.Context(), subscription.GroupPath(sub, "x"), id); err != nil || gone.ID != "" {
		t.Errorf("at another scope: %+v %v", gone, err)
	}
	if gone, err := s.Unassign(t.Context(), subscription.Path(sub), id); err != nil || gone.ID != id {
		t.Errorf("%+v %v", gone, err)
	}
}

// drawer is what is in groups: each thing needs two looks to go.
type drawer struct {
	mu     sync.Mutex
	left   map[string]int // mu: looks until it is gone
	broken int            // mu: errors before anything works
}

func (d *drawer) In(context.Context, string, string) (ids []string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken > 0 {
		d.broken--
		return nil, errors.New("the database is away")
	}
	for id := range d.left {
		ids = append(ids, id)
	}
	return ids, nil
}

func (d *drawer) Remove(_ context.Context, actor, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if actor != ann {
		return errors.New("by whom?")
	}
	if d.left[id]--; d.left[id] <= 0 {
		delete(d.left, id)
	}
	return nil
}

func TestAGroupGoesWhenItIsEmpty(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.Store) {
		s := open(t, db)
		ops, err := operation.New(operation.Config{Store: db, Retry: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		d := &drawer{left: map[string]int{"a": 2, "b": 1}, broken: 2}
		s.Register(ops, d)
		if err := ops.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer ops.Close()
		put := func(name string) error {
			_, _, err := s.PutGroup(t.Context(), subscription.Group{Subscription: sub, Name: name, Location: "westeurope"})
			return err
		}
		for _, name := range []string{"Voice", "voice2"} {
			if err := put(name); err != nil {
				t.Fatal(err)
			}
		}
		op, err := s.DeleteGroup(t.Context(), who(ann), sub, "VOICE")
		if err != nil {
			t.Fatal(err)
		}
		err = db.Write(t.Context(), func(tx *store.Tx) error { return s.Place(t.Context(), tx, sub, "voice") })
		if k := fault.Of(err); k != fault.Conflict && k != fault.NotFound {
			t.Errorf("something is put into a group that goes: %v", err)
		}
		for deadline := time.Now().Add(20 * time.Second); !op.Status.Ended(); {
			changed := ops.Watch(op.ID)
			if op, err = ops.Get(t.Context(), op.ID); err != nil {
				t.Fatal(err)
			}
			select {
			case <-changed:
			case <-time.After(time.Until(deadline)):
				t.Fatalf("%+v", op)
			}
		}
		if op.Status != operation.Succeeded || len(d.left) > 0 {
			t.Errorf("%+v, left %v", op, d.left)
		}
		if _, err := s.Group(t.Context(), sub, "voice"); !errors.Is(err, subscription.ErrNoGroup) {
			t.Errorf("%v", err)
		}
		if _, err := s.Group(t.Context(), sub, "voice2"); err != nil {
			t.Errorf("another group: %v", err)
		}
		if _, err := s.DeleteGroup(t.Context(), who(ann), sub, "voice"); !errors.Is(err, subscription.ErrNoGroup) {
			t.Errorf("again: %v", err)
		}
	})
}

// TestRolesGoWithTheirGroupInAnyScript: databases know the case of ASCII only,
// and the next group of the name is another one.
func TestRolesGoWithTheirGroupInAnyScript(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.Store) {
		s := open(t, db)
		ops, err := operation.New(operation.Config{Store: db, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		s.Register(ops, &drawer{})
		if err := ops.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(ops.Close)
		if _, _, err := s.PutGroup(t.Context(), subscription.Group{Subscription: strings.ToLower(sub), Name: "Büro", Location: "westeurope"}); err != nil {
			t.Fatal(err)
		}
		for i, scope := range []string{subscription.GroupPath(strings.ToLower(sub), "BÜRO"), subscription.GroupPath(strings.ToLower(sub), "BÜRO2"), subscription.Path(strings.ToLower(sub))} {
			if _, _, err := s.Assign(t.Context(), who(ann), subscription.Assignment{ID: fmt.Sprintf("00000000-0000-4000-8000-0000000000d%d", i), Scope: scope, Principal: bob, Role: subscription.Owner}); err != nil {
				t.Fatal(err)
			}
		}
		op, err := s.DeleteGroup(t.Context(), who(ann), sub, "büro")
		if err != nil {
			t.Fatal(err)
		}
		for !op.Status.Ended() {
			changed := ops.Watch(op.ID)
			if op, err = ops.Get(t.Context(), op.ID); err != nil {
				t.Fatal(err)
			}
			if !op.Status.Ended() {
				<-changed
			}
		}
		left, err := s.Assignments(t.Context(), subscription.Path(strings.ToLower(sub)), true)
		if err != nil || len(left) != 2 {
			t.Errorf("%+v, %v", left, err)
		}
	})
}

// TestAnAssignmentIsOfAKnownType: what it says is shown with every list.
func TestAnAssignmentIsOfAKnownType(t *testing.T) {
	s := open(t, storetest.New(t))
	a := subscription.Assignment{ID: "00000000-0000-4000-8000-0000000000d1", Scope: subscription.Path(strings.ToLower(sub)), Principal: bob, Role: subscription.Owner}
	for _, kind := range []string{"Robot", strings.Repeat("x", 1<<20)} {
		a.Type = kind
		if _, _, err := s.Assign(t.Context(), who(ann), a); fault.Of(err) != fault.Invalid || len(err.Error()) > 300 {
			t.Errorf("%.20s: %.300v", kind, err)
		}
	}
	a.Type = "user"
	if got, created, err := s.Assign(t.Context(), who(ann), a); err != nil || !created || got.Type != "User" {
		t.Errorf("%+v, %t, %v", got, created, err)
	}
}

// TestWhoManagesAGroupIsNoNovel.
func TestWhoManagesAGroupIsNoNovel(t *testing.T) {
	s := open(t, storetest.New(t))
	g := subscription.Group{Subscription: strings.ToLower(sub), Name: "voice", Location: "westeurope", ManagedBy: strings.Repeat("x", 2049)}
	if _, _, err := s.PutGroup(t.Context(), g); fault.Of(err) != fault.Invalid {
		t.Error(err)
	}
	g.ManagedBy = g.ManagedBy[:2048]
	if _, _, err := s.PutGroup(t.Context(), g); err != nil {
		t.Error(err)
	}
}

func TestTheTrailIsReadByScope(t *testing.T) {
	s := open(t, storetest.New(t))
	ctx := subscription.WithRequest(t.Context(), subscription.Request{ID: "r", Correlation: "c", Principal: who(ann)})
	for _, resource := range []string{"/subscriptions/x/A", "/subscriptions/x/a/b", "/subscriptions/x/ab"} {
		if err := s.Record(ctx, subscription.Entry{Action: "do", Resource: resource, Outcome: "Denied"}); err != nil {
			t.Fatal(err)
		}
	}
	all := subscription.Span{Scope: "/Subscriptions/X/a", Since: time.Now().Add(-time.Minute), Limit: 10}
	trail, err := s.Trail(t.Context(), all)
	if err != nil || len(trail) != 2 || trail[0].Resource != "/subscriptions/x/A" || trail[0].Request.Correlation != "c" || trail[0].Request.Principal.Object != ann {
		t.Errorf("%+v, %v", trail, err)
	}
	second := all
	second.After = trail[0].ID
	if rest, err := s.Trail(t.Context(), second); err != nil || len(rest) != 1 || rest[0].ID != trail[1].ID {
		t.Errorf("after the first: %+v, %v", rest, err)
	}
	for name, change := range map[string]func(*subscription.Span){
		"later":  func(p *subscription.Span) { p.Since = time.Now().Add(time.Minute) },
		"before": func(p *subscription.Span) { p.Until = time.Now().Add(-time.Second * 30) },
	} {
		span := all
		change(&span)
		if trail, err := s.Trail(t.Context(), span); err != nil || len(trail) != 0 {
			t.Errorf("%s: %+v, %v", name, trail, err)
		}
	}
}

// A line of many attempts is as new as the last of them: what goes on now is not
// cut off because it began a while ago.
func TestTheNewestOfTheTrailAreThoseThatGoOn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := open(t, st)
		now := time.Now()
		err := st.Write(t.Context(), func(tx *store.Tx) error {
			for i, e := range []subscription.Entry{
				{At: now.Add(-50 * time.Minute), Latest: now, Times: 1000, Action: "guess"},
				{At: now.Add(-2 * time.Minute), Latest: now.Add(-2 * time.Minute), Times: 1, Action: "other"},
				{At: now.Add(-time.Minute), Latest: now.Add(-time.Minute), Times: 1, Action: "another"},
			} {
				e.Resource, e.Outcome = "/tenants/x/signIns", "Denied"
				if err := s.AuditMany(t.Context(), tx, strconv.Itoa(i), e); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		list, err := s.Trail(t.Context(), subscription.Span{Scope: "/tenants/x", Since: now.Add(-time.Hour), Limit: 2, Last: true})
		if err != nil || len(list) != 2 || list[0].Action != "another" || list[1].Action != "guess" {
			t.Errorf("%+v, %v", list, err)
		}
	})
}
