package login

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"embed"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/directory"
)

//go:embed page
var files embed.FS

// The pages, and what stands in them and is allowed to by its hash.
var (
	pages   = template.Must(template.ParseFS(files, "page/pages.html"))
	style   = embedded("style.css")
	asking  = embedded("passkey.js")
	sending = embedded("submit.js")
)

func embedded(name string) string {
	b, err := files.ReadFile("page/" + name)
	if err != nil {
		panic(err) // it is embedded
	}
	return string(b)
}

// The cookies. Their prefix keeps them to this very host, over TLS (RFC 6265bis
// §4.1.3.2). Lax, since people come here from the pages of programs.
const (
	sessionCookie = "__Host-tandem-session"
	browserCookie = "__Host-tandem-browser"
)

// visit is a request for a page, with who makes it.
type visit struct {
	asked
	w       http.ResponseWriter
	r       *http.Request
	browser string
	token   string             // of the session; "" when there is none
	session *directory.Session // nil: nobody is signed in, not even half
}

// visitor is where the visit comes from.
func (v *visit) visitor() directory.Visitor {
	return directory.Visitor{Source: source(v.r.RemoteAddr), Browser: v.browser}
}

// whole tells whether somebody is signed in with both factors.
func (v *visit) whole() bool { return v.session != nil && v.session.Whole() }

// page calls f for a request of a browser.
func (e *endpoint) page(f func(*visit)) func(http.ResponseWriter, *http.Request, asked) {
	return func(w http.ResponseWriter, r *http.Request, a asked) {
		v := &visit{asked: a, w: w, r: r}
		if c, err := r.Cookie(browserCookie); err == nil && len(c.Value) >= 26 && len(c.Value) <= 64 {
			v.browser = c.Value
		}
		if r.Method == http.MethodPost {
			r.Body = http.MaxBytesReader(w, r.Body, maxForm)
			if err := r.ParseForm(); err != nil {
				e.stop(v, http.StatusBadRequest, "This form cannot be read", "It is too large or broken. Go back and try again.")
				return
			}
		}
		if c, err := r.Cookie(sessionCookie); err == nil {
			s, err := e.Directory.Session(r.Context(), c.Value)
			switch {
			case errors.Is(err, directory.ErrSession):
			case err != nil:
				e.broken(v, err)
				return
			case a.any, strings.EqualFold(s.User.Tenant, a.home):
				v.token, v.session = c.Value, &s
				e.at(&v.asked, s.User.Tenant)
			}
		}
		f(v)
	}
}

