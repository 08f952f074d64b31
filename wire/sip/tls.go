package sip

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// identify finds the one of remotes whose policy the peer's certificate
// fulfils. host is the name we dialled, "" inbound.
func identify(cs tls.ConnectionState, remotes []*Remote, host string) (*Remote, []*x509.Certificate, error) {
	if len(cs.PeerCertificates) == 0 {
		for _, r := range remotes {
			if p := r.policy(); p.Anonymous && p.agreed(cs) == nil {
				return r, nil, nil
			}
		}
	}
	var why []string
	for _, r := range remotes {
		chain, err := r.policy().verify(cs, host)
		switch {
		case err == nil:
			return r, chain, nil
		case len(remotes) == 1:
			return nil, nil, err
		}
		why = append(why, "as "+r.Name+": "+err.Error())
	}
	return nil, nil, errors.New("the certificate fits none of the peers admitted from this address; " + strings.Join(why, "; "))
}

// verify checks the certificate against the policy and gives the chain, leaf
// first. The error is one sentence: what was found, what was wanted, what to
// do.
func (p *TLSPolicy) verify(cs tls.ConnectionState, host string) ([]*x509.Certificate, error) {
	certs := cs.PeerCertificates
	if len(certs) == 0 {
		return nil, errors.New("the peer presented no certificate: mutual TLS needs one on its side")
	}
	if err := p.agreed(cs); err != nil {
		return nil, err
	}
	chain, err := p.chain(certs)
	if err != nil {
		return nil, err
	}
	wanted := p.Names
	if len(wanted) == 0 && host != "" {
		wanted = []string{host}
	}
	if len(wanted) == 0 {
		if p.Roots == nil {
			// Every customer of a public CA would pass.
			return nil, errors.New("no name is configured for this peer and its root is a public one: configure the names its certificate carries")
		}
		return chain, nil
	}
	found := namesOf(certs[0])
	for _, w := range wanted {
		if slices.ContainsFunc(found, func(f string) bool { return matches(f, w) }) {
			return chain, nil
		}
	}
	return nil, fmt.Errorf("certificate %s is for %s, wanted is %s: correct the names of this peer, or have it present the right certificate",
		describe(chain), list(found), list(wanted))
}

// agreed checks the version and the suite. A handshake from an address that
// several peers share offers what any of them may speak.
func (p *TLSPolicy) agreed(cs tls.ConnectionState) error {
	least := max(tls.VersionTLS12, p.MinVersion)
	switch {
	case cs.Version < least:
		return fmt.Errorf("the peer speaks %s and must speak %s at least: raise it there, or lower the minimum of this peer",
			tls.VersionName(cs.Version), tls.VersionName(least))
	case p.MaxVersion != 0 && cs.Version > p.MaxVersion:
		return fmt.Errorf("%s was agreed on and %s is the newest that this peer may speak: correct one of the two",
			tls.VersionName(cs.Version), tls.VersionName(p.MaxVersion))
	case cs.Version == tls.VersionTLS12 && !slices.Contains(p.suites(), cs.CipherSuite):
		return fmt.Errorf("%s was agreed on and is not among the suites of this peer: add it, or take it away there", tls.CipherSuiteName(cs.CipherSuite))
	}
	return nil
}

