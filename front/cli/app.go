package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/entra"
)

// NewApp makes `tandem app`: the applications of the operator's directory.
func NewApp() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "app",
		Short: "See to applications of the operator's directory",
		Long: `See to applications of the operator's directory: those that are registered there,
and those of others that it has added (enterprise applications). Where documents
of Microsoft say New-AzureADServicePrincipal, this is "tandem app add". It works
on the directory that onboarding works on, ours or Microsoft's.

An application is named by its application ID, its object ID or its name.` + exitHelp,
		Args: cobra.NoArgs,
		RunE: needsSubcommand,
	}
	client := socketFlag(cmd)
	at := func(ctx context.Context) (*entra.Client, error) {
		t, err := client().Tenant(ctx)
		return t.Directory, err
	}
	cmd.AddCommand(newAppList(at), newAppShow(at), newAppAdd(at), newAppCreate(at), newAppPermit(at), newAppConsent(at), newAppRevoke(at), newAppAssign(at), newAppSecret(at), newAppDelete(at))
	return cmd
}

// directoryOf gives the directory that commands work on.
type directoryOf func(context.Context) (*entra.Client, error)

// listedApp is one as a list shows it.
type listedApp struct {
	AppID      string `json:"appId"`
	Name       string `json:"displayName"`
	Kind       string `json:"kind"` // "registration", "enterprise", "managed identity"
	Registered string `json:"registration,omitempty"`
	Principal  string `json:"servicePrincipal,omitempty"`
	Publisher  string `json:"appDisplayName,omitempty"` // what its publisher calls it: Project Synergy is found as "Operator Connect", too
}

func newAppList(at directoryOf) *cobra.Command {
	var kind string
	list := func(ctx context.Context) ([]listedApp, error) {
		d, err := at(ctx)
		if err != nil {
			return nil, err
		}
		return applications(ctx, d)
	}
	search := ""
	kinds := []string{registrationKind, enterpriseKind, identityKind}
	words := `"` + strings.Join(kinds, `", "`) + `"`
	cmd := listCommand("List the applications", "No application has that name or ID.", func(ctx context.Context) ([]listedApp, error) {
		all, err := list(ctx)
		if kind == enterpriseKind {
			all = enterprises(all)
		}
		return slices.DeleteFunc(all, func(a listedApp) bool {
			return kind != "" && a.Kind != kind || search != "" && !strings.Contains(strings.ToLower(strings.Join([]string{a.Name, a.Publisher, a.AppID, a.Principal, a.Registered}, " ")), strings.ToLower(search))
		}), err
	}, look.applications)
	cmd.Use, cmd.Args = "list [SEARCH]", cobra.MaximumNArgs(1)
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		search, kind = strings.Join(args, ""), strings.ToLower(kind)
		if kind != "" && !slices.Contains(kinds, kind) {
			return usagef("--type %q: write %s", kind, words)
		}
		return run(cmd, args)
	}
	cmd.Flags().StringVar(&kind, "type", "", "only those of a type: "+words)
	return cmd
}

// enterprises has each registration that the tenant lets in as its service
// principal, among the enterprise applications, where Entra has it too.
func enterprises(all []listedApp) []listedApp {
	all = slices.Clone(all)
	for i, a := range all {
		if a.Kind == registrationKind && a.Principal != "" {
			all[i].Kind = enterpriseKind
		}
	}
	return all
}

// The types of applications.
const (
	registrationKind = "registration"
	enterpriseKind   = "enterprise"
	identityKind     = "managed identity"
)

