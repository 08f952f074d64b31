package operation_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// The child process works on the operation "k" of resource "/r" and kills
// itself with SIGKILL at the point that TANDEM_OPERATION_KILL names:
//
//	<step> begun    the step runs and has done nothing yet, that is after the
//	                step before it was written
//	<step> shown    its progress was written
//	<step> done     its effect is there, the row does not know
//	ended           the last step was written
const children = 4 // steps of the operation

func point(name string) {
	if os.Getenv("TANDEM_OPERATION_KILL") == name {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// effects is what the steps leave: one row each, and the step that finds its
// own leaves it alone.
const effects = "CREATE TABLE effect (step TEXT NOT NULL PRIMARY KEY, n BIGINT NOT NULL, at BIGINT NOT NULL)"

func crashing() (steps []operation.Step) {
	for i := range children {
		name := fmt.Sprint("step", i)
		steps = append(steps, operation.Step{Name: name, Run: func(ctx context.Context, job *operation.Job) error {
			point(name + " begun")
			waited := job.Steps[i].Detail == "once"
			job.Detail("shown")
			point(name + " shown")
			err := job.Write(ctx, func(tx *store.Tx) error {
				_, err := tx.Exec(ctx, "INSERT INTO effect (step, n, at) VALUES (?, 1, ?) ON CONFLICT (step) DO NOTHING", name, time.Now().UnixMicro())
				return err
			})
			if err != nil {
				return err
			}
			point(name + " done")
			if i == 2 && !waited {
				return operation.Wait(time.Millisecond, "once")
			}
			return nil
		}})
	}
	return steps
}

// child runs what is due until the operation has ended.
func child(url string) int {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Config{URL: url})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer s.Close()
	set, err := operation.New(operation.Config{Store: s, Lease: 300 * time.Millisecond, Retry: time.Millisecond})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	set.Register("k", crashing()...)
	if err := set.Start(ctx); err != nil {
		fmt.Println(err)
		return 1
	}
	defer set.Close()
	for {
		op, err := set.Latest(ctx, "/r")
		if err != nil {
			fmt.Println(err)
			return 1
		}
		if op.Status.Ended() {
			point("ended")
			return 0
		}
		<-set.Watch(op.ID)
	}
}

func spawn(t *testing.T, url, kill string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "TANDEM_OPERATION_CHILD="+url, "TANDEM_OPERATION_KILL="+kill)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func killed(err error) bool {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// order begins the operation as a node that runs none.
func order(t *testing.T, url string) operation.Operation {
	t.Helper()
	s := storetest.Open(t, url)
	defer s.Close()
	set, err := operation.New(operation.Config{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	set.Register("k", crashing()...)
	var op operation.Operation
	err = s.Write(t.Context(), func(tx *store.Tx) (err error) {
		if _, err = tx.Exec(t.Context(), effects); err != nil {
			return err
		}
		op, err = set.Begin(t.Context(), tx, operation.Order{Kind: "k", Resource: "/r"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return op
}

// whole checks that the operation succeeded with each effect there once, in
// the order of the steps.
func whole(t *testing.T, url, id string) {
	t.Helper()
	s := storetest.Open(t, url)
	defer s.Close()
	set, err := operation.New(operation.Config{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	op, err := set.Get(t.Context(), id)
	if err != nil || op.Status != operation.Succeeded {
		t.Errorf("%+v, %v", op, err)
	}
	err = s.Read(t.Context(), func(tx *store.Tx) error {
		got, err := store.All(t.Context(), tx, func(scan store.Scan) (s string, err error) {
			var n int
			err = scan(&s, &n)
			return fmt.Sprint(s, "×", n), err
		}, "SELECT step, n FROM effect ORDER BY at")
		if strings.Join(got, " ") != "step0×1 step1×1 step2×1 step3×1" {
			t.Errorf("effects %v", got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestKilledAtEveryStepItResumes(t *testing.T) {
	points := []string{"ended"}
	for i := range children {
		for _, at := range []string{"begun", "shown", "done"} {
			points = append(points, fmt.Sprintf("step%d %s", i, at))
		}
	}
	storetest.EachURL(t, func(t *testing.T, _ string) {
		for _, kill := range points {
			t.Run(kill, func(t *testing.T) {
				t.Parallel()
				url := storetest.File(t)
				if strings.Contains(t.Name(), "/"+store.Postgres+"/") {
					url = storetest.Server(t)
				}
				op := order(t, url)
				if out, err := spawn(t, url, kill); !killed(err) {
					t.Fatalf("the child was not killed: %v\n%s", err, out)
				}
				if out, err := spawn(t, url, ""); err != nil {
					t.Fatalf("the second child: %v\n%s", err, out)
				}
				whole(t, url, op.ID)
			})
		}
	})
}

// Killed at every step one after the other: each process gets one step further.
func TestKilledAgainAndAgainItArrives(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		op := order(t, url)
		for i := range children {
			if out, err := spawn(t, url, fmt.Sprintf("step%d done", i)); !killed(err) {
				t.Fatalf("child %d was not killed: %v\n%s", i, err, out)
			}
		}
		if out, err := spawn(t, url, ""); err != nil {
			t.Fatalf("the last child: %v\n%s", err, out)
		}
		whole(t, url, op.ID)
	})
}
