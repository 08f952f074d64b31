package login

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/boombuler/barcode/qr"

	"github.com/tandemgw/tandem/control/directory"
)

// signin asks for name and password. It shows nobody whether a name exists.
func (e *endpoint) signin(v *visit) {
	if v.r.Method == http.MethodPost {
		e.tryPassword(v)
		return
	}
	q := v.r.URL.Query()
	back := v.back(q.Get("back"))
	switch {
	case v.session != nil && !v.whole() && !q.Has("again"):
		e.to(v, v.at("factor", url.Values{"back": {back}}))
	case v.whole() && q.Has("choose"):
		again := v.at("signin", url.Values{"back": {back}, "again": {"1"}})
		p := e.program(v, back)
		p.Title, p.Back, p.Action = "Which account?", back, again
		if back == "" {
			p.Back = v.at("account", nil)
		}
		e.show(v, http.StatusOK, "choose", p)
	case v.whole() && !q.Has("again"):
		e.onwards(v, back)
	default:
		e.askPassword(v, http.StatusOK, back, view{Name: clean(q.Get("login_hint"))})
	}
}

func (e *endpoint) askPassword(v *visit, status int, back string, p view) {
	about := e.program(v, back)
	p.App, p.Target = about.App, about.Target
	p.Title, p.Action, p.Back, p.Domain = "Sign in", v.at("signin", nil), back, e.domain(v.asked)
	e.show(v, status, "signin", p)
}

func (e *endpoint) tryPassword(v *visit) {
	if !e.ours(v) {
		return
	}
	f := v.r.PostForm
	name, back := strings.TrimSpace(f.Get("name")), v.back(f.Get("back"))
	if err := e.choose(v, name); err != nil {
		e.broken(v, err)
		return
	}
	opened, wait, err := e.triedPassword(v, name, f.Get("password"))
	switch {
	case wait > 0:
		e.wait(v, wait, func(p view) { p.Name = clean(name); e.askPassword(v, http.StatusTooManyRequests, back, p) })
	case errors.Is(err, directory.ErrPassword):
		e.askPassword(v, http.StatusUnauthorized, back, view{Name: clean(name), Problem: "The name or the password is wrong."})
	case err != nil:
		e.broken(v, err)
	default:
		if v.token != "" {
			// Whoever was signed in here before is not any more.
			if err := e.Directory.EndSession(v.r.Context(), v.token); err != nil {
				e.broken(v, err)
				return
			}
		}
		v.signedIn(opened)
		e.to(v, v.at("factor", url.Values{"back": {back}}))
	}
}

// triedPassword looks at one password, and tells how long its source must wait
// when it was not looked at.
func (e *endpoint) triedPassword(v *visit, name, password string) (opened directory.Opened, wait time.Duration, err error) {
	done, err := e.inTurn(v.r.Context())
	if err != nil {
		return opened, 0, err
	}
	defer done()
	from := source(v.r.RemoteAddr)
	if wait := e.guard.wait(from, "", time.Now()); wait > 0 {
		e.stranger(v, "held back after wrong guesses")
		return opened, wait, nil
	}
	opened, err = e.Directory.SignIn(v.r.Context(), v.home, name, password, v.visitor())
	if errors.Is(err, directory.ErrPassword) {
		e.guard.bad(from, "", time.Now())
	}
	if held, ok := errors.AsType[*directory.HeldError](err); ok {
		return opened, held.Wait, nil
	}
	return opened, 0, err
}

// stranger counts a sign-in by somebody of whom nothing is known.
func (e *endpoint) stranger(v *visit, why string) {
	e.Directory.Count(directory.Attempt{Action: directory.PersonSignsIn, By: directory.Caller{Tenant: v.home}, Source: source(v.r.RemoteAddr), Refused: why})
}

// choose is the tenant of a person, where the path leaves that to them: the
// domain of their name says it.
func (e *endpoint) choose(v *visit, name string) error {
	_, domain, ok := strings.Cut(name, "@")
	if !v.any || !ok {
		return nil
	}
	t, ok, err := e.Directory.FindTenant(v.r.Context(), domain)
	if ok {
		e.at(&v.asked, t.ID)
	}
	return err
}

