// Package zone is the gateways' own part of the DNS: the zone under the
// suffix, where each gateway has its base domain, and the domains that
// operators have delegated to their gateways.
//
// Records makes what the zones hold out of the gateways' facts; it is pure.
// Set keeps the facts, the tokens and the keys in the store, and serves: an
// authoritative server over UDP and TCP that never asks anybody else. What is
// served is one immutable value behind a pointer; every change makes another.
//
// It refuses recursion, names that are not its own, and transfers to strangers.
// Start reading at Records, then Set.
package zone

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
)

// Gateway is what the zones say of one gateway.
type Gateway struct {
	Base         string       `json:"base"`                   // <label>.<suffix>
	Regions      []Region     `json:"regions"`                // in the order of the resource: the first is r1
	API          []netip.Addr `json:"api,omitzero"`           // of the Provisioning API
	MCP          bool         `json:"mcp,omitzero"`           // the mobile control point is on
	MCPTransport string       `json:"mcpTransport,omitempty"` // "tls" or "tcp"; "": both
	PeerGroups   []PeerGroup  `json:"peerGroups,omitzero"`    // that have a name of their own in each region
	Customers    []string     `json:"customers,omitzero"`     // labels of Direct Routing that have a record of their own; others are answered by the wildcard
	Delegated    []string     `json:"delegated,omitzero"`     // domains of the operator that hide the base from customers
}

// Region is one service region of a gateway.
type Region struct {
	Name  string `json:"name"`
	Edges []Edge `json:"edges,omitzero"`
}

// Edge is one edge node of a region.
type Edge struct {
	Node      string     `json:"node"`
	Listeners []Listener `json:"listeners,omitzero"`
}

// Listener is where an edge takes SIP, as others reach it.
type Listener struct {
	Side      string         `json:"side"`      // "operator", "cloud"
	Transport string         `json:"transport"` // "tls", "tcp", "udp"
	Addr      netip.AddrPort `json:"addr"`      // an unspecified address is left out
}

// PeerGroup is a group of the operator's peers.
type PeerGroup struct {
	Name      string `json:"name"`
	Transport string `json:"transport"` // "tls", "tcp", "udp"
}

// NameServer is one of ours.
type NameServer struct {
	Name  string
	Addrs []netip.Addr // for a name inside the suffix, whose parent must have them as glue
}

// Secondary is a name server that copies the zones.
type Secondary struct {
	Addr netip.AddrPort // asks from this address, and is notified here
	Key  *Key           // nil: without TSIG
}

// Key is a shared secret of TSIG (RFC 8945), HMAC-SHA256.
type Key struct {
	Name   string
	Secret string // base64
}

// Config is what a Set is made of.
type Config struct {
	Store       *store.Store
	Suffix      string         // "gateways.operator.example"
	Listen      netip.AddrPort // zero: the zones are kept and transferred by nobody
	NameServers []NameServer   // one at least
	Contact     string         // mail address in the SOA; empty: hostmaster at the suffix
	Secondaries []Secondary
	DNSSEC      bool
	Rate        int // answers a second to one network over UDP; 0: 200

	// Gateways gives the facts of all gateways; edges that are not heard of
	// may be missing from them.
	Gateways func(context.Context) ([]Gateway, error)

	Resolvers []netip.AddrPort // through which Look looks; none: the system's
	Log       *slog.Logger
}

// Set holds the zones and serves them.
type Set struct {
	cfg    Config // RO
	log    *slog.Logger
	served atomic.Pointer[served]

	server *server
	limit  *limiter
	notify *notifier
	checks resolver

	building sync.Mutex    // one rebuild at a time
	built    uint64        // building; what had been asked when the last one began
	asked    atomic.Uint64 // rebuilds asked for
	poke     chan struct{}

	answered, refused, short, dropped, transferred atomic.Uint64
	life                                           context.Context
	die                                            context.CancelFunc
	wait                                           sync.WaitGroup
}

