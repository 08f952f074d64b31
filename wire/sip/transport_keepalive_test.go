package sip_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/sip/memnet"
)

// lineEnds collects the line ends that a scripted peer receives, and when, and
// answers each ping while told to.
func lineEnds(b *bubble, c net.Conn, answer *atomic.Bool) func() []time.Duration {
	var at []time.Duration
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if string(buf[:n]) == "\r\n\r\n" {
				b.mu.Lock()
				at = append(at, time.Since(b.start))
				b.mu.Unlock()
				if answer.Load() {
					c.Write([]byte("\r\n"))
				}
			}
		}
	}()
	return func() []time.Duration {
		b.mu.Lock()
		defer b.mu.Unlock()
		return slices.Clone(at)
	}
}

// opened is a connection that the stack opened, by an OPTIONS that is answered.
func (b *bubble) opened() net.Conn {
	b.t.Helper()
	l := b.tcp
	got := make(chan net.Conn, 1)
	l.Close()
	l, err := b.net.Listen(peerAddr)
	if err != nil {
		b.t.Fatal(err)
	}
	b.tcp = l
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		got <- c
	}()
	if _, err := b.stack.Request(ours("OPTIONS"), b.target(), func(sip.Event) {}); err != nil {
		b.t.Fatal(err)
	}
	c := <-got
	b.mu.Lock()
	b.accepted = append(b.accepted, c)
	b.mu.Unlock()
	m, err := sip.NewReader(c, sip.Limits{}).Read()
	if err != nil {
		b.t.Fatal(err)
	}
	resp := sip.NewResponse(m, 200, "")
	resp.TagTo("peer")
	if _, err := c.Write(resp.Append(nil)); err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
	return c
}

func TestAQuietConnectionOfOursIsPingedWithAVaryingPause(t *testing.T) {
	inBubble(t, sip.TCP, nil, func(b *bubble) {
		var answer atomic.Bool
		answer.Store(true)
		at := lineEnds(b, b.opened(), &answer)
		after(14 * time.Minute)
		last, pauses := time.Duration(0), map[time.Duration]bool{}
		for _, ping := range at() {
			if d := ping - last; d < 96*time.Second || d > 2*time.Minute {
				t.Errorf("pause of %v", d)
			}
			pauses[ping-last] = true
			last = ping
		}
		if n := len(at()); n < 7 || n > 9 || len(pauses) < 2 {
			t.Errorf("%d pings in 14 min, with pauses %v", n, pauses)
		}
		after(2 * time.Minute)
		if n := b.stack.Counters().Connections; n != 0 {
			t.Errorf("%d connections: our own pings keep a connection that nobody uses", n)
		}
	})
}

func TestAPeerThatIgnoresPingsKeepsItsConnection(t *testing.T) {
	inBubble(t, sip.TCP, nil, func(b *bubble) {
		var answer atomic.Bool
		at := lineEnds(b, b.opened(), &answer)
		after(14 * time.Minute)
		if n := b.stack.Counters().Connections; n != 1 || len(at()) < 7 || b.taken() != 1 {
			t.Errorf("%d connections after %d pings, %d opened", n, len(at()), b.taken())
		}
	})
}

func TestAPeerThatStopsAnsweringPingsIsDeadAndDialledAgain(t *testing.T) {
	inBubble(t, sip.TCP, nil, func(b *bubble) {
		var answer atomic.Bool
		answer.Store(true)
		c := b.opened()
		at := lineEnds(b, c, &answer)
		after(3 * time.Minute)
		answer.Store(false)
		known := len(at())
		again := make(chan time.Duration, 1)
		go func() {
			if c, err := b.tcp.Accept(); err == nil {
				again <- time.Since(b.start)
				b.mu.Lock()
				b.accepted = append(b.accepted, c)
				b.mu.Unlock()
			}
		}()
		after(3 * time.Minute)
		if len(at()) != known+1 {
			t.Fatalf("%d pings, %d of them answered", len(at()), known)
		}
		select {
		case when := <-again:
			// Ten seconds for the pong, then one to two of back-off.
			if d := when - at()[known]; d < 11*time.Second || d > 12*time.Second {
				t.Errorf("a new connection %v after the unanswered ping", d)
			}
		default:
			t.Error("no new connection")
		}
	})
}

