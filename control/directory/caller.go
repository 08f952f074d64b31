package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
)

// Caller is who asks for something. What it may do is not told but looked up,
// in the transaction of each change: a role that was taken away a moment ago
// is gone.
type Caller struct {
	Tenant string
	Object string // ID of the user or service principal; "" for the deployment itself
	Name   string // for the audit trail; may be empty
	// App is the client ID of the program that acts, for itself or for a user;
	// "" when the user acts in person, on our own pages.
	App      string
	Scopes   []string // of the token, when a program acts for a user
	AppRoles []string // of the token, when it acts for itself
	Part     bool     // of this deployment: the control socket, or a step of ours
}

// Ourselves is the deployment, acting in a tenant.
func Ourselves(tenant, name string) Caller {
	return Caller{Tenant: strings.ToLower(tenant), Name: name, Part: true}
}

// String is how the caller stands in logs.
func (c Caller) String() string {
	for _, s := range []string{c.Name, c.Object} {
		if s != "" {
			return s
		}
	}
	return "control"
}

// DirectoryRole is a role over the directory itself.
type DirectoryRole string

// The roles.
const (
	GlobalAdministrator           DirectoryRole = "Global Administrator"
	ApplicationAdministrator      DirectoryRole = "Application Administrator"
	CloudApplicationAdministrator DirectoryRole = "Cloud Application Administrator"
	GlobalReader                  DirectoryRole = "Global Reader"
)

// roleTemplates are the IDs of the roles, the same in every tenant (Microsoft
// Entra docs, "Microsoft Entra built-in roles").
var roleTemplates = map[DirectoryRole]string{
	GlobalAdministrator:           "62e90394-69f5-4237-9190-012177145e10",
	ApplicationAdministrator:      "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3",
	CloudApplicationAdministrator: "158c047a-c907-4556-b7ef-446551a6b5f7",
	GlobalReader:                  "f2ef992c-3afb-46b9-b7cf-a126ee74c451",
}

// DirectoryRoles are all of them, the most powerful first.
func DirectoryRoles() []DirectoryRole {
	return []DirectoryRole{GlobalAdministrator, ApplicationAdministrator, CloudApplicationAdministrator, GlobalReader}
}

// ID is the role's template ID, which is its object ID here too.
func (r DirectoryRole) ID() string { return roleTemplates[r] }

// RoleOf is the role with an ID or a name, in any case; "" when there is none.
func RoleOf(s string) DirectoryRole {
	for r, id := range roleTemplates {
		if strings.EqualFold(s, id) || strings.EqualFold(s, string(r)) {
			return r
		}
	}
	return ""
}

// right is what somebody may do in a tenant: whoever has one of the roles, in
// person or through a program that has one of the permissions of Microsoft
// Graph; or a program for itself that was given one of them.
type right struct {
	name        string
	roles       []DirectoryRole // besides Global Administrator, who may everything
	anyone      bool            // every user of the tenant counts as one who has a role
	permissions []string
}

// asUser is the permission to do all that the user may (Microsoft Graph
// permissions reference, Directory.AccessAsUser.All).
const asUser = "Directory.AccessAsUser.All"

var (
	appAdmins = []DirectoryRole{ApplicationAdministrator, CloudApplicationAdministrator}
	lookers   = []DirectoryRole{ApplicationAdministrator, CloudApplicationAdministrator, GlobalReader}
)

