package gateway

import (
	"context"
	"strings"

	"github.com/tandemgw/tandem/control/store"
)

// delegated finds domains that another gateway has, or that lie in or above one
// of its: a name is served for one gateway, and whoever came later would take
// the first one's customers away.
func (s *Set) delegated(ctx context.Context, tx *store.Tx, now *row) (Problems, error) {
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
		for _, other := range rows {
			if other.Properties.DNSDelegations == nil {
				continue
			}
			for _, y := range other.Properties.DNSDelegations.Delegations {
				if overlap(x.Domain, y.Domain) {
					c.add(path, Duplicate, "gateway %s has %s: take it away there first, or write another domain", other.ID.Name, y.Domain)
				}
			}
		}
	}
	return c.problems, nil
}

// overlap tells whether one of two domains lies in the other.
func overlap(a, b string) bool {
	a, b = "."+strings.ToLower(strings.TrimSuffix(a, ".")), "."+strings.ToLower(strings.TrimSuffix(b, "."))
	return strings.HasSuffix(a, b) || strings.HasSuffix(b, a)
}
