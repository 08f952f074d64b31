// Package dns is a small authoritative name server on loopback whose records
// are set from Go. The sandbox's far sides publish themselves in it, and the
// lab's nodes resolve through it.
//
// It answers over UDP and TCP, for the names it was given and NXDOMAIN for
// all others. It asks nobody else but the servers that it was told zones are
// at. Start reading at Server.
package dns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// Server is the name server.
type Server struct {
	addr netip.AddrPort // RO
	udp  *dns.Server    // RO
	tcp  *dns.Server    // RO
	wait sync.WaitGroup

	mu    sync.Mutex
	names map[string]map[uint16][]dns.RR // mu; by canonical name and type
	asked map[question]int               // mu
	zones map[string]netip.AddrPort      // mu; by canonical name: whom to ask instead
}

type question struct {
	name string
	kind uint16
}

// SRV is the right-hand side of an SRV record.
type SRV struct {
	Priority, Weight, Port uint16
	Target                 string
}

// NAPTR is the right-hand side of a NAPTR record.
type NAPTR struct {
	Order, Preference    uint16
	Flags, Service, Next string
}

// Start listens on addr (port 0 picks one, the same for UDP and TCP).
func Start(addr netip.AddrPort) (*Server, error) {
	pc, l, err := listenBoth(addr)
	if err != nil {
		return nil, fmt.Errorf("listen for DNS at %v: %w", addr, err)
	}
	s := &Server{
		addr:  pc.LocalAddr().(*net.UDPAddr).AddrPort(),
		names: map[string]map[uint16][]dns.RR{},
		asked: map[question]int{},
		zones: map[string]netip.AddrPort{},
	}
	ready := make(chan struct{}, 2)
	started := func() { ready <- struct{}{} }
	s.udp = &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(s.answer), NotifyStartedFunc: started}
	s.tcp = &dns.Server{Listener: l, Handler: dns.HandlerFunc(s.answer), NotifyStartedFunc: started}
	for _, d := range []*dns.Server{s.udp, s.tcp} {
		s.wait.Go(func() { _ = d.ActivateAndServe() }) // ends with Shutdown, and then without news
	}
	<-ready // Shutdown before the start would be refused
	<-ready
	return s, nil
}

// listenBoth finds a port that is free for both transports.
func listenBoth(addr netip.AddrPort) (pc *net.UDPConn, l *net.TCPListener, err error) {
	for range 16 {
		if pc, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr)); err != nil {
			return nil, nil, err
		}
		l, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(pc.LocalAddr().(*net.UDPAddr).AddrPort()))
		if err == nil {
			return pc, l, nil
		}
		_ = pc.Close()
		if addr.Port() != 0 || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, nil, err
}

// Close stops the server.
func (s *Server) Close() error {
	err := errors.Join(s.udp.Shutdown(), s.tcp.Shutdown())
	s.wait.Wait()
	return err
}

// Addr is where it listens.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// SetHost replaces the A and AAAA records of name; none removes them. As in
// all names, a first label of "*" stands for any one label not set itself.
func (s *Server) SetHost(name string, ttl time.Duration, addrs ...netip.Addr) {
	var v4, v6 []dns.RR
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() {
			v4 = append(v4, &dns.A{Hdr: head(name, dns.TypeA, ttl), A: a.AsSlice()})
		} else {
			v6 = append(v6, &dns.AAAA{Hdr: head(name, dns.TypeAAAA, ttl), AAAA: a.AsSlice()})
		}
	}
	s.set(name, dns.TypeA, v4)
	s.set(name, dns.TypeAAAA, v6)
}

// SetSRV replaces the SRV records of name ("_sips._tcp.example"); none
// removes them.
func (s *Server) SetSRV(name string, ttl time.Duration, records ...SRV) {
	var rrs []dns.RR
	for _, r := range records {
		rrs = append(rrs, &dns.SRV{
			Hdr: head(name, dns.TypeSRV, ttl), Priority: r.Priority, Weight: r.Weight, Port: r.Port, Target: dns.Fqdn(r.Target),
		})
	}
	s.set(name, dns.TypeSRV, rrs)
}

// SetNAPTR replaces the NAPTR records of name; none removes them.
func (s *Server) SetNAPTR(name string, ttl time.Duration, records ...NAPTR) {
	var rrs []dns.RR
	for _, r := range records {
		rrs = append(rrs, &dns.NAPTR{
			Hdr: head(name, dns.TypeNAPTR, ttl), Order: r.Order, Preference: r.Preference, Flags: r.Flags, Service: r.Service, Replacement: dns.Fqdn(r.Next),
		})
	}
	s.set(name, dns.TypeNAPTR, rrs)
}

