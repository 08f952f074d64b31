package call

import (
	"sync"
	"time"

	"github.com/tandemgw/tandem/edge/interop"
)

// recalls remembers who has called the emergency service by the number of his
// location (ELIN), so that a call back to that number reaches him. It is the
// node's own: a call back by another node goes where that number is
// provisioned, if it is.
type recalls struct {
	mu sync.Mutex
	by map[string]recall // mu; by ELIN
}

type recall struct {
	caller string
	until  time.Time
}

const (
	// recallFor is how long; the emergency service calls back when a call has
	// broken off.
	recallFor = time.Hour
	// maxRecalls: more emergency calls in an hour than a node should see, 64
	// bytes each.
	maxRecalls = 4096
)

// put remembers a call. When there are too many, that which would be forgotten
// first is.
func (r *recalls) put(elin, caller string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by == nil {
		r.by = map[string]recall{}
	}
	if _, again := r.by[elin]; !again && len(r.by) >= maxRecalls {
		first, oldest := now.Add(2*recallFor), ""
		for e, x := range r.by {
			if x.until.Before(first) {
				first, oldest = x.until, e
			}
		}
		delete(r.by, oldest)
	}
	r.by[elin] = recall{caller, now.Add(recallFor)}
}

// of is who has called by an ELIN, "" when nobody has of late.
func (r *recalls) of(elin string, now time.Time) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	x, ok := r.by[elin]
	if !ok || !now.Before(x.until) {
		delete(r.by, elin)
		return ""
	}
	return x.caller
}

// shown is the caller as a leg is told him: by the number of his location,
// where routing said so and the far side wants that.
func (s *state) shown(l *leg) interop.Identity { return s.shownBy(s.elin, s.identity, l) }

func (s *state) shownBy(elin string, id interop.Identity, l *leg) interop.Identity {
	if elin == "" || !l.dress.Profile.ELIN {
		return id
	}
	number, ok := l.dress.Plan.Normalise(elin)
	if !ok {
		s.notef("the ELIN %q is no number: the caller is shown by his own", elin)
		return id
	}
	if caller := id.Caller(); caller != "" {
		s.do(remember{number, caller})
	}
	return id.By(number)
}
