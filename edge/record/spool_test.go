package record

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/tandemgw/tandem/base/fault"
	link "github.com/tandemgw/tandem/link/record"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("TANDEM_SPOOL_CHILD"); dir != "" {
		if os.Getenv("TANDEM_SPOOL_SCORES") != "" {
			scoring(dir)
		}
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// child records calls as fast as it can and prints each ID once it has been
// acknowledged, until it is killed.
func child(dir string) {
	s, err := Open(Config{Dir: dir, Node: "n1", Log: quiet})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	places := make(chan struct{}, 64)
	for i := 0; ; i++ {
		places <- struct{}{}
		c := sample(i)
		s.Begin(c, func(err error) {
			if err == nil {
				os.Stdout.WriteString(c.ID + "\n")
			}
			<-places
		})
	}
}

var quiet = slog.New(slog.DiscardHandler)

var day = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

func sample(i int) link.Call {
	began := day.Add(time.Duration(i) * time.Second)
	return link.Call{
		ID: fmt.Sprintf("%08d", i), Node: "n1", Region: "westeurope", Service: "OperatorConnect",
		From: fmt.Sprintf("+4420794600%02d", i%100), To: "+442079460999", Began: began,
		Caller: link.Leg{Side: "cloud", Peer: "teams", Transport: "TLS", Address: "52.114.1.1:5061", CallID: fmt.Sprintf("b1-%d@teams", i)},
		Callee: link.Leg{Side: "operator", Peer: "core-a", Transport: "TLS", Address: "198.51.100.7:5061"},
	}
}

func answeredCall(c link.Call) link.Call {
	at := c.Began.Add(4 * time.Second)
	c.Answered = &at
	return c
}

func endedCall(c link.Call, by string, status int) link.Call {
	at := c.Began.Add(40 * time.Second)
	c.Ended = &at
	c.Cause = link.Cause{By: by, Status: status}
	return c
}

func openAt(t *testing.T, dir string) *Spool {
	t.Helper()
	s, err := Open(Config{Dir: dir, Node: "n1", Region: "westeurope", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// durable waits for the acknowledgement of one write.
func durable(t *testing.T, write func(link.Call, func(error)), c link.Call) {
	t.Helper()
	if err := outcome(write, c); err != nil {
		t.Fatal(err)
	}
}

func outcome(write func(link.Call, func(error)), c link.Call) error {
	done := make(chan error, 1)
	write(c, func(err error) { done <- err })
	return <-done
}

func get(t *testing.T, s *Spool, id string) link.Call {
	t.Helper()
	c, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestARecordIsReadBackAsItWasWritten(t *testing.T) {
	s := openAt(t, t.TempDir())
	want := endedCall(answeredCall(sample(1)), link.ByCaller, 0)
	want.Attempts = []link.Attempt{{Peer: "core-a", Target: "tls 198.51.100.7:5061", Why: "first of group core", At: want.Began, Status: 200}}
	durable(t, s.Begin, sample(1))
	durable(t, s.Answer, answeredCall(sample(1)))
	durable(t, s.End, want)
	if diff := cmp.Diff(want, get(t, s, want.ID)); diff != "" {
		t.Error(diff)
	}
}

func TestAnEarlierStageNeverReplacesALaterOne(t *testing.T) {
	s := openAt(t, t.TempDir())
	want := endedCall(answeredCall(sample(1)), link.ByCallee, 0)
	durable(t, s.End, want)
	durable(t, s.Answer, answeredCall(sample(1)))
	durable(t, s.Begin, sample(1))
	if diff := cmp.Diff(want, get(t, s, want.ID)); diff != "" {
		t.Error(diff)
	}
}

func TestTheCallerMayGoOnChangingTheCall(t *testing.T) {
	s := openAt(t, t.TempDir())
	c := sample(1)
	c.Attempts = []link.Attempt{{Peer: "core-a"}}
	done := make(chan error, 1)
	s.Begin(c, func(err error) { done <- err })
	c.Attempts[0].Peer = "core-b"
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := get(t, s, c.ID).Attempts[0].Peer; got != "core-a" {
		t.Errorf("peer = %q, want what it was at Begin", got)
	}
}

func TestAnUnknownCallIsNotFound(t *testing.T) {
	s := openAt(t, t.TempDir())
	if _, err := s.Get(t.Context(), "nobody"); fault.Of(err) != fault.NotFound {
		t.Errorf("error = %v, want not found", err)
	}
}

func TestListChoosesAndOrdersNewestFirst(t *testing.T) {
	s := openAt(t, t.TempDir())
	for i := range 10 {
		c := sample(i)
		if i == 3 {
			c.Callee.Peer = "core-b"
		}
		durable(t, s.Begin, c)
		status := 487
		if i%2 == 0 {
			status = 503
		}
		durable(t, s.End, endedCall(c, link.ByCallee, status))
	}
	tests := []struct {
		name   string
		filter link.Filter
		want   string
	}{
		{"everything", link.Filter{}, "9 8 7 6 5 4 3 2 1 0"},
		{"the newest three", link.Filter{Limit: 3}, "9 8 7"},
		{"since", link.Filter{Since: day.Add(8 * time.Second)}, "9 8"},
		{"until is exclusive", link.Filter{Until: day.Add(2 * time.Second)}, "1 0"},
		{"a peer as callee", link.Filter{Peer: "core-b"}, "3"},
		{"a peer as caller", link.Filter{Peer: "teams", Limit: 1}, "9"},
		{"a calling number", link.Filter{Number: "+442079460005"}, "5"},
		{"a called number", link.Filter{Number: "+442079460999", Limit: 2}, "9 8"},
		{"failed ones, not the cancelled", link.Filter{Failed: true}, "8 6 4 2 0"},
		{"the beginning of an ID", link.Filter{ID: "0000000"}, "9 8 7 6 5 4 3 2 1 0"},
		{"a whole ID", link.Filter{ID: "00000004"}, "4"},
		{"nothing", link.Filter{Peer: "core-c"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			calls, err := s.List(t.Context(), tt.filter)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range calls {
				got = append(got, strings.TrimLeft(c.ID[:7], "0")+c.ID[7:])
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %q, want %q", strings.Join(got, " "), tt.want)
			}
		})
	}
}

func TestCallsLeftOpenAreClosedAtTheNextStart(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir)
	durable(t, s.Begin, sample(1))
	late := answeredCall(sample(2))
	late.Began = time.Now().Add(time.Hour).UTC() // as after a step of the clock
	*late.Answered = late.Began.Add(time.Second)
	durable(t, s.Begin, sample(2))
	durable(t, s.Answer, late)
	durable(t, s.End, endedCall(sample(3), link.ByCaller, 487))
	before := time.Now()
	s.Close()
	closed := time.Now()

	var logged strings.Builder
	again, err := Open(Config{Dir: dir, Node: "n1", Log: slog.New(slog.NewTextHandler(&logged, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	c := get(t, again, sample(1).ID)
	if c.Ended == nil || c.Cause.By != link.ByNodeLost || !c.Failed() {
		t.Fatalf("the call is not closed: %+v", c)
	}
	if c.Ended.Before(before.Truncate(time.Microsecond)) || c.Ended.After(closed) {
		t.Errorf("ended %v, the last sign of life was between %v and %v", c.Ended, before, closed)
	}
	if c := get(t, again, late.ID); !c.Ended.Equal(*late.Answered) {
		t.Errorf("ended %v, before the answer %v", c.Ended, late.Answered)
	}
	if c := get(t, again, sample(3).ID); c.Cause.By != link.ByCaller {
		t.Errorf("a finished call was touched: %+v", c.Cause)
	}
	if failed, err := again.List(t.Context(), link.Filter{Failed: true}); len(failed) != 2 || err != nil {
		t.Errorf("%d lost calls are among the failed ones, %v", len(failed), err)
	}
	if !strings.Contains(logged.String(), "count=2") {
		t.Errorf("the number is not logged: %s", logged.String())
	}
}

func TestWhatWasAcknowledgedSurvivesKill9(t *testing.T) {
	dir := t.TempDir()
	seen := map[string]bool{}
	for round := range 3 {
		ids := killedChild(t, dir, 400+300*round)
		for _, id := range ids {
			seen[id] = true
		}
		s := openAt(t, dir)
		for id := range seen {
			if c := get(t, s, id); c.Cause.By != link.ByNodeLost {
				t.Fatalf("call %s is not closed as lost: %+v", id, c.Cause)
			}
		}
		s.Close()
	}
	if len(seen) < 1000 {
		t.Errorf("only %d calls were acknowledged: the test proves little", len(seen))
	}
}

// scored is a call that has sounded so for so many minutes.
func scored(i, minutes int) link.Call {
	c := answeredCall(sample(i))
	c.Caller.Media = link.Media{Packets: uint64(3000 * minutes), Received: true, Quality: &link.Quality{
		Since: *c.Answered, For: time.Duration(minutes) * time.Minute, From: &link.Score{MOS: 4.4, R: 93},
	}}
	return c
}

// scoring records how a call sounds, minute after minute, and prints the minutes
// that are on the disk, until it is killed.
func scoring(dir string) {
	s, err := Open(Config{Dir: dir, Node: "n1", Log: quiet})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s.Begin(sample(1), func(error) {})
	s.Answer(answeredCall(sample(1)), func(error) {})
	for minutes := 1; ; minutes++ {
		s.Progress(scored(1, minutes))
		for range time.Tick(time.Millisecond) {
			if s.Counters().Written == uint64(2+minutes) {
				break
			}
		}
		fmt.Println(minutes)
	}
}

func TestTheScoresOfALiveCallSurviveKill9(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TANDEM_SPOOL_SCORES", "yes")
	printed := killedChild(t, dir, 2)
	minutes, _ := strconv.Atoi(printed[len(printed)-1])
	c := get(t, openAt(t, dir), sample(1).ID)
	if q := c.Caller.Media.Quality; c.Cause.By != link.ByNodeLost || q == nil || q.For < time.Duration(minutes)*time.Minute {
		t.Errorf("after minute %d: %+v, %+v", minutes, c.Cause, c.Caller.Media)
	}
}

// What is told of a call meanwhile costs no commit, keeps nobody waiting, and
// never comes after its end.
func TestProgressGoesWithOthers(t *testing.T) {
	s := openAt(t, t.TempDir())
	for i := range 3 {
		durable(t, s.Begin, sample(i))
	}
	durable(t, s.Answer, answeredCall(sample(1)))
	before := s.Counters()
	for minutes := range 100 {
		s.Progress(scored(1, minutes+1))
		s.Progress(scored(2, minutes+1))
	}
	durable(t, s.End, endedCall(scored(2, 100), link.ByCaller, 0))
	after := s.Counters()
	if n := after.Commits - before.Commits; n > 2 { // the heartbeat's
		t.Errorf("%d commits", n)
	}
	if n := after.Written - before.Written; n > 4 {
		t.Errorf("%d entries for two calls", n)
	}
	if q := get(t, s, sample(1).ID).Caller.Media.Quality; q == nil || q.For != 100*time.Minute {
		t.Errorf("%+v", q)
	}
	s.Progress(scored(2, 7)) // late
	durable(t, s.Begin, sample(9))
	if c := get(t, s, sample(2).ID); c.Ended == nil || c.Caller.Media.Quality.For != 100*time.Minute {
		t.Errorf("%+v", c)
	}
}

// killedChild runs child until it has printed n IDs, kills it in the midst of
// writing and gives every ID it printed.
func killedChild(t *testing.T, dir string, n int) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TANDEM_SPOOL_CHILD="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for r := bufio.NewReader(out); ; {
		line, err := r.ReadString('\n')
		if err == io.EOF { // a line cut by the kill was never ended, so it does not count
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, strings.TrimSpace(line))
		if len(ids) == n {
			cmd.Process.Signal(unix.SIGKILL)
		}
	}
	cmd.Wait()
	if len(ids) < n {
		t.Fatalf("the child printed %d of %d IDs", len(ids), n)
	}
	return ids
}

func TestOneCommitServesManyCalls(t *testing.T) {
	s, err := open(Config{Dir: t.TempDir(), Node: "n1", Log: quiet}, tuning{batch: 2048, fsync: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const calls = 1000
	done := make(chan error, calls)
	for i := range calls {
		s.Begin(sample(i), func(err error) { done <- err })
	}
	for range calls {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if c := s.Counters(); c.Written != calls || c.Commits > calls/10 {
		t.Errorf("%d entries took %d commits", c.Written, c.Commits)
	}
}

func TestEntriesNobodyWaitsForShareTheCommitOfTheNextCall(t *testing.T) {
	s := openAt(t, t.TempDir())
	const calls = 50
	for i := range calls {
		durable(t, s.Begin, sample(i))
		s.Answer(answeredCall(sample(i)), nil)
		for range 100 { // the writer may look now
			runtime.Gosched()
		}
		s.End(endedCall(answeredCall(sample(i)), link.ByCaller, 0), nil)
	}
	// One more now and then, when the machine holds the test up.
	if c := s.Counters(); c.Commits > calls+calls/4 {
		t.Errorf("%d calls took %d commits", calls, c.Commits)
	}
}

func TestAnEntryNobodyWaitsForIsSoonWrittenAlone(t *testing.T) {
	s := openAt(t, t.TempDir())
	s.End(endedCall(sample(1), link.ByCaller, 0), nil)
	tick, late := time.NewTicker(5*time.Millisecond), time.After(heartbeat/2)
	defer tick.Stop()
	for s.Counters().Written == 0 {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("it waits for the heartbeat")
		}
	}
	get(t, s, sample(1).ID)
}

func TestAFullQueueRefusesNewCallsAndKeepsEnds(t *testing.T) {
	s, err := open(Config{Dir: t.TempDir(), Node: "n1", Queue: 4, Log: quiet}, tuning{batch: 1, fsync: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var refused atomic.Int32
	answer := make(chan error, 100)
	for i := range 20 {
		s.Begin(sample(i), func(err error) {
			if fault.Of(err) == fault.Unavailable {
				refused.Add(1)
			}
			answer <- err
		})
	}
	ends := make(chan error, 20)
	for i := range 20 {
		s.End(endedCall(sample(i), link.ByCaller, 487), func(err error) { ends <- err })
	}
	for range 20 {
		<-answer
		if err := <-ends; err != nil {
			t.Errorf("an end was refused: %v", err)
		}
	}
	if n := refused.Load(); n == 0 || uint64(n) != s.Counters().Refused {
		t.Errorf("%d of 20 refused, counted %d", n, s.Counters().Refused)
	}
}

func TestTheMemoryForEndsIsBounded(t *testing.T) {
	s, err := open(Config{Dir: t.TempDir(), Node: "n1", Queue: 1, Log: quiet}, tuning{batch: 1, fsync: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 50 {
		s.End(endedCall(sample(i), link.ByCaller, 487), nil)
	}
	if c := s.Counters(); c.Dropped == 0 || c.Waiting > backlogFactor {
		t.Errorf("counters = %+v", c)
	}
}

func TestASecondNodeIsKeptOut(t *testing.T) {
	dir := t.TempDir()
	openAt(t, dir)
	_, err := Open(Config{Dir: dir, Log: quiet})
	if fault.Of(err) != fault.Conflict || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("error = %v", err)
	}
}

func TestAClosedSpoolRefuses(t *testing.T) {
	s := openAt(t, t.TempDir())
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := outcome(s.Begin, sample(1)); fault.Of(err) != fault.Unavailable {
		t.Errorf("error = %v", err)
	}
}

func TestCloseWritesWhatWaits(t *testing.T) {
	dir := t.TempDir()
	s, err := open(Config{Dir: dir, Log: quiet}, tuning{batch: 10, fsync: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		s.End(endedCall(sample(i), link.ByCaller, 487), nil)
	}
	s.Close()
	calls, err := openAt(t, dir).List(t.Context(), link.Filter{})
	if err != nil || len(calls) != 100 {
		t.Errorf("%d calls, %v", len(calls), err)
	}
}

func TestOldRecordsAreDeletedAndLiveCallsKept(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir)
	now := time.Now()
	for i, age := range []time.Duration{31 * 24 * time.Hour, 29 * 24 * time.Hour} {
		c := sample(i)
		c.Began = now.Add(-age)
		durable(t, s.Begin, c)
		durable(t, s.End, endedCall(c, link.ByCaller, 0))
	}
	live := sample(7)
	live.Began = now.Add(-40 * 24 * time.Hour)
	durable(t, s.Begin, live)
	s.stopWriter()
	s.trim()
	if _, err := s.Get(t.Context(), sample(0).ID); fault.Of(err) != fault.NotFound {
		t.Errorf("the old record is still there: %v", err)
	}
	get(t, s, sample(1).ID)
	get(t, s, live.ID)
	if n := s.Counters().Trimmed; n != 1 {
		t.Errorf("trimmed = %d", n)
	}
	s.closeFiles()
}

func TestTheOldestGoWhenThereAreTooMany(t *testing.T) {
	s, err := Open(Config{Dir: t.TempDir(), Limit: 200 << 10, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	const calls = 1500
	for i := range calls {
		s.End(endedCall(sample(i), link.ByCaller, 487), nil)
	}
	durable(t, s.Begin, sample(calls))
	s.stopWriter()
	s.trim()
	left, err := s.List(t.Context(), link.Filter{Limit: 10000})
	if err != nil {
		t.Fatal(err)
	}
	if len(left) == 0 || len(left) > 600 || left[0].ID != sample(calls).ID {
		t.Errorf("%d left", len(left))
	}
	s.closeFiles()
}

// stopWriter lets a test do the writer's work at a moment of its choosing.
func (s *Spool) stopWriter() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	close(s.quit)
	<-s.ended
	select {
	case <-s.wake:
	default:
	}
}

func TestAFileOfANewerTandemIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	openAt(t, dir).Close()
	raw, err := sql.Open("sqlite", filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	raw.ExecContext(context.Background(), "PRAGMA user_version = 99")
	raw.Close()
	_, err = Open(Config{Dir: dir, Log: quiet})
	if fault.Of(err) != fault.Conflict || !strings.Contains(err.Error(), "newer tandem") {
		t.Errorf("error = %v", err)
	}
}

// A power cut cannot be played here; that SQLite waits for the disk can be seen.
func TestACommitWaitsForTheDisk(t *testing.T) {
	s := openAt(t, t.TempDir())
	s.stopWriter()
	var mode string
	var sync int
	if err := s.conn.QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Error(mode, err)
	}
	if err := s.conn.QueryRowContext(t.Context(), "PRAGMA synchronous").Scan(&sync); err != nil || sync < 2 {
		t.Errorf("synchronous = %d, %v; want 2 (FULL)", sync, err)
	}
	s.closeFiles()
}

func TestTheFileIsForItsOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	openAt(t, dir)
	for _, name := range []string{FileName, FileName + "-wal"} {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, st.Mode(), err)
		}
	}
}
