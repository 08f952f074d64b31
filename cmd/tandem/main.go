// Command tandem is the communications gateway and everything one does to it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

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
		cli.NewGateway(), cli.NewTestLine(), cli.NewCheckName(), cli.NewApply(), cli.NewGroup(), cli.NewNetwork(), cli.NewEdge(), cli.NewCertificate(), cli.NewZone(), cli.NewSecret(), cli.NewApp(), cli.NewDomain(), cli.NewOperatorConnect(), cli.NewVoiceService(), cli.NewOnboard(), cli.NewOperation(), cli.NewUser(), cli.NewAudit(), cli.NewLogin(), cli.NewLogout(), newMan())
	narrow(cmd)
	return cmd
}

// columns of the narrowest terminal that help fits.
const columns = 80

// narrow has help fit it.
func narrow(cmd *cobra.Command) {
	cmd.SetUsageTemplate(strings.ReplaceAll(cmd.UsageTemplate(), "Flags.FlagUsages ", "Flags.FlagUsagesWrapped "+strconv.Itoa(columns)+" "))
	cmd.InitDefaultCompletionCmd()
	for _, c := range cmd.Commands() {
		if c.Name() == "completion" {
			c.Short = "Write what completes commands in a shell"
		}
	}
	fold(cmd)
}

// fold breaks the paragraphs of a command's description, and of those below it,
// where the line ends. What is indented stays.
func fold(cmd *cobra.Command) {
	paragraphs := strings.Split(cmd.Long, "\n\n")
	for i, p := range paragraphs {
		if !strings.HasPrefix(p, " ") && !strings.Contains(p, "\n ") {
			paragraphs[i] = broken(strings.Fields(p))
		}
	}
	cmd.Long = strings.Join(paragraphs, "\n\n")
	for _, c := range cmd.Commands() {
		fold(c)
	}
}

func broken(words []string) string {
	var b strings.Builder
	used := 0
	for i, w := range words {
		n := utf8.RuneCountInString(w)
		switch {
		case i == 0:
		case used+1+n > columns:
			b.WriteByte('\n')
			used = 0
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(w)
		used += n
	}
	return b.String()
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
