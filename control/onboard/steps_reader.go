package onboard

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/entra"
)

// The first-party application that reads the registrations' secrets from the
// other side of the tenant's border.

// reader is the principal of the application that one registration's consent
// was for: by the Application (client) ID that was recorded, or else by the
// name.
func (w *World) reader(ctx context.Context, r registration) (entra.Principal, error) {
	d, err := w.directory()
	if err != nil {
		return entra.Principal{}, err
	}
	id, name := w.Fact("application-id."+r.key), w.Fact("application-name."+r.key)
	if id != "" {
		p, err := d.PrincipalOf(ctx, id)
		switch {
		case fault.Of(err) == fault.NotFound:
			return p, fault.New(fault.NotFound, strings.TrimSpace("the tenant does not have the application "+name)+" ("+id+")")
		case err == nil && name != "" && !called(p, name):
			err = fault.New(fault.Conflict, fmt.Sprintf("The application %s is called %s, and the Application Name that was noted for %s is %s: take back what is wrong", id, p.DisplayName, r.name, name))
		}
		return p, err
	}
	if name == "" {
		return entra.Principal{}, fault.New(fault.NotFound, "neither Application ID nor Application Name is recorded")
	}
	found, err := d.PrincipalsNamed(ctx, name)
	switch {
	case err != nil:
		return entra.Principal{}, err
	case len(found) == 0:
		return entra.Principal{}, fault.New(fault.NotFound, "the tenant does not have the application "+name)
	case len(found) > 1:
		return entra.Principal{}, fault.New(fault.Conflict, two(name, found).Error()+", or say which it is: "+w.declare("application-id."+r.key+"=<ID>"))
	}
	return found[0], nil
}

// called tells whether somebody may know a principal by a name.
func called(p entra.Principal, name string) bool {
	return strings.EqualFold(name, p.DisplayName) || strings.EqualFold(name, p.AppDisplayName)
}

// noted is what was recorded of the application that a registration's consent
// was for.
func (w *World) noted(r registration) string {
	return cmp.Or(w.Fact("application-name."+r.key), w.Fact("application-id."+r.key))
}

func checkReader(ctx context.Context, w *World) (Finding, error) {
	unknown, follow := 0, false
	f, err := w.each("Consent is given to the first-party application", func(r registration) (string, []Evidence, error) {
		p, err := w.reader(ctx, r)
		switch {
		case fault.Of(err) == fault.NotFound:
			if !w.Has("consent-url." + r.key) {
				unknown++
				return "the consent URL is not known yet", nil, nil
			}
			if wrong := w.astray(w.Fact("consent-url." + r.key)); wrong != "" {
				return wrong, nil, nil
			}
			follow = true
			return err.Error(), nil, nil
		case err != nil:
			return "", nil, err
		}
		return "", []Evidence{Is("Application Name", p.DisplayName), Is("application ID", p.AppID), Is("object ID", p.ID)}, nil
	})
	if f.State != Ready || follow {
		return f, err
	}
	f.By = You
	if unknown == len(w.registrations()) && w.asked("A13") {
		f.State, f.By = Waiting, OnboardingTeam
	}
	return f, err
}

// astray tells where a consent URL leads that is not this tenant's sign-in:
// whose application it is, nobody could tell from its ID.
func (w *World) astray(consent string) string {
	at, err := url.Parse(consent)
	own, err2 := url.Parse(w.Directory.Login)
	if err != nil || err2 != nil {
		return "the consent URL cannot be read"
	}
	tenant, _, _ := strings.Cut(strings.TrimPrefix(at.Path, "/"), "/")
	switch {
	case !strings.EqualFold(at.Host, own.Host):
		return fmt.Sprintf("the consent URL leads to %s, and the tenant signs in at %s", at.Host, own.Host)
	case !strings.EqualFold(tenant, w.Directory.Tenant) && tenant != "common" && tenant != "organizations":
		return fmt.Sprintf("the consent URL is for the tenant %s", tenant)
	}
	return ""
}

// asked tells whether a step has handed something over that is not answered.
func (w *World) asked(step string) bool {
	for id, h := range w.sent {
		if s, _ := splitID(id); s == step && h.State != Drafted {
			return true
		}
	}
	return false
}

