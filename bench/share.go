package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// sharePeriod is what a share of the processors is accounted over: short
// beside a call's set-up, long beside the kernel's slices of 5 ms.
const sharePeriod = 20 * time.Millisecond

// limit keeps processes and their descendants within a share of one processor
// until undo is called, so that an overload saturates them and not the machine
// they share with the load. It needs root, and the cpu controller of control
// groups, version 1 or 2.
func limit(pids []int, share float64) (undo func(), err error) {
	all, err := family(pids)
	if err != nil {
		return nil, err
	}
	root, err := cpuRoot()
	if err != nil {
		return nil, err
	}
	group := filepath.Join(root.dir, fmt.Sprintf("tandem-bench-%d", os.Getpid()))
	if err := os.Mkdir(group, 0o755); err != nil {
		return nil, fmt.Errorf("make a control group: %w", err)
	}
	before := map[int]string{}
	undo = func() {
		for pid, dir := range before {
			_ = enter(dir, pid) // it may have ended
		}
		_ = os.Remove(group)
	}
	if err := root.quota(group, share); err != nil {
		undo()
		return nil, fmt.Errorf("limit a control group: %w", err)
	}
	for _, pid := range all {
		dir, err := root.of(pid)
		if err == nil {
			before[pid] = dir
			err = enter(group, pid)
		}
		if err != nil {
			undo()
			return nil, fmt.Errorf("limit process %d: %w", pid, err)
		}
	}
	return undo, nil
}

// cpuGroups is where the cpu controller is.
type cpuGroups struct {
	dir    string
	second bool // version 2
}

func cpuRoot() (cpuGroups, error) {
	if _, err := os.Stat("/sys/fs/cgroup/cpu/cpu.shares"); err == nil {
		return cpuGroups{dir: "/sys/fs/cgroup/cpu"}, nil
	}
	const second = "/sys/fs/cgroup"
	have, err := os.ReadFile(filepath.Join(second, "cgroup.controllers"))
	if err != nil || !bytes.Contains(have, []byte("cpu")) {
		return cpuGroups{}, errors.New("no control groups for processors are mounted")
	}
	if err := put(second, "cgroup.subtree_control", "+cpu"); err != nil {
		return cpuGroups{}, err
	}
	return cpuGroups{dir: second, second: true}, nil
}

func (g cpuGroups) quota(group string, share float64) error {
	period := int(sharePeriod.Microseconds())
	quota := int(share * float64(period))
	if g.second {
		return put(group, "cpu.max", fmt.Sprintf("%d %d", quota, period))
	}
	return errors.Join(
		put(group, "cpu.cfs_period_us", strconv.Itoa(period)),
		put(group, "cpu.cfs_quota_us", strconv.Itoa(quota)),
	)
}

// of is the group a process is in, of the lines "N:controllers:path".
func (g cpuGroups) of(pid int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 && (g.second && f[0] == "0" || !g.second && f[1] == "cpu") {
			return filepath.Join(g.dir, f[2]), nil
		}
	}
	return "", errors.New("it is in no control group")
}

func enter(group string, pid int) error { return put(group, "cgroup.procs", strconv.Itoa(pid)) }

func put(group, name, value string) error {
	return os.WriteFile(filepath.Join(group, name), []byte(value), 0o644)
}
