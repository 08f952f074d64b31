package onboard

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/zone"
)

// scriptNote is said of the step that the document does by a script.
const scriptNote = "The document's script in effect: what is assigned is read, each role that is missing is assigned, and all are read again"

// stepsCurrent are those of "Connect Azure Communications Gateway to Operator
// Connect or Teams Phone Mobile", with what the documents before it ask for:
// its prerequisites, "Prepare to deploy", "Deploy" and "Integrate with Azure
// Communications Gateway's network".
func stepsCurrent() []Step {
	const (
		prerequisites = "Prerequisites"
		deploy        = "Deploy Azure Communications Gateway"
		integrate     = "Integrate with your network"
	)
	list := []Step{
		{
			ID: "B1", Section: prerequisites, Title: "Be an operator, with the agreements that the service asks for", Who: You,
			Check:    said("agreement", "No agreement has been recorded"),
			Instruct: declaring("Record the agreement once it is signed", "agreement=<ID and date>"),
		},
		{
			ID: "B2", Section: prerequisites, Title: "Have an onboarding team", Who: You,
			Check: withContact(answered("B2", "onboarding-contact", "Nobody of the onboarding team is named")), Draft: draftTeam,
			Instruct: askContact("B2", declaring("Write to the onboarding team, and say who is in charge of you", "onboarding-contact=<name, mail address>")),
		},
		{
			ID: "B3", Section: prerequisites, Title: "Choose the tenant: one for production and lab", Who: GlobalAdmin,
			Check: chosenTenant, Instruct: instructOneTenant,
		},
		{
			ID: "B4", Section: prerequisites, Title: "Ask the onboarding team to enable the subscription", Needs: []string{"B2"}, Who: OnboardingTeam,
			Check: withContact(answered("B4", "subscription-enabled", "The onboarding team has not confirmed that the subscription is enabled")), Draft: draftSubscription,
			Instruct: askContact("B4", declaring("Send the message, and say when they confirmed", "subscription-enabled=<YYYY-MM-DD>")),
		},
		{
			ID: "B5", Section: prerequisites, Title: "Design the network, and collect the values of the deployment", Who: You,
			Check: checkValues, Instruct: instructValues,
		},
		{
			ID: "B6", Section: prerequisites, Title: "Allocate numbers for service verification and for integration tests", Who: You,
			Check: checkNumbers, Instruct: instructNumbers,
		},
		{
			ID: "B7", Section: deploy, Title: "Create the Communications Gateway resource", Needs: []string{"B3", "B4", "B5", "B6"}, Who: You,
			Check: checkGateway, Instruct: instructGateway,
		},
		{
			ID: "B8", Section: deploy, Title: "Wait until the resource is ready", Needs: []string{"B7"}, Who: Nobody,
			Check: checkComplete, Instruct: func(w *World) Instruction {
				return Instruction{Text: "Look what it waits for", Command: "tandem gateway readiness " + w.named()}
			},
		},
		{
			ID: "B9", Section: integrate, Title: "Exchange certificates and roots, and configure names and allow-lists", Needs: []string{"B8"}, Who: You,
			Check: checkTrust, Draft: draftNames,
			Instruct: declaring("Load the gateway's names and ranges into your network, make a call over TLS each way, and say when it worked", "certificates=<YYYY-MM-DD>"),
		},
		{
			ID: "B10", Section: integrate, Title: "Configure initial filter criteria for the Mobile Control Point", Needs: []string{"B8"}, Who: You,
			Check: checkMCP, Draft: draftMCP, Instruct: instructMCP,
		},
		{
			ID: "B11", Section: integrate, Title: "See BFD up, with all of the gateway's traffic on those links", Needs: []string{"B9"}, Who: You,
			Check:    said("bfd", "Nobody has said that BFD was seen up"),
			Instruct: declaring("Configure BFD with 150 ms and a multiplier of 3 on every link", "bfd=<YYYY-MM-DD>"),
		},
		{
			ID: "B12", Section: integrate, Title: "Delegate your own domain to the gateway's name servers", Needs: []string{"B8"}, Who: You,
			Check: checkDelegations, Instruct: instructDelegations,
		},
		{
			ID: "B13", Section: integrate, Title: "Set up alerts for service health and resource health", Needs: []string{"B8"}, Who: You,
			Check: func(context.Context, *World) (Finding, error) {
				return Later("Alert rules come with a later release; watch the node's metrics until then"), nil
			},
		},
		{
			ID: "B14", Section: integrate, Title: "Register a client of the Provisioning API, and put its addresses on the allow-list", Needs: []string{"B8"}, Who: You, Optional: true,
			Check: checkClient,
		},
		{
			ID: "B15", Section: "Enable Operator Connect or Teams Phone Mobile support", Title: "Enable the service at the gateway, and add its test lines", Needs: []string{"B8"}, Who: You,
			Check: checkEnabled, Instruct: instructEnabled,
		},
		{
			ID: "B16", Section: "Add the Project Synergy application to your Azure tenant", Title: "Add the service principal of Project Synergy", Needs: []string{"B3", "B8"}, Who: Tandem, Touches: []Part{OfDirectory}, Note: moduleNote,
			Check: unlessOnboarded(checkSynergy), Act: addSynergy, Will: willAddSynergy, Instruct: instructSynergy,
		},
		{
			ID: "B17", Section: "Assign an Admin user to the Project Synergy application", Title: "Assign the role Admin to the user who sets up the gateway", Needs: []string{"B16"}, Who: Tandem, Touches: []Part{OfDirectory},
			Check: unlessOnboarded(checkAdmin), Act: addAdmin, Will: willAddAdmin, Instruct: instructAdmin,
		},
		{
			ID: "B18", Section: "Find the Application ID for your Azure Communication Gateway resource", Title: "Find the enterprise application of the gateway's name", Needs: []string{"B8"}, Who: Tandem, Touches: []Part{OfDirectory},
			Check: checkIdentity, Act: makeIdentity, Will: willMakeIdentity, Instruct: instructIdentity,
		},
		{
			ID: "B19", Section: "Set up application roles for Azure Communications Gateway", Title: "Assign the seven roles of Project Synergy to the gateway's identity", Needs: []string{"B16", "B18"}, Who: Tandem, Touches: []Part{OfDirectory}, Note: scriptNote,
			Check: checkRoles, Act: assignRoles, Will: willAssignRoles, Instruct: instructRoles,
		},
		{
			ID: "B20", Section: "Provide additional information to your onboarding team", Title: "Complete the onboarding form", Needs: []string{"B17"}, Who: OnboardingTeam,
			Check: unlessOnboarded(checkForm), Draft: draftForm, Instruct: instructForm,
		},
		{
			ID: "B21", Section: "Test your Operator Connect portal access", Title: "Sign in to the Operator Connect portal", Needs: []string{"B20"}, Who: You,
			Check: said("portal-access", "Nobody has said that signing in worked"),
			Instruct: func(w *World) Instruction {
				return Instruction{Text: "Sign in as the user who sets up the gateway, and say when it worked: " + w.declare("portal-access=<YYYY-MM-DD>"), Where: w.portal()}
			},
		},
		{
			ID: "B22", Section: "Add the Application IDs for Azure Communications Gateway to Operator Connect", Title: "Add the two Application Ids", Needs: []string{"B19", "B20"}, Who: You,
			Check: checkListed, Instruct: instructListedCurrent,
		},
		{
			ID: "B23", Section: "Register your deployment's domain name in Microsoft Entra", Title: "Register the gateway's domain, and have it verified", Needs: []string{"B8"}, Who: Tandem, Touches: []Part{OfDirectory, OfZone},
			Check: checkDomain, Act: verifyDomain, Will: willVerifyDomain, Draft: draftText, Instruct: instructDomain,
		},
		{
			ID: "B24", Section: "Assign an Admin user to the Project Synergy application", Title: "Do not change calling profiles with the suffix CommsGw, nor the gateway's trunks", Needs: []string{"B22"}, Who: Tandem, Looks: []Part{OfDirectory, OfConnect},
			Check: checkProtected, Act: noteProtected, Will: func(*World) string { return "notes how they are, so that a change is seen" }, Instruct: instructProtected,
		},
	}
	for i := range list {
		list[i].Track = TrackCurrent
	}
	return list
}

