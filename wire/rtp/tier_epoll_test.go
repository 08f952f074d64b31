package rtp

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"golang.org/x/sys/unix"

	"github.com/tandemgw/tandem/base/fault"
)

// udp is a far side with a socket of the operating system.
type udp struct {
	testing.TB
	conn *net.UDPConn
}

func dial(t testing.TB, host string) *udp {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(host), 0)))
	if err != nil {
		t.Skipf("no such address here: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &udp{t, c}
}

func (u *udp) addr() netip.AddrPort { return u.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

func (u *udp) send(to netip.AddrPort, pkt []byte) {
	u.Helper()
	if _, err := u.conn.WriteToUDPAddrPort(pkt, to); err != nil {
		u.Fatal(err)
	}
}

// next is the next packet, and where it came from; nil after a while without.
func (u *udp) next() ([]byte, netip.AddrPort) {
	_ = u.conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	b := make([]byte, 65536)
	n, from, err := u.conn.ReadFromUDPAddrPort(b)
	if err != nil {
		return nil, from
	}
	return b[:n], from
}

func sockets(t testing.TB, host string) *Engine {
	t.Helper()
	e, err := New(Config{Threads: 2, Interfaces: []Interface{{Name: "test", Bind: netip.MustParseAddr(host), PortMin: 33000, PortMax: 36999}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// settles waits until a counter that the loops move has its value.
func settles(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after five seconds", what)
		}
		<-time.After(time.Millisecond)
	}
}

// Every suite, both address families, against the SRTP library on real
// sockets: protected on one side, other keys on the other, and RTCP likewise.
func TestRelayOverSockets(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		for suite := range suites {
			for _, mki := range [][]byte{nil, {1}} {
				t.Run(host+" "+suite, func(t *testing.T) { relayOverSockets(t, host, suite, mki) })
			}
		}
	}
}

func relayOverSockets(t *testing.T, host, suite string, mki []byte) {
	alice, bob, bobControl := dial(t, host), dial(t, host), dial(t, host)
	e := sockets(t, host)
	a, b := open(t, e), open(t, e)
	in, _ := NewKeys(suite)
	out, _ := NewKeys(suite)
	in.MKI = mki
	a.Remote(alice.addr(), alice.addr())
	b.Remote(bob.addr(), bobControl.addr())
	if err := a.Receive(&Plan{PT: MapPT(map[uint8]uint8{8: 96}), In: in, Out: out, To: b}); err != nil {
		t.Fatal(err)
	}
	protect, unprotect := oracle(t, in), oracle(t, out)

	// A header with everything in it: CSRC, extension, padding, marker.
	sent := &rtp.Packet{
		Header:  rtp.Header{Version: 2, Marker: true, PayloadType: 8, SequenceNumber: 65535, Timestamp: 1, SSRC: 2, CSRC: []uint32{3}, Padding: true, PaddingSize: 4},
		Payload: bytes.Repeat([]byte{0xd5}, 160),
	}
	if err := sent.SetExtension(1, []byte{9}); err != nil {
		t.Fatal(err)
	}
	for range 3 { // over the wrap
		raw, err := sent.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		alice.send(a.Addr(), seal(t, protect, raw))
		got, from := bob.next()
		if from != b.Addr() {
			t.Fatalf("came from %v, want %v; %+v", from, b.Addr(), a.Stats())
		}
		clear, err := unprotect.DecryptRTP(nil, got, nil)
		if err != nil {
			t.Fatal(err)
		}
		raw[1] = 0x80 | 96
		if !bytes.Equal(clear, raw) {
			t.Fatalf("got  % x\nwant % x", clear, raw)
		}
		sent.SequenceNumber++
	}

	report, err := rtcp.Marshal([]rtcp.Packet{
		&rtcp.SenderReport{SSRC: 2, PacketCount: 3},
		&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{Source: 2, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "a"}}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := protect.EncryptRTCP(nil, report, nil)
	if err != nil {
		t.Fatal(err)
	}
	alice.send(a.Addr(), sealed) // multiplexed on this side, not on the other
	got, from := bobControl.next()
	if from != b.RTCPAddr() {
		t.Fatalf("RTCP came from %v, want %v; %+v", from, b.RTCPAddr(), a.Stats())
	}
	if clear, err := unprotect.DecryptRTCP(nil, got, nil); err != nil || !bytes.Equal(clear, report) {
		t.Fatalf("% x, %v", clear, err)
	}
}

func TestHostileDatagramsOverSockets(t *testing.T) {
	alice, bob := dial(t, "127.0.0.1"), dial(t, "127.0.0.1")
	e := sockets(t, "127.0.0.1")
	a, b := open(t, e), open(t, e)
	a.Remote(alice.addr(), netip.AddrPort{})
	b.Remote(bob.addr(), netip.AddrPort{})
	if err := a.Receive(&Plan{PT: PassPT(), To: b}); err != nil {
		t.Fatal(err)
	}
	longest := packet(7, 1)
	longest = append(longest, make([]byte, maxPacket-len(longest))...)
	hostile := [][]byte{{}, {0x80}, bytes.Repeat([]byte{0x80}, 11), make([]byte, 65507), append(longest[:maxPacket:maxPacket], 0), make([]byte, 100), {0x9f, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}
	for _, pkt := range hostile {
		alice.send(a.Addr(), pkt)
	}
	for range 2000 { // more than the socket's buffer holds, and than a stream may have
		alice.send(a.Addr(), packet(7, 0))
	}
	settles(t, "the flood is dealt with", func() bool {
		s := a.Stats()
		return s.Received.Packets+s.Dropped() > 100 && s.Drops[TooLong] == 2
	})
	s := a.Stats()
	if s.Drops[TooShort] != 4 || s.Drops[BadVersion] != 1 {
		t.Errorf("%+v", s)
	}
	// A good packet of the greatest size still passes, in the next second.
	bobHears := func() bool {
		alice.send(a.Addr(), longest)
		for {
			got, _ := bob.next()
			if got == nil || len(got) == maxPacket {
				return got != nil
			}
		}
	}
	settles(t, "media goes on", bobHears)
}

// Calls come, change and go while packets fly both ways over two loops.
func TestCallsChangeUnderTraffic(t *testing.T) {
	far := dial(t, "127.0.0.1")
	e := sockets(t, "127.0.0.1")
	keys := make([]*Keys, 4)
	for i := range keys {
		keys[i], _ = NewKeys(sdes)
	}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 40 {
				a, err := e.Open("test")
				if err != nil {
					t.Error(err)
					return
				}
				b, err := e.Open("test")
				if err != nil {
					t.Error(err)
					return
				}
				a.Remote(far.addr(), netip.AddrPort{})
				b.Remote(a.Addr(), a.RTCPAddr()) // round and round
				for n := range 20 {
					out := keys[(i+n)%len(keys)]
					if err := errors.Join(a.Receive(&Plan{PT: PassPT(), To: b, Out: out}), b.Receive(&Plan{PT: PassPT(), To: a})); err != nil {
						t.Error(err)
					}
					_, _ = far.conn.WriteToUDPAddrPort(packet(uint32(worker), uint16(n)), a.Addr())
					_ = b.Send(packet(9, uint16(n)), keys[0])
					a.Stats()
					e.Counters()
				}
				if i%2 == 0 {
					b.Close()
				}
				a.Close()
				b.Close()
			}
		})
	}
	wg.Wait()
	settles(t, "all ports are closed", func() bool { c := e.Counters(); return c.Open+c.Quarantined == 0 })
	if c := e.Counters(); c.Received.Packets == 0 || c.Sent.Packets == 0 {
		t.Errorf("nothing flew: %+v", c)
	}
}

func TestNothingLeaks(t *testing.T) {
	fds := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(d)
	}
	// The runtime's own descriptors come with the first sockets.
	dial(t, "127.0.0.1")
	before := fds()
	e := sockets(t, "127.0.0.1")
	for range 10 {
		var ports []*Port
		for range 500 {
			ports = append(ports, open(t, e))
		}
		for _, p := range ports {
			p.Close()
		}
		settles(t, "ports are closed", func() bool { c := e.Counters(); return c.Open+c.Quarantined == 0 })
	}
	l := e.tier.(*epoll).loops[0]
	l.mu.Lock()
	slots := len(l.table)
	l.mu.Unlock()
	if slots > 4000 {
		t.Errorf("%d slots for a thousand sockets at a time", slots)
	}
	ports := []*Port{open(t, e), open(t, e)}
	ports[1].Close()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if after := fds(); after > before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	if _, err := e.Open("test"); fault.Of(err) != fault.Unavailable {
		t.Errorf("a closed engine opens: %v", err)
	}
	if err := ports[0].Send(packet(1, 1), nil); err == nil {
		t.Error("a closed engine sends")
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

func TestOtherProgramsInOurRangeArePassedOver(t *testing.T) {
	local := netip.MustParseAddr("127.0.0.1")
	var taken []*net.UDPConn
	defer func() {
		for _, c := range taken {
			_ = c.Close()
		}
	}()
	for port := uint16(37000); port < 37008; port++ {
		if port == 37004 || port == 37005 {
			continue
		}
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, port)))
		if err != nil {
			t.Skip(err)
		}
		taken = append(taken, c)
	}
	e, err := New(Config{Threads: 1, Interfaces: []Interface{{Name: "test", Bind: local, PortMin: 37000, PortMax: 37007}}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if p := open(t, e); p.Addr().Port() != 37004 {
		t.Errorf("opened %v", p.Addr())
	}
	if _, err := e.Open("test"); fault.Of(err) != fault.Exhausted {
		t.Errorf("opened what others have: %v", err)
	}
}

func TestAdvertisedAddressDiffers(t *testing.T) {
	e, err := New(Config{Threads: 1, Interfaces: []Interface{{
		Name: "test", Bind: netip.MustParseAddr("127.0.0.1"), Advertise: netip.MustParseAddr("203.0.113.10"), PortMin: 33000, PortMax: 36999,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	p := open(t, e)
	if got := p.Addr().Addr().String(); got != "203.0.113.10" || p.RTCPAddr().Port() != p.Addr().Port()+1 || p.Addr().Port()%2 != 0 {
		t.Errorf("advertises %v and %v", p.Addr(), p.RTCPAddr())
	}
}

func TestALoopGoesBeforeAllThatIsNotMedia(t *testing.T) {
	loop := sockets(t, "127.0.0.1").tier.(*epoll).loops[0]
	settles(t, "the loop runs", func() bool { return loop.thread.Load() != 0 })
	nice := func(thread int) int {
		prio, err := unix.Getpriority(unix.PRIO_PROCESS, thread) // 20 less the niceness: 40 to 1
		if err != nil {
			t.Fatal(err)
		}
		return 20 - prio
	}
	own := nice(0)
	if got := nice(int(loop.thread.Load())); got != niceness {
		if os.Geteuid() != 0 {
			t.Skipf("it is not allowed: the loop's niceness is %d", got)
		}
		t.Errorf("the loop's niceness is %d", got)
	}
	if own == niceness {
		t.Errorf("so is that of other threads")
	}
}
