package directory

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/tandemgw/tandem/control/store"
)

// Group is a set of users and service principals. Groups are not nested.
type Group struct {
	ID           string `json:"-"`
	Tenant       string `json:"-"`
	DisplayName  string `json:"displayName"`
	Description  string `json:"description,omitempty"`
	MailNickname string `json:"mailNickname,omitempty"`

	Created time.Time `json:"-"`
}

// Groups are all of the caller's tenant, in the order of their IDs.
func (s *Set) Groups(ctx context.Context, c Caller) (list []Group, err error) {
	err = s.look(ctx, c, readGroups, func(tx *store.Tx) error {
		list, err = store.All(ctx, tx, scanGroup, groupColumns+"WHERE tenant = ? ORDER BY id", c.Tenant)
		return err
	})
	return list, err
}

// Group is the one with an ID.
func (s *Set) Group(ctx context.Context, c Caller, id string) (g Group, err error) {
	err = s.look(ctx, c, readGroups, func(tx *store.Tx) error {
		g, err = groupByID(ctx, tx, c.Tenant, id)
		return err
	})
	return g, err
}

// CreateGroup makes an empty group.
func (s *Set) CreateGroup(ctx context.Context, c Caller, g Group) (Group, error) {
	e := edit{by: c, needs: writeGroups, action: "microsoft.directory/groups/create"}
	err := s.change(ctx, &e, func(tx *store.Tx) error {
		g.ID, g.Tenant, g.Created = newID(), c.Tenant, now()
		e.target = target(c.Tenant, "groups", g.ID)
		if err := checkGroup(g); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO directory_group (id, tenant, doc, created) VALUES (?, ?, ?, ?)", g.ID, g.Tenant, encode(g), store.Micros(g.Created))
		return err
	})
	return g, err
}

func checkGroup(g Group) error {
	if len(g.Description) > 4*maxName || len(g.MailNickname) > maxName {
		return invalid("Property description or mailNickname is too long.")
	}
	return checkName("displayName", g.DisplayName)
}

// UpdateGroup has change make another of a group.
func (s *Set) UpdateGroup(ctx context.Context, c Caller, id string, change func(*Group) error) (g Group, err error) {
	e := edit{by: c, needs: writeGroups, action: "microsoft.directory/groups/update", target: target(c.Tenant, "groups", id)}
	err = s.change(ctx, &e, func(tx *store.Tx) error {
		old, err := s.groupToChange(ctx, tx, &e, id)
		if err != nil {
			return err
		}
		g = old
		if err := change(&g); err != nil {
			return err
		}
		g.ID, g.Tenant, g.Created = old.ID, old.Tenant, old.Created
		if g == old {
			return errNothing
		}
		if err := checkGroup(g); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE directory_group SET doc = ? WHERE id = ?", encode(g), g.ID)
		return err
	})
	return g, err
}

// DeleteGroup takes a group away with all that was given to it.
func (s *Set) DeleteGroup(ctx context.Context, c Caller, id string) error {
	e := edit{by: c, needs: writeGroups, action: "microsoft.directory/groups/delete", target: target(c.Tenant, "groups", id)}
	return s.change(ctx, &e, func(tx *store.Tx) error {
		g, err := s.groupToChange(ctx, tx, &e, id)
		if err != nil {
			return err
		}
		if err := s.leave(ctx, tx, g.ID); err != nil {
			return err
		}
		return drop(ctx, tx, g.ID, append([]string{"directory_group WHERE id", "directory_member WHERE grp"}, hangings...)...)
	})
}

// Members are the users and service principals of a group.
func (s *Set) Members(ctx context.Context, c Caller, id string) (list []Object, err error) {
	err = s.look(ctx, c, readGroups, func(tx *store.Tx) error {
		g, err := groupByID(ctx, tx, c.Tenant, id)
		if err != nil {
			return err
		}
		list, err = objects(ctx, tx, c.Tenant, "SELECT member FROM directory_member WHERE grp = ? ORDER BY member", g.ID)
		return err
	})
	return list, err
}

