package subscription

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
)

// Role is one of the three that are built in.
type Role string

// The roles.
const (
	Owner       Role = "Owner"       // everything
	Contributor Role = "Contributor" // everything but role assignments
	Reader      Role = "Reader"      // looks
)

// Roles are all of them, the most powerful first.
func Roles() []Role { return []Role{Owner, Contributor, Reader} }

// roleIDs are those of the same roles in Azure (Azure RBAC docs, "Azure
// built-in roles"), since scripts and templates name roles by ID.
var roleIDs = map[Role]string{
	Owner:       "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
	Contributor: "b24988ac-6180-42a0-ab88-20f7382dd24c",
	Reader:      "acdd72a7-3385-48ef-bd42-f606fba81ae7",
}

// ID is the role's UUID.
func (r Role) ID() string { return roleIDs[r] }

// RoleOf is the role with the ID, "" when there is none.
func RoleOf(id string) Role {
	for r, x := range roleIDs {
		if strings.EqualFold(x, id) {
			return r
		}
	}
	return ""
}

// may tells whether the role allows an action.
func (r Role) may(a Action) bool {
	low := strings.ToLower(string(a))
	switch r {
	case Owner:
		return true
	case Contributor:
		return !strings.HasPrefix(low, "microsoft.authorization/") || strings.HasSuffix(low, "/read")
	case Reader:
		return strings.HasSuffix(low, "/read")
	}
	return false
}

// Action is what is done, in the words of the resource API:
// "Microsoft.VoiceServices/communicationsGateways/write".
type Action string

// Assignment gives a role to a principal at a scope and all below it.
type Assignment struct {
	ID        string // UUID
	Scope     string // "/subscriptions/<id>", or a resource group in it
	Principal string // object ID of the principal, or the ID of an application
	Type      string // "ServicePrincipal", "User", "Group"
	Role      Role
	Created   time.Time
	CreatedBy string
	Fixed     bool // of the node's configuration
}

// Path is the assignment's ID in the resource API.
func (a Assignment) Path() string {
	return a.Scope + "/providers/Microsoft.Authorization/roleAssignments/" + a.ID
}

// fix makes an assignment of the configuration one that looks like the
// others: its ID is the same at every start.
func fix(a Assignment) Assignment {
	a.Scope, a.Principal, a.Fixed = strings.TrimRight(a.Scope, "/"), strings.ToLower(a.Principal), true
	a.ID = uuid.NewSHA1(uuid.NameSpaceURL, []byte(strings.ToLower(a.Scope+" "+string(a.Role)+" "+a.Principal))).String()
	if a.Type == "" {
		a.Type = "ServicePrincipal"
	}
	return a
}

// Access is all that one principal may do, read at one moment.
type Access struct {
	principal Principal
	grants    []Assignment
}

// Access reads what a principal may do.
func (s *Set) Access(ctx context.Context, p Principal) (Access, error) {
	a := Access{principal: p}
	if !strings.EqualFold(p.Tenant, s.tenant.ID) {
		return a, nil // a stranger's token is good for nothing here
	}
	ids := []string{strings.ToLower(p.Object), strings.ToLower(p.App)}
	err := s.store.Read(ctx, func(tx *store.Tx) error {
		a.grants = nil
		all := ids
		if s.principals != nil {
			groups, err := s.principals.Memberships(ctx, tx, ids[0])
			if err != nil {
				return err
			}
			all = append(slices.Clip(ids), groups...)
		}
		for _, g := range s.fixed {
			if g.Principal != "" && slices.Contains(all, g.Principal) {
				a.grants = append(a.grants, g)
			}
		}
		for _, id := range all {
			if id == "" {
				continue
			}
			found, err := assignments(ctx, tx, "WHERE principal = ?", id)
			if err != nil {
				return err
			}
			a.grants = append(a.grants, found...)
		}
		return nil
	})
	return a, err
}

// Everything is the access of somebody who owns the node itself.
func Everything(p Principal) Access {
	return Access{p, []Assignment{{Scope: "", Role: Owner}}}
}

// covers tells whether a scope is another or lies above it.
func covers(scope, below string) bool {
	scope, below = strings.ToLower(scope), strings.ToLower(below)
	return scope == below || strings.HasPrefix(below, scope+"/")
}

// May tells whether the principal may do an action at a scope.
func (a Access) May(scope string, action Action) bool {
	return slices.ContainsFunc(a.grants, func(g Assignment) bool { return covers(g.Scope, scope) && g.Role.may(action) })
}

