package directory

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
)

// key is one that signs tokens.
type key struct {
	id      string
	private *rsa.PrivateKey
	created time.Time
	active  time.Time // when it begins to sign
}

const (
	// ahead is how long a key is published before it signs: longer than anybody
	// keeps a copy of the key set, which we let them keep for an hour.
	ahead = 24 * time.Hour
	// fresh is how long a copy of the keys in memory is good. Another control
	// node may have made one; it does not sign within that time.
	fresh = time.Minute
)

// ring is all keys that are published, the one that signs among them. It makes
// the next one when it is time.
func (s *Set) ring(ctx context.Context, anew bool) ([]key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if !anew && now.Sub(s.read) < fresh && !s.due(s.keys, now) {
		return s.keys, nil
	}
	s.read = now // a database that fails is not asked again at once
	var keys []key
	err := s.store.Read(ctx, func(tx *store.Tx) (err error) {
		keys, err = s.readKeys(ctx, tx)
		return err
	})
	if err == nil && s.due(keys, now) {
		keys, err = s.rotate(ctx, now)
	}
	if err != nil {
		if len(s.keys) > 0 {
			s.log.Warn("signing keys are not read again: those known go on", obs.KeyError, err)
			return s.keys, nil
		}
		return nil, err
	}
	s.keys = keys
	return keys, nil
}

// due tells whether the next key must be made, so that it is published ahead
// of the moment when the last one stops signing.
func (s *Set) due(keys []key, now time.Time) bool {
	return len(keys) == 0 || now.After(keys[len(keys)-1].active.Add(s.rotation-ahead))
}

// rotate makes the next key, unless another node has, and forgets those that
// signed nothing which is still good.
func (s *Set) rotate(ctx context.Context, now time.Time) (keys []key, err error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	next := key{id: thumbprint(&private.PublicKey), private: private, created: now, active: now}
	if der, err = s.seal(ctx, der, ofKey(next.id)); err != nil {
		return nil, err
	}
	err = s.store.Write(ctx, func(tx *store.Tx) error {
		if keys, err = s.readKeys(ctx, tx); err != nil || !s.due(keys, now) {
			return err
		}
		if len(keys) > 0 {
			// Never at once: those who keep a copy of the set must have met it.
			next.active = now.Add(ahead)
			if end := keys[len(keys)-1].active.Add(s.rotation); end.After(next.active) {
				next.active = end
			}
		}
		if _, err := tx.Exec(ctx, "INSERT INTO signing_key (id, private, created, active) VALUES (?, ?, ?, ?)", next.id, der, store.Micros(next.created), store.Micros(next.active)); err != nil {
			return err
		}
		keys = append(keys, next)
		for len(keys) > 1 && now.After(keys[1].active.Add(2*s.life+ahead)) {
			if _, err := tx.Exec(ctx, "DELETE FROM signing_key WHERE id = ?", keys[0].id); err != nil {
				return err
			}
			keys = keys[1:]
		}
		tx.After(func() { s.log.Info("a key for signing tokens was made", "key", next.id, "signs", next.active) })
		return nil
	})
	return keys, err
}

func (s *Set) readKeys(ctx context.Context, tx *store.Tx) ([]key, error) {
	return store.All(ctx, tx, func(scan store.Scan) (k key, err error) {
		var der []byte
		var created, active int64
		if err := scan(&k.id, &der, &created, &active); err != nil {
			return k, err
		}
		k.created, k.active = store.Time(created), store.Time(active)
		if der, err = s.unseal(ctx, der, ofKey(k.id)); err != nil {
			return k, err
		}
		private, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return k, err
		}
		k.private, _ = private.(*rsa.PrivateKey)
		if k.private == nil {
			return k, errors.New("not an RSA key")
		}
		return k, nil
	}, "SELECT id, private, created, active FROM signing_key ORDER BY active, id")
}

// thumbprint names a key by what it is.
func thumbprint(k *rsa.PublicKey) string {
	sum := sha256.Sum256(x509.MarshalPKCS1PublicKey(k))
	return base64.RawURLEncoding.EncodeToString(sum[:20])
}

