package subscription

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
)

// Group is a resource group.
type Group struct {
	Subscription string
	Name         string // as it was first written
	Location     string
	ManagedBy    string
	Tags         map[string]string
	State        string // provisioningState
	Created      time.Time
	Changed      time.Time
}

// The states of a group.
const (
	Succeeded = "Succeeded"
	Deleting  = "Deleting"
)

// Path is the group's ID in the resource API.
func (g Group) Path() string { return GroupPath(g.Subscription, g.Name) }

// Path is the ID of a subscription in the resource API.
func Path(subscription string) string { return "/subscriptions/" + subscription }

// GroupPath is the ID of a group in the resource API.
func GroupPath(subscription, name string) string {
	return Path(subscription) + "/resourceGroups/" + name
}

// GroupPage is a part of the list of groups.
type GroupPage struct {
	After string // what the page before gave as next
	Limit int
	Tag   *Tag
	Show  func(Group) bool // nil: all
}

// groupName is the form of a group's name (Azure Resource Manager docs,
// "Naming rules and restrictions for Azure resources", Microsoft.Resources).
var groupName = regexp.MustCompile(`^[\p{L}\p{N}_.()-]{1,90}$`)

// maxGroups is how many groups a subscription may have, and maxAssignments how
// many roles may be assigned in one (Azure Resource Manager docs, "Azure
// subscription and service limits"; Azure RBAC docs, "Azure RBAC limits").
var maxGroups, maxAssignments = 980, 4000 // variables for the tests

// maxManager is as long as the path of a resource may be.
const maxManager = 2048

// PutGroup makes a group, or changes its tags. Its location is for good.
func (s *Set) PutGroup(ctx context.Context, g Group) (_ Group, created bool, err error) {
	g.Location = Normal(g.Location)
	if err := s.checkGroup(g); err != nil {
		return g, false, err
	}
	err = s.store.Write(ctx, func(tx *store.Tx) error {
		now := time.Now().UTC().Truncate(time.Microsecond)
		old, err := group(ctx, tx, g.Subscription, g.Name)
		created = fault.Of(err) == fault.NotFound
		switch {
		case created:
			var many int
			if err := tx.Row(ctx, "SELECT COUNT(*) FROM resource_group WHERE subscription_key = ?", strings.ToLower(g.Subscription)).Scan(&many); err != nil {
				return err
			}
			if many >= maxGroups {
				return fault.New(fault.Conflict, fmt.Sprintf("The subscription has %d resource groups, and may not have more: delete one that is not needed.", many))
			}
			g.State, g.Created, g.Changed = Succeeded, now, now
			_, err := tx.Exec(ctx, "INSERT INTO resource_group (subscription_key, name_key, name, location, managed_by, tags, state, created, changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
				strings.ToLower(g.Subscription), strings.ToLower(g.Name), g.Name, g.Location, g.ManagedBy, encode(g.Tags), g.State, store.Micros(now), store.Micros(now))
			if err != nil {
				return err
			}
			return s.audit(ctx, tx, groupAction+"write", g.Path())
		case err != nil:
			return err
		case old.State == Deleting:
			return deleting(old)
		case old.Location != g.Location:
			return fault.New(fault.Conflict, fmt.Sprintf("Invalid resource group location '%s'. The Resource group already exists in location '%s'.", g.Location, old.Location))
		}
		old.Tags, old.Changed = g.Tags, now
		g = old
		return s.setTags(ctx, tx, g)
	})
	return g, created, err
}

func (s *Set) checkGroup(g Group) error {
	if _, err := s.Subscription(g.Subscription); err != nil {
		return err
	}
	if !groupName.MatchString(g.Name) || strings.HasSuffix(g.Name, ".") {
		return fault.New(fault.Invalid, fmt.Sprintf("The resource group name '%.100s' is not valid: write 1 to 90 letters, digits, underscores, periods, hyphens and parentheses, the last no period.", g.Name))
	}
	if len(g.ManagedBy) > maxManager {
		return fault.New(fault.Invalid, fmt.Sprintf("managedBy has more than %d bytes: write the ID of a resource.", maxManager))
	}
	if _, err := s.Location(g.Location); err != nil {
		return err
	}
	return CheckTags(g.Tags)
}

