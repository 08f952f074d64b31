package onboard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
)

// Plan is how a procedure stands, and what would be done.
type Plan struct {
	Subject     Subject              `json:"subject"`
	Track       Track                `json:"track"`
	Environment Environment          `json:"environment"`
	At          time.Time            `json:"at"` // of the look
	Steps       []Status             `json:"steps"`
	HandOvers   []HandOver           `json:"handOvers"`
	Facts       []Value              `json:"facts"`
	Identity    string               `json:"identity,omitempty"` // how the gateway signs in elsewhere
	Outside     []Part               `json:"outside,omitempty"`  // that are elsewhere
	Apply       *operation.Operation `json:"-"`                  // the last; nil: there was none
}

// Status is how one step stands.
type Status struct {
	ID          string       `json:"id"`
	Section     string       `json:"section"`
	Title       string       `json:"title"`
	State       State        `json:"state"`
	Who         Actor        `json:"who"` // acts next, or has
	Detail      string       `json:"detail,omitempty"`
	Will        string       `json:"will,omitempty"`      // what apply does; "" when it does nothing
	Follows     bool         `json:"follows,omitempty"`   // apply does it after what blocks it, unless that goes another way
	Outside     bool         `json:"outside,omitempty"`   // apply would, but is not allowed to change what is elsewhere
	BlockedBy   []string     `json:"blockedBy,omitempty"` // of what it needs
	Instruction *Instruction `json:"instruction,omitempty"`
	Evidence    []Evidence   `json:"evidence,omitempty"`
	Done        time.Time    `json:"done,omitzero"` // when it was first seen done, or done
	DoneBy      string       `json:"doneBy,omitempty"`
	Drifted     time.Time    `json:"drifted,omitzero"` // since when it is so no longer
	Optional    bool         `json:"optional,omitempty"`
	Note        string       `json:"note,omitempty"` // where we differ from the document

	acts bool // an action is there, and may be taken
}

// open tells whether somebody can do something about the step now.
func (st Status) open() bool {
	return len(st.BlockedBy) == 0 && (st.State == Ready || st.State == Waiting || st.State == Drifted || st.State == Failed)
}

// Tally is how many steps are in which state.
func (p Plan) Tally() map[State]int {
	n := map[State]int{}
	for _, st := range p.Steps {
		n[st.State]++
	}
	return n
}

// Acts are the steps that apply would do something about.
func (p Plan) Acts() (ids []string) {
	for _, st := range p.Steps {
		if st.Will != "" {
			ids = append(ids, st.ID)
		}
	}
	return ids
}

// Next are the steps about which somebody else than apply has to do something
// now, those that can be left out last.
func (p Plan) Next() (next []Status) {
	for _, optional := range []bool{false, true} {
		for _, st := range p.Steps {
			if st.Optional == optional && st.open() && st.Will == "" {
				next = append(next, st)
			}
		}
	}
	return next
}

// handed are the hand-overs of a step.
func (p Plan) handed(step string) []HandOver {
	return slices.DeleteFunc(slices.Clone(p.HandOvers), func(h HandOver) bool { return h.Step != step })
}

// Finished tells that nothing is left but what is optional, or not offered yet.
func (p Plan) Finished() bool {
	return !slices.ContainsFunc(p.Steps, func(st Status) bool {
		return !st.State.Settled() && st.State != NotOffered && !st.Optional
	})
}

// checkTime is how long one check may take, lookTime all that a plan makes:
// somebody waits for it, and what is away must not hide what is there.
var checkTime, lookTime = 15 * time.Second, 25 * time.Second // variables for the tests

// atOnce is how many checks run side by side: what is elsewhere counts requests.
const atOnce = 8

// Plan looks at everything and changes nothing, not even the rows.
func (s *Set) Plan(ctx context.Context, sub Subject, opts Options) (Plan, error) {
	w, err := s.world(ctx, sub, opts)
	if err != nil {
		return Plan{}, fmt.Errorf("plan: %w", err)
	}
	return s.plan(ctx, w, opts)
}

