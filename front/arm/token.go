package arm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/front/door"
)

// Tokens verifies bearer tokens.
type Tokens struct {
	tenant    string   // RO: of tokens that name none
	issuers   []string // RO: empty: the one that discover finds
	audiences []string // RO

	discover func() (*oidc.IDTokenVerifier, error) // RO: nil when keys are ours

	people people // RO: of our own login; nil: nobody knows them here

	mu     sync.Mutex
	found  *oidc.IDTokenVerifier // mu
	search *search               // mu: that is on; nil: none
}

// people is the directory that tokens are from: who was deleted or disabled
// since is not believed.
type people interface {
	Active(ctx context.Context, tenant, object string) (bool, error)
}

// search is one attempt to find an issuer's keys, for all who wait for it.
type search struct {
	done chan struct{}
	err  error // once done
}

// issuerTime is how long an issuer may take for an answer.
const issuerTime = 10 * time.Second

// AzureAudiences are those that clients ask tokens for when nobody told them
// that they do not speak to Azure (Azure Resource Manager docs, "Azure REST
// API reference"). The last is the ID of Azure's own application.
var AzureAudiences = []string{"https://management.azure.com/", "https://management.core.windows.net/", "797f4846-ba00-4fd7-ba43-dac1f8f63013"}

// NewTokens verifies tokens of an issuer whose keys are at hand: our own. Where
// the keys are the directory's, it is asked about the principal as well.
func NewTokens(keys oidc.KeySet, issuers, audiences []string, tenant string) *Tokens {
	// Each issuer is compared below: one set of keys has several names.
	config := &oidc.Config{SkipClientIDCheck: true, SkipIssuerCheck: true, SupportedSigningAlgs: []string{oidc.RS256}}
	t := &Tokens{tenant: tenant, issuers: issuers, audiences: audiences, found: oidc.NewVerifier("", keys, config)}
	t.people, _ = keys.(people)
	return t
}

// RemoteTokens verifies tokens of an issuer somewhere else. It is asked for its
// keys when the first token comes, so that a node starts without it.
func RemoteTokens(client *http.Client, issuer string, audiences []string, tenant string) *Tokens {
	patient := *client
	patient.Timeout = cmp.Or(client.Timeout, issuerTime)
	// The keys are fetched again long after the first request has ended.
	ctx := oidc.ClientContext(context.Background(), &patient)
	return &Tokens{tenant: tenant, audiences: audiences, discover: func() (*oidc.IDTokenVerifier, error) {
		p, err := oidc.NewProvider(ctx, issuer)
		if err != nil {
			return nil, err
		}
		return p.VerifierContext(ctx, &oidc.Config{SkipClientIDCheck: true}), nil
	}}
}

// verifier is what the issuer's keys make. One search serves all who ask
// meanwhile, so that an issuer that is silent holds nobody longer than itself.
func (t *Tokens) verifier(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	t.mu.Lock()
	found, s := t.found, t.search
	if found == nil && s == nil {
		s = &search{done: make(chan struct{})}
		t.search = s
		go t.find(s)
	}
	t.mu.Unlock()
	if found != nil {
		return found, nil
	}
	var err error
	select {
	case <-s.done:
		err = s.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return nil, &fault.Error{Kind: fault.Unavailable, Public: "The issuer of tokens does not answer: tokens cannot be verified.", Err: err}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.found, nil
}

// find searches, and tells who waits.
func (t *Tokens) find(s *search) {
	v, err := t.discover()
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.found = v
	}
	t.search, s.err = nil, err
	close(s.done)
}

// claims are those by which a principal is known.
type claims struct {
	TenantID string `json:"tid"`
	ObjectID string `json:"oid"`
	AppID    string `json:"appid"` // version 1.0
	AZP      string `json:"azp"`   // version 2.0
	Type     string `json:"idtyp"`
	Scope    string `json:"scp"`
	AppName  string `json:"app_displayname"`
	Name     string `json:"name"`
	User     string `json:"preferred_username"`
	UPN      string `json:"upn"`
	// Groups are the IDs of those that the principal is in, where the issuer is
	// set up to tell (Microsoft identity platform docs, "Configure group claims").
	Groups groupList `json:"groups"`
}

