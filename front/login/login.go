// Package login is where people and programs sign in: OpenID Connect and OAuth
// 2.0 in the forms that clients of the Microsoft identity platform ask for
// them, and the pages on which people show who they are and consent.
//
// One directory answers under three kinds of paths: /{tenant}/oauth2/v2.0
// (azidentity, MSAL, Terraform), /{tenant}/oauth2 (the older form, which names
// a resource instead of a scope), and /adfs, by which Debian's azure-cli signs
// in without asking the world whether we exist. Who may sign in, codes, tokens
// and sessions are control/directory's; what is ours are the words, the pages,
// and patience with those who guess.
//
// Nothing is decided in a browser: pages are plain forms, and the two scripts,
// which ask for passkeys and send forms on, are allowed by their hashes. Start reading at Handler; the
// token endpoint is in token.go and grant.go, what all pages have in common in
// page.go, the ways through them in signin.go, authorize.go, consent.go and
// device.go.
package login

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/subscription"
)

// Config is what the endpoint answers from.
type Config struct {
	Directory *directory.Set
	URL       string   // "https://login.telecom.example:8443", as clients reach it
	Resources []string // audiences of the deployment's own parts, beside those of the directory's applications
	Log       *slog.Logger
}

// The names that stand where a tenant would.
const (
	adfs = "adfs" // the form of Active Directory Federation Services
)

// anyTenant are those that leave it to the person which tenant it is.
var anyTenant = []string{adfs, "common", "organizations"}

// endpoint answers.
type endpoint struct {
	Config
	routes  map[string]route // RO: by path below the tenant
	guard   *guard
	devices *guard        // of codes that were asked for, not of wrong ones
	turn    chan struct{} // RO: a place for each secret that is looked at
	foreign *http.CrossOriginProtection
}

// route is what answers at a path.
type route struct {
	methods []string
	open    bool // to pages of others (Fetch Standard, "CORS protocol"): no cookie counts there
	answer  func(http.ResponseWriter, *http.Request, asked)
}

var (
	gets  = []string{http.MethodGet, http.MethodHead}
	posts = []string{http.MethodPost}
	both  = []string{http.MethodGet, http.MethodHead, http.MethodPost}
)

// Handler serves the endpoint. Paths are the same in any case; {tenant} is the
// ID of a tenant, its name, a domain of it, common, organizations or adfs.
//
//	GET  /{tenant}/v2.0/.well-known/openid-configuration    and without /v2.0
//	GET  /{tenant}/discovery/v2.0/keys                      and without /v2.0
//	GET  /{tenant}/oauth2/v2.0/authorize                    and without /v2.0
//	POST /{tenant}/oauth2/v2.0/token                        and without /v2.0
//	POST /{tenant}/oauth2/v2.0/devicecode                   and without /v2.0
//	GET  /{tenant}/oauth2/v2.0/logout                       and without /v2.0
//	GET  /{tenant}/openid/userinfo
//	GET  /{tenant}/adminconsent                             and with /v2.0
//	GET  /{tenant}/signin, factor, enrol, password, device, account, signout
func Handler(c Config) http.Handler {
	c.Log = cmp.Or(c.Log, slog.Default())
	c.URL = strings.TrimRight(c.URL, "/")
	e := &endpoint{Config: c, guard: newGuard(), devices: newGuard(), turn: make(chan struct{}, turns), foreign: http.NewCrossOriginProtection(), routes: map[string]route{}}
	// On reverse proxies Host may differ; the address that people see is known.
	if u, err := url.Parse(c.URL); err == nil && u.Host != "" {
		if err := e.foreign.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
			c.Log.Error("the address of the login is no origin", "url", c.URL, obs.KeyError, err)
		}
	}
	e.serve()
	return e
}

// serve lays out the routes.
func (e *endpoint) serve() {
	add := func(r route, paths ...string) {
		for _, p := range paths {
			e.routes[p] = r
		}
	}
	add(route{gets, true, e.discovery}, "v2.0/.well-known/openid-configuration", ".well-known/openid-configuration")
	add(route{gets, true, e.keys}, "discovery/v2.0/keys", "discovery/keys")
	add(route{posts, true, e.token}, "oauth2/v2.0/token", "oauth2/token")
	add(route{posts, false, e.devicecode}, "oauth2/v2.0/devicecode", "oauth2/devicecode")
	add(route{both, true, e.userinfo}, "openid/userinfo")
	add(route{both, false, e.page(e.authorize)}, "oauth2/v2.0/authorize", "oauth2/authorize")
	add(route{both, false, e.page(e.logout)}, "oauth2/v2.0/logout", "oauth2/logout")
	add(route{both, false, e.page(e.adminconsent)}, "adminconsent", "v2.0/adminconsent")
	add(route{gets, false, e.page(func(v *visit) { e.to(v, v.at("account", nil)) })}, "")
	for name, f := range map[string]func(*visit){
		"signin": e.signin, "factor": e.factor, "enrol": e.enrol, "password": e.password, "consent": e.consent,
		"device": e.device, "account": e.account, "signout": e.signout,
	} {
		add(route{both, false, e.page(f)}, name)
	}
}

