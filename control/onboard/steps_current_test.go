package onboard_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/control/operatorconnect"
	"github.com/tandemgw/tandem/control/store"
)

var now = onboard.Options{Track: onboard.TrackCurrent}

// seven are the roles as the document's own script writes them.
var seven = map[string]string{
	"trunkManagementRead":   "72129ccd-8886-42db-a63c-2647b61635c1",
	"trunkManagementWrite":  "e907ba07-8ad0-40be-8d72-c18a0b3c156b",
	"partnerSettingsRead":   "d6b0de4a-aab5-4261-be1b-0e1800746fb2",
	"numberManagementRead":  "130ecbe2-d1e6-4bbd-9a8d-9a7a909b876e",
	"numberManagementWrite": "752b4e79-4b85-4e33-a6ef-5949f0d7d553",
	"dataRead":              "eb63d611-525e-4a31-abd7-0cb33f679599",
	"dataWrite":             "98d32f93-eaa7-4657-b443-090c23e69f27",
}

// identity is the gateway's service principal.
func (w *world) identity() entra.Principal {
	w.Helper()
	all, err := w.tenant.PrincipalsNamed(w.Context(), "one")
	w.must(err)
	if len(all) != 1 {
		w.Fatalf("%d principals are named like the gateway", len(all))
	}
	return all[0]
}

// provision makes what the gateway has at Operator Connect, as the gateway.
func (w *world) provision() operatorconnect.Trunk {
	w.Helper()
	id := w.identity()
	c, err := w.ask(onboard.Asker{Application: id.AppID, Principal: id.ID})
	w.must(err)
	trunk, err := c.CreateTrunk(w.Context(), operatorconnect.TrunkDraft{FQDN: "r1." + base, Port: 5063, Enabled: true})
	w.must(err)
	_, err = c.CreateProfile(w.Context(), operatorconnect.ProfileDraft{
		Name: "London", NameSuffix: "CommsGw", Region: "EMEA", OfferTypes: []operatorconnect.OfferType{{Name: "Calling"}}, TrunkIDs: []string{trunk.ID},
	})
	w.must(err)
	return trunk
}

// ready is a world in which the gateway is onboarded as far as programs do it.
func ready(t *testing.T, change ...func(*onboard.Parts)) *world {
	t.Helper()
	w := newWorld(t, change...)
	w.deploy()
	w.declare("setup-user", admin)
	w.apply(now)
	return w
}

// TestTwoPrincipalsOfTheGatewaysName are told, both, and neither gets a role.
func TestTwoPrincipalsOfTheGatewaysName(t *testing.T) {
	w := newWorld(t)
	w.deploy()
	mine := w.identity()
	a, err := w.tenant.CreateApplication(t.Context(), entra.Application{DisplayName: "one", Audience: entra.SingleTenant})
	w.must(err)
	other, err := w.tenant.PrincipalOf(t.Context(), a.AppID)
	if fault.Of(err) == fault.NotFound {
		other, err = w.tenant.AddPrincipal(t.Context(), a.AppID, "")
	}
	w.must(err)
	p := w.apply(now)
	w.is(p, "B18", onboard.Failed, "2 enterprise applications are named one", mine.AppID, mine.ID, other.AppID, other.ID)
	for _, x := range []entra.Principal{mine, other} {
		if all, err := w.tenant.AssignmentsOf(t.Context(), x.ID); err != nil || len(all) > 0 {
			t.Errorf("%s has %+v, %v", x.ID, all, err)
		}
	}
}

// TestSomebodyElsesNameIsNoIdentity: an application that bears the gateway's
// name is not taken for it.
func TestSomebodyElsesNameIsNoIdentity(t *testing.T) {
	w := newWorld(t)
	w.deploy(func(r *gateway.Resource) { r.Identity = &gateway.Identity{Type: "None"} })
	w.is(w.plan(now), "B18", onboard.Ready, "has no managed identity")
	w.gateways.one.Identity = &gateway.Identity{Type: "SystemAssigned", PrincipalID: "00000000-0000-4000-8000-0000000000ee", TenantID: tenant}
	w.is(w.plan(now), "B18", onboard.Ready, "is not its managed identity")
	w.gateways.one.Identity = &gateway.Identity{Type: "SystemAssigned", PrincipalID: w.identity().ID, TenantID: "00000000-0000-4000-8000-0000000000ff"}
	w.is(w.plan(now), "B18", onboard.Ready, "must live in the same")
}

