package cli

import (
	"context"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link"
)

// flock is a control node's edges.
type flock struct{ gone *string }

func (flock) Edges() []link.EdgeStatus {
	return []link.EdgeStatus{
		{
			Node: "r1-a", Region: "westeurope", State: link.Ready, Revision: 7, Calls: 12, Live: true,
			Gateway: "/subscriptions/s/resourceGroups/rg/providers/Microsoft.VoiceServices/communicationsGateways/lab",
		},
		{Node: "r1-b", Region: "westeurope", State: link.Waiting, Refused: 8, Error: "gateway lab is not in westeurope", Live: true},
		{Node: "r2-a", Region: "northeurope", State: link.Ready, Revision: 6, Seen: time.Now().Add(-3 * time.Hour)},
	}
}

func (f flock) Forget(_ context.Context, node string) error {
	switch node {
	case "r2-a":
		*f.gone = node
		return nil
	case "r1-a":
		return fault.New(fault.Conflict, "edge r1-a is alive, and would report again at once: stop it first")
	}
	return fault.New(fault.NotFound, "no edge "+node+" has ever reported")
}

func TestEdges(t *testing.T) {
	var gone string
	e := edge{}
	listen(t, ops.Config{Calls: e, Records: e, Traces: traces{}, Peers: e, Edges: flock{&gone}})
	says(t, []said{
		{"edge list", 0, "r1-a  westeurope   ready       7         12     lab\n", ""},
		{"edge list", 0, "! r1-b: revision 8 is not in force: gateway lab is not in westeurope", ""},
		{"edge list", 0, "away 3h", ""},
		{"edge list --json", 0, `"revision": 7`, ""},
		{"edge forget r1-a", 1, "", "stop it first"},
		{"edge forget nobody", 3, "", "no edge nobody"},
		{"edge forget r2-a", 0, "Edge r2-a is forgotten.", ""},
		{"edge", 2, "", "One of forget, list"},
	})
	if gone != "r2-a" {
		t.Error("it was not forgotten")
	}
}
