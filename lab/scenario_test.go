package lab_test

import (
	"encoding/json"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/lab"
)

// showing plays scenarios in a world of their own.
func showing(t *testing.T, bin string, scenarios ...string) (sh lab.Showing, status int) {
	t.Helper()
	return showingIn(t, exec.Command(bin, "lab", "--once", "--json", "--scenario", strings.Join(scenarios, ",")))
}

// showingIn plays what a command says.
func showingIn(t *testing.T, cmd *exec.Cmd) (sh lab.Showing, status int) {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if jsonErr := json.Unmarshal(out, &sh); jsonErr != nil {
		t.Fatalf("the lab showed nothing (%v, %v): %s%s", err, jsonErr, out, stderr.String())
	}
	return sh, cmd.ProcessState.ExitCode()
}

// All are played at the same time; one that fails while the machine stands
// still is played again, alone.
func TestScenarios(t *testing.T) {
	t.Parallel()
	bin := program(t, nil)
	all, _ := showing(t, bin, "all")
	if got := len(all.Scenarios); got != len(lab.ScenarioNames()) {
		t.Fatalf("%d scenarios were played of %d", got, len(lab.ScenarioNames()))
	}
	for _, r := range all.Scenarios {
		t.Run(r.Name, func(t *testing.T) {
			for range 2 {
				if again(t, r.OK, r.StalledMS, len(all.Violations), r.Problem) {
					alone, _ := showing(t, bin, r.Name)
					r = alone.Scenarios[0]
				}
			}
			if !r.OK || len(r.Heard) == 0 && r.Name != "test-lines" { // the node itself listens to those
				t.Errorf("%s; heard %+v", r.Problem, r.Heard)
			}
			t.Logf("%.1f s, %s: %+v", r.TookMS/1000, strings.Join(r.Notes, ", "), r.Heard)
		})
	}
	if len(all.Violations) > 0 {
		t.Errorf("rules of the far sides were broken: %q", all.Violations)
	}
}

func TestUnknownScenariosAreToldWithTheKnownOnes(t *testing.T) {
	t.Parallel()
	bin := program(t, nil)
	out, err := exec.Command(bin, "lab", "--once", "--scenario", "hold,levitation").CombinedOutput()
	if e, ok := err.(*exec.ExitError); !ok || e.ExitCode() != 2 {
		t.Errorf("exit status of an unknown scenario: %v", err)
	}
	for _, want := range append(lab.ScenarioNames(), "levitation") {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in %q", want, out)
		}
	}
	list, err := exec.Command(bin, "lab", "--scenario", "list").Output()
	if err != nil || strings.Count(string(list), "\n") != len(lab.ScenarioNames()) {
		t.Errorf("the list (%v):\n%s", err, list)
	}
	complete, err := exec.Command(bin, "__complete", "lab", "--scenario", "hold,f").Output()
	if lines := strings.Fields(string(complete)); err != nil || !slices.Contains(lines, "hold,forking") || slices.Contains(lines, "hold,hold") {
		t.Errorf("completion of \"hold,f\" (%v): %q", err, lines)
	}
}

// What is broken shows in more than one scenario: no single one is all that
// stands between a defect and the world.
func TestScenariosFindWhatIsBroken(t *testing.T) {
	for _, m := range []struct {
		name, file, old, new string
		finds                map[string]string // by which scenario, and what stands in its problem
	}{
		{
			"SRTP with the wrong key", "edge/relay/relay.go",
			"plan := &rtp.Plan{", "if n.Out != nil { n.Out.Master[3] ^= 1 }\n\tplan := &rtp.Plan{",
			map[string]string{"hold": "heard", "early-media": "heard", "forking": "heard", "dtmf": "pressed"},
		},
		{
			"who is transferred is not introduced", "edge/call/refer.go",
			`msg.Set("Referred-By", t.refer.By)`, `msg.Set("Referred-By", t.refer.By+";more")`,
			map[string]string{"blind-transfer": "the transfer failed", "attended-transfer": "the transfer failed"},
		},
	} {
		t.Run(m.name, func(t *testing.T) {
			sh, status := showing(t, mutant(t, m.file, m.old, m.new), slices.Collect(maps.Keys(m.finds))...)
			if sh.OK || status != 1 {
				t.Errorf("the lab took it for good, status %d", status)
			}
			for _, r := range sh.Scenarios {
				if r.OK || !strings.Contains(r.Problem, m.finds[r.Name]) {
					t.Errorf("%s: %q, want %q", r.Name, r.Problem, m.finds[r.Name])
				}
			}
		})
	}
}
