package lab_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/lab"
)

// The same world on the other database, and on three control nodes whose
// messaging is a cluster.
func TestTheWorldOnPostgreSQL(t *testing.T) {
	bin := program(t, nil)
	for nodes, name := range map[string]string{"1": "one control node", "3": "three control nodes"} {
		t.Run(name, func(t *testing.T) {
			verdict, said, err := onPostgreSQL(t, bin, nodes)
			for range 2 {
				if again(t, verdict.OK, verdict.StalledMS, len(verdict.Violations), verdict.Problems...) {
					verdict, said, err = onPostgreSQL(t, bin, nodes)
				}
			}
			if err != nil || !verdict.OK {
				t.Fatalf("%v: %+v\n%s", err, verdict.Problems, said)
			}
		})
	}
}

// onPostgreSQL is the lab's verdict with a database of its own.
func onPostgreSQL(t *testing.T, bin, nodes string) (verdict lab.Verdict, said string, err error) {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.Command(bin, "lab", "--once", "--json", "--store", storetest.Server(t), "--control-nodes", nodes)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if jsonErr := json.Unmarshal(out, &verdict); jsonErr != nil {
		t.Fatalf("the lab printed no verdict (%v, %v): %s%s", err, jsonErr, out, stderr.String())
	}
	return verdict, stderr.String(), err
}

// What asks the control nodes for something finds whichever it meets, and they
// keep out of each other's way.
func TestScenariosOnPostgreSQL(t *testing.T) {
	bin := program(t, nil)
	play := func(names ...string) lab.Showing {
		sh, _ := showingIn(t, exec.Command(bin, "lab", "--once", "--json", "--store", storetest.Server(t), "--control-nodes", "3", "--scenario", strings.Join(names, ",")))
		return sh
	}
	all := play("hold", "test-lines", "onboarding", "failover")
	for _, r := range all.Scenarios {
		for range 2 {
			if again(t, r.OK, r.StalledMS, len(all.Violations), r.Problem) {
				r = play(r.Name).Scenarios[0]
			}
		}
		if !r.OK {
			t.Errorf("%s: %s; heard %+v", r.Name, r.Problem, r.Heard)
		}
		t.Logf("%s: %.1f s, %s", r.Name, r.TookMS/1000, strings.Join(r.Notes, ", "))
	}
	if len(all.Violations) > 0 {
		t.Errorf("rules of the far sides were broken: %q", all.Violations)
	}
}
