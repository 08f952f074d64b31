// Command tandem is the communications gateway and everything one does to it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/front/cli"
)

func main() {
	// The first Ctrl-C or SIGTERM asks everything to end in order; a second
	// one is the system's and ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	program := root()
	program.SetArgs(cli.Spread(os.Args[1:]))
	err := program.ExecuteContext(ctx)
	stop()
	os.Exit(cli.Report(os.Stderr, err))
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tandem",
		Short: "A communications gateway between a telephone operator's core and the cloud voice services",
		Long: `Tandem joins an operator's fixed and mobile core to Microsoft Operator Connect,
Teams Phone Mobile, Teams Direct Routing and Zoom Phone.

New here? Run "tandem lab": a whole world on this machine, and calls to hear.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.AddCommand(newLab(), newServe(), newConfig(), cli.NewReload(), cli.NewBackup(), cli.NewRestore(restore), newBench(), cli.NewCall(), cli.NewPeer(), newVersion(),
		cli.NewGateway(), cli.NewTestLine(), cli.NewCheckName(), cli.NewApply(), cli.NewGroup(), cli.NewNetwork(), cli.NewEdge(), cli.NewCertificate(), cli.NewZone(), cli.NewVoiceService(), newMan())
	return cmd
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "tandem", version())
			return err
		},
	}
}
