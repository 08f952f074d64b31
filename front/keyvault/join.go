package keyvault

import (
	"context"
	"regexp"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/vault"
)

// Contents is the vaults of a resource group, for subscription.Set.Register:
// neither of the two rooms knows the other's resources.
type Contents struct{ Vaults *vault.Set }

// In names the vaults of a group.
func (c Contents) In(ctx context.Context, sub, group string) (ids []string, err error) {
	for after := ""; ; {
		page, next, err := c.Vaults.List(ctx, sub, group, vault.Page{After: after})
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

var idForm = regexp.MustCompile(`(?i)^/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/Microsoft\.KeyVault/vaults/([^/]+)$`)

// Remove deletes a vault, which can be had back in a group of the same name.
func (c Contents) Remove(ctx context.Context, actor, id string) error {
	m := idForm.FindStringSubmatch(id)
	if m == nil {
		return fault.New(fault.Invalid, "not the ID of a vault")
	}
	err := c.Vaults.Delete(ctx, subscription.Principal{Object: actor, App: actor}, vault.ID{Subscription: m[1], Group: m[2], Name: m[3]})
	if fault.Of(err) == fault.NotFound {
		return nil
	}
	return err
}
