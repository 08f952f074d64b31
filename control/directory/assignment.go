package directory

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
)

// Assignment gives an app role of a resource to a principal.
type Assignment struct {
	ID        string
	Tenant    string
	Principal string // object ID
	Kind      Kind   // of the principal
	Resource  string // object ID of the service principal that offers the role
	Role      string // ID of the role; DefaultRole when it offers none
	Created   time.Time

	// For people, filled in when it is read.
	PrincipalName, ResourceName string
}

// DefaultRole is what users and groups are assigned to an application by that
// offers no role to them.
const DefaultRole = "00000000-0000-0000-0000-000000000000"

// Assign gives an app role. Those of Microsoft Graph, which are power over the
// directory, are given only by who may say who administers it.
func (s *Set) Assign(ctx context.Context, c Caller, a Assignment) (Assignment, error) {
	e := edit{by: c, needs: assignAppRoles, action: "microsoft.directory/servicePrincipals/appRoleAssignedTo/update", target: target(c.Tenant, "servicePrincipals", a.Resource)}
	err := s.change(ctx, &e, func(tx *store.Tx) (err error) {
		a, err = s.assign(ctx, tx, c, a)
		e.target = target(c.Tenant, "servicePrincipals", a.Resource) + "/appRoleAssignedTo/" + a.ID
		return err
	})
	return a, err
}

func (s *Set) assign(ctx context.Context, tx *store.Tx, c Caller, a Assignment) (Assignment, error) {
	a.ID, a.Tenant, a.Created = newID(), c.Tenant, now()
	a.Principal, a.Resource, a.Role = strings.ToLower(a.Principal), strings.ToLower(a.Resource), strings.ToLower(a.Role)
	o, err := object(ctx, tx, c.Tenant, a.Principal)
	if err != nil {
		return a, err
	}
	p, err := principalByID(ctx, tx, c.Tenant, a.Resource)
	if err == nil {
		p, err = s.describe(ctx, tx, p)
	}
	if err != nil {
		return a, err
	}
	a.Kind, a.PrincipalName, a.ResourceName = o.Kind, o.Name, p.DisplayName
	if err := offers(p, a.Role, o); err != nil {
		return a, err
	}
	if p.AppID == GraphID {
		if err := may(ctx, tx, c, writeRoles); err != nil {
			return a, err
		}
	}
	n, err := tx.Exec(ctx, "INSERT INTO app_role_assignment (id, tenant, principal, kind, resource, role, created) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (principal, resource, role) DO NOTHING",
		a.ID, a.Tenant, a.Principal, string(a.Kind), a.Resource, a.Role, store.Micros(a.Created))
	if err == nil && n == 0 {
		err = invalid("Permission being assigned already exists on the object")
	}
	return a, err
}

// offers tells whether a resource offers a role to an object.
func offers(p ServicePrincipal, role string, to Object) error {
	kind := ForUsers
	if to.Kind == KindPrincipal {
		kind = ForApplications
	}
	if role == DefaultRole && kind == ForUsers && !slices.ContainsFunc(p.Roles, func(r AppRole) bool { return slices.Contains(r.For, ForUsers) }) {
		return nil
	}
	i := slices.IndexFunc(p.Roles, func(r AppRole) bool { return r.ID == role })
	switch {
	case i < 0 || p.Roles[i].Disabled:
		return invalid("Permission being assigned was not found on application '%s'.", p.AppID)
	case !slices.Contains(p.Roles[i].For, kind):
		return invalid("The role '%s' of '%s' is not for a %s: it is for %s.", p.Roles[i].Value, p.DisplayName, to.Kind, strings.Join(p.Roles[i].For, " and "))
	}
	return nil
}

