package directory_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// TestAnIssuerThatIsSilentIsAskedOnce for all who wait, and not again at once:
// anybody can show an assertion, and make us ask.
func TestAnIssuerThatIsSilentIsAskedOnce(t *testing.T) {
	var asked atomic.Int32
	over := make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		select {
		case <-over:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(over)
	client := server.Client()
	client.Timeout = 300 * time.Millisecond
	w := build(t, storetest.New(t), func(c *directory.Config) { c.HTTP = client })
	a, _, _ := w.program("Gateway outside")
	if _, err := w.AddFederated(t.Context(), w.apps, a.ID, directory.FederatedCredential{Name: "x", Issuer: server.URL, Subject: "y"}); err != nil {
		t.Fatal(err)
	}
	raw := signed(t, jose.HS256, []byte(strings.Repeat("x", 32)), "one", map[string]any{"iss": server.URL, "sub": "y", "aud": directory.FederatedAudience})
	if _, err := w.AuthenticateAssertion(t.Context(), a.AppID, raw, nil); err == nil || asked.Load() != 0 {
		t.Errorf("what no issuer signs makes us ask: %v", err)
	}
	key := strings.Split(raw, ".")
	raw = "eyJhbGciOiJSUzI1NiIsImtpZCI6Im9uZSJ9." + key[1] + ".AAAA" // {"alg":"RS256","kid":"one"}
	begun := time.Now()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, err := w.AuthenticateAssertion(t.Context(), a.AppID, raw, nil); fault.Of(err) != fault.Unavailable {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if took := time.Since(begun); took > 20*time.Second || asked.Load() != 1 {
		t.Errorf("it is asked %d times, for %v", asked.Load(), took)
	}
	client.CloseIdleConnections()
}

// TestKeysThatCannotBeReadAreNoWrongGuess of whoever shows the assertion; those
// that are known go on, and the issuer is not asked again at once.
func TestKeysThatCannotBeReadAreNoWrongGuess(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	var away atomic.Bool
	var asked atomic.Int32
	m := http.NewServeMux()
	server := httptest.NewTLSServer(m)
	defer server.Close()
	m.HandleFunc("GET /.well-known/openid-configuration", func(rw http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(rw).Encode(map[string]any{"issuer": server.URL, "jwks_uri": server.URL + "/keys", "authorization_endpoint": server.URL, "token_endpoint": server.URL})
	})
	m.HandleFunc("GET /keys", func(rw http.ResponseWriter, _ *http.Request) {
		if asked.Add(1); away.Load() {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		_ = json.NewEncoder(rw).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "one", Algorithm: "RS256", Use: "sig"}}})
	})
	client := server.Client()
	defer client.CloseIdleConnections()
	w := build(t, storetest.New(t), func(c *directory.Config) { c.HTTP = client })
	a, _, _ := w.program("Gateway outside")
	if _, err := w.AddFederated(t.Context(), w.apps, a.ID, directory.FederatedCredential{Name: "x", Issuer: server.URL, Subject: "y"}); err != nil {
		t.Fatal(err)
	}
	show := func(kid string) error {
		raw := signed(t, jose.RS256, key, kid, map[string]any{"iss": server.URL, "sub": "y", "aud": directory.FederatedAudience, "exp": time.Now().Add(time.Hour).Unix()})
		_, err := w.AuthenticateAssertion(t.Context(), a.AppID, raw, nil)
		return err
	}
	if err := show("one"); err != nil {
		t.Fatal(err)
	}
	if err := show("two"); !errors.Is(err, directory.ErrSecret) {
		t.Errorf("a key that the issuer does not have: %v", err)
	}
	away.Store(true)
	before := asked.Load()
	for range 5 {
		wants(t, "a key that the issuer may have now", show("two"), fault.Unavailable)
	}
	if n := asked.Load() - before; n != 1 {
		t.Errorf("it is asked %d times", n)
	}
	if err := show("one"); err != nil {
		t.Errorf("a key that is known: %v", err)
	}
}
