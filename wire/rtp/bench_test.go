package rtp

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const benchStreams = 200

// BenchmarkRelay measures the processor time of the relaying thread alone
// (user and system, from its schedstat), per packet, while a generator on
// another thread sends at a fixed rate over loopback: cpu-ns/packet. The time
// per operation only tells the generator's pace. Loopback makes the sender pay
// for the delivery of its packets, so sending includes what a network card's
// interrupt would cost elsewhere.
func BenchmarkRelay(b *testing.B) {
	const suite = "AES_CM_128_HMAC_SHA1_80"
	for _, c := range []struct {
		name    string
		in, out string
	}{
		{"RTP-RTP", "", ""},
		{"SRTP-RTP", suite, ""},
		{"RTP-SRTP", "", suite},
		{"SRTP-SRTP", suite, suite},
		{"GCM-RTP", "AEAD_AES_128_GCM", ""},
		{"RTP-GCM", "", "AEAD_AES_128_GCM"},
	} {
		for _, rate := range []int{10_000, 50_000} {
			b.Run(fmt.Sprintf("%s/%dpps", c.name, rate), func(b *testing.B) { benchRelay(b, c.in, c.out, rate) })
		}
	}
}

func benchKeys(b *testing.B, suite string) *Keys {
	if suite == "" {
		return nil
	}
	k, err := NewKeys(suite)
	if err != nil {
		b.Fatal(err)
	}
	return k
}

func benchRelay(b *testing.B, in, out string, rate int) {
	local := netip.MustParseAddr("127.0.0.1")
	e, err := New(Config{Threads: 1, Interfaces: []Interface{{Name: "test", Bind: local, PortMin: 30000, PortMax: 32000}}})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	generator, sink := benchSocket(b), benchSocket(b)
	defer generator.Close()
	defer sink.Close()

	var targets [benchStreams]unix.SockaddrInet4
	var packets [benchStreams]func() []byte
	for i := range benchStreams {
		a, z := open(b, e), open(b, e)
		keys := benchKeys(b, in)
		a.Remote(netip.MustParseAddrPort(generator.LocalAddr().String()), netip.AddrPort{})
		z.Remote(netip.MustParseAddrPort(sink.LocalAddr().String()), netip.AddrPort{})
		if err := a.Receive(&Plan{PT: PassPT(), In: keys, Out: benchKeys(b, out), To: z}); err != nil {
			b.Fatal(err)
		}
		targets[i] = unix.SockaddrInet4{Port: int(a.Addr().Port()), Addr: local.As4()}
		packets[i] = benchSource(b, uint32(i+1), keys)
	}
	fd := benchFd(b, generator)
	delays := make(chan []time.Duration)
	go drain(sink, delays)

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	relaying := e.tier.(*epoll).loops[0]
	settles(b, "the loop runs", func() bool { return relaying.thread.Load() != 0 })
	tid := relaying.thread.Load()
	before, spent := e.Counters(), threadTime(b, tid)
	var mem [2]runtime.MemStats
	runtime.ReadMemStats(&mem[0])
	b.ResetTimer()
	start := time.Now()
	for i := range b.N {
		for time.Since(start) < time.Duration(i)*time.Second/time.Duration(rate) {
		}
		s := i % benchStreams
		_ = unix.Sendto(fd, packets[s](), 0, &targets[s])
	}
	<-time.After(20 * time.Millisecond) // for the last ones
	b.StopTimer()
	runtime.ReadMemStats(&mem[1])
	after := e.Counters()
	sent := after.Sent.Packets - before.Sent.Packets
	b.ReportMetric(float64(threadTime(b, tid)-spent)/float64(sent), "cpu-ns/packet")
	b.ReportMetric(float64(mem[1].Mallocs-mem[0].Mallocs)/float64(sent), "allocs/packet")
	b.ReportMetric(100*(1-float64(sent)/float64(b.N)), "%lost")
	_ = sink.Close()
	if d := <-delays; out == "" && len(d) > 0 {
		slices.Sort(d)
		b.ReportMetric(float64(d[len(d)/2].Microseconds()), "µs-median-delay")
		b.ReportMetric(float64(d[len(d)*99/100].Microseconds()), "µs-p99-delay")
	}
}

