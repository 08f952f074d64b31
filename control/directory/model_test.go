package directory_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// model is what the directory ought to hold: sets of names, and sets of pairs
// of what was given to what.
type model struct {
	users, groups map[string]string          // name -> ID
	apps          map[string]modelApp        // name -> application
	members       map[string]bool            // "group user"
	roles         map[string]bool            // "object role"
	assigned      map[string]string          // "object resource role" -> assignment ID
	granted       map[string]map[string]bool // "client user resource" -> scopes
}

type modelApp struct{ id, app, principal string }

// forget takes away what was given to or by an object.
func (m *model) forget(id string) {
	mentions := func(key string) bool { return slices.Contains(strings.Fields(key), id) }
	maps.DeleteFunc(m.members, func(k string, _ bool) bool { return mentions(k) })
	maps.DeleteFunc(m.roles, func(k string, _ bool) bool { return mentions(k) })
	maps.DeleteFunc(m.assigned, func(k, _ string) bool { return mentions(k) })
	maps.DeleteFunc(m.granted, func(k string, _ map[string]bool) bool { return mentions(k) })
}

// TestObjectsAgainstAModel: whatever is done in whatever order, the directory
// holds what a few maps hold.
func TestObjectsAgainstAModel(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := build(t, s)
		round := 0
		rapid.Check(t, func(rt *rapid.T) {
			round++
			(&play{rt: rt, w: w, tag: fmt.Sprintf("%d-", round), m: &model{
				users: map[string]string{}, groups: map[string]string{}, apps: map[string]modelApp{}, members: map[string]bool{}, roles: map[string]bool{}, assigned: map[string]string{}, granted: map[string]map[string]bool{},
			}}).run()
		})
	})
}

// play is one run: what it makes has a tag in its name and is deleted at the
// end, so that many runs share a directory.
type play struct {
	rt  *rapid.T
	w   *world
	tag string
	m   *model
}

