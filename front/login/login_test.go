package login_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/front/arm"
	"github.com/tandemgw/tandem/front/login"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tenant = "00000000-0000-4000-8000-00000000000a"
	app    = "00000000-0000-4000-8000-0000000000b1"
	secret = "canary-of-the-secret~8Q"
	base   = "https://api.telecom.example:8443"
)

// door is the endpoint, with what it logs.
type door struct {
	testing.TB
	http.Handler
	directory *directory.Set
	log       *bytes.Buffer
}

func open(t testing.TB) *door {
	t.Helper()
	d := &door{TB: t, log: &bytes.Buffer{}}
	log := slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := storetest.New(t)
	var err error
	d.directory, err = directory.Open(t.Context(), directory.Config{
		Store: s, Tenant: directory.Tenant{ID: tenant, Name: "lab.telecom.example"}, Log: log,
		Clients: []directory.Client{{ID: app, Name: "onboarding", Secret: obs.Secret(secret)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	d.Handler = login.Handler(login.Config{Directory: d.directory, URL: base, Resources: []string{base + "/", "https://vault.telecom.example", "797f4846-ba00-4fd7-ba43-dac1f8f63013"}, Log: log})
	t.Cleanup(func() {
		for _, canary := range []string{secret, "eyJ"} {
			if strings.Contains(d.log.String(), canary) {
				t.Errorf("the log shows %q", canary)
			}
		}
	})
	return d
}

type reply struct {
	*httptest.ResponseRecorder
	JSON map[string]any
}

func (r reply) text(name string) string { return fmt.Sprint(r.JSON[name]) }

func (d *door) do(method, path string, form url.Values, change ...func(*http.Request)) reply {
	d.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.RemoteAddr = "192.0.2.1:1234"
	for _, f := range change {
		f(r)
	}
	rec := httptest.NewRecorder()
	d.ServeHTTP(rec, r)
	out := reply{ResponseRecorder: rec}
	if err := json.Unmarshal(rec.Body.Bytes(), &out.JSON); err != nil {
		d.Fatalf("%s %s: %v: %s", method, path, err, rec.Body)
	}
	return out
}

// form is a request for a token, with some of it changed: a value "-" takes the
// field out.
func form(pairs ...string) url.Values {
	v := url.Values{"grant_type": {"client_credentials"}, "client_id": {app}, "client_secret": {secret}, "scope": {base + "//.default openid offline_access profile"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		if v.Set(pairs[i], pairs[i+1]); pairs[i+1] == "-" {
			v.Del(pairs[i])
		}
	}
	return v
}

// TestEachFormOfTheEndpointLeadsToAToken that the resource API believes: from
// the discovery document, as libraries do it, whose keys verify it.
func TestEachFormOfTheEndpointLeadsToAToken(t *testing.T) {
	d := open(t)
	tokens := arm.NewTokens(d.directory, login.Issuers(base, tenant), []string{base + "/"}, tenant)
	for _, tt := range []struct{ discovery, issuer string }{
		{"/" + tenant + "/v2.0/.well-known/openid-configuration", base + "/" + tenant + "/v2.0"},
		{"/lab.telecom.example/v2.0/.well-known/openid-configuration", base + "/" + tenant + "/v2.0"},
		{"/" + tenant + "/.well-known/openid-configuration", base + "/" + tenant + "/"},
		{"/adfs/.well-known/openid-configuration", base + "/adfs"},
		{"/common/v2.0/.well-known/openid-configuration", base + "/" + tenant + "/v2.0"},
		{"/organizations/v2.0/.well-known/openid-configuration", base + "/" + tenant + "/v2.0"},
		{"/ADFS/.Well-Known/openid-configuration/", base + "/adfs"},
	} {
		t.Run(tt.discovery, func(t *testing.T) {
			found := d.do("GET", tt.discovery, nil)
			if found.text("issuer") != tt.issuer || found.text("authorization_endpoint") == "" || found.text("device_authorization_endpoint") == "" {
				t.Fatalf("%s", found.Body)
			}
			if keys := d.do("GET", strings.TrimPrefix(found.text("jwks_uri"), base), nil); len(keys.JSON["keys"].([]any)) != 1 || strings.Contains(keys.Body.String(), `"d"`) {
				t.Errorf("%s", keys.Body)
			}
			at := strings.TrimPrefix(found.text("token_endpoint"), base)
			got := d.do("POST", at, form())
			if got.Code != 200 || got.text("token_type") != "Bearer" || got.text("expires_in") != "3599" || got.text("ext_expires_in") != "3599" || got.Header().Get("Cache-Control") != "no-store" {
				t.Fatalf("%d %s", got.Code, got.Body)
			}
			p, err := tokens.Verify(t.Context(), got.text("access_token"))
			if err != nil || p.App != app || p.Tenant != tenant || p.Object != directory.ObjectID(tenant, app) || p.Name != "onboarding" {
				t.Errorf("%+v, %v", p, err)
			}
			if _, err := oidc.NewVerifier(tt.issuer, d.directory, &oidc.Config{ClientID: base + "/"}).Verify(t.Context(), got.text("access_token")); err != nil {
				t.Errorf("the issuer of the token is not the one of the document: %v", err)
			}
		})
	}
}

func TestTheAudienceIsTheResourceThatWasAskedFor(t *testing.T) {
	d := open(t)
	for _, tt := range []struct{ path, field, value, audience string }{
		{"/oauth2/v2.0/token", "scope", base + "//.default", base + "/"},
		{"/oauth2/v2.0/token", "scope", base + "/.default", base},
		{"/oauth2/v2.0/token", "scope", "OPENID https://vault.telecom.example/.default", "https://vault.telecom.example"},
		{"/oauth2/v2.0/token", "scope", "797f4846-ba00-4fd7-ba43-dac1f8f63013/.default", "797f4846-ba00-4fd7-ba43-dac1f8f63013"},
		{"/oauth2/token", "resource", base + "/", base + "/"},
	} {
		v := form("scope", "-")
		v.Set(tt.field, tt.value)
		got := d.do("POST", "/"+tenant+tt.path, v)
		token, err := oidc.NewVerifier("", d.directory, &oidc.Config{ClientID: tt.audience, SkipIssuerCheck: true}).Verify(t.Context(), got.text("access_token"))
		if err != nil {
			t.Errorf("%s: %v: %s", tt.value, err, got.Body)
			continue
		}
		if len(token.Audience) != 1 {
			t.Errorf("%s: %v", tt.value, token.Audience)
		}
	}
	// The older form has its numbers in quotes.
	got := d.do("POST", "/"+tenant+"/oauth2/token", form("scope", "-", "resource", base))
	for _, name := range []string{"expires_in", "expires_on", "not_before", "resource"} {
		if _, is := got.JSON[name].(string); !is {
			t.Errorf("%s is %v", name, got.JSON[name])
		}
	}
}

func TestWhatIsRefusedIsToldInTheWordsThatPeopleLookFor(t *testing.T) {
	d := open(t)
	token := "/" + tenant + "/oauth2/v2.0/token"
	basic := func(r *http.Request) { r.SetBasicAuth(app, "wrong") }
	for _, tt := range []struct {
		name, method, path string
		form               url.Values
		change             func(*http.Request)
		status             int
		word               string
		code               int
	}{
		{"a wrong secret", "POST", token, form("client_secret", "wrong"), nil, 401, "invalid_client", 7000215},
		{"a wrong secret in the header", "POST", token, form("client_id", "-", "client_secret", "-"), basic, 401, "invalid_client", 7000215},
		{"no such application", "POST", token, form("client_id", tenant), nil, 400, "unauthorized_client", 700016},
		{"no secret", "POST", token, form("client_secret", "-"), nil, 401, "invalid_client", 7000216},
		{"no application", "POST", token, form("client_id", "-"), nil, 400, "invalid_request", 900144},
		{"a long application", "POST", token, form("client_id", strings.Repeat("x", 200)), nil, 400, "invalid_request", 90013},
		{"no grant", "POST", token, form("grant_type", "-"), nil, 400, "invalid_request", 900144},
		{"another grant", "POST", token, form("grant_type", "password"), nil, 400, "unsupported_grant_type", 70003},
		{"an assertion beside a secret", "POST", token, form("client_assertion", "x"), nil, 400, "invalid_request", 7000218},
		{"no scope", "POST", token, form("scope", "openid"), nil, 400, "invalid_request", 900144},
		{"a scope that is not all", "POST", token, form("scope", base+"/user_impersonation"), nil, 400, "invalid_scope", 1002012},
		{"two resources", "POST", token, form("scope", base+"/.default https://vault.telecom.example/.default"), nil, 400, "invalid_scope", 28000},
		{"no such resource", "POST", token, form("scope", "https://evil.example/.default"), nil, 400, "invalid_resource", 500011},
		{"no form", "POST", token, form(), func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 400, "invalid_request", 900144},
		{"a broken form", "POST", token, nil, func(r *http.Request) { r.Body = http.NoBody; r.URL.RawQuery = "%zz"; r.Form = nil }, 400, "invalid_request", 90013},
		{"a secret in the URL", "POST", token + "?" + form().Encode(), url.Values{}, nil, 400, "invalid_request", 900144},
		{"no such tenant", "POST", "/" + app + "/oauth2/v2.0/token", form(), nil, 400, "invalid_tenant", 90002},
		{"GET", "GET", token, nil, nil, 405, "invalid_request", 900561},
		{"nothing", "GET", "/" + tenant + "/oauth2/nothing", nil, nil, 404, "invalid_request", 90023},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var changes []func(*http.Request)
			if tt.change != nil {
				changes = append(changes, tt.change)
			}
			r := d.do(tt.method, tt.path, tt.form, changes...)
			codes, _ := r.JSON["error_codes"].([]any)
			if r.Code != tt.status || r.text("error") != tt.word || len(codes) != 1 || codes[0] != float64(tt.code) || !strings.HasPrefix(r.text("error_description"), fmt.Sprintf("AADSTS%d: ", tt.code)) {
				t.Errorf("%d %s", r.Code, r.Body)
			}
			for _, name := range []string{"timestamp", "trace_id", "correlation_id"} {
				if r.text(name) == "" {
					t.Errorf("%s is missing", name)
				}
			}
			if strings.Contains(r.Body.String(), secret) {
				t.Error("the answer shows the secret")
			}
		})
	}
	if r := d.do("POST", token, form("client_id", "-", "client_secret", "-"), func(r *http.Request) { r.SetBasicAuth(app, secret) }); r.Code != 200 {
		t.Errorf("credentials in the header: %s", r.Body)
	}
}

// TestWhoGuessesWaits while those who know the secret do not, unless they sit
// at the same address.
func TestWhoGuessesWaits(t *testing.T) {
	d := open(t)
	synctest.Test(t, func(t *testing.T) {
		from := func(a string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = a } }
		ask := func(secret, address string) reply {
			return d.do("POST", "/"+tenant+"/oauth2/v2.0/token", form("client_secret", secret), from(address))
		}
		if r := ask(secret, "198.51.100.7:1"); r.Code != 200 {
			t.Fatalf("%s", r.Body)
		}
		for i := range 20 {
			if r := ask("wrong", fmt.Sprintf("[2001:db8:0:1::%x]:1", i)); r.Code != 401 { // one network
				t.Fatalf("try %d: %d %s", i, r.Code, r.Body)
			}
		}
		held := ask(secret, "[2001:db8:0:1::ffff]:1")
		if held.Code != 429 || held.Header().Get("Retry-After") != "15" || !strings.Contains(held.text("error_description"), "AADSTS50196") {
			t.Errorf("%d %v %s", held.Code, held.Header(), held.Body)
		}
		if r := ask("wrong", "[2001:db8:0:2::1]:1"); r.Code != 401 {
			t.Errorf("from elsewhere: %d", r.Code)
		}
		for i := range 60 { // many addresses
			ask("wrong", fmt.Sprintf("203.0.113.%d:1", i))
		}
		if r := ask(secret, "192.0.2.77:1"); r.Code != 429 {
			t.Errorf("an application that is being guessed, from an address that was never right: %d", r.Code)
		}
		if r := ask(secret, "198.51.100.7:2"); r.Code != 200 {
			t.Errorf("who was right before is locked out: %s", r.Body)
		}
		time.Sleep(15 * time.Minute)
		if r := ask(secret, "192.0.2.77:1"); r.Code != 200 {
			t.Errorf("after a while: %s", r.Body)
		}
	})
}

// TestGuessesAtOnceAreCountedToo: those that are on their way when the limit is
// reached are held back as well.
func TestGuessesAtOnceAreCountedToo(t *testing.T) {
	d := open(t)
	var tried, held atomic.Int32
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			switch r := d.do("POST", "/"+tenant+"/oauth2/v2.0/token", form("client_secret", "wrong")); r.Code {
			case 401:
				tried.Add(1)
			case 429:
				held.Add(1)
			}
		})
	}
	all.Wait()
	if n := tried.Load(); n < 20 || n > 22 || n+held.Load() != 200 {
		t.Errorf("%d secrets were tried, %d were held back", n, held.Load())
	}
}

// FuzzToken: no form of a request is a defect of ours, or gets a token without
// the secret.
func FuzzToken(f *testing.F) {
	f.Add("POST", "/"+tenant+"/oauth2/v2.0/token", form("client_secret", "x").Encode(), "Basic x")
	f.Add("POST", "/adfs/oauth2/token/", form("client_secret", "x", "scope", "/.default /.default").Encode(), "Basic Og==")
	f.Add("GET", "/"+tenant+"/v2.0/.well-known/openid-configuration", "", "")
	d := open(f)
	f.Fuzz(func(t *testing.T, method, path, body, header string) {
		r, err := http.NewRequest(method, "/", strings.NewReader(body))
		if err != nil {
			t.Skip()
		}
		r.URL = &url.URL{Path: path}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", header)
		r.RemoteAddr = path
		rec := httptest.NewRecorder()
		d.ServeHTTP(rec, r)
		shown := json.Valid(rec.Body.Bytes()) || strings.HasPrefix(rec.Body.String(), "<!doctype html>") || rec.Code == 303 || rec.Code == 204 || method == http.MethodHead
		if rec.Code >= 500 || !shown || strings.Contains(rec.Body.String(), "access_token") {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
		d.log.Reset()
	})
}