// groupList is a list, or one of them; anything else is of an issuer that means
// something else by the word, and says no groups.
type groupList []string

func (l *groupList) UnmarshalJSON(b []byte) error {
	var many []string
	var one string
	switch {
	case json.Unmarshal(b, &many) == nil:
		*l = many
	case json.Unmarshal(b, &one) == nil && one != "":
		*l = groupList{one}
	default:
		*l = nil
	}
	return nil
}

// Verify gives the principal of a token. The error says what is wrong with it,
// and shows nothing of it.
func (t *Tokens) Verify(ctx context.Context, raw string) (subscription.Principal, error) {
	p, _, err := t.Whose(ctx, raw)
	return p, err
}

// Whose is Verify that tells the groups of the token too. Our own say none: the
// directory is asked.
func (t *Tokens) Whose(ctx context.Context, raw string) (p subscription.Principal, groups []string, err error) {
	v, err := t.verifier(ctx)
	if err != nil {
		return p, nil, err
	}
	token, err := v.Verify(ctx, raw)
	if err != nil {
		if _, expired := errors.AsType[*oidc.TokenExpiredError](err); expired {
			return subscription.Principal{}, nil, fail(http.StatusUnauthorized, "ExpiredAuthenticationToken", "The access token expiry UTC time is in the past.")
		}
		// What the library says may quote the token.
		return subscription.Principal{}, nil, badToken("The access token is invalid: it cannot be read, or its signature is not of the issuer's keys.")
	}
	if len(t.issuers) > 0 && !slices.Contains(t.issuers, token.Issuer) {
		return subscription.Principal{}, nil, badToken("The access token is from the wrong issuer '%s'. It must match one of '%s'.", door.Printable(token.Issuer), strings.Join(t.issuers, ", "))
	}
	if !slices.ContainsFunc(token.Audience, t.known) {
		return subscription.Principal{}, nil, badToken("The access token has been obtained for wrong audience or resource '%s'. It should exactly match with one of the allowed audiences '%s'.",
			door.Printable(strings.Join(token.Audience, ", ")), strings.Join(t.audiences, "','"))
	}
	var c claims
	if err := token.Claims(&c); err != nil {
		return subscription.Principal{}, nil, badToken("The claims of the access token cannot be read.")
	}
	// A program that a user lets read a name, say, may not act for them here: of
	// our own tokens only those that allow it count.
	if len(t.issuers) > 0 && c.Type == "user" && !slices.Contains(strings.Fields(c.Scope), "user_impersonation") {
		return subscription.Principal{}, nil, badToken("The access token does not let the application act for the user here: its scope is '%s'.", door.Printable(c.Scope))
	}
	p = t.principal(c, token.Subject)
	if t.people != nil {
		active, err := t.people.Active(ctx, p.Tenant, p.Object)
		if err != nil {
			return subscription.Principal{}, nil, &fault.Error{Kind: fault.Unavailable, Public: "The directory does not answer: tokens cannot be verified.", Err: err}
		}
		if !active {
			return subscription.Principal{}, nil, badToken("The principal of the access token is not in the directory any more, or is disabled.")
		}
	}
	return p, c.Groups, nil
}

func badToken(format string, args ...any) error {
	return fail(http.StatusUnauthorized, "InvalidAuthenticationToken", format, args...)
}

// known compares an audience: with one slash at the end, with two, as scopes
// of the form "https://host//.default" leave them, or with none.
func (t *Tokens) known(audience string) bool {
	return slices.ContainsFunc(t.audiences, func(a string) bool {
		return strings.EqualFold(strings.TrimRight(a, "/"), strings.TrimRight(audience, "/"))
	})
}

// principal is whom the claims name. The application counts only when it acts
// for itself: what stands in a user's token is the program that the user runs,
// and everybody runs the same.
func (t *Tokens) principal(c claims, subject string) subscription.Principal {
	p := subscription.Principal{Tenant: cmp.Or(c.TenantID, t.tenant), Object: cmp.Or(c.ObjectID, subject), Name: cmp.Or(c.User, c.UPN, c.Name)}
	if c.Type == "app" || c.Type == "" && c.Scope == "" && subject == c.ObjectID {
		p.App, p.Name = cmp.Or(c.AppID, c.AZP), c.AppName
	}
	return p
}
