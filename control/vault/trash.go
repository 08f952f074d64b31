package vault

import (
	"context"
	"strings"

	"github.com/tandemgw/tandem/control/store"
)

func lower(s string) string { return strings.ToLower(s) }

// DeleteSecret puts a secret with all its versions aside; it can be had back
// until Purges.
func (s *Set) DeleteSecret(ctx context.Context, by Caller, ref Ref) (Secret, error) {
	return s.move(ctx, by, ref, Delete, func(v *row, h *head) error {
		if !h.deleted.IsZero() {
			return noSecret(ref)
		}
		h.deleted = now()
		h.purges = h.deleted.AddDate(0, 0, v.RetentionDays)
		return nil
	})
}

// RecoverSecret has a deleted secret back.
func (s *Set) RecoverSecret(ctx context.Context, by Caller, ref Ref) (Secret, error) {
	return s.move(ctx, by, ref, Recover, func(_ *row, h *head) error {
		if !h.trashed() {
			return noDeleted(ref)
		}
		*h = head{name: h.name, latest: h.latest}
		return nil
	})
}

// trashed tells that the secret was deleted and is not due.
func (h *head) trashed() bool { return !h.deleted.IsZero() && h.purges.After(now()) }

// room is the secret of a name that a version can be added to, nil when there
// is none. One that is due makes room; one that can be had back does not.
func (v *row) room(ctx context.Context, tx *store.Tx, ref Ref) (*head, error) {
	h, err := v.loadHead(ctx, tx, ref.Name)
	switch {
	case err != nil || h == nil || h.deleted.IsZero():
		return h, err
	case h.trashed():
		return nil, trashed(ref)
	}
	return nil, v.eraseSecret(ctx, tx, ref.Name)
}

func noDeleted(ref Ref) error {
	return refuse(ErrNoSecret, "Deleted secret not found: %s.", ref.Name)
}

// move changes the head of a secret and shows its latest version.
func (s *Set) move(ctx context.Context, by Caller, ref Ref, may Permission, change func(*row, *head) error) (x Secret, err error) {
	err = s.Store.Write(ctx, func(tx *store.Tx) error {
		v, err := s.enter(ctx, tx, by, ref.Vault, may)
		if err != nil {
			return err
		}
		if err := (Ref{Name: ref.Name}).check(); err != nil {
			return err
		}
		h, err := v.loadHead(ctx, tx, ref.Name)
		if err != nil {
			return err
		}
		if h == nil {
			return noSecret(Ref{Name: ref.Name})
		}
		if err := change(v, h); err != nil {
			return err
		}
		if err := v.saveHead(ctx, tx, *h); err != nil {
			return err
		}
		if x, err = v.latest(ctx, tx, ref.Name); err != nil {
			return err
		}
		return s.auditSecret(ctx, tx, by, v, string(may)+"Secret "+h.name)
	})
	return x, err
}

// latest is the latest version of a secret, deleted or not.
func (v *row) latest(ctx context.Context, tx *store.Tx, name string) (Secret, error) {
	found, err := v.loadSecrets(ctx, tx, "WHERE s.vault = ? AND s.name_key = ? AND v.seq = s.latest", v.id, lower(name))
	if err != nil || len(found) == 0 {
		return Secret{}, err
	}
	return found[0].show(""), nil
}

// DeletedSecret is one that can be had back.
func (s *Set) DeletedSecret(ctx context.Context, by Caller, ref Ref) (x Secret, err error) {
	err = s.Store.Read(ctx, func(tx *store.Tx) error {
		v, err := s.enter(ctx, tx, by, ref.Vault, Get)
		if err != nil {
			return err
		}
		if err := (Ref{Name: ref.Name}).check(); err != nil {
			return err
		}
		h, err := v.loadHead(ctx, tx, ref.Name)
		if err == nil && (h == nil || !h.trashed()) {
			err = noDeleted(ref)
		}
		if err != nil {
			return err
		}
		x, err = v.latest(ctx, tx, ref.Name)
		return err
	})
	return x, err
}

// PurgeSecret removes a deleted secret for good.
func (s *Set) PurgeSecret(ctx context.Context, by Caller, ref Ref) error {
	return s.Store.Write(ctx, func(tx *store.Tx) error {
		v, err := s.enter(ctx, tx, by, ref.Vault, Purge)
		if err != nil {
			return err
		}
		if err := (Ref{Name: ref.Name}).check(); err != nil {
			return err
		}
		h, err := v.loadHead(ctx, tx, ref.Name)
		switch {
		case err != nil:
			return err
		case h == nil || !h.trashed():
			return noDeleted(ref)
		case v.PurgeGuard:
			return refuse(ErrGuarded, "Operation purge is not allowed: the vault has purge protection. The secret goes by itself on %s.", h.purges.Format("2006-01-02"))
		}
		if err := v.eraseSecret(ctx, tx, ref.Name); err != nil {
			return err
		}
		return s.auditSecret(ctx, tx, by, v, "purgeSecret "+h.name)
	})
}

// Sweep purges the secrets and vaults that are due.
func (s *Set) Sweep(ctx context.Context) error {
	return s.Store.Write(ctx, func(tx *store.Tx) error {
		due := store.Micros(now())
		vaults, err := s.loadAll(ctx, tx, "WHERE deleted <> 0 AND purge <= ?", due)
		if err != nil {
			return err
		}
		for _, v := range vaults {
			if err := v.erase(ctx, tx); err != nil {
				return err
			}
			tx.After(func() { s.keys.forget(v.id) })
		}
		for _, q := range []string{
			"DELETE FROM vault_version WHERE EXISTS (SELECT 1 FROM vault_secret s WHERE s.vault = vault_version.vault AND s.name_key = vault_version.name_key AND s.deleted <> 0 AND s.purge <= ?)",
			"DELETE FROM vault_secret WHERE deleted <> 0 AND purge <= ?",
		} {
			if _, err := tx.Exec(ctx, q, due); err != nil {
				return err
			}
		}
		return nil
	})
}
