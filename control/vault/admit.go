package vault

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/subscription"
)

// enter is the vault of a name, for a caller who may do something with its
// secrets. Everything that concerns secrets begins here, and what changes them
// comes here again in the transaction of the change.
func (s *Set) enter(ctx context.Context, tx *store.Tx, by Caller, vault string, may Permission) (*row, error) {
	// Somebody of another tenant does not even learn which vaults there are.
	if !strings.EqualFold(by.Tenant, s.Tenant) {
		return nil, refuse(ErrTenant, "The token is of another tenant: this deployment's is '%s'.", s.Tenant)
	}
	v, err := s.load(ctx, tx, vault)
	if err != nil {
		return nil, err
	}
	if v == nil || !v.Deleted.IsZero() {
		return nil, refuse(ErrNoVault, "There is no vault '%.100s'.", vault)
	}
	if err := v.admit(by.From); err != nil {
		return nil, err
	}
	if !v.allows(by.Principal, may) {
		return nil, refuse(ErrPolicy, "The user, group or application 'appid=%s;oid=%s' does not have secrets %s permission on key vault '%s'.", by.App, by.Object, may, v.ID.Name)
	}
	return v, nil
}

// visit is enter in a transaction of its own, for what needs the data key
// before it reads or writes: a keeper may be a service that takes its time.
func (s *Set) visit(ctx context.Context, by Caller, vault string, may Permission) (v *row, err error) {
	err = s.Store.Read(ctx, func(tx *store.Tx) error {
		v, err = s.enter(ctx, tx, by, vault, may)
		return err
	})
	return v, err
}

// May tells whether a caller may do something, for who must know it before a
// large request is read. Every other function asks by itself.
func (s *Set) May(ctx context.Context, by Caller, vault string, may Permission) error {
	_, err := s.visit(ctx, by, vault, may)
	return err
}

// admit decides by the address that a request comes from (Azure Key Vault
// docs, "Configure network security for Azure Key Vault"). An approved private
// endpoint is let in whatever the rules are, and one that only asked is
// nothing yet.
func (r *Resource) admit(from netip.Addr) error {
	if !from.IsValid() {
		return nil
	}
	from = from.Unmap().WithZone("")
	within := func(p netip.Prefix) bool { return p.Contains(from) }
	for _, c := range r.Connections {
		if c.State == Approved && slices.ContainsFunc(c.Sources, within) {
			return nil
		}
	}
	switch {
	case r.Network.Private:
		return refuse(ErrConnection, "Public network access is disabled and request is not from an approved private endpoint. Client address: %s. Vault: %s.", from, r.ID.Name)
	case r.Network.Deny && !slices.ContainsFunc(r.Network.Allowed, within):
		return refuse(ErrFirewall, "Client address is not authorized and caller is not a trusted service. Client address: %s. Vault: %s.", from, r.ID.Name)
	}
	return nil
}

// allows tells whether an access policy lets a principal do it. A policy that
// names an application counts only when that application asks.
func (r *Resource) allows(p subscription.Principal, may Permission) bool {
	return p.Object != "" && slices.ContainsFunc(r.Policies, func(a Policy) bool {
		return strings.EqualFold(a.Tenant, p.Tenant) && strings.EqualFold(a.Object, p.Object) && (a.Application == "" || strings.EqualFold(a.Application, p.App)) &&
			(slices.Contains(a.Secrets, may) || slices.Contains(a.Secrets, All))
	})
}

// audit tells the trail of a change.
func (s *Set) audit(ctx context.Context, tx *store.Tx, by subscription.Principal, action, resource string) error {
	if s.Audit == nil {
		return nil
	}
	e := subscription.Entry{Action: "Microsoft.KeyVault/" + action, Resource: resource, Outcome: "Succeeded", Request: subscription.RequestOf(ctx)}
	if e.Request.Principal == (subscription.Principal{}) {
		e.Request.Principal = by
	}
	return s.Audit(ctx, tx, e)
}

// auditSecret is audit of a change of a secret.
func (s *Set) auditSecret(ctx context.Context, tx *store.Tx, by Caller, v *row, what string) error {
	action, name, _ := strings.Cut(what, " ")
	return s.audit(ctx, tx, by.Principal, fmt.Sprintf("vaults/secrets/%s/action", action), v.ID.String()+"/secrets/"+name)
}
