package login

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/directory"
)

// authorization is a request of a program, carried by the browser (RFC 6749
// §4.1.1, OpenID Connect Core §3.1.2.1).
type authorization struct {
	program  directory.Program
	redirect string // where the answer goes: one of the program's
	written  string // as in the request, "" when it named none
	public   bool   // what waits there has no secret
	mode     string // "query", "fragment", "form_post"
	state    string
	scope    string
	resource string // of the older form
	nonce    string
	prompt   []string
	hint     string
	age      time.Duration // the sign-in may be no older; -1: any
	asked    directory.Asked
}

// challenge is the form of an S256 challenge (RFC 7636 §4.2).
var challenge = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// maxState bounds what is carried to and fro for a program.
const maxState = 4096

// once gives a parameter that may be there once (RFC 6749 §3.1).
func once(q url.Values, name string) (string, bool) {
	return q.Get(name), len(q[name]) < 2
}

// destination finds the program and where its answer goes. Until both are
// known, nobody is sent anywhere: what is wrong is said on a page here (RFC
// 6749 §4.1.2.1).
func (e *endpoint) destination(v *visit, q url.Values) (a authorization, no refusal, ok bool) {
	if len(q["client_id"]) > 1 {
		return a, refusal{http.StatusBadRequest, "invalid_request", 9002313, "The parameter 'client_id' is there more than once."}, false
	}
	if a.program, no, ok = e.known(v, q.Get("client_id")); !ok {
		return a, no, false
	}
	p := a.program
	to, single := once(q, "redirect_uri")
	if a.written = to; to == "" {
		all := slices.Concat(p.Redirects.Web, p.Redirects.SPA, p.Redirects.Public)
		if len(all) != 1 {
			return a, refusal{http.StatusBadRequest, "invalid_request", 900971, "No reply address provided."}, false
		}
		to = all[0]
	}
	a.public, ok = p.Redirect(to)
	if !ok || !single {
		return a, refusal{http.StatusBadRequest, "invalid_request", 50011, "The redirect URI '" + clean(to) + "' specified in the request does not match the redirect URIs configured for the application '" + p.AppID + "'."}, false
	}
	a.redirect = to
	return a, refusal{}, true
}

// known finds a program.
func (e *endpoint) known(v *visit, id string) (p directory.Program, no refusal, ok bool) {
	if id == "" || len(id) > maxID {
		return p, refusal{http.StatusBadRequest, "invalid_request", 900144, "The request must contain the following parameter: 'client_id'."}, false
	}
	p, err := e.Directory.Program(v.r.Context(), v.home, id)
	switch {
	case errors.Is(err, directory.ErrUnknown):
		return p, e.noClient(v.asked, id), false
	case err != nil:
		e.Log.Error("a program cannot be looked up", "client", clean(id), obs.KeyError, err, "request", v.id)
		return p, transient, false
	}
	return p, refusal{}, true
}

// authorization reads the rest. What is wrong with it is told to the program.
func (e *endpoint) authorization(a *authorization, q url.Values) (no refusal, ok bool) {
	bad := func(code int, word, text string) (refusal, bool) {
		return refusal{http.StatusBadRequest, word, code, text}, false
	}
	var modes bool
	if a.mode, modes = once(q, "response_mode"); a.mode == "" {
		a.mode = "query"
	}
	if !modes || !slices.Contains([]string{"query", "fragment", "form_post"}, a.mode) {
		a.mode = "query"
		return bad(9002313, "invalid_request", "The response_mode is not supported: use query, fragment or form_post.")
	}
	a.state = q.Get("state")
	if len(a.state) > maxState {
		a.state = ""
		return bad(9002313, "invalid_request", "The state is too long.")
	}
	for _, name := range []string{"state", "response_type", "scope", "resource", "nonce", "prompt", "code_challenge", "code_challenge_method", "max_age", "login_hint"} {
		if len(q[name]) > 1 {
			return bad(9002313, "invalid_request", "The parameter '"+name+"' is there more than once.")
		}
	}
	switch q.Get("response_type") {
	case "code":
	case "":
		return bad(900144, "invalid_request", "The request must contain the following parameter: 'response_type'.")
	default:
		return bad(700051, "unsupported_response_type", "The response_type is not supported here: use code, with PKCE.")
	}
	for _, name := range []string{"request", "request_uri", "registration"} {
		if q.Has(name) {
			return bad(9002313, name+"_not_supported", "The parameter '"+name+"' is not supported.")
		}
	}
	a.scope, a.resource, a.nonce, a.hint = q.Get("scope"), q.Get("resource"), q.Get("nonce"), q.Get("login_hint")
	if len(a.nonce) > maxState || len(a.scope) > maxState {
		return bad(9002313, "invalid_request", "The nonce or the scope is too long.")
	}
	ch, method := q.Get("code_challenge"), q.Get("code_challenge_method")
	switch {
	case ch == "" && a.public:
		return bad(9002325, "invalid_request", "Proof Key for Code Exchange is required: send code_challenge and code_challenge_method=S256.")
	case ch != "" && method != "S256":
		return bad(501491, "invalid_request", "The code_challenge_method is not supported: use S256.")
	case ch != "" && !challenge.MatchString(ch):
		return bad(501491, "invalid_request", "The code_challenge is not that of S256: 43 characters of base64url.")
	case ch == "" && method != "":
		return bad(501491, "invalid_request", "There is a code_challenge_method without a code_challenge.")
	}
	a.prompt = strings.Fields(q.Get("prompt"))
	for _, p := range a.prompt {
		if !slices.Contains([]string{"none", "login", "consent", "select_account"}, p) || p == "none" && len(a.prompt) > 1 {
			return bad(90023, "invalid_request", "The prompt is not supported: use login, select_account, consent, or none alone.")
		}
	}
	a.age = -1
	if text := q.Get("max_age"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > 1<<30 {
			return bad(9002313, "invalid_request", "The max_age is not a number of seconds.")
		}
		a.age = time.Duration(n) * time.Second
	}
	a.asked = directory.Asked{Client: a.program.AppID, Public: a.public, Redirect: a.written, Scope: strings.TrimSpace(a.scope + " " + a.resourceScope()), Challenge: ch, Nonce: a.nonce}
	return refusal{}, true
}

