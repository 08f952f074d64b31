package zone

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Standing is how a gateway's names stand.
type Standing struct {
	Published bool     // every region has its names in the zone that is served here
	Delegated bool     // resolvers find our name servers for the zones of the gateway
	Resolves  bool     // they, or our own servers, answer what the zone says
	Problems  []string // what is wrong here, a sentence each with what to do
	Parents   []string // what is wrong in the zones above
	Add       []string // records that they lack, in the form of a zone file
}

// Check tells in sentences what Look has seen: what is absent or wrong in our
// own answers, and what the zones above lack for others to find them.
func (s *Set) Check(ctx context.Context, base string) (absent, advice string, err error) {
	c, err := s.Look(ctx, base)
	if err != nil {
		return "", "", err
	}
	if len(c.Add) > 0 {
		advice = strings.Join(c.Parents, "; ") + ":\n" + strings.Join(c.Add, "\n") // to be pasted
	}
	return strings.Join(c.Problems, "; "), advice, nil
}

// Look looks for a gateway's names as its far sides do: through a resolver, or
// here when no resolver comes here yet. The error is that the gateway has no
// names; what is wrong with them is in the Standing.
func (s *Set) Look(ctx context.Context, base string) (Standing, error) {
	v := s.served.Load()
	i := slices.IndexFunc(v.facts, func(g Gateway) bool { return canonical(g.Base) == canonical(base) })
	if i < 0 {
		return Standing{}, fmt.Errorf("the zone has no gateway %s: publish it first", base)
	}
	g := v.facts[i]
	c := Standing{Published: true, Delegated: true, Resolves: true}
	c.published(v, g)
	s.delegated(ctx, &c, v.zoneOf(canonical(g.Base)))
	for _, d := range g.Delegated {
		z := v.zones[canonical(d)]
		if z == nil || owners(v.facts, d)[0] != g.Base {
			c.Published = false
			c.Problems = append(c.Problems, fmt.Sprintf("the delegated domain %s is served for another gateway or lies in another zone: choose a domain that no other has", d))
			continue
		}
		s.delegated(ctx, &c, z)
	}
	from := s.checks
	if !c.Delegated {
		from = s.ourselves()
	}
	from.resolves(ctx, &c, v, g)
	return c, nil
}

// owners are the gateways that claim a domain, in the order in which they get
// it.
func owners(facts []Gateway, domain string) (bases []string) {
	for _, g := range facts {
		if slices.ContainsFunc(g.Delegated, func(d string) bool { return canonical(d) == canonical(domain) }) {
			bases = append(bases, g.Base)
		}
	}
	return bases
}

// published looks whether every region has names.
func (c *Standing) published(v *served, g Gateway) {
	for i, r := range g.Regions {
		for side, name := range map[string]string{"operator": RegionName(g.Base, i+1), "cloud": CloudName(g.Base, i+1)} {
			if len(r.addresses(side)) == 0 {
				c.Published = false
				c.Problems = append(c.Problems, fmt.Sprintf("%s has no address: no edge of region %s has reported a listener of side %s with an address of its own; start one, or give its listener an address in bind or advertise", name, r.Name, side))
			}
		}
	}
	slices.Sort(c.Problems)
	if z := v.zoneOf(canonical(g.Base)); z == nil {
		c.Published = false
		c.Problems = append(c.Problems, g.Base+" lies in no zone of this node")
	}
}

// delegated asks a resolver who serves a zone.
func (s *Set) delegated(ctx context.Context, c *Standing, z *content) {
	if z == nil {
		c.Delegated = false
		return
	}
	ours := z.nodes[z.apex][dns.TypeNS]
	found, err := s.checks.ask(ctx, z.apex, dns.TypeNS)
	var missing []string
	for _, rr := range ours {
		if !slices.ContainsFunc(found, func(f dns.RR) bool { return dns.IsDuplicate(f, rr) }) {
			missing = append(missing, rr.(*dns.NS).Ns)
		}
	}
	if len(missing) == 0 {
		return
	}
	c.Delegated = false
	why := "among its name servers are not " + strings.Join(missing, ", ")
	switch {
	case err != nil:
		why = err.Error()
	case len(found) == 0:
		why = "the resolver finds no name server"
	}
	c.Parents = append(c.Parents, fmt.Sprintf("%s is not delegated to this gateway yet (%s): add these records to the zone above it", strings.TrimSuffix(z.apex, "."), why))
	c.Add = append(c.Add, delegation(z)...)
}

// delegation is what the zone above must have: NS, the addresses of name
// servers that lie below (glue), and DS when the zone is signed.
func delegation(z *content) (lines []string) {
	for _, rr := range z.nodes[z.apex][dns.TypeNS] {
		lines = append(lines, line(rr))
		name := rr.(*dns.NS).Ns
		if !inside(name, z.apex) {
			continue
		}
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
			for _, glue := range z.nodes[name][kind] {
				lines = append(lines, line(glue))
			}
		}
	}
	if z.signer != nil {
		lines = append(lines, line(z.signer.key.ToDS(dns.SHA256)))
	}
	return lines
}

func line(rr dns.RR) string { return strings.ReplaceAll(rr.String(), "\t", " ") }

