package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/tandemgw/tandem/sandbox/phone"
)

// sentences is how long people talk in a scenario before something happens.
const sentences = 2500 * time.Millisecond

// playHold: a user calls a subscriber; each puts the other on hold once.
func playHold(ctx context.Context, s *stage) error {
	t, at, err := s.converse(ctx, casting{teams: true})
	if err != nil {
		return err
	}
	for _, holder := range []struct{ by, held end }{{t.caller, t.called}, {t.called, t.caller}} {
		if err := s.pass(ctx, sentences); err != nil {
			return err
		}
		s.both(t, since("before the "+holder.by.name+" holds", at))
		if err := s.holds(ctx, holder.by, holder.held); err != nil {
			return err
		}
		at = time.Now()
	}
	if err := s.pass(ctx, sentences); err != nil {
		return err
	}
	s.both(t, since("at the end", at))
	s.note("nothing is heard on hold")
	return s.finish(ctx, t)
}

// holds puts one end on hold for a second and takes it back.
func (s *stage) holds(ctx context.Context, by, held end) error {
	if err := by.call.Hold(ctx); err != nil {
		return fmt.Errorf("the %s cannot hold: %w", by.name, err)
	}
	told := func(want bool) error {
		return s.soon(ctx, func() error {
			if held.call.Brief().Held != want {
				return fmt.Errorf("the %s is not told: held must be %v", held.name, want)
			}
			return nil
		})
	}
	if err := told(true); err != nil {
		return err
	}
	from := time.Now()
	if err := s.pass(ctx, time.Second); err != nil {
		return err
	}
	if err := s.deaf(held, by, since("on hold", from)); err != nil {
		return err
	}
	if err := by.call.Resume(ctx); err != nil {
		return fmt.Errorf("the %s cannot take the call back: %w", by.name, err)
	}
	return told(false)
}

// playEarlyMedia: both ways, the called side talks for a while and answers then.
func playEarlyMedia(ctx context.Context, s *stage) error {
	return s.bothWays(ctx, func(ctx context.Context, s *stage, teams bool) error {
		t, err := s.ring(ctx, casting{teams: teams, does: phone.Behaviour{EarlyMedia: true, Ring: sentences}})
		if err != nil {
			return err
		}
		if err := s.soon(ctx, func() error {
			if t.caller.call.Brief().EarlyAt.IsZero() {
				return fmt.Errorf("the %s has no early media: %s", t.caller.name, fate(t.caller.call))
			}
			return nil
		}); err != nil {
			return err
		}
		from := time.Now()
		at, err := s.answered(ctx, t)
		if err != nil {
			return err
		}
		if err := s.pass(ctx, sentences); err != nil {
			return err
		}
		s.listen(t.caller, t.called, part{"before the answer", from, at})
		s.both(t, since("after it", at))
		return s.finish(ctx, t)
	})
}

// bothWays plays a scenario from each side at the same time.
func (s *stage) bothWays(ctx context.Context, play func(context.Context, *stage, bool) error) error {
	var reports [2]ScenarioReport
	var errs [2]error
	var all sync.WaitGroup
	for i, teams := range []bool{true, false} {
		all.Go(func() { errs[i] = play(ctx, &stage{s.world, &reports[i]}, teams) })
	}
	all.Wait()
	for _, r := range reports {
		s.report.Heard = append(s.report.Heard, r.Heard...)
		s.report.Notes = append(s.report.Notes, r.Notes...)
	}
	if errs[0] != nil && errs[1] != nil {
		return fmt.Errorf("%w; %w", errs[0], errs[1])
	}
	return cmp.Or(errs[0], errs[1])
}

// playForking: three of the user's telephones ring, one of them talks early,
// another answers, and a third one a moment too late.
func playForking(ctx context.Context, s *stage) error {
	t, at, err := s.converse(ctx, casting{does: phone.Behaviour{
		Forks: 3, Early: 2, Winner: 1, LateOK: true, EarlyMedia: true, Ring: time.Second,
	}})
	if err != nil {
		return err
	}
	if err := s.pass(ctx, sentences); err != nil {
		return err
	}
	s.both(t, since("after the answer", at))
	s.note("3 telephones, 2 answers, 1 call")
	return s.finish(ctx, t)
}

