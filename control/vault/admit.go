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
	allowed := v.allows(by.Principal, by.Object, may)
	if !allowed {
		if allowed, err = s.allowsGroup(ctx, tx, v, by, may); err != nil {
			return nil, err
		}
	}
	if !allowed {
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

// allows tells whether an access policy of an object, which is the principal or
// a group that it is in, lets it do something. A policy that names an
// application counts only when that application asks.
func (r *Resource) allows(p subscription.Principal, object string, may Permission) bool {
	return object != "" && slices.ContainsFunc(r.Policies, func(a Policy) bool {
		return strings.EqualFold(a.Tenant, p.Tenant) && strings.EqualFold(a.Object, object) && (a.Application == "" || strings.EqualFold(a.Application, p.App)) &&
			(slices.Contains(a.Secrets, may) || slices.Contains(a.Secrets, All))
	})
}

// allowsGroup tells whether a policy of one of the caller's groups lets it do
// something. Our own directory is asked in the same transaction, so that whoever
// left a group a moment ago is out of it here too.
func (s *Set) allowsGroup(ctx context.Context, tx *store.Tx, v *row, by Caller, may Permission) (bool, error) {
	groups := by.Groups
	if s.Memberships != nil {
		var err error
		if groups, err = s.Memberships(ctx, tx, by.Object); err != nil {
			return false, fmt.Errorf("look up the caller's groups: %w", err)
		}
	}
	return slices.ContainsFunc(groups, func(g string) bool { return v.allows(by.Principal, g, may) }), nil
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
