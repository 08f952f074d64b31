package gateway

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/zone"
	"github.com/tandemgw/tandem/link"
)

// directRouting is the service whose customers have names of their own.
const directRouting = "TeamsDirectRouting"

// republishKind takes test lines and integration numbers to the edges. The
// gateway stays what it is meanwhile.
const republishKind = "gateway-republish"

// The codes of what ends an operation.
const (
	codeIdentity    = "IdentityMissing"
	codeNoEdge      = "NoEdgeAvailable"
	codeEdgeAway    = "EdgeNotReporting"
	codeEdgeRegion  = "EdgeInOtherRegion"
	codeCertificate = "CertificateNotInPlace"
	codeRefused     = "SnapshotRefused"
	codeListener    = "ListenerNotAnswering"
	codeNames       = "NamesNotResolving"
	codeGone        = "ResourceNotFound"
	codeSnapshot    = "SnapshotNotCompiled"
)

// A step that waits looks again soon at first, then less and less often: most
// of what it waits for comes at once or takes a person. Set.Changed wakes it
// before that when an edge has reported.
const (
	soonest = 200 * time.Millisecond
	latest  = 15 * time.Second
)

// again is when a step that has waited for a time looks again.
func again(waited time.Duration) time.Duration { return min(max(waited/4, soonest), latest) }

// register says of what steps the operations of gateways consist.
func (s *Set) register() {
	// A step that waits ends by its own judgement, with a sentence; the deadline
	// is for those that meet an error each time.
	step := func(name string, run func(context.Context, *operation.Job, *row) error) operation.Step {
		return operation.Step{Name: name, Deadline: 2 * max(s.cfg.Patience, s.cfg.Drain), Run: func(ctx context.Context, job *operation.Job) error {
			r, err := s.subject(ctx, job)
			if err != nil {
				return err
			}
			return run(ctx, job, r)
		}}
	}
	s.cfg.Operations.Register(
		ApplyKind,
		step("identity", s.applyIdentity), step("assign", s.applyAssign), step("names", s.applyNames), step("certificates", s.applyCertificates),
		step("snapshot", s.applySnapshot), step("edges", s.applyEdges), step("dns", s.applyDNS), step("complete", s.applyComplete),
	)
	s.cfg.Operations.Register(DeleteKind, step("withdraw", s.deleteWithdraw), step("drain", s.deleteDrain), step("clean", s.deleteClean))
	s.cfg.Operations.Register(republishKind, step("snapshot", s.applySnapshot))
}

// linesOf is the resource of operations that concern what hangs on a gateway.
const linesOf = "/testLines"

// subject is the gateway that a job is about; a nil row when it is gone and the
// job is to delete it.
func (s *Set) subject(ctx context.Context, job *operation.Job) (r *row, err error) {
	id, err := ParseID(strings.TrimSuffix(job.Resource, linesOf))
	if err != nil {
		return nil, operation.Fail(codeGone, err.Error())
	}
	err = s.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		r, err = load(ctx, tx, id)
		return err
	})
	if err == nil && r == nil && job.Kind != DeleteKind {
		return nil, operation.Fail(codeGone, "the gateway is gone")
	}
	return r, err
}

// republish takes a change of numbers to the edges.
func (s *Set) republish(ctx context.Context, tx *store.Tx, r *row, by Actor) error {
	if _, err := tx.Exec(ctx, "UPDATE gateway SET edition = edition + 1 WHERE key = ?", r.key()); err != nil || r.revision == 0 {
		return err // what was never published will be with all there is
	}
	_, err := s.cfg.Operations.Begin(ctx, tx, operation.Order{Kind: republishKind, Resource: r.ID.String() + linesOf, Actor: by.Name})
	return err
}

// patience is a step that waits: until its time is up, and then it says why.
func (s *Set) patience(job *operation.Job, step, code, message string) error {
	waited := waited(job, step)
	if waited > s.cfg.Patience {
		return operation.Fail(code, message)
	}
	return operation.Wait(min(again(waited), s.cfg.Patience/2), message)
}

// waited is how long ago a step has begun.
func waited(job *operation.Job, step string) time.Duration {
	i := slices.IndexFunc(job.Steps, func(p operation.Progress) bool { return p.Name == step })
	if i < 0 || job.Steps[i].Started.IsZero() {
		return 0
	}
	return time.Since(job.Steps[i].Started)
}

