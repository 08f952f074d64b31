package onboard

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
)

// Event is something that happened.
type Event struct {
	Seq    int64     `json:"seq"`
	At     time.Time `json:"at"`
	Step   string    `json:"step,omitempty"`
	What   Happening `json:"what"`
	Who    string    `json:"who,omitempty"`
	Detail string    `json:"detail,omitempty"`
}

// Happening is what happened.
type Happening string

// What happens.
const (
	Began      Happening = "began"    // an apply
	Acting     Happening = "acting"   // on a step
	SeenDone   Happening = "found"    // a step was done already
	DidIt      Happening = "done"     // by an action
	Repaired   Happening = "repaired" // done again, after drift
	SeenDrift  Happening = "drifted"
	WentWrong  Happening = "failed"
	NowWaiting Happening = "waiting"
	SaidSo     Happening = "declared"
	TookBack   Happening = "retracted"
	Wrote      Happening = "drafted"
	SentIt     Happening = "sent"
	GotAnswer  Happening = "answered"
	EndedWith  Happening = "ended" // an apply
)

// order is what the operation is told.
type order struct {
	Subject Subject `json:"subject"`
	Options Options `json:"options"`
	By      string  `json:"by"`
}

// resource is what operations of the subject exclude each other on.
func (s Subject) resource() string { return "onboard/" + s.key() }

// Apply orders what a plan shows to be done. It goes on however long that
// takes, through restarts of the node; Follow tells how.
func (s *Set) Apply(ctx context.Context, sub Subject, opts Options, by string) (op operation.Operation, err error) {
	w, err := s.world(ctx, sub, opts)
	if err != nil {
		return op, fmt.Errorf("apply: %w", err)
	}
	values, err := s.judgeFacts(opts.Facts, by)
	if err != nil {
		return op, err
	}
	opts.Facts = nil
	err = s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		if err := s.begin(ctx, tx, w.Subject, opts, by); err != nil {
			return err
		}
		if err := s.sayAll(ctx, tx, sub, values); err != nil {
			return err
		}
		if err := tell(ctx, tx, sub, Event{What: Began, Who: by}); err != nil {
			return err
		}
		op, err = s.cfg.Operations.Begin(ctx, tx, operation.Order{
			Kind: ApplyKind, Resource: sub.resource(), Actor: by, Args: order{w.Subject, opts, by},
		})
		return err
	})
	return op, err
}

// begin keeps the subject, and what it is told to be from now on.
func (s *Set) begin(ctx context.Context, tx *store.Tx, sub Subject, opts Options, by string) error {
	p, err := loadProcedure(ctx, tx, sub)
	if err != nil {
		return err
	}
	if opts.Track != "" {
		p.track = opts.Track
	}
	if opts.Environment != "" {
		p.environment = opts.Environment
	}
	return p.keep(ctx, tx, by)
}

