package directory_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tenant = "00000000-0000-4000-8000-00000000000A"
	app    = "00000000-0000-4000-8000-0000000000B1"
	issuer = "https://login.telecom.example/x/v2.0"
	secret = "correct horse"
)

func open(t *testing.T, s *store.Store, clients ...directory.Client) *directory.Set {
	t.Helper()
	d, err := directory.Open(t.Context(), directory.Config{Store: s, Tenant: directory.Tenant{ID: tenant, Name: "Lab"}, Clients: clients, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func client(secret string) directory.Client {
	return directory.Client{ID: app, Name: "onboarding", Secret: obs.Secret(secret)}
}

func TestWhoShowsTheSecretIsLetIn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		d := open(t, s, client(secret))
		for _, id := range []string{app, strings.ToLower(app)} {
			got, err := d.Authenticate(t.Context(), id, secret)
			if err != nil || got.AppID != strings.ToLower(app) || got.ID != directory.ObjectID(tenant, app) || got.DisplayName != "onboarding" {
				t.Errorf("%s: %+v, %v", id, got, err)
			}
		}
		for _, wrong := range []string{"", "Correct horse", secret + " ", secret + "\x00"} {
			if _, err := d.Authenticate(t.Context(), app, wrong); !errors.Is(err, directory.ErrSecret) {
				t.Errorf("%q: %v", wrong, err)
			}
		}
		if _, err := d.Authenticate(t.Context(), tenant, secret); !errors.Is(err, directory.ErrUnknown) {
			t.Errorf("nobody: %v", err)
		}
	})
}

// TestTheConfigurationDecidesWhoMaySignIn at each start: another secret, and
// nobody at all.
func TestTheConfigurationDecidesWhoMaySignIn(t *testing.T) {
	s := storetest.New(t)
	open(t, s, client(secret))
	before := hashes(t, s)
	open(t, s, client(secret))
	if after := hashes(t, s); after != before {
		t.Error("a secret that stays is hashed anew")
	}
	d := open(t, s, client("another"))
	if _, err := d.Authenticate(t.Context(), app, secret); !errors.Is(err, directory.ErrSecret) {
		t.Errorf("the old secret: %v", err)
	}
	if _, err := d.Authenticate(t.Context(), app, "another"); err != nil {
		t.Errorf("the new secret: %v", err)
	}
	d = open(t, s)
	if _, err := d.Authenticate(t.Context(), app, "another"); !errors.Is(err, directory.ErrUnknown) {
		t.Errorf("who was taken out: %v", err)
	}
}

