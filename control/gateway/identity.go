package gateway

import (
	"context"
	"fmt"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
)

// identities is the directory, which has a service principal for each gateway.
type identities interface {
	ManagedIdentity(ctx context.Context, tx *store.Tx, tenant, resource string) (directory.ServicePrincipal, error)
	MakeManagedIdentity(ctx context.Context, tx *store.Tx, id directory.Identity) (directory.ServicePrincipal, error)
	DropManagedIdentity(ctx context.Context, tx *store.Tx, resource string) error
}

// embody makes the gateway's service principal what its identity says: called
// like the gateway, and with the ID that the resource shows. While the gateway
// has none by its type, the principal is kept and may not sign in.
func (s *Set) embody(ctx context.Context, tx *store.Tx, r *row) error {
	if s.cfg.Identities == nil || r.Identity == nil || r.Identity.PrincipalID == "" {
		return nil
	}
	p, err := s.cfg.Identities.MakeManagedIdentity(ctx, tx, directory.Identity{
		Tenant: r.Identity.TenantID, Resource: r.ID.String(), Name: r.ID.Name, Object: r.Identity.PrincipalID, Disabled: !r.Identity.system(),
	})
	if err == nil && p.ID != "" && !strings.EqualFold(p.ID, r.Identity.PrincipalID) {
		err = fault.New(fault.Conflict, fmt.Sprintf("the directory has %s as the principal of gateway %s, which says %s: delete the gateway and make it again", p.ID, r.ID.Name, r.Identity.PrincipalID))
	}
	return err
}

// system tells whether the gateway has an identity of its own.
func (i *Identity) system() bool { return strings.Contains(i.Type, "SystemAssigned") }

// applyIdentity: the gateway has an identity, which it was given when it was
// made, and the directory knows it.
func (s *Set) applyIdentity(ctx context.Context, job *operation.Job, r *row) error {
	if r.Identity == nil || r.Identity.PrincipalID == "" {
		return operation.Fail(codeIdentity, "the gateway has no identity: delete it and make it again")
	}
	err := job.Write(ctx, func(tx *store.Tx) error { return s.embody(ctx, tx, r) })
	if fault.Of(err) == fault.Conflict {
		return operation.Fail(codeIdentity, err.Error())
	}
	return err
}

// embodied tells whether the directory has what embody would make.
func (s *Set) embodied(ctx context.Context, tx *store.Tx, r *row) (bool, error) {
	if r.Identity == nil || r.Identity.PrincipalID == "" {
		return true, nil
	}
	p, err := s.cfg.Identities.ManagedIdentity(ctx, tx, r.Identity.TenantID, r.ID.String())
	if fault.Of(err) == fault.NotFound {
		return !r.Identity.system(), nil
	}
	return strings.EqualFold(p.ID, r.Identity.PrincipalID) && p.Enabled == r.Identity.system(), err
}

// Embody sees to it that the directory has a service principal for each
// gateway: those that were made before it kept any have none. What it knows
// otherwise is told, and keeps no node from starting. What was done before an
// error is not done again.
func (s *Set) Embody(ctx context.Context) error {
	if s.cfg.Identities == nil {
		return nil
	}
	for after := ""; ; {
		var rows []*row
		var lacking []ID
		err := s.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
			lacking = nil
			if rows, err = loadAll(ctx, tx, "WHERE g.key > ? AND g.state <> ? ORDER BY g.key LIMIT ?", after, Deleting, atOnce); err != nil {
				return err
			}
			for _, r := range rows {
				is, err := s.embodied(ctx, tx, r)
				if err != nil {
					return err
				}
				if !is {
					lacking = append(lacking, r.ID)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := s.embodyThese(ctx, lacking); err != nil {
			return err
		}
		if len(rows) < atOnce {
			return nil
		}
		after = rows[atOnce-1].key()
	}
}

// embodyThese embodies gateways in one transaction.
func (s *Set) embodyThese(ctx context.Context, ids []ID) error {
	if len(ids) == 0 {
		return nil
	}
	return s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		for _, id := range ids {
			r, err := load(ctx, tx, id)
			if err != nil {
				return err
			}
			if r == nil || r.deleting() {
				continue
			}
			switch err := s.embody(ctx, tx, r); {
			case fault.Of(err) == fault.Conflict:
				s.log.Error("a gateway's identity is not the directory's", "gateway", r.ID.String(), obs.KeyError, err)
			case err != nil:
				return err
			}
		}
		return nil
	})
}
