package operation

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/control/store"
)

// Why the context of a step ends.
var (
	errClosing = errors.New("the node stops")
	errLost    = errors.New("another node may have taken the operation over")
	errStop    = errors.New("somebody asked to stop")
)

const (
	tick      = time.Second         // how late another node's word may be heard
	keep      = 30 * 24 * time.Hour // of ended operations; the youngest of a resource stays
	keepEvery = time.Hour           // between two looks for older ones
)

// Start runs what is due, from the moment it returns until Close or the end of
// ctx. What the process that had this SQLite file before left in the middle
// goes on at once; on PostgreSQL, when its silence has lasted Config.Lease.
func (s *Set) Start(ctx context.Context) error {
	err := s.store.Write(ctx, func(tx *store.Tx) error {
		if s.store.Dialect() == store.SQLite {
			return release(ctx, tx, "WHERE ended = 0 AND lease <> ''")
		}
		_, err := tx.Exec(ctx, "INSERT INTO operation_worker (id, beat) VALUES (?, 1)", s.id)
		return err
	})
	if err != nil {
		return err
	}
	life, stop := context.WithCancelCause(ctx)
	s.stop = stop
	s.wg.Go(func() { s.work(life) })
	s.wg.Go(func() { s.attend(life) })
	return nil
}

// Close has the steps that run return, gives their operations back and waits.
func (s *Set) Close() {
	if s.stop == nil {
		return
	}
	s.stop(errClosing)
	s.wg.Wait()
	if s.store.Dialect() == store.Postgres {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.bury(ctx, s.id, nil); err != nil {
			s.log.Warn("operations are given back late", "err", err)
		}
	}
	s.allChanged()
}

// work is the loop that gives due operations to workers.
func (s *Set) work(life context.Context) {
	fails := 0
	for life.Err() == nil {
		pause := tick
		if room := cap(s.free) - len(s.free); room > 0 {
			next, err := s.take(life, room)
			switch {
			case err == nil:
				fails = 0
			case life.Err() == nil:
				if fails++; fails&(fails-1) == 0 { // 1, 2, 4, 8 …
					s.log.Error("no operation can be started", "count", fails, "err", err)
				}
			}
			if !next.IsZero() {
				pause = min(pause, max(time.Until(next), time.Millisecond))
			}
		}
		select {
		case <-life.Done():
		case <-s.wake:
		case <-time.After(pause):
		}
	}
}

// take claims up to room operations that are due, runs them, and tells when
// the next one will be.
func (s *Set) take(life context.Context, room int) (next time.Time, err error) {
	var ready []row
	err = s.store.Read(life, func(tx *store.Tx) error {
		now := store.Micros(time.Now())
		if ready, err = s.ready(life, tx, now, room); err != nil || len(ready) == room {
			return err
		}
		next, err = s.nextDue(life, tx, now)
		return err
	})
	if err != nil || len(ready) == 0 {
		return next, err
	}
	var mine []row
	err = s.store.Write(life, func(tx *store.Tx) error {
		mine = mine[:0]
		for _, candidate := range ready {
			r, ok, err := s.claim(life, tx, candidate.ID)
			if err != nil {
				return err
			}
			if ok {
				mine = append(mine, r)
			}
		}
		return nil
	})
	if err != nil {
		return next, err
	}
	for _, r := range mine {
		s.spawn(life, r)
	}
	if len(ready) == room {
		s.hurry() // there may be more
	}
	return next, nil
}

// alone is true of an operation of whose resource no step runs.
const alone = "NOT EXISTS (SELECT 1 FROM operation other WHERE other.resource = operation.resource AND other.lease <> '')"

func (s *Set) ready(ctx context.Context, tx *store.Tx, now int64, room int) ([]row, error) {
	kinds, args := s.known()
	args = append(args, now, room)
	return list(ctx, tx, "WHERE ended = 0 AND lease = '' AND kind IN ("+kinds+") AND due <= ? AND "+alone+" ORDER BY due, created LIMIT ?", args...)
}

func (s *Set) nextDue(ctx context.Context, tx *store.Tx, now int64) (time.Time, error) {
	kinds, args := s.known()
	args = append(args, now)
	var due int64
	err := tx.Row(ctx, "SELECT COALESCE(MIN(due), 0) FROM operation WHERE ended = 0 AND lease = '' AND kind IN ("+kinds+") AND due > ?", args...).Scan(&due)
	return store.Time(due), err
}

