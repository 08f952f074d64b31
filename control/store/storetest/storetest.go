// Package storetest gives tests the real databases, both of them: a SQLite file
// in the test's folder, and a database of its own on a PostgreSQL that the first
// test starts and that ends with the process, however that ends.
package storetest

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tandemgw/tandem/control/store"
)

// Each runs f against an empty store of each kind, as subtests "sqlite" and
// "postgres". With -short, and where PostgreSQL is not installed, the second is
// skipped, unless TANDEM_PEERS is "required": then it is an error.
func Each(t *testing.T, f func(t *testing.T, s *store.Store)) {
	EachURL(t, func(t *testing.T, url string) { f(t, Open(t, url)) })
}

// EachURL is Each for tests that open the store themselves.
func EachURL(t *testing.T, f func(t *testing.T, url string)) {
	t.Run(store.SQLite, func(t *testing.T) { f(t, File(t)) })
	t.Run(store.Postgres, func(t *testing.T) { f(t, Server(t)) })
}

// Open opens the store and closes it when the test ends.
func Open(t testing.TB, url string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// New is an empty SQLite store, for tests that have their own reason to use
// one database only.
func New(t testing.TB) *store.Store {
	t.Helper()
	return Open(t, File(t))
}

// File names a SQLite file in the test's folder.
func File(t testing.TB) string {
	return "sqlite:" + filepath.Join(t.TempDir(), "control.db")
}

var databases atomic.Int64

// Server names an empty database on PostgreSQL.
func Server(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("PostgreSQL is not started with -short")
	}
	c, err := server()
	if err != nil {
		if os.Getenv("TANDEM_PEERS") == "required" {
			t.Fatalf("PostgreSQL: %v", err)
		}
		t.Skipf("PostgreSQL: %v (e2e/install-peers installs it)", err)
	}
	name := "t" + strconv.FormatInt(databases.Add(1), 10)
	if err := run(t.Context(), c.url, "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return c.url + "/" + name
}

// run runs one statement in the server's own database.
func run(ctx context.Context, url, q string) error {
	db, err := sql.Open("pgx", url+"/postgres") // the store's driver
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, q)
	return err
}

// cluster is a running PostgreSQL.
type cluster struct {
	url      string    // without a database
	lifeline io.Closer // held open as long as the process lives
}

// server starts PostgreSQL once in this process.
var server = sync.OnceValues(func() (c cluster, err error) {
	bin, err := programs()
	if err != nil {
		return c, err
	}
	dir, err := os.MkdirTemp("", "tandem-postgres-")
	if err != nil {
		return c, err
	}
	attr, err := unprivileged(dir)
	if err != nil {
		return c, err
	}
	cmd := exec.Command("/bin/sh", "-c", script, "postgres", bin, dir)
	cmd.Dir = dir
	cmd.SysProcAttr = attr
	// Nobody writes to the pipe: its end, which comes with our own, stops the
	// server and removes the folder.
	if c.lifeline, err = cmd.StdinPipe(); err != nil {
		return c, err
	}
	if err := cmd.Start(); err != nil {
		return c, err
	}
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		port, err := port(dir)
		if err != nil {
			if _, err := os.Stat(filepath.Join(dir, "failed")); err == nil {
				break
			}
			continue
		}
		c.url = "postgres://tandem:tandem@127.0.0.1:" + port
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err = run(ctx, c.url, "SELECT 1")
		cancel()
		if err == nil {
			return c, nil
		}
	}
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	return c, fmt.Errorf("the server did not start: %s", log)
})

// script makes and runs the server in $2 with the programs of $1 until its
// input ends. What is never read after a crash need not be synced.
const script = `
umask 077
"$1/initdb" -D "$2/data" -U tandem -A trust --no-sync -E UTF8 --locale=C >"$2/log" 2>&1 || { touch "$2/failed"; exit 1; }
echo "fsync = off" >>"$2/data/postgresql.conf"
port=$((20000 + $$ % 10000))
while :; do
	"$1/postgres" -D "$2/data" -k "$2" -h 127.0.0.1 -p $port -c max_connections=200 >>"$2/log" 2>&1 </dev/null &
	server=$!
	sleep 0.3
	kill -0 $server 2>/dev/null && break
	port=$((port + 1))
done
echo $port >"$2/port"
read -r _
kill -INT $server
wait $server
rm -rf "$2"
`

func port(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "port"))
	if err == nil && len(b) == 0 {
		return "", os.ErrNotExist // being written
	}
	return strings.TrimSpace(string(b)), err
}

// programs finds the folder with initdb and postgres: Debian keeps them out of
// the path.
func programs() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", fmt.Errorf("initdb is not installed")
	}
	return filepath.Dir(path), nil
}

// unprivileged gives the folder to the user postgres when we are root, whom
// PostgreSQL refuses to serve, and says how to become that user.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	// A group of its own: an interrupt at the terminal is for the tests; the
	// server ends after them.
	attr := &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() != 0 {
		return attr, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, os.Chown(dir, uid, gid)
}
