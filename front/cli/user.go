package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/front/ops"
)

// NewUser makes `tandem user`: create, list, reset, disable, enable, delete.
func NewUser() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user",
		Short: "Say who may sign in",
		Long: `Say who may sign in. A person is made known here and gets a link, by which they
choose a password and add a second factor themselves. Who may open the control
socket may always let an administrator in again, however it came that they are
locked out.` + exitHelp,
		Args: cobra.NoArgs,
		RunE: needsSubcommand,
	}
	client := socketFlag(cmd)
	cmd.AddCommand(newUserCreate(client), newUserList(client), newUserReset(client), newUserEnable(client, false), newUserEnable(client, true), newUserDelete(client))
	return cmd
}

func newUserCreate(client func() *ops.Client) *cobra.Command {
	var u ops.NewUser
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a person known, and print the link that sets their password",
		Long: `Make a person known, and print a link. Whoever opens it first chooses the
password, so give it to that person alone. It works once, within a day.

NAME is what they sign in with, such as ann@telecom.example: the part behind the
@ is a verified domain of the tenant.` + exitHelp,
		Example: "  tandem user create ann@telecom.example --admin --role Owner",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			u.Name = args[0]
			made, err := client().CreateUser(cmd.Context(), u)
			if err != nil {
				return err
			}
			return invited(cmd, made, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&u.DisplayName, "display-name", "", "name for people (default: the part of NAME before the @)")
	f.StringVar(&u.Mail, "mail", "", "mail address")
	f.BoolVar(&u.Admin, "admin", false, "make them Global Administrator of the directory")
	f.StringVar(&u.Role, "role", "", "role at every subscription: Owner, Contributor or Reader")
	f.BoolVar(&asJSON, "json", false, "JSON instead of text")
	return cmd
}

// invited shows a link. It is the one thing here that nobody sees again.
func invited(cmd *cobra.Command, i ops.Invited, asJSON bool) error {
	out := cmd.OutOrStdout()
	if asJSON {
		return writeJSON(out, i)
	}
	l := lookOf(out)
	fmt.Fprintf(out, "%s may sign in once a password is set. Open this link, or give it to them:\n\n  %s\n\nIt works once, until %s, and is not shown again.\n",
		plain(i.Name), i.Link, l.when(i.Ends))
	return nil
}

func newUserList(client func() *ops.Client) *cobra.Command {
	return listCommand("List who may sign in", "Nobody may sign in yet: make somebody known with `tandem user create NAME --admin`.",
		func(ctx context.Context) ([]ops.User, error) { return client().Users(ctx) }, look.users)
}

func (l look) users(w io.Writer, list []ops.User) {
	var rows [][]cell
	for _, u := range list {
		state, color := "enabled", good
		switch {
		case !u.Enabled:
			state, color = "disabled", bad
		case !u.Password:
			state, color = "invited", ""
		}
		rows = append(rows, []cell{{plain(u.Name), strong}, {state, color}, {orDash(strings.Join(u.Factors, ", ")), ""}, {orDash(strings.Join(u.Roles, ", ")), ""}, {plain(u.DisplayName), ""}})
	}
	l.table(w, []string{"NAME", "STATE", "SECOND FACTOR", "ROLES", "DISPLAY NAME"}, rows)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func newUserReset(client func() *ops.Client) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "reset NAME",
		Short: "Forget what a person signs in with, and print a new link",
		Long: `Forget a person's password and second factors, end their sessions and what
programs were given in their name, lift what wrong guesses have locked, and print
a link that sets a password anew.` + exitHelp,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			made, err := client().ResetUser(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return invited(cmd, made, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON instead of text")
	return cmd
}

func newUserEnable(client func() *ops.Client, enable bool) *cobra.Command {
	use, short, done := "disable NAME", "Let a person in no more; sessions end at once", "may not sign in any more"
	if enable {
		use, short, done = "enable NAME", "Let a person in again", "may sign in again"
	}
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			u, err := client().EnableUser(cmd.Context(), args[0], enable)
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s.\n", plain(u.Name), done)
			}
			return err
		},
	}
}

func newUserDelete(client func() *ops.Client) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Take a person away, with all that was given to them", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s and all that was given to them will be gone. ", plain(args[0]))
				if err := confirm(cmd.InOrStdin(), cmd.ErrOrStderr()); err != nil {
					return err
				}
			}
			err := client().DeleteUser(cmd.Context(), args[0])
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%s is gone.\n", plain(args[0]))
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
