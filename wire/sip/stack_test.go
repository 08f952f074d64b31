package sip_test

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/sip/memnet"
)

func TestEveryRequestIsAnsweredOnceThroughARainOfLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		network.Set(netip.Addr{}, netip.Addr{}, memnet.Weather{Loss: 0.1, Latency: 40 * time.Millisecond})
		var served atomic.Int64
		far := weatherStack(t, network, peerAddr, func(tx *sip.ServerTx) {
			served.Add(1)
			if err := tx.Respond(sip.NewResponse(tx.Request(), 404, "")); err != nil {
				t.Error(err)
			}
		})
		near := weatherStack(t, network, ourAddr, nil)
		const n = 200
		var answered atomic.Int64
		for i := range n {
			req := ours([]string{"INVITE", "OPTIONS"}[i%2])
			req.Set("Call-ID", fmt.Sprint("rain-", i))
			_, err := near.Request(req, sip.Target{Listener: "core", Transport: sip.UDP, Addr: peerAddr, Remote: rainRemote}, func(e sip.Event) {
				if e.Err != nil {
					t.Errorf("request %d: %v", i, e.Err)
				} else if e.Msg.Status >= 200 {
					answered.Add(1)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		after(5 * time.Minute)
		if answered.Load() != n || served.Load() != n {
			t.Errorf("%d requests were served %d times and answered %d times", n, served.Load(), answered.Load())
		}
		for _, s := range []*sip.Stack{near, far} {
			if c := s.Counters(); c.ClientTx != 0 || c.ServerTx != 0 {
				t.Errorf("left: %d client, %d server transactions", c.ClientTx, c.ServerTx)
			}
			s.Close()
		}
	})
}

var rainRemote = &sip.Remote{Name: "rain"}

func weatherStack(t *testing.T, network sip.Network, bind netip.AddrPort, handle func(*sip.ServerTx)) *sip.Stack {
	t.Helper()
	s, err := sip.NewStack(sip.StackConfig{
		Network:   network,
		Listeners: []sip.Listener{{Name: "core", Transport: sip.UDP, Bind: bind}},
		Admit:     func(*sip.Listener, netip.Addr) []*sip.Remote { return []*sip.Remote{rainRemote} },
		Handle:    handle,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestManyRequestsAtOnceOnRealSocketsAndAStackClosedAmongThem(t *testing.T) {
	ca := newIssuer(t, "Root", nil)
	cert := ca.leaf(nil, "sbc.example")
	policy := sip.TLSPolicy{Names: []string{"sbc.example"}, Roots: ca.pool()}
	for _, transport := range []sip.Transport{sip.UDP, sip.TCP, sip.TLS} {
		t.Run(transport.String(), func(t *testing.T) {
			a, b := newEnd(t, transport, loopback, cert, policy), newEnd(t, transport, loopback, cert, policy)
			to := sip.Target{Listener: "core", Transport: transport, Addr: b.stack.Addr("core"), Remote: a.peer}
			var ok, lost atomic.Int64
			var all sync.WaitGroup
			for i := range 500 {
				all.Add(1)
				var once sync.Once
				req := ours([]string{"INVITE", "OPTIONS"}[i%2])
				req.Set("Call-ID", fmt.Sprint("many-", i))
				_, err := a.stack.Request(req, to, func(e sip.Event) {
					if e.Err == nil && e.Msg.Status < 200 {
						return
					}
					once.Do(func() {
						if e.Err == nil {
							ok.Add(1)
						} else {
							lost.Add(1)
						}
						all.Done()
					})
				})
				if err != nil {
					all.Done()
				}
				if i == 400 {
					eventually(t, func() bool { return ok.Load() > 350 })
					go b.stack.Close()
				}
				if i == 450 {
					go a.stack.Close()
				}
			}
			all.Wait()
			if ok.Load() < 350 {
				t.Errorf("%d answered, %d lost", ok.Load(), lost.Load())
			}
		})
	}
}

func TestAStackThatCannotWorkIsNotMade(t *testing.T) {
	good := sip.Listener{Name: "core", Transport: sip.UDP, Bind: ourAddr}
	with := func(change func(*sip.Listener)) sip.Listener {
		l := good
		change(&l)
		return l
	}
	admit := func(*sip.Listener, netip.Addr) []*sip.Remote { return nil }
	for _, c := range []struct {
		name string
		cfg  sip.StackConfig
		want string
	}{
		{"no allow-list", sip.StackConfig{Listeners: []sip.Listener{good}}, "without Admit"},
		{"two of a name", sip.StackConfig{Admit: admit, Listeners: []sip.Listener{good, with(func(l *sip.Listener) { l.Bind = peerAddr })}}, "two of that name"},
		{"an address twice", sip.StackConfig{Admit: admit, Listeners: []sip.Listener{good, with(func(l *sip.Listener) { l.Name = "x" })}}, "address already in use"},
		{"TLS without certificate", sip.StackConfig{Admit: admit, Listeners: []sip.Listener{with(func(l *sip.Listener) { l.Transport = sip.TLS })}}, "has no certificate"},
		{"all addresses", sip.StackConfig{Admit: admit, Listeners: []sip.Listener{with(func(l *sip.Listener) { l.Bind = netip.MustParseAddrPort("0.0.0.0:5060") })}}, "which one it advertises"},
		{"no transport", sip.StackConfig{Admit: admit, Listeners: []sip.Listener{with(func(l *sip.Listener) { l.Transport = 0 })}}, "unknown transport"},
		{"a port that is none", sip.StackConfig{Admit: admit, Listeners: []sip.Listener{with(func(l *sip.Listener) { l.Advertise = "sbc.example:sip" })}}, "advertises"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.cfg.Network = memnet.New()
				s, err := sip.NewStack(c.cfg)
				if err == nil {
					s.Close()
				}
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error = %v", err)
				}
			})
		})
	}
}

