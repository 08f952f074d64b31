package onboard

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// TestAForgottenOnboardingStaysForgotten when a look that began before ends
// after it; what a person looks at is begun by that.
func TestAForgottenOnboardingStaysForgotten(t *testing.T) {
	done := false
	b := newBench(t, storetest.New(t), []Step{one(&done, nil)})
	b.do(Options{})
	if err := b.Forget(t.Context(), b.sub); err != nil {
		t.Fatal(err)
	}
	for by, want := range map[string]int{string(Tandem): 0, "anna": 1} {
		if _, err := b.Look(t.Context(), b.sub, by); err != nil {
			t.Fatal(err)
		}
		if list, err := b.Subjects(t.Context()); err != nil || len(list) != want {
			t.Errorf("%s: %v, %v", by, list, err)
		}
		if err := b.Forget(t.Context(), b.sub); want > 0 && err != nil {
			t.Error(err)
		}
	}
}

// TestAnUnderscoreIsNoPattern: what was said of a gateway goes with its last
// procedure, whatever others are called.
func TestAnUnderscoreIsNoPattern(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		done := false
		b := newBench(t, st, []Step{one(&done, nil)}, Fact{Name: "gateway", Scope: OfAGateway})
		mine, alike, beside := b.sub, b.sub, b.sub
		mine.Gateway.Group, alike.Gateway.Group, beside.Gateway.Group = "a_b", "axb", "a_b"
		beside.Service = "TeamsPhoneMobile"
		for _, sub := range []Subject{mine, alike, beside} {
			if err := b.Declare(t.Context(), sub, map[string]string{"gateway": "said"}, "anna"); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []struct {
			forget Subject
			want   string
		}{{beside, "said"}, {mine, ""}} {
			if err := b.Forget(t.Context(), c.forget); err != nil {
				t.Fatal(err)
			}
			if w, err := b.world(t.Context(), mine, Options{}); err != nil || w.Fact("gateway") != c.want {
				t.Errorf("%q, %v", w.Fact("gateway"), err)
			}
		}
		if w, err := b.world(t.Context(), alike, Options{}); err != nil || w.Fact("gateway") != "said" {
			t.Errorf("another gateway's: %q, %v", w.Fact("gateway"), err)
		}
	})
}

// TestWhatCannotBeSeenIsNotHeldForNothing: a plan names what is taken away, or
// says that it cannot.
func TestWhatCannotBeSeenIsNotHeldForNothing(t *testing.T) {
	w := &World{set: &Set{}}
	looks := func(err error, list ...held) func(context.Context, registration) ([]held, error) {
		return func(_ context.Context, r registration) ([]held, error) {
			if r.key == "billing-service" {
				return nil, err
			}
			return list, nil
		}
	}
	for _, c := range []struct {
		err  error
		list []held
		want string
	}{
		{nil, nil, ""},
		{fault.New(fault.NotFound, "no consent"), nil, ""},
		{errors.New("away"), nil, "; what it takes away could not be seen"},
		{errors.New("away"), []held{{"Data.Read", true}}, "; takes away Data.Read of Call Duration; what else it takes away could not be seen"},
	} {
		if got := w.takes(looks(c.err, c.list...)); got != c.want {
			t.Errorf("%v, %v: %q, want %q", c.err, c.list, got, c.want)
		}
	}
}

// TestACommandIsPastedAsItIsMeant: names are other people's, and a shell reads
// each as one word (POSIX.1-2017, 2.2.2 Single-Quotes).
func TestACommandIsPastedAsItIsMeant(t *testing.T) {
	w := &World{set: &Set{}}
	w.Subject = someone()
	w.Subject.Gateway.Group = "voice(1)"
	names := []string{"O'Brien's $(id)", "plain", "<ID>", "a;b", "", "`x`", "two words", "~", "*"}
	for _, name := range names {
		out, err := exec.Command("sh", "-c", "printf '<%s>' "+word(name)+" "+quoted(name)).Output()
		if want := "<" + name + "><" + name + ">"; err != nil || string(out) != want {
			t.Errorf("%q comes as %q, %v", name, out, err)
		}
	}
	for _, want := range []string{`'contact-name=O'\''Brien'`, "-g 'voice(1)'"} {
		if got := w.declare("contact-name=O'Brien"); !strings.Contains(got, want) {
			t.Errorf("no %s: %s", want, got)
		}
	}
}
