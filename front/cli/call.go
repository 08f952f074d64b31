package cli

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link/record"
)

// NewCall makes `tandem call`: list, show, trace, explain, hangup.
func NewCall() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "call",
		Short: "Look at calls, live and past, and end them",
		Long: `Look at calls, live and past, and end them.

A call is named by its ID; the beginning of it will do while only one call has it.` + exitHelp,
		Args: cobra.NoArgs,
		RunE: needsSubcommand,
	}
	client := socketFlag(cmd)
	cmd.AddCommand(newCallList(client), newCallShow(client), newCallTrace(client), newCallExplain(client), newCallHangup(client))
	return cmd
}

func needsSubcommand(cmd *cobra.Command, _ []string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return usagef("%s what? One of %s (see %s --help)", cmd.CommandPath(), strings.Join(names, ", "), cmd.CommandPath())
}

func newCallList(client func() *ops.Client) *cobra.Command {
	var past, asJSON bool
	var since, until string
	var f record.Filter
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List live calls, or past ones",
		Long: `List the live calls of the node, newest first; with --past, or any flag that
searches, the call records it has on disk.

--failed shows the calls that went wrong for a reason that is not a user's own
doing: busy, declined, unanswered and cancelled calls are left out.` + exitHelp,
		Example: `  tandem call list
  tandem call list --past --since 2h
  tandem call list --failed --since 2026-11-20
  tandem call list --number +442079460123 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l := lookOf(cmd.OutOrStdout())
			if f.Limit < 1 {
				return usagef("--limit %d: at least one call", f.Limit)
			}
			if err := l.parseTime(since, &f.Since); err != nil {
				return err
			}
			if err := l.parseTime(until, &f.Until); err != nil {
				return err
			}
			if !past && !searches(cmd) {
				return listLive(cmd, client(), asJSON)
			}
			return listPast(cmd, client(), f, asJSON)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&past, "past", false, "past calls")
	flags.StringVar(&since, "since", "", `begun since: "2h", "3d", "15:04", "2006-01-02", "2006-01-02 15:04"`)
	flags.StringVar(&until, "until", "", "begun before, written likewise")
	flags.BoolVar(&f.Failed, "failed", false, "failed calls only")
	flags.StringVar(&f.Peer, "peer", "", "calls from or to this peer")
	flags.StringVar(&f.Number, "number", "", "calls from or to this number")
	flags.IntVar(&f.Limit, "limit", 100, "calls at most")
	flags.BoolVar(&asJSON, "json", false, "JSON instead of a table")
	return cmd
}

// searches reports whether a flag was given that only makes sense for records.
func searches(cmd *cobra.Command) bool {
	for _, name := range []string{"since", "until", "failed", "peer", "number", "limit"} {
		if cmd.Flags().Changed(name) {
			return true
		}
	}
	return false
}

func listLive(cmd *cobra.Command, c *ops.Client, asJSON bool) error {
	calls, err := c.Live(cmd.Context())
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	switch {
	case asJSON:
		return writeJSON(out, calls)
	case len(calls) == 0:
		fmt.Fprintln(cmd.ErrOrStderr(), "No calls at the moment. Past ones: tandem call list --past")
	default:
		lookOf(out).liveCalls(out, calls)
	}
	return nil
}

func listPast(cmd *cobra.Command, c *ops.Client, f record.Filter, asJSON bool) error {
	calls, err := c.Past(cmd.Context(), f)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	switch {
	case asJSON:
		return writeJSON(out, calls)
	case len(calls) == 0:
		fmt.Fprintln(cmd.ErrOrStderr(), "No past calls match.")
	default:
		lookOf(out).pastCalls(out, calls)
		if len(calls) == f.Limit {
			fmt.Fprintf(cmd.ErrOrStderr(), "The newest %d; there may be more: --limit, --until\n", f.Limit)
		}
	}
	return nil
}

func newCallShow(client func() *ops.Client) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show one call: numbers, legs, attempts, media, how it ended",
		Long:  "Show one call, live or past: numbers, legs, attempts, media, how it ended." + exitHelp,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			call, err := client().Call(cmd.Context(), callID(args[0]))
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return writeJSON(out, call)
			}
			lookOf(out).call(out, call)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON instead of text")
	return cmd
}

func newCallTrace(client func() *ops.Client) *cobra.Command {
	var pcap string
	var raw, asJSON bool
	cmd := &cobra.Command{
		Use:   "trace ID",
		Short: "Show the SIP messages of a call as a ladder",
		Long: `Show the SIP messages of a call as a ladder, with the gateway's decisions
between them. A node keeps the messages of a call in memory for an hour after
its end. Keys of SRTP are blanked everywhere.` + exitHelp,
		Example: `  tandem call trace 01k9x2m8p3
  tandem call trace 01k9x2m8p3 --raw | less -R
  tandem call trace 01k9x2m8p3 --pcap call.pcap`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id := callID(args[0])
			if pcap != "" {
				return savePcap(cmd, client(), id, pcap)
			}
			t, err := client().Trace(cmd.Context(), id)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			switch {
			case asJSON:
				return writeJSON(out, t)
			case raw:
				lookOf(out).messages(out, t)
			default:
				lookOf(out).ladder(out, t)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&pcap, "pcap", "", "write a capture for Wireshark to this file (- for standard output)")
	cmd.Flags().BoolVar(&raw, "raw", false, "the whole messages instead of the ladder")
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON instead of the ladder")
	cmd.MarkFlagsMutuallyExclusive("pcap", "raw", "json")
	return cmd
}

// savePcap writes a capture; a file only once there is something to write,
// and for its owner alone, as it holds people's numbers.
func savePcap(cmd *cobra.Command, c *ops.Client, id, file string) error {
	var b bytes.Buffer
	if err := c.Pcap(cmd.Context(), id, &b); err != nil {
		return err
	}
	if file == "-" {
		_, err := cmd.OutOrStdout().Write(b.Bytes())
		return err
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "Written:", file)
	return nil
}

func newCallHangup(client func() *ops.Client) *cobra.Command {
	return &cobra.Command{
		Use:   "hangup ID",
		Short: "End a live call",
		Long:  "End a live call on both sides." + exitHelp,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := client().Hangup(cmd.Context(), callID(args[0]))
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), "Hung up", id)
			}
			return err
		},
	}
}

// callID forgives what reading an ID aloud or copying it does to it.
func callID(s string) string { return strings.ToLower(strings.TrimSpace(strings.TrimRight(s, "…"))) }

// parseTime reads what people write for a time; empty leaves t alone.
func (l look) parseTime(s string, t *time.Time) error {
	if s == "" {
		return nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 {
			*t = l.now.Add(-time.Duration(n) * 24 * time.Hour)
			return nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		*t = l.now.Add(-d)
		return nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, s, l.zone); err == nil {
			*t = at
			return nil
		}
	}
	for _, layout := range []string{time.TimeOnly, "15:04"} {
		if at, err := time.ParseInLocation(layout, s, l.zone); err == nil {
			y, m, d := l.now.In(l.zone).Date()
			*t = time.Date(y, m, d, at.Hour(), at.Minute(), at.Second(), 0, l.zone)
			return nil
		}
	}
	return usagef(`%q is no time: write "2h", "3d", "15:04", "2006-01-02" or "2006-01-02 15:04"`, s)
}
