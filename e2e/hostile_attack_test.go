package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

// socket opens a UDP socket of an attacker.
func (s *siege) socket(host byte, port uint16) *net.UDPConn {
	s.t.Helper()
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.v4(host), port)))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// dialFrom opens a TCP connection of an attacker.
func (s *siege) dialFrom(host byte, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(s.v4(host), 0)), Timeout: 2 * time.Second}
	c, err := d.DialContext(s.ctx, "tcp", to.String())
	if err == nil {
		s.t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

// The bounds of one flood.
const (
	mostMessages = 20_000
	mostTime     = 4 * time.Second
)

// flood sends n messages, so many a second or with 0 as fast as the socket
// takes them, for mostTime at most, and tells how many a second it were.
func flood(c *net.UDPConn, to netip.AddrPort, n, perSecond int, message func(i int) []byte) float64 {
	start := time.Now()
	sent := 0
	for ; sent < min(n, mostMessages); sent++ {
		if perSecond > 0 && sent%50 == 0 {
			<-time.After(time.Until(start.Add(time.Duration(sent) * time.Second / time.Duration(perSecond))))
		}
		if sent%64 == 0 && time.Since(start) > mostTime {
			break
		}
		_, _ = c.WriteToUDPAddrPort(message(sent), to) // what the kernel refuses is not a message
	}
	return float64(sent) / time.Since(start).Seconds()
}

// stamp is a request written once and sent many times, a new one each time: an
// attacker in our process must not cost more than the attack.
type stamp struct {
	b  []byte
	at []int
}

const unique = "00000000"

func (s *siege) stamp(from netip.AddrPort, l letter) *stamp {
	p := &stamp{b: s.text(from, l, unique)}
	for at := 0; ; at += len(unique) {
		i := bytes.Index(p.b[at:], []byte(unique))
		if i < 0 {
			return p
		}
		at += i
		p.at = append(p.at, at)
	}
}

func (p *stamp) next() []byte {
	letters++
	id := fmt.Appendf(nil, "%08x", letters&0xffffffff)
	for _, at := range p.at {
		copy(p.b[at:], id)
	}
	return p.b
}

// letter is a request as an attacker writes it. %h in it stands for the
// attacker's address, %n for a number that nobody had before, %d for the node.
type letter struct {
	method, uri string
	headers     []string // replace those of the same name; "-Name" leaves one out
	body        string
}

var letters = rand.Uint64()

func (s *siege) write(from netip.AddrPort, l letter) []byte {
	letters++
	return s.text(from, l, strconv.FormatUint(letters, 36))
}

func (s *siege) text(from netip.AddrPort, l letter, id string) []byte {
	if l.uri == "" {
		l.uri = "sip:" + user + "@%d"
	}
	head := []string{
		"Via: SIP/2.0/UDP %h;rport;branch=z9hG4bK%n", "Max-Forwards: 70",
		"From: <sip:" + wildNumber + "@%h>;tag=t%n", "To: <sip:" + user + "@%d>",
		"Call-ID: c%n@%h", "CSeq: 1 " + l.method, "Contact: <sip:x@%h>",
	}
	if l.body != "" {
		head = append(head, "Content-Type: application/sdp")
	}
	usual := len(head)
	for _, h := range l.headers {
		name, _, _ := strings.Cut(strings.TrimPrefix(h, "-"), ":")
		for i := range usual {
			if strings.HasPrefix(head[i], name+":") {
				head[i] = ""
			}
		}
		if h[0] != '-' {
			head = append(head, h)
		}
	}
	head = slices.DeleteFunc(head, func(h string) bool { return h == "" })
	head = append(head, "Content-Length: "+strconv.Itoa(len(l.body)))
	text := l.method + " " + l.uri + " SIP/2.0\r\n" + strings.Join(head, "\r\n") + "\r\n\r\n"
	text = strings.NewReplacer("%h", from.String(), "%n", id, "%d", s.gatewayCore().Addr().String()).Replace(text)
	return []byte(text + l.body)
}

// offer is the description of a telephone at an address.
func offer(at netip.AddrPort) string {
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %[1]s\r\ns=-\r\nc=IN IP4 %[1]s\r\nt=0 0\r\nm=audio %[2]d RTP/AVP 8 0\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n", at.Addr(), at.Port())
}

// mouth is an attacker that also listens.
type mouth struct {
	s  *siege
	c  *net.UDPConn
	at netip.AddrPort
	to netip.AddrPort
}

func (s *siege) mouth(host byte, port uint16) *mouth {
	s.t.Helper()
	c := s.socket(host, port)
	return &mouth{s, c, c.LocalAddr().(*net.UDPAddr).AddrPort(), s.gatewayCore()}
}

func (m *mouth) say(l letter) { m.raw(m.s.write(m.at, l)) }

func (m *mouth) raw(b []byte) {
	m.s.t.Helper()
	if _, err := m.c.WriteToUDPAddrPort(b, m.to); err != nil {
		m.s.t.Fatal(err)
	}
}

// hear waits for a message; nil for none in the time given. What cannot be
// read, and requests that nobody asked for (OPTIONS), are passed over.
func (m *mouth) hear(within time.Duration) *sip.Message {
	m.s.t.Helper()
	buf := make([]byte, 65536)
	for limit := time.Now().Add(within); ; {
		_ = m.c.SetReadDeadline(limit)
		n, err := m.c.Read(buf)
		if err != nil {
			return nil
		}
		if msg, err := sip.Parse(buf[:n], sip.Limits{}); err == nil && msg.Method != "OPTIONS" {
			return msg
		}
	}
}

// final waits for the final response to the last request of a method.
func (m *mouth) final(within time.Duration) *sip.Message {
	m.s.t.Helper()
	for limit := time.Now().Add(within); ; {
		msg := m.hear(time.Until(limit))
		if msg == nil || msg.Status >= 200 {
			return msg
		}
	}
}

// follow writes a request of the dialog that a response has made or would
// have made.
func (m *mouth) follow(method string, resp *sip.Message, seq int) letter {
	return letter{method: method, headers: []string{
		"From: " + resp.Get("From"), "To: " + resp.Get("To"), "Call-ID: " + resp.Get("Call-ID"),
		fmt.Sprintf("CSeq: %d %s", seq, method),
	}}
}

// leave acknowledges the final response to an INVITE and releases the call that
// it may have made, until the node has nothing more to say.
func (m *mouth) leave(l letter, got *sip.Message) {
	m.s.t.Helper()
	if got != nil && l.method == "INVITE" {
		ack := m.follow("ACK", got, 1)
		if got.Status >= 300 {
			ack.headers = append(ack.headers, "Via: "+got.Get("Via"))
		}
		m.say(ack)
		if got.Status < 300 {
			m.say(m.follow("BYE", got, 2))
		}
	}
	for {
		msg := m.hear(50 * time.Millisecond)
		if msg == nil {
			return
		}
		if msg.Method == "BYE" {
			m.raw(sip.NewResponse(msg, 200, "").Append(nil))
		}
	}
}

// mediaPorts are the ports the node has open for media at one address.
func (s *siege) mediaPorts(at netip.Addr) (ports []netip.AddrPort) {
	s.t.Helper()
	f, err := os.Open("/proc/net/udp")
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		host, port, _ := strings.Cut(fields[1], ":")
		b, err := hex.DecodeString(host)
		n, err2 := strconv.ParseUint(port, 16, 16)
		if err != nil || err2 != nil || len(b) != 4 || n < 30000 {
			continue
		}
		if a := netip.AddrFrom4([4]byte{b[3], b[2], b[1], b[0]}); a == at {
			ports = append(ports, netip.AddrPortFrom(a, uint16(n)))
		}
	}
	return ports
}

