// Package directory is who there is and who may sign in: tenants with users,
// groups, applications, service principals, what roles they have and what they
// have consented to, the names that are theirs, and the keys that sign the
// tokens they are given.
//
// It knows objects and tokens, and no protocol by which they are asked for:
// those are front/login and front/graph. Whoever asks is a Caller, and each
// change looks up in its own transaction whether the caller may, and tells the
// audit trail in the same. Secrets are kept as slow hashes; one that was handed
// over is never seen again. What a principal may do with resources is not
// decided here but by role assignments (control/subscription).
//
// Start reading at Set, then caller.go: who may do what. The objects have a
// file each; what applications are known from the beginning is in
// catalogue.go, how people sign in and what programs are given is in
// password.go, factor.go, session.go and code.go, keys and tokens are in token.go, how tokens of ours are read
// in verify.go.
package directory

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
)

// Tenant is the directory of one organization.
type Tenant struct {
	ID, Name string
	Domain   string // that it has from its beginning; "" for one made of the name
}

// Client is an application of the node's configuration.
type Client struct {
	ID, Name string
	Secret   obs.Secret
}

// Config is what a Set stands on.
type Config struct {
	Store   *store.Store
	Tenant  Tenant
	Others  []Tenant    // more tenants of the deployment
	Clients []Client    // of the configuration; what it no longer names can no longer sign in
	Known   []WellKnown // applications beside those of the catalogue
	Graph   []string    // audiences by which tokens for our own Microsoft Graph are asked for
	Portal  string      // where people come back to who sign in to Operator Connect; "": nobody does
	// Audiences are those of the deployment's other APIs, which no application
	// may bear.
	Audiences []string
	Log       *slog.Logger

	Keeper   keeper       // seals keys and seeds in the database; nil: they lie open in it
	Resolver resolver     // for verification of domains; nil: the machine's
	HTTP     *http.Client // to issuers of federated credentials; nil: as the machine does
	// Address is where people sign in, "https://host:port": passkeys are made for
	// its name. "": there are none.
	Address string
	// Audit is told of each change, in its transaction; nil: the log.
	Audit func(context.Context, *store.Tx, Change) error
	// Many is told of what is counted, in the transaction that writes it; nil: the
	// log.
	Many func(context.Context, *store.Tx, Tally) error
	// Gone is told of each user, group and service principal that is deleted, in
	// its transaction; nil: nobody.
	Gone func(ctx context.Context, tx *store.Tx, object string) error

	Life     time.Duration // of a token; 0: an hour
	Rotation time.Duration // how long a key signs; 0: 30 days
}

// Set is the directory.
type Set struct {
	store     *store.Store                                   // RO
	tenants   []Tenant                                       // RO: the deployment's own first
	catalogue []WellKnown                                    // RO
	audiences []string                                       // RO: that no application may bear
	log       *slog.Logger                                   // RO
	life      time.Duration                                  // RO
	rotation  time.Duration                                  // RO
	keeper    keeper                                         // RO
	resolver  resolver                                       // RO
	audit     func(context.Context, *store.Tx, Change) error // RO
	many      func(context.Context, *store.Tx, Tally) error  // RO
	gone      func(context.Context, *store.Tx, string) error // RO
	issuers   *issuers                                       // RO

	passkeys *webauthn.WebAuthn // RO: nil: there are none
	hashing  chan struct{}      // RO: bounds how many secrets are hashed at once
	counted  tally

	mu    sync.Mutex
	keys  []key     // mu: all that are published, the oldest first
	read  time.Time // mu: when keys were read
	swept time.Time // mu: when codes and sessions that are over were last taken out
}

// Open brings the applications of the configuration into the store and makes
// sure there is a key.
func Open(ctx context.Context, c Config) (*Set, error) {
	s := &Set{
		store: c.Store, audiences: c.Audiences, log: cmp.Or(c.Log, slog.Default()), keeper: c.Keeper, resolver: c.Resolver, audit: c.Audit, many: c.Many, gone: c.Gone, issuers: newIssuers(c.HTTP),
		life: cmp.Or(c.Life, time.Hour), rotation: cmp.Or(c.Rotation, 30*24*time.Hour),
		passkeys: relyingParty(c.Address), hashing: make(chan struct{}, hashers), counted: tally{lines: map[string]*Tally{}},
	}
	if s.resolver == nil {
		s.resolver = net.DefaultResolver
	}
	for _, t := range append([]Tenant{c.Tenant}, c.Others...) {
		t.ID = strings.ToLower(t.ID)
		s.tenants = append(s.tenants, t)
	}
	s.catalogue = catalogue()
	for _, w := range c.Known {
		w.AppID, w.Federated = strings.ToLower(w.AppID), slices.Clone(w.Federated)
		for i := range w.Federated {
			if f := &w.Federated[i]; f.Audiences == nil {
				f.Audiences = []string{FederatedAudience}
			}
		}
		s.catalogue = append(s.catalogue, w)
	}
	for i := range s.catalogue {
		w := &s.catalogue[i]
		if w.AppID = strings.ToLower(w.AppID); w.AppID == GraphID {
			w.URIs = append(w.URIs, c.Graph...)
		}
		if w.AppID == SynergyID && c.Portal != "" {
			// Whatever waits there is Microsoft's, and has no secret of this tenant.
			w.Redirects.Public = append(w.Redirects.Public, c.Portal)
		}
	}
	if err := s.configure(ctx, c.Clients); err != nil {
		return nil, fmt.Errorf("write applications: %w", err)
	}
	if err := s.sealAll(ctx); err != nil {
		return nil, err
	}
	if _, err := s.ring(ctx, true); err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	return s, nil
}

