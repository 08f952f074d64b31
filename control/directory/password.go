package directory

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
)

// cost is what one guess of a person's password takes.
type cost struct {
	memory uint32 // KiB
	passes uint32
	lanes  uint8
}

// today's cost: 19 MiB and two passes, which is 30 ms of one processor (OWASP
// Password Storage Cheat Sheet, "Argon2id"). With two hashers at once a flood
// of guesses takes less than 40 MiB.
var today = cost{19 << 10, 2, 1}

const (
	saltSize = 16
	keySize  = 32
)

// hashPassword is a password as it is kept, in the form of the reference
// implementation (RFC 9106): "$argon2id$v=19$m=19456,t=2,p=1$salt$key".
func hashPassword(password string) string {
	salt := make([]byte, saltSize)
	rand.Read(salt)
	key := argon2.IDKey([]byte(password), salt, today.passes, today.memory, today.lanes, keySize)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, today.memory, today.passes, today.lanes, b64.EncodeToString(salt), b64.EncodeToString(key))
}

// passwordFits compares in constant time. stale: the hash is of another cost
// than today's.
func passwordFits(hash, password string) (fits, stale bool) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return false, false
	}
	var c cost
	var version int
	_, err := fmt.Sscanf(parts[2], "v=%d", &version)
	_, err2 := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.memory, &c.passes, &c.lanes)
	salt, err3 := base64.RawStdEncoding.DecodeString(parts[4])
	key, err4 := base64.RawStdEncoding.DecodeString(parts[5])
	if errors.Join(err, err2, err3, err4) != nil || version != argon2.Version || c.passes < 1 || c.lanes < 1 || len(key) < 16 {
		return false, false
	}
	got := argon2.IDKey([]byte(password), salt, c.passes, c.memory, c.lanes, uint32(len(key)))
	return subtle.ConstantTimeCompare(got, key) == 1, c != today
}

// noPassword is compared with when there is no such person. Nothing fits.
var noPassword = hashPassword(rand.Text())

// The length of passwords: with a second factor twelve characters are plenty
// (NIST SP 800-63B §3.1.1), and no end is put to phrases, only to abuse.
const (
	minPassword = 12   // characters
	maxPassword = 1024 // octets
)

// CheckPassword tells what is wrong with a password that somebody chose.
func CheckPassword(u User, password string) error {
	distinct := map[rune]bool{}
	for _, r := range password {
		distinct[r] = true
	}
	local, _, _ := strings.Cut(strings.ToLower(u.Name), "@")
	switch lower := strings.ToLower(password); {
	case !utf8.ValidString(password) || len(password) > maxPassword:
		return fault.New(fault.Invalid, "The password is too long: take at most 1000 characters.")
	case utf8.RuneCountInString(password) < minPassword:
		return fault.New(fault.Invalid, fmt.Sprintf("The password is too short: take at least %d characters. Four words that have nothing to do with each other are good.", minPassword))
	case len(distinct) < 5:
		return fault.New(fault.Invalid, "The password repeats a few characters: take one that nobody can guess.")
	case len(local) > 3 && strings.Contains(lower, local), strings.HasPrefix(lower, "password"):
		return fault.New(fault.Invalid, "The password is easy to guess: it holds your name, or begins with the word itself.")
	}
	return nil
}

// turn is a place among those that hash at once: they are few. The caller calls
// done.
func (s *Set) turn(ctx context.Context) (done func(), err error) {
	select {
	case s.hashing <- struct{}{}:
		return func() { <-s.hashing }, nil
	case <-ctx.Done():
		return nil, &fault.Error{Kind: fault.Unavailable, Public: "too many sign-ins at once: try again", Err: ctx.Err()}
	}
}

// digest is what is kept of something random that is shown to us again.
func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// The reasons why somebody is not let in.
var (
	// ErrPassword does not say whether there is such a person.
	ErrPassword = errors.New("wrong name or password")
	// ErrLink is of a link that is unknown, used or too old.
	ErrLink = errors.New("the link is not good any more")
)

