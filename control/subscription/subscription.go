// Package subscription is whom a deployment belongs to and who may do what in
// it: the tenant and its subscriptions, resource groups, locations, role
// assignments, and the audit trail.
//
// Tenant, subscriptions, locations and the first role assignments are the
// node's configuration, which alone can change them; groups, further
// assignments and the trail are rows. The package knows no request and no
// version of an API, and never looks into a group: what is in it is asked of
// whoever keeps it, through the interface contents. Start reading at Set; who
// may do what is decided in role.go.
package subscription

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
)

// Tenant is the directory that the subscriptions belong to.
type Tenant struct{ ID, Name string }

// Subscription is what resource groups are kept in.
type Subscription struct{ ID, Name string }

// Location is a region in the words of the resource API.
type Location struct {
	Name        string   // normalised: "westeurope"
	DisplayName string   // "West Europe"
	Management  bool     // gateways may be kept here
	Service     bool     // calls may be carried here
	Edges       []string // nodes that serve it
}

// Principal is who asks.
type Principal struct {
	Tenant string
	Object string // ID of the service principal or user
	App    string // ID of the application, when it is one that acts for itself
	Name   string // for people; may be empty
}

// String is how the principal stands in logs and in the audit trail.
func (p Principal) String() string { return cmp.Or(p.App, p.Object) }

// Config is what a Set is made of. All of it but the store is the node's
// configuration.
type Config struct {
	Store         *store.Store
	Tenant        Tenant
	Subscriptions []Subscription
	Locations     []Location
	Assignments   []Assignment // of the configuration: shown, and fixed
	Principals    principals   // nil: nobody is in a group
	Log           *slog.Logger
}

// principals is the directory: who is in which group, and what an object is.
type principals interface {
	// Memberships are the IDs of the groups that an object is in.
	Memberships(ctx context.Context, tx *store.Tx, object string) ([]string, error)
	// KindOf is "User", "Group" or "ServicePrincipal"; "" when there is no such
	// object.
	KindOf(ctx context.Context, tx *store.Tx, tenant, object string) (string, error)
}

// Set is the tenant, its subscriptions and what is kept about them.
type Set struct {
	store         *store.Store   // RO
	tenant        Tenant         // RO
	subscriptions []Subscription // RO, IDs in lower case
	locations     []Location     // RO
	fixed         []Assignment   // RO
	principals    principals     // RO
	log           *slog.Logger   // RO
	groups        removal        // RO after Register
}

// New makes the Set of a deployment.
func New(c Config) *Set {
	s := &Set{store: c.Store, tenant: c.Tenant, principals: c.Principals, log: cmp.Or(c.Log, slog.Default())}
	s.tenant.ID = strings.ToLower(s.tenant.ID)
	for _, sub := range c.Subscriptions {
		sub.ID = strings.ToLower(sub.ID)
		s.subscriptions = append(s.subscriptions, sub)
	}
	for _, l := range c.Locations {
		l.DisplayName = cmp.Or(l.DisplayName, l.Name)
		l.Name = Normal(l.Name)
		s.locations = append(s.locations, l)
	}
	for _, a := range c.Assignments {
		s.fixed = append(s.fixed, fix(a))
	}
	return s
}

// Tenant is the one of the deployment.
func (s *Set) Tenant() Tenant { return s.tenant }

// Subscriptions are all there are, in the order of the configuration.
func (s *Set) Subscriptions() []Subscription { return slices.Clone(s.subscriptions) }

// Subscription is the one with the ID, in any case.
func (s *Set) Subscription(id string) (Subscription, error) {
	for _, sub := range s.subscriptions {
		if strings.EqualFold(sub.ID, id) {
			return sub, nil
		}
	}
	return Subscription{}, fault.New(fault.NotFound, fmt.Sprintf("The subscription '%s' could not be found.", id))
}

// Locations are all there are, in the order of the configuration.
func (s *Set) Locations() []Location { return slices.Clone(s.locations) }

// Location is the one with the name, written in any of the ways people write
// it. The error names those there are.
func (s *Set) Location(name string) (Location, error) {
	i := slices.IndexFunc(s.locations, func(l Location) bool { return l.Name == Normal(name) })
	if i >= 0 {
		return s.locations[i], nil
	}
	known := make([]string, len(s.locations))
	for i, l := range s.locations {
		known[i] = l.Name
	}
	return Location{}, fault.New(fault.Invalid, fmt.Sprintf("location '%s' is unknown: this deployment has %s", name, strings.Join(known, ", ")))
}

// Normal is a location's name as it is compared: "West Europe" is westeurope.
func Normal(location string) string {
	return strings.ToLower(strings.ReplaceAll(location, " ", ""))
}

// Limits of tags (Azure Resource Manager docs, "Use tags to organize your
// Azure resources", Limitations).
const (
	maxTags     = 50
	maxTagName  = 512
	maxTagValue = 256
)

// CheckTags tells what is wrong with the tags of any resource.
func CheckTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return fault.New(fault.Invalid, fmt.Sprintf("%d tags: a resource has at most %d", len(tags), maxTags))
	}
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		switch {
		case name == "" || utf8.RuneCountInString(name) > maxTagName || strings.ContainsAny(name, `<>%&\?/`):
			return fault.New(fault.Invalid, fmt.Sprintf("tag name '%.80s': write 1 to %d characters, none of < > %% & \\ ? /", name, maxTagName))
		case utf8.RuneCountInString(tags[name]) > maxTagValue:
			return fault.New(fault.Invalid, fmt.Sprintf("the value of tag '%.80s' has more than %d characters", name, maxTagValue))
		}
		// Names of tags are the same in any case.
		if other, twice := seen[strings.ToLower(name)]; twice {
			return fault.New(fault.Invalid, fmt.Sprintf("tags '%.80s' and '%.80s' are the same but for case: keep one", other, name))
		}
		seen[strings.ToLower(name)] = name
	}
	return nil
}

// Tag is what a list is filtered by.
type Tag struct {
	Name  string
	Value *string // nil: any
}

// In tells whether tags hold it. Names are compared in any case, values as
// they are written.
func (t *Tag) In(tags map[string]string) bool {
	if t == nil {
		return true
	}
	for name, value := range tags {
		if strings.EqualFold(name, t.Name) && (t.Value == nil || *t.Value == value) {
			return true
		}
	}
	return false
}
