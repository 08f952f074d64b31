package onboard

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/rotation"
)

// moduleNote is said of the steps that the documents do by a module that is
// retired.
const moduleNote = "The document does this by New-AzureADServicePrincipal of the AzureAD module, which is retired; Tandem asks Microsoft Graph for the same, as tandem app does"

// steps2022 are those of "Prepare to deploy Azure Communications Gateway",
// December 2022.
func steps2022() []Step {
	const (
		prerequisites = "Prerequisites"
		tenant        = "1. Configure Azure Active Directory in Operator Azure tenancy"
		vaults        = "4.1 Create a Key Vault"
	)
	list := []Step{
		{
			ID: "A0", Section: prerequisites, Title: "Sign an Operator Connect agreement with Microsoft", Who: You,
			Check:    said("agreement", "No agreement has been recorded"),
			Instruct: declaring("Record the agreement once it is signed", "agreement=<ID and date>"),
		},
		{
			ID: "A1", Section: prerequisites, Title: "Own two or more globally routable numbers, for manual and automated test lines", Who: You,
			Check: checkTwoNumbers, Draft: draftTwoNumbers,
			Instruct: instructTwoNumbers,
		},
		{
			ID: "A2", Section: prerequisites, Title: "Have a support plan that includes technical support", Who: You, Optional: true,
			Check:    checkSupport,
			Instruct: declaring("Say which support plan there is; Unified or Premier are recommended", "support-plan=unified"),
		},
		{
			ID: "A3", Section: tenant, Title: "Choose the tenant, and note its ID", Who: GlobalAdmin,
			Check: unlessOnboarded(chosenTenant), Instruct: instructTenant,
		},
		{
			ID: "A4", Section: tenant, Title: "Add the service principal of Project Synergy", Needs: []string{"A3"}, Who: Tandem, Touches: []Part{OfDirectory}, Note: moduleNote,
			Check: unlessOnboarded(checkSynergy), Act: addSynergy, Will: willAddSynergy, Instruct: instructSynergy,
		},
		{
			ID: "A5", Section: "2. Allow the Project Synergy application", Title: "Assign the role Admin to the user who sets up the gateway", Needs: []string{"A4"}, Who: Tandem, Touches: []Part{OfDirectory},
			Check: checkAdmin, Act: addAdmin, Will: willAddAdmin, Instruct: instructAdmin,
		},
		{
			ID: "A6", Section: "3.1 Create an App registration", Title: "Register Billing Service and Call Duration", Needs: []string{"A3"}, Who: Tandem, Touches: []Part{OfDirectory},
			Check: checkRegistrations, Act: register, Will: willRegister, Instruct: instructRegistrations,
		},
		{
			ID: "A7", Section: "3.2 Configure permissions", Title: "Ask for exactly the permissions of Project Synergy that are required", Needs: []string{"A4", "A6"}, Who: Tandem, Touches: []Part{OfDirectory},
			Check: checkPermissions, Act: require, Will: willRequire, Instruct: instructPermissions,
		},
		{
			ID: "A8", Section: "3.2 Configure permissions", Title: "Grant admin consent for the tenant", Needs: []string{"A7"}, Who: Tandem, Touches: []Part{OfDirectory},
			Check: checkConsent, Act: consent, Will: willConsent, Instruct: instructConsent,
		},
		{
			ID: "A9", Section: "3.3 Add the application ID to the Operator Connect Portal", Title: "Add each registration's Application Id", Needs: []string{"A6"}, Who: You,
			Note:  "The document looks into the portal; each registration is let in or not, asked with its own secret",
			Check: checkListed2022, Instruct: instructListed2022,
		},
		{
			ID: "A10", Section: vaults, Title: "Create a vault for each registration, and tell the onboarding team its resource ID", Needs: []string{"A6"}, Who: Tandem, Touches: []Part{OfVaults},
			Check: checkVaults, Act: makeVaults, Will: willMakeVaults, Instruct: instructVaults,
		},
		{
			ID: "A11", Section: vaults, Title: "Approve the private endpoint that the onboarding team asks for", Needs: []string{"A10"}, Who: You, Looks: []Part{OfVaults},
			Check: checkEndpoints, Instruct: instructEndpoints, Draft: draftVaults,
		},
		{
			ID: "A12", Section: "4.2 Create Secrets", Title: "Create a secret of at most 70 days for each registration, and store it", Needs: []string{"A6", "A10"}, Who: Tandem, Touches: []Part{OfDirectory, OfVaults},
			Check: checkSecrets, Act: makeSecrets, Will: willMakeSecrets, Instruct: instructSecrets,
		},
		{
			ID: "A13", Section: "4.3 Grant your Admin Consent", Title: "Consent to the first-party application, and note its Application Name", Needs: []string{"A6"}, Who: GlobalAdmin, Touches: []Part{OfDirectory},
			Note:  "The document follows the URL in a browser; the application that it names is added by Microsoft Graph, to the same effect, where the URL leads to the tenant's own sign-in",
			Check: checkReader, Act: addReader, Will: func(*World) string { return "adds the application of the consent URL to the tenant" }, Instruct: instructReader, Draft: draftConsent,
		},
		{
			ID: "A14", Section: "4.4 Grant your application Key Vault Access", Title: "Let that application get secrets, and nothing else", Needs: []string{"A10", "A13"}, Who: Tandem, Touches: []Part{OfVaults}, Looks: []Part{OfDirectory},
			Check: checkPolicies, Act: permit, Instruct: instructPolicies,
		},
		{
			ID: "A15", Section: "5. Create a network design", Title: "Two regions with cross-connect, as the Network Connectivity Specification says", Who: You,
			Check: checkDesign, Instruct: instructDesign,
		},
		{
			ID: "A16", Section: "6. Collect basic information for deploying an Azure Communications Gateway", Title: "Collect the values of the resource", Needs: []string{"A15"}, Who: You,
			Check: checkBasics, Instruct: instructBasics,
		},
		{
			ID: "A17", Section: "7. Collect Service Regions configuration values", Title: "Collect the region and the operator's address of both service regions", Needs: []string{"A15"}, Who: You,
			Check: checkRegions, Instruct: instructRegions,
		},
		{
			ID: "A18", Section: "8. Decide if you want tags", Title: "Decide if you want tags", Who: You, Optional: true,
			Check: checkTags, Instruct: declaring("Decide whether the resources are tagged, and by which convention", "tags=no"),
		},
	}
	for i := range list {
		list[i].Track = Track2022
	}
	return list
}

