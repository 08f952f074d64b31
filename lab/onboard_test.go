package lab_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/lab"
)

// Nobody calls a gateway that is not onboarded, and it calls nobody: not one
// call of the usual ones, for no other reason than that.
func TestALabThatIsNotOnboardedFailsItsCalls(t *testing.T) {
	cmd := exec.Command(program(t, nil), "lab", "--once", "--json", "--not-onboarded")
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	var verdict lab.Verdict
	if jsonErr := json.Unmarshal(out, &verdict); jsonErr != nil {
		t.Fatalf("%v, %v: %s", err, jsonErr, said.String())
	}
	if verdict.OK || cmd.ProcessState.ExitCode() != 1 || len(verdict.Calls) != 4 || len(verdict.Violations) > 0 {
		t.Errorf("exit status %d, verdict %+v", cmd.ProcessState.ExitCode(), verdict)
	}
	for _, c := range verdict.Calls {
		if c.OK || !strings.Contains(c.Problem, "not verified") && !strings.Contains(c.Problem, "status 403") {
			t.Errorf("%s: %q", c.Name, c.Problem)
		}
	}
}