// Tenant is the deployment's own.
func (s *Set) Tenant() Tenant { return s.tenants[0] }

// Tenants are all, the deployment's own first.
func (s *Set) Tenants() []Tenant { return slices.Clone(s.tenants) }

// TenantOf is the tenant with an ID or a name, in any case.
func (s *Set) TenantOf(name string) (Tenant, bool) {
	for _, t := range s.tenants {
		if strings.EqualFold(t.ID, name) || t.Name != "" && strings.EqualFold(t.Name, name) {
			return t, true
		}
	}
	return Tenant{}, false
}

// FindTenant is TenantOf that knows verified domains too, and what is below
// them: the nearest above decides.
func (s *Set) FindTenant(ctx context.Context, name string) (t Tenant, ok bool, err error) {
	if t, ok = s.TenantOf(name); ok || len(name) > 253 {
		return t, ok, nil
	}
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		var above []any
		for at := normalDomain(name); at != ""; _, at, _ = strings.Cut(at, ".") {
			above = append(above, at)
		}
		if len(above) == 0 {
			return nil
		}
		found, err := domains(ctx, tx, "WHERE verified > 0 AND name IN (?"+strings.Repeat(", ?", len(above)-1)+") ORDER BY LENGTH(name) DESC", above...)
		if err == nil && len(found) > 0 {
			t, ok = s.TenantOf(found[0].Tenant)
		}
		return err
	})
	return t, ok, err
}

// ObjectID is the ID of the service principal of an application that the
// configuration names, or that is in each tenant from its beginning. It
// follows from the two, so that role assignments outlive the store.
func ObjectID(tenant, application string) string {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(strings.ToLower(tenant+" "+application))).String()
}

// configure makes what the store has of the configuration what that says now.
// A secret that has not changed is not hashed anew.
func (s *Set) configure(ctx context.Context, clients []Client) error {
	old := map[string]string{} // client ID -> hash
	err := s.store.Read(ctx, func(tx *store.Tx) error {
		clear(old)
		_, err := store.All(ctx, tx, func(scan store.Scan) (_ struct{}, err error) {
			var id, hash string
			err = scan(&id, &hash)
			old[id] = hash
			return struct{}{}, err
		}, "SELECT app, hash FROM application_secret WHERE hint = ''")
		return err
	})
	if err != nil {
		return err
	}
	hashes := map[string]string{}
	for _, c := range clients {
		id := strings.ToLower(c.ID)
		if _, known := s.WellKnown(id); known {
			return fault.New(fault.Invalid, fmt.Sprintf("client %s has the ID of a well-known application: give it another", c.Name))
		}
		if hashes[id] = old[id]; !matches(old[id], string(c.Secret)) {
			hashes[id] = hash(string(c.Secret))
		}
	}
	return s.store.Write(ctx, func(tx *store.Tx) error {
		for _, t := range s.tenants {
			if err := s.settle(ctx, tx, t); err != nil {
				return err
			}
		}
		if err := s.dismiss(ctx, tx, hashes); err != nil {
			return err
		}
		for _, c := range clients {
			if err := s.employ(ctx, tx, c, hashes[strings.ToLower(c.ID)]); err != nil {
				return err
			}
		}
		return nil
	})
}

// settle gives a tenant what each has from its beginning.
func (s *Set) settle(ctx context.Context, tx *store.Tx, t Tenant) error {
	if err := name(ctx, tx, t); err != nil {
		return err
	}
	for _, w := range s.catalogue {
		if !w.always {
			continue
		}
		if err := ensurePrincipal(ctx, tx, ServicePrincipal{ID: ObjectID(t.ID, w.AppID), Tenant: t.ID, AppID: w.AppID, DisplayName: w.Name, Enabled: true, Created: now()}); err != nil {
			return err
		}
	}
	for _, p := range graphPermissions {
		if !slices.Contains(onboardingRoles, p.value) {
			continue
		}
		_, err := tx.Exec(ctx, "INSERT INTO app_role_assignment (id, tenant, principal, kind, resource, role, created) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (principal, resource, role) DO NOTHING",
			derived(t.ID, "onboarding "+p.value), t.ID, ObjectID(t.ID, OnboardingID), string(KindPrincipal), ObjectID(t.ID, GraphID), p.role, store.Micros(now()))
		if err != nil {
			return err
		}
	}
	return nil
}

