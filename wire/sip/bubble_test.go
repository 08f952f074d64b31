package sip_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/sip/memnet"
)

var (
	ourAddr  = netip.MustParseAddrPort("10.0.0.1:5060")
	peerAddr = netip.MustParseAddrPort("10.0.0.2:5060")
)

// bubble is one stack in a bubble with a scripted peer at the far end of its
// network. What happens is written down with its time, to be compared with
// what should.
type bubble struct {
	t         *testing.T
	net       *memnet.Network
	transport sip.Transport
	stack     *sip.Stack
	remote    *sip.Remote
	start     time.Time

	mu       sync.Mutex
	log      []string       // mu
	heard    []*sip.Message // mu; what the peer received
	udp      sip.PacketConn
	tcp      net.Listener
	accepted []net.Conn // mu; connections the stack opened to the peer
	dialled  net.Conn   // the peer's own connection to the stack
}

// inBubble runs f with a fresh bubble, then lets an hour pass and checks that
// nothing is left.
func inBubble(t *testing.T, transport sip.Transport, change func(*sip.StackConfig, *bubble), f func(*bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{t: t, net: memnet.New(), transport: transport, start: time.Now(), remote: &sip.Remote{Name: "carrier"}}
		cfg := sip.StackConfig{
			Network:   b.net,
			Listeners: []sip.Listener{{Name: "core", Side: "operator", Transport: transport, Bind: ourAddr}},
			Admit: func(_ *sip.Listener, src netip.Addr) []*sip.Remote {
				if src == peerAddr.Addr() {
					return []*sip.Remote{b.remote}
				}
				return nil
			},
			Log: slog.New(slog.NewTextHandler(testWriter{t}, nil)),
		}
		if change != nil {
			change(&cfg, b)
		}
		b.listen()
		var err error
		if b.stack, err = sip.NewStack(cfg); err != nil {
			t.Fatal(err)
		}
		f(b)
		after(time.Hour)
		c := b.stack.Counters()
		if c.ClientTx != 0 || c.ServerTx != 0 {
			t.Errorf("after an hour %d client and %d server transactions are left", c.ClientTx, c.ServerTx)
		}
		if err := b.stack.Close(); err != nil {
			t.Error(err)
		}
		b.hangUp()
	})
}

// testWriter shows logs of failed tests.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// after lets time pass in the bubble, and everything that falls into it happen.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (b *bubble) note(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log = append(b.log, fmt.Sprintf("%v %s", time.Since(b.start), fmt.Sprintf(format, args...)))
}

// want compares what was noted so far, and forgets it. What falls into one
// moment has no order: the peer and the user are two goroutines.
func (b *bubble) want(lines ...string) {
	b.t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if diff := cmp.Diff(byMoment(lines), byMoment(b.log)); diff != "" && len(lines)+len(b.log) > 0 {
		b.t.Errorf("ladder differs (-want +got):\n%s", diff)
	}
	b.log = nil
}

func byMoment(lines []string) []string {
	sorted := slices.Clone(lines)
	for from := 0; from < len(sorted); {
		moment, _, _ := strings.Cut(sorted[from], " ")
		to := from
		for to < len(sorted) && strings.HasPrefix(sorted[to], moment+" ") {
			to++
		}
		slices.Sort(sorted[from:to])
		from = to
	}
	return sorted
}

// listen starts the peer.
func (b *bubble) listen() {
	if b.transport == sip.UDP {
		var err error
		if b.udp, err = b.net.ListenPacket(peerAddr); err != nil {
			b.t.Fatal(err)
		}
		go b.readPackets()
		return
	}
	l, err := b.net.Listen(peerAddr)
	if err != nil {
		b.t.Fatal(err)
	}
	b.tcp = l
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.mu.Lock()
			b.accepted = append(b.accepted, c)
			b.mu.Unlock()
			go b.readStream(c)
		}
	}()
}

