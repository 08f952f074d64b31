package publish

import (
	"slices"

	"github.com/tandemgw/tandem/link/snapshot"
)

// Rule is a rule of the operator's own, and the groups whose messages it
// changes: by name, or all of a side by the side's.
type Rule struct {
	Groups []string
	snapshot.Rule
}

// rules gives each group those that are for it, in their order.
func (c *compiler) rules() {
	for i := range c.out.Groups {
		g := &c.out.Groups[i]
		for _, r := range c.in.Rules {
			if slices.Contains(r.Groups, g.Name) || slices.Contains(r.Groups, string(g.Side)) {
				g.Rules = append(g.Rules, r.Rule)
			}
		}
	}
}
