package ops

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/link/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// edge plays the node behind the API.
type edge struct {
	live   []record.LiveCall
	past   []record.Call
	traces map[string]record.Trace
	peers  []record.PeerHealth
	health Health
	asked  record.Filter
	hung   []string
	err    error

	certificates []Certificate
	warnings     []Warning
}

func (e *edge) Live() []record.LiveCall { return e.live }

func (e *edge) Hangup(id string) error {
	e.hung = append(e.hung, id)
	return e.err
}

func (e *edge) List(_ context.Context, f record.Filter) ([]record.Call, error) {
	e.asked = f
	var found []record.Call
	for _, c := range e.past {
		if strings.HasPrefix(c.ID, f.ID) && len(found) < f.Limit {
			found = append(found, c)
		}
	}
	return found, e.err
}

type ring map[string]record.Trace

func (r ring) Get(id string) (record.Trace, bool) {
	t, ok := r[id]
	return t, ok
}

func (r ring) Pcap(w io.Writer, id string) (bool, error) {
	t, ok := r[id]
	for _, p := range t.Packets {
		io.WriteString(w, p.Raw)
	}
	return ok, nil
}

func (e *edge) Health() []record.PeerHealth { return e.peers }
func (e *edge) Certificates() []Certificate { return e.certificates }
func (e *edge) Warnings() []Warning         { return e.warnings }

func (e *edge) Reconnect(_ context.Context, names ...string) ([]record.Reconnection, error) {
	if slices.Contains(names, "nobody") {
		return nil, fault.New(fault.NotFound, "there is no peer nobody")
	}
	var all []record.Reconnection
	for _, p := range e.peers {
		if len(names) == 0 || slices.Contains(names, p.Peer) {
			all = append(all, record.Reconnection{Peer: p.Peer})
		}
	}
	return all, nil
}

func (e *edge) reload(_ context.Context, req ReloadRequest) (Reload, error) {
	switch {
	case req.File == "bad":
		return Reload{}, &Rejected{[]string{"one", "two"}}
	case req.DryRun:
		return Reload{File: req.File, Revision: 7, Restart: []string{"restart needed"}}, nil
	}
	return Reload{Revision: 8, Changes: []Change{{"sip.options", "1m0s", "30s"}}}, nil
}

func (e *edge) handler() http.Handler {
	return Handler(Config{
		Calls: e, Records: e, Traces: ring(e.traces), Peers: e, Reload: e.reload,
		Health: func() Health { return e.health }, Log: quiet,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "tandem_calls 1\n") }),
	})
}

func ask(h http.Handler, method, target string) (status int, body string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w.Code, w.Body.String()
}

var day = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

func call(id string, second int) record.Call {
	return record.Call{ID: id, Node: "r1-a", From: "+442079460123", To: "+442079460999", Began: day.Add(time.Duration(second) * time.Second)}
}

func world() *edge {
	return &edge{
		live:         []record.LiveCall{{Call: call("01aa", 1), State: record.Talking}, {Call: call("01ab", 2), State: record.Ringing}},
		past:         []record.Call{call("01ab", 2), call("00ff", 0), call("00fe", 0), call("01aa", 1)},
		traces:       map[string]record.Trace{"00ff": {Call: record.Call{ID: "00ff"}, Packets: []record.Packet{{Raw: "INVITE"}}}, "refused": {Missing: 3}},
		peers:        []record.PeerHealth{{Peer: "b", Side: "operator"}, {Peer: "a", Side: "operator"}, {Peer: "z", Side: "cloud"}},
		certificates: []Certificate{{Name: "sip.listeners[cloud]"}},
		warnings:     []Warning{{"a", "ends 7", "it ends"}},

		health: Health{State: Ready, Node: "r1-a", Revision: 7, Listeners: []Listener{{Name: "cloud", Transport: "tls"}}},
	}
}

