package cli

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/front/ops"
)

// NewReload makes `tandem reload`.
func NewReload() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Let the node read its configuration again",
		Long: `Let the node read its configuration and the certificates that it names again, and
print what has changed. A file with a mistake is refused whole, with every mistake,
and so is a change that needs a restart; the configuration before stays in force.
Calls in progress end by the rules they began with.` + exitHelp,
		Args: cobra.NoArgs,
	}
	client := socketFlag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON instead of text")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		done, err := client().Reload(cmd.Context(), ops.ReloadRequest{})
		if err != nil {
			return rejected(cmd.OutOrStdout(), err, "the configuration before stays in force")
		}
		if asJSON {
			return writeJSON(cmd.OutOrStdout(), done)
		}
		lookOf(cmd.OutOrStdout()).reloaded(cmd.OutOrStdout(), done)
		return nil
	}
	return cmd
}

// NewConfigDiff makes `tandem config diff`.
func NewConfigDiff() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "diff [FILE]",
		Short: "Compare a configuration with the one in force on the running node",
		Long: `Print what "tandem reload" would change if FILE stood in the place of the node's own
file; without FILE, if it read its own now. Nothing is changed.` + exitHelp,
		Args: cobra.MaximumNArgs(1),
	}
	client := socketFlag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON instead of text")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req := ops.ReloadRequest{DryRun: true}
		if len(args) == 1 {
			file, err := filepath.Abs(args[0]) // the node stands in another folder
			if err != nil {
				return fmt.Errorf("find %s: %w", args[0], err)
			}
			req.File = file
		}
		done, err := client().Reload(cmd.Context(), req)
		if err != nil {
			return rejected(cmd.OutOrStdout(), err, "it would be rejected")
		}
		if asJSON {
			return writeJSON(cmd.OutOrStdout(), done)
		}
		lookOf(cmd.OutOrStdout()).compared(cmd.OutOrStdout(), done)
		return nil
	}
	return cmd
}

// rejected prints the mistakes of a configuration and sums them up; other
// errors pass.
func rejected(w io.Writer, err error, sum string) error {
	bad, ok := errors.AsType[*ops.Rejected](err)
	if !ok {
		return err
	}
	for _, p := range bad.Problems {
		fmt.Fprintln(w, plain(p))
	}
	return fmt.Errorf("%s found: %s", count(len(bad.Problems), "problem"), sum)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (l look) reloaded(w io.Writer, r ops.Reload) {
	l.warnings(w, r.Warnings)
	if len(r.Changes) == 0 {
		fmt.Fprintf(w, "Nothing has changed: revision %d stays in force.\n", r.Revision)
		return
	}
	l.changes(w, r.Changes)
	fmt.Fprintf(w, "\nRevision %d is in force: %s.\n", r.Revision, count(len(r.Changes), "change"))
	if len(r.Renewing) > 0 {
		l.hanging(w, "", "TLS connections are made anew to "+strings.Join(r.Renewing, ", ")+".")
	}
}

func (l look) compared(w io.Writer, r ops.Reload) {
	l.warnings(w, r.Warnings)
	if len(r.Changes) == 0 {
		fmt.Fprintf(w, "No difference from revision %d.\n", r.Revision)
		return
	}
	l.changes(w, r.Changes)
	fmt.Fprintf(w, "\n%s from revision %d.\n", count(len(r.Changes), "difference"), r.Revision)
	for _, s := range r.Restart {
		l.hanging(w, notice, s)
	}
}

func (l look) warnings(w io.Writer, list []string) {
	for _, s := range list {
		l.hanging(w, notice, "warning: "+s)
	}
}

func (l look) changes(w io.Writer, list []ops.Change) {
	for _, c := range list {
		switch {
		case c.Old == "":
			l.change(w, good, "+ "+c.Path+":", c.New)
		case c.New == "":
			l.change(w, bad, "- "+c.Path+":", c.Old)
		default:
			l.change(w, "", "~ "+c.Path+":", c.Old+" → "+c.New)
		}
	}
}

// change writes a path and a value, below each other when they do not fit in a
// line. A path that is too long by itself is broken after a dot.
func (l look) change(w io.Writer, color, path, value string) {
	path, value = plain(path), plain(value)
	if utf8.RuneCountInString(path)+1+utf8.RuneCountInString(value) <= 80 {
		fmt.Fprintln(w, l.paint(color, path+" "+value))
		return
	}
	line := ""
	for part := range strings.SplitAfterSeq(path, ".") {
		if utf8.RuneCountInString(line+part) > 80 && line != "" {
			fmt.Fprintln(w, l.paint(color, line))
			line = "    "
		}
		line += part
	}
	fmt.Fprintln(w, l.paint(color, line))
	for _, line := range wrap(value, 76) {
		fmt.Fprintln(w, l.paint(color, "    "+line))
	}
}

// hanging writes a paragraph whose lines after the first are indented.
func (l look) hanging(w io.Writer, color, text string) {
	for i, line := range wrap(plain(text), 76) {
		if i > 0 {
			line = "    " + line
		}
		fmt.Fprintln(w, l.paint(color, line))
	}
}
