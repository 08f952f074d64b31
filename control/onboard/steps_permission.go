package onboard

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/entra"
)

// The registrations' permissions: what each asks for and what it was granted,
// of whatever resource and for whomever it acts, set against what it needs.

// held is a permission that a registration asks for, or has.
type held struct {
	name string // "Data.Write", "Microsoft Graph/User.Read, delegated"
	ours bool   // a role of Project Synergy, which the procedure sees to
}

// access is what a registration has to ask for: nothing else.
func (r registration) access(synergy entra.Principal) ([]entra.Access, error) {
	var all []entra.Access
	for _, name := range r.roles {
		role, ok := synergy.Role(name)
		if !ok {
			return nil, fault.New(fault.Unavailable, "Project Synergy offers no role "+name+" in this directory")
		}
		all = append(all, entra.Access{ID: role.ID, Type: "Role"})
	}
	return all, nil
}

// surplus are those that a registration does not need.
func (r registration) surplus(list []held) (more []held) {
	for _, h := range list {
		if !h.ours || !slices.ContainsFunc(r.roles, func(role string) bool { return strings.EqualFold(role, h.name) }) {
			more = append(more, h)
		}
	}
	return more
}

// title names a permission of a resource, for people.
func title(p entra.Principal, id string) string {
	for _, r := range p.Roles {
		if strings.EqualFold(r.ID, id) {
			return r.Value
		}
	}
	for _, s := range p.Scopes {
		if strings.EqualFold(s.ID, id) {
			return s.Value
		}
	}
	return id
}

// offers is who offers a permission, by an ID of one kind or the other. One
// that is gone is called by its ID.
func (w *World) offers(ctx context.Context, id string, look func(context.Context, string) (entra.Principal, error)) (entra.Principal, error) {
	p, err := once(&w.told, "resource "+strings.ToLower(id), func() (entra.Principal, error) { return look(ctx, id) })
	if fault.Of(err) == fault.NotFound {
		return entra.Principal{DisplayName: id}, nil
	}
	return p, err
}

// asks are the permissions that a registration asks for.
func (w *World) asks(ctx context.Context, r registration) (list []held, err error) {
	a, err := w.application(ctx, r)
	if err != nil {
		return nil, err
	}
	for _, q := range a.Required {
		p, err := w.offers(ctx, q.Resource, w.Directory.PrincipalOf)
		if err != nil {
			return nil, err
		}
		synergy := strings.EqualFold(q.Resource, synergyApp)
		for _, x := range q.Access {
			list = append(list, permission(p, title(p, x.ID), synergy, x.Type == "Role"))
		}
	}
	return list, nil
}

// permission is one of a resource.
func permission(resource entra.Principal, name string, synergy, role bool) held {
	if synergy && role {
		return held{name, true}
	}
	name = resource.DisplayName + "/" + name
	if !role {
		name += ", delegated"
	}
	return held{name, false}
}

// unnamedRole is the app role of an application that offers none (Microsoft
// Graph docs, "appRoleAssignment resource type": appRoleId).
const unnamedRole = "00000000-0000-0000-0000-000000000000"

// granted are the permissions that a registration's service principal has: app
// roles, and what it may do for people.
func (w *World) granted(ctx context.Context, principal string, synergy entra.Principal) (list []held, err error) {
	roles, err := w.Directory.AssignmentsOf(ctx, principal)
	if err != nil {
		return nil, err
	}
	for _, a := range roles {
		p, err := w.offers(ctx, a.Resource, w.Directory.Principal)
		if err != nil {
			return nil, err
		}
		name := title(p, a.Role)
		if name == unnamedRole {
			name = "default access"
		}
		list = append(list, permission(p, name, strings.EqualFold(a.Resource, synergy.ID), true))
	}
	grants, err := w.Directory.Grants(ctx, principal)
	if err != nil {
		return nil, err
	}
	for _, g := range grants {
		p, err := w.offers(ctx, g.Resource, w.Directory.Principal)
		if err != nil {
			return nil, err
		}
		for scope := range strings.FieldsSeq(g.Scope) {
			list = append(list, permission(p, scope, false, false))
		}
	}
	slices.SortFunc(list, func(x, y held) int { return strings.Compare(x.name, y.name) })
	return slices.Compact(list), nil // one that several people have allowed is one
}

