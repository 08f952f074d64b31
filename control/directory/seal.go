package directory

import (
	"bytes"
	"context"
	"fmt"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
)

// keeper has a key that is not in the database; the key file of vaults is one.
// about binds what is wrapped to what it is for.
type keeper interface {
	Wrap(ctx context.Context, plain, about []byte) ([]byte, error)
	Unwrap(ctx context.Context, wrapped, about []byte) ([]byte, error)
}

// sealed stands before what only the keeper opens. What lies open begins
// otherwise: DER, JSON and base32 have no such bytes.
const sealed = "sealed:"

// What is sealed, and what for: the keys that sign tokens, and the seeds of
// second factors. Whoever has a copy of the database alone can neither sign nor
// show a code.
func ofKey(id string) string        { return "signing key " + id }
func ofSeed(account string) string  { return "seed of " + account }
func ofProposal(hash string) string { return "proposal of " + hash }

// seal is how something is kept; without a keeper as it is.
func (s *Set) seal(ctx context.Context, plain []byte, about string) ([]byte, error) {
	if s.keeper == nil {
		return plain, nil
	}
	wrapped, err := s.keeper.Wrap(ctx, plain, []byte("directory "+about))
	return append([]byte(sealed), wrapped...), err
}

// unseal is what was sealed, or kept open.
func (s *Set) unseal(ctx context.Context, kept []byte, about string) ([]byte, error) {
	wrapped, is := bytes.CutPrefix(kept, []byte(sealed))
	switch {
	case !is:
		return kept, nil
	case s.keeper == nil:
		return nil, fault.New(fault.Invalid, "the keys of the directory are sealed with the key of the vaults: put control.vaults back into the configuration")
	}
	return s.keeper.Unwrap(ctx, wrapped, []byte("directory "+about))
}

// sealAll seals what lies open from before there was a keeper.
func (s *Set) sealAll(ctx context.Context) error {
	if s.keeper == nil {
		return nil
	}
	type kept struct {
		id, about string
		content   []byte
	}
	return s.store.Write(ctx, func(tx *store.Tx) error {
		for _, table := range []struct {
			name, content, read string
			about               func(string) string
		}{
			{"signing_key", "private", "SELECT id, id, private FROM signing_key", ofKey},
			{"factor", "content", "SELECT id, account, content FROM factor WHERE kind = '" + TOTP + "'", ofSeed},
		} {
			list, err := store.All(ctx, tx, func(scan store.Scan) (k kept, err error) { return k, scan(&k.id, &k.about, &k.content) }, table.read)
			if err != nil {
				return err
			}
			for _, k := range list {
				if bytes.HasPrefix(k.content, []byte(sealed)) {
					continue
				}
				b, err := s.seal(ctx, k.content, table.about(k.about))
				if err != nil {
					return fmt.Errorf("seal %s: %w", table.name, err)
				}
				if _, err := tx.Exec(ctx, "UPDATE "+table.name+" SET "+table.content+" = ? WHERE id = ?", b, k.id); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
