package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/app"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/front/cli"
)

func newServe() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "serve -c tandem.yaml",
		Short: "Run a node of the gateway",
		Long: `Run a node: it serves one service region until SIGTERM or Ctrl-C, then drains.
SIGHUP, like "tandem reload", reads the configuration and the files that it names
again; calls in progress are not touched.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := app.LoadConfig(file)
			if err != nil {
				return err
			}
			log, err := newLog(cfg)
			if err != nil {
				return err
			}
			for _, w := range cfg.Warnings {
				log.Warn(w.String())
			}
			node, err := app.New(cfg, log, version())
			if err != nil {
				return err
			}
			hup := make(chan os.Signal, 1)
			signal.Notify(hup, syscall.SIGHUP)
			defer signal.Stop(hup)
			go func() {
				for range hup {
					_, _ = node.Reload() // it says in the log what came of it
				}
			}()
			return node.Run(cmd.Context())
		},
	}
	configFlag(cmd, &file)
	return cmd
}

// newLog makes the log of a node, whose level a reload may turn.
func newLog(cfg *app.Config) (*slog.Logger, error) {
	level, err := obs.ParseLevel(cfg.Node.Log.Level)
	if err != nil {
		return nil, err
	}
	cfg.LogLevel = &slog.LevelVar{}
	cfg.LogLevel.Set(level)
	return obs.NewLogger(os.Stderr, cfg.LogLevel, cfg.Node.Log.Format)
}

func newConfig() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Look at a node's configuration"}
	var file string
	check := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Print all that is wrong in a configuration",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				file = args[0]
			}
			return checkConfig(cmd.OutOrStdout(), file)
		},
	}
	configFlag(check, &file)
	cmd.AddCommand(check, cli.NewConfigDiff())
	return cmd
}

// checkConfig prints every problem of a file; mistakes, not warnings, are an
// error.
func checkConfig(out io.Writer, file string) error {
	_, problems := app.Check(file)
	wrong := 0
	for _, p := range problems {
		if !p.Warning {
			wrong++
		}
		fmt.Fprintln(out, p)
	}
	switch wrong {
	case 0:
		fmt.Fprintf(out, "%s is good\n", file)
		return nil
	case 1:
		return fmt.Errorf("%s has a mistake", file)
	}
	return fmt.Errorf("%s has %d mistakes", file, wrong)
}

func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "config", "c", "tandem.yaml", "configuration of the node")
}

// version is the module's version, or the commit of a build from a checkout.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "0.0.0-" + s.Value[:12]
		}
	}
	return "0.0.0-dev"
}
