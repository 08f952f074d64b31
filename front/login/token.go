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

	"github.com/go-oauth2/oauth2/v4"
	oauthErrors "github.com/go-oauth2/oauth2/v4/errors"
	"github.com/go-oauth2/oauth2/v4/manage"
	"github.com/go-oauth2/oauth2/v4/server"

	"github.com/tandemgw/tandem/control/directory"
)

// What is far above any request for a token.
const (
	maxForm = 64 << 10
	maxID   = 100 // octets of a client's ID
)

// provider wires go-oauth2: it knows the grants, the directory the clients and
// their tokens.
func (e *endpoint) provider() *server.Server {
	m := manage.NewManager()
	m.MapClientStorage(clients{e})
	m.MapAccessGenerate(tokens{e})
	m.MapTokenStorage(stateless{})
	s := server.NewServer(&server.Config{TokenType: "Bearer", AllowedGrantTypes: []oauth2.GrantType{oauth2.ClientCredentials}}, m)
	s.ClientInfoHandler = credentials
	return s
}

// signIn travels with a request through go-oauth2, which knows nothing of it.
type signIn struct {
	asked
	secret   string
	audience string
	app      directory.ServicePrincipal
	refused  error // why the directory lets nobody in
	life     time.Duration
}

type signInKey struct{}

func (e *endpoint) token(w http.ResponseWriter, r *http.Request, a asked) {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/x-www-form-urlencoded" {
		e.refuse(w, a, refusal{http.StatusBadRequest, "invalid_request", 900144, "The request body must be of type application/x-www-form-urlencoded."})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		e.refuse(w, a, refusal{http.StatusBadRequest, "invalid_request", 90013, "The request body cannot be read as a form."})
		return
	}
	if no, bad := e.missing(r, a); bad {
		e.refuse(w, a, no)
		return
	}
	in := &signIn{asked: a}
	audience, no, ok := e.audience(r.PostForm, a)
	if !ok {
		e.refuse(w, a, no)
		return
	}
	in.audience = audience
	id, secret, _ := credentials(r)
	in.secret = secret
	from := source(r.RemoteAddr)
	r = r.WithContext(context.WithValue(r.Context(), signInKey{}, in))
	issued, wait, err := e.tried(r, id, from)
	switch {
	case wait > 0:
		w.Header().Set("Retry-After", seconds(wait))
		e.Log.Warn("sign-ins are held back after wrong secrets", "client", clean(id), "from", from, "request", a.id)
		e.refuse(w, a, refusal{http.StatusTooManyRequests, "temporarily_unavailable", 50196, "Too many attempts with a wrong secret. Wait " + seconds(wait) + " seconds before the next one."})
		return
	case err != nil:
		e.refused(w, in, id, from, err)
		return
	}
	e.Log.Info("signed in", "client", in.app.AppID, "name", in.app.DisplayName, "audience", in.audience, "from", from, "request", a.id)
	e.give(w, in, issued.GetAccess())
}

// turns is how many secrets are looked at at once: as many as the directory
// hashes.
const turns = 2

// tried looks at one secret, when it is its turn: whether the source must wait
// is asked only then, so that many guesses at once get no further than one
// after the other. Nothing is written to the client meanwhile, who may be slow.
func (e *endpoint) tried(r *http.Request, id, from string) (oauth2.TokenInfo, time.Duration, error) {
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	case <-r.Context().Done():
		return nil, 0, r.Context().Err()
	}
	if wait := e.guard.wait(from, id, time.Now()); wait > 0 {
		return nil, wait, nil
	}
	grant, request, err := e.oauth.ValidationTokenRequest(r)
	if err != nil {
		return nil, 0, err
	}
	issued, err := e.oauth.GetAccessToken(r.Context(), grant, request)
	in := r.Context().Value(signInKey{}).(*signIn)
	switch {
	case err == nil:
		e.guard.good(from, id, time.Now())
	case errors.Is(in.refused, directory.ErrUnknown), errors.Is(in.refused, directory.ErrSecret):
		e.guard.bad(from, id, time.Now())
	}
	return issued, 0, err
}

// give answers with the token. The older form has numbers as text and two
// times more.
func (e *endpoint) give(w http.ResponseWriter, in *signIn, access string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	life := int(in.life/time.Second) - 1
	body := map[string]any{"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": access}
	if !in.v2 && in.tenant != adfs {
		now := time.Now()
		body = map[string]any{
			"token_type": "Bearer", "expires_in": itoa(life), "ext_expires_in": itoa(life), "access_token": access,
			"expires_on": itoa(int(now.Unix()) + life), "not_before": itoa(int(now.Unix()) - 300), "resource": in.audience,
		}
	}
	write(w, http.StatusOK, body)
}