// difference says what is missing and what is too much.
func difference(want, got []string) string {
	var parts []string
	if missing := have(want, got); len(missing) > 0 {
		parts = append(parts, strings.Join(missing, ", ")+" missing")
	}
	if more := have(got, want); len(more) > 0 {
		parts = append(parts, strings.Join(more, ", ")+" too much")
	}
	return strings.Join(parts, ", ")
}

func names(list []held) (all []string) {
	for _, h := range list {
		all = append(all, h.name)
	}
	return all
}

func checkPermissions(ctx context.Context, w *World) (Finding, error) {
	if _, err := w.synergy(ctx); err != nil {
		return Finding{}, err
	}
	return w.each("Each asks for exactly what it needs", func(r registration) (string, []Evidence, error) {
		list, err := w.asks(ctx, r)
		got := names(list)
		slices.Sort(got)
		return difference(r.roles, got), []Evidence{Is("permissions", strings.Join(got, ", "))}, err
	})
}

// willRequire names what is taken away: somebody has asked for it.
func willRequire(w *World) string {
	return "has each registration ask for exactly what it needs" + w.takes(w.asks)
}

// takes names what registrations have too much, out of what a plan takes away.
func (w *World) takes(look func(context.Context, registration) ([]held, error)) string {
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	var all []string
	var text string
	for _, r := range w.registrations() {
		list, err := look(ctx, r)
		switch more := r.surplus(list); {
		case fault.Of(err) == fault.NotFound: // what is not there has nothing
		case err != nil:
			text = "; what it takes away could not be seen"
		case len(more) > 0:
			all = append(all, strings.Join(names(more), " and ")+" of "+r.name)
		}
	}
	if len(all) > 0 {
		text = "; takes away " + strings.Join(all, ", ") + strings.Replace(text, "what", "what else", 1)
	}
	return text
}

func instructPermissions(w *World) Instruction {
	var b strings.Builder
	for _, r := range w.registrations() {
		fmt.Fprintf(&b, "%s: %s\n", r.name, strings.Join(r.roles, ", "))
	}
	return Instruction{Text: "Under API permissions of each registration, select these of Project Synergy and no others", Command: w.command("apply --outside"), Paste: b.String()}
}

func require(ctx context.Context, w *World) error {
	synergy, err := w.synergy(ctx)
	if err != nil {
		return err
	}
	for _, r := range w.registrations() {
		a, err := w.application(ctx, r)
		if err != nil {
			return err
		}
		access, err := r.access(synergy)
		if err != nil {
			return err
		}
		if err := w.Directory.Require(ctx, a.ID, []entra.RequiredAccess{{Resource: synergyApp, Access: access}}); err != nil {
			return err
		}
	}
	return nil
}

// has are the permissions of a registration, and its service principal;
// fault.NotFound while it has none.
func (w *World) has(ctx context.Context, r registration) (p entra.Principal, list []held, err error) {
	synergy, err := w.synergy(ctx)
	if err != nil {
		return p, nil, err
	}
	a, err := w.application(ctx, r)
	if err != nil {
		return p, nil, err
	}
	if p, err = w.Directory.PrincipalOf(ctx, a.AppID); err != nil {
		return p, nil, err
	}
	list, err = w.granted(ctx, p.ID, synergy)
	return p, list, err
}

