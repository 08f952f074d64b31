package onboard_test

import (
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/control/rotation"
	sandbox "github.com/tandemgw/tandem/sandbox/operatorconnect"
)

// TestAVaultCanBeCalledAfterAnyGateway: the name of a gateway begins with a
// digit and has two hyphens in a row, which that of a vault does not.
func TestAVaultCanBeCalledAfterAnyGateway(t *testing.T) {
	w := newWorld(t)
	w.sub.Gateway.Name = "1--2"
	w.declare("management-region", "westeurope")
	w.is(w.apply(old), "A10", onboard.Done, "/vaults/gw-1-2-billing-")
}

// TestTeamsPhoneMobile asks for what Operator Connect does not: "The number
// used in Teams Phone Mobile to access the Voicemail Interactive Voice Response
// (IVR) from native dialers", and the way to Microsoft's phone system.
func TestTeamsPhoneMobile(t *testing.T) {
	w := newWorld(t)
	w.sub.Service = "TeamsPhoneMobile"
	w.deploy(func(r *gateway.Resource) {
		r.Properties.Platforms, r.Regions = []string{"TeamsPhoneMobile"}, []string{"westeurope", "northeurope"}
	})
	w.declare("network-design", "2026-01-01")
	p := w.plan(now)
	w.is(p, "B5", onboard.Ready, "number for voicemail, way to Microsoft's phone system", "voicemail-number=")
	w.is(p, "B10", onboard.Ready, "Nobody has said", "mcp=integrated")
	w.declare("voicemail-number", "+442079460009", "mcp", "on-premises")
	p = w.plan(now)
	w.is(p, "B5", onboard.Declared)
	w.is(p, "B10", onboard.Skipped, "your own network")
	w.declare("mcp", "integrated")
	w.is(w.plan(now), "B10", onboard.Ready, "is not on", "--integrated-mcp-enabled true")
	w.gateways.one.Properties.IntegratedMCPEnabled = true
	p = w.plan(now)
	w.is(p, "B10", onboard.Ready, "ifc=")
	if h := w.handed(p, "B10"); !strings.Contains(h.Message, "sip:mcp.r2."+base+";transport=tls;service=mcp") {
		t.Errorf("%s", h.Message)
	}
	w.gateways.one.Properties.SignalingProtocolForMCP = "TCP"
	if h := w.handed(w.plan(now), "B10"); !strings.Contains(h.Message, "sip:mcp.r2."+base+";transport=tcp;service=mcp") {
		t.Errorf("%s", h.Message)
	}
	w.declare("ifc", "2026-01-05")
	w.is(w.plan(now), "B10", onboard.Declared)
	w.declare("setup-user", admin)
	p = w.apply(now)
	if form := w.handed(p, "B20").Files[0].Content; !strings.Contains(form, "| Number for voicemail | +442079460009 |") || !strings.Contains(form, "| Way to Microsoft's phone system | integrated |") {
		t.Errorf("%s", form)
	}
}

// TestWhatALaterReleaseBringsIsNeverDone, whatever of it is there.
func TestWhatALaterReleaseBringsIsNeverDone(t *testing.T) {
	w := ready(t)
	w.gateways.one.Properties.APIBridge = &gateway.APIBridge{ConfigureAPIBridge: "enabled", AllowedAddressPrefixes: []string{"192.0.2.0/24"}}
	a, err := w.tenant.CreateApplication(t.Context(), entra.Application{DisplayName: "bss", Audience: entra.SingleTenant})
	w.must(err)
	p, err := w.tenant.AddPrincipal(t.Context(), a.AppID, "")
	w.must(err)
	api, err := w.tenant.PrincipalOf(t.Context(), directory.GatewaysID)
	w.must(err)
	role, ok := api.Role("ProvisioningAPI.Read")
	if !ok {
		t.Fatal("no role")
	}
	w.must(w.tenant.Assign(t.Context(), entra.Assignment{Principal: p.ID, Resource: api.ID, Role: role.ID}))
	w.declare("api-client", "bss")
	plan := w.apply(now)
	w.is(plan, "B13", onboard.NotOffered, "a later release")
	w.is(plan, "B14", onboard.NotOffered, "a later release", a.AppID, "ProvisioningAPI.Read")
	if n := plan.Tally()[onboard.NotOffered]; n != 2 {
		t.Errorf("%d steps are not offered", n)
	}
}

