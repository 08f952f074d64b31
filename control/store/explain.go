package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/tandemgw/tandem/base/fault"
)

// lost is how long a transaction is tried again whose connection broke: a
// restarted PostgreSQL leaves a pool of them behind. One that is not there at
// all is told at once.
const lost = 5 * time.Second

// again is how long to try a transaction that failed with err once more, 0 when
// it would fail again or may have been committed.
func again(err error) time.Duration {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && (e.Code == "40001" || e.Code == "40P01") {
		return patience // it lost against another, and was undone
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok && e.Code()&0xff == sqlite3.SQLITE_BUSY {
		return patience // somebody else holds the file
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "0A000" {
		return lost // a node of another release changed a table whose plan this connection kept
	}
	if _, ok := errors.AsType[*unsure](err); ok || !broken(err) {
		return 0
	}
	return lost
}

// broken tells whether a connection that stood did not any more.
func broken(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return false
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == "57P01" || e.Code == "57P02" // admin_shutdown, crash_shutdown
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || pgconn.SafeToRetry(err)
}

// errDamaged is what SQLite's own check found.
type errDamaged string

func (e errDamaged) Error() string { return string(e) }

// explain turns what a database or the disk complains about into a sentence
// that says what to do. What is no complaint of theirs passes unchanged.
func (s *Store) explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	say := cause(err)
	if say == "" {
		return err
	}
	return s.complaint(say, err)
}

// complaint is a sentence about the database. Where that is, is for whoever
// starts a node, and for its log; to clients it is nothing.
func (s *Store) complaint(say string, err error) error {
	if s.opened {
		return &fault.Error{Kind: fault.Unavailable, Public: "the control node's database " + say, Err: fmt.Errorf("%s: %w", s.where, err)}
	}
	return &fault.Error{Kind: fault.Unavailable, Public: s.where + " " + say, Err: err}
}

func cause(err error) string {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		if e.Code() == sqlite3.SQLITE_IOERR_SHMSIZE { // no room for the index of the log
			return causeFile(sqlite3.SQLITE_FULL)
		}
		return causeFile(e.Code() & 0xff) // the rest is SQLite's finer division
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return causeServer(e.Code)
	}
	if _, ok := errors.AsType[errDamaged](err); ok {
		return causeFile(sqlite3.SQLITE_CORRUPT)
	}
	if say := causeDisk(err); say != "" {
		return say
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return "does not answer: is it running, and may this machine reach it?"
	}
	if _, ok := errors.AsType[net.Error](err); ok || pgconn.Timeout(err) || broken(err) {
		return "does not answer any more: is it running, and may this machine reach it?"
	}
	return ""
}

func causeFile(code int) string {
	switch code {
	case sqlite3.SQLITE_FULL:
		return "cannot grow, the disk is full: free some space there; nothing was changed"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return fmt.Sprintf("may not be written by user id %d: change its owner or mode, or remount the disk for writing", os.Getuid())
	case sqlite3.SQLITE_CANTOPEN:
		return "cannot be opened: check that the folder exists and is ours to write, and the limit on open files"
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return "is damaged: stop the node, move the file away, and bring back the last backup with `tandem restore --from FILE`; `sqlite3 FILE .recover` saves what can still be read"
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return "is locked by another program: end it (`fuser` on the file names it)"
	case sqlite3.SQLITE_IOERR:
		return "meets errors of the disk: look at the kernel's log and replace the disk"
	}
	return ""
}

// causeServer reads PostgreSQL's codes (PostgreSQL documentation, appendix A).
func causeServer(code string) string {
	switch code {
	case "40001", "40P01": // serialization_failure, deadlock_detected, after patience
		return "is too busy: each time the change was tried, others were first; try again"
	case "53100": // disk_full
		return "cannot grow, its disk is full: free some space there; nothing was changed"
	case "53300": // too_many_connections
		return "has no connection left: raise max_connections, or stop what holds them"
	case "25006": // read_only_sql_transaction
		return "is read-only, a standby perhaps: name the primary in control.store"
	case "3D000": // invalid_catalog_name
		return "does not exist: make it with `createdb`"
	case "57P01", "57P02", "57P03": // admin_shutdown, crash_shutdown, cannot_connect_now
		return "is stopping or starting: it will be tried again"
	case "XX001", "XX002": // data_corrupted, index_corrupted
		return "is damaged: bring back its last backup"
	}
	if len(code) == 5 && code[:2] == "28" || code == "42501" {
		return "does not let us in: check user, password and rights of the address in control.store"
	}
	return ""
}

func causeDisk(err error) string {
	if _, ok := errors.AsType[*fs.PathError](err); !ok {
		return ""
	}
	switch {
	case errors.Is(err, unix.EROFS):
		return "is on a read-only file system: remount it, or give the node another data folder"
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("may not be written by user id %d: change the owner of its folder, or give the node another one", os.Getuid())
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return "is on a full disk: free some space there"
	case errors.Is(err, unix.ENOTDIR):
		return "has a file where a folder should be: give the node another data folder"
	}
	return "cannot be used: see the cause"
}
