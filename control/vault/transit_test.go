package vault_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/control/vault"
)

const kmsToken = "token-of-the-kms"

// service is a key management service, as far as HashiCorp Vault documents it
// ("Transit secrets engine (API)").
type service struct {
	*httptest.Server
	refuses atomic.Bool
	asked   atomic.Int64
}

func newService(t *testing.T) *service {
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		var said struct {
			Plaintext, Ciphertext string
			About                 []byte `json:"associated_data"`
		}
		if s.refuses.Load() || r.Header.Get("X-Vault-Token") != kmsToken || json.NewDecoder(r.Body).Decode(&said) != nil {
			http.Error(w, `{"errors":["permission denied: `+said.Plaintext+`"]}`, http.StatusForbidden)
			return
		}
		answer := map[string]string{}
		switch r.URL.Path {
		case "/v1/transit/encrypt/tandem":
			plain, _ := base64.StdEncoding.DecodeString(said.Plaintext)
			answer["ciphertext"] = "vault:v1:" + base64.StdEncoding.EncodeToString(gcm.Seal(nil, nil, plain, said.About))
		case "/v1/transit/decrypt/tandem":
			sealed, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(said.Ciphertext, "vault:v1:"))
			plain, err := gcm.Open(nil, nil, sealed, said.About)
			if err != nil {
				http.Error(w, `{"errors":["cipher: message authentication failed"]}`, http.StatusBadRequest)
				return
			}
			answer["plaintext"] = base64.StdEncoding.EncodeToString(plain)
		default:
			http.NotFound(w, r)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"data": answer})
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *service) keeper() *vault.Transit {
	return &vault.Transit{URL: s.URL + "/v1/transit/", Key: "tandem", HTTP: s.Client(), Token: func() (obs.Secret, error) { return kmsToken, nil }}
}

func TestAKeyManagementService(t *testing.T) {
	w := newWorld(t, storetest.New(t))
	w.exec("DELETE FROM vault_seal") // as if no key file had ever been
	kms := newService(t)
	open := func(k *vault.Transit) (*vault.Set, error) {
		return vault.Open(t.Context(), vault.Config{Store: w.store, Keeper: k, Tenant: tenant})
	}
	var err error
	if w.Set, err = open(kms.keeper()); err != nil {
		t.Fatal(err)
	}
	w.vault("voice")
	w.put("voice", "s", canary)
	asked := kms.asked.Load()
	for range 10 {
		if got := w.get("voice", "s", ""); got != canary {
			t.Errorf("got %q", got)
		}
	}
	if kms.asked.Load() != asked {
		t.Error("the service is asked for every secret")
	}
	if _, err := w.Rewrap(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := open(newService(t).keeper()); err == nil {
		t.Error("another key was taken for the right one")
	}
	// A service that refuses is told as such, and says nothing that it was told.
	kms.refuses.Store(true)
	if _, err := open(kms.keeper()); fault.Of(err) != fault.Unavailable || strings.Contains(err.Error(), "permission denied") || strings.Contains(err.Error(), kmsToken) {
		t.Errorf("a service that refuses: %v", err)
	}
	kms.Close()
	if _, err := open(kms.keeper()); fault.Of(err) != fault.Unavailable {
		t.Errorf("a service that is gone: %v", err)
	}
}
