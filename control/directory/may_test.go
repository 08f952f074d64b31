package directory_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// TestWhoMayDoWhat is the whole table: each thing that can be done, and who of
// those with one role each may (Microsoft Entra docs, "Microsoft Entra built-in
// roles"). What is denied changes nothing and stands in the trail.
func TestWhoMayDoWhat(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		victim := w.person("victim", "")
		group, err := w.CreateGroup(ctx, w.us, directory.Group{DisplayName: "Voice"})
		if err != nil {
			t.Fatal(err)
		}
		a, p, _ := w.program("Billing Service")
		synergy, err := w.AddPrincipal(ctx, w.us, directory.SynergyID, "Operator Connect")
		if err != nil {
			t.Fatal(err)
		}
		dataRead, _ := synergy.Role("Data.Read")
		everyone, administrators, lookers := "global apps cloud reader plain", "global apps cloud", "global apps cloud reader"
		for _, tt := range []struct {
			what string
			may  string
			do   func(c directory.Caller) error
		}{
			{"read users", everyone, func(c directory.Caller) error { _, err := w.Users(ctx, c); return err }},
			{"read one user", everyone, func(c directory.Caller) error { _, err := w.User(ctx, c, victim.Object); return err }},
			{"read groups", everyone, func(c directory.Caller) error { _, err := w.Groups(ctx, c); return err }},
			{"read members", everyone, func(c directory.Caller) error { _, err := w.Members(ctx, c, group.ID); return err }},
			{"read principals", everyone, func(c directory.Caller) error { _, err := w.Principals(ctx, c); return err }},
			{"read app role assignments", everyone, func(c directory.Caller) error { _, err := w.AssignedTo(ctx, c, synergy.ID); return err }},
			{"read domains", everyone, func(c directory.Caller) error { _, err := w.Domains(ctx, c); return err }},
			{"read directory roles", everyone, func(c directory.Caller) error {
				_, err := w.RoleMembers(ctx, c, directory.GlobalAdministrator)
				return err
			}},
			{"read registrations with the hints of their secrets", lookers, func(c directory.Caller) error { _, err := w.Applications(ctx, c); return err }},
			{"read one registration", lookers, func(c directory.Caller) error { _, err := w.Application(ctx, c, a.ID); return err }},
			{"read grants", lookers, func(c directory.Caller) error { _, err := w.Grants(ctx, c); return err }},

			{"make a user", "global", func(c directory.Caller) error {
				_, err := w.CreateUser(ctx, c, directory.User{Name: "by-" + w.name(c) + "@telecom.example", DisplayName: "New", Enabled: true})
				return err
			}},
			{"change a user", "global", func(c directory.Caller) error {
				_, err := w.UpdateUser(ctx, c, victim.Object, func(u *directory.User) error { u.Surname = w.name(c); return nil })
				return err
			}},
			{"make a group", "global", func(c directory.Caller) error {
				_, err := w.CreateGroup(ctx, c, directory.Group{DisplayName: "by " + w.name(c)})
				return err
			}},
			{"fill a group", "global", func(c directory.Caller) error { return w.AddMember(ctx, c, group.ID, victim.Object) }},
			{"empty a group", "global", func(c directory.Caller) error { return w.RemoveMember(ctx, c, group.ID, victim.Object) }},
			{"give a directory role", "global", func(c directory.Caller) error {
				return w.AssignDirectoryRole(ctx, c, directory.GlobalReader, victim.Object)
			}},
			{"take a directory role", "global", func(c directory.Caller) error {
				return w.UnassignDirectoryRole(ctx, c, directory.GlobalReader, victim.Object)
			}},
			{"make an application", administrators, func(c directory.Caller) error {
				_, err := w.CreateApplication(ctx, c, directory.Application{DisplayName: "by " + w.name(c)})
				return err
			}},
			{"change an application", administrators, func(c directory.Caller) error {
				_, err := w.UpdateApplication(ctx, c, a.ID, func(a *directory.Application) error { a.Description = w.name(c); return nil })
				return err
			}},
			{"make a secret", administrators, func(c directory.Caller) error {
				_, _, err := w.AddSecret(ctx, c, a.ID, "by "+w.name(c), time.Now().Add(time.Hour))
				return err
			}},
			{"make a federated credential", administrators, func(c directory.Caller) error {
				_, err := w.AddFederated(ctx, c, a.ID, directory.FederatedCredential{Name: w.name(c), Issuer: "https://issuer.example", Subject: w.name(c)})
				return err
			}},
			{"change a principal", administrators, func(c directory.Caller) error {
				_, err := w.UpdatePrincipal(ctx, c, p.ID, func(p *directory.ServicePrincipal) error { p.Tags = []string{w.name(c)}; return nil })
				return err
			}},
			{"assign an app role", administrators, func(c directory.Caller) error {
				x, err := w.Assign(ctx, c, directory.Assignment{Principal: victim.Object, Resource: synergy.ID, Role: dataRead.ID})
				if err == nil {
					err = w.Unassign(ctx, c, x.ID)
				}
				return err
			}},
			{"assign a role of Microsoft Graph", "global", func(c directory.Caller) error {
				g, err := w.PrincipalOf(ctx, w.us, directory.GraphID)
				if err != nil {
					return err
				}
				r, _ := g.Role("User.Read.All")
				x, err := w.Assign(ctx, c, directory.Assignment{Principal: p.ID, Resource: g.ID, Role: r.ID})
				if err == nil {
					err = w.Unassign(ctx, c, x.ID)
				}
				return err
			}},
			{"consent for all", administrators, func(c directory.Caller) error { _, err := w.Consent(ctx, c, a.AppID); return err }},
			{"grant scopes to all", administrators, func(c directory.Caller) error { return w.grantAll(c, p, "User.Read.All") }},
			{"grant the scopes that make an administrator", "global", func(c directory.Caller) error {
				return w.grantAll(c, p, "Directory.AccessAsUser.All")
			}},
			{"add a domain", "global", func(c directory.Caller) error {
				d, err := w.AddDomain(ctx, c, w.name(c)+".example.net")
				if err == nil {
					err = w.RemoveDomain(ctx, c, d.Name)
				}
				return err
			}},
			{"look for a domain's record", "global", func(c directory.Caller) error { _, err := w.VerifyDomain(ctx, c, "telecom.example"); return err }},
		} {
			for name, c := range w.people() {
				before := w.state()
				err := tt.do(c)
				switch may := slices.Contains(strings.Fields(tt.may), name); {
				case may && err != nil:
					t.Errorf("%s may not %s: %v", name, tt.what, err)
				case !may && fault.Of(err) != fault.Denied:
					t.Errorf("%s may %s: %v", name, tt.what, err)
				case !may && w.state() != before:
					t.Errorf("%s was denied to %s, and it is done", name, tt.what)
				}
			}
		}
		if !w.told(w.plain, "microsoft.directory/applications/credentials/update", "Denied") || !w.told(w.apps, "microsoft.directory/applications/credentials/update", "Succeeded") {
			t.Error("the trail lacks a line")
		}
	})
}