func draftTeam(_ context.Context, w *World) ([]Draft, error) {
	d := w.letter("Onboarding to "+w.service(), "please name who is in charge of onboarding us to "+w.service()+".\n")
	d.Asks = []string{"onboarding-contact"}
	return []Draft{d}, nil
}

func draftSubscription(_ context.Context, w *World) ([]Draft, error) {
	d := w.letter("Enable our subscription", "please enable our subscription for Azure Communications Gateway, and confirm it.\n")
	d.Asks = []string{"subscription-enabled"}
	return []Draft{d}, nil
}

func instructOneTenant(w *World) Instruction {
	return Instruction{Text: "The gateway's identity has to live in the tenant that contains Project Synergy; production and lab share it", Command: w.declare("tenants=two", "synergy-tenant=<tenant ID>")}
}

// values are all that a deployment is made of.
func (w *World) values(ctx context.Context) ([]need, error) {
	all, err := w.basics(ctx)
	if err != nil {
		return nil, err
	}
	regions, err := w.regions(ctx)
	if err != nil || w.Subject.Service != "TeamsPhoneMobile" {
		return append(all, regions...), err
	}
	r, err := w.maybe(ctx)
	return append(append(all, regions...),
		need{name: "number for voicemail", fact: "voicemail-number", value: firstOf(r.Properties.TeamsVoicemailPilotNumber, w.Fact("voicemail-number"))},
		need{name: "way to Microsoft's phone system", fact: "mcp", value: w.mcp(r)}), err
}

