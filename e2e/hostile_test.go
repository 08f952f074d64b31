package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

// Every attack runs upon calls in progress: they keep their audio, nothing is
// left behind, the log stays readable, and the node takes calls afterwards.
func TestHostileTraffic(t *testing.T) {
	s := besiege(t)
	if os.Getenv("TANDEM_SIEGE") == "process" { // for figures of the node alone
		s.pid = s.serve(buildNode(t)).cmd.Process.Pid
		s.ready()
	} else {
		s.inProcess()
	}
	s.attack(func() {}) // what is made once and kept is made now
	s.settled()
	<-time.After(2500 * time.Millisecond) // the sandbox waits two seconds for stragglers
	before := s.stock()
	for _, a := range []struct {
		name string
		f    func(*siege)
	}{
		{"strangers flood by UDP, as fast as they can", (*siege).strangersFlood},
		{"strangers flood by UDP, steadily", (*siege).strangersFloodSteadily},
		{"strangers connect", (*siege).strangersConnect},
		{"a scanner among strangers", (*siege).scanStranger},
		{"a scanner on a peer", (*siege).scanPeer},
		{"a peer floods OPTIONS and REGISTER, as fast as it can", (*siege).peerFloods},
		{"a peer floods OPTIONS and REGISTER, steadily", (*siege).peerFloodsSteadily},
		{"a peer floods INVITE for nobody", (*siege).peerFloodsNobody},
		{"a peer floods INVITE for somebody", (*siege).peerFloodsSomebody},
		{"a peer floods what belongs to no dialog", (*siege).peerFloodsDialogs},
		{"a peer garbles", (*siege).peerGarbles},
		{"datagrams of 64 KB", (*siege).oversize},
		{"bombs", (*siege).bombs},
		{"forged responses", (*siege).forgedResponses},
		{"connections that say nothing, a byte at a time, or lies", (*siege).slowConnections},
		{"a peer that does not read", (*siege).slowReader},
		{"half-open TLS and noise on its port", (*siege).halfTLS},
		{"TLS handshakes by the hundred", (*siege).handshakes},
		{"strangers' RTP", (*siege).strangersMedia},
		{"wrong RTP and RTCP from a media range", (*siege).wrongMedia},
	} {
		t.Run(a.name, func(t *testing.T) {
			s.t = t
			s.endured(s.attack(func() { a.f(s) }))
		})
	}
	s.t = t
	s.restored(before)
}

// said notes how fast an attack was.
func (s *siege) said(format string, args ...any) {
	s.t.Helper()
	s.t.Logf("attack: "+format, args...)
}

func (s *siege) strangersFlood()         { s.strangersFloodAt(0) }
func (s *siege) strangersFloodSteadily() { s.strangersFloodAt(10_000) }

func (s *siege) strangersFloodAt(perSecond int) {
	c := s.socket(hostStranger, 0)
	from := c.LocalAddr().(*net.UDPAddr).AddrPort()
	kinds := [][]byte{
		s.write(from, letter{method: "INVITE", body: offer(from)}), s.write(from, letter{method: "REGISTER"}),
		s.write(from, letter{method: "OPTIONS"}), []byte("\x00\x01garbage"),
	}
	s.said("%.0f datagrams/s", flood(c, s.gatewayCore(), mostMessages, perSecond, func(i int) []byte { return kinds[i%len(kinds)] }))
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := c.Read(make([]byte, 2000)); err == nil {
		s.t.Errorf("a stranger was answered, %d bytes", n)
	}
}

func (s *siege) strangersConnect() {
	for _, to := range []netip.AddrPort{s.gatewayCore(), netip.AddrPortFrom(s.gatewayCore().Addr(), 5061), s.gatewayCloud()} {
		for range 300 {
			c, err := s.dialFrom(hostStranger, to)
			if err != nil {
				continue // reset before it was accepted
			}
			_, _ = io.WriteString(c, "OPTIONS sip:a SIP/2.0\r\n")
			s.closedWithin(c, soon)
			_ = c.Close()
		}
	}
	s.said("900 connections")
}

