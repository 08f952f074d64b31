package e2e

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// need skips the test when a program is missing, or a file where the name is a
// pattern, or fails it where the real peers are required.
func need(t *testing.T, name, pkg string) {
	t.Helper()
	if testing.Short() {
		t.Skip("real peers are left out by -short")
	}
	if files, err := filepath.Glob(name); err == nil && len(files) > 0 {
		return
	}
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	say := t.Skipf
	if os.Getenv("TANDEM_PEERS") == "required" {
		say = t.Fatalf
	}
	say("%s is not installed: install the Debian package %s, or run make peers", name, pkg)
}

// needIPv6 skips the test where there is no ::1.
func needIPv6(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no ::1: %v", err)
	}
	_ = l.Close()
}

// program is a child process. Its end is the test's at the latest.
type program struct {
	t      *testing.T
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser // stays open while the program runs: baresip reads it for ever
	out    *tail
	exited chan struct{}
}

// start runs a program in the world's folder.
func (w *world) start(name string, args ...string) *program {
	w.t.Helper()
	p := &program{t: w.t, name: name, out: &tail{}, exited: make(chan struct{})}
	p.cmd = exec.Command(name, args...)
	p.cmd.Dir = w.dir
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		w.t.Fatal(err)
	}
	started := make(chan error)
	go func() {
		// Pdeathsig is sent when the thread ends that made the child, and not
		// when the process does (prctl(2)): the thread stays as long as the
		// child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // ProcessState tells
		}
		close(p.exited)
	}()
	if err := <-started; err != nil {
		w.t.Fatalf("start %s: %v", name, err)
	}
	w.t.Cleanup(p.end)
	return p
}

// end asks the program to end, and ends it when it does not.
func (p *program) end() {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		select {
		case <-p.exited:
			return
		default:
		}
		_ = p.cmd.Process.Signal(s) // it may have ended in between
		select {
		case <-p.exited:
			return
		case <-time.After(2 * time.Second):
		}
	}
	<-p.exited
}

// wait waits for the program's own end and gives its exit code.
func (p *program) wait(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		p.t.Fatalf("%s has not ended after %s", p.name, within)
		return -1
	}
}
