package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/link"
)

// Resource is a gateway that exists.
type Resource struct {
	ID ID
	Gateway
	Identity *Identity
	ETag     string // in quotes, as in the header
	System   SystemData
	Regions  []string // names of its service regions in the order of their numbers: r1, r2
	Advice   string   // records that zones above lack for others to find the gateway's names; "": none
}

// Identity is the gateway's own identity in the directory, by which it calls
// other services.
type Identity struct {
	Type         string                  `json:"type"`        // "None", "SystemAssigned", "UserAssigned", "SystemAssigned,UserAssigned"
	PrincipalID  string                  `json:"principalId"` // set by the service
	TenantID     string                  `json:"tenantId"`    // set by the service
	UserAssigned map[string]UserAssigned `json:"userAssignedIdentities,omitempty"`
}

// UserAssigned is an identity that was made apart from the gateway.
type UserAssigned struct {
	PrincipalID string `json:"principalId,omitempty"`
	ClientID    string `json:"clientId,omitempty"`
}

// Actor is who asks for a change.
type Actor struct {
	Name string // as it stands in systemData
	Kind string // "User", "Application", "ManagedIdentity", "Key"
}

// SystemData says who made and who last changed a resource.
type SystemData struct {
	CreatedBy, CreatedByType           string
	CreatedAt                          time.Time
	LastModifiedBy, LastModifiedByType string
	LastModifiedAt                     time.Time
}

// Draft is what a PUT says.
type Draft struct {
	Gateway            // what only the service sets is ignored
	Identity *Identity // nil: as it is; a new gateway gets one of its own
}

// Patch is what a PATCH says; nil leaves as it is.
type Patch struct {
	Tags     *map[string]string
	Identity *Identity
	SKU      *SKU
}

// Match is the condition of a change (RFC 9110 §13.1).
type Match struct {
	IfMatch     string // "*", or the ETags of which one must be the resource's
	IfNoneMatch string // "*": only if there is none yet
}

// Scope is where List looks: everywhere, in a subscription, or in a group.
type Scope struct{ Subscription, Group string }

// Page is a part of a list.
type Page struct {
	After string            // what the page before gave as next
	Limit int               // 0: 100
	Tag   *subscription.Tag // only those that have it; nil: all
}

// Change is told to Config.Audit.
type Change struct {
	By       Actor
	Action   string // "create", "update", "delete"
	Resource string
}

// The kinds of the operations of a gateway.
const (
	ApplyKind  = "gateway-apply"
	DeleteKind = "gateway-delete"
)

// The words of provisioningState and of status.
const (
	Accepted      = "Accepted"
	Succeeded     = "Succeeded"
	Failed        = "Failed"
	Canceled      = "Canceled"
	Deleting      = "Deleting"
	ChangePending = "ChangePending" // saved, but not yet what runs
	Complete      = "Complete"      // what runs is what is saved
)

var (
	// ErrPrecondition: Match does not hold.
	ErrPrecondition = errors.New("the resource is not in the state that If-Match or If-None-Match asks for")
	// ErrNoGateway: the test line asked for belongs to no gateway.
	ErrNoGateway = errors.New("the gateway does not exist")
)

// Config is what a Set stands on.
type Config struct {
	Store      *store.Store
	Operations *operation.Set
	Log        *slog.Logger

	Locations func() []subscription.Location
	Suffix    string // domain under which gateways have their names; CheckSuffix holds
	Tenant    string // ID of the directory

	Edges        edges
	Zone         zones        // nil: somebody else serves the zone
	NameServers  []string     // of delegated domains
	Certificates certificates // nil: edges have theirs from files
	Publish      publisher
	Identities   identities // nil: the directory is elsewhere

	// Place tells whether gateways may be made in a group; nil: in any.
	Place func(context.Context, *store.Tx, ID) error
	// Audit is told of each change, in its transaction; nil: nobody.
	Audit func(context.Context, *store.Tx, Change) error

	// Unserved is what a gateway says and the deployment does not do, in sentences
	// with what to do; nil: nothing.
	Unserved func(Gateway) []string

	Patience time.Duration // how long a step waits for edges; 0: 10 minutes
	Drain    time.Duration // how long calls of a deleted gateway may go on; 0: 10 minutes
}

// edges is the link's end at the control plane.
type edges interface {
	Edges() []link.EdgeStatus
	Ask(ctx context.Context, node, question string, in, out any) error
}

