package record

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	link "github.com/tandemgw/tandem/link/record"
)

// Get finds one call by its whole ID; fault.NotFound when there is none.
func (s *Spool) Get(ctx context.Context, id string) (link.Call, error) {
	var c link.Call
	var body []byte
	err := s.readers.QueryRowContext(ctx, "SELECT body FROM calls WHERE id = ?", id).Scan(&body)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return c, fault.New(fault.NotFound, "no call "+id+" is on record here")
	case err != nil:
		return c, s.reading(ctx, err)
	}
	return c, json.Unmarshal(body, &c)
}

// List gives the calls that match, newest first.
func (s *Spool) List(ctx context.Context, f link.Filter) ([]link.Call, error) {
	where, args := conditions(f)
	args = append(args, cmp.Or(f.Limit, 100))
	rows, err := s.readers.QueryContext(ctx, "SELECT body FROM calls"+where+" ORDER BY began DESC LIMIT ?", args...)
	if err != nil {
		return nil, s.reading(ctx, err)
	}
	defer rows.Close()
	var calls []link.Call
	for rows.Next() {
		var body sql.RawBytes
		if err := rows.Scan(&body); err != nil {
			return nil, s.reading(ctx, err)
		}
		var c link.Call
		if err := json.Unmarshal(body, &c); err != nil {
			return nil, fmt.Errorf("read call record: %w", err)
		}
		calls = append(calls, c)
	}
	if err := rows.Err(); err != nil {
		return nil, s.reading(ctx, err)
	}
	return calls, nil
}

// reading explains an error of a reader, whose own impatience is not one of
// the disk.
func (s *Spool) reading(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &fault.Error{Kind: fault.Unavailable, Public: "the search took too long: name a shorter time or a smaller limit", Err: ctx.Err()}
	}
	return explain(s.path, err)
}

func conditions(f link.Filter) (where string, args []any) {
	var all []string
	add := func(condition string, values ...any) {
		all = append(all, condition)
		args = append(args, values...)
	}
	if !f.Since.IsZero() {
		add("began >= ?", f.Since.UnixMicro())
	}
	if !f.Until.IsZero() {
		add("began < ?", f.Until.UnixMicro())
	}
	if f.Peer != "" {
		add("(caller_peer = ? OR callee_peer = ?)", f.Peer, f.Peer)
	}
	if f.Number != "" {
		add("(caller = ? OR callee = ?)", f.Number, f.Number)
	}
	if f.Failed {
		add("failed = 1")
	}
	if f.ID != "" {
		// No byte of UTF-8 is greater than 0xf4, so this ends the range of the prefix.
		add("id >= ? AND id < ?", f.ID, f.ID+"\xff")
	}
	if len(all) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(all, " AND "), args
}
