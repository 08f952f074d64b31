package rotation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	client   = "aaaaaaaa-0000-4000-8000-000000000001"
	aVault   = "/subscriptions/s/resourceGroups/voice/providers/Microsoft.KeyVault/vaults/Billing"
	aName    = "billing/client-secret"
	canaries = "CANARY" // every value begins so
)

var errAway = fault.New(fault.Unavailable, "does not answer")

// world is a directory and a vault. weather fails a request before it is done,
// or after.
type world struct {
	mu       sync.Mutex
	keys     []entra.Credential
	values   map[string]string // by key
	versions []entra.Secret
	disabled int // number of the version that somebody has disabled
	made     int
	weather  func(what string) (before, after bool)
	slow     time.Duration // until the directory knows a new secret
	kill     func(what string)
}

func newWorld() *world { return &world{values: map[string]string{}} }

func (w *world) do(what string, f func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kill != nil {
		defer w.kill(what)
	}
	var before, after bool
	if w.weather != nil {
		before, after = w.weather(what)
	}
	if before {
		return errAway
	}
	if err := f(); err != nil {
		return err
	}
	if after {
		return errAway
	}
	return nil
}

func (w *world) ApplicationOf(_ context.Context, app string) (a entra.Application, err error) {
	err = w.do("show", func() error {
		if app != client {
			return fault.New(fault.NotFound, "no such application")
		}
		a = entra.Application{ID: "object", AppID: app, DisplayName: "Billing Service", Secrets: slices.Clone(w.keys)}
		return nil
	})
	return a, err
}

func (w *world) AddSecret(_ context.Context, _, name string, end time.Time) (c entra.Credential, v obs.Secret, err error) {
	err = w.do("make", func() error {
		w.made++
		c = entra.Credential{KeyID: fmt.Sprintf("key-%d", w.made), Name: name, Start: time.Now(), End: end}
		v = obs.Secret(fmt.Sprintf("%s-%d", canaries, w.made))
		w.keys, w.values[c.KeyID] = append(w.keys, c), string(v)
		return nil
	})
	return c, v, err
}

func (w *world) RemoveSecret(_ context.Context, _, key string) error {
	return w.do("remove", func() error {
		n := len(w.keys)
		w.keys = slices.DeleteFunc(w.keys, func(c entra.Credential) bool { return c.KeyID == key })
		if len(w.keys) == n {
			return fault.New(fault.Invalid, "No password credential found")
		}
		return nil
	})
}

func (w *world) Vault(_ context.Context, id string) (v entra.Vault, err error) {
	return entra.Vault{ID: id}, w.do("vault", func() error { return nil })
}

func (w *world) Secret(context.Context, entra.Vault, string) (s entra.Secret, err error) {
	err = w.do("read", func() error {
		if len(w.versions) == 0 {
			return fault.New(fault.NotFound, "no such secret")
		}
		if len(w.versions) == w.disabled {
			return &fault.Error{Kind: fault.Denied, Public: "not allowed on a disabled secret", Err: &entra.Error{Status: 403, Code: "Forbidden", Inner: "SecretDisabled"}}
		}
		s = w.versions[len(w.versions)-1]
		return nil
	})
	return s, err
}

func (w *world) PutSecret(_ context.Context, _ entra.Vault, s entra.Secret) (entra.Secret, error) {
	return s, w.do("keep", func() error { w.versions = append(w.versions, s); return nil })
}

// Prove is the directory's token endpoint.
func (w *world) Prove(_ context.Context, app string, secret obs.Secret) error {
	return w.do("prove", func() error {
		if !w.good(string(secret)) {
			return fault.New(fault.Denied, "invalid_client")
		}
		return nil
	})
}

// good tells whether a value is let in.
func (w *world) good(value string) bool {
	return slices.ContainsFunc(w.keys, func(c entra.Credential) bool {
		return w.values[c.KeyID] == value && c.End.After(time.Now()) && !c.Start.Add(w.slow).After(time.Now())
	})
}

func (w *world) latest() string {
	if len(w.versions) == 0 {
		return ""
	}
	return string(w.versions[len(w.versions)-1].Value)
}

// look runs f with the world standing still.
func (w *world) look(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) set(t *testing.T, db *store.Store, log *slog.Logger) *Set {
	t.Helper()
	return New(Config{Store: db, Directory: w, Vaults: w, Prove: w.Prove, Log: log})
}

