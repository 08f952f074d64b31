package record

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/tandemgw/tandem/base/fault"
)

// FileName is the name of the spool inside the data folder.
const FileName = "calls.db"

// openFiles makes the folder and the file, takes the lock and opens the
// writer's and the readers' connections.
func (s *Spool) openFiles(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return unusable(dir, err)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return unusable(dir, err)
	}
	s.path = filepath.Join(dir, FileName)
	if s.lock, err = lock(s.path + ".lock"); err != nil {
		return err
	}
	// SQLite would make it readable to everybody; its log takes over the mode.
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return unusable(s.path, err)
	}
	f.Close()
	// The lock file keeps other nodes out; a person's sqlite3 may still hold
	// the file for a moment, hence the busy timeout.
	if s.db, err = connect(s.path, "busy_timeout(1000)", "journal_mode(WAL)", "synchronous(FULL)", "journal_size_limit(67108864)"); err != nil {
		return explain(s.path, err)
	}
	s.db.SetMaxOpenConns(1)
	if s.readers, err = connect(s.path, "busy_timeout(1000)", "query_only(1)"); err != nil {
		return explain(s.path, err)
	}
	s.readers.SetMaxOpenConns(4)
	return nil
}

func connect(path string, pragmas ...string) (*sql.DB, error) {
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"_pragma": pragmas}.Encode()}
	return sql.Open("sqlite", dsn.String())
}

func (s *Spool) closeFiles() error {
	var errs []error
	for _, stmt := range []*sql.Stmt{s.insert, s.settle} {
		if stmt != nil {
			errs = append(errs, stmt.Close())
		}
	}
	if s.conn != nil {
		errs = append(errs, s.conn.Close())
	}
	for _, db := range []*sql.DB{s.readers, s.db} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// lock makes sure that one process has the spool: two writers would each take
// the other's live calls for orphans.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, unusable(path, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		b := make([]byte, 20)
		n, _ := f.Read(b)
		f.Close()
		return nil, &fault.Error{Kind: fault.Conflict, Err: err, Public: fmt.Sprintf(
			"the data folder %s is in use by another tandem (process %s): stop that one, or give this node a folder of its own",
			filepath.Dir(path), strings.TrimSpace(string(b[:n])))}
	}
	f.Truncate(0)
	fmt.Fprintln(f, os.Getpid()) // for the sentence above only
	return f, nil
}

// unusable explains an error of the file system.
func unusable(path string, err error) *fault.Error {
	say := "cannot be used: see the cause"
	switch {
	case errors.Is(err, unix.EROFS):
		say = "is on a read-only file system: remount it, or give the node another data folder"
	case errors.Is(err, fs.ErrPermission):
		say = fmt.Sprintf("may not be written by user id %d: change its owner, or give the node another data folder", os.Getuid())
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		say = "is on a full disk: free some space there"
	case errors.Is(err, unix.ENOTDIR):
		say = "has a file where a folder should be: give the node another data folder"
	}
	return &fault.Error{Kind: fault.Unavailable, Public: path + " " + say, Err: err}
}

// explain turns an error of SQLite into one sentence that says what to do.
func explain(path string, err error) *fault.Error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	say := "cannot be used: see the cause"
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff { // the rest is SQLite's finer division
		case sqlite3.SQLITE_FULL:
			say = "cannot grow, the disk is full: free some space there; new calls are refused until then"
		case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
			say = fmt.Sprintf("may not be written by user id %d: change its owner or mode, or remount the disk for writing", os.Getuid())
		case sqlite3.SQLITE_CANTOPEN:
			say = "cannot be opened: check that the folder exists and is ours to write, and the limit on open files"
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			say = "is damaged: stop the node, move the file away and start again; `sqlite3 FILE .recover` saves what can still be read"
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			say = "is locked by another program: end it (`fuser` on the file names it)"
		case sqlite3.SQLITE_IOERR:
			say = "meets errors of the disk: look at the kernel's log and replace the disk"
		}
	}
	return &fault.Error{Kind: fault.Unavailable, Public: path + " " + say, Err: err}
}
