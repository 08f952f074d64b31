package cli

import (
	"context"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/front/ops"
)

// NewOperation makes `tandem operation`: list, show, cancel.
func NewOperation() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "operation",
		Short: "See the slow work of a control node, and stop it",
		Long: `See the slow work of a control node, such as a change of a gateway or an apply of
onboarding, and stop it. An operation is named by its ID or the beginning of it.` + exitHelp,
		Args: cobra.NoArgs,
		RunE: needsSubcommand,
	}
	client := socketFlag(cmd)
	cmd.AddCommand(newOperationList(client), newOperationShow(client), newOperationCancel(client))
	return cmd
}

func newOperationList(client func() *ops.Client) *cobra.Command {
	open := false
	cmd := listCommand("List what goes on, then the newest", "Nothing goes on, or has been done.", func(ctx context.Context) (list []ops.Operation, err error) {
		all, err := client().Operations(ctx)
		for _, o := range all {
			if !open || !o.Status.Ended() {
				list = append(list, o)
			}
		}
		return list, err
	}, look.operations)
	cmd.Flags().BoolVar(&open, "open", false, "only what goes on")
	return cmd
}

func (l look) operations(w io.Writer, list []ops.Operation) {
	var rows [][]cell
	for _, o := range list {
		rows = append(rows, []cell{
			{plain(o.ID[:min(8, len(o.ID))]), strong},
			{plain(o.Kind), ""},
			{plain(subjectOf(o)), ""},
			{string(o.Status), operationColor(o.Status)},
			{l.begun(o), quiet},
			{plain(askedBy(o)), ""},
		})
	}
	l.table(w, []string{"OPERATION", "KIND", "OF", "STATUS", "BEGAN", "BY"}, rows)
}

// subjectOf is what an operation is of, in short: a gateway, or a service of it.
func subjectOf(o ops.Operation) string {
	name := path.Base(o.Resource)
	if strings.HasPrefix(o.Resource, "onboard/") {
		return path.Base(path.Dir(o.Resource)) + "/" + name
	}
	return name
}

// askedBy is who asked for it: a program has nothing but an ID, of which the
// beginning is enough here.
func askedBy(o ops.Operation) string {
	if uuid.Validate(o.By) == nil {
		return o.By[:8] + "…"
	}
	return o.By
}

// begun is when an operation began.
func (l look) begun(o ops.Operation) string { return lasting(l.now.Sub(o.Created)) + " ago" }

func operationColor(s operation.Status) string {
	switch s {
	case operation.Succeeded:
		return good
	case operation.Failed:
		return bad
	}
	return notice
}

func newOperationShow(client func() *ops.Client) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show OPERATION", Short: "Show an operation and how far its steps are", Args: cobra.ExactArgs(1),
		ValidArgsFunction: completeOperations(client, false),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := client().Operation(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return writeJSON(out, o)
			}
			lookOf(out).operation(out, o)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON instead of text")
	return cmd
}

func (l look) operation(w io.Writer, o ops.Operation) {
	fmt.Fprintf(w, "%s %s\n", l.paint(strong, plain(o.ID)), l.paint(operationColor(o.Status), string(o.Status)))
	line := func(name, value string) {
		if value != "" {
			l.block(w, "  ", "", name+": "+value)
		}
	}
	day := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Local().Format(time.DateTime)
	}
	line("Kind", o.Kind)
	line("Of", o.Resource)
	line("By", o.By)
	line("Began", day(o.Created))
	line("Ended", day(o.Ended))
	if o.Problem != nil {
		l.block(w, "  ", bad, o.Problem.Code+": "+o.Problem.Message)
	}
	for _, p := range o.Steps {
		fmt.Fprintf(w, "\n  %s  %s\n", l.paint(strong, plain(p.Name)), l.paint(operationColor(p.Status), string(p.Status)))
		for _, text := range []string{p.Detail, p.Warning} {
			if text != "" {
				l.block(w, "    ", quiet, text)
			}
		}
		if p.Attempts > 1 {
			l.block(w, "    ", quiet, fmt.Sprintf("%d attempts", p.Attempts))
		}
	}
}

func newOperationCancel(client func() *ops.Client) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "cancel OPERATION",
		Short: "Stop an operation",
		Long: `Stop an operation. What its steps have done stays done; a step that runs is given
the time to return, and if it was the last one and succeeds, so does the
operation.` + exitHelp,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeOperations(client, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := client().CancelOperation(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			switch {
			case asJSON:
				return writeJSON(out, o)
			case o.Status.Ended():
				fmt.Fprintf(out, "%s: %s\n", plain(o.ID), o.Status)
			default:
				fmt.Fprintf(out, "%s ends when the step that runs has returned:\n  tandem operation show %s\n", plain(o.ID), plain(o.ID))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "the operation as it is then, as JSON")
	return cmd
}

// completeOperations proposes IDs, with what they are of.
func completeOperations(client func() *ops.Client, open bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) (ids []cobra.Completion, _ cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second) // somebody has pressed a key
		defer cancel()
		all, err := client().Operations(ctx)
		for _, o := range all {
			if err == nil && strings.HasPrefix(o.ID, strings.ToLower(begun)) && !(open && o.Status.Ended()) {
				ids = append(ids, cobra.CompletionWithDesc(o.ID, plain(o.Kind+" of "+subjectOf(o)+", "+string(o.Status))))
			}
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}
