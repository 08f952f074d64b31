package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/lab"
)

func newLab() *cobra.Command {
	opt := lab.Options{}
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "A whole world on this machine: place calls and listen to them",
		Long: `Start two service regions, a Teams phone system, an operator's core with two
sites, DNS and a certificate authority on loopback, place calls both ways, listen
to them, kill a region, and say what was heard. Stays up until Ctrl-C.

Needs no configuration, no root and no network.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
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
	cmd.Flags().StringVar(&opt.Dir, "dir", "", "keep configuration, certificates, records and logs in this folder")
	return cmd
}
