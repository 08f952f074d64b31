package entra

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha1" // what customKeyIdentifier is: a name, no proof
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
)

// assertionLife is how long an assertion is good: as long as libraries of the
// Microsoft identity platform write.
const assertionLife = 10 * time.Minute

// Signed is the assertion that an application signs itself, with the key of its
// certificate as it is now (Microsoft identity platform docs, "Application
// authentication certificate credentials": PS256 and x5t#S256, and so RSA
// alone).
func (s SignIn) Signed(context.Context) (obs.Secret, error) {
	pair, err := s.Certificate()
	if err != nil {
		return "", err
	}
	leaf, err := leafOf(pair)
	if err != nil {
		return "", err
	}
	now := time.Now()
	if now.After(leaf.NotAfter) {
		return "", fault.New(fault.Denied, fmt.Sprintf("The certificate by which the application %s signs in ended on %s: renew it", s.Client, leaf.NotAfter.UTC().Format(time.DateOnly)))
	}
	sum := sha256.Sum256(leaf.Raw)
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("x5t#S256", base64.RawURLEncoding.EncodeToString(sum[:]))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.PS256, Key: pair.PrivateKey}, options)
	if err != nil {
		return "", fmt.Errorf("sign an assertion of %s: %w", s.Client, err)
	}
	raw, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: s.Client, Subject: s.Client, Audience: jwt.Audience{s.endpoint()}, ID: uuid.NewString(),
		NotBefore: jwt.NewNumericDate(now), IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(assertionLife)),
	}).Serialize()
	return obs.Secret(raw), err
}

// leafOf is the certificate of a pair, if an application can sign in with it.
func leafOf(pair *tls.Certificate) (*x509.Certificate, error) {
	if len(pair.Certificate) == 0 {
		return nil, fault.New(fault.Invalid, "There is no certificate to sign in with")
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	return leaf, CheckCertificate(leaf)
}

// CheckCertificate tells whether an application can sign in with a certificate.
func CheckCertificate(leaf *x509.Certificate) error {
	if public, is := leaf.PublicKey.(*rsa.PublicKey); !is || public.N.BitLen() < 2048 {
		return fault.New(fault.Invalid, "an application signs in with an RSA key of 2048 bits or more, and the key of the certificate is another: make one by openssl req -x509 -newkey rsa:2048")
	}
	return nil
}

// keyCredential is a certificate of a registration. Without Key it is the one
// that has KeyID already.
type keyCredential struct {
	KeyID string     `json:"keyId,omitempty"`
	Name  string     `json:"displayName,omitempty"`
	Hint  string     `json:"customKeyIdentifier,omitempty"`
	Type  string     `json:"type"`
	Usage string     `json:"usage"`
	Key   []byte     `json:"key,omitempty"`
	Start *time.Time `json:"startDateTime,omitempty"`
	End   *time.Time `json:"endDateTime,omitempty"`
}

// is tells whether it is a certificate. Where the certificate itself is not
// shown, its thumbprint is, unless somebody gave it another name.
func (k keyCredential) is(cert *x509.Certificate) bool {
	sum := sha1.Sum(cert.Raw)
	return bytes.Equal(k.Key, cert.Raw) || strings.EqualFold(k.Hint, hex.EncodeToString(sum[:])) || k.Hint == base64.StdEncoding.EncodeToString(sum[:])
}

func (c *Client) keyCredentials(ctx context.Context, id string) ([]keyCredential, error) {
	var a struct {
		Keys []keyCredential `json:"keyCredentials"`
	}
	err := c.do(ctx, call{
		what: "show the certificates of the app registration " + id, method: http.MethodGet, path: "/applications/" + url.PathEscape(id), query: url.Values{"$select": {"id,keyCredentials"}},
	}, &a)
	return a.Keys, err
}

// Certified tells whether a registration takes a certificate, now.
func (c *Client) Certified(ctx context.Context, id string, cert *x509.Certificate) (bool, error) {
	all, err := c.keyCredentials(ctx, id)
	return slices.ContainsFunc(all, func(k keyCredential) bool { return k.is(cert) && (k.End == nil || k.End.After(time.Now())) }), err
}

// Certify lets the holder of a certificate sign in as a registration. What it
// takes already stays, but what has ended.
func (c *Client) Certify(ctx context.Context, id, name string, cert *x509.Certificate) error {
	all, err := c.keyCredentials(ctx, id)
	if err != nil || slices.ContainsFunc(all, func(k keyCredential) bool { return k.is(cert) }) {
		return err
	}
	kept := slices.DeleteFunc(all, func(k keyCredential) bool { return k.End != nil && k.End.Before(time.Now()) })
	for i := range kept {
		kept[i].Key = nil // as it was
	}
	return c.do(ctx, call{
		what: "add a certificate to the app registration " + id, method: http.MethodPatch, path: "/applications/" + url.PathEscape(id),
		body: map[string]any{"keyCredentials": append(kept, keyCredential{Name: name, Type: "AsymmetricX509Cert", Usage: "Verify", Key: cert.Raw})},
	}, nil)
}
