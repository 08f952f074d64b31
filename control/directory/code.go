package directory

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"regexp"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
)

// How long what programs are given is good.
const (
	codeLife    = 5 * time.Minute      // RFC 6749 §4.1.2 allows ten
	refreshLate = 30 * time.Second     // of an answer that was lost: the program asks again
	refreshIdle = 30 * 24 * time.Hour  // of a token nobody uses
	familyLife  = 180 * 24 * time.Hour // then the person signs in again
	replayKept  = 24 * time.Hour       // how long a spent code is recognized
	sweepEvery  = time.Hour            // what is over is taken out
)

// Permit is what one person lets one program do in their name.
type Permit struct {
	Family  string
	User    User
	Client  string // ID of the program
	Scope   string // as it was asked for and allowed
	Public  bool   // it was given to a program without a secret
	Nonce   string // of the code
	Signed  time.Time
	Methods []string // RFC 8176
}

// The reasons why a code or a refresh token is not taken.
var (
	ErrCode     = errors.New("no such code or token")
	ErrTooOld   = errors.New("the code or token is too old")
	ErrSpent    = errors.New("the code or token was used before")
	ErrRevoked  = errors.New("what was permitted is revoked")
	ErrRedirect = errors.New("the code went to another address")
	ErrVerifier = errors.New("the verifier does not fit the challenge")
	ErrNoSecret = errors.New("the program has not shown its secret")
)

// methods is what a family keeps of how somebody signed in.
type methods struct {
	Signed  int64    `json:"signed"`
	Methods []string `json:"methods"`
	Public  bool     `json:"public,omitempty"`
}

// permit begins a family.
func (s *Set) permit(ctx context.Context, tx *store.Tx, v Session, a Asked) (string, error) {
	if err := s.sweep(ctx, tx); err != nil {
		return "", err
	}
	id := newID()
	_, err := tx.Exec(ctx, "INSERT INTO family (id, account, client, scope, claims, created, ends, revoked) VALUES (?, ?, ?, ?, ?, ?, ?, '')",
		id, v.User.ID, a.Client, a.Scope, encode(methods{v.Began.Unix(), v.Methods(), a.Public}), store.Micros(now()), store.Micros(now().Add(familyLife)))
	if err != nil {
		return "", err
	}
	return id, s.tell(ctx, tx, Change{v.Caller(), "microsoft.directory/users/signIn/" + a.Client, target(v.User.Tenant, "users", v.User.ID), "Succeeded"})
}

// sweep takes out what is over.
func (s *Set) sweep(ctx context.Context, tx *store.Tx) error {
	at := now()
	s.mu.Lock()
	due := at.Sub(s.swept) > sweepEvery
	s.mu.Unlock()
	if !due {
		return nil
	}
	for _, q := range []struct {
		from  string
		until time.Time
	}{
		{"authorization_code WHERE ends < ?", at.Add(-replayKept)},
		{"refresh_token WHERE ends < ?", at},
		{"family WHERE ends < ?", at},
		{"device_code WHERE ends < ?", at},
		{"invitation WHERE ends < ?", at},
		{"browser WHERE ends < ?", at},
		{"session WHERE ends < ?", at},
		{"refresh_token WHERE family IN (SELECT id FROM family WHERE revoked <> '' AND created < ?)", at.Add(-refreshIdle)},
	} {
		if _, err := tx.Exec(ctx, "DELETE FROM "+q.from, store.Micros(q.until)); err != nil {
			return err
		}
	}
	tx.After(func() {
		s.mu.Lock()
		s.swept = at
		s.mu.Unlock()
	})
	return nil
}

// family reads one, and what has become of it.
func family(ctx context.Context, tx *store.Tx, id string) (p Permit, err error) {
	var account, claims, revoked string
	var ends int64
	p.Family = id
	err = tx.Row(ctx, "SELECT account, client, scope, claims, ends, revoked FROM family WHERE id = ?", id).Scan(&account, &p.Client, &p.Scope, &claims, &ends, &revoked)
	if errors.Is(err, sql.ErrNoRows) {
		return p, ErrCode
	}
	if err != nil {
		return p, err
	}
	var m methods
	if err := json.Unmarshal([]byte(claims), &m); err != nil {
		return p, err
	}
	p.Signed, p.Methods, p.Public = time.Unix(m.Signed, 0), m.Methods, m.Public
	p.User, err = userBy(ctx, tx, "WHERE id = ?", account)
	switch {
	case fault.Of(err) == fault.NotFound, err == nil && !p.User.Enabled, err == nil && revoked != "":
		return p, ErrRevoked
	case err == nil && !now().Before(store.Time(ends)):
		return p, ErrTooOld
	}
	return p, err
}

