// Package operation does slow work that must not be lost. An operation is a row
// with steps; the row is begun in the transaction of the change that needs it,
// and after each step it says so, so that a process that dies resumes where it
// was, or another control node on the same PostgreSQL does.
//
// What a step may count on, and what it must do:
//
//   - It may run more than once (killed in the middle, retried, taken over), so
//     it is idempotent: it looks before it acts, or its effects are upserts.
//   - Operations of one resource never run at the same time. A newer one stops
//     the older (Begin) and starts when that has let go.
//   - Rows written through Job.Write are committed only while the operation is
//     still ours: a worker that was taken for dead cannot spoil what came after.
//   - Its context ends when somebody asked to stop, when the process stops, or
//     when a run takes too long. A step that ignores it holds up its resource.
//   - Wait gives the worker back; Fail ends the operation; any other error is
//     tried again, later each time, until the step's deadline. A panic ends
//     that operation and nothing else.
//
// There is one small table of workers and no job queue beside the rows: each
// process lets a counter beat, and takes over the operations of a worker whose
// counter stands still, measured by its own clock, so that clocks need not
// agree. On SQLite no other process can have the file, and a restart resumes at
// once. (A queue library was weighed: docs/dependencies.md.)
//
// Start reading at (*Set).Begin, then (*run).run.
package operation

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
)

// Status is where an operation, or one of its steps, is.
type Status string

// The statuses; the last three are final.
const (
	Accepted   Status = "Accepted" // nothing done yet
	InProgress Status = "InProgress"
	Succeeded  Status = "Succeeded"
	Failed     Status = "Failed"
	Canceled   Status = "Canceled"
)

// Ended tells whether the status is final.
func (s Status) Ended() bool { return s == Succeeded || s == Failed || s == Canceled }

// Operation is the row, as it was when it was read.
type Operation struct {
	ID       string
	Kind     string
	Resource string // whose operations exclude each other
	Actor    string // who asked
	Status   Status
	Steps    []Progress
	Error    *Problem // of a failed or canceled one
	Created  time.Time
	Started  time.Time // zero while accepted
	Ended    time.Time // zero while it goes on
}

// Progress is how far one step is.
type Progress struct {
	Name     string    `json:"name"`
	Status   Status    `json:"status"`
	Detail   string    `json:"detail,omitempty"`  // what it waits for, or what went wrong last
	Warning  string    `json:"warning,omitempty"` // what to know of it though it succeeded
	Attempts int       `json:"attempts,omitempty"`
	Started  time.Time `json:"started,omitzero"`
	Ended    time.Time `json:"ended,omitzero"`
}

// Problem says what went wrong and what to do.
type Problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Step    string `json:"step,omitempty"`
}

// The codes this package gives; steps have their own.
const (
	CodeCanceled   = "OperationCanceled"
	CodeSuperseded = "OperationSuperseded"
	CodeDeadline   = "OperationTimedOut"
	CodeInternal   = "InternalError"
)

// Step is one piece of work.
type Step struct {
	Name     string
	Run      func(ctx context.Context, job *Job) error
	Timeout  time.Duration // of one run; 0: one minute
	Deadline time.Duration // of the step, from its first run, waiting included; 0: ten minutes; Forever: none
}

// Forever is the Deadline of a step that waits for a person.
const Forever time.Duration = -1

// Order asks for an operation.
type Order struct {
	Kind, Resource, Actor string
	Args                  any // kept as JSON; read by Job.Decode
}

// Config of a Set. What is zero takes the default.
type Config struct {
	Store   *store.Store
	Log     *slog.Logger
	Workers int           // steps at once in this process; 16
	Lease   time.Duration // silence after which a process counts as dead; 15 s
	Retry   time.Duration // pause before the second attempt, doubled each time up to a minute; 1 s
}

// Set runs operations.
type Set struct {
	store *store.Store      // RO
	log   *slog.Logger      // RO
	cfg   Config            // RO
	id    string            // RO: this process among the workers
	kinds map[string][]Step // RO after Start
	wake  chan struct{}     // something may be due; capacity 1
	free  chan struct{}     // one token a step that may run; capacity cfg.Workers

	stop context.CancelCauseFunc // ends the loops and the steps; nil before Start
	wg   sync.WaitGroup          // the loops and the runs

	succeeded, failed, canceled, panics, retries atomic.Uint64

	mu       sync.Mutex
	running  map[string]*run          // mu: by operation
	watchers map[string]chan struct{} // mu: by operation
}

