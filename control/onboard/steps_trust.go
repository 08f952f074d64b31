package onboard

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/link/record"
)

// checkTrust takes a person's word that both sides were seen to trust each
// other, and waits while no peer of the core that calls are sent to is up over
// TLS. Which roots the core believes in nobody sees from here.
func checkTrust(ctx context.Context, w *World) (Finding, error) {
	f, err := said("certificates", "Nobody has said that both sides were seen to trust each other")(ctx, w)
	if err != nil || w.Edges == nil {
		return f, err
	}
	peers, err := w.Edges.Peers(ctx, w.Subject.Gateway)
	if err != nil {
		return Finding{}, err
	}
	peers = slices.DeleteFunc(peers, func(p record.PeerHealth) bool { return p.Transport != "TLS" || p.Unused })
	up, why := 0, ""
	for _, p := range peers {
		state := p.State
		if p.State == "up" {
			up++
		} else if p.Why != "" {
			state += ": " + p.Why
			why = ": " + p.Peer + " is " + state
		}
		f.Evidence = append(f.Evidence, Is("TLS with "+p.Peer+" at "+p.Target, state))
	}
	switch {
	case len(peers) == 0: // by another transport, or before the core is configured
		f.Evidence = append(f.Evidence, Is("TLS", "no peer of the core is called over TLS"))
	case up == 0:
		f.State, f.By, f.Detail = Waiting, You, fmt.Sprintf("None of %d peers of the core is up over TLS%s", len(peers), why)
	default:
		f.Detail += fmt.Sprintf("; %d of %d peers of the core are up over TLS", up, len(peers))
	}
	return f, nil
}

// ourCertificates tells of the certificates that the core has to believe.
func (w *World) ourCertificates(ctx context.Context) (string, error) {
	if w.Edges == nil {
		return "", nil
	}
	all, err := w.Edges.Shown(ctx, w.Subject.Gateway)
	if err != nil || len(all) == 0 {
		return "", err
	}
	var b strings.Builder
	b.WriteString("\nThe gateway shows these certificates; the core has to believe in who issued them:\n")
	for _, edge := range slices.Sorted(maps.Keys(all)) {
		for _, c := range all[edge] {
			fmt.Fprintf(&b, "  %s: %s, issued by %s, serial number %s, until %s\n", edge, strings.Join(c.Bears, ", "), c.Issuer, c.Serial, c.Ends.UTC().Format("2006-01-02"))
		}
	}
	return b.String(), nil
}