// signer is the newest key that signs already.
func signer(keys []key, now time.Time) key {
	k := keys[0]
	for _, next := range keys[1:] {
		if !next.active.After(now) {
			k = next
		}
	}
	return k
}

// Keys are the public halves, for whoever verifies tokens.
func (s *Set) Keys(ctx context.Context) (jose.JSONWebKeySet, error) {
	keys, err := s.ring(ctx, false)
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range slices.Backward(keys) {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: &k.private.PublicKey, KeyID: k.id, Algorithm: string(jose.RS256), Use: "sig"})
	}
	return set, err
}

// VerifySignature gives the payload of a token that one of our keys signed.
// It is what oidc.KeySet asks for.
func (s *Set) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, fmt.Errorf("malformed token: %w", err)
	}
	keys, err := s.ring(ctx, false)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if len(jws.Signatures) == 1 && k.id == jws.Signatures[0].Header.KeyID {
			return jws.Verify(&k.private.PublicKey)
		}
	}
	return nil, errors.New("no key of ours signed this token")
}

// claims are those of an access token (Microsoft identity platform docs,
// "Access token claims reference"). Clients take tid, oid and appid out of it.
type claims struct {
	jwt.Claims
	TenantID string   `json:"tid"`
	ObjectID string   `json:"oid"`
	AppID    string   `json:"appid"`
	AZP      string   `json:"azp"`
	AppName  string   `json:"app_displayname,omitempty"`
	Type     string   `json:"idtyp"`    // "app", "user"
	ACR      string   `json:"appidacr"` // "0": a public client, "1": it showed a secret, "2": an assertion
	Roles    []string `json:"roles"`
	Scope    string   `json:"scp,omitempty"`
	WIDs     []string `json:"wids,omitempty"` // directory roles of a user
	Name     string   `json:"name,omitempty"`
	UPN      string   `json:"upn,omitempty"`
	User     string   `json:"preferred_username,omitempty"`
	Methods  []string `json:"amr,omitempty"`
	Resource string   `json:"xms_mirid,omitempty"` // of a managed identity
	Version  string   `json:"ver"`
	UTI      string   `json:"uti"`
}

// Token is what somebody is given.
type Token struct {
	Raw    obs.Secret
	Life   time.Duration
	Scopes []string // of a token for a user
}

// Issue signs a token for an application that has signed in, and an audience:
// with the roles that it has there.
func (s *Set) Issue(ctx context.Context, p ServicePrincipal, issuer, audience string) (Token, error) {
	return s.IssueFor(ctx, p.ID, issuer, audience)
}

// IssueFor signs a token for a service principal of the deployment itself, such
// as a gateway's managed identity, that has no secret to sign in with. Whoever
// calls it answers for that.
func (s *Set) IssueFor(ctx context.Context, object, issuer, audience string) (Token, error) {
	c := claims{Type: "app", ACR: "1", Roles: []string{}}
	err := s.store.Read(ctx, func(tx *store.Tx) error {
		p, err := scanPrincipal(tx.Row(ctx, principalColumns+"WHERE id = ?", strings.ToLower(object)).Scan)
		if err != nil {
			return orMissing(err, "service principal", object)
		}
		if !p.Enabled {
			return ErrDisabled
		}
		if p, err = s.describe(ctx, tx, p); err != nil {
			return err
		}
		c.TenantID, c.ObjectID, c.Subject, c.AppID, c.AZP, c.AppName, c.Resource = p.Tenant, p.ID, p.ID, p.AppID, p.AppID, p.DisplayName, p.Resource
		if p.Resource != "" {
			c.ACR = "2"
		}
		resource, err := s.resource(ctx, tx, p.Tenant, audience)
		if fault.Of(err) == fault.NotFound {
			return nil // a resource of ours that offers no roles
		}
		if err == nil {
			c.Roles, err = appRolesOf(ctx, tx, p.ID, resource)
		}
		return err
	})
	if err != nil {
		return Token{}, err
	}
	return s.sign(ctx, c, issuer, audience)
}

