package directory_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
)

// TestManyDoTheSameAtOnce: one of them does it, and the others are told why
// not, or that it is done.
func TestManyDoTheSameAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		synergy, err := w.AddPrincipal(ctx, w.us, directory.SynergyID, "")
		if err != nil {
			t.Fatal(err)
		}
		role, _ := synergy.Role("Data.Read")
		group, err := w.CreateGroup(ctx, w.us, directory.Group{DisplayName: "Operators"})
		if err != nil {
			t.Fatal(err)
		}
		a, err := w.CreateApplication(ctx, w.us, directory.Application{DisplayName: "Billing Service", Required: []directory.RequiredAccess{
			{Resource: directory.SynergyID, Access: []directory.Access{{ID: role.ID, Type: directory.RoleAccess}, {ID: scopeID(synergy, "user_impersonation"), Type: directory.ScopeAccess}}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			what string
			all  bool // may succeed
			do   func(i int) error
		}{
			{"a user", false, func(int) error {
				_, err := w.CreateUser(ctx, w.global, directory.User{Name: "ann@telecom.example", DisplayName: "Ann"})
				return err
			}},
			{"a principal", false, func(int) error { _, err := w.AddPrincipal(ctx, w.apps, directory.GraphToolsID, ""); return err }},
			{"a domain", false, func(int) error { _, err := w.AddDomain(ctx, w.global, "voice.example.net"); return err }},
			{"a member", false, func(int) error { return w.AddMember(ctx, w.global, group.ID, w.plain.Object) }},
			{"an assignment", false, func(int) error {
				_, err := w.Assign(ctx, w.apps, directory.Assignment{Principal: w.plain.Object, Resource: synergy.ID, Role: role.ID})
				return err
			}},
			{"an identifier URI", false, func(i int) error {
				_, err := w.CreateApplication(ctx, w.apps, directory.Application{DisplayName: fmt.Sprint(i), URIs: []string{"api://mine"}})
				return err
			}},
			{"a directory role", true, func(int) error { return w.AssignDirectoryRole(ctx, w.global, directory.GlobalReader, w.plain.Object) }},
			{"a consent", true, func(int) error { _, err := w.Consent(ctx, w.apps, a.AppID); return err }},
		} {
			var all sync.WaitGroup
			errs := make([]error, 8)
			for i := range errs {
				all.Go(func() { errs[i] = tt.do(i) })
			}
			all.Wait()
			done := 0
			for _, err := range errs {
				if err == nil {
					done++
				} else if k := fault.Of(err); k != fault.Invalid && k != fault.Conflict || strings.Contains(err.Error(), "SQLSTATE") {
					t.Errorf("%s: %v", tt.what, err)
				}
			}
			if done == 0 || !tt.all && done != 1 || tt.all && done != len(errs) {
				t.Errorf("%s: %d of them did it: %v", tt.what, done, errs)
			}
		}
		if list, err := w.AssignedTo(ctx, w.us, synergy.ID); err != nil || len(list) != 2 {
			t.Errorf("%+v, %v", list, err)
		}
		if list, err := w.Grants(ctx, w.us); err != nil || len(list) != 1 {
			t.Errorf("%+v, %v", list, err)
		}
	})
}
