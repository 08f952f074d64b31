package onboard

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/link"
	"github.com/tandemgw/tandem/link/record"
)

// Part is one of the systems that steps look at and change.
type Part string

// The parts.
const (
	OfDirectory Part = "the directory"
	OfVaults    Part = "the vaults"
	OfGateway   Part = "the gateway"
	OfZone      Part = "our zone"
	OfConnect   Part = "Operator Connect"
)

// Parts are the systems, the same for all subjects. One that is nil is not
// there.
type Parts struct {
	Systems
	Gateways Gateways
	Edges    Edges         // nil: nobody sees the edges
	Zone     Zone          // nil: somebody else serves the zone
	Suffix   string        // domain that the gateways' base domains are below
	Outside  map[Part]bool // which are elsewhere: apply asks before it changes those
	Portal   string        // of Operator Connect; "": Microsoft's
	Identity string        // how gateways sign in to what is elsewhere: "system-assigned managed identity"
	Team     Team
	Log      *slog.Logger
}

// Team is who onboards the operator.
type Team struct {
	Name string // "Azure Communications Gateway onboarding team"
	Mail string // "azcog-enablement@microsoft.com"
}

// Gateways are the gateways of the deployment; *gateway.Set is one.
type Gateways interface {
	Get(ctx context.Context, id gateway.ID) (gateway.Resource, error)
	List(ctx context.Context, scope gateway.Scope, page gateway.Page) ([]gateway.Resource, string, error)
	Readiness(ctx context.Context, id gateway.ID) (gateway.Readiness, error)
	ListTestLines(ctx context.Context, id gateway.ID) ([]gateway.TestLine, error)
	IntegrationNumbers(ctx context.Context, id gateway.ID) ([]gateway.IntegrationNumber, error)
}

// Edges tells of the edges that carry a gateway's calls.
type Edges interface {
	// Peers are those of the operator's network, as the edges see them now.
	Peers(ctx context.Context, id gateway.ID) ([]record.PeerHealth, error)
	// Shown are the certificates that the edges show to them, by edge.
	Shown(ctx context.Context, id gateway.ID) (map[string][]link.Certificate, error)
}

// Zone is the zone that holds the gateways' names; *zone.Set is one.
type Zone interface {
	AddText(ctx context.Context, name, value string) error
	Visible(ctx context.Context, name, value string) error
}

// World is what the steps of one subject see. It belongs to the goroutine that
// plans or applies, but checks may look at it side by side.
type World struct {
	Parts
	Subject     Subject
	Track       Track
	Environment Environment
	Base        string // the gateway's base domain; "" while it has none
	Began       time.Time

	vouched string // object ID of the gateway's identity in our own directory; "": it has none

	set    *Set
	told   answers
	facts  map[string]Value
	sent   map[string]HandOver
	memory map[string]memory
	looked time.Time
	commit func(context.Context, func(*store.Tx) error) error // nil: nothing may be written
}

// Now is the time.
func (w *World) Now() time.Time { return time.Now() }

// Fact is what was declared or recorded under a name, else its default.
func (w *World) Fact(name string) string {
	if v, ok := w.facts[name]; ok {
		return v.Value
	}
	if f, ok := w.set.fact(name); ok {
		return f.Default
	}
	return ""
}

// Has tells whether a fact was declared or recorded.
func (w *World) Has(name string) bool { _, ok := w.facts[name]; return ok }

// Is tells whether a fact has a value: "yes" of those that are asked so.
func (w *World) Is(name, value string) bool { return w.Fact(name) == value }

// Value is the fact with when it was said and by whom.
func (w *World) Value(name string) (Value, bool) { v, ok := w.facts[name]; return v, ok }

// Record keeps what an action has learned, so that later steps and a later run
// know it. Only Act calls it.
func (w *World) Record(ctx context.Context, name, value string) error {
	f, ok := w.set.fact(name)
	if !ok || w.commit == nil {
		return fmt.Errorf("record %s: only actions do, and only facts that are known", name)
	}
	v := Value{Name: name, Value: value, At: store.Time(store.Micros(time.Now())), By: string(Tandem)}
	if w.facts[name].Value == value {
		return nil
	}
	err := w.commit(ctx, func(tx *store.Tx) error { return say(ctx, tx, w.Subject.scope(f.Scope), v) })
	if err == nil {
		w.facts[name] = v
	}
	return err
}

// HandOver is what has been handed over under an ID: a step's, or
// "<step>/<key>".
func (w *World) HandOver(id string) (HandOver, bool) { h, ok := w.sent[id]; return h, ok }