func (p *play) run() {
	use := directory.AppRole{ID: newGUID(), Value: "Use", DisplayName: "Use", For: []string{"User", "Application"}}
	ctx := p.w.Context()
	name := func() string { return p.tag + rapid.SampledFrom([]string{"a", "b", "c"}).Draw(p.rt, "name") }
	p.rt.Repeat(map[string]func(*rapid.T){
		"": func(*rapid.T) { p.compare() },
		"make user": func(*rapid.T) {
			n := name()
			u, err := p.w.CreateUser(ctx, p.w.us, directory.User{Name: n + "@telecom.example", DisplayName: n, Enabled: true})
			if p.expect(err, p.m.users[n] == "", fault.Invalid) {
				p.m.users[n] = u.ID
			}
		},
		"delete user": func(*rapid.T) {
			n := name()
			if p.expect(p.w.DeleteUser(ctx, p.w.us, n+"@TELECOM.example"), p.m.users[n] != "", fault.NotFound) {
				p.m.forget(p.m.users[n])
				delete(p.m.users, n)
			}
		},
		"make group": func(*rapid.T) {
			n := name()
			if p.m.groups[n] != "" {
				return // two may have one name
			}
			g, err := p.w.CreateGroup(ctx, p.w.us, directory.Group{DisplayName: n})
			p.expect(err, true, 0)
			p.m.groups[n] = g.ID
		},
		"delete group": func(*rapid.T) {
			n := name()
			if p.expect(p.w.DeleteGroup(ctx, p.w.us, or(p.m.groups[n])), p.m.groups[n] != "", fault.NotFound) {
				p.m.forget(p.m.groups[n])
				delete(p.m.groups, n)
			}
		},
		"make application": func(*rapid.T) {
			n := name()
			if _, there := p.m.apps[n]; there {
				return
			}
			a, err := p.w.CreateApplication(ctx, p.w.us, directory.Application{DisplayName: n, Roles: []directory.AppRole{use}, Scopes: []directory.Scope{{Value: "x"}, {Value: "y"}}})
			p.expect(err, true, 0)
			p.m.apps[n] = modelApp{id: a.ID, app: a.AppID}
		},
		"make principal": func(*rapid.T) {
			n := name()
			a, there := p.m.apps[n]
			kind := fault.Invalid
			if a.principal != "" {
				kind = fault.Conflict
			}
			got, err := p.w.AddPrincipal(ctx, p.w.us, or(a.app), "")
			if p.expect(err, there && a.principal == "", kind) {
				a.principal = got.ID
				p.m.apps[n] = a
			}
		},
		"delete principal": func(*rapid.T) {
			n := name()
			a := p.m.apps[n]
			if p.expect(p.w.DeletePrincipal(ctx, p.w.us, or(a.principal)), a.principal != "", fault.NotFound) {
				p.m.forget(a.principal)
				a.principal = ""
				p.m.apps[n] = a
			}
		},
		"delete application": func(*rapid.T) {
			n := name()
			a, there := p.m.apps[n]
			if p.expect(p.w.DeleteApplication(ctx, p.w.us, or(a.id)), there, fault.NotFound) {
				if a.principal != "" {
					p.m.forget(a.principal)
				}
				delete(p.m.apps, n)
			}
		},
		"add member": func(*rapid.T) {
			g, u := p.m.groups[name()], p.m.users[name()]
			kind := fault.NotFound
			if p.m.members[g+" "+u] {
				kind = fault.Invalid
			}
			if p.expect(p.w.AddMember(ctx, p.w.us, or(g), or(u)), g != "" && u != "" && !p.m.members[g+" "+u], kind) {
				p.m.members[g+" "+u] = true
			}
		},
		"remove member": func(*rapid.T) {
			g, u := p.m.groups[name()], p.m.users[name()]
			if p.expect(p.w.RemoveMember(ctx, p.w.us, or(g), or(u)), p.m.members[g+" "+u], fault.NotFound) {
				delete(p.m.members, g+" "+u)
			}
		},
		"give directory role": func(*rapid.T) {
			id := p.object(name())
			if p.expect(p.w.AssignDirectoryRole(ctx, p.w.us, directory.GlobalReader, or(id)), id != "", fault.NotFound) {
				p.m.roles[id+" reader"] = true
			}
		},
		"take directory role": func(*rapid.T) {
			id := p.object(name())
			if p.expect(p.w.UnassignDirectoryRole(ctx, p.w.us, directory.GlobalReader, or(id)), p.m.roles[id+" reader"], fault.NotFound) {
				delete(p.m.roles, id+" reader")
			}
		},
		"assign": func(*rapid.T) {
			id, resource := p.object(name()), p.m.apps[name()].principal
			key := id + " " + resource
			kind := fault.NotFound
			if p.m.assigned[key] != "" {
				kind = fault.Invalid
			}
			a, err := p.w.Assign(ctx, p.w.us, directory.Assignment{Principal: or(id), Resource: or(resource), Role: use.ID})
			if p.expect(err, id != "" && resource != "" && p.m.assigned[key] == "", kind) {
				p.m.assigned[key] = a.ID
			}
		},
		"unassign": func(*rapid.T) {
			key := p.object(name()) + " " + p.m.apps[name()].principal
			if p.expect(p.w.Unassign(ctx, p.w.us, or(p.m.assigned[key])), p.m.assigned[key] != "", fault.NotFound) {
				delete(p.m.assigned, key)
			}
		},
		"allow": func(*rapid.T) {
			client, u, resource := p.m.apps[name()].principal, p.m.users[name()], p.m.apps[name()].principal
			scope := rapid.SampledFrom([]string{"x", "y", "X"}).Draw(p.rt, "scope")
			key := client + " " + u + " " + resource
			_, err := p.w.Allow(ctx, p.w.us, directory.Grant{Client: or(client), ConsentType: directory.OnePrincipal, Principal: or(u), Resource: or(resource), Scopes: []string{scope}})
			if p.expect(err, client != "" && u != "" && resource != "", fault.NotFound) {
				if p.m.granted[key] == nil {
					p.m.granted[key] = map[string]bool{}
				}
				p.m.granted[key][strings.ToLower(scope)] = true
			}
		},
	})
	for n := range p.m.users {
		p.expect(p.w.DeleteUser(ctx, p.w.us, p.m.users[n]), true, 0)
	}
	for n := range p.m.groups {
		p.expect(p.w.DeleteGroup(ctx, p.w.us, p.m.groups[n]), true, 0)
	}
	for n := range p.m.apps {
		p.expect(p.w.DeleteApplication(ctx, p.w.us, p.m.apps[n].id), true, 0)
	}
}

// object is a user or a service principal, and sometimes nobody.
func (p *play) object(name string) string {
	if rapid.Bool().Draw(p.rt, "user") {
		return p.m.users[name]
	}
	return p.m.apps[name].principal
}

// or is an ID that nothing has, where there is none.
func or(id string) string {
	if id == "" {
		return "00000000-0000-4000-8000-00000000dead"
	}
	return id
}

