// Package onboard is the way from a signed agreement to a gateway that
// Operator Connect or Teams Phone Mobile sends calls to, as a program: a graph
// of steps, each with what it needs, a check that looks whether it is done, an
// action where a program can act, who must act where it cannot, and what shows
// that it is done.
//
// The world is the truth, the rows are a memory. A step is done because its
// check says so, now; the rows keep what has been seen and done, when and by
// whom, what people have declared because no check can see it, and what was
// handed over to others. So a procedure can be resumed at any point, done in
// part by hand, and run twice without a change; and what was done and is so no
// longer shows as drift.
//
// The package knows no URL, no HTTP and no command: the steps see the World
// through small interfaces, and who serves them (our own directory, or one
// elsewhere) is the deployment's business. Start reading at Step, then
// (*Set).Plan in plan.go and (*Set).run in apply.go. The steps themselves are
// in steps*.go, named like the documents that they come from.
package onboard

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
)

// Step is one piece of the procedure.
type Step struct {
	ID       string   // "A4", "B19"
	Section  string   // heading that it stands below: "1. Configure Azure Active Directory in Operator Azure tenancy"
	Title    string   // the document's own heading, or its sentence
	Track    Track    // "": of both
	Needs    []string // IDs of the steps that must be settled before; those of another track are none
	Who      Actor    // who acts
	Touches  []Part   // what Act changes: it is refused when that is elsewhere and nobody said it may
	Looks    []Part   // what Check looks at beside those, and cannot do without
	Optional bool     // recommended or free: undone, it does not keep the procedure from its end
	Note     string   // where we differ from the document on purpose, and why

	// Check looks whether the step is done. It changes nothing. It is asked also
	// when what the step needs is not done: an error then means no more than
	// that, and "there is nothing" must never count as "all of it is done".
	Check func(context.Context, *World) (Finding, error)
	// Act does the step. It may be called again after it was killed in the
	// middle, so it looks before it acts. Its success is what Check says
	// afterwards. nil: a person acts.
	Act func(context.Context, *World) error
	// Will is what Act would do, in a sentence of few words: "grants the 7 roles
	// of Project Synergy to the identity". nil: the title says it.
	Will func(*World) string
	// Instruct tells a person what to do. nil: the title says it.
	Instruct func(*World) Instruction
	// Draft writes what is to be handed over to others. It is asked while the
	// step is open and changes nothing. nil: nothing is.
	Draft func(context.Context, *World) ([]Draft, error)
}

// Track is which of the two documents is followed.
type Track string

// The tracks.
const (
	Track2022    Track = "2022"    // registrations with secrets in vaults ("Prepare to deploy", December 2022)
	TrackCurrent Track = "current" // the gateway's managed identity ("Connect to Operator Connect or Teams Phone Mobile")
)

// Environment is what the gateway is for; it decides how many numbers are asked
// for.
type Environment string

// The environments.
const (
	Production Environment = "production"
	Lab        Environment = "lab"
)

// Actor is who acts.
type Actor string

// Who acts.
const (
	Tandem         Actor = "Tandem"               // by apply
	You            Actor = "you"                  // the operator's own engineer
	GlobalAdmin    Actor = "Global Administrator" // of the tenant
	OnboardingTeam Actor = "onboarding team"
	Nobody         Actor = "nobody" // time, or a later release
)

// State is where a step is.
type State string

// The states. Done, Declared and Skipped settle a step.
const (
	Done       State = "done"     // its check says so
	Declared   State = "declared" // a person says so: no check can see it
	Skipped    State = "skipped"  // it does not apply here
	Ready      State = "ready"    // what it needs is settled: somebody can act
	Waiting    State = "waiting"  // somebody has acted; it takes its time
	Blocked    State = "blocked"  // what it needs is not settled
	Drifted    State = "drifted"  // it was done, and is so no longer
	NotOffered State = "not offered yet"
	Failed     State = "failed" // the check, or the action, went wrong
)

// Settled tells whether what needs the step may go on.
func (s State) Settled() bool { return s == Done || s == Declared || s == Skipped }

// Finding is what a check sees.
type Finding struct {
	State    State // Done, Declared, Skipped, Ready (not done yet), Waiting or NotOffered
	Detail   string
	Evidence []Evidence
	By       Actor // who must act before Act can; "": the step's own
}

// Evidence is what shows that a step is done. It never holds a secret.
type Evidence struct {
	Name  string `json:"name"`  // "object ID of Project Synergy"
	Value string `json:"value"` // "5f6e…"
}

// Is makes evidence.
func Is(name, value string) Evidence { return Evidence{name, value} }

// Found is the finding that a step is done.
func Found(detail string, shown ...Evidence) Finding {
	return Finding{State: Done, Detail: detail, Evidence: shown}
}

// Missing is the finding that a step is not done yet.
func Missing(detail string, shown ...Evidence) Finding {
	return Finding{State: Ready, Detail: detail, Evidence: shown}
}

// Await is the finding that somebody has acted and it takes its time.
func Await(detail string, shown ...Evidence) Finding {
	return Finding{State: Waiting, Detail: detail, Evidence: shown}
}