func instructReader(w *World) Instruction {
	for _, r := range w.registrations() {
		if !w.Has("consent-url." + r.key) {
			return Instruction{Text: "Ask the onboarding team for the admin consent URL of " + r.name + ", and say what they gave", Command: w.declare("consent-url." + r.key + "=<URL>")}
		}
	}
	for _, r := range w.registrations() {
		if w.noted(r) == "" {
			return Instruction{Text: "As a Global Administrator, follow the link of " + r.name + " and note the Application (client) ID: " + w.declare("application-id."+r.key+"=<ID>"), Where: w.Fact("consent-url." + r.key)}
		}
	}
	return Instruction{Text: "As a Global Administrator, follow the link again", Where: w.Fact("consent-url." + w.registrations()[0].key)}
}

// addReader does what consent does: the application of the URL becomes one of
// the tenant, and its ID and name are noted.
func addReader(ctx context.Context, w *World) error {
	d, err := w.directory()
	if err != nil {
		return err
	}
	for _, r := range w.registrations() {
		at, err := url.Parse(w.Fact("consent-url." + r.key))
		if err != nil || at.Host == "" || w.astray(at.String()) != "" {
			continue // not given yet, or not to be followed
		}
		id := at.Query().Get("client_id")
		p, err := d.PrincipalOf(ctx, id)
		if fault.Of(err) == fault.NotFound {
			p, err = d.AddPrincipal(ctx, id, "")
		}
		if name := w.Fact("application-name." + r.key); err == nil && w.Fact("application-id."+r.key) == "" && (name == "" || called(p, name)) {
			err = w.Record(ctx, "application-id."+r.key, p.AppID)
			if err == nil && name == "" {
				err = w.Record(ctx, "application-name."+r.key, p.DisplayName)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func draftConsent(_ context.Context, w *World) (list []Draft, err error) {
	for _, r := range w.registrations() {
		if w.Has("consent-url." + r.key) {
			continue
		}
		d := w.letter("Admin consent URL for "+r.name, "please send us the admin consent URL of your application that reads the secrets of "+r.name+" from our vault "+w.vaultID(r)+".\n")
		d.Key, d.Asks = r.key, []string{"consent-url." + r.key}
		list = append(list, d)
	}
	return list, nil
}

// onlyGet tells what is wrong with what a principal may do in a vault.
func onlyGet(v entra.Vault, p entra.Principal) string {
	var got []string
	for _, x := range v.Policies {
		if !strings.EqualFold(x.Object, p.ID) {
			continue
		}
		for _, kind := range []string{"secrets", "keys", "certificates", "storage"} {
			for _, word := range x.May(kind) {
				got = append(got, kind+" "+word)
			}
		}
	}
	slices.Sort(got)
	return difference([]string{"secrets get"}, slices.Compact(got))
}

func checkPolicies(ctx context.Context, w *World) (Finding, error) {
	return w.each("The first-party application may get secrets, and nothing else", func(r registration) (string, []Evidence, error) {
		p, err := w.reader(ctx, r)
		if err != nil {
			return "", nil, err
		}
		v, err := w.vault(ctx, r)
		if err != nil {
			return "", nil, err
		}
		return onlyGet(v, p), []Evidence{Is("access policy", fmt.Sprintf("secrets get, for %s in %s", p.ID, v.ID))}, nil
	})
}

func instructPolicies(w *World) Instruction {
	i := Instruction{Text: "In each vault, let the application get secrets by an access policy, and nothing else", Command: w.command("apply --outside")}
	for _, r := range w.registrations() {
		i.Paste += w.noted(r) + ": Get in " + w.vaultID(r) + "\n"
	}
	return i
}

func permit(ctx context.Context, w *World) error {
	for _, r := range w.registrations() {
		p, err := w.reader(ctx, r)
		if err != nil {
			return err
		}
		v, err := w.vault(ctx, r)
		if err != nil {
			return err
		}
		if onlyGet(v, p) == "" {
			continue
		}
		if err := w.Vaults.Permit(ctx, v.ID, p.ID, "get"); err != nil {
			return err
		}
	}
	return nil
}
