package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/subscription"
)

// Shelf is a vault of this deployment as one program of it reads from it, by
// its own access policy. It and Outside are read alike: at each use, so that a
// new version is picked up.
type Shelf struct {
	set   *Set
	by    Caller
	vault string
}

// Shelf is a vault for a program of this deployment.
func (s *Set) Shelf(by subscription.Principal, vault string) *Shelf {
	return &Shelf{set: s, by: Caller{Principal: by}, vault: vault}
}

// Value is the latest version of a secret.
func (s *Shelf) Value(ctx context.Context, name string) (obs.Secret, error) {
	x, err := s.set.Secret(ctx, s.by, Ref{Vault: s.vault, Name: name})
	return x.Value, err
}

// Address is where a secret is read.
type Address struct {
	Host   string // of the vault, with the port where that is not the usual one
	Secret string // its name
}

// ParseAddress reads "https://<vault>/secrets/<name>". An address with a version
// is none: the latest is read.
func ParseAddress(s string) (Address, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return Address{}, invalid("%.200q is not where a secret can be: write https://<vault>.<domain>/secrets/<name>", s)
	}
	name, is := strings.CutPrefix(u.Path, "/secrets/")
	if !is || !secretName.MatchString(name) {
		return Address{}, invalid("%.200q does not name a secret: write https://<vault>.<domain>/secrets/<name>, without a version, for the latest one is read", s)
	}
	return Address{strings.ToLower(u.Host), name}, nil
}

// Below is the vault's name when it is one of a domain's, whatever the port;
// else "".
func (a Address) Below(domain string) string {
	host := (&url.URL{Host: a.Host}).Hostname()
	name, is := strings.CutSuffix(host, "."+strings.ToLower(domain))
	if !is || domain == "" || !vaultName(name) {
		return ""
	}
	return name
}

// URL is the vault's.
func (a Address) URL() string { return "https://" + a.Host }

// String names it for people.
func (a Address) String() string { return a.Host + "/" + a.Secret }

// OutsideConfig names a vault of somebody else's, and who reads from it.
type OutsideConfig struct {
	URL      string // "https://billing.vault.azure.net"
	LoginURL string // "" is that of public Azure
	Tenant   string
	Client   string // ID of the application

	// One of the two, by which the application signs in; each is asked for at
	// every sign-in.
	Secret    func(context.Context) (obs.Secret, error)
	Assertion func(context.Context) (obs.Secret, error)

	HTTP *http.Client // nil: the usual
}

// Outside is a vault of Azure Key Vault, or of another deployment.
type Outside struct {
	url    string
	client *azsecrets.Client
}

// NewOutside asks nothing yet.
func NewOutside(c OutsideConfig) (*Outside, error) {
	// Who reads asks again by himself, and is not to wait long for a vault that is
	// away.
	base := policy.ClientOptions{Retry: policy.RetryOptions{MaxRetries: 1}}
	if c.HTTP != nil {
		base.Transport = c.HTTP
	}
	if c.LoginURL != "" {
		base.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: c.LoginURL}
	}
	who, err := c.credential(base)
	if err != nil {
		return nil, fmt.Errorf("credential for %s: %w", c.URL, err)
	}
	client, err := azsecrets.NewClient(c.URL, who, &azsecrets.ClientOptions{ClientOptions: base})
	if err != nil {
		return nil, fmt.Errorf("client of %s: %w", c.URL, err)
	}
	return &Outside{c.URL, client}, nil
}

// credential is by which the application signs in. Only Microsoft's own hosts
// are known to the list that the library would look in.
func (c OutsideConfig) credential(base policy.ClientOptions) (azcore.TokenCredential, error) {
	known := c.LoginURL != ""
	switch {
	case c.Assertion != nil:
		return azidentity.NewClientAssertionCredential(c.Tenant, c.Client, func(ctx context.Context) (string, error) {
			a, err := c.Assertion(ctx)
			return string(a), err
		}, &azidentity.ClientAssertionCredentialOptions{ClientOptions: base, DisableInstanceDiscovery: known})
	case c.Secret != nil:
		return &bySecret{read: c.Secret, with: func(s obs.Secret) (azcore.TokenCredential, error) {
			return azidentity.NewClientSecretCredential(c.Tenant, c.Client, string(s), &azidentity.ClientSecretCredentialOptions{ClientOptions: base, DisableInstanceDiscovery: known})
		}}, nil
	}
	return nil, errors.New("the application has nothing to sign in with")
}

// bySecret signs in with the secret as it is now; the library's own keeps the
// one that it was made with.
type bySecret struct {
	read func(context.Context) (obs.Secret, error)        // RO
	with func(obs.Secret) (azcore.TokenCredential, error) // RO

	mu   sync.Mutex
	last obs.Secret             // mu
	in   azcore.TokenCredential // mu: with last
}

// GetToken signs in.
func (b *bySecret) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	in, err := b.now(ctx)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	return in.GetToken(ctx, o)
}

func (b *bySecret) now(ctx context.Context) (azcore.TokenCredential, error) {
	s, err := b.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("read what it signs in with: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.in == nil || b.last != s {
		in, err := b.with(s)
		if err != nil {
			return nil, err
		}
		b.in, b.last = in, s
	}
	return b.in, nil
}

// Value is the latest version of a secret.
func (o *Outside) Value(ctx context.Context, name string) (obs.Secret, error) {
	if !secretName.MatchString(name) {
		return "", Ref{Name: name}.check()
	}
	got, err := o.client.GetSecret(ctx, name, "", nil)
	if err != nil {
		return "", o.explain(err)
	}
	if got.Value == nil {
		return "", &fault.Error{Kind: fault.Unavailable, Public: "the vault " + o.url + " answers without a value"}
	}
	return obs.Secret(*got.Value), nil
}

// errorCode is what a code of Key Vault looks like. Somebody else's vault may
// write anything there.
var errorCode = regexp.MustCompile(`^[A-Za-z]{1,60}$`)

// explain classes an error of the library. Its text quotes the whole answer,
// so it goes no further than the status and the code.
func (o *Outside) explain(err error) error {
	if e, is := errors.AsType[*azcore.ResponseError](err); is {
		kind := map[int]fault.Kind{http.StatusUnauthorized: fault.Denied, http.StatusForbidden: fault.Denied, http.StatusNotFound: fault.NotFound}[e.StatusCode]
		if kind == fault.Internal {
			kind = fault.Unavailable
		}
		text := fmt.Sprintf("the vault %s answers %d", o.url, e.StatusCode)
		if errorCode.MatchString(e.ErrorCode) {
			text += " " + e.ErrorCode
		}
		return fault.New(kind, text)
	}
	if e, is := errors.AsType[*azidentity.AuthenticationFailedError](err); is {
		text := "whoever issues tokens for the vault " + o.url
		switch res := e.RawResponse; {
		case res == nil: // nobody was reached, or there was nothing to show
			return fault.New(fault.Unavailable, text+" does not answer")
		case res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= http.StatusInternalServerError:
			return fault.New(fault.Unavailable, fmt.Sprintf("%s answers %d", text, res.StatusCode))
		}
		return fault.New(fault.Denied, text+" does not let the application in: look at its ID, at what it signs in with, and at the tenant")
	}
	return &fault.Error{Kind: fault.Unavailable, Public: "the vault " + o.url + " does not answer", Err: err}
}