// kept runs f with a secret that is kept in a world of its own, and tells out of
// it.
func kept(t *testing.T, out io.Writer, f func(t *testing.T, w *world, s *Set)) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), storetest.New(t)
		defer db.Close()
		var log *slog.Logger
		if out != nil {
			log = slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		}
		s := w.set(t, db, log)
		s.Start()
		defer s.Close()
		if err := s.Keep(t.Context(), target()); err != nil {
			t.Fatal(err)
		}
		f(t, w, s)
	})
}

// rest lets time pass, and waits until nobody has anything to do: what they
// have written may be read then.
func rest(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func target() Target { return Target{Application: client, Vault: aVault} }

// TestASecretIsAlwaysGood for a year: whoever reads the vault now, or read it
// a day ago, is let in; no secret is good for more than 70 days, the name of
// each tells its day, and none is left behind (Azure Communications Gateway
// docs, "Prepare to deploy Azure Communications Gateway", Create Secrets).
func TestASecretIsAlwaysGood(t *testing.T) {
	kept(t, nil, func(t *testing.T, w *world, s *Set) {
		rest(2 * time.Minute)
		var day []string // what was read in each hour of the last day
		for hour := range 24 * 365 {
			w.look(func() {
				day = append(day, w.latest())
				for i, v := range day {
					if !w.good(v) {
						t.Fatalf("in hour %d, what was read %d hours ago is refused", hour, len(day)-i)
					}
				}
				if len(w.keys) > 2 {
					t.Fatalf("%d secrets at the registration", len(w.keys))
				}
			})
			if day = day[max(0, len(day)-23):]; t.Failed() {
				return
			}
			rest(time.Hour)
		}
		w.look(func() {
			if w.made < 6 || w.made > 8 {
				t.Errorf("%d secrets in a year", w.made)
			}
			for i, v := range w.versions {
				if v.Tags[KeyTag] == "" || v.Expires.IsZero() || v.Name != "client-secret" {
					t.Errorf("version %d: %+v", i, v)
				}
			}
			for _, c := range w.keys {
				if c.End.Sub(c.Start) > MostLife || !strings.Contains(c.Name, "Billing Service "+c.Start.UTC().Format(time.DateOnly)) {
					t.Errorf("%+v", c)
				}
			}
		})
		list, err := s.List(t.Context())
		if err != nil || len(list) != 1 || list[0].Name() != aName || list[0].State(time.Now()) != "good" {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

// TestWhateverFailsOrIsKilled nobody is left without a secret, and nothing is
// left behind once the weather is fine.
func TestWhateverFailsOrIsKilled(t *testing.T) {
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			theirs := rand.New(rand.NewPCG(seed, 2)) // the world's, under its lock
			w, db := newWorld(), storetest.New(t)
			defer db.Close()
			var s *Set
			killed := make(chan struct{}, 1)
			w.slow = time.Duration(rng.IntN(5)) * time.Second
			w.weather = func(string) (bool, bool) { x := theirs.IntN(20); return x == 0, x == 1 }
			w.kill = func(string) {
				if theirs.IntN(15) == 0 {
					s.die()
					select {
					case killed <- struct{}{}:
					default:
					}
				}
			}
			s = w.set(t, db, nil)
			if err := s.Keep(t.Context(), target()); err != nil {
				t.Fatal(err)
			}
			s.Start()
			first := false
			for range 24 * 80 {
				select {
				case <-killed:
					s.Close()
					s = w.set(t, db, nil)
					s.Start()
				default:
				}
				w.look(func() {
					if good := w.good(w.latest()); first && !good {
						t.Fatal("who reads the vault is refused")
					} else if good {
						first = true
					}
				})
				if rng.IntN(200) == 0 {
					_, _ = s.Rotate(t.Context(), "billing", rng.IntN(2) == 0) // the store may be at its end with the set
				}
				rest(time.Hour)
			}
			w.look(func() { w.weather, w.kill = nil, nil })
			s.Close()
			s = w.set(t, db, nil)
			s.Start()
			rest(48 * time.Hour)
			w.look(func() {
				if len(w.keys) != 1 || !w.good(w.latest()) {
					t.Errorf("seed %d: %d secrets are left: %+v", seed, len(w.keys), w.keys)
				}
			})
			s.Close()
		})
	}
}

// TestOnDemand: another one now, and the one before at once or after a day.
func TestOnDemand(t *testing.T) {
	for name, revoke := range map[string]bool{"with overlap": false, "at once": true} {
		t.Run(name, func(t *testing.T) {
			kept(t, nil, func(t *testing.T, w *world, s *Set) {
				rest(time.Hour)
				var before string
				w.look(func() { before = w.latest() })
				if _, err := s.Rotate(t.Context(), "BILLING", revoke); err != nil {
					t.Fatal(err)
				}
				rest(time.Minute)
				w.look(func() {
					if now := w.latest(); now == before || !w.good(now) || w.good(before) == revoke {
						t.Errorf("now %q; the one before is good: %t", now, w.good(before))
					}
				})
				rest(26 * time.Hour)
				w.look(func() {
					if w.good(before) || len(w.keys) != 1 {
						t.Errorf("%+v are left", w.keys)
					}
				})
			})
		})
	}
	s := newWorld().set(t, storetest.New(t), nil)
	if _, err := s.Rotate(t.Context(), "nobody", false); fault.Of(err) != fault.NotFound {
		t.Errorf("%v", err)
	}
}

// TestAnOrderToRevokeIsNeverLost, whenever it comes and whoever is killed:
// before the first look, while one is made anyhow, and when the new one is in
// the vault and no row knows.
func TestAnOrderToRevokeIsNeverLost(t *testing.T) {
	for name, f := range map[string]func(w *world, order func() *Set){
		"before the first look": func(_ *world, order func() *Set) { order().Start() },
		"killed before it is known": func(w *world, order func() *Set) {
			s := order()
			w.look(func() {
				w.kill = func(what string) {
					if what == "keep" {
						s.die()
						w.kill = nil
					}
				}
			})
			s.Start()
			s.wait.Wait()
		},
		"while one is made": func(w *world, order func() *Set) {
			s := order() // nobody has wanted it at once yet: the row says so below
			err := s.cfg.Store.Write(s.life, func(tx *store.Tx) error {
				_, err := tx.Exec(s.life, "UPDATE rotation SET asked = ?, revokes = 0", true)
				return err
			})
			if err != nil {
				panic(err)
			}
			w.look(func() {
				w.kill = func(what string) {
					if what == "keep" {
						w.kill = nil
						_, _ = s.Rotate(s.life, aName, true)
					}
				}
			})
			s.Start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, db := newWorld(), storetest.New(t)
				defer db.Close()
				c, v, _ := w.AddSecret(t.Context(), "", "by hand", time.Now().Add(60*24*time.Hour))
				_, _ = w.PutSecret(t.Context(), entra.Vault{}, entra.Secret{Name: "client-secret", Value: v, Tags: map[string]string{KeyTag: c.KeyID}})
				var all []*Set
				order := func() *Set {
					s := w.set(t, db, nil)
					if err := s.Keep(t.Context(), target()); err != nil {
						t.Fatal(err)
					}
					if _, err := s.Rotate(t.Context(), aName, true); err != nil {
						t.Fatal(err)
					}
					all = append(all, s)
					return s
				}
				f(w, order)
				if all[0].life.Err() != nil {
					all = append(all, w.set(t, db, nil))
					all[1].Start()
				}
				rest(15 * time.Minute)
				w.look(func() {
					if w.good(canaries+"-1") || !w.good(w.latest()) || len(w.keys) != 1 {
						t.Errorf("%+v are left", w.keys)
					}
				})
				for _, s := range all {
					s.Close()
				}
			})
		})
	}
}

