package record

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	link "github.com/tandemgw/tandem/link/record"
)

// upward opens a spool whose entries control wants.
func upward(t *testing.T, dir string) *Spool {
	t.Helper()
	s, err := Open(Config{Dir: dir, Node: "n1", Upward: true, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func owed(t *testing.T, s *Spool, after uint64) []link.Owed {
	t.Helper()
	list, err := s.Owed(context.Background(), after, 100)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// settled waits until the file knows how much is owed.
func settled(t *testing.T, s *Spool, want int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; <-time.After(5 * time.Millisecond) {
		n, err := s.Backlog(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if n == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d are owed instead of %d", n, want)
		}
	}
}

func ended(c link.Call) link.Call {
	at := c.Began.Add(time.Minute)
	c.Ended, c.Cause = &at, link.Cause{By: link.ByCaller}
	return c
}

func TestWhatControlHasNotGotIsOwedAsItStands(t *testing.T) {
	s := upward(t, t.TempDir())
	durable(t, s.Begin, sample(1))
	select {
	case <-s.Owing():
	case <-time.After(5 * time.Second):
		t.Fatal("nobody was told")
	}
	first := owed(t, s, 0)
	if len(first) != 1 || first[0].Stage != link.Begun {
		t.Fatalf("owed is %+v", first)
	}
	// The call changes while the news of its beginning is on the way.
	durable(t, s.Answer, answeredCall(sample(1)))
	durable(t, s.Begin, sample(2))
	s.Arrived(first)
	settled(t, s, 2)
	later := owed(t, s, first[0].Number)
	if len(later) != 2 || later[0].Stage != link.Answered || later[1].Number <= later[0].Number {
		t.Fatalf("owed is %+v", later)
	}
	s.Arrived(later)
	settled(t, s, 0)
	durable(t, s.End, ended(answeredCall(sample(1))))
	if list := owed(t, s, 0); len(list) != 1 || list[0].Stage != link.Finished || list[0].Number <= later[1].Number {
		t.Errorf("owed is %+v", list)
	}
	// How a call that goes on stands is not sent up.
	s.Arrived(owed(t, s, 0))
	settled(t, s, 0)
	s.Progress(answeredCall(sample(2)))
	durable(t, s.Begin, sample(3))
	if list := owed(t, s, 0); len(list) != 1 {
		t.Errorf("owed is %+v", list)
	}
}

func TestWhatIsOwedSurvivesAndOrphansAreOwed(t *testing.T) {
	dir := t.TempDir()
	s := upward(t, dir)
	durable(t, s.Begin, sample(1))
	s.Arrived(owed(t, s, 0))
	settled(t, s, 0)
	durable(t, s.Begin, sample(2))
	before := owed(t, s, 0)
	s.Close()
	s = upward(t, dir)
	list := owed(t, s, 0)
	if len(list) != 2 || list[0].Stage != link.Finished || list[1].Stage != link.Finished {
		t.Fatalf("owed after the start: %+v", list)
	}
	for _, o := range list {
		if o.Number <= before[0].Number {
			t.Errorf("number %d is not new: the news of %d would settle it", o.Number, before[0].Number)
		}
	}
}

func TestWhatIsOwedIsNotTrimmed(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Config{Dir: dir, Node: "n1", Upward: true, Keep: time.Hour, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	old := sample(1)
	old.Began = time.Now().Add(-48 * time.Hour)
	durable(t, s.Begin, old)
	durable(t, s.End, ended(old))
	for beats := s.Counters().Commits; s.Counters().Commits < beats+2; { // each trims before the next
		<-time.After(10 * time.Millisecond)
	}
	if list := owed(t, s, 0); len(list) != 1 {
		t.Fatalf("owed is %+v", list)
	}
	s.Arrived(owed(t, s, 0))
	settled(t, s, 0)
	for end := time.Now().Add(10 * time.Second); s.Counters().Trimmed == 0; <-time.After(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is kept though control has it")
		}
	}
}

func TestANodeWithoutControlOwesNothing(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Config{Dir: dir, Node: "n1", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	durable(t, s.Begin, sample(1))
	durable(t, s.End, ended(sample(1)))
	settled(t, s, 0)
	s.Close()
}

// The spool of the release before knew nothing of control.
func TestASpoolOfTheReleaseBeforeIsTakenOver(t *testing.T) {
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{
		steps[0], "PRAGMA user_version = 1",
		`INSERT INTO runs(id, node, region, started, alive) VALUES(1, 'n1', 'westeurope', 1, 1)`,
		`INSERT INTO calls VALUES('old', 1, 2, 1, '', '', '+441', '+442', 0, '{"id":"old"}')`,
	} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	s := upward(t, dir)
	if calls, err := s.List(context.Background(), link.Filter{}); err != nil || len(calls) != 1 {
		t.Errorf("it has %v: %v", calls, err)
	}
	settled(t, s, 0) // what nobody wanted then is not sent now
	durable(t, s.Begin, sample(1))
	settled(t, s, 1)
}
