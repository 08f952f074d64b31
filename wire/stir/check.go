package stir

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Error says why an Identity header is not believed.
type Error struct {
	Status int    // RFC 8224 6.2.2: 403, 428, 436, 437, 438
	Text   string // one sentence
}

// Error is the text.
func (e *Error) Error() string { return "stir: " + e.Text }

func refuse(status int, format string, args ...any) *Error {
	return &Error{status, fmt.Sprintf(format, args...)}
}

// Reason is the phrase that RFC 8224 gives the status.
func (e *Error) Reason() string {
	switch e.Status {
	case 403:
		return "Stale Date"
	case 428:
		return "Use Identity Header"
	case 436:
		return "Bad Identity Info"
	case 437:
		return "Unsupported Credential"
	}
	return "Invalid Identity Header"
}

// Request is what a token is held against.
type Request struct {
	Now   time.Time
	Date  time.Time // of its Date header, zero when there is none
	Orig  []string  // who it says that calls: From and P-Asserted-Identity; one of them must be signed
	Dest  []string  // who is called: To and Request-URI; one of them must be signed
	Roots *x509.CertPool
}

// Check verifies one Identity header with the certificates that its Info leads
// to, the signer's first. What it returns is what the signer vouches for. The
// error is an *Error.
func (i *Identity) Check(chain []*x509.Certificate, r Request) (Claims, error) {
	if !i.known() {
		return Claims{}, refuse(437, "tokens of kind %q are not known here", i.Kind)
	}
	key, authority, err := trust(chain, r)
	if err != nil {
		return Claims{}, err
	}
	claims, signed := i.Claims, i.signed
	if i.Compact() {
		// RFC 8224 section 7: the claims are those of the request.
		if r.Date.IsZero() || len(r.Orig) == 0 || len(r.Dest) == 0 {
			return Claims{}, refuse(438, "a compact token needs Date, From and To in the request")
		}
		claims = Claims{Orig: Canonical(r.Orig[0]), Dest: []string{Canonical(r.Dest[0])}, Issued: r.Date}
		signed = encode(claims.head(i.Info)) + "." + encode(claims.payload())
	}
	if !verify(key, signed, i.signature) {
		return Claims{}, refuse(438, "the signature does not fit")
	}
	if err := claims.fits(r); err != nil {
		return Claims{}, err
	}
	if !authority.covers(claims.Orig) {
		return Claims{}, refuse(437, "the certificate is not for the number %s", claims.Orig)
	}
	return claims, nil
}

// fits holds what was signed against the request.
func (c Claims) fits(r Request) error {
	for _, at := range []time.Time{c.Issued, r.Date} {
		if !at.IsZero() && r.Now.Sub(at).Abs() > Fresh {
			return refuse(403, "it was made at %s, and now it is %s", at.UTC().Format(time.RFC3339), r.Now.UTC().Format(time.RFC3339))
		}
	}
	if !among(c.Orig, r.Orig) {
		return refuse(438, "the token is for another caller")
	}
	if !slices.ContainsFunc(c.Dest, func(d string) bool { return among(d, r.Dest) }) {
		return refuse(438, "the token is for somebody else called")
	}
	return nil
}

func among(who string, list []string) bool {
	who = Canonical(who)
	return who != "" && slices.ContainsFunc(list, func(x string) bool { return Canonical(x) == who })
}

// trust checks a chain, and gives the signer's key and what it is for.
func trust(chain []*x509.Certificate, r Request) (*ecdsa.PublicKey, *authority, error) {
	if len(chain) == 0 {
		return nil, nil, refuse(436, "there is no certificate where info leads to")
	}
	leaf := *chain[0]
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, nil, refuse(437, "the certificate's key is not one of ECDSA over P-256")
	}
	a, err := readAuthority(&leaf)
	if err != nil {
		return nil, nil, refuse(437, "%v", err)
	}
	// We know the extension, whether it is critical or not; Go does not.
	leaf.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(leaf.UnhandledCriticalExtensions), oidTNAuthList.Equal)
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: r.Roots, Intermediates: between, CurrentTime: r.Now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, nil, refuse(437, "the certificate is not trusted: %v", err)
	}
	return key, a, nil
}

// ReadChain reads certificates in PEM form, at most ten.
func ReadChain(text []byte) (chain []*x509.Certificate, err error) {
	for len(text) > 0 && len(chain) < 10 {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read a certificate: %w", err)
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, errors.New("no certificate in PEM form")
	}
	return chain, nil
}

// oidTNAuthList marks the extension that says which numbers a certificate is
// for (RFC 8226 section 9).
var oidTNAuthList = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 26}

// authority is a TNAuthorizationList. With a service provider code, as SHAKEN
// has it, the certificate is for all numbers of that provider, which nobody
// can look up; with numbers it is for those alone.
type authority struct {
	codes  []string
	ranges []numberRange
}

type numberRange struct {
	start string // digits
	count int
}

// readAuthority reads RFC 8226 section 9: SEQUENCE OF CHOICE {[0] spc IA5String,
// [1] range SEQUENCE {start IA5String, count INTEGER}, [2] one IA5String}.
func readAuthority(c *x509.Certificate) (*authority, error) {
	a := &authority{}
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidTNAuthList) {
			continue
		}
		var list []asn1.RawValue
		if rest, err := asn1.Unmarshal(e.Value, &list); err != nil || len(rest) > 0 || len(list) == 0 {
			return nil, errors.New("the certificate's list of numbers cannot be read")
		}
		for _, v := range list {
			if err := a.add(v); err != nil {
				return nil, err
			}
		}
	}
	return a, nil
}

func (a *authority) add(v asn1.RawValue) error {
	bad := errors.New("the certificate's list of numbers cannot be read")
	if v.Class != asn1.ClassContextSpecific {
		return bad
	}
	switch v.Tag {
	case 0:
		var code string
		if _, err := asn1.Unmarshal(v.Bytes, &code); err != nil {
			return bad
		}
		a.codes = append(a.codes, code)
	case 1:
		var r struct {
			Start string `asn1:"ia5"`
			Count int
		}
		// Explicit tagging (RFC 8226's module) wraps the SEQUENCE.
		if _, err := asn1.Unmarshal(v.Bytes, &r); err != nil || r.Count < 2 {
			return bad
		}
		a.ranges = append(a.ranges, numberRange{Canonical(r.Start), r.Count})
	case 2:
		var one string
		if _, err := asn1.Unmarshal(v.Bytes, &one); err != nil {
			return bad
		}
		a.ranges = append(a.ranges, numberRange{Canonical(one), 1})
	default:
		return bad
	}
	return nil
}

// covers reports whether a certificate may speak for a number. One without a
// list, and one with a provider's code, may for any: what it is for cannot be
// seen in it.
func (a *authority) covers(who string) bool {
	if len(a.ranges) == 0 || len(a.codes) > 0 {
		return true
	}
	return slices.ContainsFunc(a.ranges, func(r numberRange) bool { return r.holds(Canonical(who)) })
}

// holds compares numbers of equal length; digits alone sort as numbers do.
func (r numberRange) holds(number string) bool {
	if len(number) != len(r.start) || strings.ContainsAny(number, "*#:") {
		return false
	}
	first, ok1 := digits(r.start)
	n, ok2 := digits(number)
	return ok1 && ok2 && n >= first && n-first < uint64(r.count)
}

func digits(s string) (n uint64, ok bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}