// TestAnAdminMayBeOneByAGroup: "assigning users and groups to specific roles".
func TestAnAdminMayBeOneByAGroup(t *testing.T) {
	w := newWorld(t)
	w.deploy()
	s, err := w.tenant.AddPrincipal(t.Context(), directory.SynergyID, "")
	w.must(err)
	g, err := w.directory.CreateGroup(t.Context(), w.ourselves(), directory.Group{DisplayName: "voice"})
	w.must(err)
	role, _ := s.Role("Admin")
	w.must(w.tenant.Assign(t.Context(), entra.Assignment{Principal: g.ID, Resource: s.ID, Role: role.ID}))
	w.declare("setup-user", admin)
	w.is(w.plan(now), "B17", onboard.Ready, "does not have the role")
	u, err := w.tenant.UserNamed(t.Context(), admin)
	w.must(err)
	w.must(w.directory.AddMember(t.Context(), w.ourselves(), g.ID, u.ID))
	w.is(w.plan(now), "B17", onboard.Done)
}

// TestWhatIsDisabledIsNotThere for those who need a token.
func TestWhatIsDisabledIsNotThere(t *testing.T) {
	w := ready(t)
	off := func(id string) {
		_, err := w.directory.UpdatePrincipal(t.Context(), w.ourselves(), id, func(p *directory.ServicePrincipal) error {
			p.Enabled = false
			return nil
		})
		w.must(err)
	}
	s, err := w.tenant.PrincipalOf(t.Context(), directory.SynergyID)
	w.must(err)
	off(s.ID)
	w.is(w.plan(now), "B16", onboard.Drifted, "disabled")
	off(w.identity().ID)
	w.is(w.plan(now), "B18", onboard.Drifted, "disabled")
}

// TestAConsentThatLeadsElsewhereIsNotFollowed: the ID in it may be anybody's.
func TestAConsentThatLeadsElsewhereIsNotFollowed(t *testing.T) {
	w := newWorld(t)
	w.declare("management-region", "westeurope")
	for url, want := range map[string]string{
		"https://login.evil.example/" + tenant + "/adminconsent?client_id=" + readerID:          "leads to login.evil.example",
		w.loginURL + "/00000000-0000-4000-8000-0000000000ff/adminconsent?client_id=" + readerID: "for the tenant 00000000-0000-4000-8000-0000000000ff",
	} {
		w.declare("consent-url.billing-service", url, "consent-url.call-duration", url)
		w.is(w.apply(old), "A13", onboard.Ready, want)
		if _, err := w.tenant.PrincipalOf(t.Context(), readerID); err == nil {
			t.Fatal("it was followed")
		}
	}
}

// TestWhatAPersonMustDoForOneKeepsNothingFromTheOthers.
func TestWhatAPersonMustDoForOneKeepsNothingFromTheOthers(t *testing.T) {
	w := newWorld(t)
	_, err := w.tenant.CreateApplication(t.Context(), entra.Application{DisplayName: "Billing Service", Audience: entra.SingleTenant, Web: entra.Redirects{RedirectURIs: []string{"https://billing.telecom.example/"}}})
	w.must(err)
	p := w.apply(old)
	if st := w.is(p, "A6", onboard.Ready, "Billing Service: has redirect URIs"); st.Who != onboard.You || strings.Contains(st.Detail, "Call Duration") {
		t.Errorf("%+v", st)
	}
	w.registration("Call Duration")

	w = newWorld(t)
	w.declare("consent-url.call-duration", w.loginURL+"/"+tenant+"/adminconsent?client_id="+readerID)
	if st := w.is(w.apply(old), "A13", onboard.Ready, "Billing Service: the consent URL is not known yet"); st.Who != onboard.You || strings.Contains(st.Detail, "Call Duration") {
		t.Errorf("%+v", st)
	}
	_, err = w.tenant.PrincipalOf(t.Context(), readerID)
	w.must(err)
}

