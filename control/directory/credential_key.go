package directory

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/sha1" // what x5t is (RFC 7515 §4.1.7): a name, no proof
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
)

// KeyCredential is a certificate by whose key an application signs in. Only its
// public part is ever here.
type KeyCredential struct {
	ID          string    `json:"id"`
	Name        string    `json:"name,omitempty"`
	Hint        string    `json:"hint"`        // SHA-1 of the certificate in hex, unless whoever added it has another name for it
	Certificate []byte    `json:"certificate"` // DER; empty: that of the credential with this ID
	Start       time.Time `json:"start"`       // zero: as long as the certificate
	End         time.Time `json:"end"`
}

const (
	maxKeys        = 50
	maxCertificate = 8 << 10 // octets
	minKey         = 2048    // bits
)

// checkKeys completes the certificates of a registration: those of old are as
// they were, and new ones must be fit to sign with.
func (a *Application) checkKeys(old []KeyCredential) error {
	if len(a.Keys) > maxKeys {
		return invalid("An application has at most %d certificates: remove those that have expired.", maxKeys)
	}
	keys := slices.Clone(a.Keys)
	for i := range keys {
		k := &keys[i]
		k.ID = strings.ToLower(cmp.Or(k.ID, newID()))
		at := slices.IndexFunc(old, func(o KeyCredential) bool { return o.ID == k.ID })
		switch {
		case at >= 0 && len(k.Certificate) > 0 && !bytes.Equal(k.Certificate, old[at].Certificate):
			return invalid("Update to existing credential with KeyId '%s' is not allowed.", k.ID)
		case at >= 0:
			*k = old[at]
		default:
			if err := k.complete(); err != nil {
				return err
			}
		}
		if slices.ContainsFunc(keys[:i], func(o KeyCredential) bool { return o.ID == k.ID || bytes.Equal(o.Certificate, k.Certificate) }) {
			return invalid("A key credential with the same keyId or certificate stands in the list already.")
		}
	}
	a.Keys = keys
	return nil
}

// complete looks at a new certificate. RSA alone: what the Microsoft identity
// platform takes is PS256 and RS256 (Microsoft identity platform docs,
// "Application authentication certificate credentials").
func (k *KeyCredential) complete() error {
	cert, err := x509.ParseCertificate(k.Certificate)
	if err != nil || len(k.Certificate) > maxCertificate {
		return invalid("The key of a key credential must be one X.509 certificate, DER in base64, and no private key.")
	}
	if public, is := cert.PublicKey.(*rsa.PublicKey); !is || public.N.BitLen() < minKey {
		return invalid("The certificate of a key credential must have an RSA key of %d bits or more.", minKey)
	}
	if k.Name != "" {
		if err := checkName("displayName", k.Name); err != nil {
			return err
		}
	}
	thumb := sha1.Sum(k.Certificate)
	k.Hint = cmp.Or(k.Hint, strings.ToUpper(hex.EncodeToString(thumb[:])))
	if k.Start.IsZero() {
		k.Start = cert.NotBefore
	}
	if k.End.IsZero() {
		k.End = cert.NotAfter
	}
	k.Start, k.End = k.Start.UTC().Truncate(time.Second), k.End.UTC().Truncate(time.Second)
	switch {
	case len(k.Hint) > maxName:
		return invalid("Property customKeyIdentifier is too long.")
	case k.Start.Before(cert.NotBefore) || k.End.After(cert.NotAfter) || !k.End.After(k.Start):
		return invalid("Key credential end date is invalid: start and end must be within the time of the certificate, %s to %s.", cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339))
	case !k.End.After(time.Now()):
		return invalid("Key credential end date is invalid: the certificate has expired.")
	}
	return nil
}

// keyAlgorithms are those of assertions that are signed with a certificate:
// what libraries send now, and what older ones and those for ADFS do.
var keyAlgorithms = []jose.SignatureAlgorithm{jose.PS256, jose.RS256}

// maxAssertion is how far ahead the end of an assertion may be: whoever has
// seen one could show it until then. Libraries write ten minutes, some an hour.
// Within that time it may come again, since MSAL for Python and for JavaScript
// show one for every token that they need.
const maxAssertion = time.Hour

