package subscription

import (
	"context"
	"database/sql"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tandemgw/tandem/control/store"
)

// Request is what a request says of itself, and what every line that is
// written on its behalf bears.
type Request struct {
	ID          string // ours
	Correlation string // of all requests that belong to one thing somebody did
	Client      string // the client's own word for the request; may be empty
	Source      string // address that it came from, as far as it is told
	Principal   Principal
}

type requestKey struct{}

// WithRequest lets what is audited under the context know the request.
func WithRequest(ctx context.Context, r Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// RequestOf is the request that the context serves; the zero Request when the
// node itself acts.
func RequestOf(ctx context.Context) Request {
	r, _ := ctx.Value(requestKey{}).(Request)
	return r
}

// Entry is one line of the audit trail: who did what to which resource.
type Entry struct {
	ID       string // made when it is written
	At       time.Time
	Request  Request
	Action   string // "Microsoft.VoiceServices/communicationsGateways/write"
	Resource string // its ID in the resource API
	Outcome  string // "Succeeded", "Denied", "Failed", with a code or a reason when there is one

	// Of a line that stands for several, At is the first of them.
	Times  int64     // 0 is 1
	Latest time.Time // zero is At
}

// Audit adds a line to the trail, in the transaction of what it tells of, and
// logs it once that is committed. What is not set of the request comes from
// the context.
func (s *Set) Audit(ctx context.Context, tx *store.Tx, e Entry) error {
	if e.Request == (Request{}) {
		e.Request = RequestOf(ctx)
	}
	if e.At.IsZero() {
		e.At = time.Now()
	}
	r := e.Request
	if err := insert(ctx, tx, e, sql.NullString{}); err != nil {
		return err
	}
	tx.After(func() {
		s.log.LogAttrs(context.WithoutCancel(ctx), slog.LevelInfo, "audit",
			slog.String("action", e.Action), slog.String("resource", e.Resource), slog.String("outcome", e.Outcome),
			slog.String("principal", r.Principal.Object), slog.String("name", r.Principal.Name),
			slog.String("correlation", r.Correlation), slog.String("request", r.ID), slog.String("clientRequest", r.Client))
	})
	return nil
}

// AuditMany is Audit of what happens often: lines with the same key become one.
// It is not logged: who counts has told of each.
func (s *Set) AuditMany(ctx context.Context, tx *store.Tx, key string, e Entry) error {
	return insert(ctx, tx, e, sql.NullString{String: key, Valid: true})
}

func insert(ctx context.Context, tx *store.Tx, e Entry, fold sql.NullString) error {
	r := e.Request
	if e.Latest.IsZero() {
		e.Latest = e.At
	}
	_, err := tx.Exec(ctx, "INSERT INTO audit (id, moment, principal, name, action, resource, resource_key, outcome, correlation, request, client_request, source, times, latest, fold) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "+
		"ON CONFLICT (fold) DO UPDATE SET times = audit.times + excluded.times, latest = excluded.latest",
		uuid.NewString(), store.Micros(e.At), r.Principal.Object, r.Principal.Name, e.Action, e.Resource, strings.ToLower(e.Resource), e.Outcome, r.Correlation, r.ID, r.Client,
		r.Source, max(1, e.Times), store.Micros(e.Latest), fold)
	return err
}

// audit is Audit of what was done.
func (s *Set) audit(ctx context.Context, tx *store.Tx, action, resource string) error {
	return s.Audit(ctx, tx, Entry{Action: action, Resource: resource, Outcome: "Succeeded"})
}

// trimAtOnce is how many lines one transaction deletes: others write meanwhile.
const trimAtOnce = 5000

// TrimTrail deletes the lines of before a time, and tells how many those were.
func (s *Set) TrimTrail(ctx context.Context, before time.Time) (total int64, err error) {
	for {
		var n int64
		err := s.store.Write(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.Exec(ctx, "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE moment < ? LIMIT ?)", store.Micros(before), trimAtOnce)
			return err
		})
		total += n
		if err != nil || n < trimAtOnce {
			return total, err
		}
	}
}

// Record is Audit in a transaction of its own: for what changed nothing.
func (s *Set) Record(ctx context.Context, e Entry) error {
	return s.store.Write(ctx, func(tx *store.Tx) error { return s.Audit(ctx, tx, e) })
}

// Span is the part of the trail that is wanted.
type Span struct {
	Scope        string    // a resource with all below it
	Since, Until time.Time // Until zero: to the end
	After        string    // ID of the last line that was read; "": from the beginning
	Limit        int

	// What is not empty must fit: the ID or the name of who did it, a part of the
	// action, and an address.
	Who, Action, Source string
	Refused             bool // only what did not succeed
	Last                bool // the last lines when there are more, instead of the first
}

// longest is from the first to the last of what one line stands for, and more.
const longest = 24 * time.Hour

// Trail is a part of the trail, the oldest line first. With After, Last does not
// count.
func (s *Set) Trail(ctx context.Context, p Span) (list []Entry, err error) {
	key := strings.ToLower(p.Scope)
	if p.Until.IsZero() {
		p.Until = time.Now().Add(time.Hour) // clocks of other nodes
	}
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		// '0' follows '/': between the two are all paths below the scope.
		where, args := "moment >= ? AND (moment >= ? OR latest >= ?) AND moment <= ? AND (resource_key = ? OR resource_key >= ? AND resource_key < ?)", []any{store.Micros(p.Since.Add(-longest)), store.Micros(p.Since), store.Micros(p.Since), store.Micros(p.Until), key, key + "/", key + "0"}
		if p.After != "" {
			where += " AND (moment, id) > (SELECT moment, id FROM audit WHERE id = ?)"
			args = append(args, p.After)
		}
		if p.Who != "" {
			where += " AND (LOWER(principal) = ? OR name = ? OR LOWER(name) = ?)" // SQLite lowers ASCII alone
			args = append(args, strings.ToLower(p.Who), p.Who, strings.ToLower(p.Who))
		}
		if p.Action != "" {
			where += " AND LOWER(action) LIKE ? ESCAPE '!'"
			args = append(args, "%"+strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(strings.ToLower(p.Action))+"%")
		}
		if p.Source != "" {
			where += " AND source = ?"
			args = append(args, p.Source)
		}
		if p.Refused {
			where += " AND outcome NOT LIKE 'Succeeded%'"
		}
		order, last := " ORDER BY moment, id", p.Last && p.After == ""
		if last {
			// A line of many attempts is as new as the last of them.
			order = " ORDER BY CASE WHEN latest > moment THEN latest ELSE moment END DESC, id DESC"
		}
		list, err = store.All(ctx, tx, scanEntry, "SELECT id, moment, principal, name, action, resource, outcome, correlation, request, client_request, source, times, latest FROM audit WHERE "+where+order+" LIMIT ?", append(args, p.Limit)...)
		if last {
			slices.Reverse(list)
		}
		return err
	})
	return list, err
}

func scanEntry(scan store.Scan) (e Entry, err error) {
	var at, latest int64
	p := &e.Request.Principal
	err = scan(&e.ID, &at, &p.Object, &p.Name, &e.Action, &e.Resource, &e.Outcome, &e.Request.Correlation, &e.Request.ID, &e.Request.Client, &e.Request.Source, &e.Times, &latest)
	if e.At, e.Latest = store.Time(at), store.Time(latest); latest == 0 {
		e.Latest = e.At // of an earlier release
	}
	return e, err
}
