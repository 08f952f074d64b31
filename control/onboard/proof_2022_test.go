package onboard_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/vault"
)

// What "3.2 Configure permissions" prints, for each registration.
var permissions = map[string]string{"Billing Service": "Data.Read NumberManagement.Read TrunkManagement.Read", "Call Duration": "Data.Write"}

// keys are what facts call the two registrations.
var keys = []string{"billing-service", "call-duration"}

var proofs2022 = []proof{
	{
		step: "A0",
		open: is(onboard.Ready, "No agreement", "agreement="),
		do:   saying("agreement", "OC-17, 2022-12-15"),
		done: is(onboard.Declared, "OC-17", `"declared by","value":"anna"`),
		far:  says("agreement", "OC-17, 2022-12-15"),
		undo: saying("agreement", ""), lost: is(onboard.Ready, "No agreement"),
	},
	{
		step: "A1",
		open: is(onboard.Ready, "0 of 2 numbers"),
		way: func(w *world) {
			w.declare("manual-number", "+44 20 7946 0001", "automated-number", "+442079460001")
			w.is(w.plan(old), "A1", onboard.Ready, "the same number")
			w.refuses("manual-number", "0207 946 0001") // not globally routable
			w.declare("automated-number", "+442079460002")
			p := w.apply(old)
			w.is(p, "A1", onboard.Ready, "has not been told", "tandem onboard show A1")
			if h := w.handed(p, "A1"); !strings.Contains(h.Message, "Manual test line: +442079460001") || !strings.Contains(h.Message, "Automated test line: +442079460002") {
				w.Errorf("%s", h.Message)
			}
		},
		do: func(w *world) {
			w.declare("manual-number", "+44 20 7946 0001", "automated-number", "+442079460002")
			w.sends("A1")
		},
		done: is(onboard.Done, "+442079460001", "+442079460002"),
		far:  all(says("manual-number", "+44 20 7946 0001"), says("automated-number", "+442079460002"), sent("A1")),
		undo: saying("automated-number", ""), lost: is(onboard.Drifted, "1 of 2 numbers"),
	},
	{
		step: "A2",
		open: is(onboard.Ready, "No support plan", `"optional":true`), // recommended, not demanded
		way: func(w *world) {
			w.declare("support-plan", "none")
			w.is(w.apply(old), "A2", onboard.Ready, "strongly recommended")
			w.refuses("support-plan", "the best")
		},
		do:   saying("support-plan", "unified"),
		done: is(onboard.Declared, "unified"),
		far:  says("support-plan", "unified"),
		undo: saying("support-plan", "none"), lost: is(onboard.Ready, "strongly recommended"),
	},
	chosen("A3"),
	synergy("A4"),
	adminUser("A5"),
	{
		step: "A6",
		open: is(onboard.Ready, "not registered", "registers Billing Service, Call Duration"),
		done: is(onboard.Done, "Billing Service", "Call Duration"),
		far:  registered,
		shows: func(r *seenRun) {
			for name := range permissions {
				a := r.registration(name)
				if r.shown(r.status, name+", application ID") != a.AppID || r.shown(r.status, name+", object ID") != a.ID {
					r.Errorf("%+v", r.status.Evidence)
				}
			}
		},
		undo: func(w *world) { w.must(w.tenant.DeleteApplication(w.Context(), w.registration("Call Duration").ID)) },
		lost: is(onboard.Drifted, "Call Duration: not registered"), mends: true,
	},
	{
		step: "A7",
		open: is(onboard.Ready, "NumberManagement.Read, TrunkManagement.Read missing", "Call Duration: Data.Write missing"),
		done: is(onboard.Done, "exactly what it needs"),
		far:  func(w *world) error { return w.roles(w.asksFor) },
		undo: func(w *world) { // more than the document wants
			a := w.registration("Call Duration")
			w.must(w.tenant.Require(w.Context(), a.ID, append(a.Required, entra.RequiredAccess{Resource: directory.GraphID, Access: []entra.Access{{ID: graphRole(w, "User.Read.All"), Type: "Role"}}})))
		},
		lost: is(onboard.Drifted, "Call Duration: ", "too much"), mends: true,
	},
	{
		step: "A8",
		open: is(onboard.Ready, "Billing Service: no consent", "Call Duration: no consent"),
		done: is(onboard.Done, "Consent is granted"),
		far:  func(w *world) error { return w.roles(w.mayDo) },
		undo: func(w *world) {
			s, err := w.tenant.PrincipalOf(w.Context(), directory.SynergyID)
			w.must(err)
			p, err := w.tenant.PrincipalOf(w.Context(), w.registration("Billing Service").AppID)
			w.must(err)
			given, err := w.tenant.AssignmentsOf(w.Context(), p.ID)
			w.must(err)
			w.must(w.tenant.Unassign(w.Context(), given[0]))
			w.must(w.tenant.Assign(w.Context(), entra.Assignment{Principal: p.ID, Resource: s.ID, Role: seven["trunkManagementWrite"]}))
		},
		lost: is(onboard.Drifted, "missing", "TrunkManagement.Write too much"), mends: true,
	},
	{
		step: "A9", also: []string{"A5", "A12"}, // whoever has a secret can ask
		open: is(onboard.Ready, "Billing Service: Operator Connect answers 403", "Call Duration: Operator Connect answers 403", "/operator/configuration"),
		way: func(w *world) {
			billing, uploader := w.registration("Billing Service").AppID, w.registration("Call Duration").AppID
			st := w.step(w.plan(old), "A9")
			if st.Instruction == nil || st.Instruction.Paste != billing+"\n"+uploader {
				w.Errorf("%+v", st.Instruction)
			}
			w.portal(billing)
			if st := w.is(w.apply(old), "A9", onboard.Ready, "403, the Application Id "+uploader); strings.Contains(st.Detail, billing) {
				w.Errorf("%s", st.Detail)
			}
		},
		do: func(w *world) {
			for name := range permissions {
				w.lists(w.registration(name).AppID)
			}
		},
		done: is(onboard.Done, "let in"),
		far: func(w *world) error {
			return w.listed(w.registration("Billing Service").AppID, w.registration("Call Duration").AppID)
		},
		undo: func(w *world) {
			w.must(w.person().RemoveApplicationID(w.Context(), w.registration("Call Duration").AppID))
		},
		lost: is(onboard.Drifted, "Call Duration: Operator Connect answers 403"),
	},
	{
		step:  "A10",
		open:  is(onboard.Ready, "Billing Service: has no vault", "makes 2 vaults"),
		alone: is(onboard.Failed, "in which region", "management-region="),
		do:    saying("management-region", "westeurope"),
		done:  is(onboard.Done, "a vault of its own"),
		far:   func(w *world) error { _, err := w.bothVaults(); return err },
		shows: func(r *seenRun) {
			billing, uploader := r.shown(r.status, "Billing Service, vault"), r.shown(r.status, "Call Duration, vault")
			if !strings.HasPrefix(billing, "/subscriptions/"+sub+"/resourceGroups/voice/providers/Microsoft.KeyVault/vaults/one-billing-") || !strings.Contains(uploader, "/vaults/one-cdu-") {
				r.Errorf("vaults %s and %s", billing, uploader)
			}
		},
		undo: func(w *world) {
			found, err := w.bothVaults()
			w.must(err)
			// It is kept for a while, and its name with it: whose it is has it back.
			w.must(w.vaults.Delete(w.Context(), theirs, found["one-cdu"].ID))
		},
		lost: is(onboard.Drifted, "Call Duration: has no vault"),
	},
	{
		step: "A11",
		open: is(onboard.Waiting, "no private endpoint has been asked for", `"who":"onboarding team"`),
		way: func(w *world) {
			p := w.plan(old)
			found, err := w.bothVaults()
			w.must(err)
			for key, kind := range map[string]string{"billing-service": "one-billing", "call-duration": "one-cdu"} {
				if h := w.handed(p, "A11/"+key); !strings.Contains(h.Message, "Resource ID: "+found[kind].ID.String()) || h.Address != "azcog-enablement@microsoft.com" {
					w.Errorf("%s: %+v", key, h)
				}
			}
			w.answerEndpoint(found["one-billing"].ID.String(), vault.Pending)
			w.is(w.apply(old), "A11", onboard.Ready, "Billing Service: a private endpoint waits for approval", "Call Duration: no private endpoint has been asked for", "az keyvault private-endpoint-connection approve --id ")
			w.answerEndpoint(found["one-billing"].ID.String(), vault.Approved)
			w.is(w.apply(old), "A11", onboard.Waiting, "Call Duration: no private endpoint")
		},
		do: func(w *world) {
			found, err := w.bothVaults()
			w.must(err)
			for _, v := range found {
				w.answerEndpoint(v.ID.String(), vault.Approved)
			}
		},
		done: is(onboard.Done, "approved private endpoint"),
		far: func(w *world) error {
			found, err := w.bothVaults()
			for kind, v := range found {
				if !slices.ContainsFunc(v.Connections, func(c vault.Connection) bool { return c.State == vault.Approved }) {
					return fmt.Errorf("%s: %+v", kind, v.Connections)
				}
			}
			return err
		},
		undo: func(w *world) {
			found, err := w.bothVaults()
			w.must(err)
			w.must(w.vaults.Disconnect(w.Context(), theirs, found["one-cdu"].ID, "pe"))
		},
		lost: is(onboard.Drifted, "Call Duration: no private endpoint has been asked for"),
	},
	{
		step: "A12", also: []string{"A8"}, // consent makes who signs in
		open: is(onboard.Ready, "Billing Service: no secret in its vault", "good for 70 days"),
		done: is(onboard.Done, "has a secret, in its vault"),
		far:  signsIn,
		shows: func(r *seenRun) {
			found, err := r.bothVaults()
			r.must(err)
			for name, kind := range map[string]string{"Billing Service": "one-billing", "Call Duration": "one-cdu"} {
				key := r.registration(name).Secrets[0]
				if r.shown(r.status, name+", key ID") != key.KeyID || r.shown(r.status, name+", secret") != key.Name {
					r.Errorf("the step shows %+v", r.status.Evidence)
				}
				_, secret := r.kept(found[kind].ID.String())
				r.shownNowhere(secret)
			}
		},
		undo: func(w *world) {
			a := w.registration("Call Duration")
			w.must(w.tenant.RemoveSecret(w.Context(), a.ID, a.Secrets[0].KeyID))
		},
		lost: is(onboard.Drifted, "Call Duration: ", "not one of the registration's"), mends: true,
	},
	{
		step: "A13",
		open: is(onboard.Ready, "consent-url.billing-service="),
		way: func(w *world) {
			if h := w.handed(w.plan(old), "A13/billing-service"); len(h.Asks) != 1 || h.Asks[0] != "consent-url.billing-service" {
				w.Errorf("%+v", h)
			}
			for _, key := range keys {
				w.sends("A13/" + key)
			}
			w.is(w.apply(old), "A13", onboard.Waiting, `"who":"onboarding team"`)
			for _, bad := range []string{"http://login.example/x/adminconsent?client_id=" + readerID, "https://login.example/?client_id=" + readerID, "https://login.example/x/adminconsent?client_id=me"} {
				w.refuses("consent-url.billing-service", bad)
			}
		},
		do: func(w *world) {
			for _, key := range keys {
				w.answered("A13/"+key, "consent-url."+key, w.loginURL+"/"+tenant+"/adminconsent?client_id="+readerID)
			}
		},
		done: is(onboard.Done, "Consent is given"),
		far:  func(w *world) error { _, err := w.tenant.PrincipalOf(w.Context(), readerID); return err },
		shows: func(r *seenRun) {
			for name := range permissions {
				if got := r.shown(r.status, name+", Application Name"); got != "Voice Secrets Reader" {
					r.Errorf("Application Name %q", got)
				}
			}
		},
		undo: func(w *world) {
			p, err := w.tenant.PrincipalOf(w.Context(), readerID)
			w.must(err)
			w.must(w.tenant.DeletePrincipal(w.Context(), p.ID))
		},
		lost: is(onboard.Drifted, "does not have the application Voice Secrets Reader"), mends: true,
	},
	{
		step: "A14",
		given: func(w *world) { // something to get
			found, err := w.bothVaults()
			w.must(err)
			for _, v := range found {
				at, err := w.cfg.Parts.Vaults.Vault(w.Context(), v.ID.String())
				w.must(err)
				_, err = w.cfg.Parts.Vaults.PutSecret(w.Context(), at, entra.Secret{Name: "client-secret", Value: "canary"})
				w.must(err)
				w.answerEndpoint(v.ID.String(), vault.Approved) // whence the reader comes
			}
		},
		open: is(onboard.Ready, "Billing Service: secrets get missing", "Call Duration: secrets get missing"),
		done: is(onboard.Done, "and nothing else"),
		far:  onlyGets,
		undo: func(w *world) {
			found, err := w.bothVaults()
			w.must(err)
			reader, err := w.tenant.PrincipalOf(w.Context(), readerID)
			w.must(err)
			w.must(w.cfg.Parts.Vaults.Permit(w.Context(), found["one-cdu"].ID.String(), reader.ID, "get", "list"))
		},
		lost: is(onboard.Drifted, "Call Duration: secrets list too much"), mends: true,
	},
	{
		step: "A15",
		open: is(onboard.Ready, "tandem network check"),
		way:  func(w *world) { w.refuses("network-design", "yesterday") },
		do:   saying("network-design", "2022-12-20"),
		done: is(onboard.Declared, "2022-12-20"),
		far:  says("network-design", "2022-12-20"),
		undo: saying("network-design", ""), lost: is(onboard.Ready, "Nobody has reviewed"),
	},
	{
		step: "A16",
		open: is(onboard.Ready, "3 of 7", "missing: region, supported codecs, supported voice platforms, emergency call handling"),
		way: func(w *world) {
			w.refuses("codecs", "MP3")
			w.declare("codecs", "PCMA,G722", "platforms", "TeamsPhoneMobile", "emergency", "Standard")
			w.is(w.apply(old), "A16", onboard.Ready, "Operator Connect is not among them")
			w.declare("platforms", "OperatorConnect, TeamsPhoneMobile")
			w.is(w.apply(old), "A16", onboard.Ready, "6 of 7", "missing: region")
		},
		do:   saying("codecs", "PCMA,G722", "platforms", "OperatorConnect, TeamsPhoneMobile", "emergency", "Standard", "management-region", "westeurope"),
		done: is(onboard.Done, "All 7 values", "PCMA,G722"),
		far:  all(says("codecs", "PCMA,G722"), says("platforms", "OperatorConnect, TeamsPhoneMobile"), says("emergency", "Standard"), says("management-region", "westeurope")),
		undo: saying("platforms", "TeamsPhoneMobile"), lost: is(onboard.Drifted, "Operator Connect is not among them"),
	},
	{
		step: "A17",
		open: is(onboard.Ready, "0 of 4"),
		way: func(w *world) {
			w.declare("region-1", "westeurope", "operator-address-1", "198.51.100.1", "region-2", "westeurope", "operator-address-2", "198.51.100.2")
			w.is(w.apply(old), "A17", onboard.Ready, "3 of 4", "the first is the same")
			w.refuses("operator-address-1", "2001:db8::1")
		},
		do:   saying("region-1", "westeurope", "operator-address-1", "198.51.100.1", "region-2", "northeurope", "operator-address-2", "198.51.100.2"),
		done: is(onboard.Done, "All 4 values", "northeurope", "198.51.100.2"),
		far:  all(says("region-1", "westeurope"), says("operator-address-1", "198.51.100.1"), says("region-2", "northeurope"), says("operator-address-2", "198.51.100.2")),
		undo: saying("operator-address-2", ""), lost: is(onboard.Drifted, "3 of 4", "operator address of service region 2"),
	},
	{
		step: "A18",
		open: is(onboard.Ready, "Nobody has decided", `"optional":true`),
		do:   saying("tags", "no"),
		done: is(onboard.Declared, "Without tags"),
		far:  says("tags", "no"),
		undo: saying("tags", ""), lost: is(onboard.Ready, "Nobody has decided"),
	},
}

