package vault_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/control/vault"
)

const canary = "canary~of-the-vault~0987654321"

// shows tells in which form text holds the canary.
func shows(text []byte) string {
	for form, c := range map[string]string{
		"plain": canary, "hexadecimal": hex.EncodeToString([]byte(canary)), "base64": base64.RawStdEncoding.EncodeToString([]byte(canary))[:20],
		"base64, shifted by one": base64.RawStdEncoding.EncodeToString([]byte("x" + canary))[4:20], "base64, shifted by two": base64.RawStdEncoding.EncodeToString([]byte("xx" + canary))[4:20],
		"UTF-16": strings.Join(strings.Split(canary, ""), "\x00"),
	} {
		if bytes.Contains(text, []byte(c)) {
			return form
		}
	}
	return ""
}

func TestNothingSecretIsOnTheDisk(t *testing.T) {
	dir := t.TempDir()
	s := storetest.Open(t, "sqlite:"+filepath.Join(dir, "control.db"))
	w := newWorld(t, s)
	ctx := t.Context()
	w.vault("voice")
	ref := vault.Ref{Vault: "voice", Name: "s"}
	for range 20 {
		w.put("voice", "s", canary)
	}
	blob, err := w.BackupSecret(ctx, as(owner), ref)
	if err != nil {
		t.Fatal(err)
	}
	if form := shows(blob); form != "" {
		t.Errorf("a backup of the secret shows it: %s", form)
	}
	// Deleted, restored, purged: no way leaves it behind.
	for _, err := range []error{first(w.DeleteSecret(ctx, as(owner), ref)), w.PurgeSecret(ctx, as(owner), ref), first(w.RestoreSecret(ctx, as(owner), "voice", blob)), first(w.DeleteSecret(ctx, as(owner), ref))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Copy(ctx, filepath.Join(dir, "copy.db")); err != nil {
		t.Fatal(err)
	}
	files := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		if form := shows(b); form != "" {
			t.Errorf("%s shows the secret: %s", d.Name(), form)
		}
		return err
	})
	if err != nil || files < 3 { // the database, its log, the copy
		t.Errorf("%d files were searched: %v", files, err)
	}
	if form := shows(w.log.Bytes()); form != "" {
		t.Errorf("the log shows the secret: %s", form)
	}
	// The search itself finds what it looks for.
	if shows([]byte("…"+canary+"…")) == "" || shows([]byte(base64.StdEncoding.EncodeToString([]byte("ab"+canary)))) == "" {
		t.Error("the search finds nothing")
	}
}

func TestNoErrorAndNoFormatShowsASecret(t *testing.T) {
	w := newWorld(t, storetest.New(t))
	w.vault("voice")
	x := w.put("voice", "s", canary)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(format, x); shows([]byte(text)) != "" {
			t.Errorf("%s shows the secret", format)
		}
	}
	for _, a := range []vault.Attributes{{ContentType: strings.Repeat(canary, 20)}, {Tags: map[string]string{"t": strings.Repeat(canary, 20)}}, {Tags: map[string]string{strings.Repeat(canary, 20): "t"}}} {
		_, err := w.PutSecret(t.Context(), as(owner), vault.Ref{Vault: "voice", Name: "s"}, canary, a)
		if err == nil || shows([]byte(err.Error())) != "" {
			t.Errorf("the error shows what was said: %v", err)
		}
	}
}

func TestAnotherKeyFileIsRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.vault("voice")
		w.put("voice", "s", "x")
		key, err := os.ReadFile(w.key)
		if err != nil {
			t.Fatal(err)
		}
		if info, _ := os.Stat(w.key); info.Mode().Perm() != 0o600 {
			t.Errorf("the key file has mode %o", info.Mode().Perm())
		}
		other := newWorld(t, storetest.New(t)).key
		for what, c := range map[string]struct {
			change func() error
			want   string
		}{
			"missing":     {func() error { return os.Remove(w.key) }, "is missing"},
			"another":     {func() error { return copyFile(other, w.key) }, "not the one that sealed"},
			"damaged":     {func() error { return os.WriteFile(w.key, key[:len(key)/2], 0o600) }, "is no key file, or it is damaged"},
			"empty":       {func() error { return os.WriteFile(w.key, nil, 0o600) }, "is no key file, or it is damaged"},
			"open to all": {func() error { return errors.Join(os.WriteFile(w.key, key, 0o600), os.Chmod(w.key, 0o644)) }, "others than its owner may read"},
			"a folder":    {func() error { return errors.Join(os.Remove(w.key), os.Mkdir(w.key, 0o700)) }, "others than its owner may read"},
		} {
			if err := c.change(); err != nil {
				t.Fatal(err)
			}
			_, err := vault.Open(t.Context(), vault.Config{Store: w.store, Keeper: vault.NewKeyFile(w.key), Tenant: tenant})
			if e, is := errors.AsType[*fault.Error](err); !is || e.Kind != fault.Invalid || !strings.Contains(err.Error(), c.want) || bytes.Contains([]byte(err.Error()), key[len(key)/3:len(key)/2]) {
				t.Errorf("%s: %v", what, err)
			}
			if what == "missing" {
				if _, err := os.Stat(w.key); err == nil {
					t.Error("a missing key file was made anew")
				}
			}
			os.Remove(w.key)
			if err := os.WriteFile(w.key, key, 0o600); err != nil {
				t.Fatal(err)
			}
			os.Chmod(w.key, 0o600)
		}
		w.Set = w.open(vault.NewKeyFile(w.key))
		if got := w.get("voice", "s", ""); got != "x" {
			t.Errorf("with the right file again: %q", got)
		}
	})
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}

func TestRotationOfTheKeyFile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.vault("voice")
		w.vault("billing")
		w.put("voice", "s", "x")
		old, err := os.ReadFile(w.key)
		if err != nil {
			t.Fatal(err)
		}
		k := vault.NewKeyFile(w.key)
		if err := k.Rotate(); err != nil {
			t.Fatal(err)
		}
		// A node that has not heard of it reads the file again when it must.
		if n, err := w.open(k).Rewrap(ctx); err != nil || n != 2 {
			t.Fatalf("%d wrapped anew: %v", n, err)
		}
		w.put("billing", "s", "z") // its data key is not in memory yet
		w.vault("after")
		w.put("after", "s", "y")
		if got := w.get("voice", "s", "") + w.get("after", "s", ""); got != "xy" {
			t.Errorf("after the rotation: %q", got)
		}
		// The key before opens nothing any more.
		if err := os.WriteFile(w.key, old, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := vault.Open(ctx, vault.Config{Store: w.store, Keeper: vault.NewKeyFile(w.key), Tenant: tenant}); fault.Of(err) != fault.Invalid {
			t.Errorf("with the key before: %v", err)
		}
	})
}

