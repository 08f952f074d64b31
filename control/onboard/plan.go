package onboard

import (
	"context"
	"time"
)

// Plan is how a procedure stands, and what would be done.
type Plan struct {
	Subject     Subject
	Track       Track
	Environment Environment
	At          time.Time
	Steps       []Status // in the order of the document
	HandOvers   []HandOver
	Facts       []Value
	Identity    string // how the gateway signs in: "system-assigned", or as an application
	Outside     []Part // that are elsewhere
}

// Status is how one step stands.
type Status struct {
	ID, Section, Title string
	State              State
	Who                Actor
	Detail             string
	Will               string       // what apply does; "" when it does nothing
	BlockedBy          []string     // of Needs
	Instruction        *Instruction // to the person who acts
	Evidence           []Evidence
	DoneAt             time.Time // when it was first seen done, or done
	DoneBy             string
	Optional           bool
}

// Plan looks at everything and changes nothing.
func (s *Set) Plan(ctx context.Context, sub Subject, opts Options) (Plan, error) {
	_, _, _ = ctx, sub, opts
	panic("not there yet")
}
