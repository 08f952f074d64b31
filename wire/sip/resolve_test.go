package sip_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/sip/memnet"
)

var dnsAddr = netip.MustParseAddrPort("10.0.0.53:53")

// nameServer is a DNS server in memory that serves a zone file.
type nameServer struct {
	t    *testing.T
	net  *memnet.Network
	res  *sip.Resolver
	udp  sip.PacketConn
	tcp  net.Listener
	mu   sync.Mutex
	zone []dns.RR // mu
	soa  dns.RR
	// asked counts the queries by "name type".
	asked    map[string]int // mu
	truncate bool           // mu
	rcode    int            // mu
}

func withDNS(t *testing.T, zone string, f func(*nameServer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &nameServer{t: t, net: memnet.New(), asked: map[string]int{}}
		s.soa, _ = dns.NewRR("example. 300 IN SOA ns.example. root.example. 1 3600 600 86400 60")
		s.serve(zone)
		var err error
		if s.udp, err = s.net.ListenPacket(dnsAddr); err != nil {
			t.Fatal(err)
		}
		if s.tcp, err = s.net.Listen(dnsAddr); err != nil {
			t.Fatal(err)
		}
		go s.packets()
		go s.streams()
		if s.res, err = sip.NewResolver(sip.ResolverConfig{Servers: []string{dnsAddr.String()}, Network: s.net}); err != nil {
			t.Fatal(err)
		}
		f(s)
		s.udp.Close()
		s.tcp.Close()
	})
}

// serve replaces the zone.
func (s *nameServer) serve(zone string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone = nil
	p := dns.NewZoneParser(strings.NewReader(zone), "example.", "")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		s.zone = append(s.zone, rr)
	}
	if err := p.Err(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *nameServer) packets() {
	buf := make([]byte, 4096)
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		s.udp.WriteToUDPAddrPort(s.answer(buf[:n], true), from)
	}
}

func (s *nameServer) streams() {
	for {
		c, err := s.tcp.Accept()
		if err != nil {
			return
		}
		co := dns.Conn{Conn: c}
		if m, err := co.ReadMsg(); err == nil {
			raw, _ := m.Pack()
			co.Write(s.answer(raw, false))
		}
		c.Close()
	}
}

func (s *nameServer) answer(raw []byte, udp bool) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ask, m dns.Msg
	if err := ask.Unpack(raw); err != nil {
		s.t.Error(err)
	}
	m.SetReply(&ask)
	q := ask.Question[0]
	s.asked[strings.TrimSuffix(q.Name, ".")+" "+dns.TypeToString[q.Qtype]]++
	name, known := q.Name, false
	for next := name; next != ""; {
		name, next = next, ""
		if len(m.Answer) == 3 {
			break // the rest of the chain is the client's to ask for
		}
		for _, rr := range s.zone {
			if !strings.EqualFold(rr.Header().Name, name) {
				continue
			}
			known = true
			if alias, ok := rr.(*dns.CNAME); ok {
				m.Answer = append(m.Answer, rr)
				next = alias.Target
				break
			}
			if rr.Header().Rrtype == q.Qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
	}
	if len(m.Answer) == 0 && s.rcode == 0 {
		m.Ns = []dns.RR{s.soa}
		if !known {
			m.Rcode = dns.RcodeNameError
		}
	}
	if s.rcode != 0 {
		m = dns.Msg{MsgHdr: m.MsgHdr, Question: m.Question}
		m.Rcode = s.rcode
	}
	if s.truncate && udp {
		m.Truncated, m.Answer = true, nil
	}
	out, err := m.Pack()
	if err != nil {
		s.t.Error(err)
	}
	return out
}

// resolve gives the endpoints as text.
func (s *nameServer) resolve(host string, port uint16, t sip.Transport) ([]string, error) {
	eps, err := s.res.Resolve(context.Background(), sip.Hop{Host: host, Port: port, Transport: t})
	var out []string
	for _, e := range eps {
		out = append(out, fmt.Sprint(e.Transport, " ", e.Addr, " ", e.Host))
	}
	return out, err
}

