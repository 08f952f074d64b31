package zone

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/tandemgw/tandem/control/store/storetest"
)

// secondary is a name server that is told of changes.
type secondary struct {
	addr netip.AddrPort
	told chan *dns.Msg
}

func startSecondary(t *testing.T, key *Key) *secondary {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &secondary{addr: pc.LocalAddr().(*net.UDPAddr).AddrPort(), told: make(chan *dns.Msg, 16)}
	ready := make(chan struct{})
	server := &dns.Server{PacketConn: pc, NotifyStartedFunc: func() { close(ready) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		if key != nil && (m.IsTsig() == nil || w.TsigStatus() != nil) {
			return
		}
		s.told <- m
		a := new(dns.Msg)
		a.SetReply(m)
		if key != nil {
			a.SetTsig(key.Name, dns.HmacSHA256, 300, time.Now().Unix())
		}
		_ = w.WriteMsg(a)
	})}
	// The library accepts no NOTIFY unless it is told to.
	server.MsgAcceptFunc = func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }
	if key != nil {
		server.TsigSecret = map[string]string{key.Name: key.Secret}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.ActivateAndServe()
	}()
	<-ready
	t.Cleanup(func() {
		_ = server.Shutdown()
		<-done
	})
	return s
}

// transferred is a whole zone as a secondary gets it.
func transferred(t *testing.T, s *Set, apex string, key *Key) ([]dns.RR, error) {
	t.Helper()
	q := new(dns.Msg)
	q.SetAxfr(dns.Fqdn(apex))
	in := &dns.Transfer{DialTimeout: 3 * time.Second, ReadTimeout: 3 * time.Second}
	if key != nil {
		in.TsigSecret = map[string]string{key.Name: key.Secret}
		q.SetTsig(key.Name, dns.HmacSHA256, 300, time.Now().Unix())
	}
	envelopes, err := in.In(q, s.Addr().String())
	if err != nil {
		return nil, err
	}
	var all []dns.RR
	for e := range envelopes {
		if e.Error != nil && err == nil {
			err = e.Error
		}
		all = append(all, e.RR...)
	}
	return all, err
}

// RFC 5936, RFC 1996.
func TestSecondariesAreToldAndGetTheWholeZone(t *testing.T) {
	for what, key := range map[string]*Key{
		"by address":         nil,
		"by TSIG (RFC 8945)": {Name: "transfer.", Secret: base64.StdEncoding.EncodeToString([]byte("0123456789abcdef"))},
	} {
		t.Run(what, func(t *testing.T) {
			far := startSecondary(t, key)
			g := twoRegions()
			for i := range 150 {
				g.Customers = append(g.Customers, fmt.Sprintf("c%d", i))
			}
			w := &world{facts: []Gateway{g}}
			s := open(t, storetest.New(t), w, func(c *Config) { c.Secondaries = []Secondary{{Addr: far.addr, Key: key}} })
			if err := s.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := map[string]uint32{}
			for apex, z := range s.served.Load().zones {
				want[apex] = z.soa.Serial
			}
			told := map[string]uint32{}
			for !cmp.Equal(told, want) {
				select {
				case m := <-far.told:
					soa := m.Answer[0].(*dns.SOA)
					told[soa.Hdr.Name] = soa.Serial
				case <-time.After(10 * time.Second):
					t.Fatalf("told %v, want %v", told, want)
				}
			}
			all, err := transferred(t, s, suffix, key)
			if err != nil {
				t.Fatal(err)
			}
			z := s.served.Load().zones[suffix+"."]
			if len(all) != len(z.records)+1 || all[0].Header().Rrtype != dns.TypeSOA || all[len(all)-1].Header().Rrtype != dns.TypeSOA {
				t.Errorf("%d records, want %d with the SOA first and last", len(all), len(z.records)+1)
			}
		})
	}
}

func TestStrangersGetNoZone(t *testing.T) {
	key := &Key{Name: "transfer.", Secret: base64.StdEncoding.EncodeToString([]byte("0123456789abcdef"))}
	other := &Key{Name: "transfer.", Secret: base64.StdEncoding.EncodeToString([]byte("fedcba9876543210"))}
	there := netip.MustParseAddrPort("127.0.0.1:9")
	elsewhere := netip.MustParseAddrPort("192.0.2.1:9")
	for what, c := range map[string]struct {
		secondaries []Secondary
		apex        string
		key         *Key
	}{
		"there is none":      {nil, suffix, nil},
		"another address":    {[]Secondary{{Addr: elsewhere}}, suffix, nil},
		"no key":             {[]Secondary{{Addr: there, Key: key}}, suffix, nil},
		"another key":        {[]Secondary{{Addr: there, Key: key}}, suffix, other},
		"key from elsewhere": {[]Secondary{{Addr: elsewhere, Key: key}}, suffix, key},
		"a name in a zone":   {[]Secondary{{Addr: there}}, base, nil},
		"no zone of ours":    {[]Secondary{{Addr: there}}, "example", nil},
	} {
		t.Run(what, func(t *testing.T) {
			s, _ := running(t, func(cfg *Config) { cfg.Secondaries = c.secondaries })
			if all, err := transferred(t, s, c.apex, c.key); err == nil || len(all) > 0 {
				t.Errorf("%d records, %v", len(all), err)
			}
			if c := s.Counters(); c.Transferred != 0 || c.Refused == 0 {
				t.Errorf("counted %+v", c)
			}
		})
	}
}