// TestTwoTenants: with Project Synergy in another tenant than the one that is
// configured, nothing is done in the wrong one.
func TestTwoTenants(t *testing.T) {
	w := newWorld(t)
	w.deploy()
	w.declare("tenants", "two")
	w.is(w.apply(now), "B3", onboard.Ready, "say in which")
	w.declare("synergy-tenant", "00000000-0000-4000-8000-0000000000ff")
	p := w.apply(now)
	w.is(p, "B3", onboard.Ready, "00000000-0000-4000-8000-0000000000ff", tenant)
	w.is(p, "B16", onboard.Blocked)
	if _, err := w.tenant.PrincipalOf(t.Context(), directory.SynergyID); fault.Of(err) != fault.NotFound {
		t.Errorf("it was added to the wrong tenant: %v", err)
	}
}

// TestAPartnerIsAsked where the operator is onboarded by somebody else: "you
// need to ask them to arrange changes".
func TestAPartnerIsAsked(t *testing.T) {
	w := ready(t, func(p *onboard.Parts) { p.Zone = nil })
	w.declare("partner", "Partner Ltd", "partner-mail", "help@partner.example", "onboarded", "2026-01-10")
	p := w.plan(now)
	w.is(p, "B22", onboard.Ready, "Ask Partner Ltd help@partner.example")
	if h := w.handed(p, "B23"); h.Address != "help@partner.example" || !strings.Contains(h.Message, "Dear Partner Ltd") {
		t.Errorf("%+v", h)
	}
}

// TestTheTXTRecordIsHandedOver where somebody else serves the zone, and nothing
// is verified before it is there.
func TestTheTXTRecordIsHandedOver(t *testing.T) {
	w := ready(t, func(p *onboard.Parts) { p.Zone = nil })
	p := w.plan(now)
	st := w.is(p, "B23", onboard.Ready, "hand it over")
	name, text, _ := strings.Cut(w.shown(st, "TXT record"), " ")
	if h := w.handed(p, "B23"); !strings.Contains(h.Message, name+". 3600 IN TXT \""+text+"\"") {
		t.Errorf("%s", h.Message)
	}
	_, err := w.set.Send(t.Context(), w.sub, onboard.Sending{ID: "B23", By: "anna"})
	w.must(err)
	w.asked.take()
	w.is(w.apply(now), "B23", onboard.Waiting)
	if changes := w.asked.take(); slices.ContainsFunc(changes, func(s string) bool { return strings.HasSuffix(s, "/verify") }) {
		t.Errorf("the directory was asked to look before the record was there: %v", changes)
	}
	w.must(w.names.AddText(t.Context(), name, text))
	w.is(w.apply(now), "B23", onboard.Done)
}

// TestADomainBelowOneOfTheTenantsNeedsNoRecord of its own.
func TestADomainBelowOneOfTheTenantsNeedsNoRecord(t *testing.T) {
	w := newWorld(t, func(p *onboard.Parts) { p.Zone, p.Suffix = nil, "gateways.telecom.example" })
	w.deploy()
	w.is(w.apply(now), "B23", onboard.Done, "since telecom.example is")
}

// TestDriftIsFound: a removed role, a lost TXT record and a lost administrator
// are repaired; an edited profile is reported.
func TestDriftIsFound(t *testing.T) {
	w := ready(t)
	w.declare("onboarded", "2026-01-10")
	w.portal(w.identity().AppID)
	w.portal("8502a0ec-c76d-412f-836c-398018e2312b")
	trunk := w.provision()
	w.is(w.apply(now), "B24", onboard.Done)

	all, err := w.tenant.AssignmentsOf(t.Context(), w.identity().ID)
	w.must(err)
	i := slices.IndexFunc(all, func(a entra.Assignment) bool { return a.Role == seven["dataWrite"] })
	w.must(w.tenant.Unassign(t.Context(), all[i]))
	for name, list := range w.names.texts {
		for _, text := range list {
			w.must(w.names.RemoveText(t.Context(), name, text))
		}
	}
	c, err := w.ask(onboard.Asker{Application: w.identity().AppID, Principal: w.identity().ID})
	w.must(err)
	_, err = c.ReplaceTrunk(t.Context(), operatorconnect.Edit{ID: trunk.ID, Force: true}, operatorconnect.TrunkDraft{FQDN: trunk.FQDN, Port: 5099, Enabled: true})
	w.must(err)

	p := w.plan(now)
	w.is(p, "B19", onboard.Drifted, "6 of 7", "missing: Data.Write")
	w.is(p, "B23", onboard.Drifted, "no longer in the DNS")
	w.is(p, "B24", onboard.Drifted, "the trunk r1."+base+" was changed")
	p = w.apply(now)
	w.is(p, "B19", onboard.Done)
	w.is(p, "B23", onboard.Done)
	w.is(p, "B24", onboard.Drifted, "was changed") // nobody but a person knows whether it was meant
}

