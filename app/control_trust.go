package app

import (
	"context"
	"errors"
	"slices"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/link"
	records "github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
)

// ofOperator is the side of the core.
const ofOperator = records.Side(snapshot.Operator)

// Peers are those of the operator's network, as a gateway's edges see them. An
// edge that does not answer hides none of the others'.
func (p *plane) Peers(ctx context.Context, id gateway.ID) (all []records.PeerHealth, err error) {
	edges, err := p.gateways.Edges(ctx, id)
	if err != nil {
		return nil, err
	}
	var failed []error
	for _, e := range edges {
		var list []records.PeerHealth
		limit, cancel := context.WithTimeout(ctx, askTime)
		err := p.link.Ask(limit, e.Node, link.AskPeers, nil, &list)
		cancel()
		failed = append(failed, err)
		all = append(all, slices.DeleteFunc(list, func(h records.PeerHealth) bool { return h.Side != ofOperator })...)
	}
	if all == nil {
		return nil, errors.Join(failed...)
	}
	return all, nil
}

// Shown are the certificates that a gateway's edges show to the operator's
// network.
func (p *plane) Shown(ctx context.Context, id gateway.ID) (map[string][]link.Certificate, error) {
	edges, err := p.gateways.Edges(ctx, id)
	if err != nil {
		return nil, err
	}
	all := map[string][]link.Certificate{}
	for _, s := range p.link.Edges() {
		if !slices.ContainsFunc(edges, func(e gateway.Edge) bool { return e.Node == s.Node }) {
			continue
		}
		for _, l := range s.Listeners {
			if l.Side == string(ofOperator) && l.Certificate != nil {
				all[s.Node] = append(all[s.Node], *l.Certificate)
			}
		}
	}
	return all, nil
}
