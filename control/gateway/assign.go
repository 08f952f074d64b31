package gateway

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/link"
)

// applyAssign: each region has edges, and they report.
func (s *Set) applyAssign(ctx context.Context, job *operation.Job, r *row) error {
	var mine []assignment
	err := job.Write(ctx, func(tx *store.Tx) (err error) {
		mine, err = s.assign(ctx, tx, r)
		return err
	})
	if err != nil {
		return err
	}
	status := s.edges()
	for _, a := range mine {
		e, known := status[a.node]
		switch {
		case !known:
			return s.patience(job, codeEdgeAway, fmt.Sprintf("edge %s of %s has never reported: start it, with link.urls that lead to this control node", a.node, a.region))
		case !e.Live:
			return s.patience(job, codeEdgeAway, fmt.Sprintf("edge %s of %s was heard of last at %s: start it again, or see whether it reaches this control node", a.node, a.region, clock(e.Seen)))
		case subscription.Normal(e.Region) != a.region:
			return operation.Fail(codeEdgeRegion, fmt.Sprintf("edge %s says that it is in %s, control.locations has it in %s: correct node.region there or control.locations here, then PUT the gateway again", a.node, e.Region, a.region))
		}
	}
	return nil
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05 on 2 January") }

// assign gives the gateway free edges of its regions: one where it is a lab
// deployment, else all there are. Edges that it has and that are still
// configured in their region stay.
func (s *Set) assign(ctx context.Context, tx *store.Tx, r *row) (mine []assignment, err error) {
	all, err := assignments(ctx, tx, "")
	if err != nil {
		return nil, err
	}
	owner := map[string]string{}
	for _, a := range all {
		owner[a.node] = a.gateway
	}
	locations, kept := s.cfg.Locations(), map[string]bool{}
	for _, region := range r.Regions {
		l, _ := located(locations, region)
		var here []string
		for _, node := range l.Edges {
			if owner[node] == r.key() {
				here, kept[node] = append(here, node), true
			}
		}
		for _, node := range l.Edges {
			if owner[node] == "" && (len(here) == 0 || Default(r.Gateway).SKU.Name != lab) {
				if _, err := tx.Exec(ctx, "INSERT INTO edge_assignment (node, gateway, region) VALUES (?, ?, ?)", node, r.key(), region); err != nil {
					return nil, err
				}
				here, kept[node] = append(here, node), true
			}
		}
		if len(here) == 0 {
			return nil, operation.Fail(codeNoEdge, noEdge(region, l.Edges, owner))
		}
		for _, node := range here {
			mine = append(mine, assignment{node, r.key(), region})
		}
	}
	for _, a := range all {
		if a.gateway == r.key() && !kept[a.node] {
			if err := s.release(ctx, tx, a.node); err != nil {
				return nil, err
			}
		}
	}
	return mine, nil
}

// release takes an edge from its gateway.
func (s *Set) release(ctx context.Context, tx *store.Tx, node string) error {
	if s.cfg.Certificates != nil {
		if err := s.cfg.Certificates.Forget(ctx, tx, node); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, "DELETE FROM edge_assignment WHERE node = ?", node)
	return err
}

// noEdge says why a region has no edge for a gateway.
func noEdge(region string, nodes []string, owner map[string]string) string {
	if len(nodes) == 0 {
		return fmt.Sprintf("no edge node serves %s: name one in control.locations, then PUT the gateway again", region)
	}
	var busy []string
	for _, n := range nodes {
		busy = append(busy, n+" serves "+owner[n][strings.LastIndexByte(owner[n], '/')+1:])
	}
	return fmt.Sprintf("no edge node of %s is free (%s): add one to control.locations, or delete a gateway, then PUT this one again", region, strings.Join(busy, ", "))
}

// nodes are the edges of a gateway with what they report.
func (s *Set) nodes(ctx context.Context, r *row) (mine []assignment, status map[string]link.EdgeStatus, err error) {
	err = s.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		mine, err = assignments(ctx, tx, r.key())
		return err
	})
	return mine, s.edges(), err
}

// Edge is an edge of a gateway, as it stands.
type Edge struct {
	Node, Region string
	Serves       bool   // it is there and carries the gateway's calls
	Why          string // why it does not, or not as it should, with what to do
}

// Edges are those of a gateway, by name.
func (s *Set) Edges(ctx context.Context, id ID) (list []Edge, err error) {
	err = s.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		g, err := load(ctx, tx, id)
		switch {
		case err != nil:
			return err
		case g == nil:
			return notFound(id)
		}
		list, err = s.standing(ctx, tx, g)
		return err
	})
	return list, err
}

// standing is how a gateway's edges stand.
func (s *Set) standing(ctx context.Context, tx *store.Tx, g *row) (list []Edge, err error) {
	mine, err := assignments(ctx, tx, g.key())
	status := s.edges()
	for _, a := range mine {
		e, known := status[a.node]
		x := Edge{Node: a.node, Region: a.region}
		switch {
		case !known:
			x.Why = fmt.Sprintf("edge %s of %s has never reported: start it, with link.urls that lead to this control node", a.node, a.region)
		case !e.Live:
			x.Why = fmt.Sprintf("edge %s of %s is away since %s: start it again, or see whether it reaches this control node", a.node, a.region, clock(e.Seen))
		case e.State == link.Draining:
			x.Why = fmt.Sprintf("edge %s of %s is draining and takes no new calls", a.node, a.region)
		case e.Gateway != g.ID.String():
			x.Why = fmt.Sprintf("edge %s of %s does not run this gateway yet", a.node, a.region)
		case e.Refused > e.Revision && e.Error != "":
			x.Serves, x.Why = true, fmt.Sprintf("edge %s of %s goes on with revision %d, since it refuses %d: %s", a.node, a.region, e.Revision, e.Refused, e.Error)
		default:
			x.Serves = true
		}
		list = append(list, x)
	}
	return list, err
}
