package graph_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"testing"
	"time"
)

// TestKeyCredentials are set all at once and shown without the certificate,
// unless it is asked for (Microsoft Graph docs, "keyCredential resource type",
// "Update application").
func TestKeyCredentials(t *testing.T) {
	w := newWorld(t)
	admin := w.admin()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	one := func(serial int64) string {
		form := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "x"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(der)
	}
	first, second := one(1), one(2)
	a := w.ask(admin, "POST", "/applications", object{"displayName": "Robot", "keyCredentials": []any{object{"type": "AsymmetricX509Cert", "usage": "Verify", "key": first, "displayName": "first"}}}).is(201)
	at := "/applications/" + a["id"].(string)
	keys := func(path string) []any { return w.ask(admin, "GET", path, nil).is(200)["keyCredentials"].([]any) }
	shown := keys(at)[0].(map[string]any)
	if shown["key"] != nil || shown["type"] != "AsymmetricX509Cert" || shown["usage"] != "Verify" || len(shown["customKeyIdentifier"].(string)) != 40 || shown["endDateTime"] == nil {
		t.Errorf("%v", shown)
	}
	if k := keys(at + "?$select=keyCredentials")[0].(map[string]any); k["key"] != first {
		t.Errorf("asked for: %v", k)
	}
	// What is shown can be sent back, with one more.
	w.ask(admin, "PATCH", at, object{"keyCredentials": []any{shown, object{"type": "AsymmetricX509Cert", "usage": "Verify", "key": second}}}).is(204)
	w.ask(admin, "PATCH", at, object{"displayName": "Robot 2"}).is(204)
	if all := keys(at + "?$select=keyCredentials"); len(all) != 2 || all[0].(map[string]any)["key"] != first || all[1].(map[string]any)["key"] != second {
		t.Errorf("%v", all)
	}
	for text, k := range map[string]object{
		"of type AsymmetricX509Cert":           {"type": "Symmetric", "usage": "Verify", "key": first},
		"and usage Verify":                     {"type": "AsymmetricX509Cert", "usage": "Sign", "key": first},
		"one X.509 certificate":                {"type": "AsymmetricX509Cert", "usage": "Verify", "key": "AAAA"},
		"cannot be read":                       {"type": "AsymmetricX509Cert", "usage": "Verify", "key": "canary?"},
		"Update to existing credential":        {"keyId": shown["keyId"], "key": second},
		"Invalid property 'keyCredentials/hi'": {"hi": first},
	} {
		w.ask(admin, "PATCH", at, object{"keyCredentials": []any{k}}).fails(400, "Request_BadRequest", text)
	}
	w.ask(admin, "PATCH", at, object{"keyCredentials": []any{}}).is(204)
	if all := keys(at); len(all) != 0 {
		t.Errorf("%v", all)
	}
}
