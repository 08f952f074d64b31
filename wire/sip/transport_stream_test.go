package sip_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
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

// echo answers every request 200.
func echo(cfg *sip.StackConfig, _ *bubble) {
	cfg.Handle = func(tx *sip.ServerTx) { _ = tx.Respond(sip.NewResponse(tx.Request(), 200, "")) }
}

// closedBy says after how long the stack closes a connection of the peer.
func (b *bubble) closedBy(c net.Conn) time.Duration {
	start := time.Now()
	buf := make([]byte, 4096)
	for {
		if _, err := c.Read(buf); err != nil {
			c.Close()
			return time.Since(start)
		}
	}
}

func TestAStreamIsReadInWhateverPiecesItComes(t *testing.T) {
	inBubble(t, sip.TCP, echo, func(b *bubble) {
		raw := "\r\n" + string(b.request("OPTIONS", "z9hG4bKa").Append(nil)) + "\r\n\r\n" + string(b.request("INFO", "z9hG4bKb").Append(nil))
		for i := range len(raw) {
			b.say(raw[i : i+1])
			after(time.Millisecond)
		}
		b.last("OPTIONS")
		b.last("INFO")
		b.say(string(b.request("OPTIONS", "z9hG4bKc").Append(nil)) + string(b.request("BYE", "z9hG4bKd").Append(nil)))
		b.last("BYE")
	})
}

func TestADoubleLineEndIsAnsweredByASingleOne(t *testing.T) {
	inBubble(t, sip.TCP, nil, func(b *bubble) {
		c := b.dial()
		defer c.Close()
		for range 3 {
			after(5 * time.Minute)
			if _, err := c.Write([]byte("\r\n\r\n")); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 10)
			n, err := c.Read(buf)
			if err != nil || string(buf[:n]) != "\r\n" {
				t.Fatalf("pong = %q, %v", buf[:n], err)
			}
		}
	})
}

func TestAConnectionThatIsUsedStaysOpenAndAnIdleOneIsClosed(t *testing.T) {
	inBubble(t, sip.TCP, echo, func(b *bubble) {
		c := b.dial()
		for i := range 10 {
			after(14 * time.Minute)
			if _, err := c.Write(b.request("OPTIONS", fmt.Sprint("z9hG4bK", i)).Append(nil)); err != nil {
				t.Fatalf("connection in use was closed: %v", err)
			}
		}
		synctest.Wait()
		if d := b.closedBy(c); d != 15*time.Minute {
			t.Errorf("idle connection closed after %v", d)
		}
	})
}

func TestALoneLineEndNowAndThenIsNotASlowMessage(t *testing.T) {
	inBubble(t, sip.TCP, echo, func(b *bubble) {
		c := b.dial()
		defer c.Close()
		for range 10 {
			after(time.Minute)
			if _, err := c.Write([]byte("\r\n")); err != nil {
				t.Fatal(err)
			}
		}
		if n := b.stack.Counters().Connections; n != 1 {
			t.Errorf("%d connections, want the one", n)
		}
	})
}

func TestAPeerThatDoesNotFinishItsMessageIsCutOff(t *testing.T) {
	inBubble(t, sip.TCP, echo, func(b *bubble) {
		c := b.dial()
		raw := b.request("OPTIONS", "z9hG4bKa").Append(nil)
		go func() {
			for i := range raw {
				if _, err := c.Write(raw[i : i+1]); err != nil {
					return
				}
				<-time.After(time.Second)
			}
		}()
		if d := b.closedBy(c); d != 10*time.Second {
			t.Errorf("closed after %v", d)
		}
		if n := b.stack.Counters().Drops["slow_sender"]; n != 1 {
			t.Errorf("slow_sender = %d", n)
		}
	})
}

