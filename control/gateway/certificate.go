package gateway

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/zone"
	"github.com/tandemgw/tandem/link"
)

// names are those that certificates of a region bear, by side of the listener.
func (s *Set) names(r *row, region, side string) (names []string) {
	n := r.number(region)
	if side != "cloud" {
		names = append(names, zone.RegionName(s.base(r), n))
		if r.Properties.IntegratedMCPEnabled {
			names = append(names, zone.MCPName(s.base(r), n))
		}
		return names
	}
	for _, b := range append([]string{s.base(r)}, delegated(r.Gateway)...) {
		names = append(names, zone.CloudName(b, n))
		if slices.Contains(r.Properties.Platforms, directRouting) {
			names = append(names, "*."+zone.CloudName(b, n))
		}
	}
	return names
}

// applyCertificates: what the edges show bears the names that the far sides
// call.
func (s *Set) applyCertificates(ctx context.Context, job *operation.Job, r *row) error {
	mine, status, err := s.nodes(ctx, r)
	if err != nil {
		return err
	}
	for _, a := range mine {
		var inTheWay error
		if s.cfg.Certificates != nil {
			inTheWay = s.cfg.Certificates.Order(ctx, a.node, s.ordered(r, a.region))
		}
		for _, l := range status[a.node].Listeners {
			why := lacks(l, s.names(r, a.region, l.Side))
			if why == "" {
				continue
			}
			message := fmt.Sprintf("listener %s of edge %s %s", l.Name, a.node, why)
			if fault.Of(inTheWay) == fault.Conflict && waited(job) > s.cfg.Patience/30 {
				// Files come from a person, in no time that anybody knows.
				return operation.Fail(codeCertificate, message+"; the change goes on by itself when the edge shows that")
			}
			if f, ok := errors.AsType[*fault.Error](inTheWay); ok && f.Public != "" {
				message = f.Public + " (" + message + ")"
			}
			return s.patience(job, codeCertificate, message)
		}
	}
	return nil
}

// certified tells that no listener of a gateway's edges lacks a name.
func (s *Set) certified(r *row, mine []assignment, status map[string]link.EdgeStatus) bool {
	for _, a := range mine {
		for _, l := range status[a.node].Listeners {
			if lacks(l, s.names(r, a.region, l.Side)) != "" {
				return false
			}
		}
	}
	return true
}

// ordered are the names of a certificate that is ordered for an edge: those that
// it needs, and those that it may need when a service is added.
func (s *Set) ordered(r *row, region string) []string {
	names := zone.CertificateNames(s.base(r), r.number(region))
	return append(names, s.names(r, region, "cloud")...)
}

// lacks tells what is wrong with the certificate of a listener, "" for nothing.
func lacks(l link.Listener, names []string) string {
	if l.Transport != "tls" {
		return ""
	}
	c := l.Certificate
	if c == nil {
		return "has no certificate: it needs one for " + strings.Join(names, ", ")
	}
	var missing []string
	leaf := x509.Certificate{DNSNames: c.Bears}
	for _, n := range names {
		if !slices.ContainsFunc(c.Bears, func(b string) bool { return strings.EqualFold(b, n) }) && (n[0] == '*' || leaf.VerifyHostname(n) != nil) {
			missing = append(missing, n)
		}
	}
	switch {
	case len(missing) > 0:
		return fmt.Sprintf("shows a certificate for %s, which lacks %s: order one that bears all its names", strings.Join(c.Bears, ", "), strings.Join(missing, ", "))
	case time.Now().After(c.Ends):
		return "shows a certificate that ended at " + clock(c.Ends) + ": renew it"
	case time.Now().Before(c.Begins):
		return "shows a certificate that begins only at " + clock(c.Begins) + ": see to the clocks"
	}
	return ""
}
