package zone

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"),
	)
}

// world is the facts that a Set is given, and how to change them.
type world struct {
	mu    sync.Mutex
	facts []Gateway
	err   error
}

func (w *world) gateways(context.Context) ([]Gateway, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.facts), w.err
}

func (w *world) set(facts []Gateway, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.facts, w.err = facts, err
}

func open(t testing.TB, s *store.Store, w *world, change ...func(*Config)) *Set {
	t.Helper()
	cfg := Config{
		Store: s, Suffix: suffix, Listen: netip.MustParseAddrPort("127.0.0.1:0"), NameServers: twoServers(),
		Contact: "dns.admin@telecom.example", Gateways: w.gateways,
	}
	for _, f := range change {
		f(&cfg)
	}
	set, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := set.Close(); err != nil {
			t.Error(err)
		}
	})
	return set
}

// running is a Set that serves one gateway.
func running(t testing.TB, change ...func(*Config)) (*Set, *world) {
	t.Helper()
	w := &world{facts: []Gateway{twoRegions()}}
	set := open(t, storetest.New(t), w, change...)
	if err := set.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return set, w
}

// ask asks as a resolver does.
func ask(t testing.TB, s *Set, network, name string, kind uint16, change ...func(*dns.Msg)) *dns.Msg {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), kind)
	for _, f := range change {
		f(q)
	}
	m, _, err := (&dns.Client{Net: network, Timeout: 5 * time.Second, UDPSize: 4096}).Exchange(q, s.Addr().String())
	if err != nil {
		t.Fatalf("%s %s: %v", name, dns.TypeToString[kind], err)
	}
	return m
}

func edns(size uint16, do bool) func(*dns.Msg) {
	return func(m *dns.Msg) { m.SetEdns0(size, do) }
}

func TestAnswers(t *testing.T) {
	s, _ := running(t)
	for _, c := range []struct {
		what  string
		name  string
		kind  uint16
		rcode int
		want  []string // what the answer holds
		soa   bool     // in the authority section
	}{
		{"a regional name", "r1." + base, dns.TypeA, dns.RcodeSuccess, []string{"192.0.2.1", "192.0.2.2"}, false},
		{"an IPv6 address", "r2." + base, dns.TypeAAAA, dns.RcodeSuccess, []string{"2001:db8::21"}, false},
		{"no data (RFC 2308 §2.2)", "r2." + base, dns.TypeA, dns.RcodeSuccess, nil, true},
		{"no name (RFC 2308 §2.1)", "r3." + base, dns.TypeA, dns.RcodeNameError, nil, true},
		{"a customer by the wildcard", "fabrikam.1r1." + base, dns.TypeA, dns.RcodeSuccess, []string{"198.51.100.1", "198.51.100.2"}, false},
		{"two labels below a wildcard (RFC 4592 §2.2.1)", "a.fabrikam.1r1." + base, dns.TypeA, dns.RcodeSuccess, []string{"198.51.100.1"}, false},
		{"no data at a wildcard (RFC 4592 §2.2.1)", "fabrikam.1r1." + base, dns.TypeTXT, dns.RcodeSuccess, nil, true},
		{"below a name that exists no wildcard holds (RFC 4592 §3.3.1)", "a.contoso.1r1." + base, dns.TypeA, dns.RcodeNameError, nil, true},
		{"an empty non-terminal exists (RFC 4592 §2.2.2)", base, dns.TypeA, dns.RcodeSuccess, nil, true},
		{"a wildcard asked for by name", "*.1r2." + base, dns.TypeA, dns.RcodeSuccess, []string{"203.0.113.1"}, false},
		{"the edges of a region", "_sip._tls.r1." + base, dns.TypeSRV, dns.RcodeSuccess, []string{"10 100 5061 sbc1.r1.", "10 100 5061 sbc2.r1."}, false},
		{"the mobile control point", "_sip._tls.mcp.r2." + base, dns.TypeSRV, dns.RcodeSuccess, []string{"10 100 5061 sbc1.r2.", "20 100 5061 sbc1.r1."}, false},
		{"the Provisioning API", "provapi." + base, dns.TypeA, dns.RcodeSuccess, []string{"192.0.2.100"}, false},
		{"the name servers", suffix, dns.TypeNS, dns.RcodeSuccess, []string{"ns1." + suffix, "ns2.telecom.example."}, false},
		{"a delegated domain", "contoso.1r2.voice.telecom.example", dns.TypeA, dns.RcodeSuccess, []string{"203.0.113.1"}, false},
		{"ANY (RFC 8482 §4.2)", "r1." + base, dns.TypeANY, dns.RcodeSuccess, []string{"RFC8482"}, false},
		{"no alias anywhere", "r1." + base, dns.TypeCNAME, dns.RcodeSuccess, nil, true},
		{"a foreign name is not looked up for anybody", "www.telecom.example", dns.TypeA, dns.RcodeRefused, nil, false},
		{"nor the zone above", "lab.example", dns.TypeSOA, dns.RcodeRefused, nil, false},
		{"nor the root", ".", dns.TypeNS, dns.RcodeRefused, nil, false},
	} {
		for _, network := range []string{"udp", "tcp"} {
			t.Run(c.what+" "+network, func(t *testing.T) {
				m := ask(t, s, network, c.name, c.kind)
				if m.Rcode != c.rcode || m.RecursionAvailable || m.Authoritative != (c.rcode != dns.RcodeRefused) {
					t.Errorf("%v", m)
				}
				for _, want := range c.want {
					if !slices.ContainsFunc(m.Answer, func(rr dns.RR) bool { return strings.Contains(rr.String(), want) }) {
						t.Errorf("%q is not in\n%v", want, m)
					}
				}
				if len(c.want) == 0 && len(m.Answer) > 0 {
					t.Errorf("it has an answer:\n%v", m)
				}
				if got := len(m.Ns) == 1 && m.Ns[0].Header().Rrtype == dns.TypeSOA && m.Ns[0].Header().Ttl == negativeTTL; got != c.soa {
					t.Errorf("SOA %v, want %v:\n%v", got, c.soa, m)
				}
			})
		}
	}
}

