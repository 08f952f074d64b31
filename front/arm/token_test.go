package arm_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/front/arm"
)

// mint signs tokens as somebody else's issuer does.
type mint struct {
	testing.TB
	key    *rsa.PrivateKey
	issuer string
}

func newMint(t testing.TB) *mint {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return &mint{t, key, "https://sts.example/" + tenant + "/v2.0"}
}

// token has the claims of an application's token, with some changed; nil takes
// one out.
func (m *mint) token(change map[string]any) string {
	m.Helper()
	now := time.Now()
	claims := map[string]any{
		"iss": m.issuer, "aud": base + "/", "sub": "the-object", "oid": "the-object", "tid": tenant, "appid": "the-app", "idtyp": "app", "app_displayname": "the name",
		"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(claims, change)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	sign, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: m.key}, (&jose.SignerOptions{}).WithHeader("kid", "one"))
	if err != nil {
		m.Fatal(err)
	}
	raw, err := jwt.Signed(sign).Claims(claims).Serialize()
	if err != nil {
		m.Fatal(err)
	}
	return raw
}

func TestWhoseATokenIs(t *testing.T) {
	m := newMint(t)
	keys := &oidc.StaticKeySet{PublicKeys: []crypto.PublicKey{&m.key.PublicKey}}
	tokens := arm.NewTokens(keys, []string{m.issuer}, append([]string{base + "/"}, arm.AzureAudiences...), tenant)
	app := subscription.Principal{Tenant: tenant, Object: "the-object", App: "the-app", Name: "the name"}
	nameless := app
	nameless.Name = ""
	user := subscription.Principal{Tenant: tenant, Object: "the-object", Name: "ann@telecom.example"}
	for _, tt := range []struct {
		name   string
		change map[string]any
		want   subscription.Principal
		code   string
	}{
		{"an application", nil, app, ""},
		{"an audience without its slash", map[string]any{"aud": base}, app, ""},
		{"an audience with two", map[string]any{"aud": base + "//"}, app, ""},
		{"Azure's audience", map[string]any{"aud": "https://management.core.windows.net/"}, app, ""},
		{"Azure's application", map[string]any{"aud": []string{"797F4846-ba00-4fd7-ba43-dac1f8f63013"}}, app, ""},
		{"of version 2.0", map[string]any{"appid": nil, "azp": "the-app"}, app, ""},
		{"without idtyp, for itself", map[string]any{"idtyp": nil}, app, ""},
		{"of no tenant", map[string]any{"tid": nil}, app, ""},
		{"without a name", map[string]any{"app_displayname": nil}, nameless, ""},
		// What a user runs is no reason to believe the user.
		{"a user", map[string]any{"idtyp": "user", "scp": "user_impersonation", "preferred_username": "ann@telecom.example"}, user, ""},
		{"a user without idtyp", map[string]any{"idtyp": nil, "scp": "user_impersonation", "upn": "ann@telecom.example"}, user, ""},
		{"a user by the subject", map[string]any{"idtyp": nil, "sub": "other", "upn": "ann@telecom.example"}, user, ""},
		{"a user of a program that may do something else for her", map[string]any{"idtyp": "user", "scp": "User.Read openid"}, user, "InvalidAuthenticationToken"},
		{"groups that are one", map[string]any{"groups": "admins"}, app, ""},
		{"groups that are something else", map[string]any{"groups": map[string]any{"a": 1}}, app, ""},
		{"expired", map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}, app, "ExpiredAuthenticationToken"},
		{"not yet", map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}, app, "InvalidAuthenticationToken"},
		{"another audience", map[string]any{"aud": "https://vault.example"}, app, "InvalidAuthenticationToken"},
		{"no audience", map[string]any{"aud": nil}, app, "InvalidAuthenticationToken"},
		{"another issuer", map[string]any{"iss": "https://sts.example/other/v2.0"}, app, "InvalidAuthenticationToken"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := m.token(tt.change)
			got, err := tokens.Verify(t.Context(), raw)
			if tt.code == "" {
				if err != nil || got != tt.want {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), tt.code) || strings.Contains(err.Error(), raw[:20]) {
				t.Errorf("%v, want %s", err, tt.code)
			}
		})
	}
	if _, groups, err := tokens.Whose(t.Context(), m.token(map[string]any{"groups": []string{"a", "b"}})); err != nil || !slices.Equal(groups, []string{"a", "b"}) {
		t.Errorf("groups %v, %v", groups, err)
	}
	if _, groups, err := tokens.Whose(t.Context(), m.token(map[string]any{"groups": []string{"a"}, "aud": "https://vault.example"})); err == nil || groups != nil {
		t.Errorf("groups of a token that is not believed: %v", groups)
	}
	other := newMint(t)
	for name, raw := range map[string]string{"another key": other.token(nil), "none": "eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0.", "junk": "junk", "symmetric": "eyJhbGciOiJIUzI1NiJ9.e30.AAAA"} {
		if _, err := tokens.Verify(t.Context(), raw); err == nil || !strings.HasPrefix(err.Error(), "InvalidAuthenticationToken") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAnIssuerElsewhereIsAskedForItsKeys when the first token comes; until it
// answers nobody gets in, and nobody is told that the token is bad.
func TestAnIssuerElsewhereIsAskedForItsKeys(t *testing.T) {
	m := newMint(t)
	away := true
	mux := http.NewServeMux()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	defer server.Close()
	m.issuer = server.URL + "/" + tenant
	mux.HandleFunc("GET /"+tenant+"/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"issuer": m.issuer, "authorization_endpoint": server.URL, "token_endpoint": server.URL, "jwks_uri": server.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &m.key.PublicKey, KeyID: "one", Algorithm: "RS256", Use: "sig"}}})
	})
	tokens := arm.RemoteTokens(server.Client(), m.issuer, []string{base}, tenant)
	if _, err := tokens.Verify(t.Context(), m.token(nil)); fault.Of(err) != fault.Unavailable {
		t.Errorf("while the issuer is away: %v", err)
	}
	away = false
	ctx, cancel := context.WithCancel(t.Context())
	if p, err := tokens.Verify(ctx, m.token(nil)); err != nil || p.App != "the-app" {
		t.Errorf("%+v, %v", p, err)
	}
	cancel() // the request that came first has ended
	if _, err := tokens.Verify(t.Context(), m.token(nil)); err != nil {
		t.Error(err)
	}
	if _, err := tokens.Verify(t.Context(), m.token(map[string]any{"iss": server.URL})); err == nil {
		t.Error("a token of another tenant of the same issuer is believed")
	}
	server.Client().CloseIdleConnections()
}