// TagGroup changes the tags of a group.
func (s *Set) TagGroup(ctx context.Context, subscription, name string, tags map[string]string) (g Group, err error) {
	if err := CheckTags(tags); err != nil {
		return g, err
	}
	err = s.store.Write(ctx, func(tx *store.Tx) error {
		if g, err = group(ctx, tx, subscription, name); err != nil {
			return err
		}
		if g.State == Deleting {
			return deleting(g)
		}
		g.Tags, g.Changed = tags, time.Now().UTC().Truncate(time.Microsecond)
		return s.setTags(ctx, tx, g)
	})
	return g, err
}

func (s *Set) setTags(ctx context.Context, tx *store.Tx, g Group) error {
	_, err := tx.Exec(ctx, "UPDATE resource_group SET tags = ?, changed = ? WHERE subscription_key = ? AND name_key = ?",
		encode(g.Tags), store.Micros(g.Changed), strings.ToLower(g.Subscription), strings.ToLower(g.Name))
	if err != nil {
		return err
	}
	return s.audit(ctx, tx, groupAction+"write", g.Path())
}

// groupAction is what actions on groups begin with.
const groupAction = "Microsoft.Resources/subscriptions/resourceGroups/"

// Group is the one with the name, in any case; fault.NotFound when there is
// none.
func (s *Set) Group(ctx context.Context, subscription, name string) (g Group, err error) {
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		g, err = group(ctx, tx, subscription, name)
		return err
	})
	return g, err
}

// Groups is a page of the groups of a subscription in the order of their
// names, and where the next page begins; "" when this is the last.
func (s *Set) Groups(ctx context.Context, subscription string, page GroupPage) (list []Group, next string, err error) {
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		list, next = nil, ""
		found, err := groups(ctx, tx, "WHERE subscription_key = ? AND name_key > ? ORDER BY name_key", strings.ToLower(subscription), page.After)
		if err != nil {
			return err
		}
		for _, g := range found {
			if !page.Tag.In(g.Tags) || page.Show != nil && !page.Show(g) {
				continue
			}
			if len(list) == page.Limit && page.Limit > 0 {
				next = strings.ToLower(list[len(list)-1].Name)
				break
			}
			list = append(list, g)
		}
		return nil
	})
	return list, next, err
}

// Place tells, within a transaction that makes a resource, whether it may be
// made in the group.
func (s *Set) Place(ctx context.Context, tx *store.Tx, subscription, name string) error {
	g, err := group(ctx, tx, subscription, name)
	if err == nil && g.State == Deleting {
		return deleting(g)
	}
	return err
}

// ErrNoGroup is within the error of what is asked of a group that is not
// there, so that callers need not read sentences.
var ErrNoGroup = errors.New("no such resource group")

func deleting(g Group) error {
	return fault.New(fault.Conflict, fmt.Sprintf("The resource group '%s' is in deprovisioning state and cannot perform this operation.", g.Name))
}

func group(ctx context.Context, tx *store.Tx, subscription, name string) (Group, error) {
	found, err := groups(ctx, tx, "WHERE subscription_key = ? AND name_key = ?", strings.ToLower(subscription), strings.ToLower(name))
	switch {
	case err != nil:
		return Group{}, err
	case len(found) == 0:
		return Group{}, &fault.Error{Kind: fault.NotFound, Public: fmt.Sprintf("Resource group '%s' could not be found.", name), Err: ErrNoGroup}
	}
	return found[0], nil
}

func groups(ctx context.Context, tx *store.Tx, where string, args ...any) ([]Group, error) {
	return store.All(ctx, tx, func(scan store.Scan) (g Group, err error) {
		var tags string
		var created, changed int64
		if err := scan(&g.Subscription, &g.Name, &g.Location, &g.ManagedBy, &tags, &g.State, &created, &changed); err != nil {
			return g, err
		}
		g.Created, g.Changed = store.Time(created), store.Time(changed)
		return g, json.Unmarshal([]byte(tags), &g.Tags)
	}, "SELECT subscription_key, name, location, managed_by, tags, state, created, changed FROM resource_group "+where, args...)
}