// TestTwoApplicationsOfTheNotedName: the name is all that consent shows, so two
// of one name are told, and no vault is opened to either.
func TestTwoApplicationsOfTheNotedName(t *testing.T) {
	w := newWorld(t)
	w.declare("management-region", "westeurope")
	for _, key := range []string{"billing-service", "call-duration"} {
		w.declare("consent-url."+key, w.loginURL+"/"+tenant+"/adminconsent?client_id="+readerID)
	}
	w.is(w.apply(old), "A14", onboard.Done)
	a, err := w.tenant.CreateApplication(t.Context(), entra.Application{DisplayName: "Voice Secrets Reader", Audience: entra.SingleTenant})
	w.must(err)
	_, err = w.tenant.AddPrincipal(t.Context(), a.AppID, "")
	w.must(err)
	w.is(w.plan(old), "A13", onboard.Done) // by the ID, which was noted too
	w.declare("application-id.billing-service", "")
	w.is(w.plan(old), "A13", onboard.Failed, "2 enterprise applications are named Voice Secrets Reader", readerID, a.AppID)
}

// TestSecretsAreReplacedInTime where somebody does that: the step hands them
// over, and takes what rotation has made for what it is.
func TestSecretsAreReplacedInTime(t *testing.T) {
	w := newWorld(t)
	r := w.rotates()
	w.declare("management-region", "westeurope")
	p := w.apply(old)
	w.is(p, "A12", onboard.Done)
	all, err := r.List(t.Context())
	w.must(err)
	if len(all) != 2 || all[0].Secret != "client-secret" {
		t.Fatalf("%+v", all)
	}
	before := w.shown(w.step(p, "A12"), "Billing Service, key ID")
	for _, x := range all {
		_, err := r.Rotate(t.Context(), x.Name(), false)
		w.must(err)
	}
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); time.Sleep(20 * time.Millisecond) { // it has a goroutine of its own, and hashes
		if p = w.plan(old); w.shown(w.step(p, "A12"), "Billing Service, key ID") != before {
			break
		}
	}
	if got := w.shown(w.is(p, "A12", onboard.Done), "Billing Service, key ID"); got == before {
		t.Error("the secret was not replaced")
	}
	w.must(r.Forget(t.Context(), all[0].Name()))
	w.is(w.plan(old), "A12", onboard.Drifted, "nobody replaces its secret")
}

// rotates has secrets replaced in time, from now on.
func (w *world) rotates() *rotation.Set {
	w.Helper()
	r := rotation.New(rotation.Config{Store: w.store, Directory: w.tenant, Vaults: w.cfg.Parts.Vaults, Prove: rotation.BySignIn(w.place())})
	w.cfg.Parts.Rotation = r
	w.start()
	r.Start()
	w.Cleanup(r.Close)
	return r
}

// place is where registrations sign in.
func (w *world) place() entra.SignIn {
	return entra.SignIn{Login: w.loginURL, Tenant: tenant, Scope: graphURL + "/.default", HTTP: w.trusting()}
}

// TestOperatorConnectIsAway: what it says is told, nothing is lost, and the next
// run goes on.
func TestOperatorConnectIsAway(t *testing.T) {
	w := ready(t)
	w.declare("onboarded", "2026-01-10")
	w.portal(w.identity().AppID)
	w.portal("8502a0ec-c76d-412f-836c-398018e2312b")
	w.connect.SetFaults(sandbox.Faults{Status: http.StatusTooManyRequests, RetryAfter: time.Hour})
	w.is(w.plan(now), "B22", onboard.Failed, "does not list the application IDs")
	w.connect.SetFaults(sandbox.Faults{})
	w.is(w.plan(now), "B22", onboard.Done)
	w.connect.Offboard(tenant)
	w.is(w.plan(now), "B22", onboard.Failed)
}

