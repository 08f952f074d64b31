package directory

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
)

// Application is a registration: a program that the tenant knows. It acts by
// its service principal.
type Application struct {
	ID          string                `json:"-"` // of the registration
	AppID       string                `json:"-"` // client ID
	Tenant      string                `json:"-"`
	DisplayName string                `json:"displayName"`
	Description string                `json:"description,omitempty"`
	Required    []RequiredAccess      `json:"required,omitempty"`
	Redirects   Redirects             `json:"redirects"`
	URIs        []string              `json:"identifierUris,omitempty"`
	Roles       []AppRole             `json:"roles,omitempty"`
	Scopes      []Scope               `json:"scopes,omitempty"`
	Public      bool                  `json:"public,omitempty"` // isFallbackPublicClient
	Tags        []string              `json:"tags,omitempty"`
	Federated   []FederatedCredential `json:"federated,omitempty"` // changed by AddFederated and RemoveFederated
	Keys        []KeyCredential       `json:"keys,omitempty"`
	Fixed       bool                  `json:"-"` // of the node's configuration: it cannot be changed here

	Secrets []Credential `json:"-"` // changed by AddSecret and RemoveSecret
	Created time.Time    `json:"-"`
}

// SingleTenant is the audience of every application here: accounts in this
// organizational directory only.
const SingleTenant = "AzureADMyOrg"

// RequiredAccess is what an application asks of another.
type RequiredAccess struct {
	Resource string   `json:"resource"` // client ID
	Access   []Access `json:"access"`
}

// Access is one permission that is asked for.
type Access struct {
	ID   string `json:"id"`   // of the role or scope
	Type string `json:"type"` // "Role", "Scope"
}

// The types of Access.
const (
	RoleAccess  = "Role"
	ScopeAccess = "Scope"
)

// Redirects are where people may be sent after they have signed in.
type Redirects struct {
	Web    []string `json:"web,omitempty"`    // a server that has a secret
	SPA    []string `json:"spa,omitempty"`    // a page in the browser
	Public []string `json:"public,omitempty"` // a program on the person's machine
}

// limits of a registration (Microsoft Entra docs, "Validation differences by
// supported account types" and "Redirect URI (reply URL) outline and
// restrictions").
const (
	maxRedirects  = 256
	maxURI        = 256 // of a redirect
	maxRoles      = 1200
	maxRequired   = 50 // resources
	maxAccess     = 400
	maxTags       = 50
	maxFederated  = 20
	maxSecrets    = 50
	maxIdentifier = 50
)

