package onboard_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/vault"
)

// readers is the organization whose application reads vaults of other tenants:
// an issuer with a key of its own.
type readers struct {
	server *httptest.Server
	open   func(entra.Token) (*entra.Vaults, error) // as seen from there
}

// readersKey takes longer to make than a world.
var readersKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func startReaders(t testing.TB) *readers {
	t.Helper()
	m := http.NewServeMux()
	r := &readers{server: httptest.NewTLSServer(m)}
	t.Cleanup(r.server.Close)
	t.Cleanup(r.server.Client().CloseIdleConnections)
	answer := func(v any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(v)
		}
	}
	m.HandleFunc("GET /.well-known/openid-configuration", answer(map[string]any{
		"issuer": r.server.URL, "jwks_uri": r.server.URL + "/keys", "authorization_endpoint": r.server.URL, "token_endpoint": r.server.URL,
	}))
	m.HandleFunc("GET /keys", answer(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &readersKey().PublicKey, KeyID: "one", Algorithm: "RS256", Use: "sig"}}}))
	return r
}

// from is a handler whom somebody at an address asks.
func from(address string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = address
		h.ServeHTTP(w, r)
	})
}

// credential is by what its tokens are known elsewhere.
func (r *readers) credential() directory.FederatedCredential {
	return directory.FederatedCredential{Name: "reader", Issuer: r.server.URL, Subject: "voice-secrets-reader"}
}

// assertion is a token about somebody there.
func (r *readers) assertion(subject string) (obs.Secret, error) {
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: readersKey()}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "one"))
	if err != nil {
		return "", err
	}
	raw, err := jwt.Signed(s).Claims(map[string]any{"iss": r.server.URL, "sub": subject, "aud": directory.FederatedAudience, "exp": time.Now().Add(time.Hour).Unix()}).Serialize()
	return obs.Secret(raw), err
}

// readerAs signs somebody of that organization in to the operator's tenant as
// the first-party application.
func (w *world) readerAs(subject string) entra.Token {
	return entra.SignIn{
		Login: w.loginURL, Tenant: tenant, Client: readerID, Scope: vaultURL + "/.default", HTTP: w.trusting(),
		Assertion: func(context.Context) (obs.Secret, error) { return w.reader.assertion(subject) },
	}.Token()
}

// TestTheReaderSignsInWhereItWasLetIn: the first-party application is no
// application of the tenant, and signs in by its own organization's token once
// somebody has consented.
func TestTheReaderSignsInWhereItWasLetIn(t *testing.T) {
	w := newWorld(t)
	us := w.reader.credential().Subject
	if _, err := w.readerAs(us)(t.Context()); err == nil {
		t.Fatal("it signs in to a tenant that has not added it")
	}
	w.declare("management-region", "westeurope", "setup-user", admin)
	for _, key := range keys {
		w.declare("consent-url."+key, w.loginURL+"/"+tenant+"/adminconsent?client_id="+readerID)
	}
	p := w.apply(old)
	at := w.shown(w.step(p, "A10"), "Billing Service, vault")
	vaults, err := w.reader.open(w.readerAs(us))
	w.must(err)
	v, err := w.cfg.Parts.Vaults.Vault(t.Context(), at)
	w.must(err)
	for _, state := range []vault.State{"", vault.Pending} {
		if state != "" {
			w.answerEndpoint(at, state)
		}
		if _, err := vaults.Secret(t.Context(), v, "client-secret"); fault.Of(err) != fault.Denied {
			t.Errorf("without an approved private endpoint (%q): %v", state, err)
		}
	}
	w.answerEndpoint(at, vault.Approved)
	got, err := vaults.Secret(t.Context(), v, "client-secret")
	if _, want := w.kept(at); err != nil || string(got.Value) != want {
		t.Errorf("it reads %v, %v", got.Value, err)
	}
	if _, err := vaults.Secrets(t.Context(), v); err == nil {
		t.Error("it lists")
	}
	w.answerEndpoint(at, vault.Rejected)
	if _, err := vaults.Secret(t.Context(), v, "client-secret"); fault.Of(err) != fault.Denied {
		t.Errorf("it reads after the private endpoint was undone: %v", err)
	}
	if _, err := w.readerAs("somebody else")(t.Context()); err == nil {
		t.Error("a token about somebody else signs in")
	}
	q, err := w.tenant.PrincipalOf(t.Context(), readerID)
	w.must(err)
	w.must(w.tenant.DeletePrincipal(t.Context(), q.ID))
	if _, err := w.readerAs(us)(t.Context()); err == nil {
		t.Error("it signs in after the consent was taken back")
	}
}

// TestAnOpenVaultIsTold: where any network is let in, the private endpoint keeps
// nobody out.
func TestAnOpenVaultIsTold(t *testing.T) {
	w := newWorld(t)
	w.declare("management-region", "westeurope", "setup-user", admin)
	p := w.apply(old)
	at := w.shown(w.step(p, "A10"), "Billing Service, vault")
	const told = "open to all networks"
	if text, _ := json.Marshal(w.step(p, "A11")); strings.Contains(string(text), told) {
		t.Errorf("our own: %s", text)
	}
	by := subscription.Principal{Tenant: tenant, Object: "theirs", App: "theirs"}
	_, err := w.vaults.Alter(t.Context(), by, w.vaultID(at), "Microsoft.KeyVault/vaults/write", func(v *vault.Vault) error { v.Network.Deny = false; return nil })
	w.must(err)
	w.is(w.plan(old), "A11", onboard.Waiting, "Billing Service, network", told)
}
