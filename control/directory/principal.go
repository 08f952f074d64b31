package directory

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
)

// The kinds of service principals.
const (
	OfApplication   = "Application"
	ManagedIdentity = "ManagedIdentity"
)

// ServicePrincipal is an application in a tenant: what roles are given to, and
// what offers roles.
type ServicePrincipal struct {
	ID          string    `json:"-"`
	Tenant      string    `json:"-"`
	AppID       string    `json:"-"`
	DisplayName string    `json:"displayName"` // as it was asked for
	Enabled     bool      `json:"enabled"`
	Tags        []string  `json:"tags,omitempty"`
	Resource    string    `json:"resource,omitempty"` // ID of the resource whose managed identity it is
	Created     time.Time `json:"-"`

	// What the application is, filled in when it is read.
	Kind           string    `json:"-"` // OfApplication, ManagedIdentity
	AppDisplayName string    `json:"-"`
	Aliases        []string  `json:"-"` // other names that it is found by: "Project Synergy" of the one added as "Operator Connect"
	Publisher      string    `json:"-"`
	Home           string    `json:"-"` // tenant in which it is registered; "" for one of the catalogue
	URIs           []string  `json:"-"`
	Roles          []AppRole `json:"-"`
	Scopes         []Scope   `json:"-"`
	Fixed          bool      `json:"-"` // of the configuration, or in each tenant from its beginning
}

// AlternativeNames are those of a managed identity.
func (p ServicePrincipal) AlternativeNames() []string {
	if p.Resource == "" {
		return nil
	}
	return []string{"isExplicit=False", p.Resource}
}

// Called tells whether a name is one of the principal's, in any case.
func (p ServicePrincipal) Called(name string) bool {
	return strings.EqualFold(p.DisplayName, name) || slices.ContainsFunc(p.Aliases, func(a string) bool { return strings.EqualFold(a, name) })
}

// Role is the role of the principal with an ID or a value.
func (p ServicePrincipal) Role(s string) (AppRole, bool) {
	i := slices.IndexFunc(p.Roles, func(r AppRole) bool { return strings.EqualFold(r.ID, s) || r.Value == s })
	if i < 0 {
		return AppRole{}, false
	}
	return p.Roles[i], true
}

// Scope is the scope of the principal with an ID or a value.
func (p ServicePrincipal) Scope(s string) (Scope, bool) {
	i := slices.IndexFunc(p.Scopes, func(x Scope) bool { return strings.EqualFold(x.ID, s) || strings.EqualFold(x.Value, s) })
	if i < 0 {
		return Scope{}, false
	}
	return p.Scopes[i], true
}

