package ops

import (
	"context"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/entra"
)

// Tenant is the operator's: its directory, and its vaults, of this deployment
// or elsewhere, asked as this deployment asks them.
type Tenant struct {
	Directory *entra.Client
	Vaults    *entra.Vaults // nil: there are none
}

// tenantDoc is where they are, for who asks through the socket.
type tenantDoc struct {
	Tenant  string `json:"tenant"`
	Graph   string `json:"graph"`
	Login   string `json:"login"`
	Manager string `json:"manager,omitempty"`
	Domain  string `json:"vaults,omitempty"`
}

// tenant adds the door: /tenant says where the tenant's systems are, and
// /tenant/<host>/<path> asks them with the deployment's own token. Whoever may
// open the socket may do what the deployment may.
func (a api) tenant(mux *http.ServeMux) {
	if a.Tenant == nil {
		return
	}
	mux.HandleFunc("GET /tenant", a.answer(func(*http.Request) (any, error) {
		t, err := a.Tenant()
		if err != nil {
			return nil, err
		}
		doc := tenantDoc{Tenant: t.Directory.Tenant, Graph: t.Directory.URL, Login: t.Directory.Login}
		if t.Vaults != nil {
			doc.Manager, doc.Domain = t.Vaults.Manager, t.Vaults.Domain
		}
		return doc, nil
	}))
	mux.HandleFunc("/tenant/{host}/{rest...}", func(w http.ResponseWriter, r *http.Request) {
		t, err := a.Tenant()
		if err == nil {
			err = t.serve(w, r, a)
		}
		if err != nil {
			a.fail(w, r, err)
		}
	})
}

// doors of a tenant: which token goes to which host, and to no other.
func (t Tenant) door(host string) (entra.Token, http.RoundTripper) {
	at := func(u string) bool {
		there, err := url.Parse(u)
		return err == nil && strings.EqualFold(there.Host, host)
	}
	switch v := t.Vaults; {
	case at(t.Directory.URL) && t.Directory.Token != nil:
		return t.Directory.Token, t.Directory.HTTP
	case v == nil:
	case v.Domain != "" && strings.HasSuffix(strings.ToLower(host), "."+strings.ToLower(v.Domain)):
		return v.Open, v.HTTP
	}
	return nil, nil
}

func (t Tenant) serve(w http.ResponseWriter, r *http.Request, a api) error {
	host := r.PathValue("host")
	token, transport := t.door(host)
	if token == nil {
		return fault.New(fault.NotFound, "the tenant has nothing at "+host)
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	bearer, err := token(ctx)
	if err != nil {
		return err
	}
	prefix := "/tenant/" + host
	proxy := httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			u := *p.In.URL
			u.Scheme, u.Host = "https", host
			u.Path, u.RawPath = strings.TrimPrefix(u.Path, prefix), strings.TrimPrefix(u.RawPath, prefix)
			p.Out.URL, p.Out.Host = &u, host
			p.Out.Header.Set("Authorization", "Bearer "+string(bearer))
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			a.fail(w, r, &fault.Error{Kind: fault.Unavailable, Public: host + " does not answer", Err: err})
		},
	}
	proxy.ServeHTTP(w, r.WithContext(ctx))
	return nil
}

// Tenant is the operator's tenant, asked through the node.
func (c *Client) Tenant(ctx context.Context) (t Tenant, err error) {
	var doc tenantDoc
	if err := c.get(ctx, "/tenant", &doc); err != nil {
		return t, err
	}
	// The token is the node's, which puts its own in.
	token := func(context.Context) (obs.Secret, error) { return "of-the-node", nil }
	if t.Directory, err = entra.New(entra.Config{URL: doc.Graph, Login: doc.Login, Tenant: doc.Tenant, Token: token, HTTP: door{c}}); err != nil || doc.Domain == "" {
		return t, err
	}
	t.Vaults, err = entra.NewVaults(entra.VaultsConfig{Manager: doc.Manager, Domain: doc.Domain, Tenant: doc.Tenant, Manage: token, Open: token, HTTP: door{c}})
	return t, err
}

// door carries requests to a tenant's systems by way of the node.
type door struct{ c *Client }

// RoundTrip sends a request to the node.
func (d door) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.URL.Scheme, in.URL.Host, in.Host = "http", "node", "node"
	prefix := "/tenant/" + r.URL.Host
	in.URL.Path = prefix + in.URL.Path
	if in.URL.RawPath != "" {
		in.URL.RawPath = prefix + in.URL.RawPath
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	res, err := d.c.Do(in)
	if err != nil {
		return nil, err
	}
	return res, nil
}
