package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/mail"
	"net/url"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/control/operatorconnect"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/front/arm"
	"github.com/tandemgw/tandem/front/graph"
	"github.com/tandemgw/tandem/front/keyvault"
	"github.com/tandemgw/tandem/front/login"
)

// OnboardConfig is who onboards the operator's gateways, and in which systems.
// What is not named is this node's own.
type OnboardConfig struct {
	Team            TeamConfig            `yaml:"team"`
	OperatorConnect OperatorConnectConfig `yaml:"operatorConnect"`
	Vaults          *OutsideVaultsConfig  `yaml:"vaults"` // nil: those that this node serves
	Look            time.Duration         `yaml:"look"`   // how often what was begun is looked at for drift
}

// TeamConfig is who onboards.
type TeamConfig struct {
	Name string `yaml:"name"`
	Mail string `yaml:"mail"`
}

// OperatorConnectConfig is the environment that gateways are onboarded to.
type OperatorConnectConfig struct {
	URL   string              `yaml:"url"`   // empty: none is asked, and people say what was done there
	Roots string              `yaml:"roots"` // of its certificate; empty: the system's
	As    *RegistrationConfig `yaml:"as"`    // who asks; nil: each gateway, by its identity
}

// OutsideVaultsConfig is where vaults elsewhere are. Who signs in is
// control.directory.outside's application.
type OutsideVaultsConfig struct {
	Manager string `yaml:"manager"` // empty: https://management.azure.com
	Domain  string `yaml:"domain"`  // empty: vault.azure.net
}

// files are the names of its files.
func (c *OnboardConfig) files() []*string {
	return []*string{&c.OperatorConnect.Roots}
}

// onboarding checks who onboards, and where.
func (k *configCheck) onboarding(path string) {
	c := k.Control.Onboard
	if c.Team.Mail != "" {
		if a, err := mail.ParseAddress(c.Team.Mail); err != nil || a.Address != c.Team.Mail {
			k.bad(path+".team.mail", "%q: write a mail address such as azcog-enablement@microsoft.com", c.Team.Mail)
		}
	}
	k.within(path+".look", c.Look, time.Minute, 7*24*time.Hour)
	k.secure(path+".operatorConnect.url", c.OperatorConnect.URL)
	k.roots(path+".operatorConnect.roots", c.OperatorConnect.Roots)
	k.registration(path+".operatorConnect.as", c.OperatorConnect.As)
	if v := c.Vaults; v != nil {
		if !k.Control.outside().asked() {
			k.bad(path+".vaults", "vaults elsewhere trust a directory elsewhere: write control.directory.outside with its client as well, or remove the key")
		}
		k.secure(path+".vaults.manager", v.Manager)
	}
}

// secure checks the address of a system elsewhere.
func (k *configCheck) secure(path, at string) {
	if at == "" {
		return
	}
	if u, err := url.Parse(at); err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		k.bad(path, "%q: write https:// and a host, and no path", at)
	}
}

// synergyAudience is what tokens for Operator Connect are made out for;
// exchangeAudience those that a directory elsewhere takes instead of a secret
// (Microsoft Entra docs, "Workload identity federation").
const (
	synergyAudience  = directory.SynergyID
	exchangeAudience = "api://AzureADTokenExchange"
)

// onboarder is the service principal by which Tandem acts in its own
// directory.
func (p *plane) onboarder() string {
	return directory.ObjectID(p.cfg.Tenant.ID, directory.OnboardingID)
}

// onboardRoles let it make vaults, where there are some.
func (p *plane) onboardRoles() (list []subscription.Assignment) {
	if p.cfg.Vaults == nil {
		return nil
	}
	for _, s := range p.cfg.Subscriptions {
		list = append(list, subscription.Assignment{Scope: "/subscriptions/" + s.ID, Principal: p.onboarder(), Type: "ServicePrincipal", Role: subscription.Contributor})
	}
	return list
}

// issuer is the one of the tokens that we give to principals of our own.
func (p *plane) issuer() string { return login.Issuers(p.url(), p.cfg.Tenant.ID)[0] }

