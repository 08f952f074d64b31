package route

import (
	"cmp"
	"slices"

	"github.com/tandemgw/tandem/link/snapshot"
)

// Back decides where a call goes whose target only the far side that it came
// from can resolve: to the peers of that group, those named first, by host or
// by their own name, in front of the others.
func Back(group string, first []string, f Facts, s *snapshot.Snapshot, health Health) Decision {
	r := router{Facts: f, snap: s, health: health}
	g := s.Group(group)
	if g == nil {
		r.refuse(503, "peer group "+group+" is not in the snapshot")
		return r.out
	}
	r.groups = append(r.groups, g)
	r.order()
	rank := func(t Target) int {
		i := slices.IndexFunc(first, func(name string) bool { return name == t.Peer.Host || name == t.Peer.Name })
		if i < 0 || r.suspended(t.Peer.Name) {
			return len(first)
		}
		return i
	}
	slices.SortStableFunc(r.out.Targets, func(a, b Target) int { return cmp.Compare(rank(a), rank(b)) })
	for i, t := range r.out.Targets {
		if rank(t) < len(first) {
			r.out.Targets[i].Why = "named by who asked, " + t.Why
		}
	}
	return r.out
}

func (r *router) suspended(peer string) bool { return r.health != nil && r.health(peer) }
