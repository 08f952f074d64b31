package e2e

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/sandbox/phone"
)

// buildNode builds the program.
func buildNode(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "tandem")
	out, err := exec.Command("go", "build", "-o", bin, "../cmd/tandem").CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// serve runs the node as a process of its own.
func (s *siege) serve(bin string) *program {
	s.t.Helper()
	p := s.start(bin, "serve", "-c", s.file())
	s.node = ops.Dial(filepath.Join(s.dir, "data", "control.sock"))
	s.until(20*time.Second, func() string {
		select {
		case <-p.exited:
			s.t.Fatalf("the node ended:\n%s", p.out)
		default:
		}
		h, err := s.node.Health(s.ctx)
		if err != nil {
			return err.Error()
		}
		if h.State != ops.Ready {
			return h.State
		}
		return ""
	})
	return p
}

// A node that is killed in the middle of its work comes back at once, with
// every record that it had promised: the far side has had a response to its
// INVITE only after the record was on the disk.
func TestAKilledNodeComesBackWithItsRecords(t *testing.T) {
	s := besiege(t)
	bin := buildNode(t)
	s.core.Answer(subscriber, phone.Behaviour{Ring: 50 * time.Millisecond})
	s.teams.Answer(user, phone.Behaviour{Ring: 50 * time.Millisecond})
	for round := range 2 {
		p := s.serve(bin)
		s.ready()
		known := map[string]bool{}
		for _, r := range s.everything() {
			known[r.Caller.CallID] = true
		}
		calls := s.load(2 * time.Second)
		// In mid-load: the loading goroutines go on while the node dies.
		if err := syscall.Kill(p.cmd.Process.Pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-p.exited
		promised := calls()
		if len(promised) < 20 {
			t.Fatalf("round %d: %d calls were answered before the end", round, len(promised))
		}
		s.free(p.cmd.Process.Pid)
		restarted := time.Now()
		p = s.serve(bin)
		back := time.Since(restarted)
		past := map[string]record.Call{}
		for _, r := range s.everything() {
			past[r.Caller.CallID] = r
		}
		for _, f := range promised {
			switch r, ok := past[f.ID]; {
			case !ok:
				t.Errorf("round %d: the record of an answered call is lost: %s", round, f.ID)
			case r.Ended == nil:
				t.Errorf("round %d: the record of %s is open, and nobody will close it", round, f.ID)
			}
		}
		t.Logf("round %d: %d calls promised, %d records more than before, ready %v after its start", round, len(promised), len(past)-len(known), back.Round(time.Millisecond))
		s.ready()
		s.hangUp(s.talkFor(time.Second))
		s.stopNode(p)
	}
}

// talkFor has a call each way for a while.
func (s *siege) talkFor(d time.Duration) []pair {
	calls := s.talk(1)
	<-time.After(d)
	return calls
}

// everything is all the node's records.
func (s *siege) everything() []record.Call {
	s.t.Helper()
	past, err := s.node.Past(s.ctx, record.Filter{Limit: 10_000})
	if err != nil {
		s.t.Fatal(err)
	}
	return past
}

// load places calls for a while, and goes on; what it gives tells which were
// answered before the end, after all have been told so.
func (s *siege) load(d time.Duration) func() []phone.Facts {
	ctx, stop := context.WithCancel(s.ctx)
	var calls []*phone.Call
	done := make(chan struct{})
	go func() {
		defer close(done)
		every(ctx, 10*time.Millisecond, 500, func(int) {
			if c, err := s.core.Dial(s.ctx, phone.CallSpec{From: subscriber, To: user, Duration: 400 * time.Millisecond, Patience: 2 * time.Second}); err == nil {
				calls = append(calls, c)
			}
			if c, err := s.teams.Dial(s.ctx, phone.CallSpec{From: user, To: subscriber, Duration: 400 * time.Millisecond, Patience: 2 * time.Second}); err == nil {
				calls = append(calls, c)
			}
		})
	}()
	<-time.After(d)
	return func() []phone.Facts {
		stop()
		<-done
		var answered []phone.Facts
		for _, c := range calls {
			if f := c.Brief(); !f.Answered.IsZero() {
				answered = append(answered, f)
			}
			c.HangUp()
		}
		return answered
	}
}

// free fails the test when anything of the killed process is still held.
func (s *siege) free(pid int) {
	s.t.Helper()
	for _, at := range []string{s.gatewayCore().String(), s.gatewayCloud().String()} {
		l, err := net.Listen("tcp4", at)
		if err != nil {
			s.t.Errorf("its port is not free: %v", err)
			continue
		}
		_ = l.Close()
	}
	if ports := append(s.mediaPorts(s.gatewayCore().Addr()), s.mediaPorts(s.gatewayCloud().Addr())...); len(ports) > 0 {
		s.t.Errorf("%d media ports are still open", len(ports))
	}
	if err := syscall.Kill(pid, 0); err == nil {
		s.t.Errorf("process %d still lives", pid)
	}
}

// stopNode ends the node in order.
func (s *siege) stopNode(p *program) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, 15*time.Second)
	defer cancel()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-ctx.Done():
		s.t.Fatal("the node does not end")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		s.t.Errorf("the node ended with code %d:\n%s", code, p.out)
	}
}
