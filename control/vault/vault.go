// Package vault keeps secrets: vaults with access policies, network rules and
// private endpoints, and in them secrets with versions, which can be deleted
// and had back, backed up and restored.
//
// A value is in the database only as ciphertext under its vault's data key;
// the data key only as it was wrapped by a keeper, which is a key file beside
// the database or a key management service. Each ciphertext is bound to the
// vault, the name and the version it belongs to, so that rows cannot be put in
// one another's place. Who may do what is decided here and nowhere else, in
// the transaction that reads or writes, and nothing is decrypted for somebody
// who may not. The package knows no URL and no version of an API: that is
// front/keyvault. Start reading at Set; the way of a request is in admit.go,
// of a value in seal.go.
package vault

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/subscription"
)

// ID names a vault in the resource API.
type ID struct{ Subscription, Group, Name string }

// String is the path of the resource, as written by whoever made it.
func (id ID) String() string {
	return subscription.GroupPath(id.Subscription, id.Group) + "/providers/Microsoft.KeyVault/vaults/" + id.Name
}

// Vault is one as its owner wants it.
type Vault struct {
	Location      string
	Tags          map[string]string
	RetentionDays int  // how long what is deleted can be had back; 7 to 90, for good
	PurgeGuard    bool // nothing is purged before its time; once set, for good
	Policies      []Policy
	Network       Network
}

// Policy is what one principal, or the members of a group, may do with what is in a vault.
type Policy struct {
	Tenant      string
	Object      string // ID of the principal, or of a group that it is in
	Application string // ID of the application through which alone it may; "" is any
	Secrets     []Permission
	Others      map[string][]string // what clients say of keys, certificates and storage: kept, and without effect
}

// Permission is what can be done with secrets. The words are Key Vault's.
type Permission string

// The permissions.
const (
	Get     Permission = "get"
	List    Permission = "list"
	Write   Permission = "set"
	Delete  Permission = "delete"
	Recover Permission = "recover"
	Backup  Permission = "backup"
	Restore Permission = "restore"
	Purge   Permission = "purge"
	All     Permission = "all"
)

// Permissions are all of them.
func Permissions() []Permission {
	return []Permission{Get, List, Write, Delete, Recover, Backup, Restore, Purge, All}
}

// Network says from where a vault's secrets can be reached, beside private
// endpoints, which are always let in once they are approved.
type Network struct {
	Private bool           // only by private endpoints
	Deny    bool           // only from Allowed, too
	Allowed []netip.Prefix // counts with Deny
	Bypass  string         // what clients say: kept, and without effect
	Subnets []string       // the same
}

// Connection is a private endpoint of somebody who wants to reach a vault, or
// does.
type Connection struct {
	Name        string
	Endpoint    string         // ID of the endpoint, of the one who asked
	Sources     []netip.Prefix // addresses that it comes from
	State       State
	Description string
	Asked       time.Time
	Decided     time.Time // zero while Pending
}

// State is what the vault's owner said to a connection.
type State string

// The states of a connection.
const (
	Pending  State = "Pending"
	Approved State = "Approved"
	Rejected State = "Rejected"
)

// Resource is a vault as it is kept.
type Resource struct {
	ID ID
	Vault
	Tenant      string
	Connections []Connection
	System      System
	Deleted     time.Time // zero: it is there
	Purges      time.Time // when a deleted one goes for good
}

// System is who made and changed a vault.
type System struct {
	Created, Changed         time.Time
	CreatedBy, ChangedBy     string
	CreatedKind, ChangedKind string // "Application" or "User"
}

// Caller is who asks for secrets, and from where.
type Caller struct {
	subscription.Principal
	From   netip.Addr // the zero Addr: a part of this deployment
	Groups []string   // by the token, for those of a directory elsewhere
}

// Ref names a secret in a vault.
type Ref struct {
	Vault, Name string
	Version     string // "" is the latest
}

// Secret is one version of a secret. Lists give it without Value.
type Secret struct {
	Name, Version string
	Value         obs.Secret
	Attributes
	Created, Updated time.Time
	Days             int  // how long it can be had back once deleted
	Guarded          bool // it cannot be purged before its time
	Deleted          time.Time
	Purges           time.Time
}

// Attributes are what can be said of a version beside its value.
type Attributes struct {
	ContentType string            `json:"contentType,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Disabled    bool              `json:"disabled,omitempty"`
	NotBefore   *time.Time        `json:"nbf,omitempty"`
	Expires     *time.Time        `json:"exp,omitempty"`
}

// Page is a part of a list.
type Page struct {
	After string // what the page before gave as next
	Limit int
}

// Config is what a Set is made of.
type Config struct {
	Store  *store.Store
	Keeper keeper // KeyFile or Transit
	Tenant string // of the deployment

	// Place tells whether vaults may be made in a group; nil: in any.
	Place func(ctx context.Context, tx *store.Tx, subscription, group string) error
	// Memberships are the IDs of the groups that an object of our own directory is
	// in; nil: callers say what their token says.
	Memberships func(ctx context.Context, tx *store.Tx, object string) ([]string, error)
	// Audit adds a line to the trail, in the transaction of what it tells of;
	// nil: there is none.
	Audit func(context.Context, *store.Tx, subscription.Entry) error
	Log   *slog.Logger
}

// Set is all vaults of a deployment.
type Set struct {
	Config
	keys *keyring
}

// Open refuses a keeper that is not the one that wrapped what is in the store.
func Open(ctx context.Context, c Config) (*Set, error) {
	c.Log = cmp.Or(c.Log, slog.Default())
	c.Tenant = strings.ToLower(c.Tenant)
	s := &Set{Config: c, keys: newKeyring(c.Keeper)}
	if err := s.prepare(ctx); err != nil {
		return nil, fmt.Errorf("open vaults: %w", err)
	}
	return s, nil
}

// Run purges what is due, until ctx ends.
func (s *Set) Run(ctx context.Context) {
	for {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("deleted secrets are not purged; it is tried again", obs.KeyError, err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(sweeping):
		}
	}
}

// sweeping is how often Run looks. What is due is not shown in the meantime.
const sweeping = 10 * time.Minute

// The reasons that have a word of their own in the API.
var (
	ErrPolicy     = fault.New(fault.Denied, "no access policy allows it")
	ErrFirewall   = fault.New(fault.Denied, "the network rules do not let this address in")
	ErrConnection = fault.New(fault.Denied, "only private endpoints are let in")
	ErrTenant     = fault.New(fault.Denied, "of another tenant")
	ErrDisabled   = fault.New(fault.Denied, "the version is disabled")
	ErrTrashed    = fault.New(fault.Conflict, "deleted, and can be had back")
	ErrGuarded    = fault.New(fault.Denied, "purge protection")
	ErrNoVault    = fault.New(fault.NotFound, "no such vault")
	ErrNoSecret   = fault.New(fault.NotFound, "no such secret")
)

// refuse is a reason with a sentence for whoever asked.
func refuse(reason *fault.Error, format string, args ...any) error {
	return &fault.Error{Kind: reason.Kind, Public: fmt.Sprintf(format, args...), Err: reason}
}

func invalid(format string, args ...any) error {
	return fault.New(fault.Invalid, fmt.Sprintf(format, args...))
}

// now is the time as the store keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
