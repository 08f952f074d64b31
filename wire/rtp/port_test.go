package rtp

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/srtp/v3"
	"pgregory.net/rapid"

	"github.com/tandemgw/tandem/base/fault"
)

const sdes = "AES_CM_128_HMAC_SHA1_80"

// world is a gateway with one port per side, and a far side for each.
type world struct {
	t            testing.TB
	gateway      *Engine
	a, b         *Port // ours
	alice, bob   *Port // the far sides
	toAlice      [][]byte
	toBob        [][]byte
	rtcpToBob    [][]byte
	aKeys, bKeys *Keys // what alice sends with, what bob is sent with
}

// bubble runs a test in a world where alice's packets go to bob.
func bubble(t *testing.T, test func(*testing.T, *world), allow ...netip.Prefix) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		w := &world{t: t, gateway: memoryEngine(t, n, "192.0.2.1", allow...)}
		far := memoryEngine(t, n, "192.0.2.2")
		w.a, w.b, w.alice, w.bob = open(t, w.gateway), open(t, w.gateway), open(t, far), open(t, far)
		w.a.Remote(w.alice.Addr(), netip.AddrPort{})
		w.b.Remote(w.bob.Addr(), netip.AddrPort{})
		w.alice.Remote(w.a.Addr(), netip.AddrPort{})
		w.bob.Remote(w.b.Addr(), netip.AddrPort{})
		w.plan(w.alice, &Plan{PT: PassPT(), Sink: func(p []byte, _ bool) { w.toAlice = append(w.toAlice, bytes.Clone(p)) }})
		w.plan(w.bob, &Plan{PT: PassPT(), Sink: func(p []byte, rtcp bool) {
			if rtcp {
				w.rtcpToBob = append(w.rtcpToBob, bytes.Clone(p))
			} else {
				w.toBob = append(w.toBob, bytes.Clone(p))
			}
		}})
		w.replan()
		test(t, w)
	})
}

// replan publishes the plan for alice's packets anew, as a re-INVITE does.
func (w *world) replan() { w.plan(w.a, &Plan{PT: PassPT(), In: w.aKeys, Out: w.bKeys, To: w.b}) }

func (w *world) plan(p *Port, plan *Plan) {
	w.t.Helper()
	if err := p.Receive(plan); err != nil {
		w.t.Fatal(err)
	}
}

