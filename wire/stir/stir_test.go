package stir

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The example of RFC 8225, Appendix A.
const (
	rfcHeader    = "eyJhbGciOiJFUzI1NiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly9jZXJ0LmV4YW1wbGUub3JnL3Bhc3Nwb3J0LmNlciJ9"
	rfcPayload   = "eyJkZXN0Ijp7InVyaSI6WyJzaXA6YWxpY2VAZXhhbXBsZS5jb20iXX0sImlhdCI6MTQ3MTM3NTQxOCwib3JpZyI6eyJ0biI6IjEyMTU1NTUxMjEyIn19"
	rfcSignature = "VLBCIVDCaeK6M4hLJb6SHQvacAQVvoiiEOWQ_iUkqk79UD81fHQ0E1b3_GluIkba7UWYRM47ZbNFdOJquE35cw"
	rfcInfo      = "https://cert.example.org/passport.cer"
)

func TestTheExampleOfRFC8225(t *testing.T) {
	c := Claims{Orig: "12155551212", Dest: []string{"sip:alice@example.com"}, Issued: time.Unix(1471375418, 0)}
	if got := encode(c.head(rfcInfo)); got != rfcHeader {
		t.Errorf("header %s", got)
	}
	if got := encode(c.payload()); got != rfcPayload {
		t.Errorf("payload %s", got)
	}
	i, err := Parse(rfcHeader + "." + rfcPayload + "." + rfcSignature + ";info=<" + rfcInfo + ">;alg=ES256")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, i.Claims); diff != "" {
		t.Error(diff)
	}
}

// RFC 7515, Appendix A.3: a JWS under ES256.
func TestTheExampleOfRFC7515(t *testing.T) {
	x, errX := base64.RawURLEncoding.DecodeString("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU")
	y, errY := base64.RawURLEncoding.DecodeString("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")
	signature, errS := base64.RawURLEncoding.DecodeString("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q")
	if err := errors.Join(errX, errY, errS); err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
	if err != nil {
		t.Fatal(err)
	}
	signed := "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
	if !verify(key, signed, signature) {
		t.Error("the signature does not fit")
	}
	signature[5] ^= 1
	if verify(key, signed, signature) {
		t.Error("another signature fits")
	}
}

// signer is an authority and one who signs under it.
type signer struct {
	key   *ecdsa.PrivateKey
	chain []*x509.Certificate
	roots *x509.CertPool
}

// at is when all tests happen.
var at = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const info = "https://cert.example/shaken.pem"

func newSigner(t testing.TB, list ...asn1.RawValue) *signer {
	t.Helper()
	rootKey, root := issue(t, nil, nil, nil)
	key, leaf := issue(t, root, rootKey, list)
	s := &signer{key: key, chain: []*x509.Certificate{leaf}, roots: x509.NewCertPool()}
	s.roots.AddCert(root)
	return s
}

func issue(t testing.TB, parent *x509.Certificate, parentKey *ecdsa.PrivateKey, list []asn1.RawValue) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "SHAKEN 1234"},
		NotBefore: at.Add(-time.Hour), NotAfter: at.Add(time.Hour), BasicConstraintsValid: true, IsCA: parent == nil,
	}
	if list != nil {
		der, err := asn1.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		c.ExtraExtensions = []pkix.Extension{{Id: oidTNAuthList, Critical: true, Value: der}}
	}
	if parent == nil {
		parent, parentKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, made
}

// entry is one of a TNAuthorizationList, explicitly tagged.
func entry(t testing.TB, tag int, v any, params string) asn1.RawValue {
	t.Helper()
	der, err := asn1.MarshalWithParams(v, params)
	if err != nil {
		t.Fatal(err)
	}
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: true, Bytes: der}
}

