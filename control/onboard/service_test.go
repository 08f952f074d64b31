package onboard_test

import (
	"strings"
	"testing"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/onboard"
)

// TestAServiceHandsOverItsOwnNumbers: a gateway with two services has test
// lines of both, and each team configures those of its own.
func TestAServiceHandsOverItsOwnNumbers(t *testing.T) {
	w := newWorld(t)
	line := func(name, purpose, number string) gateway.TestLine {
		return gateway.TestLine{ID: gateway.LineID{Gateway: w.sub.Gateway, Name: name}, Purpose: purpose, PhoneNumber: number}
	}
	w.gateways.lines = []gateway.TestLine{
		line("OC1", "Automated", "+442079460001"), line("OC2", "Manual", "+442079460002"),
		line("TPM1", "Automated", "+442079460011"),
	}
	w.deploy(func(r *gateway.Resource) { r.Properties.Platforms = onboard.Services })
	w.declare("setup-user", admin)
	form := func() string { return w.handed(w.apply(now), "B20").Files[0].Content }

	if text := form(); !strings.Contains(text, "| Numbers for service verification | +442079460001 |") {
		t.Errorf("Operator Connect: %s", text)
	}
	w.is(w.plan(old), "A1", onboard.Done, "Manual +442079460002, Automated +442079460001")

	w.sub.Service = "TeamsPhoneMobile"
	if text := form(); !strings.Contains(text, "| Numbers for service verification | +442079460011 |") {
		t.Errorf("Teams Phone Mobile: %s", text)
	}
	w.is(w.plan(old), "A1", onboard.Ready, "1 of 2 numbers")
}

// TestTheNetworkIsDesignedBeforeThereIsAGateway: the command of the step works
// where it is told.
func TestTheNetworkIsDesignedBeforeThereIsAGateway(t *testing.T) {
	w := newWorld(t)
	w.is(w.plan(old), "A15", onboard.Ready, "tandem network check -f network.yaml --gateway gateway.yaml")
	w.deploy()
	w.is(w.plan(old), "A15", onboard.Ready, "tandem network check -f network.yaml -g voice -n one")
}

// TestAMessageTellsWhoAnswersForTheOperator: "your Azure subscription ID and
// contact details".
func TestAMessageTellsWhoAnswersForTheOperator(t *testing.T) {
	w := newWorld(t)
	w.is(w.plan(now), "B2", onboard.Ready, "has no contact", "contact-name=", "contact-mail=")
	sent, err := w.set.Send(t.Context(), w.sub, onboard.Sending{ID: "B2", By: "anna"})
	w.must(err)
	if st := w.is(w.plan(now), "B2", onboard.Waiting, "onboarding-contact="); strings.Contains(st.Instruction.Text, "Say who answers") {
		t.Errorf("what was sent on %v is still to be sent: %+v", sent.Sent, st.Instruction)
	}
	w.declare("contact-name", "Anna", "onboarding-contact", "Kim")
	w.is(w.plan(now), "B4", onboard.Ready, "has no contact", "contact-mail=")
	w.declare("contact-mail", "anna@telecom.example")
	p := w.plan(now)
	if st := w.is(p, "B4", onboard.Ready, "subscription-enabled="); strings.Contains(st.Detail, "contact") {
		t.Errorf("%+v", st)
	}
	if h := w.handed(p, "B4"); !strings.Contains(h.Message, "Contact:      Anna, anna@telecom.example") {
		t.Errorf("%s", h.Message)
	}
}
