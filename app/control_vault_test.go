package app

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tandemgw/tandem/control/vault"
	"github.com/tandemgw/tandem/front/ops"
)

// A vault is made by the resource API and keeps a secret for whom its policy
// names; the key it is kept under is in no backup.
func TestAControlNodeServesVaults(t *testing.T) {
	n, ca := controlNode(t, "  vaults: {domain: vault.lab.example}\n")
	client := apiClient(ca)
	ask := func(method, url, token, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(text)
	}
	token := func(scope string) string {
		t.Helper()
		res, err := client.Post("https://api.lab.example:8443/7f8d5c6e-0000-4000-8000-000000000001/oauth2/v2.0/token", "application/x-www-form-urlencoded",
			strings.NewReader("grant_type=client_credentials&client_id=7f8d5c6e-0000-4000-8000-000000000003&client_secret=a+long+enough+secret&scope="+scope+"/.default"))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var got struct {
			AccessToken string `json:"access_token"`
		}
		if err := json.NewDecoder(res.Body).Decode(&got); err != nil || got.AccessToken == "" {
			t.Fatalf("no token for %s: %s %v", scope, res.Status, err)
		}
		return got.AccessToken
	}
	const group = "https://api.lab.example:8443/subscriptions/7f8d5c6e-0000-4000-8000-000000000002/resourceGroups/rg"
	const at, secret = group + "/providers/Microsoft.KeyVault/vaults/billing?api-version=2023-07-01", "https://billing.vault.lab.example:8443/secrets/client?api-version=7.4"
	admin, reader := token("https://api.lab.example:8443"), token("https://vault.lab.example:8443")
	if status, text := ask(http.MethodPut, group+"?api-version=2021-04-01", admin, `{"location":"westeurope"}`); status != http.StatusCreated {
		t.Fatal(status, text)
	}
	policy := `{"location":"westeurope","properties":{"tenantId":"7f8d5c6e-0000-4000-8000-000000000001","sku":{"family":"A","name":"standard"},
		"accessPolicies":[{"tenantId":"7f8d5c6e-0000-4000-8000-000000000001","objectId":"` + objectOf(t, reader) + `","permissions":{"secrets":["get","set"]}}]}}`
	if status, text := ask(http.MethodPut, at, admin, policy); status >= 300 {
		t.Fatal(status, text)
	}
	if status, text := ask(http.MethodGet, secret, "", ""); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d %s", status, text)
	}
	if status, text := ask(http.MethodGet, secret, admin, ""); status != http.StatusUnauthorized {
		t.Errorf("with a token for another audience: %d %s", status, text)
	}
	status, text := ask(http.MethodPut, secret, reader, `{"value":"what nobody may read"}`)
	if status != http.StatusOK {
		t.Fatal(status, text)
	}
	if status, text = ask(http.MethodGet, strings.Replace(secret, "?", "/?", 1), reader, ""); status != http.StatusOK || !strings.Contains(text, "what nobody may read") {
		t.Errorf("read: %d %s", status, text)
	}
	if status, text := ask(http.MethodDelete, secret, reader, ""); status != http.StatusForbidden {
		t.Errorf("deleted without the permission: %d %s", status, text)
	}
	if info, err := os.Stat(filepath.Join(n.cfg.Node.Data, vault.KeyFileName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %v %v", info, err)
	}
	if !passing(vault.KeyFileName) {
		t.Error("a backup would have the key beside the database")
	}
}

// objectOf is whom a token is for.
func objectOf(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatal("this is no JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Object string `json:"oid"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil || claims.Object == "" {
		t.Fatalf("whose is it? %s %v", payload, err)
	}
	return claims.Object
}

// A key management service wraps instead of a key file: nothing is on the disk,
// and a control node whose service refuses does not start.
func TestAControlNodeWhoseKeyIsElsewhere(t *testing.T) {
	var asked, refuses atomic.Bool
	kms := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var said map[string]string
		if refuses.Load() || r.Header.Get("X-Vault-Token") != "token-of-the-kms" || json.NewDecoder(r.Body).Decode(&said) != nil {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		asked.Store(true)
		answer := map[string]string{"ciphertext": "vault:v1:" + said["plaintext"]}
		if sealed, ok := said["ciphertext"]; ok {
			answer = map[string]string{"plaintext": strings.TrimPrefix(sealed, "vault:v1:")}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": answer})
	}))
	defer kms.Close()
	dir := t.TempDir()
	roots, token := filepath.Join(dir, "kms.pem"), filepath.Join(dir, "kms.token")
	for file, text := range map[string][]byte{
		roots: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: kms.Certificate().Raw}), token: []byte("token-of-the-kms\n"),
	} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n, _ := controlNode(t, "  vaults:\n    domain: vault.lab.example\n    transit: {url: \""+kms.URL+"/v1/transit\", key: tandem, tokenFile: "+token+", roots: "+roots+"}\n")
	if _, err := os.Stat(filepath.Join(n.cfg.Node.Data, vault.KeyFileName)); !asked.Load() || !os.IsNotExist(err) {
		t.Errorf("the service was asked: %v; a key file: %v", asked.Load(), err)
	}
	if _, err := n.rotateKey(t.Context(), ops.KeyBoth); err == nil || !strings.Contains(err.Error(), "rotate it there") {
		t.Errorf("rotated here: %v", err)
	}
	if _, err := n.rotateKey(t.Context(), ops.KeyRewrap); err != nil {
		t.Error(err)
	}
	n.Close()
	refuses.Store(true)
	if again, err := New(n.cfg, n.log, "test"); err == nil {
		again.Close()
		t.Error("it starts without its key")
	}
}
