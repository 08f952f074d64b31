package directory

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
)

// Kind is what an object is, in the words of Microsoft Graph.
type Kind string

// The kinds.
const (
	KindUser      Kind = "User"
	KindGroup     Kind = "Group"
	KindPrincipal Kind = "ServicePrincipal"
)

// Object is any object that roles can be given to.
type Object struct {
	ID      string
	Kind    Kind
	Name    string // for people
	Enabled bool
}

// Object is the user, group or service principal with an ID.
func (s *Set) Object(ctx context.Context, c Caller, id string) (o Object, err error) {
	err = s.look(ctx, c, readUsers, func(tx *store.Tx) error {
		o, err = object(ctx, tx, c.Tenant, strings.ToLower(id))
		return err
	})
	return o, err
}

// Active tells whether there is such a user or service principal, who may sign
// in.
func (s *Set) Active(ctx context.Context, tenant, id string) (active bool, err error) {
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		o, err := object(ctx, tx, strings.ToLower(tenant), strings.ToLower(id))
		active = err == nil && o.Enabled && o.Kind != KindGroup
		if fault.Of(err) == fault.NotFound {
			return nil
		}
		return err
	})
	return active, err
}

// KindOf is what an object is, for those who give roles to it; "" when there
// is none.
func (s *Set) KindOf(ctx context.Context, tx *store.Tx, tenant, id string) (string, error) {
	o, err := object(ctx, tx, strings.ToLower(tenant), strings.ToLower(id))
	if fault.Of(err) == fault.NotFound {
		return "", nil
	}
	return string(o.Kind), err
}

func object(ctx context.Context, tx *store.Tx, tenant, id string) (Object, error) {
	if id == "" {
		return Object{}, missing("object", id)
	}
	u, err := userBy(ctx, tx, "WHERE tenant = ? AND id = ?", tenant, id)
	if err == nil {
		return Object{u.ID, KindUser, u.DisplayName, u.Enabled}, nil
	}
	if fault.Of(err) != fault.NotFound {
		return Object{}, err
	}
	p, err := principalByID(ctx, tx, tenant, id)
	if err == nil {
		return Object{p.ID, KindPrincipal, p.DisplayName, p.Enabled}, nil
	}
	if fault.Of(err) != fault.NotFound {
		return Object{}, err
	}
	g, err := groupByID(ctx, tx, tenant, id)
	return Object{g.ID, KindGroup, g.DisplayName, true}, err
}

// missing is the error of an object that is not there (Microsoft Graph docs,
// "Microsoft Graph error responses and resource types").
func missing(what, id string) error {
	return &fault.Error{Kind: fault.NotFound, Public: fmt.Sprintf("Resource '%.100s' does not exist or one of its queried reference-property objects are not present.", id), Err: errors.New("no such " + what)}
}

// orMissing names what a query did not find.
func orMissing(err error, what, id string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return missing(what, id)
	}
	return err
}

func invalid(format string, args ...any) error {
	return fault.New(fault.Invalid, fmt.Sprintf(format, args...))
}

func newID() string { return uuid.NewString() }

var guid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// maxName is the most that a name for people may have (Microsoft Graph docs,
// "user resource type", displayName).
const maxName = 256

// checkName tells what is wrong with a name for people.
func checkName(what, name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return invalid("A value is required for property '%s' of the resource.", what)
	case utf8.RuneCountInString(name) > maxName:
		return invalid("Property '%s' has more than %d characters.", what, maxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control) }):
		return invalid("Property '%s' has characters that cannot be shown.", what)
	}
	return nil
}

// encode is a document as it is stored.
func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs of ours only
	}
	return string(b)
}

// drop deletes rows: each condition is a table with its column.
func drop(ctx context.Context, tx *store.Tx, id string, conditions ...string) error {
	for _, c := range conditions {
		if _, err := tx.Exec(ctx, "DELETE FROM "+c+" = ?", id); err != nil {
			return err
		}
	}
	return nil
}

// leave tells those who give roles elsewhere that somebody is gone, by all IDs
// that roles are given to.
func (s *Set) leave(ctx context.Context, tx *store.Tx, ids ...string) error {
	if s.gone == nil {
		return nil
	}
	for _, id := range ids {
		if err := s.gone(ctx, tx, id); err != nil {
			return err
		}
	}
	return nil
}

// hangings is what hangs on any object by its ID, and goes with it.
var hangings = []string{
	"directory_member WHERE member", "directory_role WHERE member",
	"app_role_assignment WHERE principal", "permission_grant WHERE principal",
}