// Delegation is a token that is asked for, for a program that acts for a user.
type Delegation struct {
	Tenant   string
	User     string // object ID
	Client   string // client ID of the program
	Issuer   string
	Audience string
	Scopes   []string // that are asked for; nil: all that there are
	Methods  []string // by which the user signed in: "pwd", "mfa" (RFC 8176)
	Secret   bool     // the program has shown a secret of its own
}

// ErrConsent: nobody has consented to what a program asks for.
var ErrConsent = errors.New("no consent")

// userImpersonation is the one scope of resources of ours that offer none.
const userImpersonation = "user_impersonation"

// IssueUser signs a token for a program that acts for a user: with those of
// the scopes asked for that were consented to, and the user's own roles.
// ErrConsent when there is none of them.
func (s *Set) IssueUser(ctx context.Context, d Delegation) (Token, error) {
	d.Tenant, d.Client = strings.ToLower(d.Tenant), strings.ToLower(d.Client)
	c := claims{Type: "user", ACR: "0", Roles: []string{}, Methods: d.Methods}
	if d.Secret {
		c.ACR = "1"
	}
	var scopes []string
	err := s.store.Read(ctx, func(tx *store.Tx) error {
		u, err := userBy(ctx, tx, "WHERE tenant = ? AND id = ?", d.Tenant, strings.ToLower(d.User))
		switch {
		case err != nil:
			return err
		case !u.Enabled:
			return fault.New(fault.Denied, "The user account is disabled.")
		}
		if err := s.program(ctx, tx, d, &c); err != nil {
			return err
		}
		c.TenantID, c.ObjectID, c.Subject, c.Name, c.UPN, c.User = u.Tenant, u.ID, u.ID, u.DisplayName, u.Name, u.Name
		roles, err := rolesOf(ctx, tx, u.Tenant, u.ID)
		if err != nil {
			return err
		}
		c.WIDs = nil
		for _, r := range roles {
			c.WIDs = append(c.WIDs, r.ID())
		}
		resource, err := s.resource(ctx, tx, d.Tenant, d.Audience)
		if fault.Of(err) == fault.NotFound {
			// Nobody can consent to a resource without a service principal.
			if scopes = nil; s.actsHere(d.Client) {
				scopes = among([]string{userImpersonation}, d.Scopes)
			}
			return nil
		}
		if err != nil {
			return err
		}
		if c.Roles, err = appRolesOf(ctx, tx, u.ID, resource); err != nil {
			return err
		}
		all, err := s.granted(ctx, tx, d.Tenant, d.Client, u.ID, resource.AppID)
		if s.own(d.Audience) && s.actsHere(d.Client) {
			// One address for Microsoft Graph and for the resource API, which takes
			// no token of a user without this.
			all = append(all, userImpersonation)
		}
		scopes = among(all, d.Scopes)
		return err
	})
	switch {
	case err != nil:
		return Token{}, err
	case len(scopes) == 0:
		return Token{}, ErrConsent
	}
	c.Scope = strings.Join(scopes, " ")
	token, err := s.sign(ctx, c, d.Issuer, d.Audience)
	token.Scopes = scopes
	return token, err
}

// actsHere tells whether a program may act for users at the deployment's own
// APIs, to which nobody can consent: our own programs, and the command line of
// Azure.
func (s *Set) actsHere(client string) bool {
	w, ok := s.WellKnown(client)
	return ok && (w.Publisher == "Tandem" || w.AppID == AzureCLIID)
}

// own tells whether an audience is one of the deployment's own APIs.
func (s *Set) own(audience string) bool {
	return slices.ContainsFunc(s.audiences, func(a string) bool { return audienceKey(a) == audienceKey(audience) })
}

