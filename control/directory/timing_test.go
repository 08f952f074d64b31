package directory_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// Who guesses learns nothing by how long it takes: an application that there is,
// one without a secret, one that there is not, a secret that begins like the real
// one and one that does not all cost one slow hash.
func TestGuessingASecretTakesAsLongForAnyApplication(t *testing.T) {
	w := build(t, storetest.New(t))
	robot, _, _ := w.program("Robot")
	bare, _, _ := w.program("Bare")
	_, value, err := w.AddSecret(t.Context(), w.us, robot.ID, "", time.Now().AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	secret := string(value)
	last := secret[:len(secret)-1] + "!"
	took := func(id, guess string) time.Duration {
		least := time.Hour
		for range 5 {
			begun := time.Now()
			if _, err := w.Authenticate(t.Context(), id, guess); !errors.Is(err, directory.ErrSecret) && !errors.Is(err, directory.ErrUnknown) {
				t.Fatal(err)
			}
			least = min(least, time.Since(begun))
		}
		return least
	}
	// The machine may be busy with something else: one quiet round is enough.
	for round := range 4 {
		known := took(robot.AppID, last)
		bad := map[string]time.Duration{}
		for name, d := range map[string]time.Duration{
			"another beginning": took(robot.AppID, "x"+secret[1:]),
			"no secret":         took(bare.AppID, secret),
			"no application":    took("7f8d5c6e-0000-4000-8000-00000000dead", secret),
			"one byte":          took(robot.AppID, "x"),
		} {
			if d < known/3 || d > known*3 { // without a hash it would be a hundredth
				bad[name] = d
			}
		}
		if len(bad) == 0 {
			return
		}
		if round == 3 {
			t.Errorf("a wrong secret of an application takes %v; %v", known, bad)
		}
	}
}
