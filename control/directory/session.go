package directory

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
)

// How long a session lasts.
const (
	sessionHalf = 15 * time.Minute // until the second factor was shown
	sessionIdle = 2 * time.Hour    // unused
	sessionLife = 12 * time.Hour
)

// Session is somebody's, in one browser.
type Session struct {
	User   User
	Source string    // address it was begun from
	Began  time.Time // when the password was shown
	Factor string    // kind of the second factor that was shown; "": none yet, and the session opens nothing

	hash     string
	proposed []byte
}

// Whole tells whether both factors were shown.
func (s Session) Whole() bool { return s.Factor != "" }

// Caller is the person, acting on our own pages.
func (s Session) Caller() Caller {
	return Caller{Tenant: s.User.Tenant, Object: s.User.ID, Name: s.User.Name}
}

// Methods are how the person signed in, in the words of RFC 8176.
func (s Session) Methods() []string {
	switch s.Factor {
	case TOTP, Recovery:
		return []string{"pwd", "otp", "mfa"}
	case Passkey:
		return []string{"pwd", "hwk", "mfa"}
	}
	return []string{"pwd"}
}

// Opened is a session with what its cookie holds. That is new whenever the
// session becomes worth more, so that nobody can lay one out for somebody else
// to fill.
type Opened struct {
	Token obs.Secret
	Session
}

// ErrSession is of a session that is unknown, over, or not whole where it must
// be.
var ErrSession = errors.New("no such session")

// open keeps a session under a new name.
func (s *Set) open(ctx context.Context, tx *store.Tx, v Session) (Opened, error) {
	token, now := rand.Text(), time.Now()
	life := sessionHalf
	if v.Whole() {
		life = sessionLife
	}
	if _, err := tx.Exec(ctx, "DELETE FROM session WHERE hash = ? OR ends < ? OR used < ?", v.hash, store.Micros(now), store.Micros(now.Add(-sessionIdle))); err != nil {
		return Opened{}, err
	}
	v.hash, v.proposed = digest(token), []byte{}
	_, err := tx.Exec(ctx, "INSERT INTO session (hash, account, source, created, used, ends, factor, proposed) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		v.hash, v.User.ID, v.Source, store.Micros(v.Began), store.Micros(now), store.Micros(now.Add(life)), v.Factor, v.proposed)
	return Opened{obs.Secret(token), v}, err
}

// Session is the one that a cookie names, or ErrSession. It may lack its second
// factor.
func (s *Set) Session(ctx context.Context, token string) (v Session, err error) {
	var used int64
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		v, used, err = s.session(ctx, tx, token)
		return err
	})
	if err != nil {
		return Session{}, err
	}
	if now := time.Now(); now.Sub(store.Time(used)) > time.Minute {
		err = s.store.Write(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE session SET used = ? WHERE hash = ?", store.Micros(now), v.hash)
			return err
		})
	}
	return v, err
}

func (s *Set) session(ctx context.Context, tx *store.Tx, token string) (v Session, used int64, err error) {
	if token == "" {
		return v, 0, ErrSession
	}
	var account string
	var created, ends int64
	v.hash = digest(token)
	err = tx.Row(ctx, "SELECT account, source, created, used, ends, factor, proposed FROM session WHERE hash = ?", v.hash).
		Scan(&account, &v.Source, &created, &used, &ends, &v.Factor, &v.proposed)
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, 0, ErrSession
	}
	if err != nil {
		return Session{}, 0, err
	}
	if v.proposed, err = s.unseal(ctx, v.proposed, ofProposal(v.hash)); err != nil {
		return Session{}, 0, err
	}
	now := time.Now()
	if v.Began = store.Time(created); !now.Before(store.Time(ends)) || now.Sub(store.Time(used)) > sessionIdle {
		return Session{}, 0, ErrSession
	}
	v.User, err = userBy(ctx, tx, "WHERE id = ?", account)
	if fault.Of(err) == fault.NotFound || err == nil && !v.User.Enabled {
		return Session{}, 0, ErrSession
	}
	return v, used, err
}

// EndSession signs one browser out.
func (s *Set) EndSession(ctx context.Context, token string) error {
	return s.store.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM session WHERE hash = ?", digest(token))
		return err
	})
}

// SignOut ends all that goes on in somebody's name.
func (s *Set) SignOut(ctx context.Context, c Caller, id string) error {
	e := edit{by: c, needs: writeUsers, action: "microsoft.directory/users/invalidateAllRefreshTokens", target: target(c.Tenant, "users", id)}
	return s.change(ctx, &e, func(tx *store.Tx) error {
		u, err := s.userToChange(ctx, tx, &e, id)
		if err != nil {
			return err
		}
		return s.signOut(ctx, tx, u.ID, "signed out by an administrator")
	})
}

// signOut ends all that goes on in somebody's name: sessions, and what programs
// were given.
func (s *Set) signOut(ctx context.Context, tx *store.Tx, account, why string) error {
	if err := drop(ctx, tx, account, "session WHERE account", "browser WHERE account"); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "UPDATE family SET revoked = ? WHERE account = ? AND revoked = ''", why, account)
	return err
}