// applyIdentity: the gateway has an identity, which it was given when it was
// made.
func (s *Set) applyIdentity(_ context.Context, _ *operation.Job, r *row) error {
	if r.Identity == nil || r.Identity.PrincipalID == "" {
		return operation.Fail(codeIdentity, "the gateway has no identity: delete it and make it again")
	}
	return nil
}

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
			return s.patience(job, "assign", codeEdgeAway, fmt.Sprintf("edge %s of %s has never reported: start it, with link.urls that lead to this control node", a.node, a.region))
		case !e.Live:
			return s.patience(job, "assign", codeEdgeAway, fmt.Sprintf("edge %s of %s was heard of last at %s: start it again, or see whether it reaches this control node", a.node, a.region, clock(e.Seen)))
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

// applyNames: the zone has the names of the gateway.
func (s *Set) applyNames(ctx context.Context, _ *operation.Job, _ *row) error {
	if s.cfg.Zone == nil {
		return nil
	}
	return s.cfg.Zone.Refresh(ctx)
}

// names are those that certificates of a region bear, by side of the listener.
func (s *Set) names(r *row, region, side string) (names []string) {
	n := r.number(region)
	if side != "cloud" {
		return []string{zone.RegionName(s.base(r), n)}
	}
	bases := []string{s.base(r)}
	p := r.Properties
	if d := p.DNSDelegations; d != nil && slices.Contains(p.Platforms, directRouting) {
		for _, x := range d.Delegations {
			bases = append(bases, x.Domain)
		}
	}
	for _, b := range bases {
		names = append(names, zone.CloudName(b, n))
		if slices.Contains(p.Platforms, directRouting) {
			names = append(names, "*."+zone.CloudName(b, n))
		}
	}
	return names
}

// applyCertificates: what the edges show bears the names that the far sides
// call.
func (s *Set) applyCertificates(ctx context.Context, job *operation.Job, r *row) error {
	mine, status, err := s.nodes(ctx, r)
	if err != nil {
		return err
	}
	for _, a := range mine {
		var inTheWay error
		if s.cfg.Certificates != nil {
			inTheWay = s.cfg.Certificates.Order(ctx, a.node, s.ordered(r, a.region))
		}
		for _, l := range status[a.node].Listeners {
			why := lacks(l, s.names(r, a.region, l.Side))
			if why == "" {
				continue
			}
			message := fmt.Sprintf("listener %s of edge %s %s", l.Name, a.node, why)
			if f, ok := errors.AsType[*fault.Error](inTheWay); ok && f.Public != "" {
				message = f.Public + " (" + message + ")"
			}
			return s.patience(job, "certificates", codeCertificate, message)
		}
	}
	return nil
}

// ordered are the names of a certificate that is ordered for an edge: those that
// it needs, and those that it may need when a service is added.
func (s *Set) ordered(r *row, region string) []string {
	names := zone.CertificateNames(s.base(r), r.number(region))
	return append(names, s.names(r, region, "cloud")...)
}

// lacks tells what is wrong with the certificate of a listener, "" for nothing.
func lacks(l link.Listener, names []string) string {
	if l.Transport != "tls" {
		return ""
	}
	c := l.Certificate
	if c == nil {
		return "has no certificate: it needs one for " + strings.Join(names, ", ")
	}
	var missing []string
	leaf := x509.Certificate{DNSNames: c.Bears}
	for _, n := range names {
		if !slices.ContainsFunc(c.Bears, func(b string) bool { return strings.EqualFold(b, n) }) && (n[0] == '*' || leaf.VerifyHostname(n) != nil) {
			missing = append(missing, n)
		}
	}
	switch {
	case len(missing) > 0:
		return fmt.Sprintf("shows a certificate for %s, which lacks %s: order one that bears all its names", strings.Join(c.Bears, ", "), strings.Join(missing, ", "))
	case time.Now().After(c.Ends):
		return "shows a certificate that ended at " + clock(c.Ends) + ": renew it"
	case time.Now().Before(c.Begins):
		return "shows a certificate that begins only at " + clock(c.Begins) + ": see to the clocks"
	}
	return ""
}

