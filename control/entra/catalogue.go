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
)

// Applications are all registrations of the tenant.
func (c *Client) Applications(ctx context.Context) ([]Application, error) {
	return list[Application](ctx, c.asker, call{what: "list the app registrations", path: "/applications"})
}

// Principals are all service principals: what the portal calls enterprise
// applications, of all types.
func (c *Client) Principals(ctx context.Context) ([]Principal, error) {
	return list[Principal](ctx, c.asker, call{what: "list the service principals", path: "/servicePrincipals"})
}

// DeletePrincipal removes an application from the tenant, with what it was
// given.
func (c *Client) DeletePrincipal(ctx context.Context, id string) error {
	return c.do(ctx, call{what: "delete the service principal " + id, method: http.MethodDelete, path: "/servicePrincipals/" + url.PathEscape(id)}, nil)
}

// RemoveDomain takes a name from the tenant.
func (c *Client) RemoveDomain(ctx context.Context, name string) error {
	return c.do(ctx, call{what: "remove the domain " + name, method: http.MethodDelete, path: "/domains/" + url.PathEscape(name)}, nil)
}

// Grant consents, for the whole tenant, to what a registration requires: app
// roles become assignments, scopes a grant for everybody. What is granted
// already is left. It gives what was granted, as "resource/permission".
func (c *Client) Grant(ctx context.Context, a Application) (granted []string, err error) {
	self, err := c.PrincipalOf(ctx, a.AppID)
	if fault.Of(err) == fault.NotFound {
		self, err = c.AddPrincipal(ctx, a.AppID, "")
	}
	if err != nil {
		return nil, err
	}
	for _, q := range a.Required {
		resource, err := c.PrincipalOf(ctx, q.Resource)
		if err != nil {
			return granted, err
		}
		more, err := c.grant(ctx, self, resource, q.Access)
		granted = append(granted, more...)
		if err != nil {
			return granted, err
		}
	}
	return granted, nil
}

func (c *Client) grant(ctx context.Context, self, resource Principal, access []Access) (granted []string, err error) {
	var scopes []string
	for _, x := range access {
		if x.Type == "Scope" {
			i := slices.IndexFunc(resource.Scopes, func(s Scope) bool { return strings.EqualFold(s.ID, x.ID) })
			if i < 0 {
				return granted, fault.New(fault.NotFound, fmt.Sprintf("%s offers no permission %s", resource.DisplayName, x.ID))
			}
			scopes = append(scopes, resource.Scopes[i].Value)
			continue
		}
		i := slices.IndexFunc(resource.Roles, func(r Role) bool { return strings.EqualFold(r.ID, x.ID) })
		if i < 0 {
			return granted, fault.New(fault.NotFound, fmt.Sprintf("%s offers no role %s", resource.DisplayName, x.ID))
		}
		if err := c.Assign(ctx, Assignment{Principal: self.ID, Resource: resource.ID, Role: x.ID}); err != nil {
			return granted, err
		}
		granted = append(granted, resource.DisplayName+"/"+resource.Roles[i].Value)
	}
	if len(scopes) == 0 {
		return granted, nil
	}
	all, err := c.Grants(ctx, self.ID)
	if err != nil {
		return granted, err
	}
	for _, g := range all {
		if strings.EqualFold(g.Resource, resource.ID) && g.ConsentType == "AllPrincipals" {
			has := strings.Fields(g.Scope)
			if scopes = slices.DeleteFunc(scopes, func(s string) bool { return slices.Contains(has, s) }); len(scopes) == 0 {
				return granted, nil
			}
			err = c.do(ctx, call{
				what: "grant permissions to " + self.DisplayName, method: http.MethodPatch, path: "/oauth2PermissionGrants/" + url.PathEscape(g.ID),
				body: map[string]string{"scope": strings.Join(append(has, scopes...), " ")},
			}, nil)
			return append(granted, prefixed(resource, scopes)...), err
		}
	}
	err = c.Consent(ctx, Grant{Client: self.ID, ConsentType: "AllPrincipals", Resource: resource.ID, Scope: strings.Join(scopes, " ")})
	return append(granted, prefixed(resource, scopes)...), err
}

func prefixed(resource Principal, scopes []string) (list []string) {
	for _, s := range scopes {
		list = append(list, resource.DisplayName+"/"+s)
	}
	return list
}

// At is the vault of a name, as it is reached: without asking the resource
// manager what else there is to say of it.
func (v *Vaults) At(name string) (Vault, error) {
	if name == "" || strings.ContainsAny(name, "./:@?#%\\") {
		return Vault{}, fault.New(fault.Invalid, fmt.Sprintf("%.100q is no name of a vault: write its own name, such as billing", name))
	}
	return Vault{ID: name, URL: "https://" + name + "." + v.Domain}, nil
}

// Secrets are those of a vault in their latest version, without values.
func (v *Vaults) Secrets(ctx context.Context, vault Vault) (all []Secret, err error) {
	q := call{what: "list the secrets of the vault " + vault.ID, method: http.MethodGet, path: "/secrets"}
	for range pages {
		var page struct {
			Value []secretBody `json:"value"`
			Next  string       `json:"nextLink"`
		}
		if err := v.ask(ctx, vault, q, &page); err != nil {
			return nil, err
		}
		for _, b := range page.Value {
			all = append(all, b.read())
		}
		if page.Next == "" {
			return all, nil
		}
		next, err := url.Parse(page.Next)
		if err != nil || next.Scheme != "https" || !strings.EqualFold("https://"+next.Host, strings.TrimRight(vault.URL, "/")) {
			return nil, fault.New(fault.Unavailable, fmt.Sprintf("The vault %s says that the next page is at %.200q", vault.ID, page.Next))
		}
		q.path = page.Next
	}
	return nil, fault.New(fault.Unavailable, "The vault "+vault.ID+" has no last page")
}

func (b secretBody) read() Secret {
	s := Secret{Tags: b.Tags, Enabled: b.Attributes.Enabled == nil || *b.Attributes.Enabled, Created: time.Unix(b.Attributes.Created, 0)}
	if b.Attributes.Expires != 0 {
		s.Expires = time.Unix(b.Attributes.Expires, 0)
	}
	if _, rest, is := strings.Cut(b.ID, "/secrets/"); is {
		s.Name, s.Version, _ = strings.Cut(rest, "/")
	}
	return s
}