func TestOddQuestions(t *testing.T) {
	s, _ := running(t)
	for what, c := range map[string]struct {
		change func(*dns.Msg)
		rcode  int
	}{
		"another class":            {func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, dns.RcodeRefused},
		"no question":              {func(m *dns.Msg) { m.Question = nil }, dns.RcodeFormatError},
		"two questions":            {func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }, dns.RcodeFormatError},
		"an update":                {func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }, dns.RcodeNotImplemented},
		"a notify":                 {func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }, dns.RcodeNotImplemented},
		"a transfer":               {func(m *dns.Msg) { m.SetAxfr(suffix + ".") }, dns.RcodeRefused},
		"EDNS 1 (RFC 6891 §6.1.3)": {func(m *dns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(1) }, dns.RcodeBadVers},
		"an unknown TSIG key":      {func(m *dns.Msg) { m.SetTsig("nobody.", dns.HmacSHA256, 300, time.Now().Unix()) }, dns.RcodeNotAuth},
	} {
		t.Run(what, func(t *testing.T) {
			q := new(dns.Msg)
			q.SetQuestion("r1."+base+".", dns.TypeA)
			c.change(q)
			client := &dns.Client{Net: "tcp", Timeout: 5 * time.Second, TsigSecret: map[string]string{"nobody.": base64.StdEncoding.EncodeToString([]byte("x"))}}
			m, _, err := client.Exchange(q, s.Addr().String())
			if m == nil {
				t.Fatal(err)
			}
			if m.Rcode != c.rcode {
				t.Errorf("%s, want %s", dns.RcodeToString[m.Rcode], dns.RcodeToString[c.rcode])
			}
		})
	}
}

// RFC 5358: two servers that answer each other's answers never end.
func TestAnAnswerIsNotAnswered(t *testing.T) {
	s, _ := running(t)
	q := new(dns.Msg)
	q.SetQuestion("r1."+base+".", dns.TypeA)
	q.Response = true
	if m := s.served.Load().answer(q); m != nil {
		t.Errorf("%v", m)
	}
}