// wait shows a page again to somebody who has guessed too often.
func (e *endpoint) wait(v *visit, wait time.Duration, show func(view)) {
	e.Log.Warn("sign-ins are held back after wrong guesses", "from", source(v.r.RemoteAddr), "request", v.id)
	v.w.Header().Set("Retry-After", seconds(wait))
	text := "a minute"
	if m := int((wait + time.Minute - 1) / time.Minute); m > 1 {
		text = fmt.Sprint(m, " minutes")
	}
	show(view{Problem: "That was wrong too often. Try again in " + text + "."})
}

// factor asks for the second factor, or has one added.
func (e *endpoint) factor(v *visit) {
	back := v.back(v.r.FormValue("back"))
	switch {
	case v.session == nil:
		e.to(v, v.at("signin", url.Values{"back": {back}}))
	case v.r.Method == http.MethodPost:
		e.tryFactor(v, back)
	case v.whole():
		e.onwards(v, back)
	default:
		e.askFactor(v, http.StatusOK, back, view{})
	}
}

func (e *endpoint) askFactor(v *visit, status int, back string, p view) {
	list, err := e.Directory.Factors(v.r.Context(), v.session.User.ID)
	if err != nil {
		e.broken(v, err)
		return
	}
	if len(list) == 0 {
		e.to(v, v.at("enrol", url.Values{"back": {back}}))
		return
	}
	keys := false
	for _, f := range list {
		p.TOTP = p.TOTP || f.Kind == directory.TOTP
		keys = keys || f.Kind == directory.Passkey
	}
	if keys && e.Directory.Passkeys() {
		options, err := e.Directory.AskPasskey(v.r.Context(), v.token)
		if err != nil {
			e.broken(v, err)
			return
		}
		p.Passkey, p.Script = string(options), template.JS(asking)
	}
	p.Title, p.Action, p.Back, p.Leave, p.Target = "Second factor", v.at("factor", nil), back, v.at("signout", nil), e.program(v, back).Target
	e.show(v, status, "factor", p)
}

func (e *endpoint) tryFactor(v *visit, back string) {
	if !e.ours(v) {
		return
	}
	f := v.r.PostForm
	var opened directory.Opened
	var err error
	left, lost := 0, f.Get("recovery") != ""
	switch response := f.Get("response"); {
	case lost:
		opened, left, err = e.Directory.ShowRecovery(v.r.Context(), v.token, f.Get("recovery"), v.visitor())
	case response != "":
		opened, err = e.Directory.ShowPasskey(v.r.Context(), v.token, []byte(response), v.visitor())
	default:
		opened, err = e.Directory.ShowTOTP(v.r.Context(), v.token, f.Get("code"), v.visitor())
	}
	if held, ok := errors.AsType[*directory.HeldError](err); ok {
		e.wait(v, held.Wait, func(p view) { p.Lost = lost; e.askFactor(v, http.StatusTooManyRequests, back, p) })
		return
	}
	switch {
	case errors.Is(err, directory.ErrFactor) && lost:
		e.askFactor(v, http.StatusUnauthorized, back, view{Lost: true, Problem: "That is none of your codes, or you have used it before: each is good once."})
	case errors.Is(err, directory.ErrFactor):
		e.askFactor(v, http.StatusUnauthorized, back, view{Problem: "That was not accepted. A code is good for half a minute, and once: wait for the next one."})
	case errors.Is(err, directory.ErrSession):
		e.to(v, v.at("signin", url.Values{"back": {back}}))
	case err != nil:
		e.broken(v, err)
	default:
		v.signedIn(opened)
		e.Log.Info("signed in", "user", opened.User.Name, "factor", opened.Factor, "from", source(v.r.RemoteAddr), "request", v.id)
		if lost {
			e.recovered(v, left, back)
			return
		}
		e.onwards(v, back)
	}
}

