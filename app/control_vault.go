package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/publish"
	"github.com/tandemgw/tandem/control/vault"
	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/front/arm"
	"github.com/tandemgw/tandem/front/keyvault"
)

// VaultsConfig is the vaults of secrets that a control node serves.
type VaultsConfig struct {
	Domain      string               `yaml:"domain"`      // a vault is https://<name>.<domain>, on the port of the API
	Certificate *publish.Certificate `yaml:"certificate"` // for *.<domain>; nil: the API's bears that too
	Transit     *TransitConfig       `yaml:"transit"`     // nil: the key is in a file of this node
}

// TransitConfig is a key management service that wraps what vaults are
// encrypted with.
type TransitConfig struct {
	URL       string `yaml:"url"`       // of a transit engine, "https://kms.telecom.example:8200/v1/transit"
	Key       string `yaml:"key"`       // of type aes256-gcm96
	TokenFile string `yaml:"tokenFile"` // whose first line is read anew for each question
	Roots     string `yaml:"roots"`     // PEM; empty: the system's
}

// keeper is what wraps by the service.
func (c *TransitConfig) keeper() (*vault.Transit, error) {
	roots, err := pool(c.Roots)
	if err != nil {
		return nil, fmt.Errorf("authorities of the key management service: %w", err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute}}
	return &vault.Transit{URL: c.URL, Key: c.Key, HTTP: client, Token: func() (obs.Secret, error) {
		token, err := peer.ReadSecret(publish.SecretAt(c.TokenFile, ""))
		return obs.Secret(token), err
	}}, nil
}

// transit checks where the key is.
func (k *configCheck) transit(path string, t *TransitConfig) {
	if t == nil {
		return
	}
	if u, err := url.Parse(t.URL); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		k.bad(path+".url", "%q: write the https URL of a transit engine, such as https://kms.telecom.example:8200/v1/transit", t.URL)
	}
	if t.Key == "" {
		k.bad(path+".key", "missing: write the name of a key of type aes256-gcm96")
	}
	if t.TokenFile == "" {
		k.bad(path+".tokenFile", "missing: write the file whose first line is the token for the service")
	}
	k.roots(path+".roots", t.Roots)
}

// ofVaults is the name of the vaults' certificate among the node's.
const ofVaults = "control.vaults"

// vaults checks where vaults are.
func (k *configCheck) vaults(path string) {
	v := k.Control.Vaults
	if v == nil {
		return
	}
	if !hostName.MatchString(v.Domain) {
		k.bad(path+".domain", "%q: write the domain that vaults are below, such as vault.telecom.example", v.Domain)
		return
	}
	k.transit(path+".transit", v.Transit)
	at, cert := path+".certificate", k.Control.API.Certificate
	if v.Certificate != nil {
		cert = *v.Certificate
		k.pair(at, cert)
	}
	chain, err := readPEM(cert.Chain)
	if err != nil {
		return // said of the certificate itself
	}
	if name := "a." + v.Domain; chain[0].VerifyHostname(name) != nil {
		k.bad(path, "the certificate does not bear *.%s, by which clients know the vaults: order one, and name it in %s (it bears %s)", v.Domain, at, bearing(chain[0]))
	}
}

// wrapper has the key under which data keys are wrapped: a file, or a key
// management service.
type wrapper interface {
	Prepare(ctx context.Context, first bool) error
	Wrap(ctx context.Context, plain, about []byte) ([]byte, error)
	Unwrap(ctx context.Context, wrapped, about []byte) ([]byte, error)
}

// openVaults opens what secrets are kept in. Nothing is decrypted yet.
func (p *plane) openVaults(ctx context.Context) (err error) {
	if p.cfg.Vaults == nil {
		return nil
	}
	if err := Harden(); err != nil {
		return err
	}
	if t := p.cfg.Vaults.Transit; t != nil {
		if p.wraps, err = t.keeper(); err != nil {
			return err
		}
	} else {
		p.keyFile = vault.NewKeyFile(filepath.Join(p.n.cfg.Node.Data, vault.KeyFileName))
		p.wraps = p.keyFile
	}
	c := vault.Config{
		Store: p.store, Keeper: p.wraps, Tenant: p.cfg.Tenant.ID,
		Place: p.subscriptions.Place, Audit: p.subscriptions.Audit, Log: p.n.log,
	}
	if p.cfg.outside() == nil {
		c.Memberships = whoever{p}.Memberships // else it is the issuer who knows
	}
	p.vaults, err = vault.Open(ctx, c)
	if err != nil {
		return fmt.Errorf("open the vaults: %w", err)
	}
	p.n.behind.Go(func() { p.vaults.Run(p.n.life) })
	return nil
}

// vaultURL is what vaults are below, "" when there are none.
func (p *plane) vaultURL() string {
	if p.cfg.Vaults == nil {
		return ""
	}
	if port := p.cfg.API.Listen.Port(); port != 443 {
		return "https://" + net.JoinHostPort(p.cfg.Vaults.Domain, fmt.Sprint(port))
	}
	return "https://" + p.cfg.Vaults.Domain
}

// withVaults gives requests for vaults, and for what is in them, to those who
// know them.
func (p *plane) withVaults(next http.Handler, c arm.Config) http.Handler {
	if p.vaults == nil {
		return next
	}
	url := p.vaultURL()
	tokens, loginURL := p.verifier(url, "https://"+p.cfg.Vaults.Domain), cmp.Or(c.LoginURL, p.url())
	data := keyvault.Handler(keyvault.Config{Vaults: p.vaults, Tokens: tokens, Tenant: p.cfg.Tenant.ID, URL: url, LoginURL: loginURL, Log: p.n.log})
	resources := keyvault.Resources(keyvault.ResourcesConfig{
		Vaults: p.vaults, Subscriptions: p.subscriptions, Tokens: c.Tokens, URL: c.URL, LoginURL: c.LoginURL, VaultURL: url, Log: p.n.log,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case keyvault.Serves(url, r.Host):
			data.ServeHTTP(w, r)
		case keyvault.IsResource(r.URL.Path):
			resources.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// contents is what resource groups hold: gateways and vaults.
type contents struct {
	gateways arm.Contents
	vaults   *keyvault.Contents // nil: there are none
}

func (p *plane) contents() contents {
	c := contents{gateways: arm.Contents{Gateways: p.gateways}}
	if p.vaults != nil {
		c.vaults = &keyvault.Contents{Vaults: p.vaults}
	}
	return c
}

// In names what a group holds.
func (c contents) In(ctx context.Context, subscription, group string) ([]string, error) {
	ids, err := c.gateways.In(ctx, subscription, group)
	if err != nil || c.vaults == nil {
		return ids, err
	}
	more, err := c.vaults.In(ctx, subscription, group)
	return slices.Concat(ids, more), err
}

// Remove begins to delete one of them.
func (c contents) Remove(ctx context.Context, actor, id string) error {
	if c.vaults != nil && keyvault.IsResource(id) {
		return c.vaults.Remove(ctx, actor, id)
	}
	return c.gateways.Remove(ctx, actor, id)
}