// scan runs one of SIPVicious' tools from an address.
func (s *siege) scan(from byte, name string, args ...string) string {
	need(s.t, name, "sipvicious")
	at := s.v4(from).String()
	ctx, cancel := context.WithTimeout(s.ctx, 1500*time.Millisecond) // as soon as we ask whether it lives it does not end by itself
	defer cancel()
	cmd := exec.CommandContext(ctx, name, append(append([]string{"-b", at, "-x", at, "-v"}, args...), s.gatewayCore().Addr().String())...)
	cmd.Env = append(cmd.Environ(), "HOME="+s.dir)
	out, err := cmd.CombinedOutput()
	if err != nil && ctx.Err() == nil {
		s.t.Logf("%s: %v", name, err) // it says so when it finds nothing
	}
	return string(out)
}

func (s *siege) scanStranger() {
	out := s.scan(hostStranger, "svmap", "-p", "5060-5063")
	if strings.Contains(out, s.gatewayCore().Addr().String()+":5060") && strings.Contains(out, "Tandem") {
		s.t.Errorf("a stranger's scanner finds us:\n%s", out)
	}
}

func (s *siege) scanPeer() {
	s.said("svmap: %.200q", s.scan(hostWild, "svmap", "-p", "5060"))
	out := s.scan(hostWild, "svwar", "-e", "100-400", "-m", "REGISTER", "--force")
	if strings.Contains(out, "reqauth") || strings.Contains(out, "noauth") {
		s.t.Errorf("the scanner believes that it found extensions:\n%s", out)
	}
}

// drained reads what a socket receives and counts it by status.
func drained(c *net.UDPConn) (stop func() map[int]int) {
	got := map[int]int{}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 65536)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if m, err := sip.Parse(buf[:n], sip.Limits{}); err == nil {
				got[m.Status]++
			}
		}
	})
	return func() map[int]int {
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		wg.Wait()
		return got
	}
}

// flooded floods from the peer gone wild and tells what came back.
func (s *siege) flooded(n, perSecond int, messages func(from netip.AddrPort) func(i int) []byte) map[int]int {
	c := s.socket(hostWild, 0)
	message := messages(c.LocalAddr().(*net.UDPAddr).AddrPort())
	stop := drained(c)
	rate := flood(c, s.gatewayCore(), n, perSecond, message)
	got := stop()
	s.said("%.0f datagrams/s; answers %v", rate, got)
	return got
}

// turns sends letters in turn.
func (s *siege) turns(letters ...letter) func(netip.AddrPort) func(int) []byte {
	return func(from netip.AddrPort) func(int) []byte {
		var all []*stamp
		for _, l := range letters {
			if l.method == "INVITE" && l.body == "" {
				l.body = offer(from)
			}
			all = append(all, s.stamp(from, l))
		}
		return func(i int) []byte { return all[i%len(all)].next() }
	}
}

const nobody = "sip:+999999999999999@%d"

func (s *siege) peerFloods() {
	s.flooded(mostMessages, 0, s.turns(letter{method: "OPTIONS"}, letter{method: "REGISTER"}))
}

func (s *siege) peerFloodsSteadily() {
	got := s.flooded(mostMessages, 8000, s.turns(letter{method: "OPTIONS"}, letter{method: "REGISTER"}))
	if served := got[200] + got[405]; served > 6000 {
		s.t.Errorf("%d requests of one peer were served in 2.5 s", served)
	}
}

func (s *siege) peerFloodsNobody() {
	s.flooded(10_000, 5000, s.turns(letter{method: "INVITE", uri: nobody}))
}

func (s *siege) peerFloodsSomebody() {
	s.flooded(500, 250, s.turns(letter{method: "INVITE", uri: "sip:" + busy + "@%d"}))
}