// canary listens where nothing may arrive.
type canary struct {
	heard chan string
}

func (s *siege) canary(host byte, ports ...uint16) *canary {
	s.t.Helper()
	c := &canary{heard: make(chan string, 100)}
	for _, port := range ports {
		u := s.socket(host, port)
		go func() {
			buf := make([]byte, 2000)
			for {
				n, from, err := u.ReadFromUDPAddrPort(buf)
				if err != nil {
					return
				}
				c.note(fmt.Sprintf("%d bytes from %v at port %d: %.40q", n, from, port, buf[:n]))
			}
		}()
		l, err := net.Listen("tcp4", netip.AddrPortFrom(s.v4(host), port).String())
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				k, err := l.Accept()
				if err != nil {
					return
				}
				c.note("a connection from " + k.RemoteAddr().String())
				_ = k.Close()
			}
		}()
	}
	return c
}

func (c *canary) note(what string) {
	select {
	case c.heard <- what:
	default:
	}
}

// quiet fails the test when the canary has heard anything.
func (s *siege) quiet(c *canary) {
	s.t.Helper()
	for n := 0; ; n++ {
		select {
		case what := <-c.heard:
			if n < 3 {
				s.t.Errorf("the node spoke to a third party: %s", what)
			}
			continue
		default:
		}
		return
	}
}

// closedWithin reads until the node closes a connection, and tells how long
// that took; it fails the test when it takes longer than the time given.
func (s *siege) closedWithin(c net.Conn, most time.Duration) time.Duration {
	s.t.Helper()
	start := time.Now()
	_ = c.SetReadDeadline(start.Add(most))
	buf := make([]byte, 4096)
	for {
		_, err := c.Read(buf)
		if err == nil {
			continue
		}
		if d := time.Since(start); d < most {
			return d
		}
		s.t.Errorf("the node holds a connection of %v longer than %v", c.LocalAddr(), most)
		return most
	}
}

// garble changes some bytes of a message.
func garble(b []byte, r *rand.Rand) []byte {
	b = bytes.Clone(b)
	for range 1 + r.IntN(8) {
		switch at := r.IntN(len(b)); r.IntN(5) {
		case 0:
			b[at] = byte(r.Uint32())
		case 1:
			b = append(b[:at], b[min(len(b), at+1+r.IntN(20)):]...)
		case 2:
			b = append(b[:at:at], append([]byte(strings.Repeat(string(b[at]), 1+r.IntN(300))), b[at:]...)...)
		case 3:
			to := min(len(b), at+r.IntN(80))
			b = append(b[:to:to], append(bytes.Clone(b[at:to]), b[to:]...)...)
		case 4:
			b[at] = ";,:<>\"@=/\r\n \t%\\[]\x00\xff"[r.IntN(19)]
		}
		if len(b) == 0 {
			return []byte("\r\n")
		}
	}
	return b
}

// every calls f at an interval until the context ends or n are done.
func every(ctx context.Context, d time.Duration, n int, f func(i int)) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for i := range n {
		select {
		case <-tick.C:
			f(i)
		case <-ctx.Done():
			return
		}
	}
}
