package login_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/tandemgw/tandem/control/directory"
)

// pair is a certificate with its key.
type pair struct {
	der []byte
	key *rsa.PrivateKey
}

func newPair(t testing.TB, life time.Duration) pair {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "robot"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life)}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{der, key}
}

// thumbs are the names of a certificate in the header of an assertion.
func (p pair) thumbs() map[string]any {
	old, now := sha1.Sum(p.der), sha256.Sum256(p.der)
	return map[string]any{"x5t": base64.RawURLEncoding.EncodeToString(old[:]), "x5t#S256": base64.StdEncoding.EncodeToString(now[:])}
}

func forge(t testing.TB, alg jose.SignatureAlgorithm, key any, header, claims map[string]any) string {
	t.Helper()
	o := (&jose.SignerOptions{}).WithType("JWT")
	for name, value := range header {
		o = o.WithHeader(jose.HeaderKey(name), value)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jwt.Signed(s).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestACertificateIsACredential: an application signs an assertion of its own
// with the key of a certificate that is registered, and nothing else will do
// (Microsoft identity platform docs, "Application authentication certificate
// credentials"; RFC 7523 §3; RFC 8725 §3.1).
func TestACertificateIsACredential(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		robot := must[directory.ServicePrincipal](h)(h.directory.AddPrincipal(ctx, us, h.robot, ""))
		good, short, stranger := newPair(t, 90*24*time.Hour), newPair(t, time.Hour), newPair(t, time.Hour)
		must[directory.Application](h)(h.directory.UpdateApplication(ctx, us, h.robot, func(a *directory.Application) error {
			a.Keys = []directory.KeyCredential{{Name: "good", Certificate: good.der}, {Certificate: short.der}}
			return nil
		}))
		at := base + "/" + tenant + "/oauth2/v2.0/token"
		claims := func(pairs ...any) map[string]any {
			now := time.Now()
			c := map[string]any{"iss": h.robot, "sub": h.robot, "aud": at, "jti": "one", "nbf": now.Unix(), "exp": now.Add(10 * time.Minute).Unix()}
			for i := 0; i+1 < len(pairs); i += 2 {
				if c[pairs[i].(string)] = pairs[i+1]; pairs[i+1] == nil {
					delete(c, pairs[i].(string))
				}
			}
			return c
		}
		with := func(header map[string]any, more ...any) map[string]any {
			header = maps.Clone(header)
			for i := 0; i+1 < len(more); i += 2 {
				if header[more[i].(string)] = more[i+1]; more[i+1] == nil {
					delete(header, more[i].(string))
				}
			}
			return header
		}
		from := 0
		ask := func(assertion string) reply {
			from++ // from elsewhere each time: guesses are held back
			return h.do("POST", "/"+tenant+"/oauth2/v2.0/token", url.Values{
				"grant_type": {"client_credentials"}, "client_id": {h.robot}, "scope": {base + "//.default"}, "client_assertion": {assertion},
				"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			}, func(r *http.Request) { r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", from) })
		}
		for name, raw := range map[string]string{
			"both thumbprints":         forge(t, jose.PS256, good.key, good.thumbs(), claims()),
			"as MSAL does it":          forge(t, jose.PS256, good.key, with(good.thumbs(), "x5t", nil), claims()),
			"as MSAL does it for ADFS": forge(t, jose.RS256, good.key, with(good.thumbs(), "x5t#S256", nil), claims("aud", base+"/adfs/oauth2/token")),
			"the older endpoint":       forge(t, jose.PS256, good.key, good.thumbs(), claims("aud", base+"/"+tenant+"/oauth2/token")),
			"the issuer as audience":   forge(t, jose.PS256, good.key, good.thumbs(), claims("aud", base+"/"+tenant+"/v2.0")),
			"another certificate":      forge(t, jose.PS256, short.key, short.thumbs(), claims()),
		} {
			if r := ask(raw); r.Code != 200 || decode(t, r.text("access_token"))["oid"] != robot.ID {
				t.Errorf("%s: %d %s", name, r.Code, r.Body)
			}
		}
		again := forge(t, jose.PS256, good.key, good.thumbs(), claims())
		for range 2 { // MSAL for Python and for JavaScript show one again for nine minutes
			if r := ask(again); r.Code != 200 {
				t.Errorf("within its time: %s", r.Body)
			}
		}
		// What whoever attacks has: the certificate, which is public.
		key, err := x509.MarshalPKIXPublicKey(&good.key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		secrets := map[string][]byte{"the certificate": good.der, "the public key": key, "the public key in PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: key})}
		attacks := map[string]string{
			"a stranger's key":                       forge(t, jose.PS256, stranger.key, good.thumbs(), claims()),
			"a stranger's certificate":               forge(t, jose.PS256, stranger.key, stranger.thumbs(), claims()),
			"a stranger's certificate along with it": forge(t, jose.PS256, stranger.key, with(good.thumbs(), "x5c", []string{base64.StdEncoding.EncodeToString(stranger.der)}), claims()),
			"a stranger's key along with it":         forge(t, jose.PS256, stranger.key, with(good.thumbs(), "jwk", jose.JSONWebKey{Key: &stranger.key.PublicKey}), claims()),
			"two certificates named":                 forge(t, jose.PS256, short.key, with(short.thumbs(), "x5t", good.thumbs()["x5t"]), claims()),
			"no certificate named":                   forge(t, jose.PS256, good.key, nil, claims()),
			"a certificate named in numbers":         forge(t, jose.PS256, good.key, map[string]any{"x5t": 1}, claims()),
			"another tenant's endpoint":              forge(t, jose.PS256, good.key, good.thumbs(), claims("aud", base+"/00000000-0000-4000-8000-00000000000c/oauth2/v2.0/token")),
			"another login":                          forge(t, jose.PS256, good.key, good.thumbs(), claims("aud", "https://login.microsoftonline.com/"+tenant+"/oauth2/v2.0/token")),
			"any tenant's endpoint":                  forge(t, jose.PS256, good.key, good.thumbs(), claims("aud", base+"/common/oauth2/v2.0/token")),
			"two audiences":                          forge(t, jose.PS256, good.key, good.thumbs(), claims("aud", []string{at, "https://evil.example"})),
			"no audience":                            forge(t, jose.PS256, good.key, good.thumbs(), claims("aud", nil)),
			"another subject":                        forge(t, jose.PS256, good.key, good.thumbs(), claims("sub", h.web)),
			"another issuer":                         forge(t, jose.PS256, good.key, good.thumbs(), claims("iss", h.web)),
			"too late":                               forge(t, jose.PS256, good.key, good.thumbs(), claims("exp", time.Now().Add(-time.Hour).Unix())),
			"without an end":                         forge(t, jose.PS256, good.key, good.thumbs(), claims("exp", nil)),
			"for ever":                               forge(t, jose.PS256, good.key, good.thumbs(), claims("exp", time.Now().Add(24*time.Hour).Unix())),
			"too early":                              forge(t, jose.PS256, good.key, good.thumbs(), claims("nbf", time.Now().Add(2*time.Hour).Unix())),
			"another algorithm":                      forge(t, jose.RS512, good.key, good.thumbs(), claims()),
		}
		for name, key := range secrets {
			attacks[name+" as a secret"] = forge(t, jose.HS256, key, good.thumbs(), claims())
		}
		parts := strings.Split(again, ".")
		attacks["no algorithm"] = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "."
		for name, raw := range attacks {
			if r := ask(raw); r.Code != 401 || r.text("error") != "invalid_client" || r.text("access_token") != "<nil>" {
				t.Errorf("%s: %d %s", name, r.Code, r.Body)
			}
		}
		time.Sleep(time.Hour)
		if r := ask(again); r.Code != 401 {
			t.Errorf("shown again after its end: %s", r.Body)
		}
		if r := ask(forge(t, jose.PS256, short.key, short.thumbs(), claims())); r.Code != 401 || r.JSON["error_codes"].([]any)[0] != 700027.0 {
			t.Errorf("the certificate has expired: %s", r.Body)
		}
		fresh := forge(t, jose.PS256, good.key, good.thumbs(), claims())
		if r := ask(fresh); r.Code != 200 {
			t.Errorf("after all of that: %s", r.Body)
		}
		must[directory.Application](h)(h.directory.UpdateApplication(ctx, us, h.robot, func(a *directory.Application) error { a.Keys = nil; return nil }))
		if r := ask(fresh); r.Code != 401 {
			t.Errorf("the certificate was taken away: %s", r.Body)
		}
	})
}
