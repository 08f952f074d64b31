package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tandemgw/tandem/link/record"
)

// tandem runs a command of the program in the siege's folder, and gives its
// exit status and what it wrote.
func (s *siege) tandem(bin string, args ...string) (int, string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.ctx, bin, args...)
	cmd.Dir = s.dir
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// A node under load is copied; it is killed, its data is gone; what was copied
// comes back, and calls go on.
func TestANodeThatLostItsDataIsRestored(t *testing.T) {
	s := besiege(t)
	bin := buildNode(t)
	archive := filepath.Join(t.TempDir(), "siege.tar.gz")
	p := s.serve(bin)
	s.ready()

	calls := s.load(2 * time.Second)
	if status, out := s.tandem(bin, "backup", "--to", archive); status != 0 || !strings.Contains(out, "of node siege") {
		t.Fatalf("backup: %d\n%s", status, out)
	}
	atBackup := time.Now()
	if answered := calls(); len(answered) < 20 {
		t.Errorf("%d calls were answered", len(answered))
	}
	before := s.everything()
	if info, err := os.Stat(archive); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the archive: %v, %v", info, err)
	}
	if status, out := s.tandem(bin, "backup", "--to", archive); status != 1 || !strings.Contains(out, "exists: name another file") {
		t.Errorf("a second backup into the same file: %d\n%s", status, out)
	}
	if status, out := s.tandem(bin, "restore", "--from", archive, "-c", s.file()); status != 1 || !strings.Contains(out, "another node is running") {
		t.Errorf("restored under a running node: %d\n%s", status, out)
	}

	if err := syscall.Kill(p.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.exited
	if status, out := s.tandem(bin, "restore", "--from", archive, "-c", s.file()); status != 1 || !strings.Contains(out, "is not empty") {
		t.Errorf("restored over what is there: %d\n%s", status, out)
	}
	if err := os.RemoveAll(filepath.Join(s.dir, "data")); err != nil {
		t.Fatal(err)
	}
	half := archive + ".half"
	whole, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(half, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if status, out := s.tandem(bin, "restore", "--from", half, "-c", s.file()); status != 2 || !strings.Contains(out, "the archive is damaged") {
		t.Errorf("restored from half an archive: %d\n%s", status, out)
	}
	if status, out := s.tandem(bin, "restore", "--from", archive, "-c", s.file()); status != 0 || !strings.Contains(out, "Start the node.") {
		t.Fatalf("restore: %d\n%s", status, out)
	}

	p = s.serve(bin)
	s.ready()
	past := map[string]record.Call{}
	for _, r := range s.everything() {
		past[r.ID] = r
	}
	want := 0
	for _, r := range before {
		// The copy is of a moment within the command.
		if r.Ended == nil || r.Ended.After(atBackup.Add(-2*time.Second)) {
			continue
		}
		want++
		if got, ok := past[r.ID]; !ok || got.Ended == nil {
			t.Errorf("the record of %s is lost or open", r.ID)
		}
	}
	for id, r := range past {
		if r.Ended == nil {
			t.Errorf("the record of %s is open, and nobody will close it", id)
		}
	}
	t.Logf("%d records before, %d of them sure to be in the copy, %d restored", len(before), want, len(past))
	if len(past) == 0 {
		t.Error("nothing was restored")
	}
	s.hangUp(s.talkFor(time.Second))
	s.stopNode(p)
}
