package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// Each release leaves a folder testdata/releases/<version> behind:
//
//	migrations   the names and SHA-256 sums of the schema changes it had
//	rows.jsonl   the rows of a control plane that was really used
//	transformed  optional: tables whose rows a later change rewrites on purpose,
//	             one a line; what they become is a test of their own room
//
// It is made once, from the lab's database, when the release is cut:
//
//	go test ./control/store -run TestFreeze -freeze 0.2.0 -from …/control.db
//
// From then on, on both databases: those changes are never edited, and every
// row of it is found after the changes that came since.
var (
	freeze = flag.String("freeze", "", "make the folder of this release")
	from   = flag.String("from", "", "the control.db whose rows it keeps")
)

const releases = "testdata/releases"

func TestFreeze(t *testing.T) {
	if *freeze == "" {
		t.Skip("a release is cut with -freeze")
	}
	var rows []byte
	db, err := sql.Open("sqlite", *from)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if rows, err = dump(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(releases, *freeze)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"migrations": sums(t, embedded(t)), "rows.jsonl": rows} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func embedded(t *testing.T) fs.FS {
	t.Helper()
	files, err := fs.Sub(store.Migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func sums(t *testing.T, files fs.FS) []byte {
	t.Helper()
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, name := range names {
		content, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(content), name)
	}
	return b.Bytes()
}

func TestDataOfEveryReleaseSurvives(t *testing.T) {
	dirs, err := filepath.Glob(releases + "/*")
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs) == 0 {
		t.Fatal("no release is kept")
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			r, err := readRelease(os.DirFS(dir))
			if err != nil {
				t.Fatal(err)
			}
			storetest.EachURL(t, func(t *testing.T, url string) {
				for _, why := range r.check(t, url, embedded(t)) {
					t.Error(why)
				}
			})
		})
	}
}

// release is a folder of testdata/releases.
type release struct {
	sums        map[string]string // by name of the change
	rows        []line
	transformed []string
}

// line is one row; a value is a string, a number, a bool, null, or a list of
// one string, which is base64.
type line struct {
	Table string         `json:"table"`
	Row   map[string]any `json:"row"`
}

func readRelease(dir fs.FS) (r release, err error) {
	r.sums = map[string]string{}
	list, err := fs.ReadFile(dir, "migrations")
	if err != nil {
		return r, err
	}
	for text := range strings.Lines(string(list)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(text), "  ")
		r.sums[name] = sum
	}
	rows, err := fs.ReadFile(dir, "rows.jsonl")
	if err != nil {
		return r, err
	}
	for text := range bytes.Lines(rows) {
		var l line
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&l); err != nil {
			return r, err
		}
		for name, v := range l.Row {
			if l.Row[name], err = value(v); err != nil {
				return r, err
			}
		}
		r.rows = append(r.rows, l)
	}
	if list, err := fs.ReadFile(dir, "transformed"); err == nil {
		r.transformed = strings.Fields(string(list))
	}
	return r, nil
}

func value(v any) (any, error) {
	switch v := v.(type) {
	case json.Number:
		return v.Int64()
	case []any:
		return base64.StdEncoding.DecodeString(v[0].(string))
	}
	return v, nil
}