// served is world behind a real socket, with its client.
func served(t *testing.T) (*edge, *Client) {
	t.Helper()
	e := world()
	socket := filepath.Join(t.TempDir(), "tandem.sock")
	s, err := Listen(socket, e.handler(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return e, Dial(socket)
}

func TestTheClientSeesWhatTheEdgeHas(t *testing.T) {
	e, c := served(t)
	ctx := t.Context()
	live, err := c.Live(ctx)
	if err != nil || len(live) != 2 || live[0].ID != "01ab" || live[0].State != record.Ringing {
		t.Errorf("live = %+v, %v", live, err)
	}
	f := record.Filter{Since: day, Until: day.Add(time.Hour), Peer: "core a&b", Number: "+442079460123", ID: "0", Failed: true, Limit: 3}
	past, err := c.Past(ctx, f)
	if err != nil || len(past) != 3 {
		t.Errorf("past = %+v, %v", past, err)
	}
	if diff := cmp.Diff(f, e.asked); diff != "" {
		t.Errorf("the filter changed on its way:\n%s", diff)
	}
	one, err := c.Call(ctx, "01ab")
	if err != nil || one.State != record.Ringing {
		t.Errorf("live before past: %+v, %v", one, err)
	}
	peers, err := c.Peers(ctx)
	if err != nil || len(peers) != 3 || peers[0].Peer != "z" || peers[1].Peer != "a" {
		t.Errorf("peers = %+v, %v", peers, err)
	}
	h, err := c.Health(ctx)
	if diff := cmp.Diff(e.health, h); diff != "" || err != nil {
		t.Error(diff, err)
	}
	e.health.State = Draining
	if h, err := c.Health(ctx); h.State != Draining || err != nil {
		t.Errorf("while draining: %+v, %v", h, err)
	}
}

func TestTheTraceBearsTheRecord(t *testing.T) {
	_, c := served(t)
	tr, err := c.Trace(t.Context(), "00ff")
	if err != nil || tr.Call.Node != "r1-a" || len(tr.Packets) != 1 {
		t.Errorf("trace = %+v, %v", tr, err)
	}
	if tr, err = c.Trace(t.Context(), "refused"); err != nil || tr.Missing != 3 {
		t.Errorf("a call without a record: %+v, %v", tr, err)
	}
	var b bytes.Buffer
	if err := c.Pcap(t.Context(), "00ff", &b); err != nil || b.String() != "INVITE" {
		t.Errorf("capture = %q, %v", b.String(), err)
	}
	for _, id := range []string{"01aa", "none"} {
		if err := c.Pcap(t.Context(), id, &b); fault.Of(err) != fault.NotFound {
			t.Errorf("capture of %s: %v", id, err)
		}
		if _, err := c.Trace(t.Context(), id); fault.Of(err) != fault.NotFound {
			t.Errorf("trace of %s: %v", id, err)
		}
	}
}

func TestTheBeginningOfAnIDWillDo(t *testing.T) {
	_, c := served(t)
	tests := []struct {
		id, want string
		kind     fault.Kind
		says     string
	}{
		{"01aa", "01aa", 0, ""},
		{"00f", "", fault.Conflict, "several calls begin with 00f: 00fe, 00ff; give more of the ID"},
		{"00ff", "00ff", 0, ""},
		{"01a", "", fault.Conflict, "01aa, 01ab"},
		{"7", "", fault.NotFound, "no call with the ID 7"},
		{"../peers", "", fault.NotFound, "../peers"},
		{strings.Repeat("x", 1000), "", fault.Invalid, "too long"},
	}
	for _, tt := range tests {
		got, err := c.Call(t.Context(), tt.id)
		if tt.want != "" {
			if err != nil || got.ID != tt.want {
				t.Errorf("%s: %+v, %v", tt.id, got, err)
			}
			continue
		}
		if fault.Of(err) != tt.kind || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", tt.id, err)
		}
	}
}

func TestAnExactIDWinsOverLongerOnes(t *testing.T) {
	e := world()
	e.past = append(e.past, call("00ff0", 0), call("00ff1", 0))
	if status, body := ask(e.handler(), "GET", "/calls/00ff"); status != 200 || !strings.Contains(body, `"id":"00ff"`) {
		t.Error(status, body)
	}
}

func TestOnlyLiveCallsAreHungUp(t *testing.T) {
	e, c := served(t)
	if id, err := c.Hangup(t.Context(), "01aa"); id != "01aa" || err != nil {
		t.Error(id, err)
	}
	if _, err := c.Hangup(t.Context(), "00ff"); fault.Of(err) != fault.Conflict || !strings.Contains(err.Error(), "over already") {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"01aa"}, e.hung); diff != "" {
		t.Error(diff)
	}
}

