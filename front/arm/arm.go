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
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/tester"
	"github.com/tandemgw/tandem/front/door"
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

// api answers.
type api struct {
	Config
	limits door.Limits[bucketKey]
	routes []route // RO
	local  bool    // RO: whoever can connect may do everything
}

// Handler serves the API to whoever has a token.
func Handler(c Config) http.Handler {
	if c.Tokens == nil {
		panic("arm: nobody verifies tokens")
	}
	return newAPI(c).door()
}

// Socket serves the API on the node's control socket: who may open that owns
// the node, and needs no token.
func Socket(c Config) http.Handler {
	a := newAPI(c)
	a.local = true
	return a.door()
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
	c.Limits.Reads = cmp.Or(c.Limits.Reads, Rate{Burst: 250, PerSecond: 25})
	c.Limits.Writes = cmp.Or(c.Limits.Writes, Rate{Burst: 200, PerSecond: 10})
	c.Limits.Deletes = cmp.Or(c.Limits.Deletes, Rate{Burst: 200, PerSecond: 10})
	return &api{Config: c, routes: routes()}
}

// door is where requests come in.
func (a *api) door() http.Handler {
	return &door.Door{
		Name: "resource API", Media: "application/json; charset=utf-8", Log: a.Log,
		ClientID: "x-ms-client-request-id", CorrelationID: "x-ms-correlation-request-id",
		Challenge: fmt.Sprintf(`Bearer authorization_uri="%s/%s"`, a.LoginURL, a.Subscriptions.Tenant().ID),
		Greet:     a.greet, Serve: a.serve, Explain: answered, Envelope: envelope, Level: loudness,
	}
}
