package directory_test

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

const (
	other    = "00000000-0000-4000-8000-00000000000c" // another tenant of the deployment
	audience = "https://api.telecom.example"
	graph    = "https://graph.microsoft.com"
)

// world is a directory with people in it.
type world struct {
	testing.TB
	*directory.Set
	store *store.Store
	names *names

	mu    sync.Mutex
	trail []directory.Change // mu: as it was committed

	global, apps, cloud, reader, plain directory.Caller // people, in person
	us                                 directory.Caller
}

// names is a DNS.
type names struct {
	mu  sync.Mutex
	txt map[string][]string // mu
	mx  map[string]string   // mu
	err error               // mu
}

func (n *names) LookupTXT(_ context.Context, name string) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err != nil {
		return nil, n.err
	}
	if list := n.txt[strings.TrimSuffix(name, ".")]; list != nil {
		return list, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (n *names) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if host := n.mx[strings.TrimSuffix(name, ".")]; host != "" {
		return []*net.MX{{Host: host, Pref: 32767}}, n.err
	}
	return nil, n.err
}

func (n *names) say(name, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.txt[name] = append(n.txt[name], text)
}

func build(t testing.TB, s *store.Store, change ...func(*directory.Config)) *world {
	t.Helper()
	w := &world{TB: t, store: s, names: &names{txt: map[string][]string{}, mx: map[string]string{}}}
	c := directory.Config{
		Store: s, Tenant: directory.Tenant{ID: tenant, Name: "telecom.example"}, Others: []directory.Tenant{{ID: other, Name: "Another Telecom"}},
		Clients: []directory.Client{client(secret)}, Known: []directory.WellKnown{{AppID: readerID, Name: "Onboarding Cross-Tenant Reader", Publisher: "Onboarding"}},
		Log: slog.New(slog.DiscardHandler), Resolver: w.names, Audiences: []string{"https://vault.telecom.example"},
		Audit: func(_ context.Context, tx *store.Tx, c directory.Change) error {
			tx.After(func() {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.trail = append(w.trail, c)
			})
			return nil
		},
	}
	for _, f := range change {
		f(&c)
	}
	var err error
	if w.Set, err = directory.Open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	w.us = directory.Ourselves(tenant, "test")
	for name, x := range map[string]struct {
		who  *directory.Caller
		role directory.DirectoryRole
	}{
		"global": {&w.global, directory.GlobalAdministrator}, "apps": {&w.apps, directory.ApplicationAdministrator},
		"cloud": {&w.cloud, directory.CloudApplicationAdministrator}, "reader": {&w.reader, directory.GlobalReader}, "plain": {&w.plain, ""},
	} {
		*x.who = w.person(name, x.role)
	}
	return w
}

const readerID = "00000000-0000-4000-8000-0000000000d7"

// person is a user with a role, who acts in person.
func (w *world) person(name string, r directory.DirectoryRole) directory.Caller {
	w.Helper()
	u, err := w.CreateUser(w.Context(), w.us, directory.User{Name: name + "@telecom.example", DisplayName: strings.ToUpper(name), Enabled: true})
	if err == nil && r != "" {
		err = w.AssignDirectoryRole(w.Context(), w.us, r, u.ID)
	}
	if err != nil {
		w.Fatal(err)
	}
	return directory.Caller{Tenant: strings.ToLower(tenant), Object: u.ID, Name: u.Name}
}

// program is an application with a service principal, and what it may do at
// Microsoft Graph, as a caller that acts for itself.
func (w *world) program(name string, permissions ...string) (directory.Application, directory.ServicePrincipal, directory.Caller) {
	w.Helper()
	a, err := w.CreateApplication(w.Context(), w.us, directory.Application{DisplayName: name})
	if err != nil {
		w.Fatal(err)
	}
	p, err := w.AddPrincipal(w.Context(), w.us, a.AppID, "")
	if err != nil {
		w.Fatal(err)
	}
	for _, v := range permissions {
		w.give(p.ID, directory.GraphID, v)
	}
	return a, p, directory.Caller{Tenant: strings.ToLower(tenant), Object: p.ID, Name: name, App: a.AppID, AppRoles: permissions}
}

// give gives a role of an application's to an object.
func (w *world) give(object, appID, value string) directory.Assignment {
	w.Helper()
	resource, err := w.PrincipalOf(w.Context(), w.us, appID)
	if err != nil {
		w.Fatal(err)
	}
	role, ok := resource.Role(value)
	if !ok {
		w.Fatalf("%s has no role %s", resource.DisplayName, value)
	}
	a, err := w.Assign(w.Context(), w.us, directory.Assignment{Principal: object, Resource: resource.ID, Role: role.ID})
	if err != nil {
		w.Fatal(err)
	}
	return a
}

// wants fails unless the error is of a kind.
func wants(t testing.TB, what string, err error, kind fault.Kind) {
	t.Helper()
	if err == nil || fault.Of(err) != kind {
		t.Errorf("%s: %v, want %v", what, err, kind)
	}
}

// told tells whether the trail has a line.
func (w *world) told(by directory.Caller, action, outcome string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.trail, func(c directory.Change) bool {
		return c.By.Object == by.Object && c.Action == action && c.Outcome == outcome && strings.HasPrefix(c.Target, "/tenants/"+strings.ToLower(tenant)+"/")
	})
}

func each(t *testing.T, f func(t *testing.T, w *world)) {
	storetest.Each(t, func(t *testing.T, s *store.Store) { f(t, build(t, s)) })
}
