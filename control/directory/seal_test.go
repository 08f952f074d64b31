package directory_test

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/control/vault"
)

// TestKeysAndSeedsAreSealed under a key that is not in the database: what lay
// open before is sealed when there is a keeper, tokens and second factors go
// on, and without the key there is no start.
func TestKeysAndSeedsAreSealed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		open := func(file string) (*directory.Set, error) {
			c := directory.Config{Store: s, Tenant: directory.Tenant{ID: tenant, Name: "telecom.example"}, Clients: []directory.Client{client(secret)}, Log: slog.New(slog.DiscardHandler)}
			if file != "" {
				k := vault.NewKeyFile(file)
				if err := k.Prepare(ctx, true); err != nil {
					t.Fatal(err)
				}
				c.Keeper = k
			}
			return directory.Open(ctx, c)
		}
		before, err := open("")
		if err != nil {
			t.Fatal(err)
		}
		token, err := before.IssueFor(ctx, directory.ObjectID(tenant, app), issuer, graph)
		if err != nil {
			t.Fatal(err)
		}
		const account, seed = "00000000-0000-4000-8000-0000000000f1", "JBSWY3DPEHPK3PXPCANARYSEED"
		err = s.Write(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, "INSERT INTO factor (id, account, kind, name, content, counter, created, used) VALUES ('f', ?, 'totp', 'x', ?, 0, 0, 0)", account, []byte(seed))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(contents(t, s), seed) {
			t.Fatal("the test looks in the wrong place")
		}
		file := filepath.Join(t.TempDir(), vault.KeyFileName)
		var after *directory.Set
		for range 2 {
			if after, err = open(file); err != nil {
				t.Fatal(err)
			}
		}
		for _, row := range strings.Split(contents(t, s), "\n") {
			if !strings.HasPrefix(row, "sealed:") || strings.Contains(row, seed) {
				t.Errorf("it lies open: %.20q", row)
			}
		}
		if _, err := after.VerifySignature(ctx, string(token.Raw)); err != nil {
			t.Errorf("a token from before: %v", err)
		}
		if token, err = after.IssueFor(ctx, directory.ObjectID(tenant, app), issuer, graph); err != nil {
			t.Fatal(err)
		}
		if _, err := before.VerifySignature(ctx, string(token.Raw)); err != nil {
			t.Errorf("a token signed with the key that was sealed: %v", err)
		}
		if _, err := open(""); fault.Of(err) != fault.Invalid || !strings.Contains(err.Error(), "control.vaults") {
			t.Errorf("without a keeper: %v", err)
		}
		if _, err := open(filepath.Join(t.TempDir(), vault.KeyFileName)); err == nil {
			t.Error("with another key")
		}
		// A key in another's place opens nothing.
		err = s.Write(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE signing_key SET id = 'another'")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := open(file); err == nil {
			t.Error("a key under another's name")
		}
	})
}

// contents are the rows that must not lie open.
func contents(t *testing.T, s *store.Store) string {
	t.Helper()
	var all []string
	err := s.Read(t.Context(), func(tx *store.Tx) error {
		for _, q := range []string{"SELECT private FROM signing_key", "SELECT content FROM factor"} {
			list, err := store.All(t.Context(), tx, func(scan store.Scan) (b []byte, err error) { return b, scan(&b) }, q)
			if err != nil {
				return err
			}
			for _, b := range list {
				all = append(all, string(bytes.ReplaceAll(b, []byte("\n"), nil)))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}
