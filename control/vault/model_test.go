package vault_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/control/vault"
)

// modelled is a secret as one would write it down: versions with their values,
// the oldest first.
type modelled struct {
	versions []version
	deleted  bool
}

type version struct {
	id, value string
	off       bool
}

// TestSecretsBehaveAsOneWouldWriteThemDown does things in any order and
// compares with a map.
func TestSecretsBehaveAsOneWouldWriteThemDown(t *testing.T) {
	w := newWorld(t, storetest.New(t))
	ctx, runs := t.Context(), 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		box := fmt.Sprint("v-", runs)
		w.vault(box)
		model := map[string]*modelled{}
		backups := map[string][]byte{}
		copies := map[string]modelled{}
		name := rapid.SampledFrom([]string{"a", "b"})
		ref := func(n string) vault.Ref { return vault.Ref{Vault: box, Name: n} }
		expect := func(what string, err, want error) {
			if !errors.Is(err, want) {
				t.Fatalf("%s: %v, want %v", what, err, want)
			}
		}
		// there is what the state of a secret makes of most requests.
		there := func(m *modelled) error {
			if m == nil || m.deleted {
				return vault.ErrNoSecret
			}
			return nil
		}
		trashed := func(m *modelled) error {
			if m == nil || !m.deleted {
				return vault.ErrNoSecret
			}
			return nil
		}
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				n, value := name.Draw(t, "name"), rapid.String().Draw(t, "value")
				x, err := w.PutSecret(ctx, as(owner), ref(n), obs.Secret(value), vault.Attributes{})
				m := model[n]
				if m != nil && m.deleted {
					expect("set", err, vault.ErrTrashed)
					return
				}
				expect("set", err, nil)
				if m == nil {
					m = &modelled{}
					model[n] = m
				}
				m.versions = append(m.versions, version{id: x.Version, value: value})
			},
			"get": func(t *rapid.T) {
				n := name.Draw(t, "name")
				m, want, r := model[n], version{}, ref(n)
				if m != nil {
					want = m.versions[len(m.versions)-1]
					if rapid.Bool().Draw(t, "one of them") {
						want = rapid.SampledFrom(m.versions).Draw(t, "version")
						r.Version = want.id
					}
				}
				x, err := w.Secret(ctx, as(owner), r)
				switch reason := there(m); {
				case reason != nil:
					expect("get", err, reason)
				case want.off:
					expect("get", err, vault.ErrDisabled)
				case err != nil || string(x.Value) != want.value || x.Version != want.id:
					t.Fatalf("get: %v, %v", x, err)
				}
			},
			"switch": func(t *rapid.T) {
				n, on := name.Draw(t, "name"), rapid.Bool().Draw(t, "on")
				m := model[n]
				_, err := w.UpdateSecret(ctx, as(owner), ref(n), vault.Change{Enabled: &on})
				if expect("switch", err, there(m)); err == nil {
					m.versions[len(m.versions)-1].off = !on
				}
			},
			"delete": func(t *rapid.T) {
				n := name.Draw(t, "name")
				_, err := w.DeleteSecret(ctx, as(owner), ref(n))
				if expect("delete", err, there(model[n])); err == nil {
					model[n].deleted = true
				}
			},
			"recover": func(t *rapid.T) {
				n := name.Draw(t, "name")
				_, err := w.RecoverSecret(ctx, as(owner), ref(n))
				if expect("recover", err, trashed(model[n])); err == nil {
					model[n].deleted = false
				}
			},
			"purge": func(t *rapid.T) {
				n := name.Draw(t, "name")
				err := w.PurgeSecret(ctx, as(owner), ref(n))
				if expect("purge", err, trashed(model[n])); err == nil {
					delete(model, n)
				}
			},
			"back up": func(t *rapid.T) {
				n := name.Draw(t, "name")
				blob, err := w.BackupSecret(ctx, as(owner), ref(n))
				if expect("back up", err, there(model[n])); err == nil {
					backups[n], copies[n] = blob, modelled{versions: slices.Clone(model[n].versions)}
				}
			},
			"restore": func(t *rapid.T) {
				n := name.Draw(t, "name")
				if backups[n] == nil {
					t.Skip("none")
				}
				_, err := w.RestoreSecret(ctx, as(owner), box, backups[n])
				switch m := model[n]; {
				case m != nil && m.deleted:
					expect("restore", err, vault.ErrTrashed)
				case m != nil:
					if fault.Of(err) != fault.Conflict {
						t.Fatalf("restore over another: %v", err)
					}
				default:
					expect("restore", err, nil)
					model[n] = &modelled{versions: slices.Clone(copies[n].versions)}
				}
			},
			"": func(t *rapid.T) {
				for _, deleted := range []bool{false, true} {
					list, ask := []string{}, w.Secrets
					if deleted {
						ask = w.DeletedSecrets
					}
					found, _, err := ask(ctx, as(owner), box, vault.Page{})
					if err != nil {
						t.Fatal(err)
					}
					for _, x := range found {
						list = append(list, x.Name)
					}
					want := []string{}
					for n, m := range model {
						if m.deleted == deleted {
							want = append(want, n)
						}
					}
					slices.Sort(want)
					if !slices.Equal(list, want) {
						t.Fatalf("deleted %v: %v, want %v", deleted, list, want)
					}
				}
				for n, m := range model {
					found, _, err := w.Versions(ctx, as(owner), ref(n), vault.Page{})
					if err != nil {
						t.Fatal(err)
					}
					if want := len(m.versions); !m.deleted && len(found) != min(want, 25) || m.deleted && len(found) != 0 {
						t.Fatalf("%d versions of %s, want %d", len(found), n, want)
					}
				}
			},
		})
	})
}

func FuzzRestore(f *testing.F) {
	w := newWorld(f, storetest.New(f))
	w.vault("voice")
	w.put("voice", "s", canary)
	blob, err := w.BackupSecret(f.Context(), as(owner), vault.Ref{Vault: "voice", Name: "s"})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{nil, blob, blob[:20], append(slices.Clone(blob), 0), []byte("tandem secret 1\n\xff\xff\xff\xff"), []byte("tandem secret 1\n\x00\x00\x00\x00")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		_, err := w.RestoreSecret(t.Context(), as(owner), "voice", said)
		// The true one meets the secret that is still there.
		if want := fault.Invalid; slices.Equal(said, blob) != (fault.Of(err) == fault.Conflict) || fault.Of(err) != want && !slices.Equal(said, blob) {
			t.Errorf("%q: %v", said, err)
		}
	})
}
