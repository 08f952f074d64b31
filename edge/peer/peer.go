// Package peer knows the far sides: who may talk to us, where they are, how
// they stand.
//
// A Set is made from the peers of a snapshot. It is the allow-list of the SIP
// stack (Admit), turns a peer's name into targets in the order they are to be
// tried (Resolve), sends OPTIONS to each peer and answers theirs (probe.go),
// and keeps a circuit breaker per peer (breaker.go, pure) fed by the outcome of
// calls.
//
// A table of peers is immutable and replaced as a whole; what must outlive a
// snapshot, a peer's standing, is shared by the tables. Who is not in the newest
// snapshot may still end the calls he has. Start reading at Set,
// then standing. The package refuses to choose among peers, which is route's
// work, and to carry calls.
package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/rule"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

// Config is what a Set is made of.
type Config struct {
	Region    string         // the service region of this node
	Listeners []sip.Listener // as given to the stack: a peer is reached from the one of its side and transport
	Testers   []sip.Listener // where the node itself comes in, to test the way: one for each side
	Resolver  *sip.Resolver
	Roots     *x509.CertPool // trust anchors of TLS peers; nil: the system's
	Interval  time.Duration  // between OPTIONS to a peer that names none; default 60 s
	Product   string         // X-MS-SBC and User-Agent, "Tandem/Gateway/1.0"
	Log       *slog.Logger   // nil: discarded
	// Certificate gives the node's certificate of that name, where a snapshot
	// wants another one than the listener's.
	Certificate func(name string) (*tls.Certificate, error)
}

// Settings are what Renew can change of a Config.
type Settings struct {
	Resolver *sip.Resolver
	Roots    *x509.CertPool
	Interval time.Duration
	Rate     int // requests a second that each peer may begin; 0: the stack's default
}

// Set is the peers of the newest snapshot.
type Set struct {
	cfg       Config // RO
	table     atomic.Pointer[table]
	stack     atomic.Pointer[sip.Stack]
	strangers atomic.Uint64
	draining  atomic.Bool
	refusals  *obs.Limiter // RO; one line per peer whose proofs are wrong
	overruns  *obs.Limiter // RO; one line per peer that has too many calls

	mu    sync.Mutex         // Apply, Start and Close exclude each other
	ctx   context.Context    // RO; of all watches
	stop  context.CancelFunc // RO
	watch sync.WaitGroup

	bindings []*binding // mu; registrations that are kept up
}

// table is the peers of one snapshot. Immutable.
type table struct {
	Settings
	order    []*member // as in the snapshot
	leaving  []*member // of snapshots before, with calls that are not over
	byName   map[string]*member
	byRemote map[*sip.Remote]*member
}

// member is a peer as one snapshot describes it. Immutable.
type member struct {
	Known
	listener  string // name of the listener it is reached from, "" when there is none
	transport sip.Transport
	literal   netip.Addr     // its host, where that is an address
	local     bool           // has a priority from this node's region
	domain    string         // the region's, by which the cloud knows us
	sources   []netip.Prefix // where its signalling may come from, in this node's region
	*standing                // shared with the tables before and after
	login     *login         // likewise
}

// Known is a peer with its group, as the snapshot has them, and what that comes
// to in the region of this node. It is shared, and never changed.
type Known struct {
	snapshot.Peer
	Group snapshot.Group

	Rules *rule.Set // of its group; nil: none

	media   []netip.Prefix   // where its media may come from; none: anywhere
	profile *interop.Profile // of its group
}