// Said is the finding that a person has declared the step done.
func Said(detail string, shown ...Evidence) Finding {
	return Finding{State: Declared, Detail: detail, Evidence: shown}
}

// Ask is the finding that a step is not done, and that somebody has to say or
// do something before its action can.
func Ask(who Actor, detail string, shown ...Evidence) Finding {
	return Finding{State: Ready, By: who, Detail: detail, Evidence: shown}
}

// Skip is the finding that a step does not apply here; why is told.
func Skip(why string) Finding { return Finding{State: Skipped, Detail: why} }

// Later is the finding that this release cannot see to the step.
func Later(why string) Finding { return Finding{State: NotOffered, Detail: why} }

// Instruction tells a person what to do. Of Command and Where one is enough.
type Instruction struct {
	Text    string `json:"text"`              // a sentence
	Command string `json:"command,omitempty"` // to be typed: "tandem onboard declare …"
	Where   string `json:"where,omitempty"`   // or the place: "https://operatorconnect.microsoft.com/operator/configuration"
	Paste   string `json:"paste,omitempty"`   // what goes in there, as it is; lines are kept
}

// Options of a plan. What is zero is as it was said last, or the default: the
// current track, production unless the gateway's SKU says lab.
type Options struct {
	Track       Track       `json:"track,omitempty"`
	Environment Environment `json:"environment,omitempty"`
	Outside     bool        `json:"outside,omitempty"` // apply may change what is elsewhere, too

	Facts map[string]string `json:"facts,omitempty"` // a plan takes them as declared; an apply declares them
}

// Config is what a Set is made of.
type Config struct {
	Store      *store.Store
	Operations *operation.Set // New registers a kind with it
	Parts      Parts
	Steps      []Step // nil: Steps()
	Facts      []Fact // nil: Facts()
	Log        *slog.Logger

	Subscription string // that is meant when none is named

	Patience time.Duration // how long after an action its check may still say no; 0: 20 s
}

// Set is the procedures of a deployment.
type Set struct {
	cfg   Config           // RO
	log   *slog.Logger     // RO
	steps map[Track][]Step // RO: in the order of the document
	order map[Track][]int  // RO: of steps, needs first
	facts []Fact           // RO
	turn  chan struct{}    // the one procedure that acts; capacity 1
}

// New refuses steps that need each other in a circle, or that nobody knows.
func New(cfg Config) (*Set, error) {
	if cfg.Steps == nil {
		cfg.Steps = Steps()
	}
	if cfg.Facts == nil {
		cfg.Facts = Facts()
	}
	cfg.Patience = cmp.Or(cfg.Patience, 20*time.Second)
	cfg.Parts.Log = cmp.Or(cfg.Parts.Log, cfg.Log, slog.New(slog.DiscardHandler))
	s := &Set{cfg: cfg, log: cfg.Parts.Log, steps: map[Track][]Step{}, order: map[Track][]int{}, facts: cfg.Facts, turn: make(chan struct{}, 1)}
	for _, track := range []Track{Track2022, TrackCurrent} {
		steps, order, err := arrange(cfg.Steps, track)
		if err != nil {
			return nil, err
		}
		s.steps[track], s.order[track] = steps, order
	}
	cfg.Operations.Register(ApplyKind, operation.Step{Name: "apply", Run: s.apply, Timeout: longest, Deadline: 2 * longest})
	return s, nil
}

// ApplyKind is the kind of operation that Apply orders.
const ApplyKind = "onboard-apply"

// longest is how long one run of apply may take: forty steps, of which each may
// act for actTime and is then looked for.
const longest = time.Hour

// arrange gives the steps of a track as the document has them, and an order in
// which needs come first. Needs that are of the other track alone fall away.
func arrange(all []Step, track Track) (steps []Step, order []int, err error) {
	known, at := map[string]bool{}, map[string]int{}
	for _, st := range all {
		known[st.ID] = true
		if st.Track != "" && st.Track != track {
			continue
		}
		if _, twice := at[st.ID]; twice || st.ID == "" || st.Check == nil {
			return nil, nil, fmt.Errorf("step %q of track %s: each has an ID of its own and a check", st.ID, track)
		}
		at[st.ID] = len(steps)
		steps = append(steps, st)
	}
	const unseen, open, done = 0, 1, 2
	seen := make([]int, len(steps))
	var visit func(i int) error
	visit = func(i int) error {
		switch seen[i] {
		case open:
			return fmt.Errorf("step %s of track %s needs itself", steps[i].ID, track)
		case done:
			return nil
		}
		seen[i] = open
		needs := steps[i].Needs
		steps[i].Needs = nil
		for _, id := range needs {
			if !known[id] {
				return fmt.Errorf("step %s needs %s, which nobody knows", steps[i].ID, id)
			}
			if j, ok := at[id]; ok {
				steps[i].Needs = append(steps[i].Needs, id)
				if err := visit(j); err != nil {
					return err
				}
			}
		}
		seen[i] = done
		order = append(order, i)
		return nil
	}
	for i := range steps {
		if seen[i] == unseen {
			if err := visit(i); err != nil {
				return nil, nil, err
			}
		}
	}
	return steps, order, nil
}
