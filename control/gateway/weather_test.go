package gateway_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/zone"
	"github.com/tandemgw/tandem/link"
)

// impatient worlds give up at the second look.
func impatient(_ *world, c *gateway.Config) { c.Patience = 50 * time.Millisecond }

// Whatever goes wrong is said with the step, the cause and what to do, and when
// it is mended another PUT of the same makes the gateway complete.
func TestWhatGoesWrongIsSaidAndMended(t *testing.T) {
	id := named("lab-1")
	for name, x := range map[string]struct {
		wrong func(*world)
		step  string
		says  []string
		mend  func(*world)
	}{
		"an edge never comes": {
			func(w *world) { w.net.rise("r1-a", "westeurope", "192.0.2.1", "r1."+base(id), "1r1."+base(id)) },
			"assign",
			[]string{"edge r2-a of northeurope has never reported", "start it", "link.urls"},
			func(w *world) { w.rise(id) },
		},
		"an edge has gone": {
			func(w *world) {
				w.rise(id)
				w.net.change("r2-a", func(e *link.EdgeStatus) { e.Live, e.Seen = false, time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC) })
			},
			"assign",
			[]string{"edge r2-a of northeurope was heard of last at 03:02:01 on 4 May", "start it again"},
			func(w *world) { w.rise(id) },
		},
		"an edge is elsewhere": {
			func(w *world) {
				w.rise(id)
				w.net.change("r2-a", func(e *link.EdgeStatus) { e.Region = "uksouth" })
			},
			"assign",
			[]string{"r2-a says that it is in uksouth, control.locations has it in northeurope", "correct", "PUT the gateway again"},
			func(w *world) { w.rise(id) },
		},
		"nobody serves a region": {
			func(w *world) { w.rise(id); w.locations[1].Edges = nil },
			"assign",
			[]string{"no edge node serves northeurope", "name one in control.locations"},
			func(w *world) { w.locations[1].Edges = []string{"r2-a"} },
		},
		"a certificate has another name": {
			func(w *world) {
				w.rise(id)
				w.net.rise("r2-a", "northeurope", "192.0.2.2", "r2."+base(id), "1r2.other.example")
			},
			"certificates",
			[]string{"listener cloud of edge r2-a shows a certificate for r2." + base(id) + ", 1r2.other.example", "which lacks 1r2." + base(id), "order one"},
			func(w *world) { w.rise(id) },
		},
		"a listener has no certificate": {
			func(w *world) {
				w.rise(id)
				w.net.change("r1-a", func(e *link.EdgeStatus) { e.Listeners[0].Certificate = nil })
			},
			"certificates",
			[]string{"listener operator of edge r1-a has no certificate", "r1." + base(id)},
			func(w *world) { w.rise(id) },
		},
		"a certificate has ended": {
			func(w *world) {
				w.rise(id)
				w.net.change("r1-a", func(e *link.EdgeStatus) {
					e.Listeners[0].Certificate.Ends = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
				})
			},
			"certificates",
			[]string{"ended at 03:02:01 on 4 May", "renew it"},
			func(w *world) { w.rise(id) },
		},
		"an edge cannot run the snapshot": {
			func(w *world) {
				w.rise(id)
				w.net.change("r1-a", func(e *link.EdgeStatus) { e.Refused, e.Error = 99, "no listener serves side cloud" })
			},
			"edges",
			[]string{"edge r1-a refuses revision 1: no listener serves side cloud", "PUT the gateway again"},
			func(w *world) {
				w.net.change("r1-a", func(e *link.EdgeStatus) { e.Refused, e.Error = 0, "" })
			},
		},
		"an edge does nothing": {
			func(w *world) { w.rise(id); w.net.stuck["r2-a"] = true },
			"edges",
			[]string{"edge r2-a of northeurope has revision 0, and 1 is on its way", "look into its log"},
			func(w *world) { w.net.stuck["r2-a"] = false; w.rise(id) },
		},
		"a listener is silent": {
			func(w *world) {
				w.rise(id)
				w.net.checks["r1-a"] = []link.ListenerCheck{{Name: "operator"}, {Name: "cloud", Error: "connection refused"}}
			},
			"edges",
			[]string{"listener cloud of edge r1-a does not answer OPTIONS: connection refused"},
			func(w *world) { w.net.checks["r1-a"] = nil },
		},
		"a name does not resolve": {
			func(w *world) {
				w.rise(id)
				w.zone.say("r1."+base(id)+" has no address: start an edge of westeurope", "")
			},
			"dns",
			[]string{"has no address"},
			func(w *world) { w.zone.say("", "") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, storetest.New(t), impatient)
			x.wrong(w)
			_, op := w.put(id, two())
			w.fails(op.ID, x.step, x.says...)
			if p := w.get(id).Properties; p.ProvisioningState != "Failed" || p.Status != "ChangePending" {
				t.Errorf("state %s, status %s", p.ProvisioningState, p.Status)
			}
			x.mend(w)
			_, op = w.put(id, two())
			w.complete(op.ID)
			if p := w.get(id).Properties; p.ProvisioningState != "Succeeded" || p.Status != "Complete" {
				t.Errorf("mended: state %s, status %s", p.ProvisioningState, p.Status)
			}
		})
	}
}

