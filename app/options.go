package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/tandemgw/tandem/edge/tester"
	"github.com/tandemgw/tandem/link"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// mirror is the node as its own far side: to learn whether its listeners
// answer, it asks them by OPTIONS, from their own addresses. They let it in
// only while it asks, and answer nothing else.
type mirror struct {
	remote sip.Remote
	asking atomic.Int32
}

// admit lets the node itself in beside the peers, while it asks.
func (n *Node) admit(l *sip.Listener, src netip.Addr) []*sip.Remote {
	if side := snapshot.Side(l.Side); l.Name == tester.Name(side) {
		return n.admitTester(side)
	}
	found := n.peers.Admit(l, src)
	own := l.Bind.Addr() == src.Unmap() || l.Bind.Addr().IsUnspecified() && src.IsLoopback()
	if own && n.mirror.asking.Load() > 0 {
		found = append(found, &n.mirror.remote)
	}
	return found
}

// handle gives what peers ask to the calls or to the Mobile Control Point, and
// answers the node itself.
func (n *Node) handle(tx *sip.ServerTx) {
	own := tx.Source().Remote == &n.mirror.remote
	switch {
	case own:
	case !n.testOf(tx):
	case n.mcp.For(tx):
		n.toMobile(tx)
		return
	default:
		n.calls.Handle(tx)
		return
	}
	status := 200
	switch {
	case !own: // another process of this machine, on the listener for test calls
		status = 403
	case tx.Request().Method != "OPTIONS":
		status = 403
	case n.draining.Load():
		status = 503
	}
	resp := sip.NewResponse(tx.Request(), status, "")
	resp.TagTo(sip.NewTag())
	_ = tx.Respond(resp) // who asks notices
}

// answerTime is how long a listener has for its answer.
const answerTime = 2 * time.Second

// checkListeners asks each listener.
func (n *Node) checkListeners(ctx context.Context) (all []link.ListenerCheck) {
	n.mirror.asking.Add(1)
	defer n.mirror.asking.Add(-1)
	for _, l := range n.shownListeners() {
		c := link.ListenerCheck{Name: l.Name}
		if n.running.Load().snapshot.Revision == 0 {
			c.Error = "the node has no snapshot, and knows no far side"
		} else if err := n.askListener(ctx, l); err != nil {
			c.Error = err.Error()
		}
		all = append(all, c)
	}
	return all
}

// askListener sends OPTIONS to a listener; nil when it answers as it should.
func (n *Node) askListener(ctx context.Context, l link.Listener) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	name, _ := advertised(l.Advertise)
	if r := n.running.Load().snapshot.Region(n.cfg.Node.Region); name == "" && r != nil && l.Side == string(snapshot.Cloud) {
		name = r.Domain
	}
	conn, err := dialOwn(ctx, l, name)
	if err != nil {
		return err
	}
	defer conn.Close()
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end)
	}
	req := ua.NewOptions(ua.Options{
		URI: "sip:" + l.Address, From: "<sip:" + l.Address + ">", To: "<sip:" + l.Address + ">", Tag: sip.NewTag(), CallID: sip.NewCallID(),
	})
	transport := transports[l.Transport]
	req.Set("Max-Forwards", "1")
	req.Prepend("Via", fmt.Sprintf("SIP/2.0/%s %s;branch=%s;rport", transport, conn.LocalAddr(), sip.NewBranch()))
	if _, err := conn.Write(req.Append(nil)); err != nil {
		return fmt.Errorf("OPTIONS cannot be sent to it: %w", err)
	}
	resp, err := readAnswer(conn, transport)
	switch {
	case err != nil:
		return fmt.Errorf("it does not answer OPTIONS: %w", err)
	case resp.Status != 200:
		return fmt.Errorf("it answers OPTIONS with %d", resp.Status)
	}
	return nil
}

// dialOwn connects to a listener as a far side does, from its own address and by
// the name that the far side knows; "": by none.
func dialOwn(ctx context.Context, l link.Listener, name string) (net.Conn, error) {
	at, err := netip.ParseAddrPort(l.Address)
	if err != nil {
		return nil, fmt.Errorf("it is not bound: %w", err)
	}
	here := at.Addr()
	if here.IsUnspecified() {
		here = netip.IPv6Loopback()
		if at.Addr().Is4() {
			here = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
		at = netip.AddrPortFrom(here, at.Port())
	}
	dialer, network := net.Dialer{LocalAddr: &net.TCPAddr{IP: here.AsSlice()}}, "tcp"
	if l.Transport == "udp" {
		dialer.LocalAddr, network = &net.UDPAddr{IP: here.AsSlice()}, "udp"
	}
	conn, err := dialer.DialContext(ctx, network, at.String())
	if err != nil {
		return nil, fmt.Errorf("it takes no connections: %w", err)
	}
	if l.Transport != "tls" {
		return conn, nil
	}
	// Whether far sides trust the issuer is theirs to say; what the certificate
	// itself says is not.
	secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: name, VerifyConnection: func(s tls.ConnectionState) error {
		switch leaf, now := s.PeerCertificates[0], time.Now(); {
		case now.After(leaf.NotAfter):
			return fmt.Errorf("its certificate ended on %s", day(leaf.NotAfter))
		case now.Before(leaf.NotBefore):
			return fmt.Errorf("its certificate begins on %s", day(leaf.NotBefore))
		case name == "":
			return nil
		default:
			return leaf.VerifyHostname(name)
		}
	}})
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("there is no TLS with it: %w", err)
	}
	return secure, nil
}

// readAnswer reads one response.
func readAnswer(conn net.Conn, transport sip.Transport) (*sip.Message, error) {
	if transport != sip.UDP {
		return sip.NewReader(conn, sip.Limits{}).Read()
	}
	b := make([]byte, 65535)
	k, err := conn.Read(b)
	if err != nil {
		return nil, err
	}
	return sip.Parse(b[:k], sip.Limits{})
}