// send sends octets as they are and waits until all that follows has happened.
func (w *world) send(from *Port, pkt []byte) {
	w.t.Helper()
	if err := from.Send(pkt, nil); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

func (w *world) keys(suite string) *Keys {
	w.t.Helper()
	k, err := NewKeys(suite)
	if err != nil {
		w.t.Fatal(err)
	}
	return k
}

// oracle is an SRTP context of the far side, made by the library itself.
func oracle(t testing.TB, k *Keys) *srtp.Context {
	t.Helper()
	s := suites[k.Suite]
	options := []srtp.ContextOption{srtp.SRTPReplayProtection(64), srtp.SRTCPReplayProtection(64)}
	if k.MKI != nil {
		options = append(options, srtp.MasterKeyIndicator(k.MKI))
	}
	c, err := srtp.CreateContext(k.Master[:s.key], k.Master[s.key:], s.profile, options...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func seal(t testing.TB, c *srtp.Context, pkt []byte) []byte {
	t.Helper()
	out, err := c.EncryptRTP(nil, pkt, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRollOverCounterSurvivesNewPlans(t *testing.T) {
	for _, again := range []bool{false, true} {
		bubble(t, func(t *testing.T, w *world) {
			w.aKeys, w.bKeys = w.keys(sdes), w.keys("AEAD_AES_128_GCM")
			w.replan()
			alice, bob := oracle(t, w.aKeys), oracle(t, w.bKeys)
			n := 0
			// Twice over the wrap; every 1000th number, as packets are lost.
			for seq := 60000; seq < 60000+2*65536; seq += 1000 {
				if again && n%7 == 0 {
					same := *w.aKeys // the values count, not the pointer
					w.aKeys = &same
					w.replan()
				}
				time.Sleep(20 * time.Millisecond)
				w.send(w.alice, seal(t, alice, packet(7, uint16(seq))))
				n++
				if len(w.toBob) != n {
					t.Fatalf("packet %d did not arrive: %+v", seq, w.a.Stats())
				}
				clear, err := bob.DecryptRTP(nil, w.toBob[n-1], nil)
				if err != nil || !bytes.Equal(clear, packet(7, uint16(seq))) {
					t.Fatalf("packet %d: %v", seq, err)
				}
			}
		})
	}
}

func TestKeysThatComeBackGoOn(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		first, second := w.keys(sdes), w.keys(sdes)
		w.aKeys = first
		w.replan()
		alice := oracle(t, first)
		for _, seq := range []uint16{40000, 65000, 100} {
			w.send(w.alice, seal(t, alice, packet(7, seq)))
		}
		w.aKeys = second
		w.replan()
		w.send(w.alice, seal(t, oracle(t, second), packet(7, 1)))
		w.aKeys = first
		w.replan()
		w.send(w.alice, seal(t, alice, packet(7, 101)))
		if len(w.toBob) != 5 {
			t.Fatalf("%d of 5 packets arrived: %+v", len(w.toBob), w.a.Stats())
		}
	})
}

func TestNewSourceInMidCall(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.aKeys, w.bKeys = w.keys(sdes), w.keys(sdes)
		w.replan()
		alice, bob := oracle(t, w.aKeys), oracle(t, w.bKeys)
		for i, ssrc := range []uint32{1, 1, 2, 1, 2, 3} {
			w.send(w.alice, seal(t, alice, packet(ssrc, uint16(65534+i))))
			if _, err := bob.DecryptRTP(nil, w.toBob[i], nil); err != nil {
				t.Fatalf("packet %d: %v", i, err)
			}
		}
	})
}

func TestReplayedAndForgedPackets(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.aKeys = w.keys(sdes)
		w.replan()
		alice := oracle(t, w.aKeys)
		var pkts [][]byte
		for seq := range uint16(300) {
			pkts = append(pkts, seal(t, alice, packet(7, 1+seq)))
		}
		w.send(w.alice, pkts[0])
		w.send(w.alice, pkts[2])
		w.send(w.alice, pkts[1]) // late
		w.send(w.alice, pkts[2]) // replayed
		forged := bytes.Clone(pkts[3])
		forged[20] ^= 1
		w.send(w.alice, forged)
		w.send(w.alice, packet(7, 5)) // clear
		w.send(w.alice, pkts[299])
		w.send(w.alice, pkts[3])                             // behind the window
		w.send(w.alice, packet(7, 6)[:rtpHeader+4])          // shorter than its tag
		w.send(w.alice, seal(t, alice, packet(7, 301)[:12])) // nothing in it, and whole
		s := w.a.Stats()
		if len(w.toBob) != 5 || s.Drops[Replayed] != 2 || s.Drops[AuthFailed] != 2 || s.Drops[TooShort] != 1 {
			t.Errorf("%d arrived; %+v", len(w.toBob), s)
		}
		if s.Received.Packets != 5 || s.OutOfOrder != 1 {
			t.Errorf("forged packets are in the books: %+v", s)
		}
	})
}

func TestStreamThatBeginsAgainGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.bKeys = w.keys(sdes)
		w.replan()
		bob := oracle(t, w.bKeys)
		for i, p := range []struct {
			in, out uint16 // 0: does not leave
			marked  bool
		}{
			{in: 1000, out: 1000},
			{in: 1001, out: 1001},
			{in: 1003, out: 1003},
			{in: 1002, out: 1002}, // late
			{in: 1003},            // twice
			{in: 800},             // one alone tells nothing
			{in: 1004, out: 1004},
			{in: 801}, // nor does its successor, later
			{in: 5},
			{in: 6, out: 1005, marked: true}, // begins again
			{in: 8, out: 1007},
			{in: 7, out: 1006},
			{in: 8},
			{in: 65000}, // and again, over the wrap
			{in: 65001, out: 1008, marked: true},
			{in: 64, out: 1607},
		} {
			before := len(w.toBob)
			w.send(w.alice, packet(7, p.in))
			if left := len(w.toBob) > before; left != (p.out != 0) {
				t.Fatalf("packet %d, number %d: left %v", i, p.in, left)
			}
			if p.out == 0 {
				continue
			}
			clear, err := bob.DecryptRTP(nil, w.toBob[before], nil)
			if err != nil {
				t.Fatalf("packet %d, number %d: %v", i, p.in, err)
			}
			h, _ := parseRTP(clear)
			if h.ssrc != 7 || h.seq != p.out || clear[1]&0x80 != 0 != p.marked {
				t.Errorf("packet %d, number %d: left as %+v, marker %v", i, p.in, h, clear[1]&0x80 != 0)
			}
		}
		if s := w.a.Stats(); s.Drops[Replayed] != 6 {
			t.Errorf("%+v", s.Drops)
		}
	})
}

// TestNoKeyStreamIsUsedTwice: in whatever order packets come, whoever watches
// for replays takes each one that leaves.
func TestNoKeyStreamIsUsedTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		keys := &Keys{Suite: sdes, Master: make([]byte, 30)}
		var ours contexts
		c, err := ours.get(keys)
		if err != nil {
			rt.Fatal(err)
		}
		far := oracle(t, keys)
		seq := rapid.Uint16().Draw(rt, "first")
		for range rapid.IntRange(1, 300).Draw(rt, "packets") {
			step := rapid.OneOf(rapid.Just(1), rapid.IntRange(-3, 3), rapid.IntRange(-200, 200), rapid.Just(20000)).Draw(rt, "step")
			seq += uint16(step)
			pkt := append(packet(7, seq), make([]byte, overhead)...)[:rtpHeader+160]
			h, _ := parseRTP(pkt)
			sealed, cause := c.protect(pkt, h)
			if cause != passed {
				continue
			}
			if _, err := far.DecryptRTP(nil, sealed, nil); err != nil {
				rt.Fatalf("number %d: %v", seq, err)
			}
		}
	})
}

func TestSourcesOfOneKeyAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.bKeys = w.keys(sdes)
		w.replan()
		for ssrc := range uint32(maxSources + 10) {
			time.Sleep(20 * time.Millisecond)
			w.send(w.alice, packet(ssrc, 1))
		}
		if s := w.a.Stats(); len(w.toBob) != maxSources || s.Drops[ManySources] != 10 {
			t.Errorf("%d arrived; %+v", len(w.toBob), s)
		}
	})
}

func TestStrangersAreNeitherHeardNorAnswered(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.send(w.alice, packet(7, 1))
		w.bob.Remote(w.a.Addr(), netip.AddrPort{}) // bob now attacks alice's port
		for seq := range uint16(10) {
			w.send(w.bob, packet(7, 2+seq))
		}
		w.plan(w.b, &Plan{PT: PassPT(), To: w.a})
		w.bob.Remote(w.b.Addr(), netip.AddrPort{})
		w.send(w.bob, packet(8, 1))
		s := w.a.Stats()
		if s.Drops[Stranger] != 10 || s.Remote != w.alice.Addr() || s.Latched {
			t.Errorf("%+v", s)
		}
		if len(w.toBob) != 1 || len(w.toAlice) != 1 {
			t.Errorf("%d packets to bob, %d to alice", len(w.toBob), len(w.toAlice))
		}
	})
}

