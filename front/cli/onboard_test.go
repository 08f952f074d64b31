package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/front/ops"
)

// tenant is what the steps of these tests look at and change.
type tenant struct {
	synergy bool
	roles   int
	broken  error
}

// few steps, of every kind there is.
func (x *tenant) steps() []onboard.Step {
	const connect = "Connect to Operator Connect"
	return []onboard.Step{
		{
			ID: "B1", Section: "Prepare", Title: "Sign the agreement with Microsoft", Who: onboard.You,
			Check: func(_ context.Context, w *onboard.World) (onboard.Finding, error) {
				if w.Has("agreement") {
					return onboard.Said("agreement " + w.Fact("agreement")), nil
				}
				return onboard.Missing("nobody has said that it is signed"), nil
			},
			Instruct: func(*onboard.World) onboard.Instruction {
				return onboard.Instruction{Text: "Say which agreement was signed, and when.", Command: "tandem onboard declare agreement=…"}
			},
		},
		{
			ID: "B16", Section: connect, Title: "Add the Project Synergy application to your Azure tenant", Needs: []string{"B1"}, Touches: []onboard.Part{onboard.OfDirectory},
			Note:  "The document's AzureAD module is retired: Tandem asks Microsoft Graph for the same.",
			Check: seen(&x.synergy, "the tenant has no service principal of Project Synergy", onboard.Is("object ID of Project Synergy", "9d0c3c6e-0001-4000-8000-000000000001")),
			Act: func(context.Context, *onboard.World) error {
				x.synergy = true
				return nil
			},
			Will: func(*onboard.World) string {
				return "adds the service principal of eb63d611-525e-4a31-abd7-0cb33f679599"
			},
		},
		{
			ID: "B17", Section: connect, Title: "Assign an Admin user to the Project Synergy application", Needs: []string{"B16"}, Who: onboard.GlobalAdmin, Optional: true,
			Check: func(context.Context, *onboard.World) (onboard.Finding, error) {
				return onboard.Missing("nobody has the role Admin"), nil
			},
		},
		{
			ID: "B19", Section: connect, Title: "Set up application roles for Azure Communications Gateway, which takes as long as a title may", Needs: []string{"B16"},
			Check: func(context.Context, *onboard.World) (onboard.Finding, error) {
				if x.roles < 7 {
					return onboard.Missing("Data.Write is missing"), nil
				}
				return onboard.Found("all seven roles"), nil
			},
			Act: func(context.Context, *onboard.World) error {
				if x.broken != nil {
					return x.broken
				}
				x.roles = 7
				return nil
			},
		},
		{
			ID: "B20", Section: connect, Title: "Provide additional information to your onboarding team", Needs: []string{"B1"}, Who: onboard.OnboardingTeam,
			Check: func(_ context.Context, w *onboard.World) (onboard.Finding, error) {
				h, _ := w.HandOver("B20")
				switch h.State {
				case onboard.Answered:
					return onboard.Said("confirmed"), nil
				case onboard.Sent, onboard.Awaiting:
					return onboard.Await("the form is with them"), nil
				}
				return onboard.Missing("the form was not sent"), nil
			},
			Draft: func(_ context.Context, w *onboard.World) ([]onboard.Draft, error) {
				return []onboard.Draft{{
					To: onboard.OnboardingTeam, Address: "azcog-enablement@microsoft.com", Subject: "Onboarding form of " + w.Subject.Gateway.Name,
					Message: "Dear onboarding team,\n\nplease find the form enclosed.", Files: []onboard.File{{Name: "form.md", Content: "# Form\n\n| Gateway | one |\n"}},
					Asks: []string{"confirmed"},
				}}, nil
			},
		},
		{
			ID: "B22", Section: connect, Title: "Add the Application IDs to Operator Connect", Needs: []string{"B19", "B20"}, Who: onboard.You,
			Check: func(context.Context, *onboard.World) (onboard.Finding, error) {
				return onboard.Missing("neither is listed"), nil
			},
			Instruct: func(*onboard.World) onboard.Instruction {
				return onboard.Instruction{
					Text: "Add two Application Ids.", Where: "https://operatorconnect.microsoft.com/operator/configuration",
					Paste: "1b2c3d4e-0001-4000-8000-00000000000a\n8502a0ec-c76d-412f-836c-398018e2312b",
				}
			},
		},
		{
			ID: "B11", Section: connect, Title: "BFD between the edges", Who: onboard.Nobody,
			Check: func(context.Context, *onboard.World) (onboard.Finding, error) {
				return onboard.Later("this release speaks no BFD"), nil
			},
		},
		{
			ID: "B15", Section: connect, Title: "Enable the service",
			Check: func(context.Context, *onboard.World) (onboard.Finding, error) {
				return onboard.Skip("the service was chosen when the gateway was deployed"), nil
			},
		},
	}
}

func seen(done *bool, missing string, shown ...onboard.Evidence) func(context.Context, *onboard.World) (onboard.Finding, error) {
	return func(context.Context, *onboard.World) (onboard.Finding, error) {
		if *done {
			return onboard.Found("it is there", shown...), nil
		}
		return onboard.Missing(missing), nil
	}
}