// applySnapshot: what the edges are to run is compiled and on its way.
func (s *Set) applySnapshot(ctx context.Context, job *operation.Job, r *row) error {
	mine, _, err := s.nodes(ctx, r)
	if err != nil {
		return err
	}
	if r.deleting() {
		return operation.Fail(codeGone, "the gateway is being deleted")
	}
	if job.Kind == republishKind {
		if early, err := s.early(ctx, r); err != nil || early {
			return err
		}
	}
	p := Publication{ID: r.ID, Gateway: regional(r.Gateway), Domains: map[string]string{}, Lines: map[string]string{}, Still: r.still}
	for _, a := range mine {
		p.Nodes = append(p.Nodes, a.node)
	}
	for i, region := range r.Regions {
		p.Domains[region] = zone.CloudName(s.base(r), i+1)
	}
	if err := s.cfg.Store.Read(ctx, func(tx *store.Tx) error { return numbersForTests(ctx, tx, r, p.Lines) }); err != nil {
		return err
	}
	revision, err := s.cfg.Publish.Publish(ctx, p)
	if problems, ok := err.(Problems); ok {
		return operation.Fail(codeSnapshot, problems.Error())
	}
	if err != nil {
		return err
	}
	return job.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE gateway SET revision = ? WHERE key = ? AND revision < ?", revision, r.key(), revision)
		return err
	})
}

// early tells that what the gateway is to become may not be published yet: its
// own operation has not come that far, and will bring the numbers along.
func (s *Set) early(ctx context.Context, r *row) (bool, error) {
	op, err := s.cfg.Operations.Latest(ctx, r.ID.String())
	if fault.Of(err) == fault.NotFound {
		return false, nil
	}
	return slices.ContainsFunc(op.Steps, func(p operation.Progress) bool { return p.Name == "snapshot" && p.Status != operation.Succeeded }), err
}

// still tells that the gateway is what it was when it was read. Without it what
// was compiled before a change could be published after it.
func (r *row) still(ctx context.Context, tx *store.Tx) error {
	now, err := load(ctx, tx, r.ID)
	if err == nil && (now == nil || now.deleting() || now.edition != r.edition) {
		return errors.New("the gateway has changed since it was compiled")
	}
	return err
}

// regional is the gateway with the names of its regions as edges know them.
func regional(g Gateway) Gateway {
	g = Default(Bare(g))
	for i := range g.Properties.ServiceLocations {
		l := &g.Properties.ServiceLocations[i]
		l.Name = subscription.Normal(l.Name)
	}
	if p := g.Properties.CallPolicy; p != nil {
		policy := *p
		policy.PeerGroupRoutings = slices.Clone(p.PeerGroupRoutings)
		for i, r := range policy.PeerGroupRoutings {
			r.Routings = slices.Clone(r.Routings)
			for j := range r.Routings {
				r.Routings[j].ServiceLocation = subscription.Normal(r.Routings[j].ServiceLocation)
			}
			policy.PeerGroupRoutings[i] = r
		}
		g.Properties.CallPolicy = &policy
	}
	return g
}

// numbersForTests gathers the numbers of test lines and of integration with
// their services. Those of Direct Routing find theirs by the tenant that they
// are provisioned for, and by nothing else.
func numbersForTests(ctx context.Context, tx *store.Tx, r *row, into map[string]string) error {
	lines, err := lines(ctx, tx, r.ID)
	if err != nil {
		return err
	}
	numbers, err := integrationNumbers(ctx, tx, r.ID)
	if err != nil {
		return err
	}
	add := func(number, service string) {
		if slices.Contains(r.Properties.Platforms, service) && service != directRouting {
			into[E164(number)] = service
		}
	}
	for _, l := range lines {
		add(l.PhoneNumber, l.service(only(r.Gateway)))
	}
	for _, n := range numbers {
		add(n.PhoneNumber, n.Service)
	}
	return nil
}