func (s *signer) sign(t testing.TB, c Claims) string {
	t.Helper()
	v, err := Sign(c, info, s.key)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func shaken() Claims {
	return Claims{
		Kind: Shaken, Orig: "+44 1632 960123", Dest: []string{"+442079460123"}, Issued: at,
		Attest: Full, OrigID: "123e4567-e89b-12d3-a456-426655440000",
	}
}

func (s *signer) request() Request {
	return Request{Now: at, Date: at, Orig: []string{"+441632960123"}, Dest: []string{"+442079460123"}, Roots: s.roots}
}

func TestWhatIsSignedIsVerified(t *testing.T) {
	s := newSigner(t)
	for name, c := range map[string]Claims{
		"shaken (RFC 8588)": shaken(),
		"plain (RFC 8225)":  {Orig: "+441632960123", Dest: []string{"sip:alice@example.com", "+442079460123"}, Issued: at},
		"div (RFC 8946)":    {Kind: Div, Orig: "+441632960123", Dest: []string{"+442079460123"}, Diverted: "+442079460199", Issued: at},
	} {
		i, err := Parse(s.sign(t, c))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := i.Check(s.chain, s.request())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.Orig != "441632960123" || got.Attest != c.Attest || got.Kind != c.Kind || got.OrigID != c.OrigID || got.Diverted != Canonical(c.Diverted) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// RFC 8224 6.2.2: each failure has a status of its own.
func TestWhatIsWrongIsTold(t *testing.T) {
	s, other := newSigner(t), newSigner(t)
	good := s.sign(t, shaken())
	plain := s.sign(t, Claims{Orig: "441632960123", Dest: []string{"442079460123"}, Issued: at})
	token, rest, _ := strings.Cut(good, ";")
	parts := strings.Split(token, ".")
	for name, c := range map[string]struct {
		status int
		value  string
		chain  []*x509.Certificate
		change func(*Request)
	}{
		"made two minutes ago":      {403, good, s.chain, func(r *Request) { r.Now = at.Add(2 * time.Minute) }},
		"made in two minutes":       {403, good, s.chain, func(r *Request) { r.Now = at.Add(-2 * time.Minute) }},
		"Date of an hour ago":       {403, good, s.chain, func(r *Request) { r.Date = at.Add(-time.Hour) }},
		"no info":                   {436, strings.Replace(good, "info=<"+info+">;", "", 1), s.chain, nil},
		"nothing where info leads":  {436, good, nil, nil},
		"a stranger's certificate":  {437, good, other.chain, nil},
		"its key, our authority":    {438, good, s.chain, func(r *Request) { *r = s.request(); r.Orig = []string{"+15550100"} }},
		"somebody else called":      {438, good, s.chain, func(r *Request) { r.Dest = []string{"+442079460999"} }},
		"another algorithm":         {437, strings.Replace(good, "alg=ES256", "alg=none", 1), s.chain, nil},
		"of an unknown kind":        {438, strings.Replace(good, `ppt="shaken"`, `ppt="rph"`, 1), s.chain, nil},
		"other claims":              {438, parts[0] + "." + encode(Claims{Kind: Shaken, Orig: "441632960123", Dest: []string{"442079460123"}, Issued: at, Attest: Partial, OrigID: "x"}.payload()) + "." + parts[2] + ";" + rest, s.chain, nil},
		"two parts":                 {438, parts[0] + "." + parts[1] + ";" + rest, s.chain, nil},
		"a short signature":         {438, parts[0] + "." + parts[1] + ".AAAA;" + rest, s.chain, nil},
		"a shaken one cut short":    {438, ".." + parts[2] + ";" + rest, s.chain, nil},
		"another certificate named": {438, strings.Replace(good, "info=<https", "info=<http", 1), s.chain, nil},
		"a parameter twice":         {438, plain + ";alg=ES256", s.chain, nil},
		"too long":                  {438, good + ";x=" + strings.Repeat("y", MaxIdentity), s.chain, nil},
	} {
		r := s.request()
		if c.change != nil {
			c.change(&r)
		}
		i, err := Parse(c.value)
		if err == nil {
			_, err = i.Check(c.chain, r)
		}
		var no *Error
		if !errors.As(err, &no) || no.Status != c.status || no.Text == "" || no.Reason() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// RFC 8224 section 7.
func TestTheCompactFormTakesItsClaimsFromTheRequest(t *testing.T) {
	s := newSigner(t)
	full := s.sign(t, Claims{Orig: "441632960123", Dest: []string{"442079460123"}, Issued: at})
	token, rest, _ := strings.Cut(full, ";")
	i, err := Parse(".." + token[strings.LastIndexByte(token, '.')+1:] + ";" + rest)
	if err != nil || !i.Compact() {
		t.Fatal(err)
	}
	if c, err := i.Check(s.chain, s.request()); err != nil || c.Orig != "441632960123" {
		t.Errorf("%+v, %v", c, err)
	}
	r := s.request()
	r.Date = at.Add(time.Second)
	if _, err := i.Check(s.chain, r); err == nil {
		t.Error("another Date was believed")
	}
	r.Date = time.Time{}
	if _, err := i.Check(s.chain, r); err == nil {
		t.Error("it was believed without Date")
	}
}

// RFC 8226 section 9.
func TestACertificateIsForItsNumbers(t *testing.T) {
	type numbers struct {
		Start string `asn1:"ia5"`
		Count int
	}
	code := entry(t, 0, "1234", "ia5")
	for name, c := range map[string]struct {
		list []asn1.RawValue
		ok   bool
	}{
		"a provider's code":     {[]asn1.RawValue{code}, true},
		"the number":            {[]asn1.RawValue{entry(t, 2, "441632960123", "ia5")}, true},
		"another number":        {[]asn1.RawValue{entry(t, 2, "441632960124", "ia5")}, false},
		"a range with it":       {[]asn1.RawValue{entry(t, 1, numbers{"441632960100", 100}, "")}, true},
		"a range that ends":     {[]asn1.RawValue{entry(t, 1, numbers{"441632960100", 23}, "")}, false},
		"a range that begins":   {[]asn1.RawValue{entry(t, 1, numbers{"441632960124", 9}, "")}, false},
		"a range of one":        {[]asn1.RawValue{entry(t, 1, numbers{"441632960123", 1}, "")}, false},
		"code and other number": {[]asn1.RawValue{code, entry(t, 2, "1", "ia5")}, true},
		"nonsense":              {[]asn1.RawValue{entry(t, 7, "1", "ia5")}, false},
	} {
		s := newSigner(t, c.list...)
		i, err := Parse(s.sign(t, shaken()))
		if err != nil {
			t.Fatal(err)
		}
		var no *Error
		if _, err := i.Check(s.chain, s.request()); (err == nil) != c.ok || err != nil && (!errors.As(err, &no) || no.Status != 437) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatCannotBeSignedIsRefused(t *testing.T) {
	s := newSigner(t)
	wrong, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Sign(shaken(), info, wrong); err == nil {
		t.Error("a key of another curve signs")
	}
	for name, change := range map[string]func(*Claims){
		"no caller":      func(c *Claims) { c.Orig = "" },
		"nobody called":  func(c *Claims) { c.Dest = nil },
		"no attestation": func(c *Claims) { c.Attest = "" },
		"no origid":      func(c *Claims) { c.OrigID = "" },
		"unknown kind":   func(c *Claims) { c.Kind = "rph" },
		"div of nobody":  func(c *Claims) { c.Kind = Div },
	} {
		c := shaken()
		change(&c)
		if _, err := Sign(c, info, s.key); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

func TestChainsAreRead(t *testing.T) {
	s := newSigner(t)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.chain[0].Raw})
	if chain, err := ReadChain(append(bytes.Clone(text), text...)); err != nil || len(chain) != 2 {
		t.Errorf("%d certificates, %v", len(chain), err)
	}
	for _, bad := range []string{"", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if _, err := ReadChain([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func FuzzIdentity(f *testing.F) {
	s := newSigner(f)
	f.Add(s.sign(f, shaken()))
	f.Add(rfcHeader + "." + rfcPayload + "." + rfcSignature + ";info=<" + rfcInfo + ">;alg=ES256")
	f.Add(".." + rfcSignature + ";info=<" + rfcInfo + `>;alg=ES256;ppt=""`)
	f.Add("a.b.c;info=<;ppt=\"")
	other := newSigner(f)
	f.Fuzz(func(t *testing.T, value string) {
		i, err := Parse(value)
		var no *Error
		if err != nil {
			if !errors.As(err, &no) {
				t.Fatalf("%T", err)
			}
			return
		}
		// Nobody here has other's key.
		if _, err := i.Check(other.chain, other.request()); !errors.As(err, &no) {
			t.Fatalf("believed: %v", err)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	s, c := newSigner(b), shaken()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Sign(c, info, s.key); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	s := newSigner(b)
	value, r := s.sign(b, shaken()), s.request()
	b.ReportAllocs()
	for b.Loop() {
		i, err := Parse(value)
		if err == nil {
			_, err = i.Check(s.chain, r)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
