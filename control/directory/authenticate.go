package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
)

// The reasons why an application is not let in.
var (
	ErrUnknown     = errors.New("no such application")
	ErrNoPrincipal = fmt.Errorf("%w in this tenant: it has no service principal", ErrUnknown)
	ErrDisabled    = fmt.Errorf("%w that may sign in: its service principal is disabled", ErrUnknown)
	ErrSecret      = errors.New("wrong secret")
	ErrExpired     = fmt.Errorf("%w: it has expired", ErrSecret)
)

// kept is a secret as the store has it.
type kept struct {
	hint, hash   string
	begins, ends time.Time
}

// fits tells whether a secret may be this one, by what everybody may know of
// it: only then the slow comparison is worth it.
func (k kept) fits(secret string) bool {
	return k.hint == "" || strings.HasPrefix(secret, k.hint)
}

// Authenticate is the service principal of the application that shows a secret
// of its own. It takes the same time whether the application exists or not.
func (s *Set) Authenticate(ctx context.Context, id, secret string) (ServicePrincipal, error) {
	p, secrets, err := s.signingIn(ctx, strings.ToLower(id))
	if err != nil && !errors.Is(err, ErrUnknown) {
		return ServicePrincipal{}, err
	}
	select {
	case s.hashing <- struct{}{}:
		defer func() { <-s.hashing }()
	case <-ctx.Done():
		return ServicePrincipal{}, &fault.Error{Kind: fault.Unavailable, Public: "too many sign-ins at once: try again", Err: ctx.Err()}
	}
	if secrets = slices.DeleteFunc(secrets, func(k kept) bool { return !k.fits(secret) }); len(secrets) == 0 {
		secrets = []kept{{hash: nobody}}
	}
	refused, at := ErrSecret, time.Now()
	for _, k := range secrets {
		if !matches(k.hash, secret) {
			continue
		}
		if refused = nil; at.Before(k.begins) || !k.ends.IsZero() && !at.Before(k.ends) {
			refused = ErrExpired
			continue
		}
		break
	}
	switch {
	case err == ErrUnknown:
		return ServicePrincipal{}, err
	case refused != nil:
		return ServicePrincipal{}, refused
	}
	return p, err // ErrNoPrincipal and ErrDisabled are for who knows the secret
}

// signingIn is the service principal of an application with its secrets.
func (s *Set) signingIn(ctx context.Context, id string) (p ServicePrincipal, secrets []kept, err error) {
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		a, err := scanApplication(tx.Row(ctx, applicationColumns+"WHERE app = ?", id).Scan)
		if err != nil {
			if fault.Of(orMissing(err, "application", id)) == fault.NotFound {
				return ErrUnknown
			}
			return err
		}
		secrets, err = store.All(ctx, tx, func(scan store.Scan) (k kept, err error) {
			var begins, ends int64
			err = scan(&k.hint, &k.hash, &begins, &ends)
			k.begins, k.ends = store.Time(begins), store.Time(ends)
			return k, err
		}, "SELECT hint, hash, begins, ends FROM application_secret WHERE app = ? ORDER BY begins DESC, id", id)
		if err != nil {
			return err
		}
		p, err = s.ready(ctx, tx, a)
		return err
	})
	return p, secrets, err
}

// ready is the service principal of an application, when it may sign in.
func (s *Set) ready(ctx context.Context, tx *store.Tx, a Application) (ServicePrincipal, error) {
	p, err := principalOf(ctx, tx, a.Tenant, a.AppID)
	switch {
	case fault.Of(err) == fault.NotFound:
		return p, ErrNoPrincipal
	case err != nil:
		return p, err
	case !p.Enabled:
		return p, ErrDisabled
	}
	return s.describe(ctx, tx, p)
}
