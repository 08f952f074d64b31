package peer

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/wire/sip"
)

const (
	// patience is how long one address may take to answer an OPTIONS: a lost
	// datagram is repeated three times in it (RFC 3261 timer E: 0.5, 1.5,
	// 3.5 s), and three addresses still fit in a fraction of the interval.
	patience = 5 * time.Second
	// repeatMin is when a peer that missed is asked again; the pause doubles
	// up to the interval.
	repeatMin = 2 * time.Second
)

// errSilent stands for an OPTIONS without an answer in patience.
var errSilent = errors.New("no answer to OPTIONS in " + patience.String())

// watchAll begins a watch of each peer that is used and has none. The caller
// holds s.mu.
func (s *Set) watchAll(t *table) {
	if s.stack.Load() == nil || s.ctx.Err() != nil {
		return
	}
	for _, m := range t.order {
		m.mu.Lock()
		if m.stop == nil && m.used() {
			ctx, stop := context.WithCancel(s.ctx)
			m.stop = stop
			s.watch.Go(func() { s.watchPeer(ctx, m.Name, m.standing) })
		}
		m.mu.Unlock()
	}
	s.registerAll(t)
}

// watchPeer asks one peer for ever. The peer is looked up each time, since a
// snapshot may change its interval without changing its standing.
func (s *Set) watchPeer(ctx context.Context, name string, st *standing) {
	timer := time.NewTimer(0) // the first one at once: a peer may wait for it
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		m := s.table.Load().byName[name]
		if m == nil || m.standing != st {
			return
		}
		if m.used() {
			s.probe(ctx, m)
		}
		timer.Reset(s.pause(m))
	}
}

// pause is the time to the next OPTIONS: the interval, spread by a tenth so
// that the peers of many nodes are not asked in step, and less after a miss.
func (s *Set) pause(m *member) time.Duration {
	every := cmp.Or(m.Options, s.table.Load().Interval, time.Minute)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.misses > 0 {
		every = min(every, repeatMin<<min(m.misses-1, 10))
	}
	return every - rand.N(every/10+1)
}

// probe asks a peer at its addresses in turn, until one answers.
func (s *Set) probe(ctx context.Context, m *member) {
	began := time.Now()
	targets, err := s.Resolve(ctx, m.Name)
	var resp *sip.Message
	for _, t := range targets {
		began = time.Now()
		if resp, err = s.ask(ctx, m, t); err == nil {
			break
		}
	}
	if ctx.Err() != nil || errors.Is(err, sip.ErrClosed) {
		return
	}
	now, log := time.Now(), s.cfg.Log.With(obs.KeyPeer, m.Name, obs.KeyGroup, m.Group.Name)
	switch why, dead := verdict(resp, err, m); {
	case dead:
		if m.missed(now, why) {
			log.Warn("peer is down", obs.KeyCause, why)
		}
	case m.alive(now, now.Sub(began), why):
		log.Info("peer is up", obs.KeyStatus, resp.Status)
	}
}

// ask sends one OPTIONS and waits for its final response.
func (s *Set) ask(ctx context.Context, m *member, t sip.Target) (*sip.Message, error) {
	m.asked()
	req := interop.Options(s.Leg(&m.Known), interop.Names{CallID: sip.NewCallID(), Tag: sip.NewTag()})
	resp, _, err := s.exchange(ctx, m.login.prover, req, t, errSilent)
	return resp, err
}

// Answer answers an OPTIONS that is in no dialog: 200 with what we can do, or
// 503 while draining, which makes peers move their calls away before we stop.
func (s *Set) Answer(tx *sip.ServerTx) {
	m := s.table.Load().byRemote[tx.Source().Remote]
	if m == nil {
		return // the peer was removed a moment ago: a stranger gets nothing
	}
	m.seen(time.Now())
	req, leg := tx.Request(), s.Leg(&m.Known)
	var resp *sip.Message
	if s.draining.Load() {
		resp = interop.Response(req, 503, leg)
		resp.TagTo(sip.NewTag())
		resp.Set("Retry-After", "60")
	} else {
		resp = interop.AnswerOptions(req, sip.NewTag(), leg)
	}
	if err := tx.Respond(resp); err != nil {
		s.cfg.Log.Debug("answer OPTIONS", obs.KeyPeer, m.Name, obs.KeyError, err)
	}
}
