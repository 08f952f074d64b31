package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/sandbox/authority"
)

// upper is a control node as an edge sees it.
type upper struct {
	t      *testing.T
	dir    string
	tls    *tls.Config
	at     netip.AddrPort
	server *link.Server
	conn   *link.Conn
	*link.Control
}

// newUpper makes the files of the link in a world's folder, and starts.
func newUpper(w *world) *upper {
	w.t.Helper()
	own, err := w.ca.Issue(authority.Terms{NotAfter: time.Now().AddDate(0, 3, 0)}, "c1", "127.78.4.1")
	w.must(err)
	pool := w.ca.Roots()
	u := &upper{
		t: w.t, dir: w.t.TempDir(), at: netip.MustParseAddrPort("127.78.4.1:4222"),
		tls: &tls.Config{Certificates: []tls.Certificate{*own}, RootCAs: pool, ClientCAs: pool},
	}
	w.t.Cleanup(u.stop)
	return u
}

func (u *upper) start() {
	u.t.Helper()
	log := slog.New(slog.DiscardHandler)
	var err error
	if u.server, err = link.Serve(link.ServerConfig{Node: "c1", Dir: u.dir, Listen: u.at, TLS: u.tls, Log: log}); err != nil {
		u.t.Fatal(err)
	}
	if u.conn, err = u.server.Conn(link.DialConfig{Node: "c1", Control: true, Log: log}); err != nil {
		u.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if u.Control, err = link.NewControl(ctx, u.conn); err != nil {
		u.t.Fatal(err)
	}
}

func (u *upper) stop() {
	if u.server == nil {
		return
	}
	u.Control.Close()
	u.conn.Close()
	u.server.Close()
	u.server = nil
}

func (u *upper) publish(revision uint64, s *snapshot.Snapshot) {
	u.t.Helper()
	err := u.Publish(u.t.Context(), link.Publication{Gateway: "lab", Revision: revision, Nodes: []string{"r1-a"}, Snapshot: s})
	if err != nil {
		u.t.Fatal(err)
	}
}

// edge waits for how the edge stands.
func (u *upper) edge(what string, f func(link.EdgeStatus) bool) link.EdgeStatus {
	u.t.Helper()
	var last link.EdgeStatus
	until(u.t, func() string {
		last, _ = u.Edge("r1-a")
		if f(last) {
			return ""
		}
		text, _ := json.Marshal(last)
		return "in vain waited until the edge " + what + ": " + string(text)
	})
	return last
}

// managed turns a world's node into an edge of a control node that has
// published what the node's file would have said.
func managed(u **upper, s **snapshot.Snapshot) func(*world) {
	return func(w *world) {
		before, err := LoadConfig(filepath.Join(w.dir, "tandem.yaml"))
		w.must(err)
		*s, err = before.Snapshot(1)
		w.must(err)
		own, err := w.ca.Issue(authority.Terms{NotAfter: time.Now().AddDate(0, 3, 0)}, "r1-a")
		w.must(err)
		_, err = w.ca.Write(w.dir, "node", own)
		w.must(err)
		head, _, _ := strings.Cut(w.text, "services:\n")
		w.text = head + "link: {urls: [\"tls://127.78.4.1:4222\"], ca: root.pem, certificate: {chain: node.pem, key: node.key}}\n"
		w.write()
		*u = newUpper(w)
		(*u).start()
		(*u).publish(1, *s)
	}
}

func TestAnEdgeLivesFromPublishedSnapshots(t *testing.T) {
	var u *upper
	var s *snapshot.Snapshot
	w := build(t, managed(&u, &s))
	status := u.edge("is ready with revision 1", func(e link.EdgeStatus) bool { return e.State == link.Ready && e.Revision == 1 })
	if l := status.Listeners; len(l) != 2 || l[0].Address != "127.78.1.1:5063" || l[0].Certificate == nil || l[0].Certificate.Bears[0] != "1r1.lab.example" {
		t.Errorf("its listeners are %+v", l)
	}
	if m := status.Media; len(m) != 2 || m[0].Address != "127.78.1.2" || m[0].Min != 20000 {
		t.Errorf("its media is %+v", m)
	}
	call := w.talk(true)

	// Another snapshot comes into force without touching the call.
	next := *s
	next.Emergency = []string{"112"}
	u.publish(2, &next)
	u.edge("has revision 2", func(e link.EdgeStatus) bool { return e.Revision == 2 })
	if got := w.node.running.Load().snapshot; got.Revision != 2 || !got.IsEmergency("112") {
		t.Errorf("in force is revision %d", got.Revision)
	}

	// Its own file is read again, and leaves alone what is control's.
	w.write("options: 1s\n", "options: 2s\n")
	done, err := w.node.Reload()
	w.must(err)
	if len(done.Changes) != 1 || done.Changes[0].Path != "sip.options" || done.Revision != 2 {
		t.Errorf("the reload did %+v", done)
	}

	// What does not fit this node is refused, with the reason.
	foreign := next
	foreign.Regions = []snapshot.Region{{Name: "elsewhere"}}
	u.publish(3, &foreign)
	refused := u.edge("refuses revision 3", func(e link.EdgeStatus) bool { return e.Refused == 3 })
	if want := "gateway lab is not in r1, where this node is (node.region): it is in elsewhere"; refused.Error != want || refused.Revision != 2 {
		t.Errorf("it says %q of revision 3, with %d in force", refused.Error, refused.Revision)
	}
	if ws := w.node.warningsUp(time.Now()); len(ws) != 1 || !strings.Contains(ws[0].Text, refused.Error) {
		t.Errorf("warnings are %+v", ws)
	}
	u.publish(4, &next)
	u.edge("has revision 4", func(e link.EdgeStatus) bool { return e.Revision == 4 && e.Error == "" && e.Refused == 0 })

	// The questions.
	var live []record.LiveCall
	w.must(u.Ask(t.Context(), "r1-a", link.AskCalls, nil, &live))
	if len(live) != 1 || live[0].Revision != 1 {
		t.Fatalf("live calls: %+v", live)
	}
	var trace record.Trace
	w.must(u.Ask(t.Context(), "r1-a", link.AskTrace, live[0].ID, &trace))
	var peers []record.PeerHealth
	w.must(u.Ask(t.Context(), "r1-a", link.AskPeers, nil, &peers))
	var checks []link.ListenerCheck
	w.must(u.Ask(t.Context(), "r1-a", link.AskListeners, nil, &checks))
	if len(trace.Packets) == 0 || len(peers) != 4 || peers[0].Transport != "TLS" || len(checks) != 2 || checks[0].Error+checks[1].Error != "" {
		t.Errorf("trace of %d packets, %d peers, checks %+v", len(trace.Packets), len(peers), checks)
	}
	err = u.Ask(t.Context(), "r1-a", link.AskHangup, "nobody", nil)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.NotFound {
		t.Errorf("hanging up nobody: %v", err)
	}

	// A withdrawal lets the call end, and takes no other.
	w.must(u.Withdraw(t.Context(), 5, "r1-a"))
	u.edge("drains", func(e link.EdgeStatus) bool { return e.State == link.Draining && e.Revision == 5 })
	if h := w.node.health(); h.State != ops.Draining || h.Why == "" {
		t.Errorf("health is %+v", h)
	}
	w.must(u.Ask(t.Context(), "r1-a", link.AskHangup, live[0].ID, nil))
	<-call.Done()
	u.edge("waits", func(e link.EdgeStatus) bool { return e.State == link.Waiting && e.Gateway == "" })
	if h := w.node.health(); h.State != ops.Waiting {
		t.Errorf("health is %+v", h)
	}
	u.publish(6, s)
	u.edge("is ready again", func(e link.EdgeStatus) bool { return e.State == link.Ready && e.Revision == 6 })
	w.ready()
	again := w.talk(false)
	again.HangUp()
	<-again.Done()
}

// collected are the calls that have come up.
func (u *upper) collect() (calls func() map[string]record.Call) {
	var mu sync.Mutex
	all := map[string]record.Call{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = u.Records(ctx, func(_ context.Context, entries []record.Entry) error {
			mu.Lock()
			defer mu.Unlock()
			for _, e := range entries {
				all[e.Call.ID] = e.Call
			}
			return nil
		})
	}()
	u.t.Cleanup(func() { cancel(); <-done })
	return func() map[string]record.Call {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(all)
	}
}

func TestAnEdgeCarriesOnWithoutControl(t *testing.T) {
	var u *upper
	var s *snapshot.Snapshot
	w := build(t, managed(&u, &s))
	u.edge("is ready", func(e link.EdgeStatus) bool { return e.State == link.Ready })
	during := w.talk(true)
	u.stop()
	w.until(func() string {
		if h := w.node.health(); h.State != ops.Ready || h.Link == nil || h.Link.Connected {
			return "the node has not noticed that control is away"
		}
		return ""
	})
	if ws := w.node.warningsUp(time.Now().Add(2 * quiet)); len(ws) != 1 || !strings.HasPrefix(ws[0].Text, "control is away since ") {
		t.Errorf("warnings are %+v", ws)
	}
	w.talk(false).HangUp() // calls are taken, and their records kept
	during.HangUp()
	<-during.Done()

	// It even starts without.
	w.node.Close()
	loaded, err := LoadConfig(filepath.Join(w.dir, "tandem.yaml"))
	w.must(err)
	w.node, err = New(loaded, slog.New(slog.NewTextHandler(shown{t}, nil)), "test")
	w.must(err)
	t.Cleanup(w.node.Close)
	if h := w.node.health(); h.State != ops.Ready || h.Revision != 1 || h.Link.Gateway != "lab" || h.Link.Backlog < 1 {
		t.Errorf("health without control is %+v, %+v", h, h.Link)
	}
	w.ready()
	last := w.talk(true)
	last.HangUp()
	<-last.Done()
	w.until(func() string {
		past, err := w.ops.Past(t.Context(), record.Filter{})
		w.must(err)
		if len(past) != 3 || slices.ContainsFunc(past, func(c record.Call) bool { return c.Ended == nil }) {
			return "a record is open"
		}
		return ""
	})

	// What was published meanwhile, and what was carried, find their ways.
	u.start()
	next := *s
	next.Emergency = []string{"112"}
	u.publish(2, &next)
	u.edge("has revision 2", func(e link.EdgeStatus) bool { return e.Revision == 2 })
	calls := u.collect()
	past, err := w.ops.Past(t.Context(), record.Filter{})
	w.must(err)
	w.until(func() string {
		if h := w.node.health(); h.Link.Backlog > 0 {
			return "records wait in the spool"
		}
		up := calls()
		for _, want := range past {
			if d := cmp.Diff(want, up[want.ID]); d != "" {
				return "control has not got a call as its node has it:\n" + d
			}
		}
		return ""
	})
	if up := calls(); len(up) != 3 {
		t.Errorf("%d calls came up", len(up))
	}
}

func TestAnEdgeWithoutSnapshotWaitsForControl(t *testing.T) {
	var u *upper
	var s *snapshot.Snapshot
	dir := t.TempDir()
	ca, err := authority.New("Test")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, text: worldConfig, ca: ca}
	w.renew()
	w.write()
	managed(&u, &s)(w)
	u.stop()
	loaded, err := LoadConfig(filepath.Join(dir, "tandem.yaml"))
	w.must(err)
	n := start(t, loaded)
	t.Cleanup(n.Close)
	h, err := ops.Dial(loaded.Node.Socket()).Health(t.Context())
	if err != nil || h.State != ops.Waiting || h.Why == "" || h.Revision != 0 {
		t.Errorf("health is %+v: %v", h, err)
	}
	u.start() // has published before
	until(t, func() string {
		if h := n.health(); h.State != ops.Ready {
			return h.Why
		}
		return ""
	})
}

