package vault_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/vault"
)

// dying is a keeper whose process is killed at the n-th of its moments: before
// and after each key that is wrapped or unwrapped, so that what was wrapped is
// never written.
type dying struct {
	*vault.KeyFile
	moment func()
}

func (d dying) Prepare(ctx context.Context, first bool) error {
	defer d.moment()
	return d.KeyFile.Prepare(ctx, first)
}

func (d dying) Wrap(ctx context.Context, key, about []byte) ([]byte, error) {
	d.moment()
	defer d.moment()
	return d.KeyFile.Wrap(ctx, key, about)
}

func (d dying) Unwrap(ctx context.Context, wrapped, about []byte) ([]byte, error) {
	d.moment()
	defer d.moment()
	return d.KeyFile.Unwrap(ctx, wrapped, about)
}

// child does one thing after another, says what is done, and dies at the
// moment that it was told. what is "<folder>\n<store>\n<moment>".
func child(what string) int {
	parts := strings.Split(what, "\n")
	last, _ := strconv.Atoi(parts[2])
	moments := 0
	moment := func() {
		if moments++; moments == last {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	ctx := context.Background()
	s, err := store.Open(ctx, store.Config{URL: parts[1]})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer s.Close()
	file := vault.NewKeyFile(filepath.Join(parts[0], "vault.key"))
	set, err := vault.Open(ctx, vault.Config{Store: s, Keeper: dying{file, moment}, Tenant: tenant, Audit: func(context.Context, *store.Tx, subscription.Entry) error {
		moment() // within the transaction
		return nil
	}})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	put := func(name, value string) error {
		_, err := set.PutSecret(ctx, as(owner), vault.Ref{Vault: "voice", Name: name}, obs.Secret(value), vault.Attributes{})
		return err
	}
	for _, step := range []struct {
		says string
		do   func() error
	}{
		{"vault", func() error { _, _, err := set.Put(ctx, as(owner).Principal, id("voice"), plain()); return err }},
		{"one=1", func() error { return put("one", "1") }},
		{"rotated", file.Rotate},
		{"two=2", func() error { return put("two", "2") }},
		{"wrapped", func() error { _, err := set.Rewrap(ctx); return err }},
		{"one=3", func() error { return put("one", "3") }},
		{"gone", func() error {
			_, err := set.DeleteSecret(ctx, as(owner), vault.Ref{Vault: "voice", Name: "two"})
			return err
		}},
	} {
		if err := step.do(); err != nil {
			fmt.Println(step.says, err)
			return 1
		}
		moment()
		fmt.Println(step.says)
	}
	return 0
}

// Killed at any moment, between wrapping a key and writing it among them, the
// vaults open again with all that was said to be done.
func TestKilledAtAnyMoment(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		for n := 1; ; n++ {
			if strings.HasPrefix(url, "postgres") && n > 1 {
				url = storetest.Server(t)
			} else if n > 1 {
				url = storetest.File(t)
			}
			dir := t.TempDir()
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), self)
			cmd.Env = append(os.Environ(), fmt.Sprintf("TANDEM_VAULT_CHILD=%s\n%s\n%d", dir, url, n))
			out, err := cmd.Output()
			killed := false
			if e, is := errors.AsType[*exec.ExitError](err); is {
				killed = e.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
			}
			if err != nil && !killed {
				t.Fatalf("moment %d: %v: %s", n, err, out)
			}
			survives(t, url, dir, strings.Fields(string(out)))
			if !killed {
				if n < 20 {
					t.Errorf("only %d moments", n)
				}
				return
			}
		}
	})
}

// survives opens what a killed process has left.
func survives(t *testing.T, url, dir string, done []string) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	set, err := vault.Open(t.Context(), vault.Config{Store: s, Keeper: vault.NewKeyFile(filepath.Join(dir, "vault.key")), Tenant: tenant})
	if err != nil {
		t.Fatalf("after %v: %v", done, err)
	}
	want := map[string]string{}
	for _, word := range done {
		if name, value, is := strings.Cut(word, "="); is {
			want[name] = value
		}
		if word == "gone" {
			delete(want, "two")
		}
	}
	for name, value := range want {
		x, err := set.Secret(t.Context(), as(owner), vault.Ref{Vault: "voice", Name: name})
		// What was done and not yet said may be there.
		later := name == "one" && value == "1" && string(x.Value) == "3" || name == "two" && errors.Is(err, vault.ErrNoSecret)
		if string(x.Value) != value && !later {
			t.Errorf("after %v, %s: %v", done, name, err)
		}
	}
	// And it goes on: keys are wrapped anew, secrets set.
	if _, err := set.Rewrap(t.Context()); err != nil {
		t.Errorf("after %v: %v", done, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("after %v there are %v", done, left)
	}
}
