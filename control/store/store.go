// Package store is the handle of the control plane's database: SQLite in a
// file of the node's own, or PostgreSQL that several control nodes share.
// It knows transactions, migrations and what the databases complain about, and
// no domain type: each room keeps its SQL beside its code.
//
// The SQL is the subset both understand. Columns are TEXT, BIGINT, BOOLEAN and
// BYTEA; times are BIGINT microseconds (Micros, Time); placeholders are "?".
// A write sees the database as if it were alone: SQLite has one writer,
// PostgreSQL runs SERIALIZABLE and the function is called again when it lost.
//
// Start reading at Write. The schema is in migrations, one file a change, the
// numbers given to rooms: operation 0010, subscription and signing keys 0020,
// gateway 0030, zone and certificate 0040, records 0050, audit 0060, vault
// 0070, directory 0080, onboarding 0090 and on. A released file is never edited
// again; release_test.go says how that is kept.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tandemgw/tandem/base/fault"
)

// Config says where the database is.
type Config struct {
	URL string // "sqlite:/path/control.db" or "postgres://user:password@host/database"
	Log *slog.Logger
}

// The names of the two dialects.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// Store is an open database whose schema is this program's.
type Store struct {
	dialect string       // RO
	where   string       // RO: file or server, for sentences; never a password
	log     *slog.Logger // RO
	write   *sql.DB      // RO: SQLite's only writer; PostgreSQL's pool
	read    *sql.DB      // RO: SQLite's readers; PostgreSQL's pool
	lock    *os.File     // RO: keeps other processes out of the file; nil on PostgreSQL
	opened  bool         // RO after Open: who reads our sentences may be a client

	writes, retries, failed atomic.Uint64
}

// Counters are what the store has done.
type Counters struct {
	Writes  uint64 // that were committed
	Retries uint64 // transactions that lost, or lost their connection, and ran again
	Failed  uint64 // writes that the database did not take
}

// Counters reads them.
func (s *Store) Counters() Counters {
	return Counters{s.writes.Load(), s.retries.Load(), s.failed.Load()}
}

// Open connects, refuses a database that is damaged, in use by another process
// (SQLite) or written by a newer Tandem, and brings the schema up to date.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	s := &Store{log: cfg.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.open(ctx, cfg.URL); err != nil {
		s.Close()
		return nil, fmt.Errorf("open store: %w", err)
	}
	s.opened = true
	return s, nil
}

func (s *Store) open(ctx context.Context, url string) error {
	var err error
	scheme, rest, _ := strings.Cut(url, ":")
	switch scheme {
	case "sqlite":
		err = s.openFile(ctx, rest)
	case "postgres", "postgresql":
		err = s.openServer(ctx, url)
	default:
		return fault.New(fault.Invalid, "the store is named by sqlite:<file> or postgres://…")
	}
	if err != nil {
		return s.explain(err)
	}
	return s.explain(migrate(ctx, s.write, s.dialect, s.log))
}

