package app

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/operatorconnect"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/vault"
	"github.com/tandemgw/tandem/front/ops"
)

// RegistrationConfig is an app registration that asks Operator Connect.
type RegistrationConfig struct {
	Client string `yaml:"client"` // its application ID
	Secret string `yaml:"secret"` // where its client secret is: "https://<vault>.<domain>/secrets/<name>"
}

// registration checks who asks Operator Connect instead of the gateways.
func (k *configCheck) registration(path string, r *RegistrationConfig) {
	if r == nil {
		return
	}
	if k.Control.Onboard.OperatorConnect.URL == "" {
		k.bad(path, "nobody is asked without control.onboard.operatorConnect.url: write it, or remove the key")
	}
	k.guid(path+".client", r.Client, "the application that asks Operator Connect")
	at, err := vault.ParseAddress(r.Secret)
	switch {
	case err != nil:
		k.bad(path+".secret", "%v", err)
	case at.Below(k.Control.vaultDomain()) == "" && !k.Control.outside().asked():
		k.bad(path+".secret", "%s is no vault below control.vaults.domain, and one elsewhere trusts a directory elsewhere: write control.directory.outside with its client as well, or correct the host", at.Host)
	}
}

// vaultDomain is what our own vaults are below, "" when there are none.
func (c *ControlConfig) vaultDomain() string {
	if c.Vaults == nil {
		return ""
	}
	return c.Vaults.Domain
}

// registration is an app registration that asks Operator Connect for all
// gateways. Its secret is read from a vault at each sign-in, and what was read
// last is gone on with while the vault is away.
type registration struct {
	client *operatorconnect.Client // RO
	at     vault.Address           // RO: of the secret
	secret *vault.Memory           // RO
}

// openRegistration asks nobody yet. The vault may be away, which is told.
func (p *plane) openRegistration(r RegistrationConfig, in entra.SignIn, c operatorconnect.Config) (*registration, error) {
	at, err := vault.ParseAddress(r.Secret)
	if err != nil {
		return nil, err
	}
	a := &registration{at: at}
	log := p.n.log.With("vault", at.Host)
	if name := at.Below(p.cfg.vaultDomain()); name != "" {
		// Who reads is the application that makes vaults and replaces what is in
		// them.
		a.secret = vault.NewMemory(p.vaults.Shelf(subscription.Principal{Tenant: p.cfg.Tenant.ID, Object: p.onboarder(), App: directory.OnboardingID}, name), log)
	} else {
		outside, err := p.outsideVault(at)
		if err != nil {
			return nil, err
		}
		a.secret = vault.NewMemory(outside, log)
	}
	in.Client = r.Client
	in.Secret = func(ctx context.Context) (obs.Secret, error) { return a.secret.Value(ctx, at.Secret) }
	in.Again = func(ctx context.Context) (obs.Secret, error) { return a.secret.Again(ctx, at.Secret) }
	c.Application, c.Token = r.Client, operatorconnect.SignIn(in)
	if a.client, err = operatorconnect.New(c); err != nil {
		return nil, err
	}
	p.n.behind.Go(func() { a.secret.Watch(p.n.life, at.Secret) })
	return a, nil
}

// outsideVault is a vault elsewhere, read as our application in the directory
// elsewhere.
func (p *plane) outsideVault(at vault.Address) (*vault.Outside, error) {
	o := p.cfg.outside()
	if !o.asked() {
		return nil, fault.New(fault.Invalid, "the vault "+at.Host+" is elsewhere, and no directory elsewhere is configured")
	}
	in := p.signIn(*o, "")
	if in.Certificate != nil {
		in.Assertion = in.Signed
	}
	return vault.NewOutside(vault.OutsideConfig{
		URL: at.URL(), LoginURL: in.Login, Tenant: in.Tenant, Client: in.Client, Secret: in.Secret, Assertion: in.Assertion, HTTP: &http.Client{Transport: p.far},
	})
}

// trouble is what there is to be told of the secret and its vault.
func (a *registration) trouble(now time.Time) []ops.Warning {
	say := func(cause, format string, args ...any) []ops.Warning {
		return []ops.Warning{{About: a.at.String(), Cause: cause, Text: fmt.Sprintf(format, args...)}}
	}
	known, refused := a.secret.Standing(a.at.Secret)
	since, why := a.secret.Away()
	gone := now.Sub(since).Round(time.Second)
	switch {
	case !since.IsZero() && known:
		return say("vault away", "the vault %s has been away for %s: Operator Connect is asked with the secret that was read last, and a new one is not noticed (%v)", a.at.Host, gone, why)
	case !since.IsZero():
		return say("vault away", "the vault %s has been away for %s: Operator Connect cannot be asked until it answers (%v)", a.at.Host, gone, why)
	case refused != nil:
		return say("secret refused", "the vault %s does not give the secret %s: Operator Connect cannot be asked (%v)", a.at.Host, a.at.Secret, refused)
	}
	return nil
}

// vaultTrouble is what a control node has to say of the vault that it reads
// from.
func (n *Node) vaultTrouble(at time.Time) []ops.Warning {
	p := n.plane.Load()
	if p == nil || p.registered == nil {
		return nil
	}
	return p.registered.trouble(at)
}

var (
	descVaultUp     = desc("vault_up", "1 while the vault answers that the secret to ask Operator Connect with is read from.", "vault")
	descSecretKnown = desc("vault_secret_known", "1 while there is a value of that secret: what the vault gave last, and has not taken back.", "secret")
)

// collectVault reads how the vault stands that this node reads from.
func (controlCollector) collectVault(out chan<- prometheus.Metric, p *plane) {
	a := p.registered
	if a == nil {
		return
	}
	is := func(d *prometheus.Desc, yes bool, label string) {
		v := 0.0
		if yes {
			v = 1
		}
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, label)
	}
	since, _ := a.secret.Away()
	known, _ := a.secret.Standing(a.at.Secret)
	is(descVaultUp, since.IsZero(), a.at.Host)
	is(descSecretKnown, known, a.at.String())
}
