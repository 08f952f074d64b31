package cli

import (
	"context"
	"fmt"
	"io"
	"path"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link"
)

// NewEdge makes `tandem edge`: list, forget.
func NewEdge() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "edge",
		Short: "See the edges of a control node",
		Long: `See the edges that have ever reported to a control node: whether they are there,
and which snapshot of which gateway is in force on them.` + exitHelp,
		Args: cobra.NoArgs,
		RunE: needsSubcommand,
	}
	client := socketFlag(cmd)
	cmd.AddCommand(newEdgeList(client), newEdgeForget(client))
	return cmd
}

func newEdgeList(client func() *ops.Client) *cobra.Command {
	return listCommand("List the edges and how they stand", "No edge has reported yet: see that edges run, and that their link.urls lead here.",
		func(ctx context.Context) ([]link.EdgeStatus, error) { return client().Edges(ctx) }, look.edges)
}

// listCommand makes a command that shows a list, as a table or as JSON; none is
// said when it is empty.
func listCommand[T any](short, none string, get func(context.Context) ([]T, error), show func(look, io.Writer, []T)) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := get(cmd.Context())
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			switch {
			case asJSON:
				return writeJSON(out, list)
			case len(list) == 0:
				fmt.Fprintln(cmd.ErrOrStderr(), none)
			default:
				show(lookOf(out), out, list)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON instead of a table")
	return cmd
}

func (l look) edges(w io.Writer, list []link.EdgeStatus) {
	var rows [][]cell
	for _, e := range list {
		state, color := e.State, good
		switch {
		case !e.Live:
			state, color = "away "+lasting(l.now.Sub(e.Seen)), bad
		case e.State != link.Ready:
			color = notice
		}
		revision, gateway := "-", "-"
		if e.Revision > 0 {
			revision = strconv.FormatUint(e.Revision, 10)
		}
		if e.Gateway != "" {
			gateway = path.Base(e.Gateway) // its name is the end of its ID
		}
		rows = append(rows, []cell{
			{plain(e.Node), strong},
			{plain(e.Region), ""},
			{plain(state), color},
			{revision, ""},
			{strconv.Itoa(e.Calls), ""},
			{plain(gateway), ""},
		})
	}
	l.table(w, []string{"EDGE", "REGION", "STATE", "REVISION", "CALLS", "GATEWAY"}, rows)
	for _, e := range list {
		if e.Error != "" {
			l.hanging(w, bad, fmt.Sprintf("! %s: revision %d is not in force: %s", e.Node, e.Refused, e.Error))
		}
	}
}

func newEdgeForget(client func() *ops.Client) *cobra.Command {
	return &cobra.Command{
		Use:   "forget EDGE",
		Short: "Forget an edge that will not come back, with what it was assigned",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := client().ForgetEdge(cmd.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "Edge "+plain(args[0])+" is forgotten.")
			return nil
		},
	}
}
