package directory

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"

	"github.com/go-webauthn/webauthn/webauthn"
)

// The kinds of second factors.
const (
	TOTP    = "totp"    // RFC 6238
	Passkey = "passkey" // W3C Web Authentication
)

// Factor is a second factor of somebody.
type Factor struct {
	ID, Kind, Name string
	Created, Used  time.Time

	account string
	content []byte
	counter int64
}

// ErrFactor is of a code or a signature that is not accepted. It does not say
// why.
var ErrFactor = errors.New("the second factor is not accepted")

// ofFactor stands before an account where wrong codes are counted.
const ofFactor = "factor "

// Factors are somebody's, the oldest first.
func (s *Set) Factors(ctx context.Context, account string) (list []Factor, err error) {
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		list, err = factors(ctx, tx, account)
		return err
	})
	return list, err
}

func factors(ctx context.Context, tx *store.Tx, account string) ([]Factor, error) {
	return store.All(ctx, tx, func(scan store.Scan) (f Factor, err error) {
		var created, used int64
		err = scan(&f.ID, &f.account, &f.Kind, &f.Name, &f.content, &f.counter, &created, &used)
		f.Created, f.Used = store.Time(created), store.Time(used)
		return f, err
	}, "SELECT id, account, kind, name, content, counter, created, used FROM factor WHERE account = ? ORDER BY created, id", account)
}

// RemoveFactor takes one away, unless it is the last: without any the next who
// knows the password could add their own.
func (s *Set) RemoveFactor(ctx context.Context, token, id string) error {
	return s.store.Write(ctx, func(tx *store.Tx) error {
		v, _, err := s.session(ctx, tx, token)
		if err != nil || !v.Whole() {
			return errors.Join(err, ErrSession)
		}
		list, err := factors(ctx, tx, v.User.ID)
		if err != nil {
			return err
		}
		if len(list) < 2 {
			return fault.New(fault.Conflict, "This is your only second factor: add another one first.")
		}
		n, err := tx.Exec(ctx, "DELETE FROM factor WHERE id = ? AND account = ?", id, v.User.ID)
		if err == nil && n == 0 {
			err = missing("factor", id)
		}
		if err != nil {
			return err
		}
		return s.tell(ctx, tx, Change{v.Caller(), "microsoft.directory/users/authenticationMethods/delete", target(v.User.Tenant, "users", v.User.ID), "Succeeded"})
	})
}

// proposal is what a session waits for: a factor that is being added, or the
// question that a passkey was asked.
type proposal struct {
	Seed    string                `json:"seed,omitempty"`    // of TOTP
	Passkey *webauthn.SessionData `json:"passkey,omitempty"` // added or asked
	Adds    bool                  `json:"adds,omitempty"`
}

// propose keeps what a session waits for.
func (s *Set) propose(ctx context.Context, v Session, p proposal) error {
	b, err := json.Marshal(p)
	if err == nil {
		b, err = s.seal(ctx, b, ofProposal(v.hash))
	}
	if err != nil {
		return err
	}
	return s.store.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE session SET proposed = ? WHERE hash = ?", b, v.hash)
		return err
	})
}

func (s Session) proposal() (p proposal) {
	_ = json.Unmarshal(s.proposed, &p) // empty when there is none
	return p
}

// adding is a session that may add a factor: both were shown, or there is none
// to show yet.
func (s *Set) adding(ctx context.Context, token string) (v Session, list []Factor, err error) {
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		if v, _, err = s.session(ctx, tx, token); err != nil {
			return err
		}
		list, err = factors(ctx, tx, v.User.ID)
		if err == nil && len(list) > 0 && !v.Whole() {
			return ErrSession
		}
		return err
	})
	return v, list, err
}

// maxFactors is how many a person may have.
const maxFactors = 10

// add keeps a factor that was tried once, and makes the session whole.
func (s *Set) add(ctx context.Context, v Session, f Factor, from Visitor) (opened Opened, err error) {
	err = s.store.Write(ctx, func(tx *store.Tx) error {
		list, err := factors(ctx, tx, v.User.ID)
		switch {
		case err != nil:
			return err
		case len(list) > 0 && !v.Whole():
			return ErrSession // one was added meanwhile
		case len(list) >= maxFactors:
			return fault.New(fault.Conflict, "You have as many second factors as there may be: remove one first.")
		}
		_, err = tx.Exec(ctx, "INSERT INTO factor (id, account, kind, name, content, counter, created, used) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			newID(), v.User.ID, f.Kind, f.Name, f.content, f.counter, store.Micros(now()), store.Micros(now()))
		if err != nil {
			return err
		}
		err = s.tell(ctx, tx, Change{v.Caller(), "microsoft.directory/users/authenticationMethods/create", target(v.User.Tenant, "users", v.User.ID), "Succeeded"})
		if err != nil {
			return err
		}
		opened, err = s.complete(ctx, tx, v, f.Kind, from)
		return err
	})
	return opened, err
}

// complete makes a session whole: it goes on under another name, and its
// browser is known from now on.
func (s *Set) complete(ctx context.Context, tx *store.Tx, v Session, kind string, from Visitor) (Opened, error) {
	n, err := tx.Exec(ctx, "DELETE FROM session WHERE hash = ?", v.hash)
	if err == nil && n == 0 {
		err = ErrSession // it ended meanwhile
	}
	if err != nil {
		return Opened{}, err
	}
	if !v.Whole() {
		if err := s.tell(ctx, tx, Change{v.Caller(), "microsoft.directory/users/signIn", target(v.User.Tenant, "users", v.User.ID), "Succeeded"}); err != nil {
			return Opened{}, err
		}
	}
	if err := s.knowBrowser(ctx, tx, from.Browser, v.User.ID); err != nil {
		return Opened{}, err
	}
	v.Factor = kind
	return s.open(ctx, tx, v)
}

// relyingParty is what passkeys are made for: the name that people see in their
// browser (W3C Web Authentication Level 3, §13.4.9). Addresses have none.
func relyingParty(at string) *webauthn.WebAuthn {
	u, err := url.Parse(at)
	if err != nil || u.Hostname() == "" || net.ParseIP(u.Hostname()) != nil {
		return nil
	}
	w, err := webauthn.New(&webauthn.Config{RPID: u.Hostname(), RPDisplayName: "Tandem", RPOrigins: []string{u.Scheme + "://" + u.Host}})
	if err != nil {
		return nil
	}
	return w
}
