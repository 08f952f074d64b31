package ua

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/wire/sip"
)

// Digest authentication: RFC 3261 section 22 with the algorithms of RFC 7616
// and RFC 8760. Here is what both ends compute and the grammar both read;
// Prover (digest_client.go) answers challenges, Gate (digest_server.go) makes
// them.

// Credentials are a name and a secret. The realm is the one they are good for;
// empty: any.
type Credentials struct {
	Username string
	Realm    string
	Secret   obs.Secret
}

// algorithm is a hash by its name in headers. The order is that of strength.
type algorithm uint8

const (
	md5Hash algorithm = iota + 1
	sha256Hash
	sha512Hash
)

// Algorithms are the names of those we have, the strongest first.
func Algorithms() []string {
	return []string{sha512Hash.String(), sha256Hash.String(), md5Hash.String()}
}

func (a algorithm) String() string {
	switch a {
	case sha512Hash:
		return "SHA-512-256"
	case sha256Hash:
		return "SHA-256"
	}
	return "MD5"
}

// algorithmOf reads an algorithm; session tells that its key is made with the
// first nonces (RFC 7616 3.4.2). Absent means MD5 (RFC 3261 22.4).
func algorithmOf(name string) (a algorithm, session, ok bool) {
	name = strings.ToUpper(name)
	name, session = strings.CutSuffix(name, "-SESS")
	switch name {
	case "", "MD5":
		return md5Hash, session, name != "" || !session
	case "SHA-256":
		return sha256Hash, session, true
	case "SHA-512-256":
		return sha512Hash, session, true
	}
	return 0, false, false
}

func (a algorithm) new() hash.Hash {
	switch a {
	case sha256Hash:
		return sha256.New()
	case sha512Hash:
		return sha512.New512_256()
	}
	return md5.New()
}

// of is H of RFC 7616 3.3 over parts joined by colons.
func (a algorithm) of(parts ...string) string {
	h := a.new()
	h.Write([]byte(strings.Join(parts, ":")))
	return hex.EncodeToString(h.Sum(nil))
}

// The protections a digest gives (RFC 7616 3.4.3). None is that of RFC 2069.
const (
	qopNone = ""
	qopAuth = "auth"
	qopInt  = "auth-int"
)

// proof is all that a response value is computed from, the secret aside.
type proof struct {
	algorithm algorithm
	key       string // see algorithm.key
	nonce     string
	cnonce    string
	nc        string // 8 hex digits
	qop       string
	method    string
	uri       string
	body      []byte // counts with auth-int only
}

// key is H(A1) (RFC 7616 3.4.2) without a session.
func (a algorithm) key(username, realm string, secret obs.Secret) string {
	return a.of(username, realm, string(secret))
}

// response is the value of the parameter (RFC 7616 3.4.1).
func (p proof) response() string {
	a2 := p.method + ":" + p.uri
	if p.qop == qopInt {
		a2 += ":" + p.algorithm.of(string(p.body))
	}
	if p.qop == qopNone {
		return p.algorithm.of(p.key, p.nonce, p.algorithm.of(a2))
	}
	return p.algorithm.of(p.key, p.nonce, p.nc, p.cnonce, p.qop, p.algorithm.of(a2))
}

// credential is one scheme with its parameters, in a challenge or in an answer.
type credential struct {
	scheme string
	params []parameter
}

type parameter struct{ name, value string } // name in lower case, value without quotes

func (c credential) get(name string) string {
	for _, p := range c.params {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

// maxParameters bounds one scheme: the RFCs define a dozen.
const maxParameters = 32

var (
	errGrammar   = errors.New("not a list of parameters")
	errDuplicate = errors.New("a parameter stands twice")
	errTooMany   = errors.New("too many parameters")
)

// parseCredentials reads the value of WWW-Authenticate, Proxy-Authenticate or
// of their answers. One line holds one scheme (RFC 3261 7.3.1); those who join
// them with commas, as HTTP allows, are understood as well.
func parseCredentials(s string) ([]credential, error) {
	var all []credential
	for {
		s = strings.TrimLeft(s, " \t,")
		if s == "" {
			return all, nil
		}
		word, rest := token(s)
		if word == "" {
			return nil, errGrammar
		}
		after := strings.TrimLeft(rest, " \t")
		if !strings.HasPrefix(after, "=") {
			if len(rest) == len(after) && after != "" {
				return nil, errGrammar
			}
			all = append(all, credential{scheme: word})
			s = rest
			continue
		}
		if len(all) == 0 {
			return nil, errGrammar
		}
		value, rest, err := value(strings.TrimLeft(after[1:], " \t"))
		if err != nil {
			return nil, err
		}
		if err := all[len(all)-1].add(parameter{strings.ToLower(word), value}); err != nil {
			return nil, err
		}
		s = rest
	}
}

// add appends a parameter. A second one of the same name would let two readers
// see two different values.
func (c *credential) add(p parameter) error {
	for _, have := range c.params {
		if have.name == p.name {
			return errDuplicate
		}
	}
	if len(c.params) == maxParameters {
		return errTooMany
	}
	c.params = append(c.params, p)
	return nil
}

// value cuts a token or a quoted string, and sees that it ends there.
func value(s string) (v, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		v, rest, err = quoted(s[1:])
	} else if v, rest = token(s); v == "" {
		err = errGrammar
	}
	if err != nil {
		return "", "", err
	}
	if t := strings.TrimLeft(rest, " \t"); t != "" && t[0] != ',' {
		return "", "", errGrammar
	}
	return v, rest, nil
}

// quoted reads a quoted string behind its opening quote. Escapes are resolved:
// what is hashed is the text, not its spelling (RFC 7616 3.4, "unq").
func quoted(s string) (v, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '"' {
			return b.String(), s[i+1:], nil
		}
		if c == '\\' {
			if i++; i == len(s) {
				break
			}
			c = s[i]
		}
		if c < ' ' && c != '\t' || c == 0x7f {
			return "", "", errGrammar // it could not be written back
		}
		b.WriteByte(c)
	}
	return "", "", errGrammar
}

