package vault_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/vault"
)

func TestTheLifeOfASecret(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.vault("voice")
		first, second := w.put("voice", "Billing", "one"), w.put("VOICE", "billing", "two")
		if first.Version == second.Version || len(first.Version) != 32 || second.Name != "Billing" {
			t.Errorf("two versions: %+v, %+v", first, second)
		}
		if got := w.get("voice", "BILLING", ""); got != "two" {
			t.Errorf("the latest is %q", got)
		}
		if got := w.get("voice", "billing", strings.ToUpper(first.Version)); got != "one" {
			t.Errorf("the first version is %q", got)
		}
		ref := vault.Ref{Vault: "voice", Name: "billing"}
		text, off := "text/plain", false
		if _, err := w.UpdateSecret(ctx, as(owner), vault.Ref{Vault: "voice", Name: "billing", Version: first.Version}, vault.Change{ContentType: &text, Enabled: &off}); err != nil {
			t.Fatal(err)
		}
		_, err := w.Secret(ctx, as(owner), vault.Ref{Vault: "voice", Name: "billing", Version: first.Version})
		if !errors.Is(err, vault.ErrDisabled) {
			t.Errorf("a disabled version: %v", err)
		}
		versions, next, err := w.Versions(ctx, as(owner), ref, vault.Page{Limit: 1})
		if err != nil || len(versions) != 1 || next == "" || versions[0].ContentType != text || versions[0].Value != "" {
			t.Errorf("first page of versions: %+v, %q, %v", versions, next, err)
		}
		versions, next, err = w.Versions(ctx, as(owner), ref, vault.Page{After: next, Limit: 1})
		if err != nil || len(versions) != 1 || next != "" || versions[0].Version != second.Version {
			t.Errorf("second page of versions: %+v, %q, %v", versions, next, err)
		}

		gone, err := w.DeleteSecret(ctx, as(owner), ref)
		if err != nil || gone.Purges.Sub(gone.Deleted).Hours() != 90*24 {
			t.Fatalf("deleted: %+v, %v", gone, err)
		}
		if _, err := w.Secret(ctx, as(owner), ref); !errors.Is(err, vault.ErrNoSecret) {
			t.Errorf("a deleted secret: %v", err)
		}
		if _, err := w.PutSecret(ctx, as(owner), ref, "three", vault.Attributes{}); !errors.Is(err, vault.ErrTrashed) {
			t.Errorf("a new version of a deleted secret: %v", err)
		}
		if list, _, err := w.DeletedSecrets(ctx, as(owner), "voice", vault.Page{}); err != nil || len(list) != 1 {
			t.Errorf("deleted secrets: %+v, %v", list, err)
		}
		if list, _, err := w.Secrets(ctx, as(owner), "voice", vault.Page{}); err != nil || len(list) != 0 {
			t.Errorf("secrets: %+v, %v", list, err)
		}
		if _, err := w.RecoverSecret(ctx, as(owner), ref); err != nil {
			t.Fatal(err)
		}
		if got := w.get("voice", "billing", ""); got != "two" {
			t.Errorf("recovered: %q", got)
		}
		if _, err := w.DeleteSecret(ctx, as(owner), ref); err != nil {
			t.Fatal(err)
		}
		if err := w.PurgeSecret(ctx, as(owner), ref); err != nil {
			t.Fatal(err)
		}
		if _, err := w.RecoverSecret(ctx, as(owner), ref); !errors.Is(err, vault.ErrNoSecret) {
			t.Errorf("a purged secret: %v", err)
		}
		w.put("voice", "billing", "four")
		if got := w.get("voice", "billing", ""); got != "four" {
			t.Errorf("after it was purged: %q", got)
		}
	})
}

