// Package stir signs and verifies who calls whom: Identity headers (RFC 8224)
// with PASSporTs (RFC 8225) of the kinds plain, shaken (RFC 8588) and div
// (RFC 8946), under certificates for telephone numbers (RFC 8226).
//
// Pure: no I/O and no clock. Whoever verifies hands in the certificates that
// the header points to; fetching and caching them is edge/attest's. Start
// reading at Sign and Check.
//
// The package refuses every algorithm but ES256, which is the only one the
// RFCs have, and tokens beyond MaxIdentity.
package stir

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// MaxIdentity is the longest Identity header that is read, in bytes. Those of
// real networks have some 700.
const MaxIdentity = 8 << 10

// Fresh is how far from now a token may have been made, either way
// (RFC 8224 6.2.2 recommends 60 seconds).
const Fresh = time.Minute

// Kinds of token, as the ppt parameter names them.
const (
	Plain  = ""
	Shaken = "shaken"
	Div    = "div"
)

// Attestation is how sure the signer is of the caller (RFC 8588 section 4).
type Attestation string

// The attestations.
const (
	Full    Attestation = "A" // it knows the customer, and that the number is the customer's
	Partial Attestation = "B" // it knows the customer, not the number
	Gateway Attestation = "C" // it knows only where the call came in
)

// Claims are what a token says.
type Claims struct {
	Kind   string    // Plain, Shaken or Div
	Orig   string    // calling number, or URI when it holds a colon
	Dest   []string  // called numbers or URIs
	Issued time.Time // whole seconds

	Attest Attestation // Shaken
	OrigID string      // Shaken: a UUID that stands for where the call came in

	Diverted string // Div: the number or URI that it was diverted from
}

// head and payload are the JSON of a token. Their keys stand in the order of
// RFC 8225 section 9, which encoding/json keeps.
type head struct {
	Alg string `json:"alg"`
	PPT string `json:"ppt,omitempty"`
	Typ string `json:"typ"`
	X5U string `json:"x5u"`
}

type payload struct {
	Attest string `json:"attest,omitempty"`
	Dest   *dest  `json:"dest"`
	Div    *party `json:"div,omitempty"`
	IAT    int64  `json:"iat"`
	Orig   *party `json:"orig"`
	OrigID string `json:"origid,omitempty"`
}

type dest struct {
	TN  []string `json:"tn,omitempty"`
	URI []string `json:"uri,omitempty"`
}

type party struct {
	TN  string `json:"tn,omitempty"`
	URI string `json:"uri,omitempty"`
}

// Sign gives the value of an Identity header. info is the https URL of the
// certificate of key.
func Sign(c Claims, info string, key *ecdsa.PrivateKey) (string, error) {
	if err := c.check(); err != nil {
		return "", err
	}
	if key == nil || key.Curve.Params().BitSize != 256 {
		return "", errors.New("stir: the key must be one of ECDSA over P-256 (RFC 8225 4)")
	}
	signed := encode(c.head(info)) + "." + encode(c.payload())
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	raw := make([]byte, 64)
	r.FillBytes(raw[:32])
	s.FillBytes(raw[32:])
	value := signed + "." + base64.RawURLEncoding.EncodeToString(raw) + ";info=<" + info + ">;alg=ES256"
	if c.Kind != Plain {
		value += `;ppt="` + c.Kind + `"`
	}
	return value, nil
}

// check finds what must not be signed.
func (c Claims) check() error {
	switch {
	case c.Orig == "" || len(c.Dest) == 0 || slices.Contains(c.Dest, ""):
		return errors.New("stir: a token needs a caller and somebody called")
	case c.Kind == Shaken && (c.OrigID == "" || !c.Attest.valid()):
		return errors.New("stir: a shaken token needs an attestation of A, B or C and an origination identifier")
	case c.Kind == Div && c.Diverted == "":
		return errors.New("stir: a div token needs the number that was diverted")
	case c.Kind != Plain && c.Kind != Shaken && c.Kind != Div:
		return fmt.Errorf("stir: unknown kind of token %q", c.Kind)
	}
	return nil
}

func (a Attestation) valid() bool { return a == Full || a == Partial || a == Gateway }

func (c Claims) head(info string) head {
	return head{Alg: "ES256", PPT: c.Kind, Typ: "passport", X5U: info}
}

func (c Claims) payload() payload {
	p := payload{Dest: &dest{}, IAT: c.Issued.Unix(), Orig: partyOf(c.Orig)}
	for _, d := range c.Dest {
		if d = Canonical(d); strings.Contains(d, ":") {
			p.Dest.URI = append(p.Dest.URI, d)
		} else {
			p.Dest.TN = append(p.Dest.TN, d)
		}
	}
	if c.Kind == Shaken {
		p.Attest, p.OrigID = string(c.Attest), c.OrigID
	}
	if c.Kind == Div {
		p.Div = partyOf(c.Diverted)
	}
	return p
}

func partyOf(who string) *party {
	if who = Canonical(who); strings.Contains(who, ":") {
		return &party{URI: who}
	}
	return &party{TN: who}
}