func TestEveryKindOfErrorSurvivesTheWayThere(t *testing.T) {
	statuses := map[int]bool{}
	for _, kind := range fault.Kinds() {
		e := world()
		e.err = &fault.Error{Kind: kind, Public: "do this", Err: errors.New("secret detail")}
		w := httptest.NewRecorder()
		e.handler().ServeHTTP(w, httptest.NewRequest("GET", "/calls?past=1", nil))
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v: the cause leaks: %s", kind, w.Body)
		}
		statuses[w.Code] = true
		got := refusal(w.Result())
		if fault.Of(got) != kind {
			t.Errorf("%v became %v", kind, fault.Of(got))
		}
		if hidden := !strings.Contains(got.Error(), "do this"); hidden != (kind == fault.Internal) {
			t.Errorf("%v says %q", kind, got)
		}
	}
	if len(statuses) != len(fault.Kinds()) || len(translation) != len(fault.Kinds()) {
		t.Errorf("%d statuses, %d translations for %d kinds", len(statuses), len(translation), len(fault.Kinds()))
	}
	e := world()
	e.err = errors.New("plain")
	if status, body := ask(e.handler(), "GET", "/calls?past=1"); status != 500 || strings.Contains(body, "plain") {
		t.Error(status, body)
	}
}

func TestWrongQuestionsAreRefusedInOneShape(t *testing.T) {
	h := world().handler()
	tests := []struct {
		method, target string
		status         int
		says           string
	}{
		{"GET", "/calls?past=1&since=yesterday", 400, "since is not a time"},
		{"GET", "/calls?past=1&limit=0", 400, "limit is not a number from 1 to"},
		{"GET", "/calls?past=1&limit=99999999", 400, "limit"},
		{"GET", "/calls?past=1&form=x", 400, "form is unknown"},
		{"GET", "/calls?past=1&peer=a&peer=b", 400, "given twice"},
		{"GET", "/calls?since=2026-11-20T00:00:00Z", 400, "since is unknown"},
		{"GET", "/nothing", 404, "no GET /nothing"},
		{"POST", "/calls", 404, "no POST /calls"},
	}
	for _, tt := range tests {
		status, body := ask(h, tt.method, tt.target)
		var f failure
		if err := json.Unmarshal([]byte(body), &f); err != nil || f.Error.Code == "" {
			t.Errorf("%s: shape: %s", tt.target, body)
		}
		if status != tt.status || !strings.Contains(f.Error.Message, tt.says) {
			t.Errorf("%s: %d %s", tt.target, status, body)
		}
	}
}

func TestEmptyListsAreListsAndMetricsAreServed(t *testing.T) {
	h := (&edge{}).handler()
	for target, want := range map[string]string{
		"/calls":        `{"calls":[]}`,
		"/calls?past=1": `{"calls":[]}`,
		"/peers":        `{"peers":[],"certificates":[],"warnings":[]}`,
		"/metrics":      "tandem_calls 1",
	} {
		if status, body := ask(h, "GET", target); status != 200 || strings.TrimSpace(body) != want {
			t.Errorf("%s: %d %s", target, status, body)
		}
	}
	if status, _ := ask(h, "GET", "/health"); status != 503 {
		t.Errorf("health of a node that is not ready: %d", status)
	}
}

