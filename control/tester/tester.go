// Package tester has the edges call a gateway's test lines, and keeps what
// became of it.
//
// A call is placed by an edge of the gateway (package edge/tester, asked through
// link): as the operator's core would call the line, through the gateway into
// the cloud, where a service's automatic far side answers; and as the cloud
// would, through the gateway into the core. It happens when somebody asks for
// it and, where a gateway has a plan, by schedule: then each line, way and edge
// in turn, the one that was tried longest ago first.
//
// A gateway has one test call under way at a time, whichever control node places
// it: a row is its lease. None goes to an emergency service, and none is billed
// (record.Call.Test). Start reading at Set.Begin, then Set.Run.
package tester

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/link"
	"github.com/tandemgw/tandem/link/record"
)

// Config is what a Set stands on.
type Config struct {
	Store    *store.Store
	Gateways *gateway.Set
	Edges    edges
	// Audit is told of each change of a plan, in its transaction; nil: nobody.
	Audit func(context.Context, *store.Tx, gateway.Change) error
	Log   *slog.Logger // nil: discarded
}

// edges is the link's end at the control plane.
type edges interface {
	Ask(ctx context.Context, node, question string, in, out any) error
}

// Set is the test calls of a deployment.
type Set struct {
	cfg  Config             // RO
	life context.Context    // RO; ends with Close
	die  context.CancelFunc // RO

	passed, failed atomic.Uint64

	mu   sync.Mutex     // keeps runs from growing once life has ended
	runs sync.WaitGroup // calls that begin or are under way
}

// New makes a Set.
func New(cfg Config) *Set {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Set{cfg: cfg}
	s.life, s.die = context.WithCancel(context.Background())
	return s
}

// Close leaves the calls under way to their edges, and begins no more.
func (s *Set) Close() {
	s.mu.Lock()
	s.die()
	s.mu.Unlock()
	s.runs.Wait()
}

// Report is one test call.
type Report struct {
	Line string `json:"line"` // name of the test line
	record.TestCall
}

// Under tells that the call is under way.
func (r Report) Under() bool { return r.Ended.IsZero() }

// Order is what somebody wants tested; zero fields leave it to us.
type Order struct {
	Towards record.Side   // "operator", "cloud"; "": both, one after the other
	From    string        // number that calls, in E.164; "": another of the gateway's test lines, or its integration number
	Node    string        // edge that calls; "": any that is there
	Talk    time.Duration // length of the conversation; 0: as the edge thinks fit
}

// Towards are the networks that a call can be placed to.
var Towards = []record.Side{"cloud", "operator"}

// Begin has a test line called, and gives the calls as they are planned: List
// tells how they stand. The error is fault.Conflict while the gateway has
// another one under way, fault.Unavailable when it has no edge to call from.
func (s *Set) Begin(ctx context.Context, id gateway.LineID, o Order) ([]Report, error) {
	line, err := s.cfg.Gateways.GetTestLine(ctx, id)
	if err != nil {
		return nil, err
	}
	if o.Towards != "" && !slices.Contains(Towards, o.Towards) {
		return nil, fault.New(fault.Invalid, fmt.Sprintf("towards: %q: write %s or %s, or leave it out for both", o.Towards, Towards[0], Towards[1]))
	}
	if o.From == "" {
		if o.From, err = s.caller(ctx, line); err != nil {
			return nil, err
		}
	}
	o.From = gateway.E164(o.From)
	node, err := s.node(ctx, line.ID.Gateway, o.Node)
	if err != nil {
		return nil, err
	}
	var calls []Report
	for _, side := range Towards {
		if o.Towards == "" || o.Towards == side {
			calls = append(calls, Report{Line: line.ID.Name, TestCall: record.TestCall{
				ID: uuid.NewString(), Node: node.Node, Region: node.Region, Towards: side,
				From: o.From, To: gateway.E164(line.PhoneNumber),
				Began: time.Now().UTC().Add(time.Duration(len(calls)) * time.Millisecond), // in this order
			}})
		}
	}
	return calls, s.start(ctx, line.ID.Gateway, calls, o.Talk)
}

// caller is the number that calls a line when nobody says which.
func (s *Set) caller(ctx context.Context, line gateway.TestLine) (string, error) {
	lines, err := s.cfg.Gateways.ListTestLines(ctx, line.ID.Gateway)
	if err != nil {
		return "", err
	}
	for _, l := range lines {
		if !strings.EqualFold(l.ID.Name, line.ID.Name) {
			return l.PhoneNumber, nil
		}
	}
	numbers, err := s.cfg.Gateways.IntegrationNumbers(ctx, line.ID.Gateway)
	if err != nil {
		return "", err
	}
	if len(numbers) > 0 {
		return numbers[0].PhoneNumber, nil
	}
	return "", fault.New(fault.Invalid, "gateway "+line.ID.Gateway.Name+" has no other number to call from: say which one calls, or make a second test line")
}

