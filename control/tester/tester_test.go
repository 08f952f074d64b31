package tester

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/link"
	"github.com/tandemgw/tandem/link/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// edgeNet is the link with two edges that place calls.
type edgeNet struct {
	mu    sync.Mutex
	nodes []link.EdgeStatus                                // mu
	asked []link.TestQuestion                              // mu
	call  func(link.TestQuestion) (record.TestCall, error) // mu
}

func (n *edgeNet) Edges() []link.EdgeStatus {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.nodes)
}

func (n *edgeNet) Ask(_ context.Context, node, question string, in, out any) (err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if question != link.AskTest {
		return nil
	}
	q := in.(link.TestQuestion)
	n.asked = append(n.asked, q)
	r, err := n.call(q)
	r.ID, r.Node, r.Towards, r.Began = q.ID, node, q.Towards, time.Now().UTC()
	*out.(*record.TestCall) = r
	return err
}

func (n *edgeNet) Publish(_ context.Context, p gateway.Publication) (uint64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.nodes {
		n.nodes[i].Gateway, n.nodes[i].Revision, n.nodes[i].State = p.ID.String(), 1, link.Ready
	}
	return 1, nil
}

func (n *edgeNet) Withdraw(context.Context, gateway.ID, []string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.nodes {
		n.nodes[i].Gateway = ""
	}
	return nil
}

// good is a call that went well.
func good(link.TestQuestion) (record.TestCall, error) {
	return record.TestCall{Ended: time.Now().UTC(), Answer: time.Second, Status: 200, Received: 100, Heard: true, MOS: 4.4}, nil
}

type world struct {
	*testing.T
	store    *store.Store
	net      *edgeNet
	gateways *gateway.Set
	ops      *operation.Set
	set      *Set
	id       gateway.ID
}

var alice = gateway.Actor{Name: "alice@telecom.example", Kind: "User"}

// build makes a gateway of two edges with two test lines.
func build(t *testing.T, st *store.Store) *world {
	w := &world{T: t, store: st, net: &edgeNet{call: good}, id: gateway.ID{Subscription: "00000000-0000-4000-8000-000000000001", Group: "Voice", Name: "One"}}
	for _, region := range []string{"westeurope", "northeurope"} {
		w.net.nodes = append(w.net.nodes, link.EdgeStatus{
			Node: region + "-a", Region: region, State: link.Waiting, Live: true, Seen: time.Now(),
			Listeners: []link.Listener{{Name: "operator", Side: "operator", Transport: "tcp", Address: "192.0.2.1:5060"}, {Name: "cloud", Side: "cloud", Transport: "tcp", Address: "192.0.2.1:5063"}},
		})
	}
	var err error
	w.ops, err = operation.New(operation.Config{Store: st})
	w.must(err)
	w.gateways, err = gateway.New(gateway.Config{
		Store: st, Operations: w.ops, Suffix: "gw.example", Tenant: "00000000-0000-4000-8000-00000000000a", Edges: w.net, Publish: w.net,
		Locations: func() []subscription.Location {
			return []subscription.Location{
				{Name: "westeurope", Management: true, Service: true, Edges: []string{"westeurope-a"}},
				{Name: "northeurope", Service: true, Edges: []string{"northeurope-a"}},
			}
		},
	})
	w.must(err)
	w.must(w.ops.Start(t.Context()))
	t.Cleanup(w.ops.Close)
	w.set = New(Config{Store: st, Gateways: w.gateways, Edges: w.net})
	t.Cleanup(w.set.Close)
	var regions []gateway.ServiceLocation
	for i, name := range []string{"westeurope", "northeurope"} {
		regions = append(regions, gateway.ServiceLocation{Name: name, PrimaryRegionProperties: gateway.PrimaryRegionProperties{
			OperatorAddresses: []string{fmt.Sprintf("10.%d.0.10", i)}, AllowedSignalingSourceAddressPrefixes: []string{"10.0.0.0/8"},
		}})
	}
	_, op, _, err := w.gateways.Put(t.Context(), alice, w.id, gateway.Draft{Gateway: gateway.Gateway{Location: "westeurope", Properties: gateway.Properties{
		ServiceLocations: regions, Connectivity: "PublicAddress", Codecs: []string{"PCMA"}, E911Type: "Standard", Platforms: []string{"OperatorConnect"},
	}}}, gateway.Match{})
	w.must(err)
	w.until(func() bool {
		now, err := w.ops.Get(t.Context(), op.ID)
		w.must(err)
		return now.Status == operation.Succeeded
	})
	for name, number := range map[string]string{"OC1": "+441134960001", "OC2": "+44 113 496 0002"} {
		_, _, err := w.gateways.PutTestLine(t.Context(), alice, gateway.TestLine{ID: w.line(name), Location: "westeurope", PhoneNumber: number, Purpose: "Automated"}, gateway.Match{})
		w.must(err)
	}
	return w
}

