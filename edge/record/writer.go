package record

import (
	"context"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	link "github.com/tandemgw/tandem/link/record"
)

// stage of a call's record. A later stage replaces an earlier one and never
// the other way round, so entries may arrive in any order.
type stage int8

const (
	begun stage = iota
	answered
	finished
)

// entry is one write that waits for the disk.
type entry struct {
	stage                  stage
	id                     string
	began                  int64 // µs since 1970
	failed                 bool
	callerPeer, calleePeer string
	caller, callee         string
	body                   []byte // the whole call as JSON
	done                   func(error)
	spare                  bool // it may be lost
}

// The numbers and the beginning of a call do not change after its first
// entry, so their indexes are left alone by the later ones.
const upsert = `INSERT INTO calls(id, run, stage, began, caller_peer, callee_peer, caller, callee, failed, body, owed)
VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT(id) DO UPDATE SET stage = excluded.stage, callee_peer = excluded.callee_peer, failed = excluded.failed, body = excluded.body, owed = CASE WHEN excluded.owed > 0 THEN excluded.owed ELSE calls.owed END
WHERE excluded.stage >= calls.stage`

// The run's row is touched this often: it dates the end of calls that a crash
// leaves open. It is also how often a refusing disk is tried again.
const heartbeat = 2 * time.Second

// Entries that nobody waits for wait this long at most for one that somebody
// does, to share its commit: a quiet node then syncs once a call and not three
// times. A crash within that time closes the call as "node lost", as it does
// one whose BYE is still on its way.
const company = 50 * time.Millisecond

// write is the only goroutine that writes to the file.
func (s *Spool) write() {
	defer close(s.ended)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	var alone <-chan time.Time // ends the wait for company
	for {
		select {
		case <-s.wake:
			alone = nil
			s.flushAll(false)
		case <-s.idle:
			if alone == nil {
				alone = time.After(company)
			}
		case <-alone:
			alone = nil
			s.flushAll(false)
		case <-beat.C:
			s.flushAll(true)
		case <-s.quit:
			s.finish()
			return
		}
	}
}

// flushAll writes what waits. A disk that refused is tried again by the
// heartbeat alone, so that it is not hammered by every call.
func (s *Spool) flushAll(beat bool) {
	if !beat && !s.healthy() {
		return
	}
	for s.flush(beat) {
		beat = false
	}
	s.repeat()
	if beat && s.healthy() {
		s.trim()
	}
}

// finish writes what waits and gives up on what the disk does not take.
func (s *Spool) finish() {
	for s.flush(true) {
	}
	s.mu.Lock()
	rest := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	if len(rest) > 0 {
		s.log.Error("call records lost: the node stops while the disk refuses them", "count", len(rest))
	}
	acknowledge(rest, fault.New(fault.Unavailable, "the node stopped before the disk took the record"))
}

// flush commits one batch of what waits, with a sign of life if asked for. It
// reports whether something was written and more may wait.
func (s *Spool) flush(alive bool) bool {
	batch, arrived := s.take(alive)
	if len(batch) == 0 && len(arrived) == 0 && !alive {
		return false
	}
	if err := s.commit(batch, arrived, alive); err != nil {
		s.suffer(batch, explain(s.path, err))
		s.Arrived(arrived)
		return false
	}
	s.heal()
	s.tellOwing(batch)
	s.written.Add(uint64(len(batch)))
	s.commits.Add(1)
	acknowledge(batch, nil)
	return len(batch) > 0
}

// take gives what waits, and with it what goes with any commit.
func (s *Spool) take(alive bool) (batch []entry, arrived []link.Owed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.waiting), s.tuning.batch)
	batch, arrived = s.waiting[:n:n], s.arrived
	s.waiting, s.arrived = s.waiting[n:], nil
	if n == 0 && !alive {
		return nil, arrived
	}
	for id, e := range s.progress {
		if len(batch) >= s.tuning.batch {
			break
		}
		batch = append(batch, e)
		delete(s.progress, id)
	}
	return batch, arrived
}

// commit makes a batch durable: with synchronous=FULL, COMMIT returns when
// the write-ahead log is on the disk.
func (s *Spool) commit(batch []entry, arrived []link.Owed, alive bool) (err error) {
	ctx := context.Background()
	if _, err := s.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.conn.ExecContext(ctx, "ROLLBACK") // fails when SQLite has rolled back by itself
		}
	}()
	if alive {
		if _, err := s.conn.ExecContext(ctx, "UPDATE runs SET alive = ? WHERE id = ?", time.Now().UnixMicro(), s.run); err != nil {
			return err
		}
	}
	for i := range batch {
		e := &batch[i]
		_, err := s.insert.ExecContext(ctx, e.id, s.run, int64(e.stage), e.began,
			e.callerPeer, e.calleePeer, e.caller, e.callee, e.failed, e.body, s.oweFor(e))
		if err != nil {
			return err
		}
	}
	for _, o := range arrived {
		if _, err := s.settle.ExecContext(ctx, int64(o.Number)); err != nil {
			return err
		}
	}
	if s.tuning.fsync > 0 {
		time.Sleep(s.tuning.fsync)
	}
	_, err = s.conn.ExecContext(ctx, "COMMIT")
	return err
}

// suffer refuses the new calls of a batch the disk did not take and puts the
// rest back in front: those calls are in progress and their entries are owed.
func (s *Spool) suffer(batch []entry, why *fault.Error) {
	var refused, owed []entry
	for _, e := range batch {
		switch {
		case e.spare:
		case e.stage == begun:
			refused = append(refused, e)
		default:
			owed = append(owed, e)
		}
	}
	s.mu.Lock()
	first := s.trouble == nil
	s.trouble = why
	for _, e := range s.waiting {
		if e.stage == begun {
			refused = append(refused, e)
		} else {
			owed = append(owed, e)
		}
	}
	s.waiting = owed
	s.mu.Unlock()
	if first {
		s.log.Error("call records cannot be written, new calls are refused", "error", why)
	}
	s.refused.Add(uint64(len(refused)))
	acknowledge(refused, why)
}

// heal takes calls again after the disk refused.
func (s *Spool) heal() {
	s.mu.Lock()
	was := s.trouble
	s.trouble = nil
	s.mu.Unlock()
	if was != nil {
		s.log.Info("call records are written again, new calls are taken")
	}
}

func (s *Spool) healthy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trouble == nil
}

func acknowledge(batch []entry, err error) {
	for _, e := range batch {
		if e.done != nil {
			e.done(err)
		}
	}
}

// trim deletes what is too old or too much, in bites that hold up nobody's
// call for long, and stops as soon as calls wait.
func (s *Spool) trim() {
	const bites = 16
	for range bites {
		n, err := s.bite()
		if err != nil {
			s.log.Error("old call records cannot be deleted", "error", explain(s.path, err))
			return
		}
		s.trimmed.Add(uint64(n))
		if n == 0 || len(s.wake) > 0 {
			return
		}
	}
}

func (s *Spool) bite() (int64, error) {
	const bite = 500
	ctx := context.Background()
	var used int64
	row := s.conn.QueryRowContext(ctx, `SELECT (p.page_count - f.freelist_count) * z.page_size
		FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size z`)
	if err := row.Scan(&used); err != nil {
		return 0, err
	}
	before := time.Now().Add(-s.keep)
	if used > s.limit {
		before = time.Now()
	}
	r, err := s.conn.ExecContext(ctx, `DELETE FROM calls WHERE rowid IN
		(SELECT rowid FROM calls WHERE began < ? AND stage = ? AND owed = 0 ORDER BY began LIMIT ?)`, before.UnixMicro(), finished, bite)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}
