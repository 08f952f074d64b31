package record

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tandemgw/tandem/base/fault"
	link "github.com/tandemgw/tandem/link/record"
)

func TestWhileTheDiskIsFullNewCallsAreRefusedAndEndsWait(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("needs to mount a small tmpfs, which takes root: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	s := openAt(t, dir)
	defer s.Close()
	durable(t, s.Begin, sample(1))

	ballast := filepath.Join(dir, "ballast")
	fill(t, ballast)
	var refusal error
	carried := []int{1}
	for i := 2; i < 2000 && refusal == nil; i++ { // the log has some room left of its own
		if refusal = outcome(s.Begin, sample(i)); refusal == nil {
			carried = append(carried, i)
		}
	}
	if fault.Of(refusal) != fault.Unavailable || !strings.Contains(refusal.Error(), "the disk is full") {
		t.Fatalf("refusal = %v", refusal)
	}
	ends := make(chan error, len(carried))
	for _, i := range carried {
		s.End(endedCall(answeredCall(sample(i)), link.ByCaller, 0), func(err error) { ends <- err })
	}
	if err := outcome(s.Begin, sample(5000)); fault.Of(err) != fault.Unavailable {
		t.Errorf("while the disk is full: %v", err)
	}
	if c := s.Counters(); !c.Degraded || c.Waiting != len(carried) || c.Dropped != 0 {
		t.Errorf("counters = %+v, carried %d", c, len(carried))
	}

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for range carried { // the heartbeat finds that the disk is back
		if err := <-ends; err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range carried {
		if c := get(t, s, sample(i).ID); c.Ended == nil {
			t.Fatalf("the end of call %d is lost", i)
		}
	}
	durable(t, s.Begin, sample(5001))
}

// fill writes zeros until the disk takes no more.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		if _, err := f.Write(make([]byte, 1024)); err != nil {
			if !errors.Is(err, unix.ENOSPC) {
				t.Fatal(err)
			}
			return
		}
	}
}

func TestAFullDatabaseRefusesWithoutRoot(t *testing.T) {
	s := openAt(t, t.TempDir())
	durable(t, s.Begin, sample(1))
	s.stopWriter()
	if _, err := s.conn.ExecContext(t.Context(), "PRAGMA max_page_count = 1"); err != nil {
		t.Fatal(err)
	}
	big := sample(2)
	big.Cause.Text = strings.Repeat("x", 100_000)
	s.closed, s.waiting = false, nil
	var refusal error
	s.Begin(big, func(err error) { refusal = err })
	s.End(endedCall(sample(1), link.ByCaller, 487), nil)
	s.flush(false)
	if fault.Of(refusal) != fault.Unavailable || !strings.Contains(refusal.Error(), "the disk is full") {
		t.Errorf("refusal = %v", refusal)
	}
	if c := s.Counters(); !c.Degraded || c.Waiting != 1 {
		t.Errorf("counters = %+v", c)
	}
	refusal = nil
	s.Begin(sample(3), func(err error) { refusal = err })
	if fault.Of(refusal) != fault.Unavailable {
		t.Errorf("a new call is not refused at once: %v", refusal)
	}
	s.conn.ExecContext(t.Context(), "PRAGMA max_page_count = 1000000")
	s.flush(false)
	if c := s.Counters(); c.Degraded || c.Waiting != 0 {
		t.Errorf("counters once the disk is back = %+v", c)
	}
	s.closed = true
	s.closeFiles()
}

func TestErrorsAtOpenSayWhatToDo(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(t *testing.T, dir string) (open string)
		want    string
	}{
		{"a folder that is a file", func(t *testing.T, dir string) string {
			os.WriteFile(filepath.Join(dir, "f"), nil, 0o600)
			return filepath.Join(dir, "f")
		}, "has a file where a folder should be"},
		{"a file that is no database", func(t *testing.T, dir string) string {
			os.WriteFile(filepath.Join(dir, FileName), []byte(strings.Repeat("not a database\n", 100)), 0o600)
			return dir
		}, "is damaged: stop the node, move the file away"},
		{"a damaged schema", func(t *testing.T, dir string) string {
			openAt(t, dir).Close()
			f, err := os.OpenFile(filepath.Join(dir, FileName), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			f.WriteAt(make([]byte, 3000), 100)
			f.Close()
			return dir
		}, "is damaged"},
		{"a read-only disk", func(t *testing.T, dir string) string {
			if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_RDONLY, ""); err != nil {
				t.Skipf("needs to mount a read-only disk, which takes root: %v", err)
			}
			t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
			return dir
		}, "is on a read-only file system"},
		{"locked by a person's sqlite3", func(t *testing.T, dir string) string {
			openAt(t, dir).Close()
			db, err := connect(filepath.Join(dir, FileName))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			c, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			if _, err := c.ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
				t.Fatal(err)
			}
			return dir
		}, "is locked by another program"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Open(Config{Dir: tt.prepare(t, t.TempDir()), Log: quiet})
			if err == nil {
				s.Close()
				t.Fatal("opened")
			}
			f, ok := errors.AsType[*fault.Error](err)
			if !ok || !strings.Contains(f.Public, tt.want) {
				t.Errorf("error = %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestAFailedStepLeavesTheSchemaAsItWas(t *testing.T) {
	dir := t.TempDir()
	openAt(t, dir).Close()
	db, err := connect(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	released := steps
	defer func() { steps = released }()

	steps = append(released[:len(released):len(released)], "ALTER TABLE calls ADD COLUMN note TEXT; CREATE TABLE broken(")
	if err := migrate(t.Context(), c); err == nil {
		t.Fatal("a broken step succeeded")
	}
	if v := version(t, c); v != len(released) {
		t.Errorf("version = %d after a failed step", v)
	}
	steps[len(released)] = "ALTER TABLE calls ADD COLUMN note TEXT"
	if err := migrate(t.Context(), c); err != nil {
		t.Errorf("the mended step: %v", err)
	}
	if v := version(t, c); v != len(released)+1 {
		t.Errorf("version = %d", v)
	}
}

func version(t *testing.T, c *sql.Conn) (v int) {
	t.Helper()
	if err := c.QueryRowContext(context.Background(), "PRAGMA user_version").Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}
