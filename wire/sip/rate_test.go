package sip_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

// wild gives the peer a rate of 10 requests a second, 20 at once, and counts
// what the user sees.
func wild(seen map[string]int) func(*sip.StackConfig, *bubble) {
	return func(cfg *sip.StackConfig, b *bubble) {
		b.remote.Rate = sip.Rate{Requests: 10}
		cfg.Handle = func(tx *sip.ServerTx) {
			seen[tx.Request().Method]++
			_ = tx.Respond(sip.NewResponse(tx.Request(), 200, ""))
		}
		cfg.Urgent = func(m *sip.Message) bool { return strings.HasPrefix(m.RequestURI, "sip:999@") }
	}
}

func TestAPeerGoneWildIsRefusedThenIgnored(t *testing.T) {
	for _, transport := range []sip.Transport{sip.UDP, sip.TCP} {
		t.Run(transport.String(), func(t *testing.T) {
			seen := map[string]int{}
			inBubble(t, transport, wild(seen), func(b *bubble) {
				for i := range 100 {
					b.ask("OPTIONS", fmt.Sprint("z9hG4bK", i))
				}
				c := b.stack.Counters()
				if seen["OPTIONS"] != 20 || c.ResponsesOut[2] != 20 || c.ResponsesOut[5] != 2 || c.Drops["throttled"] != 80 {
					t.Errorf("of 100 at once %d are seen, %d refused, %d counted", seen["OPTIONS"], c.ResponsesOut[5], c.Drops["throttled"])
				}
				if m := b.last("OPTIONS"); m.Status != 503 || m.Get("Retry-After") == "" {
					t.Errorf("the last answer is %d", m.Status)
				}
				// What belongs to a call goes on.
				b.ask("BYE", "z9hG4bKbye", "To", "<sip:+4420@10.0.0.1>;tag=x")
				if seen["BYE"] != 1 {
					t.Error("a BYE was refused")
				}
				after(500 * time.Millisecond)
				for i := range 20 {
					b.ask("OPTIONS", fmt.Sprint("z9hG4bKlater", i))
				}
				if seen["OPTIONS"] != 25 {
					t.Errorf("%d half a second later, want 5 more", seen["OPTIONS"])
				}
			})
		})
	}
}

func TestARateMayBeReplaced(t *testing.T) {
	seen := map[string]int{}
	inBubble(t, sip.UDP, wild(seen), func(b *bubble) {
		b.remote.SetRate(sip.Rate{Requests: 3})
		for i := range 100 {
			b.ask("OPTIONS", fmt.Sprint("z9hG4bK", i))
		}
		if seen["OPTIONS"] != 6 {
			t.Errorf("%d of 100 are seen, want twice three", seen["OPTIONS"])
		}
	})
}

func TestEmergencyCallsAreLetInWhateverTheRate(t *testing.T) {
	seen := map[string]int{}
	inBubble(t, sip.UDP, wild(seen), func(b *bubble) {
		for i := range 100 {
			b.ask("OPTIONS", fmt.Sprint("z9hG4bK", i))
		}
		for i, uri := range []string{"urn:service:sos", "URN:service:SOS.fire", "sip:999@10.0.0.1", "sip:1999@10.0.0.1"} {
			m := b.request("INVITE", fmt.Sprint("z9hG4bKsos", i))
			m.RequestURI = uri
			b.say(string(m.Append(nil)))
		}
		if seen["INVITE"] != 3 {
			t.Errorf("%d of three emergency calls and one other were let in", seen["INVITE"])
		}
	})
}

func TestDatagramsFarAboveTheRateAreNotEvenRead(t *testing.T) {
	inBubble(t, sip.UDP, wild(map[string]int{}), func(b *bubble) {
		for range 1000 {
			b.say("noise")
		}
		c := b.stack.Counters()
		if c.Drops["malformed"] != 400 || c.Drops["throttled"] != 600 {
			t.Errorf("drops %v, want 20 times the burst of 20 to be read", c.Drops)
		}
		after(time.Second)
		b.ask("OPTIONS", "z9hG4bKgood")
		b.want("1s > 200 OPTIONS")
	})
}

func TestAConnectionFarAboveTheRateIsReadSlowlyAndLosesNothing(t *testing.T) {
	seen, last := 0, time.Duration(0)
	inBubble(t, sip.TCP, func(cfg *sip.StackConfig, b *bubble) {
		wild(nil)(cfg, b)
		cfg.Handle = func(*sip.ServerTx) { seen, last = seen+1, time.Since(b.start) }
	}, func(b *bubble) {
		bye := string(b.request("BYE", "z9hG4bKbye", "To", "<sip:+4420@10.0.0.1>;tag=x").Append(nil))
		var all strings.Builder
		for i := range 800 {
			all.WriteString(strings.ReplaceAll(bye, "z9hG4bKbye", fmt.Sprint("z9hG4bK", i)))
		}
		c := b.dial()
		defer c.Close()
		go c.Write([]byte(all.String()))
		after(time.Minute)
		// 400 at once, 200 a second from then on.
		if seen != 800 || last < 1900*time.Millisecond || last > 2100*time.Millisecond {
			t.Errorf("%d of 800 were let in, the last after %v; want 2 s", seen, last)
		}
	})
}

