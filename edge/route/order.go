package route

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/tandemgw/tandem/link/snapshot"
)

// candidate is a peer with what decides its place.
type candidate struct {
	group     *snapshot.Group
	peer      *snapshot.Peer
	turn      int  // of the group
	direct    bool // the emergency service itself
	priority  int
	away      bool   // has no priority from here: another region's
	home      string // region whose peer it is, when away
	suspended bool   // its circuit breaker is open
}

// order turns the chosen groups into targets. A core retries in its local
// region before it crosses to the other (Azure Communications Gateway docs,
// "Reliability"), and so do we towards it.
func (r *router) order() {
	var room [8]candidate // on the stack for most gateways
	list := r.candidates(room[:0])
	if len(list) == 0 {
		r.refuse(503, "peer group "+r.groups[0].Name+" has no peer that may be called: give its peers a routing in callPolicy.peerGroupRoutings")
		return
	}
	shuffle(list, r.Seed)
	slices.SortStableFunc(list, func(a, b candidate) int {
		return cmp.Or(
			before(b.suspended, a.suspended),
			cmp.Compare(a.turn, b.turn),
			before(b.away, a.away),
			cmp.Compare(a.priority, b.priority),
		)
	})
	r.out.Targets = make([]Target, len(list))
	for i, c := range list {
		r.out.Targets[i] = Target{c.group, c.peer, c.why()}
	}
}

// before is -1 when only a holds.
func before(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// candidates are the peers of the groups that may be called at all. An open
// breaker is no reason to leave one out: the last peer is worth a try, and the
// breaker may be wrong.
func (r *router) candidates(list []candidate) []candidate {
	for turn, g := range r.groups {
		for i := range g.Peers {
			p := &g.Peers[i]
			if len(p.Priority) == 0 {
				continue
			}
			c := candidate{group: g, peer: p, turn: turn, direct: g.Name == r.snap.Policy.EmergencyGroup}
			c.suspended = r.health != nil && r.health(p.Name)
			if priority, ok := p.Priority[r.Region]; ok {
				c.priority = priority
			} else {
				c.away = true
				c.home, c.priority = home(p)
			}
			list = append(list, c)
		}
	}
	return list
}

// home is the region that prefers a peer most, the first by name of equals.
func home(p *snapshot.Peer) (region string, priority int) {
	for name, n := range p.Priority {
		if region == "" || n < priority || n == priority && name < region {
			region, priority = name, n
		}
	}
	return region, priority
}

func (c *candidate) why() string {
	why := "local region, priority " + strconv.Itoa(c.priority)
	if c.away {
		why = "other region " + c.home + ", after all local peers"
	}
	if c.direct {
		why = "the emergency service itself, " + why
	}
	if c.suspended {
		why += "; last, since its circuit breaker is open"
	}
	return why
}

// shuffle is Fisher and Yates's, so that the stable sort after it leaves
// peers of equal rank in an order by lot.
func shuffle(list []candidate, seed uint64) {
	for i := len(list) - 1; i > 0; i-- {
		// SplitMix64 (Steele, Lea, Flood 2014): good enough to spread calls,
		// and no state to allocate.
		seed += 0x9e3779b97f4a7c15
		z := (seed ^ seed>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		// The bias of the remainder is i/2^64.
		k := int((z ^ z>>31) % uint64(i+1))
		list[i], list[k] = list[k], list[i]
	}
}