func willAddSynergy(*World) string {
	return "adds Project Synergy to the tenant as \"" + synergyName + "\""
}

func instructSynergy(w *World) Instruction {
	return Instruction{Text: "As a Global Administrator, add the service principal", Command: w.command("apply --outside")}
}

func willAddAdmin(w *World) string {
	return "assigns the role " + adminRole + " of Project Synergy to " + w.Fact("setup-user")
}

func instructTenant(w *World) Instruction {
	return Instruction{Text: "An existing tenant uses your identities and is recommended; a new one keeps those of Operator Connect apart", Command: w.declare("tenants=one")}
}

// checkTwoNumbers takes the gateway's test lines, or what was said before there
// is a gateway.
func checkTwoNumbers(ctx context.Context, w *World) (Finding, error) {
	got, said := map[string]string{"Manual": gateway.E164(w.Fact("manual-number")), "Automated": gateway.E164(w.Fact("automated-number"))}, true
	lines, err := w.testLines(ctx)
	if err != nil {
		return Finding{}, err
	}
	for _, l := range lines {
		got[l.Purpose], said = gateway.E164(l.PhoneNumber), false
	}
	var shown []Evidence
	for _, purpose := range gateway.Purposes {
		if got[purpose] != "" {
			shown = append(shown, Is(purpose+" test line", got[purpose]))
		}
	}
	switch {
	case len(shown) < len(gateway.Purposes):
		return Missing(fmt.Sprintf("%d of %d numbers are named", len(shown), len(gateway.Purposes)), shown...), nil
	case got["Manual"] == got["Automated"]:
		return Missing("Both kinds of test lines have the same number", shown...), nil
	}
	both := fmt.Sprintf("Manual %s, Automated %s", got["Manual"], got["Automated"])
	if said && !w.asked("A1") {
		return Missing(both+": the onboarding team has not been told, who configures the test lines", shown...), nil
	}
	return Found(both, shown...), nil
}

