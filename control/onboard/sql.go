package onboard

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tandemgw/tandem/control/store"
)

// procedure is the row of a subject.
type procedure struct {
	Subject
	track       Track
	environment Environment
	created     time.Time // zero: there is none yet
	looked      time.Time
}

const procedureColumns = "SELECT subscription, grp, gateway, service, track, environment, created, looked FROM onboard "

func scanProcedure(scan store.Scan) (p procedure, err error) {
	var created, looked int64
	err = scan(&p.Gateway.Subscription, &p.Gateway.Group, &p.Gateway.Name, &p.Service, &p.track, &p.environment, &created, &looked)
	p.created, p.looked = store.Time(created), store.Time(looked)
	return p, err
}

// loadProcedure is the row of a subject, with no time of creation when there is
// none.
func loadProcedure(ctx context.Context, tx *store.Tx, sub Subject) (procedure, error) {
	p, err := scanProcedure(tx.Row(ctx, procedureColumns+"WHERE subject = ?", sub.key()).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return procedure{Subject: sub}, nil
	}
	return p, err
}

// keep makes the row of a subject, or changes what it was told.
func (p procedure) keep(ctx context.Context, tx *store.Tx, by string) error {
	_, err := tx.Exec(ctx, `INSERT INTO onboard (subject, subscription, grp, gateway, service, track, environment, created, created_by, looked)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)
		ON CONFLICT (subject) DO UPDATE SET track = excluded.track, environment = excluded.environment`,
		p.key(), p.Gateway.Subscription, p.Gateway.Group, p.Gateway.Name, p.Service, string(p.track), string(p.environment), store.Micros(time.Now()), by)
	return err
}

// forget removes all rows of a subject; what was said of its gateway goes with
// the last of the gateway's services.
func forget(ctx context.Context, tx *store.Tx, sub Subject) error {
	for _, table := range []string{"onboard", "onboard_step", "onboard_handover", "onboard_event"} {
		if _, err := tx.Exec(ctx, "DELETE FROM "+table+" WHERE subject = ?", sub.key()); err != nil {
			return err
		}
	}
	prefix := sub.Gateway.Key() + "/" // no pattern: names have underscores
	_, err := tx.Exec(ctx, "DELETE FROM onboard_fact WHERE scope = ? OR scope = ? AND NOT EXISTS (SELECT 1 FROM onboard WHERE substr(subject, 1, ?) = ?)",
		sub.scope(OfService), sub.scope(OfAGateway), utf8.RuneCountInString(prefix), prefix)
	return err
}

// memory is what is known of a step.
type memory struct {
	step     string
	state    State
	detail   string
	who      Actor
	blocked  []string
	evidence []Evidence
	done     time.Time
	by       string
	acting   time.Time
	problem  string
	drifted  time.Time
}

func scanMemory(scan store.Scan) (m memory, err error) {
	var evidence, blocked string
	var done, acting, drifted int64
	if err = scan(&m.step, &m.state, &m.detail, &m.who, &blocked, &evidence, &done, &m.by, &acting, &m.problem, &drifted); err != nil {
		return m, err
	}
	m.blocked = strings.Fields(blocked)
	m.done, m.acting, m.drifted = store.Time(done), store.Time(acting), store.Time(drifted)
	if err := json.Unmarshal([]byte(evidence), &m.evidence); err != nil {
		return m, fmt.Errorf("read evidence of step %s: %w", m.step, err)
	}
	return m, nil
}

func loadMemory(ctx context.Context, tx *store.Tx, sub Subject) (map[string]memory, error) {
	rows, err := store.All(ctx, tx, scanMemory, "SELECT step, state, detail, who, blocked, evidence, done, done_by, acting, problem, drifted FROM onboard_step WHERE subject = ?", sub.key())
	all := make(map[string]memory, len(rows))
	for _, m := range rows {
		all[m.step] = m
	}
	return all, err
}

func (m memory) keep(ctx context.Context, tx *store.Tx, sub Subject) error {
	evidence, err := json.Marshal(m.evidence)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO onboard_step (subject, step, state, detail, who, blocked, evidence, done, done_by, acting, problem, drifted)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (subject, step) DO UPDATE SET state = excluded.state, detail = excluded.detail,
			who = excluded.who, blocked = excluded.blocked, evidence = excluded.evidence, done = excluded.done, done_by = excluded.done_by, acting = excluded.acting, problem = excluded.problem, drifted = excluded.drifted`,
		sub.key(), m.step, string(m.state), m.detail, string(m.who), strings.Join(m.blocked, " "), string(evidence), store.Micros(m.done), m.by, store.Micros(m.acting), m.problem, store.Micros(m.drifted))
	return err
}

// loadFacts are those that hold for a subject. Each counts where it is said from
// now on: earlier releases have asked some of each gateway.
func (s *Set) loadFacts(ctx context.Context, tx *store.Tx, sub Subject) (map[string]Value, error) {
	all := map[string]Value{}
	for _, scope := range []Scope{Everywhere, OfOperator, OfSubscription, OfAGateway, OfService} {
		rows, err := store.All(ctx, tx, func(scan store.Scan) (v Value, err error) {
			var said int64
			err = scan(&v.Name, &v.Value, &said, &v.By)
			v.At = store.Time(said)
			return v, err
		}, "SELECT name, value, said, who FROM onboard_fact WHERE scope = ?", sub.scope(scope))
		if err != nil {
			return nil, err
		}
		for _, v := range rows {
			if f, is := s.fact(v.Name); !is || sub.scope(f.Scope) == sub.scope(scope) {
				all[v.Name] = v
			}
		}
	}
	return all, nil
}

// say keeps a fact; an empty value takes it back.
func say(ctx context.Context, tx *store.Tx, scope string, v Value) error {
	if v.Value == "" {
		_, err := tx.Exec(ctx, "DELETE FROM onboard_fact WHERE scope = ? AND name = ?", scope, v.Name)
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO onboard_fact (scope, name, value, said, who) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (scope, name) DO UPDATE SET value = excluded.value, said = excluded.said, who = excluded.who`,
		scope, v.Name, v.Value, store.Micros(v.At), v.By)
	return err
}