// SetTXT replaces the TXT records of name; none removes them.
func (s *Server) SetTXT(name string, ttl time.Duration, texts ...string) {
	var rrs []dns.RR
	for _, t := range texts {
		rrs = append(rrs, &dns.TXT{Hdr: head(name, dns.TypeTXT, ttl), Txt: []string{t}})
	}
	s.set(name, dns.TypeTXT, rrs)
}

// Queries counts the questions seen for name and type ("SRV").
func (s *Server) Queries(name, kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[question{dns.CanonicalName(name), dns.StringToType[strings.ToUpper(kind)]}]
}

// Forward lets another server answer for a zone, as a resolver that follows the
// parent's delegation would.
func (s *Server) Forward(zone string, to netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zones[dns.CanonicalName(zone)] = to
}

// at is the server of the closest zone around a name that is not ours.
func (s *Server) at(name string) (to netip.AddrPort, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	labels := 0
	for zone, server := range s.zones {
		if n := dns.CountLabel(zone); dns.IsSubDomain(zone, name) && n > labels {
			to, ok, labels = server, true, n
		}
	}
	return to, ok
}

// relayTime is how long a forwarded question may take.
const relayTime = 2 * time.Second

// relay asks another server and hands its answer on.
func relay(w dns.ResponseWriter, req *dns.Msg, to netip.AddrPort) {
	client := &dns.Client{Net: w.RemoteAddr().Network(), Timeout: relayTime}
	answer, _, err := client.Exchange(req, to.String())
	if err != nil {
		answer = new(dns.Msg).SetRcode(req, dns.RcodeServerFailure)
	}
	_ = w.WriteMsg(answer) // the asker is gone: its own affair
}

func head(name string, kind uint16, ttl time.Duration) dns.RR_Header {
	return dns.RR_Header{Name: dns.Fqdn(name), Rrtype: kind, Class: dns.ClassINET, Ttl: uint32(ttl / time.Second)}
}

func (s *Server) set(name string, kind uint16, rrs []dns.RR) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := dns.CanonicalName(name)
	if s.names[key] == nil {
		s.names[key] = map[uint16][]dns.RR{}
	}
	s.names[key][kind] = rrs
	if len(rrs) == 0 {
		delete(s.names[key], kind)
	}
	if len(s.names[key]) == 0 {
		delete(s.names, key)
	}
}

func (s *Server) answer(w dns.ResponseWriter, req *dns.Msg) {
	if req.Opcode == dns.OpcodeQuery && len(req.Question) == 1 {
		if to, ok := s.at(req.Question[0].Name); ok {
			relay(w, req, to)
			return
		}
	}
	m := new(dns.Msg)
	switch {
	case req.Opcode != dns.OpcodeQuery || len(req.Question) != 1:
		m.SetRcode(req, dns.RcodeNotImplemented)
	default:
		m.SetReply(req)
		m.Authoritative = true
		m.Answer, m.Extra, m.Rcode = s.find(req.Question[0])
	}
	if w.RemoteAddr().Network() == "udp" {
		room := dns.MinMsgSize
		if opt := req.IsEdns0(); opt != nil {
			room = max(room, int(opt.UDPSize()))
		}
		m.Truncate(room)
	}
	_ = w.WriteMsg(m) // the asker is gone: its own affair
}

// find gives the records asked for, and the addresses of the SRV targets
// among them.
func (s *Server) find(q dns.Question) (answer, extra []dns.RR, rcode int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := dns.CanonicalName(q.Name)
	s.asked[question{key, q.Qtype}]++
	records, known := s.names[key]
	if !known {
		if _, parent, ok := strings.Cut(key, "."); ok {
			records, known = s.names["*."+parent]
		}
	}
	if !known && !s.above(key) {
		return nil, nil, dns.RcodeNameError
	}
	for _, rr := range records[q.Qtype] {
		rr = dns.Copy(rr)
		rr.Header().Name = q.Name // where a wildcard answered, the name asked for
		answer = append(answer, rr)
		if srv, ok := rr.(*dns.SRV); ok {
			target := s.names[dns.CanonicalName(srv.Target)]
			extra = append(append(extra, target[dns.TypeA]...), target[dns.TypeAAAA]...)
		}
	}
	return answer, extra, dns.RcodeSuccess
}

// above reports whether a known name lies below key: such a name exists,
// without records (RFC 8020).
func (s *Server) above(key string) bool {
	for name := range s.names {
		if dns.IsSubDomain(key, name) {
			return true
		}
	}
	return false
}