func instructTwoNumbers(w *World) Instruction {
	if w.Has("manual-number") && w.Has("automated-number") {
		return Instruction{Text: "Send the numbers to the onboarding team", Command: w.command("show A1")}
	}
	return Instruction{Text: "Choose a number for each kind of test line, or make the test lines at the gateway", Command: w.declare("manual-number=<number>", "automated-number=<number>")}
}

func draftTwoNumbers(ctx context.Context, w *World) ([]Draft, error) {
	f, err := checkTwoNumbers(ctx, w)
	if err != nil || len(f.Evidence) < len(gateway.Purposes) {
		return nil, err
	}
	return []Draft{w.letter("Numbers for test lines", "these numbers are ours and globally routable. Please configure them as test lines:\n\n"+bullets(f.Evidence))}, nil
}

func checkSupport(_ context.Context, w *World) (Finding, error) {
	v, ok := w.Value("support-plan")
	switch {
	case !ok:
		return Missing("No support plan has been recorded"), nil
	case v.Value == "none":
		return Missing("There is no support plan: one with technical support is strongly recommended"), nil
	}
	return Said(v.Value, Is("support plan", v.Value)), nil
}

// registration is one that the document asks for.
type registration struct {
	key, name string
	roles     []string // of Project Synergy
}

// registrations are the Billing Service and the uploaders, which share one
// registration or have one each.
func (w *World) registrations() []registration {
	all := []registration{{"billing-service", "Billing Service", []string{"Data.Read", "NumberManagement.Read", "TrunkManagement.Read"}}}
	write := []string{"Data.Write"}
	n, _ := strconv.Atoi(w.Fact("uploaders"))
	if w.Is("uploader-apps", "shared") || n <= 1 {
		return append(all, registration{"call-duration", "Call Duration", write})
	}
	for i := range min(n, 20) {
		all = append(all, registration{fmt.Sprintf("call-duration-%d", i+1), fmt.Sprintf("Call Duration %d", i+1), write})
	}
	return all
}

// application is the registration in the directory; fault.NotFound when there
// is none, fault.Conflict when there are two.
func (w *World) application(ctx context.Context, r registration) (entra.Application, error) {
	d, err := w.directory()
	if err != nil {
		return entra.Application{}, err
	}
	found, err := once(&w.told, "application "+r.key, func() ([]entra.Application, error) { return d.ApplicationsNamed(ctx, r.name) })
	switch {
	case err != nil:
		return entra.Application{}, err
	case len(found) == 0:
		return entra.Application{}, fault.New(fault.NotFound, "There is no app registration named "+r.name)
	case len(found) > 1:
		var ids []string
		for _, a := range found {
			ids = append(ids, "application ID "+a.AppID+", object ID "+a.ID)
		}
		return entra.Application{}, fault.New(fault.Conflict, fmt.Sprintf("%d app registrations are named %s: %s. Rename or delete what is not meant", len(found), r.name, strings.Join(ids, "; ")))
	}
	return found[0], nil
}

// each looks at every registration. look tells what is wrong with one, or what
// shows that nothing is.
func (w *World) each(done string, look func(registration) (wrong string, shown []Evidence, err error)) (Finding, error) {
	var wrong []string
	var shown []Evidence
	for _, r := range w.registrations() {
		bad, more, err := look(r)
		if err != nil {
			return Finding{}, err
		}
		if bad != "" {
			wrong = append(wrong, r.name+": "+bad)
		}
		for _, e := range more {
			shown = append(shown, Is(r.name+", "+e.Name, e.Value))
		}
	}
	if len(wrong) > 0 {
		return Missing(strings.Join(wrong, "; "), shown...), nil
	}
	return Found(done, shown...), nil
}