// peerFloodsDialogs sends what could end or change calls, with everything of
// them but their tags.
func (s *siege) peerFloodsDialogs() {
	var all []letter
	for i, method := range []string{"BYE", "ACK", "INVITE", "PRACK", "UPDATE", "INFO", "REFER", "NOTIFY"} {
		calls := s.core.Calls()
		id := calls[len(calls)-1-i%callsInProgress].Brief().ID
		for _, header := range []string{"Call-ID: c%n@%h", "Call-ID: " + id} {
			all = append(all, letter{method: method, headers: []string{"To: <sip:a@b>;tag=%n", header}})
		}
	}
	all = append(all, letter{method: "CANCEL"})
	s.flooded(mostMessages, 8000, s.turns(all...))
}

func (s *siege) peerGarbles() {
	r := rand.New(rand.NewPCG(1, 2))
	seeds := torture(s.t)
	s.flooded(mostMessages, 8000, func(from netip.AddrPort) func(int) []byte {
		all := slices.Clone(seeds)
		for len(all) < mostMessages/2 {
			all = append(all, garble(seeds[r.IntN(len(seeds))], r))
			// Nobody has the number, whatever else becomes of the message.
			all = append(all, garble(s.write(from, letter{method: "INVITE", uri: nobody, body: offer(from)}), r))
		}
		return func(i int) []byte { return all[i%len(all)] }
	})
	raw := []byte{}
	for _, m := range seeds {
		raw = append(raw, m...)
	}
	for i := range 200 {
		c, err := s.dialFrom(hostWild, s.gatewayCore())
		if err != nil {
			s.t.Fatal(err)
		}
		_, _ = c.Write(garble(raw[i*len(raw)/250:], r))
		_ = c.Close()
	}
}

func (s *siege) oversize() {
	big := bytes.Repeat([]byte("INVITE sip:x SIP/2.0\r\n"), 3000)[:65507]
	s.flooded(3000, 1500, func(from netip.AddrPort) func(int) []byte {
		whole := s.stamp(from, letter{method: "OPTIONS", headers: []string{"X: " + strings.Repeat("x", 15_000)}, body: strings.Repeat("b", 49_000)})
		cut := s.write(from, letter{method: "OPTIONS"})[:120] // what is left of a lost fragment
		return func(i int) []byte { return [][]byte{big, whole.next(), cut}[i%3] }
	})
}

func (s *siege) bombs() {
	bombs := []letter{
		{method: "INVITE", body: offer(s.gatewayCore()) + strings.Repeat("m=audio 9 RTP/AVP 8\r\n", 2500)},
		{method: "INVITE", body: offer(s.gatewayCore()) + strings.Repeat("a=x:y\r\n", 8000)},
		{method: "INVITE", body: strings.Replace(offer(s.gatewayCore()), " 8 0\r\n", strings.Repeat(" 8", 25_000)+"\r\n", 1)},
		{method: "INVITE", headers: []string{"Content-Type: multipart/mixed;boundary=b"}, body: deep(1000), uri: nobody},
		{method: "INVITE", headers: numbered(3000)},
		{method: "INVITE", headers: []string{"X: x" + strings.Repeat("\r\n x", 15_000)}},
		{method: "INVITE", headers: []string{"Via: SIP/2.0/UDP %h;branch=z9hG4bK%n" + strings.Repeat(",SIP/2.0/UDP a", 1100)}, uri: nobody},
		{method: "INVITE", headers: []string{"Record-Route: <sip:a>" + strings.Repeat(",<sip:a;lr>", 1400)}, uri: nobody, body: offer(s.gatewayCore())},
		{method: "INVITE", headers: []string{"Contact: <sip:x@a;" + strings.Repeat("a=b;", 3900) + ">"}, uri: nobody, body: offer(s.gatewayCore())},
	}
	s.flooded(3000, 1500, s.turns(bombs...))
}

