package record

import (
	"context"

	link "github.com/tandemgw/tandem/link/record"
)

// What control has not got yet is numbered, in the order in which it became
// durable. A call that changes meanwhile gets a new number, so that the news
// of an older state settles nothing. Nothing that is owed is ever trimmed: a
// disk that fills because control stays away refuses new calls, as every full
// disk does.

// owe gives an entry its number, 0 when nobody wants it.
func (s *Spool) owe() int64 {
	if !s.upward {
		return 0
	}
	s.counted++
	return s.counted
}

// oweFor is the number of an entry of a call. How a call that goes on stands is
// asked of its node, and not sent up.
func (s *Spool) oweFor(e *entry) int64 {
	if e.spare {
		return 0
	}
	return s.owe()
}

// tellOwing says that a commit has brought something for control.
func (s *Spool) tellOwing(batch []entry) {
	if !s.upward || len(batch) == 0 {
		return
	}
	select {
	case s.owing <- struct{}{}:
	default: // it has been said and not looked at yet
	}
}

// Owed gives entries that control has not got, by ascending number, from after
// a number on.
func (s *Spool) Owed(ctx context.Context, after uint64, limit int) ([]link.Owed, error) {
	rows, err := s.readers.QueryContext(ctx, "SELECT owed, stage, body FROM calls WHERE owed > 0 AND owed > ? ORDER BY owed LIMIT ?", int64(after), limit)
	if err != nil {
		return nil, s.reading(ctx, err)
	}
	defer rows.Close()
	var owed []link.Owed
	for rows.Next() {
		var o link.Owed
		if err := rows.Scan(&o.Number, &o.Stage, &o.JSON); err != nil {
			return nil, s.reading(ctx, err)
		}
		owed = append(owed, o)
	}
	if err := rows.Err(); err != nil {
		return nil, s.reading(ctx, err)
	}
	return owed, nil
}

// Arrived tells that control has entries. The file learns of it with one of
// the next commits: should the node end before, they go up once more, where
// they are known by their IDs.
func (s *Spool) Arrived(entries []link.Owed) {
	if len(entries) == 0 {
		return
	}
	s.mu.Lock()
	for _, o := range entries {
		s.arrived = append(s.arrived, link.Owed{Number: o.Number}) // the rest has served its purpose
	}
	s.mu.Unlock()
	select {
	case s.idle <- struct{}{}:
	default:
	}
}

// Owing has a value after there is more for control.
func (s *Spool) Owing() <-chan struct{} { return s.owing }

// Backlog is how many calls control has not got as they stand.
func (s *Spool) Backlog(ctx context.Context) (n int, err error) {
	err = s.readers.QueryRowContext(ctx, "SELECT count(*) FROM calls WHERE owed > 0").Scan(&n)
	return n, err
}
