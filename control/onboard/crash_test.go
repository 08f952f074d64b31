package onboard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// The child process applies a procedure of four steps, whose effects are files,
// and kills itself with SIGKILL at the point that TANDEM_ONBOARD_KILL names:
//
//	<step> looked at   its check ran, and nothing was kept of it
//	<step> begun       the row says that an action began
//	<step> done        the effect is there, and no row knows
//	ended              the operation has ended
const children = 4

func killed(name string) {
	if os.Getenv("TANDEM_ONBOARD_KILL") == name {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// filed are steps whose effects are files in dir; each action leaves a line in
// its file.
func filed(dir string) (steps []Step) {
	for i := range children {
		id, file := name(i), filepath.Join(dir, name(i))
		st := Step{
			ID: id, Title: "write " + id,
			Check: func(context.Context, *World) (Finding, error) {
				_, err := os.Stat(file)
				if errors.Is(err, os.ErrNotExist) {
					killed(id + " looked at")
					return Missing("no file"), nil
				}
				return Found("there", Is("file", id)), err
			},
			Act: func(ctx context.Context, w *World) error {
				killed(id + " begun")
				f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
				if err != nil {
					return err
				}
				_, err = f.WriteString("acted\n")
				err = errors.Join(err, f.Sync(), f.Close())
				killed(id + " done")
				return errors.Join(err, w.Record(ctx, "wrote."+id, "yes"))
			},
		}
		if i > 0 {
			st.Needs = []string{name(i - 1)}
		}
		steps = append(steps, st)
	}
	return steps
}

var crashing = Subject{Service: "OperatorConnect"}

func init() {
	crashing.Gateway.Subscription, crashing.Gateway.Group, crashing.Gateway.Name = "s", "g", "crash"
}

// child applies until the operation has ended.
func child(url, dir string) error {
	ctx := context.Background()
	st, err := store.Open(ctx, store.Config{URL: url})
	if err != nil {
		return err
	}
	defer st.Close()
	ops, err := operation.New(operation.Config{Store: st, Lease: 300 * time.Millisecond, Retry: time.Millisecond})
	if err != nil {
		return err
	}
	s, err := New(Config{Store: st, Operations: ops, Steps: filed(dir), Facts: []Fact{{Name: "wrote.*", Scope: OfService}}, Patience: 10 * time.Millisecond})
	if err != nil {
		return err
	}
	if err := ops.Start(ctx); err != nil {
		return err
	}
	defer ops.Close()
	if _, err := ops.Latest(ctx, crashing.resource()); err != nil { // the first of the children orders
		if _, err := s.Apply(ctx, crashing, Options{}, "anna"); err != nil {
			return err
		}
	}
	for {
		_, op, err := s.Follow(ctx, crashing, 1<<40)
		if err != nil {
			return err
		}
		if op.Status.Ended() {
			killed("ended")
			return nil
		}
	}
}

func TestApplyGoesOnAfterSIGKILLAtAnyPoint(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		dir := t.TempDir()
		var points []string // each child gets further than the one before
		for i := range children {
			for _, where := range []string{" looked at", " begun", " done"} {
				points = append(points, name(i)+where)
			}
		}
		points = append(points, "ended")
		deaths := 0
		for _, point := range append(points, "never") {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			cmd := exec.CommandContext(ctx, os.Args[0])
			cmd.Env = append(os.Environ(), "TANDEM_ONBOARD_CHILD="+url, "TANDEM_ONBOARD_DIR="+dir, "TANDEM_ONBOARD_KILL="+point)
			out, err := cmd.CombinedOutput()
			cancel()
			if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Sys().(syscall.WaitStatus).Signaled() {
				deaths++
			} else if err != nil {
				t.Fatalf("%s: %v\n%s", point, err, out)
			}
		}
		if deaths != len(points) {
			t.Errorf("%d of %d children died", deaths, len(points))
		}
		for i := range children {
			text, err := os.ReadFile(filepath.Join(dir, name(i)))
			if err != nil || strings.Count(string(text), "acted") != 1 {
				t.Errorf("%s was acted on %d times: %v", name(i), strings.Count(string(text), "acted"), err)
			}
		}
		st := storetest.Open(t, url)
		s := newSet(t, st, filed(dir), Fact{Name: "wrote.*", Scope: OfService})
		p, err := s.Plan(t.Context(), crashing, Options{})
		if err != nil || !p.Finished() || len(p.Steps) != children {
			t.Fatal(err, p)
		}
		for _, now := range p.Steps {
			if now.Done.IsZero() || now.DoneBy != "Tandem for anna" {
				t.Errorf("nobody knows since when %s is done, and by whom: %+v", now.ID, now)
			}
		}
		events, op, err := s.Follow(t.Context(), crashing, 0)
		if err != nil || op.Status != operation.Succeeded || events[0].What != Began || events[len(events)-1].What != EndedWith {
			t.Error(err, op, fmt.Sprint(events))
		}
	})
}
