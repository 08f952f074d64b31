package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

func TestMain(m *testing.M) {
	if url := os.Getenv("TANDEM_STORE_CHILD"); url != "" {
		child(url)
	}
	goleak.VerifyTestMain(m)
}

// child writes rows, four at a time, and says which are committed, until it is
// killed.
func child(url string) {
	s, err := store.Open(context.Background(), store.Config{URL: url})
	if err != nil {
		panic(err)
	}
	for w := range 4 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprint(w, "-", i)
				err := s.Write(context.Background(), func(tx *store.Tx) error {
					for _, half := range []string{"a", "b"} {
						if _, err := tx.Exec(context.Background(), "INSERT INTO thing (id, n) VALUES (?, 1)", id+half); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					panic(err)
				}
				os.Stdout.WriteString(id + "\n")
			}
		}()
	}
	select {}
}

func TestWhatIsCommittedSurvivesKill9AndNothingIsHalf(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		s := storetest.Open(t, url)
		table(t, s)
		s.Close()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "TANDEM_STORE_CHILD="+url)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var done []string
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if done = append(done, lines.Text()); len(done) == 200 {
				cmd.Process.Kill() // what it has said by then is read on
			}
		}
		cmd.Wait()
		s = storetest.Open(t, url)
		rows := map[string]int{}
		err = s.Read(t.Context(), func(tx *store.Tx) error {
			ids, err := store.All(t.Context(), tx, func(scan store.Scan) (id string, err error) { return id, scan(&id) }, "SELECT id FROM thing")
			for _, id := range ids {
				rows[id[:len(id)-1]]++
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for id, n := range rows {
			if n != 2 {
				t.Errorf("half of %s is there", id)
			}
		}
		for _, id := range done {
			if rows[id] == 0 {
				t.Errorf("%s is lost", id)
			}
		}
		t.Logf("%d were told, %d are there", len(done), len(rows))
	})
}

// table makes the table the tests write to.
func table(t testing.TB, s *store.Store) {
	t.Helper()
	write(t, s, "CREATE TABLE thing (id TEXT NOT NULL PRIMARY KEY, n BIGINT NOT NULL, flag BOOLEAN NOT NULL DEFAULT FALSE, body BYTEA)")
}

func write(t testing.TB, s *store.Store, q string, args ...any) {
	t.Helper()
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), q, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func count(t testing.TB, s *store.Store) (n int) {
	t.Helper()
	err := s.Read(t.Context(), func(tx *store.Tx) error {
		return tx.Row(t.Context(), "SELECT COUNT(*) FROM thing").Scan(&n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWhatWasWrittenIsReadAndSurvivesClosing(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		s := storetest.Open(t, url)
		table(t, s)
		when := time.Date(2026, 11, 22, 3, 4, 5, 678901000, time.UTC)
		write(t, s, "INSERT INTO thing (id, n, flag, body) VALUES (?, ?, ?, ?)", "a?b", store.Micros(when), true, []byte{0, 1, 255})
		write(t, s, "INSERT INTO thing (id, n) VALUES ('it''s ?', ?) -- why?", store.Micros(time.Time{}))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = storetest.Open(t, url)
		err := s.Read(t.Context(), func(tx *store.Tx) error {
			var n int64
			var flag bool
			var body []byte
			if err := tx.Row(t.Context(), "SELECT n, flag, body FROM thing WHERE id = ?", "a?b").Scan(&n, &flag, &body); err != nil {
				return err
			}
			if !store.Time(n).Equal(when) || !flag || string(body) != "\x00\x01\xff" {
				t.Errorf("read %v %v %v", store.Time(n), flag, body)
			}
			ids, err := store.All(t.Context(), tx, func(scan store.Scan) (id string, err error) {
				return id, scan(&id)
			}, "SELECT id FROM thing WHERE n = ? AND flag = ? ORDER BY id", 0, false)
			if len(ids) != 1 || ids[0] != "it's ?" {
				t.Errorf("ids = %q", ids)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestAnErrorUndoesAllAndComesOutUnchanged(t *testing.T) {
	mine := errors.New("mine")
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		table(t, s)
		err := s.Write(t.Context(), func(tx *store.Tx) error {
			tx.After(func() { t.Error("After ran without a commit") })
			if _, err := tx.Exec(t.Context(), "INSERT INTO thing (id, n) VALUES ('a', 1)"); err != nil {
				return err
			}
			return mine
		})
		if err != mine {
			t.Errorf("error = %v", err)
		}
		if n := count(t, s); n != 0 {
			t.Errorf("%d rows stayed", n)
		}
	})
}

func TestAPanicUndoesAllAndTheStoreLives(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		table(t, s)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			s.Write(t.Context(), func(tx *store.Tx) error {
				tx.Exec(t.Context(), "INSERT INTO thing (id, n) VALUES ('a', 1)")
				panic("defect")
			})
		}()
		write(t, s, "INSERT INTO thing (id, n) VALUES ('b', 1)")
		if n := count(t, s); n != 1 {
			t.Errorf("%d rows, want b alone", n)
		}
	})
}

func TestAfterRunsOnceTheCommitStands(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		table(t, s)
		calls := 0
		err := s.Write(t.Context(), func(tx *store.Tx) error {
			tx.After(func() {
				calls++
				if n := count(t, s); n != 1 {
					t.Errorf("After sees %d rows", n)
				}
			})
			_, err := tx.Exec(t.Context(), "INSERT INTO thing (id, n) VALUES ('a', 1)")
			return err
		})
		if err != nil || calls != 1 {
			t.Errorf("error %v, After called %d times", err, calls)
		}
	})
}

func TestAFailedStatementEndsTheTransactionOnBoth(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		table(t, s)
		err := s.Write(t.Context(), func(tx *store.Tx) error {
			tx.Exec(t.Context(), "INSERT INTO thing (id, n) VALUES ('a', NULL)") // error ignored, as a careless room would
			tx.Exec(t.Context(), "INSERT INTO thing (id, n) VALUES ('b', 1)")
			return nil
		})
		if err == nil {
			t.Error("the failed statement was forgotten")
		}
		if n := count(t, s); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestAReadSeesOneStateAndChangesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		table(t, s)
		err := s.Read(t.Context(), func(tx *store.Tx) error {
			var before, after int
			if err := tx.Row(t.Context(), "SELECT COUNT(*) FROM thing").Scan(&before); err != nil {
				return err
			}
			write(t, s, "INSERT INTO thing (id, n) VALUES ('a', 1)")
			if err := tx.Row(t.Context(), "SELECT COUNT(*) FROM thing").Scan(&after); err != nil {
				return err
			}
			if before != after {
				t.Errorf("a row appeared within a read")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Read(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), "INSERT INTO thing (id, n) VALUES ('b', 1)")
			return err
		})
		if err == nil {
			t.Error("a read wrote")
		}
	})
}