// Applications are the registrations of the caller's tenant, in the order of
// their IDs.
func (s *Set) Applications(ctx context.Context, c Caller) (list []Application, err error) {
	err = s.look(ctx, c, readApplications, func(tx *store.Tx) error {
		if list, err = store.All(ctx, tx, scanApplication, applicationColumns+"WHERE tenant = ? ORDER BY id", c.Tenant); err != nil {
			return err
		}
		for i := range list {
			if list[i].Secrets, err = credentials(ctx, tx, list[i].AppID); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

// Application is the registration with an object ID or a client ID.
func (s *Set) Application(ctx context.Context, c Caller, id string) (a Application, err error) {
	err = s.look(ctx, c, readApplications, func(tx *store.Tx) error {
		a, err = application(ctx, tx, c.Tenant, id)
		return err
	})
	return a, err
}

// CreateApplication registers a program. It has no service principal yet:
// AddPrincipal makes it.
func (s *Set) CreateApplication(ctx context.Context, c Caller, a Application) (Application, error) {
	e := edit{by: c, needs: writeApplications, action: "microsoft.directory/applications/create"}
	err := s.change(ctx, &e, func(tx *store.Tx) error {
		a.ID, a.AppID, a.Tenant, a.Created = newID(), newID(), c.Tenant, now()
		a.Fixed, a.Secrets, a.Federated = false, nil, nil
		e.target = target(c.Tenant, "applications", a.ID)
		if err := a.checkKeys(nil); err != nil {
			return err
		}
		if err := s.checkApplication(ctx, tx, &a); err != nil {
			return err
		}
		return insertApplication(ctx, tx, a)
	})
	return a, err
}

func insertApplication(ctx context.Context, tx *store.Tx, a Application) error {
	fixed := 0
	if a.Fixed {
		fixed = 1
	}
	_, err := tx.Exec(ctx, "INSERT INTO application (id, tenant, app, fixed, doc, created) VALUES (?, ?, ?, ?, ?, ?)", a.ID, a.Tenant, a.AppID, fixed, encode(a), store.Micros(a.Created))
	if err != nil {
		return err
	}
	return writeURIs(ctx, tx, a)
}

// writeURIs makes an application found by its identifier URIs.
func writeURIs(ctx context.Context, tx *store.Tx, a Application) error {
	if err := drop(ctx, tx, a.AppID, "application_uri WHERE app"); err != nil {
		return err
	}
	for _, uri := range a.URIs {
		if _, err := tx.Exec(ctx, "INSERT INTO application_uri (tenant, uri_key, app) VALUES (?, ?, ?)", a.Tenant, audienceKey(uri), a.AppID); err != nil {
			return err
		}
	}
	return nil
}

// UpdateApplication has change make another of a registration. Secrets and
// federated credentials have ways of their own.
func (s *Set) UpdateApplication(ctx context.Context, c Caller, id string, change func(*Application) error) (a Application, err error) {
	e := edit{by: c, needs: writeApplications, action: "microsoft.directory/applications/update", target: target(c.Tenant, "applications", id)}
	err = s.change(ctx, &e, func(tx *store.Tx) error {
		old, err := s.applicationToChange(ctx, tx, &e, id)
		if err != nil {
			return err
		}
		before := encode(old)
		a = old
		if err := change(&a); err != nil {
			return err
		}
		a.ID, a.AppID, a.Tenant, a.Created, a.Fixed, a.Secrets, a.Federated = old.ID, old.AppID, old.Tenant, old.Created, old.Fixed, old.Secrets, old.Federated
		if err := a.checkKeys(old.Keys); err != nil {
			return err
		}
		if encode(a) == before {
			return errNothing
		}
		if err := s.checkApplication(ctx, tx, &a); err != nil {
			return err
		}
		if err := forgetRoles(ctx, tx, old, a); err != nil {
			return err
		}
		if err := writeURIs(ctx, tx, a); err != nil {
			return err
		}
		return saveApplication(ctx, tx, a)
	})
	return a, err
}

func saveApplication(ctx context.Context, tx *store.Tx, a Application) error {
	_, err := tx.Exec(ctx, "UPDATE application SET doc = ? WHERE id = ?", encode(a), a.ID)
	return err
}

// forgetRoles takes away the assignments of roles that an application offers
// no longer: a later role of the same ID is another one.
func forgetRoles(ctx context.Context, tx *store.Tx, old, now Application) error {
	p, err := principalOf(ctx, tx, old.Tenant, old.AppID)
	if fault.Of(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	for _, r := range old.Roles {
		if slices.ContainsFunc(now.Roles, func(x AppRole) bool { return x.ID == r.ID }) {
			continue
		}
		if _, err := tx.Exec(ctx, "DELETE FROM app_role_assignment WHERE resource = ? AND role = ?", p.ID, r.ID); err != nil {
			return err
		}
	}
	return nil
}

// DeleteApplication takes a registration away with its secrets, its service
// principal and all that was given to it.
func (s *Set) DeleteApplication(ctx context.Context, c Caller, id string) error {
	e := edit{by: c, needs: writeApplications, action: "microsoft.directory/applications/delete", target: target(c.Tenant, "applications", id)}
	return s.change(ctx, &e, func(tx *store.Tx) error {
		a, err := s.applicationToChange(ctx, tx, &e, id)
		if err != nil {
			return err
		}
		p, err := principalOf(ctx, tx, a.Tenant, a.AppID)
		if err == nil {
			err = s.erasePrincipal(ctx, tx, p)
		}
		if err != nil && fault.Of(err) != fault.NotFound {
			return err
		}
		return eraseApplication(ctx, tx, a)
	})
}

func eraseApplication(ctx context.Context, tx *store.Tx, a Application) error {
	if err := drop(ctx, tx, a.AppID, "application_secret WHERE app", "application_uri WHERE app"); err != nil {
		return err
	}
	return drop(ctx, tx, a.ID, "application WHERE id")
}

// applicationToChange is the registration that a caller wants to change, when
// it may. One that administers the directory is changed only by who may say
// who does: else its secret would be a way to be it.
func (s *Set) applicationToChange(ctx context.Context, tx *store.Tx, e *edit, id string) (Application, error) {
	a, err := application(ctx, tx, e.by.Tenant, id)
	if err != nil {
		return a, err
	}
	e.target = target(a.Tenant, "applications", a.ID)
	if a.Fixed {
		return a, fault.New(fault.Conflict, "This application is part of the configuration of the control node: change it there, under control.login.clients.")
	}
	p, err := principalOf(ctx, tx, a.Tenant, a.AppID)
	if fault.Of(err) == fault.NotFound {
		return a, nil
	}
	if err != nil {
		return a, err
	}
	return a, s.mayBe(ctx, tx, e.by, p)
}

// mayBe tells whether a caller may get hold of a service principal: one that
// has power over the directory is for those who have all of it.
func (s *Set) mayBe(ctx context.Context, tx *store.Tx, c Caller, p ServicePrincipal) error {
	roles, err := rolesOf(ctx, tx, p.Tenant, p.ID)
	if err != nil {
		return err
	}
	powerful := slices.ContainsFunc(roles, func(r DirectoryRole) bool { return r != GlobalReader })
	held, err := heldAtGraph(ctx, tx, p.Tenant, p.ID)
	if err != nil {
		return err
	}
	// With a redirect URI of somebody else's, an administrator's consent would
	// work for that one too.
	given, err := grants(ctx, tx, "WHERE client = ?", p.ID)
	if err != nil {
		return err
	}
	powerful = powerful || slices.ContainsFunc(given, Grant.rules)
	if !powerful && !slices.ContainsFunc(held, func(v string) bool { return strings.Contains(v, "Write") }) {
		return nil
	}
	return may(ctx, tx, c, writeRoles)
}

// checkApplication tells what is wrong with a registration, and writes IDs in
// one way.
func (s *Set) checkApplication(ctx context.Context, tx *store.Tx, a *Application) error {
	if err := checkName("displayName", a.DisplayName); err != nil {
		return err
	}
	if len(a.Description) > 1024 || len(a.Tags) > maxTags || slices.ContainsFunc(a.Tags, func(t string) bool { return len(t) == 0 || len(t) > maxName }) {
		return invalid("Property description or tags is too long.")
	}
	if err := checkRedirects(a.Redirects); err != nil {
		return err
	}
	if err := checkRoles(a); err != nil {
		return err
	}
	if err := checkRequired(a); err != nil {
		return err
	}
	return s.checkURIs(ctx, tx, a)
}

// checkRedirects: TLS everywhere but at the person's own machine, nothing that
// could mean two places (Microsoft Entra docs, "Redirect URI (reply URL)
// outline and restrictions"; RFC 9700 §4.1).
func checkRedirects(r Redirects) error {
	if len(r.Web)+len(r.SPA)+len(r.Public) > maxRedirects {
		return invalid("An application has at most %d redirect URIs.", maxRedirects)
	}
	for _, list := range [][]string{r.Web, r.SPA} {
		for _, uri := range list {
			if err := CheckRedirect(uri, false); err != nil {
				return err
			}
		}
	}
	for _, uri := range r.Public {
		if err := CheckRedirect(uri, true); err != nil {
			return err
		}
	}
	return nil
}

// CheckRedirect tells what is wrong with a redirect URI; public ones may have
// a scheme of their own.
func CheckRedirect(uri string, public bool) error {
	u, err := url.Parse(uri)
	bad := err != nil || uri == "" || len(uri) > maxURI || u.Scheme == "" || u.User != nil || strings.Contains(uri, "#") || strings.ContainsAny(uri, "*\\ \t\r\n\"<>^`{|}")
	if !bad {
		loopback := u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1" || u.Hostname() == "::1"
		switch scheme := strings.ToLower(u.Scheme); scheme {
		case "https":
			bad = u.Host == "" || u.Hostname() == ""
		case "http":
			bad = !loopback
		case "javascript", "data", "vbscript", "file", "blob", "about", "ftp", "ws", "wss", "view-source":
			bad = true
		default:
			// A scheme of the program's own: com.example.app:/back (RFC 8252 §7.1).
			bad = !public
		}
		for part := range strings.SplitSeq(u.Path, "/") {
			bad = bad || part == ".." || part == "."
		}
	}
	if bad {
		return invalid("The redirect URI '%.100s' is not valid: write https://… (or http://localhost), without a fragment, a wildcard or user information.", uri)
	}
	return nil
}

func checkRoles(a *Application) error {
	if len(a.Roles)+len(a.Scopes) > maxRoles {
		return invalid("An application has at most %d roles and scopes.", maxRoles)
	}
	a.Roles, a.Scopes = slices.Clone(a.Roles), slices.Clone(a.Scopes)
	ids, values := map[string]bool{}, map[string]bool{}
	check := func(id *string, value, name, description string) error {
		*id = strings.ToLower(cmp.Or(*id, newID()))
		switch {
		case len(name) > maxName || len(description) > 1024:
			return invalid("The name or the description of '%.50s' is too long.", value)
		case !guid.MatchString(*id):
			return invalid("The ID '%.50s' of a role or scope must be a GUID.", *id)
		case value == "" || len(value) > 120 || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }):
			return invalid("The value '%.50s' of a role or scope is not valid: write up to 120 visible characters.", value)
		case ids[*id]:
			return invalid("The ID '%s' stands with two roles or scopes.", *id)
		}
		ids[*id] = true
		return nil
	}
	for i := range a.Roles {
		r := &a.Roles[i]
		if err := check(&r.ID, r.Value, r.DisplayName, r.Description); err != nil {
			return err
		}
		if values["role "+r.Value] {
			return invalid("The value '%s' stands with two roles.", r.Value)
		}
		values["role "+r.Value] = true
		if len(r.For) == 0 || slices.ContainsFunc(r.For, func(k string) bool { return k != ForUsers && k != ForApplications }) {
			return invalid("allowedMemberTypes of role '%s' must be of User and Application.", r.Value)
		}
	}
	for i := range a.Scopes {
		x := &a.Scopes[i]
		if err := check(&x.ID, x.Value, x.DisplayName, x.Description); err != nil {
			return err
		}
		if values["scope "+x.Value] {
			return invalid("The value '%s' stands with two scopes.", x.Value)
		}
		values["scope "+x.Value] = true
		if x.Type = cmp.Or(x.Type, "User"); x.Type != "User" && x.Type != "Admin" {
			return invalid("The type of scope '%s' must be User or Admin.", x.Value)
		}
	}
	return nil
}

func checkRequired(a *Application) error {
	if len(a.Required) > maxRequired {
		return invalid("An application asks at most %d others for access.", maxRequired)
	}
	required, n := []RequiredAccess{}, 0
	for _, r := range a.Required {
		r.Resource, r.Access = strings.ToLower(r.Resource), slices.Clone(r.Access)
		if !guid.MatchString(r.Resource) {
			return invalid("resourceAppId '%.50s' must be a GUID.", r.Resource)
		}
		for i := range r.Access {
			x := &r.Access[i]
			x.ID = strings.ToLower(x.ID)
			if !guid.MatchString(x.ID) || x.Type != RoleAccess && x.Type != ScopeAccess {
				return invalid("resourceAccess must have the GUID of a role or scope as id, and Role or Scope as type.")
			}
		}
		if n += len(r.Access); n > maxAccess {
			return invalid("An application asks for at most %d permissions.", maxAccess)
		}
		required = append(required, r)
	}
	a.Required = required
	return nil
}

// checkURIs: an identifier URI names one application of the tenant, and no
// application of the catalogue (Microsoft Entra docs, "Restrictions on
// identifier URIs of Microsoft Entra applications").
func (s *Set) checkURIs(ctx context.Context, tx *store.Tx, a *Application) error {
	if len(a.URIs) > maxIdentifier {
		return invalid("An application has at most %d identifier URIs.", maxIdentifier)
	}
	seen := map[string]bool{}
	for _, uri := range a.URIs {
		u, err := url.Parse(uri)
		if err != nil || u.Scheme != "api" && u.Scheme != "https" && u.Scheme != "urn" || len(uri) > maxURI || u.User != nil || strings.ContainsAny(uri, "#?* \"") || u.Scheme != "urn" && u.Host == "" {
			return invalid("The identifier URI '%.100s' is not valid: write api://<client ID>, https://<verified domain>/… or urn:….", uri)
		}
		key := audienceKey(uri)
		if seen[key] {
			return invalid("The identifier URI '%s' is there twice.", uri)
		}
		seen[key] = true
		// Tokens for another application must not be had by its name.
		if first, _, _ := strings.Cut(strings.TrimPrefix(key, "api://"), "/"); u.Scheme == "api" && guid.MatchString(first) && first != a.AppID {
			return invalid("The identifier URI '%s' has the ID of another application: write api://%s.", uri, a.AppID)
		}
		if u.Scheme == "https" {
			ok, err := owns(ctx, tx, a.Tenant, u.Hostname())
			if err != nil {
				return err
			}
			if !ok {
				return invalid("Values of identifierUris property must use a verified domain of the organization or its subdomain: '%s'.", uri)
			}
		}
		other, err := appOf(ctx, tx, a.Tenant, key)
		if err != nil {
			return err
		}
		if s.reserved(key) || other != "" && other != a.AppID {
			return fault.New(fault.Conflict, "Another object with the same value for property identifierUris already exists.")
		}
	}
	return nil
}

// appOf is the client ID of the tenant's application with an identifier URI.
func appOf(ctx context.Context, tx *store.Tx, tenant, key string) (string, error) {
	found, err := store.All(ctx, tx, func(scan store.Scan) (app string, err error) { return app, scan(&app) }, "SELECT app FROM application_uri WHERE tenant = ? AND uri_key = ?", tenant, key)
	if err != nil || len(found) == 0 {
		return "", err
	}
	return found[0], nil
}

// audienceKey is a name of a resource as it is compared: clients write it with
// and without slashes at the end.
func audienceKey(s string) string { return strings.ToLower(strings.TrimRight(s, "/")) }

func application(ctx context.Context, tx *store.Tx, tenant, id string) (Application, error) {
	key := strings.ToLower(id)
	a, err := scanApplication(tx.Row(ctx, applicationColumns+"WHERE tenant = ? AND (id = ? OR app = ?)", tenant, key, key).Scan)
	if err != nil {
		return a, orMissing(err, "application", id)
	}
	a.Secrets, err = credentials(ctx, tx, a.AppID)
	return a, err
}

const applicationColumns = "SELECT id, tenant, app, fixed, doc, created FROM application "

func scanApplication(scan store.Scan) (a Application, err error) {
	var doc string
	var fixed, created int64
	if err := scan(&a.ID, &a.Tenant, &a.AppID, &fixed, &doc, &created); err != nil {
		return a, err
	}
	a.Fixed, a.Created = fixed == 1, store.Time(created)
	return a, json.Unmarshal([]byte(doc), &a)
}
