package entra

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
)

// Tenant is the directory itself.
type Tenant struct {
	ID              string `json:"id"`
	DisplayName     string `json:"displayName"`
	VerifiedDomains []struct {
		Name      string `json:"name"`
		IsDefault bool   `json:"isDefault"`
		IsInitial bool   `json:"isInitial"`
	} `json:"verifiedDomains"`
}

// Role is an app role that a resource offers.
type Role struct {
	ID          string   `json:"id"`
	Value       string   `json:"value"`
	DisplayName string   `json:"displayName"`
	MemberTypes []string `json:"allowedMemberTypes"` // "User", "Application"
	Enabled     bool     `json:"isEnabled"`
}

// Principal is a service principal: an application as this tenant knows it.
type Principal struct {
	ID               string   `json:"id"`
	AppID            string   `json:"appId"`
	DisplayName      string   `json:"displayName"`
	AppDisplayName   string   `json:"appDisplayName"`
	Type             string   `json:"servicePrincipalType"` // "Application", "ManagedIdentity"
	AlternativeNames []string `json:"alternativeNames"`     // of a managed identity: "isExplicit=False" and the resource's ID
	Roles            []Role   `json:"appRoles"`
	Scopes           []Scope  `json:"oauth2PermissionScopes"`
	Owner            string   `json:"appOwnerOrganizationId"`
	Enabled          *bool    `json:"accountEnabled"`
}

// Disabled tells that it may not sign in, and that nobody gets a token for it.
func (p Principal) Disabled() bool { return p.Enabled != nil && !*p.Enabled }

// Role is the role that has a value; Graph tells them apart by case, and
// people do not.
func (p Principal) Role(value string) (Role, bool) {
	i := slices.IndexFunc(p.Roles, func(r Role) bool { return strings.EqualFold(r.Value, value) })
	if i < 0 {
		return Role{}, false
	}
	return p.Roles[i], true
}

// Scope is a delegated permission that a resource offers.
type Scope struct {
	ID    string `json:"id"`
	Value string `json:"value"`
}

// Application is a registration.
type Application struct {
	ID          string           `json:"id,omitempty"`
	AppID       string           `json:"appId,omitempty"`
	DisplayName string           `json:"displayName"`
	Audience    string           `json:"signInAudience"`
	Required    []RequiredAccess `json:"requiredResourceAccess,omitzero"`
	Web         Redirects        `json:"web,omitzero"`
	SPA         Redirects        `json:"spa,omitzero"`
	Public      Redirects        `json:"publicClient,omitzero"`
	Identifiers []string         `json:"identifierUris,omitzero"`
	Secrets     []Credential     `json:"passwordCredentials,omitzero"`
	Created     time.Time        `json:"createdDateTime,omitzero"`
}

// RedirectURIs are all of them, of whatever kind of client.
func (a Application) RedirectURIs() []string {
	return slices.Concat(a.Web.RedirectURIs, a.SPA.RedirectURIs, a.Public.RedirectURIs)
}

// SingleTenant is the audience of a registration that no other tenant uses.
const SingleTenant = "AzureADMyOrg"

// Redirects are where the answers of a sign-in may go.
type Redirects struct {
	RedirectURIs []string `json:"redirectUris,omitzero"`
}

// RequiredAccess is what a registration asks of one resource.
type RequiredAccess struct {
	Resource string   `json:"resourceAppId"`
	Access   []Access `json:"resourceAccess"`
}

// Access is one permission.
type Access struct {
	ID   string `json:"id"`
	Type string `json:"type"` // "Role", "Scope"
}

// Credential is a client secret without its value.
type Credential struct {
	KeyID string    `json:"keyId"`
	Name  string    `json:"displayName"`
	Hint  string    `json:"hint"`
	Start time.Time `json:"startDateTime"`
	End   time.Time `json:"endDateTime"`
}

// Assignment is an app role that somebody has.
type Assignment struct {
	ID            string    `json:"id,omitempty"`
	Principal     string    `json:"principalId"`
	PrincipalType string    `json:"principalType,omitempty"`
	PrincipalName string    `json:"principalDisplayName,omitempty"`
	Resource      string    `json:"resourceId"`
	Role          string    `json:"appRoleId"`
	Created       time.Time `json:"createdDateTime,omitzero"`
}

// Grant is a consent to delegated permissions.
type Grant struct {
	ID          string `json:"id,omitempty"`
	Client      string `json:"clientId"`
	ConsentType string `json:"consentType"` // "AllPrincipals", "Principal"
	Principal   string `json:"principalId,omitempty"`
	Resource    string `json:"resourceId"`
	Scope       string `json:"scope"` // words, separated by spaces
}