// Close ends the connections. Transactions must have ended.
func (s *Store) Close() error {
	var errs []error
	if s.read != nil && s.read != s.write {
		errs = append(errs, s.read.Close())
	}
	if s.write != nil {
		errs = append(errs, s.write.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// Dialect is SQLite or Postgres.
func (s *Store) Dialect() string { return s.dialect }

// Ping asks the database for a sign of life.
func (s *Store) Ping(ctx context.Context) error {
	return s.Read(ctx, func(tx *Tx) error {
		var one int
		return tx.Row(ctx, "SELECT 1").Scan(&one)
	})
}

// Read calls f with a transaction that sees one state of the database and may
// not change it. Like Write it may call f more than once.
func (s *Store) Read(ctx context.Context, f func(*Tx) error) error {
	opts := &sql.TxOptions{ReadOnly: true}
	if s.dialect == Postgres {
		opts.Isolation = sql.LevelRepeatableRead
	}
	return s.explain(s.insist(ctx, s.read, opts, f))
}

// patience is how long a write waits for its turn, and how long it is tried
// again when it loses against others: above any honest transaction, below what
// a client of the resource API waits.
var patience = 20 * time.Second // a variable for the tests

// Write calls f with a transaction that runs as if it were alone, and commits
// when f returns nil. f may be called more than once, each time from nothing:
// it must not change anything but through tx, whose After is the place for
// what follows a commit. Within f another Read or Write of the same store would
// wait for itself.
func (s *Store) Write(ctx context.Context, f func(*Tx) error) error {
	var opts sql.TxOptions
	if s.dialect == Postgres {
		opts.Isolation = sql.LevelSerializable
	}
	err := s.explain(s.insist(ctx, s.write, &opts, f))
	switch {
	case err == nil:
		s.writes.Add(1)
	case fault.Of(err) == fault.Unavailable:
		s.failed.Add(1)
	}
	return err
}

// insist runs a transaction until it wins, or patience ends.
func (s *Store) insist(ctx context.Context, db *sql.DB, opts *sql.TxOptions, f func(*Tx) error) error {
	began, pause := time.Now(), time.Millisecond
	for {
		err := s.try(ctx, db, opts, f)
		limit := again(err)
		if limit == 0 || time.Since(began) > min(limit, patience) {
			return err
		}
		s.retries.Add(1)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, 100*time.Millisecond)
	}
}

// try runs one transaction.
func (s *Store) try(ctx context.Context, db *sql.DB, opts *sql.TxOptions, f func(*Tx) error) (err error) {
	wait, stopWaiting := context.WithTimeoutCause(ctx, patience, errBusy)
	conn, err := db.Conn(wait)
	cause := context.Cause(wait)
	stopWaiting()
	if err != nil {
		if ctx.Err() == nil && errors.Is(cause, errBusy) {
			return s.complaint("is too busy: no connection came free within "+patience.String()+"; try again", err)
		}
		return err
	}
	defer conn.Close()
	// A caller who goes away must not leave it open whether the commit took
	// place: statements end with ctx, the commit does not.
	life, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	until := time.Now().Add(endless)
	hung := time.AfterFunc(endless, kill)
	raw, err := conn.BeginTx(life, opts)
	if err != nil {
		return s.silence(ctx, until, err)
	}
	hung.Stop()
	tx := &Tx{raw: raw, numbered: s.dialect == Postgres, until: until}
	defer tx.end()
	done := false
	defer func() {
		if !done {
			raw.Rollback() // an error of f, or its panic
		}
	}()
	err = f(tx)
	if err == nil {
		err = tx.failed
	}
	if gone := ctx.Err(); gone != nil {
		return errors.Join(gone, err) // SQLite only says "interrupted"
	}
	if err != nil {
		return s.silence(ctx, until, err)
	}
	hung = time.AfterFunc(patience, kill)
	err = raw.Commit()
	hung.Stop()
	done = err == nil
	if err != nil {
		return &unsure{err}
	}
	for _, f := range tx.after {
		f()
	}
	return nil
}

// endless is how long a transaction may take until its commit: above any of
// ours, and below what a client waits, since a database that is not heard of any
// more must not hold who asked.
var endless = 45 * time.Second // a variable for the tests

// silence is what became of a transaction that ran out of time.
func (s *Store) silence(ctx context.Context, until time.Time, err error) error {
	if _, told := errors.AsType[*fault.Error](err); told || ctx.Err() != nil || time.Now().Before(until) {
		return err
	}
	return s.complaint("does not answer: is it running, and not stopped or overloaded? Nothing was changed; try again", err)
}

var errBusy = errors.New("no connection came free")

// unsure is the error of a commit: unless the database says that it was undone,
// it may stand.
type unsure struct{ error }

func (u *unsure) Unwrap() error { return u.error }

// Micros is t as the databases keep it: microseconds since 1970, 0 for the
// zero time.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Time is what Micros stored, in UTC.
func Time(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}
