package onboard

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/entra"
)

// What both documents ask of the tenant: Project Synergy in it, and somebody
// who is its Admin.

// chosenTenant checks that the tenant that is asked is the one that was chosen.
func chosenTenant(ctx context.Context, w *World) (Finding, error) {
	if said := w.Fact("synergy-tenant"); w.Directory == nil && said != "" {
		return Said("Tenant " + said), nil
	}
	d, err := w.directory()
	if err != nil {
		return Ask(You, sentence(err)+": say which it is, as synergy-tenant"), nil
	}
	t, err := d.Organization(ctx)
	if err != nil {
		return Finding{}, err
	}
	shown := []Evidence{Is("tenant", t.ID), Is("name of the tenant", t.DisplayName)}
	switch want := w.Fact("synergy-tenant"); {
	case w.Is("tenants", "two") && want == "":
		return Ask(You, "Project Synergy is in another tenant than the gateway: say in which", shown...), nil
	case want != "" && !strings.EqualFold(want, t.ID):
		return Ask(You, fmt.Sprintf("Project Synergy is said to be in the tenant %s, and the directory that is configured is %s: configure that of the first", want, t.ID), shown...), nil
	}
	return Found("Tenant "+t.ID+" ("+t.DisplayName+")", shown...), nil
}

// unlessOnboarded skips what sets an operator up for the first time.
func unlessOnboarded(check func(context.Context, *World) (Finding, error)) func(context.Context, *World) (Finding, error) {
	return func(ctx context.Context, w *World) (Finding, error) {
		if w.Is("already-onboarded", "yes") {
			return Skip("The operator has already been onboarded to Operator Connect or Teams Phone Mobile"), nil
		}
		return check(ctx, w)
	}
}

func checkSynergy(ctx context.Context, w *World) (Finding, error) {
	p, err := w.synergy(ctx)
	switch {
	case fault.Of(err) == fault.NotFound:
		return Missing("The tenant does not have the application Project Synergy"), nil
	case err != nil:
		return Finding{}, err
	}
	if p.Disabled() {
		return Ask(GlobalAdmin, "Project Synergy is in the tenant, and disabled: nobody gets a token for it"), nil
	}
	return Found("The tenant knows it as "+p.DisplayName, Is("application ID of Project Synergy", p.AppID), Is("object ID of Project Synergy", p.ID)), nil
}

// addSynergy does what New-AzureADServicePrincipal does in the documents.
func addSynergy(ctx context.Context, w *World) error {
	_, err := w.synergy(ctx)
	if fault.Of(err) != fault.NotFound {
		return err
	}
	d, err := w.directory()
	if err != nil {
		return err
	}
	_, err = d.AddPrincipal(ctx, synergyApp, synergyName)
	return err
}

// admins are who has the role Admin on Project Synergy, and the role.
func (w *World) admins(ctx context.Context) (synergy entra.Principal, role entra.Role, have []entra.Assignment, err error) {
	if synergy, err = w.synergy(ctx); err != nil {
		return synergy, role, nil, err
	}
	role, ok := synergy.Role(adminRole)
	if !ok {
		return synergy, role, nil, fault.New(fault.Unavailable, "Project Synergy offers no role "+adminRole+" in this directory")
	}
	all, err := w.Directory.AssignedTo(ctx, synergy.ID)
	for _, a := range all {
		if strings.EqualFold(a.Role, role.ID) {
			have = append(have, a)
		}
	}
	return synergy, role, have, err
}

// assigned tells whether a user is among those assigned, in person or by a
// group.
func (w *World) assigned(ctx context.Context, list []entra.Assignment, u entra.User) (bool, error) {
	is := func(id string) bool {
		return slices.ContainsFunc(list, func(a entra.Assignment) bool { return strings.EqualFold(a.Principal, id) })
	}
	if is(u.ID) || !slices.ContainsFunc(list, func(a entra.Assignment) bool { return a.PrincipalType == "Group" }) {
		return is(u.ID), nil
	}
	groups, err := w.Directory.Memberships(ctx, u.ID)
	return slices.ContainsFunc(groups, is), err
}

func checkAdmin(ctx context.Context, w *World) (Finding, error) {
	_, _, have, err := w.admins(ctx)
	if err != nil {
		return Finding{}, err
	}
	name := w.Fact("setup-user")
	if name == "" {
		return Ask(You, "Nobody is named who sets up the gateway"), nil
	}
	u, err := w.Directory.UserNamed(ctx, name)
	switch {
	case fault.Of(err) == fault.NotFound:
		return Ask(You, "The tenant has no user "+name), nil
	case err != nil:
		return Finding{}, err
	case u.Enabled != nil && !*u.Enabled:
		return Ask(You, "The account of "+u.Name+" is disabled"), nil
	}
	if has, err := w.assigned(ctx, have, u); err != nil || !has {
		return Missing(u.Name + " does not have the role " + adminRole + " of Project Synergy"), err
	}
	return Found(u.Name+" has the role "+adminRole, Is("user", u.Name), Is("object ID of the user", u.ID)), nil
}

func addAdmin(ctx context.Context, w *World) error {
	synergy, role, have, err := w.admins(ctx)
	if err != nil {
		return err
	}
	u, err := w.Directory.UserNamed(ctx, w.Fact("setup-user"))
	if err != nil {
		return err
	}
	if has, err := w.assigned(ctx, have, u); err != nil || has {
		return err
	}
	return w.Directory.Assign(ctx, entra.Assignment{Principal: u.ID, Resource: synergy.ID, Role: role.ID})
}

func instructAdmin(w *World) Instruction {
	i := Instruction{Text: "Say which user sets up the gateway; the user must be one of the tenant", Command: w.declare("setup-user=<user principal name>")}
	if name := w.Fact("setup-user"); name != "" && !w.elsewhere() {
		i.Text, i.Command = "Make the user "+name+", or name another: "+i.Command, "tandem user create "+word(name)
	}
	return i
}
