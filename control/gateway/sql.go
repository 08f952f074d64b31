package gateway

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"

	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/subscription"
)

// row is a gateway as it is stored.
type row struct {
	Resource
	label     string
	state     string // provisioningState
	status    string
	operation string // ID of the last
	revision  uint64 // published last
	edition   int64  // grows with every change of what is to be published
}

func (r *row) key() string { return r.ID.Key() }

// deleting tells that the gateway is on its way out.
func (r *row) deleting() bool { return r.state == Deleting }

const rowColumns = `g.subscription, g.grp, g.name, g.doc, g.identity, g.regions, g.label, g.etag, g.state, g.status, g.operation, g.revision, g.edition, g.advice,
	g.created, g.created_by, g.created_kind, g.changed, g.changed_by, g.changed_kind`

func scanRow(scan store.Scan) (*row, error) {
	var r row
	var doc, identity, regions string
	var created, changed int64
	err := scan(&r.ID.Subscription, &r.ID.Group, &r.ID.Name, &doc, &identity, &regions, &r.label, &r.ETag, &r.state, &r.status, &r.operation, &r.revision, &r.edition, &r.Advice,
		&created, &r.System.CreatedBy, &r.System.CreatedByType, &changed, &r.System.LastModifiedBy, &r.System.LastModifiedByType)
	if err != nil {
		return nil, err
	}
	r.System.CreatedAt, r.System.LastModifiedAt = store.Time(created), store.Time(changed)
	return &r, errors.Join(json.Unmarshal([]byte(doc), &r.Gateway), json.Unmarshal([]byte(identity), &r.Identity), json.Unmarshal([]byte(regions), &r.Regions))
}

// load is the gateway with the ID, nil when there is none.
func load(ctx context.Context, tx *store.Tx, id ID) (*row, error) {
	r, err := scanRow(tx.Row(ctx, "SELECT "+rowColumns+" FROM gateway g WHERE g.key = ?", id.Key()).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return r, err
}

// loadAll are the gateways that where selects, in the order of their keys.
func loadAll(ctx context.Context, tx *store.Tx, where string, args ...any) ([]*row, error) {
	return store.All(ctx, tx, scanRow, "SELECT "+rowColumns+" FROM gateway g "+where, args...)
}

// save stores the gateway, new or changed, with its tags.
func (r *row) save(ctx context.Context, tx *store.Tx) error {
	doc, err := json.Marshal(r.Gateway)
	if err != nil {
		return err
	}
	identity, err := json.Marshal(r.Identity)
	if err != nil {
		return err
	}
	regions, err := json.Marshal(r.Regions)
	if err != nil {
		return err
	}
	id := ID{strings.ToLower(r.ID.Subscription), strings.ToLower(r.ID.Group), strings.ToLower(r.ID.Name)}
	// The row is changed and not made anew: what others keep of the gateway ends
	// with it.
	_, err = tx.Exec(ctx, `INSERT INTO gateway (key, subscription, grp, name, subscription_key, grp_key, name_key, doc, identity, regions, label, etag, state, status,
		operation, revision, edition, advice, created, created_by, created_kind, changed, changed_by, changed_kind) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET subscription = excluded.subscription, grp = excluded.grp, name = excluded.name, doc = excluded.doc, identity = excluded.identity,
		regions = excluded.regions, label = excluded.label, etag = excluded.etag, state = excluded.state, status = excluded.status, operation = excluded.operation,
		revision = excluded.revision, edition = excluded.edition, advice = excluded.advice, created = excluded.created, created_by = excluded.created_by,
		created_kind = excluded.created_kind, changed = excluded.changed, changed_by = excluded.changed_by, changed_kind = excluded.changed_kind`,
		r.key(), r.ID.Subscription, r.ID.Group, r.ID.Name, id.Subscription, id.Group, id.Name, string(doc), string(identity), string(regions), r.label, r.ETag, r.state, r.status,
		r.operation, r.revision, r.edition+1, r.Advice, store.Micros(r.System.CreatedAt), r.System.CreatedBy, r.System.CreatedByType,
		store.Micros(r.System.LastModifiedAt), r.System.LastModifiedBy, r.System.LastModifiedByType)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "DELETE FROM gateway_tag WHERE gateway = ?", r.key()); err != nil {
		return err
	}
	for name, value := range r.Tags {
		if _, err := tx.Exec(ctx, "INSERT INTO gateway_tag (gateway, tag_key, value) VALUES (?, ?, ?)", r.key(), strings.ToLower(name), value); err != nil {
			return err
		}
	}
	return nil
}