// User is somebody who signs in.
type User struct {
	ID          string `json:"id"`
	Name        string `json:"userPrincipalName"`
	DisplayName string `json:"displayName"`
	Enabled     *bool  `json:"accountEnabled"`
}

// Domain is a name that the tenant has, or wants.
type Domain struct {
	ID       string   `json:"id"`
	Verified bool     `json:"isVerified"`
	Default  bool     `json:"isDefault"`
	Initial  bool     `json:"isInitial"`
	Services []string `json:"supportedServices"`
}

// Record is a DNS record by which the directory would know who owns a domain.
type Record struct {
	ID    string `json:"id"`
	Label string `json:"label"`
	Type  string `json:"recordType"` // "Txt", "Mx"
	Text  string `json:"text"`
	TTL   int    `json:"ttl"`
}

// Organization is the tenant of the client.
func (c *Client) Organization(ctx context.Context) (Tenant, error) {
	all, err := list[Tenant](ctx, c.asker, call{what: "say which tenant it is", path: "/organization"})
	if err != nil {
		return Tenant{}, err
	}
	if len(all) != 1 {
		return Tenant{}, fault.New(fault.Unavailable, fmt.Sprintf("The %s names %d tenants where it should name one", c, len(all)))
	}
	return all[0], nil
}

// PrincipalOf is the service principal of an application; fault.NotFound when
// the tenant does not have it.
func (c *Client) PrincipalOf(ctx context.Context, appID string) (Principal, error) {
	return c.one(ctx, call{what: "find the service principal of " + appID, path: "/servicePrincipals", query: url.Values{"$filter": {"appId eq " + quote(appID)}}},
		"The tenant has no service principal of the application "+appID)
}

func (c *Client) one(ctx context.Context, q call, missing string) (Principal, error) {
	all, err := list[Principal](ctx, c.asker, q)
	if err != nil {
		return Principal{}, err
	}
	if len(all) == 0 {
		return Principal{}, fault.New(fault.NotFound, missing)
	}
	return all[0], nil
}

// Principal is the service principal that has an object ID.
func (c *Client) Principal(ctx context.Context, id string) (p Principal, err error) {
	return p, c.do(ctx, call{what: "show the service principal " + id, method: http.MethodGet, path: "/servicePrincipals/" + url.PathEscape(id)}, &p)
}

// PrincipalsNamed are all service principals of a display name.
func (c *Client) PrincipalsNamed(ctx context.Context, name string) ([]Principal, error) {
	return list[Principal](ctx, c.asker, call{what: "find the service principals named " + name, path: "/servicePrincipals", query: url.Values{"$filter": {"displayName eq " + quote(name)}}})
}

// AddPrincipal makes the service principal of an application of this tenant or
// of another; fault.Conflict when there is one.
func (c *Client) AddPrincipal(ctx context.Context, appID, displayName string) (p Principal, err error) {
	body := map[string]string{"appId": appID}
	if displayName != "" {
		body["displayName"] = displayName
	}
	return p, c.do(ctx, call{what: "add the service principal of " + appID, method: http.MethodPost, path: "/servicePrincipals", body: body}, &p)
}

// ApplicationsNamed are all registrations of a display name.
func (c *Client) ApplicationsNamed(ctx context.Context, name string) ([]Application, error) {
	return list[Application](ctx, c.asker, call{what: "find the app registrations named " + name, path: "/applications", query: url.Values{"$filter": {"displayName eq " + quote(name)}}})
}

// ApplicationOf is the registration of an application ID; fault.NotFound when
// the tenant does not have it.
func (c *Client) ApplicationOf(ctx context.Context, appID string) (Application, error) {
	all, err := list[Application](ctx, c.asker, call{what: "find the app registration " + appID, path: "/applications", query: url.Values{"$filter": {"appId eq " + quote(appID)}}})
	if err == nil && len(all) == 0 {
		err = fault.New(fault.NotFound, "The tenant has no app registration "+appID)
	}
	if err != nil {
		return Application{}, err
	}
	return all[0], nil
}

// CreateApplication registers an application.
func (c *Client) CreateApplication(ctx context.Context, a Application) (made Application, err error) {
	return made, c.do(ctx, call{what: "register " + a.DisplayName, method: http.MethodPost, path: "/applications", body: a}, &made)
}

// Require sets what a registration asks for: this and nothing else.
func (c *Client) Require(ctx context.Context, id string, all []RequiredAccess) error {
	return c.do(ctx, call{
		what: "change the permissions of the app registration " + id, method: http.MethodPatch, path: "/applications/" + url.PathEscape(id),
		body: map[string]any{"requiredResourceAccess": all},
	}, nil)
}

