package login_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/pquerna/otp/totp"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/front/login"
)

const (
	secondTenant = "00000000-0000-4000-8000-00000000000e"

	password = "canary-of-the-password four words"
	verifier = "canary-of-the-verifier-0123456789abcdefghijklmn"
	back     = "https://portal.telecom.example/back"
	loopback = "http://localhost:8400"
)

// house is a login with people in it.
type house struct {
	*door
	ann  directory.User // Global Administrator
	bob  directory.User // nobody special
	seed map[string]string

	told  []directory.Tally // by what was counted
	codes []string          // recovery codes of whom moved in last

	web, native, robot string // client IDs: a server with a secret, a program, one with roles
	webSecret          string
}

// live runs a test in a house whose clock the test turns.
func live(t *testing.T, f func(t *testing.T, h *house)) {
	synctest.Test(t, func(t *testing.T) {
		d := &door{TB: t, log: &bytes.Buffer{}}
		log := slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		s := storetest.New(t)
		defer s.Close()
		h := &house{door: d, seed: map[string]string{}}
		var err error
		d.directory, err = directory.Open(t.Context(), directory.Config{
			Many: func(_ context.Context, tx *store.Tx, l directory.Tally) error {
				tx.After(func() { h.told = append(h.told, l) })
				return nil
			},
			Store: s, Tenant: directory.Tenant{ID: tenant, Name: "lab.telecom.example"}, Others: []directory.Tenant{{ID: secondTenant, Name: "second.example"}}, Log: log, Address: base, Audiences: []string{base},
			Clients: []directory.Client{{ID: app, Name: "onboarding", Secret: obs.Secret(secret)}},
		})
		if err != nil {
			t.Fatal(err)
		}
		d.Handler = login.Handler(login.Config{Directory: d.directory, URL: base, Resources: []string{base + "/"}, Log: log})
		h.furnish()
		f(t, h)
		for _, canary := range []string{secret, "canary-of-the", "eyJ", h.webSecret, h.seed["ann"]} {
			if canary != "" && strings.Contains(d.log.String(), canary) {
				t.Errorf("the log shows %q", canary)
			}
		}
	})
}

var us = directory.Ourselves(tenant, "test")

func must[T any](h *house) func(T, error) T {
	return func(v T, err error) T {
		h.Helper()
		if err != nil {
			h.Fatal(err)
		}
		return v
	}
}

func (h *house) furnish() {
	ctx, user := h.Context(), must[directory.User](h)
	h.ann = user(h.directory.CreateUser(ctx, us, directory.User{Name: "ann@lab.telecom.example", DisplayName: "Ann Archer", Mail: "ann@telecom.example", Enabled: true}))
	h.bob = user(h.directory.CreateUser(ctx, us, directory.User{Name: "bob@lab.telecom.example", DisplayName: "Bob Baker", Enabled: true}))
	if err := h.directory.AssignDirectoryRole(ctx, us, directory.GlobalAdministrator, h.ann.ID); err != nil {
		h.Fatal(err)
	}
	make := must[directory.Application](h)
	graph := must[directory.ServicePrincipal](h)(h.directory.Resource(ctx, tenant, directory.GraphID))
	role, _ := graph.Role("Application.Read.All")
	web := make(h.directory.CreateApplication(ctx, us, directory.Application{DisplayName: "Number Portal", Redirects: directory.Redirects{Web: []string{back, back + "?x=1"}}}))
	native := make(h.directory.CreateApplication(ctx, us, directory.Application{DisplayName: "Desk Tool", Redirects: directory.Redirects{Public: []string{"http://localhost", "com.telecom.desk:/back"}, SPA: []string{"https://spa.telecom.example/"}}}))
	robot := make(h.directory.CreateApplication(ctx, us, directory.Application{DisplayName: "Billing Service", Required: []directory.RequiredAccess{{Resource: directory.GraphID, Access: []directory.Access{{ID: role.ID, Type: directory.RoleAccess}}}}}))
	_, value, err := h.directory.AddSecret(ctx, us, web.AppID, "first", time.Time{})
	if err != nil {
		h.Fatal(err)
	}
	h.web, h.native, h.robot, h.webSecret = web.AppID, native.AppID, robot.AppID, string(value)
	for _, id := range []string{h.web, h.native} {
		must[directory.ServicePrincipal](h)(h.directory.AddPrincipal(ctx, us, id, ""))
	}
}