func TestTheSocketIsForItsOwnerOnlyAndGoesWithTheNode(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "tandem.sock")
	s, err := Listen(socket, world().handler(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(socket); err != nil || st.Mode().Perm() != 0o600 {
		t.Error(st, err)
	}
	if _, err := Listen(socket, nil, quiet); fault.Of(err) != fault.Conflict || !strings.Contains(err.Error(), "another node serves") {
		t.Errorf("a second node: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Dial(socket).Live(t.Context())
	want := "no node is running here: " + socket + " does not exist; start one with `tandem serve -c tandem.yaml` or name another with --socket"
	if !errors.Is(err, ErrNoNode) || err.Error() != want {
		t.Errorf("error = %v", err)
	}
}

func TestASocketLeftBehindIsReplacedAndAFileIsNot(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "tandem.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := Dial(socket).Live(t.Context()); !errors.Is(err, ErrNoNode) || !strings.Contains(err.Error(), "any more") {
		t.Errorf("error = %v", err)
	}
	s, err := Listen(socket, world().handler(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	os.WriteFile(socket, []byte("precious"), 0o600)
	if _, err := Listen(socket, nil, quiet); fault.Of(err) != fault.Conflict {
		t.Errorf("error = %v", err)
	}
	if b, _ := os.ReadFile(socket); string(b) != "precious" {
		t.Error("the file was removed")
	}
}

func TestALongPathWorks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 100), strings.Repeat("e", 100))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "tandem.sock")
	s, err := Listen(socket, world().handler(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	if live, err := Dial(socket).Live(t.Context()); err != nil || len(live) != 2 {
		t.Error(live, err)
	}
	s.Close()
	if _, err := Dial(socket).Live(t.Context()); !errors.Is(err, ErrNoNode) {
		t.Error(err)
	}
}

func TestSomethingElseBehindTheSocketIsNoNode(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "hello\n")
			c.Close()
		}
	}()
	if _, err := Dial(socket).Live(t.Context()); !errors.Is(err, ErrNoNode) || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("error = %v", err)
	}
	l.Close()
	<-done
}

func TestAReloadGoesThroughTheSocketWithItsProblems(t *testing.T) {
	_, c := served(t)
	done, err := c.Reload(t.Context(), ReloadRequest{})
	if err != nil || done.Revision != 8 || len(done.Changes) != 1 || done.Changes[0].New != "30s" {
		t.Errorf("%+v, %v", done, err)
	}
	done, err = c.Reload(t.Context(), ReloadRequest{DryRun: true, File: "next"})
	if err != nil || done.File != "next" || len(done.Restart) != 1 || done.Changes == nil {
		t.Errorf("%+v, %v", done, err)
	}
	_, err = c.Reload(t.Context(), ReloadRequest{DryRun: true, File: "bad"})
	if bad, ok := errors.AsType[*Rejected](err); !ok || !slices.Equal(bad.Problems, []string{"one", "two"}) {
		t.Errorf("%v", err)
	}
	if _, err = c.Reload(t.Context(), ReloadRequest{File: "other"}); fault.Of(err) != fault.Invalid {
		t.Errorf("another file put in force: %v", err)
	}
}

func TestPeersComeWithCertificatesAndWarningsAndCanBeReconnected(t *testing.T) {
	_, c := served(t)
	list, err := c.PeerList(t.Context())
	if err != nil || len(list.Peers) != 3 || len(list.Certificates) != 1 || len(list.Warnings) != 1 || list.Warnings[0].Cause != "ends 7" {
		t.Errorf("%+v, %v", list, err)
	}
	for _, x := range []struct {
		names []string
		want  int
		kind  fault.Kind
	}{{nil, 3, 0}, {[]string{"a", "z"}, 2, 0}, {[]string{"nobody"}, 0, fault.NotFound}} {
		done, err := c.Reconnect(t.Context(), x.names...)
		if len(done) != x.want || fault.Of(err) != x.kind || (err != nil) != (x.want == 0) {
			t.Errorf("%v: %v, %v", x.names, done, err)
		}
	}
}

func TestABodyThatIsNotWhatIsWantedIsRefused(t *testing.T) {
	h := world().handler()
	for target, body := range map[string]string{"/reload": `{"fiel":"x"}`, "/peers/reconnect": `["a"]`} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("POST", target, strings.NewReader(body)))
		if w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}
