package lab

import (
	"context"
	"fmt"
	"maps"
	"time"
)

// playChange: the gateway is changed by a PUT in the middle of a call: a service
// and its Mobile Control Point are enabled, codecs are taken away. It is Complete
// again in a moment, the call goes on as it was, and the next one is as the
// gateway is now.
func playChange(ctx context.Context, s *stage) error {
	before, at, err := s.converse(ctx, casting{})
	if err != nil {
		return err
	}
	if err := s.pass(ctx, time.Second); err != nil {
		return err
	}
	asked := time.Now()
	if err := s.change(ctx, map[string]any{"codecs": []string{"PCMU"}, "platforms": []string{"OperatorConnect", "TeamsPhoneMobile"}, "integratedMcpEnabled": true}); err != nil {
		return err
	}
	s.note("Complete again after %.0f ms", ms(time.Since(asked)))
	during, began, err := s.converse(ctx, casting{})
	if err != nil {
		return fmt.Errorf("after the change: %w", err)
	}
	if err := s.pass(ctx, sentences); err != nil {
		return err
	}
	s.both(before, since("while the gateway changes", at))
	s.both(during, since("after the change", began))
	if got := during.called.call.Facts().Codec; got != "PCMU" {
		return fmt.Errorf("the user is called with %s: the gateway has PCMU alone now", got)
	}
	for _, t := range []conversation{before, during} {
		if err := s.finish(ctx, t); err != nil {
			return err
		}
	}
	return s.change(ctx, nil)
}

// change puts the gateway with some properties as said and the others as they
// were, and waits until that is what runs.
func (s *stage) change(ctx context.Context, properties map[string]any) error {
	resource := s.resource()
	maps.Copy(resource["properties"].(map[string]any), properties)
	wait, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	_, operation, err := s.api.createGateway(wait, resource)
	if err != nil {
		return err
	}
	_, err = s.api.complete(wait, operation, func(string) {})
	return err
}