func TestWhoIsNotAllowedNeverLatches(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.a.Remote(netip.MustParseAddrPort("10.0.0.1:4000"), netip.AddrPort{})
		for seq := range uint16(3) {
			w.send(w.alice, packet(7, seq))
		}
		w.aKeys = w.keys(sdes)
		w.replan()
		w.send(w.alice, seal(t, oracle(t, w.aKeys), packet(7, 9)))
		if s := w.a.Stats(); s.Latched || s.Drops[Stranger] != 4 {
			t.Errorf("%+v", s)
		}
	}, netip.MustParsePrefix("192.0.3.0/24"))
}

func TestTheAllowListOfAnOpenPortCanBeReplaced(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.a.Remote(netip.MustParseAddrPort("10.0.0.1:4000"), netip.AddrPort{})
		w.send(w.alice, packet(7, 1))
		if s := w.a.Stats(); s.Drops[Stranger] != 1 {
			t.Fatalf("heard before: %+v", s)
		}
		w.gateway.Allow("test", []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")})
		w.send(w.alice, packet(7, 2))
		w.send(w.alice, packet(7, 3))
		if s := w.a.Stats(); !s.Latched {
			t.Fatalf("not latched: %+v", s)
		}
		w.gateway.Allow("test", nil)
		w.send(w.alice, packet(7, 4)) // who has latched goes on being heard
		w.gateway.Allow("nobody's", nil)
		if s := w.a.Stats(); s.Drops[Stranger] != 2 || len(w.toBob) != 2 {
			t.Errorf("%d arrived; %+v", len(w.toBob), s)
		}
	}, netip.MustParsePrefix("192.0.3.0/24"))
}

func TestNATIsLatchedAndAuthenticationRelatchesAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.a.Remote(netip.MustParseAddrPort("10.0.0.1:4000"), netip.AddrPort{})
		w.send(w.alice, packet(7, 1))
		w.send(w.alice, packet(7, 2))
		if s := w.a.Stats(); s.Remote != w.alice.Addr() || !s.Latched || len(w.toBob) != 1 {
			t.Fatalf("not latched: %+v", s)
		}
		w.a.Remote(netip.MustParseAddrPort("10.0.0.1:4000"), netip.AddrPort{})
		if s := w.a.Stats(); s.Remote != w.alice.Addr() {
			t.Fatalf("the same address signalled again loses the latch: %+v", s)
		}
		w.aKeys = w.keys(sdes)
		w.replan()
		w.bob.Remote(w.a.Addr(), netip.AddrPort{}) // alice moves to bob's address
		alice := oracle(t, w.aKeys)
		late := seal(t, alice, packet(7, 3))
		w.send(w.bob, seal(t, alice, packet(7, 4)))
		if s := w.a.Stats(); s.Remote != w.bob.Addr() {
			t.Fatalf("not relatched: %+v", s)
		}
		w.send(w.alice, late)
		if s := w.a.Stats(); s.Remote != w.bob.Addr() || s.Received.Packets != 3 {
			t.Fatalf("a packet from before the move moves back, or is not heard: %+v", s)
		}
	}, netip.MustParsePrefix("192.0.2.0/24"))
}

func TestHeldMediaStopsAndControlGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.plan(w.a, &Plan{PT: PassPT(), To: w.b, Hold: true})
		w.send(w.alice, packet(7, 1))
		w.send(w.alice, []byte{0x80, 201, 0, 1, 0, 0, 0, 7})
		s := w.a.Stats()
		if len(w.toBob) != 0 || len(w.rtcpToBob) != 1 || s.Drops[NoDestination] != 1 {
			t.Errorf("%d and %d arrived; %+v", len(w.toBob), len(w.rtcpToBob), s)
		}
		if s.Received.Packets != 1 || s.ReceivedRTCP.Packets != 1 || s.Last.IsZero() {
			t.Errorf("held packets are not in the books: %+v", s)
		}
	})
}

