package app

import (
	"context"
	"fmt"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/control/operatorconnect"
)

// asGateway is Operator Connect, asked as a gateway: by its identity in the
// directory of the operator, or by the registration that asks for all of them.
// "" is the only gateway that there is.
func (n *Node) asGateway(ctx context.Context, name string) (*operatorconnect.Client, error) {
	p := n.plane.Load()
	switch {
	case p == nil:
		return nil, errStarting
	case p.connect == nil:
		return nil, fault.New(fault.NotFound, "no Operator Connect environment is configured: name one as control.onboard.operatorConnect.url")
	}
	g, err := p.gatewayNamed(ctx, name)
	if err != nil {
		return nil, err
	}
	if p.registered != nil {
		return p.registered.client, nil
	}
	found, err := p.tenant.Directory.PrincipalsNamed(ctx, g.ID.Name)
	switch {
	case err != nil:
		return nil, err
	case len(found) != 1:
		return nil, fault.New(fault.Conflict, fmt.Sprintf("the directory has %d enterprise applications named %s, where the gateway's identity is the only one", len(found), g.ID.Name))
	}
	a := onboard.Asker{Application: found[0].AppID, Principal: found[0].ID}
	if g.Identity != nil {
		a.Vouched = g.Identity.PrincipalID
	}
	return p.connect(a)
}

// gatewayNamed is the gateway of a name, of whatever subscription and group.
func (p *plane) gatewayNamed(ctx context.Context, name string) (g gateway.Resource, err error) {
	var found []gateway.Resource
	for _, s := range p.cfg.Subscriptions {
		for page := (gateway.Page{}); ; {
			list, next, err := p.gateways.List(ctx, gateway.Scope{Subscription: s.ID}, page)
			if err != nil {
				return g, err
			}
			for _, x := range list {
				if name == "" || strings.EqualFold(x.ID.Name, name) {
					found = append(found, x)
				}
			}
			if next == "" {
				break
			}
			page.After = next
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0:
		return g, fault.New(fault.NotFound, strings.TrimSpace("there is no gateway "+name))
	}
	return g, fault.New(fault.Conflict, fmt.Sprintf("%d gateways could be meant: name one", len(found)))
}
