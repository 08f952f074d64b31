package sip

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// Network is the seam to the outside: the operating system's sockets, or the
// ones in memory of package memnet, so that a whole region runs in a bubble
// under a fake clock.
type Network interface {
	// ListenPacket opens a datagram socket bound to addr.
	ListenPacket(addr netip.AddrPort) (PacketConn, error)
	// Listen accepts stream connections at addr.
	Listen(addr netip.AddrPort) (net.Listener, error)
	// Dial opens a connection from local (any address when not valid) to
	// remote; network is "udp" or "tcp".
	Dial(ctx context.Context, network string, local netip.Addr, remote netip.AddrPort) (net.Conn, error)
}

// PacketConn is a datagram socket whose addresses cost no allocation; it is
// what the stack uses of a *net.UDPConn.
type PacketConn interface {
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
	LocalAddr() net.Addr
	Close() error
}

// OS is the network of the operating system.
var OS Network = osNetwork{}

// Marked is OS with a DSCP on all that leaves: CS3 is 24, AF31 is 26
// (RFC 4594 §4.2).
func Marked(dscp uint8) Network { return osNetwork{dscp} }

type osNetwork struct{ dscp uint8 }

// mark has packets of a socket bear our DSCP.
func (n osNetwork) mark(_, _ string, raw syscall.RawConn) error {
	if n.dscp == 0 {
		return nil
	}
	return raw.Control(func(fd uintptr) {
		// Best effort, on whichever of the two protocols the socket is; above the
		// two bits of ECN (RFC 3168 5).
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TOS, int(n.dscp)<<2)
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_TCLASS, int(n.dscp)<<2)
	})
}

// socketBuffer is what we ask the kernel to hold for one datagram socket:
// 1500 INVITEs of 2.8 KB, or 5 s at 300 calls/s while the process stands
// still. The kernel caps it at net.core.rmem_max.
const socketBuffer = 4 << 20

func (n osNetwork) ListenPacket(addr netip.AddrPort) (PacketConn, error) {
	c, err := net.ListenUDP(family("udp", addr.Addr()), net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	_ = c.SetReadBuffer(socketBuffer) // best effort: a small buffer still works
	_ = c.SetWriteBuffer(socketBuffer)
	if raw, err := c.SyscallConn(); err == nil {
		_ = n.mark("", "", raw)
	}
	s := &stampedConn{UDPConn: c}
	s.stamp() // best effort too: without, all seem to come when they are read
	return s, nil
}

// stampedConn has the kernel tell when it took a datagram in: under load that
// is long before it is read.
type stampedConn struct {
	*net.UDPConn
	control [64]byte // the reader's; of one datagram
}

func (c *stampedConn) stamp() {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_TIMESTAMPNS, 1)
	})
}

// readWaited reads a datagram and tells how long it has waited for that. It
// is for one reader.
func (c *stampedConn) readWaited(b []byte) (n int, from netip.AddrPort, waited time.Duration, err error) {
	n, length, _, from, err := c.ReadMsgUDPAddrPort(b, c.control[:])
	const timespec = 16 // of 64-bit systems; others do without
	if length == syscall.CmsgSpace(timespec) {
		stamp := c.control[syscall.CmsgLen(0):]
		at := time.Unix(int64(binary.NativeEndian.Uint64(stamp)), int64(binary.NativeEndian.Uint64(stamp[8:])))
		waited = max(0, time.Since(at)) // the clock may have been set back
	}
	return n, from, waited, err
}

func (n osNetwork) Listen(addr netip.AddrPort) (net.Listener, error) {
	l := net.ListenConfig{Control: n.mark} // what is accepted inherits it
	l.SetMultipathTCP(false)               // as net.ListenTCP, and as we dial
	return l.Listen(context.Background(), family("tcp", addr.Addr()), addr.String())
}

func (n osNetwork) Dial(ctx context.Context, network string, local netip.Addr, remote netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Control: n.mark}
	if local.IsValid() && !local.IsUnspecified() {
		switch network {
		case "udp":
			d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
		default:
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
		}
	}
	return d.DialContext(ctx, network, remote.String())
}

// family is the network of addr's kind alone, "udp4" or "tcp6": the two
// families are two listeners, each with its own advertised address, and the
// plain name would take both in when all addresses are bound.
func family(network string, addr netip.Addr) string {
	if addr.Is4() {
		return network + "4"
	}
	return network + "6"
}