// Principals are the service principals of the caller's tenant, in the order
// of their IDs.
func (s *Set) Principals(ctx context.Context, c Caller) (list []ServicePrincipal, err error) {
	err = s.look(ctx, c, readPrincipals, func(tx *store.Tx) error {
		if list, err = store.All(ctx, tx, scanPrincipal, principalColumns+"WHERE tenant = ? ORDER BY id", c.Tenant); err != nil {
			return err
		}
		for i := range list {
			if list[i], err = s.describe(ctx, tx, list[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

// Principal is the service principal with an object ID.
func (s *Set) Principal(ctx context.Context, c Caller, id string) (p ServicePrincipal, err error) {
	r := readPrincipals
	if strings.EqualFold(id, c.Object) {
		r = readSelf
	}
	err = s.look(ctx, c, r, func(tx *store.Tx) error {
		if p, err = principalByID(ctx, tx, c.Tenant, id); err == nil {
			p, err = s.describe(ctx, tx, p)
		}
		return err
	})
	return p, err
}

// PrincipalOf is the service principal of an application.
func (s *Set) PrincipalOf(ctx context.Context, c Caller, appID string) (p ServicePrincipal, err error) {
	err = s.look(ctx, c, readPrincipals, func(tx *store.Tx) error {
		if p, err = principalOf(ctx, tx, c.Tenant, appID); err == nil {
			p, err = s.describe(ctx, tx, p)
		}
		return err
	})
	return p, err
}

// AddPrincipal makes the service principal of an application of the tenant, or
// of the catalogue. Without a name it has the application's.
func (s *Set) AddPrincipal(ctx context.Context, c Caller, appID, name string) (p ServicePrincipal, err error) {
	e := edit{by: c, needs: writeApplications, action: "microsoft.directory/servicePrincipals/create"}
	err = s.change(ctx, &e, func(tx *store.Tx) error {
		if p, err = s.addPrincipal(ctx, tx, c.Tenant, appID, name); err != nil {
			return err
		}
		e.target = target(c.Tenant, "servicePrincipals", p.ID)
		return nil
	})
	return p, err
}

func (s *Set) addPrincipal(ctx context.Context, tx *store.Tx, tenant, appID, name string) (p ServicePrincipal, err error) {
	appID = strings.ToLower(appID)
	if name != "" {
		if err := checkName("displayName", name); err != nil {
			return p, err
		}
	}
	if _, err := principalOf(ctx, tx, tenant, appID); fault.Of(err) != fault.NotFound {
		if err == nil {
			err = fault.New(fault.Conflict, "The service principal cannot be created, updated, or restored because the service principal name "+appID+" is already in use.")
		}
		return p, err
	}
	p = ServicePrincipal{ID: newID(), Tenant: tenant, AppID: appID, DisplayName: name, Enabled: true, Created: now()}
	if w, ok := s.WellKnown(appID); ok {
		p.DisplayName = cmp.Or(p.DisplayName, w.Name)
	} else {
		a, err := application(ctx, tx, tenant, appID)
		if fault.Of(err) == fault.NotFound || err == nil && a.AppID != appID {
			return p, invalid("The appId '%.50s' of the service principal does not reference a valid application object.", appID)
		}
		if err != nil {
			return p, err
		}
		p.DisplayName = cmp.Or(p.DisplayName, a.DisplayName)
	}
	if err := insertPrincipal(ctx, tx, p); err != nil {
		return p, err
	}
	return s.describe(ctx, tx, p)
}

func insertPrincipal(ctx context.Context, tx *store.Tx, p ServicePrincipal) error {
	_, err := tx.Exec(ctx, "INSERT INTO service_principal (id, tenant, app, resource, doc, created) VALUES (?, ?, ?, ?, ?, ?)", p.ID, p.Tenant, p.AppID, strings.ToLower(p.Resource), encode(p), store.Micros(p.Created))
	return err
}

// UpdatePrincipal has change make another of a service principal: its name,
// its tags, and whether it may sign in.
func (s *Set) UpdatePrincipal(ctx context.Context, c Caller, id string, change func(*ServicePrincipal) error) (p ServicePrincipal, err error) {
	e := edit{by: c, needs: writeApplications, action: "microsoft.directory/servicePrincipals/update", target: target(c.Tenant, "servicePrincipals", id)}
	err = s.change(ctx, &e, func(tx *store.Tx) error {
		old, err := s.principalToChange(ctx, tx, &e, id)
		if err != nil {
			return err
		}
		before := encode(old)
		p = old
		if err := change(&p); err != nil {
			return err
		}
		p = ServicePrincipal{ID: old.ID, Tenant: old.Tenant, AppID: old.AppID, Resource: old.Resource, Created: old.Created, DisplayName: p.DisplayName, Enabled: p.Enabled, Tags: p.Tags}
		if err := checkName("displayName", p.DisplayName); err != nil {
			return err
		}
		if len(p.Tags) > maxTags || slices.ContainsFunc(p.Tags, func(t string) bool { return t == "" || len(t) > maxName }) {
			return invalid("Property tags is too long.")
		}
		if p.Resource != "" && p.DisplayName != old.DisplayName {
			return invalid("A managed identity has the name of its resource.")
		}
		same := encode(p) == before
		if p, err = s.describe(ctx, tx, p); err != nil {
			return err
		}
		if same {
			return errNothing
		}
		return savePrincipal(ctx, tx, p)
	})
	return p, err
}

func savePrincipal(ctx context.Context, tx *store.Tx, p ServicePrincipal) error {
	_, err := tx.Exec(ctx, "UPDATE service_principal SET doc = ? WHERE id = ?", encode(p), p.ID)
	return err
}

// DeletePrincipal takes a service principal away with all that was given to
// it, and all that it gave. The registration stays.
func (s *Set) DeletePrincipal(ctx context.Context, c Caller, id string) error {
	e := edit{by: c, needs: writeApplications, action: "microsoft.directory/servicePrincipals/delete", target: target(c.Tenant, "servicePrincipals", id)}
	return s.change(ctx, &e, func(tx *store.Tx) error {
		p, err := s.principalToChange(ctx, tx, &e, id)
		switch {
		case err != nil:
			return err
		case p.Resource != "":
			return fault.New(fault.Conflict, "This is the managed identity of '"+p.Resource+"': it goes when the resource is deleted.")
		}
		return s.erasePrincipal(ctx, tx, p)
	})
}

// erasePrincipal leaves nothing of a service principal.
func (s *Set) erasePrincipal(ctx context.Context, tx *store.Tx, p ServicePrincipal) error {
	if err := s.leave(ctx, tx, p.ID, p.AppID); err != nil {
		return err
	}
	return drop(ctx, tx, p.ID, append([]string{
		"service_principal WHERE id", "app_role_assignment WHERE resource", "permission_grant WHERE client", "permission_grant WHERE resource",
	}, hangings...)...)
}

// principalToChange is the service principal that a caller wants to change,
// when it may.
func (s *Set) principalToChange(ctx context.Context, tx *store.Tx, e *edit, id string) (ServicePrincipal, error) {
	p, err := principalByID(ctx, tx, e.by.Tenant, id)
	if err != nil {
		return p, err
	}
	e.target = target(p.Tenant, "servicePrincipals", p.ID)
	if p, err = s.describe(ctx, tx, p); err != nil {
		return p, err
	}
	if p.Fixed {
		return p, fault.New(fault.Conflict, "The service principal '"+p.DisplayName+"' belongs to the deployment itself and cannot be changed.")
	}
	return p, s.mayBe(ctx, tx, e.by, p)
}

// describe fills in what the application of a service principal is.
func (s *Set) describe(ctx context.Context, tx *store.Tx, p ServicePrincipal) (ServicePrincipal, error) {
	p.Kind = OfApplication
	if p.Resource != "" {
		p.Kind, p.AppDisplayName, p.Home = ManagedIdentity, p.DisplayName, p.Tenant
		return p, nil
	}
	if w, ok := s.WellKnown(p.AppID); ok {
		p.AppDisplayName, p.Publisher, p.URIs, p.Roles, p.Scopes, p.Fixed = w.Name, w.Publisher, w.URIs, w.Roles, w.Scopes, w.always
	} else {
		a, err := scanApplication(tx.Row(ctx, applicationColumns+"WHERE app = ?", p.AppID).Scan)
		if err != nil {
			return p, orMissing(err, "application", p.AppID)
		}
		p.AppDisplayName, p.Home, p.URIs, p.Roles, p.Scopes, p.Fixed = a.DisplayName, a.Tenant, a.URIs, a.Roles, a.Scopes, a.Fixed
	}
	if p.AppDisplayName != p.DisplayName {
		p.Aliases = []string{p.AppDisplayName}
	}
	return p, nil
}

func principalByID(ctx context.Context, tx *store.Tx, tenant, id string) (ServicePrincipal, error) {
	p, err := scanPrincipal(tx.Row(ctx, principalColumns+"WHERE tenant = ? AND id = ?", tenant, strings.ToLower(id)).Scan)
	return p, orMissing(err, "service principal", id)
}

// principalOf is the bare service principal of an application.
func principalOf(ctx context.Context, tx *store.Tx, tenant, appID string) (ServicePrincipal, error) {
	p, err := scanPrincipal(tx.Row(ctx, principalColumns+"WHERE tenant = ? AND app = ?", tenant, strings.ToLower(appID)).Scan)
	return p, orMissing(err, "service principal", appID)
}

const principalColumns = "SELECT id, tenant, app, doc, created FROM service_principal "

func scanPrincipal(scan store.Scan) (p ServicePrincipal, err error) {
	var doc string
	var created int64
	if err := scan(&p.ID, &p.Tenant, &p.AppID, &doc, &created); err != nil {
		return p, err
	}
	p.Created = store.Time(created)
	return p, json.Unmarshal([]byte(doc), &p)
}
