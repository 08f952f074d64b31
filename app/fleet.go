package app

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/edge/trace"
	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link"
	records "github.com/tandemgw/tandem/link/record"
)

// fleet shows the edges of a control node's deployment, as one node shows
// itself: records from the store, everything live by asking those edges that
// are there.
type fleet struct{ livePeers }

// askTime is how long the edges may take to answer a person.
const askTime = 4 * time.Second

// keepRecords keeps what comes up from the edges.
func (n *Node) keepRecords() error {
	if p := n.plane.Load(); p != nil {
		n.behind.Go(func() { _ = p.link.Records(n.life, p.calls.Keep) }) // ends with the node
		n.behind.Go(p.trimRecords)
	}
	return nil
}

// trimRecords deletes what has been kept long enough, every hour.
func (p *plane) trimRecords() {
	for {
		select {
		case <-p.n.life.Done():
			return
		case <-time.After(time.Hour):
		}
		n, err := p.calls.Trim(p.n.life, time.Now().Add(-p.cfg.KeepRecords))
		switch {
		case err != nil && p.n.life.Err() == nil:
			p.n.log.Error("delete old call records", obs.KeyError, err)
		case n > 0:
			p.n.log.Info("old call records are deleted", obs.KeyCount, n)
		}
		if _, err := p.subscriptions.TrimTrail(p.n.life, time.Now().Add(-p.cfg.KeepAudit)); err != nil && p.n.life.Err() == nil {
			p.n.log.Error("delete old lines of the audit trail", obs.KeyError, err)
		}
	}
}

// List gives the past calls of all edges.
func (f fleet) List(ctx context.Context, filter records.Filter) ([]records.Call, error) {
	p := f.n.plane.Load()
	if p == nil {
		return nil, errStarting
	}
	return p.calls.List(ctx, filter)
}

// answer is one edge's.
type answer[T any] struct {
	node string
	out  T
	err  error
}

// askAll puts a question to every live edge at once. Those that do not answer
// in time are left out, and the log says so.
func askAll[T any](ctx context.Context, n *Node, question string, in any) (all []answer[T]) {
	p := n.plane.Load()
	if p == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	for _, e := range p.link.Edges() {
		if e.Live {
			all = append(all, answer[T]{node: e.Node})
		}
	}
	var asked sync.WaitGroup
	for i := range all {
		asked.Go(func() {
			a := &all[i]
			if a.err = p.link.Ask(ctx, a.node, question, in, &a.out); a.err != nil && fault.Of(a.err) != fault.NotFound {
				n.log.Warn("an edge does not answer", obs.KeyNode, a.node, "question", question, obs.KeyError, a.err)
			}
		})
	}
	asked.Wait()
	return all
}

// Live gives the live calls of all edges.
func (f fleet) Live() (calls []records.LiveCall) {
	for _, a := range askAll[[]records.LiveCall](f.n.life, f.n, link.AskCalls, nil) {
		calls = append(calls, a.out...)
	}
	return calls
}

// Hangup ends a call, whichever edge has it.
func (f fleet) Hangup(id string) error {
	var away error
	for _, a := range askAll[any](f.n.life, f.n, link.AskHangup, id) {
		switch {
		case a.err == nil:
			return nil
		case fault.Of(a.err) != fault.NotFound:
			away = a.err
		}
	}
	if away != nil {
		return away // the one that has it may be among those
	}
	return fault.New(fault.NotFound, "no edge has a live call "+id)
}

// Get gives the trace of a call, from the edge that remembers it.
func (f fleet) Get(id string) (records.Trace, bool) {
	for _, a := range askAll[records.Trace](f.n.life, f.n, link.AskTrace, id) {
		if a.err == nil {
			return a.out, true
		}
	}
	return records.Trace{}, false
}

// Pcap is Get as a capture.
func (f fleet) Pcap(w io.Writer, id string) (bool, error) {
	t, ok := f.Get(id)
	if !ok {
		return false, nil
	}
	return true, trace.Capture(w, t)
}

// Health gives the peers of all edges; their names begin with the edge's.
func (f fleet) Health() (peers []records.PeerHealth) {
	for _, a := range askAll[[]records.PeerHealth](f.n.life, f.n, link.AskPeers, nil) {
		for _, p := range a.out {
			p.Peer = a.node + "/" + p.Peer
			peers = append(peers, p)
		}
	}
	return peers
}

// Certificates are those that the edges show on their listeners, beside this
// node's own.
func (f fleet) Certificates() (all []ops.Certificate) {
	p := f.n.plane.Load()
	if p == nil {
		return nil
	}
	for _, e := range p.link.Edges() {
		for _, l := range e.Listeners {
			if c := l.Certificate; c != nil {
				all = append(all, ops.Certificate{Name: e.Node + "/" + c.Name, Bears: c.Bears, Issuer: c.Issuer, Ends: c.Ends})
			}
		}
	}
	return all
}

// Explain asks the edges in turn, since each has peers of its own.
func (f fleet) Explain(from string, invite []byte) (records.Explanation, error) {
	all := askAll[records.Explanation](f.n.life, f.n, link.AskExplain, link.ExplainQuestion{From: from, Invite: string(invite)})
	slices.SortStableFunc(all, func(a, b answer[records.Explanation]) int { return grade(a.err) - grade(b.err) })
	if len(all) == 0 {
		return records.Explanation{}, fault.New(fault.Unavailable, "no edge is there to ask")
	}
	return all[0].out, all[0].err
}

// grade puts answers before refusals, and those before silence.
func grade(err error) int {
	switch f, known := errors.AsType[*fault.Error](err); {
	case err == nil:
		return 0
	case known && f.Kind == fault.Invalid:
		return 1
	case known && f.Kind == fault.NotFound:
		return 2
	}
	return 3
}

// Edges are those that have ever reported.
func (f fleet) Edges() []link.EdgeStatus {
	if p := f.n.plane.Load(); p != nil {
		return p.link.Edges()
	}
	return nil
}

// Forget removes an edge that will not come back. One that serves a gateway is
// given what it is to run again by the next change of that gateway.
func (f fleet) Forget(ctx context.Context, node string) error {
	p := f.n.plane.Load()
	if p == nil {
		return errStarting
	}
	switch e, known := p.link.Edge(node); {
	case !known:
		return fault.New(fault.NotFound, "no edge "+node+" has ever reported")
	case e.Live:
		return fault.New(fault.Conflict, "edge "+node+" is alive, and would report again at once: stop it first")
	}
	return p.link.Forget(ctx, node)
}
