package tester

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/store"
)

// Plan has a gateway's test lines called again and again. The zero Plan is off.
type Plan struct {
	Interval time.Duration // between two calls, whichever lines they are to; 0: off
	Jitter   time.Duration // each waits that much longer at most, by chance
	From     string        // as Order.From
}

// The bounds of a Plan.
const (
	MinInterval = time.Minute
	MaxInterval = 7 * 24 * time.Hour
)

// check tells what is wrong with a plan.
func (p Plan) check() error {
	switch {
	case p.Interval == 0 && p == (Plan{}):
		return nil
	case p.Interval < MinInterval || p.Interval > MaxInterval:
		return fault.New(fault.Invalid, fmt.Sprintf("interval: %v: write %v to %v, or 0 for no calls", p.Interval, MinInterval, MaxInterval))
	case p.Jitter < 0 || p.Jitter > p.Interval:
		return fault.New(fault.Invalid, fmt.Sprintf("jitter: %v: write 0 to the interval, %v", p.Jitter, p.Interval))
	case p.From != "" && !gateway.IsE164(p.From):
		return fault.New(fault.Invalid, fmt.Sprintf("from: %q: write + and 7 to 15 digits, country code first", p.From))
	}
	return nil
}

// after is when the next call is due.
func (p Plan) after(now time.Time) time.Time {
	if p.Jitter > 0 {
		now = now.Add(rand.N(p.Jitter))
	}
	return now.Add(p.Interval)
}

// Plan is that of a gateway, zero when it has none.
func (s *Set) Plan(ctx context.Context, id gateway.ID) (p Plan, err error) {
	err = s.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		var doc string
		err := tx.Row(ctx, "SELECT doc FROM test_plan WHERE gateway = ?", id.Key()).Scan(&doc)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return errors.Join(err, json.Unmarshal([]byte(doc), &p))
	})
	return p, err
}

// SetPlan replaces the plan of a gateway.
func (s *Set) SetPlan(ctx context.Context, by gateway.Actor, id gateway.ID, p Plan) error {
	p.From = gateway.E164(p.From)
	if err := p.check(); err != nil {
		return err
	}
	g, err := s.cfg.Gateways.Get(ctx, id)
	if err != nil {
		return err
	}
	doc, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, "DELETE FROM test_plan WHERE gateway = ?", id.Key()); err != nil {
			return err
		}
		if p.Interval > 0 {
			if _, err := tx.Exec(ctx, "INSERT INTO test_plan (gateway, doc, next) VALUES (?, ?, ?)", id.Key(), string(doc), store.Micros(p.after(time.Now()))); err != nil {
				return err
			}
		}
		if s.cfg.Audit == nil {
			return nil
		}
		return s.cfg.Audit(ctx, tx, gateway.Change{By: by, Action: "update", Resource: g.ID.String() + "/testSchedule"})
	})
}

// due is a gateway whose next call is due.
type due struct {
	key  string
	plan Plan
}

// claim takes the calls that are due at a time, so that of several control nodes
// one places each. A clock that jumps, or a node that was away, makes one call
// due and not all that were missed.
func (s *Set) claim(ctx context.Context, now time.Time) (mine []due, err error) {
	err = s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		mine = nil
		type row struct {
			due
			next int64
		}
		all, err := store.All(ctx, tx, func(scan store.Scan) (r row, err error) {
			var doc string
			if err := scan(&r.key, &doc, &r.next); err != nil {
				return r, err
			}
			return r, json.Unmarshal([]byte(doc), &r.plan)
		}, "SELECT gateway, doc, next FROM test_plan WHERE next <= ? OR next > ? ORDER BY next LIMIT 100", store.Micros(now), store.Micros(now.Add(3*MaxInterval)))
		if err != nil {
			return err
		}
		for _, r := range all {
			n, err := tx.Exec(ctx, "UPDATE test_plan SET next = ? WHERE gateway = ? AND next = ?", store.Micros(r.plan.after(now)), r.key, r.next)
			if err != nil {
				return err
			}
			if n == 1 && r.next <= store.Micros(now) {
				mine = append(mine, r.due)
			}
		}
		return nil
	})
	return mine, err
}

// Run places the calls that plans want, and trims what is kept, until ctx is
// done.
func (s *Set) Run(ctx context.Context) {
	const look, tidy = 10 * time.Second, time.Hour
	tick := time.NewTicker(look)
	defer tick.Stop()
	for trimmed := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.turn(ctx, now)
			if now.Sub(trimmed).Abs() > tidy {
				trimmed = now
				if err := s.Trim(ctx, now.Add(-keptFor)); err != nil && ctx.Err() == nil {
					s.cfg.Log.Error("delete old test calls", "error", err)
				}
			}
		}
	}
}

// turn places what is due.
func (s *Set) turn(ctx context.Context, now time.Time) {
	all, err := s.claim(ctx, now)
	if err != nil && ctx.Err() == nil {
		s.cfg.Log.Error("look which test calls are due", "error", err)
	}
	for _, d := range all {
		err := s.next(ctx, d)
		if kind := fault.Of(err); err != nil && ctx.Err() == nil && kind != fault.Conflict {
			s.cfg.Log.Warn("a test call that is due was not placed", "gateway", d.key, "error", err)
		}
	}
}

// next calls a gateway's line that was tried longest ago, or never.
func (s *Set) next(ctx context.Context, d due) error {
	parts := strings.SplitN(d.key, "/", 3)
	if len(parts) != 3 {
		return fmt.Errorf("%q is no gateway's key", d.key)
	}
	id := gateway.ID{Subscription: parts[0], Group: parts[1], Name: parts[2]}
	lines, err := s.cfg.Gateways.ListTestLines(ctx, id)
	if err != nil {
		return err
	}
	edges, err := s.cfg.Gateways.Edges(ctx, id)
	if err != nil {
		return err
	}
	newest, err := s.Newest(ctx, id)
	if err != nil {
		return err
	}
	last := map[way]time.Time{}
	for _, r := range newest {
		last[r.way()] = r.Began
	}
	var ways []way
	for _, l := range lines {
		for _, e := range edges {
			for _, side := range Towards {
				if e.Serves {
					ways = append(ways, way{strings.ToLower(l.ID.Name), e.Node, side})
				}
			}
		}
	}
	if len(ways) == 0 {
		return fault.New(fault.Unavailable, "it has no test line, or no edge that is there")
	}
	w := slices.MinFunc(ways, func(a, b way) int { return last[a].Compare(last[b]) })
	_, err = s.Begin(ctx, gateway.LineID{Gateway: id, Name: w.line}, Order{Towards: w.towards, Node: w.node, From: d.plan.From})
	return err
}

const (
	keptFor  = 30 * 24 * time.Hour
	keptEach = 1000 // calls of a gateway
)

// Trim deletes calls that began before a time, and of each gateway all but the
// newest.
func (s *Set) Trim(ctx context.Context, before time.Time) error {
	return s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, "DELETE FROM test_call WHERE moment < ?", store.Micros(before)); err != nil {
			return err
		}
		many, err := store.All(ctx, tx, func(scan store.Scan) (key string, err error) { return key, scan(&key) },
			"SELECT gateway FROM test_call GROUP BY gateway HAVING COUNT(*) > ?", keptEach)
		if err != nil {
			return err
		}
		for _, key := range many {
			if _, err := tx.Exec(ctx, "DELETE FROM test_call WHERE gateway = ? AND id NOT IN (SELECT id FROM test_call WHERE gateway = ? ORDER BY moment DESC, id LIMIT ?)", key, key, keptEach); err != nil {
				return err
			}
		}
		return nil
	})
}