func (p *party) name() string {
	if p == nil {
		return ""
	}
	if p.TN != "" {
		return p.TN
	}
	return p.URI
}

// Canonical is a telephone number as tokens have it, digits alone
// (RFC 8224 8.3); a URI stays as it is.
func Canonical(who string) string {
	if strings.Contains(who, ":") {
		return who
	}
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r == '*' || r == '#' {
			return r
		}
		return -1
	}, who)
}

// encode is base64url of JSON. The types here always have one.
func encode(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // a URL's & stays what it is (RFC 8225 section 9)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(strings.TrimSuffix(b.String(), "\n")))
}

// Identity is one Identity header, read and not yet believed.
type Identity struct {
	Info string // URL of the certificate
	Kind string // Plain, Shaken, Div, or one we do not know
	Claims

	signed    string // what was signed; empty in the compact form
	signature []byte
}

// Compact reports the form without claims (RFC 8224 section 7), which are to
// be taken from the request.
func (i *Identity) Compact() bool { return i.signed == "" }

// Parse reads the value of an Identity header.
func Parse(value string) (*Identity, error) {
	if len(value) > MaxIdentity {
		return nil, refuse(438, "the Identity header is longer than %d bytes", MaxIdentity)
	}
	token, rest, _ := strings.Cut(value, ";")
	params, err := parameters(rest)
	if err != nil {
		return nil, err
	}
	if alg := params["alg"]; alg != "" && alg != "ES256" {
		return nil, refuse(437, "the algorithm %q is not ES256", alg)
	}
	parts := strings.Split(strings.TrimSpace(token), ".")
	if len(parts) != 3 {
		return nil, refuse(438, "the token has %d parts, and not three", len(parts))
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(signature) != 64 {
		return nil, refuse(438, "the signature is not one of ES256")
	}
	i := &Identity{Info: params["info"], Kind: params["ppt"], signature: signature}
	if i.Info == "" {
		return nil, refuse(436, "the Identity header has no info parameter")
	}
	if parts[0] == "" && parts[1] == "" {
		if i.Kind != Plain {
			return nil, refuse(438, "a %s token must be written out", i.Kind)
		}
		return i, nil
	}
	i.signed = parts[0] + "." + parts[1]
	return i, i.read(parts[0], parts[1])
}

// read takes the claims of the full form.
func (i *Identity) read(first, second string) error {
	var h head
	var p payload
	if err := decode(first, &h); err != nil {
		return refuse(438, "the token's header cannot be read: %v", err)
	}
	if err := decode(second, &p); err != nil {
		return refuse(438, "the token's payload cannot be read: %v", err)
	}
	switch {
	case h.Alg != "ES256" || !strings.EqualFold(h.Typ, "passport"):
		return refuse(438, "the token says alg %q and typ %q", h.Alg, h.Typ)
	case h.PPT != i.Kind:
		return refuse(438, "the token is of kind %q, and the header says %q", h.PPT, i.Kind)
	case h.X5U != i.Info:
		return refuse(438, "the token names another certificate than the header") // RFC 8224 6.2.1 step 2
	case p.Orig.name() == "" || p.Dest == nil || p.IAT <= 0:
		return refuse(438, "the token lacks a caller, somebody called, or its time")
	}
	i.Claims = Claims{
		Kind: i.Kind, Orig: p.Orig.name(), Dest: slices.Concat(p.Dest.TN, p.Dest.URI), Issued: time.Unix(p.IAT, 0),
		Attest: Attestation(p.Attest), OrigID: p.OrigID, Diverted: p.Div.name(),
	}
	if err := i.check(); i.known() && err != nil {
		return refuse(438, "%s", strings.TrimPrefix(err.Error(), "stir: "))
	}
	return nil
}

func (i *Identity) known() bool { return i.Kind == Plain || i.Kind == Shaken || i.Kind == Div }

func decode(s string, into any) error {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return errors.New("not base64url")
	}
	return json.Unmarshal(b, into)
}

// parameters reads ";name=value", where value is a token, a quoted string, or
// a URL in angle brackets.
func parameters(s string) (map[string]string, error) {
	out := map[string]string{}
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimLeft(s, "; \t") {
		name, rest, found := strings.Cut(s, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if !found || name == "" || strings.ContainsAny(name, ";<>\"") || len(out) == 16 {
			return nil, refuse(438, "the parameters of the Identity header cannot be read")
		}
		var value string
		rest = strings.TrimLeft(rest, " \t")
		switch {
		case strings.HasPrefix(rest, "<"):
			value, s, found = strings.Cut(rest[1:], ">")
		case strings.HasPrefix(rest, `"`):
			value, s, found = strings.Cut(rest[1:], `"`)
		default:
			value, s, _ = strings.Cut(rest, ";")
			value = strings.TrimSpace(value)
		}
		if _, twice := out[name]; !found || twice {
			return nil, refuse(438, "the parameters of the Identity header cannot be read")
		}
		out[name] = value
	}
	return out, nil
}

// verify checks the signature over what was signed.
func verify(key *ecdsa.PublicKey, signed string, signature []byte) bool {
	sum := sha256.Sum256([]byte(signed))
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	return ecdsa.Verify(key, sum[:], r, s)
}
