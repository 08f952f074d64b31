package operatorconnect

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// issuerTime is how long an operator's directory may take for an answer.
const issuerTime = 10 * time.Second

// maxToken is far above any token.
const maxToken = 16 << 10

// door verifies the tokens of one issuer.
type door struct {
	issuer string

	mu       sync.Mutex // held while the issuer is asked: one question serves all who wait
	verifier *oidc.IDTokenVerifier
	signIn   endpoints
	err      error     // of the last question
	again    time.Time // not before that is it asked once more
}

// endpoints are where an issuer lets people sign in.
type endpoints struct {
	Authorize string `json:"authorization_endpoint"`
	Token     string `json:"token_endpoint"`
	End       string `json:"end_session_endpoint"`
}

func newDoors(o Operator) []*door {
	var all []*door
	for _, issuer := range o.Issuers {
		all = append(all, &door{issuer: issuer})
	}
	return all
}

// open finds the issuer's keys and endpoints, once. Who is silent is not asked
// again by each request that comes.
func (e *Environment) open(d *door) (*oidc.IDTokenVerifier, endpoints, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.verifier != nil || time.Now().Before(d.again) {
		return d.verifier, d.signIn, d.err
	}
	// Keys are fetched again long after this request has ended.
	p, err := oidc.NewProvider(oidc.ClientContext(e.ctx, e.http), d.issuer)
	if err == nil {
		err = p.Claims(&d.signIn)
	}
	if err != nil {
		e.cfg.Log.Warn("an operator's directory does not answer", "issuer", d.issuer, "error", err)
		d.err, d.again = errIssuer, time.Now().Add(time.Second)
		return nil, endpoints{}, d.err
	}
	// The audience is compared by hand: it is written in more than one way.
	d.verifier = p.VerifierContext(oidc.ClientContext(e.ctx, e.http), &oidc.Config{SkipClientIDCheck: true, SupportedSigningAlgs: []string{oidc.RS256}})
	d.err = nil
	return d.verifier, d.signIn, nil
}

// principal is who a token is about.
type principal struct {
	tenant string
	object string
	app    string // its Application ID
	person bool   // else the application itself
	name   string
	roles  []string
}

// claims are those by which a principal is known.
type claims struct {
	Tenant string   `json:"tid"`
	Object string   `json:"oid"`
	AppID  string   `json:"appid"` // version 1.0
	AZP    string   `json:"azp"`   // version 2.0
	Type   string   `json:"idtyp"`
	App    string   `json:"app_displayname"`
	Name   string   `json:"name"`
	User   string   `json:"preferred_username"`
	UPN    string   `json:"upn"`
	Roles  []string `json:"roles"`
	Nonce  string   `json:"nonce"`
}

// has tells whether one of some roles is among those of the token. The case of
// the names counts for nothing: the documents themselves write
// partnerSettings.Read and PartnerSettings.Read.
func (p principal) has(roles ...string) bool {
	return slices.ContainsFunc(p.roles, func(has string) bool {
		return slices.ContainsFunc(roles, func(role string) bool { return strings.EqualFold(has, role) })
	})
}

// The reasons why nobody is let in.
var (
	errNoToken  = errors.New("there is no bearer token")
	errToken    = errors.New("the token cannot be read, or nobody whom we know has signed it")
	errExpired  = errors.New("the token has expired")
	errAudience = errors.New("the token is for another audience: ask for " + ProjectSynergy + "/.default")
	errTenant   = errors.New("the token is of a tenant that is not onboarded to Operator Connect")
	errIssuer   = errors.New("the directory of the tenant does not answer: its tokens cannot be verified")
)

// verify lets a bearer token in. What is wrong with it is told without showing
// any of it.
func (e *Environment) verify(ctx context.Context, header string) (principal, *operator, error) {
	kind, raw, _ := strings.Cut(header, " ")
	if !strings.EqualFold(kind, "Bearer") || raw == "" {
		return principal{}, nil, errNoToken
	}
	o, d, err := e.claimed(strings.TrimSpace(raw))
	if err != nil {
		return principal{}, nil, err
	}
	verifier, _, err := e.open(d)
	if err != nil {
		return principal{}, nil, err
	}
	token, err := verifier.Verify(ctx, strings.TrimSpace(raw))
	var c claims
	switch _, expired := errors.AsType[*oidc.TokenExpiredError](err); {
	case expired:
		return principal{}, nil, errExpired
	case err != nil, token.Claims(&c) != nil:
		return principal{}, nil, errToken
	case !slices.ContainsFunc(token.Audience, ours):
		return principal{}, nil, errAudience
	case !strings.EqualFold(c.Tenant, o.tenant):
		// An issuer may serve several tenants: which one is in the token alone.
		return principal{}, nil, errTenant
	}
	return c.principal(), o, nil
}

func (c claims) principal() principal {
	p := principal{tenant: strings.ToLower(c.Tenant), object: strings.ToLower(c.Object), app: strings.ToLower(c.AppID), person: c.Type != "app", roles: c.Roles}
	if p.app == "" {
		p.app = strings.ToLower(c.AZP)
	}
	for _, name := range []string{c.Name, c.App, c.User, c.UPN, c.Object} {
		if name != "" {
			p.name = name
			break
		}
	}
	return p
}

// ours tells whether an audience is us.
func ours(audience string) bool {
	return strings.EqualFold(strings.TrimSuffix(strings.TrimPrefix(audience, "api://"), "/"), ProjectSynergy)
}

// claimed finds whom a token says it is of, believing none of it: the tenant
// decides which keys it must be signed with.
func (e *Environment) claimed(raw string) (*operator, *door, error) {
	parts := strings.Split(raw, ".")
	if len(raw) > maxToken || len(parts) != 3 {
		return nil, nil, errToken
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	var said struct {
		Issuer string `json:"iss"`
		Tenant string `json:"tid"`
	}
	if err != nil || json.Unmarshal(text, &said) != nil {
		return nil, nil, errToken
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.operators[strings.ToLower(said.Tenant)]
	if o == nil {
		return nil, nil, errTenant
	}
	for _, d := range o.doors {
		if d.issuer == said.Issuer {
			return o, d, nil
		}
	}
	return nil, nil, errToken
}

// stranger answers a request without a token that is good (RFC 6750 section 3).
func stranger(err error) *refusal {
	switch {
	case errors.Is(err, errIssuer):
		return &refusal{status: http.StatusServiceUnavailable, code: "ServiceUnavailable", message: sentence(err), header: http.Header{"Retry-After": {"1"}}}
	case errors.Is(err, errTenant):
		return &refusal{status: http.StatusForbidden, code: "UnknownOperator", message: sentence(err)}
	case errors.Is(err, errNoToken):
		return &refusal{status: http.StatusUnauthorized, code: "InvalidAuthenticationToken", message: sentence(err), header: http.Header{"Www-Authenticate": {`Bearer realm="Operator Connect"`}}}
	}
	return &refusal{status: http.StatusUnauthorized, code: "InvalidAuthenticationToken", message: sentence(err), header: http.Header{"Www-Authenticate": {`Bearer realm="Operator Connect", error="invalid_token"`}}}
}

// sentence makes one of an error.
func sentence(err error) string {
	s := err.Error()
	return strings.ToUpper(s[:1]) + s[1:] + "."
}
