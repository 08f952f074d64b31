package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/tandemgw/tandem/edge/call"
	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/sandbox/authority"
	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/sip/memnet"
)

// bubble is the world of the failures: a gateway of two regions between a
// Teams of three proxies and a core of two sites, under a fake clock and on a
// network in memory that takes no time. So each figure is the gateway's own,
// and comes out the same each time.
type bubble struct {
	t       *testing.T
	net     *memnet.Network
	air     *rtp.Network // of the media, which fails apart from the signalling
	ends    *rtp.Engine  // the far sides' media
	ca      *authority.Authority
	names   *nameServer
	regions [2]*gateway
	proxies [3]*far
	sites   [2]*far
	legs    legs
	running sync.WaitGroup // whatever the test has begun
}

// Where everybody is.
const (
	farDomain  = "pstnhub.bubble.example"
	farRoute   = "sip-du-a-eu." + farDomain // what Teams writes into Record-Route: two of its proxies
	homeDomain = "bubble.example"
)

var (
	atDNS    = netip.MustParseAddrPort("10.9.0.1:53")
	proxyAt  = [3]netip.AddrPort{netip.MustParseAddrPort("10.2.0.1:5061"), netip.MustParseAddrPort("10.2.0.2:5061"), netip.MustParseAddrPort("10.2.0.3:5061")}
	siteAt   = [2]netip.AddrPort{netip.MustParseAddrPort("10.1.0.1:5060"), netip.MustParseAddrPort("10.1.0.2:5060")}
	everyone netip.Addr
)

// gateway is one region with its only node.
type gateway struct {
	name        string
	cloud, core netip.AddrPort
	cert        *tls.Certificate
	engine      *rtp.Engine
	peers       *peer.Set
	calls       *call.Set
	stack       *sip.Stack
	records     ledger
	dead        bool // has lost power
}

// inBubble runs f in a fresh world in which everything is well.
func inBubble(t *testing.T, prepare, f func(b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{t: t, net: memnet.New(), air: rtp.NewNetwork()}
		b.legs.byCall, b.legs.gone = map[string]*leg{}, map[string]bool{}
		b.build(prepare)
		f(b)
		b.shut()
	})
}

func (b *bubble) build(prepare func(*bubble)) {
	b.t.Helper()
	var err error
	b.ca, err = authority.New("Bubble")
	b.must(err)
	b.ends, err = rtp.New(rtp.Config{Threads: 1, Network: b.air, Interfaces: []rtp.Interface{
		{Name: "core", Bind: netip.MustParseAddr("10.1.0.70"), PortMin: 20000, PortMax: 29999},
		{Name: "teams", Bind: netip.MustParseAddr("10.2.0.70"), PortMin: 20000, PortMax: 29999},
	}})
	b.must(err)
	b.names = b.serveNames()
	for i := range b.regions {
		b.regions[i] = &gateway{
			name:  fmt.Sprintf("r%d", i+1),
			core:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i + 1), 1}), 5060),
			cloud: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i + 1), 2}), 5063),
		}
		b.regions[i].cert = b.issue(authority.Terms{}, b.regions[i].cloudName())
	}
	for i, at := range proxyAt {
		name := "sip"
		if i > 0 {
			name += fmt.Sprint(i + 1)
		}
		b.names.set(name+"."+farDomain, at.Addr())
		b.proxies[i] = b.newFar(name, at, b.issue(authority.Terms{}, name+"."+farDomain, farRoute))
	}
	b.names.set(farRoute, proxyAt[0].Addr(), proxyAt[1].Addr())
	for i, at := range siteAt {
		b.sites[i] = b.newFar(string(rune('a'+i)), at, nil)
	}
	if prepare != nil {
		prepare(b)
	}
	for _, g := range b.regions {
		b.start(g)
	}
	synctest.Wait()
	// The first OPTIONS have made everybody known. The next ones are due in 54
	// to 60 s: what fails now is noticed by OPTIONS as late as can be.
	time.Sleep(time.Second)
	synctest.Wait()
}

func (b *bubble) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bubble) issue(terms authority.Terms, names ...string) *tls.Certificate {
	b.t.Helper()
	cert, err := b.ca.Issue(terms, names...)
	b.must(err)
	return cert
}