// chain verifies up to a root. Any extended key usage will do: a serverAuth
// certificate is what Microsoft and others present as a client.
func (p *TLSPolicy) chain(certs []*x509.Certificate) ([]*x509.Certificate, error) {
	between := x509.NewCertPool()
	for _, c := range certs[1:] {
		between.AddCert(c)
	}
	chains, err := certs[0].Verify(x509.VerifyOptions{
		Roots: p.Roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err == nil {
		return chains[0], nil
	}
	last := certs[len(certs)-1]
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		c := cmp.Or(invalid.Cert, certs[0])
		if now := time.Now(); now.Before(c.NotBefore) {
			return nil, fmt.Errorf("certificate %s: %q is valid only from %s: set the clocks right, or wait", describe(certs), nameOf(c), date(c.NotBefore))
		}
		return nil, fmt.Errorf("certificate %s: %q expired on %s: have the peer renew it", describe(certs), nameOf(c), date(c.NotAfter))
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		if selfSigned(last) {
			return nil, fmt.Errorf("certificate %s ends in %q, which is not among the roots trusted for this peer: add that root if it is the right one",
				describe(certs), nameOf(last))
		}
		return nil, fmt.Errorf("certificate %s needs %q, which was neither sent nor is a root trusted for this peer: add it if it is the root, have the peer send it if it is an intermediate",
			describe(certs), commonName(last.Issuer.CommonName, last.Issuer.String()))
	}
	return nil, fmt.Errorf("certificate %s is not acceptable: %w", describe(certs), err)
}

// describe is subject ← issuer ← …, with the end of the leaf.
func describe(chain []*x509.Certificate) string {
	var b strings.Builder
	b.WriteByte('(')
	for i, c := range chain {
		if i > 0 {
			b.WriteString(" ← ")
		}
		b.WriteString(nameOf(c))
	}
	if last := chain[len(chain)-1]; !selfSigned(last) {
		b.WriteString(" ← " + commonName(last.Issuer.CommonName, last.Issuer.String()))
	}
	b.WriteString(", valid until " + date(chain[0].NotAfter) + ")")
	return b.String()
}

func nameOf(c *x509.Certificate) string {
	if c.Subject.CommonName == "" && len(c.DNSNames) > 0 {
		return c.DNSNames[0]
	}
	return commonName(c.Subject.CommonName, c.Subject.String())
}

func commonName(cn, whole string) string { return cmp.Or(cn, whole, "unnamed") }

func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func selfSigned(c *x509.Certificate) bool { return slices.Equal(c.RawIssuer, c.RawSubject) }

// namesOf are the identities of a certificate: DNS names, the hosts of sip
// URIs (RFC 5922 section 7.1), addresses; the common name only without those.
func namesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, u := range c.URIs {
		// sip:example.com is opaque to net/url. A URI with a user names a
		// person, not a domain.
		if strings.EqualFold(u.Scheme, "sip") && u.Opaque != "" && !strings.Contains(u.Opaque, "@") {
			names = append(names, u.Opaque)
		}
	}
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 && c.Subject.CommonName != "" {
		names = append(names, c.Subject.CommonName)
	}
	return names
}

// matches compares a name of a certificate with a wanted one: equal but for
// case, or a wildcard that stands for the whole left-most label (RFC 6125,
// and what Microsoft Teams documents for its trunks).
func matches(found, wanted string) bool {
	found, wanted = strings.TrimSuffix(found, "."), strings.TrimSuffix(wanted, ".")
	if suffix, ok := strings.CutPrefix(found, "*."); ok {
		_, domain, ok := strings.Cut(wanted, ".")
		return ok && strings.Contains(suffix, ".") && strings.EqualFold(suffix, domain)
	}
	return wanted != "" && strings.EqualFold(found, wanted)
}

func list(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	const most = 5
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, " or ")
}

// PeerCertificate is what a peer last proved itself with.
type PeerCertificate struct {
	Remote   *Remote
	Inbound  bool // on a connection it opened
	Addr     netip.AddrPort
	Names    []string
	NotAfter time.Time // of the leaf
	Issuer   string
	Root     string // the root the chain ended in
	RootEnds time.Time
	Version  string // "TLS 1.3"
	Suite    string // "TLS_AES_128_GCM_SHA256"
	Seen     time.Time
}

// PeerCertificates gives the last certificate of each remote and direction.
func (s *Stack) PeerCertificates() []PeerCertificate {
	s.facts.mu.Lock()
	defer s.facts.mu.Unlock()
	out := make([]PeerCertificate, 0, len(s.facts.last))
	for _, f := range s.facts.last {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b PeerCertificate) int {
		if c := cmp.Compare(a.Remote.Name, b.Remote.Name); c != 0 || a.Inbound == b.Inbound {
			return c
		}
		if a.Inbound {
			return 1
		}
		return -1
	})
	return out
}

// facts are the certificates last seen; there are as many as remotes, twice.
type facts struct {
	mu   sync.Mutex
	last map[factKey]PeerCertificate // mu
}

type factKey struct {
	remote  *Remote
	inbound bool
}

func (f *facts) note(r *Remote, c *stream, cs tls.ConnectionState, chain []*x509.Certificate) {
	leaf, root := chain[0], chain[len(chain)-1]
	p := PeerCertificate{
		Remote: r, Inbound: c.key.l == nil, Addr: c.addr, Names: namesOf(leaf), NotAfter: leaf.NotAfter,
		Issuer: commonName(leaf.Issuer.CommonName, leaf.Issuer.String()), Root: nameOf(root), RootEnds: root.NotAfter,
		Version: tls.VersionName(cs.Version), Suite: tls.CipherSuiteName(cs.CipherSuite), Seen: time.Now(),
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last == nil {
		f.last = map[factKey]PeerCertificate{}
	}
	f.last[factKey{r, p.Inbound}] = p
}