// The steps that both documents have.

func chosen(id string) proof {
	return proof{
		step: id,
		given: func(w *world) {
			w.declare("tenants", "two")
		},
		open: is(onboard.Ready, "say in which", tenant),
		do:   saying("synergy-tenant", tenant),
		done: is(onboard.Done, "Tenant "+tenant),
		far: func(w *world) error { // what was chosen is what is asked
			t, err := w.tenant.Organization(w.Context())
			if err != nil {
				return err
			}
			return says("synergy-tenant", t.ID)(w)
		},
		undo: saying("synergy-tenant", "00000000-0000-4000-8000-0000000000ff"),
		lost: is(onboard.Drifted, "is said to be in the tenant 00000000-0000-4000-8000-0000000000ff"),
	}
}

func synergy(id string) proof {
	return proof{
		step: id,
		open: is(onboard.Ready, "does not have the application Project Synergy", "adds Project Synergy", "AzureAD module"),
		done: is(onboard.Done, "Operator Connect"),
		far: func(w *world) error {
			s, err := w.tenant.PrincipalOf(w.Context(), "eb63d611-525e-4a31-abd7-0cb33f679599")
			if err != nil {
				return err
			}
			for _, name := range []string{"Operator Connect", "Project Synergy"} { // as people search for it
				if found, err := w.tenant.PrincipalsNamed(w.Context(), name); err != nil || len(found) != 1 || found[0].ID != s.ID {
					return fmt.Errorf("%s is %+v, %v", name, found, err)
				}
			}
			if s.DisplayName != "Operator Connect" {
				return fmt.Errorf("it is called %s", s.DisplayName)
			}
			return nil
		},
		shows: func(r *seenRun) {
			s, err := r.tenant.PrincipalOf(r.Context(), directory.SynergyID)
			r.must(err)
			if got := r.shown(r.status, "object ID of Project Synergy"); got != s.ID {
				r.Errorf("object ID %s", got)
			}
		},
		undo: func(w *world) {
			s, err := w.tenant.PrincipalOf(w.Context(), directory.SynergyID)
			w.must(err)
			w.must(w.tenant.DeletePrincipal(w.Context(), s.ID))
		},
		lost: is(onboard.Drifted, "does not have the application Project Synergy"), mends: true,
	}
}

