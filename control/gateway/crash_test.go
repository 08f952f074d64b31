package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// The child process works on the operation of gateway lab-1 and kills itself
// with SIGKILL at the point that TANDEM_GATEWAY_KILL names: wherever the
// operation touches the world, and after each step.
func child(url string) int {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Config{URL: url})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer s.Close()
	kill := func(name string) {
		if os.Getenv("TANDEM_GATEWAY_KILL") == name {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	w, err := assemble(s)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	w.net.file = os.Getenv("TANDEM_GATEWAY_ORDERS")
	w.net.recall()
	w.net.point, w.zone.point = kill, kill
	w.rise(named("lab-1"))
	if err := w.ops.Start(ctx); err != nil {
		fmt.Println(err)
		return 1
	}
	defer w.ops.Close()
	for {
		op, err := w.ops.Latest(ctx, named("lab-1").String())
		if err != nil {
			fmt.Println(err)
			return 1
		}
		for _, p := range op.Steps {
			if p.Status == operation.Succeeded {
				kill(p.Name)
			}
		}
		switch op.Status {
		case operation.Succeeded:
			return 0
		case operation.Failed, operation.Canceled:
			fmt.Println(op.Error)
			return 1
		}
		<-w.ops.Watch(op.ID)
	}
}

func spawn(t *testing.T, url, orders, kill string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "TANDEM_GATEWAY_CHILD="+url, "TANDEM_GATEWAY_ORDERS="+orders, "TANDEM_GATEWAY_KILL="+kill)
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

// A control node that is killed anywhere in an operation goes on where it was,
// and what it does twice has the effect of once.
func TestKilledAnywhereAndResumed(t *testing.T) {
	id := named("lab-1")
	survive := func(t *testing.T, url, orders, kill string) {
		t.Helper()
		if out, err := spawn(t, url, orders, kill); !killed(err) {
			t.Fatalf("the child was not killed: %v\n%s", err, out)
		}
		if out, err := spawn(t, url, orders, ""); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	storetest.EachURL(t, func(t *testing.T, url string) {
		order := func(f func(*world)) {
			s := storetest.Open(t, url)
			defer s.Close()
			w, err := assemble(s)
			if err != nil {
				t.Fatal(err)
			}
			w.T = t
			f(w)
		}
		orders := filepath.Join(t.TempDir(), "orders")
		revision := uint64(0)
		for _, kill := range []string{"zone refreshing", "zone refreshed", "publishing", "published", "edge asked", "zone checked", "identity", "assign", "names", "certificates", "snapshot", "edges", "dns"} {
			order(func(w *world) {
				doc := two()
				doc.Properties.EmergencyDialStrings = []string{"112", fmt.Sprint(200 + revision)} // so that there is something to publish
				w.put(id, doc)
			})
			survive(t, url, orders, kill)
			order(func(w *world) {
				if p := w.get(id).Properties; p.ProvisioningState != "Succeeded" || p.Status != "Complete" {
					t.Errorf("killed at %s: %s, %s", kill, p.ProvisioningState, p.Status)
				}
				w.net.file = orders
				w.net.recall()
				for _, node := range []string{"r1-a", "r2-a"} {
					if got := w.net.orders[node]; got.Revision != revision+1 || got.Gateway != id.String() {
						t.Errorf("killed at %s: %s runs %s, revision %d, not %d", kill, node, got.Gateway, got.Revision, revision+1)
					}
				}
				revision = w.net.newest
			})
		}
		for _, kill := range []string{"zone refreshing", "zone refreshed", "withdrawing", "withdrawn", "zone forgets", "withdraw", "drain"} {
			order(func(w *world) {
				if _, err := w.set.Delete(t.Context(), alice, id, none); err != nil {
					t.Fatal(err)
				}
			})
			survive(t, url, orders, kill)
			order(func(w *world) {
				if _, err := w.set.Get(t.Context(), id); fault.Of(err) != fault.NotFound {
					t.Errorf("killed at %s: %v", kill, err)
				}
				w.net.file = orders
				w.net.recall()
				for node, got := range w.net.orders {
					if got.Gateway != "" {
						t.Errorf("killed at %s: %s runs %s", kill, node, got.Gateway)
					}
				}
				w.put(id, two())
			})
			if out, err := spawn(t, url, orders, ""); err != nil {
				t.Fatalf("made again: %v\n%s", err, out)
			}
		}
	})
}