func (g *gateway) cloudName() string { return "1" + g.name + "." + homeDomain }

func (b *bubble) snapshot() *snapshot.Snapshot {
	host := func(a netip.AddrPort) []netip.Prefix { return []netip.Prefix{netip.PrefixFrom(a.Addr(), 32)} }
	s := &snapshot.Snapshot{
		Revision: 1, Gateway: "bubble",
		Regions: []snapshot.Region{{Name: "r1"}, {Name: "r2"}},
		Groups: []snapshot.Group{
			{Name: "core", Side: snapshot.Operator, Profile: "core", Codecs: []string{"PCMA"}},
			{Name: "teams", Side: snapshot.Cloud, Profile: "teams", Codecs: []string{"PCMA"}, Services: []snapshot.Service{snapshot.OperatorConnect}},
		},
		Policy: snapshot.Policy{GroupService: map[string]snapshot.Service{"core": snapshot.OperatorConnect}},
	}
	for i, at := range siteAt {
		s.Groups[0].Peers = append(s.Groups[0].Peers, snapshot.Peer{
			Name: "site-" + b.sites[i].name, Transport: "UDP", Host: at.Addr().String(), Port: at.Port(), Sources: host(at),
			Priority: map[string]int{"r1": i, "r2": 1 - i},
		})
	}
	for i, at := range proxyAt {
		s.Groups[1].Peers = append(s.Groups[1].Peers, snapshot.Peer{
			Name: "teams-" + b.proxies[i].name, Transport: "TLS", SRTP: true, Host: b.proxies[i].name + "." + farDomain, Port: at.Port(),
			Sources:  []netip.Prefix{netip.MustParsePrefix("10.2.0.0/24")},
			Names:    []string{b.proxies[i].name + "." + farDomain, farRoute},
			Priority: map[string]int{"r1": i, "r2": i},
		})
	}
	return s
}

