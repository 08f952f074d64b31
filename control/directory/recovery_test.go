package directory_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// TestACodeOfRecoveryIsGoodOnce, for its bearer alone, and the trail says how many
// are left.
func TestACodeOfRecoveryIsGoodOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := build(t, s)
		ann, session, _ := residentAt(t, w.Set, "ann@telecom.example")
		codes, err := w.NewRecoveryCodes(t.Context(), session)
		if err != nil || len(codes) != 10 {
			t.Fatalf("%d codes, %v", len(codes), err)
		}
		for i, code := range codes {
			half, err := w.SignIn(t.Context(), strings.ToLower(tenant), ann.Name, phrase, here)
			if err != nil {
				t.Fatal(err)
			}
			whole, left, err := w.ShowRecovery(t.Context(), string(half.Token), string(code), here)
			if err != nil || left != 9-i || !whole.Whole() || whole.Factor != directory.Recovery || whole.Token == half.Token {
				t.Fatalf("code %d: %+v, %d left, %v", i, whole, left, err)
			}
			if i == 0 {
				again, err := w.SignIn(t.Context(), strings.ToLower(tenant), ann.Name, phrase, here)
				if err != nil {
					t.Fatal(err)
				}
				if _, _, err := w.ShowRecovery(t.Context(), string(again.Token), string(code), here); !errors.Is(err, directory.ErrFactor) {
					t.Errorf("a second time: %v", err)
				}
			}
		}
		me := directory.Caller{Object: ann.ID}
		for _, outcome := range []string{"Succeeded, 9 left", "Succeeded, 0 left"} {
			if !w.told(me, "microsoft.directory/users/authenticationMethods/recoveryCodes/use", outcome) {
				t.Errorf("the trail lacks %q", outcome)
			}
		}
	})
}
