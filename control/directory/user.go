package directory

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
)

// User is a person who may sign in. Passwords and second factors are kept
// apart from it.
type User struct {
	ID          string `json:"-"`
	Tenant      string `json:"-"`
	Name        string `json:"-"` // userPrincipalName: ann@telecom.example
	DisplayName string `json:"displayName"`
	GivenName   string `json:"givenName,omitempty"`
	Surname     string `json:"surname,omitempty"`
	Mail        string `json:"mail,omitempty"`
	Enabled     bool   `json:"enabled"`

	Created time.Time `json:"-"`
}

// userTables is what is kept of a user elsewhere, by ID: it goes with the user.
// Each is a table with its column: "password WHERE account".
var userTables = []string{
	"password WHERE account", "invitation WHERE account", "factor WHERE account", "recovery_code WHERE account", "browser WHERE account", "session WHERE account", "family WHERE account",
}

// Users are all of the caller's tenant, in the order of their IDs.
func (s *Set) Users(ctx context.Context, c Caller) (list []User, err error) {
	err = s.look(ctx, c, readUsers, func(tx *store.Tx) error {
		list, err = users(ctx, tx, "WHERE tenant = ? ORDER BY id", c.Tenant)
		return err
	})
	return list, err
}

// User is the one with an ID or a name. Everybody may read who they are.
func (s *Set) User(ctx context.Context, c Caller, id string) (u User, err error) {
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		found, err := userByAny(ctx, tx, c.Tenant, id)
		needs := readUsers
		if err == nil && found.ID == c.Object {
			needs = readSelf
		}
		if no := may(ctx, tx, c, needs); no != nil {
			return no
		}
		u = found
		return err
	})
	return u, err
}

var userName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._'!#^~+-]{0,63}@((?:[A-Za-z0-9-]+\.)+[A-Za-z0-9-]+)$`)

// CreateUser makes a user, who cannot sign in yet: there is no password.
func (s *Set) CreateUser(ctx context.Context, c Caller, u User) (User, error) {
	e := edit{by: c, needs: writeUsers, action: "microsoft.directory/users/create"}
	err := s.change(ctx, &e, func(tx *store.Tx) error {
		u.ID, u.Tenant, u.Created = newID(), c.Tenant, now()
		e.target = target(c.Tenant, "users", u.ID)
		if err := checkUser(ctx, tx, u); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO directory_user (id, tenant, name, name_key, doc, created) VALUES (?, ?, ?, ?, ?, ?)", u.ID, u.Tenant, u.Name, strings.ToLower(u.Name), encode(u), store.Micros(u.Created))
		return err
	})
	return u, err
}

// checkUser tells what is wrong with a user.
func checkUser(ctx context.Context, tx *store.Tx, u User) error {
	if err := checkName("displayName", u.DisplayName); err != nil {
		return err
	}
	for what, text := range map[string]string{"givenName": u.GivenName, "surname": u.Surname, "mail": u.Mail} {
		if text != "" {
			if err := checkName(what, text); err != nil {
				return err
			}
		}
	}
	m := userName.FindStringSubmatch(u.Name)
	if m == nil {
		return invalid("Property userPrincipalName is invalid: write name@domain, of letters, digits and . _ - ' ! # ^ ~ +.")
	}
	if ok, err := owns(ctx, tx, u.Tenant, m[1]); err != nil || !ok {
		if err == nil {
			err = invalid("The domain portion of the userPrincipalName property is invalid. You must use one of the verified domain names in your organization.")
		}
		return err
	}
	other, err := userBy(ctx, tx, "WHERE tenant = ? AND name_key = ?", u.Tenant, strings.ToLower(u.Name))
	switch {
	case err == nil && other.ID != u.ID:
		return invalid("Another object with the same value for property userPrincipalName already exists.")
	case fault.Of(err) == fault.NotFound:
		return nil
	}
	return err
}

// UpdateUser has change make another of a user. Who administers the directory
// can be changed only by who may say who does.
func (s *Set) UpdateUser(ctx context.Context, c Caller, id string, change func(*User) error) (u User, err error) {
	e := edit{by: c, needs: writeUsers, action: "microsoft.directory/users/update", target: target(c.Tenant, "users", id)}
	err = s.change(ctx, &e, func(tx *store.Tx) error {
		old, err := s.userToChange(ctx, tx, &e, id)
		if err != nil {
			return err
		}
		u = old
		if err := change(&u); err != nil {
			return err
		}
		u.ID, u.Tenant, u.Created = old.ID, old.Tenant, old.Created
		if u == old {
			return errNothing
		}
		if err := checkUser(ctx, tx, u); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE directory_user SET name = ?, name_key = ?, doc = ? WHERE id = ?", u.Name, strings.ToLower(u.Name), encode(u), u.ID)
		if err == nil && old.Enabled && !u.Enabled {
			err = s.signOut(ctx, tx, u.ID, "disabled by an administrator")
		}
		return err
	})
	return u, err
}

// DeleteUser takes a user away with all that was given to it.
func (s *Set) DeleteUser(ctx context.Context, c Caller, id string) error {
	e := edit{by: c, needs: writeUsers, action: "microsoft.directory/users/delete", target: target(c.Tenant, "users", id)}
	return s.change(ctx, &e, func(tx *store.Tx) error {
		u, err := s.userToChange(ctx, tx, &e, id)
		if err != nil {
			return err
		}
		if err := s.leave(ctx, tx, u.ID); err != nil {
			return err
		}
		if err := drop(ctx, tx, u.ID, userTables...); err != nil {
			return err
		}
		return drop(ctx, tx, u.ID, append([]string{"directory_user WHERE id"}, hangings...)...)
	})
}

// userToChange is the user that a caller wants to change, password included,
// when it may.
func (s *Set) userToChange(ctx context.Context, tx *store.Tx, e *edit, id string) (User, error) {
	u, err := userByAny(ctx, tx, e.by.Tenant, id)
	if err != nil {
		return u, err
	}
	e.target = target(u.Tenant, "users", u.ID)
	roles, err := rolesOf(ctx, tx, u.Tenant, u.ID)
	if err == nil && len(roles) > 0 {
		err = may(ctx, tx, e.by, writeRoles)
	}
	return u, err
}

func userByAny(ctx context.Context, tx *store.Tx, tenant, id string) (User, error) {
	key := strings.ToLower(id)
	u, err := userBy(ctx, tx, "WHERE tenant = ? AND (id = ? OR name_key = ?)", tenant, key, key)
	if fault.Of(err) == fault.NotFound {
		err = missing("user", id)
	}
	return u, err
}

func userBy(ctx context.Context, tx *store.Tx, where string, args ...any) (User, error) {
	u, err := scanUser(tx.Row(ctx, userColumns+where, args...).Scan)
	return u, orMissing(err, "user", "")
}

func users(ctx context.Context, tx *store.Tx, where string, args ...any) ([]User, error) {
	return store.All(ctx, tx, scanUser, userColumns+where, args...)
}

const userColumns = "SELECT id, tenant, name, doc, created FROM directory_user "

func scanUser(scan store.Scan) (u User, err error) {
	var doc string
	var created int64
	if err := scan(&u.ID, &u.Tenant, &u.Name, &doc, &created); err != nil {
		return u, err
	}
	u.Created = store.Time(created)
	return u, json.Unmarshal([]byte(doc), &u)
}

// now is a moment as the store keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