// NewSet makes an empty set, in which everybody is a stranger.
func NewSet(cfg Config) *Set {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Set{cfg: cfg, refusals: obs.NewLimiter(time.Minute), overruns: obs.NewLimiter(time.Minute)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.table.Store(&table{Settings: Settings{Resolver: cfg.Resolver, Roots: cfg.Roots, Interval: cfg.Interval}})
	return s
}

// Apply replaces the peers by those of a snapshot. A peer that is still
// reached in the same way keeps its standing, its Remote and its connections.
func (s *Set) Apply(snap *snapshot.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apply(snap, s.table.Load().Settings)
}

// Renew is Apply with other settings. It names the peers whose connections
// were made by rules that hold no more; Reconnect replaces them.
func (s *Set) Renew(snap *snapshot.Snapshot, with Settings) (outdated []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.apply(snap, with)
}

func (s *Set) apply(snap *snapshot.Snapshot, with Settings) (outdated []string) {
	old := s.table.Load()
	t := &table{Settings: with, byName: map[string]*member{}, byRemote: map[*sip.Remote]*member{}}
	for _, g := range snap.Groups {
		profile, rules := interop.Of(&g), s.rules(&g)
		for _, p := range g.Peers {
			if t.byName[p.Name] != nil {
				continue // names are unique; control/gateway sees to it
			}
			m := s.member(Known{p, g, rules, snap.MediaFrom(&p, s.cfg.Region), profile}, old.byName[p.Name])
			m.sources = snap.Sources(&p, s.cfg.Region)
			if r := snap.Region(s.cfg.Region); r != nil && g.Side == snapshot.Cloud {
				m.domain = r.Domain
			}
			m.remote.SetRate(sip.Rate{Requests: with.Rate})
			m.login = newLogin(m, old.byName[p.Name])
			if m.transport == sip.TLS && m.demand(s.policy(m, t)) {
				outdated = append(outdated, m.Name)
			}
			t.order = append(t.order, m)
			t.byName[p.Name] = m
			t.byRemote[m.remote] = m
		}
	}
	now := time.Now()
	for _, m := range slices.Concat(old.order, old.leaving) {
		if t.byRemote[m.remote] == nil {
			m.end()
			if slices.Contains(s.bindings, m.login.binding) {
				m.linger(now)
			}
			if m.engaged(now) {
				t.leaving = append(t.leaving, m)
			}
		}
	}
	s.table.Store(t)
	s.watchAll(t)
	return outdated
}

// member makes a peer of the new table, with the standing of its predecessor
// where that one was reached in the same way.
func (s *Set) member(k Known, old *member) *member {
	m := &member{Known: k}
	m.transport, _ = sip.ParseTransport(k.Transport)
	m.literal, _ = netip.ParseAddr(k.Host) // a name has none
	_, m.local = k.Priority[s.cfg.Region]
	listeners := s.cfg.Listeners
	if k.Group.Tester {
		listeners = s.cfg.Testers
	}
	for _, l := range listeners {
		if l.Side == string(k.Group.Side) && l.Transport == m.transport {
			m.listener = l.Name
			break
		}
	}
	if old != nil && old.way() == m.way() {
		m.standing = old.standing
	} else {
		m.standing = newStanding(m)
	}
	return m
}

// way is all that a peer's connections depend on.
func (m *member) way() string {
	return strings.Join([]string{
		m.Name, string(m.Group.Side), m.Transport, m.hostPort(),
	}, "\n")
}

// names are those one of which the peer's certificate must bear.
func (m *member) names() []string {
	if len(m.Names) > 0 {
		return m.Names
	}
	return []string{m.Host}
}

// hostPort is the peer as configured; without a port it is looked up by SRV.
func (k *Known) hostPort() string {
	host := k.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if k.Port == 0 {
		return host
	}
	return host + ":" + strconv.Itoa(int(k.Port))
}

// used tells whether calls of this node may go to the peer: one without any
// priority only calls us.
func (m *member) used() bool { return len(m.Priority) > 0 && m.listener != "" }

// Start begins to send OPTIONS through stack, to the peers there are and to
// those that Apply brings later.
func (s *Set) Start(stack *sip.Stack) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stack.Store(stack)
	s.watchAll(s.table.Load())
}

// Close stops the OPTIONS and waits for what runs.
func (s *Set) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
	s.watch.Wait()
}

// Drain makes Answer say 503 from now on and takes registrations back, so that
// peers move away. It waits for the registrars, for a moment.
func (s *Set) Drain() {
	s.draining.Store(true)
	s.unregisterAll()
}

// Resume makes Answer say 200 again. Registrations are made anew by Renew.
func (s *Set) Resume() { s.draining.Store(false) }

// Admit is the allow-list, in the shape the stack wants it: the peers of the
// listener's side that may send from src. A peer is only met on the kind of
// transport it is configured with, so that the allow-list of a TLS peer opens
// no way around its certificate; UDP and TCP are one kind, since RFC 3261
// 18.1.1 moves large requests from one to the other.
//
// Peers often share their ranges, and without certificates the first one
// counts: so the peer whose own address it is comes first, then those of this
// region.
func (s *Set) Admit(l *sip.Listener, src netip.Addr) []*sip.Remote {
	src = src.Unmap()
	var found []*sip.Remote
	exact, near := 0, 0 // how many of the best are in front
	t := s.table.Load()
	for _, m := range t.order {
		switch {
		case !m.meets(l, src):
		case m.literal == src:
			found = slices.Insert(found, exact, m.remote)
			exact++
			near++
		case m.local:
			found = slices.Insert(found, near, m.remote)
			near++
		default:
			found = append(found, m.remote)
		}
	}
	for _, m := range t.leaving {
		if m.meets(l, src) && m.engaged(time.Now()) {
			found = append(found, m.remote)
		}
	}
	if found == nil {
		s.strangers.Add(1)
	}
	return found
}