// Unassign takes an app role away.
func (s *Set) Unassign(ctx context.Context, c Caller, id string) error {
	e := edit{by: c, needs: assignAppRoles, action: "microsoft.directory/servicePrincipals/appRoleAssignedTo/update", target: target(c.Tenant, "appRoleAssignments", id)}
	return s.change(ctx, &e, func(tx *store.Tx) error {
		found, err := assignments(ctx, tx, "WHERE a.tenant = ? AND a.id = ?", c.Tenant, strings.ToLower(id))
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return missing("app role assignment", id)
		}
		a := found[0]
		e.target = target(c.Tenant, "servicePrincipals", a.Resource) + "/appRoleAssignedTo/" + a.ID
		p, err := principalByID(ctx, tx, c.Tenant, a.Resource)
		if err != nil {
			return err
		}
		if p.AppID == GraphID {
			if a.Kind == KindPrincipal {
				holder, err := principalByID(ctx, tx, c.Tenant, a.Principal)
				if err != nil {
					return err
				}
				if holder.AppID == OnboardingID {
					return fault.New(fault.Conflict, "This assignment belongs to the deployment itself and cannot be changed.")
				}
			}
			if err := may(ctx, tx, c, writeRoles); err != nil {
				return err
			}
		}
		return drop(ctx, tx, a.ID, "app_role_assignment WHERE id")
	})
}

// AssignmentsOf are the app roles that a user, group or service principal was
// given itself.
func (s *Set) AssignmentsOf(ctx context.Context, c Caller, principal string) ([]Assignment, error) {
	r := readPrincipals
	if strings.EqualFold(principal, c.Object) {
		r = readSelf
	}
	return s.assignments(ctx, c, r, principal, "principal")
}

// AssignedTo are those that a resource's roles were given to.
func (s *Set) AssignedTo(ctx context.Context, c Caller, resource string) ([]Assignment, error) {
	return s.assignments(ctx, c, readPrincipals, resource, "resource")
}

func (s *Set) assignments(ctx context.Context, c Caller, r right, id, column string) (list []Assignment, err error) {
	err = s.look(ctx, c, r, func(tx *store.Tx) error {
		if _, err := object(ctx, tx, c.Tenant, strings.ToLower(id)); err != nil {
			return err
		}
		list, err = assignments(ctx, tx, "WHERE a.tenant = ? AND a."+column+" = ? ORDER BY a.created, a.id", c.Tenant, strings.ToLower(id))
		if err != nil {
			return err
		}
		for i := range list {
			if err := named(ctx, tx, &list[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

// named fills in the names of both sides.
func named(ctx context.Context, tx *store.Tx, a *Assignment) error {
	o, err := object(ctx, tx, a.Tenant, a.Principal)
	if err != nil {
		return err
	}
	p, err := principalByID(ctx, tx, a.Tenant, a.Resource)
	a.PrincipalName, a.ResourceName = o.Name, p.DisplayName
	return err
}

// RolesAt are the values of the roles that an object has at an application of
// its tenant; none where the tenant does not have the application.
func (s *Set) RolesAt(ctx context.Context, tenant, object, app string) (roles []string, err error) {
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		roles = nil
		resource, err := s.resource(ctx, tx, strings.ToLower(tenant), app)
		if fault.Of(err) == fault.NotFound {
			return nil
		}
		if err == nil {
			roles, err = appRolesOf(ctx, tx, object, resource)
		}
		return err
	})
	return roles, err
}

// appRolesOf are the values of the roles that an object has at a resource, by
// itself and by its groups.
func appRolesOf(ctx context.Context, tx *store.Tx, principal string, resource ServicePrincipal) ([]string, error) {
	ids, err := store.All(ctx, tx, func(scan store.Scan) (id string, err error) { return id, scan(&id) },
		"SELECT role FROM app_role_assignment WHERE resource = ? AND (principal = ? OR principal IN (SELECT grp FROM directory_member WHERE member = ?))", resource.ID, principal, principal)
	list := []string{}
	for _, r := range resource.Roles {
		if !r.Disabled && slices.Contains(ids, r.ID) {
			list = append(list, r.Value)
		}
	}
	return list, err
}

func assignments(ctx context.Context, tx *store.Tx, where string, args ...any) ([]Assignment, error) {
	return store.All(ctx, tx, func(scan store.Scan) (a Assignment, err error) {
		var created int64
		err = scan(&a.ID, &a.Tenant, &a.Principal, &a.Kind, &a.Resource, &a.Role, &created)
		a.Created = store.Time(created)
		return a, err
	}, "SELECT a.id, a.tenant, a.principal, a.kind, a.resource, a.role, a.created FROM app_role_assignment a "+where, args...)
}