// Touches tells whether the principal has a role at a scope or anywhere below
// it: then the scope itself is shown, though not all that is in it.
func (a Access) Touches(scope string) bool {
	return slices.ContainsFunc(a.grants, func(g Assignment) bool { return covers(g.Scope, scope) || covers(scope, g.Scope) })
}

// Check is an error when the principal may not. It says the same whether the
// scope exists or not (Azure Resource Manager docs, "Troubleshoot Azure
// RBAC").
func (a Access) Check(scope string, action Action) error {
	if a.May(scope, action) {
		return nil
	}
	return fault.New(fault.Denied, fmt.Sprintf("The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. "+
		"If access was recently granted, please refresh your credentials.", a.principal, a.principal.Object, action, scope))
}

// Authorize is an error, fault.Denied, when a principal may not do an action
// at a scope.
func (s *Set) Authorize(ctx context.Context, p Principal, scope string, action Action) error {
	a, err := s.Access(ctx, p)
	if err != nil {
		return err
	}
	return a.Check(scope, action)
}

// Assignments are those that hold at a scope: on it and above it, and with
// below also those within it.
func (s *Set) Assignments(ctx context.Context, scope string, below bool) ([]Assignment, error) {
	all := slices.Clone(s.fixed)
	err := s.store.Read(ctx, func(tx *store.Tx) error {
		found, err := assignments(ctx, tx, "")
		all = append(slices.Clone(s.fixed), found...)
		return err
	})
	return slices.DeleteFunc(all, func(a Assignment) bool {
		return !covers(a.Scope, scope) && (!below || !covers(scope, a.Scope))
	}), err
}

// Assignment is the one with the ID at exactly a scope.
func (s *Set) Assignment(ctx context.Context, scope, id string) (Assignment, error) {
	all, err := s.Assignments(ctx, scope, false)
	if err != nil {
		return Assignment{}, err
	}
	for _, a := range all {
		if strings.EqualFold(a.ID, id) && strings.EqualFold(a.Scope, scope) {
			return a, nil
		}
	}
	return Assignment{}, fault.New(fault.NotFound, fmt.Sprintf("The role assignment '%s' is not found.", id))
}

var principalID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// principalTypes are what a principal may be said to be (Azure RBAC REST API
// docs, "Role Assignments - Create", PrincipalType).
var principalTypes = []string{"ServicePrincipal", "User", "Group", "ForeignGroup", "Device"}

// Assign gives a role. An assignment never changes: the same again is no
// error, another of the same ID is a conflict.
func (s *Set) Assign(ctx context.Context, by Principal, a Assignment) (Assignment, bool, error) {
	a.ID, a.Scope, a.Principal = strings.ToLower(a.ID), strings.TrimRight(a.Scope, "/"), strings.ToLower(a.Principal)
	switch {
	case !principalID.MatchString(a.ID):
		return a, false, fault.New(fault.Invalid, fmt.Sprintf("The role assignment ID '%s' must be a GUID.", a.ID))
	case !principalID.MatchString(a.Principal):
		return a, false, fault.New(fault.Invalid, fmt.Sprintf("The principal ID '%s' must be a GUID.", a.Principal))
	case !slices.Contains(Roles(), a.Role):
		return a, false, fault.New(fault.Invalid, "The role must be Owner, Contributor or Reader.")
	}
	if a.Type != "" {
		i := slices.IndexFunc(principalTypes, func(known string) bool { return strings.EqualFold(known, a.Type) })
		if i < 0 {
			return a, false, fault.New(fault.Invalid, fmt.Sprintf("The principal type '%.50s' is not known: write one of %s.", a.Type, strings.Join(principalTypes, ", ")))
		}
		a.Type = principalTypes[i]
	}
	created := false
	err := s.store.Write(ctx, func(tx *store.Tx) error {
		created = false
		if err := s.kind(ctx, tx, &a); err != nil {
			return err
		}
		all, err := assignments(ctx, tx, "")
		if err != nil {
			return err
		}
		within := 0
		for _, old := range append(all, s.fixed...) {
			if covers(subscriptionOf(a.Scope), old.Scope) {
				within++
			}
			same := strings.EqualFold(old.Scope, a.Scope) && old.Principal == a.Principal && old.Role == a.Role
			switch {
			case old.ID == a.ID && same:
				a = old
				return nil
			case old.ID == a.ID:
				return fault.New(fault.Conflict, "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.")
			case same:
				return fault.New(fault.Conflict, fmt.Sprintf("The role assignment already exists. The ID of the existing role assignment is %s.", strings.ReplaceAll(old.ID, "-", "")))
			}
		}
		if within >= maxAssignments {
			return fault.New(fault.Conflict, fmt.Sprintf("No more role assignments can be created: the subscription has %d. Assign roles to fewer, larger scopes, or remove some.", within))
		}
		a.Created, a.CreatedBy, a.Fixed, created = time.Now().UTC().Truncate(time.Microsecond), by.Object, false, true
		_, err = tx.Exec(ctx, "INSERT INTO role_assignment (id, scope, principal, principal_type, role, created, created_by) VALUES (?, ?, ?, ?, ?, ?, ?)",
			a.ID, a.Scope, a.Principal, a.Type, string(a.Role), store.Micros(a.Created), a.CreatedBy)
		if err != nil {
			return err
		}
		return s.audit(ctx, tx, "Microsoft.Authorization/roleAssignments/write", a.Path())
	})
	return a, created, err
}

