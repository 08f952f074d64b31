package record_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/control/record"
	"github.com/tandemgw/tandem/control/store"
	spool "github.com/tandemgw/tandem/edge/record"
	"github.com/tandemgw/tandem/link"
	entries "github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/sandbox/authority"
)

// The environment of a child: which side it is, and in which folder.
const (
	childSide = "TANDEM_WEATHER_SIDE"
	childDir  = "TANDEM_WEATHER_DIR"
	meeting   = "127.79.5.1:4222"
)

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(childSide) {
	case "":
		goleak.VerifyTestMain(m)
	case "edge":
		err = edgeSide(os.Getenv(childDir))
	case "control":
		err = controlSide(os.Getenv(childDir))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// nodeTLS is that of a node in a folder of certificates.
func nodeTLS(dir, node string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, node+".pem"), filepath.Join(dir, node+".key"))
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, "root.pem"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool}, nil
}

// ordered is done when standard input ends.
func ordered() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx
}

// controlSide keeps what comes up until it is told to end, or killed.
func controlSide(dir string) error {
	ctx, log := ordered(), slog.New(slog.DiscardHandler)
	own, err := nodeTLS(dir, "c1")
	if err != nil {
		return err
	}
	st, err := store.Open(ctx, store.Config{URL: "sqlite:" + filepath.Join(dir, "control.db"), Log: log})
	if err != nil {
		return err
	}
	defer st.Close()
	server, err := link.Serve(link.ServerConfig{Node: "c1", Dir: filepath.Join(dir, "link"), Listen: netip.MustParseAddrPort(meeting), TLS: own, Log: log})
	if err != nil {
		return err
	}
	defer server.Close()
	conn, err := server.Conn(link.DialConfig{Node: "c1", Control: true, Log: log})
	if err != nil {
		return err
	}
	defer conn.Close()
	control, err := link.NewControl(ctx, conn)
	if err != nil {
		return err
	}
	defer control.Close()
	calls := record.New(st)
	_ = control.Records(ctx, func(ctx context.Context, entries []entries.Entry) error {
		if err := calls.Keep(ctx, entries); err != nil {
			return err
		}
		var finished int
		err := st.Read(ctx, func(tx *store.Tx) error {
			return tx.Row(ctx, "SELECT count(*) FROM call_record WHERE stage = 2").Scan(&finished)
		})
		fmt.Println(finished)
		return err
	})
	return nil
}

// edgeSide carries calls, and prints what of their records is durable, until it
// is told to end or killed. Told to end, it waits until all has gone up.
func edgeSide(dir string) error {
	ctx, log := ordered(), slog.New(slog.DiscardHandler)
	own, err := nodeTLS(dir, "n1")
	if err != nil {
		return err
	}
	s, err := spool.Open(spool.Config{Dir: filepath.Join(dir, "spool"), Node: "n1", Upward: true, Log: log})
	if err != nil {
		return err
	}
	defer s.Close()
	conn, err := link.Dial(link.DialConfig{Node: "n1", URLs: []string{"tls://" + meeting}, TLS: own, Log: log})
	if err != nil {
		return err
	}
	edge := link.NewEdge(link.EdgeConfig{Node: "n1", Dir: filepath.Join(dir, "copy"), Log: log})
	edge.Start(conn)
	defer edge.Close()
	go edge.Upload(context.Background(), s)

	var mu sync.Mutex
	said := func(stage entries.Stage, id string) func(error) {
		return func(err error) {
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			fmt.Println(stage, id)
		}
	}
	run := time.Now().UnixNano()
	for i := range 1_000_000 {
		if ctx.Err() != nil {
			break
		}
		c := entry("n1", i, entries.Finished).Call
		c.ID = fmt.Sprintf("%d-%06d", run, i)
		ended, answered := c.Ended, c.Answered
		c.Ended, c.Answered = nil, nil
		s.Begin(c, said(entries.Begun, c.ID))
		c.Answered = answered
		s.Answer(c, said(entries.Answered, c.ID))
		c.Ended = ended
		if i%7 > 0 { // the others never end, as far as this run is concerned
			s.End(c, said(entries.Finished, c.ID))
		}
		if i%400 == 0 {
			<-time.After(100 * time.Millisecond) // in bursts, so that a kill meets messages on their way
		}
	}
	for {
		owed, err := s.Backlog(context.Background())
		if err != nil {
			return err
		}
		if c := s.Counters(); owed == 0 && c.Waiting == 0 {
			return nil
		}
		<-time.After(20 * time.Millisecond)
	}
}

// child is a process of one side.
type child struct {
	cmd  *exec.Cmd
	in   io.Closer
	done chan struct{} // all that it wrote is read
}

