package ops

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// onboarder serves procedures of one step, by a socket.
func onboarder(t *testing.T, get func() (*onboard.Set, error)) *Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "control.sock")
	s, err := Listen(socket, Handler(Config{Onboard: get, Log: quiet}), quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return Dial(socket)
}

func TestOnboardingOnTheSocket(t *testing.T) {
	st := storetest.New(t)
	operations, err := operation.New(operation.Config{Store: st})
	if err != nil {
		t.Fatal(err)
	}
	done := false
	set, err := onboard.New(onboard.Config{Store: st, Operations: operations, Facts: []onboard.Fact{{Name: "uploader-apps"}}, Steps: []onboard.Step{{
		ID: "A1", Title: "do it",
		Check: func(_ context.Context, w *onboard.World) (onboard.Finding, error) {
			if done {
				return onboard.Found("done with " + w.Fact("uploader-apps")), nil
			}
			return onboard.Missing("not done"), nil
		},
		Act: func(context.Context, *onboard.World) error {
			done = true
			return nil
		},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := operations.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(operations.Close)
	c := onboarder(t, func() (*onboard.Set, error) { return set, nil })
	sub := Subject{Subscription: "s", Group: "g", Gateway: "one", Service: "tpm"}
	opts := OnboardOptions{Facts: map[string]string{"uploader-apps": "each"}, Environment: onboard.Lab}
	p, err := c.OnboardPlan(t.Context(), sub, opts)
	if err != nil || p.Subject.Service != "TeamsPhoneMobile" || p.Environment != onboard.Lab || p.Steps[0].Will != "do it" {
		t.Fatal(err, p)
	}
	if list, err := c.Onboardings(t.Context()); err != nil || len(list) != 0 {
		t.Error(err, list)
	}
	now, err := c.OnboardApply(t.Context(), sub, opts, "anna")
	for err == nil && !now.Apply.Ended {
		now, err = c.OnboardEvents(t.Context(), sub, now.Last)
	}
	if err != nil || now.Apply.Status != "Succeeded" || now.Apply.By != "anna" {
		t.Fatal(err, now.Apply)
	}
	if p, err := c.OnboardPlan(t.Context(), sub, OnboardOptions{}); err != nil || p.Steps[0].Detail != "done with each" || p.Environment != onboard.Lab {
		t.Error(err, p)
	}
	if s, err := c.OnboardStatus(t.Context(), Subject{}); err != nil || s.Steps[0].State != onboard.Done || s.Apply == nil || s.Subject.Gateway.Name != "one" {
		t.Error(err, s) // the only one
	}
	if text, err := c.OnboardReport(t.Context(), Subject{}, OnboardOptions{}, onboard.HTML); err != nil || !strings.Contains(text, "<h1>Onboarding of gateway one to Teams Phone Mobile") {
		t.Error(err, text)
	}
	if text, err := c.OnboardReport(t.Context(), Subject{}, OnboardOptions{Facts: map[string]string{"uploader-apps": "shared"}, Outside: true}, onboard.Markdown); err != nil || !strings.Contains(text, "done with shared") {
		t.Error(err, text)
	}
	if _, err := c.OnboardSent(t.Context(), Subject{}, onboard.Sending{ID: "A1"}); fault.Of(err) != fault.Invalid {
		t.Error(err)
	}
	if _, err := c.OnboardDeclare(t.Context(), Subject{Gateway: "two"}, map[string]string{"uploader-apps": ""}, "anna"); fault.Of(err) != fault.NotFound {
		t.Error(err)
	}
}

func TestAnEdgeOnboardsNothingAndAStartingNodeSaysSo(t *testing.T) {
	if _, err := onboarder(t, nil).Onboardings(t.Context()); fault.Of(err) != fault.NotFound {
		t.Error(err)
	}
	c := onboarder(t, func() (*onboard.Set, error) { return nil, fault.New(fault.Unavailable, "the node is starting") })
	if _, err := c.OnboardPlan(t.Context(), Subject{}, OnboardOptions{}); fault.Of(err) != fault.Unavailable {
		t.Error(err)
	}
	if _, err := c.Onboardings(t.Context()); fault.Of(err) != fault.Unavailable {
		t.Error(err)
	}
}