// start starts a region's node as app does.
func (b *bubble) start(g *gateway) {
	b.t.Helper()
	log := slog.New(slog.NewTextHandler(testLog{b.t, g.name}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	listeners := []sip.Listener{
		{Name: "operator", Side: "operator", Transport: sip.UDP, Bind: g.core},
		{
			Name: "cloud", Side: "cloud", Transport: sip.TLS, Bind: g.cloud, Advertise: g.cloudName() + ":5063",
			Certificate: func() (*tls.Certificate, error) { return g.cert, nil },
		},
	}
	snap := b.snapshot()
	var err error
	g.engine, err = rtp.New(rtp.Config{Threads: 1, Network: b.air, Interfaces: []rtp.Interface{
		{Name: "operator", Bind: g.core.Addr(), PortMin: 20000, PortMax: 29999},
		{Name: "cloud", Bind: g.cloud.Addr(), PortMin: 20000, PortMax: 29999},
	}})
	b.must(err)
	resolver, err := sip.NewResolver(sip.ResolverConfig{Network: b.net, Servers: []string{atDNS.String()}})
	b.must(err)
	g.records.calls = map[string]record.Call{}
	g.peers = peer.NewSet(peer.Config{
		Region: g.name, Listeners: listeners, Resolver: resolver, Roots: b.ca.Roots(), Product: "Tandem/Gateway/test", Log: log,
	})
	g.peers.Apply(snap)
	g.calls = call.NewSet(call.Config{
		Node: g.name + "-a", Region: g.name, Peers: g.peers, Relay: relay.New(relay.Config{Engine: g.engine}),
		Interfaces: map[record.Side]string{"operator": "operator", "cloud": "cloud"},
		Snapshot:   func() *snapshot.Snapshot { return snap },
		Records:    &g.records, Product: "Tandem/Gateway/test", Log: log,
	})
	g.stack, err = sip.NewStack(sip.StackConfig{
		Network: b.net, Listeners: listeners, Admit: g.peers.Admit, Log: log,
		Handle: g.calls.Handle, HandleAck: g.calls.HandleAck, HandleStray: g.calls.HandleStray,
	})
	b.must(err)
	g.calls.Start(g.stack)
	g.peers.Start(g.stack)
}

// stop ends a node at once, as a power failure does but for the tidiness that
// the bubble demands.
func (g *gateway) stop() {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	g.calls.Drain(now)
	g.peers.Close()
	_ = g.stack.Close()
	_ = g.engine.Close()
}

// shut ends the world, when all calls are over, and looks for what is left.
func (b *bubble) shut() {
	b.t.Helper()
	b.running.Wait()
	time.Sleep(5 * time.Minute)
	synctest.Wait()
	for _, g := range b.regions {
		if g.dead {
			g.stop()
			continue
		}
		if n := g.calls.Counters(); n.Live != 0 || n.Panics != 0 {
			b.t.Errorf("%s: %d calls live, %d panics after all is over", g.name, n.Live, n.Panics)
		}
		if n := g.engine.Counters().Open; n != 0 {
			b.t.Errorf("%s: %d media ports are still open", g.name, n)
		}
		for _, r := range g.records.open() {
			b.t.Errorf("%s: a record is not closed: %+v", g.name, r)
		}
		g.stop()
	}
	for _, f := range b.fars() {
		f.stop()
	}
	for _, l := range b.legs.byCall {
		l.voice.close()
	}
	b.names.stop()
	b.must(b.ends.Close())
}

func (b *bubble) fars() []*far {
	return append(b.proxies[:len(b.proxies):len(b.proxies)], b.sites[:]...)
}

// ledger keeps the records of calls in memory.
type ledger struct {
	mu    sync.Mutex
	calls map[string]record.Call // mu
}

func (l *ledger) put(c record.Call, done func(error)) {
	l.mu.Lock()
	l.calls[c.ID] = c
	l.mu.Unlock()
	if done != nil {
		go done(nil)
	}
}

func (l *ledger) Begin(c record.Call, done func(error))  { l.put(c, done) }
func (l *ledger) Answer(c record.Call, done func(error)) { l.put(c, done) }
func (l *ledger) Progress(record.Call)                   {}
func (l *ledger) End(c record.Call, done func(error))    { l.put(c, done) }

func (l *ledger) open() (open []record.Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.calls {
		if c.Ended == nil {
			open = append(open, c)
		}
	}
	return open
}

// testLog shows a log with the test that it belongs to.
type testLog struct {
	t    *testing.T
	name string
}

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s: %s", l.name, strings.TrimSpace(string(p)))
	return len(p), nil
}

// nameServer is the DNS of the bubble: A records that live for a minute.
type nameServer struct {
	conn  sip.PacketConn
	done  chan struct{}
	mu    sync.Mutex
	addrs map[string][]netip.Addr // mu
}

func (b *bubble) serveNames() *nameServer {
	conn, err := b.net.ListenPacket(atDNS)
	b.must(err)
	s := &nameServer{conn: conn, done: make(chan struct{}), addrs: map[string][]netip.Addr{}}
	go s.run()
	return s
}

func (s *nameServer) set(name string, addrs ...netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addrs[dns.Fqdn(name)] = addrs
}

func (s *nameServer) run() {
	defer close(s.done)
	buf := make([]byte, 4096)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		ask := new(dns.Msg)
		if ask.Unpack(buf[:n]) != nil || len(ask.Question) != 1 {
			continue
		}
		if raw, err := s.answer(ask).Pack(); err == nil {
			_, _ = s.conn.WriteToUDPAddrPort(raw, from)
		}
	}
}

func (s *nameServer) answer(ask *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(ask)
	q := ask.Question[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	addrs, ok := s.addrs[strings.ToLower(q.Name)]
	if !ok {
		m.Rcode = dns.RcodeNameError
	}
	if q.Qtype == dns.TypeA {
		for _, a := range addrs {
			m.Answer = append(m.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: a.AsSlice(),
			})
		}
	}
	if len(m.Answer) == 0 {
		m.Ns = []dns.RR{&dns.SOA{
			Hdr: dns.RR_Header{Name: dns.Fqdn(farDomain), Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60},
			Ns:  "ns.", Mbox: "nobody.", Minttl: 60,
		}}
	}
	return m
}

func (s *nameServer) stop() {
	_ = s.conn.Close()
	<-s.done
}

// The ways in which the network fails a far side.

// silence swallows what is sent to or by an address; its connections stand.
func (b *bubble) silence(a netip.Addr) { b.net.Set(a, everyone, memnet.Weather{Hole: true}) }

