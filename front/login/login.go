// Package login is the token endpoint: OpenID Connect discovery, the key set,
// and client credentials, in the forms that clients of the Microsoft identity
// platform ask for them.
//
// One directory answers under three kinds of paths: /{tenant}/oauth2/v2.0
// (azidentity, MSAL, Terraform), /{tenant}/oauth2 (the older form, which names
// a resource instead of a scope), and /adfs, by which Debian's azure-cli signs
// in without asking the world whether we exist. OAuth itself is go-oauth2's;
// what is ours are the words of the answers, the audiences, and patience with
// those who guess. Who may sign in is control/directory's. Start reading at
// Handler; the token endpoint is in token.go.
package login

import (
	"cmp"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-oauth2/oauth2/v4/server"
	"github.com/google/uuid"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/directory"
)

// Config is what the endpoint answers from.
type Config struct {
	Directory *directory.Set
	URL       string   // "https://login.telecom.example:8443", as clients reach it
	Resources []string // audiences that tokens may be asked for: URLs, or IDs of applications
	Log       *slog.Logger
}

// adfs is the name that stands where a tenant would, in the form of Active
// Directory Federation Services.
const adfs = "adfs"

// endpoint answers.
type endpoint struct {
	Config
	oauth *server.Server
	guard *guard
	turn  chan struct{} // RO: a place for each secret that is looked at
}

// Handler serves the endpoint. Paths are the same in any case:
//
//	GET  /{tenant}/v2.0/.well-known/openid-configuration    and without /v2.0
//	GET  /{tenant}/discovery/v2.0/keys                      and without /v2.0
//	POST /{tenant}/oauth2/v2.0/token                        and without /v2.0
//
// {tenant} is the ID of the tenant, its name, or adfs.
func Handler(c Config) http.Handler {
	c.Log = cmp.Or(c.Log, slog.Default())
	c.URL = strings.TrimRight(c.URL, "/")
	e := &endpoint{Config: c, guard: newGuard(), turn: make(chan struct{}, turns)}
	e.oauth = e.provider()
	return e
}

// Issuers are the names under which a login at url issues tokens of a tenant:
// whoever verifies tokens believes all of them.
func Issuers(url, tenant string) []string {
	url, tenant = strings.TrimRight(url, "/"), strings.ToLower(tenant)
	return []string{url + "/" + tenant + "/v2.0", url + "/" + tenant + "/", url + "/" + adfs}
}

// asked is a request whose path was understood.
type asked struct {
	tenant  string // as its ID, or adfs; "" when there is no such tenant
	written string // as the client wrote it
	v2      bool
	issuer  string
	id      string // of the request, for the log and for the person who complains
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	a := asked{written: parts[0], tenant: e.tenant(parts[0]), id: uuid.NewString()}
	h.Set("x-ms-request-id", a.id)
	rest := strings.ToLower(strings.Join(parts[1:], "/"))
	a.v2 = strings.Contains(rest, "v2.0")
	issuers := Issuers(e.URL, e.Directory.Tenant().ID)
	switch {
	case a.tenant == adfs:
		a.issuer = issuers[2]
	case a.v2:
		a.issuer = issuers[0]
	default:
		a.issuer = issuers[1]
	}
	switch rest {
	case "v2.0/.well-known/openid-configuration", ".well-known/openid-configuration":
		e.only(w, r, a, e.discovery, http.MethodGet, http.MethodHead)
	case "discovery/v2.0/keys", "discovery/keys":
		e.only(w, r, a, e.keys, http.MethodGet, http.MethodHead)
	case "oauth2/v2.0/token", "oauth2/token":
		e.only(w, r, a, e.token, http.MethodPost)
	case "oauth2/v2.0/authorize", "oauth2/authorize", "oauth2/v2.0/devicecode", "oauth2/devicecode":
		e.refuse(w, a, refusal{http.StatusBadRequest, "unsupported_response_type", 70007, "People cannot sign in here, only applications with a secret of their own: use client credentials at the token endpoint."})
	default:
		e.refuse(w, a, refusal{http.StatusNotFound, "invalid_request", 90023, "There is no " + r.Method + " at this path. The discovery document is at /{tenant}/v2.0/.well-known/openid-configuration."})
	}
}

// tenant reads the first part of a path.
func (e *endpoint) tenant(s string) string {
	t := e.Directory.Tenant()
	switch {
	case strings.EqualFold(s, adfs):
		return adfs
	case strings.EqualFold(s, t.ID), t.Name != "" && strings.EqualFold(s, t.Name):
		return t.ID
	}
	return ""
}

// only calls f for the methods and a tenant that exists.
func (e *endpoint) only(w http.ResponseWriter, r *http.Request, a asked, f func(http.ResponseWriter, *http.Request, asked), methods ...string) {
	for _, m := range methods {
		if r.Method != m {
			continue
		}
		if a.tenant == "" {
			e.refuse(w, a, refusal{http.StatusBadRequest, "invalid_tenant", 90002, "Tenant '" + clean(a.written) + "' not found. Check to make sure you have the correct tenant ID and are signing into the correct deployment."})
			return
		}
		f(w, r, a)
		return
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	e.refuse(w, a, refusal{http.StatusMethodNotAllowed, "invalid_request", 900561, "The endpoint only accepts " + strings.Join(methods, ", ") + " requests. Received a " + clean(r.Method) + " request."})
}

func (e *endpoint) discovery(w http.ResponseWriter, _ *http.Request, a asked) {
	base, v2 := e.URL+"/"+a.tenant, ""
	if a.v2 {
		v2 = "/v2.0"
	}
	write(w, http.StatusOK, map[string]any{
		"issuer":                                a.issuer,
		"authorization_endpoint":                base + "/oauth2" + v2 + "/authorize",
		"token_endpoint":                        base + "/oauth2" + v2 + "/token",
		"device_authorization_endpoint":         base + "/oauth2" + v2 + "/devicecode",
		"jwks_uri":                              base + "/discovery" + v2 + "/keys",
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "client_secret_basic"},
		"grant_types_supported":                 []string{"client_credentials"},
		"response_types_supported":              []string{"token"},
		"response_modes_supported":              []string{"query"},
		"subject_types_supported":               []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"scopes_supported":                      []string{"openid"},
		"claims_supported":                      []string{"sub", "iss", "aud", "exp", "iat", "nbf", "tid", "oid", "appid", "azp", "idtyp", "roles", "ver"},
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
	e.refuse(w, a, refusal{http.StatusServiceUnavailable, "temporarily_unavailable", 90033, "A transient error has occurred. Please try again."})
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

func (e *endpoint) refuse(w http.ResponseWriter, a asked, r refusal) {
	now := time.Now().UTC()
	correlation := uuid.NewString()
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	write(w, r.status, map[string]any{
		"error": r.word,
		"error_description": "AADSTS" + strconv.Itoa(r.code) + ": " + r.text + " Trace ID: " + a.id + " Correlation ID: " + correlation +
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
	json.NewEncoder(w).Encode(body) // the client has gone, or reads it
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
