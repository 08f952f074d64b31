package call

import (
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/edge/trace"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/sip/memnet"
	"github.com/tandemgw/tandem/wire/ua"
)

// rig is a gateway in memory with two far sides that do the least a call
// needs. What is measured holds their share too: they read and write every
// message as the gateway does.
type rig struct {
	b      testing.TB
	net    *memnet.Network
	set    *Set
	stack  *sip.Stack
	engine *rtp.Engine
	peers  *peer.Set
	core   sip.PacketConn
	teams  sip.PacketConn
	heard  chan *sip.Message // what the core gets
	ended  chan struct{}     // a BYE came to the teams side
	limit  *time.Timer       // of a wait
}

type noRecords struct{}

func (noRecords) Begin(_ record.Call, done func(error)) { done(nil) }
func (noRecords) Answer(record.Call, func(error))       {}
func (noRecords) Progress(record.Call)                  {}
func (noRecords) End(record.Call, func(error))          {}

func newRig(b testing.TB, traces *trace.Ring) *rig {
	r := &rig{b: b, net: memnet.New(), heard: make(chan *sip.Message, 1<<16), ended: make(chan struct{}, 1<<16), limit: time.NewTimer(0)}
	snap := snapOf()
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	var err error
	r.engine, err = rtp.New(rtp.Config{Threads: 1, Network: rtp.NewNetwork(), Interfaces: []rtp.Interface{
		{Name: "operator", Bind: netip.MustParseAddr("10.0.1.1"), PortMin: 10000, PortMax: 59999},
		{Name: "cloud", Bind: netip.MustParseAddr("10.0.1.2"), PortMin: 10000, PortMax: 59999},
	}})
	must(err)
	listeners := []sip.Listener{
		{Name: "operator", Side: "operator", Transport: sip.UDP, Bind: netip.MustParseAddrPort(gwOperator)},
		{Name: "cloud", Side: "cloud", Transport: sip.UDP, Bind: netip.MustParseAddrPort(gwCloud)},
	}
	resolver, err := sip.NewResolver(sip.ResolverConfig{Network: r.net})
	must(err)
	r.peers = peer.NewSet(peer.Config{Region: "r1", Listeners: listeners, Resolver: resolver, Product: "Tandem/Gateway/bench"})
	r.peers.Apply(snap)
	// What is measured is the work, not what one peer may ask for.
	for _, remote := range r.peers.Admit(&listeners[0], netip.MustParseAddrPort(coreAt).Addr()) {
		remote.SetRate(sip.Rate{Requests: 1_000_000})
	}
	r.set = NewSet(Config{
		Node: "r1-a", Region: "r1", Relay: relay.New(relay.Config{Engine: r.engine}), Peers: r.peers,
		Interfaces: map[record.Side]string{"operator": "operator", "cloud": "cloud"},
		Snapshot:   func() *snapshot.Snapshot { return snap },
		Records:    noRecords{}, Traces: traces, Log: slog.New(slog.DiscardHandler),
	})
	r.core, err = r.net.ListenPacket(netip.MustParseAddrPort(coreAt))
	must(err)
	r.teams, err = r.net.ListenPacket(netip.MustParseAddrPort(teamsAt))
	must(err)
	r.stack, err = sip.NewStack(sip.StackConfig{
		Network: r.net, Listeners: listeners, Admit: r.peers.Admit,
		Handle: r.set.Handle, HandleAck: r.set.HandleAck, Tap: r.set.Tap,
	})
	must(err)
	r.set.Start(r.stack)
	r.peers.Start(r.stack)
	go r.read(r.core, netip.MustParseAddrPort(gwOperator), r.coreGot)
	go r.read(r.teams, netip.MustParseAddrPort(gwCloud), r.teamsGot)
	return r
}

func (r *rig) close() {
	r.peers.Close()
	r.stack.Close()
	r.core.Close()
	r.teams.Close()
	r.engine.Close()
}

func (r *rig) read(c sip.PacketConn, gw netip.AddrPort, got func(*sip.Message) *sip.Message) {
	buf := make([]byte, 65536)
	for {
		n, _, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		m, err := sip.Parse(append([]byte(nil), buf[:n]...), sip.Limits{})
		if err != nil {
			r.b.Error(err)
			return
		}
		if out := got(m); out != nil {
			if _, err := c.WriteToUDPAddrPort(out.Append(nil), gw); err != nil {
				return
			}
		}
	}
}

