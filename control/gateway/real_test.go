package gateway_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/certificate"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/publish"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/control/zone"
	"github.com/tandemgw/tandem/link"
)

// linked is an edge at the real link that does what it is told.
type linked struct {
	*link.Edge
	status link.EdgeStatus
}

// follow obeys until ctx is done.
func (e *linked) follow(ctx context.Context) {
	for {
		select {
		case a := <-e.Assignments():
			e.status.Revision, e.status.Gateway, e.status.State = a.Revision, a.Gateway, link.Ready
			if a.Snapshot == nil {
				e.status.Gateway, e.status.State = "", link.Waiting
			}
			e.Report(e.status)
		case <-ctx.Done():
			return
		}
	}
}

// join brings an edge up at the link.
func join(t *testing.T, server *link.Server, node, region, address string, bears ...string) {
	t.Helper()
	conn, err := server.Conn(link.DialConfig{Node: node})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	shown := &link.Certificate{Bears: bears, Begins: time.Now().Add(-time.Hour), Ends: time.Now().Add(time.Hour)}
	e := &linked{Edge: link.NewEdge(link.EdgeConfig{Node: node, Dir: t.TempDir()}), status: link.EdgeStatus{
		Node: node, Region: region, State: link.Waiting,
		Listeners: []link.Listener{
			{Name: "operator", Side: "operator", Transport: "tls", Address: address + ":5061", Certificate: shown},
			{Name: "cloud", Side: "cloud", Transport: "tls", Address: address + ":5063", Certificate: shown},
		},
	}}
	e.Answer(link.AskListeners, func(context.Context, json.RawMessage) (any, error) {
		return []link.ListenerCheck{{Name: "operator"}, {Name: "cloud"}}, nil
	})
	e.Answer(link.AskCertificate, func(context.Context, json.RawMessage) (any, error) {
		return link.CertificateState{Current: shown}, nil
	})
	e.Report(e.status)
	e.Start(conn)
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { defer close(done); e.follow(ctx) }()
	t.Cleanup(func() { cancel(); <-done; e.Close() })
}

// With the link, the zone and the certificates as a control node has them, a
// gateway becomes complete in seconds, is found by DNS, and goes.
func TestWithTheRestOfTheControlPlane(t *testing.T) {
	id := named("lab-1")
	server, err := link.Serve(link.ServerConfig{Node: "c1", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	conn, err := server.Conn(link.DialConfig{Node: "c1", Control: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	control, err := link.NewControl(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(control.Close)

	var zones *zone.Set
	w := build(t, storetest.New(t), func(w *world, c *gateway.Config) {
		zones, err = zone.New(t.Context(), zone.Config{
			Store: w.store, Suffix: suffix, Listen: netip.MustParseAddrPort("127.0.0.1:0"), NameServers: []zone.NameServer{{Name: "ns1.example"}},
			Resolvers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}, // nobody there
			Gateways:  func(ctx context.Context) ([]zone.Gateway, error) { return w.set.Zones(ctx) },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { zones.Close() })
		certificates, err := certificate.New(certificate.Config{Store: w.store, Edges: control})
		if err != nil {
			t.Fatal(err)
		}
		certificates.Start()
		t.Cleanup(certificates.Close)
		w.published = publish.NewSet(publish.Config{Store: w.store, Link: control, Input: func() (publish.Input, error) { return publish.Input{}, nil }})
		c.Edges, c.Publish, c.Zone, c.Certificates, c.NameServers = control, w.published, zones, certificates, zones.NameServers()
	})
	follow := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(follow)
		for {
			select {
			case <-control.Changed():
				_ = w.set.Changed(ctx)
				zones.Changed()
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-follow })

	_, op := w.put(id, two()) // before its edges are there
	join(t, server, "r1-a", "westeurope", "192.0.2.1", "r1."+base(id), "1r1."+base(id))
	join(t, server, "r2-a", "northeurope", "192.0.2.2", "r2."+base(id), "1r2."+base(id))
	w.complete(op.ID)
	r := w.get(id)
	if p := r.Properties; p.Status != "Complete" || !slices.Equal(p.AllocatedSignalingAddressPrefixes, []string{"192.0.2.1/32", "192.0.2.2/32"}) {
		t.Errorf("%+v", p)
	}
	contains(t, r.Advice, "NS ns1.example.")
	if got := lookUp(t, zones.Addr(), "1r2."+base(id)); !slices.Equal(got, []string{"192.0.2.2"}) {
		t.Errorf("1r2 is at %v", got)
	}
	if e, _ := control.Edge("r1-a"); e.Gateway != id.String() || e.Revision != 1 {
		t.Errorf("r1-a: %+v", e)
	}
	op, err = w.set.Delete(t.Context(), alice, id, none)
	if err != nil {
		t.Fatal(err)
	}
	w.complete(op.ID)
	if e, _ := control.Edge("r1-a"); e.Gateway != "" || e.State != link.Waiting {
		t.Errorf("r1-a: %+v", e)
	}
	if got := lookUp(t, zones.Addr(), "1r2."+base(id)); got != nil {
		t.Errorf("1r2 is at %v", got)
	}
	if _, err := w.set.Get(t.Context(), id); fault.Of(err) != fault.NotFound {
		t.Error(err)
	}
}

// lookUp asks a server for addresses.
func lookUp(t *testing.T, server netip.AddrPort, name string) (found []string) {
	t.Helper()
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA)
	answer, err := dns.ExchangeContext(t.Context(), q, server.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, rr := range answer.Answer {
		if a, ok := rr.(*dns.A); ok {
			found = append(found, a.A.String())
		}
	}
	return found
}
