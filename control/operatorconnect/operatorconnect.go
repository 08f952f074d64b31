// Package operatorconnect is a client of the partner API of Operator Connect
// and Teams Phone Mobile: trunks, calling profiles, consents, numbers, and the
// applications that may use it.
//
// That API is not public. What is spoken here is docs/operatorconnect.openapi.yaml,
// which is ours and inferred; whoever has the partners' document changes this
// package and that file, and nothing above. The package decides nothing but one
// thing: what a communications gateway manages is not touched by accident (see
// guard.go). Start reading at Client; how it asks, waits and asks again is in
// ask.go.
package operatorconnect

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/entra"
)

// Well-known names.
const (
	// PublicURL is Microsoft's.
	PublicURL = "https://operatorconnect.microsoft.com"
	// ProjectSynergy is the application that tokens are issued for.
	ProjectSynergy = "eb63d611-525e-4a31-abd7-0cb33f679599"
	// Scope is what a token is asked for with.
	Scope = ProjectSynergy + "/.default"
	// GatewayApplication is the second Application Id that the portal wants
	// (Azure Communications Gateway docs, "Add the Application IDs for Azure
	// Communications Gateway to Operator Connect").
	GatewayApplication = "8502a0ec-c76d-412f-836c-398018e2312b"
	// ConfigurationPath is the page of the portal that has the Application Ids.
	ConfigurationPath = "/operator/configuration"
)

// Token gives a bearer token. anew: what was given before is not good enough
// any more, because roles have been granted since, or the far side refuses it.
type Token func(ctx context.Context, anew bool) (obs.Secret, error)

// SignIn is the token of an app registration, which signs in with a secret or
// with an assertion (a federated credential).
func SignIn(s entra.SignIn) Token {
	s.Scope = cmp.Or(s.Scope, Scope)
	var mu sync.Mutex
	get := s.Token() // mu
	return func(ctx context.Context, anew bool) (obs.Secret, error) {
		mu.Lock()
		if anew {
			get = s.Token()
		}
		now := get
		mu.Unlock()
		return now(ctx)
	}
}

// Issued is the token of an identity whose tokens are issued within this
// process: the managed identity of a gateway.
func Issued(issue func(context.Context) (obs.Secret, time.Duration, error)) Token {
	var (
		mu    sync.Mutex
		token obs.Secret // mu
		ends  time.Time  // mu
	)
	return func(ctx context.Context, anew bool) (obs.Secret, error) {
		mu.Lock()
		defer mu.Unlock()
		if !anew && token != "" && time.Until(ends) > 5*time.Minute {
			return token, nil
		}
		got, life, err := issue(ctx)
		if err != nil {
			return "", err
		}
		token, ends = got, time.Now().Add(life)
		return token, nil
	}
}

// Config says whom to ask, and as whom.
type Config struct {
	URL         string            // without path; "": PublicURL
	Token       Token             // nil: no request is sent
	Application string            // ID of the application that Token is of: for sentences, and for what is its own
	Suffixes    []string          // domains that our gateways are below, besides .commsgw.azure.com
	HTTP        http.RoundTripper // nil: http.DefaultTransport
	Log         *slog.Logger      // nil: none
}

// Client asks one environment as one caller.
type Client struct {
	Config
	base *url.URL     // RO
	http *http.Client // RO
	log  *slog.Logger // RO

	mu    sync.Mutex
	pause time.Time // mu: until when nobody asks: the far side has said so
}

// New checks the address and asks nothing yet.
func New(c Config) (*Client, error) {
	c.URL = strings.TrimRight(cmp.Or(c.URL, PublicURL), "/")
	base, err := url.Parse(c.URL)
	if err != nil || base.Host == "" || base.Scheme != "https" || base.Path != "" || base.RawQuery != "" {
		return nil, fault.New(fault.Invalid, fmt.Sprintf("%.200q is not where Operator Connect can be: write https:// and a host", c.URL))
	}
	if c.Token == nil {
		c.Token = func(context.Context, bool) (obs.Secret, error) {
			return "", fault.New(fault.Denied, "nobody is signed in to Operator Connect at "+base.Host)
		}
	}
	return &Client{Config: c, base: base, http: newHTTP(c.HTTP), log: cmp.Or(c.Log, slog.New(slog.DiscardHandler))}, nil
}

// ConfigurationURL is the portal's page with the Application Ids.
func (c *Client) ConfigurationURL() string { return c.URL + ConfigurationPath }
