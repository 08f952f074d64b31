package vault_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
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
			if known, refused := m.Standing("client-secret"); !known || refused != nil {
				t.Errorf("%v, %v", known, refused)
			}
			err = fault.New(kind, "no")
			want("", kind, true)
			if known, refused := m.Standing("client-secret"); known || fault.Of(refused) != kind {
				t.Errorf("%v, %v", known, refused)
			}
			err = fault.New(fault.Unavailable, "gone")
			want("", fault.Unavailable, true)
			time.Sleep(time.Minute)
		}
		if n := strings.Count(log.String(), "a vault is away"); n != 4 || strings.Contains(log.String(), "canary") {
			t.Errorf("told %d times: %s", n, log.String())
		}
	})
}

// TestAVaultIsWatched: that it is away is known at the start, and while nobody
// needs its secret; and what is remembered then is a minute old at most.
func TestAVaultIsWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		value, err, asked := obs.Secret("canary-1"), error(fault.New(fault.Unavailable, "gone")), 0
		m := vault.NewMemory(shelfFunc(func(context.Context, string) (obs.Secret, error) {
			mu.Lock()
			defer mu.Unlock()
			asked++
			return value, err
		}), nil)
		set := func(v obs.Secret, e error) {
			mu.Lock()
			defer mu.Unlock()
			value, err, asked = v, e, 0
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); m.Watch(ctx, "client-secret") }()
		away := func(want, known bool) {
			t.Helper()
			synctest.Wait()
			is, _ := m.Standing("client-secret")
			if since, _ := m.Away(); since.IsZero() == want || is != known {
				t.Errorf("since %v, known %v", since, is)
			}
		}
		away(true, false)
		set("canary-1", nil)
		time.Sleep(11 * time.Second)
		away(false, true)
		set("canary-2", nil)
		time.Sleep(61 * time.Second)
		set("", fault.New(fault.Unavailable, "gone"))
		time.Sleep(61 * time.Second)
		away(true, true)
		if v, err := m.Value(ctx, "client-secret"); v != "canary-2" || err != nil {
			t.Errorf("%q, %v", string(v), err)
		}
		set("", fault.New(fault.Unavailable, "gone"))
		time.Sleep(10 * time.Minute)
		mu.Lock()
		if asked < 58 || asked > 61 {
			t.Errorf("asked %d times in 10 minutes", asked)
		}
		mu.Unlock()
		// Who was refused with what is remembered has the vault asked at once.
		set("canary-3", nil)
		if v, err := m.Value(ctx, "client-secret"); v != "canary-2" || err != nil {
			t.Errorf("%q, %v", string(v), err)
		}
		if v, err := m.Again(ctx, "client-secret"); v != "canary-3" || err != nil {
			t.Errorf("%q, %v", string(v), err)
		}
		away(false, true)
		set("", fault.New(fault.NotFound, "no such secret"))
		time.Sleep(61 * time.Second)
		away(false, false)
		cancel()
		<-done
	})
}