// AddMember puts a user or a service principal into a group.
func (s *Set) AddMember(ctx context.Context, c Caller, group, member string) error {
	e := edit{by: c, needs: writeGroups, action: "microsoft.directory/groups/members/update", target: target(c.Tenant, "groups", group)}
	return s.change(ctx, &e, func(tx *store.Tx) error {
		g, err := s.groupToChange(ctx, tx, &e, group)
		if err != nil {
			return err
		}
		o, err := object(ctx, tx, c.Tenant, strings.ToLower(member))
		switch {
		case err != nil:
			return err
		case o.Kind == KindGroup:
			return invalid("Groups are not nested here: add the members of '%s' one by one.", o.Name)
		}
		n, err := tx.Exec(ctx, "INSERT INTO directory_member (grp, member) VALUES (?, ?) ON CONFLICT (grp, member) DO NOTHING", g.ID, o.ID)
		if err == nil && n == 0 {
			err = invalid("One or more added object references already exist for the following modified properties: 'members'.")
		}
		return err
	})
}

// RemoveMember takes one out of a group.
func (s *Set) RemoveMember(ctx context.Context, c Caller, group, member string) error {
	e := edit{by: c, needs: writeGroups, action: "microsoft.directory/groups/members/update", target: target(c.Tenant, "groups", group)}
	return s.change(ctx, &e, func(tx *store.Tx) error {
		g, err := s.groupToChange(ctx, tx, &e, group)
		if err != nil {
			return err
		}
		n, err := tx.Exec(ctx, "DELETE FROM directory_member WHERE grp = ? AND member = ?", g.ID, strings.ToLower(member))
		if err == nil && n == 0 {
			err = missing("member", member)
		}
		return err
	})
}

// GroupsOf are the groups that a user or service principal is in.
func (s *Set) GroupsOf(ctx context.Context, c Caller, member string) (list []Group, err error) {
	r := readGroups
	if strings.EqualFold(member, c.Object) {
		r = readSelf
	}
	err = s.look(ctx, c, r, func(tx *store.Tx) error {
		list, err = store.All(ctx, tx, scanGroup, groupColumns+"WHERE tenant = ? AND id IN (SELECT grp FROM directory_member WHERE member = ?) ORDER BY id", c.Tenant, strings.ToLower(member))
		return err
	})
	return list, err
}

// Memberships are the IDs of the groups that an object is in, for those who
// give roles to groups.
func (s *Set) Memberships(ctx context.Context, tx *store.Tx, member string) ([]string, error) {
	return store.All(ctx, tx, func(scan store.Scan) (id string, err error) { return id, scan(&id) },
		"SELECT grp FROM directory_member WHERE member = ? ORDER BY grp", strings.ToLower(member))
}

// groupToChange is the group that a caller wants to change.
func (s *Set) groupToChange(ctx context.Context, tx *store.Tx, e *edit, id string) (Group, error) {
	g, err := groupByID(ctx, tx, e.by.Tenant, id)
	if err == nil {
		e.target = target(g.Tenant, "groups", g.ID)
	}
	return g, err
}

func groupByID(ctx context.Context, tx *store.Tx, tenant, id string) (Group, error) {
	g, err := scanGroup(tx.Row(ctx, groupColumns+"WHERE tenant = ? AND id = ?", tenant, strings.ToLower(id)).Scan)
	return g, orMissing(err, "group", id)
}

// objects are those whose IDs a query gives.
func objects(ctx context.Context, tx *store.Tx, tenant, q string, args ...any) (list []Object, err error) {
	ids, err := store.All(ctx, tx, func(scan store.Scan) (id string, err error) { return id, scan(&id) }, q, args...)
	for _, id := range ids {
		o, err := object(ctx, tx, tenant, id)
		if err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, err
}

const groupColumns = "SELECT id, tenant, doc, created FROM directory_group "

func scanGroup(scan store.Scan) (g Group, err error) {
	var doc string
	var created int64
	if err := scan(&g.ID, &g.Tenant, &doc, &created); err != nil {
		return g, err
	}
	g.Created = store.Time(created)
	return g, json.Unmarshal([]byte(doc), &g)
}
