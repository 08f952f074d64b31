package directory_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

const phrase = "canary lamp river onion forty"

var here = directory.Visitor{Source: "192.0.2.1", Browser: "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}

// resident is a user with a password and an app, signed in.
func resident(t *testing.T, d *directory.Set, name string) (u directory.User, session, seed string) {
	t.Helper()
	return residentAt(t, d, name+"@lab.telecom.example")
}

func residentAt(t *testing.T, d *directory.Set, name string) (u directory.User, session, seed string) {
	t.Helper()
	by := directory.Ourselves(strings.ToLower(tenant), "test")
	u, err := d.CreateUser(t.Context(), by, directory.User{Name: name, DisplayName: name, Enabled: true})
	if err != nil {
		t.Fatal(err)
	}
	i, err := d.Invite(t.Context(), by, u.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	half, err := d.SetPassword(t.Context(), string(i.Link), phrase, here)
	if err != nil {
		t.Fatal(err)
	}
	proposed, err := d.ProposeTOTP(t.Context(), string(half.Token))
	if err != nil {
		t.Fatal(err)
	}
	seed = string(proposed.Secret)
	whole, err := d.AddTOTP(t.Context(), string(half.Token), "app", code(t, seed, 0), here)
	if err != nil || !whole.Whole() {
		t.Fatalf("%+v %v", whole, err)
	}
	return u, string(whole.Token), seed
}

// code is what the app shows some steps from now.
func code(t *testing.T, seed string, steps int) string {
	t.Helper()
	c, err := totp.GenerateCode(seed, time.Now().Add(time.Duration(steps)*30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func house(t *testing.T, s *store.Store) *directory.Set {
	t.Helper()
	d, err := directory.Open(t.Context(), directory.Config{Store: s, Tenant: directory.Tenant{ID: tenant, Name: "lab.telecom.example"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestAllOfASignIn on both databases: password, app, code, refresh token, device
// code, and what ends them.
func TestAllOfASignIn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		d := house(t, s)
		ctx, tenant := t.Context(), strings.ToLower(tenant)
		u, _, seed := resident(t, d, "ann")
		for name, try := range map[string][2]string{"wrong": {u.Name, "wrong"}, "nobody": {"nobody@lab.telecom.example", phrase}, "too long": {u.Name, strings.Repeat("x", 5000)}, "with a zero": {u.Name, phrase + "\x00"}, "nothing": {"", ""}} {
			if _, err := d.SignIn(ctx, tenant, try[0], try[1], here); !errors.Is(err, directory.ErrPassword) {
				t.Errorf("%s: %v", name, err)
			}
		}
		half, err := d.SignIn(ctx, tenant, strings.ToUpper(u.Name), phrase, here)
		if err != nil || half.Whole() {
			t.Fatalf("%+v %v", half, err)
		}
		if _, err := d.Permit(ctx, string(half.Token), directory.Asked{Client: directory.AzureCLIID}); !errors.Is(err, directory.ErrSession) {
			t.Errorf("half a session permits: %v", err)
		}
		if _, err := d.ShowTOTP(ctx, string(half.Token), code(t, seed, 0), here); !errors.Is(err, directory.ErrFactor) {
			t.Errorf("the code that was used to add the app: %v", err)
		}
		whole, err := d.ShowTOTP(ctx, string(half.Token), code(t, seed, 1), here)
		if err != nil || whole.Factor != directory.TOTP {
			t.Fatalf("%+v %v", whole, err)
		}
		if _, err := d.Session(ctx, string(half.Token)); !errors.Is(err, directory.ErrSession) {
			t.Errorf("the half session goes on: %v", err)
		}
		list, err := d.Factors(ctx, u.ID)
		if err != nil || len(list) != 1 {
			t.Fatalf("%v %v", list, err)
		}
		if err := d.RemoveFactor(ctx, string(whole.Token), list[0].ID); err == nil {
			t.Error("the last factor can be removed")
		}

		verifier := strings.Repeat("v", 43)
		sum := sha256.Sum256([]byte(verifier))
		c, err := d.Permit(ctx, string(whole.Token), directory.Asked{Client: directory.AzureCLIID, Public: true, Redirect: "http://localhost", Scope: "openid", Challenge: base64.RawURLEncoding.EncodeToString(sum[:]), Nonce: "n"})
		if err != nil {
			t.Fatal(err)
		}
		shown := directory.Shown{Client: directory.AzureCLIID, Code: string(c), Redirect: "http://localhost", Verifier: verifier}
		p, err := d.Redeem(ctx, shown)
		if err != nil || p.User.ID != u.ID || p.Nonce != "n" || p.Scope != "openid" {
			t.Fatalf("%+v %v", p, err)
		}
		first, err := d.NewRefresh(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		next, err := d.Refresh(ctx, directory.AzureCLIID, string(first))
		if err != nil || next == first {
			t.Fatal(err)
		}
		if _, err := d.Redeem(ctx, shown); !errors.Is(err, directory.ErrSpent) {
			t.Errorf("the code again: %v", err)
		}
		if _, err := d.Refresh(ctx, directory.AzureCLIID, string(next)); !errors.Is(err, directory.ErrRevoked) {
			t.Errorf("the token after that: %v", err)
		}

		dev, err := d.BeginDevice(ctx, directory.AzureCLIID, "openid", "192.0.2.9")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.PollDevice(ctx, directory.AzureCLIID, string(dev.Code)); !errors.Is(err, directory.ErrPending) {
			t.Errorf("%v", err)
		}
		if err := d.AnswerDevice(ctx, string(whole.Token), string(dev.UserCode), true); err != nil {
			t.Fatal(err)
		}
		if p, err := d.PollDevice(ctx, directory.AzureCLIID, string(dev.Code)); err != nil || p.User.ID != u.ID || !p.Public {
			t.Errorf("%+v %v", p, err)
		}

		for _, table := range []string{"password", "session", "authorization_code", "refresh_token", "device_code", "invitation", "wrong", "browser"} {
			err := s.Read(ctx, func(tx *store.Tx) error {
				hashes := "hash"
				rows, err := store.All(ctx, tx, func(scan store.Scan) (h string, err error) { return h, scan(&h) }, "SELECT "+hashes+" FROM "+table)
				for _, h := range rows {
					for _, canary := range []string{phrase, string(c), string(first), string(next), string(dev.Code), string(dev.UserCode), string(whole.Token), here.Browser} {
						if strings.Contains(h, canary) {
							t.Errorf("%s holds %q", table, canary)
						}
					}
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}

		by := directory.Ourselves(tenant, "test")
		if err := d.SignOut(ctx, by, u.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Session(ctx, string(whole.Token)); !errors.Is(err, directory.ErrSession) {
			t.Errorf("signed out: %v", err)
		}
		if err := d.DeleteUser(ctx, by, u.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := d.SignIn(ctx, tenant, u.Name, phrase, here); !errors.Is(err, directory.ErrPassword) {
			t.Errorf("who is gone: %v", err)
		}
	})
}

// TestWhoIsDisabledIsSignedOut for good: what was open then is not open again
// when the user is.
func TestWhoIsDisabledIsSignedOut(t *testing.T) {
	d := house(t, storetest.New(t))
	u, session, _ := resident(t, d, "ann")
	by := directory.Ourselves(strings.ToLower(tenant), "test")
	for _, enabled := range []bool{false, true} {
		if _, err := d.UpdateUser(t.Context(), by, u.ID, func(u *directory.User) error { u.Enabled = enabled; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Session(t.Context(), session); !errors.Is(err, directory.ErrSession) {
		t.Errorf("the session goes on: %v", err)
	}
}

// TestAFactorThatIsNone cannot be removed, and the trail has no line of it.
func TestAFactorThatIsNone(t *testing.T) {
	d := house(t, storetest.New(t))
	_, session, _ := resident(t, d, "ann")
	proposed, err := d.ProposeTOTP(t.Context(), session)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := d.AddTOTP(t.Context(), session, "other", code(t, string(proposed.Secret), 0), here)
	if err != nil {
		t.Fatal(err)
	}
	wants(t, "unknown", d.RemoveFactor(t.Context(), string(whole.Token), newGUID()), fault.NotFound)
}

// TestADatabaseThatFailsIsNoWrongCode: the program keeps its token, and tries
// again.
func TestADatabaseThatFailsIsNoWrongCode(t *testing.T) {
	s := storetest.New(t)
	d := house(t, s)
	_, session, _ := resident(t, d, "ann")
	verifier := strings.Repeat("v", 43)
	sum := sha256.Sum256([]byte(verifier))
	c, err := d.Permit(t.Context(), session, directory.Asked{Client: directory.AzureCLIID, Public: true, Challenge: base64.RawURLEncoding.EncodeToString(sum[:])})
	if err != nil {
		t.Fatal(err)
	}
	shown := directory.Shown{Client: directory.AzureCLIID, Code: string(c), Verifier: verifier}
	p, err := d.Redeem(t.Context(), shown)
	if err != nil {
		t.Fatal(err)
	}
	token, err := d.NewRefresh(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), "ALTER TABLE family RENAME TO elsewhere")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Redeem(t.Context(), shown); err == nil || errors.Is(err, directory.ErrCode) {
		t.Errorf("the code: %v", err)
	}
	if _, err := d.Refresh(t.Context(), directory.AzureCLIID, string(token)); err == nil || errors.Is(err, directory.ErrCode) {
		t.Errorf("the refresh token: %v", err)
	}
}

// TestPasswordsThatAreRefused with a sentence.
func TestPasswordsThatAreRefused(t *testing.T) {
	d := house(t, storetest.New(t))
	by := directory.Ourselves(strings.ToLower(tenant), "test")
	u, err := d.CreateUser(t.Context(), by, directory.User{Name: "archibald@lab.telecom.example", DisplayName: "A", Enabled: true})
	if err != nil {
		t.Fatal(err)
	}
	i, err := d.Invite(t.Context(), by, u.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	for password, says := range map[string]string{
		"elevenchars": "too short", strings.Repeat("ab", 20): "repeats", "Archibald and 12 more": "your name", "Password12345678": "easy to guess", strings.Repeat("long enough ", 100): "too long", "\xff\xfe not of this world": "too long",
	} {
		if _, err := d.SetPassword(t.Context(), string(i.Link), password, here); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.20q: %v, want %q", password, err, says)
		}
	}
	if _, err := d.SetPassword(t.Context(), string(i.Link), "ärger über öl, ja", here); err != nil {
		t.Error(err)
	}
	if _, err := d.SetPassword(t.Context(), string(i.Link), "ärger über öl, ja", here); !errors.Is(err, directory.ErrLink) {
		t.Errorf("the link again: %v", err)
	}
}