// forgedResponses answers, as strangers and as another peer, what the node may
// just be asking.
func (s *siege) forgedResponses() {
	var wg sync.WaitGroup
	for _, host := range []byte{hostStranger, hostWild} {
		c := s.socket(host, 0)
		wg.Go(func() {
			for i := range 8000 {
				status := []string{"200 OK", "180 Ringing", "486 Busy Here", "302 Moved"}[i%4]
				fmt.Fprintf(udpTo{c, s.gatewayCore()}, "SIP/2.0 %s\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%s;rport\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 %s\r\nContact: <sip:x@%s>\r\nContent-Length: 0\r\n\r\n",
					status, s.gatewayCore(), sip.NewTag(), []string{"INVITE", "OPTIONS", "BYE"}[i%3], s.v4(hostThird))
			}
		})
	}
	for _, p := range s.talk(2) { // calls are set up meanwhile
		p.placed.HangUp()
		<-p.placed.Done()
	}
	wg.Wait()
}

type udpTo struct {
	c  *net.UDPConn
	to netip.AddrPort
}

func (u udpTo) Write(b []byte) (int, error) { return u.c.WriteToUDPAddrPort(b, u.to) }

func (s *siege) slowConnections() {
	var open []net.Conn
	for i := range 200 {
		c, err := s.dialFrom(hostWild, s.gatewayCore())
		if err != nil {
			s.t.Fatal(err)
		}
		switch open = append(open, c); i % 4 {
		case 1:
			_, _ = io.WriteString(c, "INVITE sip:x SIP/2.0\r\nContent-Length: 60000\r\n\r\nnever")
		case 2:
			_, _ = io.WriteString(c, "OPTIONS sip:x SIP/2.0\r\nContent-Length: -5\r\nContent-Length: 2000000000\r\n\r\n")
		case 3:
			_, _ = io.WriteString(c, strings.Repeat("x", 100_000))
		}
	}
	last := open[0]
	every(s.ctx, 10*time.Millisecond, 100, func(i int) { _, _ = io.WriteString(last, "OPTIONS sip:x SIP/2.0\r\n"[i%22:i%22+1]) })
	for _, c := range open {
		_ = c.Close()
	}
	s.said("200 connections")
}

func (s *siege) slowReader() {
	c, err := s.dialFrom(hostWild, s.gatewayCore())
	if err != nil {
		s.t.Fatal(err)
	}
	_ = c.(*net.TCPConn).SetReadBuffer(4096)
	from := c.LocalAddr().(*net.TCPAddr).AddrPort()
	_ = c.SetWriteDeadline(time.Now().Add(mostTime))
	n := 0
	for ; n < mostMessages; n++ {
		l := letter{method: "BYE", headers: []string{"To: <sip:a@b>;tag=guess", "Via: SIP/2.0/TCP %h;branch=z9hG4bK%n;pad=" + strings.Repeat("x", 300)}}
		if _, err := c.Write(s.write(from, l)); err != nil {
			break
		}
	}
	s.said("%d requests without reading an answer", n)
	_ = c.Close()
}

// secure is the node's TLS listener on the core's side.
func (s *siege) secure() netip.AddrPort { return netip.AddrPortFrom(s.gatewayCore().Addr(), 5061) }

func (s *siege) halfTLS() {
	hello := []byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}
	var open []net.Conn
	for i := range 150 {
		c, err := s.dialFrom(hostA, s.secure())
		if err != nil {
			s.t.Fatal(err)
		}
		switch open = append(open, c); i % 4 {
		case 0:
			_, _ = c.Write(hello)
		case 1:
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: gateway\r\n\r\n")
		case 2:
			_, _ = io.WriteString(c, "OPTIONS sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\n")
		}
	}
	// Five seconds for a handshake; those that speak something else at once.
	for i, c := range open {
		if i%4 == 1 || i%4 == 2 {
			s.closedWithin(c, 6*time.Second)
		}
	}
	s.closedWithin(open[0], 6*time.Second)
	s.closedWithin(open[3], 6*time.Second)
	for _, c := range open {
		_ = c.Close()
	}
}

