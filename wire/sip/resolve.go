package sip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"github.com/tandemgw/tandem/base/fault"
)

// Hop is what is to be resolved: the host, port and transport of a URI or of
// a configured peer.
type Hop struct {
	Host string
	Port uint16 // 0: by SRV, or the transport's default
	// Transport is the one asked for; 0 lets NAPTR and SRV decide.
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

// Resolver finds the endpoints of a name as RFC 3263 says. It asks the DNS
// itself, since the library of the operating system knows no NAPTR and tells
// no time to live.
type Resolver struct {
	cache *dnsCache
	hosts *hosts // nil when servers are given
}

// ResolverConfig is what a Resolver is made of.
type ResolverConfig struct {
	Servers []string // host:port of DNS servers; none: /etc/hosts and /etc/resolv.conf
	Network Network  // nil: OS
}

// NewResolver makes a resolver.
func NewResolver(cfg ResolverConfig) (*Resolver, error) {
	r := &Resolver{}
	if cfg.Network == nil {
		cfg.Network = OS
	}
	if len(cfg.Servers) == 0 {
		conf, err := dns.ClientConfigFromFile("/etc/resolv.conf")
		if err != nil {
			return nil, fmt.Errorf("read the system's DNS servers: %w", err)
		}
		for _, s := range conf.Servers {
			cfg.Servers = append(cfg.Servers, netip.AddrPortFrom(literal(s), 53).String())
		}
		r.hosts = newHosts("/etc/hosts")
	}
	var servers []netip.AddrPort
	for _, s := range cfg.Servers {
		ap, err := netip.ParseAddrPort(s)
		if err != nil || !ap.IsValid() {
			return nil, fmt.Errorf("DNS server %q is not an address with a port", s)
		}
		servers = append(servers, ap)
	}
	r.cache = newDNSCache(&dnsClient{servers: servers, network: cfg.Network})
	return r, nil
}

// Resolve gives the endpoints of h in the order in which they are to be
// tried; trying the next one is the caller's part. An error is a fault:
// NotFound when the DNS says there is nothing, Unavailable when it does not
// say anything.
func (r *Resolver) Resolve(ctx context.Context, h Hop) ([]Endpoint, error) {
	host := strings.TrimSuffix(h.Host, ".")
	if a := literal(host); a.IsValid() {
		t := cmp.Or(h.Transport, UDP) // RFC 3263 section 4.1
		return []Endpoint{{netip.AddrPortFrom(a, defaultPort(t, h.Port)), t, a.String()}}, nil
	}
	q := query{r: r, ctx: ctx, host: host}
	var out []Endpoint
	switch {
	case h.Port != 0:
		t := cmp.Or(h.Transport, UDP)
		out = q.addresses(host, h.Port, t)
	case h.Transport != 0:
		out = q.service(h.Transport)
	default:
		out = q.anyTransport()
	}
	if len(out) == 0 {
		return nil, q.failure()
	}
	return out, nil
}

// literal reads an address, with or without brackets.
func literal(s string) netip.Addr {
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		return netip.Addr{}
	}
	return a
}

// query is one Resolve at work; it keeps the failures on its way, which count
// only if nothing was found.
type query struct {
	r    *Resolver
	ctx  context.Context
	host string
	errs []error
}

func (q *query) failure() error {
	if len(q.errs) > 0 {
		return &fault.Error{Kind: fault.Unavailable, Public: "the DNS does not answer for " + q.host, Err: errors.Join(q.errs...)}
	}
	return fault.New(fault.NotFound, "the DNS has no SRV, A or AAAA record for "+q.host)
}

func (q *query) look(name string, qtype uint16) []dns.RR {
	rrs, err := q.r.cache.lookup(q.ctx, dnsQuestion{strings.ToLower(name), qtype})
	if err != nil {
		q.errs = append(q.errs, err)
	}
	return rrs
}

// anyTransport is RFC 3263 section 4.1: NAPTR, else SRV of each transport,
// else UDP.
func (q *query) anyTransport() []Endpoint {
	if out := q.naptr(); len(out) > 0 {
		return out
	}
	for _, t := range [...]Transport{TLS, TCP, UDP} { // the client's choice: the safest
		if out, ok := q.srv(t); ok {
			return out
		}
	}
	return q.addresses(q.host, defaultPort(UDP, 0), UDP)
}

// naptrServices are the service fields we can follow (RFC 3263 section 4.1).
var naptrServices = map[string]Transport{"SIPS+D2T": TLS, "SIP+D2T": TCP, "SIP+D2U": UDP}

