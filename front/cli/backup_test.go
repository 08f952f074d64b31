package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/front/ops"
)

// oneFile is a node's data of one file; it breaks off after a while when told.
type oneFile struct{ breaks bool }

func (oneFile) Size() int64  { return 5 }
func (oneFile) Close() error { return nil }

func (c oneFile) WriteTo(w io.Writer) (int64, error) {
	if c.breaks {
		fmt.Fprint(w, strings.Repeat("x", 1<<20))
		return 0, errors.New("the disk is gone")
	}
	m := ops.Manifest{
		Node: "r1-a", Made: time.Now(), Elsewhere: []string{"The rest is in PostgreSQL at db.example/tandem."},
		Files: []ops.ArchivedFile{{Name: "calls.db", Size: 5, SHA256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}},
	}
	return 5, ops.WriteArchive(w, m, func(ops.ArchivedFile) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("hello")), nil })
}

func serveBackup(t *testing.T, c ops.Copy, err error) (socket string) {
	t.Helper()
	silent := slog.New(slog.DiscardHandler)
	socket = filepath.Join(t.TempDir(), "control.sock")
	s, listenErr := ops.Listen(socket, ops.Handler(ops.Config{Backup: func(context.Context) (ops.Copy, error) { return c, err }, Log: silent}), silent)
	if listenErr != nil {
		t.Fatal(listenErr)
	}
	t.Cleanup(func() { s.Close() })
	return socket
}

func TestABackupIsOneFileForItsOwnerAndCanBeRestored(t *testing.T) {
	file := filepath.Join(t.TempDir(), "node.tar.gz")
	var out bytes.Buffer
	cmd := NewBackup()
	cmd.SetArgs([]string{"--socket", serveBackup(t, oneFile{}, nil), "--to", file})
	cmd.SetOut(&out)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "of node r1-a") || !strings.Contains(out.String(), "The rest is in PostgreSQL") {
		t.Errorf("said %q", out.String())
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	got := map[string]string{}
	restore := NewRestore(func(_ context.Context, config string, r io.Reader) (ops.Manifest, error) {
		if config != "node.yaml" {
			t.Errorf("configuration %q", config)
		}
		return ops.ReadArchive(r, func(_ ops.Manifest, f ops.ArchivedFile, r io.Reader) error {
			b, err := io.ReadAll(r)
			got[f.Name] = string(b)
			return err
		})
	})
	restore.SetArgs([]string{"--from", file, "-c", "node.yaml"})
	restore.SetOut(&out)
	if err := restore.ExecuteContext(t.Context()); err != nil || got["calls.db"] != "hello" {
		t.Errorf("restored %v, %v", got, err)
	}
}

func TestABackupThatFailsLeavesNoFileAndSaysWhy(t *testing.T) {
	for name, c := range map[string]struct {
		socket string
		to     string // in the test's folder
		exit   int
		want   string
	}{
		"no node":            {filepath.Join(t.TempDir(), "none.sock"), "f", ExitNoNode, "no node is running here"},
		"refused":            {serveBackup(t, nil, fault.New(fault.Unavailable, "the disk is too full")), "f", ExitFailure, "the disk is too full"},
		"broken off":         {serveBackup(t, oneFile{breaks: true}, nil), "f", ExitFailure, "not whole, so nothing was kept"},
		"a folder not there": {serveBackup(t, oneFile{}, nil), "none/f", ExitFailure, "does not exist: make it first"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cmd := NewBackup()
			cmd.SilenceErrors, cmd.SilenceUsage = true, true
			cmd.SetArgs([]string{"--socket", c.socket, "--to", filepath.Join(dir, c.to)})
			err := cmd.ExecuteContext(t.Context())
			if err == nil || ExitStatus(err) != c.exit || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, exit %d", err, ExitStatus(err))
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("left %v", left[0].Name())
			}
		})
	}
}

func TestARestorationOfSomethingElseIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(file, []byte("not packed"), 0o600); err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]int{file: ExitUsage, file + ".none": ExitNotFound} {
		cmd := NewRestore(func(context.Context, string, io.Reader) (ops.Manifest, error) {
			t.Error("it was tried")
			return ops.Manifest{}, nil
		})
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs([]string{"--from", from})
		if err := cmd.ExecuteContext(t.Context()); ExitStatus(err) != want {
			t.Errorf("%s: %v", from, err)
		}
	}
}