// erase removes the gateway and all that hangs on it but its edges.
func (r *row) erase(ctx context.Context, tx *store.Tx) error {
	for _, table := range []string{"integration_number WHERE gateway", "test_line WHERE gateway", "gateway_tag WHERE gateway", "gateway WHERE key"} {
		if _, err := tx.Exec(ctx, "DELETE FROM "+table+" = ?", r.key()); err != nil {
			return err
		}
	}
	return nil
}

// selection is the condition of a list.
func selection(scope Scope, page Page) (where string, args []any) {
	where = "WHERE g.key > ?"
	args = append(args, page.After)
	if scope.Subscription != "" {
		where += " AND g.subscription_key = ?"
		args = append(args, strings.ToLower(scope.Subscription))
	}
	if scope.Group != "" {
		where += " AND g.grp_key = ?"
		args = append(args, strings.ToLower(scope.Group))
	}
	if t := page.Tag; t != nil {
		where += " AND EXISTS (SELECT 1 FROM gateway_tag t WHERE t.gateway = g.key AND t.tag_key = ?"
		args = append(args, strings.ToLower(t.Name))
		if t.Value != nil {
			where += " AND t.value = ?"
			args = append(args, *t.Value)
		}
		where += ")"
	}
	return where + " ORDER BY g.key LIMIT ?", args
}

// assignment is an edge node that serves a gateway.
type assignment struct {
	node, gateway, region string
}

// assignments are those of one gateway, or with key "" all.
func assignments(ctx context.Context, tx *store.Tx, key string) ([]assignment, error) {
	return store.All(ctx, tx, func(scan store.Scan) (a assignment, err error) {
		return a, scan(&a.node, &a.gateway, &a.region)
	}, "SELECT node, gateway, region FROM edge_assignment WHERE gateway = ? OR ? = '' ORDER BY node", key, key)
}

func scanLine(id ID) func(store.Scan) (TestLine, error) {
	return func(scan store.Scan) (TestLine, error) {
		l := TestLine{ID: LineID{Gateway: id}}
		var tags string
		var created, changed int64
		err := scan(&l.ID.Name, &l.Location, &tags, &l.PhoneNumber, &l.Purpose, &l.ETag,
			&created, &l.System.CreatedBy, &l.System.CreatedByType, &changed, &l.System.LastModifiedBy, &l.System.LastModifiedByType)
		if err != nil {
			return l, err
		}
		l.System.CreatedAt, l.System.LastModifiedAt = store.Time(created), store.Time(changed)
		return l, json.Unmarshal([]byte(tags), &l.Tags)
	}
}

const lineColumns = "name, location, tags, phone, purpose, etag, created, created_by, created_kind, changed, changed_by, changed_kind"

// lines are the test lines of a gateway.
func lines(ctx context.Context, tx *store.Tx, id ID) ([]TestLine, error) {
	return store.All(ctx, tx, scanLine(id), "SELECT "+lineColumns+" FROM test_line WHERE gateway = ? ORDER BY name_key", id.Key())
}

func (l *TestLine) save(ctx context.Context, tx *store.Tx) error {
	tags, err := json.Marshal(l.Tags)
	if err != nil {
		return err
	}
	if err := l.erase(ctx, tx); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO test_line (gateway, name_key, number, "+lineColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		l.ID.Gateway.Key(), strings.ToLower(l.ID.Name), E164(l.PhoneNumber), l.ID.Name, l.Location, string(tags), l.PhoneNumber, l.Purpose, l.ETag,
		store.Micros(l.System.CreatedAt), l.System.CreatedBy, l.System.CreatedByType, store.Micros(l.System.LastModifiedAt), l.System.LastModifiedBy, l.System.LastModifiedByType)
	return err
}

func (l *TestLine) erase(ctx context.Context, tx *store.Tx) error {
	_, err := tx.Exec(ctx, "DELETE FROM test_line WHERE gateway = ? AND name_key = ?", l.ID.Gateway.Key(), strings.ToLower(l.ID.Name))
	return err
}

// integrationNumbers are those of a gateway.
func integrationNumbers(ctx context.Context, tx *store.Tx, id ID) ([]IntegrationNumber, error) {
	return store.All(ctx, tx, func(scan store.Scan) (n IntegrationNumber, err error) {
		return n, scan(&n.PhoneNumber, &n.Service)
	}, "SELECT phone, service FROM integration_number WHERE gateway = ? ORDER BY number", id.Key())
}

// located is the location with the name.
func located(list []subscription.Location, name string) (subscription.Location, bool) {
	for _, l := range list {
		if l.Name == subscription.Normal(name) {
			return l, true
		}
	}
	return subscription.Location{}, false
}
