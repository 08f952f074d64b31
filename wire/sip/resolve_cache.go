package sip

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// staleTime is how long an answer is used beyond its time to live while
	// no server answers (RFC 8767): long enough for a bad day of the DNS,
	// for telephony must not end with it.
	staleTime = 24 * time.Hour
	// staleRetry is how often the servers are asked meanwhile.
	staleRetry = 30 * time.Second
	// staleWait is how long a caller waits for them when a stale answer is
	// at hand, fullWait otherwise.
	staleWait = time.Second
	fullWait  = 5 * time.Second
	// tryWait is for one server and one attempt.
	tryWait = 2 * time.Second
	// maxTTL bounds what a record may claim, negativeTTL what its absence may
	// (RFC 2308), failureTTL keeps a storm of calls from becoming one of
	// queries.
	maxTTL      = 24 * time.Hour
	negativeTTL = 5 * time.Minute
	failureTTL  = 5 * time.Second
	// cacheSize is in questions; a gateway asks for a few hundred.
	cacheSize = 4096
	// maxAliases bounds a chain of CNAMEs.
	maxAliases = 8
)

// dnsQuestion is a name in lower case and a record type.
type dnsQuestion struct {
	name  string
	qtype uint16
}

// dnsAnswer is what was learnt; it is not changed after it is in the cache.
type dnsAnswer struct {
	records []dns.RR
	err     error
	expires time.Time
	stale   time.Time // until when the records may be used without a server
}

// dnsCache asks each question once at a time and remembers the answers.
type dnsCache struct {
	client *dnsClient // RO

	mu      sync.Mutex
	answers map[dnsQuestion]dnsAnswer     // mu
	flights map[dnsQuestion]chan struct{} // mu; closed when the asker is back
}

func newDNSCache(c *dnsClient) *dnsCache {
	return &dnsCache{client: c, answers: map[dnsQuestion]dnsAnswer{}, flights: map[dnsQuestion]chan struct{}{}}
}

// addrs are the addresses of a name of one family.
func (c *dnsCache) addrs(ctx context.Context, name string, qtype uint16) ([]netip.Addr, error) {
	rrs, err := c.lookup(ctx, dnsQuestion{strings.ToLower(name), qtype})
	var out []netip.Addr
	for _, rr := range rrs {
		var ip net.IP
		switch rr := rr.(type) {
		case *dns.A:
			ip = rr.A
		case *dns.AAAA:
			ip = rr.AAAA
		}
		if a, ok := netip.AddrFromSlice(ip); ok {
			out = append(out, a.Unmap())
		}
	}
	return out, err
}

// lookup gives the records; none and no error if there are none.
func (c *dnsCache) lookup(ctx context.Context, q dnsQuestion) ([]dns.RR, error) {
	for {
		c.mu.Lock()
		old, ok := c.answers[q]
		if ok && time.Now().Before(old.expires) {
			c.mu.Unlock()
			return old.records, old.err
		}
		flight := c.flights[q]
		if flight == nil {
			flight = make(chan struct{})
			c.flights[q] = flight
			c.mu.Unlock()
			a, kept := c.ask(ctx, q, old)
			c.land(q, a, kept, flight)
			return a.records, a.err
		}
		c.mu.Unlock()
		select {
		case <-flight: // its answer, or our turn to ask
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (c *dnsCache) land(q dnsQuestion, a dnsAnswer, kept bool, flight chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if kept {
		c.makeRoom()
		c.answers[q] = a
	}
	delete(c.flights, q)
	close(flight)
}

// ask queries the servers; what comes of it is kept unless the caller was the
// one who gave up.
func (c *dnsCache) ask(ctx context.Context, q dnsQuestion, old dnsAnswer) (a dnsAnswer, kept bool) {
	usable := time.Now().Before(old.stale)
	wait := fullWait
	if usable {
		wait = staleWait
	}
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	records, ttl, err := c.client.resolve(limited, q)
	now := time.Now()
	switch {
	case err == nil:
		// That there is no AAAA also holds on: callers would wait for it.
		return dnsAnswer{records: records, expires: now.Add(ttl), stale: now.Add(ttl + staleTime)}, true
	case usable:
		old.expires = now.Add(staleRetry)
		return old, !over(ctx, now)
	default:
		return dnsAnswer{err: err, expires: now.Add(failureTTL)}, !over(ctx, now)
	}
}

// over says whether ctx has ended. Its deadline counts by itself: it is also
// that of the socket, which may have noticed first.
func over(ctx context.Context, now time.Time) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !now.Before(deadline)
}

// makeRoom drops what is of no use any more, or, if there is nothing of that
// kind, anything. It is called with mu held.
func (c *dnsCache) makeRoom() {
	if len(c.answers) < cacheSize {
		return
	}
	now := time.Now()
	for q, a := range c.answers {
		if now.After(a.expires) && now.After(a.stale) {
			delete(c.answers, q)
		}
	}
	for q := range c.answers {
		if len(c.answers) < cacheSize {
			return
		}
		delete(c.answers, q)
	}
}

// dnsClient talks to the servers.
type dnsClient struct {
	servers []netip.AddrPort // RO
	network Network          // RO
}

// resolve asks, following aliases. No records and no error means that there
// are none.
func (c *dnsClient) resolve(ctx context.Context, q dnsQuestion) (records []dns.RR, ttl time.Duration, err error) {
	ttl = maxTTL
	for range maxAliases {
		m, err := c.exchange(ctx, q)
		if err != nil {
			return nil, 0, fmt.Errorf("look up %s %s: %w", dns.TypeToString[q.qtype], q.name, err)
		}
		records, alias, least := pick(m, q)
		ttl = min(ttl, least)
		if len(records) > 0 || alias == "" {
			return records, ttl, nil
		}
		q.name = alias
	}
	return nil, 0, fmt.Errorf("look up %s: more than %d aliases", q.name, maxAliases)
}

// pick takes the answer to q out of a message: the records, or the last name
// of a chain of aliases if it leads out of the message, and how long that holds.
func pick(m *dns.Msg, q dnsQuestion) (records []dns.RR, alias string, ttl time.Duration) {
	ttl = maxTTL
	name := dns.Fqdn(q.name)
	for range maxAliases {
		var next string
		for _, rr := range m.Answer {
			h := rr.Header()
			if !strings.EqualFold(h.Name, name) {
				continue
			}
			switch cname, isAlias := rr.(*dns.CNAME); {
			case h.Rrtype == q.qtype:
				records = append(records, rr)
			case isAlias:
				next = cname.Target
			default:
				continue
			}
			ttl = min(ttl, time.Duration(h.Ttl)*time.Second)
		}
		if len(records) > 0 {
			return records, "", ttl
		}
		if next == "" {
			break
		}
		name = next
	}
	if !strings.EqualFold(name, dns.Fqdn(q.name)) && m.Rcode == dns.RcodeSuccess && len(m.Ns) == 0 {
		return nil, strings.ToLower(name), ttl
	}
	return nil, "", min(ttl, absence(m))
}

// absence is how long the lack of a record holds (RFC 2308 section 5).
func absence(m *dns.Msg) time.Duration {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(negativeTTL, time.Duration(min(soa.Hdr.Ttl, soa.Minttl))*time.Second)
		}
	}
	return failureTTL
}

