// Package arm is the resource API: Microsoft.VoiceServices in the shape of
// Azure Resource Manager, with the subscriptions, resource groups, locations
// and role assignments around it that its clients expect.
//
// What is in this package is HTTP and JSON: paths in any case, api-versions and
// the shapes they have, errors, ETags, pages, long-running operations. What a
// gateway is, and what may be said of it, is control/gateway's; who may do what
// is control/subscription's; neither ever sees a version. Start reading at
// routes in route.go, then (*api).serve in request.go; the shapes are in
// shape.go.
package arm

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/tester"
)

// verifier tells whose a bearer token is. Tokens is one.
type verifier interface {
	Verify(ctx context.Context, raw string) (subscription.Principal, error)
}

// Config is what the API answers from.
type Config struct {
	Gateways      *gateway.Set
	Operations    *operation.Set
	Subscriptions *subscription.Set
	Tester        *tester.Set // nil: no test calls are placed
	Tokens        verifier

	URL       string // "https://api.telecom.example:8443": of this API, in what it answers
	LoginURL  string // where clients are sent for tokens, or the issuer of these; "" is URL
	Audiences []string
	Name      string // of the deployment, as a cloud; "" is "Tandem"

	RetryAfter time.Duration // between two looks at an operation; 0: one second
	Limits     Limits
	Log        *slog.Logger
}

// Limits are how many requests one principal may make of one subscription. The
// zero Limits are those of Azure Resource Manager's buckets, which are 200 to
// 250 at once and 10 to 25 a second.
type Limits struct {
	Reads, Writes, Deletes Rate
}

// Rate is a bucket: Burst at once, PerSecond after that.
type Rate struct {
	Burst     int
	PerSecond float64
}

// api answers.
type api struct {
	Config
	limits *limits // RO
	routes []route // RO
	local  bool    // RO: whoever can connect may do everything
}

// Handler serves the API to whoever has a token.
func Handler(c Config) http.Handler {
	if c.Tokens == nil {
		panic("arm: nobody verifies tokens")
	}
	return newAPI(c)
}

// Socket serves the API on the node's control socket: who may open that owns
// the node, and needs no token.
func Socket(c Config) http.Handler {
	a := newAPI(c)
	a.local = true
	return a
}

func newAPI(c Config) *api {
	c.Log = cmp.Or(c.Log, slog.Default())
	c.Name = cmp.Or(c.Name, "Tandem")
	c.RetryAfter = cmp.Or(c.RetryAfter, time.Second)
	c.URL = strings.TrimRight(c.URL, "/")
	// Clients put the tenant behind it, which an issuer has in it already.
	c.LoginURL, _, _ = strings.Cut(c.LoginURL, "/"+c.Subscriptions.Tenant().ID)
	c.LoginURL = cmp.Or(strings.TrimRight(c.LoginURL, "/"), c.URL)
	// Azure Resource Manager docs, "Understand how Azure Resource Manager
	// throttles requests".
	c.Limits.Reads = cmp.Or(c.Limits.Reads, Rate{250, 25})
	c.Limits.Writes = cmp.Or(c.Limits.Writes, Rate{200, 10})
	c.Limits.Deletes = cmp.Or(c.Limits.Deletes, Rate{200, 10})
	return &api{Config: c, limits: newLimits(c.Limits), routes: routes()}
}
