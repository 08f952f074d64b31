package app

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/front/graph"
	"github.com/tandemgw/tandem/front/login"
)

// DirectoryConfig is what the directory of a control node has from its
// beginning.
type DirectoryConfig struct {
	Outside      *OutsideConfig      `yaml:"outside"`      // nil: this node's own is asked
	Domain       string              `yaml:"domain"`       // initial domain of control.tenant; empty: made of its name
	Tenants      []OtherTenantConfig `yaml:"tenants"`      // beside control.tenant
	Applications []KnownConfig       `yaml:"applications"` // of other organizations, that a tenant may add
}

// OtherTenantConfig is one more tenant.
type OtherTenantConfig struct {
	ID     string `yaml:"id"`
	Name   string `yaml:"name"`
	Domain string `yaml:"domain"`
}

// KnownConfig is an application that is registered with another organization,
// such as the one by which an onboarding team reads vaults. It signs in here by
// tokens of that organization.
type KnownConfig struct {
	ID        string `yaml:"id"`
	Name      string `yaml:"name"`
	Publisher string `yaml:"publisher"`
	Issuer    string `yaml:"issuer"`  // of the tokens; empty: it does not sign in
	Subject   string `yaml:"subject"` // whom they are about
}

// directory checks what the directory begins with.
func (k *configCheck) directory(path string) {
	d := k.Control.Directory
	k.outside(path + ".outside")
	tenants, apps := []string{k.Control.Tenant.ID}, []string{}
	k.initialDomain(path+".domain", d.Domain)
	for i, t := range d.Tenants {
		here := fmt.Sprintf("%s.tenants[%d]", path, i)
		tenants = k.newID(here, t.ID, "the tenant", tenants)
		k.initialDomain(here+".domain", t.Domain)
		if t.Name == "" {
			k.bad(here+".name", "missing: write the name of the organization")
		}
	}
	for i, a := range d.Applications {
		here := fmt.Sprintf("%s.applications[%d]", path, i)
		apps = k.newID(here, a.ID, "the application", apps)
		if directory.InCatalogue(a.ID) {
			k.bad(here+".id", "%s is known already: remove it here", a.ID)
		}
		if a.Name == "" {
			k.bad(here+".name", "missing: write the name under which people find the application")
		}
		switch {
		case (a.Issuer == "") != (a.Subject == ""):
			k.bad(here+".subject", "issuer and subject belong together: write both, or remove both where the application does not sign in here")
		case a.Issuer != "" && !strings.HasPrefix(a.Issuer, "https://"):
			k.bad(here+".issuer", "%q: write the https URL of the issuer whose tokens the application shows", a.Issuer)
		}
	}
}

// directoryRoles checks what a client may do in the directory.
func (k *configCheck) directoryRoles(path string, roles []string) {
	var names []string
	for _, r := range directory.DirectoryRoles() {
		names = append(names, string(r))
	}
	for i, r := range roles {
		k.oneOf(fmt.Sprintf("%s[%d]", path, i), r, names...)
	}
	if len(roles) > 0 && k.Control.outside() != nil {
		k.bad(path, "means nothing with a directory elsewhere: remove it")
	}
}

// newID checks an ID that no other of the list may have.
func (k *configCheck) newID(path, id, of string, seen []string) []string {
	k.guid(path+".id", id, of)
	if slices.ContainsFunc(seen, func(x string) bool { return strings.EqualFold(x, id) }) {
		k.bad(path+".id", "%s stands in the file already: correct it", id)
	}
	return append(seen, id)
}

func (k *configCheck) initialDomain(path, name string) {
	if name != "" && (!hostName.MatchString(name) || !strings.Contains(name, ".")) {
		k.bad(path, "%q: write a domain name such as telecom.example, or remove the key", name)
	}
}

// tenants are all of the deployment, and known the applications that any of
// them may add.
func (c *ControlConfig) tenants() (own directory.Tenant, others []directory.Tenant) {
	for _, t := range c.Directory.Tenants {
		others = append(others, directory.Tenant(t))
	}
	return directory.Tenant{ID: c.Tenant.ID, Name: c.Tenant.Name, Domain: c.Directory.Domain}, others
}

func (c *ControlConfig) known() (list []directory.WellKnown) {
	for _, a := range c.Directory.Applications {
		w := directory.WellKnown{AppID: a.ID, Name: a.Name, Publisher: a.Publisher}
		if a.Issuer != "" {
			w.Federated = []directory.FederatedCredential{{Name: a.Name, Issuer: a.Issuer, Subject: a.Subject}}
		}
		list = append(list, w)
	}
	return list
}

// giveRoles gives the clients of the configuration the directory roles that it
// names, and takes away all others.
func (p *plane) giveRoles(ctx context.Context) error {
	ours := directory.Ourselves(p.directory.Tenant().ID, "configuration")
	for _, client := range p.cfg.Login.Clients {
		if client.SecretFile == "" {
			continue
		}
		principal, err := p.directory.PrincipalOf(ctx, ours, client.ID)
		if err != nil {
			return fmt.Errorf("find client %s: %w", client.Name, err)
		}
		has, err := p.directory.RolesOf(ctx, ours, principal.ID)
		if err != nil {
			return err
		}
		for _, r := range directory.DirectoryRoles() {
			wanted := slices.Contains(client.DirectoryRoles, string(r))
			switch {
			case wanted && !slices.Contains(has, r):
				err = p.directory.AssignDirectoryRole(ctx, ours, r, principal.ID)
			case !wanted && slices.Contains(has, r):
				err = p.directory.UnassignDirectoryRole(ctx, ours, r, principal.ID)
			}
			if err != nil {
				return fmt.Errorf("directory roles of client %s: %w", client.Name, err)
			}
		}
	}
	return nil
}

// graph is the directory's API, nil where one elsewhere has it.
func (p *plane) graph() http.Handler {
	if p.cfg.outside() != nil {
		return nil
	}
	c := graph.Config{Directory: p.directory, URL: p.url(), LoginURL: p.url(), Audiences: []string{"https://" + p.cfg.API.Name}, Log: p.n.log}
	for _, t := range p.directory.Tenants() {
		c.Issuers = append(c.Issuers, login.Issuers(p.url(), t.ID)...)
	}
	return graph.Handler(c)
}

// withGraph answers for the directory; no tenant is called as a version of
// Graph is.
func (p *plane) withGraph(next http.Handler) http.Handler {
	api := p.graph()
	if api == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first, _, _ := strings.Cut(strings.TrimLeft(r.URL.Path, "/"), "/")
		if slices.Contains(graph.Versions(), strings.ToLower(first)) {
			api.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}
