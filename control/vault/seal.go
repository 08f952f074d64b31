package vault

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
)

// about is what a ciphertext is bound to: each part with its length before it,
// so that no two lists of parts are the same bytes.
func about(parts ...string) []byte {
	b := []byte("tandem vault 1")
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	return b
}

// seal encrypts a value for one place: a version of a secret of a vault.
func (k dataKey) seal(value obs.Secret, vault, name, version string) ([]byte, error) {
	plain := []byte(value)
	defer clear(plain)
	return k.Encrypt(plain, about("value", vault, strings.ToLower(name), version))
}

// open decrypts what seal made for the same place.
func (k dataKey) open(sealed []byte, vault, name, version string) (obs.Secret, error) {
	plain, err := k.Decrypt(sealed, about("value", vault, strings.ToLower(name), version))
	if err != nil {
		return "", &fault.Error{Kind: fault.Internal, Err: errors.New("a value is damaged, or stands in another's place: vault " + vault + ", secret " + name + ", version " + version)}
	}
	defer clear(plain)
	return obs.Secret(plain), nil
}

// keyring keeps data keys unwrapped for a while, so that a key management
// service is not asked for each secret, and notices in minutes that it was
// told to refuse.
type keyring struct {
	keeper keeper // RO

	mu   sync.Mutex
	keys map[string]heldKey // mu: by vault
}

type heldKey struct {
	dataKey
	until time.Time
}

const (
	held     = 5 * time.Minute
	mostHeld = 1000
)

func newKeyring(k keeper) *keyring { return &keyring{keeper: k, keys: map[string]heldKey{}} }

// of unwraps the data key of a vault.
func (r *keyring) of(ctx context.Context, v *row) (dataKey, error) {
	r.mu.Lock()
	h, found := r.keys[v.id]
	r.mu.Unlock()
	if found && time.Now().Before(h.until) {
		return h.dataKey, nil
	}
	plain, err := r.keeper.Unwrap(ctx, v.dataKey, about("data key", v.id))
	if err != nil {
		return dataKey{}, err
	}
	defer clear(plain)
	k, err := readDataKey(plain)
	if err != nil {
		return dataKey{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.keys) >= mostHeld {
		clear(r.keys)
	}
	r.keys[v.id] = heldKey{k, time.Now().Add(held)}
	return k, nil
}

// forget drops the key of a vault that is gone.
func (r *keyring) forget(vault string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.keys, vault)
}

// proof is what vault_seal holds, wrapped.
var proof = []byte("the right key")

// prepare makes sure that the keeper is the one that wrapped what is there, or
// lets it be that from now on.
func (s *Set) prepare(ctx context.Context) error {
	seal, err := s.readSeal(ctx)
	if err != nil {
		return err
	}
	if err := s.Keeper.Prepare(ctx, seal == nil); err != nil {
		return err
	}
	if seal == nil {
		wrapped, err := s.Keeper.Wrap(ctx, proof, about("seal"))
		if err != nil {
			return err
		}
		err = s.Store.Write(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, "INSERT INTO vault_seal (id, wrapped) VALUES (1, ?) ON CONFLICT (id) DO NOTHING", wrapped)
			return err
		})
		if err != nil {
			return err
		}
		// Another control node may have been first.
		if seal, err = s.readSeal(ctx); err != nil {
			return err
		}
	}
	plain, err := s.Keeper.Unwrap(ctx, seal, about("seal"))
	if fault.Of(err) == fault.Unavailable {
		return err
	}
	if err != nil {
		return &fault.Error{Kind: fault.Invalid, Public: "the key is not the one that sealed the secrets in this database: bring the right key file, or name the right key of the key management service", Err: err}
	}
	if !bytes.Equal(plain, proof) {
		return errors.New("the seal is damaged")
	}
	return nil
}

func (s *Set) readSeal(ctx context.Context) (wrapped []byte, err error) {
	err = s.Store.Read(ctx, func(tx *store.Tx) error {
		err := tx.Row(ctx, "SELECT wrapped FROM vault_seal WHERE id = 1").Scan(&wrapped)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return wrapped, err
}

// Rewrap wraps every data key, and the seal, anew under the key that the
// keeper uses now: after it was rotated. It may be killed and called again;
// nothing is unreadable in between as long as the keeper knows both keys.
func (s *Set) Rewrap(ctx context.Context) (int, error) {
	seal, err := s.Keeper.Wrap(ctx, proof, about("seal"))
	if err != nil {
		return 0, err
	}
	err = s.Store.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE vault_seal SET wrapped = ? WHERE id = 1", seal)
		return err
	})
	if err != nil {
		return 0, err
	}
	var vaults []*row
	err = s.Store.Read(ctx, func(tx *store.Tx) error {
		vaults, err = s.loadAll(ctx, tx, "ORDER BY name_key")
		return err
	})
	if err != nil {
		return 0, err
	}
	for i, v := range vaults {
		if err := s.rewrap(ctx, v); err != nil {
			return i, err
		}
	}
	return len(vaults), nil
}

func (s *Set) rewrap(ctx context.Context, v *row) error {
	plain, err := s.Keeper.Unwrap(ctx, v.dataKey, about("data key", v.id))
	if err != nil {
		return err
	}
	defer clear(plain)
	wrapped, err := s.Keeper.Wrap(ctx, plain, about("data key", v.id))
	if err != nil {
		return err
	}
	return s.Store.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE vault SET data_key = ? WHERE id = ?", wrapped, v.id)
		return err
	})
}