func TestWhatIsDueMakesRoomAndIsSwept(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.vault("voice")
		for _, name := range []string{"again", "gone"} {
			w.put("voice", name, "old")
			if _, err := w.DeleteSecret(ctx, as(owner), vault.Ref{Vault: "voice", Name: name}); err != nil {
				t.Fatal(err)
			}
		}
		due := func(table string) {
			err := w.store.Write(ctx, func(tx *store.Tx) error {
				_, err := tx.Exec(ctx, "UPDATE "+table+" SET purge = 1 WHERE deleted <> 0")
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		due("vault_secret")
		if list, _, err := w.DeletedSecrets(ctx, as(owner), "voice", vault.Page{}); err != nil || len(list) != 0 {
			t.Errorf("what is due is shown: %+v, %v", list, err)
		}
		if _, err := w.RecoverSecret(ctx, as(owner), vault.Ref{Vault: "voice", Name: "gone"}); !errors.Is(err, vault.ErrNoSecret) {
			t.Errorf("what is due is had back: %v", err)
		}
		w.put("voice", "again", "new")
		if err := w.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		if got := w.count("vault_version"); got != 1 {
			t.Errorf("%d versions are left", got)
		}
		if err := w.Delete(ctx, as(owner).Principal, id("voice")); err != nil {
			t.Fatal(err)
		}
		due("vault")
		if err := w.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"vault", "vault_secret", "vault_version"} {
			if got := w.count(table); got != 0 {
				t.Errorf("%d rows of %s are left", got, table)
			}
		}
	})
}

func (w *world) count(table string) (n int) {
	w.Helper()
	err := w.store.Read(w.Context(), func(tx *store.Tx) error {
		return tx.Row(w.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n)
	})
	if err != nil {
		w.Fatal(err)
	}
	return n
}

func TestEachPermissionAllowsOneThing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.vault("voice")
		w.put("voice", "here", "x")
		ref := vault.Ref{Vault: "voice", Name: "here"}
		blob, err := w.BackupSecret(ctx, as(owner), ref)
		if err != nil {
			t.Fatal(err)
		}
		asked := map[vault.Permission]func(vault.Caller) error{
			vault.Get:     func(c vault.Caller) error { _, err := w.Secret(ctx, c, ref); return err },
			vault.List:    func(c vault.Caller) error { _, _, err := w.Secrets(ctx, c, "voice", vault.Page{}); return err },
			vault.Write:   func(c vault.Caller) error { _, err := w.PutSecret(ctx, c, ref, "y", vault.Attributes{}); return err },
			vault.Backup:  func(c vault.Caller) error { _, err := w.BackupSecret(ctx, c, ref); return err },
			vault.Delete:  func(c vault.Caller) error { _, err := w.DeleteSecret(ctx, c, ref); return err },
			vault.Recover: func(c vault.Caller) error { _, err := w.RecoverSecret(ctx, c, ref); return err },
			vault.Restore: func(c vault.Caller) error { _, err := w.RestoreSecret(ctx, c, "voice", blob); return err },
			vault.Purge:   func(c vault.Caller) error { return w.PurgeSecret(ctx, c, ref) },
		}
		for _, may := range vault.Permissions() {
			if may == vault.All {
				continue
			}
			v := plain()
			v.Policies = append(v.Policies, vault.Policy{Tenant: tenant, Object: nobody, Secrets: []vault.Permission{may}})
			if _, _, err := w.Put(ctx, as(owner).Principal, id("voice"), v); err != nil {
				t.Fatal(err)
			}
			for what, do := range asked {
				if err := do(as(nobody)); (err != nil && errors.Is(err, vault.ErrPolicy)) == (what == may) {
					t.Errorf("with %s, %s: %v", may, what, err)
				}
			}
			// What was done is made good for the next round.
			w.RecoverSecret(ctx, as(owner), ref)
			if _, err := w.Secret(ctx, as(owner), ref); errors.Is(err, vault.ErrNoSecret) {
				w.put("voice", "here", "x")
			}
		}
	})
}

// The steps A10 to A14 of an onboarding of 2022: a vault whose only reader may
// get, and gets a new version at the next read.
func TestRotationIsPickedUpAtTheNextRead(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.vault("billing")
		for _, value := range []string{"first", "second"} {
			w.put("billing", "client-secret", value)
			x, err := w.Secret(ctx, as(reader), vault.Ref{Vault: "billing", Name: "client-secret"})
			if err != nil || string(x.Value) != value {
				t.Errorf("%v, want %s: %v", x, value, err)
			}
		}
		for what, err := range map[string]error{
			"list": second(w.Secrets(ctx, as(reader), "billing", vault.Page{})),
			"set":  first(w.PutSecret(ctx, as(reader), vault.Ref{Vault: "billing", Name: "client-secret"}, "x", vault.Attributes{})),
		} {
			if !errors.Is(err, vault.ErrPolicy) {
				t.Errorf("%s by one who may get: %v", what, err)
			}
		}
	})
}