// Visitor is where somebody signs in from.
type Visitor struct {
	Source  string // address
	Browser string // what RememberBrowser gave, from its cookie; "": unknown
}

// SignIn begins a session for who knows the password: it is worth nothing until
// a second factor was shown or added. It takes the same time whether there is
// such a person or not.
func (s *Set) SignIn(ctx context.Context, tenant, name, password string, from Visitor) (opened Opened, err error) {
	u, hash, err := s.credentials(ctx, tenant, name)
	if err != nil {
		return Opened{}, err
	}
	key, err := s.lockOf(ctx, u.ID, "name "+tenant+" "+strings.ToLower(name), from)
	if err != nil {
		return Opened{}, err
	}
	wrong := "wrong password"
	switch {
	case !u.Enabled:
		wrong = "the user is disabled"
	case hash == "":
		wrong = "no password was set yet"
	}
	defer func() { s.refuse(err, Caller{Tenant: tenant, Object: u.ID, Name: u.Name}, from, wrong) }()
	done, err := s.turn(ctx)
	if err != nil {
		return Opened{}, err
	}
	defer done()
	// Asked only now, when it is our turn: many guesses at once get no further
	// than one after the other.
	if err := s.store.Read(ctx, func(tx *store.Tx) error { return held(ctx, tx, key) }); err != nil {
		return Opened{}, err
	}
	if len(password) > maxPassword {
		password = "" // fits nothing
	}
	fits, stale := passwordFits(cmp.Or(hash, noPassword), password)
	if !fits || hash == "" {
		if err := s.store.Write(ctx, func(tx *store.Tx) error { return wrongGuess(ctx, tx, key) }); err != nil {
			return Opened{}, err
		}
		s.log.Warn("sign-in refused", "cause", "wrong name or password", "user", u.Name, "from", from.Source)
		return Opened{}, ErrPassword
	}
	if stale {
		hash = hashPassword(password)
	}
	err = s.store.Write(ctx, func(tx *store.Tx) (err error) {
		if stale {
			if _, err := tx.Exec(ctx, "UPDATE password SET hash = ? WHERE account = ?", hash, u.ID); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, "DELETE FROM wrong WHERE hash = ?", key); err != nil {
			return err
		}
		opened, err = s.open(ctx, tx, Session{User: u, Source: from.Source, Began: time.Now()})
		return err
	})
	return opened, err
}

// refuse counts a sign-in that was refused, for one of the reasons that people
// are told.
func (s *Set) refuse(err error, by Caller, from Visitor, wrong string) {
	_, held := errors.AsType[*HeldError](err)
	switch {
	case held:
		wrong = "held back after wrong guesses"
	case !errors.Is(err, ErrPassword) && !errors.Is(err, ErrFactor):
		return
	case by.Object == "":
		wrong = "no such user"
	}
	s.Count(Attempt{PersonSignsIn, by, from.Source, wrong})
}

// credentials are a person, and the hash of the password of one who may sign in;
// empty when there is none.
func (s *Set) credentials(ctx context.Context, tenant, name string) (u User, hash string, err error) {
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		u, hash = User{}, ""
		found, err := userBy(ctx, tx, "WHERE tenant = ? AND name_key = ?", tenant, strings.ToLower(name))
		if fault.Of(err) == fault.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		if u = found; !u.Enabled {
			return nil
		}
		err = tx.Row(ctx, "SELECT hash FROM password WHERE account = ?", u.ID).Scan(&hash)
		if errors.Is(err, sql.ErrNoRows) {
			return nil // the link was never followed
		}
		return err
	})
	return u, hash, err
}

// HasPassword tells whether somebody has followed their link.
func (s *Set) HasPassword(ctx context.Context, account string) (has bool, err error) {
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		var n int
		err := tx.Row(ctx, "SELECT 1 FROM password WHERE account = ?", account).Scan(&n)
		if has = err == nil; errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return has, err
}

// invitationLife is how long a link may lie in somebody's mail.
const invitationLife = 24 * time.Hour