func (q *query) naptr() []Endpoint {
	var usable []*dns.NAPTR
	for _, rr := range q.look(q.host, dns.TypeNAPTR) {
		n, ok := rr.(*dns.NAPTR)
		if ok && strings.EqualFold(n.Flags, "s") && naptrServices[strings.ToUpper(n.Service)] != 0 {
			usable = append(usable, n)
		}
	}
	slices.SortStableFunc(usable, func(a, b *dns.NAPTR) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Preference, b.Preference))
	})
	var out []Endpoint
	for _, n := range usable {
		more, _ := q.srvAt(n.Replacement, naptrServices[strings.ToUpper(n.Service)])
		out = append(out, more...)
	}
	return out
}

// service is RFC 3263 section 4.2 for a known transport.
func (q *query) service(t Transport) []Endpoint {
	if out, ok := q.srv(t); ok {
		return out
	}
	return q.addresses(q.host, defaultPort(t, 0), t)
}

// srvNames are where a service is announced. _sip._tls is in no RFC, but
// Azure Communications Gateway and others publish it.
var srvNames = map[Transport][]string{
	UDP: {"_sip._udp."},
	TCP: {"_sip._tcp."},
	TLS: {"_sips._tcp.", "_sip._tls."},
}

// srv looks for the service; ok when it is announced, be it as not there.
func (q *query) srv(t Transport) (out []Endpoint, ok bool) {
	for _, prefix := range srvNames[t] {
		if out, ok := q.srvAt(prefix+q.host, t); ok {
			return out, true
		}
	}
	return nil, false
}

func (q *query) srvAt(name string, t Transport) (out []Endpoint, ok bool) {
	var records []*dns.SRV
	for _, rr := range q.look(name, dns.TypeSRV) {
		if s, ok := rr.(*dns.SRV); ok {
			records = append(records, s)
		}
	}
	for _, s := range srvOrder(records, rand.IntN) {
		if s.Target == "." {
			continue // RFC 2782: decidedly not available
		}
		out = append(out, q.addresses(s.Target, s.Port, t)...)
	}
	return out, len(records) > 0
}

// srvOrder sorts by priority, and among equals draws by weight (RFC 2782). It
// is told how to draw: a number below n.
func srvOrder(records []*dns.SRV, draw func(n int) int) []*dns.SRV {
	rest := slices.Clone(records)
	slices.SortStableFunc(rest, func(a, b *dns.SRV) int {
		// Weight 0 comes first, so that it is drawn only by a zero.
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(min(a.Weight, 1), min(b.Weight, 1)))
	})
	for i := range rest {
		last, sum := i, 0
		for last < len(rest) && rest[last].Priority == rest[i].Priority {
			sum += int(rest[last].Weight)
			last++
		}
		mark := draw(sum + 1)
		for j, run := i, 0; j < last; j++ {
			if run += int(rest[j].Weight); run >= mark {
				chosen := rest[j]
				copy(rest[i+1:j+1], rest[i:j]) // keeps the order of the others
				rest[i] = chosen
				break
			}
		}
	}
	return rest
}

// addresses gives the A and then the AAAA records of a host, each kind in
// random order: a cached answer would otherwise load one address only.
func (q *query) addresses(host string, port uint16, t Transport) []Endpoint {
	if found := q.r.hosts.find(host); len(found) > 0 {
		return q.endpoints(found, port, t)
	}
	if a := literal(strings.TrimSuffix(host, ".")); a.IsValid() {
		return q.endpoints([]netip.Addr{a}, port, t) // SRV targets should be names; some are not
	}
	var v4, v6 []netip.Addr
	var errs [2]error
	var both sync.WaitGroup
	both.Go(func() { v4, errs[0] = q.r.cache.addrs(q.ctx, host, dns.TypeA) })
	both.Go(func() { v6, errs[1] = q.r.cache.addrs(q.ctx, host, dns.TypeAAAA) })
	both.Wait()
	for _, err := range errs {
		if err != nil {
			q.errs = append(q.errs, err)
		}
	}
	return append(q.endpoints(v4, port, t), q.endpoints(v6, port, t)...)
}

func (q *query) endpoints(addrs []netip.Addr, port uint16, t Transport) []Endpoint {
	addrs = slices.Clone(addrs)
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	var out []Endpoint
	for _, a := range addrs {
		out = append(out, Endpoint{netip.AddrPortFrom(a, port), t, q.host})
	}
	return out
}
