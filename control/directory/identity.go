package directory

import (
	"context"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
)

// Identity is the managed identity of a resource that is to be.
type Identity struct {
	Tenant   string // "": the deployment's own
	Resource string // ID in the resource API
	Name     string // the resource's: the principal is found by it
	Object   string // ID of the principal; "" for a new one
	Disabled bool   // the resource uses it no longer, and may again
}

// MakeManagedIdentity makes the service principal of a resource what it is to
// be, in the transaction of the resource. It has no secret: the deployment
// alone signs in with it, by IssueFor.
func (s *Set) MakeManagedIdentity(ctx context.Context, tx *store.Tx, id Identity) (ServicePrincipal, error) {
	if id.Tenant == "" {
		id.Tenant = s.Tenant().ID
	}
	id.Tenant = strings.ToLower(id.Tenant)
	p, err := s.ManagedIdentity(ctx, tx, id.Tenant, id.Resource)
	if fault.Of(err) == fault.NotFound {
		if id.Disabled {
			return ServicePrincipal{}, nil
		}
		p = ServicePrincipal{ID: strings.ToLower(id.Object), Tenant: id.Tenant, AppID: newID(), DisplayName: id.Name, Enabled: !id.Disabled, Resource: id.Resource, Created: now()}
		if p.ID == "" {
			p.ID = newID()
		}
		if err := insertPrincipal(ctx, tx, p); err != nil {
			return p, err
		}
		if p, err = s.describe(ctx, tx, p); err != nil {
			return p, err
		}
		return p, s.tell(ctx, tx, Change{Ourselves(p.Tenant, ""), "microsoft.directory/servicePrincipals/create", target(p.Tenant, "servicePrincipals", p.ID), "Succeeded"})
	}
	if err != nil || p.Enabled == !id.Disabled {
		return p, err
	}
	p.Enabled = !id.Disabled
	if err := savePrincipal(ctx, tx, p); err != nil {
		return p, err
	}
	return p, s.tell(ctx, tx, Change{Ourselves(p.Tenant, ""), "microsoft.directory/servicePrincipals/update", target(p.Tenant, "servicePrincipals", p.ID), "Succeeded"})
}

// ManagedIdentity is that of a resource.
func (s *Set) ManagedIdentity(ctx context.Context, tx *store.Tx, tenant, resource string) (ServicePrincipal, error) {
	p, err := scanPrincipal(tx.Row(ctx, principalColumns+"WHERE resource <> '' AND tenant = ? AND resource = ?", strings.ToLower(tenant), strings.ToLower(resource)).Scan)
	if err != nil {
		return p, orMissing(err, "managed identity", resource)
	}
	return s.describe(ctx, tx, p)
}

// DropManagedIdentity takes the identity of a resource away with all that was
// given to it, in the transaction that deletes the resource.
func (s *Set) DropManagedIdentity(ctx context.Context, tx *store.Tx, resource string) error {
	found, err := store.All(ctx, tx, scanPrincipal, principalColumns+"WHERE resource <> '' AND resource = ?", strings.ToLower(resource))
	for _, p := range found {
		if err := s.erasePrincipal(ctx, tx, p); err != nil {
			return err
		}
		if err := s.tell(ctx, tx, Change{Ourselves(p.Tenant, ""), "microsoft.directory/servicePrincipals/delete", target(p.Tenant, "servicePrincipals", p.ID), "Succeeded"}); err != nil {
			return err
		}
	}
	return err
}
