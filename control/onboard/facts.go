package onboard

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tandemgw/tandem/control/gateway"
)

var yesNo = []string{"yes", "no"}

// Facts are those that the steps ask for.
func Facts() []Fact {
	return append(doneFacts(), []Fact{
		{Name: "agreement", Title: "Which agreement with Microsoft has been signed for the service, and when?", Form: "ID and date", Scope: OfOperator},
		{Name: "support-plan", Title: "Which support plan includes technical support?", Choices: []string{"unified", "premier", "other", "none"}, Scope: Everywhere, Step: "A2"},
		{Name: "already-onboarded", Title: "Has the operator been onboarded to Operator Connect or Teams Phone Mobile before?", Choices: yesNo, Default: "no", Scope: Everywhere},
		{Name: "service-at-deploy", Title: "Was the service chosen when the gateway was deployed?", Choices: yesNo, Default: "no", Scope: OfService, Step: "B15"},
		{Name: "partner", Title: "Who onboards the operator to Operator Connect or Teams Phone Mobile?", Form: "Microsoft, or a name", Default: "Microsoft", Scope: OfOperator},
		{Name: "partner-mail", Title: "Where is the onboarding partner written to?", Form: "a mail address", Scope: OfOperator, Check: mailAddress},
		{Name: "tenants", Title: "Do the gateway and Project Synergy live in one tenant, or in two?", Choices: []string{"one", "two"}, Default: "one", Scope: Everywhere},
		{Name: "synergy-tenant", Title: "Which tenant contains Project Synergy?", Form: "ID of a tenant", Scope: Everywhere, Check: guidForm},
		{Name: "onboarding-contact", Title: "Who of the onboarding team is in charge?", Form: "a name, a mail address", Scope: Everywhere, Step: "B2"},
		{Name: "operator-name", Title: "What is the operator called?", Form: "a name", Scope: Everywhere},
		{Name: "contact-name", Title: "Who answers for the operator?", Form: "a name", Scope: Everywhere},
		{Name: "contact-mail", Title: "Where is this person written to?", Form: "a mail address", Scope: Everywhere, Check: mailAddress},
		{Name: "contact-phone", Title: "Where is this person called?", Form: "a number, E.164", Scope: Everywhere, Check: phoneNumber},
		{Name: "subscription-enabled", Title: "When did the onboarding team enable the subscription?", Form: "YYYY-MM-DD", Scope: OfSubscription, Step: "B4", Check: date},
		{Name: "setup-user", Title: "Which user sets up the gateway?", Form: "a user principal name", Scope: Everywhere},

		{Name: "manual-number", Title: "Which number do Microsoft's staff call in integration tests?", Form: "a number, E.164", Scope: OfService, Step: "A1", Check: phoneNumber},
		{Name: "automated-number", Title: "Which number do the automatic test suites call?", Form: "a number, E.164", Scope: OfService, Step: "A1", Check: phoneNumber},
		{Name: "verification-numbers", Title: "Which numbers are called for service verification?", Form: "numbers, E.164, with commas between them", Scope: OfService, Step: "B6", Check: phoneNumbers},
		{Name: "integration-numbers", Title: "Which numbers are for integration tests?", Form: "numbers, E.164, with commas between them", Scope: OfService, Step: "B6", Check: phoneNumbers},

		{Name: "network-design", Title: "When was the network design reviewed against the connectivity specification?", Form: "YYYY-MM-DD", Scope: OfAGateway, Check: date},
		{Name: "management-region", Title: "In which region are monitoring and billing data processed?", Form: "a region", Scope: OfAGateway, Step: "A16"},
		{Name: "codecs", Title: "Which voice codecs are supported?", Form: "of " + strings.Join(gateway.Codecs, ", "), Scope: OfAGateway, Step: "A16", Check: among(gateway.Codecs)},
		{Name: "platforms", Title: "Which voice platforms are supported?", Form: "of " + strings.Join(gateway.Platforms, ", "), Scope: OfAGateway, Step: "A16", Check: among(gateway.Platforms)},
		{Name: "emergency", Title: "How are emergency calls handled?", Choices: gateway.E911Types, Scope: OfAGateway, Step: "A16"},
		{Name: "region-1", Title: "Which region handles calls first?", Form: "a region", Scope: OfAGateway, Step: "A17"},
		{Name: "region-2", Title: "Which region handles calls beside it?", Form: "a region", Scope: OfAGateway, Step: "A17"},
		{Name: "operator-address-1", Title: "Which address of the operator's network is called from the first region?", Form: "an IPv4 address", Scope: OfAGateway, Step: "A17", Check: address},
		{Name: "operator-address-2", Title: "Which address of the operator's network is called from the second region?", Form: "an IPv4 address", Scope: OfAGateway, Step: "A17", Check: address},
		{Name: "tags", Title: "Are the resources tagged?", Choices: yesNo, Scope: OfAGateway, Step: "A18"},

		{Name: "mcp", Title: "How do Teams Phone Mobile calls get to Microsoft's phone system?", Choices: []string{"integrated", "on-premises", "other"}, Scope: OfAGateway},
		{Name: "voicemail-number", Title: "Which number is dialled for voicemail?", Form: "a number, E.164", Scope: OfAGateway, Check: phoneNumber},

		{Name: "uploader-apps", Title: "Do all Call Duration Uploaders share one app registration, or has each its own?", Choices: []string{"shared", "each"}, Default: "shared", Scope: Everywhere, Step: "A6"},
		{Name: "uploaders", Title: "How many Call Duration Uploaders are there?", Form: "1 to 20", Scope: Everywhere, Step: "A6", Check: count(20)},
		{Name: "application-ids", Title: "When were the Application Ids added in the Operator Connect portal?", Form: "YYYY-MM-DD", Scope: OfService, Check: date},
		{Name: "vault.*", Title: "Which vault holds the client ID and the secret of this registration?", Form: "resource ID of a vault", Scope: Everywhere, Step: "A10", Check: vaultForm, Learned: true},
		{Name: "consent-url.*", Title: "Which admin consent URL did the onboarding team give for this registration?", Form: "a URL", Scope: Everywhere, Step: "A13", Check: consentForm},
		{Name: "application-name.*", Title: "Which Application Name did the consent show?", Form: "a name", Scope: Everywhere, Step: "A13", Check: noID, Learned: true},
		{Name: "application-id.*", Title: "Which Application (client) ID does that application have? It goes before the name.", Form: "a UUID", Scope: Everywhere, Step: "A13", Check: guidForm, Learned: true},

		{Name: "certificates", Title: "When were certificates and roots exchanged, and seen to work both ways?", Form: "YYYY-MM-DD", Scope: OfAGateway, Step: "B9", Check: date},
		{Name: "ifc", Title: "When did the core hand calls of the test numbers to the Mobile Control Point?", Form: "YYYY-MM-DD", Scope: OfAGateway, Step: "B10", Check: date},
		{Name: "bfd", Title: "When was BFD seen up, with all of the gateway's traffic on those links?", Form: "YYYY-MM-DD", Scope: OfAGateway, Step: "B11", Check: date},
		{Name: "api-client", Title: "Which app registration calls the Provisioning API?", Form: "its display name", Scope: OfAGateway, Step: "B14"},
		{Name: "onboarded", Title: "When did the onboarding team confirm that onboarding is complete?", Form: "YYYY-MM-DD", Scope: OfService, Step: "B20", Check: date},
		{Name: "portal-access", Title: "When did somebody sign in to the Operator Connect portal?", Form: "YYYY-MM-DD", Scope: OfOperator, Step: "B21", Check: date},
		{Name: "gateway-application-id", Title: "Which Application (client) ID does the gateway sign in with?", Form: "a UUID", Scope: OfAGateway, Step: "B20", Check: guidForm, Unseen: []Part{OfDirectory}},
		{Name: "protected.*", Title: "What the protected configuration was when it was first seen", Form: "written by the step", Scope: OfService, Step: "B24", Learned: true},
	}...)
}

