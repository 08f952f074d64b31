package rtp

import (
	gocontext "context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	dtlsnet "github.com/pion/dtls/v3/pkg/net"
	"github.com/pion/ice/v4"
)

// agent is a whole ICE agent of another hand, as a far side.
type agent struct {
	*ice.Agent
	t          *testing.T
	ufrag, pwd string
	conn       *ice.Conn
}

func newAgent(t *testing.T, options ...ice.AgentOption) *agent {
	t.Helper()
	a := &agent{t: t}
	interval := 20 * time.Millisecond
	var err error
	a.Agent, err = ice.NewAgentWithOptions(append([]ice.AgentOption{
		ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4}), ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeHost}),
		ice.WithIncludeLoopback(), ice.WithIPFilter(func(ip net.IP) bool { return ip.IsLoopback() }),
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled), ice.WithCheckInterval(interval),
		ice.WithHostAcceptanceMinWait(0),
	}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.GracefulClose() })
	a.gather()
	return a
}

// gather finds its candidates.
func (a *agent) gather() {
	a.t.Helper()
	done := make(chan struct{})
	if err := a.OnCandidate(func(c ice.Candidate) {
		if c == nil {
			close(done)
		}
	}); err != nil {
		a.t.Fatal(err)
	}
	if err := a.GatherCandidates(); err != nil {
		a.t.Fatal(err)
	}
	<-done
	var err error
	if a.ufrag, a.pwd, err = a.GetLocalUserCredentials(); err != nil {
		a.t.Fatal(err)
	}
}

// meets tells it of the port, as a description does: one host candidate.
func (a *agent) meets(p *Port) {
	a.t.Helper()
	c, err := ice.UnmarshalCandidate(fmt.Sprintf("1 1 udp 2130706431 %s %d typ host", p.Addr().Addr(), p.Addr().Port()))
	if err != nil {
		a.t.Fatal(err)
	}
	if err := a.AddRemoteCandidate(c); err != nil {
		a.t.Fatal(err)
	}
}

// connects waits until it has checked and nominated.
func (a *agent) connects(l *Lite, dial func(gocontext.Context, string, string) (*ice.Conn, error)) {
	a.t.Helper()
	ctx, cancel := gocontext.WithTimeout(a.t.Context(), 10*time.Second)
	defer cancel()
	var err error
	if a.conn, err = dial(ctx, l.Ufrag, l.Pwd); err != nil {
		a.t.Errorf("it does not connect: %v", err)
	}
}

// at is the address that it has nominated.
func (a *agent) at() netip.AddrPort {
	a.t.Helper()
	pair, err := a.GetSelectedCandidatePair()
	if err != nil || pair == nil {
		a.t.Fatalf("no pair: %v", err)
	}
	return netip.AddrPortFrom(netip.MustParseAddr(pair.Local.Address()), uint16(pair.Local.Port()))
}

// hears reports whether a packet that leaves the port reaches it, and reads it.
func (a *agent) hears(p *Port) bool {
	a.t.Helper()
	if a.conn == nil {
		return false
	}
	if err := p.Send(packet(9, 1), nil); err != nil {
		a.t.Fatal(err)
	}
	buf := make([]byte, 2000)
	_ = a.conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	n, err := a.conn.Read(buf)
	return err == nil && n == len(packet(9, 1))
}

var oursLite = Lite{Ufrag: "gateway1", Pwd: "abcdefghijklmnopqrstuvwx"}

// A whole agent checks the way, nominates, and hears us where it is; nothing
// but the checks has said where (RFC 8445 6.1.1, 8.1.1).
func TestAWholeAgentConnects(t *testing.T) {
	t.Parallel()
	p, _ := iceWorld(t)
	p.Remote(netip.MustParseAddrPort("127.9.9.9:9"), netip.MustParseAddrPort("127.9.9.9:9")) // as in c=, where nobody is
	a := newAgent(t)
	lite := oursLite
	lite.Remote = a.ufrag
	p.Check(&lite)
	a.meets(p)
	if err := a.SetRemoteICELite(true); err != nil {
		t.Fatal(err)
	}
	a.connects(&lite, a.Dial)
	if got := p.Stats().Remote; got != a.at() {
		t.Errorf("we send to %v, it has nominated %v", got, a.at())
	}
	if !a.hears(p) {
		t.Error("it hears nothing")
	}
	if s := p.Stats(); s.Drops[BadCheck] != 0 || s.Drops[BadVersion] != 0 {
		t.Errorf("%v", s.Drops)
	}
}

// An agent that takes itself for the controlled one is told otherwise, and
// nominates after all (RFC 8445 7.3.1.1).
func TestAnAgentInTheWrongRole(t *testing.T) {
	t.Parallel()
	p, _ := iceWorld(t)
	a := newAgent(t)
	lite := oursLite
	lite.Remote = a.ufrag
	p.Check(&lite)
	a.meets(p)
	a.connects(&lite, a.Accept)
	if got := p.Stats().Remote; got != a.at() || !a.hears(p) {
		t.Errorf("we send to %v, it has nominated %v", got, a.at())
	}
}