// New makes a Set out of what the store has, so that it answers at once, and
// listens.
func New(ctx context.Context, cfg Config) (*Set, error) {
	cfg.NameServers = cfg.addressed()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &Set{cfg: cfg, log: cfg.Log, poke: make(chan struct{}, 1)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.life, s.die = context.WithCancel(context.Background())
	s.limit = newLimiter(cfg.Rate)
	s.checks = resolver{servers: cfg.Resolvers}
	s.notify = newNotifier(s.life, cfg.Secondaries, s.log)
	if err := s.restore(ctx); err != nil {
		s.die()
		return nil, err
	}
	if cfg.Listen.IsValid() {
		var err error
		if s.server, err = listen(cfg.Listen, s.tsig(), s.serve); err != nil {
			s.die()
			return nil, err
		}
	}
	s.wait.Go(s.watch)
	return s, nil
}

// check refuses what could not work.
func (c *Config) check() error {
	switch _, ok := dns.IsDomainName(c.Suffix); {
	case !ok || c.Suffix == "" || c.Suffix == ".":
		return fault.New(fault.Invalid, fmt.Sprintf("control.suffix: %q is no domain name", c.Suffix))
	case len(c.NameServers) == 0:
		return fault.New(fault.Invalid, "control.dns.nameServers: name one at least, or nobody can delegate to this zone")
	case c.DNSSEC && len(c.Secondaries) > 0:
		// Answers are signed as they are asked for; a copy has no key.
		return fault.New(fault.Invalid, "control.dns: secondaries cannot serve a zone that is signed as it is asked; remove them or dnssec")
	}
	for _, n := range c.NameServers {
		if inside(canonical(n.Name), canonical(c.Suffix)) && len(n.Addrs) == 0 {
			return fault.New(fault.Invalid, fmt.Sprintf("control.dns.nameServers: %s lies in the zone itself, and control.dns.listen is no address that others could ask: write one there", n.Name))
		}
	}
	return nil
}

// addressed gives name servers in the zone itself the address that is listened
// on, where they have none.
func (c *Config) addressed() []NameServer {
	list := slices.Clone(c.NameServers)
	if at := c.Listen.Addr(); at.IsValid() && !at.IsUnspecified() {
		for i, n := range list {
			if len(n.Addrs) == 0 && inside(canonical(n.Name), canonical(c.Suffix)) {
				list[i].Addrs = []netip.Addr{at}
			}
		}
	}
	return list
}

// Close stops serving.
func (s *Set) Close() error {
	if s.life.Err() != nil {
		return nil // it has been called
	}
	s.die()
	var err error
	if s.server != nil {
		err = s.server.close()
	}
	s.wait.Wait()
	s.notify.wait.Wait()
	return err
}

// Addr is where it listens; zero when it does not.
func (s *Set) Addr() netip.AddrPort {
	if s.server == nil {
		return netip.AddrPort{}
	}
	return s.server.addr
}

// Counters are what has been answered since the start.
type Counters struct {
	Answered    uint64 // whole, denials included
	Refused     uint64 // names that are not ours, transfers to strangers, what cannot be read
	Short       uint64 // sent to TCP, since its network asks too much
	Dropped     uint64 // for the same reason
	Transferred uint64 // whole zones
}

// Counters counts.
func (s *Set) Counters() Counters {
	return Counters{
		Answered: s.answered.Load(), Refused: s.refused.Load(), Short: s.short.Load(), Dropped: s.dropped.Load(), Transferred: s.transferred.Load(),
	}
}

// Changed says that gateways' facts may have changed. It does not wait.
func (s *Set) Changed() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// settle is how long changes are gathered: edges that start together report
// together.
const settle = 100 * time.Millisecond

// look is how often other control nodes' changes are looked for.
const look = 2 * time.Second

// watch rebuilds when something has changed, here or by another control node.
func (s *Set) watch() {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	pause := settle
	for {
		select {
		case <-s.life.Done():
			return
		case <-ticker.C:
			// What another node has written is taken as it is: two nodes that see
			// edges differently must not answer each other for ever.
			if s.stale() {
				if err := s.restore(s.life); err != nil && s.life.Err() == nil {
					s.log.Warn("what another control node has changed in the DNS zones could not be read", obs.KeyError, err)
				}
			}
			continue
		case <-s.poke:
			select {
			case <-time.After(pause):
			case <-s.life.Done():
				return
			}
		}
		began := time.Now()
		if err := s.Refresh(s.life); err != nil && s.life.Err() == nil {
			s.log.Warn("the DNS zones could not be renewed; the last ones are served on", obs.KeyError, err)
		}
		pause = max(settle, 10*time.Since(began)) // at most a tenth of a processor, however many gateways
	}
}

// NameServers are the four that an operator writes for a delegated domain, with
// their final dot.
func (s *Set) NameServers() []string {
	var names []string
	for _, n := range fourServers(s.cfg.NameServers, canonical(s.cfg.Suffix)) {
		names = append(names, n.Name)
	}
	return names
}

// canonical is a name as the zones know it: small letters, a final dot.
func canonical(name string) string { return dns.CanonicalName(name) }

// inside tells whether a canonical name is an apex or lies below it.
func inside(name, apex string) bool {
	return name == apex || strings.HasSuffix(name, "."+apex)
}
