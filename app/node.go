// Package app wires the planes into a node: the process behind `tandem
// serve`, which serves one service region.
//
// It reads the configuration (config.go), starts the parts in order and stops
// them in reverse. Nothing of a call is decided here. Start reading at New,
// which is the order of things.
package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/edge/attest"
	"github.com/tandemgw/tandem/edge/call"
	"github.com/tandemgw/tandem/edge/mcp"
	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/edge/record"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/edge/tester"
	"github.com/tandemgw/tandem/edge/trace"
	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link"
	records "github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/codec"
	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sip"
)

// Node is one running node.
type Node struct {
	cfg     *Config      // RO; that it was started with, for what cannot change
	log     *slog.Logger // RO
	version string       // RO
	started time.Time    // RO

	running   atomic.Pointer[running]
	reloading sync.Mutex                     // one reload at a time
	last      atomic.Pointer[ops.LastReload] // nil before the first
	behind    sync.WaitGroup                 // connections being made anew
	life      context.Context                // RO; ends when the node stops
	die       context.CancelFunc             // RO

	spool    *record.Spool
	traces   *trace.Ring
	engine   *rtp.Engine
	relay    *relay.Relay
	peers    *peer.Set
	calls    *call.Set
	mcp      *mcp.Set
	vouching *attest.Set // nil: callers are neither vouched for nor verified
	stack    *sip.Stack
	tester   *tester.Tester
	control  *ops.Server
	plane    atomic.Pointer[plane] // nil: not a control node, or not yet

	databases []database // RO once it is ready
	elsewhere []string   // RO once it is ready: data that is not in the folder
	backingUp sync.Mutex // one backup at a time

	mirror mirror
	up     *upward      // nil: the file says all
	server *link.Server // of a control node; nil: there is none in this process

	draining atomic.Bool
	ready    atomic.Bool
	stops    []func() // in the order of starting; run in reverse
}

// New starts a node. When it returns without an error the node takes calls;
// with one, everything it had started is stopped again and the error says in
// one sentence what to do.
func New(cfg *Config, log *slog.Logger, version string) (*Node, error) {
	n := &Node{cfg: cfg, log: log, version: version, started: time.Now()}
	n.mirror.remote = sip.Remote{Name: cfg.Node.Name, TLS: sip.TLSPolicy{Anonymous: true}}
	n.life, n.die = context.WithCancel(context.Background())
	for _, start := range []func() error{
		n.lockData,
		n.openSpool,
		n.compile,
		n.openControl,
		n.openPlane,
		n.keepRecords,
		n.openMedia,
		n.openSignalling,
		n.openLink,
	} {
		if err := start(); err != nil {
			n.stop()
			return nil, err
		}
	}
	n.ready.Store(true)
	n.behind.Go(n.watchCertificates)
	n.log.Info("node is ready", obs.KeyNode, cfg.Node.Name, obs.KeyRegion, cfg.Node.Region, obs.KeyRevision, n.running.Load().snapshot.Revision)
	return n, nil
}

// Run serves until ctx is done, then drains: new calls get 503, those in
// progress end by themselves or, after the configured time, are ended.
func (n *Node) Run(ctx context.Context) error {
	<-ctx.Done()
	n.draining.Store(true)
	if n.cfg.edge() {
		n.drain()
		n.sendLast()
	}
	n.stop()
	n.log.Info("node has ended", obs.KeyNode, n.cfg.Node.Name)
	return nil
}

// drain lets calls end by themselves, for as long as the configuration says.
func (n *Node) drain() {
	live, patience := n.calls.Counters().Live, n.running.Load().cfg.Node.Drain
	n.log.Info("draining", obs.KeyNode, n.cfg.Node.Name, obs.KeyCount, live, obs.KeyDuration, patience)
	n.peers.Drain()
	deadline, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	n.calls.Drain(deadline)
}

// Close stops the node without draining.
func (n *Node) Close() { n.stop() }

// stop ends what was started, last first.
func (n *Node) stop() {
	n.die()
	n.reloading.Lock() // a reload under way ends first; another begins no more
	n.behind.Wait()
	n.reloading.Unlock()
	for i := len(n.stops) - 1; i >= 0; i-- {
		n.stops[i]()
	}
	n.stops = nil
}

// onStop remembers how to end a part.
func (n *Node) onStop(f func()) { n.stops = append(n.stops, f) }

func (n *Node) lockData() error {
	release, err := lock(n.cfg.Node.Data)
	if err != nil {
		return err
	}
	n.onStop(release)
	return tidy(n.cfg.Node.Data)
}

func (n *Node) openSpool() error {
	spool, err := record.Open(record.Config{
		Dir: n.cfg.Node.Data, Node: n.cfg.Node.Name, Region: n.cfg.Node.Region, Upward: n.cfg.managed(), Log: n.log,
	})
	if err != nil {
		return err
	}
	n.spool = spool
	n.backsUp(database{record.FileName, spool.Copy})
	n.onStop(func() {
		if err := spool.Close(); err != nil {
			n.log.Error("close call records", obs.KeyError, err)
		}
	})
	return nil
}

