package operation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
)

// Job is what a step sees of its operation. It belongs to the step's goroutine
// while Run runs.
type Job struct {
	Operation                 // as the step found it
	Args      json.RawMessage // of the Order
	run       *run
	step      int
}

// Decode reads the arguments of the order.
func (j *Job) Decode(into any) error {
	if err := json.Unmarshal(j.Args, into); err != nil {
		return fmt.Errorf("read the order of operation %s: %w", j.ID, err)
	}
	return nil
}

// Detail shows what the step does or waits for, while it runs.
func (j *Job) Detail(text string) {
	j.say(text, func(p *Progress) *string { return &p.Detail })
}

// Warn leaves a sentence on the step that stays when it has succeeded.
func (j *Job) Warn(text string) {
	j.say(text, func(p *Progress) *string { return &p.Warning })
}

// say writes a text of the step.
func (j *Job) say(text string, of func(*Progress) *string) {
	at := of(&j.Steps[j.step])
	if *at == text {
		return
	}
	*at = text
	err := j.run.change(func(r *row) string {
		*of(&r.Steps[j.step]) = text
		return r.lease
	})
	if err != nil && j.run.life.Err() == nil {
		j.run.set.log.Warn("an operation's progress is not shown", "operation", j.ID, "err", err)
	}
}

// Write is store.Write of a step: it commits only while the operation is still
// ours and nobody asked it to stop.
func (j *Job) Write(ctx context.Context, f func(tx *store.Tx) error) error {
	return j.run.set.store.Write(ctx, func(tx *store.Tx) error {
		r, err := j.run.mine(ctx, tx)
		if err != nil {
			return err
		}
		if r.stop != nil {
			return errStop
		}
		return f(tx)
	})
}

// shortest is the least that Wait waits: looking costs two commits.
const shortest = 10 * time.Millisecond

// wait is the error of Wait.
type wait struct {
	after  time.Duration
	detail string
}

func (w *wait) Error() string { return "wait " + w.after.String() + ": " + w.detail }

// Wait is returned by a step that must be looked at again later; until then it
// holds no worker; 10 ms is the least. The detail says what it waits for.
func Wait(after time.Duration, detail string) error { return &wait{after, detail} }

// failure is the error of Fail.
type failure struct{ code, message string }

func (f *failure) Error() string { return f.code + ": " + f.message }

// Fail is returned by a step that would fail again: the operation ends. The
// message says why and what to do.
func Fail(code, message string) error { return &failure{code, message} }

// panicked is what a step that panicked returns.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// run is one operation in the hands of this process, from the claim until it
// ends, waits or is lost. It belongs to its goroutine.
type run struct {
	set    *Set
	row    row                     // as last read or written
	life   context.Context         // RO: ends when the row is no longer ours to write
	lose   context.CancelCauseFunc // RO: ends life
	ctx    context.Context         // RO: the steps'; ends with life, or when somebody asked to stop
	cancel context.CancelFunc      // RO: ends ctx
}

// run does steps as long as they succeed.
func (r *run) run() {
	for {
		i := r.row.next()
		r.set.changed(r.row.ID)
		err := r.attempt(i)
		if err := r.settle(i, err); err != nil {
			r.set.log.Warn("operation is left to others", "operation", r.row.ID, "err", err)
			return
		}
		if r.row.lease != r.set.id {
			break
		}
	}
	r.set.changed(r.row.ID)
	if r.row.Status.Ended() {
		r.set.ended(r.row.Status)
		r.log()
	}
}

func (r *run) log() {
	attrs := []any{
		"operation", r.row.ID, "kind", r.row.Kind, "resource", r.row.Resource, "actor", r.row.Actor,
		"status", string(r.row.Status), "took", r.row.Ended.Sub(r.row.Created).Round(time.Millisecond),
	}
	if p := r.row.Error; p != nil {
		attrs = append(attrs, "step", p.Step, "code", p.Code, "message", p.Message)
	}
	r.set.log.Info("operation ended", attrs...)
}

func (r *run) step(i int) Step { return r.set.kinds[r.row.Kind][i] }

// until is when step i must have succeeded.
func (r *run) until(i int) (time.Time, bool) {
	d := r.step(i).Deadline
	if d == Forever {
		return time.Time{}, false
	}
	if d == 0 {
		d = 10 * time.Minute
	}
	return r.row.Steps[i].Started.Add(d), true
}

// attempt runs step i once.
func (r *run) attempt(i int) (err error) {
	timeout := r.step(i).Timeout
	if timeout == 0 {
		timeout = time.Minute
	}
	ctx, cancel := context.WithTimeout(r.ctx, timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			r.set.panics.Add(1)
			err = &panicked{p, debug.Stack()}
		}
	}()
	job := &Job{Operation: r.row.Operation, Args: r.row.args, run: r, step: i}
	job.Steps = append([]Progress(nil), job.Steps...)
	return r.step(i).Run(ctx, job)
}

