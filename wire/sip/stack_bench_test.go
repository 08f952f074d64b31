package sip_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/sip/memnet"
)

// pair is two stacks; the second answers INVITE 180 and then, like every other
// request, with final.
func pair(b *testing.B, network sip.Network, transport sip.Transport, final int) (near *sip.Stack, to sip.Target) {
	b.Helper()
	peer := &sip.Remote{Name: "peer"}
	start := func(bind string, handle func(*sip.ServerTx)) *sip.Stack {
		s, err := sip.NewStack(sip.StackConfig{
			Network:         network,
			Listeners:       []sip.Listener{{Name: "core", Transport: transport, Bind: netip.MustParseAddrPort(bind)}},
			Admit:           func(*sip.Listener, netip.Addr) []*sip.Remote { return []*sip.Remote{peer} },
			Handle:          handle,
			MaxTransactions: 1 << 30,
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { s.Close() })
		return s
	}
	near = start("127.0.0.1:0", nil)
	far := start("127.0.0.1:0", func(tx *sip.ServerTx) {
		req := tx.Request()
		if req.Method == "INVITE" {
			ring := sip.NewResponse(req, 180, "")
			ring.TagTo("t")
			_ = tx.Respond(ring)
		}
		ok := sip.NewResponse(req, final, "")
		ok.TagTo("t")
		_ = tx.Respond(ok)
	})
	return near, sip.Target{Listener: "core", Transport: transport, Addr: far.Addr("core"), Remote: peer}
}

// cpu is the processor time of the process.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkInvite is an INVITE with its 180 and 200, both ends: one client and
// one server transaction, three messages sent, received, parsed and matched.
// cpu-µs/op counts user and system time of both ends. Seen: 34 µs over UDP, 40
// over TCP.
func BenchmarkInvite(b *testing.B) {
	for _, transport := range []sip.Transport{sip.UDP, sip.TCP} {
		b.Run(transport.String(), func(b *testing.B) {
			near, to := pair(b, nil, transport, 200)
			body := make([]byte, 1200)
			inFlight := make(chan struct{}, 64)
			b.ReportAllocs()
			began := cpu()
			i := 0
			for b.Loop() {
				i++
				inFlight <- struct{}{}
				req := ours("INVITE")
				req.Set("Call-ID", fmt.Sprint(i))
				req.SetBody("application/sdp", body)
				_, err := near.Request(req, to, func(e sip.Event) {
					if e.Err != nil || e.Msg.Status >= 200 {
						<-inFlight
					}
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpu()-began)/float64(b.N)/1000, "cpu-µs/op")
		})
	}
}

// BenchmarkLingering is what a transaction holds after its work is done, until
// its last timer: bytes of heap per client and server transaction together,
// the INVITE refused over UDP, so that both keep something to send again. Seen: 1.5 to 2 KB
// for the two.
func BenchmarkLingering(b *testing.B) {
	for method, final := range map[string]int{"INVITE": 486, "OPTIONS": 200} {
		b.Run(method, func(b *testing.B) {
			near, to := pair(b, memnet.New(), sip.UDP, final)
			const n = 20_000
			for round := 0; b.Loop(); round++ {
				before := heap()
				done := make(chan struct{}, n)
				for i := range n {
					req := ours(method)
					req.Set("Call-ID", fmt.Sprintf("%d-%d", round, i))
					if _, err := near.Request(req, to, func(e sip.Event) {
						if e.Err != nil || e.Msg.Status >= 200 {
							done <- struct{}{}
						}
					}); err != nil {
						b.Fatal(err)
					}
					<-done
				}
				if c := near.Counters(); c.ClientTx < n {
					b.Fatalf("only %d transactions linger", c.ClientTx)
				}
				b.ReportMetric(float64(heap()-before)/n, "B/pair")
			}
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
