package ua

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/tandemgw/tandem/wire/sip"
)

// Prover proves to one far side who we are. It remembers the challenges, so
// that later requests carry their proof at once. It may be used by several
// goroutines.
type Prover struct {
	read func() (Credentials, error) // RO

	mu       sync.Mutex
	sessions []session // mu
}

// session is a challenge we know the answer to.
type session struct {
	challenge
	username string
	key      string // H(A1), with that of a session
	cnonce   string
	nc       uint32 // of the last request
}

const (
	// maxSessions is how many realms one request may have to satisfy: the
	// registrar's and those of proxies before it.
	maxSessions = 4
	// maxTries is how often a request may be sent again: for the challenge of a
	// proxy, for that of who is behind it, and for a nonce that ran out.
	maxTries = 3
)

// NewProver makes a Prover. read is called for every new challenge, so that a
// secret can be replaced while we run.
func NewProver(read func() (Credentials, error)) *Prover { return &Prover{read: read} }

// Sign puts the proofs on a request, in place of those it has.
func (p *Prover) Sign(req *sip.Message) {
	req.Del("Authorization")
	req.Del("Proxy-Authorization")
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.sessions {
		if s := &p.sessions[i]; s.covers(req) {
			req.Add(s.header(), s.sign(req))
		}
	}
}

// Learn takes the challenges of a 401 or 407 to req, a request as it was sent,
// which had been challenged tries times before. An error means that there is
// no sense in sending it again, and says why in a sentence about the far side.
func (p *Prover) Learn(req, resp *sip.Message, tries int) error {
	all, unusable := challenges(resp)
	if len(all) == 0 {
		if len(unusable) == 0 {
			return errors.New("it asks for a proof without saying how")
		}
		return errors.New(strings.Join(unusable, "; "))
	}
	if tries >= maxTries {
		return fmt.Errorf("it still asks for a proof after %d", tries)
	}
	cred, err := p.read()
	if err != nil {
		return err
	}
	shown := shownIn(req)
	p.mu.Lock()
	defer p.mu.Unlock()
	answered := false
	for _, ch := range strongest(all) {
		if cred.Realm != "" && cred.Realm != ch.realm {
			err = fmt.Errorf("it asks for a proof in the realm %s, and ours is for %s", clip(ch.realm), clip(cred.Realm))
			continue
		}
		if err := p.learn(ch, cred, shown, tries); err != nil {
			return err
		}
		answered = true
	}
	if !answered {
		return err
	}
	return nil
}

// learn takes one challenge.
//
// Whoever gets the right proof for the wrong nonce says stale (RFC 7616 3.3).
// A challenge without it, to a proof made from a challenge just received, or
// for the very nonce that was used, means that name or secret are wrong: a
// second proof would be the same. Some far sides keep one nonce for all of our
// requests, so that one which another request made useless proves nothing.
func (p *Prover) learn(ch challenge, cred Credentials, shown []shownProof, tries int) error {
	old := p.session(ch)
	key := ch.algorithm.key(cred.Username, ch.realm, cred.Secret)
	for _, s := range shown {
		if s.proxy != ch.proxy || s.realm != ch.realm || old != nil && old.plainKey(cred) != old.key {
			continue
		}
		newest := old == nil || old.nonce == s.nonce
		if s.nonce == ch.nonce || tries > 0 && !ch.stale && (newest || tries > 1) {
			return fmt.Errorf("it does not accept the name %s with our secret in the realm %s", clip(cred.Username), clip(ch.realm))
		}
	}
	s := session{challenge: ch, username: cred.Username, cnonce: newCnonce(), key: key}
	if ch.session {
		s.key = ch.algorithm.of(key, ch.nonce, s.cnonce) // RFC 7616 3.4.2
	}
	if old != nil && old.nonce == ch.nonce && old.algorithm == ch.algorithm && !ch.session && old.key == key {
		s.cnonce, s.nc = old.cnonce, old.nc // they count on (RFC 7616 3.4)
	}
	if old != nil {
		*old = s
		return nil
	}
	if len(p.sessions) == maxSessions {
		p.sessions = p.sessions[1:]
	}
	p.sessions = append(p.sessions, s)
	return nil
}

// plainKey is the key that a session would have with these credentials.
func (s *session) plainKey(cred Credentials) string {
	key := s.algorithm.key(cred.Username, s.realm, cred.Secret)
	if s.session {
		key = s.algorithm.of(key, s.nonce, s.cnonce)
	}
	return key
}