func checkValues(ctx context.Context, w *World) (Finding, error) {
	all, err := w.values(ctx)
	if err != nil {
		return Finding{}, err
	}
	f, err := needed(all)
	if err != nil || f.State != Done {
		return f, err
	}
	design, err := checkDesign(ctx, w)
	design.Evidence = append(f.Evidence, design.Evidence...)
	return design, err
}

func firstOf(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}

// mcp is how Teams Phone Mobile calls are routed, as the resource says, or
// somebody did.
func (w *World) mcp(r gateway.Resource) string {
	switch {
	case r.Properties.IntegratedMCPEnabled:
		return "integrated"
	case r.Properties.OnPremMCPEnabled:
		return "on-premises"
	}
	return w.Fact("mcp")
}

func instructValues(w *World) Instruction {
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	if all, err := w.values(ctx); err == nil {
		if f, err := needed(all); err == nil && f.State == Done {
			return instructDesign(w)
		}
	}
	return w.instructNeeds(w.values)
}

// verificationNumbers are how many a service wants ("Prepare to deploy", Collect
// the test numbers).
func (w *World) verificationNumbers() int {
	if w.Environment == Lab {
		return 3
	}
	return 6
}

// checkNumbers takes what the gateway has of the numbers, or what was said of
// them while it has none.
func checkNumbers(ctx context.Context, w *World) (Finding, error) {
	f, some, err := w.lines(ctx)
	if err != nil {
		return f, err
	}
	automated, integration := numbers(w.Fact("verification-numbers")), numbers(w.Fact("integration-numbers"))
	if f.State != "" && (some || len(automated)+len(integration) == 0) {
		return f, nil
	}
	var both []string
	for _, n := range automated {
		if slices.Contains(integration, n) {
			both = append(both, n)
		}
	}
	want := w.verificationNumbers()
	detail := fmt.Sprintf("%d of %d numbers for service verification, %d of 1 for integration tests", len(automated), want, len(integration))
	switch {
	case len(both) > 0:
		return Missing(detail + "; " + strings.Join(both, ", ") + " cannot be both"), nil
	case len(automated) < want || len(integration) < 1:
		return Missing(detail), nil
	}
	return Said(detail, Is("service verification", strings.Join(automated, ", ")), Is("integration tests", strings.Join(integration, ", "))), nil
}

// lines is what the gateway has of the numbers that the service needs, and
// whether it has some; nothing while there is no gateway with the service.
func (w *World) lines(ctx context.Context) (f Finding, some bool, err error) {
	if w.Gateways == nil {
		return f, false, nil
	}
	r, err := w.Gateways.Readiness(ctx, w.Subject.Gateway)
	if fault.Of(err) == fault.NotFound {
		return f, false, nil
	}
	if i := slices.IndexFunc(r.Services, func(s gateway.ServiceReadiness) bool { return s.Service == w.Subject.Service }); i >= 0 && err == nil {
		some = slices.ContainsFunc(r.Services[i].Counts, func(c gateway.Count) bool { return c.Have > 0 })
		return countsOf(r.Services[i]), some, nil
	}
	return f, false, err
}

// countsOf is what a gateway knows of a service's numbers.
func countsOf(s gateway.ServiceReadiness) Finding {
	var all []string
	var shown []Evidence
	for _, c := range s.Counts {
		all = append(all, c.String())
		shown = append(shown, Is(c.What, fmt.Sprintf("%d of %d", c.Have, c.Want)))
	}
	f := Found(strings.Join(all, ", "), shown...)
	if !s.Ready() {
		f.State = Ready
	}
	return f
}

