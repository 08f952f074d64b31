package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link"
	"github.com/tandemgw/tandem/link/snapshot"
)

// upward is the node's end of the link to control: nil in a node that has its
// gateway in its file.
type upward struct {
	*link.Edge
	unfit atomic.Uint64 // snapshots that came whole and could not be put in force

	mu      sync.Mutex
	gateway string    // mu: whose snapshot is in force
	order   uint64    // mu: revision of what is in force, or of its withdrawal
	applied time.Time // mu
	refused uint64    // mu: newer revision that could not be put in force
	why     string    // mu: and why not
	state   string    // mu: link.Draining while a withdrawal is under way
}

// readCopy puts in force what an earlier run left on the disk, so that the node
// carries calls though control may be away. What does not fit this node any
// more is refused as a new snapshot would be.
func (n *Node) readCopy() {
	if !n.cfg.managed() {
		return
	}
	n.up = &upward{Edge: link.NewEdge(link.EdgeConfig{
		Node: n.cfg.Node.Name, Dir: filepath.Join(n.cfg.Node.Data, "link"), Log: n.log,
	})}
	n.onStop(n.up.Close)
	a, now := n.up.Copy(), n.running.Load()
	n.up.order = a.Revision
	if a.Snapshot == nil {
		return
	}
	if err := now.fits(a.Snapshot); err != nil {
		n.up.refuse(a, err)
		n.log.Error("the snapshot on disk is not put in force", obs.KeyRevision, a.Revision, obs.KeyError, err)
		return
	}
	n.running.Store(now.with(a.Snapshot))
	n.up.accept(a)
}

// serveLink starts the server of a control node. What else runs in this
// process, and nodes on other machines, reach it by dialLink.
func (n *Node) serveLink() error {
	c, err := n.cfg.linkServer(filepath.Join(n.cfg.Node.Data, "link-server"))
	if err != nil {
		return err
	}
	c.Log = n.log
	if n.server, err = link.Serve(c); err != nil {
		return err
	}
	n.onStop(n.server.Close)
	return nil
}

// dialLink connects to the server in this process, or to those that the file
// names.
func (n *Node) dialLink(control bool) (*link.Conn, error) {
	c := link.DialConfig{Node: n.cfg.Node.Name, Control: control, Log: n.log}
	if n.server != nil {
		return n.server.Conn(c)
	}
	if n.cfg.Link == nil || len(n.cfg.Link.URLs) == 0 {
		return nil, fault.New(fault.Invalid, "link.urls is missing: write where the control nodes listen")
	}
	var err error
	if c.TLS, err = n.cfg.Link.tls(); err != nil {
		return nil, err
	}
	c.URLs = n.cfg.Link.URLs
	return link.Dial(c)
}

// openLink begins to follow control. It waits for nobody.
func (n *Node) openLink() error {
	if n.up == nil {
		return nil
	}
	for question, answer := range n.answers() {
		n.up.Answer(question, answer)
	}
	conn, err := n.dialLink(false)
	if err != nil {
		return err
	}
	n.reportUp()
	n.up.Start(conn)
	n.behind.Go(func() { n.up.Upload(n.life, n.spool) })
	n.behind.Go(n.followLink)
	return nil
}

// followLink does what control assigns, one thing after the other, and says
// every second how the node stands.
func (n *Node) followLink() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case a := <-n.up.Assignments():
			n.assigned(a)
		case <-tick.C:
			n.rest()
		case <-n.life.Done():
			return
		}
		n.reportUp()
	}
}

// assigned does what control wants.
func (n *Node) assigned(a link.Assignment) {
	if a.Snapshot == nil {
		n.withdraw(a)
		return
	}
	if err := n.adopt(a); err != nil {
		n.up.refuse(a, err)
		n.log.Error("a snapshot is refused, the one before stays in force", obs.KeyRevision, a.Revision, obs.KeyError, err)
		return
	}
	n.up.accept(a)
	n.keepCopy(a)
	n.log.Info("snapshot is in force", obs.KeyRevision, a.Revision, "gateway", a.Gateway)
}

// adopt puts a snapshot in force as a reload does.
func (n *Node) adopt(a link.Assignment) error {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	now := n.running.Load()
	if n.draining.Load() {
		return fault.New(fault.Conflict, "the node is draining: it takes this when it starts again")
	}
	if err := now.fits(a.Snapshot); err != nil {
		return err
	}
	n.peers.Resume()
	n.calls.Rest(false)
	n.enforce(now, now.with(a.Snapshot))
	return nil
}

// withdraw refuses new calls and lets the others end: rest sees to it.
func (n *Node) withdraw(a link.Assignment) {
	n.keepCopy(a)
	n.calls.Rest(true)
	n.peers.Drain()
	n.up.mu.Lock()
	defer n.up.mu.Unlock()
	n.up.order, n.up.state, n.up.applied = a.Revision, link.Draining, time.Now()
	n.log.Info("the snapshot is withdrawn", obs.KeyRevision, a.Revision, obs.KeyCount, n.calls.Counters().Live)
}

