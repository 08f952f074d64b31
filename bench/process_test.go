package bench

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestParentIsReadPastAnyCommand(t *testing.T) {
	for stat, want := range map[string][2]int{
		"12 (sh) S 7 12 12 0 -1":           {12, 7},
		"12 (a) b (c) S 7 12 12 0 -1":      {12, 7},
		"12 (x) S) R 1 12":                 {12, 1},
		"40 ((sd-pam)) S 39 39 39 0 -1 10": {40, 39},
	} {
		pid, parent, ok := parentOf([]byte(stat))
		if !ok || pid != want[0] || parent != want[1] {
			t.Errorf("%q: process %d of %d, %v", stat, pid, parent, ok)
		}
	}
	for _, stat := range []string{"", "12", "12 (", "12 (sh)", "x (sh) S 7", "12 (sh) S", ") ("} {
		if _, _, ok := parentOf([]byte(stat)); ok {
			t.Errorf("%q was taken for the stat of a process", stat)
		}
	}
}

// burn keeps a processor busy for a while, and gives what it cost.
func burn(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
	}
}

func TestTheProcessorTimeIsTheKernels(t *testing.T) {
	burn(200 * time.Millisecond)
	got, err := usageOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	// /proc/PID/stat counts in hundredths of a second.
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks [2]int64
	for i, word := range f[11:13] { // utime, stime
		if _, err := fmt.Sscan(word, &ticks[i]); err != nil {
			t.Fatal(err)
		}
	}
	want := time.Duration(ticks[0]+ticks[1]) * 10 * time.Millisecond
	if off := (got.cpu - want).Abs(); off > 60*time.Millisecond {
		t.Errorf("%v, the kernel says %v", got.cpu, want)
	}
	if got.pss <= 0 || got.rss < got.pss {
		t.Errorf("proportional %d, resident %d", got.pss, got.rss)
	}
}

func TestChildrenCountToTheirParent(t *testing.T) {
	// A shell whose child burns, while it waits itself.
	cmd := exec.Command("sh", "-c", "(while :; do :; done) & echo started; wait")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all []int
	defer func() {
		for _, pid := range all {
			if p, err := os.FindProcess(pid); err == nil {
				_ = p.Kill()
			}
		}
		_ = cmd.Wait()
	}()
	if _, err := fmt.Fscan(out, new(string)); err != nil {
		t.Fatal(err)
	}
	if all, err = family([]int{cmd.Process.Pid}); err != nil || len(all) != 2 {
		t.Fatalf("family %v, %v", all, err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		sum, err := measure([]int{cmd.Process.Pid})
		if err != nil {
			t.Fatal(err)
		}
		if sum.cpu > 50*time.Millisecond {
			return
		}
	}
	t.Error("the child's time does not count")
}

func TestAProcessThatIsNotThereIsAnError(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := measure([]int{cmd.Process.Pid}); err == nil {
		t.Error("a process that has ended was measured")
	}
}

func TestALimitedProcessGetsItsShare(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	cmd := exec.Command("sh", "-c", "while :; do :; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	undo, err := limit([]int{cmd.Process.Pid}, 0.2)
	if err != nil {
		t.Skip(err)
	}
	defer undo()
	before, err := cpuOf(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	rest(t.Context(), time.Second)
	after, err := cpuOf(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if share := float64(after-before) / float64(time.Since(began)); share > 0.3 {
		t.Errorf("it had %.2f of a processor", share)
	}
}
