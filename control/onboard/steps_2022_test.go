package onboard_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/vault"
)

var old = onboard.Options{Track: onboard.Track2022}

// under runs a step's test below its heading.
func (w *world) under(t *testing.T, heading string, f func(t *testing.T)) {
	t.Helper()
	t.Run(heading, func(t *testing.T) {
		was := w.TB
		w.TB = t
		defer func() { w.TB = was }()
		f(t)
	})
}

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

// TestPrepareToDeploy goes through "Prepare to deploy Azure Communications
// Gateway" (December 2022), from nothing to the last heading, with our own
// directory, vaults and login, and the sandbox's Operator Connect.
func TestPrepareToDeploy(t *testing.T) {
	w := newWorld(t)
	p := w.apply(old) // nothing is said yet: what needs nobody is done

	w.under(t, "Prerequisites", func(*testing.T) {
		w.is(p, "A0", onboard.Ready, "No agreement")
		w.is(p, "A1", onboard.Ready, "0 of 2 numbers")
		if !w.is(p, "A2", onboard.Ready).Optional {
			w.Error("a support plan is recommended, not demanded")
		}
		w.declare("agreement", "OC-17, 2022-12-15", "manual-number", "+44 20 7946 0001", "automated-number", "+442079460001", "support-plan", "none")
		p = w.plan(old)
		w.is(p, "A0", onboard.Declared, "OC-17")
		w.is(p, "A1", onboard.Ready, "the same number")
		w.is(p, "A2", onboard.Ready, "strongly recommended")
		if err := w.set.Declare(w.Context(), w.sub, map[string]string{"manual-number": "0207 946 0001"}, "anna"); err == nil {
			w.Error("a number that is not globally routable is taken")
		}
		w.declare("automated-number", "+442079460002", "support-plan", "unified")
		p = w.plan(old)
		w.is(p, "A1", onboard.Ready, "has not been told", "tandem onboard show A1")
		if h := w.handed(p, "A1"); !strings.Contains(h.Message, "Manual test line: +442079460001") || !strings.Contains(h.Message, "Automated test line: +442079460002") {
			w.Errorf("%s", h.Message)
		}
		_, err := w.set.Send(w.Context(), w.sub, onboard.Sending{ID: "A1", By: "anna"})
		w.must(err)
		p = w.plan(old)
		w.is(p, "A1", onboard.Done, "+442079460001", "+442079460002")
		w.is(p, "A2", onboard.Declared)
	})

	w.under(t, "1. Configure Azure Active Directory in Operator Azure tenancy", func(*testing.T) {
		if got := w.shown(w.is(p, "A3", onboard.Done), "tenant"); got != tenant {
			w.Errorf("tenant %s", got)
		}
		w.is(p, "A4", onboard.Done, "AzureAD module")
		s, err := w.tenant.PrincipalOf(w.Context(), "eb63d611-525e-4a31-abd7-0cb33f679599")
		w.must(err)
		for _, name := range []string{"Operator Connect", "Project Synergy"} {
			if found, err := w.tenant.PrincipalsNamed(w.Context(), name); err != nil || len(found) != 1 || found[0].ID != s.ID {
				w.Errorf("%s is %+v, %v", name, found, err)
			}
		}
	})

	w.under(t, "2. Allow the Project Synergy application", func(*testing.T) {
		w.is(p, "A5", onboard.Ready, "Nobody is named", "setup-user=")
		w.declare("setup-user", "berta@telecom.example")
		w.is(w.apply(old), "A5", onboard.Ready, "no user berta")
		w.declare("setup-user", admin)
		p = w.apply(old)
		w.is(p, "A5", onboard.Done, admin)
	})

	w.under(t, "3.1 Create an App registration", func(*testing.T) {
		st := w.is(p, "A6", onboard.Done)
		for _, name := range []string{"Billing Service", "Call Duration"} {
			a := w.registration(name)
			if a.Audience != "AzureADMyOrg" || len(a.RedirectURIs()) != 0 || w.shown(st, name+", application ID") != a.AppID {
				w.Errorf("%+v", a)
			}
		}
	})

	w.under(t, "3.2 Configure permissions", func(*testing.T) {
		w.is(p, "A7", onboard.Done)
		w.is(p, "A8", onboard.Done)
		s, err := w.tenant.PrincipalOf(w.Context(), directory.SynergyID)
		w.must(err)
		for name, want := range map[string]string{"Billing Service": "Data.Read NumberManagement.Read TrunkManagement.Read", "Call Duration": "Data.Write"} {
			a := w.registration(name)
			var asked, given []string
			for _, q := range a.Required {
				for _, x := range q.Access {
					asked = append(asked, roleName(s, x.ID))
				}
			}
			mine, err := w.tenant.PrincipalOf(w.Context(), a.AppID)
			w.must(err)
			all, err := w.tenant.AssignmentsOf(w.Context(), mine.ID)
			w.must(err)
			for _, x := range all {
				given = append(given, roleName(s, x.Role))
			}
			if got := strings.Join(slices.Sorted(slices.Values(asked)), " "); got != want {
				w.Errorf("%s asks for %s", name, got)
			}
			if got := strings.Join(slices.Sorted(slices.Values(given)), " "); got != want {
				w.Errorf("%s has %s", name, got)
			}
		}
	})

	w.under(t, "5. Create a network design", func(*testing.T) {
		w.is(p, "A15", onboard.Ready, "tandem network check")
		w.declare("network-design", "2022-12-20")
		p = w.plan(old)
		w.is(p, "A15", onboard.Declared, "2022-12-20")
	})

	w.under(t, "7. Collect Service Regions configuration values", func(*testing.T) {
		w.is(p, "A17", onboard.Ready, "0 of 4")
		w.declare("region-1", "westeurope", "operator-address-1", "198.51.100.1", "region-2", "westeurope", "operator-address-2", "198.51.100.2")
		w.is(w.plan(old), "A17", onboard.Ready, "the first is the same")
		if err := w.set.Declare(w.Context(), w.sub, map[string]string{"operator-address-1": "2001:db8::1"}, "anna"); err == nil {
			w.Error("an IPv6 address is taken")
		}
		w.declare("region-2", "northeurope")
		p = w.plan(old)
		w.is(p, "A17", onboard.Done)
	})

	w.under(t, "8. Decide if you want tags", func(*testing.T) {
		if !w.is(p, "A18", onboard.Ready).Optional {
			w.Error("tags are no duty")
		}
		w.declare("tags", "no")
		p = w.plan(old)
		w.is(p, "A18", onboard.Declared)
	})

	w.under(t, "6. Collect basic information for deploying an Azure Communications Gateway", func(*testing.T) {
		w.is(p, "A16", onboard.Ready, "region, supported codecs, supported voice platforms, emergency call handling")
		w.declare("codecs", "PCMA,G722", "platforms", "TeamsPhoneMobile", "emergency", "Standard")
		w.is(w.plan(old), "A16", onboard.Ready, "Operator Connect is not among them")
		w.declare("platforms", "OperatorConnect, TeamsPhoneMobile")
		w.is(w.plan(old), "A16", onboard.Ready, "missing: region")
	})

	w.under(t, "4.1 Create a Key Vault", func(*testing.T) {
		w.is(p, "A10", onboard.Failed, "in which region")
		w.declare("management-region", "westeurope")
		p = w.apply(old)
		w.is(p, "A16", onboard.Done)
		st := w.is(p, "A10", onboard.Done)
		billing, uploader := w.shown(st, "Billing Service, vault"), w.shown(st, "Call Duration, vault")
		if billing == uploader || !strings.HasPrefix(billing, "/subscriptions/"+sub+"/resourceGroups/voice/providers/Microsoft.KeyVault/vaults/one-billing-") {
			w.Errorf("vaults %s and %s", billing, uploader)
		}
		w.is(p, "A11", onboard.Waiting, "no private endpoint has been asked for")
		for _, id := range []string{"A11/billing-service", "A11/call-duration"} {
			if h := w.handed(p, id); !strings.Contains(h.Message, "Resource ID: /subscriptions/") || h.Address != "azcog-enablement@microsoft.com" {
				w.Errorf("%s: %s", id, h.Message)
			}
		}
		w.answerEndpoint(billing, vault.Pending)
		p = w.plan(old)
		w.is(p, "A11", onboard.Ready, "Billing Service: a private endpoint waits for approval", "Call Duration: no private endpoint has been asked for", "az network private-endpoint-connection approve")
		w.answerEndpoint(billing, vault.Approved)
		w.is(w.plan(old), "A11", onboard.Waiting, "Call Duration: no private endpoint")
		w.answerEndpoint(uploader, vault.Approved)
		p = w.plan(old)
		w.is(p, "A11", onboard.Done)
	})

	w.under(t, "4.2 Create Secrets", func(*testing.T) {
		st := w.is(p, "A12", onboard.Done)
		for _, name := range []string{"Billing Service", "Call Duration"} {
			a := w.registration(name)
			if len(a.Secrets) != 1 {
				w.Fatalf("%d secrets", len(a.Secrets))
			}
			key := a.Secrets[0]
			if life := key.End.Sub(key.Start); life > 70*24*time.Hour || life < 69*24*time.Hour || key.Name != name+" "+key.Start.UTC().Format(time.DateOnly) {
				w.Errorf("%+v", key)
			}
			if w.shown(st, name+", key ID") != key.KeyID {
				w.Errorf("the step shows %+v", st.Evidence)
			}
			id, secret := w.kept(w.shown(w.step(p, "A10"), name+", vault"))
			if id != a.AppID {
				w.Errorf("the vault holds the client ID %s", id)
			}
			if _, err := w.directory.Authenticate(w.Context(), a.AppID, secret); err != nil {
				w.Errorf("what the vault holds does not sign in: %v", err)
			}
			w.shownNowhere(secret)
		}
	})

	w.under(t, "3.3 Add the application ID to the Operator Connect Portal", func(*testing.T) {
		st := w.is(p, "A9", onboard.Ready, "answers 403", "/operator/configuration")
		billing, uploader := w.registration("Billing Service").AppID, w.registration("Call Duration").AppID
		if st.Instruction == nil || st.Instruction.Paste != billing+"\n"+uploader {
			w.Errorf("%+v", st.Instruction)
		}
		w.portal(billing)
		w.is(w.plan(old), "A9", onboard.Ready, uploader)
		w.portal(uploader)
		p = w.plan(old)
		w.is(p, "A9", onboard.Done, "let in")
	})

	w.under(t, "4.3 Grant your Admin Consent", func(*testing.T) {
		w.is(p, "A13", onboard.Ready, "consent-url.billing-service=")
		if h := w.handed(p, "A13/billing-service"); len(h.Asks) != 1 || h.Asks[0] != "consent-url.billing-service" {
			w.Errorf("%+v", h)
		}
		for _, key := range []string{"billing-service", "call-duration"} {
			_, err := w.set.Send(w.Context(), w.sub, onboard.Sending{ID: "A13/" + key, By: "anna"})
			w.must(err)
		}
		w.is(w.apply(old), "A13", onboard.Waiting)
		for _, bad := range []string{"http://login.example/x/adminconsent?client_id=" + readerID, "https://login.example/?client_id=" + readerID, "https://login.example/x/adminconsent?client_id=me"} {
			if err := w.set.Declare(w.Context(), w.sub, map[string]string{"consent-url.billing-service": bad}, "anna"); err == nil {
				w.Errorf("%s is taken", bad)
			}
		}
		for _, key := range []string{"billing-service", "call-duration"} {
			_, err := w.set.Answer(w.Context(), w.sub, onboard.Reply{ID: "A13/" + key, By: "anna", Facts: map[string]string{"consent-url." + key: w.loginURL + "/" + tenant + "/adminconsent?client_id=" + readerID}})
			w.must(err)
		}
		p = w.apply(old)
		st := w.is(p, "A13", onboard.Done)
		if got := w.shown(st, "Billing Service, Application Name"); got != "Voice Secrets Reader" {
			w.Errorf("Application Name %q", got)
		}
	})

	w.under(t, "4.4 Grant your application Key Vault Access", func(*testing.T) {
		w.is(p, "A14", onboard.Done)
		reader, err := w.tenant.PrincipalOf(w.Context(), readerID)
		w.must(err)
		for _, name := range []string{"Billing Service", "Call Duration"} {
			at := w.vaultName(w.shown(w.step(p, "A10"), name+", vault"))
			by := vault.Caller{Principal: subscription.Principal{Tenant: tenant, Object: reader.ID, App: readerID}}
			if _, err := w.vaults.Secret(w.Context(), by, vault.Ref{Vault: at, Name: "client-secret"}); err != nil {
				w.Errorf("it cannot get: %v", err)
			}
			for _, may := range vault.Permissions() {
				if err := w.vaults.May(w.Context(), by, at, may); (err == nil) != (may == vault.Get) {
					w.Errorf("%s: %v", may, err)
				}
			}
		}
	})

	if !p.Finished() || len(p.Acts()) > 0 || len(p.Next()) > 0 {
		t.Errorf("it is not at its end: %v, %+v", p.Acts(), p.Next())
	}
	w.TB = t
	w.asked.take()
	w.apply(old)
	if again := w.asked.take(); len(again) > 0 {
		t.Errorf("applied again, it changed %v", again)
	}
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