// known is the list of kinds for an IN.
func (s *Set) known() (marks string, args []any) {
	for kind := range s.kinds {
		args = append(args, kind)
	}
	if len(args) == 0 {
		return "''", nil
	}
	return strings.Repeat("?, ", len(args)-1) + "?", args
}

// claim makes an operation ours, if it is still to be had.
func (s *Set) claim(ctx context.Context, tx *store.Tx, id string) (row, bool, error) {
	if s.runs(id) {
		return row{}, false, nil // what lost it has not returned yet
	}
	rows, err := list(ctx, tx, "WHERE id = ? AND ended = 0 AND lease = '' AND "+alone, id)
	if err != nil || len(rows) == 0 {
		return row{}, false, err
	}
	r := rows[0]
	r.Steps = merge(s.kinds[r.Kind], r.Steps)
	if r.next() < 0 { // its last steps are gone since a release
		r.finish(Succeeded, nil)
		tx.After(func() { s.changed(id) })
		return row{}, false, save(ctx, tx, r, "")
	}
	r.begin()
	return r, true, save(ctx, tx, r, s.id)
}

// next is the index of the step to run, -1 when all have ended.
func (r *row) next() int {
	return slices.IndexFunc(r.Steps, func(p Progress) bool { return !p.Status.Ended() })
}

// begin notes that the next step is tried.
func (r *row) begin() {
	now := time.Now()
	if r.Started.IsZero() {
		r.Started = now
	}
	r.Status, r.due = InProgress, time.Time{}
	p := &r.Steps[r.next()]
	if p.Started.IsZero() {
		p.Started = now
	}
	p.Status = InProgress
	p.Attempts++
}

func (s *Set) runs(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running[id] != nil
}

func (s *Set) spawn(life context.Context, r row) {
	one := &run{set: s, row: r}
	one.life, one.lose = context.WithCancelCause(life)
	one.ctx, one.cancel = context.WithCancel(one.life)
	s.mu.Lock()
	s.running[r.ID] = one
	s.mu.Unlock()
	s.free <- struct{}{} // never blocks: work counted the room
	s.wg.Go(func() {
		one.run()
		one.lose(nil)
		s.mu.Lock()
		delete(s.running, r.ID)
		s.mu.Unlock()
		<-s.free
		s.hurry()
	})
}

// interrupt stops the step of an operation that runs in this process.
func (s *Set) interrupt(id string, why *Problem) {
	s.mu.Lock()
	one := s.running[id]
	s.mu.Unlock()
	if one != nil {
		s.log.Debug("operation shall stop", "operation", id, "why", why.Message)
		one.cancel()
	}
}

// interruptAll stops every step that runs in this process: its row may be
// somebody else's.
func (s *Set) interruptAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.running {
		one.lose(errLost)
	}
}

// release gives operations back: those that were asked to stop end here, the
// others are due.
func release(ctx context.Context, tx *store.Tx, where string, args ...any) error {
	rows, err := list(ctx, tx, where, args...)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r.stop != nil {
			r.finish(Canceled, r.stop)
		}
		if err := save(ctx, tx, r, ""); err != nil {
			return err
		}
	}
	return nil
}

// attend is the loop that lives with the other nodes, and keeps house.
func (s *Set) attend(life context.Context) {
	p := pulse{set: s, seen: map[string]sighting{}, last: time.Now()}
	every := min(tick, s.cfg.Lease/5)
	var kept time.Time
	for {
		select {
		case <-life.Done():
			return
		case <-time.After(every):
		}
		s.allChanged()
		if s.store.Dialect() == store.Postgres {
			p.beat(life)
		}
		if time.Since(kept) > keepEvery {
			kept = time.Now()
			if err := s.forget(life); err != nil && life.Err() == nil {
				s.log.Warn("old operations are kept", "err", err)
			}
		}
	}
}

// forget deletes what ended long ago.
func (s *Set) forget(ctx context.Context) error {
	return s.store.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM operation WHERE ended > 0 AND ended < ? AND EXISTS
			(SELECT 1 FROM operation younger WHERE younger.resource = operation.resource AND younger.created > operation.created)`,
			store.Micros(time.Now().Add(-keep)))
		return err
	})
}