// A response counts only when it comes from whom the request went to.
func TestNobodyAnswersForAnother(t *testing.T) {
	const third = "10.0.0.3:5060"
	for name, c := range map[string]struct {
		same bool // the other address is the peer's as well
		want []string
	}{
		"another peer":                  {false, nil},
		"the peer from another address": {true, []string{"0s event 200 OPTIONS"}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, sip.UDP, func(cfg *sip.StackConfig, b *bubble) {
				other := &sip.Remote{Name: "other"}
				cfg.Admit = func(_ *sip.Listener, src netip.Addr) []*sip.Remote {
					if src == peerAddr.Addr() {
						return []*sip.Remote{b.remote}
					}
					if c.same {
						return []*sip.Remote{other, b.remote}
					}
					return []*sip.Remote{other}
				}
			}, func(b *bubble) {
				b.begin("OPTIONS")
				b.want("0s > OPTIONS")
				forged := sip.NewResponse(b.last("OPTIONS"), 200, "")
				forged.TagTo("forged")
				conn, err := b.net.ListenPacket(netip.MustParseAddrPort(third))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				conn.WriteToUDPAddrPort(forged.Append(nil), ourAddr)
				b.want(c.want...)
			})
		})
	}
}

// A core that sends our own INVITE back to us would make calls until all ports
// are gone.
func TestOurOwnRequestComeBackIsALoopUnlessItIsForSomebodyElse(t *testing.T) {
	for name, c := range map[string]struct {
		uri  string
		seen int
	}{
		"the same user":    {"sip:+4930@10.0.0.1;user=phone", 0},
		"forwarded to one": {"sip:+4940@10.0.0.1", 1},
	} {
		t.Run(name, func(t *testing.T) {
			seen := 0
			inBubble(t, sip.UDP, func(cfg *sip.StackConfig, _ *bubble) {
				cfg.Handle = func(tx *sip.ServerTx) {
					seen++
					_ = tx.Respond(sip.NewResponse(tx.Request(), 486, ""))
				}
			}, func(b *bubble) {
				tx := b.begin("INVITE")
				back := b.last("INVITE").Clone()
				back.RequestURI = c.uri
				back.Prepend("Via", "SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKproxy")
				b.say(string(back.Append(nil)))
				if m := b.last("INVITE"); seen != c.seen || c.seen == 0 && m.Status != 482 {
					t.Errorf("%d were seen by the user; the last answer is %d", seen, m.Status)
				}
				tx.Cancel("")
			})
		})
	}
}

func TestAnOverloadedUserIsSparedWhatIsNotUrgent(t *testing.T) {
	for _, transport := range []sip.Transport{sip.UDP, sip.TCP} {
		t.Run(transport.String(), func(t *testing.T) {
			seen := map[string]int{}
			busy := func(cfg *sip.StackConfig, b *bubble) {
				wild(seen)(cfg, b)
				b.remote.Rate = sip.Rate{}
				cfg.Overloaded = func(m *sip.Message) bool { return m.Method == "INVITE" }
			}
			inBubble(t, transport, busy, func(b *bubble) {
				b.ask("INVITE", "z9hG4bK1")
				if m := b.last("INVITE"); m.Status != 503 || m.Get("Retry-After") == "" || seen["INVITE"] != 0 {
					t.Errorf("answered %d, and seen %d times", m.Status, seen["INVITE"])
				}
				if c := b.stack.Counters(); c.ServerTx != 0 || c.Drops["overload"] != 1 {
					t.Errorf("%d transactions, counted %v", c.ServerTx, c.Drops)
				}
				b.ask("OPTIONS", "z9hG4bK2")
				if seen["OPTIONS"] != 1 {
					t.Error("what is not overloaded was refused")
				}
				sos := b.request("INVITE", "z9hG4bK3")
				sos.RequestURI = "urn:service:sos"
				b.say(string(sos.Append(nil)))
				if seen["INVITE"] != 1 {
					t.Error("an emergency call was refused")
				}
			})
		})
	}
}

// A response repeats every Via, and is kept for half a minute.
func TestWhatIsKeptForAPeerIsBounded(t *testing.T) {
	var remote *sip.Remote
	inBubble(t, sip.UDP, func(cfg *sip.StackConfig, b *bubble) {
		remote = b.remote
		remote.Rate = sip.Rate{Requests: 10_000}
		cfg.Handle = func(tx *sip.ServerTx) { _ = tx.Respond(sip.NewResponse(tx.Request(), 486, "")) }
	}, func(b *bubble) {
		b.udp.Close() // nobody reads the answers
		peer, err := b.net.ListenPacket(netip.MustParseAddrPort("10.0.0.2:5070"))
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		long := strings.Repeat(",SIP/2.0/UDP a", 1100)
		for i := range 6000 {
			m := b.request([]string{"INVITE", "OPTIONS"}[i%2], fmt.Sprint("z9hG4bK", i))
			m.Set("Via", m.Get("Via")+long)
			peer.WriteToUDPAddrPort(m.Append(nil), ourAddr)
			if i%500 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		if held := remote.Held(); held < 60<<20 || held > 64<<20 {
			t.Errorf("%d MB are kept", held>>20)
		}
	})
	if held := remote.Held(); held != 0 {
		t.Errorf("%d bytes are kept when all is over", held)
	}
}
