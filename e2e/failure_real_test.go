package e2e

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/carrier"
	"github.com/tandemgw/tandem/sandbox/dns"
	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/wire/sip"
)

// failing is a node on real sockets between a Teams and a core of two sites,
// one of which is about to fail.
type failing struct {
	*world
	core  *carrier.Core
	names *dns.Server // whom the node asks; the far sides ask another
}

const (
	hostImpostor = 36 // something that is no proxy, within what Teams may send from
	hostNames    = 54
)

// buildFailing starts a world; before is run when the far sides stand and the
// node does not.
func buildFailing(t *testing.T, before func(f *failing)) *failing {
	t.Helper()
	t.Parallel()
	if testing.Short() {
		t.Skip("real sockets are left out by -short")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*perTest)
	t.Cleanup(cancel)
	f := &failing{world: &world{setup: setup{transport: "udp", codecs: "PCMA, PCMU", sites: 2, failover: 10 * time.Second}, t: t, ctx: ctx, log: &tail{}}}
	f.surround()
	f.core = f.startCarrier(optionsInterval)
	f.teams.Answer(user, phone.Behaviour{})
	f.core.Answer(subscriber, phone.Behaviour{})
	f.names = f.serveProxies(netip.AddrPortFrom(f.v4(hostNames), portDNS))
	if before != nil {
		before(f)
	}
	far := f.dns
	f.dns = f.names // what the configuration says
	f.startNode()
	f.dns = far
	return f
}

// serveProxies starts a name server that knows the proxies.
func (f *failing) serveProxies(at netip.AddrPort) *dns.Server {
	f.t.Helper()
	s, err := dns.Start(at)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = s.Close() })
	for i, n := range []string{"sip.", "sip2.", "sip3."} {
		s.SetHost(n+teamsDomain, time.Second, f.proxy(i).Addr())
	}
	return s
}

// well waits until everybody is up.
func (f *failing) well() {
	f.t.Helper()
	f.teamsReady()
	f.peerUp("site-0", "site-1", "microsoft-teams-2")
}

// answered places a call from the core, wants it to be answered within a time
// and heard both ways, and gives its facts.
func (f *failing) answered(within time.Duration) phone.Facts {
	f.t.Helper()
	c, err := f.core.Dial(f.ctx, phone.CallSpec{From: subscriber, To: user, Duration: 2 * time.Second})
	return f.judge(c, err, within)
}

// rings is answered for a call from Teams.
func (f *failing) rings(within time.Duration) phone.Facts {
	f.t.Helper()
	c, err := f.teams.Dial(f.ctx, phone.CallSpec{From: user, To: subscriber, Duration: 2 * time.Second})
	return f.judge(c, err, within)
}

func (f *failing) judge(c *phone.Call, err error, within time.Duration) phone.Facts {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
	<-c.Done()
	facts := c.Facts()
	if facts.Answered.IsZero() {
		f.t.Fatalf("not answered: %d %s %s", facts.Status, facts.Reason, facts.Error)
	}
	took := facts.Answered.Sub(facts.Began)
	f.t.Logf("answered after %s", took.Round(time.Millisecond))
	if took > within {
		f.t.Errorf("answered after %s, must be within %s", took, within)
	}
	if facts.Packets.Received == 0 {
		f.t.Error("the caller heard nothing")
	}
	return facts
}

// talk begins a call from the core that lasts for a while. What it gives waits
// for its end, and wants it to have been heard all along, and, unless its proxy
// is dead and has no twin, the other side to be told.
func (f *failing) talk(lasts time.Duration) (finish func(told bool)) {
	f.t.Helper()
	c, err := f.core.Dial(f.ctx, phone.CallSpec{From: subscriber, To: user, Duration: lasts})
	if err != nil {
		f.t.Fatal(err)
	}
	if err := c.Wait(f.ctx); err != nil {
		f.t.Fatal(err)
	}
	far := f.received()
	return func(told bool) {
		f.t.Helper()
		<-c.Done()
		here, there := c.Facts(), far.Facts()
		heard(f.t, "what the core's subscriber said", audio.Compare(here.Sent, there.Heard))
		heard(f.t, "what Teams' user said", audio.Compare(there.Sent, here.Heard))
		f.until(10*time.Second, func() string {
			if told && far.Brief().Ended.IsZero() {
				return "Teams' user was not told that the call is over"
			}
			return ""
		})
	}
}