// compile makes the first configuration in force out of the file's.
func (n *Node) compile() error {
	first, err := n.cfg.make(1, nil)
	if err != nil {
		return err
	}
	n.running.Store(first)
	n.readCopy()
	return nil
}

// openControl serves the control socket from the very start, so that a node
// that hangs in its start can be asked why.
func (n *Node) openControl() error {
	n.traces = trace.New(trace.Config{})
	server, err := ops.Listen(n.cfg.Node.Socket(), n.onSocket(ops.Handler(n.api())), n.log)
	if err != nil {
		return err
	}
	n.control = server
	n.onStop(func() {
		if err := server.Close(); err != nil {
			n.log.Warn("close control socket", obs.KeyError, err)
		}
	})
	return n.openMetrics()
}

// openMetrics serves Prometheus on an address of its own, where one is set.
func (n *Node) openMetrics() error {
	at := n.cfg.Node.Metrics
	if !at.IsValid() {
		return nil
	}
	listener, err := net.Listen("tcp", at.String())
	if err != nil {
		return fmt.Errorf("listen for Prometheus on node.metrics: %w%s", err, remedy(err))
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", n.metrics())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelWarn)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			n.log.Error("serve metrics", obs.KeyError, err)
		}
	}()
	n.onStop(func() {
		_ = server.Close() // nothing is lost: scrapes come again
		<-done
	})
	return nil
}

func (n *Node) openMedia() error {
	if !n.cfg.edge() {
		return nil
	}
	cfg := rtp.Config{Threads: n.cfg.Media.Threads, Quarantine: n.cfg.Media.Quarantine, DSCP: uint8(n.cfg.Media.DSCP), Log: n.log}
	for _, i := range n.cfg.Media.Interfaces {
		cfg.Interfaces = append(cfg.Interfaces, rtp.Interface{
			Name: string(i.Side), Bind: i.Bind, Advertise: i.Advertise,
			PortMin: i.Ports.Min, PortMax: i.Ports.Max,
			Allow: n.running.Load().snapshot.MediaSources(i.Side, n.cfg.Node.Region),
		})
	}
	engine, err := rtp.New(cfg)
	if err != nil {
		return fmt.Errorf("open media: %w", err)
	}
	n.engine = engine
	// The loops hold threads of their own: without a processor more for each,
	// packets wait behind signalling (see rtp.Engine.Threads).
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + engine.Threads())
	n.relay = relay.New(relay.Config{Engine: engine, Log: n.log})
	for _, err := range codec.Missing() {
		n.log.Info("a codec can be passed but not transcoded", obs.KeyCause, err)
	}
	n.onStop(func() {
		n.relay.Close()
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) - engine.Threads())
		if err := engine.Close(); err != nil {
			n.log.Warn("close media", obs.KeyError, err)
		}
	})
	return nil
}

// openSignalling makes peers, calls and the stack, which know each other, and
// lets traffic in when all three stand.
func (n *Node) openSignalling() error {
	if !n.cfg.edge() {
		return nil
	}
	listeners, now := n.listeners(), n.running.Load()
	n.peers = peer.NewSet(peer.Config{
		Region: n.cfg.Node.Region, Listeners: listeners, Testers: tester.Listeners(), Product: n.product(), Certificate: n.certificate, Log: n.log,
	})
	n.peers.Renew(now.snapshot, now.settings())
	n.onStop(n.peers.Close)
	vouching, err := n.openVouching()
	if err != nil {
		return err
	}
	n.calls = call.NewSet(call.Config{
		Node: n.cfg.Node.Name, Region: n.cfg.Node.Region, Peers: n.peers, Relay: n.relay,
		Interfaces: map[records.Side]string{records.Side(snapshot.Operator): string(snapshot.Operator), records.Side(snapshot.Cloud): string(snapshot.Cloud)},
		Snapshot:   func() *snapshot.Snapshot { return n.running.Load().snapshot },
		Records:    n.spool, Traces: n.traces, Product: n.product(), Log: n.log,
		Vouching: vouching,
		Limits: call.Limits{
			Progress: n.cfg.SIP.Progress, Silence: n.cfg.Media.Silence, Mute: n.cfg.Media.Timeout,
			Music: n.cfg.Media.Music, Ringback: n.cfg.Media.Ringback,
		},
	})
	n.openTester()
	n.openMobile()
	stack, err := sip.NewStack(sip.StackConfig{
		Listeners: append(listeners, tester.Listeners()...),
		Network:   sip.Marked(uint8(n.cfg.SIP.DSCP)),
		Admit:     n.admit,
		Handle:    n.handle, HandleAck: n.calls.HandleAck, HandleStray: n.calls.HandleStray,
		Tap: n.calls.Tap, Urgent: n.calls.Urgent, Passing: n.mcp.Passing, Overloaded: n.calls.Overloaded,
		Log: n.log,
	})
	if err != nil {
		return fmt.Errorf("listen for SIP: %w%s", err, remedy(err))
	}
	n.stack = stack
	n.onStop(func() {
		if err := stack.Close(); err != nil {
			n.log.Warn("close SIP", obs.KeyError, err)
		}
	})
	n.calls.Start(stack)
	n.mcp.Start(stack)
	n.peers.Start(stack)
	n.onStop(func() {
		// Without a drain: what still lives is ended at once, with a BYE and
		// a record.
		now, cancel := context.WithCancel(context.Background())
		cancel()
		n.calls.Drain(now)
	})
	n.onStop(n.tester.Close)
	return nil
}

