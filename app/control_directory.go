package app

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/subscription"
)

// whoever is the directory for those who give roles to what is in it. It is
// opened after them: its keys are sealed with the key of the vaults, which ask
// who may.
type whoever struct{ p *plane }

func (x whoever) Memberships(ctx context.Context, tx *store.Tx, object string) ([]string, error) {
	return x.p.directory.Memberships(ctx, tx, object)
}

func (x whoever) KindOf(ctx context.Context, tx *store.Tx, tenant, object string) (string, error) {
	return x.p.directory.KindOf(ctx, tx, tenant, object)
}

// lookUp asks the resolvers of the configuration in turn, since one that is
// silent is noticed only by whoever waits for its answer; none: the machine's.
func lookUp(servers []netip.AddrPort) *net.Resolver {
	if len(servers) == 0 {
		return net.DefaultResolver
	}
	var asked atomic.Uint32
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (conn net.Conn, err error) {
		first := int(asked.Add(1) - 1)
		for i := range servers {
			if conn, err = new(net.Dialer).DialContext(ctx, network, servers[(first+i)%len(servers)].String()); err == nil {
				return conn, nil
			}
		}
		return nil, err
	}}
}

// auditDirectory writes what changes in the directory into the trail that the
// resources have.
func (p *plane) auditDirectory(ctx context.Context, tx *store.Tx, c directory.Change) error {
	r := subscription.RequestOf(ctx)
	if r.Principal == (subscription.Principal{}) {
		r.Principal = subscription.Principal{Tenant: c.By.Tenant, Object: cmp.Or(c.By.Object, c.By.String()), App: c.By.App, Name: c.By.Name}
	}
	return p.subscriptions.Audit(ctx, tx, subscription.Entry{Request: r, Action: c.Action, Resource: c.Target, Outcome: c.Outcome})
}

// auditMany writes what is counted there.
func (p *plane) auditMany(ctx context.Context, tx *store.Tx, t directory.Tally) error {
	by := t.By
	return p.subscriptions.AuditMany(ctx, tx, t.Key, subscription.Entry{
		At: t.First, Latest: t.Last, Times: t.Times, Action: t.Action, Resource: t.Target, Outcome: t.Outcome,
		Request: subscription.Request{Source: t.Source, Principal: subscription.Principal{Tenant: by.Tenant, Object: cmp.Or(by.Object, by.App), App: by.App, Name: by.Name}},
	})
}