func applications(ctx context.Context, d *entra.Client) (all []listedApp, err error) {
	registered, err := d.Applications(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range registered {
		all = append(all, listedApp{AppID: a.AppID, Name: a.DisplayName, Kind: registrationKind, Registered: a.ID})
	}
	principals, err := d.Principals(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range principals {
		if i := slices.IndexFunc(all, func(a listedApp) bool { return strings.EqualFold(a.AppID, p.AppID) }); i >= 0 {
			all[i].Principal = p.ID
			continue
		}
		kind := enterpriseKind
		if p.Type == "ManagedIdentity" {
			kind = identityKind
		}
		all = append(all, listedApp{AppID: p.AppID, Name: p.DisplayName, Kind: kind, Principal: p.ID, Publisher: p.AppDisplayName})
	}
	slices.SortFunc(all, func(x, y listedApp) int {
		return cmp.Or(strings.Compare(strings.ToLower(x.Name), strings.ToLower(y.Name)), strings.Compare(x.AppID, y.AppID))
	})
	return all, nil
}

func (l look) applications(w io.Writer, list []listedApp) {
	var rows [][]cell
	for _, a := range list {
		rows = append(rows, []cell{{plain(a.AppID), ""}, {a.Kind, quiet}, {plain(a.Name), strong}})
	}
	l.table(w, []string{"APPLICATION ID", "TYPE", "NAME"}, rows)
}

// findApp is the application that somebody means. Two of a name are an error
// that shows both.
func findApp(ctx context.Context, d *entra.Client, name string) (listedApp, error) {
	all, err := applications(ctx, d)
	if err != nil {
		return listedApp{}, err
	}
	found := called(all, name)
	switch len(found) {
	case 0:
		return listedApp{}, fault.New(fault.NotFound, fmt.Sprintf("the directory has no application %s: `tandem app list` shows all", name))
	case 1:
		return found[0], nil
	}
	var ids []string
	for _, a := range found {
		ids = append(ids, a.AppID+" ("+a.Kind+")")
	}
	return listedApp{}, fault.New(fault.Conflict, fmt.Sprintf("%d applications are called %s: name one by its ID, %s", len(found), name, strings.Join(ids, " or ")))
}

// called are those that somebody can mean by a name or an ID.
func called(all []listedApp, name string) (found []listedApp) {
	for _, a := range all {
		for _, x := range []string{a.AppID, a.Registered, a.Principal, a.Name, a.Publisher} {
			if x != "" && strings.EqualFold(x, name) {
				found = append(found, a)
				break
			}
		}
	}
	return found
}

// registered is the registration that somebody means.
func registered(ctx context.Context, d *entra.Client, name string) (entra.Application, error) {
	a, err := findApp(ctx, d, name)
	if err != nil {
		return entra.Application{}, err
	}
	if a.Registered == "" {
		return entra.Application{}, fault.New(fault.Conflict, a.Name+" is not registered in this directory: whoever publishes it sees to that")
	}
	return d.ApplicationOf(ctx, a.AppID)
}

func newAppShow(at directoryOf) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show APP", Short: "Show an application, its permissions and who has its roles", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			d, err := at(ctx)
			if err != nil {
				return err
			}
			shown, err := showApp(ctx, d, args[0])
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return writeJSON(out, shown)
			}
			lookOf(out).app(out, shown)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON instead of text")
	return cmd
}

// shownApp is all that is shown of an application.
type shownApp struct {
	listedApp
	Permissions []string           `json:"permissions"` // that it has: "Project Synergy/Data.Write"
	Required    []string           `json:"required"`    // that its registration asks for
	Roles       []string           `json:"roles"`       // that it offers
	Members     []string           `json:"members"`     // who has them: "Ann: Admin"
	Secrets     []entra.Credential `json:"secrets"`
}

