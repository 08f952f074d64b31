package operatorconnect

import (
	"bytes"
	"crypto/subtle"
	"embed"
	"html/template"
	"net/http"
	"strings"
)

//go:embed page
var pages embed.FS

// The roles that let somebody into the portal (Azure Communications Gateway
// docs: Admin, or PartnerSettings.Read and what is to be changed).
const roleAdmin = "Admin"

var portalRoles = []string{roleAdmin, "PartnerSettings.Read", "PartnerSettings.Write"}

// views are the pages, each with the frame around it.
var views = func() map[string]*template.Template {
	all := map[string]*template.Template{}
	files, err := pages.ReadDir("page")
	if err != nil {
		panic(err) // they are in the program
	}
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), ".html"); ok && name != "frame" {
			all[name] = template.Must(template.New("frame.html").Funcs(words).ParseFS(pages, "page/frame.html", "page/"+f.Name()))
		}
	}
	return all
}()

// view is what a page shows.
type view struct {
	Title    string
	Here     string // of the navigation
	Who      string
	Operator string
	CSRF     string
	Said     string // what has just been done
	Error    string // what is wrong with what was sent
	Body     any
}

// policy lets a page do nothing but show itself and send its own forms.
const policy = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// show writes a page.
func (e *Environment) show(w http.ResponseWriter, status int, page string, v view) {
	var b bytes.Buffer
	if err := views[page].Execute(&b, v); err != nil {
		e.cfg.Log.Error("a page is broken", "page", page, "error", err)
		http.Error(w, "This page is broken.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // the reader is gone: its own affair
}

// notice is a page with a few words.
type notice struct{ Text, Tenant string }

// trouble says what is wrong.
func (e *Environment) trouble(w http.ResponseWriter, status int, title, text string) {
	e.show(w, status, "notice", view{Title: title, Body: notice{Text: text}})
}

// stranger is told that the tenant is not onboarded, or asked for it.
func (e *Environment) stranger(w http.ResponseWriter, tenant string) {
	e.mu.Lock()
	nobody := len(e.operators) == 0
	e.mu.Unlock()
	switch {
	case tenant != "":
		e.trouble(w, http.StatusForbidden, "Not onboarded", "The tenant "+clip(tenant, 60)+" is not onboarded to Operator Connect. Wait until your onboarding team confirms that the onboarding process is complete.")
	case nobody:
		e.trouble(w, http.StatusForbidden, "Not onboarded", "No operator is onboarded to Operator Connect here. Wait until your onboarding team confirms that the onboarding process is complete.")
	default:
		e.show(w, http.StatusOK, "welcome", view{Title: "Sign in", Body: notice{Tenant: "ask"}})
	}
}

// act is what a signed-in person does in the portal.
type act struct {
	roles []string // of which one is enough; none: any that lets into the portal
	do    func(*Environment, http.ResponseWriter, *http.Request, *session)
}

// portal serves people.
func (e *Environment) portal() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /{$}", e.welcome)
	m.HandleFunc("GET /signin", e.signIn)
	m.HandleFunc("GET "+redirectPath, e.signedIn)
	m.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=300")
		http.ServeFileFS(w, r, pages, "page/style.css")
	})
	for pattern, a := range acts {
		m.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { e.enter(w, r, a) })
	}
	m.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		e.trouble(w, http.StatusNotFound, "There is nothing here", "This page does not exist.")
	})
	// Browsers tell where a form comes from; the token in each form is for those
	// that do not.
	return http.NewCrossOriginProtection().Handler(m)
}

// maxForm is far above any form.
const maxForm = 64 << 10

// enter lets somebody do what he asks for, if he is signed in, may, and meant
// it.
func (e *Environment) enter(w http.ResponseWriter, r *http.Request, a act) {
	s := e.session(r)
	if s == nil {
		if r.Method == http.MethodGet {
			http.Redirect(w, r, "/signin?to="+template.URLQueryEscaper(r.URL.RequestURI()), http.StatusSeeOther)
			return
		}
		e.trouble(w, http.StatusForbidden, "You are signed out", "Nothing was changed. Sign in and do it again.")
		return
	}
	if r.Method == http.MethodPost {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			e.trouble(w, http.StatusBadRequest, "That form cannot be read", "It is too large, or no form. Nothing was changed.")
			return
		}
		if subtle.ConstantTimeCompare([]byte(r.PostForm.Get("csrf")), []byte(s.csrf)) != 1 {
			e.trouble(w, http.StatusForbidden, "That did not come from this page", "Nothing was changed. Go back, load the page again, and repeat it there.")
			return
		}
	}
	if len(a.roles) > 0 && !s.has(a.roles...) {
		e.trouble(w, http.StatusForbidden, "You may not do this", "It needs a role in the application Project Synergy, one of "+strings.Join(a.roles, ", ")+"; you have "+clip(strings.Join(s.roles, ", "), 300)+".")
		return
	}
	a.do(e, w, r, s)
	if r.Method == http.MethodPost {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.publish()
	}
}

// page shows a page to somebody who is signed in.
func (e *Environment) page(w http.ResponseWriter, r *http.Request, s *session, v view) {
	v.Who, v.CSRF = s.name, s.csrf
	v.Operator, _ = e.home(s.operator)
	if v.Said == "" {
		v.Said = told[r.URL.Query().Get("said")]
	}
	status := http.StatusOK
	if v.Error != "" {
		status = http.StatusBadRequest
	}
	e.show(w, status, v.Here, v)
}

// told are the sentences that a page may be asked to show: nothing that comes
// with a link is.
var told = map[string]string{
	"added":   "The Application Id is on the list.",
	"removed": "The Application Id is off the list. Its program gets 403 from now on.",
	"saved":   "Saved.",
	"deleted": "Deleted.",
}

// welcome is where everybody begins.
func (e *Environment) welcome(w http.ResponseWriter, r *http.Request) {
	if s := e.session(r); s != nil {
		http.Redirect(w, r, "/operator", http.StatusSeeOther)
		return
	}
	e.mu.Lock()
	alone := len(e.operators) <= 1
	e.mu.Unlock()
	tenant := ""
	if !alone {
		tenant = "ask"
	}
	e.show(w, http.StatusOK, "welcome", view{Title: "Operator Connect", Body: notice{Tenant: tenant}})
}
