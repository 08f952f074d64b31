package vault

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
)

// row is a vault as it is stored.
type row struct {
	Resource
	id      string // of this vault, and of none that has its name later
	dataKey []byte // wrapped
}

// kept is the part of a vault that is stored as JSON.
type kept struct {
	Vault
	Connections []Connection `json:",omitempty"`
}

const vaultColumns = "id, subscription, grp, name, doc, data_key, deleted, purge, created, created_by, created_kind, changed, changed_by, changed_kind"

func (s *Set) scan(scan store.Scan) (*row, error) {
	v := row{Resource: Resource{Tenant: s.Tenant}}
	var doc string
	var deleted, purge, created, changed int64
	err := scan(&v.id, &v.ID.Subscription, &v.ID.Group, &v.ID.Name, &doc, &v.dataKey, &deleted, &purge,
		&created, &v.System.CreatedBy, &v.System.CreatedKind, &changed, &v.System.ChangedBy, &v.System.ChangedKind)
	if err != nil {
		return nil, err
	}
	v.Deleted, v.Purges = store.Time(deleted), store.Time(purge)
	v.System.Created, v.System.Changed = store.Time(created), store.Time(changed)
	var k kept
	err = json.Unmarshal([]byte(doc), &k)
	v.Vault, v.Connections = k.Vault, k.Connections
	return &v, err
}