// session finds what is known of a challenge's realm.
func (p *Prover) session(ch challenge) *session {
	for i := range p.sessions {
		if s := &p.sessions[i]; s.proxy == ch.proxy && s.realm == ch.realm {
			return s
		}
	}
	return nil
}

// Heard takes the nonce that an accepted request's response names for the next
// one (RFC 7616 3.5).
func (p *Prover) Heard(resp *sip.Message) {
	for _, header := range [...]string{"Authentication-Info", "Proxy-Authentication-Info"} {
		line := resp.Get(header)
		if line == "" {
			continue
		}
		list, err := parseCredentials("Digest " + line)
		if err != nil || len(list) != 1 {
			continue
		}
		next, cnonce := list[0].get("nextnonce"), list[0].get("cnonce")
		if next == "" {
			continue
		}
		p.renew(header[0] == 'P', next, cnonce)
	}
}

// renew replaces the nonce of the one session that a response is about.
func (p *Prover) renew(proxy bool, nonce, cnonce string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found *session
	for i := range p.sessions {
		s := &p.sessions[i]
		if s.proxy != proxy || cnonce != "" && s.cnonce != cnonce {
			continue
		}
		if found != nil {
			return // it could be either's
		}
		found = s
	}
	if found != nil && !found.session && found.nonce != nonce {
		found.nonce, found.nc = nonce, 0
	}
}

// covers tells whether the proof may be shown without being asked: a domain
// names the hosts it is meant for, which a proxy's challenge cannot
// (RFC 7616 3.3).
func (s *session) covers(req *sip.Message) bool {
	if s.proxy || s.domain == "" {
		return true
	}
	to, err := sip.ParseURI(req.RequestURI)
	if err != nil {
		return false
	}
	for _, d := range strings.Fields(s.domain) {
		if u, err := sip.ParseURI(d); err == nil && strings.EqualFold(u.Host, to.Host) {
			return true
		}
	}
	return false
}

func (s *session) header() string {
	if s.proxy {
		return "Proxy-Authorization"
	}
	return "Authorization"
}

// sign writes the proof for a request.
func (s *session) sign(req *sip.Message) string {
	s.nc++
	nc := fmt.Sprintf("%08x", s.nc)
	r := proof{
		algorithm: s.algorithm, key: s.key, nonce: s.nonce, cnonce: s.cnonce, nc: nc, qop: s.qop,
		method: req.Method, uri: req.RequestURI, body: req.Body,
	}.response()
	var b strings.Builder
	b.WriteString("Digest username=" + sip.Quote(s.username) + ",realm=" + sip.Quote(s.realm) +
		",nonce=" + sip.Quote(s.nonce) + ",uri=" + sip.Quote(req.RequestURI) + `,response="` + r + `"`)
	if s.spelled != "" {
		b.WriteString(",algorithm=" + s.spelled)
	}
	if s.hasOpaque {
		b.WriteString(",opaque=" + sip.Quote(s.opaque))
	}
	if s.qop != qopNone { // RFC 7616 3.4: only then have they a meaning
		b.WriteString(`,cnonce="` + s.cnonce + `",qop=` + s.qop + ",nc=" + nc)
	}
	return b.String()
}

// shownProof is a proof that a request bore.
type shownProof struct {
	proxy        bool
	realm, nonce string
}

func shownIn(req *sip.Message) (all []shownProof) {
	for _, header := range [...]string{"Authorization", "Proxy-Authorization"} {
		for line := range req.Values(header) {
			if list, err := parseCredentials(line); err == nil && len(list) == 1 {
				all = append(all, shownProof{header[0] == 'P', list[0].get("realm"), list[0].get("nonce")})
			}
		}
	}
	return all
}

// strongest keeps one challenge of each realm: the one with the best hash, the
// first one where they are alike.
func strongest(all []challenge) []challenge {
	var best []challenge
next:
	for _, ch := range all {
		for i, b := range best {
			if b.proxy == ch.proxy && b.realm == ch.realm {
				if ch.algorithm > b.algorithm {
					best[i] = ch
				}
				continue next
			}
		}
		if len(best) < maxSessions {
			best = append(best, ch)
		}
	}
	return best
}

func newCnonce() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Again gives a request outside of a dialog, which goes again with a proof, the
// next number (RFC 3261 22.2). In a dialog it is Dialog.Next that knows it.
func Again(req *sip.Message) {
	if seq, err := req.CSeq(); err == nil {
		setSeq(req, seq.Seq+1)
	}
}

func setSeq(req *sip.Message, seq uint32) {
	req.Set("CSeq", strconv.FormatUint(uint64(seq), 10)+" "+req.Method)
}