// recovered tells somebody who came in by a code how many are left.
func (e *endpoint) recovered(v *visit, left int, back string) {
	text := fmt.Sprintf("That code is used up; %d are left.", left)
	switch left {
	case 0:
		text = "That was your last code: make new ones in your account."
	case 1:
		text = "That code is used up; one is left: make new ones in your account."
	}
	if back == "" {
		back = v.at("account", nil)
	}
	e.show(v, http.StatusOK, "done", view{Title: "You are signed in", Text: text + " If your second factor is lost, add another one in your account, then remove what is lost.", Next: &next{back, "Continue"}})
}

// codes shows new recovery codes, this once.
func (e *endpoint) codes(v *visit, back string) {
	made, err := e.Directory.NewRecoveryCodes(v.r.Context(), v.token)
	if err != nil {
		e.broken(v, err)
		return
	}
	if back == "" {
		back = v.at("account", nil)
	}
	p := view{Title: "Recovery codes", Wide: true, Next: &next{back, "I have kept them"}}
	for _, c := range made {
		p.Codes = append(p.Codes, string(c))
	}
	e.Log.Info("recovery codes were made", "user", v.session.User.Name, "from", source(v.r.RemoteAddr), "request", v.id)
	e.show(v, http.StatusOK, "codes", p)
}

// onwards leads to where somebody wanted to go.
func (e *endpoint) onwards(v *visit, back string) {
	if back == "" {
		back = v.at("account", nil)
	}
	e.to(v, back)
}

// enrol adds a second factor.
func (e *endpoint) enrol(v *visit) {
	back := v.back(v.r.FormValue("back"))
	switch {
	case v.session == nil:
		e.to(v, v.at("signin", url.Values{"back": {v.at("enrol", nil)}}))
	case v.r.Method == http.MethodPost:
		e.tryEnrol(v, back)
	default:
		e.askEnrol(v, http.StatusOK, back, view{})
	}
}

func (e *endpoint) askEnrol(v *visit, status int, back string, p view) {
	seed, err := e.Directory.ProposeTOTP(v.r.Context(), v.token)
	if errors.Is(err, directory.ErrSession) { // there is one already, which was not shown
		e.to(v, v.at("factor", url.Values{"back": {back}}))
		return
	}
	if err == nil && e.Directory.Passkeys() {
		var options []byte
		options, err = e.Directory.ProposePasskey(v.r.Context(), v.token)
		p.Passkey, p.Script = string(options), template.JS(asking)
	}
	if err == nil {
		p.QR, err = draw(string(seed.URI))
	}
	if err != nil {
		e.broken(v, err)
		return
	}
	p.Title, p.First, p.Seed, p.URI = "Add a second factor", !v.whole(), spaced(string(seed.Secret)), template.URL(seed.URI)
	p.Action, p.Back, p.Target = v.at("enrol", nil), back, e.program(v, back).Target
	e.show(v, status, "enrol", p)
}

func (e *endpoint) tryEnrol(v *visit, back string) {
	if !e.ours(v) {
		return
	}
	f := v.r.PostForm
	var opened directory.Opened
	var err error
	if response := f.Get("response"); response != "" {
		opened, err = e.Directory.AddPasskey(v.r.Context(), v.token, "Passkey", []byte(response), v.visitor())
	} else {
		opened, err = e.Directory.AddTOTP(v.r.Context(), v.token, "Authenticator app", f.Get("code"), v.visitor())
	}
	switch {
	case errors.Is(err, directory.ErrFactor):
		e.askEnrol(v, http.StatusUnprocessableEntity, back, view{Problem: "That does not fit. Type the six digits that the app shows now; the clock of your phone must be right."})
	case errors.Is(err, directory.ErrSession):
		e.to(v, v.at("signin", url.Values{"back": {back}}))
	case err != nil:
		e.broken(v, err)
	default:
		first := !v.whole()
		v.signedIn(opened)
		e.Log.Info("a second factor was added", "user", opened.User.Name, "factor", opened.Factor, "from", source(v.r.RemoteAddr), "request", v.id)
		if first {
			e.codes(v, back)
			return
		}
		e.onwards(v, back)
	}
}