func (w *world) line(name string) gateway.LineID { return gateway.LineID{Gateway: w.id, Name: name} }

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) until(done func() bool) {
	w.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		if done() {
			return
		}
		<-tick.C
	}
	w.Fatal("it does not come about")
}

// idle waits until no call is under way.
func (w *world) idle() {
	w.Helper()
	w.until(func() bool {
		n := -1
		w.must(w.store.Read(w.Context(), func(tx *store.Tx) error {
			return tx.Row(w.Context(), "SELECT COUNT(*) FROM test_lease").Scan(&n)
		}))
		return n == 0
	})
}

func TestALineIsCalledBothWays(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		w := build(t, st)
		begun, err := w.set.Begin(t.Context(), w.line("oc2"), Order{})
		w.must(err)
		if len(begun) != 2 || begun[0].Line != "OC2" || begun[0].To != "+441134960002" || begun[0].From != "+441134960001" || begun[0].Towards == begun[1].Towards {
			t.Errorf("begun: %+v", begun)
		}
		w.idle()
		list, err := w.set.List(t.Context(), w.id, "OC2", 10)
		w.must(err)
		if len(list) != 2 || list[0].Under() || list[0].MOS != 4.4 || w.set.Counters() != (Counters{Passed: 2}) {
			t.Errorf("kept: %+v", list)
		}
	})
}

func TestWhoCannotBeCalled(t *testing.T) {
	w := build(t, storetest.New(t))
	for _, tt := range []struct {
		name  string
		line  string
		order Order
		kind  fault.Kind
		says  string
	}{
		{"no such line", "OC9", Order{}, fault.NotFound, "OC9"},
		{"nowhere", "OC1", Order{Towards: "mars"}, fault.Invalid, "cloud or operator"},
		{"another's edge", "OC1", Order{Node: "mars-a"}, fault.Invalid, "westeurope-a"},
	} {
		if _, err := w.set.Begin(t.Context(), w.line(tt.line), tt.order); fault.Of(err) != tt.kind || !strings.Contains(fmt.Sprint(err), tt.says) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	release := w.held()
	_, err := w.set.Begin(t.Context(), w.line("OC1"), Order{Towards: "cloud"})
	w.must(err)
	if _, err := w.set.Begin(t.Context(), w.line("OC2"), Order{}); fault.Of(err) != fault.Conflict {
		t.Errorf("while another is under way: %v", err)
	}
	close(release)
	w.idle()
	w.net.mu.Lock()
	for i := range w.net.nodes {
		w.net.nodes[i].Live = false
	}
	w.net.mu.Unlock()
	if _, err := w.set.Begin(t.Context(), w.line("OC1"), Order{}); fault.Of(err) != fault.Unavailable {
		t.Errorf("while no edge is there: %v", err)
	}
}

func TestAnEdgeThatGoesIsTold(t *testing.T) {
	w := build(t, storetest.New(t))
	w.net.mu.Lock()
	w.net.call = func(link.TestQuestion) (record.TestCall, error) {
		return record.TestCall{}, fault.New(fault.Denied, "no test call is placed to or from an emergency service")
	}
	w.net.mu.Unlock()
	_, err := w.set.Begin(t.Context(), w.line("OC1"), Order{Towards: "cloud"})
	w.must(err)
	w.idle()
	list, err := w.set.Newest(t.Context(), w.id)
	w.must(err)
	if len(list) != 1 || !strings.Contains(list[0].Problem, "emergency") || w.set.Counters().Failed != 1 {
		t.Errorf("%+v", list)
	}
}

func TestPlans(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		w := build(t, st)
		for _, bad := range []Plan{{Interval: time.Second}, {Interval: 8 * 24 * time.Hour}, {Jitter: time.Minute}, {Interval: time.Hour, Jitter: 2 * time.Hour}, {Interval: time.Hour, From: "112"}, {Interval: -time.Hour}} {
			if err := w.set.SetPlan(t.Context(), alice, w.id, bad); fault.Of(err) != fault.Invalid {
				t.Errorf("%+v: %v", bad, err)
			}
		}
		if mine, err := w.set.claim(t.Context(), time.Now().Add(time.Hour)); err != nil || len(mine) > 0 {
			t.Errorf("without a plan %v is due: %v", mine, err)
		}
		w.must(w.set.SetPlan(t.Context(), alice, w.id, Plan{Interval: time.Hour, Jitter: time.Minute}))
		now := time.Now()
		for _, tt := range []struct {
			name string
			at   time.Time
			due  int
		}{
			{"too soon", now.Add(59 * time.Minute), 0},
			{"in time", now.Add(62 * time.Minute), 1},
			{"again at once, as another node does", now.Add(62 * time.Minute), 0},
			{"after a day away", now.Add(25 * time.Hour), 1},
			{"and no more for what was missed", now.Add(25 * time.Hour), 0},
			{"when the clock jumps back, for good", now.Add(-30 * 24 * time.Hour), 0},
			{"an hour after that", now.Add(-30*24*time.Hour + 62*time.Minute), 1},
		} {
			if mine, err := w.set.claim(t.Context(), tt.at); err != nil || len(mine) != tt.due {
				t.Errorf("%s: %v %v", tt.name, mine, err)
			}
		}
		w.must(w.set.SetPlan(t.Context(), alice, w.id, Plan{}))
		if mine, _ := w.set.claim(t.Context(), now.Add(100*24*time.Hour)); len(mine) > 0 {
			t.Error("it is due though it is off")
		}
	})
}

