package lab

import (
	"context"
	"errors"
	"fmt"

	"github.com/tandemgw/tandem/sandbox/phone"
)

// playDTMF: both ways and from both ends keys are pressed, which the other end
// gets as keys.
func playDTMF(ctx context.Context, s *stage) error {
	return s.bothWays(ctx, func(ctx context.Context, s *stage, teams bool) error {
		t, at, err := s.converse(ctx, casting{teams: teams})
		if err != nil {
			return err
		}
		if err := s.pass(ctx, sentences); err != nil {
			return err
		}
		s.both(t, since("before the keys", at))
		for _, way := range []struct {
			from, to end
			keys     string
		}{{t.caller, t.called, "159#"}, {t.called, t.caller, "042*"}} {
			way.from.call.Press(way.keys, "")
			if err := s.soon(ctx, func() error {
				if got := way.to.call.Brief().Digits; got != way.keys {
					return fmt.Errorf("of the keys %s that the %s pressed the %s got %q", way.keys, way.from.name, way.to.name, got)
				}
				return nil
			}); err != nil {
				return err
			}
			s.note("%s %s", way.to.name, way.keys)
		}
		return s.finish(ctx, t)
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
