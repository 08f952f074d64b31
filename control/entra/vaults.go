package entra

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
)

// The addresses of public Azure.
const (
	PublicManager = "https://management.azure.com"
	PublicVaults  = "vault.azure.net"
)

// VaultsConfig names where vaults are, and who asks for them.
type VaultsConfig struct {
	Manager string            // of resources; "": PublicManager
	Domain  string            // that vaults are below, with its port; "": PublicVaults
	Tenant  string            // that the vaults trust
	Manage  Token             // for Manager
	Open    Token             // for what is in vaults
	HTTP    http.RoundTripper // nil: http.DefaultTransport
	// Closed: vaults that are made let in no network but by private endpoint. It
	// is for who comes from no network itself.
	Closed bool
}

// Vaults asks for vaults and for what is in them as one caller.
type Vaults struct {
	VaultsConfig
	manager *asker
}

// NewVaults checks the addresses and asks nothing yet.
func NewVaults(c VaultsConfig) (*Vaults, error) {
	c.Domain = cmp.Or(c.Domain, PublicVaults)
	a, err := newAsker("resource manager", strings.TrimRight(cmp.Or(c.Manager, PublicManager), "/"), c.HTTP)
	if err != nil {
		return nil, err
	}
	if a.token = c.Manage; c.Manage == nil {
		a.token = nobody(a.base.Host)
	}
	if c.Open == nil {
		c.Open = nobody(c.Domain)
	}
	return &Vaults{c, a}, nil
}

// Vault is one as the resource manager shows it.
type Vault struct {
	ID          string // of the resource
	URL         string // of what is in it
	Tenant      string
	Location    string
	RBAC        bool // roles say who may what, and Policies nothing
	Public      bool // any network reaches it
	Policies    []Policy
	Connections []Connection
}

// Policy is what one principal may do with what is in a vault.
type Policy struct {
	Tenant      string              `json:"tenantId"`
	Object      string              `json:"objectId"`
	Application string              `json:"applicationId,omitempty"`
	Permissions map[string][]string `json:"permissions"` // "secrets", "keys", "certificates" -> words
}