// doneFacts are when people did the steps that nobody may see. What the tenant
// has once, as all of the track of 2022, is said once.
func doneFacts() (all []Fact) {
	for _, st := range Steps() {
		f := Fact{Name: doneFact + st.ID, Title: "When was this done, where nobody sees it? " + st.Title, Form: "YYYY-MM-DD", Scope: OfService, Step: st.ID, Check: date, Unseen: st.parts()}
		if st.Track == Track2022 || st.ID == "B16" || st.ID == "B17" {
			f.Scope = Everywhere
		}
		if f.Unseen != nil {
			all = append(all, f)
		}
	}
	return all
}

var (
	guidText  = regexp.MustCompile(`^(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	e164Text  = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	mailText  = regexp.MustCompile(`^[^@\s<>"]+@[^@\s<>"]+\.[^@\s<>"]+$`)
	vaultText = regexp.MustCompile(`^(?i)/subscriptions/[0-9a-f-]{36}/resourceGroups/[a-z0-9._()-]{0,89}[a-z0-9_()-]/providers/Microsoft\.KeyVault/vaults/[a-z][a-z0-9-]{1,22}[a-z0-9]$`)
)

func matches(form *regexp.Regexp, what string) func(string) error {
	return func(s string) error {
		if !form.MatchString(s) {
			return errors.New("write " + what)
		}
		return nil
	}
}

var (
	guidForm    = matches(guidText, "a UUID, such as 7f8d5c6e-0000-4000-8000-000000000001")
	mailAddress = matches(mailText, "a mail address")
	vaultForm   = matches(vaultText, "the resource ID of a vault, /subscriptions/…/providers/Microsoft.KeyVault/vaults/NAME")
)

// noID is asked of a name for which somebody may have copied the ID.
func noID(s string) error {
	if guidForm(s) == nil {
		return errors.New("this is an ID: declare it as application-id.<registration>")
	}
	return nil
}

func date(s string) error {
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		return errors.New("write a date, YYYY-MM-DD")
	}
	return nil
}

func phoneNumber(s string) error {
	if !e164Text.MatchString(gateway.E164(s)) {
		return errors.New("write a number with + and country code, such as +442079460000")
	}
	return nil
}

func phoneNumbers(s string) error {
	all := numbers(s)
	if len(all) == 0 {
		return errors.New("write numbers with commas between them")
	}
	for _, n := range all {
		if err := phoneNumber(n); err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
	}
	return nil
}

func address(s string) error {
	if a, err := netip.ParseAddr(s); err != nil || !a.Is4() {
		return errors.New("write an IPv4 address")
	}
	return nil
}

func count(most int) func(string) error {
	return func(s string) error {
		if n, err := strconv.Atoi(s); err != nil || n < 1 || n > most {
			return fmt.Errorf("write a number from 1 to %d", most)
		}
		return nil
	}
}

// words are those of a list with commas between them.
func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

func among(choices []string) func(string) error {
	return func(s string) error {
		if missing := have(words(s), choices); len(missing) > 0 || len(words(s)) == 0 {
			return fmt.Errorf("write some of %s", strings.Join(choices, ", "))
		}
		return nil
	}
}

// consentForm takes no more than leads to a consent: the ID in it becomes an
// application of the tenant.
func consentForm(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || !strings.HasSuffix(strings.TrimRight(u.Path, "/"), "/adminconsent") || guidForm(u.Query().Get("client_id")) != nil {
		return errors.New("write the URL as it was given: https://…/adminconsent?client_id=…")
	}
	return nil
}
