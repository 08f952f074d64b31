package sip

import (
	"net/netip"
	"slices"
)

// aliasKey is the address a peer claims for a connection it opened.
type aliasKey struct {
	l      *listener
	addr   netip.AddrPort
	remote *Remote
}

// connAliases bounds the names of one connection: a peer has one per port it
// listens on.
const connAliases = 4

// alias notes that requests to the peer's own port may take the connection it
// opened (RFC 5923 section 8.2): its Via says so, and its certificate that it is the
// peer. Over bare TCP any program on that machine could take the port's calls,
// so the RFC has it for TLS alone.
func (s *Stack) alias(c *stream, via Via) {
	if c == nil || c.key.l != nil {
		return
	}
	if _, ok := via.Params.Get("alias"); !ok || c.certificate() == nil {
		return
	}
	s.conns.alias(aliasKey{c.l, netip.AddrPortFrom(c.addr.Addr(), defaultPort(TLS, via.Port)), c.remote}, c)
}

func (t *connTable) alias(k aliasKey, c *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, open := t.all[c]; !open || c.retired || t.aliases[k] == c || len(c.aliases) >= connAliases {
		return
	}
	t.aliases[k] = c
	c.aliases = append(c.aliases, k)
}

// aliased is the peer's own connection to a target of ours, nil if there is
// none. The caller holds mu.
func (t *connTable) aliased(key connKey) *stream {
	c := t.aliases[aliasKey{key.l, key.addr, key.remote}]
	if c == nil || !c.alive() || !c.isFor(key.host) {
		return nil
	}
	return c
}

// isFor tells whether the peer's certificate is for host as well, where the
// policy names nobody and so host is who we want.
func (c *stream) isFor(host string) bool {
	cert := c.certificate()
	if cert == nil {
		return false
	}
	return host == "" || len(c.remote.policy().Names) > 0 ||
		slices.ContainsFunc(namesOf(cert), func(n string) bool { return matches(n, host) })
}

// unalias takes a stream's names away. The caller holds mu.
func (t *connTable) unalias(c *stream) {
	for _, k := range c.aliases {
		if t.aliases[k] == c {
			delete(t.aliases, k)
		}
	}
	c.aliases = nil
}