// meets tells whether the peer may send from src to a listener.
func (m *member) meets(l *sip.Listener, src netip.Addr) bool {
	return string(m.Group.Side) == l.Side && (m.transport == sip.TLS) == (l.Transport == sip.TLS) && m.allows(src)
}

func (m *member) allows(src netip.Addr) bool {
	return slices.ContainsFunc(m.sources, func(p netip.Prefix) bool { return p.Contains(src) })
}

// Strangers counts the messages and connections Admit turned away.
func (s *Set) Strangers() uint64 { return s.strangers.Load() }

// MediaFrom tells whether the peer may have media at an address.
func (k *Known) MediaFrom(a netip.Addr) bool {
	a = a.Unmap()
	return len(k.media) == 0 || slices.ContainsFunc(k.media, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Speaks tells whether a message may come from a peer of a group: it does, or
// it comes from an address that one of them may use as well. Who has left the
// configuration is heard until his calls are over.
func (s *Set) Speaks(group string, src sip.Source) bool {
	t := s.table.Load()
	return slices.ContainsFunc(slices.Concat(t.order, t.leaving), func(m *member) bool {
		return m.Group.Name == group && (m.remote == src.Remote || m.meets(src.Listener, src.Addr.Addr().Unmap()))
	})
}

// Of tells which peer a message came from. It is never nil.
func (s *Set) Of(src sip.Source) (*Known, bool) {
	m := s.table.Load().byRemote[src.Remote]
	if m == nil {
		return Nobody, false
	}
	return &m.Known, true
}

// Remote is how the stack knows a peer, nil when there is none of that name.
func (s *Set) Remote(name string) *sip.Remote {
	if m := s.table.Load().byName[name]; m != nil {
		return m.remote
	}
	return nil
}

// Find gives a peer by name. It is never nil.
func (s *Set) Find(name string) (*Known, bool) {
	m := s.table.Load().byName[name]
	if m == nil {
		return Nobody, false
	}
	return &m.Known, true
}

// Nobody is no peer.
var Nobody = new(Known)

// Rules are those of a peer's group, nil when it has none.
func (s *Set) Rules(name string) *rule.Set {
	if m := s.table.Load().byName[name]; m != nil {
		return m.Rules
	}
	return nil
}

// rules compiles those of a group. Whoever publishes a snapshot has checked
// them; should they be wrong nevertheless, calls go on without.
func (s *Set) rules(g *snapshot.Group) *rule.Set {
	set, problems := rule.Compile(g.Rules)
	for _, p := range problems {
		s.cfg.Log.Error("the rules of a peer group cannot be used", "group", g.Name, "rule", p.Rule, "at", p.Path, obs.KeyError, p.Text)
	}
	return set
}

// Leg is what interop wants to know of the way to a peer. It is zero before
// Start.
func (s *Set) Leg(k *Known) interop.Leg {
	m, stack := s.table.Load().byName[k.Name], s.stack.Load()
	if m == nil || stack == nil {
		return interop.Leg{Profile: k.profile}
	}
	return interop.Leg{
		Profile:   k.profile,
		Local:     s.local(m, stack),
		Remote:    k.hostPort(),
		Transport: m.transport,
		Product:   s.cfg.Product,
		Plan:      interop.PlanOf(&k.Group, &k.Peer),
	}
}

// local is what we are called towards a peer: the name of its listener or, when
// it has none, of the region; the address where the peer knows us by that.
func (s *Set) local(m *member, stack *sip.Stack) string {
	for _, l := range s.cfg.Listeners {
		if m.profile != nil && m.profile.Addresses && l.Name == m.listener && !l.Bind.Addr().IsUnspecified() {
			return l.Bind.String()
		}
	}
	here := stack.ContactHost(m.listener)
	if at, err := netip.ParseAddrPort(here); err == nil && m.domain != "" {
		// The listener has no name of its own, and Teams refuses an address in
		// Contact (Microsoft Teams docs, "Direct Routing - SIP protocol").
		return net.JoinHostPort(m.domain, strconv.Itoa(int(at.Port())))
	}
	return here
}

// Resolve gives the targets of a peer in the order they are to be tried
// (RFC 3263). The error is one sentence that tells what to do.
func (s *Set) Resolve(ctx context.Context, name string) ([]sip.Target, error) {
	m := s.table.Load().byName[name]
	if m == nil {
		return nil, fmt.Errorf("peer %s is not in the snapshot any more", name)
	}
	return s.resolve(ctx, m, sip.Hop{Host: m.Host, Port: m.Port, Transport: m.transport})
}

// ResolveHop gives the targets of the next hop inside a dialog with a peer:
// only addresses that the peer may send from, so that a route set cannot make
// us speak to a third party; none when there is no such address.
func (s *Set) ResolveHop(ctx context.Context, name string, hop sip.URI) ([]sip.Target, error) {
	m := s.table.Load().byName[name]
	if m == nil {
		return nil, fmt.Errorf("peer %s is not in the snapshot any more", name)
	}
	targets, err := s.resolve(ctx, m, sip.Hop{Host: hop.Host, Port: hop.Port, Transport: m.transport})
	return slices.DeleteFunc(targets, func(t sip.Target) bool { return !m.allows(t.Addr.Addr().Unmap()) }), err
}

func (s *Set) resolve(ctx context.Context, m *member, hop sip.Hop) ([]sip.Target, error) {
	if m.listener == "" {
		return nil, fmt.Errorf("peer %s wants %s and the %s side has no such listener: add one to sip.listeners", m.Name, m.Transport, m.Group.Side)
	}
	ends, err := s.table.Load().Resolver.Resolve(ctx, hop)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", hop.Host, err)
	}
	targets := make([]sip.Target, len(ends))
	for i, e := range ends {
		targets[i] = sip.Target{Listener: m.listener, Transport: e.Transport, Addr: e.Addr, Host: e.Host, Remote: m.remote}
	}
	return targets, nil
}

// Suspended tells whether calls should rather go elsewhere: the peer does not
// answer, or its circuit breaker is open, or a call is just trying whether it
// may be closed again.
func (s *Set) Suspended(name string) bool {
	m := s.table.Load().byName[name]
	return m != nil && m.suspended(time.Now())
}

// Report feeds a peer's circuit breaker.
func (s *Set) Report(name string, o Outcome) {
	if m := s.table.Load().byName[name]; m != nil {
		m.report(time.Now(), o)
	}
}

// Hold counts a live call through a peer, whatever its limits say, until the function it returns is
// called, once.
func (s *Set) Hold(name string) (release func()) {
	m := s.table.Load().byName[name]
	if m == nil {
		return func() {}
	}
	m.hold(time.Now())
	return func() { m.release(time.Now()) }
}

// Health is how each peer stands, in the order of the snapshot.
func (s *Set) Health() []record.PeerHealth {
	now, proofs := time.Now(), s.proofs()
	var all []record.PeerHealth
	for _, m := range s.table.Load().order {
		if m.Group.Tester {
			continue
		}
		h := m.health(now)
		if p, ok := proofs[m.remote]; ok {
			h.CertEnds, h.CertRoot, h.TLS = &p.NotAfter, p.Root, agreed(p)
		}
		h.Peer, h.Group, h.Side = m.Name, m.Group.Name, record.Side(m.Group.Side)
		h.Transport, h.Target = m.Transport, m.hostPort()
		if b := m.login.binding; b != nil {
			h.Registration = b.health(now)
		}
		if h.Unused = !m.used(); h.Unused && h.State == unknown {
			h.Why = s.unused(m)
		}
		all = append(all, h)
	}
	return all
}

// proofs are the certificates the peers showed last, on whichever side of a
// connection.
func (s *Set) proofs() map[*sip.Remote]sip.PeerCertificate {
	stack := s.stack.Load()
	if stack == nil {
		return nil
	}
	last := map[*sip.Remote]sip.PeerCertificate{}
	for _, p := range stack.PeerCertificates() {
		if old, ok := last[p.Remote]; !ok || p.Seen.After(old.Seen) {
			last[p.Remote] = p
		}
	}
	return last
}

func (s *Set) unused(m *member) string {
	if m.listener == "" {
		return fmt.Sprintf("no %s listener on the %s side: add one to sip.listeners", m.Transport, m.Group.Side)
	}
	return "calls are never sent to it: it has no priority in any region"
}
