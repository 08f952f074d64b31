// Package entra is a client of an operator's tenant: of its directory, which
// speaks Microsoft Graph, and of its vaults, which speak the APIs of Azure Key
// Vault. The tenant is the operator's own in Entra, or the one of this
// deployment.
//
// Both are the same code with other URLs. What is served by this process is
// asked without a socket, by InProcess; all else by HTTPS. The types are the
// parts of resources that onboarding needs, in the words of the Microsoft Graph
// REST API v1.0 and Key Vault references, and nothing of an SDK. What is
// refused becomes one sentence that names the code of the other side; nothing
// secret is ever part of it. Start reading at Client and Vaults; how they ask
// is in ask.go.
package entra

import (
	"cmp"
	"context"
	"net/http"
	"strings"

	"github.com/tandemgw/tandem/base/obs"
)

// The addresses of public Azure.
const (
	PublicGraph = "https://graph.microsoft.com"
	PublicLogin = "https://login.microsoftonline.com"
)

// Token gives a bearer token for Graph. It is asked for each request and keeps
// what it got for as long as that is good.
type Token func(context.Context) (obs.Secret, error)

// Config names a directory and who asks it.
type Config struct {
	URL    string            // of Graph, without version; "": PublicGraph
	Login  string            // authority, without tenant; "": PublicLogin
	Tenant string            // ID of the tenant that is asked
	Token  Token             // nil: no request is sent
	HTTP   http.RoundTripper // nil: http.DefaultTransport
}

// Client asks one directory as one caller.
type Client struct {
	Config
	*asker
}

// New checks the addresses and asks nothing yet.
func New(c Config) (*Client, error) {
	c.URL, c.Login = strings.TrimRight(cmp.Or(c.URL, PublicGraph), "/"), strings.TrimRight(cmp.Or(c.Login, PublicLogin), "/")
	a, err := newAsker("directory", c.URL, c.HTTP)
	if err != nil {
		return nil, err
	}
	a.version, a.token = "/v1.0", c.Token
	if c.Token == nil {
		a.token = nobody(a.base.Host)
	}
	return &Client{c, a}, nil
}

// quote is a string of an OData filter.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