// zones is who serves the gateways' names.
type zones interface {
	Refresh(context.Context) error // serve what Set.Zones says now
	// Check resolves a gateway's names. Absent is what is not as it should be in
	// our own zone; advice is what the parent zone lacks.
	Check(ctx context.Context, base string) (absent, advice string, err error)
	// Forget removes what is kept of a gateway's names.
	Forget(ctx context.Context, tx *store.Tx, base string) error
}

// certificates is who sees to the certificates of edges.
type certificates interface {
	// Order has an edge get a certificate for names, unless it has one. The error
	// says what is in the way: fault.Conflict when the edge keeps its own.
	Order(ctx context.Context, node string, names []string) error
	// Forget ends the care for the certificate of an edge.
	Forget(ctx context.Context, tx *store.Tx, node string) error
}

// publisher is who compiles and publishes snapshots.
type publisher interface {
	// Publish gives the revision that the nodes are to run: a new one only when
	// something has changed.
	Publish(context.Context, Publication) (revision uint64, err error)
	Withdraw(ctx context.Context, gateway ID, nodes []string) error
}

// Publication is what a gateway's edges are to run.
type Publication struct {
	ID      ID
	Gateway Gateway
	Domains map[string]string // service region -> its name towards the cloud
	// Delegated are its names there in the operator's own domains.
	Delegated map[string][]string
	Lines     map[string]string // number of ours for tests, in E.164 -> service
	Nodes     []string
	// Still is an error when the gateway has changed since; it is asked in the
	// transaction that would publish.
	Still func(context.Context, *store.Tx) error
}

// Set is all gateways of a deployment.
type Set struct {
	cfg Config // RO
	log *slog.Logger
}

// New makes the Set and registers its operations, which Operations.Start runs.
func New(cfg Config) (*Set, error) {
	if err := CheckSuffix(cfg.Suffix); err != nil {
		return nil, fmt.Errorf("control.suffix: %w", err)
	}
	if cfg.Patience == 0 {
		cfg.Patience = 10 * time.Minute
	}
	if cfg.Drain == 0 {
		cfg.Drain = 10 * time.Minute
	}
	s := &Set{cfg: cfg, log: cfg.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.register()
	return s, nil
}

// Get is the gateway with the ID.
func (s *Set) Get(ctx context.Context, id ID) (r Resource, err error) {
	err = s.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		row, err := load(ctx, tx, id)
		if err == nil && row == nil {
			return notFound(id)
		}
		if err == nil {
			r, err = s.shown(ctx, tx, row)
		}
		return err
	})
	return r, err
}

// List is one page of the gateways in a scope, and what the next page comes
// after: "" when this is the last.
func (s *Set) List(ctx context.Context, scope Scope, page Page) (list []Resource, next string, err error) {
	limit := page.Limit
	if limit <= 0 {
		limit = 100
	}
	where, args := selection(scope, page)
	err = s.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		rows, err := loadAll(ctx, tx, where, append(args, limit+1)...)
		if err != nil {
			return err
		}
		if len(rows) > limit {
			rows = rows[:limit]
			next = rows[limit-1].key()
		}
		list, err = s.shownAll(ctx, tx, rows)
		return err
	})
	return list, next, err
}

// Availability is the answer to CheckName.
type Availability struct {
	Available bool
	Reason    string // "Invalid", "AlreadyExists"
	Message   string
}

// CheckName tells whether a gateway, or with line a test line, of that name can
// be made in a subscription.
func (s *Set) CheckName(ctx context.Context, subscription, name string, line bool) (a Availability, err error) {
	if !resourceName.MatchString(name) {
		return Availability{Reason: "Invalid", Message: fmt.Sprintf("%q: write 3 to 24 letters, digits and hyphens", name)}, nil
	}
	q, what := "SELECT g.name, g.grp FROM gateway g WHERE g.subscription_key = ? AND g.name_key = ?", "gateway"
	if line {
		q, what = "SELECT l.name, g.name FROM test_line l JOIN gateway g ON g.key = l.gateway WHERE g.subscription_key = ? AND l.name_key = ?", "test line"
	}
	type owned struct{ name, owner string }
	var taken []owned
	err = s.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		taken, err = store.All(ctx, tx, func(scan store.Scan) (o owned, err error) {
			return o, scan(&o.name, &o.owner)
		}, q, strings.ToLower(subscription), strings.ToLower(name))
		return err
	})
	if err != nil || len(taken) == 0 {
		return Availability{Available: err == nil}, err
	}
	of := "resource group"
	if line {
		of = "gateway"
	}
	return Availability{Reason: "AlreadyExists", Message: fmt.Sprintf("%s %s exists already, in %s %s: choose another name", what, taken[0].name, of, taken[0].owner)}, nil
}