// browser is somebody's.
type browser struct {
	h      *house
	client *http.Client
	from   string
	last   *http.Response
	body   string
}

func (h *house) browser(from string) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.Fatal(err)
	}
	b := &browser{h: h, from: from}
	b.client = &http.Client{Jar: jar, Transport: b, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host != "api.telecom.example:8443" {
			return http.ErrUseLastResponse // it would leave for a program
		}
		return nil
	}}
	return b
}

// RoundTrip lets the endpoint answer.
func (b *browser) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := r
	r = r.Clone(r.Context())
	r.RemoteAddr, r.RequestURI = b.from, r.URL.RequestURI()
	if r.Host == "" {
		r.Host = r.URL.Host
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	if r.Header.Get("Sec-Fetch-Site") == "" {
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	rec := httptest.NewRecorder()
	b.h.ServeHTTP(rec, r)
	res := rec.Result()
	res.Request = sent
	return res, nil
}

func (b *browser) took(res *http.Response, err error) *browser {
	b.h.Helper()
	if err != nil {
		b.h.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.h.Fatal(err)
	}
	b.last, b.body = res, string(text)
	return b
}

func (b *browser) get(at string) *browser {
	b.h.Helper()
	if strings.HasPrefix(at, "/") {
		at = base + at
	}
	return b.took(b.client.Get(at))
}

var (
	formOf   = regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>`)
	hiddenIn = regexp.MustCompile(`<input type="hidden" name="([^"]+)"(?: autocomplete="[^"]*")? value="([^"]*)"`)
	headline = regexp.MustCompile(`<h1>([^<]*)</h1>`)
	problem  = regexp.MustCompile(`(?s)role="alert"[^>]*>([^<]*)<`)
	codesOf  = regexp.MustCompile(`<code>([^<]*)</code>`)
	onOf     = regexp.MustCompile(`<a class="button(?: second)?" href="([^"]*)">(?:I have kept them|Continue)</a>`)
	seedOf   = regexp.MustCompile(`<span class="seed">([^<]*)</span>`)
)

// fill sends the form of the page that has a field or button of a name, with
// its hidden fields.
func (b *browser) fill(having string, pairs ...string) *browser {
	b.h.Helper()
	for _, m := range formOf.FindAllStringSubmatch(b.body, -1) {
		if !strings.Contains(m[2], having) {
			continue
		}
		v := url.Values{}
		for _, x := range hiddenIn.FindAllStringSubmatch(m[2], -1) {
			v.Set(html.UnescapeString(x[1]), html.UnescapeString(x[2]))
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return b.took(b.client.PostForm(base+html.UnescapeString(m[1]), v))
	}
	b.h.Fatalf("the page %q has no form with %q:\n%s", b.title(), having, b.text())
	return b
}

func (b *browser) title() string {
	if m := headline.FindStringSubmatch(b.body); m != nil {
		return html.UnescapeString(m[1])
	}
	return b.last.Status + " " + b.last.Header.Get("Location")
}

func (b *browser) problem() string {
	if m := problem.FindStringSubmatch(b.body); m != nil {
		return html.UnescapeString(m[1])
	}
	return ""
}

// text is the page without its style.
func (b *browser) text() string {
	_, rest, _ := strings.Cut(b.body, "</style>")
	return rest
}

// shows fails unless the page has the headline.
func (b *browser) shows(title string) *browser {
	b.h.Helper()
	if b.title() != title {
		b.h.Fatalf("the page is %q (%s), not %q:\n%s", b.title(), b.problem(), title, b.text())
	}
	return b
}

// left is where the browser was sent, away from here, with what it carries.
func (b *browser) left() (to string, q url.Values) {
	b.h.Helper()
	u, err := url.Parse(b.last.Header.Get("Location"))
	if err != nil || b.last.StatusCode != http.StatusSeeOther {
		b.h.Fatalf("the browser was not sent on: %s\n%s", b.last.Status, b.text())
	}
	q = u.Query()
	if u.Fragment != "" {
		q, _ = url.ParseQuery(u.Fragment)
	}
	u.RawQuery, u.Fragment = "", ""
	return u.String(), q
}

// cookie is the value of one of ours.
func (b *browser) cookie(name string) string {
	u, _ := url.Parse(base)
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == "__Host-tandem-"+name {
			return c.Value
		}
	}
	return ""
}

