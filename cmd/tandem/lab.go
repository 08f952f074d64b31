package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/lab"
)

func newLab() *cobra.Command {
	opt := lab.Options{}
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "A whole world on this machine, and calls to hear",
		Long: `Start two service regions, a Teams phone system, an operator's core with two
sites, DNS and a certificate authority on loopback, place calls both ways, listen
to them, kill a region, and say what was heard. Stays up until Ctrl-C.

With --scenario it plays those scenarios instead; "--scenario list" tells which
there are, "all" plays all of them.

Needs no configuration, no root and no network.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if slices.Equal(opt.Scenarios, []string{"list"}) {
				return lab.ListScenarios(cmd.OutOrStdout(), opt.JSON)
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program, to start nodes from it: %w", err)
			}
			opt.Out, opt.Node = cmd.OutOrStdout(), []string{self}
			return lab.Run(cmd.Context(), opt)
		},
	}
	cmd.Flags().BoolVar(&opt.Once, "once", false, "end with the verdict: exit status 0 when all is well, 1 when not")
	cmd.Flags().BoolVar(&opt.JSON, "json", false, "print the verdict as JSON")
	cmd.Flags().StringSliceVar(&opt.Scenarios, "scenario", nil, "play these scenarios, separated by commas: \"list\", \"all\" or some of the list")
	_ = cmd.RegisterFlagCompletionFunc("scenario", completeScenario) // fails for a flag that is not there
	cmd.Flags().BoolVar(&opt.Raw, "not-onboarded", false, "do not onboard the gateway to Operator Connect: its calls fail, and there is something to try \"tandem onboard\" on")
	cmd.Flags().StringVar(&opt.Dir, "dir", "", "keep configuration, certificates, records and logs in this folder")
	cmd.Flags().StringVar(&opt.Store, "store", "", "keep the gateway in this PostgreSQL database (postgres://…) instead of a file")
	cmd.Flags().IntVar(&opt.Controls, "control-nodes", 1, "with --store: 3 for three control nodes that share it")
	return cmd
}

// completeScenario completes the last name of a list.
func completeScenario(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	before := begun[:strings.LastIndexByte(begun, ',')+1]
	var full []string
	for _, name := range append(lab.ScenarioNames(), "all", "list") {
		if !slices.Contains(strings.Split(before, ","), name) && strings.HasPrefix(before+name, begun) {
			full = append(full, before+name)
		}
	}
	return full, cobra.ShellCompDirectiveNoFileComp
}
