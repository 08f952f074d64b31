package directory

import (
	"context"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
)

// RoleMembers are the users and service principals that have a directory role.
func (s *Set) RoleMembers(ctx context.Context, c Caller, r DirectoryRole) (list []Object, err error) {
	err = s.look(ctx, c, readRoles, func(tx *store.Tx) error {
		list, err = objects(ctx, tx, c.Tenant, "SELECT member FROM directory_role WHERE tenant = ? AND role = ? ORDER BY member", c.Tenant, string(r))
		return err
	})
	return list, err
}

// RolesOf are the directory roles of an object.
func (s *Set) RolesOf(ctx context.Context, c Caller, object string) (list []DirectoryRole, err error) {
	r := readRoles
	if strings.EqualFold(object, c.Object) {
		r = readSelf
	}
	err = s.look(ctx, c, r, func(tx *store.Tx) error {
		list, err = rolesOf(ctx, tx, c.Tenant, strings.ToLower(object))
		return err
	})
	return list, err
}

// AssignDirectoryRole gives a role over the directory to a user or a service
// principal. Having it already is no error.
func (s *Set) AssignDirectoryRole(ctx context.Context, c Caller, r DirectoryRole, member string) error {
	e := edit{by: c, needs: writeRoles, action: "microsoft.directory/roleAssignments/create", target: target(c.Tenant, "directoryRoles", r.ID())}
	return s.change(ctx, &e, func(tx *store.Tx) error {
		if r.ID() == "" {
			return missing("directory role", string(r))
		}
		o, err := object(ctx, tx, c.Tenant, strings.ToLower(member))
		switch {
		case err != nil:
			return err
		case o.Kind == KindGroup:
			return invalid("A directory role is not given to a group here: give it to the members of '%s' one by one.", o.Name)
		}
		n, err := tx.Exec(ctx, "INSERT INTO directory_role (tenant, role, member, created) VALUES (?, ?, ?, ?) ON CONFLICT (tenant, role, member) DO NOTHING", c.Tenant, string(r), o.ID, store.Micros(now()))
		if err == nil && n == 0 {
			return errNothing
		}
		e.target = target(c.Tenant, "directoryRoles", r.ID()+"/members/"+o.ID)
		return err
	})
}

// UnassignDirectoryRole takes a role away.
func (s *Set) UnassignDirectoryRole(ctx context.Context, c Caller, r DirectoryRole, member string) error {
	e := edit{by: c, needs: writeRoles, action: "microsoft.directory/roleAssignments/delete", target: target(c.Tenant, "directoryRoles", r.ID()+"/members/"+strings.ToLower(member))}
	return s.change(ctx, &e, func(tx *store.Tx) error {
		n, err := tx.Exec(ctx, "DELETE FROM directory_role WHERE tenant = ? AND role = ? AND member = ?", c.Tenant, string(r), strings.ToLower(member))
		if err != nil || n > 0 {
			return err
		}
		return &fault.Error{Kind: fault.NotFound, Public: "The member does not have this role."}
	})
}

// rolesOf are the directory roles of an object.
func rolesOf(ctx context.Context, tx *store.Tx, tenant, member string) ([]DirectoryRole, error) {
	return store.All(ctx, tx, func(scan store.Scan) (r DirectoryRole, err error) { return r, scan(&r) },
		"SELECT role FROM directory_role WHERE tenant = ? AND member = ? ORDER BY role", tenant, member)
}
