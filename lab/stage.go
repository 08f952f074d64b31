package lab

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/phone"
)

// stage is where one scenario plays: the world, what it found so far, and what
// it needs of calls.
type stage struct {
	*world
	report *ScenarioReport
}

// ScenarioReport is what one scenario showed.
type ScenarioReport struct {
	Name    string    `json:"name"`
	What    string    `json:"what"`
	OK      bool      `json:"ok"`
	TookMS  float64   `json:"tookMs"`
	Heard   []Hearing `json:"heard"`
	Notes   []string  `json:"notes"` // what else was seen to be right
	Problem string    `json:"problem,omitempty"`
	// StalledMS is the longest time for which this machine let nothing run;
	// from 60 ms on, that can be heard.
	StalledMS float64 `json:"stalledMs"`
}

// Hearing is what somebody heard of somebody else for a while.
type Hearing struct {
	Who  string `json:"who"`
	Whom string `json:"whom"`
	When string `json:"when"`
	EarReport
}

func (s *stage) note(format string, args ...any) {
	s.report.Notes = append(s.report.Notes, fmt.Sprintf(format, args...))
}

// end is one party of a conversation: who it is and its call.
type end struct {
	name string
	call *phone.Call
}

// conversation is a call between two ends.
type conversation struct {
	caller, called end
	number         string // that was called
}

// casting is a call to place.
type casting struct {
	teams  bool    // a user calls; else a subscriber does
	region *region // it goes through; region 1 unless set
	spec   phone.CallSpec
	does   phone.Behaviour // of who is called
}

// Names of the parties.
const (
	aUser       = "user"
	aSubscriber = "subscriber"
)

// ring places a call and waits until it has reached who is
// called.
func (s *stage) ring(ctx context.Context, c casting) (conversation, error) {
	from, to := s.numbers(c.teams)
	t := conversation{caller: end{name: aSubscriber}, called: end{name: aUser}, number: to}
	x, dial := s.teams.Exchange, s.core.Dial
	through := cmp.Or(c.region, s.r1)
	c.spec.Site = through.site
	if c.teams {
		t.caller.name, t.called.name = aUser, aSubscriber
		x, dial = s.core.Exchange, s.teams.Dial
		c.spec.Site, c.spec.Region = "", through.cloudName
	}
	c.spec.From, c.spec.To = cmp.Or(c.spec.From, from), to
	x.Answer(to, c.does)
	var err error
	if t.caller.call, err = dial(ctx, c.spec); err != nil {
		return t, fmt.Errorf("the call of the %s was not placed: %w", t.caller.name, err)
	}
	return t, s.soon(ctx, func() error {
		if t.called.call = find(x, to); t.called.call == nil {
			return fmt.Errorf("the call of the %s has not reached the %s: %s", t.caller.name, t.called.name, fate(t.caller.call))
		}
		return nil
	})
}

// fate tells how a call went that came to nothing.
func fate(c *phone.Call) string {
	f := c.Brief()
	return fmt.Sprintf("status %d %s %s", f.Status, f.Reason, f.Error)
}

// answered waits until a call is answered, and gives the moment.
func (s *stage) answered(ctx context.Context, t conversation) (time.Time, error) {
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := t.caller.call.Wait(wait)
	f := t.caller.call.Brief()
	if err != nil || f.Answered.IsZero() {
		t.caller.call.HangUp()
		return time.Time{}, fmt.Errorf("the call of the %s was not answered: %s", t.caller.name, fate(t.caller.call))
	}
	return f.Answered, nil
}

// converse places a call that is answered.
func (s *stage) converse(ctx context.Context, c casting) (conversation, time.Time, error) {
	t, err := s.ring(ctx, c)
	if err != nil {
		return t, time.Time{}, err
	}
	at, err := s.answered(ctx, t)
	return t, at, err
}

// patience is how long what must happen may take on a busy machine.
const patience = 5 * time.Second