// SelfIssued tells whether an assertion says that the application which shows
// it has signed it, and no issuer elsewhere: those are URLs.
func SelfIssued(id, assertion string) bool {
	if len(assertion) > maxToken {
		return false
	}
	token, err := jwt.ParseSigned(assertion, assertionAlgorithms)
	var c jwt.Claims
	return err == nil && token.UnsafeClaimsWithoutVerification(&c) == nil && strings.EqualFold(c.Issuer, id)
}

// AuthenticateCertificate is the service principal of the application that
// shows an assertion signed with the key of one of its certificates (RFC 7523
// §3; Microsoft identity platform docs, "Application authentication certificate
// credentials"). What an assertion for the login of a tenant may name as its
// audience, at says.
func (s *Set) AuthenticateCertificate(ctx context.Context, id, assertion string, at func(tenant string) []string) (p ServicePrincipal, err error) {
	if len(assertion) > maxToken {
		return p, ErrSecret
	}
	token, err := jwt.ParseSigned(assertion, keyAlgorithms)
	if err != nil || len(token.Headers) != 1 {
		return p, fmt.Errorf("%w: the assertion cannot be read, or is not signed by PS256 or RS256", ErrSecret)
	}
	id = strings.ToLower(id)
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		a, err := scanApplication(tx.Row(ctx, applicationColumns+"WHERE app = ?", id).Scan)
		if err != nil {
			if fault.Of(orMissing(err, "application", id)) == fault.NotFound {
				return ErrUnknown
			}
			return err
		}
		if err := a.signed(token, at(a.Tenant), time.Now()); err != nil {
			return err
		}
		p, err = s.ready(ctx, tx, a)
		return err
	})
	return p, err
}

// signed tells whether an assertion is the application's own, and good.
func (a Application) signed(token *jwt.JSONWebToken, audiences []string, now time.Time) error {
	i := slices.IndexFunc(a.Keys, func(k KeyCredential) bool { return k.named(token.Headers[0]) })
	if i < 0 {
		return fmt.Errorf("%w: the application has no certificate with the thumbprint of the assertion", ErrSecret)
	}
	cert, err := x509.ParseCertificate(a.Keys[i].Certificate)
	if err != nil {
		return fmt.Errorf("read the certificate %s: %w", a.Keys[i].ID, err)
	}
	// Whatever key the assertion brings along is nobody's.
	var c jwt.Claims
	if err := token.Claims(cert.PublicKey, &c); err != nil {
		return fmt.Errorf("%w: the assertion failed signature validation", ErrSecret)
	}
	switch {
	case !strings.EqualFold(c.Issuer, a.AppID) || !strings.EqualFold(c.Subject, a.AppID):
		return fmt.Errorf("%w: issuer and subject of the assertion must be the application", ErrSecret)
	case len(c.Audience) != 1 || !slices.ContainsFunc(audiences, func(x string) bool { return audienceKey(x) == audienceKey(c.Audience[0]) }):
		return fmt.Errorf("%w: the assertion is not for the token endpoint of the application's tenant", ErrSecret)
	case c.Expiry == nil || now.After(c.Expiry.Time().Add(assertionSkew)) || c.NotBefore != nil && now.Add(assertionSkew).Before(c.NotBefore.Time()):
		return fmt.Errorf("%w: the assertion is not within its valid time range", ErrSecret)
	case c.Expiry.Time().After(now.Add(maxAssertion + assertionSkew)):
		return fmt.Errorf("%w: the assertion is good for more than an hour", ErrSecret)
	case now.Before(a.Keys[i].Start) || !now.Before(a.Keys[i].End):
		return ErrExpired
	}
	return nil
}

// named tells whether an assertion names this certificate, by x5t#S256 or x5t
// (RFC 7515 §4.1.7, §4.1.8); by all that it names.
func (k KeyCredential) named(h jose.Header) bool {
	old, now := sha1.Sum(k.Certificate), sha256.Sum256(k.Certificate)
	named := false
	for name, sum := range map[jose.HeaderKey][]byte{"x5t": old[:], "x5t#S256": now[:]} {
		said, there := h.ExtraHeaders[name]
		if !there {
			continue
		}
		if text, _ := said.(string); !bytes.Equal(thumb(text), sum) {
			return false
		}
		named = true
	}
	return named
}

// thumb reads a thumbprint. It ought to be base64url without padding; MSAL for
// Go writes the other alphabet, and padding.
func thumb(s string) []byte {
	sum, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(s), "="))
	if err != nil {
		return nil
	}
	return sum
}