// program fills in the program of a delegation, when it may sign in: one of
// the catalogue may without a service principal, as long as nobody has disabled
// it.
func (s *Set) program(ctx context.Context, tx *store.Tx, d Delegation, c *claims) error {
	p, err := principalOf(ctx, tx, d.Tenant, d.Client)
	w, known := s.WellKnown(d.Client)
	switch {
	case fault.Of(err) == fault.NotFound && known:
		p.DisplayName = w.Name
	case fault.Of(err) == fault.NotFound:
		return ErrNoPrincipal
	case err != nil:
		return err
	case !p.Enabled:
		return ErrDisabled
	}
	c.AppID, c.AZP, c.AppName = d.Client, d.Client, p.DisplayName
	return nil
}

// among are those of all that are wanted; all when none is named.
func among(all, wanted []string) (list []string) {
	for _, s := range all {
		if wanted == nil || slices.ContainsFunc(wanted, func(w string) bool { return strings.EqualFold(w, s) }) {
			list = append(list, s)
		}
	}
	return list
}

// Resource is the service principal that tokens for an audience are for: named
// by its client ID or one of its identifier URIs.
func (s *Set) Resource(ctx context.Context, tenant, audience string) (p ServicePrincipal, err error) {
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		p, err = s.resource(ctx, tx, strings.ToLower(tenant), audience)
		return err
	})
	return p, err
}

func (s *Set) resource(ctx context.Context, tx *store.Tx, tenant, audience string) (ServicePrincipal, error) {
	key := audienceKey(audience)
	app := strings.TrimPrefix(key, "api://")
	if w := slices.IndexFunc(s.catalogue, func(w WellKnown) bool { return w.named(key) }); w >= 0 {
		app = s.catalogue[w].AppID
	} else if by, err := appOf(ctx, tx, tenant, key); err != nil {
		return ServicePrincipal{}, err
	} else if by != "" {
		app = by
	}
	if !guid.MatchString(app) {
		return ServicePrincipal{}, missing("resource", audience)
	}
	p, err := principalOf(ctx, tx, tenant, app)
	switch {
	case err != nil:
		return p, err
	case p.Resource != "":
		return p, missing("resource", audience) // managed identities offer nothing
	}
	return s.describe(ctx, tx, p)
}

// named tells whether a key of an audience names the application.
func (w WellKnown) named(key string) bool {
	return slices.ContainsFunc(w.URIs, func(u string) bool { return audienceKey(u) == key })
}

// reserved tells that a name of a resource belongs to the catalogue, or to an
// API of the deployment.
func (s *Set) reserved(key string) bool {
	return slices.ContainsFunc(s.audiences, func(a string) bool { return audienceKey(a) == key }) || slices.ContainsFunc(s.catalogue, func(w WellKnown) bool { return w.named(key) || w.AppID == strings.TrimPrefix(key, "api://") })
}

// sign makes a token of claims.
func (s *Set) sign(ctx context.Context, c claims, issuer, audience string) (Token, error) {
	at := time.Now()
	if c.Version = "1.0"; strings.HasSuffix(issuer, "/v2.0") {
		c.Version = "2.0"
	}
	c.Issuer, c.Audience, c.UTI = issuer, jwt.Audience{audience}, newID()
	// Five minutes back, as the Microsoft identity platform does: clocks differ.
	c.IssuedAt, c.NotBefore, c.Expiry = jwt.NewNumericDate(at.Add(-5*time.Minute)), jwt.NewNumericDate(at.Add(-5*time.Minute)), jwt.NewNumericDate(at.Add(s.life))
	raw, err := s.Sign(ctx, c)
	return Token{Raw: raw, Life: s.life}, err
}

// Sign makes a token of whatever claims: those of ID tokens, say.
func (s *Set) Sign(ctx context.Context, claims any) (obs.Secret, error) {
	keys, err := s.ring(ctx, false)
	if err != nil {
		return "", err
	}
	k := signer(keys, time.Now())
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", k.id)
	sign, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: k.private}, options)
	if err != nil {
		return "", err
	}
	raw, err := jwt.Signed(sign).Claims(claims).Serialize()
	return obs.Secret(raw), err
}