// serveOnboarding answers the socket with procedures of these steps.
func serveOnboarding(t *testing.T, steps []onboard.Step, facts []onboard.Fact) *onboard.Set {
	t.Helper()
	st := storetest.New(t)
	operations, err := operation.New(operation.Config{Store: st})
	if err != nil {
		t.Fatal(err)
	}
	set, err := onboard.New(onboard.Config{
		Store: st, Operations: operations, Steps: steps, Facts: facts, Patience: time.Nanosecond, Subscription: "00000000-0000-4000-8000-000000000001",
		Parts: onboard.Parts{Systems: onboard.Systems{Directory: &entra.Client{}}}, // asked by the tenant above
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := operations.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(operations.Close)
	e, socket := edge{}, filepath.Join(t.TempDir(), "control.sock")
	s, err := ops.Listen(socket, ops.Handler(ops.Config{
		Calls: e, Records: e, Traces: traces{}, Peers: e, Onboard: func() (*onboard.Set, error) { return set, nil }, Log: slog.New(slog.DiscardHandler),
	}), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	t.Setenv("TANDEM_SOCKET", socket)
	return set
}

var onboardFacts = []onboard.Fact{
	{Name: "agreement", Title: "Which agreement was signed, and when?", Form: "ID and date", Scope: onboard.OfService, Step: "B1"},
	{Name: "confirmed", Title: "When was onboarding confirmed?", Form: "YYYY-MM-DD", Scope: onboard.Everywhere, Step: "B20"},
	{Name: "already-onboarded", Title: "Has the operator been onboarded before?", Choices: []string{"yes", "no"}, Default: "no", Scope: onboard.Everywhere},
}

func TestOnboardingFromTheFirstPlanToTheLast(t *testing.T) {
	x := &tenant{}
	serveOnboarding(t, x.steps(), onboardFacts)
	dir := t.TempDir()
	for _, tt := range []struct {
		line           string
		status         int
		stdout, stderr string
	}{
		{"onboard", 2, "", "One of answered, apply"},
		{"onboard list", 0, "", "None was begun"},
		{"onboard plan", 3, "", "no such gateway is there yet"},
		{"onboard plan -g voice -n one", 2, "", "name the service by --service"},
		{"onboard plan -g voice -n one --service zoom", 2, "", "OperatorConnect and TeamsPhoneMobile"},
		{"onboard plan -g voice -n one --service oc --track 2021", 2, "", "write 2022 or current"},
		{"onboard plan -g voice -n one --service oc", 0, "$ tandem onboard declare agreement=… -n one -g voice --service oc", ""},
		{"onboard status -g voice -n one --service oc", 0, "nothing has been looked at yet", ""},
		{"onboard plan -g voice -n one --service oc --detailed-exitcode", 3, "8 steps", ""},
		{"onboard declare -g voice -n one --service oc agreement", 2, "", "write FACT=VALUE"},
		{"onboard declare -g voice -n one --service oc mood=good", 3, "", `no step asks for "mood"`},
		{"onboard declare -g voice -n one --service oc already-onboarded=perhaps", 2, "", "write yes or no"},
		{"onboard declare -g voice -n one --service oc agreement=OC-4711", 0, "", ""},
		{"onboard declare", 0, "✓ agreement=OC-4711", ""}, // found: one was begun
		{"onboard list", 0, "one      OperatorConnect", ""},
		{"onboard plan --detailed-exitcode --tracks 2022", 2, "", "unknown flag"},
		{"onboard plan --help", 0, "a command line that\nis wrong is 2 all the same", ""},
		{"onboard plan --detailed-exitcode -n nobody", 1, "", "no such gateway is there yet"},
		{"onboard plan --detailed-exitcode", 2, "  $ tandem onboard apply\n    does B16, B19\n", ""},
		{"onboard apply", 0, "  ✓ B16   done: it is there", ""},
		{"onboard apply --detailed-exitcode", 3, "The message to the onboarding team is ready", ""},
		{"onboard show B16", 0, "object ID of Project Synergy: 9d0c3c6e", ""},
		{"onboard show B99", 3, "", "no step \"B99\""},
		{"onboard show B20", 0, "Subject: Onboarding form of one", ""},
		{"onboard show B20 --save " + dir, 0, "one-B20-form.md", ""},
		{"onboard sent B16", 2, "", "hands nothing over"},
		{"onboard sent B20/other", 3, "", "write B20"},
		{"onboard sent B20 --on tomorrow", 2, "", "write a day such as"},
		{"onboard sent B20 --on 2026-11-20", 0, "B20 to the onboarding team: sent 2026-11-20", ""},
		{"onboard plan", 0, "$ tandem onboard answered B20 confirmed=…", ""},
		{"onboard answered B20", 2, "", "add confirmed=…"},
		{"onboard answered B20 confirmed=2026-11-21 --note fine", 0, "B20: answered", ""},
		{"onboard plan", 0, "      8502a0ec-c76d-412f-836c-398018e2312b", ""},
		{"onboard status", 0, "as of 20", ""},
		{"onboard report", 0, "| object ID of Project Synergy | 9d0c3c6e-0001-4000-8000-000000000001 |", ""},
		{"onboard report --format pdf", 2, "", "write md or html"},
		{"onboard report -o " + dir + "/r.html", 0, "", ""},
	} {
		stdout, stderr, status := run(t, strings.Fields(tt.line)...)
		if status != tt.status || !strings.Contains(stdout, tt.stdout) || !strings.Contains(stderr, tt.stderr) {
			t.Errorf("%s: %d\n%s%s", tt.line, status, stdout, stderr)
		}
	}
	for name, want := range map[string]string{"one-B20.txt": "To: azcog-enablement@microsoft.com", "one-B20-form.md": "| Gateway | one |", "r.html": "<h1>Onboarding of gateway one"} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
	stdout, _, _ := run(t, "onboard", "plan", "--json")
	var p onboard.Plan
	if err := json.Unmarshal([]byte(stdout), &p); err != nil || p.Subject.Gateway.Name != "one" || len(p.Steps) != 8 {
		t.Errorf("%v\n%s", err, stdout)
	}
}

// TestOnboardingFitsAndReadsWell holds what a person reads at 80 columns.
func TestOnboardingFitsAndReadsWell(t *testing.T) {
	x := &tenant{}
	set := serveOnboarding(t, x.steps(), onboardFacts)
	sub := onboard.Subject{Gateway: gateway.ID{Subscription: "00000000-0000-4000-8000-000000000001", Group: "voice", Name: "one"}, Service: "OperatorConnect"}
	shot := func(name string) {
		t.Helper()
		p, err := set.Plan(t.Context(), sub, onboard.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		view.plan(&b, p)
		view.next(&b, p, "")
		goldenPage(t, name, b.String())
	}
	shot("onboard_first")
	if err := set.Declare(t.Context(), sub, map[string]string{"agreement": "OC-4711 of 2026-10-01"}, "anna"); err != nil {
		t.Fatal(err)
	}
	x.broken = &fault.Error{Kind: fault.Denied, Public: "the directory refuses: this needs the role Global Administrator", Err: errors.New("403")}
	if _, stderr, status := run(t, "onboard", "apply"); status != 0 {
		t.Fatal(status, stderr)
	}
	shot("onboard_failed")
	x.broken, x.roles = nil, 7
	if _, _, status := run(t, "onboard", "sent", "B20", "--on", "2026-11-20"); status != 0 {
		t.Fatal(status)
	}
	run(t, "onboard", "apply")
	x.synergy, x.roles = false, 6
	shot("onboard_drifted")
	x.roles = 7
	stdout, _, _ := run(t, "onboard", "apply")
	goldenPage(t, "onboard_apply", stdout)
}

func goldenPage(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		os.WriteFile(file, []byte(text), 0o644)
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s: run with -update if this is right:\n%s", name, diff)
	}
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 || strings.HasSuffix(line, " \n") {
			t.Errorf("%s: %d columns, or blanks at the end: %q", name, n, line)
		}
	}
}

func TestNothingOfAnOnboardingWritesOnTheTerminal(t *testing.T) {
	const evil = "x\x1b[2J\a\u202e\x80"
	st := onboard.Status{
		ID: "B1", Section: evil, Title: evil, State: onboard.Ready, Who: onboard.Actor(evil), Detail: evil, Note: evil, DoneBy: evil, Done: day,
		Instruction: &onboard.Instruction{Text: evil, Command: evil, Where: evil, Paste: evil}, Evidence: []onboard.Evidence{onboard.Is(evil, evil)},
	}
	acts := st
	acts.Will, acts.ID = evil, "B2"
	h := onboard.HandOver{ID: "B1", Step: "B1", State: onboard.Sent, Answer: evil, Draft: onboard.Draft{
		To: onboard.Actor(evil), Address: evil, Subject: evil, Message: evil, Files: []onboard.File{{Name: evil, Content: evil}}, Asks: []string{evil},
	}}
	p := onboard.Plan{
		Subject: onboard.Subject{Gateway: gateway.ID{Name: evil}, Service: evil}, Identity: evil, Outside: []onboard.Part{evil},
		Steps: []onboard.Status{st, acts}, HandOvers: []onboard.HandOver{h},
	}
	var b bytes.Buffer
	view.plan(&b, p)
	view.next(&b, p, "")
	view.step(&b, st, p.HandOvers, "")
	view.event(&b, onboard.Event{Step: evil, What: onboard.DidIt, Detail: evil})
	view.status(&b, ops.OnboardStatus{Plan: p, Apply: &ops.OnboardApply{By: evil, Step: evil}}, false)
	view.questions(&b, []onboard.Question{{Name: evil, Title: evil, Form: evil, Step: evil, Said: []onboard.Value{{Name: evil, Value: evil, By: evil}}}})
	for line := range strings.Lines(b.String()) {
		if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), unprintable) {
			t.Errorf("%q", line)
		}
	}
}
