package operatorconnect

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// issuer is the directory of an operator, as far as the environment sees it.
// Whoever comes to sign in is the person that the test has put there.
type issuer struct {
	t      *testing.T
	server *httptest.Server
	key    *rsa.PrivateKey
	tenant string

	mu     sync.Mutex
	person map[string]any        // mu: claims of who signs in next; nil refuses
	codes  map[string]url.Values // mu: authorization requests
	change func(map[string]any)  // mu: of an ID token before it is signed
	down   bool                  // mu
}

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func newIssuer(t *testing.T, tenant string) *issuer {
	t.Helper()
	i := &issuer{t: t, key: testKey(), tenant: tenant, codes: map[string]url.Values{}}
	m := http.NewServeMux()
	m.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		i.answer(w, map[string]any{
			"issuer": i.name(), "jwks_uri": i.server.URL + "/keys", "authorization_endpoint": i.server.URL + "/authorize", "token_endpoint": i.server.URL + "/token",
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	m.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		i.answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: "k1", Algorithm: "RS256", Use: "sig"}}})
	})
	m.HandleFunc("GET /authorize", i.authorize)
	m.HandleFunc("POST /token", i.token)
	i.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		down := i.down
		i.mu.Unlock()
		if down {
			http.Error(w, "down", http.StatusInternalServerError)
			return
		}
		m.ServeHTTP(w, r)
	}))
	t.Cleanup(i.server.Close)
	return i
}

func (i *issuer) name() string { return i.server.URL + "/" + i.tenant + "/v2.0" }

func (i *issuer) answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		i.t.Error(err)
	}
}

// sign makes a token of claims.
func (i *issuer) sign(c map[string]any) string {
	i.t.Helper()
	return signed(i.t, jose.RS256, jose.JSONWebKey{Key: i.key, KeyID: "k1"}, c)
}

func signed(t *testing.T, alg jose.SignatureAlgorithm, key any, c map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// claims are those of a program's token, with some changed.
func (i *issuer) claims(app string, roles []string, change map[string]any) map[string]any {
	now := time.Now()
	c := map[string]any{
		"iss": i.name(), "aud": ProjectSynergy, "tid": i.tenant, "oid": "00000000-0000-4000-8000-0000000000" + app[:2], "sub": app, "azp": app, "idtyp": "app",
		"roles": roles, "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(c, change)
	return c
}

func (i *issuer) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	back := url.Values{"state": {q.Get("state")}}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.person == nil {
		back.Set("error", "access_denied")
		back.Set("error_description", "The person went away.")
	} else {
		code := random()
		i.codes[code] = q
		back.Set("code", code)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
}

func (i *issuer) token(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	q, ok := i.codes[r.PostFormValue("code")]
	delete(i.codes, r.PostFormValue("code"))
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || base64.RawURLEncoding.EncodeToString(sum[:]) != q.Get("code_challenge") || q.Get("code_challenge_method") != "S256" ||
		r.PostFormValue("redirect_uri") != q.Get("redirect_uri") || r.PostFormValue("client_id") != q.Get("client_id") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_grant", "error_description": "AADSTS54005: The code is not good."}) // a test sees what comes
		return
	}
	now := time.Now()
	c := map[string]any{"iss": i.name(), "aud": q.Get("client_id"), "tid": i.tenant, "sub": "s", "nonce": q.Get("nonce"), "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	maps.Copy(c, i.person)
	if i.change != nil {
		i.change(c)
	}
	i.answer(w, map[string]any{"token_type": "Bearer", "expires_in": 3600, "id_token": i.sign(c)})
}
