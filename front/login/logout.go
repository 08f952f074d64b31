package login

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// logout is where programs send people who want to leave (OpenID Connect
// RP-Initiated Logout). A program that shows whom it signed in signs them out;
// otherwise the person is asked, so that no page of others does it.
func (e *endpoint) logout(v *visit) {
	q := v.r.URL.Query()
	if v.r.Method == http.MethodPost {
		q = v.r.PostForm
	}
	client, known := e.hinted(v, q.Get("id_token_hint"))
	if client == "" {
		client = q.Get("client_id")
	}
	to := e.after(v, client, q.Get("post_logout_redirect_uri"), q.Get("state"))
	asked := v.r.Method == http.MethodPost && q.Has("proof")
	if asked && !e.ours(v) {
		return
	}
	if v.session != nil && !asked && !known {
		p := view{Title: "Sign out?", Action: v.at(v.page(), nil), Stay: v.at("account", nil), Target: targetOf(to)}
		for _, name := range []string{"client_id", "post_logout_redirect_uri", "state"} {
			p.Fields = append(p.Fields, field{name, q.Get(name)})
		}
		p.Fields[0].Value = client
		e.show(v, http.StatusOK, "signout", p)
		return
	}
	if !e.leave(v) {
		return
	}
	if to == "" {
		to = v.at("signout", nil)
	}
	e.to(v, to)
}

// hinted is the program that an ID token of ours was for, and whether it is of
// the person who is signed in here. It may have expired.
func (e *endpoint) hinted(v *visit, hint string) (client string, known bool) {
	if hint == "" || len(hint) > maxForm {
		return "", false
	}
	payload, err := e.Directory.VerifySignature(v.r.Context(), hint)
	var c idClaims
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return "", false
	}
	return c.Audience, v.session != nil && c.Subject == v.session.User.ID
}

// after is where somebody is sent who has left: an address of the program, or
// nowhere.
func (e *endpoint) after(v *visit, client, to, state string) string {
	if client == "" || to == "" || len(client) > maxID || len(state) > maxState {
		return ""
	}
	p, err := e.Directory.Program(v.r.Context(), v.home, client)
	if err != nil {
		return ""
	}
	if _, ok := p.Redirect(to); !ok {
		return ""
	}
	if state == "" {
		return to
	}
	if strings.Contains(to, "?") {
		return to + "&" + url.Values{"state": {state}}.Encode()
	}
	return to + "?" + url.Values{"state": {state}}.Encode()
}

// signout ends the session of this browser.
func (e *endpoint) signout(v *visit) {
	if v.r.Method == http.MethodPost {
		if !e.ours(v) || !e.leave(v) {
			return
		}
		if back := v.back(v.r.PostForm.Get("back")); back != "" {
			e.to(v, v.at("signin", url.Values{"back": {back}}))
			return
		}
		e.to(v, v.at("signout", nil))
		return
	}
	if v.session == nil {
		e.show(v, http.StatusOK, "done", view{Title: "You are signed out", Text: "It is safe to close this page.", Next: &next{v.at("signin", nil), "Sign in again"}})
		return
	}
	e.show(v, http.StatusOK, "signout", view{Title: "Sign out?", Action: v.at("signout", nil), Stay: v.at("account", nil)})
}

// leave ends the session; when that fails the answer is given.
func (e *endpoint) leave(v *visit) bool {
	if v.session == nil {
		return true
	}
	name := v.session.User.Name
	if err := e.Directory.EndSession(v.r.Context(), v.token); err != nil {
		e.broken(v, err)
		return false
	}
	e.Log.Info("signed out", "user", name, "from", source(v.r.RemoteAddr), "request", v.id)
	v.signedOut()
	return true
}