// token cuts a token (RFC 3261 25.1). A slash and a plus may stand in it too:
// some write nonces without quotes.
func token(s string) (t, rest string) {
	i := 0
	for i < len(s) && isToken(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

func isToken(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("-.!%*_+`'~/:", c) >= 0
}

// challenge is what a far side demands in a 401 or 407.
type challenge struct {
	proxy     bool // 407: another header, and another realm even if the name is the same
	realm     string
	nonce     string
	opaque    string
	hasOpaque bool
	domain    string // URIs that the proof may be shown to unasked, empty: all (RFC 7616 3.3)
	algorithm algorithm
	session   bool
	spelled   string // the algorithm as they write it, empty: not at all
	qop       string
	stale     bool
}

// challenges are the ones of a response that we can answer, and why the others
// cannot be.
func challenges(resp *sip.Message) (all []challenge, unusable []string) {
	for _, x := range [...]struct {
		header string
		proxy  bool
	}{{"Proxy-Authenticate", true}, {"WWW-Authenticate", false}} {
		for line := range resp.Values(x.header) {
			list, err := parseCredentials(line)
			if err != nil {
				unusable = append(unusable, "its "+x.header+" cannot be read: "+err.Error())
			}
			for _, c := range list {
				ch, err := challengeOf(c, x.proxy)
				if err != nil {
					unusable = append(unusable, err.Error())
					continue
				}
				all = append(all, ch)
			}
		}
	}
	return all, unusable
}

func challengeOf(c credential, proxy bool) (challenge, error) {
	if !strings.EqualFold(c.scheme, "Digest") {
		return challenge{}, fmt.Errorf("it asks by the scheme %s, and we have Digest only", clip(c.scheme))
	}
	ch := challenge{
		proxy: proxy, realm: c.get("realm"), nonce: c.get("nonce"), opaque: c.get("opaque"),
		domain: c.get("domain"), spelled: c.get("algorithm"), stale: strings.EqualFold(c.get("stale"), "true"),
	}
	for _, p := range c.params {
		ch.hasOpaque = ch.hasOpaque || p.name == "opaque"
	}
	var known bool
	if ch.algorithm, ch.session, known = algorithmOf(ch.spelled); !known {
		return challenge{}, fmt.Errorf("it asks for the algorithm %s, which we do not have", clip(ch.spelled))
	}
	if ch.nonce == "" {
		return challenge{}, errors.New("its challenge has no nonce")
	}
	offered := c.get("qop")
	if ch.qop = choose(offered); ch.qop == qopNone && offered != "" {
		return challenge{}, fmt.Errorf("it asks for the protection %s, which we do not have", clip(offered))
	}
	if ch.session && ch.qop == qopNone {
		return challenge{}, errors.New("its challenge has a session without a qop to make it with")
	}
	return ch, nil
}

// choose takes one of the protections offered. The body is protected only when
// nothing else will do: whatever rewrites addresses in it on the way would
// break the proof.
func choose(offered string) string {
	best := qopNone
	for _, q := range strings.FieldsFunc(offered, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		switch strings.ToLower(q) {
		case qopAuth:
			return qopAuth
		case qopInt:
			best = qopInt
		}
	}
	return best
}

// clip keeps what others wrote short enough for a sentence.
func clip(s string) string {
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return fmt.Sprintf("%q", s)
}

// Next takes the next number of the dialog, for a request that has to go again
// with a proof (RFC 3261 22.2).
func (d *Dialog) Next() uint32 {
	d.localSeq++
	return d.localSeq
}
