package vault_test

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/vault"
)

const (
	tenant  = "00000000-0000-4000-8000-00000000000a"
	foreign = "00000000-0000-4000-8000-00000000000b" // another tenant
	sub     = "00000000-0000-4000-8000-000000000001"
	other   = "00000000-0000-4000-8000-000000000002" // another subscription
	owner   = "00000000-0000-4000-8000-0000000000b1"
	reader  = "00000000-0000-4000-8000-0000000000b2" // may get
	nobody  = "00000000-0000-4000-8000-0000000000b3" // has no policy
)

func TestMain(m *testing.M) {
	if at := os.Getenv("TANDEM_VAULT_CHILD"); at != "" {
		os.Exit(child(at))
	}
	goleak.VerifyTestMain(m)
}

func as(object string) vault.Caller {
	return vault.Caller{Principal: subscription.Principal{Tenant: tenant, Object: object, App: object, Name: "app of a test"}}
}

func from(address string) vault.Caller {
	c := as(owner)
	c.From = netip.MustParseAddr(address)
	return c
}

func id(name string) vault.ID { return vault.ID{Subscription: sub, Group: "voice", Name: name} }

// world is a set of vaults with a key file.
type world struct {
	testing.TB
	*vault.Set
	store *store.Store
	key   string
	log   *bytes.Buffer
}

func newWorld(t testing.TB, s *store.Store) *world {
	t.Helper()
	w := &world{TB: t, store: s, key: filepath.Join(t.TempDir(), "vault.key"), log: &bytes.Buffer{}}
	w.Set = w.open(vault.NewKeyFile(w.key))
	return w
}

func (w *world) open(k *vault.KeyFile) *vault.Set {
	w.Helper()
	subs := subscription.New(subscription.Config{Store: w.store, Tenant: subscription.Tenant{ID: tenant}, Log: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	set, err := vault.Open(w.Context(), vault.Config{Store: w.store, Keeper: k, Tenant: tenant, Audit: subs.Audit, Log: slog.New(slog.NewTextHandler(w.log, nil))})
	if err != nil {
		w.Fatal(err)
	}
	return set
}

// plain is a vault whose owner may do everything and whose reader may get.
func plain() vault.Vault {
	return vault.Vault{Location: "westeurope", Policies: []vault.Policy{
		{Tenant: tenant, Object: owner, Secrets: []vault.Permission{vault.Get, vault.List, vault.Write, vault.Delete, vault.Recover, vault.Backup, vault.Restore, vault.Purge}},
		{Tenant: tenant, Object: reader, Secrets: []vault.Permission{vault.Get}},
	}}
}

func (w *world) vault(name string, change ...func(*vault.Vault)) {
	w.Helper()
	v := plain()
	for _, f := range change {
		f(&v)
	}
	if _, _, err := w.Put(w.Context(), as(owner).Principal, id(name), v); err != nil {
		w.Fatal(err)
	}
}

func (w *world) put(vaultName, name, value string) vault.Secret {
	w.Helper()
	x, err := w.PutSecret(w.Context(), as(owner), vault.Ref{Vault: vaultName, Name: name}, obs.Secret(value), vault.Attributes{})
	if err != nil {
		w.Fatal(err)
	}
	return x
}

func (w *world) get(vaultName, name, version string) string {
	w.Helper()
	x, err := w.Secret(w.Context(), as(owner), vault.Ref{Vault: vaultName, Name: name, Version: version})
	if err != nil {
		w.Fatal(err)
	}
	return string(x.Value)
}

func each(t *testing.T, f func(t *testing.T, w *world)) {
	storetest.Each(t, func(t *testing.T, s *store.Store) { f(t, newWorld(t, s)) })
}

func storeOf(t testing.TB) *store.Store { return storetest.New(t) }