// TestWhatPeopleDidByHandIsTakenOver: a secret that somebody has put into the
// vault as the documents say is the one, and the one before goes.
func TestWhatPeopleDidByHandIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), storetest.New(t)
		defer db.Close()
		byHand := func() {
			c, v, _ := w.AddSecret(t.Context(), "", "by hand", time.Now().Add(60*24*time.Hour))
			_, _ = w.PutSecret(t.Context(), entra.Vault{}, entra.Secret{Name: "client-secret", Value: v, Tags: map[string]string{KeyTag: strings.ToUpper(c.KeyID)}})
		}
		byHand()
		_, _, _ = w.AddSecret(t.Context(), "", "of somebody else", time.Now().Add(24*time.Hour))
		s := w.set(t, db, nil)
		s.Start()
		defer s.Close()
		if err := s.Keep(t.Context(), target()); err != nil {
			t.Fatal(err)
		}
		rest(time.Minute)
		w.look(func() {
			if w.made != 2 {
				t.Errorf("%d were made", w.made)
			}
		})
		byHand()
		rest(3 * 24 * time.Hour)
		var left []string
		w.look(func() {
			for _, c := range w.keys {
				left = append(left, c.KeyID)
			}
		})
		if !slices.Equal(left, []string{"key-2", "key-3"}) {
			t.Errorf("%v are left", left)
		}
	})
}

