package onboard

import (
	"context"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
)

// turnTime is longer than an action and the look at what came of it.
const turnTime = actTime + 5*time.Minute

// firstPause is how soon it is looked again whose turn it is; then twice as late
// each time, a second at most.
const firstPause = 50 * time.Millisecond

// take waits until no other procedure does anything, on this control node or
// another. What a subject has it may take again: its apply is one operation,
// which goes on elsewhere when a node dies. waits is called once when it waits for
// another control node.
func (s *Set) take(ctx context.Context, sub Subject, waits func()) (release func(), err error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for pause := firstPause; ; pause = min(2*pause, time.Second) {
		got, err := s.took(ctx, sub)
		if err == nil && got {
			return func() { s.giveBack(sub); <-s.turn }, nil
		}
		if err == nil {
			if pause == firstPause {
				waits()
			}
			select {
			case <-time.After(pause):
				continue
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		<-s.turn
		return nil, err
	}
}

// took takes the turn if it is free. One that ends later than any was ever given
// is of a clock that was wrong.
func (s *Set) took(ctx context.Context, sub Subject) (got bool, err error) {
	err = s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		now := time.Now()
		n, err := tx.Exec(ctx, "UPDATE onboard_turn SET holder = ?, ends = ? WHERE one = 1 AND (holder = ? OR holder = '' OR ends < ? OR ends > ?)",
			sub.key(), store.Micros(now.Add(turnTime)), sub.key(), store.Micros(now), store.Micros(now.Add(2*turnTime)))
		got = n == 1
		return err
	})
	return got, err
}

// giveBack lets others act. Whoever is ended meanwhile leaves it to the end of
// the turn, or to the one who goes on.
func (s *Set) giveBack(sub Subject) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE onboard_turn SET holder = '', ends = 0 WHERE one = 1 AND holder = ?", sub.key())
		return err
	})
	if err != nil {
		s.log.Warn("other procedures of onboarding wait until this one's turn has ended", "gateway", sub.Gateway.Name, obs.KeyError, err)
	}
}