// checkConsent sees everything that a registration was granted. What is of
// others than Project Synergy somebody has granted for a reason that the
// procedure does not know: a person takes it away.
func checkConsent(ctx context.Context, w *World) (Finding, error) {
	if _, err := w.synergy(ctx); err != nil {
		return Finding{}, err
	}
	acts := false
	f, err := w.each("Consent is granted for each permission, and for nothing else", func(r registration) (string, []Evidence, error) {
		if _, err := w.application(ctx, r); err != nil {
			return "", nil, err
		}
		p, list, err := w.has(ctx, r)
		switch {
		case fault.Of(err) == fault.NotFound:
			acts = true
			return "no consent", nil, nil
		case err != nil:
			return "", nil, err
		}
		got := names(list)
		acts = acts || len(have(r.roles, got)) > 0 || slices.ContainsFunc(r.surplus(list), func(h held) bool { return h.ours })
		return difference(r.roles, got), []Evidence{Is("object ID of its service principal", p.ID), Is("consented", strings.Join(got, ", "))}, nil
	})
	if f.State == Ready && !acts {
		f.By = GlobalAdmin
	}
	return f, err
}

// willConsent names what is taken away.
func willConsent(w *World) string {
	return "grants admin consent to each registration" + w.takes(func(ctx context.Context, r registration) ([]held, error) {
		_, list, err := w.has(ctx, r)
		return slices.DeleteFunc(list, func(h held) bool { return !h.ours }), err
	})
}

func instructConsent(w *World) Instruction {
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	var revoke []string
	i := Instruction{Text: "As a Global Administrator, grant admin consent to each registration", Command: w.command("apply --outside")}
	for _, r := range w.registrations() {
		if a, err := w.application(ctx, r); err == nil {
			i.Paste += w.Directory.ConsentURL(a.AppID, "", "") + "\n"
		}
		_, list, err := w.has(ctx, r)
		for _, h := range r.surplus(list) {
			if name, _, _ := strings.Cut(h.name, ", delegated"); err == nil && !h.ours {
				revoke = append(revoke, "tandem app revoke "+quoted(r.name)+" "+quoted(name))
			}
		}
	}
	if len(revoke) > 0 {
		i = Instruction{Text: "Find out who has granted what is too much, and take it away", Command: revoke[0], Paste: strings.Join(revoke[1:], "\n")}
	}
	return i
}

// consent grants what the registrations ask for, and takes away what they have
// beyond it of Project Synergy.
func consent(ctx context.Context, w *World) error {
	synergy, err := w.synergy(ctx)
	if err != nil {
		return err
	}
	for _, r := range w.registrations() {
		a, err := w.application(ctx, r)
		if err != nil {
			return err
		}
		p, err := w.Directory.PrincipalOf(ctx, a.AppID)
		if fault.Of(err) == fault.NotFound {
			err = soon(ctx, func() (err error) {
				p, err = w.Directory.AddPrincipal(ctx, a.AppID, "")
				return err
			})
		}
		if err != nil {
			return err
		}
		if err := w.setRoles(ctx, r, p, synergy); err != nil {
			return err
		}
	}
	return nil
}

// setRoles gives a registration the roles of Project Synergy that it needs, and
// no others.
func (w *World) setRoles(ctx context.Context, r registration, p, synergy entra.Principal) error {
	access, err := r.access(synergy)
	if err != nil {
		return err
	}
	var got []entra.Assignment
	err = soon(ctx, func() (err error) {
		got, err = w.Directory.AssignmentsOf(ctx, p.ID)
		return err
	})
	if err != nil {
		return err
	}
	got = slices.DeleteFunc(got, func(a entra.Assignment) bool { return !strings.EqualFold(a.Resource, synergy.ID) })
	for _, x := range access {
		if !slices.ContainsFunc(got, func(g entra.Assignment) bool { return strings.EqualFold(g.Role, x.ID) }) {
			err := soon(ctx, func() error {
				return w.Directory.Assign(ctx, entra.Assignment{Principal: p.ID, Resource: synergy.ID, Role: x.ID})
			})
			if err != nil {
				return err
			}
		}
	}
	for _, g := range got {
		if !slices.ContainsFunc(access, func(x entra.Access) bool { return strings.EqualFold(g.Role, x.ID) }) {
			if err := w.Directory.Unassign(ctx, g); err != nil {
				return err
			}
		}
	}
	return nil
}