func first[T any](_ T, err error) error          { return err }
func second[T, U any](_ T, _ U, err error) error { return err }

func TestTheNetworkDecidesBeforeThePolicy(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		allowed, err := vault.Prefix("192.0.2.0/24")
		if err != nil {
			t.Fatal(err)
		}
		endpoint, _ := vault.Prefix("10.1.2.3")
		rules := func(private bool) {
			w.vault("voice", func(v *vault.Vault) {
				v.Network = vault.Network{Private: private, Deny: true}
				v.Network.Allowed = append(v.Network.Allowed, allowed)
			})
		}
		rules(false)
		w.put("voice", "s", "x") // from within the deployment
		ask := func(address string) error {
			_, err := w.Secret(ctx, from(address), vault.Ref{Vault: "voice", Name: "s"})
			return err
		}
		for address, want := range map[string]error{"192.0.2.77": nil, "::ffff:192.0.2.77": nil, "198.51.100.1": vault.ErrFirewall, "10.1.2.3": vault.ErrFirewall, "2001:db8::1": vault.ErrFirewall} {
			if err := ask(address); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", address, err, want)
			}
		}
		c := vault.Connection{Name: "onboarding", Endpoint: "/subscriptions/far/privateEndpoints/pe", State: vault.Approved}
		c.Sources = append(c.Sources, endpoint)
		if c, err = w.Ask(ctx, as(owner).Principal, id("voice"), c); err != nil || c.State != vault.Pending {
			t.Fatalf("who asks approves himself: %+v, %v", c, err)
		}
		for _, step := range []struct {
			state vault.State
			want  error
		}{{vault.Pending, vault.ErrFirewall}, {vault.Approved, nil}, {vault.Rejected, vault.ErrFirewall}, {vault.Approved, nil}} {
			c.State = step.state
			if _, err := w.Decide(ctx, as(owner).Principal, id("voice"), c); err != nil {
				t.Fatal(err)
			}
			if err := ask("10.1.2.3"); !errors.Is(err, step.want) {
				t.Errorf("%s: %v, want %v", step.state, err, step.want)
			}
		}
		rules(true)
		if err := ask("192.0.2.77"); !errors.Is(err, vault.ErrConnection) {
			t.Errorf("public access is disabled: %v", err)
		}
		if err := ask("10.1.2.3"); err != nil {
			t.Errorf("by a private endpoint: %v", err)
		}
		if err := w.Disconnect(ctx, as(owner).Principal, id("voice"), "Onboarding"); err != nil {
			t.Fatal(err)
		}
		if err := ask("10.1.2.3"); !errors.Is(err, vault.ErrConnection) {
			t.Errorf("a connection that was removed: %v", err)
		}
	})
}

func TestVaultsAreDeletedHadBackAndPurged(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, me := t.Context(), as(owner).Principal
		w.vault("voice")
		w.put("voice", "s", "x")
		if err := w.Delete(ctx, me, id("voice")); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Secret(ctx, as(owner), vault.Ref{Vault: "voice", Name: "s"}); !errors.Is(err, vault.ErrNoVault) {
			t.Errorf("a secret of a deleted vault: %v", err)
		}
		if _, _, err := w.Put(ctx, me, id("voice"), plain()); !errors.Is(err, vault.ErrTrashed) {
			t.Errorf("another in its place: %v", err)
		}
		if list, _, err := w.Deleted(ctx, sub, vault.Page{}); err != nil || len(list) != 1 {
			t.Errorf("deleted: %v, %v", list, err)
		}
		if _, err := w.Recover(ctx, me, id("Voice")); err != nil {
			t.Fatal(err)
		}
		if got := w.get("voice", "s", ""); got != "x" {
			t.Errorf("had back: %q", got)
		}
		if err := errors.Join(w.Delete(ctx, me, id("voice")), w.PurgeVault(ctx, me, sub, "voice")); err != nil {
			t.Fatal(err)
		}
		w.vault("voice")
		if _, err := w.Secret(ctx, as(owner), vault.Ref{Vault: "voice", Name: "s"}); !errors.Is(err, vault.ErrNoSecret) {
			t.Errorf("a secret of the vault before: %v", err)
		}
	})
}

