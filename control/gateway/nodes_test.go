package gateway_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/publish"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// Two control nodes on one PostgreSQL change one gateway at the same time, and
// its test lines beside it. Whichever carries it out, the edges end with what
// the rows say.
func TestTwoControlNodesChangeOneGateway(t *testing.T) {
	url, id := storetest.Server(t), named("lab-1")
	first := build(t, storetest.Open(t, url))
	second := build(t, storetest.Open(t, url), func(w *world, c *gateway.Config) {
		w.net, w.zone = first.net, first.zone
		c.Edges, c.Zone = w.net, w.zone
		c.Publish = publish.NewSet(publish.Config{Store: w.store, Link: w.net, Input: func() (publish.Input, error) { return publish.Input{}, nil }})
	})
	first.rise(id)
	first.put(id, two())
	const rounds = 8
	var both sync.WaitGroup
	for n, w := range []*world{first, second} {
		both.Go(func() {
			for i := range rounds {
				doc := two()
				doc.Properties.EmergencyDialStrings = []string{"112", fmt.Sprint(200 + rounds*n + i)}
				w.put(id, doc)
				if _, _, err := w.set.PutTestLine(t.Context(), alice, line(id, fmt.Sprintf("OC%d%d", n, i), fmt.Sprintf("+4411349600%d%d", n, i)), none); err != nil {
					t.Error(err)
				}
			}
		})
	}
	both.Wait()
	op, err := first.set.Operation(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	first.complete(op.ID)
	lines, err := second.ops.Latest(t.Context(), id.String()+"/testLines")
	if err == nil {
		second.until(lines.ID, func(op operation.Operation) bool { return op.Status.Ended() })
	}
	now := second.get(id)
	if now.Properties.Status != "Complete" {
		t.Errorf("%s", now.Properties.Status)
	}
	first.net.mu.Lock()
	defer first.net.mu.Unlock()
	for _, node := range []string{"r1-a", "r2-a"} {
		got := first.net.orders[node].Snapshot
		if !slices.Equal(got.Emergency, now.Properties.EmergencyDialStrings) || len(got.Policy.TestLines) != 2*rounds {
			t.Errorf("%s runs %v with %d lines, not %v with %d", node, got.Emergency, len(got.Policy.TestLines), now.Properties.EmergencyDialStrings, 2*rounds)
		}
	}
}