// Invitation lets its bearer set a password, once.
type Invitation struct {
	User User
	Link obs.Secret // what the link holds; it is kept nowhere
	Ends time.Time
}

// Invite makes an invitation, which voids those before. anew: what the person
// has is not to be trusted any more; sessions end, programs lose what they were
// given, the password and second factors are forgotten, and so are wrong
// guesses.
func (s *Set) Invite(ctx context.Context, c Caller, id string, anew bool) (inv Invitation, err error) {
	e := edit{by: c, needs: writeUsers, action: "microsoft.directory/users/invite", target: target(c.Tenant, "users", id)}
	if anew {
		e.action = "microsoft.directory/users/password/reset"
	}
	err = s.change(ctx, &e, func(tx *store.Tx) error {
		u, err := s.userToChange(ctx, tx, &e, id)
		if err != nil {
			return err
		}
		inv = Invitation{u, obs.Secret(rand.Text()), now().Add(invitationLife)}
		if anew {
			if err := s.signOut(ctx, tx, u.ID, "reset by an administrator"); err != nil {
				return err
			}
			if err := drop(ctx, tx, u.ID, "password WHERE account", "factor WHERE account", "recovery_code WHERE account"); err != nil {
				return err
			}
			if err := forgiveStrangers(ctx, tx, u); err != nil {
				return err
			}
		}
		if err := drop(ctx, tx, u.ID, "invitation WHERE account"); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO invitation (hash, account, created, ends) VALUES (?, ?, ?, ?)", digest(string(inv.Link)), u.ID, store.Micros(now()), store.Micros(inv.Ends))
		return err
	})
	return inv, err
}

// Invited is whom a link is for, or ErrLink.
func (s *Set) Invited(ctx context.Context, link string) (u User, err error) {
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		u, err = s.invited(ctx, tx, link)
		return err
	})
	return u, err
}

func (s *Set) invited(ctx context.Context, tx *store.Tx, link string) (User, error) {
	var account string
	err := tx.Row(ctx, "SELECT account FROM invitation WHERE hash = ? AND ends > ?", digest(link), store.Micros(time.Now())).Scan(&account)
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, ErrLink
	}
	if err != nil {
		return User{}, err
	}
	u, err := userBy(ctx, tx, "WHERE id = ?", account)
	if fault.Of(err) == fault.NotFound || err == nil && !u.Enabled {
		return User{}, ErrLink
	}
	return u, err
}

// SetPassword takes the password that the bearer of a link chose, ends what
// went on under the old one, and begins a session.
func (s *Set) SetPassword(ctx context.Context, link, password string, from Visitor) (opened Opened, err error) {
	u, err := s.Invited(ctx, link)
	if err != nil {
		return Opened{}, err
	}
	if err := CheckPassword(u, password); err != nil {
		return Opened{}, err
	}
	done, err := s.turn(ctx)
	if err != nil {
		return Opened{}, err
	}
	hash := hashPassword(password)
	done()
	err = s.store.Write(ctx, func(tx *store.Tx) error {
		if u, err = s.invited(ctx, tx, link); err != nil {
			return err // somebody was faster
		}
		if err := drop(ctx, tx, u.ID, "invitation WHERE account", "password WHERE account"); err != nil {
			return err
		}
		if err := s.signOut(ctx, tx, u.ID, "the password was set anew"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO password (account, hash, changed) VALUES (?, ?, ?)", u.ID, hash, store.Micros(time.Now())); err != nil {
			return err
		}
		if err := forgiveStrangers(ctx, tx, u); err != nil {
			return err
		}
		if err := s.tell(ctx, tx, Change{Caller{Tenant: u.Tenant, Object: u.ID, Name: u.Name}, "microsoft.directory/users/password/update", target(u.Tenant, "users", u.ID), "Succeeded"}); err != nil {
			return err
		}
		opened, err = s.open(ctx, tx, Session{User: u, Source: from.Source, Began: time.Now()})
		return err
	})
	return opened, err
}