// slack is what a busy machine may be late.
const slack = 1500 * time.Millisecond

// impostor puts a listener in the place of proxy 1; do serves each connection.
func (f *failing) impostor(do func(net.Conn)) {
	f.t.Helper()
	at := netip.AddrPortFrom(f.v4(hostImpostor), f.proxy(0).Port())
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		f.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var conns []net.Conn
		var ends []chan struct{}
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			end := make(chan struct{})
			conns, ends = append(conns, c), append(ends, end)
			go func() { defer close(end); do(c) }()
		}
		for i, c := range conns {
			_ = c.Close()
			<-ends[i]
		}
	}()
	f.t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	f.names.SetHost(proxyName, time.Second, at.Addr())
}

// TestFailures climbs the ladder once on real sockets.
func TestFailures(t *testing.T) {
	t.Run("proxy 1 falls silent", func(t *testing.T) {
		f := buildFailing(t, nil)
		f.well()
		finish := f.talk(9 * time.Second)
		f.fault("sip", phone.Faults{Silent: true})
		f.answered(4*time.Second + slack)
		f.answered(4*time.Second + slack) // OPTIONS may have found out meanwhile
		finish(false)
		f.until(15*time.Second, func() string { return f.not(teamsPeer, "down") })
		f.answered(slack)
		f.fault("sip", phone.Faults{})
		f.peerUp(teamsPeer)
		f.answered(slack)
	})
	t.Run("proxy 1 answers 503 and Retry-After", func(t *testing.T) {
		f := buildFailing(t, nil)
		f.well()
		finish := f.talk(5 * time.Second)
		f.fault("sip", phone.Faults{Status: 503, RetryAfter: time.Second})
		f.answered(slack)
		finish(true)
		f.moved()
	})
	t.Run("proxy 1 refuses TLS", func(t *testing.T) {
		f := buildFailing(t, nil)
		f.well()
		finish := f.talk(5 * time.Second)
		f.fault("sip", phone.Faults{Refuse: true})
		if err := f.teams.Drop("sip"); err != nil {
			t.Fatal(err)
		}
		f.answered(slack)
		finish(false)
	})
	t.Run("proxy 1 never completes TLS", func(t *testing.T) {
		f := buildFailing(t, func(f *failing) { f.impostor(halfOpen) })
		f.peerUp("microsoft-teams-2")
		f.answered(4*time.Second + slack)
		f.until(15*time.Second, func() string { return f.not(teamsPeer, "down") })
		f.answered(slack)
	})
	t.Run("proxy 1 shows an expired certificate", func(t *testing.T) {
		f := buildFailing(t, func(f *failing) {
			cert, err := f.authority.Issue(expired(), proxyName)
			if err != nil {
				t.Fatal(err)
			}
			f.impostor(func(c net.Conn) {
				_ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*cert}}).Handshake()
				halfOpen(c)
			})
		})
		f.peerUp("microsoft-teams-2")
		f.answered(slack)
		f.until(15*time.Second, func() string { return f.not(teamsPeer, "down") })
	})
	t.Run("proxy 1 resets in the middle of a message", func(t *testing.T) {
		f := buildFailing(t, func(f *failing) {
			cert := f.issue(proxyName)
			f.impostor(func(c net.Conn) { resetInvites(c, cert) })
		})
		f.peerUp(teamsPeer, "microsoft-teams-2")
		f.answered(slack)
	})
	t.Run("proxy 1 answers OPTIONS and fails INVITE", func(t *testing.T) {
		f := buildFailing(t, nil)
		f.well()
		f.fault("sip", phone.Faults{Status: 503})
		f.moved()
	})
	t.Run("all proxies are slow", func(t *testing.T) {
		f := buildFailing(t, nil)
		f.well()
		for _, p := range []string{"sip", "sip2", "sip3"} {
			f.fault(p, phone.Faults{Slow: 3 * time.Second})
		}
		f.answered(3*time.Second + slack)
	})
	t.Run("DNS is gone", func(t *testing.T) {
		f := buildFailing(t, nil)
		f.well()
		finish := f.talk(6 * time.Second)
		if err := f.names.Close(); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Second) // the answers have outlived their second
		f.answered(2*time.Second + slack)
		finish(true)
	})
	t.Run("DNS is gone before the start", func(t *testing.T) {
		f := buildFailing(t, func(f *failing) { _ = f.names.Close() })
		f.peerUp("site-0")
		c, err := f.core.Dial(f.ctx, phone.CallSpec{From: subscriber, To: user})
		if err != nil {
			t.Fatal(err)
		}
		<-c.Done()
		if facts := c.Facts(); facts.Status != 503 {
			t.Errorf("the caller was told %d %s", facts.Status, facts.Reason)
		}
		f.rings(slack) // the core has an address
		f.serveProxies(f.names.Addr())
		f.peerUp(teamsPeer)
		f.answered(slack)
	})
	t.Run("site a falls silent", func(t *testing.T) {
		f := buildFailing(t, nil)
		f.well()
		if err := f.core.SetFaults("a", phone.Faults{Silent: true}); err != nil {
			t.Fatal(err)
		}
		f.rings(4*time.Second + slack)
	})
	t.Run("both sites fall silent", func(t *testing.T) {
		f := buildFailing(t, nil)
		f.well()
		for _, site := range []string{"a", "b"} {
			if err := f.core.SetFaults(site, phone.Faults{Silent: true}); err != nil {
				t.Fatal(err)
			}
		}
		f.until(15*time.Second, func() string { return f.not("site-0", "down") + f.not("site-1", "down") })
		c, err := f.teams.Dial(f.ctx, phone.CallSpec{From: user, To: subscriber})
		if err != nil {
			t.Fatal(err)
		}
		<-c.Done()
		facts := c.Facts()
		if took := facts.Ended.Sub(facts.Began); facts.Status != 504 || took > 4*time.Second+slack {
			t.Errorf("the caller was told %d %s after %s", facts.Status, facts.Reason, took)
		}
		for _, site := range []string{"a", "b"} {
			_ = f.core.SetFaults(site, phone.Faults{})
		}
		f.peerUp("site-0", "site-1")
		f.rings(slack)
	})
}