// Operation is the youngest operation of a gateway.
func (s *Set) Operation(ctx context.Context, id ID) (op operation.Operation, err error) {
	err = s.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		r, err := load(ctx, tx, id)
		switch {
		case err != nil:
			return err
		case r == nil:
			return notFound(id)
		}
		op, err = s.cfg.Operations.LatestIn(ctx, tx, r.ID.String())
		return err
	})
	return op, err
}

// Changed says that edges have reported something new: operations that wait
// for them look again. The zones are told apart. Edges report often, and nothing
// is written unless there is something to do.
func (s *Set) Changed(ctx context.Context) error {
	var waiting, over []*row
	err := s.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		waiting, over = nil, nil
		rows, err := loadAll(ctx, tx, "WHERE g.status = ? AND EXISTS (SELECT 1 FROM edge_assignment a WHERE a.gateway = g.key)", ChangePending)
		if err != nil {
			return err
		}
		for _, r := range rows {
			op, err := s.cfg.Operations.LatestIn(ctx, tx, r.ID.String())
			switch {
			case fault.Of(err) == fault.NotFound:
				continue
			case err != nil:
				return err
			case !op.Status.Ended():
				waiting = append(waiting, r)
				continue
			}
			if may, err := s.resumable(ctx, tx, r, op); err != nil {
				return err
			} else if may {
				over = append(over, r)
			}
		}
		return nil
	})
	for _, r := range waiting {
		err = errors.Join(err, s.cfg.Operations.Wake(ctx, r.ID.String()))
	}
	for _, r := range over {
		err = errors.Join(err, s.resume(ctx, r))
	}
	return err
}

// resumable tells whether the change of a gateway failed because an edge did not
// come, or did not answer, and all are there, or because of a certificate, and
// that is as it must be. Such a failure has taken its time, and so does the next.
func (s *Set) resumable(ctx context.Context, tx *store.Tx, r *row, op operation.Operation) (bool, error) {
	if r.deleting() || r.status != ChangePending ||
		op.ID != r.operation || op.Kind != ApplyKind || op.Status != operation.Failed || op.Error == nil ||
		!slices.Contains([]string{codeEdgeAway, codeListener, codeCertificate}, op.Error.Code) {
		return false, nil
	}
	mine, err := assignments(ctx, tx, r.key())
	if err != nil {
		return false, err
	}
	status := s.edges()
	for _, a := range mine {
		if e := status[a.node]; !e.Live || e.State == link.Draining {
			return false, nil
		}
	}
	return op.Error.Code != codeCertificate || s.certified(r, mine, status), nil
}

// resume orders such a change again: nobody needs to PUT what is saved already.
func (s *Set) resume(ctx context.Context, seen *row) error {
	return s.cfg.Store.Write(ctx, func(tx *store.Tx) error {
		r, err := load(ctx, tx, seen.ID)
		if err != nil || r == nil {
			return err
		}
		op, err := s.cfg.Operations.LatestIn(ctx, tx, r.ID.String())
		if err != nil {
			return err
		}
		if may, err := s.resumable(ctx, tx, r, op); err != nil || !may {
			return err
		}
		r.state = Accepted
		if _, err = s.begin(ctx, tx, ApplyKind, r, Actor{Name: "control"}); err == nil {
			s.log.Info("the edges are there: the change of the gateway goes on", "gateway", r.ID.String())
		}
		return err
	})
}

// atOnce is how many gateways of all are seen to in one transaction: with some
// ten statements each, a database that is far away takes seconds.
const atOnce = 100

// Republish has every gateway's snapshot compiled again, and published where
// it has changed: the deployment's part of it, such as the provisioned numbers,
// may be another since.
func (s *Set) Republish(ctx context.Context) error {
	for after := ""; ; {
		var rows []*row
		err := s.cfg.Store.Write(ctx, func(tx *store.Tx) (err error) {
			if rows, err = loadAll(ctx, tx, "WHERE g.key > ? AND g.revision > 0 AND g.state <> ? ORDER BY g.key LIMIT ?", after, Deleting, atOnce); err != nil {
				return err
			}
			for _, r := range rows {
				if err := s.republish(ctx, tx, r, Actor{Name: "control"}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || len(rows) < atOnce {
			return err
		}
		after = rows[atOnce-1].key()
	}
}
