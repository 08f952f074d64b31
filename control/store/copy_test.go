package store_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// A copy made while others write is one state: the two rows of each change are
// both in it or neither.
func TestACopyIsOneStateWhileOthersWrite(t *testing.T) {
	s := storetest.New(t)
	table(t, s)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				err := s.Write(t.Context(), func(tx *store.Tx) error {
					for _, half := range []string{"a", "b"} {
						if _, err := tx.Exec(t.Context(), "INSERT INTO thing (id, n) VALUES (?, 0)", strconv.Itoa(w)+"-"+strconv.Itoa(i)+half); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 5 {
		path := filepath.Join(t.TempDir(), "copy"+strconv.Itoa(i)+".db")
		if err := s.Copy(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		if err := store.CheckFile(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		c := storetest.Open(t, "sqlite:"+path)
		if n := count(t, c); n%2 != 0 {
			t.Errorf("%d rows: half a change is in the copy", n)
		}
	}
	close(stop)
	wg.Wait()
}

func TestACopyThatIsDamagedOrNewerIsRefused(t *testing.T) {
	s := storetest.New(t)
	table(t, s)
	for i := range 50 {
		write(t, s, "INSERT INTO thing (id, n, body) VALUES (?, ?, ?)", strconv.Itoa(i), i, make([]byte, 3000))
	}
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := s.Copy(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, path, 4096*6, make([]byte, 4096))
	says(t, store.CheckFile(t.Context(), path), "is damaged")
	if err := s.Break("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)"); err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(t.TempDir(), "newer.db")
	if err := s.Copy(t.Context(), newer); err != nil {
		t.Fatal(err)
	}
	if err := store.CheckFile(t.Context(), newer); fault.Of(err) != fault.Conflict || !strings.Contains(err.Error(), "newer Tandem") {
		t.Errorf("error = %v", err)
	}
	if after, _ := os.ReadFile(path); len(after) != len(before) {
		t.Error("the check changed the file")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(newer), "*")); len(left) != 1 {
		t.Errorf("the check left %v", left)
	}
}

func TestAServersDataIsNotOursToCopy(t *testing.T) {
	s := storetest.Open(t, storetest.Server(t))
	if err := s.Copy(t.Context(), filepath.Join(t.TempDir(), "x")); fault.Of(err) != fault.Conflict || !strings.Contains(err.Error(), "pg_dump") {
		t.Errorf("error = %v", err)
	}
}