func TestPurgeProtection(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, me := t.Context(), as(owner).Principal
		w.vault("voice", func(v *vault.Vault) { v.PurgeGuard = true })
		w.put("voice", "s", "x")
		ref := vault.Ref{Vault: "voice", Name: "s"}
		if _, err := w.DeleteSecret(ctx, as(owner), ref); err != nil {
			t.Fatal(err)
		}
		if err := w.PurgeSecret(ctx, as(owner), ref); !errors.Is(err, vault.ErrGuarded) {
			t.Errorf("a secret: %v", err)
		}
		if _, _, err := w.Put(ctx, me, id("voice"), plain()); fault.Of(err) != fault.Invalid {
			t.Errorf("the protection is taken away: %v", err)
		}
		if err := w.Delete(ctx, me, id("voice")); err != nil {
			t.Fatal(err)
		}
		if err := w.PurgeVault(ctx, me, sub, "voice"); !errors.Is(err, vault.ErrGuarded) {
			t.Errorf("the vault: %v", err)
		}
	})
}

func TestPoliciesAreAddedReplacedAndRemoved(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, me := t.Context(), as(owner).Principal
		w.vault("voice")
		said := func(may ...vault.Permission) []vault.Policy {
			return []vault.Policy{{Tenant: tenant, Object: nobody, Secrets: may}}
		}
		for _, step := range []struct {
			how  string
			said []vault.Policy
			want []vault.Permission
		}{
			{vault.AddPolicies, said(vault.Get), []vault.Permission{vault.Get}},
			{vault.AddPolicies, said(vault.List, vault.Get), []vault.Permission{vault.Get, vault.List}},
			{vault.ReplacePolicies, said(vault.Write), []vault.Permission{vault.Write}},
			{vault.AddPolicies, said(vault.Get), []vault.Permission{vault.Write, vault.Get}},
			{vault.RemovePolicies, said(vault.Write), []vault.Permission{vault.Get}},
			{vault.RemovePolicies, said(vault.Get), nil},
		} {
			r, err := w.ChangePolicies(ctx, me, id("voice"), step.how, step.said)
			if err != nil {
				t.Fatal(err)
			}
			var got []vault.Permission
			for _, p := range r.Policies {
				if p.Object == nobody {
					got = p.Secrets
				}
			}
			if !slices.Equal(got, step.want) || len(r.Policies) != 2+min(1, len(step.want)) {
				t.Errorf("%s %v: %v, want %v; %d policies", step.how, step.said, got, step.want, len(r.Policies))
			}
		}
	})
}

