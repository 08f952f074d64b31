package app

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link/record"
)

// archived is a backup of a running node, as octets of a tar.
func archived(t *testing.T, c *ops.Client) []byte {
	t.Helper()
	a, err := c.Backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := io.ReadAll(a)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// dump is the content of a folder but for what is passing.
func dump(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		if err != nil || !e.Type().IsRegular() || passing(name) {
			return err
		}
		b, err := os.ReadFile(path)
		info, _ := e.Info()
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
		got[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// kept makes a node with something of everything in its data folder, and its
// backup; the node has ended.
func kept(t *testing.T) (cfg *Config, archive []byte) {
	t.Helper()
	cfg = load(t)
	if err := os.MkdirAll(filepath.Join(cfg.Node.Data, "identity"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, cfg.Node.Data, "identity/shown.pem", "the private key")
	n := start(t, cfg)
	defer n.Close()
	s, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + filepath.Join(cfg.Node.Data, store.FileName)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n.backsUpStore(s, "")
	return cfg, archived(t, ops.Dial(cfg.Node.Socket()))
}

func TestABackupHoldsWhatTheDataFolderDoesAndNothingIsLeftOfIt(t *testing.T) {
	cfg, archive := kept(t)
	var names []string
	m, err := ops.ReadArchive(bytes.NewReader(archive), func(_ ops.Manifest, f ops.ArchivedFile, _ io.Reader) error {
		names = append(names, f.Name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"calls.db", "control.db", "identity/shown.pem"}, names); d != "" {
		t.Error(d)
	}
	if m.Node != cfg.Node.Name || m.Version != "test" || len(m.Elsewhere) != 0 {
		t.Errorf("manifest %+v", m)
	}
	if left, _ := filepath.Glob(filepath.Join(cfg.Node.Data, "backup-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestWhatWasBackedUpIsRestoredAndTheNodeStarts(t *testing.T) {
	cfg, archive := kept(t)
	if err := os.RemoveAll(cfg.Node.Data); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), cfg, bytes.NewReader(archive)); err != nil {
		t.Fatal(err)
	}
	got := dump(t, cfg.Node.Data)
	if len(got) != 4 || got["identity/shown.pem"] != "the private key" {
		t.Errorf("restored %d files", len(got))
	}
	if r, err := readRestored(cfg.Node.Data); err != nil || time.Since(r.Made) > time.Minute {
		t.Errorf("edges would be asked for records since %v, %v", r.Made, err)
	}
	start(t, cfg).Close()
	s, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + filepath.Join(cfg.Node.Data, store.FileName)})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

func TestARestorationIsRefusedAndChangesNothing(t *testing.T) {
	cfg, archive := kept(t)
	newer := newerRecords(t, cfg)
	for name, c := range map[string]struct {
		prepare func(t *testing.T, cfg *Config) io.Reader
		want    string
	}{
		"while the node runs": {func(t *testing.T, cfg *Config) io.Reader {
			n := start(t, cfg)
			t.Cleanup(n.Close)
			return bytes.NewReader(archive)
		}, "another node is running on the data folder"},
		"into a folder with data": {func(t *testing.T, cfg *Config) io.Reader {
			start(t, cfg).Close()
			return bytes.NewReader(archive)
		}, "is not empty, calls.db is there: move it away"},
		"beside the log of a database that is gone": {func(t *testing.T, cfg *Config) io.Reader {
			write(t, cfg.Node.Data, "calls.db-wal", "old")
			return bytes.NewReader(archive)
		}, "is not empty, calls.db-wal is there"},
		"of another node": {func(_ *testing.T, cfg *Config) io.Reader {
			cfg.Node.Name = "r9-z"
			return bytes.NewReader(archive)
		}, "and this is r9-z"},
		"of half an archive": {func(*testing.T, *Config) io.Reader {
			return bytes.NewReader(archive[:len(archive)/2])
		}, "the archive is damaged"},
		"of a changed archive": {func(*testing.T, *Config) io.Reader {
			bad := bytes.Clone(archive)
			bad[bytes.LastIndex(bad, []byte("the private key"))] ^= 1
			return bytes.NewReader(bad)
		}, "identity/shown.pem does not match its checksum"},
		"of a half of what was packed": {func(t *testing.T, _ *Config) io.Reader {
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			w.Write(archive)
			w.Close()
			r, err := gzip.NewReader(bytes.NewReader(b.Bytes()[:b.Len()-6]))
			if err != nil {
				t.Fatal(err)
			}
			return r
		}, "the archive is damaged"},
		"of a newer Tandem's records": {func(*testing.T, *Config) io.Reader {
			return bytes.NewReader(newer)
		}, "written by a newer Tandem"},
	} {
		t.Run(name, func(t *testing.T) {
			own := *cfg
			own.Node.Data = t.TempDir()
			r := c.prepare(t, &own)
			before := dump(t, own.Node.Data)
			_, err := Restore(t.Context(), &own, r)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want %q", err, c.want)
			}
			if strings.HasPrefix(name, "while") {
				return // the node writes
			}
			if d := cmp.Diff(before, dump(t, own.Node.Data)); d != "" {
				t.Error(d)
			}
			if left, _ := filepath.Glob(filepath.Join(own.Node.Data, "rest*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// newerRecords is a whole archive with a spool that this version does not know.
func newerRecords(t *testing.T, cfg *Config) []byte {
	t.Helper()
	c := &dataCopy{data: t.TempDir(), done: func() {}, manifest: ops.Manifest{Node: cfg.Node.Name}}
	err := c.fill(t.Context(), []database{{"calls.db", func(_ context.Context, path string) error {
		b, err := os.ReadFile(filepath.Join(cfg.Node.Data, "calls.db"))
		if err != nil {
			return err
		}
		b[63] = 99 // user_version, SQLite file format 1.3.16
		b[60], b[61], b[62] = 0, 0, 0
		return os.WriteFile(path, b, 0o600)
	}}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What is decided is finished by whoever has the lock next, however often it is
// interrupted; what is not decided is removed.
func TestARestorationThatWasInterruptedIsFinishedOrForgotten(t *testing.T) {
	cfg, archive := kept(t)
	cfg.Node.Data = t.TempDir()
	if _, err := Restore(t.Context(), cfg, bytes.NewReader(archive)); err != nil {
		t.Fatal(err)
	}
	want := dump(t, cfg.Node.Data)
	for _, moved := range []string{"", "calls.db", "identity/shown.pem"} {
		cfg.Node.Data = t.TempDir()
		for name, content := range want {
			dir := filepath.Join(cfg.Node.Data, restoring)
			if name == moved {
				dir = cfg.Node.Data
			}
			if err := writeNew(filepath.Join(dir, name), strings.NewReader(content)); err != nil {
				t.Fatal(err)
			}
		}
		write(t, cfg.Node.Data, "restore-1234", "of one that was killed early")
		if err := tidy(cfg.Node.Data); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, dump(t, cfg.Node.Data)); d != "" {
			t.Errorf("after %q was moved: %s", moved, d)
		}
		start(t, cfg).Close()
	}
}

func TestABackupLeavesRoomForCalls(t *testing.T) {
	dir := t.TempDir()
	c := &dataCopy{data: dir, done: func() {}}
	f, err := os.Create(filepath.Join(dir, "calls.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(1 << 50); err != nil { // a hole: no disk is as large
		t.Skip(err)
	}
	err = c.fill(t.Context(), []database{{"calls.db", func(context.Context, string) error {
		t.Error("it was tried")
		return nil
	}}})
	if f, ok := errors.AsType[*fault.Error](err); !ok || !strings.Contains(f.Public, "free some space there") {
		t.Errorf("error = %v", err)
	}
}

func TestOneBackupAtATime(t *testing.T) {
	cfg := load(t)
	n := start(t, cfg)
	defer n.Close()
	first, err := n.backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.backup(t.Context()); fault.Of(err) != fault.Conflict {
		t.Errorf("error = %v", err)
	}
	first.Close()
	archived(t, ops.Dial(cfg.Node.Socket()))
}

// Calls go on while the node is copied, and a call in progress at that moment
// is in the copy.
func TestABackupIsMadeUnderCalls(t *testing.T) {
	w := build(t)
	s, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + filepath.Join(w.node.cfg.Node.Data, store.FileName)})
	w.must(err)
	defer s.Close()
	w.node.backsUpStore(s, "")
	ended := w.talk(true)
	ended.HangUp()
	w.until(func() string {
		past, err := w.ops.Past(t.Context(), record.Filter{Limit: 10})
		if err != nil || len(past) != 1 || past[0].Ended == nil {
			return "the first call has not ended"
		}
		return ""
	})
	open := w.talk(false)
	archive := archived(t, w.ops)
	if f := open.Facts(); !f.Ended.IsZero() {
		t.Errorf("the backup ended a call: %+v", f)
	}
	open.HangUp()
	w.node.Close()
	w.must(os.RemoveAll(w.node.cfg.Node.Data))
	m, err := Restore(t.Context(), w.node.cfg, bytes.NewReader(archive))
	w.must(err)
	if m.Made.IsZero() || time.Since(m.Made) > time.Minute {
		t.Errorf("made at %v", m.Made)
	}
	again, err := New(w.node.cfg, slog.New(slog.DiscardHandler), "test")
	w.must(err)
	defer again.Close()
	w.node = again
	w.ready()
	past, err := w.ops.Past(t.Context(), record.Filter{Limit: 10})
	w.must(err)
	if len(past) != 2 || past[0].Ended == nil || past[1].Ended == nil {
		t.Errorf("records after the restoration: %+v", past)
	}
	w.talk(true).HangUp()
}

// What control keeps is in the copy, one state with what the API answered
// before, and a restored node serves it.
func TestAControlNodeIsRestored(t *testing.T) {
	n, _ := controlNode(t)
	group := func(method, name string) int {
		t.Helper()
		const of = "http://node/subscriptions/7f8d5c6e-0000-4000-8000-000000000002/resourcegroups/"
		req, err := http.NewRequestWithContext(t.Context(), method, of+name+"?api-version=2021-04-01", strings.NewReader(`{"location":"West Europe"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := ops.Dial(n.cfg.Node.Socket()).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	if status := group(http.MethodPut, "before"); status != http.StatusCreated {
		t.Fatalf("PUT: %d", status)
	}
	archive := archived(t, ops.Dial(n.cfg.Node.Socket()))
	if status := group(http.MethodPut, "after"); status != http.StatusCreated {
		t.Fatalf("PUT: %d", status)
	}
	n.Close()
	if err := os.RemoveAll(n.cfg.Node.Data); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), n.cfg, bytes.NewReader(archive)); err != nil {
		t.Fatal(err)
	}
	n = start(t, n.cfg)
	defer n.Close()
	if before, after := group(http.MethodGet, "before"), group(http.MethodGet, "after"); before != http.StatusOK || after != http.StatusNotFound {
		t.Errorf("the group of before the backup: %d, that of after: %d", before, after)
	}
}

// A backup that is made before every edge was asked, and restored, asks for
// what the earlier restoration lacked, too.
func TestTheRecordsThatAnEarlierRestorationLacksAreStillAskedFor(t *testing.T) {
	dir, first := t.TempDir(), time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	for _, made := range []time.Time{first, first.Add(time.Hour)} {
		if err := markRestored(dir, made); err != nil {
			t.Fatal(err)
		}
		r, err := readRestored(dir)
		if err != nil || !r.Made.Equal(first) || len(r.Asked) != 0 {
			t.Errorf("%+v, %v", r, err)
		}
		r.Asked = append(r.Asked, "r1-a")
		if err := r.write(dir); err != nil {
			t.Fatal(err)
		}
	}
}

func TestABackupSaysThatAServersDataIsElsewhere(t *testing.T) {
	url := storetest.Server(t)
	n := &Node{}
	n.backsUpStore(storetest.Open(t, url), url)
	if len(n.databases) != 0 || len(n.elsewhere) != 1 || !strings.Contains(n.elsewhere[0], "PostgreSQL at 127.0.0.1:") || strings.Contains(n.elsewhere[0], "tandem:tandem") {
		t.Errorf("elsewhere: %q", n.elsewhere)
	}
}