// sessionTime is the shortest that RFC 4028 allows.
const sessionTime = 90 * time.Second

// playLongCall: with the shortest session timers, a call lasts longer than its
// session.
func playLongCall(ctx context.Context, s *stage) error {
	return s.bothWays(ctx, func(ctx context.Context, s *stage, teams bool) error {
		t, at, err := s.converse(ctx, casting{
			teams: teams, spec: phone.CallSpec{Session: sessionTime}, does: phone.Behaviour{Session: sessionTime},
		})
		if err != nil {
			return err
		}
		if err := s.pass(ctx, sentences); err != nil {
			return err
		}
		s.both(t, since("at first", at))
		if err := s.pass(ctx, time.Until(at.Add(sessionTime+time.Second))); err != nil {
			return err
		}
		if err := s.flows(ctx, t); err != nil {
			return fmt.Errorf("after %v: %w", sessionTime, err)
		}
		a, b := t.caller.call.Brief(), t.called.call.Brief()
		for _, e := range []struct {
			end
			f phone.Facts
		}{{t.caller, a}, {t.called, b}} {
			called := e.name == aUser && !teams // Teams then insists on five minutes
			if e.f.Refreshes == 0 && !called {
				return fmt.Errorf("the session of the %s was never refreshed", e.name)
			}
		}
		s.note("%d+%d refreshes", a.Refreshes, b.Refreshes)
		return s.finish(ctx, t)
	})
}

// flows asks whether packets come still, a second of them: of a long call only
// the beginning is kept to be listened to.
func (s *stage) flows(ctx context.Context, t conversation) error {
	const second = 50
	ends := []end{t.caller, t.called}
	var before [2]uint64
	for i, e := range ends {
		before[i] = e.call.Brief().Packets.Received
	}
	return s.soon(ctx, func() error {
		for i, e := range ends {
			if got := e.call.Brief().Packets.Received - before[i]; got < second {
				return fmt.Errorf("the %s got %d packets in %v", e.name, got, patience)
			}
		}
		return nil
	})
}

// playFailover: Teams' first proxy refuses, then site a does, and then region 1
// is killed in the middle of calls.
func playFailover(ctx context.Context, s *stage) error {
	for _, away := range []struct {
		what, gate string
		x          *phone.Exchange
		teams      bool
	}{
		{"proxy", "sip", s.teams.Exchange, false},
		{"site", s.r1.site, s.core.Exchange, true},
	} {
		if err := s.around(ctx, away.what, away.gate, away.x, away.teams); err != nil {
			return err
		}
	}
	quiet := newShow(io.Discard, true)
	defer quiet.close()
	var f Failover
	if err := s.failover(ctx, quiet, &f); err != nil {
		return err
	}
	for _, p := range f.problems() {
		return errors.New(p)
	}
	s.note("a region in %.0f ms", f.RecoveredMS)
	return nil
}

// around has a gate answer 503, and places a call that must find another one.
func (s *stage) around(ctx context.Context, what, gate string, x *phone.Exchange, teams bool) error {
	if err := x.SetFaults(gate, phone.Faults{Status: 503}); err != nil {
		return fmt.Errorf("make the %s fail: %w", what, err)
	}
	t, at, err := s.converse(ctx, casting{teams: teams})
	if heal := x.SetFaults(gate, phone.Faults{}); err == nil {
		err = heal
	}
	if err != nil {
		return fmt.Errorf("with the %s away: %w", what, err)
	}
	if err := s.pass(ctx, sentences); err != nil {
		return err
	}
	s.both(t, since("with the "+what+" away", at))
	f := t.called.call.Brief()
	if f.Gate == gate {
		return fmt.Errorf("the %s %s was away and got the call", what, gate)
	}
	s.note("%s in %.0f ms", what, ms(at.Sub(t.caller.call.Brief().Began)))
	return s.finish(ctx, t)
}
