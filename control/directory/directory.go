// Package directory is who may sign in: applications with their secrets, and
// the keys that sign the tokens they are given.
//
// It knows applications and tokens, and no protocol by which they are asked
// for: that is front/login. Secrets are kept as slow hashes; a secret that was
// handed over is never seen again. What a signed-in application may do is not
// decided here but by role assignments (control/subscription). Start reading
// at Set; keys and tokens are in token.go, secrets in secret.go.
package directory

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/store"
)

// Tenant is the directory of one operator.
type Tenant struct{ ID, Name string }

// Application is a program that signs in for itself.
type Application struct {
	ID     string // client ID
	Object string // ID of its service principal, by which roles are assigned
	Name   string
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
	Clients []Client // of the configuration; what it no longer names can no longer sign in
	Log     *slog.Logger

	Life     time.Duration // of a token; 0: an hour
	Rotation time.Duration // how long a key signs; 0: 30 days
}

// Set is the directory.
type Set struct {
	store    *store.Store  // RO
	tenant   Tenant        // RO
	log      *slog.Logger  // RO
	life     time.Duration // RO
	rotation time.Duration // RO

	hashing chan struct{} // RO: bounds how many secrets are hashed at once

	mu   sync.Mutex
	keys []key     // mu: all that are published, the oldest first
	read time.Time // mu: when keys were read
}

// Open brings the applications of the configuration into the store and makes
// sure there is a key.
func Open(ctx context.Context, c Config) (*Set, error) {
	s := &Set{
		store: c.Store, tenant: c.Tenant, log: cmp.Or(c.Log, slog.Default()),
		life: cmp.Or(c.Life, time.Hour), rotation: cmp.Or(c.Rotation, 30*24*time.Hour),
		hashing: make(chan struct{}, hashers),
	}
	s.tenant.ID = strings.ToLower(s.tenant.ID)
	if err := s.configure(ctx, c.Clients); err != nil {
		return nil, fmt.Errorf("write applications: %w", err)
	}
	if _, err := s.ring(ctx, true); err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	return s, nil
}

// Tenant is the operator's.
func (s *Set) Tenant() Tenant { return s.tenant }

// ObjectID is the ID of an application's service principal in a tenant. It
// follows from the two, so that role assignments outlive the store.
func ObjectID(tenant, application string) string {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(strings.ToLower(tenant+" "+application))).String()
}

// configure makes the store's applications those of the configuration. A
// secret that has not changed is not hashed anew.
func (s *Set) configure(ctx context.Context, clients []Client) error {
	old := map[string]string{} // application -> hash
	err := s.store.Read(ctx, func(tx *store.Tx) error {
		clear(old)
		_, err := store.All(ctx, tx, func(scan store.Scan) (_ struct{}, err error) {
			var id, hash string
			err = scan(&id, &hash)
			old[id] = hash
			return struct{}{}, err
		}, "SELECT application, hash FROM application_secret")
		return err
	})
	if err != nil {
		return err
	}
	hashes := map[string]string{}
	for _, c := range clients {
		id := strings.ToLower(c.ID)
		if hashes[id] = old[id]; !matches(old[id], string(c.Secret)) {
			hashes[id] = hash(string(c.Secret))
		}
	}
	now := store.Micros(time.Now())
	return s.store.Write(ctx, func(tx *store.Tx) error {
		for _, table := range []string{"application_secret", "application"} {
			if _, err := tx.Exec(ctx, "DELETE FROM "+table); err != nil {
				return err
			}
		}
		for _, c := range clients {
			id := strings.ToLower(c.ID)
			if _, err := tx.Exec(ctx, "INSERT INTO application (id, object, name, created) VALUES (?, ?, ?, ?)", id, ObjectID(s.tenant.ID, id), c.Name, now); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "INSERT INTO application_secret (id, application, hash, created, ends) VALUES (?, ?, ?, ?, 0)", uuid.NewString(), id, hashes[id], now); err != nil {
				return err
			}
		}
		return nil
	})
}

// The reasons why an application is not let in.
var (
	ErrUnknown = errors.New("no such application")
	ErrSecret  = errors.New("wrong secret")
)

// Authenticate is the application that shows a secret of its own. It takes the
// same time whether the application exists or not.
func (s *Set) Authenticate(ctx context.Context, id, secret string) (Application, error) {
	app, hashes, err := s.application(ctx, strings.ToLower(id))
	if err != nil && !errors.Is(err, ErrUnknown) {
		return Application{}, err
	}
	select {
	case s.hashing <- struct{}{}:
		defer func() { <-s.hashing }()
	case <-ctx.Done():
		return Application{}, &fault.Error{Kind: fault.Unavailable, Public: "too many sign-ins at once: try again", Err: ctx.Err()}
	}
	if len(hashes) == 0 {
		hashes = []string{nobody}
	}
	good := slices.ContainsFunc(hashes, func(h string) bool { return matches(h, secret) })
	switch {
	case err != nil:
		return Application{}, err
	case !good:
		return Application{}, ErrSecret
	}
	return app, nil
}

// application reads one with the hashes of those of its secrets that are good.
func (s *Set) application(ctx context.Context, id string) (a Application, hashes []string, err error) {
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		err := tx.Row(ctx, "SELECT id, object, name FROM application WHERE id = ?", id).Scan(&a.ID, &a.Object, &a.Name)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrUnknown
		}
		if err != nil {
			return err
		}
		hashes, err = store.All(ctx, tx, func(scan store.Scan) (h string, err error) { return h, scan(&h) },
			"SELECT hash FROM application_secret WHERE application = ? AND (ends = 0 OR ends > ?)", id, store.Micros(time.Now()))
		return err
	})
	return a, hashes, err
}
