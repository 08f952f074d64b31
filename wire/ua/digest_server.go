package ua

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

// Gate demands a proof from far sides. Its nonces need no memory: they bear
// their time and are signed. What it remembers is how far each nonce that was
// used well has been counted, so that a proof that was overheard opens nothing
// twice. It may be used by several goroutines.
type Gate struct {
	realm      string            // RO
	algorithms []algorithm       // RO; asked for, in this order
	key        [sha256.Size]byte // RO; of the nonces

	mu    sync.Mutex
	used  map[string]counted // mu; by nonce
	floor time.Time          // mu; nonces made before are forgotten, and so are too old
}

// counted is how far a nonce was counted: the highest number, and which of the
// 64 below it were there, since requests overtake each other.
type counted struct {
	top  uint32
	seen uint64    // bit n: top-n
	made time.Time // of the nonce
}

const (
	// nonceLife is how long a nonce is good: RFC 3261 leaves it to the server;
	// longer than a burst of calls, shorter than anybody's patience.
	nonceLife = 5 * time.Minute
	// maxNonces bounds the memory of a gate to about 5 MB. Only a far side that
	// knows the secret can fill it.
	maxNonces = 1 << 15
	// maxProofs is how many proofs of one request are looked at.
	maxProofs = 8
)

// Verdict is what a Gate says of a request.
type Verdict uint8

const (
	Unproven Verdict = iota // it bears no proof for our realm
	Refused                 // its proof is wrong
	Stale                   // its proof is right, for a nonce that was used or ran out
	Proven
)

// NewGate makes a Gate that asks for any of the algorithms, in their order:
// the strongest should come first (RFC 8760 2.3), though there are far sides
// that look at the first one only. None means SHA-256.
func NewGate(realm string, algorithms ...string) *Gate {
	g := &Gate{realm: realm, used: map[string]counted{}}
	for _, name := range algorithms {
		if a, session, ok := algorithmOf(name); ok && !session {
			g.algorithms = append(g.algorithms, a)
		}
	}
	if g.algorithms == nil {
		g.algorithms = []algorithm{sha256Hash}
	}
	_, _ = rand.Read(g.key[:]) // never fails
	return g
}

// Challenge writes the 401 to a request.
func (g *Gate) Challenge(req *sip.Message, v Verdict, now time.Time) *sip.Message {
	resp := sip.NewResponse(req, 401, "")
	for _, a := range g.algorithms {
		value := "Digest realm=" + sip.Quote(g.realm) + `,nonce="` + g.nonce(now) + `",algorithm=` + a.String() + `,qop="auth"`
		if v == Stale {
			value += ",stale=true"
		}
		resp.Add("WWW-Authenticate", value)
	}
	return resp
}

// Judge looks for a proof of cred on a request.
//
// Right is decided before fresh, since stale tells whoever sent it that the
// secret was right (RFC 7616 3.3).
func (g *Gate) Judge(req *sip.Message, cred Credentials, now time.Time) Verdict {
	v, looked := Unproven, 0
	for line := range req.Values("Authorization") {
		list, err := parseCredentials(line)
		if err != nil {
			continue
		}
		for _, c := range list {
			if !strings.EqualFold(c.scheme, "Digest") || c.get("realm") != g.realm {
				continue
			}
			if looked++; looked > maxProofs {
				return v
			}
			if v = max(v, g.judge(c, req, cred, now)); v == Proven {
				return v
			}
		}
	}
	return v
}

func (g *Gate) judge(c credential, req *sip.Message, cred Credentials, now time.Time) Verdict {
	a, isSession, ok := algorithmOf(c.get("algorithm"))
	if !ok || isSession || !slices.Contains(g.algorithms, a) {
		return Refused
	}
	if !strings.EqualFold(c.get("qop"), qopAuth) || !sameUser(c.get("uri"), req.RequestURI) {
		return Refused
	}
	want := proof{
		algorithm: a, key: a.key(cred.Username, g.realm, cred.Secret),
		nonce: c.get("nonce"), cnonce: c.get("cnonce"), nc: c.get("nc"), qop: c.get("qop"),
		method: req.Method, uri: c.get("uri"),
	}.response()
	name := equal(c.get("username"), cred.Username)
	if !equal(strings.ToLower(c.get("response")), want) || !name {
		return Refused
	}
	nc, err := strconv.ParseUint(c.get("nc"), 16, 32)
	made, good := g.made(c.get("nonce"))
	if err != nil || nc == 0 || !good || now.Sub(made) > nonceLife || made.After(now) {
		return Stale
	}
	return g.count(c.get("nonce"), made, uint32(nc), now)
}

// equal compares in a time that tells nothing of where they differ, nor, being
// hashed, of how long the right one is.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// sameUser compares what a proof was made for with what is asked for. A proxy
// on the way may write another host into the Request-URI (RFC 3261 16.6), yet
// not another number.
func sameUser(proven, asked string) bool {
	if proven == asked {
		return true
	}
	p, err1 := sip.ParseURI(proven)
	a, err2 := sip.ParseURI(asked)
	return err1 == nil && err2 == nil && p.User == a.User
}

// count notes the use of a nonce. The same number twice is a replay.
func (g *Gate) count(nonce string, made time.Time, nc uint32, now time.Time) Verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	if made.Before(g.floor) {
		return Stale
	}
	u, known := g.used[nonce]
	if !known {
		if len(g.used) >= maxNonces {
			g.sweep(now)
			if made.Before(g.floor) {
				return Stale
			}
		}
		u.made = made
	}
	switch {
	case nc > u.top:
		u.seen = u.seen<<min(nc-u.top, 64) | 1
		u.top = nc
	case u.top-nc >= 64, u.seen>>(u.top-nc)&1 == 1:
		return Stale
	default:
		u.seen |= 1 << (u.top - nc)
	}
	g.used[nonce] = u
	return Proven
}

// sweep forgets nonces that ran out; if that does not help, all of them, which
// makes them too old at once.
func (g *Gate) sweep(now time.Time) {
	for nonce, u := range g.used {
		if now.Sub(u.made) > nonceLife {
			delete(g.used, nonce)
		}
	}
	if len(g.used) >= maxNonces {
		clear(g.used)
		g.floor = now
	}
}

// A nonce is its time, some chance, and the signature of both and of the
// realm.
const (
	nonceTime   = 8
	nonceRandom = 8
	nonceSigned = nonceTime + nonceRandom
	nonceSize   = nonceSigned + 16
)

func (g *Gate) nonce(now time.Time) string {
	var b [nonceSize]byte
	binary.BigEndian.PutUint64(b[:], uint64(now.UnixNano()))
	_, _ = rand.Read(b[nonceTime:nonceSigned]) // never fails
	copy(b[nonceSigned:], g.signature(b[:nonceSigned]))
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// made is when we made a nonce; false when we did not.
func (g *Gate) made(nonce string) (time.Time, bool) {
	var b [nonceSize]byte
	if len(nonce) != base64.RawURLEncoding.EncodedLen(nonceSize) {
		return time.Time{}, false
	}
	if _, err := base64.RawURLEncoding.Strict().Decode(b[:], []byte(nonce)); err != nil {
		return time.Time{}, false
	}
	if !hmac.Equal(b[nonceSigned:], g.signature(b[:nonceSigned])) {
		return time.Time{}, false
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(b[:]))), true
}

func (g *Gate) signature(b []byte) []byte {
	h := hmac.New(sha256.New, g.key[:])
	h.Write(b)
	h.Write([]byte(g.realm))
	return h.Sum(nil)[:nonceSize-nonceSigned]
}