// invite is a link for somebody.
func (h *house) invite(u directory.User) string {
	h.Helper()
	i := must[directory.Invitation](h)(h.directory.Invite(h.Context(), us, u.ID, true))
	return string(login.InvitationURL(base, tenant, i))
}

// moveIn sets password and second factor by a one-time link.
func (b *browser) moveIn(u directory.User) *browser {
	b.h.Helper()
	b.get(b.h.invite(u)).shows("Choose a password").fill("password", "password", password, "again", password).shows("Add a second factor")
	seed := strings.ReplaceAll(seedOf.FindStringSubmatch(b.body)[1], " ", "")
	b.h.seed[strings.Split(u.Name, "@")[0]] = seed
	b.fill("code", "code", b.h.code(u)).shows("Recovery codes")
	b.h.codes = nil
	for _, m := range codesOf.FindAllStringSubmatch(b.body, -1) {
		b.h.codes = append(b.h.codes, m[1])
	}
	return b.get(html.UnescapeString(onOf.FindStringSubmatch(b.body)[1]))
}

// code is the next one of somebody's app. It takes half a minute.
func (h *house) code(u directory.User) string {
	h.Helper()
	time.Sleep(31 * time.Second)
	code, err := totp.GenerateCode(h.seed[strings.Split(u.Name, "@")[0]], time.Now())
	if err != nil {
		h.Fatal(err)
	}
	return code
}

// signIn shows both factors on the page that asks for them.
func (b *browser) signIn(u directory.User) *browser {
	b.h.Helper()
	return b.shows("Sign in").fill("password", "name", u.Name, "password", password).shows("Second factor").fill("code", "code", b.h.code(u))
}

