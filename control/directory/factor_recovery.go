package directory

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
)

// Recovery is the second factor of who has lost all others: one of a few codes
// on a sheet of paper (NIST SP 800-63B §3.1.2, "Look-Up Secrets").
const Recovery = "recovery"

// The codes: 80 random bits are sixteen letters and digits of base32, and too
// many to be found by who has the database.
const (
	recoveryCodes = 10
	recoveryBytes = 10
)

// recoveryHash is what is kept of a code, as somebody types it.
func recoveryHash(account, typed string) string {
	m := hmac.New(sha256.New, []byte("recovery code of "+account))
	m.Write([]byte(strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '2' && r <= '7' {
			return r
		}
		return -1
	}, strings.ToUpper(typed))))
	return hex.EncodeToString(m.Sum(nil))
}

// NewRecoveryCodes makes codes in the place of those that somebody had, if any.
// They are seen this once.
func (s *Set) NewRecoveryCodes(ctx context.Context, token string) (codes []obs.Secret, err error) {
	err = s.store.Write(ctx, func(tx *store.Tx) error {
		codes = nil
		v, _, err := s.session(ctx, tx, token)
		if err == nil && !v.Whole() {
			err = ErrSession
		}
		if err != nil {
			return err
		}
		if err := drop(ctx, tx, v.User.ID, "recovery_code WHERE account"); err != nil {
			return err
		}
		for range recoveryCodes {
			b := make([]byte, recoveryBytes)
			rand.Read(b)
			t := b32.EncodeToString(b)
			code := t[:4] + "-" + t[4:8] + "-" + t[8:12] + "-" + t[12:]
			codes = append(codes, obs.Secret(code))
			_, err := tx.Exec(ctx, "INSERT INTO recovery_code (hash, account, created) VALUES (?, ?, ?)", recoveryHash(v.User.ID, code), v.User.ID, store.Micros(now()))
			if err != nil {
				return err
			}
		}
		return s.tell(ctx, tx, Change{v.Caller(), "microsoft.directory/users/authenticationMethods/recoveryCodes/create", target(v.User.Tenant, "users", v.User.ID), "Succeeded"})
	})
	return codes, err
}

// RecoveryCodes is how many of somebody's codes are left.
func (s *Set) RecoveryCodes(ctx context.Context, account string) (n int, err error) {
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		n, err = recoveryLeft(ctx, tx, account)
		return err
	})
	return n, err
}

func recoveryLeft(ctx context.Context, tx *store.Tx, account string) (n int, err error) {
	err = tx.Row(ctx, "SELECT count(*) FROM recovery_code WHERE account = ?", account).Scan(&n)
	return n, err
}

// ShowRecovery makes a session whole by a code, which is good no more, and tells
// how many are left.
func (s *Set) ShowRecovery(ctx context.Context, token, typed string, from Visitor) (opened Opened, left int, err error) {
	v, err := s.Session(ctx, token)
	if err != nil {
		return Opened{}, 0, err
	}
	defer func() { s.refuse(err, v.Caller(), from, "wrong recovery code") }()
	key, err := s.lockOf(ctx, v.User.ID, ofFactor+v.User.ID, from)
	if err != nil {
		return Opened{}, 0, err
	}
	err = s.store.Write(ctx, func(tx *store.Tx) error {
		opened, left = Opened{}, 0
		if err := held(ctx, tx, key); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, "DELETE FROM recovery_code WHERE hash = ? AND account = ?", recoveryHash(v.User.ID, typed), v.User.ID)
		if err != nil {
			return err
		}
		if n == 0 {
			return wrongGuess(ctx, tx, key) // counted in the same transaction: no two at once
		}
		if err := drop(ctx, tx, key, "wrong WHERE hash"); err != nil {
			return err
		}
		if left, err = recoveryLeft(ctx, tx, v.User.ID); err != nil {
			return err
		}
		err = s.tell(ctx, tx, Change{v.Caller(), "microsoft.directory/users/authenticationMethods/recoveryCodes/use", target(v.User.Tenant, "users", v.User.ID), fmt.Sprintf("Succeeded, %d left", left)})
		if err != nil {
			return err
		}
		opened, err = s.complete(ctx, tx, v, Recovery, from)
		return err
	})
	if err == nil && opened.Token == "" {
		s.log.Warn("sign-in refused", "cause", "wrong recovery code", "user", v.User.Name, "from", from.Source)
		err = ErrFactor
	}
	return opened, left, err
}
