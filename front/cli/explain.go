package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link/record"
)

// errRefused ends the command like any failure, for scripts that test a change.
var errRefused = errors.New("the call would be refused")

// maxInvite is more than the node reads.
const maxInvite = 64 << 10

func newCallExplain(client func() *ops.Client) *cobra.Command {
	var file, from string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain --file FILE --from PEER",
		Short: "Show what would become of an INVITE, without a call",
		Long: `Show what the node would do with an INVITE if a peer sent it now: how it is
read, which rules change it, where it goes and why, and the INVITE that would
leave. Nothing is sent, and no call is made.

The file is an INVITE as text, pasted from a trace; - reads it from the
terminal. Line ends, Content-Length and Via need not be right. In the INVITE
that would leave, media addresses, tags and keys are made up.

It exits with 1 when the call would be refused.` + exitHelp,
		Example: `  tandem call explain --file invite.txt --from core-a
  tandem call explain --file - --from microsoft-teams-1 --json <invite.txt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := readInvite(cmd.InOrStdin(), file)
			if err != nil {
				return err
			}
			e, err := client().Explain(cmd.Context(), from, text)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				err = writeJSON(out, e)
			} else {
				lookOf(out).explanation(out, e)
			}
			if err == nil && e.Status != 0 {
				return errRefused
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "file", "", "file with the INVITE; - for standard input")
	f.StringVar(&from, "from", "", "peer that it comes from, as tandem peer list shows it")
	f.BoolVar(&asJSON, "json", false, "JSON instead of text")
	_ = cmd.MarkFlagRequired("file") // the flag is there
	_ = cmd.MarkFlagRequired("from")
	return cmd
}

func readInvite(in io.Reader, file string) ([]byte, error) {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, usagef("the file cannot be read: %v", err)
		}
		defer func() { _ = f.Close() }() // it was only read
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxInvite))
	if err != nil {
		return nil, usagef("the INVITE cannot be read: %v", err)
	}
	return text, nil
}

// explanation prints it as a story: read, decided, sent.
func (l look) explanation(w io.Writer, e record.Explanation) {
	fmt.Fprintf(w, "from %s, of the group %s, read as %s\n", l.paint(strong, plain(e.Peer)), plain(e.Group), plain(e.Profile))
	if e.To != "" {
		fmt.Fprintf(w, "%s calls %s", orNobody(plain(e.From)), plain(e.To))
		if e.Service != "" {
			fmt.Fprintf(w, ", %s", plain(e.Service))
		}
		if e.Emergency {
			fmt.Fprint(w, ", an emergency call")
		}
		fmt.Fprintln(w)
	}
	for _, n := range e.Notes {
		for i, line := range wrap(plain(n), 76) {
			fmt.Fprintln(w, []string{"  · ", "    "}[min(i, 1)]+line)
		}
	}
	for i, t := range e.Targets {
		down := ""
		if t.Down {
			down = l.paint(bad, ", down now")
		}
		fmt.Fprintf(w, "%d. %s as %s: %s%s\n", i+1, l.paint(strong, plain(t.Peer)), plain(t.Profile), plain(t.Why), down)
	}
	if e.Status != 0 {
		fmt.Fprintf(w, "%s\n\n", l.paint(bad, fmt.Sprintf("refused with %d: %s", e.Status, plain(e.Why))))
		l.message(w, e.Answer)
		return
	}
	fmt.Fprintln(w)
	l.message(w, e.Message)
}

func orNobody(s string) string {
	if s == "" {
		return "a withheld number"
	}
	return s
}

func (l look) message(w io.Writer, text string) {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\r\n"), "\n") {
		fmt.Fprintln(w, plain(strings.TrimRight(line, "\r")))
	}
}