// launch starts a side; each line that it writes goes to f.
func launch(t *testing.T, side, dir string, f func(string)) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childSide+"="+side, childDir+"="+dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd, in, make(chan struct{})}
	go func() {
		defer close(c.done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			f(lines.Text())
		}
	}()
	return c
}

// kill is kill -9.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.done
	_ = c.cmd.Wait()
}

// end asks it to end, and waits.
func (c *child) end(t *testing.T) {
	t.Helper()
	_ = c.in.Close()
	late := time.AfterFunc(40*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	<-c.done
	if err := c.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

// Whoever is killed, whenever: what was durable on the edge is on record at
// control in the end, once, as the edge has it.
func TestNoRecordIsLostNorKeptTwiceInAnyWeather(t *testing.T) {
	if testing.Short() {
		t.Skip("the weather is left out by -short")
	}
	dir := t.TempDir()
	ca, err := authority.New("Nodes")
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"c1", "n1"} {
		cert, err := ca.Issue(authority.Terms{}, node, "127.79.5.1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ca.Write(dir, node, cert); err != nil {
			t.Fatal(err)
		}
	}
	durable := map[string]entries.Stage{}
	var mu sync.Mutex
	note := func(line string) {
		var stage entries.Stage
		var id string
		if _, err := fmt.Sscan(line, &stage, &id); err != nil {
			return // cut by the kill
		}
		mu.Lock()
		durable[id] = max(durable[id], stage)
		mu.Unlock()
	}
	edge := launch(t, "edge", dir, note) // control is away for long, at first
	<-time.After(2 * time.Second)
	var finished atomic.Int64
	kept := func(line string) {
		if n, err := strconv.ParseInt(line, 10, 64); err == nil {
			finished.Store(n)
		}
	}
	control := launch(t, "control", dir, kept)
	for range 10 {
		<-time.After(time.Duration(50+rand.N(900)) * time.Millisecond)
		switch rand.N(3) {
		case 0:
			edge.kill()
			edge = launch(t, "edge", dir, note)
		case 1:
			control.kill()
			<-time.After(time.Duration(rand.N(800)) * time.Millisecond)
			control = launch(t, "control", dir, kept)
		default:
			edge.kill()
			control.kill()
			edge = launch(t, "edge", dir, note)
			control = launch(t, "control", dir, kept)
		}
	}
	edge.kill() // so that its last calls are orphans
	edge = launch(t, "edge", dir, note)
	<-time.After(300 * time.Millisecond)
	edge.end(t)
	// The calls that the last run left open are closed by the next.
	edge = launch(t, "edge", dir, note)
	edge.end(t)
	// The last messages are with the stream: let control keep them.
	want, late := spooled(t, dir), time.After(time.Minute)
	for finished.Load() < want {
		select {
		case <-late:
			t.Errorf("control has %d finished calls after a minute, the edge %d", finished.Load(), want)
		case <-time.After(20 * time.Millisecond):
			continue
		}
		break
	}
	control.end(t)

	compare(t, dir, durable)
}

// spooled is how many calls the edge has; all have ended.
func spooled(t *testing.T, dir string) int64 {
	t.Helper()
	s, err := spool.Open(spool.Config{Dir: filepath.Join(dir, "spool"), Node: "n1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all, err := s.List(t.Context(), entries.Filter{Limit: 10_000_000})
	if err != nil {
		t.Fatal(err)
	}
	return int64(len(all))
}

// compare holds what is on record against what was durable, and against the
// spool.
func compare(t *testing.T, dir string, durable map[string]entries.Stage) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + filepath.Join(dir, "control.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	s, err := spool.Open(spool.Config{Dir: filepath.Join(dir, "spool"), Node: "n1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	everything := entries.Filter{Limit: 10_000_000}
	have := map[string]entries.Call{}
	for _, c := range list(t, record.New(st), everything) {
		if _, twice := have[c.ID]; twice {
			t.Errorf("%s is there twice", c.ID)
		}
		have[c.ID] = c
	}
	sent, err := s.List(t.Context(), everything)
	if err != nil {
		t.Fatal(err)
	}
	differences := 0
	for _, want := range sent {
		got := have[want.ID]
		delete(have, want.ID)
		if !reflect.DeepEqual(want, got) {
			if differences++; differences < 5 {
				t.Errorf("%s is on record as its node does not have it:\n%s", want.ID, cmp.Diff(want, got))
			}
		}
		delete(durable, want.ID)
	}
	for id := range have {
		t.Errorf("%s is on record, and not on its node", id)
	}
	for id, stage := range durable {
		t.Errorf("%s was durable at stage %d and is lost", id, stage)
	}
	t.Logf("%d calls, %d of them wrong", len(sent), differences)
	if len(sent) < 1000 {
		t.Errorf("only %d calls: that was no weather", len(sent))
	}
}