// settle writes what came of step i, and begins the next one.
func (r *run) settle(i int, result error) error {
	pause := 100 * time.Millisecond
	for {
		err := r.change(func(row *row) string { return r.outcome(row, i, result) })
		// The step's effect is there: only its row is missing, so this is worth
		// patience, as long as it is ours.
		if err == nil || errors.Is(err, errLost) {
			return err
		}
		r.set.log.Warn("what a step did cannot be written yet", "operation", r.row.ID, "err", err)
		select {
		case <-r.life.Done():
			return err
		case <-time.After(pause):
		}
		pause = min(2*pause, 5*time.Second)
	}
}

// change edits our row; edit gives who has it from then on.
func (r *run) change(edit func(*row) (lease string)) error {
	// Not r.ctx: what a step did is written also when it was asked to stop.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.life), 30*time.Second)
	defer cancel()
	var now row
	err := r.set.store.Write(ctx, func(tx *store.Tx) (err error) {
		if now, err = r.mine(ctx, tx); err != nil {
			return err
		}
		now.lease = edit(&now)
		return save(ctx, tx, now, now.lease)
	})
	if err == nil {
		r.row = now
	}
	return err
}

// mine reads our row, or says that it is no longer ours.
func (r *run) mine(ctx context.Context, tx *store.Tx) (row, error) {
	if context.Cause(r.life) == errLost {
		return row{}, errLost
	}
	rows, err := list(ctx, tx, "WHERE id = ?", r.row.ID)
	if err != nil {
		return row{}, err
	}
	if len(rows) == 0 || rows[0].lease != r.set.id {
		return row{}, errLost
	}
	return rows[0], nil
}

// outcome is what a step's result makes of the row, and who has it then.
func (r *run) outcome(row *row, i int, result error) (lease string) {
	p := &row.Steps[i]
	now := time.Now()
	if result == nil {
		return r.succeeded(row, i, now)
	}
	switch {
	case row.stop != nil:
		row.stop.Step = p.Name
		row.finish(Canceled, row.stop)
		return ""
	case r.life.Err() != nil: // the node stops: the step is not to blame
		p.Attempts--
		return ""
	}
	if f, ok := errors.AsType[*failure](result); ok {
		row.fail(i, f.code, f.message)
		return ""
	}
	if f, ok := errors.AsType[*panicked](result); ok {
		r.set.log.Error("a step panicked", "operation", row.ID, "step", p.Name, "panic", f.value, "stack", string(f.stack))
		row.fail(i, CodeInternal, "this step met a defect of Tandem, which is in the node's log; ask for the change again after an update")
		return ""
	}
	after := r.set.cfg.Retry << min(p.Attempts-1, 6)
	after = min(after, time.Minute)
	after = after*3/4 + rand.N(after/2+1)
	if w, ok := errors.AsType[*wait](result); ok {
		p.Attempts-- // looking again is the same attempt
		p.Detail, after = w.detail, max(w.after, shortest)
	} else {
		p.Detail = said(result)
		r.set.retries.Add(1)
		r.set.log.Info("a step will be tried again", "operation", row.ID, "step", p.Name, "attempt", p.Attempts, "after", after, "err", result)
	}
	row.due = now.Add(after)
	if until, ok := r.until(i); ok {
		if !now.Before(until) {
			row.fail(i, CodeDeadline, "this step did not succeed within "+until.Sub(p.Started).String()+": "+p.Detail)
			return ""
		}
		if row.due.After(until) {
			row.due = until // a last look
		}
	}
	return ""
}

func (r *run) succeeded(row *row, i int, now time.Time) (lease string) {
	p := &row.Steps[i]
	p.Status, p.Detail, p.Ended = Succeeded, "", now
	switch {
	case row.next() < 0:
		row.finish(Succeeded, nil)
		return ""
	case row.stop != nil:
		row.stop.Step = row.Steps[row.next()].Name
		row.finish(Canceled, row.stop)
		return ""
	case r.life.Err() != nil:
		return "" // the node stops: the next step is for others, or later
	}
	row.begin()
	return r.set.id
}

func (r *row) fail(i int, code, message string) {
	p := &r.Steps[i]
	p.Status, p.Detail, p.Ended = Failed, message, time.Now()
	r.finish(Failed, &Problem{Code: code, Message: message, Step: p.Name})
}

// said is an error's text for the person who watches.
func said(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Public != "" {
		return f.Public
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "it took too long: " + err.Error()
	}
	return err.Error()
}