// TestEachWayHasItsTurn: two lines, two edges and two ways are eight calls.
func TestEachWayHasItsTurn(t *testing.T) {
	w := build(t, storetest.New(t))
	seen := map[way]int{}
	for range 16 {
		w.must(w.set.next(t.Context(), due{key: w.id.Key()}))
		w.idle()
	}
	list, err := w.set.List(t.Context(), w.id, "", 100)
	w.must(err)
	for _, r := range list {
		seen[r.way()]++
	}
	if len(seen) != 8 {
		t.Errorf("of eight ways %d were tried: %v", len(seen), seen)
	}
	for w, n := range seen {
		if n != 2 {
			t.Errorf("%v was tried %d times", w, n)
		}
	}
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		w, begin := build(t, st), time.Now().Add(-time.Hour)
		for i := range keptEach + 20 {
			r := Report{Line: "OC1", TestCall: record.TestCall{ID: fmt.Sprint(i), Began: begin.Add(time.Duration(i) * time.Second), Ended: begin}}
			w.must(st.Write(t.Context(), func(tx *store.Tx) error { return keep(t.Context(), tx, w.id.Key(), r) }))
		}
		w.must(w.set.Trim(t.Context(), begin.Add(25*time.Second)))
		list, err := w.set.List(t.Context(), w.id, "", 2*keptEach)
		w.must(err)
		if len(list) != keptEach-5 || list[0].ID != fmt.Sprint(keptEach+19) {
			t.Errorf("%d are kept, the newest is %s", len(list), list[0].ID)
		}
		w.must(w.set.SetPlan(t.Context(), alice, w.id, Plan{Interval: time.Hour}))
		op, err := w.gateways.Delete(t.Context(), alice, w.id, gateway.Match{})
		w.must(err)
		w.until(func() bool {
			now, err := w.ops.Get(t.Context(), op.ID)
			w.must(err)
			return now.Status == operation.Succeeded
		})
		list, err = w.set.List(t.Context(), w.id, "", 10)
		if p, _ := w.set.Plan(t.Context(), w.id); err != nil || len(list) > 0 || p.Interval != 0 {
			t.Errorf("a gateway that is deleted leaves %d calls, %+v (%v)", len(list), p, err)
		}
	})
}

// An edge tells what it likes; what is kept is of the call that was ordered, and
// not without end.
func TestWhatAnEdgeTellsIsBounded(t *testing.T) {
	w := build(t, storetest.New(t))
	w.net.mu.Lock()
	w.net.call = func(link.TestQuestion) (record.TestCall, error) {
		return record.TestCall{
			Ended: time.Now().Add(1000 * time.Hour), From: "+1", To: "112", Region: "mars", MOS: 1e300,
			Problem: strings.Repeat("é", 1<<20), Notes: slices.Repeat([]string{strings.Repeat("x", 10_000)}, 10_000),
		}, nil
	}
	w.net.mu.Unlock()
	_, err := w.set.Begin(t.Context(), w.line("OC1"), Order{Towards: "cloud"})
	w.must(err)
	w.idle()
	list, err := w.set.List(t.Context(), w.id, "", 10)
	w.must(err)
	if len(list) != 1 {
		t.Fatalf("%d calls are kept", len(list))
	}
	r := list[0]
	if r.To != "+441134960001" || r.Region == "mars" || len(r.Problem) > maxText || len(r.Notes) > maxNotes || len(r.Notes[0]) > maxText || r.MOS > 5 || r.Ended.After(time.Now()) {
		t.Errorf("kept: to %s in %s, %d bytes, %d notes, MOS %v, until %v", r.To, r.Region, len(r.Problem), len(r.Notes), r.MOS, r.Ended)
	}
}

