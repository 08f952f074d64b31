package lab

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/phone"
)

// trial is one call to place: who calls whom through which region.
type trial struct {
	name   string
	region *region
	teams  bool // a Teams user calls; else a subscriber of the core does
	voice  uint64
	length time.Duration // of the conversation
}

// setUp is what a call may take by itself on a busy machine. A call placed at
// the moment of the kill must be answered within the interval of OPTIONS, after
// which everybody knows that the region is gone, and this.
const setUp = time.Second

// talk is how long a call lasts: the speech sample once and a little more.
const talk = 5 * time.Second

// try places the calls, listens, kills a region, and settles the verdict.
func (w *world) try(ctx context.Context, s *show) (*Verdict, error) {
	v := &Verdict{Violations: []string{}, Problems: []string{}}
	stalled := stalls()
	s.begin("calls both ways, both regions")
	v.Calls = w.place(ctx, []trial{
		{name: "Teams → core, " + w.r1.name, region: w.r1, teams: true, voice: 1, length: talk},
		{name: "Teams → core, " + w.r2.name, region: w.r2, teams: true, voice: 2, length: talk},
		{name: "core → Teams, " + w.r1.name, region: w.r1, voice: 3, length: talk},
		{name: "core → Teams, " + w.r2.name, region: w.r2, voice: 4, length: talk},
	})
	good := 0
	for _, c := range v.Calls {
		if c.OK {
			good++
		}
	}
	s.end(good == len(v.Calls), "%d of %d heard both ways", good, len(v.Calls))

	err := w.failover(ctx, s, &v.Failover)
	v.StalledMS = ms(stalled())
	if err != nil {
		return nil, err
	}
	for _, x := range append(w.teams.Violations(), w.core.Violations()...) {
		v.Violations = append(v.Violations, x.Rule+": "+x.Message)
	}
	v.settle()
	return v, ctx.Err()
}

// place runs trials at the same time and reports each.
func (w *world) place(ctx context.Context, trials []trial) []CallReport {
	reports := make([]CallReport, len(trials))
	var all sync.WaitGroup
	for i, t := range trials {
		all.Go(func() {
			reports[i] = w.call(ctx, t)
		})
	}
	all.Wait()
	return reports
}

// call places one call, waits for its end and listens at both ends.
func (w *world) call(ctx context.Context, t trial) CallReport {
	r := CallReport{Name: t.name, Region: t.region.name}
	to, err := w.dial(ctx, t, &r)
	if err == nil {
		err = w.listen(ctx, t, to, &r)
	}
	if err != nil {
		r.Problem = err.Error()
	}
	r.OK = r.Problem == ""
	return r
}

// dial gives the called number its behaviour and places the call. It returns
// the called number once the call is answered.
func (w *world) dial(ctx context.Context, t trial, r *CallReport) (string, error) {
	from, to := w.numbers(t.teams)
	called, spec := w.sides(t)
	called.Answer(to, phone.Behaviour{
		Ring: 200 * time.Millisecond,
		Send: audio.Tones(t.voice, 2*talk),
	})
	spec.From, spec.To = from, to
	spec.Send = audio.Speech(t.voice)
	spec.Duration = t.length
	r.began = time.Now()
	var err error
	if t.teams {
		r.call, err = w.teams.Dial(ctx, spec)
	} else {
		r.call, err = w.core.Dial(ctx, spec)
	}
	if err != nil {
		return "", fmt.Errorf("was not placed: %w", err)
	}
	answer, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err = r.call.Wait(answer)
	f := r.call.Facts()
	r.Status = f.Status
	if err != nil || f.Answered.IsZero() {
		r.call.HangUp()
		return "", fmt.Errorf("was not answered: status %d %s %s", f.Status, f.Reason, f.Error)
	}
	r.SetupMS = ms(f.Answered.Sub(f.Began))
	return to, nil
}

// sides gives the exchange that is called and the beginning of the call's
// specification.
func (w *world) sides(t trial) (*phone.Exchange, phone.CallSpec) {
	if t.teams {
		return w.core.Exchange, phone.CallSpec{Region: t.region.cloudName}
	}
	return w.teams.Exchange, phone.CallSpec{Site: t.region.site}
}

// listen waits for the call's end and compares what was said with what was
// heard, at both ends; the node's record tells the legs.
func (w *world) listen(ctx context.Context, t trial, to string, r *CallReport) error {
	select {
	case <-r.call.Done():
	case <-time.After(t.length + 5*time.Second):
		r.call.HangUp()
		return errors.New("did not end when the caller hung up")
	case <-ctx.Done():
		return ctx.Err()
	}
	called, _ := w.sides(t)
	callee := find(called, to)
	if callee == nil {
		return errors.New("was answered, but not by the number that was called")
	}
	a, b := r.call.Facts(), callee.Facts()
	r.Caller, r.Callee = judge(audio.Compare(b.Sent, a.Heard)), judge(audio.Compare(a.Sent, b.Heard))
	rec, err := w.record(ctx, t.region, to)
	if err != nil {
		return err
	}
	r.ID = rec.ID
	r.Caller.over(t.teams, rec.Caller)
	r.Callee.over(!t.teams, rec.Callee)
	for _, ear := range []struct {
		who string
		EarReport
	}{{"the caller", r.Caller}, {"the called one", r.Callee}} {
		if ear.Problem != "" {
			return fmt.Errorf("%s %s", ear.who, ear.Problem)
		}
	}
	return w.legs(t, rec)
}

