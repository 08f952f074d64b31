package cli

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

// NewGroup makes `tandem group`: the resource groups that gateways are kept in.
func NewGroup() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "group",
		Short: "Create, list and delete resource groups",
		Long:  "Create, list and delete the resource groups that gateways are kept in." + connectionHelp + exitHelp,
		Args:  cobra.NoArgs,
		RunE:  needsSubcommand,
	}
	g := groupCommand{connectionFlags(cmd), outputFlags(cmd)}
	cmd.AddCommand(g.create(), g.list(), g.one("show", "Show a resource group", http.MethodGet), g.delete())
	return cmd
}

type groupCommand struct {
	at  *connection
	out *output
}

func groupPath(scope, name string) string {
	return scope + "/resourcegroups/" + url.PathEscape(name) + "?api-version=" + groupsVersion
}

func nameFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVarP(name, "name", "n", "", "name of the resource group")
	cmd.Flags().StringVarP(name, "resource-group", "g", "", "the same as --name")
	cmd.MarkFlagsOneRequired("name", "resource-group")
}

func (g groupCommand) create() *cobra.Command {
	var name, location string
	cmd := &cobra.Command{Use: "create", Short: "Create a resource group", Args: cobra.NoArgs}
	nameFlag(cmd, &name)
	cmd.Flags().StringVarP(&location, "location", "l", "", "region that its data is kept in")
	_ = cmd.MarkFlagRequired("location") // fails for a flag that is not there
	tags := resourceCommand{}.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		group := map[string]any{"location": location}
		if err := tags.into(group); err != nil {
			return err
		}
		r, scope, err := reach(cmd.Context(), g.at, g.out)
		if err != nil {
			return err
		}
		a, err := r.do(cmd.Context(), http.MethodPut, groupPath(scope, name), group)
		if err != nil {
			return err
		}
		return g.out.write(cmd.OutOrStdout(), map[string]any(a.body))
	}
	return cmd
}

func (g groupCommand) list() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the resource groups", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, scope, err := reach(cmd.Context(), g.at, g.out)
			if err != nil {
				return err
			}
			all, err := r.list(cmd.Context(), scope+"/resourcegroups?api-version="+groupsVersion)
			if err != nil {
				return err
			}
			return g.out.write(cmd.OutOrStdout(), all)
		},
	}
}

// one makes a command that asks one thing of a group.
func (g groupCommand) one(word, short, method string) *cobra.Command {
	var name string
	cmd := &cobra.Command{Use: word, Short: short, Args: cobra.NoArgs}
	nameFlag(cmd, &name)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r, scope, err := reach(cmd.Context(), g.at, g.out)
		if err != nil {
			return err
		}
		a, err := r.do(cmd.Context(), method, groupPath(scope, name), nil)
		if err != nil {
			return err
		}
		return g.out.write(cmd.OutOrStdout(), map[string]any(a.body))
	}
	return cmd
}

func (g groupCommand) delete() *cobra.Command {
	var name string
	var yes, noWait bool
	cmd := &cobra.Command{Use: "delete", Short: "Delete a resource group with all that is in it", Args: cobra.NoArgs}
	nameFlag(cmd, &name)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	noWaitFlag(cmd, &noWait)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !yes {
			if err := confirm(cmd.InOrStdin(), cmd.ErrOrStderr()); err != nil {
				return err
			}
		}
		r, scope, err := reach(cmd.Context(), g.at, g.out)
		if err != nil {
			return err
		}
		a, err := r.do(cmd.Context(), http.MethodDelete, groupPath(scope, name), nil)
		if err != nil || noWait || a.status != http.StatusAccepted {
			return err
		}
		p := progressOn(g.out.notes(cmd))
		defer p.end()
		return r.settle(cmd.Context(), a, p.tell)
	}
	return cmd
}