func TestControlIsMultiplexed(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.aKeys, w.bKeys = w.keys(sdes), w.keys(sdes)
		w.replan()
		w.a.Remote(w.alice.Addr(), w.alice.Addr())
		w.b.Remote(w.bob.Addr(), w.bob.Addr())
		w.alice.Remote(w.a.Addr(), w.a.Addr())
		w.bob.Remote(w.b.Addr(), w.b.Addr())
		rr := []byte{0x80, 201, 0, 1, 0, 0, 0, 7}
		sealed, err := oracle(t, w.aKeys).EncryptRTCP(nil, rr, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.plan(w.bob, &Plan{PT: PassPT(), In: w.bKeys, Sink: func(p []byte, rtcp bool) {
			if rtcp {
				w.rtcpToBob = append(w.rtcpToBob, bytes.Clone(p))
			}
		}})
		w.send(w.alice, sealed)
		if len(w.rtcpToBob) != 1 || !bytes.Equal(w.rtcpToBob[0], rr) {
			t.Errorf("got % x; %+v", w.rtcpToBob, w.a.Stats())
		}
		if s := w.bob.Stats(); s.ReceivedRTCP.Packets != 1 {
			t.Errorf("bob: %+v", s)
		}
	})
}

func TestPayloadNumbersAreMappedOrDropped(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.plan(w.a, &Plan{PT: MapPT(map[uint8]uint8{8: 0}), To: w.b})
		marked := packet(7, 1)
		marked[1] |= 0x80
		other := packet(7, 2)
		other[1] = 13
		w.send(w.alice, marked)
		w.send(w.alice, other)
		w.send(w.alice, packet(7, 3))
		s := w.a.Stats()
		if len(w.toBob) != 2 || w.toBob[0][1] != 0x80 || s.Drops[UnknownType] != 1 || s.Lost != 0 {
			t.Errorf("% x; %+v", w.toBob, s)
		}
	})
}

func TestPortsWithoutPlanOrRemoteCount(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.plan(w.a, nil)
		w.send(w.alice, packet(7, 1))
		w.replan()
		w.b.Remote(netip.MustParseAddrPort("0.0.0.0:4000"), netip.AddrPort{})
		w.send(w.alice, packet(7, 2))
		s := w.a.Stats()
		if s.Received.Packets != 2 || s.Drops[NoDestination] != 1 || s.Drops[NoRemote] != 1 || s.Dropped() != 2 {
			t.Errorf("%+v", s)
		}
		if err := w.b.Send(packet(7, 1), nil); !errors.Is(err, ErrNoRemote) {
			t.Errorf("sending to nobody: %v", err)
		}
		if err := w.a.Send([]byte{0x80}, nil); !errors.Is(err, ErrPacket) {
			t.Errorf("sending garbage: %v", err)
		}
	})
}

func TestUnusableKeysChangeNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for _, k := range []*Keys{{Suite: "NULL"}, {Suite: sdes, Master: make([]byte, 29)}} {
			for _, plan := range []*Plan{{In: k, To: w.b}, {Out: k, To: w.b}, {Out: k}} {
				if err := w.a.Receive(plan); fault.Of(err) != fault.Invalid {
					t.Errorf("%v taken: %v", k.Suite, err)
				}
			}
		}
		w.send(w.alice, packet(7, 1))
		if len(w.toBob) != 1 {
			t.Error("the old plan is gone")
		}
	})
}

// Two far sides that are each told our other port would pass a packet round
// for ever.
func TestCircleEnds(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.plan(w.b, &Plan{PT: PassPT(), To: w.a})
		c, d := open(t, w.gateway), open(t, w.gateway)
		w.plan(c, &Plan{PT: PassPT(), To: d})
		w.plan(d, &Plan{PT: PassPT(), To: c})
		d.Remote(w.b.Addr(), netip.AddrPort{})
		w.b.Remote(d.Addr(), netip.AddrPort{})
		c.Remote(w.a.Addr(), netip.AddrPort{})
		w.a.Remote(c.Addr(), netip.AddrPort{})
		if err := c.Send(packet(7, 1), nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		n := w.gateway.Counters()
		if n.Drops[Flood] != 1 || n.Received.Packets > 4*maxRate {
			t.Errorf("%+v", n)
		}
	})
}