// Visible returns when every name server of ours, copies included, shows a TXT
// record: whoever looks for it may ask any of them.
func (s *Set) Visible(ctx context.Context, name, value string) error {
	servers := s.ourselves().servers
	for _, sec := range s.cfg.Secondaries {
		servers = append(servers, sec.Addr)
	}
	want := &dns.TXT{Hdr: header(canonical(name), dns.TypeTXT, textTTL), Txt: chunks(value)}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for _, server := range servers {
		for {
			got, err := (resolver{servers: []netip.AddrPort{server}}).ask(ctx, want.Hdr.Name, dns.TypeTXT)
			if err == nil && slices.ContainsFunc(got, func(rr dns.RR) bool { return dns.IsDuplicate(rr, want) }) {
				break
			}
			if err == nil {
				err = errors.New("it has not copied it yet")
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fmt.Errorf("name server %s does not show the TXT record of %s: %w", server, name, err)
			}
		}
	}
	return nil
}

// ourselves asks our own server.
func (s *Set) ourselves() resolver {
	at := s.Addr()
	if at.Addr().IsUnspecified() {
		at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port())
	}
	return resolver{servers: []netip.AddrPort{at}}
}

// resolves compares what a resolver finds with what the zone says.
func (r resolver) resolves(ctx context.Context, c *Standing, v *served, g Gateway) {
	z := v.zoneOf(canonical(g.Base))
	for i := range g.Regions {
		n := i + 1
		wanted := map[string][]uint16{
			RegionName(g.Base, n):                {dns.TypeA, dns.TypeAAAA},
			CloudName(g.Base, n):                 {dns.TypeA, dns.TypeAAAA},
			"_sip._tls." + RegionName(g.Base, n): {dns.TypeSRV},
		}
		for _, name := range slices.Sorted(maps.Keys(wanted)) {
			for _, kind := range wanted[name] {
				if set := z.nodes[canonical(name)][kind]; len(set) > 0 {
					r.found(ctx, c, canonical(name), set)
				}
			}
		}
	}
}

// found looks for one set of records.
func (r resolver) found(ctx context.Context, c *Standing, name string, set []dns.RR) {
	kind := set[0].Header().Rrtype
	got, err := r.ask(ctx, name, kind)
	if err == nil && len(got) == len(set) && !slices.ContainsFunc(set, func(rr dns.RR) bool {
		return !slices.ContainsFunc(got, func(f dns.RR) bool { return dns.IsDuplicate(f, rr) })
	}) {
		return
	}
	c.Resolves = false
	name = strings.TrimSuffix(name, ".")
	switch {
	case err != nil:
		c.Problems = append(c.Problems, fmt.Sprintf("%s %s cannot be resolved: %v", dns.TypeToString[kind], name, err))
	case len(got) == 0:
		c.Problems = append(c.Problems, fmt.Sprintf("%s %s is not found yet: a resolver may remember for %d s that it was not there", dns.TypeToString[kind], name, negativeTTL))
	default:
		c.Problems = append(c.Problems, fmt.Sprintf("%s %s still resolves to what it was: a resolver may remember it for %d s", dns.TypeToString[kind], name, set[0].Header().Ttl))
	}
}

// resolver asks recursive name servers.
type resolver struct {
	servers []netip.AddrPort // none: the system's
}

// askWait is how long one server may take.
const askWait = 3 * time.Second

// ask gives the records of a name and type; none, without an error, when there
// are none.
func (r resolver) ask(ctx context.Context, name string, kind uint16) ([]dns.RR, error) {
	servers, err := r.list()
	if err != nil {
		return nil, err
	}
	q := new(dns.Msg)
	q.SetQuestion(name, kind)
	q.SetEdns0(largest, false)
	var errs []error
	for _, server := range servers {
		m, err := exchange(ctx, q, server)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("resolver %s does not answer: %w", server, err))
			continue
		case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
			errs = append(errs, fmt.Errorf("resolver %s says %s", server, dns.RcodeToString[m.Rcode]))
			continue
		}
		return slices.DeleteFunc(m.Answer, func(rr dns.RR) bool { return rr.Header().Rrtype != kind }), nil
	}
	return nil, errors.Join(errs...)
}

// exchange asks by UDP, and by TCP when the answer was cut.
func exchange(ctx context.Context, q *dns.Msg, server string) (*dns.Msg, error) {
	client := &dns.Client{Timeout: askWait, UDPSize: largest}
	m, _, err := client.ExchangeContext(ctx, q, server)
	if err == nil && m.Truncated {
		client.Net = "tcp"
		m, _, err = client.ExchangeContext(ctx, q, server)
	}
	return m, err
}

func (r resolver) list() (servers []string, err error) {
	for _, s := range r.servers {
		servers = append(servers, s.String())
	}
	if len(servers) > 0 {
		return servers, nil
	}
	system, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil || len(system.Servers) == 0 {
		return nil, errors.New("the system has no resolver: write one in /etc/resolv.conf or in sip.dns")
	}
	for _, s := range system.Servers {
		servers = append(servers, net.JoinHostPort(s, system.Port))
	}
	return servers, nil
}