func benchSocket(b *testing.B) *net.UDPConn {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func benchFd(b *testing.B, c *net.UDPConn) (fd int) {
	raw, err := c.SyscallConn()
	if err != nil {
		b.Fatal(err)
	}
	_ = raw.Control(func(f uintptr) { fd = int(f) })
	return fd
}

// drain reads what was relayed, and at the end tells how long each packet took
// from its sender's hand to ours. Clear packets carry the time of sending.
func drain(c *net.UDPConn, delays chan<- []time.Duration) {
	var all []time.Duration
	var buf [maxPacket]byte
	for {
		n, _, err := c.ReadFromUDPAddrPort(buf[:])
		if err != nil {
			delays <- all
			return
		}
		if n >= rtpHeader+8 {
			sent := int64(binary.BigEndian.Uint64(buf[rtpHeader:]))
			all = append(all, time.Duration(time.Now().UnixNano()-sent))
		}
	}
}

// benchSource makes the packets of one stream, protected in a buffer of its own.
func benchSource(b *testing.B, ssrc uint32, keys *Keys) func() []byte {
	var seq uint16
	buf := make([]byte, maxPacket+overhead)
	contexts := contexts{}
	c, err := contexts.get(keys)
	if err != nil {
		b.Fatal(err)
	}
	plain := packet(ssrc, 0)
	return func() []byte {
		seq++
		plain[2], plain[3] = byte(seq>>8), byte(seq)
		binary.BigEndian.PutUint64(plain[rtpHeader:], uint64(time.Now().UnixNano()))
		pkt := buf[:copy(buf, plain)]
		if c == nil {
			return pkt
		}
		pkt, _ = c.protect(pkt, header{ssrc: ssrc, seq: seq})
		return pkt
	}
}

// threadTime is the time a thread has run, in ns.
func threadTime(b *testing.B, tid int32) (ns int64) {
	s, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/schedstat", tid))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := fmt.Fscan(strings.NewReader(string(s)), &ns); err != nil {
		b.Fatal(err)
	}
	return ns
}

// void is a tier that loses everything, to measure what a packet costs without
// the kernel.
type void struct{}

func (void) bind(*Port) error                           { return nil }
func (void) send(*socket, []byte, netip.AddrPort) error { return nil }
func (void) unbind(p *Port)                             { p.engine.released(p) }
func (void) close() error                               { return nil }

// BenchmarkPacket is a packet's way through a port and out of another, without
// the network.
func BenchmarkPacket(b *testing.B) {
	const suite = "AES_CM_128_HMAC_SHA1_80"
	for _, c := range []struct{ name, in, out string }{
		{"RTP-RTP", "", ""},
		{"SRTP-RTP", suite, ""},
		{"RTP-SRTP", "", suite},
		{"GCM-RTP", "AEAD_AES_128_GCM", ""},
		{"RTP-GCM", "", "AEAD_AES_128_GCM"},
	} {
		b.Run(c.name, func(b *testing.B) {
			e, err := New(Config{Threads: 1, Network: NewNetwork(), Interfaces: []Interface{
				{Name: "test", Bind: netip.MustParseAddr("192.0.2.1"), PortMin: 2000, PortMax: 2010},
			}})
			if err != nil {
				b.Fatal(err)
			}
			_ = e.tier.close()
			e.tier = void{}
			defer e.Close()
			a, z := open(b, e), open(b, e)
			far := netip.MustParseAddrPort("192.0.2.2:3000")
			a.Remote(far, netip.AddrPort{})
			z.Remote(far, netip.AddrPort{})
			keys := benchKeys(b, c.in)
			if err := a.Receive(&Plan{PT: PassPT(), In: keys, Out: benchKeys(b, c.out), To: z}); err != nil {
				b.Fatal(err)
			}
			packets := make([][]byte, 1<<16) // all numbers, so that the first may follow the last
			source := benchSource(b, 1, keys)
			for i := range packets {
				packets[i] = append([]byte(nil), source()...)
			}
			l := &lane{now: time.Now()}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if n := i % len(packets); n == 0 && i > 0 {
					b.StopTimer() // the same packets again: forget that they were seen
					a.contexts, a.route.in = nil, nil
					if err := a.Receive(&a.route.Plan); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				p := packets[i%len(packets)]
				l.now = l.now.Add(20 * time.Millisecond)
				a.receive(l, a.sockets[media], copy(l.buf[:], p), far)
			}
			b.StopTimer()
			if s := a.Stats(); s.Dropped() > 0 {
				b.Fatalf("dropped: %+v", s)
			}
		})
	}
}