func (s *siege) handshakes() {
	stolen := s.issue(s.v4(hostB).String()) // good, and another peer's
	none := 0
	start := time.Now()
	n := 0
	for ; n < 600 && time.Since(start) < mostTime; n++ {
		raw, err := s.dialFrom(hostA, s.secure())
		if err != nil {
			s.t.Fatal(err)
		}
		cfg := &tls.Config{InsecureSkipVerify: true}
		if n%2 == 0 {
			cfg.Certificates = []tls.Certificate{*stolen}
		}
		c := tls.Client(raw, cfg)
		_ = c.SetDeadline(time.Now().Add(2 * time.Second))
		_, _ = c.Write(s.write(netip.AddrPortFrom(s.v4(hostA), 5061), letter{method: "OPTIONS"}))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			none++
		}
		_ = raw.Close()
	}
	if none > 0 {
		s.t.Errorf("%d connections with the wrong certificate, or none, were answered", none)
	}
	s.said("%d handshakes, %.0f/s", n, float64(n)/time.Since(start).Seconds())
}

// packet is an RTP packet of noise.
func packet(i int, pt byte, ssrc uint32, payload int) []byte {
	b := make([]byte, 12+payload)
	b[0], b[1] = 0x80, pt
	binary.BigEndian.PutUint16(b[2:], uint16(i))
	binary.BigEndian.PutUint32(b[4:], uint32(i)*160)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	for j := range payload {
		b[12+j] = byte(i * j)
	}
	return b
}

func (s *siege) media() []netip.AddrPort {
	s.t.Helper()
	ports := append(s.mediaPorts(s.gatewayCore().Addr()), s.mediaPorts(s.gatewayCloud().Addr())...)
	if len(ports) < 2*4*callsInProgress {
		s.t.Fatalf("%d media ports are open for %d calls", len(ports), 2*callsInProgress)
	}
	return ports
}

func (s *siege) strangersMedia() {
	c, ports := s.socket(hostStranger, 0), s.media()
	s.sprayed(ports, func(i int) (*net.UDPConn, []byte) {
		return c, packet(i, []byte{8, 0, 200, 201}[i%4], uint32(i), 160)
	})
}

// wrongMedia comes from where media may come from, but not from the ends of
// the calls.
func (s *siege) wrongMedia() {
	core, cloud, ports := s.socket(41, 0), s.socket(37, 0), s.media()
	wild := s.socket(hostWild, 0)
	s.sprayed(ports, func(n int) (*net.UDPConn, []byte) {
		var b []byte
		switch n % 6 {
		case 0:
			b = packet(n, 8, 0x1234, 160)
		case 1:
			b = packet(n, 8, uint32(n), 1400)
		case 2:
			b = packet(n, 8, 0x1234, 0)[:n%13]
		case 3:
			b = packet(n, 200+byte(n%6), uint32(n), n%100)
		case 4:
			b = packet(n, 127, 0x1234, 8000)
		case 5:
			b = []byte("\x00\x01\x00\x00\x21\x12\xa4\x42not a STUN request")
		}
		return []*net.UDPConn{core, cloud, wild}[n%3], b
	})
}

// sprayed sends packets to the open ports in turn, 10 000 a second.
func (s *siege) sprayed(ports []netip.AddrPort, next func(i int) (*net.UDPConn, []byte)) {
	start := time.Now()
	for i := range mostMessages {
		if i%50 == 0 {
			<-time.After(time.Until(start.Add(time.Duration(i) * 100 * time.Microsecond)))
		}
		c, b := next(i)
		_, _ = c.WriteToUDPAddrPort(b, ports[i/6%len(ports)])
	}
	s.said("%.0f packets/s to %d ports", mostMessages/time.Since(start).Seconds(), len(ports))
}
