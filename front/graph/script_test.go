package graph_test

import (
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
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/front/graph"
	"github.com/tandemgw/tandem/front/login"
)

// browser is a person's, for whom one handler is all of the web.
type browser struct {
	testing.TB
	client *http.Client
	at     string
	page   string
	left   string // where it was sent that is not here
}

func newBrowser(t testing.TB, at string, h http.Handler) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{TB: t, at: at}
	b.client = &http.Client{Jar: jar, Transport: trip(func(r *http.Request) (*http.Response, error) {
		in := r.Clone(r.Context())
		in.RemoteAddr, in.RequestURI, in.Host = "192.0.2.17:1", r.URL.RequestURI(), r.URL.Host
		if in.Body == nil {
			in.Body = http.NoBody
		}
		in.Header.Set("Sec-Fetch-Site", "same-origin")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, in)
		res := rec.Result()
		res.Request = r
		return res, nil
	}), CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), at) {
			b.left = r.URL.String()
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return b
}

type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (b *browser) take(res *http.Response, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.Fatal(err)
	}
	b.page = string(text)
}

func (b *browser) open(url string) {
	b.Helper()
	b.take(b.client.Get(url))
}

var (
	formOf   = regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>`)
	hiddenIn = regexp.MustCompile(`<input type="hidden" name="([^"]+)"(?: autocomplete="[^"]*")? value="([^"]*)"`)
	seedIn   = regexp.MustCompile(`<span class="seed">([^<]*)</span>`)
)

// fill sends the form that has a field of a name.
func (b *browser) fill(field string, pairs ...string) {
	b.Helper()
	for _, m := range formOf.FindAllStringSubmatch(b.page, -1) {
		if !strings.Contains(m[2], field) {
			continue
		}
		v := url.Values{}
		for _, x := range hiddenIn.FindAllStringSubmatch(m[2], -1) {
			v.Set(html.UnescapeString(x[1]), html.UnescapeString(x[2]))
		}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		b.take(b.client.PostForm(b.at+html.UnescapeString(m[1]), v))
		return
	}
	b.Fatalf("no form with %q in\n%s", field, b.page)
}

// TestThePowerShellScriptAsItsExchange is the whole of "Set up application roles
// for Azure Communications Gateway": Connect-MgGraph with its two scopes, by
// authorization code and PKCE with the loopback address (RFC 8252 §7.3), the
// prompt of "Microsoft Graph Command Line Tools", and the script itself, with
// the token that comes of it.
func TestThePowerShellScriptAsItsExchange(t *testing.T) {
	const scopes = "Application.Read.All AppRoleAssignment.ReadWrite.All"
	w := newWorld(t, func(c *graph.Config) { c.LoginURL, c.Issuers = api, login.Issuers(api, tenant) })
	signIn := login.Handler(login.Config{Directory: w.directory, URL: api, Log: slog.New(slog.DiscardHandler)})
	everything := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1.0/") {
			w.handler.ServeHTTP(rw, r)
			return
		}
		signIn.ServeHTTP(rw, r)
	})
	ann, err := w.directory.CreateUser(t.Context(), w.ours, directory.User{Name: "ann@telecom.example", DisplayName: "Ann", Enabled: true})
	w.must(err)
	w.must(w.directory.AssignDirectoryRole(t.Context(), w.ours, directory.GlobalAdministrator, ann.ID))
	synergy, err := w.directory.AddPrincipal(t.Context(), w.ours, directory.SynergyID, "Operator Connect")
	w.must(err)
	gateway, _ := w.program("contoso-gateway")

	b := newBrowser(t, api, everything)
	link, err := w.directory.Invite(t.Context(), w.ours, ann.ID, true)
	w.must(err)
	b.open(string(login.InvitationURL(api, tenant, link)))
	b.fill("password", "password", "four words by nobody", "again", "four words by nobody")
	seed := seedIn.FindStringSubmatch(b.page)
	if seed == nil {
		t.Fatalf("no seed in\n%s", b.page)
	}
	code, err := totp.GenerateCode(strings.ReplaceAll(seed[1], " ", ""), time.Now())
	w.must(err)
	b.fill("code", "code", code)

	// Connect-MgGraph -Scopes "Application.Read.All", "AppRoleAssignment.ReadWrite.All" -TenantId "…"
	const verifier = "a-verifier-of-at-least-forty-three-characters-0"
	sum := sha256.Sum256([]byte(verifier))
	request := url.Values{
		"client_id": {directory.GraphToolsID}, "redirect_uri": {"http://localhost:53682"}, "response_type": {"code"}, "scope": {scopes + " openid profile offline_access"}, "state": {"s"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}, "prompt": {"select_account"},
	}
	b.open(api + "/" + tenant + "/oauth2/v2.0/authorize?" + request.Encode())
	if strings.Contains(b.page, "Which account?") {
		request.Del("prompt")
		b.open(api + "/" + tenant + "/oauth2/v2.0/authorize?" + request.Encode())
	}
	for _, text := range []string{"Microsoft Graph Command Line Tools", "Read applications", "Manage app role assignments"} {
		if !strings.Contains(b.page, text) {
			t.Errorf("the prompt does not say %q:\n%s", text, b.page)
		}
	}
	b.fill("answer", "answer", "yes")
	back, err := url.Parse(b.left)
	w.must(err)
	if back.Host != "localhost:53682" || back.Query().Get("code") == "" || back.Query().Get("state") != "s" {
		t.Fatalf("sent to %s", b.left)
	}
	b.take(b.client.PostForm(api+"/"+tenant+"/oauth2/v2.0/token", url.Values{
		"grant_type": {"authorization_code"}, "client_id": {directory.GraphToolsID}, "code": {back.Query().Get("code")}, "redirect_uri": {"http://localhost:53682"}, "code_verifier": {verifier},
	}))
	var token struct {
		AccessToken string `json:"access_token"`
		Scope       string `json:"scope"`
	}
	w.must(json.Unmarshal([]byte(b.page), &token))
	for scope := range strings.FieldsSeq(scopes) {
		if !strings.Contains(token.Scope, scope) {
			t.Fatalf("the token is for %q", token.Scope)
		}
	}
	if assigned := w.script(token.AccessToken, synergy, gateway); assigned != 7 {
		t.Errorf("the script assigned %d roles", assigned)
	}
	if assigned := w.script(token.AccessToken, synergy, gateway); assigned != 0 {
		t.Errorf("the second time it assigned %d roles", assigned)
	}
	// What was not asked for is not allowed, whoever Ann is.
	w.ask(token.AccessToken, "POST", "/applications", object{"displayName": "x"}).is(403)
}