func adminUser(id string) proof {
	has := func(w *world) (found []entra.Assignment, err error) {
		s, err := w.tenant.PrincipalOf(w.Context(), directory.SynergyID)
		if err != nil {
			return nil, err
		}
		u, err := w.tenant.UserNamed(w.Context(), admin)
		if err != nil {
			return nil, err
		}
		list, err := w.tenant.AssignedTo(w.Context(), s.ID)
		for _, a := range list {
			if a.Principal == u.ID && a.PrincipalType == "User" && roleName(s, a.Role) == "Admin" {
				found = append(found, a)
			}
		}
		return found, err
	}
	return proof{
		step: id,
		open: is(onboard.Ready, "Nobody is named", "setup-user="),
		way: func(w *world) {
			w.declare("setup-user", "berta@telecom.example")
			w.is(w.apply(onboard.Options{}), id, onboard.Ready, "no user berta")
		},
		do:   saying("setup-user", admin),
		done: is(onboard.Done, admin+" has the role Admin"),
		far: func(w *world) error {
			if found, err := has(w); err != nil || len(found) != 1 {
				return fmt.Errorf("%+v, %w", found, errNotThere)
			}
			return nil
		},
		undo: func(w *world) {
			found, err := has(w)
			w.must(err)
			w.must(w.tenant.Unassign(w.Context(), found[0]))
		},
		lost: is(onboard.Drifted, "does not have the role Admin"), mends: true,
	}
}