func showApp(ctx context.Context, d *entra.Client, name string) (s shownApp, err error) {
	if s.listedApp, err = findApp(ctx, d, name); err != nil {
		return s, err
	}
	resources := map[string]entra.Principal{} // by object ID and by application ID
	all, err := d.Principals(ctx)
	if err != nil {
		return s, err
	}
	for _, p := range all {
		resources[strings.ToLower(p.ID)], resources[strings.ToLower(p.AppID)] = p, p
	}
	if s.Registered != "" {
		a, err := d.ApplicationOf(ctx, s.AppID)
		if err != nil {
			return s, err
		}
		s.Secrets = a.Secrets
		for _, q := range a.Required {
			for _, x := range q.Access {
				s.Required = append(s.Required, permissionName(resources[strings.ToLower(q.Resource)], q.Resource, x.ID))
			}
		}
	}
	if s.Principal == "" {
		return s, nil
	}
	has, err := d.AssignmentsOf(ctx, s.Principal)
	if err != nil {
		return s, err
	}
	for _, x := range has {
		s.Permissions = append(s.Permissions, permissionName(resources[strings.ToLower(x.Resource)], x.Resource, x.Role))
	}
	grants, err := d.Grants(ctx, s.Principal)
	if err != nil {
		return s, err
	}
	for _, g := range grants {
		for scope := range strings.FieldsSeq(g.Scope) {
			s.Permissions = append(s.Permissions, cmp.Or(resources[strings.ToLower(g.Resource)].DisplayName, g.Resource)+"/"+scope)
		}
	}
	self := resources[strings.ToLower(s.Principal)]
	for _, r := range self.Roles {
		s.Roles = append(s.Roles, r.Value)
	}
	members, err := d.AssignedTo(ctx, s.Principal)
	for _, m := range members {
		_, role, _ := strings.Cut(permissionName(self, "", m.Role), "/")
		s.Members = append(s.Members, cmp.Or(m.PrincipalName, m.Principal)+": "+role)
	}
	return s, err
}

// permissionName is "Project Synergy/Data.Write".
func permissionName(resource entra.Principal, id, permission string) string {
	name := cmp.Or(resource.DisplayName, id)
	for _, r := range resource.Roles {
		if strings.EqualFold(r.ID, permission) {
			return name + "/" + r.Value
		}
	}
	for _, s := range resource.Scopes {
		if strings.EqualFold(s.ID, permission) {
			return name + "/" + s.Value
		}
	}
	if permission == unnamedRole {
		permission = "default access"
	}
	return name + "/" + permission
}

// unnamedRole is the app role of an application that offers none (Microsoft
// Graph docs, "appRoleAssignment resource type": appRoleId).
const unnamedRole = "00000000-0000-0000-0000-000000000000"

func (l look) app(w io.Writer, s shownApp) {
	rows := [][]cell{{{"Application ID", quiet}, {plain(s.AppID), ""}}, {{"Type", quiet}, {s.Kind, ""}}}
	add := func(title string, list ...string) {
		for _, x := range list {
			if x != "" {
				rows = append(rows, []cell{{title, quiet}, {plain(x), ""}})
				title = ""
			}
		}
	}
	add("Registration", s.Registered)
	add("Service principal", s.Principal)
	add("Asks for", s.Required...)
	add("Has", s.Permissions...)
	add("Offers", s.Roles...)
	add("Given to", s.Members...)
	for _, c := range s.Secrets {
		left, _ := l.left(c.End)
		add("Secret", c.KeyID+"  "+left+"  "+c.Name)
	}
	fmt.Fprintln(w, l.paint(strong, plain(s.Name)))
	for _, line := range l.lines([]string{"", ""}, rows)[1:] {
		fmt.Fprintln(w, "  "+line)
	}
}

func newAppAdd(at directoryOf) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:     "add APPLICATION-ID",
		Short:   "Add an application of somebody else to the directory",
		Example: "  tandem app add eb63d611-525e-4a31-abd7-0cb33f679599 --name \"Operator Connect\"",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if uuid.Validate(args[0]) != nil {
				return usagef("%q is no application ID: it is a UUID", args[0])
			}
			d, err := at(cmd.Context())
			if err != nil {
				return err
			}
			p, err := d.AddPrincipal(cmd.Context(), args[0], name)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is in the directory, as service principal %s.\n", plain(p.DisplayName), plain(p.ID))
			return nil
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "what the directory calls it; empty: as its publisher does")
	return cmd
}