// rest ends a withdrawal when the last call has ended or has had its time.
func (n *Node) rest() {
	n.up.mu.Lock()
	since, under := n.up.applied, n.up.state == link.Draining
	n.up.mu.Unlock()
	patience := n.running.Load().cfg.Node.Drain
	live := n.calls.Counters().Live
	if !under || live > 0 && time.Since(since) < patience {
		return
	}
	if live > 0 {
		out, cancel := context.WithCancel(context.Background())
		cancel()
		n.calls.Drain(out)
	}
	n.reloading.Lock()
	defer n.reloading.Unlock()
	now := n.running.Load()
	n.enforce(now, now.with(&snapshot.Snapshot{}))
	n.peers.Resume()
	if !n.draining.Load() {
		n.calls.Rest(false)
	}
	n.up.mu.Lock()
	n.up.state, n.up.gateway = "", ""
	n.up.mu.Unlock()
	n.log.Info("the node waits for another snapshot")
}

// lastWords is how long a node that ends waits for its last records to arrive.
// What has not by then goes up with the next start.
const lastWords = 2 * time.Second

// sendLast sends the records of the calls that a drain has ended.
func (n *Node) sendLast() {
	if n.up == nil {
		return
	}
	tick, end := time.NewTicker(20*time.Millisecond), time.After(lastWords)
	defer tick.Stop()
	for n.up.Counters().Connected && n.backlog() > 0 {
		select {
		case <-tick.C:
		case <-end:
			return
		}
	}
}

// keepCopy writes what the next start begins with.
func (n *Node) keepCopy(a link.Assignment) {
	if err := n.up.Applied(a); err != nil {
		n.log.Error("the snapshot is not on the disk: a start without control would be with the one before", obs.KeyRevision, a.Revision, obs.KeyError, err)
	}
}

// fits tells why this node cannot carry the calls of a snapshot.
func (r *running) fits(s *snapshot.Snapshot) error {
	region := r.cfg.Node.Region
	if s.Region(region) == nil {
		var all []string
		for _, x := range s.Regions {
			all = append(all, x.Name)
		}
		return fault.New(fault.Conflict, fmt.Sprintf("gateway %s is not in %s, where this node is (node.region): it is in %s", s.Gateway, region, strings.Join(all, ", ")))
	}
	for i := range s.Groups {
		g := &s.Groups[i]
		if name := g.TLS.Certificate; name != "" && r.certificates[name] == nil {
			return fault.New(fault.Conflict, fmt.Sprintf("group %s wants a certificate %s, which this node has not: remove tls.certificate from the section of that group on the control node", g.Name, name))
		}
	}
	if lacks := r.cfg.lacksListener(s); lacks != "" {
		return fault.New(fault.Conflict, "sip.listeners of node "+r.cfg.Node.Name+": "+lacks)
	}
	return nil
}

func (u *upward) accept(a link.Assignment) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.gateway, u.order, u.applied, u.state = a.Gateway, a.Revision, time.Now(), ""
	u.refused, u.why = 0, ""
}

func (u *upward) refuse(a link.Assignment, why error) {
	u.unfit.Add(1)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.refused, u.why = a.Revision, publicText(why)
}

// publicText is what another machine may read of an error.
func publicText(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Public != "" {
		return f.Public
	}
	return err.Error()
}

// reportUp says how the node stands.
func (n *Node) reportUp() {
	s := link.EdgeStatus{
		Node: n.cfg.Node.Name, Region: n.cfg.Node.Region, Version: n.version, Started: n.started.UTC(),
		Listeners: n.shownListeners(), Calls: n.calls.Counters().Live,
	}
	for _, m := range n.cfg.Media.Interfaces {
		at := m.Bind
		if m.Advertise.IsValid() {
			at = m.Advertise
		}
		s.Media = append(s.Media, link.MediaRange{Side: string(m.Side), Address: at.String(), Min: m.Ports.Min, Max: m.Ports.Max})
	}
	n.up.mu.Lock()
	s.Gateway, s.Revision, s.Applied = n.up.gateway, n.up.order, n.up.applied.UTC()
	s.Refused, s.Error, s.State = n.up.refused, n.up.why, n.up.state
	n.up.mu.Unlock()
	switch {
	case n.draining.Load():
		s.State = link.Draining
	case s.State != "":
	case s.Gateway == "":
		s.State = link.Waiting
	default:
		s.State = link.Ready
	}
	n.up.Report(s)
}