// Follow gives the events after a sequence number, and the newest apply. It
// waits a moment for one when there is none and the apply goes on.
func (s *Set) Follow(ctx context.Context, sub Subject, after int64) (events []Event, op *operation.Operation, err error) {
	if err := sub.check(); err != nil {
		return nil, nil, err
	}
	until := time.Now().Add(followTime)
	for {
		var watch <-chan struct{}
		err = s.cfg.Store.Read(ctx, func(tx *store.Tx) error {
			latest, err := s.cfg.Operations.LatestIn(ctx, tx, sub.resource())
			switch {
			case err == nil:
				op, watch = &latest, s.cfg.Operations.Watch(latest.ID)
			case fault.Of(err) != fault.NotFound:
				return err
			}
			events, err = loadEvents(ctx, tx, sub, after, 1000)
			return err
		})
		if err != nil || len(events) > 0 || op == nil || op.Status.Ended() || time.Now().After(until) {
			return events, op, err
		}
		select {
		case <-watch:
		case <-time.After(100 * time.Millisecond): // events are not what is watched
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

const followTime = 5 * time.Second

// Last is the sequence number of the newest event.
func (s *Set) Last(ctx context.Context, sub Subject) (seq int64, err error) {
	err = s.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		return tx.Row(ctx, "SELECT COALESCE(MAX(seq), 0) FROM onboard_event WHERE subject = ?", sub.key()).Scan(&seq)
	})
	return seq, err
}

// apply is the operation.
func (s *Set) apply(ctx context.Context, job *operation.Job) error {
	var o order
	if err := job.Decode(&o); err != nil {
		return operation.Fail(operation.CodeInternal, err.Error())
	}
	w, err := s.world(ctx, o.Subject, o.Options)
	if err != nil {
		return err
	}
	w.commit = job.Write
	done, err := (&pass{Set: s, w: w, order: o, show: job.Detail, before: map[string]Status{}}).run(ctx)
	if err != nil {
		return err
	}
	return job.Write(ctx, func(tx *store.Tx) error {
		if err := looked(ctx, tx, w.Subject); err != nil {
			return err
		}
		return tell(ctx, tx, w.Subject, Event{What: EndedWith, Who: o.By, Detail: fmt.Sprintf("%d done", done)})
	})
}

func looked(ctx context.Context, tx *store.Tx, sub Subject) error {
	_, err := tx.Exec(ctx, "UPDATE onboard SET looked = ? WHERE subject = ?", store.Micros(time.Now()), sub.key())
	return err
}

// pass is one walk through the steps that acts.
type pass struct {
	*Set
	order
	w      *World
	show   func(string)      // what it is at
	before map[string]Status // how the steps that were walked stand
}

// run goes through the steps once, needs first: what one step makes possible
// comes after it. It acts where a plan would, keeps what it saw, and goes on
// past what a person must do and past what went wrong. An error is one of the
// rows, or the end of ctx.
func (p *pass) run(ctx context.Context) (done int, err error) {
	steps := p.steps[p.w.Track]
	for _, i := range p.Set.order[p.w.Track] {
		st := steps[i]
		p.show(st.ID + " " + st.Title)
		status, acted, err := p.step(ctx, st)
		if err != nil {
			return done, err
		}
		if err := p.keep(ctx, st, status, acted); err != nil {
			return done, err
		}
		if acted && status.State.Settled() {
			done++
		}
		p.before[st.ID] = status
	}
	return done, nil
}

// step looks at one step, and acts where that is to be done.
func (p *pass) step(ctx context.Context, st Step) (status Status, acted bool, err error) {
	if err := p.cfg.Store.Read(ctx, func(tx *store.Tx) error { return p.w.read(ctx, tx) }); err != nil {
		return status, false, err
	}
	seen := check(ctx, p.w, st)
	if m := p.w.memory[st.ID]; !m.acting.IsZero() && seen.err == nil && seen.State == Ready {
		// Killed in the middle of acting: what it did may need time to show, and
		// is not done twice for that.
		seen = settle(ctx, p.w, st, time.Until(m.acting.Add(p.cfg.Patience)))
	}
	status = p.status(p.w, st, seen, p.before, p.Options)
	if err := ctx.Err(); err != nil || !status.acts {
		return status, false, err
	}
	status, err = p.act(ctx, st, status.Will)
	return status, true, err
}

// actTime is how long one action may take.
const actTime = 5 * time.Minute

// act does a step, and looks whether it is done. When ctx ends in between, the
// row says that an action began, and the next run looks what came of it.
func (p *pass) act(ctx context.Context, st Step, will string) (status Status, err error) {
	m := p.w.memory[st.ID]
	m.step, m.acting = st.ID, store.Time(store.Micros(time.Now()))
	p.w.memory[st.ID] = m
	err = p.w.commit(ctx, func(tx *store.Tx) error {
		if err := m.keep(ctx, tx, p.w.Subject); err != nil {
			return err
		}
		return tell(ctx, tx, p.w.Subject, Event{Step: st.ID, What: Acting, Who: string(Tandem), Detail: will})
	})
	if err != nil {
		return status, err
	}
	seen, problem := p.alone(ctx, st)
	if err := ctx.Err(); err != nil {
		return status, err
	}
	m.acting, m.problem = time.Time{}, ""
	if seen.err == nil && seen.State == Ready && (problem != nil || seen.By == "") { // else it has done its part, and somebody follows
		m.problem = "it was done, but does not show: " + seen.Detail
		if problem != nil {
			m.problem = sentence(problem)
		}
	}
	p.w.memory[st.ID] = m
	status = p.status(p.w, st, seen, p.before, p.Options)
	if m.problem != "" {
		status.State, status.Detail = Failed, m.problem
	}
	return status, nil
}

// alone does a step and looks, while no other procedure does anything: two that
// find the same registration missing would both make it.
func (p *pass) alone(ctx context.Context, st Step) (seen sight, problem error) {
	release, err := p.take(ctx, p.w.Subject, func() { p.show(st.ID + " waits: another procedure does something on another control node") })
	if err != nil {
		return seen, err
	}
	defer release()
	problem = attempt(ctx, p.w, st)
	if ctx.Err() == nil {
		seen = settle(ctx, p.w, st, p.patience(problem))
	}
	return seen, problem
}

// patience is how long what an action did may take to show; what it failed to
// do need not be looked for long.
func (s *Set) patience(problem error) time.Duration {
	if problem != nil {
		return 0
	}
	return s.cfg.Patience
}

func attempt(ctx context.Context, w *World, st Step) (err error) {
	ctx, cancel := context.WithTimeout(ctx, actTime)
	defer cancel()
	w.told.forget()
	defer w.told.forget()
	defer func() {
		if p := recover(); p != nil {
			err = panicked(w, st, "action", p)
		}
	}()
	return st.Act(ctx, w)
}

// settle checks until something else than "not done" is seen, for a while: a
// directory may show late what it has accepted.
func settle(ctx context.Context, w *World, st Step, patience time.Duration) sight {
	until, pause := time.Now().Add(patience), 100*time.Millisecond
	for {
		w.told.forget()
		seen := check(ctx, w, st)
		if seen.err == nil && (seen.State != Ready || seen.By != "") || time.Now().Add(pause).After(until) {
			return seen
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return sight{err: ctx.Err()}
		}
		pause = min(2*pause, 3*time.Second)
	}
}

// keep writes down how a step stands, and tells what is new about it.
func (p *pass) keep(ctx context.Context, st Step, status Status, acted bool) error {
	hands, err := p.drafts(ctx, p.w, st, status)
	if err != nil {
		p.log.Warn("a message to be handed over cannot be written", "step", st.ID, obs.KeyError, err)
	}
	m, events := remember(p.w.memory[st.ID], status, acted, p.By)
	p.w.memory[st.ID] = m
	return p.w.commit(ctx, func(tx *store.Tx) error { return p.write(ctx, tx, p.w.Subject, news{m, events, hands}) })
}

// news is what is to be written about a step.
type news struct {
	memory
	events []Event
	hands  []HandOver
}

func (s *Set) write(ctx context.Context, tx *store.Tx, sub Subject, n news) error {
	if err := n.keep(ctx, tx, sub); err != nil {
		return err
	}
	for _, e := range n.events {
		if err := tell(ctx, tx, sub, e); err != nil {
			return err
		}
		if e.What == SeenDrift || e.What == WentWrong {
			tx.After(func() {
				s.log.Warn("a step of an onboarding has "+string(e.What), "gateway", sub.Gateway.Name, "service", sub.Service, "step", e.Step, "detail", e.Detail)
			})
		}
	}
	return wait(ctx, tx, sub, n.hands)
}

// remember is what is known of a step from now on, and what there is to tell. An
// action whose end nobody saw counts as taken.
func remember(old memory, now Status, acted bool, by string) (m memory, events []Event) {
	m, acted = old, acted || !old.acting.IsZero()
	m.step, m.state, m.detail, m.who, m.blocked, m.acting = now.ID, now.State, now.Detail, now.Who, now.BlockedBy, time.Time{}
	say := func(what Happening, who string) {
		events = append(events, Event{Step: now.ID, What: what, Who: who, Detail: now.Detail})
	}
	at := store.Time(store.Micros(time.Now()))
	switch now.State {
	case Done:
		m.evidence, m.problem, m.drifted = now.Evidence, "", time.Time{}
		switch {
		case acted && !old.done.IsZero():
			say(Repaired, string(Tandem))
		case acted:
			say(DidIt, string(Tandem))
		case old.done.IsZero() || !old.drifted.IsZero():
			say(SeenDone, by)
		case !slices.Equal(old.evidence, now.Evidence):
			say(SeenDone, by)
		}
		if m.done.IsZero() || acted {
			m.done, m.by = at, "found by "+by
			if acted {
				m.by = "Tandem for " + by
			}
		}
	case Declared, Skipped, NotOffered:
		m.evidence, m.problem, m.drifted, m.done, m.by = now.Evidence, "", time.Time{}, time.Time{}, ""
	case Drifted:
		if old.drifted.IsZero() {
			m.drifted = at
			say(SeenDrift, "")
		}
	case Failed:
		if acted || old.detail != now.Detail || old.state != Failed {
			say(WentWrong, "")
		}
		if !old.done.IsZero() && old.drifted.IsZero() && acted {
			m.drifted = at
		}
	case Waiting:
		m.problem = ""
		if old.state != Waiting {
			say(NowWaiting, "")
		}
	}
	return m, events
}

// Forget takes away a procedure that was begun by mistake, with all that was
// said of it alone. That of a gateway that is there stays: it is the record of
// what was done.
func (s *Set) Forget(ctx context.Context, sub Subject) error {
	if err := sub.check(); err != nil {
		return err
	}
	if s.cfg.Parts.Gateways != nil {
		_, err := s.cfg.Parts.Gateways.Get(ctx, sub.Gateway)
		switch {
		case err == nil:
			return fault.New(fault.Conflict, "the gateway "+sub.Gateway.Name+" is there: the onboarding of one that is deployed is kept")
		case fault.Of(err) != fault.NotFound:
			return err
		}
	}
	return s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		p, err := loadProcedure(ctx, tx, sub)
		if err == nil && p.created.IsZero() {
			err = fault.New(fault.NotFound, "no onboarding of "+sub.Gateway.Name+" to "+ServiceTitle(sub.Service)+" was begun")
		}
		if err != nil {
			return err
		}
		op, err := s.cfg.Operations.LatestIn(ctx, tx, sub.resource())
		switch {
		case err == nil && !op.Status.Ended():
			return fault.New(fault.Conflict, "an apply of it goes on: tandem operation cancel "+op.ID)
		case err != nil && fault.Of(err) != fault.NotFound:
			return err
		}
		return forget(ctx, tx, sub)
	})
}