// An edge that dies between two steps is waited for; it comes back, and
// nobody need do anything.
func TestAnEdgeThatDiesMidwayIsWaitedFor(t *testing.T) {
	id := named("lab-1")
	w := build(t, storetest.New(t))
	w.rise(id)
	w.net.stuck["r1-a"], w.net.stuck["r2-a"] = true, true
	_, op := w.put(id, two())
	at := func(step, detail string) {
		t.Helper()
		got := w.until(op.ID, func(op operation.Operation) bool {
			for _, p := range op.Steps {
				if p.Name == step && p.Detail != "" {
					return true
				}
			}
			return op.Status.Ended()
		})
		contains(t, steps(got), detail)
	}
	at("edges", "edge r1-a of westeurope has revision 0")
	w.net.change("r1-a", func(e *link.EdgeStatus) { e.Live = false })
	w.net.mu.Lock()
	w.net.stuck = map[string]bool{}
	w.net.mu.Unlock()
	w.net.change("r2-a", func(*link.EdgeStatus) {})
	w.until(op.ID, func(op operation.Operation) bool {
		return op.Status.Ended() || strings.Contains(op.Steps[5].Detail, "was heard of last")
	})
	w.net.change("r1-a", func(e *link.EdgeStatus) { e.Live = true })
	w.complete(op.ID)
}

// Where the zone above does not lead to ours yet, the gateway is complete and
// says which records are missing there.
func TestCompleteNamesTheRecordsThatTheParentLacks(t *testing.T) {
	id := named("lab-1")
	w := build(t, storetest.New(t))
	w.rise(id)
	w.zone.say("", "example does not delegate gw.example: gw.example. NS ns1.gw.example.")
	_, op := w.put(id, two())
	w.complete(op.ID)
	if got := w.get(id).Advice; got != "example does not delegate gw.example: gw.example. NS ns1.gw.example." {
		t.Error(got)
	}
	r, err := w.set.Readiness(t.Context(), id)
	if err != nil || r.Advice != w.get(id).Advice || r.Status != "Complete" || len(r.Operation.Steps) != 8 {
		t.Errorf("%+v %v", r, err)
	}
	w.zone.say("", "")
	if r, err := w.set.Readiness(t.Context(), id); err != nil || r.Advice != "" {
		t.Errorf("the parent delegates by now: %q %v", r.Advice, err)
	}
	_, op = w.put(id, two())
	w.complete(op.ID)
	if got := w.get(id).Advice; got != "" {
		t.Error(got)
	}
}

// An edge serves one gateway: the second that wants it is told who has it, and
// gets it when that is gone.
func TestAnEdgeServesOneGateway(t *testing.T) {
	w := build(t, storetest.New(t), impatient)
	first, second := named("lab-1"), named("lab-2")
	w.rise(first)
	_, op := w.put(first, two())
	w.complete(op.ID)
	_, op = w.put(second, two())
	w.fails(op.ID, "assign", "no edge node of westeurope is free (r1-a serves lab-1)", "delete a gateway, then PUT this one again")

	op, err := w.set.Delete(t.Context(), alice, first, none)
	if err != nil {
		t.Fatal(err)
	}
	w.complete(op.ID)
	w.rise(second)
	_, op = w.put(second, two())
	w.complete(op.ID)
	if got := w.net.orders["r1-a"]; got.Gateway != second.String() || got.Revision < 3 {
		t.Errorf("r1-a runs %s, revision %d", got.Gateway, got.Revision)
	}
}

// A standard deployment takes every edge of its regions, a lab deployment one.
func TestALabDeploymentLeavesEdgesForOthers(t *testing.T) {
	w := build(t, storetest.New(t), func(w *world, _ *gateway.Config) {
		w.locations = []subscription.Location{
			{Name: "westeurope", Management: true, Service: true, Edges: []string{"r1-a", "r1-b", "r1-c"}},
			{Name: "northeurope", Service: true, Edges: []string{"r2-a"}},
		}
	})
	small, big := named("small"), named("big")
	doc := two()
	doc.Properties.ServiceLocations = doc.Properties.ServiceLocations[:1]
	names := func(id gateway.ID, n string) []string {
		return []string{"r" + n + "." + base(id), "1r" + n + "." + base(id)}
	}
	w.net.rise("r1-a", "westeurope", "192.0.2.1", names(small, "1")...)
	w.net.rise("r1-b", "westeurope", "192.0.2.2", names(big, "1")...)
	w.net.rise("r1-c", "westeurope", "192.0.2.3", names(big, "1")...)
	w.net.rise("r2-a", "northeurope", "192.0.2.4", names(big, "2")...)
	r, op := w.put(small, doc)
	w.complete(op.ID)
	if r.SKU.Name != "lab" {
		t.Errorf("one region without sku is %s", r.SKU.Name)
	}
	_, op = w.put(big, two())
	w.complete(op.ID)
	for node, id := range map[string]gateway.ID{"r1-a": small, "r1-b": big, "r1-c": big, "r2-a": big} {
		if got := w.net.orders[node].Gateway; got != id.String() {
			t.Errorf("%s serves %s", node, got)
		}
	}
}

