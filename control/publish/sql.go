package publish

import (
	"context"
	"time"

	"github.com/tandemgw/tandem/control/store"
)

// node is what a node was told last.
type node struct {
	name     string
	revision uint64
}

func nodes(ctx context.Context, tx *store.Tx, where string, args ...any) ([]node, error) {
	return store.All(ctx, tx, func(scan store.Scan) (n node, err error) {
		return n, scan(&n.name, &n.revision)
	}, "SELECT node, revision FROM publication_node "+where+" ORDER BY node", args...)
}

// all are the stored publications.
func all(ctx context.Context, tx *store.Tx) ([]*published, error) {
	rows, err := store.All(ctx, tx, func(scan store.Scan) (*published, error) {
		var p published
		var text string
		err := scan(&p.key, &p.id, &p.revision, &p.digest, &text)
		p.snapshot = []byte(text)
		return &p, err
	}, "SELECT gateway, id, revision, digest, snapshot FROM publication ORDER BY revision")
	if err != nil {
		return nil, err
	}
	for _, p := range rows {
		list, err := nodes(ctx, tx, "WHERE gateway = ?", p.key)
		if err != nil {
			return nil, err
		}
		for _, n := range list {
			p.nodes = append(p.nodes, n.name)
		}
	}
	return rows, nil
}

// next is a revision that nobody has been given.
func (s *Set) next(ctx context.Context, tx *store.Tx) (uint64, error) {
	var last uint64
	if err := tx.Row(ctx, "SELECT last FROM publication_revision WHERE one = 1").Scan(&last); err != nil {
		return 0, err
	}
	last = max(last, s.cfg.Link.Newest()) + 1
	_, err := tx.Exec(ctx, "UPDATE publication_revision SET last = ? WHERE one = 1", last)
	return last, err
}

// save stores the row with a revision of its own.
func (s *Set) save(ctx context.Context, tx *store.Tx, p *published) (err error) {
	if p.revision, err = s.next(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "DELETE FROM publication WHERE gateway = ?", p.key); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO publication (gateway, id, revision, digest, snapshot, published) VALUES (?, ?, ?, ?, ?, ?)",
		p.key, p.id, p.revision, p.digest, string(p.snapshot), store.Micros(time.Now()))
	if err != nil {
		return err
	}
	for _, name := range p.nodes {
		if err := told(ctx, tx, name, p.key, p.revision); err != nil {
			return err
		}
	}
	return nil
}

// release says that nodes are to run nothing.
func (s *Set) release(ctx context.Context, tx *store.Tx, list []node) (left []node, err error) {
	for _, n := range list {
		if n.revision, err = s.next(ctx, tx); err != nil {
			return nil, err
		}
		if err := told(ctx, tx, n.name, "", n.revision); err != nil {
			return nil, err
		}
		left = append(left, n)
	}
	return left, nil
}

func told(ctx context.Context, tx *store.Tx, name, gateway string, revision uint64) error {
	if _, err := tx.Exec(ctx, "DELETE FROM publication_node WHERE node = ?", name); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "INSERT INTO publication_node (node, gateway, revision) VALUES (?, ?, ?)", name, gateway, revision)
	return err
}
