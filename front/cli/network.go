package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/tandemgw/tandem/control/design"
	"github.com/tandemgw/tandem/control/gateway"
)

// NewNetwork makes `tandem network`: check and draw.
func NewNetwork() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "network",
		Short: "Check and draw the operator's network design",
		Long: `Check and draw the network between the operator's sites and a gateway. The sites
and their connections are described in a document:

  sites:
    - {name: a, region: westeurope, signalling: [192.0.2.0/28],
       media: [192.0.2.16/28], allows: [203.0.113.0/28], crossConnect: [b]}
  connections:
    - {name: pni-1, site: a, region: westeurope, type: peering,
       bfd: {interval: 150, multiplier: 3, bgp: true}}

region is the service region that the site tries first, allows what its firewalls
let in from the gateway. A connection is peering, private, vpn or internet.
--gateway reads the gateway from the document of "tandem apply", so that a design
can be judged before there is one.` + connectionHelp + exitHelp,
		Args: cobra.NoArgs,
		RunE: needsSubcommand,
	}
	n := networkCommand{at: connectionFlags(cmd)}
	f := cmd.PersistentFlags()
	f.StringVarP(&n.file, "file", "f", "", "the document with sites and connections; - for standard input")
	f.StringVarP(&n.target.group, "resource-group", "g", "", "resource group of the gateway")
	f.StringVarP(&n.target.name, "name", "n", "", "name of the gateway")
	f.StringVar(&n.draft, "gateway", "", "instead of those two: the document of the gateway")
	cmd.AddCommand(n.check(), n.draw())
	return cmd
}

type networkCommand struct {
	at     *connection
	file   string
	target target
	draft  string // file with a gateway that need not be there; "" asks for the target
}

