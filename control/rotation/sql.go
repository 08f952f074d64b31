package rotation

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
)

var errNone = errors.New("the secret is not seen to")

const columns = "app, vault, secret, life, ahead, overlap, key_id, ends, renews, rotated, making, old, revokes, asked, warned, attempts, problem, due, changed"

func read(scan store.Scan) (r Rotation, err error) {
	var life, ahead, overlap, ends, renews, rotated, revokes, due int64
	var old string
	err = scan(&r.Application, &r.Vault, &r.Secret, &life, &ahead, &overlap, &r.KeyID, &ends, &renews, &rotated, &r.making, &old, &revokes, &r.Asked, &r.warned, &r.Attempts, &r.Problem, &due, &r.changed)
	r.Life, r.Ahead, r.Overlap = time.Duration(life)*time.Microsecond, time.Duration(ahead)*time.Microsecond, time.Duration(overlap)*time.Microsecond
	r.Ends, r.Renews, r.Rotated, r.Revokes, r.Due = store.Time(ends), store.Time(renews), store.Time(rotated), store.Time(revokes), store.Time(due)
	r.Old = strings.Fields(old)
	return r, err
}

func find(ctx context.Context, tx *store.Tx, name string) (Rotation, error) {
	r, err := read(tx.Row(ctx, "SELECT "+columns+" FROM rotation WHERE name = ?", name).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		err = errNone
	}
	return r, err
}

func list(ctx context.Context, tx *store.Tx) ([]Rotation, error) {
	return store.All(ctx, tx, read, "SELECT "+columns+" FROM rotation ORDER BY name")
}

func insert(ctx context.Context, tx *store.Tx, t Target) error {
	_, err := tx.Exec(ctx, "INSERT INTO rotation (name, "+columns+", lease) VALUES (?, ?, ?, ?, ?, ?, ?, '', 0, 0, 0, '', '', 0, ?, 0, 0, '', 0, ?, 0)",
		t.Name(), t.Application, t.Vault, t.Secret, t.Life.Microseconds(), t.Ahead.Microseconds(), t.Overlap.Microseconds(), false, store.Micros(time.Now()))
	return err
}

// alter gives a row other times, and has it looked at. The vault's resource ID
// may be another: its name is what counts.
func alter(ctx context.Context, tx *store.Tx, t Target) error {
	_, err := tx.Exec(ctx, "UPDATE rotation SET vault = ?, life = ?, ahead = ?, overlap = ?, renews = 0, due = 0, changed = changed + 1 WHERE name = ?",
		t.Vault, t.Life.Microseconds(), t.Ahead.Microseconds(), t.Overlap.Microseconds(), t.Name())
	return err
}

// ask has another secret made; revoke: those before are revoked with it.
func ask(ctx context.Context, tx *store.Tx, name string, revoke bool) error {
	set := "asked = ?, due = 0, changed = changed + 1"
	if revoke {
		set += ", revokes = 1"
	}
	_, err := tx.Exec(ctx, "UPDATE rotation SET "+set+" WHERE name = ?", true, name)
	return err
}

// errLost: somebody has changed the row since it was read.
var errLost = errors.New("somebody wants it otherwise meanwhile")

// keep writes what became of a row, unless somebody changed it meanwhile.
func (s *Set) keep(ctx context.Context, r *Rotation) error {
	next := max(store.Micros(time.Now()), r.changed+1)
	err := s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE rotation SET key_id = ?, ends = ?, renews = ?, rotated = ?, making = ?, old = ?, revokes = ?, asked = ?, warned = ?, attempts = ?, problem = ?, due = ?, lease = ?, changed = ? WHERE name = ? AND changed = ?",
			r.KeyID, store.Micros(r.Ends), store.Micros(r.Renews), store.Micros(r.Rotated), r.making, strings.Join(r.Old, "\n"), store.Micros(r.Revokes), r.Asked, r.warned, r.Attempts, r.Problem, store.Micros(r.Due), store.Micros(r.lease), next,
			r.Name(), r.changed)
		if err == nil && n == 0 {
			err = errLost
		}
		return err
	})
	if err == nil {
		r.changed = next
	}
	return err
}

// next is how long nothing is due, lookTime at most.
func (s *Set) next() time.Duration {
	var due int64
	err := s.cfg.Store.Read(s.life, func(tx *store.Tx) error {
		return tx.Row(s.life, "SELECT CASE WHEN due > lease THEN due ELSE lease END AS free FROM rotation ORDER BY free LIMIT 1").Scan(&due)
	})
	if err != nil {
		if !errors.Is(err, sql.ErrNoRows) && s.life.Err() == nil {
			s.log.Error("look for secrets that are due", obs.KeyError, err)
		}
		return lookTime
	}
	return min(time.Until(store.Time(due)), lookTime)
}

// claim takes one that is due for this control node, until the lease ends.
func (s *Set) claim() (r Rotation, is bool) {
	now := time.Now()
	err := s.cfg.Store.Write(s.life, func(tx *store.Tx) (err error) {
		r, err = read(tx.Row(s.life, "SELECT "+columns+" FROM rotation WHERE due <= ? AND lease <= ? ORDER BY due, name LIMIT 1", store.Micros(now), store.Micros(now)).Scan)
		if err != nil {
			return err
		}
		r.lease = now.Add(leased)
		_, err = tx.Exec(s.life, "UPDATE rotation SET lease = ? WHERE name = ?", store.Micros(r.lease), r.Name())
		return err
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) && s.life.Err() == nil {
		s.log.Error("look for secrets that are due", obs.KeyError, err)
	}
	return r, err == nil
}

// free gives a row back that somebody changed while we were at it: it is looked
// at anew.
func (s *Set) free(ctx context.Context, name string) error {
	return s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE rotation SET lease = 0, due = 0 WHERE name = ?", name)
		return err
	})
}

// release ends the leases of an earlier run, where nobody else can have one.
func (s *Set) release() error {
	if s.cfg.Store.Dialect() != store.SQLite {
		return nil
	}
	return s.cfg.Store.Write(s.life, func(tx *store.Tx) error {
		_, err := tx.Exec(s.life, "UPDATE rotation SET lease = 0")
		return err
	})
}
