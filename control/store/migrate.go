package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/tandemgw/tandem/base/fault"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema to what this program knows. Only forward: a
// database that knows more than we do is refused, since an older program would
// write rows that the newer one no longer understands.
func migrate(ctx context.Context, db *sql.DB, dialect string, log *slog.Logger) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	return migrateTo(ctx, db, dialect, files, log)
}

func migrateTo(ctx context.Context, db *sql.DB, dialect string, files fs.FS, log *slog.Logger) error {
	opts := []goose.ProviderOption{
		goose.WithDisableGlobalRegistry(true),
		// Each room has a range of numbers, so a release may add below what
		// the one before it had.
		goose.WithAllowOutofOrder(true),
		goose.WithSlog(log),
	}
	gooseDialect := goose.DialectSQLite3
	if dialect == Postgres {
		gooseDialect = goose.DialectPostgres
		// Several control nodes may start at once: one migrates, the others wait.
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 120)) // asked each second, for two minutes
		if err != nil {
			return err
		}
		opts = append(opts, goose.WithSessionLocker(locker))
	}
	p, err := goose.NewProvider(gooseDialect, db, files, opts...)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := p.GetDBVersion(ctx); err != nil { // makes goose's table
		return fmt.Errorf("read schema version: %w", err)
	}
	if err := known(ctx, db, p); err != nil {
		return err
	}
	results, err := p.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if len(results) > 0 {
		log.Info("store migrated", "changes", len(results), "last", results[len(results)-1].Source.Path)
	}
	return nil
}

// known refuses a database that a newer Tandem has changed.
func known(ctx context.Context, db *sql.DB, p *goose.Provider) error {
	ours := map[int64]bool{0: true} // goose's own first row
	for _, src := range p.ListSources() {
		ours[src.Version] = true
	}
	rows, err := db.QueryContext(ctx, "SELECT version_id FROM "+goose.DefaultTablename)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var v int64
		if err := rows.Scan(&v); err != nil {
			return err
		}
		if !ours[v] {
			return &fault.Error{
				Kind:   fault.Conflict,
				Public: "the database was written by a newer Tandem: start that version, or restore a backup made by this one",
				Err:    fmt.Errorf("schema change %d is not known here", v),
			}
		}
	}
	return rows.Err()
}