// TestTheDNSIsAway: that nobody answers does not mean that a record is gone.
func TestTheDNSIsAway(t *testing.T) {
	w := ready(t)
	w.gateways.one.Properties.DNSDelegations = &gateway.DNSDelegations{Delegations: []gateway.DNSDelegation{{Domain: "voice.telecom.example", NameServers: []string{"ns1.x.example", "ns2.x.example"}}}}
	w.names.ns = map[string][]string{"voice.telecom.example": {"ns1.x.example", "ns2.x.example"}}
	w.apply(now)
	p := w.plan(now)
	for range 2 { // whichever comes first in an answer
		w.is(p, "B12", onboard.Done, "ns1.x.example, ns2.x.example")
		p = w.plan(now)
	}
	w.is(p, "B23", onboard.Done)
	w.names.away = true
	p = w.plan(now)
	w.is(p, "B12", onboard.Failed, "The DNS did not answer")
	w.is(p, "B23", onboard.Failed, "The DNS did not answer")
	w.names.away = false
	w.is(w.plan(now), "B12", onboard.Done)
}

// TestAfterARestartItGoesOn: the rows and the world are all that there is.
func TestAfterARestartItGoesOn(t *testing.T) {
	w := newWorld(t)
	w.deploy()
	w.apply(now)
	w.start() // another process
	w.declare("setup-user", admin)
	w.is(w.apply(now), "B17", onboard.Done)
	w.asked.take()
	w.apply(now)
	if again := w.asked.take(); len(again) > 0 {
		t.Errorf("%v", again)
	}
}

// TestNothingConfiguredIsSaid, step by step, and nothing panics.
func TestNothingConfiguredIsSaid(t *testing.T) {
	w := newWorld(t)
	w.cfg.Parts.Systems = onboard.Systems{}
	w.cfg.Parts.Zone, w.cfg.Parts.Gateways = nil, nil
	w.start()
	for _, opts := range []onboard.Options{old, now} {
		p := w.apply(opts)
		for _, st := range p.Steps {
			if text, _ := json.Marshal(st); strings.Contains(string(text), "panic") || strings.Contains(string(text), "nil pointer") {
				t.Errorf("%s", text)
			}
		}
	}
	w.is(w.plan(old), "A3", onboard.Ready, "No directory is configured", "synergy-tenant")
	w.declare("already-onboarded", "yes", "application-ids", "2026-01-01")
	w.plan(now)
}

// TestEachStepIsOfADocument: IDs without gaps, a heading each, and facts that
// steps ask for are known.
func TestEachStepIsOfADocument(t *testing.T) {
	ids := map[onboard.Track][]string{}
	for _, st := range onboard.Steps() {
		ids[st.Track] = append(ids[st.Track], st.ID)
		if st.Section == "" || st.Title == "" || st.Who == "" {
			t.Errorf("%s: %+v", st.ID, st)
		}
		if st.Who == onboard.Tandem && st.Act == nil {
			t.Errorf("%s is Tandem's, and Tandem does nothing", st.ID)
		}
	}
	if a, b := len(ids[onboard.Track2022]), len(ids[onboard.TrackCurrent]); a != 19 || b != 24 {
		t.Errorf("%d and %d steps", a, b)
	}
	manual, err := os.ReadFile("../../docs/onboarding-steps.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range onboard.Steps() {
		if !strings.Contains(string(manual), "| "+st.ID+" | "+st.Title+" | ") {
			t.Errorf("the manual does not say | %s | %s |", st.ID, st.Title)
		}
	}
	for _, f := range onboard.Facts() {
		if f.Step != "" && !slices.Contains(ids[onboard.Track2022], f.Step) && !slices.Contains(ids[onboard.TrackCurrent], f.Step) {
			t.Errorf("%s is asked for by %s, which there is not", f.Name, f.Step)
		}
		if f.Default != "" && f.Check != nil && f.Check(f.Default) != nil {
			t.Errorf("%s: its default is refused", f.Name)
		}
	}
}
