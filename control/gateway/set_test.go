package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/publish"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/zone"
	"github.com/tandemgw/tandem/link"
	"github.com/tandemgw/tandem/link/snapshot"
)

func TestMain(m *testing.M) {
	if url := os.Getenv("TANDEM_GATEWAY_CHILD"); url != "" {
		os.Exit(child(url))
	}
	goleak.VerifyTestMain(m)
}

const (
	sub    = "00000000-0000-4000-8000-000000000001"
	tenant = "00000000-0000-4000-8000-00000000000a"
	suffix = "gw.example"
)

var (
	alice = gateway.Actor{Name: "alice@telecom.example", Kind: "User"}
	none  = gateway.Match{}
)

func named(name string) gateway.ID { return gateway.ID{Subscription: sub, Group: "voice", Name: name} }

// region is a service location of a gateway.
func region(name, address string) gateway.ServiceLocation {
	return gateway.ServiceLocation{Name: name, PrimaryRegionProperties: gateway.PrimaryRegionProperties{
		OperatorAddresses: []string{address}, AllowedSignalingSourceAddressPrefixes: []string{"10.1.0.0/24"},
	}}
}

// two is a gateway of two regions.
func two() gateway.Draft {
	return gateway.Draft{Gateway: gateway.Gateway{Location: "West Europe", Properties: gateway.Properties{
		ServiceLocations: []gateway.ServiceLocation{region("West Europe", "10.1.0.10"), region("northeurope", "10.2.0.10")},
		Connectivity:     "PublicAddress", Codecs: []string{"PCMA"}, E911Type: "Standard",
		Platforms: []string{"OperatorConnect", "TeamsPhoneMobile"},
	}}}
}

// edgeNet is the link with edges that do what they are told, until a test says
// otherwise.
type edgeNet struct {
	mu       sync.Mutex
	edges    map[string]*link.EdgeStatus // mu
	orders   map[string]link.Publication // mu: by node; no snapshot means withdrawn
	sent     int                         // mu: publications that were new
	stuck    map[string]bool             // mu: nodes that apply nothing
	checks   map[string][]link.ListenerCheck
	calls    map[string]int // mu: that go on when a node is withdrawn from
	newest   uint64         // mu
	reported func()         // RO once edges report
	point    func(string)   // RO: where a child process kills itself
	file     string         // RO: keeps orders where another process finds them; "": nowhere
}

func newEdgeNet() *edgeNet {
	return &edgeNet{
		edges: map[string]*link.EdgeStatus{}, orders: map[string]link.Publication{}, stuck: map[string]bool{},
		checks: map[string][]link.ListenerCheck{}, calls: map[string]int{}, reported: func() {}, point: func(string) {},
	}
}

func (n *edgeNet) Edges() (list []link.EdgeStatus) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, node := range slices.Sorted(maps.Keys(n.edges)) {
		list = append(list, *n.edges[node])
	}
	return list
}

func (n *edgeNet) Ask(_ context.Context, node, question string, _, out any) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if e := n.edges[node]; e == nil || !e.Live {
		return fault.New(fault.Unavailable, "edge "+node+" is away")
	}
	n.point("edge asked")
	*out.(*[]link.ListenerCheck) = n.checks[node]
	return nil
}

func (n *edgeNet) Newest() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.newest
}

func (n *edgeNet) Publish(_ context.Context, p link.Publication) error {
	n.point("publishing")
	defer n.point("published")
	for _, node := range p.Nodes {
		if err := n.order(node, p); err != nil {
			return err
		}
	}
	return nil
}

func (n *edgeNet) Withdraw(_ context.Context, revision uint64, nodes ...string) error {
	n.point("withdrawing")
	defer n.point("withdrawn")
	for _, node := range nodes {
		if err := n.order(node, link.Publication{Revision: revision}); err != nil {
			return err
		}
	}
	return nil
}

func (n *edgeNet) order(node string, p link.Publication) error {
	n.mu.Lock()
	had := n.orders[node]
	switch {
	case had.Revision == p.Revision && had.Gateway == p.Gateway:
		n.mu.Unlock()
		return nil
	case had.Revision >= p.Revision || n.newest > p.Revision && n.edges[node] != nil && n.edges[node].Revision > p.Revision:
		n.mu.Unlock()
		return fault.New(fault.Conflict, "edge "+node+" has a newer revision")
	}
	n.orders[node] = p
	n.newest = max(n.newest, p.Revision)
	n.sent++
	n.keep()
	n.obey(node)
	n.mu.Unlock()
	n.reported()
	return nil
}

