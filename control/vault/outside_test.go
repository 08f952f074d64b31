package vault_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/vault"
)

// elsewhere is a directory and a vault of somebody else's, which do as told.
type elsewhere struct {
	*httptest.Server
	login  func(w http.ResponseWriter, r *http.Request) // of a sign-in
	answer func(w http.ResponseWriter, r *http.Request) // of who has a token
	tokens atomic.Int32                                 // given
}

// newElsewhere lets in who has the secret or the assertion "good", and has
// value in each secret.
func newElsewhere(t *testing.T, value string) *elsewhere {
	t.Helper()
	e := &elsewhere{}
	e.login = func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("client_secret") != "good" && r.PostFormValue("client_assertion") != "good" {
			says(w, 401, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided: canary."}`)
			return
		}
		says(w, 200, fmt.Sprintf(`{"token_type":"Bearer","expires_in":3600,"access_token":"t%d"}`, e.tokens.Add(1)))
	}
	e.answer = func(w http.ResponseWriter, r *http.Request) {
		says(w, 200, fmt.Sprintf(`{"value":%q,"id":"https://%s/secrets/x/1"}`, value, r.Host))
	}
	e.Server = httptest.NewTLSServer(http.HandlerFunc(e.serve))
	t.Cleanup(func() {
		e.Client().CloseIdleConnections()
		e.Close()
	})
	return e
}

func says(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprint(w, body)
}