func TestForgedFloodDoesNotSilenceTheFarSide(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.aKeys = w.keys(sdes)
		w.replan()
		for seq := range uint16(2 * maxRate) {
			if err := w.alice.Send(packet(7, seq), nil); err != nil { // not authentic
				t.Fatal(err)
			}
		}
		synctest.Wait()
		w.send(w.alice, seal(t, oracle(t, w.aKeys), packet(7, 1)))
		if s := w.a.Stats(); len(w.toBob) != 1 || s.Drops[AuthFailed] != 2*maxRate {
			t.Errorf("%d arrived; %+v", len(w.toBob), s)
		}
	})
}

// FuzzReceive: whatever arrives, in whatever state a port is, it is either
// passed on or counted.
func FuzzReceive(f *testing.F) {
	f.Add(packet(7, 1), false, uint8(0))
	f.Add(packet(7, 1)[:11], false, uint8(1))
	f.Add([]byte{0x80, 201, 0, 1, 0, 0, 0, 7}, true, uint8(3))
	f.Add([]byte{}, true, uint8(7))
	f.Fuzz(func(t *testing.T, pkt []byte, rtcp bool, state uint8) {
		e, err := New(Config{Threads: 1, Network: NewNetwork(), Interfaces: []Interface{
			{Name: "test", Bind: netip.MustParseAddr("192.0.2.1"), PortMin: 2000, PortMax: 2003},
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		a, b := open(t, e), open(t, e)
		far := netip.MustParseAddrPort("192.0.2.2:3000")
		b.Remote(far, netip.AddrPort{})
		a.Remote(far, netip.AddrPort{})
		if state&1 != 0 {
			a.Remote(far, far)
		}
		plan := &Plan{PT: PassPT(), To: b}
		master := make([]byte, 30)
		if state&2 != 0 {
			plan.In = &Keys{Suite: sdes, Master: master}
		}
		if state&4 != 0 {
			plan.Out = &Keys{Suite: sdes, Master: master}
		}
		if err := a.Receive(plan); err != nil {
			t.Fatal(err)
		}
		l := &lane{now: time.Now()}
		pkt = pkt[:min(len(pkt), maxPacket+1)]
		if state&2 != 0 && state&8 != 0 && len(pkt) <= maxPacket { // authentic, whatever it says
			if sealed, err := oracle(t, plan.In).EncryptRTP(nil, pkt, nil); err == nil && len(sealed) <= maxPacket {
				pkt = sealed
			}
		}
		s := a.sockets[media]
		if rtcp {
			s = a.sockets[control]
		}
		a.receive(l, s, copy(l.buf[:], pkt), far)
		in, out := a.Stats(), b.Stats()
		if n := out.Sent.Packets + out.SentRTCP.Packets + in.Dropped(); n != 1 {
			t.Fatalf("one packet became %d: %+v %+v", n, in, out)
		}
	})
}

func TestLatePacketsDoNotReachTheNextCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		gw, err := New(Config{Threads: 1, Quarantine: 5 * time.Second, Network: n, Interfaces: []Interface{
			{Name: "test", Bind: netip.MustParseAddr("192.0.2.1"), PortMin: 3000, PortMax: 3001, Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer gw.Close()
		far := memoryEngine(t, n, "192.0.2.2")
		alice := open(t, far)
		first := open(t, gw)
		alice.Remote(first.Addr(), netip.AddrPort{})
		first.Close()
		first.Close()
		if _, err := gw.Open("test"); fault.Of(err) != fault.Exhausted {
			t.Fatalf("a port in quarantine was given out: %v", err)
		}
		for seq := range uint16(100) { // alice did not hear the BYE yet
			if err := alice.Send(packet(7, seq), nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		if s := first.Stats(); s.Drops[Late] != 100 || s.Received.Packets != 0 {
			t.Errorf("%+v", s)
		}
		if err := first.Send(packet(7, 1), nil); !errors.Is(err, ErrClosed) {
			t.Errorf("sending from a closed port: %v", err)
		}
		if c := gw.Counters(); c.Quarantined != 1 || c.Open != 0 || c.Exhausted != 1 {
			t.Errorf("%+v", c)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		second := open(t, gw)
		if second.Addr() != first.Addr() {
			t.Fatalf("%v, want %v again", second.Addr(), first.Addr())
		}
		synctest.Wait()
		if s := second.Stats(); s.Received.Packets != 0 || s.Dropped() != 0 {
			t.Errorf("the next call hears the last one: %+v", s)
		}
		if c := gw.Counters(); c.Drops[Late] != 100 || c.Open != 1 || c.Quarantined != 0 {
			t.Errorf("%+v", c)
		}
	})
}

// Who calls in vain a thousand times a second would else have all ports in
// quarantine.
func TestAPortThatNobodyUsedRestsForATenth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		gw, err := New(Config{Threads: 1, Quarantine: 5 * time.Second, Network: n, Interfaces: []Interface{
			{Name: "test", Bind: netip.MustParseAddr("192.0.2.1"), PortMin: 3000, PortMax: 3001, Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer gw.Close()
		far := open(t, memoryEngine(t, n, "192.0.2.2"))
		for _, c := range []struct {
			name string
			use  func(*Port)
			rest time.Duration
		}{
			{"unused", func(*Port) {}, 500 * time.Millisecond},
			{"one packet came", func(p *Port) {
				far.Remote(p.Addr(), netip.AddrPort{})
				_ = far.Send(packet(7, 1), nil)
				synctest.Wait()
			}, 5 * time.Second},
			{"one packet left", func(p *Port) {
				p.Remote(far.Addr(), netip.AddrPort{})
				_ = p.Send(packet(7, 1), nil)
			}, 5 * time.Second},
		} {
			p := open(t, gw)
			c.use(p)
			p.Close()
			time.Sleep(c.rest - time.Millisecond)
			if _, err := gw.Open("test"); fault.Of(err) != fault.Exhausted {
				t.Errorf("%s: given out before %v: %v", c.name, c.rest, err)
			}
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
			if c := gw.Counters(); c.Quarantined != 0 {
				t.Errorf("still in quarantine: %+v", c)
			}
		}
	})
}

func TestConfigurationIsChecked(t *testing.T) {
	ip := netip.MustParseAddr("192.0.2.1")
	good := Interface{Name: "a", Bind: ip, PortMin: 2000, PortMax: 2001}
	for name, interfaces := range map[string][]Interface{
		"the same name twice":       {good, good},
		"no address":                {{Name: "a", PortMin: 2000, PortMax: 2001}},
		"nothing to advertise":      {{Name: "a", Bind: netip.IPv4Unspecified(), PortMin: 2000, PortMax: 2001}},
		"no even port with its odd": {{Name: "a", Bind: ip, PortMin: 2001, PortMax: 2002}},
		"no ports":                  {{Name: "a", Bind: ip}},
		"upside down":               {{Name: "a", Bind: ip, PortMin: 3000, PortMax: 2000}},
	} {
		if e, err := New(Config{Network: NewNetwork(), Interfaces: interfaces}); err == nil {
			t.Errorf("%s: accepted", name)
			_ = e.Close()
		}
	}
	e, err := New(Config{Network: NewNetwork(), Interfaces: []Interface{{Name: "a", Bind: ip, PortMin: 65530, PortMax: 65535}}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for range 3 {
		if _, err := e.Open("a"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Open("a"); fault.Of(err) != fault.Exhausted {
		t.Errorf("a fourth port of three: %v", err)
	}
	if _, err := e.Open("b"); fault.Of(err) != fault.NotFound {
		t.Errorf("an interface nobody has: %v", err)
	}
}
