package arm

import (
	"context"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/subscription"
)

// Contents is what resource groups hold, for subscription.Set.Register:
// neither of the two rooms knows the other's resources.
type Contents struct{ Gateways *gateway.Set }

// In names the gateways of a group.
func (c Contents) In(ctx context.Context, sub, group string) (ids []string, err error) {
	for after := ""; ; {
		page, next, err := c.Gateways.List(ctx, gateway.Scope{Subscription: sub, Group: group}, gateway.Page{After: after, Limit: mostInPage})
		if err != nil {
			return nil, err
		}
		for _, r := range page {
			ids = append(ids, r.ID.String())
		}
		if after = next; next == "" {
			return ids, nil
		}
	}
}

// Remove begins to delete a gateway.
func (c Contents) Remove(ctx context.Context, actor, id string) error {
	parsed, err := gateway.ParseID(id)
	if err != nil {
		return err
	}
	_, err = c.Gateways.Delete(ctx, gateway.Actor{Name: actor, Kind: "Application"}, parsed, gateway.Match{})
	if fault.Of(err) == fault.NotFound {
		return nil
	}
	return err
}

// Place is gateway.Config.Place: gateways are made in groups that exist.
func Place(s *subscription.Set) func(context.Context, *store.Tx, gateway.ID) error {
	return func(ctx context.Context, tx *store.Tx, id gateway.ID) error {
		return s.Place(ctx, tx, id.Subscription, id.Group)
	}
}

// Audit is gateway.Config.Audit: the trail has a line for each change, in the
// transaction of the change.
func Audit(s *subscription.Set) func(context.Context, *store.Tx, gateway.Change) error {
	return func(ctx context.Context, tx *store.Tx, c gateway.Change) error {
		e := subscription.Entry{Action: actionOf(c), Resource: c.Resource, Outcome: "Succeeded", Request: subscription.RequestOf(ctx)}
		if e.Request.Principal == (subscription.Principal{}) {
			e.Request.Principal.Object = c.By.Name // of an operation, on behalf of whom it was
		}
		return s.Audit(ctx, tx, e)
	}
}

// actionOf is the resource API's word for a change.
func actionOf(c gateway.Change) string {
	kind := gatewayType
	if strings.Contains(strings.ToLower(c.Resource), "/testlines/") {
		kind = testLineType
	}
	if c.Action == "delete" {
		return kind + "/delete"
	}
	return kind + "/write"
}
