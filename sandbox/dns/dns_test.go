package dns

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) *Server {
	t.Helper()
	s, err := Start(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func ask(t *testing.T, s *Server, network, name string, kind uint16) *dns.Msg {
	t.Helper()
	c := dns.Client{Net: network, Timeout: 2 * time.Second}
	r, _, err := c.Exchange(new(dns.Msg).SetQuestion(name, kind), s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRecordsAreAnsweredOverBothTransports(t *testing.T) {
	s := start(t)
	s.SetHost("a.r1.lab.example", time.Minute, netip.MustParseAddr("127.0.1.2"), netip.MustParseAddr("::1"))
	s.SetSRV("_sips._tcp.r1.lab.example", 30*time.Second, SRV{1, 10, 5061, "a.r1.lab.example"}, SRV{2, 0, 5061, "b.r1.lab.example"})
	s.SetNAPTR("r1.lab.example", time.Minute, NAPTR{10, 20, "s", "SIPS+D2T", "_sips._tcp.r1.lab.example"})
	s.SetHost("*.r1.lab.example", time.Minute, netip.MustParseAddr("127.0.1.9"))
	s.SetTXT("lab.example", 0, "MS=ms123")
	for _, network := range []string{"udp", "tcp"} {
		for _, c := range []struct {
			name  string
			kind  uint16
			want  string
			extra int
		}{
			{"a.r1.lab.example.", dns.TypeA, "a.r1.lab.example.\t60\tIN\tA\t127.0.1.2", 0},
			{"A.R1.lab.EXAMPLE.", dns.TypeAAAA, "A.R1.lab.EXAMPLE.\t60\tIN\tAAAA\t::1", 0},
			{"_sips._tcp.r1.lab.example.", dns.TypeSRV, "_sips._tcp.r1.lab.example.\t30\tIN\tSRV\t1 10 5061 a.r1.lab.example.", 2},
			{"r1.lab.example.", dns.TypeNAPTR, "r1.lab.example.\t60\tIN\tNAPTR\t10 20 \"s\" \"SIPS+D2T\" \"\" _sips._tcp.r1.lab.example.", 0},
			{"c042.r1.lab.example.", dns.TypeA, "c042.r1.lab.example.\t60\tIN\tA\t127.0.1.9", 0},
			{"lab.example.", dns.TypeTXT, "lab.example.\t0\tIN\tTXT\t\"MS=ms123\"", 0},
		} {
			r := ask(t, s, network, c.name, c.kind)
			if len(r.Answer) == 0 || r.Answer[0].String() != c.want || len(r.Extra) != c.extra || !r.Authoritative {
				t.Errorf("%s %s: %v", network, c.name, r)
			}
		}
	}
	if n := s.Queries("_SIPS._tcp.r1.lab.example", "srv"); n != 2 {
		t.Errorf("%d questions for SRV counted, want 2", n)
	}
}

func TestNamesThatAreNot(t *testing.T) {
	s := start(t)
	s.SetHost("a.r1.lab.example", 0, netip.MustParseAddr("127.0.1.2"))
	for _, c := range []struct {
		name  string
		kind  uint16
		rcode int
	}{
		{"b.r1.lab.example.", dns.TypeA, dns.RcodeNameError},
		{"r1.lab.example.", dns.TypeA, dns.RcodeSuccess},     // a name lies below it
		{"a.r1.lab.example.", dns.TypeSRV, dns.RcodeSuccess}, // other records are there
		{"x.a.r1.lab.example.", dns.TypeA, dns.RcodeNameError},
	} {
		if r := ask(t, s, "udp", c.name, c.kind); r.Rcode != c.rcode || len(r.Answer) != 0 {
			t.Errorf("%s: %v", c.name, r)
		}
	}
	s.SetHost("a.r1.lab.example", 0)
	if r := ask(t, s, "udp", "a.r1.lab.example.", dns.TypeA); r.Rcode != dns.RcodeNameError {
		t.Errorf("a removed name still answers: %v", r)
	}
}

func TestALongAnswerIsTruncatedOverUDPOnly(t *testing.T) {
	s := start(t)
	var many []SRV
	for i := range 60 {
		many = append(many, SRV{1, 1, 5061, fmt.Sprintf("node-%d.r1.lab.example", i)})
	}
	s.SetSRV("_sip._udp.r1.lab.example", 0, many...)
	if r := ask(t, s, "udp", "_sip._udp.r1.lab.example.", dns.TypeSRV); !r.Truncated {
		t.Error("60 records fitted a datagram of 512 bytes")
	}
	if r := ask(t, s, "tcp", "_sip._udp.r1.lab.example.", dns.TypeSRV); len(r.Answer) != 60 || r.Truncated {
		t.Errorf("over TCP %d records came", len(r.Answer))
	}
}

func TestZoneOfAnotherServer(t *testing.T) {
	here, there := start(t), start(t)
	at := netip.MustParseAddr("127.9.9.9")
	there.SetHost("r1.gw.example", time.Minute, at)
	here.SetHost("r1.gw.example", time.Minute, netip.MustParseAddr("127.8.8.8"))
	here.SetHost("other.example", time.Minute, netip.MustParseAddr("127.7.7.7"))
	here.Forward("gw.example", there.Addr())
	for _, network := range []string{"udp", "tcp"} {
		for name, want := range map[string]string{"R1.gw.example.": at.String(), "other.example.": "127.7.7.7"} {
			client := &dns.Client{Net: network, Timeout: 5 * time.Second}
			answer, _, err := client.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), here.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			if len(answer.Answer) != 1 || answer.Answer[0].(*dns.A).A.String() != want {
				t.Errorf("%s over %s: %v, want %s", name, network, answer.Answer, want)
			}
		}
	}
	gone, err := Start(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	here.Forward("gone.example", gone.Addr())
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	answer, _, err := new(dns.Client).Exchange(new(dns.Msg).SetQuestion("a.gone.example.", dns.TypeA), here.Addr().String())
	if err != nil || answer.Rcode != dns.RcodeServerFailure {
		t.Errorf("a zone whose server is gone: %v %v", answer, err)
	}
}
