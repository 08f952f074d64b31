package operation

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tandemgw/tandem/control/store"
)

// row is an operation with what only workers see.
type row struct {
	Operation
	args  json.RawMessage
	stop  *Problem // why it shall stop; nil while nobody asked
	lease string   // the worker that runs it now
	due   time.Time
}

const columns = "SELECT id, kind, resource, actor, args, status, steps, problem, stop, lease, due, created, started, ended FROM operation "

func list(ctx context.Context, tx *store.Tx, where string, args ...any) ([]row, error) {
	return store.All(ctx, tx, scan, columns+where, args...)
}

func scan(scan store.Scan) (r row, err error) {
	var args, steps, problem, stop string
	var due, created, started, ended int64
	err = scan(&r.ID, &r.Kind, &r.Resource, &r.Actor, &args, &r.Status, &steps, &problem, &stop, &r.lease, &due, &created, &started, &ended)
	if err != nil {
		return r, err
	}
	r.args = json.RawMessage(args)
	r.due, r.Created, r.Started, r.Ended = store.Time(due), store.Time(created), store.Time(started), store.Time(ended)
	if err := json.Unmarshal([]byte(steps), &r.Steps); err != nil {
		return r, fmt.Errorf("read steps of operation %s: %w", r.ID, err)
	}
	if r.Error, err = parse(problem); err != nil {
		return r, fmt.Errorf("read problem of operation %s: %w", r.ID, err)
	}
	if r.stop, err = parse(stop); err != nil {
		return r, fmt.Errorf("read operation %s: %w", r.ID, err)
	}
	return r, nil
}

func parse(problem string) (*Problem, error) {
	if problem == "" {
		return nil, nil
	}
	p := new(Problem)
	return p, json.Unmarshal([]byte(problem), p)
}

func text(p *Problem) string {
	if p == nil {
		return ""
	}
	b, _ := json.Marshal(p) // strings only
	return string(b)
}

func insert(ctx context.Context, tx *store.Tx, op Operation, args []byte) error {
	steps, err := json.Marshal(op.Steps)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO operation (id, kind, resource, actor, args, status, steps, problem, stop, lease, due, created, started, ended)
		VALUES (?, ?, ?, ?, ?, ?, ?, '', '', '', 0, ?, 0, 0)`,
		op.ID, op.Kind, op.Resource, op.Actor, string(args), string(op.Status), string(steps), store.Micros(op.Created))
	return err
}

// save writes what changes of a row, and who has it from now on.
func save(ctx context.Context, tx *store.Tx, r row, lease string) error {
	steps, err := json.Marshal(r.Steps)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "UPDATE operation SET status = ?, steps = ?, problem = ?, lease = ?, due = ?, started = ?, ended = ? WHERE id = ?",
		string(r.Status), string(steps), text(r.Error), lease, store.Micros(r.due), store.Micros(r.Started), store.Micros(r.Ended), r.ID)
	return err
}

// note leaves the worker that has the operation the reason to stop.
func note(ctx context.Context, tx *store.Tx, id string, why *Problem) error {
	_, err := tx.Exec(ctx, "UPDATE operation SET stop = ? WHERE id = ?", text(why), id)
	return err
}

// finish ends the row, and its steps that have not.
func (r *row) finish(status Status, why *Problem) {
	now := time.Now()
	r.Status, r.Error, r.Ended = status, why, now
	for i := range r.Steps {
		if p := &r.Steps[i]; !p.Status.Ended() {
			if p.Status == InProgress {
				p.Ended = now
			}
			p.Status = Canceled
		}
	}
}

// merge lays what a row says of its steps over those this release has: a step
// that was renamed or came anew is done again, one that is gone is dropped.
func merge(steps []Step, old []Progress) []Progress {
	now := make([]Progress, len(steps))
	for i, step := range steps {
		now[i] = Progress{Name: step.Name, Status: Accepted}
		for _, p := range old {
			if p.Name == step.Name {
				now[i] = p
			}
		}
	}
	return now
}