func s256(v string) string {
	sum := sha256.Sum256([]byte(v))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// request is an authorization request, with some of it changed: "-" takes out.
func (h *house) request(client, redirect string, pairs ...string) string {
	v := url.Values{
		"client_id": {client}, "redirect_uri": {redirect}, "response_type": {"code"}, "scope": {"openid profile offline_access User.Read"}, "state": {"the state"},
		"nonce": {"n-1"}, "code_challenge": {s256(verifier)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if v.Set(pairs[i], pairs[i+1]); pairs[i+1] == "-" {
			v.Del(pairs[i])
		}
	}
	return "/" + tenant + "/oauth2/v2.0/authorize?" + v.Encode()
}

// redeem is the request for a token with a code.
func (h *house) redeem(client, redirect, code string, pairs ...string) reply {
	h.Helper()
	v := url.Values{"grant_type": {"authorization_code"}, "client_id": {client}, "code": {code}, "redirect_uri": {redirect}, "code_verifier": {verifier}}
	if client == h.web {
		v.Set("client_secret", h.webSecret)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if v.Set(pairs[i], pairs[i+1]); pairs[i+1] == "-" {
			v.Del(pairs[i])
		}
	}
	return h.do("POST", "/"+tenant+"/oauth2/v2.0/token", v)
}

func (h *house) refresh(client, token string, pairs ...string) reply {
	h.Helper()
	v := url.Values{"grant_type": {"refresh_token"}, "client_id": {client}, "refresh_token": {token}, "client_info": {"1"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return h.do("POST", "/"+tenant+"/oauth2/v2.0/token", v)
}

// codeFor is what a program gets for somebody who is signed in and consents.
func (b *browser) codeFor(client, redirect string, pairs ...string) string {
	b.h.Helper()
	b.get(b.h.request(client, redirect, pairs...))
	if strings.HasPrefix(b.title(), "Allow") {
		b.fill("answer", "answer", "yes")
	}
	_, q := b.left()
	if q.Get("code") == "" {
		b.h.Fatalf("no code: %v", q)
	}
	return q.Get("code")
}

// TestAPersonSignsIn from the link that the administrator sends to the moment
// when they leave.
func TestAPersonSignsIn(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		b := h.browser("192.0.2.10:1")
		link := h.invite(h.ann)
		b.get(link).shows("Choose a password")
		b.get(link).shows("Choose a password").fill("password", "password", "short", "again", "short").shows("Choose a password")
		if !strings.Contains(b.problem(), "too short") {
			t.Errorf("a short password: %q", b.problem())
		}
		b.moveIn(h.ann).shows("Your account")
		b.get("/").shows("Your account")
		if h.browser("192.0.2.11:1").get(link).title() != "This link is not good any more" {
			t.Error("a link works twice")
		}

		// Elsewhere, a program wants to know who it is.
		c := h.browser("192.0.2.12:1")
		c.get(h.request(h.web, back)).signIn(h.ann).shows("Allow Number Portal to act for you?")
		for _, text := range []string{"Sign the user in", "Sign in and read who the user is", "Ann Archer", h.web} {
			if !strings.Contains(c.text(), text) {
				t.Errorf("the page of consent does not say %q", text)
			}
		}
		c.fill("answer", "answer", "yes")
		to, q := c.left()
		if to != back || q.Get("state") != "the state" || q.Get("iss") != base+"/"+tenant+"/v2.0" {
			t.Fatalf("%s %v", to, q)
		}
		got := h.redeem(h.web, back, q.Get("code"), "client_info", "1")
		if got.Code != 200 || got.text("token_type") != "Bearer" || got.text("refresh_token") == "" {
			t.Fatalf("%s", got.Body)
		}
		id, err := oidc.NewVerifier(base+"/"+tenant+"/v2.0", h.directory, &oidc.Config{ClientID: h.web, Now: time.Now}).Verify(t.Context(), got.text("id_token"))
		if err != nil {
			t.Fatal(err)
		}
		var claims map[string]any
		if err := id.Claims(&claims); err != nil || id.Nonce != "n-1" || id.Subject != h.ann.ID || claims["oid"] != h.ann.ID || claims["preferred_username"] != h.ann.Name || claims["tid"] != tenant {
			t.Errorf("%v %v", claims, err)
		}
		info, _ := base64.RawURLEncoding.DecodeString(got.text("client_info"))
		if string(info) != `{"uid":"`+h.ann.ID+`","utid":"`+tenant+`"}` {
			t.Errorf("client_info %s", info)
		}
		caller, err := h.directory.Verify(t.Context(), got.text("access_token"), login.Issuers(base, tenant), []string{directory.GraphID})
		if err != nil || caller.Object != h.ann.ID || caller.App != h.web || strings.Join(caller.Scopes, " ") == "" {
			t.Errorf("%+v %v", caller, err)
		}
		who := h.do("GET", "/"+tenant+"/openid/userinfo", nil, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+got.text("access_token")) })
		if who.text("sub") != id.Subject || who.text("name") != "Ann Archer" || who.text("email") != "ann@telecom.example" {
			t.Errorf("%s", who.Body)
		}
		if anyone := h.do("GET", "/"+tenant+"/openid/userinfo", nil); anyone.Code != 401 || anyone.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%d %v", anyone.Code, anyone.Header())
		}

		// Signed in, and consented to: no question any more.
		if to, q := c.get(h.request(h.web, back)).left(); to != back || q.Get("code") == "" {
			t.Errorf("%s %v", to, q)
		}
		if _, q := c.get(h.request(h.web, back, "prompt", "none", "response_mode", "fragment")).left(); q.Get("code") == "" {
			t.Errorf("prompt=none: %v", q)
		}
		c.get(h.request(h.web, back, "prompt", "login")).shows("Sign in")
		c.get(h.request(h.web, back, "prompt", "select_account")).shows("Which account?")
		time.Sleep(time.Minute)
		c.get(h.request(h.web, back, "max_age", "10")).shows("Sign in")
		c.get(h.request(h.web, back, "response_mode", "form_post")).shows("One moment")
		if !strings.Contains(c.body, `action="`+back+`"`) || !strings.Contains(c.last.Header.Get("Content-Security-Policy"), "form-action 'self' https://portal.telecom.example") {
			t.Errorf("%v\n%s", c.last.Header, c.text())
		}

		// Out. Without proof of who asks, the person is asked.
		c.get("/" + tenant + "/oauth2/v2.0/logout?" + url.Values{"client_id": {h.web}, "post_logout_redirect_uri": {back}, "state": {"bye"}}.Encode()).shows("Sign out?")
		if to, q := c.fill("proof").left(); to != back || q.Get("state") != "bye" {
			t.Errorf("%s %v", to, q)
		}
		c.get("/" + tenant + "/account").shows("Sign in")
		if _, q := c.get(h.request(h.web, back, "prompt", "none")).left(); q.Get("error") != "login_required" {
			t.Errorf("%v", q)
		}
		c.get("/" + tenant + "/account").signIn(h.ann).shows("Your account")
		c.get("/" + tenant + "/oauth2/v2.0/logout?" + url.Values{"id_token_hint": {got.text("id_token")}, "post_logout_redirect_uri": {"https://evil.example/"}}.Encode()).shows("You are signed out")
	})
}