func (s *nameServer) want(host string, port uint16, t sip.Transport, want ...string) {
	s.t.Helper()
	got, err := s.resolve(host, port, t)
	if err != nil {
		s.t.Errorf("resolve %s: %v", host, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("endpoints of %s (-want +got):\n%s", host, diff)
	}
}

func TestEndpointsAreFoundAsRFC3263Says(t *testing.T) {
	const anyTransport = 0
	for _, c := range []struct {
		name, zone, host string
		port             uint16
		transport        sip.Transport
		want             []string
	}{
		{"an address is itself", "", "192.0.2.1", 0, sip.TLS, []string{"TLS 192.0.2.1:5061 192.0.2.1"}},
		{"an address without transport is UDP", "", "192.0.2.1", 0, anyTransport, []string{"UDP 192.0.2.1:5060 192.0.2.1"}},
		{"an IPv6 address may wear brackets", "", "[2001:db8::1]", 5070, sip.TCP, []string{"TCP [2001:db8::1]:5070 2001:db8::1"}},
		{"a port forbids SRV", "sbc 60 A 192.0.2.1\n_sips._tcp.sbc 60 SRV 1 1 5061 other\nother 60 A 192.0.2.9", "sbc.example", 5063, sip.TLS, []string{"TLS 192.0.2.1:5063 sbc.example"}},
		{"IPv4 goes before IPv6", "sbc 60 AAAA 2001:db8::1\nsbc 60 A 192.0.2.1", "sbc.example", 5061, sip.TLS, []string{"TLS 192.0.2.1:5061 sbc.example", "TLS [2001:db8::1]:5061 sbc.example"}},
		{"SRV by priority, with the name that was asked for", "_sips._tcp.core 60 SRV 20 0 5061 b\n_sips._tcp.core 60 SRV 10 0 5063 a\na 60 A 192.0.2.1\nb 60 A 192.0.2.2", "core.example", 0, sip.TLS, []string{"TLS 192.0.2.1:5063 core.example", "TLS 192.0.2.2:5061 core.example"}},
		{"_sip._tls serves where _sips._tcp is not there", "_sip._tls.core 60 SRV 10 0 5061 a\na 60 A 192.0.2.1", "core.example", 0, sip.TLS, []string{"TLS 192.0.2.1:5061 core.example"}},
		{"without SRV the default port of the transport", "core 60 A 192.0.2.1", "core.example", 0, sip.TCP, []string{"TCP 192.0.2.1:5060 core.example"}},
		{"a TCP peer is not asked by its UDP records", "_sip._udp.core 60 SRV 1 1 5062 a\ncore 60 A 192.0.2.1\na 60 A 192.0.2.2", "core.example", 0, sip.TCP, []string{"TCP 192.0.2.1:5060 core.example"}},
		{"NAPTR by order and preference, unknown services left out", `core 60 NAPTR 20 10 "s" "SIP+D2U" "" _sip._udp.core
core 60 NAPTR 10 20 "S" "sip+d2t" "" _sip._tcp.core
core 60 NAPTR 10 10 "s" "SIP+D2S" "" _sip._sctp.core
core 60 NAPTR 1 10 "u" "E2U+sip" "!^.*$!sip:x@y!" .
_sip._udp.core 60 SRV 1 1 5060 a
_sip._tcp.core 60 SRV 1 1 5062 a
a 60 A 192.0.2.1`, "core.example", 0, anyTransport, []string{"TCP 192.0.2.1:5062 core.example", "UDP 192.0.2.1:5060 core.example"}},
		{"without NAPTR the safest transport that has SRV", "_sip._udp.core 60 SRV 1 1 5060 a\n_sip._tcp.core 60 SRV 1 1 5062 a\na 60 A 192.0.2.1", "core.example", 0, anyTransport, []string{"TCP 192.0.2.1:5062 core.example"}},
		{"without NAPTR and SRV it is UDP", "core 60 A 192.0.2.1", "core.example", 0, anyTransport, []string{"UDP 192.0.2.1:5060 core.example"}},
		{"a target that does not resolve is left out", "_sip._udp.core 60 SRV 1 1 5060 gone\n_sip._udp.core 60 SRV 2 1 5060 a\na 60 A 192.0.2.1", "core.example", 0, sip.UDP, []string{"UDP 192.0.2.1:5060 core.example"}},
		{"a target that is an address is understood", "_sip._udp.core 60 SRV 1 1 5060 192.0.2.7.", "core.example", 0, sip.UDP, []string{"UDP 192.0.2.7:5060 core.example"}},
		{"aliases are followed, in one message and over two", "sbc 60 CNAME a\na 60 CNAME b\nb 60 CNAME c\nc 60 CNAME d\nd 60 A 192.0.2.1", "sbc.example.", 5061, sip.TLS, []string{"TLS 192.0.2.1:5061 sbc.example"}},
		{"case and a final dot do not matter", "sbc 60 A 192.0.2.1", "SBC.Example.", 5061, sip.TLS, []string{"TLS 192.0.2.1:5061 SBC.Example"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			withDNS(t, c.zone, func(s *nameServer) { s.want(c.host, c.port, c.transport, c.want...) })
		})
	}
}

func TestSRVOfOnePriorityIsDrawnByWeight(t *testing.T) {
	const zone = "_sip._udp.core 0 SRV 1 90 5060 a\n_sip._udp.core 0 SRV 1 10 5060 b\n_sip._udp.core 0 SRV 1 0 5060 c\na 60 A 192.0.2.1\nb 60 A 192.0.2.2\nc 60 A 192.0.2.3"
	withDNS(t, zone, func(s *nameServer) {
		first := map[string]int{}
		for range 1000 {
			eps, err := s.resolve("core.example", 0, sip.UDP)
			if err != nil || len(eps) != 3 {
				s.t.Fatal(eps, err)
			}
			first[eps[0]]++
		}
		if a, b, c := first["UDP 192.0.2.1:5060 core.example"], first["UDP 192.0.2.2:5060 core.example"], first["UDP 192.0.2.3:5060 core.example"]; a < 820 || b < 50 || c > 40 {
			t.Errorf("first choice: %v", first)
		}
	})
}

func TestSeveralAddressesOfANameShareTheLoad(t *testing.T) {
	withDNS(t, "sbc 60 A 192.0.2.1\nsbc 60 A 192.0.2.2", func(s *nameServer) {
		first := map[string]int{}
		for range 100 {
			eps, _ := s.resolve("sbc.example", 5060, sip.UDP)
			first[eps[0]]++
		}
		if len(first) != 2 {
			t.Errorf("first choice: %v", first)
		}
	})
}

func TestWhatDoesNotExistIsNotFoundAndRememberedForAMinute(t *testing.T) {
	withDNS(t, "_sip._udp.closed 60 SRV 0 0 0 .", func(s *nameServer) {
		for _, host := range []string{"nobody.example", "closed.example"} {
			if _, err := s.resolve(host, 0, sip.UDP); fault.Of(err) != fault.NotFound {
				t.Errorf("%s: %v", host, err)
			}
		}
		s.resolve("nobody.example", 0, sip.UDP)
		if n := s.asked["nobody.example A"]; n != 1 {
			t.Errorf("asked %d times at once", n)
		}
		after(61 * time.Second)
		s.serve("nobody 60 A 192.0.2.1")
		s.want("nobody.example", 0, sip.UDP, "UDP 192.0.2.1:5060 nobody.example")
	})
}

func TestAnAnswerIsUsedForItsTimeToLive(t *testing.T) {
	withDNS(t, "sbc 30 A 192.0.2.1", func(s *nameServer) {
		s.want("sbc.example", 5060, sip.UDP, "UDP 192.0.2.1:5060 sbc.example")
		s.serve("sbc 30 A 192.0.2.2")
		after(29 * time.Second)
		s.want("sbc.example", 5060, sip.UDP, "UDP 192.0.2.1:5060 sbc.example")
		after(2 * time.Second)
		s.want("sbc.example", 5060, sip.UDP, "UDP 192.0.2.2:5060 sbc.example")
		if n := s.asked["sbc.example A"]; n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestAStaleAnswerServesWhileTheDNSIsAwayForADay(t *testing.T) {
	withDNS(t, "sbc 30 A 192.0.2.1", func(s *nameServer) {
		s.want("sbc.example", 5060, sip.UDP, "UDP 192.0.2.1:5060 sbc.example")
		s.net.Set(dnsAddr.Addr(), netip.Addr{}, memnet.Weather{Hole: true})
		after(23 * time.Hour)
		start := time.Now()
		s.want("sbc.example", 5060, sip.UDP, "UDP 192.0.2.1:5060 sbc.example")
		if d := time.Since(start); d > time.Second {
			t.Errorf("a caller waited %v for a DNS that is away", d)
		}
		start = time.Now()
		s.want("sbc.example", 5060, sip.UDP, "UDP 192.0.2.1:5060 sbc.example")
		if d := time.Since(start); d != 0 {
			t.Errorf("the next one waited %v", d)
		}
		after(2 * time.Hour)
		if _, err := s.resolve("sbc.example", 5060, sip.UDP); fault.Of(err) != fault.Unavailable {
			t.Errorf("after a day: %v", err)
		}
		s.net.Set(dnsAddr.Addr(), netip.Addr{}, memnet.Weather{})
		after(10 * time.Second)
		s.want("sbc.example", 5060, sip.UDP, "UDP 192.0.2.1:5060 sbc.example")
	})
}

func TestAServerThatFailsIsUnavailableNotNotFound(t *testing.T) {
	withDNS(t, "sbc 30 A 192.0.2.1", func(s *nameServer) {
		s.rcode = dns.RcodeServerFailure
		_, err := s.resolve("sbc.example", 5060, sip.UDP)
		if fault.Of(err) != fault.Unavailable || !strings.Contains(err.Error(), "SERVFAIL") {
			t.Errorf("error = %v", err)
		}
	})
}

func TestManyCallersAskTheServerOnce(t *testing.T) {
	withDNS(t, "sbc 30 A 192.0.2.1", func(s *nameServer) {
		s.net.Set(dnsAddr.Addr(), netip.Addr{}, memnet.Weather{Latency: 20 * time.Millisecond})
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { s.want("sbc.example", 5060, sip.UDP, "UDP 192.0.2.1:5060 sbc.example") })
		}
		all.Wait()
		if n := s.asked["sbc.example A"]; n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestACallerWhoGivesUpDoesNotSpoilItForTheOthers(t *testing.T) {
	withDNS(t, "sbc 30 A 192.0.2.1", func(s *nameServer) {
		s.net.Set(dnsAddr.Addr(), netip.Addr{}, memnet.Weather{Latency: 20 * time.Millisecond})
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		var hasty sync.WaitGroup
		hasty.Go(func() {
			if _, err := s.res.Resolve(ctx, sip.Hop{Host: "sbc.example", Port: 5060}); err == nil {
				t.Error("the hasty one got an answer")
			}
		})
		synctest.Wait()
		s.want("sbc.example", 5060, sip.UDP, "UDP 192.0.2.1:5060 sbc.example")
		hasty.Wait()
	})
}

func TestALostDatagramIsAskedAgainAndALongAnswerOverTCP(t *testing.T) {
	withDNS(t, "sbc 30 A 192.0.2.1", func(s *nameServer) {
		var lost bool
		s.net.Set(dnsAddr.Addr(), netip.Addr{}, memnet.Weather{Drop: func([]byte) bool {
			defer func() { lost = true }()
			return !lost
		}})
		s.truncate = true
		s.want("sbc.example", 5060, sip.UDP, "UDP 192.0.2.1:5060 sbc.example")
	})
}

func TestTheSystemsHostsFileIsHonouredWhenNoServerIsGiven(t *testing.T) {
	r, err := sip.NewResolver(sip.ResolverConfig{})
	if err != nil {
		t.Skip("no resolv.conf here")
	}
	eps, err := r.Resolve(t.Context(), sip.Hop{Host: "localhost", Port: 5060, Transport: sip.TCP})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(eps, func(e sip.Endpoint) bool { return e.Addr.Addr().IsLoopback() && e.Host == "localhost" }) {
		t.Errorf("endpoints of localhost = %v", eps)
	}
}

func TestAServerThatIsNoAddressIsRefused(t *testing.T) {
	for _, s := range []string{"dns.example:53", "10.0.0.1", ""} {
		if _, err := sip.NewResolver(sip.ResolverConfig{Servers: []string{s}}); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}