// TestAChangedGatewayKeepsItsTests: what is saved of a gateway anew leaves its
// plan and its calls where they are.
func TestAChangedGatewayKeepsItsTests(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		w := build(t, st)
		w.must(w.set.SetPlan(t.Context(), alice, w.id, Plan{Interval: time.Hour}))
		_, err := w.set.Begin(t.Context(), w.line("OC1"), Order{})
		w.must(err)
		w.idle()
		_, err = w.gateways.Patch(t.Context(), alice, w.id, gateway.Patch{Tags: &map[string]string{"site": "one"}}, gateway.Match{})
		w.must(err)
		p, err := w.set.Plan(t.Context(), w.id)
		w.must(err)
		list, err := w.set.List(t.Context(), w.id, "", 10)
		w.must(err)
		if p.Interval != time.Hour || len(list) != 2 {
			t.Errorf("%+v and %d calls are left", p, len(list))
		}
	})
}

// held has the edges hold calls until release is closed.
func (w *world) held() (release chan struct{}) {
	release = make(chan struct{})
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	w.net.call = func(q link.TestQuestion) (record.TestCall, error) {
		select {
		case <-release:
			return good(q)
		default:
			return record.TestCall{}, nil // under way
		}
	}
	return release
}

// TestOneAtATimeOfAllControlNodes: of many who order at once, on nodes that
// share a database, one has its call.
func TestOneAtATimeOfAllControlNodes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		w := build(t, st)
		release := w.held()
		another := New(Config{Store: st, Gateways: w.gateways, Edges: w.net})
		t.Cleanup(another.Close)
		var begun, refused atomic.Int32
		var all sync.WaitGroup
		for range 4 {
			for _, set := range []*Set{w.set, another} {
				all.Go(func() {
					switch _, err := set.Begin(t.Context(), w.line("OC1"), Order{Towards: "cloud"}); {
					case err == nil:
						begun.Add(1)
					case fault.Of(err) == fault.Conflict:
						refused.Add(1)
					default:
						t.Error(err)
					}
				})
			}
		}
		all.Wait()
		if begun.Load() != 1 || refused.Load() != 7 {
			t.Errorf("of 8 orders %d were carried out and %d refused", begun.Load(), refused.Load())
		}
		close(release)
		w.idle()
		_, err := another.Begin(t.Context(), w.line("OC2"), Order{})
		w.must(err)
		w.idle()
		if list, err := w.set.List(t.Context(), w.id, "", 10); err != nil || len(list) != 3 {
			t.Errorf("%d calls are kept (%v)", len(list), err)
		}
	})
}

// TestALeaseEnds: a node that dies keeps nobody from testing for longer than its
// call can last, nor does one whose clock was wrong; who has lost it does not go
// on.
func TestALeaseEnds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		w := build(t, st)
		set := func(holder string, ends time.Time) {
			w.must(st.Write(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(t.Context(), "INSERT INTO test_lease (gateway, holder, ends) VALUES (?, ?, ?) ON CONFLICT (gateway) DO UPDATE SET holder = excluded.holder, ends = excluded.ends",
					w.id.Key(), holder, store.Micros(ends))
				return err
			}))
		}
		for _, tt := range []struct {
			name string
			ends time.Duration
			free bool
		}{
			{"one that lasts", leased, false},
			{"one that has ended", -time.Second, true},
			{"one of another year", 365 * 24 * time.Hour, true},
		} {
			set("who died", time.Now().Add(tt.ends))
			_, err := w.set.Begin(t.Context(), w.line("OC1"), Order{Towards: "cloud"})
			if tt.free {
				w.must(err)
				w.idle()
			} else if fault.Of(err) != fault.Conflict {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
		set("who was taken for dead", time.Now().Add(-time.Second))
		release := w.held()
		_, err := w.set.Begin(t.Context(), w.line("OC1"), Order{})
		w.must(err)
		set("another", time.Now().Add(leased))
		close(release)
		w.until(func() bool {
			list, err := w.set.List(t.Context(), w.id, "", 10)
			w.must(err)
			return !slices.ContainsFunc(list, Report.Under) && slices.ContainsFunc(list, func(r Report) bool { return strings.Contains(r.Problem, "another control node") })
		})
	})
}