// orders is who orders certificates.
type orders struct {
	names     map[string][]string // by node
	forgotten []string
	inTheWay  error
}

func (o *orders) Order(_ context.Context, node string, names []string) error {
	o.names[node] = names
	return o.inTheWay
}

func (o *orders) Forget(_ context.Context, _ *store.Tx, node string) error {
	o.forgotten = append(o.forgotten, node)
	return nil
}

// Certificates bear the names that customers of Direct Routing have, in the
// operator's own domain too; what is in the way of one is said.
func TestCertificatesAreOrderedForTheNamesOfCustomers(t *testing.T) {
	id, authority := named("lab-1"), &orders{names: map[string][]string{}}
	w := build(t, storetest.New(t), impatient, func(_ *world, c *gateway.Config) { c.Certificates = authority })
	doc := two()
	doc.Properties.Platforms = []string{"OperatorConnect", "TeamsDirectRouting"}
	doc.Properties.DNSDelegations = &gateway.DNSDelegations{Delegations: []gateway.DNSDelegation{{Domain: "voice.example"}}}
	w.rise(id)
	_, op := w.put(id, doc)
	w.fails(op.ID, "certificates", "lacks *.1r1."+base(id)+", 1r1.voice.example, *.1r1.voice.example: order one")
	for _, name := range []string{"r1." + base(id), "*.r1." + base(id), "1r1." + base(id), "*.1r1." + base(id), "1r1.voice.example", "*.1r1.voice.example"} {
		if !slices.Contains(authority.names["r1-a"], name) {
			t.Errorf("%s is not ordered: %v", name, authority.names)
		}
	}
	authority.inTheWay = fault.New(fault.Unavailable, "edge r1-a waits for a certificate: have its request signed, and bring the chain")
	_, op = w.put(id, doc)
	w.fails(op.ID, "certificates", "have its request signed, and bring the chain (listener")

	w.net.rise("r1-a", "westeurope", "192.0.2.1", authority.names["r1-a"]...)
	w.net.rise("r2-a", "northeurope", "192.0.2.2", zone.RegionName(base(id), 2), zone.CloudName(base(id), 2), "*."+zone.CloudName(base(id), 2), "1r2.voice.example", "*.1r2.voice.example")
	_, op = w.put(id, doc)
	w.complete(op.ID) // a renewal that is in the way of nothing is no reason to wait
	if got := w.get(id).Properties.DNSDelegations.Delegations[0].NameServers; !slices.Equal(got, []string{"ns1.gw.example."}) {
		t.Error(got)
	}
	if got := w.net.orders["r2-a"].Snapshot.Regions[1].Delegated; !slices.Equal(got, []string{"1r2.voice.example"}) {
		t.Errorf("edges know %v", got)
	}
	op, err := w.set.Delete(t.Context(), alice, id, none)
	if err != nil {
		t.Fatal(err)
	}
	w.complete(op.ID)
	if !slices.Equal(authority.forgotten, []string{"r1-a", "r2-a"}) {
		t.Error(authority.forgotten)
	}
}

// Two gateways that want the same edges at the same moment: one has them, the
// other is told so.
func TestTwoGatewaysWantTheSameEdges(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := build(t, s, impatient)
		ids, ops := []gateway.ID{named("lab-1"), named("lab-2")}, make([]operation.Operation, 2)
		for i, e := range []struct{ node, region, address string }{{"r1-a", "westeurope", "192.0.2.1"}, {"r2-a", "northeurope", "192.0.2.2"}} {
			var names []string
			for _, id := range ids {
				names = append(names, zone.RegionName(base(id), i+1), zone.CloudName(base(id), i+1))
			}
			w.net.rise(e.node, e.region, e.address, names...)
		}
		var both sync.WaitGroup
		for i, id := range ids {
			both.Go(func() { _, ops[i] = w.put(id, two()) })
		}
		both.Wait()
		won := 0
		for i := range ids {
			switch op := w.ended(ops[i].ID); {
			case op.Status == operation.Succeeded:
				won++
			default:
				contains(t, op.Error.Message, "is free", "serves lab-")
			}
		}
		if won != 1 {
			t.Errorf("%d gateways have them", won)
		}
	})
}