// DeleteApplication removes a registration.
func (c *Client) DeleteApplication(ctx context.Context, id string) error {
	return c.do(ctx, call{what: "delete the app registration " + id, method: http.MethodDelete, path: "/applications/" + url.PathEscape(id)}, nil)
}

// AddSecret gives a registration another secret. The value is never shown
// again.
func (c *Client) AddSecret(ctx context.Context, id, name string, end time.Time) (Credential, obs.Secret, error) {
	var got struct {
		Credential
		Text string `json:"secretText"`
	}
	err := c.do(ctx, call{
		what: "make a secret for the app registration " + id, method: http.MethodPost, path: "/applications/" + url.PathEscape(id) + "/addPassword",
		body: map[string]any{"passwordCredential": map[string]any{"displayName": name, "endDateTime": end.UTC().Truncate(time.Second)}},
	}, &got)
	if err == nil && got.Text == "" {
		err = fault.New(fault.Unavailable, "The "+c.String()+" made a secret and does not tell its value")
	}
	return got.Credential, obs.Secret(got.Text), err
}

// RemoveSecret takes a secret away at once.
func (c *Client) RemoveSecret(ctx context.Context, id, key string) error {
	return c.do(ctx, call{
		what: "remove a secret of the app registration " + id, method: http.MethodPost, path: "/applications/" + url.PathEscape(id) + "/removePassword",
		body: map[string]string{"keyId": key},
	}, nil)
}

// federation is a federated credential.
type federation struct {
	Name      string   `json:"name"`
	Issuer    string   `json:"issuer"`
	Subject   string   `json:"subject"`
	Audiences []string `json:"audiences"`
}

func federations(id string) string {
	return "/applications/" + url.PathEscape(id) + "/federatedIdentityCredentials"
}

// Federated tells whether a foreign issuer's subject may sign in as a
// registration.
func (c *Client) Federated(ctx context.Context, id, issuer, subject string) (bool, error) {
	all, err := list[federation](ctx, c.asker, call{what: "list the federated credentials of the app registration " + id, path: federations(id)})
	return slices.ContainsFunc(all, func(x federation) bool { return x.Issuer == issuer && x.Subject == subject }), err
}

// Federate lets a foreign issuer's subject sign in as a registration, without
// a secret. One that is there already is left.
func (c *Client) Federate(ctx context.Context, id, name, issuer, subject string) error {
	if there, err := c.Federated(ctx, id, issuer, subject); there || err != nil {
		return err
	}
	return c.do(ctx, call{
		what: "add a federated credential to the app registration " + id, method: http.MethodPost, path: federations(id),
		body: federation{name, issuer, subject, []string{"api://AzureADTokenExchange"}},
	}, nil)
}

// AssignmentsOf are the app roles that a service principal has, on whatever
// resource.
func (c *Client) AssignmentsOf(ctx context.Context, principal string) ([]Assignment, error) {
	return list[Assignment](ctx, c.asker, call{what: "list the app roles of " + principal, path: "/servicePrincipals/" + url.PathEscape(principal) + "/appRoleAssignments"})
}

// AssignedTo is everybody who has an app role of a resource.
func (c *Client) AssignedTo(ctx context.Context, resource string) ([]Assignment, error) {
	return list[Assignment](ctx, c.asker, call{what: "list who has app roles of " + resource, path: "/servicePrincipals/" + url.PathEscape(resource) + "/appRoleAssignedTo"})
}

// Assign gives an app role. One that is there already is left.
func (c *Client) Assign(ctx context.Context, a Assignment) error {
	err := c.do(ctx, call{
		what: "assign an app role to " + a.Principal, method: http.MethodPost, path: "/servicePrincipals/" + url.PathEscape(a.Resource) + "/appRoleAssignedTo",
		body: Assignment{Principal: a.Principal, Resource: a.Resource, Role: a.Role},
	}, nil)
	if err == nil {
		return nil
	}
	// Somebody else may have assigned it meanwhile; Graph has no code of its own
	// for that.
	all, again := c.AssignedTo(ctx, a.Resource)
	if again == nil && slices.ContainsFunc(all, func(x Assignment) bool {
		return strings.EqualFold(x.Principal, a.Principal) && strings.EqualFold(x.Role, a.Role)
	}) {
		return nil
	}
	return err
}

