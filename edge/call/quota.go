package call

import (
	"sync"
	"time"
)

// linesPerSecond is how many calls of one peer that came to nothing are put
// into the log in a second. A peer gone wild makes a thousand; each still has
// its record.
const linesPerSecond = 10

// quota keeps the log from being a peer's to fill. The zero value is ready.
type quota struct {
	mu    sync.Mutex
	peers map[string]*window // mu; there are as many as peers
}

// window is the current second of one peer.
type window struct {
	began   time.Time
	said    int
	missing int // not said since the last line
}

// take tells whether a line may be said about a call of peer, and how many
// before it were not.
func (q *quota) take(peer string, now time.Time) (missing int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := q.peers[peer]
	if w == nil {
		if q.peers == nil {
			q.peers = map[string]*window{}
		}
		w = &window{}
		q.peers[peer] = w
	}
	if now.Sub(w.began) >= time.Second {
		w.began, w.said = now, 0
	}
	if w.said == linesPerSecond {
		w.missing++
		return 0, false
	}
	missing, w.missing = w.missing, 0
	w.said++
	return missing, true
}