// required reads permissions, as "Project Synergy/Data.Write", into what a
// registration asks for.
func required(ctx context.Context, d *entra.Client, permissions []string) (out []entra.RequiredAccess, err error) {
	for _, p := range permissions {
		i := strings.LastIndex(p, "/")
		if i <= 0 {
			return nil, usagef("%q: name a permission as <application>/<permission>, such as \"Project Synergy/Data.Write\"", p)
		}
		a, err := findApp(ctx, d, p[:i])
		if err != nil {
			return nil, err
		}
		resource, err := d.PrincipalOf(ctx, a.AppID)
		if err != nil {
			return nil, err
		}
		access, err := accessTo(resource, p[i+1:])
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(out, func(q entra.RequiredAccess) bool { return q.Resource == resource.AppID })
		if at < 0 {
			out, at = append(out, entra.RequiredAccess{Resource: resource.AppID}), len(out)
		}
		out[at].Access = append(out[at].Access, access)
	}
	return out, nil
}

// accessTo is a role for applications, or a scope, of a resource.
func accessTo(resource entra.Principal, name string) (entra.Access, error) {
	offered := []string{}
	for _, r := range resource.Roles {
		if slices.Contains(r.MemberTypes, "Application") {
			if strings.EqualFold(r.Value, name) {
				return entra.Access{ID: r.ID, Type: "Role"}, nil
			}
			offered = append(offered, r.Value)
		}
	}
	for _, s := range resource.Scopes {
		if strings.EqualFold(s.Value, name) {
			return entra.Access{ID: s.ID, Type: "Scope"}, nil
		}
		offered = append(offered, s.Value)
	}
	return entra.Access{}, fault.New(fault.NotFound, fmt.Sprintf("%s offers no permission %s to applications: it offers %s", resource.DisplayName, name, strings.Join(offered, ", ")))
}

func newAppCreate(at directoryOf) *cobra.Command {
	var permissions []string
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Register an application: single tenant, no redirect URI",
		Example: "  tandem app create \"Call Duration\" --permission \"Project Synergy/Data.Write\"",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := at(cmd.Context())
			if err != nil {
				return err
			}
			access, err := required(cmd.Context(), d, permissions)
			if err != nil {
				return err
			}
			a, err := d.CreateApplication(cmd.Context(), entra.Application{DisplayName: args[0], Audience: entra.SingleTenant, Required: access})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is registered; its application ID is %s.\n", plain(a.DisplayName), plain(a.AppID))
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&permissions, "permission", nil, "what it asks for, as <application>/<permission>; may be given again")
	return cmd
}

func newAppPermit(at directoryOf) *cobra.Command {
	return &cobra.Command{
		Use:     "permit APP PERMISSION...",
		Short:   "Have a registration ask for these permissions, and no others",
		Example: "  tandem app permit \"Call Duration\" \"Project Synergy/Data.Write\"",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := at(cmd.Context())
			if err != nil {
				return err
			}
			a, err := registered(cmd.Context(), d, args[0])
			if err != nil {
				return err
			}
			access, err := required(cmd.Context(), d, args[1:])
			if err != nil {
				return err
			}
			return d.Require(cmd.Context(), a.ID, access)
		},
	}
}

func newAppConsent(at directoryOf) *cobra.Command {
	return &cobra.Command{
		Use:   "consent APP",
		Short: "Grant a registration what it asks for, for the whole tenant",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := at(cmd.Context())
			if err != nil {
				return err
			}
			a, err := registered(cmd.Context(), d, args[0])
			if err != nil {
				return err
			}
			granted, err := d.Grant(cmd.Context(), a)
			for _, g := range granted {
				fmt.Fprintf(cmd.OutOrStdout(), "%s has %s.\n", plain(a.DisplayName), plain(g))
			}
			return err
		},
	}
}

