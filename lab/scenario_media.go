package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"

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
