package onboard_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/vault"
)

// TestASecretThatIsNotAsItShouldBeIsReplaced: "A Secret will expire in 70 days
// or earlier", "the name should include the date at which the Secret is being
// created".
func TestASecretThatIsNotAsItShouldBeIsReplaced(t *testing.T) {
	w := newWorld(t)
	w.declare("management-region", "westeurope")
	p := w.apply(old)
	w.is(p, "A12", onboard.Done)
	v, err := w.cfg.Parts.Vaults.Vault(t.Context(), w.shown(w.step(p, "A10"), "Billing Service, vault"))
	w.must(err)
	today := time.Now().UTC().Format(time.DateOnly)
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		called string
		life   time.Duration
		want   string
	}{
		"ends soon":    {"Billing Service " + today, 3 * day, "Billing Service: its secret ends on "},
		"too long":     {"Billing Service " + today, 100 * day, "Billing Service: its secret is good for more than 70 days"},
		"of no date":   {"Billing Service", 60 * day, "Billing Service: the name of its secret does not tell the day"},
		"of yesterday": {"Billing Service 2022-12-15", 60 * day, "Billing Service: the name of its secret does not tell the day"},
	} {
		a := w.registration("Billing Service")
		key, value, err := w.tenant.AddSecret(t.Context(), a.ID, c.called, time.Now().Add(c.life))
		w.must(err)
		_, err = w.cfg.Parts.Vaults.PutSecret(t.Context(), v, entra.Secret{Name: "client-secret", Value: value, Tags: map[string]string{"keyId": key.KeyID}})
		w.must(err)
		w.is(w.plan(old), "A12", onboard.Drifted, c.want)
		if got := w.shown(w.is(w.apply(old), "A12", onboard.Done), "Billing Service, key ID"); got == key.KeyID {
			t.Errorf("%s: it is left", name)
		}
	}
	// One that has ended is told, replaced, and taken away.
	a := w.registration("Billing Service")
	key, value, err := w.tenant.AddSecret(t.Context(), a.ID, "Billing Service "+today, time.Now().Add(2*time.Second))
	w.must(err)
	_, err = w.cfg.Parts.Vaults.PutSecret(t.Context(), v, entra.Secret{Name: "client-secret", Value: value, Tags: map[string]string{"keyId": key.KeyID}})
	w.must(err)
	<-time.After(time.Until(key.End) + 10*time.Millisecond)
	w.is(w.plan(old), "A12", onboard.Drifted, "Billing Service: its secret has ended on ")
	w.is(w.apply(old), "A12", onboard.Done)
	for _, left := range w.registration("Billing Service").Secrets {
		if left.KeyID == key.KeyID {
			t.Error("what has ended is still there")
		}
	}
	// A vault that holds somebody else's client ID, or nothing of use.
	_, err = w.cfg.Parts.Vaults.PutSecret(t.Context(), v, entra.Secret{Name: "client-id", Value: "00000000-0000-4000-8000-0000000000ff"})
	w.must(err)
	w.is(w.plan(old), "A12", onboard.Drifted, "does not hold its client ID")
	w.is(w.apply(old), "A12", onboard.Done)
}

// TestADisabledSecretIsReplaced: nobody can read it, and the vault says so by
// 403 (Azure Key Vault docs, "Get Secret").
func TestADisabledSecretIsReplaced(t *testing.T) {
	w := newWorld(t)
	w.declare("management-region", "westeurope")
	p := w.apply(old)
	for _, name := range []string{"client-secret", "client-id"} {
		at := w.shown(w.step(p, "A10"), "Billing Service, vault")
		by := vault.Caller{Principal: subscription.Principal{Tenant: tenant, Object: directory.ObjectID(tenant, directory.OnboardingID), App: directory.OnboardingID}}
		ref, off := vault.Ref{Vault: w.vaultName(at), Name: name}, false
		_, err := w.vaults.UpdateSecret(t.Context(), by, ref, vault.Change{Enabled: &off})
		w.must(err)
		w.is(w.plan(old), "A12", onboard.Drifted, map[string]string{"client-secret": "the secret in its vault is disabled", "client-id": "does not hold its client ID"}[name])
		w.is(w.apply(old), "A12", onboard.Done)
		w.kept(at)
	}
}

// TestAVaultThatGivesNoAnswerHasTheSecret, perhaps: what readers find is let
// in. One that refuses has it not, and nothing is left behind.
func TestAVaultThatGivesNoAnswerHasTheSecret(t *testing.T) {
	w := newWorld(t)
	w.declare("management-region", "westeurope")
	for _, c := range []struct {
		weather http.RoundTripper // of the vault when it is to keep a secret
		secrets int
	}{
		{answer(http.StatusForbidden), 0},
		{nil, 1}, // it keeps it, and answers 500
	} {
		w.between(func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodPut || !strings.HasSuffix(r.URL.Path, "/secrets/client-secret") || !strings.Contains(r.URL.Host, "-billing-") {
				return next.RoundTrip(r)
			}
			if c.weather != nil {
				return c.weather.RoundTrip(r)
			}
			res, err := next.RoundTrip(r)
			if err == nil {
				res.StatusCode = http.StatusInternalServerError
			}
			return res, err
		})
		p := w.apply(old)
		w.is(p, "A12", onboard.Failed)
		a := w.registration("Billing Service")
		if len(a.Secrets) != c.secrets {
			t.Errorf("%d secrets are left: %+v", len(a.Secrets), a.Secrets)
		}
		if c.secrets > 0 {
			_, secret := w.kept(w.shown(w.step(p, "A10"), "Billing Service, vault"))
			if _, err := w.directory.Authenticate(t.Context(), a.AppID, secret); err != nil {
				t.Errorf("what the vault holds does not sign in: %v", err)
			}
		}
	}
	w.is(w.apply(old), "A12", onboard.Done)
	if left := w.registration("Billing Service").Secrets; len(left) != 1 {
		t.Errorf("another one was made: %+v", left)
	}
}