// expect fails unless the error is nil exactly when it is to be, and of the
// kind otherwise.
func (p *play) expect(err error, good bool, kind fault.Kind) bool {
	p.rt.Helper()
	if good != (err == nil) || !good && fault.Of(err) != kind {
		p.rt.Fatalf("%v, want success %v or %v", err, good, kind)
	}
	return good
}

// compare looks at all that is in the directory by the tag.
func (p *play) compare() {
	p.rt.Helper()
	ctx := p.w.Context()
	list, err := p.w.Users(ctx, p.w.us)
	p.expect(err, true, 0)
	p.same("users", slices.Sorted(maps.Values(p.m.users)), ids(list, func(u directory.User) (string, bool) { return u.ID, strings.HasPrefix(u.DisplayName, p.tag) }))
	groups, err := p.w.Groups(ctx, p.w.us)
	p.expect(err, true, 0)
	p.same("groups", slices.Sorted(maps.Values(p.m.groups)), ids(groups, func(g directory.Group) (string, bool) { return g.ID, strings.HasPrefix(g.DisplayName, p.tag) }))
	members := []string{}
	for _, g := range p.m.groups {
		all, err := p.w.Members(ctx, p.w.us, g)
		p.expect(err, true, 0)
		members = append(members, ids(all, func(o directory.Object) (string, bool) { return g + " " + o.ID, true })...)
	}
	slices.Sort(members)
	p.same("members", slices.Sorted(maps.Keys(p.m.members)), members)
	readers, err := p.w.RoleMembers(ctx, p.w.us, directory.GlobalReader)
	p.expect(err, true, 0)
	p.same("readers", slices.Sorted(maps.Keys(p.m.roles)), ids(readers, func(o directory.Object) (string, bool) { return o.ID + " reader", o.ID != p.w.reader.Object }))
	var apps, principals, assigned []string
	for _, a := range p.m.apps {
		apps = append(apps, a.id)
		if a.principal == "" {
			continue
		}
		principals = append(principals, a.principal)
		to, err := p.w.AssignedTo(ctx, p.w.us, a.principal)
		p.expect(err, true, 0)
		assigned = append(assigned, ids(to, func(x directory.Assignment) (string, bool) { return x.Principal + " " + x.Resource, true })...)
	}
	var of []string // the same from the other side
	for _, id := range append(principals, slices.Collect(maps.Values(p.m.users))...) {
		all, err := p.w.AssignmentsOf(ctx, p.w.us, id)
		p.expect(err, true, 0)
		of = append(of, ids(all, func(x directory.Assignment) (string, bool) { return x.Principal + " " + x.Resource, true })...)
	}
	slices.Sort(of)
	p.same("assignments by whom they are given to", slices.Sorted(maps.Keys(p.m.assigned)), of)
	slices.Sort(apps)
	slices.Sort(principals)
	slices.Sort(assigned)
	got, err := p.w.Applications(ctx, p.w.us)
	p.expect(err, true, 0)
	p.same("applications", apps, ids(got, func(a directory.Application) (string, bool) { return a.ID, strings.HasPrefix(a.DisplayName, p.tag) }))
	all, err := p.w.Principals(ctx, p.w.us)
	p.expect(err, true, 0)
	p.same("principals", principals, ids(all, func(x directory.ServicePrincipal) (string, bool) {
		return x.ID, strings.HasPrefix(x.DisplayName, p.tag)
	}))
	p.same("assignments", slices.Sorted(maps.Keys(p.m.assigned)), assigned)
	grants, err := p.w.Grants(ctx, p.w.us)
	p.expect(err, true, 0)
	want := []string{}
	for key, scopes := range p.m.granted {
		want = append(want, key+" "+strings.Join(slices.Sorted(maps.Keys(scopes)), " "))
	}
	slices.Sort(want)
	p.same("grants", want, ids(grants, func(g directory.Grant) (string, bool) {
		slices.Sort(g.Scopes)
		return g.Client + " " + g.Principal + " " + g.Resource + " " + strings.Join(g.Scopes, " "), true
	}))
}

func (p *play) same(what string, want, got []string) {
	p.rt.Helper()
	if !slices.Equal(want, got) {
		p.rt.Fatalf("%s: the directory has %v, not %v", what, got, want)
	}
}

// ids are what key makes of those that it takes, in order.
func ids[T any](all []T, key func(T) (string, bool)) []string {
	list := []string{}
	for _, x := range all {
		if k, ok := key(x); ok {
			list = append(list, k)
		}
	}
	slices.Sort(list)
	return list
}
