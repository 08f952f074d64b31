package directory

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
)

// Grant lets a program act for users at a resource (Microsoft Graph docs,
// "oAuth2PermissionGrant resource type").
type Grant struct {
	ID          string
	Tenant      string
	Client      string // object ID of the program's service principal
	ConsentType string // AllPrincipals, OnePrincipal
	Principal   string // object ID of the user; "" for all
	Resource    string // object ID of the resource's service principal
	Scopes      []string
	Created     time.Time
}

// The types of consent.
const (
	AllPrincipals = "AllPrincipals"
	OnePrincipal  = "Principal"
)

// Grants are all of the caller's tenant.
func (s *Set) Grants(ctx context.Context, c Caller) (list []Grant, err error) {
	err = s.look(ctx, c, readGrants, func(tx *store.Tx) error {
		list, err = grants(ctx, tx, "WHERE tenant = ? ORDER BY id", c.Tenant)
		return err
	})
	return list, err
}

// Grant is the one with an ID.
func (s *Set) Grant(ctx context.Context, c Caller, id string) (g Grant, err error) {
	err = s.look(ctx, c, readGrants, func(tx *store.Tx) error {
		g, err = grant(ctx, tx, c.Tenant, id)
		return err
	})
	return g, err
}

// AddGrant makes a grant that is not there yet.
func (s *Set) AddGrant(ctx context.Context, c Caller, g Grant) (Grant, error) {
	return s.allow(ctx, c, g, false)
}

// Allow adds scopes to what a program may do for a user, or for all: what
// follows a consent that somebody has given. Users may consent for themselves
// to what needs no administrator, in person and not through a program.
func (s *Set) Allow(ctx context.Context, c Caller, g Grant) (Grant, error) {
	return s.allow(ctx, c, g, true)
}

func (s *Set) allow(ctx context.Context, c Caller, g Grant, merge bool) (Grant, error) {
	e := edit{by: c, needs: grantPermissions, action: "microsoft.directory/oAuth2PermissionGrants/create"}
	if merge && c.App == "" && g.ConsentType == OnePrincipal && c.Object != "" && strings.EqualFold(g.Principal, c.Object) {
		e.needs = readSelf // and each scope is looked at below
	}
	asked := g
	err := s.change(ctx, &e, func(tx *store.Tx) (err error) {
		g = asked // anew when the transaction is: scopes of before may be revoked now
		g.ID, g.Tenant, g.Created = newID(), c.Tenant, now()
		g, err = s.allowIn(ctx, tx, c, g, merge)
		e.target = target(c.Tenant, "oauth2PermissionGrants", g.ID)
		return err
	})
	return g, err
}

