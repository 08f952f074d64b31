package onboard

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/operatorconnect"
	"github.com/tandemgw/tandem/control/zone"
)

// What the steps ask of the Operator Connect environment: that it lets
// applications in, and that what it keeps for the gateway is as it was.

// ask is Operator Connect, asked by an application.
func (w *World) ask(a Asker) (*operatorconnect.Client, error) {
	if w.OperatorConnect == nil {
		return nil, fault.New(fault.Unavailable, "No Operator Connect environment is configured to look")
	}
	a.Vouched = w.vouched
	return w.OperatorConnect(a)
}

// unlisted tells why nobody can look for Application Ids; "": somebody can.
func (w *World) unlisted() string {
	switch w.unseen([]Part{OfConnect, OfDirectory}) {
	case OfConnect:
		return "no Operator Connect environment is configured to look"
	case OfDirectory:
		return "no directory is configured to look"
	}
	return ""
}

// added is what somebody says of Application Ids that nobody can look for.
func (w *World) added(why string, ids []string) Finding {
	if v, ok := w.Value("application-ids"); ok {
		return Said("Added on "+v.Value+"; "+why, Is("Application Ids", strings.Join(ids, ", ")), Is("declared by", v.By))
	}
	return Missing("Nobody has said that they were added; " + why)
}

// instructListed tells a person to add Application Ids.
func (w *World) instructListed(ids []string) Instruction {
	i := Instruction{Text: "Sign in as a user with the role Admin and add each Application Id; without them the API answers 403", Where: w.portal() + operatorconnect.ConfigurationPath, Paste: strings.Join(ids, "\n")}
	if name, mail := w.team(); !strings.EqualFold(w.Fact("partner"), "Microsoft") {
		i.Text = strings.TrimSpace("Ask "+name+" "+mail) + " to arrange that these Application Ids are added; without them the API answers 403"
	}
	if w.unlisted() != "" {
		i.Text += "; then say when: " + w.declare("application-ids=<YYYY-MM-DD>")
	}
	return i
}

// checkListed asks as the gateway: one that is not listed cannot even look.
func checkListed(ctx context.Context, w *World) (Finding, error) {
	if w.Directory == nil {
		return w.added(w.unlisted(), []string{cmp.Or(w.Fact("gateway-application-id"), "that of the gateway"), gatewayApp}), nil
	}
	p, err := w.identity(ctx)
	if err != nil {
		return Finding{}, err
	}
	want := []string{p.AppID, gatewayApp}
	if why := w.unlisted(); why != "" {
		return w.added(why, want), nil
	}
	c, err := w.ask(Asker{Application: p.AppID, Principal: p.ID})
	if err != nil {
		return Finding{}, err
	}
	list, err := c.ApplicationIDs(ctx)
	switch code := operatorconnect.Code(err); {
	case code == operatorconnect.NotListed:
		return Missing("Operator Connect answers 403: the Application Id of the gateway is not on its list"), nil
	case code == operatorconnect.RoleMissing:
		return Finding{}, fault.New(fault.Denied, "Operator Connect answers 403: the gateway's token lacks a role of Project Synergy (B19); one that was just assigned is in the next token")
	case err != nil:
		return Finding{}, err
	}
	var got []string
	for _, a := range list {
		got = append(got, a.ID)
	}
	if missing := have(want, got); len(missing) > 0 {
		return Missing(fmt.Sprintf("%d of %d are listed; missing: %s", len(want)-len(missing), len(want), strings.Join(missing, ", "))), nil
	}
	return Found("Both are listed", Is("Application Id of the gateway", p.AppID), Is("second Application Id", gatewayApp)), nil
}

func instructListedCurrent(w *World) Instruction {
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	ids := []string{gatewayApp}
	if id := w.Fact("gateway-application-id"); w.Directory == nil && id != "" {
		ids = []string{id, gatewayApp}
	}
	if p, err := w.identity(ctx); err == nil {
		ids = []string{p.AppID, gatewayApp}
	}
	return w.instructListed(ids)
}