// check lays the release's data into an empty database, brings that to the
// schema of files, and tells what is not as it was.
func (r release) check(t *testing.T, url string, files fs.FS) (complaints []string) {
	t.Helper()
	dialect, driver := store.Postgres, "pgx"
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		dialect, driver, url = store.SQLite, "sqlite", path
	}
	old := fstest.MapFS{}
	for name, sum := range r.sums {
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return []string{"the change " + name + " is gone"}
		}
		if fmt.Sprintf("%x", sha256.Sum256(content)) != sum {
			return []string{"the change " + name + " was edited after its release: write another one"}
		}
		old[name] = &fstest.MapFile{Data: content}
	}
	db, err := sql.Open(driver, url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	log := slog.New(slog.DiscardHandler)
	if err := store.MigrateTo(t.Context(), db, dialect, old, log); err != nil {
		t.Fatal(err)
	}
	emptied := map[string]bool{} // of what the changes themselves have written
	for _, l := range r.rows {
		if !emptied[l.Table] {
			emptied[l.Table] = true
			if _, err := db.ExecContext(t.Context(), "DELETE FROM "+l.Table); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.insert(t.Context(), db, dialect); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.MigrateTo(t.Context(), db, dialect, files, log); err != nil {
		return []string{err.Error()}
	}
	for _, l := range r.rows {
		if slices.Contains(r.transformed, l.Table) {
			continue
		}
		if why := l.missing(t.Context(), db, dialect); why != "" {
			complaints = append(complaints, why)
		}
	}
	return complaints
}

func (l line) columns() []string { return slices.Sorted(maps.Keys(l.Row)) }

func (l line) values() (args []any) {
	for _, c := range l.columns() {
		args = append(args, l.Row[c])
	}
	return args
}

func place(dialect, q string) string {
	if dialect == store.Postgres {
		return store.Number(q)
	}
	return q
}

func (l line) insert(ctx context.Context, db *sql.DB, dialect string) error {
	columns := l.columns()
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ")
	q := fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", l.Table, strings.Join(columns, ", "), marks)
	_, err := db.ExecContext(ctx, place(dialect, q), l.values()...)
	return err
}

// missing says that the row is not there as it was.
func (l line) missing(ctx context.Context, db *sql.DB, dialect string) string {
	var where []string
	var args []any
	for _, c := range l.columns() {
		if l.Row[c] == nil {
			where = append(where, c+" IS NULL")
			continue
		}
		where, args = append(where, c+" = ?"), append(args, l.Row[c])
	}
	var n int
	q := "SELECT COUNT(*) FROM " + l.Table + " WHERE " + strings.Join(where, " AND ")
	if err := db.QueryRowContext(ctx, place(dialect, q), args...).Scan(&n); err != nil {
		return fmt.Sprintf("table %s: %v", l.Table, err)
	}
	if n != 1 {
		return fmt.Sprintf("table %s has %d rows %v, want 1", l.Table, n, l.Row)
	}
	return ""
}

// dump writes every row of our tables.
func dump(ctx context.Context, db *sql.DB) ([]byte, error) {
	var b bytes.Buffer
	w := json.NewEncoder(&b)
	tables, err := strs(ctx, db, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'goose_%' ORDER BY name")
	if err != nil {
		return nil, err
	}
	for _, table := range tables {
		rows, err := db.QueryContext(ctx, "SELECT * FROM "+table)
		if err != nil {
			return nil, err
		}
		if err := dumpRows(w, table, rows); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

func dumpRows(w *json.Encoder, table string, rows *sql.Rows) error {
	defer rows.Close()
	columns, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		row := map[string]any{}
		for i, c := range columns {
			row[c.Name()] = values[i]
			switch v := values[i].(type) {
			case []byte:
				row[c.Name()] = []string{base64.StdEncoding.EncodeToString(v)}
			case int64:
				if c.DatabaseTypeName() == "BOOLEAN" {
					row[c.Name()] = v != 0
				}
			}
		}
		if err := w.Encode(line{table, row}); err != nil {
			return err
		}
	}
	return rows.Err()
}

func strs(ctx context.Context, db *sql.DB, q string) (all []string, err error) {
	rows, err := db.QueryContext(ctx, q)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// A made-up history of two releases shows that the check sees what it must.
func TestTheCheckOfReleasesSeesWhatIsLost(t *testing.T) {
	first := fstest.MapFS{"0001_pet.sql": {Data: []byte("-- +goose Up\nCREATE TABLE pet (id TEXT NOT NULL PRIMARY KEY, age BIGINT, tame BOOLEAN NOT NULL, skin BYTEA);")}}
	folder := fstest.MapFS{"migrations": {Data: sums(t, first)}, "rows.jsonl": {Data: kept(t, first)}}
	second := func(change string) fstest.MapFS {
		return fstest.MapFS{"0001_pet.sql": first["0001_pet.sql"], "0002_pet.sql": {Data: []byte("-- +goose Up\n" + change)}}
	}
	edited := fstest.MapFS{"0001_pet.sql": {Data: append([]byte("-- better\n"), first["0001_pet.sql"].Data...)}}
	for name, c := range map[string]struct {
		files fstest.MapFS
		want  string // in the complaint; empty: none
	}{
		"nothing changed":        {first, ""},
		"a column came":          {second("ALTER TABLE pet ADD COLUMN name TEXT NOT NULL DEFAULT '';"), ""},
		"a row was lost":         {second("DELETE FROM pet WHERE tame;"), "has 0 rows"},
		"a value was spoilt":     {second("UPDATE pet SET age = 0;"), "has 0 rows"},
		"a column was dropped":   {second("ALTER TABLE pet DROP COLUMN skin;"), "skin"},
		"a change does not run":  {second("ALTER TABLE nothing ADD COLUMN x TEXT;"), "migrate"},
		"a released change went": {fstest.MapFS{"0002_x.sql": {Data: []byte("-- +goose Up\nSELECT 1;")}}, "is gone"},
		"a released one edited":  {edited, "was edited"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := readRelease(folder)
			if err != nil {
				t.Fatal(err)
			}
			storetest.EachURL(t, func(t *testing.T, url string) {
				got := strings.Join(r.check(t, url, c.files), "; ")
				if c.want == "" && got != "" || !strings.Contains(got, c.want) {
					t.Errorf("complaints %q, want %q", got, c.want)
				}
			})
		})
	}
}

// kept is the dump of a small database.
func kept(t *testing.T, files fs.FS) []byte {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "first.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if err := store.MigrateTo(t.Context(), db, store.SQLite, files, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("INSERT INTO pet VALUES ('it''s', 9007199254740993, TRUE, X'00ff'), ('b', NULL, FALSE, NULL)"); err != nil {
		t.Fatal(err)
	}
	rows, err := dump(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(rows, []byte("\n")); n != 2 {
		t.Fatalf("dumped %d rows", n)
	}
	return rows
}

func TestADatabaseOfANewerTandemIsRefused(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		s := storetest.Open(t, url)
		if err := s.Break("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)"); err != nil {
			t.Fatal(err)
		}
		s.Close()
		_, err := store.Open(t.Context(), store.Config{URL: url})
		if fault.Of(err) != fault.Conflict || !strings.Contains(err.Error(), "newer Tandem") {
			t.Errorf("error = %v", err)
		}
	})
}

// Control nodes that share a PostgreSQL may start at the same time.
func TestTwoNodesThatStartAtOnceMigrateOnce(t *testing.T) {
	url := storetest.Server(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s, err := store.Open(t.Context(), store.Config{URL: url})
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
		})
	}
	wg.Wait()
}
