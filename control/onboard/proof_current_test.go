package onboard_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/control/operatorconnect"
	"github.com/tandemgw/tandem/control/store"
)

// secondID is the Application Id that the document prints.
const secondID = "8502a0ec-c76d-412f-836c-398018e2312b"

const (
	sixNumbers = "+442079460001,+442079460002,+442079460003,+442079460004,+442079460005,+442079460006"
	integrates = "+442079460007"
)

var proofsCurrent = []proof{
	{
		step: "B1",
		open: is(onboard.Ready, "No agreement", "agreement="),
		do:   saying("agreement", "OC-17, 2026-01-01"),
		done: is(onboard.Declared, "OC-17", `"declared by","value":"anna"`),
		far:  says("agreement", "OC-17, 2026-01-01"),
		undo: saying("agreement", ""), lost: is(onboard.Ready, "No agreement"),
	},
	{
		step: "B2",
		open: is(onboard.Ready, "Nobody of the onboarding team is named"),
		way: func(w *world) {
			if h := w.handed(w.plan(now), "B2"); h.Address != "azcog-enablement@microsoft.com" || !strings.Contains(h.Message, "Subscription: "+sub) {
				w.Errorf("%+v", h)
			}
			w.sends("B2")
			w.is(w.apply(now), "B2", onboard.Waiting, "asked on")
		},
		do:   func(w *world) { w.answered("B2", "onboarding-contact", "Kim, kim@example.com") },
		done: is(onboard.Declared, "Kim"),
		far:  says("onboarding-contact", "Kim, kim@example.com"),
		undo: saying("onboarding-contact", ""), lost: is(onboard.Waiting),
	},
	chosen("B3"),
	{
		step:  "B4",
		given: saying("contact-name", "Anna", "contact-mail", "anna@telecom.example"),
		open:  is(onboard.Ready, "has not confirmed", `"who":"onboarding team"`),
		way: func(w *world) {
			if h := w.handed(w.plan(now), "B4"); !strings.Contains(h.Message, "enable our subscription") || !strings.Contains(h.Message, "Subscription: "+sub) {
				w.Errorf("%+v", h)
			}
			w.sends("B4")
			w.is(w.apply(now), "B4", onboard.Waiting, "asked on")
			w.refuses("subscription-enabled", "soon")
		},
		do:   func(w *world) { w.answered("B4", "subscription-enabled", "2026-01-01") },
		done: is(onboard.Declared, "2026-01-01"),
		far:  says("subscription-enabled", "2026-01-01"),
		undo: saying("subscription-enabled", ""), lost: is(onboard.Waiting),
	},
	{
		step: "B5",
		open: is(onboard.Ready, "3 of 11", "missing: region, supported codecs", "operator address of service region 2"),
		way: func(w *world) {
			deploymentValues(w)
			w.declare("network-design", "")
			w.is(w.apply(now), "B5", onboard.Ready, "Nobody has reviewed the network design", "tandem network check -f network.yaml --gateway gateway.yaml")
			w.declare("operator-address-2", "", "network-design", "2026-01-01")
			w.is(w.apply(now), "B5", onboard.Ready, "10 of 11", "missing: operator address of service region 2")
			lab := w.step(w.plan(onboard.Options{Track: onboard.TrackCurrent, Environment: onboard.Lab}), "B5")
			if lab.State != onboard.Declared {
				w.Errorf("a lab has one service region: %+v", lab)
			}
		},
		do:   deploymentValues,
		done: is(onboard.Declared, "2026-01-01", "service region 2"),
		far:  all(says("network-design", "2026-01-01"), says("region-1", "westeurope"), says("region-2", "northeurope"), says("operator-address-2", "198.51.100.2")),
		undo: saying("region-2", "westeurope"), lost: is(onboard.Ready, "the first is the same"),
	},
	{
		step: "B6",
		open: is(onboard.Ready, "0 of 6 numbers for service verification, 0 of 1 for integration tests"),
		way: func(w *world) {
			five, _ := strings.CutSuffix(sixNumbers, ",+442079460006")
			w.declare("verification-numbers", five, "integration-numbers", "+442079460001")
			w.is(w.apply(now), "B6", onboard.Ready, "5 of 6", "+442079460001 cannot be both")
			w.refuses("integration-numbers", "the last one")
			w.declare("integration-numbers", integrates)
			w.is(w.plan(onboard.Options{Track: onboard.TrackCurrent, Environment: onboard.Lab}), "B6", onboard.Declared, "5 of 3 numbers")
		},
		do:   saying("verification-numbers", sixNumbers, "integration-numbers", integrates),
		done: is(onboard.Declared, "6 of 6", "1 of 1"),
		far:  all(says("verification-numbers", sixNumbers), says("integration-numbers", integrates)),
		undo: saying("integration-numbers", ""), lost: is(onboard.Ready, "0 of 1"),
	},
	{
		step: "B7",
		open: is(onboard.Ready, "There is no such gateway", "tandem apply -f gateway.yaml"),
		way: func(w *world) {
			w.deploy(func(r *gateway.Resource) { r.Properties.ProvisioningState = "Creating" })
			w.is(w.apply(now), "B7", onboard.Waiting, "Creating")
			w.gateways.one.Properties.ProvisioningState = gateway.Failed
			w.is(w.apply(now), "B7", onboard.Ready, "ended as Failed")
		},
		do:   deployed,
		done: is(onboard.Done, "Made on 2026-01-02", "/communicationsGateways/one"),
		far: func(w *world) error {
			if r, err := w.gateways.Get(w.Context(), w.sub.Gateway); err != nil || r.Properties.ProvisioningState != gateway.Succeeded {
				return fmt.Errorf("%+v, %w", r.Properties, errNotThere)
			}
			return nil
		},
		undo: func(w *world) { w.gateways.one = nil },
		lost: is(onboard.Drifted, "There is no such gateway"),
	},
	{
		step:  "B8",
		given: func(w *world) { w.gateways.one.Properties.Status = gateway.ChangePending },
		open:  is(onboard.Waiting, "ChangePending"),
		do:    func(w *world) { w.gateways.one.Properties.Status = gateway.Complete },
		done:  is(onboard.Done, "Complete", base),
		far: func(w *world) error {
			if r, err := w.gateways.Get(w.Context(), w.sub.Gateway); err != nil || r.Properties.Status != gateway.Complete {
				return fmt.Errorf("%s, %w", r.Properties.Status, errNotThere)
			}
			return nil
		},
		undo: func(w *world) { w.gateways.one.Properties.Status = gateway.ChangePending },
		lost: is(onboard.Drifted, "ChangePending"),
	},
	{
		step: "B9",
		given: func(w *world) {
			at := &w.gateways.one.Properties.ServiceLocations[0]
			at.ACGContactInfo = &gateway.ACGContactInfo{PeerGroups: []gateway.Contact{{SRVRecord: "_sips._tcp.r1." + base, IPAddresses: []string{"203.0.113.1"}, Port: 5061}}}
			at.ACGAddressRanges = &gateway.ACGAddressRanges{SignalingForOperator: []string{"203.0.113.0/28"}, MediaForOperator: []string{"203.0.113.16/28"}}
		},
		open: is(onboard.Ready, "trust each other", "certificates="),
		way: func(w *world) {
			h := w.handed(w.plan(now), "B9")
			for _, want := range []string{base, "SRV record: _sips._tcp.r1." + base + ", addresses 203.0.113.1, port 5061", "Signalling from: 203.0.113.0/28", "Media from: 203.0.113.16/28", "root certificate"} {
				if !strings.Contains(h.Message, want) {
					w.Errorf("the message lacks %q:\n%s", want, h.Message)
				}
			}
			w.sends("B9")
		},
		do:   func(w *world) { w.answered("B9", "certificates", "2026-01-02") },
		done: is(onboard.Declared, "2026-01-02"),
		far:  says("certificates", "2026-01-02"),
		undo: saying("certificates", ""), lost: is(onboard.Ready, "trust each other"),
	},
	{
		step: "B10", service: "TeamsPhoneMobile", // Operator Connect has no Mobile Control Point
		given: func(w *world) { w.gateways.one.Regions = []string{"westeurope", "northeurope"} },
		open:  is(onboard.Ready, "is not on", "--integrated-mcp-enabled true"),
		way: func(w *world) {
			w.gateways.one.Properties.IntegratedMCPEnabled = true
			p := w.apply(now)
			w.is(p, "B10", onboard.Ready, "ifc=")
			for _, r := range []string{"r1", "r2"} {
				if h := w.handed(p, "B10"); !strings.Contains(h.Message, "ServerName sip:mcp."+r+"."+base+";transport=tls;service=mcp") {
					w.Errorf("%s", h.Message)
				}
			}
		},
		do: func(w *world) {
			w.gateways.one.Properties.IntegratedMCPEnabled = true
			w.answered("B10", "ifc", "2026-01-05")
		},
		done: is(onboard.Declared, "2026-01-05"),
		far: all(says("ifc", "2026-01-05"), func(w *world) error {
			if r, err := w.gateways.Get(w.Context(), w.sub.Gateway); err != nil || !r.Properties.IntegratedMCPEnabled {
				return errNotThere
			}
			return nil
		}),
		undo: func(w *world) { w.gateways.one.Properties.IntegratedMCPEnabled = false },
		lost: is(onboard.Ready, "is not on"),
	},
	{
		step: "B11",
		open: is(onboard.Ready, "150 ms", "bfd="),
		way:  func(w *world) { w.refuses("bfd", "yes") },
		do:   saying("bfd", "2026-01-02"),
		done: is(onboard.Declared, "2026-01-02"),
		far:  says("bfd", "2026-01-02"),
		undo: saying("bfd", ""), lost: is(onboard.Ready, "BFD was seen up"),
	},
	{
		step: "B12",
		given: func(w *world) {
			w.gateways.one.Properties.DNSDelegations = &gateway.DNSDelegations{Delegations: []gateway.DNSDelegation{{Domain: "voice.telecom.example", NameServers: []string{"ns1.x.example.", "ns2.x.example."}}}}
		},
		open: is(onboard.Ready, "voice.telecom.example lacks ns1.x.example, ns2.x.example", "voice.telecom.example. 172800 IN NS ns2.x.example."),
		way: func(w *world) {
			w.names.ns = map[string][]string{"voice.telecom.example": {"ns1.x.example"}}
			w.is(w.apply(now), "B12", onboard.Ready, "lacks ns2.x.example")
		},
		do: func(w *world) {
			w.names.ns = map[string][]string{"voice.telecom.example": {"ns1.x.example", "ns2.x.example"}}
		},
		done: is(onboard.Done, "ns1.x.example, ns2.x.example"),
		far: func(w *world) error {
			if found, err := w.names.LookupNS(w.Context(), "voice.telecom.example"); err != nil || len(found) != 2 {
				return fmt.Errorf("%d name servers, %w", len(found), errNotThere)
			}
			return nil
		},
		undo: func(w *world) { w.names.ns = map[string][]string{"voice.telecom.example": {"ns1.x.example"}} },
		lost: is(onboard.Drifted, "lacks ns2.x.example"),
	},
	{
		step: "B13", never: true,
		open: is(onboard.NotOffered, "a later release"),
	},
	{
		step: "B14", never: true,
		given: func(w *world) {
			w.gateways.one.Properties.APIBridge = &gateway.APIBridge{ConfigureAPIBridge: "enabled", AllowedAddressPrefixes: []string{"192.0.2.0/24"}}
			a, err := w.tenant.CreateApplication(w.Context(), entra.Application{DisplayName: "bss", Audience: entra.SingleTenant})
			w.must(err)
			p, err := w.tenant.AddPrincipal(w.Context(), a.AppID, "")
			w.must(err)
			api, err := w.tenant.PrincipalOf(w.Context(), directory.GatewaysID)
			w.must(err)
			role, ok := api.Role("ProvisioningAPI.Read")
			if !ok {
				w.Fatal("no role")
			}
			w.must(w.tenant.Assign(w.Context(), entra.Assignment{Principal: p.ID, Resource: api.ID, Role: role.ID}))
			w.declare("api-client", "bss")
		},
		open: is(onboard.NotOffered, "a later release", "ProvisioningAPI.Read"),
	},
	{
		step: "B15",
		given: func(w *world) {
			w.gateways.one.Properties.Platforms, w.gateways.counts[0].Have = []string{"TeamsDirectRouting"}, 0
		},
		open: is(onboard.Ready, "not among", "--platforms TeamsDirectRouting OperatorConnect"),
		way: func(w *world) {
			w.gateways.one.Properties.Platforms = []string{"TeamsDirectRouting", "OperatorConnect"}
			w.gateways.counts[0].Have = 2
			p := w.apply(now)
			w.is(p, "B15", onboard.Ready, "2 of 6 Automated lines", "purpose Automated")
			w.is(p, "B6", onboard.Ready, "2 of 6 Automated lines") // whatever was said before
			w.gateways.counts[0].Have, w.gateways.counts[1].Have = 0, 0
			w.is(w.apply(now), "B6", onboard.Declared) // they are still to be entered
			w.gateways.counts[1].Have = 1
		},
		do: func(w *world) {
			w.gateways.one.Properties.Platforms, w.gateways.counts[0].Have = []string{"TeamsDirectRouting", "OperatorConnect"}, 6
		},
		done: is(onboard.Done, "6 of 6 Automated lines"),
		far: func(w *world) error {
			r, err := w.gateways.Readiness(w.Context(), w.sub.Gateway)
			i := slices.IndexFunc(r.Services, func(s gateway.ServiceReadiness) bool { return s.Service == "OperatorConnect" })
			if err != nil || i < 0 || r.Services[i].Counts[0].Have < 6 {
				return fmt.Errorf("%+v, %w", r.Services, errNotThere)
			}
			return nil
		},
		shows: func(r *seenRun) {
			r.is(r.world.plan(onboard.Options{Facts: map[string]string{"service-at-deploy": "yes"}}), "B15", onboard.Skipped, "chosen when the gateway was deployed")
		},
		undo: func(w *world) { w.gateways.counts[0].Have = 2 },
		lost: is(onboard.Drifted, "2 of 6 Automated lines"),
	},
	synergy("B16"),
	adminUser("B17"),
	{
		step: "B18",
		given: func(w *world) {
			dropIdentity(w)
			w.gateways.one.Identity = nil
		},
		open: is(onboard.Ready, "no enterprise application named one", "identity.type=SystemAssigned"),
		way: func(w *world) { // somebody else's, of that name
			a, err := w.tenant.CreateApplication(w.Context(), entra.Application{DisplayName: "one", Audience: entra.SingleTenant})
			w.must(err)
			p, err := w.tenant.AddPrincipal(w.Context(), a.AppID, "")
			w.must(err)
			w.is(w.apply(now), "B18", onboard.Ready, "the gateway has no managed identity")
			w.must(w.tenant.DeletePrincipal(w.Context(), p.ID))
			w.must(w.tenant.DeleteApplication(w.Context(), a.ID))
		},
		do:   identified,
		done: is(onboard.Done, "Application ID", "system-assigned managed identity"),
		far: func(w *world) error {
			found, err := w.tenant.PrincipalsNamed(w.Context(), "one")
			if err != nil || len(found) != 1 || found[0].Type != "ManagedIdentity" || w.gateways.one.Identity == nil || found[0].ID != w.gateways.one.Identity.PrincipalID {
				return fmt.Errorf("%+v, %v, %w", found, err, errNotThere)
			}
			return nil
		},
		shows: func(r *seenRun) {
			if got := r.shown(r.status, "application ID"); got != r.identity().AppID {
				r.Errorf("application ID %s", got)
			}
			if got := r.shown(r.status, "tenant"); got != tenant { // that of Project Synergy
				r.Errorf("tenant %s", got)
			}
		},
		undo: dropIdentity,
		lost: is(onboard.Drifted, "no enterprise application named one"),
	},
	{
		step: "B19",
		open: is(onboard.Ready, "0 of 7 roles", "assigns those of the 7 roles"),
		done: is(onboard.Done, "All 7 roles"),
		far: func(w *world) error {
			given, err := w.tenant.AssignmentsOf(w.Context(), w.identity().ID)
			for name, id := range seven {
				if !slices.ContainsFunc(given, func(a entra.Assignment) bool { return a.Role == id }) {
					return fmt.Errorf("it lacks %s", name)
				}
			}
			if err == nil && len(given) != len(seven) {
				err = fmt.Errorf("it has %d roles", len(given))
			}
			return err
		},
		shows: func(r *seenRun) {
			for name, id := range seven {
				if !slices.ContainsFunc(r.status.Evidence, func(e onboard.Evidence) bool { return e.Value == id }) {
					r.Errorf("%s is not shown", name)
				}
			}
		},
		undo: func(w *world) {
			given, err := w.tenant.AssignmentsOf(w.Context(), w.identity().ID)
			w.must(err)
			i := slices.IndexFunc(given, func(a entra.Assignment) bool { return a.Role == seven["dataWrite"] })
			w.must(w.tenant.Unassign(w.Context(), given[i]))
		},
		lost: is(onboard.Drifted, "6 of 7", "missing: Data.Write"), mends: true,
	},
	{
		step: "B20", also: []string{"B1", "B5"}, // what the form asks for
		open: is(onboard.Ready, "open: Operator, Contact", "operator-name="),
		way: func(w *world) {
			formed(w)
			p := w.apply(now)
			w.is(p, "B20", onboard.Ready, "The form is complete")
			form := w.handed(p, "B20").Files[0].Content
			for _, want := range []string{tenant, sub, base, w.identity().AppID, secondID, admin, "OC-17", "Anna", "+442079460000", "+442079460006", "+442079460007", "westeurope, northeurope"} {
				if !strings.Contains(form, want) {
					w.Errorf("the form lacks %s:\n%s", want, form)
				}
			}
			w.sends("B20")
			w.is(w.apply(now), "B20", onboard.Waiting)
		},
		do: func(w *world) {
			formed(w)
			w.answered("B20", "onboarded", "2026-01-10")
		},
		done: is(onboard.Declared, "2026-01-10"),
		far:  all(says("onboarded", "2026-01-10"), says("operator-name", "Telecom")),
		undo: saying("onboarded", ""), lost: is(onboard.Waiting),
	},
	{
		step: "B21",
		open: is(onboard.Ready, "https://operatorconnect.microsoft.com", "portal-access="),
		do: func(w *world) {
			_, err := w.person().PartnerSettings(w.Context())
			w.must(err)
			w.declare("portal-access", "2026-01-11")
		},
		done: is(onboard.Declared, "2026-01-11"),
		far:  says("portal-access", "2026-01-11"),
		undo: saying("portal-access", ""), lost: is(onboard.Ready, "Nobody has said that signing in worked"),
	},
	{
		step: "B22",
		open: is(onboard.Ready, "answers 403", "/operator/configuration"),
		way: func(w *world) {
			if st, id := w.step(w.plan(now), "B22"), w.identity().AppID; st.Instruction == nil || st.Instruction.Paste != id+"\n"+secondID {
				w.Errorf("%+v", st.Instruction)
			}
			w.portal(w.identity().AppID)
			w.is(w.apply(now), "B22", onboard.Ready, "1 of 2", "8502a0ec")
		},
		do: func(w *world) {
			w.lists(w.identity().AppID)
			w.lists(secondID)
		},
		done: is(onboard.Done, "Both are listed"),
		far:  func(w *world) error { return w.listed(w.identity().AppID, secondID) },
		undo: func(w *world) { w.must(w.person().RemoveApplicationID(w.Context(), secondID)) },
		lost: is(onboard.Drifted, "1 of 2", "missing: 8502a0ec"),
	},
	{
		step: "B23",
		open: is(onboard.Ready, "is not registered", "shows its TXT record in our zone"),
		done: is(onboard.Done, "is verified", "TXT record"),
		far: func(w *world) error {
			d, err := w.tenant.Domain(w.Context(), base)
			if err != nil || !d.Verified {
				return fmt.Errorf("%+v, %v, %w", d, err, errNotThere)
			}
			text, err := w.names.LookupTXT(w.Context(), base)
			if err == nil && !strings.HasPrefix(text[0], "MS=ms") {
				err = errNotThere
			}
			return err
		},
		shows: func(r *seenRun) {
			name, text, _ := strings.Cut(r.shown(r.status, "TXT record"), " ")
			if found, err := r.names.LookupTXT(r.Context(), name); name != base || err != nil || !slices.Contains(found, text) {
				r.Errorf("%s %s: %v, %v", name, text, found, err)
			}
		},
		undo: func(w *world) {
			text, err := w.names.LookupTXT(w.Context(), base)
			w.must(err)
			w.must(w.names.RemoveText(w.Context(), base, text[0]))
		},
		lost: is(onboard.Drifted, "no longer in the DNS"), mends: true,
	},
	{
		step: "B24",
		open: is(onboard.Waiting, "none for the gateway yet"),
		do:   func(w *world) { w.provision() },
		done: is(onboard.Done, "LondonCommsGw", "r1."+base),
		far: func(w *world) error { // they are as the gateway made them
			trunks, err := w.person().Trunks(w.Context())
			if err != nil || len(trunks) != 1 || trunks[0].FQDN != "r1."+base || trunks[0].Port != 5063 {
				return fmt.Errorf("%+v, %v, %w", trunks, err, errNotThere)
			}
			profiles, err := w.person().Profiles(w.Context())
			if err != nil || len(profiles) != 1 || profiles[0].Name+profiles[0].NameSuffix != "LondonCommsGw" {
				return fmt.Errorf("%+v, %v, %w", profiles, err, errNotThere)
			}
			return nil
		},
		undo: func(w *world) { // a person who was warned
			trunks, err := w.person().Trunks(w.Context())
			w.must(err)
			_, err = w.person().ReplaceTrunk(w.Context(), operatorconnect.Edit{ID: trunks[0].ID, Force: true}, operatorconnect.TrunkDraft{FQDN: trunks[0].FQDN, Port: 5099, Enabled: true})
			w.must(err)
		},
		lost: is(onboard.Drifted, "the trunk r1."+base+" was changed"), // nobody but a person knows whether it was meant
	},
}