func (s *Set) allowIn(ctx context.Context, tx *store.Tx, c Caller, g Grant, merge bool) (Grant, error) {
	g, admin, err := s.checkGrant(ctx, tx, g)
	if err != nil {
		return g, err
	}
	if err := s.mayAllow(ctx, tx, c, g, admin); err != nil {
		return g, err
	}
	old, err := grants(ctx, tx, "WHERE client = ? AND consent = ? AND principal = ? AND resource = ?", g.Client, g.ConsentType, g.Principal, g.Resource)
	switch {
	case err != nil:
		return g, err
	case len(old) > 0 && !merge:
		return g, fault.New(fault.Conflict, "Permission entry already exists.")
	case len(old) > 0:
		g.ID, g.Created = old[0].ID, old[0].Created
		g.Scopes = words(append(old[0].Scopes, g.Scopes...))
		if len(g.Scopes) == len(old[0].Scopes) {
			return g, errNothing
		}
		_, err = tx.Exec(ctx, "UPDATE permission_grant SET scope = ? WHERE id = ?", strings.Join(g.Scopes, " "), g.ID)
		return g, err
	}
	_, err = tx.Exec(ctx, "INSERT INTO permission_grant (id, tenant, client, consent, principal, resource, scope, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		g.ID, g.Tenant, g.Client, g.ConsentType, g.Principal, g.Resource, strings.Join(g.Scopes, " "), store.Micros(g.Created))
	return g, err
}

// rulers are the permissions by which a program, in the hands of a Global
// Administrator, is one itself: nobody less may open that door for it.
var rulers = []string{asUser, "RoleManagement.ReadWrite.Directory"}

// rules tells whether a grant has one of them.
func (g Grant) rules() bool {
	return slices.ContainsFunc(g.Scopes, func(x string) bool { return slices.Contains(rulers, x) })
}

// mayAllow tells whether a caller may make a grant.
func (s *Set) mayAllow(ctx context.Context, tx *store.Tx, c Caller, g Grant, admin bool) error {
	if !admin {
		return nil
	}
	rights := []right{grantPermissions}
	if g.rules() {
		rights = append(rights, writeRoles)
	}
	return may(ctx, tx, c, rights...)
}

// UpdateGrant makes the scopes of a grant those.
func (s *Set) UpdateGrant(ctx context.Context, c Caller, id string, scopes []string) (g Grant, err error) {
	e := edit{by: c, needs: grantPermissions, action: "microsoft.directory/oAuth2PermissionGrants/update", target: target(c.Tenant, "oauth2PermissionGrants", id)}
	err = s.change(ctx, &e, func(tx *store.Tx) error {
		if g, err = grant(ctx, tx, c.Tenant, id); err != nil {
			return err
		}
		g.Scopes = scopes
		if g, _, err = s.checkGrant(ctx, tx, g); err != nil {
			return err
		}
		if err := s.mayAllow(ctx, tx, c, g, true); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE permission_grant SET scope = ? WHERE id = ?", strings.Join(g.Scopes, " "), g.ID)
		return err
	})
	return g, err
}

// Revoke ends a grant.
func (s *Set) Revoke(ctx context.Context, c Caller, id string) error {
	e := edit{by: c, needs: grantPermissions, action: "microsoft.directory/oAuth2PermissionGrants/delete", target: target(c.Tenant, "oauth2PermissionGrants", id)}
	return s.change(ctx, &e, func(tx *store.Tx) error {
		g, err := grant(ctx, tx, c.Tenant, id)
		if err != nil {
			return err
		}
		return drop(ctx, tx, g.ID, "permission_grant WHERE id")
	})
}

// checkGrant tells what is wrong with a grant, and whether it takes an
// administrator.
func (s *Set) checkGrant(ctx context.Context, tx *store.Tx, g Grant) (_ Grant, admin bool, err error) {
	g.Client, g.Principal, g.Resource, g.Scopes = strings.ToLower(g.Client), strings.ToLower(g.Principal), strings.ToLower(g.Resource), words(g.Scopes)
	switch {
	case g.ConsentType == AllPrincipals && g.Principal == "":
		admin = true
	case g.ConsentType == OnePrincipal && g.Principal != "":
		o, err := object(ctx, tx, g.Tenant, g.Principal)
		if err != nil {
			return g, false, err
		}
		if o.Kind != KindUser {
			return g, false, invalid("principalId must be a user.")
		}
	default:
		return g, false, invalid("consentType must be AllPrincipals without a principalId, or Principal with one.")
	}
	if _, err := principalByID(ctx, tx, g.Tenant, g.Client); err != nil {
		return g, false, err
	}
	p, err := principalByID(ctx, tx, g.Tenant, g.Resource)
	if err == nil {
		p, err = s.describe(ctx, tx, p)
	}
	if err != nil {
		return g, false, err
	}
	for i, word := range g.Scopes {
		x, ok := p.Scope(word)
		if !ok || x.Disabled {
			return g, false, invalid("The scope '%.100s' is not one of '%s'.", word, p.DisplayName)
		}
		g.Scopes[i] = x.Value
		admin = admin || x.Type == "Admin"
	}
	return g, admin, nil
}

// words are scopes without doubles, in their order.
func words(scopes []string) (list []string) {
	for _, s := range scopes {
		if s != "" && !slices.ContainsFunc(list, func(x string) bool { return strings.EqualFold(x, s) }) {
			list = append(list, s)
		}
	}
	return list
}

// Consented is what an administrator's consent has brought about.
type Consented struct {
	Principal   ServicePrincipal
	Assignments []Assignment // made now
	Grants      []Grant      // as they are now
}

// Consent gives an application all that its registration asks for, for the
// whole tenant: roles become assignments, scopes a grant. It makes the
// application's service principal when there is none. Who may not consent gets
// fault.Denied; permissions of Microsoft Graph for the program itself take a
// Global Administrator.
func (s *Set) Consent(ctx context.Context, c Caller, appID string) (out Consented, err error) {
	e := edit{by: c, needs: grantPermissions, action: "microsoft.directory/servicePrincipals/managePermissionGrantsForAll"}
	err = s.change(ctx, &e, func(tx *store.Tx) error {
		out = Consented{}
		e.target = target(c.Tenant, "applications", strings.ToLower(appID))
		if err := may(ctx, tx, c, assignAppRoles); err != nil {
			return err
		}
		p, err := principalOf(ctx, tx, c.Tenant, appID)
		switch {
		case err == nil:
			p, err = s.describe(ctx, tx, p)
		case fault.Of(err) == fault.NotFound:
			p, err = s.addPrincipal(ctx, tx, c.Tenant, appID, "")
		}
		if err != nil {
			return err
		}
		out.Principal, e.target = p, target(c.Tenant, "servicePrincipals", p.ID)
		required, err := s.required(ctx, tx, p)
		if err != nil {
			return err
		}
		for _, r := range required {
			if err := s.consentTo(ctx, tx, c, r, &out); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// required is what the application of a service principal asks for.
func (s *Set) required(ctx context.Context, tx *store.Tx, p ServicePrincipal) ([]RequiredAccess, error) {
	if _, ok := s.WellKnown(p.AppID); ok || p.Resource != "" {
		return nil, nil
	}
	a, err := application(ctx, tx, p.Tenant, p.AppID)
	return a.Required, err
}

// consentTo gives what is asked of one resource.
func (s *Set) consentTo(ctx context.Context, tx *store.Tx, c Caller, r RequiredAccess, out *Consented) error {
	resource, err := principalOf(ctx, tx, c.Tenant, r.Resource)
	if fault.Of(err) == fault.NotFound {
		return invalid("The application needs access to a service, '%s', that your organization has not added: add its service principal first.", r.Resource)
	}
	if err == nil {
		resource, err = s.describe(ctx, tx, resource)
	}
	if err != nil {
		return err
	}
	var scopes []string
	for _, x := range r.Access {
		if x.Type == ScopeAccess {
			scope, ok := resource.Scope(x.ID)
			if !ok {
				return invalid("The scope '%s' is not one of '%s'.", x.ID, resource.DisplayName)
			}
			scopes = append(scopes, scope.Value)
			continue
		}
		has, err := assignments(ctx, tx, "WHERE a.principal = ? AND a.resource = ? AND a.role = ?", out.Principal.ID, resource.ID, x.ID)
		if err != nil {
			return err
		}
		if len(has) > 0 {
			continue
		}
		a, err := s.assign(ctx, tx, c, Assignment{Principal: out.Principal.ID, Resource: resource.ID, Role: x.ID})
		if err != nil {
			return err
		}
		out.Assignments = append(out.Assignments, a)
	}
	if len(scopes) == 0 {
		return nil
	}
	g, err := s.allowIn(ctx, tx, c, Grant{ID: newID(), Tenant: c.Tenant, Created: now(), Client: out.Principal.ID, ConsentType: AllPrincipals, Resource: resource.ID, Scopes: scopes}, true)
	if err == errNothing {
		err = nil
	}
	out.Grants = append(out.Grants, g)
	return err
}

// Granted are the scopes by which a program may act for a user at a resource:
// consented to by the user or for all, and those that need no consent.
func (s *Set) Granted(ctx context.Context, tenant, clientApp, user, resourceApp string) (scopes []string, err error) {
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		scopes, err = s.granted(ctx, tx, tenant, clientApp, user, resourceApp)
		return err
	})
	return scopes, err
}

func (s *Set) granted(ctx context.Context, tx *store.Tx, tenant, clientApp, user, resourceApp string) (scopes []string, err error) {
	if w, ok := s.WellKnown(clientApp); ok && strings.EqualFold(resourceApp, GraphID) {
		scopes = append(scopes, w.Trusted...)
	}
	client, err := principalOf(ctx, tx, tenant, clientApp)
	if fault.Of(err) == fault.NotFound {
		return scopes, nil
	}
	if err != nil {
		return nil, err
	}
	resource, err := principalOf(ctx, tx, tenant, resourceApp)
	if err != nil {
		return nil, err
	}
	found, err := grants(ctx, tx, "WHERE client = ? AND resource = ? AND (consent = ? OR principal = ?) ORDER BY id", client.ID, resource.ID, AllPrincipals, strings.ToLower(user))
	for _, g := range found {
		scopes = append(scopes, g.Scopes...)
	}
	return words(scopes), err
}

func grant(ctx context.Context, tx *store.Tx, tenant, id string) (Grant, error) {
	g, err := scanGrant(tx.Row(ctx, grantColumns+"WHERE tenant = ? AND id = ?", tenant, strings.ToLower(id)).Scan)
	return g, orMissing(err, "grant", id)
}

func grants(ctx context.Context, tx *store.Tx, where string, args ...any) ([]Grant, error) {
	return store.All(ctx, tx, scanGrant, grantColumns+where, args...)
}

const grantColumns = "SELECT id, tenant, client, consent, principal, resource, scope, created FROM permission_grant "

func scanGrant(scan store.Scan) (g Grant, err error) {
	var scope string
	var created int64
	err = scan(&g.ID, &g.Tenant, &g.Client, &g.ConsentType, &g.Principal, &g.Resource, &scope, &created)
	g.Scopes, g.Created = strings.Fields(scope), store.Time(created)
	return g, err
}