// Of two control nodes that have the same news, the second keeps the serial.
func TestTheSameNewsHaveOneSerial(t *testing.T) {
	s, _ := running(t)
	var serials [3]uint32
	for i, digest := range []string{"a", "a", "b"} {
		err := s.cfg.Store.Write(t.Context(), func(tx *store.Tx) (err error) {
			serials[i], err = renumber(t.Context(), tx, "x.", digest)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if serials[0] != serials[1] || serials[2] != serials[0]+1 {
		t.Errorf("%v", serials)
	}
}

// RFC 4343 §4.1, and the random case by which resolvers mark their questions.
func TestTheCaseOfTheQuestionIsKept(t *testing.T) {
	s, _ := running(t)
	name := "R1." + strings.ToUpper(base) + "."
	m := ask(t, s, "udp", name, dns.TypeA)
	if len(m.Answer) != 2 || m.Answer[0].Header().Name != name || m.Question[0].Name != name {
		t.Errorf("%v", m)
	}
}

// RFC 1035 §4.2.1, RFC 6891 §6.2.3, DNS flag day 2020.
func TestWhatDoesNotFitIsCut(t *testing.T) {
	g := twoRegions()
	for i := range 60 {
		g.Regions[0].Edges = append(g.Regions[0].Edges, edge(fmt.Sprint(i), fmt.Sprintf("192.0.2.%d:5061", i+10), fmt.Sprintf("198.51.100.%d:5063", i+10)))
	}
	s := open(t, storetest.New(t), &world{facts: []Gateway{g}})
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		change []func(*dns.Msg)
		most   int
	}{
		"without EDNS":            {nil, 512},
		"EDNS with 900":           {[]func(*dns.Msg){edns(900, false)}, 900},
		"EDNS with less than 512": {[]func(*dns.Msg){edns(100, false)}, 512},
		"EDNS with 4096":          {[]func(*dns.Msg){edns(4096, false)}, 1232},
	} {
		m := ask(t, s, "udp", "_sip._tls.r1."+base, dns.TypeSRV, c.change...)
		m.Compress = true // as it came
		if wire, err := m.Pack(); err != nil || !m.Truncated || len(wire) > c.most || len(wire) < c.most/2 {
			t.Errorf("%s: %d octets, truncated %v, want at most %d, true (%v)", what, len(wire), m.Truncated, c.most, err)
		}
		if (m.IsEdns0() != nil) != (c.change != nil) {
			t.Errorf("%s: EDNS is answered by EDNS and by nothing else", what)
		}
	}
	if m := ask(t, s, "tcp", "_sip._tls.r1."+base, dns.TypeSRV); m.Truncated || len(m.Answer) != 62 {
		t.Errorf("by TCP: %d records, want 62", len(m.Answer))
	}
}

func TestTokensAreServedWhenAddTextReturns(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.Store) {
		w := &world{facts: []Gateway{twoRegions()}}
		s := open(t, db, w)
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		name := "Fabrikam.1r1." + base
		before := ask(t, s, "udp", suffix, dns.TypeSOA).Answer[0].(*dns.SOA).Serial
		for _, v := range []string{"MS=ms1", "MS=ms2", "MS=ms2", strings.Repeat("x", 300)} {
			if err := s.AddText(t.Context(), name, v); err != nil {
				t.Fatal(err)
			}
		}
		m := ask(t, s, "tcp", name, dns.TypeTXT)
		if len(m.Answer) != 3 {
			t.Errorf("%v", m)
		}
		if a := ask(t, s, "udp", name, dns.TypeA); len(a.Answer) != 2 {
			t.Errorf("a customer that proves its domain has lost its address:\n%v", a)
		}
		if got := ask(t, s, "udp", suffix, dns.TypeSOA).Answer[0].(*dns.SOA).Serial; got != before+3 {
			t.Errorf("serial %d after three changes and %d", got, before)
		}
		if err := s.RemoveText(t.Context(), name, "MS=ms1"); err != nil {
			t.Fatal(err)
		}
		if err := s.AddText(t.Context(), "www.telecom.example", "x"); fault.Of(err) != fault.NotFound {
			t.Errorf("a name of nobody's: %v", err)
		}
		if left, err := s.Texts(t.Context(), "."); err != nil || len(left) != 2 {
			t.Errorf("%v, %v", left, err)
		}
		if left, err := s.Texts(t.Context(), base); err != nil || len(left) != 2 {
			t.Errorf("%v, %v", left, err)
		}
		if err := db.Write(t.Context(), func(tx *store.Tx) error { return s.Forget(t.Context(), tx, base) }); err != nil {
			t.Fatal(err)
		}
		if left, err := s.Texts(t.Context(), base); err != nil || len(left) != 0 {
			t.Errorf("%v, %v", left, err)
		}
	})
}