// deploymentValues are what people say before there is a gateway.
func deploymentValues(w *world) {
	w.Helper()
	w.declare("network-design", "2026-01-01", "management-region", "westeurope", "codecs", "PCMA", "platforms", w.sub.Service, "emergency", "Standard",
		"region-1", "westeurope", "operator-address-1", "198.51.100.1", "region-2", "northeurope", "operator-address-2", "198.51.100.2")
	if w.sub.Service == "TeamsPhoneMobile" {
		w.declare("voicemail-number", "+442079460009", "mcp", "integrated")
	}
}

// deployed is the gateway as the documents before have it made, with the service
// of the procedure.
func deployed(w *world) {
	w.Helper()
	w.deploy(func(r *gateway.Resource) { r.Properties.Platforms = []string{w.sub.Service} })
}

// identified gives the gateway its identity, as its resource does.
func identified(w *world) {
	w.Helper()
	w.must(w.store.Write(w.Context(), func(tx *store.Tx) error {
		p, err := w.directory.MakeManagedIdentity(w.Context(), tx, directory.Identity{Resource: w.sub.Gateway.Key(), Name: "one"})
		w.gateways.one.Identity = &gateway.Identity{Type: "SystemAssigned", PrincipalID: p.ID, TenantID: tenant}
		return err
	}))
}

func dropIdentity(w *world) {
	w.Helper()
	w.must(w.store.Write(w.Context(), func(tx *store.Tx) error {
		return w.directory.DropManagedIdentity(w.Context(), tx, w.sub.Gateway.Key())
	}))
}

// formed says what the onboarding form asks for beside what is known.
func formed(w *world) {
	w.Helper()
	w.declare("operator-name", "Telecom", "contact-name", "Anna", "contact-mail", admin, "contact-phone", "+442079460000")
}
