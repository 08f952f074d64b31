package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tandemgw/tandem/sandbox/phone"
)

// playDTMF: both ways, keys are pressed at both ends, and the other end gets
// them as keys: the core has INFO, Teams telephone events.
func playDTMF(ctx context.Context, s *stage) error {
	s.note("telephone events on Teams' side, INFO in the core")
	return s.bothWays(ctx, func(ctx context.Context, s *stage, teams bool) error {
		for _, form := range []struct {
			region *region
			core   string // how subscribers press keys
		}{{s.r1, "info"}, {s.r2, "info"}} {
			t, at, err := s.converse(ctx, casting{teams: teams, region: form.region})
			if err != nil {
				return err
			}
			if err := s.pass(ctx, sentences); err != nil {
				return err
			}
			s.both(t, since("before the keys", at))
			if err := s.press(ctx, t.caller, t.called, "159#", form.core); err != nil {
				return err
			}
			if err := s.press(ctx, t.called, t.caller, "042*", form.core); err != nil {
				return err
			}
			if err := s.finish(ctx, t); err != nil {
				return err
			}
		}
		return nil
	})
}

// press has one end press keys and waits until the other one has them.
func (s *stage) press(ctx context.Context, from, to end, keys, core string) error {
	how := core
	if from.name == aUser {
		how = ""
	}
	from.call.Press(keys, how)
	return s.soon(ctx, func() error {
		if got := to.call.Brief().Digits; got != keys {
			return fmt.Errorf("of the keys %s that the %s pressed by %s, the %s got %q", keys, from.name, cmp.Or(how, "events"), to.name, got)
		}
		return nil
	})
}

// playTranscoding: a user who has G.722 and nothing else calls a subscriber who
// has G.711.
func playTranscoding(ctx context.Context, s *stage) error {
	t, at, err := s.converse(ctx, casting{teams: true, spec: phone.CallSpec{Codec: "G722"}, does: phone.Behaviour{Codec: "PCMA"}})
	if err != nil {
		return err
	}
	if err := s.pass(ctx, sentences); err != nil {
		return err
	}
	s.both(t, since("recoded", at))
	if err := s.finish(ctx, t); err != nil {
		return err
	}
	rec, err := s.recorded(ctx, t.number)
	if err != nil {
		return err
	}
	if rec.Transcoding == "" {
		return errors.New("the record does not say why there was transcoding")
	}
	s.note("%s", rec.Transcoding)
	return nil
}

// playMediaBypass: both ways through region 2. The clients are outside of every
// range that the node knows; who is called has three, and in mid-call ICE starts
// again.
func playMediaBypass(ctx context.Context, s *stage) error {
	return s.bothWays(ctx, func(ctx context.Context, s *stage, teams bool) error {
		c := casting{teams: teams, region: s.r2, spec: phone.CallSpec{Bypass: teams}}
		if !teams {
			c.does = phone.Behaviour{Bypass: true, Forks: 3, Winner: 1, Ring: time.Second}
		}
		t, at, err := s.converse(ctx, c)
		if err != nil {
			return err
		}
		user := t.called
		if teams {
			user = t.caller
		}
		if err := s.nominated(ctx, user, 0); err != nil {
			return err
		}
		if err := s.pass(ctx, sentences); err != nil {
			return err
		}
		s.both(t, since("by the checked way", at))
		if err := user.call.RestartICE(ctx); err != nil {
			return fmt.Errorf("ICE was not started again: %w", err)
		}
		if err := s.nominated(ctx, user, 1); err != nil {
			return err
		}
		at = time.Now()
		if err := s.pass(ctx, sentences); err != nil {
			return err
		}
		s.both(t, since("after a restart", at))
		for i, r := range user.call.Brief().Rivals {
			if !r.Valid {
				return fmt.Errorf("client %d, which did not answer the call, had no answer to its checks either", i)
			}
		}
		s.note("%d checks answered", user.call.Brief().ICE.Answers)
		return s.finish(ctx, t)
	})
}

// nominated waits until a client has a nominated pair, after some restarts.
func (s *stage) nominated(ctx context.Context, e end, restarts int) error {
	return s.soon(ctx, func() error {
		if i := e.call.Brief().ICE; i == nil || !i.Nominated || i.Restarts != restarts {
			return fmt.Errorf("the %s's client has nominated no way: %+v", e.name, i)
		}
		return nil
	})
}