func TestPongsAreNotTakenForPings(t *testing.T) {
	inBubble(t, sip.TCP, nil, func(b *bubble) {
		c := b.opened()
		var pongs int
		go func() {
			buf := make([]byte, 4096)
			for {
				n, err := c.Read(buf)
				switch {
				case err != nil:
					return
				case string(buf[:n]) == "\r\n\r\n":
					c.Write([]byte("\r\n"))
				case string(buf[:n]) == "\r\n":
					pongs++
				}
			}
		}()
		after(14 * time.Minute)
		if pongs != 0 {
			t.Errorf("the stack answered %d of our answers", pongs)
		}
	})
}

func TestNobodyIsPingedWhoDoesNotWantIt(t *testing.T) {
	inBubble(t, sip.TCP, func(cfg *sip.StackConfig, _ *bubble) { cfg.Conns.KeepAlive = -1 }, func(b *bubble) {
		var answer atomic.Bool
		at := lineEnds(b, b.opened(), &answer)
		after(14 * time.Minute)
		if len(at()) != 0 {
			t.Errorf("pings at %v", at())
		}
	})
}

// dialled notes each dial.
type dialled struct {
	sip.Network
	note func()
}

func (d dialled) Dial(ctx context.Context, network string, local netip.Addr, remote netip.AddrPort) (net.Conn, error) {
	d.note()
	return d.Network.Dial(ctx, network, local, remote)
}

func TestALostConnectionIsOpenedAgainEverLaterAndNotForEver(t *testing.T) {
	var dials []time.Duration
	var start time.Time
	inBubble(t, sip.TCP, func(cfg *sip.StackConfig, b *bubble) {
		cfg.Network = dialled{b.net, func() { dials = append(dials, time.Since(start)) }}
	}, func(b *bubble) {
		b.opened()
		b.tcp.Close() // nobody listens: dials are refused
		start, dials = time.Now(), nil
		b.net.Cut(ourAddr.Addr(), peerAddr.Addr())
		after(time.Hour)
		last := time.Duration(0)
		for i, d := range dials {
			most := min(2*time.Second<<min(i, 10), time.Minute)
			if gap := d - last; gap < most/2 || gap > most {
				t.Errorf("dial %d %v after the one before, want %v at most and half of it at least", i, gap, most)
			}
			last = d
		}
		if n := len(dials); n < 15 || last > 16*time.Minute {
			t.Errorf("%d dials, the last after %v", n, last)
		}
	})
}

func TestWhatIsLeftInTheBufferOfAMessageIsUnderItsTimeLimit(t *testing.T) {
	for name, rest := range map[string]string{
		"behind a message": string((&bubble{transport: sip.TCP}).request("OPTIONS", "z9hG4bKa").Append(nil)) + "INVI",
		"behind a ping":    "\r\n\r\nINVI",
		"zero bytes":       "\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, sip.TCP, echo, func(b *bubble) {
				c := b.dial()
				if _, err := c.Write([]byte(rest)); err != nil {
					t.Fatal(err)
				}
				if d := b.closedBy(c); d != 10*time.Second {
					t.Errorf("closed after %v", d)
				}
			})
		})
	}
}