// spaced is a seed as people can type it.
func spaced(s string) string {
	var b strings.Builder
	for i, r := range s {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// drawing is a QR code as one path.
type drawing struct{ Box, Path string }

func draw(text string) (drawing, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return drawing{}, err
	}
	const quiet = 2
	var b strings.Builder
	size := code.Bounds().Dx()
	for y := range size {
		for x := range size {
			if r, _, _, _ := code.At(x, y).RGBA(); r == 0 {
				fmt.Fprintf(&b, "M%d %dh1v1h-1z", x+quiet, y+quiet)
			}
		}
	}
	return drawing{fmt.Sprintf("0 0 %d %[1]d", size+2*quiet), b.String()}, nil
}

// password is where a one-time link leads. Looking at the page uses nothing up:
// mail programs look too.
func (e *endpoint) password(v *visit) {
	link := v.r.FormValue("link")
	from := source(v.r.RemoteAddr)
	if wait := e.guard.wait(from, "", time.Now()); wait > 0 {
		e.wait(v, wait, func(p view) { e.stop(v, http.StatusTooManyRequests, "Wait a little", p.Problem) })
		return
	}
	u, err := e.Directory.Invited(v.r.Context(), link)
	if errors.Is(err, directory.ErrLink) || err == nil && !strings.EqualFold(u.Tenant, v.home) {
		e.guard.bad(from, "", time.Now())
		e.stranger(v, "a link that is not good")
		e.stop(v, http.StatusGone, "This link is not good any more", "It works once, within a day. Ask your administrator for another one.")
		return
	}
	if err != nil {
		e.broken(v, err)
		return
	}
	p := view{Title: "Choose a password", User: u, Link: link, Action: v.at("password", nil)}
	if v.r.Method != http.MethodPost {
		e.show(v, http.StatusOK, "password", p)
		return
	}
	if !e.ours(v) {
		return
	}
	f := v.r.PostForm
	if f.Get("password") != f.Get("again") {
		p.Problem = "The two are not the same."
		e.show(v, http.StatusUnprocessableEntity, "password", p)
		return
	}
	opened, err := e.Directory.SetPassword(v.r.Context(), link, f.Get("password"), v.visitor())
	if text := public(err); text != "" && !errors.Is(err, directory.ErrLink) {
		p.Problem = text
		e.show(v, http.StatusUnprocessableEntity, "password", p)
		return
	}
	if err != nil {
		e.broken(v, err)
		return
	}
	v.signedIn(opened)
	e.Log.Info("a password was set", "user", u.Name, "from", from, "request", v.id)
	e.to(v, v.at("factor", nil))
}

// account shows people what is theirs.
func (e *endpoint) account(v *visit) {
	if !v.whole() {
		e.to(v, v.at("signin", url.Values{"back": {v.at("account", nil)}}))
		return
	}
	p := view{Title: "Your account"}
	status := http.StatusOK
	if v.r.Method == http.MethodPost {
		if !e.ours(v) {
			return
		}
		if v.r.PostForm.Get("codes") != "" {
			e.codes(v, "")
			return
		}
		err := e.Directory.RemoveFactor(v.r.Context(), v.token, v.r.PostForm.Get("remove"))
		if p.Problem = public(err); err != nil && p.Problem == "" {
			e.broken(v, err)
			return
		}
		if p.Problem != "" {
			status = http.StatusConflict
		}
	}
	var err error
	if p.Factors, err = e.Directory.Factors(v.r.Context(), v.session.User.ID); err != nil {
		e.broken(v, err)
		return
	}
	if p.Left, err = e.Directory.RecoveryCodes(v.r.Context(), v.session.User.ID); err != nil {
		e.broken(v, err)
		return
	}
	p.Action, p.Enrol, p.Leave, p.At = v.at("account", nil), v.at("enrol", nil), v.at("signout", nil), v.session.Began.UTC().Format("15:04 MST on 2 January")
	e.show(v, status, "account", p)
}