func TestAnEdgesFileLeavesToControlWhatIsControls(t *testing.T) {
	dir := room(t)
	text := strings.Replace(good, "gateway:\n", "link: {urls: [\"tls://c1.example:4222\", \"nats://c2\"], ca: gone.pem}\ngateway:\n", 1)
	_, problems := Check(write(t, dir, "tandem.yaml", text))
	for _, want := range []string{
		"gateway: comes from the control nodes", "services: comes from", "link.urls[1]: \"nats://c2\": write tls://host:port",
		"link.ca: cannot be read", "link.certificate: missing",
	} {
		if !strings.Contains(problems.Error(), want) {
			t.Errorf("not told: %s", want)
		}
	}
	if t.Failed() {
		t.Log("\n" + problems.Error())
	}
}

// A node that is control node and edge talks to itself, without the network.
func TestANodeOfBothRolesIsItsOwnEdge(t *testing.T) {
	ca, err := authority.New("Test")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: t.TempDir(), text: worldConfig, ca: ca}
	w.renew()
	w.write()
	before, err := LoadConfig(filepath.Join(w.dir, "tandem.yaml"))
	w.must(err)
	s, err := before.Snapshot(1)
	w.must(err)
	cert, err := w.ca.Issue(authority.Terms{}, "api.lab.example")
	w.must(err)
	_, err = w.ca.Write(w.dir, "api", cert)
	w.must(err)
	write(t, w.dir, "secret", "a long enough secret\n")
	own, _, _ := strings.Cut(w.text, "gateway:\n")
	_, above, _ := strings.Cut(goodControl, "control:\n")
	w.text = own + "control:\n" + strings.NewReplacer("127.0.0.1:8443", "127.78.9.3:8443", "127.0.0.1:5300", "127.78.9.3:5300", "name: westeurope", "name: r1").Replace(above)
	w.write()
	loaded, err := LoadConfig(filepath.Join(w.dir, "tandem.yaml"))
	w.must(err)
	n := start(t, loaded)
	t.Cleanup(n.Close)
	if h := n.health(); h.State != ops.Waiting {
		t.Errorf("health is %+v", h)
	}
	control := n.plane.Load().link
	w.must(control.Publish(t.Context(), link.Publication{Gateway: "lab", Revision: 1, Nodes: []string{"r1-a"}, Snapshot: s}))
	until(t, func() string {
		h := n.health()
		e, _ := control.Edge("r1-a")
		if h.State != ops.Ready || e.State != link.Ready || !e.Live {
			return "its own edge is not ready: " + h.Why
		}
		return ""
	})
	var checks []link.ListenerCheck
	w.must(control.Ask(t.Context(), "r1-a", link.AskListeners, nil, &checks))
	if len(checks) != 2 || checks[0].Error+checks[1].Error != "" {
		t.Errorf("its listeners: %+v", checks)
	}
}
