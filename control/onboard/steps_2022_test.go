package onboard_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/vault"
)

var old = onboard.Options{Track: onboard.Track2022}

// registration is the one of a name.
func (w *world) registration(name string) entra.Application {
	w.Helper()
	all, err := w.tenant.ApplicationsNamed(w.Context(), name)
	w.must(err)
	if len(all) != 1 {
		w.Fatalf("%d registrations are named %s", len(all), name)
	}
	return all[0]
}

// shown is what a step shows.
func (w *world) shown(st onboard.Status, name string) string {
	w.Helper()
	for _, e := range st.Evidence {
		if e.Name == name {
			return e.Value
		}
	}
	w.Fatalf("%s does not show %q: %+v", st.ID, name, st.Evidence)
	return ""
}

// TestEachUploaderCanHaveARegistrationOfItsOwn: "you can either create a single
// App registration for all of your CDU instances or create unique App
// registrations for each CDU instance".
func TestEachUploaderCanHaveARegistrationOfItsOwn(t *testing.T) {
	w := newWorld(t)
	w.declare("uploader-apps", "each", "management-region", "westeurope", "setup-user", admin)
	w.is(w.apply(old), "A6", onboard.Ready, "how many", "uploaders=")
	w.declare("uploaders", "3")
	p := w.apply(old)
	w.is(p, "A6", onboard.Done, "Call Duration 3")
	w.is(p, "A12", onboard.Done)
	seen := map[string]bool{}
	for _, name := range []string{"Billing Service", "Call Duration 1", "Call Duration 2", "Call Duration 3"} {
		seen[w.shown(w.step(p, "A10"), name+", vault")] = true
	}
	if len(seen) != 4 {
		t.Errorf("%d vaults for 4 registrations", len(seen))
	}
	// Two must not share one.
	w.declare("vault.call-duration-2", w.shown(w.step(p, "A10"), "Call Duration 1, vault"))
	w.is(w.plan(old), "A10", onboard.Drifted, "Call Duration 2: shares its vault with Call Duration 1")
	w.declare("vault.call-duration-2", "/subscriptions/00000000-0000-4000-8000-0000000000ff/resourceGroups/voice/providers/Microsoft.KeyVault/vaults/elsewhere")
	if st := w.step(w.plan(old), "A10"); st.State.Settled() {
		t.Errorf("a vault of another subscription: %+v", st)
	}
}

// TestTwoRegistrationsOfOneName are told, both, and nothing is done with
// either.
func TestTwoRegistrationsOfOneName(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		_, err := w.tenant.CreateApplication(t.Context(), entra.Application{DisplayName: "Billing Service", Audience: entra.SingleTenant})
		w.must(err)
	}
	all, err := w.tenant.ApplicationsNamed(t.Context(), "Billing Service")
	w.must(err)
	w.is(w.apply(old), "A6", onboard.Failed, "2 app registrations", all[0].AppID, all[1].AppID)
	if again, _ := w.tenant.ApplicationsNamed(t.Context(), "Billing Service"); len(again) != 2 {
		t.Errorf("%d are left", len(again))
	}
}

// TestAnOnboardedOperatorSkips what sets operators up for the first time: "skip
// this step if you have already onboarded to TPM or OC".
func TestAnOnboardedOperatorSkips(t *testing.T) {
	w := newWorld(t)
	w.declare("already-onboarded", "yes")
	p := w.plan(old)
	for _, id := range []string{"A3", "A4"} {
		w.is(p, id, onboard.Skipped, "already been onboarded")
	}
	// The document says so of its section 1 alone: the user's role is section 2.
	w.is(p, "A5", onboard.Failed, "no service principal")
	w.deploy()
	p = w.plan(onboard.Options{})
	for _, id := range []string{"B16", "B17", "B20"} {
		w.is(p, id, onboard.Skipped, "already been onboarded")
	}
	// What comes after them says what is not there, all the same.
	w.is(p, "B19", onboard.Failed, "no service principal")
}

// shownNowhere looks for a secret in all that is told, logged and kept of the
// procedure.
func (w *world) shownNowhere(secret string) {
	w.Helper()
	all := []string{w.log.String()}
	for _, format := range []string{"md", "html"} {
		text, err := w.set.Report(w.Context(), w.sub, old, format)
		w.must(err)
		all = append(all, text)
	}
	events, _, err := w.set.Follow(w.Context(), w.sub, 0)
	w.must(err)
	for _, v := range []any{w.plan(old), events} {
		text, err := json.Marshal(v)
		w.must(err)
		all = append(all, string(text))
	}
	all = append(all, w.database())
	if !strings.Contains(all[len(all)-1], "onboard-apply") {
		w.Fatal("the database was not read")
	}
	for _, text := range all {
		if strings.Contains(text, secret) {
			w.Errorf("a secret is shown: %.300s", text)
		}
	}
}

func roleName(p entra.Principal, id string) string {
	for _, r := range p.Roles {
		if r.ID == id {
			return r.Value
		}
	}
	return id
}

// handed is a hand-over of a plan.
func (w *world) handed(p onboard.Plan, id string) onboard.HandOver {
	w.Helper()
	for _, h := range p.HandOvers {
		if h.ID == id {
			return h
		}
	}
	w.Fatalf("nothing is handed over as %s", id)
	return onboard.HandOver{}
}

func (w *world) vaultName(id string) string { return id[strings.LastIndex(id, "/")+1:] }

func (w *world) vaultID(id string) vault.ID {
	return vault.ID{Subscription: sub, Group: "voice", Name: w.vaultName(id)}
}

// answerEndpoint is the onboarding team that asks for a private endpoint, or
// the owner of the vault who says yes.
func (w *world) answerEndpoint(id string, state vault.State) {
	w.Helper()
	c := vault.Connection{Name: "pe", Endpoint: "/subscriptions/" + sub + "/resourceGroups/theirs/providers/Microsoft.Network/privateEndpoints/pe", Sources: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, State: vault.Pending}
	by := subscription.Principal{Tenant: tenant, Object: "theirs", App: "theirs"}
	if _, err := w.vaults.Get(w.Context(), w.vaultID(id)); err != nil {
		w.Fatal(err)
	}
	r, err := w.vaults.Get(w.Context(), w.vaultID(id))
	w.must(err)
	if len(r.Connections) == 0 {
		_, err := w.vaults.Ask(w.Context(), by, w.vaultID(id), c)
		w.must(err)
	}
	if state != vault.Pending {
		c.State = state
		_, err := w.vaults.Decide(w.Context(), by, w.vaultID(id), c)
		w.must(err)
	}
}

// kept is what a vault holds of a registration, as the reader would get it.
func (w *world) kept(id string) (client, secret string) {
	w.Helper()
	by := vault.Caller{Principal: subscription.Principal{Tenant: tenant, Object: directory.ObjectID(tenant, directory.OnboardingID), App: directory.OnboardingID}}
	var got [2]string
	for i, name := range []string{"client-id", "client-secret"} {
		s, err := w.vaults.Secret(w.Context(), by, vault.Ref{Vault: w.vaultName(id), Name: name})
		w.must(err)
		got[i] = string(s.Value)
	}
	return got[0], got[1]
}
