package app

import (
	"context"
	"fmt"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/record"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/subscription"
)

// openRecords opens the stores of the management regions that keep the calls of
// their gateways apart.
func (p *plane) openRecords(ctx context.Context) error {
	apart := map[string]*store.Store{}
	for _, l := range p.cfg.Locations {
		if l.Store == "" {
			continue
		}
		s, err := store.Open(ctx, store.Config{URL: l.Store, Log: p.n.log})
		if err != nil {
			return fmt.Errorf("store of %s: %w", l.Name, err)
		}
		p.n.onStop(func() {
			if err := s.Close(); err != nil {
				p.n.log.Error("close the store of a region", obs.KeyRegion, l.Name, obs.KeyError, err)
			}
		})
		apart[l.Name] = s
	}
	p.calls = record.Split(p.store, apart, p.managedIn)
	return nil
}

// managedIn is the management region of a gateway.
func (p *plane) managedIn(ctx context.Context, id string) (string, error) {
	at, err := gateway.ParseID(id)
	if err != nil {
		return "", nil // of a node from before it had a control plane
	}
	r, err := p.gateways.Get(ctx, at)
	if fault.Of(err) == fault.NotFound {
		return "", nil
	}
	return subscription.Normal(r.Location), err
}
