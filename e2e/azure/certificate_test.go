package azure

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// TestAzuresSDKSignsInByCertificate: a registration is given the certificate by
// Graph, and azidentity signs in with its key; with another key it does not get
// in.
func TestAzuresSDKSignsInByCertificate(t *testing.T) {
	url := serve(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	options := policy.ClientOptions{Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: url}}
	admin, err := azidentity.NewClientSecretCredential(tenantID, clientID, clientSecret, &azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	scope := policy.TokenRequestOptions{Scopes: []string{url + "/.default"}}
	token, err := admin.GetToken(ctx, scope)
	if err != nil {
		t.Fatal(err)
	}
	graph := func(method, path string, body any) (made struct{ ID, AppID string }) {
		t.Helper()
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(ctx, method, url+"/v1.0"+path, bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token.Token)
		r.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode/100 != 2 {
			t.Fatalf("%s %s: %s %s, %v", method, path, res.Status, answer, err)
		}
		if len(answer) > 0 {
			if err := json.Unmarshal(answer, &made); err != nil {
				t.Fatal(err)
			}
		}
		return made
	}
	cert, key := selfSigned(t)
	app := graph("POST", "/applications", map[string]any{"displayName": "Robot"})
	graph("POST", "/servicePrincipals", map[string]any{"appId": app.AppID})
	graph("PATCH", "/applications/"+app.ID, map[string]any{"keyCredentials": []any{map[string]any{"type": "AsymmetricX509Cert", "usage": "Verify", "key": cert.Raw}}})
	signIn := func(cert *x509.Certificate, key crypto.PrivateKey, chain bool) error {
		credential, err := azidentity.NewClientCertificateCredential(tenantID, app.AppID, []*x509.Certificate{cert}, key,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true, SendCertificateChain: chain})
		if err != nil {
			return err
		}
		got, err := credential.GetToken(ctx, scope)
		if err == nil && time.Until(got.ExpiresOn) < 50*time.Minute {
			err = fmt.Errorf("good until %s", got.ExpiresOn)
		}
		return err
	}
	for _, chain := range []bool{false, true} {
		if err := signIn(cert, key, chain); err != nil {
			t.Errorf("chain sent: %v: %v", chain, err)
		}
	}
	other, otherKey := selfSigned(t)
	for _, chain := range []bool{false, true} {
		if e, is := errors.AsType[*azidentity.AuthenticationFailedError](signIn(other, otherKey, chain)); !is || e.RawResponse.StatusCode != http.StatusUnauthorized {
			t.Errorf("another certificate: %v", e)
		}
	}
	graph("PATCH", "/applications/"+app.ID, map[string]any{"keyCredentials": []any{}})
	if err := signIn(cert, key, false); err == nil {
		t.Error("it was taken away, and lets in")
	}
}

func selfSigned(t *testing.T) (*x509.Certificate, *rsa.PrivateKey) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "robot"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}