// May are the permissions over one kind of things, in lower case and sorted.
func (p Policy) May(kind string) (words []string) {
	for k, list := range p.Permissions {
		if strings.EqualFold(k, kind) {
			for _, w := range list {
				words = append(words, strings.ToLower(w))
			}
		}
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// Connection is a private endpoint of somebody who reaches a vault, or wants
// to.
type Connection struct {
	Name        string
	Endpoint    string // resource ID of the endpoint
	State       string // "Pending", "Approved", "Rejected", "Disconnected"
	Description string
}

// VaultID is the resource ID of a vault.
func VaultID(subscription, group, name string) string {
	return "/subscriptions/" + subscription + "/resourceGroups/" + group + "/providers/Microsoft.KeyVault/vaults/" + name
}

var managerVersion = url.Values{"api-version": {"2023-07-01"}}

// vaultBody is the resource on the wire.
type vaultBody struct {
	ID         string `json:"id,omitempty"`
	Location   string `json:"location,omitempty"`
	Properties struct {
		Tenant      string           `json:"tenantId,omitempty"`
		SKU         *vaultSKU        `json:"sku,omitempty"`
		RBAC        *bool            `json:"enableRbacAuthorization,omitempty"`
		Policies    []Policy         `json:"accessPolicies"`
		URL         string           `json:"vaultUri,omitempty"`
		Connections []connectionBody `json:"privateEndpointConnections,omitempty"`
		Network     *networkBody     `json:"networkAcls,omitempty"`
		Access      string           `json:"publicNetworkAccess,omitempty"` // "Enabled", "Disabled"
	} `json:"properties"`
}

type networkBody struct {
	Default string `json:"defaultAction"` // "Allow", "Deny"
	Bypass  string `json:"bypass"`
}

// public tells whether no network is kept out.
func (b vaultBody) public() bool {
	p := b.Properties
	return !strings.EqualFold(p.Access, "Disabled") && (p.Network == nil || !strings.EqualFold(p.Network.Default, "Deny"))
}

type vaultSKU struct {
	Family string `json:"family"`
	Name   string `json:"name"`
}

type connectionBody struct {
	ID         string `json:"id,omitempty"`
	Name       string `json:"name,omitempty"`
	Properties struct {
		Endpoint struct {
			ID string `json:"id,omitempty"`
		} `json:"privateEndpoint,omitzero"`
		State struct {
			Status      string `json:"status"`
			Description string `json:"description,omitempty"`
		} `json:"privateLinkServiceConnectionState"`
	} `json:"properties"`
}

func (b vaultBody) read() Vault {
	v := Vault{ID: b.ID, URL: strings.TrimRight(b.Properties.URL, "/"), Tenant: b.Properties.Tenant, Location: b.Location, RBAC: b.Properties.RBAC != nil && *b.Properties.RBAC, Public: b.public(), Policies: b.Properties.Policies}
	for _, c := range b.Properties.Connections {
		p := c.Properties
		// Azure's list within a vault names a connection by its ID alone.
		name := cmp.Or(c.Name, c.ID[strings.LastIndex(c.ID, "/")+1:])
		v.Connections = append(v.Connections, Connection{name, p.Endpoint.ID, p.State.Status, p.State.Description})
	}
	return v
}

// Vault shows a vault; fault.NotFound when there is none of the ID.
func (v *Vaults) Vault(ctx context.Context, id string) (Vault, error) {
	var got vaultBody
	err := v.manager.do(ctx, call{what: "show the vault " + id, method: http.MethodGet, path: escaped(id), query: managerVersion}, &got)
	return got.read(), err
}

// escaped is a resource ID as a path.
func escaped(id string) string { return (&url.URL{Path: id}).EscapedPath() }

// Make makes a vault whose secrets whoever makes it may read and write, as the
// portal does for a person.
func (v *Vaults) Make(ctx context.Context, id, location string) (Vault, error) {
	self, err := v.self(ctx)
	if err != nil {
		return Vault{}, err
	}
	b := vaultBody{Location: location}
	no := false
	b.Properties.Tenant, b.Properties.SKU, b.Properties.RBAC = v.Tenant, &vaultSKU{"A", "standard"}, &no
	b.Properties.Policies = []Policy{{Tenant: v.Tenant, Object: self, Permissions: map[string][]string{"secrets": {"get", "list", "set"}}}}
	if v.Closed {
		b.Properties.Network = &networkBody{"Deny", "None"}
	}
	var got vaultBody
	err = v.manager.do(ctx, call{what: "make the vault " + id, method: http.MethodPut, path: escaped(id), query: managerVersion, body: b}, &got)
	return got.read(), err
}

// self is the object ID of who asks, as its token says.
func (v *Vaults) self(ctx context.Context) (string, error) {
	token, err := v.Open(ctx)
	if err != nil {
		return "", err
	}
	var claims struct {
		Object string `json:"oid"`
	}
	if parts := strings.Split(string(token), "."); len(parts) == 3 {
		if text, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
			_ = json.Unmarshal(text, &claims) // without it there is no oid
		}
	}
	if claims.Object == "" {
		return "", fault.New(fault.Unavailable, "The token for vaults does not say whose it is")
	}
	return claims.Object, nil
}

// Permit makes the access policy of one principal say what it may do with
// secrets: this and nothing else.
func (v *Vaults) Permit(ctx context.Context, id, object string, secrets ...string) error {
	var b vaultBody
	b.Properties.Policies = []Policy{{Tenant: v.Tenant, Object: object, Permissions: map[string][]string{"secrets": secrets, "keys": {}, "certificates": {}}}}
	return v.manager.do(ctx, call{what: "change the access policies of the vault " + id, method: http.MethodPut, path: escaped(id) + "/accessPolicies/replace", query: managerVersion, body: b}, nil)
}

// Secret is one version of a secret in a vault.
type Secret struct {
	Name, Version string
	Value         obs.Secret
	Tags          map[string]string
	Enabled       bool
	Created       time.Time
	Expires       time.Time // zero: never
}

type secretBody struct {
	ID         string            `json:"id,omitempty"`
	Value      string            `json:"value,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
	Attributes struct {
		Enabled *bool `json:"enabled,omitempty"`
		Expires int64 `json:"exp,omitempty"` // seconds
		Created int64 `json:"created,omitempty"`
	} `json:"attributes"`
}

// Secret is the latest version of a secret; fault.NotFound when there is none.
func (v *Vaults) Secret(ctx context.Context, vault Vault, name string) (Secret, error) {
	return v.secret(ctx, vault, call{what: "show the secret " + name, method: http.MethodGet, path: "/secrets/" + url.PathEscape(name) + "/"})
}

// PutSecret makes a secret, or the next version of it.
func (v *Vaults) PutSecret(ctx context.Context, vault Vault, s Secret) (Secret, error) {
	b := secretBody{Value: string(s.Value), Tags: s.Tags}
	if !s.Expires.IsZero() {
		b.Attributes.Expires = s.Expires.Unix()
	}
	return v.secret(ctx, vault, call{what: "keep the secret " + s.Name, method: http.MethodPut, path: "/secrets/" + url.PathEscape(s.Name), body: b})
}

func (v *Vaults) secret(ctx context.Context, vault Vault, q call) (Secret, error) {
	var got secretBody
	if err := v.ask(ctx, vault, q, &got); err != nil {
		return Secret{}, err
	}
	s := got.read()
	s.Value = obs.Secret(got.Value)
	return s, nil
}

// ask asks for what is in a vault.
func (v *Vaults) ask(ctx context.Context, vault Vault, q call, out any) error {
	a, err := newAsker("vault", vault.URL, v.HTTP)
	if err != nil {
		return err
	}
	// The address is what the resource manager said: a token for vaults goes to
	// vaults alone.
	if !strings.HasSuffix(strings.ToLower(a.base.Host), "."+strings.ToLower(v.Domain)) {
		return fault.New(fault.Unavailable, fmt.Sprintf("The vault %s is said to be at %.200q, which is not below %s", vault.ID, vault.URL, v.Domain))
	}
	a.token = v.Open
	if !strings.HasPrefix(q.path, "https://") {
		q.query = url.Values{"api-version": {"7.4"}}
	}
	return a.do(ctx, q, out)
}