// healthUp adds how the node stands to control.
func (n *Node) healthUp(h *ops.Health) {
	if n.up == nil {
		return
	}
	h.Link = &ops.Link{Connected: n.up.Counters().Connected, Backlog: n.backlog()}
	n.up.mu.Lock()
	defer n.up.mu.Unlock()
	h.Link.Gateway, h.Link.Refused, h.Link.Why = n.up.gateway, n.up.refused, n.up.why
	switch {
	case n.up.state == link.Draining:
		h.State, h.Why = ops.Draining, "control has withdrawn the snapshot: calls in progress may end"
	case n.up.gateway == "":
		h.State, h.Why = ops.Waiting, "control has assigned no gateway to this node yet"
		if !h.Link.Connected {
			h.Why = "control has not been reached yet: see that link.urls and the certificates are right"
		}
	}
}

// quiet is how long control may be away before it is worth a word.
const quiet = time.Minute

// warningsUp tell of a link that does not do what it should.
func (n *Node) warningsUp(at time.Time) (all []ops.Warning) {
	if n.up == nil {
		return nil
	}
	if c := n.up.Counters(); !c.Connected && !c.Since.IsZero() && at.Sub(c.Since) > quiet {
		all = append(all, ops.Warning{
			About: "link", Cause: "away",
			Text: fmt.Sprintf("control is away since %s: calls go on, and the records of %d wait here; look at the control nodes, the network and link.certificate", c.Since.UTC().Format(time.RFC3339), n.backlog()),
		})
	}
	n.up.mu.Lock()
	defer n.up.mu.Unlock()
	if n.up.refused > 0 {
		all = append(all, ops.Warning{
			About: "link", Cause: fmt.Sprintf("revision %d", n.up.refused),
			Text: fmt.Sprintf("revision %d of control is not in force: %s", n.up.refused, n.up.why),
		})
	}
	return all
}

// backlog is how many calls control has not got as they stand.
func (n *Node) backlog() int {
	ctx, cancel := context.WithTimeout(n.life, 2*time.Second)
	defer cancel()
	owed, err := n.spool.Backlog(ctx)
	if err != nil {
		n.log.Warn("count the records that wait for control", obs.KeyError, err)
	}
	return owed
}

// shownListeners are the listeners with what they show.
func (n *Node) shownListeners() (all []link.Listener) {
	now := n.running.Load()
	for _, l := range n.cfg.SIP.Listeners {
		x := link.Listener{Name: l.Name, Side: string(l.Side), Transport: l.Transport, Advertise: l.Advertise}
		if at := n.stack.Addr(l.Name); at != (netip.AddrPort{}) {
			x.Address = at.String()
		}
		for _, id := range now.identities {
			if id.name == ofListener(l.Name) {
				x.Certificate = id.describe()
			}
		}
		all = append(all, x)
	}
	return all
}

// describe is a certificate as control hears of it.
func (id identity) describe() *link.Certificate {
	return &link.Certificate{
		Name: id.name, Bears: strings.Split(bearing(id.leaf), ", "), Issuer: id.leaf.Issuer.CommonName,
		Serial: fmt.Sprintf("%x", id.leaf.SerialNumber), Begins: id.leaf.NotBefore, Ends: id.leaf.NotAfter,
	}
}

// answers are what control may ask this node.
func (n *Node) answers() map[string]link.Answer {
	return map[string]link.Answer{
		link.AskCalls: func(context.Context, json.RawMessage) (any, error) { return liveCalls{n}.Live(), nil },
		link.AskPeers: func(context.Context, json.RawMessage) (any, error) { return livePeers{n}.Health(), nil },
		link.AskTrace: question(func(_ context.Context, id string) (any, error) {
			if t, ok := n.traces.Get(id); ok {
				return t, nil
			}
			return nil, fault.New(fault.NotFound, "node "+n.cfg.Node.Name+" remembers no messages of call "+id)
		}),
		link.AskHangup: question(func(_ context.Context, id string) (any, error) { return nil, liveCalls{n}.Hangup(id) }),
		link.AskExplain: question(func(_ context.Context, q link.ExplainQuestion) (any, error) {
			return explainer{n}.Explain(q.From, []byte(q.Invite))
		}),
		link.AskCertificate:     question(n.wantCertificate),
		link.InstallCertificate: question(n.installCertificate),
		askRecords:              question(func(ctx context.Context, since time.Time) (any, error) { return nil, n.spool.Resend(ctx, since) }),
		link.AskTest:            question(n.askTest),
		link.AskListeners:       func(ctx context.Context, _ json.RawMessage) (any, error) { return n.checkListeners(ctx), nil },
	}
}

// question reads what is asked.
func question[T any](f func(context.Context, T) (any, error)) link.Answer {
	return func(ctx context.Context, in json.RawMessage) (any, error) {
		var q T
		if err := json.Unmarshal(in, &q); err != nil {
			return nil, &fault.Error{Kind: fault.Invalid, Public: "the question cannot be read", Err: err}
		}
		return f(ctx, q)
	}
}
