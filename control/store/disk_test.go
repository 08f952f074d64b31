package store_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// says checks that the error is one sentence for the person in charge.
func says(t *testing.T, err error, want string) {
	t.Helper()
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind != fault.Unavailable || !strings.Contains(f.Public, want) {
		t.Errorf("error = %v, want %q in its sentence", err, want)
	}
}

// used makes a control.db of some pages and gives its path.
func used(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "control.db")
	s := storetest.Open(t, "sqlite:"+path)
	table(t, s)
	for i := range 50 {
		write(t, s, "INSERT INTO thing (id, n, body) VALUES (?, ?, ?)", strconv.Itoa(i), i, bytes.Repeat([]byte{1}, 3000))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func smallDisk(t *testing.T, size string, flags uintptr) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, size); err != nil {
		t.Skipf("needs to mount a disk of its own, which takes root: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestADatabaseThatCannotBeOpenedSaysWhatToDo(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(t *testing.T) (path string)
		want    string
	}{
		{"torn in the middle", func(t *testing.T) string {
			path := used(t, t.TempDir())
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			os.Truncate(path, info.Size()/2/4096*4096)
			return path
		}, "is damaged: stop the node, move the file away, and bring back the last backup with `tandem restore --from FILE`"},
		{"torn within a page", func(t *testing.T) string {
			path := used(t, t.TempDir())
			os.Truncate(path, 4096*7+100)
			return path
		}, "is damaged"},
		{"a page of zeros", func(t *testing.T) string {
			path := used(t, t.TempDir())
			overwrite(t, path, 4096*5, make([]byte, 4096))
			return path
		}, "is damaged"},
		{"a damaged schema", func(t *testing.T) string {
			path := used(t, t.TempDir())
			overwrite(t, path, 100, make([]byte, 3000))
			return path
		}, "is damaged"},
		{"no database", func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "control.db")
			os.WriteFile(path, []byte(strings.Repeat("not a database\n", 100)), 0o600)
			return path
		}, "is damaged"},
		{"a file where the folder should be", func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "f")
			os.WriteFile(path, nil, 0o600)
			return filepath.Join(path, "control.db")
		}, "has a file where a folder should be"},
		{"a read-only disk", func(t *testing.T) string {
			return filepath.Join(smallDisk(t, "", unix.MS_RDONLY), "control.db")
		}, "is on a read-only file system"},
		{"a disk too small", func(t *testing.T) string {
			dir := smallDisk(t, "size=16k", 0)
			return filepath.Join(dir, "control.db")
		}, "disk is full"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := tt.prepare(t)
			s, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + path})
			if err == nil {
				s.Close()
				t.Fatal("opened")
			}
			says(t, err, tt.want)
			if !strings.Contains(err.Error(), path) {
				t.Errorf("the file is not named: %v", err)
			}
		})
	}
}

func overwrite(t *testing.T, path string, at int64, with []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(with, at); err != nil {
		t.Fatal(err)
	}
}

// hold locks the file as a person at sqlite3 does, until the test ends or undo.
func hold(t *testing.T, path, how string) (undo func()) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ExecContext(t.Context(), "BEGIN "+how); err != nil {
		t.Fatal(err)
	}
	undo = func() { c.Close(); db.Close() }
	t.Cleanup(undo)
	return undo
}

func TestTheFileHasOneProcessAndIsNotForOthersEyes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.db")
	s := storetest.Open(t, "sqlite:"+path)
	_, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + path})
	if fault.Of(err) != fault.Conflict || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("error = %v", err)
	}
	table(t, s)
	for _, name := range []string{path, path + "-wal"} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestAFullDiskChangesNothingAndIsForgotten(t *testing.T) {
	dir := smallDisk(t, "size=4m", 0)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s := storetest.Open(t, "sqlite:"+filepath.Join(dir, "control.db"))
	table(t, s)
	write(t, s, "INSERT INTO thing (id, n) VALUES ('first', 1)")
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		for i := range 2000 {
			if _, err := tx.Exec(t.Context(), "INSERT INTO thing (id, n, body) VALUES (?, 0, ?)", strconv.Itoa(i), make([]byte, 3000)); err != nil {
				return err
			}
		}
		return nil
	})
	says(t, err, "the disk is full: free some space there; nothing was changed")
	if n := count(t, s); n != 1 {
		t.Errorf("%d rows", n)
	}
	var refusal error
	for i := range 2000 { // the log has some room of its own
		refusal = s.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), "INSERT INTO thing (id, n, body) VALUES (?, 0, ?)", strconv.Itoa(i), make([]byte, 3000))
			return err
		})
		if refusal != nil {
			break
		}
	}
	says(t, refusal, "the disk is full")
	if f, _ := errors.AsType[*fault.Error](refusal); f != nil && (strings.Contains(f.Public, dir) || !strings.Contains(f.Err.Error(), dir)) {
		t.Errorf("where the database is, is for the log alone: %v", refusal)
	}
	before := count(t, s)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	write(t, s, "INSERT INTO thing (id, n) VALUES ('last', 1)")
	if n := count(t, s); n != before+1 {
		t.Errorf("%d rows, want %d", n, before+1)
	}
}

