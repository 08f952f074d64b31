package directory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
)

// maxToken is more than any token of ours has.
const maxToken = 16 << 10

// The reasons why a token is not believed.
var (
	ErrToken        = errors.New("the token is not valid")
	ErrTokenExpired = fmt.Errorf("%w: it has expired", ErrToken)
)

// Verify is the caller whom a token of ours names: signed by one of our keys,
// for one of the audiences, by one of the issuers, good now, of a tenant and an
// application that there are. The error shows nothing of the token.
func (s *Set) Verify(ctx context.Context, raw string, issuers, audiences []string) (Caller, error) {
	if len(raw) > maxToken {
		return Caller{}, fmt.Errorf("%w: it is too long", ErrToken)
	}
	payload, err := s.VerifySignature(ctx, raw)
	if err != nil {
		return Caller{}, fmt.Errorf("%w: no key of ours has signed it", ErrToken)
	}
	c, err := readClaims(payload)
	if err != nil {
		return Caller{}, err
	}
	switch at := time.Now(); {
	case !slices.Contains(issuers, c.Issuer):
		return Caller{}, fmt.Errorf("%w: it is from another issuer", ErrToken)
	case !slices.ContainsFunc(c.Audience, func(a string) bool {
		return slices.ContainsFunc(audiences, func(b string) bool { return audienceKey(a) == audienceKey(b) })
	}):
		return Caller{}, fmt.Errorf("%w: it is for another audience", ErrToken)
	case c.Expiry == nil || !at.Before(c.Expiry.Time()):
		return Caller{}, ErrTokenExpired
	case c.NotBefore != nil && at.Before(c.NotBefore.Time()):
		return Caller{}, fmt.Errorf("%w: it is not good yet", ErrToken)
	}
	t, ok := s.TenantOf(c.TenantID)
	switch {
	case !ok || !strings.EqualFold(t.ID, c.TenantID):
		return Caller{}, fmt.Errorf("%w: it is of another tenant", ErrToken)
	case s.issuesForAnother(t, c.Issuer):
		return Caller{}, fmt.Errorf("%w: its issuer is another tenant's", ErrToken)
	case c.ObjectID == "" || c.AppID == "":
		return Caller{}, fmt.Errorf("%w: it names nobody", ErrToken) // an ID token, say
	case c.Type == "app":
		return Caller{Tenant: t.ID, Object: c.ObjectID, Name: c.AppName, App: c.AppID, AppRoles: c.Roles}, nil
	case c.Type == "user" && c.Scope != "":
		return Caller{Tenant: t.ID, Object: c.ObjectID, Name: c.UPN, App: c.AppID, Scopes: strings.Fields(c.Scope)}, nil
	}
	return Caller{}, fmt.Errorf("%w: it is no access token", ErrToken)
}

// issuesForAnother tells whether an issuer has the name of a tenant that is not
// the token's: one set of keys signs for all of them.
func (s *Set) issuesForAnother(t Tenant, issuer string) bool {
	parts := strings.Split(issuer, "/")
	return slices.ContainsFunc(s.tenants, func(o Tenant) bool { return o.ID != t.ID && slices.Contains(parts, o.ID) })
}

// readClaims reads the payload of a token.
func readClaims(payload []byte) (c claims, err error) {
	if err := json.Unmarshal(payload, &c); err != nil {
		return c, fmt.Errorf("%w: its claims cannot be read", ErrToken)
	}
	return c, nil
}

// assertionSkew is how far clocks of issuers may be from ours.
const assertionSkew = 5 * time.Minute

// assertionAlgorithms are signatures with keys that only the issuer has: what
// is symmetric, or none, is no proof (RFC 8725 §3.1).
var assertionAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512}

// AuthenticateAssertion is the service principal of the application that shows
// a token of another issuer, for which it has a federated credential (RFC 7523
// §3). Tokens of our own issuers are read with our own keys.
func (s *Set) AuthenticateAssertion(ctx context.Context, id, assertion string, ours []string) (ServicePrincipal, error) {
	return s.assertedBy(ctx, assertion, ours, func(c jwt.Claims) (ServicePrincipal, FederatedCredential, error) {
		return s.federated(ctx, strings.ToLower(id), c)
	})
}