func TestTheAdvertisedAddressIsInVia(t *testing.T) {
	for _, c := range []struct{ advertise, want string }{
		{"", "10.0.0.1:5060"},
		{"sbc.example", "sbc.example:5060"},
		{"sbc.example:5063", "sbc.example:5063"},
		{"203.0.113.7", "203.0.113.7:5060"},
		{"2001:db8::7", "[2001:db8::7]:5060"},
		{"[2001:db8::7]:5070", "[2001:db8::7]:5070"},
	} {
		t.Run(c.want, func(t *testing.T) {
			inBubble(t, sip.UDP, func(cfg *sip.StackConfig, _ *bubble) { cfg.Listeners[0].Advertise = c.advertise }, func(b *bubble) {
				if got := b.stack.ContactHost("core"); got != c.want {
					t.Errorf("ContactHost = %q", got)
				}
				b.begin("OPTIONS")
				if via := b.last("OPTIONS").Get("Via"); !strings.HasPrefix(via, "SIP/2.0/UDP "+c.want+";branch=z9hG4bK") {
					t.Errorf("Via = %q", via)
				}
				b.answer("OPTIONS", 200)
				b.want("0s > OPTIONS", "0s event 200 OPTIONS")
			})
		})
	}
}

func TestThePeersOwnMinimumOfTLSHolds(t *testing.T) {
	ca := newIssuer(t, "Root", nil)
	cert := ca.leaf(nil, "sbc.example")
	policy := sip.TLSPolicy{Names: []string{"sbc.example"}, Roots: ca.pool(), MinVersion: tls.VersionTLS13}
	e := newEnd(t, sip.TLS, loopback, cert, policy)
	for version, want := range map[uint16]bool{tls.VersionTLS12: false, tls.VersionTLS13: true} {
		c, err := tls.Dial("tcp", e.stack.Addr("core").String(), &tls.Config{
			InsecureSkipVerify: true, Certificates: []tls.Certificate{*cert}, MaxVersion: version,
		})
		if err == nil {
			_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			_, err = c.Read(make([]byte, 1))
			c.Close()
		}
		if refused := err != nil && strings.Contains(err.Error(), "remote error: tls:"); refused == want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}
