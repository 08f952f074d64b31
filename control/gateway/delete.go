package gateway

import (
	"context"
	"fmt"

	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
)

// deleteWithdraw: nobody finds the gateway any more, and its edges take no new
// call. The snapshot is taken from them: they end what goes on as if they were
// stopping, and wait for another gateway.
func (s *Set) deleteWithdraw(ctx context.Context, _ *operation.Job, r *row) error {
	if r == nil {
		return nil
	}
	if s.cfg.Zone != nil {
		if err := s.cfg.Zone.Refresh(ctx); err != nil {
			return err
		}
	}
	mine, _, err := s.nodes(ctx, r)
	if err != nil {
		return err
	}
	var nodes []string
	for _, a := range mine {
		nodes = append(nodes, a.node)
	}
	return s.cfg.Publish.Withdraw(ctx, r.ID, nodes)
}

// deleteDrain: calls that were there have ended. An edge that is away is not
// waited for: it finds the withdrawal when it comes back.
func (s *Set) deleteDrain(ctx context.Context, job *operation.Job, r *row) error {
	if r == nil {
		return nil
	}
	mine, status, err := s.nodes(ctx, r)
	if err != nil {
		return err
	}
	waited := waited(job)
	if waited > s.cfg.Drain {
		return nil // the edges' own patience is over too
	}
	for _, a := range mine {
		if e := status[a.node]; e.Live && e.Gateway == r.ID.String() {
			what := fmt.Sprintf("%d calls go on at edge %s", e.Calls, a.node)
			if e.Calls == 0 {
				what = "edge " + a.node + " has not heard of it yet"
			}
			return operation.Wait(again(waited), what)
		}
	}
	return nil
}

// deleteClean: nothing is left.
func (s *Set) deleteClean(ctx context.Context, job *operation.Job, r *row) error {
	if r == nil {
		return nil
	}
	return job.Write(ctx, func(tx *store.Tx) error {
		mine, err := assignments(ctx, tx, r.key())
		if err != nil {
			return err
		}
		for _, a := range mine {
			if err := s.release(ctx, tx, a.node); err != nil {
				return err
			}
		}
		if s.cfg.Zone != nil {
			if err := s.cfg.Zone.Forget(ctx, tx, s.base(r)); err != nil {
				return err
			}
		}
		if s.cfg.Identities != nil {
			if err := s.cfg.Identities.DropManagedIdentity(ctx, tx, r.ID.String()); err != nil {
				return err
			}
		}
		return r.erase(ctx, tx)
	})
}
