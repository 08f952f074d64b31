// Package keyvault is two APIs of Azure Key Vault: that of secrets, which each
// vault serves under a host name of its own, and that of vaults as resources
// of Microsoft.KeyVault.
//
// What is in this package is HTTP and JSON: host names, paths, the challenge
// that sends clients for a token, shapes and errors, pages, throttling. What a
// secret is and who may have it is control/vault's. No answer but that to a
// Get or a Set has a value in it, and no line of the log. Start reading at
// Handler for secrets and at Resources for vaults; what both have in common is
// in api.go.
package keyvault

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/vault"
	"github.com/tandemgw/tandem/front/door"
)

// verifier tells whose a bearer token is. front/arm's Tokens is one.
type verifier interface {
	Verify(ctx context.Context, raw string) (subscription.Principal, error)
}

// grouped is one whose tokens may say what groups the principal is in. front/arm's
// Tokens is one.
type grouped interface {
	Whose(ctx context.Context, raw string) (p subscription.Principal, groups []string, err error)
}

// whose tells whose a token is, and in what groups, where it says so.
func (a *api) whose(ctx context.Context, raw string) (p subscription.Principal, groups []string, err error) {
	if g, ok := a.tokens.(grouped); ok {
		return g.Whose(ctx, raw)
	}
	p, err = a.tokens.Verify(ctx, raw)
	return p, nil, err
}

// Config is what the API of secrets answers from.
type Config struct {
	Vaults *vault.Set
	Tokens verifier // for the audience URL, with and without its port
	Tenant string

	URL      string // "https://vault.telecom.example:8443": vaults are at https://<name>.vault.telecom.example:8443
	LoginURL string // where clients are sent for tokens
	Rate     Rate   // of one principal in one vault; zero is Azure's for a vault
	Log      *slog.Logger
}

// Rate is a bucket.
type Rate = door.Rate

// data is the API of secrets.
type data struct {
	Config
	domain string // RO: of URL, without a port
	port   string // RO: ":8443", or ""
}

// Handler serves the API of secrets. The host name of a request says which
// vault it is for.
func Handler(c Config) http.Handler {
	d := &data{Config: c}
	d.URL = strings.TrimRight(c.URL, "/")
	d.domain, d.port = domainOf(d.URL)
	d.Log = cmp.Or(c.Log, slog.Default())
	if c.Tokens == nil {
		panic("keyvault: nobody verifies tokens")
	}
	// Azure Key Vault docs, "Azure Key Vault service limits": 4000 transactions
	// with secrets in 10 seconds.
	rate := cmp.Or(c.Rate, Rate{Burst: 4000, PerSecond: 400})
	// The client insists that the host it asked ends in the host of the
	// resource, port and all.
	challenge := `Bearer authorization="` + strings.TrimRight(c.LoginURL, "/") + "/" + c.Tenant + `", resource="` + d.URL + `"`
	a := &api{tokens: c.Tokens, routes: d.routes(), admit: d.admit, may: d.may, rate: rate}
	return a.handler("vault API", challenge, d.Log)
}

// domainOf is the host of a URL and its port with the colon.
func domainOf(address string) (host, port string) {
	u, err := url.Parse(address)
	if err != nil {
		return "", ""
	}
	if u.Port() != "" {
		port = ":" + u.Port()
	}
	return strings.ToLower(u.Hostname()), port
}

// Serves tells whether a host name, as a request has it, is one of a vault
// below the domain of url.
func Serves(url, host string) bool {
	domain, _ := domainOf(url)
	return vaultOf(domain, host) != ""
}

// vaultOf is the vault that a host name is of.
func vaultOf(domain, host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	name, good := strings.CutSuffix(strings.TrimSuffix(strings.ToLower(host), "."), "."+domain)
	if !good || domain == "" || strings.Contains(name, ".") {
		return ""
	}
	return name
}

// admit reads which vault the request is for, and from where it came.
func (d *data) admit(q *request) error {
	if q.vault = vaultOf(d.domain, q.Host); q.vault == "" {
		return refusal(http.StatusNotFound, "VaultNotFound", "The host name of the request is of no vault: vaults are at https://<name>."+d.domain+d.port+".")
	}
	q.Note(slog.String("vault", door.Printable(q.vault)))
	q.bucket = bucketKey{q.principal.Object, q.vault}
	q.caller = vault.Caller{Principal: q.principal, Groups: q.groups}
	if q.RemoteAddr != "" { // else it comes from a part of this process: a server always says from where
		from, err := netip.ParseAddrPort(q.RemoteAddr)
		if err != nil {
			return fault.New(fault.Internal, "a request from no address")
		}
		q.caller.From = from.Addr()
	}
	if q.query.Get("api-version") == "" {
		return badParameter("The query parameter 'api-version' is required.")
	}
	return nil
}

// may keeps who may not from having much read.
func (d *data) may(q *request) error {
	if q.route.needs == "" {
		return nil
	}
	return d.Vaults.May(q.Context(), q.caller, q.vault, q.route.needs)
}

// base is the URL of a vault.
func (d *data) base(name string) string { return "https://" + name + "." + d.domain + d.port }