// TestADisabledSecretIsReplaced, and the one before revoked: nobody can read
// it.
func TestADisabledSecretIsReplaced(t *testing.T) {
	kept(t, nil, func(t *testing.T, w *world, s *Set) {
		rest(time.Minute)
		w.look(func() { w.disabled = len(w.versions) })
		rest(2 * recheck)
		w.look(func() {
			if len(w.versions) != 2 || !w.good(w.latest()) {
				t.Errorf("%d versions", len(w.versions))
			}
		})
		rest(2 * usualOverlap)
		w.look(func() {
			if len(w.keys) != 1 || !w.good(w.latest()) {
				t.Errorf("%+v are left", w.keys)
			}
		})
	})
}

// TestANewSecretThatIsRefusedIsNotKept: nobody reads what does not work.
func TestANewSecretThatIsRefusedIsNotKept(t *testing.T) {
	kept(t, nil, func(t *testing.T, w *world, s *Set) {
		rest(time.Minute)
		w.look(func() { w.slow = time.Hour; w.keys[0].Start = w.keys[0].Start.Add(-2 * time.Hour) })
		if _, err := s.Rotate(t.Context(), aName, true); err != nil {
			t.Fatal(err)
		}
		rest(3 * time.Hour)
		list, _ := s.List(t.Context())
		w.look(func() {
			if len(w.versions) != 1 || len(w.keys) > 2 || list[0].State(time.Now()) != "failing" || list[0].Attempts < 3 || !w.good(w.latest()) {
				t.Errorf("%d versions, %d keys, %+v", len(w.versions), len(w.keys), list[0])
			}
		})
		w.look(func() { w.slow = 10 * time.Second })
		rest(2 * time.Hour)
		w.look(func() {
			if len(w.versions) != 2 || len(w.keys) != 1 || !w.good(w.latest()) {
				t.Errorf("%d versions, %+v", len(w.versions), w.keys)
			}
		})
	})
}

// TestAVaultThatIsAwayIsTold once for each step towards the end, tried again
// ever less often, and made good when it is back.
func TestAVaultThatIsAwayIsTold(t *testing.T) {
	var out bytes.Buffer
	kept(t, &out, func(t *testing.T, w *world, s *Set) {
		rest(time.Minute)
		asked := 0
		w.look(func() {
			w.weather = func(what string) (bool, bool) {
				if what == "vault" {
					asked++
				}
				return what == "vault" || what == "read" || what == "keep", false
			}
		})
		rest(MostLife)
		if n := strings.Count(out.String(), "a secret nears its end"); n != 3 {
			t.Errorf("told %d times", n)
		}
		if asked > 24*75*2 {
			t.Errorf("asked %d times in 70 days", asked)
		}
		trouble, err := s.Trouble(t.Context(), time.Now())
		if err != nil || len(trouble) != 1 || trouble[0].Cause != "secret ended" || !strings.Contains(trouble[0].Text, "does not answer") {
			t.Errorf("%+v, %v", trouble, err)
		}
		w.look(func() { w.weather = nil })
		rest(2 * time.Hour)
		if trouble, _ = s.Trouble(t.Context(), time.Now()); len(trouble) != 0 {
			t.Errorf("%+v", trouble)
		}
		w.look(func() {
			if !w.good(w.latest()) {
				t.Error("the secret is not replaced")
			}
		})
	})
}