// TestWhatTheGatewayAddsIsNoDrift: a region brings a trunk, a service an offer;
// what people take away of them does show.
func TestWhatTheGatewayAddsIsNoDrift(t *testing.T) {
	w := newWorld(t)
	w.deploy(func(r *gateway.Resource) { r.Regions = []string{"westeurope", "northeurope"} })
	w.declare("setup-user", admin, "onboarded", "2026-01-10")
	w.apply(now)
	w.portal(w.identity().AppID)
	w.portal("8502a0ec-c76d-412f-836c-398018e2312b")
	c, err := w.ask(onboard.Asker{Application: w.identity().AppID, Principal: w.identity().ID})
	w.must(err)
	kept := operatorconnect.Kept{Gateway: "one", Region: "westeurope", Offers: []string{"Calling"}}
	keep := func(names ...string) {
		t.Helper()
		for _, name := range names {
			kept.Trunks = append(kept.Trunks, operatorconnect.TrunkDraft{FQDN: name + "." + base, Port: 5063, Enabled: true})
		}
		_, err := c.Keep(t.Context(), kept)
		w.must(err)
	}
	keep("1r1", "1r2")
	w.is(w.apply(now), "B24", onboard.Done)

	w.gateways.one.Regions = append(w.gateways.one.Regions, "uksouth")
	kept.Offers = append(kept.Offers, "TeamsPhoneMobile")
	keep("1r3")
	w.is(w.plan(now), "B24", onboard.Done, "1r3."+base)

	all, err := c.Profiles(t.Context())
	w.must(err)
	d := all[0].Draft()
	d.TrunkIDs = d.TrunkIDs[1:]
	_, err = c.ReplaceProfile(t.Context(), operatorconnect.Edit{ID: all[0].ID, Force: true}, d)
	w.must(err)
	w.is(w.plan(now), "B24", onboard.Drifted, "lacks the trunk 1r1."+base)
	keep()
	w.is(w.plan(now), "B24", onboard.Done)
	d.TrunkIDs, d.EmergencyDialStrings = append(d.TrunkIDs, all[0].Trunks[0].ID), []string{"999"}
	_, err = c.ReplaceProfile(t.Context(), operatorconnect.Edit{ID: all[0].ID, Force: true}, d)
	w.must(err)
	w.is(w.plan(now), "B24", onboard.Drifted, "the calling profile oneCommsGw was changed")
}

// TestDriftOfRegistrations: permissions beyond what is needed, a secret that
// has ended, an access policy that allows more.
func TestDriftOfRegistrations(t *testing.T) {
	w := newWorld(t)
	w.declare("setup-user", admin, "management-region", "westeurope")
	for _, key := range []string{"billing-service", "call-duration"} {
		w.declare("consent-url."+key, w.loginURL+"/"+tenant+"/adminconsent?client_id="+readerID)
	}
	p := w.apply(old)
	for _, id := range []string{"A7", "A8", "A12", "A13", "A14"} {
		w.is(p, id, onboard.Done)
	}
	s, err := w.tenant.PrincipalOf(t.Context(), directory.SynergyID)
	w.must(err)
	a := w.registration("Call Duration")
	w.must(w.tenant.Require(t.Context(), a.ID, append(a.Required, entra.RequiredAccess{Resource: directory.GraphID, Access: []entra.Access{{ID: graphRole(w, "User.Read.All"), Type: "Role"}}})))
	mine, err := w.tenant.PrincipalOf(t.Context(), a.AppID)
	w.must(err)
	w.must(w.tenant.Assign(t.Context(), entra.Assignment{Principal: mine.ID, Resource: s.ID, Role: seven["trunkManagementWrite"]}))
	w.must(w.tenant.RemoveSecret(t.Context(), a.ID, a.Secrets[0].KeyID))
	reader, err := w.tenant.PrincipalOf(t.Context(), readerID)
	w.must(err)
	w.must(w.cfg.Parts.Vaults.Permit(t.Context(), w.shown(w.step(p, "A10"), "Call Duration, vault"), reader.ID, "get", "list"))

	p = w.plan(old)
	w.is(p, "A7", onboard.Drifted, "Call Duration: ", "too much")
	w.is(p, "A8", onboard.Drifted, "TrunkManagement.Write too much")
	w.is(p, "A12", onboard.Drifted, "not one of the registration's")
	w.is(p, "A14", onboard.Drifted, "secrets list too much")
	p = w.apply(old)
	for _, id := range []string{"A7", "A8", "A12", "A14"} {
		w.is(p, id, onboard.Done)
	}
	_, secret := w.kept(w.shown(w.step(p, "A10"), "Call Duration, vault"))
	if _, err := w.directory.Authenticate(t.Context(), a.AppID, secret); err != nil {
		t.Errorf("the new secret does not sign in: %v", err)
	}
}