// applyEdges: every edge runs the revision, and answers on its listeners.
func (s *Set) applyEdges(ctx context.Context, job *operation.Job, r *row) error {
	mine, status, err := s.nodes(ctx, r)
	if err != nil {
		return err
	}
	for _, a := range mine {
		e := status[a.node]
		switch {
		case e.State == link.Draining:
			return s.patience(job, "edges", codeEdgeAway, fmt.Sprintf("edge %s of %s is draining: it follows when it has started again", a.node, a.region))
		case e.Error != "" && e.Refused >= r.revision:
			return operation.Fail(codeRefused, fmt.Sprintf("edge %s refuses revision %d: %s; correct that, then PUT the gateway again", a.node, r.revision, e.Error))
		case !e.Live:
			return s.patience(job, "edges", codeEdgeAway, fmt.Sprintf("edge %s of %s was heard of last at %s: start it again, or see whether it reaches this control node", a.node, a.region, clock(e.Seen)))
		case e.Revision < r.revision || e.Gateway != r.ID.String():
			return s.patience(job, "edges", codeEdgeAway, fmt.Sprintf("edge %s of %s has revision %d, and %d is on its way: look into its log if this lasts", a.node, a.region, e.Revision, r.revision))
		}
		var checks []link.ListenerCheck
		if err := s.cfg.Edges.Ask(ctx, a.node, link.AskListeners, nil, &checks); err != nil {
			return s.patience(job, "edges", codeListener, fmt.Sprintf("edge %s does not answer what its listeners do: %v", a.node, err))
		}
		for _, c := range checks {
			if c.Error != "" {
				return s.patience(job, "edges", codeListener, fmt.Sprintf("listener %s of edge %s does not answer OPTIONS: %s", c.Name, a.node, c.Error))
			}
		}
	}
	return nil
}

// applyDNS: the names can be resolved, here at least. Where the zone above does
// not lead here, the records that it needs are told; that is another's work,
// and no reason to call the gateway unfinished (Resource.Advice).
func (s *Set) applyDNS(ctx context.Context, job *operation.Job, r *row) error {
	if s.cfg.Zone == nil {
		return nil // it is served elsewhere
	}
	absent, advice, err := s.cfg.Zone.Check(ctx, s.base(r))
	switch {
	case err != nil:
		return err
	case absent != "":
		return s.patience(job, "dns", codeNames, absent)
	}
	if advice != "" {
		job.Detail(advice)
	}
	return job.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE gateway SET advice = ? WHERE key = ?", advice, r.key())
		return err
	})
}

// applyComplete: what runs is what is saved.
func (s *Set) applyComplete(ctx context.Context, job *operation.Job, r *row) error {
	return job.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE gateway SET state = ?, status = ? WHERE key = ? AND operation = ?", Succeeded, Complete, r.key(), job.ID)
		return err
	})
}

// deleteWithdraw: nobody finds the gateway any more, and its edges take no new
// call. The snapshot is taken from them: they end what goes on as if they were
// stopping, and wait for another gateway.
func (s *Set) deleteWithdraw(ctx context.Context, _ *operation.Job, r *row) error {
	if r == nil {
		return nil
	}
	if s.cfg.Zone != nil {
		if err := s.cfg.Zone.Refresh(ctx); err != nil {
			return err
		}
	}
	mine, _, err := s.nodes(ctx, r)
	if err != nil {
		return err
	}
	var nodes []string
	for _, a := range mine {
		nodes = append(nodes, a.node)
	}
	return s.cfg.Publish.Withdraw(ctx, r.ID, nodes)
}

// deleteDrain: calls that were there have ended. An edge that is away is not
// waited for: it finds the withdrawal when it comes back.
func (s *Set) deleteDrain(ctx context.Context, job *operation.Job, r *row) error {
	if r == nil {
		return nil
	}
	mine, status, err := s.nodes(ctx, r)
	if err != nil {
		return err
	}
	waited := waited(job, "drain")
	if waited > s.cfg.Drain {
		return nil // the edges' own patience is over too
	}
	for _, a := range mine {
		if e := status[a.node]; e.Live && e.Gateway == r.ID.String() {
			what := fmt.Sprintf("%d calls go on at edge %s", e.Calls, a.node)
			if e.Calls == 0 {
				what = "edge " + a.node + " has not heard of it yet"
			}
			return operation.Wait(again(waited), what)
		}
	}
	return nil
}

// deleteClean: nothing is left.
func (s *Set) deleteClean(ctx context.Context, job *operation.Job, r *row) error {
	if r == nil {
		return nil
	}
	return job.Write(ctx, func(tx *store.Tx) error {
		mine, err := assignments(ctx, tx, r.key())
		if err != nil {
			return err
		}
		for _, a := range mine {
			if err := s.release(ctx, tx, a.node); err != nil {
				return err
			}
		}
		if s.cfg.Zone != nil {
			if err := s.cfg.Zone.Forget(ctx, tx, s.base(r)); err != nil {
				return err
			}
		}
		return r.erase(ctx, tx)
	})
}
