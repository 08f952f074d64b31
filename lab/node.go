package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tandemgw/tandem/front/ops"
)

// node is one process of `tandem serve`.
type node struct {
	name    string   // RO
	command []string // RO
	file    string   // RO: its configuration
	socket  string   // RO
	client  *ops.Client

	cmd    *exec.Cmd
	log    *tail
	exited chan struct{}
}

// start runs the process. Its log is kept for the moment something fails.
func (n *node) start() error {
	args := append(append([]string{}, n.command[1:]...), "serve", "-c", n.file)
	n.cmd = exec.Command(n.command[0], args...)
	file, err := os.OpenFile(filepath.Join(filepath.Dir(n.file), "node.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep the log of node %s: %w", n.name, err)
	}
	n.log = &tail{}
	out := io.MultiWriter(n.log, file)
	n.cmd.Stdout, n.cmd.Stderr = out, out
	// A group of its own: Ctrl-C in the terminal is the lab's to handle, and
	// Pdeathsig ends the node if the lab itself is killed.
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := n.cmd.Start(); err != nil {
		_ = file.Close()
		return fmt.Errorf("start node %s: %w", n.name, err)
	}
	n.exited = make(chan struct{})
	n.client = ops.Dial(n.socket)
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait() // how it ended shows in its log
		_ = file.Close()
		close(exited)
	}(n.cmd, n.exited)
	return nil
}

// kill ends the process without a word, as a power cut would.
func (n *node) kill() {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Kill() // it may have ended by itself
	<-n.exited
	n.cmd = nil
}

// terminate asks the process to drain and waits for it, at most for grace.
func (n *node) terminate(grace time.Duration) {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-n.exited:
		n.cmd = nil
	case <-time.After(grace):
		n.kill()
	}
}

// ready waits until the node says so and all its peers are up. progress is
// told what is still missing.
func (n *node) ready(ctx context.Context, progress func(string)) error {
	var missing string
	for {
		select {
		case <-n.exited:
			return fmt.Errorf("node %s ended: %s", n.name, n.log.last())
		case <-ctx.Done():
			return fmt.Errorf("node %s is not ready: %s", n.name, missing)
		case <-time.After(50 * time.Millisecond):
		}
		missing = n.missing(ctx)
		if missing == "" {
			return nil
		}
		progress(missing)
	}
}

// up waits until the node says that it is ready, whatever peers it has.
func (n *node) up(ctx context.Context) error {
	for {
		health, err := n.client.Health(ctx)
		if err == nil && health.State == ops.Ready {
			return nil
		}
		select {
		case <-n.exited:
			return fmt.Errorf("node %s ended: %s", n.name, n.log.last())
		case <-ctx.Done():
			return fmt.Errorf("node %s is not ready: %s", n.name, n.log.last())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// missing says what keeps the node from being ready, "" when nothing does.
func (n *node) missing(ctx context.Context) string {
	health, err := n.client.Health(ctx)
	if err != nil {
		return n.name + " starts"
	}
	if health.State != ops.Ready {
		return n.name + " is " + health.State + " " + health.Why
	}
	peers, err := n.client.Peers(ctx)
	if err != nil {
		return err.Error()
	}
	for _, p := range peers {
		if p.State != "up" {
			return strings.TrimSpace(n.name + " → " + p.Peer + " is " + p.State + " " + p.Why)
		}
	}
	return ""
}

// tail keeps the end of a process's output.
type tail struct {
	mu  sync.Mutex // the process writes while the lab reads
	buf bytes.Buffer
}

// tailBytes is enough for the lines around a failure.
const tailBytes = 64 << 10

// Write keeps the last tailBytes of what is written.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if over := t.buf.Len() - tailBytes; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

// last is the last line written.
func (t *tail) last() string {
	lines := strings.Split(strings.TrimSpace(t.String()), "\n")
	return lines[len(lines)-1]
}

// String is all that is kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
