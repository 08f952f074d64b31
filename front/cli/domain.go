package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/front/ops"
)

// NewDomain makes `tandem domain`: list, add, verify, remove.
func NewDomain() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "domain",
		Short: "See to the domains of the operator's tenant",
		Long: `See to the custom domains of the operator's tenant. Teams sends calls to a gateway
only when its domain is verified there: add it, have the TXT record published,
and verify it.` + exitHelp,
		Args: cobra.NoArgs,
		RunE: needsSubcommand,
	}
	client := socketFlag(cmd)
	at := func(ctx context.Context) (*entra.Client, error) {
		t, err := client().Tenant(ctx)
		return t.Directory, err
	}
	list := listCommand("List the domains", "The tenant has no domain.", func(ctx context.Context) ([]entra.Domain, error) {
		d, err := at(ctx)
		if err != nil {
			return nil, err
		}
		return d.Domains(ctx)
	}, look.domains)
	cmd.AddCommand(list, newDomainAdd(at), newDomainRecords(at), newDomainVerify(at, client), newDomainRemove(at))
	return cmd
}

func (l look) domains(w io.Writer, list []entra.Domain) {
	var rows [][]cell
	for _, d := range list {
		state, color := "not verified", notice
		if d.Verified {
			state, color = "verified", good
		}
		var notes []string
		if d.Initial {
			notes = append(notes, "initial")
		}
		if d.Default {
			notes = append(notes, "default")
		}
		rows = append(rows, []cell{{plain(d.ID), strong}, {state, color}, {strings.Join(notes, ", "), quiet}})
	}
	l.table(w, []string{"DOMAIN", "STATE", ""}, rows)
}

// records tells which TXT record proves a domain, and how it is published
// where the name is in a zone of ours.
func domainRecords(ctx context.Context, w io.Writer, d *entra.Client, name string) error {
	all, err := d.VerificationRecords(ctx, name)
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.Type != "Txt" {
			continue
		}
		at := r.Label
		if at == "" || at == "@" {
			at = name
		}
		fmt.Fprintf(w, "%s\t%d\tIN\tTXT\t\"%s\"\n", plain(at), r.TTL, plain(r.Text))
	}
	return nil
}

func newDomainAdd(at directoryOf) *cobra.Command {
	return &cobra.Command{
		Use:   "add NAME",
		Short: "Add a domain, and say which TXT record proves whose it is",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := at(cmd.Context())
			if err != nil {
				return err
			}
			if _, err := d.AddDomain(cmd.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "Have this record published (where the name is in a zone of ours: tandem zone add), then: tandem domain verify %s\n", plain(args[0]))
			return domainRecords(cmd.Context(), cmd.OutOrStdout(), d, args[0])
		},
	}
}

func newDomainRecords(at directoryOf) *cobra.Command {
	return &cobra.Command{
		Use:   "records NAME",
		Short: "Say which TXT record proves whose a domain is",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := at(cmd.Context())
			if err != nil {
				return err
			}
			return domainRecords(cmd.Context(), cmd.OutOrStdout(), d, args[0])
		},
	}
}

func newDomainVerify(at directoryOf, client func() *ops.Client) *cobra.Command {
	var publish bool
	cmd := &cobra.Command{
		Use:   "verify NAME",
		Short: "Have the directory look for the TXT record now",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			d, err := at(ctx)
			if err != nil {
				return err
			}
			if publish {
				if err := publishRecord(ctx, d, client(), args[0]); err != nil {
					return err
				}
			}
			if _, err := d.VerifyDomain(ctx, args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is verified.\n", plain(args[0]))
			return nil
		},
	}
	cmd.Flags().BoolVar(&publish, "publish", false, "publish the TXT record first: the name is in a zone of this node's")
	return cmd
}

// publishRecord puts the TXT record into our own zone.
func publishRecord(ctx context.Context, d *entra.Client, c *ops.Client, name string) error {
	all, err := d.VerificationRecords(ctx, name)
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.Type == "Txt" {
			if err := c.AddText(ctx, ops.Text{Name: name, Value: r.Text}); err != nil {
				return err
			}
		}
	}
	return nil
}

func newDomainRemove(at directoryOf) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Take a domain from the tenant",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := at(cmd.Context())
			if err != nil {
				return err
			}
			return d.RemoveDomain(cmd.Context(), args[0])
		},
	}
}
