// Package record keeps the calls of all nodes in the control store.
//
// Entries come up by link, at least once and in any order; a call is one row,
// which a later stage replaces and an earlier one does not. A call is its
// node's: no other node can change its row. Start reading at Set.
package record

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/control/store"
	link "github.com/tandemgw/tandem/link/record"
)

// Set is the calls on record.
type Set struct{ store *store.Store }

// New is the calls in a store.
func New(s *store.Store) *Set { return &Set{s} }

// atOnce rows go into one statement: 14 parameters each, of the 32 766 that
// SQLite takes.
const atOnce = 200

const columns = "id, node, region, gateway, service, account, stage, began, caller, callee, caller_peer, callee_peer, failed, body"

const replace = ` ON CONFLICT (id) DO UPDATE SET gateway = excluded.gateway, service = excluded.service, account = excluded.account, stage = excluded.stage,
callee_peer = excluded.callee_peer, failed = excluded.failed, body = excluded.body
WHERE excluded.stage >= call_record.stage AND excluded.node = call_record.node`

// Keep writes entries in one transaction. When it returns nil they are on the
// disk.
func (s *Set) Keep(ctx context.Context, entries []link.Entry) error {
	entries = newest(entries)
	return s.store.Write(ctx, func(tx *store.Tx) error {
		for some := range slices.Chunk(entries, atOnce) {
			row := "(" + strings.Repeat("?, ", strings.Count(columns, ",")) + "?)"
			q := "INSERT INTO call_record (" + columns + ") VALUES " + strings.Repeat(row+", ", len(some)-1) + row + replace
			var args []any
			for _, e := range some {
				c, failed := &e.Call, 0
				if c.Failed() {
					failed = 1
				}
				args = append(args, c.ID, c.Node, c.Region, c.Gateway, c.Service, c.Account, int64(e.Stage), store.Micros(c.Began),
					c.From, c.To, c.Caller.Peer, c.Callee.Peer, failed, string(e.JSON))
			}
			if _, err := tx.Exec(ctx, q, args...); err != nil {
				return fmt.Errorf("keep call records: %w", err)
			}
		}
		return nil
	})
}

// newest leaves one entry of each call of a node: of the greatest stage, and of
// those the last. A statement may touch a row once (PostgreSQL documentation,
// INSERT).
func newest(entries []link.Entry) (list []link.Entry) {
	at := map[string]int{}
	for _, e := range entries {
		i, seen := at[e.Call.ID]
		switch {
		case !seen:
			at[e.Call.ID] = len(list)
			list = append(list, e)
		case e.Stage >= list[i].Stage && e.Call.Node == list[i].Call.Node:
			list[i] = e
		}
	}
	return list
}

// trimAtOnce is how many calls one transaction deletes: others write meanwhile.
const trimAtOnce = 5000

// Trim deletes the calls that began before a time, and tells how many those
// were.
func (s *Set) Trim(ctx context.Context, before time.Time) (total int64, err error) {
	for {
		var n int64
		err := s.store.Write(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.Exec(ctx, "DELETE FROM call_record WHERE id IN (SELECT id FROM call_record WHERE began < ? LIMIT ?)", store.Micros(before), trimAtOnce)
			return err
		})
		total += n
		if err != nil || n < trimAtOnce {
			return total, err
		}
	}
}

// List gives the calls that match, newest first.
func (s *Set) List(ctx context.Context, f link.Filter) ([]link.Call, error) {
	where, args := conditions(f)
	var calls []link.Call
	err := s.store.Read(ctx, func(tx *store.Tx) (err error) {
		calls, err = store.All(ctx, tx, func(scan store.Scan) (c link.Call, err error) {
			var body string
			if err := scan(&body); err != nil {
				return c, err
			}
			return c, json.Unmarshal([]byte(body), &c)
		}, "SELECT body FROM call_record"+where+" ORDER BY began DESC, id DESC LIMIT ?", append(args, cmp.Or(f.Limit, 100))...)
		return err
	})
	return calls, err
}

func conditions(f link.Filter) (where string, args []any) {
	var all []string
	add := func(condition string, values ...any) {
		all = append(all, condition)
		args = append(args, values...)
	}
	if !f.Since.IsZero() {
		add("began >= ?", store.Micros(f.Since))
	}
	if !f.Until.IsZero() {
		add("began < ?", store.Micros(f.Until))
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
	// The key is no help with the beginning of an ID, whose order is the
	// database's own; when it began is.
	from, until, ours := link.BegunWithin(f.ID)
	if ours {
		add("began >= ? AND began < ?", store.Micros(from), store.Micros(until))
	}
	switch {
	case f.ID == "":
	case len(f.ID) == link.WholeID:
		add("id = ?", f.ID)
	default:
		add("substr(id, 1, length(CAST(? AS TEXT))) = ?", f.ID, f.ID)
	}
	if len(all) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(all, " AND "), args
}