func TestRulesOfVaults(t *testing.T) {
	w := newWorld(t, storeOf(t))
	me := as(owner).Principal
	for _, name := range []string{"", "ab", "1abc", "a--b", "abc-", "a.b", "a/b", "abcdefghijklmnopqrstuvwxy", "../vault", "väult"} {
		if _, _, err := w.Put(t.Context(), me, id(name), plain()); fault.Of(err) != fault.Invalid {
			t.Errorf("name %q: %v", name, err)
		}
	}
	for what, change := range map[string]func(*vault.Vault){
		"no location":            func(v *vault.Vault) { v.Location = "" },
		"retention of six days":  func(v *vault.Vault) { v.RetentionDays = 6 },
		"retention of 91 days":   func(v *vault.Vault) { v.RetentionDays = 91 },
		"a policy of a stranger": func(v *vault.Vault) { v.Policies[0].Tenant = foreign },
		"an object by name":      func(v *vault.Vault) { v.Policies[0].Object = "me" },
		"an unknown permission":  func(v *vault.Vault) { v.Policies[0].Secrets[0] = "wrap" },
		"two of one principal":   func(v *vault.Vault) { v.Policies[1].Object = v.Policies[0].Object },
	} {
		v := plain()
		change(&v)
		if _, _, err := w.Put(t.Context(), me, id("voice"), v); fault.Of(err) != fault.Invalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	w.vault("voice")
	elsewhere := vault.ID{Subscription: sub, Group: "other", Name: "Voice"}
	if _, _, err := w.Put(t.Context(), me, elsewhere, plain()); fault.Of(err) != fault.Conflict {
		t.Errorf("the same name in another group: %v", err)
	}
	moved := plain()
	moved.Location = "northeurope"
	if _, _, err := w.Put(t.Context(), me, id("voice"), moved); fault.Of(err) != fault.Conflict {
		t.Errorf("a vault that moves: %v", err)
	}
}

// A policy that names an application counts only when that one asks.
func TestAPolicyForOneApplication(t *testing.T) {
	w := newWorld(t, storeOf(t))
	const app = "00000000-0000-4000-8000-0000000000c1"
	w.vault("voice", func(v *vault.Vault) {
		v.Policies = append(v.Policies, vault.Policy{Tenant: tenant, Object: nobody, Application: app, Secrets: []vault.Permission{vault.All}})
	})
	w.put("voice", "s", "x")
	for who, want := range map[string]error{app: nil, owner: vault.ErrPolicy, "": vault.ErrPolicy} {
		c := vault.Caller{Principal: subscription.Principal{Tenant: tenant, Object: nobody, App: who}}
		if _, err := w.Secret(t.Context(), c, vault.Ref{Vault: "voice", Name: "s"}); !errors.Is(err, want) {
			t.Errorf("application %q: %v, want %v", who, err, want)
		}
	}
}

// A policy of a group is of all who are in it, by our own directory at this very
// moment, or by the token where the directory is elsewhere (Azure Key Vault docs,
// "Assign a Key Vault access policy").
func TestAPolicyOfAGroup(t *testing.T) {
	const group, more = "00000000-0000-4000-8000-0000000000e1", "00000000-0000-4000-8000-0000000000e2"
	w := newWorld(t, storeOf(t))
	w.vault("voice", func(v *vault.Vault) {
		v.Policies = append(v.Policies, vault.Policy{Tenant: tenant, Object: group, Secrets: []vault.Permission{vault.Get}}, vault.Policy{Tenant: tenant, Object: more, Application: owner, Secrets: []vault.Permission{vault.All}})
	})
	w.put("voice", "s", "x")
	member := as(nobody)
	members, broken := map[string][]string{nobody: {more, group}}, error(nil)
	ours, err := vault.Open(t.Context(), vault.Config{
		Store: w.store, Keeper: vault.NewKeyFile(w.key), Tenant: tenant,
		Memberships: func(_ context.Context, _ *store.Tx, object string) ([]string, error) { return members[object], broken },
	})
	if err != nil {
		t.Fatal(err)
	}
	claims := func(groups ...string) vault.Caller {
		c := as(nobody)
		c.Groups = groups
		return c
	}
	stranger := claims(group)
	stranger.Tenant = foreign
	for _, tt := range []struct {
		name    string
		set     *vault.Set
		by      vault.Caller
		members []string
		reads   error
		writes  error
	}{
		{"a member, by our directory", ours, member, []string{more, group}, nil, vault.ErrPolicy},
		{"who left a moment ago", ours, member, nil, vault.ErrPolicy, vault.ErrPolicy},
		{"who says so and is none", ours, claims(group), nil, vault.ErrPolicy, vault.ErrPolicy},
		{"of the group that may by another application", ours, member, []string{more}, vault.ErrPolicy, vault.ErrPolicy},
		{"a member, by the token of a directory elsewhere", w.Set, claims(more, strings.ToUpper(group)), nil, nil, vault.ErrPolicy},
		{"of another group", w.Set, claims(more, ""), nil, vault.ErrPolicy, vault.ErrPolicy},
		{"a token without groups", w.Set, member, nil, vault.ErrPolicy, vault.ErrPolicy},
		{"of another tenant", w.Set, stranger, nil, vault.ErrTenant, vault.ErrTenant},
	} {
		members[nobody] = tt.members
		if _, err := tt.set.Secret(t.Context(), tt.by, vault.Ref{Vault: "voice", Name: "s"}); !errors.Is(err, tt.reads) {
			t.Errorf("%s reads: %v, want %v", tt.name, err, tt.reads)
		}
		if _, err := tt.set.PutSecret(t.Context(), tt.by, vault.Ref{Vault: "voice", Name: "t"}, "x", vault.Attributes{}); !errors.Is(err, tt.writes) {
			t.Errorf("%s writes: %v, want %v", tt.name, err, tt.writes)
		}
	}
	members[nobody], broken = []string{group}, errors.New("away")
	if _, err := ours.Secret(t.Context(), member, vault.Ref{Vault: "voice", Name: "s"}); err == nil || errors.Is(err, vault.ErrPolicy) {
		t.Errorf("while the directory is away: %v", err)
	}
	if _, err := ours.Secret(t.Context(), as(reader), vault.Ref{Vault: "voice", Name: "s"}); err != nil {
		t.Errorf("whom a policy names, while the directory is away: %v", err)
	}
}
