package login

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/directory"
)

// What is far above any request for a token.
const (
	maxForm = 64 << 10
	maxID   = 100 // octets of a client's ID
)

// The grants.
const (
	codeGrant    = "authorization_code"
	refreshGrant = "refresh_token"
	clientGrant  = "client_credentials"
	deviceGrant  = "urn:ietf:params:oauth:grant-type:device_code"
)

// form reads a request that must be a form; if it is none, the answer is given.
func (e *endpoint) form(w http.ResponseWriter, r *http.Request, a asked) bool {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/x-www-form-urlencoded" {
		e.refuse(w, a, refusal{http.StatusBadRequest, "invalid_request", 900144, "The request body must be of type application/x-www-form-urlencoded."})
		return false
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		e.refuse(w, a, refusal{http.StatusBadRequest, "invalid_request", 90013, "The request body cannot be read as a form."})
		return false
	}
	return true
}

// token is the token endpoint.
func (e *endpoint) token(w http.ResponseWriter, r *http.Request, a asked) {
	if !e.form(w, r, a) {
		return
	}
	grant := r.PostForm.Get("grant_type")
	give := map[string]func(http.ResponseWriter, *http.Request, asked, client){
		clientGrant: e.credentials, codeGrant: e.redeem, refreshGrant: e.refresh, deviceGrant: e.poll, "device_code": e.poll,
	}[grant]
	switch {
	case grant == "":
		e.refuse(w, a, refusal{http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the following parameter: 'grant_type'."})
		return
	case give == nil:
		e.refuse(w, a, refusal{http.StatusBadRequest, "unsupported_grant_type", 70003, "The app requested an unsupported grant type '" + clean(grant) + "'."})
		return
	}
	// The cheap faults are told first, before a secret is looked at.
	shown, no, ok := read(r)
	if ok && grant == clientGrant {
		if shown.secret == "" && shown.assertion == "" {
			no, ok = refusal{http.StatusUnauthorized, "invalid_client", 7000216, "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type."}, false
		} else if !a.any { // else the secret tells which tenant's resources there are
			_, no, ok = e.audience(r, a)
		}
	}
	if !ok {
		e.refuse(w, a, no)
		return
	}
	c, ok := e.client(w, r, a, shown)
	if ok {
		give(w, r, a, c)
	}
}

// shown is what a client says of itself.
type shown struct{ id, secret, assertion string }

// assertionType is that of RFC 7523 §2.2.
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// read takes credentials out of the form, or the header. What stands in the URL
// goes into logs of proxies, so nothing is taken from there (RFC 6749 §2.3.1).
func read(r *http.Request) (s shown, no refusal, ok bool) {
	f := r.PostForm
	s = shown{f.Get("client_id"), f.Get("client_secret"), f.Get("client_assertion")}
	if user, password, basic := r.BasicAuth(); basic {
		id, err := url.QueryUnescape(user)
		secret, err2 := url.QueryUnescape(password)
		if errors.Join(err, err2) != nil || s.secret != "" || s.id != "" && s.id != id {
			return s, refusal{http.StatusBadRequest, "invalid_request", 90013, "The client's credentials are given in more than one way, or cannot be read."}, false
		}
		s.id, s.secret = id, secret
	}
	switch {
	case s.id == "":
		return s, refusal{http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the following parameter: 'client_id'."}, false
	case len(s.id) > maxID:
		return s, refusal{http.StatusBadRequest, "invalid_request", 90013, "The parameter 'client_id' is too long."}, false
	case s.assertion != "" && (s.secret != "" || f.Get("client_assertion_type") != assertionType):
		return s, refusal{http.StatusBadRequest, "invalid_request", 7000218, "A client_assertion comes with client_assertion_type " + assertionType + ", and without a client_secret."}, false
	}
	return s, refusal{}, true
}

// client is who asks for a token.
type client struct {
	id     string
	secret bool                       // it has shown a secret or an assertion
	app    directory.ServicePrincipal // then
}

// client looks at what the client has shown; if that is wrong, the answer is
// given.
func (e *endpoint) client(w http.ResponseWriter, r *http.Request, a asked, s shown) (client, bool) {
	c := client{id: strings.ToLower(s.id)}
	if s.secret == "" && s.assertion == "" {
		return c, true
	}
	from := source(r.RemoteAddr)
	app, wait, err := e.tried(r.Context(), s, from, a)
	switch {
	case wait > 0:
		w.Header().Set("Retry-After", seconds(wait))
		e.Log.Warn("sign-ins are held back after wrong secrets", "client", clean(s.id), "from", from, "request", a.id)
		e.Directory.Count(directory.Attempt{Action: directory.ProgramSignsIn, By: directory.Caller{Tenant: a.home}, Source: from, Refused: "held back after wrong secrets"})
		e.refuse(w, a, refusal{http.StatusTooManyRequests, "temporarily_unavailable", 50196, "Too many attempts with a wrong secret. Wait " + seconds(wait) + " seconds before the next one."})
	case err != nil:
		e.refused(w, r, a, s, err)
	case !a.any && !strings.EqualFold(app.Tenant, a.home):
		e.Directory.Count(directory.Attempt{Action: directory.ProgramSignsIn, By: callerOf(app), Source: from, Refused: "at another tenant than its own"})
		e.refuse(w, a, e.noClient(a, s.id))
	default:
		e.at(&a, app.Tenant)
		c.secret, c.app = true, app
		return c, true
	}
	return c, false
}

// turns is how many secrets are looked at at once: as many as the directory
// hashes.
const turns = 2

// inTurn waits until it may look at a secret or a password: whether the source
// must wait is asked only then, and a wrong one is counted before the next has
// its turn, so that many guesses at once get no further than one after the
// other. Nothing is written to the client meanwhile, who may be slow.
func (e *endpoint) inTurn(ctx context.Context) (done func(), err error) {
	select {
	case e.turn <- struct{}{}:
		return func() { <-e.turn }, nil
	case <-ctx.Done():
		return nil, &fault.Error{Kind: fault.Unavailable, Err: ctx.Err()}
	}
}

// tried looks at one secret.
func (e *endpoint) tried(ctx context.Context, s shown, from string, a asked) (app directory.ServicePrincipal, wait time.Duration, err error) {
	// What is signed takes no time to look at, and its issuer may take long to
	// answer: that is nobody's turn.
	if s.assertion == "" {
		done, err := e.inTurn(ctx)
		if err != nil {
			return app, 0, err
		}
		defer done()
	}
	if wait := e.guard.wait(from, s.id, time.Now()); wait > 0 {
		return app, wait, nil
	}
	_, known := e.Directory.WellKnown(s.id)
	switch {
	case s.assertion == "":
		app, err = e.Directory.Authenticate(ctx, s.id, s.secret)
	case known:
		app, err = e.Directory.AuthenticateKnown(ctx, a.home, s.id, s.assertion, e.issuers())
	case directory.SelfIssued(s.id, s.assertion):
		app, err = e.Directory.AuthenticateCertificate(ctx, s.id, s.assertion, e.audiences)
	default:
		app, err = e.Directory.AuthenticateAssertion(ctx, s.id, s.assertion, e.issuers())
	}
	switch {
	case err == nil:
		e.guard.good(from, s.id, time.Now())
	case errors.Is(err, directory.ErrUnknown), errors.Is(err, directory.ErrSecret):
		e.guard.bad(from, s.id, time.Now())
	}
	return app, 0, err
}

// issuers are all names of ours.
func (e *endpoint) issuers() (list []string) {
	for _, t := range e.Directory.Tenants() {
		list = append(list, Issuers(e.URL, t.ID)...)
	}
	return list
}

// audiences are what an assertion that an application of a tenant has signed
// may be for: the endpoint as discovery gives it, or its issuer. The form of
// ADFS names no tenant.
func (e *endpoint) audiences(tenant string) []string {
	base := strings.TrimRight(e.URL, "/") + "/"
	list := Issuers(e.URL, tenant)
	for _, path := range []string{"/oauth2/v2.0/token", "/oauth2/token"} {
		list = append(list, base+tenant+path, base+adfs+path)
	}
	return list
}

// callerOf is a program as the audit trail knows it.
func callerOf(p directory.ServicePrincipal) directory.Caller {
	return directory.Caller{Tenant: p.Tenant, Object: p.ID, Name: p.DisplayName, App: p.AppID}
}

// refused turns what the directory says into an answer.
func (e *endpoint) refused(w http.ResponseWriter, r *http.Request, a asked, s shown, err error) {
	from := source(r.RemoteAddr)
	log := func(cause string) {
		e.Log.Warn("sign-in refused", "cause", cause, "client", clean(s.id), "from", from, "request", a.id)
		by := directory.Caller{Tenant: a.home} // what a stranger says is not kept
		if !unknown(err) {
			if p, err := e.Directory.PrincipalOf(r.Context(), directory.Ourselves(a.home, ""), s.id); err == nil {
				by = callerOf(p)
			}
		}
		e.Directory.Count(directory.Attempt{Action: directory.ProgramSignsIn, By: by, Source: from, Refused: cause})
	}
	switch {
	case errors.Is(err, directory.ErrDisabled):
		log("its service principal is disabled")
		e.refuse(w, a, e.noClient(a, s.id))
	case errors.Is(err, directory.ErrUnknown):
		log("no such application")
		e.refuse(w, a, e.noClient(a, s.id))
	case errors.Is(err, directory.ErrExpired) && s.assertion != "":
		log("expired certificate")
		e.refuse(w, a, refusal{http.StatusUnauthorized, "invalid_client", 700027, "The certificate used to sign the client assertion is expired on application '" + clean(s.id) + "', or is not good yet."})
	case errors.Is(err, directory.ErrExpired):
		log("expired secret")
		e.refuse(w, a, refusal{http.StatusUnauthorized, "invalid_client", 7000222, "The provided client secret keys for app '" + clean(s.id) + "' are expired. Create new keys for your app."})
	case errors.Is(err, directory.ErrSecret) && s.assertion != "":
		log("wrong assertion")
		e.refuse(w, a, refusal{http.StatusUnauthorized, "invalid_client", 700211, "The client assertion is not accepted: " + strings.TrimPrefix(clean(err.Error()), directory.ErrSecret.Error()+": ") + "."})
	case errors.Is(err, directory.ErrSecret):
		log("wrong secret")
		e.refuse(w, a, refusal{http.StatusUnauthorized, "invalid_client", 7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '" + clean(s.id) + "'."})
	case fault.Of(err) == fault.Unavailable && public(err) != "" && s.assertion != "":
		e.refuse(w, a, refusal{http.StatusServiceUnavailable, "temporarily_unavailable", 50027, public(err)})
	default:
		e.fail(w, a, err)
	}
}

// unknown tells whether there is no such application at all: what it calls itself
// is anybody's word.
func unknown(err error) bool {
	return errors.Is(err, directory.ErrUnknown) && !errors.Is(err, directory.ErrDisabled) && !errors.Is(err, directory.ErrNoPrincipal)
}

func (e *endpoint) noClient(a asked, id string) refusal {
	return refusal{http.StatusBadRequest, "unauthorized_client", 700016, "Application with identifier '" + clean(id) + "' was not found in the directory '" + clean(e.name(a)) + "'."}
}

// credentials is the grant of an application that acts for itself.
func (e *endpoint) credentials(w http.ResponseWriter, r *http.Request, a asked, c client) {
	e.at(&a, c.app.Tenant)
	audience, no, ok := e.audience(r, a)
	if !ok {
		e.refuse(w, a, no)
		return
	}
	token, err := e.Directory.Issue(r.Context(), c.app, a.issuer, audience)
	if err != nil {
		e.fail(w, a, err)
		return
	}
	e.Directory.Count(directory.Attempt{Action: directory.ProgramSignsIn, By: callerOf(c.app), Source: source(r.RemoteAddr)})
	e.Log.Info("signed in", "client", c.app.AppID, "name", c.app.DisplayName, "audience", audience, "from", source(r.RemoteAddr), "request", a.id)
	e.give(w, a, given{Token: token, audience: audience})
}

// audience is what an application asks a token for: the scope
// "<resource>/.default", or the resource itself in the older form. A resource
// may end in a slash, and then its scope has two: "https://host//.default".
func (e *endpoint) audience(r *http.Request, a asked) (string, refusal, bool) {
	wanted := r.PostForm.Get("resource")
	for _, scope := range strings.Fields(r.PostForm.Get("scope")) {
		if slices.Contains(directory.OpenIDScopes, strings.ToLower(scope)) {
			continue // libraries add them to every request; for an application they mean nothing
		}
		resource, all := strings.CutSuffix(scope, "/.default")
		if !all {
			return "", refusal{http.StatusBadRequest, "invalid_scope", 1002012, "The provided value for scope " + clean(scope) + " is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI)."}, false
		}
		if wanted != "" && !same(wanted, resource) {
			return "", refusal{http.StatusBadRequest, "invalid_scope", 28000, "Provided value for the input parameter scope is not valid because it contains more than one resource."}, false
		}
		wanted = resource
	}
	if wanted == "" {
		return "", refusal{http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the following parameter: 'scope'."}, false
	}
	if slices.ContainsFunc(e.Resources, func(r string) bool { return same(r, wanted) }) {
		return wanted, refusal{}, true
	}
	switch _, err := e.Directory.Resource(r.Context(), a.home, wanted); {
	case fault.Of(err) == fault.NotFound:
		return "", e.noResource(a, wanted), false
	case err != nil:
		e.Log.Error("a resource cannot be looked up", obs.KeyError, err, "request", a.id)
		return "", transient, false
	}
	return wanted, refusal{}, true
}

// same compares two names of a resource.
func same(a, b string) bool {
	return strings.EqualFold(strings.TrimRight(a, "/"), strings.TrimRight(b, "/"))
}

// given is what an answer holds.
type given struct {
	directory.Token
	audience string
	scope    string // "" for an application
	refresh  string
	id       string // ID token
	info     string // client_info
}

// give answers with tokens. The older form has numbers as text and two times
// more.
func (e *endpoint) give(w http.ResponseWriter, a asked, g given) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	life := int(g.Life/time.Second) - 1
	body := map[string]any{"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": string(g.Raw)}
	if !a.v2 && !a.adfs() {
		now := int(time.Now().Unix())
		body["expires_in"], body["ext_expires_in"] = itoa(life), itoa(life)
		body["expires_on"], body["not_before"], body["resource"] = itoa(now+life), itoa(now-300), g.audience
	}
	for name, value := range map[string]string{"scope": g.scope, "refresh_token": g.refresh, "id_token": g.id, "client_info": g.info} {
		if value != "" {
			body[name] = value
		}
	}
	write(w, http.StatusOK, body)
}