func newAppRevoke(at directoryOf) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke APP PERMISSION...",
		Short: "Take permissions away that an application has",
		Long: `Take permissions away that an application was granted, of those that "tandem app
show" says it has: for itself, and for whoever has allowed it to act for them.
What its registration asks for stays: see "tandem app permit".` + exitHelp,
		Example: "  tandem app revoke \"Call Duration\" \"Microsoft Graph/User.Read\"",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := at(cmd.Context())
			if err != nil {
				return err
			}
			a, err := findApp(cmd.Context(), d, args[0])
			if err != nil {
				return err
			}
			for _, name := range args[1:] {
				if err := revoke(cmd.Context(), d, a, name); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s has %s no longer.\n", plain(a.Name), plain(name))
			}
			return nil
		},
	}
}

// revoke takes one permission away, of whichever kind it is.
func revoke(ctx context.Context, d *entra.Client, a listedApp, permission string) error {
	i := strings.LastIndex(permission, "/")
	if i <= 0 {
		return usagef("%q: name a permission as <application>/<permission>, such as \"Microsoft Graph/User.Read\"", permission)
	}
	of, err := findApp(ctx, d, permission[:i])
	if err != nil {
		return err
	}
	resource, err := d.PrincipalOf(ctx, of.AppID)
	if err != nil {
		return err
	}
	taken, name := false, permission[i+1:]
	var roles []entra.Assignment
	var grants []entra.Grant
	if a.Principal != "" {
		if roles, err = d.AssignmentsOf(ctx, a.Principal); err == nil {
			grants, err = d.Grants(ctx, a.Principal)
		}
		if err != nil {
			return err
		}
	}
	for _, r := range roles {
		if strings.EqualFold(r.Resource, resource.ID) && strings.EqualFold(permissionName(resource, "", r.Role), resource.DisplayName+"/"+name) {
			if err := d.Unassign(ctx, r); err != nil {
				return err
			}
			taken = true
		}
	}
	for _, g := range grants {
		at := slices.IndexFunc(strings.Fields(g.Scope), func(s string) bool { return strings.EqualFold(s, name) })
		if strings.EqualFold(g.Resource, resource.ID) && at >= 0 {
			if err := d.Revoke(ctx, g, strings.Fields(g.Scope)[at]); err != nil {
				return err
			}
			taken = true
		}
	}
	if !taken {
		return fault.New(fault.NotFound, a.Name+" does not have "+permission+": `tandem app show` says what it has")
	}
	return nil
}

func newAppAssign(at directoryOf) *cobra.Command {
	var take bool
	cmd := &cobra.Command{
		Use:   "assign APP ROLE WHO",
		Short: "Give somebody a role of an application",
		Long: `Give a user, a group or another application a role that an application offers. A
user is named by what they sign in with, a group by its name; each by its object
ID, too.` + exitHelp,
		Example: "  tandem app assign \"Project Synergy\" Admin ann@telecom.example\n  tandem app assign \"Project Synergy\" Admin \"Voice engineers\"",
		Args:    cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			d, err := at(ctx)
			if err != nil {
				return err
			}
			a, err := findApp(ctx, d, args[0])
			if err != nil {
				return err
			}
			resource, err := d.PrincipalOf(ctx, a.AppID)
			if err != nil {
				return err
			}
			role, is := resource.Role(args[1])
			if !is {
				return fault.New(fault.NotFound, fmt.Sprintf("%s offers no role %s: `tandem app show` says which it does", resource.DisplayName, args[1]))
			}
			who, err := whose(ctx, d, args[2])
			if err != nil {
				return err
			}
			want := entra.Assignment{Principal: who, Resource: resource.ID, Role: role.ID}
			if !take {
				return d.Assign(ctx, want)
			}
			all, err := d.AssignedTo(ctx, resource.ID)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(all, func(x entra.Assignment) bool {
				return strings.EqualFold(x.Principal, who) && strings.EqualFold(x.Role, role.ID)
			})
			if i < 0 {
				return fault.New(fault.NotFound, args[2]+" does not have that role")
			}
			return d.Unassign(ctx, all[i])
		},
	}
	cmd.Flags().BoolVar(&take, "remove", false, "take it away instead")
	return cmd
}

