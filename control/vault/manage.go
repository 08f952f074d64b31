package vault

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/subscription"
)

// defaultRetention is how long deleted things can be had back unless told
// otherwise, in days (Azure Key Vault docs, "Azure Key Vault soft-delete
// overview").
const defaultRetention = 90

// Put makes a vault, or changes it to what is said.
func (s *Set) Put(ctx context.Context, by subscription.Principal, id ID, doc Vault) (_ Resource, created bool, err error) {
	doc.Location = subscription.Normal(doc.Location)
	doc.RetentionDays = cmp.Or(doc.RetentionDays, defaultRetention)
	if err := s.check(id, doc); err != nil {
		return Resource{}, false, err
	}
	// Before the transaction: a keeper may be a service that takes its time.
	fresh, err := s.newRow(ctx, id)
	if err != nil {
		return Resource{}, false, err
	}
	var v *row
	err = s.Store.Write(ctx, func(tx *store.Tx) error {
		if v, err = s.load(ctx, tx, id.Name); err != nil {
			return err
		}
		if v != nil && !v.Deleted.IsZero() && !v.Purges.After(now()) {
			if err := v.erase(ctx, tx); err != nil {
				return err
			}
			v = nil
		}
		if created = v == nil; created {
			if s.Place != nil {
				if err := s.Place(ctx, tx, id.Subscription, id.Group); err != nil {
					return err
				}
			}
			v = new(row)
			*v = *fresh
		} else if err := v.mayBecome(id, doc); err != nil {
			return err
		}
		v.Vault = doc
		return s.change(ctx, tx, by, v, "vaults/write")
	})
	if err != nil {
		return Resource{}, false, err
	}
	return v.Resource, created, nil
}

// newRow is a vault without content, with a data key of its own.
func (s *Set) newRow(ctx context.Context, id ID) (*row, error) {
	v := &row{Resource: Resource{ID: id, Tenant: s.Tenant}, id: uuid.NewString()}
	_, plain, err := newDataKey()
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	v.dataKey, err = s.Keeper.Wrap(ctx, plain, about("data key", v.id))
	return v, err
}

// mayBecome refuses what cannot be changed.
func (v *row) mayBecome(id ID, doc Vault) error {
	switch {
	case !v.Deleted.IsZero() && v.at(id):
		return refuse(ErrTrashed, "A vault with the same name already exists in deleted state. You need to either recover or purge existing key vault.")
	case !v.at(id):
		return fault.New(fault.Conflict, fmt.Sprintf("The vault name '%s' is already in use. Vault names are unique in this deployment, those of deleted vaults among them.", id.Name))
	case v.Location != doc.Location:
		return fault.New(fault.Conflict, fmt.Sprintf("The vault '%s' already exists in location '%s': a vault cannot move.", v.ID.Name, v.Location))
	case v.RetentionDays != doc.RetentionDays:
		return invalid("softDeleteRetentionInDays is %d and cannot be changed.", v.RetentionDays)
	case v.PurgeGuard && !doc.PurgeGuard:
		return invalid("enablePurgeProtection cannot be set to false once it is true.")
	}
	return nil
}

// at tells whether the vault is in that place.
func (v *row) at(id ID) bool {
	return strings.EqualFold(v.ID.Subscription, id.Subscription) && strings.EqualFold(v.ID.Group, id.Group)
}

// change stores a vault with who changed it.
func (s *Set) change(ctx context.Context, tx *store.Tx, by subscription.Principal, v *row, action string) error {
	y := &v.System
	y.Changed, y.ChangedBy, y.ChangedKind = now(), cmp.Or(by.Name, by.Object), "User"
	if by.App != "" {
		y.ChangedBy, y.ChangedKind = by.App, "Application"
	}
	if y.Created.IsZero() {
		y.Created, y.CreatedBy, y.CreatedKind = y.Changed, y.ChangedBy, y.ChangedKind
	}
	if err := v.save(ctx, tx); err != nil {
		return err
	}
	return s.audit(ctx, tx, by, action, v.ID.String())
}

// find is the vault at exactly a place, that is not deleted.
func (s *Set) find(ctx context.Context, tx *store.Tx, id ID) (*row, error) {
	v, err := s.load(ctx, tx, id.Name)
	if err != nil {
		return nil, err
	}
	if v == nil || !v.at(id) || !v.Deleted.IsZero() {
		return nil, refuse(ErrNoVault, "The Resource 'Microsoft.KeyVault/vaults/%s' under resource group '%s' was not found.", id.Name, id.Group)
	}
	return v, nil
}

