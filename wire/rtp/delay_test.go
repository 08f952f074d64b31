package rtp

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// delayCalls have SRTP on one side and RTP on the other, 50 packets a second
	// each way.
	delayCalls = 100
	delayTurn  = 250 * time.Millisecond
)

// BenchmarkDelay measures how long packets are on their way through the relay,
// from the sender's hand to the kernel of the far side, while other goroutines
// work: with GOMAXPROCS as it is, and with one more, for the loop. The two take
// turns, so that both see the same weather, and the ratios (usual to raised)
// are what counts.
func BenchmarkDelay(b *testing.B) {
	for _, busy := range []int{0, 1, 2, 8} {
		b.Run(fmt.Sprintf("busy=%d", busy), func(b *testing.B) { benchDelay(b, busy) })
	}
}

func benchDelay(b *testing.B, busy int) {
	e, err := New(Config{Threads: 1, Interfaces: []Interface{{Name: "test", Bind: netip.MustParseAddr("127.0.0.1"), PortMin: 30000, PortMax: 32000}}})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	far := newFarSides(b, e)
	stop := make(chan struct{})
	for range busy {
		go work(stop)
	}
	done := make(chan struct{})
	go far.speak(stop, done)
	go far.listen()
	usual := runtime.GOMAXPROCS(0)
	b.ResetTimer()
	for i := range 2 * b.N {
		runtime.GOMAXPROCS(usual + i%2)
		far.setting.Store(int32(i % 2))
		<-time.After(delayTurn)
	}
	b.StopTimer()
	runtime.GOMAXPROCS(usual)
	close(stop)
	<-done
	delays := far.end()
	var median, p99 [2]float64
	for i, name := range []string{"usual", "raised"} {
		d := delays[i]
		slices.Sort(d)
		median[i], p99[i] = float64(d[len(d)/2])/1e3, float64(d[len(d)*99/100])/1e3
		b.ReportMetric(median[i], "µs-median-"+name)
		b.ReportMetric(p99[i], "µs-p99-"+name)
	}
	b.ReportMetric(median[0]/median[1], "median-ratio")
	b.ReportMetric(p99[0]/p99[1], "p99-ratio")
	b.ReportMetric(100-100*float64(len(delays[0])+len(delays[1]))/float64(far.sent), "%lost")
}

// work is what signalling does: a burst, then a wait.
func work(stop <-chan struct{}) {
	for {
		for began := time.Now(); time.Since(began) < time.Millisecond; {
			_ = fmt.Sprint(began)
		}
		select {
		case <-stop:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// farSides are all phones of the calls on one socket.
type farSides struct {
	conn    *net.UDPConn
	fd      int
	targets [2 * delayCalls]unix.SockaddrInet4
	packets [2 * delayCalls]func() []byte
	stamps  [2 * delayCalls][256]atomic.Int64 // when which packet left, by its number
	setting atomic.Int32
	sent    int
	delays  [2][]int64 // ns, by setting
	heard   chan struct{}
}

func newFarSides(b *testing.B, e *Engine) *farSides {
	far := &farSides{conn: benchSocket(b), heard: make(chan struct{})}
	far.fd = benchFd(b, far.conn)
	if err := unix.SetsockoptInt(far.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		b.Fatal(err)
	}
	_ = far.conn.SetReadBuffer(1 << 22) // as much of it as is allowed
	keys := benchKeys(b, sdes)
	for i := range delayCalls {
		secure, clear := open(b, e), open(b, e)
		for k, p := range [...]*Port{secure, clear} {
			plan := &Plan{PT: PassPT(), In: keys, To: clear}
			if p == clear {
				plan = &Plan{PT: PassPT(), Out: keys, To: secure}
			}
			p.Remote(netip.MustParseAddrPort(far.conn.LocalAddr().String()), netip.AddrPort{})
			if err := p.Receive(plan); err != nil {
				b.Fatal(err)
			}
			n := 2*i + k
			far.targets[n] = unix.SockaddrInet4{Port: int(p.Addr().Port()), Addr: [4]byte{127, 0, 0, 1}}
			far.packets[n] = benchSource(b, uint32(n), plan.In)
		}
	}
	return far
}

// speak sends every stream's packets, spread over 20 ms.
func (f *farSides) speak(stop <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := time.Now()
	for {
		select {
		case <-stop:
			return
		default:
		}
		due := int(time.Since(began) * time.Duration(len(f.targets)) / (20 * time.Millisecond))
		for ; f.sent < due; f.sent++ {
			n := f.sent % len(f.targets)
			pkt := f.packets[n]()
			f.stamps[n][pkt[3]].Store(time.Now().UnixNano()<<1 | int64(f.setting.Load()))
			_ = unix.Sendto(f.fd, pkt, 0, &f.targets[n])
		}
		pause := unix.NsecToTimespec(100_000)
		_ = unix.Nanosleep(&pause, nil)
	}
}

// listen notes when packets came, by the clock of the kernel. Their headers
// can be read even where they are SRTP.
func (f *farSides) listen() {
	defer close(f.heard)
	var buf [maxPacket]byte
	var oob [64]byte
	for {
		n, oobn, _, _, err := f.conn.ReadMsgUDPAddrPort(buf[:], oob[:])
		if err != nil {
			return
		}
		messages, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil || len(messages) != 1 || n < rtpHeader {
			continue
		}
		at := messages[0].Data
		ns := int64(binary.NativeEndian.Uint64(at))*1e9 + int64(binary.NativeEndian.Uint64(at[8:]))
		stamp := f.stamps[binary.BigEndian.Uint32(buf[8:])][buf[3]].Load()
		f.delays[stamp&1] = append(f.delays[stamp&1], ns-stamp>>1)
	}
}

func (f *farSides) end() [2][]int64 {
	<-time.After(50 * time.Millisecond) // for the last ones
	_ = f.conn.Close()
	<-f.heard
	return f.delays
}