// exchange tries the servers in order, twice.
func (c *dnsClient) exchange(ctx context.Context, q dnsQuestion) (*dns.Msg, error) {
	err := errors.New("no DNS server is configured")
	for range 2 {
		for _, server := range c.servers {
			var m *dns.Msg
			if m, err = c.try(ctx, server, q); err == nil {
				return m, nil
			}
			if ctx.Err() != nil {
				return nil, fmt.Errorf("no server answered in time: %w", err)
			}
		}
	}
	return nil, err
}

func (c *dnsClient) try(ctx context.Context, server netip.AddrPort, q dnsQuestion) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, tryWait)
	defer cancel()
	ask := new(dns.Msg)
	ask.SetQuestion(dns.Fqdn(q.name), q.qtype)
	ask.SetEdns0(dnsPayload, false)
	m, err := c.via(ctx, "udp", server, ask)
	if err == nil && m.Truncated {
		m, err = c.via(ctx, "tcp", server, ask)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("DNS server %v: %w", server, err)
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return nil, fmt.Errorf("DNS server %v: %s", server, dns.RcodeToString[m.Rcode])
	}
	return m, nil
}

// dnsPayload is the UDP answer that no path fragments (DNS flag day 2020).
const dnsPayload = 1232

func (c *dnsClient) via(ctx context.Context, network string, server netip.AddrPort, ask *dns.Msg) (*dns.Msg, error) {
	conn, err := c.network.Dial(ctx, network, netip.Addr{}, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	client := dns.Client{Net: network, UDPSize: dnsPayload}
	m, _, err := client.ExchangeWithConnContext(ctx, ask, &dns.Conn{Conn: conn, UDPSize: dnsPayload})
	if err != nil {
		return nil, err
	}
	if len(m.Question) != 1 || !strings.EqualFold(m.Question[0].Name, ask.Question[0].Name) || m.Question[0].Qtype != ask.Question[0].Qtype {
		return nil, errors.New("answer to another question")
	}
	return m, nil
}

// hosts is the hosts file, read again when it has changed.
type hosts struct {
	path string // RO

	mu      sync.Mutex
	checked time.Time               // mu
	changed time.Time               // mu; of the file
	byName  map[string][]netip.Addr // mu
}

// hostsCheck is how often we look whether the file has changed.
const hostsCheck = 5 * time.Second

func newHosts(path string) *hosts { return &hosts{path: path} }

// find gives the addresses of a name; a nil hosts knows none.
func (h *hosts) find(name string) []netip.Addr {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := time.Now(); h.byName == nil || now.Sub(h.checked) >= hostsCheck {
		h.checked = now
		h.read()
	}
	return h.byName[strings.ToLower(strings.TrimSuffix(name, "."))]
}

func (h *hosts) read() {
	info, err := os.Stat(h.path)
	if err == nil && h.byName != nil && info.ModTime().Equal(h.changed) {
		return
	}
	b, err := os.ReadFile(h.path)
	if err != nil {
		b = nil // no file, no names
	} else if info != nil {
		h.changed = info.ModTime()
	}
	h.byName = parseHosts(b)
}

func parseHosts(b []byte) map[string][]netip.Addr {
	out := map[string][]netip.Addr{}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		a, err := netip.ParseAddr(fields[0])
		if err != nil {
			continue
		}
		for _, name := range fields[1:] {
			name = strings.ToLower(strings.TrimSuffix(name, "."))
			out[name] = append(out[name], a)
		}
	}
	return out
}