// Get is one vault.
func (s *Set) Get(ctx context.Context, id ID) (r Resource, err error) {
	err = s.Store.Read(ctx, func(tx *store.Tx) error {
		v, err := s.find(ctx, tx, id)
		if err == nil {
			r = v.Resource
		}
		return err
	})
	return r, err
}

// List is a page of the vaults of a subscription, or of one group in it.
func (s *Set) List(ctx context.Context, subscription, group string, p Page) ([]Resource, string, error) {
	return s.page(ctx, p, "subscription_key = ? AND (? = '' OR grp_key = ?) AND deleted = 0", lower(subscription), lower(group), lower(group))
}

// Deleted is a page of the deleted vaults of a subscription.
func (s *Set) Deleted(ctx context.Context, subscription string, p Page) ([]Resource, string, error) {
	return s.page(ctx, p, "subscription_key = ? AND deleted <> 0 AND purge > ?", lower(subscription), store.Micros(now()))
}

func (s *Set) page(ctx context.Context, p Page, where string, args ...any) (list []Resource, next string, err error) {
	if p.Limit < 1 {
		p.Limit = mostInPage
	}
	var found []*row
	err = s.Store.Read(ctx, func(tx *store.Tx) error {
		found, err = s.loadAll(ctx, tx, "WHERE "+where+" AND name_key > ? ORDER BY name_key LIMIT ?", append(args, p.After, p.Limit+1)...)
		return err
	})
	if len(found) > p.Limit {
		found = found[:p.Limit]
		next = lower(found[p.Limit-1].ID.Name)
	}
	for _, v := range found {
		list = append(list, v.Resource)
	}
	return list, next, err
}

// Alter changes a vault by f, which sees it as it is.
func (s *Set) Alter(ctx context.Context, by subscription.Principal, id ID, action string, f func(*Vault) error) (r Resource, err error) {
	err = s.Store.Write(ctx, func(tx *store.Tx) error {
		v, err := s.find(ctx, tx, id)
		if err != nil {
			return err
		}
		doc := v.Vault
		doc.Policies = slices.Clone(doc.Policies)
		if err := f(&doc); err != nil {
			return err
		}
		if err := s.check(v.ID, doc); err != nil {
			return err
		}
		if err := v.mayBecome(v.ID, doc); err != nil {
			return err
		}
		v.Vault = doc
		err = s.change(ctx, tx, by, v, action)
		r = v.Resource
		return err
	})
	return r, err
}

// The ways to change access policies.
const (
	AddPolicies     = "add"     // the permissions said are added
	ReplacePolicies = "replace" // the permissions of the principals said are those said
	RemovePolicies  = "remove"  // the permissions said are taken away
)

// ChangePolicies changes the access policies of the principals named, and of
// nobody else (Azure Key Vault REST docs, "Vaults - Update Access Policy").
func (s *Set) ChangePolicies(ctx context.Context, by subscription.Principal, id ID, how string, said []Policy) (Resource, error) {
	return s.Alter(ctx, by, id, "vaults/accessPolicies/write", func(v *Vault) error {
		for _, p := range said {
			i := slices.IndexFunc(v.Policies, p.same)
			switch {
			case i < 0 && how != RemovePolicies:
				v.Policies = append(v.Policies, p)
			case i >= 0:
				v.Policies[i] = v.Policies[i].combine(how, p)
			}
		}
		v.Policies = slices.DeleteFunc(v.Policies, func(p Policy) bool {
			return how == RemovePolicies && len(p.Secrets) == 0 && len(p.Others) == 0
		})
		return nil
	})
}

// same tells whether two policies are of one principal.
func (p Policy) same(q Policy) bool {
	return strings.EqualFold(p.Tenant, q.Tenant) && strings.EqualFold(p.Object, q.Object) && strings.EqualFold(p.Application, q.Application)
}

func (p Policy) combine(how string, q Policy) Policy {
	switch how {
	case AddPolicies:
		p.Secrets = with(p.Secrets, q.Secrets)
		others := map[string][]string{}
		for _, from := range []map[string][]string{p.Others, q.Others} {
			for kind, list := range from {
				others[kind] = with(others[kind], list)
			}
		}
		p.Others = others
		return p
	case RemovePolicies:
		p.Secrets = without(p.Secrets, q.Secrets)
		others := map[string][]string{}
		for kind, list := range p.Others {
			if left := without(list, q.Others[kind]); len(left) > 0 {
				others[kind] = left
			}
		}
		p.Others = others
		return p
	}
	return q
}