// New makes a Set that accepts operations and runs none before Start.
func New(cfg Config) (*Set, error) {
	if cfg.Store == nil {
		return nil, fault.New(fault.Invalid, "operations need a store")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Workers == 0 {
		cfg.Workers = 16
	}
	if cfg.Lease == 0 {
		cfg.Lease = 15 * time.Second
	}
	if cfg.Retry == 0 {
		cfg.Retry = time.Second
	}
	return &Set{
		store: cfg.Store, log: cfg.Log, cfg: cfg, id: newID(),
		kinds: map[string][]Step{}, wake: make(chan struct{}, 1), free: make(chan struct{}, cfg.Workers),
		running: map[string]*run{}, watchers: map[string]chan struct{}{},
	}, nil
}

// Register says of what steps a kind of operation consists, before Start. A
// process runs only the kinds it knows, so that nodes of two releases can share
// a database.
func (s *Set) Register(kind string, steps ...Step) { s.kinds[kind] = steps }

// Begin orders an operation in tx, the transaction of the change that needs it:
// both stand or neither. A running one of the same resource is superseded: it
// ends Canceled, at once when it waits, else when its step has returned.
func (s *Set) Begin(ctx context.Context, tx *store.Tx, o Order) (Operation, error) {
	steps, ok := s.kinds[o.Kind]
	if !ok {
		return Operation{}, fmt.Errorf("begin operation: kind %q is not registered", o.Kind)
	}
	args, err := json.Marshal(o.Args)
	if err != nil {
		return Operation{}, fmt.Errorf("begin operation: %w", err)
	}
	now := time.Now()
	op := Operation{ID: newID(), Kind: o.Kind, Resource: o.Resource, Actor: o.Actor, Status: Accepted, Created: store.Time(store.Micros(now))}
	op.Steps = merge(steps, nil)
	if err := s.supersede(ctx, tx, &op); err != nil {
		return Operation{}, fmt.Errorf("begin operation: %w", err)
	}
	if err := insert(ctx, tx, op, args); err != nil {
		return Operation{}, fmt.Errorf("begin operation: %w", err)
	}
	tx.After(s.hurry)
	return op, nil
}

// supersede asks the unended operations of the resource to stop, and lets op
// be the youngest of them.
func (s *Set) supersede(ctx context.Context, tx *store.Tx, op *Operation) error {
	old, err := list(ctx, tx, "WHERE resource = ? ORDER BY created DESC LIMIT 1", op.Resource)
	if err != nil {
		return err
	}
	if len(old) > 0 && !old[0].Created.Before(op.Created) {
		op.Created = old[0].Created.Add(time.Microsecond)
	}
	rows, err := list(ctx, tx, "WHERE resource = ? AND ended = 0", op.Resource)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := s.ask(ctx, tx, r, &Problem{Code: CodeSuperseded, Message: "superseded by " + op.ID}); err != nil {
			return err
		}
	}
	return nil
}

// ask stops an unended operation: at once when no worker has it, else by a note
// for that worker. The first reason stays.
func (s *Set) ask(ctx context.Context, tx *store.Tx, r row, why *Problem) error {
	if r.lease == "" {
		r.finish(Canceled, why)
		tx.After(func() { s.ended(Canceled); s.changed(r.ID) })
		return save(ctx, tx, r, "")
	}
	if r.stop != nil {
		return nil
	}
	tx.After(func() { s.interrupt(r.ID, why) })
	return note(ctx, tx, r.ID, why)
}

// Counters are what this process has done.
type Counters struct {
	Running                     int    // steps, now
	Succeeded, Failed, Canceled uint64 // operations that ended here
	Panics                      uint64 // of steps
	Retries                     uint64 // of steps that will be tried again
}

// Counters reads them.
func (s *Set) Counters() Counters {
	s.mu.Lock()
	running := len(s.running)
	s.mu.Unlock()
	return Counters{running, s.succeeded.Load(), s.failed.Load(), s.canceled.Load(), s.panics.Load(), s.retries.Load()}
}

func (s *Set) ended(how Status) {
	switch how {
	case Succeeded:
		s.succeeded.Add(1)
	case Failed:
		s.failed.Add(1)
	case Canceled:
		s.canceled.Add(1)
	}
}

