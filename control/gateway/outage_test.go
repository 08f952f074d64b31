package gateway_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/link"
)

func (w *world) ready(id gateway.ID) gateway.Readiness {
	w.Helper()
	r, err := w.set.Readiness(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// TestEdgesThatDieLaterAreTold: status is of the last change (resource API,
// "status"), so it stays Complete; readiness and its problems are of now.
func TestEdgesThatDieLaterAreTold(t *testing.T) {
	w, id := build(t, storetest.New(t)), named("lab-1")
	w.rise(id)
	_, op := w.put(id, two())
	w.complete(op.ID)
	if r := w.ready(id); len(r.Problems) > 0 || len(r.Edges) != 2 || !r.Edges[0].Serves {
		t.Fatalf("while all is well: %+v", r)
	}
	for _, tt := range []struct {
		name   string
		change func(*link.EdgeStatus)
		says   string
	}{
		{"dies", func(e *link.EdgeStatus) { e.Live = false }, "westeurope carries no calls: edge r1-a of westeurope is away since"},
		{"drains", func(e *link.EdgeStatus) { e.State = link.Draining }, "draining"},
		{"refuses what is newer", func(e *link.EdgeStatus) { e.Refused, e.Error = e.Revision+1, "sip.listeners: no TCP" }, "goes on with revision 1, since it refuses 2: sip.listeners: no TCP"},
		{"has lost its snapshot", func(e *link.EdgeStatus) { e.Gateway = "" }, "does not run this gateway"},
	} {
		var before link.EdgeStatus
		w.net.change("r1-a", func(e *link.EdgeStatus) { before = *e })
		w.net.mu.Lock()
		tt.change(w.net.edges["r1-a"])
		w.net.mu.Unlock()
		r := w.ready(id)
		if r.Status != gateway.Complete || r.State != gateway.Succeeded || r.Ready() || len(r.Problems) != 1 || !strings.Contains(r.Problems[0], tt.says) {
			t.Errorf("an edge that %s: %s %s %v", tt.name, r.State, r.Status, r.Problems)
		}
		w.net.mu.Lock()
		*w.net.edges["r1-a"] = before
		w.net.mu.Unlock()
	}
	if r := w.ready(id); len(r.Problems) > 0 {
		t.Errorf("when it is back: %v", r.Problems)
	}
}

// TestAnEdgeThatComesLateNeedsNoSecondPUT: the change that failed for want of it
// goes on.
func TestAnEdgeThatComesLateNeedsNoSecondPUT(t *testing.T) {
	w := build(t, storetest.New(t), func(_ *world, c *gateway.Config) { c.Patience = 50 * time.Millisecond })
	id := named("lab-1")
	w.net.rise("r1-a", "westeurope", "192.0.2.1")
	_, op := w.put(id, two())
	w.fails(op.ID, "assign", "r2-a", "never reported")
	const reports = 50
	was := w.store.Counters().Writes
	for range reports {
		w.net.reported() // something else has changed: nobody is there yet
	}
	if n := w.store.Counters().Writes - was; n > reports/10 { // the operations keep house
		t.Errorf("%d reports made %d writes", reports, n)
	}
	if again, err := w.ops.Latest(t.Context(), id.String()); err != nil || again.ID != op.ID {
		t.Fatalf("it is tried again though the edge is not there: %+v %v", again, err)
	}
	w.rise(id)
	again, err := w.ops.Latest(t.Context(), id.String())
	if err != nil || again.ID == op.ID {
		t.Fatalf("nothing was begun: %+v %v", again, err)
	}
	w.complete(again.ID)
	if r := w.ready(id); r.Status != gateway.Complete {
		t.Errorf("%s %s", r.State, r.Status)
	}
	w.net.reported()
	if last, _ := w.ops.Latest(t.Context(), id.String()); last.ID != again.ID {
		t.Error("what is complete was begun again")
	}
}

// TestWhatIsNotServedIsSaid: what the deployment does not do is kept and warned
// of, by the operation and for as long as it stands.
func TestWhatIsNotServedIsSaid(t *testing.T) {
	w := build(t, storetest.New(t), func(_ *world, c *gateway.Config) {
		c.Unserved = func(g gateway.Gateway) []string {
			if g.Properties.IntegratedMCPEnabled {
				return []string{"nobody is asked"}
			}
			return nil
		}
	})
	id := named("lab-1")
	w.rise(id)
	doc := two()
	doc.Properties.IntegratedMCPEnabled = true
	_, op := w.put(id, doc)
	done := w.until(op.ID, func(op operation.Operation) bool { return op.Status.Ended() })
	if done.Status != operation.Succeeded || !slices.ContainsFunc(done.Steps, func(p operation.Progress) bool { return p.Warning == "nobody is asked" }) {
		t.Errorf("its operation says nothing: %s", steps(done))
	}
	if r := w.ready(id); len(r.Warnings) != 1 || r.Warnings[0] != "nobody is asked" {
		t.Errorf("its readiness warns of %v", r.Warnings)
	}
	_, op = w.put(id, two())
	w.complete(op.ID)
	if r := w.ready(id); len(r.Warnings) != 0 {
		t.Errorf("without it readiness warns of %v", r.Warnings)
	}
}

// keeper is who sees to certificates, for edges that have theirs from files.
type keeper struct{}

func (keeper) Order(_ context.Context, node string, _ []string) error {
	return fault.New(fault.Conflict, "edge "+node+" has its certificates from files")
}
func (keeper) Forget(context.Context, *store.Tx, string) error { return nil }

// TestFilesThatLackANameAreToldSoon: nobody knows when they are replaced; when
// they are, the change goes on.
func TestFilesThatLackANameAreToldSoon(t *testing.T) {
	w := build(t, storetest.New(t), func(_ *world, c *gateway.Config) { c.Patience, c.Certificates = 30*time.Second, keeper{} })
	id := named("lab-1")
	w.rise(named("another"))
	_, op := w.put(id, two())
	began := time.Now()
	w.fails(op.ID, "certificates", "which lacks", base(id))
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it was told after %v", took)
	}
	w.rise(named("another")) // another report, and the same files
	if again, _ := w.ops.Latest(t.Context(), id.String()); again.ID != op.ID {
		t.Error("it is tried again though nothing has changed")
	}
	w.rise(id)
	again, err := w.ops.Latest(t.Context(), id.String())
	if err != nil || again.ID == op.ID {
		t.Fatalf("nothing was begun: %v", err)
	}
	w.complete(again.ID)
}
