package link

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/link/snapshot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quiet is a log that only a failed test shows.
func quiet(t testing.TB) *slog.Logger {
	var buf lockedBuffer
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("\n" + buf.String())
		}
	})
	return slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serve starts a server that ends with the test.
func serve(t testing.TB, c ServerConfig) *Server {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	if c.Node == "" {
		c.Node = "c1"
	}
	c.Log = quiet(t)
	s, err := Serve(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func connect(t testing.TB, s *Server, node string, control bool) *Conn {
	t.Helper()
	conn, err := s.Conn(DialConfig{Node: node, Control: control, Log: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func upperEnd(t testing.TB, conn *Conn, room int64) *Control {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := newControl(ctx, conn, room)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func theControl(t testing.TB, conn *Conn) *Control {
	t.Helper()
	return upperEnd(t, conn, recordRoom)
}

func theEdge(t testing.TB, node, dir string) *Edge {
	t.Helper()
	e := NewEdge(EdgeConfig{Node: node, Dir: dir, Log: quiet(t)})
	t.Cleanup(e.Close)
	return e
}

// next is the next assignment.
func next(t testing.TB, e *Edge) Assignment {
	t.Helper()
	select {
	case a := <-e.Assignments():
		return a
	case <-time.After(2 * time.Minute): // ten million numbers take half of it
		t.Fatal("no assignment has come")
		return Assignment{}
	}
}

// none sees that nothing comes for as long as the edge takes to look.
func none(t testing.TB, e *Edge) {
	t.Helper()
	if err := e.fetch(e.conn.Load(), 0); err != nil {
		t.Error(err)
	}
	select {
	case a := <-e.Assignments():
		t.Errorf("revision %d was assigned", a.Revision)
	default:
	}
}

// until waits for a condition on what control sees.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); {
		if time.Now().After(end) {
			t.Fatalf("in vain waited until %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// sample is a snapshot with some scattered numbers.
func sample(t testing.TB, gateway string, numbers int) *snapshot.Snapshot {
	t.Helper()
	var b snapshot.NumbersBuilder
	for i := range numbers {
		x := snapshot.Number{E164: fmt.Sprintf("+49%09d", 100_000_000+i*7919%899_999_999), Service: snapshot.OperatorConnect, Account: fmt.Sprintf("a%d", i%1000)}
		if err := b.Add(x); err != nil {
			t.Fatal(err)
		}
	}
	index, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return &snapshot.Snapshot{Gateway: gateway, Numbers: index, Regions: []snapshot.Region{{Name: "westeurope", Domain: "r1.example"}}}
}

func publish(t testing.TB, c *Control, revision uint64, s *snapshot.Snapshot, nodes ...string) {
	t.Helper()
	if err := c.Publish(t.Context(), Publication{Gateway: s.Gateway, Revision: revision, Nodes: nodes, Snapshot: s}); err != nil {
		t.Fatal(err)
	}
}

// pair is a control node and an edge beside it.
func pair(t testing.TB) (*Control, *Edge) {
	s := serve(t, ServerConfig{})
	c := theControl(t, connect(t, s, "c1", true))
	e := theEdge(t, "r1-a", t.TempDir())
	e.Start(connect(t, s, "r1-a", false))
	return c, e
}

func TestAnEdgeGetsItsSnapshotWholeAndStartsWithItWhenControlIsAway(t *testing.T) {
	c, e := pair(t)
	s := sample(t, "lab", 100_000) // some pieces
	publish(t, c, 7, s, "r1-a")
	a := next(t, e)
	if a.Revision != 7 || a.Gateway != "lab" || a.order.Pieces < 2 {
		t.Fatalf("assigned is %+v", a.order)
	}
	if !a.Snapshot.Numbers.Equal(s.Numbers) || a.Snapshot.Revision != 7 || a.Snapshot.Regions[0].Domain != "r1.example" {
		t.Error("what came is not what was published")
	}
	if err := e.Applied(a); err != nil {
		t.Fatal(err)
	}
	again := NewEdge(EdgeConfig{Node: "r1-a", Dir: e.dir, Log: quiet(t)}) // nobody answers it
	if got := again.Copy(); got.Revision != 7 || got.Snapshot == nil || !got.Snapshot.Numbers.Equal(s.Numbers) {
		t.Errorf("the copy is of revision %d", got.Revision)
	}
	again.Close()
}

func TestAnOlderRevisionIsNeverPublishedNorApplied(t *testing.T) {
	c, e := pair(t)
	publish(t, c, 5, sample(t, "lab", 10), "r1-a")
	if a := next(t, e); a.Revision != 5 {
		t.Fatalf("revision %d came", a.Revision)
	}
	err := c.Publish(t.Context(), Publication{Gateway: "lab", Revision: 4, Nodes: []string{"r1-a"}, Snapshot: sample(t, "lab", 10)})
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Conflict {
		t.Errorf("publishing revision 4 after 5: %v", err)
	}
	// The same again is nothing new; another snapshot with its number is a mistake.
	publish(t, c, 5, sample(t, "lab", 10), "r1-a")
	none(t, e)
	err = c.Publish(t.Context(), Publication{Gateway: "lab", Revision: 5, Nodes: []string{"r1-a"}, Snapshot: sample(t, "lab", 11)})
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Conflict {
		t.Errorf("publishing another revision 5: %v", err)
	}
	// A link that has lost its data and knows no better.
	o, packed, err := pack(&snapshot.Snapshot{Revision: 3, Gateway: "lab"})
	if err != nil {
		t.Fatal(err)
	}
	forge(t, c, "r1-a", o, packed)
	none(t, e)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.status.Refused != 3 || e.status.Error == "" {
		t.Errorf("the edge says of the old revision: %+v", e.status)
	}
}

// forge puts an order into the stream as Publish would not.
func forge(t testing.TB, c *Control, node string, o order, packed []byte) {
	t.Helper()
	if packed != nil {
		if err := c.putPieces(t.Context(), node, o, packed); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.conn.js.Publish(t.Context(), snapshotSubject+token(node)+".assigned", text); err != nil {
		t.Fatal(err)
	}
	if err := c.conn.nc.Publish(toldSubject+token(node), strconv.AppendUint(nil, o.Revision, 10)); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedSnapshotIsNeverApplied(t *testing.T) {
	good, packed, err := pack(sample(t, "lab", 1000))
	if err != nil {
		t.Fatal(err)
	}
	good.Revision = 0 // as packed
	flipped := slices.Clone(packed)
	flipped[len(flipped)/2] ^= 1
	other, otherPacked, err := pack(&snapshot.Snapshot{Gateway: "another", Revision: 9})
	if err != nil {
		t.Fatal(err)
	}
	other.Gateway = "lab"
	late := good
	late.Revision = 9
	bomb := order{Revision: 9, Digest: "x", Size: maxPacked + 1, Pieces: 1}
	tests := []struct {
		name   string
		order  order
		packed []byte
	}{
		{"a bit is wrong", order{Gateway: "lab", Revision: 9, Digest: late.Digest, Size: late.Size, Pieces: late.Pieces}, flipped},
		{"it is of another revision", late, packed},
		{"it is another gateway's", other, otherPacked},
		{"it is too large", bomb, nil},
		{"it has more pieces than it can", order{Revision: 9, Digest: "x", Size: 10, Pieces: 1 << 40}, nil},
		{"it is no snapshot", order{Revision: 9, Digest: digest([]byte("text")), Size: 4, Pieces: 1}, []byte("text")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, e := pair(t)
			e.Report(EdgeStatus{Node: "r1-a"})
			publish(t, c, 8, sample(t, "lab", 10), "r1-a")
			if a := next(t, e); a.Revision != 8 {
				t.Fatalf("revision %d came", a.Revision)
			}
			forge(t, c, "r1-a", tt.order, tt.packed)
			until(t, "the edge reports that it refuses it", func() bool {
				s, _ := c.Edge("r1-a")
				return s.Refused == 9 && s.Error != ""
			})
			select {
			case a := <-e.Assignments():
				t.Errorf("revision %d was assigned", a.Revision)
			default:
			}
			// A good one repairs it.
			publish(t, c, 10, sample(t, "lab", 20), "r1-a")
			if a := next(t, e); a.Revision != 10 {
				t.Errorf("revision %d came", a.Revision)
			}
		})
	}
}

func TestADamagedCopyOnDiskIsNotUsed(t *testing.T) {
	o, packed, err := pack(sample(t, "lab", 100))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := writeCopy(dir, o, packed); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, copyName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(whole); i += 1 + len(whole)/200 {
		for _, damaged := range [][]byte{whole[:i], slices.Concat(whole[:i], []byte{whole[i] ^ 0x20}, whole[i+1:])} {
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			if a, err := readCopy(dir); err == nil && a.Snapshot != nil && (a.Snapshot.Revision != o.Revision || a.Snapshot.Numbers.Len() != 100) {
				t.Fatalf("with byte %d damaged, revision %d is taken", i, a.Revision)
			} else if err == nil && a.Snapshot == nil && len(damaged) > 0 && len(damaged) == len(whole) && a.Revision == o.Revision && a.order.Digest == o.Digest {
				t.Fatalf("with byte %d damaged, the snapshot is withdrawn", i)
			}
		}
	}
}

func TestAWithdrawalReachesTheEdgeAndItsDisk(t *testing.T) {
	c, e := pair(t)
	publish(t, c, 1, sample(t, "lab", 10), "r1-a")
	if err := e.Applied(next(t, e)); err != nil {
		t.Fatal(err)
	}
	if err := c.Withdraw(t.Context(), 2, "r1-a"); err != nil {
		t.Fatal(err)
	}
	a := next(t, e)
	if a.Snapshot != nil || a.Revision != 2 {
		t.Fatalf("assigned is %+v", a)
	}
	if err := e.Applied(a); err != nil {
		t.Fatal(err)
	}
	again := theEdge(t, "r1-a", e.dir)
	if got := again.Copy(); got.Snapshot != nil || got.Revision != 2 {
		t.Errorf("the copy is %+v", got)
	}
	if info, err := c.snapshots.Info(t.Context()); err != nil || info.State.Msgs != 1 {
		t.Errorf("the stream keeps %d messages of what was withdrawn", info.State.Msgs)
	}
}

func TestControlSeesHowItsEdgesStand(t *testing.T) {
	s := serve(t, ServerConfig{})
	c := theControl(t, connect(t, s, "c1", true))
	e := theEdge(t, "r1.a", t.TempDir()) // a dot is no token of a subject
	e.Start(connect(t, s, "r1.a", false))
	want := EdgeStatus{
		Node: "r1.a", Region: "westeurope", State: Ready, Gateway: "lab", Revision: 3, Calls: 12,
		Listeners: []Listener{{Name: "cloud", Side: "cloud", Transport: "tls", Address: "127.0.0.1:5061", Certificate: &Certificate{Name: "sip.listeners[cloud]", Bears: []string{"r1.example"}}}},
		Requests:  []SigningRequest{{Name: "sip.listeners[cloud]", Names: []string{"r1.example"}, CSR: "…"}},
	}
	e.Report(want)
	until(t, "the edge is alive and has 12 calls", func() bool {
		got, _ := c.Edge("r1.a")
		return got.Live && got.Calls == 12
	})
	got, _ := c.Edge("r1.a")
	got.Seen, got.Live = time.Time{}, false
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	select {
	case <-c.Changed():
	default:
		t.Error("nothing told of the change")
	}
	// Another control node knows it, too, and when it went.
	other := theControl(t, connect(t, s, "c2", true))
	if got := other.Edges(); len(got) != 1 || got[0].Revision != 3 || other.Newest() != 3 {
		t.Errorf("another control node sees %+v", got)
	}
	e.Close()
	until(t, "the edge is gone", func() bool { got, _ := c.Edge("r1.a"); return !got.Live })
	if err := c.Forget(t.Context(), "r1.a"); err != nil {
		t.Fatal(err)
	}
	until(t, "it is forgotten everywhere", func() bool { return len(c.Edges()) == 0 && len(other.Edges()) == 0 })
}

func TestAnEdgeThatFallsSilentCountsAsAwayAfterThreeSignsOfLife(t *testing.T) {
	seen := time.Now()
	c := &Control{edges: map[string]EdgeStatus{"a": {Live: true, Seen: seen}}, changed: make(chan struct{}, 1)}
	c.miss(seen.Add(3 * heartbeat))
	if !c.edges["a"].Live {
		t.Error("it counts as away too early")
	}
	c.miss(seen.Add(patience + time.Millisecond))
	if c.edges["a"].Live || len(c.changed) != 1 {
		t.Error("it does not count as away")
	}
}

func TestQuestionsReachALiveEdgeAndItsErrorsCome(t *testing.T) {
	s := serve(t, ServerConfig{})
	c := theControl(t, connect(t, s, "c1", true))
	e := theEdge(t, "r1-a", t.TempDir())
	long := make([]string, 200_000) // 3 MB: several messages
	for i := range long {
		long[i] = fmt.Sprintf("call %8d", i)
	}
	e.Answer("long", func(context.Context, json.RawMessage) (any, error) { return long, nil })
	e.Answer("echo", func(_ context.Context, in json.RawMessage) (any, error) { return in, nil })
	e.Answer("fault", func(context.Context, json.RawMessage) (any, error) {
		return nil, fault.New(fault.NotFound, "there is\r\nno such call")
	})
	e.Answer("secret", func(context.Context, json.RawMessage) (any, error) { return nil, errors.New("a password") })
	e.Answer("panic", func(context.Context, json.RawMessage) (any, error) { panic("ouch") })
	e.Start(connect(t, s, "r1-a", false))
	until(t, "it answers", func() bool { return c.Ask(t.Context(), "r1-a", "echo", nil, nil) == nil })
	var got []string
	if err := c.Ask(t.Context(), "r1-a", "long", nil, &got); err != nil || !slices.Equal(got, long) {
		t.Errorf("of %d strings %d came: %v", len(long), len(got), err)
	}
	var text string
	if err := c.Ask(t.Context(), "r1-a", "echo", "é", &text); err != nil || text != "é" {
		t.Errorf("echo is %q: %v", text, err)
	}
	tests := []struct {
		node, question string
		kind           fault.Kind
		public         string
	}{
		{"r1-a", "fault", fault.NotFound, "there is no such call"},
		{"r1-a", "secret", fault.Internal, "the edge could not answer: its log says why"},
		{"r1-a", "panic", fault.Internal, "the edge could not answer: its log says why"},
		{"r1-a", "unknown", fault.NotFound, "this edge does not know that question: it is of another version"},
		{"r9-z", "echo", fault.Unavailable, "no edge r9-z has ever connected: see that it runs with this name and that its link.urls lead here"},
	}
	for _, tt := range tests {
		err := c.Ask(t.Context(), tt.node, tt.question, nil, nil)
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Kind != tt.kind || f.Public != tt.public {
			t.Errorf("%s of %s: %v", tt.question, tt.node, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Ask(ctx, "r1-a", "echo", nil, nil); err == nil {
		t.Error("a question that nobody waits for was answered")
	}
}

// authority signs the certificates of a test.
type authority struct {
	pool *x509.CertPool
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, pool: x509.NewCertPool()}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nodes"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

// node is the configuration of a node with a certificate of its name.
func (a *authority) node(t testing.TB, name string) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name, "localhost"},
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{{127, 0, 0, 1}, {127, 79, 6, 1}, {127, 79, 6, 2}, {127, 79, 6, 3}, {127, 79, 6, 4}, {127, 79, 6, 5}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		RootCAs:      a.pool, ClientCAs: a.pool,
	}
}

func dialTo(t testing.TB, s *Server, node string, c *tls.Config) *Conn {
	t.Helper()
	conn, err := Dial(DialConfig{Node: node, URLs: []string{"tls://" + s.Addr().String()}, TLS: c, Log: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func TestNodesAreKnownByTheirCertificates(t *testing.T) {
	ca := newAuthority(t)
	s := serve(t, ServerConfig{Listen: netip.MustParseAddrPort("127.0.0.1:0"), TLS: ca.node(t, "c1")})
	c := theControl(t, connect(t, s, "c1", true))
	e := theEdge(t, "r1-a", t.TempDir())
	e.Start(dialTo(t, s, "r1-a", ca.node(t, "r1-a")))
	publish(t, c, 1, sample(t, "lab", 10), "r1-a")
	if a := next(t, e); a.Revision != 1 {
		t.Errorf("revision %d came", a.Revision)
	}
	for name, conn := range map[string]*Conn{
		"a name that the certificate does not bear": dialTo(t, s, "r1-b", ca.node(t, "r1-a")),
		"a certificate of a stranger":               dialTo(t, s, "r1-a", newAuthority(t).node(t, "r1-a")),
		"the word control":                          dialTo(t, s, "edge:c1", ca.node(t, "r1-a")),
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if conn.Await(ctx) == nil {
			t.Errorf("%s is let in", name)
		}
		cancel()
	}
}

func TestEdgesComeBackAfterAWhileThatGrowsAndNotAllAtOnce(t *testing.T) {
	last := time.Duration(0)
	for i := range 100 {
		d := backOff(i)
		if d < 250*time.Millisecond || d > 12*time.Second {
			t.Errorf("attempt %d waits %s", i, d)
		}
		if i == 3 && d <= last {
			t.Errorf("attempt 3 waits no longer than the first: %s", d)
		}
		if i == 0 {
			last = d
		}
	}
	all := map[time.Duration]bool{}
	for range 10 {
		all[backOff(10)] = true
	}
	if len(all) < 9 {
		t.Error("they come in the same moment")
	}
}

// Whatever stands in the file, the edge starts, with the snapshot or without.
func FuzzCopy(f *testing.F) {
	o, packed, err := pack(&snapshot.Snapshot{Gateway: "lab", Revision: 7})
	if err != nil {
		f.Fatal(err)
	}
	dir := f.TempDir()
	if err := writeCopy(dir, o, packed); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, copyName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte("{}\n"))
	f.Add([]byte("{\"revision\":1,\"digest\":\"x\",\"size\":-1}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), copyName)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := readCopy(filepath.Dir(path))
		if err != nil && a.Snapshot != nil || a.Snapshot != nil && a.Snapshot.Revision != a.Revision {
			t.Errorf("%+v is taken: %v", a.order, err)
		}
	})
}
