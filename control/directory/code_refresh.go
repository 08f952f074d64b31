package directory

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base32"
	"errors"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
)

// NewRefresh is the first refresh token of a family.
func (s *Set) NewRefresh(ctx context.Context, p Permit) (token obs.Secret, err error) {
	err = s.store.Write(ctx, func(tx *store.Tx) error {
		token = obs.Secret(rand.Text() + rand.Text())
		return keepRefresh(ctx, tx, p, string(token))
	})
	return token, err
}

func keepRefresh(ctx context.Context, tx *store.Tx, p Permit, token string) error {
	_, err := tx.Exec(ctx, "INSERT INTO refresh_token (hash, family, ends, spent) VALUES (?, ?, ?, 0)", digest(token), p.Family, store.Micros(now().Add(refreshIdle)))
	return err
}

// successor is the token that replaces another. It can be told again to who
// shows the other again, and to nobody else: of either the store has a digest.
func successor(token, nonce string) string {
	m := hmac.New(sha256.New, []byte(nonce))
	m.Write([]byte(token))
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(m.Sum(nil))
}

// Refreshing is what a refresh token stands for; nothing has happened to it
// yet, unless it was used before: then it, or the one that replaced it, is in
// the wrong hands, and all of its family are revoked (RFC 9700 §4.14.2).
func (s *Set) Refreshing(ctx context.Context, client, token string) (p Permit, err error) {
	return s.refresh(ctx, client, token, func(*store.Tx, Permit, spending) error { return nil })
}

// Refresh puts another token in the place of one, which is good no more. A
// program whose answer was lost on the way is told the same once more.
func (s *Set) Refresh(ctx context.Context, client, token string) (next obs.Secret, err error) {
	_, err = s.refresh(ctx, client, token, func(tx *store.Tx, p Permit, t spending) (err error) {
		if t.spent != 0 {
			next, err = t.again(ctx, tx)
		} else {
			next, err = t.spend(ctx, tx, p)
		}
		return err
	})
	return next, err
}

// spending is what has become of a refresh token.
type spending struct {
	token              string
	ends, spent, twice int64
	nonce              string
}

// late tells whether one that comes again is of a program that has not had its
// answer: it was spent a moment ago and told no second time, and nobody has
// used what replaced it (RFC 9700 §4.14.2).
func (t spending) late() bool {
	return t.nonce != "" && now().Sub(store.Time(t.spent)) <= refreshLate
}

// spend puts the next token in the place of one.
func (t spending) spend(ctx context.Context, tx *store.Tx, p Permit) (obs.Secret, error) {
	// It was used, so its answer has arrived: the one before is not told again.
	if _, err := tx.Exec(ctx, "UPDATE refresh_token SET nonce = '' WHERE family = ? AND nonce <> ''", p.Family); err != nil {
		return "", err
	}
	nonce := rand.Text()
	next := successor(t.token, nonce)
	if t.twice != 0 {
		nonce = "" // two may have it: whoever comes second is noticed
	}
	if _, err := tx.Exec(ctx, "UPDATE refresh_token SET spent = ?, nonce = ? WHERE hash = ?", store.Micros(now()), nonce, digest(t.token)); err != nil {
		return "", err
	}
	return obs.Secret(next), keepRefresh(ctx, tx, p, next)
}

// again tells the next token a second time, and never a third.
func (t spending) again(ctx context.Context, tx *store.Tx) (obs.Secret, error) {
	next := successor(t.token, t.nonce)
	if _, err := tx.Exec(ctx, "UPDATE refresh_token SET nonce = '' WHERE hash = ?", digest(t.token)); err != nil {
		return "", err
	}
	_, err := tx.Exec(ctx, "UPDATE refresh_token SET twice = ? WHERE hash = ?", store.Micros(now()), digest(next))
	return obs.Secret(next), err
}

func (s *Set) refresh(ctx context.Context, client, token string, then func(*store.Tx, Permit, spending) error) (p Permit, err error) {
	var no error
	err = s.store.Write(ctx, func(tx *store.Tx) error {
		var id string
		t := spending{token: token}
		no = nil
		err := tx.Row(ctx, "SELECT family, ends, spent, twice, nonce FROM refresh_token WHERE hash = ?", digest(token)).Scan(&id, &t.ends, &t.spent, &t.twice, &t.nonce)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrCode
		}
		if err != nil {
			return err
		}
		p, err = family(ctx, tx, id)
		switch {
		case err != nil && p.Client == "": // whose it is could not be read
			return err
		case p.Client != client:
			return ErrCode
		case err != nil:
			return err
		case t.spent != 0 && !t.late():
			no = ErrSpent
			return s.revoke(ctx, tx, p, "a refresh token was shown twice")
		case !now().Before(store.Time(t.ends)):
			return ErrTooOld
		}
		return then(tx, p, t)
	})
	return p, errors.Join(err, no)
}