func instructNumbers(w *World) Instruction {
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	if _, err := w.resource(ctx); err == nil {
		return Instruction{Text: "Add test lines with the purpose Automated for service verification, and the numbers for integration tests, until nothing is missing", Command: "tandem gateway readiness " + w.named()}
	}
	return Instruction{
		Text:    fmt.Sprintf("Choose %d numbers for service verification, which are never assigned to a user, and one or more others for integration tests", w.verificationNumbers()),
		Command: w.declare("verification-numbers=<numbers>", "integration-numbers=<numbers>"),
	}
}

func checkGateway(ctx context.Context, w *World) (Finding, error) {
	r, err := w.resource(ctx)
	switch {
	case fault.Of(err) == fault.NotFound:
		return Missing("There is no such gateway"), nil
	case err != nil:
		return Finding{}, err
	}
	switch state := r.Properties.ProvisioningState; state {
	case gateway.Succeeded:
		return Found("Made on "+r.System.CreatedAt.Format("2006-01-02"), Is("resource", r.ID.String()), Is("location", r.Location)), nil
	case gateway.Failed, gateway.Canceled:
		return Missing("Its last change ended as " + state + ": look at it with readiness, and repeat it"), nil
	default:
		return Await("It is being made: " + state), nil
	}
}

func instructGateway(w *World) Instruction {
	return Instruction{Text: "Write the gateway down in a file, and apply it", Command: "tandem apply -f gateway.yaml"}
}

func checkComplete(ctx context.Context, w *World) (Finding, error) {
	r, err := w.resource(ctx)
	switch {
	case fault.Of(err) == fault.NotFound:
		return Missing("There is no such gateway"), nil
	case err != nil:
		return Finding{}, err
	case r.Properties.Status != gateway.Complete:
		return Await("Its status is " + firstOf(r.Properties.Status, "unknown") + ": what is saved is not yet what runs"), nil
	}
	return Found("Its status is Complete", Is("domain", w.Base)), nil
}

// draftNames is what the operator's own network needs to know.
func draftNames(ctx context.Context, w *World) ([]Draft, error) {
	r, err := w.resource(ctx)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "The gateway %s (%s) is ready. Please configure the core so that it calls these names over TLS and believes certificates that bear them, and allow these ranges:\n", r.ID.Name, w.Base)
	for _, at := range r.Properties.ServiceLocations {
		fmt.Fprintf(&b, "\n%s\n", at.Name)
		if c := at.ACGContactInfo; c != nil {
			for _, p := range c.PeerGroups {
				fmt.Fprintf(&b, "  SRV record: %s, addresses %s, port %d\n", p.SRVRecord, strings.Join(p.IPAddresses, ", "), p.Port)
			}
		}
		if a := at.ACGAddressRanges; a != nil {
			fmt.Fprintf(&b, "  Signalling from: %s\n  Media from: %s\n", strings.Join(a.SignalingForOperator, ", "), strings.Join(a.MediaForOperator, ", "))
		}
	}
	shown, err := w.ourCertificates(ctx)
	if err != nil {
		return nil, err
	}
	b.WriteString(shown + "\nPlease send back the root certificate that signs the core's own certificates, and the names that they bear.\n")
	return []Draft{{To: You, Subject: "Names, certificates and ranges of " + r.ID.Name, Message: b.String(), Asks: []string{"certificates"}}}, nil
}

func checkMCP(ctx context.Context, w *World) (Finding, error) {
	if w.Subject.Service != "TeamsPhoneMobile" {
		return Skip("Operator Connect has no Mobile Control Point"), nil
	}
	r, err := w.maybe(ctx)
	if err != nil {
		return Finding{}, err
	}
	switch w.mcp(r) {
	case "integrated":
	case "on-premises", "other":
		return Skip("Calls are routed by your own network"), nil
	default:
		return Missing("Nobody has said how calls get to Microsoft's phone system"), nil
	}
	if !r.Properties.IntegratedMCPEnabled {
		return Missing("The gateway's Mobile Control Point is not on"), nil
	}
	if v, ok := w.Value("ifc"); ok {
		return Said("Configured on "+v.Value, Is("initial filter criteria", v.Value), Is("declared by", v.By)), nil
	}
	return Missing("Nobody has said that the core hands calls of the test numbers over"), nil
}

