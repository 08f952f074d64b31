package relay

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	randv2 "math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/tandemgw/tandem/base/obs"
)

// clerk goes round all media: it sends RTCP, and looks where comfort noise is
// wanted. One goroutine, which runs while there are any.
type clerk struct {
	log     *slog.Logger // RO
	running sync.WaitGroup

	mu     sync.Mutex
	shelf  [rounds]map[*Media]struct{} // mu; each looked at once a second
	count  int                         // mu
	alive  bool                        // mu
	closed bool                        // mu
	last   int                         // mu; shelf that was filled last
	empty  chan struct{}               // mu; closed when there is none left
}

// rounds is in how many parts the work of a second is done.
const rounds = 4

const visit = time.Second / rounds

// file is what the clerk knows of one media.
type file struct {
	shelf int
	next  [2]time.Time // when a side is due a report
}

func (c *clerk) enter(m *Media) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = (c.last + 1) % rounds
	if c.shelf[c.last] == nil {
		c.shelf[c.last] = map[*Media]struct{}{}
	}
	m.file.shelf = c.last
	c.shelf[c.last][m] = struct{}{}
	c.count++
	if !c.alive && !c.closed {
		c.alive, c.empty = true, make(chan struct{})
		empty := c.empty
		c.running.Go(func() { c.run(empty) })
	}
}

func (c *clerk) leave(m *Media) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.shelf[m.file.shelf][m]; ok {
		delete(c.shelf[m.file.shelf], m)
		c.count--
		if c.count == 0 {
			c.stop()
		}
	}
}

// stop ends the goroutine. The caller holds mu.
func (c *clerk) stop() {
	if c.alive {
		c.alive = false
		close(c.empty)
	}
}

// close ends it for ever.
func (c *clerk) close() {
	c.mu.Lock()
	c.closed = true
	c.stop()
	c.mu.Unlock()
	c.running.Wait()
}

func (c *clerk) run(empty chan struct{}) {
	ticker := time.NewTicker(visit)
	defer ticker.Stop()
	var visits []*Media
	for i := 0; ; i++ {
		visits = c.gather(i%rounds, visits[:0])
		for _, m := range visits {
			c.visit(m)
		}
		select {
		case <-ticker.C:
		case <-empty:
			return
		}
	}
}

// visit looks after one media. One in which that panics is not looked after any
// more: its packets still pass.
func (c *clerk) visit(m *Media) {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("panic in the media of a call, which gets no more RTCP of ours", obs.KeyError, fmt.Sprint(p), "stack", string(debug.Stack()))
			c.leave(m)
		}
	}()
	m.look(time.Now())
}

// gather takes a shelf's media.
func (c *clerk) gather(shelf int, visits []*Media) []*Media {
	c.mu.Lock()
	defer c.mu.Unlock()
	for m := range c.shelf[shelf] {
		visits = append(visits, m)
	}
	return visits
}

// look does what is due for one media.
func (m *Media) look(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range [...]Side{Caller, Callee} {
		if pad := m.keypads[s]; pad != nil {
			pad.expire(now)
		}
		if m.sides[s] != nil {
			m.report(s, now)
			m.voices[s].fill(m.lacks(s, now))
			m.sample(s, now)
		}
	}
}

// lacks tells whether a side is to hear comfort noise: the other one is to
// speak, and has not for long.
func (m *Media) lacks(s Side, now time.Time) bool {
	n, far := m.sides[s], m.sides[s.Other()]
	if n.Fill == 0 || far == nil || !n.Direction.Receives() || !far.Direction.Sends() {
		return false
	}
	return m.quietSince(s.Other(), now) >= n.Fill
}

// quietSince is how long nothing has come from a side; a negotiation counts as
// something.
func (m *Media) quietSince(s Side, now time.Time) time.Duration {
	last := m.ports[s].Stats().Last
	if last.Before(m.since) {
		last = m.since
	}
	return now.Sub(last)
}

const (
	// interval is the least between two reports in the mean (RFC 3550 6.2).
	interval = 5 * time.Second
	// compensation is e - 1.5: without it the random intervals would be shorter
	// in the mean than they should (RFC 3550 6.3.1).
	compensation = 1.21828
	// unanswered is how long the other side may send no RTCP until ours is sent
	// in its place: three intervals.
	unanswered = 3 * interval
)

// report sends a side RTCP of ours when it is due.
func (m *Media) report(s Side, now time.Time) {
	due := &m.file.next[s]
	switch {
	case due.IsZero(): // the first one after half the time (RFC 3550 6.2)
		*due = now.Add(spread(interval / 2))
		return
	case now.Before(*due):
		return
	}
	*due = now.Add(spread(interval))
	n, far := m.sides[s], m.sides[s.Other()]
	relayed := n.Reports == Relayed && far != nil && !far.Recode && now.Sub(m.ports[s.Other()].Stats().LastRTCP) < unanswered
	if n.Reports == None || relayed {
		return
	}
	// A side without an address gets none; one that cannot be reached is seen
	// by its silence.
	if n.Metrics {
		_ = m.ports[s].Explain(n.forReports(), m.names[s], m.judgement(s, now))
		return
	}
	_ = m.ports[s].Report(n.forReports(), m.names[s])
}

// spread makes an interval random, from half to one and a half of it, so that
// no two sources keep step (RFC 3550 6.3.1).
func spread(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.5 + randv2.Float64()) / compensation)
}

// canonicalName is a random one for each leg (RFC 7022 4.2): nothing of one
// leg is to be known again on another.
func canonicalName() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawStdEncoding.EncodeToString(b[:])
}