// missing tells which field a request for a token lacks.
func (e *endpoint) missing(r *http.Request, a asked) (refusal, bool) {
	f := r.PostForm
	switch grant := f.Get("grant_type"); {
	case grant == "":
		return refusal{http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the following parameter: 'grant_type'."}, true
	case grant != oauth2.ClientCredentials.String():
		return refusal{http.StatusBadRequest, "unsupported_grant_type", 70003, "The app requested an unsupported grant type '" + clean(grant) + "': only client_credentials are taken here."}, true
	case f.Get("client_assertion") != "":
		return refusal{http.StatusUnauthorized, "invalid_client", 7000218, "Client assertions are not taken here: use the parameter 'client_secret'."}, true
	}
	id, secret, err := credentials(r)
	switch {
	case err != nil || id == "":
		return refusal{http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the following parameter: 'client_id'."}, true
	case len(id) > maxID:
		return refusal{http.StatusBadRequest, "invalid_request", 90013, "The parameter 'client_id' is too long."}, true
	case secret == "":
		return refusal{http.StatusUnauthorized, "invalid_client", 7000216, "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type."}, true
	}
	return refusal{}, false
}

// credentials are those in the form, or in the header. What stands in the URL
// goes into logs of proxies, so nothing is taken from there (RFC 6749 §2.3.1).
func credentials(r *http.Request) (id, secret string, err error) {
	if user, password, ok := r.BasicAuth(); ok {
		id, err := url.QueryUnescape(user)
		secret, err2 := url.QueryUnescape(password)
		return id, secret, errors.Join(err, err2)
	}
	return r.PostForm.Get("client_id"), r.PostForm.Get("client_secret"), nil
}

// openID are scopes that libraries add to every request, and that mean nothing
// for an application.
var openID = []string{"openid", "offline_access", "profile", "email"}

// audience is what the token is asked for: the scope "<resource>/.default", or
// the resource itself in the older form. A resource may end in a slash, and
// then its scope has two: "https://host//.default".
func (e *endpoint) audience(f url.Values, a asked) (string, refusal, bool) {
	wanted := f.Get("resource")
	for _, scope := range strings.Fields(f.Get("scope")) {
		if slices.Contains(openID, strings.ToLower(scope)) {
			continue
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
	if !slices.ContainsFunc(e.Resources, func(r string) bool { return same(r, wanted) }) {
		return "", refusal{http.StatusBadRequest, "invalid_resource", 500011, "The resource principal named " + clean(wanted) + " was not found in the tenant named " + clean(e.Directory.Tenant().Name) + ". This deployment has " + strings.Join(e.Resources, ", ") + "."}, false
	}
	return wanted, refusal{}, true
}

// same compares two names of a resource.
func same(a, b string) bool {
	return strings.EqualFold(strings.TrimRight(a, "/"), strings.TrimRight(b, "/"))
}

// refused turns what go-oauth2 and the directory say into an answer.
func (e *endpoint) refused(w http.ResponseWriter, in *signIn, id, from string, err error) {
	known := errors.Is(err, oauthErrors.ErrInvalidClient) || errors.Is(err, directory.ErrUnknown)
	switch {
	case errors.Is(in.refused, directory.ErrUnknown):
		e.Log.Warn("sign-in refused", "cause", "no such application", "client", clean(id), "from", from, "request", in.id)
		e.refuse(w, in.asked, refusal{http.StatusBadRequest, "unauthorized_client", 700016, "Application with identifier '" + clean(id) + "' was not found in the directory '" + clean(e.Directory.Tenant().Name) + "'."})
	case errors.Is(in.refused, directory.ErrSecret):
		e.Log.Warn("sign-in refused", "cause", "wrong secret", "client", clean(id), "from", from, "request", in.id)
		e.refuse(w, in.asked, refusal{http.StatusUnauthorized, "invalid_client", 7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '" + clean(id) + "'."})
	case in.refused != nil, !known:
		e.fail(w, in.asked, errors.Join(in.refused, err))
	default:
		e.refuse(w, in.asked, refusal{http.StatusUnauthorized, "invalid_client", 7000215, "The client is not accepted."})
	}
}

// clients is go-oauth2's way to the directory.
type clients struct{ e *endpoint }

// GetByID lets the secret be checked here, where an unknown application takes
// as long as a wrong secret.
func (c clients) GetByID(ctx context.Context, id string) (oauth2.ClientInfo, error) {
	in := ctx.Value(signInKey{}).(*signIn)
	in.app, in.refused = c.e.Directory.Authenticate(ctx, id, in.secret)
	if in.refused != nil {
		return nil, in.refused
	}
	return client{in.app.AppID}, nil
}

// client is an application that has shown its secret.
type client struct{ id string }

func (c client) GetID() string              { return c.id }
func (client) GetSecret() string            { return "" }
func (client) GetDomain() string            { return "" }
func (client) IsPublic() bool               { return false }
func (client) GetUserID() string            { return "" }
func (client) VerifyPassword(_ string) bool { return true } // GetByID has

// tokens makes the access token: the directory signs it.
type tokens struct{ e *endpoint }

func (t tokens) Token(ctx context.Context, _ *oauth2.GenerateBasic, _ bool) (access, refresh string, err error) {
	in := ctx.Value(signInKey{}).(*signIn)
	issued, err := t.e.Directory.Issue(ctx, in.app, in.issuer, in.audience)
	in.life = issued.Life
	return string(issued.Raw), "", err
}

// stateless keeps no token: they are good by their signature alone. Of the
// store's methods client credentials use only the one below.
type stateless struct{ oauth2.TokenStore }

func (stateless) Create(context.Context, oauth2.TokenInfo) error { return nil }