// Unassign takes an app role away.
func (c *Client) Unassign(ctx context.Context, a Assignment) error {
	return c.do(ctx, call{
		what: "take an app role from " + a.Principal, method: http.MethodDelete,
		path: "/servicePrincipals/" + url.PathEscape(a.Resource) + "/appRoleAssignedTo/" + url.PathEscape(a.ID),
	}, nil)
}

// Grants are the consents to delegated permissions of a client.
func (c *Client) Grants(ctx context.Context, client string) ([]Grant, error) {
	return list[Grant](ctx, c.asker, call{what: "list the grants of " + client, path: "/oauth2PermissionGrants", query: url.Values{"$filter": {"clientId eq " + quote(client)}}})
}

// Consent grants delegated permissions.
func (c *Client) Consent(ctx context.Context, g Grant) error {
	return c.do(ctx, call{what: "grant permissions to " + g.Client, method: http.MethodPost, path: "/oauth2PermissionGrants", body: g}, nil)
}

// Revoke takes delegated permissions out of a grant, and the grant away when
// none is left in it.
func (c *Client) Revoke(ctx context.Context, g Grant, scopes ...string) error {
	left := slices.DeleteFunc(strings.Fields(g.Scope), func(s string) bool { return slices.Contains(scopes, s) })
	q := call{what: "take permissions from " + g.Client, method: http.MethodDelete, path: "/oauth2PermissionGrants/" + url.PathEscape(g.ID)}
	if len(left) > 0 {
		q.method, q.body = http.MethodPatch, map[string]string{"scope": strings.Join(left, " ")}
	}
	return c.do(ctx, q, nil)
}

// Group is some users, who get what it gets.
type Group struct {
	ID   string `json:"id"`
	Name string `json:"displayName"`
}

// Group is the group that has an object ID.
func (c *Client) Group(ctx context.Context, id string) (g Group, err error) {
	return g, c.do(ctx, call{what: "show the group " + id, method: http.MethodGet, path: "/groups/" + url.PathEscape(id), query: url.Values{"$select": {"id,displayName"}}}, &g)
}

// GroupsNamed are all groups of a display name.
func (c *Client) GroupsNamed(ctx context.Context, name string) ([]Group, error) {
	return list[Group](ctx, c.asker, call{what: "find the groups named " + name, path: "/groups", query: url.Values{"$filter": {"displayName eq " + quote(name)}, "$select": {"id,displayName"}}})
}

// UserNamed is the user of a user principal name or an ID.
func (c *Client) UserNamed(ctx context.Context, name string) (u User, err error) {
	return u, c.do(ctx, call{
		what: "find the user " + name, method: http.MethodGet, path: "/users/" + url.PathEscape(name),
		query: url.Values{"$select": {"id,userPrincipalName,displayName,accountEnabled"}},
	}, &u)
}

// Memberships are the object IDs of the groups and directory roles that a user
// is in.
func (c *Client) Memberships(ctx context.Context, user string) (ids []string, err error) {
	all, err := list[struct {
		ID string `json:"id"`
	}](ctx, c.asker, call{what: "list the groups of the user " + user, path: "/users/" + url.PathEscape(user) + "/memberOf"})
	for _, g := range all {
		ids = append(ids, g.ID)
	}
	return ids, err
}

// Domains are all of the tenant.
func (c *Client) Domains(ctx context.Context) ([]Domain, error) {
	return list[Domain](ctx, c.asker, call{what: "list the domains", path: "/domains"})
}

// Domain is one of the tenant; fault.NotFound when it does not have it.
func (c *Client) Domain(ctx context.Context, name string) (d Domain, err error) {
	return d, c.do(ctx, call{what: "show the domain " + name, method: http.MethodGet, path: "/domains/" + url.PathEscape(name)}, &d)
}

// AddDomain registers a name that is still to be verified.
func (c *Client) AddDomain(ctx context.Context, name string) (d Domain, err error) {
	return d, c.do(ctx, call{what: "add the domain " + name, method: http.MethodPost, path: "/domains", body: map[string]string{"id": name}}, &d)
}

// VerificationRecords are the records of which one must be found at a domain
// before it is verified.
func (c *Client) VerificationRecords(ctx context.Context, name string) ([]Record, error) {
	return list[Record](ctx, c.asker, call{what: "say how the domain " + name + " is verified", path: "/domains/" + url.PathEscape(name) + "/verificationDnsRecords"})
}

// VerifyDomain has the directory look for the record now.
func (c *Client) VerifyDomain(ctx context.Context, name string) (d Domain, err error) {
	return d, c.do(ctx, call{what: "verify the domain " + name, method: http.MethodPost, path: "/domains/" + url.PathEscape(name) + "/verify"}, &d)
}
