package sip_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tandemgw/tandem/wire/sip"
)

// aside is a peer of our own writing on a TLS connection it opened.
type aside struct {
	t *testing.T
	c net.Conn
	r *sip.Reader
}

func (e *end) aside(t *testing.T, cert *tls.Certificate) *aside {
	t.Helper()
	c, err := tls.Dial("tcp", e.stack.Addr("core").String(), &tls.Config{
		InsecureSkipVerify: true, Certificates: []tls.Certificate{*cert},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	return &aside{t, c, sip.NewReader(c, sip.Limits{})}
}

func (a *aside) read() *sip.Message {
	a.t.Helper()
	m, err := a.r.Read()
	if err != nil {
		a.t.Fatal(err)
	}
	return m
}

// claim sends an OPTIONS whose Via names a port of the peer's own.
func (a *aside) claim(via string) {
	a.t.Helper()
	fmt.Fprintf(a.c, "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TLS %s\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x%s\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n", via, sip.NewTag())
	if m := a.read(); m.Status != 200 {
		a.t.Fatalf("answered %d", m.Status)
	}
}

func TestAPeersOwnConnectionIsTakenForItsPortWhenItsViaSaysSo(t *testing.T) {
	ca := newIssuer(t, "Root", nil)
	cert := ca.leaf(nil, "sbc.example", "other.example")
	for _, c := range []struct {
		name, via, host string
		names           []string
		taken           bool
	}{
		{"its own port", "127.0.0.1:9;branch=z9hG4bKa;alias", "", []string{"sbc.example"}, true},
		{"a name instead of the address", "sbc.example:9;branch=z9hG4bKa;alias", "", []string{"sbc.example"}, true},
		{"another port", "127.0.0.1:10;branch=z9hG4bKa;alias", "", []string{"sbc.example"}, false},
		{"without alias", "127.0.0.1:9;branch=z9hG4bKa", "", []string{"sbc.example"}, false},
		{"the name we dial is in its certificate", "127.0.0.1:9;branch=z9hG4bKa;alias", "other.example", nil, true},
		{"the name we dial is not in its certificate", "127.0.0.1:9;branch=z9hG4bKa;alias", "third.example", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEnd(t, sip.TLS, loopback, cert, sip.TLSPolicy{Names: c.names, Roots: ca.pool()})
			peer := e.aside(t, cert)
			peer.claim(c.via)
			events := make(chan sip.Event, 1)
			to := sip.Target{Listener: "core", Transport: sip.TLS, Addr: netip.MustParseAddrPort("127.0.0.1:9"), Host: c.host, Remote: e.peer}
			if _, err := e.stack.Request(ours("INFO"), to, func(ev sip.Event) { events <- ev }); err != nil {
				t.Fatal(err)
			}
			if !c.taken {
				if ev := <-events; ev.Err == nil || !strings.Contains(ev.Err.Error(), "dial") {
					t.Errorf("event %+v, want a dial of its own", ev)
				}
				return
			}
			m := peer.read()
			if m.Method != "INFO" || !strings.Contains(m.Get("Via"), ";alias") {
				t.Fatalf("the peer received %s with Via %q", m.Method, m.Get("Via"))
			}
			resp := sip.NewResponse(m, 200, "")
			resp.TagTo("x")
			_, _ = peer.c.Write(resp.Append(nil))
			if ev := <-events; ev.Err != nil {
				t.Error(ev.Err)
			}
			// Its end is the end of the alias.
			peer.c.Close()
			eventually(t, func() bool { return e.stack.Counters().Connections == 0 })
			if _, err := e.stack.Request(ours("INFO"), to, func(ev sip.Event) { events <- ev }); err != nil {
				t.Fatal(err)
			}
			if ev := <-events; ev.Err == nil || !strings.Contains(ev.Err.Error(), "dial") {
				t.Errorf("after its end: %+v", ev)
			}
		})
	}
}

// A bare TCP connection proves nobody: another program on the peer's machine
// could take its calls.
func TestOverBareTCPNobodyTakesAPort(t *testing.T) {
	inBubble(t, sip.TCP, echo, func(b *bubble) {
		b.ask("OPTIONS", "z9hG4bKa;alias", "Call-ID", "x")
		b.begin("INFO")
		b.want("0s > 200 OPTIONS", "0s > INFO")
		if b.taken() != 1 {
			t.Error("the stack took the peer's connection")
		}
	})
}

// A firewall that forgot a connection, or a peer without power, acknowledges
// nothing: the kernel notices long before a transaction would.
func TestABlackHoleIsNoticedInSeconds(t *testing.T) {
	if testing.Short() {
		t.Skip("takes two seconds")
	}
	for _, inbound := range []bool{false, true} {
		t.Run(fmt.Sprintf("inbound %t", inbound), func(t *testing.T) {
			t.Parallel()
			blackHole(t, inbound)
		})
	}
}

func blackHole(t *testing.T, inbound bool) {
	peer, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	remote, sources := &sip.Remote{Name: "carrier"}, make(chan sip.Source, 1)
	s, err := sip.NewStack(sip.StackConfig{
		Listeners: []sip.Listener{{Name: "core", Transport: sip.TCP, Bind: netip.AddrPortFrom(loopback, 0)}},
		Admit:     func(*sip.Listener, netip.Addr) []*sip.Remote { return []*sip.Remote{remote} },
		HandleAck: func(_ *sip.Message, src sip.Source) { sources <- src },
		Conns:     sip.ConnLimits{Unacked: time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	to := sip.Target{Listener: "core", Transport: sip.TCP, Addr: netip.MustParseAddrPort(peer.Addr().String()), Remote: remote}
	var c net.Conn
	if inbound {
		if c, err = net.Dial("tcp", s.Addr("core").String()); err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "ACK sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n")
		to.Via = <-sources
	} else {
		if err := s.Send(ours("OPTIONS"), to); err != nil {
			t.Fatal(err)
		}
		if c, err = peer.Accept(); err != nil {
			t.Fatal(err)
		}
	}
	defer c.Close()
	peer.Close() // whoever tries again is told at once
	swallow(t, c)
	gone, start := make(chan error, 1), time.Now()
	if _, err := s.Request(ours("INVITE"), to, func(ev sip.Event) { gone <- ev.Err }); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-gone:
		if d := time.Since(start); d > 5*time.Second || err == nil {
			t.Errorf("after %v: %v", d, err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the connection is still taken for alive")
	}
}

// swallow makes the kernel drop all that arrives on a connection.
func swallow(t *testing.T, c net.Conn) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Error(err)
		return
	}
	drop := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	_ = raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop[0]})
	})
	if err != nil {
		t.Error(err)
	}
}
