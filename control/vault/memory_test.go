package vault_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/vault"
)

// shelfFunc is a vault that does as told.
type shelfFunc func(context.Context, string) (obs.Secret, error)

func (f shelfFunc) Value(ctx context.Context, name string) (obs.Secret, error) { return f(ctx, name) }

// TestAVaultThatIsAway costs nobody his secret, is asked now and then, told
// once, and heeded as soon as it answers.
func TestAVaultThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			err   error
			value = obs.Secret("canary-1")
			hangs bool
			asked int
			log   bytes.Buffer
		)
		m := vault.NewMemory(shelfFunc(func(ctx context.Context, name string) (obs.Secret, error) {
			asked++
			if hangs {
				<-ctx.Done()
				return "", ctx.Err()
			}
			if name != "client-secret" {
				return "", fault.New(fault.NotFound, "no such secret")
			}
			return value, err
		}), slog.New(slog.NewTextHandler(&log, nil)))
		want := func(v obs.Secret, kind fault.Kind, fails bool) {
			t.Helper()
			got, err := m.Value(t.Context(), "client-secret")
			if got != v || (err != nil) != fails || fails && fault.Of(err) != kind {
				t.Errorf("%q, %v", string(got), err)
			}
		}
		want("canary-1", 0, false)
		value = "canary-2"
		want("canary-2", 0, false)
		err = fault.New(fault.Unavailable, "gone")
		asked = 0
		for range 600 {
			want("canary-2", 0, false)
			time.Sleep(time.Second)
		}
		if asked > 62 {
			t.Errorf("asked %d times in 10 minutes", asked)
		}
		if since, why := m.Away(); since.IsZero() || why == nil {
			t.Errorf("%v, %v", since, why)
		}
		if _, err := m.Value(t.Context(), "another"); err == nil {
			t.Error("a secret that was never read is given")
		}
		time.Sleep(time.Minute)
		hangs = true
		begun := time.Now()
		want("canary-2", 0, false)
		if time.Since(begun) > 5*time.Second {
			t.Errorf("waited %v", time.Since(begun))
		}
		time.Sleep(time.Minute)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := m.Value(short, "client-secret"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		hangs, err = false, nil
		value = "canary-3"
		time.Sleep(time.Minute)
		want("canary-3", 0, false)
		if since, _ := m.Away(); !since.IsZero() {
			t.Error("it is still away")
		}
		// An answer is an answer: what was taken away is not used on.
		for _, kind := range []fault.Kind{fault.Denied, fault.NotFound} {
			err = nil
			want("canary-3", 0, false)
			err = fault.New(kind, "no")
			want("", kind, true)
			err = fault.New(fault.Unavailable, "gone")
			want("", fault.Unavailable, true)
			time.Sleep(time.Minute)
		}
		if n := strings.Count(log.String(), "a vault is away"); n != 4 || strings.Contains(log.String(), "canary") {
			t.Errorf("told %d times: %s", n, log.String())
		}
	})
}
