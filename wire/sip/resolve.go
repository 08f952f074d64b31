package sip

import (
	"context"
	"net/netip"
)

// Hop is what is to be resolved: the host, port and transport of a URI or of
// a configured peer.
type Hop struct {
	Host string
	Port uint16 // 0: by SRV, or the transport's default
	// Transport is the one asked for; 0 lets NAPTR and SRV
	// decide.
	Transport Transport
}

// Endpoint is one place to try.
type Endpoint struct {
	Addr      netip.AddrPort
	Transport Transport
	// Host is the name the certificate must carry: the one that was asked
	// for, not what SRV led to (RFC 5922 section 4).
	Host string
}

// ResolverConfig is what a Resolver is made of.
type ResolverConfig struct {
	Servers []string // host:port of DNS servers; none: /etc/hosts and /etc/resolv.conf
	Network Network  // nil: OS
}

// Resolver finds the endpoints of a name as RFC 3263 says, with a cache that
// honours the records' time to live.
type Resolver struct{}

// NewResolver makes a resolver.
func NewResolver(cfg ResolverConfig) (*Resolver, error) { panic("todo") }

// Resolve gives the endpoints of h in the order in which they are to be tried.
func (r *Resolver) Resolve(ctx context.Context, h Hop) ([]Endpoint, error) { panic("todo") }
