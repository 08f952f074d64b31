package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/operatorconnect"
)

// NewOperatorConnect makes `tandem operatorconnect`: application, trunk,
// profile, consent.
func NewOperatorConnect() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "operatorconnect",
		Aliases: []string{"oc"},
		Short:   "See trunks, profiles and consents at Operator Connect",
		Long: `Look into Operator Connect as the gateway sees it, and change what is there. Calling
profiles with the suffix CommsGw and trunks of a gateway's domain are managed by
that gateway: editing them is likely to break calls, and takes --force.` + exitHelp,
		Args: cobra.NoArgs,
		RunE: needsSubcommand,
	}
	client := socketFlag(cmd)
	var gateway string
	cmd.PersistentFlags().StringVarP(&gateway, "gateway", "n", "", "name of the gateway; may be left out when there is one")
	at := func(ctx context.Context) (*operatorconnect.Client, error) {
		return client().OperatorConnect(ctx, gateway)
	}
	cmd.AddCommand(
		sub("application", "The applications that may use its API", connectApplications(at)),
		sub("trunk", "Its trunks", connectTrunks(at), connectTrunkEnable(at, "enable", true), connectTrunkEnable(at, "disable", false), connectTrunkDelete(at)),
		sub("profile", "Its calling profiles", connectProfiles(at), connectProfileUpdate(at), connectProfileDelete(at)),
		sub("consent", "The enterprises that chose the operator", connectConsents(at), connectRelate(at)),
	)
	return cmd
}

// connectOf gives the environment that commands work on.
type connectOf func(context.Context) (*operatorconnect.Client, error)

// sub is a command that only has others below it.
func sub(word, short string, below ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: word, Short: short, Args: cobra.NoArgs, RunE: needsSubcommand}
	cmd.AddCommand(below...)
	return cmd
}

// listed asks for a list of the environment.
func listed[T any](at connectOf, get func(*operatorconnect.Client, context.Context) ([]T, error)) func(context.Context) ([]T, error) {
	return func(ctx context.Context) ([]T, error) {
		c, err := at(ctx)
		if err != nil {
			return nil, err
		}
		return get(c, ctx)
	}
}

func connectApplications(at connectOf) *cobra.Command {
	return listCommand("List the applications that may use the API", "No application may.", listed(at, (*operatorconnect.Client).ApplicationIDs),
		func(l look, w io.Writer, list []operatorconnect.ApplicationID) {
			var rows [][]cell
			for _, a := range list {
				rows = append(rows, []cell{{plain(a.ID), strong}, {plain(a.Name), ""}, {l.when(a.AddedOn), quiet}, {plain(a.AddedBy), quiet}})
			}
			l.table(w, []string{"APPLICATION ID", "NAME", "ADDED", "BY"}, rows)
		})
}

// managed marks what a gateway manages.
func managed(by string) string {
	if by == "" {
		return ""
	}
	return "managed by a gateway"
}

func connectTrunks(at connectOf) *cobra.Command {
	return listCommand("List the trunks and how they stand", "There is no trunk.", listed(at, (*operatorconnect.Client).Trunks),
		func(l look, w io.Writer, list []operatorconnect.Trunk) {
			var rows [][]cell
			for _, t := range list {
				state, color := t.Health.Status, quiet
				switch {
				case !t.DomainVerified:
					state, color = "domain not verified", bad
				case !t.Enabled:
					state, color = "disabled", notice
				case state == "Active":
					color = good
				case state == "Inactive":
					color = bad
				}
				rows = append(rows, []cell{{plain(t.FQDN), strong}, {plain(t.EnrollmentState), ""}, {plain(state), color}, {managed(t.ManagedBy), quiet}})
			}
			l.table(w, []string{"TRUNK", "ENROLLED", "STATE", ""}, rows)
		})
}

// trunkMeant is the trunk of a host name or an ID.
func trunkMeant(ctx context.Context, c *operatorconnect.Client, name string) (operatorconnect.Trunk, error) {
	if strings.Contains(name, ".") {
		return c.TrunkNamed(ctx, name)
	}
	return c.Trunk(ctx, name)
}

func forceFlag(cmd *cobra.Command, force *bool) {
	cmd.Flags().BoolVar(force, "force", false, "even when a gateway manages it")
}

// warned says what is about to be touched, and what to add who means it.
func warned(cmd *cobra.Command, warning string, force bool) error {
	switch {
	case warning == "":
		return nil
	case !force:
		return fault.New(fault.Conflict, warning+". Nothing was done; --force does it all the same")
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "Warning: "+plain(warning)+".")
	return nil
}

// meant finds what a name stands for, and warns who is about to touch what a
// gateway manages.
func meant[T any](
	cmd *cobra.Command, at connectOf, name string, find func(context.Context, *operatorconnect.Client, string) (T, error),
	warn func(*operatorconnect.Client, T) string,
) (c *operatorconnect.Client, found T, err error) {
	if c, err = at(cmd.Context()); err != nil {
		return nil, found, err
	}
	force, err := cmd.Flags().GetBool("force")
	if err != nil {
		return nil, found, err
	}
	if found, err = find(cmd.Context(), c, name); err == nil {
		err = warned(cmd, warn(c, found), force)
	}
	return c, found, err
}