func (s *Set) plan(ctx context.Context, w *World, opts Options) (Plan, error) {
	steps := s.steps[w.Track]
	seen := make([]sight, len(steps))
	limit, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, st := range steps {
		group.Go(func() error {
			seen[i] = check(limit, w, st)
			return nil
		})
	}
	_ = group.Wait() // none fails
	if err := ctx.Err(); err != nil {
		return Plan{}, err
	}
	out := make([]Status, len(steps))
	before := map[string]Status{}
	for _, i := range s.order[w.Track] {
		out[i] = s.status(w, steps[i], seen[i], before, opts)
		before[steps[i].ID] = out[i]
	}
	return s.picture(ctx, w, out), nil
}

// picture is a plan made of how its steps stand.
func (s *Set) picture(ctx context.Context, w *World, steps []Status) Plan {
	p := Plan{
		Subject: w.Subject, Track: w.Track, Environment: w.Environment, At: w.Began,
		Steps: steps, HandOvers: []HandOver{}, Facts: []Value{}, Identity: w.Identity,
	}
	if w.Track == Track2022 {
		p.Identity = "" // registrations sign in, not the gateway
	}
	for _, name := range slices.Sorted(maps.Keys(w.facts)) {
		p.Facts = append(p.Facts, w.facts[name])
	}
	for _, part := range slices.Sorted(maps.Keys(w.Outside)) {
		if w.Outside[part] {
			p.Outside = append(p.Outside, part)
		}
	}
	for i, st := range s.steps[w.Track] {
		hands, err := s.drafts(ctx, w, st, steps[i])
		if err != nil {
			p.Steps[i].Detail = strings.TrimPrefix(p.Steps[i].Detail+"; its message cannot be written: "+sentence(err), "; ")
		}
		p.HandOvers = append(p.HandOvers, hands...)
	}
	return p
}

// doneFact before a step's ID is when people did it where nobody sees it.
const doneFact = "done."

// parts are all that a step cannot be seen without.
func (st Step) parts() []Part { return slices.Concat(st.Touches, st.Looks) }

// initial begins a sentence.
func initial(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// sight is what a check saw.
type sight struct {
	Finding
	err error
}

// check asks a step whether it is done.
func check(ctx context.Context, w *World, st Step) (seen sight) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			seen = sight{err: panicked(w, st, "check", p)}
		}
	}()
	if part := w.unseen(st.parts()); part != "" {
		if v, ok := w.Value(doneFact + st.ID); ok {
			return sight{Finding: Said("done on "+v.Value+"; nobody sees it from here", Is("done", v.Value), Is("declared by", v.By))}
		}
		return sight{Finding: Ask(You, initial(string(part))+" cannot be asked, and nobody sees whether this is done: do it there, then say when ("+doneFact+st.ID+"=YYYY-MM-DD)")}
	}
	f, err := st.Check(ctx, w)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		err = &fault.Error{Kind: fault.Unavailable, Public: "What it looks at did not answer in time", Err: err}
	case err != nil:
	case !slices.Contains([]State{Done, Declared, Skipped, Ready, Waiting, NotOffered}, f.State):
		err = fmt.Errorf("the check of %s says %q", st.ID, f.State)
	}
	return sight{f, err}
}