func encode(tags map[string]string) string {
	b, _ := json.Marshal(tags) // strings only: cannot fail
	return string(b)
}

// contents is whoever keeps what is in groups.
type contents interface {
	// In names what a group holds, by ID in the resource API.
	In(ctx context.Context, subscription, group string) ([]string, error)
	// Remove begins to delete one; it is no error when that goes on already,
	// or is done.
	Remove(ctx context.Context, actor, id string) error
}

// removal deletes groups with all that is in them.
type removal struct {
	operations *operation.Set
	contents   contents
}

// DeleteKind is the kind of operation that deletes a group.
const DeleteKind = "group-delete"

const (
	// removeAfter is how long a look at a group that empties itself is put off.
	removeAfter = time.Second
	// patience is longer than any gateway takes to drain.
	patience = 2 * time.Hour
)

// emptying is what the deletion of a group is told.
type emptying struct{ Subscription, Group string }

// Register tells the operations how a group is deleted: what it holds first.
// It must be called before they start.
func (s *Set) Register(ops *operation.Set, c contents) {
	s.groups = removal{ops, c}
	ops.Register(DeleteKind,
		operation.Step{Name: "contents", Run: s.removeContents, Deadline: patience},
		operation.Step{Name: "group", Run: s.removeGroup},
	)
}

// DeleteGroup begins to delete a group and all that is in it. A group on its
// way out gives the operation that deletes it.
func (s *Set) DeleteGroup(ctx context.Context, by Principal, subscription, name string) (op operation.Operation, err error) {
	err = s.store.Write(ctx, func(tx *store.Tx) error {
		g, err := group(ctx, tx, subscription, name)
		if err != nil {
			return err
		}
		if g.State == Deleting {
			if op, err = s.groups.operations.LatestIn(ctx, tx, g.Path()); err == nil && !op.Status.Ended() {
				return nil
			}
		}
		if _, err := tx.Exec(ctx, "UPDATE resource_group SET state = ? WHERE subscription_key = ? AND name_key = ?", Deleting, strings.ToLower(subscription), strings.ToLower(name)); err != nil {
			return err
		}
		op, err = s.groups.operations.Begin(ctx, tx, operation.Order{Kind: DeleteKind, Resource: g.Path(), Actor: by.String(), Args: emptying{g.Subscription, g.Name}})
		if err != nil {
			return err
		}
		return s.audit(ctx, tx, groupAction+"delete", g.Path())
	})
	return op, err
}

func (s *Set) removeContents(ctx context.Context, job *operation.Job) error {
	var e emptying
	if err := job.Decode(&e); err != nil {
		return err
	}
	left, err := s.groups.contents.In(ctx, e.Subscription, e.Group)
	if err != nil {
		return err
	}
	for _, id := range left {
		if err := s.groups.contents.Remove(ctx, job.Actor, id); err != nil {
			return err
		}
	}
	if len(left) > 0 {
		return operation.Wait(removeAfter, fmt.Sprintf("%d resources are being deleted, %s first", len(left), left[0]))
	}
	return nil
}

// removeGroup takes the row away. Nothing can have come into the group since:
// Place refuses it.
func (s *Set) removeGroup(ctx context.Context, job *operation.Job) error {
	var e emptying
	if err := job.Decode(&e); err != nil {
		return err
	}
	return s.store.Write(ctx, func(tx *store.Tx) error {
		// Roles given in the group go with it: a later group of the same name
		// is another one.
		if err := unassignAll(ctx, tx, GroupPath(e.Subscription, e.Group)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "DELETE FROM resource_group WHERE subscription_key = ? AND name_key = ? AND state = ?", strings.ToLower(e.Subscription), strings.ToLower(e.Group), Deleting)
		return err
	})
}