// refuse resets the connections of an address and takes no new ones.
func (b *bubble) refuse(a netip.Addr) {
	b.net.Set(a, everyone, memnet.Weather{Refuse: true})
	b.net.Cut(a, everyone)
}

// part keeps two addresses from hearing each other.
func (b *bubble) part(x, y netip.Addr) { b.net.Set(x, y, memnet.Weather{Hole: true}) }

// repair ends all that.
func (b *bubble) repair() {
	for _, x := range b.addrs() {
		b.net.Set(x, everyone, memnet.Weather{})
		for _, y := range b.addrs() {
			b.net.Set(x, y, memnet.Weather{})
		}
	}
}

func (b *bubble) addrs() (all []netip.Addr) {
	all = append(all, atDNS.Addr())
	for _, f := range b.fars() {
		all = append(all, f.at.Addr())
	}
	for _, g := range b.regions {
		all = append(all, g.core.Addr(), g.cloud.Addr())
	}
	return all
}

// impostor takes a far side's place with a bare listener; do serves each
// connection until the world ends.
func (b *bubble) impostor(f *far, do func(net.Conn)) {
	b.t.Helper()
	f.stop()
	b.net.Cut(f.at.Addr(), everyone)
	l, err := b.net.Listen(f.at)
	b.must(err)
	var conns []net.Conn
	var mu sync.Mutex
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			serving.Go(func() { do(c) })
		}
	})
	f.close = func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		serving.Wait()
	}
}

// resetter serves connections as a proxy whose machine dies again and again:
// it answers OPTIONS, and the connection ends in the middle of its response to
// an INVITE.
func (b *bubble) resetter(f *far) func(net.Conn) {
	return b.overTLS(f, func(c net.Conn, m *sip.Message) {
		if m.Method != "INVITE" {
			_, _ = c.Write(f.settle(m).Append(nil))
			return
		}
		f.invites.Add(1)
		half := sip.NewResponse(m, 180, "").Append(nil)
		_, _ = c.Write(half[:len(half)/2])
		b.net.Cut(f.at.Addr(), c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr())
	})
}

// slow serves connections as a proxy without transactions: not even a 100
// comes before its first response, nor with a negative pause anything at all.
func (b *bubble) slow(f *far, pause time.Duration) func(net.Conn) {
	return b.overTLS(f, func(c net.Conn, m *sip.Message) {
		var mu sync.Mutex // a Write is two on TLS
		f.stateless(m, pause, func(b []byte) {
			mu.Lock()
			defer mu.Unlock()
			_, _ = c.Write(b)
		})
	})
}

// stateless handles what an impostor has read.
func (f *far) stateless(m *sip.Message, pause time.Duration, write func([]byte)) {
	switch {
	case !m.IsRequest() || m.Method == "ACK":
	case m.Method != "INVITE":
		write(f.settle(m).Append(nil))
	default:
		f.invites.Add(1)
		if pause >= 0 {
			f.b.running.Go(func() {
				f.ring(m, habit{pause: pause}, nil, func(m *sip.Message) { write(m.Append(nil)) })
			})
		}
	}
}

func (b *bubble) overTLS(f *far, handle func(net.Conn, *sip.Message)) func(net.Conn) {
	cert := *f.cert
	return func(raw net.Conn) {
		c := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}})
		in := sip.NewReader(c, sip.Limits{})
		for {
			m, err := in.Read()
			if err != nil {
				return
			}
			handle(c, m)
		}
	}
}

// slowSite is slow for a site of the core.
func (b *bubble) slowSite(f *far, pause time.Duration) {
	b.t.Helper()
	f.stop()
	conn, err := b.net.ListenPacket(f.at)
	b.must(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf, seen := make([]byte, 65536), map[string]bool{}
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			m, err := sip.Parse(append([]byte(nil), buf[:n]...), sip.Limits{})
			if err != nil {
				continue
			}
			if via := m.Method + m.Get("Via"); !seen[via] || m.Method != "INVITE" {
				seen[via] = true
				f.stateless(m, pause, func(b []byte) { _, _ = conn.WriteToUDPAddrPort(b, from) })
			}
		}
	}()
	f.close = func() {
		_ = conn.Close()
		<-done
	}
}