// TestNoSecretIsLeftThatNobodyKnows, whoever is killed, or not answered, after
// it was made: the next run takes it away, and makes another one.
func TestNoSecretIsLeftThatNobodyKnows(t *testing.T) {
	w := newWorld(t)
	w.declare("management-region", "westeurope")
	var lost atomic.Int32
	w.between(func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/secrets/client-secret") && lost.Add(1) == 1 {
			return answer(http.StatusInternalServerError).RoundTrip(r)
		}
		return next.RoundTrip(r)
	})
	r := w.rotates()
	w.is(w.apply(old), "A12", onboard.Failed, "no secret in its vault, and another one cannot be had yet", "Internal Server Error")
	r.Close()
	w.rotates()
	p := w.apply(old)
	w.is(p, "A12", onboard.Done)
	for _, name := range []string{"Billing Service", "Call Duration"} {
		a := w.registration(name)
		if len(a.Secrets) != 1 {
			t.Errorf("%s: %d secrets are left: %+v", name, len(a.Secrets), a.Secrets)
		}
		_, secret := w.kept(w.shown(w.step(p, "A10"), name+", vault"))
		if _, err := w.directory.Authenticate(t.Context(), a.AppID, secret); err != nil {
			t.Errorf("what the vault of %s holds does not sign in: %v", name, err)
		}
	}
}

// TestRotationReplacesWhatIsWrong, which is more than that it ends: and where
// the client ID alone is wrong, nothing else is.
func TestRotationReplacesWhatIsWrong(t *testing.T) {
	w := newWorld(t)
	w.declare("management-region", "westeurope")
	p := w.apply(old)
	w.is(p, "A12", onboard.Done)
	w.rotates()
	v, err := w.cfg.Parts.Vaults.Vault(t.Context(), w.shown(w.step(p, "A10"), "Billing Service, vault"))
	w.must(err)
	for range 2 { // before it is seen to, and then
		a := w.registration("Billing Service")
		key, value, err := w.tenant.AddSecret(t.Context(), a.ID, "Billing Service", time.Now().Add(100*24*time.Hour))
		w.must(err)
		_, err = w.cfg.Parts.Vaults.PutSecret(t.Context(), v, entra.Secret{Name: "client-secret", Value: value, Tags: map[string]string{"keyId": key.KeyID}})
		w.must(err)
		w.is(w.plan(old), "A12", onboard.Drifted, "good for more than 70 days")
		if got := w.shown(w.is(w.apply(old), "A12", onboard.Done), "Billing Service, key ID"); got == key.KeyID {
			t.Error("it is left")
		}
	}
	before := len(w.registration("Billing Service").Secrets)
	_, err = w.cfg.Parts.Vaults.PutSecret(t.Context(), v, entra.Secret{Name: "client-id", Value: "00000000-0000-4000-8000-0000000000ff"})
	w.must(err)
	w.is(w.plan(old), "A12", onboard.Drifted, "does not hold its client ID")
	w.is(w.apply(old), "A12", onboard.Done)
	if now := len(w.registration("Billing Service").Secrets); now != before {
		t.Errorf("%d secrets, there were %d", now, before)
	}
}

// answer is who always gives the same one.
type answer int

func (a answer) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: int(a), Body: http.NoBody, Header: http.Header{}}, nil
}

// between stands between us and the vaults, and who manages them.
func (w *world) between(ask func(next http.RoundTripper, r *http.Request) (*http.Response, error)) {
	w.Helper()
	c := w.cfg.Parts.Vaults.VaultsConfig
	if b, is := c.HTTP.(standing); is {
		c.HTTP = b.next
	}
	c.HTTP = standing{c.HTTP, ask}
	var err error
	w.cfg.Parts.Vaults, err = entra.NewVaults(c)
	w.must(err)
	w.start()
}

type standing struct {
	next http.RoundTripper
	ask  func(http.RoundTripper, *http.Request) (*http.Response, error)
}

func (s standing) RoundTrip(r *http.Request) (*http.Response, error) { return s.ask(s.next, r) }

// TestAVaultThatGoesByRolesIsTold: policies say nothing there (Azure Key Vault
// docs, "Azure role-based access control (Azure RBAC) vs. access policies").
func TestAVaultThatGoesByRolesIsTold(t *testing.T) {
	w := newWorld(t)
	w.declare("management-region", "westeurope")
	w.is(w.apply(old), "A10", onboard.Done)
	w.between(func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
		res, err := next.RoundTrip(r)
		if err == nil && strings.Contains(r.URL.Path, "-billing-") && strings.HasPrefix(r.URL.Path, "/subscriptions/") {
			text, err := io.ReadAll(res.Body)
			w.must(err)
			w.must(res.Body.Close())
			res.Body = io.NopCloser(strings.NewReader(strings.Replace(string(text), `"enableRbacAuthorization":false`, `"enableRbacAuthorization":true`, 1)))
		}
		return res, err
	})
	w.is(w.plan(old), "A10", onboard.Drifted, "Billing Service: its vault goes by roles, not by access policies")
}