// TestEveryPageMindsItsManners: the policy lets nothing in but what is there.
func TestEveryPageMindsItsManners(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		b := h.browser("192.0.2.10:1").moveIn(h.ann)
		strangers := h.browser("192.0.2.11:1")
		pages := []*browser{
			strangers.get("/" + tenant + "/signin"), b.get("/" + tenant + "/account"), h.browser("192.0.2.12:1").get(h.invite(h.bob)),
			h.browser("192.0.2.12:1").get("/" + tenant + "/password?link=x"), h.browser("192.0.2.12:1").get(h.request("x", back)),
		}
		inline := regexp.MustCompile(`(?s)<(style|script)>(.*?)</(?:style|script)>`)
		check := func(b *browser) {
			policy := b.last.Header.Get("Content-Security-Policy")
			for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
				if !strings.Contains(policy, want) {
					t.Errorf("%s: no %s in %q", b.title(), want, policy)
				}
			}
			for _, m := range inline.FindAllStringSubmatch(b.body, -1) {
				sum := sha256.Sum256([]byte(m[2]))
				if !strings.Contains(policy, m[1]+"-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
					t.Errorf("%s: a %s is not allowed by its hash", b.title(), m[1])
				}
			}
			if regexp.MustCompile(`<[^>]* (on[a-z]+|style)=`).MatchString(b.text()) || strings.Contains(policy, "unsafe") {
				t.Errorf("%s: something inline", b.title())
			}
			if b.last.Header.Get("Cache-Control") != "no-store" || b.last.Header.Get("X-Frame-Options") != "DENY" {
				t.Errorf("%s: %v", b.title(), b.last.Header)
			}
			for _, c := range b.last.Cookies() {
				if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
					t.Errorf("%s: cookie %v", b.title(), c)
				}
			}
			// Each field that people fill in has a label.
			for _, m := range regexp.MustCompile(`<input id="([^"]+)"`).FindAllStringSubmatch(b.body, -1) {
				if !strings.Contains(b.body, `<label for="`+m[1]+`">`) {
					t.Errorf("%s: %s has no label", b.title(), m[1])
				}
			}
		}
		for _, p := range pages {
			check(p)
		}
		check(b.get("/" + tenant + "/enrol"))
		check(b.get("/" + tenant + "/device"))
		check(b.get(h.request(h.native, loopback)))
		check(b.get("/" + tenant + "/adminconsent?client_id=" + h.robot))
	})
}