// Issuers are the names under which a login at url issues tokens of a tenant:
// whoever verifies tokens believes all of them.
func Issuers(url, tenant string) []string {
	url, tenant = strings.TrimRight(url, "/"), strings.ToLower(tenant)
	return []string{url + "/" + tenant + "/v2.0", url + "/" + tenant + "/", url + "/" + adfs}
}

// InvitationURL is the link that lets somebody set a password.
func InvitationURL(at, tenant string, i directory.Invitation) obs.Secret {
	return obs.Secret(strings.TrimRight(at, "/") + "/" + tenant + "/password?link=" + url.QueryEscape(string(i.Link)))
}

// asked is a request whose path was understood.
type asked struct {
	written string // what stands where the tenant does
	home    string // ID of the tenant; "" when there is no such tenant
	any     bool   // the person decides: home is the deployment's own until then
	v2      bool
	issuer  string
	id      string // of the request, for the log and for the person who complains
}

// adfs tells whether the request is in the form of ADFS.
func (a asked) adfs() bool { return a.written == adfs }

// at has the request go to a tenant.
func (e *endpoint) at(a *asked, tenant string) {
	issuers := Issuers(e.URL, tenant)
	switch a.home = tenant; {
	case a.adfs():
		a.issuer = issuers[2]
	case a.v2:
		a.issuer = issuers[0]
	default:
		a.issuer = issuers[1]
	}
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	rest := strings.ToLower(strings.Join(parts[1:], "/"))
	if parts[0] == "" {
		parts[0] = "common" // a person who knows the address alone
	}
	a := asked{written: strings.ToLower(parts[0]), id: uuid.NewString(), v2: strings.Contains(rest, "v2.0")}
	h.Set("x-ms-request-id", a.id)
	to, ok := e.routes[rest]
	if !ok {
		e.refuse(w, a, refusal{http.StatusNotFound, "invalid_request", 90023, "There is no " + clean(r.Method) + " at this path. The discovery document is at /{tenant}/v2.0/.well-known/openid-configuration."})
		return
	}
	if to.open {
		h.Set("Access-Control-Allow-Origin", "*")
		if r.Method == http.MethodOptions {
			h.Set("Access-Control-Allow-Methods", strings.Join(to.methods, ", "))
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, client-request-id, return-client-request-id, x-client-SKU, x-client-VER")
			h.Set("Access-Control-Max-Age", "3600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	if !slices.Contains(to.methods, r.Method) {
		h.Set("Allow", strings.Join(to.methods, ", "))
		e.refuse(w, a, refusal{http.StatusMethodNotAllowed, "invalid_request", 900561, "The endpoint only accepts " + strings.Join(to.methods, ", ") + " requests. Received a " + clean(r.Method) + " request."})
		return
	}
	if err := e.tenant(r.Context(), &a); err != nil {
		e.fail(w, a, err)
		return
	}
	if a.home == "" {
		e.refuse(w, a, refusal{http.StatusBadRequest, "invalid_tenant", 90002, "Tenant '" + clean(a.written) + "' not found. Check to make sure you have the correct tenant ID and are signing into the correct deployment."})
		return
	}
	// What is audited on the way knows where it came from.
	to.answer(w, r.WithContext(subscription.WithRequest(r.Context(), subscription.Request{ID: a.id, Source: source(r.RemoteAddr)})), a)
}

// tenant reads the first part of a path.
func (e *endpoint) tenant(ctx context.Context, a *asked) error {
	if a.any = slices.Contains(anyTenant, a.written); a.any {
		e.at(a, e.Directory.Tenant().ID)
		return nil
	}
	t, ok, err := e.Directory.FindTenant(ctx, a.written)
	if ok {
		e.at(a, t.ID)
	}
	return err
}

// name is the tenant's.
func (e *endpoint) name(a asked) string {
	t, _ := e.Directory.TenantOf(a.home)
	return t.Name
}

// domain is one that user names of the tenant end in, as an example.
func (e *endpoint) domain(a asked) string {
	if name := e.name(a); strings.Contains(name, ".") && !strings.Contains(name, " ") {
		return strings.ToLower(name)
	}
	return "your-organization.example"
}

func (e *endpoint) discovery(w http.ResponseWriter, _ *http.Request, a asked) {
	name, v2, issuer := a.home, "", a.issuer
	if a.any {
		name = a.written
	}
	if a.any && !a.adfs() && len(e.Directory.Tenants()) > 1 {
		issuer = strings.Replace(issuer, a.home, "{tenantid}", 1) // as the Microsoft identity platform does
	}
	if a.v2 {
		v2 = "/v2.0"
	}
	base := e.URL + "/" + name
	write(w, http.StatusOK, map[string]any{
		"issuer":                                         issuer,
		"authorization_endpoint":                         base + "/oauth2" + v2 + "/authorize",
		"token_endpoint":                                 base + "/oauth2" + v2 + "/token",
		"device_authorization_endpoint":                  base + "/oauth2" + v2 + "/devicecode",
		"end_session_endpoint":                           base + "/oauth2" + v2 + "/logout",
		"userinfo_endpoint":                              base + "/openid/userinfo",
		"jwks_uri":                                       base + "/discovery" + v2 + "/keys",
		"token_endpoint_auth_methods_supported":          []string{"client_secret_post", "client_secret_basic", "private_key_jwt", "none"},
		"grant_types_supported":                          []string{"authorization_code", "refresh_token", "client_credentials", deviceGrant},
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query", "fragment", "form_post"},
		"code_challenge_methods_supported":               []string{"S256"},
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          []string{"RS256"},
		"scopes_supported":                               directory.OpenIDScopes,
		"prompt_values_supported":                        []string{"none", "login", "consent", "select_account"},
		"claims_supported":                               []string{"sub", "iss", "aud", "exp", "iat", "nbf", "auth_time", "nonce", "amr", "tid", "oid", "name", "preferred_username", "email", "appid", "azp", "idtyp", "roles", "scp", "ver"},
		"authorization_response_iss_parameter_supported": true,
		"request_parameter_supported":                    false,
		"request_uri_parameter_supported":                false,
		"claims_parameter_supported":                     false,
	})
}

func (e *endpoint) keys(w http.ResponseWriter, r *http.Request, a asked) {
	set, err := e.Directory.Keys(r.Context())
	if err != nil {
		e.fail(w, a, err)
		return
	}
	// The next key is published a day before it signs.
	w.Header().Set("Cache-Control", "public, max-age=3600")
	write(w, http.StatusOK, set)
}

// fail answers that something is broken here. The cause is for the log.
func (e *endpoint) fail(w http.ResponseWriter, a asked, err error) {
	e.Log.Error("the token endpoint fails", obs.KeyError, err, "request", a.id)
	e.refuse(w, a, transient)
}

// refusal is an error in the words of the Microsoft identity platform
// (Microsoft identity platform docs, "Microsoft Entra authentication and
// authorization error codes").
type refusal struct {
	status int
	word   string // RFC 6749 §5.2
	code   int    // AADSTS…
	text   string
}

var transient = refusal{http.StatusServiceUnavailable, "temporarily_unavailable", 90033, "A transient error has occurred. Please try again."}

// say is the refusal as people know it.
func (r refusal) say() string { return "AADSTS" + strconv.Itoa(r.code) + ": " + r.text }

// values are the refusal as it goes back through a browser.
func (r refusal) values() url.Values {
	return url.Values{"error": {r.word}, "error_description": {r.say()}}
}

func (e *endpoint) refuse(w http.ResponseWriter, a asked, r refusal) {
	now := time.Now().UTC()
	correlation := uuid.NewString()
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	write(w, r.status, map[string]any{
		"error": r.word,
		"error_description": r.say() + " Trace ID: " + a.id + " Correlation ID: " + correlation +
			" Timestamp: " + now.Format("2006-01-02 15:04:05Z"),
		"error_codes":    []int{r.code},
		"timestamp":      now.Format("2006-01-02 15:04:05Z"),
		"trace_id":       a.id,
		"correlation_id": correlation,
	})
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client has gone, or reads it
}

// clean is what a client wrote, fit to be shown.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	if len(s) > 100 {
		s = strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}