// sent demands that a hand-over has left.
func sent(id string) func(*world) error {
	return func(w *world) error {
		p, err := w.set.Status(w.Context(), w.sub)
		i := slices.IndexFunc(p.HandOvers, func(h onboard.HandOver) bool { return h.ID == id })
		if err != nil || i < 0 || p.HandOvers[i].Sent.IsZero() || p.HandOvers[i].SentBy != "anna" {
			return fmt.Errorf("%s has not left: %+v, %v", id, p.HandOvers, err)
		}
		return nil
	}
}

// registered demands both registrations as "3.1 Create an App registration"
// wants them.
func registered(w *world) error {
	for name := range permissions {
		found, err := w.tenant.ApplicationsNamed(w.Context(), name)
		if err != nil || len(found) != 1 {
			return fmt.Errorf("%d registrations are named %s: %v", len(found), name, err)
		}
		if a := found[0]; a.Audience != "AzureADMyOrg" || len(a.RedirectURIs()) != 0 {
			return fmt.Errorf("%+v", a)
		}
	}
	return nil
}

// roles demands of both registrations exactly what the document prints.
func (w *world) roles(of func(entra.Application, entra.Principal) ([]string, error)) error {
	s, err := w.tenant.PrincipalOf(w.Context(), directory.SynergyID)
	if err != nil {
		return err
	}
	for name, want := range permissions {
		got, err := of(w.registration(name), s)
		if text := strings.Join(slices.Sorted(slices.Values(got)), " "); err != nil || text != want {
			return fmt.Errorf("%s: %q, %v", name, text, err)
		}
	}
	return nil
}

