package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	_ "modernc.org/sqlite" // the driver

	"github.com/tandemgw/tandem/base/fault"
)

// readers is how many reads of a SQLite file run at once; each is a connection
// with its own cache.
const readers = 4

// openFile opens a SQLite file: one connection writes, the others read what
// was committed when they began.
func (s *Store) openFile(ctx context.Context, path string) error {
	s.dialect = SQLite
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	s.where = path
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if s.lock, err = lockFile(path); err != nil {
		return err
	}
	// SQLite would make it readable to everybody; its log takes over the mode.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	f.Close()
	// The lock file keeps other nodes out; a person's sqlite3 may still hold
	// the file for a moment, hence the busy timeout.
	s.write, err = connect(path, url.Values{
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(1000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "journal_size_limit(67108864)"},
	})
	if err != nil {
		return err
	}
	s.write.SetMaxOpenConns(1)
	if err := intact(ctx, s.write); err != nil {
		return err
	}
	s.read, err = connect(path, url.Values{"_pragma": {"busy_timeout(1000)", "query_only(1)"}})
	if err != nil {
		return err
	}
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	return nil
}

func connect(path string, query url.Values) (*sql.DB, error) {
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}
	return sql.Open("sqlite", dsn.String())
}

// intact refuses a file that was torn, before anything is built on it.
func intact(ctx context.Context, db *sql.DB) error {
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return errDamaged(verdict)
	}
	return nil
}

// lockFile makes sure that one process has the file: two control nodes would
// each take up the other's operations.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	// A process that is just ending is given a moment.
	for range 10 {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		b := make([]byte, 20)
		n, _ := f.Read(b)
		f.Close()
		return nil, &fault.Error{Kind: fault.Conflict, Err: err, Public: fmt.Sprintf(
			"%s is in use by another tandem (process %s): stop that one, or give this node a data folder of its own; several control nodes share a PostgreSQL",
			path, strings.TrimSpace(string(b[:n])))}
	}
	f.Truncate(0)
	fmt.Fprintln(f, os.Getpid()) // for the sentence above only
	return f, nil
}