// uncounted tells that uploaders have a registration each, and nobody has said
// how many they are.
func (w *World) uncounted() bool { return w.Is("uploader-apps", "each") && !w.Has("uploaders") }

func checkRegistrations(ctx context.Context, w *World) (Finding, error) {
	if w.uncounted() {
		return Ask(You, "Each Call Duration Uploader has a registration of its own, and nobody has said how many there are"), nil
	}
	lacking := false
	f, err := w.each("Registered: "+w.names(), func(r registration) (string, []Evidence, error) {
		a, err := w.application(ctx, r)
		switch {
		case fault.Of(err) == fault.NotFound:
			lacking = true
			return "not registered", nil, nil
		case err != nil:
			return "", nil, err
		}
		shown := []Evidence{Is("application ID", a.AppID), Is("object ID", a.ID)}
		switch {
		case a.Audience != entra.SingleTenant:
			return "for accounts of other tenants, too (" + a.Audience + ")", shown, nil
		case len(a.RedirectURIs()) > 0:
			return "has redirect URIs: " + strings.Join(a.RedirectURIs(), ", "), shown, nil
		}
		return "", shown, nil
	})
	if f.State == Ready && !lacking {
		f.By = You // somebody has wanted it so
	}
	return f, err
}

// names are those of the registrations.
func (w *World) names() string {
	var all []string
	for _, r := range w.registrations() {
		all = append(all, r.name)
	}
	return strings.Join(all, ", ")
}

func willRegister(w *World) string { return "registers " + w.names() + ", for this tenant alone" }

func instructRegistrations(w *World) Instruction {
	if w.uncounted() {
		return Instruction{Text: "Say how many uploaders there are", Command: w.declare("uploaders=<1 to 20>")}
	}
	return Instruction{Text: "Leave Supported account types at this organizational directory only, and Redirect URI empty", Where: "https://entra.microsoft.com, App registrations"}
}