func with[T comparable](list, more []T) []T {
	list = slices.Clone(list)
	for _, x := range more {
		if !slices.Contains(list, x) {
			list = append(list, x)
		}
	}
	return list
}

func without[T comparable](list, less []T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(x T) bool { return slices.Contains(less, x) })
}

// Delete puts a vault with all that is in it aside; it can be had back until
// Purges. Its secrets cannot be reached in the meantime.
func (s *Set) Delete(ctx context.Context, by subscription.Principal, id ID) error {
	return s.Store.Write(ctx, func(tx *store.Tx) error {
		v, err := s.find(ctx, tx, id)
		if err != nil {
			return err
		}
		v.Deleted = now()
		v.Purges = v.Deleted.AddDate(0, 0, v.RetentionDays)
		// A private endpoint is of the vault that it asked for (Azure Key Vault
		// docs, "Azure Key Vault recovery management").
		v.Connections = nil
		return s.change(ctx, tx, by, v, "vaults/delete")
	})
}

// trash is the deleted vault of a name in a subscription.
func (s *Set) trash(ctx context.Context, tx *store.Tx, subscription, name string) (*row, error) {
	v, err := s.load(ctx, tx, name)
	if err != nil {
		return nil, err
	}
	if v == nil || !strings.EqualFold(v.ID.Subscription, subscription) || v.Deleted.IsZero() || !v.Purges.After(now()) {
		return nil, refuse(ErrNoVault, "There is no deleted vault '%.100s' in this subscription.", name)
	}
	return v, nil
}

// GetDeleted is one deleted vault.
func (s *Set) GetDeleted(ctx context.Context, subscription, name string) (r Resource, err error) {
	err = s.Store.Read(ctx, func(tx *store.Tx) error {
		v, err := s.trash(ctx, tx, subscription, name)
		if err == nil {
			r = v.Resource
		}
		return err
	})
	return r, err
}

// Recover has a deleted vault back as it was, but for private endpoints.
func (s *Set) Recover(ctx context.Context, by subscription.Principal, id ID) (r Resource, err error) {
	err = s.Store.Write(ctx, func(tx *store.Tx) error {
		v, err := s.trash(ctx, tx, id.Subscription, id.Name)
		if err != nil {
			return err
		}
		if !v.at(id) {
			return fault.New(fault.Conflict, fmt.Sprintf("The deleted vault '%s' is of resource group '%s': recover it there.", v.ID.Name, v.ID.Group))
		}
		if s.Place != nil {
			if err := s.Place(ctx, tx, v.ID.Subscription, v.ID.Group); err != nil {
				return err
			}
		}
		v.Deleted, v.Purges = time.Time{}, time.Time{}
		if err := s.change(ctx, tx, by, v, "vaults/write"); err != nil {
			return err
		}
		r = v.Resource
		return nil
	})
	return r, err
}

// PurgeVault removes a deleted vault for good, with the key of all that was in
// it.
func (s *Set) PurgeVault(ctx context.Context, by subscription.Principal, sub, name string) error {
	return s.Store.Write(ctx, func(tx *store.Tx) error {
		v, err := s.trash(ctx, tx, sub, name)
		if err != nil {
			return err
		}
		if v.PurgeGuard {
			return refuse(ErrGuarded, "The vault '%s' has purge protection: it goes by itself on %s.", v.ID.Name, v.Purges.Format("2006-01-02"))
		}
		if err := v.erase(ctx, tx); err != nil {
			return err
		}
		tx.After(func() { s.keys.forget(v.id) })
		return s.audit(ctx, tx, by, "locations/deletedVaults/purge/action", v.ID.String())
	})
}

// Free tells whether a name can be given to a vault, and if not, why.
func (s *Set) Free(ctx context.Context, name string) (reason, message string, err error) {
	if !vaultName(name) {
		return "AccountNameInvalid", badName, nil
	}
	err = s.Store.Read(ctx, func(tx *store.Tx) error {
		v, err := s.load(ctx, tx, name)
		if v != nil {
			reason, message = "AlreadyExists", "The vault name '"+name+"' is already in use, by a vault or by a deleted one that can be had back."
		}
		return err
	})
	return reason, message, err
}
