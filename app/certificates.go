package app

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/publish"
	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link/record"
)

// identity is a certificate of ours as others see it.
type identity struct {
	name   string // where it is configured
	leaf   *x509.Certificate
	root   *x509.Certificate // that its chain ends in; nil when it leads nowhere
	public bool              // by an authority that the system trusts
	gap    string            // what the chain lacks, "" when it is complete

	managed bool // control renews it
}

// identify looks at our certificates as a far side does.
func (r *running) identify() {
	for _, name := range slices.Sorted(maps.Keys(r.certificates)) {
		var chain []*x509.Certificate
		for _, der := range r.certificates[name].Certificate {
			if c, err := x509.ParseCertificate(der); err == nil {
				chain = append(chain, c)
			}
		}
		if len(chain) > 0 {
			id := identify(name, chain, r.trusted[sipRoots])
			id.managed = r.keeper != nil && r.certificates[name] == r.keeper.Certificate()
			r.identities = append(r.identities, id)
		}
	}
}

// identify follows a chain to the system's roots, or to those the node trusts:
// the far side's are not ours to know.
func identify(name string, chain, trusted []*x509.Certificate) identity {
	id := identity{name: name, leaf: chain[0]}
	between, own := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	for _, c := range trusted {
		own.AddCert(c)
	}
	var err error
	for _, roots := range []*x509.CertPool{nil, own} {
		var found [][]*x509.Certificate
		found, err = chain[0].Verify(x509.VerifyOptions{
			Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
			CurrentTime: chain[0].NotAfter, // what has ended is another matter
		})
		if err == nil {
			id.root, id.public = found[0][len(found[0])-1], roots == nil
			return id
		}
	}
	// What a chain of several certificates ends in is likely a root that we do
	// not know; what signed a lone one is most often an intermediate.
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok && len(chain) == 1 && chain[0].CheckSignatureFrom(chain[0]) != nil {
		id.gap = chain[0].Issuer.CommonName
	}
	return id
}

// shownCertificates are those we show, for the control socket.
func (n *Node) shownCertificates() (all []ops.Certificate) {
	now := n.running.Load()
	if now == nil {
		return nil
	}
	for _, id := range now.identities {
		c := ops.Certificate{Name: id.name, Bears: strings.Split(bearing(id.leaf), ", "), Issuer: id.leaf.Issuer.CommonName, Ends: id.leaf.NotAfter}
		if id.root != nil {
			c.Root = id.root.Subject.CommonName
		}
		all = append(all, c)
	}
	return all
}

// warnings are all that is to be said of certificates now.
func (n *Node) warnings(at time.Time) (all []ops.Warning) {
	now := n.running.Load()
	if now == nil || !n.ready.Load() {
		return nil
	}
	for _, id := range now.identities {
		all = append(all, id.warnings(at)...)
	}
	if n.cfg.edge() {
		for _, p := range n.peers.Health() {
			all = append(all, ofPeer(p, at)...)
		}
	}
	return slices.Concat(all, now.missingRoots(), n.certificateTrouble(at), n.secretTrouble(at), n.outsideTrouble(at), n.vaultTrouble(at), n.warningsUp(at))
}

// warnings are those of one certificate of ours.
func (id identity) warnings(at time.Time) (all []ops.Warning) {
	add := func(cause, format string, args ...any) {
		all = append(all, ops.Warning{About: id.name, Cause: cause, Text: "our certificate of " + id.name + " " + fmt.Sprintf(format, args...)})
	}
	switch cause, when := ending(id.leaf.NotAfter, at); {
	case id.managed && id.late(at):
		add(cmp.Or(cause, "late"), "ends on %s and should have been renewed by now: see on the control node why it was not", day(id.leaf.NotAfter))
	case !id.managed && cause != "":
		add(cause, "%s: renew it and run tandem reload", when)
	}
	switch {
	case id.gap != "":
		add("chain", "is sent with an incomplete chain: append the certificate of %s to its file, or far sides refuse it now and then", id.gap)
	case id.root == nil:
		add("root", "leads to no public root and to none of sip.roots: a far side trusts it only if it was told to")
	}
	switch client := usable(id.leaf, x509.ExtKeyUsageClientAuth); {
	case !client:
		add("usage", "is for servers only (no clientAuth among its extended key usages): a far side that demands it of who dials refuses our connections")
	case id.public && len(id.leaf.ExtKeyUsage) > 0:
		// Browsers' root programmes end clientAuth in public certificates in
		// June 2026.
		add("usage", "has the extended key usage clientAuth, which public authorities give no more: the next one will lack it, so see that far sides do not demand it")
	}
	return all
}