// obey has a node do what it was told. Callers hold mu.
func (n *edgeNet) obey(node string) {
	e, p := n.edges[node], n.orders[node]
	if e == nil || !e.Live || n.stuck[node] || p.Revision == 0 {
		return
	}
	if p.Gateway == "" && n.calls[node] > 0 {
		e.State, e.Calls = link.Draining, n.calls[node]
		return
	}
	e.Revision, e.Gateway, e.State = p.Revision, p.Gateway, link.Ready
	if p.Gateway == "" {
		e.State, e.Calls = link.Waiting, 0
	}
}

// kept is an order in the file.
type kept struct {
	Gateway  string
	Revision uint64
}

// keep writes the orders to the file. Callers hold mu.
func (n *edgeNet) keep() {
	if n.file == "" {
		return
	}
	all := map[string]kept{}
	for node, p := range n.orders {
		all[node] = kept{p.Gateway, p.Revision}
	}
	text, err := json.Marshal(all)
	if err == nil {
		err = os.WriteFile(n.file+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(n.file+".new", n.file) // killed at any time, it is whole
	}
	if err != nil {
		panic(err)
	}
}

// recall reads the orders from the file, when there is one.
func (n *edgeNet) recall() {
	text, err := os.ReadFile(n.file)
	if err != nil {
		return
	}
	all := map[string]kept{}
	if err := json.Unmarshal(text, &all); err != nil {
		panic(err)
	}
	for node, k := range all {
		n.orders[node] = link.Publication{Gateway: k.Gateway, Revision: k.Revision}
		n.newest = max(n.newest, k.Revision)
	}
}

// change lets a test change an edge, which then obeys and reports.
func (n *edgeNet) change(node string, f func(*link.EdgeStatus)) {
	n.mu.Lock()
	if n.edges[node] == nil {
		n.edges[node] = &link.EdgeStatus{Node: node}
	}
	f(n.edges[node])
	n.obey(node)
	n.mu.Unlock()
	n.reported()
}

// rise brings up an edge of a region whose listeners have certificates for
// names.
func (n *edgeNet) rise(node, region, address string, names ...string) {
	n.change(node, func(e *link.EdgeStatus) {
		certificate := &link.Certificate{Bears: names, Begins: time.Now().Add(-time.Hour), Ends: time.Now().Add(time.Hour)}
		e.Region, e.Live, e.State, e.Seen = region, true, link.Waiting, time.Now()
		e.Listeners = []link.Listener{
			{Name: "operator", Side: "operator", Transport: "tls", Address: address + ":5061", Certificate: certificate},
			{Name: "cloud", Side: "cloud", Transport: "tls", Address: address + ":5063", Certificate: certificate},
		}
		e.Media = []link.MediaRange{{Side: "operator", Address: address, Min: 20000, Max: 24999}, {Side: "cloud", Address: address, Min: 25000, Max: 29999}}
	})
}

// names is the zone: what it answers is what a test says.
type names struct {
	mu             sync.Mutex
	set            *gateway.Set   // RO after New
	served         []zone.Gateway // mu
	absent, advice string         // mu
	forgotten      []string       // mu
	point          func(string)   // RO
}

func (z *names) Refresh(ctx context.Context) error {
	z.point("zone refreshing")
	defer z.point("zone refreshed")
	served, err := z.set.Zones(ctx)
	z.mu.Lock()
	defer z.mu.Unlock()
	z.served = served
	return err
}

func (z *names) Check(ctx context.Context, base string) (absent, advice string, err error) {
	z.point("zone checked")
	if err := z.Refresh(ctx); err != nil { // a process that resumes here has served nothing yet
		return "", "", err
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if !slices.ContainsFunc(z.served, func(g zone.Gateway) bool { return g.Base == base }) {
		return "", "", errors.New("the zone has no gateway " + base)
	}
	return z.absent, z.advice, nil
}

func (z *names) Forget(_ context.Context, _ *store.Tx, base string) error {
	z.point("zone forgets")
	z.mu.Lock()
	defer z.mu.Unlock()
	z.forgotten = append(z.forgotten, base)
	return nil
}

func (z *names) say(absent, advice string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.absent, z.advice = absent, advice
}

// world is a control plane with its edges.
type world struct {
	*testing.T
	store     *store.Store
	ops       *operation.Set
	set       *gateway.Set
	published *publish.Set
	net       *edgeNet
	zone      *names
	locations []subscription.Location // before New
	numbers   snapshot.Numbers
	compiling atomic.Pointer[func()] // called while a snapshot is compiled
	auditing  sync.Mutex
	audit     []gateway.Change // auditing; a transaction that is tried again is told again
}

// build makes a world on a store; change may correct its configuration.
func build(t *testing.T, s *store.Store, change ...func(*world, *gateway.Config)) *world {
	w, err := assemble(s, change...)
	if err != nil {
		t.Fatal(err)
	}
	w.T = t
	if err := w.ops.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.ops.Close)
	return w
}

// assemble makes a world whose operations do not run yet.
func assemble(s *store.Store, change ...func(*world, *gateway.Config)) (*world, error) {
	w := &world{store: s, net: newEdgeNet(), zone: &names{point: func(string) {}}, locations: []subscription.Location{
		{Name: "westeurope", Management: true, Service: true, Edges: []string{"r1-a"}},
		{Name: "northeurope", Service: true, Edges: []string{"r2-a"}},
		{Name: "uksouth", Management: true},
	}}
	var err error
	if w.ops, err = operation.New(operation.Config{Store: s, Retry: 10 * time.Millisecond, Lease: 300 * time.Millisecond}); err != nil {
		return nil, err
	}
	w.published = publish.NewSet(publish.Config{Store: s, Link: w.net, Input: func() (publish.Input, error) {
		if f := w.compiling.Load(); f != nil {
			(*f)()
		}
		return publish.Input{Numbers: w.numbers}, nil
	}})
	cfg := gateway.Config{
		Store: s, Operations: w.ops, Locations: func() []subscription.Location { return w.locations }, Suffix: suffix, Tenant: tenant,
		Edges: w.net, Zone: w.zone, NameServers: []string{"ns1.gw.example."}, Publish: w.published, Patience: time.Minute, Drain: time.Minute,
		Audit: func(_ context.Context, _ *store.Tx, c gateway.Change) error {
			w.auditing.Lock()
			defer w.auditing.Unlock()
			w.audit = append(w.audit, c)
			return nil
		},
	}
	for _, f := range change {
		f(w, &cfg)
	}
	if w.set, err = gateway.New(cfg); err != nil {
		return nil, err
	}
	w.zone.set = w.set
	w.net.reported = func() { _ = w.set.Changed(context.Background()) }
	return w, nil
}

// base is the domain that a gateway will have.
func base(id gateway.ID) string { return gateway.Base(tenant, suffix, id, "TenantReuse") }

// rise brings up both edges with certificates for a gateway.
func (w *world) rise(id gateway.ID) {
	for i, e := range []struct{ node, region, address string }{{"r1-a", "westeurope", "192.0.2.1"}, {"r2-a", "northeurope", "192.0.2.2"}} {
		w.net.rise(e.node, e.region, e.address, zone.RegionName(base(id), i+1), zone.CloudName(base(id), i+1), zone.MCPName(base(id), i+1))
	}
}

func (w *world) put(id gateway.ID, doc gateway.Draft) (gateway.Resource, operation.Operation) {
	w.Helper()
	r, op, _, err := w.set.Put(w.Context(), alice, id, doc, none)
	if err != nil {
		w.Fatal(err)
	}
	return r, op
}

// ended waits for the end of an operation.
func (w *world) ended(id string) operation.Operation {
	w.Helper()
	return w.until(id, func(op operation.Operation) bool { return op.Status.Ended() })
}

func (w *world) until(id string, ok func(operation.Operation) bool) operation.Operation {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Second)
	defer cancel()
	for {
		changed := w.ops.Watch(id)
		op, err := w.ops.Get(ctx, id)
		if err != nil {
			w.Fatal(err)
		}
		if ok(op) {
			return op
		}
		select {
		case <-changed:
		case <-ctx.Done():
			w.Fatalf("operation %s: %s", op.ID, steps(op))
		}
	}
}

