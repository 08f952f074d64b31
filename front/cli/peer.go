package cli

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link/record"
)

// NewPeer makes `tandem peer`: list.
func NewPeer() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "peer",
		Short: "Look at the far sides the gateway is connected to",
		Long:  "Look at the far sides the gateway is connected to." + exitHelp,
		Args:  cobra.NoArgs,
		RunE:  needsSubcommand,
	}
	client := socketFlag(cmd)
	cmd.AddCommand(newPeerList(client))
	return cmd
}

func newPeerList(client func() *ops.Client) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the peers and how they stand",
		Long: `List the peers as this node sees them: state and since when, round trip of the
last OPTIONS answered, OPTIONS answered of those sent, OPTIONS received, live
calls, and how long the peer's certificate is still good.` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			peers, err := client().Peers(cmd.Context())
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			switch {
			case asJSON:
				return writeJSON(out, peers)
			case len(peers) == 0:
				fmt.Fprintln(cmd.ErrOrStderr(), "This node has no peers: name peer groups in the gateway's configuration.")
			default:
				lookOf(out).peers(out, peers)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON instead of a table")
	return cmd
}

func (l look) peers(w io.Writer, peers []record.PeerHealth) {
	var rows [][]cell
	for _, p := range peers {
		cert, color := l.certificate(p)
		rows = append(rows, []cell{
			{plain(p.Peer), strong},
			{plain(p.Group), ""},
			{string(p.Side), ""},
			{p.State, peerColor(p.State)},
			{l.since(p.Since), ""},
			{cmp.Or(p.RTT, "-"), ""},
			{fmt.Sprintf("%d/%d", p.Answered, p.Sent), ""},
			{fmt.Sprint(p.Received), ""},
			{fmt.Sprint(p.Calls), ""},
			{cert, color},
		})
	}
	header, rows := l.withRegistrations(peers, []string{"PEER", "GROUP", "SIDE", "STATE", "SINCE", "RTT", "OPTIONS", "IN", "CALLS", "CERT"}, rows)
	l.table(w, header, rows)
	l.registrationTroubles(w, peers)
	for _, p := range peers {
		if p.Why != "" && p.State != "up" {
			fmt.Fprintf(w, "\n%s (%s %s) is %s:\n", l.paint(strong, plain(p.Peer)), plain(p.Transport), plain(p.Target), l.paint(peerColor(p.State), p.State))
			for _, line := range wrap(plain(p.Why), 76) {
				fmt.Fprintln(w, "  "+line)
			}
		}
	}
}

func (l look) since(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return lasting(l.now.Sub(t).Truncate(time.Second))
}

// certificate warns a month before the end: Microsoft warns tenants of an SBC
// certificate as early.
func (l look) certificate(p record.PeerHealth) (text, color string) {
	if p.CertEnds == nil {
		return "-", ""
	}
	left := p.CertEnds.Sub(l.now)
	switch {
	case left <= 0:
		return "expired", bad
	case left < 30*24*time.Hour:
		return lasting(left), notice
	}
	return lasting(left), ""
}

func peerColor(state string) string {
	switch state {
	case "up":
		return good
	case "down", "suspended":
		return bad
	}
	return notice
}
