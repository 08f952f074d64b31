package sip

import (
	"cmp"
	"strings"
	"sync"
	"time"
)

// Rate bounds what one peer may ask of us, so that one gone wild does not
// starve the others; zero fields mean the defaults beside them.
type Rate struct {
	// Requests are those a second that begin something: no ACK, no CANCEL,
	// nothing inside a dialog. 1000, more than a core of the machine carries
	// as calls. Those above get 503 with Retry-After while they are few, then
	// nothing.
	Requests int
	// Burst is how many may come at once after a quiet time: twice Requests.
	Burst int
}

// SetRate replaces the bounds of what the peer may ask.
func (r *Remote) SetRate(b Rate) { r.rate.Store(&b) }

// bounds are those in force.
func (r *Remote) bounds() Rate {
	if b := r.rate.Load(); b != nil {
		return b.withDefaults()
	}
	return r.Rate.withDefaults()
}

func (r Rate) withDefaults() Rate {
	r.Requests = cmp.Or(r.Requests, 1000)
	r.Burst = cmp.Or(r.Burst, 2*r.Requests)
	return r
}

// messagesPerRequest is what a peer may send in all, for each request that
// begins something: a call has about ten messages each way with holds and
// provisional responses, and everything may come twice. Datagrams above that
// are dropped unread; a connection above it is read more slowly, which makes
// its sender wait.
const messagesPerRequest = 20

// limiter is what one remote has left.
type limiter struct {
	mu                      sync.Mutex
	fresh, refusals, within bucket // mu
}

// bucket fills with time. It may be overdrawn: its balance below zero is how
// long to wait.
type bucket struct {
	balance float64
	at      time.Time // of the balance; zero: full
}

// fill brings the balance up to date.
func (b *bucket) fill(now time.Time, rate, burst float64) {
	if b.at.IsZero() {
		b.balance = burst
	}
	b.balance = min(burst, b.balance+rate*max(0, now.Sub(b.at).Seconds()))
	b.at = now
}

// take takes one out of a bucket, if there is one.
func (l *limiter) take(b *bucket, perSecond, burst int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b.fill(time.Now(), float64(perSecond), float64(burst)); b.balance < 1 {
		return false
	}
	b.balance--
	return true
}

// within is asked for each datagram of a peer before it is read.
func (r *Remote) within() bool {
	rate, l := r.bounds(), &r.limiter
	return l.take(&l.within, rate.Requests*messagesPerRequest, rate.Burst*messagesPerRequest)
}

// early is asked for each message on a connection: how long it came too early.
func (r *Remote) early() time.Duration {
	rate, l := r.bounds(), &r.limiter
	perSecond := float64(rate.Requests * messagesPerRequest)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.within.fill(time.Now(), perSecond, float64(rate.Burst*messagesPerRequest))
	l.within.balance--
	return time.Duration(max(0, -l.within.balance) / perSecond * float64(time.Second))
}

// mayBegin is asked for each request that begins something; refuse tells
// whether one that may not is worth an answer. Emergency calls are let in all
// the same.
func (s *Stack) mayBegin(m *Message, r *Remote) (ok, refuse bool) {
	rate, l := r.bounds(), &r.limiter
	if l.take(&l.fresh, rate.Requests, rate.Burst) || s.urgent(m) {
		return true, false
	}
	return false, l.take(&l.refusals, rate.Requests/10, rate.Requests/10+1)
}

// overloaded asks the user whether there is no time for a request. Emergency
// calls are let in all the same, and peers whose requests are few beside those
// of others: the overload is not theirs.
func (s *Stack) overloaded(m *Message, r *Remote) bool {
	if s.cfg.Overloaded == nil {
		return false
	}
	modest := s.shares.modest(r, time.Now())
	return s.cfg.Overloaded(m) && !modest && !s.urgent(m)
}

// urgent tells whether a request is an emergency call, as far as can be seen
// without knowing numbers (RFC 5031); the user may know more.
func (s *Stack) urgent(m *Message) bool {
	const sos = "urn:service:sos"
	if len(m.RequestURI) >= len(sos) && strings.EqualFold(m.RequestURI[:len(sos)], sos) {
		return true
	}
	return s.cfg.Urgent != nil && s.cfg.Urgent(m)
}