// TestNodesThatShareAStoreMakeOne.
func TestNodesThatShareAStoreMakeOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), storetest.New(t)
		defer db.Close()
		var all []*Set
		for range 3 {
			all = append(all, w.set(t, db, nil))
		}
		if err := all[0].Keep(t.Context(), target()); err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			s.Start()
			defer s.Close()
		}
		rest(50 * 24 * time.Hour)
		w.look(func() {
			if w.made != 1 {
				t.Errorf("%d secrets", w.made)
			}
		})
	})
}

// TestNothingSecretIsSaid: not in the log, a row, or an error.
func TestNothingSecretIsSaid(t *testing.T) {
	var out bytes.Buffer
	kept(t, &out, func(t *testing.T, w *world, s *Set) {
		rng := rand.New(rand.NewPCG(1, 2))
		w.look(func() { w.weather = func(string) (bool, bool) { x := rng.IntN(6); return x == 0, x == 1 } })
		rest(100 * 24 * time.Hour)
		list, err := s.List(t.Context())
		fmt.Fprintf(&out, "%+v %#v %v", list, list, err)
		for _, v := range w.versions {
			fmt.Fprintf(&out, "%+v", v)
		}
		if w.made < 2 || strings.Contains(out.String(), canaries) {
			t.Errorf("%d made: %s", w.made, out.String())
		}
	})
}

func TestWhatCannotBeIsRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.Store) {
		s := newWorld().set(t, db, nil)
		for name, change := range map[string]func(*Target){
			"no vault":       func(t *Target) { t.Vault = "billing" },
			"a trap":         func(t *Target) { t.Vault = "/subscriptions/s/../../vaults/x" },
			"no application": func(t *Target) { t.Application = "" },
			"71 days":        func(t *Target) { t.Life = 71 * 24 * time.Hour },
			"an hour":        func(t *Target) { t.Life = time.Hour },
			"never the old":  func(t *Target) { t.Overlap = 40 * 24 * time.Hour },
			"backwards":      func(t *Target) { t.Ahead = -time.Hour },
		} {
			x := target()
			change(&x)
			if err := s.Keep(t.Context(), x); fault.Of(err) != fault.Invalid {
				t.Errorf("%s: %v", name, err)
			}
		}
		for range 2 {
			if err := s.Keep(t.Context(), target()); err != nil {
				t.Fatal(err)
			}
		}
		other := target()
		other.Application = "another"
		if err := s.Keep(t.Context(), other); fault.Of(err) != fault.Conflict {
			t.Errorf("%v", err)
		}
		again := target()
		again.Life, again.Ahead = 30*24*time.Hour, 5*24*time.Hour
		if err := s.Keep(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		if list, err := s.List(t.Context()); err != nil || len(list) != 1 || list[0].Ahead != again.Ahead {
			t.Errorf("%+v, %v", list, err)
		}
		if err := s.Forget(t.Context(), "billing"); err != nil {
			t.Fatal(err)
		}
		if err := s.Forget(t.Context(), aName); fault.Of(err) != fault.NotFound || errors.Is(err, errNone) {
			t.Errorf("%v", err)
		}
	})
}

// TestOnBothDatabases: made, replaced, and the one before revoked.
func TestOnBothDatabases(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.Store) {
		w := newWorld()
		s := w.set(t, db, nil)
		s.Start()
		defer s.Close()
		until := func(what string, done func(Rotation) bool) {
			t.Helper()
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for limit := time.Now().Add(20 * time.Second); ; <-tick.C {
				list, err := s.List(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if done(list[0]) {
					return
				}
				if time.Now().After(limit) {
					t.Fatalf("%s: %+v", what, list[0])
				}
			}
		}
		if err := s.Keep(t.Context(), target()); err != nil {
			t.Fatal(err)
		}
		until("made", func(r Rotation) bool { return r.KeyID == "key-1" && r.State(time.Now()) == "good" })
		if _, err := s.Rotate(t.Context(), "billing", true); err != nil {
			t.Fatal(err)
		}
		until("replaced", func(r Rotation) bool {
			return r.KeyID == "key-2" && r.State(time.Now()) == "good" && !r.Asked && r.Attempts == 0
		})
		w.look(func() {
			if len(w.keys) != 1 || !w.good(w.latest()) {
				t.Errorf("%+v", w.keys)
			}
		})
	})
}