// node is an edge of a gateway to call from: the one that is wanted, else the
// first that is there.
func (s *Set) node(ctx context.Context, id gateway.ID, want string) (gateway.Edge, error) {
	all, err := s.cfg.Gateways.Edges(ctx, id)
	if err != nil {
		return gateway.Edge{}, err
	}
	var names []string
	for _, e := range all {
		names = append(names, e.Node)
		if want == "" && e.Serves || want == e.Node {
			return e, nil
		}
	}
	if want != "" {
		return gateway.Edge{}, fault.New(fault.Invalid, fmt.Sprintf("node: %q is not an edge of gateway %s: it has %s", want, id.Name, cmp.Or(strings.Join(names, ", "), "none yet")))
	}
	return gateway.Edge{}, fault.New(fault.Unavailable, "no edge of gateway "+id.Name+" is there to call from: `tandem gateway readiness` tells why")
}

// start takes the gateway's lease, writes the calls down and has them placed,
// one after the other.
func (s *Set) start(ctx context.Context, id gateway.ID, calls []Report, talk time.Duration) error {
	if !s.enter() {
		return fault.New(fault.Unavailable, "the node is stopping")
	}
	key, holder := id.Key(), calls[0].ID
	err := s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		if err := take(ctx, tx, id, holder); err != nil {
			return err
		}
		for _, r := range calls {
			if err := keep(ctx, tx, key, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.runs.Done()
		return err
	}
	go func() {
		defer s.runs.Done()
		for _, r := range calls {
			s.place(key, holder, r, talk)
		}
		s.release(key, holder)
	}()
	return nil
}

// enter counts one that begins, unless the Set is closed.
func (s *Set) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Err() != nil {
		return false
	}
	s.runs.Add(1)
	return true
}

const (
	// longest is more than an edge gives a call.
	longest = 75 * time.Second
	// leased is longest, and the time that a busy database takes to be told.
	leased = longest + 20*time.Second
	// often is how often an edge is asked how a call stands.
	often = 500 * time.Millisecond
)

// take gets the lease of a gateway. One that ends later than any was ever given
// is of a clock that was wrong.
func take(ctx context.Context, tx *store.Tx, id gateway.ID, holder string) error {
	var ends int64
	err := tx.Row(ctx, "SELECT ends FROM test_lease WHERE gateway = ?", id.Key()).Scan(&ends)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	now := time.Now()
	if end := store.Time(ends); end.After(now) && end.Before(now.Add(2*leased)) {
		return fault.New(fault.Conflict, "gateway "+id.Name+" has a test call under way: try again in a minute")
	}
	_, err = tx.Exec(ctx, "INSERT INTO test_lease (gateway, holder, ends) VALUES (?, ?, ?) ON CONFLICT (gateway) DO UPDATE SET holder = excluded.holder, ends = excluded.ends",
		id.Key(), holder, store.Micros(now.Add(leased)))
	return err
}

// renew keeps the lease for another call.
func (s *Set) renew(ctx context.Context, key, holder string) error {
	return s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE test_lease SET ends = ? WHERE gateway = ? AND holder = ?", store.Micros(time.Now().Add(leased)), key, holder)
		if err == nil && n == 0 {
			err = fault.New(fault.Conflict, "another control node has begun one meanwhile, or the gateway is gone")
		}
		return err
	})
}

// release gives the lease back. A node that stops leaves it to its end, as it
// leaves the call to the edge.
func (s *Set) release(key, holder string) {
	err := s.cfg.Store.Write(s.life, func(tx *store.Tx) error {
		_, err := tx.Exec(s.life, "DELETE FROM test_lease WHERE gateway = ? AND holder = ?", key, holder)
		return err
	})
	if err != nil && s.life.Err() == nil {
		s.cfg.Log.Error("test calls of a gateway have ended, others must wait a minute", "gateway", key, "error", err)
	}
}

// place has one call placed and keeps what became of it.
func (s *Set) place(key, holder string, r Report, talk time.Duration) {
	ctx, cancel := context.WithTimeout(s.life, longest)
	defer cancel()
	r.Began = time.Now().UTC()
	var told record.TestCall
	err := s.renew(ctx, key, holder)
	if err == nil {
		told, err = s.follow(ctx, link.TestQuestion{ID: r.ID, Towards: r.Towards, From: r.From, To: r.To, Talk: talk}, r.Node)
	}
	switch {
	case s.life.Err() != nil:
		return // the edge ends it; the row says that nobody knows
	case err != nil:
		r.Ended, r.Problem = time.Now().UTC(), "the test could not be made: "+publicText(err)
	default:
		r.TestCall = sound(r.TestCall, told)
	}
	if r.Problem == "" {
		s.passed.Add(1)
	} else {
		s.failed.Add(1)
		s.cfg.Log.Warn("a test call found something wrong", "gateway", key, "line", r.Line, "towards", r.Towards, "node", r.Node, "problem", r.Problem)
	}
	err = s.cfg.Store.Write(s.life, func(tx *store.Tx) error { return keep(s.life, tx, key, r) })
	if err != nil && s.life.Err() == nil {
		s.cfg.Log.Error("keep what became of a test call", "gateway", key, "error", err)
	}
}