func TestATransferByUDPIsSentToTCP(t *testing.T) {
	s, _ := running(t, func(c *Config) { c.Secondaries = []Secondary{{Addr: netip.MustParseAddrPort("127.0.0.1:9")}} })
	m := ask(t, s, "udp", suffix, dns.TypeIXFR)
	if len(m.Answer) != 1 || m.Answer[0].Header().Rrtype != dns.TypeSOA { // RFC 1995 §2
		t.Errorf("%v", m)
	}
}

// The limit is per network, lets clients back by TCP, and never sends more
// than it receives.
func TestAnswersToOneNetworkAreBounded(t *testing.T) {
	l, now := newLimiter(10), time.Now()
	var got [3]int
	for range 100 {
		got[l.take(netip.MustParseAddr("192.0.2.1"), now)]++
	}
	if got != [3]int{10, 45, 45} {
		t.Errorf("whole, short, none: %v", got)
	}
	if l.take(netip.MustParseAddr("192.0.2.99"), now) == whole {
		t.Error("the neighbour in the same network has a limit of its own")
	}
	free := 0
	for i := range 100 {
		if l.take(netip.AddrFrom4([4]byte{198, 51, byte(i), 1}), now) == whole {
			free++
		}
	}
	if free < 95 { // a few may share a bucket
		t.Errorf("%d of 100 other networks were answered", free)
	}
	if l.take(netip.MustParseAddr("192.0.2.1"), now.Add(time.Second)) != whole {
		t.Error("after a second there is no answer again")
	}
	for i := range 10 { // one customer's network, by the habits of providers
		l.take(netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%x::1", i)), now)
	}
	if l.take(netip.MustParseAddr("2001:db8:0:ff::1"), now) == whole {
		t.Error("the neighbour in the same IPv6 network has a limit of its own")
	}
	if l.take(netip.MustParseAddr("2001:db8:1:1::1%eth0"), now) != whole || l.take(netip.Addr{}, now) != none {
		t.Error("IPv6 and no address")
	}
}

func TestAFloodIsNotAmplified(t *testing.T) {
	s, _ := running(t, func(c *Config) { c.Rate = 5 })
	conn, err := net.Dial("udp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	q := new(dns.Msg)
	q.SetQuestion("_sip._tls.mcp.r1."+base+".", dns.TypeSRV)
	q.SetEdns0(4096, true)
	wire, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	const asked = 200
	buf, received, cut := make([]byte, 4096), 0, 0
	for range asked {
		if _, err := conn.Write(wire); err != nil {
			t.Fatal(err)
		}
	}
	for {
		_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		n, err := conn.Read(buf)
		if err != nil {
			break
		}
		m := new(dns.Msg)
		if err := m.Unpack(buf[:n]); err != nil {
			t.Fatal(err)
		}
		if received += n; m.Truncated {
			cut++
		}
	}
	if c := s.Counters(); c.Short != uint64(cut) || c.Short+c.Dropped+c.Answered < asked/2 {
		t.Errorf("counted %+v, %d were cut", c, cut)
	}
	if received > asked*len(wire) || cut == 0 {
		t.Errorf("%d octets came back for %d, %d answers say to come by TCP", received, asked*len(wire), cut)
	}
	if m := ask(t, s, "tcp", "_sip._tls.mcp.r1."+base, dns.TypeSRV); len(m.Answer) == 0 {
		t.Errorf("by TCP: %v", m)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	s, _ := running(t)
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	greedy := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 66)}}
	for range maxOfSource + 5 {
		c, err := greedy.DialContext(t.Context(), "tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	last := conns[len(conns)-1]
	_ = last.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := last.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("a connection above the limit: %v", err)
	}
	if m := ask(t, s, "tcp", "r1."+base, dns.TypeA); len(m.Answer) != 2 {
		t.Errorf("who comes from elsewhere meanwhile: %v", m)
	}
	if m := ask(t, s, "udp", "r1."+base, dns.TypeA); len(m.Answer) != 2 {
		t.Errorf("by UDP meanwhile: %v", m)
	}
}

// Whoever looks for a token may ask any name server: all must have it.
func TestVisibleWaitsForEveryNameServer(t *testing.T) {
	copy, _ := running(t) // which gets what it has by another way, later
	s, _ := running(t, func(c *Config) { c.Secondaries = []Secondary{{Addr: copy.Addr()}} })
	name := "_acme-challenge.r1." + base
	if err := s.AddText(t.Context(), name, "x"); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.Visible(short, name, "x"); err == nil || !strings.Contains(err.Error(), "name server "+copy.Addr().String()+" does not show") {
		t.Errorf("before the copy: %v", err)
	}
	seen := make(chan error, 1)
	go func() { seen <- s.Visible(t.Context(), name, "x") }()
	if err := copy.AddText(t.Context(), name, "x"); err != nil {
		t.Fatal(err)
	}
	if err := <-seen; err != nil {
		t.Error(err)
	}
}