func instructMCP(w *World) Instruction {
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	r, err := w.maybe(ctx)
	switch {
	case err == nil && w.mcp(r) == "":
		return Instruction{Text: "Choose how calls get to Microsoft's phone system", Command: w.declare("mcp=integrated")}
	case err == nil && !r.Properties.IntegratedMCPEnabled:
		return Instruction{Text: "Turn the gateway's Mobile Control Point on", Command: "tandem gateway update " + w.named() + " --integrated-mcp-enabled true"}
	}
	return Instruction{Text: "Give the message to who runs the core, make a call of a test number each way, and say when it worked", Command: w.declare("ifc=<YYYY-MM-DD>")}
}

// draftMCP tells the operator's core when to hand calls over ("Mobile Control
// Point in Azure Communications Gateway").
func draftMCP(ctx context.Context, w *World) ([]Draft, error) {
	r, err := w.maybe(ctx)
	if err != nil || !r.Properties.IntegratedMCPEnabled || w.Base == "" {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Please add an initial filter criterion to each test number of Teams Phone Mobile, last among the originating ones and first among the terminating ones:\n\n")
	b.WriteString("  method INVITE, and not session case 4 (originating after a diversion)\n  DefaultHandling 0: calls go on without it when it does not answer\n")
	protocol := strings.ToLower(firstOf(r.Properties.SignalingProtocolForMCP, "TLS"))
	for i := range r.Regions {
		fmt.Fprintf(&b, "  ServerName sip:%s;transport=%s;service=mcp\n", zone.MCPName(w.Base, i+1), protocol)
	}
	b.WriteString("\nThe S-CSCFs must be peers of the gateway.\n")
	return []Draft{{To: You, Subject: "Mobile Control Point of " + r.ID.Name, Message: b.String(), Asks: []string{"ifc"}}}, nil
}

func checkDelegations(ctx context.Context, w *World) (Finding, error) {
	r, err := w.resource(ctx)
	if err != nil {
		return Finding{}, err
	}
	d := r.Properties.DNSDelegations
	if d == nil || len(d.Delegations) == 0 {
		return Skip("No domain is delegated"), nil
	}
	if w.Names == nil {
		return Finding{}, fault.New(fault.Unavailable, "Nobody can look into the DNS")
	}
	var wrong []string
	var shown []Evidence
	for _, x := range d.Delegations {
		var got []string
		found, err := w.Names.LookupNS(ctx, x.Domain)
		if err := unlessNone(err); err != nil {
			return Finding{}, err
		}
		for _, ns := range found {
			got = append(got, strings.TrimSuffix(ns.Host, "."))
		}
		slices.Sort(got) // answers come in any order
		want := make([]string, 0, len(x.NameServers))
		for _, s := range x.NameServers {
			want = append(want, strings.TrimSuffix(s, "."))
		}
		if missing := have(want, got); len(missing) > 0 {
			wrong = append(wrong, x.Domain+" lacks "+strings.Join(missing, ", "))
			continue
		}
		shown = append(shown, Is("name servers of "+x.Domain, strings.Join(got, ", ")))
	}
	if len(wrong) > 0 {
		return Missing(strings.Join(wrong, "; "), shown...), nil
	}
	return Found("Every domain leads to the gateway's name servers", shown...), nil
}

func instructDelegations(w *World) Instruction {
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	i := Instruction{Text: "Write these records into the zone above, good for two days", Command: "tandem zone list"}
	r, err := w.resource(ctx)
	if err != nil || r.Properties.DNSDelegations == nil {
		return i
	}
	var b strings.Builder
	for _, x := range r.Properties.DNSDelegations.Delegations {
		for _, s := range x.NameServers {
			fmt.Fprintf(&b, "%s. 172800 IN NS %s.\n", strings.TrimSuffix(x.Domain, "."), strings.TrimSuffix(s, "."))
		}
	}
	i.Paste = b.String()
	return i
}

// checkClient shows what of a client is there. It is not done before the API
// is.
func checkClient(ctx context.Context, w *World) (Finding, error) {
	r, err := w.resource(ctx)
	if err != nil {
		return Finding{}, err
	}
	name := w.Fact("api-client")
	if b := r.Properties.APIBridge; name == "" && (b == nil || b.ConfigureAPIBridge != "enabled") {
		return Skip("The Provisioning API is not used"), nil
	}
	f := Later("The Provisioning API comes with a later release")
	if name == "" || w.Directory == nil {
		return f, nil
	}
	found, err := w.Directory.PrincipalsNamed(ctx, name)
	if err != nil || len(found) != 1 {
		return f, err
	}
	f.Evidence = append(f.Evidence, Is("client", found[0].AppID))
	api, err := w.Directory.PrincipalOf(ctx, gatewayApp)
	if err != nil {
		return f, err
	}
	has, err := w.Directory.AssignmentsOf(ctx, found[0].ID)
	var roles []string
	for _, a := range has {
		if strings.EqualFold(a.Resource, api.ID) {
			roles = append(roles, title(api, a.Role))
		}
	}
	slices.Sort(roles)
	f.Evidence = append(f.Evidence, Is("roles", strings.Join(roles, ", ")))
	return f, err
}

func checkEnabled(ctx context.Context, w *World) (Finding, error) {
	r, err := w.resource(ctx)
	if err != nil {
		return Finding{}, err
	}
	enabled := slices.Contains(r.Properties.Platforms, w.Subject.Service)
	switch {
	case w.Is("service-at-deploy", "yes") && enabled:
		return Skip(w.service() + " was chosen when the gateway was deployed"), nil
	case !enabled:
		return Missing(w.service() + " is not among the gateway's services"), nil
	}
	numbers, _, err := w.lines(ctx)
	if err != nil || numbers.State != Done {
		return numbers, err
	}
	if r.Properties.Status != gateway.Complete {
		return Await("Enabled; the gateway's status is " + r.Properties.Status), nil
	}
	return Found(w.service()+" is enabled, with "+numbers.Detail, numbers.Evidence...), nil
}

func instructEnabled(w *World) Instruction {
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	r, err := w.resource(ctx)
	if err == nil && slices.Contains(r.Properties.Platforms, w.Subject.Service) {
		return instructNumbers(w)
	}
	return Instruction{
		Text:    "Enable the service, then add the test lines for service verification with the purpose Automated",
		Command: "tandem gateway update " + w.named() + " --platforms " + strings.Join(append(r.Properties.Platforms, w.Subject.Service), " "),
	}
}

// identity is the service principal by which the gateway signs in: the one
// enterprise application that has its name.
func (w *World) identity(ctx context.Context) (entra.Principal, error) {
	d, err := w.directory()
	if err != nil {
		return entra.Principal{}, err
	}
	name := w.Subject.Gateway.Name
	found, err := once(&w.told, "identity", func() ([]entra.Principal, error) { return d.PrincipalsNamed(ctx, name) })
	if err != nil {
		return entra.Principal{}, err
	}
	// Another gateway may have this name in its own resource group.
	others, err := w.others(ctx)
	if err != nil {
		return entra.Principal{}, err
	}
	found = slices.DeleteFunc(slices.Clone(found), func(p entra.Principal) bool {
		return slices.ContainsFunc(others, func(r gateway.Resource) bool {
			return r.Identity != nil && strings.EqualFold(r.Identity.PrincipalID, p.ID)
		})
	})
	switch len(found) {
	case 0:
		return entra.Principal{}, fault.New(fault.NotFound, "The tenant has no enterprise application named "+name)
	case 1:
		return found[0], nil
	}
	return entra.Principal{}, two(name, found)
}

// others are the other gateways of the deployment.
func (w *World) others(ctx context.Context) ([]gateway.Resource, error) {
	return once(&w.told, "other gateways", func() (list []gateway.Resource, err error) {
		for after := ""; w.Gateways != nil; {
			some, next, err := w.Gateways.List(ctx, gateway.Scope{}, gateway.Page{After: after})
			if err != nil {
				return nil, err
			}
			for _, r := range some {
				if r.ID.Key() != w.Subject.Gateway.Key() {
					list = append(list, r)
				}
			}
			if after = next; next == "" {
				break
			}
		}
		return list, nil
	})
}

// elsewhere tells that the directory is not this deployment's: gateways have no
// managed identity there, and sign in as an application.
func (w *World) elsewhere() bool { return w.Outside[OfDirectory] }

func checkIdentity(ctx context.Context, w *World) (Finding, error) {
	r, err := w.resource(ctx)
	if err != nil {
		return Finding{}, err
	}
	p, err := w.identity(ctx)
	switch {
	case fault.Of(err) == fault.NotFound && w.elsewhere():
		return Missing(err.Error()), nil
	case fault.Of(err) == fault.NotFound:
		return Ask(You, err.Error()+": the gateway has no managed identity"), nil
	case err != nil:
		return Finding{}, err
	}
	shown := []Evidence{Is("application ID", p.AppID), Is("object ID", p.ID), Is("signs in as", w.signIn()), Is("tenant", w.Directory.Tenant)}
	if p.Disabled() {
		return Ask(You, "The enterprise application "+p.DisplayName+" may not sign in: it is disabled", shown...), nil
	}
	if w.elsewhere() {
		return w.checkFederated(ctx, r, p, shown)
	}
	switch {
	case r.Identity == nil || r.Identity.PrincipalID == "":
		return Ask(You, "An enterprise application has the gateway's name, and the gateway has no managed identity", shown...), nil
	case !strings.EqualFold(r.Identity.TenantID, w.Directory.Tenant):
		return Ask(You, fmt.Sprintf("The managed identity lives in the tenant %s, and Project Synergy in %s: it must live in the same", r.Identity.TenantID, w.Directory.Tenant), shown...), nil
	case !strings.EqualFold(r.Identity.PrincipalID, p.ID):
		return Ask(You, fmt.Sprintf("The enterprise application %s (object ID %s) has the gateway's name, and is not its managed identity (object ID %s)", p.DisplayName, p.ID, r.Identity.PrincipalID), shown...), nil
	}
	return Found("Application ID "+p.AppID, shown...), nil
}

// checkFederated looks whether the gateway may sign in as the application that
// has its name.
func (w *World) checkFederated(ctx context.Context, r gateway.Resource, p entra.Principal, shown []Evidence) (Finding, error) {
	if w.Certificate == nil && (w.Issuer == "" || r.Identity == nil || r.Identity.PrincipalID == "") {
		return Ask(You, noIdentity, shown...), nil
	}
	a, err := w.Directory.ApplicationOf(ctx, p.AppID)
	if fault.Of(err) == fault.NotFound {
		return Ask(You, "The enterprise application "+p.DisplayName+" has the gateway's name, and is not registered in the tenant: rename or delete it", shown...), nil
	}
	if err != nil {
		return Finding{}, err
	}
	if w.Certificate != nil {
		return w.checkCertified(ctx, a, shown)
	}
	may, err := w.Directory.Federated(ctx, a.ID, w.Issuer, r.Identity.PrincipalID)
	if err != nil {
		return Finding{}, err
	}
	other, err := w.federated(ctx, a)
	switch {
	case err != nil:
		return Finding{}, err
	case other != "":
		return Ask(You, "The application "+p.DisplayName+" is that of the gateway "+other+", which has the same name: one of them needs another", shown...), nil
	case !may:
		return Missing("The application "+p.DisplayName+" has no federated credential of the issuer "+w.Issuer+" for the gateway ("+r.Identity.PrincipalID+")", shown...), nil
	}
	return Found("Application ID "+p.AppID+", "+w.signIn(), shown...), nil
}

// federated is another gateway that signs in as an application; "": none does.
func (w *World) federated(ctx context.Context, a entra.Application) (string, error) {
	others, err := w.others(ctx)
	for _, r := range others {
		if r.Identity == nil || !strings.EqualFold(r.ID.Name, w.Subject.Gateway.Name) {
			continue
		}
		if is, err := w.Directory.Federated(ctx, a.ID, w.Issuer, r.Identity.PrincipalID); err != nil || is {
			return r.ID.Name + " in " + r.ID.Group, err
		}
	}
	return "", err
}

// noIdentity is said where our issuer has nobody to vouch for.
const noIdentity = "The gateway has no identity of its own here, for which our issuer could vouch"

// signIn is how the gateway proves who it is.
func (w *World) signIn() string {
	if w.elsewhere() {
		return "an application with " + w.credential() + ": nobody outside Azure can make a system-assigned identity there"
	}
	return "system-assigned managed identity"
}

func willMakeIdentity(w *World) string {
	return "registers " + w.Subject.Gateway.Name + ", which signs in by " + w.credential()
}

func instructIdentity(w *World) Instruction {
	if w.elsewhere() {
		text := "Register an application of the gateway's name with a federated credential of the issuer " + w.Issuer
		if w.Certificate != nil {
			text = "Register an application of the gateway's name with " + w.credential()
		}
		return Instruction{Text: text, Command: w.command("apply --outside")}
	}
	return Instruction{Text: "Give the gateway a system-assigned identity in the tenant that contains Project Synergy", Command: "tandem gateway update " + w.named() + " --set identity.type=SystemAssigned"}
}

// makeIdentity registers the gateway in a directory that is not ours. In our
// own the gateway gets its identity with the resource.
func makeIdentity(ctx context.Context, w *World) error {
	if !w.elsewhere() {
		return fault.New(fault.Conflict, "The gateway gets its identity with the resource")
	}
	r, err := w.resource(ctx)
	if err != nil {
		return err
	}
	if w.Certificate == nil && (w.Issuer == "" || r.Identity == nil || r.Identity.PrincipalID == "") {
		return fault.New(fault.Conflict, noIdentity)
	}
	name := r.ID.Name
	found, err := w.Directory.ApplicationsNamed(ctx, name)
	if err != nil {
		return err
	}
	var a entra.Application
	switch len(found) {
	case 0:
		a, err = w.Directory.CreateApplication(ctx, entra.Application{DisplayName: name, Audience: entra.SingleTenant})
	case 1:
		a = found[0]
	default:
		err = fault.New(fault.Conflict, fmt.Sprintf("%d app registrations are named %s", len(found), name))
	}
	if err != nil {
		return err
	}
	err = soon(ctx, func() error {
		if w.Certificate != nil {
			return w.certify(ctx, a)
		}
		// Named by the subject: a gateway that is made anew has another identity.
		return w.Directory.Federate(ctx, a.ID, "tandem-"+r.Identity.PrincipalID, w.Issuer, r.Identity.PrincipalID)
	})
	if err != nil {
		return err
	}
	_, err = w.Directory.PrincipalOf(ctx, a.AppID)
	if fault.Of(err) == fault.NotFound {
		err = soon(ctx, func() error {
			_, err := w.Directory.AddPrincipal(ctx, a.AppID, "")
			return err
		})
	}
	return err
}

// roles are the seven, each with whether the identity has it on Project
// Synergy.
func (w *World) roles(ctx context.Context) (synergy, identity entra.Principal, missing []appRole, err error) {
	if synergy, err = w.synergy(ctx); err != nil {
		return synergy, identity, nil, err
	}
	if identity, err = w.identity(ctx); err != nil {
		return synergy, identity, nil, err
	}
	got, err := w.Directory.AssignmentsOf(ctx, identity.ID)
	for _, role := range gatewayRoles {
		if !slices.ContainsFunc(got, func(a entra.Assignment) bool {
			return strings.EqualFold(a.Role, role.id) && strings.EqualFold(a.Resource, synergy.ID)
		}) {
			missing = append(missing, role)
		}
	}
	return synergy, identity, missing, err
}

func checkRoles(ctx context.Context, w *World) (Finding, error) {
	_, identity, missing, err := w.roles(ctx)
	if err != nil {
		return Finding{}, err
	}
	shown := []Evidence{Is("object ID of the identity", identity.ID)}
	var names []string
	for _, role := range gatewayRoles {
		if slices.Contains(missing, role) {
			names = append(names, role.name)
			continue
		}
		shown = append(shown, Is("role "+role.name, role.id))
	}
	n := len(gatewayRoles)
	if len(names) > 0 {
		return Missing(fmt.Sprintf("%d of %d roles are assigned; missing: %s", n-len(names), n, strings.Join(names, ", ")), shown...), nil
	}
	return Found(fmt.Sprintf("All %d roles are assigned", n), shown...), nil
}

// assignRoles is the document's own script in effect: what is missing is
// assigned, and nothing is assigned twice.
func assignRoles(ctx context.Context, w *World) error {
	synergy, identity, missing, err := w.roles(ctx)
	if err != nil {
		return err
	}
	for _, role := range missing {
		if err := w.Directory.Assign(ctx, entra.Assignment{Principal: identity.ID, Resource: synergy.ID, Role: role.id}); err != nil {
			return fmt.Errorf("role %s: %w", role.name, err)
		}
	}
	return nil
}

func willAssignRoles(w *World) string {
	return fmt.Sprintf("assigns those of the %d roles of Project Synergy that %s lacks", len(gatewayRoles), w.Subject.Gateway.Name)
}

func instructRoles(w *World) Instruction {
	var b strings.Builder
	for _, role := range gatewayRoles {
		fmt.Fprintf(&b, "%s %s\n", role.id, role.name)
	}
	return Instruction{Text: "As a Global Administrator, assign these application roles of Project Synergy to the enterprise application " + w.Subject.Gateway.Name, Command: w.command("apply --outside"), Paste: b.String()}
}
