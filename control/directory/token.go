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
	"github.com/google/uuid"

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
	var keys []key
	err := s.store.Read(ctx, func(tx *store.Tx) (err error) {
		keys, err = readKeys(ctx, tx)
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
	s.keys, s.read = keys, now
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
	err = s.store.Write(ctx, func(tx *store.Tx) error {
		if keys, err = readKeys(ctx, tx); err != nil || !s.due(keys, now) {
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

func readKeys(ctx context.Context, tx *store.Tx) ([]key, error) {
	return store.All(ctx, tx, func(scan store.Scan) (k key, err error) {
		var der []byte
		var created, active int64
		if err := scan(&k.id, &der, &created, &active); err != nil {
			return k, err
		}
		k.created, k.active = store.Time(created), store.Time(active)
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

// claims are those of a token for an application (Microsoft identity platform
// docs, "Access token claims reference"). Clients take tid, oid and appid out
// of it.
type claims struct {
	jwt.Claims
	TenantID string   `json:"tid"`
	ObjectID string   `json:"oid"`
	AppID    string   `json:"appid"`
	AZP      string   `json:"azp"`
	AppName  string   `json:"app_displayname,omitempty"`
	Type     string   `json:"idtyp"`
	ACR      string   `json:"appidacr"` // "1": it showed a secret
	Roles    []string `json:"roles"`
	Version  string   `json:"ver"`
	UTI      string   `json:"uti"`
}

// Token is what an application is given.
type Token struct {
	Raw  obs.Secret
	Life time.Duration
}

// Issue signs a token for an application and an audience.
func (s *Set) Issue(ctx context.Context, app Application, issuer, audience string) (Token, error) {
	keys, err := s.ring(ctx, false)
	if err != nil {
		return Token{}, err
	}
	now := time.Now()
	k := signer(keys, now)
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", k.id)
	sign, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: k.private}, options)
	if err != nil {
		return Token{}, err
	}
	version := "1.0"
	if strings.HasSuffix(issuer, "/v2.0") {
		version = "2.0"
	}
	raw, err := jwt.Signed(sign).Claims(claims{
		Claims: jwt.Claims{
			Issuer: issuer, Subject: app.Object, Audience: jwt.Audience{audience},
			// Five minutes back, as the Microsoft identity platform does: clocks
			// differ.
			IssuedAt: jwt.NewNumericDate(now.Add(-5 * time.Minute)), NotBefore: jwt.NewNumericDate(now.Add(-5 * time.Minute)), Expiry: jwt.NewNumericDate(now.Add(s.life)),
		},
		TenantID: s.tenant.ID, ObjectID: app.Object, AppID: app.ID, AZP: app.ID, AppName: app.Name,
		Type: "app", ACR: "1", Roles: []string{}, Version: version, UTI: uuid.NewString(),
	}).Serialize()
	return Token{obs.Secret(raw), s.life}, err
}