// TestAnIssuerThatIsSilentHoldsNobody: who asks learns it in time, and who goes
// away leaves nothing behind.
func TestAnIssuerThatIsSilentHoldsNobody(t *testing.T) {
	var asked atomic.Int32
	awake := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		select {
		case <-awake:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(awake)
	client := server.Client()
	client.Timeout = 2 * time.Second
	tokens := arm.RemoteTokens(client, server.URL, []string{base}, tenant)
	ctx, gone := context.WithCancel(t.Context())
	gone()
	begun := time.Now()
	if _, err := tokens.Verify(ctx, newMint(t).token(nil)); fault.Of(err) != fault.Unavailable || time.Since(begun) > 1500*time.Millisecond {
		t.Errorf("who has gone waits for %v: %v", time.Since(begun), err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := tokens.Verify(t.Context(), "x.y.z"); fault.Of(err) != fault.Unavailable {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if took := time.Since(begun); took > 12*time.Second || asked.Load() > 3 {
		t.Errorf("20 at once wait for %v, and the issuer is asked %d times", took, asked.Load())
	}
}

// TestATokenIsShownNowhere: neither in the answer nor in the log, good or bad.
func TestATokenIsShownNowhere(t *testing.T) {
	w := open(t)
	m := newMint(t)
	w.config.Tokens = arm.NewTokens(&oidc.StaticKeySet{PublicKeys: []crypto.PublicKey{&m.key.PublicKey}}, []string{m.issuer}, []string{base}, tenant)
	w.config.LoginURL += "/" + tenant + "/v2.0"
	w.handler = arm.Handler(w.config)
	for name, raw := range map[string]string{
		"good": m.token(map[string]any{"oid": owner}), "expired": m.token(map[string]any{"exp": 1}), "forged": newMint(t).token(nil), "junk": "eyJ-canary-junk", "audience": m.token(map[string]any{"aud": `x\y`}),
	} {
		r := w.as(raw, "GET", voice+platform, "")
		if (r.Code == 200) != (name == "good") {
			t.Errorf("%s: %d %s", name, r.Code, r.Body)
		}
		if challenge := r.Header().Get("WWW-Authenticate"); r.Code == 401 && (!strings.HasPrefix(challenge, `Bearer authorization_uri="https://login.telecom.example/`+tenant+`", error="invalid_token", error_description="`) || strings.Count(challenge, `"`) != 6 || strings.Contains(challenge, `\`)) {
			t.Errorf("%s: %s", name, challenge)
		}
		for where, text := range map[string]string{"answer": r.Body.String(), "header": r.Header().Get("WWW-Authenticate"), "log": w.log.String()} {
			if strings.Contains(text, "eyJ") {
				t.Errorf("%s: the %s shows a token: %s", name, where, text)
			}
		}
	}
}