func register(ctx context.Context, w *World) error {
	for _, r := range w.registrations() {
		_, err := w.application(ctx, r)
		if fault.Of(err) == fault.NotFound {
			_, err = w.Directory.CreateApplication(ctx, entra.Application{DisplayName: r.name, Audience: entra.SingleTenant})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// vaultID is where a registration's vault is, or will be.
func (w *World) vaultID(r registration) string {
	if id := w.Fact("vault." + r.key); id != "" {
		return id
	}
	// Names of vaults are one space for all of Azure, and 24 letters long.
	id := w.Subject.Gateway
	sum := sha256.Sum256([]byte(strings.ToLower(id.String() + " " + r.key)))
	short := vaultPrefix(id.Name)
	kind := strings.Replace(strings.Replace(r.key, "billing-service", "billing", 1), "call-duration", "cdu", 1)
	return entra.VaultID(id.Subscription, id.Group, fmt.Sprintf("%s-%s-%x", short, kind, sum[:3]))
}

var hyphens = regexp.MustCompile("-+")

// vaultPrefix is a gateway's name as that of a vault can begin: with a letter,
// and without two hyphens in a row (Azure Key Vault docs, "Vaults - Create Or
// Update").
func vaultPrefix(gateway string) string {
	name := hyphens.ReplaceAllString(strings.Trim(strings.ToLower(gateway), "-"), "-")
	if name == "" || name[0] < 'a' {
		name = strings.TrimSuffix("gw-"+name, "-")
	}
	return strings.TrimSuffix(name[:min(len(name), 8)], "-")
}

// vault is a registration's.
func (w *World) vault(ctx context.Context, r registration) (entra.Vault, error) {
	v, err := w.vaults()
	if err != nil {
		return entra.Vault{}, err
	}
	return once(&w.told, "vault "+w.vaultID(r), func() (entra.Vault, error) { return v.Vault(ctx, w.vaultID(r)) })
}

func checkVaults(ctx context.Context, w *World) (Finding, error) {
	if _, err := w.vaults(); err != nil {
		return Finding{}, err
	}
	owner, missing := map[string]string{}, false
	subscriptions, err := w.subscriptions(ctx)
	if err != nil {
		return Finding{}, err
	}
	f, err := w.each("Each registration has a vault of its own", func(r registration) (string, []Evidence, error) {
		id := w.vaultID(r)
		v, err := w.vault(ctx, r)
		switch other := owner[strings.ToLower(id)]; {
		case other != "":
			return "shares its vault with " + other, nil, nil
		case fault.Of(err) == fault.NotFound:
			missing = true
			return "has no vault", nil, nil
		case err != nil:
			return "", nil, err
		case !slices.ContainsFunc(subscriptions, func(s string) bool { return strings.HasPrefix(strings.ToLower(id), "/subscriptions/"+s+"/") }):
			return "its vault is in another subscription than the gateway", nil, nil
		case !strings.EqualFold(v.Tenant, w.Vaults.Tenant):
			return "its vault trusts the tenant " + v.Tenant, nil, nil
		case v.RBAC:
			return "its vault goes by roles, not by access policies", nil, nil
		}
		owner[strings.ToLower(id)] = r.name
		if !w.Has("vault." + r.key) {
			missing = true // for the next gateway, which would make another one
			return "its vault is not noted yet", nil, nil
		}
		return "", []Evidence{Is("vault", v.ID)}, nil
	})
	if f.State == Ready && !missing {
		f.By = You // whose vaults they are
	}
	return f, err
}

// subscriptions are those in which the operator has gateways, or will: the
// gateways share the registrations and their vaults.
func (w *World) subscriptions(ctx context.Context) (all []string, err error) {
	known, err := w.set.gateways(ctx)
	for _, id := range append(known, w.Subject.Gateway) {
		all = append(all, strings.ToLower(id.Subscription))
	}
	return all, err
}

func willMakeVaults(w *World) string {
	return fmt.Sprintf("makes %d vaults, one for each registration", len(w.registrations()))
}

func instructVaults(w *World) Instruction {
	return Instruction{Text: "Make a vault for each registration, or say which it is", Command: w.declare("vault.billing-service=<resource ID>")}
}

func makeVaults(ctx context.Context, w *World) error {
	if _, err := w.vaults(); err != nil {
		return err
	}
	location, err := w.location(ctx)
	if err != nil {
		return err
	}
	for _, r := range w.registrations() {
		id := w.vaultID(r)
		// Before it is made: after a death in between, another gateway would
		// make one of its own.
		if err := w.Record(ctx, "vault."+r.key, id); err != nil {
			return err
		}
		_, err := w.Vaults.Vault(ctx, id)
		if fault.Of(err) == fault.NotFound {
			_, err = w.Vaults.Make(ctx, id, location)
		}
		if fault.Of(err) == fault.Invalid && strings.EqualFold(location, w.Fact("management-region")) {
			return fault.New(fault.Invalid, sentence(err)+". Say another region: "+w.declare("management-region=<region>"))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// location is where what belongs to the gateway is kept.
func (w *World) location(ctx context.Context) (string, error) {
	r, err := w.resource(ctx)
	if err != nil && fault.Of(err) != fault.NotFound {
		return "", err
	}
	if at := cmp.Or(r.Location, w.Fact("management-region")); at != "" {
		return at, nil
	}
	return "", fault.New(fault.Conflict, "Nobody has said in which region vaults are made: "+w.declare("management-region=<region>"))
}

func draftVaults(ctx context.Context, w *World) (list []Draft, err error) {
	for _, r := range w.registrations() {
		v, err := w.vault(ctx, r)
		if fault.Of(err) == fault.NotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		if approved(v) {
			continue
		}
		d := w.letter("Key Vault of "+r.name, "this is the vault that holds the client ID and the secret of "+r.name+". Please ask for a private endpoint to it; we approve the request.\n\n  Resource ID: "+v.ID+"\n")
		d.Key = r.key
		list = append(list, d)
	}
	return list, nil
}

func approved(v entra.Vault) bool {
	return slices.ContainsFunc(v.Connections, func(c entra.Connection) bool { return strings.EqualFold(c.State, "Approved") })
}

func checkEndpoints(ctx context.Context, w *World) (Finding, error) {
	asked := false
	f, err := w.each("Each vault has an approved private endpoint", func(r registration) (string, []Evidence, error) {
		v, err := w.vault(ctx, r)
		if err != nil {
			return "", nil, err
		}
		var shown []Evidence
		pending := false
		for _, c := range v.Connections {
			shown = append(shown, Is("private endpoint "+c.Name, c.State+" ("+c.Endpoint+")"))
			pending = pending || strings.EqualFold(c.State, "Pending")
		}
		if v.Public {
			shown = append(shown, Is("network", "open to all networks: the private endpoint keeps nobody out"))
		}
		switch {
		case pending: // of this gateway or of another one: its vaults are the same
			asked = true
			return "a private endpoint waits for approval", shown, nil
		case approved(v):
			return "", shown, nil
		}
		return "no private endpoint has been asked for", shown, nil
	})
	if f.State == Ready && !asked {
		f.State, f.By = Waiting, OnboardingTeam
	}
	return f, err
}

func instructEndpoints(w *World) Instruction {
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	i := Instruction{Text: "Tell the onboarding team the resource IDs; when their request has come, compare its endpoint with what they say and approve it"}
	for _, r := range w.registrations() {
		v, err := w.vault(ctx, r)
		if err != nil {
			continue
		}
		for _, c := range v.Connections {
			if strings.EqualFold(c.State, "Pending") {
				i.Command = "az keyvault private-endpoint-connection approve --id " + word(v.ID+"/privateEndpointConnections/"+c.Name)
				return i
			}
		}
	}
	i.Command = w.command("show A11")
	return i
}

// What a vault calls the two things that a registration signs in with.
const (
	clientIDSecret = "client-id"
	clientSecret   = rotation.VaultSecret
	keyTag         = rotation.KeyTag // which of the registration's secrets the value is
)

const (
	// secretLife is just under 70 days, so that clocks that differ do not make it
	// longer.
	secretLife = rotation.MostLife - time.Hour
	// renewal is how long before its end a secret counts as missing.
	renewal = 7 * 24 * time.Hour
)

func checkSecrets(ctx context.Context, w *World) (Finding, error) {
	done := "Each registration has a secret, in its vault, and another one in time"
	if w.Rotation == nil {
		done = fmt.Sprintf("Each registration has a secret, in its vault; nobody replaces it: apply makes another one from %d days before its end", renewal/(24*time.Hour))
	}
	return w.each(done, func(r registration) (string, []Evidence, error) {
		a, err := w.application(ctx, r)
		if err != nil {
			return "", nil, err
		}
		key, wrong, err := w.secret(ctx, r, a)
		if err != nil || wrong != "" {
			return wrong, nil, err
		}
		if kept, err := w.rotates(ctx, r, a); err != nil || !kept {
			return "nobody replaces its secret before it ends", nil, err
		}
		return "", []Evidence{Is("secret", key.Name), Is("key ID", key.KeyID), Is("good until", key.End.UTC().Format(time.DateOnly))}, nil
	})
}

// held is what a vault holds under a name.
func (w *World) held(ctx context.Context, v entra.Vault, name string) (entra.Secret, error) {
	return once(&w.told, "secret "+v.ID+" "+name, func() (entra.Secret, error) { return w.Vaults.Secret(ctx, v, name) })
}

// rotates tells whether a registration's secret is replaced in time. Where
// nobody does that the step says so, and its end shows as drift.
func (w *World) rotates(ctx context.Context, r registration, a entra.Application) (bool, error) {
	if w.Rotation == nil {
		return true, nil
	}
	_, kept, err := w.rotation(ctx, r, a)
	return kept, err
}

// rotation is how the replacing of a registration's secret stands.
func (w *World) rotation(ctx context.Context, r registration, a entra.Application) (x rotation.Rotation, is bool, err error) {
	all, err := w.Rotation.List(ctx)
	i := slices.IndexFunc(all, func(x rotation.Rotation) bool {
		return strings.EqualFold(x.Application, a.AppID) && strings.EqualFold(x.Vault, w.vaultID(r)) && x.Secret == clientSecret
	})
	if i < 0 {
		return x, false, err
	}
	return all[i], true, nil
}

// secret is the one by which a registration signs in, or what is wrong with it.
func (w *World) secret(ctx context.Context, r registration, a entra.Application) (key entra.Credential, wrong string, err error) {
	v, err := w.vault(ctx, r)
	if err != nil {
		return key, "", err
	}
	id, err := w.held(ctx, v, clientIDSecret)
	if err != nil && fault.Of(err) != fault.NotFound && !entra.Disabled(err) {
		return key, "", err
	}
	s, err := w.held(ctx, v, clientSecret)
	switch {
	case fault.Of(err) == fault.NotFound:
		return key, "no secret in its vault", nil
	case entra.Disabled(err):
		return key, "the secret in its vault is disabled", nil
	case err != nil:
		return key, "", err
	case !strings.EqualFold(string(id.Value), a.AppID):
		return key, "the vault does not hold its client ID", nil
	}
	i := slices.IndexFunc(a.Secrets, func(c entra.Credential) bool { return strings.EqualFold(c.KeyID, s.Tags[keyTag]) })
	if i < 0 {
		return key, "the secret in its vault is not one of the registration's (its tag " + keyTag + " names the key)", nil
	}
	key = a.Secrets[i]
	switch now := w.Now(); {
	case !key.End.After(now):
		return key, "its secret has ended on " + key.End.UTC().Format(time.DateOnly), nil
	case key.End.Before(now.Add(renewal)):
		return key, "its secret ends on " + key.End.UTC().Format(time.DateOnly), nil
	case key.End.Sub(key.Start) > rotation.MostLife:
		return key, "its secret is good for more than 70 days", nil
	case !strings.Contains(key.Name, key.Start.UTC().Format(time.DateOnly)):
		return key, "the name of its secret does not tell the day it was made", nil
	}
	return key, "", nil
}

func willMakeSecrets(w *World) string {
	text := fmt.Sprintf("makes secrets that are good for %d days, and keeps them in the vaults", rotation.MostLife/(24*time.Hour))
	if w.Rotation != nil {
		text += ", where they are replaced in time"
	}
	return text
}

func instructSecrets(w *World) Instruction {
	return Instruction{Text: "Make a client secret of at most 70 days whose name has its date, and keep it in the vault", Command: w.command("apply --outside")}
}

// makeSecrets gives each registration that lacks one a secret, and keeps it
// where nobody sees it. Where secrets are replaced in time, whoever replaces
// them makes this one too: their rows survive a kill.
func makeSecrets(ctx context.Context, w *World) error {
	provide, waited := w.makeSecret, []registration(nil)
	if w.Rotation != nil {
		provide = w.orderSecret
	}
	for _, r := range w.registrations() {
		a, err := w.application(ctx, r)
		if err != nil {
			return err
		}
		_, wrong, err := w.secret(ctx, r, a)
		if err == nil && wrong != "" {
			waited = append(waited, r)
			err = provide(ctx, r, a)
		}
		if err != nil {
			return err
		}
		kept, err := w.rotates(ctx, r, a)
		if err == nil && !kept {
			err = w.Rotation.Keep(ctx, w.target(r, a))
		}
		if err != nil {
			return err
		}
	}
	if w.Rotation == nil {
		return nil
	}
	limit, cancel := context.WithTimeout(ctx, makeTime)
	defer cancel()
	for _, r := range waited {
		if err := w.awaitSecret(limit, r); err != nil {
			return err
		}
	}
	return nil
}

// makeTime is how long rotation may take for all secrets, of actTime. A
// directory may know a new one late.
const makeTime = 3 * time.Minute

// target is what rotation knows a registration's secret as.
func (w *World) target(r registration, a entra.Application) rotation.Target {
	return rotation.Target{Application: a.AppID, Vault: w.vaultID(r), Secret: clientSecret}
}

// orderSecret has rotation make one, unless all that is wrong is the client ID.
func (w *World) orderSecret(ctx context.Context, r registration, a entra.Application) error {
	if err := w.putClientID(ctx, r, a); err != nil {
		return err
	}
	w.told.forget()
	key, wrong, err := w.secret(ctx, r, a)
	if err != nil || wrong == "" {
		return err
	}
	x, kept, err := w.rotation(ctx, r, a)
	if err != nil {
		return err
	}
	if !kept {
		if err := w.Rotation.Keep(ctx, w.target(r, a)); err != nil || key.KeyID == "" {
			return err // there is none: it makes one
		}
	} else if state := x.State(w.Now()); state == "making" || state == "wanted" {
		return nil // an earlier run has ordered it
	}
	_, err = w.Rotation.Rotate(ctx, w.target(r, a).Name(), false)
	return err
}

// awaitSecret waits until there is a secret with which nothing is wrong.
func (w *World) awaitSecret(ctx context.Context, r registration) error {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 3*time.Second) {
		w.told.forget()
		a, err := w.application(ctx, r)
		if err != nil {
			return err
		}
		_, wrong, err := w.secret(ctx, r, a)
		if err != nil || wrong == "" {
			return err
		}
		x, _, err := w.rotation(ctx, r, a)
		switch {
		case err != nil:
			return err
		case x.Problem != "" && x.Due.After(w.Now()): // it has been tried since
			return fault.New(fault.Unavailable, r.name+": "+wrong+", and another one cannot be had yet: "+x.Problem)
		}
		select {
		case <-ctx.Done():
			return fault.New(fault.Unavailable, r.name+": "+wrong+", and another one is still being made")
		case <-time.After(pause):
		}
	}
}

// putClientID keeps what a registration signs in as, which can be done again.
func (w *World) putClientID(ctx context.Context, r registration, a entra.Application) error {
	v, err := w.vault(ctx, r)
	if err == nil {
		_, err = w.Vaults.PutSecret(ctx, v, entra.Secret{Name: clientIDSecret, Value: obs.Secret(a.AppID)})
	}
	return err
}

// makeSecret makes one where nobody replaces it. The secrets before it are left
// to end: what reads the vault may have the last one in its memory.
func (w *World) makeSecret(ctx context.Context, r registration, a entra.Application) error {
	if err := w.putClientID(ctx, r, a); err != nil {
		return err
	}
	v, err := w.vault(ctx, r)
	if err != nil {
		return err
	}
	now := w.Now().UTC()
	key, value, err := w.Directory.AddSecret(ctx, a.ID, r.name+" "+now.Format(time.DateOnly), now.Add(secretLife))
	if err != nil {
		return err
	}
	_, err = w.Vaults.PutSecret(ctx, v, entra.Secret{Name: clientSecret, Value: value, Expires: key.End, Tags: map[string]string{keyTag: key.KeyID, "created": now.Format(time.DateOnly)}})
	if err != nil {
		w.unmake(context.WithoutCancel(ctx), a, key, err)
		return err
	}
	for _, old := range a.Secrets {
		if !old.End.After(now) {
			if err := w.Directory.RemoveSecret(ctx, a.ID, old.KeyID); err != nil && fault.Of(err) != fault.NotFound {
				return err
			}
		}
	}
	return nil
}

// unmake takes a credential away that a vault has refused to keep: nobody will
// ever know its value. Where the vault gave no answer it may be what readers
// find from now on, and is left.
func (w *World) unmake(ctx context.Context, a entra.Application, key entra.Credential, refusal error) {
	switch fault.Of(refusal) {
	case fault.Invalid, fault.Denied, fault.NotFound, fault.Conflict, fault.Exhausted:
	default:
		return
	}
	if err := w.Directory.RemoveSecret(ctx, a.ID, key.KeyID); err != nil {
		w.Log.Warn("a secret that nobody knows is left at its registration", "application", a.AppID, "key", key.KeyID, obs.KeyError, err)
	}
}