// vouch gives tokens to a principal of ours.
func (p *plane) vouch(object, audience string) func(context.Context) (obs.Secret, time.Duration, error) {
	return func(ctx context.Context) (obs.Secret, time.Duration, error) {
		t, err := p.directory.IssueFor(ctx, object, p.issuer(), audience)
		return t.Raw, t.Life, err
	}
}

// tokens keeps none: to make one costs less than to know how long it is good.
func (p *plane) tokens(object, audience string) entra.Token {
	get := p.vouch(object, audience)
	return func(ctx context.Context) (obs.Secret, error) {
		t, _, err := get(ctx)
		return t, err
	}
}

// openOnboarding makes the procedures, before operations start.
func (p *plane) openOnboarding(context.Context) error {
	c := p.cfg.Onboard
	systems, outside, err := p.systems()
	if err != nil {
		return fmt.Errorf("control.onboard: %w", err)
	}
	if err := p.openSecrets(systems); err != nil {
		return fmt.Errorf("control.onboard: %w", err)
	}
	if p.rotations != nil {
		systems.Rotation = p.rotations
	}
	parts := onboard.Parts{
		Systems: systems, Gateways: p.gateways, Edges: p, Suffix: p.cfg.Suffix, Outside: outside, Portal: strings.TrimRight(c.OperatorConnect.URL, "/"), Log: p.n.log,
		Identity: "system-assigned managed identity",
		Team:     onboard.Team{Name: cmp.Or(c.Team.Name, "Azure Communications Gateway onboarding team"), Mail: cmp.Or(c.Team.Mail, "azcog-enablement@microsoft.com")},
	}
	if outside[onboard.OfDirectory] {
		parts.Identity = p.outsideIdentity(*p.cfg.outside())
	}
	if p.zone != nil {
		parts.Zone = p.zone
	}
	p.onboard, err = onboard.New(onboard.Config{
		Store: p.store, Operations: p.operations, Parts: parts, Log: p.n.log, Subscription: p.cfg.Subscriptions[0].ID,
	})
	return err
}

// systems are those that the procedures look at, and which of them are
// elsewhere.
func (p *plane) systems() (s onboard.Systems, outside map[onboard.Part]bool, err error) {
	s, outside = onboard.Systems{Names: lookUp(p.n.cfg.SIP.DNS), Issuer: p.issuer()}, map[onboard.Part]bool{}
	o := p.cfg.outside()
	switch {
	case o == nil:
		s.Directory, err = p.ownDirectory()
	case o.asked():
		if outside[onboard.OfDirectory] = true; o.Certificate != nil {
			s.Certificate = o.leaf
		}
		s.Directory, err = p.outsideDirectory(*o)
	default:
		outside[onboard.OfDirectory] = true // and nobody looks into it
	}
	if err != nil {
		return s, nil, err
	}
	switch v := p.cfg.Onboard.Vaults; {
	case v != nil:
		outside[onboard.OfVaults] = true
		s.Vaults, err = p.outsideVaults(*o, *v)
	case p.vaults != nil:
		s.Vaults, err = p.ownVaults()
	}
	if err == nil && p.cfg.Onboard.OperatorConnect.URL != "" {
		ask, err := p.operatorConnect()
		if err != nil {
			return s, nil, err
		}
		if s.Directory == nil && p.registered == nil {
			return s, outside, nil // nobody knows by whom gateways ask
		}
		p.keeper = p.newKeeper(ask, s.Directory)
		s.OperatorConnect = p.keeper.askAs
	}
	return s, outside, err
}

// silent is for requests of our own to ourselves, which no log needs: the steps
// tell of what they do, and the trail has it.
var silent = slog.New(slog.DiscardHandler)

// ownDirectory is ours, asked without a socket.
func (p *plane) ownDirectory() (*entra.Client, error) {
	c := graph.Config{Directory: p.directory, URL: p.url(), LoginURL: p.url(), Issuers: []string{p.issuer()}, Log: silent, Rate: graph.Rate{Burst: 1000, PerSecond: 1000}}
	return entra.New(entra.Config{
		URL: p.url(), Login: p.url(), Tenant: p.directory.Tenant().ID,
		HTTP: entra.InProcess(graph.Handler(c)), Token: p.tokens(p.onboarder(), p.url()),
	})
}

