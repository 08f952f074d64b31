package zone

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Times to live, in seconds.
const (
	apiTTL      = 60     // the Provisioning API moves when a region fails (Microsoft Learn, "Reliability in Azure Communications Gateway")
	addressTTL  = 60     // of names that SIP is sent to: an edge that is gone must be forgotten soon
	textTTL     = 60     // tokens are looked for by impatient people
	serverTTL   = 172800 // of name servers: two days, as recommended for delegations
	negativeTTL = 5      // of "there is no such name" (RFC 2308 §5): who asks before a gateway is complete, or another control node has heard of it, asks again soon
	soaTTL      = 3600
	refresh     = 3600
	retry       = 600
	expire      = 1209600 // RFC 1912 §2.2: two to four weeks
	nameServers = 4       // that a delegated domain has
	mcpLocal    = 10      // SRV priority of the region that was asked for
	mcpOther    = 20
	sipPriority = 10
	sipWeight   = 100 // all edges of a region are the same size
)

// Text is a TXT record that somebody asked for: a token that proves a domain,
// or the answer to a challenge.
type Text struct{ Name, Value string }

// Input is what Records makes the zones of.
type Input struct {
	Suffix      string
	Contact     string // mail address
	NameServers []NameServer
	Gateways    []Gateway // in a fixed order: of two that claim a domain the first has it
	Texts       []Text    // those of no gateway are left out
}

// Zone is one zone: everything but the serial number of its SOA record.
type Zone struct {
	Apex    string // canonical
	Records []dns.RR
}

// Records makes the zones: that of the suffix, then those of delegated domains.
func Records(in Input) []Zone {
	suffix := canonical(in.Suffix)
	zones := []*builder{newBuilder(suffix, in)}
	zones[0].servers(in.NameServers)
	for _, g := range in.Gateways {
		if base := canonical(g.Base); base != suffix && inside(base, suffix) {
			zones[0].gateway(base, g)
		}
	}
	taken := domains{}
	taken.take(suffix)
	for _, g := range in.Gateways {
		for _, domain := range g.Delegated {
			if d := canonical(domain); taken.take(d) {
				z := newBuilder(d, in)
				z.servers(fourServers(in.NameServers, suffix))
				z.cloud(d, g)
				zones = append(zones, z)
			}
		}
	}
	// The four of delegated domains are in the zone of the suffix.
	if len(zones) > 1 {
		zones[0].addressesOf(fourServers(in.NameServers, suffix))
	}
	out := make([]Zone, 0, len(zones))
	for _, z := range zones {
		for _, t := range in.Texts {
			z.text(canonical(t.Name), t.Value)
		}
		z.beneath()
		out = append(out, Zone{Apex: z.apex, Records: z.records})
	}
	return out
}

// domains are those that have a zone (true), and the names above them (false).
type domains map[string]bool

// take gives a domain a zone, unless it lies in one or above one.
func (d domains) take(domain string) bool {
	if _, ok := d[domain]; ok {
		return false
	}
	for above := range up(domain) {
		if d[above] {
			return false
		}
	}
	d[domain] = true
	for above := range up(domain) {
		d[above] = false
	}
	return true
}

// fourServers fills the list of name servers up to four. The operator sets all
// four; behind them may be fewer machines.
func fourServers(list []NameServer, suffix string) []NameServer {
	var out []NameServer
	for _, n := range list {
		out = append(out, NameServer{Name: canonical(n.Name), Addrs: n.Addrs})
	}
	ours := slices.DeleteFunc(slices.Clone(out), func(n NameServer) bool { return len(n.Addrs) == 0 })
	for i := 1; len(out) < nameServers && len(ours) > 0; i++ {
		name := fmt.Sprintf("ns%d.%s", i, suffix)
		if !slices.ContainsFunc(out, func(n NameServer) bool { return n.Name == name }) {
			out = append(out, NameServer{Name: name, Addrs: ours[i%len(ours)].Addrs})
		}
	}
	return out
}

// builder gathers the records of one zone.
type builder struct {
	apex    string
	bases   map[string]bool // gateways' own parts of it
	records []dns.RR
	names   map[string]bool // that own a record
	seen    map[string]bool // records, as text
}

func newBuilder(apex string, in Input) *builder {
	b := &builder{apex: apex, bases: map[string]bool{}, names: map[string]bool{}, seen: map[string]bool{}}
	mbox := "hostmaster." + apex
	if in.Contact != "" {
		mbox = mailbox(in.Contact)
	}
	b.add(&dns.SOA{
		Hdr: header(apex, dns.TypeSOA, soaTTL), Ns: canonical(in.NameServers[0].Name), Mbox: mbox,
		Refresh: refresh, Retry: retry, Expire: expire, Minttl: negativeTTL,
	})
	return b
}

// mailbox is a mail address as a name: dots before the @ are escaped
// (RFC 1035 §8).
func mailbox(address string) string {
	user, host, found := strings.Cut(address, "@")
	if !found {
		return canonical(address)
	}
	return canonical(strings.ReplaceAll(user, ".", `\.`) + "." + host)
}