// The rights (Microsoft Graph permissions reference; Microsoft Entra docs,
// "Microsoft Entra built-in roles").
var (
	readSelf         = right{name: "read who one is", anyone: true, permissions: []string{"User.Read", "User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}}
	readUsers        = right{name: "read users", anyone: true, permissions: []string{"User.ReadBasic.All", "User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}}
	readGroups       = right{name: "read groups", anyone: true, permissions: []string{"Group.Read.All", "Group.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}}
	readPrincipals   = right{name: "read service principals", anyone: true, permissions: []string{"Application.Read.All", "Application.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}}
	readApplications = right{name: "read applications", roles: lookers, permissions: []string{"Application.Read.All", "Application.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}}
	readGrants       = right{name: "read grants", roles: lookers, permissions: []string{"DelegatedPermissionGrant.ReadWrite.All", "Application.Read.All", "Application.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}}
	readRoles        = right{name: "read directory roles", anyone: true, permissions: []string{"RoleManagement.Read.Directory", "RoleManagement.ReadWrite.Directory", "Directory.Read.All", "Directory.ReadWrite.All"}}
	readDomains      = right{name: "read domains", anyone: true, permissions: []string{"Domain.Read.All", "Domain.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}}

	writeUsers        = right{name: "change users", permissions: []string{"User.ReadWrite.All", "Directory.ReadWrite.All"}}
	writeGroups       = right{name: "change groups", permissions: []string{"Group.ReadWrite.All", "Directory.ReadWrite.All"}}
	writeApplications = right{name: "change applications", roles: appAdmins, permissions: []string{"Application.ReadWrite.All", "Directory.ReadWrite.All"}}
	assignAppRoles    = right{name: "assign app roles", roles: appAdmins, permissions: []string{"AppRoleAssignment.ReadWrite.All"}}
	grantPermissions  = right{name: "consent for the whole tenant", roles: appAdmins, permissions: []string{"DelegatedPermissionGrant.ReadWrite.All"}}
	writeDomains      = right{name: "change domains", permissions: []string{"Domain.ReadWrite.All"}}
	// writeRoles is the key to everything: whoever may this may make itself
	// Global Administrator.
	writeRoles = right{name: "change who administers the directory", permissions: []string{"RoleManagement.ReadWrite.Directory"}}
)

// standing is what the directory knows of a caller, in one transaction.
type standing struct {
	known bool // it exists, and may sign in
	user  bool
	roles []DirectoryRole
	held  []string // app roles at Microsoft Graph, when it is a program
}

// stand looks a caller up.
func stand(ctx context.Context, tx *store.Tx, c Caller) (st standing, err error) {
	o, err := object(ctx, tx, c.Tenant, c.Object)
	if fault.Of(err) == fault.NotFound {
		return st, nil
	}
	if err != nil || !o.Enabled || o.Kind == KindGroup {
		return st, err
	}
	st.known, st.user = true, o.Kind == KindUser
	if st.user && c.App != "" {
		// What nobody may sign in to does nothing for anybody either.
		p, err := principalOf(ctx, tx, c.Tenant, c.App)
		if err == nil && !p.Enabled || err != nil && fault.Of(err) != fault.NotFound {
			return standing{}, err
		}
	}
	if st.roles, err = rolesOf(ctx, tx, c.Tenant, c.Object); err != nil || st.user {
		return st, err
	}
	st.held, err = heldAtGraph(ctx, tx, c.Tenant, c.Object)
	return st, err
}

// heldAtGraph are the permissions of a service principal at Microsoft Graph.
func heldAtGraph(ctx context.Context, tx *store.Tx, tenant, principal string) (list []string, err error) {
	ids, err := store.All(ctx, tx, func(scan store.Scan) (id string, err error) { return id, scan(&id) },
		"SELECT a.role FROM app_role_assignment a JOIN service_principal p ON p.id = a.resource WHERE a.principal = ? AND p.tenant = ? AND p.app = ?", principal, tenant, GraphID)
	for _, p := range graphPermissions {
		if p.role != "" && slices.Contains(ids, p.role) {
			list = append(list, p.value)
		}
	}
	return list, err
}

// has tells whether the caller has the right.
func (c Caller) has(st standing, r right) bool {
	role := slices.Contains(st.roles, GlobalAdministrator) || slices.ContainsFunc(st.roles, func(x DirectoryRole) bool { return slices.Contains(r.roles, x) })
	switch {
	case c.Part:
		return true
	case !st.known, !st.user && len(c.Scopes) > 0: // scopes are of a program that acts for a user
		return false
	case !st.user:
		// What the token says was true when it was signed; both must hold.
		return role || slices.ContainsFunc(r.permissions, func(p string) bool { return slices.Contains(c.AppRoles, p) && slices.Contains(st.held, p) })
	case c.App != "" && !slices.Contains(c.Scopes, asUser) && !slices.ContainsFunc(r.permissions, func(p string) bool { return slices.Contains(c.Scopes, p) }):
		return false
	}
	return role || r.anyone
}

// denied is the error of who has not the right. It says what it takes.
func denied(c Caller, r right) error {
	takes := []string{}
	for _, role := range append([]DirectoryRole{GlobalAdministrator}, r.roles...) {
		takes = append(takes, string(role))
	}
	public := "To " + r.name + " takes one of the roles " + strings.Join(takes, ", ")
	if r.anyone {
		public = "To " + r.name + " takes a user of the tenant"
	}
	public += "; a program needs one of the permissions " + strings.Join(r.permissions, ", ") + " of Microsoft Graph."
	return &fault.Error{Kind: fault.Denied, Public: public, Err: fmt.Errorf("%s may not %s in tenant %s", c, r.name, c.Tenant)}
}

// may is an error when the caller has not all of the rights.
func may(ctx context.Context, tx *store.Tx, c Caller, rights ...right) error {
	if c.Part {
		return nil
	}
	st, err := stand(ctx, tx, c)
	if err != nil {
		return err
	}
	for _, r := range rights {
		if !c.has(st, r) {
			return denied(c, r)
		}
	}
	return nil
}

// Change is a line for the audit trail.
type Change struct {
	By      Caller
	Action  string // "microsoft.directory/applications/create"
	Target  string // path of the object: "/tenants/<id>/applications/<id>"
	Outcome string // "Succeeded", "Denied"
}

// target is the path of an object in the audit trail.
func target(tenant, collection, id string) string {
	return "/tenants/" + tenant + "/" + collection + "/" + id
}

// errNothing is what a change returns that changed nothing: there is nothing to
// tell the trail.
var errNothing = errors.New("nothing has changed")

// look runs f in a transaction that reads, when the caller has the right.
func (s *Set) look(ctx context.Context, c Caller, r right, f func(tx *store.Tx) error) error {
	return s.store.Read(ctx, func(tx *store.Tx) error {
		if err := may(ctx, tx, c, r); err != nil {
			return err
		}
		return f(tx)
	})
}

// edit is a change that is asked for.
type edit struct {
	by     Caller
	needs  right
	action string
	target string // when it is known before
}

// change runs f in a transaction that writes, when the caller has the right,
// and tells the audit trail in the same. f may set e.target.
func (s *Set) change(ctx context.Context, e *edit, f func(tx *store.Tx) error) error {
	if t, ok := s.TenantOf(e.by.Tenant); !ok || t.ID != e.by.Tenant {
		return fault.New(fault.NotFound, "There is no such tenant.")
	}
	err := s.store.Write(ctx, func(tx *store.Tx) error {
		if err := may(ctx, tx, e.by, e.needs); err != nil {
			return err
		}
		if err := f(tx); err != nil {
			return err
		}
		return s.tell(ctx, tx, Change{e.by, e.action, e.target, "Succeeded"})
	})
	switch {
	case errors.Is(err, errNothing):
		return nil
	case fault.Of(err) == fault.Denied:
		s.refused(ctx, e)
	}
	return err
}

// allowed asks ahead of a change what change asks again: for what is slow, and
// therefore comes before the transaction.
func (s *Set) allowed(ctx context.Context, e *edit) error {
	err := s.look(ctx, e.by, e.needs, func(*store.Tx) error { return nil })
	if fault.Of(err) == fault.Denied {
		s.refused(ctx, e)
	}
	return err
}

// refused tells the trail of what was denied. Who is denied learns that in any
// case.
func (s *Set) refused(ctx context.Context, e *edit) {
	err := s.store.Write(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		return s.tell(ctx, tx, Change{e.by, e.action, e.target, "Denied"})
	})
	if err != nil {
		s.log.Error("the audit trail misses a refusal", "action", e.action, "by", e.by.String(), obs.KeyError, err)
	}
}

func (s *Set) tell(ctx context.Context, tx *store.Tx, c Change) error {
	if s.audit != nil {
		return s.audit(ctx, tx, c)
	}
	tx.After(func() {
		s.log.LogAttrs(context.WithoutCancel(ctx), slog.LevelInfo, "audit",
			slog.String("action", c.Action), slog.String("resource", c.Target), slog.String("outcome", c.Outcome), slog.String("principal", c.By.Object), slog.String("name", c.By.Name))
	})
	return nil
}
