package publish

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/link"
	"github.com/tandemgw/tandem/link/snapshot"
)

// Config is what a Set stands on.
type Config struct {
	Store *store.Store
	Link  carrier
	// Input is the deployment's part of every snapshot: the far sides, the
	// provisioned numbers and the rules of the control node's configuration.
	Input func() (Input, error)
}

// carrier is the link's end at the control plane.
type carrier interface {
	Publish(context.Context, link.Publication) error
	Withdraw(ctx context.Context, revision uint64, nodes ...string) error
	Newest() uint64 // revision that any edge was ever given
}

// Set keeps what every gateway's edges are to run, and has the link carry it to
// them. What is published is a row first: after a restart, or with a link that
// has lost everything, Again gives the same again.
type Set struct {
	cfg Config // RO
}

// NewSet makes a Set.
func NewSet(cfg Config) *Set { return &Set{cfg} }

// published is a row.
type published struct {
	id       string // of the gateway
	key      string
	revision uint64
	digest   string
	nodes    []string
	snapshot []byte                                 // JSON
	still    func(context.Context, *store.Tx) error // nil: it is as it is
}

// Publish gives the revision that a gateway's edges are to run. It is a new one
// only when the snapshot or the edges have changed; edges that are no longer
// among them are withdrawn from. The error is gateway.Problems when the gateway
// is not fit to be published.
func (s *Set) Publish(ctx context.Context, p gateway.Publication) (uint64, error) {
	now, err := s.compile(p)
	if err != nil {
		return 0, err
	}
	err = s.insist(ctx, func(anew bool) error {
		left, err := s.keep(ctx, now, anew)
		if err != nil {
			return err
		}
		return s.carry(ctx, now, left)
	})
	return now.revision, err
}

// insist does it anew when an edge was given a newer revision than the store
// knows: the store was restored from a backup, or another node was faster.
func (s *Set) insist(ctx context.Context, do func(anew bool) error) error {
	err := do(false)
	for fault.Of(err) == fault.Conflict && ctx.Err() == nil {
		err = do(true)
	}
	return err
}

// compile makes the row, but for its revision.
func (s *Set) compile(p gateway.Publication) (*published, error) {
	in, err := s.cfg.Input()
	if err != nil {
		return nil, err
	}
	in.Gateway, in.Domains, in.Delegated, in.Lines = p.Gateway, p.Domains, p.Delegated, p.Lines
	compiled, err := Compile(in)
	if err != nil {
		return nil, err
	}
	compiled.Revision = 0
	compiled.Gateway = p.ID.String()
	text, err := json.Marshal(compiled)
	if err != nil {
		return nil, err
	}
	now := &published{id: p.ID.String(), key: p.ID.Key(), nodes: slices.Sorted(slices.Values(p.Nodes)), snapshot: text, still: p.Still}
	sum := sha256.New()
	fmt.Fprintf(sum, "%q\n", now.nodes)
	sum.Write(text)
	now.digest = hex.EncodeToString(sum.Sum(nil))
	return now, nil
}

// keep stores the row, unless it is there already and need not be anew, and
// gives the nodes that the gateway had and has no longer.
func (s *Set) keep(ctx context.Context, now *published, anew bool) (left []node, err error) {
	err = s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		if now.still != nil {
			if err := now.still(ctx, tx); err != nil {
				return err
			}
		}
		var revision uint64
		var digest string
		err := tx.Row(ctx, "SELECT revision, digest FROM publication WHERE gateway = ?", now.key).Scan(&revision, &digest)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err == nil && digest == now.digest && !anew {
			now.revision = revision
			left, err = nodes(ctx, tx, "WHERE gateway = ''") // whose withdrawal may not have left before
			return err
		}
		had, err := nodes(ctx, tx, "WHERE gateway = ?", now.key)
		if err != nil {
			return err
		}
		gone := slices.DeleteFunc(had, func(n node) bool { return slices.Contains(now.nodes, n.name) })
		if left, err = s.release(ctx, tx, gone); err != nil {
			return err
		}
		return s.save(ctx, tx, now)
	})
	return left, err
}

// carry has the link take the row to its nodes.
func (s *Set) carry(ctx context.Context, p *published, left []node) error {
	for _, n := range left {
		if err := s.withdraw(ctx, n); err != nil {
			return err
		}
	}
	var compiled snapshot.Snapshot
	if err := json.Unmarshal(p.snapshot, &compiled); err != nil {
		return fmt.Errorf("read the stored snapshot of %s: %w", p.id, err)
	}
	return s.cfg.Link.Publish(ctx, link.Publication{Gateway: p.id, Revision: p.revision, Nodes: p.nodes, Snapshot: &compiled})
}

// withdraw has the link take away what a node runs.
func (s *Set) withdraw(ctx context.Context, n node) error {
	return s.insist(ctx, func(anew bool) error {
		if anew {
			err := s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
				now, err := nodes(ctx, tx, "WHERE node = ? AND gateway = ''", n.name)
				if err != nil || len(now) == 0 {
					return err // it serves another gateway meanwhile
				}
				released, err := s.release(ctx, tx, now)
				if err == nil {
					n = released[0]
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		return s.cfg.Link.Withdraw(ctx, n.revision, n.name)
	})
}

// Withdraw takes what they run from a gateway's nodes, and forgets what was
// published for it.
func (s *Set) Withdraw(ctx context.Context, id gateway.ID, names []string) error {
	var left []node
	err := s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		had, err := nodes(ctx, tx, "WHERE gateway = ?", id.Key())
		if err != nil {
			return err
		}
		if _, err := s.release(ctx, tx, had); err != nil {
			return err
		}
		if left, err = nodes(ctx, tx, "WHERE gateway = ''"); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "DELETE FROM publication WHERE gateway = ?", id.Key())
		return err
	})
	if err != nil {
		return err
	}
	for _, n := range left {
		if err := s.withdraw(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// Again has the link carry everything that is stored. Edges that have it take
// no notice.
func (s *Set) Again(ctx context.Context) error {
	var rows []*published
	var left []node
	err := s.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if rows, err = all(ctx, tx); err != nil {
			return err
		}
		left, err = nodes(ctx, tx, "WHERE gateway = ''")
		return err
	})
	if err != nil {
		return err
	}
	for _, n := range left {
		err = errors.Join(err, s.withdraw(ctx, n))
	}
	for _, p := range rows {
		err = errors.Join(err, s.again(ctx, p))
	}
	return err
}

// errStale tells that a row has been replaced since it was read.
var errStale = errors.New("something newer has been published")

// again has the link carry one row, unless a newer one is on its way.
func (s *Set) again(ctx context.Context, p *published) error {
	read := p.revision
	p.still = func(ctx context.Context, tx *store.Tx) error {
		var now uint64
		err := tx.Row(ctx, "SELECT revision FROM publication WHERE gateway = ?", p.key).Scan(&now)
		if errors.Is(err, sql.ErrNoRows) || err == nil && now != read {
			return errStale
		}
		return err
	}
	err := s.insist(ctx, func(anew bool) error {
		if anew {
			if _, err := s.keep(ctx, p, true); err != nil {
				return err
			}
			read = p.revision
		}
		return s.carry(ctx, p, nil)
	})
	if errors.Is(err, errStale) {
		return nil
	}
	return err
}