// resourceScope is the resource of the older form as a scope.
func (a authorization) resourceScope() string {
	if a.resource == "" {
		return ""
	}
	return a.resource + "/.default"
}

// authorize is where programs send people.
func (e *endpoint) authorize(v *visit) {
	q := v.r.URL.Query()
	if v.r.Method == http.MethodPost {
		q = v.r.PostForm
	}
	a, no, ok := e.destination(v, q)
	if !ok {
		e.stop(v, no.status, "This request cannot be answered", no.say())
		return
	}
	if no, ok := e.authorization(&a, q); !ok {
		e.answer(v, a, no.values())
		return
	}
	back := v.at(v.page(), q)
	quiet := slices.Contains(a.prompt, "none")
	again := slices.Contains(a.prompt, "login") || a.age >= 0 && v.whole() && time.Since(v.session.Began) > a.age
	choose := slices.Contains(a.prompt, "select_account")
	switch {
	case quiet && (!v.whole() || again):
		e.answer(v, a, refusal{0, "login_required", 50058, "Nobody is signed in, or not recently enough."}.values())
		return
	case !v.whole() || again || choose:
		in := url.Values{"back": {without(back, "login", "select_account")}, "login_hint": {a.hint}}
		switch {
		case again:
			in.Set("again", "1")
		case choose:
			in.Set("choose", "1")
		}
		e.to(v, v.at("signin", in))
		return
	}
	wish, no, ok := e.wish(v.r.Context(), v.asked, a.scope, a.resource)
	if !ok {
		e.answer(v, a, no.values())
		return
	}
	st, err := e.Directory.Weigh(v.r.Context(), v.home, a.program, v.session.User.ID, wish)
	switch {
	case errors.Is(err, directory.ErrScope):
		e.answer(v, a, refusal{0, "access_denied", 65005, "The application may not act for users at " + clean(wish.Audience) + "."}.values())
	case err != nil:
		e.broken(v, err)
	case len(st.Missing) > 0 && quiet:
		e.answer(v, a, refusal{0, "consent_required", 65001, "The user or administrator has not consented to use the application."}.values())
	case len(st.Missing) > 0 || slices.Contains(a.prompt, "consent"):
		e.askConsent(v, a, wish, st, back)
	default:
		code, err := e.Directory.Permit(v.r.Context(), v.token, a.asked)
		if errors.Is(err, directory.ErrSession) {
			e.to(v, v.at("signin", url.Values{"back": {back}}))
			return
		}
		if err != nil {
			e.broken(v, err)
			return
		}
		e.answer(v, a, url.Values{"code": {string(code)}})
	}
}

// page is the path of this page below the tenant, as backs has it.
func (v *visit) page() string {
	_, page, _ := strings.Cut(strings.Trim(v.r.URL.Path, "/"), "/")
	return strings.ToLower(page)
}

// without takes words out of the prompt of an address: what was asked for once
// is not asked for again on the way back.
func without(back string, drop ...string) string {
	u, err := url.Parse(back)
	if err != nil {
		return ""
	}
	q := u.Query()
	left := slices.DeleteFunc(strings.Fields(q.Get("prompt")), func(p string) bool { return slices.Contains(drop, p) })
	if q.Del("prompt"); len(left) > 0 {
		q.Set("prompt", strings.Join(left, " "))
	}
	if slices.Contains(drop, "login") {
		q.Del("max_age")
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// answer sends the browser back to the program.
func (e *endpoint) answer(v *visit, a authorization, values url.Values) {
	if a.state != "" {
		values.Set("state", a.state)
	}
	values.Set("iss", v.issuer) // RFC 9207: which of several authorities has answered
	switch a.mode {
	case "form_post": // OAuth 2.0 Form Post Response Mode
		p := view{Title: "One moment", App: a.program.Name, To: template.URL(a.redirect), Target: targetOf(a.redirect), Script: template.JS(sending)}
		for name := range values {
			p.Fields = append(p.Fields, field{name, values.Get(name)})
		}
		slices.SortFunc(p.Fields, func(x, y field) int { return strings.Compare(x.Name, y.Name) })
		e.show(v, http.StatusOK, "post", p)
	case "fragment":
		e.to(v, a.redirect+"#"+values.Encode())
	default:
		to := a.redirect + "?"
		if strings.Contains(a.redirect, "?") {
			to = a.redirect + "&"
		}
		e.to(v, to+values.Encode())
	}
}

// program is what a page says of the program that somebody comes from, and
// where the form may lead.
func (e *endpoint) program(v *visit, back string) (p view) {
	u, err := url.Parse(back)
	if err != nil || !u.Query().Has("client_id") {
		return p
	}
	a, _, ok := e.destination(v, u.Query())
	if p.App = a.program.Name; ok {
		p.Target = targetOf(a.redirect)
	}
	return p
}
