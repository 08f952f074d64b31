package subscription_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/control/subscription"
)

// TestUsersAndGroupsOfTheDirectoryHaveRoles: by their object IDs, a member for
// as long as the group has it, and by the type that the directory knows.
func TestUsersAndGroupsOfTheDirectoryHaveRoles(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.Store) {
		ctx := t.Context()
		var s *subscription.Set
		d, err := directory.Open(ctx, directory.Config{Store: db, Gone: func(ctx context.Context, tx *store.Tx, id string) error { return s.Gone(ctx, tx, id) }, Tenant: directory.Tenant{ID: tenant, Name: "telecom.example"}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		us := directory.Ourselves(tenant, "")
		u, err := d.CreateUser(ctx, us, directory.User{Name: "ann@telecom.example", DisplayName: "Ann", Enabled: true})
		if err != nil {
			t.Fatal(err)
		}
		g, err := d.CreateGroup(ctx, us, directory.Group{DisplayName: "Operators"})
		if err != nil {
			t.Fatal(err)
		}
		s = subscription.New(subscription.Config{
			Store: db, Tenant: subscription.Tenant{ID: tenant, Name: "Lab"}, Subscriptions: []subscription.Subscription{{ID: sub, Name: "lab"}}, Principals: d,
			Assignments: []subscription.Assignment{{Scope: subscription.GroupPath(sub, "Fixed"), Principal: g.ID, Role: subscription.Reader}}, Log: slog.New(slog.DiscardHandler),
		})
		const read = "Microsoft.VoiceServices/communicationsGateways/read"
		scope := subscription.Path(sub)
		may := func(scope string) bool {
			t.Helper()
			err := s.Authorize(ctx, who(u.ID), scope, read)
			if err != nil && fault.Of(err) != fault.Denied {
				t.Fatal(err)
			}
			return err == nil
		}
		assign := func(id, principal, kind string) (subscription.Assignment, error) {
			a, _, err := s.Assign(ctx, who(bob), subscription.Assignment{ID: id, Scope: scope, Principal: strings.ToUpper(principal), Type: kind, Role: subscription.Reader})
			return a, err
		}
		if may(scope) {
			t.Error("before anything was given")
		}
		const one, two = "00000000-0000-4000-8000-0000000000e1", "00000000-0000-4000-8000-0000000000e2"
		_, err = assign(one, g.ID, "User")
		if fault.Of(err) != fault.Invalid || !strings.Contains(err.Error(), "different from specified PrincipalType") {
			t.Errorf("a group as a user: %v", err)
		}
		if a, err := assign(one, g.ID, ""); err != nil || a.Type != "Group" {
			t.Errorf("%+v, %v", a, err)
		}
		if may(scope) {
			t.Error("before she is in the group")
		}
		if err := d.AddMember(ctx, us, g.ID, u.ID); err != nil {
			t.Fatal(err)
		}
		if !may(scope) || !may(subscription.GroupPath(sub, "Fixed")) {
			t.Error("in the group")
		}
		if err := d.RemoveMember(ctx, us, g.ID, u.ID); err != nil {
			t.Fatal(err)
		}
		if may(scope) || may(subscription.GroupPath(sub, "Fixed")) {
			t.Error("out of the group")
		}
		if a, err := assign(two, u.ID, "user"); err != nil || a.Type != "User" || !may(scope) {
			t.Errorf("%+v, %v", a, err)
		}
		// Who is deleted leaves no role behind.
		if err := d.DeleteUser(ctx, us, u.ID); err != nil {
			t.Fatal(err)
		}
		if err := d.DeleteGroup(ctx, us, g.ID); err != nil {
			t.Fatal(err)
		}
		if list, err := s.Assignments(ctx, scope, false); err != nil || len(list) != 0 {
			t.Errorf("%+v, %v", list, err)
		}
		// One of another directory is what it is said to be.
		if a, err := assign("00000000-0000-4000-8000-0000000000e3", ann, "Group"); err != nil || a.Type != "Group" {
			t.Errorf("%+v, %v", a, err)
		}
	})
}