// asksFor are the roles that a registration asks for.
func (w *world) asksFor(a entra.Application, s entra.Principal) (names []string, err error) {
	for _, q := range a.Required {
		for _, x := range q.Access {
			names = append(names, roleName(s, x.ID))
		}
	}
	return names, nil
}

// mayDo are the roles that a registration has.
func (w *world) mayDo(a entra.Application, s entra.Principal) (names []string, err error) {
	p, err := w.tenant.PrincipalOf(w.Context(), a.AppID)
	if err != nil {
		return nil, err
	}
	given, err := w.tenant.AssignmentsOf(w.Context(), p.ID)
	for _, x := range given {
		names = append(names, roleName(s, x.Role))
	}
	return names, err
}

// lists adds an application in the portal, unless it is there.
func (w *world) lists(id string) {
	w.Helper()
	if w.listed(id) != nil {
		w.portal(id)
	}
}

// listed demands applications in the portal.
func (w *world) listed(ids ...string) error {
	list, err := w.person().ApplicationIDs(w.Context())
	for _, id := range ids {
		n := 0
		for _, a := range list {
			if a.ID == id {
				n++
			}
		}
		if err == nil && n != 1 {
			err = fmt.Errorf("%s is listed %d times", id, n)
		}
	}
	return err
}

// theirs is somebody of the operator.
var theirs = subscription.Principal{Tenant: tenant, Object: "theirs", App: "theirs"}

