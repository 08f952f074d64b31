package record

import (
	"context"
	"time"

	"github.com/tandemgw/tandem/base/fault"
)

// repetition asks for what control had to be sent once more.
type repetition struct {
	since time.Time
	done  chan error // has room
}

// Resend owes control once more what has been sent up of calls that began
// since a moment, and returns when that is on the disk: control was brought
// back from an older state. It knows by its ID what it has all the same.
func (s *Spool) Resend(ctx context.Context, since time.Time) error {
	if !s.upward {
		return fault.New(fault.Conflict, "this node owes no records to control")
	}
	r := repetition{since, make(chan error, 1)}
	s.mu.Lock()
	s.repetitions = append(s.repetitions, r)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // it will be looked at
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ended:
		return fault.New(fault.Unavailable, "the node is stopping")
	}
}

// repeat does what Resend asks for. It belongs to the writer, whose numbers go
// on above those it gives.
func (s *Spool) repeat() {
	s.mu.Lock()
	list := s.repetitions
	s.repetitions = nil
	s.mu.Unlock()
	for _, r := range list {
		r.done <- s.oweSince(r.since)
	}
}

func (s *Spool) oweSince(since time.Time) error {
	ctx := context.Background()
	_, err := s.conn.ExecContext(ctx, "UPDATE calls SET owed = ? + rowid WHERE owed = 0 AND stage = 2 AND began >= ?", s.counted, since.UnixMicro())
	if err != nil {
		return explain(s.path, err)
	}
	if err := s.recount(ctx); err != nil {
		return explain(s.path, err)
	}
	select {
	case s.owing <- struct{}{}:
	default: // it has been said and not looked at yet
	}
	return nil
}

// recount goes on after the greatest number given, in an earlier run or now.
func (s *Spool) recount(ctx context.Context) error {
	var greatest int64
	if err := s.conn.QueryRowContext(ctx, "SELECT coalesce(max(owed), 0) FROM calls WHERE owed > 0").Scan(&greatest); err != nil {
		return err
	}
	s.counted = max(s.counted, greatest)
	return nil
}