// An ICE restart: both have new credentials, and it may be elsewhere; until it
// has checked again it is heard where it was (RFC 8445 9).
func TestAWholeAgentRestarts(t *testing.T) {
	t.Parallel()
	p, _ := iceWorld(t)
	a := newAgent(t)
	lite := oursLite
	lite.Remote = a.ufrag
	p.Check(&lite)
	a.meets(p)
	a.connects(&lite, a.Dial)
	before := a.at()
	if err := a.Restart("", ""); err != nil {
		t.Fatal(err)
	}
	a.gather()
	next := Lite{Ufrag: "gateway2", Pwd: "zyxwvutsrqponmlkjihgfedc", Remote: a.ufrag}
	p.Check(&next)
	if got := p.Stats().Remote; got != before {
		t.Errorf("before its checks we send to %v, not %v", got, before)
	}
	if err := a.SetRemoteCredentials(next.Ufrag, next.Pwd); err != nil {
		t.Fatal(err)
	}
	a.meets(p)
	until(t, func() bool {
		pair, err := a.GetSelectedCandidatePair()
		return err == nil && pair != nil && p.Stats().Remote == a.at() && checkedBy(p, a.ufrag)
	})
	if !a.hears(p) {
		t.Errorf("after the restart it hears nothing at %v; it was at %v", a.at(), before)
	}
}

func checkedBy(p *Port, ufrag string) bool {
	p.rx.Lock()
	defer p.rx.Unlock()
	best, ok := p.ice.best(media)
	return ok && best.remote == ufrag
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

// Several forks check at once, before anybody has answered; whoever answers is
// sent to, whatever the others have nominated (Microsoft Teams docs, "Plan for
// media bypass").
func TestSeveralWholeAgentsCheckAtOnce(t *testing.T) {
	t.Parallel()
	p, _ := iceWorld(t)
	lite := oursLite
	p.Check(&lite)
	var forks []*agent
	var connected sync.WaitGroup
	for range 3 {
		a := newAgent(t)
		forks = append(forks, a)
		a.meets(p)
		connected.Go(func() { a.connects(&lite, a.Dial) })
	}
	connected.Wait()
	for _, a := range forks {
		answered := lite
		answered.Remote = a.ufrag
		p.Check(&answered)
		if got := p.Stats().Remote; got != a.at() || !a.hears(p) {
			t.Errorf("the fork at %v answered, and we send to %v", a.at(), got)
		}
	}
}

// A far side as browsers are: ICE, and DTLS over the pair that it has chosen. An
// ICE restart keeps the association and its keys (RFC 8842 5.6).
func TestAHandshakeOverACheckedWay(t *testing.T) {
	t.Parallel()
	for _, begin := range []bool{true, false} {
		t.Run(map[bool]string{true: "it begins", false: "we begin"}[begin], func(t *testing.T) {
			t.Parallel()
			p, _ := iceWorld(t)
			a := newAgent(t)
			id, err := newIdentity()
			if err != nil {
				t.Fatal(err)
			}
			told := make(chan error, 16)
			terms := &DTLS{Client: !begin, Remote: []Fingerprint{id.print}}
			p.Secure(terms, true, func(err error) { told <- err })
			nowhere := netip.MustParseAddrPort("127.9.9.9:9")
			lite := oursLite
			lite.Remote = a.ufrag
			p.Check(&lite)
			p.Remote(nowhere, nowhere)
			a.meets(p)
			a.connects(&lite, a.Dial)
			if elsewhere := netip.MustParseAddrPort("127.9.9.9:11"); p.Stats().Remote == a.at() {
				p.Remote(elsewhere, elsewhere) // as a description after the nomination
			}
			far := &plain{PacketConn: dtlsnet.PacketConnFromConn(a.conn), to: p.Addr()}
			if _, _, err := far.shake(t, begin, id.certificate, dtls.SRTP_AEAD_AES_128_GCM); err != nil {
				t.Fatal(err)
			}
			if err := <-told; err != nil {
				t.Fatal(err)
			}
			keys := p.Secured()
			if keys.In.Suite != "AEAD_AES_128_GCM" {
				t.Errorf("%s", keys.In.Suite)
			}
			if got := p.Stats().Remote; got != a.at() {
				t.Errorf("we send to %v, it is at %v", got, a.at())
			}
			next := Lite{Ufrag: "gateway2", Pwd: "zyxwvutsrqponmlkjihgfedc"}
			p.Check(&next)
			if p.Secure(terms, true, nil) != keys {
				t.Error("an ICE restart has cost the keys")
			}
		})
	}
}
