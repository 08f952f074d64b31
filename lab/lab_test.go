package lab_test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tandemgw/tandem/lab"
)

// program builds cmd/tandem, with files replaced where overlay says so.
func program(t *testing.T, overlay map[string]string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("the lab takes a quarter of a minute")
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "tandem")
	args := []string{"build", "-o", bin}
	if len(overlay) > 0 {
		text, err := json.Marshal(map[string]any{"Replace": overlay})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "overlay.json")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-overlay", file)
	}
	if out, err := exec.Command("go", append(args, "../cmd/tandem")...).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// run runs the lab to its verdict. broken says that the world may not even
// come up, which is a verdict too.
func run(t *testing.T, bin string, broken bool) (verdict lab.Verdict, said string, status int) {
	t.Helper()
	cmd := exec.Command(bin, "lab", "--once", "--json")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if len(out) == 0 && broken {
		return verdict, stderr.String(), cmd.ProcessState.ExitCode()
	}
	if jsonErr := json.Unmarshal(out, &verdict); jsonErr != nil {
		t.Fatalf("the lab printed no verdict (%v, %v): %s%s", err, jsonErr, out, stderr.String())
	}
	return verdict, stderr.String(), cmd.ProcessState.ExitCode()
}

// cushion is how long this machine may stand still before it is heard.
const cushion = 60 // ms

// again tells that what failed is to be played once more, for this machine stood
// still meanwhile. What breaks a far side's rule is no matter of time.
func again(t *testing.T, ok bool, stalledMS float64, broken int, problems ...string) bool {
	t.Helper()
	if ok || stalledMS < cushion || broken > 0 {
		return false
	}
	t.Logf("again, after %s", strings.Join(problems, "; "))
	return true
}

func TestTheWholeWorldIsHeardThroughBothRegions(t *testing.T) {
	bin := program(t, nil)
	verdict, said, status := run(t, bin, false)
	for range 2 {
		if again(t, verdict.OK, verdict.StalledMS, len(verdict.Violations), verdict.Problems...) {
			verdict, said, status = run(t, bin, false)
		}
	}
	if !verdict.OK || status != 0 {
		t.Fatalf("exit status %d, verdict %+v\n%s", status, verdict.Problems, said)
	}
	if len(verdict.Calls) != 4 {
		t.Errorf("%d calls were placed, want 4", len(verdict.Calls))
	}
	for _, c := range verdict.Calls {
		for _, ear := range []lab.EarReport{c.Caller, c.Callee} {
			if !ear.Same || ear.Correlation < 0.9 {
				t.Errorf("%s: the end on the %s side heard %+v", c.Name, ear.Side, ear)
			}
			if encrypted := ear.Encryption != "none"; encrypted != (ear.Side == "Teams") {
				t.Errorf("%s: encryption on the %s side is %q", c.Name, ear.Side, ear.Encryption)
			}
		}
	}
	if f := verdict.Failover; f.CallsCut != 2 || f.OrphanClosed != 2 || f.RecoveredMS > f.LimitMS {
		t.Errorf("failover: %+v", f)
	}
}

// A verdict that cannot be bad is worth nothing: each of these breaks one
// line of the product, and the lab must find it.
func TestTheLabFindsWhatIsBroken(t *testing.T) {
	mutants := []struct {
		name, file, old, new string
		finds                string // in one of the problems, or in what the lab said
	}{
		{
			"SRTP with the wrong key", "edge/relay/relay.go",
			"plan := &rtp.Plan{", "if n.Out != nil { n.Out.Master[3] ^= 1 }\n\tplan := &rtp.Plan{",
			"heard nothing",
		},
		{
			"each side hears itself", "edge/relay/relay.go",
			"plan.To, plan.Out, plan.OutRTCP = m.ports[from.Other()], to.Out, to.outRTCP", "plan.To, plan.Out, plan.OutRTCP = m.ports[from], n.Out, n.outRTCP",
			"heard something else",
		},
		{
			"one region does not start", "app/node.go",
			"n.ready.Store(true)", "if cfg.Node.Region == \"r2\" { select {} }\n\tn.ready.Store(true)",
			"r2", // the node is not ready, or its gateway not complete
		},
		{
			"orphans stay open", "edge/record/schema.go",
			"total := 0\n", "total := 0\n\tif total == 0 { return 0, nil }\n",
			"closed as \"node lost\"",
		},
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			verdict, said, status := run(t, mutant(t, m.file, m.old, m.new), true)
			if verdict.OK || status != 1 {
				t.Fatalf("the lab took it for good: status %d, %+v", status, verdict)
			}
			if all := said + strings.Join(verdict.Problems, "\n"); !strings.Contains(all, m.finds) {
				t.Errorf("the lab failed for another reason than %q:\n%s", m.finds, all)
			}
		})
	}
}

// mutant builds the program with one line of a file changed.
func mutant(t *testing.T, file, old, new string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", file))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(source), old) != 1 {
		t.Fatalf("%s does not hold %q once: the test must follow the code", file, old)
	}
	broken := filepath.Join(t.TempDir(), "broken.go")
	if err := os.WriteFile(broken, []byte(strings.Replace(string(source), old, new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return program(t, map[string]string{path: broken})
}

func TestTheWorldStaysUpUntilCtrlCAndLeavesNothing(t *testing.T) {
	bin := program(t, nil)
	dir := t.TempDir()
	cmd := exec.Command(bin, "lab", "--dir", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	defer watchdog.Stop()
	var said strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "files "+dir) { // the last line of the guide
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
		}
		if n := len([]rune(lines.Text())); n > 80 && !strings.Contains(lines.Text(), "--socket") && !strings.Contains(lines.Text(), "curl") {
			t.Errorf("a line of %d columns: %s", n, lines.Text())
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the lab ended with %v after Ctrl-C:\n%s", err, said.String())
	}
	for _, want := range []string{"all is well", "stays up until Ctrl-C", "ending the world"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("the lab did not say %q:\n%s", want, said.String())
		}
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(processes) == 0 {
		t.Fatalf("cannot list processes: %v", err)
	}
	for _, p := range processes {
		line, _ := os.ReadFile(p) // it may have ended meanwhile
		if strings.Contains(string(line), dir) {
			t.Errorf("still running: %s", strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
}