func (n *networkCommand) check() *cobra.Command {
	var asJSON, noProbe bool
	cmd := &cobra.Command{
		Use:   "check -f FILE {-g GROUP -n NAME | --gateway FILE}",
		Short: "Hold a network design against the requirements",
		Long: `Hold a network design against what the connection to the cloud's voice services
requires, and try what can be reached from here: the names of the regions and the
listeners behind them. What fails is an error; warnings are not.` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, g, err := n.read(cmd)
			if err != nil {
				return err
			}
			found := design.Check(d, g)
			if !noProbe {
				found = append(found, probe(cmd.Context(), g)...)
			}
			out := cmd.OutOrStdout()
			if asJSON {
				err = writeJSON(out, found)
			} else {
				lookOf(out).findings(out, found)
			}
			if err == nil && design.Worst(found) == design.Fail {
				return errors.New("the network does not meet the requirements")
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON instead of a list")
	cmd.Flags().BoolVar(&noProbe, "no-probe", false, "judge the documents only")
	return cmd
}

func (n *networkCommand) draw() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "draw -f FILE {-g GROUP -n NAME | --gateway FILE}",
		Short: "Draw a network design as SVG, with what fails in red",
		Long:  "Draw a network design as SVG, with what fails in red and what is unwise in amber." + exitHelp,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, g, err := n.read(cmd)
			if err != nil {
				return err
			}
			svg := design.Draw(d, g, design.Check(d, g))
			if to == "" {
				_, err = io.WriteString(cmd.OutOrStdout(), svg)
				return err
			}
			if err := os.WriteFile(to, []byte(svg), 0o644); err != nil {
				return fmt.Errorf("write the picture: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "file to write; without it standard output")
	return cmd
}

// read reads the document and the gateway, and sees that they fit together.
func (n *networkCommand) read(cmd *cobra.Command) (d design.Design, g gateway.Gateway, err error) {
	switch named := n.target.group != "" || n.target.name != ""; {
	case n.draft != "" && named:
		return d, g, usagef("name the gateway by --resource-group and --name, or give its document by --gateway, not both")
	case n.file == "" || n.draft == "" && (n.target.group == "" || n.target.name == ""):
		return d, g, usagef("required flag(s) \"file\", \"resource-group\", \"name\" not set")
	case n.draft == "-" && n.file == "-":
		return d, g, usagef("standard input is one document: write a file for the other")
	}
	var data []byte
	if n.file == "-" {
		data, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxPage))
	} else {
		data, err = os.ReadFile(n.file)
	}
	if err != nil {
		return d, g, usagef("read the document: %v", err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&d); err != nil {
		return d, g, usagef("%s: %s", n.file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if n.draft != "" {
		g, err = draft(cmd.InOrStdin(), n.draft)
	} else {
		g, err = n.gateway(cmd.Context())
	}
	if err != nil {
		return d, g, err
	}
	if problems := d.Problems(g); problems != nil {
		return d, g, usagef("%s:\n  %s", n.file, strings.Join(problems, "\n  "))
	}
	return d, g, nil
}

// draft reads a gateway from its document.
func draft(in io.Reader, file string) (g gateway.Gateway, err error) {
	doc, err := readDocument(in, file)
	if err != nil {
		return g, err
	}
	data, err := json.Marshal(doc.gateway())
	if err == nil {
		err = json.Unmarshal(data, &g)
	}
	if err != nil {
		return g, usagef("%s: %v", file, err)
	}
	g.Name = doc.Name
	return gateway.Default(g), nil
}

// gateway reads the resource.
func (n *networkCommand) gateway(ctx context.Context) (g gateway.Gateway, err error) {
	r, err := n.at.open()
	if err != nil {
		return g, err
	}
	scope, err := r.scope(ctx)
	if err != nil {
		return g, err
	}
	path := scope + "/resourceGroups/" + url.PathEscape(n.target.group) + gatewaysPath + "/" + url.PathEscape(n.target.name)
	a, err := r.do(ctx, http.MethodGet, version(path), nil)
	if err != nil {
		return g, err
	}
	data, err := json.Marshal(a.body)
	if err == nil {
		err = json.Unmarshal(data, &g)
	}
	if err != nil {
		return g, fmt.Errorf("read the gateway: %w", err)
	}
	return g, nil
}

// errUDP is why a listener without TCP is not tried: it answers those that the
// gateway lets in, and this machine may be none of them.
var errUDP = errors.New("UDP only: send OPTIONS from the core")

// probeTime is how long a far end may take.
const probeTime = 3 * time.Second

// probe tries what can be reached from this machine. Not reaching it fails
// nothing: the path that counts begins at the sites.
func probe(ctx context.Context, g gateway.Gateway) []design.Finding {
	var mu sync.Mutex
	var missed []string
	var wait sync.WaitGroup
	tried := 0
	try := func(what string, f func(context.Context) error) {
		tried++
		wait.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, probeTime)
			defer cancel()
			if err := f(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				missed = append(missed, what+": "+reason(err))
			}
		})
	}
	for _, l := range g.Properties.ServiceLocations {
		if l.ACGContactInfo == nil {
			continue
		}
		for _, c := range l.ACGContactInfo.PeerGroups {
			if name := c.SRVRecord; name != "" {
				try(name, func(ctx context.Context) error {
					_, _, err := net.DefaultResolver.LookupSRV(ctx, "", "", name)
					return err
				})
			}
			for _, ip := range c.IPAddresses {
				at := net.JoinHostPort(ip, strconv.Itoa(c.Port))
				if strings.HasPrefix(c.SRVRecord, "_sip._udp.") {
					try(l.Name+" at "+at, func(context.Context) error { return errUDP })
					continue
				}
				try(l.Name+" at "+at, func(ctx context.Context) error {
					conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
					if err == nil {
						err = conn.Close()
					}
					return err
				})
			}
		}
	}
	wait.Wait()
	f := design.Finding{Requirement: "the regions' names and listeners answer from here", Verdict: design.Pass}
	switch {
	case tried == 0:
		f.Verdict, f.Detail = design.Unknown, "the gateway does not say where it is met yet"
	case missed != nil:
		slices.Sort(missed)
		f.Verdict, f.Detail = design.Unknown, strings.Join(missed, "; ")
	}
	return []design.Finding{f}
}

// reason is the end of a chain of network errors.
func reason(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err.Error()
	}
	if d, ok := errors.AsType[*net.DNSError](err); ok {
		return d.Err
	}
	return err.Error()
}

// findings is the list for people.
func (l look) findings(w io.Writer, found []design.Finding) {
	marks := map[design.Verdict]cell{design.Pass: {"pass", good}, design.Warning: {"warn", notice}, design.Fail: {"FAIL", bad}, design.Unknown: {"?", quiet}}
	for _, f := range found {
		m := marks[f.Verdict]
		fmt.Fprintf(w, "%s  %s\n", l.paint(m.color, pad(m.text, 4)), f.Requirement)
		for _, line := range wrap(plain(f.Detail), 74) {
			fmt.Fprintln(w, "      "+line)
		}
	}
}