func TestADiskThatTurnsReadOnlyIsNamed(t *testing.T) {
	dir := smallDisk(t, "size=4m", 0)
	s := storetest.Open(t, "sqlite:"+filepath.Join(dir, "control.db"))
	table(t, s)
	s.Close()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	_, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + filepath.Join(dir, "control.db")})
	says(t, err, "is on a read-only file system")
}

func TestAPersonAtTheDatabaseIsWaitedForAndThenNamed(t *testing.T) {
	defer store.Impatient(1500 * time.Millisecond)()
	path := filepath.Join(t.TempDir(), "control.db")
	s := storetest.Open(t, "sqlite:"+path)
	table(t, s)
	undo := hold(t, path, "IMMEDIATE")
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		t.Error("the lock was not seen")
		return nil
	})
	says(t, err, "is locked by another program: end it")
	if n := count(t, s); n != 0 {
		t.Errorf("reads do not go on: %d", n)
	}
	time.AfterFunc(300*time.Millisecond, undo)
	write(t, s, "INSERT INTO thing (id, n) VALUES ('a', 1)")
}

func TestATransactionThatHoldsUpTheOthersIsTold(t *testing.T) {
	defer store.Impatient(300 * time.Millisecond)()
	s := storetest.New(t)
	table(t, s)
	err := s.Write(t.Context(), func(*store.Tx) error {
		err := s.Write(t.Context(), func(*store.Tx) error { return nil }) // a defect: it waits for itself
		says(t, err, "is too busy: no connection came free")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatAServerComplainsAboutSaysWhatToDo(t *testing.T) {
	url := storetest.Server(t)
	t.Run("nobody listens", func(t *testing.T) {
		_, err := store.Open(t.Context(), store.Config{URL: "postgres://tandem:secret@127.0.0.1:1/control"})
		says(t, err, "the database control of PostgreSQL at 127.0.0.1:1 does not answer")
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("the password is shown: %v", err)
		}
	})
	t.Run("no such database", func(t *testing.T) {
		_, err := store.Open(t.Context(), store.Config{URL: url + "nothing"})
		says(t, err, "does not exist: make it with `createdb`")
	})
	t.Run("no such user", func(t *testing.T) {
		_, err := store.Open(t.Context(), store.Config{URL: strings.Replace(url, "tandem:", "nobody:", 1)})
		says(t, err, "does not let us in")
	})
	t.Run("read only", func(t *testing.T) {
		s := storetest.Open(t, url)
		table(t, s)
		if err := s.Break("ALTER DATABASE " + url[strings.LastIndex(url, "/")+1:] + " SET default_transaction_read_only = on"); err != nil {
			t.Fatal(err)
		}
		s.Close()
		s = storetest.Open(t, url)
		err := s.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), "INSERT INTO thing (id, n) VALUES ('a', 1)")
			return err
		})
		says(t, err, "is read-only")
	})
}

func TestAServerWhoseDiskIsFullChangesNothing(t *testing.T) {
	url := storetest.Server(t)
	dir := smallDisk(t, "size=24m", 0)
	owner, err := user.Lookup("postgres")
	if err != nil {
		t.Skip(err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	reachable(t, dir)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	s := storetest.Open(t, url)
	table(t, s)
	for _, q := range []string{"CREATE TABLESPACE small LOCATION '" + dir + "'", "ALTER TABLE thing SET TABLESPACE small"} {
		if err := s.Break(q); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		s.Break("DROP TABLE thing")
		s.Break("DROP TABLESPACE small")
	})
	body := bytes.Repeat([]byte("x"), 1900) // below what PostgreSQL moves out of the row and compresses
	err = s.Write(t.Context(), func(tx *store.Tx) error {
		for i := range 20_000 {
			if _, err := tx.Exec(t.Context(), "INSERT INTO thing (id, n, body) VALUES (?, 0, ?)", strconv.Itoa(i), body); err != nil {
				return err
			}
		}
		return nil
	})
	says(t, err, "its disk is full")
	if n := count(t, s); n != 0 {
		t.Errorf("%d rows", n)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=48m"); err != nil {
		t.Fatal(err)
	}
	write(t, s, "INSERT INTO thing (id, n) VALUES ('a', 1)")
}

// reachable lets the server's user go through the folders of the test.
func reachable(t *testing.T, dir string) {
	t.Helper()
	for up := filepath.Dir(dir); up != os.TempDir() && len(up) > 1; up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o711); err != nil {
			t.Fatal(err)
		}
	}
}