// proof is what a form must bring back: only a page of ours, shown to this
// browser in this session, has it.
func (v *visit) proof() string {
	sum := sha256.Sum256([]byte("form " + v.browser + " " + v.token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// ours tells whether a form was sent from a page of ours; if not, the answer is
// given.
func (e *endpoint) ours(v *visit) bool {
	if e.foreign.Check(v.r) == nil && v.browser != "" && subtle.ConstantTimeCompare([]byte(v.proof()), []byte(v.r.PostForm.Get("proof"))) == 1 {
		return true
	}
	e.Log.Warn("a form is refused that was not sent from a page of ours", "path", clean(v.r.URL.Path), "from", source(v.r.RemoteAddr), "request", v.id)
	e.stop(v, http.StatusForbidden, "This page is too old", "You were signed in or out since it was shown, or your browser keeps no cookies. Go back, reload the page and try again.")
	return false
}

// signedIn gives a browser its session.
func (v *visit) signedIn(o directory.Opened) {
	v.token, v.session = string(o.Token), &o.Session
	http.SetCookie(v.w, &http.Cookie{Name: sessionCookie, Value: v.token, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

func (v *visit) signedOut() {
	v.token, v.session = "", nil
	http.SetCookie(v.w, &http.Cookie{Name: sessionCookie, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: -1})
}

// view is what a page shows. Each page uses some of it.
type view struct {
	Title   string
	Wide    bool
	Script  template.JS
	Style   template.CSS
	Tenant  string
	Request string
	Proof   string

	Action, Back, Leave, Stay, Enrol string
	Problem                          string
	App, Client, Publisher           string
	User                             directory.User
	Name, Domain, Link, Code         string
	First, Admin, MayAll             bool
	TOTP                             bool
	Passkey                          string
	QR                               drawing
	Seed                             string
	URI                              template.URL // of the seed, made by ourselves
	Permissions                      []permission
	Source, At                       string
	Factors                          []directory.Factor
	Codes                            []string // of recovery, just made
	Left                             int      // how many there are
	Lost                             bool     // somebody tries them
	Text                             string
	Bad                              bool
	Next                             *next
	Fields                           []field
	To                               template.URL // of a program: it was compared with those registered
	Target                           string       // where the form leads beside here, for the policy
}

type (
	next  struct{ URL, Text string }
	field struct{ Name, Value string }
	// permission is one that is asked for, in words.
	permission struct {
		Text, Resource, Value string
		Role                  bool
	}
)

// Initial stands for a face.
func (v view) Initial() string {
	for _, r := range cmp.Or(v.User.DisplayName, v.User.Name) {
		return strings.ToUpper(string(r))
	}
	return ""
}

// Several tells whether a factor may be removed.
func (v view) Several() bool { return len(v.Factors) > 1 }

// show answers with a page.
func (e *endpoint) show(v *visit, status int, name string, p view) {
	if v.browser == "" {
		v.browser = rand.Text()
	}
	// Renewed at each page, so that a browser that is used stays known.
	http.SetCookie(v.w, &http.Cookie{Name: browserCookie, Value: v.browser, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int((365 * 24 * time.Hour).Seconds())})
	p.Style, p.Tenant, p.Request, p.Proof = template.CSS(style), e.name(v.asked), v.id, v.proof()
	if v.session != nil && p.User.ID == "" {
		p.User = v.session.User
	}
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, p); err != nil {
		e.fail(v.w, v.asked, err)
		return
	}
	h := v.w.Header()
	h.Set("Content-Security-Policy", policy(p))
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin") // programs do not learn where people come from, and forms still say
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), publickey-credentials-get=(self), publickey-credentials-create=(self)")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	if v.r.Method != http.MethodHead {
		_, _ = b.WriteTo(v.w) // the browser has gone, or reads it
	}
}

// policy lets a page do nothing but what it is made of (W3C Content Security
// Policy Level 3). A form may lead to the program that waits, since browsers
// hold the redirects after it against form-action too.
func policy(p view) string {
	hash := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	parts := []string{"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "img-src data:", "style-src " + hash(style)}
	if p.Script != "" {
		parts = append(parts, "script-src "+hash(string(p.Script)))
	}
	form := "form-action 'self'"
	if p.Target != "" {
		form += " " + p.Target
	}
	return strings.Join(append(parts, form), "; ")
}

// targetOf is what form-action calls the place of a redirect URI.
func targetOf(redirect string) string {
	u, err := url.Parse(redirect)
	switch {
	case err != nil || u.Scheme == "":
		return ""
	case u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.Contains(u.Host, "["):
		// CSP has no word for an IPv6 address.
		return u.Scheme + ":"
	}
	return u.Scheme + "://" + u.Host
}

// stop says on a page that it does not go on here.
func (e *endpoint) stop(v *visit, status int, title, text string) {
	e.show(v, status, "done", view{Title: title, Text: text, Bad: true})
}

// broken says that something is wrong here, or with what was asked.
func (e *endpoint) broken(v *visit, err error) {
	switch fault.Of(err) {
	case fault.Invalid, fault.Denied, fault.NotFound, fault.Conflict:
		e.stop(v, http.StatusBadRequest, "That cannot be done", public(err))
	case fault.Unavailable, fault.Exhausted:
		e.stop(v, http.StatusServiceUnavailable, "Too busy", "Try again in a moment.")
	default:
		e.Log.Error("a sign-in page fails", obs.KeyError, err, "request", v.id)
		e.stop(v, http.StatusInternalServerError, "Something is broken here", "It is not you. Try again in a moment, and tell your administrator the number below if it stays so.")
	}
}

// public is what an error says to people.
func public(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind != fault.Internal {
		return f.Public
	}
	return ""
}

// at is the path of a page of ours.
func (v *visit) at(page string, query url.Values) string {
	p := "/" + url.PathEscape(v.written) + "/" + page
	if q := query.Encode(); q != "" {
		p += "?" + q
	}
	return p
}

// backs are the pages that a sign-in may lead back to.
var backs = []string{"oauth2/v2.0/authorize", "oauth2/authorize", "v2.0/adminconsent", "adminconsent", "device", "account", "enrol"}

// back is where a sign-in leads to: a page of ours in the same tenant, taken
// apart and put together again, so that it leads nowhere else. "" when it is
// not one.
func (v *visit) back(asked string) string {
	u, err := url.Parse(asked)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || strings.ContainsAny(asked, "\\\r\n\t") {
		return ""
	}
	tenant, page, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if !strings.EqualFold(tenant, v.written) || !slices.Contains(backs, page) {
		return ""
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return ""
	}
	return v.at(page, q)
}

// to sends the browser on.
func (e *endpoint) to(v *visit, url string) {
	h := v.w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Location", url)
	v.w.WriteHeader(http.StatusSeeOther)
}