// soon waits until an attempt succeeds, and gives the error of the last one
// when none does in time.
func (s *stage) soon(ctx context.Context, attempt func() error) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		err := attempt()
		if err == nil {
			return nil
		}
		select {
		case <-limit.C:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// pass lets a while pass in which people talk.
func (s *stage) pass(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// part is a part of a call.
type part struct {
	when     string
	from, to time.Time
}

// since is the part that begins at a moment and lasts until now.
func since(when string, from time.Time) part { return part{when, from, time.Now()} }

// settling is how long media may take to flow, or to stop, after a change of
// the call: packets under way, latching, the listener's first one.
const settling = 300 * time.Millisecond

// both listens at both ends of a call to a part of it.
func (s *stage) both(t conversation, p part) {
	s.listen(t.caller, t.called, p)
	s.listen(t.called, t.caller, p)
}

// listen compares what one end said with what the other heard of it.
func (s *stage) listen(ear, mouth end, p part) {
	e, m := ear.call.Facts(), mouth.call.Facts()
	h := Hearing{Who: ear.name, Whom: mouth.name, When: p.when}
	r := audio.Compare(p.said(m.Sent), p.whole(e.Heard))
	if e.Codec != m.Codec { // recoding keeps the sound and not the wave
		r = audio.CompareAlike(p.said(m.Sent), p.of(e.Heard))
		r.SNR = math.Inf(1) // has no meaning there
	}
	h.EarReport = judge(r)
	h.Codec, h.Encryption = e.Codec, "none"
	if e.Suite != "" {
		h.Encryption = e.Suite
	}
	s.report.Heard = append(s.report.Heard, h)
}

// deaf reports whether an end heard nothing of what the other has to say.
func (s *stage) deaf(ear, mouth end, p part) error {
	if r := audio.Compare(p.of(mouth.call.Facts().Sent), p.of(ear.call.Facts().Heard)); r.Same {
		return fmt.Errorf("the %s hears the %s %s", ear.name, mouth.name, p.when)
	}
	return nil
}

// said cuts out what was said early enough to be heard within the part.
func (p part) said(t audio.Track) audio.Track {
	p.to = p.to.Add(-settling)
	return p.of(t)
}

// whole cuts out what was heard from the part's first moment on: among it is all
// that was said within, whether it took long or seems to have come in advance.
func (p part) whole(t audio.Track) audio.Track {
	p.from = p.from.Add(-settling)
	return p.of(t)
}

// of cuts the part out of a track, without its first moments.
func (p part) of(t audio.Track) audio.Track {
	at := func(x time.Time) int {
		n := int(x.Sub(t.At) * audio.Rate / time.Second)
		return max(0, min(n, len(t.PCM)))
	}
	from := at(p.from.Add(settling))
	return audio.Track{At: t.At.Add(time.Duration(from) * time.Second / audio.Rate), PCM: t.PCM[from:max(from, at(p.to))]}
}

// finish ends a call: the caller hangs up, and both ends and the node's record
// must agree that it is over.
func (s *stage) finish(ctx context.Context, t conversation) error {
	t.caller.call.HangUp()
	for _, e := range []end{t.caller, t.called} {
		select {
		case <-e.call.Done():
		case <-time.After(patience):
			return fmt.Errorf("the call of the %s did not end when the %s hung up", e.name, t.caller.name)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	_, err := s.recorded(ctx, t.number)
	return err
}

// recorded finds the closed record of the call to a number, in whatever region
// that went through at last.
func (s *stage) recorded(ctx context.Context, number string) (rec record.Call, err error) {
	return rec, s.soon(ctx, func() error {
		for _, r := range s.regions() {
			past, err := r.node.client.Past(ctx, record.Filter{Number: number, Limit: 1})
			if err == nil && len(past) == 1 && past[0].Ended != nil && !past[0].Failed() {
				rec = past[0]
				return nil
			}
		}
		return fmt.Errorf("no region has a closed record of the call to %s", number)
	})
}
