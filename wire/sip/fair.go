package sip

import (
	"sync"
	"time"
)

// shares counts what each peer asks for, so that in an overload those are
// refused who make it. The zero value is ready.
type shares struct {
	mu        sync.Mutex
	since     time.Time       // mu; beginning of the second
	now, last map[*Remote]int // mu; requests of this second and of the one before
	total     int             // mu; of both
}

// modest counts a request and tells whether its peer asks for less than half
// of an even share. All the modest ones together ask for less than half of
// everything, so what is refused of the others makes room for them; and where
// all ask for the same, nobody is modest.
func (s *shares) modest(r *Remote, at time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(at)
	s.now[r]++
	s.total++
	peers := len(s.now)
	for old := range s.last {
		if s.now[old] == 0 {
			peers++
		}
	}
	return peers > 1 && 2*peers*(s.now[r]+s.last[r]) < s.total
}

// turn begins a new second when it is time. The caller holds mu.
func (s *shares) turn(at time.Time) {
	switch age := at.Sub(s.since); {
	case s.now == nil || age >= 2*time.Second || age < 0:
		s.now, s.last, s.total = map[*Remote]int{}, nil, 0
	case age >= time.Second:
		s.now, s.last = map[*Remote]int{}, s.now
		s.total = 0
		for _, n := range s.last {
			s.total += n
		}
	default:
		return
	}
	s.since = at
}