func header(name string, kind uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

// add takes a record once.
func (b *builder) add(rr dns.RR) {
	if text := rr.String(); !b.seen[text] {
		b.seen[text], b.names[rr.Header().Name] = true, true
		b.records = append(b.records, rr)
	}
}

func (b *builder) servers(list []NameServer) {
	for _, n := range list {
		b.add(&dns.NS{Hdr: header(b.apex, dns.TypeNS, serverTTL), Ns: canonical(n.Name)})
	}
	b.addressesOf(list)
}

// addressesOf gives addresses to name servers that lie in the zone.
func (b *builder) addressesOf(list []NameServer) {
	for _, n := range list {
		if name := canonical(n.Name); inside(name, b.apex) {
			b.addresses(name, n.Addrs, serverTTL)
		}
	}
}

// addresses adds A and AAAA records.
func (b *builder) addresses(name string, addrs []netip.Addr, ttl uint32) {
	for _, a := range addrs {
		switch a = a.Unmap(); {
		case !a.IsValid() || a.IsUnspecified():
		case a.Is4():
			b.add(&dns.A{Hdr: header(name, dns.TypeA, ttl), A: a.AsSlice()})
		default:
			b.add(&dns.AAAA{Hdr: header(name, dns.TypeAAAA, ttl), AAAA: a.AsSlice()})
		}
	}
}

// gateway adds what is below one base domain.
func (b *builder) gateway(base string, g Gateway) {
	b.addresses(APIName(base), g.API, apiTTL)
	for i, region := range g.Regions {
		n := i + 1
		b.addresses(RegionName(base, n), region.addresses("operator"), addressTTL)
		for e, edge := range region.Edges {
			b.addresses(edgeName(base, n, e), edge.addresses("operator"), addressTTL)
		}
		for _, transport := range []string{"tls", "tcp", "udp"} {
			for _, prefix := range service(transport) {
				b.srv(prefix+RegionName(base, n), base, g, target{region: n, transport: transport, priority: sipPriority})
			}
		}
		for _, group := range g.PeerGroups {
			b.srv(canonical(PeerGroupSRV(group, base, n)), base, g, target{region: n, transport: group.Transport, priority: sipPriority})
		}
		if g.MCP {
			b.mcp(base, n, g)
		}
	}
	b.cloud(base, g)
}

// mcp adds the mobile control point as one region's core sees it: its own
// region first, the other when that is gone.
func (b *builder) mcp(base string, local int, g Gateway) {
	b.addresses(MCPName(base, local), g.Regions[local-1].addresses("operator"), addressTTL)
	for _, transport := range []string{"tls", "tcp"} {
		if g.MCPTransport != "" && g.MCPTransport != transport {
			continue
		}
		for _, prefix := range service(transport) {
			for n := range len(g.Regions) {
				priority := uint16(mcpOther)
				if n+1 == local {
					priority = mcpLocal
				}
				b.srv(prefix+MCPName(base, local), base, g, target{region: n + 1, transport: transport, priority: priority})
			}
		}
	}
}

// cloud adds the names that Direct Routing calls: in the base domain, and
// again in each domain that hides it.
func (b *builder) cloud(base string, g Gateway) {
	b.bases[base] = true
	for i, region := range g.Regions {
		at := region.addresses("cloud")
		b.addresses(CloudName(base, i+1), at, addressTTL)
		b.addresses("*."+CloudName(base, i+1), at, addressTTL)
		for _, label := range g.Customers {
			b.addresses(canonical(CustomerName(label, base, i+1)), at, addressTTL)
		}
	}
}

// target is what an SRV record leads to.
type target struct {
	region    int
	transport string
	priority  uint16
}

// srv adds the edges of a region.
func (b *builder) srv(name, base string, g Gateway, to target) {
	for e, edge := range g.Regions[to.region-1].Edges {
		for _, l := range edge.Listeners {
			if l.Side != "operator" || l.Transport != to.transport || !l.reachable() {
				continue
			}
			b.add(&dns.SRV{
				Hdr: header(name, dns.TypeSRV, addressTTL), Priority: to.priority, Weight: sipWeight,
				Port: l.Addr.Port(), Target: edgeName(base, to.region, e),
			})
		}
	}
}

// text adds a TXT record where a gateway is.
func (b *builder) text(name, value string) {
	found := b.bases[name]
	for above := range up(name) {
		found = found || b.bases[above]
	}
	if found {
		b.add(&dns.TXT{Hdr: header(name, dns.TypeTXT, textTTL), Txt: chunks(value)})
	}
}

// chunks cuts a text into strings of 255 octets at most (RFC 1035 §3.3.14).
func chunks(s string) []string {
	out := []string{}
	for len(s) > 255 {
		out, s = append(out, escape(s[:255])), s[255:]
	}
	return append(out, escape(s))
}

// escape writes octets as a zone file does, which the library reads back.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, "\\%03d", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// beneath gives what a wildcard says to names that a record of another type
// below it has brought into being: RFC 4592 §2.2.1 takes the wildcard from
// them, and a customer who proves a domain would be cut off.
func (b *builder) beneath() {
	wild := map[string][]dns.RR{}
	for _, rr := range b.records {
		if above, ok := strings.CutPrefix(rr.Header().Name, "*."); ok {
			wild[above] = append(wild[above], rr)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.names)) {
		for above := range up(name) {
			if strings.HasPrefix(name, "_") || strings.HasPrefix(name, "*.") {
				name = above
				continue
			}
			for _, rr := range wild[above] {
				same := dns.Copy(rr)
				same.Header().Name = name
				b.add(same)
			}
			name = above
		}
	}
}

// up gives the names above a name, up to the root.
func up(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for name != "." {
			if name = parent(name); !yield(name) {
				return
			}
		}
	}
}

// addresses are those of all edges of a region.
func (r Region) addresses(side string) (all []netip.Addr) {
	for _, e := range r.Edges {
		all = append(all, e.addresses(side)...)
	}
	return all
}

// addresses are those of an edge's listeners on one side.
func (e Edge) addresses(side string) (all []netip.Addr) {
	for _, l := range e.Listeners {
		if a := l.Addr.Addr().Unmap(); l.Side == side && l.reachable() && !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

// reachable tells whether a listener can be named.
func (l Listener) reachable() bool {
	return l.Addr.IsValid() && !l.Addr.Addr().IsUnspecified() && l.Addr.Port() != 0
}
