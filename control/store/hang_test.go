package store_test

import (
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// TestAServerThatHangsIsNotWaitedForForEver: it takes connections and answers
// nothing more, in the middle of a transaction and before the next.
func TestAServerThatHangsIsNotWaitedForForEver(t *testing.T) {
	s := storetest.Open(t, storetest.Server(t))
	table(t, s)
	defer store.Endless(3 * time.Second)()
	defer store.Impatient(500 * time.Millisecond)()
	hang := func(tx *store.Tx) (wake func()) {
		pids, err := store.All(t.Context(), tx, func(scan store.Scan) (pid int, err error) { return pid, scan(&pid) },
			"SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
		if err != nil || len(pids) == 0 {
			t.Fatal(pids, err)
		}
		signal := func(which syscall.Signal) {
			for _, pid := range pids {
				if err := syscall.Kill(pid, which); err != nil {
					t.Skip("its processes are not ours to stop: " + strconv.Itoa(pid) + ", " + err.Error())
				}
			}
		}
		wake = func() {
			for _, pid := range pids {
				_ = syscall.Kill(pid, syscall.SIGCONT)
			}
		}
		t.Cleanup(wake)
		signal(syscall.SIGSTOP)
		return wake
	}
	var wake func()
	began := time.Now()
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		wake = hang(tx)
		_, err := tx.Exec(t.Context(), "INSERT INTO thing (id, n) VALUES ('lost', 1)")
		return err
	})
	says(t, err, "does not answer")
	err = s.Read(t.Context(), func(tx *store.Tx) error {
		var n int
		return tx.Row(t.Context(), "SELECT COUNT(*) FROM thing").Scan(&n)
	})
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("who asked was held for %v (%v)", took, err)
	}
	wake()
	if n := count(t, s); n != 0 {
		t.Errorf("%d rows: what was refused was written", n)
	}
	write(t, s, "INSERT INTO thing (id, n) VALUES ('first', 1)")
}
