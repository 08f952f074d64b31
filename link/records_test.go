package link

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tandemgw/tandem/link/record"
)

// heap stands in for the spool: numbered entries that are owed.
type heap struct {
	mu    sync.Mutex
	owed  []record.Owed // mu: ascending
	fresh chan struct{}
}

func newHeap() *heap { return &heap{fresh: make(chan struct{}, 1)} }

// add owes calls of a node, a number each.
func (h *heap) add(node string, from, to int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := from; i < to; i++ {
		c := record.Call{ID: fmt.Sprintf("%s-%06d", node, i), Node: node, From: "+442079460001", To: "+14255550101", Began: time.Unix(int64(i), 0).UTC()}
		c.Caller.Address, c.Callee.Address = "10.0.0.1:5061", "52.114.0.1:5061"
		text, err := json.Marshal(c)
		if err != nil {
			panic(err)
		}
		h.owed = append(h.owed, record.Owed{Number: uint64(i + 1), Stage: record.Finished, JSON: text})
	}
	poke(h.fresh)
}

func (h *heap) Owed(_ context.Context, after uint64, limit int) ([]record.Owed, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i, _ := slices.BinarySearchFunc(h.owed, after+1, func(o record.Owed, n uint64) int { return cmp.Compare(o.Number, n) })
	return slices.Clone(h.owed[i:min(i+limit, len(h.owed))]), nil
}

func (h *heap) Arrived(list []record.Owed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.owed = slices.DeleteFunc(h.owed, func(o record.Owed) bool {
		_, found := slices.BinarySearchFunc(list, o.Number, func(a record.Owed, n uint64) int { return cmp.Compare(a.Number, n) })
		return found
	})
}

func (h *heap) Owing() <-chan struct{} { return h.fresh }

func (h *heap) left() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.owed)
}

// kept is what control has kept, by ID, with how often.
type kept struct {
	mu    sync.Mutex
	calls map[string]int
	fail  int // this many times first
}

func (k *kept) keep(_ context.Context, entries []record.Entry) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail > 0 {
		k.fail--
		return errors.New("the disk is full")
	}
	for _, e := range entries {
		k.calls[e.Call.ID]++
	}
	return nil
}

func (k *kept) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.calls)
}

// keeping runs Records until the test ends.
func keeping(t testing.TB, c *Control, fail int) *kept {
	k := &kept{calls: map[string]int{}, fail: fail}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Records(ctx, k.keep)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return k
}

// uploading runs Upload until the test ends.
func uploading(t testing.TB, e *Edge, s Spool) {
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		e.Upload(ctx, s)
	}()
	t.Cleanup(func() { cancel(); <-done })
}

func TestRecordsGoUpAndWaitWhereTheyMust(t *testing.T) {
	c, e := pair(t)
	h := newHeap()
	h.add("r1-a", 0, 5000)
	uploading(t, e, h)
	until(t, "the stream has them", func() bool { return h.left() == 0 })
	if n := e.Counters().Uploaded; n != 5000 {
		t.Errorf("%d are counted", n)
	}
	k := keeping(t, c, 3) // what cannot be kept comes again
	until(t, "they are kept", func() bool { return k.count() == 5000 })
	h.add("r1-a", 5000, 5010)
	until(t, "later ones are, too", func() bool { return k.count() == 5010 })
	info, err := c.conn.js.Stream(t.Context(), recordStream)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "nothing is left in the stream", func() bool { s, err := info.Info(t.Context()); return err == nil && s.State.Msgs == 0 })
}

func TestAFullStreamLeavesRecordsInTheSpool(t *testing.T) {
	s := serve(t, ServerConfig{})
	c := upperEnd(t, connect(t, s, "c1", true), 64<<10)
	e := theEdge(t, "r1-a", t.TempDir())
	e.Start(connect(t, s, "r1-a", false))
	h := newHeap()
	h.add("r1-a", 0, 20_000)
	uploading(t, e, h)
	info, err := c.conn.js.Stream(t.Context(), recordStream)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the stream is full", func() bool {
		s, err := info.Info(t.Context())
		return err == nil && s.State.Bytes > 50<<10
	})
	if n := h.left(); n < 10_000 {
		t.Fatalf("only %d wait in the spool", n)
	}
	k := keeping(t, c, 0)
	until(t, "all are kept", func() bool { return k.count() == 20_000 && h.left() == 0 })
}