// over fills in what the record says of the leg an ear was on.
func (e *EarReport) over(teams bool, leg record.Leg) {
	e.Side, e.Encryption = "core", "none"
	if teams {
		e.Side = "Teams"
	}
	e.Transport, e.Codec = leg.Transport, leg.Codec
	if leg.SRTP != "" {
		e.Encryption = leg.SRTP
	}
}

// legs checks that the record tells the truth about how the call went.
func (w *world) legs(t trial, rec record.Call) error {
	cloud, operator := rec.Caller, rec.Callee
	if !t.teams {
		cloud, operator = operator, cloud
	}
	switch {
	case rec.Region != t.region.name:
		return fmt.Errorf("went through region %s, was meant for %s", rec.Region, t.region.name)
	case cloud.SRTP == "":
		return errors.New("was not encrypted on the Teams side")
	case operator.SRTP != "":
		return fmt.Errorf("was encrypted (%s) towards a core that speaks RTP in the clear", operator.SRTP)
	case rec.Ended == nil || rec.Cause.By == "node lost":
		return errors.New("has a record that was not closed when it ended")
	}
	return nil
}

// record finds the node's record of the call to a number, waiting a moment
// for its end to be written.
func (w *world) record(ctx context.Context, r *region, to string) (record.Call, error) {
	deadline := time.Now().Add(3 * time.Second)
	for {
		past, err := r.node.client.Past(ctx, record.Filter{Number: to, Limit: 1})
		if err != nil {
			return record.Call{}, fmt.Errorf("records of %s: %w", r.name, err)
		}
		if len(past) == 1 && past[0].Ended != nil {
			return past[0], nil
		}
		if time.Now().After(deadline) {
			return record.Call{}, fmt.Errorf("region %s has no closed record of the call to %s", r.name, to)
		}
		select {
		case <-ctx.Done():
			return record.Call{}, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// find gives the newest call that a number of an exchange received.
func find(x *phone.Exchange, number string) *phone.Call {
	calls := x.Calls()
	for i := len(calls) - 1; i >= 0; i-- {
		if f := calls[i].Facts(); !f.Outbound && f.To == number {
			return calls[i]
		}
	}
	return nil
}

// failover kills region one in the middle of calls, shows that new calls
// succeed in the other, and that the cut calls' records are closed when the
// region comes back.
func (w *world) failover(ctx context.Context, s *show, f *Failover) error {
	f.Killed, f.LimitMS = w.r1.name, ms(w.options+setUp)
	s.begin("kill " + w.r1.name + " in mid-call")
	cut := []CallReport{{}, {}}
	var numbers []string
	for i, t := range []trial{
		{region: w.r1, teams: true, voice: 5, length: time.Minute},
		{region: w.r1, voice: 6, length: time.Minute},
	} {
		to, err := w.dial(ctx, t, &cut[i])
		if err != nil {
			s.progress("%v", err)
			continue
		}
		numbers = append(numbers, to)
		f.CallsCut++
	}
	w.r1.node.kill()
	killed := time.Now()
	s.end(f.CallsCut == 2, "%d calls cut", f.CallsCut)

	s.begin("new calls through " + w.r2.name)
	f.Tries = w.recover(ctx, killed, f)
	s.end(f.RecoveredMS > 0 && f.RecoveredMS <= f.LimitMS, "both ways after %.0f ms", f.RecoveredMS)

	s.begin("restart " + w.r1.name)
	restarted := time.Now()
	if err := w.r1.node.start(); err != nil {
		return err
	}
	for _, c := range cut {
		if c.call != nil {
			c.call.HangUp() // their BYE meets a node that does not know them
		}
	}
	wait, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := w.ready(wait, func(p string) { s.progress("%s", p) }); err != nil {
		s.end(false, "%v", err)
		return err
	}
	f.RestartedMS = ms(time.Since(restarted))
	for _, number := range numbers {
		rec, err := w.record(ctx, w.r1, number)
		if err == nil && rec.Cause.By == "node lost" {
			f.OrphanClosed++
		}
	}
	s.end(f.OrphanClosed == f.CallsCut, "%d of %d records closed as \"node lost\"", f.OrphanClosed, f.CallsCut)

	s.begin("a call through " + w.r1.name + " again")
	f.BackInUse = w.call(ctx, trial{name: "Teams → core, " + w.r1.name, region: w.r1, teams: true, voice: 7, length: 2 * time.Second})
	s.end(f.BackInUse.OK, "%s", f.BackInUse.Problem)
	return ctx.Err()
}

// recover places calls both ways until one of each is answered, and tells how
// long after the kill both had been.
func (w *world) recover(ctx context.Context, killed time.Time, f *Failover) []Try {
	var (
		mu    sync.Mutex // both directions add to the same list
		tries []Try
		both  sync.WaitGroup
	)
	for _, from := range []string{"Teams", "core"} {
		both.Go(func() {
			for time.Since(killed) < 4*w.options && ctx.Err() == nil {
				// As a caller would: to the region that was killed first.
				r := CallReport{}
				_, err := w.dial(ctx, trial{region: w.r1, teams: from == "Teams", voice: 8, length: time.Second}, &r)
				try := Try{From: from, OK: err == nil, AfterMS: ms(time.Since(killed))}
				if err != nil {
					try.Problem = err.Error()
				}
				mu.Lock()
				tries = append(tries, try)
				mu.Unlock()
				if try.OK {
					<-r.call.Done()
					return
				}
			}
		})
	}
	both.Wait()
	won := map[string]float64{}
	for _, t := range tries {
		if t.OK {
			won[t.From] = t.AfterMS
		}
	}
	if len(won) == 2 {
		f.RecoveredMS = max(won["Teams"], won["core"])
	}
	return tries
}
