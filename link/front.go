package link

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/tandemgw/tandem/base/crowd"
)

// How many connections other nodes may have. A node has one or two; those of one
// site may come from one address.
var nodesCrowd = crowd.Limits{OfSource: 64, OfAll: 1024}

// again is when a connection is taken anew after none could be.
const again = 100 * time.Millisecond

// front stands before the server's own listener, which bounds nothing by source:
// who connects and says nothing is no node, and takes no node's place. It passes
// octets on as they are; TLS is between the node and the server.
type front struct {
	listener net.Listener
	to       netip.AddrPort // RO: the server on loopback
	ends     sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]bool // mu
	closed bool              // mu
}

func newFront(at, to netip.AddrPort) (*front, error) {
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		return nil, fmt.Errorf("listen for nodes on link.listen: %w", err)
	}
	f := &front{listener: crowd.Bound(l, nodesCrowd), to: to, open: map[net.Conn]bool{}}
	f.ends.Go(f.accept)
	return f, nil
}

func (f *front) accept() {
	for {
		c, err := f.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // no descriptors left, for now
			time.Sleep(again)
			continue
		}
		f.ends.Go(func() { f.pass(c) })
	}
}

// pass joins a connection with one to the server, which learns by its first line
// from where it comes (PROXY protocol, version 1).
func (f *front) pass(c net.Conn) {
	defer f.end(c)
	s, err := net.Dial("tcp", f.to.String())
	if err != nil {
		return // the server stops
	}
	defer f.end(s)
	if !f.keep(c, s) {
		return
	}
	if _, err := io.WriteString(s, proxyLine(c.RemoteAddr(), c.LocalAddr())); err != nil {
		return
	}
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(c, s) // either end closes, and both are
		_ = c.Close()
	}()
	_, _ = io.Copy(s, c)
	_ = s.Close()
	<-back
}

// proxyLine tells the server of a connection's ends.
func proxyLine(from, to net.Addr) string {
	a, errA := netip.ParseAddrPort(from.String())
	b, errB := netip.ParseAddrPort(to.String())
	if errA != nil || errB != nil {
		return "PROXY UNKNOWN\r\n"
	}
	family, ipA, ipB := "TCP4", a.Addr().Unmap().WithZone(""), b.Addr().Unmap().WithZone("")
	if ipA.Is6() {
		family = "TCP6"
	}
	return fmt.Sprintf("PROXY %s %s %s %d %d\r\n", family, ipA, ipB, a.Port(), b.Port())
}

func (f *front) keep(conns ...net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range conns {
		f.open[c] = true
	}
	return !f.closed
}

func (f *front) end(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, c)
	_ = c.Close() // it is over
}

func (f *front) close() {
	_ = f.listener.Close()
	f.mu.Lock()
	f.closed = true
	for c := range f.open {
		_ = c.Close()
	}
	f.mu.Unlock()
	f.ends.Wait()
}