// TestAdminConsent is for administrators, and gives what the registration says.
func TestAdminConsent(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		at := "/" + tenant + "/adminconsent?" + url.Values{"client_id": {h.robot}}.Encode()
		bob := h.browser("192.0.2.20:1").moveIn(h.bob)
		if bob.get(at).shows("An administrator has to approve"); bob.last.StatusCode != 403 {
			t.Errorf("%s", bob.last.Status)
		}
		ann := h.browser("192.0.2.21:1").moveIn(h.ann)
		ann.get(at).shows("Allow Billing Service for everybody?")
		if !strings.Contains(ann.text(), "Read applications") || !strings.Contains(ann.text(), "by itself, without a signed-in user") {
			t.Errorf("%s", ann.text())
		}
		ann.fill("answer", "answer", "no").shows("Nothing was allowed")
		if _, err := h.directory.PrincipalOf(t.Context(), us, h.robot); err == nil {
			t.Error("declined, and there is a principal")
		}
		// Bob's own form with Ann's page: no.
		ann.get(at).fill("answer", "answer", "yes").shows("Consent is given")
		p := must[directory.ServicePrincipal](h)(h.directory.PrincipalOf(t.Context(), us, h.robot))
		if list, err := h.directory.AssignmentsOf(t.Context(), us, p.ID); err != nil || len(list) != 1 {
			t.Errorf("%v %v", list, err)
		}
		// With an address of the application's the answer goes there, and nowhere else.
		web := url.Values{"client_id": {h.web}, "redirect_uri": {back}, "state": {"s"}}
		if to, q := ann.get("/"+tenant+"/v2.0/adminconsent?"+web.Encode()).fill("answer", "answer", "yes").left(); to != back || q.Get("admin_consent") != "True" || q.Get("tenant") != tenant || q.Get("state") != "s" {
			t.Errorf("%s %v", to, q)
		}
		// A scope of ours, to which nobody can consent, is no defect.
		web.Set("scope", base+"//.default")
		if _, q := ann.get("/"+tenant+"/v2.0/adminconsent?"+web.Encode()).fill("answer", "answer", "yes").left(); q.Get("admin_consent") != "True" {
			t.Errorf("%v", q)
		}
		web.Set("redirect_uri", "https://evil.example/")
		ann.get("/" + tenant + "/adminconsent?" + web.Encode()).shows("This request cannot be answered")
	})
}

// TestConsentNeedsWhoMayGiveIt: what takes an administrator is not for others,
// neither by the page nor by a form that somebody makes.
func TestConsentNeedsWhoMayGiveIt(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		tools, scope := directory.GraphToolsID, "Application.Read.All AppRoleAssignment.ReadWrite.All openid profile offline_access"
		bob := h.browser("192.0.2.20:1").moveIn(h.bob)
		bob.get(h.request(tools, loopback, "scope", scope)).shows("An administrator has to approve")
		// He asks for little, and sends the form with more.
		bob.get(h.request(tools, loopback, "scope", "openid User.Read")).shows("Allow Microsoft Graph Command Line Tools to act for you?")
		bob.fill("answer", "answer", "yes", "all", "1").shows("An administrator has to approve")
		bob.get(h.request(tools, loopback, "scope", "openid User.Read")).fill("answer", "answer", "yes", "back", h.request(tools, loopback, "scope", scope)).shows("An administrator has to approve")
		if p, err := h.directory.PrincipalOf(t.Context(), us, tools); err == nil {
			t.Errorf("refused, and there is %s", p.DisplayName)
		}
		if _, q := bob.get(h.request(tools, loopback, "scope", "openid User.Read")).fill("answer", "answer", "no").left(); q.Get("error") != "access_denied" {
			t.Errorf("%v", q)
		}
		ann := h.browser("192.0.2.21:1").moveIn(h.ann)
		ann.get(h.request(tools, loopback, "scope", scope)).shows("Allow Microsoft Graph Command Line Tools to act for you?").fill("answer", "answer", "yes", "all", "1")
		if to, q := ann.left(); to != loopback || q.Get("code") == "" {
			t.Errorf("%s %v", to, q)
		}
		// Now it is allowed for everybody.
		if _, q := bob.get(h.request(tools, loopback, "scope", scope)).left(); q.Get("code") == "" {
			t.Errorf("%v", q)
		}
	})
}