func panicked(w *World, st Step, doing string, p any) error {
	w.Log.Error("a step panicked", "step", st.ID, "doing", doing, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	return fmt.Errorf("%s of step %s panicked: %v", doing, st.ID, p)
}

// status puts together what is seen of a step, what is remembered and what it
// needs of the steps before.
func (s *Set) status(w *World, st Step, seen sight, before map[string]Status, opts Options) Status {
	m := w.memory[st.ID]
	out := Status{
		ID: st.ID, Section: st.Section, Title: st.Title, Who: st.Who, Optional: st.Optional, Note: st.Note,
		Evidence: seen.Evidence, Done: m.done, DoneBy: m.by, Drifted: m.drifted,
	}
	for _, id := range st.Needs {
		if !before[id].State.Settled() {
			out.BlockedBy = append(out.BlockedBy, id)
		}
	}
	out.State, out.Detail = judge(seen, m, len(out.BlockedBy) > 0)
	if out.State.Settled() || out.State == NotOffered {
		out.BlockedBy = nil
	}
	if out.Who == "" {
		if out.Who = You; st.Act != nil {
			out.Who = Tandem
		}
	}
	mayAct := st.Act != nil && seen.By == "" && (seen.err == nil && seen.State == Ready || seen.err != nil && len(out.BlockedBy) > 0)
	refused := !opts.Outside && slices.ContainsFunc(st.Touches, func(p Part) bool { return w.Outside[p] })
	if len(out.BlockedBy) > 0 {
		if out.Follows = mayAct && !refused && follows(out.BlockedBy, before); out.Follows {
			out.Will = will(w, st)
		}
		return out
	}
	if !out.open() {
		return out
	}
	out.Who = cmp.Or(seen.By, out.Who)
	if mayAct && !refused {
		out.acts, out.Will = true, will(w, st)
		return out
	}
	out.Outside = mayAct
	out.Instruction = instruct(w, st)
	if w.unseen(st.parts()) != "" {
		out.Instruction = byHand(w, st, out.Instruction)
	}
	return out
}

// follows tells whether apply does all that a step waits for.
func follows(blockers []string, before map[string]Status) bool {
	return !slices.ContainsFunc(blockers, func(id string) bool { return before[id].Will == "" })
}

// judge says where a step is. It is the whole meaning of the states.
func judge(seen sight, m memory, blocked bool) (State, string) {
	switch {
	case seen.err != nil && blocked:
		return Blocked, ""
	case seen.err != nil:
		return Failed, sentence(seen.err)
	case seen.State.Settled(), seen.State == NotOffered:
		return seen.State, seen.Detail
	case !m.done.IsZero() && m.problem != "":
		return Drifted, seen.Detail + "; the repair failed: " + m.problem
	case !m.done.IsZero():
		return Drifted, seen.Detail
	case blocked:
		return Blocked, ""
	case seen.State == Waiting:
		return Waiting, seen.Detail
	case m.problem != "":
		return Failed, m.problem
	}
	return Ready, seen.Detail
}

// sentence is what people may read of an error.
func sentence(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Public != "" {
		return f.Public
	}
	return err.Error()
}

func will(w *World, st Step) (text string) {
	defer func() {
		if p := recover(); p != nil {
			text = sentence(panicked(w, st, "plan", p))
		}
	}()
	if st.Will != nil {
		text = st.Will(w)
	}
	return cmp.Or(text, st.Title)
}

func instruct(w *World, st Step) (i *Instruction) {
	defer func() {
		if p := recover(); p != nil {
			i = &Instruction{Text: sentence(panicked(w, st, "instruction", p))}
		}
	}()
	if st.Instruct == nil {
		return nil
	}
	text := st.Instruct(w)
	return &text
}

// byHand is an instruction where apply can do nothing: it ends with saying that
// it was done.
func byHand(w *World, st Step, i *Instruction) *Instruction {
	if i == nil {
		i = &Instruction{Text: st.Title}
	}
	if i.Command == "" || i.Command == w.command("apply --outside") {
		i.Command = w.declare(doneFact + st.ID + "=<YYYY-MM-DD>")
	}
	return i
}

// Status is how the procedure stood when it was last looked at, without a look:
// cheap, and told also while systems that steps look at are away. What never
// was looked at has At zero.
func (s *Set) Status(ctx context.Context, sub Subject) (Plan, error) {
	w, err := s.world(ctx, sub, Options{})
	if err != nil {
		return Plan{}, fmt.Errorf("read status: %w", err)
	}
	p := Plan{Subject: w.Subject, Track: w.Track, Environment: w.Environment, At: w.looked, HandOvers: []HandOver{}, Facts: []Value{}}
	for _, st := range s.steps[w.Track] {
		m := w.memory[st.ID]
		p.Steps = append(p.Steps, Status{
			ID: st.ID, Section: st.Section, Title: st.Title, State: cmp.Or(m.state, Blocked), Who: cmp.Or(m.who, st.Who), Detail: m.detail,
			BlockedBy: m.blocked, Evidence: m.evidence, Done: m.done, DoneBy: m.by, Drifted: m.drifted, Optional: st.Optional, Note: st.Note,
		})
	}
	for _, name := range slices.Sorted(maps.Keys(w.facts)) {
		p.Facts = append(p.Facts, w.facts[name])
	}
	for _, id := range slices.Sorted(maps.Keys(w.sent)) {
		p.HandOvers = append(p.HandOvers, w.sent[id])
	}
	op, err := s.cfg.Operations.Latest(ctx, sub.resource())
	switch {
	case err == nil:
		p.Apply = &op
	case fault.Of(err) != fault.NotFound:
		return p, err
	}
	return p, nil
}

// world reads what is known of a subject.
func (s *Set) world(ctx context.Context, sub Subject, opts Options) (*World, error) {
	if err := sub.check(); err != nil {
		return nil, err
	}
	if err := opts.check(); err != nil {
		return nil, err
	}
	w := &World{Parts: s.cfg.Parts, Subject: sub, Began: store.Time(store.Micros(time.Now())), set: s}
	var p procedure
	err := s.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if p, err = loadProcedure(ctx, tx, sub); err != nil {
			return err
		}
		return w.read(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	if err := s.assume(w, opts.Facts); err != nil {
		return nil, err
	}
	w.Subject, w.looked = p.Subject, p.looked
	w.Track = cmp.Or(opts.Track, p.track, TrackCurrent)
	w.Environment = cmp.Or(opts.Environment, p.environment)
	if w.Gateways == nil {
		w.Environment = cmp.Or(w.Environment, Production)
		return w, nil
	}
	r, err := w.Gateways.Get(ctx, sub.Gateway)
	switch {
	case fault.Of(err) == fault.NotFound:
	case err != nil:
		return nil, err
	default:
		w.Subject.Gateway = r.ID
		if r.Identity != nil {
			w.vouched = r.Identity.PrincipalID
		}
		if label := r.Properties.AutoGeneratedDomainNameLabel; label != "" && w.Suffix != "" {
			w.Base = label + "." + w.Suffix
		}
		if r.SKU != nil && strings.EqualFold(r.SKU.Name, string(Lab)) {
			w.Environment = cmp.Or(w.Environment, Lab)
		}
	}
	w.Environment = cmp.Or(w.Environment, Production)
	return w, nil
}

// assume takes facts as declared.
func (s *Set) assume(w *World, said map[string]string) error {
	values, err := s.judgeFacts(said, "")
	for _, v := range values {
		if delete(w.facts, v.Name); v.Value != "" {
			w.facts[v.Name] = v
		}
	}
	return err
}

// read takes in what may have been said since.
func (w *World) read(ctx context.Context, tx *store.Tx) (err error) {
	if w.facts, err = w.set.loadFacts(ctx, tx, w.Subject); err != nil {
		return err
	}
	if w.sent, err = loadHandOvers(ctx, tx, w.Subject); err != nil {
		return err
	}
	w.memory, err = loadMemory(ctx, tx, w.Subject)
	return err
}

func (o Options) check() error {
	switch {
	case o.Track != "" && o.Track != Track2022 && o.Track != TrackCurrent:
		return fault.New(fault.Invalid, fmt.Sprintf("track %q: write 2022 or current", o.Track))
	case o.Environment != "" && o.Environment != Production && o.Environment != Lab:
		return fault.New(fault.Invalid, fmt.Sprintf("environment %q: write production or lab", o.Environment))
	}
	return nil
}

// Subjects are those that something has been said or done about.
func (s *Set) Subjects(ctx context.Context) (list []Subject, err error) {
	err = s.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		rows, err := store.All(ctx, tx, scanProcedure, procedureColumns+"ORDER BY subject")
		list = make([]Subject, 0, len(rows))
		for _, p := range rows {
			list = append(list, p.Subject)
		}
		return err
	})
	return list, err
}

// Tally is how many steps of all procedures were in which state when they were
// last looked at.
func (s *Set) Tally(ctx context.Context) (map[State]int, error) {
	type found struct {
		track Track
		step  string
		state State
	}
	var rows []found
	err := s.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
		rows, err = store.All(ctx, tx, func(scan store.Scan) (f found, err error) {
			return f, scan(&f.track, &f.step, &f.state)
		}, "SELECT o.track, s.step, s.state FROM onboard_step s JOIN onboard o ON o.subject = s.subject")
		return err
	})
	n := map[State]int{}
	for _, f := range rows {
		if slices.ContainsFunc(s.steps[cmp.Or(f.track, TrackCurrent)], func(st Step) bool { return st.ID == f.step }) {
			n[f.state]++
		}
	}
	return n, err
}
