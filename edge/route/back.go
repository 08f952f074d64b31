package route

import (
	"cmp"
	"slices"

	"github.com/tandemgw/tandem/link/snapshot"
)

// Back decides where a call goes whose target only the far side that it came
// from can resolve: to the peers of that group.
func Back(group string, f Facts, s *snapshot.Snapshot, health Health) Decision {
	r := router{Facts: f, snap: s, health: health}
	r.emergency()
	g := s.Group(group)
	if g == nil {
		r.refuse(503, "peer group "+group+" is not in the snapshot")
		return r.out
	}
	r.groups = append(r.groups, g)
	r.order()
	return r.out
}

// Prefer puts the peers that a far side has named, by host or by their own
// name, in front of the others, but for those whose circuit breaker is open.
func (d *Decision) Prefer(health Health, named ...string) {
	rank := func(t Target) int {
		i := slices.IndexFunc(named, func(name string) bool { return name == t.Peer.Host || name == t.Peer.Name })
		if i < 0 || health != nil && health(t.Peer.Name) {
			return len(named)
		}
		return i
	}
	slices.SortStableFunc(d.Targets, func(a, b Target) int { return cmp.Compare(rank(a), rank(b)) })
	for i, t := range d.Targets {
		if rank(t) < len(named) {
			d.Targets[i].Why = "named by the far side, " + t.Why
		}
	}
}