// ownVaults are those that this node serves, asked without a socket.
func (p *plane) ownVaults() (*entra.Vaults, error) {
	_, domain, _ := strings.Cut(p.vaultURL(), "://")
	here := func(audience string) *arm.Tokens {
		return arm.NewTokens(p.directory, []string{p.issuer()}, []string{audience}, p.cfg.Tenant.ID)
	}
	data := keyvault.Handler(keyvault.Config{Vaults: p.vaults, Tokens: here(p.vaultURL()), Tenant: p.cfg.Tenant.ID, URL: p.vaultURL(), LoginURL: p.url(), Log: silent})
	resources := keyvault.Resources(keyvault.ResourcesConfig{
		Vaults: p.vaults, Subscriptions: p.subscriptions, Tokens: here(p.url()), URL: p.url(), LoginURL: p.url(), VaultURL: p.vaultURL(), Log: silent,
	})
	both := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if keyvault.Serves(p.vaultURL(), r.Host) {
			data.ServeHTTP(w, r)
			return
		}
		resources.ServeHTTP(w, r)
	})
	return entra.NewVaults(entra.VaultsConfig{
		Manager: p.url(), Domain: domain, Tenant: p.cfg.Tenant.ID, HTTP: entra.InProcess(both), Closed: true,
		Manage: p.tokens(p.onboarder(), p.url()), Open: p.tokens(p.onboarder(), p.vaultURL()),
	})
}

// transport trusts the roots of a file, or the system's. It ends with the node.
func (p *plane) transport(file string) (http.RoundTripper, error) {
	roots, err := pool(file)
	if err != nil {
		return nil, err
	}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
	}
	p.n.onStop(t.CloseIdleConnections)
	return t, nil
}

// signInPlace is where registrations of the tenant sign in, whatever for.
func (p *plane) signInPlace() (entra.SignIn, error) {
	if o := p.cfg.outside(); o != nil {
		return p.signInOf(*o), nil
	}
	own := entra.InProcess(login.Handler(login.Config{Directory: p.directory, URL: p.url(), Resources: append(p.tokenResources(), synergyAudience), Log: p.n.log}))
	return entra.SignIn{Login: p.url(), Tenant: p.cfg.Tenant.ID, HTTP: own}, nil
}

// operatorConnect asks as whoever asks: a registration with its secret, or a
// gateway, for which the deployment vouches.
func (p *plane) operatorConnect() (func(onboard.Asker) (*operatorconnect.Client, error), error) {
	t, err := p.transport(p.cfg.Onboard.OperatorConnect.Roots)
	if err != nil {
		return nil, err
	}
	at, err := p.signInPlace()
	if err != nil {
		return nil, err
	}
	all := operatorconnect.Config{URL: p.cfg.Onboard.OperatorConnect.URL, Suffixes: []string{p.cfg.Suffix}, HTTP: t, Log: p.n.log}
	if r := p.cfg.Onboard.OperatorConnect.As; r != nil {
		if p.registered, err = p.openRegistration(*r, at, all); err != nil {
			return nil, err
		}
	}
	outside := p.cfg.outside()
	return func(a onboard.Asker) (*operatorconnect.Client, error) {
		c, in := all, at
		c.Application = a.Application
		in.Client = a.Application
		switch {
		case a.Secret != nil:
			in.Secret = a.Secret
			c.Token = operatorconnect.SignIn(in)
		case outside != nil && outside.Certificate != nil:
			in.Certificate = outside.pair
			c.Token = operatorconnect.SignIn(in)
		case outside != nil:
			in.Assertion = p.tokens(a.Vouched, exchangeAudience)
			c.Token = operatorconnect.SignIn(in)
		default:
			c.Token = operatorconnect.Issued(p.vouch(a.Principal, synergyAudience))
		}
		return operatorconnect.New(c)
	}, nil
}

// watchOnboarding tells of drift.
func (p *plane) watchOnboarding() { p.onboard.Watch(p.n.life, p.cfg.Onboard.Look) }

// onboarding answers the control socket, which is there before the control
// plane is.
func (n *Node) onboarding() (*onboard.Set, error) {
	p := n.plane.Load()
	if p == nil {
		return nil, errStarting
	}
	return p.onboard, nil
}
