package store

import (
	"context"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"

	"github.com/tandemgw/tandem/base/fault"
)

// FileName is the name of the SQLite file inside the data folder.
const FileName = "control.db"

// Copy writes what is committed into a new SQLite file, while others go on
// writing. A PostgreSQL is copied by its own tools.
func (s *Store) Copy(ctx context.Context, path string) error {
	if s.dialect != SQLite {
		return fault.New(fault.Conflict, s.where+" is copied by PostgreSQL's own tools: see pg_dump(1)")
	}
	db, err := connect(filepath.Clean(s.where), url.Values{"_pragma": {"busy_timeout(1000)"}})
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		return fmt.Errorf("copy %s: %w", s.where, err)
	}
	return nil
}

// CheckFile refuses a copy that is damaged or was written by a newer Tandem,
// and leaves it as it is.
func CheckFile(ctx context.Context, path string) error {
	s := &Store{dialect: SQLite, where: path}
	if _, err := os.Stat(path); err != nil {
		return err
	}
	db, err := connect(path, url.Values{"mode": {"ro"}})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := intact(ctx, db); err != nil {
		return s.explain(err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	return s.explain(known(ctx, db, p))
}
