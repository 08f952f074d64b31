package onboard

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// TestFactsOfAnEarlierReleaseHoldForAllGateways: what was said of one gateway's
// service of what is asked once now, the newest answer first; a subscription is
// enabled where somebody has said so.
func TestFactsOfAnEarlierReleaseHoldForAllGateways(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		b := newBench(t, st, []Step{{ID: "S0", Check: func(context.Context, *World) (Finding, error) { return Found(""), nil }}}, Facts()...)
		second, far := b.sub, b.sub
		second.Gateway.Name, far.Gateway.Subscription = "another", "00000000-0000-4000-8000-0000000000f2"
		migration, err := os.ReadFile("../store/migrations/0104_onboard_scope.sql")
		if err != nil {
			t.Fatal(err)
		}
		up, _, _ := strings.Cut(string(migration), "-- +goose Down")
		err = st.Write(t.Context(), func(tx *store.Tx) error {
			for i, sub := range []Subject{b.sub, second, far} {
				if err := b.begin(t.Context(), tx, sub, Options{}, "anna"); err != nil {
					return err
				}
				if i == 2 {
					continue
				}
				v := Value{Name: "agreement", Value: []string{"old", "new"}[i], At: store.Time(int64(i + 1)), By: "anna"}
				if err := say(t.Context(), tx, sub.key(), v); err != nil {
					return err
				}
				if i > 0 {
					continue
				}
				v.Name, v.Value = "onboarded", "2026-01-10"
				if err := say(t.Context(), tx, sub.key(), v); err != nil {
					return err
				}
			}
			v := Value{Name: "subscription-enabled", Value: "2026-01-02", At: store.Time(1), By: "anna"}
			if err := say(t.Context(), tx, "", v); err != nil {
				return err
			}
			if err := tell(t.Context(), tx, b.sub, Event{Step: "B4", What: SaidSo, Detail: v.Name + " = " + v.Value}); err != nil {
				return err
			}
			for _, q := range strings.Split(up, ";\n") {
				if strings.Contains(q, "INSERT") {
					if _, err := tx.Exec(t.Context(), q); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for sub, enabled := range map[Subject]string{b.sub: "2026-01-02", second: "2026-01-02", far: ""} {
			w, err := b.world(t.Context(), sub, Options{})
			if err != nil || w.Fact("agreement") != "new" || w.Fact("subscription-enabled") != enabled {
				t.Errorf("%s: agreement %q, enabled %q, %v", sub.Gateway, w.Fact("agreement"), w.Fact("subscription-enabled"), err)
			}
			// Each gateway has a form of its own: what was confirmed holds for the
			// one it was said of, copied or not.
			if w.Has("onboarded") != (sub == b.sub) {
				t.Errorf("%s: onboarded on %q", sub.Gateway, w.Fact("onboarded"))
			}
		}
	})
}
