package gateway

import (
	"context"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/control/store"
)

// claimed finds new domains that another gateway has, or that lie in or above one
// of its: a name is served for one gateway, and whoever came later would take
// the first one's customers away.
func (s *Set) claimed(ctx context.Context, tx *store.Tx, old, now *row) (Problems, error) {
	if now.Properties.DNSDelegations == nil {
		return nil, nil
	}
	rows, err := loadAll(ctx, tx, `WHERE g.doc LIKE '%"dnsDelegations"%' AND g.key <> ? ORDER BY g.created, g.key`, now.key())
	if err != nil {
		return nil, err
	}
	var c checker
	for i, x := range now.Properties.DNSDelegations.Delegations {
		path := at(props+"dnsDelegations.delegations", i) + ".domain"
		if old != nil && slices.ContainsFunc(domains(old), x.same) {
			continue // what it has, it may say again
		}
		for _, other := range rows {
			for _, y := range domains(other) {
				if overlap(x.Domain, y.Domain) {
					c.add(path, Duplicate, "gateway %s has %s: take it away there first, or write another domain", other.ID.Name, y.Domain)
				}
			}
		}
	}
	return c.problems, nil
}

// domains are those that a gateway says are delegated.
func domains(r *row) []DNSDelegation {
	if d := r.Properties.DNSDelegations; d != nil {
		return d.Delegations
	}
	return nil
}

func (d DNSDelegation) same(o DNSDelegation) bool { return strings.EqualFold(d.Domain, o.Domain) }

// overlap tells whether one of two domains lies in the other.
func overlap(a, b string) bool {
	a, b = "."+strings.ToLower(strings.TrimSuffix(a, ".")), "."+strings.ToLower(strings.TrimSuffix(b, "."))
	return strings.HasSuffix(a, b) || strings.HasSuffix(b, a)
}
