package app

import (
	"context"
	"net/netip"

	"github.com/tandemgw/tandem/edge/tester"
	"github.com/tandemgw/tandem/link"
	records "github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

// openTester lets the node place calls to test its ways, once it has a stack.
func (n *Node) openTester() {
	n.tester = tester.New(tester.Config{
		Node: n.cfg.Node.Name, Region: n.cfg.Node.Region,
		Snapshot: func() *snapshot.Snapshot { return n.running.Load().snapshot },
		Listener: func(name string) netip.AddrPort { return n.stack.Addr(name) },
		Media:    n.ownMedia,
		Record:   n.testRecord,
		Trace:    n.traces.Get,
		Log:      n.log,
	})
}

// ownMedia is the address of the node's media on a side.
func (n *Node) ownMedia(side snapshot.Side) (netip.Addr, bool) {
	for _, i := range n.cfg.Media.Interfaces {
		if i.Side == side {
			return i.Bind, true
		}
	}
	return netip.Addr{}, false
}

// testRecord is the closed record of the test call with that Call-ID, which is
// among the newest.
func (n *Node) testRecord(callID string) (records.Call, bool) {
	for _, side := range sides {
		list, err := n.spool.List(n.life, records.Filter{Peer: tester.Name(side), Limit: 2})
		if err != nil {
			continue // it is looked for again
		}
		for _, c := range list {
			if c.Caller.CallID == callID && c.Ended != nil {
				return c, true
			}
		}
	}
	return records.Call{}, false
}

// admitTester lets a test call in by its own listener, while one is under way.
func (n *Node) admitTester(side snapshot.Side) []*sip.Remote {
	if n.tester == nil || !n.tester.Waits() {
		return nil
	}
	if r := n.peers.Remote(tester.Name(side)); r != nil {
		return []*sip.Remote{r}
	}
	return nil
}

// testOf tells whether what came in is a far side's, or of the test call under
// way.
func (n *Node) testOf(tx *sip.ServerTx) bool {
	l := tx.Source().Listener
	return l.Name != tester.Name(snapshot.Side(l.Side)) || n.tester.Owns(tx.Request())
}

// askTest places a test call, or tells how the one of that ID stands.
func (n *Node) askTest(_ context.Context, q link.TestQuestion) (any, error) {
	if err := n.carries(); err != nil {
		return nil, err
	}
	return n.tester.Ask(q)
}
