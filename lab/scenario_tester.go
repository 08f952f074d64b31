package lab

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/tandemgw/tandem/sandbox/phone"
)

// testAnswer is as much of a test call as the lab looks at.
type testAnswer struct {
	ID, State, Towards, Node, Problem, Call string

	AnswerMS int
	Heard    bool
	MOS      float64
}

// playTestLines: the gateway calls its test lines itself, both ways and from
// both regions, as calls that go all the way; when the core has nobody at the
// number, the report says so.
func playTestLines(ctx context.Context, s *stage) error {
	lines := map[string]string{"OC1": "+14255550191", "OC2": "+14255550192"}
	for name, number := range lines {
		s.teams.Answer(number, phone.Behaviour{Ring: 100 * time.Millisecond})
		s.core.Answer(number, phone.Behaviour{Ring: 100 * time.Millisecond})
		line := map[string]any{"location": "r1", "properties": map[string]any{"phoneNumber": number, "purpose": "Automated"}}
		if _, err := s.api.do(ctx, http.MethodPut, gatewayPath+"/testLines/"+name, line, nil); err != nil {
			return err
		}
	}
	var worst float64 = 5
	for _, r := range []*region{s.r1, s.r2} {
		calls, err := s.testLine(ctx, "OC1", map[string]any{"node": r.edge(), "seconds": 2})
		if err != nil {
			return err
		}
		for _, c := range calls {
			if c.State != "passed" || !c.Heard || c.Node != r.edge() {
				return fmt.Errorf("the test towards the %s by %s: %+v", c.Towards, r.node.name, c)
			}
			worst = min(worst, c.MOS)
		}
		if err := s.marked(ctx, r, calls); err != nil {
			return err
		}
	}
	s.note("answered and heard both ways in both regions, MOS %.1f", worst)
	s.core.Answer(lines["OC2"], phone.Behaviour{Status: 404})
	calls, err := s.testLine(ctx, "OC2", map[string]any{"towards": "operator", "seconds": 2})
	switch {
	case err != nil:
		return err
	case calls[0].State != "failed" || calls[0].Problem == "":
		return fmt.Errorf("a number that the core does not have: %+v", calls[0])
	}
	s.note("a dead number is told")
	for name := range lines {
		if _, err := s.api.do(ctx, http.MethodDelete, gatewayPath+"/testLines/"+name, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// testLine has a line called and waits until the calls have ended.
func (s *stage) testLine(ctx context.Context, name string, order map[string]any) ([]testAnswer, error) {
	var begun, now struct{ Value []testAnswer }
	path := gatewayPath + "/testLines/" + name
	if _, err := s.api.do(ctx, http.MethodPost, path+"/call", order, &begun); err != nil {
		return nil, err
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		if _, err := s.api.do(ctx, http.MethodGet, path+"/calls", nil, &now); err != nil {
			return nil, err
		}
		var ended []testAnswer
		for _, b := range begun.Value {
			for _, c := range now.Value {
				if c.ID == b.ID && c.State != "underway" {
					ended = append(ended, c)
				}
			}
		}
		if len(ended) == len(begun.Value) {
			return ended, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("the test calls of %s do not end: %+v", name, now.Value)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// marked checks that the records of test calls say what they are of.
func (s *stage) marked(ctx context.Context, r *region, calls []testAnswer) error {
	for _, c := range calls {
		t, err := r.node.client.Trace(ctx, c.Call)
		if err != nil {
			return fmt.Errorf("the record of a test call: %w", err)
		}
		if !t.Call.Test || len(t.Packets) == 0 {
			return fmt.Errorf("call %s is not marked as a test, or has left no messages", c.Call)
		}
	}
	return nil
}
