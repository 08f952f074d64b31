package directory_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// TestProjectSynergyIsAddedAsOperatorConnect and found by both names; its
// seven roles have the published IDs (Azure Communications Gateway docs,
// "Connect Azure Communications Gateway to Operator Connect or Teams Phone
// Mobile").
func TestProjectSynergyIsAddedAsOperatorConnect(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		if _, err := w.PrincipalOf(ctx, w.us, directory.SynergyID); fault.Of(err) != fault.NotFound {
			t.Errorf("before: %v", err)
		}
		p, err := w.AddPrincipal(ctx, w.cloud, strings.ToUpper(directory.SynergyID), "Operator Connect")
		if err != nil || p.DisplayName != "Operator Connect" || p.AppDisplayName != "Project Synergy" || !p.Called("project synergy") || !p.Called("Operator connect") || p.Called("Synergy") {
			t.Fatalf("%+v, %v", p, err)
		}
		_, err = w.AddPrincipal(ctx, w.cloud, directory.SynergyID, "")
		wants(t, "twice", err, fault.Conflict)
		for id, want := range map[string]string{
			"72129ccd-8886-42db-a63c-2647b61635c1": "TrunkManagement.Read", "e907ba07-8ad0-40be-8d72-c18a0b3c156b": "TrunkManagement.Write", "d6b0de4a-aab5-4261-be1b-0e1800746fb2": "PartnerSettings.Read",
			"130ecbe2-d1e6-4bbd-9a8d-9a7a909b876e": "NumberManagement.Read", "752b4e79-4b85-4e33-a6ef-5949f0d7d553": "NumberManagement.Write",
			"eb63d611-525e-4a31-abd7-0cb33f679599": "Data.Read", "98d32f93-eaa7-4657-b443-090c23e69f27": "Data.Write",
		} {
			if r, ok := p.Role(id); !ok || r.Value != want {
				t.Errorf("%s: %+v", id, r)
			}
		}
		admin, _ := p.Role("Admin")
		a, err := w.Assign(ctx, w.cloud, directory.Assignment{Principal: w.plain.Object, Resource: p.ID, Role: admin.ID})
		if err != nil || a.Kind != directory.KindUser || a.PrincipalName != "PLAIN" || a.ResourceName != "Operator Connect" {
			t.Errorf("%+v, %v", a, err)
		}
		_, err = w.Assign(ctx, w.cloud, directory.Assignment{Principal: w.plain.Object, Resource: p.ID, Role: admin.ID})
		wants(t, "twice", err, fault.Invalid)
		_, robot, _ := w.program("Robot")
		for what, a := range map[string]directory.Assignment{
			"a role for people given to a program": {Principal: robot.ID, Resource: p.ID, Role: admin.ID}, "a role that is not there": {Principal: robot.ID, Resource: p.ID, Role: newGUID()},
			"the default role of an application that has roles": {Principal: w.plain.Object, Resource: p.ID, Role: directory.DefaultRole}, "no role": {Principal: w.plain.Object, Resource: p.ID},
		} {
			_, err := w.Assign(ctx, w.cloud, a)
			wants(t, what, err, fault.Invalid)
		}
		for what, a := range map[string]directory.Assignment{
			"nobody": {Principal: newGUID(), Resource: p.ID, Role: admin.ID}, "nothing": {Principal: w.plain.Object, Resource: newGUID(), Role: admin.ID}, "a user as a resource": {Principal: w.plain.Object, Resource: w.plain.Object, Role: admin.ID},
		} {
			_, err := w.Assign(ctx, w.cloud, a)
			wants(t, what, err, fault.NotFound)
		}
		if _, err := w.Assign(ctx, w.cloud, directory.Assignment{Principal: w.plain.Object, Resource: robot.ID, Role: directory.DefaultRole}); err != nil {
			t.Errorf("the default role of an application without roles: %v", err)
		}
		// The gateways' own application is there from the beginning.
		g, err := w.PrincipalOf(ctx, w.us, directory.GatewaysID)
		if err != nil || g.DisplayName != "AzureCommunicationsGateway" || !g.Fixed {
			t.Errorf("%+v, %v", g, err)
		}
		for _, value := range []string{"ProvisioningAPI.Admin", "ProvisioningAPI.Read", "ProvisioningAPI.Write", "ProvisioningAPI.Delete", "ProvisioningAPI.AdminUser", "ProvisioningAPI.ReadUser", "ProvisioningAPI.WriteUser", "ProvisioningAPI.DeleteUser"} {
			r, ok := g.Role(value)
			if want := []string{directory.ForApplications}; !ok || strings.HasSuffix(value, "User") == slices.Equal(r.For, want) {
				t.Errorf("%s: %+v", value, r)
			}
		}
		if r, err := w.Resource(ctx, tenant, directory.ProvisioningURI+"/"); err != nil || r.ID != g.ID {
			t.Errorf("%+v, %v", r, err)
		}
		if p, err := w.AddPrincipal(ctx, w.cloud, readerID, ""); err != nil || p.DisplayName != "Onboarding Cross-Tenant Reader" {
			t.Errorf("an application of the configuration's catalogue: %+v, %v", p, err)
		}
	})
}