// AuthenticateKnown is AuthenticateAssertion of a well-known application, which
// signs in to one of the tenants that have added it.
func (s *Set) AuthenticateKnown(ctx context.Context, tenant, id, assertion string, ours []string) (ServicePrincipal, error) {
	return s.assertedBy(ctx, assertion, ours, func(c jwt.Claims) (p ServicePrincipal, f FederatedCredential, err error) {
		w, ok := s.WellKnown(id)
		if !ok || w.Federated == nil {
			return p, f, ErrUnknown
		}
		i := slices.IndexFunc(w.Federated, func(f FederatedCredential) bool { return f.matches(c) })
		if i < 0 {
			return p, f, errNoFederated
		}
		err = s.store.Read(ctx, func(tx *store.Tx) error {
			p, err = s.ready(ctx, tx, Application{Tenant: tenant, AppID: w.AppID})
			return err
		})
		return p, w.Federated[i], err
	})
}

var errNoFederated = fmt.Errorf("%w: no federated identity credential of the application has the issuer, subject and audience of the assertion", ErrSecret)

// assertedBy is the service principal that an assertion proves to be; find finds
// it by what the assertion claims, with the credential that fits.
func (s *Set) assertedBy(ctx context.Context, assertion string, ours []string, find func(jwt.Claims) (ServicePrincipal, FederatedCredential, error)) (ServicePrincipal, error) {
	if len(assertion) > maxToken {
		return ServicePrincipal{}, ErrSecret
	}
	token, err := jwt.ParseSigned(assertion, assertionAlgorithms)
	if err != nil {
		return ServicePrincipal{}, fmt.Errorf("%w: the assertion cannot be read", ErrSecret)
	}
	var c jwt.Claims
	if err := token.UnsafeClaimsWithoutVerification(&c); err != nil {
		return ServicePrincipal{}, fmt.Errorf("%w: the claims of the assertion cannot be read", ErrSecret)
	}
	p, f, late := find(c)
	if late != nil && f.Issuer == "" {
		return ServicePrincipal{}, late
	}
	var payload []byte
	if slices.Contains(ours, f.Issuer) {
		payload, err = s.VerifySignature(ctx, assertion)
	} else {
		payload, err = s.issuers.verify(ctx, f.Issuer, assertion)
	}
	if err != nil {
		if fault.Of(err) == fault.Unavailable {
			return ServicePrincipal{}, err
		}
		return ServicePrincipal{}, fmt.Errorf("%w: the assertion is not signed by its issuer", ErrSecret)
	}
	// What counts is what was signed.
	if c = (jwt.Claims{}); json.Unmarshal(payload, &c) != nil || !f.matches(c) {
		return ServicePrincipal{}, fmt.Errorf("%w: the assertion is not what it seemed", ErrSecret)
	}
	at := time.Now()
	if c.Expiry == nil || at.After(c.Expiry.Time().Add(assertionSkew)) || c.NotBefore != nil && at.Add(assertionSkew).Before(c.NotBefore.Time()) {
		return ServicePrincipal{}, fmt.Errorf("%w: the assertion is not within its valid time range", ErrSecret)
	}
	return p, late // how it stands with the application is for who has proved to be it
}

// federated finds the credential that claims fit.
func (s *Set) federated(ctx context.Context, id string, c jwt.Claims) (p ServicePrincipal, f FederatedCredential, err error) {
	err = s.store.Read(ctx, func(tx *store.Tx) error {
		a, err := scanApplication(tx.Row(ctx, applicationColumns+"WHERE app = ?", id).Scan)
		if err != nil {
			if fault.Of(orMissing(err, "application", id)) == fault.NotFound {
				return ErrUnknown
			}
			return err
		}
		i := slices.IndexFunc(a.Federated, func(f FederatedCredential) bool { return f.matches(c) })
		if i < 0 {
			return errNoFederated
		}
		f = a.Federated[i]
		p, err = s.ready(ctx, tx, a)
		return err
	})
	return p, f, err
}

func (f FederatedCredential) matches(c jwt.Claims) bool {
	return c.Issuer == f.Issuer && c.Subject == f.Subject && slices.ContainsFunc(f.Audiences, c.Audience.Contains)
}