// subscriptionOf is the subscription that a scope lies in.
func subscriptionOf(scope string) string {
	parts := strings.SplitN(scope, "/", 4)
	return strings.Join(parts[:min(3, len(parts))], "/")
}

// kind fills in what the principal of an assignment is, and tells when it is
// something else than was said. One that the directory does not know may be of
// another directory.
func (s *Set) kind(ctx context.Context, tx *store.Tx, a *Assignment) error {
	kind := ""
	if s.principals != nil {
		var err error
		if kind, err = s.principals.KindOf(ctx, tx, strings.ToLower(s.tenant.ID), a.Principal); err != nil {
			return err
		}
	}
	if kind != "" && a.Type != "" && kind != a.Type {
		return fault.New(fault.Invalid, fmt.Sprintf("The PrincipalId '%s' has type '%s', which is different from specified PrincipalType '%s'.", strings.ReplaceAll(a.Principal, "-", ""), kind, a.Type))
	}
	a.Type = cmp.Or(a.Type, kind, "ServicePrincipal")
	return nil
}

// Unassign takes a role away and gives back what it was; the zero Assignment
// when there was none.
func (s *Set) Unassign(ctx context.Context, scope, id string) (Assignment, error) {
	a, err := s.Assignment(ctx, scope, id)
	switch {
	case fault.Of(err) == fault.NotFound:
		return Assignment{}, nil
	case err != nil:
		return Assignment{}, err
	case a.Fixed:
		return a, fault.New(fault.Conflict, "This role assignment is part of the configuration of the control node: remove it there, under control.login.clients.")
	}
	return a, s.store.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, "DELETE FROM role_assignment WHERE id = ?", a.ID); err != nil {
			return err
		}
		return s.audit(ctx, tx, "Microsoft.Authorization/roleAssignments/delete", a.Path())
	})
}

// Gone takes away the roles of somebody who was deleted, in the transaction of
// that: what comes later with the same ID is somebody else.
func (s *Set) Gone(ctx context.Context, tx *store.Tx, principal string) error {
	list, err := assignments(ctx, tx, "WHERE principal = ?", strings.ToLower(principal))
	for _, a := range list {
		if _, err := tx.Exec(ctx, "DELETE FROM role_assignment WHERE id = ?", a.ID); err != nil {
			return err
		}
		if err := s.audit(ctx, tx, "Microsoft.Authorization/roleAssignments/delete", a.Path()); err != nil {
			return err
		}
	}
	return err
}

// unassignAll takes away the roles given at a scope and below. The database is
// not asked which: what it knows of case ends with ASCII.
func unassignAll(ctx context.Context, tx *store.Tx, scope string) error {
	all, err := assignments(ctx, tx, "")
	for _, a := range all {
		if !covers(scope, a.Scope) {
			continue
		}
		if _, err := tx.Exec(ctx, "DELETE FROM role_assignment WHERE id = ?", a.ID); err != nil {
			return err
		}
	}
	return err
}

func assignments(ctx context.Context, tx *store.Tx, where string, args ...any) ([]Assignment, error) {
	return store.All(ctx, tx, func(scan store.Scan) (a Assignment, err error) {
		var created int64
		err = scan(&a.ID, &a.Scope, &a.Principal, &a.Type, &a.Role, &created, &a.CreatedBy)
		a.Created = store.Time(created)
		return a, err
	}, "SELECT id, scope, principal, principal_type, role, created, created_by FROM role_assignment "+where+" ORDER BY id", args...)
}
