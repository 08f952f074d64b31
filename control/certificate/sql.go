package certificate

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
)

var errNone = errors.New("no certificate is wanted for the edge")

const columns = "node, names, state, request, chain, begins, ends, attempts, problem, due, changed"

func read(scan store.Scan) (c Certificate, err error) {
	var names string
	var begins, ends, due int64
	err = scan(&c.Node, &names, &c.State, &c.Request, &c.chain, &begins, &ends, &c.Attempts, &c.Problem, &due, &c.changed)
	c.Names, c.Begins, c.Ends, c.Due = strings.Split(names, "\n"), store.Time(begins), store.Time(ends), store.Time(due)
	return c, err
}

func find(ctx context.Context, tx *store.Tx, node string) (Certificate, error) {
	c, err := read(tx.Row(ctx, "SELECT "+columns+" FROM certificate WHERE node = ?", node).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		err = errNone
	}
	return c, err
}

func list(ctx context.Context, tx *store.Tx) ([]Certificate, error) {
	return store.All(ctx, tx, read, "SELECT "+columns+" FROM certificate ORDER BY node")
}

func insert(ctx context.Context, tx *store.Tx, node string, names []string) error {
	_, err := tx.Exec(ctx, "INSERT INTO certificate ("+columns+", lease) VALUES (?, ?, ?, '', '', 0, 0, 0, '', 0, ?, 0)",
		node, strings.Join(names, "\n"), Wanted, store.Micros(time.Now()))
	return err
}

// rename says that other names are wanted: what was under way is for others.
func rename(ctx context.Context, tx *store.Tx, node string, names []string) error {
	_, err := tx.Exec(ctx, "UPDATE certificate SET names = ?, state = ?, request = '', chain = '', attempts = 0, problem = '', due = 0, lease = 0, changed = ? WHERE node = ?",
		strings.Join(names, "\n"), Wanted, store.Micros(time.Now()), node)
	return err
}

// errLost: somebody else has changed the row since it was read.
var errLost = errors.New("other names are wanted meanwhile, or the operator has brought a chain")

// update writes a row that nobody has changed since it was read.
func update(ctx context.Context, tx *store.Tx, c *Certificate) error {
	next := max(store.Micros(time.Now()), c.changed+1)
	n, err := tx.Exec(ctx, "UPDATE certificate SET state = ?, request = ?, chain = ?, begins = ?, ends = ?, attempts = ?, problem = ?, due = ?, lease = ?, changed = ? WHERE node = ? AND changed = ?",
		c.State, c.Request, c.chain, store.Micros(c.Begins), store.Micros(c.Ends), c.Attempts, c.Problem, store.Micros(c.Due), store.Micros(c.lease), next, c.Node, c.changed)
	if err == nil && n == 0 {
		return errLost
	}
	if err == nil {
		c.changed = next
	}
	return err
}

// keep writes what became of a certificate.
func (s *Set) keep(c *Certificate) error {
	was := c.changed
	return s.cfg.Store.Write(s.life, func(tx *store.Tx) error {
		c.changed = was
		return update(s.life, tx, c)
	})
}

// lookAgain has looked now at what waits for its edge, or needs nothing as far
// as is known.
func lookAgain(ctx context.Context, tx *store.Tx, node string) error {
	_, err := tx.Exec(ctx, "UPDATE certificate SET due = 0 WHERE node = ? AND state IN (?, ?, ?, ?)", node, Wanted, Shown, Files, Signed)
	return err
}

// claim takes what is due for this control node, until the lease ends.
func (s *Set) claim() (mine []Certificate) {
	now := time.Now()
	err := s.cfg.Store.Write(s.life, func(tx *store.Tx) (err error) {
		mine, err = store.All(s.life, tx, read, "SELECT "+columns+" FROM certificate WHERE due <= ? AND lease <= ? ORDER BY due LIMIT 100", store.Micros(now), store.Micros(now))
		if err != nil {
			return err
		}
		for i, c := range mine {
			mine[i].lease = now.Add(leased)
			if _, err := tx.Exec(s.life, "UPDATE certificate SET lease = ? WHERE node = ?", store.Micros(mine[i].lease), c.Node); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && s.life.Err() == nil {
		s.log.Error("look for certificates that are due", obs.KeyError, err)
		return nil
	}
	return mine
}

// release ends the leases of an earlier run, where nobody else can have one.
func (s *Set) release() error {
	if s.cfg.Store.Dialect() != store.SQLite {
		return nil
	}
	return s.cfg.Store.Write(s.life, func(tx *store.Tx) error {
		_, err := tx.Exec(s.life, "UPDATE certificate SET lease = 0")
		return err
	})
}
