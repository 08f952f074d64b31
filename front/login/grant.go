package login

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
)

// redeem is the grant of an authorization code.
func (e *endpoint) redeem(w http.ResponseWriter, r *http.Request, a asked, c client) {
	f := r.PostForm
	code := f.Get("code")
	if code == "" {
		e.refuse(w, a, refusal{http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the following parameter: 'code'."})
		return
	}
	p, err := e.Directory.Redeem(r.Context(), directory.Shown{Client: c.id, Secret: c.secret, Code: code, Redirect: f.Get("redirect_uri"), Verifier: f.Get("code_verifier")})
	if err != nil {
		e.noGrant(w, r, a, c, p, err)
		return
	}
	var refresh string
	scope := p.Scope
	if offline(a, scope) {
		token, err := e.Directory.NewRefresh(r.Context(), p)
		if err != nil {
			e.fail(w, a, err)
			return
		}
		refresh = string(token)
	}
	e.delegate(w, r, a, c, p, scope, refresh)
}

// offline tells whether a program is given a refresh token: when it asks for
// one, and always in the older forms, which have no word for it.
func offline(a asked, scope string) bool {
	return !a.v2 || slices.ContainsFunc(strings.Fields(scope), func(s string) bool { return strings.EqualFold(s, "offline_access") })
}

// refresh is the grant of a refresh token. What is asked for may be another
// resource than before: what was consented to decides.
func (e *endpoint) refresh(w http.ResponseWriter, r *http.Request, a asked, c client) {
	f := r.PostForm
	token := f.Get("refresh_token")
	if token == "" {
		e.refuse(w, a, refusal{http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the following parameter: 'refresh_token'."})
		return
	}
	p, err := e.Directory.Refreshing(r.Context(), c.id, token)
	if err == nil && !p.Public && !c.secret {
		err = directory.ErrNoSecret
	}
	if err != nil {
		e.noGrant(w, r, a, c, p, err)
		return
	}
	scope := f.Get("scope")
	if res := f.Get("resource"); res != "" {
		scope = strings.TrimSpace(scope + " " + res + "/.default")
	}
	if strings.Trim(scope, " ") == "" {
		scope = p.Scope
	}
	// Looked at before the token is spent: what is refused costs the program
	// nothing.
	if _, _, ok := e.delegated(w, r, a, p, scope); !ok {
		return
	}
	next, err := e.Directory.Refresh(r.Context(), c.id, token)
	if err != nil {
		e.noGrant(w, r, a, c, p, err)
		return
	}
	e.delegate(w, r, a, c, p, scope, string(next))
}

// poll is the grant of a device code (RFC 8628 §3.4).
func (e *endpoint) poll(w http.ResponseWriter, r *http.Request, a asked, c client) {
	code := r.PostForm.Get("device_code")
	if code == "" {
		code = r.PostForm.Get("code") // of the older form
	}
	if code == "" {
		e.refuse(w, a, refusal{http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the following parameter: 'device_code'."})
		return
	}
	p, err := e.Directory.PollDevice(r.Context(), c.id, code)
	if err != nil {
		e.noGrant(w, r, a, c, p, err)
		return
	}
	var refresh string
	if offline(a, p.Scope) {
		token, err := e.Directory.NewRefresh(r.Context(), p)
		if err != nil {
			e.fail(w, a, err)
			return
		}
		refresh = string(token)
	}
	e.delegate(w, r, a, c, p, p.Scope, refresh)
}

// noGrant says why a code or a token is not taken (RFC 6749 §5.2, RFC 8628
// §3.5).
func (e *endpoint) noGrant(w http.ResponseWriter, r *http.Request, a asked, c client, p directory.Permit, err error) {
	for _, known := range []struct {
		err error
		no  refusal
	}{
		{directory.ErrPending, refusal{http.StatusBadRequest, "authorization_pending", 70016, "OAuth 2.0 device flow error. Authorization is pending. Continue polling."}},
		{directory.ErrSlowDown, refusal{http.StatusBadRequest, "slow_down", 70016, "Authorization is pending. Ask less often: five seconds more between two requests."}},
		{directory.ErrDeclined, refusal{http.StatusBadRequest, "access_denied", 65004, "User declined to consent to access the app."}},
		{directory.ErrNoSecret, refusal{http.StatusUnauthorized, "invalid_client", 7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."}},
		{directory.ErrSpent, refusal{http.StatusBadRequest, "invalid_grant", 54005, "The code or token was used before. What was given for it is revoked."}},
		{directory.ErrRevoked, refusal{http.StatusBadRequest, "invalid_grant", 50173, "The provided grant has been revoked. The user must sign in again."}},
		{directory.ErrTooOld, refusal{http.StatusBadRequest, "invalid_grant", 70008, "The provided authorization code or refresh token has expired. Send a new interactive authorization request."}},
		{directory.ErrRedirect, refusal{http.StatusBadRequest, "invalid_grant", 500112, "The reply address does not match the reply address provided when requesting the authorization code."}},
		{directory.ErrVerifier, refusal{http.StatusBadRequest, "invalid_grant", 501481, "The Code_Verifier does not match the code_challenge supplied in the authorization request."}},
		{directory.ErrCode, refusal{http.StatusBadRequest, "invalid_grant", 9002313, "The provided code or token is malformed, or not one of this application's."}},
	} {
		if !errors.Is(err, known.err) {
			continue
		}
		if known.err == directory.ErrTooOld && r.PostForm.Get("device_code") != "" {
			known.no.word = "expired_token"
		}
		if known.err != directory.ErrPending {
			e.Log.Warn("a grant is refused", "cause", known.err.Error(), "client", clean(c.id), "from", source(r.RemoteAddr), "request", a.id)
			by := directory.Caller{Tenant: a.home}
			if p.User.ID != "" {
				by = directory.Caller{Tenant: p.User.Tenant, Object: p.User.ID, Name: p.User.Name, App: p.Client}
			}
			e.Directory.Count(directory.Attempt{Action: directory.PersonSignsIn, By: by, Source: source(r.RemoteAddr), Refused: known.err.Error()})
		}
		e.refuse(w, a, known.no)
		return
	}
	e.fail(w, a, err)
}

// delegated is what a program may be given; if it is nothing, the answer is
// given.
func (e *endpoint) delegated(w http.ResponseWriter, r *http.Request, a asked, p directory.Permit, scope string) (directory.Wish, asked, bool) {
	if !a.any && !strings.EqualFold(p.User.Tenant, a.home) {
		e.refuse(w, a, refusal{http.StatusBadRequest, "invalid_grant", 50020, "The user is not one of this tenant."})
		return directory.Wish{}, a, false
	}
	e.at(&a, p.User.Tenant)
	wish, no, ok := e.wish(r.Context(), a, scope, "")
	if !ok {
		e.refuse(w, a, no)
		return wish, a, false
	}
	program, err := e.Directory.Program(r.Context(), a.home, p.Client)
	var st directory.Standing
	if err == nil {
		st, err = e.Directory.Weigh(r.Context(), a.home, program, p.User.ID, wish)
	}
	switch {
	case errors.Is(err, directory.ErrUnknown):
		e.refuse(w, a, e.noClient(a, p.Client))
	case errors.Is(err, directory.ErrScope), err == nil && len(st.Missing) > 0:
		e.refuse(w, a, noConsent)
	case err != nil:
		e.fail(w, a, err)
	default:
		return wish, a, true
	}
	return wish, a, false
}

var noConsent = refusal{http.StatusBadRequest, "invalid_grant", 65001, "The user or administrator has not consented to use the application for this. Send an interactive authorization request for this user and resource."}

// delegate answers with tokens by which a program acts for a person.
func (e *endpoint) delegate(w http.ResponseWriter, r *http.Request, a asked, c client, p directory.Permit, scope, refresh string) {
	wish, a, ok := e.delegated(w, r, a, p, scope)
	if !ok {
		return
	}
	token, err := e.Directory.IssueUser(r.Context(), directory.Delegation{
		Tenant: a.home, User: p.User.ID, Client: p.Client, Issuer: a.issuer, Audience: wish.Audience, Scopes: wish.Delegated(), Methods: p.Methods, Secret: c.secret,
	})
	switch {
	case errors.Is(err, directory.ErrConsent):
		e.refuse(w, a, noConsent)
		return
	case errors.Is(err, directory.ErrUnknown): // it went, or was disabled, meanwhile
		e.refuse(w, a, e.noClient(a, p.Client))
		return
	case err != nil:
		e.fail(w, a, err)
		return
	}
	g := given{Token: token, audience: wish.Audience, refresh: refresh, scope: granted(scope, wish, token.Scopes)}
	if wish.Has("openid") || !a.v2 {
		id, err := e.identity(r, a, p)
		if err != nil {
			e.fail(w, a, err)
			return
		}
		g.id = id
	}
	if r.PostForm.Get("client_info") == "1" {
		g.info = clientInfo(p.User)
	}
	e.Log.Info("signed in", "user", p.User.Name, "client", p.Client, "audience", wish.Audience, "grant", clean(r.PostForm.Get("grant_type")), "from", source(r.RemoteAddr), "request", a.id)
	e.give(w, a, g)
}

// granted is the scope of an answer: what was asked for, as it was written,
// since libraries compare, and what that means.
func granted(asked string, w directory.Wish, scopes []string) string {
	list := strings.Fields(asked)
	for _, s := range scopes {
		if w.Resource.AppID != directory.GraphID {
			s = w.Audience + "/" + s
		}
		if !slices.ContainsFunc(list, func(x string) bool { return strings.EqualFold(x, s) }) {
			list = append(list, s)
		}
	}
	return strings.Join(list, " ")
}

// idClaims are those of an ID token (OpenID Connect Core §2; Microsoft identity
// platform docs, "ID token claims reference").
type idClaims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  string   `json:"aud"`
	Expiry    int64    `json:"exp"`
	IssuedAt  int64    `json:"iat"`
	NotBefore int64    `json:"nbf"`
	Signed    int64    `json:"auth_time"`
	Nonce     string   `json:"nonce,omitempty"`
	Methods   []string `json:"amr"`
	TenantID  string   `json:"tid"`
	ObjectID  string   `json:"oid"`
	Name      string   `json:"name"`
	User      string   `json:"preferred_username"`
	UPN       string   `json:"upn"`
	Mail      string   `json:"email,omitempty"`
	Roles     []string `json:"roles,omitempty"` // at the program itself
	Version   string   `json:"ver"`
}

// identity is the ID token of a person for a program.
func (e *endpoint) identity(r *http.Request, a asked, p directory.Permit) (string, error) {
	now := time.Now()
	c := idClaims{
		Issuer: a.issuer, Subject: p.User.ID, Audience: p.Client, Expiry: now.Add(time.Hour).Unix(), IssuedAt: now.Unix(), NotBefore: now.Add(-5 * time.Minute).Unix(),
		Signed: p.Signed.Unix(), Nonce: p.Nonce, Methods: p.Methods, TenantID: p.User.Tenant, ObjectID: p.User.ID, Name: p.User.DisplayName, User: p.User.Name, UPN: p.User.Name, Mail: p.User.Mail, Version: "1.0",
	}
	if a.v2 {
		c.Version = "2.0"
	}
	var err error
	if c.Roles, err = e.Directory.RolesAt(r.Context(), p.User.Tenant, p.User.ID, p.Client); err != nil {
		return "", err
	}
	raw, err := e.Directory.Sign(r.Context(), c)
	return string(raw), err
}

// clientInfo is by what Microsoft's libraries tell accounts apart.
func clientInfo(u directory.User) string {
	b, err := json.Marshal(map[string]string{"uid": u.ID, "utid": u.Tenant})
	if err != nil {
		return "" // two strings: it cannot be
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// userinfo tells a program who has signed in (OpenID Connect Core §5.3).
func (e *endpoint) userinfo(w http.ResponseWriter, r *http.Request, a asked) {
	raw, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	challenge := func(status int, word, text string) {
		w.Header().Set("WWW-Authenticate", `Bearer error="`+word+`", error_description="`+text+`"`)
		e.refuse(w, a, refusal{status, word, 50058, text})
	}
	if !ok || raw == "" {
		w.Header().Set("WWW-Authenticate", "Bearer")
		e.refuse(w, a, refusal{http.StatusUnauthorized, "invalid_request", 50058, "Send an access token of a signed-in user."})
		return
	}
	audiences := slices.Concat(e.Resources, []string{directory.GraphID})
	if graph, ok := e.Directory.WellKnown(directory.GraphID); ok {
		audiences = append(audiences, graph.URIs...)
	}
	c, err := e.Directory.Verify(r.Context(), raw, e.issuers(), audiences)
	switch {
	case err != nil && !errors.Is(err, directory.ErrToken):
		e.fail(w, a, err)
		return
	case err != nil:
		challenge(http.StatusUnauthorized, "invalid_token", "The access token is not valid, or not for this.")
		return
	case len(c.Scopes) == 0:
		challenge(http.StatusForbidden, "insufficient_scope", "The access token is of an application, not of a user.")
		return
	}
	u, err := e.Directory.User(r.Context(), directory.Ourselves(c.Tenant, "userinfo"), c.Object)
	if err != nil && fault.Of(err) != fault.NotFound {
		e.fail(w, a, err)
		return
	}
	if err != nil || !u.Enabled {
		challenge(http.StatusUnauthorized, "invalid_token", "There is no such user any more.")
		return
	}
	body := map[string]any{"sub": u.ID, "oid": u.ID, "tid": u.Tenant, "name": u.DisplayName, "preferred_username": u.Name}
	for name, value := range map[string]string{"given_name": u.GivenName, "family_name": u.Surname, "email": u.Mail} {
		if value != "" {
			body[name] = value
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	write(w, http.StatusOK, body)
}