// Bounds of what is kept of what an edge tells.
const (
	maxText  = 500 // bytes
	maxNotes = 50
)

// sound is what an edge tells of a call that was ordered. Of which one that is,
// is ours to say, and how much of it is kept.
func sound(ordered, told record.TestCall) record.TestCall {
	told.ID, told.Node, told.Region, told.Towards, told.From, told.To = ordered.ID, ordered.Node, ordered.Region, ordered.Towards, ordered.From, ordered.To
	now := time.Now().UTC()
	if told.Began.Before(ordered.Began.Add(-longest)) || told.Began.After(now.Add(longest)) { // its clock is another
		told.Began = ordered.Began
	}
	if told.Ended.Before(told.Began) || told.Ended.After(now.Add(longest)) {
		told.Ended = now
	}
	if len(told.Notes) > maxNotes {
		told.Notes = told.Notes[:maxNotes]
	}
	texts := []*string{&told.Call, &told.Peer, &told.OneWay, &told.Problem, &told.Cause.By, &told.Cause.Text, &told.Cause.Correlation, &told.Cause.Explanation}
	for i := range told.Notes {
		texts = append(texts, &told.Notes[i])
	}
	for _, t := range texts {
		*t = strings.ToValidUTF8((*t)[:min(len(*t), maxText)], "")
	}
	told.MOS = min(max(told.MOS, 0), 5)
	return told
}

// follow asks an edge for a call, again and again, until it is over.
func (s *Set) follow(ctx context.Context, q link.TestQuestion, node string) (r record.TestCall, err error) {
	tick := time.NewTicker(often)
	defer tick.Stop()
	for misses := 0; ; {
		err := s.cfg.Edges.Ask(ctx, node, link.AskTest, q, &r)
		switch {
		case err == nil && !r.Ended.IsZero():
			return r, nil
		case err == nil:
			misses = 0
		case fault.Of(err) != fault.Unavailable || misses == 4:
			return r, err
		default:
			misses++ // the link may be back in a moment: the edge knows the call by its ID
		}
		select {
		case <-ctx.Done():
			return r, fault.New(fault.Unavailable, fmt.Sprintf("edge %s does not say what became of the call", node))
		case <-tick.C:
		}
	}
}

// publicText is what clients may read of an error.
func publicText(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Public != "" {
		return f.Public
	}
	return "the log of the control node says why"
}

// keep writes a call down, as it stands.
func keep(ctx context.Context, tx *store.Tx, key string, r Report) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO test_call (id, gateway, line_key, moment, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
		r.ID, key, strings.ToLower(r.Line), store.Micros(r.Began), string(body))
	return err
}

// List is the newest calls of a gateway's test lines, or of one, newest first.
func (s *Set) List(ctx context.Context, id gateway.ID, line string, limit int) (list []Report, err error) {
	where, args := "gateway = ?", []any{id.Key()}
	if line != "" {
		where, args = where+" AND line_key = ?", append(args, strings.ToLower(line))
	}
	err = s.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
		list, err = store.All(ctx, tx, scanReport, "SELECT body FROM test_call WHERE "+where+" ORDER BY moment DESC, id LIMIT ?", append(args, limit)...)
		return err
	})
	return list, err
}

func scanReport(scan store.Scan) (r Report, err error) {
	var body string
	if err := scan(&body); err != nil {
		return r, err
	}
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		return r, err
	}
	if r.Under() && time.Since(r.Began) > 2*longest {
		r.Ended, r.Problem = r.Began, "nobody knows what became of it: the control node stopped meanwhile"
	}
	return r, nil
}

// way is what a call tests: who calls whom through which edge.
type way struct {
	line    string // in lower case
	node    string
	towards record.Side
}

func (r Report) way() way { return way{strings.ToLower(r.Line), r.Node, r.Towards} }

// Newest is the newest call of each line, way and edge of a gateway, by line.
func (s *Set) Newest(ctx context.Context, id gateway.ID) ([]Report, error) {
	list, err := s.List(ctx, id, "", keptEach)
	if err != nil {
		return nil, err
	}
	seen := map[way]bool{}
	list = slices.DeleteFunc(list, func(r Report) bool {
		again := seen[r.way()] || r.Under()
		seen[r.way()] = seen[r.way()] || !r.Under()
		return again
	})
	slices.SortStableFunc(list, func(a, b Report) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Towards, b.Towards), cmp.Compare(a.Node, b.Node))
	})
	return list, nil
}

// Counters are figures since the start.
type Counters struct{ Passed, Failed uint64 }

// Counters reads the figures.
func (s *Set) Counters() Counters { return Counters{s.passed.Load(), s.failed.Load()} }