func connectTrunkEnable(at connectOf, word string, enabled bool) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: word + " TRUNK", Short: strings.ToUpper(word[:1]) + word[1:] + " a trunk, named by its host name or ID", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, t, err := meant(cmd, at, args[0], trunkMeant, (*operatorconnect.Client).WarnTrunk)
			if err != nil {
				return err
			}
			d := t.Draft()
			d.Enabled = enabled
			_, err = c.ReplaceTrunk(cmd.Context(), operatorconnect.Edit{ID: t.ID, ETag: t.ETag, Force: force}, d)
			return err
		},
	}
	forceFlag(cmd, &force)
	return cmd
}

func connectTrunkDelete(at connectOf) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "delete TRUNK", Short: "Take a trunk away, named by its host name or ID", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, t, err := meant(cmd, at, args[0], trunkMeant, (*operatorconnect.Client).WarnTrunk)
			if err != nil {
				return err
			}
			return c.DeleteTrunk(cmd.Context(), operatorconnect.Edit{ID: t.ID, ETag: t.ETag, Force: force})
		},
	}
	forceFlag(cmd, &force)
	return cmd
}

func connectProfiles(at connectOf) *cobra.Command {
	return listCommand("List the calling profiles", "There is no calling profile.", listed(at, (*operatorconnect.Client).Profiles),
		func(l look, w io.Writer, list []operatorconnect.Profile) {
			var rows [][]cell
			for _, p := range list {
				var offers []string
				for _, o := range p.OfferTypes {
					offers = append(offers, plain(o.Name))
				}
				rows = append(rows, []cell{{plain(p.Name + p.NameSuffix), strong}, {plain(p.Region), ""}, {strings.Join(offers, ", "), ""}, {count(len(p.Trunks), "trunk"), ""}, {managed(p.ManagedBy), quiet}})
			}
			l.table(w, []string{"PROFILE", "REGION", "FOR", "TRUNKS", ""}, rows)
		})
}

// profileMeant is the calling profile of a name or an ID.
func profileMeant(ctx context.Context, c *operatorconnect.Client, name string) (operatorconnect.Profile, error) {
	all, err := c.Profiles(ctx)
	if err != nil {
		return operatorconnect.Profile{}, err
	}
	i := slices.IndexFunc(all, func(p operatorconnect.Profile) bool {
		return strings.EqualFold(p.ID, name) || strings.EqualFold(p.Name+p.NameSuffix, name)
	})
	if i < 0 {
		return operatorconnect.Profile{}, fault.New(fault.NotFound, "there is no calling profile "+name)
	}
	return c.Profile(ctx, all[i].ID)
}

func connectProfileUpdate(at connectOf) *cobra.Command {
	var force bool
	var region, carrier string
	cmd := &cobra.Command{
		Use: "update PROFILE", Short: "Change a calling profile, named with its suffix or by its ID", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, p, err := meant(cmd, at, args[0], profileMeant, (*operatorconnect.Client).WarnProfile)
			if err != nil {
				return err
			}
			d := p.Draft()
			if cmd.Flags().Changed("region") {
				d.Region = region
			}
			if cmd.Flags().Changed("carrier") {
				d.Carrier = carrier
			}
			_, err = c.ReplaceProfile(cmd.Context(), operatorconnect.Edit{ID: p.ID, ETag: p.ETag, Force: force}, d)
			return err
		},
	}
	cmd.Flags().StringVar(&region, "region", "", "its region")
	cmd.Flags().StringVar(&carrier, "carrier", "", "its carrier")
	cmd.MarkFlagsOneRequired("region", "carrier")
	forceFlag(cmd, &force)
	return cmd
}

func connectProfileDelete(at connectOf) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "delete PROFILE", Short: "Delete a calling profile, named with its suffix or by its ID", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, p, err := meant(cmd, at, args[0], profileMeant, (*operatorconnect.Client).WarnProfile)
			if err != nil {
				return err
			}
			return c.DeleteProfile(cmd.Context(), operatorconnect.Edit{ID: p.ID, ETag: p.ETag, Force: force})
		},
	}
	forceFlag(cmd, &force)
	return cmd
}

func connectConsents(at connectOf) *cobra.Command {
	get := func(c *operatorconnect.Client, ctx context.Context) ([]operatorconnect.Consent, error) {
		return c.Consents(ctx, "")
	}
	return listCommand("List the enterprises that chose the operator", "No enterprise has chosen this operator yet.", listed(at, get),
		func(l look, w io.Writer, list []operatorconnect.Consent) {
			var rows [][]cell
			for _, x := range list {
				color := notice
				if x.Status == "Active" {
					color = good
				}
				rows = append(rows, []cell{{plain(x.TenantID), strong}, {plain(x.Status), color}, {plain(x.Relationship.Status), ""}, {plain(x.TenantName), quiet}})
			}
			l.table(w, []string{"TENANT", "CONSENT", "RELATIONSHIP", "NAME"}, rows)
		})
}

func connectRelate(at connectOf) *cobra.Command {
	var comment string
	cmd := &cobra.Command{
		Use:     "set TENANT STATUS",
		Short:   "Say how the operator stands with an enterprise",
		Example: "  tandem operatorconnect consent set 7f8d5c6e-… AgreementSigned",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := at(cmd.Context())
			if err != nil {
				return err
			}
			all, err := c.Consents(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if len(all) == 0 {
				return fault.New(fault.NotFound, "the enterprise "+args[0]+" has not chosen this operator")
			}
			_, err = c.Relate(cmd.Context(), all[0].ID, "", operatorconnect.Relationship{Status: args[1], Comment: comment})
			return err
		},
	}
	cmd.Flags().StringVar(&comment, "comment", "", "why; ConsentDeclined and ContractTerminated need it")
	return cmd
}
