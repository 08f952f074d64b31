package onboard

import (
	"context"
	"strings"
	"time"
)

// Fact is what no check can see: a person declares it once.
type Fact struct {
	Name    string // "already-onboarded"; "application-name.*" is one for each of some
	Title   string // the question: "Has the operator been onboarded to Operator Connect before?"
	Choices []string
	Form    string // else: what is written, for people: "YYYY-MM-DD", "an ID of a tenant"
	Default string // what holds until it is declared; "" is nothing
	Scope   Scope
	Step    string             // that asks for it; "" several do
	Check   func(string) error // nil: any; an error says what to write
	Learned bool               // steps record it; people may correct it
}

// Scope is for whom a fact holds.
type Scope string

// The scopes.
const (
	Everywhere Scope = "deployment"
	OfService  Scope = "service" // of one gateway: the Subject
	OfAGateway Scope = "gateway"
)

// Value is a fact that has been said.
type Value struct {
	Name  string    `json:"name"`
	Value string    `json:"value"`
	At    time.Time `json:"at"`
	By    string    `json:"by"`
}

// fact finds what a name is declared as.
func (s *Set) fact(name string) (Fact, bool) {
	for _, f := range s.facts {
		if f.Name == name {
			return f, true
		}
		if stem, ok := strings.CutSuffix(f.Name, "*"); ok && strings.HasPrefix(name, stem) && len(name) > len(stem) {
			return f, true
		}
	}
	return Fact{}, false
}

// record keeps what a step has learned.
func (s *Set) record(ctx context.Context, w *World, name, value string) error {
	_, _, _, _ = ctx, w, name, value
	panic("not there yet")
}