// product is what X-MS-SBC and User-Agent say of us.
func (n *Node) product() string { return "Tandem/Gateway/" + n.version }

func (n *Node) listeners() []sip.Listener {
	var out []sip.Listener
	for _, l := range n.cfg.SIP.Listeners {
		at := sip.Listener{Name: l.Name, Side: string(l.Side), Transport: transports[l.Transport], Bind: l.Bind, Advertise: l.Advertise}
		if l.Certificate != nil {
			at.Certificate = func() (*tls.Certificate, error) { return n.certificate(ofListener(l.Name)) }
		}
		out = append(out, at)
	}
	return out
}

var transports = map[string]sip.Transport{"udp": sip.UDP, "tcp": sip.TCP, "tls": sip.TLS}

// api is what the control socket shows.
func (n *Node) api() ops.Config {
	c := ops.Config{
		Calls: liveCalls{n}, Records: n.spool, Traces: n.traces, Peers: livePeers{n}, Explain: explainer{n},
		Reload: n.reload, Backup: n.backup, Health: n.health, Metrics: n.metrics(), Log: n.log,
	}
	if n.cfg.Control != nil {
		all := fleet{livePeers{n}}
		c.Calls, c.Records, c.Traces, c.Peers, c.Explain, c.Edges = all, all, all, all, all, all
		c.Certificates, c.Texts = edgeCertificates{n}, texts{n}
		c.Onboard, c.Audit, c.Operations = n.onboarding, n.auditTrail, n.operations
		if n.cfg.Control.outside() == nil {
			c.Users = n.users
		}
		c.Secrets, c.RotateKey, c.Tenant, c.Connect = n.secrets, n.rotateKey, n.tenant, n.asGateway
	}
	return c
}

// carries is an error while the node has no part that carries calls.
func (n *Node) carries() error {
	switch {
	case !n.ready.Load():
		return errStarting
	case !n.cfg.edge():
		return fault.New(fault.NotFound, "this node is a control node and carries no calls: ask one of its edges")
	}
	return nil
}

// health tells how the node stands.
func (n *Node) health() ops.Health {
	h := ops.Health{
		State: ops.Starting, Node: n.cfg.Node.Name, Region: n.cfg.Node.Region,
		Version: n.version, Started: n.started, Reload: n.last.Load(),
	}
	if now := n.running.Load(); now != nil {
		h.Revision, h.Since = now.snapshot.Revision, now.since
	}
	if !n.ready.Load() {
		return h
	}
	h.State = ops.Ready
	n.healthUp(&h)
	if n.draining.Load() {
		h.State = ops.Draining
	}
	if !n.cfg.edge() {
		return h
	}
	h.Calls = n.calls.Counters().Live
	for _, l := range n.cfg.SIP.Listeners {
		h.Listeners = append(h.Listeners, ops.Listener{
			Name: l.Name, Side: string(l.Side), Transport: l.Transport,
			Address: n.stack.Addr(l.Name).String(), Advertise: l.Advertise,
		})
	}
	return h
}

// These answer the control socket while the node starts,
// when there are none yet.
type (
	liveCalls struct{ n *Node }
	livePeers struct{ n *Node }
	explainer struct{ n *Node }
)

func (e explainer) Explain(from string, invite []byte) (records.Explanation, error) {
	if err := e.n.carries(); err != nil {
		return records.Explanation{}, err
	}
	return e.n.calls.Explain(from, invite)
}

func (l liveCalls) Live() []records.LiveCall {
	if l.n.carries() != nil {
		return nil
	}
	return l.n.calls.Live()
}

func (l liveCalls) Hangup(id string) error {
	if err := l.n.carries(); err != nil {
		return err
	}
	return l.n.calls.Hangup(id)
}

func (l livePeers) Certificates() []ops.Certificate { return l.n.shownCertificates() }
func (l livePeers) Warnings() []ops.Warning         { return l.n.warnings(time.Now()) }

func (l livePeers) Reconnect(ctx context.Context, names ...string) ([]records.Reconnection, error) {
	if err := l.n.carries(); err != nil {
		return nil, err
	}
	return l.n.peers.Reconnect(ctx, names...)
}

func (l livePeers) Health() []records.PeerHealth {
	if l.n.carries() != nil {
		return nil
	}
	return l.n.peers.Health()
}

// remedy says what to do about an address that cannot be listened on.
func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "; another program has this port: stop it, or choose another address in tandem.yaml"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "; this machine does not have that address: correct it in tandem.yaml"
	case errors.Is(err, syscall.EACCES):
		return "; ports below 1024 need CAP_NET_BIND_SERVICE: grant it, or choose a higher port in tandem.yaml"
	}
	return ""
}

// mode of the data folder: records name who called whom.
const dataMode os.FileMode = 0o700
