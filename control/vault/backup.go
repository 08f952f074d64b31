package vault

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
)

// backupMark begins a backup; the rest is the length of the wrapped key, the
// wrapped key, and what that key has encrypted.
const backupMark = "tandem secret 1\n"

// maxVersions is how many versions a backup holds at most (Azure Key Vault
// docs, "Azure Key Vault backup", Limitations).
const maxVersions = 500

// copied is a secret in a backup.
type copied struct {
	Name     string
	Versions []copiedVersion
}

type copiedVersion struct {
	Version string
	Value   []byte
	Attributes
	Created, Updated time.Time
}

// bound is what a backup can be restored to: vaults of the same subscription
// of the same tenant, in deployments that have the same keeper.
func (s *Set) bound(v *row, part string) []byte {
	return about(part, s.Tenant, lower(v.ID.Subscription))
}

// BackupSecret is a secret with all its versions, encrypted.
func (s *Set) BackupSecret(ctx context.Context, by Caller, ref Ref) ([]byte, error) {
	var v *row
	var found []*stored
	err := s.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if v, err = s.enter(ctx, tx, by, ref.Vault, Backup); err != nil {
			return err
		}
		if err := (Ref{Name: ref.Name}).check(); err != nil {
			return err
		}
		found, err = v.loadSecrets(ctx, tx, "WHERE s.vault = ? AND s.name_key = ? AND s.deleted = 0 ORDER BY v.seq LIMIT ?", v.id, lower(ref.Name), maxVersions+1)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, noSecret(Ref{Name: ref.Name})
	case len(found) > maxVersions:
		return nil, fault.New(fault.Denied, "The secret has more than 500 versions: it cannot be backed up.")
	}
	c := copied{Name: found[0].Name}
	for _, x := range found {
		value, err := s.unseal(ctx, v, x)
		if err != nil {
			return nil, err
		}
		c.Versions = append(c.Versions, copiedVersion{x.Version, []byte(value), x.Attributes, x.Created, x.Updated})
	}
	plain, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return s.wrapBackup(ctx, v, plain)
}

func (s *Set) wrapBackup(ctx context.Context, v *row, plain []byte) ([]byte, error) {
	key, bare, err := newDataKey()
	if err != nil {
		return nil, err
	}
	defer clear(bare)
	wrapped, err := s.Keeper.Wrap(ctx, bare, s.bound(v, "backup key"))
	if err != nil {
		return nil, err
	}
	sealed, err := key.Encrypt(plain, s.bound(v, "backup"))
	if err != nil {
		return nil, err
	}
	b := binary.BigEndian.AppendUint32([]byte(backupMark), uint32(len(wrapped)))
	return append(append(b, wrapped...), sealed...), nil
}

var errBackup = fault.New(fault.Invalid, "This is not a backup of a secret that this deployment made in a vault of this subscription, or it is damaged.")

// unwrapBackup decrypts what wrapBackup made.
func (s *Set) unwrapBackup(ctx context.Context, v *row, blob []byte) (c copied, err error) {
	rest, good := bytes.CutPrefix(blob, []byte(backupMark))
	if !good || len(rest) < 4 || uint64(binary.BigEndian.Uint32(rest)) > uint64(len(rest)-4) {
		return c, errBackup
	}
	n := binary.BigEndian.Uint32(rest)
	bare, err := s.Keeper.Unwrap(ctx, rest[4:4+n], s.bound(v, "backup key"))
	if fault.Of(err) == fault.Unavailable {
		return c, err
	}
	if err != nil {
		return c, errBackup
	}
	defer clear(bare)
	key, err := readDataKey(bare)
	if err != nil {
		return c, errBackup
	}
	plain, err := key.Decrypt(rest[4+n:], s.bound(v, "backup"))
	if err != nil {
		return c, errBackup
	}
	defer clear(plain)
	if err := json.Unmarshal(plain, &c); err != nil || !secretName.MatchString(c.Name) || len(c.Versions) == 0 || len(c.Versions) > maxVersions {
		return c, errBackup
	}
	return c, nil
}

// RestoreSecret puts a secret back with all its versions, where none has its
// name.
func (s *Set) RestoreSecret(ctx context.Context, by Caller, vault string, blob []byte) (Secret, error) {
	v, err := s.visit(ctx, by, vault, Restore)
	if err != nil {
		return Secret{}, err
	}
	c, err := s.unwrapBackup(ctx, v, blob)
	if err != nil {
		return Secret{}, err
	}
	key, err := s.keys.of(ctx, v)
	if err != nil {
		return Secret{}, err
	}
	h := head{name: c.Name}
	var all []*stored
	for _, w := range c.Versions {
		h.latest++
		x := &stored{Secret: Secret{Name: c.Name, Version: w.Version, Attributes: w.Attributes, Created: w.Created, Updated: w.Updated, Days: v.RetentionDays, Guarded: v.PurgeGuard}, seq: h.latest}
		if x.sealed, err = key.seal(obs.Secret(w.Value), v.id, x.Name, x.Version); err != nil {
			return Secret{}, err
		}
		all = append(all, x)
	}
	err = s.Store.Write(ctx, func(tx *store.Tx) error {
		if err := s.again(ctx, tx, by, v, Restore); err != nil {
			return err
		}
		old, err := v.room(ctx, tx, Ref{Name: c.Name})
		switch {
		case err != nil:
			return err
		case old != nil:
			return fault.New(fault.Conflict, "There is already a secret of the name '"+c.Name+"' in this vault: a backup is restored where there is none.")
		}
		if err := v.saveHead(ctx, tx, h); err != nil {
			return err
		}
		for _, x := range all {
			if err := v.insert(ctx, tx, x); err != nil {
				return err
			}
		}
		return s.auditSecret(ctx, tx, by, v, "restoreSecret "+c.Name)
	})
	return all[len(all)-1].show(""), err
}