// bothVaults are those of the group, by the beginning of their names.
func (w *world) bothVaults() (map[string]vault.Resource, error) {
	list, _, err := w.vaults.List(w.Context(), sub, "voice", vault.Page{})
	found := map[string]vault.Resource{}
	for _, v := range list {
		found[v.ID.Name[:strings.LastIndex(v.ID.Name, "-")]] = v
		if err == nil && v.Tenant != tenant {
			err = fmt.Errorf("%s trusts the tenant %s", v.ID.Name, v.Tenant)
		}
	}
	if err == nil && (len(list) != 2 || found["one-billing"].ID.Name == "" || found["one-cdu"].ID.Name == "") {
		err = fmt.Errorf("the group has the vaults %+v", found)
	}
	return found, err
}

// signsIn demands that what each vault holds is a live credential of its
// registration, as "4.2 Create Secrets" wants it.
func signsIn(w *world) error {
	found, err := w.bothVaults()
	if err != nil {
		return err
	}
	for name, kind := range map[string]string{"Billing Service": "one-billing", "Call Duration": "one-cdu"} {
		a := w.registration(name)
		if len(a.Secrets) != 1 {
			return fmt.Errorf("%s has %d secrets", name, len(a.Secrets))
		}
		key := a.Secrets[0]
		if life := key.End.Sub(key.Start); life > 70*24*time.Hour || life < 69*24*time.Hour || key.Name != name+" "+key.Start.UTC().Format(time.DateOnly) {
			return fmt.Errorf("%+v", key)
		}
		id, secret := w.kept(found[kind].ID.String())
		if id != a.AppID {
			return fmt.Errorf("the vault holds the client ID %s", id)
		}
		if _, err := w.directory.Authenticate(w.Context(), a.AppID, secret); err != nil {
			return fmt.Errorf("what the vault holds does not sign in: %w", err)
		}
	}
	return nil
}

// onlyGets demands that the first-party application gets what both vaults hold,
// and may do nothing else with it.
func onlyGets(w *world) error {
	found, err := w.bothVaults()
	if err != nil {
		return err
	}
	reader, err := w.tenant.PrincipalOf(w.Context(), readerID)
	if err != nil {
		return err
	}
	open, err := w.reader.open(w.readerAs(w.reader.credential().Subject))
	if err != nil {
		return err
	}
	by := vault.Caller{Principal: subscription.Principal{Tenant: tenant, Object: reader.ID, App: readerID}}
	for _, v := range found {
		at, err := open.At(v.ID.Name)
		if err != nil {
			return err
		}
		if s, err := open.Secret(w.Context(), at, "client-secret"); err != nil || s.Value != "canary" {
			return fmt.Errorf("it cannot get: %w", err)
		}
		for _, may := range vault.Permissions() {
			if err := w.vaults.May(w.Context(), by, v.ID.Name, may); (err == nil) != (may == vault.Get) {
				return fmt.Errorf("%s in %s: %v", may, v.ID.Name, err)
			}
		}
	}
	return nil
}
