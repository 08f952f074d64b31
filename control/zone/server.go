package zone

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"github.com/tandemgw/tandem/base/crowd"
	"github.com/tandemgw/tandem/base/obs"
)

// server is the two sockets.
type server struct {
	addr netip.AddrPort // RO
	udp  *dns.Server    // RO
	tcp  *dns.Server    // RO
	wait sync.WaitGroup
}

// Bounds on what strangers may hold.
const (
	maxConnections = 256
	maxOfSource    = 32 // a resolver of many asks as much at once
	tcpTimeout     = 8 * time.Second
)

// listen serves one address by UDP and TCP; port 0 picks one for both.
func listen(at netip.AddrPort, keys map[string]string, serve dns.HandlerFunc) (*server, error) {
	pc, l, err := listenBoth(at)
	if err != nil {
		return nil, fmt.Errorf("listen for DNS at %v: %w", at, err)
	}
	s := &server{addr: pc.LocalAddr().(*net.UDPAddr).AddrPort()}
	ready := make(chan struct{}, 2)
	started := func() { ready <- struct{}{} }
	s.udp = &dns.Server{PacketConn: pc, Handler: serve, TsigSecret: keys, NotifyStartedFunc: started}
	s.tcp = &dns.Server{
		Listener: crowd.Bound(l, crowd.Limits{OfSource: maxOfSource, OfAll: maxConnections}), Handler: serve, TsigSecret: keys, NotifyStartedFunc: started,
		ReadTimeout: tcpTimeout, WriteTimeout: tcpTimeout, IdleTimeout: func() time.Duration { return tcpTimeout },
	}
	for _, d := range []*dns.Server{s.udp, s.tcp} {
		s.wait.Go(func() { _ = d.ActivateAndServe() }) // ends with Shutdown, and then without news
	}
	<-ready // Shutdown before the start would be refused
	<-ready
	return s, nil
}

func listenBoth(at netip.AddrPort) (pc *net.UDPConn, l *net.TCPListener, err error) {
	for range 16 {
		if pc, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at)); err != nil {
			return nil, nil, err
		}
		if l, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(pc.LocalAddr().(*net.UDPAddr).AddrPort())); err == nil {
			return pc, l, nil
		}
		_ = pc.Close()
		if at.Port() != 0 || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, nil, err
}

func (s *server) close() error {
	err := errors.Join(s.udp.Shutdown(), s.tcp.Shutdown())
	s.wait.Wait()
	return err
}

// serve answers one query.
func (s *Set) serve(w dns.ResponseWriter, q *dns.Msg) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("a DNS query broke its answer", obs.KeyError, p)
		}
	}()
	from, udp := source(w.RemoteAddr())
	if transfer(q) {
		s.transfer(w, q, from, udp)
		return
	}
	m := s.served.Load().answer(q)
	if m == nil {
		return
	}
	if udp {
		switch s.limit.take(from, time.Now()) {
		case none:
			s.dropped.Add(1)
			return
		case short:
			s.short.Add(1)
			m.Answer, m.Ns, m.Extra, m.Truncated = nil, nil, nil, true
		}
		fit(m, q)
	}
	if t := q.IsTsig(); t != nil {
		if w.TsigStatus() == nil {
			m.SetTsig(t.Hdr.Name, t.Algorithm, t.Fudge, time.Now().Unix())
		} else {
			m.Answer, m.Ns, m.Extra, m.Rcode = nil, nil, nil, dns.RcodeNotAuth // RFC 8945 §5.2
		}
	}
	switch {
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		s.refused.Add(1)
	case len(m.Answer)+len(m.Ns) > 0:
		s.answered.Add(1)
	}
	_ = w.WriteMsg(m) // a client that is gone asks again or not
}

func source(a net.Addr) (netip.Addr, bool) {
	switch a := a.(type) {
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap(), true
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap(), false
	}
	return netip.Addr{}, false
}
