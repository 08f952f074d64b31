package record

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	link "github.com/tandemgw/tandem/link/record"
)

func TestACopyHasWhatWasAcknowledgedWhileCallsGoOn(t *testing.T) {
	s := openAt(t, t.TempDir())
	defer s.Close()
	durable(t, s.Begin, sample(1))
	durable(t, s.End, endedCall(answeredCall(sample(1)), link.ByCaller, 0))
	durable(t, s.Begin, sample(2))
	dir := t.TempDir()
	if err := s.Copy(t.Context(), filepath.Join(dir, FileName)); err != nil {
		t.Fatal(err)
	}
	durable(t, s.Begin, sample(3))
	if err := CheckFile(t.Context(), filepath.Join(dir, FileName)); err != nil {
		t.Fatal(err)
	}
	c := openAt(t, dir)
	defer c.Close()
	if got := get(t, c, sample(1).ID); got.Ended == nil {
		t.Errorf("the ended call: %+v", got)
	}
	if got := get(t, c, sample(2).ID); got.Ended == nil || got.Cause.Text == "" {
		t.Errorf("the call in progress is not closed as lost: %+v", got)
	}
	if _, err := c.Get(t.Context(), sample(3).ID); fault.Of(err) != fault.NotFound {
		t.Errorf("a later call: %v", err)
	}
}

func TestACopySendsUpAgainWhatWasSentLately(t *testing.T) {
	s, err := Open(Config{Dir: t.TempDir(), Node: "n", Upward: true, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 3 {
		c := sample(i)
		c.Began = time.Now().Add(-time.Duration(i) * 20 * time.Hour) // the third is old
		durable(t, s.Begin, c)
		durable(t, s.End, endedCall(c, link.ByCaller, 0))
	}
	owed, err := s.Owed(t.Context(), 0, 10)
	if err != nil || len(owed) != 3 {
		t.Fatalf("owed %d, %v", len(owed), err)
	}
	s.Arrived(owed)
	durable(t, s.Begin, sample(9)) // takes the news along
	dir := t.TempDir()
	if err := s.Copy(t.Context(), filepath.Join(dir, FileName)); err != nil {
		t.Fatal(err)
	}
	c, err := Open(Config{Dir: dir, Node: "n", Upward: true, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	owed, err = c.Owed(t.Context(), 0, 10)
	if err != nil || len(owed) != 3 { // two lately, and the one that was open
		t.Errorf("the copy owes %d, %v", len(owed), err)
	}
	seen := map[uint64]bool{}
	for _, o := range owed {
		if seen[o.Number] {
			t.Errorf("number %d twice", o.Number)
		}
		seen[o.Number] = true
	}
}

func TestACopyOfANewerTandemIsRefused(t *testing.T) {
	s := openAt(t, t.TempDir())
	defer s.Close()
	path := filepath.Join(t.TempDir(), FileName)
	if err := s.Copy(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	db, err := connect(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if err := CheckFile(t.Context(), path); fault.Of(err) != fault.Conflict || !strings.Contains(err.Error(), "newer Tandem") {
		t.Errorf("error = %v", err)
	}
}

// What a backup costs while nobody calls: 20 000 records.
func BenchmarkCopy(b *testing.B) {
	s, err := Open(Config{Dir: b.TempDir(), Node: "n", Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var wg sync.WaitGroup
	wg.Add(20_000)
	for i := range 20_000 {
		c := sample(i)
		s.putLater(finished, endedCall(answeredCall(c), link.ByCaller, 0), func(error) { wg.Done() })
	}
	wg.Wait()
	for i := range b.N {
		path := filepath.Join(b.TempDir(), strconv.Itoa(i))
		if err := s.Copy(b.Context(), path); err != nil {
			b.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(info.Size())
	}
}

func TestWhatHasArrivedIsSentUpAgainOnRequest(t *testing.T) {
	s, err := Open(Config{Dir: t.TempDir(), Node: "n", Upward: true, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 4 {
		durable(t, s.Begin, sample(i))
		durable(t, s.End, endedCall(sample(i), link.ByCaller, 0))
	}
	sent, err := s.Owed(t.Context(), 0, 10)
	if err != nil || len(sent) != 4 {
		t.Fatalf("owed %d, %v", len(sent), err)
	}
	s.Arrived(sent[:3])
	durable(t, s.Begin, sample(9)) // takes the news along
	<-s.Owing()
	if err := s.Resend(t.Context(), sample(1).Began); err != nil {
		t.Fatal(err)
	}
	<-s.Owing()
	again, err := s.Owed(t.Context(), sent[3].Number, 10) // as Upload asks
	if err != nil || len(again) != 3 {                    // calls 1 and 2, and the one that goes on
		t.Errorf("owed %d, %v", len(again), err)
	}
	durable(t, s.End, endedCall(sample(9), link.ByCaller, 0))
	all, err := s.Owed(t.Context(), 0, 10)
	if err != nil || len(all) != 4 {
		t.Errorf("owed %d, %v", len(all), err)
	}
	for i := 1; i < len(all); i++ {
		if all[i].Number <= all[i-1].Number {
			t.Errorf("number %d after %d", all[i].Number, all[i-1].Number)
		}
	}
	alone := openAt(t, t.TempDir())
	if err := alone.Resend(t.Context(), day); fault.Of(err) != fault.Conflict {
		t.Errorf("a node without control: %v", err)
	}
	alone.Close()
}
