package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// usage is what processes have used of the processors, and hold of the memory.
type usage struct {
	cpu time.Duration // user and system, of all threads there were
	pss int64         // bytes; what several share is counted once
	rss int64
}

// measure reads the usage of processes and of all their descendants.
func measure(roots []int) (usage, error) {
	all, err := family(roots)
	if err != nil {
		return usage{}, err
	}
	var sum usage
	for _, pid := range all {
		one, err := usageOf(pid)
		switch {
		case errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.EINVAL):
			// It ended since family saw it.
		case err != nil:
			return usage{}, fmt.Errorf("measure process %d: %w", pid, err)
		}
		sum.cpu += one.cpu
		sum.pss += one.pss
		sum.rss += one.rss
	}
	return sum, nil
}

func usageOf(pid int) (usage, error) {
	cpu, err := cpuOf(pid)
	if err != nil {
		return usage{}, err
	}
	u := usage{cpu: cpu}
	u.pss, u.rss, err = memoryOf(pid)
	return u, err
}

// cpuOf reads the process's own processor clock (clock_getcpuclockid(3)), the
// sum that /proc/PID/stat rounds to hundredths of a second.
func cpuOf(pid int) (time.Duration, error) {
	const processScheduled = 2                         // CPUCLOCK_SCHED of include/linux/posix-timers_types.h
	clock := int32(^uint32(pid)<<3) | processScheduled //nolint:gosec // as the kernel writes it
	var ts syscall.Timespec
	_, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&ts)), 0)
	if errno != 0 {
		return 0, os.NewSyscallError("clock_gettime", errno)
	}
	return time.Duration(ts.Nano()), nil
}

// memoryOf reads the proportional and the resident set.
func memoryOf(pid int) (pss, rss int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		kb, _ := strconv.ParseInt(f[1], 10, 64) // a line that is no number is none of the two
		switch f[0] {
		case "Pss:":
			pss = kb << 10
		case "Rss:":
			rss = kb << 10
		}
	}
	return pss, rss, nil
}

// family is the processes and all that descend from them.
func family(roots []int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	alive := map[int]bool{}
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		pid, parent, ok := parentOf(text)
		if ok {
			children[parent] = append(children[parent], pid)
			alive[pid] = true
		}
	}
	var all []int
	for _, pid := range roots {
		if !alive[pid] {
			return nil, fmt.Errorf("process %d is not there", pid)
		}
	}
	seen := map[int]bool{}
	for queue := roots; len(queue) > 0; {
		pid := queue[0]
		queue = append(queue[1:len(queue):len(queue)], children[pid]...)
		if !seen[pid] {
			seen[pid] = true
			all = append(all, pid)
		}
	}
	return all, nil
}

// parentOf reads pid and parent of a line of /proc/PID/stat. The command in
// parentheses may hold anything.
func parentOf(stat []byte) (pid, parent int, ok bool) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return 0, 0, false
	}
	words := bufio.NewScanner(bytes.NewReader(stat[end+1:]))
	words.Split(bufio.ScanWords)
	words.Scan() // state
	words.Scan()
	pid, err1 := strconv.Atoi(string(bytes.TrimSpace(stat[:open])))
	parent, err2 := strconv.Atoi(words.Text())
	return pid, parent, err1 == nil && err2 == nil
}