func scanHandOver(scan store.Scan) (h HandOver, err error) {
	var doc string
	var drafted, sent, waiting, answered int64
	if err = scan(&h.ID, &doc, &h.State, &drafted, &sent, &h.SentBy, &waiting, &answered, &h.Answer); err != nil {
		return h, err
	}
	h.Step, _ = splitID(h.ID)
	h.Drafted, h.Sent, h.Waiting, h.Answered = store.Time(drafted), store.Time(sent), store.Time(waiting), store.Time(answered)
	if err := json.Unmarshal([]byte(doc), &h.Draft); err != nil {
		return h, fmt.Errorf("read hand-over %s: %w", h.ID, err)
	}
	return h, nil
}

func loadHandOvers(ctx context.Context, tx *store.Tx, sub Subject) (map[string]HandOver, error) {
	rows, err := store.All(ctx, tx, scanHandOver, "SELECT id, doc, state, drafted, sent, sent_by, waiting, answered, answer FROM onboard_handover WHERE subject = ?", sub.key())
	all := make(map[string]HandOver, len(rows))
	for _, h := range rows {
		all[h.ID] = h
	}
	return all, err
}

func (h HandOver) keep(ctx context.Context, tx *store.Tx, sub Subject) error {
	doc, err := json.Marshal(h.Draft)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO onboard_handover (subject, id, doc, state, drafted, sent, sent_by, waiting, answered, answer)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (subject, id) DO UPDATE SET doc = excluded.doc, state = excluded.state, sent = excluded.sent, sent_by = excluded.sent_by,
			waiting = excluded.waiting, answered = excluded.answered, answer = excluded.answer`,
		sub.key(), h.ID, string(doc), string(h.State), store.Micros(h.Drafted), store.Micros(h.Sent), h.SentBy,
		store.Micros(h.Waiting), store.Micros(h.Answered), h.Answer)
	return err
}

// keptEvents are how many of the newest events of a subject are kept, which is
// years of one that drifts and is repaired each week; sweepEvents is after how
// many more the others are swept away.
var keptEvents, sweepEvents int64 = 2000, 100 // variables for the tests

// tell adds an event. Of the old ones those are kept that a report needs: how
// the procedure began, and when each thing that happens to a step last did.
func tell(ctx context.Context, tx *store.Tx, sub Subject, e Event) error {
	var seq int64
	err := tx.Row(ctx, `INSERT INTO onboard_event (subject, seq, moment, step, what, who, detail)
		SELECT ?, COALESCE(MAX(seq), 0) + 1, ?, ?, ?, ?, ? FROM onboard_event WHERE subject = ? RETURNING seq`,
		sub.key(), store.Micros(time.Now()), e.Step, string(e.What), e.Who, e.Detail, sub.key()).Scan(&seq)
	if err != nil || seq%sweepEvents != 0 {
		return err
	}
	_, err = tx.Exec(ctx, `DELETE FROM onboard_event WHERE subject = ? AND seq > 1 AND seq <= ?
		AND seq NOT IN (SELECT MAX(seq) FROM onboard_event WHERE subject = ? GROUP BY step, what)`,
		sub.key(), seq-keptEvents, sub.key())
	return err
}

const eventColumns = "SELECT seq, moment, step, what, who, detail FROM onboard_event "

func scanEvent(scan store.Scan) (e Event, err error) {
	var moment int64
	err = scan(&e.Seq, &moment, &e.Step, &e.What, &e.Who, &e.Detail)
	e.At = store.Time(moment)
	return e, err
}

// loadEvents are the first after an event.
func loadEvents(ctx context.Context, tx *store.Tx, sub Subject, after int64, limit int) ([]Event, error) {
	return store.All(ctx, tx, scanEvent, eventColumns+"WHERE subject = ? AND seq > ? ORDER BY seq LIMIT ?", sub.key(), after, limit)
}

// newestEvents are the last ones, in their order.
func newestEvents(ctx context.Context, tx *store.Tx, sub Subject, limit int) ([]Event, error) {
	list, err := store.All(ctx, tx, scanEvent, eventColumns+"WHERE subject = ? ORDER BY seq DESC LIMIT ?", sub.key(), limit)
	slices.Reverse(list)
	return list, err
}
