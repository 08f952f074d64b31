package ops

import (
	"context"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/entra"
)

// Tenant is the operator's: its directory, and its vaults, of this deployment
// or elsewhere, asked as this deployment asks them.
type Tenant struct {
	Directory *entra.Client // nil: nobody looks into it
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
		if t.Directory == nil {
			return nil, fault.New(fault.NotFound, "nobody looks into the directory: control.directory.outside names no client")
		}
		doc := tenantDoc{Tenant: t.Directory.Tenant, Graph: t.Directory.URL, Login: t.Directory.Login}
		if t.Vaults != nil {
			doc.Manager, doc.Domain = t.Vaults.Manager, t.Vaults.Domain
		}
		return doc, nil
	}))
	mux.HandleFunc("/tenant/{host}/{rest...}", func(w http.ResponseWriter, r *http.Request) {
		host := r.PathValue("host")
		t, err := a.Tenant()
		if err == nil {
			err = fault.New(fault.NotFound, "the tenant has nothing at "+host)
			if token, transport := t.door(host); token != nil {
				err = a.forward(w, r, way{"/tenant/" + host, host, token, transport})
			}
		}
		if err != nil {
			a.fail(w, r, err)
		}
	})
}

// hostForm is a host with its port. What else a path can hold might be read
// otherwise further on.
var hostForm = regexp.MustCompile(`^[A-Za-z0-9.-]+(:[0-9]{1,5})?$`)

// door says which token goes to a host; nil: none does.
func (t Tenant) door(host string) (entra.Token, http.RoundTripper) {
	at := func(u string) bool {
		there, err := url.Parse(u)
		return err == nil && strings.EqualFold(there.Host, host)
	}
	switch v := t.Vaults; {
	case !hostForm.MatchString(host):
	case t.Directory != nil && at(t.Directory.URL) && t.Directory.Token != nil:
		return t.Directory.Token, t.Directory.HTTP
	case v == nil:
	case v.Domain != "" && strings.HasSuffix(strings.ToLower(host), "."+strings.ToLower(v.Domain)):
		return v.Open, v.HTTP
	}
	return nil, nil
}

// way is where a request through the socket goes on, and with whose token.
type way struct {
	prefix string // of the path, that falls away
	host   string
	token  entra.Token
	http   http.RoundTripper
}

// forward sends a request on with the node's token.
func (a api) forward(w http.ResponseWriter, r *http.Request, x way) error {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	bearer, err := x.token(ctx)
	if err != nil {
		return err
	}
	proxy := httputil.ReverseProxy{
		Transport: x.http,
		Rewrite: func(p *httputil.ProxyRequest) {
			u := *p.In.URL
			u.Scheme, u.Host = "https", x.host
			u.Path, u.RawPath = strings.TrimPrefix(u.Path, x.prefix), strings.TrimPrefix(u.RawPath, x.prefix)
			p.Out.URL, p.Out.Host = &u, x.host
			p.Out.Header.Set("Authorization", "Bearer "+string(bearer))
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			a.fail(w, r, &fault.Error{Kind: fault.Unavailable, Public: x.host + " does not answer", Err: err})
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
	token := func(context.Context) (obs.Secret, error) { return ofTheNode, nil }
	to := door{c, func(r *http.Request) string { return "/tenant/" + r.URL.Host }}
	if t.Directory, err = entra.New(entra.Config{URL: doc.Graph, Login: doc.Login, Tenant: doc.Tenant, Token: token, HTTP: to}); err != nil || doc.Domain == "" {
		return t, err
	}
	t.Vaults, err = entra.NewVaults(entra.VaultsConfig{Manager: doc.Manager, Domain: doc.Domain, Tenant: doc.Tenant, Manage: token, Open: token, HTTP: to})
	return t, err
}

// ofTheNode stands where a token would: the node puts its own in.
const ofTheNode = "of-the-node"

// door carries requests to systems of the operator's by way of the node.
type door struct {
	c      *Client
	prefix func(*http.Request) string
}

// RoundTrip sends a request to the node.
func (d door) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.URL.Scheme, in.URL.Host, in.Host = "http", "node", "node"
	prefix := d.prefix(r)
	in.URL.Path, in.URL.RawPath = prefix+r.URL.Path, ""
	if r.URL.RawPath != "" {
		in.URL.RawPath = prefix + r.URL.RawPath
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	return d.c.Do(in)
}