// complete waits until an operation has succeeded.
func (w *world) complete(id string) {
	w.Helper()
	if op := w.ended(id); op.Status != operation.Succeeded {
		w.Fatalf("%s %v\n%s", op.Status, op.Error, steps(op))
	}
}

// fails waits until an operation has failed in a step with a message that
// contains all texts.
func (w *world) fails(id, step string, texts ...string) {
	w.Helper()
	op := w.ended(id)
	if op.Status != operation.Failed || op.Error.Step != step {
		w.Fatalf("not failed in %s: %+v\n%s", step, op.Error, steps(op))
	}
	contains(w.T, op.Error.Message, texts...)
}

func contains(t *testing.T, got string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(got, text) {
			t.Errorf("%q does not say %q", got, text)
		}
	}
}

func steps(op operation.Operation) string {
	var b strings.Builder
	for _, p := range op.Steps {
		fmt.Fprintf(&b, "%s: %s %s\n", p.Name, p.Status, p.Detail)
	}
	return b.String()
}

func (w *world) get(id gateway.ID) gateway.Resource {
	w.Helper()
	r, err := w.set.Get(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

func TestAGatewayBecomesComplete(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w, id := build(t, s), named("Lab-1")
		w.rise(id)
		r, op, created, err := w.set.Put(t.Context(), alice, id, two(), none)
		if err != nil || !created {
			t.Fatal(created, err)
		}
		if p := r.Properties; p.ProvisioningState != "Accepted" || p.Status != "ChangePending" || r.Location != "westeurope" || r.Identity.PrincipalID == "" || r.Identity.TenantID != tenant {
			t.Errorf("at once: %+v", r)
		}
		w.complete(op.ID)

		r = w.get(gateway.ID{Subscription: sub, Group: "VOICE", Name: "lab-1"})
		p := r.Properties
		if p.ProvisioningState != "Succeeded" || p.Status != "Complete" || r.ID != id || p.AutoGeneratedDomainNameLabel+"."+suffix != base(id) {
			t.Errorf("then: %+v", r)
		}
		if got := p.ServiceLocations[1].ACGAddressRanges; got == nil || !slices.Equal(got.MediaForOperator, []string{"192.0.2.2/32"}) || !slices.Equal(got.SignalingForBackendServices, []string{"192.0.2.2/32"}) {
			t.Errorf("ranges: %+v", got)
		}
		if got := p.ServiceLocations[0].ACGContactInfo; len(got.PeerGroups) != 1 || got.PeerGroups[0].SRVRecord != "_sip._tls.r1."+base(id) || got.PeerGroups[0].Port != 5061 ||
			len(got.BackendServices) != 2 || got.BackendServices[0].Port != 5063 {
			t.Errorf("contacts: %+v", got)
		}
		if got := p.AllocatedSignalingAddressPrefixes; !slices.Equal(got, []string{"192.0.2.1/32", "192.0.2.2/32"}) {
			t.Errorf("allocated: %v", got)
		}
		for _, node := range []string{"r1-a", "r2-a"} {
			got := w.net.orders[node]
			if got.Gateway != id.String() || got.Snapshot == nil || got.Snapshot.Regions[0].Name != "westeurope" || got.Snapshot.Regions[0].Domain != "1r1."+base(id) {
				t.Errorf("%s runs %+v", node, got)
			}
		}
		if len(w.audit) == 0 || w.audit[0].Action != "create" || w.audit[0].By != alice {
			t.Errorf("audit: %+v", w.audit)
		}
	})
}