// Look sees how everything stands and keeps it, as an apply that may not act.
// While one that may goes on, it keeps nothing: that looks itself. What Tandem
// looks at by itself it never begins: somebody may have forgotten it meanwhile.
func (s *Set) Look(ctx context.Context, sub Subject, by string) (Plan, error) {
	w, err := s.world(ctx, sub, Options{})
	if err != nil {
		return Plan{}, fmt.Errorf("look: %w", err)
	}
	p, err := s.plan(ctx, w, Options{})
	if err != nil {
		return p, err
	}
	return p, s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		op, err := s.cfg.Operations.LatestIn(ctx, tx, w.Subject.resource())
		switch {
		case err == nil && !op.Status.Ended():
			return nil
		case err != nil && fault.Of(err) != fault.NotFound:
			return err
		}
		was, err := loadProcedure(ctx, tx, w.Subject)
		if err != nil || was.created.IsZero() && by == string(Tandem) {
			return err
		}
		if err := was.keep(ctx, tx, by); err != nil {
			return err
		}
		known, err := loadMemory(ctx, tx, w.Subject)
		if err != nil {
			return err
		}
		for _, st := range p.Steps {
			m, events := remember(known[st.ID], st, false, by)
			if err := s.write(ctx, tx, w.Subject, news{m, events, p.handed(st.ID)}); err != nil {
				return err
			}
		}
		return looked(ctx, tx, w.Subject)
	})
}

// Watch looks at every procedure that was begun, again and again until ctx
// ends, so that drift is told when it happens.
func (s *Set) Watch(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		subjects, err := s.Subjects(ctx)
		for _, sub := range subjects {
			if _, err := s.Look(ctx, sub, string(Tandem)); err != nil && ctx.Err() == nil {
				s.log.Warn("the onboarding of a gateway cannot be looked at", "gateway", sub.Gateway.Name, "service", sub.Service, obs.KeyError, err)
			}
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("the onboarding of gateways cannot be looked at", obs.KeyError, err)
		}
	}
}