func TestSerialGrowsWithChangesAndStaysWithoutAny(t *testing.T) {
	s, w := running(t)
	serial := func() uint32 { return ask(t, s, "udp", suffix, dns.TypeSOA).Answer[0].(*dns.SOA).Serial }
	first := serial()
	for range 3 {
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if serial() != first {
		t.Error("the serial has changed and the zone has not")
	}
	g := twoRegions()
	g.Regions[0].Edges = g.Regions[0].Edges[:1]
	w.set([]Gateway{g}, nil)
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if serial() != first+1 {
		t.Errorf("serial %d after %d", serial(), first)
	}
}

func TestAControlNodeStartedAgainServesAtOnce(t *testing.T) {
	db, w := storetest.New(t), &world{facts: []Gateway{twoRegions()}}
	s := open(t, db, w)
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	serial := ask(t, s, "udp", suffix, dns.TypeSOA).Answer[0].(*dns.SOA).Serial
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// It cannot ask anybody yet, or its edges have not reported.
	silent := twoRegions()
	for i := range silent.Regions {
		silent.Regions[i].Edges = nil
	}
	for what, w := range map[string]*world{"no facts": {err: errors.New("the link is not up")}, "no edges": {facts: []Gateway{silent}}} {
		again := open(t, db, w)
		_ = again.Refresh(t.Context())
		if m := ask(t, again, "udp", "r1."+base, dns.TypeA); len(m.Answer) != 2 {
			t.Errorf("%s: %v", what, m)
		}
		if got := ask(t, again, "udp", suffix, dns.TypeSOA).Answer[0].(*dns.SOA).Serial; got != serial {
			t.Errorf("%s: serial %d, was %d", what, got, serial)
		}
	}
}

func TestADeletedGatewayHasNoNames(t *testing.T) {
	s, w := running(t)
	w.set(nil, nil)
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m := ask(t, s, "udp", "r1."+base, dns.TypeA); m.Rcode != dns.RcodeNameError {
		t.Errorf("%v", m)
	}
	if m := ask(t, s, "udp", "1r1.voice.telecom.example", dns.TypeA); m.Rcode != dns.RcodeRefused {
		t.Errorf("%v", m)
	}
}

func TestSeveralControlNodesServeTheSame(t *testing.T) {
	db, w := storetest.New(t), &world{facts: []Gateway{twoRegions()}}
	one, other := open(t, db, w), open(t, db, w)
	if err := one.AddText(t.Context(), "token."+base, "x"); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for len(ask(t, other, "tcp", "token."+base, dns.TypeTXT).Answer) == 0 {
		select {
		case <-deadline:
			t.Fatal("the other node does not serve it")
		case <-tick.C:
		}
	}
	if n := other.asked.Load(); n != 0 {
		t.Errorf("the other node has asked its gateways %d times", n)
	}
	a, b := ask(t, one, "tcp", suffix, dns.TypeSOA), ask(t, other, "tcp", suffix, dns.TypeSOA)
	if !dns.IsDuplicate(a.Answer[0], b.Answer[0]) {
		t.Errorf("%v\n%v", a.Answer[0], b.Answer[0])
	}
}

// Many steps ask at once; each must see its own change served.
func TestRefreshesAreGathered(t *testing.T) {
	s, _ := running(t)
	before := s.asked.Load()
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() {
			if err := s.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if s.asked.Load() != before+50 || s.built < before+50 {
		t.Errorf("asked %d, built %d", s.asked.Load(), s.built)
	}
}

func TestConfigIsRefusedWithASentence(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"is no domain name": func(c *Config) { c.Suffix = "" },
		"name one at least": func(c *Config) { c.NameServers = nil },
		"lies in the zone": func(c *Config) {
			c.Listen = netip.MustParseAddrPort("0.0.0.0:0")
			c.NameServers = []NameServer{{Name: "ns." + suffix}}
		},
		"secondaries cannot":     func(c *Config) { c.DNSSEC = true; c.Secondaries = []Secondary{{}} },
		"address already in use": func(c *Config) { c.Listen = taken(t) },
	} {
		cfg := Config{Store: storetest.New(t), Suffix: suffix, Listen: netip.MustParseAddrPort("127.0.0.1:0"), NameServers: twoServers(), Gateways: (&world{}).gateways}
		change(&cfg)
		s, err := New(t.Context(), cfg)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func taken(t *testing.T) netip.AddrPort {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	return pc.LocalAddr().(*net.UDPAddr).AddrPort()
}

func BenchmarkRefreshWithTenThousandGateways(b *testing.B) {
	w := &world{}
	for i := range 10_000 {
		g := twoRegions()
		g.Base, g.Delegated = fmt.Sprintf("g%05d.%s", i, suffix), nil
		w.facts = append(w.facts, g)
	}
	s := open(b, storetest.New(b), w)
	if err := s.Refresh(b.Context()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := s.Refresh(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAnswer(b *testing.B) {
	s, _ := running(b)
	v := s.served.Load()
	q := new(dns.Msg)
	q.SetQuestion("_sip._tls.r1."+base+".", dns.TypeSRV)
	q.SetEdns0(1232, false)
	for b.Loop() {
		if m := v.answer(q); len(m.Answer) != 2 {
			b.Fatal(m)
		}
	}
}