// revoke ends a family: what was given under it is no good any more.
func (s *Set) revoke(ctx context.Context, tx *store.Tx, p Permit, why string) error {
	if _, err := tx.Exec(ctx, "UPDATE family SET revoked = ? WHERE id = ? AND revoked = ''", why, p.Family); err != nil {
		return err
	}
	tx.After(func() {
		s.log.Warn("what a program was given is revoked", "cause", why, "client", p.Client, "user", p.User.Name, "family", p.Family)
	})
	return s.tell(ctx, tx, Change{Caller{Tenant: p.User.Tenant, Object: p.User.ID, Name: p.User.Name, App: p.Client}, "microsoft.directory/users/signIn/revoke", target(p.User.Tenant, "users", p.User.ID), "Succeeded"})
}

// Asked is what a program asks a person for.
type Asked struct {
	Client    string
	Public    bool   // what waits for the answer has no secret
	Redirect  string // as in the request, "" when it named none
	Scope     string
	Challenge string // S256 (RFC 7636 §4.2); "": none
	Nonce     string
}

// Permit gives a code to a program that a person lets act, in a session that
// must be whole.
func (s *Set) Permit(ctx context.Context, token string, a Asked) (code obs.Secret, err error) {
	err = s.store.Write(ctx, func(tx *store.Tx) error {
		code = obs.Secret(rand.Text() + rand.Text())
		v, _, err := s.session(ctx, tx, token)
		if err == nil && !v.Whole() {
			err = ErrSession
		}
		if err != nil {
			return err
		}
		id, err := s.permit(ctx, tx, v, a)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO authorization_code (hash, family, redirect, challenge, nonce, ends, spent) VALUES (?, ?, ?, ?, ?, ?, 0)",
			digest(string(code)), id, a.Redirect, a.Challenge, a.Nonce, store.Micros(now().Add(codeLife)))
		return err
	})
	return code, err
}

// Shown is what a program shows with a code.
type Shown struct {
	Client             string
	Secret             bool // it has shown a secret of its own
	Code               string
	Redirect, Verifier string // "" when there was none
}

// verifierForm is that of RFC 7636 §4.1.
var verifierForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

// Redeem gives what a code was given for, once. A code that comes a second time
// has been stolen by somebody: what was given for it is revoked (RFC 6749
// §4.1.2).
func (s *Set) Redeem(ctx context.Context, shown Shown) (p Permit, err error) {
	var no error
	err = s.store.Write(ctx, func(tx *store.Tx) error {
		var id, to, challenge, nonce string
		var ends, spent int64
		no = nil
		err := tx.Row(ctx, "SELECT family, redirect, challenge, nonce, ends, spent FROM authorization_code WHERE hash = ?", digest(shown.Code)).Scan(&id, &to, &challenge, &nonce, &ends, &spent)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrCode
		}
		if err != nil {
			return err
		}
		p, err = family(ctx, tx, id)
		p.Nonce = nonce
		switch {
		case err != nil && p.Client == "": // whose it is could not be read
			return err
		case p.Client != shown.Client:
			return ErrCode
		case err != nil:
			return err
		case !p.Public && !shown.Secret:
			return ErrNoSecret
		case spent != 0:
			no = ErrSpent
			return s.revoke(ctx, tx, p, "its code was shown twice")
		case !now().Before(store.Time(ends)):
			return ErrTooOld
		case to != shown.Redirect:
			return ErrRedirect
		case !verified(challenge, shown.Verifier):
			return ErrVerifier
		}
		_, err = tx.Exec(ctx, "UPDATE authorization_code SET spent = ? WHERE hash = ?", store.Micros(now()), digest(shown.Code))
		return err
	})
	return p, errors.Join(err, no)
}

// verified compares a verifier with its challenge. One without the other is
// wrong too: somebody took it away on the way.
func verified(challenge, verifier string) bool {
	if challenge == "" || verifier == "" {
		return challenge == verifier
	}
	sum := sha256.Sum256([]byte(verifier))
	return verifierForm.MatchString(verifier) && subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}