func (b *bubble) hangUp() {
	if b.udp != nil {
		b.udp.Close()
	}
	if b.tcp != nil {
		b.tcp.Close()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.accepted {
		c.Close()
	}
	if b.dialled != nil {
		b.dialled.Close()
	}
}

func (b *bubble) readPackets() {
	buf := make([]byte, 65536)
	for {
		n, _, err := b.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		m, err := sip.Parse(buf[:n], sip.Limits{})
		b.hear(m, err)
	}
}

func (b *bubble) readStream(c net.Conn) {
	r := sip.NewReader(c, sip.Limits{})
	for {
		m, err := r.Read()
		if err != nil {
			return
		}
		b.hear(m, nil)
	}
}

func (b *bubble) hear(m *sip.Message, err error) {
	if err != nil {
		b.note("peer cannot read: %v", err)
		return
	}
	b.note("> %s", startOf(m))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard = append(b.heard, m)
}

func startOf(m *sip.Message) string {
	if m.IsRequest() {
		return m.Method
	}
	c, _ := m.CSeq()
	return fmt.Sprintf("%d %s", m.Status, c.Method)
}

// last is what the peer received last of a method, as request or in CSeq.
func (b *bubble) last(method string) *sip.Message {
	b.t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.heard) - 1; i >= 0; i-- {
		if c, _ := b.heard[i].CSeq(); c.Method == method {
			return b.heard[i]
		}
	}
	b.t.Fatalf("the peer received no %s", method)
	return nil
}

// taken is how many connections the peer has accepted.
func (b *bubble) taken() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.accepted)
}

// say sends bytes from the peer: over UDP, or over the connection the stack
// opened last, or else one of its own.
func (b *bubble) say(raw string) {
	b.t.Helper()
	var err error
	switch {
	case b.udp != nil:
		_, err = b.udp.WriteToUDPAddrPort([]byte(raw), ourAddr)
	case b.taken() > 0:
		b.mu.Lock()
		c := b.accepted[len(b.accepted)-1]
		b.mu.Unlock()
		_, err = c.Write([]byte(raw))
	default:
		if b.dialled == nil {
			b.dialled = b.dial()
			go b.readStream(b.dialled)
		}
		_, err = b.dialled.Write([]byte(raw))
	}
	if err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
}

// dial opens a connection from the peer.
func (b *bubble) dial() net.Conn {
	b.t.Helper()
	c, err := b.net.Dial(context.Background(), "tcp", peerAddr.Addr(), ourAddr)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// answer lets the peer answer the last request of a method it received.
func (b *bubble) answer(method string, status int, headers ...string) {
	b.t.Helper()
	m := sip.NewResponse(b.last(method), status, "")
	if status > 100 {
		m.TagTo("peer")
	}
	for i := 0; i < len(headers); i += 2 {
		m.Set(headers[i], headers[i+1])
	}
	b.say(string(m.Append(nil)))
}

// ask lets the peer send a request; branch tells transactions apart.
func (b *bubble) ask(method, branch string, headers ...string) *sip.Message {
	b.t.Helper()
	m := b.request(method, branch, headers...)
	b.say(string(m.Append(nil)))
	return m
}

func (b *bubble) request(method, branch string, headers ...string) *sip.Message {
	m := sip.NewRequest(method, "sip:+4420@10.0.0.1")
	m.Set("Via", "SIP/2.0/"+b.transport.String()+" 10.0.0.2:5060;branch="+branch)
	m.Set("From", "<sip:+4930@10.0.0.2>;tag=theirs")
	m.Set("To", "<sip:+4420@10.0.0.1>")
	m.Set("Call-ID", "c-"+branch)
	seq := method
	m.Set("CSeq", "1 "+seq)
	for i := 0; i < len(headers); i += 2 {
		m.Set(headers[i], headers[i+1])
	}
	return m
}

// target is the peer.
func (b *bubble) target() sip.Target {
	return sip.Target{Listener: "core", Transport: b.transport, Addr: peerAddr, Remote: b.remote}
}

// begin lets the stack send a request, and notes what comes of it.
func (b *bubble) begin(method string) *sip.ClientTx {
	b.t.Helper()
	tx, err := b.stack.Request(ours(method), b.target(), func(e sip.Event) {
		if e.Err != nil {
			b.note("event error: %v", e.Err)
			return
		}
		b.note("event %s", startOf(e.Msg))
	})
	if err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
	return tx
}

func ours(method string) *sip.Message {
	m := sip.NewRequest(method, "sip:+4930@10.0.0.2")
	m.Set("From", "<sip:+4420@10.0.0.1>;tag=ours")
	m.Set("To", "<sip:+4930@10.0.0.2>")
	m.Set("Call-ID", "c-ours")
	m.Set("CSeq", "1 "+method)
	return m
}
