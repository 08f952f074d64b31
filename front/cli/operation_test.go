package cli

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/front/ops"
)

// workshop plays the operations of a control node.
type workshop struct{ list []operation.Operation }

func (w *workshop) Newest(context.Context, int) ([]operation.Operation, error) { return w.list, nil }

func (w *workshop) Find(_ context.Context, id string) (operation.Operation, error) {
	for _, o := range w.list {
		if strings.HasPrefix(o.ID, id) {
			return o, nil
		}
	}
	return operation.Operation{}, fault.New(fault.NotFound, "there is no operation "+id)
}

func (w *workshop) Cancel(_ context.Context, id string) error {
	for i := range w.list {
		if o := &w.list[i]; o.ID == id && len(o.Steps) == 1 { // the other one has a step that runs
			o.Status, o.Error = operation.Canceled, &operation.Problem{Code: operation.CodeCanceled, Message: "canceled on request"}
		}
	}
	return nil
}

func TestOperations(t *testing.T) {
	began := time.Now().Add(-90 * time.Second)
	work := &workshop{[]operation.Operation{
		{
			ID: "11111111-0000-4000-8000-000000000001", Kind: "onboard-apply", Resource: "onboard/" + strings.Repeat("0", 36) + "/voice/one/operatorconnect", Actor: "anna", Status: operation.InProgress, Created: began,
			Steps: []operation.Progress{{Name: "apply", Status: operation.InProgress, Detail: "B23 Register the gateway's domain, and have it verified by whoever has the zone in their hands", Attempts: 2}, {Name: "more", Status: operation.Accepted}},
		},
		{ID: "22222222-0000-4000-8000-000000000002", Kind: "gateway-apply", Resource: "gateway/x/voice/one", Actor: "anna", Status: operation.Accepted, Created: began, Steps: []operation.Progress{{Name: "edges", Status: operation.Accepted}}},
		{ID: "33333333-0000-4000-8000-000000000003", Kind: "gateway-apply", Resource: "gateway/x/voice/two", Actor: "berta", Status: operation.Failed, Created: began, Ended: began, Error: &operation.Problem{Code: "NoEdge", Message: "no edge is there"}},
	}}
	listen(t, ops.Config{Operations: func() (ops.Operations, error) { return work, nil }})
	for _, tt := range []said{
		{"operation list", 0, "one/operatorconnect", ""},
		{"operation list --open", 0, "22222222", ""},
		{"operation list --json", 0, `"kind": "gateway-apply"`, ""},
		{"operation show 1111", 0, "B23 Register", ""},
		{"operation show 3333", 0, "NoEdge: no edge is there", ""},
		{"operation show 3333 --json", 0, `"code": "NoEdge"`, ""},
		{"operation show 4444", 3, "", "there is no operation 4444"},
		{"operation show", 2, "", "accepts 1 arg"},
		{"operation cancel 4444", 3, "", "there is no operation 4444"},
		{"operation cancel 3333", 1, "", "has ended: it is Failed"},
		{"operation cancel 1111", 0, "ends when the step that runs has returned", ""},
		{"operation cancel 2222 --json", 0, `"status": "Canceled"`, ""},
		{"operation cancel 2222", 1, "", "it is Canceled"},
		{"operation", 2, "", "operation"},
		{"__complete operation cancel 1", 0, "11111111-0000-4000-8000-000000000001", ""},
		{"__complete operation show 3", 0, "33333333-0000-4000-8000-000000000003", ""},
	} {
		stdout, stderr, status := run(t, strings.Fields(tt.line)...)
		if status != tt.status || !strings.Contains(stdout, tt.stdout) || !strings.Contains(stderr, tt.stderr) {
			t.Errorf("tandem %s: status %d\n%s%s", tt.line, status, stdout, stderr)
		}
		if strings.Contains(tt.line, "--json") && !json.Valid([]byte(stdout)) {
			t.Errorf("tandem %s: no JSON: %s", tt.line, stdout)
		}
		for line := range strings.Lines(stdout) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 && !strings.Contains(tt.line, "--json") && !strings.HasPrefix(tt.line, "__") {
				t.Errorf("tandem %s: a line of %d columns: %s", tt.line, n, line)
			}
		}
		if tt.line == "operation list --open" && strings.Contains(stdout, "33333333") {
			t.Errorf("what has ended is shown as going on: %s", stdout)
		}
		if strings.HasPrefix(tt.line, "__complete operation cancel") && strings.Contains(stdout, "33333333") {
			t.Errorf("what has ended is proposed: %s", stdout)
		}
	}
}