// name gives a tenant its initial domain, which is the configuration's word and
// needs no proof. One that it had before stays its own.
func name(ctx context.Context, tx *store.Tx, t Tenant) error {
	d := Domain{Name: initialDomain(t), Tenant: t.ID, Token: newToken(), Verified: now(), Initial: true, Default: true, Created: now()}
	all, err := domains(ctx, tx, "WHERE tenant = ? OR name = ?", t.ID, d.Name)
	if err != nil {
		return err
	}
	for _, old := range all {
		switch {
		case old.Tenant == t.ID && old.Initial && (old.Name == d.Name || t.Domain == ""):
			return nil // a tenant that is called otherwise is the same
		case old.Tenant != t.ID && old.IsVerified():
			return fault.New(fault.Invalid, fmt.Sprintf("%s is a domain of tenant %s already: write another one for tenant %s, as control.directory.domain or at control.directory.tenants", d.Name, old.Tenant, t.ID))
		case old.Tenant == t.ID && old.Name == d.Name:
			d.Token, d.Created = old.Token, old.Created
		}
	}
	if _, err := tx.Exec(ctx, "UPDATE directory_domain SET initial = 0, preferred = 0 WHERE tenant = ?", t.ID); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "DELETE FROM directory_domain WHERE tenant = ? AND name = ?", t.ID, d.Name); err != nil {
		return err
	}
	return insertDomain(ctx, tx, d)
}

// initialDomain is the domain of a tenant that nobody has named one for: the
// tenant's name, when that is one.
func initialDomain(t Tenant) string {
	if t.Domain != "" {
		return normalDomain(t.Domain)
	}
	if name := normalDomain(t.Name); domainName.MatchString(name) && len(name) <= 253 {
		return name
	}
	label := strings.Join(strings.FieldsFunc(strings.ToLower(t.Name), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }), "-")
	if len(label) > 40 {
		label = strings.Trim(label[:40], "-")
	}
	return cmp.Or(label, "t"+t.ID[:min(8, len(t.ID))]) + ".tandem.internal"
}

func ensurePrincipal(ctx context.Context, tx *store.Tx, p ServicePrincipal) error {
	if _, err := principalOf(ctx, tx, p.Tenant, p.AppID); fault.Of(err) != fault.NotFound {
		return err
	}
	return insertPrincipal(ctx, tx, p)
}

// dismiss takes away the applications that the configuration names no longer.
func (s *Set) dismiss(ctx context.Context, tx *store.Tx, named map[string]string) error {
	list, err := store.All(ctx, tx, scanApplication, applicationColumns+"WHERE fixed = 1")
	if err != nil {
		return err
	}
	for _, a := range list {
		if _, stays := named[a.AppID]; stays && a.Tenant == s.Tenant().ID {
			continue
		}
		p, err := principalOf(ctx, tx, a.Tenant, a.AppID)
		if err == nil {
			err = s.erasePrincipal(ctx, tx, p)
		}
		if err != nil && fault.Of(err) != fault.NotFound {
			return err
		}
		if err := eraseApplication(ctx, tx, a); err != nil {
			return err
		}
	}
	return nil
}

// employ makes an application of the configuration one of the directory.
func (s *Set) employ(ctx context.Context, tx *store.Tx, c Client, hash string) error {
	t, id := s.Tenant().ID, strings.ToLower(c.ID)
	a, err := application(ctx, tx, t, id)
	switch {
	case fault.Of(err) == fault.NotFound:
		a = Application{ID: derived(t, "registration "+id), AppID: id, Tenant: t, DisplayName: c.Name, Fixed: true, Created: now()}
		err = insertApplication(ctx, tx, a)
	case err == nil && (a.AppID != id || !a.Fixed):
		err = fault.New(fault.Invalid, fmt.Sprintf("client %s has the ID of application %s of the directory: give it another", c.Name, a.DisplayName))
	case err == nil && a.DisplayName != c.Name:
		a.DisplayName = c.Name
		err = saveApplication(ctx, tx, a)
	}
	if err != nil {
		return err
	}
	p := ServicePrincipal{ID: ObjectID(t, id), Tenant: t, AppID: id, DisplayName: c.Name, Enabled: true, Created: now()}
	if err := ensurePrincipal(ctx, tx, p); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "UPDATE service_principal SET doc = ? WHERE id = ?", encode(p), p.ID); err != nil {
		return err
	}
	if err := drop(ctx, tx, id, "application_secret WHERE app"); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO application_secret (id, app, name, hint, hash, begins, ends) VALUES (?, ?, ?, '', ?, 0, 0)", newID(), id, "configuration", hash)
	return err
}
