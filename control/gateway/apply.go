package gateway

import (
	"context"
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
func (s *Set) patience(job *operation.Job, code, message string) error {
	waited := waited(job)
	if waited > s.cfg.Patience {
		return operation.Fail(code, message)
	}
	return operation.Wait(min(again(waited), s.cfg.Patience/2), message)
}

// waited is how long ago the step that runs has begun.
func waited(job *operation.Job) time.Duration {
	i := slices.IndexFunc(job.Steps, func(p operation.Progress) bool { return p.Status == operation.InProgress })
	if i < 0 {
		return 0
	}
	return time.Since(job.Steps[i].Started)
}

// applyNames: the zone has the names of the gateway.
func (s *Set) applyNames(ctx context.Context, _ *operation.Job, _ *row) error {
	if s.cfg.Zone == nil {
		return nil
	}
	return s.cfg.Zone.Refresh(ctx)
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
	p := Publication{ID: r.ID, Gateway: regional(r.Gateway), Domains: map[string]string{}, Delegated: map[string][]string{}, Lines: map[string]string{}, Still: r.still}
	for _, a := range mine {
		p.Nodes = append(p.Nodes, a.node)
	}
	for i, region := range r.Regions {
		p.Domains[region] = zone.CloudName(s.base(r), i+1)
		for _, domain := range delegated(r.Gateway) {
			p.Delegated[region] = append(p.Delegated[region], zone.CloudName(domain, i+1))
		}
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
		// A number that came meanwhile to a gateway that was never published has
		// nobody else to bring it along.
		if err := r.still(ctx, tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE gateway SET revision = ? WHERE key = ? AND revision < ?", revision, r.key(), revision)
		return err
	})
}

// early tells that what the gateway is to become may not be published yet: its
// own operation has not come that far, and will bring the numbers along. While
// that publishes, it may have read them already: then it is waited for.
func (s *Set) early(ctx context.Context, r *row) (bool, error) {
	op, err := s.cfg.Operations.Latest(ctx, r.ID.String())
	if fault.Of(err) == fault.NotFound {
		return false, nil
	}
	i := slices.IndexFunc(op.Steps, func(p operation.Progress) bool { return p.Name == "snapshot" })
	switch {
	case err != nil || i < 0:
		return false, err
	case op.Steps[i].Status == operation.InProgress && !op.Status.Ended():
		return false, operation.Wait(soon, "the gateway is being published")
	}
	return op.Steps[i].Status != operation.Succeeded, nil
}

// soon is when a look at something is worth it that takes no time.
const soon = 100 * time.Millisecond

// delegated are the operator's domains that customers of Direct Routing know the
// gateway by.
func delegated(g Gateway) (domains []string) {
	if d := g.Properties.DNSDelegations; d != nil && slices.Contains(g.Properties.Platforms, directRouting) {
		for _, x := range d.Delegations {
			domains = append(domains, strings.ToLower(strings.TrimSuffix(x.Domain, ".")))
		}
	}
	return domains
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
		add(l.PhoneNumber, l.Service(r.Gateway))
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
			return s.patience(job, codeEdgeAway, fmt.Sprintf("edge %s of %s is draining: it follows when it has started again", a.node, a.region))
		case e.Error != "" && e.Refused >= r.revision:
			return operation.Fail(codeRefused, fmt.Sprintf("edge %s refuses revision %d: %s; correct that, then PUT the gateway again", a.node, r.revision, e.Error))
		case !e.Live:
			return s.patience(job, codeEdgeAway, fmt.Sprintf("edge %s of %s was heard of last at %s: start it again, or see whether it reaches this control node", a.node, a.region, clock(e.Seen)))
		case e.Revision < r.revision || e.Gateway != r.ID.String():
			return s.patience(job, codeEdgeAway, fmt.Sprintf("edge %s of %s has revision %d, and %d is on its way: look into its log if this lasts", a.node, a.region, e.Revision, r.revision))
		}
		var checks []link.ListenerCheck
		if err := s.cfg.Edges.Ask(ctx, a.node, link.AskListeners, nil, &checks); err != nil {
			return s.patience(job, codeListener, fmt.Sprintf("edge %s does not answer what its listeners do: %v", a.node, err))
		}
		for _, c := range checks {
			if c.Error != "" {
				return s.patience(job, codeListener, fmt.Sprintf("listener %s of edge %s does not answer OPTIONS: %s", c.Name, a.node, c.Error))
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
		return s.patience(job, codeNames, absent)
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
	job.Warn(strings.Join(s.Warnings(r.Gateway), "; "))
	return job.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE gateway SET state = ?, status = ? WHERE key = ? AND operation = ?", Succeeded, Complete, r.key(), job.ID)
		return err
	})
}
