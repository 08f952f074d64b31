package operatorconnect

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Names of the cookies. __Host- binds them to this host and to TLS (RFC 6265bis
// section 4.1.3.2).
const (
	sessionCookie = "__Host-operatorconnect"
	visitCookie   = "__Host-operatorconnect-signin"
)

const (
	idle      = 30 * time.Minute // a session ends when nobody does anything in it
	longest   = 8 * time.Hour    // and after this whatever is done
	visitTime = 10 * time.Minute // to sign in
	maxOpen   = 10_000           // sessions and sign-ins under way, each; the oldest make room
	maxAnswer = 1 << 20          // of a directory
)

// session is a person who is signed in. The browser has a random name for it,
// of which only the hash is kept here.
type session struct {
	principal
	operator *operator
	csrf     string
	began    time.Time
	used     time.Time
}

// visit is a sign-in under way, in one browser.
type visit struct {
	tenant                 string
	state, nonce, verifier string
	to                     string // page that was wanted
	began                  time.Time
}

// random is a name that nobody guesses.
func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails, says crypto/rand
	return base64.RawURLEncoding.EncodeToString(b)
}

// crowd makes room in a map when it is full: the oldest entry goes.
func crowd[V any](m map[[32]byte]V, began func(V) time.Time) {
	if len(m) < maxOpen {
		return
	}
	var oldest [32]byte
	var at time.Time
	for k, v := range m {
		if b := began(v); at.IsZero() || b.Before(at) {
			oldest, at = k, b
		}
	}
	delete(m, oldest)
}

// session is who a request's browser is signed in as; nil: nobody. A tenant
// that was taken out is nobody's any more.
func (e *Environment) session(r *http.Request) *session {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return nil
	}
	key := sha256.Sum256([]byte(c.Value))
	e.mu.Lock()
	defer e.mu.Unlock()
	s, now := e.sessions[key], time.Now()
	if s == nil {
		return nil
	}
	if now.Sub(s.used) > idle || now.Sub(s.began) > longest || e.operators[s.tenant] != s.operator {
		delete(e.sessions, key)
		return nil
	}
	s.used = now
	return s
}

func cookie(name, value string, age time.Duration) *http.Cookie {
	c := &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(age / time.Second)}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}

// signIn sends the browser to the operator's directory: an authorization
// request with PKCE (RFC 7636), state and nonce.
func (e *Environment) signIn(w http.ResponseWriter, r *http.Request) {
	o := e.whose(r.FormValue("tenant"))
	if o == nil {
		e.stranger(w, r.FormValue("tenant"))
		return
	}
	home, d := e.home(o)
	_, at, err := e.open(d)
	if err != nil || at.Authorize == "" || at.Token == "" {
		e.trouble(w, http.StatusServiceUnavailable, "Your directory does not answer", "Operator Connect could not reach the directory of "+home+" at "+d.issuer+". Try again in a moment.")
		return
	}
	v := visit{tenant: o.tenant, state: random(), nonce: random(), verifier: random(), to: local(r.FormValue("to")), began: time.Now()}
	name := random()
	e.mu.Lock()
	crowd(e.visits, func(v visit) time.Time { return v.began })
	e.visits[sha256.Sum256([]byte(name))] = v
	e.mu.Unlock()
	http.SetCookie(w, cookie(visitCookie, name, visitTime))
	challenge := sha256.Sum256([]byte(v.verifier))
	to, err := url.Parse(at.Authorize)
	if err != nil {
		e.trouble(w, http.StatusBadGateway, "Your directory answers strangely", "It names a place to sign in that is none.")
		return
	}
	q := to.Query()
	for name, value := range map[string]string{
		"client_id": ProjectSynergy, "response_type": "code", "response_mode": "query", "scope": "openid profile", "redirect_uri": e.redirect(), "state": v.state, "nonce": v.nonce,
		"code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:]), "code_challenge_method": "S256",
	} {
		q.Set(name, value)
	}
	to.RawQuery = q.Encode()
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
}

// redirect is where the directory sends the browser back to.
func (e *Environment) redirect() string { return e.url + redirectPath }

const redirectPath = "/signin-oidc"

// local is a path of this portal, and nothing that leads elsewhere.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		return "/"
	}
	return to
}

// whose is the operator of a tenant; without one, the only operator there is.
func (e *Environment) whose(tenant string) *operator {
	e.mu.Lock()
	defer e.mu.Unlock()
	if tenant != "" {
		return e.operators[strings.ToLower(strings.TrimSpace(tenant))]
	}
	if len(e.operators) == 1 {
		for _, o := range e.operators {
			return o
		}
	}
	return nil
}

