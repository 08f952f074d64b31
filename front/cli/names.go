package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/certificate"
	"github.com/tandemgw/tandem/front/ops"
)

// NewCertificate makes `tandem certificate`: list, request, install, retry.
func NewCertificate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "certificate",
		Short: "See to the certificates of edges",
		Long: `See to the certificates of edges whose listeners say {managed: true}. Their keys
are made on the edges and stay there. Where no authority signs by ACME, take the
request, have it signed, and bring the chain.` + exitHelp,
		Args: cobra.NoArgs,
		RunE: needsSubcommand,
	}
	client := socketFlag(cmd)
	cmd.AddCommand(newCertificateList(client), newCertificateRequest(client), newCertificateInstall(client), newCertificateRetry(client))
	return cmd
}

func newCertificateList(client func() *ops.Client) *cobra.Command {
	return listCommand("List the certificates of edges and how they stand", "No edge serves a gateway yet, so none needs a certificate.",
		func(ctx context.Context) ([]ops.EdgeCertificate, error) { return client().EdgeCertificates(ctx) }, look.edgeCertificates)
}

func (l look) edgeCertificates(w io.Writer, list []ops.EdgeCertificate) {
	var rows [][]cell
	for _, c := range list {
		left, color := "-", ""
		if !c.Ends.IsZero() {
			left, color = l.left(c.Ends)
		}
		rows = append(rows, []cell{{plain(c.Node), strong}, {plain(c.State), standingColor(c.State)}, {left, color}, {plain(strings.Join(c.Names, " ")), ""}})
	}
	narrow := l
	narrow.width = cmp.Or(l.width, 80)
	narrow.table(w, []string{"EDGE", "STATE", "LEFT", "NAMES"}, rows)
	for _, c := range list {
		text := c.Problem
		if c.State == string(certificate.Waiting) {
			text = "have its request signed (tandem certificate request " + c.Node + ") and bring the chain (tandem certificate install " + c.Node + " FILE)"
		}
		if text != "" {
			l.hanging(w, notice, "! "+c.Node+": "+text)
		}
	}
}

func standingColor(state string) string {
	switch certificate.State(state) {
	case certificate.Shown, certificate.Files:
		return good
	case certificate.Failing:
		return bad
	}
	return notice
}

func newCertificateRequest(client func() *ops.Client) *cobra.Command {
	return &cobra.Command{
		Use:   "request EDGE",
		Short: "Write the request that an edge wants to have signed",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := client().EdgeCertificates(cmd.Context())
			if err != nil {
				return err
			}
			for _, c := range list {
				switch {
				case c.Node != args[0]:
				case c.Request == "":
					return fault.New(fault.NotFound, "edge "+c.Node+" has nothing to be signed now: its certificate is "+c.State)
				default:
					_, err := io.WriteString(cmd.OutOrStdout(), c.Request)
					return err
				}
			}
			return fault.New(fault.NotFound, "no certificate is wanted for edge "+args[0])
		},
	}
}

func newCertificateInstall(client func() *ops.Client) *cobra.Command {
	return &cobra.Command{
		Use:   "install EDGE FILE",
		Short: "Bring the chain that an edge's request was signed with",
		Long: `Bring the chain that an edge's request was signed with: a PEM file, the edge's
certificate first, then each issuer; - reads standard input. It is checked, sent
to the edge and shown from the next handshake on.` + exitHelp,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			chain, err := readAll(cmd.InOrStdin(), args[1])
			if err != nil {
				return err
			}
			if err := client().Install(cmd.Context(), args[0], chain); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "The certificate of %s is on its way to it.\n", args[0])
			return nil
		},
	}
}

func newCertificateRetry(client func() *ops.Client) *cobra.Command {
	return &cobra.Command{
		Use:   "retry EDGE",
		Short: "Try again now what failed: its cause is mended",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return client().Retry(cmd.Context(), args[0])
		},
	}
}

// maxFile bounds what is read: a chain has some kilobytes.
const maxFile = 1 << 20

func readAll(stdin io.Reader, file string) (string, error) {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer f.Close()
		stdin = f
	}
	text, err := io.ReadAll(io.LimitReader(stdin, maxFile))
	return string(text), err
}

// NewZone makes `tandem zone`: list, add, remove.
func NewZone() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "zone",
		Short: "See to the TXT records of gateways' zones",
		Long: `See to the TXT records of gateways' zones: tokens by which somebody proves that a
name is theirs. All other records are made of the gateways.` + exitHelp,
		Args: cobra.NoArgs,
		RunE: needsSubcommand,
	}
	client := socketFlag(cmd)
	cmd.AddCommand(newZoneList(client), newZoneChange(client, "add", "Publish a TXT record", (*ops.Client).AddText), newZoneChange(client, "remove", "Take a TXT record away", (*ops.Client).RemoveText))
	return cmd
}

func newZoneList(client func() *ops.Client) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list [NAME]",
		Short: "List TXT records, all or those at a name and below",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := client().Texts(cmd.Context(), strings.Join(args, ""))
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return writeJSON(out, list)
			}
			var rows [][]cell
			for _, t := range list {
				rows = append(rows, []cell{{plain(t.Name), strong}, {plain(t.Value), ""}})
			}
			if len(rows) > 0 {
				lookOf(out).table(out, []string{"NAME", "TXT"}, rows)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON instead of a table")
	return cmd
}

func newZoneChange(client func() *ops.Client, verb, short string, do func(*ops.Client, context.Context, ops.Text) error) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " NAME VALUE",
		Short:   short,
		Example: "  tandem zone " + verb + " contoso.1r1.a1b2c3d4.gateways.telecom.example MS=ms12345678",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return do(client(), cmd.Context(), ops.Text{Name: args[0], Value: args[1]})
		},
	}
}