// Each peer group has its own way in, on the transport that it speaks.
func TestContactsOfPeerGroups(t *testing.T) {
	w, id := build(t, storetest.New(t)), named("lab-1")
	doc := two()
	p := &doc.Properties
	p.Platforms = []string{"OperatorConnect"}
	p.OperatorPeerGroupConfigScheme = gateway.PeerGroupScheme
	for i := range p.ServiceLocations {
		p.ServiceLocations[i].PrimaryRegionProperties.OperatorAddresses = nil
	}
	p.PeerGroups = []gateway.PeerGroup{
		{PeerGroupName: "Fixed", Peers: []gateway.Peer{{PeerName: "a", PeerType: "IP", IPsAndPorts: []gateway.IPAndPort{{IPAddress: "10.1.0.10", Port: 5061}}}}},
		{PeerGroupName: "old", SignalingProtocol: "UDP", MediaProtocol: "RTP", Peers: []gateway.Peer{{PeerName: "b", PeerType: "SRV", SRVRecord: "core.example"}}},
	}
	p.CallPolicy = &gateway.CallPolicy{
		DefaultMappings: gateway.DefaultMappings{ServiceToPeerGroup: []gateway.ServiceToPeerGroup{{Service: "OperatorConnect", DefaultPeerGroup: "Fixed"}}},
		PeerGroupRoutings: []gateway.PeerGroupRouting{
			{PeerGroupName: "Fixed", Routings: []gateway.Routing{{PeerName: "a", ServiceLocation: "West Europe"}}},
			{PeerGroupName: "old", Routings: []gateway.Routing{{PeerName: "b", ServiceLocation: "northeurope"}}},
		},
	}
	w.rise(id)
	w.net.change("r1-a", func(e *link.EdgeStatus) {
		e.Listeners = append(e.Listeners, link.Listener{Name: "old", Side: "operator", Transport: "udp", Address: "10.9.0.1:5060", Advertise: "192.0.2.9:5070"})
	})
	_, op := w.put(id, doc)
	w.complete(op.ID)
	want := []gateway.Contact{
		{PeerGroupName: "Fixed", SRVRecord: "_sip._tls.fixed-region1." + base(id), IPAddresses: []string{"192.0.2.1"}, Port: 5061},
		{PeerGroupName: "old", SRVRecord: "_sip._udp.old-region1." + base(id), IPAddresses: []string{"192.0.2.9"}, Port: 5070},
	}
	if diff := cmp.Diff(want, w.get(id).Properties.ServiceLocations[0].ACGContactInfo.PeerGroups); diff != "" {
		t.Error(diff)
	}
	// Regions are written as people write them, and routed by as edges know them.
	if got := w.net.orders["r1-a"].Snapshot.Groups[0].Peers[0].Priority; len(got) != 1 || got["westeurope"] != 0 {
		t.Errorf("%v", got)
	}
}