func TestTheTapSeesTheSocketsOwnBytesOfAStream(t *testing.T) {
	var seen []string
	inBubble(t, sip.TCP, func(cfg *sip.StackConfig, b *bubble) {
		echo(cfg, b)
		cfg.Tap = func(tap sip.Tap) {
			if tap.In {
				seen = append(seen, string(tap.Raw))
			}
		}
	}, func(b *bubble) {
		odd := strings.Replace(string(b.request("OPTIONS", "z9hG4bKa").Append(nil)), "Content-Length: 0", "l :  00", 1)
		body := strings.Replace(string(b.request("INFO", "z9hG4bKb").Append(nil)), "Content-Length: 0\r\n\r\n", "Content-Length: 4\r\n\r\nbody", 1)
		bad := strings.Replace(odd, "CSeq: 1 OPTIONS", "CSeq: one", 1)
		b.say("\r\n" + odd + body + "\r\n\r\n" + bad)
		if want := []string{odd, body, bad}; strings.Join(seen, "|") != strings.Join(want, "|") {
			t.Errorf("seen\n%q\nwant\n%q", seen, want)
		}
	})
}

func TestAMalformedTopViaIsAnsweredToWhereItCameFrom(t *testing.T) {
	raw, err := os.ReadFile("testdata/rfc4475/badinv01.dat") // RFC 4475 section 3.1.2.1
	if err != nil {
		t.Fatal(err)
	}
	for _, transport := range []sip.Transport{sip.UDP, sip.TCP} {
		t.Run(transport.String(), func(t *testing.T) {
			inBubble(t, transport, echo, func(b *bubble) {
				b.say(string(raw))
				if m := b.last("INVITE"); m.Get("Via") != "SIP/2.0/UDP 192.0.2.15;;,;,," {
					t.Errorf("the answer's Via is %q", m.Get("Via"))
				}
				b.want("0s > 400 INVITE")
			})
		})
	}
	inBubble(t, sip.UDP, echo, func(b *bubble) {
		b.say("OPTIONS sip:a@b SIP/2.0\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n\r\n")
		b.want() // without any Via the sender would not know the answer as its own
	})
}

func TestAResponseThatFindsNoWayBackIsReported(t *testing.T) {
	var tx *sip.ServerTx
	for status, want := range map[int]string{
		180: "1m0s end dial carrier at 10.0.0.2:5060: dial tcp 10.0.0.2:5060: connection refused",
		486: "1m0s end dial carrier at 10.0.0.2:5060: dial tcp 10.0.0.2:5060: connection refused",
		200: "1m0s end <nil>", // its retransmission is the user's work, and so is to notice that no ACK comes
	} {
		inBubble(t, sip.TCP, func(cfg *sip.StackConfig, b *bubble) {
			cfg.Handle = func(t *sip.ServerTx) {
				tx = t
				tx.OnEnd(func(err error) { b.note("end %v", err) })
			}
		}, func(b *bubble) {
			req := b.ask("INVITE", "z9hG4bKa")
			after(time.Minute)
			b.want("200ms > 100 INVITE")
			b.net.Set(ourAddr.Addr(), peerAddr.Addr(), memnet.Weather{Refuse: true})
			b.dialled.Close()
			synctest.Wait()
			_ = tx.Respond(sip.NewResponse(req, status, "")) // it may be known at once
			b.want(want)
		})
	}
}

func TestAnINVITEThatItsUserForgotIsAnsweredInTheEnd(t *testing.T) {
	var tx *sip.ServerTx
	inBubble(t, sip.UDP, func(cfg *sip.StackConfig, b *bubble) {
		cfg.Handle = func(t *sip.ServerTx) {
			tx = t
			tx.OnEnd(func(err error) { b.note("end %v", err) })
		}
	}, func(b *bubble) {
		req := b.ask("INVITE", "z9hG4bKa")
		after(10 * time.Minute)
		if err := tx.Respond(sip.NewResponse(req, 180, "")); err != nil {
			t.Fatal(err)
		}
		b.want("200ms > 100 INVITE", "10m0s > 180 INVITE")
		after(15 * time.Minute) // counted from the last word
		b.want("25m0s > 500 INVITE", "25m0s end request was left unanswered")
	})
}
