package onboard

import (
	"context"
	"fmt"
	"strings"
)

// letter is a message to the onboarding team: about is a subject, body begins
// in the middle of a sentence.
func (w *World) letter(about, body string) Draft {
	name, mail := w.team()
	id := w.Subject.Gateway
	var b strings.Builder
	fmt.Fprintf(&b, "Dear %s,\n\nfor the gateway %s (%s) %s\n", name, id.Name, w.service(), body)
	fmt.Fprintf(&b, "Subscription: %s\n", id.Subscription)
	fmt.Fprintf(&b, "Resource ID:  %s\n", id.String())
	if c := w.contact(); c != "" {
		fmt.Fprintf(&b, "Contact:      %s\n", c)
	}
	return Draft{To: OnboardingTeam, Address: mail, Subject: about + ": " + id.Name, Message: b.String()}
}

// contact is who answers for the operator, in a line.
func (w *World) contact() string {
	var parts []string
	for _, fact := range []string{"contact-name", "contact-mail", "contact-phone"} {
		if s := w.Fact(fact); s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ", ")
}

// contactFacts are what a message needs to tell of a contact.
var contactFacts = []string{"contact-name", "contact-mail"}

// noContact are those that nobody has said.
func (w *World) noContact() (facts []string) {
	for _, fact := range contactFacts {
		if w.Fact(fact) == "" {
			facts = append(facts, fact)
		}
	}
	return facts
}

// withContact is the check of a step whose message tells who answers for the
// operator: the documents want the contact with the subscription's ID.
func withContact(look func(context.Context, *World) (Finding, error)) func(context.Context, *World) (Finding, error) {
	return func(ctx context.Context, w *World) (Finding, error) {
		f, err := look(ctx, w)
		if f.State == Ready && w.noContact() != nil {
			f.Detail, f.By = f.Detail+"; nobody has said who answers for the operator, and the message has no contact", You
		}
		return f, err
	}
}

// askContact instructs to say who answers for the operator, before the message
// of a step is sent.
func askContact(id string, then func(*World) Instruction) func(*World) Instruction {
	return func(w *World) Instruction {
		if h, ok := w.HandOver(id); ok && h.State != Drafted {
			return then(w)
		}
		var said []string
		for _, fact := range w.noContact() {
			said = append(said, fact+"=<"+strings.TrimPrefix(fact, "contact-")+">")
		}
		if said == nil {
			return then(w)
		}
		return Instruction{Text: "Say who answers for the operator, before the message is sent", Command: w.declare(said...)}
	}
}

// bullets is a list for people.
func bullets(all []Evidence) string {
	var b strings.Builder
	for _, e := range all {
		fmt.Fprintf(&b, "  %s: %s\n", e.Name, e.Value)
	}
	return b.String()
}
