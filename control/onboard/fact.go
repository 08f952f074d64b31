package onboard

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
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
	Unseen  []Part             // asked for only while nobody can look at one of these; nil: always
}

// Scope is for whom a fact holds.
type Scope string

// The scopes. What an operator does once, or the tenant has once, is asked once,
// however many gateways there are; what each gateway has of its own is asked of
// each.
const (
	Everywhere     Scope = "deployment"
	OfOperator     Scope = "operator's service" // the same for all gateways
	OfSubscription Scope = "subscription"
	OfAGateway     Scope = "gateway"
	OfService      Scope = "service" // of one gateway: the Subject
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

// Declare keeps facts that people say; an empty value takes one back. All of
// them are kept, or none.
func (s *Set) Declare(ctx context.Context, sub Subject, said map[string]string, by string) error {
	if err := sub.check(); err != nil {
		return err
	}
	values, err := s.judgeFacts(said, by)
	if err != nil {
		return err
	}
	return s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		if err := s.begin(ctx, tx, sub, Options{}, by); err != nil {
			return err
		}
		return s.sayAll(ctx, tx, sub, values)
	})
}

func (s *Set) sayAll(ctx context.Context, tx *store.Tx, sub Subject, values []Value) error {
	known, err := s.loadFacts(ctx, tx, sub)
	if err != nil {
		return err
	}
	for _, v := range values {
		if known[v.Name].Value == v.Value {
			continue // said before
		}
		f, _ := s.fact(v.Name)
		if err := say(ctx, tx, sub.scope(f.Scope), v); err != nil {
			return err
		}
		e := Event{Step: f.Step, What: SaidSo, Who: v.By, Detail: v.Name + " = " + v.Value}
		if v.Value == "" {
			e.What, e.Detail = TookBack, v.Name
		}
		if err := tell(ctx, tx, sub, e); err != nil {
			return err
		}
	}
	return nil
}

// judgeFacts refuses what nobody asks for and what no answer can be.
func (s *Set) judgeFacts(said map[string]string, by string) (values []Value, err error) {
	at := store.Time(store.Micros(time.Now()))
	for _, name := range slices.Sorted(maps.Keys(said)) {
		value := strings.TrimSpace(said[name])
		f, ok := s.fact(name)
		if !ok {
			return nil, fault.New(fault.NotFound, fmt.Sprintf("no step asks for %q: tandem onboard declare without a fact lists them", name))
		}
		if value != "" && !s.asks(f) {
			return nil, fault.New(fault.Conflict, fmt.Sprintf("%s: nobody need say it: what is seen in %s counts", name, f.Unseen[0]))
		}
		if err := f.judge(name, value); err != nil {
			return nil, err
		}
		values = append(values, Value{name, value, at, by})
	}
	return values, nil
}

// asks tells whether anybody need say a fact.
func (s *Set) asks(f Fact) bool { return f.Unseen == nil || s.cfg.Parts.unseen(f.Unseen) != "" }

// longestFact is in octets: a postal address fits, a document does not.
const longestFact = 1000

func (f Fact) judge(name, value string) error {
	switch {
	case value == "":
		return nil
	case len(value) > longestFact || strings.ContainsFunc(value, unicode.IsControl):
		return fault.New(fault.Invalid, fmt.Sprintf("%s: write one line of at most %d octets", name, longestFact))
	case len(f.Choices) > 0 && !slices.Contains(f.Choices, value):
		return fault.New(fault.Invalid, fmt.Sprintf("%s=%s: write %s", name, value, strings.Join(f.Choices, " or ")))
	case f.Check != nil:
		if err := f.Check(value); err != nil {
			return fault.New(fault.Invalid, fmt.Sprintf("%s=%s: %v", name, value, err))
		}
	}
	return nil
}

// Question is a fact with what was said about it.
type Question struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Choices []string `json:"choices,omitempty"`
	Form    string   `json:"form,omitempty"`
	Default string   `json:"default,omitempty"`
	Scope   Scope    `json:"scope"`
	Step    string   `json:"step,omitempty"`
	Learned bool     `json:"learned,omitempty"`
	Said    []Value  `json:"said,omitempty"` // several of a fact with a "*"
}

// Questions are all facts that the steps of a subject's track ask for.
func (s *Set) Questions(ctx context.Context, sub Subject) (list []Question, err error) {
	w, err := s.world(ctx, sub, Options{})
	if err != nil {
		return nil, err
	}
	ours, others := map[string]bool{}, map[string]bool{}
	for track, steps := range s.steps {
		for _, st := range steps {
			if track == w.Track {
				ours[st.ID] = true
			} else {
				others[st.ID] = true
			}
		}
	}
	list = []Question{}
	for _, f := range s.facts {
		if others[f.Step] && !ours[f.Step] || !s.asks(f) {
			continue
		}
		q := Question{Name: f.Name, Title: f.Title, Choices: f.Choices, Form: f.Form, Default: f.Default, Scope: f.Scope, Step: f.Step, Learned: f.Learned}
		for _, name := range slices.Sorted(maps.Keys(w.facts)) {
			if g, ok := s.fact(name); ok && g.Name == f.Name {
				q.Said = append(q.Said, w.facts[name])
			}
		}
		list = append(list, q)
	}
	return list, nil
}
