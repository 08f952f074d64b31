package ice

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lite is a lite agent of another hand.
func lite(t *testing.T) (*ice.Agent, Remote) {
	t.Helper()
	a, err := ice.NewAgentWithOptions(
		ice.WithICELite(true), ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4}), ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeHost}),
		ice.WithIncludeLoopback(), ice.WithIPFilter(func(ip net.IP) bool { return ip.IsLoopback() }), ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.GracefulClose() })
	found := make(chan ice.Candidate, 8)
	if err := a.OnCandidate(func(c ice.Candidate) {
		if c != nil {
			found <- c
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := a.GatherCandidates(); err != nil {
		t.Fatal(err)
	}
	c := <-found
	ufrag, pwd, err := a.GetLocalUserCredentials()
	if err != nil {
		t.Fatal(err)
	}
	return a, Remote{Credentials{ufrag, pwd}, netip.AddrPortFrom(netip.MustParseAddr(c.Address()), uint16(c.Port()))}
}

type broken struct {
	mu    sync.Mutex
	rules []string
}

func (b *broken) note(rule, format string, a ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules = append(b.rules, rule+": "+fmt.Sprintf(format, a...))
}

func (b *broken) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.rules)
}

func client(t *testing.T) (*Agent, *broken) {
	t.Helper()
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	b := &broken{}
	a := New(Config{
		Socket: sock.LocalAddr().(*net.UDPAddr).AddrPort(), Relay: netip.MustParseAddrPort("127.0.0.1:9"),
		Send:   func(pkt []byte, to netip.AddrPort) error { _, err := sock.WriteToUDPAddrPort(pkt, to); return err },
		Broken: b.note, Changed: func() {},
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2000)
		for {
			n, src, err := sock.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			a.Receive(buf[:n], src)
		}
	}()
	t.Cleanup(func() {
		a.Close()
		_ = sock.Close()
		<-done
	})
	return a, b
}

func until(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(8 * time.Second); !done(); {
		if time.Now().After(end) {
			t.Fatal("it does not come to it")
		}
		<-time.After(5 * time.Millisecond)
	}
}

// With a lite agent of another hand: checks are answered, the pair is nominated
// when that is wanted and not before, and a restart goes through.
func TestALiteAgentIsCheckedAndNominated(t *testing.T) {
	l, r := lite(t)
	a, b := client(t)
	own := a.credentials()
	go func() { _, _ = l.Accept(t.Context(), own.Ufrag, own.Pwd) }()
	a.Meet(r)
	until(t, func() bool { return a.State().Valid })
	if s := a.State(); s.Nominated || s.Checks == 0 {
		t.Errorf("%+v", s)
	}
	a.Nominate()
	until(t, func() bool { return a.State().Nominated })
	lines := strings.Join(a.Attributes(true), "\n")
	if want := "remote-candidates:1 " + r.Candidate.Addr().String(); !strings.Contains(lines, want) || strings.Contains(strings.Join(a.Attributes(false), "\n"), want) {
		t.Errorf("an offer after the nomination lacks %q:\n%s", want, lines)
	}
	if all := b.all(); all != nil {
		t.Error(all)
	}
}

func (a *Agent) credentials() Credentials {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.shown
}

func TestAFarSideThatAnswersNoCheck(t *testing.T) {
	a, b := client(t)
	a.Meet(Remote{Credentials{"abcd", "abcdefghijklmnopqrstuv"}, netip.MustParseAddrPort("127.0.0.1:9")})
	until(t, func() bool { return len(b.all()) > 0 })
	if s := a.State(); s.Valid || !strings.HasPrefix(b.all()[0], "ice-check") {
		t.Errorf("%+v %v", s, b.all())
	}
}

// Microsoft Teams docs, "Plan for media bypass": what a gateway's description
// has to say.
func TestADescriptionIsJudged(t *testing.T) {
	const good = "v=0\r\no=- 1 1 IN IP4 203.0.113.10\r\ns=-\r\nc=IN IP4 203.0.113.10\r\nt=0 0\r\na=ice-lite\r\nm=audio 30020 RTP/SAVP 8\r\n" +
		"a=ice-ufrag:Sb7Q\r\na=ice-pwd:q5mZr0yK2c9wX4tB8nVhLd\r\na=candidate:1 1 UDP 2130706431 203.0.113.10 30020 typ host\r\na=rtcp-mux\r\n"
	r, has, faults := Read(good)
	if !has || faults != nil || r != (Remote{Credentials{"Sb7Q", "q5mZr0yK2c9wX4tB8nVhLd"}, netip.MustParseAddrPort("203.0.113.10:30020")}) {
		t.Fatalf("%+v %v", r, faults)
	}
	if _, has, _ := Read(strings.ReplaceAll(strings.ReplaceAll(good, "a=ice-", "a=x-"), "a=candidate", "a=x")); has {
		t.Error("ICE where there is none")
	}
	for _, x := range []struct{ old, new, rule string }{
		{"a=ice-lite\r\n", "", "ice-lite"},
		{"a=ice-lite\r\nm=audio 30020 RTP/SAVP 8\r\n", "m=audio 30020 RTP/SAVP 8\r\na=ice-lite\r\n", "ice-lite"},
		{"a=rtcp-mux\r\n", "", "ice-mux"},
		{"Sb7Q", "S", "ice-credentials"},
		{"q5mZr0yK2c9wX4tB8nVhLd", "short", "ice-credentials"},
		{"30020 typ host\r\n", "30020 typ host\r\na=candidate:2 1 UDP 1 10.0.0.1 30020 typ host\r\n", "ice-candidates"},
		{"a=candidate:1 1 UDP 2130706431 203.0.113.10 30020 typ host\r\n", "", "ice-candidates"},
		{"203.0.113.10 30020 typ host", "203.0.113.10 30022 typ host", "ice-candidates"},
		{"203.0.113.10 30020 typ host", "2001:db8::1 30020 typ host", "ice-candidates"},
		{"typ host", "typ srflx", "ice-candidates"},
		{"1 1 UDP", "1 2 UDP", "ice-candidates"},
		{"1 1 UDP", "nonsense", "ice-candidates"},
	} {
		_, has, faults := Read(strings.Replace(good, x.old, x.new, 1))
		if !has || !slices.ContainsFunc(faults, func(f Fault) bool { return f.Rule == x.rule }) {
			t.Errorf("%q for %q: %v", x.new, x.old, faults)
		}
		if Sources[x.rule] == "" {
			t.Errorf("no source of %s", x.rule)
		}
	}
}
