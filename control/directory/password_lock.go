package directory

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/tandemgw/tandem/control/store"
)

// Guesses are counted for a name, whether anybody bears it or not, and held
// back for a while that always ends. A browser in which the person has signed
// in before is counted by itself: who guesses from elsewhere can hold nobody
// off who has been here. A link made at the control socket clears the count, so
// there is always a way in for an administrator.
const (
	patience   = 10               // wrong guesses before the first pause
	firstPause = time.Minute      // doubled with each guess after it
	longest    = 15 * time.Minute // pause
	forgiven   = time.Hour        // after the last guess the count begins anew
)

// HeldError says that no guess is taken for a while.
type HeldError struct{ Wait time.Duration }

func (e *HeldError) Error() string { return "held back after wrong guesses" }

// forgiveStrangers forgets the guesses from browsers that are unknown.
func forgiveStrangers(ctx context.Context, tx *store.Tx, u User) error {
	for _, key := range []string{strangers("name " + u.Tenant + " " + strings.ToLower(u.Name)), strangers(ofFactor + u.ID)} {
		if err := drop(ctx, tx, key, "wrong WHERE hash"); err != nil {
			return err
		}
	}
	return nil
}

// strangers is the count of what is guessed from browsers that are unknown.
func strangers(what string) string { return digest("stranger " + what) }

// browserLife is how long a browser is known after somebody signed in.
const browserLife = 90 * 24 * time.Hour

// lockOf is the count that a guess goes to.
func (s *Set) lockOf(ctx context.Context, account, what string, from Visitor) (key string, err error) {
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		key = strangers(what)
		var n int
		err := tx.Row(ctx, "SELECT 1 FROM browser WHERE hash = ? AND account = ? AND ends > ?", digest(from.Browser+" "+account), account, store.Micros(time.Now())).Scan(&n)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err == nil {
			key = digest("browser " + from.Browser + " " + what)
		}
		return err
	})
	return key, err
}

// knowBrowser lets later guesses from a browser be counted by themselves.
func (s *Set) knowBrowser(ctx context.Context, tx *store.Tx, browser, account string) error {
	if len(browser) < 20 || len(browser) > 100 {
		return nil // not one of ours
	}
	hash, ends := digest(browser+" "+account), store.Micros(time.Now().Add(browserLife))
	n, err := tx.Exec(ctx, "UPDATE browser SET ends = ? WHERE hash = ?", ends, hash)
	if err == nil && n == 0 {
		_, err = tx.Exec(ctx, "INSERT INTO browser (hash, account, ends) VALUES (?, ?, ?)", hash, account, ends)
	}
	return err
}

// held is a *HeldError while guesses are held back.
func held(ctx context.Context, tx *store.Tx, key string) error {
	var until int64
	err := tx.Row(ctx, "SELECT until FROM wrong WHERE hash = ?", key).Scan(&until)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if wait := time.Until(store.Time(until)); wait > 0 {
		return &HeldError{wait}
	}
	return nil
}

// wrongGuess counts one.
func wrongGuess(ctx context.Context, tx *store.Tx, key string) error {
	now := time.Now()
	if _, err := tx.Exec(ctx, "DELETE FROM wrong WHERE moment < ?", store.Micros(now.Add(-forgiven))); err != nil {
		return err
	}
	var n int
	err := tx.Row(ctx, "SELECT failures FROM wrong WHERE hash = ?", key).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		_, err = tx.Exec(ctx, "INSERT INTO wrong (hash, failures, moment, until) VALUES (?, 1, ?, 0)", key, store.Micros(now))
		return err
	}
	if err != nil {
		return err
	}
	n++
	var until int64
	if n >= patience {
		pause := longest
		if shift := n - patience; shift < 4 {
			pause = min(longest, firstPause<<shift)
		}
		until = store.Micros(now.Add(pause))
	}
	_, err = tx.Exec(ctx, "UPDATE wrong SET failures = ?, moment = ?, until = ? WHERE hash = ?", n, store.Micros(now), until, key)
	return err
}