// Cancel asks an operation to stop. It has ended when Get says so: a step that
// runs is given the time to return, and if it was the last one and succeeds,
// so does the operation.
func (s *Set) Cancel(ctx context.Context, id string) error {
	return s.store.Write(ctx, func(tx *store.Tx) error {
		rows, err := list(ctx, tx, "WHERE id = ?", id)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return errNotFound(id)
		}
		if rows[0].Status.Ended() {
			return fault.New(fault.Conflict, "the operation has ended: it is "+string(rows[0].Status))
		}
		return s.ask(ctx, tx, rows[0], &Problem{Code: CodeCanceled, Message: "canceled on request"})
	})
}

// Get reads one operation.
func (s *Set) Get(ctx context.Context, id string) (op Operation, err error) {
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		rows, err := list(ctx, tx, "WHERE id = ?", id)
		if err == nil && len(rows) == 0 {
			return errNotFound(id)
		}
		if err == nil {
			op = rows[0].Operation
		}
		return err
	})
	return op, err
}

// List reads the operations of a resource, the youngest first.
func (s *Set) List(ctx context.Context, resource string) ([]Operation, error) {
	return s.some(ctx, "WHERE resource = ? ORDER BY created DESC", resource)
}

// Newest reads operations of all resources: those that go on first, then the
// youngest.
func (s *Set) Newest(ctx context.Context, limit int) ([]Operation, error) {
	return s.some(ctx, "ORDER BY CASE WHEN ended = 0 THEN 0 ELSE 1 END, created DESC LIMIT ?", limit)
}

// Find reads the operation whose ID begins so: fault.NotFound when none does,
// fault.Conflict when several do.
func (s *Set) Find(ctx context.Context, id string) (Operation, error) {
	if !idForm.MatchString(id) {
		return Operation{}, errNotFound(id)
	}
	found, err := s.some(ctx, "WHERE id LIKE ? ORDER BY id LIMIT 3", strings.ToLower(id)+"%")
	switch {
	case err != nil:
		return Operation{}, err
	case len(found) == 0:
		return Operation{}, errNotFound(id)
	case len(found) > 1:
		return Operation{}, fault.New(fault.Conflict, "several operations begin with "+id+", such as "+found[0].ID+" and "+found[1].ID+": give more of the ID")
	}
	return found[0], nil
}

// idForm is an ID, or the beginning of one.
var idForm = regexp.MustCompile(`^[0-9A-Fa-f-]{1,36}$`)

func (s *Set) some(ctx context.Context, where string, args ...any) (ops []Operation, err error) {
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		rows, err := list(ctx, tx, where, args...)
		ops = make([]Operation, 0, len(rows))
		for _, r := range rows {
			ops = append(ops, r.Operation)
		}
		return err
	})
	return ops, err
}

// Latest reads the youngest operation of a resource; fault.NotFound when it
// never had one.
func (s *Set) Latest(ctx context.Context, resource string) (op Operation, err error) {
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		op, err = s.LatestIn(ctx, tx, resource)
		return err
	})
	return op, err
}

// LatestIn is Latest within a transaction.
func (s *Set) LatestIn(ctx context.Context, tx *store.Tx, resource string) (Operation, error) {
	rows, err := list(ctx, tx, "WHERE resource = ? ORDER BY created DESC LIMIT 1", resource)
	if err != nil {
		return Operation{}, err
	}
	if len(rows) == 0 {
		return Operation{}, fault.New(fault.NotFound, "there is no operation of "+resource)
	}
	return rows[0].Operation, nil
}

// Wake lets a step of the resource that waits (Wait, or a pause before another
// attempt) run now: what it waits for may have come.
func (s *Set) Wake(ctx context.Context, resource string) error {
	return s.store.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE operation SET due = 0 WHERE resource = ? AND ended = 0 AND due > 0", resource)
		if n > 0 {
			tx.After(s.hurry)
		}
		return err
	})
}

// Watch gives a channel that is closed when the operation changes, and at least
// once a second, since another node may be the one that changes it: take it,
// then Get, then wait for it.
func (s *Set) Watch(id string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch, ok := s.watchers[id]
	if !ok {
		ch = make(chan struct{})
		s.watchers[id] = ch
	}
	return ch
}

func (s *Set) changed(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch, ok := s.watchers[id]; ok {
		close(ch)
		delete(s.watchers, id)
	}
}

func (s *Set) allChanged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, ch := range s.watchers {
		close(ch)
		delete(s.watchers, id)
	}
}

// hurry has the loop look for work now.
func (s *Set) hurry() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func errNotFound(id string) error {
	return fault.New(fault.NotFound, "there is no operation "+id)
}

// newID is a random UUID (RFC 9562 5.4).
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