// whose is the object ID of a user, a group or an application. A name that
// several of them have is an error that shows all.
func whose(ctx context.Context, d *entra.Client, name string) (string, error) {
	u, err := d.UserNamed(ctx, name)
	if err == nil {
		return u.ID, nil
	}
	if unknown := fault.Of(err); unknown != fault.NotFound && unknown != fault.Invalid {
		return "", err
	}
	groups, err := groupsCalled(ctx, d, name)
	if err != nil {
		return "", err
	}
	all, err := applications(ctx, d)
	if err != nil {
		return "", err
	}
	var ids, shown []string
	for _, g := range groups {
		ids, shown = append(ids, g.ID), append(shown, g.ID+" (group)")
	}
	for _, a := range called(all, name) {
		ids, shown = append(ids, a.Principal), append(shown, cmp.Or(a.Principal, a.AppID)+" ("+a.Kind+")")
	}
	switch {
	case len(ids) == 0:
		return "", fault.New(fault.NotFound, "the directory has neither a user nor a group nor an application "+name)
	case len(ids) > 1:
		return "", fault.New(fault.Conflict, fmt.Sprintf("%d are called %s: name one by its object ID, %s", len(ids), name, strings.Join(shown, " or ")))
	case ids[0] == "":
		return "", fault.New(fault.Conflict, name+" has no service principal yet: consent to it first")
	}
	return ids[0], nil
}

// groupsCalled are the groups that somebody can mean. A directory elsewhere may
// show us none: who names a user or an application is served all the same.
func groupsCalled(ctx context.Context, d *entra.Client, name string) ([]entra.Group, error) {
	if uuid.Validate(name) != nil {
		all, err := d.GroupsNamed(ctx, name)
		if fault.Of(err) == fault.Denied {
			return nil, nil
		}
		return all, err
	}
	g, err := d.Group(ctx, name)
	switch {
	case fault.Of(err) == fault.NotFound, fault.Of(err) == fault.Denied:
		return nil, nil
	case err != nil:
		return nil, err
	}
	return []entra.Group{g}, nil
}

func newAppSecret(at directoryOf) *cobra.Command {
	var days int
	var remove string
	cmd := &cobra.Command{
		Use:   "secret APP",
		Short: "Make a client secret, whose value is shown once",
		Long: `Make a client secret for a registration. Its value is written to standard output,
once, and nobody can show it again. Better have one made that nobody sees, and
replaced in time: "tandem secret keep".` + exitHelp,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if days < 1 || days > 70 {
				return usagef("a client secret is good for 1 to 70 days")
			}
			d, err := at(cmd.Context())
			if err != nil {
				return err
			}
			a, err := registered(cmd.Context(), d, args[0])
			if err != nil {
				return err
			}
			if remove != "" {
				return d.RemoveSecret(cmd.Context(), a.ID, remove)
			}
			now := time.Now().UTC()
			c, value, err := d.AddSecret(cmd.Context(), a.ID, a.DisplayName+" "+now.Format(time.DateOnly), now.AddDate(0, 0, days))
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "Secret %q of %s, key ID %s, good until %s. Its value, once:\n", c.Name, a.DisplayName, c.KeyID, c.End.Local().Format(time.DateOnly))
			_, err = fmt.Fprintln(cmd.OutOrStdout(), string(value))
			return err
		},
	}
	cmd.Flags().IntVar(&days, "days", 69, "days that it is good, 70 at most")
	cmd.Flags().StringVar(&remove, "remove", "", "revoke the secret with this key ID instead")
	return cmd
}

func newAppDelete(at directoryOf) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete APP",
		Short: "Delete a registration, or remove an application of somebody else",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			d, err := at(ctx)
			if err != nil {
				return err
			}
			a, err := findApp(ctx, d, args[0])
			if err != nil {
				return err
			}
			if !yes {
				if err := confirm(cmd.InOrStdin(), cmd.ErrOrStderr()); err != nil {
					return err
				}
			}
			if a.Registered != "" {
				return d.DeleteApplication(ctx, a.Registered)
			}
			return d.DeletePrincipal(ctx, a.Principal)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