func TestAPeerWhoseFramingIsLostIsCutOff(t *testing.T) {
	inBubble(t, sip.TCP, echo, func(b *bubble) {
		c := b.dial()
		if _, err := c.Write([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if d := b.closedBy(c); d > 10*time.Second {
			t.Errorf("closed after %v", d)
		}
	})
}

func TestAPeerThatDoesNotReadIsCutOffWithoutHoldingAnybodyUp(t *testing.T) {
	inBubble(t, sip.TCP, func(cfg *sip.StackConfig, b *bubble) {
		echo(cfg, b)
		cfg.Conns.Queue = 64 << 10
	}, func(b *bubble) {
		c := b.dial()
		defer c.Close()
		start := time.Now()
		for i := range 10_000 {
			if _, err := c.Write(b.request("OPTIONS", fmt.Sprint("z9hG4bK", i)).Append(nil)); err != nil {
				break
			}
			synctest.Wait()
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("the stack stood still for %v", d)
		}
		if n := b.stack.Counters().Drops["slow_reader"]; n != 1 {
			t.Errorf("slow_reader = %d", n)
		}
		if n := b.stack.Counters().Connections; n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

func TestAStrangerGetsNothing(t *testing.T) {
	stranger := netip.MustParseAddr("10.6.6.6")
	inBubble(t, sip.TCP, echo, func(b *bubble) {
		c, err := b.net.Dial(context.Background(), "tcp", stranger, ourAddr)
		if err != nil {
			t.Fatal(err)
		}
		if d := b.closedBy(c); d != 0 {
			t.Errorf("closed after %v, not at once", d)
		}
		if n := b.stack.Counters().Refused["stranger"]; n != 1 {
			t.Errorf("refused stranger = %d", n)
		}
	})
	inBubble(t, sip.UDP, echo, func(b *bubble) {
		c, err := b.net.ListenPacket(netip.AddrPortFrom(stranger, 5060))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.WriteToUDPAddrPort(b.request("OPTIONS", "z9hG4bKa").Append(nil), ourAddr)
		c.WriteToUDPAddrPort([]byte("noise"), ourAddr)
		synctest.Wait()
		got := b.stack.Counters()
		if got.Drops["stranger"] != 2 || got.RequestsIn["OPTIONS"] != 0 || got.ResponsesOut[2]+got.ResponsesOut[4] != 0 {
			t.Errorf("counters = %+v", got)
		}
	})
}

func TestWhoIsTakenOffTheListIsCutOffAtHisNextMessage(t *testing.T) {
	var closed atomic.Bool
	inBubble(t, sip.TCP, func(cfg *sip.StackConfig, b *bubble) {
		echo(cfg, b)
		admit := cfg.Admit
		cfg.Admit = func(l *sip.Listener, src netip.Addr) []*sip.Remote {
			if closed.Load() {
				return nil
			}
			return admit(l, src)
		}
	}, func(b *bubble) {
		b.ask("OPTIONS", "z9hG4bKa")
		b.want("0s > 200 OPTIONS")
		closed.Store(true)
		b.ask("OPTIONS", "z9hG4bKb")
		b.want()
		if n := b.stack.Counters().Connections; n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

func TestOneAddressMayNotTakeAllConnections(t *testing.T) {
	inBubble(t, sip.TCP, func(cfg *sip.StackConfig, _ *bubble) { cfg.Conns.PerSource = 3 }, func(b *bubble) {
		var open []net.Conn
		for range 3 {
			open = append(open, b.dial())
		}
		synctest.Wait()
		if d := b.closedBy(b.dial()); d != 0 {
			t.Errorf("the fourth was closed after %v", d)
		}
		open[0].Close()
		synctest.Wait()
		open[0] = b.dial()
		synctest.Wait()
		if n := b.stack.Counters().Connections; n != 3 {
			t.Errorf("%d connections, want 3: a closed one makes room", n)
		}
		for _, c := range open {
			c.Close()
		}
	})
}

func TestRequestsToOnePeerShareAConnectionAlsoWhileItIsDialled(t *testing.T) {
	inBubble(t, sip.TCP, nil, func(b *bubble) {
		b.net.Set(ourAddr.Addr(), peerAddr.Addr(), memnet.Weather{Latency: 50 * time.Millisecond})
		b.begin("OPTIONS")
		b.begin("OPTIONS")
		after(time.Second)
		b.begin("OPTIONS")
		after(time.Second)
		b.want("150ms > OPTIONS", "150ms > OPTIONS", "1.05s > OPTIONS")
		if n := b.stack.Counters().Connections; n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

func TestAPeerThatCannotBeReachedIsToldAtOnce(t *testing.T) {
	for _, c := range []struct {
		name    string
		weather memnet.Weather
		want    string
	}{
		{"connection refused", memnet.Weather{Refuse: true}, "0s event error: dial carrier at 10.0.0.2:5060: dial tcp 10.0.0.2:5060: connect: connection refused"},
		{"black hole", memnet.Weather{Hole: true}, "3s event error: dial carrier at 10.0.0.2:5060: dial tcp 10.0.0.2:5060: no answer to the connection request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, sip.TCP, nil, func(b *bubble) {
				b.net.Set(ourAddr.Addr(), peerAddr.Addr(), c.weather)
				b.begin("INVITE")
				after(time.Minute)
				b.want(strings.Replace(c.want, "connect: ", "", 1))
			})
		})
	}
}

func TestALostConnectionFailsWhatHeardNothingAndSparesWhatDid(t *testing.T) {
	inBubble(t, sip.TCP, nil, func(b *bubble) {
		b.begin("INVITE")
		b.answer("INVITE", 180)
		b.begin("OPTIONS")
		b.want("0s > INVITE", "0s event 180 INVITE", "0s > OPTIONS")
		b.net.Set(ourAddr.Addr(), peerAddr.Addr(), memnet.Weather{Refuse: true})
		b.net.Cut(ourAddr.Addr(), peerAddr.Addr())
		b.want("0s event error: dial carrier at 10.0.0.2:5060: dial tcp 10.0.0.2:5060: connection refused")
		b.net.Set(ourAddr.Addr(), peerAddr.Addr(), memnet.Weather{})
		// The peer brings its final response over a connection of its own.
		b.mu.Lock()
		b.accepted = nil
		b.mu.Unlock()
		b.answer("INVITE", 486)
		b.want("0s event 486 INVITE", "0s > ACK")
	})
}

func TestARequestThatCrossedTheEndOfItsConnectionIsSentAgainOnce(t *testing.T) {
	inBubble(t, sip.TCP, nil, func(b *bubble) {
		b.begin("OPTIONS")
		b.answer("OPTIONS", 200)
		after(time.Second)
		b.begin("INVITE")
		b.want("0s > OPTIONS", "0s event 200 OPTIONS", "1s > INVITE")
		b.net.Cut(ourAddr.Addr(), peerAddr.Addr())
		b.want("1s > INVITE")
		b.net.Cut(ourAddr.Addr(), peerAddr.Addr())
		b.want("1s event error: read carrier at 10.0.0.2:5060: read tcp 10.0.0.2:5060: connection reset by peer")
	})
}

func TestAResponseWhoseConnectionIsGoneGoesToThePortInVia(t *testing.T) {
	var tx *sip.ServerTx
	inBubble(t, sip.TCP, func(cfg *sip.StackConfig, _ *bubble) {
		cfg.Handle = func(t *sip.ServerTx) { tx = t }
	}, func(b *bubble) {
		req := b.ask("OPTIONS", "z9hG4bKa")
		b.dialled.Close()
		synctest.Wait()
		if err := tx.Respond(sip.NewResponse(req, 200, "")); err != nil {
			t.Fatal(err)
		}
		b.want("0s > 200 OPTIONS")
		if b.taken() != 1 {
			t.Errorf("%d connections of the stack's own", b.taken())
		}
	})
}

func TestARequestMayTakeTheConnectionThePeerOpened(t *testing.T) {
	var src sip.Source
	inBubble(t, sip.TCP, func(cfg *sip.StackConfig, b *bubble) {
		cfg.Handle = func(tx *sip.ServerTx) {
			src = tx.Source()
			_ = tx.Respond(sip.NewResponse(tx.Request(), 200, ""))
		}
	}, func(b *bubble) {
		b.ask("OPTIONS", "z9hG4bKa")
		to := b.target()
		to.Via = src
		if _, err := b.stack.Request(ours("BYE"), to, func(sip.Event) {}); err != nil {
			t.Fatal(err)
		}
		b.want("0s > 200 OPTIONS", "0s > BYE")
		if b.taken() != 0 {
			t.Error("the stack opened a connection of its own")
		}
		b.answer("BYE", 200)
		b.dialled.Close()
		synctest.Wait()
		if _, err := b.stack.Request(ours("INFO"), to, func(sip.Event) {}); err != nil {
			t.Fatal(err)
		}
		b.want("0s > INFO")
		if b.taken() != 1 {
			t.Error("the stack opened no connection when the peer's was gone")
		}
		b.answer("INFO", 200)
	})
}

func TestResponsesOverUDPFollowViaAsRFC3581Says(t *testing.T) {
	odd := netip.MustParseAddrPort("10.0.0.2:61000")
	for _, c := range []struct {
		name, via string
		to        netip.AddrPort
		stamped   string
	}{
		{"rport asked for", "SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKa;rport", odd, ";rport=61000;received=10.0.0.2"},
		{"rport not asked for", "SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKa", peerAddr, ""},
		{"a name and no port", "SIP/2.0/UDP carrier.example;branch=z9hG4bKa", peerAddr, ";received=10.0.0.2"},
		{"an address behind NAT", "SIP/2.0/UDP 192.168.1.1:5060;branch=z9hG4bKa", peerAddr, ";received=10.0.0.2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, sip.UDP, echo, func(b *bubble) {
				from, err := b.net.ListenPacket(odd)
				if err != nil {
					t.Fatal(err)
				}
				defer from.Close()
				from.WriteToUDPAddrPort(b.request("OPTIONS", "", "Via", c.via).Append(nil), ourAddr)
				synctest.Wait()
				if c.to == odd {
					buf := make([]byte, 1500)
					n, _, err := from.ReadFromUDPAddrPort(buf)
					if err != nil || !strings.Contains(string(buf[:n]), c.stamped) {
						t.Errorf("response: %q %v", buf[:n], err)
					}
					return
				}
				if got := b.last("OPTIONS").Get("Via"); got != c.via+c.stamped {
					t.Errorf("Via = %q", got)
				}
			})
		})
	}
}

func TestALimitOnTransactionsAnswers503AndLetsTheBYEIn(t *testing.T) {
	inBubble(t, sip.UDP, func(cfg *sip.StackConfig, b *bubble) {
		echo(cfg, b)
		cfg.MaxTransactions = 8
		second := netip.MustParseAddr("10.0.0.3")
		other, admit := &sip.Remote{Name: "other"}, cfg.Admit
		cfg.Admit = func(l *sip.Listener, src netip.Addr) []*sip.Remote {
			if src == second {
				return []*sip.Remote{other}
			}
			return admit(l, src)
		}
	}, func(b *bubble) {
		for i := range 6 {
			b.ask("OPTIONS", fmt.Sprint("z9hG4bK", i))
		}
		b.ask("OPTIONS", "z9hG4bKseventh")
		if m := b.last("OPTIONS"); m.Status != 503 || m.Get("Retry-After") == "" {
			t.Errorf("the seventh is answered %d, Retry-After %q: one peer may have three quarters", m.Status, m.Get("Retry-After"))
		}
		third, err := b.net.ListenPacket(netip.MustParseAddrPort("10.0.0.3:5060"))
		if err != nil {
			t.Fatal(err)
		}
		defer third.Close()
		for i := range 2 {
			req := b.request("OPTIONS", fmt.Sprint("z9hG4bKother", i))
			third.WriteToUDPAddrPort(req.Append(nil), ourAddr)
			synctest.Wait()
		}
		if c := b.stack.Counters(); c.ServerTx != 8 {
			t.Errorf("%d transactions, want the two of the other peer too", c.ServerTx)
		}
		b.ask("OPTIONS", "z9hG4bKnine")
		if m := b.last("OPTIONS"); m.Status != 503 || m.Get("Retry-After") == "" {
			t.Errorf("the ninth is answered %d, Retry-After %q", m.Status, m.Get("Retry-After"))
		}
		b.ask("BYE", "z9hG4bKbye", "To", "<sip:+4420@10.0.0.1>;tag=x")
		if m := b.last("BYE"); m.Status != 200 {
			t.Errorf("BYE is answered %d", m.Status)
		}
		for i := 0; ; i++ {
			if _, err := b.stack.Request(ours("OPTIONS"), b.target(), func(sip.Event) {}); err != nil {
				if i != 8 || !errors.Is(err, sip.ErrTooMany) {
					t.Errorf("request %d: %v", i, err)
				}
				break
			}
		}
	})
}

func TestClosingTheStackEndsEveryTransactionAndConnection(t *testing.T) {
	for _, transport := range []sip.Transport{sip.UDP, sip.TCP} {
		t.Run(transport.String(), func(t *testing.T) {
			inBubble(t, transport, func(cfg *sip.StackConfig, b *bubble) {
				cfg.Handle = func(tx *sip.ServerTx) {
					tx.OnEnd(func(err error) { b.note("end %v", err) })
				}
			}, func(b *bubble) {
				b.begin("INVITE")
				b.ask("INVITE", "z9hG4bKa")
				if err := b.stack.Close(); err != nil {
					t.Fatal(err)
				}
				b.want("0s > INVITE", "0s end stack is closed", "0s event error: stack is closed")
				if _, err := b.stack.Request(ours("OPTIONS"), b.target(), nil); !errors.Is(err, sip.ErrClosed) {
					t.Errorf("request after close: %v", err)
				}
			})
		})
	}
}

func TestAConnectionThatIsDeadIsNotUsedForTheNextRequest(t *testing.T) {
	inBubble(t, sip.TCP, nil, func(b *bubble) {
		b.begin("OPTIONS")
		b.answer("OPTIONS", 200)
		b.want("0s > OPTIONS", "0s event 200 OPTIONS")
		// A firewall forgets the connection: bytes vanish, nobody is told.
		lost := b.accepted[0]
		after(time.Second)
		b.net.Set(ourAddr.Addr(), peerAddr.Addr(), memnet.Weather{Hole: true})
		b.begin("OPTIONS")
		after(33 * time.Second)
		b.want("33s event error: no final response in time")
		lost.Close()
		b.net.Set(ourAddr.Addr(), peerAddr.Addr(), memnet.Weather{})
		b.begin("INFO")
		b.answer("INFO", 200)
		b.want("34s > INFO", "34s event 200 INFO")
	})
}

func TestAPeerThatOnlyIgnoresOneRequestKeepsItsConnection(t *testing.T) {
	inBubble(t, sip.TCP, nil, func(b *bubble) {
		b.begin("INFO")
		after(10 * time.Second)
		b.begin("OPTIONS")
		b.answer("OPTIONS", 200)
		after(time.Minute)
		if n := b.stack.Counters().Connections; n != 1 || b.taken() != 1 {
			t.Errorf("%d connections, %d opened", n, b.taken())
		}
	})
}

func TestReconnectReplacesConnectionsWithoutLosingWhatIsUnderWay(t *testing.T) {
	inBubble(t, sip.TCP, nil, func(b *bubble) {
		b.begin("INVITE")
		b.want("0s > INVITE")
		done := b.stack.Reconnect(context.Background(), func(l *sip.Listener, r *sip.Remote) bool { return l.Name == "core" && r.Name == "carrier" })
		if len(done) != 1 || done[0].Err != nil || done[0].Inbound {
			t.Errorf("reconnected: %+v", done)
		}
		after(10 * time.Second)
		b.say(string(sip.NewResponse(b.last("INVITE"), 180, "").Append(nil)))
		b.begin("OPTIONS")
		b.want("10s event 180 INVITE", "10s > OPTIONS")
		b.answer("OPTIONS", 200)
		if b.taken() != 2 {
			t.Errorf("%d connections opened, want a second one", b.taken())
		}
		after(time.Minute)
		if n := b.stack.Counters().Connections; n != 2 {
			t.Errorf("%d connections while a telephone rings on the old one", n)
		}
		b.say(string(sip.NewResponse(b.last("INVITE"), 486, "").Append(nil)))
		after(time.Second)
		if n := b.stack.Counters().Connections; n != 1 {
			t.Errorf("%d connections are left, want the new one", n)
		}
	})
}

func TestAConnectionThatCannotBeReplacedIsKept(t *testing.T) {
	inBubble(t, sip.TCP, nil, func(b *bubble) {
		b.begin("OPTIONS")
		b.answer("OPTIONS", 200)
		b.net.Set(netip.Addr{}, netip.Addr{}, memnet.Weather{Refuse: true})
		done := b.stack.Reconnect(context.Background(), func(*sip.Listener, *sip.Remote) bool { return true })
		if len(done) != 1 || done[0].Err == nil || !strings.Contains(done[0].Err.Error(), "dial carrier") {
			t.Errorf("reconnected: %+v", done)
		}
		after(time.Minute)
		b.begin("OPTIONS")
		b.answer("OPTIONS", 200)
		if n := b.stack.Counters().Connections; n != 1 || b.taken() != 1 {
			t.Errorf("%d connections, %d accepted: the old one should have served", n, b.taken())
		}
	})
}

func TestAConnectionThatAPeerOpenedIsClosedWhenItIsQuiet(t *testing.T) {
	ring := func(cfg *sip.StackConfig, _ *bubble) {
		cfg.Handle = func(tx *sip.ServerTx) {
			time.AfterFunc(time.Minute, func() { _ = tx.Respond(sip.NewResponse(tx.Request(), 486, "")) })
		}
	}
	inBubble(t, sip.TCP, ring, func(b *bubble) {
		idle := b.dial()
		b.ask("INVITE", "z9hG4bKa")
		done := b.stack.Reconnect(context.Background(), func(*sip.Listener, *sip.Remote) bool { return true })
		if len(done) != 2 || !done[0].Inbound || !done[1].Inbound {
			t.Errorf("reconnected: %+v", done)
		}
		if d := b.closedBy(idle); d != 0 {
			t.Errorf("the idle one was kept for %v", d)
		}
		after(59 * time.Second)
		if n := b.stack.Counters().Connections; n != 1 {
			t.Errorf("%d connections while the telephone rings", n)
		}
		after(time.Second)
		b.say("ACK sip:+4420@10.0.0.1 SIP/2.0\r\n" + strings.SplitN(strings.Replace(string(b.request("INVITE", "z9hG4bKa").Append(nil)), "1 INVITE", "1 ACK", 1), "\r\n", 2)[1])
		after(time.Second)
		if n := b.stack.Counters().Connections; n != 0 {
			t.Errorf("%d connections are left when the call is over", n)
		}
		if b.taken() > 0 {
			t.Errorf("its answer took a connection of its own")
		}
	})
}

func TestATargetOfAnotherFamilyIsRefusedAtOnce(t *testing.T) {
	inBubble(t, sip.UDP, nil, func(b *bubble) {
		to := b.target()
		to.Addr = netip.MustParseAddrPort("[2001:db8::1]:5060")
		if _, err := b.stack.Request(ours("OPTIONS"), to, func(sip.Event) {}); err == nil {
			t.Error("taken")
		}
	})
}

// lines counts log lines by their message.
type lines struct {
	mu sync.Mutex
	n  map[string]int
}

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }
func (l *lines) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *lines) WithGroup(string) slog.Handler            { return l }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n[r.Message]++
	return nil
}

func TestAPeerCannotFillTheLog(t *testing.T) {
	log := &lines{n: map[string]int{}}
	inBubble(t, sip.UDP, func(cfg *sip.StackConfig, b *bubble) {
		echo(cfg, b)
		cfg.Log = slog.New(log)
	}, func(b *bubble) {
		big := string(b.request("OPTIONS", "z9hG4bKbig", "X-Long", strings.Repeat("x", 11_000)).Append(nil))
		for range 100 {
			b.say("noise")
			b.say(big)
			after(time.Second)
		}
		const oversize = "messages of this peer exceed a size published by Microsoft; they are carried"
		if log.n["malformed message"] != 2 || log.n[oversize] != 1 || len(log.n) != 2 {
			t.Errorf("in 100 s: %v", log.n)
		}
		if m := b.last("OPTIONS"); m.Status != 200 {
			t.Errorf("an oversize request is answered %d", m.Status)
		}
	})
}

func TestAClosingStackStillWritesWhatWaits(t *testing.T) {
	inBubble(t, sip.TCP, nil, func(b *bubble) {
		if err := b.stack.Send(ours("OPTIONS"), b.target()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for range 5 {
			if err := b.stack.Send(ours("BYE"), b.target()); err != nil {
				t.Fatal(err)
			}
		}
		b.stack.Close()
		b.want("0s > BYE", "0s > BYE", "0s > BYE", "0s > BYE", "0s > BYE", "0s > OPTIONS")
	})
}

func TestTheTapSeesEveryMessageWithItsBytes(t *testing.T) {
	var taps []string
	inBubble(t, sip.UDP, func(cfg *sip.StackConfig, b *bubble) {
		cfg.Tap = func(tap sip.Tap) {
			what := "nothing"
			if tap.Msg != nil {
				what = startOf(tap.Msg)
			}
			if len(tap.Raw) == 0 || tap.Local != ourAddr || tap.Remote != peerAddr || tap.Peer != b.remote {
				t.Errorf("tap = %+v", tap)
			}
			taps = append(taps, fmt.Sprint(tap.In, " ", what))
		}
	}, func(b *bubble) {
		b.begin("OPTIONS")
		after(500 * time.Millisecond)
		b.answer("OPTIONS", 200)
		b.say("noise")
		if got := strings.Join(taps, ", "); got != "false OPTIONS, false OPTIONS, true 200 OPTIONS, true nothing" {
			t.Errorf("taps = %s", got)
		}
	})
}
