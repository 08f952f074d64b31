package app

import (
	"context"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/front/ops"
)

// auditTrail shows the trail at the control socket, what is still counted
// included.
func (n *Node) auditTrail(ctx context.Context, f ops.AuditFilter) (list []ops.AuditLine, err error) {
	p := n.plane.Load()
	if p == nil {
		return nil, errStarting
	}
	if err := p.directory.Flush(ctx); err != nil {
		p.n.log.Error("the audit trail is shown without what was counted last", obs.KeyError, err)
	}
	lines, err := p.subscriptions.Trail(ctx, subscription.Span{
		Scope: f.Scope, Since: f.Since, Until: f.Until, Limit: f.Limit, Who: f.Who, Action: f.Action, Source: f.Source, Refused: f.Refused, Last: true,
	})
	for _, e := range lines {
		r := e.Request
		list = append(list, ops.AuditLine{
			ID: e.ID, At: e.At, Latest: e.Latest, Times: e.Times, Principal: r.Principal.Object, Name: r.Principal.Name,
			Action: e.Action, Resource: e.Resource, Outcome: e.Outcome, Source: r.Source, Request: r.ID,
		})
	}
	return list, err
}