func (w *world) people() map[string]directory.Caller {
	return map[string]directory.Caller{"global": w.global, "apps": w.apps, "cloud": w.cloud, "reader": w.reader, "plain": w.plain}
}

func (w *world) name(c directory.Caller) string {
	name, _, _ := strings.Cut(c.Name, "@")
	return name
}

// grantAll grants a scope of Microsoft Graph for everybody, and takes it back.
func (w *world) grantAll(c directory.Caller, p directory.ServicePrincipal, scope string) error {
	g, err := w.PrincipalOf(w.Context(), w.us, directory.GraphID)
	if err != nil {
		return err
	}
	x, err := w.AddGrant(w.Context(), c, directory.Grant{Client: p.ID, ConsentType: directory.AllPrincipals, Resource: g.ID, Scopes: []string{scope}})
	if err == nil {
		err = w.Revoke(w.Context(), c, x.ID)
	}
	return err
}

// state is all there is, but for what the trail has.
func (w *world) state() string {
	var all []string
	err := w.store.Read(w.Context(), func(tx *store.Tx) error {
		for _, q := range []string{
			"SELECT id || doc FROM directory_user ORDER BY 1", "SELECT id || doc FROM directory_group ORDER BY 1", "SELECT grp || member FROM directory_member ORDER BY 1",
			"SELECT role || member FROM directory_role ORDER BY 1", "SELECT id || doc FROM application ORDER BY 1", "SELECT id FROM application_secret ORDER BY 1",
			"SELECT id || doc FROM service_principal ORDER BY 1", "SELECT id FROM app_role_assignment ORDER BY 1", "SELECT id || scope FROM permission_grant ORDER BY 1",
			"SELECT tenant || name FROM directory_domain ORDER BY 1",
		} {
			rows, err := store.All(w.Context(), tx, func(scan store.Scan) (s string, err error) { return s, scan(&s) }, q)
			if err != nil {
				return err
			}
			all = append(all, rows...)
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return strings.Join(all, "\n")
}

// TestAnApplicationAdministratorCannotBecomeGlobal by any of the ways that are
// known: the secret of a program that may everything, its federated
// credentials, its redirect URIs, its roles, a consent, the user that has them,
// a group, or a program of its own.
func TestAnApplicationAdministratorCannotBecomeGlobal(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		mighty, mightyPrincipal, _ := w.program("Mighty", "RoleManagement.ReadWrite.Directory")
		crowned, crownedPrincipal, _ := w.program("Crowned")
		if err := w.AssignDirectoryRole(ctx, w.us, directory.GlobalAdministrator, crownedPrincipal.ID); err != nil {
			t.Fatal(err)
		}
		assigner, _, _ := w.program("Assigner", "AppRoleAssignment.ReadWrite.All")
		trusted, trustedPrincipal, _ := w.program("Trusted") // an administrator's consent makes it one
		graph, err := w.PrincipalOf(ctx, w.us, directory.GraphID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.AddGrant(ctx, w.global, directory.Grant{Client: trustedPrincipal.ID, ConsentType: directory.OnePrincipal, Principal: w.global.Object, Resource: graph.ID, Scopes: []string{"Directory.AccessAsUser.All"}}); err != nil {
			t.Fatal(err)
		}
		power, _ := graph.Role("RoleManagement.ReadWrite.Directory")
		mine, err := w.CreateApplication(ctx, w.apps, directory.Application{DisplayName: "Mine", Required: []directory.RequiredAccess{{Resource: directory.GraphID, Access: []directory.Access{{ID: power.ID, Type: directory.RoleAccess}}}}})
		if err != nil {
			t.Fatal(err)
		}
		mineToo, err := w.CreateApplication(ctx, w.apps, directory.Application{DisplayName: "Mine too", Required: []directory.RequiredAccess{{Resource: directory.GraphID, Access: []directory.Access{{ID: scopeID(graph, "Directory.AccessAsUser.All"), Type: directory.ScopeAccess}}}}})
		if err != nil {
			t.Fatal(err)
		}
		principal, err := w.AddPrincipal(ctx, w.apps, mine.AppID, "")
		if err != nil {
			t.Fatal(err)
		}
		onboarding, err := w.PrincipalOf(ctx, w.us, directory.OnboardingID)
		if err != nil {
			t.Fatal(err)
		}
		before := w.state()
		for _, c := range []directory.Caller{w.apps, w.cloud} {
			for _, a := range []directory.Application{mighty, crowned, assigner, trusted} {
				_, value, err := w.AddSecret(ctx, c, a.ID, "back door", time.Time{})
				wants(t, "a secret of "+a.DisplayName, err, fault.Denied)
				if value != "" {
					t.Error("who is denied gets a secret")
				}
				_, err = w.AddFederated(ctx, c, a.ID, directory.FederatedCredential{Name: "back-door", Issuer: "https://evil.example", Subject: "x"})
				wants(t, "a federated credential of "+a.DisplayName, err, fault.Denied)
				_, err = w.UpdateApplication(ctx, c, a.ID, func(a *directory.Application) error {
					a.Redirects.Web = []string{"https://evil.example/"}
					return nil
				})
				wants(t, "the redirect URI of "+a.DisplayName, err, fault.Denied)
			}
			_, err := w.Assign(ctx, c, directory.Assignment{Principal: principal.ID, Resource: graph.ID, Role: power.ID})
			wants(t, "a role of Microsoft Graph", err, fault.Denied)
			_, err = w.Consent(ctx, c, mine.AppID)
			wants(t, "consent to a role of Microsoft Graph", err, fault.Denied)
			_, err = w.Consent(ctx, c, mineToo.AppID)
			wants(t, "consent to act as any user", err, fault.Denied)
			wants(t, "a directory role", w.AssignDirectoryRole(ctx, c, directory.GlobalAdministrator, c.Object), fault.Denied)
			_, err = w.UpdateUser(ctx, c, w.global.Object, func(u *directory.User) error { u.Name = "mine@telecom.example"; return nil })
			wants(t, "the administrator's name", err, fault.Denied)
			wants(t, "the administrator away", w.DeleteUser(ctx, c, w.global.Object), fault.Denied)
			_, err = w.UpdatePrincipal(ctx, c, mightyPrincipal.ID, func(p *directory.ServicePrincipal) error { p.Enabled = false; return nil })
			wants(t, "a mighty principal", err, fault.Denied)
			wants(t, "our own principal", w.DeletePrincipal(ctx, c, onboarding.ID), fault.Conflict)
			if err := w.Unassign(ctx, c, assignmentOf(w, onboarding.ID)); err == nil {
				t.Error("what our own steps may do is taken away")
			}
		}
		if w.state() != before {
			t.Error("something of it is done all the same")
		}
	})
}

func scopeID(p directory.ServicePrincipal, value string) string {
	x, _ := p.Scope(value)
	return x.ID
}

func assignmentOf(w *world, object string) string {
	w.Helper()
	list, err := w.AssignmentsOf(w.Context(), w.us, object)
	if err != nil || len(list) == 0 {
		w.Fatal(list, err)
	}
	return list[0].ID
}

// TestAProgramMayWhatItHoldsNow: of its token and of what it holds now, both
// must say so; and a program that acts for a user may no more than either.
func TestAProgramMayWhatItHoldsNow(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		_, p, c := w.program("Robot", "Application.Read.All")
		if _, err := w.Applications(ctx, c); err != nil {
			t.Errorf("with both: %v", err)
		}
		forged := c
		forged.AppRoles = append(slices.Clone(c.AppRoles), "User.ReadWrite.All", "RoleManagement.ReadWrite.Directory")
		_, err := w.CreateUser(ctx, forged, directory.User{Name: "x@telecom.example", DisplayName: "X"})
		wants(t, "with the token alone", err, fault.Denied)
		w.give(p.ID, directory.GraphID, "User.ReadWrite.All")
		_, err = w.CreateUser(ctx, c, directory.User{Name: "x@telecom.example", DisplayName: "X"})
		wants(t, "with a token from before", err, fault.Denied)
		c.AppRoles = append(slices.Clip(c.AppRoles), "User.ReadWrite.All")
		if _, err = w.CreateUser(ctx, c, directory.User{Name: "x@telecom.example", DisplayName: "X"}); err != nil {
			t.Errorf("with a new token: %v", err)
		}
		_, err = w.UpdateUser(ctx, c, w.global.Object, func(u *directory.User) error { u.Enabled = false; return nil })
		wants(t, "an administrator changed by a program that may change users", err, fault.Denied)
		if err := w.Unassign(ctx, w.us, assignmentOf(w, p.ID)); err != nil {
			t.Fatal(err)
		}
		_, err = w.Applications(ctx, c)
		wants(t, "after the role was taken away", err, fault.Denied)

		delegated := w.global
		delegated.App, delegated.Scopes = directory.GraphToolsID, []string{"User.Read"}
		_, err = w.Applications(ctx, delegated)
		wants(t, "an administrator's program that may read who that is", err, fault.Denied)
		if me, err := w.User(ctx, delegated, delegated.Object); err != nil || me.ID != delegated.Object {
			t.Errorf("who one is: %v", err)
		}
		delegated.Scopes = []string{"Application.Read.All"}
		if _, err = w.Applications(ctx, delegated); err != nil {
			t.Errorf("one that may read applications: %v", err)
		}
		weak := w.plain
		weak.App, weak.Scopes = directory.GraphToolsID, []string{"Application.ReadWrite.All", "Directory.AccessAsUser.All"}
		_, err = w.CreateApplication(ctx, weak, directory.Application{DisplayName: "X"})
		wants(t, "a program that may more than its user", err, fault.Denied)

		// Who is disabled may nothing, and neither may a program that is.
		if _, err := w.UpdateUser(ctx, w.us, w.apps.Object, func(u *directory.User) error { u.Enabled = false; return nil }); err != nil {
			t.Fatal(err)
		}
		_, err = w.Applications(ctx, w.apps)
		wants(t, "a user who is disabled", err, fault.Denied)
		tool, err := w.AddPrincipal(ctx, w.us, directory.GraphToolsID, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.UpdatePrincipal(ctx, w.us, tool.ID, func(p *directory.ServicePrincipal) error { p.Enabled = false; return nil }); err != nil {
			t.Fatal(err)
		}
		_, err = w.Applications(ctx, delegated)
		wants(t, "a program that is disabled", err, fault.Denied)
		_, err = w.Users(ctx, directory.Caller{Tenant: strings.ToLower(tenant)})
		wants(t, "nobody", err, fault.Denied)
		_, err = w.Users(ctx, directory.Caller{Tenant: strings.ToLower(tenant), Object: "' OR 1=1 --"})
		wants(t, "somebody made of SQL", err, fault.Denied)
	})
}

// TestTheDefaultRoleAtMicrosoftGraph is taken away again from users and groups.
func TestTheDefaultRoleAtMicrosoftGraph(t *testing.T) {
	w := build(t, storetest.New(t))
	resource, err := w.PrincipalOf(t.Context(), w.us, directory.GraphID)
	if err != nil {
		t.Fatal(err)
	}
	a, err := w.Assign(t.Context(), w.us, directory.Assignment{Principal: w.plain.Object, Resource: resource.ID, Role: directory.DefaultRole})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Unassign(t.Context(), w.us, a.ID); err != nil {
		t.Error(err)
	}
}

// TestTenantsSeeNothingOfEachOther: an administrator of one is a stranger in
// the other, and finds none of its objects by their IDs.
func TestTenantsSeeNothingOfEachOther(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		there := directory.Ourselves(other, "test")
		u, err := w.CreateUser(ctx, there, directory.User{Name: "boss@another-telecom.tandem.internal", DisplayName: "Boss", Enabled: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.AssignDirectoryRole(ctx, there, directory.GlobalAdministrator, u.ID); err != nil {
			t.Fatal(err)
		}
		boss := directory.Caller{Tenant: other, Object: u.ID}
		a, p, _ := w.program("Billing Service")
		inside := boss
		inside.Tenant = strings.ToLower(tenant)
		_, err = w.Users(ctx, inside)
		wants(t, "the other tenant's users", err, fault.Denied)
		_, err = w.Application(ctx, boss, a.ID)
		wants(t, "the other tenant's application", err, fault.NotFound)
		_, _, err = w.AddSecret(ctx, boss, a.AppID, "", time.Time{})
		wants(t, "a secret of it", err, fault.NotFound)
		_, err = w.AddPrincipal(ctx, boss, a.AppID, "")
		wants(t, "a principal of a single-tenant application of another", err, fault.Invalid)
		wants(t, "the other tenant's principal", w.DeletePrincipal(ctx, boss, p.ID), fault.NotFound)
		wants(t, "a role for a user of the other", w.AssignDirectoryRole(ctx, boss, directory.GlobalReader, w.plain.Object), fault.NotFound)
		wants(t, "an assignment of the other", w.Unassign(ctx, boss, assignmentOf(w, directory.ObjectID(tenant, directory.OnboardingID))), fault.NotFound)
		if list, err := w.Applications(ctx, boss); err != nil || len(list) != 0 {
			t.Errorf("%v, %v", list, err)
		}
		if _, err := w.CreateUser(ctx, boss, directory.User{Name: "x@telecom.example", DisplayName: "X"}); fault.Of(err) != fault.Invalid {
			t.Errorf("a name in the other's domain: %v", err)
		}
		_, err = w.CreateGroup(ctx, directory.Ourselves("telecom.example", ""), directory.Group{DisplayName: "X"})
		wants(t, "a tenant by its name", err, fault.NotFound)
	})
}

// TestUsersConsentForThemselvesAlone, in person, and only to what needs no
// administrator.
func TestUsersConsentForThemselvesAlone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		_, p, _ := w.program("Phone Book")
		g, err := w.PrincipalOf(ctx, w.us, directory.GraphID)
		if err != nil {
			t.Fatal(err)
		}
		ask := func(c directory.Caller, user, kind string, scopes ...string) error {
			_, err := w.Allow(ctx, c, directory.Grant{Client: p.ID, ConsentType: kind, Principal: user, Resource: g.ID, Scopes: scopes})
			return err
		}
		if err := ask(w.plain, w.plain.Object, directory.OnePrincipal, "User.Read", "openid"); err != nil {
			t.Error(err)
		}
		if err := ask(w.plain, w.plain.Object, directory.OnePrincipal, "User.Read"); err != nil {
			t.Errorf("once more: %v", err)
		}
		wants(t, "what needs an administrator", ask(w.plain, w.plain.Object, directory.OnePrincipal, "User.Read.All"), fault.Denied)
		wants(t, "for all", ask(w.plain, "", directory.AllPrincipals, "User.Read"), fault.Denied)
		wants(t, "for another", ask(w.plain, w.global.Object, directory.OnePrincipal, "User.Read"), fault.Denied)
		wants(t, "for another who may more", ask(w.reader, w.plain.Object, directory.OnePrincipal, "User.Read"), fault.Denied)
		wants(t, "a scope that is not there", ask(w.plain, w.plain.Object, directory.OnePrincipal, "Mail.Read"), fault.Invalid)
		by := w.plain
		by.App, by.Scopes = directory.AzureCLIID, []string{"Directory.AccessAsUser.All"}
		wants(t, "by a program", ask(by, w.plain.Object, directory.OnePrincipal, "User.ReadBasic.All"), fault.Denied)
		scopes, err := w.Granted(ctx, strings.ToLower(tenant), p.AppID, w.plain.Object, directory.GraphID)
		if err != nil || !slices.Equal(scopes, []string{"User.Read", "openid"}) {
			t.Errorf("%v, %v", scopes, err)
		}
		if scopes, err = w.Granted(ctx, strings.ToLower(tenant), p.AppID, w.global.Object, directory.GraphID); err != nil || scopes != nil {
			t.Errorf("another has %v, %v", scopes, err)
		}
	})
}

// TestARetriedTransactionTellsTheTrailOnce: what is denied and what is undone
// is not told as done.
func TestTheTrailHasWhatWasDone(t *testing.T) {
	w := build(t, storetest.New(t))
	boom := errors.New("boom")
	_, err := w.UpdateUser(t.Context(), w.global, w.plain.Object, func(*directory.User) error { return boom })
	if !errors.Is(err, boom) || w.told(w.global, "microsoft.directory/users/update", "Succeeded") {
		t.Errorf("%v", err)
	}
	if _, err := w.UpdateUser(t.Context(), w.global, w.plain.Object, func(*directory.User) error { return nil }); err != nil || w.told(w.global, "microsoft.directory/users/update", "Succeeded") {
		t.Errorf("nothing is told as something: %v", err)
	}
	if _, err := w.UpdateUser(t.Context(), w.global, w.plain.Object, func(u *directory.User) error { u.Surname = "X"; return nil }); err != nil || !w.told(w.global, "microsoft.directory/users/update", "Succeeded") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.DeleteUser(ctx, w.global, w.plain.Object); err == nil || w.told(w.global, "microsoft.directory/users/delete", "Succeeded") {
		t.Errorf("%v", err)
	}
}
