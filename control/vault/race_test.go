package vault_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/vault"
)

// meddling is a keeper in whose time something else happens.
type meddling struct {
	*vault.KeyFile
	meanwhile func()
}

func (m *meddling) Unwrap(ctx context.Context, wrapped, about []byte) ([]byte, error) {
	if f := m.meanwhile; f != nil {
		m.meanwhile = nil
		f()
	}
	return m.KeyFile.Unwrap(ctx, wrapped, about)
}

// Between the look at the vault and the write a key management service takes
// its time. What was allowed then counts no longer.
func TestARightThatIsTakenAwayWhileTheKeyIsFetched(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, me := t.Context(), as(owner).Principal
		w.vault("voice")
		try := func(meanwhile func()) error {
			t.Helper()
			k := &meddling{KeyFile: vault.NewKeyFile(w.key)}
			set, err := vault.Open(ctx, vault.Config{Store: w.store, Keeper: k, Tenant: tenant})
			if err != nil {
				t.Fatal(err)
			}
			k.meanwhile = meanwhile
			_, err = set.PutSecret(ctx, as(owner), vault.Ref{Vault: "voice", Name: "s"}, "x", vault.Attributes{})
			return err
		}
		if err := try(func() {
			if err := errors.Join(w.Delete(ctx, me, id("voice")), w.PurgeVault(ctx, me, sub, "voice")); err != nil {
				t.Error(err)
			}
			w.vault("voice")
		}); fault.Of(err) != fault.Conflict {
			t.Errorf("into another vault of the name: %v", err)
		}
		if err := try(func() {
			if _, err := w.Alter(ctx, me, id("voice"), "vaults/write", func(v *vault.Vault) error {
				v.Policies = nil
				return nil
			}); err != nil {
				t.Error(err)
			}
		}); !errors.Is(err, vault.ErrPolicy) {
			t.Errorf("after the policy was taken away: %v", err)
		}
		if n := w.count("vault_version"); n != 0 {
			t.Errorf("%d versions were written", n)
		}
	})
}

// Two control nodes that start for the first time at once make a key file
// each. One of them seals the database; the other must say that it cannot go on.
func TestTwoNodesWithAKeyFileEach(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.exec("DELETE FROM vault_seal")
		dir := t.TempDir()
		errs := make([]error, 4)
		var wait sync.WaitGroup
		for i := range errs {
			wait.Go(func() {
				k := vault.NewKeyFile(filepath.Join(dir, fmt.Sprint("key", i)))
				_, errs[i] = vault.Open(t.Context(), vault.Config{Store: w.store, Keeper: k, Tenant: tenant})
			})
		}
		wait.Wait()
		good := 0
		for _, err := range errs {
			switch {
			case err == nil:
				good++
			case fault.Of(err) != fault.Invalid:
				t.Error(err)
			}
		}
		if good != 1 {
			t.Errorf("%d nodes opened: %v", good, errs)
		}
	})
}

// Two processes on one machine meet at one file instead.
func TestTwoNodesWithOneKeyFile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.exec("DELETE FROM vault_seal")
		path := filepath.Join(t.TempDir(), "key")
		var wait sync.WaitGroup
		for range 4 {
			wait.Go(func() {
				if _, err := vault.Open(t.Context(), vault.Config{Store: w.store, Keeper: vault.NewKeyFile(path), Tenant: tenant}); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
	})
}

func TestVersionsOfManyAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.vault("voice")
		const writers, each = 4, 5
		var wait sync.WaitGroup
		for i := range writers {
			wait.Go(func() {
				for n := range each {
					ref := vault.Ref{Vault: "voice", Name: "s"}
					x, err := w.PutSecret(t.Context(), as(owner), ref, obs.Secret(fmt.Sprint(i, n)), vault.Attributes{})
					if err != nil {
						t.Error(err)
						return
					}
					ref.Version = x.Version
					if got, err := w.Secret(t.Context(), as(owner), ref); err != nil || string(got.Value) != fmt.Sprint(i, n) {
						t.Errorf("%d.%d: %v, %v", i, n, got, err)
					}
				}
			})
		}
		wait.Wait()
		list, _, err := w.Versions(t.Context(), as(owner), vault.Ref{Vault: "voice", Name: "s"}, vault.Page{})
		if err != nil || len(list) != writers*each {
			t.Errorf("%d versions: %v", len(list), err)
		}
	})
}
