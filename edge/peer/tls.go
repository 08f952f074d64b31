package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"sync"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/wire/sip"
)

// tlsVersions are the versions by the names that snapshots give them.
var tlsVersions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// policy is what the peer's connections are held to.
func (s *Set) policy(m *member, t *table) *sip.TLSPolicy {
	want := m.Group.TLS
	p := &sip.TLSPolicy{
		Names: m.names(), Roots: t.Roots, Anonymous: want.Anonymous,
		MinVersion: tlsVersions[want.Min], MaxVersion: tlsVersions[want.Max],
	}
	for _, name := range want.Suites {
		if id, ok := sip.ParseSuite(name); ok {
			p.Suites = append(p.Suites, id)
		}
	}
	if want.Roots != "" {
		p.Roots = x509.NewCertPool()
		if !p.Roots.AppendCertsFromPEM([]byte(want.Roots)) {
			s.cfg.Log.Error("the roots of a peer group hold no certificate: nobody is trusted for it", obs.KeyGroup, m.Group.Name)
		}
	}
	if want.Certificate != "" && s.cfg.Certificate != nil {
		p.Certificate = func() (*tls.Certificate, error) { return s.cfg.Certificate(want.Certificate) }
	}
	return p
}

// demand holds the peer to a policy from now on, and tells whether it replaces
// another one.
func (st *standing) demand(p *sip.TLSPolicy) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	old := st.policy
	st.policy = p
	st.remote.SetTLS(*p)
	return old != nil && !samePolicy(old, p)
}

func samePolicy(a, b *sip.TLSPolicy) bool {
	return slices.Equal(a.Names, b.Names) && slices.Equal(a.Suites, b.Suites) &&
		a.MinVersion == b.MinVersion && a.MaxVersion == b.MaxVersion && a.Anonymous == b.Anonymous &&
		(a.Certificate == nil) == (b.Certificate == nil) && sameRoots(a.Roots, b.Roots)
}

func sameRoots(a, b *x509.CertPool) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(b)
}

// Reconnect replaces the TLS connections of the peers named, or of all, and
// asks each peer over the new ones how it is: only on new connections is a
// renewed certificate seen. What is under way ends on the old ones.
func (s *Set) Reconnect(ctx context.Context, names ...string) ([]record.Reconnection, error) {
	t, stack := s.table.Load(), s.stack.Load()
	if stack == nil {
		return nil, fault.New(fault.Unavailable, "the node is still starting; try again in a moment")
	}
	chosen := map[*sip.Remote]*member{}
	for _, name := range names {
		switch m := t.byName[name]; {
		case m == nil:
			return nil, fault.New(fault.NotFound, "there is no peer "+name+": see tandem peer list")
		case m.transport != sip.TLS:
			return nil, fault.New(fault.Invalid, "peer "+name+" speaks "+m.Transport+": only TLS connections are made anew")
		default:
			chosen[m.remote] = m
		}
	}
	if len(names) == 0 {
		for _, m := range t.order {
			chosen[m.remote] = m
		}
	}
	done := stack.Reconnect(ctx, func(l *sip.Listener, r *sip.Remote) bool {
		return l.Transport == sip.TLS && chosen[r] != nil
	})
	var asking sync.WaitGroup
	for _, m := range chosen {
		if m.used() && m.transport == sip.TLS {
			asking.Go(func() { s.probe(ctx, m) })
		}
	}
	asking.Wait()
	var all []record.Reconnection
	for _, r := range done {
		all = append(all, reconnection(r, chosen[r.Remote]))
	}
	return all, nil
}

func reconnection(r sip.Reconnection, m *member) record.Reconnection {
	out := record.Reconnection{Peer: m.Name, Address: r.Addr.String(), Inbound: r.Inbound}
	if r.Err != nil {
		out.Why = Explain(r.Err, &m.Known)
	}
	return out
}

// agreed is the newest handshake with a peer, for those who watch.
func agreed(p sip.PeerCertificate) *record.TLS {
	return &record.TLS{
		Version: p.Version, Suite: p.Suite, Names: p.Names, Issuer: p.Issuer, RootEnds: p.RootEnds,
		Address: p.Addr.String(), Inbound: p.Inbound, Seen: p.Seen,
	}
}