// TestAProgramWithoutABrowser signs somebody in by a code they type elsewhere.
func TestAProgramWithoutABrowser(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		ask := func(client string) reply {
			return h.do("POST", "/"+tenant+"/oauth2/v2.0/devicecode", url.Values{"client_id": {client}, "scope": {base + "//.default openid offline_access profile"}})
		}
		poll := func(client, code string) reply {
			return h.do("POST", "/"+tenant+"/oauth2/v2.0/token", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {client}, "device_code": {code}})
		}
		if r := ask(h.web); r.text("error") != "invalid_client" {
			t.Errorf("a program with a secret: %s", r.Body)
		}
		d := ask(directory.AzureCLIID)
		code, typed := d.text("device_code"), d.text("user_code")
		if d.Code != 200 || !strings.Contains(d.text("message"), typed) || d.text("verification_uri") != base+"/"+tenant+"/device" {
			t.Fatalf("%s", d.Body)
		}
		if d.JSON["verification_uri_complete"] != nil {
			t.Error("there is a link that carries the code")
		}
		for i, want := range []string{"authorization_pending", "slow_down", "slow_down"} {
			if r := poll(directory.AzureCLIID, code); r.text("error") != want {
				t.Errorf("question %d: %s", i, r.Body)
			}
		}
		ann := h.browser("192.0.2.21:1").moveIn(h.ann)
		ann.get("/"+tenant+"/device").shows("Enter the code").fill("user_code", "user_code", strings.ToLower(strings.ReplaceAll(typed, "-", " "))).shows("Sign in to Microsoft Azure CLI?")
		if !strings.Contains(ann.text(), "192.0.2.1") {
			t.Error("the page does not say where the program asks from")
		}
		if r := poll(h.native, code); r.text("error") != "invalid_grant" {
			t.Errorf("a code of another program: %s", r.Body)
		}
		ann.fill("answer", "answer", "yes").shows("You are signed in")
		time.Sleep(time.Minute)
		got := poll(directory.AzureCLIID, code)
		if got.Code != 200 || got.text("refresh_token") == "" {
			t.Fatalf("%s", got.Body)
		}
		c, err := h.directory.Verify(t.Context(), got.text("access_token"), login.Issuers(base, tenant), []string{base})
		if err != nil || c.Object != h.ann.ID || strings.Join(c.Scopes, " ") != "user_impersonation" {
			t.Errorf("%+v %v", c, err)
		}
		if r := poll(directory.AzureCLIID, code); r.text("error") != "invalid_grant" {
			t.Errorf("a second time: %s", r.Body)
		}
		// No.
		d = ask(directory.AzureCLIID)
		ann.get("/"+tenant+"/device").fill("user_code", "user_code", d.text("user_code")).fill("answer", "answer", "no").shows("Cancelled")
		if r := poll(directory.AzureCLIID, d.text("device_code")); r.text("error") != "access_denied" {
			t.Errorf("%s", r.Body)
		}
		// Too late.
		d = ask(directory.AzureCLIID)
		time.Sleep(16 * time.Minute)
		if r := poll(directory.AzureCLIID, d.text("device_code")); r.text("error") != "expired_token" {
			t.Errorf("%s", r.Body)
		}
		// Nobody fills the store with codes.
		held := false
		for range 30 {
			held = held || ask(directory.AzureCLIID).Code == http.StatusTooManyRequests
		}
		if !held {
			t.Error("thirty codes at once")
		}
		// Ten guesses, then a pause.
		for range 10 {
			ann.get("/"+tenant+"/device").fill("user_code", "user_code", "BBBB-BBBB").shows("Enter the code")
		}
		if ann.get("/"+tenant+"/device").fill("user_code", "user_code", "CCCC-CCCC"); ann.last.StatusCode != http.StatusTooManyRequests {
			t.Errorf("the eleventh guess: %s", ann.last.Status)
		}
	})
}

func decode(t *testing.T, raw string) (claims map[string]any) {
	t.Helper()
	parts := strings.Split(raw, ".")
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(text, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// TestAProgramOfTheCatalogueIsDisabled: it is told so, and nothing that it was
// given is lost.
func TestAProgramOfTheCatalogueIsDisabled(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		tools := directory.GraphToolsID
		ann := h.browser("192.0.2.21:1").moveIn(h.ann)
		token := h.redeem(tools, loopback, ann.codeFor(tools, loopback)).text("refresh_token")
		p := must[directory.ServicePrincipal](h)(h.directory.PrincipalOf(t.Context(), us, tools))
		enable := func(is bool) {
			must[directory.ServicePrincipal](h)(h.directory.UpdatePrincipal(t.Context(), us, p.ID, func(p *directory.ServicePrincipal) error { p.Enabled = is; return nil }))
		}
		enable(false)
		if r := h.refresh(tools, token); r.Code != 400 || r.text("error") != "unauthorized_client" {
			t.Errorf("%d %s", r.Code, r.Body)
		}
		if ann.get(h.request(tools, loopback)); ann.last.StatusCode != 400 {
			t.Errorf("%s", ann.last.Status)
		}
		enable(true)
		if r := h.refresh(tools, token); r.Code != 200 {
			t.Errorf("%d %s", r.Code, r.Body)
		}
	})
}

