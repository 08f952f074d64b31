package entra_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/tandemgw/tandem/control/entra"
)

// pair is a certificate that signs itself.
func pair(t *testing.T, public, private any, life time.Duration) *tls.Certificate {
	t.Helper()
	form := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "x"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life)}
	der, err := x509.CreateCertificate(rand.Reader, form, form, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
}

// TestSigningInByCertificate: the assertion is as Microsoft's documents of
// certificate credentials say, and the certificate is read anew each time
// (Microsoft identity platform docs, "Application authentication certificate
// credentials").
func TestSigningInByCertificate(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	var shown string
	now, seen := pair(t, &key.PublicKey, key, time.Hour), map[string]bool{}
	login := entra.InProcess(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if shown = r.FormValue("client_assertion"); r.FormValue("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || r.FormValue("client_secret") != "" {
			t.Errorf("%v", r.Form)
		}
		fmt.Fprint(w, `{"access_token":"t","expires_in":0}`)
	}))
	s := entra.SignIn{Login: "https://login.telecom.example", Tenant: "t-1", Client: "c", Scope: "s", HTTP: login, Certificate: func() (*tls.Certificate, error) { return now, nil }}
	get := s.Token()
	for range 2 {
		if _, err := get(t.Context()); err != nil {
			t.Fatal(err)
		}
		token, err := jwt.ParseSigned(shown, []jose.SignatureAlgorithm{jose.PS256})
		if err != nil {
			t.Fatal(err)
		}
		var c jwt.Claims
		if err := token.Claims(&key.PublicKey, &c); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(now.Certificate[0])
		h := token.Headers[0].ExtraHeaders
		if h["x5t#S256"] != base64.RawURLEncoding.EncodeToString(sum[:]) || h["typ"] != "JWT" {
			t.Errorf("header %v", h)
		}
		if c.Issuer != "c" || c.Subject != "c" || len(c.Audience) != 1 || c.Audience[0] != "https://login.telecom.example/t-1/oauth2/v2.0/token" || c.ID == "" || seen[c.ID] {
			t.Errorf("claims %+v", c)
		}
		if left := time.Until(c.Expiry.Time()); left < 9*time.Minute || left > 10*time.Minute {
			t.Errorf("good for %s", left)
		}
		seen[c.ID] = true
		now = pair(t, &key.PublicKey, key, 2*time.Hour) // renewed
	}
	small, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for says, p := range map[string]*tls.Certificate{"RSA key": pair(t, &small.PublicKey, small, time.Hour), "ended on": pair(t, &key.PublicKey, key, -time.Minute), "no certificate": {}} {
		now, shown = p, ""
		if _, err := s.Token()(t.Context()); err == nil || !strings.Contains(err.Error(), says) || shown != "" {
			t.Errorf("%s: %v", says, err)
		}
	}
}

// TestCertificatesOfARegistration: one more is added to those that there are.
func TestCertificatesOfARegistration(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	leaf := func() *x509.Certificate {
		c, err := x509.ParseCertificate(pair(t, &key.PublicKey, key, time.Hour).Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, second := leaf(), leaf()
	there := fmt.Sprintf(`[{"keyId":"k","customKeyIdentifier":"x","type":"AsymmetricX509Cert","usage":"Verify","key":%q,"endDateTime":"2999-01-01T00:00:00Z"},{"keyId":"gone","type":"AsymmetricX509Cert","usage":"Verify","key":null,"endDateTime":"2001-01-01T00:00:00Z"}]`, base64.StdEncoding.EncodeToString(first.Raw))
	var sent []byte
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1.0/applications/a" || r.Method == http.MethodGet && r.URL.Query().Get("$select") != "id,keyCredentials" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		if r.Method == http.MethodPatch {
			sent, _ = io.ReadAll(r.Body)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		io.WriteString(w, `{"id":"a","keyCredentials":`+there+`}`)
	})
	ctx := context.WithoutCancel(t.Context())
	for cert, want := range map[*x509.Certificate]bool{first: true, second: false} {
		if is, err := c.Certified(ctx, "a", cert); is != want || err != nil {
			t.Errorf("%v, %v", is, err)
		}
	}
	if err := c.Certify(ctx, "a", "tandem", first); err != nil || sent != nil {
		t.Errorf("what is there already: %s, %v", sent, err)
	}
	if err := c.Certify(ctx, "a", "tandem", second); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Keys []struct {
			KeyID string `json:"keyId"`
			Key   []byte `json:"key"`
		} `json:"keyCredentials"`
	}
	if err := json.Unmarshal(sent, &got); err != nil || len(got.Keys) != 2 || got.Keys[0].KeyID != "k" || got.Keys[0].Key != nil || got.Keys[1].KeyID != "" || !second.Equal(parse(t, got.Keys[1].Key)) {
		t.Errorf("%s, %v", sent, err)
	}
	if err := entra.CheckCertificate(first); err != nil {
		t.Error(err)
	}
}

func parse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