// TestConsentGivesWhatIsAskedFor: exactly the permissions of the registration,
// once, whoever repeats it.
func TestConsentGivesWhatIsAskedFor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		synergy, err := w.AddPrincipal(ctx, w.cloud, directory.SynergyID, "")
		if err != nil {
			t.Fatal(err)
		}
		graph, err := w.PrincipalOf(ctx, w.us, directory.GraphID)
		if err != nil {
			t.Fatal(err)
		}
		role := func(value string) directory.Access {
			r, _ := synergy.Role(value)
			return directory.Access{ID: strings.ToUpper(r.ID), Type: directory.RoleAccess}
		}
		scope := func(value string) directory.Access {
			return directory.Access{ID: scopeID(graph, value), Type: directory.ScopeAccess}
		}
		a, err := w.CreateApplication(ctx, w.cloud, directory.Application{DisplayName: "Billing Service", Required: []directory.RequiredAccess{
			{Resource: directory.SynergyID, Access: []directory.Access{role("Data.Read"), role("NumberManagement.Read"), role("TrunkManagement.Read")}},
			{Resource: directory.GraphID, Access: []directory.Access{scope("User.Read"), scope("offline_access")}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Consent(ctx, w.plain, a.AppID)
		wants(t, "by a user without a role", err, fault.Denied)
		_, err = w.Consent(ctx, w.reader, a.AppID)
		wants(t, "by a reader", err, fault.Denied)
		if _, err := w.PrincipalOf(ctx, w.us, a.AppID); fault.Of(err) != fault.NotFound {
			t.Errorf("a consent that was denied leaves a principal: %v", err)
		}
		got, err := w.Consent(ctx, w.cloud, a.AppID)
		if err != nil || len(got.Assignments) != 3 || len(got.Grants) != 1 || !slices.Equal(got.Grants[0].Scopes, []string{"User.Read", "offline_access"}) || got.Grants[0].ConsentType != directory.AllPrincipals {
			t.Fatalf("%+v, %v", got, err)
		}
		again, err := w.Consent(ctx, w.apps, a.AppID)
		if err != nil || len(again.Assignments) != 0 || len(again.Grants) != 1 || again.Grants[0].ID != got.Grants[0].ID || again.Principal.ID != got.Principal.ID {
			t.Errorf("once more: %+v, %v", again, err)
		}
		list, err := w.AssignmentsOf(ctx, w.reader, got.Principal.ID)
		if err != nil || len(list) != 3 || list[0].PrincipalName != "Billing Service" || list[0].ResourceName != "Project Synergy" {
			t.Errorf("%+v, %v", list, err)
		}
		// What asks for a service that is not there cannot be consented to.
		b, err := w.CreateApplication(ctx, w.cloud, directory.Application{DisplayName: "X", Required: []directory.RequiredAccess{{Resource: newGUID(), Access: []directory.Access{role("Data.Read")}}}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Consent(ctx, w.global, b.AppID)
		wants(t, "for a service that is not there", err, fault.Invalid)
		_, err = w.Consent(ctx, w.global, newGUID())
		wants(t, "for an application that is not there", err, fault.Invalid)
		// Of the catalogue, an application asks for nothing by itself.
		if got, err := w.Consent(ctx, w.global, readerID); err != nil || got.Principal.DisplayName != "Onboarding Cross-Tenant Reader" || len(got.Assignments) != 0 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// TestNothingIsLeftOfWhatIsDeleted: no assignment, grant, membership, role or
// secret, neither given to it nor by it.
func TestNothingIsLeftOfWhatIsDeleted(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		before := w.state()
		group, err := w.CreateGroup(ctx, w.us, directory.Group{DisplayName: "Operators"})
		if err != nil {
			t.Fatal(err)
		}
		ann := w.person("ann", directory.GlobalReader)
		api, err := w.CreateApplication(ctx, w.us, directory.Application{
			DisplayName: "API", URIs: []string{"https://api.telecom.example/x"},
			Roles: []directory.AppRole{{Value: "Use", DisplayName: "Use", For: []string{"User", "Application"}}}, Scopes: []directory.Scope{{Value: "use", DisplayName: "Use"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		resource, err := w.AddPrincipal(ctx, w.us, api.AppID, "")
		if err != nil {
			t.Fatal(err)
		}
		robot, principal, _ := w.program("Robot", "User.Read.All")
		if _, _, err := w.AddSecret(ctx, w.us, robot.ID, "x", api.Created.AddDate(1, 0, 0)); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{group.ID, ann.Object, principal.ID} {
			w.give(id, api.AppID, "Use")
		}
		for _, id := range []string{ann.Object, principal.ID} {
			if err := w.AddMember(ctx, w.us, group.ID, id); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.AssignDirectoryRole(ctx, w.us, directory.ApplicationAdministrator, principal.ID); err != nil {
			t.Fatal(err)
		}
		for _, g := range []directory.Grant{
			{Client: principal.ID, ConsentType: directory.AllPrincipals, Resource: resource.ID, Scopes: []string{"use"}}, {Client: principal.ID, ConsentType: directory.OnePrincipal, Principal: ann.Object, Resource: resource.ID, Scopes: []string{"USE"}},
		} {
			if _, err := w.AddGrant(ctx, w.us, g); err != nil {
				t.Fatal(err)
			}
		}
		for what, gone := range map[string]func() error{
			"the application": func() error { return w.DeleteApplication(ctx, w.us, robot.AppID) }, "the API": func() error { return w.DeleteApplication(ctx, w.us, api.ID) },
			"the user": func() error { return w.DeleteUser(ctx, w.us, "ANN@telecom.example") }, "the group": func() error { return w.DeleteGroup(ctx, w.us, group.ID) },
		} {
			if err := gone(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		if after := w.state(); after != before {
			t.Errorf("what is left:\n%s", difference(before, after))
		}
		if uris := countOf(t, w, "application_uri"); uris != 0 {
			t.Errorf("%d names of it", uris)
		}
	})
}

func difference(before, after string) string {
	old := strings.Split(before, "\n")
	return strings.Join(slices.DeleteFunc(strings.Split(after, "\n"), func(l string) bool { return slices.Contains(old, l) }), "\n")
}

func countOf(t *testing.T, w *world, table string) (n int) {
	t.Helper()
	if err := w.store.Read(t.Context(), func(tx *store.Tx) error { return tx.Row(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n) }); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestARoleThatIsOfferedNoLonger is nobody's, and one that comes later with
// its ID is given to nobody.
func TestARoleThatIsOfferedNoLonger(t *testing.T) {
	w := build(t, storetest.New(t))
	ctx := t.Context()
	roles := []directory.AppRole{{ID: newGUID(), Value: "Use", DisplayName: "Use", For: []string{"User"}}}
	api, err := w.CreateApplication(ctx, w.us, directory.Application{DisplayName: "API", Roles: roles})
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.AddPrincipal(ctx, w.us, api.AppID, "")
	if err != nil {
		t.Fatal(err)
	}
	w.give(w.plain.Object, api.AppID, "Use")
	for _, list := range [][]directory.AppRole{nil, roles} {
		if _, err := w.UpdateApplication(ctx, w.us, api.ID, func(a *directory.Application) error { a.Roles = list; return nil }); err != nil {
			t.Fatal(err)
		}
		if got, err := w.AssignedTo(ctx, w.us, p.ID); err != nil || len(got) != 0 {
			t.Errorf("%v, %v", got, err)
		}
	}
}

// TestWhatCannotBeRegistered: names that lead elsewhere, redirects that are
// open to tricks, and the names of others.
func TestWhatCannotBeRegistered(t *testing.T) {
	w := build(t, storetest.New(t))
	ctx := t.Context()
	refuse := func(what string, a directory.Application) {
		t.Helper()
		if a.DisplayName == "" {
			a.DisplayName = "X"
		}
		if got, err := w.CreateApplication(ctx, w.apps, a); fault.Of(err) != fault.Invalid && fault.Of(err) != fault.Conflict {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
	for _, name := range []string{" ", "a\x00b", "a\nb", "\u202egnillib", strings.Repeat("x", 257), "\xff"} {
		refuse("a name", directory.Application{DisplayName: name})
	}
	for _, uri := range []string{
		"", "x", "//x.example", "http://x.example/", "https://", "https:///x", "https://x.example/#f", "https://*.example/", "https://user@x.example/", "https://x.example\\@evil.example/", "javascript:alert(1)",
		"data:text/html,x", "file:///etc/passwd", "ftp://x.example", "https://x.example/a/../b", "https://x.example/a/%2e%2e/b", "https://x.example/a b", "https://x.example/\n", "com.example.app:/back", "http://localhost.evil.example/", "http://127.0.0.1.evil.example/",
		"https://x.example/" + strings.Repeat("x", 256), "vbscript:x", "http://[::1].evil.example", "HTTP://evil.example",
	} {
		refuse("web redirect "+uri, directory.Application{Redirects: directory.Redirects{Web: []string{uri}}})
		refuse("SPA redirect "+uri, directory.Application{Redirects: directory.Redirects{SPA: []string{uri}}})
	}
	for _, uri := range []string{"javascript:alert(1)", "http://evil.example/", "data:x", "file:/x"} {
		refuse("public redirect "+uri, directory.Application{Redirects: directory.Redirects{Public: []string{uri}}})
	}
	victim, _, _ := w.program("Victim")
	for _, uri := range []string{
		"x", "https://evil.example/x", "https://telecom.example.evil.example/x", "http://telecom.example/x", "api://" + victim.AppID, "API://" + strings.ToUpper(victim.AppID) + "/x", "api://" + directory.SynergyID, graph, graph + "/",
		directory.ProvisioningURI, "https://vault.telecom.example", "https://VAULT.telecom.example//", "https://telecom.example/x?y", "https://user@telecom.example/", "api://", "javascript:x", "urn:" + strings.Repeat("x", 300),
	} {
		refuse("identifier URI "+uri, directory.Application{URIs: []string{uri}})
	}
	refuse("an identifier URI twice", directory.Application{URIs: []string{"api://x/y", "API://x/y/"}})
	if _, err := w.CreateApplication(ctx, w.apps, directory.Application{DisplayName: "X", URIs: []string{"api://mine"}}); err != nil {
		t.Fatal(err)
	}
	refuse("an identifier URI of another", directory.Application{URIs: []string{"api://MINE/"}})
	refuse("a role twice", directory.Application{Roles: []directory.AppRole{{Value: "A", For: []string{"User"}}, {Value: "A", For: []string{"User"}}}})
	refuse("a novel as a role", directory.Application{Roles: []directory.AppRole{{Value: "A", Description: strings.Repeat("x", 1025), For: []string{"User"}}}})
	refuse("a novel as a scope", directory.Application{Scopes: []directory.Scope{{Value: "A", DisplayName: strings.Repeat("x", 257)}}})
	refuse("a role for nobody", directory.Application{Roles: []directory.AppRole{{Value: "A"}}})
	refuse("a role with a blank", directory.Application{Roles: []directory.AppRole{{Value: "A B", For: []string{"User"}}}})
	refuse("a scope with a blank, which is two", directory.Application{Scopes: []directory.Scope{{Value: "use Directory.AccessAsUser.All"}}})
	refuse("an ID that is none", directory.Application{Roles: []directory.AppRole{{ID: "../x", Value: "A", For: []string{"User"}}}})
	refuse("a resource that is none", directory.Application{Required: []directory.RequiredAccess{{Resource: "x"}}})
	for _, uri := range []string{"https://x.example/back", "http://localhost:8080/back", "http://127.0.0.1/", "http://[::1]:1/"} {
		if err := directory.CheckRedirect(uri, false); err != nil {
			t.Error(err)
		}
	}
	if err := directory.CheckRedirect("com.example.app:/back", true); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", "ann", "@telecom.example", "ann@", "ann@evil.example", "ann@telecom.example.evil.example", "../ann@telecom.example", "ann/x@telecom.example", "a nn@telecom.example", "ann@telecom.example\n", "ann@bob@telecom.example", "ann%00@telecom.example", "plain@telecom.example.", "ann@.telecom.example", "ann@x..telecom.example"} {
		if u, err := w.CreateUser(ctx, w.global, directory.User{Name: name, DisplayName: "Ann"}); fault.Of(err) != fault.Invalid {
			t.Errorf("%q: %+v, %v", name, u, err)
		}
	}
	if _, err := w.CreateUser(ctx, w.global, directory.User{Name: "PLAIN@Telecom.example", DisplayName: "Ann"}); fault.Of(err) != fault.Invalid {
		t.Errorf("a name that is taken: %v", err)
	}
}

// TestClientsOfTheConfigurationAreApplications too, that roles can be given to,
// and that nobody can change.
func TestClientsOfTheConfigurationAreApplications(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := build(t, s)
		ctx := t.Context()
		a, err := w.Application(ctx, w.global, app)
		if err != nil || !a.Fixed || a.DisplayName != "onboarding" {
			t.Fatalf("%+v, %v", a, err)
		}
		wants(t, "deleted", w.DeleteApplication(ctx, w.global, a.ID), fault.Conflict)
		p, err := w.PrincipalOf(ctx, w.global, app)
		if err != nil || !p.Fixed || p.ID != directory.ObjectID(tenant, app) {
			t.Fatalf("%+v, %v", p, err)
		}
		wants(t, "its principal deleted", w.DeletePrincipal(ctx, w.global, p.ID), fault.Conflict)
		w.give(p.ID, directory.GraphID, "User.Read.All")
		again := open(t, s, client(secret))
		if list, err := again.AssignmentsOf(ctx, w.us, p.ID); err != nil || len(list) != 1 {
			t.Errorf("after a start: %v, %v", list, err)
		}
		gone := open(t, s)
		if _, err := gone.Principal(ctx, w.us, p.ID); fault.Of(err) != fault.NotFound {
			t.Errorf("taken out of the configuration: %v", err)
		}
		if list, err := open(t, s, client(secret)).AssignmentsOf(ctx, w.us, p.ID); err != nil || len(list) != 0 {
			t.Errorf("back again, it has its roles: %v, %v", list, err)
		}
	})
}

// TestAManagedIdentity has the name of its resource and no secret, is kept
// while it is off, and leaves nothing behind.
func TestAManagedIdentity(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		const resource = "/subscriptions/x/resourceGroups/Voice/providers/Microsoft.VoiceServices/communicationsGateways/lab-1"
		before := w.state()
		apply := func(id directory.Identity) (p directory.ServicePrincipal, err error) {
			err = w.store.Write(ctx, func(tx *store.Tx) error {
				p, err = w.MakeManagedIdentity(ctx, tx, id)
				return err
			})
			return p, err
		}
		if p, err := apply(directory.Identity{Resource: resource, Name: "lab-1", Disabled: true}); err != nil || p.ID != "" {
			t.Errorf("one that is off from its beginning: %+v, %v", p, err)
		}
		p, err := apply(directory.Identity{Resource: resource, Name: "lab-1", Object: newGUID()})
		if err != nil || p.ID != newGUID() || p.Kind != directory.ManagedIdentity || p.DisplayName != "lab-1" || !slices.Contains(p.AlternativeNames(), resource) || p.AppID == p.ID {
			t.Fatalf("%+v, %v", p, err)
		}
		again, err := apply(directory.Identity{Resource: strings.ToUpper(resource), Name: "lab-1", Object: p.AppID})
		if err != nil || again.ID != p.ID || again.AppID != p.AppID {
			t.Errorf("once more: %+v, %v", again, err)
		}
		if _, err := w.AddPrincipal(ctx, w.us, directory.SynergyID, ""); err != nil {
			t.Fatal(err)
		}
		w.give(p.ID, directory.SynergyID, "Data.Read")
		token, err := w.IssueFor(ctx, p.ID, issuer, directory.SynergyID)
		if err != nil {
			t.Fatal(err)
		}
		if c := w.claimsOf(string(token.Raw)); c["oid"] != p.ID || c["appid"] != p.AppID || c["xms_mirid"] != resource || !slices.Equal(listOf(c["roles"]), []string{"Data.Read"}) {
			t.Errorf("%v", c)
		}
		wants(t, "deleted by hand", w.DeletePrincipal(ctx, w.global, p.ID), fault.Conflict)
		_, err = w.UpdatePrincipal(ctx, w.global, p.ID, func(p *directory.ServicePrincipal) error { p.DisplayName = "other"; return nil })
		wants(t, "renamed", err, fault.Invalid)
		_, _, err = w.AddSecret(ctx, w.global, p.AppID, "", p.Created.AddDate(1, 0, 0))
		wants(t, "a secret", err, fault.NotFound)
		if p, err = apply(directory.Identity{Resource: resource, Name: "lab-1", Disabled: true}); err != nil || p.Enabled {
			t.Errorf("off: %+v, %v", p, err)
		}
		if _, err := w.IssueFor(ctx, p.ID, issuer, directory.SynergyID); !errors.Is(err, directory.ErrDisabled) {
			t.Errorf("off: %v", err)
		}
		if p, err = apply(directory.Identity{Resource: resource, Name: "lab-1"}); err != nil || !p.Enabled || p.ID != newGUID() {
			t.Errorf("on again: %+v, %v", p, err)
		}
		if err := w.store.Write(ctx, func(tx *store.Tx) error { return w.DropManagedIdentity(ctx, tx, resource) }); err != nil {
			t.Fatal(err)
		}
		synergy, _ := w.PrincipalOf(ctx, w.us, directory.SynergyID)
		if err := w.DeletePrincipal(ctx, w.global, synergy.ID); err != nil {
			t.Fatal(err)
		}
		if after := w.state(); after != before {
			t.Errorf("what is left:\n%s", difference(before, after))
		}
	})
}

// TestGroupsAreNotNested, and administer nothing: what a member has is seen by
// looking at the member and its groups, and no further.
func TestGroupsAreNotNested(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		var groups [2]directory.Group
		for i := range groups {
			var err error
			if groups[i], err = w.CreateGroup(ctx, w.global, directory.Group{DisplayName: "Operators"}); err != nil {
				t.Fatal(err)
			}
		}
		wants(t, "a group in a group", w.AddMember(ctx, w.global, groups[0].ID, groups[1].ID), fault.Invalid)
		wants(t, "a group in itself", w.AddMember(ctx, w.global, groups[0].ID, groups[0].ID), fault.Invalid)
		wants(t, "a directory role for a group", w.AssignDirectoryRole(ctx, w.global, directory.GlobalAdministrator, groups[0].ID), fault.Invalid)
		if err := w.AddMember(ctx, w.global, groups[0].ID, strings.ToUpper(w.plain.Object)); err != nil {
			t.Fatal(err)
		}
		wants(t, "a member twice", w.AddMember(ctx, w.global, groups[0].ID, w.plain.Object), fault.Invalid)
		of, err := w.GroupsOf(ctx, w.plain, w.plain.Object)
		if err != nil || len(of) != 1 || of[0].ID != groups[0].ID {
			t.Errorf("%+v, %v", of, err)
		}
		if g, err := w.UpdateGroup(ctx, w.global, groups[1].ID, func(g *directory.Group) error { g.Description = "of the night"; return nil }); err != nil || g.Description != "of the night" {
			t.Errorf("%+v, %v", g, err)
		}
		if o, err := w.Object(ctx, w.plain, groups[1].ID); err != nil || o.Kind != directory.KindGroup || o.Name != "Operators" {
			t.Errorf("%+v, %v", o, err)
		}
	})
}
