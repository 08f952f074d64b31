package login

import (
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// How many wrong secrets are taken, and how they are forgotten. A source that
// has shown a client's right secret is not held back by what others try with
// that client: nobody locks an operator's programs out by guessing.
const (
	sourceTries = 20               // from one address
	clientTries = 50               // with one client, from all addresses that never were right
	forget      = 15 * time.Second // one try is forgiven each
	maxEntries  = 20_000           // of each table; a flood from more addresses throws out the oldest
)

// guard counts wrong secrets. Right ones cost nothing.
type guard struct {
	mu      sync.Mutex
	sources map[string]tries     // mu
	clients map[string]tries     // mu
	trusted map[string]time.Time // mu: source and client that were right, and when
}

// tries is a bucket that leaks: full at some number, empty after a time.
type tries struct {
	n  float64
	at time.Time
}

func newGuard() *guard {
	return &guard{sources: map[string]tries{}, clients: map[string]tries{}, trusted: map[string]time.Time{}}
}

// now is how full the bucket is.
func (t tries) now(now time.Time) float64 {
	return max(0, t.n-float64(now.Sub(t.at))/float64(forget))
}

// wait is how long a source must wait before its next try with a client; 0 when
// it may go on. The client is "" where people sign in: their names are counted
// by the directory.
func (g *guard) wait(source, client string, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	wait := over(g.sources[source].now(now), sourceTries)
	if _, ok := g.trusted[source+" "+client]; !ok && client != "" {
		wait = max(wait, over(g.clients[client].now(now), clientTries))
	}
	return wait
}

func over(n, limit float64) time.Duration {
	if n < limit {
		return 0
	}
	return time.Duration((n - limit + 1) * float64(forget))
}

func (g *guard) bad(source, client string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	add(g.sources, source, now)
	if client != "" {
		add(g.clients, client, now)
	}
}

func (g *guard) good(source, client string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.trusted) >= maxEntries {
		clear(g.trusted)
	}
	g.trusted[source+" "+client] = now
}

func add(m map[string]tries, key string, now time.Time) {
	if len(m) >= maxEntries {
		for k, t := range m {
			if t.now(now) == 0 {
				delete(m, k)
			}
		}
		for k := range m { // all are fresh: any goes
			if len(m) < maxEntries {
				break
			}
			delete(m, k)
		}
	}
	m[key] = tries{m[key].now(now) + 1, now}
}

// source is the address that tries are counted for: of IPv6 the network, since
// one machine has as many addresses there as it likes.
func source(remote string) string {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	a := ap.Addr().Unmap().WithZone("")
	if a.Is6() {
		p, _ := a.Prefix(64)
		return p.String()
	}
	return a.String()
}

func seconds(d time.Duration) string { return itoa(int((d + time.Second - 1) / time.Second)) }

func itoa(n int) string { return strconv.Itoa(n) }