func (r *rig) coreGot(m *sip.Message) *sip.Message {
	if m.IsRequest() {
		return sip.NewResponse(m, 200, "")
	}
	if m.Status >= 200 {
		r.heard <- m
	}
	return nil
}

func (r *rig) teamsGot(m *sip.Message) *sip.Message {
	switch m.Method {
	case "INVITE":
		ring := sip.NewResponse(m, 180, "")
		ring.TagTo("t")
		ring.Set("Contact", "<sip:"+teamsAt+">")
		_, _ = r.teams.WriteToUDPAddrPort(ring.Append(nil), netip.MustParseAddrPort(gwCloud))
		ok := sip.NewResponse(m, 200, "")
		ok.TagTo("t")
		ok.Set("Contact", "<sip:"+teamsAt+">")
		ok.SetBody("application/sdp", []byte(teamsSDP))
		return ok
	case "BYE":
		r.ended <- struct{}{}
		return sip.NewResponse(m, 200, "")
	case "OPTIONS":
		return sip.NewResponse(m, 200, "")
	}
	return nil
}

func (r *rig) send(m *sip.Message) {
	_, _ = r.core.WriteToUDPAddrPort(m.Append(nil), netip.MustParseAddrPort(gwOperator))
}

// await takes what comes. Nobody repeats anything here: what has not come in a
// while is lost.
func await[T any](r *rig, c <-chan T, what string) T {
	r.limit.Reset(10 * time.Second)
	select {
	case v := <-c:
		return v
	case <-r.limit.C:
		r.b.Fatalf("no %s came", what)
		panic("unreachable")
	}
}

// place begins a call and acknowledges its answer.
func (r *rig) place(i int) *ua.Dialog {
	m := sip.NewRequest("INVITE", "sip:+442079460123@"+gwOperator+";user=phone")
	m.Add("Via", "SIP/2.0/UDP "+coreAt+";branch="+sip.NewBranch())
	m.Add("From", fmt.Sprintf("<sip:+441632960001@10.1.0.1>;tag=f%d", i))
	m.Add("To", "<sip:+442079460123@10.0.1.1>")
	m.Add("Call-ID", fmt.Sprintf("bench-%d", i))
	m.Add("CSeq", "1 INVITE")
	m.Add("Contact", "<sip:"+coreAt+">")
	m.SetBody("application/sdp", []byte(coreSDP))
	r.send(m)
	ok := await(r, r.heard, "answer")
	d, err := ua.ClientDialog(m, ok)
	if err != nil || ok.Status != 200 {
		r.b.Fatalf("%v: %s", err, ok)
	}
	ack := d.NewAck(m)
	ack.Add("Via", "SIP/2.0/UDP "+coreAt+";branch="+sip.NewBranch())
	r.send(ack)
	return d
}

func (r *rig) release(d *ua.Dialog) {
	bye := d.NewRequest("BYE")
	bye.Add("Via", "SIP/2.0/UDP "+coreAt+";branch="+sip.NewBranch())
	r.send(bye)
	if ok := await(r, r.heard, "answer to BYE"); ok.Status != 200 {
		r.b.Fatal(ok)
	}
	await(r, r.ended, "BYE")
}

// BenchmarkCall is a whole call: INVITE, 180, 200, ACK, BYE, 200 on both legs.
func BenchmarkCall(b *testing.B) {
	r := newRig(b, trace.New(trace.Config{}))
	defer r.close()
	b.ReportAllocs()
	var before, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	b.ResetTimer()
	for i := range b.N {
		r.release(r.place(i))
	}
	b.StopTimer()
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	cpu := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(cpu)/float64(b.N)/1000, "cpu-µs/call")
}

// BenchmarkHeldCalls is what an answered call keeps in memory: state, stack of
// its goroutine, ports, SRTP contexts, and at first its transactions. Traces
// have a bound of their own.
func BenchmarkHeldCalls(b *testing.B) {
	const calls = 2000
	for range b.N {
		r := newRig(b, nil)
		time.Sleep(100 * time.Millisecond)
		before := memory()
		ds := make([]*ua.Dialog, calls)
		for i := range ds {
			ds[i] = r.place(i)
		}
		waitFor(func() bool { return r.set.Counters().Answered == calls })
		b.ReportMetric(float64(memory()-before)/calls, "B/call")
		time.Sleep(33 * time.Second) // transactions have been forgotten
		b.ReportMetric(float64(memory()-before)/calls, "B/old-call")
		for _, d := range ds {
			r.release(d)
		}
		r.close()
	}
}

func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

func waitFor(ok func() bool) {
	for !ok() {
		runtime.Gosched()
	}
}