func (f *failing) fault(proxy string, faults phone.Faults) {
	f.t.Helper()
	if err := f.teams.SetFaults(proxy, faults); err != nil {
		f.t.Fatal(err)
	}
}

// not tells how a peer stands unless as it must.
func (f *failing) not(peer, state string) string {
	peers, err := f.node.Peers(f.ctx)
	if err != nil {
		return err.Error()
	}
	for _, p := range peers {
		if p.Peer == peer && p.State != state {
			return peer + " is " + p.State
		}
	}
	return ""
}

// moved wants calls to go to proxy 2 first within four.
func (f *failing) moved() {
	f.t.Helper()
	for n := 1; ; n++ {
		f.answered(slack)
		r := f.tried()
		if slices.Equal(r, []string{"microsoft-teams-2"}) {
			f.t.Logf("call %d went to proxy 2 at once", n)
			return
		}
		if n == 4 {
			f.t.Fatalf("call %d still tried %v", n, r)
		}
	}
}

// tried are the peers that the newest call was tried at.
func (f *failing) tried() (peers []string) {
	f.t.Helper()
	past, err := f.node.Past(f.ctx, record.Filter{Limit: 1})
	if err != nil || len(past) != 1 {
		f.t.Fatalf("%d records, %v", len(past), err)
	}
	for _, a := range past[0].Attempts {
		peers = append(peers, a.Peer)
	}
	return peers
}

// resetInvites answers OPTIONS, and resets the connection half-way through its
// response to an INVITE.
func resetInvites(c net.Conn, cert *tls.Certificate) {
	secure := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*cert}})
	in := sip.NewReader(secure, sip.Limits{})
	for {
		m, err := in.Read()
		if err != nil {
			return
		}
		b := sip.NewResponse(m, 200, "").Append(nil)
		if m.Method == "INVITE" {
			_, _ = secure.Write(b[:len(b)/2])
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
			return
		}
		_, _ = secure.Write(b)
	}
}