// checkListed2022 signs in as each registration, with what its vault holds: the
// list is looked at before the roles, so that 403 for a role is good news.
func checkListed2022(ctx context.Context, w *World) (Finding, error) {
	if w.Directory == nil {
		return w.added(w.unlisted(), []string{"those of " + w.names()}), nil
	}
	ids, err := w.applicationIDs(ctx)
	if err != nil {
		return Finding{}, err
	}
	if why := w.unlisted(); why != "" {
		return w.added(why, ids), nil
	}
	blind, refused := false, false
	f, err := w.each("Each is listed", func(r registration) (string, []Evidence, error) {
		a, err := w.application(ctx, r)
		if err != nil {
			return "", nil, err
		}
		_, wrong, err := w.secret(ctx, r, a)
		switch {
		case err != nil && w.Vaults != nil && fault.Of(err) != fault.NotFound:
			return "", nil, err
		case err != nil || wrong != "":
			blind = true
			return "nobody can ask before it has a secret", nil, nil
		}
		c, err := w.ask(Asker{Application: a.AppID, Secret: func(ctx context.Context) (obs.Secret, error) { return w.readSecret(ctx, r) }})
		if err != nil {
			return "", nil, err
		}
		_, err = c.Trunks(ctx) // the Billing Service may, the uploaders may not
		switch code := operatorconnect.Code(err); {
		case code == operatorconnect.NotListed:
			refused = true
			return "Operator Connect answers 403, the Application Id " + a.AppID + " is not on its list", nil, nil
		case err != nil && code != operatorconnect.RoleMissing:
			return "", nil, err
		}
		return "", []Evidence{Is("Application Id", a.AppID), Is("asked with its secret", "let in")}, nil
	})
	if err == nil && blind && !refused {
		return w.added(f.Detail, ids), nil
	}
	return f, err
}

// readSecret is a registration's, out of its vault.
func (w *World) readSecret(ctx context.Context, r registration) (obs.Secret, error) {
	v, err := w.vault(ctx, r)
	if err != nil {
		return "", err
	}
	s, err := w.held(ctx, v, clientSecret)
	return s.Value, err
}

// applicationIDs are those of the registrations.
func (w *World) applicationIDs(ctx context.Context) (ids []string, err error) {
	for _, r := range w.registrations() {
		a, err := w.application(ctx, r)
		if err != nil {
			return nil, err
		}
		ids = append(ids, a.AppID)
	}
	return ids, nil
}

func instructListed2022(w *World) Instruction {
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	ids, _ := w.applicationIDs(ctx) // without them the sentence is true all the same
	return w.instructListed(ids)
}

// protected is a piece of configuration that nobody but the gateway changes.
type protected struct {
	kind, name string
	print      string // a short form of what only people change
	ours       bool   // the gateway makes it, whenever it gets a region
	foreign    bool   // it is another gateway's of the deployment, whose own step sees to it
	wrong      string // of what the gateway itself makes and adds; "": nothing
}

// key names it in a fact.
func (p protected) key() string {
	return strings.ReplaceAll(p.kind, " ", "-") + "." + strings.ToLower(p.name)
}