// load is the vault with the name, also a deleted one until it is due; nil
// when there is none.
func (s *Set) load(ctx context.Context, tx *store.Tx, name string) (*row, error) {
	v, err := s.scan(tx.Row(ctx, "SELECT "+vaultColumns+" FROM vault WHERE name_key = ?", strings.ToLower(name)).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return v, err
}

func (s *Set) loadAll(ctx context.Context, tx *store.Tx, where string, args ...any) ([]*row, error) {
	return store.All(ctx, tx, s.scan, "SELECT "+vaultColumns+" FROM vault "+where, args...)
}

// save stores the vault, new or changed.
func (v *row) save(ctx context.Context, tx *store.Tx) error {
	doc, err := json.Marshal(kept{v.Vault, v.Connections})
	if err != nil {
		return err
	}
	key := strings.ToLower(v.ID.Name)
	if _, err := tx.Exec(ctx, "DELETE FROM vault WHERE name_key = ?", key); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO vault (name_key, subscription_key, grp_key, "+vaultColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		key, strings.ToLower(v.ID.Subscription), strings.ToLower(v.ID.Group),
		v.id, v.ID.Subscription, v.ID.Group, v.ID.Name, string(doc), v.dataKey, store.Micros(v.Deleted), store.Micros(v.Purges),
		store.Micros(v.System.Created), v.System.CreatedBy, v.System.CreatedKind, store.Micros(v.System.Changed), v.System.ChangedBy, v.System.ChangedKind)
	return err
}

// erase removes the vault for good. Without its data key nothing that was
// sealed in it can be read, from no copy of the database that lacks the row.
func (v *row) erase(ctx context.Context, tx *store.Tx) error {
	for _, table := range []string{"vault_version WHERE vault", "vault_secret WHERE vault", "vault WHERE id"} {
		if _, err := tx.Exec(ctx, "DELETE FROM "+table+" = ?", v.id); err != nil {
			return err
		}
	}
	return nil
}

// head is what a secret is beside its versions.
type head struct {
	name            string
	latest          int64
	deleted, purges time.Time
}

// loadHead is the secret of a name, deleted or not; nil when there is none.
func (v *row) loadHead(ctx context.Context, tx *store.Tx, name string) (*head, error) {
	var h head
	var deleted, purge int64
	err := tx.Row(ctx, "SELECT name, latest, deleted, purge FROM vault_secret WHERE vault = ? AND name_key = ?", v.id, strings.ToLower(name)).Scan(&h.name, &h.latest, &deleted, &purge)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	h.deleted, h.purges = store.Time(deleted), store.Time(purge)
	return &h, err
}

func (v *row) saveHead(ctx context.Context, tx *store.Tx, h head) error {
	_, err := tx.Exec(ctx, `INSERT INTO vault_secret (vault, name_key, name, latest, deleted, purge) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (vault, name_key) DO UPDATE SET latest = excluded.latest, deleted = excluded.deleted, purge = excluded.purge`,
		v.id, strings.ToLower(h.name), h.name, h.latest, store.Micros(h.deleted), store.Micros(h.purges))
	return err
}

// eraseSecret removes a secret with its versions.
func (v *row) eraseSecret(ctx context.Context, tx *store.Tx, name string) error {
	for _, table := range []string{"vault_version", "vault_secret"} {
		if _, err := tx.Exec(ctx, "DELETE FROM "+table+" WHERE vault = ? AND name_key = ?", v.id, strings.ToLower(name)); err != nil {
			return err
		}
	}
	return nil
}

// stored is a version as it is kept.
type stored struct {
	Secret
	seq    int64
	sealed []byte
}

const (
	secretColumns = "s.name, v.version, v.doc, v.sealed, v.seq, v.created, v.updated, s.deleted, s.purge"
	secretTables  = " FROM vault_secret s JOIN vault_version v ON v.vault = s.vault AND v.name_key = s.name_key "
)

// scanSecret reads a version of a vault's secret.
func (v *row) scanSecret(scan store.Scan) (*stored, error) {
	x := stored{Secret: Secret{Days: v.RetentionDays, Guarded: v.PurgeGuard}}
	var doc string
	var created, updated, deleted, purge int64
	if err := scan(&x.Name, &x.Version, &doc, &x.sealed, &x.seq, &created, &updated, &deleted, &purge); err != nil {
		return nil, err
	}
	x.Created, x.Updated, x.Deleted, x.Purges = store.Time(created), store.Time(updated), store.Time(deleted), store.Time(purge)
	return &x, json.Unmarshal([]byte(doc), &x.Attributes)
}

// loadSecret is one version of a secret that is there, or the latest; nil when
// there is none.
func (v *row) loadSecret(ctx context.Context, tx *store.Tx, ref Ref) (*stored, error) {
	q, args := "SELECT "+secretColumns+secretTables+"WHERE s.vault = ? AND s.name_key = ? AND s.deleted = 0 AND ", []any{v.id, strings.ToLower(ref.Name)}
	if ref.Version == "" {
		q += "v.seq = s.latest"
	} else {
		q, args = q+"v.version = ?", append(args, strings.ToLower(ref.Version))
	}
	x, err := v.scanSecret(tx.Row(ctx, q, args...).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return x, err
}

func (v *row) loadSecrets(ctx context.Context, tx *store.Tx, where string, args ...any) ([]*stored, error) {
	return store.All(ctx, tx, v.scanSecret, "SELECT "+secretColumns+secretTables+where, args...)
}

// insert stores a new version.
func (v *row) insert(ctx context.Context, tx *store.Tx, x *stored) error {
	doc, err := json.Marshal(x.Attributes)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO vault_version (vault, name_key, seq, version, doc, sealed, created, updated) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		v.id, strings.ToLower(x.Name), x.seq, x.Version, string(doc), x.sealed, store.Micros(x.Created), store.Micros(x.Updated))
	return err
}

// update stores what can be changed of a version.
func (v *row) update(ctx context.Context, tx *store.Tx, x *stored) error {
	doc, err := json.Marshal(x.Attributes)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "UPDATE vault_version SET doc = ?, updated = ? WHERE vault = ? AND name_key = ? AND seq = ?",
		string(doc), store.Micros(x.Updated), v.id, strings.ToLower(x.Name), x.seq)
	return err
}

// show is the version without its value, for lists and answers.
func (x *stored) show(value obs.Secret) Secret {
	s := x.Secret
	s.Value = value
	return s
}
