package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"

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

// OutsideConfig names a vault of somebody else's, and who reads from it.
type OutsideConfig struct {
	URL      string // "https://billing.vault.azure.net"
	LoginURL string // "" is that of public Azure
	Tenant   string
	Client   string // ID of the application
	Secret   obs.Secret
	HTTP     *http.Client // nil: the usual
}

// Outside is a vault of Azure Key Vault, or of another deployment.
type Outside struct {
	url    string
	client *azsecrets.Client
}

// NewOutside asks nothing yet.
func NewOutside(c OutsideConfig) (*Outside, error) {
	var base policy.ClientOptions
	if c.HTTP != nil {
		base.Transport = c.HTTP
	}
	if c.LoginURL != "" {
		base.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: c.LoginURL}
	}
	// Only Microsoft's own hosts are known to the list that the library would
	// look in.
	who, err := azidentity.NewClientSecretCredential(c.Tenant, c.Client, string(c.Secret), &azidentity.ClientSecretCredentialOptions{ClientOptions: base, DisableInstanceDiscovery: c.LoginURL != ""})
	if err != nil {
		return nil, fmt.Errorf("credential for %s: %w", c.URL, err)
	}
	client, err := azsecrets.NewClient(c.URL, who, &azsecrets.ClientOptions{ClientOptions: base})
	if err != nil {
		return nil, fmt.Errorf("client of %s: %w", c.URL, err)
	}
	return &Outside{c.URL, client}, nil
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

// explain classes an error of the library. Its text quotes the whole answer,
// so it goes no further than the status and the code.
func (o *Outside) explain(err error) error {
	if e, is := errors.AsType[*azcore.ResponseError](err); is {
		kind := map[int]fault.Kind{http.StatusUnauthorized: fault.Denied, http.StatusForbidden: fault.Denied, http.StatusNotFound: fault.NotFound}[e.StatusCode]
		if kind == fault.Internal {
			kind = fault.Unavailable
		}
		return fault.New(kind, fmt.Sprintf("the vault %s answers %d %s", o.url, e.StatusCode, e.ErrorCode))
	}
	if _, is := errors.AsType[*azidentity.AuthenticationFailedError](err); is {
		return fault.New(fault.Denied, "whoever issues tokens for the vault "+o.url+" does not let the application in: look at its ID, its secret and the tenant")
	}
	return &fault.Error{Kind: fault.Unavailable, Public: "the vault " + o.url + " does not answer", Err: err}
}
