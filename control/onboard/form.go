package onboard

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/gateway"
)

// The form by which the onboarding team learns what it needs to onboard an
// operator. It asks for what the documents name; what is known is filled in.

// formField is one line of the form.
type formField struct {
	name, value string
	fact        string // by which it is said; "": it is seen
}

// form is filled in with what is known. What cannot be read is left open.
func (w *World) form(ctx context.Context) ([]formField, error) {
	r, err := w.maybe(ctx)
	if err != nil {
		return nil, err
	}
	name, _ := w.team()
	application := formField{"Application ID of the gateway's identity", w.Fact("gateway-application-id"), "gateway-application-id"}
	if w.Directory != nil {
		identity, err := w.identity(ctx)
		if err != nil && fault.Of(err) != fault.NotFound {
			return nil, err
		}
		application.value, application.fact = identity.AppID, ""
	}
	numbers, err := w.numbersOf(ctx)
	if err != nil {
		return nil, err
	}
	p := r.Properties
	var regions []string
	for _, at := range p.ServiceLocations {
		regions = append(regions, at.Name)
	}
	at := formField{"Tenant ID", w.Fact("synergy-tenant"), "synergy-tenant"}
	if w.Directory != nil {
		at.value, at.fact = w.Directory.Tenant, ""
	}
	fields := []formField{
		{"Operator", w.Fact("operator-name"), "operator-name"},
		{"Contact", w.Fact("contact-name"), "contact-name"},
		{"Contact's mail address", w.Fact("contact-mail"), "contact-mail"},
		{"Contact's telephone number", w.Fact("contact-phone"), "contact-phone"},
		{"Onboarding partner", name, "partner"},
		{"Service", w.service(), ""},
		{"Agreement", w.Fact("agreement"), "agreement"},
		at,
		{"Subscription ID", w.Subject.Gateway.Subscription, ""},
		{"Resource ID", w.Subject.Gateway.String(), ""},
		{"Management region", r.Location, ""},
		{"Service regions", strings.Join(regions, ", "), ""},
		{"Environment", string(w.Environment), ""},
		{"Domain", w.Base, ""},
		application,
		{"Second Application ID", gatewayApp, ""},
		{"User who sets up the gateway", w.Fact("setup-user"), "setup-user"},
		{"Codecs", strings.Join(p.Codecs, ", "), ""},
		{"Emergency calls", p.E911Type, ""},
		{"Numbers for service verification", numbers["Automated"], ""},
		{"Numbers for integration tests", numbers["integration"], ""},
	}
	if w.Subject.Service == "TeamsPhoneMobile" {
		fields = append(fields,
			formField{"Number for voicemail", firstOf(p.TeamsVoicemailPilotNumber, w.Fact("voicemail-number")), "voicemail-number"},
			formField{"Way to Microsoft's phone system", w.mcp(r), "mcp"})
	}
	return fields, nil
}

// testLines are those of the gateway that are for the service; none while there
// is no gateway.
func (w *World) testLines(ctx context.Context) ([]gateway.TestLine, error) {
	r, err := w.maybe(ctx)
	if err != nil || r.Name == "" {
		return nil, err
	}
	all, err := w.Gateways.ListTestLines(ctx, w.Subject.Gateway)
	if err != nil && fault.Of(err) != fault.NotFound {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(all), func(l gateway.TestLine) bool { return l.Service(r.Gateway) != w.Subject.Service }), nil
}

// numbersOf are the numbers for tests, by what they are for.
func (w *World) numbersOf(ctx context.Context) (map[string]string, error) {
	all := map[string][]string{"Automated": numbers(w.Fact("verification-numbers")), "integration": numbers(w.Fact("integration-numbers"))}
	if w.Gateways != nil {
		lines, err := w.testLines(ctx)
		if err != nil {
			return nil, err
		}
		for _, l := range lines {
			all[l.Purpose] = append(all[l.Purpose], gateway.E164(l.PhoneNumber))
		}
		more, err := w.Gateways.IntegrationNumbers(ctx, w.Subject.Gateway)
		if err != nil && fault.Of(err) != fault.NotFound {
			return nil, err
		}
		for _, n := range more {
			if n.Service == w.Subject.Service {
				all["integration"] = append(all["integration"], gateway.E164(n.PhoneNumber))
			}
		}
	}
	text := map[string]string{}
	for purpose, list := range all {
		slices.Sort(list)
		text[purpose] = strings.Join(slices.Compact(list), ", ")
	}
	return text, nil
}

func checkForm(ctx context.Context, w *World) (Finding, error) {
	if v, ok := w.Value("onboarded"); ok {
		return Said("The onboarding team confirmed on "+v.Value+" that onboarding is complete", Is("confirmed", v.Value), Is("declared by", v.By)), nil
	}
	if h, ok := w.HandOver("B20"); ok && h.State != Drafted {
		return Await("The form was handed over on " + h.Sent.Format("2006-01-02") + "; the onboarding team has not confirmed that onboarding is complete"), nil
	}
	fields, err := w.form(ctx)
	if err != nil {
		return Finding{}, err
	}
	if open := openFields(fields); len(open) > 0 {
		return Ask(You, fmt.Sprintf("%d of %d lines of the form are filled in; open: %s", len(fields)-len(open), len(fields), strings.Join(open, ", "))), nil
	}
	return Ask(You, "The form is complete: hand it over"), nil
}

func openFields(fields []formField) (names []string) {
	for _, f := range fields {
		if f.value == "" {
			names = append(names, f.name)
		}
	}
	return names
}

func draftForm(ctx context.Context, w *World) ([]Draft, error) {
	fields, err := w.form(ctx)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Onboarding form: %s, %s\n\n| | |\n|---|---|\n", w.Subject.Gateway.Name, w.service())
	for _, f := range fields {
		value := strings.ReplaceAll(f.value, "|", `\|`)
		if value == "" {
			value = "*(please fill in)*"
		}
		fmt.Fprintf(&b, "| %s | %s |\n", f.name, value)
	}
	d := w.letter("Onboarding form", "the form with the additional information is attached. Please confirm when onboarding to "+w.service()+" is complete.\n")
	d.Files, d.Asks = []File{{"onboarding-form.md", b.String()}}, []string{"onboarded"}
	return []Draft{d}, nil
}

func instructForm(w *World) Instruction {
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	fields, err := w.form(ctx)
	if err == nil {
		var said []string
		for _, f := range fields {
			if f.value == "" && f.fact != "" {
				said = append(said, f.fact+"=<"+strings.ToLower(f.name)+">")
			}
		}
		if len(said) > 0 {
			return Instruction{Text: "Fill in what is open", Command: w.declare(said...)}
		}
	}
	return Instruction{Text: "Send the form with its message, and say when the onboarding team has confirmed", Command: w.command("show B20")}
}