func graphRole(w *world, value string) string {
	w.Helper()
	g, err := w.tenant.PrincipalOf(w.Context(), directory.GraphID)
	w.must(err)
	r, ok := g.Role(value)
	if !ok {
		w.Fatalf("Graph has no role %s", value)
	}
	return r.ID
}

// TestElsewhereNothingIsChangedUnlessSaid: against a directory that is not ours
// a plan shows, and apply leaves alone; there the gateway signs in as an
// application, and the plan says so.
func TestElsewhereNothingIsChangedUnlessSaid(t *testing.T) {
	w := newWorld(t, func(p *onboard.Parts) { p.Outside[onboard.OfDirectory] = true })
	w.deploy()
	// A directory elsewhere has no managed identity of ours.
	w.must(w.store.Write(t.Context(), func(tx *store.Tx) error {
		return w.directory.DropManagedIdentity(t.Context(), tx, w.gateways.one.ID.Key())
	}))
	w.declare("setup-user", admin)
	w.asked.take()
	p := w.apply(now)
	if changes := w.asked.take(); len(changes) > 0 {
		t.Errorf("it changed %v", changes)
	}
	for _, id := range []string{"B16", "B18"} {
		if st := w.is(p, id, onboard.Ready); !st.Outside || st.Will != "" || st.Instruction == nil {
			t.Errorf("%s: %+v", id, st)
		}
	}
	reg := w.plan(onboard.Options{Track: onboard.Track2022})
	for _, st := range reg.Steps {
		if st.Outside && (st.Instruction == nil || st.Instruction.Command == "" && st.Instruction.Where == "") {
			t.Errorf("%s does not say what to do: %+v", st.ID, st.Instruction)
		}
	}
	p = w.apply(onboard.Options{Outside: true})
	for _, id := range []string{"B16", "B17", "B19", "B23"} {
		w.is(p, id, onboard.Done)
	}
	w.is(p, "B18", onboard.Done, "federated credential of our issuer", "system-assigned identity")
	a := w.registration("one")
	w.must(w.tenant.Federate(t.Context(), a.ID, "again", w.cfg.Parts.Issuer, w.gateways.one.Identity.PrincipalID)) // it is there already
	got, err := w.directory.Application(t.Context(), w.ourselves(), a.ID)
	w.must(err)
	if len(got.Federated) != 1 || got.Federated[0].Subject != w.gateways.one.Identity.PrincipalID {
		t.Errorf("%+v", got.Federated)
	}
	// The gateway is made anew: what may sign in is its identity of before.
	was := w.gateways.one.Identity.PrincipalID
	w.gateways.one.Identity = &gateway.Identity{Type: "SystemAssigned", PrincipalID: "00000000-0000-4000-8000-0000000000ee", TenantID: tenant}
	w.is(w.plan(now), "B18", onboard.Drifted, "no federated credential of the issuer", w.gateways.one.Identity.PrincipalID)
	w.is(w.apply(onboard.Options{Outside: true}), "B18", onboard.Done)
	w.gateways.one.Identity.PrincipalID = was
	w.is(w.plan(now), "B18", onboard.Done)
}
