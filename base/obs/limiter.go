package obs

import (
	"sync"
	"time"
)

// Limiter lets one log line per key and interval through and counts the rest,
// so that a flood from outside is one line and a number, not a full disk:
//
//	if ok, more := l.Allow(src.String()); ok {
//		log.Warn("stranger refused", obs.KeyRemote, src, "suppressed", more)
//	}
//
// It is safe for use by several goroutines.
type Limiter struct {
	every time.Duration // RO
	mu    sync.Mutex
	keys  map[string]*window // mu
	swept time.Time          // mu: at most once per interval, else a flood of new keys pays for a sweep each
}

type window struct {
	began      time.Time
	suppressed int
}

// Keys may come from outside (addresses), so their number is bounded: about
// 1 MB of them. Beyond it all further keys share one window.
const maxKeys = 8192

// NewLimiter makes a Limiter.
func NewLimiter(every time.Duration) *Limiter {
	return &Limiter{every: every, keys: map[string]*window{}}
}

// Allow reports whether a line of this key may be written now, and how many
// of them were suppressed since the last one that was.
func (l *Limiter) Allow(key string) (ok bool, suppressed int) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.keys[key]
	if w == nil && len(l.keys) >= maxKeys {
		if now.Sub(l.swept) >= l.every {
			l.forget(now)
		}
		if len(l.keys) >= maxKeys {
			key = ""
			w = l.keys[key]
		}
	}
	if w == nil {
		l.keys[key] = &window{began: now}
		return true, 0
	}
	if now.Sub(w.began) < l.every {
		w.suppressed++
		return false, 0
	}
	suppressed = w.suppressed
	*w = window{began: now}
	return true, suppressed
}

// forget drops the keys whose interval is over, and with them the counts that
// nobody came back to hear.
func (l *Limiter) forget(now time.Time) {
	l.swept = now
	for key, w := range l.keys {
		if now.Sub(w.began) >= l.every {
			delete(l.keys, key)
		}
	}
}