func usable(c *x509.Certificate, u x509.ExtKeyUsage) bool {
	return len(c.ExtKeyUsage) == 0 || slices.Contains(c.ExtKeyUsage, u) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// ofPeer are the warnings of one peer's certificate.
func ofPeer(p record.PeerHealth, at time.Time) (all []ops.Warning) {
	if p.CertEnds != nil {
		if cause, when := ending(*p.CertEnds, at); cause != "" {
			all = append(all, ops.Warning{About: p.Peer, Cause: cause, Text: "the certificate of peer " + p.Peer + " " + when + ": have the peer renew it"})
		}
	}
	if p.TLS != nil {
		if cause, when := ending(p.TLS.RootEnds, at); cause != "" {
			all = append(all, ops.Warning{About: p.Peer, Cause: "root " + cause, Text: "the root of peer " + p.Peer + ", " + p.CertRoot + ", " + when + ": add the one that it will change to"})
		}
	}
	return all
}

// ending says that a certificate ends soon. The cause changes when a limit is
// passed, so that each is said at once.
func ending(end, at time.Time) (cause, when string) {
	left := end.Sub(at)
	if left <= 0 {
		return "ended", "ended on " + day(end)
	}
	for _, days := range []int{7, 14, 30} {
		if left <= time.Duration(days)*24*time.Hour {
			return fmt.Sprintf("ends %d", days), fmt.Sprintf("ends in %s, on %s", inDays(left), day(end))
		}
	}
	return "", ""
}

func inDays(d time.Duration) string {
	switch n := int(d / (24 * time.Hour)); n {
	case 0:
		return "less than a day"
	case 1:
		return "1 day"
	default:
		return fmt.Sprintf("%d days", n)
	}
}

// facesMicrosoft tells whether peers are Microsoft's own proxies, not a lab's.
func (r *running) facesMicrosoft() bool {
	for _, p := range r.snapshot.Peers() {
		if strings.HasSuffix(p.Host, ".pstnhub.microsoft.com") {
			return true
		}
	}
	return false
}

// missingRoots warns of authorities that Microsoft may change to and that
// nobody here would trust. What the system trusts cannot be listed.
func (r *running) missingRoots() []ops.Warning {
	list, where := r.trusted[publish.TeamsTLS+".roots"], publish.TeamsTLS+".roots"
	if list == nil {
		list, where = r.trusted[sipRoots], sipRoots
	}
	if list == nil || !r.facesMicrosoft() {
		return nil
	}
	missing := slices.DeleteFunc(slices.Clone(publish.MicrosoftRoots), func(name string) bool {
		return slices.ContainsFunc(list, func(c *x509.Certificate) bool { return strings.EqualFold(c.Subject.CommonName, name) })
	})
	if len(missing) == 0 {
		return nil
	}
	return []ops.Warning{{
		About: where, Cause: "root " + strings.Join(missing, ", "),
		Text: where + " lacks " + strings.Join(missing, ", ") + ", to which Microsoft may change: add them, or the trunk ends with that change",
	}}
}

// watchCertificates says each warning once a day.
func (n *Node) watchCertificates() {
	said := obs.NewLimiter(24 * time.Hour)
	look := time.NewTicker(time.Minute)
	defer look.Stop()
	for {
		for _, w := range n.warnings(time.Now()) {
			if fresh, _ := said.Allow(w.About + "\n" + w.Cause); fresh {
				n.log.Warn(w.Text, "about", w.About, obs.KeyCause, w.Cause)
			}
		}
		select {
		case <-look.C:
		case <-n.life.Done():
			return
		}
	}
}
