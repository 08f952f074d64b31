package call

import (
	"sync"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

// A node that is offered more than it can do must not do all of it late: the
// work for a caller who has given up is wasted, and soon all of it is. So new
// calls are refused while those that were taken wait too long for us; 503 sends
// them to the other region. Emergency calls never are.
const (
	tardy = 100 * time.Millisecond // from an INVITE's arrival until its record is durable
	spell = 50 * time.Millisecond  // for so long,
	calls = 8                      // and for so many, there must not be a shorter wait
	stale = time.Second            // the last wait told so long ago says nothing of the load now: of the next calls all are let in
	probe = 250 * time.Millisecond // a heavy load is tried with one call this often, and whenever one got through
)

// load judges by the least wait, as CoDel does (RFC 8289): a short one shows
// that the long ones were a burst, or a slow turn of the disk. The zero value
// is ready.
type load struct {
	mu    sync.Mutex
	since time.Time // mu; of the first wait that was too long
	last  time.Time // mu; when a wait was told last
	late  int       // mu; waits that were too long, without a shorter one between
	heavy bool      // mu; there were enough of them
	tried time.Time // mu; when a call was let in under a heavy load, zero once it got through
}

// waited tells how long a call has waited until now. It reports whether that
// changes how we take calls.
func (l *load) waited(now time.Time, wait time.Duration) (heavy, changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.heavy
	l.tried, l.last = time.Time{}, now
	if wait <= tardy {
		l.heavy, l.late = false, 0
		return false, was
	}
	if l.late++; l.late == 1 {
		l.since = now
	}
	l.heavy = was || l.late >= calls && now.Sub(l.since) >= spell
	return l.heavy, l.heavy != was
}

// full tells whether a new call is to be refused.
func (l *load) full(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tried.IsZero() && now.Sub(l.last) > stale {
		l.heavy, l.late = false, 0
	}
	if !l.heavy {
		return false
	}
	if now.Sub(l.tried) < probe {
		return true
	}
	l.tried = now
	return false
}

// Urgent tells the stack which requests are emergency calls.
func (s *Set) Urgent(req *sip.Message) bool {
	u, err := sip.ParseURI(req.RequestURI)
	return err == nil && req.Method == "INVITE" && s.cfg.Snapshot().IsEmergency(u.User)
}

// Overloaded tells the stack whether a request is to be refused for want of
// time.
func (s *Set) Overloaded(req *sip.Message) bool {
	return req.Method == "INVITE" && s.load.full(time.Now())
}

// durable says that a call's record is on the disk, or refused.
func (c *call) durable(began time.Time, err error) {
	now := time.Now()
	wait := now.Sub(began) + c.set.stack.Load().Lag() // it waited to be read, and so will its answers
	switch heavy, changed := c.set.load.waited(now, wait); {
	case !changed:
	case heavy:
		c.set.cfg.Log.Warn("more calls come than this node can do: new ones are refused, emergency calls aside")
	default:
		c.set.cfg.Log.Info("all new calls are taken again")
	}
	c.post(begun{err}, true)
}
