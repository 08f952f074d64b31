package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link/record"
)

// NewPeer makes `tandem peer`: list, show, reconnect.
func NewPeer() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "peer",
		Short: "Look at the far sides the gateway is connected to",
		Long:  "Look at the far sides the gateway is connected to." + exitHelp,
		Args:  cobra.NoArgs,
		RunE:  needsSubcommand,
	}
	client := socketFlag(cmd)
	cmd.AddCommand(newPeerList(client), newPeerShow(client), newPeerReconnect(client))
	return cmd
}

func newPeerList(client func() *ops.Client) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the peers and how they stand",
		Long: `List the peers as this node sees them: state and since when, round trip of the
last OPTIONS answered, OPTIONS answered of those sent, OPTIONS received, live
calls, and how long the peer's certificate is still good. Below are our own
certificates, and what is wrong with either or soon will be.` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := client().PeerList(cmd.Context())
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return writeJSON(out, list.Peers)
			}
			if len(list.Peers) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "This node has no peers: name peer groups in the gateway's configuration.")
				return nil
			}
			lookOf(out).peerList(out, list)
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
	for _, column := range []string{"GROUP", "SIDE"} { // peer show has them
		if tableWidth(header, rows) > max(80, l.width) {
			i := slices.Index(header, column)
			header = slices.Delete(header, i, i+1)
			for k := range rows {
				rows[k] = slices.Delete(rows[k], i, i+1)
			}
		}
	}
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

// peerList is the table of peers with our certificates and the warnings.
func (l look) peerList(w io.Writer, list ops.PeerList) {
	l.peers(w, list.Peers)
	if len(list.Certificates) > 0 {
		var rows [][]cell
		for _, c := range list.Certificates {
			left, color := l.left(c.Ends)
			rows = append(rows, []cell{{plain(c.Name), ""}, {left, color}, {plain(cmp.Or(c.Root, c.Issuer)), ""}, {plain(strings.Join(c.Bears, " ")), ""}})
		}
		fmt.Fprintln(w)
		narrow := l
		narrow.width = cmp.Or(l.width, 80)
		narrow.table(w, []string{"OUR CERTIFICATE", "LEFT", "ROOT", "NAMES"}, rows)
	}
	if len(list.Warnings) > 0 {
		fmt.Fprintln(w)
	}
	for _, x := range list.Warnings {
		l.hanging(w, notice, "! "+x.Text)
	}
}

func newPeerShow(client func() *ops.Client) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show one peer: state, OPTIONS, TLS, certificate",
		Long:  "Show one peer: state, OPTIONS, TLS, certificate." + exitHelp,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := client().PeerList(cmd.Context())
			if err != nil {
				return err
			}
			i := slices.IndexFunc(list.Peers, func(p record.PeerHealth) bool { return p.Peer == args[0] })
			if i < 0 {
				return fault.New(fault.NotFound, "there is no peer "+args[0]+": see tandem peer list")
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return writeJSON(out, list.Peers[i])
			}
			lookOf(out).peer(out, list.Peers[i], list.Warnings)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON instead of text")
	return cmd
}

func (l look) peer(w io.Writer, p record.PeerHealth, warnings []ops.Warning) {
	state := p.State
	if !p.Since.IsZero() {
		state += " for " + l.since(p.Since)
	}
	fmt.Fprintf(w, "%s  %s\n", l.paint(strong, plain(p.Peer)), l.paint(peerColor(p.State), state))
	line := func(key, value string) {
		for i, part := range wrap(plain(value), 80-14) {
			if i > 0 {
				key = ""
			}
			fmt.Fprintf(w, "  %s%s\n", l.paint(quiet, pad(key, 12)), part)
		}
	}
	if p.Why != "" {
		line("why", p.Why)
	}
	line("group", p.Group+", "+string(p.Side)+" side")
	line("target", p.Transport+" "+p.Target)
	line("OPTIONS", fmt.Sprintf("%d of %d answered%s; %d received", p.Answered, p.Sent, within(p.RTT), p.Received))
	line("calls", fmt.Sprint(p.Calls))
	if r := p.Registration; r != nil {
		line("registered", l.registration(*r))
	}
	if t := p.TLS; t != nil {
		by := "we dialled"
		if t.Inbound {
			by = "it dialled"
		}
		line("TLS", t.Version+" "+t.Suite)
		line("connection", by+" "+t.Address+", "+l.when(t.Seen))
		line("names", strings.Join(t.Names, " "))
	}
	if p.CertEnds != nil {
		left, _ := l.certificate(p)
		line("certificate", left+" left, until "+p.CertEnds.In(l.zone).Format(time.DateOnly))
	}
	if t := p.TLS; t != nil {
		line("issuer", t.Issuer)
		line("root", p.CertRoot+", until "+t.RootEnds.In(l.zone).Format(time.DateOnly))
	}
	for _, x := range warnings {
		if x.About == p.Peer {
			l.hanging(w, notice, "! "+x.Text)
		}
	}
}

func within(rtt string) string {
	if rtt == "" {
		return ""
	}
	return ", the last within " + rtt
}

func newPeerReconnect(client func() *ops.Client) *cobra.Command {
	return &cobra.Command{
		Use:   "reconnect [PEER...]",
		Short: "Make the TLS connections of peers anew, without touching a call",
		Long: `Make the TLS connections of the peers named anew, or of all. A far side sees a
renewed certificate only on new connections. Each new one stands before the old one
is given up; what is under way ends on the old one, calls go on over the new. A
reload that brings a new certificate does this by itself.` + exitHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			done, err := client().Reconnect(cmd.Context(), args...)
			if err != nil {
				return err
			}
			if len(done) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "No TLS connection was open.")
			}
			return lookOf(cmd.OutOrStdout()).reconnected(cmd.OutOrStdout(), done)
		},
	}
}

// reconnected tells what became of each connection; the error counts those
// that could not be made anew.
func (l look) reconnected(w io.Writer, done []record.Reconnection) error {
	failed := 0
	for _, r := range done {
		switch {
		case r.Why != "":
			failed++
			l.hanging(w, bad, r.Peer+" "+r.Address+": kept as it is, for no new one could be had: "+r.Why)
		case r.Inbound:
			l.hanging(w, "", r.Peer+" "+r.Address+": ends when nothing is under way on it; the peer opens another")
		default:
			l.hanging(w, good, r.Peer+" "+r.Address+": made anew")
		}
	}
	if failed > 0 {
		return fmt.Errorf("%s could not be made anew", count(failed, "connection"))
	}
	return nil
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
	return l.left(*p.CertEnds)
}

// left is how long until then.
func (l look) left(end time.Time) (text, color string) {
	left := end.Sub(l.now)
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