func TestRecordsThatCannotBeReadAreNotKept(t *testing.T) {
	c, e := pair(t)
	good, _, err := packEntries([]record.Owed{{Number: 1, JSON: []byte(`{"id":"x","node":"r1-a"}`)}})
	if err != nil {
		t.Fatal(err)
	}
	for name, list := range map[string][]record.Owed{
		"of another node":          {{JSON: []byte(`{"id":"x","node":"r2-a"}`)}},
		"without ID":               {{JSON: []byte(`{"node":"r1-a"}`)}},
		"of a stage there is none": {{Stage: 3, JSON: []byte(`{"id":"x","node":"r1-a"}`)}},
		"no call":                  {{JSON: []byte(`"text"`)}},
	} {
		packed, _, err := packEntries(list)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := unpackEntries("r1-a", packed); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
		if _, err := e.conn.Load().js.Publish(t.Context(), recordSubject+"r1-a", packed); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range [][]byte{nil, []byte("text"), good[:len(good)/2]} {
		if _, err := e.conn.Load().js.Publish(t.Context(), recordSubject+"r1-a", text); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.conn.Load().js.Publish(t.Context(), recordSubject+"r1-a", good); err != nil {
		t.Fatal(err)
	}
	k := keeping(t, c, 0)
	until(t, "the good one is kept", func() bool { return k.count() == 1 })
}

func FuzzUnpackEntries(f *testing.F) {
	good, _, err := packEntries([]record.Owed{{Number: 1, Stage: 2, JSON: []byte(`{"id":"x","node":"n"}`)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{0x1f, 0x8b})
	f.Fuzz(func(t *testing.T, packed []byte) {
		entries, err := unpackEntries("n", packed)
		for _, e := range entries {
			if err == nil && (e.Call.Node != "n" || e.Call.ID == "") {
				t.Errorf("%+v is taken", e)
			}
		}
	})
}

// An edge may speak for itself, and read what is for itself, and nothing else.
func TestAnEdgeMayDoNothingForAnother(t *testing.T) {
	ca := newAuthority(t)
	s := serve(t, ServerConfig{Listen: netip.MustParseAddrPort("127.0.0.1:0"), TLS: ca.node(t, "c1")})
	c := theControl(t, connect(t, s, "c1", true))
	publish(t, c, 1, sample(t, "lab", 10), "r1-a", "r1-b")
	for name, conn := range map[string]*Conn{
		"over TLS":   dialTo(t, s, "r1-a", ca.node(t, "r1-a")),
		"in-process": connect(t, s, "r1-a", false),
	} {
		t.Run(name, func(t *testing.T) {
			until(t, "the link stands", conn.Connected)
			denied := make(chan error, 16)
			conn.nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err })
			may := func(what string, want bool, f func() error) {
				t.Helper()
				err := f()
				_ = conn.nc.Flush()
				select {
				case err = <-denied:
				case <-time.After(50 * time.Millisecond):
				}
				if (err == nil) != want {
					t.Errorf("%s: %v", what, err)
				}
			}
			get := func(subject string) func() error {
				return func() error {
					_, err := conn.nc.Request(subject, nil, 100*time.Millisecond)
					return err
				}
			}
			put := func(subject string) func() error { return func() error { return conn.nc.Publish(subject, nil) } }
			hear := func(subject string) func() error {
				return func() error { _, err := conn.nc.SubscribeSync(subject); return err }
			}
			direct := "$JS.API.DIRECT.GET." + snapshotStream + "." + snapshotSubject
			may("its own assignment", true, get(direct+"r1-a.assigned"))
			may("another's assignment", false, get(direct+"r1-b.assigned"))
			may("any assignment", false, get(direct+"*.assigned"))
			may("by number", false, get("$JS.API.DIRECT.GET."+snapshotStream))
			may("through the API", false, get("$JS.API.STREAM.MSG.GET."+snapshotStream))
			may("the list of streams", false, get("$JS.API.STREAM.LIST"))
			may("deleting a stream", false, get("$JS.API.STREAM.DELETE."+recordStream))
			may("a consumer", false, get("$JS.API.CONSUMER.CREATE."+recordStream))
			may("its status", true, put(statusSubject+"r1-a"))
			may("another's status", false, put(statusSubject+"r1-b"))
			may("its records", true, put(recordSubject+"r1-a"))
			may("another's records", false, put(recordSubject+"r1-b"))
			may("an assignment", false, put(snapshotSubject+"r1-a.assigned"))
			may("a question", false, put(askSubject+"r1-b.calls"))
			may("an answer to nobody", false, put(inbox("c1")+".x"))
			may("hearing its questions", true, hear(askSubject+"r1-a.*"))
			may("hearing another's questions", false, hear(askSubject+"r1-b.*"))
			may("hearing records", false, hear(recordSubject+"*"))
			may("hearing another's answers", false, hear(inbox("r1-b")+".>"))
			may("hearing everything", false, hear(">"))
		})
	}
}

// Three servers, of which one may go at any time.
func TestThreeControlNodesCarryOnWithoutOne(t *testing.T) {
	if testing.Short() {
		t.Skip("the cluster is left out by -short")
	}
	ca := newAuthority(t)
	nodes := map[string]string{"c1": "127.79.6.1:6222", "c2": "127.79.6.2:6222", "c3": "127.79.6.3:6222"}
	servers := map[string]*Server{}
	for node, at := range nodes {
		routes := netip.MustParseAddrPort(at)
		servers[node] = serve(t, ServerConfig{
			Node: node, Listen: netip.AddrPortFrom(routes.Addr(), 4222), TLS: ca.node(t, node),
			Cluster: &Cluster{Name: "lab", Listen: routes, Nodes: nodes},
		})
	}
	control := map[string]*Control{}
	for node, s := range servers {
		control[node] = theControl(t, connect(t, s, node, true))
	}
	var urls []string
	for _, s := range servers {
		urls = append(urls, "tls://"+s.Addr().String())
	}
	conn, err := Dial(DialConfig{Node: "r1-a", URLs: urls, TLS: ca.node(t, "r1-a"), Log: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	e := theEdge(t, "r1-a", t.TempDir())
	e.Report(EdgeStatus{Node: "r1-a", State: Ready})
	e.Start(conn)
	h := newHeap()
	h.add("r1-a", 0, 2000)
	uploading(t, e, h)
	publish(t, control["c1"], 1, sample(t, "lab", 20_000), "r1-a")
	if a := next(t, e); a.Revision != 1 {
		t.Fatalf("revision %d came", a.Revision)
	}
	kept2, kept3 := keeping(t, control["c2"], 0), keeping(t, control["c3"], 0)
	until(t, "the records are kept", func() bool { return kept2.count()+kept3.count() >= 2000 })
	until(t, "all see the edge", func() bool {
		return !slices.ContainsFunc([]string{"c1", "c2", "c3"}, func(n string) bool { s, _ := control[n].Edge("r1-a"); return !s.Live })
	})

	servers["c1"].Close() // with whatever it led
	h.add("r1-a", 2000, 4000)
	until(t, "another publishes", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return control["c2"].Publish(ctx, Publication{Gateway: "lab", Revision: 2, Nodes: []string{"r1-a"}, Snapshot: sample(t, "lab", 30_000)}) == nil
	})
	if a := next(t, e); a.Revision != 2 || a.Snapshot.Numbers.Len() != 30_000 {
		t.Fatalf("revision %d came", a.Revision)
	}
	until(t, "all records are kept", func() bool {
		all := map[string]bool{}
		for _, k := range []*kept{kept2, kept3} {
			k.mu.Lock()
			for id := range k.calls {
				all[id] = true
			}
			k.mu.Unlock()
		}
		return len(all) == 4000 && h.left() == 0
	})
	until(t, "c3 hears what c2 has published", func() bool { return control["c3"].Newest() == 2 })
}

// An edge's certificate is of the nodes' authority, and makes it no member of
// the cluster.
func TestAnEdgeCannotJoinTheCluster(t *testing.T) {
	ca := newAuthority(t)
	nodes := map[string]string{"c1": "127.79.6.4:6222", "c2": "127.79.6.5:6222", "c3": "127.79.6.6:6222"}
	own := netip.MustParseAddrPort(nodes["c1"])
	listen := func(last byte) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 79, 6, last}), 4222)
	}
	serve(t, ServerConfig{Node: "c1", Listen: listen(4), TLS: ca.node(t, "c1"), Cluster: &Cluster{Name: "lab", Listen: own, Nodes: nodes}})
	intruder := serve(t, ServerConfig{
		Node: "c2", Listen: listen(5), TLS: ca.node(t, "r1-a"),
		Cluster: &Cluster{Name: "lab", Listen: netip.MustParseAddrPort(nodes["c2"]), Nodes: nodes},
	})
	for end := time.Now().Add(time.Second); time.Now().Before(end); <-time.After(50 * time.Millisecond) {
		if n := intruder.nats.NumRoutes(); n > 0 {
			t.Fatalf("it has %d routes", n)
		}
	}
}
