package sip

import (
	"errors"
	"net"
	"net/netip"
	"time"
)

// maxDatagram is the largest UDP payload. A request larger than the path's
// MTU is fragmented by IP; RFC 3261 section 18.1.1 would change to TCP, but
// which transport a peer speaks is configured, not guessed.
const maxDatagram = 65535

// readPackets is the one reader of a datagram socket: several would be faster
// and would let a 200 overtake the 180 before it.
func (l *listener) readPackets() {
	buf := make([]byte, maxDatagram)
	for {
		n, from, waited, err := l.readPacket(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			// ICMP errors of other peers' datagrams surface here.
			if !l.s.pause(err, l) {
				return
			}
		default:
			l.lag.Store(int64(waited))
			l.read.Store(int64(l.s.now()))
			l.packet(buf[:n], Source{Listener: l.Listener, Addr: unmapped(from)})
		}
	}
}

func (l *listener) readPacket(b []byte) (n int, from netip.AddrPort, waited time.Duration, err error) {
	if c, ok := l.packets.(*stampedConn); ok {
		return c.readWaited(b)
	}
	n, from, err = l.packets.ReadFromUDPAddrPort(b)
	return n, from, 0, err
}

// pause waits a moment after an error of a socket, so that one that persists
// does not spin; false when the stack is closing.
func (s *Stack) pause(err error, l *listener) bool {
	s.gripe("socket", l.local.Addr(), "listener cannot receive", "listener", l.Name, "err", err)
	select {
	case <-time.After(5 * time.Millisecond):
		return true
	case <-s.closing.Done():
		return false
	}
}

func (l *listener) packet(b []byte, src Source) {
	s := l.s
	remotes := s.cfg.Admit(l.Listener, src.Addr.Addr())
	if len(remotes) == 0 {
		s.count.drop(dropStranger)
		return
	}
	src.Remote = remotes[0]
	if isKeepAlive(b) {
		return // RFC 5626 has STUN for datagrams; the mapping is kept all the same
	}
	if !src.Remote.within() {
		s.count.drop(dropThrottled)
		s.gripe("throttled", src.Addr.Addr(), "peer sends more than it may; its datagrams are dropped unread", "peer", src.Remote.Name)
		return
	}
	m, err := Parse(b, s.cfg.Limits)
	s.received(m, s.tapped(b), err, src)
}

// isKeepAlive says whether a datagram is nothing but line ends or zero bytes, as many
// devices send to keep a NAT mapping.
func isKeepAlive(b []byte) bool {
	for _, c := range b {
		if c != '\r' && c != '\n' && c != 0 {
			return false
		}
	}
	return true
}