// protected is what Operator Connect keeps for the gateway.
func (w *World) protected(ctx context.Context) (all []protected, err error) {
	p, err := w.identity(ctx)
	if err != nil {
		return nil, err
	}
	c, err := w.ask(Asker{Application: p.AppID, Principal: p.ID})
	if err != nil {
		return nil, err
	}
	r, err := w.maybe(ctx)
	if err != nil {
		return nil, err
	}
	others, err := w.others(ctx)
	if err != nil {
		return nil, err
	}
	profiles, err := c.Profiles(ctx)
	if err != nil {
		return nil, err
	}
	trunks, err := c.Trunks(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range profiles {
		if !strings.EqualFold(p.NameSuffix, operatorconnect.NameSuffix) && !strings.HasSuffix(strings.ToLower(p.Name), strings.ToLower(operatorconnect.NameSuffix)) {
			continue
		}
		x := protected{kind: "calling profile", name: p.Name + p.NameSuffix, foreign: !strings.EqualFold(p.Name, w.Subject.Gateway.Name) && slices.ContainsFunc(others, func(r gateway.Resource) bool { return strings.EqualFold(r.ID.Name, p.Name) })}
		if strings.EqualFold(p.Name, r.ID.Name) {
			x.wrong = w.wrongTrunks(r, p, trunks)
		}
		// What Operator Connect finds out by itself, and when, is no change; nor
		// are the trunks and services that gateways add.
		p.Validation, p.Warning, p.LastModifiedOn, p.Trunks = nil, "", time.Time{}, nil
		p.OfferTypes = slices.DeleteFunc(slices.Clone(p.OfferTypes), func(o operatorconnect.OfferType) bool {
			return len(o.TestNumbers) == 0 && slices.Contains(slices.Collect(maps.Values(operatorconnect.Offers)), o.Name)
		})
		x.print = printOf(p)
		all = append(all, x)
	}
	for _, t := range trunks {
		name := host(t.FQDN)
		if !strings.HasSuffix(name, ".commsgw.azure.com") && !w.below(name) {
			continue
		}
		x := protected{kind: "trunk", name: t.FQDN, ours: w.makes(r, name), foreign: slices.ContainsFunc(others, func(r gateway.Resource) bool {
			label := r.Properties.AutoGeneratedDomainNameLabel
			return label != "" && w.Suffix != "" && strings.HasSuffix(name, "."+strings.ToLower(label+"."+w.Suffix))
		})}
		if x.ours && !t.Enabled {
			x.wrong = "is disabled"
		}
		t.Warning, t.LastModifiedOn, t.Health, t.EnrollmentState, t.DomainVerified = "", time.Time{}, operatorconnect.Health{}, "", false
		x.print = printOf(t)
		all = append(all, x)
	}
	return all, nil
}

// host is a name as all of them are compared.
func host(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// below tells whether a name is of the gateway's domain.
func (w *World) below(name string) bool {
	return w.Base != "" && strings.HasSuffix(host(name), "."+strings.ToLower(w.Base))
}

// makes tells whether a trunk is one that the gateway makes for a region.
func (w *World) makes(r gateway.Resource, name string) bool {
	for i := range r.Regions {
		if strings.EqualFold(host(name), zone.CloudName(w.Base, i+1)) {
			return true
		}
	}
	return false
}

// wrongTrunks compares those of the gateway's calling profile with what it
// should go over.
func (w *World) wrongTrunks(r gateway.Resource, p operatorconnect.Profile, all []operatorconnect.Trunk) string {
	var wrong []string
	for _, t := range all {
		if w.makes(r, t.FQDN) && !slices.ContainsFunc(p.Trunks, func(x operatorconnect.TrunkName) bool { return x.ID == t.ID }) {
			wrong = append(wrong, "lacks the trunk "+t.FQDN)
		}
	}
	for _, x := range p.Trunks {
		if !w.below(x.FQDN) {
			wrong = append(wrong, "goes over the trunk "+x.FQDN+", which is not the gateway's")
		}
	}
	return strings.Join(wrong, ", ")
}

// printOf is the same for the same content.
func printOf(v any) string {
	text, _ := json.Marshal(v) // plain values
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// checkProtected compares what Operator Connect keeps for the gateway with how
// it was when it was noted.
func checkProtected(ctx context.Context, w *World) (Finding, error) {
	now, err := w.protected(ctx)
	if err != nil {
		return Finding{}, err
	}
	var changed, noted []string
	var shown []Evidence
	begun := false
	for name := range w.facts {
		begun = begun || strings.HasPrefix(name, "protected.")
	}
	mine := slices.DeleteFunc(slices.Clone(now), func(p protected) bool { return p.foreign })
	for _, p := range mine {
		switch was := w.Fact("protected." + p.key()); {
		case p.wrong != "" && begun:
			changed = append(changed, "the "+p.kind+" "+p.name+" "+p.wrong)
		case was == "" && p.ours && begun:
			shown = append(shown, Is(p.kind+" "+p.name, "made by the gateway since"))
		case was == "":
			noted = append(noted, p.kind+" "+p.name)
		case was != p.print:
			changed = append(changed, "the "+p.kind+" "+p.name+" was changed")
		default:
			shown = append(shown, Is(p.kind+" "+p.name, was))
		}
	}
	for name := range w.facts {
		if key, is := strings.CutPrefix(name, "protected."); is && !slices.ContainsFunc(now, func(p protected) bool { return p.key() == key }) {
			changed = append(changed, "the "+strings.Replace(strings.Replace(key, ".", " ", 1), "calling-profile", "calling profile", 1)+" is gone")
		}
	}
	slices.Sort(changed)
	switch {
	case len(changed) > 0:
		return Ask(You, strings.Join(changed, "; "), shown...), nil
	case len(mine) == 0:
		return Await("Operator Connect has none for the gateway yet"), nil
	case len(noted) > 0:
		return Missing("Not noted yet: "+strings.Join(noted, ", "), shown...), nil
	}
	return Found(fmt.Sprintf("All %d are as they were", len(mine)), shown...), nil
}

func noteProtected(ctx context.Context, w *World) error {
	now, err := w.protected(ctx)
	if err != nil {
		return err
	}
	for _, p := range now {
		if p.foreign {
			continue
		}
		switch was := w.Fact("protected." + p.key()); was {
		case p.print:
		case "":
			if err := w.Record(ctx, "protected."+p.key(), p.print); err != nil {
				return err
			}
		default:
			return errors.New("the " + p.kind + " " + p.name + " was changed")
		}
	}
	return nil
}

func instructProtected(w *World) Instruction {
	name, mail := w.team()
	return Instruction{Text: strings.TrimSpace("Put back what was changed, or ask "+name+" "+mail) + ": it is the gateway's, and calls depend on it. When the change was meant, take the note of it back", Command: w.declare("protected.<kind>.<name>=")}
}
