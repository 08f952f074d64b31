package app

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// In a process of its own, since what it gives up does not come back.
func TestAHardenedProcessLeavesNoCore(t *testing.T) {
	if os.Getenv("TANDEM_HARDENED") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestAHardenedProcessLeavesNoCore$")
		cmd.Env = append(os.Environ(), "TANDEM_HARDENED=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if err := Harden(); err != nil {
		t.Fatal(err)
	}
	if n, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || n != 0 {
		t.Errorf("dumpable is %d (%v)", n, err)
	}
	limits, err := os.ReadFile("/proc/self/limits")
	if os.IsPermission(err) {
		return // we may not even look ourselves
	}
	for line := range strings.Lines(string(limits)) {
		if strings.HasPrefix(line, "Max core file size") && !strings.Contains(line, " 0 ") {
			t.Error(line)
		}
	}
}
