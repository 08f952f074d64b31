package onboard

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/operatorconnect"
)

// Steps are those of both tracks.
func Steps() []Step { return slices.Concat(steps2022(), stepsCurrent()) }

// What the documents name, published by Microsoft.
const (
	// synergyApp is the application ID of Project Synergy, which the tenant may
	// also know as "Operator Connect".
	synergyApp  = "eb63d611-525e-4a31-abd7-0cb33f679599"
	synergyName = "Operator Connect"
	// gatewayApp is the second Application Id that the Operator Connect portal
	// wants: the application of the service itself.
	gatewayApp = "8502a0ec-c76d-412f-836c-398018e2312b"

	// adminRole is what the user has who sets up the gateway.
	adminRole = "Admin"
)

// appRole is one of Project Synergy's for applications.
type appRole struct{ name, id string }

// gatewayRoles are what the gateway's identity needs ("Connect Azure
// Communications Gateway to Operator Connect or Teams Phone Mobile", Set up
// application roles). The ID of Data.Read is printed so: it is that of the
// application.
var gatewayRoles = []appRole{
	{"TrunkManagement.Read", "72129ccd-8886-42db-a63c-2647b61635c1"},
	{"TrunkManagement.Write", "e907ba07-8ad0-40be-8d72-c18a0b3c156b"},
	{"partnerSettings.Read", "d6b0de4a-aab5-4261-be1b-0e1800746fb2"},
	{"NumberManagement.Read", "130ecbe2-d1e6-4bbd-9a8d-9a7a909b876e"},
	{"NumberManagement.Write", "752b4e79-4b85-4e33-a6ef-5949f0d7d553"},
	{"Data.Read", "eb63d611-525e-4a31-abd7-0cb33f679599"},
	{"Data.Write", "98d32f93-eaa7-4657-b443-090c23e69f27"},
}

// portal is where people sign in to Operator Connect.
func (w *World) portal() string { return cmp.Or(w.Portal, operatorconnect.PublicURL) }

// directory is the tenant's, or says that nobody has told where it is.
func (w *World) directory() (*entra.Client, error) {
	if w.Directory == nil {
		return nil, fault.New(fault.Unavailable, "No directory is configured: nobody can look into the tenant")
	}
	return w.Directory, nil
}

func (w *World) vaults() (*entra.Vaults, error) {
	if w.Vaults == nil {
		return nil, fault.New(fault.Unavailable, "No vaults are configured")
	}
	return w.Vaults, nil
}

// synergy is the service principal of Project Synergy, whatever it is called.
func (w *World) synergy(ctx context.Context) (entra.Principal, error) {
	d, err := w.directory()
	if err != nil {
		return entra.Principal{}, err
	}
	return once(&w.told, "synergy", func() (entra.Principal, error) { return d.PrincipalOf(ctx, synergyApp) })
}

// resource is the gateway; fault.NotFound while there is none.
func (w *World) resource(ctx context.Context) (gateway.Resource, error) {
	if w.Gateways == nil {
		return gateway.Resource{}, fault.New(fault.NotFound, "No gateways are known here")
	}
	return w.Gateways.Get(ctx, w.Subject.Gateway)
}

// service is what people call the subject's service.
func (w *World) service() string { return ServiceTitle(w.Subject.Service) }

// team is who is asked, and where: the onboarding partner, when it is not the
// team of the gateway.
func (w *World) team() (name, mail string) {
	if p := w.Fact("partner"); p != "" && !strings.EqualFold(p, "Microsoft") {
		return p, w.Fact("partner-mail")
	}
	name, mail = w.Team.Name, w.Team.Mail
	if name == "" {
		name = "Azure Communications Gateway onboarding team"
	}
	if mail == "" {
		mail = "azcog-enablement@microsoft.com"
	}
	return name, mail
}

// command is one of onboarding, for this subject.
func (w *World) command(words ...string) string {
	return "tandem onboard " + strings.Join(words, " ") + " " + w.named() + " --service " + w.Subject.Service
}

// declare is the command that says facts.
func (w *World) declare(said ...string) string {
	said = slices.Clone(said)
	for i, s := range said {
		said[i] = word(s)
	}
	return w.command(append([]string{"declare"}, said...)...)
}

// quoted is one word of a POSIX shell, whatever is in it.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// plain is what no shell reads anything into.
var plain = regexp.MustCompile(`^[A-Za-z0-9_./:=@%+,-]+$`)

// word is one word of a command, quoted where a shell would see more in it.
func word(s string) string {
	if plain.MatchString(s) {
		return s
	}
	return quoted(s)
}

// named are the options by which commands find the gateway.
func (w *World) named() string {
	id := w.Subject.Gateway
	text := "-g " + word(id.Group) + " -n " + word(id.Name)
	if !strings.EqualFold(id.Subscription, w.set.cfg.Subscription) && w.set.cfg.Subscription != "" {
		text += " --subscription " + word(id.Subscription)
	}
	return text
}

// said is the check of what only a person can see.
func said(fact, missing string) func(context.Context, *World) (Finding, error) {
	return func(_ context.Context, w *World) (Finding, error) {
		if v, ok := w.Value(fact); ok {
			return Said(v.Value, Is(fact, v.Value), Is("declared by", v.By)), nil
		}
		return Missing(missing), nil
	}
}

// answered is said for what others confirm: once it was handed over, it is
// waited for.
func answered(id, fact, missing string) func(context.Context, *World) (Finding, error) {
	look := said(fact, missing)
	return func(ctx context.Context, w *World) (Finding, error) {
		f, err := look(ctx, w)
		if h, ok := w.HandOver(id); ok && f.State == Ready && h.State != Drafted {
			return Await(missing + "; asked on " + h.Sent.Format("2006-01-02")), err
		}
		return f, err
	}
}

// declaring is the instruction to say facts.
func declaring(text string, facts ...string) func(*World) Instruction {
	return func(w *World) Instruction {
		return Instruction{Text: text, Command: w.declare(facts...)}
	}
}

// soon does what needs something that was made a moment ago: a directory of many
// machines may not know it everywhere yet (Microsoft Entra docs, "Application
// management best practices": replication).
func soon(ctx context.Context, do func() error) error {
	for pause := time.Second; ; pause *= 2 {
		err := do()
		if fault.Of(err) != fault.NotFound || pause > 8*time.Second {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// two refuses to choose between principals of one name.
func two(name string, found []entra.Principal) error {
	var each []string
	for _, p := range found {
		each = append(each, fmt.Sprintf("%s (%s, application ID %s, object ID %s)", p.DisplayName, p.Type, p.AppID, p.ID))
	}
	return fault.New(fault.Conflict, fmt.Sprintf("%d enterprise applications are named %s: %s. Rename or delete what is not meant", len(found), name, strings.Join(each, "; ")))
}

// have sets what is missing against what there is, and says it in a line.
func have(want, got []string) (missing []string) {
	for _, w := range want {
		if !slices.ContainsFunc(got, func(g string) bool { return strings.EqualFold(g, w) }) {
			missing = append(missing, w)
		}
	}
	return missing
}

// numbers reads E.164 numbers out of a list.
func numbers(list string) (all []string) {
	for _, n := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ';' }) {
		if n = gateway.E164(strings.TrimSpace(n)); n != "" && !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}
