package onboard

import (
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

// bullets is a list for people.
func bullets(all []Evidence) string {
	var b strings.Builder
	for _, e := range all {
		fmt.Fprintf(&b, "  %s: %s\n", e.Name, e.Value)
	}
	return b.String()
}
