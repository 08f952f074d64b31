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
			url := strings.TrimPrefix(storetest.Server(t), "postgres:")
			cmd := exec.Command(bin, "lab", "--once", "--json", "--store", "postgres:"+url, "--control-nodes", nodes)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			var verdict lab.Verdict
			if jsonErr := json.Unmarshal(out, &verdict); err != nil || jsonErr != nil || !verdict.OK {
				t.Fatalf("%v, %v: %+v\n%s", err, jsonErr, verdict.Problems, stderr.String())
			}
		})
	}
}
