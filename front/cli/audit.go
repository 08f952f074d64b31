package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/front/ops"
)

// NewAudit makes `tandem audit`.
func NewAudit() *cobra.Command {
	var asJSON bool
	var since, until string
	var f ops.AuditFilter
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show who did what, and who was refused",
		Long: `Show the audit trail of a control node: what was done to gateways, vaults and
the directory, by whom, what was denied, and who signed in or was refused.

A line may stand for several attempts of the same kind within an hour: then it
says how many, and the time is of the last.` + exitHelp,
		Example: `  tandem audit --refused --since 1d
  tandem audit --who ann@telecom.example --action signIn
  tandem audit --resource /subscriptions/11111111-1111-4111-8111-111111111111`,
		Args: cobra.NoArgs,
	}
	client := socketFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		out := cmd.OutOrStdout()
		l := lookOf(out)
		if f.Limit < 1 {
			return usagef("--limit %d: at least one line", f.Limit)
		}
		if err := l.parseTime(since, &f.Since); err != nil {
			return err
		}
		if err := l.parseTime(until, &f.Until); err != nil {
			return err
		}
		lines, err := client().Audit(cmd.Context(), f)
		switch {
		case err != nil:
			return err
		case asJSON:
			return writeJSON(out, lines)
		case len(lines) == 0:
			fmt.Fprintln(cmd.ErrOrStderr(), "The audit trail has nothing of the kind.")
			return nil
		}
		l.audit(out, lines)
		if len(lines) == f.Limit {
			fmt.Fprintf(cmd.ErrOrStderr(), "The newest %d; there may be more: --limit, --until\n", f.Limit)
		}
		return nil
	}
	flags := cmd.Flags()
	flags.StringVar(&since, "since", "", `since: "2h", "3d", "15:04", "2006-01-02", "2006-01-02 15:04"`)
	flags.StringVar(&until, "until", "", "before, written likewise")
	flags.StringVar(&f.Who, "who", "", "by whom: an object ID, or a name")
	flags.StringVar(&f.Action, "action", "", "a part of the action, such as signIn or write")
	flags.StringVar(&f.Source, "source", "", "from this address")
	flags.StringVar(&f.Scope, "resource", "", "a resource, or an object of the directory, with all below it")
	flags.BoolVar(&f.Refused, "refused", false, "only what was refused or failed")
	flags.IntVar(&f.Limit, "limit", 100, "lines at most")
	flags.BoolVar(&asJSON, "json", false, "JSON instead of a table")
	return cmd
}

func (l look) audit(w io.Writer, lines []ops.AuditLine) {
	var rows [][]cell
	for _, a := range lines {
		who := a.Name
		if who == "" {
			who = a.Principal
		}
		outcome, color := a.Outcome, bad
		if strings.HasPrefix(outcome, "Succeeded") {
			color = good
		}
		if a.Times > 1 {
			outcome = fmt.Sprintf("%s (%d times)", outcome, a.Times)
		}
		rows = append(rows, []cell{{l.when(a.Latest), ""}, {orDash(plain(who)), strong}, {plain(a.Action), ""}, {plain(outcome), color}, {orDash(plain(a.Source)), ""}, {plain(a.Resource), ""}})
	}
	l.table(w, []string{"TIME", "WHO", "ACTION", "OUTCOME", "FROM", "RESOURCE"}, rows)
}