// Two that read and then write what they read would lose one of the two changes
// if they ran side by side.
func TestWritersDoNotLoseEachOthersChanges(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		table(t, s)
		write(t, s, "INSERT INTO thing (id, n) VALUES ('counter', 0)")
		const writers, rounds = 8, 10
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for range rounds {
					if err := increment(t.Context(), s, "counter"); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		s.Read(t.Context(), func(tx *store.Tx) error {
			var n int
			if err := tx.Row(t.Context(), "SELECT n FROM thing WHERE id = 'counter'").Scan(&n); err != nil || n != writers*rounds {
				t.Errorf("counter = %d, want %d (%v)", n, writers*rounds, err)
			}
			return nil
		})
	})
}

func increment(ctx context.Context, s *store.Store, id string) error {
	return s.Write(ctx, func(tx *store.Tx) error {
		var n int
		if err := tx.Row(ctx, "SELECT n FROM thing WHERE id = ?", id).Scan(&n); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE thing SET n = ? WHERE id = ?", n+1, id)
		return err
	})
}

func TestNoRowIsNoFailure(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		table(t, s)
		err := s.Write(t.Context(), func(tx *store.Tx) error {
			var n int
			err := tx.Row(t.Context(), "SELECT n FROM thing WHERE id = 'none'").Scan(&n)
			if !errors.Is(err, sql.ErrNoRows) {
				t.Errorf("error = %v", err)
			}
			_, err = tx.Exec(t.Context(), "INSERT INTO thing (id, n) VALUES ('none', 1)")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestACallerWhoGoesAwayLeavesNothingOpen(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		table(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		err := s.Write(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, "INSERT INTO thing (id, n) VALUES ('a', 1)")
			cancel()
			return err
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error = %v", err)
		}
		if n := count(t, s); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestAForeignAddressIsRefused(t *testing.T) {
	for _, url := range []string{"", "mysql://localhost/x", "/var/lib/tandem/control.db"} {
		_, err := store.Open(t.Context(), store.Config{URL: url})
		if fault.Of(err) != fault.Invalid {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// A PostgreSQL that restarts breaks every connection of the pool: whoever
// changes something then does not learn of it.
func TestBrokenConnectionsAreMadeAnew(t *testing.T) {
	url := storetest.Server(t)
	s := storetest.Open(t, url)
	table(t, s)
	write(t, s, "INSERT INTO thing (id, n) VALUES ('counter', 0)")
	admin := storetest.Open(t, url)
	for round := range 5 {
		var wg sync.WaitGroup
		for range 8 { // so that the pool has several
			wg.Go(func() {
				if err := increment(t.Context(), s, "counter"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := admin.Break("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"); err != nil {
			t.Fatal(err)
		}
		if err := increment(t.Context(), s, "counter"); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	err := s.Read(t.Context(), func(tx *store.Tx) error {
		var n int
		err := tx.Row(t.Context(), "SELECT n FROM thing").Scan(&n)
		if n != 5*9 {
			t.Errorf("counter = %d, want 45", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Within the transaction as well.
func TestATransactionWhoseConnectionBreaksRunsAgain(t *testing.T) {
	url := storetest.Server(t)
	s, admin := storetest.Open(t, url), storetest.Open(t, url)
	table(t, s)
	runs := 0
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		runs++
		if _, err := tx.Exec(t.Context(), "INSERT INTO thing (id, n) VALUES ('a', ?)", runs); err != nil {
			return err
		}
		if runs > 1 {
			return nil
		}
		if err := admin.Break("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), "UPDATE thing SET n = n")
		return err
	})
	if err != nil || runs != 2 || count(t, s) != 1 {
		t.Errorf("%d runs, %v", runs, err)
	}
}

// A node of a newer release adds a column while this one runs.
func TestATableThatIsChangedByAnotherNodeIsReadOn(t *testing.T) {
	url := storetest.Server(t)
	s, newer := storetest.Open(t, url), storetest.Open(t, url)
	table(t, s)
	write(t, s, "INSERT INTO thing (id, n) VALUES ('a', 1)")
	all := func() {
		t.Helper()
		err := s.Read(t.Context(), func(tx *store.Tx) error {
			n, err := store.All(t.Context(), tx, func(scan store.Scan) (struct{}, error) { return struct{}{}, nil }, "SELECT * FROM thing")
			if err == nil && len(n) != 1 {
				t.Errorf("%d rows", len(n))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 20 { // so that the connections of the pool know the statement
		all()
	}
	if err := newer.Break("ALTER TABLE thing ADD COLUMN more TEXT NOT NULL DEFAULT ''"); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		all()
	}
}
