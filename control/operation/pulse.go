package operation

import (
	"context"
	"time"

	"github.com/tandemgw/tandem/control/store"
)

// pulse shows the other processes on a PostgreSQL that this one lives, and
// watches theirs. Only attend uses it.
type pulse struct {
	set  *Set
	seen map[string]sighting // by worker
	last time.Time           // of our last beat that was written
	lost bool                // we were silent for so long that others may have taken over
}

// sighting is another worker's beat and when, by our own clock, it last moved.
type sighting struct {
	beat  int64
	since time.Time
}

// beat is one turn: show, look, listen.
func (p *pulse) beat(ctx context.Context) {
	s := p.set
	// Two thirds of what the others wait: our steps stop before theirs begin.
	if time.Since(p.last) > s.cfg.Lease*2/3 && !p.lost {
		p.lost = true
		s.log.Warn("the database has not heard us for too long: running operations are given up", "silence", time.Since(p.last))
		s.interruptAll()
	}
	if p.lost && !p.recover(ctx) {
		return
	}
	alive, workers, stops, err := p.turn(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.log.Warn("operations: no heart-beat", "err", err)
		}
		return
	}
	if !alive {
		p.lost = true
		s.log.Warn("another node took this one for dead: running operations are given up")
		s.interruptAll()
		return
	}
	p.last = time.Now()
	for _, r := range stops {
		s.interrupt(r.ID, r.stop)
	}
	p.watch(ctx, workers)
}

// recover begins anew after silence, once the steps that ran have returned:
// what still bears our name is given back.
func (p *pulse) recover(ctx context.Context) bool {
	s := p.set
	s.mu.Lock()
	running := len(s.running)
	s.mu.Unlock()
	if running > 0 {
		return false
	}
	err := s.store.Write(ctx, func(tx *store.Tx) error {
		if err := release(ctx, tx, "WHERE ended = 0 AND lease = ?", s.id); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM operation_worker WHERE id = ?", s.id); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO operation_worker (id, beat) VALUES (?, 1)", s.id)
		return err
	})
	if err != nil {
		return false
	}
	p.lost, p.last = false, time.Now()
	return true
}

type worker struct {
	id   string
	beat int64
}

// turn beats once; it reads the workers, and our operations that shall stop.
// alive is false when somebody has buried us.
func (p *pulse) turn(ctx context.Context) (alive bool, workers []worker, stops []row, err error) {
	err = p.set.store.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE operation_worker SET beat = beat + 1 WHERE id = ?", p.set.id)
		alive = n == 1
		return err
	})
	if err != nil || !alive {
		return alive, nil, nil, err
	}
	err = p.set.store.Read(ctx, func(tx *store.Tx) error {
		workers, err = store.All(ctx, tx, func(scan store.Scan) (w worker, err error) {
			return w, scan(&w.id, &w.beat)
		}, "SELECT id, beat FROM operation_worker WHERE id <> ?", p.set.id)
		if err != nil {
			return err
		}
		stops, err = list(ctx, tx, "WHERE ended = 0 AND lease = ? AND stop <> ''", p.set.id)
		return err
	})
	return alive, workers, stops, err
}

// watch buries the workers whose beat has stood still for the lease.
func (p *pulse) watch(ctx context.Context, workers []worker) {
	now := time.Now()
	seen := make(map[string]sighting, len(workers))
	for _, w := range workers {
		last, known := p.seen[w.id]
		if !known || last.beat != w.beat {
			last = sighting{w.beat, now}
		}
		seen[w.id] = last
		if now.Sub(last.since) < p.set.cfg.Lease {
			continue
		}
		p.set.log.Warn("a node is silent: its operations are taken over", "worker", w.id)
		if err := p.set.bury(ctx, w.id, &w.beat); err != nil {
			p.set.log.Warn("a silent node's operations are not taken over yet", "worker", w.id, "err", err)
		}
	}
	p.seen = seen
}

// bury removes a worker, unless its beat has moved on, and gives its operations
// back.
func (s *Set) bury(ctx context.Context, id string, beat *int64) error {
	return s.store.Write(ctx, func(tx *store.Tx) error {
		q, args := "DELETE FROM operation_worker WHERE id = ?", []any{id}
		if beat != nil {
			q, args = q+" AND beat = ?", append(args, *beat)
		}
		n, err := tx.Exec(ctx, q, args...)
		if err != nil || n == 0 {
			return err
		}
		tx.After(s.hurry)
		return release(ctx, tx, "WHERE ended = 0 AND lease = ?", id)
	})
}