// TestAProgramAsksWhereTheTenantIsLeftOpen: the resource is one of its own
// tenant.
func TestAProgramAsksWhereTheTenantIsLeftOpen(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		there := directory.Ourselves(secondTenant, "test")
		api := must[directory.Application](h)(h.directory.CreateApplication(t.Context(), there, directory.Application{DisplayName: "API", URIs: []string{"https://second.example/api"}}))
		must[directory.ServicePrincipal](h)(h.directory.AddPrincipal(t.Context(), there, api.AppID, ""))
		robot := must[directory.Application](h)(h.directory.CreateApplication(t.Context(), there, directory.Application{DisplayName: "Robot"}))
		must[directory.ServicePrincipal](h)(h.directory.AddPrincipal(t.Context(), there, robot.AppID, ""))
		_, value, err := h.directory.AddSecret(t.Context(), there, robot.AppID, "first", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		ask := func(scope string) reply {
			return h.do("POST", "/common/oauth2/v2.0/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {robot.AppID}, "client_secret": {string(value)}, "scope": {scope}})
		}
		if r := ask("https://second.example/api/.default"); r.Code != 200 || decode(t, r.text("access_token"))["tid"] != secondTenant {
			t.Errorf("%d %s", r.Code, r.Body)
		}
		if r := ask("https://nobody.example/.default"); r.text("error") != "invalid_resource" {
			t.Errorf("%d %s", r.Code, r.Body)
		}
		h.webSecret = string(value) // not in the log
	})
}

// TestThePersonDecidesWhichTenant where the path leaves it to them, and what is
// of one tenant is nothing in another.
func TestThePersonDecidesWhichTenant(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		cy, err := h.directory.CreateUser(t.Context(), directory.Ourselves(secondTenant, "test"), directory.User{Name: "cy@second.example", DisplayName: "Cy", Enabled: true})
		if err != nil {
			t.Fatal(err)
		}
		i, err := h.directory.Invite(t.Context(), directory.Ourselves(secondTenant, "test"), cy.ID, false)
		if err != nil {
			t.Fatal(err)
		}
		b := h.browser("192.0.2.50:1")
		b.get(string(login.InvitationURL(base, secondTenant, i))).shows("Choose a password").fill("password", "password", password, "again", password).shows("Add a second factor")
		h.seed["cy"] = strings.ReplaceAll(seedOf.FindStringSubmatch(b.body)[1], " ", "")
		b.fill("code", "code", h.code(cy)).shows("Recovery codes")

		request := strings.Replace(h.request(directory.GraphToolsID, loopback, "scope", "openid profile User.Read"), tenant, "common", 1)
		c := h.browser("192.0.2.51:1")
		c.get(request).signIn(cy).shows("Allow Microsoft Graph Command Line Tools to act for you?")
		if !strings.Contains(c.text(), "<small>second.example</small>") {
			t.Errorf("the page does not say which tenant: %s", c.text())
		}
		_, q := c.fill("answer", "answer", "yes").left()
		if q.Get("iss") != base+"/"+secondTenant+"/v2.0" {
			t.Errorf("%v", q)
		}
		if r := h.redeem(directory.GraphToolsID, loopback, q.Get("code")); r.text("error") != "invalid_grant" { // at the first tenant
			t.Errorf("a code of another tenant: %s", r.Body)
		}
		_, q = c.get(request).left()
		v := url.Values{"grant_type": {"authorization_code"}, "client_id": {directory.GraphToolsID}, "code": {q.Get("code")}, "redirect_uri": {loopback}, "code_verifier": {verifier}}
		got := h.do("POST", "/common/oauth2/v2.0/token", v)
		if claims := decode(t, got.text("id_token")); claims["tid"] != secondTenant || claims["iss"] != base+"/"+secondTenant+"/v2.0" {
			t.Errorf("%v", claims)
		}
		c.get("/" + tenant + "/account").shows("Sign in")
		if c.fill("password", "name", cy.Name, "password", password).shows("Sign in"); c.last.StatusCode != 401 {
			t.Errorf("at another tenant: %s", c.last.Status)
		}
		if found := h.do("GET", "/common/v2.0/.well-known/openid-configuration", nil); found.text("issuer") != base+"/{tenantid}/v2.0" {
			t.Errorf("%s", found.text("issuer"))
		}
	})
}