// signedIn is where the browser comes back to with a code.
func (e *Environment) signedIn(w http.ResponseWriter, r *http.Request) {
	v, ok := e.returned(r)
	http.SetCookie(w, cookie(visitCookie, "", 0))
	if !ok {
		e.trouble(w, http.StatusBadRequest, "Not signed in", "This sign-in was not begun in this browser, or too long ago, or it has been used. Begin again.")
		return
	}
	if word := r.FormValue("error"); word != "" {
		e.trouble(w, http.StatusForbidden, "Not signed in", "Your directory said: "+clip(word+". "+r.FormValue("error_description"), 600))
		return
	}
	o := e.whose(v.tenant)
	if o == nil {
		e.stranger(w, v.tenant)
		return
	}
	who, err := e.redeem(r.Context(), o, v, r.FormValue("code"))
	if err != nil {
		e.cfg.Log.Warn("a sign-in fails", "tenant", v.tenant, "error", err)
		e.trouble(w, http.StatusForbidden, "Not signed in", sentence(err))
		return
	}
	if !who.has(portalRoles...) {
		home, _ := e.home(o)
		e.trouble(w, http.StatusForbidden, "You have no role here", who.name+" is signed in to the directory of "+home+", but has no role in the application Project Synergy. "+
			"An administrator gives the role Admin: Enterprise applications, All applications, Project Synergy, Users and groups, Add user.")
		return
	}
	name, now := random(), time.Now()
	e.mu.Lock()
	crowd(e.sessions, func(s *session) time.Time { return s.used })
	// A new name for each sign-in: one that somebody planted is worth nothing.
	e.sessions[sha256.Sum256([]byte(name))] = &session{principal: who, operator: o, csrf: random(), began: now, used: now}
	e.mu.Unlock()
	http.SetCookie(w, cookie(sessionCookie, name, longest))
	http.Redirect(w, r, v.to, http.StatusSeeOther)
}

// returned takes the visit that a browser comes back from. It is good once.
func (e *Environment) returned(r *http.Request) (visit, bool) {
	c, err := r.Cookie(visitCookie)
	if err != nil {
		return visit{}, false
	}
	key := sha256.Sum256([]byte(c.Value))
	e.mu.Lock()
	v, ok := e.visits[key]
	delete(e.visits, key)
	e.mu.Unlock()
	same := subtle.ConstantTimeCompare([]byte(v.state), []byte(r.FormValue("state"))) == 1
	return v, ok && same && time.Since(v.began) < visitTime
}

// redeem makes an identity of a code (RFC 6749 section 4.1.3, OpenID Connect
// Core section 3.1.3).
func (e *Environment) redeem(ctx context.Context, o *operator, v visit, code string) (principal, error) {
	_, d := e.home(o)
	verifier, at, err := e.open(d)
	if err != nil {
		return principal{}, err
	}
	form := url.Values{"grant_type": {"authorization_code"}, "client_id": {ProjectSynergy}, "code": {code}, "redirect_uri": {e.redirect()}, "code_verifier": {v.verifier}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.Token, strings.NewReader(form.Encode()))
	if err != nil {
		return principal{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := e.http.Do(req)
	if err != nil {
		return principal{}, errIssuer
	}
	defer func() { _ = res.Body.Close() }()
	var answer struct {
		ID          string `json:"id_token"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&answer); err != nil || kind != "application/json" {
		return principal{}, fmt.Errorf("the directory answers the code with %s and nothing that can be read", res.Status)
	}
	if res.StatusCode != http.StatusOK || answer.ID == "" {
		return principal{}, fmt.Errorf("the directory does not take the code: %s", clip(answer.Error+" "+answer.Description, 300))
	}
	token, err := verifier.Verify(ctx, answer.ID)
	var c claims
	switch {
	case err != nil, token.Claims(&c) != nil:
		return principal{}, errToken
	case len(token.Audience) != 1 || token.Audience[0] != ProjectSynergy:
		return principal{}, errAudience
	case subtle.ConstantTimeCompare([]byte(c.Nonce), []byte(v.nonce)) != 1:
		return principal{}, errors.New("the directory answered another sign-in than this one")
	case !strings.EqualFold(c.Tenant, o.tenant):
		return principal{}, errTenant
	}
	p := c.principal()
	p.person, p.app = true, ProjectSynergy // whatever the directory says of the type
	return p, nil
}

// signOut ends a session, here and for whoever has a copy of the cookie.
func (e *Environment) signOut(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(sessionCookie); err == nil {
		e.mu.Lock()
		delete(e.sessions, sha256.Sum256([]byte(c.Value)))
		e.mu.Unlock()
	}
	http.SetCookie(w, cookie(sessionCookie, "", 0))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// clip cuts what others wrote.
func clip(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if r := []rune(s); len(r) > n {
		s = string(r[:n]) + "…"
	}
	return strings.TrimSpace(s)
}