// exec runs a statement behind the back of the vaults.
func (w *world) exec(q string, args ...any) {
	w.Helper()
	err := w.store.Write(w.Context(), func(tx *store.Tx) error {
		n, err := tx.Exec(w.Context(), q, args...)
		if err == nil && n == 0 {
			err = errors.New("no row: " + q)
		}
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
}

// Whoever can write the database cannot make one secret pass for another.
func TestRowsCannotTakeOneAnothersPlace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for i, attack := range []string{
			"UPDATE vault_version SET sealed = (SELECT x.sealed FROM vault_version x WHERE x.vault = vault_version.vault AND x.name_key = 'two' AND x.seq = 1) WHERE name_key = 'one'",
			"UPDATE vault_version SET sealed = (SELECT x.sealed FROM vault_version x WHERE x.vault = vault_version.vault AND x.name_key = 'one' AND x.seq = 2) WHERE name_key = 'one' AND seq = 1",
			"UPDATE vault_version SET version = 'ffffffffffffffffffffffffffffffff' WHERE name_key = 'one' AND seq = 2",
			"UPDATE vault_version SET sealed = (SELECT x.sealed FROM vault_version x, vault y WHERE y.name_key LIKE 'far%' AND x.vault = y.id LIMIT 1) WHERE name_key = 'one'",
			"UPDATE vault SET data_key = (SELECT x.data_key FROM vault x WHERE x.name_key LIKE 'far%') WHERE name_key LIKE 'near%'",
			"UPDATE vault_version SET sealed = '' WHERE name_key = 'one'",
		} {
			near, far := fmt.Sprint("near", i), fmt.Sprint("far", i)
			w.vault(near)
			w.vault(far)
			v1 := w.put(near, "one", canary)
			w.put(near, "one", canary)
			w.put(near, "two", canary)
			w.put(far, "one", canary)
			if strings.HasPrefix(attack, "UPDATE vault_version") {
				attack += " AND vault = (SELECT id FROM vault WHERE name_key LIKE 'near%')"
			}
			w.exec(attack)
			fresh := w.open(vault.NewKeyFile(w.key)) // without keys in memory
			broken := 0
			for _, version := range []string{"", v1.Version} {
				x, err := fresh.Secret(t.Context(), as(owner), vault.Ref{Vault: near, Name: "one", Version: version})
				if err == nil {
					continue
				}
				broken++
				if fault.Of(err) != fault.Internal || x.Value != "" || shows([]byte(err.Error())) != "" {
					t.Errorf("%s: %v", attack, err)
				}
			}
			if broken == 0 {
				t.Errorf("nobody noticed %s", attack)
			}
			for _, name := range []string{near, far} {
				if err := errors.Join(w.Delete(t.Context(), as(owner).Principal, id(name)), w.PurgeVault(t.Context(), as(owner).Principal, sub, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func TestBackupsOfOthersAreRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.vault("voice")
		w.put("voice", "s", canary)
		blob, err := w.BackupSecret(ctx, as(owner), vault.Ref{Vault: "voice", Name: "s"})
		if err != nil {
			t.Fatal(err)
		}
		refused := func(what string, set *vault.Set, name string, blob []byte) {
			t.Helper()
			if _, err := set.RestoreSecret(ctx, as(owner), name, blob); fault.Of(err) != fault.Invalid || shows([]byte(err.Error())) != "" {
				t.Errorf("%s: %v", what, err)
			}
		}
		// Another vault of the subscription may have it, as with Key Vault.
		w.vault("second")
		if _, err := w.RestoreSecret(ctx, as(owner), "second", blob); err != nil || w.get("second", "s", "") != canary {
			t.Errorf("another vault of the subscription: %v", err)
		}
		away := vault.ID{Subscription: other, Group: "voice", Name: "away"}
		if _, _, err := w.Put(ctx, as(owner).Principal, away, plain()); err != nil {
			t.Fatal(err)
		}
		refused("another subscription", w.Set, "away", blob)
		stranger := newWorld(t, storetest.New(t))
		stranger.vault("voice")
		refused("another deployment", stranger.Set, "voice", blob)
		w.vault("third")
		for i := range blob {
			bad := bytes.Clone(blob)
			bad[i] ^= 1
			if i%7 == 0 {
				refused(fmt.Sprint("damaged at ", i), w.Set, "third", bad)
				refused(fmt.Sprint("cut at ", i), w.Set, "third", blob[:i])
			}
		}
	})
}

func TestOtherTenantsLearnNothing(t *testing.T) {
	w := newWorld(t, storetest.New(t))
	w.vault("voice")
	w.put("voice", "s", canary)
	c := as(owner)
	c.Tenant = foreign
	for _, name := range []string{"voice", "none"} {
		_, err := w.Secret(t.Context(), c, vault.Ref{Vault: name, Name: "s"})
		if !errors.Is(err, vault.ErrTenant) || strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// counting is a keeper that counts how often it is asked.
type counting struct {
	*vault.KeyFile
	unwrapped *atomic.Int64
}

func (c counting) Unwrap(ctx context.Context, wrapped, about []byte) ([]byte, error) {
	c.unwrapped.Add(1)
	return c.KeyFile.Unwrap(ctx, wrapped, about)
}

// What is decrypted takes time, and time tells: a refusal comes before.
func TestNothingIsDecryptedForWhoMayNot(t *testing.T) {
	w := newWorld(t, storetest.New(t))
	w.vault("voice", func(v *vault.Vault) { v.Network.Deny = true })
	w.put("voice", "s", canary)
	keeper := counting{vault.NewKeyFile(w.key), new(atomic.Int64)}
	set, err := vault.Open(t.Context(), vault.Config{Store: w.store, Keeper: keeper, Tenant: tenant})
	if err != nil {
		t.Fatal(err)
	}
	before := keeper.unwrapped.Load()
	ref := vault.Ref{Vault: "voice", Name: "s"}
	for _, c := range []vault.Caller{as(nobody), from("192.0.2.1"), {}} {
		for what, err := range map[string]error{
			"get": first(set.Secret(t.Context(), c, ref)), "set": first(set.PutSecret(t.Context(), c, ref, "x", vault.Attributes{})),
			"backup": first(set.BackupSecret(t.Context(), c, ref)), "restore": first(set.RestoreSecret(t.Context(), c, "voice", []byte("x"))),
		} {
			if err == nil {
				t.Errorf("%s by %v", what, c)
			}
		}
	}
	if got := keeper.unwrapped.Load() - before; got != 0 {
		t.Errorf("the keeper was asked %d times", got)
	}
	if _, err := set.Secret(t.Context(), as(owner), ref); err != nil || keeper.unwrapped.Load() == before {
		t.Errorf("the count does not count: %v", err)
	}
}

// The largest value, and one with every character.
func TestValuesComeBackAsTheyWere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.vault("voice")
		for _, value := range []string{"", " ", "\x00\n\"\\", "日本語 🔑 \u2028", strings.Repeat("x", 25<<10)} {
			w.put("voice", "s", value)
			if got := w.get("voice", "s", ""); got != value {
				t.Errorf("%d bytes came back as %d", len(value), len(got))
			}
		}
		for _, value := range []obs.Secret{obs.Secret(strings.Repeat("x", 25<<10+1)), "\xff"} {
			if _, err := w.PutSecret(t.Context(), as(owner), vault.Ref{Vault: "voice", Name: "s"}, value, vault.Attributes{}); fault.Of(err) != fault.Invalid {
				t.Errorf("%d bytes: %v", len(value), err)
			}
		}
	})
}

func TestNothingSecretIsInAnyRow(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.vault("voice")
		w.put("voice", "s", canary)
		rows := 0
		err := w.store.Read(t.Context(), func(tx *store.Tx) error {
			for _, table := range []string{"vault", "vault_secret", "vault_version", "vault_seal", "audit"} {
				found, err := tx.Query(t.Context(), "SELECT * FROM "+table)
				if err != nil {
					return err
				}
				columns, _ := found.Columns()
				for found.Next() {
					rows++
					values, into := make([]any, len(columns)), make([]any, len(columns))
					for i := range values {
						into[i] = &values[i]
					}
					if err := found.Scan(into...); err != nil {
						return err
					}
					for i, v := range values {
						if b, is := v.([]byte); is && shows(b) != "" || shows(fmt.Append(nil, v)) != "" {
							t.Errorf("%s.%s shows the secret", table, columns[i])
						}
					}
				}
				found.Close()
			}
			return nil
		})
		if err != nil || rows < 6 { // a vault, a secret, a version, the seal, two lines of the trail
			t.Errorf("%d rows were searched: %v", rows, err)
		}
	})
}