func (e *elsewhere) serve(w http.ResponseWriter, r *http.Request) {
	at := e.URL + "/" + tenant
	switch {
	case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
		says(w, 200, fmt.Sprintf(`{"issuer":"%[1]s/v2.0","token_endpoint":"%[1]s/oauth2/v2.0/token","authorization_endpoint":"%[1]s/oauth2/v2.0/authorize"}`, at))
	case strings.HasSuffix(r.URL.Path, "/token"):
		e.login(w, r)
	case r.Header.Get("Authorization") == "":
		// A vault's host is below the resource that it names: the client looks.
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization="%s", resource="https://%s"`, at, strings.TrimPrefix(r.Host, "127.")))
		w.WriteHeader(http.StatusUnauthorized)
	default:
		e.answer(w, r)
	}
}

// reader reads with a secret that changes, or with an assertion.
func (e *elsewhere) reader(t *testing.T, change func(*vault.OutsideConfig)) *vault.Outside {
	t.Helper()
	c := vault.OutsideConfig{URL: e.URL, LoginURL: e.URL, Tenant: tenant, Client: reader, HTTP: e.Client()}
	change(&c)
	o, err := vault.NewOutside(c)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func of(s string) func(context.Context) (obs.Secret, error) {
	return func(context.Context) (obs.Secret, error) { return obs.Secret(s), nil }
}

// TestAnIssuerThatIsAwayIsNoRefusal: only who answers that the application is
// not let in is heeded. One that fails, throttles or is silent leaves the last
// good value in memory.
func TestAnIssuerThatIsAwayIsNoRefusal(t *testing.T) {
	refusing := func(status int, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "0")
			says(w, status, body)
		}
	}
	for name, tt := range map[string]struct {
		login, answer func(http.ResponseWriter, *http.Request)
		want          fault.Kind
	}{
		"the issuer fails":               {login: refusing(500, `{}`), want: fault.Unavailable},
		"the issuer is being mended":     {login: refusing(503, "<html>later</html>"), want: fault.Unavailable},
		"the issuer throttles":           {login: refusing(429, `{"error":"throttled"}`), want: fault.Unavailable},
		"the issuer hangs up":            {login: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, want: fault.Unavailable},
		"the secret is wrong":            {login: refusing(401, `{"error":"invalid_client","error_description":"AADSTS7000215: canary"}`), want: fault.Denied},
		"the application is not there":   {login: refusing(400, `{"error":"unauthorized_client","error_description":"AADSTS700016: canary"}`), want: fault.Denied},
		"the vault fails":                {answer: refusing(500, `{}`), want: fault.Unavailable},
		"the vault throttles":            {answer: refusing(429, `{"error":{"code":"Throttled","message":"canary"}}`), want: fault.Unavailable},
		"the vault hangs up":             {answer: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, want: fault.Unavailable},
		"no access policy":               {answer: refusing(403, `{"error":{"code":"Forbidden","message":"canary"}}`), want: fault.Denied},
		"a refusal in strange words":     {answer: refusing(403, `{"error":{"code":"canary\u001b[2J","message":"x"}}`), want: fault.Denied},
		"the secret is no more":          {answer: refusing(404, `{"error":{"code":"SecretNotFound","message":"canary"}}`), want: fault.NotFound},
		"the vault answers with nothing": {answer: refusing(200, `{}`), want: fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			e := newElsewhere(t, "canary-1")
			good := func(c *vault.OutsideConfig) { c.Secret = of("good") }
			o := e.reader(t, good)
			m := vault.NewMemory(shelfFunc(func(ctx context.Context, name string) (obs.Secret, error) { return o.Value(ctx, name) }), nil)
			if v, err := m.Value(t.Context(), "client-secret"); v != "canary-1" || err != nil {
				t.Fatalf("%q, %v", string(v), err)
			}
			if tt.login != nil {
				e.login = tt.login
				o = e.reader(t, good) // which has no token yet
			} else {
				e.answer = tt.answer
			}
			v, err := m.Value(t.Context(), "client-secret")
			switch since, _ := m.Away(); {
			case tt.want == fault.Unavailable && (v != "canary-1" || err != nil || since.IsZero()):
				t.Errorf("the last good value is not used: %q, %v", string(v), err)
			case tt.want != fault.Unavailable && (v != "" || fault.Of(err) != tt.want || !since.IsZero() || strings.Contains(err.Error(), "canary")):
				t.Errorf("%q, %v", string(v), err)
			}
		})
	}
}

// TestAVaultElsewhereIsReadByWhatItsReaderHas: a secret that changes is used as
// it is at each sign-in, and an assertion is one as well.
func TestAVaultElsewhereIsReadByWhatItsReaderHas(t *testing.T) {
	e := newElsewhere(t, "canary-1")
	secret := "bad"
	o := e.reader(t, func(c *vault.OutsideConfig) {
		c.Secret = func(context.Context) (obs.Secret, error) { return obs.Secret(secret), nil }
	})
	if _, err := o.Value(t.Context(), "client-secret"); fault.Of(err) != fault.Denied {
		t.Errorf("%v", err)
	}
	secret = "good"
	if v, err := o.Value(t.Context(), "client-secret"); v != "canary-1" || err != nil {
		t.Errorf("%q, %v", string(v), err)
	}
	o = e.reader(t, func(c *vault.OutsideConfig) { c.Assertion = of("good") })
	if v, err := o.Value(t.Context(), "client-secret"); v != "canary-1" || err != nil {
		t.Errorf("by an assertion: %q, %v", string(v), err)
	}
	if _, err := vault.NewOutside(vault.OutsideConfig{URL: e.URL, Tenant: tenant, Client: reader}); err == nil {
		t.Error("nothing to sign in with")
	}
}

func TestWhereASecretIs(t *testing.T) {
	for text, want := range map[string]string{
		"https://billing.vault.telecom.example/secrets/client-secret":      "billing client-secret",
		"https://Billing.Vault.Telecom.Example:8443/secrets/client-secret": "billing client-secret",
		"https://billing.vault.azure.net/secrets/client-secret":            " client-secret",
		"https://vault.telecom.example/secrets/x":                          " x",
		"https://a.billing.vault.telecom.example/secrets/x":                " x",
		"https://evilvault.telecom.example/secrets/x":                      " x",
		"http://billing.vault.telecom.example/secrets/x":                   "",
		"https://billing.vault.telecom.example/secrets/x/0123456789abcdef": "",
		"https://billing.vault.telecom.example/secrets/../keys/x":          "",
		"https://billing.vault.telecom.example/secrets/x?api-version=7.4":  "",
		"https://u:canary@billing.vault.telecom.example/secrets/x":         "",
		"https://billing.vault.telecom.example/keys/x":                     "",
		"billing/client-secret":                                            "",
		"":                                                                 "",
	} {
		a, err := vault.ParseAddress(text)
		got := ""
		if err == nil {
			got = a.Below("vault.telecom.example") + " " + a.Secret
		}
		if got != want {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}