// hashes is all that the store has of secrets.
func hashes(t *testing.T, s *store.Store) (all string) {
	t.Helper()
	err := s.Read(t.Context(), func(tx *store.Tx) error {
		list, err := store.All(t.Context(), tx, func(scan store.Scan) (h string, err error) { return h, scan(&h) }, "SELECT hash FROM application_secret")
		all = strings.Join(list, "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(all, secret) || !strings.HasPrefix(all, "pbkdf2-sha256$100000$") {
		t.Fatalf("the store has %q", all)
	}
	return all
}

// verify reads a token as a relying party would.
func verify(ctx context.Context, d *directory.Set, raw string) (*oidc.IDToken, error) {
	return oidc.NewVerifier(issuer, d, &oidc.Config{ClientID: "https://api.telecom.example//", SupportedSigningAlgs: []string{"RS256"}}).Verify(ctx, raw)
}

func TestATokenSaysWhoseItIs(t *testing.T) {
	d := open(t, storetest.New(t), client(secret))
	a, err := d.Authenticate(t.Context(), app, secret)
	if err != nil {
		t.Fatal(err)
	}
	token, err := d.Issue(t.Context(), a, issuer, "https://api.telecom.example//")
	if err != nil {
		t.Fatal(err)
	}
	got, err := verify(t.Context(), d, string(token.Raw))
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := got.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"tid": strings.ToLower(tenant), "oid": a.ID, "sub": a.ID, "appid": a.AppID, "azp": a.AppID, "idtyp": "app", "ver": "2.0", "app_displayname": "onboarding", "iss": issuer,
	} {
		if claims[name] != want {
			t.Errorf("%s is %v, want %v", name, claims[name], want)
		}
	}
	if roles, is := claims["roles"].([]any); !is || len(roles) != 0 {
		t.Errorf("roles: %v", claims["roles"])
	}
	if life := time.Until(got.Expiry); life < 59*time.Minute || life > time.Hour || token.Life != time.Hour {
		t.Errorf("it is good for %v", life)
	}
	if b, _ := json.Marshal(token); strings.Contains(string(b), "eyJ") {
		t.Error("a token is shown")
	}
	for name, forged := range map[string]string{
		"another signature": string(token.Raw[:len(token.Raw)-8]) + "AAAAAAAA",
		"none":              "eyJhbGciOiJub25lIn0.e30.",
		"nothing":           "",
	} {
		if _, err := verify(t.Context(), d, forged); err == nil {
			t.Errorf("%s is believed", name)
		}
	}
	stranger := open(t, storetest.New(t), client(secret))
	token, err = stranger.Issue(t.Context(), a, issuer, "https://api.telecom.example//")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verify(t.Context(), d, string(token.Raw)); err == nil {
		t.Error("a token of another directory is believed")
	}
}

// TestKeysRotate: the next key is published a day before it signs, the last one
// as long as what it signed is good, and no token is refused on the way.
func TestKeysRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := storetest.New(t)
		defer s.Close()
		one, two := open(t, s, client(secret)), open(t, s, client(secret)) // two control nodes
		a := directory.ServicePrincipal{ID: directory.ObjectID(tenant, app)}
		seen, signed := map[string]time.Time{}, map[string]bool{}
		var copied map[string]bool // the key set as somebody fetched it an hour ago
		for hour := range 24 * 65 {
			d := one
			if hour%2 == 1 {
				d = two
			}
			set, err := d.Keys(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			published := map[string]bool{}
			for _, k := range set.Keys {
				if !k.IsPublic() || !k.Valid() || k.Use != "sig" {
					t.Fatalf("key %+v", k)
				}
				published[k.KeyID] = true
				if seen[k.KeyID].IsZero() {
					seen[k.KeyID] = time.Now()
				}
			}
			token, err := d.Issue(t.Context(), a, issuer, "https://api.telecom.example//")
			if err != nil {
				t.Fatal(err)
			}
			other := one
			if d == one {
				other = two
			}
			time.Sleep(59 * time.Minute)
			if _, err := verify(t.Context(), other, string(token.Raw)); err != nil {
				t.Fatalf("after %d hours: %v", hour, err)
			}
			kid := header(t, string(token.Raw))
			if !published[kid] || copied != nil && !copied[kid] {
				t.Fatalf("after %d hours %s signs, and was not known an hour ago", hour, kid)
			}
			signed[kid], copied = true, published
			time.Sleep(time.Minute)
		}
		if len(signed) != 3 {
			t.Errorf("%d keys have signed in 65 days", len(signed))
		}
		set, _ := one.Keys(t.Context())
		if len(set.Keys) > 2 {
			t.Errorf("%d keys are published", len(set.Keys))
		}
		// After a long silence the next key is overdue, and waits for its day all
		// the same.
		time.Sleep(100 * 24 * time.Hour)
		token, err := one.Issue(t.Context(), a, issuer, "https://api.telecom.example//")
		if err != nil {
			t.Fatal(err)
		}
		if kid := header(t, string(token.Raw)); !copied[kid] {
			t.Errorf("%s signs, and nobody has met it", kid)
		}
	})
}

// header gives the key that signed a token.
func header(t *testing.T, raw string) string {
	t.Helper()
	first, _, _ := strings.Cut(raw, ".")
	text, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		t.Fatal(err)
	}
	var h struct{ Kid, Alg, Typ string }
	if err := json.Unmarshal(text, &h); err != nil || h.Alg != "RS256" || h.Typ != "JWT" {
		t.Fatalf("%+v, %v", h, err)
	}
	return h.Kid
}

// TestManySecretsAtOnceDoNotTakeTheMachine: hashing is slow on purpose, so only
// a few go on at a time, and who gives up is let go.
func TestManySecretsAtOnceDoNotTakeTheMachine(t *testing.T) {
	d := open(t, storetest.New(t), client(secret))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { d.Authenticate(ctx, app, "wrong") })
	}
	begun := time.Now()
	wg.Wait()
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("who gave up was kept for %v", took)
	}
}
