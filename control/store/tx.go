package store

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"time"
)

// Tx is a running transaction. After a statement failed the transaction is
// over (PostgreSQL would not go on, so SQLite does not either): f returns, and
// the error comes out of Read or Write. Rows are closed before the next
// statement: one connection carries one answer at a time. It belongs to the
// goroutine that runs f.
type Tx struct {
	raw      *sql.Tx
	numbered bool // placeholders are $1, $2
	failed   error
	after    []func()
	until    time.Time // when its statements have to be done
	last     bounded
	ends     []context.CancelFunc
}

// bounded is a context with the same one until the transaction has to be done.
type bounded struct{ of, ctx context.Context }

// bounded is ctx until the transaction has to be done, and at most until it is
// over: the rows of a statement need it as long.
func (tx *Tx) bounded(ctx context.Context) context.Context {
	if tx.last.of != ctx {
		until, cancel := context.WithDeadline(ctx, tx.until)
		tx.last, tx.ends = bounded{ctx, until}, append(tx.ends, cancel)
	}
	return tx.last.ctx
}

// end releases what statements held.
func (tx *Tx) end() {
	for _, cancel := range tx.ends {
		cancel()
	}
}

// Exec runs a statement and tells how many rows it touched.
func (tx *Tx) Exec(ctx context.Context, q string, args ...any) (int64, error) {
	if tx.failed != nil {
		return 0, tx.failed
	}
	res, err := tx.raw.ExecContext(tx.bounded(ctx), tx.bind(q), args...)
	if err != nil {
		tx.failed = err
		return 0, err
	}
	return res.RowsAffected()
}

// Query runs a statement that gives rows; All is shorter.
func (tx *Tx) Query(ctx context.Context, q string, args ...any) (*sql.Rows, error) {
	if tx.failed != nil {
		return nil, tx.failed
	}
	rows, err := tx.raw.QueryContext(tx.bounded(ctx), tx.bind(q), args...)
	if err != nil {
		tx.failed = err
	}
	return rows, err
}

// Row runs a statement that gives one row; Scan says sql.ErrNoRows when there
// is none.
func (tx *Tx) Row(ctx context.Context, q string, args ...any) *sql.Row {
	row := tx.raw.QueryRowContext(tx.bounded(ctx), tx.bind(q), args...)
	if err := row.Err(); err != nil && tx.failed == nil {
		tx.failed = err
	}
	return row
}

// All runs a statement and collects what scan makes of each row:
//
//	names, err := store.All(ctx, tx, func(scan store.Scan) (name string, err error) {
//		return name, scan(&name)
//	}, "SELECT name FROM gateway WHERE grp = ?", group)
func All[T any](ctx context.Context, tx *Tx, each func(scan Scan) (T, error), q string, args ...any) ([]T, error) {
	rows, err := tx.Query(ctx, q, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := each(rows.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	if err := rows.Err(); err != nil {
		tx.failed = err
		return nil, err
	}
	return all, nil
}

// Scan copies the columns of a row.
type Scan = func(dest ...any) error

// After has f called once when the transaction is committed, and never
// otherwise, in the goroutine that called Write.
func (tx *Tx) After(f func()) { tx.after = append(tx.after, f) }

// bind numbers the placeholders for PostgreSQL.
func (tx *Tx) bind(q string) string {
	if !tx.numbered || !strings.Contains(q, "?") {
		return q
	}
	return number(q)
}

// number turns each "?" outside quotes and comments into $1, $2 and so on.
func number(q string) string {
	var b strings.Builder
	n := 0
	for len(q) > 0 {
		i := strings.IndexAny(q, `?'"-/`)
		if i < 0 {
			break
		}
		b.WriteString(q[:i])
		q = q[i:]
		if q[0] == '?' {
			n++
			b.WriteString("$" + strconv.Itoa(n))
			q = q[1:]
			continue
		}
		skip := quoted(q)
		b.WriteString(q[:skip])
		q = q[skip:]
	}
	return b.String() + q
}

// quoted is how much of q is a string, a quoted name or a comment that starts
// here; 1 when it is a lone character.
func quoted(q string) int {
	from, end := 1, q[:1]
	switch {
	case strings.HasPrefix(q, "--"):
		end = "\n"
	case strings.HasPrefix(q, "/*"):
		from, end = 2, "*/"
	case q[0] == '-', q[0] == '/':
		return 1
	}
	i := strings.Index(q[from:], end)
	if i < 0 {
		return len(q)
	}
	return from + i + len(end)
}
